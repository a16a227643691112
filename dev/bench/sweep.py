"""`make bench-sweep`: does the sweep hold its pace, and its memory?

Pace: the deployed worker, behind the local AWS's own queue, against an emulator that enforces DigiCert's limits and
takes 100 ms for each answer. Memory: the real handler in fresh processes, over lists of 10,000 and of 100,000 orders.
The exit code is 1 when a target is missed. Everything is bounded in time, and on loopback.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from dev.local.processes import StartError
from dev.local.stack import LocalStack, local_stack
from dev.local.template import ROOT, load

_TEMPLATE = load(ROOT / "template.yaml")
PACE = float(_TEMPLATE["Parameters"]["SweepRequestsPerSecond"]["Default"])
TIMEOUT = float(_TEMPLATE["Resources"]["SweepFunction"]["Properties"]["Timeout"])
DIGICERT_LIMIT = 1000 / 180  # calls a second ("Rate limits" page); the emulator enforces it, and 100 in 5 s

ORDERS = 180
# The worker and the sweep itself run in two environments, each with a bucket that is full at first; two batches empty
# them. What follows is the pace that holds.
BATCHES_NOT_COUNTED = 2
CALLS_OF_A_REMINDER = 3

MIN_RATIO = 0.95
MAX_PEAK_MB = 256
MAX_GROWTH = 1.2
MAX_LINKS = 10


class Targets:
    """What was aimed at, and whether it was hit."""

    def __init__(self) -> None:
        """None is missed yet."""
        self.missed = False

    def check(self, what: str, is_hit: bool) -> None:
        """Print the target and whether it is hit."""
        self.missed |= not is_hit
        print(f"  {'ok    ' if is_hit else 'MISSED'}  {what}", flush=True)


def measure_pace(stack: LocalStack, targets: Targets) -> None:
    """Have `ORDERS` orders reminded, and look at when each one was done."""
    print(f"Pace: {ORDERS} due orders, {PACE:g} calls/s configured, answers after 100 ms", flush=True)
    _only_orders(stack, {"count": ORDERS, "kind": "dv", "age_days": 1.5})
    stack.ask_emulator("faults", "POST", {"fault": "slow", "seconds": 0.1})
    stack.ask_emulator("calls", "DELETE")
    since = time.time()
    answer = stack.client("lambda").invoke(FunctionName=stack.sweep_function_alias, Payload='{"action": "sweep"}')
    summary = json.load(answer["Payload"])
    assert summary.get("enqueued") == ORDERS, summary
    _wait_until_empty(stack, 2 * ORDERS * CALLS_OF_A_REMINDER / PACE + 30)

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
  of the configured pace   {rate / PACE:.1%}
  of DigiCert's limit      {rate / DIGICERT_LIMIT:.1%} (1000 in 180 s)
  from one order to the next, median: {statistics.median(inside):.3f} s; across two batches: \
{statistics.median(between):.3f} s (longest {max(between):.3f} s)""")
    targets.check("every order is mailed, once", len(mailed) == len(lines) == ORDERS)
    targets.check("the calls counted are at least 60 s of work", seconds >= 60)
    targets.check("no 429", refused == 0)
    targets.check(f"at least {MIN_RATIO:.0%} of the configured pace", rate >= MIN_RATIO * PACE)
    targets.check("not above the configured pace", rate <= 1.01 * PACE)


def measure_memory(stack: LocalStack, targets: Targets) -> None:
    """Sweep over two lists, one ten times as long as the other; a tenth of each is due."""
    peaks = []
    for listed in (10_000, 100_000):
        due = listed // 10
        print(f"Memory: {listed} orders listed, {due} due", flush=True)
        _only_orders(
            stack,
            {"count": due, "kind": "dv", "age_days": 1.5, "apart_seconds": 0.3},
            {"count": listed - due, "kind": "dv", "age_days": 0.5, "apart_seconds": 0.3},
        )
        # A queue without a worker: this is about the sweep alone.
        queue = stack.client("sqs").create_queue(QueueName=f"bench-{listed}.fifo", Attributes={"FifoQueue": "true"})
        links: list[dict[str, Any]] = []
        event: dict[str, Any] | None = {"action": "sweep"}
        while event is not None and len(links) < MAX_LINKS:
            links.append(_one_sweep(stack, queue["QueueUrl"], event))
            event = next(iter(links[-1]["links"]), None)
        summary = links[-1]["summary"]
        peaks.append(max(link["peak_mb"] for link in links))
        seconds = [link["seconds"] for link in links]
        print(f"  peak memory {peaks[-1]:.1f} MB; {sum(seconds):.1f} s in {len(links)} invocation(s)")
        targets.check(
            f"the sweep ends, and all {due} are queued",
            event is None and summary["enqueued"] == _queued(stack, queue) == due,
        )
        targets.check(f"every invocation within {TIMEOUT:.0f} s", max(seconds) < TIMEOUT)
        targets.check(f"below {MAX_PEAK_MB} MB", peaks[-1] < MAX_PEAK_MB)
    print(f"Memory: ten times the orders take {peaks[1] / peaks[0]:.1%} of the memory")
    targets.check(f"at most {MAX_GROWTH:.0%}", peaks[1] <= MAX_GROWTH * peaks[0])


def _one_sweep(stack: LocalStack, queue_url: str, event: dict[str, Any]) -> dict[str, Any]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "AWS_ENDPOINT_URL": stack.aws_endpoint,
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": stack.region,
        "API_KEY_SECRET_ID": stack.secret,
        "CLAIMS_TABLE": stack.claims_table,
        "CERTCENTRAL_BASE_URL": f"{stack.emulator_url}/services/v2",
        "SWEEP_QUEUE_URL": queue_url,
        "SWEEP_REQUESTS_PER_SECOND": str(PACE),
    }
    command = [sys.executable, Path(__file__).with_name("one_sweep.py"), json.dumps(event), str(TIMEOUT)]
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT + 60, check=False, cwd=ROOT
    )
    measured = [line for line in ran.stdout.splitlines() if line.startswith("MEASURED ")]
    if not measured:
        raise StartError(f"The sweep failed:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(measured[0].removeprefix("MEASURED "))
    return result


def _only_orders(stack: LocalStack, *orders: dict[str, Any]) -> None:
    """Have these orders in the emulator, and no others that a sweep would find."""
    stack.ask_emulator("reset", "POST")
    for order in stack.ask_emulator("orders"):
        if order["status"] in ("pending", "reissue_pending"):
            stack.ask_emulator(f"orders/{order['id']}", "PATCH", {"status": "canceled"})
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
    return line.get("door") == "sqs" and line["outcome"] == "sent"


def _moment(line: dict[str, Any]) -> float:
    return datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z").timestamp()


def main() -> int:
    """The exit code: 0 when every target was hit."""
    targets = Targets()
    measures: list[Callable[[LocalStack, Targets], None]] = [measure_pace, measure_memory]
    try:
        with local_stack() as stack:
            for measure in measures:
                measure(stack, targets)
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130
    print("A target was missed." if targets.missed else "Every target was hit.")
    return 1 if targets.missed else 0


if __name__ == "__main__":
    sys.exit(main())
