"""The connection to CertCentral: one that is kept, whose every response belongs to the request before it.

The key goes to the configured host alone: no proxy, no redirect, no cookie.
"""

import io
import socket
import ssl
from collections.abc import Callable
from functools import partial
from http.client import HTTPException, HTTPResponse, RemoteDisconnected, parse_headers
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

# More than anybody sends before a response. They are skipped (RFC 9110, 15.2), so their number must have an end.
MAX_INTERIM_RESPONSES = 20


class UntrustedCertificate(ssl.SSLCertVerificationError):
    """The certificate failed verification in the handshake of a new connection, so no request was sent on it.

    Example:
        ``isinstance(error, UntrustedCertificate)``
    """


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        """Find no redirect at all: requests reads a redirect's whole body even if it must not follow it."""
        return


def new_session(seconds_left: Callable[[], float]) -> requests.Session:
    """Return a session with one connection. ``seconds_left`` bounds each read: the seconds that it may take."""
    session = _Session()
    # No proxy, netrc or CA bundle from the environment: the key goes to the configured host alone.
    session.trust_env = False
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # One connection, so that the PUT goes out on the connection that the GET has just proved alive. No retries, because
    # urllib3 would repeat a PUT. `read=False` tells a read time-out from a connection that was never made.
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=urllib3.Retry(total=0, read=False))
    adapter.poolmanager.pool_classes_by_scheme = {
        "http": _pool_of(urllib3.HTTPConnectionPool, _Connection, seconds_left),
        "https": _pool_of(urllib3.HTTPSConnectionPool, _TlsConnection, seconds_left),
    }
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _pool_of(
    pool: type[urllib3.HTTPConnectionPool], connection: type["_Connection"], seconds_left: Callable[[], float]
) -> type[urllib3.HTTPConnectionPool]:
    """Return the pool class, with connections that are read within ``seconds_left``."""
    bounded = type("Connection", (connection,), {"seconds_left": staticmethod(seconds_left)})
    return type("Pool", (pool,), {"ConnectionCls": bounded})


class _Connection(HTTPConnection):
    """A connection that is reused only if nothing is left to read on it: no byte of a response that nobody asked for.

    Such bytes would be taken for the response to the next request. They may wait in three places: in our own buffer,
    decrypted in the TLS layer, or in the socket. urllib3 looks at the socket alone.
    """

    seconds_left: Callable[[], float]
    # Set when a response has been read to its end without a surplus, and for no other reason.
    is_clean = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.response_class = partial(_Response, self)  # type: ignore[assignment]

    @property
    def is_connected(self) -> bool:
        """Whether the connection may be reused. urllib3 asks before each request, and replaces it if not."""
        return self.is_clean and super().is_connected and not _decrypted_bytes(self.sock)

    def request(self, *args: Any, **options: Any) -> None:
        self.is_clean = False
        super().request(*args, **options)


class _TlsConnection(_Connection, HTTPSConnection):
    def __init__(self, *args: Any, **options: Any) -> None:
        context = create_urllib3_context()
        context.options |= ssl.OP_NO_RENEGOTIATION
        super().__init__(*args, **options | {"ssl_context": context})

    def connect(self) -> None:
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise UntrustedCertificate(*error.args) from None


def _decrypted_bytes(sock: object) -> int:
    return sock.pending() if isinstance(sock, ssl.SSLSocket) else 0


class _Response(HTTPResponse):
    """A response that is read within the deadline, has complete headers, and notices a surplus behind it."""

    def __init__(self, connection: _Connection, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._connection = connection
        self._reader = _DeadlineReader(self.fp.detach(), sock, connection.seconds_left)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        # http.client takes the end of a connection for the end of the headers: half a web page would be a success.
        if self._reader.is_at_end:
            raise RemoteDisconnected("the headers were cut off")
        # http.client takes the first, and the others would be right as well.
        if len(set(self.headers.get_all("Content-Length", []))) > 1:
            raise HTTPException("the response has several lengths")

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status of the response itself. http.client skips 100 only, and takes a 103 for the response."""
        for _ in range(MAX_INTERIM_RESPONSES + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            parse_headers(self.fp)
        raise HTTPException("too many interim responses")

    def close(self) -> None:
        """Give the response up, unless it has ended: the rest of it is left on the connection."""
        has_ended = self.isclosed()
        super().close()
        if not has_ended:
            self._connection.is_clean = False

    def _close_conn(self) -> None:
        """End the response, which http.client does when it has read the last byte; the connection stays open."""
        self._reader.is_stopped = True
        self._connection.is_clean = not self._reader.is_at_end and not self.fp.peek(1)
        super()._close_conn()  # type: ignore[misc]


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket, and asks before each chunk how many seconds it may take.

    A read timeout alone does not bound a response that drips, in its body or in its headers: it starts anew with each
    byte. Once it ``is_stopped``, only what is in the buffer before it can still be read.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, seconds_left: Callable[[], float]) -> None:
        self._raw, self._sock, self._seconds_left = raw, sock, seconds_left
        self.is_at_end = self.is_stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_stopped:
            return None
        seconds = self._seconds_left()
        if seconds <= 0:
            raise TimeoutError
        self._sock.settimeout(seconds)
        count = self._raw.readinto(buffer)
        self.is_at_end = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
