"""`list_pending`: which orders it lists, what it says of each, and how it ends."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given

from dv_resend.core.orders import ListedOrder
from dv_resend.core.pending import MAX_ROWS, RESERVE_SECONDS, PendingList, PendingOrder, list_pending
from dv_resend.core.requests import Reminder
from unit.core.test_sweep import DEADLINE, NOW, PURE, ROWS, Account, ago, row
from unit.fakes import FakeCertCentral

DAYS = (1, 3, 7, 14, 21)


def pending(rows: Sequence[ListedOrder], *, pages: int = 10**6, page_size: int = 1000) -> PendingList:
    """List the pending orders; after as many ``pages``, too little time is left."""
    # The first reading is the time of the listing; one more follows each page.
    readings = iter([NOW.timestamp()] * pages)
    certcentral = FakeCertCentral(rows=rows, page_size=page_size)
    return list_pending(DEADLINE, certcentral, DAYS, lambda: next(readings, DEADLINE - RESERVE_SECONDS + 1))


@pytest.mark.parametrize(
    ("listed", "status", "age_days", "reminder"),
    [
        *((row(age=3.2), "pending", 3, "day 3"), (row(age=6), "pending", 6, "none due")),
        *((row(age=23), "pending", 23, "stuck"), (row(age=45), "pending", 45, "stuck")),
        *((row(age=0), "pending", 0, "none due"), (row(age=-0.1), "pending", 0, "none due")),
        (row(status="Reissue_Pending", age=400), "reissue_pending", None, "decided by the worker"),
        (row(created=None), "pending", None, "decided by the worker"),
    ],
    ids=ascii,
)
def test_row_says_what_the_next_sweep_would_do(
    listed: ListedOrder, status: str, age_days: int | None, reminder: str
) -> None:
    (found,) = pending([listed]).orders

    assert found.to_json() == {
        "order_id": 7,
        "name": "unknown",
        "status": status,
        "age_days": age_days,
        "reminder": reminder,
    }


def test_orders_are_listed_in_order_with_their_names() -> None:
    found = pending([row(1, age=50, name="a.example"), row(2, age=3, name="b.example")], page_size=1)

    assert [(order.order_id, order.name) for order in found.orders] == [(1, "a.example"), (2, "b.example")]
    assert (found.more, found.other_products, found.complete) == (0, 0, True)


def test_other_products_are_counted_and_other_rows_left_out() -> None:
    others = [row(1, product_type="ssl_certificate"), row(2, product_type=None, status="reissue_pending")]
    neither = [row(3, status="issued"), row(4, status=None, product_type="ssl_certificate"), row(None)]

    assert pending([*others, *neither]) == PendingList(other_products=2)


def test_rows_beyond_the_limit_are_counted() -> None:
    found = pending([row(number, age=50) for number in range(1, MAX_ROWS + 4)])

    assert [order.order_id for order in found.orders] == list(range(1, MAX_ROWS + 1))
    assert (MAX_ROWS, found.more, found.complete) == (5000, 3, True)


def test_listing_out_of_time_has_the_rows_so_far() -> None:
    found = pending([row(number, age=50) for number in range(1, 31)], pages=2, page_size=10)

    assert (len(found.orders), found.complete) == (20, False)


def test_longest_answer_fits_into_a_response_of_lambda() -> None:
    # The longest name that `adapters.certcentral` lets pass, with characters that JSON escapes.
    longest = PendingOrder(10**15 - 1, '"' * 255 + "x" * 255, "reissue_pending", 36500, Reminder(7))

    answer = PendingList([longest] * MAX_ROWS, more=10**6, other_products=10**6).to_json()

    assert len(json.dumps(answer)) < 6 * 1024 * 1024


@PURE
@given(ROWS)
def test_list_says_what_a_sweep_does(rows: list[ListedOrder]) -> None:
    account = Account(rows)

    found, summary = pending(rows).orders, account.sweep(days=DAYS)

    assert [order.reminder for order in found if isinstance(order.reminder, Reminder)] == account.queue.reminders
    assert len(found) == summary.pending_dv
    assert [order.order_id for order in found if order.reminder == "stuck"] == summary.stuck_orders
    assert all(order.age_days is None or order.age_days <= summary.oldest_days for order in found)


def test_newly_stuck_are_those_of_the_last_two_days() -> None:
    found = pending([row(1, age=25), row(2, age=24.9), row(3, age=23), row(4, age=22), row(5, created=ago(400))])

    assert [order.order_id for order in found.orders if order.is_newly_stuck] == [2, 3]
