"""The emails that the emulator would have sent, and the random values in their links."""

import secrets
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .dcv_email import LINK_PATH, SENDER, subject
from .orders import iso
from .resend_emails import Mail

KEPT_MAILS = 100_000


class Outbox:
    """The emails sent, oldest first. State's lock guards it.

    An email about an order has an `order_id`, one about a domain of the account a `domain_id`; the other one is None.
    """

    def __init__(self) -> None:
        self._mails: deque[dict[str, Any]] = deque(maxlen=KEPT_MAILS)
        self._links: dict[tuple[object, ...], tuple[float, str]] = {}
        self._count = 0

    def add(
        self,
        mails: Iterable[Mail],
        locale: str | None,
        call_number: int,
        *,
        order_id: int | None = None,
        domain_id: int | None = None,
        first_links: Mapping[str, float],
        renew_links: bool,
    ) -> None:
        """Add emails; `first_links` says since when a recipient's random value exists, if not since now.

        Only an unchanged email to the same recipient may have its random value again (Baseline Requirements); the
        defaults had theirs with the order. Whether DigiCert renews it on a resend is not documented.
        """
        now = time.time()
        for mail in mails:
            address = mail["to"].lower()
            key = (order_id, domain_id, mail["domain"], address, locale)
            if key not in self._links or renew_links:
                since = now if renew_links else first_links.get(address, now)
                self._links[key] = (since, LINK_PATH + secrets.token_urlsafe(16))
            created, link = self._links[key]
            self._count += 1
            entry = {"id": self._count, "order_id": order_id, "domain_id": domain_id, "from": SENDER, **mail}
            entry |= {"locale": locale, "subject": subject(mail["domain"], order_id)}
            entry |= {"link": link, "link_created_at": iso(created), "sent_at": iso(now), "caused_by": call_number}
            self._mails.append(entry)

    def entries(self) -> list[dict[str, Any]]:
        """Return copies of the emails."""
        return [dict(mail) for mail in self._mails]

    def by_link(self, link: str) -> dict[str, Any] | None:
        """Return the newest email that has a link."""
        return next((mail for mail in reversed(self._mails) if mail["link"] == link), None)

    def forget_links(self, order_id: int, domain_ids: Collection[int]) -> None:
        """Let the next emails about an order and its domains have new random values."""
        self._links = {
            key: link for key, link in self._links.items() if key[0] != order_id and key[1] not in domain_ids
        }

    def clear(self) -> None:
        """Forget the emails; ids go on."""
        self._mails.clear()
