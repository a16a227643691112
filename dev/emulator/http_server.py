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
from io import BytesIO
from socketserver import TCPServer
from typing import Any

from . import faults
from .certcentral_api import respond
from .control_api import PREFIX, respond_to_control
from .page import is_page_path, respond_to_page
from .responses import Response, json_response
from .same_site import is_from_another_site
from .state import State

MAX_BODY_BYTES = 1024 * 1024
KEY_HEADER = "x-dc-devkey"
_POLL_SECONDS = 0.05


class _Unreadable(Exception):
    """The request body is broken or too large, and the connection cannot be used any more."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
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
        except _Unreadable as error:
            self.close_connection = True
            self.send(json_response(error.status, {"error": str(error)}))
            return
        # A mistyped address in a browser, which has no key, is no call.
        is_mistyped = self.command in ("GET", "HEAD") and KEY_HEADER not in self.headers
        is_page = is_page_path(path) or (is_mistyped and not path.startswith(("/services/", PREFIX)))
        if not is_page and not path.startswith(PREFIX):
            self._handle_call(state, path, query, body)
        elif self.command not in ("GET", "HEAD") and is_from_another_site(self.headers):
            self.send(json_response(403, {"error": "web pages of other sites may not steer the emulator"}))
        elif is_page:
            self.send(respond_to_page(state, self.server.url, self.command, path, query))
        else:
            self.send(respond_to_control(state, self.command, path, body))

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
        state.on_call(self.call)

        @cache
        def take_effect() -> Response:
            if state.resets != resets:  # a slow call of an earlier test must not mail into the next test's outbox
                return Response(503, b"", {})
            return respond(state, secret, self.command, path, query, body, number)

        fault = state.take_fault(self.command, path)
        if fault is None:
            response = take_effect()
            self.call["error"] = response.body.decode() if response.status >= 400 else None
            self.send(response)
            return
        self.call["fault"] = fault.name
        if fault.mails:
            take_effect()
        faults.strike(self, fault, take_effect)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdecimal()):
            raise _Unreadable(400, "Content-Length must be a number")
        if int(length) > MAX_BODY_BYTES:
            raise _Unreadable(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
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
            if not 0 < size <= MAX_BODY_BYTES - len(body):
                raise _Unreadable(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
            body += self.rfile.read(size)
            self.rfile.readline(1000)

    # --- responses, and what faults do to a connection ---

    def send(self, response: Response, before: bytes = b"", after: bytes = b"") -> None:
        """Send a whole response in one write, with any bytes before and after it."""
        status, body, headers = response
        connection, head = self.wfile, BytesIO()
        self.wfile = head
        try:
            self._send_head(status, headers, None if status in (204, 304) else len(body))
        finally:
            self.wfile = connection
        self.wfile.write(before + head.getvalue() + (b"" if self.command == "HEAD" else body) + after)

    def stream(self, status: int, headers: dict[str, str], length: int, pieces: Iterable[bytes]) -> None:
        """Send a response whose body may be shorter than `length`, then close the connection."""
        self.close_connection = True
        self._send_head(status, headers, length)
        for piece in pieces:
            self.wfile.write(piece)

    def _send_head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        if self.call is not None:
            self.call["status"] = status  # before the first byte: a client with the response finds the call complete
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        closing = {"Connection": "close"} if self.close_connection else {}
        for name, value in (headers | closing).items():
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        """Return the Server header."""
        return "CertCentralEmulator"

    def pause(self, seconds: float) -> bool:
        """Wait; True if the emulator closes meanwhile."""
        return self.server.closing.wait(seconds)

    def wait_until_left(self) -> None:
        """Send nothing until the client leaves or the emulator closes."""
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
        """Send a TCP RST instead of a response."""
        self.close_connection = self.aborted = True

    def close_after_idle(self, seconds: float) -> None:
        """Close the connection without notice after that long without a request."""
        self.connection.settimeout(max(seconds, 0.001))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: calls are recorded, and no header may reach a log."""


class Server(ThreadingHTTPServer):
    """Accepts connections on loopback and keeps track of them, so that closing leaves none behind."""

    request_queue_size = 128

    def __init__(self, host: str, port: int, state: State, ssl_context: ssl.SSLContext | None = None) -> None:
        self.state = state
        self.closing = threading.Event()
        self.ssl_context = ssl_context
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), Connection)

    @property
    def url(self) -> str:
        """The root of the emulator."""
        return f"{'https' if self.ssl_context else 'http'}://{self.server_name}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without HTTPServer's lookup of the host's full name, which may query DNS."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start one daemon thread for each connection."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._open[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        aborted = False
        try:
            if self.ssl_context:
                # In this thread, so that a client that stalls in the handshake does not block others.
                request = self.ssl_context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                with self._lock:
                    self._open[threading.current_thread()] = request
                request.do_handshake()
            aborted = Connection(request, client_address, self).aborted
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
        """Stop listening, end every connection, wait for their threads. Call it while serve_forever runs."""
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
