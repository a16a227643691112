"""Faults that the fault matrix does not cover: clock jumps, key changes, and huge inputs and responses."""

import gc
import json
import time
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import CANARY, store_key
from unit.samples import direct, event, http, message, queue

from dev.emulator import CertCentralEmulator
from dv_resend import errors
from dv_resend.adapters import certcentral
from faults.conftest import STEPS, Clock, Invoke, ReadOutput, Step, once_at, path_of, puts

COOL_DOWN = 3600


def outcome(invoke: Invoke, ask: dict[str, Any], **context: Any) -> str:
    try:
        return str(invoke(ask, **context)["outcome"])
    except errors.ResendError as error:
        return type(error).__name__


# Clock jumps. Whatever the clock does, a repeat sends nothing while the cool-down lasts by that clock.

JUMPS = [-COOL_DOWN * 24, -COOL_DOWN, -60, -1, 1, 60, 160, COOL_DOWN, COOL_DOWN + 60]


@pytest.mark.parametrize("seconds", JUMPS)
def test_clock_jump_between_calls_mails_once(
    upstream: CertCentralEmulator, invoke: Invoke, clock: Clock, seconds: int
) -> None:
    order_id = upstream.add_order()["id"]

    assert outcome(invoke, direct(order_id)) == "sent"
    clock.jump(seconds)
    answer = invoke(http(order_id))

    assert (answer["statusCode"], answer["headers"].get("Retry-After")) == (409, None)
    assert upstream.mailings(order_id) == 1


@pytest.mark.parametrize("seconds", JUMPS)
@pytest.mark.parametrize("step", STEPS)
def test_clock_jump_during_a_call_mails_once(
    upstream: CertCentralEmulator, invoke: Invoke, clock: Clock, step: Step, seconds: int
) -> None:
    order_id = upstream.add_order()["id"]
    upstream.on_call = once_at(step, order_id, lambda: clock.jump(seconds))
    first = outcome(invoke, direct(order_id))
    upstream.clear_faults()

    # The outcome depends on when the function reads its clock, but there is never a second email.
    again = outcome(invoke, direct(order_id))
    assert (first, again) in {
        ("sent", "duplicate"),
        ("OutcomeUnknown", "OutcomeUnknown"),
        ("CertCentralUnavailable", "sent"),
    }
    assert upstream.mailings(order_id) == 1


@pytest.mark.parametrize("seconds", JUMPS)
def test_clock_jump_after_a_kill_mails_nobody(
    upstream: CertCentralEmulator, invoke: Invoke, clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """A killed call leaves a claim with a deadline, which may be far ahead or long past for the next call."""
    order_id = upstream.add_order()["id"]
    with monkeypatch.context() as killing:
        killing.setattr(certcentral.CertCentralClient, "resend_emails", _kill)
        # A killed call does not settle its claim either.
        killing.setattr("dv_resend.adapters.send_records.SendRecordsTable.settle", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            invoke(direct(order_id))

    clock.jump(seconds)

    assert outcome(invoke, direct(order_id)) == ("OutcomeUnknown" if seconds >= 150 else "ResendInProgress")
    assert puts(upstream, order_id) == 0


def _kill(*_: object) -> None:
    raise KeyboardInterrupt


# The key changes while the worker is in the middle of a batch.


@pytest.mark.parametrize("step", STEPS)
def test_key_rotated_in_mid_batch_sends_each_reminder_once(
    upstream: CertCentralEmulator, invoke: Invoke, output: ReadOutput, step: Step
) -> None:
    orders = upstream.add_orders(5, kind="dv", age_days=3.2)
    upstream.on_call = once_at(step, orders[2], lambda: _rotate(upstream))

    answer = invoke(queue(*orders))

    assert answer == {"batchItemFailures": []}
    assert _outcomes(output) == dict.fromkeys(orders, "sent")
    assert [upstream.mailings(order_id) for order_id in orders] == [1] * 5


@pytest.mark.parametrize("step", STEPS)
def test_key_revoked_in_mid_batch_sends_each_reminder_once(
    upstream: CertCentralEmulator, invoke: Invoke, output: ReadOutput, step: Step
) -> None:
    orders = upstream.add_orders(5, kind="dv", age_days=3.2)
    new = f"{CANARY}-new"
    upstream.on_call = once_at(step, orders[2], lambda: upstream.set_key(CANARY, "revoked"))

    answer = invoke(queue(*orders))
    upstream.set_key(new, "valid")
    store_key(new)
    left = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    assert left == [f"message-{order_id}" for order_id in orders[2:]]
    assert _outcomes(output) == {orders[0]: "sent", orders[1]: "sent", orders[2]: "ApiKeyRejected"}
    assert invoke(queue(*orders[2:])) == {"batchItemFailures": []}
    # SQS may deliver an acknowledged message again.
    assert invoke(queue(*orders)) == {"batchItemFailures": []}
    assert [upstream.mailings(order_id) for order_id in orders] == [1] * 5


def _rotate(upstream: CertCentralEmulator) -> None:
    upstream.set_key(f"{CANARY}-new", "valid")
    store_key(f"{CANARY}-new")
    upstream.set_key(CANARY, "revoked")


def _outcomes(output: ReadOutput) -> dict[int, str]:
    return {line["order_id"]: line["outcome"] for line in output().lines if line.get("message") == "audit"}


# Size. An input may have a megabyte (Lambda accepts six, the queue and the event bus one).

MEGABYTE = 1024 * 1024
LONG = "x" * MEGABYTE
# The maximum number of recipients, each of maximum length.
LONG_NAME = ".".join(["a" * 60, "b" * 60, "c" * 60, "example.com"])
MOST = [{"domain": f"{n}.{LONG_NAME}", "email": f"admin@{LONG_NAME}", "email_domain": LONG_NAME} for n in range(250)]


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


INPUTS: dict[str, dict[str, Any]] = {
    "a long locale": {"locale": LONG},
    "a long domain": {"domain_approval_emails": [{"domain": LONG, "email": "admin@example.com"}]},
    "a domain of many labels": {"domain_approval_emails": [{"domain": "a." * 500_000, "email": "admin@example.com"}]},
    "a domain in Unicode": {"domain_approval_emails": [{"domain": "ü" * MEGABYTE, "email": "admin@example.com"}]},
    "a long address": {"domain_approval_emails": [{"domain": "example.com", "email": f"{LONG}@example.com"}]},
    "a million @": {"domain_approval_emails": [{"domain": "example.com", "email": "@" * MEGABYTE}]},
    "too many recipients": {
        "domain_approval_emails": [{"domain": "example.com", "email": "admin@example.com"}] * 20_000
    },
    "recipients of other kinds": {"domain_approval_emails": [[]] * 500_000},
    "a long unknown field": {LONG: 1},
    "addresses in an unknown field": {"jane@example.com " * 60_000: 1},
    "many unknown fields": {f"field{n}": n for n in range(80_000)},
    "a deep value": {"locale": _nested(900)},
    "a number of a million digits": {"locale": 10**1_000_000},
}
BODIES: dict[str, str] = {
    "no JSON": LONG,
    "blanks": " " * MEGABYTE,
    "deep": "[" * MEGABYTE,
    "deep objects": '{"a":' * 200_000,
    "a number of a million digits": '{"locale": ' + "9" * MEGABYTE + "}",
    "an endless fraction": '{"locale": 0.' + "9" * MEGABYTE + "}",
    "a name a hundred thousand times": "{" + '"locale": "en",' * 70_000 + '"locale": "en"}',
    "escapes": '{"locale": "' + "\\ud800" * 170_000 + '"}',
}


@contextmanager
def bounded(megabytes: float = 16, seconds: float = 5) -> Iterator[None]:
    """Check that the block uses no more than this much memory and processor time."""
    gc.collect()
    started = time.process_time()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < megabytes * MEGABYTE
    assert time.process_time() - started < seconds


def _refusal(upstream: CertCentralEmulator, invoke: Invoke, ask: dict[str, Any]) -> str:
    """Return the text of the refusal; check that the function did not call CertCentral."""
    with bounded():
        try:
            answer = invoke(ask)
        except errors.InvalidRequest as error:
            text = str(error)
        else:
            assert answer["statusCode"] == 400
            text = answer["body"]
    assert upstream.calls == []
    return text


@pytest.mark.parametrize("fields", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("event_of", [direct, event])
def test_huge_input_is_refused_briefly(
    upstream: CertCentralEmulator,
    invoke: Invoke,
    output: ReadOutput,
    event_of: Callable[..., dict[str, Any]],
    fields: dict[str, Any],
) -> None:
    text = _refusal(upstream, invoke, event_of(1, **fields))

    assert len(text) < 1000
    assert "jane" not in text
    assert all(len(json.dumps(line)) < 3000 for line in output().lines)


@pytest.mark.parametrize("packed", [False, True], ids=["text", "base64"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_huge_body_is_refused_briefly(
    upstream: CertCentralEmulator, invoke: Invoke, output: ReadOutput, body: str, packed: bool
) -> None:
    ask = http(1) | {"body": body}
    if packed:
        ask |= {"body": b64encode(body.encode()).decode(), "isBase64Encoded": True}

    assert len(_refusal(upstream, invoke, ask)) < 1000
    assert all(len(json.dumps(line)) < 3000 for line in output().lines)


@pytest.mark.parametrize("part", ["rawPath", "queryStringParameters"])
def test_huge_path_or_query_is_refused_briefly(upstream: CertCentralEmulator, invoke: Invoke, part: str) -> None:
    value: Any = f"/services/v2/order/certificate/{'9' * MEGABYTE}/resend-emails" if part == "rawPath" else {LONG: LONG}

    assert len(_refusal(upstream, invoke, http(1) | {part: value})) < 1000


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_huge_message_is_acknowledged_and_blocks_no_other(
    upstream: CertCentralEmulator, invoke: Invoke, output: ReadOutput, body: str
) -> None:
    order_id = upstream.add_order(age_days=3.2)["id"]
    huge = message(1) | {"body": body}

    with bounded():
        answer = invoke({"Records": [huge, message(order_id)]})

    assert answer == {"batchItemFailures": []}
    lines = [line for line in output().lines if line.get("message") == "audit"]
    assert [line["outcome"] for line in lines] == ["InvalidRequest", "sent"]
    assert all(len(json.dumps(line)) < 3000 for line in lines)


@pytest.mark.parametrize("event_of", [direct, event])
def test_largest_allowed_request_is_sent(
    upstream: CertCentralEmulator, invoke: Invoke, output: ReadOutput, event_of: Callable[..., dict[str, Any]]
) -> None:
    order_id = upstream.add_order(names=[recipient["domain"] for recipient in MOST])["id"]

    with bounded():
        answer = invoke(event_of(order_id, domain_approval_emails=MOST))

    assert answer["outcome"] == "sent"
    assert puts(upstream, order_id) == 1
    # CloudWatch Logs accepts up to 256 KB in a log event.
    assert max(len(json.dumps(line)) for line in output().lines) < 256 * 1024


# Compression bombs: a gigabyte in a megabyte.


def gigabyte(start: bytes) -> bytes:
    """Compress ``start`` and a gigabyte of blanks; one compressed piece is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(b" " * 8 * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + piece * 128


def _bomb(start: bytes, path: str) -> dict[str, str]:
    bomb = gigabyte(start)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    return {"fault": "raw", "path": path, "data": head + bomb.decode("latin-1")}


@pytest.mark.parametrize("step", STEPS)
def test_compression_bomb_in_a_response_costs_little_memory(
    upstream: CertCentralEmulator, invoke: Invoke, step: Step
) -> None:
    order_id = upstream.add_order()["id"]
    upstream.inject(_bomb(b'{"order_status": "pending"', path_of(step, order_id)))

    with bounded(megabytes=24):
        assert outcome(invoke, direct(order_id)) == ("OutcomeUnknown" if step == "put" else "CertCentralUnavailable")


def test_compression_bomb_in_an_order_list_costs_little_memory(upstream: CertCentralEmulator, invoke: Invoke) -> None:
    upstream.inject(_bomb(b'{"orders": [', "/order/certificate$"))

    with bounded(megabytes=48), pytest.raises(errors.CertCentralUnavailable):
        invoke({"action": "sweep"}, seconds=900)
