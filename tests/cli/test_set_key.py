"""`set-key`: what a key looks like, what CertCentral says of it, and that nobody sees it."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import click
import pytest
from conftest import CANARY

from cli.conftest import OUTPUTS, FakeAws, Run, refused
from dev.emulator import CertCentralEmulator
from dv_resend.adapters.api_key import _key_in
from dv_resend_cli.api_key import require_key
from dv_resend_cli.errors import Failure

INVALID_KEY = {"errors": [{"code": "access_denied|access_denied_invalid_key", "message": "No."}]}
UNKNOWN_403 = {"errors": [{"code": "access_denied|ip_not_allowed", "message": "No."}]}


@pytest.fixture
def certcentral() -> Iterator[CertCentralEmulator]:
    with CertCentralEmulator(valid_key=CANARY) as emulator:
        yield emulator


@pytest.fixture
def aws(certcentral: CertCentralEmulator) -> FakeAws:
    """A stack whose CertCentral is the emulator."""
    aws = FakeAws()
    aws.has_stack(OUTPUTS, CertCentralBaseUrl=certcentral.base_url)
    aws.answer("secretsmanager", "put_secret_value", {})
    return aws


def stored(aws: FakeAws) -> list[dict[str, Any]]:
    return [arguments for service, _, arguments in aws.calls if service == "secretsmanager"]


def test_accepted_key_is_stored(
    aws: FakeAws, run: Run, certcentral: CertCentralEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy would see the key, which is in plain HTTP on loopback.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    result = run("set-key", input=f"{CANARY}\n")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "stored: stack test, eu-west-1, account 123456789012." in result.stdout
    assert stored(aws) == [{"SecretId": OUTPUTS["ApiKeySecretArn"], "SecretString": CANARY}]
    (call,) = certcentral.calls
    assert (call["method"], call["path"]) == ("GET", "/services/v2/order/certificate")


def test_key_is_asked_for_on_a_terminal(aws: FakeAws, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dv_resend_cli.commands.set_key._is_terminal", lambda: True)
    prompt = Mock(return_value=CANARY)
    monkeypatch.setattr(click, "prompt", prompt)

    run("set-key")

    prompt.assert_called_once_with("CertCentral API key", hide_input=True, err=True)
    assert stored(aws)[0]["SecretString"] == CANARY


@pytest.mark.parametrize(
    ("fault", "name", "exit_code"),
    [
        ({"fault": "status", "status": 403, "body": INVALID_KEY}, "ApiKeyRejected", 6),
        ({"fault": "status", "status": 401, "body": ""}, "ApiKeyRejected", 6),
        ({"fault": "status", "status": 403, "body": UNKNOWN_403}, "PermissionDenied", 6),
        ({"fault": "html"}, "CertCentralUnavailable", 4),
        ({"fault": "status", "status": 200, "body": {"errors": [{"code": CANARY}]}}, "CertCentralUnavailable", 4),
        ({"fault": "status", "status": 429}, "RateLimited", 4),
        ({"fault": "status", "status": 503, "body": CANARY}, "CertCentralUnavailable", 4),
        ({"fault": "redirect", "location": "/elsewhere"}, "CertCentralUnavailable", 4),
        ({"fault": "truncated"}, "CertCentralUnavailable", 4),
        ({"fault": "reset"}, "CertCentralUnavailable", 4),
        ({"fault": "raw", "data": f"{CANARY.upper()} is no status line\r\n"}, "CertCentralUnavailable", 4),
    ],
    ids=lambda value: str(value).replace(CANARY, "KEY")[:40] if isinstance(value, dict) else None,
)
def test_key_that_is_not_accepted_is_not_stored(
    aws: FakeAws, run: Run, certcentral: CertCentralEmulator, fault: Any, name: str, exit_code: int
) -> None:
    certcentral.inject(fault)

    result = run("set-key", input=CANARY)

    assert (result.stderr.partition(":")[0], result.exit_code) == (name, exit_code)
    assert "The key was not stored." in result.stderr
    assert CANARY not in result.output.casefold()
    assert stored(aws) == []
    assert len(certcentral.calls) == 1


def test_firewall_between_here_and_certcentral_has_a_way_out(
    aws: FakeAws, run: Run, certcentral: CertCentralEmulator
) -> None:
    certcentral.inject({"fault": "status", "status": 403, "body": UNKNOWN_403})

    assert "use --no-check" in run("set-key", input=CANARY).stderr
    assert run("set-key", "--no-check", input=CANARY).exit_code == 0
    assert len(stored(aws)) == 1


@pytest.mark.parametrize("url", ["http://certcentral.test/services/v2", "ftp://127.0.0.1", ""])
def test_key_is_never_sent_in_plain_http_to_a_host(aws: FakeAws, run: Run, url: str) -> None:
    aws.has_stack(OUTPUTS, CertCentralBaseUrl=url)

    result = run("set-key", input=CANARY)

    assert (result.stderr.partition(":")[0], result.exit_code) == ("ConfigurationError", 6)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(refused("AccessDeniedException", message="Access to KMS is not allowed"), 6), (refused("Throttling"), 4)],
)
def test_refused_store_does_not_show_the_key(aws: FakeAws, run: Run, error: Exception, exit_code: int) -> None:
    aws.answer("secretsmanager", "put_secret_value", error)

    result = run("set-key", input=CANARY)

    assert len(result.stderr.splitlines()) == 1
    assert CANARY not in result.output
    assert result.exit_code == exit_code


@pytest.mark.parametrize("text", [f"{CANARY}\nX-Other: header", f"{CANARY} x", f"{CANARY}é", '"' + CANARY + '"', ""])
def test_text_that_is_no_key_goes_nowhere(aws: FakeAws, run: Run, certcentral: CertCentralEmulator, text: str) -> None:
    result = run("set-key", "--no-check", input=text)

    assert result.stderr.startswith("UsageError: This is no API key.")
    assert CANARY not in result.output
    assert result.exit_code == 2
    assert stored(aws) == certcentral.calls == []


def test_byte_order_mark_of_a_pipe_is_dropped(aws: FakeAws, run: Run) -> None:
    run("set-key", input=f"\ufeff{CANARY}\r\n")

    assert stored(aws)[0]["SecretString"] == CANARY


@pytest.mark.parametrize("stdin", [None, Mock(**{"isatty.return_value": False, "read.side_effect": OSError(9, "Bad")})])
def test_input_that_cannot_be_read_is_one_line(monkeypatch: pytest.MonkeyPatch, run: Run, stdin: Any) -> None:
    """`set-key <&-` leaves no input at all."""
    monkeypatch.setattr("dv_resend_cli.commands.set_key.sys", Mock(stdin=stdin))

    result = run("set-key")

    assert (result.stderr.partition(":")[0], len(result.stderr.splitlines())) == ("UsageError", 1)
    assert (result.stdout, result.exit_code) == ("", 2)


@pytest.mark.parametrize(
    "text",
    [
        *(CANARY, f"  {CANARY}\r\n", "x" * 7, "x" * 8, "x" * 512, "x" * 513, "12345678", "1234567a", "\u0663" * 9),
        *(f"\ufeff{CANARY}", f"{CANARY}\x00", f"{CANARY}\u2028x", f"a{CANARY}\\", f"[{CANARY}]", f"{{{CANARY}}}"),
        f"x{{{CANARY}}}",
    ],
    ids=lambda text: f"{len(text)} {ascii(text).replace(CANARY, 'KEY')[:20]}",
)
def test_key_is_what_the_function_accepts(text: str) -> None:
    try:
        key = require_key(text)
    except Failure:
        key = None

    assert key == _key_in(text)
