"""The chase on the deployed stack, with its waits scaled down: its states, the emails and the output."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import CANARY

from dev.local.stack import LocalStack
from e2e.conftest import Emulator, eventually

# In hours, as in the input; the local stack scales them down.
WAITS = [1, 1]


class Execution:
    """One execution of the chase."""

    def __init__(self, stack: LocalStack, chased: dict[str, Any]) -> None:
        self._states = stack.client("stepfunctions")
        self.arn = self._states.start_execution(stateMachineArn=stack.state_machine, input=json.dumps(chased))[
            "executionArn"
        ]

    @property
    def path(self) -> list[str]:
        """The states entered so far."""
        return [
            event["stateEnteredEventDetails"]["name"] for event in self.history if "stateEnteredEventDetails" in event
        ]

    @property
    def history(self) -> list[dict[str, Any]]:
        return self._states.get_execution_history(executionArn=self.arn, maxResults=1000)["events"]

    def reaches(self, state: str, times: int = 1) -> None:
        eventually(lambda: self.path.count(state) >= times)

    def interrupt(self) -> None:
        """Stop the execution in its current state."""
        self._states.stop_execution(executionArn=self.arn)
        eventually(lambda: self._states.describe_execution(executionArn=self.arn)["status"] == "ABORTED")

    def ends(self) -> tuple[str, dict[str, Any]]:
        """Wait for the end; return the status or the error's name, and the output or the cause."""

        def look() -> dict[str, Any] | None:
            found = self._states.describe_execution(executionArn=self.arn)
            return None if found["status"] == "RUNNING" else found

        ended = eventually(look, 90)
        assert ended is not None
        history = json.dumps(self.history, default=str)
        assert CANARY not in history
        if ended["status"] == "SUCCEEDED":
            return "SUCCEEDED", json.loads(ended["output"])
        return ended["error"], json.loads(ended["cause"])


type Chase = Callable[..., Execution]


@pytest.fixture
def chase(stack: LocalStack) -> Chase:
    return lambda order_id, /, **options: Execution(stack, {"order_id": order_id, "waits_hours": WAITS, **options})


START = ["Prepare", "CheckInput"]
TURN = ["Resend", "WaitForValidation", "CheckStatus", "Decide"]


def set_status(emulator: Emulator, order_id: int, status: str) -> None:
    emulator("PATCH", f"orders/{order_id}", {"status": status})


def test_chase_order_issued_during_first_wait(chase: Chase, emulator: Emulator, order_id: int) -> None:
    # The order is validated during the first wait.
    emulator.inject({"fault": "slow", "seconds": 0.5, "path": "/validation$"})
    execution = chase(order_id, waits_hours=[5, 1])
    execution.reaches("WaitForValidation")
    set_status(emulator, order_id, "issued")

    status, said = execution.ends()

    assert status == "SUCCEEDED"
    assert execution.path == [*START, *TURN, "Report", "Issued"]
    (send,) = said.pop("sends")
    assert send["outcome"] == "sent"
    assert said == {"order_id": order_id, "result": "issued", "checks": 1}
    assert len(emulator.puts) == 1
    assert emulator.outbox[0]["order_id"] == order_id


def test_chase_order_issued_after_second_reminder(chase: Chase, emulator: Emulator, order_id: int) -> None:
    execution = chase(order_id, waits_hours=[1, 5])
    execution.reaches("WaitForValidation", times=2)
    set_status(emulator, order_id, "issued")

    status, said = execution.ends()

    assert status == "SUCCEEDED"
    assert execution.path == [*START, *TURN, "NextReminder", *TURN, "Report", "Issued"]
    # The waits are scaled down, so the second reminder is within the cool-down: a duplicate.
    assert [send["outcome"] for send in said["sends"]] == ["sent", "duplicate"]
    assert (said["checks"], len(emulator.puts)) == (2, 1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("rejected", "OrderRejected"),
        ("canceled", "OrderCanceled"),
        ("needs_approval", "NeedsApproval"),
        ("revoked", "OrderEnded"),
    ],
)
def test_chase_order_ended_while_waiting_fails_by_name(
    chase: Chase, emulator: Emulator, order_id: int, status: str, error: str
) -> None:
    execution = chase(order_id, waits_hours=[5, 1])
    execution.reaches("WaitForValidation")
    set_status(emulator, order_id, status)

    ended, said = execution.ends()

    assert ended == error
    assert execution.path == [*START, *TURN, error]
    assert (said["order_id"], len(said["sends"]), said["checks"]) == (order_id, 1, 1)
    assert len(emulator.puts) == 1


@pytest.mark.parametrize(("status", "times"), [(429, 2), (503, 3)], ids=["rate-limited", "unavailable"])
def test_chase_retryable_error_is_retried_then_sent(
    chase: Chase, emulator: Emulator, order_id: int, status: int, times: int
) -> None:
    emulator.inject({"fault": "status", "status": status, "method": "GET", "times": times})
    execution = chase(order_id, waits_hours=[5])
    execution.reaches("WaitForValidation")
    set_status(emulator, order_id, "issued")

    ended, said = execution.ends()

    assert (ended, said["result"]) == ("SUCCEEDED", "issued")
    assert execution.path == [*START, *TURN, "Report", "Issued"]
    assert len(emulator.puts) == 1


def test_chase_unknown_outcome_is_checked_not_sent_again(chase: Chase, emulator: Emulator, order_id: int) -> None:
    emulator.inject({"fault": "reset", "method": "PUT", "mails": True, "times": 1})
    execution = chase(order_id, waits_hours=[1, 5])
    execution.reaches("WaitForValidation", times=2)
    set_status(emulator, order_id, "issued")

    ended, said = execution.ends()

    assert ended == "SUCCEEDED"
    assert [send["outcome"] for send in said["sends"]] == ["unknown", "unknown"]
    assert len(emulator.puts) == 1


def test_chase_ov_order_fails_with_advice(chase: Chase, emulator: Emulator) -> None:
    ended, said = chase(emulator.add_order(kind="ov")).ends()

    assert ended == "OrderNotEligible"
    assert "domain-level resend" in said["reason"]
    assert emulator.outbox == []


@pytest.mark.parametrize(
    "change",
    [{"status": "processing"}, {"names": {"example.com": "approved"}}],
    ids=["processing", "already validated"],
)
def test_chase_order_without_need_for_email_waits_until_issued(
    chase: Chase, emulator: Emulator, order_id: int, change: dict[str, Any]
) -> None:
    emulator("PATCH", f"orders/{order_id}", change)
    execution = chase(order_id, waits_hours=[5])
    execution.reaches("WaitForValidation")
    set_status(emulator, order_id, "issued")

    ended, said = execution.ends()

    assert (ended, said["sends"], emulator.puts) == ("SUCCEEDED", [], [])
    refused = ["Resend", "CheckStatus", "Decide", "WaitAfterRefusal"]
    assert execution.path == [*START, *refused, *TURN[1:], "Report", "Issued"]


@pytest.mark.parametrize("field", [{"order_id": "abc"}, {"recipients": []}, {"force": True}, {"waits_hours": [9999]}])
def test_chase_bad_input_fails_and_sends_nothing(
    chase: Chase, emulator: Emulator, order_id: int, field: dict[str, Any]
) -> None:
    ended, _ = chase(order_id, **field).ends()

    assert ended == "InvalidRequest"
    assert (emulator.puts, emulator.outbox) == ([], [])


def test_chase_started_twice_mails_once(chase: Chase, emulator: Emulator, order_id: int) -> None:
    executions = [chase(order_id), chase(order_id)]

    assert [execution.ends()[0] for execution in executions] == ["NotApproved", "NotApproved"]
    assert len(emulator.puts) == 1


def test_chase_interrupted_and_started_again_mails_once(chase: Chase, emulator: Emulator, order_id: int) -> None:
    # The local AWS cannot redrive. A new execution makes the same call as the redriven state.
    emulator.inject({"fault": "slow", "seconds": 1, "method": "PUT", "times": 1})
    interrupted = chase(order_id)
    eventually(lambda: emulator.puts)
    interrupted.interrupt()

    again = chase(order_id)

    assert again.ends()[0] == "NotApproved"
    assert len(emulator.puts) == 1
