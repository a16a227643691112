"""The emulator as tests use it: start, look, steer, close."""

import ipaddress
import ssl
import threading
from typing import Self

from .api import BASE_PATH
from .server import Server
from .state import State


class CertCentralEmulator(State):
    """A running CertCentral on loopback. `url` is its root, `base_url` what a client is configured with.

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
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the emulator has no access control: it listens on loopback only")
        super().__init__(valid_key)
        self._server = Server(host, port, self, ssl_context)
        self.url = f"{'https' if ssl_context else 'http'}://{host}:{self._server.server_port}"
        self.base_url = self.url + BASE_PATH
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections and threads, hanging ones too. Safe to repeat."""
        if self._thread.is_alive():
            self._server.close()
            self._thread.join()
