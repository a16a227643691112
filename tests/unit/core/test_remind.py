"""`Resender.remind`: what becomes of a reminder, and that none is sent twice or lost."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.orders import ListedOrder, NameStatus, Order, OrderStatus
from dv_resend.core.requests import Reminder, ResendRequest, SweepRequest
from dv_resend.core.sweep import Sweeper
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ClaimsUnavailable,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    ResendInProgress,
    SendingPaused,
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
RECORD = "7#2026-11-20#3"
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


def resend(fakes: Fakes, request: ResendRequest = DEFAULT, *, at: float) -> str:
    """Have a person resend ``at`` seconds after the sweep."""
    now = NOW.timestamp() + at
    return fakes.resender(now).resend(request, fakes.invocation(now, "by hand")).outcome


def records(fakes: Fakes) -> list[str]:
    return list(fakes.claims.reminders)


def queries_and_puts(fakes: Fakes) -> list[str]:
    return [method for method in fakes.journal.methods if method in (*QUERIES, "resend_emails")]


def test_due_reminder_mails_the_default_recipients_and_is_recorded(fakes: Fakes) -> None:
    assert remind(fakes) == "sent"

    now, deadline = NOW.timestamp(), NOW.timestamp() + 29
    assert fakes.journal == [
        ("reminded", RECORD),
        ("get_order_status", 7, deadline),
        ("get_order", 7, deadline),
        ("acquire", DEFAULT.claim_key),
        ("record_reminder", RECORD),
        ("before_send", DEFAULT),
        ("resend_emails", 7, {}, deadline),
        ("record_sent", DEFAULT.claim_key, now),
    ]
    assert records(fakes) == [RECORD]


@pytest.mark.parametrize("at", [1, COOL_DOWN, 24 * 3600])
@pytest.mark.parametrize("sending", [True, False])
def test_recorded_reminder_asks_certcentral_nothing(fakes: Fakes, at: int, sending: bool) -> None:
    remind(fakes)
    fakes.journal.clear()

    assert remind(fakes, at=at, sending=sending) == "already_reminded"
    assert fakes.journal.methods == ["reminded", "read"]


@each_reminder
def test_paused_sending_asks_certcentral_nothing(fakes: Fakes, reminder: Reminder) -> None:
    with pytest.raises(SendingPaused):
        remind(fakes, reminder, sending=False)

    assert (queries_and_puts(fakes), records(fakes)) == ([], [])


# The order decides


@pytest.mark.parametrize(
    ("waiting_since", "outcome"),
    [(ago(0), "not_due"), (ago(6), "not_due"), (ago(24), "stuck"), (ago(400), "stuck")],
    ids=str,
)
@each_reminder
@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
def test_reminder_that_is_no_longer_due_is_not_sent(
    fakes: Fakes, waiting_since: datetime | None, outcome: str, reminder: Reminder, status: str
) -> None:
    wait_since(fakes, waiting_since, status)

    assert remind(fakes, reminder) == outcome
    assert (queries_and_puts(fakes), records(fakes)) == (QUERIES, [])


def test_order_without_a_date_is_stuck(fakes: Fakes) -> None:
    wait_since(fakes, None)

    assert remind(fakes, UNDATED) == "stuck"
    assert (queries_and_puts(fakes), records(fakes)) == (QUERIES, [])


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
    assert records(fakes) == ["7#2026-11-16#7"]

    assert remind(fakes, day_7, at=60) == "already_reminded"
    assert remind(fakes, day_3, at=90) == "already_reminded"
    assert queries_and_puts(fakes) == [*QUERIES, "resend_emails", *QUERIES]


def test_reissue_counts_from_its_own_day(fakes: Fakes) -> None:
    wait_since(fakes, ago(1), "reissue_pending")

    assert remind(fakes, UNDATED) == "sent"
    assert records(fakes) == ["7#2026-11-22#1"]

    # A second sweep on the same day cannot know, so the worker asks; it does not mail.
    assert remind(fakes, UNDATED, at=2 * COOL_DOWN) == "already_reminded"
    assert queries_and_puts(fakes) == [*QUERIES, "resend_emails", *QUERIES]


def test_newer_reissue_is_reminded_of_again(fakes: Fakes) -> None:
    wait_since(fakes, ago(3), "reissue_pending")
    remind(fakes, UNDATED)
    wait_since(fakes, ago(1), "reissue_pending")

    assert remind(fakes, UNDATED, at=2 * COOL_DOWN) == "sent"
    assert records(fakes) == ["7#2026-11-20#3", "7#2026-11-22#1"]


def test_record_has_the_date_of_utc(fakes: Fakes) -> None:
    wait_since(fakes, ago(3).astimezone(timezone(timedelta(hours=-7))))

    assert remind(fakes, UNDATED) == "sent"
    assert records(fakes) == [RECORD]


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
@pytest.mark.parametrize("approved", [(), ("example.com", "www.example.com")], ids=["pending", "validated"])
def test_ineligible_order_is_refused_and_not_recorded(
    fakes: Fakes, order: Order, reason: str, approved: tuple[str, ...]
) -> None:
    fakes.certcentral.order = order
    fakes.certcentral.approve(*approved)

    with pytest.raises(OrderNotEligible) as caught:
        remind(fakes)

    assert caught.value.reason == reason
    assert (queries_and_puts(fakes), records(fakes)) == (QUERIES, [])


@each_reminder
def test_validated_order_is_refused_and_not_recorded(fakes: Fakes, reminder: Reminder) -> None:
    fakes.certcentral.approve("example.com", "www.example.com")

    with pytest.raises(OrderNotEligible) as caught:
        remind(fakes, reminder)

    assert caught.value.code == "order_not_eligible|already_validated"
    assert (queries_and_puts(fakes), records(fakes)) == (QUERIES, [])


@pytest.mark.parametrize(
    ("waiting_since", "outcome"),
    [(ago(0), "not_due"), (ago(6), "not_due"), (ago(400), "stuck"), (None, "stuck")],
    ids=["young", "between", "stuck", "unknown"],
)
@each_reminder
def test_validated_order_is_not_refused_unless_it_is_due(
    fakes: Fakes, waiting_since: datetime | None, outcome: str, reminder: Reminder
) -> None:
    """One that is stuck is reported as such: a person must find out why its certificate is not issued."""
    wait_since(fakes, waiting_since)
    fakes.certcentral.approve("example.com", "www.example.com")

    assert remind(fakes, reminder) == outcome
    assert (queries_and_puts(fakes), records(fakes)) == (QUERIES, [])


@pytest.mark.parametrize("approved", [(), ("example.com",)])
def test_order_with_a_pending_name_is_reminded_of(fakes: Fakes, approved: tuple[str, ...]) -> None:
    fakes.certcentral.approve(*approved)

    assert remind(fakes) == "sent"
    assert fakes.certcentral.puts == [{}]
    assert records(fakes) == [RECORD]


def test_order_with_a_name_missing_from_its_validation_is_reminded_of(fakes: Fakes) -> None:
    fakes.certcentral.order = replace(
        fakes.certcentral.order, names=("example.com", "www.example.com", "new.example.com")
    )
    fakes.certcentral.approve("example.com", "www.example.com")

    assert remind(fakes) == "sent"
    assert fakes.certcentral.puts == [{}]
    assert records(fakes) == [RECORD]


@pytest.mark.parametrize("domains", [(), (NameStatus("example.com", "approved", ("example.com",), expired=True),)])
def test_order_with_unknown_names_or_expired_approvals_is_reminded_of(
    fakes: Fakes, domains: tuple[NameStatus, ...]
) -> None:
    fakes.certcentral.domains = domains

    assert remind(fakes) == "sent"


def test_reminder_refused_as_validated_is_sent_once_a_name_is_pending(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com", "www.example.com")
    with pytest.raises(OrderNotEligible):
        remind(fakes)
    fakes.certcentral.approve("example.com")

    assert remind(fakes, at=60) == "sent"
    assert records(fakes) == [RECORD]


# Repeats


def test_default_resend_within_the_cool_down_counts_as_the_reminder(fakes: Fakes) -> None:
    resend(fakes, at=-60)

    assert remind(fakes) == "duplicate"
    assert queries_and_puts(fakes) == [*QUERIES, "resend_emails", *QUERIES]
    assert records(fakes) == [RECORD]
    assert remind(fakes, at=COOL_DOWN) == "already_reminded"


def test_default_resend_before_the_cool_down_does_not(fakes: Fakes) -> None:
    resend(fakes, at=-COOL_DOWN)

    assert remind(fakes) == "sent"
    assert len(fakes.certcentral.puts) == 2


@pytest.mark.parametrize(
    "request_", [resend_request(("example.com", "admin@example.com")), resend_request(locale="de")], ids=ascii
)
def test_resend_of_other_emails_does_not_count_as_the_reminder(fakes: Fakes, request_: ResendRequest) -> None:
    resend(fakes, request_, at=-60)

    assert remind(fakes) == "sent"
    assert len(fakes.certcentral.puts) == 2


def test_default_resend_after_the_reminder_is_a_duplicate(fakes: Fakes) -> None:
    remind(fakes)

    assert resend(fakes, at=60) == "duplicate"


def test_resend_in_progress_defers_the_reminder(fakes: Fakes) -> None:
    def remind_meanwhile() -> None:
        with pytest.raises(ResendInProgress) as caught:
            remind(fakes, at=1)
        assert caught.value.retry_after == 28

    fakes.certcentral.while_sending = remind_meanwhile
    resend(fakes, at=0)
    assert records(fakes) == []

    assert remind(fakes, at=31) == "duplicate"
    assert len(fakes.certcentral.puts) == 1


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

    assert (queries_and_puts(fakes), records(fakes)) == (called, [])


@pytest.mark.parametrize(
    "error", [RateLimited("x"), CertCentralUnavailable("x"), ApiKeyRejected("x"), RequestRejected("x")], ids=ascii
)
def test_surely_unsent_reminder_is_sent_on_redelivery(fakes: Fakes, error: Exception) -> None:
    fakes.certcentral.errors["resend_emails"] = error
    with pytest.raises(type(error)):
        remind(fakes)
    assert records(fakes) == []
    fakes.certcentral.errors.clear()

    assert remind(fakes, at=30) == "sent"
    assert records(fakes) == [RECORD]


def test_unsent_reminder_whose_record_stays_keeps_its_claim_too(fakes: Fakes) -> None:
    """Without the claim, its redelivery would count as reminded, and nobody would notice."""
    fakes.certcentral.errors["resend_emails"] = RateLimited("x")
    fakes.claims.down = {"forget_reminder"}
    with pytest.raises(RateLimited):
        remind(fakes)

    with pytest.raises(ResendInProgress):
        remind(fakes, at=10)
    with pytest.raises(OutcomeUnknown):
        remind(fakes, at=30)


def test_unrecorded_reminder_is_not_sent_until_redelivery(fakes: Fakes) -> None:
    fakes.claims.down = {"record_reminder"}
    with pytest.raises(ClaimsUnavailable):
        remind(fakes)
    assert (fakes.certcentral.puts, records(fakes)) == ([], [])
    fakes.claims.down.clear()

    assert remind(fakes, at=30) == "sent"
    assert fakes.certcentral.puts == [{}]
    assert records(fakes) == [RECORD]


def test_unavailable_claims_prevent_the_reminder(fakes: Fakes) -> None:
    fakes.claims.down = {"acquire"}

    with pytest.raises(ClaimsUnavailable):
        remind(fakes)

    assert fakes.certcentral.puts == []


def test_unknown_outcome_is_recorded_and_not_repeated(fakes: Fakes) -> None:
    fakes.certcentral.errors["resend_emails"] = OutcomeUnknown("x")
    with pytest.raises(OutcomeUnknown):
        remind(fakes)
    assert records(fakes) == [RECORD]
    fakes.certcentral.errors.clear()

    assert remind(fakes, at=2 * COOL_DOWN) == "already_reminded"
    assert queries_and_puts(fakes) == [*QUERIES, "resend_emails"]


def test_unknown_outcome_of_a_resend_counts_as_the_reminders(fakes: Fakes) -> None:
    fakes.certcentral.errors["resend_emails"] = OutcomeUnknown("x")
    with pytest.raises(OutcomeUnknown):
        resend(fakes, at=-60)

    with pytest.raises(OutcomeUnknown):
        remind(fakes)

    assert fakes.certcentral.puts == [{}]
    assert records(fakes) == [RECORD]


def test_worker_killed_while_sending_leaves_an_unknown_outcome(fakes: Fakes) -> None:
    fakes.certcentral.errors["resend_emails"] = KeyboardInterrupt()
    fakes.claims.down = {"record_unknown"}
    with contextlib.suppress(KeyboardInterrupt):
        remind(fakes)
    fakes.certcentral.errors.clear()
    fakes.claims.down.clear()
    assert records(fakes) == [RECORD]

    with pytest.raises(ResendInProgress):
        remind(fakes, at=10)
    with pytest.raises(OutcomeUnknown):
        remind(fakes, at=180)
    assert records(fakes) == [RECORD]
    assert remind(fakes, at=2 * COOL_DOWN) == "already_reminded"
    assert fakes.certcentral.puts == [{}]


# Property: sweeps and deliveries in any order, with faults


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sweep", "sweep", "deliver", "deliver", "deliver", "redeliver", "by hand"]),
        st.sampled_from([None, None, None, "unknown", "unsent", "unrecorded", "validated"]),
        # Hours until the next step.
        st.sampled_from([0, 0, 0.1, 1, 5, 24, 24, 48]),
    ),
    min_size=5,
    max_size=30,
)
FAULTS = {"unknown": OutcomeUnknown("x"), "unsent": RateLimited("x")}


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
        fakes.certcentral.errors = {"resend_emails": FAULTS[fault]} if fault in FAULTS else {}
        fakes.certcentral.approve(*(["example.com", "www.example.com"] if fault == "validated" else []))
        fakes.claims.down = {"record_reminder"} if fault == "unrecorded" else set()
        before = len(fakes.certcentral.puts)
        with contextlib.suppress(OutcomeUnknown, RateLimited, ClaimsUnavailable, OrderNotEligible):
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
    Sweeper(FakeCertCentral(rows=[row]), queue, config(), lambda: now).sweep(SweepRequest(), now + 900)
    return queue.reminders
