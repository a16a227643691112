"""`dv-resend history`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import click

from dv_resend_cli.app import App
from dv_resend_cli.audit_log import SENDING, history, read_lines
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output
from dv_resend_cli.parameters import PERIOD, order_id_argument
from dv_resend_cli.plan import mailed

_NOTHING_SENT = "nothing sent now"


@subcommand
@order_id_argument
@click.option("--since", type=PERIOD, default="30d", show_default=True, help="How far back, such as 90m, 12h or 30d.")
def command(app: App, order_id: int, since: timedelta) -> None:
    """Show who was mailed about ORDER_ID, when, and by whom, from the logs of both functions.

    Addresses are masked, as in the logs. The outcome `sent` is an email. OutcomeUnknown may be one, and so may
    `sending`: that call was killed while it was sending, or it still runs. An order that is not DV has a line for each
    domain. What another order with the same domain has caused is in the history of that order; docs/command.md says how
    to find it. Lines reach the logs within a minute.

    \b
    Examples:
      dv-resend history 123456789
      dv-resend history 123456789 --since 12h
    """
    start = datetime.now(UTC) - since
    log_groups = (app.stack.log_group_name, app.stack.sweep_log_group_name)
    with app.output.waiting(f"Searching the logs for order {order_id}"):
        entries = history(read_lines(app.session, log_groups, order_id, start), start)
    answer = {"order_id": order_id, "since": start.strftime("%Y-%m-%dT%H:%M:%SZ"), "entries": entries}
    app.output.show(answer, _write)


def _write(answer: Mapping[str, Any], out: Output) -> None:
    entries = answer["entries"]
    if not entries:
        out.line(f"The logs have nothing about order {answer['order_id']} since {answer['since']}.")
        return
    # A line that sums up a call would show its emails twice.
    shown = [entry for entry in entries if "domains" not in entry] or entries
    columns: dict[str, Callable[[Mapping[str, Any]], object]] = {
        "TIME": itemgetter("at"),
        "OUTCOME": _outcome,
        "DOMAIN": lambda entry: entry.get("domain"),
        "RECIPIENTS": _recipients,
        "SOURCE": lambda entry: entry.get("event_source"),
        "CALLER": _caller,
    }
    if not any("domain" in entry for entry in shown):
        del columns["DOMAIN"]
    out.table([*columns], [[cell(entry) for cell in columns.values()] for entry in shown])
    if any(entry["outcome"] == SENDING for entry in entries):
        out.line("sending: no outcome was logged. The call was killed or still runs, so its email may have been sent.")
    if any("nothing_sent" in entry for entry in shown):
        out.line(f"{_NOTHING_SENT}: an earlier email about the domain, perhaps for another order, is in doubt.")


def _outcome(entry: Mapping[str, Any]) -> str:
    facts = [
        "dry run" if entry.get("dry_run") else "",
        "forced" if entry.get("force") else "",
        f"reminder of day {entry['reminder_day']}" if "reminder_day" in entry else "",
        _NOTHING_SENT if "nothing_sent" in entry else entry.get("code") or "",
    ]
    told = ", ".join(filter(None, facts))
    return f"{entry['outcome']} ({told})" if told else str(entry["outcome"])


def _recipients(entry: Mapping[str, Any]) -> str | None:
    skipped = f"; skipped: {', '.join(entry['skipped'])}" if entry.get("skipped") else ""
    return mailed(entry["recipients"]) + skipped if "recipients" in entry else None


def _caller(entry: Mapping[str, Any]) -> str | None:
    caller, requested_by = entry.get("caller"), entry.get("requested_by")
    return f"{caller}, for {requested_by}" if caller and requested_by not in (None, caller) else caller or requested_by
