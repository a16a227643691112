"""Who may be mailed about a name (CA/B Forum Baseline Requirements, BR, 2.2.6: sections 3.2.2.4.4, .13 and .14).

Allowed is one of five *constructed* addresses at an authorization domain name: the name itself or a parent of it, down
to the registrable domain; or a *contact* that the name, or such a parent, publishes in DNS. CertCentral may silently
mail everybody when a named address is not allowed (said of the domain-level call), so this is asked before.

Pure, but for the list of public suffixes, which comes with a package and is imported only when it is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from dv_resend.errors import RecipientNotAllowed, RecipientUnverified
from dv_resend.models import ROLE_LOCAL_PARTS, OrderStatus, Recipient, bare, mask_address

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

MAX_SHOWN = 10


@dataclass(frozen=True)
class Contacts:
    """The contact addresses that DNS publishes for a name. ``failure`` says which question was not answered."""

    txt: tuple[str, ...] = ()
    caa: tuple[str, ...] = ()
    failure: str | None = None

    @property
    def addresses(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys(self.txt + self.caa))


@dataclass(frozen=True)
class Verdict:
    """Whether and for what ``reason`` an address may be mailed; if not, ``why``, and the ``field`` to mend."""

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


def check(recipients: Sequence[Recipient], order: OrderStatus, contacts: Mapping[str, Contacts]) -> None:
    """Raise unless each of the ``recipients`` may be mailed about its name of the ``order``.

    `RecipientNotAllowed` says why not; `RecipientUnverified` means that nobody could tell. ``contacts`` are those of
    `places_to_look_up`.
    """
    if recipients and order.names is None:
        raise RecipientUnverified(
            f"CertCentral does not say which names order {order.order_id} has, so named recipients cannot be checked. "
            "Nothing was sent; try later, or name nobody."
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
        raise RecipientUnverified(f"{unverified[0]} Nothing was sent; try later, or name a constructed address.")


def places_to_look_up(recipients: Sequence[Recipient], order: OrderStatus) -> list[str]:
    """Name the places whose contacts decide about those ``recipients`` that only DNS can tell about."""
    undecided = (recipient for recipient in recipients if _judge_address(recipient, order) is None)
    return list(dict.fromkeys(recipient.place for recipient in undecided))


def judge(recipient: Recipient, order: OrderStatus, contacts: Mapping[str, Contacts]) -> Verdict:
    """Say whether a recipient may be mailed about its name of the ``order``, whose names are known."""
    if not order.has(recipient.domain):
        why = f"{recipient.domain} is no name of this order. Its names are: {shortened(order.names or [])}."
        return Verdict("not_on_order", why, "domain")
    return _judge_address(recipient, order) or _judge_by_contacts(recipient, contacts[recipient.place])


def _judge_address(recipient: Recipient, order: OrderStatus) -> Verdict | None:
    """Judge what needs no network; ``None`` if only DNS can tell."""
    name, place = bare(recipient.domain), recipient.place
    # At the name, and where CertCentral itself validates, no list is needed.
    owned = {name, *(bare(domain.scope) for domain in order.domains)}
    if place not in owned and is_public_suffix(place):
        return Verdict("public_suffix", _others_names(place, name), "email_domain")
    local_part, _, host = recipient.email.rpartition("@")
    if local_part.casefold() not in ROLE_LOCAL_PARTS:
        return None
    if host == place:
        return Verdict("constructed")
    if host == name:
        why = f"{recipient.email} is found at {host} itself: leave email_domain out."
        return Verdict("needs_email_domain", why, "email_domain")
    if not name.endswith(f".{host}"):
        return None
    if host not in owned and is_public_suffix(host):
        return Verdict("public_suffix", _others_names(host, name))
    why = f'{recipient.email} is found at a parent of {name}: say so with "email_domain": "{host}".'
    return Verdict("needs_email_domain", why, "email_domain")


def _judge_by_contacts(recipient: Recipient, contacts: Contacts) -> Verdict:
    """Judge an address that is not constructed by what DNS publishes at the place where it is looked for."""
    email, place = recipient.email.casefold(), recipient.place
    if email in map(str.casefold, contacts.txt):
        return Verdict("txt_contact")
    if email in map(str.casefold, contacts.caa):
        return Verdict("caa_contact")
    address = mask_address(recipient.email)
    if contacts.failure is not None:
        return Verdict(
            "unverified", f"Whether {address} is a published contact of {place} is not known: {contacts.failure}."
        )
    return Verdict(
        "not_published",
        f"{address} is neither constructed nor published in DNS (TXT at _validation-contactemail.{place}, or CAA "
        f"contactemail). {_accepted(place, contacts)}",
    )


def constructed(place: str) -> list[str]:
    """The five addresses that a CA may construct at a name (BR 3.2.2.4.4)."""
    return [f"{local_part}@{place}" for local_part in sorted(ROLE_LOCAL_PARTS)]


def shortened(names: Sequence[str]) -> str:
    """List the first of some names, and say whether there are more."""
    return ", ".join(names[:MAX_SHOWN]) + (" …" if len(names) > MAX_SHOWN else "")


def authorization_names(name: str) -> list[str]:
    """The name (without ``*.``) and its parents, the registrable domain last (BR 1.6.1, "Authorization Domain Name").

    A public suffix that is itself ordered has no parents here.
    """
    labels = bare(name).split(".")
    # The package does not know its own types.
    registrable: str | None = _suffixes().privatesuffix(bare(name))
    last = len(labels) - len(registrable.split(".")) if registrable else 0
    return [".".join(labels[start:]) for start in range(last + 1)]


def is_public_suffix(name: str) -> bool:
    """Whether anybody may own names under it (publicsuffix.org). Those of its private section count, to be careful."""
    return _suffixes().privatesuffix(name) is None


def _others_names(suffix: str, name: str) -> str:
    return f"{suffix} is a public suffix: the names under it are other people's. {_accepted(name)}"


def _accepted(name: str, contacts: Contacts | None = None) -> str:
    place, *parents = authorization_names(name)
    found = [*constructed(place), *(contacts.addresses[:MAX_SHOWN] if contacts else ())]
    parent = f"; or the same at {' or '.join(parents)}, with that as email_domain" if parents else ""
    return f"Accepted: {', '.join(found)}{parent}."


@lru_cache(maxsize=1)
def _suffixes() -> "PublicSuffixList":
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
