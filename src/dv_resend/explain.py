"""The use case of a dry run: what a resend would do now, and why an email may not help."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from dv_resend.advice import EMAIL_VALIDATION_ENDS, LINK_DAYS, advise
from dv_resend.eligibility import check_eligible, without_validated
from dv_resend.errors import OrderNotEligible, RecipientNotAllowed, RecipientUnverified, SendingPaused
from dv_resend.models import Claim, Order, OrderStatus, Recipient, ResendRequest, bare, utc
from dv_resend.recipients import MAX_SHOWN, Contacts, authorization_names, check, constructed, places_to_look_up

if TYPE_CHECKING:
    from dv_resend.certcentral import CertCentral
    from dv_resend.claims import Claims
    from dv_resend.dns_lookup import DnsLookup
    from dv_resend.resend import Invocation

# A step of a workflow takes 256 KiB. What is left out is validated, or more of the same.
MAX_NAMES = 50

type Refusal = OrderNotEligible | RecipientNotAllowed | RecipientUnverified


@dataclass(frozen=True)
class NameReport:
    """What is known of one name of the order: who may be mailed about it, who would be, and whose host takes mail.

    ``accepted`` stands by the name itself first; an address at a parent needs that parent as its ``email_domain``.
    ``mailed`` is ``"default"`` when nobody was named: then DigiCert chooses, at the name or at the ``scope`` of its
    validation. ``takes_mail`` is by host; ``None`` means that DNS did not tell, as ``contacts_known`` does of contacts.
    """

    name: str
    status: str
    validated: bool = False
    scope: str = ""
    accepted: tuple[str, ...] = ()
    mailed: Literal["default"] | tuple[str, ...] = ()
    takes_mail: Mapping[str, bool | None] = field(default_factory=dict)
    contacts_known: bool = True

    @property
    def waits(self) -> bool:
        """Whether an email about it could help. An entry of CertCentral's that was not readable has no such name."""
        return not self.validated and "." in self.name

    @property
    def hosts(self) -> list[str]:
        """The hosts of all its mailboxes."""
        addresses = self.accepted if self.mailed == "default" else self.accepted + self.mailed
        return list(dict.fromkeys(address.rpartition("@")[2] for address in addresses))

    def to_json(self) -> dict[str, object]:
        """Give what a dry run answers of this name."""
        return {
            "name": self.name,
            "status": self.status,
            "accepted": list(self.accepted),
            "mailed": self.mailed if self.mailed == "default" else list(self.mailed),
            "mx": dict(self.takes_mail),
        }


@dataclass(frozen=True)
class ResendPlan:
    """What a dry run found: the call that would be made, or what would keep it from being made, and until when.

    ``would_be`` is the outcome, or the name of the error, ``refusal`` the error itself; ``doubt`` is what the check of
    recipients would say were it not switched off. ``paused`` says that sending is. ``at`` is when it was found,
    ``until`` when a repeat may send again, both in seconds since the epoch.
    """

    request: ResendRequest
    order: Order
    names: tuple[NameReport, ...]
    at: float
    would_be: str
    refusal: Refusal | None = None
    doubt: Refusal | None = None
    until: int | None = None
    paused: bool = False
    outcome: Literal["planned"] = "planned"

    @property
    def age_days(self) -> int | None:
        """The age of the request that waits for validation: of the order, or of its newest reissue."""
        return None if self.order.anchor is None else int((self.at - self.order.anchor.timestamp()) // 86400)

    @property
    def links_expire(self) -> date | None:
        """When the links of the first emails expire; whether a resend renews them is not documented."""
        return None if self.order.anchor is None else self.order.anchor.astimezone(UTC).date() + timedelta(LINK_DAYS)

    def to_json(self) -> dict[str, object]:
        """Give the plan as direct callers and HTTP dry runs get it."""
        anchor = self.order.anchor
        plan: dict[str, object] = {
            "order_id": self.request.order_id,
            "outcome": self.outcome,
            "would_be": self.would_be,
            "advice": advise(self),
            "order": {
                "status": self.order.status,
                "kind": self.order.product_type,
                "dcv_method": self.order.dcv_method,
                "waiting_since": utc(anchor.timestamp()) if anchor else None,
                "age_days": self.age_days,
                "links_expire": self.links_expire.isoformat() if self.links_expire else None,
            },
            "names": [name.to_json() for name in sorted(self.names, key=attrgetter("validated"))[:MAX_NAMES]],
            "email_validation_ends": EMAIL_VALIDATION_ENDS.isoformat(),
            "recipients": self.request.addresses,
        }
        if len(self.names) > MAX_NAMES:
            plan["more_names"] = len(self.names) - MAX_NAMES
        if self.refusal is None:
            plan["upstream_body"] = self.request.upstream_body
        else:
            plan["code"] = self.refusal.code
        if self.until is not None:
            plan["until"] = utc(self.until)
        if self.paused:
            plan["paused"] = True
        return plan


def explain(
    request: ResendRequest,
    invocation: "Invocation",
    *,
    certcentral: "CertCentral",
    claims: "Claims",
    dns: Callable[[], "DnsLookup"],
    check_recipients: bool,
    sending: bool,
    clock: Callable[[], float] = time.time,
) -> ResendPlan:
    """Find out what `resend` would do, and everything that would keep an email from helping. Sends nothing.

    Why `resend` would refuse the order or its recipients is part of the answer, not raised; all other errors of
    `CertCentral` and `Claims` are. Safe to repeat.
    """
    validation = certcentral.get_order_status(request.order_id, invocation.ends_at)
    order = certcentral.get_order(request.order_id, invocation.ends_at)
    validation = validation.completed(order)
    names = _names(validation)
    try:
        check_eligible(order)
        left = without_validated(request, validation)
    except OrderNotEligible as reason:
        return ResendPlan(request, order, tuple(names), clock(), type(reason).__name__, reason, paused=not sending)

    lookup = dns()
    # First those that decide: there may be too many to ask about all.
    on_order = [each for each in left.recipients if validation.has(each.domain)]
    places = [*places_to_look_up(on_order, validation), *(bare(name.name) for name in names if name.waits)]
    contacts = lookup.contacts(places)
    objection = _objection(left.recipients, validation, contacts)
    refusal = objection if check_recipients else None
    reports = _report(left if refusal is None else None, names, contacts, lookup)
    now = clock()
    would_be, until = _repeat(left, claims.read(left.claim_key), invocation, now)
    if refusal is not None:
        would_be, until = type(refusal).__name__, None
    elif not sending and would_be == "sent":
        would_be = SendingPaused.__name__
    doubt = None if check_recipients else objection
    return ResendPlan(left, order, reports, now, would_be, refusal, doubt, until, paused=not sending)


def _names(validation: OrderStatus) -> list[NameReport]:
    """List the names of the order, as far as it is told."""
    return [
        NameReport(
            name, domain.status, domain.validated if name == "unknown" else validation.validated(name), domain.scope
        )
        for domain in validation.domains
        for name in domain.all_names or ("unknown",)
    ]


def _report(
    request: ResendRequest | None, names: list[NameReport], contacts: Mapping[str, Contacts], lookup: "DnsLookup"
) -> tuple[NameReport, ...]:
    """Say who may be mailed about each name, and who would be; without a ``request``, nobody."""
    reports = [
        replace(
            name,
            accepted=_accepted(name.name, contacts[bare(name.name)]),
            mailed=() if request is None else _mailed(request, name),
            contacts_known=contacts[bare(name.name)].failure is None,
        )
        if name.waits
        else name
        for name in names
    ]
    takes_mail = lookup.take_mail(host for report in reports for host in report.hosts)
    return tuple(replace(report, takes_mail={host: takes_mail[host] for host in report.hosts}) for report in reports)


def _accepted(name: str, contacts: Contacts) -> tuple[str, ...]:
    addresses = [address for place in authorization_names(name) for address in constructed(place)]
    return tuple(dict.fromkeys([*addresses, *contacts.addresses[:MAX_SHOWN]]))


def _mailed(request: ResendRequest, name: NameReport) -> Literal["default"] | tuple[str, ...]:
    """List who would be mailed about a name, or about the scope at which it is validated."""
    if not request.recipients:
        return "default"
    places = {bare(name.name), bare(name.scope)}
    return tuple(recipient.email for recipient in request.recipients if bare(recipient.domain) in places)


def _objection(
    recipients: Sequence[Recipient], validation: OrderStatus, contacts: Mapping[str, Contacts]
) -> RecipientNotAllowed | RecipientUnverified | None:
    try:
        check(recipients, validation, contacts)
    except (RecipientNotAllowed, RecipientUnverified) as objection:
        return objection
    return None


def _repeat(
    request: ResendRequest, claim: Claim | None, invocation: "Invocation", now: float
) -> tuple[str, int | None]:
    """Say what a resend would come to, as far as earlier ones matter, and until when."""
    state = "expired" if claim is None else claim.state(now)
    if claim is None or state == "expired":
        return "sent", None
    if state == "sending":
        return "ResendInProgress", claim.deadline
    if request.force and invocation.delivery_id not in claim.forced_by:
        return "sent", None
    return "duplicate" if state == "sent" else "OutcomeUnknown", claim.expiration
