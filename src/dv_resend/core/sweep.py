"""The use case of the sweep: find the orders that a reminder is due for, and queue the reminders."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dv_resend.core.pending import MAX_ROWS, RESERVE_SECONDS, pending_order, pending_pages
from dv_resend.core.report import StuckOrders
from dv_resend.core.requests import Reminder, SweepRequest
from dv_resend.errors import CertCentralUnavailable, SendingPaused

if TYPE_CHECKING:
    from dv_resend.config import Config
    from dv_resend.core.orders import ListedOrder
    from dv_resend.core.ports import CertCentral, ReminderQueue
    from dv_resend.core.report import Reporter

MAX_STUCK_LISTED = 100
# A dozen are known. What upstream makes up beyond that is counted as one, so that the summary stays small.
MAX_STATUSES = 20
OTHER_STATUSES = "other"


@dataclass
class SweepSummary:
    """What a sweep found and did, added up page by page. ``plan`` has the first reminders of a dry run.

    ``pending_other`` counts the orders that are not DV, ``None`` if they are not served.

    Example:
        >>> SweepSummary(listed=3, pending_dv=2).to_json()["listed"]
        3
    """

    listed: int = 0
    pending_dv: int = 0
    pending_other: int | None = None
    due: int = 0
    enqueued: int = 0
    stuck: int = 0
    oldest_days: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    stuck_orders: list[int] = field(default_factory=list)
    plan: list[dict[str, object]] | None = None

    def to_json(self) -> dict[str, object]:
        """Return the summary; the plan, and the count of other orders, only if there is one."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def to_text(self) -> str:
        """Return the figures in one line, as a report shows them."""
        statuses = ", ".join(f"{status} {count}" for status, count in self.by_status.items())
        other = "" if self.pending_other is None else f", pending OV, EV and other {self.pending_other}"
        return (
            f"listed {self.listed} ({statuses or 'none'}), pending DV {self.pending_dv}{other}, due {self.due}, queued "
            f"{self.enqueued}, stuck {self.stuck}, oldest {self.oldest_days} days"
        )


class Sweeper:
    """Sweeps over the pending orders of one account, and reports what it finds if there is a ``reporter``.

    ``clock`` gives seconds since the epoch.

    Example:
        ``Sweeper(certcentral, queue, settings).sweep(SweepRequest(dry_run=True), deadline)``
    """

    def __init__(
        self,
        certcentral: "CertCentral",
        queue: "ReminderQueue",
        settings: "Config",
        reporter: "Reporter | None" = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep what is needed; nothing is called yet."""
        self._certcentral = certcentral
        self._queue = queue
        self._settings = settings
        self._reporter = reporter
        self._clock = clock

    def sweep(self, request: SweepRequest, deadline: float) -> SweepSummary:
        """List the pending orders, and queue a reminder for each order that one is due for.

        Memory does not grow with the account. A dry run queues and reports nothing, and lists the reminders as its
        plan. Safe to repeat, also at the same time: each reminder is recorded before it is sent.
        Raises `SendingPaused`, `QueueUnavailable`, the errors of `CertCentral`, and `CertCentralUnavailable` when the
        time before the ``deadline`` (seconds since the epoch) does not suffice; its message names the offset at which
        to resume.
        """
        if not self._settings.sending and not request.dry_run:
            raise SendingPaused(
                "Sending is switched off (SENDING=off). No order was listed. Sweep again when it is on."
            )
        settings, stuck = self._settings, StuckOrders()
        summary = SweepSummary(
            pending_other=0 if settings.all_order_types else None, plan=[] if request.dry_run else None
        )
        now = datetime.fromtimestamp(self._clock(), UTC)
        offset = request.offset
        for page in pending_pages(self._certcentral, offset, deadline):
            due = list(_due_reminders(page, summary, stuck, now, settings))
            if summary.plan is not None:
                planned = [reminder.to_json() | {"name": name} for name, reminder in due]
                summary.plan += planned[: MAX_ROWS - len(summary.plan)]
            else:
                summary.enqueued += self._queue.send([reminder for _, reminder in due], now.date())
            offset += len(page)
            if self._clock() > deadline - RESERVE_SECONDS:
                # A dry run must not be resumed as a sweep that queues.
                dry_run = ', "dry_run": true' if request.dry_run else ""
                error = CertCentralUnavailable(
                    f"The sweep ran out of time after {summary.listed} orders ({summary.enqueued} reminders queued). "
                    f'Resume it with {{"action": "sweep", "offset": {offset}{dry_run}}}.',
                    offset=offset,
                )
                self._report(stuck, summary, deadline, error)
                raise error
        self._report(stuck, summary, deadline)
        return summary

    def _report(
        self, stuck: StuckOrders, summary: SweepSummary, deadline: float, error: CertCentralUnavailable | None = None
    ) -> None:
        """Report what was found, also if the sweep ends with an ``error``: resumed, it does not look there again."""
        if self._reporter is not None and summary.plan is None:
            failure = None if error is None else error.message
            self._reporter.report(stuck, summary.to_text(), deadline, failure)


def _due_reminders(
    page: "list[ListedOrder]", summary: SweepSummary, stuck: StuckOrders, now: datetime, settings: "Config"
) -> Iterator[tuple[str, Reminder]]:
    """Count the orders of a page, and yield name and reminder of each order that one is, or may be, due for."""
    for row in page:
        summary.listed += 1
        status = (row.status or "unknown").casefold()
        counted = status if status in summary.by_status or len(summary.by_status) < MAX_STATUSES else OTHER_STATUSES
        summary.by_status[counted] = summary.by_status.get(counted, 0) + 1
        order = pending_order(row, now, settings.reminder_days, all_order_types=settings.all_order_types)
        if order is None:
            continue
        if order.is_dv:
            summary.pending_dv += 1
        else:
            summary.pending_other = (summary.pending_other or 0) + 1
        summary.oldest_days = max(summary.oldest_days, order.age_days or 0)
        match order.reminder:
            case Reminder() as reminder:
                summary.due += 1
                yield order.name, reminder
            case "stuck":
                stuck.add(order)
                summary.stuck += 1
                if len(summary.stuck_orders) < MAX_STUCK_LISTED:
                    summary.stuck_orders.append(order.order_id)
            case "none due":
                pass
