"""What is explored: which invocations meet, what happened before, and whose clock is ahead."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dev.model.facts import Email, Facts, Row
from dev.model.invocations import DAY_1, DAY_3, ORDER, START, Invocation, stored
from dev.model.world import Event, Past
from dv_resend.core.send_record import DEFAULT, Claim, Mailed, SendRecord

DAY = 86400
A, B, C = "a", "b", "c"

_KINDS: dict[str, dict[str, object]] = {
    "default": {},
    "a": {"people": (A,)},
    "b": {"people": (B,)},
    "ab": {"people": (A, B)},
    "bc": {"people": (B, C)},
    "forced default": {"force_id": "force {}"},
    "forced a": {"people": (A,), "force_id": "force {}"},
    "forced ab": {"people": (A, B), "force_id": "force {}"},
    "redelivered default": {"force_id": "one force"},
    "redelivered a": {"people": (A,), "force_id": "one force"},
    "day 1": {"reminder": DAY_1},
    "day 3": {"reminder": DAY_3},
}

# All that differ in more than the persons' names.
_MEETINGS: dict[str, tuple[str, ...]] = {
    "default": ("default", "a", "ab", "forced default", "forced a", "forced ab", "day 1"),
    "a": ("a", "b", "ab", "bc", "forced default", "forced a", "forced ab", "day 1"),
    "b": ("forced a",),
    "ab": ("ab", "bc", "forced default", "forced a", "forced ab", "day 1"),
    "forced default": ("forced default", "forced a", "forced ab", "day 1"),
    "forced a": ("forced a", "forced ab", "day 1"),
    "forced ab": ("forced ab", "day 1"),
    "redelivered default": ("redelivered default", "a", "day 1"),
    "redelivered a": ("redelivered a", "default", "day 1"),
    "day 1": ("day 1", "day 3"),
}


def event(kind: str, number: int, ahead: int = 0) -> Event:
    """The ``number``-th event of a world. A message is delivered more often than an event."""
    fields = {name: value.format(number) if isinstance(value, str) else value for name, value in _KINDS[kind].items()}
    deliveries = 3 if "reminder" in fields else 2
    names = [f"{kind} {number}/{delivery}" for delivery in range(1, deliveries + 1)]
    return Event(tuple(Invocation(name, ahead=ahead, **fields) for name in names))  # type: ignore[arg-type]


def _events(first: str, second: str, ahead: tuple[int, int]) -> list[Event]:
    return [event(first, 1, ahead[0]), event(second, 2, ahead[1])]


# ---------------------------------------------------------------- what happened before


def killed_worker() -> Past:
    """Yesterday, a worker was killed after it had claimed the order for the reminder of another day."""
    deadline = START - DAY
    record = SendRecord(
        ORDER,
        "old",
        claim=Claim("old/1.1", deadline),
        mailed={DEFAULT: Mailed(deadline, "unknown")},
        reminders={DAY_1: "attempted"},
        expiration=deadline + 30 * DAY,
    )
    return Past((Row(ORDER, stored(record), Facts(doubts=frozenset({DEFAULT, DAY_1}))),))


def forced_often() -> Past:
    """In the last minutes, a was mailed three times by force."""
    forces = {f"old force {number}": START - 600 + number for number in range(3)}
    record = SendRecord(
        ORDER,
        "old",
        mailed={A: Mailed(START - 598, "sent")},
        forced_by=forces,
        expiration=START + 30 * DAY,
    )
    emails = tuple(Email(at, (A,), True, "old/1", force_id, None) for force_id, at in forces.items())
    return Past((Row(ORDER, stored(record), Facts(emails=emails)),))


# ---------------------------------------------------------------- worlds


class Scenario(NamedTuple):
    """Events, and what happened before them."""

    name: str
    past: Past
    events: Sequence[Event]


def _pairs() -> Iterator[Scenario]:
    """Every pair of events, with either clock ahead, and a few after something that happened before."""
    for first, seconds in _MEETINGS.items():
        for second in seconds:
            for ahead in [(0, 90)] if first == second else [(0, 90), (90, 0)]:
                yield Scenario(f"{first}, {second}, clocks {ahead}", Past(), _events(first, second, ahead))
    for first, second in [("a", "day 3"), ("default", "day 1"), ("forced default", "day 3"), ("day 1", "day 3")]:
        yield Scenario(f"killed worker, {first}, {second}", killed_worker(), _events(first, second, (0, 90)))
    for first, second in [("forced a", "forced ab"), ("b", "forced ab")]:
        yield Scenario(f"forced often, {first}, {second}", forced_often(), _events(first, second, (0, 90)))


PAIRS = tuple(_pairs())


def random_scenario(chance: random.Random) -> Scenario:
    """Three to five events of any kind, with clocks that differ by at most 90 seconds."""
    past = chance.choice([Past, Past, killed_worker, forced_often])()
    kinds = chance.choices(list(_KINDS), k=chance.randint(3, 5))
    events = [event(kind, number, ahead=chance.choice([0, 45, 90])) for number, kind in enumerate(kinds, 1)]
    return Scenario(", ".join(kinds), past, events)
