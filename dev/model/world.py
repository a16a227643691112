"""The world that invocations run in: one item of a table, a clock, late writes, and everything that can go wrong.

A state is a value; `World.choices` names what can happen next, and `World.after` is the state that follows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dev.model.facts import (
    Facts,
    check_acknowledged,
    check_answer,
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


class Choice(NamedTuple):
    """What happens next, to which invocation or late write (``which``), or for how long (``which`` seconds)."""

    what: What
    which: int
    faults: int = 0


class State(NamedTuple):
    """The world at one moment. ``machines`` holds ``None`` for events that are over."""

    machines: tuple[Machine | None, ...]
    item: Item | None
    facts: Facts
    now: int = START
    late: tuple[Write, ...] = ()
    faults: int = 0
    jumps: int = 0


@dataclass(frozen=True)
class Event:
    """What makes an invocation, and is delivered again if that fails: a request, an event or a message."""

    deliveries: tuple[Invocation, ...]


@dataclass(frozen=True)
class Past:
    """What happened before the world starts: the item that is stored, and what is true of it."""

    item: Item | None = None
    facts: Facts = field(default_factory=Facts)


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
        self.start = State(tuple(first for first, *_ in machines), past.item, past.facts, faults=faults, jumps=jumps)

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
        if state.item is not None and state.now >= state.item.record.expiration:
            yield Choice("the item expires", 0)

    def _choices_of(self, state: State, index: int, machine: Machine) -> Iterator[Choice]:
        if not machine.started:
            yield Choice("starts", index)
            return
        regular, faults = _ORDINARY[machine.ask.what], _FAULTS[machine.ask.what]
        yield Choice(regular, index)
        if state.faults:
            for fault in faults:
                yield Choice(fault, index, 1)
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
                return state._replace(item=None)
        return self._step(state, choice.what, choice.which)

    def _step(self, state: State, what: What, index: int) -> State:
        machine = state.machines[index]
        assert machine is not None
        by, ask = machine.invocation, machine.ask
        match what:
            case "starts" | "reads the clock":
                return self._told(state, index, state.now + by.ahead)
            case "reads":
                return self._told(state, index, state.item)
            case "reads in vain" | "writes in vain":
                return self._told(state, index, "fails")
            case "sends" | "sends, with an unknown outcome" | "sends, and is killed":
                facts = with_email(state.facts, state.now, state.item, by, ask.people, certain=what == "sends")
                state = state._replace(facts=facts)
                if what == "sends, and is killed":
                    return self._killed(state, index)
                return self._told(state, index, "sent" if what == "sends" else "unknown")
            case "is refused":
                return self._told(state, index, "refused")
            case "reports":
                facts = state.facts._replace(told=state.facts.told.union(ask.reminders))
                return self._told(state._replace(facts=facts), index, "reported")
            case "acknowledges":
                assert ask.answer is not None
                check_acknowledged(state.facts, state.now, by, ask.answer)
                return self._told(state, index, "acknowledged")
            case "is killed":
                return self._killed(state, index)
        assert ask.write is not None
        return self._write(state, what, index, ask.write)

    def _write(self, state: State, what: What, index: int, write: Write) -> State:
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
        return self._told(state, index, "stored" if stored else ("rejected", state.item))

    def _stored(self, state: State, write: Write) -> tuple[State, bool]:
        revision = None if state.item is None else state.item.record.revision
        if revision != write.expected:
            return state, False
        return state._replace(item=write.item, facts=with_write(state.facts, state.now, write.item)), True

    def _told(self, state: State, index: int, response: object) -> State:
        """The invocation goes on with this response. If it ends, its event may be delivered again."""
        machine = state.machines[index]
        assert machine is not None
        machine, facts = machine.told(response), state.facts
        if len(machine.responses) == 1:
            facts = facts._replace(last_deadline=max(facts.last_deadline, machine.deadline))
        while machine.ask == CLOCK and not state.jumps:
            machine = machine.told(state.now + machine.invocation.ahead)
        if machine.answer is None:
            return state._replace(machines=_with(state.machines, index, machine), facts=facts)
        check_answer(facts, state.now, machine.invocation, machine.answer)
        facts = with_end(facts, self._items(state), machine.invocation, settles=self.faults - state.faults < 2)
        again = self._following[machine.invocation] if machine.answer.delivered_again else None
        return self._checked(state._replace(machines=_with(state.machines, index, again), facts=facts))

    def _killed(self, state: State, index: int) -> State:
        machine = state.machines[index]
        assert machine is not None
        facts = with_end(state.facts, self._items(state), machine.invocation, settles=False)
        again = self._following[machine.invocation]
        return self._checked(state._replace(machines=_with(state.machines, index, again), facts=facts))

    def _jump(self, state: State, seconds: int) -> State:
        state = state._replace(now=state.now + seconds, jumps=state.jumps - 1)
        for index, machine in enumerate(state.machines):
            if machine is not None and machine.started and machine.deadline <= state.now:
                state = self._killed(state, index)
        return state._replace(late=()) if seconds >= LATE_SECONDS else state

    @staticmethod
    def _items(state: State) -> list[Item]:
        """The item, and those that a late write may still store."""
        revision = None if state.item is None else state.item.record.revision
        late = [write.item for write in state.late if write.expected == revision]
        return late if state.item is None else [state.item, *late]

    @staticmethod
    def _checked(state: State) -> State:
        if not any(state.machines):
            check_end(state.item, state.facts.last_deadline)
        return state


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
