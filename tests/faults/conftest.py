"""Shared fixtures: a CertCentral that fails at a chosen step of a resend, and an AWS in this process."""

import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
import requests
import trustme
from conftest import CANARY, SECRET_ID, TABLE, Output, create_send_records_table
from moto import mock_aws

from dev.emulator import CertCentralEmulator
from dv_resend import app
from faults.network import Names

PATH = "/services/v2/order/certificate/{}/resend-emails"

type Invoke = Callable[..., Any]
type ReadOutput = Callable[[], Output]
type Settings = Callable[..., None]

type Step = Literal["validation", "order", "put"]
STEPS: tuple[Step, ...] = ("validation", "order", "put")
EARLIER: dict[Step, Step] = {"order": "validation", "put": "order"}
_PATHS: dict[Step, str] = {"validation": "/{}/validation$", "order": "/{}$", "put": "/{}/resend-emails$"}


def path_of(step: Step, order_id: int) -> str:
    """Match the path of one step of an order's resend."""
    return _PATHS[step].format(order_id)


def once_at(step: Step, order_id: int, do: Callable[[], object]) -> Callable[[dict[str, Any]], None]:
    """Return an `on_call` that does something when the first request of a step arrives."""
    left = [do]

    def on_call(call: dict[str, Any]) -> None:
        if left and re.search(path_of(step, order_id), call["path"]):
            left.pop()()

    return on_call


def puts(upstream: CertCentralEmulator, order_id: int) -> int:
    return upstream.count_calls("PUT", path_of("put", order_id))


@pytest.fixture(scope="module")
def _one_aws() -> Iterator[str]:
    """One AWS for a whole file, because creating one for each test is slow; yields the queue's URL."""
    with mock_aws():
        create_send_records_table(boto3.client("dynamodb"))
        boto3.client("secretsmanager").create_secret(Name=SECRET_ID, SecretString=CANARY)
        attributes: Any = {"FifoQueue": "true"}
        yield boto3.client("sqs").create_queue(QueueName="reminders.fifo", Attributes=attributes)["QueueUrl"]


@pytest.fixture
def aws(_one_aws: str, settings: Settings) -> Iterator[str]:
    """An AWS with an empty table and the canary key in its secret; yields the queue's URL."""
    table = boto3.client("dynamodb")
    for item in table.scan(TableName=TABLE)["Items"]:
        table.delete_item(TableName=TABLE, Key={"id": item["id"]})
    store_key(CANARY)
    # The highest rate: a test that makes fewer than 50 calls never waits.
    settings(SWEEP_QUEUE_URL=_one_aws, SWEEP_REQUESTS_PER_SECOND="50")
    yield _one_aws
    assert CANARY not in str(table.scan(TableName=TABLE))


def session() -> requests.Session:
    """Return the session of the function's client."""
    return app._parts().certcentral._http._session


def store_key(key: str) -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=SECRET_ID, SecretString=key)


def stored_key() -> str:
    return boto3.client("secretsmanager").get_secret_value(SecretId=SECRET_ID)["SecretString"]


@pytest.fixture(scope="module")
def _one_upstream() -> Iterator[CertCentralEmulator]:
    with CertCentralEmulator(valid_key=CANARY) as upstream:
        yield upstream


@pytest.fixture
def upstream(
    aws: str,  # noqa: ARG001
    _one_upstream: CertCentralEmulator,
    settings: Settings,
) -> Iterator[CertCentralEmulator]:
    """The CertCentral that the function is configured with; it responds correctly until a test makes it fail."""
    _one_upstream.reset()
    _one_upstream.set_limits(None)
    settings(
        CERTCENTRAL_BASE_URL=_one_upstream.base_url,
        CERTCENTRAL_TIMEOUT_SECONDS="1",
        DNS_SERVERS=_one_upstream.dns_server,
    )
    yield _one_upstream
    _one_upstream.clear_faults()
    app._parts.cache_clear()


@pytest.fixture(scope="module")
def _authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def _one_tls_upstream(_authority: trustme.CA) -> Iterator[CertCentralEmulator]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority.issue_cert("127.0.0.1").configure_cert(context)
    with CertCentralEmulator(valid_key=CANARY, ssl_context=context) as upstream:
        yield upstream


@pytest.fixture
def tls_upstream(
    aws: str,  # noqa: ARG001
    _one_tls_upstream: CertCentralEmulator,
    _authority: trustme.CA,
    settings: Settings,
    tmp_path: Path,
) -> Iterator[CertCentralEmulator]:
    """The same over TLS, with a certificate authority that the function trusts."""
    _one_tls_upstream.reset()
    _one_tls_upstream.set_limits(None)
    settings(CERTCENTRAL_BASE_URL=_one_tls_upstream.base_url, CERTCENTRAL_TIMEOUT_SECONDS="1")
    bundle = tmp_path / "authority.pem"
    _authority.cert_pem.write_to_path(bundle)
    session().verify = str(bundle)
    yield _one_tls_upstream
    _one_tls_upstream.clear_faults()
    app._parts.cache_clear()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dv_resend.adapters.certcentral_http.random.uniform", lambda *_: 0.0)


class Clock:
    """The function's clock, which a test can set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def time(self) -> float:
        return self()

    def jump(self, seconds: float) -> None:
        self.ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(app, "time", clock)
    for name in ("Resender", "Sweeper", "CertCentralHttp"):
        monkeypatch.setattr(app, name, partial(getattr(app, name), clock=clock))
    return clock


def http(order_id: object, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": PATH.format(order_id),
        "headers": {},
        "queryStringParameters": query or None,
        "requestContext": {"http": {"method": "PUT"}, "stage": "$default"},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def direct(order_id: object, **fields: Any) -> dict[str, Any]:
    return {"order_id": order_id, **fields}


def event(order_id: object, **fields: Any) -> dict[str, Any]:
    return {"id": f"event-{order_id}", "detail-type": "Resend DV Emails", "detail": direct(order_id, **fields)}


def message(order_id: object, receives: int = 1, **fields: Any) -> dict[str, Any]:
    """Build one record of the reminder queue."""
    return {
        "messageId": f"message-{order_id}",
        "receiptHandle": f"handle-{order_id}",
        "body": json.dumps({"order_id": order_id, **fields}),
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "eventSource": "aws:sqs",
    }


def queue(*order_ids: object) -> dict[str, Any]:
    return {"Records": [message(order_id) for order_id in order_ids]}
