"""Fakes of the five ports (`dv_resend.core.ports`), in memory. Their calls, in order, share one journal."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from threading import Lock
from typing import Any

from dv_resend.config import Config
from dv_resend.core import ports
from dv_resend.core.orders import DomainEmails, ListedOrder, NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import Invocation, Reminder, ResendRequest
from dv_resend.core.resend import Resender
from dv_resend.core.send_record import SendRecord
from dv_resend.errors import OutcomeUnknown, ResendError

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

    The order is eligible and its names are pending, unless a test changes that. ``errors`` are raised by method, those
    of a domain-level send also by method and domain id. ``while_sending`` is called in the middle of a send.
    ``page_at`` gives the page of the list at an offset.
    """

    def __init__(self, journal: Journal | None = None, rows: Sequence[ListedOrder] = (), page_size: int = 1000) -> None:
        self.journal = Journal() if journal is None else journal
        self.order = Order(7, "pending", "dv_ssl_certificate", "email")
        self.domains: tuple[NameStatus, ...] = (
            NameStatus("example.com", "pending", ("example.com", "www.example.com")),
        )
        self.errors: dict[str, BaseException] = {}
        self.while_sending: Callable[[], object] = lambda: None
        self.organization: tuple[str, ...] = ()
        self.domain_emails: dict[int, DomainEmails] = {}
        self.page_at: Callable[[int], list[ListedOrder]] = lambda offset: list(rows[offset : offset + page_size])

    def get_order(self, order_id: int, deadline: float) -> Order:
        self._called("get_order", order_id, deadline)
        return replace(self.order, order_id=order_id)

    def get_order_status(self, order_id: int, deadline: float) -> OrderStatus:
        self._called("get_order_status", order_id, deadline)
        return OrderStatus(order_id, self.order.status, self.order.dcv_method, self.domains, self.organization)

    def list_orders(self, statuses: Iterable[str], offset: int, deadline: float) -> list[ListedOrder]:
        self._called("list_orders", tuple(statuses), offset, deadline)
        return self.page_at(offset)

    def resend_emails(self, order_id: int, body: dict[str, object], deadline: float) -> None:
        self.journal.append(("resend_emails", order_id, body, deadline))
        self.while_sending()
        _raise("resend_emails", self.errors)

    def get_domain_emails(self, domain_id: int, deadline: float) -> DomainEmails:
        self._called("get_domain_emails", domain_id, deadline)
        return self.domain_emails.get(domain_id, DomainEmails(None, ()))

    def resend_domain_emails(self, domain_id: int, body: dict[str, object], deadline: float) -> None:
        self.journal.append(("resend_domain_emails", domain_id, body, deadline))
        self.while_sending()
        _raise("resend_domain_emails", self.errors)
        _raise(f"resend_domain_emails {domain_id}", self.errors)

    def approve(self, *names: str) -> None:
        """Show these names as validated, and all others as pending; each name has its own entry, in its old scope."""
        scopes = {name: domain.scope for domain in self.domains for name in domain.names}
        self.domains = tuple(
            NameStatus(scope, "approved" if name in names else "pending", (name,)) for name, scope in scopes.items()
        )

    @property
    def puts(self) -> list[dict[str, object]]:
        """The bodies of all PUTs, also of those that failed."""
        return [body for _, body, _ in self.journal.calls("resend_emails")]

    @property
    def domain_puts(self) -> list[tuple[int, dict[str, object]]]:
        """The domain and the body of all domain-level PUTs, also of those that failed."""
        return [(domain_id, body) for domain_id, body, _ in self.journal.calls("resend_domain_emails")]

    def _called(self, method: str, *arguments: object) -> None:
        self.journal.append((method, *arguments))
        _raise(method, self.errors)


class FakeSendRecords(ports.SendRecords):
    """Send records in memory; many threads may use it at once.

    ``errors`` are raised by method before it does anything, ``late_errors`` after a write is done. As `settle` never
    raises, a `ResendError` only makes it fail there. ``before_store`` is called in the middle of `store`.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = Journal() if journal is None else journal
        self.records: dict[str, SendRecord] = {}
        self.errors: dict[str, BaseException] = {}
        self.late_errors: dict[str, BaseException] = {}
        self.before_store: Callable[[], object] = lambda: None
        self._lock = Lock()

    def load(self, record_id: str) -> SendRecord:
        self._called("load", record_id)
        return self.of(record_id)

    def store(self, record: SendRecord, instead_of: SendRecord) -> SendRecord:
        self._called("store", record)
        self.before_store()
        latest = self._write(record, instead_of)
        _raise("store", self.late_errors)
        return latest

    def settle(self, record: SendRecord, instead_of: SendRecord) -> None:
        with contextlib.suppress(ResendError):
            self._called("settle", record)
            self._write(record, instead_of)

    def of(self, record_id: str = "order#7") -> SendRecord:
        """Return what is stored."""
        return self.records.get(record_id, SendRecord(record_id))

    def _write(self, record: SendRecord, instead_of: SendRecord) -> SendRecord:
        with self._lock:
            latest = self.of(record.id)
            if latest.revision != instead_of.revision:
                return latest
            self.records[record.id] = record
            return record

    def _called(self, method: str, argument: object) -> None:
        self.journal.append((method, argument))
        _raise(method, self.errors)


def _raise(method: str, errors: Mapping[str, BaseException]) -> None:
    if method in errors:
        raise errors[method]


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


class FakeReportTopic(ports.ReportTopic):
    """A topic that keeps the subject and the text of each report."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []
        self.deadlines: list[float] = []

    def publish(self, subject: str, text: str, deadline: float) -> None:
        self.reports.append((subject, text))
        self.deadlines.append(deadline)


class Fakes:
    """Everything that a `Resender` needs, over one journal.

    What an invocation is about to send is in it too, and every unknown outcome that it reports.
    """

    def __init__(self) -> None:
        self.journal = Journal()
        self.certcentral = FakeCertCentral(self.journal)
        self.records = FakeSendRecords(self.journal)
        self.contacts = FakeContacts(self.journal)

    def resender(self, now: float, **settings: Any) -> Resender:
        """Build one whose clock stands still at ``now``."""
        return Resender(self.certcentral, self.records, self.contacts, config(**settings), clock=lambda: now)

    def invocation(self, now: float, delivery_id: str = "call-1") -> Invocation:
        """Begin one that has 29 seconds."""

        def before_send(request: ResendRequest) -> None:
            self.journal.append(("before_send", request))

        def on_unknown(error: OutcomeUnknown) -> None:
            self.journal.append(("on_unknown", error))

        return Invocation(now + 29, delivery_id, before_send, on_unknown)


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


def outcome_name(outcome: str | ResendError) -> str:
    """Return the outcome of a domain as a word: an error by its class."""
    return outcome if isinstance(outcome, str) else type(outcome).__name__
