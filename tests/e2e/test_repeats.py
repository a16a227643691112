"""Repeats within the cool-down, in parallel or after a crash, send one email. Real processes, real table."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import CANARY

from dev.local.stack import LocalStack
from e2e.conftest import Emulator, Invoke, Put


def at_once(call: Callable[[], requests.Response]) -> list[requests.Response]:
    """Make a call eight times in parallel."""
    with ThreadPoolExecutor(8) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(8)]]


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
@pytest.mark.parametrize(
    ("kill", "mails_before", "at_once", "after_its_end"),
    [
        ("before-claim", 0, "sent", "duplicate"),
        ("after-claim", 0, "ResendInProgress", "OutcomeUnknown"),
        ("after-put", 1, "ResendInProgress", "OutcomeUnknown"),
        ("before-answer", 1, "duplicate", "duplicate"),
    ],
)
def test_killed_invocation_never_leads_to_a_second_email(
    own_process: Invoke,
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

    # Lambda redelivers with the same request ID: at once, after the call's deadline, and near the cool-down's end.
    said = [own_process(event), own_process(event, later=15), own_process(event, later=3500)]

    assert [answer.get("error", answer.get("outcome")) for answer in said] == [at_once, after_its_end, after_its_end]
    assert len(emulator.puts) == (0 if kill == "after-claim" else 1)


def test_resend_after_the_cool_down_is_sent_again(own_process: Invoke, emulator: Emulator, order_id: int) -> None:
    own_process({"order_id": order_id}, kill="after-put")

    assert own_process({"order_id": order_id}, later=3700)["outcome"] == "sent"
    assert len(emulator.puts) == 2


def test_identical_parallel_requests_mail_once(put: Put, emulator: Emulator, order_id: int) -> None:
    emulator.inject({"fault": "slow", "seconds": 0.5, "method": "PUT"})

    responses = at_once(lambda: put(order_id))

    assert sorted(response.status_code for response in responses) == [204] + [409] * 7
    codes = {response.json()["errors"][0]["code"] for response in responses if response.status_code == 409}
    assert codes <= {"cool_down", "resend_in_progress"}
    assert len(emulator.puts) == 1


def test_unknown_outcome_is_repeated_by_every_instance(put: Put, emulator: Emulator, order_id: int) -> None:
    emulator.inject({"fault": "hang", "method": "PUT", "mails": True, "times": 1})

    first, *repeats = [put(order_id), *at_once(lambda: put(order_id))]

    assert {response.status_code for response in (first, *repeats)} == {504}
    assert all(3000 < int(response.headers["Retry-After"]) <= 3601 for response in (first, *repeats))
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
