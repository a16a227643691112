"""The use cases that send: one resend, from a valid request to a settled outcome, and one reminder."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dv_resend.core.claim_and_send import SendGuard, Sent
from dv_resend.core.eligibility import check_eligible, check_waiting, is_dv, is_reissue, without_validated
from dv_resend.core.people import attempt_of, narrowed, people_of
from dv_resend.core.recipients import check_recipients, domains_to_look_up
from dv_resend.core.reminders import UNDATED, due_day, is_stuck
from dv_resend.core.requests import Reminder, ResendRequest, reminder_mark
from dv_resend.core.results import ReminderResult, ResendResult
from dv_resend.core.send_record import DEFAULT, Attempt, Duplicate, NoReminder, Send
from dv_resend.errors import ResendError, SendingPaused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dv_resend.config import Config
    from dv_resend.core.domain_resend import DomainResender
    from dv_resend.core.domains import OrderDomains
    from dv_resend.core.orders import Order, OrderStatus
    from dv_resend.core.people import People
    from dv_resend.core.plan import ResendPlan
    from dv_resend.core.ports import CertCentral, ContactLookup, SendRecords
    from dv_resend.core.requests import Invocation
    from dv_resend.core.send_record import Mailed

__all__ = ["ReminderResult", "ResendResult", "Resender"]


class Resender:
    """Sends the DCV emails of orders again, to nobody twice inside a cool-down.

    ``contacts`` starts the DNS lookups of one request. ``clock`` gives seconds since the epoch.

    Example:
        ``Resender(certcentral, records, contacts, settings).resend(ResendRequest(123456789), invocation)``
    """

    def __init__(
        self,
        certcentral: "CertCentral",
        records: "SendRecords",
        contacts: "Callable[[], ContactLookup]",
        settings: "Config",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep what is needed; nothing is called yet."""
        self._certcentral = certcentral
        self._guard = SendGuard(records, settings.cool_down_seconds, clock)
        self._contacts = contacts
        self._settings = settings
        self._clock = clock

    def resend(self, request: ResendRequest, invocation: "Invocation") -> ResendResult:
        """Have the emails of ``request`` sent again, to those who were not mailed inside the cool-down.

        Named recipients whose name is already validated are skipped too. Repeating is safe: a repeat is answered as a
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
        # The last call to CertCentral before the PUT.
        order = self._certcentral.get_order(request.order_id, invocation.deadline).with_method_of(validation)
        if self._goes_by_domain(order):
            return self._domains().resend(request, order, validation, contacts, invocation)
        validation = validation.with_names_of(order)
        # What is wrong with the order as a whole is reported before what is wrong with a recipient.
        check_eligible(order)
        remaining = without_validated(request, validation)
        if check:
            check_recipients(remaining.recipients, validation, contacts)
        return self._send(remaining, validation, invocation)

    def dry_run(self, request: ResendRequest, invocation: "Invocation") -> "ResendPlan":
        """Find out what `resend` would do, and everything that would keep an email from helping. Safe to repeat.

        If a resend would refuse the order or its recipients, the plan says so. All other errors of `CertCentral` and
        `SendRecords` are raised.
        """
        # Only a dry run pays for the imports.
        from dv_resend.core.advice import advise
        from dv_resend.core.dry_run import DryRun

        validation = self._certcentral.get_order_status(request.order_id, invocation.deadline)
        order = self._certcentral.get_order(request.order_id, invocation.deadline).with_method_of(validation)
        parts = self._guard, self._contacts, self._settings, self._clock
        if self._goes_by_domain(order):
            from dv_resend.core.domain_dry_run import DomainDryRun

            plan = DomainDryRun(self._certcentral, *parts).plan(request, order, validation, invocation)
        else:
            plan = DryRun(*parts).plan(request, order, validation.with_names_of(order), invocation)
        return replace(plan, advice=tuple(advise(plan)))

    def remind(self, reminder: Reminder, invocation: "Invocation") -> ReminderResult:
        """Have the emails of one order sent again to the default recipients, if a reminder is due.

        Safe to repeat, however late: a reminder is marked in the same write that claims the order, and its unknown
        outcome is reported (`Invocation.on_unknown`) before it counts as done. Raises as `resend`.
        """
        record, report = self._guard.load(reminder.order_id), invocation.on_unknown
        # First of all: a worker that was killed may have left an email that nobody knows of. A reminder that goes by
        # domain runs again instead: the records of the domains know.
        if not reminder.by_domain:
            record = self._guard.report_attempted(record, report)
        if reminder.mark is not None and record.reminders.get(reminder.mark) == "done":
            return ReminderResult(reminder.order_id, "already_reminded")
        self._require_sending("The reminder waits in the queue.")
        try:
            due = self._due(reminder, invocation)
        except ResendError as error:
            if error.scope == "order":
                self._guard.report_attempted(record, report)
            raise
        if isinstance(due, ReminderResult):
            self._guard.report_attempted(record, report)
            return due
        record = self._guard.report_attempted(record, report, but=due.mark if due.domains else None)
        deadline = math.ceil(invocation.deadline)
        if due.domains is not None:
            attempt = Attempt((), deadline, self._guard.draw(), reminder=due.mark)
            return self._domains().remind(record, attempt, due.domains, due.validation, invocation)
        attempt = Attempt((DEFAULT,), deadline, self._guard.draw(), reminder=due.mark)
        answer = self._guard.send(record, attempt, lambda _send: self._put(due.request, invocation), report)
        return ReminderResult(reminder.order_id, answer.outcome if isinstance(answer, NoReminder) else "sent")

    def _due(self, reminder: Reminder, invocation: "Invocation") -> "ReminderResult | _Due":
        """Return which reminder of an order is due, or why none is. Raises as `resend`."""
        validation = self._certcentral.get_order_status(reminder.order_id, invocation.deadline)
        order = self._certcentral.get_order(reminder.order_id, invocation.deadline).with_method_of(validation)
        if self._goes_by_domain(order):
            check_waiting(order)
        else:
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
        elif is_stuck(waiting_since, now, days):
            return ReminderResult(reminder.order_id, "stuck")
        else:
            return ReminderResult(reminder.order_id, "not_due" if reminder.day is None else "missed")
        mark = reminder_mark(waiting_since.astimezone(UTC).date(), day)
        request = ResendRequest(reminder.order_id)
        if self._goes_by_domain(order):
            return _Due(mark, request, validation, self._domains().open_of(order, validation))
        validation = validation.with_names_of(order)
        return _Due(mark, without_validated(request, validation), validation)

    def _goes_by_domain(self, order: "Order") -> bool:
        """Whether the domain-level resend serves an order, and not the order-level one."""
        return self._settings.all_order_types and not is_dv(order.product_type)

    def _domains(self) -> "DomainResender":
        # Only orders that are not DV pay for the import.
        from dv_resend.core.domain_resend import DomainResender

        return DomainResender(self._certcentral, self._guard, self._send, self._settings, self._clock)

    def _require_sending(self, consequence: str) -> None:
        if not self._settings.sending:
            raise SendingPaused(f"Sending is switched off (SENDING=off). {consequence}")

    def _send(
        self,
        request: ResendRequest,
        validation: "OrderStatus",
        invocation: "Invocation",
        guard: SendGuard | None = None,
    ) -> ResendResult:
        """Mail those of the ``request`` who were not mailed inside the cool-down of the ``guard``."""
        guard = guard or self._guard
        people = people_of(request.recipients, validation, request.domain)
        attempt = attempt_of(request, people, invocation, guard.draw())

        def put(send: Send) -> None:
            self._put(narrowed(request, people, send.people, send.skipped), invocation)

        match guard.send(guard.load_record(request.record_id), attempt, put):
            case Sent() as sent:
                mailed = narrowed(request, people, sent.people, sent.skipped)
                return ResendResult(mailed, "sent", sent.sent_at, sent.until)
            case Duplicate(earlier=earlier, until=until, sent_at=sent_at, perhaps=doubtful):
                surely = {person: mailed for person, mailed in earlier.items() if person not in doubtful}
                perhaps = {person: mailed for person, mailed in earlier.items() if person in doubtful}
                when = _addresses(people, surely), _addresses(people, perhaps)
                return ResendResult(request, "duplicate", sent_at, until, *when)
            case NoReminder():
                raise AssertionError("only a reminder is answered so")

    def _put(self, request: ResendRequest, invocation: "Invocation") -> None:
        invocation.before_send(request)
        body, deadline = request.upstream_body, invocation.deadline
        if request.domain is None:
            self._certcentral.resend_emails(request.order_id, body, deadline)
        else:
            self._certcentral.resend_domain_emails(request.domain.domain_id, body, deadline)


@dataclass(frozen=True)
class _Due:
    """The reminder that is due, by its ``mark``, and the request to send; ``domains`` of an order that is not DV."""

    mark: str
    request: ResendRequest
    validation: "OrderStatus"
    domains: "OrderDomains | None" = None


def _addresses(people: "People", earlier: "Mapping[str, Mailed]") -> tuple[tuple[str, int], ...]:
    """Return when each of the addresses that the caller named was mailed."""
    found = ((recipient.email, mailed.at) for person, mailed in earlier.items() for recipient in people[person])
    return tuple(dict.fromkeys(found))
