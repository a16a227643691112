"""The guard of every send: load the order's record, decide, claim, send, settle. The rules are in `send_record`.

An invocation may be killed between any two of these steps, and any write may fail, get lost or arrive late. What is
stored is true nevertheless, and no email is sent without a claim that is stored.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dv_resend.core.send_record import (
    CLOCK_MARGIN_SECONDS,
    MAX_PEOPLE,
    Decision,
    Duplicate,
    InProgress,
    Mailed,
    NoReminder,
    Send,
    SendRecord,
    TooManyPeople,
    Unknown,
    claim,
    decide,
)
from dv_resend.core.timestamps import utc
from dv_resend.errors import InvalidRequest, OutcomeUnknown, ResendError, ResendInProgress

if TYPE_CHECKING:
    from dv_resend.core.domain_outcomes import DomainRun
    from dv_resend.core.ports import SendRecords
    from dv_resend.core.send_record import Attempt, HeldClaim

# How often an invocation decides, if others keep changing the record.
MAX_DECISIONS = 5


@dataclass(frozen=True)
class Sent:
    """These people were mailed at ``sent_at``; those in ``skipped`` were mailed earlier, or may have been.

    Example:
        >>> Sent(("default",), {}, sent_at=0, until=3720).people
        ('default',)
    """

    people: tuple[str, ...]
    skipped: Mapping[str, Mailed]
    sent_at: int
    until: int


class SendGuard:
    """Lets one invocation at a time send the emails of an order, and nobody be mailed twice in a cool-down.

    ``clock`` gives seconds since the epoch, ``draw`` a random text that never comes again.

    Example:
        >>> from dv_resend.core.send_record import Attempt
        >>> guard = SendGuard(records, cool_down_seconds=3600)  # doctest: +SKIP
        >>> guard.send(guard.load(7), Attempt(people, deadline, guard.draw()), put)  # doctest: +SKIP
    """

    def __init__(
        self,
        records: "SendRecords",
        cool_down_seconds: int,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """Keep what is needed; nothing is called yet."""
        self.draw = draw
        self._records = records
        self._cool_down = cool_down_seconds
        self._clock = clock

    def load(self, order_id: int) -> SendRecord:
        """Return the record of an order. Raises `SendRecordUnavailable` or `ConfigurationError`."""
        return self.load_record(f"order#{order_id}")

    def load_record(self, record_id: str) -> SendRecord:
        """Return a record by its id. Raises as `load`."""
        return self._records.load(record_id)

    def with_cool_down(self, seconds: int) -> "SendGuard":
        """Return a guard of the same records with another cool-down."""
        return SendGuard(self._records, seconds, self._clock, self.draw)

    def decide(self, record: SendRecord, attempt: "Attempt") -> Decision:
        """Return what `send` would do now."""
        return decide(record, attempt, self._now(), self._cool_down)

    def send(
        self,
        record: SendRecord,
        attempt: "Attempt",
        put: Callable[[Send], None],
        report: Callable[[OutcomeUnknown], None] = lambda _error: None,
    ) -> Sent | Duplicate | NoReminder:
        """Claim the order, call ``put`` with whom to mail, and settle the claim; or say why nobody is to be mailed.

        ``put`` raises `OutcomeUnknown` if the emails may have been sent, any other `ResendError` if they surely were
        not. ``report`` is called before a reminder whose outcome is unknown is recorded as done.

        Raises what ``put`` raises; `ResendInProgress`, `InvalidRequest` (too many people), `SendRecordUnavailable` or
        `ConfigurationError` if nothing was sent; `OutcomeUnknown` also if an earlier outcome is unknown.
        """

        def once(record: SendRecord) -> Sent | Duplicate | NoReminder:
            now = self._now()
            match decide(record, attempt, now, self._cool_down):
                case Send() as send:
                    held = claim(record, attempt, send.people, self.draw(), now)
                    self._store(held.record, record)
                    return self._deliver(held, send, put, report)
                case NoReminder(outcome="already_mailed") as answer if attempt.reminder is not None:
                    self._store(record.with_done([attempt.reminder], self.draw(), now), record)
                    return answer
                case Unknown(until=until) if attempt.reminder is not None:
                    report(error := _unknown(record, until, now))
                    self._store(record.with_done([attempt.reminder], self.draw(), now), record)
                    raise error
                case Duplicate() | NoReminder() as answer:
                    return answer
                case refusal:
                    raise _error(refusal, record, now)

        return self._until_unchanged(record, once)

    def remind_by_domain(
        self,
        record: SendRecord,
        attempt: "Attempt",
        run: Callable[[], "DomainRun"],
        report: Callable[[OutcomeUnknown], None],
    ) -> "DomainRun | NoReminder":
        """Claim the order for a reminder, ``run`` the sends about its domains, and settle the reminder's mark.

        A reminder that was attempted before runs again: the records of the domains prevent a second email. It is done
        when every domain is mailed or reported. If some are left, it stays attempted; if all are refused, it is what it
        was before. Raises as `send`, and the errors of the run.
        """

        def once(record: SendRecord) -> "DomainRun | NoReminder":
            now = self._now()
            _require_no_live_claim(record, now)
            if attempt.reminder is not None and record.reminders.get(attempt.reminder) == "done":
                return NoReminder("already_reminded")
            held = claim(record, attempt, (), self.draw(), now)
            self._store(held.record, record)
            return self._run(held, run, report)

        return self._until_unchanged(record, once)

    def report_attempted(
        self, record: SendRecord, report: Callable[[OutcomeUnknown], None], but: str | None = None
    ) -> SendRecord:
        """Report reminders that were attempted by a worker that was killed, and record them as done.

        Call it before anything else about a reminder; leave out the one that runs again (``but``). Return the latest
        record. Raises `ResendInProgress` while they are being sent, `SendRecordUnavailable` or `ConfigurationError`;
        they will then be reported again.
        """

        def once(record: SendRecord) -> SendRecord:
            now, attempted = self._now(), [each for each in record.attempted_reminders() if each != but]
            if not attempted:
                return record
            _require_no_live_claim(record, now)
            report(
                OutcomeUnknown(
                    f"A reminder of {_subject(record)} ({', '.join(attempted)}) may or may not have been sent. It is "
                    "not repeated. Check whether the email arrived before you force another one."
                )
            )
            done = record.with_done(attempted, self.draw(), now)
            self._store(done, record)
            return done

        return self._until_unchanged(record, once)

    def _deliver(
        self,
        held: "HeldClaim",
        send: Send,
        put: Callable[[Send], None],
        report: Callable[[OutcomeUnknown], None],
    ) -> Sent:
        """Mail the people of a claim that is stored, and settle it."""
        try:
            _put_or_unknown(put, send, held.record)
        except OutcomeUnknown as error:
            report(error)
            self._records.settle(held.unknown(self.draw(), self._now(), reported=True), held.record)
            raise
        except ResendError:
            self._records.settle(held.not_sent(self.draw(), self._now()), held.record)
            raise
        except BaseException:
            self._records.settle(held.unknown(self.draw(), self._now(), reported=False), held.record)
            raise
        sent_at = self._now()
        self._records.settle(held.sent(self.draw(), sent_at), held.record)
        return Sent(send.people, send.skipped, sent_at, sent_at + self._cool_down + CLOCK_MARGIN_SECONDS)

    def _run(
        self, held: "HeldClaim", run: Callable[[], "DomainRun"], report: Callable[[OutcomeUnknown], None]
    ) -> "DomainRun":
        """Send about the domains under a claim that is stored, and settle it."""
        try:
            ran = run()
        except BaseException:
            self._records.settle(held.unknown(self.draw(), self._now(), reported=False), held.record)
            raise
        if ran.unknown is not None:
            report(ran.unknown)
        if not ran.has_mailed:
            settled = held.not_sent(self.draw(), self._now())
        elif ran.to_repeat is not None:
            settled = held.unknown(self.draw(), self._now(), reported=False)
        else:
            settled = held.sent(self.draw(), self._now())
        self._records.settle(settled, held.record)
        if (error := ran.to_repeat or ran.error) is not None:
            raise error
        return ran

    def _until_unchanged[Answer](self, record: SendRecord, once: Callable[[SendRecord], Answer]) -> Answer:
        """Return what ``once`` answers; if others change the record meanwhile, it starts again on the latest."""
        for _decision in range(MAX_DECISIONS):
            try:
                return once(record)
            except _Changed as changed:
                record = changed.latest
        raise ResendInProgress(f"Other calls keep sending emails of {_subject(record)}. Try again shortly.")

    def _store(self, record: SendRecord, instead_of: SendRecord) -> None:
        latest = self._records.store(record, instead_of)
        if latest.revision != record.revision:
            raise _Changed(latest)

    def _now(self) -> int:
        return int(self._clock())


class _Changed(Exception):
    """Another invocation has stored another record meanwhile, the ``latest``; nothing was stored."""

    def __init__(self, latest: SendRecord) -> None:
        super().__init__()
        self.latest = latest


def _put_or_unknown(put: Callable[[Send], None], send: Send, record: SendRecord) -> None:
    try:
        put(send)
    except ResendError:
        raise
    # A bug may have come after the PUT.
    except Exception as bug:
        raise OutcomeUnknown(
            f"DV Resend failed ({type(bug).__name__}) while it was sending the emails of {_subject(record)}. They may "
            "have been sent. Check whether they arrived before you force another send."
        ) from bug


def _subject(record: SendRecord) -> str:
    """Return ``order 7``, or ``domain example.com`` without the domain's number."""
    kind, *_, name = record.id.split("#")
    return f"{kind} {name}"


def _error(refusal: Unknown | InProgress | TooManyPeople, record: SendRecord, now: int) -> ResendError:
    match refusal:
        case Unknown(until=until):
            return _unknown(record, until, now)
        case InProgress(until):
            return _in_progress(record, until, now)
        case TooManyPeople():
            return InvalidRequest(
                "domain_approval_emails",
                f"would bring the recipients of {_subject(record)} to more than {MAX_PEOPLE} within two days. Leave it "
                "out to mail DigiCert's default recipients.",
            )


def _unknown(record: SendRecord, until: int, now: int) -> OutcomeUnknown:
    before = f" before {utc(until)}" if until > now else ""
    return OutcomeUnknown(
        f"An earlier resend of {_subject(record)} may or may not have been sent. It is not repeated{before}. Check "
        "whether the email arrived before you force another one.",
        retry_after=until - now if until > now else None,
    )


def _require_no_live_claim(record: SendRecord, now: int) -> None:
    if record.claim is not None and record.claim.is_live(now):
        raise _in_progress(record, record.claim.live_until, now)


def _in_progress(record: SendRecord, until: int, now: int) -> ResendInProgress:
    # Its owner settles the claim by its deadline, unless it was killed.
    settled = until - CLOCK_MARGIN_SECONDS
    return ResendInProgress(
        f"Emails of {_subject(record)} are being sent right now. Try again shortly.",
        retry_after=max(1, settled - now if settled > now else until - now),
    )
