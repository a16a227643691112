"""The use case of a dry run: what a resend would do now, and why an email may not help. Sends nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from dv_resend.core.addresses import authorization_domains, constructed_addresses, without_wildcard
from dv_resend.core.advice import advise
from dv_resend.core.eligibility import check_eligible, without_validated
from dv_resend.core.plan import NameReport, ResendPlan
from dv_resend.core.recipients import MAX_SHOWN, Contacts, check_recipients, domains_to_look_up
from dv_resend.errors import OrderNotEligible, RecipientNotAllowed, RecipientUnverified, SendingPaused

if TYPE_CHECKING:
    from dv_resend.config import Config
    from dv_resend.core.claims import Claim
    from dv_resend.core.orders import Order, OrderStatus
    from dv_resend.core.ports import CertCentral, Claims, ContactLookup
    from dv_resend.core.requests import Invocation, Recipient, ResendRequest


class DryRun:
    """Plans resends. Takes what `Resender` takes.

    Example:
        ``DryRun(certcentral, claims, contacts, settings, time.time).plan(request, invocation)``
    """

    def __init__(
        self,
        certcentral: "CertCentral",
        claims: "Claims",
        contacts: "Callable[[], ContactLookup]",
        settings: "Config",
        clock: Callable[[], float],
    ) -> None:
        """Keep what is needed; nothing is called yet."""
        self._certcentral = certcentral
        self._claims = claims
        self._contacts = contacts
        self._settings = settings
        self._clock = clock

    def plan(self, request: "ResendRequest", invocation: "Invocation") -> ResendPlan:
        """Find out what a resend would do, and everything that would keep an email from helping. Safe to repeat.

        If a resend would refuse the order or its recipients, the plan says so. All other errors of `CertCentral` and
        `Claims` are raised.
        """
        validation = self._certcentral.get_order_status(request.order_id, invocation.deadline)
        order = self._certcentral.get_order(request.order_id, invocation.deadline).with_method_of(validation)
        validation = validation.with_names_of(order)
        plan = self._without_advice(request, invocation, order, validation)
        return replace(plan, advice=tuple(advise(plan)))

    def _without_advice(
        self, request: "ResendRequest", invocation: "Invocation", order: "Order", validation: "OrderStatus"
    ) -> ResendPlan:
        names = _names(validation)
        paused = not self._settings.sending
        try:
            check_eligible(order)
            remaining = without_validated(request, validation)
        except OrderNotEligible as reason:
            error = type(reason).__name__
            return ResendPlan(request, order, tuple(names), self._clock(), error, reason, paused=paused)

        lookup = self._contacts()
        # The recipients' domains go first: there may be too many names to ask about all of them in time.
        on_order = [recipient for recipient in remaining.recipients if validation.has(recipient.domain)]
        domains = [
            *domains_to_look_up(on_order, validation),
            *(without_wildcard(name.name) for name in names if name.needs_email),
        ]
        contacts = lookup.contacts(domains)
        objection = _objection(remaining.recipients, validation, contacts)
        refusal = objection if self._settings.check_recipients else None
        reports = _report(remaining if refusal is None else None, names, contacts, lookup)
        now = self._clock()
        would_be, blocked_until = _repeat(remaining, self._claims.read(remaining.claim_key), invocation, now)
        if refusal is not None:
            would_be, blocked_until = type(refusal).__name__, None
        elif paused and would_be == "sent":
            would_be = SendingPaused.__name__
        return ResendPlan(
            remaining,
            order,
            reports,
            now,
            would_be,
            refusal,
            unenforced_refusal=None if self._settings.check_recipients else objection,
            blocked_until=blocked_until,
            paused=paused,
        )


def _names(validation: "OrderStatus") -> list[NameReport]:
    """Return the names of the order, as far as CertCentral lists them."""
    return [
        NameReport(
            name, domain.status, domain.validated if name == "unknown" else validation.validated(name), domain.scope
        )
        for domain in validation.domains
        for name in domain.known_names or ("unknown",)
    ]


def _report(
    request: "ResendRequest | None",
    names: list[NameReport],
    contacts: Mapping[str, Contacts],
    lookup: "ContactLookup",
) -> tuple[NameReport, ...]:
    """Add who may be mailed about each name, and who would be; without a ``request``, nobody would."""
    recipients_at: dict[str, list[int]] = {}
    for position, recipient in enumerate(request.recipients if request is not None else ()):
        recipients_at.setdefault(without_wildcard(recipient.domain), []).append(position)
    reports = [
        replace(
            name,
            accepted=_accepted(name.name, contacts[without_wildcard(name.name)]),
            mailed=() if request is None else _mailed(request, name, recipients_at),
            contacts_known=contacts[without_wildcard(name.name)].failure is None,
        )
        if name.needs_email
        else name
        for name in names
    ]
    has_mx = lookup.has_mx(host for report in reports for host in report.hosts)
    return tuple(replace(report, has_mx={host: has_mx[host] for host in report.hosts}) for report in reports)


def _accepted(name: str, contacts: Contacts) -> tuple[str, ...]:
    domains = authorization_domains(name)
    # A name may have a hundred parents. The addresses that exist are at the name itself or near the registrable domain.
    del domains[1:-MAX_SHOWN]
    addresses = [address for domain in domains for address in constructed_addresses(domain)]
    return tuple(dict.fromkeys([*addresses, *contacts.addresses[:MAX_SHOWN]]))


def _mailed(
    request: "ResendRequest", name: NameReport, recipients_at: Mapping[str, list[int]]
) -> Literal["default"] | tuple[str, ...]:
    """Return who would be mailed about a name, or about the scope at which it is validated."""
    if not request.recipients:
        return "default"
    domains = (without_wildcard(name.name), without_wildcard(name.scope))
    positions = sorted({position for domain in domains for position in recipients_at.get(domain, ())})
    return tuple(request.recipients[position].email for position in positions)


def _objection(
    recipients: "Sequence[Recipient]", validation: "OrderStatus", contacts: Mapping[str, Contacts]
) -> RecipientNotAllowed | RecipientUnverified | None:
    try:
        check_recipients(recipients, validation, contacts)
    except (RecipientNotAllowed, RecipientUnverified) as objection:
        return objection
    return None


def _repeat(
    request: "ResendRequest", claim: "Claim | None", invocation: "Invocation", now: float
) -> tuple[str, int | None]:
    """Return what a resend would come to as far as earlier ones matter, and until when they do."""
    state = "expired" if claim is None else claim.state(now)
    if claim is None or state == "expired":
        return "sent", None
    if state == "sending":
        return "ResendInProgress", claim.deadline
    if request.force and invocation.delivery_id not in claim.forced_by:
        return "sent", None
    return "duplicate" if state == "sent" else "OutcomeUnknown", claim.expiration
