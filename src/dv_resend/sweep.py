"""The use cases of the sweep: find the orders whose reminder is due, and remind about one of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from dv_resend import reminders
from dv_resend.eligibility import PENDING_STATUSES, check_eligible, is_dv, without_validated
from dv_resend.errors import CertCentralUnavailable, OutcomeUnknown, SendingPaused
from dv_resend.models import (
    ListedOrder,
    Reminder,
    ReminderResult,
    ResendRequest,
    SweepRequest,
    SweepSummary,
    record_id,
)
from dv_resend.resend import Invocation, repeat_of, send

if TYPE_CHECKING:
    from dv_resend.certcentral import CertCentral
    from dv_resend.claims import Claims
    from dv_resend.reminder_queue import ReminderQueue

# Kept free at the end of an invocation: enough for one more page and its messages, and for handing over.
RESERVE_SECONDS = 60.0
# Lambda ends a chain of functions that call themselves near its sixteenth link.
MAX_LINKS = 10
MAX_STUCK_LISTED = 100


def sweep(
    request: SweepRequest,
    ends_at: float,
    *,
    certcentral: "CertCentral",
    queue: "ReminderQueue",
    days: Sequence[int],
    sending: bool,
    go_on: Callable[[SweepRequest], None],
    clock: Callable[[], float] = time.time,
) -> SweepSummary:
    """List the pending DV orders, and queue a reminder for each that one is due for.

    Memory does not grow with the account. What does not fit into this invocation (it ends at ``ends_at``, seconds since
    the epoch) is handed to ``go_on``; ``next_offset`` of the summary then says where. A dry run goes through the same
    motions, queues nothing, and lists the plan. Safe to repeat, also at the same time: each reminder is recorded.
    Raises `SendingPaused`, `QueueUnavailable`, and the errors of `CertCentral`.
    """
    if not sending and not request.dry_run:
        raise SendingPaused("Sending is switched off (SENDING=off); no order was looked at. Sweep again when it is on.")
    summary = deepcopy(request.so_far)
    if request.dry_run:
        summary.plan = []
    now = datetime.fromtimestamp(clock(), UTC)
    offset = request.offset
    for page in _pages(certcentral, offset, ends_at):
        found = list(_due(page, summary, now, days))
        if summary.plan is not None:
            summary.plan += [reminder.to_json() for reminder in found]
        else:
            summary.enqueued += queue.send(found, now.date())
        offset += len(page)
        if clock() > ends_at - RESERVE_SECONDS:
            summary.next_offset = offset
            break
    if summary.next_offset is not None and not request.dry_run and request.link < MAX_LINKS:
        go_on(SweepRequest(offset=offset, link=request.link + 1, so_far=replace(summary, next_offset=None)))
    return summary


def remind(
    reminder: Reminder,
    invocation: Invocation,
    *,
    certcentral: "CertCentral",
    claims: "Claims",
    days: Sequence[int],
    sending: bool,
    clock: Callable[[], float] = time.time,
) -> ReminderResult:
    """Have the emails of one order sent again, to the default recipients, if a reminder is due and not dealt with.

    Safe to repeat, however late: a reminder is recorded before it is sent, and the record is taken back only when the
    emails surely were not sent. Raises as `resend`.
    """
    request = ResendRequest(reminder.order_id)
    if reminder.record_id is not None and claims.reminded(reminder.record_id):
        return _already_reminded(request, claims, clock())
    if not sending:
        raise SendingPaused("Sending is switched off (SENDING=off); the reminder waits.")
    validation = certcentral.get_order_status(reminder.order_id, invocation.ends_at)
    order = certcentral.get_order(reminder.order_id, invocation.ends_at)
    check_eligible(order)
    # What the order says now decides: the message may have waited long, or not have known.
    now = datetime.fromtimestamp(clock(), UTC)
    if order.anchor is None:
        return ReminderResult(reminder.order_id, "stuck")  # nobody can tell when to remind: a human must look
    day = reminders.due(order.anchor, now, days)
    if day is None:
        is_stuck = reminders.stuck(order.anchor, now, days)
        return ReminderResult(reminder.order_id, "stuck" if is_stuck else "not_due")
    request = without_validated(request, validation.completed(order))
    record = record_id(reminder.order_id, order.anchor.astimezone(UTC).date(), day)
    if record != reminder.record_id and claims.reminded(record):
        return _already_reminded(request, claims, clock())
    outcome = _send_recorded(request, record, invocation, certcentral=certcentral, claims=claims, clock=clock)
    return ReminderResult(reminder.order_id, outcome)


def _send_recorded(
    request: ResendRequest,
    record: str,
    invocation: Invocation,
    *,
    certcentral: "CertCentral",
    claims: "Claims",
    clock: Callable[[], float],
) -> Literal["sent", "duplicate"]:
    """Send, with the reminder's record written before, and taken back if the emails surely were not sent."""

    def announce(request: ResendRequest) -> None:
        claims.record_reminder(record, clock())
        invocation.announce(request)

    # With a record that stays, but no claim, the reminder would count as dealt with.
    recorded = replace(invocation, announce=announce, take_back=lambda: claims.forget_reminder(record))
    try:
        result = send(request, recorded, certcentral=certcentral, claims=claims, clock=clock)
    except OutcomeUnknown:
        claims.record_reminder(record, clock())
        raise
    if result.outcome == "duplicate":
        claims.record_reminder(record, clock())
    return result.outcome


def _already_reminded(request: ResendRequest, claims: "Claims", now: float) -> ReminderResult:
    """Answer for a reminder that has a record; say so if a killed worker left its outcome open."""
    claim = claims.read(request.claim_key)
    if claim is not None and claim.state(now) in ("sending", "unknown"):
        repeat_of(request, claim, now)
    return ReminderResult(request.order_id, "already_reminded")


def _pages(certcentral: "CertCentral", offset: int, ends_at: float) -> Iterator[list[ListedOrder]]:
    """Yield the pages of the list until an empty one; totals are not to be trusted, they change meanwhile."""
    last = None
    while page := certcentral.list_orders(sorted(PENDING_STATUSES), offset, ends_at):
        if page == last:
            raise CertCentralUnavailable("CertCentral answers the same page of orders again; try again later.")
        last = page
        yield page
        offset += len(page)


def _due(page: list[ListedOrder], summary: SweepSummary, now: datetime, days: Sequence[int]) -> Iterator[Reminder]:
    """Count the orders of a page, and yield a reminder for each that one is, or may be, due for."""
    for row in page:
        summary.listed += 1
        status = row.status or "unknown"
        summary.by_status[status] = summary.by_status.get(status, 0) + 1
        if status not in PENDING_STATUSES or not is_dv(row.product_type) or row.order_id is None:
            continue
        summary.pending_dv += 1
        # A row does not say when a reissue was asked for (or, oddly, when the order was made): the order itself does.
        if status != "pending" or row.created is None:
            summary.due += 1
            yield Reminder(row.order_id)
            continue
        summary.oldest_days = max(summary.oldest_days, (now - row.created).days)
        day = reminders.due(row.created, now, days)
        if day is not None:
            summary.due += 1
            yield Reminder(row.order_id, row.created.astimezone(UTC).date(), day)
        elif reminders.stuck(row.created, now, days):
            summary.stuck += 1
            if len(summary.stuck_orders) < MAX_STUCK_LISTED:
                summary.stuck_orders.append(row.order_id)
