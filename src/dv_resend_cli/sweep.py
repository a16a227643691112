"""A sweep: its one invocation, and what becomes of the reminders that it queues.

Whether a reminder was sent is known from the audit line of the worker that took it from the queue. A reminder after
whose last line it is back in the queue (an account-wide error, for example) has no outcome yet.
"""

import re
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dv_resend_cli.audit_log import line_of, log_events
from dv_resend_cli.errors import FUNCTION_ERRORS, ExitCode, Failure

if TYPE_CHECKING:
    from dv_resend_cli.app import App
    from dv_resend_cli.aws import AwsSession
    from dv_resend_cli.stack import Stack

type AuditLine = Mapping[str, Any]

_TO_GO_ON = re.compile(r'"offset": ([0-9]+)')
_AGAIN = "No reminder is sent twice."
_GOES_ON = f"the sweep may go on for up to five minutes. {_AGAIN}"

# SQS drops a repeat of a message for five minutes (its developer guide, "exactly-once processing"). A little longer,
# because clocks differ.
_REPEATS_DROPPED_SECONDS = 330
# Log lines may arrive later than younger ones by so much.
_LATE_SECONDS = 120
_POLL_SECONDS = 1.0
_CHECK_SECONDS = 30.0
# SQS counts messages with a delay of up to a minute, and log lines take some seconds. If an earlier sweep may have
# queued all reminders, nothing more is likely to come.
_SETTLE_SECONDS = 60.0
_REPEATS_SETTLE_SECONDS = 5.0
_PATTERN = '{ $.message = "audit" && $.event_source = "queue" }'

# What the worker did with a reminder, by the outcome in its audit line.
OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "sent": "sent",
        "already_reminded": "not sent: this reminder was dealt with before",
        "already_mailed": "not sent: somebody was mailed so recently that it would help nobody",
        "not_due": "not sent: no reminder is due",
        "missed": "not sent: it waited until it was no longer due",
        "stuck": "not sent: the order is stuck, somebody has to act",
        "OutcomeUnknown": "unknown: the email may or may not have been sent",
    }
)
NOT_ELIGIBLE: Mapping[str, str] = MappingProxyType(
    {
        "not_dv": "it is no DV order",
        "not_pending": "it is no longer pending",
        "needs_approval": "an administrator must approve the order first",
        "not_email_dcv": "it is not validated by email",
        "already_validated": "it is validated already",
    }
)


def sweep(app: "App", *, dry_run: bool, offset: int) -> dict[str, Any]:
    """Sweep once, and return the summary. Safe to repeat, also while another sweep runs.

    Raises `Failure`, which says how to go on.
    """
    functions = app.functions
    event = {"action": "sweep", "dry_run": dry_run, "offset": offset, "requested_by": functions.caller}
    try:
        return functions.invoke(app.stack.sweep_function_alias_arn, event, sends=False)
    except KeyboardInterrupt:
        if dry_run:
            raise
        raise Failure("Interrupted", f"stopped by Ctrl-C, but {_GOES_ON}", ExitCode.INTERRUPTED) from None
    except Failure as failure:
        advice = _how_to_go_on(failure, dry_run=dry_run)
        raise Failure(failure.name, failure.message, failure.exit_code, advice) from failure


def _how_to_go_on(failure: Failure, *, dry_run: bool) -> str:
    if found := _TO_GO_ON.search(failure.message):
        option = " --dry-run" if dry_run else ""
        return f"Go on there with `dv-resend sweep{option} --offset {found[1]}`. What was queued before stays queued."
    if dry_run or failure.name == "SendingPaused":
        return failure.advice
    if failure.name in ("ResponseLost", "FunctionKilled"):
        return f"Sweep again in five minutes: {_GOES_ON}"
    if failure.name in FUNCTION_ERRORS and failure.exit_code == ExitCode.RETRYABLE:
        return f"What was queued before stays queued. Sweep again in a few minutes. {_AGAIN}"
    return failure.advice


def describe(line: AuditLine) -> str:
    """Say what an audit line tells about a reminder."""
    outcome = str(line.get("outcome"))
    if outcome == "OrderNotEligible":
        reason = str(line.get("code")).partition("|")[2]
        return f"not sent: {NOT_ELIGIBLE.get(reason, reason)}"
    if outcome in OUTCOMES:
        return OUTCOMES[outcome]
    return f"not sent: {outcome}" if is_final(line) else f"not sent yet: {outcome}, it is tried again"


def is_final(line: AuditLine) -> bool:
    """Whether the reminder has left the queue: it was dealt with, or its error concerns this order alone."""
    outcome = line.get("outcome")
    return outcome in OUTCOMES or FUNCTION_ERRORS.get(str(outcome), ("",))[0] == ExitCode.ORDER


def exit_code(line: AuditLine) -> ExitCode:
    """Return what became of a reminder: an order that no longer needs one is no error."""
    outcome = str(line.get("outcome"))
    if outcome in FUNCTION_ERRORS and outcome != "OrderNotEligible":
        return FUNCTION_ERRORS[outcome][0]
    return ExitCode.OK if outcome in (*OUTCOMES, "OrderNotEligible") else ExitCode.BUG


class Reminders:
    """The reminders of one sweep. Make it before the sweep: what the logs hold then, an earlier sweep has queued.

    `earlier` and `outcomes` have the last audit line of each order, of an earlier sweep and since then. `waiting` is
    the last count of reminders in the queue.

    Example:
        ``Reminders(session, stack).next_lines(queued=12)``
    """

    def __init__(self, session: "AwsSession", stack: "Stack") -> None:
        """Read what an earlier sweep may have queued, of which SQS drops repeats."""
        self._stack = stack
        self._logs, self._sqs, self._lambda = (session.client(name) for name in ("logs", "sqs", "lambda"))
        self._since = time.time() - _REPEATS_DROPPED_SECONDS
        self._seen: set[str] = set()
        self._next_check = 0.0
        self.waiting: int | None = None
        self.earlier = {line["order_id"]: line for line in self._new_lines()}
        self.outcomes: dict[int, AuditLine] = {}

    def next_lines(self, queued: int) -> list[AuditLine]:
        """Wait for new audit lines, and return them; none if all `queued` reminders have left the queue.

        Raises `Failure` if nobody takes reminders from the queue.
        """
        quiet_since = time.monotonic()
        while True:
            # Counted before the logs are read, so that no line is missed at the end.
            self.waiting = self._count_waiting()
            if lines := list(self._new_lines()):
                self.outcomes |= {line["order_id"]: line for line in lines}
                return lines
            if not self.waiting and time.monotonic() - quiet_since >= self._settling_seconds(queued):
                return []
            self._check_mapping()
            time.sleep(_POLL_SECONDS)

    def repeats(self, queued: int) -> list[AuditLine]:
        """Return the lines of those of the `queued` reminders that SQS has dropped, when the queue is empty."""
        dropped = queued - len(self.outcomes)
        lines = [line for order_id, line in self.earlier.items() if order_id not in self.outcomes]
        return lines[-dropped:] if dropped > 0 else []

    def _settling_seconds(self, queued: int) -> float:
        """Return how long it must have been quiet before an empty queue is believed to be empty."""
        if sum(map(is_final, self.outcomes.values())) >= queued:
            return 0
        repeats_are_all = sum(map(is_final, (self.earlier | self.outcomes).values())) >= queued
        return _REPEATS_SETTLE_SECONDS if repeats_are_all else _SETTLE_SECONDS

    def _count_waiting(self) -> int:
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        url = self._stack.reminder_queue_url
        counts = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(counts.get(name, 0)) for name in names)

    def _new_lines(self) -> Iterator[AuditLine]:
        """Yield the audit lines of reminders that were not yielded before."""
        since = int(self._since * 1000)
        for event in log_events(self._logs, self._stack.sweep_log_group_name, _PATTERN, since):
            self._since = max(self._since, event["timestamp"] / 1000 - _LATE_SECONDS)
            # With its time and request id, no two lines are alike.
            if event["message"] not in self._seen:
                self._seen.add(event["message"])
                yield from _reminder_in(line_of(event))

    def _check_mapping(self) -> None:
        """Raise if the worker gets no reminders. The permission to see that may be missing."""
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _CHECK_SECONDS
        try:
            found = self._lambda.get_event_source_mapping(UUID=self._stack.reminder_mapping_id)
        except Exception:  # it only spares a person to wait
            return
        if found.get("State") in ("Disabled", "Disabling"):
            message = f"All sending is stopped: the reminders wait, {self.waiting} in all, until it is resumed."
            raise Failure("SendingStopped", message, ExitCode.RETRYABLE, "An operator runs `dv-resend resume`.")


def _reminder_in(line: AuditLine) -> Iterator[AuditLine]:
    is_of_queue = line.get("message") == "audit" and line.get("event_source") == "queue" and "order_id" in line
    # What became of one domain of an order is part of the line about the reminder.
    if is_of_queue and "domain" not in line:
        yield line
