"""Shared fixtures: a CertCentral that fails at a chosen step of a resend, and an AWS in this process."""

import re
import socket
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
from conftest import CANARY, SECRET_ID, Output

from dev.emulator import CertCentralEmulator
from dev.faults.network import Names
from dv_resend import app

type Invoke = Callable[..., Any]
type ReadOutput = Callable[[], Output]
type Settings = Callable[..., None]

type Step = Literal["validation", "order", "put", "first put", "second emails", "second put"]
# Of a DV order. The last three are about the domains of another order.
STEPS: tuple[Step, ...] = ("validation", "order", "put")
EARLIER: dict[Step, Step] = {
    "order": "validation",
    "put": "order",
    "second emails": "order",
    "second put": "first put",
}
_PATHS: dict[Step, str] = {"validation": "/{}/validation$", "order": "/{}$", "put": "/{}/resend-emails$"}
_DOMAIN_PATH = "/domain/{}/dcv/emails$"


def path_of(step: Step, number: int) -> str:
    """Match the path of one step of a resend; the number is that of the order, or of the domain."""
    return _PATHS.get(step, _DOMAIN_PATH).format(number)


def once_at(step: Step, number: int, do: Callable[[], object]) -> Callable[[dict[str, Any]], None]:
    """Return an `on_call` that does something when the first request of a step arrives."""
    left = [do]

    def on_call(call: dict[str, Any]) -> None:
        if left and re.search(path_of(step, number), call["path"]):
            left.pop()()

    return on_call


def puts(upstream: CertCentralEmulator, order_id: int) -> int:
    return upstream.count_calls("PUT", path_of("put", order_id))


def session() -> requests.Session:
    """Return the session of the function's client."""
    return app._parts().certcentral._http._session


def stored_key() -> str:
    return boto3.client("secretsmanager").get_secret_value(SecretId=SECRET_ID)["SecretString"]


@pytest.fixture
def upstream(emulator: CertCentralEmulator, queue_url: str) -> Iterator[CertCentralEmulator]:  # noqa: ARG001
    """The CertCentral that the function is configured with; it responds correctly until a test makes it fail."""
    emulator.set_limits(None)
    yield emulator
    emulator.clear_faults()


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
    queue_url: str,  # noqa: ARG001
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


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    return names


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
