"""The handler with ORDER_TYPES=all: orders that are not DV, from each event source, with emulator and AWS."""

import json
from typing import Any

import boto3
import pytest
from conftest import TABLE, Output

from dev.emulator import CertCentralEmulator as Emulator
from dev.emulator.orders import SEED_IDS
from dv_resend import app
from dv_resend.adapters.certcentral import CertCentralClient
from dv_resend.errors import (
    OrderNotEligible,
    RateLimited,
    RecipientNotAllowed,
    ResendError,
    SendingPaused,
)
from unit.test_app import (
    ALL,
    EVENT_ID,
    ORDER,
    SWEEP,
    FakeBucket,
    Invoke,
    MakeEvent,
    ReadOutput,
    Settings,
    direct,
    each_source,
    event,
    http_v2,
    is_http,
    named,
    puts,
    receive,
    values,
)

NAMES = {"done.example": "approved", "dns.example": "pending", "a.example": "pending", "www.b.example": "pending"}
# Those that wait for an email.
OPEN = ["a.example", "b.example"]
OV = SEED_IDS["ov"]
OV_MULTI, OV_SHARED = SEED_IDS["ov_multi"], SEED_IDS["ov_shared"]


@pytest.fixture
def all_types(emulator: Emulator, settings: Settings) -> Emulator:
    """The emulator, for a function that serves all order types."""
    settings(ORDER_TYPES="all")
    return emulator


@pytest.fixture
def order(all_types: Emulator) -> int:
    """An OV order with one domain that is validated, one by DNS, and two that wait for an email."""
    added = all_types.add_order(kind="ov", names=NAMES, methods={"dns.example": "dns-txt-token"}, age_days=3)
    return int(added["id"])


def answer_to(invoke: Invoke, make: MakeEvent, *arguments: Any, **more: Any) -> tuple[str, str]:
    """Return the outcome, or the error's code; and its message."""
    request = {name: more.pop(name) for name in list(more) if name == "request_id"}
    try:
        answer = invoke(make(*arguments, **more), **request)
    except ResendError as error:
        return error.code, str(error)
    if not is_http(make):
        return str(answer["outcome"]), ""
    if answer["statusCode"] < 300:
        return str(answer["headers"]["Resend-Outcome"]), ""
    first = json.loads(answer["body"])["errors"][0]
    return first["code"], first["message"]


def sent(emulator: Emulator) -> list[dict[str, Any]]:
    """Return the bodies of the domain-level PUTs."""
    calls = [call for call in puts(emulator) if "/domain/" in call["path"]]
    return [json.loads(call["body"]) for call in calls]


def lines(output: Output) -> list[tuple[str, str, str | None]]:
    return [(each["message"], each["outcome"], each.get("domain")) for each in output.lines if "message" in each]


def domains_in(emulator: Emulator, order_id: int) -> dict[str, int]:
    return {each["name"]: each["id"] for each in emulator.domains if order_id in each["orders"]}


# One request from each source


@each_source
def test_open_domains_are_mailed_one_by_one(all_types: Emulator, order: int, invoke: Invoke, make: MakeEvent) -> None:
    invoke(make(order))

    ids = domains_in(all_types, order)
    assert [(call["method"], call["path"].partition("/v2/")[2]) for call in all_types.calls] == [
        ("GET", f"order/certificate/{order}/validation"),
        ("GET", f"order/certificate/{order}"),
        *(("PUT", f"domain/{ids[scope]}/dcv/emails") for scope in OPEN),
    ]
    assert sent(all_types) == [{"name_scope": scope} for scope in OPEN]
    assert {mail["domain"] for mail in all_types.outbox} == set(OPEN)


@each_source
def test_call_by_domain_is_answered(all_types: Emulator, order: int, invoke: Invoke, make: MakeEvent) -> None:
    answer = invoke(make(order))

    if is_http(make):
        assert answer == {"statusCode": 204, "headers": {"Resend-Outcome": "sent"}, "body": ""}
    else:
        assert answer.pop("sent_at").endswith("Z")
        ids = domains_in(all_types, order)
        domains = [{"name": scope, "id": ids[scope], "outcome": "sent"} for scope in OPEN]
        expected = {"order_id": order, "outcome": "sent", "recipients": "default", "skipped": [], "domains": domains}
        assert answer == expected


@each_source
def test_call_by_domain_is_audited_and_counted(
    all_types: Emulator, order: int, invoke: Invoke, output: ReadOutput, make: MakeEvent
) -> None:
    invoke(make(order))

    printed = output()
    assert lines(printed) == [
        *(("sending", "sending", "a.example"), ("audit", "sent", "a.example")),
        *(("sending", "sending", "b.example"), ("audit", "sent", "b.example")),
        ("audit", "sent", None),
    ]
    assert printed.lines[4]["domains"] == ["a.example: sent", "b.example: sent"]
    assert [line["domain_id"] for line in printed.lines[:4]] == [
        domains_in(all_types, order)[scope] for scope in OPEN for _ in range(2)
    ]
    assert {line["order_id"] for line in printed.lines[:5]} == {order}
    assert values(printed) == {"ResendSent": [[1, 1]]}


@each_source
def test_repeat_by_domain_mails_nobody(
    all_types: Emulator, order: int, invoke: Invoke, output: ReadOutput, make: MakeEvent
) -> None:
    invoke(direct(order))
    output()

    outcome, message = answer_to(invoke, make, order)

    assert outcome == ("cool_down" if is_http(make) else "duplicate")
    assert message == "" or message.startswith("Emails about ")
    assert len(puts(all_types)) == 2
    assert values(output()) == {"ResendDuplicate": [[1, 1]]}


@each_source
def test_named_recipients_are_looked_up_and_mailed(
    all_types: Emulator, order: int, invoke: Invoke, make: MakeEvent
) -> None:
    entry = {"domain": "www.b.example", "email": "Hostmaster@b.example", "email_domain": "b.example"}
    body = {"domain_approval_emails": [entry], "locale": "de"}

    invoke(make(order, body))

    domain_id = domains_in(all_types, order)["b.example"]
    assert [call["path"].partition("/v2/")[2] for call in all_types.calls[2:]] == [f"domain/{domain_id}/dcv/emails"] * 2
    assert [call["method"] for call in all_types.calls[2:]] == ["GET", "PUT"]
    assert sent(all_types) == [{"name_scope": "b.example", "email_array": ["hostmaster@b.example"], "locale": "de"}]
    assert [mail["to"] for mail in all_types.outbox] == ["hostmaster@b.example"]


@each_source
def test_address_not_listed_is_refused_with_the_accepted(all_types: Emulator, invoke: Invoke, make: MakeEvent) -> None:
    """CertCentral would ignore the address of the parent here, and mail everybody instead."""
    order_id = all_types.add_order(kind="ev", names=["www.b.example"], name_scope="fqdn")["id"]
    entry = {"domain": "www.b.example", "email": "admin@b.example", "email_domain": "b.example"}

    code, message = answer_to(invoke, make, order_id, {"domain_approval_emails": [entry]})

    assert code == "recipient_not_allowed|domain_approval_emails[0].email"
    assert "Accepted: " in message
    assert "admin@www.b.example" in message
    assert puts(all_types) == []


@each_source
def test_list_of_a_parent_domain_checks_nobody(all_types: Emulator, invoke: Invoke, make: MakeEvent) -> None:
    all_types.set_switches(domain_ids="per_base_domain")
    order_id = all_types.add_order(kind="ov", names=["www.b.example"], name_scope="fqdn")["id"]

    code, _ = answer_to(invoke, make, order_id, named(("www.b.example", "admin@www.b.example")))

    assert (code, puts(all_types)) == ("recipient_unverified", [])


@each_source
def test_default_setting_refuses_and_points_elsewhere(
    emulator: Emulator, invoke: Invoke, output: ReadOutput, make: MakeEvent
) -> None:
    code, message = answer_to(invoke, make, OV)

    assert code == "order_not_eligible|not_dv"
    assert "PUT /services/v2/domain/{domain_id}/dcv/emails" in message
    assert (puts(emulator), lines(output())) == ([], [("audit", "OrderNotEligible", None)])


@each_source
def test_dv_order_is_sent_by_order(all_types: Emulator, invoke: Invoke, output: ReadOutput, make: MakeEvent) -> None:
    answer = invoke(make(ORDER))

    assert [call["path"].partition("/v2/")[2] for call in puts(all_types)] == [
        f"order/certificate/{ORDER}/resend-emails"
    ]
    assert "domains" not in answer
    assert lines(output()) == [("sending", "sending", None), ("audit", "sent", None)]


@each_source
def test_paused_sending_by_domain_asks_nothing(
    all_types: Emulator, settings: Settings, invoke: Invoke, make: MakeEvent
) -> None:
    settings(SENDING="off")

    assert answer_to(invoke, make, OV)[0] == SendingPaused.base_code
    assert all_types.calls == []


def test_organization_that_is_open_is_told(all_types: Emulator, invoke: Invoke) -> None:
    order_id = all_types.add_order(kind="ov", names={"a.example": "approved"}, organization="pending")["id"]

    with pytest.raises(OrderNotEligible, match=r"organization is still to be validated.*already_validated"):
        invoke(direct(order_id))


def test_status_of_an_order_that_is_not_dv_is_answered(order: int, invoke: Invoke) -> None:
    answer = invoke({"action": "status", "order_id": order})

    assert {each["name"]: each["status"] for each in answer["domains"]}["done.example"] == "approved"


# Several domains, several orders


def test_second_order_does_not_mail_a_shared_domain(all_types: Emulator, invoke: Invoke) -> None:
    first, second = invoke(direct(OV_MULTI)), invoke(direct(OV_SHARED))

    assert (first["outcome"], second["outcome"]) == ("sent", "duplicate")
    assert [each["outcome"] for each in first["domains"] + second["domains"]] == ["sent", "duplicate"]
    assert sent(all_types) == [{"name_scope": "ov-shared.example"}]


def test_named_recipient_already_mailed_is_skipped(all_types: Emulator, order: int, invoke: Invoke) -> None:
    a = ("a.example", "admin@a.example")
    b = {"domain": "www.b.example", "email": "admin@b.example", "email_domain": "b.example"}
    invoke(direct(order, named(a)))
    body = named(a)
    body["domain_approval_emails"].append(b)

    answer = invoke(http_v2(order, body))

    assert answer["headers"] == {"Resend-Outcome": "sent", "Resend-Skipped": "1"}
    assert [each["email_array"] for each in sent(all_types)] == [["admin@a.example"], ["admin@b.example"]]


@each_source
def test_unknown_domain_is_named_and_the_other_mailed(
    all_types: Emulator, order: int, invoke: Invoke, output: ReadOutput, make: MakeEvent
) -> None:
    all_types.inject({"fault": "reset", "method": "PUT", "times": 1, "mails": True})

    code, message = answer_to(invoke, make, order)

    assert code == "outcome_unknown"
    assert message.startswith("a.example: ")
    assert "Sent: b.example." in message
    assert len(puts(all_types)) == 2
    printed = output()
    assert lines(printed)[1::2] == [("audit", "OutcomeUnknown", "a.example"), ("audit", "sent", "b.example")]
    assert lines(printed)[-1] == ("audit", "OutcomeUnknown", None)
    assert values(printed) == {"ResendSent": [1], "OutcomeUnknown": [1], "ResendFailed": [1, 1]}


@each_source
def test_account_error_leaves_the_rest_to_a_repeat(
    all_types: Emulator, order: int, invoke: Invoke, make: MakeEvent
) -> None:
    second = domains_in(all_types, order)["b.example"]
    all_types.inject({"fault": "status", "status": 429, "method": "PUT", "path": f"/{second}/", "times": 1})

    code, message = answer_to(invoke, make, order)

    assert code == RateLimited.base_code
    assert "Sent: a.example. Left: 1 of 2 domains (b.example); a repeat sends these only." in message
    assert invoke(direct(order))["domains"][0]["outcome"] == "duplicate"
    assert [each["name_scope"] for each in sent(all_types)] == ["a.example", "b.example", "b.example"]


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_redelivered_forced_call_by_domain_mails_once(
    all_types: Emulator, order: int, invoke: Invoke, make: MakeEvent
) -> None:
    invoke(direct(order), request_id="first")

    for _ in range(3):
        answer_to(invoke, make, order, force=True, request_id="forced")

    assert [each["name_scope"] for each in sent(all_types)] == OPEN * 2


@pytest.mark.usefixtures("all_types")
def test_function_killed_between_domains_leaves_lines(
    order: int, invoke: Invoke, output: ReadOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    resend = CertCentralClient.resend_domain_emails

    def kill(client: CertCentralClient, domain_id: int, body: dict[str, object], deadline: float) -> None:
        if body["name_scope"] == "b.example":
            raise KeyboardInterrupt
        resend(client, domain_id, body, deadline)

    monkeypatch.setattr(CertCentralClient, "resend_domain_emails", kill)

    with pytest.raises(KeyboardInterrupt):
        invoke(event(order))

    printed = output()
    assert lines(printed) == [
        *(("sending", "sending", "a.example"), ("audit", "sent", "a.example"), ("sending", "sending", "b.example"))
    ]
    assert {line["caller"] for line in printed.lines[:3]} == {EVENT_ID}


@pytest.mark.usefixtures("all_types")
def test_each_domain_has_a_record_without_addresses(order: int, invoke: Invoke) -> None:
    invoke(direct(order, named(("a.example", "admin@a.example"))))

    (item,) = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
    assert item["id"]["S"].startswith("domain#")
    assert item["id"]["S"].endswith("#a.example")
    assert "@" not in str(item)


def test_no_call_mails_a_foreign_recipient(all_types: Emulator, order: int, invoke: Invoke) -> None:
    with pytest.raises(RecipientNotAllowed):
        invoke(direct(order, named(("a.example", "admin@elsewhere.test"))))

    assert puts(all_types) == []


# The schedule and the queue


def sweep(invoke: Invoke) -> dict[str, Any]:
    summary: dict[str, Any] = invoke(SWEEP, seconds=900)
    return summary


def enqueue(url: str, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
    for body in bodies:
        boto3.client("sqs").send_message(
            QueueUrl=url, MessageBody=json.dumps(body), MessageGroupId="certcentral", MessageDeduplicationId=str(body)
        )
    return receive(url)


@pytest.fixture
def queue(all_types: Emulator, queue_url: str) -> str:
    """The queue of a function that serves all order types."""
    all_types.clear_orders()
    return queue_url


def add(emulator: Emulator, kind: str, *names: str, **fields: Any) -> int:
    added: dict[str, Any] = emulator.add_order(kind=kind, names=list(names), **({"age_days": 3} | fields))
    return int(added["id"])


def test_sweep_queues_orders_of_all_types(all_types: Emulator, queue: str, invoke: Invoke, output: ReadOutput) -> None:
    dv, ov = add(all_types, "dv", "a.example"), add(all_types, "ov", "b.example")
    reissue = add(all_types, "ev", "c.example", status="reissue_pending")
    stuck = add(all_types, "ev", "d.example", age_days=45)

    summary = sweep(invoke)

    assert (summary["pending_dv"], summary["pending_other"], summary["enqueued"]) == (1, 3, 3)
    assert summary["stuck_orders"] == [stuck]
    bodies = [json.loads(record["body"]) for record in receive(queue)]
    assert {body["order_id"]: body.get("by_domain", False) for body in bodies} == {dv: False, ov: True, reissue: True}
    assert values(output())["PendingOrders"] == [4]


def test_sweep_of_dv_orders_leaves_the_others_alone(
    all_types: Emulator, queue: str, settings: Settings, invoke: Invoke
) -> None:
    settings(ORDER_TYPES="dv")
    add(all_types, "ov", "b.example")

    assert "pending_other" not in sweep(invoke)
    assert receive(queue) == []


@pytest.mark.usefixtures("queue")
def test_pending_orders_of_all_types_are_answered(all_types: Emulator, invoke: Invoke) -> None:
    orders = {add(all_types, "dv", "a.example"), add(all_types, "ov", "b.example"), add(all_types, "ev", "c.example")}

    answer = invoke({"action": "pending"}, seconds=900)

    assert ({order["order_id"] for order in answer["orders"]}, answer["other_products"]) == (orders, 0)


def test_swept_orders_are_reminded_of_by_their_own_call(
    all_types: Emulator, queue: str, invoke: Invoke, output: ReadOutput
) -> None:
    dv, ov = add(all_types, "dv", "a.example"), add(all_types, "ov", "b.example", "c.example")
    sweep(invoke)
    output()

    assert invoke({"Records": receive(queue)}) == {"batchItemFailures": []}

    printed = output()
    assert [call["path"].partition("/v2/")[2].partition("/")[0] for call in puts(all_types)].count("domain") == 2
    assert len(puts(all_types)) == 3
    calls = [(line["order_id"], line["outcome"], line.get("domains")) for line in printed.lines if is_last(line)]
    assert sorted(calls) == [(dv, "sent", None), (ov, "sent", ["b.example: sent", "c.example: sent"])]
    assert values(printed) == {"ResendSent": [[1, 1, 1]]}


def is_last(line: dict[str, Any]) -> bool:
    """Whether it is the audit line of a call, not of one of its domains."""
    return line.get("message") == "audit" and "domain" not in line


def test_redelivered_reminder_by_domain_mails_nobody(all_types: Emulator, queue: str, invoke: Invoke) -> None:
    records = enqueue(queue, {"order_id": add(all_types, "ov", "b.example"), "by_domain": True})

    for _ in range(2):
        assert invoke({"Records": records}) == {"batchItemFailures": []}

    assert len(puts(all_types)) == 1


def test_reminder_stopped_between_domains_is_returned(
    all_types: Emulator, queue: str, invoke: Invoke, output: ReadOutput
) -> None:
    order_id = add(all_types, "ov", "b.example", "c.example")
    second = domains_in(all_types, order_id)["c.example"]
    all_types.inject({"fault": "status", "status": 429, "path": f"/{second}/", "times": 1})
    records = enqueue(queue, {"order_id": order_id, "by_domain": True})

    answers = [invoke({"Records": records}) for _ in range(2)]

    assert [len(answer["batchItemFailures"]) for answer in answers] == [1, 0]
    assert [each["name_scope"] for each in sent(all_types)] == ["b.example", "c.example", "c.example"]
    outcomes = [(line["outcome"], line["domains"]) for line in output().lines if is_last(line)]
    assert outcomes == [
        ("RateLimited", ["b.example: sent", "c.example: RateLimited"]),
        ("sent", ["b.example: duplicate", "c.example: sent"]),
    ]


def test_unknown_reminder_by_domain_is_audited_once(
    all_types: Emulator, queue: str, invoke: Invoke, output: ReadOutput
) -> None:
    all_types.inject({"fault": "reset", "method": "PUT", "times": 1, "mails": True})
    records = enqueue(queue, {"order_id": add(all_types, "ov", "b.example", "c.example"), "by_domain": True})

    for _ in range(2):
        assert invoke({"Records": records}) == {"batchItemFailures": []}

    printed = output()
    assert [line["outcome"] for line in printed.lines if is_last(line)] == ["OutcomeUnknown", "already_reminded"]
    assert values(printed) == {"ResendSent": [1], "OutcomeUnknown": [1], "ResendFailed": [1, 1]}


def test_reminder_by_domain_waits_while_paused(
    all_types: Emulator, queue: str, settings: Settings, invoke: Invoke
) -> None:
    settings(SENDING="off")
    records = enqueue(queue, {"order_id": add(all_types, "ov", "b.example"), "by_domain": True})

    assert len(invoke({"Records": records})["batchItemFailures"]) == 1
    assert all_types.calls == []


@pytest.mark.parametrize(("kind", "count"), [("dv", 1), ("ov", 0)])
def test_reminder_by_domain_after_the_setting_is_reset(
    all_types: Emulator, queue: str, settings: Settings, invoke: Invoke, output: ReadOutput, kind: str, count: int
) -> None:
    settings(ORDER_TYPES="dv")
    records = enqueue(queue, {"order_id": add(all_types, kind, "b.example"), "by_domain": True})

    assert invoke({"Records": records}) == {"batchItemFailures": []}

    assert (len(puts(all_types)), sent(all_types)) == (count, [])
    (line,) = [line for line in output().lines if is_last(line)]
    assert line.get("code") == (None if count else "order_not_eligible|not_dv")


def test_rate_limit_counts_every_domain(
    all_types: Emulator, queue: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = FakeBucket(50)
    monkeypatch.setattr(app, "TokenBucket", lambda _rate: bucket)
    add(all_types, "ov", "b.example", "c.example", "d.example")
    sweep(invoke)

    invoke({"Records": receive(queue)})

    assert bucket.waits == len(all_types.calls)
    assert len(puts(all_types)) == 3
