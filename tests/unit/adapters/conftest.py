"""A CertCentral on loopback, the client's lower layer on top of it, and errors of the AWS SDK."""

import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
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


@pytest.fixture(scope="module")
def _one_emulator() -> Iterator[CertCentralEmulator]:
    """One emulator for each file: starting and closing one for each test would take most of the time."""
    with CertCentralEmulator(valid_key=CANARY) as emulator:
        yield emulator


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


class ScriptedServer(socketserver.ThreadingTCPServer):
    """Answers each request with the next of its ``answers``, on whichever connection it arrives, and keeps them open.

    ``ports`` are the client's ports, one for each request: the same for two requests on one connection.
    """

    daemon_threads = True

    def __init__(self, answers: Sequence[bytes], context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.address = f"http{'s' if context else ''}://127.0.0.1:{self.server_address[1]}"
        self.ports: list[int] = []
        self._answers = iter(answers)
        self._context = context
        self._connections: list[socket.socket] = []

    def push(self, data: bytes) -> None:
        """Send bytes that nobody asked for on the newest connection."""
        self._connections[-1].sendall(data)

    def finish_request(self, request: Any, client_address: Any) -> None:
        buffered = b""
        with (
            suppress(OSError),
            self._context.wrap_socket(request, server_side=True) if self._context else request as it,
        ):
            self._connections.append(it)
            while received := it.recv(65536):
                buffered += received
                # The body of a PUT is "{}" here.
                if buffered.endswith(b"\r\n\r\n" + b"{}" * buffered.startswith(b"PUT")):
                    buffered = b""
                    self.ports.append(client_address[1])
                    it.sendall(next(self._answers))


class RawServer(socketserver.TCPServer):
    """Answers the first request of every connection with the same bytes."""

    def __init__(self, answer: bytes, *, closes: bool) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[bytes] = []
        self._answer = answer
        self._closes = closes
        self._kept: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        received = b""
        while b"\r\n\r\n" not in received:
            received += request.recv(65536)
        self.requests.append(received)
        request.sendall(self._answer)
        if self._closes:
            request.close()
        else:
            self._kept.append(request)

    def server_close(self) -> None:
        super().server_close()
        for kept in self._kept:
            kept.close()


@contextmanager
def running[Server: socketserver.BaseServer](server: Server) -> Iterator[Server]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def scripted_server(*answers: bytes, context: ssl.SSLContext | None = None) -> AbstractContextManager[ScriptedServer]:
    """Run a server that gives these answers, over TLS if there is a ``context``."""
    return running(ScriptedServer(answers, context))


def raw_server(answer: bytes, *, closes: bool = False) -> AbstractContextManager[RawServer]:
    """Run a server of raw bytes. It keeps its connections open, or ``closes`` each after the answer."""
    return running(RawServer(answer, closes=closes))


@contextmanager
def refused_port() -> Iterator[int]:
    """Reserve a port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
