"""`dv-resend set-key`."""

import sys
from collections.abc import Mapping
from functools import partial

import click

from dv_resend_cli.api_key import check_key, require_key
from dv_resend_cli.app import App
from dv_resend_cli.aws import one_line
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output
from dv_resend_cli.stack import Stack

# More than a key, so that a longer text is refused and not cut.
_MAX_CHARACTERS = 4096


@subcommand
@click.option("--no-check", is_flag=True, help="Store the key without asking CertCentral about it.")
def command(app: App, *, no_check: bool) -> None:
    """Store the CertCentral API key in the stack's secret.

    The key is asked for and not shown, or read from a pipe; it is no argument, which others could see. It is stored if
    CertCentral lists an order with it. Use the key of a service user that may work with orders, and nothing more.

    \b
    Examples:
      dv-resend set-key
      dv-resend set-key --no-check < key.txt
    """
    stack = app.stack
    key = require_key(_read())
    if not no_check:
        with app.output.waiting("Asking CertCentral about the key"):
            check_key(stack.parameters.get("CertCentralBaseUrl", ""), key)
    app.session.client("secretsmanager").put_secret_value(SecretId=stack.api_key_secret_arn, SecretString=key)
    app.output.show({"stored": True, "checked": not no_check, **stack.identity}, partial(_write, stack))


def _read() -> str:
    if _is_terminal():
        typed: str = click.prompt("CertCentral API key", hide_input=True, err=True)
        return typed
    if sys.stdin is None:
        raise Failure("UsageError", "The input is closed: type the key on a terminal, or pipe it.", ExitCode.USAGE)
    try:
        return sys.stdin.read(_MAX_CHARACTERS).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise Failure("UsageError", "The input is not text.", ExitCode.USAGE) from None
    except OSError as error:
        raise Failure("UsageError", f"The input cannot be read: {one_line(error)}", ExitCode.USAGE) from None


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _write(stack: Stack, answer: Mapping[str, object], out: Output) -> None:
    checked = "CertCentral accepts it." if answer["checked"] else "It was not checked."
    out.line(f"The key is stored: {stack}. {checked} The functions use it within five minutes.")
