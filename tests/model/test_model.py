"""The rules, the store and the guard, explored by state as far as a minute reaches; `make model` explores the rest.

A failure tells the way to it: which invocation did what, when, and what went wrong there.
"""

from collections.abc import Iterator
from typing import get_args

import pytest

from dev.model.explore import quiet, search, walks
from dev.model.facts import Violation
from dev.model.scenarios import PAIRS, Scenario, event
from dev.model.world import Past, What


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    from dv_resend.observability import logger

    level = logger.log_level
    quiet()
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("scenario", PAIRS, ids=lambda scenario: scenario.name)
def test_pair_with_one_fault_keeps_all_promises(scenario: Scenario) -> None:
    assert search(scenario, faults=1, jumps=0).states > 50


@pytest.mark.parametrize("seed", range(10))
def test_walks_of_several_events_keep_all_promises(seed: int) -> None:
    counts = walks(1000, f"seed {seed}")

    assert counts.scenarios == 1000
    assert counts.happened == set(get_args(What.__value__))


def test_clocks_three_minutes_apart_break_a_promise() -> None:
    """Trace 13: the margin of two minutes is for clocks that differ by less. The search finds what goes wrong."""
    apart = Scenario("a, a, clocks (0, 180)", Past(), [event("a", 1), event("a", 2, ahead=180)])

    with pytest.raises(Violation, match=r"(?s)unknown, but everything is known.* a 1/1 sends\n.* a 2/1 reads"):
        search(apart, faults=0, jumps=0)
