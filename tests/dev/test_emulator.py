"""What other tests rely on in the CertCentral emulator, over real loopback sockets."""

import gzip
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dns.resolver
import pytest
import requests
import trustme

from dev.emulator import CertCentralEmulator
from dev.emulator.orders import DOCUMENTED_EXAMPLE, FIRST_ID, SEED, SEED_IDS

ROOT = Path(__file__).parents[2]
CONSTRUCTED = {"admin", "administrator", "webmaster", "hostmaster", "postmaster"}
KEY = "emulator-valid-key"
VIEW_ONLY_KEY = "emulator-view-only-key"
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
    """Calls an emulator with one session."""

    def __init__(self, emulator: CertCentralEmulator, **options: Any) -> None:
        self._url = emulator.base_url
        self._options = {"timeout": 5, "allow_redirects": False} | options
        self.session = requests.Session()
        self.session.trust_env = False

    def __call__(self, method: str, path: str, key: str | None = KEY, **options: Any) -> requests.Response:
        headers = {"X-DC-DEVKEY": key} if key else {}
        return self.session.request(method, f"{self._url}/{path}", headers=headers, **self._options | options)

    def order(self, order_id: int = FIRST_ID, **options: Any) -> requests.Response:
        return self("GET", f"order/certificate/{order_id}", **options)

    def validation(self, order_id: int) -> dict[str, Any]:
        body: dict[str, Any] = self("GET", f"order/certificate/{order_id}/validation").json()
        return body

    def rows(self, query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self("GET", f"order/certificate?{query}").json()["orders"]
        return rows

    def resend(self, order_id: int = FIRST_ID, body: object = None, **options: Any) -> requests.Response:
        options = options if "data" in options else {"json": {} if body is None else body} | options
        return self("PUT", f"order/certificate/{order_id}/resend-emails", **options)


@pytest.fixture
def client(emulator: CertCentralEmulator) -> Iterator[Client]:
    client = Client(emulator)
    with client.session:
        yield client


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


def look_up(server: str, name: str, type_: str) -> list[str] | None:
    """Return the records as texts; None if the name does not exist, [] if it has none of the type."""
    resolver = dns.resolver.Resolver(configure=False)
    host, _, port = server.rpartition(":")
    resolver.nameservers, resolver.port, resolver.lifetime = [host], int(port), 10
    try:
        return sorted(record.to_text() for record in resolver.resolve(name, type_, search=False))
    except dns.resolver.NXDOMAIN:
        return None
    except dns.resolver.NoAnswer:
        return []


# ---------------------------------------------------------------- resend


def test_default_resend_mails_the_constructed_addresses(emulator: CertCentralEmulator, client: Client) -> None:
    response = client.resend(body={"locale": "de"})

    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Length" not in response.headers
    assert {mail["to"] for mail in emulator.outbox} == {f"{local}@example.com" for local in CONSTRUCTED}
    first = emulator.outbox[0]
    assert (first["order_id"], first["domain"], first["locale"]) == (FIRST_ID, "example.com", "de")
    assert first["caused_by"] == emulator.calls[0]["number"]


def test_documented_example_is_accepted_as_printed(emulator: CertCentralEmulator, client: Client) -> None:
    body = {
        "domain_approval_emails": [
            {"domain": "example.com", "email": "someone@example.com"},
            {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
        ],
        "locale": "en",
    }

    assert client.resend(DOCUMENTED_EXAMPLE, body).status_code == 204

    assert [(mail["to"], mail["domain"]) for mail in emulator.outbox] == [
        ("someone@example.com", "example.com"),
        ("someone@example2.com", "sub.example2.com"),
    ]


def test_default_resend_leaves_approved_names_out(emulator: CertCentralEmulator, client: Client) -> None:
    client.resend(SEED_IDS["multi_san"])

    assert {mail["domain"] for mail in emulator.outbox} == {"mail.example", "api.shop.test"}


def test_default_resend_of_wildcard_mails_bare_name(emulator: CertCentralEmulator, client: Client) -> None:
    client.resend(SEED_IDS["wildcard"])

    assert {mail["to"].partition("@")[2] for mail in emulator.outbox} == {"wild.example"}


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"a": ' + b"[" * 100_000])
def test_body_without_json_object_is_refused(client: Client, body: bytes) -> None:
    assert refusal(client.resend(data=body)) == (400, "bad_request_format")


@pytest.mark.parametrize(
    "body",
    [
        {"domain_approval_emails": None},
        {"domain_approval_emails": ["admin@example.com"]},
        {"domain_approval_emails": [{"domain": "example.com"}]},
        named("example.com", "admin@example.com,postmaster@example.com"),
        {"locale": 5},
    ],
)
def test_field_of_wrong_type_is_refused(client: Client, body: object) -> None:
    assert refusal(client.resend(body=body)) == (400, "undocumented|invalid_field")


def test_unknown_order_is_not_found(client: Client) -> None:
    assert refusal(client.resend(42)) == (404, "not_found|order")
    assert refusal(client.order(42)) == (404, "not_found|order")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"order/certificate/{FIRST_ID}/resend-emails"),
        ("PUT", f"order/certificate/{FIRST_ID}"),
        ("GET", "order/certificate/abc"),
        ("GET", "../v1/order/certificate"),
    ],
)
def test_unknown_route_is_not_found(client: Client, method: str, path: str) -> None:
    assert refusal(client(method, path)) == (404, "not_found|route")


# ---------------------------------------------------------------- keys and rate limit


@pytest.mark.parametrize("key", ["emulator-revoked-key", "no-such-key", None])
def test_bad_key_is_refused(emulator: CertCentralEmulator, client: Client, key: str | None) -> None:
    response = client.resend(key=key)

    assert refusal(response) == (403, "access_denied|access_denied_invalid_key")
    assert emulator.outbox == []


def test_view_only_key_reads_but_does_not_send(client: Client) -> None:
    assert client.order(key=VIEW_ONLY_KEY).status_code == 200
    assert refusal(client.resend(key=VIEW_ONLY_KEY)) == (403, "access_denied|missing_permission")


def test_key_can_be_rotated(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.set_key(KEY, "revoked")
    emulator.set_key("fresh", "valid")

    assert client.resend().status_code == 403
    assert client.resend(key="fresh").status_code == 204


def test_calls_are_recorded_without_the_key(emulator: CertCentralEmulator, client: Client) -> None:
    client.resend(data=b'{"locale": "en" }')

    (call,) = emulator.calls
    assert (call["method"], call["status"], call["body"]) == ("PUT", 204, '{"locale": "en" }')
    assert call["path"] == f"/services/v2/order/certificate/{FIRST_ID}/resend-emails"
    assert KEY not in json.dumps(call)
    assert "x-dc-devkey" not in json.dumps(call).lower()


def test_calls_of_an_order_can_be_counted(emulator: CertCentralEmulator, client: Client) -> None:
    client.resend()
    client.resend(42)

    assert emulator.count_calls("PUT", f"/{FIRST_ID}/") == 1
    assert emulator.count_calls("GET", f"/{FIRST_ID}/") == 0
    assert emulator.mailings(FIRST_ID) == 1
    assert emulator.mailings(42) == 0


def test_documented_rate_limit_is_the_default(client: Client) -> None:
    assert [client.order().status_code for _ in range(101)] == [200] * 100 + [429]


def test_rate_limit_window_drains(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.set_limits([[100, 60], [2, 2]])
    assert [client.order().status_code for _ in range(2)] == [200, 200]

    assert refusal(client.resend()) == (429, "request_limit_exceeded")
    assert client.order(key=VIEW_ONLY_KEY).status_code == 200  # each key has windows of its own
    eventually(lambda: client.resend().status_code == 204)


def test_rate_limit_retry_after_is_a_switch(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.set_limits([[1, 60]])
    client.order()
    assert "Retry-After" not in client.order().headers

    emulator.set_switches(retry_after="7")

    assert client.order().headers["Retry-After"] == "7"


# ---------------------------------------------------------------- orders


def test_order_info_has_the_documented_shape(client: Client) -> None:
    info = client.order().json()

    assert (info["id"], info["status"], info["dcv_method"]) == (FIRST_ID, "pending", "email")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", info["date_created"])
    assert info["product"]["type"] == "dv_ssl_certificate"
    assert info["certificate"]["dns_names"] == ["example.com"]
    assert [request["type"] for request in info["requests"]] == ["new_request"]


def test_reissue_pending_order_has_a_reissue_request(client: Client) -> None:
    info = client.order(SEED_IDS["reissue"]).json()

    assert info["status"] == "reissue_pending"
    new, reissue = info["requests"]
    assert reissue["type"] == "reissue"
    assert reissue["date"] > new["date"]


def test_ov_order_is_of_another_product_type(client: Client) -> None:
    assert client.order(SEED_IDS["ov"]).json()["product"]["type"] == "ssl_certificate"


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

    view = client.validation(SEED_IDS["multi_san"])

    assert (view["order_id"], view["order_status"]) == (str(SEED_IDS["multi_san"]), "pending")
    assert [(row["dns_names"], row["status"]) for row in view["dns_name_validations"]] == [
        (["shop.example"], "approved"),
        (["mail.example"], "pending"),
        (["api.shop.test"], "pending"),
    ]
    assert [row["name_scope"] for row in view["dns_name_validations"]] == scopes


@pytest.mark.parametrize("switch", ["empty", "absent"])
def test_validation_may_lack_its_names(emulator: CertCentralEmulator, client: Client, switch: str) -> None:
    emulator.set_switches(validation_names=switch)

    assert client.validation(FIRST_ID).get("dns_name_validations") == ([] if switch == "empty" else None)


@pytest.mark.parametrize("name", SEED)
def test_seed_order_can_be_read(client: Client, name: str) -> None:
    order_id = SEED_IDS[name]

    assert client.order(order_id).json()["id"] == order_id
    assert client.validation(order_id)["order_id"] == str(order_id)


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ("filters[status]=reissue_pending", {"reissue_pending"}),
        ("filters[status]=issued", {"issued", "expired"}),
        ("filters[status][0]=pending&filters%5Bstatus%5D%5B1%5D=reissue_pending", {"pending", "reissue_pending"}),
        (f"filters[id]={FIRST_ID}&filters[status]=pending", {"pending"}),
    ],
)
def test_list_filters_by_status(client: Client, query: str, statuses: set[str]) -> None:
    assert {row["status"] for row in client.rows(query)} == statuses


@pytest.mark.parametrize(
    ("created", "ids"),
    [
        ("2020-01-02...2020-01-03", [7, 8]),
        (">2020-01-03", [8, 9]),
        ("<2020-01-03T23:59:59%2B00:00", [7]),
        ("2020-01-04", [9]),
    ],
)
def test_list_filters_by_date(emulator: CertCentralEmulator, client: Client, created: str, ids: list[int]) -> None:
    emulator.clear_orders()
    emulator.add_order(id=7, date_created="2020-01-02T10:00:00+00:00")
    emulator.add_order(id=8, date_created="2020-01-03T23:59:59+00:00")
    emulator.add_order(id=9, date_created="2020-01-04T00:00:00+00:00")

    assert [row["id"] for row in client.rows(f"filters[date_created]={created}")] == ids


def test_list_sorts_and_pages(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.clear_orders()
    ids = emulator.add_orders(5, apart_seconds=3600, age_days=1)

    assert [row["id"] for row in client.rows("sort=date_created")] == ids[::-1]
    assert [row["id"] for row in client.rows("sort=-date_created&offset=3&limit=2")] == ids[3:]
    assert client.rows("offset=5&limit=2") == []


def test_list_shows_a_changed_order_at_once(emulator: CertCentralEmulator, client: Client) -> None:
    query = f"filters[status]=pending&filters[id]={FIRST_ID}"
    assert client.rows(query) != []

    emulator.update_order(FIRST_ID, status="issued")

    assert client.rows(query) == []


def test_list_rows_lack_what_real_rows_lack(client: Client) -> None:
    row = client.rows("limit=1")[0]

    assert row["organization"] == []
    assert not {"dcv_method", "requests"} & row.keys()
    assert "id" not in row["certificate"]


def test_list_rows_may_have_the_oddities_of_real_rows(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.set_switches(list_ids="string", rows_without_certificate=2, rows_of_unknown_status=3)

    rows = {int(row["id"]): row for row in client.rows("filters[status]=pending")}

    assert all(isinstance(row["id"], str) for row in rows.values())
    assert ["certificate" in rows[FIRST_ID + place] for place in (0, 1)] == [True, False]
    assert {row["status"] for row in rows.values()} == {"pending", "under_review"}


@pytest.mark.parametrize("query", ["filters[nonsense]=1", "sort=shoe_size", "page=2", "limit=-1", "offset=x"])
def test_unknown_list_query_is_refused(client: Client, query: str) -> None:
    assert refusal(client("GET", f"order/certificate?{query}")) == (400, "undocumented|query")


# ---------------------------------------------------------------- switches


@pytest.mark.parametrize(
    ("switch", "order", "body"),
    [
        ("not_pending", "rejected", {}),
        ("not_dv", "ov", {}),
        ("not_email_dcv", "dns_txt", {}),
        ("foreign_address", "plain", named("example.com", "boss@example.com")),
        ("unknown_domain", "plain", named("elsewhere.test", "admin@elsewhere.test")),
        ("approved_name", "multi_san", named("shop.example", "admin@shop.example")),
    ],
)
def test_policy_switch_rejects_ignores_or_accepts(
    emulator: CertCentralEmulator, client: Client, switch: str, order: str, body: dict[str, Any]
) -> None:
    def mails(policy: str) -> int:
        emulator.clear_outbox()
        emulator.set_switches(**{switch: policy})
        assert client.resend(SEED_IDS[order], body).status_code == 204
        return len(emulator.outbox)

    emulator.set_switches(**{switch: "reject"})
    assert refusal(client.resend(SEED_IDS[order], body)) == (400, f"undocumented|{switch}")

    # An ignored order gets nothing; if the only recipient is ignored, the defaults are mailed.
    assert (mails("ignore") > 1) == bool(body)
    assert mails("accept") == (1 if body else 5)


@pytest.mark.parametrize(
    ("switch", "order", "data", "code"),
    [
        ("empty_list", "plain", b'{"domain_approval_emails": []}', "undocumented|empty_list"),
        ("no_body", "plain", b"", "bad_request_format"),
        ("no_body", "plain", b"null", "bad_request_format"),
        ("unknown_fields", "plain", b'{"domain_approval_email": []}', "undocumented|unknown_field"),
        ("nothing_outstanding", "all_approved", b"{}", "undocumented|nothing_outstanding"),
    ],
)
def test_switch_rejects_what_is_accepted_by_default(
    emulator: CertCentralEmulator, client: Client, switch: str, order: str, data: bytes, code: str
) -> None:
    assert client.resend(SEED_IDS[order], data=data).status_code == 204
    emulator.set_switches(**{switch: "reject"})
    assert refusal(client.resend(SEED_IDS[order], data=data)) == (400, code)


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


def test_slow_call_from_before_a_reset_has_no_effect(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "slow", "seconds": 0.3})
    with pytest.raises(TIMEOUT):
        client.resend(timeout=0.1)
    emulator.reset()
    time.sleep(0.4)

    assert emulator.outbox == []


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ({"status": 503}, 503, "Service is unavailable"),
        ({"status": 403, "body": {"errors": {"code": "x"}}}, 403, '{"errors": {"code": "x"}}'),
        ({"status": 500, "body": "oops"}, 500, "oops"),
        ({"status": 502}, 502, ""),
    ],
)
def test_status_fault(
    emulator: CertCentralEmulator, client: Client, fault: dict[str, Any], status: int, body: str
) -> None:
    emulator.inject({"fault": "status", **fault})

    response = client.resend()

    assert (response.status_code, response.text) == (status, body)


def test_status_fault_429_is_the_documented_one(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "status", "status": 429, "headers": {"Retry-After": "9"}})

    response = client.resend()

    assert refusal(response) == (429, "request_limit_exceeded")
    assert response.headers["Retry-After"] == "9"


def test_html_fault(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "html", "status": 200})

    assert client.resend().headers["Content-Type"] == "text/html; charset=utf-8"


def test_bad_json_fault(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "bad_json"})

    with pytest.raises(requests.exceptions.JSONDecodeError):
        client.resend().json()


def test_redirect_fault(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "redirect", "location": "http://127.0.0.1:1/stolen"})

    assert client.resend().headers["Location"] == "http://127.0.0.1:1/stolen"


def test_truncated_fault(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "truncated", "status": 200})

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        client.order()


def test_huge_fault(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "huge", "status": 502, "bytes": 3_000_000})

    assert len(client.order().content) == 3_000_000


def test_gzip_bomb_fault(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "gzip_bomb", "status": 200, "bytes": 2_000_000})

    with client.order(stream=True) as response:
        packed = response.raw.read(decode_content=False)

    assert len(packed) < 10_000
    assert len(gzip.decompress(packed)) == 2_000_000


def test_drip_fault_outlasts_a_read_timeout(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "drip", "status": 200, "seconds_per_byte": 0.05, "body": "0123456789"})
    start = time.monotonic()

    assert client.order().text == "0123456789"

    assert time.monotonic() - start >= 0.5


def test_close_idle_fault_closes_without_notice(emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "close_idle", "seconds": 0.1, "times": 1})
    connection = http.client.HTTPConnection("127.0.0.1", port_of(emulator), timeout=5)
    connection.request("GET", "/services/v2/order/certificate")
    response = connection.getresponse()
    response.read()

    assert not response.will_close
    assert connection.sock.recv(1) == b""
    connection.close()


def test_close_after_fault_closes_with_notice(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "close_after", "times": 1})

    assert client.resend().headers["Connection"] == "close"
    client.resend()

    assert emulator.mailings(FIRST_ID) == 2
    assert len({call["client_port"] for call in emulator.calls}) == 2


def raw_exchange(emulator: CertCentralEmulator, timeout: float = 5) -> bytes:
    """Send a request and read bytes until the connection closes or stays silent for the timeout."""
    received = b""
    with socket.create_connection(("127.0.0.1", port_of(emulator)), timeout=timeout) as connection:
        connection.sendall(b"GET /services/v2/x HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            while data := connection.recv(65_536):
                received += data
        except TimeoutError:
            return received + b" (silence)"
    return received


def test_raw_fault_sends_any_bytes(emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "raw", "data": "\x00\xff", "slowly": "\xfe\x01", "seconds_per_byte": 0.01})

    assert raw_exchange(emulator) == b"\x00\xff\xfe\x01"


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


def test_raw_fault_may_stay_open(emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "raw", "data": "HTTP/1.1", "closes": False})

    assert raw_exchange(emulator, timeout=0.5) == b"HTTP/1.1 (silence)"


def test_faults_match_in_order_by_method_and_path(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.inject({"fault": "status", "status": 500, "method": "GET", "path": r"/validation$"})
    emulator.inject({"fault": "status", "status": 502, "method": "GET", "times": 2})

    def get(tail: str = "") -> int:
        return client("GET", f"order/certificate/{FIRST_ID}{tail}").status_code

    assert [get("/validation"), get(), get(), get(), get("/validation")] == [500, 502, 502, 200, 500]
    assert client.resend().status_code == 204
    emulator.clear_faults()
    assert get("/validation") == 200


def test_on_call_comes_before_the_response(emulator: CertCentralEmulator, client: Client) -> None:
    emulator.on_call = lambda call: emulator.set_key(KEY, "revoked" if call["method"] == "PUT" else "valid")

    assert client.order().status_code == 200
    assert client.resend().status_code == 403
    emulator.clear_faults()
    assert client.order().status_code == 403


# ---------------------------------------------------------------- DNS of the orders' domains


def test_dns_has_mx_and_contacts_of_orders(emulator: CertCentralEmulator) -> None:
    emulator.add_order(names=["*.A.test", "sub.b.co.uk"], contacts=["PKI@Mail.test", 'odd"\\one@a.test'])

    for host in ("a.test", "sub.b.co.uk", "b.co.uk", "mail.test"):
        assert look_up(emulator.dns_server, host, "MX") == [f"10 mail.{host}."]
    for name in ("a.test", "sub.b.co.uk"):
        contacts = look_up(emulator.dns_server, f"_validation-contactemail.{name}", "TXT")
        assert contacts == ['"PKI@Mail.test"', '"odd\\"\\\\one@a.test"']
    assert look_up(emulator.dns_server, "_validation-contactemail.b.co.uk", "TXT") is None


def test_dns_follows_a_changed_order(emulator: CertCentralEmulator) -> None:
    order_id = emulator.add_order(names=["a.test"])["id"]
    contact = "_validation-contactemail.a.test"
    assert look_up(emulator.dns_server, contact, "TXT") is None

    emulator.update_order(order_id, contacts=["x@a.test"])

    assert look_up(emulator.dns_server, contact, "TXT") == ['"x@a.test"']


def test_dns_of_the_seed(emulator: CertCentralEmulator) -> None:
    for name in ("example.com", "example2.com"):
        assert look_up(emulator.dns_server, f"_validation-contactemail.{name}", "TXT") == [f'"someone@{name}"']
    assert look_up(emulator.dns_server, "no-mail.example", "MX") is None


def test_dns_records_can_be_set_until_a_reset(emulator: CertCentralEmulator, control: Control) -> None:
    record = {"name": "contact.example", "type": "CAA", "values": ['0 contactemail "caa@mail.test"']}
    assert control("PUT", "dns", record).ok
    assert record in control("GET", "dns").json()
    assert look_up(emulator.dns_server, "contact.example", "CAA") == record["values"]

    control("POST", "reset")

    assert look_up(emulator.dns_server, "contact.example", "CAA") == []


def test_dns_faults_can_be_set(emulator: CertCentralEmulator, control: Control) -> None:
    assert control("POST", "dns/faults", {"name": "example.com", "fault": "servfail", "type": "MX"}).ok
    with pytest.raises(dns.resolver.NoNameservers, match="SERVFAIL"):
        look_up(emulator.dns_server, "example.com", "MX")

    control("DELETE", "dns/faults")

    assert look_up(emulator.dns_server, "example.com", "MX") == ["10 mail.example.com."]


# ---------------------------------------------------------------- connections


def test_session_reuses_one_connection(emulator: CertCentralEmulator, client: Client) -> None:
    client.order()
    client.resend()
    client.resend(42)

    assert len({call["client_port"] for call in emulator.calls}) == 1


def test_chunked_body_is_read(emulator: CertCentralEmulator, client: Client) -> None:
    client.resend(data=iter([b'{"loc', b'ale": ', b'"en"}']))

    assert emulator.calls[0]["body"] == '{"locale": "en"}'


def test_large_body_is_refused(emulator: CertCentralEmulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(emulator), timeout=5)
    connection.putrequest("PUT", "/services/v2/x")
    connection.putheader("Content-Length", str(1024 * 1024 + 1))
    connection.endheaders()

    assert connection.getresponse().status == 413
    connection.close()


def test_close_ends_hanging_connections_and_threads() -> None:
    before = set(threading.enumerate())
    emulator = CertCentralEmulator()
    emulator.inject({"fault": "hang", "times": 1})
    emulator.inject({"fault": "slow", "seconds": 600, "times": 1})
    connections = [socket.create_connection(("127.0.0.1", port_of(emulator))) for _ in range(3)]
    for connection in connections[:2]:
        connection.sendall(b"GET /services/v2/x HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: len(emulator.calls) == 2)

    emulator.close()
    emulator.close()

    assert set(threading.enumerate()) <= before
    for connection in connections:
        assert connection.recv(1) == b""
        connection.close()


def test_restart_forgets_nothing() -> None:
    with CertCentralEmulator() as emulator:
        client = Client(emulator)
        with client.session:
            order_id = emulator.add_order()["id"]
            client.resend(order_id)
            url = emulator.url

            emulator.restart(seconds_away=0)

            assert emulator.url == url
            assert client.resend(order_id).status_code == 204
            assert emulator.mailings(order_id) == 2


def test_tls_certificate_can_change(tmp_path: Path) -> None:
    trusted, unknown = trustme.CA(), trustme.CA()
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2)]
    for authority, context in zip((trusted, unknown), contexts, strict=True):
        authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    trusted.cert_pem.write_to_path(str(bundle))

    with CertCentralEmulator(ssl_context=contexts[0]) as emulator:
        client = Client(emulator, verify=str(bundle))
        with client.session:
            assert client.resend().status_code == 204
            client.session.close()
            emulator.set_tls(contexts[1])
            with pytest.raises(requests.exceptions.SSLError):
                client.resend()


def test_stalled_handshake_blocks_nobody(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    with CertCentralEmulator(ssl_context=context) as emulator:
        client = Client(emulator, verify=str(tmp_path / "ca.pem"))
        with socket.create_connection(("127.0.0.1", port_of(emulator))), client.session:
            assert client.resend().status_code == 204


def test_emulator_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        CertCentralEmulator(host="0.0.0.0")  # noqa: S104


# ---------------------------------------------------------------- control API and page


def test_control_adds_and_changes_orders(control: Control) -> None:
    made = control("POST", "orders", {"kind": "dv_reissue", "names": ["a.test"], "reissued_days_ago": 9}).json()
    assert (made["status"], made["names"]) == ("reissue_pending", {"a.test": "pending"})

    changed = control("PATCH", f"orders/{made['id']}", {"names": {"a.test": "approved"}, "status": "issued"}).json()
    assert (changed["status"], changed["names"]) == ("issued", {"a.test": "approved"})

    many = control("POST", "orders", {"count": 3, "names": ["n{id}.test"]}).json()
    assert many == {"first_id": made["id"] + 1, "last_id": made["id"] + 3, "count": 3}
    assert control("GET", "orders").json()[-1]["names"] == {f"n{made['id'] + 3}.test": "pending"}


def test_control_removes_all_orders(emulator: CertCentralEmulator, control: Control) -> None:
    control("DELETE", "orders")

    assert emulator.orders == []


def test_control_steers_faults_switches_limits_and_keys(client: Client, control: Control) -> None:
    assert control("POST", "faults", {"fault": "status", "status": 500}).ok
    assert client.resend().status_code == 500
    assert control("DELETE", "faults").ok
    assert control("PUT", "switches", {"success_status": 200}).json()["success_status"] == 200
    assert client.resend().status_code == 200
    assert control("PUT", "keys", {"secret": "fresh", "role": "valid"}).ok
    assert control("PUT", "limits", [[1, 60]]).ok
    assert [client.resend(key="fresh").status_code for _ in range(2)] == [200, 429]


def test_control_forgets_calls_and_outbox(emulator: CertCentralEmulator, client: Client, control: Control) -> None:
    client.resend()
    assert [len(control("GET", what).json()) for what in ("calls", "outbox")] == [1, 5]

    assert [control("DELETE", what).status_code for what in ("calls", "outbox")] == [200, 200]

    assert (emulator.calls, emulator.outbox) == ([], [])


def test_control_reset_restores_the_start(emulator: CertCentralEmulator, client: Client, control: Control) -> None:
    emulator.clear_orders()
    emulator.set_switches(not_dv="accept")
    client.resend()

    control("POST", "reset")

    assert [order["id"] for order in emulator.orders] == list(SEED_IDS.values())
    assert (emulator.calls, emulator.outbox, emulator.switches["not_dv"]) == ([], [], "reject")


@pytest.mark.parametrize(
    ("method", "what", "body", "field"),
    [
        ("POST", "orders", {"kind": "nonsense"}, "kind"),
        ("POST", "orders", {"state": "pending"}, "state"),
        ("POST", "orders", {"names": []}, "names"),
        ("POST", "orders", {"id": FIRST_ID}, "id"),
        ("POST", "orders", {"count": 2, "id": 5}, "id"),
        ("PATCH", "orders/42", {"status": "issued"}, "id"),
        ("POST", "faults", {"fault": "nonsense"}, "fault"),
        ("POST", "faults", {"fault": "slow"}, "seconds"),
        ("POST", "faults", {"fault": "hang", "times": 0}, "times"),
        ("POST", "faults", {"fault": "hang", "path": "("}, "path"),
        ("PUT", "switches", {"nonsense": 1}, "nonsense"),
        ("PUT", "switches", {"not_dv": "perhaps"}, "not_dv"),
        ("PUT", "switches", [], "object"),
        ("PUT", "limits", [[0, 5]], "limits"),
        ("PUT", "keys", {"secret": "x", "role": "king"}, "role"),
        ("PUT", "dns", {"name": "a.test", "type": "MX", "values": ["b.test."]}, "values"),
        ("POST", "dns/faults", {"name": "a.test", "fault": "nonsense"}, "fault"),
    ],
)
def test_wrong_control_request_names_the_field(
    control: Control, method: str, what: str, body: object, field: str
) -> None:
    response = control(method, what, body)

    assert response.status_code == 400
    assert re.search(rf"\b{field}\b", response.json()["error"])


@pytest.mark.parametrize(("method", "what"), [("GET", "nonsense"), ("PUT", "reset"), ("PATCH", "orders/x")])
def test_unknown_control_path_is_not_found(control: Control, method: str, what: str) -> None:
    assert control(method, what).status_code == 404


def test_page_shows_orders_outbox_faults_and_switches(emulator: CertCentralEmulator, client: Client) -> None:
    client.resend(SEED_IDS["old"], named("forgotten.example", "admin@forgotten.example"))
    emulator.inject({"fault": "slow", "seconds": 3, "path": "never"})
    emulator.set_switches(retry_after="12")

    page = requests.get(emulator.url, timeout=5).text

    for text in ("123456789", "admin@forgotten.example", "45&nbsp;d, over 30&nbsp;d", "slow", "retry_after"):
        assert text in page
    assert KEY not in page


def test_page_escapes_every_value(emulator: CertCentralEmulator, client: Client) -> None:
    attack = "<script>alert('x')</script>\"&$counts"
    emulator.add_order(id=1, names=[attack], status=attack, dcv_method=attack, contacts=["a@b.test"])
    policies = ("not_pending", "not_email_dcv", "unknown_domain", "foreign_address")
    emulator.set_switches(**dict.fromkeys(policies, "accept"), locales=[attack], retry_after=attack)
    emulator.inject({"fault": "redirect", "location": attack, "path": "<script>", "method": attack})
    body = named(attack, attack + "@x", email_domain=attack) | {"locale": attack}
    assert client.resend(1, body).status_code == 204

    page = requests.get(emulator.url, timeout=5).text

    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 10


# ---------------------------------------------------------------- as a process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_runs_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    announced = tmp_path / "emulator.json"
    command = [sys.executable, "-m", "dev.emulator", "--valid-key", "mine", "--announce", str(announced)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: announced.exists() or process.poll() is not None)
            addresses = json.loads(announced.read_text())
            path = f"{addresses['url']}/services/v2/order/certificate/{FIRST_ID}/resend-emails"
            assert requests.put(path, json={}, headers={"X-DC-DEVKEY": "mine"}, timeout=5).status_code == 204
            assert look_up(addresses["dns"], "example.com", "MX") == ["10 mail.example.com."]
        finally:
            process.send_signal(number)
            output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert all(text in output for text in (*addresses.values(), "mine", "has stopped"))


def test_printed_curl_command_works(tmp_path: Path) -> None:
    announced = tmp_path / "emulator.json"
    command = [sys.executable, "-m", "dev.emulator", "--announce", str(announced)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: announced.exists() or process.poll() is not None)
            assert process.stdout
            lines = iter(process.stdout)
            curl = next(line for line in lines if line.startswith("curl"))
            while curl.endswith("\\\n"):
                curl += next(lines)
            ran = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True)
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert ran.stdout.startswith("HTTP/1.1 204 ")


def test_process_says_that_the_port_is_taken(emulator: CertCentralEmulator) -> None:
    command = [sys.executable, "-m", "dev.emulator", "--port", str(port_of(emulator))]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith(f"Port {port_of(emulator)} is in use")
