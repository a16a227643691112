"""The command line: the options that all commands share, the commands of `commands/`, errors and exit codes."""

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from dv_resend_cli import __version__, commands
from dv_resend_cli.app import App
from dv_resend_cli.aws import as_failure
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.options import shared_options


class DvResend(click.Group):
    """Finds commands by the names of their modules, and ends with the exit code of the outcome.

    Example:
        ``cli.main(["status", "123456789"], obj=App(session))``
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name the commands."""
        return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, and no other."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name.replace('-', '_')}")
        found: click.Command = module.command
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Failure("Interrupted", "stopped by Ctrl-C.", ExitCode.INTERRUPTED) from None

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run, and exit. `obj` is the `App`; tests give one with a stand-in for AWS."""
        arguments = list(sys.argv[1:] if args is None else args) or ["--help"]
        app: App = extra.setdefault("obj", App())
        extra["standalone_mode"] = False
        try:
            exit_code = super().main(arguments, **extra) or ExitCode.OK
        except Exception as error:
            # If the arguments are wrong, nothing has read them.
            app.as_json = app.as_json or "--json" in arguments
            failure = _failure(error)
            app.output.failure(failure)
            exit_code = failure.exit_code
        sys.exit(app.output.end(exit_code))


def _failure(error: Exception) -> Failure:
    match error:
        case Failure():
            return error
        case click.UsageError():
            help_option = f" Try `{error.ctx.command_path} --help`." if error.ctx else ""
            return Failure("UsageError", error.format_message().rstrip() + help_option, ExitCode.USAGE)
        case click.ClickException():
            return Failure("UsageError", error.format_message(), ExitCode.USAGE)
        case click.Abort():
            return Failure("Interrupted", "stopped at a question.", ExitCode.INTERRUPTED)
    if failure := as_failure(error):
        return failure
    traceback.print_exception(error)
    message = f"{type(error).__name__}: {error}"
    return Failure("Bug", message, ExitCode.BUG, "This is a bug of dv-resend. Please report it with the lines above.")


@click.command(
    cls=DvResend,
    params=shared_options(with_environment=True),
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="dv-resend", message="%(prog)s %(version)s")
def cli() -> None:
    """Resend DigiCert's domain-validation emails through a deployed DV Resend stack.

    Everything but the name of the stack comes from the stack's outputs and from your AWS settings.

    \b
    Exit codes:
      0    sent, planned, or a duplicate
      1    a bug
      2    wrong arguments
      3    an error of this order (also a duplicate in spite of --force)
      4    try again later, or no network
      5    the email may or may not have been sent
      6    account, configuration, credentials, permissions, no such stack
      130  interrupted
    """
