"""`make soak`: the deployed stack under mixed calls and random faults, then a comparison of log and outbox.

`SECONDS` (600) is how long the calls go on. `SEED` (random, and printed) decides what is called and which faults occur.
Meanwhile two hundred callers call at once, the key is rotated, and CertCentral is restarted. For as long again,
`dv-resend bulk` resends up to 500 other orders, one a second, within DigiCert's request limits. The exit code is 1 if
log and outbox disagree.
"""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from dev.emulator import CertCentralEmulator
from dev.local.processes import exit_code
from dev.local.stack import LocalStack, generate_key, local_stack
from dev.local.steps import Steps
from dev.soak import upstream
from dev.soak.bulk import MAX_ORDERS, run_bulk
from dev.soak.callers import Callers, Orders
from dev.soak.reconcile import UNKNOWN, Reconciliation, reconcile

CALLERS = 5
CALLERS_AT_ONCE = 200
ORDERS_AT_ONCE = 50
# With these pauses, the callers make about ten calls a second. More would test this machine instead.
MAX_PAUSE_SECONDS = 0.8
SHARE_WITHOUT_FAULTS = 0.15  # at the end, so that the queue can be drained
SETTLE_SECONDS = 150
# A call logs nothing while CertCentral drips, for up to the function's 29 s.
QUIET_SECONDS = 32
MAX_LOG_EVENTS = 10_000  # in one response
MAX_SHOWN = 20


def main() -> int:
    """Soak, and print both sides; return exit code 0 if they agree."""
    seconds = float(os.environ.get("SECONDS") or 600)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    steps, key = Steps(), generate_key()
    steps.step(f"soak: {seconds:.0f} s with SEED={seed}")
    parameters = {"CertCentralTimeoutSeconds": "1", "SweepRequestsPerSecond": "5", "OrderTypes": "all"}
    with (
        upstream.start(key) as emulator,
        local_stack(
            api_key=key,
            certcentral_url=emulator.base_url,
            parameters=parameters | {"DnsServers": emulator.dns_server},
            # An hour that a chase waits is 0.4 s.
            wait_scale=0.0001,
            on_step=steps.step,
        ) as stack,
    ):
        return Soak(stack, emulator, key, seconds, seed, steps).run()


class Soak:
    """One soak of a running stack."""

    def __init__(
        self, stack: LocalStack, emulator: CertCentralEmulator, key: str, seconds: float, seed: int, steps: Steps
    ) -> None:
        self._stack, self._emulator, self._steps, self._seconds = stack, emulator, steps, seconds
        self._keys = [key]
        # One for each kind of choice, so that a choice does not depend on the timing of the others.
        self._faults, of_orders, of_callers, self._pauses = (
            random.Random(f"{seed} {what}")  # noqa: S311 - no secrets
            for what in ("faults", "orders", "callers", "pauses")
        )
        self._orders = Orders(emulator, of_orders)
        self._callers = Callers(stack, self._orders, of_callers)
        self._differences: list[str] = []
        self._over = threading.Event()
        self._logs, self._sqs, self._states = (stack.client(name) for name in ("logs", "sqs", "stepfunctions"))

    def run(self) -> int:
        """Make calls and faults, wait until everything has ended, compare."""
        with self._background_calls():
            started = time.monotonic()
            for share, event in (
                (0.25, self._many_at_once),
                (0.45, self._rotate_key),
                (0.65, self._restart),
                (1 - SHARE_WITHOUT_FAULTS, lambda: self._steps.step("no more faults from here on")),
            ):
                self._inject_faults_until(started + share * self._seconds)
                event()
            self._emulator.clear_faults()
            time.sleep(max(0.0, started + self._seconds - time.monotonic()))
        self._settle()
        self._bulk()
        return self._compare()

    @contextmanager
    def _background_calls(self) -> Iterator[None]:
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

    def _inject_faults_until(self, end: float) -> None:
        while time.monotonic() < end:
            self._emulator.inject(upstream.random_fault(self._faults))
            time.sleep(self._faults.uniform(0.5, 2.5))

    def _many_at_once(self) -> None:
        orders = [self._orders.new() for _ in range(ORDERS_AT_ONCE)]
        all_there = threading.Barrier(CALLERS_AT_ONCE)

        def call(number: int) -> None:
            resend = (self._callers.http, self._callers.direct)[number % 2]
            all_there.wait()
            # Lambda throttles the calls beyond its concurrency limit, and callers retry.
            while not resend(orders[number // 2 % ORDERS_AT_ONCE]):
                time.sleep(0.2)

        self._callers.is_crowded = True
        time.sleep(1)  # until the last event has arrived
        with ThreadPoolExecutor(CALLERS_AT_ONCE) as pool:
            list(pool.map(call, range(CALLERS_AT_ONCE)))
        self._callers.is_crowded = False
        self._steps.step(f"{CALLERS_AT_ONCE} simultaneous calls about {ORDERS_AT_ONCE} orders")

    def _rotate_key(self) -> None:
        old, new = self._keys[-1], generate_key()
        self._keys.append(new)
        self._emulator.set_key(new, "valid")
        self._stack.client("secretsmanager").put_secret_value(
            SecretId=self._stack.secret, SecretString=json.dumps({"api_key": new})
        )
        self._emulator.set_key(old, "revoked")
        self._steps.step("the key was rotated: the secret has the new one, and the old one is revoked")

    def _restart(self) -> None:
        self._emulator.restart(upstream.SECONDS_AWAY)
        self._steps.step("CertCentral was restarted")

    def _bulk(self) -> None:
        order_ids = [self._orders.new() for _ in range(max(1, min(MAX_ORDERS, int(self._seconds))))]
        self._steps.step(f"dv-resend bulk with {len(order_ids)} orders, which is killed in the middle and run again")
        told, self._differences = run_bulk(self._stack, self._emulator, order_ids)
        self._callers.told += told
        self._callers.asked["bulk"] += len(order_ids)

    def _settle(self) -> None:
        """Wait until nothing is running any more: queue, executions, and Lambda's retries."""
        self._steps.step("no more calls")
        last_call_at, deadline = time.time(), time.monotonic() + SETTLE_SECONDS
        seen, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            count = len(self._messages(since=last_call_at - 60))
            if count != seen or self._waiting() or self._running():
                seen, since = count, time.monotonic()
            elif time.monotonic() - since > QUIET_SECONDS:
                break
            time.sleep(1)
        self._steps.step(
            "everything has ended" if time.monotonic() < deadline else f"not everything ended within {SETTLE_SECONDS} s"
        )

    def _waiting(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._stack.queue_url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def _running(self) -> int:
        statuses = [self._states.describe_execution(executionArn=arn)["status"] for arn in self._callers.executions]
        return statuses.count("RUNNING")

    def _messages(self, since: float = 0) -> list[str]:
        """Return the log's messages since then (epoch seconds)."""
        found: dict[tuple[str, int, str], None] = {}
        for log_group in self._stack.log_groups:
            start, is_more = int(since * 1000), True
            while is_more:
                # The local AWS returns the first ones, and does not say that there are more.
                events = self._logs.filter_log_events(logGroupName=log_group, startTime=start)["events"]
                found |= {(event["logStreamName"], event["timestamp"], event["message"]): None for event in events}
                is_more = len(events) >= MAX_LOG_EVENTS
                start = max(events[-1]["timestamp"], start + 1) if events else start
        return [message for _, _, message in found]

    def _lines(self) -> list[dict[str, Any]]:
        """Return what the functions logged before and after each PUT, oldest first."""
        found = [json.loads(text) for text in self._messages() if '"function_request_id"' in text]
        lines = [line for line in found if line.get("message") in ("sending", "audit")]
        return sorted(lines, key=lambda line: line["timestamp"])

    def _compare(self) -> int:
        result = reconcile(self._lines(), upstream.mailings(self._emulator), self._callers.told)
        result.differences += self._differences + self._leaks()
        self._show(result)
        return 1 if result.differences else 0

    def _leaks(self) -> list[str]:
        items = str(self._stack.client("dynamodb").scan(TableName=self._stack.send_records_table)["Items"])
        checks: list[tuple[str, Callable[[], bool]]] = [
            ("a key is in the log", lambda: any(key in text for text in self._messages() for key in self._keys)),
            ("a key is in the send records", lambda: any(key in items for key in self._keys)),
            ("an address is in the send records", lambda: "@" in items),
        ]
        return [leak for leak, has_leaked in checks if has_leaked()]

    def _show(self, result: Reconciliation) -> None:
        callers = self._callers
        outcomes = dict(result.outcomes.most_common())
        good = {name: outcomes.pop(name) for name in list(outcomes) if name[0].islower()}
        unknown = outcomes.pop(UNKNOWN, 0)
        attempts = result.unknown_mailed + result.unknown_not_mailed
        rows = [
            ("requests", callers.asked.total()),
            *((f"  {how}", count) for how, count in callers.asked.most_common()),
            ("  without an answer from the function", callers.failures.total()),
            *((f"    {failure}", count) for failure, count in callers.failures.most_common()),
            ("calls in the log", result.outcomes.total()),
            *((f"  event source {name}", count) for name, count in result.event_sources.most_common()),
            *((f"  {outcome}", count) for outcome, count in good.items()),
            ("  failed", sum(outcomes.values())),
            *((f"    {outcome}", count) for outcome, count in outcomes.items()),
            ("  unknown", unknown),
            ("    of which repeats, without an attempt", unknown - attempts + result.unended),
            ("    attempts that never ended", result.unended),
            ("attempts logged as sent", result.sent),
            ("attempts with unknown outcome, mailed", result.unknown_mailed),
            ("attempts with unknown outcome, not mailed", result.unknown_not_mailed),
            ("LOG     sent, or unknown and mailed", result.sent + result.unknown_mailed),
            ("OUTBOX  mailed", result.mailings),
            ("people mailed, by order or domain", result.people),
            ("  more than once, by force", result.people_again),
        ]
        for name, figure in rows:
            self._steps.detail(f"{name:<44}{figure:>8}")
        for unknown_outcome in sorted(result.unknowns):
            self._steps.detail(f"unknown  {unknown_outcome}")
        if waiting := self._waiting():
            self._steps.detail(f"{waiting} reminders are still in the queue")
        for difference in result.differences[:MAX_SHOWN]:
            self._steps.detail(f"DIFFERENCE  {difference}")
        agree = "log and outbox agree" if not result.differences else f"{len(result.differences)} differences"
        self._steps.step(agree)


if __name__ == "__main__":
    sys.exit(exit_code(main))
