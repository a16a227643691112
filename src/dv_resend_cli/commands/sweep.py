"""`dv-resend sweep`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import click

from dv_resend_cli.app import App
from dv_resend_cli.aws import goes_on_after_errors
from dv_resend_cli.errors import ExitCode
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output, counted
from dv_resend_cli.sweep import AuditLine, Reminders, describe, sweep


@subcommand
@click.option("--dry-run", is_flag=True, help="Only show which reminders would be queued.")
@click.option(
    "--offset",
    type=click.IntRange(0, 10_000_000),
    default=0,
    metavar="N",
    help="Go on where a sweep that ran out of time says.",
)
@click.option("--no-watch", is_flag=True, help="End when the reminders are queued.")
def command(app: App, *, dry_run: bool, offset: int, no_watch: bool) -> ExitCode:
    """Remind all pending orders that are due, and watch what becomes of each reminder.

    It shows stuck orders, too: those that reminders no longer help. Ctrl-C stops watching only; the reminders are sent
    all the same. A sweep may be repeated at any time: no reminder is sent twice.

    \b
    Examples:
      dv-resend sweep --dry-run
      dv-resend sweep
    """
    out = app.output
    watches = not (dry_run or no_watch)
    reminders = Reminders(app.session, app.stack) if watches else None
    with out.waiting("Sweeping: listing the pending orders"):
        summary = sweep(app, dry_run=dry_run, offset=offset)
    if reminders is None:
        out.show(summary, _write_plan if dry_run else _write_summary)
        return ExitCode.OK
    if not app.as_json:
        _write_summary(summary, out)
    watched = not summary["enqueued"] or _watch(reminders, summary["enqueued"], out)
    if app.as_json:
        out.document(summary | _to_json(reminders))
    elif summary["enqueued"]:
        _write_end(reminders, summary["enqueued"], out)
    if not watched:
        out.note("Stopped watching. The sweep goes on: the reminders that wait are sent one by one.")
        return ExitCode.INTERRUPTED
    is_unknown = any(line["outcome"] == "OutcomeUnknown" for line in reminders.outcomes.values())
    return ExitCode.UNKNOWN if is_unknown else ExitCode.OK


def _watch(reminders: Reminders, queued: int, out: Output) -> bool:
    """Show the reminders as they are dealt with; return whether that was to the end."""
    try:
        with goes_on_after_errors("The sweep itself is done: the reminders are sent one by one."):
            while True:
                with out.waiting("Watching the reminders; Ctrl-C stops watching only"):
                    lines = reminders.next_lines(queued)
                if not lines:
                    return True
                if not out.as_json:
                    _write_lines(lines, out)
    except KeyboardInterrupt:
        return False


def _write_plan(summary: Mapping[str, Any], out: Output) -> None:
    if summary["plan"]:
        rows = [[entry["order_id"], entry.get("name"), _reminder(entry.get("day"))] for entry in summary["plan"]]
        out.table(["ORDER", "NAME", "REMINDER"], rows)
        out.line()
    _write_summary(summary, out)


def _write_summary(summary: Mapping[str, Any], out: Output) -> None:
    statuses = ", ".join(f"{count} {status}" for status, count in summary["by_status"].items())
    out.line(f"{counted(summary['listed'], 'order')} listed" + (f": {statuses}" if statuses else ""))
    oldest = f", the oldest {summary['oldest_days']} d" if summary["oldest_days"] else ""
    out.line(f"{counted(summary['pending_dv'], 'pending DV order')}{oldest}")
    queued = "a dry run queues none" if "plan" in summary else f"{summary['enqueued']} queued"
    out.line(f"{counted(summary['due'], 'reminder')} due, {queued}", style="bold")
    if not summary["stuck"]:
        return
    ids = [str(order_id) for order_id in summary["stuck_orders"]]
    more = summary["stuck"] - len(ids)
    out.line(
        f"{counted(summary['stuck'], 'stuck order')}: {', '.join(ids)}{f' and {more} more' if more else ''}",
        style="yellow",
    )
    out.line(
        "Reminders no longer help there. Name another recipient, change the validation method, or cancel the order."
    )
    out.line("`dv-resend explain ORDER_ID` says what may help.")


def _write_lines(lines: Iterable[AuditLine], out: Output) -> None:
    for line in lines:
        style = {"sent": "green", "OutcomeUnknown": "red"}.get(line["outcome"], "")
        out.line(f"{line['order_id']}  {_reminder(line.get('reminder_day')):7}  {describe(line)}", style=style)


def _write_end(reminders: Reminders, queued: int, out: Output) -> None:
    """Say how the reminders ended, and what became of those that an earlier sweep had queued already."""
    left = queued - len(reminders.outcomes)
    if left > 0 and reminders.repeated:
        out.line("An earlier sweep has queued these in the last five minutes; SQS drops such repeats:")
        _write_lines(reminders.repeated, out)
        left -= len(reminders.repeated)
    counts = Counter(describe(line).partition(":")[0] for line in reminders.outcomes.values())
    said = ", ".join(
        f"{counts[what]} {what}" for what in ("sent", "not sent", "not sent yet", "unknown") if counts[what]
    )
    queue = f"{counted(reminders.waiting, 'reminder')} in the queue" if reminders.waiting else "The queue is empty"
    out.line(f"{queue}: {said or 'nobody was mailed'}", style="bold")
    if not reminders.waiting and left > 0:
        missing = f"The log does not say what became of {counted(left, 'reminder')}."
        out.line(f"{missing} The next sweep finds what was not sent.", style="yellow")


def _reminder(day: int | None) -> str:
    return "reissue" if day is None else f"day {day}"


def _to_json(reminders: Reminders) -> dict[str, Any]:
    names = ("order_id", "reminder_day", "outcome", "code", "timestamp")
    outcomes, repeated = (
        [{name: line[name] for name in names if name in line} for line in lines]
        for lines in (reminders.outcomes.values(), reminders.repeated)
    )
    return {"reminders": outcomes, "queued_earlier": repeated, "waiting": reminders.waiting}
