"""The bulk of a soak: `dv-resend bulk` within DigiCert's real request limits, killed in the middle and run again."""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dev.emulator import CertCentralEmulator
from dev.emulator.access import DEFAULT_LIMITS
from dev.local.stack import LocalStack
from dev.local.template import ROOT
from dev.soak.reconcile import Told

MAX_ORDERS = 500
# An order error: the soak has orders that cannot be resent.
HIGHEST_EXIT_CODE = 3


def run_bulk(
    stack: LocalStack, emulator: CertCentralEmulator, order_ids: Sequence[int]
) -> tuple[list[Told], list[str]]:
    """Resend the orders at the default rate; return what the command tells of each, and what is wrong."""
    emulator.set_limits(DEFAULT_LIMITS)
    calls_before = emulator.calls[-1]["number"] if emulator.calls else 0
    with tempfile.TemporaryDirectory() as folder:
        file, results = Path(folder, "orders.csv"), Path(folder, "orders.results.csv")
        file.write_text("order_id\n" + "".join(f"{order_id}\n" for order_id in order_ids))
        first = _start(stack, file)
        while first.poll() is None and _count(results) < len(order_ids):  # two lines for each order
            time.sleep(0.1)
        first.kill()
        first.wait()
        exit_code = _start(stack, file).wait()
        with results.open(newline="") as lines:
            outcomes = {int(row["order_id"]): row["outcome"] for row in csv.DictReader(lines)}
    emulator.set_limits(None)
    limited = [call for call in emulator.calls if call["number"] > calls_before and call["status"] == 429]
    differences = [f"bulk: CertCentral refused {len(limited)} calls with 429"] if limited else []
    if exit_code > HIGHEST_EXIT_CODE or outcomes.keys() != set(order_ids):
        differences.append(f"bulk: exit code {exit_code}, {len(outcomes)} results of {len(order_ids)} orders")
    return [Told("direct", order_id, outcome) for order_id, outcome in outcomes.items()], differences


def _start(stack: LocalStack, file: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "AWS_CONFIG_FILE": os.devnull}
    return subprocess.Popen(
        [sys.executable, "-m", "dv_resend_cli", "bulk", file],
        env=environment | stack.command_environment(),
        stdout=subprocess.DEVNULL,
    )


def _count(results: Path) -> int:
    return results.read_bytes().count(b"\n") if results.exists() else 0
