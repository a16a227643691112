"""The command `dv-resend` in this process, with a stand-in for the caller's AWS."""

import io
import json
import math
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters
from click.testing import CliRunner, Result

from dv_resend_cli.app import App
from dv_resend_cli.cli import cli

type Run = Callable[..., Result]

_ALIAS = "arn:aws:lambda:eu-west-1:123456789012:function:{}:live"
CALLER = "arn:aws:iam::123456789012:user/ops"
STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/test/5f0c2b7e"
OUTPUTS = {
    "ApiUrl": "https://api.test",
    "FunctionAliasArn": _ALIAS.format("resend"),
    "SweepFunctionAliasArn": _ALIAS.format("sweep"),
    "ChaseStateMachineArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:chase",
    "SendRecordsTableName": "records",
    "ApiKeySecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key",
    "FailedEventsQueueUrl": "https://sqs.test/failed",
    "UndeliveredEventsQueueUrl": "https://sqs.test/undelivered",
    "ReminderQueueUrl": "https://sqs.test/reminders.fifo",
    "ReminderDeadLetterQueueUrl": "https://sqs.test/dead.fifo",
    "ReminderMappingId": "11111111-2222-4333-8444-555555555555",
    "FunctionName": "resend",
    "SweepFunctionName": "sweep",
    "LogGroupName": "/resend",
    "SweepLogGroupName": "/sweep",
}


class FakeAws:
    """Answers the SDK's calls by service and operation: with a value, a function's result, or an exception.

    `calls` are those that were made, each as service, operation and arguments.
    """

    region_name = "eu-west-1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.answers: dict[tuple[str, str], Any] = {("sts", "get_caller_identity"): {"Arn": CALLER}}
        self.has_stack(OUTPUTS)

    def has_stack(self, outputs: dict[str, str], **parameters: str) -> None:
        stack = {
            "StackId": STACK,
            "Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()],
            "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        }
        self.answers["cloudformation", "describe_stacks"] = {"Stacks": [stack]}

    def answer(self, service: str, operation: str, answer: Any) -> None:
        """Set the answer; a callable gets the call's arguments."""
        self.answers[service, operation] = answer

    def function_returns(self, result: Any) -> None:
        self.answer("lambda", "invoke", lambda **_: {"Payload": io.BytesIO(json.dumps(result).encode())})

    def function_fails(self, error: str | None, message: str) -> None:
        body = json.dumps({"errorMessage": message} | ({"errorType": error} if error else {})).encode()
        self.answer("lambda", "invoke", lambda **_: {"FunctionError": "Unhandled", "Payload": io.BytesIO(body)})

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that functions were invoked with."""
        return [json.loads(arguments["Payload"]) for _, operation, arguments in self.calls if operation == "invoke"]

    def client(self, service: str, *, config: Any = None) -> Any:  # noqa: ARG002
        return _Client(self, service)


class _Client:
    def __init__(self, aws: FakeAws, service: str) -> None:
        self._aws, self._service = aws, service

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            validate_parameters(arguments, input_of(self._service, operation))
            self._aws.calls.append((self._service, operation, arguments))
            answer = self._aws.answers[self._service, operation]
            if isinstance(answer, BaseException):
                raise answer
            return answer(**arguments) if callable(answer) else answer

        return call


@cache
def input_of(service: str, operation: str) -> Any:
    """The parameters of an operation, according to AWS."""
    model = botocore.session.get_session().get_service_model(service)
    names = {botocore.xform_name(name): name for name in model.operation_names}
    return model.operation_model(names[operation]).input_shape


STARTED_AT = 1_795_446_245
"""The time of second 0 of a `Clock`."""


class Clock:
    """Time that passes only when the command sleeps. Things happen `at` their second, Ctrl-C at `interrupt_at`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.interrupt_at = math.inf
        self._happens: list[tuple[float, Callable[[], object]]] = []
        self._monkeypatch = monkeypatch

    def runs(self, module: types.ModuleType) -> None:
        """Replace the time of a module."""
        clock = types.SimpleNamespace(time=lambda: STARTED_AT + self.now, monotonic=lambda: self.now, sleep=self._sleep)
        self._monkeypatch.setattr(module, "time", clock)

    def at(self, second: float, happens: Callable[[], object]) -> None:
        self._happens.append((second, happens))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        for second, happens in self._happens:
            if second <= self.now:
                happens()
        if self.now >= self.interrupt_at:
            raise KeyboardInterrupt


def refused(code: str, status: int = 400, message: str = "No.", **more: Any) -> ClientError:
    """Build the SDK's error for an AWS service's refusal."""
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **more,
    }
    return ClientError(response, "Operation")


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def run(aws: FakeAws) -> Run:
    """Run the command with arguments, in a pipe, against the stack `test`."""

    def run(*arguments: object, stack: str | None = "test", **options: Any) -> Result:
        options.setdefault("env", {"DV_RESEND_STACK": stack})
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], obj=App(aws), **options)

    return run
