"""Servers on loopback that answer with given bytes, in place of CertCentral."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any


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
    """Serve in a thread."""
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
