"""The events: every event shape becomes the same command, and every result or error its caller's answer."""

import base64
import copy
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend import errors
from dv_resend.core.orders import Order
from dv_resend.core.plan import ResendPlan
from dv_resend.core.requests import ResendRequest, StatusRequest, SweepRequest
from dv_resend.core.resend import ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.errors import (
    CertCentralUnavailable,
    InvalidRequest,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    RecipientNotAllowed,
    RequestRejected,
    ResendError,
    ResendInProgress,
    UpstreamError,
)
from dv_resend.handlers import events

EVENTS = Path(__file__).parents[3] / "events"
SAMPLES = {path.name: json.loads(path.read_text("utf-8")) for path in sorted(EVENTS.glob("*.json"))}
HTTP = ("http-api-v2.json", "http-api-v2-jwt.json", "function-url.json", "rest-api-v1.json")
DOORS = dict.fromkeys(HTTP, "http") | {
    "direct.json": "direct",
    "step-functions-task.json": "direct",
    "scheduler.json": "direct",
    "status.json": "direct",
    "eventbridge.json": "event",
    "scheduled-event.json": "schedule",
    "scheduler-sweep.json": "schedule",
    "sqs-reminders.json": "sqs",
}
SINGLE = sorted(set(DOORS) - {"sqs-reminders.json"})
RESENDS = sorted(name for name, door in DOORS.items() if door in ("http", "direct", "event") and name != "status.json")
USER_ARN = "arn:aws:sts::123456789012:assumed-role/web-team/deploy"
EXECUTION_ARN = "arn:aws:states:eu-west-1:123456789012:execution:issue-certificate:6f1c2b0e-3d4a-4b5c-8d6e-7f8091a2b3c4"
SCHEDULE_ARN = "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/remind-order-123456789"
EVENT_ID = "0c4f6a0e-7b1d-4c3e-9f2a-5d6b7c8e9f01"
RULE_EVENT_ID = "89d1a02d-5ec7-412e-82f5-13505f849b41"
EXAMPLE = ResendRequest.from_input(SAMPLES["direct.json"])
PATH = "/services/v2/order/certificate/123456789/resend-emails"
ONE = {"domain": "example.com", "email": "admin@example.com"}


def parse(event):
    return events.parse(events.source_of(event), event)


def v2(body=None, *, path=PATH, method="PUT", query=None, **more):
    event = copy.deepcopy(SAMPLES["http-api-v2.json"])
    event |= {"rawPath": path, "body": body, **more}
    event["requestContext"]["http"] |= {"method": method, "path": path}
    if query is not None:
        event["queryStringParameters"] = query
    return event


def v1(body=None, *, path=PATH, method="PUT", query=None, **more):
    """A REST API's event; ``query`` is a list of pairs, as payload 1.0 spreads them over two maps."""
    event = copy.deepcopy(SAMPLES["rest-api-v1.json"]) | {"path": path, "httpMethod": method, "body": body, **more}
    if query is not None:
        event["queryStringParameters"] = dict(query)
        event["multiValueQueryStringParameters"] = {name: [v for n, v in query if n == name] for name, _ in query}
    return event


BOTH = pytest.mark.parametrize("make", [v2, v1])


def encoded(body):
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def refused(event):
    with pytest.raises(InvalidRequest) as caught:
        parse(event)
    return caught.value


# The sample events


def test_there_is_one_sample_per_door():
    assert set(SAMPLES) == set(DOORS)


@pytest.mark.parametrize("name", DOORS)
def test_each_sample_is_recognised(name):
    assert events.source_of(SAMPLES[name]) == DOORS[name]


@pytest.mark.parametrize("name", RESENDS)
def test_every_sample_asks_for_the_same_emails(name):
    ask = parse(SAMPLES[name]).ask

    assert dataclasses.replace(ask, requested_by=None) == EXAMPLE
    assert json.dumps(ask.upstream_body) == json.dumps(EXAMPLE.upstream_body)
    assert ask.claim_key == EXAMPLE.claim_key


@pytest.mark.parametrize("name", ["scheduled-event.json", "scheduler-sweep.json"])
def test_both_kinds_of_schedule_ask_for_a_whole_sweep(name):
    assert parse(SAMPLES[name]).ask == SweepRequest()


@pytest.mark.parametrize(
    ("name", "caller"),
    [
        ("http-api-v2.json", USER_ARN),
        ("function-url.json", USER_ARN),
        ("rest-api-v1.json", USER_ARN),
        ("http-api-v2-jwt.json", "web-team@clients"),
        ("direct.json", None),
        ("step-functions-task.json", EXECUTION_ARN),
        ("scheduler.json", SCHEDULE_ARN),
        ("eventbridge.json", EVENT_ID),
        ("status.json", EXECUTION_ARN),
        ("scheduled-event.json", RULE_EVENT_ID),
        ("scheduler-sweep.json", None),
    ],
)
def test_each_sample_says_who_calls(name, caller):
    assert parse(SAMPLES[name]).caller == caller


@pytest.mark.parametrize("name", SINGLE)
def test_only_an_event_has_an_id_that_its_redeliveries_share(name):
    assert parse(SAMPLES[name]).event_id == (EVENT_ID if name == "eventbridge.json" else None)


@pytest.mark.parametrize("name", sorted(HTTP))
def test_a_key_that_a_caller_sends_goes_nowhere(name):
    assert "a-callers-own-key" in str(SAMPLES[name])

    assert "a-callers-own-key" not in str(parse(SAMPLES[name]))


# Recognition


@pytest.mark.parametrize(
    "event",
    [
        None,
        True,
        1,
        "PUT",
        [],
        [{"order_id": 1}],
        {},
        {"detail": {"order_id": 1}},
        {"Records": []},
        {"Records": None},
        {"Records": {"eventSource": "aws:sqs"}},
        {"requestContext": {}},
    ],
    ids=ascii,
)
def test_what_came_through_no_door_is_refused(event):
    with pytest.raises(InvalidRequest) as caught:
        events.source_of(event)

    assert caught.value.field == "event"


@pytest.mark.parametrize(
    "detail_type", ["scheduled event", "resend dv emails", "", None, 1, ["Resend DV Emails"]], ids=ascii
)
def test_an_event_of_another_type_is_refused(detail_type):
    with pytest.raises(InvalidRequest) as caught:
        events.source_of({**SAMPLES["eventbridge.json"], "detail-type": detail_type})

    assert caught.value.field == "detail-type"


@pytest.mark.parametrize(
    "records",
    [
        [{}],
        [None],
        ["x"],
        [{"eventSource": "aws:s3"}],
        [{"eventSource": ["aws:sqs"]}],
        [{"EventSource": "aws:sns"}],
        [{"eventSource": "aws:sqs"}, {"eventSource": "aws:kinesis"}],
    ],
    ids=ascii,
)
def test_records_of_anything_but_sqs_are_refused(records):
    with pytest.raises(InvalidRequest) as caught:
        events.source_of({"Records": records})

    assert caught.value.field == "Records"


def test_the_records_of_sqs_are_no_single_command():
    assert refused(SAMPLES["sqs-reminders.json"]).field == "Records"


@pytest.mark.parametrize("event", [v2(), v1()], ids=["v2", "v1"])
def test_an_http_caller_cannot_pose_as_an_event(event):
    posing = event | {"detail-type": "Resend DV Emails", "detail": {"order_id": 1}}
    body = json.dumps({"order_id": 1, "action": "sweep"})

    assert events.source_of(posing) == "http"
    assert parse(posing).ask.order_id == 123456789
    assert refused(event | {"body": body}).field == "order_id"


@pytest.mark.parametrize("call", [{"order_id": 1}, {"action": "status", "order_id": 1}, {"action": "sweep"}], ids=ascii)
@pytest.mark.parametrize(
    "stray",
    [{"httpMethod": "PUT"}, {"requestContext": {"http": {"method": "PUT"}}}, {"path": PATH}, {"Records": []}],
    ids=ascii,
)
def test_a_direct_call_with_a_stray_field_of_another_door_is_refused_and_not_taken_for_it(call, stray):
    assert events.source_of(call | stray) in ("direct", "schedule")
    assert refused(call | stray).field == next(iter(stray))


# Direct calls and events


def test_a_status_is_asked_by_its_action():
    command = parse({"action": "status", "order_id": "12"})

    assert command == events.Command(StatusRequest(12), caller=None)


@pytest.mark.parametrize("call", [{"order_id": 1}, {"action": "status", "order_id": 1}, {"action": "sweep"}], ids=ascii)
def test_the_caller_of_a_direct_call_is_who_it_says_it_is_for(call):
    assert parse(call | {"requested_by": "somebody"}).caller == "somebody"
    assert parse(call).caller is None
    assert refused(call | {"requested_by": "a\nb"}).field == "requested_by"


def test_a_sweep_is_asked_by_its_action():
    assert parse({"action": "sweep", "dry_run": True}).ask == SweepRequest(dry_run=True)


def test_a_link_of_a_sweep_goes_on_where_the_last_one_ended():
    link = SweepRequest(offset=2000, link=3, so_far=SweepSummary(listed=2000, by_status={"pending": 2000}))

    assert parse(json.loads(json.dumps(link.to_json()))).ask == link


@pytest.mark.parametrize("detail_type", ["Scheduled Event", "x"])
def test_a_dry_sweep_with_a_stray_detail_type_never_becomes_a_real_one(detail_type):
    assert refused({"action": "sweep", "dry_run": True, "detail-type": detail_type}).field == "detail-type"


@pytest.mark.parametrize("field", ["order_id", "force", "locale", "domain_approval_emails", "days"])
def test_a_sweep_takes_no_field_of_a_resend(field):
    assert refused({"action": "sweep", field: 1}).field == field


@pytest.mark.parametrize("more", [{}, {"detail": {"order_id": 1}}, {"detail": None}, {"id": None}], ids=ascii)
def test_a_scheduled_event_asks_for_a_sweep_whatever_else_it_says(more):
    command = parse(SAMPLES["scheduled-event.json"] | more)

    assert (command.ask, command.event_id) == (SweepRequest(), None)


@pytest.mark.parametrize("action", ["resend", "Status", "", None, 1, ["status"], {}], ids=ascii)
def test_another_action_is_refused(action):
    assert refused({"action": action, "order_id": 1}).field == "action"


@pytest.mark.parametrize("field", ["dry_run", "force", "locale", "domain_approval_emails", "orderid"])
def test_a_status_takes_no_field_of_a_resend(field):
    assert refused({"action": "status", "order_id": 1, field: True}).field == field


@pytest.mark.parametrize("event", [{"action": "status"}, {"action": "status", "order_id": None}], ids=ascii)
def test_a_status_needs_an_order_id(event):
    assert refused(event).field == "order_id"


@pytest.mark.parametrize("detail", [None, [], "order_id", 1, [{"order_id": 1}]], ids=ascii)
def test_the_detail_of_an_event_is_an_object(detail):
    assert refused({**SAMPLES["eventbridge.json"], "detail": detail}).field == "detail"


def test_an_event_without_detail_is_refused():
    event = dict(SAMPLES["eventbridge.json"])
    del event["detail"]

    assert refused(event).field == "detail"


def test_the_caller_of_an_event_is_its_id_whoever_asked():
    event = SAMPLES["eventbridge.json"] | {"detail": {"order_id": 1, "requested_by": "somebody"}}

    command = parse(event)

    assert (command.caller, command.ask.requested_by, command.event_id) == (EVENT_ID, "somebody", EVENT_ID)


@pytest.mark.parametrize("event_id", [None, "", 1, ["x"], "x" * 257, "a\nb"], ids=ascii)
def test_an_event_id_that_cannot_stand_in_a_claim_is_left_out(event_id):
    command = parse(SAMPLES["eventbridge.json"] | {"id": event_id})

    assert (command.event_id, command.caller) == (None, None)


def test_an_event_may_ask_for_a_status():
    command = parse(SAMPLES["eventbridge.json"] | {"detail": {"action": "status", "order_id": 7}})

    assert (command.ask, command.caller) == (StatusRequest(7), EVENT_ID)


def test_an_event_cannot_ask_for_a_sweep():
    assert refused(SAMPLES["eventbridge.json"] | {"detail": {"action": "sweep"}}).field == "action"


# Paths and methods of HTTP


@BOTH
@pytest.mark.parametrize("prefix", ["", "/live", "/$default", "/dv-resend"])
def test_a_stage_or_base_path_may_stand_before_the_path(make, prefix):
    event = make(path=prefix + PATH)

    assert events.not_routed(event) is None
    assert parse(event).ask.order_id == 123456789


@BOTH
@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/services/v2", "/services/v2/order/certificate/123456789", PATH + "/", PATH + "/x", PATH + "\n"),
        *("/a/b" + PATH, "/" + PATH, PATH[1:], PATH.upper(), PATH.replace("v2", "v1")),
        *("/services/v2/order/certificate//resend-emails", "/services/v2/order/certificate/1/2/resend-emails"),
        *("/services/v2/order/certificate/123456789/resend-emailsx", None, 1, []),
    ],
    ids=ascii,
)
def test_another_path_is_404(make, path):
    response = events.not_routed(make() | {"rawPath" if make is v2 else "path": path})

    assert response["statusCode"] == 404
    assert json.loads(response["body"])["errors"][0]["code"] == "not_found|route"


@BOTH
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "put"])
def test_another_method_is_405_and_says_which_is_allowed(make, method):
    response = events.not_routed(make(method=method))

    assert (response["statusCode"], response["headers"]["Allow"]) == (405, "PUT")
    assert json.loads(response["body"])["errors"][0]["code"] == "method_not_allowed"


@BOTH
@pytest.mark.parametrize(
    "order_id", ["abc", "0", "-1", "+1", "1.0", " 1", "1\n", "9" * 16, "%31", "\u0661", "..", "1;2"], ids=ascii
)
def test_an_order_id_in_the_path_is_checked_like_any_other(make, order_id):
    event = make(path=PATH.replace("123456789", order_id))

    assert events.not_routed(event) is None
    assert refused(event).field == "order_id"


# Bodies of HTTP


@BOTH
@pytest.mark.parametrize(
    "body",
    [{"body": None}, {"body": ""}, {"body": "{}"}, {"body": " {}\n"}, encoded(b""), encoded(b"{}")],
    ids=ascii,
)
def test_an_empty_body_means_the_default_recipients(make, body):
    assert parse(make(**body)).ask == ResendRequest(123456789)


@BOTH
def test_an_absent_body_means_the_default_recipients(make):
    event = make()
    del event["body"]

    assert parse(event).ask == ResendRequest(123456789)


@BOTH
def test_a_base64_body_is_decoded(make):
    text = json.dumps(
        {"locale": "en", "domain_approval_emails": [ONE | {"domain": "münchen.example"}]}, ensure_ascii=False
    )

    request = parse(make(**encoded(text.encode()))).ask

    assert (request.locale, request.recipients[0].domain) == ("en", "xn--mnchen-3ya.example")


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        *({"body": text} for text in ("null", "[]", "1", "true", '"text"', "NaN", '[{"locale": "en"}]')),
        *(
            {"body": text}
            for text in ("{", "{]", '{"locale": }', "{'locale': 'en'}", "locale=en", "<xml/>", " ", "{}{}")
        ),
        *({"body": text} for text in ('\ufeff{"locale": "en"}', "[" * 100_000, '{"locale": ' * 10_000, "1" * 5000)),
        *({"body": body} for body in (1, True, ["{}"], {"locale": "en"})),
        *({"body": text, "isBase64Encoded": True} for text in ("{}", "e30", "e30=\n", "e3=0", "é", 1)),
        *(encoded(body) for body in (b"\xff\xfe", '{"locale": "é"}'.encode("latin-1"), "{}".encode("utf-16"), b"null")),
    ],
    ids=lambda body: ascii(body)[:60],
)
def test_a_body_that_is_no_json_object_is_refused_and_not_taken_as_empty(make, body):
    error = refused(make(**body))

    assert error.field == "body"


@BOTH
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
def test_a_name_that_stands_twice_is_refused(make, body, field):
    assert refused(make(body)).field == field


@BOTH
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"locale": NaN}', "locale"),
        ('{"locale": null}', "locale"),
        ('{"locale": "\\ud800"}', "locale"),
        ('{"domain_approval_emails": []}', "domain_approval_emails"),
        ('{"domain_approval_emails": null}', "domain_approval_emails"),
        ('{"domain_approval_email": []}', "domain_approval_email"),
        *((f'{{"{name}": 1}}', name) for name in ("order_id", "dry_run", "force", "requested_by", "action")),
    ],
)
def test_the_body_holds_digicerts_fields_and_nothing_of_ours(make, body, field):
    assert refused(make(body)).field == field


# Flags of HTTP, in the query


@BOTH
@pytest.mark.parametrize("name", ["dry_run", "force"])
@pytest.mark.parametrize("value", [True, False])
def test_flags_stand_in_the_query(make, name, value):
    text = str(value).lower()
    query = {name: text} if make is v2 else [(name, text)]

    assert getattr(parse(make(query=query)).ask, name) is value


@BOTH
def test_without_a_query_no_flag_is_set(make):
    request = parse(make(query={} if make is v2 else [])).ask

    assert (request.dry_run, request.force) == (False, False)


@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_payload_1_without_its_map_of_several_values_still_has_flags(name):
    event = v1(queryStringParameters={name: "true"}, multiValueQueryStringParameters=None)

    assert getattr(parse(event).ask, name) is True


@pytest.mark.parametrize(
    "value", ["", "1", "True", "TRUE", "yes", "on", " true", "true,true", "true,false", None, 1], ids=ascii
)
@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_a_flag_of_payload_2_is_true_or_false_once(name, value):
    assert refused(v2(query={name: value})).field == name


@pytest.mark.parametrize(
    "values", [[""], ["yes"], ["true", "true"], ["false", "true"], ["true", "false"], [None]], ids=ascii
)
@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_a_flag_of_payload_1_is_true_or_false_once(name, values):
    assert refused(v1(query=[(name, value) for value in values])).field == name


@BOTH
@pytest.mark.parametrize("name", ["dryrun", "dry-run", "Force", "locale", "order_id"])
def test_an_unknown_flag_is_refused(make, name):
    assert refused(make(query={name: "true"} if make is v2 else [(name, "true")])).field == name


# Who calls by HTTP


@pytest.mark.parametrize(
    ("authorizer", "caller"),
    [
        ({"iam": {"userArn": USER_ARN}}, USER_ARN),
        ({"jwt": {"claims": {"sub": "somebody"}, "scopes": None}}, "somebody"),
        ({"jwt": {"claims": {"email": "jane@example.com"}}}, None),
        ({"iam": {"userArn": "a\nb"}}, None),
        ({"iam": {"userArn": "x" * 257}}, None),
        ({"iam": None}, None),
        ({}, None),
        (None, None),
        ("iam", None),
    ],
    ids=ascii,
)
def test_the_caller_of_payload_2_is_what_the_gateway_says(authorizer, caller):
    event = v2()
    event["requestContext"]["authorizer"] = authorizer

    assert parse(event).caller == caller


@pytest.mark.parametrize(
    ("identity", "authorizer", "caller"),
    [
        ({"userArn": USER_ARN}, None, USER_ARN),
        ({"userArn": None}, {"claims": {"sub": "somebody"}}, "somebody"),
        ({"userArn": None}, {"principalId": "p"}, None),
        (None, None, None),
    ],
    ids=ascii,
)
def test_the_caller_of_payload_1_is_what_the_gateway_says(identity, authorizer, caller):
    event = v1()
    event["requestContext"] |= {"identity": identity, "authorizer": authorizer}

    assert parse(event).caller == caller


# HTTP answers


SENT_AT = 1795446245  # 2026-11-23T15:04:05Z


def error_of(kind, message="Bad."):
    if kind is RecipientNotAllowed:
        return kind([("domain_approval_emails[0].email", message)])
    return kind("locale", message) if kind in (InvalidRequest, OrderNotEligible) else kind(message)


def answer_codes(response):
    return [entry["code"] for entry in json.loads(response["body"])["errors"]]


def test_a_sent_resend_is_204_as_at_digicert():
    response = events.http_answer(ResendResult(EXAMPLE, "sent", SENT_AT, 3600))

    assert response == {"statusCode": 204, "headers": {"Resend-Outcome": "sent"}, "body": ""}


def test_a_duplicate_is_409_and_says_when_it_was_sent_and_how_long_to_wait():
    response = events.http_answer(ResendResult(EXAMPLE, "duplicate", SENT_AT, 1234))

    assert (response["statusCode"], response["headers"]["Retry-After"]) == (409, "1234")
    (entry,) = json.loads(response["body"])["errors"]
    assert entry["code"] == "cool_down"
    assert "2026-11-23T15:04:05Z" in entry["message"]


def test_a_dry_run_is_200_with_the_plan():
    plan = ResendPlan(EXAMPLE, Order(123456789, "pending", "dv_ssl_certificate", "email"), (), SENT_AT, "sent")

    response = events.http_answer(plan)

    assert response["statusCode"] == 200
    assert response["headers"] == {"Content-Type": "application/json", "Resend-Outcome": "planned"}
    assert json.loads(response["body"]) == plan.to_json()


def test_a_dry_run_that_found_a_refusal_is_200_too_and_names_it():
    order = Order(123456789, "issued", "dv_ssl_certificate", "email")
    refusal = OrderNotEligible("not_pending", "Order 123456789 is issued.")

    response = events.http_answer(ResendPlan(EXAMPLE, order, (), SENT_AT, "OrderNotEligible", refusal))

    assert (response["statusCode"], response["headers"]["Resend-Outcome"]) == (200, "planned")
    answer = json.loads(response["body"])
    assert (answer["would_be"], answer["code"]) == ("OrderNotEligible", "order_not_eligible|not_pending")
    assert "upstream_body" not in answer


@pytest.mark.parametrize("kind", ResendError.__subclasses__())
def test_every_error_answers_with_its_status_and_code_in_digicerts_shape(kind):
    error = error_of(kind)

    response = events.http_error(error)

    assert response["statusCode"] == kind.http_status
    assert response["headers"]["Content-Type"] == "application/json"
    assert json.loads(response["body"]) == {"errors": [{"code": error.code, "message": error.entries[0][1]}]}
    assert error.entries[0][1] == "locale: Bad." if kind is InvalidRequest else "Bad."


@pytest.mark.parametrize("count", [1, 2, 21, 250])
def test_each_refused_recipient_has_an_entry_of_its_own(count):
    refused = [(f"domain_approval_emails[{number}].email", f"Reason {number}.") for number in range(count)]

    response = events.http_error(RecipientNotAllowed(refused))

    assert response["statusCode"] == 422
    assert json.loads(response["body"])["errors"] == [
        {"code": f"recipient_not_allowed|domain_approval_emails[{number}].email", "message": f"Reason {number}."}
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (RateLimited("Slow."), "30"),
        (RateLimited("Slow.", retry_after=7), "7"),
        (OutcomeUnknown("Perhaps.", retry_after=3599), "3599"),
        (ResendInProgress("Busy.", retry_after=12), "12"),
        (OutcomeUnknown("Perhaps."), None),
        (CertCentralUnavailable("Away."), None),
        (CertCentralUnavailable("Away.", retry_after=600), "600"),
        (RequestRejected("No."), None),
    ],
    ids=ascii,
)
def test_a_retry_after_is_given_where_it_is_known_and_always_for_a_rate_limit(error, retry_after):
    assert events.http_error(error)["headers"].get("Retry-After") == retry_after


def test_upstream_codes_follow_ours_unchanged():
    said = (UpstreamError("invalid_locale", "Bad locale."), UpstreamError("invalid_domain|x", ""))

    response = events.http_error(RequestRejected("Refused.", upstream_status=400, upstream_errors=said))

    assert json.loads(response["body"])["errors"] == [
        {"code": "request_rejected", "message": "Refused."},
        {"code": "invalid_locale", "message": "Bad locale."},
        {"code": "invalid_domain|x", "message": ""},
    ]


@pytest.mark.parametrize(
    ("kind", "code"), [(OrderNotFound, "not_found|order"), (RateLimited, "request_limit_exceeded")]
)
def test_an_upstream_code_that_is_ours_too_is_not_doubled(kind, code):
    response = events.http_error(kind("Ours.", upstream_errors=(UpstreamError(code, "Theirs."),)))

    assert answer_codes(response) == [code]


@pytest.mark.parametrize("error", [ValueError("secret detail"), KeyError("secret detail"), Exception()], ids=ascii)
def test_a_bug_is_500_without_detail(error):
    response = events.http_error(error)

    assert (response["statusCode"], answer_codes(response)) == (500, ["internal_error"])
    assert "secret detail" not in str(response)


# Properties

PURE = settings(deadline=None, derandomize=True, max_examples=150)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "http": JSON | st.fixed_dictionaries({"method": st.just("PUT") | JSON}),
        "authorizer": JSON | st.dictionaries(st.sampled_from(["iam", "jwt", "claims"]), JSON),
        "identity": JSON | st.fixed_dictionaries({"userArn": JSON}),
    },
)
QUERIES = st.dictionaries(
    st.sampled_from(["dry_run", "force", "x"]), st.just("true") | st.just(["true"]) | JSON, max_size=2
)
# Right, nearly right or anything under every name that a door looks at.
EVENTS_OF_ANY_SHAPE = JSON | st.fixed_dictionaries(
    {},
    optional={
        "requestContext": CONTEXTS | JSON,
        "httpMethod": st.just("PUT") | JSON,
        "rawPath": st.just(PATH) | JSON,
        "path": st.just(PATH) | JSON,
        "queryStringParameters": QUERIES | JSON,
        "multiValueQueryStringParameters": QUERIES | JSON,
        "body": JSON
        | JSON.map(json.dumps)
        | st.text().map(lambda t: base64.b64encode(t.encode(errors="replace")).decode()),
        "isBase64Encoded": st.booleans() | JSON,
        "detail-type": st.sampled_from(["Resend DV Emails", "Scheduled Event"]) | JSON,
        "detail": st.fixed_dictionaries({"order_id": st.integers(1, 9)}) | JSON,
        "id": JSON,
        "order_id": st.integers(1, 9) | JSON,
        "action": st.sampled_from(["status", "sweep"]) | JSON,
        "dry_run": JSON,
        "so_far": JSON,
        "Records": JSON | st.lists(st.fixed_dictionaries({"eventSource": st.just("aws:sqs") | JSON}), max_size=2),
    },
)


def assert_is_a_response(response):
    assert type(response["statusCode"]) is int
    assert all(isinstance(text, str) for item in response["headers"].items() for text in item)
    assert all(text.isprintable() for item in response["headers"].items() for text in item)
    assert response["body"] == "" or json.loads(response["body"])


@settings(PURE, max_examples=400)
@given(EVENTS_OF_ANY_SHAPE)
def test_any_event_is_answered_or_refused_by_name(event):
    refusal = None
    try:
        if events.source_of(event) == "http" and (response := events.not_routed(event)) is not None:
            assert_is_a_response(response)
        command = parse(event)
        assert isinstance(command.ask, ResendRequest | StatusRequest | SweepRequest)
        assert command.caller is None or command.caller.isprintable()
    except InvalidRequest as error:
        refusal = error

    assert refusal is None or (refusal.field and str(refusal).isprintable())
    assert refusal is None or assert_is_a_response(events.http_error(refusal)) is None


TEXTS = st.text(max_size=30)
UPSTREAM = st.lists(st.builds(UpstreamError, TEXTS, TEXTS), max_size=3).map(tuple)
ERRORS = st.one_of(
    st.builds(InvalidRequest, TEXTS, TEXTS),
    st.builds(OrderNotEligible, TEXTS, TEXTS),
    st.builds(RecipientNotAllowed, st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=30)),
    st.builds(
        lambda kind, message, retry_after, said: kind(message, retry_after=retry_after, upstream_errors=said),
        st.sampled_from(
            [
                kind
                for kind in ResendError.__subclasses__()
                if kind not in (InvalidRequest, OrderNotEligible, RecipientNotAllowed)
            ]
        ),
        TEXTS,
        st.none() | st.integers(1, 10**6),
        UPSTREAM,
    ),
    st.builds(Exception, TEXTS),
)


@PURE
@given(ERRORS)
def test_every_error_becomes_a_response_that_the_gateway_takes(error):
    response = events.http_error(error)

    assert_is_a_response(response)
    assert response["statusCode"] >= 400
    assert len(answer_codes(response)) >= 1


@PURE
@given(st.sampled_from(["sent", "duplicate"]), st.integers(0, 4 * 10**9), st.integers(1, 10**6))
def test_every_result_becomes_a_response_that_the_gateway_takes(outcome, sent_at, left):
    response = events.http_answer(ResendResult(EXAMPLE, outcome, sent_at, left))

    assert_is_a_response(response)
    assert (response["statusCode"] == 204) == (outcome == "sent")


@PURE
@given(st.text().filter(lambda name: name not in {"domain_approval_emails", "locale"}), JSON)
def test_no_other_field_gets_past_the_body(name, value):
    error = refused(v2(json.dumps({name: value})))

    assert str(error).isprintable()
    assert errors.InvalidRequest is type(error)
