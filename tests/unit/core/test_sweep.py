"""`Sweeper.sweep`: which orders it queues, what it counts, and how it ends."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.orders import ListedOrder
from dv_resend.core.pending import RESERVE_SECONDS
from dv_resend.core.report import Reporter
from dv_resend.core.requests import Reminder, SweepRequest
from dv_resend.core.sweep import MAX_STATUSES, MAX_STUCK_LISTED, Sweeper, SweepSummary
from dv_resend.errors import CertCentralUnavailable, ConfigurationError, QueueUnavailable, SendingPaused
from unit.fakes import FakeCertCentral, FakeQueue, FakeReportTopic, config

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
DEADLINE = NOW.timestamp() + 900
DV = "dv_ssl_certificate"


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def row(
    order_id: int | None = 7,
    *,
    status: str | None = "pending",
    product_type: str | None = DV,
    age: float | None = None,
    created: datetime | None = None,
    name: str | None = None,
) -> ListedOrder:
    return ListedOrder(order_id, status, product_type, created if age is None else ago(age), name)


def due_rows(count: int) -> list[ListedOrder]:
    """Return rows of orders 1 to ``count``, for each of which the reminder of day 3 is due."""
    return [row(number, age=3) for number in range(1, count + 1)]


class Account:
    """A CertCentral with these rows, and a queue to sweep into."""

    def __init__(self, rows: Sequence[ListedOrder] = (), page_size: int = 1000) -> None:
        self.certcentral = FakeCertCentral(rows=rows, page_size=page_size)
        self.queue = FakeQueue()
        self.topic = FakeReportTopic()

    def sweep(
        self,
        *,
        dry_run: bool = False,
        offset: int = 0,
        sending: bool = True,
        days: tuple[int, ...] = (1, 3, 7, 14, 21),
        pages: int = 10**6,
        time_left: float = RESERVE_SECONDS - 1,
    ) -> SweepSummary:
        """Sweep; after as many ``pages``, only ``time_left`` seconds are left."""
        # The first reading is the time of the sweep; one more follows each page.
        readings = iter([NOW.timestamp()] * pages)
        sweeper = Sweeper(
            self.certcentral,
            self.queue,
            config(sending=sending, reminder_days=days),
            Reporter(self.topic, "dv-resend-prod", "eu-west-1"),
            clock=lambda: next(readings, DEADLINE - time_left),
        )
        return sweeper.sweep(SweepRequest(dry_run, offset), DEADLINE)

    @property
    def offsets(self) -> list[int]:
        return [offset for _, offset, _ in self.certcentral.journal.calls("list_orders")]

    @property
    def queued_orders(self) -> list[int]:
        return [reminder.order_id for reminder in self.queue.reminders]


# What is queued


@pytest.mark.parametrize(
    ("listed", "reminder"),
    [
        *((row(age=0), None), (row(age=1), Reminder(7, ago(1).date(), 1))),
        *((row(age=2.9), Reminder(7, ago(2.9).date(), 1)), (row(age=3), Reminder(7, ago(3).date(), 3))),
        *((row(age=6), None), (row(age=21), Reminder(7, ago(21).date(), 21)), (row(age=24), None)),
        (row(product_type="DV_SSL_Certificate", age=3), Reminder(7, ago(3).date(), 3)),
        (row(status="Pending", age=3), Reminder(7, ago(3).date(), 3)),
        (row(status="REISSUE_PENDING", age=3), Reminder(7)),
        # Only the order itself says when its reissue was requested, or what the row leaves out.
        *((row(status="reissue_pending", age=400), Reminder(7)), (row(status="reissue_pending", age=0), Reminder(7))),
        *((row(status="reissue_pending"), Reminder(7)), (row(created=None), Reminder(7))),
        # The date is that of UTC.
        (row(created=ago(3).astimezone(timezone(timedelta(hours=-7)))), Reminder(7, ago(3).date(), 3)),
        *((row(product_type=kind, age=3), None) for kind in ("ssl_certificate", "", None)),
        *((row(status=status, age=3), None) for status in ("issued", "needs_approval", "under_review", "", None)),
        *((row(status=status), None) for status in ("under_review", None)),
        *((row(None, age=3), None), (row(None, status="reissue_pending"), None)),
        (ListedOrder(None, None, None, None), None),
    ],
    ids=ascii,
)
def test_order_is_queued_if_a_reminder_is_or_may_be_due(listed: ListedOrder, reminder: Reminder | None) -> None:
    account = Account([listed])

    summary = account.sweep()

    expected = [] if reminder is None else [reminder]
    assert account.queue.reminders == expected
    assert (summary.listed, summary.due, summary.enqueued) == (1, len(expected), len(expected))


def test_reminders_are_queued_page_by_page_in_order() -> None:
    account = Account(due_rows(25), page_size=10)

    account.sweep()

    assert [len(call) for call in account.queue.sent] == [10, 10, 5]
    assert account.queued_orders == list(range(1, 26))


def test_reminders_are_queued_under_the_date_of_the_sweep() -> None:
    account = Account(due_rows(1))

    account.sweep()

    assert account.queue.swept_on == {NOW.date()}


def test_list_is_restricted_to_pending_orders() -> None:
    account = Account()

    account.sweep()

    assert account.certcentral.journal == [("list_orders", ("pending", "reissue_pending"), 0, DEADLINE)]


def test_reminder_days_are_those_of_the_settings() -> None:
    account = Account([row(1, age=2), row(2, age=3)])

    account.sweep(days=(2,))

    assert [(reminder.order_id, reminder.day) for reminder in account.queue.reminders] == [(1, 2), (2, 2)]


# What is counted


def test_empty_account_has_an_empty_summary() -> None:
    account = Account()

    assert account.sweep() == SweepSummary()
    assert account.queue.reminders == []


def test_summary_counts_everything_once() -> None:
    account = Account(
        [
            *(row(1, age=3), row(2, age=6), row(3, status="reissue_pending", age=400), row(4, created=None)),
            *(row(5, age=45), row(6, age=24), row(7, product_type="ssl_certificate", age=99)),
            *(row(8, status="under_review", age=98), row(9, status=None, age=97), row(None, age=96)),
        ]
    )

    assert account.sweep().to_json() == {
        "listed": 10,
        "pending_dv": 6,
        "due": 3,
        "enqueued": 3,
        "stuck": 2,
        "oldest_days": 45,
        "by_status": {"pending": 7, "reissue_pending": 1, "under_review": 1, "unknown": 1},
        "stuck_orders": [5, 6],
    }


def test_statuses_are_counted_without_case() -> None:
    rows = [row(status=status, age=0) for status in ("pending", "Pending", "Issued")]

    assert Account(rows).sweep().by_status == {"pending": 2, "issued": 1}


def test_statuses_beyond_a_limit_are_counted_as_one() -> None:
    """Upstream may make them up: a summary with a key for each of a million orders would not fit into a log line."""
    rows = [row(status=f"s{number}", age=0) for number in range(500)] + [row(status="s0", age=0)]

    by_status = Account(rows).sweep().by_status

    assert by_status == {"s0": 2, **{f"s{number}": 1 for number in range(1, MAX_STATUSES)}, "other": 500 - MAX_STATUSES}


def test_stuck_orders_are_listed_up_to_a_limit_but_all_counted() -> None:
    account = Account([row(number, age=50) for number in range(1, 251)], page_size=60)

    summary = account.sweep()

    assert summary.stuck == 250
    assert summary.stuck_orders == list(range(1, MAX_STUCK_LISTED + 1))
    assert MAX_STUCK_LISTED == 100


# Pages


def test_list_is_read_until_an_empty_page() -> None:
    account = Account([row(number) for number in range(25)], page_size=10)

    assert account.sweep().listed == 25
    assert account.offsets == [0, 10, 20, 25]


def test_short_page_does_not_end_the_list() -> None:
    account = Account([row(number) for number in range(5)])
    sizes, whole = iter([2, 1, 2, 0]), account.certcentral.page_at
    account.certcentral.page_at = lambda offset: whole(offset)[: next(sizes)]

    assert account.sweep().listed == 5


def test_pages_that_begin_with_the_same_empty_row_are_read() -> None:
    empty = ListedOrder(None, None, None, None)

    assert Account([empty, row(1), empty, row(2)], page_size=2).sweep().listed == 4


@pytest.mark.parametrize("repeated", [1, 2])
def test_page_that_is_returned_twice_ends_the_sweep(repeated: int) -> None:
    account = Account(due_rows(10), page_size=5)
    whole = account.certcentral.page_at
    account.certcentral.page_at = lambda offset: whole(min(offset, 5 * (repeated - 1)))

    with pytest.raises(CertCentralUnavailable, match="the same page"):
        account.sweep()

    assert len(account.queue.sent) == repeated


@pytest.mark.parametrize("error", [QueueUnavailable("x"), ConfigurationError("x")], ids=ascii)
def test_queue_error_ends_the_sweep(error: Exception) -> None:
    account = Account(due_rows(1))
    account.queue.error = error

    with pytest.raises(type(error)):
        account.sweep()


# Out of time


def resume_from(error: CertCentralUnavailable) -> SweepRequest:
    """Read the request to resume with from the message, as a person would."""
    text = error.message
    return SweepRequest.from_input(json.loads(text[text.index("{") : text.rindex("}") + 1]))


def test_sweep_out_of_time_names_the_offset_to_resume_at() -> None:
    account = Account([*due_rows(19), *(row(number, age=0) for number in range(20, 31))], page_size=10)

    with pytest.raises(CertCentralUnavailable, match=r"after 20 orders \(19 reminders queued\)") as caught:
        account.sweep(pages=2)

    assert caught.value.offset == 20
    assert resume_from(caught.value) == SweepRequest(offset=20)
    assert account.queued_orders == list(range(1, 20))


def test_dry_run_out_of_time_is_resumed_as_a_dry_run() -> None:
    account = Account(due_rows(10), page_size=5)

    with pytest.raises(CertCentralUnavailable, match=r"\(0 reminders queued\)") as caught:
        account.sweep(dry_run=True, pages=1)

    assert resume_from(caught.value) == SweepRequest(dry_run=True, offset=5)
    assert account.queue.sent == []


def test_sweep_goes_on_while_the_reserve_is_left() -> None:
    account = Account(due_rows(30), page_size=10)

    assert account.sweep(pages=1, time_left=RESERVE_SECONDS).listed == 30


ROWS = st.lists(
    st.builds(
        row,
        st.integers(1, 10**15 - 1) | st.none(),
        status=st.sampled_from(["pending", "pending", "reissue_pending", "issued", "under_review", None]),
        product_type=st.sampled_from([DV, DV, "ssl_certificate", None]),
        age=st.none() | st.integers(-1, 60) | st.floats(0, 60),
    ),
    max_size=40,
)
PURE = settings(deadline=None, derandomize=True, max_examples=100)


@PURE
@given(ROWS, st.integers(5, 20), st.integers(1, 3))
def test_resumed_sweeps_queue_what_one_long_sweep_would(rows: list[ListedOrder], page_size: int, pages: int) -> None:
    # No two pages may begin alike: the list would seem to repeat itself.
    rows = [
        replace(each, order_id=number if each.order_id or (number - 1) % page_size == 0 else None)
        for number, each in enumerate(rows, 1)
    ]
    whole, parts = Account(rows, page_size), Account(rows, page_size)
    whole.sweep()

    offset: int | None = 0
    while offset is not None:
        try:
            parts.sweep(offset=offset, pages=pages)
            offset = None
        except CertCentralUnavailable as error:
            offset = error.offset

    assert parts.queue.reminders == whole.queue.reminders
    assert parts.offsets[-1] == len(rows)


# Dry runs, and the stop switch


@pytest.mark.parametrize("sending", [True, False])
def test_dry_run_lists_the_plan_and_queues_nothing(sending: bool) -> None:
    rows = [row(1, age=3, name="a.example"), row(2, status="reissue_pending", name="b.example"), row(3, age=50)]
    account = Account(rows, page_size=2)

    summary = account.sweep(dry_run=True, sending=sending)

    assert summary.plan == [
        {"order_id": 1, "name": "a.example", "waiting_since": "2026-11-20", "day": 3},
        {"order_id": 2, "name": "b.example"},
    ]
    assert (summary.due, summary.enqueued, summary.stuck) == (2, 0, 1)
    assert account.queue.sent == []


def test_plan_has_at_most_five_thousand_reminders() -> None:
    summary = Account(due_rows(5002), page_size=999).sweep(dry_run=True)

    assert (summary.due, [entry["order_id"] for entry in summary.plan or []]) == (5002, [*range(1, 5001)])


def test_dry_run_of_an_empty_account_has_an_empty_plan() -> None:
    assert Account().sweep(dry_run=True).to_json()["plan"] == []


def test_paused_sending_lists_and_queues_nothing() -> None:
    account = Account(due_rows(1))

    with pytest.raises(SendingPaused):
        account.sweep(sending=False)

    assert (account.certcentral.journal, account.queue.sent) == ([], [])


# Reports


def test_stuck_orders_are_reported_with_the_summary() -> None:
    account = Account([row(1, age=45, name="a.example"), row(2, age=23, name="b.example"), row(3, age=3)], page_size=1)

    account.sweep()

    ((subject, text),) = account.topic.reports
    assert subject == "2 orders are stuck (dv-resend-prod)"
    assert text.index("- 2 b.example: pending for 23 days") < text.index("- 1 a.example: pending for 45 days")
    assert text.endswith("Summary: listed 3 (pending 3), pending DV 3, due 1, queued 1, stuck 2, oldest 45 days\n")
    assert account.topic.deadlines == [DEADLINE]


def test_sweep_out_of_time_reports_where_to_resume_and_what_it_found() -> None:
    account = Account([row(1, age=45), *due_rows(29)], page_size=10)

    with pytest.raises(CertCentralUnavailable) as caught:
        account.sweep(pages=2)

    ((subject, text),) = account.topic.reports
    assert subject == "The sweep ran out of time (dv-resend-prod)"
    assert caught.value.message in text
    assert "- 1 unknown: pending for 45 days" in text


@pytest.mark.parametrize("age", [3, 22.9])
def test_sweep_without_stuck_orders_reports_nothing(age: float) -> None:
    account = Account([row(1, age=age), row(2, created=None), row(3, status="reissue_pending", age=400)])

    account.sweep()

    assert account.topic.reports == []


@pytest.mark.parametrize("pages", [1, 9])
def test_dry_run_reports_nothing(pages: int) -> None:
    account = Account([row(1, age=45), row(2, age=45)], page_size=1)

    with suppress(CertCentralUnavailable):
        account.sweep(dry_run=True, pages=pages)

    assert account.topic.reports == []


def test_sweep_that_fails_otherwise_reports_nothing() -> None:
    account = Account([row(1, age=45), *due_rows(1)])
    account.queue.error = QueueUnavailable("x")

    with pytest.raises(QueueUnavailable):
        account.sweep()

    assert account.topic.reports == []
