"""The rules, the store and the guard, explored by state as far as a minute reaches; `make model` explores the rest.

A failure tells the way to it: which invocation did what, when, and what went wrong there.
"""

from collections.abc import Iterator
from typing import get_args

import pytest

from model.explore import quiet, search, walks
from model.scenarios import PAIRS, Scenario
from model.world import What


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
