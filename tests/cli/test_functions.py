"""One invocation: its attempts, and what a refused, lost or killed one means."""

import io
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from botocore import exceptions
from botocore.stub import Stubber

from cli.conftest import CALLER, OUTPUTS, FakeAws, Run, refused
from dv_resend_cli.aws import Boto3Session
from dv_resend_cli.errors import Failure
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


@pytest.mark.parametrize(
    ("command", "error", "maybe_sent"),
    [("status", "KeyError", False), ("resend", "MemoryError", True), ("resend", "Runtime.ImportModuleError", False)],
)
def test_bug_of_the_function_names_its_log(aws: FakeAws, run: Run, command: str, error: str, maybe_sent: bool) -> None:
    aws.function_fails(error, "'x'")

    result = run(command, 7)

    assert "Its log group /resend has the details" in result.stderr
    assert ("may have been sent" in result.stderr, result.exit_code) == (maybe_sent, 1)


# ---------------------------------------------------------------- behind a proxy


class Proxy(threading.Thread):
    """A proxy that lets one connection through, or does not; behind it AWS, which reads the request and hangs up."""

    def __init__(self, context: ssl.SSLContext, answer: bytes) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.request = b""
        self._context, self._answer = context, answer

    def run(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(self._answer + b"\r\n\r\n")
            if b"200" in self._answer:
                with self._context.wrap_socket(connection, server_side=True) as tunnel:
                    while not self.request.endswith(b"}"):
                        self.request += tunnel.recv(65536)


@pytest.mark.parametrize(
    ("answer", "name", "exit_code"),
    [
        (b"HTTP/1.1 200 OK", "ResponseLost", 5),
        (b"HTTP/1.1 407 Proxy Authentication Required", "NetworkUnavailable", 4),
    ],
)
def test_tunnel_that_breaks_after_the_request_is_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: bytes, name: str, exit_code: int
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("lambda.test").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    proxy = Proxy(context, answer)
    proxy.start()
    for variable in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "https://lambda.test")
    functions = Functions(Boto3Session(None, "eu-west-1"), find_stack(FakeAws(), "test"))

    with pytest.raises(Failure) as failure:
        functions.invoke(OUTPUTS["FunctionAliasArn"], {"order_id": 7}, sends=True)

    proxy.join()
    assert proxy.request.endswith(b'{"order_id": 7}' if exit_code == 5 else b"")
    assert (failure.value.name, failure.value.exit_code) == (name, exit_code)
