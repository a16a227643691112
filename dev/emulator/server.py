"""The HTTP server: keep-alive connections, request bodies, and the raw socket control that faults need."""

import socket
import ssl
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from . import faults
from .answers import Answer, json_answer
from .api import answer_call
from .control import PREFIX, answer_control
from .page import render_page
from .state import State

MAX_BODY = 1024 * 1024
KEY_HEADER = "x-dc-devkey"
_POLL_SECONDS = 0.05


class _Unreadable(Exception):
    """The request body is broken or too large; the connection cannot be used any more."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Connection(BaseHTTPRequestHandler):
    """One client connection and the requests on it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: "Server"

    aborted = False
    call: dict[str, Any] | None = None

    def _handle(self) -> None:
        state = self.server.state
        self.call = None
        path, _, query = self.path.partition("?")
        try:
            body = self._read_body()
        except _Unreadable as wrong:
            self.close_connection = True
            self.send(json_answer(wrong.status, {"error": str(wrong)}))
            return
        if path == "/" and self.command == "GET":
            self.send(render_page(state))
        elif path.startswith(PREFIX):
            self.send(answer_control(state, self.command, path, body))
        else:
            self._handle_call(state, path, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = _handle  # noqa: N815

    def _handle_call(self, state: State, path: str, query: str, body: bytes) -> None:
        secret = self.headers.get(KEY_HEADER)
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != KEY_HEADER}
        self.call = state.begin_call(
            role=state.role(secret),
            method=self.command,
            path=path,
            query=query,
            body=body.decode("utf-8", "replace"),
            headers=headers,
            client_port=self.client_address[1],
        )
        number, resets = self.call["number"], state.resets

        @cache
        def answer() -> Answer:
            if state.resets != resets:  # a slow call of an earlier test must not mail into the next one's outbox
                return Answer(503, b"", {})
            return answer_call(state, secret, self.command, path, query, body, number)

        fault = state.take_fault(self.command, path)
        if fault is None:
            self.send(answer())
            return
        self.call["fault"] = fault.name
        if fault.mails:
            answer()
        faults.strike(self, fault, answer)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdecimal()):
            raise _Unreadable(400, "Content-Length must be a number")
        if int(length) > MAX_BODY:
            raise _Unreadable(413, f"the body is larger than {MAX_BODY} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise _Unreadable(400, "the body is shorter than Content-Length")
        return body

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            try:
                size = int(self.rfile.readline(1000).split(b";")[0], 16)
            except ValueError:
                raise _Unreadable(400, "the chunked body is broken") from None
            if size == 0:
                while self.rfile.readline(1000).strip():
                    pass  # trailers
                return body
            if not 0 < size <= MAX_BODY - len(body):
                raise _Unreadable(413, f"the body is larger than {MAX_BODY} bytes")
            body += self.rfile.read(size)
            self.rfile.readline(1000)

    # --- answers, and what faults do to a connection ---

    def send(self, answer: Answer) -> None:
        """A whole answer."""
        self._send_head(answer.status, answer.headers, None if answer.status in (204, 304) else len(answer.body))
        if self.command != "HEAD" and answer.body:
            self.wfile.write(answer.body)

    def stream(self, status: int, headers: dict[str, str], length: int, pieces: Iterable[bytes]) -> None:
        """An answer whose body may be shorter than `length` says; then the connection is closed."""
        self.close_connection = True
        self._send_head(status, headers, length)
        for piece in pieces:
            self.wfile.write(piece)

    def _send_head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        if self.call is not None:
            self.call["status"] = status  # before the first byte: a client that has the answer finds the call complete
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        closing = {"Connection": "close"} if self.close_connection else {}
        for name, value in (headers | closing).items():
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        """The Server header."""
        return "CertCentralEmulator"

    def pause(self, seconds: float) -> bool:
        """Waits; True if the emulator closes meanwhile."""
        return self.server.closing.wait(seconds)

    def wait_until_left(self) -> None:
        """Says nothing until the client leaves or the emulator closes."""
        self.close_connection = True
        self.connection.settimeout(_POLL_SECONDS)
        while not self.server.closing.is_set():
            try:
                if not self.connection.recv(1024):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def reset(self) -> None:
        """TCP RST in place of an answer."""
        self.close_connection = self.aborted = True

    def close_after_idle(self, seconds: float) -> None:
        """Closes the connection without a word once it was idle that long."""
        self.connection.settimeout(max(seconds, 0.001))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: calls are recorded, and no header may reach a log."""


class Server(ThreadingHTTPServer):
    """Accepts connections on loopback, and knows all of them, so that closing leaves none behind."""

    request_queue_size = 128

    def __init__(self, host: str, port: int, state: State, ssl_context: ssl.SSLContext | None = None) -> None:
        self.state = state
        self.closing = threading.Event()
        self._ssl_context = ssl_context
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), Connection)

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of the host's full name, which may ask a DNS server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """One daemon thread for each connection."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._open[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves a connection to its end."""
        aborted = False
        try:
            if self._ssl_context:
                # The handshake is this thread's business: a client that stalls must not keep others out.
                request = self._ssl_context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                with self._lock:
                    self._open[threading.current_thread()] = request
                request.do_handshake()
            aborted = self.RequestHandlerClass(request, client_address, self).aborted
        except OSError:
            pass  # the client left
        except Exception:
            print(f"CertCentral emulator: {traceback.format_exc()}", file=sys.stderr)
        finally:
            if aborted:
                request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                _shut(request, socket.SHUT_WR)
            request.close()
            with self._lock:
                del self._open[threading.current_thread()]

    def close(self) -> None:
        """Stops listening, ends every connection, waits for their threads. Call it while serve_forever runs."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        deadline = time.monotonic() + 5
        while self._open and time.monotonic() < deadline:  # again and again: a TLS socket may replace a plain one
            with self._lock:
                connections = dict(self._open)
            for thread, connection in connections.items():
                _shut(connection, socket.SHUT_RDWR)
                thread.join(_POLL_SECONDS)


def _shut(connection: socket.socket, how: int) -> None:
    with suppress(OSError):  # it may be closed already
        socket.socket.shutdown(connection, how)
