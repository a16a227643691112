"""`Resender.remind` for an order that is not DV: its mark is on the order's record, its emails on the domains'."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.domains import scope_of
from dv_resend.core.orders import Domain, NameStatus, Order
from dv_resend.core.requests import Reminder, ResendRequest
from dv_resend.core.send_record import DEFAULT, Claim, Mailed, SendRecord
from dv_resend.errors import (
    CertCentralUnavailable,
    ConfigurationError,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    ResendError,
    ResendInProgress,
    SendingPaused,
    SendRecordUnavailable,
)
from unit.fakes import QUERIES, Fakes, outcome_name

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
HOUR = 3600
QUIET = 20 * HOUR + 120
MARK, DAY_1 = "2026-11-20#3", "2026-11-20#1"
A, B, C = Domain(1, "a.example"), Domain(2, "b.example"), Domain(3, "c.example")
OV, DV = "ssl_certificate", "dv_ssl_certificate"
KILLED = KeyboardInterrupt()


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


DUE = ago(3)
REMINDER = Reminder(7, DUE.date(), 3, by_domain=True)
UNDATED = Reminder(7, by_domain=True)
# As for a DV order.
PLAIN = Reminder(7, DUE.date(), 3)
each_reminder = pytest.mark.parametrize("reminder", [REMINDER, UNDATED], ids=["dated", "undated"])


@pytest.fixture
def fakes() -> Fakes:
    return ov_order()


def ov_order() -> Fakes:
    """Return an OV order with three open domains, whose reminder of day 3 is due."""
    fakes = Fakes()
    be(fakes, OV)
    fakes.certcentral.domains = tuple(entry(domain) for domain in (A, B, C))
    return fakes


def be(fakes: Fakes, product_type: str, status: str = "pending", waiting_since: datetime | None = DUE) -> None:
    fakes.certcentral.order = Order(7, status, product_type, "email", waiting_since)


def entry(domain: Domain, status: str = "pending", method: str = "email") -> NameStatus:
    return NameStatus(domain.scope, status, (domain.scope,), domain_id=domain.domain_id, method=method)


def remind(fakes: Fakes, reminder: Reminder = REMINDER, *, at: float = 0, **config: Any) -> str:
    """Deliver the message ``at`` seconds after the sweep; what became of each domain is in the journal, too."""

    def on_domain(part: ResendRequest, outcome: str | ResendError) -> None:
        fakes.journal.append(("on_domain", f"{scope_of(part)[0]} {outcome_name(outcome)}"))

    now = NOW.timestamp() + at
    invocation = replace(fakes.invocation(now), on_domain=on_domain)
    return fakes.resender(now, **{"all_order_types": True, **config}).remind(reminder, invocation).outcome


def answer_to(fakes: Fakes, reminder: Reminder = REMINDER, *, at: float = 0, **config: Any) -> str:
    """Deliver the message; return the outcome, or the name of the error."""
    try:
        return remind(fakes, reminder, at=at, **config)
    except (Exception, KeyboardInterrupt) as error:
        return type(error).__name__


def resend(fakes: Fakes, order_id: int = 7, *, at: float, **fields: Any) -> None:
    """Have a person resend ``at`` seconds after the sweep."""
    now = NOW.timestamp() + at
    request = ResendRequest(order_id, **fields)
    fakes.resender(now, all_order_types=True).resend(request, fakes.invocation(now, "by hand"))


def fail(fakes: Fakes, **errors: BaseException) -> None:
    """Have the PUTs about these domains fail (``b=…``), and no others."""
    fakes.certcentral.errors = {
        f"resend_domain_emails {'abc'.index(name) + 1}": error for name, error in errors.items()
    }


def attempted(fakes: Fakes, *marks: str, claim: Claim | None = None) -> None:
    """Leave what a worker leaves that was killed: marks that nobody has reported."""
    reminders: dict[str, Any] = dict.fromkeys(marks, "attempted")
    fakes.records.records["order#7"] = SendRecord("order#7", "a revision", claim, reminders=reminders)


def busy(fakes: Fakes, domain: Domain) -> None:
    """Have another invocation send about a domain."""
    claimed = SendRecord(domain.record_id, "a revision", claim=Claim("another", SECONDS + 29))
    fakes.records.records[domain.record_id] = claimed


def marks(fakes: Fakes) -> dict[str, str]:
    return dict(fakes.records.of().reminders)


def reports(fakes: Fakes) -> list[str]:
    """Return the messages of the unknown outcomes that were reported."""
    return [error.message for (error,) in fakes.journal.calls("on_unknown")]


def mailed(fakes: Fakes) -> list[int]:
    """Return the domains of all PUTs, also of those that failed."""
    return [domain_id for domain_id, _ in fakes.certcentral.domain_puts]


def outcomes(fakes: Fakes) -> list[str]:
    return [outcome for (outcome,) in fakes.journal.calls("on_domain")]


# The order of things


def test_due_reminder_mails_about_each_domain(fakes: Fakes) -> None:
    assert remind(fakes) == "sent"

    deadline = NOW.timestamp() + 29
    expected: list[tuple[Any, ...]] = [
        ("load", "order#7"),
        ("get_order_status", 7, deadline),
        ("get_order", 7, deadline),
        ("store", ANY),
    ]
    for domain in (A, B, C):
        expected += [
            ("load", domain.record_id),
            ("store", ANY),
            ("before_send", ResendRequest(7, domain=domain)),
            ("resend_domain_emails", domain.domain_id, {"name_scope": domain.scope}, deadline),
            ("settle", ANY),
            ("on_domain", f"{domain.scope[0]} sent"),
        ]
    assert fakes.journal == [*expected, ("settle", ANY)]
    assert marks(fakes) == {MARK: "done"}


def test_order_is_claimed_while_domains_are_mailed(fakes: Fakes) -> None:
    seen: list[SendRecord] = []
    fakes.certcentral.while_sending = lambda: seen.append(fakes.records.of())

    remind(fakes)

    assert [record.claim and record.claim.deadline for record in seen] == [SECONDS + 29] * 3
    assert [record.reminders for record in seen] == [{MARK: "attempted"}] * 3
    assert fakes.records.of().claim is None


def test_record_of_the_order_holds_a_mark_only(fakes: Fakes) -> None:
    remind(fakes)

    assert fakes.records.of().mailed == {}
    assert fakes.records.of(A.record_id).mailed == {DEFAULT: Mailed(SECONDS, "sent")}
    assert fakes.records.of(A.record_id).reminders == {}


@pytest.mark.parametrize("at", [1, HOUR, 24 * HOUR])
@pytest.mark.parametrize("sending", [True, False])
def test_recorded_reminder_asks_certcentral_nothing(fakes: Fakes, at: int, sending: bool) -> None:
    remind(fakes)
    fakes.journal.clear()

    assert remind(fakes, at=at, sending=sending) == "already_reminded"
    assert fakes.journal.methods == ["load"]


def test_undated_message_of_a_recorded_reminder_sends_nothing(fakes: Fakes) -> None:
    remind(fakes)

    assert remind(fakes, UNDATED, at=24 * HOUR) == "already_reminded"
    assert mailed(fakes) == [1, 2, 3]


@each_reminder
def test_paused_sending_asks_certcentral_nothing(fakes: Fakes, reminder: Reminder) -> None:
    with pytest.raises(SendingPaused):
        remind(fakes, reminder, sending=False)

    assert (fakes.journal.methods, marks(fakes)) == (["load"], {})


def test_paused_sending_keeps_an_attempted_mark(fakes: Fakes) -> None:
    attempted(fakes, MARK)

    with pytest.raises(SendingPaused):
        remind(fakes, sending=False)

    assert (marks(fakes), reports(fakes)) == ({MARK: "attempted"}, [])


# The order decides


@pytest.mark.parametrize(
    ("reminder", "waiting_since", "outcome"),
    [
        *((REMINDER, ago(0), "missed"), (UNDATED, ago(0), "not_due"), (REMINDER, ago(6), "missed")),
        *((reminder, since, "stuck") for reminder in (REMINDER, UNDATED) for since in (ago(24), ago(400), None)),
    ],
    ids=ascii,
)
def test_reminder_that_is_not_due_is_not_sent(
    fakes: Fakes, reminder: Reminder, waiting_since: datetime | None, outcome: str
) -> None:
    be(fakes, OV, waiting_since=waiting_since)

    assert remind(fakes, reminder) == outcome
    assert (fakes.journal.methods, marks(fakes)) == (["load", *QUERIES], {})


def test_late_message_sends_the_reminder_of_the_day(fakes: Fakes) -> None:
    be(fakes, OV, waiting_since=ago(7))

    assert remind(fakes) == "sent"
    assert marks(fakes) == {"2026-11-16#7": "done"}


def test_undated_reissue_is_reminded_of_once(fakes: Fakes) -> None:
    be(fakes, OV, "reissue_pending", None)

    assert [remind(fakes, UNDATED, at=day * 24 * HOUR) for day in range(3)] == ["sent"] + ["already_reminded"] * 2
    assert mailed(fakes) == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "entries", "reason"),
    [
        ("issued", [entry(A)], "not_pending"),
        ("needs_approval", [entry(A)], "needs_approval"),
        ("pending", [entry(A, "approved")], "already_validated"),
        ("pending", [entry(A, "approved"), entry(B, method="http-token")], "not_email_dcv"),
        ("pending", [], "not_email_dcv"),
    ],
    ids=["issued", "needs approval", "validated", "other method", "no domains"],
)
def test_order_that_needs_no_email_is_refused(
    fakes: Fakes, status: str, entries: list[NameStatus], reason: str
) -> None:
    be(fakes, OV, status)
    fakes.certcentral.domains = tuple(entries)

    with pytest.raises(OrderNotEligible) as caught:
        remind(fakes)

    assert caught.value.reason == reason
    assert (fakes.journal.methods, marks(fakes)) == (["load", *QUERIES], {})


def test_domain_that_is_not_clear_prevents_a_reminder(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(A), NameStatus("b.example", "pending"))

    assert (answer_to(fakes), mailed(fakes), marks(fakes)) == ("RecipientUnverified", [], {})


def test_only_open_domains_are_mailed(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(A, "approved"), entry(B), entry(C, method="dns-txt-token"))

    assert (remind(fakes), mailed(fakes)) == ("sent", [2])


@pytest.mark.parametrize(
    "error", [RateLimited("x"), CertCentralUnavailable("x"), OrderNotFound("x"), ValueError("x")], ids=repr
)
@pytest.mark.parametrize("query", QUERIES)
def test_failed_query_records_nothing(fakes: Fakes, query: str, error: Exception) -> None:
    fakes.certcentral.errors[query] = error

    assert (answer_to(fakes), mailed(fakes), marks(fakes)) == (type(error).__name__, [], {})


# Other emails about the domains


@pytest.mark.parametrize("fields", [{}, {"locale": "de"}, {"force": True}], ids=str)
@pytest.mark.parametrize("hours", [0.1, 12, 20])
def test_domains_mailed_in_the_last_hours_need_no_reminder(fakes: Fakes, fields: dict[str, Any], hours: float) -> None:
    resend(fakes, at=-hours * HOUR, **fields)

    assert remind(fakes) == "already_mailed"
    assert (mailed(fakes), marks(fakes)) == ([1, 2, 3], {MARK: "done"})


def test_domains_mailed_before_are_reminded_of(fakes: Fakes) -> None:
    resend(fakes, at=-QUIET)

    assert remind(fakes) == "sent"
    assert mailed(fakes) == [1, 2, 3] * 2


@pytest.mark.parametrize(("hours", "outcome"), [(23.9, "already_mailed"), (24.1, "sent")])
def test_longer_cool_down_keeps_reminders_away(fakes: Fakes, hours: float, outcome: str) -> None:
    resend(fakes, at=-hours * HOUR)

    assert remind(fakes, cool_down_seconds=24 * HOUR) == outcome


def test_shared_domain_mailed_for_another_order_is_left_out(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(B),)
    resend(fakes, 8, at=-HOUR)
    fakes.certcentral.domains = (entry(A), entry(B), entry(C))

    assert remind(fakes) == "sent"
    assert outcomes(fakes) == ["a sent", "b duplicate", "c sent"]


def test_unknown_resend_about_a_domain_is_reported(fakes: Fakes) -> None:
    fail(fakes, b=OutcomeUnknown("x"))
    with pytest.raises(OutcomeUnknown):
        resend(fakes, at=-60)
    fail(fakes)

    assert answer_to(fakes) == "OutcomeUnknown"

    (report,) = reports(fakes)
    assert report.startswith("b.example: An earlier resend of domain b.example may or may not have been sent.")
    assert (marks(fakes), mailed(fakes)) == ({MARK: "done"}, [1, 2, 3])


def test_person_who_resends_after_a_reminder_mails_nobody(fakes: Fakes) -> None:
    remind(fakes)

    resend(fakes, at=60)

    assert mailed(fakes) == [1, 2, 3]


# What becomes of the mark


@pytest.mark.parametrize(
    ("errors", "answer", "mark", "reported"),
    [
        ({"b": RequestRejected("x")}, "RequestRejected", "done", 0),
        ({"a": RequestRejected("x"), "b": RequestRejected("x"), "c": RequestRejected("x")}, "RequestRejected", None, 0),
        ({"b": OutcomeUnknown("x")}, "OutcomeUnknown", "done", 1),
        ({"b": ValueError("x")}, "OutcomeUnknown", "done", 1),
        ({"a": RequestRejected("x"), "b": RequestRejected("x"), "c": OutcomeUnknown("x")}, "OutcomeUnknown", "done", 1),
        ({"b": RateLimited("x")}, "RateLimited", "attempted", 0),
        ({"a": RateLimited("x")}, "RateLimited", None, 0),
        ({"a": RequestRejected("x"), "b": RateLimited("x")}, "RateLimited", None, 0),
        ({"a": OutcomeUnknown("x"), "b": RateLimited("x")}, "RateLimited", "attempted", 1),
        ({"b": KILLED}, "KeyboardInterrupt", "attempted", 0),
    ],
    ids=[
        *("one refused", "all refused", "one unknown", "bug", "unknown and refused", "stopped", "stopped at once"),
        *("refused and stopped", "unknown and stopped", "killed"),
    ],
)
def test_mark_says_whether_a_rest_is_left(
    fakes: Fakes, errors: dict[str, BaseException], answer: str, mark: str | None, reported: int
) -> None:
    fail(fakes, **errors)

    assert answer_to(fakes) == answer

    assert marks(fakes) == ({} if mark is None else {MARK: mark})
    assert len(reports(fakes)) == reported
    assert fakes.records.of().claim is None


@pytest.mark.parametrize(
    ("domains", "mark"), [((B,), "attempted"), ((A, B, C), None)], ids=["one in progress", "all in progress"]
)
def test_mark_waits_for_a_domain_in_progress(fakes: Fakes, domains: Sequence[Domain], mark: str | None) -> None:
    for domain in domains:
        busy(fakes, domain)

    assert answer_to(fakes) == "ResendInProgress"
    assert marks(fakes) == ({} if mark is None else {MARK: mark})


@pytest.mark.parametrize("step", ["load", "store"])
def test_record_of_the_order_that_is_unavailable_mails_nobody(fakes: Fakes, step: str) -> None:
    fakes.records.errors[step] = SendRecordUnavailable("x")

    assert (answer_to(fakes), mailed(fakes), marks(fakes)) == ("SendRecordUnavailable", [], {})


def test_unknown_domain_is_reported_before_it_is_done(fakes: Fakes) -> None:
    fail(fakes, c=OutcomeUnknown("x"))

    answer_to(fakes)

    assert fakes.journal.methods[-3:] == ["on_domain", "on_unknown", "settle"]
    (report,) = reports(fakes)
    assert report.startswith("c.example: x Sent: a.example, b.example.")


def test_error_of_one_domain_says_what_became_of_the_others(fakes: Fakes) -> None:
    fail(fakes, b=RequestRejected("Refused."))

    with pytest.raises(RequestRejected, match=r"^b\.example: Refused\. Sent: a\.example, c\.example\.$"):
        remind(fakes)


# Redelivery


@pytest.mark.parametrize(
    ("errors", "answer", "tried", "reported"),
    [
        ({"a": RateLimited("x")}, "sent", [1, 1, 2, 3], 0),
        ({"b": RateLimited("x")}, "sent", [1, 2, 2, 3], 0),
        ({"c": RateLimited("x")}, "sent", [1, 2, 3, 3], 0),
        ({"a": OutcomeUnknown("x"), "b": RateLimited("x")}, "OutcomeUnknown", [1, 2, 2, 3], 2),
        ({"b": KILLED}, "OutcomeUnknown", [1, 2, 3], 1),
        (dict.fromkeys("abc", RequestRejected("x")), "sent", [1, 2, 3, 1, 2, 3], 0),
        # Done: the message was acknowledged.
        ({"b": RequestRejected("x")}, "already_reminded", [1, 2, 3], 0),
        ({"b": OutcomeUnknown("x")}, "already_reminded", [1, 2, 3], 1),
    ],
    ids=[
        *("stopped at the first", "stopped at the second", "stopped at the last", "unknown and stopped", "killed"),
        *("all refused", "one refused", "one unknown"),
    ],
)
def test_redelivered_reminder_sends_the_rest_only(
    fakes: Fakes, errors: dict[str, BaseException], answer: str, tried: list[int], reported: int
) -> None:
    fail(fakes, **errors)
    answer_to(fakes)
    fail(fakes)

    assert answer_to(fakes, at=180) == answer

    assert (mailed(fakes), len(reports(fakes)), marks(fakes)) == (tried, reported, {MARK: "done"})
    assert answer_to(fakes, at=360) == "already_reminded"


def test_mark_of_a_refused_rerun_is_reported_by_the_next(fakes: Fakes) -> None:
    """What the killed worker did is still not known, so its mark stays until a reminder reports it."""
    attempted(fakes, MARK)
    fail(fakes, **dict.fromkeys("abc", RequestRejected("x")))
    assert (answer_to(fakes), marks(fakes), reports(fakes)) == ("RequestRejected", {MARK: "attempted"}, [])
    fail(fakes)

    assert remind(fakes, UNDATED, at=4 * 24 * HOUR) == "sent"
    assert (len(reports(fakes)), marks(fakes)) == (1, {MARK: "done", "2026-11-20#7": "done"})


def test_reminder_after_a_domain_in_progress_sends_the_rest(fakes: Fakes) -> None:
    busy(fakes, B)
    answer_to(fakes)
    del fakes.records.records[B.record_id]

    assert remind(fakes, at=30) == "sent"
    assert (outcomes(fakes)[3:], marks(fakes)) == (["a duplicate", "b sent", "c duplicate"], {MARK: "done"})


def test_reminder_whose_last_settle_was_lost_mails_nobody(fakes: Fakes) -> None:
    remind_and_lose_the_settle(fakes)
    assert marks(fakes) == {MARK: "attempted"}

    assert remind(fakes, at=180) == "already_mailed"
    assert (mailed(fakes), reports(fakes), marks(fakes)) == ([1, 2, 3], [], {MARK: "done"})


def remind_and_lose_the_settle(fakes: Fakes) -> None:
    """Remind; the write that settles the order's record, after all domains, fails."""
    settle = fakes.records.settle

    def only_of_domains(record: SendRecord, instead_of: SendRecord) -> None:
        if record.id != "order#7":
            settle(record, instead_of)

    fakes.records.settle = only_of_domains  # type: ignore[method-assign]
    assert remind(fakes) == "sent"
    fakes.records.settle = settle  # type: ignore[method-assign]


def test_claim_of_a_killed_worker_is_waited_for(fakes: Fakes) -> None:
    attempted(fakes, MARK, claim=Claim("another", SECONDS + 29))

    with pytest.raises(ResendInProgress, match="Emails of order 7 are being sent"):
        remind(fakes)

    assert (mailed(fakes), marks(fakes), reports(fakes)) == ([], {MARK: "attempted"}, [])
    assert remind(fakes, at=29 + 120) == "sent"


@pytest.mark.parametrize("hours", [19, 25, 47])
def test_rerun_knows_of_the_first_attempt(fakes: Fakes, hours: int) -> None:
    """As long as the reminder is due, nobody is mailed by it who may have been mailed the first time."""
    fail(fakes, b=KILLED)
    answer_to(fakes)
    fail(fakes)

    assert answer_to(fakes, at=hours * HOUR) == "OutcomeUnknown"
    assert (mailed(fakes), len(reports(fakes))) == ([1, 2, 3], 1)


def test_killed_in_the_report_is_reported_again(fakes: Fakes) -> None:
    fail(fakes, b=OutcomeUnknown("x"))
    now = NOW.timestamp()

    def killed(_error: OutcomeUnknown) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fakes.resender(now, all_order_types=True).remind(REMINDER, replace(fakes.invocation(now), on_unknown=killed))
    assert marks(fakes) == {MARK: "attempted"}
    fail(fakes)

    assert answer_to(fakes, at=180) == "OutcomeUnknown"
    assert (len(reports(fakes)), mailed(fakes), marks(fakes)) == (1, [1, 2, 3], {MARK: "done"})


# Marks of other reminders


def test_other_attempted_reminder_is_reported_first(fakes: Fakes) -> None:
    attempted(fakes, DAY_1)

    assert remind(fakes) == "sent"

    (report,) = reports(fakes)
    assert f"A reminder of order 7 ({DAY_1}) may or may not have been sent" in report
    assert marks(fakes) == {DAY_1: "done", MARK: "done"}
    methods = fakes.journal.methods
    assert methods[:5] == ["load", *QUERIES, "on_unknown", "store"]


def test_own_attempted_reminder_is_not_reported_but_run(fakes: Fakes) -> None:
    attempted(fakes, MARK, DAY_1)

    assert remind(fakes) == "sent"

    (report,) = reports(fakes)
    assert MARK not in report
    assert (marks(fakes), mailed(fakes)) == ({DAY_1: "done", MARK: "done"}, [1, 2, 3])


def issued(fakes: Fakes) -> None:
    be(fakes, OV, "issued")


def no_longer_due(fakes: Fakes) -> None:
    be(fakes, OV, waiting_since=ago(6))


def stuck(fakes: Fakes) -> None:
    be(fakes, OV, waiting_since=ago(40))


def validated(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(A, "approved"),)


def unclear(fakes: Fakes) -> None:
    fakes.certcentral.domains = (NameStatus("a.example", "pending"),)


def unknown_order(fakes: Fakes) -> None:
    fakes.certcentral.errors["get_order"] = OrderNotFound("x")


@pytest.mark.parametrize(
    ("obstacle", "answer"),
    [
        *((issued, "OrderNotEligible"), (validated, "OrderNotEligible"), (unclear, "RecipientUnverified")),
        *((unknown_order, "OrderNotFound"), (no_longer_due, "missed"), (stuck, "stuck")),
    ],
)
def test_attempted_reminder_is_reported_if_it_cannot_run(
    fakes: Fakes, obstacle: Callable[[Fakes], None], answer: str
) -> None:
    attempted(fakes, MARK)
    obstacle(fakes)

    assert answer_to(fakes) == answer
    assert (len(reports(fakes)), marks(fakes), mailed(fakes)) == (1, {MARK: "done"}, [])


@pytest.mark.parametrize("error", [RateLimited("x"), CertCentralUnavailable("x"), ConfigurationError("x")], ids=repr)
def test_attempted_reminder_waits_while_the_account_fails(fakes: Fakes, error: ResendError) -> None:
    attempted(fakes, MARK)
    fakes.certcentral.errors["get_order"] = error

    assert answer_to(fakes) == type(error).__name__
    assert (reports(fakes), marks(fakes)) == ([], {MARK: "attempted"})


# Messages and orders that do not fit


def test_message_by_domain_for_a_dv_order_is_sent_by_order(fakes: Fakes) -> None:
    be(fakes, DV)

    assert remind(fakes) == "sent"
    assert (fakes.certcentral.puts, mailed(fakes), marks(fakes)) == ([{}], [], {MARK: "done"})
    assert fakes.records.of().mailed == {DEFAULT: Mailed(SECONDS, "sent")}


def test_attempted_mark_of_a_dv_order_is_reported_not_run(fakes: Fakes) -> None:
    be(fakes, DV)
    attempted(fakes, MARK)

    assert remind(fakes) == "already_reminded"
    assert (len(reports(fakes)), fakes.certcentral.puts, mailed(fakes), marks(fakes)) == (1, [], [], {MARK: "done"})


def test_plain_message_for_an_order_not_dv_is_sent_by_domain(fakes: Fakes) -> None:
    assert remind(fakes, PLAIN) == "sent"
    assert (fakes.certcentral.puts, mailed(fakes), marks(fakes)) == ([], [1, 2, 3], {MARK: "done"})


def test_plain_message_reports_an_attempted_mark_first(fakes: Fakes) -> None:
    attempted(fakes, MARK)

    assert remind(fakes, PLAIN) == "already_reminded"
    assert (fakes.journal.methods, marks(fakes)) == (["load", "on_unknown", "store"], {MARK: "done"})


@pytest.mark.parametrize("reminder", [REMINDER, UNDATED, PLAIN], ids=["dated", "undated", "plain"])
def test_setting_dv_refuses_an_order_that_is_not(fakes: Fakes, reminder: Reminder) -> None:
    with pytest.raises(OrderNotEligible) as caught:
        remind(fakes, reminder, all_order_types=False)

    assert caught.value.reason == "not_dv"
    assert (fakes.certcentral.puts, mailed(fakes), marks(fakes)) == ([], [], {})


def test_setting_dv_reports_an_attempted_mark(fakes: Fakes) -> None:
    attempted(fakes, MARK)

    assert answer_to(fakes, all_order_types=False) == "OrderNotEligible"
    assert (len(reports(fakes)), marks(fakes)) == (1, {MARK: "done"})


# Others that write the order's record meanwhile


def rival(fakes: Fakes, record: SendRecord) -> None:
    """Have another invocation store a record just before the next write."""

    def store() -> None:
        fakes.records.before_store = lambda: None
        fakes.records.records["order#7"] = record

    fakes.records.before_store = store


def test_reminder_done_meanwhile_mails_nobody(fakes: Fakes) -> None:
    rival(fakes, SendRecord("order#7", "another", reminders={MARK: "done"}))

    assert (remind(fakes), mailed(fakes)) == ("already_reminded", [])


def test_order_claimed_meanwhile_is_in_progress(fakes: Fakes) -> None:
    rival(fakes, SendRecord("order#7", "another", Claim("another", SECONDS + 29)))

    assert (answer_to(fakes), mailed(fakes)) == ("ResendInProgress", [])


def test_record_changed_meanwhile_is_claimed_anew(fakes: Fakes) -> None:
    rival(fakes, SendRecord("order#7", "another", reminders={DAY_1: "done"}))

    assert remind(fakes) == "sent"
    assert marks(fakes) == {DAY_1: "done", MARK: "done"}


def test_record_that_others_keep_changing_is_in_progress(fakes: Fakes) -> None:
    revisions = iter(map(str, range(100)))
    fakes.records.before_store = lambda: fakes.records.records.update(
        {"order#7": SendRecord("order#7", next(revisions))}
    )

    assert (answer_to(fakes), mailed(fakes)) == ("ResendInProgress", [])


# Property: deliveries with any faults, then without


FAULTS: dict[str, Callable[[], BaseException]] = {
    "unsent": lambda: RateLimited("x"),
    "refused": lambda: RequestRejected("x"),
    "unknown": lambda: OutcomeUnknown("x"),
    "killed": KeyboardInterrupt,
}
PERHAPS = (None, "unknown", "killed")
STEPS = st.lists(
    st.tuples(st.lists(st.sampled_from([None, None, *FAULTS]), min_size=3, max_size=3), st.booleans()), max_size=6
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(STEPS, st.sampled_from([REMINDER, UNDATED]))
def test_deliveries_end_with_one_email_or_report_per_domain(
    steps: list[tuple[Sequence[str | None], bool]], reminder: Reminder
) -> None:
    fakes = ov_order()
    # The domains about which somebody may have been mailed, and those whose send was refused.
    perhaps: list[int] = []
    refused: set[int] = set()
    doubtful = False

    for number, (faults, is_killed_in_settle) in enumerate([*steps, ([None] * 3, False)]):
        fail(fakes, **{"abc"[place]: FAULTS[fault]() for place, fault in enumerate(faults) if fault is not None})
        fakes.records.errors = {"settle": KeyboardInterrupt()} if is_killed_in_settle else {}
        before = len(mailed(fakes))
        # Each time, a claim that nobody settled is dead.
        answer_to(fakes, reminder, at=number * 200)
        for domain_id in mailed(fakes)[before:]:
            if faults[domain_id - 1] in PERHAPS:
                perhaps.append(domain_id)
                doubtful |= faults[domain_id - 1] is not None or is_killed_in_settle
            else:
                refused.add(domain_id)

    assert len(perhaps) == len(set(perhaps)), "two emails about a domain"
    assert {*perhaps, *refused} == {1, 2, 3}, "a domain was left out"
    assert marks(fakes) == {MARK: "done"}
    assert reports(fakes) or not doubtful, "an unknown outcome was not reported"
    assert fakes.certcentral.puts == []
