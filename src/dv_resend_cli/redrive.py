"""Redriving failed events: for each event a dry run, then the decision, then the function again.

An event leaves its queue when its emails are sent, or when they are no longer wanted. Whatever cannot be known, and
whatever may succeed later, stays. The emails of an event are sent at most once:

- the send record knows who was mailed inside the cool-down;
- after that, the audit trail knows whether an attempt of this event sent, or may have sent (`attempts`);
- a forced event keeps its id, which the send record remembers for two days.

An order that is not DV has these for each of its domains. Attempts may have sent about some of them only. Inside the
cool-down, a resend sends the rest only, so it is made. Later it would mail about all of them: the event stays for a
person to decide.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dv_resend_cli.attempts import BEFORE_FAILURE_SECONDS, Attempts, attempts_of
from dv_resend_cli.domains import left_of, names, with_outcome
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.failed_events import FailedEvent, forced_id
from dv_resend_cli.plan import recipients_of

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession
    from dv_resend_cli.functions import Functions
    from dv_resend_cli.stack import Stack

type Outcome = Literal[
    "sent", "swept", "done", "not wanted", "planned", "dropped", "refused", "unknown", "partly sent", "later"
]

# They concern one order; other errors that may pass concern every event.
LATER = {"RecipientUnverified": "DNS did not answer.", "ResendInProgress": "The order is being sent right now."}
_NOT_WANTED = {
    "order_not_eligible|not_pending": "The order is no longer pending.",
    "order_not_eligible|already_validated": "Its names are validated.",
}
# What --drop deletes.
_DROPPED = ("refused", "unknown", "partly sent")
# An event makes five calls to CertCentral, which allows each key 5.5 a second.
_SECONDS_PER_EVENT = 1
_DEFAULT_RETENTION_DAYS = 90
# CertCentral counts the calls of five seconds, and of three minutes.
_WAITS_FOR_LIMIT = (10, 60, 120)
_ASK = (
    "Ask the recipients whether the email arrived. If not, --force sends it again; if it did, --drop deletes the event."
)
_ASK_BY_DOMAIN = (
    "Ask the recipients whether it arrived. If it did, --drop deletes the event. If not, `dv-resend resend` with --to "
    "and --force mails about these domains only; --force here mails about all that the event asks for."
)
_SEND_THE_REST = (
    "A redrive would mail about all of them, and so does --force. To mail about the rest only, use `dv-resend resend` "
    "with --to, and then --drop here."
)
_SOME_MAYBE_MAILED = "Some recipients may have been mailed by another call."
_ASK_AGAIN = (
    "It was forced before. Ask the recipients. If the email did not arrive, use `dv-resend resend` with --force."
)
_MAY_HAVE_MAILED = "The email may have been sent."
_FORGOTTEN = "The log no longer tells whether an earlier attempt was sent."
_ASKS_FOR_FORCE = (
    "It asks for force, because recipients were mailed inside the cool-down. --force mails them again; --drop deletes "
    "the event."
)


@dataclass(frozen=True)
class Redriven:
    """What became of one event, in a word and in a sentence. It is deleted if `is_done`.

    Example:
        >>> Redriven("sent", "to admin@example.com").is_done
        True
    """

    outcome: Outcome
    text: str
    exit_code: ExitCode = ExitCode.OK
    trouble: Failure | None = None
    """An error that other events will meet, too."""
    skipped: Sequence[Mapping[str, str]] = ()
    """Named recipients who are left out, each with a reason."""

    @property
    def is_done(self) -> bool:
        """Whether the event may leave its queue."""
        return self.outcome in ("sent", "swept", "done", "not wanted", "dropped")


class Redriver:
    """Redrives the events of one run.

    Example:
        ``Redriver(app.session, app.stack, app.functions).redrive(event)``
    """

    def __init__(
        self,
        session: "AwsSession",
        stack: "Stack",
        functions: "Functions",
        *,
        dry_run: bool = False,
        force: bool = False,
        drop: bool = False,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the options of `dv-resend redrive`. ``note`` tells a person why it takes long."""
        self._session = session
        self._stack = stack
        self._functions = functions
        self._dry_run = dry_run
        self._force = force
        self._drop = drop
        self._note = note
        self._extend_visibility: Callable[[], None] = lambda: None
        self._swept: set[str] = set()
        self._next_turn = 0.0

    def redrive(self, event: FailedEvent, extend_visibility: Callable[[], None] = lambda: None) -> Redriven:
        """Send the emails of one event if they are still wanted.

        ``extend_visibility`` is called before each call of a function, which may take long.
        """
        self._extend_visibility = extend_visibility
        try:
            redriven = self._decide(event)
        except Failure as failure:
            redriven = _failed(failure)
        if self._drop and not self._dry_run and redriven.outcome in _DROPPED and not redriven.trouble:
            return Redriven("dropped", redriven.text)
        return redriven

    def _decide(self, event: FailedEvent) -> Redriven:
        match event.kind:
            case "unreadable":
                return Redriven("refused", event.error_message, ExitCode.ORDER)
            case "question":
                return Redriven("not wanted", "It asked a question and sends nothing.")
            case "sweep":
                return self._sweep(event)
            case "resend":
                return self._resend(event)

    def _resend(self, event: FailedEvent) -> Redriven:
        self._wait_for_turn()
        force_id = self._force_id(event)
        plan = self._invoke(event, force_id, dry_run=True)
        is_unknown = plan["would_be"] == "OutcomeUnknown" or _skipped(plan, "maybe_mailed")
        if is_unknown and self._force and not force_id:
            force_id = forced_id(event.id)
            plan = self._invoke(event, force_id, dry_run=True)
        if self._lacks_force(event) and _mailed_already(plan):
            return Redriven("refused", _ASKS_FOR_FORCE, ExitCode.ORDER, skipped=plan.get("skipped", []))
        if plan["would_be"] != "sent" and not _has_rest(plan):
            return _not_sent(plan, is_forced=force_id is not None)
        if _skipped(plan, "maybe_mailed"):
            return Redriven("unknown", f"{_SOME_MAYBE_MAILED} {_ASK}", ExitCode.UNKNOWN, skipped=plan["skipped"])
        attempts = attempts_of(self._session, self._stack.log_group_name, event.id, event.failed_at)
        decide = self._decide_by_domain if "domains" in plan else self._decide_as_a_whole
        return decide(event, plan, attempts, force_id)

    def _decide_as_a_whole(
        self, event: FailedEvent, plan: Mapping[str, Any], attempts: Attempts, force_id: str | None
    ) -> Redriven:
        """Send if no attempt was sent, or may have been."""
        match attempts.outcome:
            case "sent":
                return Redriven("done", "An earlier attempt of this event was sent.")
            case "unknown":
                why = "An earlier attempt may have been sent."
            case _ if event.may_have_mailed:
                why = _MAY_HAVE_MAILED
            case _ if self._is_forgotten(event):
                why = _FORGOTTEN
            case _:
                return self._send(event, plan, force_id)
        if not self._force:
            return Redriven("unknown", f"{why} {_ASK}", ExitCode.UNKNOWN)
        return self._send(event, plan, forced_id(event.id))

    def _decide_by_domain(
        self, event: FailedEvent, plan: Mapping[str, Any], attempts: Attempts, force_id: str | None
    ) -> Redriven:
        """Send about the domains of an order that is not DV if no attempt has mailed, or may have, about any of them.

        Those that are blocked, such as by the cool-down, are not mailed again.
        """
        left = left_of(plan, attempts.of_domains, is_forced=force_id is not None)
        if left.unknown or (left.blocked and not left.new):
            redriven = Redriven("unknown", f"{left.text} {_ASK_BY_DOMAIN}", ExitCode.UNKNOWN)
        elif left.sent and left.new:
            redriven = Redriven("partly sent", f"{left.text} {_SEND_THE_REST}", ExitCode.ORDER)
        elif left.sent:
            return Redriven("done", left.text)
        elif event.may_have_mailed and not attempts.is_explained:
            redriven = Redriven("unknown", f"{_MAY_HAVE_MAILED} {_ASK}", ExitCode.UNKNOWN)
        elif self._is_forgotten(event):
            redriven = Redriven("unknown", f"{_FORGOTTEN} {_ASK}", ExitCode.UNKNOWN)
        else:
            return (self._send_rest if left.blocked else self._send)(event, plan, force_id)
        return self._send(event, plan, forced_id(event.id)) if self._force else redriven

    def _send_rest(self, event: FailedEvent, plan: Mapping[str, Any], force_id: str | None) -> Redriven:
        """Send about some domains of an order, where it is unknown whether the emails about the others were sent."""
        if self._dry_run:
            maybe = names(with_outcome(plan, "OutcomeUnknown"))
            text = f"The emails about {maybe} may have been sent. Others would be sent now: {recipients_of(plan)}."
            return Redriven("unknown", text, ExitCode.UNKNOWN, skipped=plan.get("skipped", []))
        try:
            return self._send(event, plan, force_id)
        except Failure as failure:
            if failure.name != "OutcomeUnknown":
                raise
            # As planned: other events will not meet it.
            return Redriven("unknown", f"{failure} {_ASK_BY_DOMAIN}", ExitCode.UNKNOWN)

    def _is_forgotten(self, event: FailedEvent) -> bool:
        """Whether the log may have dropped lines about the event's attempts."""
        kept_days = int(self._stack.parameters.get("LogRetentionDays") or _DEFAULT_RETENTION_DAYS)
        return time.time() - event.failed_at + BEFORE_FAILURE_SECONDS > kept_days * 86400

    def _lacks_force(self, event: FailedEvent) -> bool:
        return event.asks_for_force and not self._force

    def _force_id(self, event: FailedEvent) -> str | None:
        """Return the id with which an event is forced, ``None`` if it is not."""
        if not self._force:
            return None
        if event.may_have_mailed:
            return forced_id(event.id)
        return event.id if event.asks_for_force else None

    def _send(self, event: FailedEvent, plan: Mapping[str, Any], force_id: str | None) -> Redriven:
        if self._dry_run:
            return Redriven("planned", recipients_of(plan), skipped=plan.get("skipped", []))
        result = self._invoke(event, force_id, dry_run=False)
        if result["outcome"] == "duplicate":
            if self._lacks_force(event):
                return Redriven("refused", _ASKS_FOR_FORCE, ExitCode.ORDER)
            return Redriven("done", f"Mailed already, at {result['sent_at']}.")
        text = recipients_of(result)
        if _skipped(result, "maybe_mailed"):
            text = f"Sent {text}. {_SOME_MAYBE_MAILED} {_ASK}"
            return Redriven("unknown", text, ExitCode.UNKNOWN, skipped=result["skipped"])
        return Redriven("sent", text, skipped=result["skipped"])

    def _sweep(self, event: FailedEvent) -> Redriven:
        """Start a sweep, which does what all earlier ones would have done."""
        sweep = event.sweep(self._functions.caller)
        key = json.dumps(sweep, sort_keys=True)
        if key in self._swept:
            return Redriven("done", "The sweep of this run does its work.")
        if self._dry_run:
            return Redriven("planned", "a sweep")
        alias = self._stack.sweep_function_alias_arn
        summary = self._call_with_retries(lambda: self._functions.invoke(alias, sweep, sends=False))
        self._swept.add(key)
        return Redriven("swept", f"{summary['listed']} orders listed, {summary['enqueued']} reminders queued")

    def _invoke(self, event: FailedEvent, force_id: str | None, *, dry_run: bool) -> dict[str, Any]:
        request = event.invocation(requested_by=self._functions.caller, dry_run=dry_run, force_id=force_id)
        alias = self._stack.function_alias_arn
        return self._call_with_retries(lambda: self._functions.invoke(alias, request, sends=not dry_run))

    def _call_with_retries(self, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Call again after CertCentral's request limit, for three minutes. Nothing is sent twice."""
        for seconds in _WAITS_FOR_LIMIT:
            self._extend_visibility()
            try:
                return call()
            except Failure as failure:
                if failure.name != "RateLimited":
                    raise
            self._note(f"CertCentral's request limit is reached. Waiting {seconds} seconds.")
            time.sleep(seconds)
        self._extend_visibility()
        return call()

    def _wait_for_turn(self) -> None:
        """Leave some of CertCentral's request limit to others."""
        time.sleep(max(0.0, self._next_turn - time.monotonic()))
        self._next_turn = time.monotonic() + _SECONDS_PER_EVENT


def _mailed_already(plan: Mapping[str, Any]) -> bool:
    """Whether anybody was mailed inside the cool-down."""
    some = _skipped(plan, "already_mailed") or bool(with_outcome(plan, "duplicate"))
    return plan["would_be"] == "duplicate" or some


def _has_rest(plan: Mapping[str, Any]) -> bool:
    """Whether the outcome is unknown for some domains only, and a resend would mail about others."""
    return plan["would_be"] == "OutcomeUnknown" and bool(with_outcome(plan, "sent"))


def _skipped(answer: Mapping[str, Any], reason: str) -> bool:
    """Whether anybody is left out for a reason."""
    return any(entry["reason"] == reason for entry in answer.get("skipped", []))


def _not_sent(plan: Mapping[str, Any], *, is_forced: bool) -> Redriven:
    """Return what becomes of an event that a resend would not send."""
    would_be, code = plan["would_be"], plan.get("code", "")
    if would_be == "duplicate":
        return Redriven("done", f"Mailed already inside the cool-down, which ends at {plan['until']}.")
    if code in _NOT_WANTED:
        return Redriven("not wanted", f"{_NOT_WANTED[code]} (Order: {plan['order']['status']}.)")
    if would_be == "OutcomeUnknown":
        about = names(with_outcome(plan, "OutcomeUnknown"))
        advice = _ASK_AGAIN if is_forced else _ASK_BY_DOMAIN if about else _ASK
        may = f"The emails about {about} may have been sent." if about else _MAY_HAVE_MAILED
        return Redriven("unknown", f"{may} {advice}", ExitCode.UNKNOWN)
    if would_be in LATER:
        return Redriven("later", f"{would_be}: {LATER[would_be]}", ExitCode.RETRYABLE)
    if would_be == "SendingPaused":
        message = "Sending is switched off (SENDING=off). Nothing was sent."
        return _failed(Failure("SendingPaused", message, ExitCode.RETRYABLE, "Redrive when it is on."))
    return Redriven("refused", f"A resend would be refused: {code or would_be}.", ExitCode.ORDER)


def _failed(failure: Failure) -> Redriven:
    """Return what becomes of an event whose dry run or resend failed."""
    text = str(failure)
    match failure.exit_code:
        case ExitCode.ORDER | ExitCode.USAGE:
            return Redriven("refused", text, ExitCode.ORDER)
        case ExitCode.UNKNOWN:
            # An outage at this point would leave more events without a known outcome.
            return Redriven("unknown", f"{text} {_ASK}", ExitCode.UNKNOWN, failure)
        case ExitCode.INTERRUPTED:
            return Redriven("unknown", text, ExitCode.INTERRUPTED, failure)
    if failure.name in LATER:
        return Redriven("later", text, ExitCode.RETRYABLE)
    return Redriven("later", text, failure.exit_code, failure)
