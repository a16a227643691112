"""The use cases for orders that are not DV: a resend or a reminder, as one domain-level send after the other.

Each domain has a send record of its own. So what was sent stays recorded whatever happens next, and a repeat sends the
rest only.
"""

from typing import TYPE_CHECKING

from dv_resend.core.domain_outcomes import DomainOutcome, DomainRun, require_time
from dv_resend.core.domains import OrderDomains, check_listed, joined
from dv_resend.core.eligibility import check_waiting, without_validated
from dv_resend.core.recipients import check_recipients
from dv_resend.core.requests import ResendRequest
from dv_resend.core.results import ReminderResult, ResendResult
from dv_resend.core.send_record import KEPT_SECONDS, REMINDER_QUIET_SECONDS, NoReminder
from dv_resend.errors import OutcomeUnknown, ResendError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dv_resend.config import Config
    from dv_resend.core.claim_and_send import SendGuard
    from dv_resend.core.orders import Domain, DomainEmails, Order, OrderStatus
    from dv_resend.core.ports import CertCentral
    from dv_resend.core.recipients import Contacts
    from dv_resend.core.requests import Invocation
    from dv_resend.core.send_record import Attempt, SendRecord


# Sends one part of a request under the guard that decides who is not mailed again. Raises as `Resender.resend`.
type SendPart = Callable[[ResendRequest, OrderStatus, Invocation, SendGuard], ResendResult]


class DomainResender:
    """Sends the emails of orders that are not DV again, about one domain after the other.

    Example:
        ``DomainResender(certcentral, guard, send, settings, time.time).open_of(order, validation)``
    """

    def __init__(
        self,
        certcentral: "CertCentral",
        guard: "SendGuard",
        send: SendPart,
        settings: "Config",
        clock: "Callable[[], float]",
    ) -> None:
        """Keep what is needed; nothing is called yet."""
        self._certcentral = certcentral
        self._guard = guard
        self._send = send
        self._settings = settings
        self._clock = clock

    def open_of(self, order: "Order", validation: "OrderStatus") -> OrderDomains:
        """Return the domains of an order. Raises `OrderNotEligible` if none of them waits for an email."""
        domains = OrderDomains(order, validation)
        domains.check_open()
        return domains

    def resend(
        self,
        request: ResendRequest,
        order: "Order",
        validation: "OrderStatus",
        contacts: "Mapping[str, Contacts]",
        invocation: "Invocation",
    ) -> ResendResult:
        """Send about each domain of the order that waits for an email, or about those of the named recipients.

        Everything is checked before the first email is sent. Safe to repeat, whatever became of the last call. Raises
        as `Resender.resend`; the message then says what became of each domain.
        """
        check_waiting(order)
        domains = self.open_of(order, validation)
        validation = validation.with_names_of(order)
        remaining = without_validated(request, validation, [domain.scope for domain in domains.open])
        if self._settings.check_recipients:
            check_recipients(remaining.recipients, validation, contacts)
        parts = self._listed(domains.parts(remaining), invocation.deadline)
        run = self.run(parts, validation, invocation, self._guard)
        if (error := run.error) is not None:
            raise _not_to_be_forced_again(error) if request.force and run.has_sent else error
        return _result(remaining, run)

    def run(
        self,
        parts: "Sequence[ResendRequest]",
        validation: "OrderStatus",
        invocation: "Invocation",
        guard: "SendGuard",
    ) -> DomainRun:
        """Send the parts. An error of order scope concerns one domain only; one of account scope ends the run.

        Raises neither: `DomainRun` has them, and their messages then say what became of each domain.
        """
        outcomes: list[DomainOutcome] = []
        for index, part in enumerate(parts):
            try:
                require_time(invocation.deadline, self._clock())
                outcome = DomainOutcome(part, result=self._send(part, validation, invocation, guard))
            except ResendError as error:
                outcome = DomainOutcome(part, error=error)
                if error.scope == "account":
                    invocation.on_domain(part, error)
                    return DomainRun(tuple(outcomes), error, tuple(parts[index:])).explained()
            outcomes.append(outcome)
            of_part = outcome.result.request if outcome.result is not None else part
            invocation.on_domain(of_part, outcome.error or outcome.name)
        return DomainRun(tuple(outcomes)).explained()

    def remind(
        self,
        record: "SendRecord",
        attempt: "Attempt",
        domains: OrderDomains,
        validation: "OrderStatus",
        invocation: "Invocation",
    ) -> ReminderResult:
        """Send about each domain that waits for an email, unless somebody was mailed about it lately.

        The mark of the reminder is in the ``record`` of the order. Safe to repeat, however late. Raises as
        `Resender.remind`.
        """
        # As after any other email, a reminder about a domain helps nobody for so long.
        quiet_seconds = max(self._settings.cool_down_seconds, REMINDER_QUIET_SECONDS)
        if attempt.reminder in record.attempted_reminders():
            # It runs again. A reminder is due for two days: nobody is mailed who was mailed the first time, and who may
            # have been is reported.
            quiet_seconds = max(quiet_seconds, KEPT_SECONDS)
        quiet = self._guard.with_cool_down(quiet_seconds)
        parts = domains.parts(ResendRequest(domains.order_id))
        answer = self._guard.remind_by_domain(
            record, attempt, lambda: self.run(parts, validation, invocation, quiet), invocation.on_unknown
        )
        if isinstance(answer, NoReminder):
            return ReminderResult(domains.order_id, answer.outcome)
        return ReminderResult(domains.order_id, "sent" if answer.has_sent else "already_mailed")

    def _listed(self, parts: "Sequence[ResendRequest]", deadline: float) -> "Sequence[ResendRequest]":
        """Return the parts, after a look at the list of each domain at which recipients are named."""
        if not any(part.recipients for part in parts):
            return parts
        return check_listed((part, self._list_of(part.domain, deadline)) for part in parts if part.domain is not None)

    def _list_of(self, domain: "Domain", deadline: float) -> "DomainEmails":
        try:
            return self._certcentral.get_domain_emails(domain.domain_id, deadline)
        except ResendError as error:
            error.message = f"The addresses of {domain.scope} could not be listed, so nothing was sent: {error.message}"
            raise


def _not_to_be_forced_again(error: ResendError) -> ResendError:
    """Return the error of a forced call that was sent about some domains: none that invites to repeat it.

    A repeat of a forced call has an id of its own, so it would mail the same people again. Clients and workflows repeat
    a call by the class of its error, or by ``Retry-After``.
    """
    if not error.retryable:
        return error
    return OutcomeUnknown(
        f"{error.message} Do not repeat the forced call: it would mail again about the domains that were sent. Repeat "
        "it without force, or force it for recipients at the other domains only.",
        upstream_status=error.upstream_status,
        upstream_errors=error.upstream_errors,
    )


def _result(request: ResendRequest, run: DomainRun) -> ResendResult:
    """Return the result of a request whose every domain is mailed, now or before."""
    results = [each.result for each in run.outcomes if each.result is not None]
    sent = [result for result in results if result.outcome == "sent"]
    return ResendResult(
        joined(request, ((result.request, result.outcome) for result in results)),
        "sent" if sent else "duplicate",
        sent_at=max(result.sent_at for result in sent or results),
        until=min(result.until for result in results),
        earlier=tuple(each for result in results for each in result.earlier),
        perhaps=tuple(each for result in results for each in result.perhaps),
        domains=tuple((result.request.domain, result.outcome) for result in results if result.request.domain),
    )
