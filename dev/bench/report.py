"""The figures of a run, their targets, and the tables that show them."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dev.bench.builds import BARE, COMPILED, OURS
from dev.bench.cpu import MB_OF_ONE_CPU
from dev.bench.measure import Cold, Imports, Scenario, Sized, Warm, milliseconds

MAX_ZIPPED_MB = 6.0
# (event source, compared with): ratio of cold starts. BARE is the script as its author would deploy it.
COLD_TARGETS = {("direct", BARE): 0.85, ("http", BARE): 0.85, ("direct", COMPILED): 1.15, ("http", COMPILED): 1.15}
MAX_WARM = 0.65
MAX_CONNECTIONS = 0.01  # for each resend
MAX_WARM_CPU = 1.0
MAX_MEMORY = 1.15

# Lambda's price list for arm64 (first tier), in dollars.
_GB_SECOND = 0.0000133334
_REQUEST = 0.0000002

type _Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Figure:
    """One line of the table. The target applies to the ratio, or to ours if there is nothing to compare with."""

    name: str
    unit: str
    ours: float
    plain: float | None = None
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the plain script's."""
        return None if self.plain is None else self.ours / self.plain

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        return None if self.target is None else (self.ours if self.ratio is None else self.ratio) <= self.target


def cold_figures(cold: Mapping[Scenario, Mapping[str, list[Cold]]]) -> list[Figure]:
    """Compute cold starts, by event source and by what they are compared with, over all kinds of recipients."""
    sources = dict.fromkeys(source for source, _ in cold)

    def total(source: str, build: str) -> float:
        return milliseconds(run.total for (other, _), runs in cold.items() if other == source for run in runs[build])

    return [
        Figure(
            f"cold start, {source}, against {against}",
            "ms",
            total(source, OURS),
            total(source, against),
            COLD_TARGETS.get((source, against)),
        )
        for against in (BARE, COMPILED)
        for source in sources
    ]


def warm_figures(warm: Mapping[Scenario, Mapping[str, Warm]]) -> list[Figure]:
    """Compute warm resends, by scenario."""
    found = []
    for (source, recipients), runs in warm.items():
        ours, plain = runs[OURS], runs[BARE]
        name = f"{source}, {recipients} recipients"
        calls = " + ".join(f"{count:g} {method}" for method, count in ours.upstream_calls.items())
        found += [
            Figure(f"warm resend, {name} ({calls})", "ms", 1000 * ours.seconds, 1000 * plain.seconds),
            # The target applies to one query and the PUT, so the wait for the other query is subtracted.
            Figure(f"check and PUT of it, {name}", "ms", 1000 * _of_two_calls(ours), 1000 * plain.seconds, MAX_WARM),
            Figure(f"own CPU of it, {name}", "ms", 1000 * ours.cpu, 1000 * plain.cpu, MAX_WARM_CPU),
        ]
    all_ours, all_plain = ([runs[name] for runs in warm.values()] for name in (OURS, BARE))
    most = max(all_ours, key=lambda run: run.connections)
    peak, plain_peak = (max(run.peak_bytes for run in runs) / 2**20 for runs in (all_ours, all_plain))
    return [
        *found,
        # The plain script opens one for each resend.
        Figure(
            f"upstream connections in {most.resends} resends",
            "",
            most.connections,
            target=max(1, MAX_CONNECTIONS * most.resends),
        ),
        Figure("peak memory, warm", "MB", peak, plain_peak, MAX_MEMORY),
    ]


def _of_two_calls(run: Warm) -> float:
    return run.seconds - run.waited * (1 - 2 / sum(run.upstream_calls.values()))


def size_figures(sizes: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    """Compute the sizes of the built functions."""
    ours, plain = sizes[OURS], sizes[BARE]
    return [
        Figure("function, zipped", "MB", ours["zipped"] / 1e6, target=MAX_ZIPPED_MB),
        Figure("function, unzipped", "MB", ours["unzipped"] / 1e6, plain["unzipped"] / 1e6),
    ]


def figure_table(figures: list[Figure]) -> str:
    """Format all figures with their targets."""
    rows: _Rows = [("figure", "unit", "ours", "plain", "ratio", "target", "met?")]
    for figure in figures:
        met = {None: "", True: "yes", False: "NO"}[figure.is_met]
        numbers = (_number(value) for value in (figure.ours, figure.plain, figure.ratio, figure.target))
        rows.append((figure.name, figure.unit, *numbers, met))
    return _table(rows)


def cold_table(cold: Mapping[Scenario, Mapping[str, list[Cold]]]) -> str:
    """Format where the time of cold starts goes."""
    rows: _Rows = [
        ("cold start: event source", "recipients", "function", "init", "first call", "waited", "total", "CPU")
    ]
    for scenario, by_build in cold.items():
        for name, runs in by_build.items():
            parts = (
                [run.init for run in runs],
                [run.invocation for run in runs],
                [run.waited for run in runs],
                [run.total for run in runs],
                [run.init_cpu + run.invocation_cpu for run in runs],
            )
            rows.append((*scenario, name, *(f"{milliseconds(part):.0f}" for part in parts)))
    return _table(rows)


def warm_table(warm: Mapping[Scenario, Mapping[str, Warm]]) -> str:
    """Format where the time of warm resends goes; `other` is the wait for AWS and, on a busy machine, for a CPU."""
    rows: _Rows = [
        ("warm resend: event source", "recipients", "function", "ms", "waited", "CPU", "other", "calls of each")
    ]
    for scenario, runs in warm.items():
        for name, run in runs.items():
            calls = ", ".join(f"{count:g} {call}" for call, count in (run.upstream_calls | run.aws_calls).items())
            other = run.seconds - run.waited - run.cpu
            times = (f"{1000 * seconds:.1f}" for seconds in (run.seconds, run.waited, run.cpu, other))
            rows.append((*scenario, name, *times, calls))
    return _table(rows)


def size_table(sizes: Mapping[str, Mapping[str, Any]]) -> str:
    """Format the largest parts of our function, in kB."""
    rows: _Rows = [("ours, kB by part", "unzipped", "of which bytecode", "zipped")]
    for name, part in list(sizes[OURS]["parts"].items())[:10]:
        cells = (f"{part[kind] / 1000:.0f}" for kind in ("unzipped", "bytecode", "zipped"))
        rows.append((name, *cells))
    return _table(rows)


def import_table(imports: Mapping[str, Mapping[str, Imports]]) -> str:
    """Format own import times by package, for each function and phase."""
    phases = [(build, phase) for build, by_phase in imports.items() for phase in by_phase]
    packages = dict.fromkeys(package for build, phase in phases for package in imports[build][phase].packages)
    rows: _Rows = [("own import ms (modules)", *(f"{build} {phase}" for build, phase in phases))]
    rows += [(package, *(_own(imports[build][phase], package) for build, phase in phases)) for package in packages]
    totals = (imports[build][phase] for build, phase in phases)
    rows.append(("all", *(f"{found.milliseconds:.0f} ({len(found.modules)})" for found in totals)))
    return _table(rows)


def memory_table(sized: list[Sized]) -> str:
    """Format memory sizes, with the cost of a million warm resends and of a million cold starts."""
    rows: _Rows = [("memory MB", "of a CPU", "init ms", "first call", "warm", "$ for 1e6 warm", "$ for 1e6 cold")]
    for size in sized:
        dollars = (_cost(size.megabytes, seconds) for seconds in (size.warm, size.init + size.first))
        times = (f"{1000 * seconds:.0f}" for seconds in (size.init, size.first, size.warm))
        share = min(1.0, size.megabytes / MB_OF_ONE_CPU)
        rows.append((str(size.megabytes), f"{share:.2f}", *times, *(f"{cost:.2f}" for cost in dollars)))
    return _table(rows)


def machine() -> dict[str, Any]:
    """Describe where and when this was measured."""
    facts = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    model = next((value.strip() for name, value in facts.items() if name.strip() == "model name"), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def _cost(megabytes: int, seconds: float) -> float:
    return 1e6 * (_REQUEST + _GB_SECOND * megabytes / 1024 * seconds)


def _own(found: Imports, package: str) -> str:
    count, own = found.packages.get(package, (0, 0.0))
    return f"{own:.1f} ({count})" if count else "-"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _table(rows: _Rows) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
