"""The token bucket: never faster than agreed, whatever the clock does, and never slower than need be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.adapters.token_bucket import TokenBucket

TINY = 1e-6


class Clock:
    """A clock that sleeping moves on; ``early`` and ``late`` bend each sleep, ``jump`` moves it while nobody sleeps."""

    def __init__(self, now=1000.0):
        self.now = now
        self.slept = []
        self.error = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += max(0.0, seconds + self.error)


def paced(rate, **options):
    clock = Clock(**options)
    return TokenBucket(rate, clock=clock, sleep=clock.sleep), clock


def moments(pace, clock, gaps):
    """Call after each gap; give when each call was let pass."""
    passed = []
    for gap in gaps:
        clock.now += gap
        pace.wait()
        passed.append(clock.now)
    return passed


@pytest.mark.parametrize(("rate", "burst"), [(0.1, 1), (0.5, 1), (1, 1), (1.5, 1), (2, 2), (4, 4), (4.7, 4), (50, 50)])
def test_a_burst_is_one_seconds_worth_and_at_least_one_call(rate, burst):
    pace, clock = paced(rate)

    moments(pace, clock, [0] * burst)
    assert clock.slept == []

    pace.wait()
    assert len(clock.slept) == 1


@pytest.mark.parametrize("rate", [0.1, 0.5, 1, 4, 4.7, 50])
def test_many_calls_at_once_come_at_the_pace(rate):
    pace, clock = paced(rate)
    started = clock.now

    passed = moments(pace, clock, [0] * 200)

    assert passed[-1] - started == pytest.approx((200 - max(1.0, rate)) / rate)


def test_a_caller_slower_than_the_pace_never_waits():
    pace, clock = paced(4)

    moments(pace, clock, [0.25] * 100)

    assert clock.slept == []


def test_a_long_pause_earns_no_more_than_one_burst():
    pace, clock = paced(4)
    moments(pace, clock, [0] * 10)
    clock.slept.clear()

    moments(pace, clock, [3600, 0, 0, 0])
    assert clock.slept == []

    pace.wait()
    assert clock.slept == [pytest.approx(0.25)]


def test_a_clock_that_stood_still_between_invocations_earns_nothing():
    pace, clock = paced(4)
    moments(pace, clock, [0] * 4)

    # The function was frozen here, and its clock with it.
    pace.wait()

    assert clock.slept == [pytest.approx(0.25)]


@pytest.mark.parametrize("back", [-0.1, -1, -1000])
def test_a_clock_set_back_costs_no_more_than_one_calls_wait(back):
    pace, clock = paced(4)
    moments(pace, clock, [0] * 4)

    moments(pace, clock, [back, 0, 0, 0])

    assert clock.slept == [pytest.approx(0.25)] * 4


def test_what_a_short_sleep_left_owing_is_paid_by_the_next_call():
    pace, clock = paced(1)
    pace.wait()
    clock.error = -0.25

    pace.wait()
    clock.error = 0.0
    pace.wait()

    assert clock.slept == [pytest.approx(1), pytest.approx(1.25)]


# Properties

PURE = settings(deadline=None, derandomize=True, max_examples=200)
RATES = st.floats(0.1, 50) | st.sampled_from([0.1, 1, 4, 5.5, 50])
GAPS = st.lists(st.floats(0, 3) | st.sampled_from([0, 0, 0, 0.01, 60]), min_size=1, max_size=60)


def assert_within(passed, rate, slack=0.0):
    """In any window, from one call to another, at most ``rate * seconds + burst`` calls were let pass."""
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            calls, seconds = last - first + 1, passed[last] - passed[first]
            assert calls <= rate * seconds + max(1.0, rate) + slack + TINY * rate


@PURE
@given(RATES, GAPS, st.floats(0, 2))
def test_no_window_holds_more_calls_than_agreed(rate, gaps, late):
    pace, clock = paced(rate)
    clock.error = late

    assert_within(moments(pace, clock, gaps), rate)


@PURE
@given(RATES, GAPS, st.floats(0, 0.05))
def test_sleeps_that_end_early_add_up_to_nothing(rate, gaps, early):
    pace, clock = paced(rate)
    clock.error = -early

    # The one call that is let pass early, however long it goes on.
    assert_within(moments(pace, clock, gaps), rate, slack=early * rate)


@PURE
@given(RATES, st.lists(st.floats(-100, 100) | st.just(0.0), min_size=1, max_size=60))
def test_whatever_the_clock_does_meanwhile_no_call_waits_for_longer_than_one_call_takes(rate, jumps):
    pace, clock = paced(rate)

    moments(pace, clock, jumps)

    assert all(seconds <= 1 / rate + TINY for seconds in clock.slept)


@PURE
@given(RATES, GAPS)
def test_nobody_waits_who_need_not(rate, gaps):
    pace, clock = paced(rate)
    passed = []

    for gap in gaps:
        clock.now += gap
        before = clock.now
        pace.wait()
        if clock.now > before:
            # A moment earlier, some window up to this call would have been too full.
            recent = [*passed, before]
            assert any(
                len(recent) - first > rate * (before - recent[first]) + max(1.0, rate) - TINY * rate
                for first in range(len(recent))
            )
        passed.append(clock.now)
