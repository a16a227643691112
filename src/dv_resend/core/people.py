"""Persons: whose mailbox an email lands in, however the request was written. The send record knows them by key."""

import hashlib
from typing import TYPE_CHECKING

from dv_resend.core.addresses import without_wildcard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dv_resend.core.orders import OrderStatus
    from dv_resend.core.requests import Recipient

DEFAULT = "default"
"""The key of DigiCert's default recipients, who may be anybody."""


def people_of(recipients: "Sequence[Recipient]", validation: "OrderStatus") -> "dict[str, tuple[Recipient, ...]]":
    """Return the persons among ``recipients``: the key of each, and the entries that ask for an email to them.

    A person is an address together with the scope at which the name is validated, so several entries may ask for the
    same email. Without recipients, the only person is `DEFAULT`. Keys are hashes: they show no address.
    """
    people: dict[str, tuple[Recipient, ...]] = {}
    for recipient in recipients:
        key = _key(_scope(recipient.domain, validation), recipient.email)
        people[key] = (*people.get(key, ()), recipient)
    return people or {DEFAULT: ()}


def _key(scope: str, email: str) -> str:
    return hashlib.sha256(f"{scope} {email.lower()}".encode()).hexdigest()[:32]


def _scope(name: str, validation: "OrderStatus") -> str:
    """Return the scope that covers ``name``, the widest if there are several, or else the name itself."""
    scopes = [without_wildcard(entry.scope) for entry in validation.domains if entry.scope and entry.covers(name)]
    return min(scopes, key=lambda scope: (scope.count("."), scope), default=without_wildcard(name))
