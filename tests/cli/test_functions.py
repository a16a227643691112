"""One invocation: its attempts, and what a refused, lost or killed one means."""

import io
from typing import Any

import pytest
from botocore import exceptions
from botocore.stub import Stubber

from cli.conftest import CALLER, FakeAws, Run, refused
from dv_resend_cli.aws import Boto3Session
from dv_resend_cli.functions import Functions
from dv_resend_cli.stack import find_stack

ENDPOINT = {"endpoint_url": "https://lambda.test"}
LOST = [
    exceptions.ReadTimeoutError(**ENDPOINT),
    exceptions.ConnectionClosedError(**ENDPOINT),
    exceptions.SSLError(**ENDPOINT, error=OSError("the connection broke")),
    refused("ServiceException", 500),
    refused("408", 408),
]
NOT_STARTED = [
    (exceptions.EndpointConnectionError(**ENDPOINT), "NetworkUnavailable", 4),
    (exceptions.ConnectTimeoutError(**ENDPOINT), "NetworkUnavailable", 4),
    (exceptions.SSLError(**ENDPOINT, error=OSError("CERTIFICATE_VERIFY_FAILED")), "NetworkUnavailable", 4),
    (refused("ENILimitReachedException", 502), "AwsUnavailable", 4),
    (refused("AccessDeniedException", 403), "AccessDenied", 6),
    (refused("TooManyRequestsException", 429, Reason="ConcurrentInvocationLimitExceeded"), "Throttled", 4),
]


def test_lambda_client_makes_one_attempt_and_waits_for_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    session = Boto3Session(None, "eu-west-1")

    client = Functions(session, find_stack(FakeAws(), "test"))._client

    config = client.meta.config
    assert (config.retries["total_max_attempts"], config.read_timeout, config.connect_timeout) == (1, 310, 5)
    with Stubber(client) as stub:
        stub.add_client_error("invoke", "ServiceException", http_status_code=500)
        with pytest.raises(exceptions.ClientError):
            client.invoke(FunctionName="f")


def test_resend_tells_who_asked_in_256_characters(aws: FakeAws, run: Run) -> None:
    aws.answer("sts", "get_caller_identity", {"Arn": CALLER.ljust(300, "x")})
    aws.function_fails("SendingPaused", "Paused.")

    run("resend", 7)

    assert aws.events[0]["requested_by"] == CALLER.ljust(256, "x")


@pytest.mark.parametrize("lost", LOST, ids=repr)
def test_lost_response_leaves_open_if_an_email_was_sent(aws: FakeAws, run: Run, lost: Exception) -> None:
    aws.answer("lambda", "invoke", lost)

    sending, asking = run("resend", 7), run("status", 7)

    assert (sending.exit_code, asking.exit_code) == (5, 4)
    assert sending.stderr.startswith("ResponseLost: ")
    assert "may have been sent" in sending.stderr
    assert len(aws.events) == 2


def test_response_cut_off_is_lost(aws: FakeAws, run: Run) -> None:
    class Cut(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2)

    aws.answer("lambda", "invoke", {"Payload": Cut()})

    assert run("resend", 7).exit_code == 5


@pytest.mark.parametrize(("refusal", "name", "exit_code"), NOT_STARTED, ids=str)
def test_call_that_started_nothing_is_no_unknown_outcome(
    aws: FakeAws, run: Run, refusal: Exception, name: str, exit_code: int
) -> None:
    aws.answer("lambda", "invoke", refusal)

    result = run("resend", 7)

    assert (result.stderr.partition(":")[0], result.exit_code) == (name, exit_code)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("Sandbox.Timedout", "Task timed out after 29.00 seconds"),
        (None, "2026-11-27T10:00:00Z 1234 Task timed out after 29.00 seconds"),
        ("Runtime.ExitError", "Runtime exited with error: signal: killed"),
    ],
)
def test_killed_function_leaves_open_if_an_email_was_sent(
    aws: FakeAws, run: Run, error: str | None, message: str
) -> None:
    aws.function_fails(error, message)

    sending, asking = run("resend", 7), run("explain", 7)

    assert (sending.exit_code, asking.exit_code) == (5, 4)
    assert sending.stderr.startswith("FunctionKilled: ")


def test_interrupted_resend_says_that_it_may_have_been_sent(aws: FakeAws, run: Run) -> None:
    aws.answer("lambda", "invoke", KeyboardInterrupt())

    result = run("resend", 7)

    assert "may have been sent" in result.stderr
    assert result.exit_code == 130


@pytest.mark.parametrize(
    ("concurrency", "name"),
    [
        ({"ReservedConcurrentExecutions": 0}, "SendingStopped"),
        ({"ReservedConcurrentExecutions": 5}, "Throttled"),
        (refused("AccessDeniedException", 403), "Throttled"),
    ],
)
def test_stopped_sending_is_named(aws: FakeAws, run: Run, concurrency: Any, name: str) -> None:
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    aws.answer("lambda", "invoke", refused("TooManyRequestsException", 429, Reason=reason))
    aws.answer("lambda", "get_function_concurrency", concurrency)

    result = run("resend", 7)

    assert (result.stderr.partition(":")[0], result.exit_code) == (name, 4)


def test_bug_of_the_function_names_its_log(aws: FakeAws, run: Run) -> None:
    aws.function_fails("KeyError", "'x'")

    result = run("status", 7)

    assert "Its log group /resend has the details" in result.stderr
    assert result.exit_code == 1
