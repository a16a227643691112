"""The emulator as programs use it: start it, look at what happened, steer it, close it."""

import ipaddress
import ssl
import threading
import time
from typing import Self

from .certcentral_api import BASE_PATH
from .http_server import Server
from .nameserver import NameServer
from .state import State


class CertCentralEmulator(State):
    """A running CertCentral on loopback. `url` is its root, `base_url` what a client is configured with.

    Example:
        >>> with CertCentralEmulator() as emulator:
        ...     order = emulator.add_order(kind="dv", names=["example.org"], age_days=3)
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        valid_key: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Start; port 0 takes a free one.

        Raises:
            OSError: The port is taken.
            ValueError: The host is not a loopback address.
        """
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the emulator has no access control, so it listens on loopback only")
        self._name_server: NameServer | None = None
        super().__init__(valid_key)
        self._listen(host, port, ssl_context)
        self.url = f"{'https' if ssl_context else 'http'}://{host}:{self._server.server_port}"
        self.base_url = self.url + BASE_PATH

    def _listen(self, host: str, port: int, ssl_context: ssl.SSLContext | None) -> None:
        self._server = Server(host, port, self, ssl_context)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def name_server(self) -> NameServer:
        """The DNS server of the orders' domains, started by the first access."""
        if self._name_server is None:
            self._name_server = NameServer(self.dns)
        return self._name_server

    @property
    def dns_server(self) -> str:
        """The `host:port` of `name_server`, as a client is configured with it."""
        return self.name_server.address

    def restart(self, seconds_away: float) -> None:
        """Drop all connections and listen on the same port again after a while; nothing is forgotten."""
        host, port, context = self._server.server_name, self._server.server_port, self._server.ssl_context
        self._close_server()
        time.sleep(seconds_away)
        self._listen(host, port, context)

    def reset(self) -> None:
        """Also forget the DNS queries."""
        super().reset()
        if self._name_server:
            self._name_server.clear_queries()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections and threads, including those that hang. Safe to repeat."""
        if self._name_server:
            self._name_server.close()
        if self._thread.is_alive():
            self._close_server()

    def _close_server(self) -> None:
        self._server.close()
        self._thread.join()
