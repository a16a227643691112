"""`python -m dev.soak`: the deployed stack under mixed calls and random faults, then the log against the outbox.

`SECONDS` (600) is how long it is called, `SEED` (chosen, and shown) decides what is asked and what breaks. In between,
two hundred callers come at once, the key is rotated, and CertCentral is restarted. Exits with 1 if the sides differ.
"""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

from dev.emulator import CertCentralEmulator
from dev.local.processes import StartError
from dev.local.stack import LocalStack, generate_key, local_stack
from dev.local.steps import Steps
from dev.soak.callers import Callers, Orders
from dev.soak.reckoning import UNKNOWN, Reckoning, reckon
from dev.soak.upstream import Upstream, random_fault

CALLERS = 5
CALLERS_AT_ONCE = 200
ORDERS_AT_ONCE = 50
# With the callers' pauses about ten calls a second: more would measure this machine.
MAX_PAUSE_SECONDS = 0.8
SECONDS_WITHOUT_FAULTS = 0.15  # of the whole, at the end: what waits, such as the queue, is then worked off
SETTLE_SECONDS = 150
EVENTS_AT_ONCE = 10_000  # of a log, in one answer
SHOWN = 20


def main() -> int:
    """Soak, print both sides, and say by the exit code whether they agree."""
    seconds = float(os.environ.get("SECONDS") or 600)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    steps, key = Steps(), generate_key()
    steps.step(f"soak of {seconds:.0f} s with SEED={seed}")
    parameters = {"CertCentralTimeoutSeconds": "1", "SweepRequestsPerSecond": "5"}
    try:
        with (
            closing(Upstream(key)) as upstream,
            CertCentralEmulator() as names,
            local_stack(
                api_key=key,
                certcentral_url=upstream.base_url,
                parameters=parameters | {"DnsServers": names.dns_server},
                # An hour that a chase waits is 0.4 s.
                wait_scale=0.0001,
                on_step=steps.step,
            ) as stack,
        ):
            return Soak(stack, upstream, key, seconds, seed, steps).run()
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


class Soak:
    """One soak of a stack that is up."""

    def __init__(
        self, stack: LocalStack, upstream: Upstream, key: str, seconds: float, seed: int, steps: Steps
    ) -> None:
        self._stack, self._upstream, self._steps, self._seconds = stack, upstream, steps, seconds
        self._keys = [key]
        # One for each kind of choice, so that what is chosen does not hang on the pace of the others.
        self._faults, of_orders, of_callers, self._pauses = (
            random.Random(f"{seed} {what}")  # noqa: S311 - no secrets
            for what in ("faults", "orders", "callers", "pauses")
        )
        self._orders = Orders(upstream, of_orders)
        self._callers = Callers(stack, self._orders, of_callers)
        self._over = threading.Event()
        self._logs, self._sqs, self._states = (stack.client(name) for name in ("logs", "sqs", "stepfunctions"))

    def run(self) -> int:
        """Call, break and mend; wait until all is done; compare."""
        with self._called_meanwhile():
            started = time.monotonic()
            for share, event in (
                (0.25, self._many_at_once),
                (0.45, self._rotate_key),
                (0.65, self._restart),
                (1 - SECONDS_WITHOUT_FAULTS, lambda: self._steps.step("no more faults")),
            ):
                self._break_until(started + share * self._seconds)
                event()
            self._upstream.mend()
            time.sleep(max(0.0, started + self._seconds - time.monotonic()))
        self._settle()
        return self._judge()

    @contextmanager
    def _called_meanwhile(self) -> Iterator[None]:
        def call() -> None:
            while not self._over.wait(self._pauses.uniform(0, MAX_PAUSE_SECONDS)):
                self._callers.call()

        with ThreadPoolExecutor(CALLERS) as pool:
            calling = [pool.submit(call) for _ in range(CALLERS)]
            try:
                yield
            finally:
                self._over.set()
        for caller in calling:
            caller.result()

    def _break_until(self, end: float) -> None:
        while time.monotonic() < end:
            self._upstream.break_by(random_fault(self._faults))
            time.sleep(self._faults.uniform(0.5, 2.5))

    def _many_at_once(self) -> None:
        orders = [self._orders.new() for _ in range(ORDERS_AT_ONCE)]
        all_there = threading.Barrier(CALLERS_AT_ONCE)

        def call(place: int) -> None:
            door = (self._callers.http, self._callers.direct)[place % 2]
            all_there.wait()
            # AWS runs so many at a time, and turns the others away; callers then try again.
            while not door(orders[place // 2 % ORDERS_AT_ONCE]):
                time.sleep(0.2)

        self._callers.is_crowded = True
        time.sleep(1)  # until the last event before has arrived
        with ThreadPoolExecutor(CALLERS_AT_ONCE) as pool:
            list(pool.map(call, range(CALLERS_AT_ONCE)))
        self._callers.is_crowded = False
        self._steps.step(f"{CALLERS_AT_ONCE} calls at once, about {ORDERS_AT_ONCE} orders")

    def _rotate_key(self) -> None:
        old, new = self._keys[-1], generate_key()
        self._keys.append(new)
        self._upstream.set_key(new, "valid")
        self._stack.client("secretsmanager").put_secret_value(
            SecretId=self._stack.secret, SecretString=json.dumps({"api_key": new})
        )
        self._upstream.set_key(old, "revoked")
        self._steps.step("the key is rotated: the new one is in the secret, the old one revoked")

    def _restart(self) -> None:
        self._upstream.restart()
        self._steps.step("CertCentral was restarted")

    def _settle(self) -> None:
        """Wait until nothing is under way any more: queue, executions, and what Lambda delivers again."""
        self._steps.step("no more calls")
        calls_ended_at, deadline = time.time(), time.monotonic() + SETTLE_SECONDS
        seen, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            count = len(self._messages(since=calls_ended_at - 60))
            if count != seen or self._waiting() or self._running():
                seen, since = count, time.monotonic()
            elif time.monotonic() - since > 8:
                break
            time.sleep(1)
        self._steps.step("settled" if time.monotonic() < deadline else f"not settled after {SETTLE_SECONDS} s")

    def _waiting(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._stack.queue_url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def _running(self) -> int:
        statuses = [self._states.describe_execution(executionArn=arn)["status"] for arn in self._callers.executions]
        return statuses.count("RUNNING")

    def _messages(self, since: float = 0) -> list[str]:
        """What is in the log, from then on (epoch seconds)."""
        found: dict[tuple[str, int, str], None] = {}
        for log_group in self._stack.log_groups:
            start, is_more = int(since * 1000), True
            while is_more:
                # The local AWS answers with the first of them, and does not say that there are more.
                events = self._logs.filter_log_events(logGroupName=log_group, startTime=start)["events"]
                found |= {(event["logStreamName"], event["timestamp"], event["message"]): None for event in events}
                is_more = len(events) >= EVENTS_AT_ONCE
                start = max(events[-1]["timestamp"], start + 1) if events else start
        return [message for _, _, message in found]

    def _lines(self) -> list[dict[str, Any]]:
        """What the functions wrote before and after sending, in the order of time."""
        found = [json.loads(text) for text in self._messages() if '"function_request_id"' in text]
        lines = [line for line in found if line.get("message") in ("sending", "audit")]
        return sorted(lines, key=lambda line: line["timestamp"])

    def _judge(self) -> int:
        result = reckon(self._lines(), self._upstream.mailings, self._callers.told)
        result.differences += self._secrets_shown()
        self._show(result)
        return 1 if result.differences else 0

    def _secrets_shown(self) -> list[str]:
        items = str(self._stack.client("dynamodb").scan(TableName=self._stack.claims_table)["Items"])
        shown: list[tuple[str, Callable[[], bool]]] = [
            ("a key stands in the log", lambda: any(key in text for text in self._messages() for key in self._keys)),
            ("a key stands in the claims", lambda: any(key in items for key in self._keys)),
            ("an address stands in the claims", lambda: "@" in items),
        ]
        return [text for text, is_shown in shown if is_shown()]

    def _show(self, result: Reckoning) -> None:
        callers = self._callers
        outcomes = dict(result.outcomes.most_common())
        good = {name: outcomes.pop(name) for name in list(outcomes) if name[0].islower()}
        unknown = outcomes.pop(UNKNOWN, 0)
        attempts = result.unknown_mailed + result.unknown_not_mailed
        rows = [
            ("requests", callers.asked.total()),
            *((f"  by {door}", count) for door, count in callers.asked.most_common()),
            ("  without an answer of the function", callers.failures.total()),
            *((f"    {failure}", count) for failure, count in callers.failures.most_common()),
            ("calls in the log", result.outcomes.total()),
            *((f"  through {door}", count) for door, count in result.doors.most_common()),
            *((f"  {outcome}", count) for outcome, count in good.items()),
            ("  failed", sum(outcomes.values())),
            *((f"    {outcome}", count) for outcome, count in outcomes.items()),
            ("  unknown", unknown),
            ("    and so again for a repeat", unknown - attempts + result.unended),
            ("    without an end", result.unended),
            ("the log says: sent", result.sent),
            ("and unknown, of which were mailed", result.unknown_mailed),
            ("                    were not mailed", result.unknown_not_mailed),
            ("LOG     sent, or unknown and mailed", result.sent + result.unknown_mailed),
            ("OUTBOX  mailed", result.mailings),
        ]
        for name, figure in rows:
            self._steps.detail(f"{name:<44}{figure:>8}")
        for doubt in sorted(result.doubts):
            self._steps.detail(f"unknown  {doubt}")
        if waiting := self._waiting():
            self._steps.detail(f"{waiting} reminders still wait in the queue, which was held back")
        for difference in result.differences[:SHOWN]:
            self._steps.detail(f"DIFFERENCE  {difference}")
        agree = "both sides agree" if not result.differences else f"{len(result.differences)} differences"
        self._steps.step(agree)


if __name__ == "__main__":
    sys.exit(main())
