"""`dv-resend explain`."""

from dv_resend_cli.app import App
from dv_resend_cli.options import subcommand
from dv_resend_cli.parameters import order_id_argument
from dv_resend_cli.plan import write_plan


@subcommand
@order_id_argument
def command(app: App, order_id: int) -> None:
    """Say what a resend of ORDER_ID would do, and what to do instead.

    This is a dry run: nobody is mailed. It lists the names of the order with their accepted addresses, who would be
    mailed, and advice, the most useful first. To see the same for recipients that you name, use `dv-resend resend` with
    --dry-run and --to.

    \b
    Example:
      dv-resend explain 123456789
    """
    with app.output.waiting(f"Looking at order {order_id}"):
        plan = app.functions.resend({"order_id": order_id, "dry_run": True})
    app.output.show(plan, write_plan)
