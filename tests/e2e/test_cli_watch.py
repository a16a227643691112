"""`dv-resend sweep` and `chase` as processes: what they start goes on by itself, and what they show of it is true."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dev.local.stack import LocalStack
from e2e.conftest import Command, Emulator, cancel_first_orders, drained, ended, mailed, new_ids

type Start = Callable[..., subprocess.Popen[str]]
type Due = Callable[..., list[int]]


@pytest.fixture
def due(emulator: Emulator) -> Due:
    """Add orders with a reminder due today, instead of the emulator's own."""
    cancel_first_orders(emulator)
    emulator("PUT", "limits", [])

    return lambda count: [emulator.add_order(id=id_, kind="dv", age_days=3.2) for id_ in new_ids(count)]


def interrupted_after(process: subprocess.Popen[str], text: str) -> subprocess.CompletedProcess[str]:
    """Press Ctrl-C when a line with the text has been printed."""
    assert process.stdout is not None
    while text not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    return ended(process)


# ---------------------------------------------------------------- sweep


def test_sweep_shows_whom_it_reminds_and_a_repeat_mails_nobody(
    dv_resend: Command, emulator: Emulator, due: Due
) -> None:
    orders = due(3)
    emulator("PATCH", f"orders/{orders[1]}", {"dcv_method": "dns-txt-token"})

    plan, first, again = dv_resend("sweep", "--dry-run"), dv_resend("sweep"), dv_resend("sweep")

    assert [ran.returncode for ran in (plan, first, again)] == [0, 0, 0]
    assert [line.split()[0] for line in plan.stdout.splitlines()[1:4]] == [str(order_id) for order_id in orders]
    outcomes = [
        f"{orders[0]}  day 3    sent",
        f"{orders[1]}  day 3    not sent: it is not validated by email",
        f"{orders[2]}  day 3    sent",
    ]
    assert first.stdout.splitlines()[3:] == [*outcomes, "The queue is empty: 2 sent, 1 not sent"]
    assert again.stdout.splitlines()[4:] == [*outcomes, "The queue is empty: nobody was mailed"]
    assert mailed(emulator) == [orders[0], orders[2]]


def test_sweep_offset_leaves_out_what_is_before_it(dv_resend: Command, due: Due) -> None:
    orders = due(2)
    ran = dv_resend("sweep", "--dry-run", "--offset", len(orders) - 1, "--json")

    assert json.loads(ran.stdout)["listed"] == 1


def test_interrupted_sweep_goes_on(start_dv_resend: Start, stack: LocalStack, emulator: Emulator, due: Due) -> None:
    orders = due(3)

    ran = interrupted_after(start_dv_resend("sweep"), "3 queued")

    assert ran.returncode == 130
    assert ran.stderr.startswith("Stopped watching. The sweep goes on")
    drained(stack)
    assert mailed(emulator) == orders


@contextmanager
def stopped(stack: LocalStack) -> Iterator[None]:
    """Disable the event source mapping, as an emergency stop does."""
    client = stack.client("lambda")
    client.update_event_source_mapping(UUID=stack.reminder_mapping_id, Enabled=False)
    try:
        yield
    finally:
        client.update_event_source_mapping(UUID=stack.reminder_mapping_id, Enabled=True)


def test_sweep_of_a_stopped_stack_says_that_reminders_wait(
    dv_resend: Command, stack: LocalStack, emulator: Emulator, due: Due
) -> None:
    orders = due(2)

    with stopped(stack):
        ran = dv_resend("sweep")

    assert ran.returncode == 4
    assert ran.stderr.startswith("SendingStopped: All sending is stopped: the reminders wait, 2 in all")
    drained(stack)
    assert mailed(emulator) == orders


# ---------------------------------------------------------------- chase

# Of which an hour lasts 0.36 s in these tests.
ENDLESS = "1000"


def running(stack: LocalStack, order_id: int) -> list[str]:
    """Name the running executions of an order."""
    client = stack.client("stepfunctions")
    found = client.list_executions(stateMachineArn=stack.state_machine, statusFilter="RUNNING")["executions"]
    return [execution["name"] for execution in found if str(order_id) in execution["name"]]


def test_chase_is_shown_until_the_certificate_is_issued(
    start_dv_resend: Start, emulator: Emulator, order_id: int
) -> None:
    process = start_dv_resend("chase", order_id, "--waits", ",".join(["1"] * 50))
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(7)]
    emulator("PATCH", f"orders/{order_id}", {"status": "issued"})

    ran = ended(process)

    assert [line.split("  ")[1].split(",")[0].rstrip() for line in first[2:]] == [
        *("Resend: sent", "Waiting 1 h", "Status: pending", "Resend: duplicate", "Waiting 1 h")
    ]
    assert f"Order {order_id}: issued\nResends: 1 sent, " in ran.stdout
    assert (ran.returncode, ran.stderr, mailed(emulator)) == (0, "", [order_id])


@pytest.mark.parametrize(("kind", "name"), [({}, "NotApproved"), ({"kind": "ov"}, "OrderNotEligible")])
def test_chase_that_fails_says_why(dv_resend: Command, emulator: Emulator, kind: dict[str, str], name: str) -> None:
    ran = dv_resend("chase", emulator.add_order(**{"kind": "dv"} | kind), "--waits", "1", "--again")

    assert ran.returncode == 3
    assert ran.stderr.startswith(f"{name}: Order ")


def test_chase_of_an_unknown_order_fails(dv_resend: Command, emulator: Emulator) -> None:
    ran = dv_resend("chase", 999_999_999)

    assert ran.returncode == 3
    assert ran.stderr.startswith("OrderNotFound: ")
    assert emulator.outbox == []


def test_chases_started_at_once_are_one(
    start_dv_resend: Start, dv_resend: Command, stack: LocalStack, emulator: Emulator, order_id: int
) -> None:
    processes = [start_dv_resend("chase", order_id, "--waits", ENDLESS, "--no-watch", "--json") for _ in range(3)]
    answers = [json.loads(ended(process).stdout) for process in processes]

    assert len({answer["execution"] for answer in answers}) == 1
    assert running(stack, order_id) == [f"order-{order_id}"]
    assert dv_resend("chase", order_id, "--stop").returncode == 0
    assert mailed(emulator) in ([], [order_id])


def test_interrupted_chase_goes_on_until_it_is_stopped(
    start_dv_resend: Start, dv_resend: Command, stack: LocalStack, order_id: int
) -> None:
    ran = interrupted_after(start_dv_resend("chase", order_id, "--waits", ENDLESS), "Waiting")

    assert ran.returncode == 130
    assert f"`dv-resend chase {order_id} --stop` stops it" in ran.stderr
    assert running(stack, order_id) == [f"order-{order_id}"]
    assert dv_resend("chase", order_id, "--stop").returncode == 0
    assert running(stack, order_id) == []
