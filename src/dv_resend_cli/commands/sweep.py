"""`dv-resend sweep`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from dv_resend_cli.app import App
from dv_resend_cli.aws import goes_on_after_errors
from dv_resend_cli.domains import names
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output, counted
from dv_resend_cli.sweep import AuditLine, Reminders, describe, exit_code, sweep


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
    all the same. A sweep may be repeated at any time: no reminder is sent twice. The exit code is the highest of the
    reminders.

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
    queued = summary["enqueued"]
    try:
        if not app.as_json:
            _write_summary(summary, out)
        if queued:
            _watch(reminders, queued, out)
    except KeyboardInterrupt:
        if app.as_json:
            out.document(summary | _to_json(reminders, []))
        out.note("Stopped watching. The sweep goes on: the reminders that wait are sent one by one.")
        return ExitCode.INTERRUPTED
    except Failure as failure:
        if not app.as_json:
            raise
        out.document(summary | _to_json(reminders, []) | {"error": failure.to_json()})
        return failure.exit_code
    repeats = reminders.repeats(queued)
    if app.as_json:
        out.document(summary | _to_json(reminders, repeats))
    elif queued:
        _write_end(reminders, repeats, queued, out)
    return max(map(exit_code, reminders.outcomes.values()), default=ExitCode.OK)


def _watch(reminders: Reminders, queued: int, out: Output) -> None:
    """Show the reminders as they are dealt with, until the queue is empty."""
    with goes_on_after_errors("The sweep itself is done: its reminders are in the queue."):
        while True:
            waiting = f"{counted(reminders.waiting or queued, 'reminder')} in the queue"
            with out.waiting(f"{waiting}; Ctrl-C stops watching only"):
                lines = reminders.next_lines(queued)
            if not lines:
                return
            if not out.as_json:
                _write_lines(lines, out)


def _write_plan(summary: Mapping[str, Any], out: Output) -> None:
    if summary["plan"]:
        rows = [[entry["order_id"], entry["name"], _reminder(entry.get("day"))] for entry in summary["plan"]]
        out.table(["ORDER", "NAME", "REMINDER"], rows)
        if (more := summary["due"] - len(rows)) > 0:
            out.line(f"and {more} more")
        out.line()
    _write_summary(summary, out)


def _write_summary(summary: Mapping[str, Any], out: Output) -> None:
    statuses = ", ".join(f"{count} {status}" for status, count in summary["by_status"].items())
    out.line(f"{counted(summary['listed'], 'order')} listed" + (f": {statuses}" if statuses else ""))
    oldest = f", the oldest {summary['oldest_days']} d" if summary["oldest_days"] else ""
    others = f" and {summary['pending_other']} of other types" if "pending_other" in summary else ""
    out.line(f"{counted(summary['pending_dv'], 'pending DV order')}{others}{oldest}")
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
        domains = f" ({names(line['domains'])})" if "domains" in line else ""
        out.line(f"{line['order_id']}  {_reminder(line.get('reminder_day')):7}  {describe(line)}{domains}", style=style)


def _write_end(reminders: Reminders, repeats: Sequence[AuditLine], queued: int, out: Output) -> None:
    """Say how the reminders ended, and what became of those that an earlier sweep had queued already."""
    if repeats:
        out.line("An earlier sweep has queued these in the last five minutes, and SQS drops a repeat:")
        _write_lines(repeats, out)
    counts = Counter(describe(line).partition(":")[0] for line in reminders.outcomes.values())
    said = ", ".join(
        f"{counts[what]} {what}" for what in ("sent", "not sent", "not sent yet", "unknown") if counts[what]
    )
    # The lines of an earlier sweep may just have said which domains were mailed.
    nobody = "this sweep mailed nobody" if any("domains" in line for line in repeats) else "nobody was mailed"
    out.line(f"The queue is empty: {said or nobody}", style="bold")
    missing = queued - len(reminders.outcomes) - len(repeats)
    if missing > 0:
        text = f"The log does not say what became of {counted(missing, 'reminder')}."
        out.line(f"{text} The next sweep finds what was not sent.", style="yellow")


def _reminder(day: int | None) -> str:
    return "reissue" if day is None else f"day {day}"


def _to_json(reminders: Reminders, repeats: Sequence[AuditLine]) -> dict[str, Any]:
    fields = ("order_id", "reminder_day", "outcome", "code", "domains", "timestamp")
    outcomes, earlier = (
        [{name: line[name] for name in fields if name in line} for line in lines]
        for lines in (reminders.outcomes.values(), repeats)
    )
    return {"reminders": outcomes, "queued_earlier": earlier, "waiting": reminders.waiting}
