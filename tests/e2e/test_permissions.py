"""Least privilege: the functions have every permission that they need, and need every permission that they have.

The local AWS checks each call of a function against the role from the template (`AUTH` in `local.stack`), so all other
end-to-end tests show that no permission is missing. These tests remove one permission at a time from the deployed
roles. The smallest call that needs it must then fail as documented, and succeed with the permission.

AWS itself uses the other permissions on behalf of the functions, the schedule, the workflow and the deployment; the
local AWS does not check them. `contract.test_permissions` lists them all.
"""

import datetime as dt
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from unit.samples import message

from dev.faults.permissions import Permission, Roles
from dev.local.stack import LocalStack
from e2e.conftest import Emulator, audit_lines, cancel_first_orders, drained, eventually


class Caller:
    """Makes calls, each about a new order, and returns the outcome or the error's name."""

    _order_ids = itertools.count(int(time.time() * 1000) % 10**12)

    def __init__(self, stack: LocalStack, emulator: Emulator) -> None:
        self.stack = stack
        self.emulator = emulator

    def order(self, **fields: Any) -> int:
        return self.emulator.add_order(**{"id": next(self._order_ids), "kind": "dv", "age_days": 3.2} | fields)

    def failing_order(self, status: int) -> int:
        """Add an order; the first request about it, and no other, is answered with this status."""
        order_id = self.order()
        self.emulator.inject({"fault": "status", "status": status, "times": 1, "path": f"/{order_id}"})
        return order_id

    def resend(self, order_id: int, **options: Any) -> str:
        return self._outcome(self._invoke(self.stack.function_alias, {"order_id": order_id, **options}))

    def remind(self, order_id: int) -> str:
        """Pass a reminder to the worker, as the queue does."""
        waiting_since = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=3)
        record = message(order_id, waiting_since=waiting_since.isoformat(), day=3)
        before = len(self._audits(order_id))
        self._invoke(self.stack.sweep_function_alias, {"Records": [record]})
        return eventually(lambda: self._audits(order_id)[before:])[0]["outcome"]

    def sweep(self) -> str:
        answer = self._invoke(self.stack.sweep_function_alias, {"action": "sweep"})
        return "swept" if "listed" in answer else self._outcome(answer)

    def _audits(self, order_id: int) -> list[dict[str, Any]]:
        return [line for line in audit_lines(self.stack, order_id) if line["message"] == "audit"]

    def _invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        answer = self.stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return json.load(answer["Payload"])

    def _outcome(self, answer: dict[str, Any]) -> str:
        return answer["outcome"] if "outcome" in answer else answer["errorType"]


def a_resend(call: Caller) -> str:
    return call.resend(call.order())


def a_dry_run(call: Caller) -> str:
    return call.resend(call.order(), dry_run=True)


def a_resend_with_a_rejected_key(call: Caller) -> str:
    """A warm function has cached the key, and reads it again only if CertCentral rejects it."""
    return call.resend(call.failing_order(401))


def a_reminder(call: Caller) -> str:
    return call.remind(call.order())


def a_reminder_with_a_rejected_key(call: Caller) -> str:
    return call.remind(call.failing_order(401))


def a_reminder_that_is_held(call: Caller) -> str:
    """The worker's log line about a message that it could not delay, because it never was in the queue."""
    since = int(time.time() * 1000)
    assert call.remind(call.failing_order(503)) == "CertCentralUnavailable"
    logs = call.stack.client("logs")
    events = eventually(
        lambda: logs.filter_log_events(
            logGroupName=call.stack.sweep_log_group, startTime=since, filterPattern='"not delayed"'
        )["events"]
    )
    return json.loads(events[-1]["message"])["error"]


def a_sweep(call: Caller) -> str:
    call.order()
    return call.sweep()


def a_report(call: Caller) -> str:
    """The log line about a report."""
    call.order(age_days=40)
    since = int(time.time() * 1000)
    call.sweep()
    logs = call.stack.client("logs")
    events = eventually(
        lambda: logs.filter_log_events(
            logGroupName=call.stack.sweep_log_group, startTime=since, filterPattern='"published"'
        )["events"]
    )
    return json.loads(events[-1]["message"])["message"]


@dataclass(frozen=True)
class Proof:
    """A call, and its outcome with and without the permission."""

    call: Callable[[Caller], str]
    granted: str
    missing: str


RESEND, SWEEP = "ResendFunctionRole", "SweepFunctionRole"
PROOFS: dict[Permission, Proof] = {
    (RESEND, "KeepSendRecords", "dynamodb:GetItem"): Proof(a_dry_run, "planned", "ConfigurationError"),
    (RESEND, "KeepSendRecords", "dynamodb:PutItem"): Proof(a_resend, "sent", "ConfigurationError"),
    (RESEND, "ReadApiKey", "secretsmanager:GetSecretValue"): Proof(
        a_resend_with_a_rejected_key, "ApiKeyRejected", "ConfigurationError"
    ),
    (SWEEP, "KeepSendRecords", "dynamodb:GetItem"): Proof(a_reminder, "sent", "ConfigurationError"),
    (SWEEP, "KeepSendRecords", "dynamodb:PutItem"): Proof(a_reminder, "sent", "ConfigurationError"),
    (SWEEP, "ReadApiKey", "secretsmanager:GetSecretValue"): Proof(
        a_reminder_with_a_rejected_key, "ApiKeyRejected", "ConfigurationError"
    ),
    (SWEEP, "QueueAndWorkReminders", "sqs:SendMessage"): Proof(a_sweep, "swept", "ConfigurationError"),
    (SWEEP, "PublishReports", "sns:Publish"): Proof(a_report, "report published", "report not published"),
    (SWEEP, "QueueAndWorkReminders", "sqs:ChangeMessageVisibility"): Proof(
        a_reminder_that_is_held, "ReceiptHandleIsInvalid", "AccessDenied"
    ),
}


@pytest.fixture(scope="module")
def roles(stack: LocalStack) -> Roles:
    return Roles(stack)


@pytest.fixture
def call(stack: LocalStack, emulator: Emulator) -> Iterator[Caller]:
    """A caller whose orders are the only pending ones, so that a sweep finds no others."""
    cancel_first_orders(emulator)
    yield Caller(stack, emulator)
    emulator("DELETE", "faults")
    drained(stack)


@pytest.mark.parametrize("permission", PROOFS, ids="-".join)
def test_permission_is_needed(roles: Roles, call: Caller, permission: Permission) -> None:
    proof = PROOFS[permission]

    with_it = proof.call(call)
    call.emulator("DELETE", "faults")
    with roles.without(permission):
        without_it = proof.call(call)

    assert (with_it, without_it) == (proof.granted, proof.missing)
