"""One sweep of the emulator's orders: which reminders were due, and what happened to them.

The table shows what really happened, from the worker's audit lines and the emulator's outbox.
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dev.local.processes import StartError
from dev.local.stack import LocalStack
from dev.local.steps import Steps, counted, in_line

_OPEN = ("pending", "reissue_pending")
_ROWS = 40
_HEAD = ("ORDER", "NAME", "KIND", "STATUS", "AGE", "DUE")
# If an account-wide error pauses the queue, reminders wait for longer than this.
_MAX_WAIT_SECONDS = 60

_SKIPPED = {
    "already_reminded": "not sent: this reminder was dealt with before",
    "already_mailed": "not sent: somebody was mailed within 20 hours",
    "not_due": "not sent: not due",
    "missed": "not sent: it waited until it was no longer due",
    "stuck": "stuck: needs attention",
}

_REASONS = {"not_email_dcv": "validated by another method than email", "already_validated": "already validated"}


def sweep(stack: LocalStack, steps: Steps, *, dry_run: bool = False) -> bool:
    """Sweep, wait until the queue is drained, and print the table; return whether each reminder has an outcome."""
    orders = {order["id"]: order for order in stack.ask_emulator("orders") if order["status"] in _OPEN}
    mailed_before = {email["id"] for email in stack.ask_emulator("outbox")}
    planned = _invoke(stack, dry_run=True)
    plan = {reminder["order_id"]: reminder for reminder in planned["plan"]}
    stuck = set(planned["stuck_orders"])
    if dry_run:
        steps.step("dry run of a sweep; nothing is sent:")
        what = dict.fromkeys(plan, "would be checked, then reminded")
        _table(steps, orders, plan, stuck, what, "WHAT WOULD HAPPEN")
        steps.step(_summary(planned))
        return True

    since = time.time()
    summary = _invoke(stack)
    steps.step(
        f"sweep: {counted(summary['listed'], 'order')} listed, {counted(summary['enqueued'], 'reminder')} queued"
    )
    waiting = _drain(stack)
    audit = {line["order_id"]: line for line in stack.audit_lines(since) if line.get("event_source") == "queue"}
    emails: dict[int, list[str]] = {}
    for email in stack.ask_emulator("outbox"):
        if email["id"] not in mailed_before:
            emails.setdefault(email["order_id"], []).append(email["to"])
    steps.step(f"{counted(waiting, 'reminder')} still in the queue" if waiting else "queue drained")

    nothing = "still in the queue" if waiting else "not sent: SQS drops a message that was queued within 5 minutes"
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
    """Wait until the queue is drained; return how many reminders are left."""
    sqs = stack.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + _MAX_WAIT_SECONDS
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
    heading: str = "WHAT HAPPENED",
) -> None:
    rows: list[tuple[str, ...]] = [(*_HEAD, heading)]
    for order_id, order in sorted(orders.items(), key=lambda item: item[1]["date_created"]):
        reminder = plan.get(order_id)
        if reminder is not None:
            due, said = f"day {reminder['day']}" if "day" in reminder else "reissue", what[order_id]
        elif order_id in stuck:
            due, said = "past", _SKIPPED["stuck"]
        elif order["product_type"] != "dv_ssl_certificate":
            due, said = "-", "not a DV order"
        else:
            due, said = "-", "no reminder due"
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
        return (
            f"sent: {counted(len(recipients), 'email')}, {recipients[0]} …"
            if recipients
            else "accepted, but no email was sent"
        )
    if outcome == "OrderNotEligible":
        reason = str(line["code"]).partition("|")[2]
        return f"not sent: {_REASONS.get(reason, reason)}"
    return _SKIPPED.get(outcome, outcome)


def _summary(summary: Mapping[str, Any]) -> str:
    counted = ("listed", "pending_dv", "due", "enqueued", "stuck", "oldest_days", "by_status")
    return f"summary: {in_line({name: summary[name] for name in counted})}"


def _days_since(moment: str) -> int:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).days
