"""HTTP: DigiCert's request is read from three gateways' events, and every outcome is answered in DigiCert's shape."""

import base64
import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from dv_resend.core import requests
from dv_resend.core.orders import Order
from dv_resend.core.plan import ResendPlan
from dv_resend.core.requests import ResendRequest, Skipped
from dv_resend.core.resend import ResendResult
from dv_resend.errors import (
    CertCentralUnavailable,
    InvalidRequest,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    RecipientNotAllowed,
    RequestRejected,
    ResendError,
    ResendInProgress,
    UpstreamError,
)
from dv_resend.handlers import http
from dv_resend.handlers.events import source_of
from unit.samples import SAMPLES, error_of

ORDER_ID = 123456789
PATH = "/services/v2/order/certificate/123456789/resend-emails"
ONE = {"domain": "example.com", "email": "admin@example.com"}
EXAMPLE = ResendRequest.from_input(SAMPLES["direct.json"])
USER_ARN = "arn:aws:sts::123456789012:assumed-role/web-team/deploy"


def v2(body: Any = None, *, path: Any = PATH, method: Any = "PUT", query: Any = None, **more: Any) -> dict[str, Any]:
    event: dict[str, Any] = copy.deepcopy(SAMPLES["http-api-v2.json"]) | {"rawPath": path, "body": body, **more}
    event["requestContext"]["http"] |= {"method": method, "path": path}
    if query is not None:
        event["queryStringParameters"] = dict(query)
    return event


def v1(body: Any = None, *, path: Any = PATH, method: Any = "PUT", query: Any = None, **more: Any) -> dict[str, Any]:
    """Build a REST API's event. Payload 1.0 spreads the pairs of a ``query`` over two maps."""
    event: dict[str, Any] = copy.deepcopy(SAMPLES["rest-api-v1.json"])
    event |= {"path": path, "httpMethod": method, "body": body, **more}
    if query is not None:
        event["queryStringParameters"] = dict(query)
        event["multiValueQueryStringParameters"] = {name: [v for n, v in query if n == name] for name, _ in query}
    return event


each_payload = pytest.mark.parametrize("make", [v2, v1])


def in_base64(body: bytes) -> dict[str, Any]:
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def parse(event: dict[str, Any]) -> ResendRequest:
    request = http.parse_http(event).request
    assert isinstance(request, ResendRequest)
    return request


def rejected(event: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        http.parse_http(event)
    return caught.value


def error_codes(response: Any) -> list[str]:
    return [entry["code"] for entry in json.loads(response["body"])["errors"]]


@each_payload
def test_http_caller_cannot_pose_as_an_event(make):
    event = make() | {"detail-type": "Resend DV Emails", "detail": {"order_id": 1}}

    assert source_of(event) == "http"
    assert parse(event).order_id == ORDER_ID


@each_payload
def test_http_request_is_validated_once(make, monkeypatch):
    calls: list[tuple[Any, ...]] = []

    def spy(module: Any, name: str) -> None:
        original = getattr(module, name)

        def call(*arguments: Any) -> Any:
            calls.append(arguments)
            return original(*arguments)

        monkeypatch.setattr(module, name, call)

    spy(requests, "parse_order_id")
    spy(requests, "reject_unknown_fields")
    spy(http, "reject_unknown_fields")
    body = {"locale": "en", "domain_approval_emails": [ONE]}

    parse(make(json.dumps(body), query=[("force", "true")]))

    order_ids = [arguments for arguments in calls if arguments[0] == str(ORDER_ID)]
    fields = [sorted(arguments[0]) for arguments in calls if isinstance(arguments[0], dict)]
    assert len(order_ids) == 1
    assert sorted(fields) == [["domain", "email"], ["domain_approval_emails", "locale"], ["force"]]
    assert len(calls) == 4


@each_payload
@pytest.mark.parametrize(
    "prefix",
    ["", "/live", "/$default", "/dv-resend", "/pki/certs", "/a/b/c/d", "/services/v2", PATH.replace("123456789", "1")],
    ids=ascii,
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_path_may_have_a_prefix_and_a_final_slash(make, prefix, slash):
    event = make(path=prefix + PATH + slash)

    assert http.not_routed(event) is None
    assert parse(event).order_id == ORDER_ID


@each_payload
@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/services/v2", "/services/v2/order/certificate/123456789", PATH + "//", PATH + "/x", PATH + "\n"),
        *("/a/b/" + PATH, "/" + PATH, "a" + PATH, PATH[1:], PATH + "/\n", PATH + "x", None, 1, []),
        *(PATH.upper(), PATH.replace("v2", "v1")),
        *("/services/v2/order/certificate//resend-emails", "/services/v2/order/certificate/1/2/resend-emails"),
        *("/services/v2/order/certificate/1/../2/resend-emails", "/services/v2/order/certificate/1/check-dcv"),
    ],
    ids=ascii,
)
def test_unknown_path_is_answered_404(make, path):
    response = http.not_routed(make(path=path))

    assert response is not None
    assert (response["statusCode"], error_codes(response)) == (404, ["not_found|route"])


@each_payload
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "put", None])
def test_other_method_is_answered_405(make, method):
    response = http.not_routed(make(method=method))

    assert response is not None
    assert (response["statusCode"], response["headers"]["Allow"]) == (405, "PUT")
    assert error_codes(response) == ["method_not_allowed"]


@each_payload
@pytest.mark.parametrize(
    "order_id",
    [*("abc", "0", "-1", "+1", "1.0", " 1", "1\n", "9" * 16, "%31", "\u0661", "..", "%2e%2e", "1;2", "1%0d%0aX:1")],
    ids=ascii,
)
def test_bad_order_id_in_the_path_is_rejected(make, order_id):
    event = make(path=PATH.replace("123456789", order_id))

    assert http.not_routed(event) is None
    assert rejected(event).field == "order_id"


@each_payload
@pytest.mark.parametrize(
    "body",
    [
        *({"body": body} for body in (None, "", "{}", " {}\n", "null", " null\n")),
        *({"body": "\ufeff" + body} for body in ("", "{}", "null")),
        *(in_base64(body) for body in (b"", b"{}", b"null", b"\xef\xbb\xbf", b"\xef\xbb\xbf{}", b"\xef\xbb\xbfnull")),
        {"body": None, "isBase64Encoded": True},
    ],
    ids=ascii,
)
def test_empty_body_means_default_recipients(make, body):
    assert parse(make(**body)) == ResendRequest(ORDER_ID)


@each_payload
@pytest.mark.parametrize(
    "encode", [lambda text: {"body": text}, lambda text: in_base64(text.encode())], ids=["text", "base64"]
)
def test_byte_order_mark_is_skipped(make, encode):
    body = {"locale": "en", "domain_approval_emails": [ONE]}

    request = parse(make(**encode("\ufeff" + json.dumps(body))))

    assert request.upstream_body == {"domain_approval_emails": [ONE], "locale": "en"}


@each_payload
def test_absent_body_means_default_recipients(make):
    event = make()
    del event["body"]

    assert parse(event) == ResendRequest(ORDER_ID)


@each_payload
def test_base64_body_is_decoded(make):
    body = {"locale": "en", "domain_approval_emails": [ONE | {"domain": "münchen.example"}]}

    request = parse(make(**in_base64(json.dumps(body, ensure_ascii=False).encode())))

    assert (request.locale, request.recipients[0].domain) == ("en", "xn--mnchen-3ya.example")


@each_payload
@pytest.mark.parametrize(
    "body",
    [
        *({"body": text} for text in ("[]", "1", "true", '"text"', "NaN", '[{"locale": "en"}]')),
        *({"body": text} for text in ("{", "{'locale': 'en'}", "locale=en", " ", "{}{}")),
        *({"body": text} for text in ('\ufeff\ufeff{"locale": "en"}', "{}\ufeff", " \ufeff{}", "nul")),
        *({"body": text} for text in ("[" * 100_000, '{"locale": ' * 10_000, "1" * 5000)),
        *({"body": body} for body in (1, True, ["{}"], {"locale": "en"})),
        *({"body": text, "isBase64Encoded": True} for text in ("{}", "e30", "e30=\n", "e3=0", "é", 1)),
        *(in_base64(body) for body in (b"\xff\xfe", "{}".encode("utf-16"), b"\xef\xbb\xbf[]")),
    ],
    ids=lambda body: ascii(body)[:60],
)
def test_body_that_is_no_json_object_is_rejected(make, body):
    assert rejected(make(**body)).field == "body"


@each_payload
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"locale": "en", "locale": "de"}', "locale"),
        ('{"domain_approval_emails": [], "domain_approval_emails": [{}]}', "domain_approval_emails"),
        ('{"domain_approval_emails": [{"domain": "a.example", "domain": "b.example"}]}', "domain"),
        ('{"locale": "en", "\\u006cocale": "de"}', "locale"),
    ],
    ids=["locale", "recipients", "nested", "escaped"],
)
def test_repeated_field_is_rejected(make, body, field):
    assert rejected(make(body)).field == field


def test_repeated_field_that_is_not_shown_is_rejected():
    error = rejected(v2('{"\\u0000": 1, "\\u0000": 2}'))

    assert error.field == "body"
    assert error.message == (
        "body: has a field more than once in the same object "
        "(its name is too long or not printable, so it is not shown)."
    )


@each_payload
@pytest.mark.parametrize(
    "name", ["order_id", "dry_run", "force", "requested_by", "action", "domain_approval_email", "Locale"]
)
def test_field_that_is_not_digicerts_is_rejected(make, name):
    error = rejected(make(json.dumps({name: 1})))

    assert error.field == name
    assert error.message == f"{name}: is an unknown field; allowed fields are domain_approval_emails, locale."


@each_payload
@pytest.mark.parametrize("name", ["dry_run", "force"])
@pytest.mark.parametrize("value", [True, False])
def test_flag_is_read_from_the_query(make, name, value):
    request = parse(make(query=[(name, str(value).lower())]))

    assert getattr(request, name) is value


@each_payload
def test_flags_are_false_without_a_query(make):
    request = parse(make(query=[]))

    assert (request.dry_run, request.force) == (False, False)


@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_flag_of_payload_1_is_read_without_the_second_map(name):
    event = v1(queryStringParameters={name: "true"}, multiValueQueryStringParameters=None)

    assert getattr(parse(event), name) is True


@pytest.mark.parametrize(
    "value", ["", "1", "True", "TRUE", "yes", "on", " true", "true,true", "true,false", None, 1], ids=ascii
)
@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_bad_flag_of_payload_2_is_rejected(name, value):
    assert rejected(v2(query={name: value})).field == name


@pytest.mark.parametrize(
    "values", [[""], ["yes"], ["true", "true"], ["false", "true"], ["true", "false"], [None]], ids=ascii
)
@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_bad_flag_of_payload_1_is_rejected(name, values):
    assert rejected(v1(query=[(name, value) for value in values])).field == name


@each_payload
@pytest.mark.parametrize("name", ["dryrun", "dry-run", "Force", "locale", "order_id"])
def test_unknown_flag_is_rejected(make, name):
    error = rejected(make(query=[(name, "true")]))

    assert error.field == name
    assert error.message == f"{name}: is an unknown field; allowed fields are dry_run, force."


@pytest.mark.parametrize(
    ("authorizer", "caller"),
    [
        ({"iam": {"userArn": USER_ARN}}, USER_ARN),
        ({"jwt": {"claims": {"sub": "somebody"}, "scopes": None}}, "somebody"),
        ({"jwt": {"claims": {"email": "jane@example.com"}}}, None),
        ({"iam": {"userArn": "a\nb"}}, None),
        ({"iam": None}, None),
        ("iam", None),
    ],
    ids=ascii,
)
def test_caller_of_payload_2_is_what_the_gateway_says(authorizer, caller):
    event = v2()
    event["requestContext"]["authorizer"] = authorizer

    assert http.parse_http(event).caller == caller


@pytest.mark.parametrize(
    ("identity", "authorizer", "caller"),
    [
        *(({"userArn": USER_ARN}, None, USER_ARN), ({"userArn": None}, {"claims": {"sub": "somebody"}}, "somebody")),
        *(({"userArn": None}, {"principalId": "p"}, None), (None, None, None)),
    ],
    ids=ascii,
)
def test_caller_of_payload_1_is_what_the_gateway_says(identity, authorizer, caller):
    event = v1()
    event["requestContext"] |= {"identity": identity, "authorizer": authorizer}

    assert http.parse_http(event).caller == caller


SENT_AT = 1795446245  # 2026-11-23T15:04:05Z
UNTIL = SENT_AT + 3720


def test_sent_resend_is_answered_204_without_a_body():
    response = http.http_answer(ResendResult(EXAMPLE, "sent", SENT_AT, UNTIL))

    assert response == {"statusCode": 204, "headers": {"Resend-Outcome": "sent"}, "body": ""}


def test_sent_resend_counts_those_who_were_skipped():
    skipped = tuple(Skipped(recipient, "already_mailed") for recipient in EXAMPLE.recipients)

    response = http.http_answer(ResendResult(replace(EXAMPLE, skipped=skipped), "sent", SENT_AT, UNTIL))

    assert response["headers"] == {"Resend-Outcome": "sent", "Resend-Skipped": "2"}


@pytest.mark.parametrize(
    ("earlier", "who"),
    [
        ((), " at 2026-11-23T15:04:05Z; the default recipients may be the same people"),
        (
            (("jane@example.com", SENT_AT - 60), ("admin@example.com", SENT_AT)),
            "j***@example.com at 2026-11-23T15:03:05Z, admin@example.com at 2026-11-23T15:04:05Z",
        ),
        (
            tuple((f"admin@n{number}.test", SENT_AT) for number in range(11)),
            ", ".join(f"admin@n{number}.test at 2026-11-23T15:04:05Z" for number in range(10)) + " …",
        ),
    ],
    ids=["default", "named", "many"],
)
def test_duplicate_is_answered_409_with_who_was_mailed_when(earlier, who):
    response = http.http_answer(ResendResult(EXAMPLE, "duplicate", SENT_AT, UNTIL, earlier))

    # Without Retry-After: a client that waits and repeats would mail again.
    assert (response["statusCode"], response["headers"]) == (409, {"Content-Type": "application/json"})
    (error,) = json.loads(response["body"])["errors"]
    assert error["code"] == "cool_down"
    assert f"{who}. Until 2026-11-23T16:06:05Z, a repeat sends nothing; ?force=true sends again." in error["message"]


def test_duplicate_does_not_say_who_the_default_recipients_are():
    mailed, perhaps = (("admin@example.com", SENT_AT - 60),), (("jane@example.com", SENT_AT),)

    response = http.http_answer(ResendResult(EXAMPLE, "duplicate", SENT_AT, UNTIL, mailed, perhaps))

    assert json.loads(response["body"])["errors"][0]["message"].startswith(
        "Already mailed: admin@example.com at 2026-11-23T15:03:05Z. DigiCert's default recipients were mailed at "
        "2026-11-23T15:04:05Z; they may include j***@example.com. Until "
    )


def test_dry_run_is_answered_200_with_the_plan():
    plan = ResendPlan(EXAMPLE, Order(ORDER_ID, "pending", "dv_ssl_certificate", "email"), (), SENT_AT, "sent")

    response = http.http_answer(plan)

    assert response["statusCode"] == 200
    assert response["headers"] == {"Content-Type": "application/json", "Resend-Outcome": "planned"}
    assert json.loads(response["body"]) == plan.to_json()


@pytest.mark.parametrize("kind", ResendError.__subclasses__())
def test_error_is_answered_with_its_status_code_and_message(kind):
    error = error_of(kind)

    response = http.http_error(error)

    message = "field: x" if kind is InvalidRequest else "x"
    assert (response["statusCode"], response["headers"]["Content-Type"]) == (kind.http_status, "application/json")
    assert json.loads(response["body"]) == {"errors": [{"code": error.code, "message": message}]}


def test_each_refused_recipient_has_its_own_entry():
    refused = [(f"domain_approval_emails[{number}].email", f"Reason {number}.") for number in range(250)]

    response = http.http_error(RecipientNotAllowed(refused))

    assert response["statusCode"] == 422
    assert json.loads(response["body"])["errors"] == [
        {"code": f"recipient_not_allowed|domain_approval_emails[{number}].email", "message": f"Reason {number}."}
        for number in range(250)
    ]


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (RateLimited("Slow."), "30"),
        (RateLimited("Slow.", retry_after=7), "7"),
        # A client that waits and repeats would mail again.
        (OutcomeUnknown("Perhaps.", retry_after=3599), None),
        (ResendInProgress("Busy.", retry_after=12), "12"),
        (CertCentralUnavailable("Away."), None),
        (CertCentralUnavailable("Away.", retry_after=600), "600"),
        (RequestRejected("No."), None),
    ],
    ids=ascii,
)
def test_retry_after_is_sent_if_repeating_is_right(error, retry_after):
    assert http.http_error(error)["headers"].get("Retry-After") == retry_after


def test_upstream_codes_follow_ours_unchanged():
    upstream = (UpstreamError("invalid_locale", "Bad locale."), UpstreamError("invalid_domain|x", ""))

    response = http.http_error(RequestRejected("Refused.", upstream_status=400, upstream_errors=upstream))

    assert json.loads(response["body"])["errors"] == [
        {"code": "request_rejected", "message": "Refused."},
        {"code": "invalid_locale", "message": "Bad locale."},
        {"code": "invalid_domain|x", "message": ""},
    ]


def test_upstream_message_without_a_code_follows_under_ours():
    response = http.http_error(RequestRejected("Refused.", upstream_errors=(UpstreamError("", "Bad locale."),)))

    assert json.loads(response["body"])["errors"] == [
        {"code": "request_rejected", "message": "Refused."},
        {"code": "request_rejected", "message": "Bad locale."},
    ]


@pytest.mark.parametrize(
    ("kind", "code"), [(OrderNotFound, "not_found|order"), (RateLimited, "request_limit_exceeded")]
)
def test_upstream_code_that_equals_ours_is_not_repeated(kind, code):
    response = http.http_error(kind("Ours.", upstream_errors=(UpstreamError(code, "Theirs."),)))

    assert error_codes(response) == [code]


def test_bug_is_answered_500_without_detail():
    response = http.http_error(ValueError("secret detail"))

    assert (response["statusCode"], error_codes(response)) == (500, ["internal_error"])
    assert "secret detail" not in str(response)
