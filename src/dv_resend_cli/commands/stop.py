"""`dv-resend stop`."""

from dv_resend_cli.app import App
from dv_resend_cli.errors import ExitCode
from dv_resend_cli.options import subcommand
from dv_resend_cli.sending import Sending
from dv_resend_cli.steps import show_steps

_STOPPED = (
    "All sending is stopped.",
    "Invocations that are under way may still send, for up to 5 minutes.",
    "Reminders wait in their queue, for up to 4 days. Events go to the failed-events queue. Callers get an error.",
    "`dv-resend resume` lets everything run again.",
)


@subcommand
def command(app: App) -> ExitCode:
    """Stop all sending at once. Safe to run again.

    Both functions get a reserved concurrency of 0, so that no invocation starts. The reminder queue is disconnected
    from its worker, and running deployments are stopped and rolled back. If a step fails, the others are tried all the
    same.

    \b
    Example:
      dv-resend stop
    """
    return show_steps(app.output, Sending(app.session, app.stack).stop(), _conclusion)


def _conclusion(is_stopped: bool) -> tuple[str, ...]:
    return _STOPPED if is_stopped else ("NOT all sending is stopped. Remove the cause, and run this again.",)
