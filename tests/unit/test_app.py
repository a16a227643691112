"""The handler: each event source and each kind of outcome, with the CertCentral emulator and an AWS in this process.

What lies below the handler is tested there. Here counts that the parts fit together: the answer or the error, the audit
line, the metrics, and that the key shows nowhere (`conftest`).
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from conftest import CANARY, SERVICE, TABLE, Output, store_key

from dev.emulator import CertCentralEmulator as Emulator
from dev.emulator.orders import SEED_IDS
from dv_resend import app
from dv_resend.adapters.certcentral import CertCentralClient
from dv_resend.adapters.send_records import SendRecordsTable
from dv_resend.core.send_record import Claim, SendRecord
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ConfigurationError,
    InvalidRequest,
    OutcomeUnknown,
    QueueUnavailable,
    RecipientUnverified,
    ResendError,
    ResendInProgress,
    SecretUnavailable,
    SendingPaused,
    SendRecordUnavailable,
)
from unit.samples import SAMPLES, SOURCES

type Invoke = Callable[..., Any]
type ReadOutput = Callable[[], Output]
type Settings = Callable[..., None]
type MakeEvent = Callable[..., dict[str, Any]]

ORDER = SEED_IDS["plain"]
# The order of DigiCert's example. Both addresses are contacts that the emulator publishes in DNS.
EXAMPLE = 123456789
BODY: dict[str, Any] = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
    ],
    "locale": "en",
}
ADDRESSES = ["someone@example.com", "someone@example2.com"]
MASKED = ["s***@example.com", "s***@example2.com"]
USER_ARN = "arn:aws:sts::123456789012:assumed-role/web-team/deploy"
EVENT_ID = "7bf73129-1428-4cd3-a780-95db273d1602"


# Events


def http_v2(order_id: int, body: Any = None, **flags: bool) -> dict[str, Any]:
    return SAMPLES["http-api-v2.json"] | http_part("rawPath", order_id, body, flags)


def http_v1(order_id: int, body: Any = None, **flags: bool) -> dict[str, Any]:
    part = http_part("path", order_id, body, flags)
    several = {name: [value] for name, value in (part["queryStringParameters"] or {}).items()}
    return SAMPLES["rest-api-v1.json"] | part | {"multiValueQueryStringParameters": several or None}


def http_part(path: str, order_id: int, body: Any, flags: dict[str, bool]) -> dict[str, Any]:
    return {
        path: f"/services/v2/order/certificate/{order_id}/resend-emails",
        "headers": {"X-DC-DEVKEY": CANARY},
        "queryStringParameters": {name: str(value).lower() for name, value in flags.items()} or None,
        "body": None if body is None else json.dumps(body),
    }


def direct(order_id: int, body: Any = None, **more: Any) -> dict[str, Any]:
    return {"order_id": order_id, **(body or {}), **more}


def event(order_id: int, body: Any = None, **more: Any) -> dict[str, Any]:
    detail = direct(order_id, body, **more)
    return {"id": EVENT_ID, "detail-type": "Resend DV Emails", "source": "pki.portal", "detail": detail}


HTTP = {"http 2.0": http_v2, "http 1.0": http_v1}
ALL: dict[str, MakeEvent] = {**HTTP, "direct": direct, "event": event}
each_http_payload = pytest.mark.parametrize("make", HTTP.values(), ids=HTTP)
each_source = pytest.mark.parametrize("make", ALL.values(), ids=ALL)


def is_http(make: MakeEvent) -> bool:
    return make in HTTP.values()


def named(*recipients: tuple[str, str]) -> dict[str, Any]:
    return {"domain_approval_emails": [{"domain": domain, "email": email} for domain, email in recipients]}


def puts(emulator: Emulator) -> list[dict[str, Any]]:
    return [call for call in emulator.calls if call["method"] == "PUT"]


def values(output: Output) -> dict[str, list[Any]]:
    """Return the values of each metric, but for the latency."""
    return {
        name: [emission["value"] for emission in emissions]
        for name, emissions in output.metrics.items()
        if name != "UpstreamLatency"
    }


# One request from each source


@each_source
def test_request_is_sent_once_after_two_queries(emulator: Emulator, invoke: Invoke, make: MakeEvent) -> None:
    invoke(make(EXAMPLE, BODY))

    assert [(call["method"], call["path"].partition("/certificate/")[2], call["role"]) for call in emulator.calls] == [
        ("GET", "123456789/validation", "valid"),
        ("GET", "123456789", "valid"),
        ("PUT", "123456789/resend-emails", "valid"),
    ]
    assert [call["body"] for call in puts(emulator)] == [json.dumps(BODY, separators=(",", ":"))]
    assert [mail["to"] for mail in emulator.outbox] == ADDRESSES


@pytest.mark.usefixtures("emulator")
@each_source
def test_sent_request_is_answered(invoke: Invoke, make: MakeEvent) -> None:
    answer = invoke(make(EXAMPLE, BODY))

    if is_http(make):
        assert answer == {"statusCode": 204, "headers": {"Resend-Outcome": "sent"}, "body": ""}
    else:
        assert answer.pop("sent_at").endswith("Z")
        assert answer == {"order_id": EXAMPLE, "outcome": "sent", "recipients": ADDRESSES, "skipped": []}


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    ("make", "event_source", "caller"),
    [
        (http_v2, "http", USER_ARN),
        (http_v1, "http", USER_ARN),
        (direct, "direct", "the web team"),
        (event, "event", EVENT_ID),
    ],
    ids=ALL,
)
def test_sent_request_is_audited_and_counted(
    invoke: Invoke, output: ReadOutput, make: MakeEvent, event_source: str, caller: str
) -> None:
    invoke(make(EXAMPLE, BODY, **({} if is_http(make) else {"requested_by": "the web team"})))

    printed = output()
    fields = ("event_source", "caller", "order_id", "outcome", "recipients", "upstream_status")
    assert [printed.audit[name] for name in fields] == [event_source, caller, EXAMPLE, "sent", MASKED, 204]
    assert isinstance(printed.audit["duration_ms"], int)
    assert [line["message"] for line in printed.lines if "message" in line] == ["sending", "audit"]
    assert values(printed) == {"ResendSent": [1]}
    assert len(printed.metrics["UpstreamLatency"][0]["value"]) == 3
    dimensions = [emission["dimensions"] for emissions in printed.metrics.values() for emission in emissions]
    assert dimensions == [{"service": SERVICE}] * 2


@each_source
def test_dry_run_is_answered_with_the_plan_and_sends_nothing(
    emulator: Emulator, invoke: Invoke, output: ReadOutput, make: MakeEvent
) -> None:
    answer = invoke(make(EXAMPLE, BODY, dry_run=True))

    plan = json.loads(answer["body"]) if is_http(make) else answer
    assert (plan["outcome"], plan["would_be"], plan["upstream_body"]) == ("planned", "sent", BODY)
    assert (emulator.outbox, puts(emulator)) == ([], [])
    assert boto3.client("dynamodb").scan(TableName=TABLE)["Items"] == []
    printed = output()
    assert [line["message"] for line in printed.lines if "message" in line] == ["audit"]
    assert (printed.audit["outcome"], values(printed)) == ("planned", {})


@each_source
def test_redelivery_of_a_forced_call_sends_nothing(emulator: Emulator, invoke: Invoke, make: MakeEvent) -> None:
    invoke(direct(ORDER), request_id="first")

    for _ in range(3):
        invoke(make(ORDER, force=True), request_id="forced")

    assert len(puts(emulator)) == 2


@pytest.mark.parametrize("make", [http_v2, direct])
def test_next_forced_call_sends_again(emulator: Emulator, invoke: Invoke, make: MakeEvent) -> None:
    for request_id in ("one", "two"):
        invoke(make(ORDER, force=True), request_id=request_id)

    assert len(puts(emulator)) == 2


def test_redelivery_of_a_forced_event_is_known_by_its_id(emulator: Emulator, invoke: Invoke) -> None:
    for request_id in ("one", "two", "three"):
        invoke(event(ORDER, force=True), request_id=request_id)

    assert len(puts(emulator)) == 1


@pytest.mark.parametrize("source", ["direct", "event"])
def test_status_is_answered(emulator: Emulator, invoke: Invoke, output: ReadOutput, source: str) -> None:
    question = {"action": "status", "order_id": ORDER}

    answer = invoke(question if source == "direct" else event(ORDER) | {"detail": question})

    assert answer == {
        "order_id": ORDER,
        "status": "pending",
        "dcv_method": "email",
        "domains": [{"name": "example.com", "status": "pending"}],
    }
    assert len(emulator.calls) == 1
    assert (output().audit["outcome"], puts(emulator)) == ("status", [])


# Errors of each part of the function, from each source


@dataclass
class Scene:
    """What a test may change before the call, and what it then asks for."""

    emulator: Emulator
    monkeypatch: pytest.MonkeyPatch
    settings: Settings
    body: dict[str, Any] = field(default_factory=dict)

    def lose_response(self) -> None:
        self.emulator.inject({"fault": "reset", "method": "PUT", "mails": True})

    def fail_aws(self, operation: str, error: Exception) -> None:
        """Make one operation of AWS fail; all others work."""
        client_class: Any = botocore.client.BaseClient
        original = client_class._make_api_call

        def call(client: Any, name: str, parameters: Any) -> Any:
            if name == operation:
                raise error
            return original(client, name, parameters)

        self.monkeypatch.setattr(client_class, "_make_api_call", call)

    def claim(self) -> None:
        record_id = f"order#{ORDER}"
        claimed = SendRecord(record_id, "a revision", claim=Claim("another", int(time.time()) + 60))
        SendRecordsTable(TABLE, boto3.client("dynamodb")).store(claimed, instead_of=SendRecord(record_id))

    def unverifiable(self) -> None:
        self.body = named(("example.com", "jane.doe@example.net"))
        self.emulator.dns.fault("_validation-contactemail.example.com", "refused")


@pytest.fixture
def scene(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Scene:
    return Scene(emulator, monkeypatch, settings)


THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": f"Slow, {CANARY}"}}, "GetSecretValue")
NO_CONNECTION = EndpointConnectionError(endpoint_url="https://aws.test/")

ERRORS: list[tuple[type[ResendError], int, str, Callable[[Scene], object]]] = [
    (InvalidRequest, 400, "invalid_request|locale", lambda scene: scene.body.update(locale="eng")),
    (RecipientUnverified, 503, "recipient_unverified", Scene.unverifiable),
    (ResendInProgress, 409, "resend_in_progress", Scene.claim),
    (OutcomeUnknown, 504, "outcome_unknown", Scene.lose_response),
    (ApiKeyRejected, 502, "api_key_rejected", lambda _: store_key("emulator-revoked-key")),
    (SecretUnavailable, 503, "secret_unavailable", lambda scene: scene.fail_aws("GetSecretValue", THROTTLED)),
    (SendRecordUnavailable, 503, "send_record_unavailable", lambda scene: scene.fail_aws("PutItem", NO_CONNECTION)),
    (SendingPaused, 503, "sending_paused", lambda scene: scene.settings(SENDING="off")),
    (ConfigurationError, 500, "configuration_error", lambda scene: scene.settings(COOL_DOWN_MINUTES="soon")),
]


@each_source
@pytest.mark.parametrize(("error", "status", "code", "arrange"), ERRORS, ids=[error.__name__ for error, *_ in ERRORS])
def test_error_is_answered_audited_and_counted(
    scene: Scene,
    invoke: Invoke,
    output: ReadOutput,
    make: MakeEvent,
    error: type[ResendError],
    status: int,
    code: str,
    arrange: Callable[[Scene], object],
) -> None:
    arrange(scene)

    if is_http(make):
        answer = invoke(make(ORDER, scene.body))
        assert (answer["statusCode"], json.loads(answer["body"])["errors"][0]["code"]) == (status, code)
    else:
        with pytest.raises(error) as caught:
            invoke(make(ORDER, scene.body))
        assert (type(caught.value), caught.value.code) == (error, code)

    assert bool(scene.emulator.outbox) == (error is OutcomeUnknown)
    assert len(puts(scene.emulator)) == (error is OutcomeUnknown)
    printed = output()
    assert (printed.audit["outcome"], printed.audit["code"]) == (error.__name__, code)
    assert not is_http(make) or printed.audit["caller"] == USER_ARN
    assert "jane.doe" not in str(printed.lines)
    assert [emission["dimensions"].get("reason") for emission in printed.metrics["ResendFailed"]] == [
        error.__name__,
        None,
    ]


@pytest.mark.usefixtures("emulator")
@each_source
def test_bug_is_answered_without_detail_and_audited(
    invoke: Invoke, output: ReadOutput, monkeypatch: pytest.MonkeyPatch, make: MakeEvent
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(CertCentralClient, "get_order_status", fail)

    if is_http(make):
        answer = invoke(make(ORDER))
        body = {"errors": [{"code": "internal_error", "message": "An internal error occurred."}]}
        assert (answer["statusCode"], json.loads(answer["body"])) == (500, body)
    else:
        with pytest.raises(ZeroDivisionError):
            invoke(make(ORDER))
    line = output().audit
    assert (line["outcome"], line["code"]) == ("InternalError", "internal_error")


@pytest.mark.parametrize("stray", [None, {}, {"detail-type": "x"}, {"Records": [{"eventSource": "aws:s3"}]}], ids=ascii)
def test_event_without_a_source_is_raised_and_audited(invoke: Invoke, output: ReadOutput, stray: object) -> None:
    with pytest.raises(InvalidRequest):
        invoke(stray)

    line = output().audit
    assert (line["outcome"], "event_source" in line) == ("InvalidRequest", False)


@each_http_payload
@pytest.mark.parametrize(
    ("ours", "other", "status", "code"),
    [("resend-emails", "check-dcv", 404, "not_found|route"), ("PUT", "GET", 405, "method_not_allowed")],
)
def test_http_request_to_another_route_is_refused_and_audited(
    invoke: Invoke, output: Callable[[], Output], make: MakeEvent, ours: str, other: str, status: int, code: str
) -> None:
    answer = invoke(json.loads(json.dumps(make(ORDER)).replace(ours, other)))

    assert answer["statusCode"] == status
    printed = output()
    assert [line["message"] for line in printed.lines if "message" in line] == ["audit"]
    fields = ("event_source", "caller", "outcome", "code")
    assert [printed.audit[name] for name in fields] == ["http", USER_ARN, "not_routed", code]
    assert printed.metrics == {}


def test_replayed_event_sends_nothing_and_is_audited(
    emulator: Emulator, invoke: Invoke, output: Callable[[], Output]
) -> None:
    with pytest.raises(InvalidRequest, match="replayed from an archive"):
        invoke(event(ORDER) | {"replay-name": "replay-of-november"})

    assert emulator.calls == []
    line = output().audit
    assert (line["event_source"], line["code"]) == ("event", "invalid_request|replay-name")


@pytest.mark.usefixtures("emulator")
def test_function_killed_while_sending_leaves_a_line(
    invoke: Invoke, output: ReadOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CertCentralClient, "resend_emails", kill)

    with pytest.raises(KeyboardInterrupt):
        invoke(event(EXAMPLE, BODY, requested_by="the web team"))

    (line,) = [line for line in output().lines if "message" in line]
    assert (line["message"], line["outcome"], line["order_id"]) == ("sending", "sending", EXAMPLE)
    assert (line["recipients"], line["caller"], line["requested_by"]) == (MASKED, EVENT_ID, "the web team")


# The schedule and the queue


SWEEP = {"action": "sweep"}
SCHEDULES = [name for name, source in SOURCES.items() if source == "schedule"]
# Of the orders that the emulator starts with, those for which a reminder is or may be due.
DUE = {"plain", "wildcard", "multi_san", "reissue", "idn", "contact"}
# These are listed as due as well, but no email can help them.
NOT_ELIGIBLE = {"dns_txt", "dns_cname", "http_token", "all_approved"}


def seed_ids(names: set[str]) -> set[int]:
    return {SEED_IDS[name] for name in names}


def receive(url: str) -> list[dict[str, Any]]:
    """Receive up to ten messages, which stay visible, as the records of a Lambda event."""
    response = boto3.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], VisibilityTimeout=0
    )
    return [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "eventSource": "aws:sqs",
        }
        for message in response.get("Messages", [])
    ]


def enqueue(url: str, *order_ids: int) -> None:
    for order_id in order_ids:
        boto3.client("sqs").send_message(
            QueueUrl=url,
            MessageBody=json.dumps({"order_id": order_id}),
            MessageGroupId="certcentral",
            MessageDeduplicationId=str(order_id),
        )


@pytest.mark.usefixtures("queue_url")
@pytest.mark.parametrize("name", SAMPLES)
def test_sample_event_is_accepted(emulator: Emulator, invoke: Invoke, name: str) -> None:
    answer = invoke(SAMPLES[name], seconds=900)

    match SOURCES[name]:
        case "http":
            assert answer["statusCode"] == 204
        case "direct" if name == "pending.json":
            assert answer["complete"]
        case "schedule":
            assert answer["listed"] > answer["enqueued"] > 0
        case "queue":
            assert answer == {"batchItemFailures": []}
            assert {mail["order_id"] for mail in emulator.outbox} == {SEED_IDS["reissue"]}
        case _:
            assert answer["order_id"] == EXAMPLE


@pytest.mark.parametrize("name", SCHEDULES)
def test_sweep_queues_due_orders_and_is_audited_and_counted(
    emulator: Emulator, queue_url: str, invoke: Invoke, output: ReadOutput, name: str
) -> None:
    answer = invoke(SAMPLES[name], seconds=900)

    pending = [order for order in emulator.orders if order["status"] in ("pending", "reissue_pending")]
    assert answer == {
        "listed": len(pending),
        "pending_dv": sum(order["product_type"] == "dv_ssl_certificate" for order in pending),
        "due": len(DUE | NOT_ELIGIBLE),
        "enqueued": len(DUE | NOT_ELIGIBLE),
        "stuck": 1,
        "oldest_days": 45,
        "by_status": {"pending": len(pending) - 1, "reissue_pending": 1},
        "stuck_orders": [SEED_IDS["old"]],
    }
    assert {json.loads(record["body"])["order_id"] for record in receive(queue_url)} == seed_ids(DUE | NOT_ELIGIBLE)
    assert puts(emulator) == []
    printed = output()
    assert (printed.audit["outcome"], printed.audit["event_source"]) == ("swept", "schedule")
    assert answer.items() <= printed.audit.items()
    assert values(printed) == {
        "PendingOrders": [answer["pending_dv"]],
        "RemindersEnqueued": [answer["enqueued"]],
        "StuckOrders": [1],
        "OldestPendingDays": [45],
    }


@pytest.mark.usefixtures("emulator", "queue_url")
def test_sweep_publishes_its_report(
    invoke: Invoke, output: ReadOutput, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    sns = boto3.client("sns")
    topic = sns.create_topic(Name="reports")["TopicArn"]
    settings(REPORT_TOPIC_ARN=topic)
    url = boto3.client("sqs").create_queue(QueueName="people")["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:eu-west-1:123456789012:people")

    invoke(SWEEP, seconds=900)

    (message,) = boto3.client("sqs").receive_message(QueueUrl=url)["Messages"]
    report = json.loads(message["Body"])
    assert report["Subject"] == f"1 order is stuck ({SERVICE})"
    assert report["Message"].startswith(f"DV Resend, stack {SERVICE}, region eu-west-1\n")
    assert f"- {SEED_IDS['old']} forgotten.example: pending for 45 days" in report["Message"]
    assert output().audit["outcome"] == "swept"


@pytest.mark.usefixtures("queue_url")
def test_pending_orders_are_answered_and_audited(emulator: Emulator, invoke: Invoke, output: ReadOutput) -> None:
    answer = invoke({"action": "pending", "requested_by": "jane"}, seconds=900)

    pending = [order for order in emulator.orders if order["status"] in ("pending", "reissue_pending")]
    pending.sort(key=lambda order: order["date_created"])
    dv = [order for order in pending if order["product_type"] == "dv_ssl_certificate"]
    assert [order["order_id"] for order in answer["orders"]] == [order["id"] for order in dv]
    assert (answer["more"], answer["other_products"], answer["complete"]) == (0, len(pending) - len(dv), True)
    rows = {order.pop("order_id"): order for order in answer["orders"]}
    assert rows[SEED_IDS["old"]] == {
        "name": "forgotten.example",
        "status": "pending",
        "age_days": 45,
        "reminder": "stuck",
    }
    assert rows[SEED_IDS["idn"]]["name"].startswith("xn--")
    assert puts(emulator) == []
    printed = output()
    fields = ("outcome", "event_source", "caller", "orders", "other_products")
    assert [printed.audit[name] for name in fields] == ["pending", "direct", "jane", len(dv), len(pending) - len(dv)]
    assert values(printed) == {}


def test_function_without_a_queue_lists_no_pending_orders(
    emulator: Emulator, invoke: Invoke, output: ReadOutput
) -> None:
    with pytest.raises(ConfigurationError, match="only SweepFunction"):
        invoke({"action": "pending"})

    assert emulator.calls == []
    assert output().audit["outcome"] == "ConfigurationError"


def test_reminders_are_sent_to_default_recipients(
    emulator: Emulator, queue_url: str, invoke: Invoke, output: ReadOutput
) -> None:
    enqueue(queue_url, SEED_IDS["all_approved"], ORDER, SEED_IDS["wildcard"])

    answer = invoke({"Records": receive(queue_url)})

    assert answer == {"batchItemFailures": []}
    assert [call["body"] for call in puts(emulator)] == ["{}", "{}"]
    printed = output()
    lines = [line for line in printed.lines if "message" in line]
    assert [(line["event_source"], line["order_id"], line["outcome"]) for line in lines] == [
        ("queue", SEED_IDS["all_approved"], "OrderNotEligible"),
        ("queue", ORDER, "sending"),
        ("queue", ORDER, "sent"),
        ("queue", SEED_IDS["wildcard"], "sending"),
        ("queue", SEED_IDS["wildcard"], "sent"),
    ]
    assert values(printed) == {"AlreadyValidated": [1], "ResendSent": [[1, 1]]}


def test_unknown_reminder_is_audited_once_and_acknowledged(
    emulator: Emulator, queue_url: str, invoke: Invoke, output: ReadOutput
) -> None:
    enqueue(queue_url, ORDER)
    records = receive(queue_url)
    emulator.inject({"fault": "reset", "method": "PUT", "mails": True})

    assert invoke({"Records": records}) == {"batchItemFailures": []}
    assert invoke({"Records": records}) == {"batchItemFailures": []}

    printed = output()
    outcomes = [line["outcome"] for line in printed.lines if line.get("message") == "audit"]
    assert outcomes == ["OutcomeUnknown", "already_reminded"]
    assert values(printed) == {"OutcomeUnknown": [1], "ResendFailed": [1, 1]}


def test_reminders_after_an_account_error_are_delayed(
    emulator: Emulator, queue_url: str, invoke: Invoke, output: ReadOutput
) -> None:
    enqueue(queue_url, 999, ORDER, SEED_IDS["wildcard"], SEED_IDS["idn"])
    emulator.inject({"fault": "status", "status": 429, "path": f"/{SEED_IDS['wildcard']}/"})
    records = receive(queue_url)

    answer = invoke({"Records": records})

    returned = [record["messageId"] for record in records[2:]]
    assert answer == {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in returned]}
    assert not set(returned) & {record["messageId"] for record in receive(queue_url)}
    outcomes = [line["outcome"] for line in output().lines if line.get("message") == "audit"]
    assert outcomes == ["OrderNotFound", "sent", "RateLimited"]


SWEEP_ERRORS: list[tuple[type[ResendError], int, Callable[[Scene], object]]] = [
    (QueueUnavailable, 900, lambda scene: scene.fail_aws("SendMessageBatch", NO_CONNECTION)),
    (SendingPaused, 900, lambda scene: scene.settings(SENDING="off")),
    (ConfigurationError, 900, lambda scene: scene.settings(SWEEP_QUEUE_URL="")),
    (CertCentralUnavailable, 50, lambda _: None),
]


@pytest.mark.usefixtures("queue_url")
@pytest.mark.parametrize(
    ("error", "seconds", "arrange"), SWEEP_ERRORS, ids=[error.__name__ for error, *_ in SWEEP_ERRORS]
)
def test_error_of_a_sweep_is_raised_audited_and_not_measured(
    scene: Scene,
    invoke: Invoke,
    output: ReadOutput,
    error: type[ResendError],
    seconds: int,
    arrange: Callable[[Scene], object],
) -> None:
    arrange(scene)

    with pytest.raises(error):
        invoke(SWEEP, seconds=seconds)

    printed = output()
    assert (printed.audit["event_source"], printed.audit["outcome"]) == ("schedule", error.__name__)
    assert values(printed).keys() == {"ResendFailed"}
    # Out of time, the sweep says where to resume.
    assert ("offset" in printed.audit) == (error is CertCentralUnavailable)


def test_function_without_a_queue_handles_no_reminders(emulator: Emulator, invoke: Invoke, output: ReadOutput) -> None:
    with pytest.raises(ConfigurationError, match="SWEEP_QUEUE_URL"):
        invoke(SAMPLES["sqs-reminders.json"])

    assert emulator.calls == []
    line = output().audit
    assert (line["event_source"], line["outcome"]) == ("queue", "ConfigurationError")


# The rate limit


@dataclass
class FakeBucket:
    """A token bucket that counts the waits and does not wait."""

    rate: float
    waits: int = 0

    def wait(self) -> None:
        self.waits += 1


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> list[FakeBucket]:
    """Give the token buckets that the function makes."""
    made: list[FakeBucket] = []

    def make(rate: float) -> FakeBucket:
        made.append(FakeBucket(rate))
        return made[-1]

    monkeypatch.setattr(app, "TokenBucket", make)
    return made


def test_rate_limit_counts_every_call_of_all_invocations(
    emulator: Emulator, queue_url: str, invoke: Invoke, settings: Settings, buckets: list[FakeBucket]
) -> None:
    settings(SWEEP_REQUESTS_PER_SECOND="2.5")

    invoke(SWEEP, seconds=900)
    invoke({"Records": receive(queue_url)})

    assert buckets == [FakeBucket(2.5, waits=len(emulator.calls))]


@pytest.mark.usefixtures("emulator")
def test_rate_limit_does_not_apply_without_a_queue(invoke: Invoke, buckets: list[FakeBucket]) -> None:
    invoke(direct(ORDER))

    assert buckets == []
