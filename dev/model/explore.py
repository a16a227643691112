"""The search: all states that can be reached, each visited once; and random walks where there are too many."""

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dev.model.facts import Violation
from dev.model.invocations import START, forget
from dev.model.scenarios import Scenario, random_scenario
from dev.model.world import Choice, State, World
from dv_resend.observability import logger

WALK_FAULTS, WALK_JUMPS = 3, 4


@dataclass(frozen=True)
class Counts:
    """How much was explored."""

    scenarios: int = 0
    states: int = 0
    transitions: int = 0
    happened: frozenset[str] = frozenset()
    """What happened at least once."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.scenarios + other.scenarios,
            self.states + other.states,
            self.transitions + other.transitions,
            self.happened | other.happened,
        )

    def __str__(self) -> str:
        states = f"{self.states:,} states, " if self.states else ""
        return f"{self.scenarios:,} scenarios, {states}{self.transitions:,} transitions"


def quiet() -> None:
    """Keep the code under test from logging every fault."""
    logger.setLevel(logging.CRITICAL)


# ---------------------------------------------------------------- every way


def search(scenario: Scenario, faults: int, jumps: int) -> Counts:
    """Visit every state of a scenario. Raises `Violation` that tells the way to the first one that is wrong."""
    try:
        return _search(scenario, faults, jumps)
    finally:
        forget()


def _search(scenario: Scenario, faults: int, jumps: int) -> Counts:
    world = World(scenario.past, scenario.events, faults, jumps)
    seen = {world.start}
    transitions = 0
    way: list[tuple[Choice, State, Iterator[Choice]]] = [(_BEGINNING, world.start, world.choices(world.start))]
    while way:
        _, state, choices = way[-1]
        choice = next(choices, None)
        if choice is None:
            way.pop()
            continue
        transitions += 1
        try:
            following = world.after(state, choice)
        except Violation as violation:
            raise _told(world, [*(each for each, *_ in way[1:]), choice], violation) from None
        if following not in seen:
            seen.add(following)
            way.append((choice, following, world.choices(following)))
    return Counts(1, len(seen), transitions)


_BEGINNING = Choice("starts", 0)


# ---------------------------------------------------------------- random ways


def walks(number: int, seed: str, scenario_of: Callable[[random.Random], Scenario] = random_scenario) -> Counts:
    """Take random walks. Raises `Violation` that tells the first one that goes wrong."""
    counts = Counts()
    for each in range(number):
        chance = random.Random(f"{seed}/{each}")  # noqa: S311 - the same walks for the same seed
        try:
            counts += _walk(scenario_of(chance), chance)
        finally:
            forget()
    return counts


def _walk(scenario: Scenario, chance: random.Random) -> Counts:
    world = World(scenario.past, scenario.events, WALK_FAULTS, WALK_JUMPS)
    state = world.start
    way: list[Choice] = []
    while choices := list(world.choices(state)):
        rare = [choice for choice in choices if choice.faults or choice.what == "time passes"]
        usual = [choice for choice in choices if choice not in rare]
        way.append(chance.choice(rare if rare and (not usual or chance.random() < 0.2) else usual))
        try:
            state = world.after(state, way[-1])
        except Violation as violation:
            raise _told(world, way, violation) from None
    return Counts(1, 0, len(way), frozenset(choice.what for choice in way))


# ---------------------------------------------------------------- the way to a violation


def _told(world: World, way: list[Choice], violation: Violation) -> Violation:
    """Add the way to a violation, one event a line."""
    state, lines = world.start, [str(violation)]
    for number, choice in enumerate(way, 1):
        lines.append(f"{state.now - START:>9} s  {_subject(state, choice)} {choice.what}")
        if number < len(way):
            state = world.after(state, choice)
    return Violation("\n".join(lines))


def _subject(state: State, choice: Choice) -> str:
    if choice.what == "time passes":
        return f"{choice.which} s of"
    if choice.what in ("a late write arrives", "the item expires"):
        return "..."
    machine = state.machines[choice.which]
    return machine.invocation.name if machine else ""
