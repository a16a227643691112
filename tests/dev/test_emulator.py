"""What other tests and the commands rely on in the CertCentral emulator, over real loopback sockets.

Left out is what they would notice themselves: a fault that does not strike, a key that is still valid. So are the
switches that no other test sets.
"""

import gzip
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from dev.emulator import CertCentralEmulator
from dev.emulator.faults import FIREWALL_PAGE
from dev.emulator.orders import FIRST_ID, SEED_IDS
from dev.emulator.responses import rate_limited

ROOT = Path(__file__).parents[2]
CONSTRUCTED = {"admin", "administrator", "webmaster", "hostmaster", "postmaster"}
RESEND = f"order/certificate/{FIRST_ID}/resend-emails"
KEY = "emulator-valid-key"
LOST = requests.exceptions.ConnectionError
TIMEOUT = requests.exceptions.ReadTimeout

type Control = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def _one_emulator() -> Iterator[CertCentralEmulator]:
    with CertCentralEmulator() as running:
        yield running


@pytest.fixture
def emulator(_one_emulator: CertCentralEmulator) -> CertCentralEmulator:
    _one_emulator.reset()
    return _one_emulator


class Client:
    """Calls the emulator with one session."""

    def __init__(self, emulator: CertCentralEmulator, session: requests.Session) -> None:
        self.emulator, self._session = emulator, session

    def __call__(self, method: str, path: str, key: str | None = KEY, **options: Any) -> requests.Response:
        headers = {"X-DC-DEVKEY": key} if key else {}
        options = {"timeout": 5, "allow_redirects": False, **options}
        return self._session.request(method, f"{self.emulator.base_url}/{path}", headers=headers, **options)

    def order(self, order_id: int = FIRST_ID, **options: Any) -> requests.Response:
        return self("GET", f"order/certificate/{order_id}", **options)

    def rows(self, query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self("GET", f"order/certificate?{query}").json()["orders"]
        return rows

    def resend(self, order_id: int = FIRST_ID, body: object = None, **options: Any) -> requests.Response:
        return self("PUT", f"order/certificate/{order_id}/resend-emails", json=body or {}, **options)


@pytest.fixture
def client(emulator: CertCentralEmulator) -> Iterator[Client]:
    with requests.Session() as session:
        session.trust_env = False
        yield Client(emulator, session)


@pytest.fixture
def control(emulator: CertCentralEmulator) -> Control:
    return lambda method, what, body=None: requests.request(
        method, f"{emulator.url}/_emulator/{what}", json=body, timeout=5
    )


def named(domain: str, email: str, **more: str) -> dict[str, Any]:
    return {"domain_approval_emails": [{"domain": domain, "email": email, **more}]}


def refusal(response: requests.Response) -> tuple[int, str]:
    (error,) = response.json()["errors"]
    assert error["message"]
    return response.status_code, error["code"]


def port_of(emulator: CertCentralEmulator) -> int:
    return urlsplit(emulator.url).port or 0


def eventually(condition: Callable[[], object]) -> None:
    """Wait for what the emulator's threads do after the client has disconnected."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---------------------------------------------------------------- resend


def test_default_resend_mails_the_constructed_addresses(emulator: CertCentralEmulator, client: Client) -> None:
    response = client.resend(body={"locale": "de"})

    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Length" not in response.headers
    assert {mail["to"] for mail in emulator.outbox} == {f"{local}@example.com" for local in CONSTRUCTED}
    first = emulator.outbox[0]
    assert (first["order_id"], first["domain"], first["locale"]) == (FIRST_ID, "example.com", "de")
    assert first["caused_by"] == emulator.calls[0]["number"]


@pytest.mark.parametrize(
    ("name_scope", "accepted"),
    [("base_domain", ["example.com", "*.example.com"]), ("fqdn", [])],
)
def test_validation_scope_is_accepted_as_domain(
    emulator: CertCentralEmulator, client: Client, name_scope: str, accepted: list[str]
) -> None:
    order_id = emulator.add_order(names=["a.shop.example.com"], name_scope=name_scope)["id"]

    for domain in ("example.com", "*.example.com", "shop.example.com", "com"):
        response = client.resend(order_id, named(domain, f"admin@{domain.removeprefix('*.')}"))

        assert (response.status_code == 204) == (domain in accepted)
        assert response.status_code == 204 or response.json()["errors"][0]["code"] == "undocumented|unknown_domain"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", RESEND, b"{", 400, "bad_request_format"),
        ("PUT", RESEND, b"[]", 400, "bad_request_format"),
        ("PUT", RESEND, b'{"locale": 5}', 400, "undocumented|invalid_field"),
        ("PUT", RESEND, b'{"domain_approval_emails": [{"domain": "example.com"}]}', 400, "undocumented|invalid_field"),
        ("PUT", "order/certificate/42/resend-emails", b"{}", 404, "not_found|order"),
        ("GET", "order/certificate/42", None, 404, "not_found|order"),
        ("POST", RESEND, b"{}", 404, "not_found|route"),
        ("GET", "order/certificate/abc", None, 404, "not_found|route"),
    ],
)
def test_wrong_call_is_refused(
    client: Client, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    assert refusal(client(method, path, data=body)) == (status, code)


# ---------------------------------------------------------------- keys and rate limit


def test_calls_are_recorded_without_the_key(emulator: CertCentralEmulator, client: Client) -> None:
    client("PUT", RESEND, data=b'{"locale": "en" }')

    (call,) = emulator.calls
    assert (call["method"], call["status"], call["body"]) == ("PUT", 204, '{"locale": "en" }')
    assert call["path"] == f"/services/v2/order/certificate/{FIRST_ID}/resend-emails"
    assert KEY not in json.dumps(call)
    assert "x-dc-devkey" not in json.dumps(call).lower()


def test_documented_rate_limit_is_the_default(client: Client) -> None:
    assert [client.order().status_code for _ in range(101)] == [200] * 100 + [429]


# ---------------------------------------------------------------- orders


def test_order_info_has_the_documented_shape(client: Client) -> None:
    info = client.order().json()

    assert (info["id"], info["status"], info["dcv_method"]) == (FIRST_ID, "pending", "email")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", info["date_created"])
    assert info["product"]["type"] == "dv_ssl_certificate"
    assert info["certificate"]["dns_names"] == ["example.com"]
    assert [request["type"] for request in info["requests"]] == ["new_request"]


@pytest.mark.parametrize(
    ("name_scope", "scopes"),
    [
        ("base_domain", ["shop.example", "mail.example", "shop.test"]),
        ("fqdn", ["shop.example", "mail.example", "api.shop.test"]),
    ],
)
def test_validation_has_a_status_for_each_name(
    emulator: CertCentralEmulator, client: Client, name_scope: str, scopes: list[str]
) -> None:
    emulator.update_order(SEED_IDS["multi_san"], name_scope=name_scope)

    view = client("GET", f"order/certificate/{SEED_IDS['multi_san']}/validation").json()

    assert (view["order_id"], view["order_status"]) == (str(SEED_IDS["multi_san"]), "pending")
    assert [(row["dns_names"], row["status"]) for row in view["dns_name_validations"]] == [
        (["shop.example"], "approved"),
        (["mail.example"], "pending"),
        (["api.shop.test"], "pending"),
    ]
    assert [row["name_scope"] for row in view["dns_name_validations"]] == scopes


def test_list_sorts_and_pages(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.clear_orders()
    ids = emulator.add_orders(5, apart_seconds=3600, age_days=1)

    assert [row["id"] for row in client.rows("sort=date_created")] == ids[::-1]
    assert [row["id"] for row in client.rows("sort=-date_created&offset=3&limit=2")] == ids[3:]
    assert client.rows("offset=5&limit=2") == []


def test_list_rows_lack_what_real_rows_lack(client: Client) -> None:
    row = client.rows("limit=1")[0]

    assert row["organization"] == []
    assert not {"dcv_method", "requests"} & row.keys()
    assert "id" not in row["certificate"]


@pytest.mark.parametrize("query", ["filters[nonsense]=1", "sort=shoe_size", "page=2", "limit=-1", "offset=x"])
def test_unknown_list_query_is_refused(client: Client, query: str) -> None:
    assert refusal(client("GET", f"order/certificate?{query}")) == (400, "undocumented|query")


# ---------------------------------------------------------------- switches


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("mails", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"),
    [("reset", "ConnectionResetError"), ("close", "RemoteDisconnected"), ("hang", "ReadTimeout")],
)
def test_fault_without_response(
    emulator: CertCentralEmulator, client: Client, fault: str, error: str, mails: bool
) -> None:
    emulator.inject({"fault": fault, "method": "PUT", "mails": mails, "times": 1})

    with pytest.raises((LOST, TIMEOUT)) as caught:
        client.resend(timeout=0.2 if fault == "hang" else 5)

    assert error in repr(caught.value)
    eventually(lambda: emulator.mailings(FIRST_ID) == mails)
    assert (emulator.calls[0]["fault"], emulator.calls[0]["status"]) == (fault, None)
    assert client.resend().status_code == 204  # it strikes only once


def test_slow_fault_responds_in_the_end(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "slow", "seconds": 0.2})
    start = time.monotonic()

    assert client.resend().status_code == 204

    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ({"fault": "status", "status": 503}, 503, "Service is unavailable"),
        ({"fault": "status", "status": 429}, 429, rate_limited().body.decode()),
        ({"fault": "status", "status": 502}, 502, ""),
        ({"fault": "status", "status": 403, "body": {"errors": {"code": "x"}}}, 403, '{"errors": {"code": "x"}}'),
        ({"fault": "html", "status": 200}, 200, FIREWALL_PAGE.decode()),
        ({"fault": "bad_json"}, 500, '{"errors": [{"code": "not_fou'),
        ({"fault": "redirect", "location": "http://127.0.0.1:1/x"}, 302, ""),
    ],
)
def test_fault_with_a_whole_response(client: Client, fault: dict[str, Any], status: int, body: str) -> None:
    client.emulator.inject(fault)

    response = client.resend()

    assert (response.status_code, response.text) == (status, body)
    assert response.headers.get("Location") == fault.get("location")


def test_gzip_bomb_fault(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "gzip_bomb", "status": 200, "bytes": 2_000_000})

    with client.order(stream=True) as response:
        packed = response.raw.read(decode_content=False)

    assert len(packed) < 10_000
    assert len(gzip.decompress(packed)) == 2_000_000


def raw_exchange(emulator: CertCentralEmulator) -> bytes:
    """Send a request without a key, and read until the connection closes."""
    with socket.create_connection(("127.0.0.1", port_of(emulator)), timeout=30) as connection:
        connection.sendall(b"GET /services/v2/x HTTP/1.1\r\nHost: x\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize(
    ("fault", "received"),
    [
        ({"fault": "truncated", "body": "{"}, rb"HTTP/1.1 200 .*Content-Length: 101\r.*\r\n\r\n{"),
        ({"fault": "huge", "bytes": 70_000}, rb"HTTP/1.1 500 .*\r\n\r\n<html><body> {69988}"),
        ({"fault": "drip", "seconds_per_byte": 0.01, "body": "{}"}, rb"HTTP/1.1 200 .*\r\n\r\n{}"),
        ({"fault": "close_after"}, rb"HTTP/1.1 403 .*Connection: close\r.*"),
        ({"fault": "close_idle", "seconds": 0.1}, rb"HTTP/1.1 403 (?!.*Connection: close).*"),
        ({"fault": "raw", "data": "\x00\xff", "slowly": "\xfe\x01", "seconds_per_byte": 0.01}, rb"\x00\xff\xfe\x01"),
    ],
    ids=lambda value: value.get("fault") if isinstance(value, dict) else "",
)
def test_fault_on_the_wire(emulator: CertCentralEmulator, fault: dict[str, Any], received: bytes) -> None:
    emulator.inject(fault)

    assert re.fullmatch(received, raw_exchange(emulator), re.DOTALL)


def test_extra_fault_surrounds_the_response_and_stays_open(emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "extra", "before": "HTTP/1.1 103 \r\n\r\n", "after": "\n\xff\n", "times": 1})

    address = ("127.0.0.1", port_of(emulator))
    with socket.create_connection(address, timeout=5) as connection, connection.makefile("rb") as lines:
        connection.sendall(b"GET /services/v2/x HTTP/1.1\r\nHost: x\r\n\r\n")
        first = [lines.readline(), *iter(lines.readline, b"\xff\n")]
        connection.sendall(b"GET /services/v2/x HTTP/1.1\r\nHost: x\r\n\r\n")
        second = lines.readline()

    assert [line for line in first if line.startswith(b"HTTP/")] == [b"HTTP/1.1 103 \r\n", second]
    assert second == b"HTTP/1.1 403 Forbidden\r\n"


def test_faults_match_in_order_by_method_and_path(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "status", "status": 500, "method": "GET", "path": r"/validation$"})
    emulator.inject({"fault": "status", "status": 502, "method": "GET", "times": 2})

    def get(tail: str = "") -> int:
        return client("GET", f"order/certificate/{FIRST_ID}{tail}").status_code

    assert [get("/validation"), get(), get(), get(), get("/validation")] == [500, 502, 502, 200, 500]
    assert client.resend().status_code == 204
    emulator.clear_faults()
    assert get("/validation") == 200


# ---------------------------------------------------------------- connections


def test_emulator_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        CertCentralEmulator(host="0.0.0.0")  # noqa: S104


# ---------------------------------------------------------------- control API


@pytest.mark.parametrize(
    ("method", "what", "body", "field"),
    [
        ("POST", "orders", {"kind": "nonsense"}, "kind"),
        ("POST", "orders", {"state": "pending"}, "state"),
        ("POST", "orders", {"names": []}, "names"),
        ("POST", "orders", {"id": FIRST_ID}, "id"),
        ("PATCH", "orders/42", {"status": "issued"}, "id"),
        ("POST", "faults", {"fault": "nonsense"}, "fault"),
        ("POST", "faults", {"fault": "slow"}, "seconds"),
        ("PUT", "switches", {"nonsense": 1}, "nonsense"),
        ("PUT", "switches", {"not_dv": "perhaps"}, "not_dv"),
        ("PUT", "limits", [[0, 5]], "limits"),
        ("PUT", "keys", {"secret": "x", "role": "king"}, "role"),
        ("PUT", "dns", {"name": "a.test", "type": "MX", "values": ["b.test."]}, "values"),
        ("POST", "dns/faults", {"name": "a.test", "fault": "nonsense"}, "fault"),
        ("PATCH", f"orders/{FIRST_ID}", {"status": "isued"}, "issued"),
    ],
)
def test_wrong_control_request_names_the_field(
    control: Control, method: str, what: str, body: object, field: str
) -> None:
    response = control(method, what, body)

    assert response.status_code == 400
    assert re.search(rf"\b{field}\b", response.json()["error"])


# ---------------------------------------------------------------- as a process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_printed_curl_command_works_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    announced = tmp_path / "emulator.json"
    command = [sys.executable, "-m", "dev.emulator", "--valid-key", "mine", "--announce", str(announced)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            welcome = iter(process.stdout.readline, "Ctrl-C stops it.\n")
            printed = "".join(welcome)
            curl = printed[printed.index("curl") :].partition("\n\n")[0]
            ran = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True)
        finally:
            process.send_signal(number)
            last, _ = process.communicate(timeout=30)
    assert ran.stdout.startswith("HTTP/1.1 204 ")
    assert all(text in printed for text in (*json.loads(announced.read_text()).values(), "mine"))
    assert (process.returncode, last) == (0, "\nThe emulator has stopped.\n")


@pytest.mark.parametrize("port", ["abc", "65536", "-1"])
def test_wrong_port_is_one_line(port: str) -> None:
    command = [sys.executable, "-m", "dev.emulator", f"--port={port}"]

    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.stderr == f"The port must be a number from 0 to 65535, not '{port}'.\n"
    assert ran.returncode == 2
