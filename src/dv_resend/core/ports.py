"""What the core needs from outside: five protocols. `adapters` implement them for real, tests with fakes.

Every ``deadline`` is the end of the invocation, in seconds since the epoch.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dv_resend.core.orders import DomainEmails, ListedOrder, Order, OrderStatus
    from dv_resend.core.recipients import Contacts
    from dv_resend.core.requests import Reminder
    from dv_resend.core.send_record import SendRecord


class CertCentral(Protocol):
    """One CertCentral account. All methods but the two that resend are safe to repeat.

    Raises `ApiKeyRejected`, `PermissionDenied`, `RateLimited`, `OrderNotFound`, `RequestRejected`,
    `CertCentralUnavailable`, `SecretUnavailable` or `ConfigurationError`. None of them means that something was sent.

    Example:
        ``certcentral.get_order(123456789, deadline).status``
    """

    def get_order(self, order_id: int, deadline: float) -> "Order":
        """Return the order."""
        ...

    def get_order_status(self, order_id: int, deadline: float) -> "OrderStatus":
        """Return how far the validation of the order has come."""
        ...

    def list_orders(self, statuses: Iterable[str], offset: int, deadline: float) -> "list[ListedOrder]":
        """Return one page of the orders in ``statuses``, oldest first; an empty page ends the list."""
        ...

    def resend_emails(self, order_id: int, body: dict[str, object], deadline: float) -> None:
        """Have the DCV emails of the order sent again. Not safe to repeat: each success is an email to a person.

        Raises `OutcomeUnknown` if the email may or may not have been sent.
        """
        ...

    def get_domain_emails(self, domain_id: int, deadline: float) -> "DomainEmails":
        """Return the addresses that may be named in a resend about a domain."""
        ...

    def resend_domain_emails(self, domain_id: int, body: dict[str, object], deadline: float) -> None:
        """Have the DCV emails of a domain sent again, for an order that is not DV. As `resend_emails`."""
        ...


class SendRecords(Protocol):
    """The store of send records. Every write is conditional: it counts only if nobody else has written meanwhile.

    Example:
        ``records.store(changed, instead_of=records.load("order#7"))``
    """

    def load(self, record_id: str) -> "SendRecord":
        """Return the record, an empty one without revision if none is stored.

        Raises `SendRecordUnavailable` or `ConfigurationError`.
        """
        ...

    def store(self, record: "SendRecord", instead_of: "SendRecord") -> "SendRecord":
        """Store ``record`` if ``instead_of`` is still the latest; return the record that is now the latest.

        If its revision is another than that of ``record``, nothing was stored. Raises `SendRecordUnavailable` or
        `ConfigurationError`; ``record`` is then not stored, as far as anybody can tell.
        """
        ...

    def settle(self, record: "SendRecord", instead_of: "SendRecord") -> None:
        """Store as `store` does, but log whatever goes wrong. Never raises."""
        ...


class ContactLookup(Protocol):
    """The DNS lookups of one request. Nothing is raised if DNS does not answer: the results say so. Safe to repeat.

    Example:
        ``lookup.contacts(["example.com"])["example.com"].addresses``
    """

    def contacts(self, domains: Iterable[str]) -> "dict[str, Contacts]":
        """Return the contacts that each of the ``domains`` publishes; the first domains are asked first."""
        ...

    def has_mx(self, hosts: Iterable[str]) -> dict[str, bool | None]:
        """Return for each host whether it has an MX record that accepts mail; ``None`` if DNS did not answer."""
        ...


class ReminderQueue(Protocol):
    """The queue between the sweep and its worker.

    Example:
        ``queue.send([Reminder(123456789)], swept_on=date(2026, 11, 23))``
    """

    def send(self, reminders: "Sequence[Reminder]", swept_on: date) -> int:
        """Queue reminders; return how many. Safe to repeat. Raises `QueueUnavailable` or `ConfigurationError`."""
        ...

    def delay(self, receipt_handles: Sequence[str], seconds: int) -> None:
        """Keep received messages, at most ten, invisible for so long. Never raises."""
        ...


class ReportTopic(Protocol):
    """The topic to which the people subscribe who act on what a sweep finds.

    Example:
        ``topic.publish("1 order is stuck", "…", deadline)``
    """

    def publish(self, subject: str, text: str, deadline: float) -> None:
        """Publish a report, if the time suffices. Never raises: what fails is logged."""
        ...
