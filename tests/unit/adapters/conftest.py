"""A CertCentral on loopback, the client's lower layer on top of it, and errors of the AWS SDK."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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


class ScriptedServer:
    """Answers each request with the next of its ``answers``, on whichever connection it arrives, and keeps them open.

    ``ports`` are the client's ports, one for each request: the same for two requests on one connection.
    """

    def __init__(self, answers: Sequence[bytes], context: ssl.SSLContext | None) -> None:
        self.ports: list[int] = []
        self._answers = iter(answers)
        self._context = context
        self._connections: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        return f"http{'s' if self._context else ''}://127.0.0.1:{self._listening.getsockname()[1]}"

    def push(self, data: bytes) -> None:
        """Send bytes that nobody asked for on the newest connection."""
        self._connections[-1].sendall(data)

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for connection in self._connections:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for opened in (*self._connections, self._listening):
            opened.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, (_, port) = self._listening.accept()
            except OSError:
                return
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection, port), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        buffered = b""
        with suppress(OSError):
            while received := connection.recv(65536):
                buffered += received
                # The body of a PUT is "{}" here.
                if buffered.endswith(b"\r\n\r\n" + b"{}" * buffered.startswith(b"PUT")):
                    buffered = b""
                    self.ports.append(port)
                    connection.sendall(next(self._answers))


class RawServer:
    """Answers the first request of every connection with the same bytes."""

    def __init__(self, answer: bytes, *, closes: bool) -> None:
        self.requests: list[bytes] = []
        self.closed = threading.Semaphore(0)
        self._answer = answer
        self._closes = closes
        self._connections: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
        for connection in self._connections:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            self.requests.append(request)
            connection.sendall(self._answer)
            if self._closes:
                connection.close()
                self.closed.release()


@contextmanager
def scripted_server(*answers: bytes, context: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a server that gives these answers, over TLS if there is a ``context``."""
    server = ScriptedServer(answers, context)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def raw_server(answer: bytes, *, closes: bool = False) -> Iterator[RawServer]:
    """Run a server of raw bytes. It keeps its connections open, or ``closes`` each after the answer."""
    server = RawServer(answer, closes=closes)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def refused_port() -> Iterator[int]:
    """Reserve a port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
