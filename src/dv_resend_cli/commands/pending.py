"""`dv-resend pending`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from dv_resend_cli.app import App
from dv_resend_cli.errors import ExitCode
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output, counted

_COLUMNS = ("order_id", "name", "status", "age_days", "reminder")


@subcommand
@click.option("--stuck", is_flag=True, help="Only orders that reminders no longer help.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
def command(app: App, *, stuck: bool, as_csv: bool) -> ExitCode:
    """List the pending orders, oldest first, with what the next sweep does about each. Sends nothing.

    It lists DV orders, and with OrderTypes=all those of all other types, too. If the function runs out of time, the
    list is incomplete, and the exit code 4.

    \b
    Examples:
      dv-resend pending --stuck
      dv-resend pending --csv > pending.csv
    """
    if as_csv and app.as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    with app.output.waiting("Listing the pending orders"):
        answer = app.functions.pending()
    if stuck:
        answer = answer | {"orders": [order for order in answer["orders"] if order["reminder"] == "stuck"]}
    serves_all = app.stack.parameters.get("OrderTypes") == "all"
    app.output.show(answer, _write_csv if as_csv else partial(_write, serves_all=serves_all))
    if answer["more"]:
        app.output.note(f"The list is cut: {answer['more']} more pending orders are not in it.")
    if not answer["complete"]:
        app.output.note("The list is incomplete: the function ran out of time.")
        return ExitCode.RETRYABLE
    return ExitCode.OK


def _write(answer: Mapping[str, Any], out: Output, *, serves_all: bool) -> None:
    orders = answer["orders"]
    if orders:
        rows = [[order["order_id"], order["name"], order["status"], _age(order), order["reminder"]] for order in orders]
        out.table(["ORDER", "NAME", "STATUS", "AGE", "REMINDER"], rows)
    not_listed = "" if serves_all else f"; not listed: {answer['other_products']} of other products"
    out.line(f"{counted(len(orders), 'order')}{not_listed}")


def _age(order: Mapping[str, Any]) -> str | None:
    return None if order["age_days"] is None else f"{order['age_days']} d"


def _write_csv(answer: Mapping[str, Any], out: Output) -> None:
    out.csv([_COLUMNS, *([order[name] for name in _COLUMNS] for order in answer["orders"])])
