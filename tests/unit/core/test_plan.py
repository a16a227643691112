"""What a dry run answers: the names of an order, its age, and what a resend would do."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dv_resend.core.orders import Order
from dv_resend.core.plan import MAX_NAMES, NameReport, ResendPlan
from dv_resend.core.requests import Recipient, ResendRequest, Skipped
from dv_resend.errors import OrderNotEligible

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def plan(*names: NameReport, waiting_since: datetime | None = None, **changed: Any) -> ResendPlan:
    order = Order(7, "pending", "dv_ssl_certificate", "email", waiting_since)
    fields: dict[str, Any] = {
        "request": ResendRequest(7),
        "order": order,
        "names": names,
        "at": NOW.timestamp(),
        "would_be": "sent",
    }
    return ResendPlan(**fields | changed)


# Names


@pytest.mark.parametrize(
    ("name", "validated", "needs_email"),
    [("example.com", False, True), ("example.com", True, False), ("unknown", False, False)],
)
def test_name_needs_email_if_it_is_readable_and_not_validated(name, validated, needs_email):
    assert NameReport(name, "pending", validated).needs_email is needs_email


@pytest.mark.parametrize(
    ("mailed", "hosts"),
    [
        ((), ["www.example.com", "example.com"]),
        ("default", ["www.example.com", "example.com"]),
        (("pki@mail.test", "admin@example.com"), ["www.example.com", "example.com", "mail.test"]),
    ],
    ids=["nobody", "default", "named"],
)
def test_hosts_are_those_of_accepted_and_mailed_addresses(mailed, hosts):
    report = NameReport(
        "www.example.com",
        "pending",
        accepted=("admin@www.example.com", "webmaster@www.example.com"),
        accepted_at_parents=(("admin@example.com", "example.com"), ("webmaster@example.com", "example.com")),
        mailed=mailed,
    )

    assert report.hosts == hosts


@pytest.mark.parametrize(
    ("mailed", "shown"), [((), []), ("default", "default"), (("admin@example.com",), ["admin@example.com"])], ids=ascii
)
def test_name_report_as_json(mailed, shown):
    report = NameReport(
        "www.example.com",
        "pending",
        scope="example.com",
        accepted=("admin@www.example.com",),
        accepted_at_parents=(("admin@example.com", "example.com"),),
        mailed=mailed,
        has_mx={"example.com": None},
        contacts_known=False,
    )

    assert report.to_json() == {
        "name": "www.example.com",
        "status": "pending",
        "accepted": ["admin@www.example.com"],
        "accepted_at_parents": [{"email": "admin@example.com", "email_domain": "example.com"}],
        "mailed": shown,
        "mx": {"example.com": None},
    }


# Ages


@pytest.mark.parametrize(
    ("waiting_since", "age_days", "links_expire"),
    [
        (NOW, 0, "2026-12-24"),
        (NOW - timedelta(days=1, seconds=-1), 0, "2026-12-23"),
        (NOW - timedelta(days=1), 1, "2026-12-23"),
        (NOW - timedelta(days=45), 45, "2026-11-09"),
        # The day is that of UTC, whatever the offset is.
        (datetime(2026, 11, 24, 1, tzinfo=timezone(timedelta(hours=14))), 1, "2026-12-23"),
    ],
    ids=str,
)
def test_age_and_expiry_are_counted_from_the_waiting_request(waiting_since, age_days, links_expire):
    found = plan(waiting_since=waiting_since)

    assert found.age_days == age_days
    assert str(found.links_expire) == links_expire


def test_age_and_expiry_are_none_if_the_date_is_unknown():
    order: Any = plan().to_json()["order"]

    assert (order["waiting_since"], order["age_days"], order["links_expire"]) == (None, None, None)


# Plans


def test_plan_as_json():
    recipient = Recipient("example.com", "admin@example.com")
    found = plan(
        NameReport("example.com", "pending"),
        waiting_since=datetime(2026, 11, 23, 5, tzinfo=timezone(timedelta(hours=-7))),
        request=ResendRequest(7, (recipient,), locale="en", dry_run=True, skipped=(Skipped(recipient, "validated"),)),
        advice=("Wait.",),
    )

    assert found.to_json() == {
        "order_id": 7,
        "outcome": "planned",
        "would_be": "sent",
        "advice": ["Wait."],
        "order": {
            "status": "pending",
            "kind": "dv_ssl_certificate",
            "dcv_method": "email",
            "waiting_since": "2026-11-23T12:00:00Z",
            "age_days": 1,
            "links_expire": "2026-12-23",
        },
        "names": [
            {
                "name": "example.com",
                "status": "pending",
                "accepted": [],
                "accepted_at_parents": [],
                "mailed": [],
                "mx": {},
            }
        ],
        "email_validation_ends": "2028-03-15",
        "recipients": ["admin@example.com"],
        "skipped": [{"domain": "example.com", "email": "admin@example.com", "reason": "validated"}],
        "upstream_body": {"domain_approval_emails": [recipient.to_json()], "locale": "en"},
    }


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ({}, {"upstream_body": {}}),
        ({"blocked_until": 0}, {"upstream_body": {}, "until": "1970-01-01T00:00:00Z"}),
        ({"paused": True}, {"upstream_body": {}, "paused": True}),
        ({"refusal": OrderNotEligible("not_dv", "No.")}, {"code": "order_not_eligible|not_dv"}),
        ({"unenforced_refusal": OrderNotEligible("not_dv", "No.")}, {"upstream_body": {}}),
    ],
    ids=["sent", "blocked", "paused", "refused", "refusal not enforced"],
)
def test_plan_as_json_shows_what_prevents_a_resend(fields, added):
    optional = ("upstream_body", "until", "paused", "code")

    answer = plan(**fields).to_json()

    assert {name: answer[name] for name in optional if name in answer} == added


@pytest.mark.parametrize("count", [MAX_NAMES, MAX_NAMES + 3])
def test_plan_shows_unvalidated_names_first_and_counts_rest(count):
    validated = [NameReport(f"n{number}.test", "approved", True) for number in range(count - 2)]
    others = [NameReport("b.test", "pending"), NameReport("a.test", "pending")]

    answer: Any = plan(*validated, *others).to_json()

    names = ["b.test", "a.test", *(report.name for report in validated)]
    assert [name["name"] for name in answer["names"]] == names[:MAX_NAMES]
    assert answer.get("more_names") == (count - MAX_NAMES or None)
