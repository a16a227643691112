"""What is explored of orders that are not DV: which invocations meet at their domains, and what happened before."""

import random
from collections.abc import Callable, Iterator

from dev.model.domain_invocations import DomainInvocation, X, Y
from dev.model.facts import Email, Facts, Row
from dev.model.invocations import DAY_1, DAY_3, START, stored
from dev.model.scenarios import DAY, Scenario
from dev.model.world import Event, Past
from dv_resend.core.send_record import DEFAULT, Claim, Mailed, SendRecord

# Pairs with more states than this, without a fault, have too many with several.
FEW_STATES = 300

# Orders 7 and 8 have both domains, 8 in another sequence, and order 9 has y only.
_KINDS: dict[str, dict[str, object]] = {
    "7": {},
    "8": {"order_id": 8},
    "9": {"order_id": 9},
    "7 at x": {"named": (X.scope,)},
    "7 at y": {"named": (Y.scope,)},
    "7 at both": {"named": (X.scope, Y.scope)},
    "forced 7": {"force_id": "force {}"},
    "forced 7 at y": {"named": (Y.scope,), "force_id": "force {}"},
    "redelivered 7": {"force_id": "one force"},
    "day 1 of 7": {"reminder": DAY_1},
    "day 3 of 7": {"reminder": DAY_3},
    "day 1 of 8": {"reminder": DAY_1, "order_id": 8},
    "day 1 of 9": {"reminder": DAY_1, "order_id": 9},
}

_MEETINGS: dict[str, tuple[str, ...]] = {
    "7": ("8", "9", "7 at x", "7 at y", "7 at both", "forced 7", "forced 7 at y", "day 1 of 7", "day 1 of 8"),
    "7 at both": ("7 at both",),
    "7 at x": ("day 1 of 7",),
    "forced 7": ("forced 7", "forced 7 at y", "day 1 of 7"),
    "redelivered 7": ("redelivered 7", "8", "day 1 of 7"),
    "day 1 of 7": ("day 1 of 7", "day 1 of 8", "day 1 of 9", "day 3 of 7"),
}


def domain_event(kind: str, number: int, ahead: int = 0) -> Event:
    """The ``number``-th event of a world. A message is delivered more often than an event."""
    fields = {name: value.format(number) if isinstance(value, str) else value for name, value in _KINDS[kind].items()}
    deliveries = 3 if "reminder" in fields else 2
    names = [f"{kind} {number}/{delivery}" for delivery in range(1, deliveries + 1)]
    return Event(tuple(DomainInvocation(name, ahead=ahead, **fields) for name in names))  # type: ignore[arg-type]


# ---------------------------------------------------------------- what happened before


def _killed_worker(seconds: int) -> Past:
    """So long ago, a worker was killed while it sent about x for the first reminder of order 7."""
    deadline = START - seconds
    expiration, claimed = deadline + 30 * DAY, Claim("old/1.1", deadline)
    order = SendRecord("order#7", "old", claim=claimed, reminders={DAY_1: "attempted"}, expiration=expiration)
    x = SendRecord(
        X.record_id, "old", claim=claimed, mailed={DEFAULT: Mailed(deadline, "unknown")}, expiration=expiration
    )
    email = Email(deadline - 20, (DEFAULT,), False, "old/1", None, f"order#7 {DAY_1}")
    return Past(
        (
            Row("order#7", stored(order), Facts(doubts=frozenset({DAY_1}))),
            Row(X.record_id, stored(x), Facts(emails=(email,), doubts=frozenset({DEFAULT}))),
        )
    )


def killed_lately() -> Past:
    return _killed_worker(600)


def killed_yesterday() -> Past:
    return _killed_worker(DAY)


def half_sent() -> Past:
    """An hour and a half ago, a worker sent about x for the first reminder of order 7, and then CertCentral refused."""
    sent_at = START - 5400
    expiration = sent_at + 30 * DAY
    order = SendRecord("order#7", "old", reminders={DAY_1: "attempted"}, expiration=expiration)
    x = SendRecord(X.record_id, "old", mailed={DEFAULT: Mailed(sent_at, "sent")}, expiration=expiration)
    email = Email(sent_at, (DEFAULT,), True, "old/1", None, f"order#7 {DAY_1}")
    return Past(
        (
            Row("order#7", stored(order), Facts()),
            Row(X.record_id, stored(x), Facts(emails=(email,), told=frozenset({f"order#7 {DAY_1}"}))),
        )
    )


# ---------------------------------------------------------------- worlds


def _pairs() -> Iterator[Scenario]:
    """Pairs of events with either clock ahead, and a few after something that happened before."""
    for first, seconds in _MEETINGS.items():
        for second in seconds:
            for ahead in [(0, 90)] if first == second else [(0, 90), (90, 0)]:
                yield _after(Past, first, second, ahead)
    for past in (killed_lately, killed_yesterday, half_sent):
        for first in ("7", "forced 7", "day 1 of 7", "day 3 of 7", "day 1 of 8"):
            yield _after(past, first, "day 1 of 7", (0, 90))
    for past in (killed_lately, killed_yesterday):
        yield _after(past, "day 3 of 7", "9", (0, 90))


def _after(past: Callable[[], Past], first: str, second: str, ahead: tuple[int, int]) -> Scenario:
    before = "" if past is Past else f"{past.__name__.replace('_', ' ').strip()}, "
    events = [domain_event(first, 1, ahead[0]), domain_event(second, 2, ahead[1])]
    return Scenario(f"{before}{first}, {second}, clocks {ahead}", past(), events)


DOMAIN_PAIRS = tuple(_pairs())


def random_domain_scenario(chance: random.Random) -> Scenario:
    """Two to four events of any kind, with clocks that differ by at most 90 seconds."""
    past = chance.choice([Past, Past, killed_lately, killed_yesterday, half_sent])()
    kinds = chance.choices(list(_KINDS), k=chance.randint(2, 4))
    events = [domain_event(kind, number, ahead=chance.choice([0, 45, 90])) for number, kind in enumerate(kinds, 1)]
    return Scenario(", ".join(kinds), past, events)
