"""Chases: the executions of the stack's state machine, each of which follows one order until its certificate is issued.

An execution is named after its order: ``order-123456789``, then ``order-123456789-2`` for the next, and so on.
Step Functions gives each name once, so `dv-resend` runs one chase of an order at a time, also if two start at once.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from dv_resend_cli.aws import error_code
from dv_resend_cli.errors import FUNCTION_ERRORS, ExitCode, Failure
from dv_resend_cli.functions import advice_after

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession
    from dv_resend_cli.stack import Stack

type Execution = Mapping[str, Any]
"""An execution, as Step Functions describes it."""

# The workflow's own.
DEFAULT_WAITS_HOURS = (24, 48, 96, 168)
# The workflow refuses more.
MAX_WAITS = 50
MAX_HOURS = 1400
_WAIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([dhms]?)")
_HOURS_OF = {"d": 24, "h": 1, "": 1, "m": 1 / 60, "s": 1 / 3600}

_RUNNING = ("RUNNING", "PENDING_REDRIVE")
_FIRST_POLL_SECONDS = 0.5
_MAX_POLL_SECONDS = 5.0

# After these, the email may have been sent, and the workflow goes on as if it had been.
UNKNOWN_SENDS = frozenset(
    {
        *("OutcomeUnknown", "Lambda.Unknown", "Lambda.ClientExecutionTimeoutException"),
        *("Sandbox.Timedout", "Runtime.ExitError", "States.Timeout"),
    }
)

# The errors with which the workflow itself ends a chase: what they say about the order, and what to do.
ENDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "OrderRejected": ("has been rejected", "Look at the order in CertCentral."),
        "OrderCanceled": ("has been canceled", "There is nothing left to chase."),
        "OrderEnded": ("has a certificate that was revoked or has expired", "There is nothing left to chase."),
        "NeedsApproval": (
            "needs an administrator's approval first",
            "Approve it in CertCentral, then chase it with --again.",
        ),
        "NotApproved": (
            "is still not issued after the last wait",
            "`dv-resend explain` says what may help: another recipient, or another validation method.",
        ),
        "OrderNotEligible": ("cannot be helped by an email", FUNCTION_ERRORS["OrderNotEligible"][1]),
    }
)


class _Waits(click.ParamType[tuple[float, ...]]):
    name = "waits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if not isinstance(value, str):
            return tuple(value)
        found = [_WAIT.fullmatch(part.strip()) for part in value.split(",")]
        hours = [float(match[1]) * _HOURS_OF[match[2]] for match in found if match]
        if len(hours) < len(found) or len(hours) > MAX_WAITS or sum(hours) > MAX_HOURS or min(hours) * 3600 < 1:
            message = f"must be hours, or have a unit, such as 24,72 or 3d,12h,30m,10s: at most {MAX_WAITS} waits"
            self.fail(f"{value!r} {message} of 1 second or more, and {MAX_HOURS} hours in all.", param, ctx)
        return tuple(hours)


WAITS = _Waits()


class Chases:
    """The chases of a stack.

    Example:
        ``Chases(session, stack).start({"order_id": 123456789})``
    """

    def __init__(self, session: "AwsSession", stack: "Stack") -> None:
        """Take the caller's AWS; raise `Failure` if the stack has no state machine."""
        if stack.chase_state_machine_arn is None:
            message = f"The stack {stack.name} has no chase workflow: it has ChaseWorkflow=off."
            raise Failure("NoChaseWorkflow", message, ExitCode.ACCOUNT)
        self._state_machine = stack.chase_state_machine_arn
        self._states = session.client("stepfunctions")

    def start(self, request: Mapping[str, Any], *, again: bool = False) -> tuple[Execution, bool]:
        """Start a chase, unless this order has one; return the execution, and whether it is new.

        `request` is the input of docs/chase.md. With `again`, a chase that has ended is followed by another. Safe to
        repeat, also at the same time.
        """
        while True:
            name, last = self._last(request["order_id"])
            if last is not None and (is_running(last) or not again):
                return last, False
            try:
                self._states.start_execution(stateMachineArn=self._state_machine, name=name, input=json.dumps(request))
            except Exception as error:
                if error_code(error) != "ExecutionAlreadyExists":
                    raise
                # Somebody was faster. Step Functions may not show that at once.
                time.sleep(_FIRST_POLL_SECONDS)
                continue
            while (started := self._find(name)) is None:
                time.sleep(_FIRST_POLL_SECONDS)
            return started, True

    def stop(self, order_id: int) -> Execution:
        """Stop the running chase of an order; raise `Failure` if there is none."""
        _, last = self._last(order_id)
        if last is None or not is_running(last):
            raise Failure("NoChase", f"No chase of order {order_id} is running.", ExitCode.ORDER)
        self._states.stop_execution(executionArn=last["executionArn"])
        return last

    def next_events(self, execution: Execution, after: int) -> list[dict[str, Any]]:
        """Wait for events of the history with a higher id than `after`; return none when the execution has ended."""
        delay = _FIRST_POLL_SECONDS
        while True:
            # Checked before the history is read, so that the last events are not missed.
            goes_on = is_running(self.describe(execution))
            if (events := self._events(execution, after)) or not goes_on:
                return events
            time.sleep(delay)
            delay = min(delay * 1.5, _MAX_POLL_SECONDS)

    def describe(self, execution: Execution) -> Execution:
        """Describe an execution as it is now."""
        described: Execution = self._states.describe_execution(executionArn=execution["executionArn"])
        return described

    def _events(self, execution: Execution, after: int) -> list[dict[str, Any]]:
        # The newest first, so that a long history is not read again and again.
        request = {"executionArn": execution["executionArn"], "reverseOrder": True}
        events: list[dict[str, Any]] = []
        while True:
            page = self._states.get_execution_history(**request)
            new = [event for event in page["events"] if event["id"] > after]
            events += new
            if len(new) < len(page["events"]) or not page.get("nextToken"):
                return events[::-1]
            request["nextToken"] = page["nextToken"]

    def _last(self, order_id: int) -> tuple[str, Execution | None]:
        """Return a name that is free, and the order's last chase, if there is one."""
        name, number, last = f"order-{order_id}", 1, None
        while (found := self._find(name)) is not None:
            last, number = found, number + 1
            name = f"order-{order_id}-{number}"
        return name, last

    def _find(self, name: str) -> Execution | None:
        arn = f"{self._state_machine.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            return self.describe({"executionArn": arn})
        except Exception as error:
            if error_code(error) != "ExecutionDoesNotExist":
                raise
            return None


def is_running(execution: Execution) -> bool:
    """Whether a chase has not ended, as far as it is described."""
    return execution["status"] in _RUNNING


def result_of(execution: Execution, order_id: int) -> dict[str, Any]:
    """Return the output of an execution that has succeeded; raise `Failure` if it has not."""
    if execution["status"] == "SUCCEEDED":
        output: dict[str, Any] = json.loads(execution["output"])
        return output
    if execution["status"] == "ABORTED":
        message, advice = f"The chase of order {order_id} was stopped.", starts_another(order_id)
        raise Failure("ChaseStopped", message, ExitCode.RETRYABLE, advice)
    # An execution that timed out has no error.
    name, cause = str(execution.get("error") or "States.Timeout"), as_object(execution.get("cause"))
    if name in ENDS:
        what, advice = ENDS[name]
        reason = f": {cause['reason']}" if cause.get("reason") else ""
        message = f"Order {order_id} {what}{reason}".removesuffix(".")
        raise Failure(name, f"{message}. {resends(cause.get('sends'))}.", ExitCode.ORDER, advice)
    message = str(cause.get("errorMessage") or cause.get("reason") or execution.get("cause") or "no reason is given")
    if name in FUNCTION_ERRORS:
        raise Failure(name, message, FUNCTION_ERRORS[name][0], advice_after(name, message))
    if name.startswith(("Lambda.", "Sandbox.")) or name == "States.Timeout":
        raise Failure(name, message, ExitCode.RETRYABLE, starts_another(order_id))
    raise Failure("Bug", f"The chase failed with {name}: {message}", ExitCode.BUG)


def starts_another(order_id: int) -> str:
    """Say how to chase an order once more."""
    return f"`dv-resend chase {order_id} --again` starts another chase."


def as_object(text: object) -> dict[str, Any]:
    """Return what a JSON text holds if that is an object, else an empty one."""
    try:
        value = json.loads(str(text))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def resends(sends: Any) -> str:
    """Count the resends of a chase by their outcome."""
    counts = Counter(str(send.get("outcome")) for send in sends or [])
    return "Resends: " + (", ".join(f"{number} {outcome}" for outcome, number in counts.items()) or "none")
