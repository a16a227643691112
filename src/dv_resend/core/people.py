"""Persons: whose mailbox an email lands in, however the request was written. The send record knows them by key."""

import hashlib
import math
from typing import TYPE_CHECKING

from dv_resend.core.addresses import comparable_email, without_wildcard
from dv_resend.core.requests import Skipped
from dv_resend.core.send_record import DEFAULT, Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dv_resend.core.orders import Domain, OrderStatus
    from dv_resend.core.requests import Invocation, Recipient, ResendRequest
    from dv_resend.core.send_record import Mailed

# The key of each person, and the entries of the request that ask for an email to them.
type People = dict[str, tuple[Recipient, ...]]


def people_of(recipients: "Sequence[Recipient]", validation: "OrderStatus", domain: "Domain | None" = None) -> People:
    """Return the persons among ``recipients``, who are all at the same ``domain`` if there is one.

    A person is an address together with the scope at which the name is validated, so several entries may ask for the
    same email. Without recipients, the only person is `DEFAULT`. Keys are hashes: they show no address.
    """
    people: People = {}
    for recipient in recipients:
        scope = domain.scope if domain is not None else validation.widest_scope(recipient.domain)
        scope = without_wildcard(scope or recipient.domain)
        key = _key(scope, recipient.email)
        people[key] = (*people.get(key, ()), recipient)
    return people or {DEFAULT: ()}


def attempt_of(request: "ResendRequest", people: People, invocation: "Invocation", owner: str) -> Attempt:
    """Return what the send record decides about: the ``people`` whom the ``request`` wants to mail.

    Each is also known by the names of the request: CertCentral may show another scope for a name, or none, at any time.
    """
    by_name = {
        person: tuple(sorted(keys))
        for person, entries in people.items()
        if (keys := {_key(without_wildcard(each.domain), each.email) for each in entries} - {person})
    }
    force_id = invocation.delivery_id if request.force else None
    return Attempt(tuple(people), math.ceil(invocation.deadline), owner, force_id, also=by_name)


def narrowed(
    request: "ResendRequest", people: People, mail: "Iterable[str]", skip: "Mapping[str, Mailed]"
) -> "ResendRequest":
    """Return the ``request`` with one entry for each person to ``mail``, and with those to ``skip`` as skipped."""
    return request.narrowed_to(
        [entries[0] for person in mail if (entries := people[person])],
        [Skipped(recipient, earlier.reason) for person, earlier in skip.items() for recipient in people[person]],
    )


def _key(scope: str, email: str) -> str:
    return hashlib.sha256(f"{scope} {comparable_email(email)}".encode()).hexdigest()[:32]
