"""Faults of the network, before a request reaches CertCentral: names that do not resolve, and ports that fail."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest


class Names:
    """Name resolution that a test may break: `lead_to` another port or to nothing (None), until it is `mend`ed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._port: int | None = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def lead_to(self, port: int | None) -> None:
        self._port = port

    def mend(self) -> None:
        self._port = 0

    def _look_up(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if self._port is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(host, self._port or port, *args, **options)


@contextmanager
def refusing() -> Iterator[int]:
    """Give a port on which nothing listens, and nothing else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def deaf() -> Iterator[int]:
    """Give a port that accepts no connection: its queue is full, so the kernel drops what comes."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@contextmanager
def resetting() -> Iterator[int]:
    """Give a port that accepts each connection, and resets it at the first byte."""

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
