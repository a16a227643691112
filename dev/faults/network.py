"""Faults of the network, before a request reaches CertCentral: names that do not resolve, and ports that fail."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Names:
    """Name resolution of the upstream's host: `go` redirects it or makes it fail (``None``), `restore` undoes that."""

    def __init__(self, look_up: Callable[..., Any]) -> None:
        self._port: int | None = 0
        self._real = look_up

    def go(self, port: int | None) -> None:
        self._port = port

    def restore(self) -> None:
        self._port = 0

    def look_up(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        """Stand in for `socket.getaddrinfo`."""
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


def has_ipv6() -> bool:
    """Whether this machine's loopback has IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
