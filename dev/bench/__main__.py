"""`make bench`: is DV Resend as fast as the plain script (`plain/app.py`)? It takes about ten minutes.

Both run side by side in AWS's own Lambda runtime. A fake AWS responds at once; CertCentral is the emulator, over TLS.
The figures are also written to `.local/bench.json`. The exit code is 1 if a target is missed.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dev.bench import measure, report
from dev.bench.builds import BARE, OURS, build_all
from dev.bench.services import Authority, services
from dev.local.processes import exit_code, signals_end_the_block
from dev.local.steps import counted
from dev.local.template import ROOT

RESULT = ROOT / ".local/bench.json"
MEMORY_SIZES = (128, 192, 256, 384, 512, 768, 1024, 1769)


def main() -> int:
    """Measure; return exit code 0 if every target was met."""
    parser = argparse.ArgumentParser(prog="bench", description="DV Resend side by side with the plain script.")
    parser.add_argument("--runs", type=int, default=15, help="cold starts of each kind (default: %(default)s)")
    parser.add_argument("--resends", type=int, default=100, help="warm resends of each kind (default: %(default)s)")
    parser.add_argument(
        "--source", type=Path, default=ROOT, help="a folder with another template.yaml and src/, to compare states"
    )
    options = parser.parse_args()
    RESULT.parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=RESULT.parent))
    try:
        with signals_end_the_block():
            return _bench(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bench(options: argparse.Namespace, folder: Path) -> int:
    started = time.monotonic()

    def step(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

    machine = report.machine()
    step(", ".join(f"{name} {value}" for name, value in machine.items()))
    authority = Authority(folder)
    builds = build_all(options.source.resolve(), folder / "builds", authority.certificate)
    by_name = {build.name: build for build in builds}
    log = folder / "function.log"
    weights = {build.name: build.sizes for build in builds}
    step("built the functions")
    with services(folder, authority) as running:
        imports = {name: measure.imports(running, by_name[name], log, runs=5) for name in (OURS, BARE)}
        step("measured imports")
        cold = measure.cold(
            running, builds, log, options.runs, lambda run: step(f"cold starts: {run + 1} of {options.runs}")
        )
        compared = [by_name[OURS], by_name[BARE]]
        warm = measure.warm(
            running, compared, folder, options.resends, lambda scenario: step(f"warm resends: {', '.join(scenario)}")
        )
        sized = measure.memory_sizes(running, by_name[OURS], log, MEMORY_SIZES, starts=3, resends=10)
        step("measured memory sizes")

    figures = [*report.cold_figures(cold), *report.warm_figures(warm), *report.size_figures(weights)]
    tables = [
        report.cold_table(cold),
        report.warm_table(warm),
        report.import_table(imports),
        report.size_table(weights),
        report.memory_table(sized),
        report.figure_table(figures),
    ]
    print("\n" + "\n\n".join(tables))
    result: dict[str, Any] = {
        "machine": machine,
        "figures": [asdict(figure) | {"ratio": figure.ratio, "is_met": figure.is_met} for figure in figures],
        "cold": measure.to_json(cold),
        "warm": measure.to_json(warm),
        "imports": imports,
        "sizes": weights,
        "memory_sizes": sized,
    }
    RESULT.write_text(json.dumps(result, indent=2, default=asdict) + "\n")
    missed = [figure for figure in figures if figure.is_met is False]
    print(f"\n{counted(len(missed), 'target')} missed." if missed else "\nEvery target was met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
