"""`dv-resend stop`."""

from functools import partial

from dv_resend_cli.app import App
from dv_resend_cli.errors import ExitCode
from dv_resend_cli.options import subcommand
from dv_resend_cli.sending import Sending
from dv_resend_cli.stack import Stack
from dv_resend_cli.steps import show_steps

_STOPPED = (
    "Invocations that are under way may still send, for up to 5 minutes.",
    "Reminders wait in their queue, for up to 4 days. Events go to the failed-events queue. Callers get an error.",
    "Running chases retry for about three hours, then fail: stop them, or redrive their executions later.",
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
    return show_steps(app.output, Sending(app.session, app.stack).stop(), partial(_conclusion, app.stack))


def _conclusion(stack: Stack, is_stopped: bool) -> tuple[str, ...]:
    if is_stopped:
        return (f"All sending is stopped: {stack}.", *_STOPPED)
    return (f"NOT all sending is stopped: {stack}. Remove the cause, and run this again.",)
