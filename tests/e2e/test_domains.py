"""Orders that are not DV, on a stack with OrderTypes=all: one email about each open domain, and never two."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests
from unit.samples import message

from dev.emulator.orders import SEED_IDS
from dev.emulator.resend_emails import constructed_addresses
from dev.local.stack import LocalStack
from e2e.conftest import (
    PATH,
    Emulator,
    OwnProcess,
    Put,
    audit_lines,
    cancel_first_orders,
    deployed,
    drained,
    eventually,
    new_ids,
)
from e2e.test_chase import WAITS, Execution
from e2e.test_docs import explained, forget_resends, is_documented, page_lines
from e2e.test_sweep import outcomes, sweep

type Add = Callable[..., int]

DOMAIN_PATH = re.compile(r"/services/v2/domain/[0-9]+/dcv/emails")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with deployed(OrderTypes="all") as stack:
        yield stack


@pytest.fixture
def add(emulator: Emulator) -> Add:
    """Add an OV order, unless ``fields`` say otherwise, whose domains all wait for an email."""

    def order(*names: str, **fields: Any) -> int:
        return emulator.add_order(**{"id": new_ids(1)[0], "kind": "ov", "names": names} | fields)

    return order


def fresh(*labels: str) -> list[str]:
    """Return domains that no call was about: send records outlive the emulator's reset."""
    number = next(_numbers)
    return [f"{label}-{number}.example" for label in labels]


def asked(emulator: Emulator) -> list[str]:
    """The domain of each PUT; each was a domain-level one."""
    assert all(DOMAIN_PATH.fullmatch(put["path"]) for put in emulator.puts)
    return [json.loads(put["body"])["name_scope"] for put in emulator.puts]


def mailed(emulator: Emulator) -> list[str]:
    """The domain of each call that sent emails."""
    return list({mail["caused_by"]: mail["domain"] for mail in emulator.outbox}.values())


def path_of(emulator: Emulator, domain: str) -> str:
    (number,) = [known["id"] for known in emulator("GET", "domains") if known["name"] == domain]
    return f"/domain/{number}/dcv/emails"


def invoke(stack: LocalStack, order_id: int, **fields: Any) -> dict[str, Any]:
    """Return the result of a direct call, or its error."""
    payload = json.dumps({"order_id": order_id, **fields})
    answer = stack.client("lambda").invoke(FunctionName=stack.function_alias, Payload=payload)
    return json.load(answer["Payload"])


def error(response: requests.Response) -> tuple[int, str, str]:
    """Return status, and the first error's code and message."""
    first = response.json()["errors"][0]
    return response.status_code, first["code"], first["message"]


# ---------------------------------------------------------------- which domains


@pytest.mark.parametrize("kind", ["ov", "ev"])
def test_order_mails_exactly_its_open_domains_once(put: Put, emulator: Emulator, add: Add, kind: str) -> None:
    validated, by_dns, waiting = names = fresh("validated", "by-dns", "waiting")
    states = dict.fromkeys(names, "pending") | {validated: "approved"}
    order_id = add(kind=kind, names=states, methods={by_dns: "dns-txt-token"})

    first = [put(order_id), put(order_id, {"locale": "de"})]
    assert mailed(emulator) == [waiting]
    emulator("PATCH", f"orders/{order_id}", {"methods": {}})
    second = [put(order_id), put(order_id)]

    assert [answer.status_code for answer in (*first, *second)] == [204, 409, 204, 409]
    assert (first[0].headers["Resend-Outcome"], error(first[1])[1]) == ("sent", "cool_down")
    assert asked(emulator) == mailed(emulator) == [waiting, by_dns]
    assert [put["body"] for put in emulator.puts] == [f'{{"name_scope":"{name}"}}' for name in (waiting, by_dns)]
    assert [mail["to"] for mail in emulator.outbox] == [
        *constructed_addresses(waiting),
        *constructed_addresses(by_dns),
    ]


def test_two_open_domains_are_mailed_by_one_call(stack: LocalStack, emulator: Emulator, add: Add) -> None:
    names = fresh("first", "second")

    said = invoke(stack, order_id := add(*names))

    ids = [int(put["path"].split("/")[-3]) for put in emulator.puts]
    assert said.pop("sent_at").endswith("Z")
    assert said == {
        "order_id": order_id,
        "outcome": "sent",
        "recipients": "default",
        "skipped": [],
        "domains": [{"name": name, "id": id_, "outcome": "sent"} for name, id_ in zip(names, ids, strict=True)],
    }
    assert asked(emulator) == mailed(emulator) == names


def test_shared_domain_is_not_mailed_for_a_second_order(
    stack: LocalStack, put: Put, emulator: Emulator, add: Add
) -> None:
    shared, other = fresh("shared", "other")
    first, same, more = add(shared), add(f"www.{shared}", kind="ev"), add(shared, other)
    assert put(first).status_code == 204

    refused, said = put(same), invoke(stack, more)

    assert error(refused)[:2] == (409, "cool_down")
    assert (said["outcome"], [each["outcome"] for each in said["domains"]]) == ("sent", ["duplicate", "sent"])
    assert asked(emulator) == mailed(emulator) == [shared, other]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "approved"}, "already_validated"),
        ({"dcv_method": "dns-txt-token"}, "not_email_dcv"),
        ({"dcv_method": "dns-txt-token", "kind": "ev"}, "not_email_dcv"),
    ],
)
def test_order_without_open_domain_is_refused(
    put: Put, emulator: Emulator, add: Add, fields: dict[str, str], reason: str
) -> None:
    names = dict.fromkeys(fresh("one", "two"), fields.pop("status", "pending"))

    status, code, _ = error(put(add(names=names, **fields)))

    assert (status, code) == (409, f"order_not_eligible|{reason}")
    assert (emulator.puts, emulator.outbox) == ([], [])


def test_each_order_is_served_by_its_own_call_only(put: Put, emulator: Emulator, add: Add) -> None:
    shared, dv_name, other = fresh("shared", "dv", "other")
    orders = [add(shared, other), add(shared, dv_name, kind="dv"), add(dv_name, kind="ev")]

    answers = [put(order_id).status_code for order_id in orders]

    # A DV order has records of its own, whatever was sent about its names for others.
    assert answers == [204, 204, 204]
    assert [put["path"].removeprefix("/services/v2") for put in emulator.puts] == [
        path_of(emulator, shared),
        path_of(emulator, other),
        PATH.format(orders[1]).removeprefix("/services/v2"),
        path_of(emulator, dv_name),
    ]


def test_event_sends_once_about_each_domain(stack: LocalStack, emulator: Emulator, add: Add) -> None:
    names = fresh("first", "second")
    entry = {"EventBusName": stack.event_bus, "Source": "pki.portal", "DetailType": "Resend DV Emails"}
    detail = json.dumps({"order_id": (order_id := add(*names))})

    for _ in range(2):
        stack.client("events").put_events(Entries=[{**entry, "Detail": detail}])

    def said() -> list[str]:
        lines = [line for line in audit_lines(stack, order_id) if line["message"] == "audit" and "domain" not in line]
        return sorted(line["outcome"] for line in lines)

    eventually(lambda: len(said()) == 2)
    assert set(said()) <= {"sent", "duplicate", "ResendInProgress"}
    assert asked(emulator) == mailed(emulator) == names


def test_dry_run_shows_each_domain_and_sends_nothing(stack: LocalStack, put: Put, emulator: Emulator, add: Add) -> None:
    validated, by_dns, mailed_before, waiting = names = fresh("validated", "by-dns", "mailed", "waiting")
    states = dict.fromkeys(names, "pending") | {validated: "approved"}
    order_id = add(names=states, methods={by_dns: "dns-txt-token"})
    put(add(mailed_before))
    emulator("DELETE", "calls")

    over_http, direct = put(order_id, query="?dry_run=true"), invoke(stack, order_id, dry_run=True)

    assert (over_http.status_code, over_http.headers["Resend-Outcome"]) == (200, "planned")
    assert over_http.json() == direct
    assert direct["would_be"] == "sent"
    assert {each["name"]: each["outcome"] for each in direct["domains"]} == {
        mailed_before: "duplicate",
        waiting: "sent",
        validated: "validated",
        by_dns: "not_email_dcv",
    }
    (planned,) = [each["upstream_body"] for each in direct["domains"] if "upstream_body" in each]
    assert emulator.puts == []
    # The real call sends what was planned.
    assert put(order_id).status_code == 204
    assert [json.loads(sent["body"]) for sent in emulator.puts] == [planned]
    assert mailed(emulator) == [mailed_before, waiting]


# ---------------------------------------------------------------- named recipients


def named(*recipients: tuple[str, str]) -> dict[str, Any]:
    """Build the body of a request for these addresses, each with its domain."""
    return {"domain_approval_emails": [{"domain": domain, "email": email} for domain, email in recipients]}


def asked_for_emails(emulator: Emulator) -> list[str]:
    return [call["path"] for call in emulator.calls if call["method"] == "GET" and "/dcv/emails" in call["path"]]


def test_named_recipient_is_mailed_about_its_domain_only(put: Put, emulator: Emulator, add: Add) -> None:
    _, second = names = fresh("first", "second")
    order_id = add(*names, contacts=["pki@mail.test"])
    recipients = named((second, f"admin@{second}"), (f"www.{second}", "pki@mail.test"))
    emulator("PATCH", f"orders/{order_id}", {"names": [*names, f"www.{second}"]})

    answer = put(order_id, recipients | {"locale": "de"})

    assert answer.status_code == 204
    assert asked_for_emails(emulator) == [f"/services/v2{path_of(emulator, second)}"]
    (sent,) = emulator.puts
    assert json.loads(sent["body"]) == {
        "name_scope": second,
        "email_array": [f"admin@{second}", "pki@mail.test"],
        "locale": "de",
    }
    assert [mail["to"] for mail in emulator.outbox] == [f"admin@{second}", "pki@mail.test"]


def test_recipient_not_on_the_list_is_refused_and_none_mailed(put: Put, emulator: Emulator, add: Add) -> None:
    # Only a CAA record publishes it. CertCentral would ignore it, and mail everybody instead.
    (name,) = fresh("caa")
    order_id = add(name)
    emulator("PUT", "dns", {"name": name, "type": "CAA", "values": [f'0 contactemail "pki@{name}"']})

    status, code, text = error(put(order_id, named((name, f"pki@{name}"))))

    assert (status, code) == (422, "recipient_not_allowed|domain_approval_emails[0].email")
    assert "not among the addresses that CertCentral lists" in text
    assert f"Accepted: admin@{name}, administrator@{name}" in text
    assert asked_for_emails(emulator) == [f"/services/v2{path_of(emulator, name)}"]
    assert (emulator.puts, emulator.outbox) == ([], [])


def test_list_of_another_scope_mails_nobody(put: Put, emulator: Emulator, add: Add) -> None:
    (base,) = fresh("base")
    emulator("PUT", "switches", {"domain_ids": "per_base_domain"})
    order_id = add(f"a.{base}", f"b.{base}", name_scope="fqdn")

    refused = error(put(order_id, named((f"a.{base}", f"admin@a.{base}"))))
    assert refused[:2] == (503, "recipient_unverified")
    assert (emulator.puts, emulator.outbox) == ([], [])

    # Without recipients, each scope is mailed, although both have one domain id.
    assert put(order_id).status_code == 204
    assert asked(emulator) == mailed(emulator) == [f"a.{base}", f"b.{base}"]


def test_recipient_of_validated_domain_is_skipped(put: Put, emulator: Emulator, add: Add) -> None:
    validated, waiting = fresh("validated", "waiting")
    order_id = add(names={validated: "approved", waiting: "pending"})

    answer = put(order_id, named((validated, f"admin@{validated}"), (waiting, f"admin@{waiting}")))

    assert (answer.status_code, answer.headers["Resend-Skipped"]) == (204, "1")
    assert [mail["to"] for mail in emulator.outbox] == [f"admin@{waiting}"]


# ---------------------------------------------------------------- partial outcomes


@pytest.mark.parametrize(
    ("kill", "before", "then", "at_once", "after_its_end"),
    [
        # Between the two domains, a repeat mails the second only.
        ("after-settle", [0], [0, 1], "sent", "duplicate"),
        ("before-store:3", [0], [0, 1], "sent", "duplicate"),
        # The email of the domain that was claimed may have been sent: nobody repeats it, and the other is mailed.
        ("before-store", [], [0, 1], "sent", "duplicate"),
        ("after-store", [], [1], "ResendInProgress", "OutcomeUnknown"),
        ("after-put", [0], [0, 1], "ResendInProgress", "OutcomeUnknown"),
        ("after-store:3", [0], [0], "ResendInProgress", "OutcomeUnknown"),
        ("after-put:2", [0, 1], [0, 1], "ResendInProgress", "OutcomeUnknown"),
        ("after-settle:2", [0, 1], [0, 1], "duplicate", "duplicate"),
    ],
)
def test_killed_call_is_completed_and_repeats_no_email(
    own_process: OwnProcess,
    emulator: Emulator,
    add: Add,
    kill: str,
    before: list[int],
    then: list[int],
    at_once: str,
    after_its_end: str,
) -> None:
    names = fresh("first", "second")
    event = {"order_id": add(*names)}
    own_process(event, kill=kill)
    assert asked(emulator) == [names[number] for number in before]

    said = [own_process(event, later=later, request_id=f"{later}") for later in (0, 160, 3650)]

    assert [answer.get("error", answer.get("outcome")) for answer in said] == [at_once, *[after_its_end] * 2]
    assert asked(emulator) == mailed(emulator) == [names[number] for number in then]


def test_redelivered_forced_call_mails_the_second_domain_only(
    own_process: OwnProcess, emulator: Emulator, add: Add
) -> None:
    names = fresh("first", "second")
    order_id = add(*names)
    event = {"order_id": order_id, "force": True}
    own_process({"order_id": order_id}, request_id="earlier")
    own_process(event, kill="after-settle")
    assert asked(emulator) == [*names, names[0]]

    said = [own_process(event)["outcome"] for _ in range(2)]

    assert said == ["sent", "duplicate"]
    assert asked(emulator) == mailed(emulator) == names * 2


@pytest.mark.parametrize("mails", [True, False], ids=["mailed", "not mailed"])
def test_unknown_outcome_of_first_domain_leaves_second_mailed(
    stack: LocalStack, put: Put, emulator: Emulator, add: Add, mails: bool
) -> None:
    first, second = names = fresh("first", "second")
    order_id = add(*names)
    emulator.inject({"fault": "reset", "method": "PUT", "mails": mails, "times": 1})

    status, code, text = error(put(order_id))

    assert (status, code) == (504, "outcome_unknown")
    assert text.startswith(f"{first}: ")
    assert f"Sent: {second}." in text
    repeated, direct = put(order_id), invoke(stack, order_id)
    assert (repeated.status_code, direct["errorType"]) == (504, "OutcomeUnknown")
    assert "Retry-After" not in repeated.headers
    assert direct["errorMessage"].startswith(f"{first}: ")
    assert f"Already mailed: {second}." in direct["errorMessage"]
    assert asked(emulator) == names
    assert mailed(emulator) == (names if mails else [second])


def test_refusal_of_one_domain_leaves_the_others_mailed(put: Put, emulator: Emulator, add: Add) -> None:
    first, second, third = names = fresh("first", "second", "third")
    order_id = add(*names)
    body = {"errors": [{"code": "invalid_request", "message": "No."}]}
    emulator.inject({"fault": "status", "status": 400, "body": body, "path": path_of(emulator, second), "times": 1})

    status, code, text = error(put(order_id))

    assert (status, code) == (422, "request_rejected")
    assert text.startswith(f"{second}: ")
    assert f"Sent: {first}, {third}." in text
    assert put(order_id).status_code == 204
    assert mailed(emulator) == [first, third, second]


def test_rate_limit_stops_and_a_repeat_sends_the_rest(put: Put, emulator: Emulator, add: Add) -> None:
    first, second, third = names = fresh("first", "second", "third")
    order_id = add(*names)
    emulator.inject({"fault": "status", "status": 429, "path": path_of(emulator, second), "times": 1})

    answer = put(order_id)

    status, code, text = error(answer)
    assert (status, code, answer.headers["Retry-After"]) == (429, "request_limit_exceeded", "30")
    assert f"Sent: {first}." in text
    assert f"Left: 2 of 3 domains ({second}, {third})" in text
    assert asked(emulator) == [first, second]
    assert put(order_id).status_code == 204
    assert mailed(emulator) == names


def test_too_little_time_says_how_many_are_left(own_process: OwnProcess, emulator: Emulator, add: Add) -> None:
    names = fresh("first", "second", "third", "fourth")
    event = {"order_id": add(*names)}
    emulator.inject({"fault": "slow", "seconds": 1, "method": "PUT", "times": 3})

    said = own_process(event)

    sent = len(mailed(emulator))
    assert 0 < sent < 4
    assert said["error"] == "CertCentralUnavailable"
    assert f"Left: {4 - sent} of 4 domains ({', '.join(names[sent:])})" in said["message"]
    emulator("DELETE", "faults")
    assert own_process(event, request_id="two")["outcome"] == "sent"
    assert asked(emulator) == mailed(emulator) == names


def test_parallel_calls_mail_each_domain_once(
    put: Put, at_once: Callable[..., list[requests.Response]], emulator: Emulator, add: Add
) -> None:
    shared, one, other = fresh("shared", "one", "other")
    orders = itertools.cycle([add(shared, one), add(shared, other)])

    answers = at_once(lambda: put(next(orders)))

    assert {answer.status_code for answer in answers} <= {204, 409}
    assert sorted(asked(emulator)) == sorted(mailed(emulator)) == sorted([shared, one, other])


# ---------------------------------------------------------------- reminders


@pytest.fixture
def due(stack: LocalStack, emulator: Emulator, add: Add) -> Iterator[Add]:
    """Add an order with a reminder due today; no orders but the test's own are due."""
    cancel_first_orders(emulator)
    emulator("PUT", "limits", [])

    def order(*names: str, **fields: Any) -> int:
        return add(*names, **{"age_days": 3.2} | fields)

    yield order
    emulator("DELETE", "faults")
    drained(stack)


def test_sweep_reminds_orders_of_all_types_once(
    stack: LocalStack, emulator: Emulator, due: Add, reports: Callable[[], list[dict[str, str]]]
) -> None:
    shared, own, dv_name, late, new = fresh("shared", "own", "dv", "late", "new")
    orders = [due(shared, own), due(shared, kind="ev"), due(dv_name, kind="dv")]
    stuck, young = due(late, age_days=40), due(new, age_days=0.5)

    plan = sweep(stack, dry_run=True)["plan"]
    summary = sweep(stack)
    drained(stack)
    again = sweep(stack)
    drained(stack)

    assert [entry.get("by_domain") for entry in plan] == [True, True, None]
    assert (summary["due"], summary["enqueued"], again["due"]) == (3, 3, 3)
    assert (summary["pending_dv"], summary["pending_other"], summary["stuck_orders"]) == (1, 4, [stuck])
    assert sorted(put["path"].removeprefix("/services/v2") for put in emulator.puts) == sorted(
        [path_of(emulator, shared), path_of(emulator, own), PATH.format(orders[2]).removeprefix("/services/v2")]
    )
    assert len(mailed(emulator)) == 3
    assert outcomes(stack, young) == outcomes(stack, stuck) == []
    assert f"- {stuck} {late}: pending for 40 days." in eventually(reports)[0]["Message"]

    # The queue may deliver a message again, and a dead-letter queue may bring it back.
    for entry in plan:
        entry.pop("name")
        stack.client("sqs").send_message(
            QueueUrl=stack.queue_url,
            MessageBody=json.dumps(entry),
            MessageGroupId="again",
            MessageDeduplicationId=uuid4().hex,
        )
    drained(stack)
    eventually(lambda: [outcomes(stack, order_id)[-1] for order_id in orders] == ["already_reminded"] * 3)
    assert len(emulator.puts) == 3


def test_pending_orders_of_all_types_are_listed(stack: LocalStack, due: Add) -> None:
    late, new = fresh("late", "new")
    stuck, ov = due(late, age_days=40, kind="ev"), due(new)

    answer = stack.client("lambda").invoke(FunctionName=stack.sweep_function_alias, Payload=b'{"action": "pending"}')

    listed = json.load(answer["Payload"])
    assert [(row["order_id"], row["name"], row["reminder"]) for row in listed["orders"]] == [
        (stuck, late, "stuck"),
        (ov, new, "day 3"),
    ]
    assert (listed["other_products"], listed["complete"]) == (0, True)


# Seconds after the worker was killed: inside the cool-down, and after it.
SOON, LATE = (600, 1200, 7200), (7200, 14_400)


# A reminder claims the order first, and each domain later; a claim and its outcome are stored one after the other.
@pytest.mark.parametrize(
    ("kill", "mails", "reports", "redelivered"),
    [
        ("after-store", [0, 1], 0, SOON),
        ("after-store:2", [1], 1, SOON),
        ("after-store:2", [1], 1, LATE),
        ("after-put", [0, 1], 1, SOON),
        ("after-put", [0, 1], 1, LATE),
        ("after-settle", [0, 1], 0, LATE),
        ("after-store:4", [0], 1, SOON),
        ("after-put:2", [0, 1], 1, SOON),
        ("after-settle:2", [0, 1], 0, SOON),
        ("after-settle:3", [0, 1], 0, SOON),
    ],
)
def test_killed_worker_is_completed_and_repeats_no_email(
    own_process: OwnProcess,
    emulator: Emulator,
    due: Add,
    kill: str,
    mails: list[int],
    reports: int,
    redelivered: tuple[int, ...],
) -> None:
    names = fresh("first", "second")
    event = {"Records": [message(due(*names), by_domain=True)]}

    own_process(event, kill=kill)
    answers = [own_process(event, later=later) for later in redelivered]

    assert answers == [{"batchItemFailures": []}] * len(redelivered)
    assert asked(emulator) == mailed(emulator) == [names[number] for number in mails]
    said = [line["outcome"] for line in own_process.audits if "domain" not in line]
    assert (said.count("OutcomeUnknown"), said[-1]) == (reports, "already_reminded")


def test_chase_follows_order_until_it_is_issued(stack: LocalStack, emulator: Emulator, add: Add) -> None:
    names = fresh("first", "second")
    order_id = add(*names)
    chase = Execution(stack, {"order_id": order_id, "waits_hours": [*WAITS, 5]})
    chase.reaches("WaitForValidation", times=2)
    emulator("POST", f"orders/{order_id}/issue")

    status, said = chase.ends()

    assert (status, said["result"]) == ("SUCCEEDED", "issued")
    assert [send["outcome"] for send in said["sends"]][:2] == ["sent", "duplicate"]
    assert asked(emulator) == mailed(emulator) == names


# ---------------------------------------------------------------- the documents


@pytest.mark.usefixtures("emulator")
def test_dry_run_page_explains_orders_that_share_a_domain(stack: LocalStack, put: Put) -> None:
    forget_resends(stack)
    first, second = SEED_IDS["ov_multi"], SEED_IDS["ov_shared"]
    assert put(first).status_code == 204

    printed = explained(stack, first) + explained(stack, second)

    is_documented("docs/dry-run.md", "OV orders, explained", page_lines(printed.rstrip()))
