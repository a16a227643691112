"""The connection to CertCentral: one that is kept, with responses that are read within a deadline.

The key goes to the configured host alone: no proxy, no redirect, no cookie.
"""

import io
import socket
from collections.abc import Callable
from http.client import HTTPResponse, RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter


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
        "http": _with_read_deadline(urllib3.HTTPConnectionPool, seconds_left),
        "https": _with_read_deadline(urllib3.HTTPSConnectionPool, seconds_left),
    }
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _with_read_deadline(
    pool: type[urllib3.HTTPConnectionPool], seconds_left: Callable[[], float]
) -> type[urllib3.HTTPConnectionPool]:
    """Return the pool class, with responses that are read within ``seconds_left`` and have complete headers."""

    class DeadlineResponse(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self._reader = _DeadlineReader(self.fp.detach(), sock, seconds_left)
            self.fp = io.BufferedReader(self._reader)

        def begin(self) -> None:
            super().begin()
            # http.client takes the end of a connection for the end of the headers: half a web page would be a success.
            if self._reader.is_at_end:
                raise RemoteDisconnected("the headers were cut off")

    connection = type("Connection", (pool.ConnectionCls,), {"response_class": DeadlineResponse})
    return type("Pool", (pool,), {"ConnectionCls": connection})


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket, and asks before each chunk how many seconds it may take.

    A read timeout alone does not bound a response that drips, in its body or in its headers: it starts anew with each
    byte.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, seconds_left: Callable[[], float]) -> None:
        self._raw, self._sock, self._seconds_left = raw, sock, seconds_left
        self.is_at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
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
