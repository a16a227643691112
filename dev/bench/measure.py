"""The measurements. What is compared is measured in turns, so that load on the machine affects all alike."""

import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.bench.builds import Build
from dev.bench.events import EVENT_SOURCES, RECIPIENTS, event, is_sent
from dev.bench.runtime import Function, Invocation
from dev.bench.services import Services
from dev.local.processes import StartError

ROUND_TRIP = 0.02

type Scenario = tuple[str, str]
"""An event source, and the recipients of the resend."""
SCENARIOS: list[Scenario] = [(source, recipients) for source in EVENT_SOURCES for recipients in RECIPIENTS]


@dataclass(frozen=True)
class Cold:
    """One start and its first invocation, in seconds. `waited` is the part of the invocation spent on CertCentral."""

    init: float
    invocation: float
    waited: float
    init_cpu: float
    invocation_cpu: float

    @property
    def total(self) -> float:
        """What a caller waits for, without the wait for CertCentral."""
        return self.init + self.invocation - self.waited


@dataclass(frozen=True)
class Warm:
    """Resends of one running function: medians in seconds, and counts."""

    seconds: float
    cpu: float
    waited: float
    resends: int
    connections: int
    upstream_calls: dict[str, float]
    aws_calls: dict[str, float]
    peak_bytes: int


def cold(
    services: Services, builds: Sequence[Build], log: Path, runs: int, on_run: Callable[[int], None]
) -> dict[Scenario, dict[str, list[Cold]]]:
    """Start each function `runs` times in each scenario."""
    found: dict[Scenario, dict[str, list[Cold]]] = {
        scenario: {build.name: [] for build in builds} for scenario in SCENARIOS
    }
    with services.proxy() as proxy:
        environment = services.environment(proxy)
        for run in range(runs):
            for scenario in SCENARIOS:
                # Each build goes first equally often.
                for build in _turned(builds, run):
                    waited = proxy.waited
                    with Function(build, environment, log) as function:
                        first = _resend(services, function, scenario)
                        found[scenario][build.name].append(
                            Cold(
                                function.init_seconds,
                                first.seconds,
                                proxy.waited - waited,
                                function.init_cpu_seconds,
                                first.cpu_seconds,
                            )
                        )
            on_run(run)
    return found


def warm(
    services: Services, builds: Sequence[Build], folder: Path, resends: int, on_scenario: Callable[[Scenario], None]
) -> dict[Scenario, dict[str, Warm]]:
    """Make each function send `resends` in each scenario, with `ROUND_TRIP` to CertCentral.

    The first resend counts for the connections, but not for the times.
    """
    found = {}
    for scenario in SCENARIOS:
        runs = [_WarmRun(services, build, folder / f"{build.name}.log") for build in builds]
        try:
            for number in range(resends):
                for run in _turned(runs, number):
                    run.resend(scenario)
            found[scenario] = {run.name: run.result() for run in runs}
        finally:
            for run in runs:
                run.close()
        on_scenario(scenario)
    return found


class _WarmRun:
    def __init__(self, services: Services, build: Build, log: Path) -> None:
        self.name = build.name
        self._services = services
        self._proxy = services.proxy(ROUND_TRIP)
        try:
            self._function = Function(build, services.environment(self._proxy), log)
        except BaseException:
            self._proxy.close()
            raise
        self._resends: list[tuple[Invocation, float]] = []
        self._upstream_calls: Counter[str] = Counter()
        self._aws_calls: Counter[str] = Counter()

    def resend(self, scenario: Scenario) -> None:
        waited = self._proxy.waited
        self._services.aws.calls.clear()
        invocation = _resend(self._services, self._function, scenario, self._upstream_calls)
        self._aws_calls += self._services.aws.calls
        self._resends.append((invocation, self._proxy.waited - waited))

    def result(self) -> Warm:
        count = len(self._resends)
        warm = self._resends[1:]
        return Warm(
            seconds=statistics.median(invocation.seconds for invocation, _ in warm),
            cpu=statistics.median(invocation.cpu_seconds for invocation, _ in warm),
            waited=statistics.median(waited for _, waited in warm),
            resends=count,
            connections=self._proxy.connections,
            upstream_calls={name: calls / count for name, calls in self._upstream_calls.items()},
            aws_calls={name: calls / count for name, calls in self._aws_calls.items()},
            peak_bytes=self._function.peak_bytes(),
        )

    def close(self) -> None:
        self._function.close()
        self._proxy.close()


@dataclass(frozen=True)
class Sized:
    """One memory size: a start, its first invocation and a warm one, in seconds (medians)."""

    megabytes: int
    init: float
    first: float
    warm: float


def memory_sizes(
    services: Services, build: Build, log: Path, sizes: Sequence[int], starts: int, resends: int
) -> list[Sized]:
    """Run a function with the share of a processor that each memory size gets."""
    inits, firsts, warms = ({size: list[float]() for size in sizes} for _ in range(3))
    with services.proxy(ROUND_TRIP) as proxy:
        for start in range(starts):
            for size in _turned(sizes, start):
                with Function(build, services.environment(proxy), log, megabytes=size) as function:
                    inits[size].append(function.init_seconds)
                    firsts[size].append(_resend(services, function, SCENARIOS[0]).seconds)
                    warms[size] += [_resend(services, function, SCENARIOS[0]).seconds for _ in range(resends)]
    return [Sized(size, *(statistics.median(phase[size]) for phase in (inits, firsts, warms))) for size in sizes]


@dataclass(frozen=True)
class Imports:
    """The imports of one phase: the modules, and by package their number and their own milliseconds."""

    modules: list[str]
    packages: dict[str, tuple[int, float]]

    @property
    def milliseconds(self) -> float:
        """The time of all imports."""
        return sum(own for _, own in self.packages.values())


def imports(services: Services, build: Build, log: Path, runs: int) -> dict[str, Imports]:
    """Measure the imports at `init`, and in the first invocation of each event source (with constructed recipients)."""
    seen: dict[str, list[dict[str, float]]] = {}
    with services.proxy() as proxy:
        for _ in range(runs):
            for source in EVENT_SOURCES:
                with Function(build, services.environment(proxy), log, "-X", "importtime") as function:
                    at_init = function.output()
                    _resend(services, function, (source, "constructed"))
                    later = function.output()[len(at_init) :]
                seen.setdefault("init", []).append(_import_times(at_init))
                seen.setdefault(source, []).append(_import_times(later))
    return {phase: _by_package(profiles) for phase, profiles in seen.items()}


def _import_times(output: str) -> dict[str, float]:
    """Return each module's own milliseconds."""
    lines = re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", output, re.MULTILINE)
    return {module: int(microseconds) / 1000 for microseconds, module in lines}


def _by_package(profiles: list[dict[str, float]]) -> Imports:
    packages: dict[str, tuple[int, float]] = {}
    for module in profiles[0]:
        top = module.partition(".")[0]
        package = "(standard library)" if top in sys.stdlib_module_names else top
        count, own = packages.get(package, (0, 0.0))
        packages[package] = (count + 1, own + statistics.median(profile.get(module, 0.0) for profile in profiles))
    largest = dict(sorted(packages.items(), key=lambda item: -item[1][1]))
    return Imports(list(profiles[0]), largest)


def _resend(
    services: Services, function: Function, scenario: Scenario, upstream_calls: Counter[str] | None = None
) -> Invocation:
    """Make one resend that really sends."""
    invocation = function.invoke(event(*scenario, services.order_id()))
    calls = services.upstream_calls()
    if not is_sent(invocation.answer) or calls.count("PUT") != 1:
        raise StartError(f"This was not a resend: {invocation.answer}, {calls}\n{function.output()[-2000:]}")
    if upstream_calls is not None:
        upstream_calls.update(calls)
    return invocation


def _turned[T](things: Sequence[T], by: int) -> list[T]:
    by %= len(things)
    return [*things[by:], *things[:by]]


def milliseconds(seconds: Iterable[float]) -> float:
    """Return the median, in milliseconds."""
    return 1000 * statistics.median(seconds)


def to_json(result: dict[Scenario, Any]) -> dict[str, Any]:
    """Name the scenarios in a way that JSON allows."""
    return {f"{source}, {recipients}": value for (source, recipients), value in result.items()}
