"""What all commands share: options, output, errors and exit codes."""

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from botocore import exceptions
from click.testing import Result

from cli.conftest import OUTPUTS, FakeAws, Run, refused
from dv_resend import errors as function_errors
from dv_resend_cli.app import App
from dv_resend_cli.cli import cli
from dv_resend_cli.errors import FUNCTION_ERRORS, ExitCode
from dv_resend_cli.output import Output, printable

STATUS = {
    "order_id": 7,
    "status": "pending",
    "dcv_method": "email",
    "domains": [{"name": "a.test", "status": "pending"}],
}
COMMANDS = cli.list_commands(click.Context(cli))


def error(result: Result) -> tuple[str, int]:
    """Return name and exit code of an error that is one line on stderr, and nothing on stdout."""
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line.partition(":")[0], result.exit_code


# ---------------------------------------------------------------- options and output


@pytest.mark.parametrize("arguments", [["--json", "status", "7"], ["status", "7", "--json"], ["status", "--json", "7"]])
def test_json_option_is_accepted_everywhere(aws: FakeAws, run: Run, arguments: list[str]) -> None:
    aws.function_returns(STATUS)

    assert json.loads(run(*arguments).stdout) == STATUS


@pytest.mark.parametrize("arguments", [["--stack", "mine", "status", "7"], ["status", "7", "--stack", "mine"]])
def test_stack_option_overrides_the_environment(aws: FakeAws, run: Run, arguments: list[str]) -> None:
    aws.function_returns(STATUS)

    assert run(*arguments, stack="other").exit_code == 0
    assert aws.calls[0] == ("cloudformation", "describe_stacks", {"StackName": "mine"})


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(run: Run, command: str) -> None:
    result = run(command, "--help", stack=None)

    assert result.exit_code == 0
    assert re.search(rf"Examples?:\n +dv-resend {command}", result.stdout)
    assert "--json" in result.stdout


def test_no_arguments_print_the_help(run: Run) -> None:
    assert "Commands:" in run(stack=None).stdout


def test_piped_text_is_neither_wrapped_nor_coloured(aws: FakeAws, run: Run) -> None:
    name = "a" * 200 + ".test"
    aws.function_returns(STATUS | {"domains": [{"name": name, "status": "pending"}]})

    assert run("status", 7).stdout.splitlines()[-1] == f"{name}  pending"


def test_terminal_shows_an_empty_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    Output().line()

    assert capsys.readouterr().out == " \n"


def test_control_characters_of_others_are_replaced() -> None:
    assert printable("a\x1b[31m\nb\u202e é") == "a?[31m b? é"


@pytest.fixture
def run_into(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ExitCode]:
    """Run the command in this process, with a stdout of our own."""

    def run_into(stdout: Any, *arguments: str) -> ExitCode:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(SystemExit) as ended:
            cli.main(["--stack", "test", "status", "7", *arguments], obj=App(aws))
        return ExitCode(int(ended.value.code or 0))

    return run_into


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_closed_pipe_is_no_error(
    aws: FakeAws, run_into: Any, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    aws.function_returns(STATUS)
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "w") as stdout:
        assert run_into(stdout, *options) == 0

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_unwritable_output_is_one_line(
    aws: FakeAws, run_into: Any, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    aws.function_returns(STATUS)

    with Path("/dev/full").open("w") as stdout:
        assert run_into(stdout, *options) == 6

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("OutputUnusable: The output cannot be written: No space left on device.")
    assert line.endswith("of what was done is 0.")


def test_unwritable_stderr_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())

    Output().note("A pause.")


def test_what_a_terminal_cannot_show_is_escaped(aws: FakeAws, run_into: Any) -> None:
    aws.function_returns(STATUS | {"status": "b\u00fccher.\u4f8b"})
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")

    assert run_into(stdout) == 0
    assert stdout.buffer.getvalue().startswith(b"Order 7: b\xfccher.\\u4f8b")


def test_closed_stdout_is_no_error(aws: FakeAws, run_into: Any) -> None:
    aws.function_returns(STATUS)

    assert run_into(None) == 0


# ---------------------------------------------------------------- errors


def test_function_error_has_name_message_and_advice(aws: FakeAws, run: Run) -> None:
    aws.function_fails("OrderNotFound", "CertCentral has no order 7.")

    result = run("status", 7)

    assert result.stderr.splitlines() == [
        "OrderNotFound: CertCentral has no order 7.",
        FUNCTION_ERRORS["OrderNotFound"][1],
    ]
    assert result.exit_code == 3


def test_json_error_is_one_document_on_stdout(aws: FakeAws, run: Run) -> None:
    aws.function_fails("RateLimited", "Too many.")

    result = run("status", 7, "--json")

    expected = {"name": "RateLimited", "message": "Too many.", "advice": FUNCTION_ERRORS["RateLimited"][1]}
    assert (json.loads(result.stdout), result.stderr, result.exit_code) == ({"error": expected}, "", 4)


def test_error_table_is_that_of_the_functions() -> None:
    classes = {cls.__name__: cls for cls in function_errors.ResendError.__subclasses__()}
    by_scope = {"order": ExitCode.ORDER, "account": ExitCode.ACCOUNT}
    expected = {name: ExitCode.RETRYABLE if cls.retryable else by_scope[cls.scope] for name, cls in classes.items()}

    expected |= {"InvalidRequest": ExitCode.USAGE, "OutcomeUnknown": ExitCode.UNKNOWN}
    assert {name: exit_code for name, (exit_code, _) in FUNCTION_ERRORS.items()} == expected
    assert all(advice for _, advice in FUNCTION_ERRORS.values())


@pytest.mark.parametrize(
    ("answer", "name", "exit_code"),
    [
        (refused("ValidationError", message="Stack with id test does not exist"), "StackNotFound", 6),
        (refused("AccessDenied", 403), "AccessDenied", 6),
        (refused("ExpiredToken", 403), "CredentialsRejected", 6),
        (refused("Throttling"), "Throttled", 4),
        (refused("InternalFailure", 500), "AwsUnavailable", 4),
        (refused("OptInRequired", 403), "AwsError", 6),
        (exceptions.NoCredentialsError(), "NoCredentials", 6),
        (exceptions.UnauthorizedSSOTokenError(), "NoCredentials", 6),
        (exceptions.ProfileNotFound(profile="x"), "NoCredentials", 6),
        (exceptions.NoRegionError(), "NoRegion", 6),
        (exceptions.EndpointConnectionError(endpoint_url="https://x.test"), "NetworkUnavailable", 4),
        (exceptions.ReadTimeoutError(endpoint_url="https://x.test"), "NetworkUnavailable", 4),
    ],
)
def test_aws_error_is_one_line(aws: FakeAws, run: Run, answer: Exception, name: str, exit_code: int) -> None:
    aws.answer("cloudformation", "describe_stacks", answer)

    assert error(run("status", 7)) == (name, exit_code)


@pytest.mark.parametrize("missing", ["FunctionAliasArn", "LogGroupName"])
def test_stack_without_an_output_is_not_ours(aws: FakeAws, run: Run, missing: str) -> None:
    aws.has_stack({name: value for name, value in OUTPUTS.items() if name != missing})

    assert error(run("status", 7)) == ("NotDvResend", 6)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["status"], "ORDER_ID"),
        (["status", "0"], "ORDER_ID"),
        (["status", "12x"], "ORDER_ID"),
        (["resend", "7", "--to", "example.com"], "--to"),
        (["resend", "7", "--to", "example.com=admin"], "--to"),
        (["resend", "7", "--to", "example.com=admin@example.com:"], "--to"),
        (["resend", "7", "--locale", "german"], "--locale"),
        (["pending", "--csv", "--json"], "--csv"),
        (["unheard-of"], "unheard-of"),
    ],
)
def test_usage_error_names_the_argument_and_calls_nothing(
    aws: FakeAws, run: Run, arguments: list[str], named: str
) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert named in result.output
    assert "UsageError" in result.output
    assert aws.calls == []


def test_missing_stack_name_is_a_usage_error(aws: FakeAws, run: Run) -> None:
    assert error(run("status", 7, stack=None)) == ("UsageError", 2)
    assert aws.calls == []


def test_interrupt_is_one_line(aws: FakeAws, run: Run) -> None:
    aws.answer("cloudformation", "describe_stacks", KeyboardInterrupt())

    assert error(run("status", 7)) == ("Interrupted", 130)


def test_bug_has_a_stack_trace_and_code_one(aws: FakeAws, run: Run) -> None:
    aws.function_returns({})

    result = run("status", 7)

    assert "Traceback" in result.stderr
    assert "Bug: KeyError: 'dcv_method'" in result.stderr
    assert result.exit_code == 1
