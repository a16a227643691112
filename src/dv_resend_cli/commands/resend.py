"""`dv-resend resend`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from dv_resend_cli.app import App
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output
from dv_resend_cli.parameters import (
    Recipient,
    in_options,
    locale_option,
    order_id_argument,
    recipients_option,
    request_fields,
)
from dv_resend_cli.plan import mailed, write_domains, write_plan, write_skipped


@subcommand
@order_id_argument
@recipients_option
@locale_option
@click.option("--force", is_flag=True, help="Mail again, also inside the cool-down.")
@click.option("--dry-run", is_flag=True, help="Only show what would happen.")
def command(
    app: App, order_id: int, recipients: tuple[Recipient, ...], locale: str | None, *, force: bool, dry_run: bool
) -> ExitCode:
    """Send the validation emails of ORDER_ID again.

    Without --to, DigiCert mails its default recipients. --to may be given several times; EMAIL_DOMAIN is needed if the
    address is at a parent of the domain. Nobody is mailed twice inside the cool-down, unless it is forced. A forced
    call that is a duplicate all the same ends with exit code 3. An order that is not DV (OrderTypes=all) is sent domain
    by domain; after an error, the same command sends the rest.

    \b
    Examples:
      dv-resend resend 123456789
      dv-resend resend 123456789 --to example.com=admin@example.com
      dv-resend resend 123456789 --to sub.example.com=admin@example.com:example.com --dry-run
    """
    request = request_fields(order_id, recipients, locale) | {"dry_run": dry_run, "force": force}
    with app.output.waiting(f"Resending order {order_id}" if not dry_run else f"Looking at order {order_id}"):
        try:
            result = app.functions.resend(request)
        except Failure as failure:
            message = in_options(failure.message, recipients)
            raise Failure(failure.name, message, failure.exit_code, failure.advice) from failure
    if dry_run and not app.as_json:
        result["advice"] = [in_options(sentence, recipients) for sentence in result["advice"]]
    app.output.show(result, write_plan if dry_run else partial(_write, force=force))
    return ExitCode.ORDER if force and result["outcome"] == "duplicate" else ExitCode.OK


def _write(result: Mapping[str, Any], out: Output, *, force: bool) -> None:
    if result["outcome"] == "duplicate":
        out.line(f"Order {result['order_id']}: duplicate, nobody was mailed", style="bold")
        out.line(_earlier(result))
    else:
        out.line(f"Order {result['order_id']}: {result['outcome']} at {result['sent_at']}", style="bold green")
        out.line(f"Mailed: {mailed(result['recipients'])}")
    write_domains(result, out)
    write_skipped(result["skipped"], out)
    if result["outcome"] == "duplicate":
        if force:
            out.line("Three forced calls inside a cool-down are sent; this one was treated as an ordinary call.")
        else:
            out.line("To mail them again inside the cool-down, add --force.")


def _earlier(result: Mapping[str, Any]) -> str:
    """Say who was mailed, as far as that is known: nobody knows who DigiCert's default recipients are."""
    if result["recipients"] == "default":
        return f"Mailed at {result['sent_at']}: {mailed('default')}, or somebody by name who may be one of them"
    who = mailed(result["recipients"])
    return f"Mailed at {result['sent_at']} or before: {who}, or {mailed('default')}, who may include them"
