"""The sweep on the deployed stack: schedule, queue, worker, outages, and workers that are killed in mid-batch."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from unit.samples import queue

from dev.local.stack import LocalStack
from e2e.conftest import (
    Emulator,
    OwnProcess,
    audit_lines,
    cancel_first_orders,
    drained,
    eventually,
    mailed,
    new_ids,
)

type Due = Callable[..., list[int]]


@pytest.fixture
def emulator(stack: LocalStack, emulator: Emulator) -> Iterator[Emulator]:
    """An emulator whose seed orders are canceled, so that only the test's own orders are due."""
    cancel_first_orders(emulator)
    emulator("PUT", "limits", [])
    yield emulator
    emulator("DELETE", "faults")
    drained(stack)


@pytest.fixture
def due(emulator: Emulator) -> Due:
    """Add orders with a reminder due today."""

    def add(count: int = 1, **fields: Any) -> list[int]:
        return [emulator.add_order(**{"id": id_, "kind": "dv", "age_days": 3.2} | fields) for id_ in new_ids(count)]

    return add


def sweep(stack: LocalStack, **options: Any) -> dict[str, Any]:
    payload = json.dumps({"action": "sweep", **options})
    answer = stack.client("lambda").invoke(FunctionName=stack.sweep_function_alias, Payload=payload)
    summary = json.load(answer["Payload"])
    assert "FunctionError" not in answer, summary
    return summary


def outcomes(stack: LocalStack, order_id: int) -> list[str]:
    return [line["outcome"] for line in audit_lines(stack, order_id) if line["message"] == "audit"]


def test_sweep_mails_due_orders_once_and_a_repeat_sends_none(stack: LocalStack, emulator: Emulator, due: Due) -> None:
    orders = due(5)
    (young,) = due(1, age_days=0.5)
    (between,) = due(1, age_days=6)
    (stuck,) = due(1, age_days=40)
    (reissue,) = due(1, kind="dv_reissue", reissued_days_ago=7.1)
    (dns,) = due(1, dcv_method="dns-txt-token")
    (ov,) = due(1, kind="ov")

    plan = sweep(stack, dry_run=True)
    summary = sweep(stack)
    drained(stack)
    again = sweep(stack)
    drained(stack)

    assert {entry["order_id"] for entry in plan["plan"]} == {*orders, reissue, dns}
    assert (summary["due"], summary["enqueued"], summary["stuck"]) == (7, 7, 1)
    assert summary["stuck_orders"] == [stuck]
    assert summary["by_status"] == {"pending": 10, "reissue_pending": 1}
    assert again["due"] == 7
    assert mailed(emulator) == sorted([*orders, reissue])
    refused = eventually(lambda: audit_lines(stack, dns))[0]
    assert (refused["outcome"], refused["code"]) == ("OrderNotEligible", "order_not_eligible|not_email_dcv")
    assert [outcomes(stack, order) for order in (young, between, ov)] == [[], [], []]


def test_stuck_order_is_reported_to_the_topic(
    stack: LocalStack, due: Due, reports: Callable[[], list[dict[str, str]]]
) -> None:
    (stuck,) = due(1, age_days=40, names=["stuck.example"])

    sweep(stack, dry_run=True)
    sweep(stack)

    (report,) = eventually(reports)
    assert report["Subject"] == f"1 order is stuck ({stack.stack_name})"
    assert report["Message"].startswith(f"DV Resend, stack {stack.stack_name}, region {stack.region}\n")
    assert f"- {stuck} stuck.example: pending for 40 days." in report["Message"]


@pytest.mark.usefixtures("emulator")
def test_pending_orders_are_listed_by_the_sweep_function_only(stack: LocalStack, due: Due) -> None:
    (old,) = due(1, age_days=40, names=["old.example"])
    (new,) = due(1, names=["new.example"])

    listed, refused = (
        json.load(stack.client("lambda").invoke(FunctionName=alias, Payload=b'{"action": "pending"}')["Payload"])
        for alias in (stack.sweep_function_alias, stack.function_alias)
    )

    assert listed == {
        "orders": [
            {"order_id": old, "name": "old.example", "status": "pending", "age_days": 40, "reminder": "stuck"},
            {"order_id": new, "name": "new.example", "status": "pending", "age_days": 3, "reminder": "day 3"},
        ],
        "more": 0,
        "other_products": 0,
        "complete": True,
    }
    assert refused["errorType"] == "ConfigurationError"


def test_sweeps_run_in_parallel_mail_once(stack: LocalStack, emulator: Emulator, due: Due) -> None:
    orders = due(4)

    for _ in range(2):
        stack.client("lambda").invoke(
            FunctionName=stack.sweep_function_alias, InvocationType="Event", Payload=b'{"action": "sweep"}'
        )
    eventually(lambda: len(mailed(emulator)) >= len(orders))
    drained(stack)

    assert mailed(emulator) == orders


def test_outage_loses_no_reminder(stack: LocalStack, emulator: Emulator, due: Callable[..., list[int]]) -> None:
    orders = due(4)
    for status in (503, 429):
        # Retry-After keeps the delays short; without it, the worker delays messages by 30 s and more.
        headers = {"Retry-After": "1"}
        emulator.inject({"fault": "status", "status": status, "headers": headers, "path": r"/\d+$", "times": 2})

    sweep(stack)
    drained(stack)

    assert mailed(emulator) == orders
    said = eventually(lambda: found if len(found := [o for n in orders for o in outcomes(stack, n)]) == 8 else [])
    assert sorted(said) == ["CertCentralUnavailable"] * 2 + ["RateLimited"] * 2 + ["sent"] * 4


def test_schedule_starts_the_sweep(stack: LocalStack, emulator: Emulator, due: Due) -> None:
    orders = due(2)
    scheduler = stack.client("scheduler")
    (name,) = [entry["Name"] for entry in scheduler.list_schedules()["Schedules"] if "Sweep" in entry["Name"]]
    schedule = scheduler.get_schedule(Name=name)
    assert (schedule["State"], schedule["FlexibleTimeWindow"]["MaximumWindowInMinutes"]) == ("DISABLED", 15)
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)

    # The target of the deployed schedule, at an earlier time.
    scheduler.create_schedule(
        Name="soon",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=schedule["Target"],
    )
    eventually(lambda: len(mailed(emulator)) == 2, 90)

    assert mailed(emulator) == orders


type Work = Callable[..., list[dict[str, str]] | None]


@pytest.fixture
def work(own_process: OwnProcess) -> Work:
    """Handle a batch in a new process; ``None`` if it was killed."""

    def call(orders: list[int], kill: str = "never", later: float = 0) -> list[dict[str, str]] | None:
        answer = own_process(queue(*orders), kill=kill, later=later)
        failures: list[dict[str, str]] | None = answer and answer["batchItemFailures"]
        return failures

    return call


# The queue redelivers a batch after its visibility timeout, and again after a lost response. An outage may block it for
# longer than the cool-down, and a reminder may come back from the dead-letter queue.
@pytest.mark.parametrize("redelivered", [(600, 1200, 7200), (7200, 14_400)], ids=["soon", "late"])
@pytest.mark.parametrize(
    ("kill", "first_is_mailed", "first_is_reported"),
    [
        ("before-store", True, False),
        ("after-store", False, True),
        ("after-put", True, True),
        ("after-settle", True, False),
    ],
)
def test_killed_worker_mails_once_and_loses_nothing_silently(
    work: Work,
    own_process: OwnProcess,
    emulator: Emulator,
    due: Callable[..., list[int]],
    kill: str,
    first_is_mailed: bool,
    first_is_reported: bool,
    redelivered: tuple[int, ...],
) -> None:
    first, second = due(2)

    work([first, second], kill=kill)
    for later in redelivered:
        assert work([first, second], later=later) == []

    assert mailed(emulator) == ([first] if first_is_mailed else []) + [second]
    assert reported(own_process, first) == (1 if first_is_reported else 0)
    assert reported(own_process, second) == 0


def reported(processes: OwnProcess, order_id: int) -> int:
    """Count the reports that an email about an order may or may not have been sent."""
    return sum(line["order_id"] == order_id and line["outcome"] == "OutcomeUnknown" for line in processes.audits)
