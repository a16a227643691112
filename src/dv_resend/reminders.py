"""Which reminder of a pending order is due: pure rules, no clock and no network."""

from collections.abc import Sequence
from datetime import datetime, timedelta

# How long after its day a reminder may still go out: it bridges a sweep that was missed.
CATCH_UP = timedelta(days=2)
# A DCV link lives for at most 30 days (CA/B Forum Baseline Requirements, 3.2.2.4.4); reminders end there at the latest.
LINK_LIFE = timedelta(days=30)


def due(anchor: datetime, now: datetime, days: Sequence[int]) -> int | None:
    """Return the reminder, named by its day, that is due at ``now`` for a request made at ``anchor``.

    It is the latest day of ``days`` (ascending) that has passed, for as long as `CATCH_UP`. An earlier one that was
    missed is not made up for: two emails at once would help nobody.
    """
    age = now - anchor
    passed = [day for day in days if timedelta(days=day) <= age]
    if not passed or age >= timedelta(days=passed[-1]) + CATCH_UP:
        return None
    return passed[-1]


def stuck(anchor: datetime, now: datetime, days: Sequence[int]) -> bool:
    """Whether reminders have stopped helping: the last one is past (or the links' life), and none is due."""
    last = min(timedelta(days=days[-1]), LINK_LIFE)
    return now - anchor > last and due(anchor, now, days) is None
