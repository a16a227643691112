"""Repeats within the cool-down mail nobody twice: in other words, in parallel, after a crash. Real processes, table."""

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from conftest import CANARY

from dev.local.stack import LocalStack
from e2e.conftest import Emulator, OwnProcess, Put

ADDRESS = "{}@example.com"


def to(*local_parts: str, **fields: str) -> dict[str, Any]:
    """Build the body of a request; without ``local_parts``, for the default recipients."""
    named = [{"domain": "example.com", "email": ADDRESS.format(local_part)} for local_part in local_parts]
    return fields | ({"domain_approval_emails": named} if named else {})


# How a second email used to slip through: other words for people who were mailed already.
SPELLINGS = {
    "default": to(),
    "default, en": to(locale="en"),
    "default, EN_us": to(locale="EN_us"),
    "admin": to("admin"),
    "admin and webmaster": to("admin", "webmaster"),
    "admin and hostmaster": to("admin", "hostmaster"),
    "admin, en": to("admin", locale="en"),
}


@pytest.fixture
def new_order(emulator: Emulator) -> Callable[[], int]:
    """Add an order of one name, with an unused ID."""
    ids = itertools.count(int(time.time() * 1000) % 10**12)
    return lambda: emulator.add_order(id=next(ids), names=["example.com"])


def addresses(body: dict[str, Any]) -> list[str]:
    return [recipient["email"] for recipient in body.get("domain_approval_emails", [])]


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
@pytest.mark.parametrize(
    ("kill", "mails_before", "at_once", "after_its_end"),
    [
        ("before-store", 0, "sent", "duplicate"),
        ("after-store", 0, "ResendInProgress", "OutcomeUnknown"),
        ("after-put", 1, "ResendInProgress", "OutcomeUnknown"),
        ("after-settle", 1, "duplicate", "duplicate"),
    ],
)
def test_killed_invocation_never_leads_to_a_second_email(
    own_process: OwnProcess,
    emulator: Emulator,
    order_id: int,
    kill: str,
    mails_before: int,
    at_once: str,
    after_its_end: str,
    force: bool,
) -> None:
    event = {"order_id": order_id, "force": force}
    own_process(event, kill=kill)
    assert len(emulator.puts) == mails_before

    # Lambda redelivers with the same request ID: at once, before and after the call has surely ended, and near the end
    # of the cool-down.
    said = [own_process(event, later=later) for later in (0, 60, 160, 3650)]

    # Between the first two, the call that was killed may still be running.
    assert [answer.get("error", answer.get("outcome")) for answer in said] == [
        at_once,
        "duplicate" if at_once == "sent" else at_once,
        after_its_end,
        after_its_end,
    ]
    mails = 0 if kill == "after-store" else 1
    assert len(emulator.puts) == mails
    # After the cool-down, a redelivered forced call still mails nobody; an ordinary one is a new call.
    late = own_process(event, later=3800)
    assert late.get("error", late.get("outcome")) == (after_its_end if force else "sent")
    assert len(emulator.puts) == mails + (not force)


@pytest.mark.parametrize("first", SPELLINGS)
def test_second_spelling_mails_nobody_who_was_mailed(
    put: Callable[..., requests.Response], emulator: Emulator, new_order: Callable[[], int], first: str
) -> None:
    emulator("PUT", "limits", [])

    for second, body in SPELLINGS.items():
        order_id = new_order()
        assert put(order_id, SPELLINGS[first]).status_code == 204
        earlier, named = addresses(SPELLINGS[first]), addresses(body)
        others = [address for address in named if earlier and address not in earlier]

        answer = put(order_id, body)

        if others:
            assert (answer.status_code, answer.headers["Resend-Skipped"]) == (204, str(len(named) - len(others)))
        else:
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "cool_down"), second
            assert "Retry-After" not in answer.headers
        mailed = [mail["to"] for mail in emulator.outbox if mail["order_id"] == order_id]
        assert len(set(mailed)) == len(mailed)
        if earlier:
            assert mailed == earlier + others


def test_eight_spellings_at_once_make_one_put(
    put: Callable[..., requests.Response],
    at_once: Callable[..., list[requests.Response]],
    emulator: Emulator,
    new_order: Callable[[], int],
) -> None:
    # Whichever comes first, each of the others is a repeat.
    bodies = [SPELLINGS[name] for name in ("default", "default, en", "default, EN_us", "admin", "admin, en")]
    order_id, left = new_order(), iter([*bodies, *bodies[1:4]])
    emulator.inject({"fault": "slow", "seconds": 0.5, "method": "PUT"})

    responses = at_once(lambda: put(order_id, next(left)))

    assert sorted(response.status_code for response in responses) == [204] + [409] * 7
    codes = {response.json()["errors"][0]["code"] for response in responses if response.status_code == 409}
    assert codes <= {"cool_down", "resend_in_progress"}
    assert len(emulator.puts) == 1


def test_seven_spellings_at_once_mail_no_mailbox_twice(
    put: Callable[..., requests.Response],
    at_once: Callable[..., list[requests.Response]],
    emulator: Emulator,
    new_order: Callable[[], int],
) -> None:
    order_id, left = new_order(), iter([*SPELLINGS.values(), to()])

    responses = at_once(lambda: put(order_id, next(left)))

    mailed = [mail["to"] for mail in emulator.outbox]
    assert len(set(mailed)) == len(mailed)
    assert len(emulator.puts) == [response.status_code for response in responses].count(204) >= 1


def test_forced_call_is_sent_three_times_per_cool_down(
    put: Callable[..., requests.Response], emulator: Emulator, new_order: Callable[[], int]
) -> None:
    order_id = new_order()
    assert put(order_id, to("admin")).status_code == 204

    statuses = [put(order_id, to("admin"), "?force=true").status_code for _ in range(5)]

    assert statuses == [204] * 3 + [409] * 2
    assert [mail["to"] for mail in emulator.outbox] == [ADDRESS.format("admin")] * 4


def test_unknown_outcome_is_repeated_by_every_instance(
    put: Callable[..., requests.Response],
    at_once: Callable[..., list[requests.Response]],
    emulator: Emulator,
    order_id: int,
) -> None:
    emulator.inject({"fault": "hang", "method": "PUT", "mails": True, "times": 1})

    first, *repeats = [put(order_id), *at_once(lambda: put(order_id))]

    assert {response.status_code for response in (first, *repeats)} == {504}
    # A client that waited as long as it was told would mail again.
    assert all("Retry-After" not in response.headers for response in (first, *repeats))
    assert all("not repeated before" in response.text for response in repeats)
    assert len(emulator.puts) == 1


def test_rotated_key_is_used_by_a_warm_function(stack: LocalStack, put: Put, emulator: Emulator, order_id: int) -> None:
    secrets = stack.client("secretsmanager")
    put(order_id)
    emulator("PUT", "keys", {"secret": CANARY, "role": "revoked"})
    emulator("PUT", "keys", {"secret": f"{CANARY}-2", "role": "valid"})
    secrets.put_secret_value(SecretId=stack.secret, SecretString=json.dumps({"api_key": f"{CANARY}-2"}))
    try:
        assert put(order_id, query="?force=true").status_code == 204
    finally:
        secrets.put_secret_value(SecretId=stack.secret, SecretString=CANARY)
    assert [call["role"] for call in emulator.puts] == ["valid", "valid"]
