"""Who may be mailed about a name (CA/B Forum Baseline Requirements, BR 2.2.6: 3.2.2.4.4, .13 and .14).

Two kinds of address are allowed:

- a *constructed* address: one of five role addresses at an authorization domain, which is the name itself or a parent
  of it, up to the registrable domain;
- a *contact* that the name, or such a parent, publishes in DNS.

If a named address is not allowed, CertCentral may silently mail everybody instead (documented for the domain-level
call). So this is decided before anything is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dv_resend.core.addresses import (
    authorization_domains,
    constructed_addresses,
    is_public_suffix,
    is_role_address,
    mask_address,
    without_wildcard,
)
from dv_resend.errors import RecipientNotAllowed, RecipientUnverified

if TYPE_CHECKING:
    from dv_resend.core.orders import OrderStatus
    from dv_resend.core.requests import Recipient

MAX_SHOWN = 10


@dataclass(frozen=True)
class Contacts:
    """The contact addresses that DNS publishes for a domain. ``failure`` says which query was not answered.

    Example:
        >>> Contacts(txt=("pki@example.com",), caa=("pki@example.com",)).addresses
        ['pki@example.com']
    """

    txt: tuple[str, ...] = ()
    caa: tuple[str, ...] = ()
    failure: str | None = None

    @property
    def addresses(self) -> list[str]:
        """All contacts, each once."""
        return list(dict.fromkeys(self.txt + self.caa))


@dataclass(frozen=True)
class Verdict:
    """Whether an address may be mailed, and the ``reason``. If not, ``why`` in a sentence, and the ``field`` to fix.

    Example:
        >>> Verdict("constructed").is_allowed
        True
    """

    reason: Literal[
        "constructed",
        "txt_contact",
        "caa_contact",
        "not_on_order",
        "public_suffix",
        "needs_email_domain",
        "not_published",
        "unverified",
    ]
    why: str = ""
    field: Literal["domain", "email", "email_domain"] = "email"

    @property
    def is_allowed(self) -> bool:
        """Whether the address may be mailed."""
        return not self.why


def check_recipients(recipients: "Sequence[Recipient]", order: "OrderStatus", contacts: Mapping[str, Contacts]) -> None:
    """Raise unless each of the ``recipients`` may be mailed about its name of the ``order``.

    ``contacts`` are those of `domains_to_look_up`. Raises `RecipientNotAllowed`, which says why, or
    `RecipientUnverified` if DNS or CertCentral did not answer.
    """
    if order.names is None and not all(order.has(recipient.domain) for recipient in recipients):
        raise RecipientUnverified(
            f"CertCentral does not list all names of order {order.order_id}, so not every recipient can be checked. "
            "Nothing was sent. Try again later, or leave the recipients out."
        )
    refused, unverified = [], []
    for recipient in recipients:
        verdict = judge(recipient, order, contacts)
        if verdict.reason == "unverified":
            unverified.append(verdict.why)
        elif not verdict.is_allowed:
            refused.append((f"{recipient.path}.{verdict.field}", verdict.why))
    if refused:
        raise RecipientNotAllowed(refused)
    if unverified:
        raise RecipientUnverified(
            f"{unverified[0]} Nothing was sent. Try again later, or name a constructed address such as admin@."
        )


def domains_to_look_up(recipients: "Sequence[Recipient]", order: "OrderStatus") -> list[str]:
    """Return the domains whose contacts decide about those ``recipients`` that only DNS can decide about."""
    undecided = (recipient for recipient in recipients if _judge_address(recipient, order) is None)
    return list(dict.fromkeys(recipient.authorization_domain for recipient in undecided))


def judge(recipient: "Recipient", order: "OrderStatus", contacts: Mapping[str, Contacts]) -> Verdict:
    """Decide whether a recipient may be mailed about its name of the ``order``, whose names are known."""
    if not order.has(recipient.domain):
        why = f"{recipient.domain} is not a name of this order. Its names are: {shortened(order.names or [])}."
        return Verdict("not_on_order", why, "domain")
    return _judge_address(recipient, order) or _judge_by_contacts(recipient, contacts[recipient.authorization_domain])


def _judge_address(recipient: "Recipient", order: "OrderStatus") -> Verdict | None:
    """Decide without the network; return ``None`` if only DNS can decide."""
    name, domain = without_wildcard(recipient.domain), recipient.authorization_domain
    # The name itself, and a scope at which CertCentral validates, need no look into the list of public suffixes.
    known = {name, *(without_wildcard(entry.scope) for entry in order.domains)}
    if domain not in known and is_public_suffix(domain):
        return Verdict("public_suffix", _public_suffix_refusal(domain, name), "email_domain")
    host = recipient.email.rpartition("@")[2]
    if not is_role_address(recipient.email):
        return None
    if host == domain:
        return Verdict("constructed")
    if host == name:
        why = f"{recipient.email} is an address at {host} itself: leave email_domain out."
        return Verdict("needs_email_domain", why, "email_domain")
    if not name.endswith(f".{host}"):
        return None
    if host not in known and is_public_suffix(host):
        return Verdict("public_suffix", _public_suffix_refusal(host, name))
    why = f'{recipient.email} is an address at a parent of {name}: add "email_domain": "{host}".'
    return Verdict("needs_email_domain", why, "email_domain")


def _judge_by_contacts(recipient: "Recipient", contacts: Contacts) -> Verdict:
    """Decide about an address that is not constructed, by what DNS publishes at its authorization domain."""
    email, domain = recipient.email.casefold(), recipient.authorization_domain
    if email in map(str.casefold, contacts.txt):
        return Verdict("txt_contact")
    if email in map(str.casefold, contacts.caa):
        return Verdict("caa_contact")
    address = mask_address(recipient.email)
    if contacts.failure is not None:
        return Verdict(
            "unverified", f"Whether {address} is a published contact of {domain} is unknown: {contacts.failure}."
        )
    return Verdict(
        "not_published",
        f"{address} is neither a constructed address nor published in DNS (TXT at _validation-contactemail.{domain}, "
        f"or CAA contactemail). {_accepted(domain, contacts)}",
    )


def shortened(names: Sequence[str]) -> str:
    """List the first names, followed by an ellipsis if there are more."""
    return ", ".join(names[:MAX_SHOWN]) + (" …" if len(names) > MAX_SHOWN else "")


def _public_suffix_refusal(suffix: str, name: str) -> str:
    return f"{suffix} is a public suffix: names below it belong to other people. {_accepted(name)}"


def _accepted(name: str, contacts: Contacts | None = None) -> str:
    domain, *parents = authorization_domains(name)
    found = [*constructed_addresses(domain), *(contacts.addresses[:MAX_SHOWN] if contacts else ())]
    parent = f"; or the same at {' or '.join(parents)}, with that domain as email_domain" if parents else ""
    return f"Accepted: {', '.join(found)}{parent}."
