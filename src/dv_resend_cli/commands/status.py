"""`dv-resend status`."""

from collections.abc import Mapping
from typing import Any

from dv_resend_cli.app import App
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output
from dv_resend_cli.parameters import order_id_argument


@subcommand
@order_id_argument
def command(app: App, order_id: int) -> None:
    """Show how far the validation of ORDER_ID is. Sends nothing.

    \b
    Example:
      dv-resend status 123456789
    """
    app.output.show(app.functions.status(order_id), _write)


def _write(status: Mapping[str, Any], out: Output) -> None:
    method = f", validated by {status['dcv_method']}" if status["dcv_method"] else ""
    out.line(f"Order {status['order_id']}: {status['status']}{method}", style="bold")
    if status["domains"]:
        out.table(["NAME", "STATUS"], [[domain["name"], domain["status"]] for domain in status["domains"]])
