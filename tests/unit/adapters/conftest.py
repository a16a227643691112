"""A CertCentral on loopback, the client's lower layer on top of it, and errors of the AWS SDK."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
from botocore.exceptions import ClientError
from conftest import CANARY

from dev.emulator import CertCentralEmulator
from dv_resend.adapters.certcentral_http import Call, CertCentralHttp

ORDER = 100000001
# Long enough for a good answer on a busy machine. A test of silence sets a short one.
TIMEOUT_SECONDS = 10.0
GET = Call("GET", f"/order/certificate/{ORDER}")
PUT = Call("PUT", f"/order/certificate/{ORDER}/resend-emails", {})

type MakeHttp = Callable[..., CertCentralHttp]
"""Makes the layer that exchanges HTTP with the emulator; keyword arguments replace the defaults."""


class KeyStub:
    """An `ApiKey` of two values: the one in the cache, and the one in Secrets Manager."""

    def __init__(self, cached: str = CANARY, stored: str | None = None) -> None:
        self.cached, self.stored, self.refreshed = cached, stored or cached, 0

    def current(self) -> str:
        return self.cached

    def refresh(self) -> str:
        self.refreshed += 1
        self.cached = self.stored
        return self.cached


@pytest.fixture
def emulator(_one_emulator: CertCentralEmulator) -> CertCentralEmulator:
    _one_emulator.reset()
    return _one_emulator


@pytest.fixture
def make_http(emulator: CertCentralEmulator) -> Iterator[MakeHttp]:
    made: list[CertCentralHttp] = []

    def make(**options: Any) -> CertCentralHttp:
        defaults: dict[str, Any] = {
            "base_url": emulator.base_url,
            "timeout_seconds": TIMEOUT_SECONDS,
            "api_key": KeyStub(),
            "observe": lambda _status, _seconds: None,
            "sleep": lambda _seconds: None,
        }
        made.append(CertCentralHttp(**defaults | options))
        return made[-1]

    yield make
    for http in made:
        http._session.close()


@dataclass(frozen=True)
class Transport:
    """Plain TCP, or TLS with a certificate whose authority is in ``bundle``."""

    context: ssl.SSLContext | None = None
    bundle: str | None = None


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Transport:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    return Transport(context, str(bundle))


@pytest.fixture(params=["plain", "tls"])
def transport(request: pytest.FixtureRequest, tls: Transport) -> Transport:
    return tls if request.param == "tls" else Transport()


@pytest.fixture
def http(make_http: MakeHttp) -> CertCentralHttp:
    return make_http()


def refusal(code: str) -> ClientError:
    """Return the SDK's error for a response with this code."""
    return ClientError({"Error": {"Code": code, "Message": f"Secret words about {CANARY}."}}, "AnOperation")


def later(seconds: float = 60) -> float:
    """Return a deadline so many seconds from now."""
    return time.time() + seconds


def methods(emulator: CertCentralEmulator) -> list[str]:
    """Return the methods of the calls that the emulator received."""
    return [call["method"] for call in emulator.calls]
