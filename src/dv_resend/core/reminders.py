"""Which reminder of a pending order is due. Pure rules: no clock and no network."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

# How long after its day a reminder may still be sent. This bridges one missed sweep.
CATCH_UP = timedelta(days=2)
# A DCV link is valid for at most 30 days (BR 3.2.2.4.4, .13 and .14: the random value, from its creation).
LINK_LIFE = timedelta(days=30)
# Stands for the date of a reissue that has none. Its records need one that does not change.
UNDATED = datetime(2000, 1, 1, tzinfo=UTC)


def due_day(waiting_since: datetime, now: datetime, days: Sequence[int]) -> int | None:
    """Return the reminder day that is due at ``now``, or ``None``.

    It is the latest of ``days`` (ascending) that has passed, for as long as `CATCH_UP`. Earlier days that were missed
    are not made up for: two emails at once would help nobody.
    """
    age = now - waiting_since
    passed = [day for day in days if timedelta(days=day) <= age]
    if not passed or age >= timedelta(days=passed[-1]) + CATCH_UP:
        return None
    return passed[-1]


def is_stuck(waiting_since: datetime, now: datetime, days: Sequence[int]) -> bool:
    """Whether reminders have stopped helping: the last day, or the life of the links, is over and none is due."""
    last = min(timedelta(days=days[-1]), LINK_LIFE)
    return now - waiting_since > last and due_day(waiting_since, now, days) is None


def is_newly_stuck(waiting_since: datetime, now: datetime, days: Sequence[int]) -> bool:
    """Whether an order has become stuck within `CATCH_UP`: since the last sweep, or the one before it."""
    return is_stuck(waiting_since, now, days) and not is_stuck(waiting_since, now - CATCH_UP, days)
