"""`Resender.remind`: what becomes of a reminder, and that none is sent twice or lost."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from unittest.mock import ANY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.orders import ListedOrder, Order, OrderStatus
from dv_resend.core.requests import Reminder, ResendRequest, SweepRequest
from dv_resend.core.sweep import Sweeper
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    ResendError,
    SendingPaused,
    SendRecordUnavailable,
)
from unit.fakes import QUERIES, FakeCertCentral, FakeQueue, Fakes, config, resend_request

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
DAYS = (1, 3, 7, 14, 21)
DV = "dv_ssl_certificate"
COOL_DOWN = 3600
DEFAULT = ResendRequest(7)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


REMINDER = Reminder(7, ago(3).date(), 3)
UNDATED = Reminder(7)
MARK = "2026-11-20#3"
each_reminder = pytest.mark.parametrize("reminder", [REMINDER, UNDATED], ids=["dated", "undated"])


@pytest.fixture
def fakes() -> Fakes:
    fakes = Fakes()
    wait_since(fakes, ago(3))
    return fakes


def wait_since(fakes: Fakes, moment: datetime | None, status: str = "pending") -> None:
    fakes.certcentral.order = Order(7, status, DV, "email", moment)


def remind(fakes: Fakes, reminder: Reminder = REMINDER, *, at: float = 0, sending: bool = True) -> str:
    """Deliver the message ``at`` seconds after the sweep."""
    now = NOW.timestamp() + at
    return fakes.resender(now, sending=sending).remind(reminder, fakes.invocation(now)).outcome


def answer_to(fakes: Fakes, reminder: Reminder = REMINDER, *, at: float = 0, sending: bool = True) -> str:
    """Deliver the message; return the outcome, or the name of the error."""
    try:
        return remind(fakes, reminder, at=at, sending=sending)
    except (Exception, KeyboardInterrupt) as error:
        return type(error).__name__


def resend(fakes: Fakes, request: ResendRequest = DEFAULT, *, at: float) -> str:
    """Have a person resend ``at`` seconds after the sweep."""
    now = NOW.timestamp() + at
    return fakes.resender(now).resend(request, fakes.invocation(now, "by hand")).outcome


def marks(fakes: Fakes) -> dict[str, str]:
    return dict(fakes.records.of().reminders)


def reports(fakes: Fakes) -> int:
    """Count the unknown outcomes that were reported."""
    return len(fakes.journal.calls("on_unknown"))


def queries_and_puts(fakes: Fakes) -> list[str]:
    return [method for method in fakes.journal.methods if method in (*QUERIES, "resend_emails")]


def test_due_reminder_mails_default_recipients_and_is_recorded(fakes: Fakes) -> None:
    assert remind(fakes) == "sent"

    deadline = NOW.timestamp() + 29
    assert fakes.journal == [
        ("load", "order#7"),
        ("get_order_status", 7, deadline),
        ("get_order", 7, deadline),
        ("store", ANY),
        ("before_send", DEFAULT),
        ("resend_emails", 7, {}, deadline),
        ("settle", ANY),
    ]
    assert marks(fakes) == {MARK: "done"}


@pytest.mark.parametrize("at", [1, COOL_DOWN, 24 * 3600])
@pytest.mark.parametrize("sending", [True, False])
def test_recorded_reminder_asks_certcentral_nothing(fakes: Fakes, at: int, sending: bool) -> None:
    remind(fakes)
    fakes.journal.clear()

    assert remind(fakes, at=at, sending=sending) == "already_reminded"
    assert fakes.journal.methods == ["load"]


@each_reminder
def test_paused_sending_asks_certcentral_nothing(fakes: Fakes, reminder: Reminder) -> None:
    with pytest.raises(SendingPaused):
        remind(fakes, reminder, sending=False)

    assert (queries_and_puts(fakes), marks(fakes)) == ([], {})


# The order decides


# Of a message that says which reminder is due, and of one that does not.
NOT_DUE = {REMINDER: "missed", UNDATED: "not_due"}
not_due_or_stuck = pytest.mark.parametrize(
    ("waiting_since", "is_stuck"), [(ago(0), False), (ago(6), False), (ago(24), True), (ago(400), True)]
)


@not_due_or_stuck
@each_reminder
@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
def test_reminder_that_is_no_longer_due_is_not_sent(
    fakes: Fakes, waiting_since: datetime | None, is_stuck: bool, reminder: Reminder, status: str
) -> None:
    wait_since(fakes, waiting_since, status)

    assert remind(fakes, reminder) == ("stuck" if is_stuck else NOT_DUE[reminder])
    assert (queries_and_puts(fakes), marks(fakes)) == (QUERIES, {})


def test_order_without_a_date_is_stuck(fakes: Fakes) -> None:
    wait_since(fakes, None)

    assert remind(fakes, UNDATED) == "stuck"
    assert (queries_and_puts(fakes), marks(fakes)) == (QUERIES, {})


@pytest.mark.parametrize("status", ["reissue_pending", "Reissue_Pending"])
def test_reissue_without_a_date_is_due_once(fakes: Fakes, status: str) -> None:
    """Nobody can tell how long it has been waiting. It must neither wait for ever nor be mailed at each sweep."""
    wait_since(fakes, None, status)

    assert remind(fakes, UNDATED) == "sent"
    assert [remind(fakes, UNDATED, at=day * 86400) for day in (1, 2, 3)] == ["already_reminded"] * 3
    assert len(fakes.certcentral.puts) == 1


def test_method_of_the_validation_decides_if_the_order_has_none(fakes: Fakes) -> None:
    wait_since(fakes, ago(3))
    fakes.certcentral.order = replace(fakes.certcentral.order, dcv_method=None)
    with pytest.raises(OrderNotEligible):
        remind(fakes)
    fakes.certcentral.get_order_status = lambda *_: OrderStatus(  # type: ignore[method-assign]
        7, "pending", "email", fakes.certcentral.domains
    )

    assert remind(fakes) == "sent"


def test_late_message_sends_the_reminder_of_the_day(fakes: Fakes) -> None:
    wait_since(fakes, ago(7))
    day_3, day_7 = Reminder(7, ago(7).date(), 3), Reminder(7, ago(7).date(), 7)

    assert remind(fakes, day_3) == "sent"
    assert marks(fakes) == {"2026-11-16#7": "done"}

    assert remind(fakes, day_7, at=60) == "already_reminded"
    assert remind(fakes, day_3, at=90) == "already_reminded"
    assert queries_and_puts(fakes) == [*QUERIES, "resend_emails", *QUERIES]


def test_reissue_counts_from_its_own_day(fakes: Fakes) -> None:
    wait_since(fakes, ago(1), "reissue_pending")

    assert remind(fakes, UNDATED) == "sent"
    assert marks(fakes) == {"2026-11-22#1": "done"}

    # A second sweep on the same day cannot know, so the worker asks; it does not mail.
    assert remind(fakes, UNDATED, at=2 * COOL_DOWN) == "already_reminded"
    assert queries_and_puts(fakes) == [*QUERIES, "resend_emails", *QUERIES]


def test_record_has_the_date_of_utc(fakes: Fakes) -> None:
    wait_since(fakes, ago(3).astimezone(timezone(timedelta(hours=-7))))

    assert remind(fakes, UNDATED) == "sent"
    assert marks(fakes) == {MARK: "done"}


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (Order(7, "issued", DV, "email", ago(3)), "not_pending"),
        # Whether or not a reminder would be due.
        (Order(7, "issued", DV, "email", ago(6)), "not_pending"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("approved", [(), ("example.com", "www.example.com")], ids=["pending", "validated"])
def test_ineligible_order_is_refused_and_not_recorded(
    fakes: Fakes, order: Order, reason: str, approved: tuple[str, ...]
) -> None:
    fakes.certcentral.order = order
    fakes.certcentral.approve(*approved)

    with pytest.raises(OrderNotEligible) as caught:
        remind(fakes)

    assert caught.value.reason == reason
    assert (queries_and_puts(fakes), marks(fakes)) == (QUERIES, {})


@each_reminder
def test_validated_order_is_refused_and_not_recorded(fakes: Fakes, reminder: Reminder) -> None:
    fakes.certcentral.approve("example.com", "www.example.com")

    with pytest.raises(OrderNotEligible) as caught:
        remind(fakes, reminder)

    assert caught.value.code == "order_not_eligible|already_validated"
    assert (queries_and_puts(fakes), marks(fakes)) == (QUERIES, {})


@not_due_or_stuck
@each_reminder
def test_validated_order_is_not_refused_unless_it_is_due(
    fakes: Fakes, waiting_since: datetime | None, is_stuck: bool, reminder: Reminder
) -> None:
    """One that is stuck is reported as such: a person must find out why its certificate is not issued."""
    wait_since(fakes, waiting_since)
    fakes.certcentral.approve("example.com", "www.example.com")

    assert remind(fakes, reminder) == ("stuck" if is_stuck else NOT_DUE[reminder])
    assert (queries_and_puts(fakes), marks(fakes)) == (QUERIES, {})


def test_order_with_a_name_not_in_its_validation_is_reminded_of(fakes: Fakes) -> None:
    fakes.certcentral.order = replace(
        fakes.certcentral.order, names=("example.com", "www.example.com", "new.example.com")
    )
    fakes.certcentral.approve("example.com", "www.example.com")

    assert remind(fakes) == "sent"
    assert fakes.certcentral.puts == [{}]
    assert marks(fakes) == {MARK: "done"}


def test_reminder_once_refused_is_sent_when_a_name_is_pending(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com", "www.example.com")
    with pytest.raises(OrderNotEligible):
        remind(fakes)
    fakes.certcentral.approve("example.com")

    assert remind(fakes, at=60) == "sent"
    assert marks(fakes) == {MARK: "done"}


# Other emails


@pytest.mark.parametrize(
    "request_", [DEFAULT, resend_request(("example.com", "admin@example.com")), resend_request(locale="de")], ids=ascii
)
def test_resend_in_the_last_hours_makes_the_reminder_needless(fakes: Fakes, request_: ResendRequest) -> None:
    resend(fakes, request_, at=-12 * 3600)

    assert remind(fakes) == "already_mailed"
    assert marks(fakes) == {MARK: "done"}
    assert remind(fakes, at=12 * 3600) == "already_reminded"
    assert len(fakes.certcentral.puts) == 1


def test_unknown_outcome_of_a_resend_counts_as_the_reminders(fakes: Fakes) -> None:
    fakes.certcentral.errors["resend_emails"] = OutcomeUnknown("x")
    with pytest.raises(OutcomeUnknown):
        resend(fakes, at=-60)
    assert reports(fakes) == 0  # its caller knows

    with pytest.raises(OutcomeUnknown):
        remind(fakes)

    assert (reports(fakes), fakes.certcentral.puts, marks(fakes)) == (1, [{}], {MARK: "done"})


# Errors


@pytest.mark.parametrize(
    "error",
    [RateLimited("x"), CertCentralUnavailable("x"), ApiKeyRejected("x"), OrderNotFound("x"), ValueError("x")],
    ids=ascii,
)
@pytest.mark.parametrize(("query", "called"), [("get_order_status", QUERIES[:1]), ("get_order", QUERIES)])
def test_failed_query_records_nothing(fakes: Fakes, query: str, called: list[str], error: Exception) -> None:
    fakes.certcentral.errors[query] = error

    with pytest.raises(type(error)):
        remind(fakes)

    assert (queries_and_puts(fakes), marks(fakes)) == (called, {})


UNAVAILABLE = SendRecordUnavailable("x")
KILLED = KeyboardInterrupt()
type Errors = dict[str, BaseException]


def set_errors(fakes: Fakes, errors: Errors, late: Errors | None = None) -> None:
    """Have all fakes raise these errors, and the store of records those too late."""
    fakes.certcentral.errors = fakes.records.errors = errors
    fakes.records.late_errors = late or {}


@pytest.mark.parametrize(
    ("errors", "answer"),
    [
        ({"load": UNAVAILABLE}, "SendRecordUnavailable"),
        ({"store": UNAVAILABLE}, "SendRecordUnavailable"),
        ({"get_order": KILLED}, "KeyboardInterrupt"),
        ({"store": KILLED}, "KeyboardInterrupt"),
        ({"resend_emails": RateLimited("x")}, "RateLimited"),
        ({"resend_emails": ApiKeyRejected("x")}, "ApiKeyRejected"),
        ({"resend_emails": RequestRejected("x")}, "RequestRejected"),
    ],
    ids=str,
)
def test_surely_unsent_reminder_is_sent_on_redelivery(fakes: Fakes, errors: Errors, answer: str) -> None:
    set_errors(fakes, errors)
    assert (answer_to(fakes), marks(fakes)) == (answer, {})
    set_errors(fakes, {})

    assert remind(fakes, at=30) == "sent"
    assert (marks(fakes), reports(fakes)) == ({MARK: "done"}, 0)


@pytest.mark.parametrize(
    ("errors", "late", "answer", "reported"),
    [
        ({"resend_emails": KILLED, "settle": KILLED}, {}, "KeyboardInterrupt", 0),
        ({"settle": KILLED}, {}, "KeyboardInterrupt", 0),
        ({}, {"store": KILLED}, "KeyboardInterrupt", 0),
        # The write that claims timed out, and was done nevertheless.
        ({}, {"store": UNAVAILABLE}, "SendRecordUnavailable", 0),
        ({"resend_emails": RateLimited("x", retry_after=7200), "settle": UNAVAILABLE}, {}, "RateLimited", 0),
        ({"settle": UNAVAILABLE}, {}, "sent", 0),
        ({"resend_emails": OutcomeUnknown("x"), "settle": UNAVAILABLE}, {}, "OutcomeUnknown", 1),
        ({"resend_emails": OutcomeUnknown("x"), "settle": KILLED}, {}, "KeyboardInterrupt", 1),
    ],
    ids=str,
)
# Soon, after the cool-down, and when the reminder is no longer due.
@pytest.mark.parametrize("later", [180, 2 * COOL_DOWN, 49 * 3600], ids=["soon", "later", "too late"])
@each_reminder
def test_reminder_not_settled_is_reported_on_redelivery(
    fakes: Fakes, errors: Errors, late: Errors, answer: str, reported: int, later: int, reminder: Reminder
) -> None:
    """Nobody knows whether it was sent, so that it is neither sent again nor acknowledged in silence."""
    set_errors(fakes, errors, late)
    assert (answer_to(fakes, reminder), reports(fakes)) == (answer, reported)
    assert marks(fakes) == {MARK: "attempted"}
    puts = len(fakes.certcentral.puts)
    set_errors(fakes, {})

    assert answer_to(fakes, reminder, at=later) in ("already_reminded", "not_due")

    assert (reports(fakes), marks(fakes)) == (reported + 1, {MARK: "done"})
    assert answer_to(fakes, reminder, at=later + 1) in ("already_reminded", "not_due")
    assert (reports(fakes), len(fakes.certcentral.puts)) == (reported + 1, puts)


@pytest.mark.parametrize("obstacle", ["paused", "issued", "CertCentral is down"])
def test_reminder_of_a_killed_worker_is_reported_first_of_all(fakes: Fakes, obstacle: str) -> None:
    set_errors(fakes, {"resend_emails": KILLED, "settle": KILLED})
    answer_to(fakes)
    set_errors(fakes, {"get_order_status": CertCentralUnavailable("x")} if obstacle == "CertCentral is down" else {})
    if obstacle == "issued":
        fakes.certcentral.order = Order(7, "issued", DV, "email", ago(3))

    answer = answer_to(fakes, UNDATED, at=180, sending=obstacle != "paused")

    assert answer in ("SendingPaused", "OrderNotEligible", "CertCentralUnavailable")
    assert (reports(fakes), marks(fakes)) == (1, {MARK: "done"})


# Property: sweeps and deliveries in any order, with faults


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sweep", "sweep", "deliver", "deliver", "deliver", "redeliver", "by hand"]),
        st.sampled_from([None, None, None, "unknown", "unsent", "unrecorded", "killed", "validated"]),
        # Hours until the next step.
        st.sampled_from([0, 0, 0.1, 1, 5, 24, 24, 48]),
    ),
    min_size=5,
    max_size=30,
)
FAULTS: dict[str | None, Errors] = {
    "unknown": {"resend_emails": OutcomeUnknown("x")},
    "unsent": {"resend_emails": RateLimited("x")},
    "unrecorded": {"store": UNAVAILABLE},
    "killed": {"resend_emails": KILLED, "settle": KILLED},
}


@settings(deadline=None, derandomize=True, max_examples=150)
@given(STEPS, st.sampled_from(["pending", "reissue_pending"]), st.sampled_from([0, 0.9, 3, 6.5, 20]))
def test_sweeps_and_deliveries_in_any_order_mail_a_reminder_once(
    steps: list[tuple[str, str | None, float]], status: str, age: float
) -> None:
    fakes, waiting_since, at = Fakes(), ago(age), 0.0
    wait_since(fakes, waiting_since, status)
    messages: list[Reminder] = []
    # When each email was sent, and the reminder day that it stands for, if any.
    mails: list[tuple[float, int | None]] = []

    for step, fault, hours in steps:
        set_errors(fakes, FAULTS.get(fault, {}))
        fakes.certcentral.approve(*(["example.com", "www.example.com"] if fault == "validated" else []))
        before = len(fakes.certcentral.puts)
        with contextlib.suppress(ResendError, KeyboardInterrupt):
            if step == "sweep":
                messages += sweep(ListedOrder(7, status, DV, waiting_since), at)
            elif step == "by hand":
                resend(fakes, at=at)
            elif messages:
                remind(fakes, messages[0] if step == "redeliver" else messages.pop(0), at=at)
        if len(fakes.certcentral.puts) > before and fault != "unsent":
            assert fault != "validated", "an email that nobody needs"
            assert not [sent for sent, _ in mails if at < sent + COOL_DOWN], "two emails within the cool-down"
            age_then = NOW + timedelta(seconds=at) - waiting_since
            day = next((day for day in reversed(DAYS) if timedelta(days=day) <= age_then), None)
            mails.append((at, None if step == "by hand" else day))
        at += hours * 3600

    days = [day for _, day in mails if day is not None]
    assert len(days) == len(set(days)), "a reminder was mailed twice"


def sweep(row: ListedOrder, at: float) -> list[Reminder]:
    """Sweep over one order; return the messages."""
    queue, now = FakeQueue(), NOW.timestamp() + at
    Sweeper(FakeCertCentral(rows=[row]), queue, config(), clock=lambda: now).sweep(SweepRequest(), now + 900)
    return queue.reminders
