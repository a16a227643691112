"""Which reminder is due: tables for the edges, and months of simulated sweeps for "at most one email"."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dv_resend.core.reminders import due_day, is_newly_stuck, is_stuck
from dv_resend.core.requests import reminder_mark

WAITING_SINCE = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
DAYS = (1, 3, 7, 14, 21)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def after(days: float, more: timedelta = timedelta()) -> datetime:
    return WAITING_SINCE + timedelta(days=days) + more


@pytest.mark.parametrize(
    ("now", "day"),
    [
        *((after(-1), None), (after(1, -SECOND), None), (after(1), 1), (after(3, -SECOND), 1), (after(3), 3)),
        *((after(5, -SECOND), 3), (after(5), None), (after(7, -SECOND), None), (after(7), 7), (after(9, -SECOND), 7)),
        *((after(9), None), (after(21), 21), (after(23, -SECOND), 21), (after(23), None), (after(400), None)),
    ],
    ids=str,
)
def test_reminder_is_due_for_two_days_or_until_the_next(now: datetime, day: int | None) -> None:
    assert due_day(WAITING_SINCE, now, DAYS) == day


@pytest.mark.parametrize(
    ("days", "now", "day"),
    [((1,), after(3), None), ((1, 2, 3), after(2.5), 2), ((365,), after(365), 365), ([1, 3], after(3), 3)],
    ids=str,
)
def test_reminder_days_may_be_any_ascending_list(days: Sequence[int], now: datetime, day: int | None) -> None:
    assert due_day(WAITING_SINCE, now, days) == day


@pytest.mark.parametrize(
    ("days", "now", "expected"),
    [
        *((DAYS, after(0), False), (DAYS, after(23, -SECOND), False), (DAYS, after(23), True)),
        *((DAYS, after(400), True), ((1,), after(2), False), ((1,), after(3), True)),
        # Whatever the days are, no link lives for longer than 30.
        *(((1, 60), after(30), False), ((1, 60), after(30, SECOND), True), ((1, 60), after(61), False)),
        ((1, 60), after(62), True),
    ],
    ids=str,
)
def test_order_is_stuck_after_the_last_reminder_or_the_links(
    days: Sequence[int], now: datetime, expected: bool
) -> None:
    assert is_stuck(WAITING_SINCE, now, days) is expected


PURE = settings(deadline=None, derandomize=True, max_examples=200)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(minutes * MINUTE))
MOMENTS = st.builds(
    lambda seconds, zone: (datetime(2026, 1, 1, tzinfo=UTC) + seconds * SECOND).astimezone(zone),
    st.integers(0, 2 * 365 * 86_400),
    ZONES,
)
DAY_LISTS = st.one_of(
    st.just(DAYS),
    st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True).map(sorted).map(tuple),
    st.lists(st.integers(1, 365), min_size=1, max_size=4, unique=True).map(sorted).map(tuple),
    st.integers(1, 30).map(lambda last: tuple(range(1, last + 1))),
)


def gaps_between(moments: Sequence[timedelta]) -> list[timedelta]:
    return [later - earlier for earlier, later in zip([timedelta(), *moments], moments, strict=False)]


# The times between sweeps.
HOURLY = st.lists(st.integers(0, 120), min_size=24, max_size=200).map(lambda gaps: [gap * MINUTE for gap in gaps])
DAILY = st.lists(st.just(DAY), min_size=10, max_size=60)
LATE_BY_UP_TO_A_DAY = st.lists(st.integers(0, 24 * 60), min_size=5, max_size=60).map(
    lambda delays: gaps_between(sorted(number * DAY + delay * MINUTE for number, delay in enumerate(delays)))
)
DOUBLED = DAILY.map(lambda gaps: [part for gap in gaps for part in (gap, timedelta())])
ONE_MISSED = st.tuples(DAILY, st.integers(0, 59)).map(
    lambda chosen: [gap * (2 if number == chosen[1] else 1) for number, gap in enumerate(chosen[0])]
)
ANY = st.lists(st.integers(0, 10 * 24 * 60), max_size=60).map(lambda gaps: [gap * MINUTE for gap in gaps])
STARTS = st.integers(-3 * 24 * 60, 40 * 24 * 60).map(lambda minutes: minutes * MINUTE)


def sweep(
    waiting_since: datetime, days: Sequence[int], start: timedelta, gaps: Sequence[timedelta]
) -> tuple[list[datetime], list[tuple[int, datetime]]]:
    """Sweep after each gap, with marks; return when, and the day and the moment of each reminder."""
    moments, marks, reminders = [], set(), []
    now = waiting_since + start
    for gap in gaps:
        now += gap
        moments.append(now)
        day = due_day(waiting_since, now.astimezone(UTC), days)
        if day is None:
            continue
        mark = reminder_mark(waiting_since.astimezone(UTC).date(), day)
        if mark not in marks:
            marks.add(mark)
            reminders.append((day, now))
    return moments, reminders


@PURE
@given(MOMENTS, DAY_LISTS, STARTS, st.one_of(HOURLY, DAILY, LATE_BY_UP_TO_A_DAY, DOUBLED, ONE_MISSED, ANY))
def test_sweeps_never_repeat_a_reminder_or_send_it_out_of_time(
    waiting_since: datetime, days: Sequence[int], start: timedelta, gaps: Sequence[timedelta]
) -> None:
    _, reminders = sweep(waiting_since, days, start, gaps)

    sent = [day for day, _ in reminders]
    assert sent == sorted(set(sent))
    assert set(sent) <= set(days)
    for day, moment in reminders:
        assert timedelta() <= moment - waiting_since - day * DAY < 2 * DAY
        assert not [later for later in days if later > day and waiting_since + later * DAY <= moment]


@PURE
@given(MOMENTS, DAY_LISTS, STARTS, st.one_of(HOURLY, DAILY, DOUBLED, ONE_MISSED))
@example(WAITING_SINCE, DAYS, -HOUR, [DAY] * 30)
@example(WAITING_SINCE, DAYS, timedelta(), [2 * DAY - SECOND] * 30)
@example(WAITING_SINCE, (1, 2, 3), timedelta(), [2 * DAY] * 30)
def test_sweeps_every_two_days_send_each_reminder_not_superseded(
    waiting_since: datetime, days: Sequence[int], start: timedelta, gaps: Sequence[timedelta]
) -> None:
    moments, reminders = sweep(waiting_since, days, start, gaps)

    sent = {day for day, _ in reminders}
    for day in days:
        at = waiting_since + day * DAY
        before = [moment for moment in moments if moment < at]
        first = next((moment for moment in moments if moment >= at), None)
        if before and first is not None and first - before[-1] <= 2 * DAY:
            superseded = [later for later in days if later > day and waiting_since + later * DAY <= first]
            assert (day in sent) is not bool(superseded)


@PURE
@given(MOMENTS, DAY_LISTS, st.integers(-10 * 24 * 3600, 400 * 24 * 3600))
def test_order_is_never_due_and_stuck_but_stuck_in_the_end(
    waiting_since: datetime, days: Sequence[int], age: int
) -> None:
    now = waiting_since + age * SECOND

    day, stuck = due_day(waiting_since, now, days), is_stuck(waiting_since, now, days)

    assert day is None or not stuck
    if age >= (days[-1] + 2) * 86_400:
        assert (day, stuck) == (None, True)
    if age <= min(days[-1], 30) * 86_400:
        assert not stuck


@PURE
@given(MOMENTS, DAY_LISTS, st.integers(0, 60 * 24 * 3600), ZONES, ZONES)
def test_time_zone_of_a_moment_does_not_matter(
    waiting_since: datetime, days: Sequence[int], age: int, one: timezone, other: timezone
) -> None:
    now = waiting_since + age * SECOND
    elsewhere = waiting_since.astimezone(one), now.astimezone(other)

    assert due_day(*elsewhere, days) == due_day(waiting_since, now, days)
    assert is_stuck(*elsewhere, days) is is_stuck(waiting_since, now, days)


@PURE
@given(MOMENTS, DAY_LISTS, st.integers(0, 60 * 24 * 3600), st.integers(0, 60 * 24 * 3600))
def test_stuck_order_stays_so_unless_a_reminder_is_to_come(
    waiting_since: datetime, days: Sequence[int], age: int, more: int
) -> None:
    now = waiting_since + age * SECOND
    later = now + more * SECOND

    if is_stuck(waiting_since, now, days):
        assert is_stuck(waiting_since, later, days) or due_day(waiting_since, later, days) is not None


@PURE
@given(MOMENTS, DAY_LISTS, STARTS, st.one_of(HOURLY, DAILY, DOUBLED, ONE_MISSED))
@example(WAITING_SINCE, DAYS, 22 * HOUR, [2 * DAY] * 30)
def test_stuck_order_is_new_to_the_first_sweep_that_finds_it(
    waiting_since: datetime, days: Sequence[int], start: timedelta, gaps: Sequence[timedelta]
) -> None:
    moments, _ = sweep(waiting_since, days, start, gaps)

    for before, moment in pairwise(moments):
        if is_stuck(waiting_since, moment, days) and not is_stuck(waiting_since, before, days):
            assert is_newly_stuck(waiting_since, moment, days)


@PURE
@given(MOMENTS, DAY_LISTS, st.integers(0, 400 * 24 * 3600))
def test_order_is_newly_stuck_for_two_days(waiting_since: datetime, days: Sequence[int], age: int) -> None:
    now = waiting_since + age * SECOND

    if is_newly_stuck(waiting_since, now, days):
        assert is_stuck(waiting_since, now, days)
        assert not is_newly_stuck(waiting_since, now + 2 * DAY, days)
