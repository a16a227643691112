"""The use case of a dry run: what a resend would do now, and why an email may not help. Sends nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from dv_resend.core.addresses import (
    MAX_EMAIL,
    authorization_domains,
    constructed_addresses,
    parse_domain,
    without_wildcard,
)
from dv_resend.core.eligibility import check_eligible, without_validated
from dv_resend.core.orders import NameStatus, OrderStatus
from dv_resend.core.people import attempt_of, narrowed, people_of
from dv_resend.core.plan import NameReport, ResendPlan
from dv_resend.core.recipients import MAX_SHOWN, Contacts, check_recipients, domains_to_look_up, judge
from dv_resend.core.requests import Recipient
from dv_resend.core.send_record import Duplicate, InProgress, Send, Unknown
from dv_resend.errors import InvalidRequest, OrderNotEligible, RecipientNotAllowed, RecipientUnverified, SendingPaused

if TYPE_CHECKING:
    from dv_resend.config import Config
    from dv_resend.core.claim_and_send import SendGuard
    from dv_resend.core.orders import Order
    from dv_resend.core.ports import ContactLookup
    from dv_resend.core.requests import Invocation, ResendRequest


class DryRun:
    """Plans resends, with what `Resender` has.

    Example:
        ``DryRun(guard, contacts, settings, time.time).plan(request, order, validation, invocation)``
    """

    def __init__(
        self,
        guard: "SendGuard",
        contacts: "Callable[[], ContactLookup]",
        settings: "Config",
        clock: Callable[[], float],
    ) -> None:
        """Keep what is needed; nothing is called yet."""
        self._guard = guard
        self._contacts = contacts
        self._settings = settings
        self._clock = clock

    def plan(
        self, request: "ResendRequest", order: "Order", validation: OrderStatus, invocation: "Invocation"
    ) -> ResendPlan:
        """Find out what a resend would do about an ``order``, whose ``validation`` has all its names; without advice.

        If a resend would refuse the order or its recipients, the plan says so. All other errors of `SendRecords` are
        raised.
        """
        names = names_of(validation)
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
        objection = objection_to(remaining.recipients, validation, contacts)
        refusal = objection if self._settings.check_recipients else None
        repeat = find_repeat(self._guard, remaining, validation, invocation)
        would_be, blocked_until = repeat.would_be, repeat.blocked_until
        reports = report_names(repeat.request if refusal is None else None, names, contacts, lookup)
        if refusal is not None:
            would_be, blocked_until = type(refusal).__name__, None
        elif paused and would_be == "sent":
            would_be = SendingPaused.__name__
        return ResendPlan(
            repeat.request,
            order,
            reports,
            self._clock(),
            would_be,
            refusal,
            unenforced_refusal=None if self._settings.check_recipients else objection,
            blocked_until=blocked_until,
            perhaps_mailed=repeat.perhaps_mailed,
            paused=paused,
        )


class Repeat(NamedTuple):
    """Whom a resend would mail as far as earlier ones matter, and what it would come to.

    ``blocked_until`` is in seconds since the epoch. ``perhaps_mailed`` is as in `ResendPlan`.

    Example:
        >>> from dv_resend.core.requests import ResendRequest
        >>> Repeat(ResendRequest(7), "sent").blocked_until is None
        True
    """

    request: "ResendRequest"
    would_be: str
    blocked_until: int | None = None
    perhaps_mailed: bool = False


def find_repeat(
    guard: "SendGuard", request: "ResendRequest", validation: OrderStatus, invocation: "Invocation"
) -> Repeat:
    """Find out what a resend would come to as far as earlier ones matter."""
    people = people_of(request.recipients, validation, request.domain)
    attempt = attempt_of(request, people, invocation, owner="a dry run")
    match guard.decide(guard.load_record(request.record_id), attempt):
        case Send(people=mail, skipped=skip):
            return Repeat(narrowed(request, people, mail, skip), "sent")
        case Duplicate(until=until, perhaps=perhaps):
            return Repeat(request, "duplicate", until, bool(perhaps))
        case Unknown(until=until):
            return Repeat(request, "OutcomeUnknown", until)
        case InProgress(until=until):
            return Repeat(request, "ResendInProgress", until)
        case _:  # too many people
            return Repeat(request, InvalidRequest.__name__)


def names_of(validation: OrderStatus) -> list[NameReport]:
    """Return the names of an order, as far as CertCentral lists them."""
    return [
        NameReport(
            name, domain.status, domain.validated if name == "unknown" else validation.validated(name), domain.scope
        )
        for domain in validation.domains
        for name in domain.known_names or ("unknown",)
    ]


def report_names(
    request: "ResendRequest | None",
    names: list[NameReport],
    contacts: Mapping[str, Contacts],
    lookup: "ContactLookup",
    accepts: Callable[[NameReport, str], bool] = lambda _name, _address: True,
) -> tuple[NameReport, ...]:
    """Add who may be mailed about each name, and who would be; without a ``request``, nobody would.

    Of the addresses that may be mailed, those are left out that CertCentral does not accept about the name
    (``accepts``).
    """
    recipients_at: dict[str, list[int]] = {}
    for position, recipient in enumerate(request.recipients if request is not None else ()):
        recipients_at.setdefault(without_wildcard(recipient.domain), []).append(position)
    reports = [
        _report_name(request, name, recipients_at, contacts[without_wildcard(name.name)], accepts)
        if name.needs_email
        else name
        for name in names
    ]
    has_mx = lookup.has_mx(host for report in reports for host in report.hosts)
    return tuple(replace(report, has_mx={host: has_mx[host] for host in report.hosts}) for report in reports)


def _accepted(name: str, contacts: Contacts) -> list[Recipient]:
    """Return who may be mailed about a name of the order: a resend accepts each exactly so, with ``email_domain``."""
    try:
        parse_domain(name, "name", wildcard=True)
    except InvalidRequest:
        return []  # no request can name it
    domain, *parents = authorization_domains(name)
    # A name may have a hundred parents. The addresses that exist are at the name itself or near the registrable domain.
    parents = parents[-MAX_SHOWN:]
    addresses = dict.fromkeys([*constructed_addresses(domain), *contacts.addresses[:MAX_SHOWN]])
    recipients = [
        *(Recipient(name, address) for address in addresses),
        *(Recipient(name, address, parent) for parent in parents for address in constructed_addresses(parent)),
    ]
    # One name is enough to judge these, and asking a whole order each time would take long.
    order = OrderStatus(0, None, None, (NameStatus("", "", (name,)),))
    return [
        recipient
        for recipient in recipients
        if len(recipient.email) <= MAX_EMAIL and judge(recipient, order, {domain: contacts}).is_allowed
    ]


def _report_name(
    request: "ResendRequest | None",
    name: NameReport,
    recipients_at: Mapping[str, list[int]],
    contacts: Contacts,
    accepts: Callable[[NameReport, str], bool],
) -> NameReport:
    accepted = [each for each in _accepted(name.name, contacts) if accepts(name, each.email)]
    return replace(
        name,
        accepted=tuple(each.email for each in accepted if each.email_domain is None),
        accepted_at_parents=tuple((each.email, each.email_domain) for each in accepted if each.email_domain),
        mailed=() if request is None else _mailed(request, name, recipients_at),
        contacts_known=contacts.failure is None,
    )


def _mailed(
    request: "ResendRequest", name: NameReport, recipients_at: Mapping[str, list[int]]
) -> Literal["default"] | tuple[str, ...]:
    """Return who would be mailed about a name, or about the scope at which it is validated."""
    if not request.recipients:
        return "default"
    domains = (without_wildcard(name.name), without_wildcard(name.scope))
    positions = sorted({position for domain in domains for position in recipients_at.get(domain, ())})
    return tuple(request.recipients[position].email for position in positions)


def objection_to(
    recipients: Sequence[Recipient], validation: OrderStatus, contacts: Mapping[str, Contacts]
) -> RecipientNotAllowed | RecipientUnverified | None:
    """Return what `check_recipients` says against them, or ``None``."""
    try:
        check_recipients(recipients, validation, contacts)
    except (RecipientNotAllowed, RecipientUnverified) as objection:
        return objection
    return None
