"""The options that all commands share, before the command's name or behind it; and the decorator of a command."""

from collections.abc import Callable

import click

from dv_resend_cli.app import App


def shared_options(*, with_environment: bool = False) -> list[click.Parameter]:
    """Return the shared options; their values are in the `App`, not in arguments.

    `with_environment` reads the environment, too. Only the group does that, so that an option that is given in front
    of the command's name counts more.
    """
    stack, region = ("DV_RESEND_STACK", "AWS_REGION") if with_environment else (None, None)
    return [
        _option("--stack", "stack_name", envvar=stack, help="Name of the stack; without it, DV_RESEND_STACK."),
        _option("--region", envvar=region, help="AWS region."),
        _option("--profile", help="AWS profile."),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="Print one JSON document, also of an error.",
        ),
    ]


def subcommand(function: Callable[..., int | None]) -> click.Command:
    """Make a command of a function, whose first argument is the `App` and which returns an exit code or nothing.

    It stands above click's own decorators. The docstring is the help; its example stands behind ``\\b``.

    Example:
        ``@subcommand`` above ``def command(app: App) -> None``, in a module of `commands`
    """
    made = click.command()(click.pass_obj(function))
    made.params += shared_options()
    return made


def _option(*names: str, envvar: str | None = None, help: str) -> click.Option:  # noqa: A002 - click's own word
    return click.Option(names, metavar="NAME", envvar=envvar, expose_value=False, callback=_keep, help=help)


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Put an option into the `App`, unless it is not given at this place."""
    if value:
        setattr(ctx.ensure_object(App), str(param.name), value)
