"""The guard of a send: in which order its steps happen, and what each outcome leaves in the record."""

import itertools

import pytest

from dv_resend.core.claim_and_send import MAX_DECISIONS, SendGuard, Sent
from dv_resend.core.send_record import DEFAULT, Attempt, Claim, Duplicate, Mailed, NoReminder, SendRecord
from dv_resend.errors import (
    CertCentralUnavailable,
    InvalidRequest,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    ResendInProgress,
    SendRecordUnavailable,
)
from unit.fakes import FakeSendRecords, Journal

NOW = 1_795_446_245
COOL_DOWN = 3600
AGAIN = COOL_DOWN + 120
DEADLINE = NOW + 29
A, B = "hash-of-a", "hash-of-b"
DAY_1, DAY_3 = "2026-11-20#1", "2026-11-20#3"
NOT_SENT = [RateLimited("x", retry_after=7), RequestRejected("x"), CertCentralUnavailable("x")]


class World:
    """One order, its guard, and a journal of what happens. ``rivals`` replace the record before a write."""

    def __init__(self):
        self.journal = Journal()
        self.now = NOW
        self.records = FakeSendRecords(self.journal)
        self.records.before_store = lambda: self.rivals and self.records.records.update({"order#7": self.rivals.pop(0)})
        self.rivals = []
        self.revisions = [f"revision {number}" for number in range(1, 100)]
        self.guard = SendGuard(self.records, COOL_DOWN, lambda: self.now + 0.9, iter(self.revisions).__next__)
        self.fails = None
        self.during_put = lambda: None

    def put(self, send):
        self.journal.append(("PUT", *send.people))
        self.during_put()
        if self.fails is not None:
            raise self.fails

    def report(self, error):
        assert isinstance(error, OutcomeUnknown)
        self.journal.append(("report",))

    def send(self, *people, **options):
        attempt = Attempt(people or (DEFAULT,), self.now + 29, "an owner", **options)
        return self.guard.send(self.guard.load(7), attempt, self.put, self.report)

    def remind(self, reminder=DAY_1):
        record = self.guard.report_attempted(self.guard.load(7), self.report)
        attempt = Attempt((DEFAULT,), self.now + 29, "an owner", reminder=reminder)
        return self.guard.send(record, attempt, self.put, self.report)

    def holds(self, **fields):
        """Have a record stored that holds these fields."""
        self.records.records["order#7"] = SendRecord("order#7", "a revision", **fields)

    @property
    def record(self):
        return self.records.of()

    @property
    def steps(self):
        return [step if step[0] == "PUT" else step[0] for step in self.journal]


@pytest.fixture
def world():
    return World()


def test_send_is_claimed_before_the_put_and_settled_after(world):
    assert world.send(A) == Sent((A,), {}, sent_at=NOW, until=NOW + AGAIN)

    assert world.steps == ["load", "store", ("PUT", A), "settle"]
    assert world.record.mailed == {A: Mailed(NOW, "sent")}
    assert world.record.claim is None


def test_claim_is_stored_while_the_put_runs(world):
    seen = []
    world.during_put = lambda: seen.append(world.record)

    world.send(A, force_id="event")

    assert seen[0].claim == Claim("an owner", DEADLINE)
    assert seen[0].mailed == {A: Mailed(DEADLINE, "unknown")}
    assert seen[0].forced_by == {"event": DEADLINE}


def test_sent_email_is_dated_after_the_response(world):
    def slow():
        world.now += 12

    world.during_put = slow

    assert world.send(A).sent_at == NOW + 12
    assert world.record.mailed == {A: Mailed(NOW + 12, "sent")}


def test_every_write_draws_another_revision(world):
    """Trace 1: a revision never comes back."""
    world.send(A)
    first = world.record.revision
    world.send(B)

    assert (first, world.record.revision) == ("revision 2", "revision 4")
    assert len({SendGuard(world.records, COOL_DOWN).draw() for _ in range(100)}) == 100


def test_people_who_were_mailed_are_left_out_of_the_put(world):
    world.send(A)
    world.journal.clear()

    assert world.send(A, B) == Sent((B,), {A: Mailed(NOW, "sent")}, sent_at=NOW, until=NOW + AGAIN)
    assert ("PUT", B) in world.journal


@pytest.mark.parametrize("error", NOT_SENT, ids=ascii)
def test_send_that_is_refused_leaves_no_trace(world, error):
    world.fails = error

    with pytest.raises(type(error)):
        world.send(A, force_id="event")

    assert world.steps == ["load", "store", ("PUT", A), "settle"]
    assert (world.record.mailed, world.record.forced_by, world.record.claim) == ({}, {}, None)
    world.fails = None
    assert isinstance(world.send(A, force_id="event"), Sent)


def test_unknown_outcome_is_kept_and_raised(world):
    world.fails = OutcomeUnknown("x")

    with pytest.raises(OutcomeUnknown):
        world.send(A)

    assert world.record.mailed == {A: Mailed(DEADLINE, "unknown")}
    assert world.record.claim is None
    world.fails = None
    with pytest.raises(OutcomeUnknown, match="before 2026-11-23T16:06:34Z") as raised:
        world.send(A)
    assert raised.value.retry_after == 29 + AGAIN


@pytest.mark.parametrize(
    ("bug", "raised"), [(RuntimeError("a bug"), OutcomeUnknown), (KeyboardInterrupt(), KeyboardInterrupt)], ids=ascii
)
def test_bug_during_the_put_counts_as_unknown(world, bug, raised):
    world.fails = bug

    with pytest.raises(raised):
        world.send(A)

    assert world.record.mailed == {A: Mailed(DEADLINE, "unknown")}


@pytest.mark.parametrize("error", [None, RateLimited("x"), OutcomeUnknown("x")], ids=ascii)
def test_answer_of_certcentral_survives_a_failed_settle(world, error):
    world.fails = error
    world.during_put = lambda: world.records.errors.update(settle=SendRecordUnavailable("x"))

    if error is None:
        assert isinstance(world.send(A), Sent)
    else:
        with pytest.raises(type(error)):
            world.send(A)
    assert world.record.mailed == {A: Mailed(DEADLINE, "unknown")}


def test_nothing_is_sent_if_the_claim_cannot_be_stored(world):
    world.records.errors["store"] = SendRecordUnavailable("x")

    with pytest.raises(SendRecordUnavailable):
        world.send(A)
    assert world.steps == ["load", "store"]


def test_duplicate_writes_nothing(world):
    world.send(A)
    world.journal.clear()

    assert world.send(A) == Duplicate({A: Mailed(NOW, "sent")}, until=NOW + AGAIN)
    assert world.steps == ["load"]


@pytest.mark.parametrize(("later", "retry_after"), [(0, 29), (28, 1), (29, 120), (148, 1)])
def test_live_claim_is_in_progress(world, later, retry_after):
    world.holds(claim=Claim("another", DEADLINE))
    world.now += later

    with pytest.raises(ResendInProgress, match="order 7") as raised:
        world.send(A)
    assert raised.value.retry_after == retry_after
    assert world.steps == ["load"]


def test_too_many_people_are_refused(world):
    world.holds(mailed={f"person {number}": Mailed(NOW, "sent") for number in range(2000)})

    with pytest.raises(InvalidRequest, match="order 7 to more than 2000") as raised:
        world.send(A)
    assert raised.value.field == "domain_approval_emails"


def test_rejected_claim_is_decided_again_on_the_latest_record(world):
    world.rivals = [SendRecord("order#7", "rival", mailed={A: Mailed(NOW, "sent")})]

    assert world.send(A, B).people == (B,)
    assert world.steps == ["load", "store", "store", ("PUT", B), "settle"]


@pytest.mark.parametrize(
    ("rival", "error"),
    [
        ({"claim": Claim("rival", DEADLINE)}, ResendInProgress),
        ({"mailed": {A: Mailed(DEADLINE, "unknown")}}, OutcomeUnknown),
    ],
    ids=["claims", "unknown"],
)
def test_rejected_claim_is_answered_with_what_the_rival_left(world, rival, error):
    world.rivals = [SendRecord("order#7", "rival", **rival)]

    with pytest.raises(error):
        world.send(A)
    assert world.steps == ["load", "store"]


def test_claim_that_is_rejected_again_and_again_gives_up(world):
    world.rivals = [SendRecord("order#7", f"rival {number}") for number in range(100)]

    with pytest.raises(ResendInProgress, match="order 7"):
        world.send(A)
    assert world.steps == ["load"] + ["store"] * MAX_DECISIONS


def test_settle_of_a_replaced_claim_changes_nothing(world):
    rival = SendRecord("order#7", "rival")
    world.during_put = lambda: world.records.records.update({"order#7": rival})

    assert isinstance(world.send(A), Sent)
    assert world.record == rival


def test_unknown_reminder_is_reported_before_it_is_done(world):
    """Trace 6: R's PUT is unknown, and R is killed before the report: the mark is still `attempted`."""
    marks = []
    world.fails = OutcomeUnknown("x")
    world.report = lambda _error: marks.append(world.record.reminders)

    with pytest.raises(OutcomeUnknown):
        world.remind()

    assert marks == [{DAY_1: "attempted"}]
    assert world.record.reminders == {DAY_1: "done"}


def test_bug_in_a_reminder_is_reported_as_an_unknown_outcome(world):
    world.fails = RuntimeError("a bug")

    with pytest.raises(OutcomeUnknown, match="DV Resend failed"):
        world.remind()
    assert world.record.reminders == {DAY_1: "done"}
    assert "report" in world.steps


def test_kill_during_a_reminder_leaves_it_to_be_reported(world):
    world.fails = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        world.remind()
    assert world.record.reminders == {DAY_1: "attempted"}
    assert "report" not in world.steps


def test_reminder_of_a_killed_worker_is_reported_then_done(world):
    """Trace 8: the message comes back late. The reminder is reported, whether or not it is still due."""
    world.holds(reminders={DAY_1: "attempted"}, mailed={DEFAULT: Mailed(NOW - 49 * 3600, "unknown")})

    assert world.remind() == NoReminder("already_reminded")

    assert world.steps == ["load", "report", "store"]
    assert world.record.reminders == {DAY_1: "done"}


def test_report_of_a_killed_worker_says_which_reminder(world):
    world.holds(reminders={DAY_1: "attempted", "2026-10-01#1": "done", DAY_3: "attempted"})
    errors = []

    world.guard.report_attempted(world.record, errors.append)

    (error,) = errors
    assert isinstance(error, OutcomeUnknown)
    assert f"order 7 ({DAY_1}, {DAY_3}) may or may not have been sent" in error.message


def test_reminder_of_another_day_is_sent_after_the_report(world):
    world.holds(reminders={DAY_1: "attempted"}, mailed={DEFAULT: Mailed(NOW - AGAIN, "unknown")})

    assert isinstance(world.remind(DAY_3), Sent)
    assert world.steps == ["load", "report", "store", "store", ("PUT", DEFAULT), "settle"]
    assert world.record.reminders == {DAY_1: "done", DAY_3: "done"}


def test_attempted_reminder_waits_while_its_claim_is_live(world):
    world.holds(reminders={DAY_1: "attempted"}, claim=Claim("another", DEADLINE))

    with pytest.raises(ResendInProgress):
        world.remind()
    assert world.steps == ["load"]


def test_report_that_cannot_be_recorded_is_made_again(world):
    world.holds(reminders={DAY_1: "attempted"})
    world.records.errors["store"] = SendRecordUnavailable("x")

    with pytest.raises(SendRecordUnavailable):
        world.remind()
    assert world.steps == ["load", "report", "store"]
    assert world.record.reminders == {DAY_1: "attempted"}


def test_rival_that_reports_first_leaves_nothing_to_report(world):
    world.holds(reminders={DAY_1: "attempted"})
    world.rivals = [SendRecord("order#7", "rival", reminders={DAY_1: "done"})]

    assert world.remind() == NoReminder("already_reminded")
    assert world.steps == ["load", "report", "store"]


def test_reminder_soon_after_another_email_is_done_without_one(world):
    world.send(A)
    world.journal.clear()
    world.now += 19 * 3600

    assert world.remind() == NoReminder("already_mailed")

    assert world.steps == ["load", "store"]
    assert world.record.reminders == {DAY_1: "done"}
    assert world.record.mailed == {A: Mailed(NOW, "sent")}


def test_reminder_soon_after_an_unknown_outcome_is_reported_then_done(world):
    world.holds(mailed={A: Mailed(NOW, "unknown")})

    with pytest.raises(OutcomeUnknown):
        world.remind()

    assert world.steps == ["load", "report", "store"]
    assert world.record.reminders == {DAY_1: "done"}


def test_reminder_attempted_by_a_rival_that_was_killed_is_reported(world):
    world.rivals = [SendRecord("order#7", "rival", reminders={DAY_1: "attempted"})]

    with pytest.raises(OutcomeUnknown):
        world.remind()
    assert world.steps == ["load", "store", "report", "store"]
    assert world.record.reminders == {DAY_1: "done"}


def test_reminder_that_is_done_writes_nothing(world):
    world.holds(reminders={DAY_1: "done"})

    assert world.remind() == NoReminder("already_reminded")
    assert world.steps == ["load"]


def test_reminder_waits_while_another_send_is_in_progress(world):
    """Traces 10 and 17: it goes back to the queue, and nothing is written that the claim's owner must write."""
    world.holds(claim=Claim("another", DEADLINE), mailed={A: Mailed(NOW, "sent")})

    with pytest.raises(ResendInProgress):
        world.remind()
    assert world.steps == ["load"]


def test_rejected_note_of_a_needless_reminder_is_decided_again(world):
    world.holds(mailed={A: Mailed(NOW, "sent")})
    world.rivals = [SendRecord("order#7", "rival", claim=Claim("another", DEADLINE))]

    with pytest.raises(ResendInProgress):
        world.remind()
    assert world.record.reminders == {}


def test_ordinary_unknown_writes_nothing(world):
    world.holds(mailed={A: Mailed(NOW, "unknown")})

    with pytest.raises(OutcomeUnknown):
        world.send(A)
    assert world.steps == ["load"]


def test_unknown_that_no_wait_can_end_gives_no_time(world):
    world.holds(forced_by={"event": NOW})

    with pytest.raises(OutcomeUnknown, match=r"It is not repeated\. Check") as raised:
        world.send(A, force_id="event")
    assert raised.value.retry_after is None


def test_clock_is_read_again_for_each_decision(world):
    times = itertools.count(NOW, 60)
    guard = SendGuard(world.records, COOL_DOWN, times.__next__, iter(world.revisions).__next__)
    live = SendRecord(
        "order#7", "rival", claim=Claim("another", NOW - 100), mailed={A: Mailed(NOW - AGAIN + 50, "sent")}
    )
    world.rivals = [live]

    # At the first look, nothing is stored. At the second, the claim is dead and the cool-down is over.
    assert isinstance(guard.send(world.guard.load(7), Attempt((A,), DEADLINE, "an owner"), world.put), Sent)
