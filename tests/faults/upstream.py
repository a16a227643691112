"""A CertCentral that breaks at a chosen step of a send, on the wire.

It is the emulator with three more ways to go wrong: an answer that is nothing but given bytes, at a given pace; a TLS
certificate that changes; and a name that leads somewhere else.
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
    """An answer as bytes: ``slowly`` one by one after ``at_once``, then silence, unless the connection ``ends``."""

    at_once: bytes
    slowly: bytes = b""
    pause: float = 0.05
    ends: bool = True


type Place = tuple[Step, int]
"""A step of the send of an order."""


class Upstream(CertCentralEmulator):
    """The emulator, with everything that came in, and more ways to go wrong, each at a place of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._server.RequestHandlerClass = _Connection
        self.key = options["valid_key"]
        self.came: list[Place] = []
        self.answers: dict[Place, Raw] = {}
        """What is answered in place of the emulator's own answer."""
        self.list_answer: Raw | None = None
        self.takes_effect: set[Place] = set()
        """Where a request does what it should, whatever is answered."""
        self.ends_after: set[Place] = set()
        """Where the connection ends with the answer, so that the next step needs a new one."""
        self.hooks: dict[Place, Callable[[], None]] = {}
        """What is called as a request comes in."""

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
        """Meet new connections with another certificate, or without TLS."""
        self._server._ssl_context = context

    def puts(self, order_id: int) -> int:
        return self.came.count(("put", order_id))

    def mailings(self, order_id: int) -> int:
        """How many requests mailed somebody about an order."""
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
            unheard, self.wfile = self.wfile, io.BytesIO()
            super()._handle_call(state, path, query, body)
            self.wfile = unheard
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
    """What the host name of the upstream leads to: `go` somewhere else, or nowhere (``None``), until it is `mended`."""

    def __init__(self, monkeypatch: Any) -> None:
        self._port: int | None = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def go(self, port: int | None) -> None:
        self._port = port

    def mended(self) -> None:
        self._port = 0

    def _look_up(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if self._port is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(host, self._port or port, *args, **options)


@contextmanager
def refusing() -> Iterator[int]:
    """A port at which nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def deaf() -> Iterator[int]:
    """A port that takes no more connections: with the queue full, the kernel drops what comes."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@contextmanager
def resetting() -> Iterator[int]:
    """A port that takes each connection, and resets it at the first byte that comes."""

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
