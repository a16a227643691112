"""The CertCentral emulator, over real loopback sockets: what tests of DV Resend lean on must hold itself."""

import gzip
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.resolver
import pytest
import requests
import trustme

from dev.emulator import CertCentralEmulator
from dev.emulator.orders import DOCUMENTED_EXAMPLE, FIRST_ID, SEED, SEED_IDS
from dev.emulator.switches import SWITCHES

CONSTRUCTED = {"admin", "administrator", "webmaster", "hostmaster", "postmaster"}
ROOT = Path(__file__).parents[2]
LOST = requests.exceptions.ConnectionError


@pytest.fixture(scope="module")
def shared():
    with CertCentralEmulator() as running:
        yield running


@pytest.fixture
def emulator(shared):
    shared.reset()
    return shared


class Api:
    """A client with one keep-alive session."""

    def __init__(self, emulator, key="emulator-valid-key"):
        self.emulator = emulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.headers = {"X-DC-DEVKEY": key} if key else {}

    def __call__(self, method, path, **options):
        headers = self.headers | options.pop("headers", {})
        options = {"timeout": 5, "allow_redirects": False} | options
        return self.session.request(method, f"{self.emulator.base_url}/{path}", headers=headers, **options)

    def resend(self, order=FIRST_ID, body=None, **options):
        options = options if "data" in options else {"json": {} if body is None else body} | options
        return self("PUT", f"order/certificate/{order}/resend-emails", **options)

    def rows(self, query=""):
        return self("GET", f"order/certificate?{query}").json()["orders"]


@pytest.fixture
def api(emulator):
    client = Api(emulator)
    with client.session:
        yield client


@pytest.fixture
def control(emulator):
    with requests.Session() as session:
        session.trust_env = False
        yield lambda method, path, value=None: session.request(
            method, f"{emulator.url}/_emulator/{path}", data=json.dumps(value), timeout=5
        )


def eventually(condition):
    """Waits for what the emulator's own threads do after the client has left."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def look_up(server, name, type_):
    """The records as texts; None if the name does not exist, [] if it has none of the type."""
    resolver = dns.resolver.Resolver(configure=False)
    host, _, port = server.rpartition(":")
    resolver.nameservers, resolver.port, resolver.lifetime = [host], int(port), 2
    try:
        return sorted(record.to_text() for record in resolver.resolve(name, type_, search=False))
    except dns.resolver.NXDOMAIN:
        return None
    except dns.resolver.NoAnswer:
        return []


def refusal(answer):
    (error,) = answer.json()["errors"]
    assert error["message"]
    return answer.status_code, error["code"]


def entry(domain, email, **more):
    return {"domain_approval_emails": [{"domain": domain, "email": email, **more}]}


# --- The resend call --------------------------------------------------------------------------------------------------


def test_default_resend_answers_204_and_mails_the_constructed_addresses(emulator, api):
    # When the plain pending order is resent without recipients
    answer = api.resend(body={"locale": "de"})

    # Then DigiCert's documented success comes back, without a body
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Length" not in answer.headers
    # And each constructed address got one email, caused by that call
    assert {mail["to"] for mail in emulator.outbox} == {f"{local}@example.com" for local in CONSTRUCTED}
    first = emulator.outbox[0]
    assert first.keys() == {
        *("id", "order_id", "to", "domain", "locale", "subject", "link_created_at", "sent_at", "caused_by")
    }
    assert (first["order_id"], first["domain"], first["locale"]) == (FIRST_ID, "example.com", "de")
    assert first["caused_by"] == emulator.calls[0]["number"]


def test_documented_example_is_accepted_as_printed(emulator, api):
    body = {
        "domain_approval_emails": [
            {"domain": "example.com", "email": "someone@example.com"},
            {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
        ],
        "locale": "en",
    }

    assert api.resend(DOCUMENTED_EXAMPLE, body).status_code == 204

    assert [(mail["to"], mail["domain"], mail.get("email_domain")) for mail in emulator.outbox] == [
        ("someone@example.com", "example.com", None),
        ("someone@example2.com", "sub.example2.com", "example2.com"),
    ]


def test_email_domain_lets_a_parent_approve_but_not_a_stranger(emulator, api):
    good = entry("sub.example2.com", "admin@example2.com", email_domain="example2.com")
    assert api.resend(DOCUMENTED_EXAMPLE, good).status_code == 204

    stranger = entry("sub.example2.com", "admin@other.test", email_domain="other.test")
    assert refusal(api.resend(DOCUMENTED_EXAMPLE, stranger)) == (400, "undocumented|foreign_address")
    assert len(emulator.outbox) == 1


def test_only_outstanding_names_are_mailed_by_default(emulator, api):
    api.resend(SEED_IDS["multi_san"])
    assert {mail["domain"] for mail in emulator.outbox} == {"mail.example", "api.shop.test"}


def test_wildcard_defaults_go_to_the_bare_name(emulator, api):
    api.resend(SEED_IDS["wildcard"])
    assert {mail["to"].partition("@")[2] for mail in emulator.outbox} == {"wild.example"}


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"a": ' + b"[" * 100_000, b"1"])
def test_what_is_not_a_json_object_is_a_bad_request_format(emulator, api, body):
    assert refusal(api.resend(data=body)) == (400, "bad_request_format")
    assert emulator.outbox == []


@pytest.mark.parametrize(
    "body",
    [
        {"domain_approval_emails": None},
        {"domain_approval_emails": {"domain": "example.com"}},
        {"domain_approval_emails": ["admin@example.com"]},
        {"domain_approval_emails": [{"domain": "example.com"}]},
        {"domain_approval_emails": [{"email": "admin@example.com"}]},
        {"domain_approval_emails": [{"domain": "example.com", "email": ["admin@example.com"]}]},
        entry("example.com", "admin@example.com,postmaster@example.com"),
        entry("example.com", "admin@example.com", email_domain=5),
        {"locale": 5},
    ],
)
def test_fields_of_the_wrong_type_are_refused(emulator, api, body):
    assert refusal(api.resend(body=body)) == (400, "undocumented|invalid_field")
    assert emulator.outbox == []


def test_unknown_order_and_unknown_routes(emulator, api):
    assert refusal(api.resend(42)) == (404, "not_found|order")
    assert refusal(api("GET", "order/certificate/42")) == (404, "not_found|order")
    for method, path in [
        ("POST", f"order/certificate/{FIRST_ID}/resend-emails"),
        ("GET", f"order/certificate/{FIRST_ID}/resend-emails"),
        ("PUT", f"order/certificate/{FIRST_ID}/dcv/emails"),
        ("PUT", f"order/certificate/{FIRST_ID}"),
        ("GET", "order/certificate/abc"),
        ("GET", "../v1/order/certificate"),
        ("DELETE", f"order/certificate/{FIRST_ID}"),
    ]:
        assert refusal(api(method, path)) == (404, "not_found|route")
    assert emulator.outbox == []


# --- Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "role"), [("emulator-revoked-key", "revoked"), ("no-such-key", "unknown"), (None, "missing")]
)
def test_a_bad_key_gets_the_recorded_403_or_401_by_switch(emulator, key, role):
    api = Api(emulator, key)
    with api.session:
        answer = api.resend()
        assert refusal(answer) == (403, "access_denied|access_denied_invalid_key")
        assert answer.json()["errors"][0]["message"] == "Access denied due to access_denied_invalid_key."
        emulator.set_switches(bad_key_status=401)
        assert api.resend().status_code == 401
    assert [call["role"] for call in emulator.calls] == [role, role]
    assert emulator.outbox == []


def test_a_view_only_key_reads_but_does_not_send(emulator):
    api = Api(emulator, "emulator-view-only-key")
    with api.session:
        assert api("GET", f"order/certificate/{FIRST_ID}").status_code == 200
        assert refusal(api.resend()) == (403, "access_denied|missing_permission")
    assert emulator.outbox == []


def test_keys_rotate_at_run_time(emulator, api, control):
    emulator.set_key("emulator-valid-key", "revoked")
    assert api.resend().status_code == 403
    assert control("PUT", "keys", {"secret": "fresh", "role": "valid"}).status_code == 200
    assert api.resend(headers={"X-DC-DEVKEY": "fresh"}).status_code == 204
    emulator.set_key("fresh", "unknown")
    assert api.resend(headers={"X-DC-DEVKEY": "fresh"}).status_code == 403


def test_calls_show_everything_but_the_key(emulator, api):
    api.resend(data=b'{"locale": "en" }', headers={"User-Agent": "dv-resend/1", "X-Other": "y"})
    api("GET", "order/certificate?limit=1")

    first, second = emulator.calls
    assert (first["number"], first["role"], first["method"], first["status"]) == (1, "valid", "PUT", 204)
    assert first["path"] == f"/services/v2/order/certificate/{FIRST_ID}/resend-emails"
    assert first["body"] == '{"locale": "en" }'
    assert first["headers"]["user-agent"] == "dv-resend/1"
    assert (second["query"], second["status"], second["fault"]) == ("limit=1", 200, None)
    shown = json.dumps(emulator.calls) + requests.get(emulator.url, timeout=5).text
    assert "emulator-valid-key" not in shown
    assert "x-dc-devkey" not in shown.lower()


# --- Rate limit -------------------------------------------------------------------------------------------------------


def test_rolling_window_refuses_then_drains(emulator, api):
    emulator.set_limits([[100, 60], [2, 0.8]])
    assert [api("GET", f"order/certificate/{FIRST_ID}").status_code for _ in range(2)] == [200, 200]

    answer = api.resend()
    assert refusal(answer) == (429, "request_limit_exceeded")
    assert answer.json()["errors"][0]["message"] == "Service unavailable, please limit request volume"
    assert "Retry-After" not in answer.headers
    assert emulator.outbox == []

    emulator.set_switches(retry_after="7")
    assert api.resend().headers["Retry-After"] == "7"
    # Another key has a window of its own
    assert api("GET", "order/certificate", headers={"X-DC-DEVKEY": "emulator-view-only-key"}).status_code == 200
    time.sleep(0.85)
    assert api.resend().status_code == 204


def test_documented_limit_is_the_default_and_can_be_lifted(emulator, api):
    statuses = [api("GET", f"order/certificate/{FIRST_ID}").status_code for _ in range(102)]
    assert statuses == [200] * 100 + [429] * 2
    emulator.set_limits(None)
    assert api("GET", f"order/certificate/{FIRST_ID}").status_code == 200


# --- Order info, validation, list -----------------------------------------------------------------------------------


def test_order_info_has_the_documented_shape(api):
    info = api("GET", f"order/certificate/{FIRST_ID}").json()

    assert (info["id"], info["status"], info["dcv_method"]) == (FIRST_ID, "pending", "email")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", info["date_created"])
    assert info["product"]["type"] == "dv_ssl_certificate"
    assert info["certificate"]["dns_names"] == ["example.com"]
    assert "valid_till" not in info["certificate"]
    assert info["organization"] == []
    assert [request["type"] for request in info["requests"]] == ["new_request"]


def test_reissue_pending_order_names_its_reissue_request(api):
    info = api("GET", f"order/certificate/{SEED_IDS['reissue']}").json()
    assert info["status"] == "reissue_pending"
    new, reissue = info["requests"]
    assert reissue["type"] == "reissue"
    assert reissue["date"] > new["date"]


def test_ov_order_is_another_product_type_with_an_organization(api):
    info = api("GET", f"order/certificate/{SEED_IDS['ov']}").json()
    assert info["product"]["type"] == "ssl_certificate"
    assert info["organization"]["name"]
    assert api("GET", f"order/certificate/{SEED_IDS['ov']}/validation").json()["organization_validations"] == []


def test_validation_has_string_ids_and_a_status_per_name(emulator, api):
    view = api("GET", f"order/certificate/{SEED_IDS['multi_san']}/validation").json()

    assert (view["order_id"], view["order_status"]) == (str(SEED_IDS["multi_san"]), "pending")
    assert "organization_id" not in view
    assert {row["dns_names"][0]: (row["name_scope"], row["status"]) for row in view["dns_name_validations"]} == {
        "shop.example": ("shop.example", "approved"),
        "mail.example": ("mail.example", "pending"),
        "api.shop.test": ("shop.test", "pending"),
    }
    assert [("approval_expiration_date" in row) for row in view["dns_name_validations"]] == [True, False, False]

    emulator.update_order(SEED_IDS["multi_san"], name_scope="fqdn")
    view = api("GET", f"order/certificate/{SEED_IDS['multi_san']}/validation").json()
    assert [row["name_scope"] for row in view["dns_name_validations"]] == [
        "shop.example",
        "mail.example",
        "api.shop.test",
    ]


@pytest.mark.parametrize("status", ["approved", "pending", "expired", "submitted", "Something Else"])
def test_a_name_may_have_any_status(emulator, api, status):
    order = emulator.add_order(names={"a.test": status, "b.test": "approved"})["id"]

    rows = api("GET", f"order/certificate/{order}/validation").json()["dns_name_validations"]
    assert [(row["dns_names"], row["status"]) for row in rows] == [(["a.test"], status), (["b.test"], "approved")]

    api.resend(order)
    assert {mail["domain"] for mail in emulator.outbox} == (set() if status == "approved" else {"a.test"})


def test_validation_without_its_names(emulator, api):
    path = f"order/certificate/{SEED_IDS['multi_san']}/validation"
    full = api("GET", path).json()
    emulator.set_switches(validation_names="empty")
    assert api("GET", path).json() == full | {"dns_name_validations": []}
    emulator.set_switches(validation_names="absent")
    del full["dns_name_validations"]
    assert api("GET", path).json() == full


@pytest.mark.parametrize("name", SEED)
def test_every_seed_order_can_be_read(api, name):
    order = SEED[name]
    assert (
        api("GET", f"order/certificate/{order['id']}").json()["status"] == order.get("status") or "status" not in order
    )
    assert api("GET", f"order/certificate/{order['id']}/validation").status_code == 200


def test_list_filters_by_one_and_by_several_statuses(api):
    assert {row["status"] for row in api.rows("filters[status]=reissue_pending")} == {"reissue_pending"}
    assert {row["status"] for row in api.rows("filters[status]=issued")} == {"issued", "expired"}
    both = api.rows("filters[status][0]=pending&filters%5Bstatus%5D%5B1%5D=reissue_pending")
    assert {row["status"] for row in both} == {"pending", "reissue_pending"}
    assert {row["product_name_id"] for row in api.rows("filters[product_name_id]=ssl_basic")} == {"ssl_basic"}
    assert [row["id"] for row in api.rows(f"filters[id]={FIRST_ID}&filters[status]=pending")] == [FIRST_ID]


def test_list_filters_by_creation_date(emulator, api):
    emulator.add_order(id=7, product="ssl_dv_rapidssl", date_created="2020-01-02T10:00:00+00:00")
    emulator.add_order(id=8, product="ssl_dv_rapidssl", date_created="2020-01-03T23:59:59+00:00")
    emulator.add_order(id=9, product="ssl_dv_rapidssl", date_created="2020-01-04T00:00:00+00:00")

    def ids(created):
        answer = api(
            "GET",
            "order/certificate",
            params={"filters[date_created]": created, "filters[product_name_id]": "ssl_dv_rapidssl"},
        )
        return [row["id"] for row in answer.json()["orders"]]

    assert ids("2020-01-02...2020-01-03") == [7, 8]
    assert ids("2020-01-02T10:00:01+00:00...2020-01-04T00:00:00+00:00") == [8, 9]
    assert ids(">2020-01-03") == [8, 9]
    assert ids("<2020-01-03T23:59:59+00:00") == [7]
    assert ids("2020-01-04") == [9]


def test_list_sorts_and_pages(emulator, api):
    ids = emulator.add_orders(5, product="ssl_dv_rapidssl", apart_seconds=3600, age_days=1)
    only = "filters[product_name_id]=ssl_dv_rapidssl"

    assert [row["id"] for row in api.rows(f"{only}&sort=-date_created")] == ids
    assert [row["id"] for row in api.rows(f"{only}&sort=date_created")] == ids[::-1]
    assert [row["id"] for row in api.rows(f"{only}&sort=status,-order_id")] == ids[::-1]
    page = api("GET", f"order/certificate?{only}&sort=order_id&offset=3&limit=2").json()
    assert [row["id"] for row in page["orders"]] == ids[3:]
    assert page["page"] == {"total": 5, "limit": 2, "offset": 3}
    assert api.rows(f"{only}&offset=5&limit=2") == []


def test_list_shows_a_changed_order_at_once(emulator, api):
    assert FIRST_ID in [row["id"] for row in api.rows("filters[status]=pending")]
    emulator.update_order(FIRST_ID, status="issued")
    assert FIRST_ID not in [row["id"] for row in api.rows("filters[status]=pending")]


def test_list_hazards(emulator, api):
    page = api("GET", "order/certificate").json()
    assert page["page"]["limit"] == 0
    plain = page["orders"][0]
    assert (plain["organization"], plain["is_multi_year_plan"]) == ([], "1")
    assert "id" not in plain["certificate"]
    assert "dcv_method" not in plain
    assert "requests" not in plain

    emulator.set_switches(list_ids="string", rows_without_certificate=2, rows_of_unknown_status=3)
    rows = {int(row["id"]): row for row in api.rows("filters[status]=pending")}
    assert all(isinstance(row["id"], str) for row in rows.values())
    assert "certificate" not in rows[FIRST_ID + 1]
    assert "certificate" in rows[FIRST_ID]
    assert {row["status"] for row in rows.values()} == {"pending", "under_review"}
    emulator.update_order(FIRST_ID, certificate=False)
    assert "certificate" not in api.rows(f"filters[id]={FIRST_ID}")[0]


@pytest.mark.parametrize(
    "query", ["filters[nonsense]=1", "sort=shoe_size", "page=2", "limit=-1", "offset=x", "filters[date_created]=soon"]
)
def test_list_says_no_to_what_it_does_not_know(api, query):
    assert refusal(api("GET", f"order/certificate?{query}")) == (400, "undocumented|query")


def test_a_hundred_thousand_orders_page_quickly(emulator, api):
    emulator.add_orders(100_000, age_days=1, apart_seconds=20)
    start = time.monotonic()
    for offset in range(0, 10_000, 1000):
        query = "filters[status][0]=pending&filters[status][1]=reissue_pending&sort=date_created"
        assert len(api.rows(f"{query}&offset={offset}&limit=1000")) == 1000
    assert time.monotonic() - start < 5


# --- Switches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switch", "order", "body"),
    [
        ("not_pending", "rejected", {}),
        ("not_pending", "unknown_status", {}),
        ("not_dv", "ov", {}),
        ("not_email_dcv", "dns_txt", {}),
        ("foreign_address", "plain", entry("example.com", "boss@example.com")),
        ("foreign_address", "plain", entry("example.com", "admin@elsewhere.test")),
        ("unknown_domain", "plain", entry("elsewhere.test", "admin@elsewhere.test")),
        ("approved_name", "multi_san", entry("shop.example", "admin@shop.example")),
    ],
)
def test_policy_switches_reject_ignore_or_accept(emulator, api, switch, order, body):
    named = len(body.get("domain_approval_emails", []))

    emulator.set_switches(**{switch: "reject"})
    assert refusal(api.resend(SEED_IDS[order], body)) == (400, f"undocumented|{switch}")
    assert emulator.outbox == []

    emulator.set_switches(**{switch: "ignore"})
    assert api.resend(SEED_IDS[order], body).status_code == 204
    # An ignored order gets nothing; if all named recipients are ignored, the defaults are mailed
    assert (len(emulator.outbox) > 1) if named else (emulator.outbox == [])

    emulator.clear_outbox()
    emulator.set_switches(**{switch: "accept"})
    assert api.resend(SEED_IDS[order], body).status_code == 204
    assert len(emulator.outbox) == (named or 5)


def test_ignoring_a_foreign_address_keeps_the_good_ones(emulator, api):
    emulator.set_switches(foreign_address="ignore")
    body = entry("example.com", "boss@example.com")
    body["domain_approval_emails"] += entry("example.com", "Admin@Example.com")["domain_approval_emails"]
    api.resend(body=body)
    assert [mail["to"] for mail in emulator.outbox] == ["Admin@Example.com"]


def test_contact_addresses_are_not_foreign(emulator, api):
    assert api.resend(SEED_IDS["contact"], entry("contact.example", "pki@mail.test")).status_code == 204
    assert [mail["to"] for mail in emulator.outbox] == ["pki@mail.test"]


@pytest.mark.parametrize(
    ("switch", "order", "data", "code", "mails"),
    [
        ("empty_list", "plain", b'{"domain_approval_emails": []}', "undocumented|empty_list", 5),
        ("no_body", "plain", b"", "bad_request_format", 5),
        ("no_body", "plain", b"null", "bad_request_format", 5),
        ("unknown_fields", "plain", b'{"domain_approval_email": []}', "undocumented|unknown_field", 5),
        ("nothing_outstanding", "all_approved", b"{}", "undocumented|nothing_outstanding", 0),
        (
            "wildcard_domain",
            "wildcard",
            json.dumps(entry("*.wild.example", "admin@wild.example")).encode(),
            "undocumented|wildcard_domain",
            1,
        ),
    ],
)
def test_either_or_switches(emulator, api, switch, order, data, code, mails):
    assert api.resend(SEED_IDS[order], data=data).status_code == 204
    assert len(emulator.outbox) == mails
    emulator.set_switches(**{switch: "reject"})
    assert refusal(api.resend(SEED_IDS[order], data=data)) == (400, code)
    assert len(emulator.outbox) == mails


def test_success_status_and_locales(emulator, api):
    emulator.set_switches(success_status=200, locales=["en", "pt_BR"])
    answer = api.resend(body={"locale": "pt_BR"})
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    assert refusal(api.resend(body={"locale": "pt-br"})) == (400, "undocumented|invalid_field")


def test_whether_a_resend_renews_the_link(emulator, api):
    old = SEED_IDS["old"]
    body = entry("forgotten.example", "admin@forgotten.example")
    ordered = datetime.fromisoformat(emulator.update_order(old)["date_created"])
    api.resend(old, body)
    assert datetime.fromisoformat(emulator.outbox[-1]["link_created_at"]) == ordered

    emulator.set_switches(resend_renews_link=True)
    api.resend(old, body)
    assert datetime.now(UTC) - datetime.fromisoformat(emulator.outbox[-1]["link_created_at"]) < timedelta(seconds=5)


def test_dv_organization_and_large_limit(emulator, api):
    path = f"order/certificate/{FIRST_ID}"
    emulator.set_switches(dv_organization="object")
    assert api("GET", path).json()["organization"]["name"]
    emulator.set_switches(dv_organization="absent")
    assert "organization" not in api("GET", path).json()

    assert api("GET", "order/certificate?limit=5000").json()["page"]["limit"] == 1000
    emulator.set_switches(limit_over_1000="reject")
    assert api("GET", "order/certificate?limit=1001").status_code == 400


# --- Faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mails", [False, True])
@pytest.mark.parametrize("name", ["reset", "close", "hang"])
def test_no_answer_at_all(emulator, api, name, mails):
    emulator.inject({"fault": name, "method": "PUT", "mails": mails, "times": 1})

    with pytest.raises((LOST, requests.exceptions.ReadTimeout)) as caught:
        api.resend(timeout=0.2)

    reason = repr(caught.value)
    assert {"reset": "ConnectionResetError", "close": "RemoteDisconnected", "hang": "ReadTimeout"}[name] in reason
    eventually(lambda: len(emulator.outbox) == (5 if mails else 0))
    assert (emulator.calls[0]["fault"], emulator.calls[0]["status"]) == (name, None)
    # And it struck only once
    assert api.resend().status_code == 204


def test_reset_is_a_tcp_reset_after_the_whole_request(emulator):
    emulator.inject({"fault": "reset"})
    with socket.create_connection(("127.0.0.1", int(emulator.url.rpartition(":")[2]))) as client:
        client.sendall(b"PUT /services/v2/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{")
        time.sleep(0.05)
        client.sendall(b"   ")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert emulator.calls[0]["body"] == "{   "


def test_slow_answers_normally_in_the_end(emulator, api):
    emulator.inject({"fault": "slow", "seconds": 0.2, "times": 1})
    start = time.monotonic()
    assert api.resend().status_code == 204
    assert time.monotonic() - start >= 0.2
    assert len(emulator.outbox) == 5
    assert (emulator.calls[0]["status"], emulator.calls[0]["fault"]) == (204, "slow")


def test_slow_takes_effect_first_if_it_mails(emulator, api):
    emulator.inject({"fault": "slow", "seconds": 30, "mails": True})
    with pytest.raises(requests.exceptions.ReadTimeout):
        api.resend(timeout=0.2)
    eventually(lambda: len(emulator.outbox) == 5)
    assert emulator.calls[0]["status"] is None


def test_a_slow_call_from_before_a_reset_has_no_effect_after_it(emulator, api):
    emulator.inject({"fault": "slow", "seconds": 0.3})
    with pytest.raises(requests.exceptions.ReadTimeout):
        api.resend(timeout=0.1)
    emulator.reset()
    time.sleep(0.4)
    assert emulator.outbox == []


def test_status_with_known_or_given_body(emulator, api):
    emulator.inject({"fault": "status", "status": 503, "times": 1})
    emulator.inject({"fault": "status", "status": 429, "headers": {"Retry-After": "9"}, "times": 1})
    emulator.inject({"fault": "status", "status": 403, "body": {"errors": {"code": "x"}}, "times": 1, "mails": True})
    emulator.inject({"fault": "status", "status": 500, "body": "oops", "times": 1})
    emulator.inject({"fault": "status", "status": 502, "times": 1})

    maintenance, limited, denied, oops, empty = (api.resend() for _ in range(5))

    assert (maintenance.status_code, maintenance.text) == (503, "Service is unavailable")
    assert refusal(limited) == (429, "request_limit_exceeded")
    assert limited.headers["Retry-After"] == "9"
    assert (denied.status_code, denied.json()) == (403, {"errors": {"code": "x"}})
    assert (oops.status_code, oops.text) == (500, "oops")
    assert (empty.status_code, empty.content) == (502, b"")
    assert [call["status"] for call in emulator.calls] == [503, 429, 403, 500, 502]
    assert len(emulator.outbox) == 5


def test_answers_that_are_not_what_they_seem(emulator, api):
    emulator.inject({"fault": "html", "status": 200, "times": 1})
    emulator.inject({"fault": "bad_json", "times": 1})
    emulator.inject({"fault": "redirect", "location": "http://127.0.0.1:1/stolen", "times": 1})

    page, bad, moved = (api.resend() for _ in range(3))

    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (bad.status_code, bad.headers["Content-Type"]) == (500, "application/json")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        bad.json()
    assert (moved.status_code, moved.headers["Location"]) == (302, "http://127.0.0.1:1/stolen")


def test_truncated_body(emulator, api):
    emulator.inject({"fault": "truncated", "status": 200})
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        api("GET", f"order/certificate/{FIRST_ID}")


def test_huge_body_and_a_client_that_leaves_early(emulator, api):
    emulator.inject({"fault": "huge", "status": 502, "bytes": 3_000_000})
    assert len(api("GET", "order/certificate").content) == 3_000_000
    with api("GET", "order/certificate", stream=True) as answer:
        assert answer.raw.read(12) == b"<html><body>"


def test_gzip_bomb(emulator, api):
    emulator.inject({"fault": "gzip_bomb", "status": 200, "bytes": 2_000_000})
    with api("GET", "order/certificate", stream=True) as answer:
        packed = answer.raw.read(decode_content=False)
    assert len(packed) < 10_000
    assert len(gzip.decompress(packed)) == 2_000_000


def test_drip_outlasts_a_read_timeout(emulator, api):
    emulator.inject({"fault": "drip", "status": 200, "seconds_per_byte": 0.05, "body": "0123456789"})
    start = time.monotonic()
    assert api("GET", "order/certificate", timeout=0.3).text == "0123456789"
    assert time.monotonic() - start >= 0.5


def test_close_idle_closes_behind_the_clients_back(emulator):
    emulator.inject({"fault": "close_idle", "seconds": 0.1, "times": 1})
    client = http.client.HTTPConnection(emulator.url.removeprefix("http://"), timeout=5)
    client.request("GET", "/services/v2/order/certificate")
    answer = client.getresponse()
    answer.read()
    assert not answer.will_close
    time.sleep(0.25)
    assert client.sock.recv(1) == b""
    client.close()


def test_faults_match_in_order_by_method_and_path(emulator, api):
    emulator.inject({"fault": "status", "status": 500, "method": "GET", "path": r"/validation$"})
    emulator.inject({"fault": "status", "status": 502, "method": "GET", "times": 2})

    def get(tail=""):
        return api("GET", f"order/certificate/{FIRST_ID}{tail}").status_code

    assert [get("/validation"), get(), get(), get(), get("/validation")] == [500, 502, 502, 200, 500]
    assert api.resend().status_code == 204
    emulator.clear_faults()
    assert get("/validation") == 200


# --- DNS of the orders' domains ---------------------------------------------------------------------------------------


def test_orders_domains_receive_mail_and_publish_their_contacts(emulator):
    emulator.add_order(names=["*.A.test", "deep.sub.b.co.uk"], contacts=["PKI@Mail.test", 'odd"\\one@a.test'])

    for host in ("a.test", "deep.sub.b.co.uk", "b.co.uk", "mail.test"):
        assert look_up(emulator.dns_server, host, "MX") == [f"10 mail.{host}."]
    assert look_up(emulator.dns_server, "sub.b.co.uk", "MX") == []
    for name in ("a.test", "deep.sub.b.co.uk"):
        contacts = look_up(emulator.dns_server, f"_validation-contactemail.{name}", "TXT")
        assert contacts == ['"PKI@Mail.test"', '"odd\\"\\\\one@a.test"']
    assert look_up(emulator.dns_server, "_validation-contactemail.b.co.uk", "TXT") is None
    assert look_up(emulator.dns_server, "mail.a.test", "MX") is None


def test_dns_follows_a_changed_order_at_once(emulator):
    order = emulator.add_order(names=["a.test"])["id"]
    assert look_up(emulator.dns_server, "_validation-contactemail.a.test", "TXT") is None
    emulator.update_order(order, contacts=["x@a.test"])
    assert look_up(emulator.dns_server, "_validation-contactemail.a.test", "TXT") == ['"x@a.test"']
    emulator.update_order(order, names=["b.test"])
    assert look_up(emulator.dns_server, "a.test", "MX") == ["10 mail.a.test."]  # still the contact's host
    assert look_up(emulator.dns_server, "_validation-contactemail.a.test", "TXT") is None


def test_seed_publishes_the_documented_examples_contacts_and_one_domain_without_mail(emulator):
    emulator.update_order(DOCUMENTED_EXAMPLE, contacts=[])
    for name in ("example.com", "example2.com"):
        assert look_up(emulator.dns_server, f"_validation-contactemail.{name}", "TXT") == [f'"someone@{name}"']
        assert look_up(emulator.dns_server, name, "MX") == [f"10 mail.{name}."]
    assert look_up(emulator.dns_server, "no-mail.example", "MX") is None
    assert SEED["no_mail"]["names"] == ["no-mail.example"]


def test_dns_by_control_goes_over_what_the_orders_give_until_a_reset(emulator, control):
    contact = "_validation-contactemail.contact.example"
    assert look_up(emulator.dns_server, contact, "TXT") == ['"pki@mail.test"']

    def put(name, type_, values):
        assert control("PUT", "dns", {"name": name, "type": type_, "values": values}).status_code == 200

    put(contact, "TXT", ['"other@" "mail.test"'])
    put("contact.example", "CAA", ['0 contactemail "caa@mail.test"'])
    put("mail.test", "MX", None)
    put("no-mail.example", "MX", ["0 ."])
    assert look_up(emulator.dns_server, contact, "TXT") == ['"other@" "mail.test"']
    assert look_up(emulator.dns_server, "contact.example", "CAA") == ['0 contactemail "caa@mail.test"']
    assert look_up(emulator.dns_server, "mail.test", "MX") is None
    assert look_up(emulator.dns_server, "no-mail.example", "MX") == ["0 ."]
    put(contact, "TXT", [])
    assert look_up(emulator.dns_server, contact, "TXT") is None
    listed = control("GET", "dns").json()
    assert {"name": "contact.example", "type": "CAA", "values": ['0 contactemail "caa@mail.test"']} in listed
    assert {"name": "contact.example", "type": "MX", "values": ["10 mail.contact.example."]} in listed
    assert not [record for record in listed if record["name"] in (contact, "mail.test")]

    control("POST", "reset")
    assert emulator.name_server.queries == []
    assert look_up(emulator.dns_server, contact, "TXT") == ['"pki@mail.test"']
    assert look_up(emulator.dns_server, "contact.example", "CAA") == []
    assert look_up(emulator.dns_server, "no-mail.example", "MX") is None


def test_dns_faults_by_control(emulator, control):
    assert control("POST", "dns/faults", {"name": "example.com", "fault": "servfail", "type": "MX"}).status_code == 200
    with pytest.raises(dns.resolver.NoNameservers, match="SERVFAIL"):
        look_up(emulator.dns_server, "example.com", "MX")
    assert look_up(emulator.dns_server, "example.com", "CAA") == []

    control("DELETE", "dns/faults")
    assert look_up(emulator.dns_server, "example.com", "MX") == ["10 mail.example.com."]

    control("POST", "dns/faults", {"name": "example.com", "fault": "slow", "seconds": 0.2})
    start = time.monotonic()
    look_up(emulator.dns_server, "example.com", "MX")
    assert time.monotonic() - start >= 0.2
    emulator.dns.fault("example.com", "refused")
    emulator.reset()
    assert look_up(emulator.dns_server, "example.com", "MX") == ["10 mail.example.com."]


# --- Connections ------------------------------------------------------------------------------------------------------


def test_a_session_reuses_one_connection(emulator, api):
    api("GET", f"order/certificate/{FIRST_ID}")
    api.resend()
    api.resend(42)
    assert len({call["client_port"] for call in emulator.calls}) == 1


def test_chunked_request_bodies_are_read(emulator, api):
    api.resend(data=iter([b'{"loc', b'ale": ', b'"en"}']))
    assert emulator.calls[0]["body"] == '{"locale": "en"}'
    assert api.resend().status_code == 204


def test_bodies_are_capped(emulator):
    client = http.client.HTTPConnection(emulator.url.removeprefix("http://"), timeout=5)
    client.putrequest("PUT", "/services/v2/x")
    client.putheader("Content-Length", str(1024 * 1024 + 1))
    client.endheaders()
    answer = client.getresponse()
    assert (answer.status, answer.getheader("Connection")) == (413, "close")
    answer.read()
    client.close()


def test_closing_is_quick_and_leaves_no_thread():
    before = set(threading.enumerate())
    emulator = CertCentralEmulator()
    assert emulator.dns_server == emulator.name_server.address
    emulator.inject({"fault": "hang", "times": 1})
    emulator.inject({"fault": "slow", "seconds": 60, "times": 1})
    sockets = []
    for _ in range(3):  # one hangs, one is slow, one is idle
        client = socket.create_connection(("127.0.0.1", int(emulator.url.rpartition(":")[2])))
        sockets.append(client)
    for client in sockets[:2]:
        client.sendall(b"GET /services/v2/x HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: len(emulator.calls) == 2)

    start = time.monotonic()
    emulator.close()
    emulator.close()

    assert time.monotonic() - start < 2
    assert set(threading.enumerate()) <= before
    for client in sockets:
        assert client.recv(1) == b""
        client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(emulator.url.rpartition(":")[2]))).close()


def test_tls(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trust)

    with CertCentralEmulator(ssl_context=context) as emulator:
        api = Api(emulator)
        stalled = socket.create_connection(("127.0.0.1", int(emulator.url.rpartition(":")[2])))
        with api.session, stalled:
            assert emulator.url.startswith("https://127.0.0.1:")
            with pytest.raises(requests.exceptions.SSLError):
                api.resend()
            assert api.resend(verify=str(trust)).status_code == 204
            emulator.inject({"fault": "reset", "times": 1})
            with pytest.raises(LOST):
                api.resend(verify=str(trust))
            emulator.inject({"fault": "hang", "times": 1})
            with pytest.raises(requests.exceptions.ReadTimeout):
                api.resend(verify=str(trust), timeout=0.2)
            emulator.close()


def test_loopback_only():
    with pytest.raises(ValueError, match="loopback"):
        CertCentralEmulator(host="0.0.0.0")  # noqa: S104


# --- Control ----------------------------------------------------------------------------------------------------------


def test_control_by_http(emulator, api, control):
    assert control("GET", "health").json() == {"status": "ok", "orders": len(SEED)}
    made = control("POST", "orders", {"kind": "dv_reissue", "names": ["a.test"], "reissued_days_ago": 9}).json()
    assert (made["status"], made["names"]) == ("reissue_pending", {"a.test": "pending"})
    changed = control("PATCH", f"orders/{made['id']}", {"names": {"a.test": "approved"}, "status": "issued"}).json()
    assert (changed["status"], changed["names"]) == ("issued", {"a.test": "approved"})
    many = control("POST", "orders", {"count": 3, "names": ["n{id}.test"]}).json()
    assert many == {"first_id": made["id"] + 1, "last_id": made["id"] + 3, "count": 3}
    assert control("GET", "orders").json()[-1]["names"] == {f"n{made['id'] + 3}.test": "pending"}

    control("POST", "faults", {"fault": "status", "status": 500})
    assert api.resend().status_code == 500
    control("DELETE", "faults")
    assert api.resend().status_code == 204
    assert [len(control("GET", what).json()) for what in ("calls", "outbox")] == [2, 5]
    assert [control("DELETE", what).status_code for what in ("calls", "outbox")] == [200, 200]
    assert (emulator.calls, emulator.outbox) == ([], [])

    assert control("GET", "switches").json() == {name: default for name, (default, _, _) in SWITCHES.items()}
    assert control("PUT", "switches", {"not_dv": "accept"}).json()["not_dv"] == "accept"
    assert control("PUT", "limits", [[1, 60]]).status_code == 200
    assert [api.resend().status_code for _ in range(2)] == [204, 429]

    control("POST", "reset")
    assert [order["id"] for order in emulator.orders] == list(SEED_IDS.values())
    assert (emulator.calls, emulator.outbox, emulator.switches["not_dv"]) == ([], [], "reject")
    assert [api.resend().status_code for _ in range(2)] == [204, 204]


@pytest.mark.parametrize(
    ("method", "path", "value", "named"),
    [
        ("POST", "orders", {"kind": "nonsense"}, "kind"),
        ("POST", "orders", {"state": "pending"}, "state"),
        ("POST", "orders", {"names": []}, "names"),
        ("POST", "orders", {"names": {"a.test": 1}}, "names"),
        ("POST", "orders", {"age_days": "x"}, "age_days"),
        ("POST", "orders", {"date_created": "yesterday"}, "date_created"),
        ("POST", "orders", {"certificate": 1}, "certificate"),
        ("POST", "orders", {"name_scope": "world"}, "name_scope"),
        ("POST", "orders", {"contacts": "a@b"}, "contacts"),
        ("POST", "orders", {"id": FIRST_ID}, "id"),
        ("POST", "orders", {"count": 0}, "count"),
        ("POST", "orders", {"count": 2, "id": 5}, "id"),
        ("PATCH", "orders/42", {"status": "issued"}, "id"),
        ("PATCH", f"orders/{FIRST_ID}", {"status": ""}, "status"),
        ("POST", "faults", {"fault": "nonsense"}, "fault"),
        ("POST", "faults", {"fault": "slow"}, "seconds"),
        ("POST", "faults", {"fault": "slow", "seconds": "x"}, "seconds"),
        ("POST", "faults", {"fault": "hang", "seconds": 1}, "seconds"),
        ("POST", "faults", {"fault": "hang", "times": 0}, "times"),
        ("POST", "faults", {"fault": "hang", "mails": 1}, "mails"),
        ("POST", "faults", {"fault": "hang", "path": "("}, "path"),
        ("POST", "faults", {"fault": "status", "status": 99}, "status"),
        ("PUT", "switches", {"nonsense": 1}, "nonsense"),
        ("PUT", "switches", {"not_dv": "perhaps"}, "not_dv"),
        ("PUT", "switches", {"rows_without_certificate": True}, "rows_without_certificate"),
        ("PUT", "switches", {"locales": "en"}, "locales"),
        ("PUT", "limits", [[0, 5]], "limits"),
        ("PUT", "limits", "x", "limits"),
        ("PUT", "keys", {"secret": "x", "role": "king"}, "role"),
        ("PUT", "keys", {"role": "valid"}, "secret"),
        ("PUT", "keys", {"secret": "x", "role": "valid", "label": "y"}, "label"),
        ("PUT", "switches", [], "object"),
        ("PUT", "switches", {"self": 1}, "self"),
        ("POST", "orders", {"self": 1}, "self"),
        ("POST", "orders", {"count": 1, "apart_seconds": "x"}, "apart_seconds"),
        ("PUT", "dns", {"name": "a.test", "type": "MX"}, "values"),
        ("PUT", "dns", {"name": "a.test", "type": "MX", "values": "10 b.test."}, "values"),
        ("PUT", "dns", {"name": "a.test", "type": "MX", "values": [1]}, "values"),
        ("PUT", "dns", {"name": "a.test", "type": "MX", "values": ["b.test."]}, "values"),
        ("PUT", "dns", {"name": "a..test", "type": "MX", "values": []}, "name"),
        ("PUT", "dns", {"name": "a.test", "type": "X", "values": []}, "type"),
        ("PUT", "dns", {"name": "a.test", "type": 1, "values": []}, "type"),
        ("PUT", "dns", {"name": "a.test", "type": "MX", "values": [], "ttl": 1}, "ttl"),
        ("POST", "dns/faults", {"name": "a.test", "fault": "nonsense"}, "fault"),
        ("POST", "dns/faults", {"fault": "silent"}, "name"),
        ("POST", "dns/faults", {"name": "a.test", "fault": "slow"}, "seconds"),
        ("POST", "dns/faults", {"name": "a.test", "fault": "slow", "seconds": True}, "seconds"),
        ("POST", "dns/faults", {"name": "a.test", "fault": "silent", "type": "X"}, "type"),
    ],
)
def test_wrong_control_requests_name_the_field(control, method, path, value, named):
    answer = control(method, path, value)
    assert answer.status_code == 400
    assert re.search(rf"\b{named}\b", answer.json()["error"])


def test_control_paths_that_do_not_exist(control):
    for method, path in [
        ("GET", "nonsense"),
        ("PUT", "reset"),
        ("PATCH", "orders/x"),
        ("GET", "limits"),
        ("DELETE", "dns"),
    ]:
        assert control(method, path).status_code == 404


def test_control_is_no_api_call_and_needs_no_key(emulator, control):
    control("GET", "orders")
    requests.get(emulator.url, timeout=5)
    assert emulator.calls == []


# --- Page -------------------------------------------------------------------------------------------------------------


def test_page_shows_orders_outbox_faults_and_switches(emulator, api):
    api.resend(SEED_IDS["old"], entry("forgotten.example", "admin@forgotten.example"))
    emulator.inject({"fault": "slow", "seconds": 3, "path": "never"})
    emulator.set_switches(retry_after="12")

    answer = requests.get(emulator.url, timeout=5)

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for text in ("123456789", "admin@forgotten.example", "45&nbsp;d, over 30&nbsp;d", "slow", "retry_after"):
        assert text in answer.text


def test_page_escapes_everything(emulator, api):
    attack = "<script>alert('x')</script>\"&$counts"
    emulator.add_order(id=1, names=[attack], status=attack, dcv_method=attack, contacts=["a@b.test"])
    emulator.set_switches(
        not_pending="accept", not_email_dcv="accept", unknown_domain="accept", foreign_address="accept"
    )
    emulator.set_switches(locales=[attack], retry_after=attack)
    emulator.inject({"fault": "redirect", "location": attack, "path": "<script>", "method": attack})
    body = entry(attack, attack + "@x", email_domain=attack) | {"locale": attack}
    assert api.resend(1, body).status_code == 204

    text = requests.get(emulator.url, timeout=5).text

    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 10


# --- As a process -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_runs_as_a_process_until_it_is_told_to_stop(tmp_path, number):
    announced = tmp_path / "emulator.json"
    command = [sys.executable, "-m", "dev.emulator", "--valid-key", "mine", "--announce", str(announced)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = json.loads(process.stdout.readline())
            assert json.loads(announced.read_text()) == line
            assert line.keys() == {"url", "dns"}
            assert look_up(line["dns"], "example.com", "MX") == ["10 mail.example.com."]
            url = line["url"]
            headers = {"X-DC-DEVKEY": "mine"}
            path = f"/services/v2/order/certificate/{FIRST_ID}/resend-emails"
            assert requests.put(url + path, json={}, headers=headers, timeout=5).status_code == 204
            requests.post(url + "/_emulator/reset", timeout=5)
            assert requests.put(url + path, json={}, headers=headers, timeout=5).status_code == 204
        finally:
            process.send_signal(number)
            output = process.communicate(timeout=5)
    assert (process.returncode, output) == (0, ("", ""))


def test_refuses_to_listen_beyond_loopback_with_a_sentence():
    command = [sys.executable, "-m", "dev.emulator", "--host", "0.0.0.0"]  # noqa: S104
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "loopback only" in done.stderr
