"""The emulator's web page: what a person sees there, and what a click does."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from dev.emulator import CertCentralEmulator
from dev.emulator.orders import DOCUMENTED_EXAMPLE, FIRST_ID, SEED_IDS

KEY = "emulator-valid-key"
ADMIN = ("example.com", "admin@example.com")
ISSUE = f"/orders/{FIRST_ID}/issue"
HOSTILE = "<script>\"'&\ud800\u202e\n"


class Page(CertCentralEmulator):
    def ask(self, method: str, path: str, **headers: str) -> requests.Response:
        return requests.request(method, self.url + path, headers=headers, timeout=30, allow_redirects=False)

    def read(self, path: str) -> str:
        return self.ask("GET", path).text

    def resend(self, order_id: int, *entry: str, **body: Any) -> list[str]:
        """Resend to one (domain, email, email_domain), or to the default recipients; return the links mailed."""
        if entry:
            body["domain_approval_emails"] = [dict(zip(("domain", "email", "email_domain"), entry, strict=False))]
        url, before = f"{self.base_url}/order/certificate/{order_id}/resend-emails", len(self.outbox)
        requests.put(url, data=json.dumps(body), headers={"X-DC-DEVKEY": KEY}, timeout=30)
        return [mail["link"] for mail in self.outbox[before:]]


@pytest.fixture
def page() -> Iterator[Page]:
    with Page() as running:
        yield running


def test_overview_shows_what_happened_last_first(page: Page) -> None:
    page.resend(SEED_IDS["old"])
    page.resend(FIRST_ID, "example.com", "boss@elsewhere.test")
    page.inject({"fault": "slow", "seconds": 3, "path": "never"})
    page.set_switches(retry_after="12")

    text = page.read("/")
    assert re.findall(r'id="order-(\d+)"', text)[:2] == [str(FIRST_ID), str(SEED_IDS["old"])]
    assert all(part in text for part in ("5 emails", "foreign_address", "45 d old, expired", "slow", "retry_after"))


def test_order_call_and_email_are_linked(page: Page) -> None:
    (link,) = page.resend(FIRST_ID, *ADMIN)
    assert 'href="/calls/1"' in page.read(f"/orders/{FIRST_ID}")
    text = page.read("/calls/1")
    subject = f"[Action Required] Approve Certificate Request for example.com {{Order #{FIRST_ID}}}"
    assert all(part in text for part in (f'"/orders/{FIRST_ID}"', f'"{link}">{page.url}{link}</a>', subject))
    assert KEY not in text


@pytest.mark.parametrize(
    ("entry", "validated"),
    [
        ("sub.example2.com admin@sub.example2.com", "sub.example2.com"),
        ("sub.example2.com someone@example2.com example2.com", "example2.com sub.example2.com"),
        ("sub.example2.com someone@example.com example.com", "sub.example2.com"),
    ],
)
def test_link_validates_once_after_asking(page: Page, entry: str, validated: str) -> None:
    (link,) = page.resend(DOCUMENTED_EXAMPLE, *entry.split())
    assert "<button" in page.read(link)
    with ThreadPoolExecutor(8) as pool:
        assert all(response.ok for response in pool.map(page.ask, ["POST"] * 8, [link] * 8))
    order = page.orders[-1]
    assert [name for name, status in order["names"].items() if status == "approved"] == validated.split()
    assert (order["status"], len(page.changes)) == ("pending", 1)
    assert "is already validated" in page.read(link)


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"status": "canceled"}, 409, "is canceled"),
        ({"names": ["other.example"]}, 404, "is not on order"),
        ({}, 410, "has expired"),
        (None, 404, "does not exist"),
    ],
)
def test_link_says_why_not(page: Page, change: dict[str, Any] | None, status: int, reason: str) -> None:
    link, *_ = page.resend(SEED_IDS["old"])
    page.clear_orders() if change is None else page.update_order(SEED_IDS["old"], **change)
    assert page.ask("POST", link).status_code == status
    assert reason in page.read(link)


def test_only_an_unchanged_email_has_the_same_link(page: Page) -> None:
    assert (first := page.resend(FIRST_ID, *ADMIN)) == page.resend(FIRST_ID, *ADMIN)
    others = page.resend(FIRST_ID, *ADMIN, locale="de") + page.resend(FIRST_ID, "example.com", "webmaster@example.com")
    page.set_switches(resend_renews_link=True)
    assert len({*first, *others, *page.resend(FIRST_ID, *ADMIN)}) == 4


def test_button_issues_a_pending_order(page: Page) -> None:
    assert f'action="{ISSUE}?back=overview"' in page.read("/")

    assert [page.ask("POST", ISSUE).headers["Location"] for _ in range(2)] == [f"/orders/{FIRST_ID}"] * 2
    assert (page.orders[0]["status"], page.orders[0]["names"]) == ("issued", {"example.com": "approved"})
    assert ISSUE not in page.read("/")
    assert [page.ask("POST", f"/orders/{n}/issue").status_code for n in (SEED_IDS["canceled"], 42)] == [409, 404]


@pytest.mark.parametrize("path", [ISSUE, f"/_emulator{ISSUE}"])
def test_other_sites_cannot_steer_the_emulator(page: Page, path: str) -> None:
    for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"}, {"Host": "evil.test"}):
        assert page.ask("POST", path, **headers).status_code == 403
    assert page.changes == []
    assert page.ask("POST", path, Origin=page.url).ok


def test_hostile_text_is_escaped(page: Page) -> None:
    order = page.add_order(names={HOSTILE: HOSTILE}, contacts=[HOSTILE], product=HOSTILE)["id"]
    page.set_switches(foreign_address="accept", retry_after=HOSTILE)
    page.inject({"fault": "status", "status": 500, "method": HOSTILE, "path": HOSTILE, "body": HOSTILE})
    (link,) = page.resend(order, HOSTILE, f"{HOSTILE}@{HOSTILE}", HOSTILE, locale=HOSTILE)
    page.resend(order, "<script>", "a@b")
    page.begin_call(role="valid", method="GET", path="<script>", query="<script>", body="", headers={"<script>": ""})
    paths = ("/", f"/orders/{order}", "/calls/1", "/calls/2", "/calls/3", link)
    texts = [page.read(path) for path in paths]
    page.ask("POST", link)
    page.update_order(order, dcv_method=HOSTILE)
    texts += [page.read(path) for path in paths]
    assert all("&lt;script&gt;" in text and "<script" not in text and "\u202e" not in text for text in texts)


def test_long_lists_say_what_is_left_out(page: Page) -> None:
    page.add_orders(1000)
    order = page.add_order(names=[f"n{place}.example" for place in range(600)])["id"]
    page.resend(order)
    page.resend(FIRST_ID, "x" * 500_000, "a@b")
    texts = [page.read(path) for path in ("/", f"/orders/{order}", "/calls/1", "/calls/2")]
    parts = (f"{len(page.orders) - 100} orders", "and 100 more", "2,700 more emails", "more characters")
    assert all(part in text and len(text) < 500_000 for part, text in zip(parts, texts, strict=True))


def test_other_requests_are_refused_and_are_no_calls(page: Page) -> None:
    statuses = {
        "HEAD /calls/1": 404,
        "GET /orders/x": 404,
        "GET /ordres": 404,
        "POST /validate/x": 404,
        f"GET {ISSUE}": 405,
        "PUT /": 405,
    }
    assert {request: page.ask(*request.split()).status_code for request in statuses} == statuses
    assert page.calls == []
