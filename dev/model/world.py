"""The world that invocations run in: a few items of a table, a clock, late writes, and everything that can go wrong.

A state is a value; `World.choices` names what can happen next, and `World.after` is the state that follows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dev.model.answers import check_acknowledged, check_answer, check_reported
from dev.model.facts import (
    Facts,
    Row,
    check_end,
    with_email,
    with_end,
    with_write,
)
from dev.model.invocations import CLOCK, START, Invocation, Item, Machine, Write, machine_of

# Around what matters: a deadline (29), the end of a claim (149), of a cool-down (3720, or 3749 from a deadline), of the
# quiet time before a reminder (20 h), of its being due (48 h), of what is kept (48 h), and of the item (30 days).
# And so much before it that a clock which is 90 seconds ahead might see the end.
JUMPS = (28, 60, 120, 150, 240, 3540, 3750, 3850, 20 * 3600 + 120, 49 * 3600, 31 * 86400)
# A write that is under way for longer never arrives.
LATE_SECONDS = 900

type What = Literal[
    "starts",
    "reads the clock",
    "reads",
    "reads in vain",
    "writes",
    "writes, and the SDK repeats it",
    "writes, and a copy is late",
    "writes, and the response is lost",
    "writes in vain",
    "writes late",
    "writes late, and is killed",
    "sends",
    "sends, with an unknown outcome",
    "sends, and is killed",
    "is refused",
    "reports",
    "acknowledges",
    "is killed",
    "a late write arrives",
    "time passes",
    "the item expires",
]

# What can happen to a send about one of several domains only.
type DomainWhat = Literal["is refused, but others may not be"]


class Choice(NamedTuple):
    """What happens next, to which invocation or late write (``which``), or for how long (``which`` seconds)."""

    what: What | DomainWhat
    which: int
    faults: int = 0


class State(NamedTuple):
    """The world at one moment. ``machines`` holds ``None`` for events that are over."""

    machines: tuple[Machine | None, ...]
    rows: tuple[Row, ...]
    now: int = START
    late: tuple[Write, ...] = ()
    faults: int = 0
    jumps: int = 0
    last_deadline: int = 0
    """The latest one of all invocations so far."""

    def row(self, record_id: str) -> Row:
        """Return a row of the table."""
        return next(row for row in self.rows if row.record_id == record_id)

    def with_row(self, row: Row) -> "State":
        """Return the state in which this row replaces the one of the same record."""
        return self._replace(rows=tuple(row if each.record_id == row.record_id else each for each in self.rows))


@dataclass(frozen=True)
class Event:
    """What makes an invocation, and is delivered again if that fails: a request, an event or a message."""

    deliveries: tuple[Invocation, ...]


@dataclass(frozen=True)
class Past:
    """What happened before the world starts: the items that are stored, and what is true of them."""

    rows: tuple[Row, ...] = ()


class World:
    """The events to come, and how much may go wrong."""

    def __init__(self, past: Past, events: Sequence[Event], faults: int, jumps: int) -> None:
        self.faults = faults
        machines = [[machine_of(delivery) for delivery in event.deliveries] for event in events]
        self._following = {
            delivery.invocation: following
            for deliveries in machines
            for delivery, following in zip(deliveries, [*deliveries[1:], None], strict=True)
        }
        rows = {row.record_id: row for row in past.rows}
        ids = dict.fromkeys(record_id for event in events for record_id in event.deliveries[0].record_ids)
        rows = {record_id: Row(record_id, None, Facts()) for record_id in ids} | rows
        self._domains = {by.record_ids[0]: by.domain_ids for by in self._following if by.reminder}
        self._queued = {(by.record_ids[0], by.reminder) for by in self._following if by.reminder}
        self.start = State(tuple(first for first, *_ in machines), tuple(rows.values()), faults=faults, jumps=jumps)

    # ---------------------------------------------------------------- what can happen

    def choices(self, state: State) -> Iterator[Choice]:
        jumps = (Choice("time passes", seconds) for seconds in JUMPS) if state.jumps and any(state.machines) else ()
        yield from jumps
        for index, machine in enumerate(state.machines):
            if machine is not None and machine.started and machine.ask == CLOCK:
                # Only time matters to it: no other order with the steps of others can make a difference.
                yield Choice("reads the clock", index)
                return
        for index, machine in enumerate(state.machines):
            if machine is not None:
                yield from self._choices_of(state, index, machine)
        for index in range(len(state.late)):
            yield Choice("a late write arrives", index)
        for index, row in enumerate(state.rows):
            if row.item is not None and state.now >= row.item.record.expiration:
                yield Choice("the item expires", index)

    def _choices_of(self, state: State, index: int, machine: Machine) -> Iterator[Choice]:
        if not machine.started:
            yield Choice("starts", index)
            return
        ask = machine.ask
        yield Choice(_ORDINARY[ask.what], index)
        if state.faults:
            for fault in _FAULTS[ask.what]:
                yield Choice(fault, index, 1)
            if ask.what == "PUT" and ask.record_id in machine.invocation.domain_ids:
                yield Choice("is refused, but others may not be", index, 1)
            yield Choice("is killed", index, 1)

    # ---------------------------------------------------------------- what then follows

    def after(self, state: State, choice: Choice) -> State:
        if choice.faults:
            state = state._replace(faults=state.faults - choice.faults)
        match choice.what:
            case "time passes":
                return self._jump(state, choice.which)
            case "a late write arrives":
                write = state.late[choice.which]
                state = state._replace(late=state.late[: choice.which] + state.late[choice.which + 1 :])
                return self._stored(state, write)[0]
            case "the item expires":
                return state.with_row(state.rows[choice.which]._replace(item=None))
        return self._step(state, choice.what, choice.which)

    def _step(self, state: State, what: What | DomainWhat, index: int) -> State:
        machine = state.machines[index]
        assert machine is not None
        by, ask = machine.invocation, machine.ask
        match what:
            case "starts" | "reads the clock":
                return self._told(state, index, state.now + by.ahead)
            case "reads":
                return self._told(state, index, state.row(ask.record_id).item)
            case "reads in vain" | "writes in vain":
                return self._told(state, index, "fails")
            case "sends" | "sends, with an unknown outcome" | "sends, and is killed":
                return self._send(state, what, index)
            case "is refused":
                return self._told(state, index, "refused")
            case "is refused, but others may not be":
                return self._told(self._with_told(state, ask.record_id, {by.told_as}), index, "refused alone")
            case "reports":
                return self._report(state, index)
            case "acknowledges":
                assert ask.answer is not None
                check_acknowledged(state.rows, state.now, by, ask.answer, self._queued)
                return self._told(state, index, "acknowledged")
            case "is killed":
                return self._killed(state, index)
        assert ask.write is not None
        return self._write(state, what, index, ask.write)

    def _send(self, state: State, what: What | DomainWhat, index: int) -> State:
        machine = state.machines[index]
        assert machine is not None
        ask = machine.ask
        row = state.row(ask.record_id)
        facts = with_email(row.facts, state.now, row.item, machine.invocation, ask.people, certain=what == "sends")
        state = state.with_row(row._replace(facts=facts))
        if what == "sends, and is killed":
            return self._killed(state, index)
        return self._told(state, index, "sent" if what == "sends" else "unknown")

    def _report(self, state: State, index: int) -> State:
        machine = state.machines[index]
        assert machine is not None
        by, ask = machine.invocation, machine.ask
        check_reported(state.rows, state.now, by, ask)
        for record_id in ask.domains:
            state = self._with_told(state, record_id, {by.told_as})
        return self._told(self._with_told(state, ask.record_id, ask.reminders), index, "reported")

    @staticmethod
    def _with_told(state: State, record_id: str, reminders: Iterable[str | None]) -> State:
        row = state.row(record_id)
        told = row.facts.told.union(reminder for reminder in reminders if reminder)
        return state.with_row(row._replace(facts=row.facts._replace(told=told)))

    def _write(self, state: State, what: What | DomainWhat, index: int, write: Write) -> State:
        match what:
            case "writes late":
                return self._told(state._replace(late=(*state.late, write)), index, "lost")
            case "writes late, and is killed":
                return self._killed(state._replace(late=(*state.late, write)), index)
        state, stored = self._stored(state, write)
        match what:
            case "writes, and the response is lost":
                return self._told(state, index, "lost")
            case "writes, and a copy is late":
                state = state._replace(late=(*state.late, write))
            case "writes, and the SDK repeats it":
                stored = False
        return self._told(state, index, "stored" if stored else ("rejected", state.row(write.record_id).item))

    def _stored(self, state: State, write: Write) -> tuple[State, bool]:
        row = state.row(write.record_id)
        if row.revision != write.expected:
            return state, False
        domains = [state.row(record_id).facts for record_id in self._domains.get(row.record_id, ())]
        return state.with_row(
            Row(row.record_id, write.item, with_write(row.facts, state.now, write.item, domains))
        ), True

    def _told(self, state: State, index: int, response: object) -> State:
        """The invocation goes on with this response. If it ends, its event may be delivered again."""
        machine = state.machines[index]
        assert machine is not None
        machine = machine.told(response)
        if len(machine.responses) == 1:
            state = state._replace(last_deadline=max(state.last_deadline, machine.deadline))
        while machine.ask == CLOCK and not state.jumps:
            machine = machine.told(state.now + machine.invocation.ahead)
        if machine.answer is None:
            return state._replace(machines=_with(state.machines, index, machine))
        check_answer(state.rows, state.now, machine.invocation, machine.answer)
        again = self._following[machine.invocation] if machine.answer.delivered_again else None
        return self._ended(state, index, machine.invocation, again, settles=self.faults - state.faults < 2)

    def _killed(self, state: State, index: int) -> State:
        machine = state.machines[index]
        assert machine is not None
        return self._ended(state, index, machine.invocation, self._following[machine.invocation], settles=False)

    def _ended(self, state: State, index: int, by: Invocation, again: Machine | None, *, settles: bool) -> State:
        rows = tuple(
            row._replace(facts=with_end(row.facts, self._items(state, row), by, settles)) for row in state.rows
        )
        state = state._replace(rows=rows, machines=_with(state.machines, index, again))
        if not any(state.machines):
            for row in rows:
                check_end(row.item, state.last_deadline)
        return state

    def _jump(self, state: State, seconds: int) -> State:
        state = state._replace(now=state.now + seconds, jumps=state.jumps - 1)
        for index, machine in enumerate(state.machines):
            if machine is not None and machine.started and machine.deadline <= state.now:
                state = self._killed(state, index)
        return state._replace(late=()) if seconds >= LATE_SECONDS else state

    @staticmethod
    def _items(state: State, row: Row) -> list[Item]:
        """The item of a row, and those that a late write may still store."""
        late = [
            write.item for write in state.late if write.record_id == row.record_id and write.expected == row.revision
        ]
        return late if row.item is None else [row.item, *late]


_ORDINARY: dict[str, What] = {
    "read": "reads",
    "write": "writes",
    "PUT": "sends",
    "report": "reports",
    "acknowledge": "acknowledges",
}
_FAULTS: dict[str, tuple[What, ...]] = {
    "read": ("reads in vain",),
    "write": (
        "writes, and the SDK repeats it",
        "writes, and a copy is late",
        "writes, and the response is lost",
        "writes in vain",
        "writes late",
        "writes late, and is killed",
    ),
    "PUT": ("sends, with an unknown outcome", "sends, and is killed", "is refused"),
    "report": (),
    "acknowledge": (),
}


def _with(machines: tuple[Machine | None, ...], index: int, machine: Machine | None) -> tuple[Machine | None, ...]:
    return (*machines[:index], machine, *machines[index + 1 :])
