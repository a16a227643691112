"""Which reminder is due_day: tables for the edges, and simulated months of sweeps for the promise of at most one email."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dv_resend.core.reminders import due_day, is_stuck
from dv_resend.core.requests import reminder_record_id

ANCHOR = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
DAYS = (1, 3, 7, 14, 21)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def after(days, more=timedelta()):
    return ANCHOR + timedelta(days=days) + more


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (after(-1), None),
        (after(0), None),
        (after(1, -SECOND), None),
        (after(1), 1),
        (after(1, HOUR), 1),
        (after(3, -SECOND), 1),
        (after(3), 3),
        (after(5, -SECOND), 3),
        (after(5), None),
        (after(7, -SECOND), None),
        (after(7), 7),
        (after(9, -SECOND), 7),
        (after(9), None),
        (after(14), 14),
        (after(21), 21),
        (after(23, -SECOND), 21),
        (after(23), None),
        (after(400), None),
    ],
    ids=str,
)
def test_a_reminder_is_due_from_its_day_for_two_days_or_until_the_next(now, day):
    assert due_day(ANCHOR, now, DAYS) == day


@pytest.mark.parametrize(
    ("days", "now", "day"),
    [
        ((1,), after(1), 1),
        ((1,), after(3), None),
        ((1, 2, 3), after(2), 2),
        ((1, 2, 3), after(2.5), 2),
        ((30,), after(29.9), None),
        ((30,), after(30), 30),
        ((365,), after(365), 365),
        ([1, 3], after(3), 3),
    ],
    ids=str,
)
def test_any_list_of_days_will_do(days, now, day):
    assert due_day(ANCHOR, now, days) == day


@pytest.mark.parametrize(
    ("days", "now", "expected"),
    [
        (DAYS, after(0), False),
        (DAYS, after(6), False),
        (DAYS, after(21), False),
        (DAYS, after(22), False),
        (DAYS, after(23, -SECOND), False),
        (DAYS, after(23), True),
        (DAYS, after(400), True),
        ((1,), after(2), False),
        ((1,), after(3), True),
        # Whatever the days say, no link lives for longer than 30.
        ((1, 60), after(30), False),
        ((1, 60), after(30, SECOND), True),
        ((1, 60), after(60), False),
        ((1, 60), after(61), False),
        ((1, 60), after(62), True),
    ],
    ids=str,
)
def test_an_order_is_stuck_when_the_last_reminder_or_the_links_life_is_past(days, now, expected):
    assert is_stuck(ANCHOR, now, days) is expected


# Properties

PURE = settings(deadline=None, derandomize=True, max_examples=200)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ANCHORS = st.builds(
    lambda seconds, zone: (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(zone),
    st.integers(0, 2 * 365 * 86_400),
    ZONES,
)
DAY_LISTS = st.one_of(
    st.just(DAYS),
    st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True).map(sorted).map(tuple),
    st.lists(st.integers(1, 365), min_size=1, max_size=4, unique=True).map(sorted).map(tuple),
    st.integers(1, 30).map(lambda last: tuple(range(1, last + 1))),
)
MINUTE = timedelta(minutes=1)
HOURLY = st.lists(st.integers(0, 120), min_size=24, max_size=200).map(lambda gaps: [gap * MINUTE for gap in gaps])
DAILY = st.lists(st.sampled_from([DAY]), min_size=10, max_size=60)
# Each planned day after day, but late by up to a day; now and then twice, or not at all.
LATE = st.lists(st.integers(0, 24 * 60), min_size=5, max_size=60).map(
    lambda delays: [
        later - earlier
        for earlier, later in zip(
            [timedelta(), *sorted(number * DAY + delay * MINUTE for number, delay in enumerate(delays))],
            sorted(number * DAY + delay * MINUTE for number, delay in enumerate(delays)),
            strict=False,
        )
    ]
)
DOUBLED = DAILY.map(lambda gaps: [part for gap in gaps for part in (gap, timedelta())])
MISSED = st.tuples(DAILY, st.integers(0, 59)).map(
    lambda chosen: [gap * (2 if number == chosen[1] else 1) for number, gap in enumerate(chosen[0])]
)
ANY = st.lists(st.integers(0, 10 * 24 * 60), max_size=60).map(lambda gaps: [gap * MINUTE for gap in gaps])
SWEEPS = st.one_of(HOURLY, DAILY, LATE, DOUBLED, MISSED, ANY)
STARTS = st.integers(-3 * 24 * 60, 40 * 24 * 60).map(lambda minutes: minutes * MINUTE)


def swept(anchor, days, start, gaps):
    """Sweep again and again, with records; give the moments of the sweeps, and (day, moment) of each reminder."""
    moments, records, reminders = [], set(), []
    now = anchor + start
    for gap in gaps:
        now += gap
        moments.append(now)
        day = due_day(anchor, now.astimezone(UTC), days)
        if day is None:
            continue
        record = reminder_record_id(7, anchor.astimezone(UTC).date(), day)
        if record not in records:
            records.add(record)
            reminders.append((day, now))
    return moments, reminders


@PURE
@given(ANCHORS, DAY_LISTS, STARTS, SWEEPS)
def test_no_sequence_of_sweeps_sends_a_reminder_twice_too_early_too_late_or_after_a_later_one(
    anchor, days, start, gaps
):
    _, reminders = swept(anchor, days, start, gaps)

    sent = [day for day, _ in reminders]
    assert sent == sorted(set(sent))
    assert set(sent) <= set(days)
    for day, moment in reminders:
        assert timedelta() <= moment - anchor - timedelta(days=day) < 2 * DAY
        assert not [later for later in days if later > day and anchor + timedelta(days=later) <= moment]


@PURE
@given(ANCHORS, DAY_LISTS, STARTS, st.one_of(HOURLY, DAILY, DOUBLED, MISSED))
@example(ANCHOR, DAYS, -HOUR, [DAY] * 30)
@example(ANCHOR, DAYS, timedelta(), [2 * DAY - SECOND] * 30)
@example(ANCHOR, (1, 2, 3), timedelta(), [2 * DAY] * 30)
def test_sweeps_at_most_two_days_apart_send_every_reminder_unless_a_later_day_had_passed(anchor, days, start, gaps):
    moments, reminders = swept(anchor, days, start, gaps)

    sent = {day for day, _ in reminders}
    for day in days:
        at = anchor + timedelta(days=day)
        before = [moment for moment in moments if moment < at]
        first = next((moment for moment in moments if moment >= at), None)
        if before and first is not None and first - before[-1] <= 2 * DAY:
            superseded = [later for later in days if later > day and anchor + timedelta(days=later) <= first]
            assert (day in sent) is not bool(superseded)


@PURE
@given(ANCHORS, DAY_LISTS, st.integers(0, 23), st.integers(0, 59))
def test_a_daily_sweep_sends_every_reminder_exactly_once_at_whatever_hour_it_runs(anchor, days, hour, minute):
    start = anchor.astimezone(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0) - DAY

    _, reminders = swept(anchor, days, start - anchor, [DAY] * (days[-1] + 5))

    assert [day for day, _ in reminders] == list(days)


@PURE
@given(ANCHORS, DAY_LISTS, st.integers(-10 * 24 * 3600, 400 * 24 * 3600))
def test_an_order_is_never_due_and_stuck_at_the_same_time_and_one_of_them_in_the_end(anchor, days, age):
    now = anchor + timedelta(seconds=age)

    day, is_stuck = due_day(anchor, now, days), is_stuck(anchor, now, days)

    assert day is None or not is_stuck
    if age >= (days[-1] + 2) * 86_400:
        assert (day, is_stuck) == (None, True)
    if age <= min(days[-1], 30) * 86_400:
        assert not is_stuck


@PURE
@given(ANCHORS, DAY_LISTS, st.integers(0, 60 * 24 * 3600), ZONES, ZONES)
def test_the_time_zone_in_which_a_moment_is_written_does_not_matter(anchor, days, age, one, other):
    now = anchor + timedelta(seconds=age)
    elsewhere = anchor.astimezone(one), now.astimezone(other)

    assert due_day(*elsewhere, days) == due_day(anchor, now, days)
    assert is_stuck(*elsewhere, days) is is_stuck(anchor, now, days)


@PURE
@given(ANCHORS, DAY_LISTS, st.integers(0, 60 * 24 * 3600), st.integers(0, 60 * 24 * 3600))
def test_once_stuck_an_order_stays_so_unless_a_reminder_is_still_to_come(anchor, days, age, more):
    now = anchor + timedelta(seconds=age)
    later = now + timedelta(seconds=more)

    if is_stuck(anchor, now, days):
        assert is_stuck(anchor, later, days) or due_day(anchor, later, days) is not None
