"""The rules of the send record, one by one, and how an earlier wording of them failed (the numbered traces).

Times are seconds after the first event of a test. The cool-down is an hour.
"""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.send_record import (
    DEFAULT,
    Attempt,
    Claim,
    Duplicate,
    InProgress,
    Mailed,
    NoReminder,
    Send,
    SendRecord,
    TooManyPeople,
    Unknown,
    claim,
    decide,
)

COOL_DOWN = 3600
MARGIN = 120
AGAIN = COOL_DOWN + MARGIN
TTL = 29
HOUR = 3600
DAY = 24 * HOUR
A, B, C = "hash-of-a", "hash-of-b", "hash-of-c"
DAY_1, DAY_3 = "2026-11-20#1", "2026-11-20#3"


class Order:
    """One order's record, to which invocations happen one after the other."""

    def __init__(self, record=None):
        self.record = record or SendRecord("order#7")
        self.revisions = (f"revision {number}" for number in itertools.count(1))

    def decide(self, *people, now=0, cool_down=COOL_DOWN, **attempt):
        return decide(self.record, self.attempt(*people, now=now, **attempt), now, cool_down)

    def attempt(self, *people, now=0, **attempt):
        return Attempt(people or (DEFAULT,), now + TTL, **{"owner": "an owner"} | attempt)

    def claim(self, *people, now=0, **attempt):
        """Claim the order, which must be allowed."""
        decision = self.decide(*people, now=now, **attempt)
        assert isinstance(decision, Send), decision
        held = claim(self.record, self.attempt(*people, now=now, **attempt), decision.people, self.revision(), now)
        self.record = held.record
        return held

    def send(self, *people, now=0, **attempt):
        """Mail, and settle at once."""
        self.record = self.claim(*people, now=now, **attempt).sent(self.revision(), now)

    def lose(self, *people, now=0, **attempt):
        """Mail, with an unknown outcome that is reported."""
        self.record = self.claim(*people, now=now, **attempt).unknown(self.revision(), now, reported=True)

    def revision(self):
        return next(self.revisions)


@pytest.fixture
def order():
    return Order()


def remind(order, reminder, now=0, **more):
    return order.decide(now=now, reminder=reminder, **more)


# ---------------------------------------------------------------- 1. one sender per order


@pytest.mark.parametrize("attempt", [{}, {"force_id": "f"}, {"reminder": DAY_1}, {"force_id": "own"}], ids=str)
@pytest.mark.parametrize("people", [(), (A,), (B,), (A, B)], ids=str)
def test_live_claim_stops_every_other_send(order, people, attempt):
    order.claim(A, force_id="own")

    for now in (0, TTL, TTL + MARGIN - 1):
        assert order.decide(*people, now=now, **attempt) == InProgress(until=TTL + MARGIN)


def test_claim_is_dead_two_minutes_after_its_deadline(order):
    order.claim(A)

    assert order.decide(B, now=TTL + MARGIN) == Send((B,), {})


def test_claim_is_dead_by_a_clock_two_minutes_early():
    """Trace 13: clocks that differ by 90 seconds agree that a claim is live until its owner has ended."""
    order = Order()
    order.claim(A)

    assert isinstance(order.decide(B, now=TTL + 90), InProgress)


@pytest.mark.parametrize("settle", ["sent", "not_sent", "unknown"])
def test_settled_claim_stops_nobody_else(order, settle):
    held = order.claim(A)
    order.record = settled(held, settle)

    assert order.record.claim is None
    assert order.decide(B) == Send((B,), {})


def test_second_delivery_of_an_event_waits_for_the_first(order):
    """Trace 2: the same event, delivered twice at once, is two owners; the second finds the first one's claim."""
    order.claim(A, force_id="event", owner="delivery 1")

    assert isinstance(order.decide(A, force_id="event", owner="delivery 2"), InProgress)
    assert order.record.claim == Claim("delivery 1", TTL)


def test_reminder_that_meets_a_live_claim_waits():
    """Trace 10: it is neither sent nor answered, so that it goes back to the queue."""
    order = Order()
    order.claim(A)

    assert isinstance(remind(order, DAY_1), InProgress)


def test_reminder_that_meets_a_live_claim_writes_nothing():
    """Trace 17: not even if somebody was just mailed. Only the owner writes while its claim is live."""
    order = Order()
    order.send(B, now=0)
    order.claim(A, now=1)

    assert isinstance(remind(order, DAY_1, now=2), InProgress)


# ---------------------------------------------------------------- 2. one email per person and cool-down


@pytest.mark.parametrize("now", [0, 1, COOL_DOWN, AGAIN - 1])
def test_person_is_not_mailed_twice_in_a_cool_down(order, now):
    order.send(A)

    assert order.decide(A, now=now) == Duplicate({A: Mailed(0, "sent")}, until=AGAIN)


def test_person_is_mailed_again_after_the_cool_down(order):
    order.send(A)

    assert order.decide(A, now=AGAIN) == Send((A,), {})


def test_cool_down_is_two_minutes_longer_for_the_clocks(order):
    """Trace 12: A mails at 0; B's clock is 90 s ahead, so that 3539 s later it shows 3629."""
    order.send(A)

    assert isinstance(order.decide(A, now=3539 + 90), Duplicate)


def test_cool_down_of_a_setting_is_kept(order):
    order.send(A)

    assert isinstance(order.decide(A, now=2 * HOUR, cool_down=2 * HOUR), Duplicate)
    assert isinstance(order.decide(A, now=2 * HOUR + MARGIN, cool_down=2 * HOUR), Send)


def test_claim_that_dies_counts_from_its_deadline(order):
    """Trace 14: the email may leave just before the deadline, so the cool-down counts from there."""
    order.claim(A, now=0)

    assert isinstance(order.decide(A, now=TTL + AGAIN - 1), Unknown)
    assert isinstance(order.decide(A, now=TTL + AGAIN), Send)


def test_sent_email_counts_from_its_response(order):
    order.record = order.claim(A, now=0).sent("r", now=12)

    assert order.record.mailed == {A: Mailed(12, "sent")}


def test_other_person_is_mailed_at_once(order):
    order.send(A)

    assert order.decide(B) == Send((B,), {})


@pytest.mark.parametrize("first", [(), (A,), (A, B)], ids=str)
def test_default_send_repeats_any_send(order, first):
    order.send(*first)

    assert isinstance(order.decide(now=AGAIN - 1), Duplicate)
    assert order.decide(now=AGAIN) == Send((DEFAULT,), {})


@pytest.mark.parametrize("second", [(), (A,), (A, B)], ids=str)
def test_any_send_repeats_a_default_send(order, second):
    order.send()

    assert isinstance(order.decide(*second, now=AGAIN - 1), Duplicate)
    assert isinstance(order.decide(*second, now=AGAIN), Send)


# ---------------------------------------------------------------- 3. who is left


def test_people_who_were_mailed_are_skipped(order):
    order.send(A)

    assert order.decide(A, B) == Send((B,), {A: Mailed(0, "sent")})
    assert Mailed(0, "sent").reason == "already_mailed"


def test_people_who_may_have_been_mailed_are_skipped_as_such(order):
    """Trace 11: `{a}` is unknown, then `{a, b}` is sent: a was not "already mailed"."""
    order.lose(A)

    assert order.decide(A, B) == Send((B,), {A: Mailed(TTL, "unknown")})
    assert Mailed(TTL, "unknown").reason == "maybe_mailed"


def test_duplicate_says_when_the_last_was_mailed_and_the_first_may_be_again(order):
    order.send(A, now=0)
    order.send(B, now=10)

    duplicate = order.decide(A, B, now=20)

    assert duplicate == Duplicate({A: Mailed(0, "sent"), B: Mailed(10, "sent")}, until=AGAIN)
    assert duplicate.sent_at == 10
    assert order.decide(A, B, now=duplicate.until) == Send((A,), {B: Mailed(10, "sent")})


def test_default_duplicate_lasts_until_everybody_may_be_mailed(order):
    order.send(A, now=0)
    order.send(B, now=10)

    duplicate = order.decide(now=20)

    assert duplicate == Duplicate({DEFAULT: Mailed(10, "sent")}, until=10 + AGAIN)
    assert order.decide(now=duplicate.until) == Send((DEFAULT,), {})


def test_duplicate_after_named_and_default_lasts_until_both_are_over(order):
    order.send(A, now=0)
    order.send(now=10, force_id="f")

    assert order.decide(A, now=20) == Duplicate({A: Mailed(0, "sent")}, until=10 + AGAIN)


@pytest.mark.parametrize("people", [(A,), (A, B), ()], ids=str)
def test_repeat_is_unknown_if_anybody_is(order, people):
    order.send(B)
    order.lose(A)

    answer = order.decide(*people)

    assert isinstance(answer, Unknown)
    assert answer.earlier[people[0] if people else DEFAULT].outcome == "unknown"


def test_unknown_default_makes_everybody_unknown(order):
    order.lose()

    assert order.decide(A, B, now=1) == Unknown({A: Mailed(TTL, "unknown"), B: Mailed(TTL, "unknown")}, TTL + AGAIN)


def test_own_email_tells_more_than_the_default_one(order):
    order.send(A)
    order.lose(force_id="f")

    assert isinstance(order.decide(A), Duplicate)
    assert isinstance(order.decide(B), Unknown)


# ---------------------------------------------------------------- 4. force


@pytest.mark.parametrize("people", [(), (A,), (A, B)], ids=str)
@pytest.mark.parametrize("earlier", ["send", "lose"])
def test_forced_call_mails_everybody_it_names(order, people, earlier):
    getattr(order, earlier)(A)

    assert order.decide(*people, force_id="f") == Send(people or (DEFAULT,), {})


def test_forced_call_surely_not_sent_is_forced_again(order):
    """Trace 3: `Ea` gets a 429; its retry has the same id, and must still mail."""
    order.send(A)
    held = order.claim(A, now=1, force_id="event")
    order.record = held.not_sent("r", now=2)

    assert order.record.forced_by == {}
    assert order.decide(A, now=3, force_id="event") == Send((A,), {})


def test_redelivered_force_mails_nobody_after_the_cool_down(order):
    """Trace 4: `Ea` mails at 0 and is redelivered at 3749 s, when an ordinary send would mail again."""
    order.send(A, force_id="event")

    answer = order.decide(A, now=3749, force_id="event")

    assert answer == Duplicate({A: Mailed(0, "sent")}, until=AGAIN)


@pytest.mark.parametrize("now", [TTL + MARGIN, AGAIN + HOUR, DAY])
def test_redelivered_force_of_a_crash_is_unknown(order, now):
    order.claim(A, B, force_id="event")

    assert isinstance(order.decide(A, B, now=now, force_id="event"), Unknown)


def test_redelivered_force_is_unknown_if_nothing_is_known_any_more(order):
    order.record = replace(order.record, forced_by={"event": 0})

    assert order.decide(A, now=5, force_id="event") == Unknown({}, until=5)


def test_redelivered_force_is_unknown_if_too_little_is_known(order):
    order.send(A, force_id="event")

    assert isinstance(order.decide(A, B, force_id="event"), Unknown)


def test_force_ids_and_people_are_kept_two_days(order):
    order.send(A, force_id="old")

    order.send(B, now=2 * DAY)
    assert order.record.mailed.keys() == {A, B}
    order.send(C, now=2 * DAY + 1)
    assert order.record.mailed.keys() == {B, C}
    assert order.record.forced_by == {"old": TTL}
    order.send(A, now=2 * DAY + TTL + 1)
    assert order.record.forced_by == {}


def test_fourth_forced_call_is_an_ordinary_send(order):
    """Trace 5: three forced calls for b, then a forced one for a: a is mailed, b is not."""
    for number in range(3):
        order.send(B, now=number, force_id=f"force {number}")

    assert order.decide(B, now=3, force_id="another") == Duplicate({B: Mailed(2, "sent")}, until=2 + AGAIN)
    assert order.decide(A, B, now=3, force_id="another") == Send((A,), {B: Mailed(2, "sent")})
    assert order.decide(A, now=3, force_id="another") == Send((A,), {})


def test_forced_call_that_became_ordinary_is_recorded(order):
    for number in range(3):
        order.send(B, now=number, force_id=f"force {number}")
    order.send(A, now=3, force_id="another")

    assert order.record.forced_by["another"] == 3 + TTL
    assert order.decide(A, now=DAY, force_id="another") == Duplicate({A: Mailed(3, "sent")}, until=3 + AGAIN)


def test_forced_calls_are_possible_again_after_a_cool_down(order):
    for number in range(3):
        order.send(A, now=number, force_id=f"force {number}")

    order.send(B, now=HOUR)

    assert isinstance(order.decide(B, now=TTL + AGAIN - 1, force_id="another"), Duplicate)
    assert order.decide(B, now=TTL + AGAIN, force_id="another") == Send((B,), {})


def test_ordinary_send_records_no_force(order):
    order.send(A)

    assert order.record.forced_by == {}


# ---------------------------------------------------------------- 5. settling


def settled(held, outcome, now=1):
    settle = getattr(held, outcome)
    return settle("r", now, reported=False) if outcome == "unknown" else settle("r", now)


@pytest.mark.parametrize("people", [(), (A,), (A, B)], ids=str)
def test_claim_holds_its_people_as_unknown(order, people):
    order.send(C, now=0)
    before = order.record

    held = order.claim(*people, now=AGAIN, owner="me", force_id="f")

    assert held.before == before
    assert order.record.claim == Claim("me", AGAIN + TTL)
    mailed = dict.fromkeys(people or (DEFAULT,), Mailed(AGAIN + TTL, "unknown"))
    assert order.record.mailed == {C: Mailed(0, "sent")} | mailed
    assert order.record.forced_by == {"f": AGAIN + TTL}


def test_sent_makes_only_its_own_people_sent(order):
    order.lose(A)
    order.record = order.claim(A, B, now=1).sent("r", now=2)

    assert order.record.mailed == {A: Mailed(TTL, "unknown"), B: Mailed(2, "sent")}


def test_unknown_leaves_the_record_as_claimed(order):
    held = order.claim(A, force_id="f", reminder=DAY_1)

    assert without_writing(held.unknown("r", 1, reported=False)) == without_writing(held.record)


def without_writing(record):
    """The record without what every write changes."""
    return replace(record, revision=None, claim=None, expiration=0)


@pytest.mark.parametrize("attempt", [{}, {"force_id": "f"}, {"reminder": DAY_3}], ids=str)
def test_surely_not_sent_leaves_no_trace(order, attempt):
    order.lose(A, now=0, force_id="earlier")
    order.claim(B, now=1)  # and dies
    order.record = order.record.with_done([DAY_1], "r", now=150)
    before = order.record

    held = order.claim(*() if "reminder" in attempt else (A,), now=150 + AGAIN, **attempt)

    assert without_writing(held.not_sent("r", 150 + AGAIN)) == without_writing(before)


def test_surely_not_sent_brings_no_old_claim_or_revision_back(order):
    order.claim(A, owner="dead")
    revisions = {order.record.revision}
    held = order.claim(B, now=TTL + MARGIN)
    revisions.add(order.record.revision)

    record = held.not_sent("fresh", now=TTL + MARGIN + 1)

    assert record.claim is None
    assert record.revision == "fresh"
    assert record.mailed == {A: Mailed(TTL, "unknown")}
    assert None not in revisions


@pytest.mark.parametrize("outcome", ["sent", "not_sent", "unknown"])
def test_every_write_has_the_given_revision_and_lasts_30_days(order, outcome):
    """Trace 9: a message can wait 4 days in the queue and 14 in the dead-letter queue; its mark must outlast it."""
    held = order.claim(A)
    assert (held.record.revision, held.record.expiration) == ("revision 1", 30 * DAY)

    record = settled(held, outcome, now=DAY)
    assert (record.revision, record.expiration) == ("r", 31 * DAY)
    assert order.record.with_done([DAY_1], "s", now=2 * DAY).expiration == 32 * DAY


def test_at_most_2000_people_are_held(order):
    people = [f"person {number}" for number in range(2000)]
    for start in range(0, 2000, 250):
        order.send(*people[start : start + 250])

    assert order.decide("one more", now=5) == TooManyPeople()
    assert order.decide("one more", now=5, force_id="f") == TooManyPeople()
    assert isinstance(order.decide(people[0], now=5, force_id="f"), Send)
    assert isinstance(order.decide(now=AGAIN), Send)
    assert isinstance(order.decide("one more", now=2 * DAY), TooManyPeople)
    assert isinstance(order.decide("one more", now=2 * DAY + 1), Send)


def test_default_recipients_do_not_count_among_the_people(order):
    order.send(now=0)
    order.record = replace(
        order.record, mailed={DEFAULT: Mailed(0, "sent")} | {f"person {n}": Mailed(0, "sent") for n in range(1999)}
    )

    assert isinstance(order.decide("one more", now=AGAIN), Send)


# ---------------------------------------------------------------- 6. reminders


def test_reminder_is_attempted_in_the_same_write_as_its_claim(order):
    order.claim(reminder=DAY_1)

    assert order.record.reminders == {DAY_1: "attempted"}
    assert order.record.attempted_reminders() == [DAY_1]
    assert order.record.claim is not None


@pytest.mark.parametrize(
    ("settle", "marks"),
    [
        (lambda held: held.sent("r", 1), {DAY_1: "done"}),
        (lambda held: held.not_sent("r", 1), {}),
        (lambda held: held.unknown("r", 1, reported=False), {DAY_1: "attempted"}),
        (lambda held: held.unknown("r", 1, reported=True), {DAY_1: "done"}),
    ],
    ids=["sent", "not sent", "unknown", "unknown and reported"],
)
def test_reminder_is_settled_with_its_claim(order, settle, marks):
    assert settle(order.claim(reminder=DAY_1)).reminders == marks


def test_other_sends_leave_the_marks_alone(order):
    order.claim(reminder=DAY_1)  # and dies
    held = order.claim(A, now=TTL + AGAIN)

    for outcome in ("sent", "not_sent", "unknown"):
        assert settled(held, outcome).reminders == {DAY_1: "attempted"}


def test_reminder_that_is_done_is_not_sent_again(order):
    order.send(reminder=DAY_1)

    assert remind(order, DAY_1, now=3 * DAY) == NoReminder("already_reminded")
    assert isinstance(remind(order, DAY_3, now=3 * DAY), Send)


def test_attempted_reminder_is_unknown_once_its_claim_is_dead(order):
    """Trace 8: a worker was killed; its message comes back after two days. The mark is there, and says so."""
    order.claim(reminder=DAY_1)

    assert isinstance(remind(order, DAY_1, now=TTL + MARGIN - 1), InProgress)
    assert isinstance(remind(order, DAY_1, now=TTL + MARGIN), Unknown)
    assert isinstance(remind(order, DAY_1, now=49 * HOUR), Unknown)
    assert order.record.attempted_reminders() == [DAY_1]
    assert order.record.with_done([DAY_1], "r", 49 * HOUR).attempted_reminders() == []


def test_reminder_after_a_killed_send_is_unknown(order):
    """Trace 7: a default send claims and dies before its PUT. At 149 s that is no reason to skip the reminder."""
    order.claim()

    assert remind(order, DAY_1, now=149) == Unknown({DEFAULT: Mailed(TTL, "unknown")}, until=TTL + AGAIN)


@pytest.mark.parametrize("people", [(), (A,)], ids=str)
def test_reminder_is_not_needed_so_soon_after_another_email(order, people):
    order.send(*people)

    assert remind(order, DAY_1, now=20 * HOUR + MARGIN - 1) == NoReminder("already_mailed")
    assert isinstance(remind(order, DAY_1, now=20 * HOUR + MARGIN), Send)


def test_reminder_is_not_needed_within_a_longer_cool_down(order):
    order.send(A)

    assert remind(order, DAY_1, now=DAY + MARGIN - 1, cool_down=DAY) == NoReminder("already_mailed")
    assert isinstance(remind(order, DAY_1, now=DAY + MARGIN, cool_down=DAY), Send)


def test_reminder_is_sent_after_an_unknown_outcome_that_is_over(order):
    order.lose(A)

    assert isinstance(remind(order, DAY_1, now=TTL + AGAIN - 1), Unknown)
    assert isinstance(remind(order, DAY_1, now=TTL + AGAIN), Send)


def test_reminder_is_not_needed_if_somebody_else_was_surely_mailed(order):
    order.lose(A)
    order.send(B)

    assert remind(order, DAY_1) == NoReminder("already_mailed")


# ---------------------------------------------------------------- the record as a whole


def test_decision_changes_nothing(order):
    order.send(A)
    before = order.record

    order.decide(A, B, force_id="f")

    assert order.record is before


calls = st.tuples(
    st.sampled_from([(), (A,), (B,), (A, B)]),
    st.integers(0, 2 * COOL_DOWN),
    st.sampled_from(["send", "lose", "die", "fail"]),
    st.booleans(),
)


@settings(deadline=None, derandomize=True)
@given(st.lists(calls, max_size=8))
def test_nobody_is_mailed_twice_in_a_cool_down_without_force(history):
    """Whatever happened before, and whatever became of it: at most one email, or force."""
    order, now, mailed, forces = Order(), 0, {}, itertools.count()
    for people, pause, outcome, force in history:
        now += pause
        force_id = f"force {next(forces)}" if force else None
        decision = order.decide(*people, now=now, force_id=force_id)
        if not isinstance(decision, Send):
            continue
        held = order.claim(*people, now=now, force_id=force_id)
        if outcome != "fail":
            for person in decision.people:
                others = mailed if person == DEFAULT else {key: mailed.get(key) for key in (person, DEFAULT)}
                recent = [at for at in others.values() if at is not None and now - at < AGAIN]
                assert force or not recent
                mailed[person] = now
        if outcome != "die":
            order.record = settled(held, {"send": "sent", "lose": "unknown", "fail": "not_sent"}[outcome], now)


@settings(deadline=None, derandomize=True)
@given(st.lists(calls, max_size=12))
def test_at_most_three_forced_sends_repeat_an_email_in_a_cool_down(history):
    order, now, repeats = Order(), 0, []
    for number, (people, pause, outcome, _) in enumerate(history):
        now += pause // 8
        ordinary = order.decide(*people, now=now)
        forced = order.decide(*people, now=now, force_id=f"force {number}")
        if not isinstance(forced, Send):
            continue
        held = order.claim(*people, now=now, force_id=f"force {number}")
        if forced != ordinary and outcome != "fail":
            repeats.append(now)
            assert len([at for at in repeats if now - at < COOL_DOWN]) <= 3
        if outcome != "die":
            order.record = settled(held, {"send": "sent", "lose": "unknown", "fail": "not_sent"}[outcome], now)
