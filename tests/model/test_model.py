"""The rules, the store and the guard, explored by state as far as a minute reaches; `make model` explores the rest.

A failure tells the way to it: which invocation did what, when, and what went wrong there.
"""

from collections.abc import Iterator
from typing import get_args

import pytest

from dev.model.domain_scenarios import DOMAIN_PAIRS, FEW_STATES, random_domain_scenario
from dev.model.explore import quiet, search, walks
from dev.model.facts import Violation
from dev.model.scenarios import PAIRS, Scenario, event
from dev.model.world import DomainWhat, Past, What
from dv_resend.core.claim_and_send import SendGuard
from dv_resend.core.domain_outcomes import DomainRun


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


@pytest.mark.parametrize("scenario", DOMAIN_PAIRS, ids=lambda scenario: scenario.name)
def test_pair_by_domain_keeps_all_promises(scenario: Scenario) -> None:
    """Every pair without a fault, and those with the fewest states with one; `make model` explores the rest."""
    states = search(scenario, faults=0, jumps=0).states

    assert states > 50
    assert states >= FEW_STATES // 2 or search(scenario, faults=1, jumps=0).states > states


def test_walks_by_domain_keep_all_promises() -> None:
    counts = walks(1000, "seed 0", random_domain_scenario)

    assert counts.scenarios == 1000
    assert counts.happened == {*get_args(What.__value__), *get_args(DomainWhat.__value__)}


@pytest.mark.parametrize(
    ("subject", "rule", "broken", "promise"),
    [
        (DomainRun, "to_repeat", None, "a reminder that is done, and nobody was told"),
        (SendGuard, "with_cool_down", lambda guard, _seconds: guard, "a reminder that repeats an email"),
    ],
    ids=["left domains", "quiet time"],
)
def test_reminder_by_domain_without_rule_breaks_a_promise(
    subject: type, rule: str, broken: object, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search sees what these rules are for."""
    monkeypatch.setattr(subject, rule, broken)
    after = next(each for each in DOMAIN_PAIRS if each.name.startswith("half sent, day 1 of 8, day 1 of 7"))

    with pytest.raises(Violation, match=promise):
        search(after, faults=0, jumps=0)
