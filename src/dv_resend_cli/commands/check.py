"""`dv-resend check`."""

from dv_resend_cli.app import App
from dv_resend_cli.checks import Checks
from dv_resend_cli.errors import ExitCode
from dv_resend_cli.options import subcommand
from dv_resend_cli.steps import show_steps


@subcommand
def command(app: App) -> ExitCode:
    """Check a deployed stack, for example after each deployment. Nobody is mailed.

    Looks whether CertCentral accepts the key, whether a dry run is answered, whether sending and the sweep are on, and
    whether topics are set. What needs attention is no failure: it may be meant so.

    \b
    Example:
      dv-resend check
    """
    return show_steps(app.output, Checks(app.session, app.stack, app.functions).run(), lambda _: ())
