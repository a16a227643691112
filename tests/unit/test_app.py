"""The handler: every error of the design through every door, against the emulator and an AWS in this process."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from certcentral import CertCentralEmulator
from conftest import CANARY, SECRET_ID, SERVICE, TABLE, Output
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from responses import RequestsMock

from dv_resend import app, errors

ORDER = 100000001
PATH = "/services/v2/order/certificate/{}/resend-emails"
DOCUMENTED_BODY = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
    ],
    "locale": "en",
}


def http_v2(order_id: Any, body: Any = None, query: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": PATH.format(order_id),
        "headers": {"x-dc-devkey": CANARY},
        "queryStringParameters": query,
        "requestContext": {"http": {"method": "PUT"}, "stage": "$default"},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def http_v1(order_id: Any, body: Any = None, query: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "httpMethod": "PUT",
        "path": PATH.format(order_id),
        "headers": {"X-DC-DEVKEY": CANARY},
        "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()} or None,
        "queryStringParameters": query,
        "requestContext": {"identity": {"userArn": "arn:aws:iam::123456789012:user/jane"}, "stage": "prod"},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def direct(order_id: Any, body: Any = None, query: dict[str, str] | None = None) -> dict[str, Any]:
    flags = {name: value == "true" for name, value in (query or {}).items()}
    return {"order_id": order_id, **(body or {}), **flags}


def event(order_id: Any, body: Any = None, query: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": "Resend DV Emails",
        "source": "pki.portal",
        "detail": direct(order_id, body, query),
    }


HTTP_DOORS = {"http-2.0": http_v2, "http-1.0": http_v1}
RAISING_DOORS = {"direct": direct, "event": event}
DOORS: dict[str, Callable[..., dict[str, Any]]] = HTTP_DOORS | RAISING_DOORS
each_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


@pytest.fixture
def emulator(aws: None, settings: Callable[..., None]) -> Iterator[CertCentralEmulator]:  # noqa: ARG001
    with CertCentralEmulator(valid_key=CANARY) as emulator:
        settings(CERTCENTRAL_BASE_URL=emulator.base_url, CERTCENTRAL_TIMEOUT_SECONDS="1")
        yield emulator
        app._adapters.cache_clear()


def store_key(key: str) -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=SECRET_ID, SecretString=key)


def puts(emulator: CertCentralEmulator) -> list[dict[str, Any]]:
    return [call for call in emulator.calls if call["method"] == "PUT"]


def fail_aws(monkeypatch: pytest.MonkeyPatch, operation: str, error: Exception) -> None:
    """Make one AWS operation fail; all others go on."""
    original = botocore.client.BaseClient._make_api_call

    def call(self: Any, name: str, parameters: Any) -> Any:
        if name == operation:
            raise error
        return original(self, name, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)


def refusal(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"{code} for {CANARY}"}}, operation)


def away(operation: str) -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url=f"https://{operation.lower()}.test/")


# One request, many doors


@each_door
def test_documented_request_goes_out_the_same_through_each_door(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(door(123456789, DOCUMENTED_BODY))

    (call,) = puts(emulator)
    assert call["body"] == json.dumps(DOCUMENTED_BODY, separators=(",", ":"))
    assert call["role"] == "valid"
    assert [mail["to"] for mail in emulator.outbox] == ["someone@example.com", "someone@example2.com"]


@each_door
def test_default_recipients_go_out_the_same_through_each_door(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(door(ORDER))

    assert [call["body"] for call in puts(emulator)] == ["{}"]


def test_http_answers_204_without_a_body(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    for door in HTTP_DOORS.values():
        answer = invoke(door(emulator.add_order()["id"]))

        assert answer == {"statusCode": 204, "headers": {"Resend-Outcome": "sent"}, "body": ""}


def test_raising_doors_answer_with_the_result(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    for door in RAISING_DOORS.values():
        order_id = emulator.add_order(names=["example.com"])["id"]
        recipients = [{"domain": "example.com", "email": "admin@example.com"}]

        answer = invoke(door(order_id, {"domain_approval_emails": recipients}))

        assert answer.pop("sent_at").endswith("Z")
        assert answer == {"order_id": order_id, "outcome": "sent", "recipients": ["admin@example.com"]}


@each_door
def test_repeat_is_a_duplicate(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    door: Callable[..., dict[str, Any]],
) -> None:
    first = invoke(direct(ORDER))
    output()

    repeat = invoke(door(ORDER))

    if door in RAISING_DOORS.values():
        assert repeat == first | {"outcome": "duplicate"}
    else:
        (error,) = json.loads(repeat["body"])["errors"]
        assert (repeat["statusCode"], error["code"]) == (409, "cool_down")
        assert first["sent_at"] in error["message"]
        assert 3500 < int(repeat["headers"]["Retry-After"]) <= 3601
    assert output().audit["outcome"] == "duplicate"
    assert len(puts(emulator)) == 1


@each_door
def test_dry_run_plans_and_sends_nothing(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    answer = invoke(door(123456789, DOCUMENTED_BODY, {"dry_run": "true"}))

    plan = json.loads(answer["body"]) if "statusCode" in answer else answer
    assert plan == {
        "order_id": 123456789,
        "outcome": "planned",
        "recipients": ["someone@example.com", "someone@example2.com"],
        "upstream_body": DOCUMENTED_BODY,
        "would_be": "sent",
    }
    assert (emulator.outbox, puts(emulator)) == ([], [])
    assert boto3.client("dynamodb").scan(TableName=TABLE)["Items"] == []


@each_door
def test_force_sends_again(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(direct(ORDER))

    invoke(door(ORDER, query={"force": "true"}))

    assert len(puts(emulator)) == 2


@each_door
def test_redelivery_of_a_forced_call_sends_nothing(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(direct(ORDER), request_id="first")
    for _ in range(3):
        invoke(door(ORDER, query={"force": "true"}), request_id="forced")

    assert len(puts(emulator)) == 2


def test_redelivered_event_is_known_by_its_own_id(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    for request_id in ("one", "two", "three"):
        invoke(event(ORDER, query={"force": "true"}), request_id=request_id)

    assert len(puts(emulator)) == 1


def test_status_action(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    assert invoke({"action": "status", "order_id": ORDER}) == {
        "order_id": ORDER,
        "status": "pending",
        "dcv_method": "email",
        "domains": [{"name": "example.com", "status": "pending"}],
    }
    assert len(emulator.calls) == 1


# Every error through every door


@dataclass
class Stage:
    """What a case may change before the call: the emulator, AWS, the settings; and what it then asks for."""

    emulator: CertCentralEmulator
    monkeypatch: pytest.MonkeyPatch
    settings: Callable[..., None]
    order_id: int = ORDER
    body: dict[str, Any] = field(default_factory=dict)

    def order(self, **fields: Any) -> None:
        self.order_id = self.emulator.add_order(**fields)["id"]

    def answer(self, status: int, code: str, method: str | None = None) -> None:
        body = {"errors": [{"code": code, "message": "No."}]}
        self.emulator.inject({"fault": "status", "status": status, "body": body, "method": method})

    def aws_fails(self, operation: str, error: Exception) -> None:
        fail_aws(self.monkeypatch, operation, error)


STAGES: dict[str, Callable[[Stage], object]] = {
    "invalid": lambda stage: stage.body.update(domain_approval_emails=[]),
    "not_found": lambda stage: setattr(stage, "order_id", 999),
    "not_dv": lambda stage: stage.order(kind="ov"),
    "not_pending": lambda stage: stage.order(status="issued"),
    "needs_approval": lambda stage: stage.order(status="needs_approval"),
    "not_email": lambda stage: stage.order(dcv_method="dns-txt-token"),
    "rejected": lambda stage: stage.answer(400, "invalid_email", "PUT"),
    "unknown": lambda stage: stage.emulator.inject({"fault": "reset", "method": "PUT", "mails": True}),
    "bad_key": lambda _stage: store_key("emulator-revoked-key"),
    "no_permission": lambda _stage: store_key("emulator-view-only-key"),
    "rate_limited": lambda stage: stage.answer(429, "request_limit_exceeded"),
    "upstream_away": lambda stage: stage.emulator.inject({"fault": "html", "status": 503}),
    "secret_away": lambda stage: stage.aws_fails("GetSecretValue", refusal("ThrottlingException", "GetSecretValue")),
    "claims_away": lambda stage: stage.aws_fails("PutItem", away("DynamoDB")),
    "paused": lambda stage: stage.settings(SENDING="off"),
    "no_secret": lambda stage: stage.settings(API_KEY_SECRET_ID="elsewhere"),
    "no_table": lambda stage: stage.settings(CLAIMS_TABLE="elsewhere"),
    "no_access": lambda stage: stage.aws_fails("PutItem", refusal("AccessDeniedException", "PutItem")),
    "bad_setting": lambda stage: stage.settings(COOL_DOWN_MINUTES="soon"),
    "wrong_base": lambda stage: stage.answer(404, "not_found|route"),
}
ERRORS = [
    ("invalid", errors.InvalidRequest, 400, "invalid_request|domain_approval_emails"),
    ("not_found", errors.OrderNotFound, 404, "not_found|order"),
    ("not_dv", errors.OrderNotEligible, 409, "order_not_eligible|not_dv"),
    ("not_pending", errors.OrderNotEligible, 409, "order_not_eligible|not_pending"),
    ("needs_approval", errors.OrderNotEligible, 409, "order_not_eligible|needs_approval"),
    ("not_email", errors.OrderNotEligible, 409, "order_not_eligible|not_email_dcv"),
    ("rejected", errors.RequestRejected, 422, "request_rejected"),
    ("unknown", errors.OutcomeUnknown, 504, "outcome_unknown"),
    ("bad_key", errors.ApiKeyRejected, 502, "api_key_rejected"),
    ("no_permission", errors.PermissionDenied, 502, "permission_denied"),
    ("rate_limited", errors.RateLimited, 429, "request_limit_exceeded"),
    ("upstream_away", errors.CertCentralUnavailable, 503, "certcentral_unavailable"),
    ("secret_away", errors.SecretUnavailable, 503, "secret_unavailable"),
    ("claims_away", errors.ClaimsUnavailable, 503, "claims_unavailable"),
    ("paused", errors.SendingPaused, 503, "sending_paused"),
    ("no_secret", errors.ConfigurationError, 500, "configuration_error"),
    ("no_table", errors.ConfigurationError, 500, "configuration_error"),
    ("no_access", errors.ConfigurationError, 500, "configuration_error"),
    ("bad_setting", errors.ConfigurationError, 500, "configuration_error"),
    ("wrong_base", errors.ConfigurationError, 500, "configuration_error"),
]


@each_door
@pytest.mark.parametrize(("case", "error", "status", "code"), ERRORS, ids=[case for case, *_ in ERRORS])
def test_each_error_through_each_door(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., None],
    door: Callable[..., dict[str, Any]],
    case: str,
    error: type[errors.ResendError],
    status: int,
    code: str,
) -> None:
    stage = Stage(emulator, monkeypatch, settings)
    STAGES[case](stage)

    if door in RAISING_DOORS.values():
        with pytest.raises(error) as caught:
            invoke(door(stage.order_id, stage.body))
        assert (type(caught.value), caught.value.code) == (error, code)
    else:
        answer = invoke(door(stage.order_id, stage.body))
        said = json.loads(answer["body"])["errors"]
        assert (answer["statusCode"], said[0]["code"]) == (status, code)
        assert ("Retry-After" in answer["headers"]) == (case in ("unknown", "rate_limited"))
        assert [entry["code"] for entry in said[1:]] == {
            "rejected": ["invalid_email"],
            "bad_key": ["access_denied|access_denied_invalid_key"],
            "no_permission": ["access_denied|missing_permission"],
            "wrong_base": ["not_found|route"],
        }.get(case, [])

    assert len(emulator.outbox) == (5 if case == "unknown" else 0)
    assert len(puts(emulator)) == (1 if case in ("unknown", "rejected", "no_permission") else 0)
    printed = output()
    assert printed.audit["outcome"] == error.__name__
    by_service = {"service": SERVICE}
    assert [emission["dimensions"] for emission in printed.metrics["ResendFailed"]] == [
        by_service | {"reason": error.__name__},
        by_service,
    ]


@each_door
def test_pause_is_said_before_anything_is_asked(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    settings: Callable[..., None],
    door: Callable[..., dict[str, Any]],
) -> None:
    settings(SENDING="off")

    for query in ({}, {"force": "true"}):
        if door in RAISING_DOORS.values():
            with pytest.raises(errors.SendingPaused):
                invoke(door(ORDER, query=query))
        else:
            assert invoke(door(ORDER, query=query))["statusCode"] == 503

    assert emulator.calls == []


@pytest.mark.parametrize("fault", ["hang", "reset", "close"])
@each_door
def test_unknown_outcome_is_said_again(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]], fault: str
) -> None:
    emulator.inject({"fault": fault, "method": "PUT", "times": 1, "mails": True})

    for _ in range(3):
        if door in RAISING_DOORS.values():
            with pytest.raises(errors.OutcomeUnknown) as caught:
                invoke(door(ORDER))
            left = caught.value.retry_after
        else:
            answer = invoke(door(ORDER))
            assert answer["statusCode"] == 504
            left = int(answer["headers"]["Retry-After"])
        assert left is not None
        assert 3500 < left <= 3601

    assert len(puts(emulator)) == 1


def test_key_rotated_under_a_warm_function(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    emulator.set_key("the-old-key", "valid")
    store_key("the-old-key")
    invoke(direct(ORDER))
    emulator.set_key("the-old-key", "revoked")
    store_key(CANARY)

    invoke(direct(emulator.add_order()["id"]))

    assert [call["role"] for call in emulator.calls[2:]] == ["revoked", "valid", "valid"]


def test_bad_unchanged_key_costs_one_call(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    store_key("emulator-revoked-key")

    with pytest.raises(errors.ApiKeyRejected):
        invoke(direct(ORDER))

    assert len(emulator.calls) == 1


def test_refused_resend_can_be_tried_again(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    emulator.inject({"fault": "status", "status": 429, "method": "PUT", "times": 1})
    with pytest.raises(errors.RateLimited):
        invoke(direct(ORDER))

    assert invoke(direct(ORDER))["outcome"] == "sent"


def test_claims_failing_after_the_send_still_answers_sent(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_aws(monkeypatch, "UpdateItem", away("DynamoDB"))

    assert invoke(direct(ORDER))["outcome"] == "sent"
    assert len(emulator.outbox) == 5


def test_many_at_once_send_once(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    emulator.inject({"fault": "slow", "seconds": 0.3, "method": "PUT", "times": 1})
    invoke({"action": "status", "order_id": ORDER})

    def call(number: int) -> str:
        try:
            return str(invoke(direct(ORDER), request_id=str(number))["outcome"])
        except errors.ResendInProgress as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(call, range(8)))

    assert len(puts(emulator)) == 1
    assert outcomes.count("sent") == 1
    assert set(outcomes) <= {"sent", "duplicate", "ResendInProgress"}


# Bugs, and whatever may come


@pytest.mark.usefixtures("aws")
def test_bug_is_a_500_without_detail(
    invoke: Callable[..., Any], output: Callable[[], Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(app, "_run", fail)

    answer = invoke(http_v2(ORDER))

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"]) == {
        "errors": [{"code": "internal_error", "message": "An internal error occurred."}]
    }
    printed = output()
    assert printed.audit["outcome"] == "InternalError"
    with pytest.raises(ZeroDivisionError):
        invoke(direct(ORDER))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PUT", "/", 404, "not_found|route"),
        ("PUT", "/services/v2/order/certificate/1/check-dcv", 404, "not_found|route"),
        ("PUT", "/services/v2/order/certificate/1/../2/resend-emails", 404, "not_found|route"),
        ("PUT", "/services/v2/order/certificate//resend-emails", 404, "not_found|route"),
        ("GET", "/services/v2/order/certificate/1/resend-emails", 405, "method_not_allowed"),
        ("DELETE", "/services/v2/order/certificate/1/resend-emails", 405, "method_not_allowed"),
        ("PUT", "/services/v2/order/certificate/abc/resend-emails", 400, "invalid_request|order_id"),
        ("PUT", "/services/v2/order/certificate/%2e%2e/resend-emails", 400, "invalid_request|order_id"),
        ("PUT", "/services/v2/order/certificate/1;2/resend-emails", 400, "invalid_request|order_id"),
        ("PUT", "/services/v2/order/certificate/1%0d%0aX:1/resend-emails", 400, "invalid_request|order_id"),
    ],
)
def test_wrong_addresses_are_answered_in_digicerts_shape(
    invoke: Callable[..., Any], method: str, path: str, status: int, code: str
) -> None:
    request = http_v2(1)
    request["rawPath"], request["requestContext"]["http"]["method"] = path, method

    answer = invoke(request)

    assert (answer["statusCode"], json.loads(answer["body"])["errors"][0]["code"]) == (status, code)
    assert answer["headers"]["Content-Type"] == "application/json"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
field_names = st.sampled_from(
    [
        *("order_id", "action", "domain_approval_emails", "domain", "email", "email_domain", "locale"),
        *("dry_run", "force", "requested_by", "detail-type", "detail", "id", "Records", "requestContext", "http"),
        *("httpMethod", "path", "rawPath", "body", "isBase64Encoded"),
        *("queryStringParameters", "multiValueQueryStringParameters"),
    ]
)
marked_events = st.dictionaries(
    field_names,
    json_values
    | st.sampled_from([1, "1", "PUT", "Resend DV Emails", "status", PATH.format(1), {"http": {"method": "PUT"}}, "{}"])
    | st.dictionaries(field_names, json_values)
    | st.lists(st.dictionaries(field_names, st.text() | st.just("example.com") | st.just("admin@example.com"))),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(anything=json_values | marked_events)
def test_whatever_comes_gets_a_valid_answer_or_one_of_our_errors(
    http: RequestsMock, invoke: Callable[..., Any], anything: Any
) -> None:
    http.assert_all_requests_are_fired = False
    try:
        answer = invoke(anything)
    except errors.ResendError as error:
        assert error.code  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017
        return
    if "statusCode" in answer:
        assert answer["statusCode"] in {204, 200, 400, 404, 405, 409, 500, 503}
        assert all(isinstance(value, str) for value in answer["headers"].values())
        assert answer["body"] == "" or "errors" in json.loads(answer["body"])


# The audit line


@pytest.mark.usefixtures("emulator")
def test_audit_line_says_who_was_mailed_and_by_whom(invoke: Callable[..., Any], output: Callable[[], Output]) -> None:
    invoke(direct(123456789, DOCUMENTED_BODY | {"requested_by": "arn:aws:states:eu-west-1:1:execution:chase:1"}))

    line = output().audit
    assert line["order_id"] == 123456789
    assert line["door"] == "direct"
    assert line["caller"] == "arn:aws:states:eu-west-1:1:execution:chase:1"
    assert line["outcome"] == "sent"
    assert line["recipients"] == ["s***@example.com", "s***@example2.com"]
    assert line["upstream_status"] == 204
    assert isinstance(line["duration_ms"], int)


@pytest.mark.usefixtures("emulator")
def test_metrics_carry_the_single_dimension_service(invoke: Callable[..., Any], output: Callable[[], Output]) -> None:
    invoke(direct(ORDER))

    metrics = output().metrics
    expected = {"namespace": "DvResend", "dimensions": {"service": SERVICE}}
    assert metrics["ResendSent"] == [expected | {"value": 1.0}]
    assert [emission["dimensions"] for emission in metrics["UpstreamLatency"]] == [{"service": SERVICE}]
