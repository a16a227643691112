"""Explores everything, on all processors, and prints how much that was: ``make model``."""

import os
import random
import sys
import time
from collections.abc import Callable
from multiprocessing import Pool
from typing import Any

from dev.model.domain_scenarios import DOMAIN_PAIRS, FEW_STATES, random_domain_scenario
from dev.model.explore import Counts, quiet, search, walks
from dev.model.facts import Violation
from dev.model.scenarios import PAIRS, Scenario

# Faults and jumps of time.
LIMITS = [(1, 1), (2, 0), (0, 2)]
DOMAIN_LIMITS = [(1, 0), (0, 1)]
# Only for pairs with few states: with two domains, the others have too many.
DOMAIN_LIMITS_OF_FEW = [(1, 1), (2, 0)]
WALKS, WALKS_PER_TASK = 100_000, 2_000


def search_pair(number: int, faults: int, jumps: int) -> tuple[str, Counts | str]:
    return _searched(PAIRS[number], faults, jumps)


def search_domain_pair(number: int, faults: int, jumps: int) -> tuple[str, Counts | str]:
    return _searched(DOMAIN_PAIRS[number], faults, jumps)


def _searched(scenario: Scenario, faults: int, jumps: int) -> tuple[str, Counts | str]:
    return scenario.name, _found(lambda: search(scenario, faults, jumps))


def take_walks(seed: str, task: int) -> tuple[str, Counts | str]:
    return f"walks {seed}/{task}", _found(lambda: walks(WALKS_PER_TASK, f"{seed}/{task}"))


def take_domain_walks(seed: str, task: int) -> tuple[str, Counts | str]:
    found = _found(lambda: walks(WALKS_PER_TASK, f"{seed}/{task}", random_domain_scenario))
    return f"walks by domain {seed}/{task}", found


def _found(explore: Callable[[], Counts]) -> Counts | str:
    """Return what was explored, or the way to a violation."""
    quiet()
    try:
        return explore()
    except Violation as violation:
        return str(violation)


def _with_few_states() -> list[int]:
    found = [search_domain_pair(number, 0, 0)[1] for number in range(len(DOMAIN_PAIRS))]
    return [number for number, each in enumerate(found) if isinstance(each, Counts) and each.states < FEW_STATES]


def main() -> int:
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(10**9))
    parts: dict[str, tuple[Callable[..., Any], list[tuple[Any, ...]]]] = {
        f"pairs, faults: {faults}, jumps of time: {jumps}": (
            search_pair,
            [(number, faults, jumps) for number in range(len(PAIRS))],
        )
        for faults, jumps in LIMITS
    }
    parts[f"walks, SEED={seed}"] = take_walks, [(seed, task) for task in range(WALKS // WALKS_PER_TASK)]

    parts |= {
        f"pairs by domain, faults: {faults}, jumps of time: {jumps}": (
            search_domain_pair,
            [(number, faults, jumps) for number in numbers],
        )
        for limits, numbers in ((DOMAIN_LIMITS, range(len(DOMAIN_PAIRS))), (DOMAIN_LIMITS_OF_FEW, _with_few_states()))
        for faults, jumps in limits
    }
    parts[f"walks by domain, SEED={seed}"] = (
        take_domain_walks,
        [(seed, task) for task in range(WALKS // WALKS_PER_TASK)],
    )

    started, totals, violations = time.monotonic(), {}, 0
    with Pool() as pool:
        for part, (explore, tasks) in parts.items():
            totals[part] = Counts()
            for result in [pool.apply_async(explore, task) for task in tasks]:
                name, found = result.get()
                print(f"{part}: {name}: {found}", flush=True)
                if isinstance(found, Counts):
                    totals[part] += found
                else:
                    violations += 1
    print()
    for part, counts in totals.items():
        print(f"{part}: {counts}")
    print(f"{sum(totals.values(), Counts())}, {violations} violations, {time.monotonic() - started:.0f} s")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
