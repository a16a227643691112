"""The documented clients: curl, requests, Go's net/http and Node.js."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dev import pages
from dev.local.stack import LocalStack
from dev.pages import Block
from e2e.conftest import Emulator


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
