"""The use case of a dry run for orders that are not DV: what a resend would do about each domain. Sends nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dv_resend.core.addresses import without_wildcard
from dv_resend.core.domain_outcomes import require_time
from dv_resend.core.domains import OrderDomains, check_listed, joined
from dv_resend.core.dry_run import Repeat, find_repeat, names_of, objection_to, report_names
from dv_resend.core.eligibility import check_waiting, without_validated
from dv_resend.core.plan import DomainReport, NameReport, ResendPlan
from dv_resend.core.recipients import domains_to_look_up
from dv_resend.errors import (
    InvalidRequest,
    OrderNotEligible,
    OutcomeUnknown,
    RecipientNotAllowed,
    RecipientUnverified,
    ResendError,
    ResendInProgress,
    SendingPaused,
)

if TYPE_CHECKING:
    from dv_resend.config import Config
    from dv_resend.core.claim_and_send import SendGuard
    from dv_resend.core.orders import Domain, DomainEmails, Order, OrderStatus
    from dv_resend.core.plan import Refusal
    from dv_resend.core.ports import CertCentral, ContactLookup
    from dv_resend.core.requests import Invocation, ResendRequest

# Each list of addresses takes a call. Those of further domains are asked for only if recipients are named there.
MAX_LISTS = 20

# What a call ends with if its domains have several outcomes (`DomainRun.error`).
_OUTCOMES = (OutcomeUnknown.__name__, ResendInProgress.__name__, InvalidRequest.__name__, "sent", "duplicate")


class DomainDryRun:
    """Plans resends by domain, with what `Resender` has.

    Example:
        ``DomainDryRun(certcentral, guard, contacts, settings, time.time).plan(request, order, validation, invocation)``
    """

    def __init__(
        self,
        certcentral: "CertCentral",
        guard: "SendGuard",
        contacts: "Callable[[], ContactLookup]",
        settings: "Config",
        clock: Callable[[], float],
    ) -> None:
        """Keep what is needed; nothing is called yet."""
        self._certcentral = certcentral
        self._guard = guard
        self._contacts = contacts
        self._settings = settings
        self._clock = clock

    def plan(
        self, request: "ResendRequest", order: "Order", validation: "OrderStatus", invocation: "Invocation"
    ) -> ResendPlan:
        """Find out what a resend would do about each domain; without advice.

        If a resend would refuse the order or its recipients, the plan says so. All other errors of `CertCentral` and
        `SendRecords` are raised.
        """
        listed = validation.with_names_of(order)
        paused, domains, names = not self._settings.sending, None, names_of(listed)
        try:
            check_waiting(order)
            domains = OrderDomains(order, validation)
            names = [_with_domain(name, domains) for name in names]
            domains.check_open()
            remaining = without_validated(request, listed, [domain.scope for domain in domains.open])
        except (OrderNotEligible, RecipientUnverified) as reason:
            plan = ResendPlan(request, order, tuple(names), self._clock(), type(reason).__name__, reason, paused=paused)
            if domains is None:
                return replace(plan, domains=())
            return replace(
                plan,
                domains=_of_domains(domains, _Planned(request, {}, reason)),
                organization_advice=domains.organization_advice,
            )

        lookup = self._contacts()
        on_order = [recipient for recipient in remaining.recipients if listed.has(recipient.domain)]
        contacts = lookup.contacts(
            [
                *domains_to_look_up(on_order, listed),
                *(without_wildcard(name.name) for name in names if name.needs_email),
            ]
        )
        objection = objection_to(remaining.recipients, listed, contacts)
        refusal = objection if self._settings.check_recipients else None
        lists = _Lists(self._certcentral, invocation.deadline)
        planned = self._planned(remaining, domains, listed, lists, refusal, invocation)
        lists.ask(domains.open[:MAX_LISTS])
        would_be, blocked_until = planned.outcome
        if paused and would_be == "sent":
            would_be = SendingPaused.__name__
        reports = report_names(planned.all_mailed, names, contacts, lookup, _accepts(domains, lists.found))
        return ResendPlan(
            planned.request,
            order,
            reports,
            self._clock(),
            would_be,
            planned.refusal,
            unenforced_refusal=None if self._settings.check_recipients else objection,
            blocked_until=blocked_until,
            perhaps_mailed=any(repeat.perhaps_mailed for repeat in planned.repeats.values()),
            paused=paused,
            domains=_of_domains(domains, planned),
            organization_advice=domains.organization_advice,
        )

    def _planned(
        self,
        request: "ResendRequest",
        domains: OrderDomains,
        listed: "OrderStatus",
        lists: "_Lists",
        refusal: "Refusal | None",
        invocation: "Invocation",
    ) -> "_Planned":
        """Return what a resend would do about each domain, as far as it goes."""
        if refusal is not None:
            return _Planned(request, {}, refusal)
        try:
            parts = domains.parts(request)
            if request.recipients:
                parts = check_listed((part, lists.of(part.domain)) for part in parts if part.domain is not None)
        except (RecipientNotAllowed, RecipientUnverified) as reason:
            return _Planned(request, {}, reason)
        repeats = {}
        for part in parts:
            require_time(invocation.deadline, self._clock())
            if part.domain is not None:
                repeats[part.domain] = find_repeat(self._guard, part, listed, invocation)
        return _Planned(joined(request, ((each.request, each.would_be) for each in repeats.values())), repeats)


class _Planned(NamedTuple):
    """What a resend would do: whom it would mail, what becomes of each domain, or why the request is refused."""

    request: "ResendRequest"
    repeats: "dict[Domain, Repeat]"
    refusal: "Refusal | None" = None

    @property
    def all_mailed(self) -> "ResendRequest | None":
        """The request to all who are mailed now, or once nothing blocks their domain; ``None`` if it is refused."""
        if self.refusal is not None:
            return None
        recipients = tuple(each for repeat in self.repeats.values() for each in repeat.request.recipients)
        return replace(self.request, recipients=recipients)

    @property
    def outcome(self) -> tuple[str, int | None]:
        """What the call ends with, and until when it would."""
        if self.refusal is not None:
            return type(self.refusal).__name__, None
        found = [repeat.would_be for repeat in self.repeats.values()]
        would_be = min(found, key=_OUTCOMES.index)
        until = [each.blocked_until for each in self.repeats.values() if each.would_be == would_be]
        if would_be == ResendInProgress.__name__ and self.request.force and "sent" in found:
            would_be = OutcomeUnknown.__name__  # a forced call that was sent in part is not to be repeated
        return would_be, min((at for at in until if at is not None), default=None)


class _Lists:
    """The addresses that CertCentral lists for domains, each asked for once. ``None``: it refuses to tell."""

    def __init__(self, certcentral: "CertCentral", deadline: float) -> None:
        self.found: dict[Domain, DomainEmails | None] = {}
        self._certcentral = certcentral
        self._deadline = deadline

    def of(self, domain: "Domain") -> "DomainEmails":
        """Return the list of a domain at which recipients are named. Raises the errors of `CertCentral`."""
        emails = self._certcentral.get_domain_emails(domain.domain_id, self._deadline)
        self.found[domain] = emails
        return emails

    def ask(self, domains: "Sequence[Domain]") -> None:
        """Ask for the lists that are not known yet. A resend does not need them, so a refusal concerns nobody."""
        for domain in domains:
            if domain in self.found:
                continue
            try:
                self.of(domain)
            except ResendError as error:
                if error.scope == "account":
                    raise
                self.found[domain] = None


def _with_domain(name: NameReport, domains: OrderDomains) -> NameReport:
    status = domains.of_name(name.name)
    if status is None:
        return replace(name, by_email=False)
    return replace(name, by_email=status.state == "open", domain=status.scope)


def _accepts(domains: OrderDomains, lists: "Mapping[Domain, DomainEmails | None]") -> Callable[[NameReport, str], bool]:
    """Return whether a resend may name an address about a name: only if CertCentral lists it for the same scope."""

    def accepts(name: NameReport, address: str) -> bool:
        status = domains.of_name(name.name)
        if status is None or status.state != "open" or (emails := lists.get(status.domain)) is None:
            return False
        return emails.is_about(status.scope) and emails.spelling_of(address) is not None

    return accepts


def _of_domains(domains: OrderDomains, planned: _Planned) -> tuple[DomainReport, ...]:
    """Return the reports, those of open domains first."""
    reports = []
    for status in domains.all:
        if status.state != "open":
            reports.append(DomainReport(status.domain_id, status.scope, status.state))
        elif planned.refusal is not None:
            reports.append(DomainReport(status.domain_id, status.scope, type(planned.refusal).__name__))
        elif (repeat := planned.repeats.get(status.domain)) is None:
            reports.append(DomainReport(status.domain_id, status.scope, "not_named"))
        else:
            body = repeat.request.upstream_body if repeat.would_be == "sent" else None
            report = DomainReport(status.domain_id, status.scope, repeat.would_be, repeat.blocked_until, body)
            reports.append(report)
    return tuple(sorted(reports, key=lambda report: report.outcome in ("validated", "not_email_dcv")))
