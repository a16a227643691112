"""`dv-resend resume`."""

from functools import partial

from dv_resend_cli.app import App
from dv_resend_cli.errors import ExitCode
from dv_resend_cli.options import subcommand
from dv_resend_cli.sending import Sending
from dv_resend_cli.stack import Stack
from dv_resend_cli.steps import show_steps


@subcommand
def command(app: App) -> ExitCode:
    """Let everything run again after `dv-resend stop`. Safe to run again.

    Says how many events are waiting to be redriven. Reminders need nothing: the queue has kept them, and the next sweep
    finds what is missing. Deployments that were stopped are not started again.

    \b
    Example:
      dv-resend resume
    """
    return show_steps(app.output, Sending(app.session, app.stack).resume(), partial(_conclusion, app.stack))


def _conclusion(stack: Stack, is_resumed: bool) -> tuple[str, ...]:
    if is_resumed:
        return (
            f"Sending goes on: {stack}.",
            "Events that failed meanwhile may still arrive in the queues, for up to half an hour.",
        )
    return (f"NOT everything runs again: {stack}. Remove the cause, and run this again.",)
