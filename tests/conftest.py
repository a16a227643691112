"""Fixtures and rules of the whole suite.

One rule holds for every test: the canary key, which all tests store and send, never appears in what a test prints or
logs, in what the handler answers or raises, or in the table of send records.
"""

import json
import logging
import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

CANARY = "canary-5f0c2b7e9d4148a6b3e1"
SECRET_ID = "dv-resend/api-key"
TABLE = "send-records"
BASE_URL = "https://certcentral.test/services/v2"
SERVICE = "dv-resend-test"

# Before the first import of the code under test: nothing of the real environment may reach it.
for _name in [name for name in os.environ if name.startswith(("AWS_", "POWERTOOLS_"))]:
    del os.environ[_name]
os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "POWERTOOLS_SERVICE_NAME": SERVICE,
}

import boto3
import hypothesis
import pytest
from moto import mock_aws

from dev.emulator import CertCentralEmulator
from dv_resend import app, observability
from dv_resend.config import Config

# No test may depend on how fast a machine is.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


class _CurrentStdout:
    """Where the logger writes: whatever stdout is now, so that each test captures its own lines."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


_handler = observability.logger.registered_handler
assert isinstance(_handler, logging.StreamHandler)
_handler.setStream(_CurrentStdout())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:  # noqa: ARG001
    report = yield
    if any(CANARY in content for _, content in report.sections) or CANARY in str(report.longrepr or ""):
        report.outcome = "failed"
        report.longrepr = f"the API key leaked into the output of {item.nodeid}"
        report.sections = []
    return report


@dataclass
class Output:
    """What the code under test printed: its log lines, and its metrics in EMF."""

    lines: list[dict[str, Any]]

    @property
    def audit(self) -> dict[str, Any]:
        (line,) = [line for line in self.lines if line.get("message") == "audit"]
        return line

    @property
    def metrics(self) -> dict[str, list[dict[str, Any]]]:
        """By metric name: the dimensions and the value of each emission."""
        found: dict[str, list[dict[str, Any]]] = {}
        for line in self.lines:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                (names,) = directive["Dimensions"]
                for metric in directive["Metrics"]:
                    value = line[metric["Name"]]
                    emission = {
                        "namespace": directive["Namespace"],
                        "dimensions": {name: line[name] for name in names},
                        "value": value[0] if isinstance(value, list) and len(value) == 1 else value,
                    }
                    found.setdefault(metric["Name"], []).append(emission)
        return found


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Callable[[], Output]:
    """Give a function that returns what was printed since its last call."""

    def read() -> Output:
        printed = capsys.readouterr()
        assert CANARY not in printed.out + printed.err
        return Output([json.loads(line) for line in printed.out.splitlines() if line.startswith("{")])

    return read


@pytest.fixture(autouse=True)
def _fresh_function() -> Iterator[None]:
    """Give every test a function that has just started."""
    app._parts.cache_clear()
    observability.logger.clear_state()
    yield
    app._parts.cache_clear()
    observability.metrics.clear_metrics()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the function's environment variables, valid ones first; call it again to change some."""
    for name, value in {
        "API_KEY_SECRET_ID": SECRET_ID,
        "SEND_RECORDS_TABLE": TABLE,
        "CERTCENTRAL_BASE_URL": BASE_URL,
        # Nothing listens there, so that a test without a DNS server of its own never queries this machine's resolvers.
        "DNS_SERVERS": "127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)

    def change(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        app._parts.cache_clear()

    return change


@pytest.fixture(scope="module")
def _one_aws() -> Iterator[None]:
    """One AWS for a whole file, because creating one for each test is slow."""
    with mock_aws():
        create_send_records_table(boto3.client("dynamodb"))
        boto3.client("secretsmanager").create_secret(Name=SECRET_ID, SecretString=CANARY)
        yield


@pytest.fixture
def aws(_one_aws: None, settings: Callable[..., None]) -> Iterator[None]:  # noqa: ARG001
    """Stand in for AWS in this process, with an empty table of send records and the canary key in its secret."""
    table = boto3.client("dynamodb")
    for item in table.scan(TableName=TABLE)["Items"]:
        table.delete_item(TableName=TABLE, Key={"id": item["id"]})
    store_key(CANARY)
    yield
    assert CANARY not in str(table.scan(TableName=TABLE))


@pytest.fixture
def queue_url(aws: None, settings: Callable[..., None]) -> Iterator[str]:  # noqa: ARG001
    """Make the function one that sweeps, with a reminder queue and the highest rate: no test waits for a token."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="reminders.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    settings(SWEEP_QUEUE_URL=url, SWEEP_REQUESTS_PER_SECOND="50")
    yield url
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture(scope="module")
def _one_emulator() -> Iterator[CertCentralEmulator]:
    """One emulator for a whole file, for the same reason."""
    with CertCentralEmulator(valid_key=CANARY) as emulator:
        yield emulator


@pytest.fixture
def emulator(
    aws: None,  # noqa: ARG001
    settings: Callable[..., None],
    _one_emulator: CertCentralEmulator,
) -> CertCentralEmulator:
    """The CertCentral and the DNS server that the function is configured with."""
    _one_emulator.reset()
    settings(
        CERTCENTRAL_BASE_URL=_one_emulator.base_url,
        CERTCENTRAL_TIMEOUT_SECONDS="1",
        DNS_SERVERS=_one_emulator.dns_server,
    )
    return _one_emulator


def store_key(key: str) -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=SECRET_ID, SecretString=key)


def create_send_records_table(client: Any) -> None:
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def lambda_context(request_id: str = "11111111-2222-4333-8444-555555555555", seconds: float = 29) -> Any:
    """Build the context of one invocation that has ``seconds`` left."""
    return types.SimpleNamespace(
        function_name="resend",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:resend:live",
        aws_request_id=request_id,
        tenant_id=None,
        get_remaining_time_in_millis=lambda: int(seconds * 1000),
    )


@pytest.fixture
def invoke() -> Callable[..., Any]:
    """Call the handler as Lambda would: answers must be JSON, and neither they nor errors may hold the key."""

    def call(event: Any, **context: Any) -> Any:
        try:
            answer = app.lambda_handler(event, lambda_context(**context))
        except Exception as error:
            assert CANARY not in f"{error!r} {error}"  # noqa: PT017 - raised on
            raise
        text = json.dumps(answer)
        assert CANARY not in text
        return json.loads(text)

    return call


def settings_read() -> set[str]:
    """Name every environment variable that the function reads its settings from."""
    names: set[str] = set()

    class Recording(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            names.add(name)
            return super().get(name, default)

    Config.from_environment(Recording(API_KEY_SECRET_ID="a-secret", SEND_RECORDS_TABLE="a-table"))
    return names
