"""The token bucket: never faster than its rate, whatever the clock does, and no slower than necessary."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.adapters.token_bucket import TokenBucket

TINY = 1e-6


class Clock:
    """A clock that sleeping advances. Each sleep is longer than asked for by ``error`` seconds."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []
        self.error = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += max(0.0, seconds + self.error)


def bucket_of(rate):
    clock = Clock()
    return TokenBucket(rate, clock=clock, sleep=clock.sleep), clock


def passing_times(bucket, clock, gaps):
    """Call after each gap; return when each call was allowed to pass."""
    passed = []
    for gap in gaps:
        clock.now += gap
        bucket.wait()
        passed.append(clock.now)
    return passed


@pytest.mark.parametrize(("rate", "burst"), [(0.1, 1), (0.5, 1), (1, 1), (1.5, 1), (2, 2), (4, 4), (4.7, 4), (50, 50)])
def test_burst_is_one_seconds_worth_and_at_least_one_call(rate, burst):
    bucket, clock = bucket_of(rate)

    passing_times(bucket, clock, [0] * burst)
    assert clock.slept == []

    bucket.wait()
    assert len(clock.slept) == 1


@pytest.mark.parametrize("back", [-0.1, -1, -1000])
def test_clock_set_back_delays_each_call_by_one_interval(back):
    bucket, clock = bucket_of(4)
    passing_times(bucket, clock, [0] * 4)

    passing_times(bucket, clock, [back, 0, 0, 0])

    assert clock.slept == [pytest.approx(0.25)] * 4


def test_sleep_that_ends_early_lengthens_the_next_one():
    bucket, clock = bucket_of(1)
    bucket.wait()
    clock.error = -0.25

    bucket.wait()
    clock.error = 0.0
    bucket.wait()

    assert clock.slept == [pytest.approx(1), pytest.approx(1.25)]


# Properties

PURE = settings(deadline=None, derandomize=True, max_examples=200)
RATES = st.floats(0.1, 50) | st.sampled_from([0.1, 1, 4, 5.5, 50])
GAPS = st.lists(st.floats(0, 3) | st.sampled_from([0, 0, 0, 0.01, 60]), min_size=1, max_size=60)


def assert_within(passed, rate, slack=0.0):
    """In any window, from one call to another, at most ``rate * seconds + burst`` calls passed."""
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            calls, seconds = last - first + 1, passed[last] - passed[first]
            assert calls <= rate * seconds + max(1.0, rate) + slack + TINY * rate


@PURE
@given(RATES, GAPS, st.floats(0, 2))
def test_no_window_has_more_calls_than_the_rate_allows(rate, gaps, late):
    bucket, clock = bucket_of(rate)
    clock.error = late

    assert_within(passing_times(bucket, clock, gaps), rate)


@PURE
@given(RATES, GAPS, st.floats(0, 0.05))
def test_sleeps_that_end_early_do_not_add_up(rate, gaps, early):
    bucket, clock = bucket_of(rate)
    clock.error = -early

    # Only one call in all passes early, however many calls there are.
    assert_within(passing_times(bucket, clock, gaps), rate, slack=early * rate)


@PURE
@given(RATES, st.lists(st.floats(-100, 100) | st.just(0.0), min_size=1, max_size=60))
def test_no_clock_makes_a_call_wait_longer_than_one_interval(rate, jumps):
    bucket, clock = bucket_of(rate)

    passing_times(bucket, clock, jumps)

    assert all(seconds <= 1 / rate + TINY for seconds in clock.slept)


@PURE
@given(RATES, GAPS)
def test_no_call_waits_unless_it_must(rate, gaps):
    bucket, clock = bucket_of(rate)
    passed: list[float] = []

    for gap in gaps:
        clock.now += gap
        before = clock.now
        bucket.wait()
        if clock.now > before:
            # Without the wait, some window that ends with this call would have had too many calls.
            recent = [*passed, before]
            assert any(
                len(recent) - first > rate * (before - recent[first]) + max(1.0, rate) - TINY * rate
                for first in range(len(recent))
            )
        passed.append(clock.now)
