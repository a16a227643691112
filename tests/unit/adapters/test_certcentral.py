"""What CertCentral's responses mean. A stub makes the HTTP exchange; realistic responses come from the emulator."""

import datetime as dt
import json
import re
import tracemalloc
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest
from conftest import CANARY
from hypothesis import given
from hypothesis import strategies as st

from dev.emulator import CertCentralEmulator
from dv_resend.adapters import certcentral
from dv_resend.adapters.certcentral import CertCentralClient
from dv_resend.adapters.certcentral_http import Call, CertCentralHttp
from dv_resend.adapters.certcentral_response import Response
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
    UpstreamError,
)
from unit.adapters.conftest import ORDER, later

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
DEADLINE = NOW.timestamp() + 29
PENDING = ("pending", "reissue_pending")

type Ask = Callable[[CertCentralClient], object]

QUERIES: dict[str, Ask] = {
    "order": lambda client: client.get_order(ORDER, DEADLINE),
    "status": lambda client: client.get_order_status(ORDER, DEADLINE),
    "list": lambda client: client.list_orders(PENDING, 0, DEADLINE),
}
ALL_CALLS = QUERIES | {"resend": lambda client: client.resend_emails(ORDER, {}, DEADLINE)}
ORDER_CALLS = {name: ALL_CALLS[name] for name in ("order", "status", "resend")}


def each(calls: dict[str, Ask]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ask", calls.values(), ids=calls)


class HttpStub:
    """Answers every call with the same response, and keeps the calls with their deadlines."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.calls: list[tuple[Call, float]] = []

    def call(self, call: Call, deadline: float) -> Response:
        self.calls.append((call, deadline))
        return self.response


def mixed(*values: object) -> tuple[object, ...]:
    """Return values of different types."""
    return values


def response(status: int, body: bytes | None, *, content_type: str = "", retry_after: int | None = None) -> Response:
    return Response(status=status, body=body, key=CANARY, content_type=content_type, retry_after=retry_after)


def an_order(**fields: object) -> dict[str, object]:
    """Return the least that an order's response says; ``fields`` replace parts of it."""
    return {"id": ORDER, "status": "pending", "product": {"type": "dv_ssl_certificate"}, **fields}


def a_validation(**fields: object) -> dict[str, object]:
    return {"order_id": str(ORDER), "order_status": "pending", **fields}


def client_of(http: HttpStub) -> CertCentralClient:
    return CertCentralClient(cast("CertCentralHttp", http), clock=NOW.timestamp)


def given_json(body: object, status: int = 200, **parts: Any) -> CertCentralClient:
    """Return a client whose calls are all answered with this body."""
    return client_of(HttpStub(response(status, json.dumps(body).encode(), **parts)))


def given_bytes(body: bytes | None, status: int = 200, **parts: Any) -> CertCentralClient:
    return client_of(HttpStub(response(status, body, **parts)))


@pytest.fixture
def client(http: CertCentralHttp) -> CertCentralClient:
    """A client of the emulator."""
    return CertCentralClient(http)


# The calls


@pytest.mark.parametrize(
    ("ask", "call"),
    [
        ("order", Call("GET", f"/order/certificate/{ORDER}")),
        ("status", Call("GET", f"/order/certificate/{ORDER}/validation")),
        ("resend", Call("PUT", f"/order/certificate/{ORDER}/resend-emails", {})),
    ],
)
def test_call_is_the_documented_one(ask: str, call: Call) -> None:
    http = HttpStub(response(200, json.dumps(an_order() | a_validation()).encode()))

    ALL_CALLS[ask](client_of(http))

    assert http.calls == [(call, DEADLINE)]


def test_resend_passes_the_body_on_unchanged() -> None:
    http = HttpStub(response(204, b""))
    body: dict[str, object] = {"domain_approval_emails": [{"domain": "example.com", "email": "a@b.test"}]}

    client_of(http).resend_emails(ORDER, body, DEADLINE)

    ((call, _),) = http.calls
    assert call.body == body


def test_list_is_asked_for_by_status_in_the_largest_pages() -> None:
    http = HttpStub(response(200, b'{"orders": []}'))

    client_of(http).list_orders(PENDING, 2000, DEADLINE)

    ((call, deadline),) = http.calls
    path, query = urlsplit(call.path).path, urlsplit(call.path).query
    assert (call.method, path, call.body, deadline) == ("GET", "/order/certificate", None, DEADLINE)
    assert parse_qsl(query) == [
        ("filters[status][0]", "pending"),
        ("filters[status][1]", "reissue_pending"),
        ("sort", "date_created"),
        ("limit", "1000"),
        ("offset", "2000"),
    ]


# Success and doubt of a resend


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"ok": true, "order_id": 7}', b"[]", b"null", b'[{"id": 7}]'])
def test_2xx_with_nothing_or_with_json_is_a_success(status: int, body: bytes) -> None:
    given_bytes(body, status).resend_emails(ORDER, {}, DEADLINE)


# Statuses that do not say whether the email was sent: 408, 425 and 499 say that a server gave up on the request.
DOUBTFUL = (199, 300, 301, 302, 303, 304, 307, 308, 399, 408, 425, 499, 500, 502, 503, 504)


@pytest.mark.parametrize("status", DOUBTFUL)
@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", None], ids=ascii)
def test_other_status_of_a_resend_is_an_unknown_outcome(status: int, body: bytes | None) -> None:
    with pytest.raises(OutcomeUnknown, match=f"order {ORDER} with status {status}") as caught:
        given_bytes(body, status).resend_emails(ORDER, {}, DEADLINE)

    assert caught.value.upstream_status == status


def test_unknown_outcome_keeps_what_certcentral_said() -> None:
    client = given_json({"errors": [{"code": "odd|thing", "message": "Why."}]}, 500)

    with pytest.raises(OutcomeUnknown) as caught:
        client.resend_emails(ORDER, {}, DEADLINE)

    assert caught.value.upstream_errors == (UpstreamError("odd|thing", "Why."),)


@pytest.mark.parametrize("status", [200, 202, 204])
@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (None, "", "a response that was cut off"),
        (b"<html>", "", "a web page, perhaps from a firewall"),
        (b"{}", "text/html", "a web page"),
        (b" ", "", "a text that is not JSON"),
        (b'{"errors": [{"code": "invalid_locale"}]}', "application/json", "an error.*invalid_locale"),
        (b'{"errors": null}', "", "an error"),
        (b'[{"id": 7}, {"errors": "Not sent."}]', "", "an error"),
    ],
    ids=ascii,
)
def test_2xx_that_says_something_else_is_an_unknown_outcome(
    status: int, body: bytes | None, content_type: str, said: str
) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        given_bytes(body, status, content_type=content_type).resend_emails(ORDER, {}, DEADLINE)

    assert re.search(f"order {ORDER} with status {status} and {said}", str(caught.value))
    assert caught.value.upstream_status == status


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "unauthorized", ApiKeyRejected),
        (403, "access_denied|access_denied_invalid_key", ApiKeyRejected),
        (404, "not_found|order", OrderNotFound),
        (404, "not_found", OrderNotFound),
        (404, "not_found|route", ConfigurationError),
        (404, "something|else", RequestRejected),
        (400, "not_found|order", RequestRejected),
        (400, "not_found|route", RequestRejected),
        (403, "access_denied|missing_permission", PermissionDenied),
        (429, "request_limit_exceeded", RateLimited),
    ],
)
@each(ORDER_CALLS)
def test_refusal_keeps_the_upstream_code(ask: Ask, status: int, code: str, expected: type[ResendError]) -> None:
    client = given_json({"errors": [{"code": code, "message": "Because."}]}, status)

    with pytest.raises(ResendError) as caught:
        ask(client)

    assert type(caught.value) is expected
    assert caught.value.upstream_status == status
    assert caught.value.upstream_errors == (UpstreamError(code, "Because."),)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "not_found", ConfigurationError),
        (404, "not_found|order", ConfigurationError),
        (404, "something|else", RequestRejected),
        (400, "not_found", RequestRejected),
        (403, "access_denied|missing_permission", PermissionDenied),
    ],
)
def test_refusal_of_the_list_says_nothing_about_an_order(status: int, code: str, expected: type[ResendError]) -> None:
    with pytest.raises(ResendError) as caught:
        given_json({"errors": [{"code": code}]}, status).list_orders(PENDING, 0, DEADLINE)

    assert type(caught.value) is expected
    assert caught.value.upstream_errors == (UpstreamError(code, ""),)


@each(QUERIES)
@pytest.mark.parametrize("status", [408, 425, 499])
def test_query_that_a_server_gave_up_on_is_unavailable(ask: Ask, status: int) -> None:
    with pytest.raises(CertCentralUnavailable):
        ask(given_json({"errors": [{"code": "odd"}]}, status))


@pytest.mark.parametrize(
    "body", [None, b"", b"Forbidden", b'{"errors": ', b"{}", b'{"errors": [{"message": "No."}]}'], ids=ascii
)
@pytest.mark.parametrize(
    ("status", "put", "query"),
    [
        (400, RequestRejected, CertCentralUnavailable),
        (403, CertCentralUnavailable, CertCentralUnavailable),
        (404, RequestRejected, CertCentralUnavailable),
        (406, RequestRejected, CertCentralUnavailable),
        (429, RateLimited, RateLimited),
    ],
)
def test_refusal_without_codes_is_judged_by_its_status(
    status: int, put: type[ResendError], query: type[ResendError], body: bytes | None
) -> None:
    client = given_bytes(body, status)

    for name, ask in ALL_CALLS.items():
        with pytest.raises(put if name == "resend" else query):
            ask(client)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"", ApiKeyRejected), (b"{}", ApiKeyRejected), (b"Unauthorized", CertCentralUnavailable)],
    ids=ascii,
)
@each(ALL_CALLS)
def test_401_that_says_something_else_is_not_about_the_key(
    ask: Ask, body: bytes | None, expected: type[ResendError]
) -> None:
    with pytest.raises(expected):
        ask(given_bytes(body, 401))


@each(ALL_CALLS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 409, 422, 429, 451])
@pytest.mark.parametrize(("page", "kind"), [(b"<html>", ""), (b"Blocked.", "text/html; charset=utf-8")])
def test_web_page_with_a_4xx_is_no_refusal(ask: Ask, status: int, page: bytes, kind: str) -> None:
    """No verdict about the order, the key or the request: all of these would be final."""
    said = f"status {status} and a web page, perhaps from a firewall"

    with pytest.raises(CertCentralUnavailable, match=said) as caught:
        ask(given_bytes(page, status, content_type=kind, retry_after=9))

    assert (caught.value.upstream_status, caught.value.retry_after) == (status, 9)


@each(ALL_CALLS)
@pytest.mark.parametrize("retry_after", [None, 7])
def test_rate_limit_passes_the_wait_on(ask: Ask, retry_after: int | None) -> None:
    with pytest.raises(RateLimited) as caught:
        ask(given_json({}, 429, retry_after=retry_after))

    assert caught.value.retry_after == retry_after


@each(QUERIES)
@pytest.mark.parametrize("retry_after", [None, 600])
def test_maintenance_passes_the_wait_and_the_codes_on(ask: Ask, retry_after: int | None) -> None:
    body = {"errors": [{"code": "maintenance", "message": "Later."}]}

    with pytest.raises(CertCentralUnavailable, match="status 503") as caught:
        ask(given_json(body, 503, retry_after=retry_after))

    assert (caught.value.retry_after, caught.value.upstream_status) == (retry_after, 503)
    assert caught.value.upstream_errors == (UpstreamError("maintenance", "Later."),)


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_echoed_key_and_addresses_do_not_reach_the_error(status: int) -> None:
    entry = {"code": f"bad|{CANARY}", "message": f"key {CANARY} may not mail jane.doe@example.com\r\nX: y"}

    with pytest.raises(ResendError) as caught:
        given_json({"errors": [entry]}, status).resend_emails(ORDER, {}, DEADLINE)

    text = f"{caught.value} {caught.value!r} {caught.value.upstream_errors}"
    assert CANARY not in text
    assert "jane.doe" not in text
    assert "\n" not in str(caught.value)


# Queries


@each(QUERIES)
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        *((status, b"{}", "JSON of another kind") for status in (199, 302, 500, 503)),
        (200, None, "a response that was cut off"),
        (200, b"", "an empty response"),
        (200, b"<html>", "a web page, perhaps from a firewall"),
        (200, b'{"id": ', "a text that is not JSON"),
        *((200, body, "JSON of another kind") for body in (b"[]", b"null", b'"text"', b"7")),
        (200, b'{"errors": [{"code": "x"}]}', "an error"),
        (200, b'[{"errors": []}]', "an error"),
    ],
)
def test_query_without_usable_data_is_unavailable_and_says_what_came(
    ask: Ask, status: int, body: bytes | None, said: str
) -> None:
    with pytest.raises(CertCentralUnavailable, match=f"status {status} and {said}") as caught:
        ask(given_bytes(body, status))

    assert caught.value.upstream_status == status


NEITHER: dict[str, dict[str, object]] = {
    "no ids": {"status": "pending", "order_status": "pending", "product": {"type": "dv_ssl_certificate"}},
    **{f"id {odd!r}": an_order(id=odd) | a_validation(order_id=odd) for odd in mixed(None, "", {}, True, -1)},
    "errors beside the data": an_order() | a_validation(orders=[an_order()], errors=[{"code": "partial"}]),
    "no errors beside the data": an_order() | a_validation(orders=[an_order()], errors=None),
}


@each(QUERIES)
@pytest.mark.parametrize("body", NEITHER.values(), ids=NEITHER)
def test_query_that_is_answered_with_another_object_is_unavailable(ask: Ask, body: dict[str, object]) -> None:
    """It is never a verdict about the order: a reminder would be acknowledged, a caller would give up."""
    with pytest.raises(CertCentralUnavailable, match="did not answer with what was asked for") as caught:
        ask(given_json(body))

    assert caught.value.upstream_status == 200


@pytest.mark.parametrize("parts", [{"product": None}, {"product": {"type": ""}}, {"status": None}], ids=ascii)
def test_order_without_product_or_status_is_unavailable(parts: dict[str, object]) -> None:
    with pytest.raises(CertCentralUnavailable, match="an order without status or product"):
        given_json(an_order(**parts)).get_order(ORDER, DEADLINE)


@pytest.mark.parametrize("status", [200, 299])
def test_query_with_any_2xx_is_answered(status: int) -> None:
    assert given_json(an_order(status="issued"), status).get_order(ORDER, DEADLINE).status == "issued"


# The order


def test_order_is_read_from_the_documented_response(client: CertCentralClient) -> None:
    order = client.get_order(ORDER, later())

    assert (order.order_id, order.status) == (ORDER, "pending")
    assert (order.product_type, order.dcv_method) == ("dv_ssl_certificate", "email")


@pytest.mark.parametrize("answered", [ORDER + 1, str(ORDER + 1), f"0{ORDER}"], ids=ascii)
def test_order_with_another_id_is_not_found(answered: object) -> None:
    with pytest.raises(OrderNotFound, match=f"another order than {ORDER}"):
        given_json(an_order(id=answered)).get_order(ORDER, DEADLINE)


@pytest.mark.parametrize("parts", [{}, {"id": str(ORDER)}, *({"dcv_method": odd} for odd in mixed(None, "", 1, []))])
def test_order_without_a_method_is_read_without_guessing(parts: dict[str, Any]) -> None:
    order = given_json(an_order(**parts)).get_order(ORDER, DEADLINE)

    assert (order.order_id, order.status, order.dcv_method) == (ORDER, "pending", None)


def a_reissue(**fields: object) -> dict[str, object]:
    return {"status": "reissue_pending", "date_created": "2026-07-01", **fields}


REISSUES = [{"date": "2026-11-20", "type": "reissue"}, {"date": "2026-11-21", "type": "Reissue_Request"}]
UNDATED = [None, "x", {}, {"type": "reissue"}, {"date": "soon", "type": "reissue"}]
CERTIFICATE = {"date_created": "2026-11-19"}


@pytest.mark.parametrize(
    ("order", "waiting_since"),
    [
        ({"date_created": "2026-11-20T23:30:00-07:00"}, "2026-11-21T06:30:00Z"),
        ({"date_created": "soon"}, None),
        ({}, None),
        # The other requests of a pending order do not count.
        ({"date_created": "2026-11-20", "requests": REISSUES}, "2026-11-20T00:00:00Z"),
        # The newest reissue counts, or else the newest request of all.
        (a_reissue(requests=[*REISSUES, {"date": "2026-11-22", "type": "revoke"}]), "2026-11-21T00:00:00Z"),
        (a_reissue(requests=[{"date": "2026-11-22", "type": None}, {"date": "2026-07-01"}]), "2026-11-22T00:00:00Z"),
        (a_reissue(status="Reissue_Pending", requests=REISSUES), "2026-11-21T00:00:00Z"),
        # Without dated requests, the certificate's date counts; a request that has one comes first.
        *(
            (a_reissue(requests=odd, certificate=CERTIFICATE), "2026-11-19T00:00:00Z")
            for odd in mixed(None, {}, UNDATED)
        ),
        (a_reissue(certificate=CERTIFICATE, requests=[{"date": "2026-11-18"}]), "2026-11-18T00:00:00Z"),
        *((a_reissue(certificate=odd), None) for odd in mixed(None, "x", {}, {"date_created": "soon"})),
        (a_reissue(requests=UNDATED), None),
    ],
    ids=lambda value: ascii(value)[:120],
)
def test_order_waits_since_its_pending_request(order: dict[str, Any], waiting_since: str | None) -> None:
    found = given_json(an_order(**order)).get_order(ORDER, DEADLINE).waiting_since

    assert found == (None if waiting_since is None else dt.datetime.fromisoformat(waiting_since))


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        (None, ()),
        *(({"dns_names": odd}, ()) for odd in mixed(None, "a.test", {"a.test": 1})),
        ({"dns_names": [None, "A.test", "*.B\u00fccher.example.", 7]}, ("a.test", "*.xn--bcher-kva.example")),
    ],
    ids=ascii,
)
def test_order_with_odd_names_has_the_readable_ones(certificate: object, names: tuple[str, ...]) -> None:
    assert given_json(an_order(certificate=certificate)).get_order(ORDER, DEADLINE).names == names


# The list of orders


def test_list_is_read_from_the_documented_response(client: CertCentralClient, emulator: CertCentralEmulator) -> None:
    (row, *_) = client.list_orders(PENDING, 0, later())

    (order,) = (order for order in emulator.orders if order["id"] == row.order_id)
    created = dt.datetime.fromisoformat(order["date_created"])
    name = next(iter(order["names"]))
    assert row == ListedOrder(order["id"], order["status"], order["product_type"], created, name)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (None, ListedOrder(None, None, None, None)),
        ({"id": "7"}, ListedOrder(7, None, None, None)),
        ({"id": "7x", "status": "pending"}, ListedOrder(None, "pending", None, None)),
        ({"id": 7, "status": "under\nreview"}, ListedOrder(7, "under review", None, None)),
        ({"id": 7, "product": "x"}, ListedOrder(7, None, None, None)),
        ({"id": 7, "product": {"type": "dv_ssl_certificate"}}, ListedOrder(7, None, "dv_ssl_certificate", None)),
        ({"id": 7, "date_created": "soon"}, ListedOrder(7, None, None, None)),
        ({"id": 7, "certificate": ["example.com"]}, ListedOrder(7, None, None, None)),
    ],
    ids=lambda value: ascii(value)[:80],
)
def test_list_row_with_odd_fields_is_read_without_guessing(row: object, expected: ListedOrder) -> None:
    client = given_json({"orders": [row, {"id": 8}], "page": {"total": 9, "limit": 0}})

    assert client.list_orders(PENDING, 0, DEADLINE) == [expected, ListedOrder(8, None, None, None)]


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        ({"common_name": "WWW.Example.com.", "dns_names": ["example.com"]}, "www.example.com"),
        *(
            ({"common_name": odd, "dns_names": ["b\u00fccher.example", "x.example"]}, "xn--bcher-kva.example")
            for odd in (None, "", 7)
        ),
        *(({"common_name": None, "dns_names": odd}, None) for odd in mixed(None, "a.test", {"a.test": 1}, [], [7])),
        # What is no domain name stays short, and readable on any terminal.
        ({"common_name": "jane.doe@example.com\r\n\u202eb\u00fccher"}, "j***@example.com   b?cher"),
        ({"common_name": "\u0130" * 10**6}, "i?" * 255),
        ({"common_name": "\ud800\U0001f600"}, " ?"),
    ],
    ids=lambda value: ascii(value)[:80],
)
def test_list_row_is_named_by_common_name_or_first_name(certificate: object, name: str | None) -> None:
    (row,) = given_json({"orders": [{"id": 7, "certificate": certificate}]}).list_orders(PENDING, 0, DEADLINE)

    assert row.name == name


@pytest.mark.parametrize("count", [999, 1000, 1001, 5000])
def test_at_most_a_thousand_rows_of_a_page_are_looked_at(count: int) -> None:
    rows = [{"id": number} for number in range(1, count + 1)]

    found = given_json({"orders": rows}).list_orders(PENDING, 0, DEADLINE)

    assert [row.order_id for row in found] == list(range(1, min(count, 1000) + 1))


# What eight megabytes of JSON may hold, at a few bytes for each value.
FILLINGS = ("0", "[]", "{}", '{"":{}}', '"x"', "[[0]]", "1.5", '{"id":7}')


@pytest.mark.parametrize("filling", FILLINGS)
@each(QUERIES)
def test_memory_for_a_response_is_bounded(ask: Ask, filling: str) -> None:
    count = (certcentral.PAGE_LIMIT_BYTES - 100) // (len(filling) + 1)
    client = given_bytes(('{"orders":[' + ",".join([filling] * count) + "]}").encode())
    tracemalloc.start()
    try:
        with pytest.raises(CertCentralUnavailable):
            ask(client)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 * 1024 * 1024


def test_page_of_a_thousand_orders_with_250_names_is_read() -> None:
    """Memory is bounded by the number of values, and the largest page there can be must stay below it."""
    names = [f"{number}.com" for number in range(250)]
    rows = [an_order(id=number, certificate={"dns_names": names}) for number in range(1, 1001)]

    assert len(given_json({"orders": rows}).list_orders(PENDING, 0, DEADLINE)) == 1000


@pytest.mark.parametrize(
    "body", [{}, *({"orders": odd} for odd in mixed({}, "x", [None] * 3, [0] * 3, [{}]))], ids=ascii
)
def test_list_without_orders_is_unavailable_and_not_empty(body: object) -> None:
    with pytest.raises(CertCentralUnavailable, match="no list of orders"):
        given_json(body).list_orders(PENDING, 0, DEADLINE)


def test_list_page_may_be_larger_than_an_order() -> None:
    http = HttpStub(response(200, json.dumps(an_order(orders=[])).encode()))
    client = client_of(http)

    client.list_orders(PENDING, 0, DEADLINE)
    client.get_order(ORDER, DEADLINE)

    assert [call.body_limit for call, _ in http.calls] == [8 * 1024 * 1024, 1024 * 1024]


# How far an order has come


def test_status_names_every_domain(client: CertCentralClient) -> None:
    order = client.get_order_status(123456789, later())

    assert (order.order_id, order.status, order.dcv_method) == (123456789, "pending", "email")
    assert order.domains == (
        NameStatus("example.com", "pending", ("example.com",)),
        NameStatus("example2.com", "pending", ("example2.com", "sub.example2.com")),
    )


UNREADABLE = NameStatus("", "unknown")


@pytest.mark.parametrize(
    ("entries", "domains"),
    [
        *((odd, ()) for odd in mixed(None, {}, "x")),
        ([None, {}, {"dns_names": "a.test"}, {"name_scope": "", "status": ""}], (UNREADABLE,) * 4),
        ([{"dns_names": [None, 7, "", [], {}, "a.test"]}], (NameStatus("", "unknown", ("a.test",)),)),
        # Any status is passed on, in any case. The core decides what it means.
        *(
            ([{"name_scope": "a.test", "status": status}], (NameStatus("a.test", status),))
            for status in ("APPROVED", "a future status")
        ),
        (
            [{"name_scope": "B\u00fccher.example", "dns_names": ["*.b\u00fccher.example", "WWW.a.test"]}],
            (NameStatus("xn--bcher-kva.example", "unknown", ("*.xn--bcher-kva.example", "www.a.test")),),
        ),
        ([{"name_scope": "a\r\n.test", "dns_names": ["b\t.test"]}], (NameStatus("a  .test", "unknown", ("b .test",)),)),
    ],
    ids=ascii,
)
def test_status_with_odd_entries_has_the_readable_parts(entries: object, domains: tuple[NameStatus, ...]) -> None:
    body = a_validation(order_status="issued", dns_name_validations=entries)

    order = given_json(body).get_order_status(ORDER, DEADLINE)

    assert (order.status, order.domains) == ("issued", domains)


@pytest.mark.parametrize("odd", [{}, {"order_status": None}, {"order_status": 7}, {"order_status": ""}], ids=ascii)
def test_status_without_an_order_status_still_has_domains(odd: dict[str, Any]) -> None:
    entries = [{"name_scope": "a.test", "status": "approved", "dns_names": ["a.test"]}]
    body = {"order_id": str(ORDER), "dns_name_validations": entries, **odd}

    found = given_json(body).get_order_status(ORDER, DEADLINE)

    assert (found.status, found.dcv_method) == (None, None)
    assert found.domains == (NameStatus("a.test", "approved", ("a.test",)),)


@pytest.mark.parametrize("answered", [ORDER + 1, str(ORDER + 1), f"0{ORDER}"], ids=ascii)
def test_status_with_another_id_is_not_found(answered: object) -> None:
    body = {"order_id": answered, "order_status": "pending", "dns_name_validations": []}

    with pytest.raises(OrderNotFound, match=f"another order than {ORDER}"):
        given_json(body).get_order_status(ORDER, DEADLINE)


@pytest.mark.parametrize(
    ("expires", "expired"),
    [(dt.timedelta(days=-1), True), (dt.timedelta(0), True), (dt.timedelta(seconds=1), False)],
    ids=str,
)
@pytest.mark.parametrize("offset", [0, -7, 14])
def test_approval_ends_at_its_expiration_date(expires: dt.timedelta, expired: bool, offset: int) -> None:
    zone = dt.timezone(dt.timedelta(hours=offset))
    entry = {
        "name_scope": "a.test",
        "status": "approved",
        "dns_names": ["a.test"],
        "approval_expiration_date": (NOW + expires).astimezone(zone).isoformat(timespec="seconds"),
    }

    (found,) = given_json(a_validation(dns_name_validations=[entry])).get_order_status(ORDER, DEADLINE).domains

    assert found == NameStatus("a.test", "approved", ("a.test",), expired=expired)


@pytest.mark.parametrize("value", [None, "soon", "9999-12-31T23:59:59Z"], ids=ascii)
def test_approval_with_an_unreadable_expiration_date_lasts(value: object) -> None:
    entry = {"name_scope": "a.test", "status": "approved", "approval_expiration_date": value}

    found = given_json(a_validation(dns_name_validations=[entry])).get_order_status(ORDER, DEADLINE).domains

    assert found == (NameStatus("a.test", "approved"),)


def test_name_of_maximum_length_is_not_cut_off() -> None:
    """Cut off, it would be another name. The longest has 253 characters, and a star before it."""
    name = "*." + ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    client = given_json(a_validation(dns_name_validations=[{"name_scope": name, "dns_names": [name]}]))

    assert len(name) == 255
    assert client.get_order_status(ORDER, DEADLINE).domains == (NameStatus(name, "unknown", (name,)),)


# Any response


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
RESPONSES = st.builds(
    response,
    st.integers(100, 999),
    st.none()
    | st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | json_values.map(lambda value: json.dumps({"errors": value, "id": ORDER, "order_status": value}).encode())
    | st.lists(json_values | ROWS).map(lambda rows: json.dumps({"orders": rows}).encode()),
    content_type=st.text(),
    retry_after=st.none() | st.integers(1, 100),
)


@given(RESPONSES)
def test_any_response_to_a_query_raises_only_our_errors(answer: Response) -> None:
    client = client_of(HttpStub(answer))

    for ask in QUERIES.values():
        try:
            ask(client)
        except ResendError as error:
            assert not isinstance(error, OutcomeUnknown)  # noqa: PT017


@given(RESPONSES)
def test_any_response_to_a_resend_is_sent_refused_or_unknown(answer: Response) -> None:
    try:
        client_of(HttpStub(answer)).resend_emails(ORDER, {}, DEADLINE)
    except OutcomeUnknown:
        assert not 400 <= answer.status < 500 or answer.status in (408, 425, 499)
    except ResendError:
        assert 400 <= answer.status < 500
        assert answer.status not in (408, 425, 499)
    else:
        assert 200 <= answer.status < 300
        assert not answer.holds_errors
        assert answer.is_json or answer.body == b""
