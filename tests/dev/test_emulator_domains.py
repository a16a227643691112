"""OV and EV orders in the emulator: the account's domain list, and the two calls about a domain's emails."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from dev.emulator import CertCentralEmulator
from dev.emulator.order_dns import CONTACT_LABEL
from dev.emulator.orders import FIRST_ID, SEED_IDS
from dev.emulator.resend_emails import constructed_addresses

KEY = "emulator-valid-key"
VIEW_ONLY = "emulator-view-only-key"

type Outcome = tuple[int, str | None]


class Account(CertCentralEmulator):
    """An emulator, and a client of it."""

    def call(self, method: str, path: str, body: object = None, key: str = KEY) -> requests.Response:
        data = {"data": body} if isinstance(body, bytes) else {"json": body}
        return requests.request(method, f"{self.base_url}/{path}", headers={"X-DC-DEVKEY": key}, timeout=30, **data)

    def rows(self, order_id: int) -> list[dict[str, Any]]:
        view = self.call("GET", f"order/certificate/{order_id}/validation").json()
        rows: list[dict[str, Any]] = view["dns_name_validations"]
        return rows

    def id_of(self, domain: str) -> int:
        (number,) = [entry["id"] for entry in self.domains if entry["name"] == domain]
        return int(number)

    def emails(self, key: object, query: str = "") -> dict[str, Any]:
        view: dict[str, Any] = self.call("GET", f"domain/{key}/dcv/emails{query}").json()
        return view

    def resend(self, domain_id: int, body: object = None) -> Outcome:
        """Return the status, and the code of a refusal."""
        response = self.call("PUT", f"domain/{domain_id}/dcv/emails", {} if body is None else body)
        return response.status_code, response.json()["errors"][0]["code"] if response.content else None

    def add(self, *names: str, **fields: Any) -> int:
        return int(self.add_order(kind="ov", **({"names": list(names)} if names else {}), **fields)["id"])

    @property
    def mailed(self) -> list[str]:
        return [mail["to"] for mail in self.outbox]


@pytest.fixture(scope="module")
def _one_account() -> Iterator[Account]:
    with Account() as running:
        yield running


@pytest.fixture
def account(_one_account: Account) -> Account:
    _one_account.reset()
    return _one_account


# ---------------------------------------------------------------- domains of orders


def test_orders_with_the_same_scope_share_a_domain(account: Account) -> None:
    first, second = account.add("a.shared.test", "other.test"), account.add("shared.test", product="ssl_ev_basic")

    shared, other = account.rows(first)
    assert account.rows(second)[0]["domain_id"] == shared["domain_id"] == str(account.id_of("shared.test"))
    assert other["domain_id"] == str(account.id_of("other.test"))
    assert {"name": "shared.test", "id": int(shared["domain_id"]), "orders": [first, second]} in account.domains


def test_domain_id_lasts_until_a_reset(account: Account) -> None:
    account.add("first.test")
    first = account.id_of("first.test")
    account.clear_orders()
    account.add("second.test", "first.test")

    assert account.id_of("first.test") == first
    account.reset()
    assert "first.test" not in {entry["name"] for entry in account.domains}


def test_domain_of_a_dv_order_is_not_in_the_list(account: Account) -> None:
    (row,) = account.rows(FIRST_ID)

    assert row["domain_id"] == str(FIRST_ID * 10 + 1)
    for key in (row["domain_id"], "example.com"):
        response = account.call("GET", f"domain/{key}/dcv/emails")
        assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "undocumented|domain_not_found")


def test_seed_orders_share_their_open_domain(account: Account) -> None:
    rows = account.rows(SEED_IDS["ov_multi"])

    assert [(row["status"], row["method"]) for row in rows] == [
        ("approved", "email"),
        ("pending", "dns-txt-token"),
        ("pending", "email"),
    ]
    assert account.rows(SEED_IDS["ov_shared"])[0]["domain_id"] == rows[2]["domain_id"]


def test_base_domain_can_have_one_id_for_all_scopes(account: Account) -> None:
    account.set_switches(domain_ids="per_base_domain")
    order_id = account.add("a.base.test", "b.base.test", name_scope="fqdn")

    rows = account.rows(order_id)
    (domain_id,) = {row["domain_id"] for row in rows}
    assert [row["name_scope"] for row in rows] == ["a.base.test", "b.base.test"]
    assert account.emails(domain_id)["name_scope"] == "base.test"
    assert account.resend(int(domain_id), {"name_scope": "a.base.test"}) == (204, None)
    assert {mail["domain"] for mail in account.outbox} == {"a.base.test"}


# ---------------------------------------------------------------- methods, organization


def test_rows_are_grouped_by_method_of_name_or_scope(account: Account) -> None:
    methods = {"b.one.test": "dns-txt-token", "two.test": "http-token"}
    order_id = account.add("a.one.test", "b.one.test", "c.one.test", "a.two.test", methods=methods)

    assert [(row["name_scope"], row["method"], row["dns_names"]) for row in account.rows(order_id)] == [
        ("one.test", "email", ["a.one.test", "c.one.test"]),
        ("one.test", "dns-txt-token", ["b.one.test"]),
        ("two.test", "http-token", ["a.two.test"]),
    ]
    assert account.orders[-1]["methods"] == methods


def test_approval_expires_after_199_days(account: Account) -> None:
    names = {"old.test": "approved", "new.test": "approved"}
    reissue = {"status": "reissue_pending", "age_days": 200, "reissued_days_ago": 1}
    order_id = account.add(names=names, approved_at={"new.test": "2026-11-01"}, **reissue)

    rows = account.rows(order_id)
    assert rows[1]["approval_expiration_date"] == "2027-05-19T00:00:00+00:00"
    assert account.resend(int(rows[0]["domain_id"])) == (204, None)
    assert requests.post(account.url + account.outbox[0]["link"], timeout=30).ok
    assert account.resend(int(rows[0]["domain_id"])) == (400, "undocumented|domain_not_open")


@pytest.mark.parametrize(
    ("switch", "product", "organization", "listed"),
    [
        (None, "ssl_basic", "pending", [{"type": "ov", "status": "pending"}]),
        (None, "ssl_basic", "validated", []),
        ("empty", "ssl_basic", "pending", []),
        ("with_approved", "ssl_ev_basic", "validated", [{"type": "ev", "status": "approved"}]),
    ],
)
def test_organization_validation_is_shown_by_switch(
    account: Account, switch: str | None, product: str, organization: str, listed: list[dict[str, str]]
) -> None:
    if switch:
        account.set_switches(organization_validations=switch)
    order_id = account.add(product=product, organization=organization)

    view = account.call("GET", f"order/certificate/{order_id}/validation").json()

    assert view["organization_validations"] == listed


@pytest.mark.parametrize(
    "fields",
    [
        {"methods": {"a.test": 5}},
        {"methods": ["a.test"]},
        {"organization": "none"},
        {"approved_at": {"a.test": "soon"}},
    ],
)
def test_wrong_field_is_named(account: Account, fields: dict[str, Any]) -> None:
    response = requests.post(f"{account.url}/_emulator/orders", json={"kind": "ov", **fields}, timeout=30)

    assert response.status_code == 400
    assert re.search(rf"\b{next(iter(fields))}\b", response.json()["error"])


# ---------------------------------------------------------------- the emails of a domain


def test_emails_are_constructed_and_from_dns(account: Account) -> None:
    account.dns.set(f"{CONTACT_LABEL}.mine.test", "TXT", ['"dns@" "mine.test"'])
    account.add("www.mine.test", contacts=["pki@mail.test"])

    by_id = account.emails(account.id_of("mine.test"))

    assert by_id == {
        "name_scope": "mine.test",
        "base_emails": constructed_addresses("mine.test"),
        "whois_emails": [],
        "dns_txt_emails": ["pki@mail.test", "dns@mine.test"],
        "email_array": [],
    }
    assert by_id == account.emails("Mine.test") == account.emails("mine.test", "?consider_dcv_email_preferences=false")


def test_contacts_of_an_ov_order_are_published(account: Account) -> None:
    account.add("www.mine.test", contacts=["pki@mail.test"])

    assert account.dns.records()[f"{CONTACT_LABEL}.www.mine.test", "TXT"] == ['"pki@mail.test"']


@pytest.mark.parametrize(("switch", "field"), [("emails_name_scope", "name_scope"), ("emails_whois", "whois_emails")])
def test_emails_lack_a_field_by_switch(account: Account, switch: str, field: str) -> None:
    account.set_switches(**{switch: "absent"})

    assert field not in account.emails("ov.example")


def test_view_only_key_may_look_but_not_send(account: Account) -> None:
    path = f"domain/{account.id_of('ov.example')}/dcv/emails"

    assert account.call("GET", path, key=VIEW_ONLY).status_code == 200
    assert account.call("PUT", path, {}, key=VIEW_ONLY).status_code == 403
    assert account.outbox == []


# ---------------------------------------------------------------- resend for a domain


@pytest.mark.parametrize(
    "body", [{}, b"", {"email_array": []}, {"name_scope": "mine.test"}, {"email_array": ["boss@elsewhere.test"]}]
)
def test_all_are_mailed_if_nobody_accepted_is_named(account: Account, body: object) -> None:
    account.add("mine.test", contacts=["pki@mail.test"])

    assert account.resend(account.id_of("mine.test"), body) == (204, None)

    assert account.mailed == [*constructed_addresses("mine.test"), "pki@mail.test"]


def test_unlisted_address_is_ignored_silently(account: Account) -> None:
    named = ["boss@elsewhere.test", "Admin@mine.test", "admin@mine.test"]
    account.add("mine.test")

    assert account.resend(account.id_of("mine.test"), {"email_array": named, "locale": "de"}) == (204, None)

    (mail,) = account.outbox
    assert (mail["to"], mail["locale"]) == ("admin@mine.test", "de")


def test_mail_is_about_a_domain_and_no_order(account: Account) -> None:
    account.add("mine.test")
    domain_id = account.id_of("mine.test")

    account.resend(domain_id, {"email_array": ["admin@mine.test"]})

    (mail,) = account.outbox
    assert (mail["order_id"], mail["domain_id"], mail["domain"]) == (None, domain_id, "mine.test")
    assert mail["subject"] == "[Action Required] Approve Certificate Request for mine.test"
    assert mail["caused_by"] == account.calls[-1]["number"]


def test_mailings_are_counted_by_domain_and_scope(account: Account) -> None:
    account.set_switches(domain_ids="per_base_domain")
    order_id = account.add("a.mine.test", "b.mine.test", name_scope="fqdn")
    domain_id = account.id_of("mine.test")

    for scope in ("a.mine.test", "a.mine.test", "b.mine.test"):
        account.resend(domain_id, {"name_scope": scope})

    assert account.domain_mailings(domain_id) == 3
    assert account.domain_mailings(domain_id, "a.mine.test") == 2
    assert (account.domain_mailings(7999), account.mailings(order_id)) == (0, 0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "bad_request_format"),
        (b"[]", "bad_request_format"),
        ({"locale": 5}, "undocumented|invalid_field"),
        ({"email_array": "admin@ov.example"}, "undocumented|invalid_field"),
        ({"email_array": [5]}, "undocumented|invalid_field"),
        ({"name_scope": None}, "undocumented|invalid_field"),
        ({"name_scope": "other.test"}, "undocumented|foreign_name_scope"),
        ({"name_scope": "www.ov.example"}, "undocumented|foreign_name_scope"),
    ],
)
def test_wrong_body_is_refused(account: Account, body: object, code: str) -> None:
    assert account.resend(account.id_of("ov.example"), body) == (400, code)
    assert account.outbox == []


@pytest.mark.parametrize("key", ["7999", "ov.example", "1000000011"])
def test_resend_for_no_id_of_the_list_is_refused(account: Account, key: str) -> None:
    assert account.call("PUT", f"domain/{key}/dcv/emails", {}).status_code == 404


def test_other_methods_are_no_routes(account: Account) -> None:
    response = account.call("POST", f"domain/{account.id_of('ov.example')}/dcv/emails", {})

    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "not_found|route")


@pytest.mark.parametrize(
    ("domain", "switch"),
    [
        ("ov-validated.example", "domain_not_open"),
        ("ov-canceled.example", "domain_not_open"),
        ("ov-dns.example", "domain_not_email_dcv"),
    ],
)
@pytest.mark.parametrize(("policy", "status", "mails"), [("reject", 400, 0), ("ignore", 204, 0), ("accept", 204, 5)])
def test_needless_resend_is_answered_by_policy(
    account: Account, domain: str, switch: str, policy: str, status: int, mails: int
) -> None:
    account.add("ov-canceled.example", status="canceled")
    account.set_switches(**{switch: policy})

    outcome = account.resend(account.id_of(domain))

    assert outcome == (status, f"undocumented|{switch}" if policy == "reject" else None)
    assert len(account.outbox) == mails


@pytest.mark.parametrize(
    ("switches", "body", "outcome", "mailed"),
    [
        (
            {"unlisted_address": "reject"},
            {"email_array": ["admin@ov.example", "boss@elsewhere.test"]},
            (400, "undocumented|unlisted_address"),
            [],
        ),
        (
            {"foreign_name_scope": "accept"},
            {"name_scope": "x.ov.example", "email_array": ["admin@ov.example"]},
            (204, None),
            ["admin@ov.example"],
        ),
        ({"unknown_fields": "reject"}, {"emails": []}, (400, "undocumented|unknown_field"), []),
    ],
)
def test_resend_for_a_domain_by_switch(
    account: Account, switches: dict[str, str], body: object, outcome: Outcome, mailed: list[str]
) -> None:
    account.set_switches(**switches)

    assert account.resend(account.id_of("ov.example"), body) == outcome
    assert account.mailed == mailed


def test_success_status_is_that_of_the_switch(account: Account) -> None:
    account.set_switches(success_status=200)

    assert account.call("PUT", f"domain/{account.id_of('ov.example')}/dcv/emails", {}).json() == {"status": "success"}


# ---------------------------------------------------------------- links


def test_link_validates_every_name_below_in_all_orders(account: Account) -> None:
    first = account.add("a.mine.test", "other.test", organization="pending")
    second = account.add("b.mine.test", name_scope="fqdn")
    canceled = account.add("c.mine.test", status="canceled")
    dv = account.add_order(names=["d.mine.test"])["id"]
    account.resend(account.id_of("mine.test"), {"email_array": ["admin@mine.test"]})
    link = account.url + account.outbox[0]["link"]

    shown, followed = requests.get(link, timeout=30), requests.post(link, timeout=30)

    assert "<li>a.mine.test</li><li>b.mine.test</li></ul>" in re.sub(r"\s*(<.*?>)\s*", r"\1", shown.text)
    assert "is already validated" in followed.text
    names = {order["id"]: order["names"] for order in account.orders}
    assert names[first] == {"a.mine.test": "approved", "other.test": "pending"}
    assert names[second] == {"b.mine.test": "approved"}
    assert names[canceled] == {"c.mine.test": "pending"}
    assert names[dv] == {"d.mine.test": "pending"}


def test_only_an_unchanged_email_has_the_same_link(account: Account) -> None:
    order_id, domain_id = account.add("mine.test"), account.id_of("mine.test")
    for body in ({}, {}, {"locale": "de"}):
        account.resend(domain_id, body | {"email_array": ["admin@mine.test"]})
    account.update_order(order_id, link_created_at="2026-01-02")
    account.resend(domain_id, {"email_array": ["admin@mine.test"]})

    links = [mail["link"] for mail in account.outbox]
    assert (links[0] == links[1], len(set(links))) == (True, 3)
    assert account.outbox[-1]["link_created_at"] == "2026-01-02T00:00:00+00:00"
    assert requests.post(account.url + links[-1], timeout=30).status_code == 410


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"status": "canceled"}, 409, "nothing is left to validate"),
        ({"names": ["other.test"]}, 404, "is not on any OV or EV order"),
        ({"names": {"mine.test": "approved"}}, 200, "mine.test is already validated."),
    ],
)
def test_link_says_why_not(account: Account, change: dict[str, Any], status: int, reason: str) -> None:
    order_id = account.add("mine.test")
    account.resend(account.id_of("mine.test"))
    account.update_order(order_id, **change)

    response = requests.post(account.url + account.outbox[0]["link"], timeout=30)

    assert (response.status_code, reason in response.text) == (status, True)


# ---------------------------------------------------------------- the page


def test_page_shows_a_domain_with_its_orders(account: Account) -> None:
    first, second = SEED_IDS["ov_multi"], SEED_IDS["ov_shared"]
    domain_id = account.id_of("ov-shared.example")
    account.emails("ov-shared.example")
    account.resend(domain_id)

    overview, call, *orders = (
        requests.get(f"{account.url}{path}", timeout=30).text
        for path in ("/", "/calls/2", f"/orders/{first}", f"/orders/{second}")
    )

    assert set(re.findall(r'id="order-(\d+)"', overview)[:2]) == {str(first), str(second)}
    assert "domain ov-shared.example <small>7005</small>: 5 emails" in overview
    assert all(f'"/orders/{order_id}"' in call for order_id in (first, second))
    for text in orders:
        assert all(part in text for part in ("domain lookup", "domain resend", "<summary><b>admin@ov-shared.example"))
        assert f"ov-shared.example <small>{domain_id}</small>" in text
    assert "ov-dns.example" in orders[0]
    assert "dns-txt-token" in orders[0]


def test_page_of_an_order_names_the_domain_of_a_call(account: Account) -> None:
    order_id = account.add("mine.test", "other.test")
    account.emails(account.id_of("mine.test"))
    account.resend(account.id_of("other.test"))

    happened = requests.get(f"{account.url}/orders/{order_id}", timeout=30).text.partition("What happened")[2]

    assert re.findall(r'<a href="/calls/\d">(.*?)</a> (\S+) ', happened) == [
        ("domain resend", "other.test"),
        ("domain lookup", "mine.test"),
    ]


def test_control_api_lists_domains(account: Account) -> None:
    listed = requests.get(f"{account.url}/_emulator/domains", timeout=30).json()

    assert listed == account.domains
    assert listed[0] == {"id": 7001, "name": "ov.example", "orders": [SEED_IDS["ov"]]}
