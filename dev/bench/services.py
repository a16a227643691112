"""What the functions talk to: CertCentral's emulator behind a proxy, and an AWS; both over TLS."""

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

import trustme

from dev.bench.aws import FakeAws
from dev.bench.proxy import Proxy
from dev.local.processes import Children
from dev.local.template import ROOT

ORDERS = 20_000


class Authority:
    """Signs the certificates of this run."""

    def __init__(self, folder: Path) -> None:
        """Make one, with what a server and a client need of it in `folder`."""
        authority = trustme.CA()
        self.certificate = authority.cert_pem.bytes()
        self.server = folder / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self.server))


class Services:
    """Running services. A function reaches them with `environment(proxy)`."""

    def __init__(self, authority: Authority, key: str, aws: FakeAws, upstream: dict[str, Any]) -> None:
        self.aws = aws
        self._authority = authority
        self._key = key
        self._port = int(upstream["url"].rpartition(":")[2])
        self._orders = iter(upstream["orders"])

    def order_id(self) -> int:
        """An order that nobody has been mailed about."""
        order_id: int = next(self._orders)
        return order_id

    def proxy(self, round_trip: float = 0) -> Proxy:
        """A new way to CertCentral."""
        return Proxy(self._port, round_trip)

    def environment(self, proxy: Proxy) -> dict[str, str]:
        """The settings of a function, by its names for them, that takes this way."""
        return {
            "CERTCENTRAL_BASE_URL": f"https://127.0.0.1:{proxy.port}/services/v2",
            "API_KEY_SECRET_ID": "dv-resend/api-key",
            "CLAIMS_TABLE": "claims",
            "POWERTOOLS_SERVICE_NAME": "bench",
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_SESSION_TOKEN": "bench",
        }

    def upstream_calls(self) -> list[str]:
        """The methods of the calls that CertCentral has got since it was last asked, and that it answered well."""
        tls = ssl.create_default_context(cadata=self._authority.certificate.decode())
        with closing(http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30, context=tls)) as connection:
            found = []
            for method in ("GET", "DELETE"):
                connection.request(method, "/_emulator/calls")
                found.append(json.load(connection.getresponse()))
        return [call["method"] for call in found[0] if 200 <= call["status"] < 300]


@contextmanager
def services(folder: Path, authority: Authority) -> Iterator[Services]:
    """Start them, with their files in `folder`."""
    key = f"local-{secrets.token_hex(16)}"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.server)
    children = Children(folder)
    try:
        emulator = children.start(
            "emulator",
            [sys.executable, "-m", "dev.bench.upstream", folder, key, str(ORDERS)],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            cwd=folder,
        )
        announced = folder / "upstream.json"
        deadline = time.monotonic() + 30
        while not announced.exists():
            if not emulator.is_running or time.monotonic() > deadline:
                raise children.failure(emulator, "did not start")
            time.sleep(0.02)
        with FakeAws(key, tls) as aws:
            yield Services(authority, key, aws, json.loads(announced.read_text()))
    finally:
        children.stop()
