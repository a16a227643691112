"""`make bench-sweep`: does the sweep keep to its rate limit, and to its memory?

Rate: the deployed worker, fed by the local AWS's own queue, against an emulator that enforces DigiCert's limits and
takes 100 ms for each response. Memory: the real handler in fresh processes, over lists of 10,000 and of 100,000 orders,
which it sweeps and answers `pending` about. The exit code is 1 if a target is missed.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from dev.local.processes import StartError, exit_code
from dev.local.stack import LocalStack, local_stack
from dev.local.template import ROOT, load

_TEMPLATE = load(ROOT / "template.yaml")
RATE = float(_TEMPLATE["Parameters"]["SweepRequestsPerSecond"]["Default"])
TIMEOUT = float(_TEMPLATE["Resources"]["SweepFunction"]["Properties"]["Timeout"])
DIGICERT_LIMIT = 1000 / 180  # calls a second ("Rate limits" page); the emulator enforces it, and 100 in 5 s

ORDERS = 180
# The worker and the sweep run in two environments, each with a token bucket that is full at first. Two batches empty
# them; what follows is the steady rate.
BATCHES_NOT_COUNTED = 2
CALLS_OF_A_REMINDER = 3

MIN_RATIO = 0.95
MAX_PEAK_MB = 256
MAX_GROWTH = 1.2
LAMBDA_RESPONSE_BYTES = 6 * 1024 * 1024


class Targets:
    """The targets of a run. `missed` says whether any was missed."""

    def __init__(self) -> None:
        self.missed = False

    def check(self, what: str, is_met: bool) -> None:
        """Print the target and whether it is met."""
        self.missed |= not is_met
        print(f"  {'ok    ' if is_met else 'MISSED'}  {what}", flush=True)


def measure_rate(stack: LocalStack, targets: Targets) -> None:
    """Remind `ORDERS` orders, and see when each reminder was sent."""
    print(f"Rate: {ORDERS} due orders, {RATE:g} calls/s configured, responses after 100 ms", flush=True)
    _only_orders(stack, {"count": ORDERS, "kind": "dv", "age_days": 1.5})
    stack.ask_emulator("faults", "POST", {"fault": "slow", "seconds": 0.1})
    stack.ask_emulator("calls", "DELETE")
    since = time.time()
    answer = stack.client("lambda").invoke(FunctionName=stack.sweep_function_alias, Payload='{"action": "sweep"}')
    summary = json.load(answer["Payload"])
    assert summary.get("enqueued") == ORDERS, summary
    _wait_until_empty(stack, 2 * ORDERS * CALLS_OF_A_REMINDER / RATE + 30)

    calls = stack.ask_emulator("calls")
    refused = sum(call["status"] == 429 for call in calls)
    mailed = {call["path"] for call in calls if call["method"] == "PUT" and call["status"] == 204}
    lines = sorted((_moment(line), line["function_request_id"]) for line in stack.audit_lines(since) if _is_sent(line))
    batches = [[moment for moment, _ in batch] for _, batch in groupby(lines, key=lambda line: line[1])]
    counted = [moment for batch in batches[BATCHES_NOT_COUNTED:] for moment in batch]
    seconds = counted[-1] - batches[BATCHES_NOT_COUNTED - 1][-1]
    rate = len(counted) * CALLS_OF_A_REMINDER / seconds
    inside = [later - earlier for batch in batches for earlier, later in pairwise(batch)]
    between = [later[0] - earlier[-1] for earlier, later in pairwise(batches)]

    print(f"""\
  orders reminded          {len(lines)} in {len(batches)} batches
  calls                    {len(calls)}, of which {len(counted) * CALLS_OF_A_REMINDER} counted, over {seconds:.1f} s
  calls per second         {rate:.3f}
  429                      {refused}
  of the configured rate   {rate / RATE:.1%}
  of DigiCert's limit      {rate / DIGICERT_LIMIT:.1%} (1000 in 180 s)
  from one order to the next, median: {statistics.median(inside):.3f} s; across two batches: \
{statistics.median(between):.3f} s (longest {max(between):.3f} s)""")
    targets.check("every order is mailed exactly once", len(mailed) == len(lines) == ORDERS)
    targets.check("the counted calls span at least 60 s", seconds >= 60)
    targets.check("no 429", refused == 0)
    targets.check(f"at least {MIN_RATIO:.0%} of the configured rate", rate >= MIN_RATIO * RATE)
    targets.check("not above the configured rate", rate <= 1.01 * RATE)


def measure_memory(stack: LocalStack, targets: Targets) -> None:
    """Sweep and list two accounts, the second ten times as large as the first; a tenth of the orders is due."""
    peaks: dict[str, list[float]] = {"sweep": [], "pending": []}
    for listed in (10_000, 100_000):
        due = listed // 10
        print(f"Memory: {listed} orders listed, {due} due", flush=True)
        _only_orders(
            stack,
            {"count": due, "kind": "dv", "age_days": 1.5, "apart_seconds": 0.3},
            {"count": listed - due, "kind": "dv", "age_days": 0.5, "apart_seconds": 0.3},
        )
        # A queue without a worker, because this measures the sweep alone.
        queue = stack.client("sqs").create_queue(QueueName=f"bench-{listed}.fifo", Attributes={"FifoQueue": "true"})
        ran = {action: _one_sweep(stack, queue["QueueUrl"], action) for action in peaks}
        for action, measured in ran.items():
            peaks[action].append(measured["peak_mb"])
            print(f"  {action}: peak memory {measured['peak_mb']:.1f} MB; {measured['seconds']:.1f} s")
            targets.check(f"within {TIMEOUT:.0f} s", measured["seconds"] < TIMEOUT)
            targets.check(f"below {MAX_PEAK_MB} MB", measured["peak_mb"] < MAX_PEAK_MB)
        targets.check(f"all {due} are queued", ran["sweep"]["answer"]["enqueued"] == _queued(stack, queue) == due)
        pending = ran["pending"]["answer"]
        targets.check(
            f"all {listed} are pending", pending["complete"] and len(pending["orders"]) + pending["more"] == listed
        )
        targets.check("the list fits into a response of Lambda", ran["pending"]["bytes"] < LAMBDA_RESPONSE_BYTES)
    for action, (small, large) in peaks.items():
        print(f"Memory: {action} of ten times as many orders takes {large / small:.1%} of the memory")
        targets.check(f"at most {MAX_GROWTH:.0%}", large <= MAX_GROWTH * small)


def _one_sweep(stack: LocalStack, queue_url: str, action: str) -> dict[str, Any]:
    environment = stack.handler_environment() | {
        "SWEEP_QUEUE_URL": queue_url,
        "SWEEP_REQUESTS_PER_SECOND": str(RATE),
    }
    command = [sys.executable, str(Path(__file__).with_name("one_sweep.py")), str(TIMEOUT), action]
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT + 60, check=False, cwd=ROOT
    )
    measured = [line for line in ran.stdout.splitlines() if line.startswith("MEASURED ")]
    if not measured:
        raise StartError(f"The sweep failed:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(measured[0].removeprefix("MEASURED "))
    return result


def _only_orders(stack: LocalStack, *orders: dict[str, Any]) -> None:
    """Replace the emulator's orders with these."""
    stack.ask_emulator("reset", "POST")
    stack.ask_emulator("orders", "DELETE")
    for fields in orders:
        stack.ask_emulator("orders", "POST", fields)


def _queued(stack: LocalStack, queue: dict[str, Any]) -> int:
    name = "ApproximateNumberOfMessages"
    found = stack.client("sqs").get_queue_attributes(QueueUrl=queue["QueueUrl"], AttributeNames=[name])
    return int(found["Attributes"][name])


def _wait_until_empty(stack: LocalStack, seconds: float) -> None:
    sqs = stack.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + seconds
    while any(
        map(int, sqs.get_queue_attributes(QueueUrl=stack.queue_url, AttributeNames=names)["Attributes"].values())
    ):
        if time.monotonic() > deadline:
            raise StartError(f"The queue was not empty after {seconds:.0f} s.")
        time.sleep(0.5)


def _is_sent(line: dict[str, Any]) -> bool:
    return line.get("event_source") == "queue" and line["outcome"] == "sent"


def _moment(line: dict[str, Any]) -> float:
    return datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z").timestamp()


def main() -> int:
    """Measure; return exit code 0 if every target was met."""
    targets = Targets()
    measures: list[Callable[[LocalStack, Targets], None]] = [measure_rate, measure_memory]
    with local_stack() as stack:
        for measure in measures:
            measure(stack, targets)
    print("A target was missed." if targets.missed else "Every target was met.")
    return 1 if targets.missed else 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
