"""What the setting ORDER_TYPES changes: which orders are swept and listed, and by which call each order is served."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.orders import ListedOrder, NameStatus, Order
from dv_resend.core.pending import RESERVE_SECONDS, PendingList, list_pending
from dv_resend.core.report import Reporter
from dv_resend.core.requests import Reminder, ResendRequest, SweepRequest
from dv_resend.core.sweep import Sweeper, SweepSummary
from dv_resend.errors import CertCentralUnavailable, InvalidRequest, OrderNotEligible, ResendError
from unit.fakes import FakeCertCentral, FakeQueue, FakeReportTopic, Fakes, config

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
DEADLINE = NOW.timestamp() + 900
DAYS = (1, 3, 7, 14, 21)
DV, OV = "dv_ssl_certificate", "ssl_certificate"


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def row(order_id: int = 7, age: float | None = 3, *, kind: str | None = OV, status: str = "pending") -> ListedOrder:
    created = None if age is None else ago(age)
    return ListedOrder(order_id, status, kind, created, f"{order_id}.example")


class Swept:
    """A sweep over these rows, with what it queued and reported."""

    def __init__(
        self,
        rows: Sequence[ListedOrder],
        *,
        all_order_types: bool = True,
        dry_run: bool = False,
        time_left: float = 900,
    ) -> None:
        self.queue, self.topic = FakeQueue(), FakeReportTopic()
        sweeper = Sweeper(
            FakeCertCentral(rows=rows),
            self.queue,
            config(all_order_types=all_order_types),
            Reporter(self.topic, "dv-resend-prod", "eu-west-1"),
            clock=lambda: NOW.timestamp(),
        )
        self.summary: SweepSummary | None = None
        self.error: ResendError | None = None
        try:
            self.summary = sweeper.sweep(SweepRequest(dry_run), NOW.timestamp() + time_left)
        except ResendError as error:
            self.error = error

    @property
    def figures(self) -> dict[str, Any]:
        assert self.summary is not None
        return self.summary.to_json()


def pending(rows: Sequence[ListedOrder], *, all_order_types: bool = True) -> PendingList:
    certcentral = FakeCertCentral(rows=rows)
    return list_pending(DEADLINE, certcentral, DAYS, NOW.timestamp, all_order_types=all_order_types)


# The message


MESSAGES: list[tuple[Reminder, dict[str, object]]] = [
    (Reminder(7, by_domain=True), {"order_id": 7, "by_domain": True}),
    (
        Reminder(7, date(2026, 11, 20), 3, by_domain=True),
        {"order_id": 7, "waiting_since": "2026-11-20", "day": 3, "by_domain": True},
    ),
    (Reminder(7), {"order_id": 7}),
    (Reminder(7, date(2026, 11, 20), 3), {"order_id": 7, "waiting_since": "2026-11-20", "day": 3}),
]
each_message = pytest.mark.parametrize(("reminder", "body"), MESSAGES, ids=ascii)


@each_message
def test_message_says_if_the_order_is_not_dv(reminder: Reminder, body: dict[str, object]) -> None:
    assert reminder.to_json() == body
    assert json.loads(json.dumps(reminder.to_json())) == body


@each_message
def test_message_is_read_as_it_was_written(reminder: Reminder, body: dict[str, object]) -> None:
    assert Reminder.from_json(body) == reminder


@pytest.mark.parametrize("fields", [{}, {"waiting_since": "2026-11-20", "day": 3}], ids=["undated", "dated"])
def test_message_with_by_domain_false_is_that_of_dv(fields: dict[str, object]) -> None:
    assert not Reminder.from_json({"order_id": 7, **fields, "by_domain": False}).by_domain


@pytest.mark.parametrize("value", ["true", 1, None, [], "x"], ids=ascii)
def test_message_with_another_by_domain_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Reminder.from_json({"order_id": 7, "by_domain": value})

    assert caught.value.field == "by_domain"


@pytest.mark.parametrize("fields", [{"day": 3}, {"waiting_since": "2026-11-20"}], ids=["day", "date"])
def test_incomplete_message_by_domain_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        Reminder.from_json({"order_id": 7, "by_domain": True, **fields})


def test_mark_does_not_depend_on_the_order_type() -> None:
    assert {Reminder(7, date(2026, 11, 20), 3, by_domain).mark for by_domain in (True, False)} == {"2026-11-20#3"}


# The sweep


@pytest.mark.parametrize(
    ("listed", "reminder"),
    [
        (row(), Reminder(7, ago(3).date(), 3, by_domain=True)),
        (row(age=21), Reminder(7, ago(21).date(), 21, by_domain=True)),
        (row(age=None), Reminder(7, by_domain=True)),
        (row(status="Reissue_Pending"), Reminder(7, by_domain=True)),
        *((row(kind=kind), Reminder(7, ago(3).date(), 3, by_domain=True)) for kind in ("a_new_certificate", "", None)),
        *((row(kind=kind), Reminder(7, ago(3).date(), 3)) for kind in (DV, "DV_SSL_Certificate")),
        (row(kind=DV, status="reissue_pending"), Reminder(7)),
        *((row(age=age), None) for age in (0, 6, 40)),
        *((row(status=status), None) for status in ("issued", "needs_approval")),
    ],
    ids=ascii,
)
def test_order_of_any_type_is_queued_if_due(listed: ListedOrder, reminder: Reminder | None) -> None:
    swept = Swept([listed])

    assert swept.queue.reminders == ([] if reminder is None else [reminder])
    assert (swept.figures["due"], swept.figures["enqueued"]) == (int(reminder is not None),) * 2


MIXED = [
    row(1, kind=DV),
    row(2),
    row(3, 45),
    row(4, 40, kind=DV),
    row(5, 6),
    row(6, status="issued"),
    row(8, kind=None),
]


def test_summary_counts_orders_of_other_types() -> None:
    assert Swept(MIXED).figures == {
        "listed": 7,
        "pending_dv": 2,
        "pending_other": 4,
        "due": 3,
        "enqueued": 3,
        "stuck": 2,
        "oldest_days": 45,
        "by_status": {"pending": 6, "issued": 1},
        "stuck_orders": [3, 4],
    }


def test_summary_counts_no_other_order_as_zero() -> None:
    assert Swept([row(1, kind=DV)]).figures["pending_other"] == 0


def test_sweep_of_dv_orders_has_no_figure_for_others() -> None:
    swept = Swept(MIXED, all_order_types=False)

    assert swept.figures == {
        "listed": 7,
        "pending_dv": 2,
        "due": 1,
        "enqueued": 1,
        "stuck": 1,
        "oldest_days": 40,
        "by_status": {"pending": 6, "issued": 1},
        "stuck_orders": [4],
    }
    assert [reminder.to_json().get("by_domain") for reminder in swept.queue.reminders] == [None]


def test_plan_of_a_dry_run_says_which_go_by_domain() -> None:
    assert Swept([row(1, kind=DV), row(2)], dry_run=True).figures["plan"] == [
        {"order_id": 1, "waiting_since": "2026-11-20", "day": 3, "name": "1.example"},
        {"order_id": 2, "waiting_since": "2026-11-20", "day": 3, "by_domain": True, "name": "2.example"},
    ]


def test_report_counts_and_lists_orders_of_all_types() -> None:
    ((subject, text),) = Swept(MIXED).topic.reports

    assert subject.startswith("2 orders are stuck")
    assert "- 3 3.example: pending for 45 days" in text
    assert "pending DV 2, pending OV, EV and other 4, due 3" in text


def test_report_of_dv_orders_does_not_mention_others() -> None:
    ((_, text),) = Swept(MIXED, all_order_types=False).topic.reports

    assert "OV" not in text
    assert "pending DV 2, due 1" in text


def test_sweep_out_of_time_has_queued_orders_of_all_types() -> None:
    swept = Swept(MIXED, time_left=RESERVE_SECONDS - 1)

    assert isinstance(swept.error, CertCentralUnavailable)
    assert [reminder.order_id for reminder in swept.queue.reminders] == [1, 2, 8]


# The list of pending orders


def test_pending_orders_of_all_types_are_listed() -> None:
    found = pending(MIXED)

    assert [(order.order_id, order.is_dv) for order in found.orders] == [
        *((1, True), (2, False), (3, False), (4, True), (5, False), (8, False))
    ]
    assert [order.to_json()["reminder"] for order in found.orders] == [
        *("day 3", "day 3", "stuck", "stuck", "none due", "day 3")
    ]
    assert found.other_products == 0


def test_row_of_another_type_looks_like_one_of_dv() -> None:
    other, dv = pending([row(), row(8, kind=DV)]).to_json()["orders"]  # type: ignore[misc]

    assert other.keys() == dv.keys()  # type: ignore[has-type]


def test_unreadable_rows_are_no_other_products() -> None:
    assert pending([replace(row(), order_id=None), row(8, status="issued")]) == PendingList()


def test_list_of_dv_orders_counts_the_others() -> None:
    found = pending(MIXED, all_order_types=False)

    assert ([order.order_id for order in found.orders], found.other_products) == ([1, 4], 4)


ROWS = st.lists(
    st.builds(
        row,
        st.integers(1, 10**9),
        st.none() | st.floats(0, 60),
        kind=st.sampled_from([DV, "Dv_Ssl_Certificate", OV, "ev", "", None]),
        status=st.sampled_from(["pending", "pending", "reissue_pending", "issued"]),
    ),
    max_size=20,
)
PURE = settings(deadline=None, derandomize=True, max_examples=100)


@PURE
@given(ROWS)
def test_list_of_all_types_says_what_a_sweep_does(rows: list[ListedOrder]) -> None:
    found, swept = pending(rows), Swept(rows)

    assert [order.reminder for order in found.orders if isinstance(order.reminder, Reminder)] == swept.queue.reminders
    assert len(found.orders) == swept.figures["pending_dv"] + swept.figures["pending_other"]
    assert [order.order_id for order in found.orders if order.reminder == "stuck"] == swept.figures["stuck_orders"]


@PURE
@given(ROWS)
def test_dv_orders_are_swept_alike_with_either_setting(rows: list[ListedOrder]) -> None:
    only, both = Swept(rows, all_order_types=False), Swept(rows)

    assert [each for each in both.queue.reminders if not each.by_domain] == only.queue.reminders
    assert only.figures["pending_dv"] == both.figures["pending_dv"]


# Which call serves which order


TYPES = st.sampled_from([DV, "DV_SSL_CERTIFICATE", OV, "ev_ssl_certificate", "dv_ssl_certificate_2", "", None])
# As an order shows it, whose entries may or may not have what a domain-level call needs.
ENTRIES = st.lists(
    st.builds(
        NameStatus,
        st.sampled_from(["a.example", "b.example", ""]),
        st.sampled_from(["pending", "pending", "approved"]),
        st.sampled_from([(), ("a.example",), ("www.b.example",)]),
        domain_id=st.sampled_from([1, 2, None]),
        method=st.sampled_from(["email", "Email", "dns-txt-token", None]),
    ),
    max_size=4,
).map(tuple)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(
    product_type=TYPES,
    entries=ENTRIES,
    status=st.sampled_from(["pending", "reissue_pending", "issued"]),
    method=st.sampled_from(["email", "dns-txt-token", None]),
    all_order_types=st.booleans(),
    call=st.sampled_from(["resend", "force", "named", "remind", "remind by domain"]),
)
def test_each_order_is_served_by_its_own_call_only(
    product_type: str | None,
    entries: tuple[NameStatus, ...],
    status: str,
    method: str | None,
    all_order_types: bool,
    call: str,
) -> None:
    """An order-level resend is never sent for an order that is not DV, nor a domain-level one for a DV order."""
    fakes, now = Fakes(), NOW.timestamp()
    fakes.certcentral.order = Order(7, status, product_type, method, ago(3), names=("a.example",))
    fakes.certcentral.domains = entries
    resender = fakes.resender(now, all_order_types=all_order_types, check_recipients=False)
    named = {"domain_approval_emails": [{"domain": "a.example", "email": "admin@a.example"}]}
    fields = {"resend": {}, "force": {"force": True}, "named": named}
    reason = None

    try:
        if call in fields:
            resender.resend(ResendRequest.from_input({"order_id": 7, **fields[call]}), fakes.invocation(now))  # type: ignore[dict-item]
        else:
            resender.remind(Reminder(7, ago(3).date(), 3, call == "remind by domain"), fakes.invocation(now))
    except ResendError as error:
        reason = getattr(error, "reason", None)

    is_dv = (product_type or "").lower() == DV
    assert not fakes.certcentral.puts or is_dv
    assert not fakes.certcentral.domain_puts or (all_order_types and not is_dv)
    assert (reason == "not_dv") == (not is_dv and not all_order_types)


@pytest.mark.parametrize("product_type", [DV, "Dv_Ssl_Certificate"])
@pytest.mark.parametrize("all_order_types", [True, False])
def test_dv_order_is_sent_by_order_with_either_setting(product_type: str, all_order_types: bool) -> None:
    fakes, now = Fakes(), NOW.timestamp()
    fakes.certcentral.order = Order(7, "pending", product_type, "email")

    fakes.resender(now, all_order_types=all_order_types).resend(ResendRequest(7), fakes.invocation(now))

    assert (fakes.certcentral.puts, fakes.certcentral.domain_puts) == ([{}], [])


def test_setting_dv_points_to_the_domain_level_call() -> None:
    fakes, now = Fakes(), NOW.timestamp()
    fakes.certcentral.order = Order(7, "pending", OV, "email")

    with pytest.raises(OrderNotEligible, match="PUT /services/v2/domain/") as caught:
        fakes.resender(now).resend(ResendRequest(7), fakes.invocation(now))

    assert caught.value.reason == "not_dv"
