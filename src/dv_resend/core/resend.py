"""The use cases that send: one resend, from a valid request to a recorded outcome, and one reminder."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from dv_resend.core.claims import Claim, HeldClaim
from dv_resend.core.eligibility import check_eligible, is_reissue, without_validated
from dv_resend.core.recipients import check_recipients, domains_to_look_up
from dv_resend.core.reminders import UNDATED, due_day, is_stuck
from dv_resend.core.requests import Invocation, Reminder, ResendRequest, reminder_record_id
from dv_resend.core.timestamps import utc
from dv_resend.errors import OutcomeUnknown, ResendError, ResendInProgress, SendingPaused

if TYPE_CHECKING:
    from dv_resend.config import Config
    from dv_resend.core.plan import ResendPlan
    from dv_resend.core.ports import CertCentral, Claims, ContactLookup


@dataclass(frozen=True)
class ResendResult:
    """A resend that was sent now, or earlier inside the cool-down.

    ``sent_at`` is in seconds since the epoch, ``cool_down_left`` in seconds.

    Example:
        >>> ResendResult(ResendRequest(7), "sent", sent_at=0, cool_down_left=3600).to_json()["sent_at"]
        '1970-01-01T00:00:00Z'
    """

    request: ResendRequest
    outcome: Literal["sent", "duplicate"]
    sent_at: int
    cool_down_left: int

    def to_json(self) -> dict[str, object]:
        """Return the result as direct callers get it."""
        return {
            "order_id": self.request.order_id,
            "outcome": self.outcome,
            "recipients": self.request.addresses,
            "sent_at": utc(self.sent_at),
        }


@dataclass(frozen=True)
class ReminderResult:
    """What became of a reminder: a resend, or the reason why none was needed.

    Example:
        >>> ReminderResult(7, "not_due").outcome
        'not_due'
    """

    order_id: int
    outcome: Literal["sent", "duplicate", "already_reminded", "not_due", "stuck"]


class Resender:
    """Sends the DCV emails of orders again, at most once inside a cool-down.

    ``contacts`` starts the DNS lookups of one request. ``clock`` gives seconds since the epoch.

    Example:
        ``Resender(certcentral, claims, contacts, settings).resend(ResendRequest(123456789), invocation)``
    """

    def __init__(
        self,
        certcentral: "CertCentral",
        claims: "Claims",
        contacts: "Callable[[], ContactLookup]",
        settings: "Config",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep what is needed; nothing is called yet."""
        self._certcentral = certcentral
        self._claims = claims
        self._contacts = contacts
        self._settings = settings
        self._clock = clock

    def resend(self, request: ResendRequest, invocation: Invocation) -> ResendResult:
        """Have the emails of ``request`` sent again, unless that happened inside the cool-down.

        Named recipients whose name is already validated are skipped. Repeating is safe: a repeat is answered as a
        duplicate, or with the same unknown outcome. Raises any `ResendError`; only `OutcomeUnknown` means that the
        email may have been sent.
        """
        self._require_sending("Nothing was sent. Try again when it is on.")
        validation = self._certcentral.get_order_status(request.order_id, invocation.deadline)
        unvalidated = [each for each in request.recipients if not validation.listed_and_validated(each.domain)]
        check, known = self._settings.check_recipients, validation
        if check and not all(validation.has(each.domain) for each in unvalidated):
            # Perhaps only the order itself lists the name. DNS is never asked about a name that is not on the order.
            known = validation.with_names_of(self._certcentral.get_order(request.order_id, invocation.deadline))
        on_order = [each for each in unvalidated if known.has(each.domain)]
        domains = domains_to_look_up(on_order, known) if check else []
        contacts = self._contacts().contacts(domains) if domains else {}
        # The last call before the PUT.
        order = self._certcentral.get_order(request.order_id, invocation.deadline).with_method_of(validation)
        validation = validation.with_names_of(order)
        # What is wrong with the order as a whole is reported before what is wrong with a recipient.
        check_eligible(order)
        remaining = without_validated(request, validation)
        if check:
            check_recipients(remaining.recipients, validation, contacts)
        return self._send(remaining, invocation)

    def dry_run(self, request: ResendRequest, invocation: Invocation) -> "ResendPlan":
        """Find out what `resend` would do and why an email may not help, without sending (`DryRun.plan`)."""
        # Only a dry run pays for the import.
        from dv_resend.core.dry_run import DryRun

        dry_run = DryRun(self._certcentral, self._claims, self._contacts, self._settings, self._clock)
        return dry_run.plan(request, invocation)

    def remind(self, reminder: Reminder, invocation: Invocation) -> ReminderResult:
        """Have the emails of one order sent again to the default recipients, if a reminder is due.

        Safe to repeat, however late: a reminder is recorded before it is sent, and the record is removed only if the
        emails were certainly not sent. Raises as `resend`.
        """
        request = ResendRequest(reminder.order_id)
        if reminder.record_id is not None and self._claims.reminded(reminder.record_id):
            return self._already_reminded(request)
        self._require_sending("The reminder waits in the queue.")
        validation = self._certcentral.get_order_status(reminder.order_id, invocation.deadline)
        order = self._certcentral.get_order(reminder.order_id, invocation.deadline).with_method_of(validation)
        check_eligible(order)
        # The order decides: the message may be old, or may not say which reminder is due.
        now = datetime.fromtimestamp(self._clock(), UTC)
        waiting_since, days = order.waiting_since, self._settings.reminder_days
        if waiting_since is None and is_reissue(order.status):
            # Nobody can tell how long it has been waiting, so a reminder is due: one, not one for each sweep.
            waiting_since, day = UNDATED, days[0]
        elif waiting_since is None:
            return ReminderResult(reminder.order_id, "stuck")
        elif (found := due_day(waiting_since, now, days)) is not None:
            day = found
        else:
            return ReminderResult(reminder.order_id, "stuck" if is_stuck(waiting_since, now, days) else "not_due")
        request = without_validated(request, validation.with_names_of(order))
        record_id = reminder_record_id(reminder.order_id, waiting_since.astimezone(UTC).date(), day)
        if record_id != reminder.record_id and self._claims.reminded(record_id):
            return self._already_reminded(request)
        return ReminderResult(reminder.order_id, self._send_recorded(request, record_id, invocation))

    def _require_sending(self, consequence: str) -> None:
        if not self._settings.sending:
            raise SendingPaused(f"Sending is switched off (SENDING=off). {consequence}")

    def _send(self, request: ResendRequest, invocation: Invocation) -> ResendResult:
        """Claim the emails of ``request``, send them and record the outcome; or answer a repeat."""
        now = self._clock()
        claim = self._claims.acquire(
            request.claim_key,
            now=now,
            deadline=invocation.deadline,
            force_id=invocation.delivery_id if request.force else None,
        )
        if not isinstance(claim, HeldClaim):
            return _answer_repeat(request, claim, now)
        try:
            invocation.before_send(request)
            self._certcentral.resend_emails(request.order_id, request.upstream_body, invocation.deadline)
        except OutcomeUnknown as error:
            self._claims.record_unknown(claim)
            error.retry_after = _seconds_until(claim.expiration, self._clock())
            raise
        except ResendError:
            if invocation.on_not_sent():
                self._claims.release(claim)
            raise
        # Any other exception may have come after the PUT.
        except BaseException:
            self._claims.record_unknown(claim)
            raise
        sent_at = int(self._clock())
        self._claims.record_sent(claim, sent_at)
        return ResendResult(request, "sent", sent_at, _seconds_until(claim.expiration, sent_at))

    def _send_recorded(
        self, request: ResendRequest, record_id: str, invocation: Invocation
    ) -> Literal["sent", "duplicate"]:
        """Send a reminder: its record is written before, and removed if the emails were certainly not sent."""

        def before_send(request: ResendRequest) -> None:
            self._claims.record_reminder(record_id, self._clock())
            invocation.before_send(request)

        # If the record stayed without a claim, the reminder would wrongly count as dealt with.
        recorded = replace(
            invocation, before_send=before_send, on_not_sent=lambda: self._claims.forget_reminder(record_id)
        )
        try:
            result = self._send(request, recorded)
        except OutcomeUnknown:
            self._claims.record_reminder(record_id, self._clock())
            raise
        if result.outcome == "duplicate":
            self._claims.record_reminder(record_id, self._clock())
        return result.outcome

    def _already_reminded(self, request: ResendRequest) -> ReminderResult:
        """Answer for a reminder that has a record; report it if a killed worker left its outcome open."""
        claim, now = self._claims.read(request.claim_key), self._clock()
        if claim is not None and claim.state(now) in ("sending", "unknown"):
            _answer_repeat(request, claim, now)
        return ReminderResult(request.order_id, "already_reminded")


def _answer_repeat(request: ResendRequest, claim: Claim, now: float) -> ResendResult:
    """Answer a call that found ``claim`` in its way: a duplicate, or raise `ResendInProgress` or `OutcomeUnknown`."""
    match claim.state(now):
        case "sent" if claim.sent_at is not None:
            return ResendResult(request, "duplicate", claim.sent_at, _seconds_until(claim.expiration, now))
        case "sending":
            raise ResendInProgress(
                f"The same emails of order {request.order_id} are being sent right now. Try again shortly.",
                retry_after=_seconds_until(claim.deadline, now),
            )
        case _:
            raise OutcomeUnknown(
                f"An earlier resend of order {request.order_id} may or may not have been sent. It is not repeated "
                f"before {utc(claim.expiration)}. Check whether the email arrived before you force another one.",
                retry_after=_seconds_until(claim.expiration, now),
            )


def _seconds_until(moment: int, now: float) -> int:
    return max(1, round(moment - now))
