"""Pending orders: the list, what a sweep does about each order, and the use case behind ``{"action": "pending"}``."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from dv_resend.core.eligibility import PENDING_STATUSES, is_dv
from dv_resend.core.reminders import due_day, is_newly_stuck, is_stuck
from dv_resend.core.requests import Reminder
from dv_resend.errors import CertCentralUnavailable

if TYPE_CHECKING:
    from dv_resend.core.orders import ListedOrder
    from dv_resend.core.ports import CertCentral

# Kept free at the end of an invocation: enough for one more page and its messages.
RESERVE_SECONDS = 60.0
# Lambda's response holds 6 MB (Lambda quotas), which so many of the longest rows do not reach.
MAX_ROWS = 5000


@dataclass(frozen=True)
class PendingOrder:
    """A pending order, and what a sweep does about it: the reminder that it queues, or why it queues none.

    ``age_days`` is ``None`` if the list does not tell the age; the worker then decides whether a reminder is due.

    Example:
        >>> PendingOrder(7, "example.com", "reissue_pending", None, Reminder(7)).to_json()["reminder"]
        'decided by the worker'
    """

    order_id: int
    name: str
    status: str
    age_days: int | None
    reminder: Reminder | Literal["none due", "stuck"]
    is_newly_stuck: bool = False
    is_dv: bool = True

    def to_json(self) -> dict[str, object]:
        """Return the order's row in the answer of the ``pending`` action."""
        match self.reminder:
            case Reminder(day=None):
                reminder = "decided by the worker"
            case Reminder(day=day):
                reminder = f"day {day}"
            case text:
                reminder = text
        return {
            "order_id": self.order_id,
            "name": self.name,
            "status": self.status,
            "age_days": self.age_days,
            "reminder": reminder,
        }


@dataclass
class PendingList:
    """The pending orders that are served, oldest first; ``more`` of them were left out.

    ``other_products`` counts the pending orders of types that are not served. If the list is not ``complete``, the time
    did not suffice, and nothing is known about the orders after these.

    Example:
        >>> PendingList(other_products=12).to_json()
        {'orders': [], 'more': 0, 'other_products': 12, 'complete': True}
    """

    orders: list[PendingOrder] = field(default_factory=list)
    more: int = 0
    other_products: int = 0
    complete: bool = True

    def to_json(self) -> dict[str, object]:
        """Return the answer of the ``pending`` action."""
        return vars(self) | {"orders": [order.to_json() for order in self.orders]}


def list_pending(
    deadline: float,
    certcentral: "CertCentral",
    reminder_days: Sequence[int],
    clock: Callable[[], float] = time.time,
    *,
    all_order_types: bool = False,
) -> PendingList:
    """List the pending orders, with what a sweep would do about each now. Sends nothing; safe to repeat.

    Those that are not DV are listed only if all order types are served. Memory does not grow with the account. As in a
    sweep, rows without a readable order id are left out. Raises the errors of `CertCentral`.
    """
    found = PendingList()
    now = datetime.fromtimestamp(clock(), UTC)
    for page in pending_pages(certcentral, 0, deadline):
        for row in page:
            order = pending_order(row, now, reminder_days, all_order_types=all_order_types)
            if order is None:
                found.other_products += _is_pending(row) and not (all_order_types or is_dv(row.product_type))
            elif len(found.orders) < MAX_ROWS:
                found.orders.append(order)
            else:
                found.more += 1
        if clock() > deadline - RESERVE_SECONDS:
            found.complete = False
            break
    return found


def pending_pages(certcentral: "CertCentral", offset: int, deadline: float) -> "Iterator[list[ListedOrder]]":
    """Yield the pages of the list until an empty one. Totals are not used: they change in the meantime."""
    previous = None
    while page := certcentral.list_orders(sorted(PENDING_STATUSES), offset, deadline):
        if page == previous:
            raise CertCentralUnavailable("CertCentral returned the same page of orders twice. Try again later.")
        previous = page
        yield page
        offset += len(page)


def pending_order(
    row: "ListedOrder", now: datetime, days: Sequence[int], *, all_order_types: bool = False
) -> PendingOrder | None:
    """Return the order of a row, with what a sweep does about it; ``None`` if it is no pending order that is served."""
    dv = is_dv(row.product_type)
    if row.order_id is None or row.status is None or not _is_pending(row) or not (dv or all_order_types):
        return None
    order = PendingOrder(row.order_id, row.name or "unknown", row.status.casefold(), None, "none due", is_dv=dv)
    # A row does not say when a reissue was requested, or lacks its date: only the order itself can tell.
    if order.status != "pending" or row.created is None:
        return replace(order, reminder=Reminder(row.order_id, by_domain=not dv))
    order = replace(order, age_days=max(0, (now - row.created).days))
    day = due_day(row.created, now, days)
    if day is not None:
        since = row.created.astimezone(UTC).date()
        return replace(order, reminder=Reminder(row.order_id, since, day, by_domain=not dv))
    if not is_stuck(row.created, now, days):
        return order
    return replace(order, reminder="stuck", is_newly_stuck=is_newly_stuck(row.created, now, days))


def _is_pending(row: "ListedOrder") -> bool:
    return (row.status or "").casefold() in PENDING_STATUSES
