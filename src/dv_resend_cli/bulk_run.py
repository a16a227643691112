"""The run of `dv-resend bulk`: one request after the other, each recorded as started before its call.

What a result means for the next call, in this run or in a later one:

=============================================  =======================================================================
result                                         then
=============================================  =======================================================================
none, or an error: surely not sent             call
`sent`, `duplicate`, `OutcomeUnknown`          never call again
unresolved: started, killed, response lost     call while the answer is surely inside the cool-down: the send record
                                               keeps the function from mailing twice. Later it becomes `OutcomeUnknown`
some domains of an order were mailed, others   the same: a call inside the cool-down mails about the rest only, a later
are left                                       one would mail about all of them
=============================================  =======================================================================

An order's error is recorded, and the next order follows. An error that every other order would meet, too, pauses the
run if it can pass, and else ends it.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from dv_resend_cli.bulk_results import SETTLED, STARTED, Result, Results, seconds_of, utc
from dv_resend_cli.domains import has_mailed_some, leaves_some, names, with_outcome
from dv_resend_cli.errors import FUNCTION_ERRORS, ExitCode, Failure
from dv_resend_cli.plan import skipped_text

if TYPE_CHECKING:
    from dv_resend_cli.bulk_file import BulkRequest

# AWS accepts a call from a clock that is five minutes wrong, so two runs may differ by ten. The rest is for the call.
_MARGIN_SECONDS = 15 * 60
_MAX_CALLS = 5
"""Calls for one order in a run."""
_AGAIN_AFTER_SECONDS = 60
_FIRST_PAUSE_SECONDS = 5
_MAX_PAUSE_SECONDS = 300
_GIVE_UP_AFTER_SECONDS = 30 * 60
# Retryable, but about one order; its next call may answer what became of the last one.
_OF_ORDER = {"RecipientUnverified", "ResendInProgress", "ResponseLost", "FunctionKilled"}
# Somebody wants nothing to be sent. Nobody expects that a run goes on by itself hours later.
_STOPPED = {"SendingPaused", "SendingStopped"}


class Clock(Protocol):
    """What is needed of the module `time`; tests have a stand-in.

    Example:
        ``clock: Clock = time``
    """

    def time(self) -> float:
        """Return seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds that no setting of the clock changes."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


class BulkRun:
    """Calls the function for each request of a file.

    Example:
        ``BulkRun(functions.resend, results, cool_down_seconds=3600, orders_per_second=1).run(requests)``
    """

    def __init__(
        self,
        call: Callable[[Mapping[str, object]], Mapping[str, Any]],
        results: Results,
        *,
        cool_down_seconds: float,
        orders_per_second: float,
        dry_run: bool = False,
        note: Callable[[str], None] = lambda _text: None,
        advanced: Callable[[int], None] = lambda _left: None,
        clock: Clock = time,
    ) -> None:
        """Take what makes a call and where results are kept.

        ``note`` tells a person why the run pauses, ``advanced`` how many requests are left.
        """
        self._call = call
        self._results = results
        self._window = cool_down_seconds - _MARGIN_SECONDS
        self._interval = 1 / orders_per_second
        self._dry_run = dry_run
        self._note = note
        self._advanced = advanced
        self._clock = clock
        self._next_call_at = 0.0
        self._calls: Counter[BulkRequest] = Counter()
        self._again: deque[tuple[float, BulkRequest]] = deque()
        self._pauses = 0
        self._paused_since = 0.0

    def run(self, requests: Iterable["BulkRequest"]) -> None:
        """Call for each request that needs it, unresolved ones first; raise the `Failure` that ends the run early."""
        first = deque(sorted(requests, key=lambda request: not self._is_unresolved(request)))
        while first or self._again:
            if self._again and (not first or self._again[0][0] <= self._clock.monotonic()):
                due, request = self._again.popleft()
                self._sleep_until(due)
            else:
                request = first.popleft()
            self._handle(request)
            self._advanced(len(first) + len(self._again))

    def _is_unresolved(self, request: "BulkRequest") -> bool:
        known = self._results.of(request.key)
        return known is not None and bool(known.unresolved_since)

    def _handle(self, request: "BulkRequest") -> None:
        known = self._results.of(request.key)
        if known and known.is_settled:
            if self._dry_run:
                why = f"It was called at {known.at}: {known.outcome}."
                self._record(request, "left alone", ExitCode(known.exit_code), why)
            return
        self._sleep_until(self._next_call_at)
        since = known.unresolved_since if known else ""
        if since and not self._is_inside_cool_down(since):
            message = f"A call of {since} may have sent the email. Nobody knows, and it is too late to ask."
            if known and (has_mailed_some(known.message) or leaves_some(known.message)):
                message = f"It is too late to mail about the rest only. The last call ended with: {known.message}"
            self._record(request, "OutcomeUnknown", ExitCode.UNKNOWN, message)
            return
        self._next_call_at = self._clock.monotonic() + self._interval
        self._calls[request] += 1
        started = since or utc(self._clock.time())
        if not since and not self._dry_run:
            self._record(request, STARTED, ExitCode.UNKNOWN, unresolved_since=started)
        try:
            answer = self._call(request.to_json() | ({"dry_run": True} if self._dry_run else {}))
        except Failure as failure:
            self._failed(request, failure, before=since, started=started)
            return
        self._pauses = 0
        outcome = str(answer["would_be"] if self._dry_run else answer["outcome"])
        self._record(request, outcome, _exit_code(outcome, answer), _message(answer))

    def _is_inside_cool_down(self, since: str) -> bool:
        """Whether the answer to a call that is made now comes inside the cool-down of a call at that time."""
        age = self._clock.time() - seconds_of(since)
        return -_MARGIN_SECONDS < age < self._window

    def _failed(self, request: "BulkRequest", failure: Failure, *, before: str, started: str) -> None:
        """Record an error, and decide whether the run goes on and whether the order is called again.

        ``before`` is since when the order had been unresolved before the call, ``started`` since when it is now.
        """
        if failure.exit_code is ExitCode.INTERRUPTED:
            raise failure
        has_rest = failure.name in SETTLED and leaves_some(failure.message)
        if self._dry_run or (failure.name in SETTLED and not has_rest):
            since = ""
        else:
            is_open = failure.exit_code in (ExitCode.UNKNOWN, ExitCode.BUG) or has_mailed_some(failure.message)
            since = started if is_open else before
        self._record(request, failure.name, failure.exit_code, failure.message, unresolved_since=since)
        if failure.exit_code is ExitCode.ACCOUNT or failure.name in _STOPPED:
            raise failure
        if failure.name in _OF_ORDER or has_rest:
            self._pauses = 0
            self._call_again(request)
        elif failure.exit_code is ExitCode.RETRYABLE:
            self._call_again(request)
            self._pause(failure)
        else:
            self._pauses = 0

    def _call_again(self, request: "BulkRequest") -> None:
        if self._calls[request] < _MAX_CALLS:
            self._again.append((self._clock.monotonic() + _AGAIN_AFTER_SECONDS, request))

    def _pause(self, failure: Failure) -> None:
        """Wait for longer and longer, with jitter, while no order gets an answer."""
        now = self._clock.monotonic()
        if not self._pauses:
            self._paused_since = now
        elif now - self._paused_since > _GIVE_UP_AFTER_SECONDS:
            raise failure
        seconds = min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._pauses) * random.uniform(0.5, 1)  # noqa: S311
        self._pauses += 1
        self._note(f"{failure.name}: {failure.message} Going on in {seconds:.0f} s.")
        self._next_call_at = max(self._next_call_at, now + seconds)

    def _sleep_until(self, moment: float) -> None:
        if (seconds := moment - self._clock.monotonic()) > 0:
            self._clock.sleep(seconds)

    def _record(
        self,
        request: "BulkRequest",
        outcome: str,
        exit_code: ExitCode,
        message: str = "",
        *,
        unresolved_since: str = "",
    ) -> None:
        at = utc(self._clock.time())
        result = Result(*request.key, outcome, int(exit_code), at, unresolved_since, message=message)
        self._results.write(result)


def _exit_code(outcome: str, answer: Mapping[str, Any]) -> ExitCode:
    """Return what an answer means for its order; of a dry run, what the real call would end with."""
    if outcome in FUNCTION_ERRORS:
        return FUNCTION_ERRORS[outcome][0]
    maybe_mailed = any(entry["reason"] == "maybe_mailed" for entry in answer["skipped"])
    return ExitCode.UNKNOWN if maybe_mailed else ExitCode.OK


def _message(answer: Mapping[str, Any]) -> str:
    """Return what is worth knowing about an answer, or a dry run's plan, beside its outcome."""
    facts = [skipped_text(entry) for entry in answer["skipped"]]
    mailed_before = with_outcome(answer, "duplicate")
    if mailed_before and with_outcome(answer, "sent"):
        facts.insert(0, f"Mailed already, perhaps for another order: {names(mailed_before)}.")
    if answer["outcome"] == "duplicate":
        about = f" about {names(mailed_before)}" if mailed_before else ""
        whose = "for another order, or to others" if mailed_before else "to others"
        facts.insert(0, f"Emails{about} were sent at {answer['sent_at']}, perhaps {whose}.")
    elif answer.get("would_be", "sent") != "sent":
        facts += answer["advice"][:1]
    return " ".join(facts)
