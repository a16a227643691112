"""What README.md and docs/ show of a real run is what a real run prints. `make docs` writes it there.

What differs from run to run (times, ports, days until a date) is replaced by a sample, so that the documents change
only when the behaviour does.
"""

import datetime as dt
import itertools
import json
import os
import re
import subprocess
import textwrap
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dev import pages
from dev.local import run
from dev.local.stack import LocalStack
from dv_resend_cli.app import App
from dv_resend_cli.cli import cli
from e2e.conftest import Command, Emulator

WIDTH = 120
_SAMPLES = [
    (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:35899"),
    (r"duration_ms=\d+", "duration_ms=137"),
    (r"sent_at=[\d:T+-]+", "sent_at=2026-11-24T12:53:55+00:00"),
    (r"\bat 20\d\d-[\d:T-]+Z", "at 2026-11-24T12:53:55Z"),
    (r"until 20\d\d-[\d:T-]+Z", "until 2026-11-24T13:55:55Z"),
    (r"Until 20\d\d-[\d:T-]+Z", "Until 2026-11-24T13:55:55Z"),
    (r'"waiting_since": "[^"]+"', '"waiting_since": "2026-11-22T11:29:52Z"'),
    (r'"links_expire": "[^"]+"', '"links_expire": "2026-12-22"'),
    (r"in \d+ days, for every CA", "in 477 days, for every CA"),
]
_STEP = re.compile(r"^ *\d+\.\d s", re.MULTILINE)
_WAITING = re.compile(r"Waiting since \S+ \((\d+) d\); the links of its first emails expired? on [\d-]+")
_NOW = dt.datetime(2026, 11, 24, 11, 29, 52, tzinfo=dt.UTC)


@pytest.fixture
def fresh(stack: LocalStack, emulator: Emulator) -> None:
    """The emulator's first orders, with no resend of other tests remembered."""
    emulator("PUT", "limits", [])
    forget_resends(stack)


@pytest.mark.usefixtures("fresh")
def test_readme_shows_what_make_run_prints(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given the stack of the tests in place of one of its own, and no sweep, which would take longer
    since = partial(LocalStack.audit_lines, stack, time.time())
    monkeypatch.setattr(LocalStack, "audit_lines", lambda _self: since())
    monkeypatch.setattr(run, "local_stack", lambda **_options: nullcontext(stack))
    monkeypatch.setattr(run.Run, "_command", lambda _self, _stack, *_arguments: True)

    assert run.Run().against_emulator()

    printed = sampled(capsys.readouterr().out)
    tenths = itertools.count(124)
    same_times = _STEP.sub(lambda _match: f"{next(tenths) / 10:6.1f} s", printed)
    lines = [part for line in same_times.splitlines() for part in wrapped(line)]
    is_documented("README.md", "Try it", "".join(f"{line}\n" for line in lines))


@dataclass(frozen=True)
class LocalAws:
    """The local AWS, as the command uses AWS."""

    stack: LocalStack

    @property
    def region_name(self) -> str:
        return self.stack.region

    def client(self, service_name: str, *, config: object = None) -> Any:  # noqa: ARG002
        return self.stack.client(service_name)


@pytest.mark.usefixtures("fresh")
def test_dry_run_page_explains_every_order(stack: LocalStack, emulator: Emulator) -> None:
    orders = [order["id"] for order in emulator("GET", "orders")]
    printed = "".join(explained(stack, order_id) for order_id in orders)

    assert len(orders) == 27
    assert emulator.puts == []
    is_documented("docs/dry-run.md", "Every order of the emulator, explained", page_lines(printed.rstrip()))


@pytest.mark.usefixtures("fresh")
def test_dry_run_page_shows_the_answer_to_its_request(stack: LocalStack, emulator: Emulator, tmp_path: Path) -> None:
    (request,) = [block for block in pages.blocks("docs/dry-run.md") if block.section == "Ask"]

    ran = subprocess.run(
        pages.program(request, tmp_path),
        env=pages.environment(DV_RESEND_URL=stack.api_url),
        capture_output=True,
        text=True,
        check=True,
    )

    answer = json.loads(ran.stdout)
    assert answer["would_be"] == "sent"
    assert emulator.puts == []
    is_documented("docs/dry-run.md", "The answer", sampled(json.dumps(answer, indent=2)) + "\n")


@pytest.mark.usefixtures("fresh")
def test_command_page_shows_what_explain_prints(dv_resend: Command) -> None:
    printed = dv_resend("explain", 100000013).stdout

    is_documented("docs/command.md", "One order", page_lines(printed))


@pytest.mark.usefixtures("fresh")
def test_readme_shows_what_bulk_prints(dv_resend: Command, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("order_id\n123456789\n100000013\n100000003\n")

    printed = dv_resend("bulk", file, "--orders-per-second", 10).stdout.replace(f"{tmp_path}/", "")

    lines = [part for line in printed.splitlines() for part in wrapped(line, " " * 4)]
    is_documented("README.md", "Call it", "".join(f"{line}\n" for line in lines))


def forget_resends(stack: LocalStack) -> None:
    """Delete all send records."""
    table = stack.client("dynamodb")
    for item in table.scan(TableName=stack.send_records_table)["Items"]:
        table.delete_item(TableName=stack.send_records_table, Key={"id": item["id"]})


def explained(stack: LocalStack, order_id: int) -> str:
    """Return how a shell shows `dv-resend explain`."""
    # In this process, which is quicker.
    arguments = ["--stack", stack.stack_name, "explain", str(order_id)]
    printed = CliRunner().invoke(cli, arguments, obj=App(LocalAws(stack)))
    assert printed.exit_code == 0
    return f"$ dv-resend explain {order_id}\n{printed.stdout}\n"


def is_documented(page: str, section: str, text: str) -> None:
    """Compare a text with the block of a section that `make docs` writes; write it there if this is that."""
    if os.environ.get("WRITE_DOCS") == "1":
        pages.write(pages.written(page, section), text)
    assert pages.written(page, section).text == text, "`make docs` writes it again"


def page_lines(printed: str) -> str:
    """Return what a command has printed, with samples and lines that fit a page."""
    lines = [part for line in sampled(printed).splitlines() for part in wrapped(line, " " * 4) or [""]]
    return "".join(f"{line}\n" for line in lines)


def sampled(text: str) -> str:
    for pattern, sample in _SAMPLES:
        text = re.sub(pattern, sample, text)
    return _WAITING.sub(lambda waiting: waiting_for(int(waiting[1])), text)


def waiting_for(days: int) -> str:
    """Say what `dv-resend explain` says of an order that was so old at the time of the samples."""
    since = _NOW - dt.timedelta(days=days)
    expire = f"{'expire' if days < 30 else 'expired'} on {since + dt.timedelta(days=30):%Y-%m-%d}"
    return f"Waiting since {since:%Y-%m-%dT%H:%M:%SZ} ({days} d); the links of its first emails {expire}"


def wrapped(line: str, indent: str = " " * 12) -> list[str]:
    """Split a long line between its words, which stay whole."""
    return textwrap.wrap(
        line,
        WIDTH,
        subsequent_indent=indent,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
