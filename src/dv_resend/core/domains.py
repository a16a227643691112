"""The domains of an order that is not DV: which of them wait for an email, and who is mailed about each. Pure.

DigiCert sends such orders to its domain-level resend (resend-emails page). That call is about one name scope of one
domain of the account, so orders share domains, and a send record belongs to a domain and not to an order.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from dv_resend.core.addresses import is_domain_name, is_ip_address, mask_address, without_wildcard
from dv_resend.core.orders import Domain
from dv_resend.core.recipients import shortened
from dv_resend.core.requests import Skipped
from dv_resend.errors import OrderNotEligible, RecipientNotAllowed, RecipientUnverified

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dv_resend.core.orders import DomainEmails, NameStatus, Order, OrderStatus
    from dv_resend.core.requests import Recipient, ResendRequest

type State = Literal["open", "not_email_dcv", "validated"]

# What of several states tells most about a domain, or about a name that several domains cover.
_STATES: tuple[State, ...] = ("open", "not_email_dcv", "validated")


@dataclass(frozen=True)
class DomainStatus:
    """How far the validation of one domain of an order has come.

    ``open``: it waits for somebody to follow the link of an email. ``not_email_dcv``: it waits for another ``method``.
    ``domain_id`` is ``None`` only if it is not open. ``names`` are the names of the order that it covers.

    Example:
        >>> DomainStatus(1234, "example.com", "open", "email").names
        ()
    """

    domain_id: int | None
    scope: str
    state: State
    method: str
    names: tuple[str, ...] = ()

    @property
    def domain(self) -> Domain:
        """What a resend is about, if the domain is open. Raises `ValueError` if CertCentral gives it no id."""
        if self.domain_id is None:
            raise ValueError(f"{self.scope} has no id")
        return Domain(self.domain_id, self.scope)


class OrderDomains:
    """All domains of an order.

    Example:
        >>> from dv_resend.core.orders import NameStatus, Order, OrderStatus
        >>> entry = NameStatus("example.com", "pending", ("www.example.com",), domain_id=1234)
        >>> order = Order(7, "pending", "ssl_certificate", "email")
        >>> OrderDomains(order, OrderStatus(7, "pending", "email", (entry,))).open
        (Domain(domain_id=1234, scope='example.com'),)
    """

    def __init__(self, order: "Order", validation: "OrderStatus") -> None:
        """Read them from an order and its validation, as CertCentral lists it.

        Raises `OrderNotEligible` if there are none, and `RecipientUnverified` if CertCentral does not tell which domain
        an email would have to be about.
        """
        if not validation.domains and not order.names:
            raise OrderNotEligible(
                "not_email_dcv",
                f"Order {order.order_id} is of type {order.product_type}, and CertCentral lists no domains that an "
                "email could validate. Look at the order in CertCentral.",
            )
        self.order_id = order.order_id
        self.organization = tuple(status for status in validation.organization if status.casefold() != "approved")
        entries: dict[tuple[int | None, str], list[NameStatus]] = {}
        for entry in validation.domains:
            entries.setdefault((entry.domain_id, without_wildcard(entry.scope)), []).append(entry)
        self.all = tuple(_status(same, order.dcv_method) for same in entries.values())
        unclear = [
            status
            for status in self.all
            if status.state == "open" and (status.domain_id is None or not is_domain_name(status.scope))
        ]
        unlisted = [name for name in order.names if self.of_name(name) is None and not is_ip_address(name)]
        if unclear or unlisted:
            of_unclear = (name for status in unclear for name in (*status.names, status.scope) if name)
            names = list(dict.fromkeys([*of_unclear, *unlisted]))
            raise RecipientUnverified(
                f"CertCentral does not list the domain of every name of order {self.order_id} "
                f"({shortened(names) or 'some without a name'}), so nobody knows whom to mail. Nothing was sent. Try "
                "again later, or look at the order in CertCentral."
            )
        scopes = Counter(without_wildcard(domain.scope) for domain in self.open)
        if several := [scope for scope, count in scopes.items() if count > 1]:
            raise RecipientUnverified(
                f"CertCentral lists several open domains with the same name for order {self.order_id} "
                f"({shortened(several)}): the same people would be mailed about each. Nothing was sent. Look at the "
                "order in CertCentral."
            )

    @cached_property
    def open(self) -> tuple[Domain, ...]:
        """Those that wait for an email."""
        return tuple(status.domain for status in self.all if status.state == "open")

    def of_name(self, name: str) -> DomainStatus | None:
        """Return the domain of a name or scope: one that lists it, or else the nearest parent."""
        name = without_wildcard(name)
        while "." in name:
            if (found := self._by_name.get(name)) is not None:
                return found
            name = name.partition(".")[2]
        return None

    @cached_property
    def _by_name(self) -> dict[str, DomainStatus]:
        """The domains by scope, and by the names that they list. What tells most is put in last."""
        known: dict[str, DomainStatus] = {}
        ranked = sorted(self.all, key=lambda status: (_STATES.index(status.state), status.scope.count(".")))
        for status in reversed(ranked):
            known |= dict.fromkeys(map(without_wildcard, (status.scope, *status.names)), status)
        return known

    def check_open(self) -> None:
        """Raise `OrderNotEligible`, which says what to do instead, unless a domain waits for an email."""
        if self.open:
            return
        waiting = [status for status in self.all if status.state == "not_email_dcv"]
        if waiting:
            by_method = shortened([f"{status.scope} by {status.method}" for status in waiting])
            raise OrderNotEligible(
                "not_email_dcv",
                f"No domain of order {self.order_id} is to be validated by email, but {by_method}. Complete that "
                "validation, or change the DCV method of the domain to email in CertCentral.",
            )
        raise OrderNotEligible(
            "already_validated",
            f"All domains of order {self.order_id} are already validated: no email is needed. "
            + (
                self.organization_advice
                or "CertCentral issues the certificate next; if it does not, look at the order there."
            ),
        )

    @property
    def organization_advice(self) -> str:
        """What to do about the organization, whose validation no email can complete; empty if nothing is known of it.

        Which statuses there are is not documented.
        """
        if not self.organization:
            return ""
        statuses = shortened(list(dict.fromkeys(self.organization)))
        return (
            f"The organization is still to be validated, too (status: {statuses}). DigiCert does that, and no email of "
            "this service helps: answer DigiCert's questions, or ask its support."
        )

    def parts(self, request: "ResendRequest") -> "list[ResendRequest]":
        """Return the parts of a request, each about one open domain: all of them, or those of the named recipients.

        Raises `RecipientNotAllowed` if a recipient's domain does not wait for an email, and `RecipientUnverified` if
        CertCentral does not list the domain.
        """
        if not request.recipients:
            return [replace(request, skipped=(), domain=domain) for domain in self.open]
        named: dict[Domain, list[Recipient]] = {}
        refused = []
        for recipient in request.recipients:
            status = self.of_name(recipient.domain)
            if status is None:
                raise RecipientUnverified(
                    f"CertCentral does not list the domain of {recipient.domain} for order {self.order_id}. Nothing "
                    "was sent. Try again later, or leave the recipients out."
                )
            if status.state == "open":
                named.setdefault(status.domain, []).append(recipient)
            else:
                refused.append((f"{recipient.path}.domain", _why_not(recipient.domain, status)))
        if refused:
            raise RecipientNotAllowed(refused)
        return [
            replace(request, recipients=tuple(recipients), skipped=(), domain=domain)
            for domain, recipients in named.items()
        ]


def check_listed(parts: "Iterable[tuple[ResendRequest, DomainEmails]]") -> "list[ResendRequest]":
    """Return the parts with every address as CertCentral spells it.

    CertCentral ignores addresses that it does not list, and mails everybody if none is left (domain-level resend page).
    Raises `RecipientNotAllowed`, which says what would be accepted, or `RecipientUnverified` if the list is about
    another scope.
    """
    checked, refused = [], []
    for part, emails in parts:
        scope = scope_of(part)
        if not emails.is_about(scope):
            raise RecipientUnverified(
                f"CertCentral lists the addresses of {emails.scope}, not those of {scope}, so the recipients cannot be "
                "checked. Nothing was sent. Leave the recipients out."
            )
        refused += [
            (f"{recipient.path}.email", _unlisted(recipient.email, scope, emails))
            for recipient in part.recipients
            if emails.spelling_of(recipient.email) is None
        ]
        spelt = (replace(each, email=emails.spelling_of(each.email) or each.email) for each in part.recipients)
        checked.append(replace(part, recipients=tuple(spelt)))
    if refused:
        raise RecipientNotAllowed(refused)
    return checked


def joined(request: "ResendRequest", parts: "Iterable[tuple[ResendRequest, str]]") -> "ResendRequest":
    """Return a request as its parts, each with its outcome, were sent: whom it mails, and who is skipped.

    It is unchanged if no part was sent.
    """
    parts = list(parts)
    sent = [part for part, outcome in parts if outcome == "sent"]
    if not sent:
        return request
    repeated = (part for part, outcome in parts if outcome == "duplicate")
    mailed_before = (Skipped(recipient, "already_mailed") for part in repeated for recipient in part.recipients)
    skipped = (each for part in sent for each in part.skipped)
    recipients = tuple(recipient for part in sent for recipient in part.recipients)
    return replace(request, recipients=recipients, skipped=(*request.skipped, *skipped, *mailed_before))


def scope_of(part: "ResendRequest") -> str:
    """Return the scope of the domain that a part of a request is about. Raises `ValueError` if it is about none."""
    if part.domain is None:
        raise ValueError("not about a domain")
    return part.domain.scope


def _status(entries: "list[NameStatus]", method_of_order: str | None) -> DomainStatus:
    """Return the status of a domain, which may have several entries."""
    by_state = {_state(entry, method_of_order): entry for entry in reversed(entries)}
    state, entry = next((state, by_state[state]) for state in _STATES if state in by_state)
    names = tuple(dict.fromkeys(name for each in entries for name in each.names))
    return DomainStatus(entry.domain_id, entry.scope, state, _method(entry, method_of_order), names)


def _state(entry: "NameStatus", method_of_order: str | None) -> State:
    if entry.validated:
        return "validated"
    return "open" if _method(entry, method_of_order).casefold() == "email" else "not_email_dcv"


def _method(entry: "NameStatus", method_of_order: str | None) -> str:
    return entry.method or method_of_order or "an unknown method"


def _why_not(name: str, status: DomainStatus) -> str:
    if status.state == "validated":
        return f"{name} is already validated at {status.scope}: leave it out."
    return (
        f"{name} is validated by {status.method}, so no email helps. Complete that validation, or change the DCV "
        f"method of {status.scope} to email in CertCentral."
    )


def _unlisted(email: str, scope: str, emails: "DomainEmails") -> str:
    accepted = f"Accepted: {shortened(emails.addresses)}." if emails.addresses else "It lists none."
    return (
        f"{mask_address(email)} is not among the addresses that CertCentral lists for {scope}; it might mail all of "
        f"them instead. {accepted}"
    )
