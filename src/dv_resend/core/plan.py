"""What a dry run answers: the names of an order, and what a resend would do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from dv_resend.core.reminders import LINK_LIFE
from dv_resend.core.timestamps import utc

if TYPE_CHECKING:
    from dv_resend.core.orders import Order
    from dv_resend.core.requests import ResendRequest
    from dv_resend.errors import OrderNotEligible, RecipientNotAllowed, RecipientUnverified

# A step of a workflow accepts 256 KiB. The names that are left out are validated, or more of the same.
MAX_NAMES = 50
# From this day on, a CA must not rely on validation by email (ballot SC-090; BR 3.2.2.4.4, .13 and .14).
EMAIL_VALIDATION_ENDS = date(2028, 3, 15)

type Refusal = OrderNotEligible | RecipientNotAllowed | RecipientUnverified


@dataclass(frozen=True)
class NameReport:
    """What is known about one name of the order: who may be mailed about it, who would be, and which hosts accept mail.

    ``accepted`` lists addresses that may be named as they are, ``accepted_at_parents`` those that also need the given
    ``email_domain``.
    ``mailed`` is ``"default"`` if no recipients were named: DigiCert then chooses, at the name or at the ``scope`` of
    its validation. ``has_mx`` is by host; ``None`` means that DNS did not answer. ``contacts_known`` is false if DNS
    did not answer for the contacts. ``by_email`` is false if the name's domain is validated by another method.
    ``domain`` is the scope of the domain that validates it, if the order is not DV.

    Example:
        >>> NameReport("example.com", "pending", accepted=("admin@example.com",)).hosts
        ['example.com']
    """

    name: str
    status: str
    validated: bool = False
    scope: str = ""
    accepted: tuple[str, ...] = ()
    accepted_at_parents: tuple[tuple[str, str], ...] = ()
    mailed: Literal["default"] | tuple[str, ...] = ()
    has_mx: Mapping[str, bool | None] = field(default_factory=dict)
    contacts_known: bool = True
    by_email: bool = True
    domain: str | None = None

    @property
    def needs_email(self) -> bool:
        """Whether an email about this name could help. Entries that were unreadable have no such name."""
        return not self.validated and "." in self.name and self.by_email

    @property
    def hosts(self) -> list[str]:
        """The hosts of all its mailboxes."""
        addresses = [*self.accepted, *(address for address, _ in self.accepted_at_parents)]
        if self.mailed != "default":
            addresses += self.mailed
        return list(dict.fromkeys(address.rpartition("@")[2] for address in addresses))

    def to_json(self) -> dict[str, object]:
        """Return what a dry run answers about this name."""
        report: dict[str, object] = {
            "name": self.name,
            "status": self.status,
            "accepted": list(self.accepted),
            "accepted_at_parents": [
                {"email": address, "email_domain": domain} for address, domain in self.accepted_at_parents
            ],
            "mailed": self.mailed if self.mailed == "default" else list(self.mailed),
            "mx": dict(self.has_mx),
        }
        return report if self.domain is None else report | {"domain": self.domain}


@dataclass(frozen=True)
class DomainReport:
    """What a resend would do about one domain of an order that is not DV.

    ``outcome`` is that of a resend; the name of the error if it would be refused; ``validated`` or ``not_email_dcv`` if
    the domain does not wait for an email; ``not_named`` if it does, but all recipients are at other domains.
    ``blocked_until`` is in seconds since the epoch. ``upstream_body`` is the body of its PUT, if it would be sent.

    Example:
        >>> DomainReport(None, "example.com", "validated").to_json()
        {'name': 'example.com', 'id': None, 'outcome': 'validated'}
    """

    domain_id: int | None
    scope: str
    outcome: str
    blocked_until: int | None = None
    upstream_body: Mapping[str, object] | None = None

    def to_json(self) -> dict[str, object]:
        """Return what a dry run answers about this domain."""
        report: dict[str, object] = {"name": self.scope, "id": self.domain_id, "outcome": self.outcome}
        if self.blocked_until is not None:
            report["until"] = utc(self.blocked_until)
        if self.upstream_body is not None:
            report["upstream_body"] = dict(self.upstream_body)
        return report


@dataclass(frozen=True)
class ResendPlan:
    """What a dry run found: the call that a resend would make, or what prevents it and until when.

    ``would_be`` is the outcome, or the name of the error; ``refusal`` is that error if the order or a recipient is
    refused. ``unenforced_refusal`` is what the check of recipients would say if it were switched on. ``paused`` says
    that sending is switched off. ``at`` is the time of the dry run, ``blocked_until`` when a repeat may send again,
    both in seconds since the epoch. ``perhaps_mailed`` says of a duplicate that others may have been mailed: the
    default recipients while these are named, or the other way round. ``domains`` are those of an order that is not DV,
    each with a call of its own; ``organization_advice`` says what to do about its organization. ``advice`` are plain
    sentences, the most useful first.

    Example:
        >>> from dv_resend.core.orders import Order
        >>> from dv_resend.core.requests import ResendRequest
        >>> order = Order(7, "pending", "dv_ssl_certificate", "email")
        >>> ResendPlan(ResendRequest(7), order, names=(), at=0, would_be="sent").to_json()["upstream_body"]
        {}
    """

    request: "ResendRequest"
    order: "Order"
    names: tuple[NameReport, ...]
    at: float
    would_be: str
    refusal: "Refusal | None" = None
    unenforced_refusal: "Refusal | None" = None
    blocked_until: int | None = None
    perhaps_mailed: bool = False
    paused: bool = False
    domains: tuple[DomainReport, ...] | None = None
    organization_advice: str = ""
    advice: tuple[str, ...] = ()
    outcome: Literal["planned"] = "planned"

    @property
    def age_days(self) -> int | None:
        """The age of the request that waits for validation: of the order, or of its newest reissue."""
        since = self.order.waiting_since
        return None if since is None else int((self.at - since.timestamp()) // 86400)

    @property
    def links_expire(self) -> date | None:
        """When the links of the first emails expire. It is not documented whether a resend renews them."""
        since = self.order.waiting_since
        return None if since is None else since.astimezone(UTC).date() + LINK_LIFE

    def to_json(self) -> dict[str, object]:
        """Return the plan as direct callers and HTTP dry runs get it."""
        since = self.order.waiting_since
        plan: dict[str, object] = {
            "order_id": self.request.order_id,
            "outcome": self.outcome,
            "would_be": self.would_be,
            "advice": list(self.advice),
            "order": {
                "status": self.order.status,
                "kind": self.order.product_type,
                "dcv_method": self.order.dcv_method,
                "waiting_since": utc(since.timestamp()) if since else None,
                "age_days": self.age_days,
                "links_expire": self.links_expire.isoformat() if self.links_expire else None,
            },
            "names": [name.to_json() for name in sorted(self.names, key=attrgetter("validated"))[:MAX_NAMES]],
            "email_validation_ends": EMAIL_VALIDATION_ENDS.isoformat(),
            "recipients": self.request.addresses,
            "skipped": [skipped.to_json() for skipped in self.request.skipped],
        }
        if len(self.names) > MAX_NAMES:
            plan["more_names"] = len(self.names) - MAX_NAMES
        if self.domains is not None:
            plan["domains"] = [domain.to_json() for domain in self.domains[:MAX_NAMES]]
            if len(self.domains) > MAX_NAMES:
                plan["more_domains"] = len(self.domains) - MAX_NAMES
        elif self.refusal is None:
            plan["upstream_body"] = self.request.upstream_body
        if self.refusal is not None:
            plan["code"] = self.refusal.code
        if self.blocked_until is not None:
            plan["until"] = utc(self.blocked_until)
        if self.paused:
            plan["paused"] = True
        return plan
