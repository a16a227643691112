"""The Sweeper: which orders it queues, how it goes on and what it counts; and what becomes of each reminder."""

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import TABLE, create_claims_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from dv_resend.adapters.claims_table import ClaimsTable
from dv_resend.core.orders import ListedOrder, NameStatus, Order
from dv_resend.core.requests import Invocation, Recipient, Reminder, ResendRequest, SweepRequest
from dv_resend.core.resend import Resender
from dv_resend.core.sweep import MAX_LINKS, MAX_STUCK_LISTED, RESERVE_SECONDS, Sweeper, SweepSummary
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ClaimsUnavailable,
    ConfigurationError,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    QueueUnavailable,
    RateLimited,
    RequestRejected,
    ResendInProgress,
    SendingPaused,
)
from unit.fakes import LOOKS, ORDER, PUT, VALIDATION, CertCentral, no_dns

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
DAYS = (1, 3, 7, 14, 21)
DV = "dv_ssl_certificate"
COOL_DOWN = 3600


def ago(days, **more):
    return NOW - timedelta(days=days, **more)


def listed(order_id=7, *, status="pending", product_type=DV, created=None, age=None):
    return ListedOrder(order_id, status, product_type, ago(age) if age is not None else created)


class List:
    """Stands in for CertCentral's list: pages of ``rows``, asked for with an offset."""

    def __init__(self, rows, page_size=1000):
        self.rows = rows
        self.page_size = page_size
        self.calls = []
        self.fail_at = None

    def list_orders(self, statuses, offset, deadline):
        self.calls.append((tuple(statuses), offset, deadline))
        if offset == self.fail_at:
            raise CertCentralUnavailable("x")
        return self.rows[offset : offset + self.page_size]

    @property
    def offsets(self):
        return [offset for _, offset, _ in self.calls]


class Queue:
    """Stands in for the queue: keeps what it is sent, a list per call."""

    def __init__(self):
        self.sent = []
        self.error = None

    def send(self, reminders, swept_on):
        assert swept_on == NOW.date()
        if self.error is not None:
            raise self.error
        self.sent.append(list(reminders))
        return len(reminders)

    @property
    def reminders(self):
        return [reminder for page in self.sent for reminder in page]


class Chain:
    """Runs a Sweeper, and keeps the links that it hands over."""

    def __init__(self, rows=(), page_size=1000, pages_per_link=10**6):
        self.certcentral = List(list(rows), page_size)
        self.queue = Queue()
        self.links = []
        self.pages_per_link = pages_per_link

    def run(self, request=None, *, sending=True, days=DAYS):
        deadline = NOW.timestamp() + 900
        looks = iter([NOW.timestamp()] * self.pages_per_link)
        return Sweeper(
            request or SweepRequest(),
            deadline,
            certcentral=self.certcentral,
            queue=self.queue,
            days=days,
            sending=sending,
            go_on=self.links.append,
            # The first look is the time of the Sweeper; then one after each page, until time is up.
            clock=lambda: next(looks, deadline - RESERVE_SECONDS + 1),
        )

    def run_all(self):
        """Run link after link, each from its event, as Lambda would hand it over; give the last one's summary."""
        summary = self.run()
        while self.links:
            link = self.links.pop(0)
            summary = self.run(SweepRequest.from_input(json.loads(json.dumps(link.to_json()))))
        return summary


def counts(summary):
    return {name: value for name, value in summary.to_json().items() if value not in (0, [], {})}


# What is queued


@pytest.mark.parametrize(
    ("row", "reminder"),
    [
        (listed(age=0), None),
        (listed(age=1), Reminder(7, ago(1).date(), 1)),
        (listed(age=2.9), Reminder(7, ago(2.9).date(), 1)),
        (listed(age=3), Reminder(7, ago(3).date(), 3)),
        (listed(age=6), None),
        (listed(age=21), Reminder(7, ago(21).date(), 21)),
        (listed(age=24), None),
        (listed(product_type="DV_SSL_Certificate", age=3), Reminder(7, ago(3).date(), 3)),
        # Only the order itself says when its reissue was asked for, or what the row leaves out.
        (listed(status="reissue_pending", age=400), Reminder(7)),
        (listed(status="reissue_pending", age=0), Reminder(7)),
        (listed(status="reissue_pending"), Reminder(7)),
        (listed(created=None), Reminder(7)),
        # The date of an anchor is UTC's.
        (listed(created=ago(3).astimezone(timezone(timedelta(hours=-7)))), Reminder(7, ago(3).date(), 3)),
        *((listed(product_type=kind, age=3), None) for kind in ("ssl_certificate", "", None)),
        *((listed(status=status, age=3), None) for status in ("issued", "needs_approval", "under_review", "", None)),
        *((listed(status=status), None) for status in ("under_review", None)),
        (listed(None, age=3), None),
        (listed(None, status="reissue_pending"), None),
        (ListedOrder(None, None, None, None), None),
    ],
    ids=ascii,
)
def test_an_order_is_queued_if_a_reminder_is_due_or_may_be(row, reminder):
    chain = Chain([row])

    summary = chain.run()

    assert chain.queue.reminders == ([] if reminder is None else [reminder])
    assert (summary.listed, summary.due, summary.enqueued) == (
        1,
        len(chain.queue.reminders),
        len(chain.queue.reminders),
    )


def test_the_order_of_the_list_is_the_order_of_the_queue():
    chain = Chain([listed(number, age=3) for number in range(1, 26)], page_size=10)

    chain.run()

    assert [len(page) for page in chain.queue.sent] == [10, 10, 5]
    assert [reminder.order_id for reminder in chain.queue.reminders] == list(range(1, 26))


def test_only_what_may_wait_for_an_email_is_asked_for():
    chain = Chain()

    chain.run()

    assert chain.certcentral.calls == [(("pending", "reissue_pending"), 0, NOW.timestamp() + 900)]


def test_the_days_are_those_of_the_settings():
    chain = Chain([listed(1, age=2), listed(2, age=3)])

    chain.run(days=(2,))

    assert [(reminder.order_id, reminder.day) for reminder in chain.queue.reminders] == [(1, 2), (2, 2)]


# What is counted


def test_an_empty_account_is_a_sweep_of_nothing():
    chain = Chain()

    assert chain.run() == SweepSummary()
    assert chain.queue.reminders == []


def test_everything_is_counted_once():
    rows = [
        listed(1, age=3),
        listed(2, age=6),
        listed(3, status="reissue_pending", age=400),
        listed(4, created=None),
        listed(5, age=45),
        listed(6, age=24),
        listed(7, product_type="ssl_certificate", age=99),
        listed(8, status="under_review", age=98),
        listed(9, status=None, age=97),
        listed(None, age=96),
    ]

    assert Chain(rows).run().to_json() == {
        "listed": 10,
        "pending_dv": 6,
        "due": 3,
        "enqueued": 3,
        "stuck": 2,
        "oldest_days": 45,
        "by_status": {"pending": 7, "reissue_pending": 1, "under_review": 1, "unknown": 1},
        "stuck_orders": [5, 6],
    }


def test_a_reissue_is_not_old_or_stuck_because_its_order_is():
    summary = Chain([listed(status="reissue_pending", age=400)]).run()

    assert (summary.stuck, summary.oldest_days, summary.due) == (0, 0, 1)


def test_an_order_of_the_future_does_not_make_the_oldest_younger():
    assert Chain([listed(age=-400), listed(age=2)]).run().oldest_days == 2


def test_stuck_orders_are_named_up_to_a_limit_and_all_counted():
    chain = Chain([listed(number, age=50) for number in range(1, 251)], page_size=60)

    summary = chain.run()

    assert summary.stuck == 250
    assert summary.stuck_orders == list(range(1, MAX_STUCK_LISTED + 1))
    assert MAX_STUCK_LISTED == 100


def test_one_odd_date_does_not_end_the_sweep():
    chain = Chain([listed(1, created=datetime(9999, 12, 31, tzinfo=UTC)), listed(2, age=3)])

    assert chain.run().listed == 2
    assert [reminder.order_id for reminder in chain.queue.reminders] == [2]


def test_two_pages_may_begin_with_rows_that_say_nothing():
    nothing = ListedOrder(None, None, None, None)

    assert Chain([nothing, listed(1), nothing, listed(2)], page_size=2).run().listed == 4


# Pages


def test_pages_are_read_until_an_empty_one():
    chain = Chain([listed(number) for number in range(25)], page_size=10)

    assert chain.run().listed == 25
    assert chain.certcentral.offsets == [0, 10, 20, 25]


def test_a_short_page_does_not_end_the_list():
    chain = Chain([listed(number) for number in range(5)])
    whole = chain.certcentral.list_orders
    sizes = iter([2, 1, 2, 0])
    chain.certcentral.list_orders = lambda *arguments: whole(*arguments)[: next(sizes)]

    assert chain.run().listed == 5


@pytest.mark.parametrize("repeated", [1, 2])
def test_a_list_that_does_not_go_on_ends_the_sweep_with_an_error_and_not_never(repeated):
    chain = Chain([listed(number, age=3) for number in range(1, 11)], page_size=5)
    whole = chain.certcentral.list_orders
    chain.certcentral.list_orders = lambda statuses, offset, deadline: whole(
        statuses, min(offset, 5 * (repeated - 1)), deadline
    )

    with pytest.raises(CertCentralUnavailable):
        chain.run()

    assert len(chain.queue.sent) == repeated


def test_orders_that_move_between_pages_do_no_harm():
    chain = Chain([listed(number, age=3) for number in range(1, 13)], page_size=5)
    whole = chain.certcentral.list_orders

    def shrinking(*arguments):
        page = whole(*arguments)
        del chain.certcentral.rows[:1]
        return page

    chain.certcentral.list_orders = shrinking

    summary = chain.run()

    # One was issued after each page; those that slipped by are found by the next Sweeper.
    assert summary.listed == 10
    assert len(set(chain.queue.reminders)) == 10


def test_what_was_queued_before_a_failure_stays_queued():
    chain = Chain([listed(number, age=3) for number in range(1, 11)], page_size=5)
    chain.certcentral.fail_at = 5

    with pytest.raises(CertCentralUnavailable):
        chain.run()

    assert [reminder.order_id for reminder in chain.queue.reminders] == [1, 2, 3, 4, 5]
    assert chain.links == []


@pytest.mark.parametrize("error", [QueueUnavailable("x"), ConfigurationError("x")], ids=ascii)
def test_without_the_queue_the_sweep_fails(error):
    chain = Chain([listed(age=3)])
    chain.queue.error = error

    with pytest.raises(type(error)):
        chain.run()

    assert chain.links == []


# Out of time


def test_out_of_time_it_hands_over_where_it_stopped_and_what_it_counted():
    chain = Chain([listed(number, age=3) for number in range(1, 31)], page_size=10, pages_per_link=2)

    summary = chain.run()

    assert (summary.listed, summary.next_offset) == (20, 20)
    (link,) = chain.links
    assert (link.offset, link.link, link.dry_run) == (20, 2, False)
    assert counts(link.so_far) == {
        "listed": 20,
        "pending_dv": 20,
        "due": 20,
        "enqueued": 20,
        "oldest_days": 3,
        "by_status": {"pending": 20},
    }


def test_the_next_link_starts_there_and_counts_on():
    chain = Chain([listed(number, age=3) for number in range(1, 31)], page_size=10, pages_per_link=2)

    summary = chain.run_all()

    assert chain.certcentral.offsets == [0, 10, 20, 30]
    assert (summary.listed, summary.enqueued, summary.next_offset) == (30, 30, None)
    assert [reminder.order_id for reminder in chain.queue.reminders] == list(range(1, 31))


def test_the_last_link_does_not_hand_over_and_says_that_it_did_not_finish():
    chain = Chain([listed(number) for number in range(100)], page_size=1, pages_per_link=1)

    summary = chain.run_all()

    assert chain.certcentral.offsets == list(range(MAX_LINKS))
    assert (summary.listed, summary.next_offset) == (MAX_LINKS, MAX_LINKS)
    assert MAX_LINKS == 10


def test_with_time_left_nothing_is_handed_over():
    chain = Chain([listed(number) for number in range(50)], page_size=10)

    assert chain.run().next_offset is None
    assert chain.links == []


ROWS = st.lists(
    st.builds(
        listed,
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
def test_a_sweep_in_links_finds_and_counts_what_one_long_sweep_would(rows, page_size, pages_per_link):
    # No two pages may begin alike: the list would seem to repeat itself.
    rows = [
        replace(row, order_id=number if row.order_id or (number - 1) % page_size == 0 else None)
        for number, row in enumerate(rows, 1)
    ]
    whole, parts = Chain(rows, page_size), Chain(rows, page_size, pages_per_link)

    assert parts.run_all() == whole.run()
    assert parts.queue.reminders == whole.queue.reminders
    assert parts.certcentral.offsets[-1] == len(rows)


@PURE
@given(ROWS)
def test_the_figures_of_a_summary_fit_together(rows):
    chain = Chain(rows)

    summary = chain.run()

    assert summary.listed == len(rows) == sum(summary.by_status.values())
    assert summary.due + summary.stuck <= summary.pending_dv <= summary.listed
    assert summary.due == summary.enqueued == len(chain.queue.reminders)
    assert summary.stuck == len(summary.stuck_orders)
    assert {row.order_id for row in rows} >= {reminder.order_id for reminder in chain.queue.reminders}
    assert summary.oldest_days >= 0


# Dry runs, and the stop switch


@pytest.mark.parametrize("sending", [True, False])
def test_a_dry_run_lists_the_plan_and_queues_nothing(sending):
    chain = Chain([listed(1, age=3), listed(2, status="reissue_pending"), listed(3, age=50)], page_size=2)

    summary = chain.run(SweepRequest(dry_run=True), sending=sending)

    assert summary.plan == [{"order_id": 1, "anchor": "2026-11-20", "day": 3}, {"order_id": 2}]
    assert (summary.due, summary.enqueued, summary.stuck) == (2, 0, 1)
    assert chain.queue.sent == []


def test_a_dry_run_of_nothing_has_an_empty_plan():
    assert Chain().run(SweepRequest(dry_run=True)).to_json()["plan"] == []


def test_a_dry_run_that_is_out_of_time_says_where_it_stopped_and_starts_nothing():
    chain = Chain([listed(number, age=3) for number in range(1, 11)], page_size=5, pages_per_link=1)

    summary = chain.run(SweepRequest(dry_run=True))

    assert (len(summary.plan), summary.next_offset) == (5, 5)
    assert chain.links == []


def test_while_sending_is_off_nothing_is_looked_at_or_queued():
    chain = Chain([listed(age=3)])

    with pytest.raises(SendingPaused):
        chain.run(sending=False)

    assert (chain.certcentral.calls, chain.queue.sent) == ([], [])


# One reminder


class Down:
    """The claims table's client; ``down`` holds ids whose writes fail."""

    def __init__(self, client):
        self._client = client
        self.exceptions = client.exceptions
        self.down = set()

    def put_item(self, **arguments):
        if arguments["Item"]["id"]["S"] in self.down:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "x"}}, "PutItem")
        return self._client.put_item(**arguments)

    def __getattr__(self, name):
        return getattr(self._client, name)


@pytest.fixture(scope="module")
def dynamodb():
    """One table for the whole file: a new one per test would take most of the time."""
    with mock_aws():
        client = boto3.client("dynamodb")
        create_claims_table(client)
        yield client


def empty(dynamodb):
    for stored in dynamodb.scan(TableName=TABLE)["Items"]:
        dynamodb.delete_item(TableName=TABLE, Key={"id": stored["id"]})


@pytest.fixture
def table(dynamodb):
    empty(dynamodb)
    return Down(dynamodb)


@pytest.fixture
def claims(table):
    return ClaimsTable(TABLE, COOL_DOWN, table)


@pytest.fixture
def certcentral():
    return CertCentral(anchor=ago(3))


@pytest.fixture
def records(dynamodb):
    """Give the ids of the records of reminders: all items that are no claims."""

    def read():
        return [item["id"]["S"] for item in dynamodb.scan(TableName=TABLE)["Items"] if "owner" not in item]

    return read


REMINDER = Reminder(7, ago(3).date(), 3)
RECORD = "7#2026-11-20#3"


@pytest.fixture
def run(certcentral, claims):
    """Deliver a message ``at`` seconds after the Sweeper, to an invocation that has 29 s."""

    def call(reminder=REMINDER, *, at=0, sending=True, days=DAYS):
        now = NOW.timestamp() + at
        return Resender(
            reminder,
            Invocation(now + 29, "call", lambda announced: certcentral.journal.append(("before_send", announced))),
            certcentral=certcentral,
            claims=claims,
            days=days,
            sending=sending,
            clock=lambda: now,
        ).outcome

    return call


@pytest.fixture
def by_hand(certcentral, claims):
    """Make a manual call."""

    def call(request, at=0):
        now = NOW.timestamp() + at
        return Resender(
            request,
            Invocation(now + 29, "by hand"),
            certcentral=certcentral,
            claims=claims,
            dns=no_dns,
            check_recipients=True,
            sending=True,
            clock=lambda: now,
        ).outcome

    return call


def test_a_due_reminder_mails_the_default_recipients_once_and_is_recorded(run, certcentral, records):
    assert run() == "sent"

    deadline = NOW.timestamp() + 29
    assert certcentral.journal == [
        (VALIDATION, 7, deadline),
        (ORDER, 7, deadline),
        ("before_send", ResendRequest(7)),
        (PUT, 7, {}, deadline),
    ]
    assert records() == [RECORD]


@pytest.mark.parametrize("at", [1, COOL_DOWN, 24 * 3600])
@pytest.mark.parametrize("sending", [True, False])
def test_a_reminder_that_was_dealt_with_asks_nothing(run, certcentral, at, sending):
    run()
    del certcentral.journal[:]

    assert run(at=at, sending=sending) == "already_reminded"
    assert certcentral.journal == []


@pytest.mark.parametrize("reminder", [REMINDER, Reminder(7)], ids=ascii)
def test_while_sending_is_off_nothing_is_asked_or_recorded(run, certcentral, records, reminder):
    with pytest.raises(SendingPaused):
        run(reminder, sending=False)

    assert (certcentral.journal, records()) == ([], [])


@pytest.mark.parametrize(
    ("anchor", "outcome"),
    [(ago(0), "not_due"), (ago(6), "not_due"), (ago(24), "stuck"), (ago(400), "stuck"), (None, "stuck")],
    ids=str,
)
@pytest.mark.parametrize("reminder", [REMINDER, Reminder(7)], ids=ascii)
@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
def test_what_the_order_says_now_decides(run, certcentral, records, anchor, outcome, reminder, status):
    certcentral.order = Order(7, status, DV, "email", anchor)

    assert run(reminder) == outcome
    assert (certcentral.calls, records()) == (LOOKS, [])


def test_a_message_that_waited_into_the_next_day_sends_that_days_reminder(run, certcentral, records):
    certcentral.order = Order(7, "pending", DV, "email", ago(7))

    assert run(Reminder(7, ago(7).date(), 3)) == "sent"
    assert records() == ["7#2026-11-16#7"]

    assert run(Reminder(7, ago(7).date(), 7), at=60) == "already_reminded"
    assert run(Reminder(7, ago(7).date(), 3), at=90) == "already_reminded"
    assert certcentral.calls == [*LOOKS, PUT, *LOOKS]


def test_a_reissue_counts_from_its_own_day(run, certcentral, records):
    certcentral.order = Order(7, "reissue_pending", DV, "email", ago(1))

    assert run(Reminder(7)) == "sent"
    assert records() == ["7#2026-11-22#1"]

    # A second Sweeper on the same day cannot know, and asks; it does not mail.
    assert run(Reminder(7), at=2 * COOL_DOWN) == "already_reminded"
    assert certcentral.calls == [*LOOKS, PUT, *LOOKS]


def test_a_newer_reissue_is_reminded_of_anew(run, certcentral, records):
    certcentral.order = Order(7, "reissue_pending", DV, "email", ago(3))
    run(Reminder(7))
    certcentral.order = Order(7, "reissue_pending", DV, "email", ago(1))

    assert run(Reminder(7), at=2 * COOL_DOWN) == "sent"
    assert sorted(records()) == ["7#2026-11-20#3", "7#2026-11-22#1"]


def test_the_record_of_an_anchor_has_the_date_of_utc(run, certcentral, records):
    certcentral.order = Order(7, "pending", DV, "email", ago(3).astimezone(timezone(timedelta(hours=-7))))

    assert run(Reminder(7)) == "sent"
    assert records() == [RECORD]


# Repeats and doubts


def test_a_manual_default_resend_inside_the_cool_down_counts_as_the_reminder(run, by_hand, certcentral, records):
    by_hand(ResendRequest(7), at=-60)

    assert run() == "duplicate"
    assert certcentral.calls == [*LOOKS, PUT, *LOOKS]
    assert records() == [RECORD]
    assert run(at=COOL_DOWN) == "already_reminded"


def test_a_manual_default_resend_before_that_does_not(run, by_hand, certcentral):
    by_hand(ResendRequest(7), at=-COOL_DOWN)

    assert run() == "sent"
    assert certcentral.calls.count(PUT) == 2


@pytest.mark.parametrize(
    "request_",
    [ResendRequest(7, (Recipient("example.com", "admin@example.com"),)), ResendRequest(7, locale="de")],
    ids=["named", "locale"],
)
def test_a_manual_resend_of_other_emails_does_not(run, by_hand, certcentral, request_):
    by_hand(request_, at=-60)

    assert run() == "sent"
    assert certcentral.calls.count(PUT) == 2


def test_a_manual_default_resend_after_the_reminder_is_a_duplicate(run, by_hand):
    run()

    assert by_hand(ResendRequest(7), at=60) == "duplicate"


def test_an_unknown_outcome_is_recorded_and_not_tried_again(run, certcentral, records):
    certcentral.on_put = OutcomeUnknown("x")
    with pytest.raises(OutcomeUnknown):
        run()
    assert records() == [RECORD]

    certcentral.on_put = None
    assert run(at=2 * COOL_DOWN) == "already_reminded"
    assert certcentral.calls == [*LOOKS, PUT]


def test_an_earlier_unknown_outcome_is_the_reminders_too(run, by_hand, certcentral, records):
    certcentral.on_put = OutcomeUnknown("x")
    with pytest.raises(OutcomeUnknown):
        by_hand(ResendRequest(7), at=-60)

    with pytest.raises(OutcomeUnknown):
        run()

    assert certcentral.calls.count(PUT) == 1
    assert records() == [RECORD]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (Order(7, "issued", DV, "email", ago(3)), "not_pending"),
        (Order(7, "needs_approval", DV, "email", ago(3)), "needs_approval"),
        (Order(7, "pending", DV, "dns-txt-token", ago(3)), "not_email_dcv"),
        (Order(7, "pending", "ssl_certificate", "email", ago(3)), "not_dv"),
        # Whether or not a reminder would be due.
        (Order(7, "issued", DV, "email", ago(6)), "not_pending"),
    ],
    ids=ascii,
)
def test_an_order_that_no_email_helps_is_refused_with_the_reason_and_not_recorded(
    run, certcentral, records, order, reason
):
    certcentral.order = order

    with pytest.raises(OrderNotEligible) as caught:
        run()

    assert caught.value.reason == reason
    assert (certcentral.calls, records()) == (LOOKS, [])


@pytest.mark.parametrize(
    ("anchor", "outcome"),
    [(ago(3), None), (ago(0), "not_due"), (ago(6), "not_due"), (ago(400), "stuck"), (None, "stuck")],
    ids=["due", "young", "between", "stuck", "unknown"],
)
@pytest.mark.parametrize("reminder", [REMINDER, Reminder(7)], ids=ascii)
def test_an_order_whose_names_are_all_validated_is_refused_only_if_it_is_due_and_not_recorded(
    run, certcentral, records, anchor, outcome, reminder
):
    """One that is stuck is stuck all the same: a human must look why its certificate is not issued."""
    certcentral.order = Order(7, "pending", DV, "email", anchor)
    certcentral.approve("example.com", "www.example.com")

    if outcome is None:
        with pytest.raises(OrderNotEligible) as caught:
            run(reminder)
        assert caught.value.code == "order_not_eligible|already_validated"
    else:
        assert run(reminder) == outcome
    assert (certcentral.calls, records()) == (LOOKS, [])


def test_an_order_that_has_a_name_of_which_the_validation_tells_nothing_is_reminded_of(run, certcentral, records):
    certcentral.order = Order(7, "pending", DV, "email", ago(3), ("example.com", "www.example.com", "new.example.com"))
    certcentral.approve("example.com", "www.example.com")

    assert run() == "sent"
    assert certcentral.puts[0][2] == {}
    assert records() == [RECORD]


def test_an_order_whose_approvals_are_over_is_reminded_of(run, certcentral):
    certcentral.domains = (NameStatus("example.com", "approved", ("example.com",), expired=True),)

    assert run() == "sent"


def test_why_an_order_is_not_eligible_goes_before_that_it_is_validated(run, certcentral):
    certcentral.order = Order(7, "issued", DV, "email", ago(3))
    certcentral.approve("example.com", "www.example.com")

    with pytest.raises(OrderNotEligible) as caught:
        run()

    assert caught.value.reason == "not_pending"


@pytest.mark.parametrize("approved", [(), ("example.com",)])
def test_an_order_with_a_name_left_to_validate_is_reminded_of_at_digicerts_choice(run, certcentral, records, approved):
    certcentral.approve(*approved)

    assert run() == "sent"
    assert certcentral.puts[0][2] == {}
    assert records() == [RECORD]


def test_an_order_of_which_no_name_is_told_is_reminded_of(run, certcentral):
    certcentral.domains = ()

    assert run() == "sent"


def test_a_reminder_that_was_refused_as_validated_is_sent_once_a_name_waits_again(run, certcentral, records):
    certcentral.approve("example.com", "www.example.com")
    with pytest.raises(OrderNotEligible):
        run()
    certcentral.approve("example.com")

    assert run(at=60) == "sent"
    assert records() == [RECORD]


@pytest.mark.parametrize(
    "error",
    [RateLimited("x"), CertCentralUnavailable("x"), ApiKeyRejected("x"), OrderNotFound("x"), ValueError("x")],
    ids=ascii,
)
@pytest.mark.parametrize(("look", "calls"), [("on_validation", [VALIDATION]), ("on_order", LOOKS)])
def test_when_the_order_cannot_be_looked_at_nothing_is_recorded(run, certcentral, records, error, look, calls):
    setattr(certcentral, look, error)

    with pytest.raises(type(error)):
        run()

    assert (certcentral.calls, records()) == (calls, [])


@pytest.mark.parametrize(
    "error", [RateLimited("x"), CertCentralUnavailable("x"), ApiKeyRejected("x"), RequestRejected("x")], ids=ascii
)
def test_what_surely_was_not_sent_is_not_recorded_and_sent_when_the_message_comes_back(
    run, certcentral, records, error
):
    certcentral.on_put = error
    with pytest.raises(type(error)):
        run()
    assert records() == []

    certcentral.on_put = None
    assert run(at=30) == "sent"
    assert records() == [RECORD]


def test_a_resend_in_progress_is_left_to_finish_and_not_recorded(run, by_hand, certcentral, records):
    def remind_meanwhile(*_arguments):
        with pytest.raises(ResendInProgress) as caught:
            run(at=1)
        assert caught.value.retry_after == 28

    certcentral.resend_emails, put = remind_meanwhile, certcentral.resend_emails
    by_hand(ResendRequest(7))
    certcentral.resend_emails = put
    assert records() == []

    assert run(at=31) == "duplicate"
    assert PUT not in certcentral.calls


def test_a_reminder_that_cannot_be_recorded_is_not_sent_and_comes_back(run, table, certcentral, records):
    table.down = {RECORD}
    with pytest.raises(ClaimsUnavailable):
        run()
    assert PUT not in certcentral.calls
    assert records() == []

    table.down = set()
    assert run(at=30) == "sent"
    assert certcentral.calls.count(PUT) == 1
    assert records() == [RECORD]


def test_without_claims_nothing_is_sent(run, table, certcentral):
    table.down = {ResendRequest(7).claim_key}

    with pytest.raises(ClaimsUnavailable):
        run()

    assert PUT not in certcentral.calls


def test_a_worker_killed_in_the_put_leaves_a_doubt_that_is_recorded_when_the_message_comes_back(
    run, certcentral, records, monkeypatch
):
    certcentral.on_put = KeyboardInterrupt()
    # A killed process records nothing.
    monkeypatch.setattr(ClaimsTable, "record_unknown", lambda *_arguments: None)
    with contextlib.suppress(KeyboardInterrupt):
        run()
    monkeypatch.undo()
    certcentral.on_put = None
    assert records() == [RECORD]

    with pytest.raises(ResendInProgress):
        run(at=10)
    with pytest.raises(OutcomeUnknown):
        run(at=180)
    assert records() == [RECORD]
    assert run(at=2 * COOL_DOWN) == "already_reminded"
    assert certcentral.calls.count(PUT) == 1


# Property: sweeps and deliveries in any order, with faults


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sweep", "sweep", "deliver", "deliver", "deliver", "redeliver", "by hand"]),
        st.sampled_from([None, None, None, "unknown", "refused", "unrecorded", "validated"]),
        # Hours until the next step.
        st.sampled_from([0, 0, 0.1, 1, 5, 24, 24, 48]),
    ),
    min_size=5,
    max_size=30,
)


@settings(deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.sampled_from(["pending", "reissue_pending"]), st.sampled_from([0, 0.9, 3, 6.5, 20]))
def test_no_order_of_sweeps_and_deliveries_mails_a_reminder_twice(table, claims, steps, status, age):
    empty(table._client)
    table.down = set()
    anchor, now = ago(age), NOW
    certcentral = CertCentral()
    certcentral.order = Order(7, status, DV, "email", anchor)
    waiting, mails = [], []  # mails: (moment, the record it stands for or None if by hand)

    for step, fault, hours in steps:
        certcentral.on_put = {"unknown": OutcomeUnknown("x"), "refused": RateLimited("x")}.get(fault)
        certcentral.approve(*(["example.com", "www.example.com"] if fault == "validated" else []))
        before = certcentral.calls.count(PUT)
        invocation = Invocation(now.timestamp() + 29, "call")
        options = {"certcentral": certcentral, "claims": claims, "sending": True, "clock": now.timestamp}
        day = next((day for day in reversed(DAYS) if anchor + timedelta(days=day) <= now), None)
        with contextlib.suppress(OutcomeUnknown, RateLimited, ClaimsUnavailable, OrderNotEligible):
            if step == "sweep":
                queue = Queue()
                queue.send = lambda reminders, _swept_on: waiting.extend(reminders) or len(reminders)
                row = ListedOrder(7, status, DV, anchor)
                Sweeper(
                    SweepRequest(),
                    now.timestamp() + 900,
                    certcentral=List([row]),
                    queue=queue,
                    days=DAYS,
                    sending=True,
                    go_on=waiting.append,
                    clock=now.timestamp,
                )
            elif step == "by hand":
                Resender(ResendRequest(7), invocation, dns=no_dns, check_recipients=True, **options)
            elif waiting:
                reminder = waiting[0] if step == "redeliver" else waiting.pop(0)
                table.down = {f"7#{anchor.date()}#{day}" for day in DAYS} if fault == "unrecorded" else set()
                Resender(reminder, invocation, days=DAYS, **options)
        table.down = set()
        if certcentral.calls.count(PUT) > before and fault != "refused":
            assert fault != "validated", "nobody need be mailed"
            recent = [moment for moment, _ in mails if now < moment + timedelta(seconds=COOL_DOWN)]
            assert not recent, "two emails within the cool-down"
            mails.append((now, day if step != "by hand" and fault != "unrecorded" else None))
        now += timedelta(hours=hours)

    reminded = [day for _, day in mails if day is not None]
    assert len(reminded) == len(set(reminded)), "a reminder was mailed twice"
