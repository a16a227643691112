"""One sweep over the emulator's orders: what was due, and what became of it.

The table tells what happened, not what should have: the audit lines of the worker, and the emulator's outbox.
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dev.local.processes import StartError
from dev.local.stack import LocalStack
from dev.local.steps import Steps, in_line

_OPEN = ("pending", "reissue_pending")
_ROWS = 40
_HEAD = ("ORDER", "NAME", "KIND", "STATUS", "AGE", "DUE", "WHAT HAPPENED")
# Should the line stop, its reminders wait for longer than anybody wants to look at a terminal.
_PATIENCE_SECONDS = 60

_SKIPPED = {
    "already_reminded": "not again: this reminder went out before",
    "duplicate": "not again: sent inside the cool-down",
    "not_due": "not due any more",
    "stuck": "stuck: a person must act",
}


def sweep(stack: LocalStack, steps: Steps, *, dry_run: bool = False) -> bool:
    """Sweep, wait until the reminders are worked off, and print the table; whether each one has an outcome."""
    orders = {order["id"]: order for order in stack.ask_emulator("orders") if order["status"] in _OPEN}
    mailed_before = {email["id"] for email in stack.ask_emulator("outbox")}
    planned = _invoke(stack, dry_run=True)
    plan = {reminder["order_id"]: reminder for reminder in planned["plan"]}
    stuck = set(planned["stuck_orders"])
    if dry_run:
        steps.step("planned: a sweep with dry_run, which sends nothing")
        what = dict.fromkeys(plan, "would be reminded, if its own GET agrees")
        _table(steps, orders, plan, stuck, what)
        steps.step(_summary(planned))
        return True

    since = time.time()
    summary = _invoke(stack)
    steps.step(f"swept: {summary['listed']} orders listed, {summary['enqueued']} reminders queued")
    waiting = _drain(stack)
    audit = {line["order_id"]: line for line in stack.audit_lines(since) if line.get("door") == "sqs"}
    emails: dict[int, list[str]] = {}
    for email in stack.ask_emulator("outbox"):
        if email["id"] not in mailed_before:
            emails.setdefault(email["order_id"], []).append(email["to"])
    steps.step(f"{waiting} reminders wait in the queue" if waiting else "worked off: the queue is empty")

    nothing = "waits in the queue" if waiting else "nothing: SQS drops what it was given within the last 5 minutes"
    what = {
        order_id: _outcome(audit[order_id], emails.get(order_id, [])) if order_id in audit else nothing
        for order_id in plan
    }
    _table(steps, orders, plan, stuck, what)
    sent = sum(line["outcome"] == "sent" for line in audit.values())
    mails = sum(map(len, emails.values()))
    steps.step(f"{_summary(summary)}  sent={sent}  not_sent={len(audit) - sent}  emails={mails}")
    return not waiting


def _invoke(stack: LocalStack, **options: Any) -> dict[str, Any]:
    payload = json.dumps({"action": "sweep", "requested_by": "local run", **options})
    answer = stack.client("lambda").invoke(FunctionName=stack.sweep_function_alias, Payload=payload)
    result: dict[str, Any] = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise StartError(f"The sweep failed with {result.get('errorType')}: {result.get('errorMessage')}")
    return result


def _drain(stack: LocalStack) -> int:
    """Wait for the worker; how many reminders are left."""
    sqs = stack.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        counts = sqs.get_queue_attributes(QueueUrl=stack.queue_url, AttributeNames=names)["Attributes"]
        left = sum(int(counts[name]) for name in names)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _table(
    steps: Steps,
    orders: Mapping[int, Mapping[str, Any]],
    plan: Mapping[int, Mapping[str, Any]],
    stuck: set[int],
    what: Mapping[int, str],
) -> None:
    rows = [_HEAD]
    for order_id, order in sorted(orders.items(), key=lambda item: item[1]["date_created"]):
        reminder = plan.get(order_id)
        if reminder is not None:
            due, said = f"day {reminder['day']}" if "day" in reminder else "reissue", what[order_id]
        elif order_id in stuck:
            due, said = "over", _SKIPPED["stuck"]
        elif order["product_type"] != "dv_ssl_certificate":
            due, said = "-", "not a DV order"
        else:
            due, said = "-", "none is due"
        age = f"{_days_since(order['date_created'])} d"
        if order["reissued_at"]:
            age += f", reissue {_days_since(order['reissued_at'])} d"
        rows.append((str(order_id), next(iter(order["names"])), order["kind"], order["status"], age, due, said))
    steps.table(rows[: _ROWS + 1])
    if len(rows) > _ROWS + 1:
        steps.detail(f"and {len(rows) - _ROWS - 1} more")


def _outcome(line: Mapping[str, Any], recipients: list[str]) -> str:
    outcome = str(line["outcome"])
    if outcome == "sent":
        return f"sent: {len(recipients)} emails, {recipients[0]} …" if recipients else "accepted, but nobody was mailed"
    if outcome == "OrderNotEligible":
        return f"skipped: {str(line['code']).partition('|')[2]}"
    return _SKIPPED.get(outcome, outcome)


def _summary(summary: Mapping[str, Any]) -> str:
    counted = ("listed", "pending_dv", "due", "enqueued", "stuck", "oldest_days", "by_status")
    return f"summary: {in_line({name: summary[name] for name in counted})}"


def _days_since(moment: str) -> int:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).days
