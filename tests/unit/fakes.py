"""Fakes of the four ports (`dv_resend.core.ports`), in memory. Their calls, in order, share one journal."""

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from typing import Any

from dv_resend.config import Config
from dv_resend.core import ports
from dv_resend.core.claims import Claim, HeldClaim
from dv_resend.core.orders import ListedOrder, NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import Invocation, Reminder, ResendRequest
from dv_resend.core.resend import Resender
from dv_resend.errors import SendRecordUnavailable

# The two queries about an order that precede each send.
QUERIES = ["get_order_status", "get_order"]


class Journal(list[tuple[Any, ...]]):
    """The calls of all fakes of a test: of each the method's name, then its arguments."""

    @property
    def methods(self) -> list[str]:
        return [method for method, *_ in self]

    def calls(self, method: str) -> list[tuple[Any, ...]]:
        """Return the arguments of each call of one method."""
        return [tuple(arguments) for name, *arguments in self if name == method]


class FakeCertCentral(ports.CertCentral):
    """A CertCentral where every order looks like ``order``, and its validation like ``domains``.

    The order is eligible and its names are pending, unless a test changes that. ``errors`` are raised by method;
    ``while_sending`` is called in the middle of a send. ``page_at`` gives the page of the list at an offset.
    """

    def __init__(self, journal: Journal | None = None, rows: Sequence[ListedOrder] = (), page_size: int = 1000) -> None:
        self.journal = Journal() if journal is None else journal
        self.order = Order(7, "pending", "dv_ssl_certificate", "email")
        self.domains: tuple[NameStatus, ...] = (
            NameStatus("example.com", "pending", ("example.com", "www.example.com")),
        )
        self.errors: dict[str, BaseException] = {}
        self.while_sending: Callable[[], object] = lambda: None
        self.page_at: Callable[[int], list[ListedOrder]] = lambda offset: list(rows[offset : offset + page_size])

    def get_order(self, order_id: int, deadline: float) -> Order:
        self._called("get_order", order_id, deadline)
        return replace(self.order, order_id=order_id)

    def get_order_status(self, order_id: int, deadline: float) -> OrderStatus:
        self._called("get_order_status", order_id, deadline)
        return OrderStatus(order_id, self.order.status, self.order.dcv_method, self.domains)

    def list_orders(self, statuses: Iterable[str], offset: int, deadline: float) -> list[ListedOrder]:
        self._called("list_orders", tuple(statuses), offset, deadline)
        return self.page_at(offset)

    def resend_emails(self, order_id: int, body: dict[str, object], deadline: float) -> None:
        self.journal.append(("resend_emails", order_id, body, deadline))
        self.while_sending()
        self._raise("resend_emails")

    def approve(self, *names: str) -> None:
        """Show these names as validated, each in a scope of its own, and all others as pending."""
        listed = {name for domain in self.domains for name in domain.names} | set(names)
        self.domains = tuple(
            NameStatus(name, "approved" if name in names else "pending", (name,)) for name in sorted(listed)
        )

    @property
    def puts(self) -> list[dict[str, object]]:
        """The bodies of all PUTs, also of those that failed."""
        return [body for _, body, _ in self.journal.calls("resend_emails")]

    def _called(self, method: str, *arguments: object) -> None:
        self.journal.append((method, *arguments))
        self._raise(method)

    def _raise(self, method: str) -> None:
        if method in self.errors:
            raise self.errors[method]


class FakeClaims(ports.Claims):
    """Claims and reminder records, by the same rules as those of `SendRecordsTable`.

    ``down`` names methods that fail: they raise `SendRecordUnavailable`, or change nothing if they never raise.
    """

    def __init__(self, journal: Journal | None = None, cool_down_seconds: int = 3600) -> None:
        self.journal = Journal() if journal is None else journal
        self.claims: dict[str, Claim] = {}
        self.reminders: dict[str, float] = {}
        self.down: set[str] = set()
        self._cool_down_seconds = cool_down_seconds

    def read(self, key: str) -> Claim | None:
        self._called("read", key)
        return self.claims.get(key)

    def acquire(self, key: str, *, now: float, deadline: float, force_id: str | None) -> Claim:
        self._called("acquire", key)
        forced_by = frozenset[str]() if force_id is None else frozenset({force_id})
        expiration = math.ceil(max(now + self._cool_down_seconds, deadline))
        wanted = HeldClaim(key, "sending", uuid.uuid4().hex, math.ceil(deadline), expiration, forced_by=forced_by)
        standing = self.claims.get(key)
        if standing is not None and standing.state(now) != "expired":
            if force_id is None or force_id in standing.forced_by:
                return standing
            if standing.state(now) == "sending":
                self._store(replace(standing, forced_by=standing.forced_by | forced_by))
                return standing
            wanted = replace(wanted, forced_by=standing.forced_by | forced_by, replaced=standing)
        self._store(wanted)
        return wanted

    def record_sent(self, claim: HeldClaim, sent_at: int) -> None:
        self.journal.append(("record_sent", claim.key, sent_at))
        self._settle("record_sent", replace(claim, status="sent", sent_at=sent_at))

    def record_unknown(self, claim: HeldClaim) -> None:
        self.journal.append(("record_unknown", claim.key))
        self._settle("record_unknown", replace(claim, status="unknown"))

    def release(self, claim: HeldClaim) -> None:
        self.journal.append(("release", claim.key))
        if "release" in self.down or not self._is_current(claim):
            return
        if claim.replaced is None:
            del self.claims[claim.key]
        else:
            self._store(claim.replaced)

    def reminded(self, record_id: str) -> bool:
        self._called("reminded", record_id)
        return record_id in self.reminders

    def record_reminder(self, record_id: str, now: float) -> None:
        self._called("record_reminder", record_id)
        self.reminders[record_id] = now

    def forget_reminder(self, record_id: str) -> bool:
        self.journal.append(("forget_reminder", record_id))
        if "forget_reminder" in self.down:
            return False
        self.reminders.pop(record_id, None)
        return True

    def _called(self, method: str, *arguments: object) -> None:
        self.journal.append((method, *arguments))
        if method in self.down:
            raise SendRecordUnavailable("DynamoDB did not answer.")

    def _settle(self, method: str, claim: HeldClaim) -> None:
        if method not in self.down and self._is_current(claim):
            # A forced call may have left its id in the meantime.
            self._store(replace(claim, forced_by=self.claims[claim.key].forced_by))

    def _is_current(self, claim: Claim) -> bool:
        return claim.key in self.claims and self.claims[claim.key].owner == claim.owner

    def _store(self, claim: Claim) -> None:
        """Keep a plain claim: the one that `acquire` finds standing is nobody's to hold."""
        self.claims[claim.key] = Claim(**{field.name: getattr(claim, field.name) for field in fields(Claim)})


class FakeContacts(ports.ContactLookup):
    """A DNS that knows the ``published`` contacts of domains and the ``mx`` of hosts; it is its own factory.

    Hosts that are not in ``mx`` have no MX record. If ``is_down``, no query is answered. ``lookups`` counts the calls
    of the factory.
    """

    def __init__(
        self,
        journal: Journal | None = None,
        published: Mapping[str, Contacts] | None = None,
        mx: Mapping[str, bool | None] | None = None,
    ) -> None:
        self.journal = Journal() if journal is None else journal
        self.published = dict(published or {})
        self.mx = dict(mx or {})
        self.is_down = False
        self.lookups = 0

    def __call__(self) -> "FakeContacts":
        self.lookups += 1
        return self

    def contacts(self, domains: Iterable[str]) -> dict[str, Contacts]:
        asked = list(domains)
        self.journal.append(("contacts", asked))
        if self.is_down:
            return dict.fromkeys(asked, Contacts(failure="DNS did not answer for TXT (LifetimeTimeout)"))
        return {domain: self.published.get(domain, Contacts()) for domain in asked}

    def has_mx(self, hosts: Iterable[str]) -> dict[str, bool | None]:
        asked = list(dict.fromkeys(hosts))
        self.journal.append(("has_mx", asked))
        return {host: None if self.is_down else self.mx.get(host, False) for host in asked}


class FakeQueue(ports.ReminderQueue):
    """A queue that keeps what it is sent, a list for each call, and what is delayed. ``error`` is raised by `send`."""

    def __init__(self) -> None:
        self.sent: list[list[Reminder]] = []
        self.swept_on: set[date] = set()
        self.delayed: list[tuple[list[str], int]] = []
        self.error: Exception | None = None

    def send(self, reminders: Sequence[Reminder], swept_on: date) -> int:
        if self.error is not None:
            raise self.error
        self.sent.append(list(reminders))
        self.swept_on.add(swept_on)
        return len(reminders)

    def delay(self, receipt_handles: Sequence[str], seconds: int) -> None:
        self.delayed.append((list(receipt_handles), seconds))

    @property
    def reminders(self) -> list[Reminder]:
        return [reminder for call in self.sent for reminder in call]


class Fakes:
    """Everything that a `Resender` needs, over one journal; what an invocation is about to send is in it too."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.certcentral = FakeCertCentral(self.journal)
        self.claims = FakeClaims(self.journal)
        self.contacts = FakeContacts(self.journal)

    def resender(self, now: float, **settings: Any) -> Resender:
        """Build one whose clock stands still at ``now``."""
        return Resender(self.certcentral, self.claims, self.contacts, config(**settings), clock=lambda: now)

    def invocation(self, now: float, delivery_id: str = "call-1") -> Invocation:
        """Begin one that has 29 seconds."""

        def before_send(request: ResendRequest) -> None:
            self.journal.append(("before_send", request))

        return Invocation(now + 29, delivery_id, before_send)


def resend_request(*recipients: tuple[str, ...], order_id: int = 7, **fields: object) -> ResendRequest:
    """Build a valid request; a recipient is a domain, an address and, optionally, an email_domain."""
    names = ("domain", "email", "email_domain")
    if recipients:
        fields["domain_approval_emails"] = [dict(zip(names, each, strict=False)) for each in recipients]
    return ResendRequest.from_input({"order_id": order_id, **fields})


def config(**settings: Any) -> Config:
    """Return the default settings, with some changed."""
    required = {"API_KEY_SECRET_ID": "a-secret", "SEND_RECORDS_TABLE": "a-table"}
    return replace(Config.from_environment(required), **settings)
