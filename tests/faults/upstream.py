"""A CertCentral that fails at a chosen step of a resend, on the wire.

It is the emulator with three more faults: a response of given bytes at a given speed, a TLS certificate that changes,
and a host name that resolves to somewhere else.
"""

import io
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from dev.emulator import CertCentralEmulator
from dev.emulator.server import Connection
from dev.emulator.state import State

type Step = Literal["validation", "order", "put"]
STEPS: tuple[Step, ...] = ("validation", "order", "put")
EARLIER: dict[Step, Step] = {"order": "validation", "put": "order"}


@dataclass(frozen=True)
class Raw:
    """A response as bytes: ``at_once``, then ``slowly`` byte by byte, then silence unless the connection ``ends``."""

    at_once: bytes
    slowly: bytes = b""
    pause: float = 0.05
    ends: bool = True


type Place = tuple[Step, int]
"""A step of an order's resend."""


class Upstream(CertCentralEmulator):
    """The emulator, with a record of requests, and with faults at chosen places."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._server.RequestHandlerClass = _Connection
        self.key = options["valid_key"]
        self.came: list[Place] = []
        self.answers: dict[Place, Raw] = {}
        """Responses that replace the emulator's own."""
        self.list_answer: Raw | None = None
        self.takes_effect: set[Place] = set()
        """Places where a request takes effect in spite of its response."""
        self.ends_after: set[Place] = set()
        """Places where the connection ends with the response, so that the next step needs a new one."""
        self.hooks: dict[Place, Callable[[], None]] = {}
        """Functions to call when a request arrives."""

    def start_afresh(self) -> None:
        self.reset()
        self.set_limits(None)
        self.stop_striking()
        self.came.clear()

    def stop_striking(self) -> None:
        self.clear_faults()
        self.list_answer = None
        for strikes in (self.answers, self.takes_effect, self.ends_after, self.hooks):
            strikes.clear()

    def meet_with(self, context: ssl.SSLContext | None) -> None:
        """Accept new connections with another certificate, or without TLS."""
        self._server._ssl_context = context

    def puts(self, order_id: int) -> int:
        return self.came.count(("put", order_id))

    def mailings(self, order_id: int) -> int:
        """How many requests sent emails about an order."""
        return len({mail["caused_by"] for mail in self.outbox if mail["order_id"] == order_id})


class _Connection(Connection):
    def _handle_call(self, state: State, path: str, query: str, body: bytes) -> None:
        assert isinstance(state, Upstream)
        match = re.search(r"/certificate/([0-9]+)", path)
        if match is None and state.list_answer:
            self._answer(state.list_answer)
            return
        if match is None:
            super()._handle_call(state, path, query, body)
            return
        step: Step = "put" if self.command == "PUT" else "validation" if path.endswith("/validation") else "order"
        place = step, int(match[1])
        state.came.append(place)
        state.hooks.get(place, lambda: None)()
        if place in state.ends_after:
            self.close_connection = True
        raw = state.answers.get(place)
        if raw is None:
            super()._handle_call(state, path, query, body)
            return
        if place in state.takes_effect:
            wfile, self.wfile = self.wfile, io.BytesIO()
            super()._handle_call(state, path, query, body)
            self.wfile = wfile
        self._answer(raw)

    def _answer(self, raw: Raw) -> None:
        self.close_connection = True
        self.wfile.write(raw.at_once)
        for byte in raw.slowly:
            if self.pause(raw.pause):
                return
            self.wfile.write(bytes([byte]))
        if not raw.ends:
            self.wait_until_left()


class Names:
    """Name resolution of the upstream's host: `go` redirects it or makes it fail (``None``), `restore` undoes that."""

    def __init__(self, monkeypatch: Any) -> None:
        self._port: int | None = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def go(self, port: int | None) -> None:
        self._port = port

    def restore(self) -> None:
        self._port = 0

    def _look_up(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if self._port is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(host, self._port or port, *args, **options)


@contextmanager
def refusing() -> Iterator[int]:
    """A reserved port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def deaf() -> Iterator[int]:
    """A port that accepts no more connections: its queue is full, so the kernel drops new ones."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@contextmanager
def resetting() -> Iterator[int]:
    """A port that accepts each connection, and resets it at the first byte."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
