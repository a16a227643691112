"""What the functions talk to: the CertCentral emulator behind a proxy, and a fake AWS, both over TLS."""

import http.client
import json
import secrets
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme

from dev.bench.aws import FakeAws
from dev.bench.proxy import Proxy
from dev.local.processes import Children
from dev.local.template import ROOT

ORDERS = 20_000


class Authority:
    """The certification authority of this run."""

    def __init__(self, folder: Path) -> None:
        """Create it, and write what a server and a client need into `folder`."""
        authority = trustme.CA()
        self.certificate = authority.cert_pem.bytes()
        self.server = folder / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self.server))


class Services:
    """Running services. A function reaches them with `environment(proxy)`."""

    def __init__(self, authority: Authority, aws: FakeAws, emulator_port: int) -> None:
        """Remove the emulator's rate limit, and give it orders."""
        self.aws = aws
        self._authority = authority
        self._port = emulator_port
        self._control("PUT", "limits", None)
        made = self._control("POST", "orders", {"count": ORDERS, "kind": "dv", "names": ["order-{id}.example"]})
        self._orders = iter(range(made["first_id"], made["last_id"] + 1))

    def order_id(self) -> int:
        """Return an order about which no email has been sent."""
        order_id: int = next(self._orders)
        return order_id

    def proxy(self, round_trip: float = 0) -> Proxy:
        """Start a new proxy to CertCentral."""
        return Proxy(self._port, round_trip)

    def environment(self, proxy: Proxy) -> dict[str, str]:
        """Return the environment of a function that reaches CertCentral through this proxy."""
        return {
            "CERTCENTRAL_BASE_URL": f"https://127.0.0.1:{proxy.port}/services/v2",
            "API_KEY_SECRET_ID": "dv-resend/api-key",
            "SEND_RECORDS_TABLE": "send-records",
            "POWERTOOLS_SERVICE_NAME": "bench",
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_SESSION_TOKEN": "bench",
        }

    def upstream_calls(self) -> list[str]:
        """Return the methods of the successful calls to CertCentral since the last time."""
        calls = self._control("GET", "calls")
        self._control("DELETE", "calls")
        return [call["method"] for call in calls if 200 <= call["status"] < 300]

    def _control(self, method: str, what: str, body: object = None) -> Any:
        tls = ssl.create_default_context(cadata=self._authority.certificate.decode())
        with closing(http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30, context=tls)) as connection:
            connection.request(method, f"/_emulator/{what}", json.dumps(body))
            return json.load(connection.getresponse())


@contextmanager
def services(folder: Path, authority: Authority) -> Iterator[Services]:
    """Start the services, with their files in `folder`."""
    key = f"local-{secrets.token_hex(16)}"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.server)
    children, announced = Children(folder), folder / "emulator.json"
    try:
        emulator = children.start(
            "emulator",
            [
                *(sys.executable, "-m", "dev.emulator", "--valid-key", key),
                *("--tls-certificate", authority.server, "--announce", announced),
            ],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            cwd=folder,
        )
        deadline = time.monotonic() + 30
        while not announced.exists():
            if not emulator.is_running or time.monotonic() > deadline:
                raise children.failure(emulator, "did not start")
            time.sleep(0.02)
        with FakeAws(key, tls) as aws:
            yield Services(authority, aws, urlsplit(json.loads(announced.read_text())["url"]).port or 443)
    finally:
        children.stop()
