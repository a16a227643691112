"""The client against the emulator, over real sockets: a mock shows no reset, no time-out and no reused connection."""

import datetime as dt
import gzip
import json
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
import trustme
from conftest import CANARY
from hypothesis import given
from hypothesis import strategies as st

from dev.emulator import CertCentralEmulator
from dv_resend import __version__
from dv_resend.adapters import certcentral_http
from dv_resend.adapters.certcentral import CertCentralClient
from dv_resend.core.orders import ListedOrder, NameStatus
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ConfigurationError,
    OrderNotFound,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RequestRejected,
    ResendError,
)

ORDER = 100000001
REDIRECTS = (301, 302, 303, 307, 308)


class KeyStub:
    """An `ApiKey` of two values: the one in the cache, and the one in Secrets Manager."""

    def __init__(self, cached: str = CANARY, stored: str | None = None) -> None:
        self.cached, self.stored, self.refreshed = cached, stored or cached, 0

    def current(self) -> str:
        return self.cached

    def refresh(self) -> str:
        self.refreshed += 1
        self.cached = self.stored
        return self.cached


@pytest.fixture(scope="module")
def _one_emulator() -> Iterator[CertCentralEmulator]:
    """One emulator for the whole file: starting and closing one per test would take most of the time."""
    with CertCentralEmulator(valid_key=CANARY) as emulator:
        yield emulator


@pytest.fixture
def emulator(_one_emulator: CertCentralEmulator) -> CertCentralEmulator:
    _one_emulator.reset()
    return _one_emulator


@pytest.fixture
def make_client(emulator: CertCentralEmulator) -> Iterator[Callable[..., CertCentralClient]]:
    clients = []

    def make(**options: Any) -> CertCentralClient:
        defaults: dict[str, Any] = {
            "base_url": emulator.base_url,
            "timeout_seconds": 0.5,
            "api_key": KeyStub(),
            "observe": lambda _status, _seconds: None,
            "sleep": lambda _seconds: None,
        }
        clients.append(CertCentralClient(**defaults | options))
        return clients[-1]

    yield make
    for client in clients:
        client._session.close()


@pytest.fixture
def client(make_client: Callable[..., CertCentralClient]) -> CertCentralClient:
    return make_client()


def later(seconds: float = 60) -> float:
    return time.time() + seconds


def resend(client: CertCentralClient, body: dict[str, object] | None = None, order_id: int = ORDER) -> None:
    client.resend_emails(order_id, body or {}, later())


def methods(emulator: CertCentralEmulator) -> list[str]:
    return [call["method"] for call in emulator.calls]


# The request


def test_put_is_the_documented_request(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    body: dict[str, object] = {
        "domain_approval_emails": [
            {"domain": "example.com", "email": "someone@example.com"},
            {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
        ],
        "locale": "en",
    }

    client.resend_emails(123456789, body, later())

    (call,) = emulator.calls
    assert (call["method"], call["path"]) == ("PUT", "/services/v2/order/certificate/123456789/resend-emails")
    assert call["body"] == json.dumps(body, separators=(",", ":"))
    assert call["role"] == "valid"
    assert {name: call["headers"][name] for name in ("accept", "content-type", "user-agent")} == {
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": f"dv-resend/{__version__}",
    }
    assert [mail["to"] for mail in emulator.outbox] == ["someone@example.com", "someone@example2.com"]


def test_default_recipients_are_asked_for_with_an_empty_object(
    client: CertCentralClient, emulator: CertCentralEmulator
) -> None:
    resend(client)

    assert emulator.calls[0]["body"] == "{}"
    assert emulator.calls[0]["headers"]["content-length"] == "2"


def test_get_has_no_body(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    order = client.get_order(ORDER, later())

    assert (order.status, order.product_type, order.dcv_method) == ("pending", "dv_ssl_certificate", "email")
    assert emulator.calls[0]["path"] == f"/services/v2/order/certificate/{ORDER}"
    assert "content-type" not in emulator.calls[0]["headers"]


def test_cookies_are_not_kept(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "status", "status": 204, "times": 1, "headers": {"Set-Cookie": "visid_incap=1; Path=/"}})

    resend(client)
    resend(client)

    assert "cookie" not in emulator.calls[1]["headers"]


def test_environment_does_not_steer_the_call(
    client: CertCentralClient, emulator: CertCentralEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    resend(client)

    assert len(emulator.outbox) > 0


# Success


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_a_success(client: CertCentralClient, emulator: CertCentralEmulator, status: int) -> None:
    emulator.inject({"fault": "status", "status": status, "body": None if status == 204 else {"ok": True}})

    resend(client)

    assert methods(emulator) == ["PUT"]


def test_success_with_an_odd_body_is_a_success(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "bad_json", "status": 200})

    resend(client)

    assert methods(emulator) == ["PUT"]


@contextmanager
def raw_server(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answer every connection's first request with these bytes, and keep it open; give its address and the requests."""
    requests: list[bytes] = []
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connections.append(connection)
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            requests.append(request)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/services/v2", requests
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    "header",
    ["Transfer-Encoding: chunked", "Content-Length: 5", "Content-Length: 0", "Content-Length: none", "X-Other: 1"],
)
def test_a_204_ends_with_its_headers_whatever_they_say_of_a_body(
    make_client: Callable[..., CertCentralClient], header: str
) -> None:
    with raw_server(f"HTTP/1.1 204 No Content\r\n{header}\r\n\r\n".encode()) as (base_url, requests):
        client = make_client(base_url=base_url)

        resend(client)

        assert [request.split(b" ")[0] for request in requests] == [b"PUT"]
        client._session.close()


@pytest.mark.parametrize("header", ["Transfer-Encoding: chunked", "Content-Length: 5"])
def test_a_204_that_announces_a_body_is_the_last_answer_of_its_connection(
    make_client: Callable[..., CertCentralClient], header: str
) -> None:
    with raw_server(f"HTTP/1.1 204 No Content\r\n{header}\r\n\r\n".encode()) as (base_url, requests):
        client = make_client(base_url=base_url)

        for _ in range(2):
            resend(client)

        # The server answers each connection once.
        assert len(requests) == 2
        client._session.close()


# The PUT goes out once


UNKNOWN_FAULTS = [
    {"fault": "hang"},
    {"fault": "reset"},
    {"fault": "close"},
    {"fault": "status", "status": 500},
    {"fault": "status", "status": 502, "body": "Bad Gateway"},
    {"fault": "status", "status": 503, "body": "Service is unavailable"},
    {"fault": "status", "status": 504},
    {"fault": "bad_json", "status": 500},
    {"fault": "truncated", "status": 200},
    {"fault": "truncated", "status": 500},
    {"fault": "html", "status": 200},
    {"fault": "huge", "status": 200},
    {"fault": "huge", "status": 503},
    {"fault": "gzip_bomb", "status": 200, "bytes": 20_000_000},
    *({"fault": "redirect", "status": status, "location": "http://127.0.0.1:9/"} for status in REDIRECTS),
]


@pytest.mark.parametrize("fault", UNKNOWN_FAULTS, ids=lambda fault: f"{fault['fault']}-{fault.get('status', '')}")
@pytest.mark.parametrize("mails", [True, False], ids=["mailed", "not-mailed"])
def test_doubt_is_unknown_and_never_repeated(
    client: CertCentralClient, emulator: CertCentralEmulator, fault: dict[str, Any], mails: bool
) -> None:
    emulator.inject(fault | {"method": "PUT", "mails": mails})

    with pytest.raises(OutcomeUnknown):
        resend(client)

    assert methods(emulator) == ["PUT"]


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_redirect_is_not_followed(
    client: CertCentralClient, emulator: CertCentralEmulator, method: str, status: int
) -> None:
    with CertCentralEmulator() as elsewhere:
        emulator.inject(
            {"fault": "redirect", "status": status, "location": f"{elsewhere.base_url}/order/certificate/1"}
        )

        with pytest.raises(OutcomeUnknown if method == "PUT" else CertCentralUnavailable):
            _ = resend(client) if method == "PUT" else client.get_order(ORDER, later())

        assert elsewhere.calls == []


def test_body_that_drips_ends_with_the_time(
    make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certcentral_http, "CONNECT_TIMEOUT_SECONDS", 0.2)
    emulator.inject({"fault": "drip", "status": 200, "seconds_per_byte": 0.05, "body": "x" * 2000})

    with pytest.raises(OutcomeUnknown):
        make_client().resend_emails(ORDER, {}, later(certcentral_http.MARGIN_SECONDS + 0.2 + 0.5 + 0.3))


# Surely not sent


def test_refused_connection_is_tried_three_times(make_client: Callable[..., CertCentralClient]) -> None:
    attempts: list[int | None] = []
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{unused.getsockname()[1]}/services/v2"
        client = make_client(base_url=base_url, observe=lambda status, _seconds: attempts.append(status))

        with pytest.raises(CertCentralUnavailable):
            resend(client)

    assert attempts == [None, None, None]


def test_unknown_host_is_tried_three_times(
    make_client: Callable[..., CertCentralClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def fail(*_args: object, **_options: object) -> None:
        attempts.append(1)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    with pytest.raises(CertCentralUnavailable):
        resend(make_client(base_url="http://certcentral.invalid/services/v2"))

    assert len(attempts) == 3


def test_connect_timeout_is_not_unknown(
    make_client: Callable[..., CertCentralClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certcentral_http, "CONNECT_TIMEOUT_SECONDS", 0.1)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):  # with the queue full, the kernel drops further SYNs
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        port = full.getsockname()[1]

        with pytest.raises(CertCentralUnavailable, match="ConnectTimeout"):
            resend(make_client(base_url=f"http://127.0.0.1:{port}/services/v2"))


@pytest.mark.parametrize("host", ["127.0.0.1", "other.example"])
def test_bad_certificate_is_not_unknown_and_not_retried(
    make_client: Callable[..., CertCentralClient], host: str
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    attempts: list[int | None] = []
    with CertCentralEmulator(valid_key=CANARY, ssl_context=context) as emulator:
        client = make_client(base_url=emulator.base_url, observe=lambda status, _seconds: attempts.append(status))
        if host != "127.0.0.1":  # trusted, but for another host
            with authority.cert_pem.tempfile() as bundle:
                client._session.verify = bundle
                with pytest.raises(CertCentralUnavailable, match="certificate"):
                    resend(client)
        else:
            with pytest.raises(CertCentralUnavailable, match="certificate"):
                resend(client)

        assert (attempts, emulator.calls) == ([None], [])


def test_tls_with_a_good_certificate_works(make_client: Callable[..., CertCentralClient]) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        CertCentralEmulator(valid_key=CANARY, ssl_context=context) as emulator,
        authority.cert_pem.tempfile() as bundle,
    ):
        client = make_client(base_url=emulator.base_url)
        client._session.verify = bundle

        resend(client)

        assert len(emulator.outbox) > 0
        client._session.close()


def test_too_little_time_sends_nothing(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    needed = certcentral_http.CONNECT_TIMEOUT_SECONDS + 0.5 + certcentral_http.MARGIN_SECONDS

    with pytest.raises(CertCentralUnavailable, match="time"):
        client.resend_emails(ORDER, {}, later(needed - 0.1))

    assert emulator.calls == []


# GETs


@pytest.mark.parametrize("fault", ["reset", "close"])
def test_get_on_a_broken_connection_is_repeated(
    client: CertCentralClient, emulator: CertCentralEmulator, fault: str
) -> None:
    emulator.inject({"fault": fault, "method": "GET", "times": 2})

    assert client.get_order(ORDER, later()).status == "pending"
    assert methods(emulator) == ["GET", "GET", "GET"]


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "hang"},
        {"fault": "reset"},
        {"fault": "status", "status": 500},
        {"fault": "status", "status": 503, "body": "Service is unavailable"},
        {"fault": "html", "status": 200},
        {"fault": "html", "status": 404},
        {"fault": "html", "status": 406},
        {"fault": "truncated", "status": 200},
        {"fault": "bad_json", "status": 200},
        {"fault": "huge", "status": 200},
        {"fault": "gzip_bomb", "status": 200, "bytes": 20_000_000},
        {"fault": "status", "status": 200, "body": []},
        {"fault": "status", "status": 204},
        {"fault": "redirect", "status": 302, "location": "/elsewhere"},
    ],
    ids=lambda fault: f"{fault['fault']}-{fault.get('status', '')}",
)
def test_nonsense_on_a_get_is_unavailable(
    client: CertCentralClient, emulator: CertCentralEmulator, fault: dict[str, Any]
) -> None:
    emulator.inject(fault)

    with pytest.raises(CertCentralUnavailable):
        client.get_order(ORDER, later())


def test_another_order_than_asked_for_is_not_found(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "status", "status": 200, "body": {"id": ORDER + 1, "status": "pending"}})

    with pytest.raises(OrderNotFound):
        client.get_order(ORDER, later())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": str(ORDER)},
        {"id": ORDER, "status": None, "product": [], "dcv_method": 1},
        {"product": {"type": {}}, "status": ["pending"]},
    ],
)
def test_odd_order_is_read_without_guessing(
    client: CertCentralClient, emulator: CertCentralEmulator, body: dict[str, Any]
) -> None:
    emulator.inject({"fault": "status", "status": 200, "body": body})

    order = client.get_order(ORDER, later())

    assert (order.order_id, order.status, order.product_type, order.dcv_method) == (ORDER, None, None, None)


@pytest.mark.parametrize(
    ("order", "anchor"),
    [
        ({"status": "pending", "date_created": "2026-11-20T10:00:00+00:00"}, "2026-11-20T10:00:00+00:00"),
        ({"status": "pending", "date_created": "2026-11-20T23:30:00-07:00"}, "2026-11-21T06:30:00+00:00"),
        ({"status": "pending", "date_created": "2026-11-20T10:00:00"}, "2026-11-20T10:00:00+00:00"),
        ({"status": "pending", "date_created": "2026-11-20T10:00:00Z"}, "2026-11-20T10:00:00+00:00"),
        ({"status": "pending", "date_created": "2026-11-20"}, "2026-11-20T00:00:00+00:00"),
        *(
            ({"status": "pending", "date_created": odd}, None)
            for odd in (None, "", "soon", 0, 1795446245, [], {}, "0000-00-00T00:00:00+00:00", "2026-13-01")
        ),
        ({"status": "pending"}, None),
        # A pending order's other requests do not count.
        (
            {"status": "pending", "date_created": "2026-11-20", "requests": [{"date": "2026-11-22"}]},
            "2026-11-20T00:00:00+00:00",
        ),
        # The newest reissue counts, else the newest request of all.
        (
            {
                "status": "reissue_pending",
                "date_created": "2026-07-01",
                "requests": [
                    {"date": "2026-11-20", "type": "reissue"},
                    {"date": "2026-11-21", "type": "Reissue_Request"},
                    {"date": "2026-11-22", "type": "revoke"},
                    {"date": "2026-07-01", "type": "new_request"},
                ],
            },
            "2026-11-21T00:00:00+00:00",
        ),
        (
            {
                "status": "reissue_pending",
                "date_created": "2026-07-01",
                "requests": [{"date": "2026-11-20"}, {"date": "2026-11-22", "type": None}, {"date": "2026-07-01"}],
            },
            "2026-11-22T00:00:00+00:00",
        ),
        (
            {
                "status": "reissue_pending",
                "date_created": "2026-07-01",
                "requests": [None, "x", {}, {"date": "soon", "type": "reissue"}],
            },
            None,
        ),
        *(
            ({"status": "reissue_pending", "date_created": "2026-07-01", "requests": odd}, None)
            for odd in (None, [], {}, "x", 1)
        ),
        ({"status": "reissue_pending", "date_created": "2026-07-01"}, None),
    ],
    ids=lambda value: ascii(value)[:120],
)
def test_the_anchor_of_an_order_is_when_the_waiting_request_was_made(
    client: CertCentralClient, emulator: CertCentralEmulator, order: dict[str, Any], anchor: str | None
) -> None:
    emulator.inject({"fault": "status", "status": 200, "body": order})

    found = client.get_order(ORDER, later()).anchor

    assert found == (None if anchor is None else dt.datetime.fromisoformat(anchor))
    assert found is None or found.tzinfo is not None


# The list of orders


PENDING = ("pending", "reissue_pending")


def test_the_list_is_asked_for_by_status_oldest_first_in_the_largest_pages(
    client: CertCentralClient, emulator: CertCentralEmulator
) -> None:
    client.list_orders(PENDING, 2000, later())

    (call,) = emulator.calls
    assert (call["method"], call["path"]) == ("GET", "/services/v2/order/certificate")
    assert parse_qsl(call["query"]) == [
        ("filters[status][0]", "pending"),
        ("filters[status][1]", "reissue_pending"),
        ("sort", "date_created"),
        ("limit", "1000"),
        ("offset", "2000"),
    ]


@pytest.mark.parametrize("list_ids", ["integer", "string"])
@pytest.mark.parametrize("switches", [{}, {"rows_without_certificate": 1, "dv_organization": "absent"}], ids=ascii)
def test_the_list_holds_what_the_emulator_holds(
    client: CertCentralClient, emulator: CertCentralEmulator, list_ids: str, switches: dict[str, Any]
) -> None:
    emulator.set_switches(list_ids=list_ids, **switches)

    rows = client.list_orders(PENDING, 0, later())

    there = [order for order in emulator.orders if order["status"] in PENDING]
    expected = {
        ListedOrder(
            order_id=order["id"],
            status=order["status"],
            product_type=order["product_type"],
            created=dt.datetime.fromisoformat(order["date_created"]),
        )
        for order in there
    }
    assert set(rows) == expected
    assert len(rows) == len(there)
    assert [row.created for row in rows] == sorted(row.created for row in rows if row.created)


def test_an_empty_page_ends_the_list(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    there = sum(order["status"] in PENDING for order in emulator.orders)

    assert len(client.list_orders(PENDING, there - 1, later())) == 1
    assert client.list_orders(PENDING, there, later()) == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        *((row, ListedOrder(None, None, None, None)) for row in (None, [], "x", 1, {})),
        ({"id": 7}, ListedOrder(7, None, None, None)),
        ({"id": "7"}, ListedOrder(7, None, None, None)),
        *(
            ({"id": odd, "status": "pending"}, ListedOrder(None, "pending", None, None))
            for odd in (None, True, 7.0, -7, "", "x", "7x", " 7", "\u0667", [7], {})
        ),
        *(({"id": 7, "status": odd}, ListedOrder(7, None, None, None)) for odd in (None, "", 1, ["pending"])),
        ({"id": 7, "status": "under\nreview"}, ListedOrder(7, "under review", None, None)),
        *(
            ({"id": 7, "product": odd}, ListedOrder(7, None, None, None))
            for odd in (None, [], "x", {}, {"type": None}, {"type": []})
        ),
        ({"id": 7, "product": {"type": "dv_ssl_certificate"}}, ListedOrder(7, None, "dv_ssl_certificate", None)),
        *(({"id": 7, "date_created": odd}, ListedOrder(7, None, None, None)) for odd in (None, 1, "x", [])),
        (
            {"id": 7, "date_created": "2026-11-20T10:00:00"},
            ListedOrder(7, None, None, dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)),
        ),
    ],
    ids=lambda value: ascii(value)[:80],
)
def test_odd_rows_are_read_without_guessing(
    client: CertCentralClient, emulator: CertCentralEmulator, row: object, expected: ListedOrder
) -> None:
    emulator.inject({"fault": "status", "status": 200, "body": {"orders": [row], "page": {"total": 9, "limit": 0}}})

    assert client.list_orders(PENDING, 0, later()) == [expected]


def test_an_id_of_endless_digits_is_no_id() -> None:
    assert certcentral_http._listed_order({"id": "1" * 5000}).order_id is None


@pytest.mark.parametrize(
    "body", [{}, [], {"orders": None}, {"orders": {}}, {"orders": "x"}, {"page": {"total": 0}}], ids=ascii
)
def test_a_list_without_orders_is_unavailable_and_not_taken_for_an_empty_one(
    client: CertCentralClient, emulator: CertCentralEmulator, body: object
) -> None:
    emulator.inject({"fault": "status", "status": 200, "body": body})

    with pytest.raises(CertCentralUnavailable):
        client.list_orders(PENDING, 0, later())


@pytest.mark.parametrize(("size", "fits"), [(2_000_000, True), (9_000_000, False)])
def test_a_page_of_the_list_may_be_large_but_not_endless(
    client: CertCentralClient, emulator: CertCentralEmulator, size: int, fits: bool
) -> None:
    body = {"orders": [{"id": 7, "note": "x" * size}]}
    emulator.inject({"fault": "status", "status": 200, "body": body})

    if fits:
        assert [row.order_id for row in client.list_orders(PENDING, 0, later())] == [7]
    else:
        with pytest.raises(CertCentralUnavailable):
            client.list_orders(PENDING, 0, later())


def test_an_order_may_not_be_as_large_as_a_page(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "status", "status": 200, "body": {"id": ORDER, "note": "x" * 2_000_000}})

    with pytest.raises(CertCentralUnavailable):
        client.get_order(ORDER, later())


# How far an order has come


def test_order_status_names_every_domain(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    order = client.get_order_status(123456789, later())

    assert emulator.calls[0]["path"] == "/services/v2/order/certificate/123456789/validation"
    assert (order.status, order.dcv_method) == ("pending", "email")
    assert order.domains == (
        NameStatus("example.com", "pending", ("example.com",)),
        NameStatus("example2.com", "pending", ("sub.example2.com",)),
    )


def test_names_of_one_scope_may_have_come_differently_far(
    client: CertCentralClient, emulator: CertCentralEmulator
) -> None:
    names = {"a.example.org": "approved", "b.example.org": "pending", "*.example.org": "approved"}
    order_id = emulator.add_order(names=names)["id"]

    assert client.get_order_status(order_id, later()).domains == (
        NameStatus("example.org", "approved", ("a.example.org", "*.example.org")),
        NameStatus("example.org", "pending", ("b.example.org",)),
    )


NOTHING = NameStatus("", "unknown")


@pytest.mark.parametrize(
    ("names", "domains"),
    [
        *((odd, ()) for odd in (None, {}, "x", 7, True, [])),
        ([None, 5, "x", [], {}], (NOTHING,) * 5),
        ([{"dns_names": None}, {"dns_names": "a.test"}, {"dns_names": {"a.test": 1}}], (NOTHING,) * 3),
        ([{"dns_names": [None, 7, "", [], {}, "a.test"]}], (NameStatus("", "unknown", ("a.test",)),)),
        ([{"name_scope": None, "status": None}, {"name_scope": 7, "status": ["approved"]}], (NOTHING,) * 2),
        ([{"name_scope": "", "status": ""}], (NOTHING,)),
        # A status of any case, or of tomorrow, is passed on; what it means is not decided here.
        *(
            ([{"name_scope": "a.test", "status": status}], (NameStatus("a.test", status),))
            for status in ("approved", "APPROVED", "expired", "a status of tomorrow")
        ),
        (
            [{"name_scope": "*.wild.test", "status": "pending", "dns_names": ["*.wild.test", "wild.test"]}],
            (NameStatus("*.wild.test", "pending", ("*.wild.test", "wild.test")),),
        ),
        ([{"name_scope": "a\r\n.test", "dns_names": ["b\t.test"]}], (NameStatus("a  .test", "unknown", ("b .test",)),)),
    ],
    ids=ascii,
)
def test_odd_validations_do_not_break_the_status(
    client: CertCentralClient, emulator: CertCentralEmulator, names: object, domains: tuple[NameStatus, ...]
) -> None:
    body = {"order_status": "issued", "dns_name_validations": names}
    emulator.inject({"fault": "status", "status": 200, "body": body})

    order = client.get_order_status(ORDER, later())

    assert (order.status, order.domains) == ("issued", domains)


@pytest.mark.parametrize("switch", ["empty", "absent"])
def test_a_validation_without_names_tells_of_none(
    client: CertCentralClient, emulator: CertCentralEmulator, switch: str
) -> None:
    emulator.set_switches(validation_names=switch)

    order = client.get_order_status(ORDER, later())

    assert (order.status, order.domains) == ("pending", ())


def test_names_are_told_as_a_labels(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    entry = {
        "name_scope": "B\u00fccher.example",
        "status": "pending",
        "dns_names": ["*.b\u00fccher.example", "WWW.a.test"],
    }
    body = {"order_status": "pending", "dns_name_validations": [entry]}
    emulator.inject({"fault": "status", "status": 200, "body": body})

    (found,) = client.get_order_status(ORDER, later()).domains

    assert found == NameStatus("xn--bcher-kva.example", "pending", ("*.xn--bcher-kva.example", "www.a.test"))


@pytest.mark.parametrize("odd", [{}, {"order_status": None}, {"order_status": 7}, {"order_status": ""}], ids=ascii)
def test_a_validation_without_a_status_still_tells_of_the_names(
    client: CertCentralClient, emulator: CertCentralEmulator, odd: dict[str, Any]
) -> None:
    names = [{"name_scope": "a.test", "status": "approved", "dns_names": ["a.test"]}]
    emulator.inject({"fault": "status", "status": 200, "body": {"dns_name_validations": names, **odd}})

    found = client.get_order_status(ORDER, later())

    assert (found.status, found.dcv_method) == (None, None)
    assert found.domains == (NameStatus("a.test", "approved", ("a.test",)),)


@pytest.mark.parametrize("answered", [ORDER, str(ORDER)], ids=ascii)
def test_a_validation_of_the_order_that_was_asked_for_is_taken_whatever_the_type_of_its_id(
    client: CertCentralClient, emulator: CertCentralEmulator, answered: object
) -> None:
    emulator.inject({"fault": "status", "status": 200, "body": {"order_id": answered, "order_status": "pending"}})

    assert client.get_order_status(ORDER, later()).status == "pending"


@pytest.mark.parametrize("answered", [ORDER + 1, str(ORDER + 1), f"0{ORDER}", "", [], {}], ids=ascii)
def test_a_validation_of_another_order_is_not_believed(
    client: CertCentralClient, emulator: CertCentralEmulator, answered: object
) -> None:
    body = {"order_id": answered, "order_status": "pending", "dns_name_validations": []}
    emulator.inject({"fault": "status", "status": 200, "body": body})

    with pytest.raises(OrderNotFound, match=f"another order than {ORDER}"):
        client.get_order_status(ORDER, later())


@pytest.mark.parametrize(
    ("expires", "expired"),
    [
        (dt.timedelta(days=-1), True),
        (dt.timedelta(minutes=-1), True),
        (dt.timedelta(minutes=1), False),
        (dt.timedelta(days=199), False),
    ],
    ids=str,
)
@pytest.mark.parametrize("offset", [0, -7, 14])
def test_an_approval_is_over_at_its_expiration(
    client: CertCentralClient, emulator: CertCentralEmulator, expires: dt.timedelta, expired: bool, offset: int
) -> None:
    zone = dt.timezone(dt.timedelta(hours=offset))
    row = {
        "name_scope": "a.test",
        "status": "approved",
        "dns_names": ["a.test"],
        "approval_expiration_date": (dt.datetime.now(zone) + expires).isoformat(timespec="seconds"),
    }
    emulator.inject({"fault": "status", "status": 200, "body": {"dns_name_validations": [row]}})

    (found,) = client.get_order_status(ORDER, later()).domains

    assert found == NameStatus("a.test", "approved", ("a.test",), expired=expired)
    assert found.validated is not expired


@pytest.mark.parametrize("value", [None, "", "soon", 7, [], "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"], ids=ascii)
def test_an_expiration_that_is_none_ends_no_approval(
    client: CertCentralClient, emulator: CertCentralEmulator, value: object
) -> None:
    row = {"name_scope": "a.test", "status": "approved", "approval_expiration_date": value}
    emulator.inject({"fault": "status", "status": 200, "body": {"dns_name_validations": [row]}})

    assert client.get_order_status(ORDER, later()).domains == (NameStatus("a.test", "approved"),)


def test_the_names_of_the_order_are_told_by_the_order_too(
    client: CertCentralClient, emulator: CertCentralEmulator
) -> None:
    order_id = emulator.add_order(names={"a.test": "approved", "*.b.test": "pending"})["id"]

    assert client.get_order(order_id, later()).names == ("a.test", "*.b.test")


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        *((odd, ()) for odd in (None, [], "a.test", 7)),
        *(({"dns_names": odd}, ()) for odd in (None, {}, "a.test", 7, [], [None, 7, "", [], {}])),
        ({"common_name": "a.test"}, ()),
        ({"dns_names": [None, "A.test", "*.B\u00fccher.example.", 7]}, ("a.test", "*.xn--bcher-kva.example")),
    ],
    ids=ascii,
)
def test_odd_names_do_not_break_the_order(
    client: CertCentralClient, emulator: CertCentralEmulator, certificate: object, names: tuple[str, ...]
) -> None:
    emulator.inject({"fault": "status", "status": 200, "body": {"id": ORDER, "certificate": certificate}})

    assert client.get_order(ORDER, later()).names == names


def test_the_last_dot_of_a_name_is_no_part_of_it(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    row = {"name_scope": "Example.com.", "status": "pending", "dns_names": ["*.example.com.", "www.example.com."]}
    emulator.inject({"fault": "status", "status": 200, "body": {"dns_name_validations": [row]}})

    (found,) = client.get_order_status(ORDER, later()).domains

    assert found == NameStatus("example.com", "pending", ("*.example.com", "www.example.com"))


def test_a_name_is_not_cut_off(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    """Cut off, it would be another name. The longest has 253 characters, and a star before it."""
    name = "*." + ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    order_id = emulator.add_order(names=[name], name_scope="fqdn")["id"]

    assert len(name) == 255
    assert client.get_order_status(order_id, later()).domains == (NameStatus(name[2:], "pending", (name,)),)


def test_gzip_is_read() -> None:
    packed = gzip.compress(b'{"id": 1, "status": "issued"}')

    assert certcentral_http._decompress(packed, "gzip", 1000) == b'{"id": 1, "status": "issued"}'
    assert certcentral_http._decompress(packed[:-9], "gzip", 1000) is None
    assert certcentral_http._decompress(packed, "br", 1000) is None
    assert certcentral_http._decompress(b"plain", "gzip", 1000) is None


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "not_found|order", OrderNotFound),
        (404, "not_found", OrderNotFound),
        (404, "not_found|route", ConfigurationError),
        (404, "something|else", RequestRejected),
        (400, "bad_request_format", RequestRejected),
        (400, "invalid_dns_method", RequestRejected),
        (406, "not_acceptable", RequestRejected),
        (409, "conflict", RequestRejected),
        (403, "access_denied|missing_permission", PermissionDenied),
        (403, "access_denied", PermissionDenied),
        (403, "ip_blocked", PermissionDenied),
        (429, "request_limit_exceeded", RateLimited),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_refusals_keep_the_upstream_code(
    client: CertCentralClient,
    emulator: CertCentralEmulator,
    method: str,
    status: int,
    code: str,
    expected: type[ResendError],
) -> None:
    body = {"errors": [{"code": code, "message": "Because."}]}
    emulator.inject({"fault": "status", "status": status, "body": body})

    with pytest.raises(expected) as caught:
        _ = resend(client) if method == "PUT" else client.get_order(ORDER, later())

    assert (caught.value.upstream_status, [said.code for said in caught.value.upstream_errors]) == (status, [code])
    assert methods(emulator) == [method]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"fault": "html", "status": 403}, PermissionDenied),
        ({"fault": "html", "status": 404}, RequestRejected),
        ({"fault": "html", "status": 429}, RateLimited),
        ({"fault": "truncated", "status": 400}, RequestRejected),
        ({"fault": "bad_json", "status": 400}, RequestRejected),
        ({"fault": "huge", "status": 403}, PermissionDenied),
    ],
    ids=str,
)
def test_refusal_of_the_put_without_codes_is_judged_by_its_status(
    client: CertCentralClient, emulator: CertCentralEmulator, fault: dict[str, Any], expected: type[ResendError]
) -> None:
    emulator.inject(fault)

    with pytest.raises(expected):
        resend(client)

    assert methods(emulator) == ["PUT"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("7", 7),
        (" 7 ", 7),
        ("3600", 3600),
        ("999999999", 86400),
        ("0", 1),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_rate_limit_is_not_slept_on(
    make_client: Callable[..., CertCentralClient],
    emulator: CertCentralEmulator,
    method: str,
    header: str | None,
    expected: int | None,
) -> None:
    slept: list[float] = []
    client = make_client(sleep=slept.append)
    headers = {} if header is None else {"Retry-After": header}
    emulator.inject({"fault": "status", "status": 429, "headers": headers})

    with pytest.raises(RateLimited) as caught:
        _ = resend(client) if method == "PUT" else client.get_order(ORDER, later())

    assert caught.value.retry_after == expected
    assert (slept, methods(emulator)) == ([], [method])


@pytest.mark.parametrize(("header", "expected"), [(None, None), ("600", 600), ("soon", None)])
def test_maintenance_says_when_to_ask_again(
    client: CertCentralClient, emulator: CertCentralEmulator, header: str | None, expected: int | None
) -> None:
    headers = {} if header is None else {"Retry-After": header}
    emulator.inject({"fault": "status", "status": 503, "headers": headers})

    for ask in (
        lambda: client.get_order(ORDER, later()),
        lambda: client.get_order_status(ORDER, later()),
        lambda: client.list_orders(PENDING, 0, later()),
    ):
        with pytest.raises(CertCentralUnavailable) as caught:
            ask()

        assert (caught.value.retry_after, caught.value.upstream_status) == (expected, 503)


def test_rate_limit_with_a_date_becomes_seconds(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90)
    headers = {"Retry-After": format_datetime(moment, usegmt=True)}
    emulator.inject({"fault": "status", "status": 429, "headers": headers})

    with pytest.raises(RateLimited) as caught:
        resend(client)

    assert 60 <= (caught.value.retry_after or 0) <= 91


# The key


@pytest.mark.parametrize("bad_key_status", [403, 401])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_rotated_key_is_fetched_and_used(
    make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator, method: str, bad_key_status: int
) -> None:
    emulator.set_switches(bad_key_status=bad_key_status)
    key = KeyStub(cached="emulator-revoked-key", stored=CANARY)
    client = make_client(api_key=key)

    _ = resend(client) if method == "PUT" else client.get_order(ORDER, later())

    assert [call["role"] for call in emulator.calls] == ["revoked", "valid"]
    assert key.refreshed == 1


@pytest.mark.parametrize("bad_key_status", [403, 401])
def test_unchanged_bad_key_costs_one_call(
    make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator, bad_key_status: int
) -> None:
    emulator.set_switches(bad_key_status=bad_key_status)
    client = make_client(api_key=KeyStub("emulator-revoked-key"))

    with pytest.raises(ApiKeyRejected):
        resend(client)

    assert methods(emulator) == ["PUT"]
    assert emulator.outbox == []


def test_changed_but_bad_key_costs_two_calls(
    make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator
) -> None:
    client = make_client(api_key=KeyStub("emulator-revoked-key", "another-wrong-key"))

    with pytest.raises(ApiKeyRejected):
        resend(client)

    assert methods(emulator) == ["PUT", "PUT"]


def test_lacking_permission_does_not_refresh_the_key(
    make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator
) -> None:
    key = KeyStub("emulator-view-only-key", CANARY)

    with pytest.raises(PermissionDenied):
        resend(make_client(api_key=key))

    assert (key.refreshed, methods(emulator)) == (0, ["PUT"])


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_echoed_key_and_addresses_do_not_reach_the_error(
    client: CertCentralClient, emulator: CertCentralEmulator, status: int
) -> None:
    entry = {"code": f"bad|{CANARY}", "message": f"key {CANARY} may not mail jane.doe@example.com\r\nX: y"}
    emulator.inject({"fault": "status", "status": status, "body": {"errors": [entry]}})

    with pytest.raises(ResendError) as caught:
        resend(client)

    text = f"{caught.value} {caught.value!r} {caught.value.upstream_errors}"
    assert CANARY not in text
    assert "jane.doe" not in text
    assert "\n" not in str(caught.value)


SLASHED = "canary/" + CANARY[7:]


def as_escapes(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


ECHOES: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "plain": (CANARY, lambda text: text.encode()),
    "utf-8 with a mark": (CANARY, lambda text: text.encode("utf-8-sig")),
    "utf-16": (CANARY, lambda text: text.encode("utf-16")),
    "utf-16-be": (CANARY, lambda text: text.encode("utf-16-be")),
    "utf-32": (CANARY, lambda text: text.encode("utf-32")),
    "escaped": (CANARY, lambda text: text.replace(CANARY, as_escapes(CANARY)).encode()),
    "half escaped": (CANARY, lambda text: text.replace("canary", as_escapes("canary")).encode()),
    "slash": (SLASHED, lambda text: text.encode()),
    "escaped slash": (SLASHED, lambda text: text.replace("/", "\\/").encode()),
}


@pytest.mark.parametrize(("key", "encode"), ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_an_echoed_key_is_taken_out_however_it_is_written(
    make_client: Callable[..., CertCentralClient], key: str, encode: Callable[[str], bytes], status: int
) -> None:
    echo = {
        "errors": [{"code": f"bad|{key}", "message": f"The key {key} is bad."}],
        "status": f"x {key}",
        "product": {"type": key},
        "dcv_method": f"{key}{key}",
        "order_status": key,
        "dns_name_validations": [{"name_scope": key, "status": key}],
        "orders": [{"id": 7, "status": key, "product": {"type": key}}],
        key: key,
    }
    answer = certcentral_http.Response(
        status=status, body=encode(json.dumps(echo)), key=key, content_type="application/json", retry_after=None
    )
    client = make_client(api_key=KeyStub(key))
    client._exchange = lambda *_args: answer  # type: ignore[method-assign]

    said = []
    for ask in (
        lambda: client.get_order(ORDER, later()),
        lambda: client.get_order_status(ORDER, later()),
        lambda: client.list_orders(PENDING, 0, later()),
        lambda: resend(client),
    ):
        try:
            said.append(ask())
        except ResendError as error:
            said.append((str(error), error.upstream_errors))

    assert answer.errors[0].code == "bad|[key]"
    assert key not in f"{said} {answer.errors} {answer.json} {answer!r}".replace(repr(answer.body), "")


def test_a_key_that_is_cut_off_at_the_end_of_a_message_does_not_show_in_part() -> None:
    body = json.dumps({"errors": [{"code": "x" * 120 + CANARY, "message": "x" * 290 + CANARY}]}).encode()
    answer = certcentral_http.Response(status=400, body=body, key=CANARY, content_type="", retry_after=None)

    assert "canary" not in str(answer.errors)


# TokenBucket


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_each_attempt_is_paced(make_client: Callable[..., CertCentralClient], method: str) -> None:
    seen: list[str] = []
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = make_client(
            base_url=f"http://127.0.0.1:{unused.getsockname()[1]}/services/v2",
            pace=lambda: seen.append("paced"),
            observe=lambda _status, _seconds: seen.append("called"),
        )

        with pytest.raises(CertCentralUnavailable):
            _ = resend(client) if method == "PUT" else client.get_order(ORDER, later())

    assert seen == ["paced", "called"] * 3


def test_the_call_with_a_fresh_key_is_paced_too(
    make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator
) -> None:
    paced: list[int] = []
    client = make_client(
        api_key=KeyStub(cached="emulator-revoked-key", stored=CANARY), pace=lambda: paced.append(len(emulator.calls))
    )

    resend(client)

    assert paced == [0, 1]


def test_time_that_the_pace_took_counts(
    make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator
) -> None:
    now = time.time()

    def pace() -> None:
        nonlocal now
        now += 60

    with pytest.raises(CertCentralUnavailable, match="time"):
        make_client(pace=pace, clock=lambda: now).resend_emails(ORDER, {}, now + 60)

    assert emulator.calls == []


# Connections


def test_get_and_put_share_a_connection(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    for _ in range(3):
        client.get_order(ORDER, later())
        resend(client)

    assert len({call["client_port"] for call in emulator.calls}) == 1


def test_connection_idle_for_long_is_dropped(
    make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator
) -> None:
    now = time.time()
    client = make_client(clock=lambda: now)
    for wait in (0, certcentral_http.IDLE_LIMIT_SECONDS, certcentral_http.IDLE_LIMIT_SECONDS + 1, -1):
        now += wait
        client.get_order(ORDER, now + 60)

    first, kept, dropped, clock_set_back = (call["client_port"] for call in emulator.calls)
    assert first == kept
    assert len({kept, dropped, clock_set_back}) == 3


def test_connection_closed_by_the_server_meanwhile_is_harmless(
    client: CertCentralClient, emulator: CertCentralEmulator
) -> None:
    emulator.inject({"fault": "close_idle", "seconds": 0.05, "times": 1})
    client.get_order(ORDER, later())
    time.sleep(0.2)

    client.get_order(ORDER, later())
    resend(client)

    assert methods(emulator) == ["GET", "GET", "PUT"]


@pytest.mark.parametrize("fault", ["huge", "gzip_bomb"])
def test_large_bodies_cost_little_memory(client: CertCentralClient, emulator: CertCentralEmulator, fault: str) -> None:
    emulator.inject({"fault": fault, "status": 503, "bytes": 50_000_000})
    tracemalloc.start()
    try:
        with pytest.raises(OutcomeUnknown):
            resend(client)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8_000_000


def test_calls_are_observed(make_client: Callable[..., CertCentralClient], emulator: CertCentralEmulator) -> None:
    seen: list[int | None] = []
    client = make_client(observe=lambda status, _seconds: seen.append(status))
    client.get_order(ORDER, later())
    emulator.inject({"fault": "reset", "method": "PUT"})
    with pytest.raises(OutcomeUnknown):
        resend(client)

    assert seen == [200, None]


# Whatever comes back


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b"", []),
        (b"{}", []),
        (b"null", []),
        (b'{"errors": null}', []),
        (b'{"errors": {"code": "a|b", "message": "c"}}', ["a|b"]),
        (b'{"errors": [{"code": "a|b"}, {"code": 5}, "x", {"code": "c"}]}', ["a|b", "c"]),
        (b'{"errors": [{"errors": [{"code": "nested"}]}]}', ["nested"]),
        (b"<html>", []),
        (b'{"errors": [' + b'{"code": "e"},' * 99 + b'{"code": "e"}]}', ["e"] * 5),
        (b"[" * 100_000, []),
        (b"\xff\xfe\x00", []),
    ],
)
def test_error_bodies_of_any_shape_are_read(body: bytes, codes: list[str]) -> None:
    answer = certcentral_http.Response(status=400, body=body, key=CANARY, content_type="", retry_after=None)

    assert [error.code for error in answer.errors] == codes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers() | st.text() | json_values,
        "status": st.sampled_from(["pending", "issued"]) | json_values,
        "product": st.fixed_dictionaries({"type": json_values}) | json_values,
        "date_created": st.datetimes().map(dt.datetime.isoformat) | json_values,
    },
)
answers = st.builds(
    certcentral_http.Response,
    status=st.integers(100, 999),
    body=st.none()
    | st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | json_values.map(lambda value: json.dumps({"errors": value, "id": ORDER, "order_status": value}).encode())
    | st.lists(json_values | ROWS).map(lambda rows: json.dumps({"orders": rows}).encode()),
    key=st.just(CANARY),
    content_type=st.text(),
    retry_after=st.none() | st.integers(1, 100),
)


@given(answers)
def test_whatever_is_answered_only_our_errors_are_raised(answer: certcentral_http.Response) -> None:
    client = CertCentralClient(
        base_url="http://127.0.0.1", timeout_seconds=1, api_key=KeyStub(), observe=lambda _status, _seconds: None
    )
    client._exchange = lambda *_args: answer  # type: ignore[method-assign]

    for call in (client.get_order, client.get_order_status):
        try:
            call(ORDER, later())
        except ResendError as error:
            assert not isinstance(error, OutcomeUnknown)  # noqa: PT017
    try:
        assert all(isinstance(row, ListedOrder) for row in client.list_orders(PENDING, 0, later()))
    except ResendError as error:
        assert not isinstance(error, OutcomeUnknown)  # noqa: PT017
    try:
        resend(client)
    except OutcomeUnknown:
        assert not 400 <= answer.status < 500
    except ResendError:
        assert 400 <= answer.status < 500
    else:
        assert 200 <= answer.status < 300


@given(st.text() | st.from_regex(r"[0-9]+"))
def test_any_retry_after_is_seconds_or_nothing(text: str) -> None:
    seconds = certcentral_http._parse_retry_after(text, time.time())

    assert seconds is None or 1 <= seconds <= certcentral_http.MAX_RETRY_AFTER_SECONDS
