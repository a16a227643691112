"""`Resender.dry_run`: it predicts what a resend would do and why an email may not help, and does nothing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.addresses import constructed_addresses, without_wildcard
from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.people import people_of
from dv_resend.core.plan import MAX_NAMES, ResendPlan
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import ResendRequest
from dv_resend.core.resend import ResendResult
from dv_resend.core.send_record import MAX_PEOPLE, Claim, Mailed, SendRecord
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    InvalidRequest,
    OrderNotFound,
    RateLimited,
    RecipientNotAllowed,
    ResendError,
    SendingPaused,
    SendRecordUnavailable,
)
from unit.fakes import QUERIES, Fakes, resend_request

NOW = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp())
# A cool-down, with the two minutes for the clocks.
AGAIN = 3600 + 120
DV = "dv_ssl_certificate"
ADMIN, JANE = ("example.com", "admin@example.com"), ("example.com", "jane@mail.test")
UNANSWERED = Contacts(failure="DNS did not answer for TXT (SERVFAIL)")

type State = Literal["expired", "sending", "sent", "unknown"]


def order_of(
    status: str | None = "pending",
    product_type: str | None = DV,
    dcv_method: str | None = "email",
    names: Sequence[str] = (),
) -> Order:
    """Return an order that is one day old."""
    yesterday = datetime.fromtimestamp(NOW, UTC) - timedelta(days=1)
    return Order(7, status, product_type, dcv_method, yesterday, tuple(names))


def validation(*names: str, status: str = "pending") -> tuple[NameStatus, ...]:
    """Return names that are validated one by one."""
    return tuple(NameStatus(without_wildcard(name), status, (name,)) for name in names)


HALF_VALIDATED = validation("example.com", status="approved") + validation("example.org")


@pytest.fixture
def fakes() -> Fakes:
    fakes = Fakes()
    fakes.certcentral.order = order_of()
    fakes.certcentral.domains = validation("example.com")
    return fakes


def dry_run(
    fakes: Fakes,
    *recipients: tuple[str, ...],
    at: int = NOW,
    delivery_id: str = "call-2",
    force: bool = False,
    **config: bool,
) -> ResendPlan:
    """Plan the resend, and check that the answer can be JSON."""
    request = resend_request(*recipients, force=force, dry_run=True)
    plan = fakes.resender(at, **config).dry_run(request, fakes.invocation(at, delivery_id))
    json.dumps(plan.to_json())
    return plan


def resend(fakes: Fakes, *recipients: tuple[str, ...], force: bool = False, **config: bool) -> ResendResult:
    request = resend_request(*recipients, force=force)
    return fakes.resender(NOW, **config).resend(request, fakes.invocation(NOW, "call-2"))


def leave(fakes: Fakes, state: State | None, *recipients: tuple[str, ...], forced_by: str | None = None) -> None:
    """Leave the record of a call that was made ten seconds ago, or whose cool-down is over."""
    if state is None:
        return
    at = NOW - (AGAIN if state == "expired" else 10)
    deadline = at + 29
    validation = OrderStatus(7, "pending", "email", fakes.certcentral.domains).with_names_of(fakes.certcentral.order)
    people = people_of(resend_request(*recipients).recipients, validation)
    mailed = Mailed(at, "sent") if state in ("sent", "expired") else Mailed(deadline, "unknown")
    fakes.records.records["order#7"] = SendRecord(
        "order#7",
        "a revision",
        claim=Claim("an owner", deadline) if state == "sending" else None,
        mailed=dict.fromkeys(people, mailed),
        forced_by={} if forced_by is None else {forced_by: deadline},
    )


def report(plan: ResendPlan, name: str = "example.com") -> dict[str, Any]:
    """Return what the answer says about one name."""
    names: Any = plan.to_json()["names"]
    (found,) = [entry for entry in names if entry["name"] == name]
    return dict(found)


def looked_up(fakes: Fakes) -> list[str]:
    """Return the domains whose contacts were looked up, in order."""
    return [domain for (domains,) in fakes.journal.calls("contacts") for domain in domains]


# What is done


def test_dry_run_only_reads(fakes: Fakes) -> None:
    plan = dry_run(fakes)

    assert fakes.journal.methods == [*QUERIES, "contacts", "load", "has_mx"]
    assert fakes.journal[:2] == [("get_order_status", 7, NOW + 29), ("get_order", 7, NOW + 29)]
    # The lookups share one budget of time.
    assert fakes.contacts.lookups == 1
    assert plan.at == NOW


@pytest.mark.parametrize("state", [None, "sent", "unknown", "sending"])
@pytest.mark.parametrize("force", [False, True])
def test_dry_run_changes_nothing(fakes: Fakes, state: State | None, force: bool) -> None:
    leave(fakes, state, ADMIN)
    before = fakes.records.of()

    first = dry_run(fakes, ADMIN, force=force)
    again = dry_run(fakes, ADMIN, force=force)

    assert set(fakes.journal.methods) == {*QUERIES, "contacts", "has_mx", "load"}
    assert fakes.records.of() == before
    assert first == again


@pytest.mark.parametrize(
    "error", [OrderNotFound("x"), RateLimited("x"), CertCentralUnavailable("x"), ApiKeyRejected("x")], ids=ascii
)
@pytest.mark.parametrize("query", QUERIES)
def test_query_error_is_raised(fakes: Fakes, query: str, error: Exception) -> None:
    fakes.certcentral.errors[query] = error

    with pytest.raises(type(error)) as caught:
        dry_run(fakes)

    assert caught.value is error
    assert fakes.contacts.lookups == 0


def test_error_of_the_send_record_is_raised(fakes: Fakes) -> None:
    fakes.records.errors["load"] = SendRecordUnavailable("x")

    with pytest.raises(SendRecordUnavailable):
        dry_run(fakes)


# Eligibility


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (order_of(product_type="ssl_certificate"), "not_dv"),
        (order_of("needs_approval"), "needs_approval"),
        (order_of("issued"), "not_pending"),
        (order_of("reissue_pending", dcv_method="http-token"), "not_email_dcv"),
    ],
    ids=["not_dv", "needs_approval", "not_pending", "not_email_dcv"],
)
@pytest.mark.parametrize("recipients", [(), (JANE,)], ids=["default", "named"])
def test_ineligible_order_is_reported_without_lookups(
    fakes: Fakes, order: Order, reason: str, recipients: tuple[tuple[str, ...], ...]
) -> None:
    fakes.certcentral.order = order

    plan = dry_run(fakes, *recipients)

    answer = plan.to_json()
    assert (answer["would_be"], answer["code"]) == ("OrderNotEligible", f"order_not_eligible|{reason}")
    assert len(plan.advice) == 1
    assert "rder 7 " in plan.advice[0]
    assert plan.order == order
    assert answer["names"] == [
        {"name": "example.com", "status": "pending", "accepted": [], "accepted_at_parents": [], "mailed": [], "mx": {}}
    ]
    assert answer.keys().isdisjoint({"upstream_body", "until", "paused"})
    assert fakes.journal.methods == QUERIES


@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
def test_eligible_order_would_be_sent(fakes: Fakes, status: str) -> None:
    fakes.certcentral.order = order_of(status)

    answer = dry_run(fakes).to_json()

    assert (answer["would_be"], answer["recipients"], answer["upstream_body"]) == ("sent", "default", {})
    assert "code" not in answer


# Validated names


def test_fully_validated_order_needs_no_email(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("example.com", "example.org", status="approved")

    plan = dry_run(fakes, JANE)

    answer = plan.to_json()
    assert (answer["would_be"], answer["code"]) == ("OrderNotEligible", "order_not_eligible|already_validated")
    assert len(plan.advice) == 1
    assert plan.advice[0].startswith("All names of order 7 are already validated")
    assert [name.status for name in plan.names] == ["approved", "approved"]
    assert "upstream_body" not in answer
    assert fakes.contacts.lookups == 0


def test_request_for_validated_names_only_is_refused(fakes: Fakes) -> None:
    fakes.certcentral.domains = HALF_VALIDATED

    answer = dry_run(fakes, ADMIN).to_json()

    assert (answer["would_be"], answer["code"]) == ("OrderNotEligible", "order_not_eligible|already_validated")
    assert answer["recipients"] == ["admin@example.com"]


def test_validated_recipient_is_skipped(fakes: Fakes) -> None:
    fakes.certcentral.domains = HALF_VALIDATED
    remaining = ("example.org", "admin@example.org")

    plan = dry_run(fakes, JANE, remaining)

    answer = plan.to_json()
    assert (answer["would_be"], answer["recipients"]) == ("sent", ["admin@example.org"])
    assert answer["upstream_body"] == resend_request(remaining).upstream_body
    assert report(plan) == {
        "name": "example.com",
        "status": "approved",
        "accepted": [],
        "accepted_at_parents": [],
        "mailed": [],
        "mx": {},
    }
    assert report(plan, "example.org")["mailed"] == ["admin@example.org"]
    assert looked_up(fakes) == ["example.org"]


def test_refused_recipient_keeps_its_index_after_a_skipped_one(fakes: Fakes) -> None:
    fakes.certcentral.domains = HALF_VALIDATED

    plan = dry_run(fakes, JANE, ("example.org", "jane@mail.test"))

    assert plan.to_json()["code"] == "recipient_not_allowed|domain_approval_emails[1].email"


def test_only_pending_names_are_looked_up_and_mailed(fakes: Fakes) -> None:
    fakes.certcentral.domains = (
        NameStatus("example.com", "approved", ("example.com", "www.example.com")),
        NameStatus("example.org", "pending", ("www.example.org",)),
    )

    plan = dry_run(fakes)

    assert [(name.name, name.status, name.mailed) for name in plan.names] == [
        ("example.com", "approved", ()),
        ("www.example.com", "approved", ()),
        ("www.example.org", "pending", "default"),
    ]
    assert looked_up(fakes) == ["www.example.org"]


def test_names_of_one_scope_are_reported_one_by_one(fakes: Fakes) -> None:
    fakes.certcentral.domains = (
        NameStatus("a.test", "approved", ("a.test",)),
        NameStatus("a.test", "pending", ("www.a.test",)),
    )

    plan = dry_run(fakes, ("a.test", "admin@a.test"), ("www.a.test", "admin@www.a.test"))

    assert [(name.name, name.validated, name.scope) for name in plan.names] == [
        ("a.test", True, "a.test"),
        ("www.a.test", False, "a.test"),
    ]
    assert plan.to_json()["recipients"] == ["admin@www.a.test"]
    assert report(plan, "www.a.test")["mailed"] == ["admin@www.a.test"]
    assert dry_run(fakes, ("a.test", "admin@a.test")).would_be == "OrderNotEligible"


def test_name_in_two_entries_is_validated_once_both_are(fakes: Fakes) -> None:
    fakes.certcentral.domains = (
        NameStatus("a.test", "approved", ("a.test",)),
        NameStatus("a.test", "pending", ("*.a.test",)),
    )

    plan = dry_run(fakes)

    # Both are validated at the same authorization domain, by the same email.
    assert [(name.name, name.status, name.validated, name.mailed) for name in plan.names] == [
        ("a.test", "approved", False, "default"),
        ("*.a.test", "pending", False, "default"),
    ]


def test_expired_approval_is_pending(fakes: Fakes) -> None:
    fakes.certcentral.domains = (NameStatus("example.com", "approved", ("example.com",), expired=True),)

    plan = dry_run(fakes)

    assert plan.would_be == "sent"
    assert (report(plan)["status"], report(plan)["mailed"]) == ("approved", "default")
    assert dry_run(fakes, ADMIN).to_json()["recipients"] == ["admin@example.com"]


# Names that CertCentral does not list, or not readably


def test_named_recipient_of_an_order_without_names_is_unverified(fakes: Fakes) -> None:
    fakes.certcentral.domains = ()

    answer = dry_run(fakes, ADMIN).to_json()

    assert (answer["would_be"], answer["names"], answer["code"]) == ("RecipientUnverified", [], "recipient_unverified")
    assert "upstream_body" not in answer


def test_default_recipients_of_an_order_without_names_are_mailed(fakes: Fakes) -> None:
    fakes.certcentral.domains = ()

    answer = dry_run(fakes).to_json()

    assert (answer["would_be"], answer["names"], answer["upstream_body"]) == ("sent", [], {})


@pytest.mark.parametrize(
    "domains",
    [(), (NameStatus("", "pending"),), validation("example.org", status="approved")],
    ids=["no entries", "unreadable", "partly"],
)
def test_name_listed_only_by_the_order_is_reported_as_unknown(fakes: Fakes, domains: tuple[NameStatus, ...]) -> None:
    names = [*(name for domain in domains for name in domain.names), "*.example.com"]
    fakes.certcentral.domains, fakes.certcentral.order = domains, order_of(names=names)

    plan = dry_run(fakes, ADMIN)

    assert plan.would_be == "sent"
    assert [name.name for name in plan.names] == names
    assert report(plan, "*.example.com") == {
        "name": "*.example.com",
        "status": "unknown",
        "accepted": constructed_addresses("example.com"),
        "accepted_at_parents": [],
        "mailed": ["admin@example.com"],
        "mx": {"example.com": False},
    }


def test_name_that_not_even_the_order_lists_is_refused(fakes: Fakes) -> None:
    fakes.certcentral.domains, fakes.certcentral.order = (), order_of(names=["example.com"])

    answer = dry_run(fakes, ("exmaple.com", "admin@exmaple.com")).to_json()

    assert answer["code"] == "recipient_not_allowed|domain_approval_emails[0].domain"


@pytest.mark.parametrize(("status", "validated"), [("pending", False), ("approved", True)])
def test_unreadable_name_is_reported_as_unknown(fakes: Fakes, status: str, validated: bool) -> None:
    fakes.certcentral.domains = (NameStatus("", status), *validation("example.com"))

    plan = dry_run(fakes)

    assert plan.would_be == "sent"
    assert report(plan, "unknown") == {
        "name": "unknown",
        "status": status,
        "accepted": [],
        "accepted_at_parents": [],
        "mailed": [],
        "mx": {},
    }
    assert plan.names[0].validated is validated
    assert report(plan)["accepted"] == constructed_addresses("example.com")
    assert looked_up(fakes) == ["example.com"]
    assert dry_run(fakes, ADMIN).would_be == "sent"
    assert dry_run(fakes, ("example.org", "admin@example.org")).would_be == "RecipientUnverified"


def test_scope_without_names_is_reported_as_a_name(fakes: Fakes) -> None:
    fakes.certcentral.domains = (NameStatus("example.com", "pending"),)

    assert report(dry_run(fakes))["accepted"] == constructed_addresses("example.com")


# Who is accepted, and who would be mailed


def test_accepted_are_constructed_addresses_and_contacts(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("*.a.example.co.uk", "b.test")
    fakes.contacts.published["a.example.co.uk"] = Contacts(txt=("pki@mail.test",), caa=("it@mail.test",))

    plan = dry_run(fakes)

    assert report(plan, "*.a.example.co.uk")["accepted"] == [
        *constructed_addresses("a.example.co.uk"),
        "pki@mail.test",
        "it@mail.test",
    ]
    assert report(plan, "b.test")["accepted"] == constructed_addresses("b.test")
    assert report(plan, "b.test")["accepted_at_parents"] == []


def at_parents(*domains: str) -> list[dict[str, str]]:
    """Return the entries of the constructed addresses at these domains."""
    return [{"email": email, "email_domain": domain} for domain in domains for email in constructed_addresses(domain)]


def test_address_at_a_parent_is_listed_with_its_email_domain(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("*.b.a.example.co.uk")

    found = report(dry_run(fakes), "*.b.a.example.co.uk")

    assert found["accepted"] == constructed_addresses("b.a.example.co.uk")
    assert found["accepted_at_parents"] == at_parents("a.example.co.uk", "example.co.uk")


def test_published_contact_that_needs_an_email_domain_is_not_accepted_as_it_is(fakes: Fakes) -> None:
    """A role address at a parent is refused without ``email_domain``, also if DNS publishes it."""
    fakes.certcentral.domains = validation("www.example.com")
    fakes.contacts.published["www.example.com"] = Contacts(
        txt=("admin@example.com", "admin@www.example.com", "a@b.test")
    )

    found = report(dry_run(fakes), "www.example.com")

    assert found["accepted"] == [*constructed_addresses("www.example.com"), "a@b.test"]
    assert found["accepted_at_parents"] == at_parents("example.com")


@pytest.mark.parametrize("name", ["_dmarc.example.com", "a..example.com", "exam ple.com"])
def test_name_that_no_request_can_name_has_no_accepted_address(fakes: Fakes, name: str) -> None:
    fakes.certcentral.domains = (NameStatus("", "pending", (name,)),)

    found = report(dry_run(fakes), name)

    assert (found["accepted"], found["accepted_at_parents"]) == ([], [])


def test_address_that_is_too_long_is_not_accepted(fakes: Fakes) -> None:
    name = ".".join(["a" * 59, "b" * 59, "c" * 59, "d" * 52, "example", "com"])
    fakes.certcentral.domains = validation(name)

    found = report(dry_run(fakes), name)

    assert found["accepted"] == [f"admin@{name}", f"webmaster@{name}"]  # 250 and 254 characters


def test_mailed_are_addresses_named_for_a_name_or_its_wildcard(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("*.example.com", "example.com", "example.org", "example.net")

    plan = dry_run(fakes, ADMIN, ("*.example.com", "webmaster@example.com"), ("example.org", "Hostmaster@Example.org"))

    assert report(plan, "*.example.com")["mailed"] == ["admin@example.com", "webmaster@example.com"]
    assert report(plan, "example.com")["mailed"] == ["admin@example.com", "webmaster@example.com"]
    assert report(plan, "example.org")["mailed"] == ["hostmaster@example.org"]
    assert report(plan, "example.net")["mailed"] == []


def test_mailed_are_addresses_named_for_a_wildcard_in_a_scope(fakes: Fakes) -> None:
    fakes.certcentral.domains = (NameStatus("example.com", "pending", ("*.shop.example.com",)),)
    recipients = [
        ("*.shop.example.com", "admin@shop.example.com"),
        ("shop.example.com", "webmaster@shop.example.com"),
    ]

    plan = dry_run(fakes, *recipients)

    assert report(plan, "*.shop.example.com")["mailed"] == [email for _, email in recipients]


def test_mailed_are_addresses_named_for_the_scope(fakes: Fakes) -> None:
    fakes.certcentral.domains = (NameStatus("example.com", "pending", ("www.example.com",)),)

    plan = dry_run(fakes, ADMIN)

    assert plan.to_json()["upstream_body"] == resend_request(ADMIN).upstream_body
    assert report(plan, "www.example.com")["mailed"] == ["admin@example.com"]


def test_upstream_body_is_what_would_be_sent(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("www.example.com")
    fakes.contacts.published["www.example.com"] = Contacts(txt=("jane@mail.test",))
    request = resend_request(
        ("www.example.com", "admin@example.com", "example.com"), ("www.example.com", "jane@mail.test"), locale="de"
    )
    resender, invocation = fakes.resender(NOW), fakes.invocation(NOW)

    answer = resender.dry_run(request, invocation).to_json()
    resender.resend(request, invocation)

    assert fakes.certcentral.puts == [answer["upstream_body"]] == [request.upstream_body]
    assert answer["recipients"] == ["admin@example.com", "jane@mail.test"]


# Mail hosts


@pytest.mark.parametrize("has_mx", [True, False, None])
def test_mail_hosts_of_a_name_are_reported(fakes: Fakes, has_mx: bool | None) -> None:
    fakes.certcentral.domains = validation("www.example.com")
    fakes.contacts.mx = {"www.example.com": has_mx, "example.com": True}

    plan = dry_run(fakes)

    assert plan.would_be == "sent"
    assert report(plan, "www.example.com")["mx"] == {"www.example.com": has_mx, "example.com": True}


def test_mail_hosts_of_contacts_and_recipients_are_reported(fakes: Fakes) -> None:
    fakes.contacts.published["example.com"] = Contacts(txt=("pki@mail.test",))
    fakes.contacts.mx["mail.test"] = True

    plan = dry_run(fakes, ("example.com", "pki@mail.test"))

    assert report(plan)["mx"] == {"example.com": False, "mail.test": True}


def test_unanswered_contacts_are_not_known(fakes: Fakes) -> None:
    fakes.contacts.published["example.com"] = UNANSWERED

    plan = dry_run(fakes)

    assert (plan.would_be, [name.contacts_known for name in plan.names]) == ("sent", [False])


# Refused and unverified recipients


def test_every_refused_recipient_is_explained_and_nobody_mailed(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("www.example.com", "example.org")

    plan = dry_run(
        fakes,
        ("www.example.com", "admin@example.com"),
        ("example.org", "admin@example.org"),
        ("example.net", "admin@example.net"),
        ("example.org", "jane@mail.test"),
    )

    answer = plan.to_json()
    assert answer["would_be"] == "RecipientNotAllowed"
    assert answer["code"] == "recipient_not_allowed|domain_approval_emails[0].email_domain"
    assert [sentence.partition(": ")[0] for sentence in plan.advice[:3]] == [
        "domain_approval_emails[0].email_domain",
        "domain_approval_emails[2].domain",
        "domain_approval_emails[3].email",
    ]
    assert "j***@mail.test" in plan.advice[2]
    assert [name.mailed for name in plan.names] == [(), ()]
    assert report(plan, "example.org")["accepted"] == constructed_addresses("example.org")
    assert answer.keys().isdisjoint({"upstream_body", "until"})


def test_unverified_recipient_is_explained_and_nobody_mailed(fakes: Fakes) -> None:
    fakes.contacts.published["example.com"] = UNANSWERED

    plan = dry_run(fakes, JANE, ADMIN)

    answer = plan.to_json()
    assert (answer["would_be"], answer["code"]) == ("RecipientUnverified", "recipient_unverified")
    assert "j***@mail.test" in plan.advice[0]
    assert report(plan)["mailed"] == []
    assert "upstream_body" not in answer


def test_unchecked_recipients_would_be_mailed_as_they_are(fakes: Fakes) -> None:
    recipients = [JANE, ("elsewhere.test", "it@mail.test")]

    plan = dry_run(fakes, *recipients, check_recipients=False)

    answer = plan.to_json()
    assert answer["would_be"] == "sent"
    assert answer["upstream_body"] == resend_request(*recipients).upstream_body
    assert report(plan)["mailed"] == ["jane@mail.test"]
    assert report(plan)["accepted"] == constructed_addresses("example.com")
    assert report(plan)["mx"] == {"example.com": False, "mail.test": False}
    assert "code" not in answer
    # The advice says all the same what the check would say.
    assert isinstance(plan.unenforced_refusal, RecipientNotAllowed)
    assert [path for path, _ in plan.unenforced_refusal.refused] == [
        "domain_approval_emails[0].email",
        "domain_approval_emails[1].domain",
    ]
    assert "j***@mail.test" in plan.advice[0]


def test_unchecked_unverified_recipient_would_be_mailed(fakes: Fakes) -> None:
    fakes.contacts.published["example.com"] = UNANSWERED

    plan = dry_run(fakes, JANE, check_recipients=False)

    assert (plan.would_be, plan.refusal) == ("sent", None)
    assert "(RECIPIENT_CHECK=off). It would say: Whether j***@mail.test" in plan.advice[0]


@pytest.mark.parametrize("check_recipients", [True, False])
def test_allowed_recipients_are_not_mentioned(fakes: Fakes, check_recipients: bool) -> None:
    plan = dry_run(fakes, ADMIN, check_recipients=check_recipients)

    assert (plan.refusal, plan.unenforced_refusal) == (None, None)
    assert "RECIPIENT_CHECK" not in str(plan.advice)


def test_default_dry_run_is_answered_while_dns_is_down(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("www.example.com")
    fakes.contacts.is_down = True

    plan = dry_run(fakes)

    assert plan.would_be == "sent"
    assert report(plan, "www.example.com") == {
        "name": "www.example.com",
        "status": "pending",
        "accepted": constructed_addresses("www.example.com"),
        "accepted_at_parents": at_parents("example.com"),
        "mailed": "default",
        "mx": {"www.example.com": None, "example.com": None},
    }


def test_only_constructed_addresses_pass_while_dns_is_down(fakes: Fakes) -> None:
    fakes.contacts.is_down = True

    assert dry_run(fakes, ADMIN).would_be == "sent"
    assert dry_run(fakes, JANE).would_be == "RecipientUnverified"


# The order of the lookups


def test_domains_of_recipients_are_looked_up_first(fakes: Fakes) -> None:
    """There may be too many names to ask about all of them in time."""
    names = [f"n{number:02}.test" for number in range(40)]
    fakes.certcentral.domains = validation(*names, "z.example.com")

    dry_run(fakes, ("z.example.com", "jane@mail.test"))

    assert looked_up(fakes) == ["z.example.com", *names, "z.example.com"]


@pytest.mark.parametrize("local_part", ["admin", "jane"])
@pytest.mark.parametrize("check_recipients", [True, False])
def test_names_that_are_not_on_the_order_are_not_looked_up(
    fakes: Fakes, local_part: str, check_recipients: bool
) -> None:
    plan = dry_run(fakes, ("a.b.zz", f"{local_part}@a.b.zz"), check_recipients=check_recipients)

    assert looked_up(fakes) == ["example.com"]
    assert fakes.journal.calls("has_mx") == [(["example.com"],)]
    assert plan.would_be == ("RecipientNotAllowed" if check_recipients else "sent")


# Earlier resends


@pytest.mark.parametrize(
    ("state", "force", "would_be", "until"),
    [
        (None, False, "sent", None),
        ("expired", False, "sent", None),
        ("sent", False, "duplicate", "2026-11-24T13:01:50Z"),
        ("unknown", False, "OutcomeUnknown", "2026-11-24T13:02:19Z"),
        ("sending", False, "ResendInProgress", "2026-11-24T12:02:19Z"),
        ("sent", True, "sent", None),
        ("unknown", True, "sent", None),
        ("sending", True, "ResendInProgress", "2026-11-24T12:02:19Z"),
    ],
)
def test_earlier_resend_is_considered(
    fakes: Fakes, state: State | None, force: bool, would_be: str, until: str | None
) -> None:
    leave(fakes, state)

    answer = dry_run(fakes, force=force).to_json()

    assert (answer["would_be"], answer.get("until"), answer["upstream_body"]) == (would_be, until, {})
    assert "code" not in answer


@pytest.mark.parametrize(("state", "would_be"), [("sent", "duplicate"), ("unknown", "OutcomeUnknown")])
def test_redelivered_forced_call_is_a_repeat(fakes: Fakes, state: State, would_be: str) -> None:
    leave(fakes, state, forced_by="call-2")

    assert dry_run(fakes, force=True, delivery_id="call-2").would_be == would_be
    assert dry_run(fakes, force=True, delivery_id="call-3").would_be == "sent"


@pytest.mark.parametrize(("state", "reason"), [("sent", "already_mailed"), ("unknown", "maybe_mailed")])
def test_recipient_of_an_earlier_resend_is_skipped(fakes: Fakes, state: State, reason: str) -> None:
    leave(fakes, state, ADMIN)
    webmaster = ("example.com", "webmaster@example.com")

    plan = dry_run(fakes, ADMIN, webmaster)

    answer = plan.to_json()
    assert (answer["would_be"], answer["recipients"]) == ("sent", ["webmaster@example.com"])
    assert answer["skipped"] == [{"domain": "example.com", "email": "admin@example.com", "reason": reason}]
    assert answer["upstream_body"] == resend_request(webmaster).upstream_body
    assert report(plan)["mailed"] == ["webmaster@example.com"]


def test_more_people_than_the_record_holds_are_refused(fakes: Fakes) -> None:
    people = {f"person {number}": Mailed(NOW, "sent") for number in range(MAX_PEOPLE)}
    fakes.records.records["order#7"] = SendRecord("order#7", "a revision", mailed=people)

    plan = dry_run(fakes, ADMIN)

    assert (plan.would_be, plan.blocked_until, plan.refusal) == ("InvalidRequest", None, None)
    assert plan.advice[0].startswith("Too many people")
    with pytest.raises(InvalidRequest):
        resend(fakes, ADMIN)


def test_repeat_after_a_further_validation_is_a_duplicate(fakes: Fakes) -> None:
    recipients = [ADMIN, ("example.org", "admin@example.org")]
    leave(fakes, "sent", *recipients)
    fakes.certcentral.domains = HALF_VALIDATED

    assert dry_run(fakes, *recipients).would_be == "duplicate"


def test_refusal_comes_before_an_earlier_resend(fakes: Fakes) -> None:
    leave(fakes, "sent", JANE)

    plan = dry_run(fakes, JANE)

    assert (plan.would_be, plan.blocked_until) == ("RecipientNotAllowed", None)


# The stop switch


@pytest.mark.parametrize(
    ("status", "recipients", "would_be"),
    [
        ("pending", (), "SendingPaused"),
        ("pending", (ADMIN,), "SendingPaused"),
        ("issued", (), "OrderNotEligible"),
        ("pending", (JANE,), "RecipientNotAllowed"),
    ],
)
def test_paused_sending_is_reported_after_refusals(
    fakes: Fakes, status: str, recipients: tuple[tuple[str, ...], ...], would_be: str
) -> None:
    fakes.certcentral.order = order_of(status)

    plan = dry_run(fakes, *recipients, sending=False)

    assert (plan.would_be, plan.paused) == (would_be, True)


@pytest.mark.parametrize(
    ("state", "would_be"),
    [
        ("expired", "SendingPaused"),
        ("sent", "duplicate"),
        ("unknown", "OutcomeUnknown"),
        ("sending", "ResendInProgress"),
    ],
)
def test_paused_sending_is_reported_after_an_earlier_resend(fakes: Fakes, state: State, would_be: str) -> None:
    leave(fakes, state)

    plan = dry_run(fakes, sending=False)

    assert (plan.would_be, plan.paused) == (would_be, True)
    assert plan.to_json()["upstream_body"] == {}
    assert "code" not in plan.to_json()


# Many names


def test_answer_about_250_names_fits_into_a_workflow_step(fakes: Fakes) -> None:
    names = [f"n{number:03}.example.com" for number in range(250)]
    fakes.certcentral.domains = validation(*names)
    fakes.contacts.mx = dict.fromkeys([*names, "example.com"], True)

    plan = dry_run(fakes, *((name, "admin@example.com", "example.com") for name in names))

    answer: Any = plan.to_json()
    assert answer["would_be"] == "sent"
    assert [name.name for name in plan.names] == names
    assert all(name.mailed == ("admin@example.com",) for name in plan.names)
    assert all(name.has_mx == {name.name: True, "example.com": True} for name in plan.names)
    assert len(answer["upstream_body"]["domain_approval_emails"]) == 250
    assert answer["more_names"] == 250 - MAX_NAMES
    # A step accepts 256 KiB.
    assert len(json.dumps(answer)) < 128 * 1024


# Property: a resend does what its dry run has predicted


NAMES = ["example.com", "www.example.com", "example.org"]
RECIPIENTS = [
    ADMIN,
    ("*.example.com", "Postmaster@example.com"),
    ("www.example.com", "admin@example.com"),
    ("www.example.com", "admin@example.com", "example.com"),
    ("www.example.com", "jane@mail.test"),
    ("example.org", "jane@mail.test"),
    ("example.org", "admin@example.org"),
    ("elsewhere.test", "admin@elsewhere.test"),
    # A scope of the validation, with or without being a name of the order.
    ("example.com", "jane@mail.test"),
    ("www.example.com", "jane@mail.test", "example.com"),
]


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * (2 * len(others)) + list(others))


def entries(
    statuses: tuple[str, str, str], scopes: str, expired: str | None, missing: str | None
) -> tuple[NameStatus, ...]:
    """Return a validation of `NAMES`: in one of three layouts, with an approval expired, and with entries missing."""
    by_name = dict(zip(NAMES, statuses, strict=True))
    if scopes == "together":
        found = [
            NameStatus("example.com", by_name["example.com"], ("example.com", "www.example.com")),
            *validation("example.org", status=by_name["example.org"]),
        ]
    else:
        found = [
            NameStatus(".".join(name.split(".")[-2:]) if scopes == "split" else name, status, (name,))
            for name, status in by_name.items()
        ]
    found = [replace(entry, expired=expired in entry.names) for entry in found]
    if missing is not None:
        found = {"entry": found[1:], "unreadable": [NameStatus("", "approved"), *found[1:]], "all": []}[missing]
    return tuple(found)


STATUSES = st.sampled_from(["pending", "pending", "approved", "unknown"])


@settings(deadline=None, max_examples=200)
@given(
    # Two recipients with the same name and address are valid only if their parents are the same, too.
    recipients=st.lists(st.sampled_from(RECIPIENTS), max_size=3, unique_by=lambda recipient: recipient[:2]),
    order=st.builds(
        order_of,
        mostly("pending", "reissue_pending", "issued", "needs_approval", None),
        mostly(DV, "ssl_certificate"),
        mostly("email", "http-token"),
        st.sampled_from([(), NAMES]),
    ),
    domains=st.builds(
        entries,
        st.tuples(STATUSES, STATUSES, STATUSES),
        st.sampled_from(["apart", "together", "split"]),
        mostly(None, "example.com", "www.example.com"),
        mostly(None, "entry", "unreadable", "all"),
    ),
    contacts=st.fixed_dictionaries(
        dict.fromkeys(
            NAMES,
            st.sampled_from(
                [Contacts(), Contacts(txt=("jane@mail.test",)), Contacts(caa=("other@mail.test",)), UNANSWERED]
            ),
        )
    ),
    state=st.sampled_from([None, None, "sent", "unknown", "sending", "expired"]),
    earlier=st.lists(st.sampled_from(RECIPIENTS), max_size=3, unique_by=lambda recipient: recipient[:2]),
    forced_by=st.sampled_from([None, "call-2"]),
    force=st.booleans(),
    check_recipients=mostly(True, False),
)
def test_resend_does_what_its_dry_run_predicts(
    recipients: list[tuple[str, ...]],
    order: Order,
    domains: tuple[NameStatus, ...],
    contacts: dict[str, Contacts],
    state: State | None,
    earlier: list[tuple[str, ...]],
    forced_by: str | None,
    force: bool,
    check_recipients: bool,
) -> None:
    fakes = Fakes()
    fakes.certcentral.order, fakes.certcentral.domains = order, domains
    fakes.contacts.published = contacts
    leave(fakes, state, *earlier, forced_by=forced_by)

    plan = dry_run(fakes, *recipients, force=force, check_recipients=check_recipients)
    paused = dry_run(fakes, *recipients, force=force, check_recipients=check_recipients, sending=False)
    with pytest.raises(SendingPaused):
        resend(fakes, *recipients, force=force, check_recipients=check_recipients, sending=False)
    assert set(fakes.journal.methods) <= {*QUERIES, "contacts", "has_mx", "load"}

    answer = plan.to_json()
    # Of all that prevents a send, the stop switch is reported last; only then would a resend raise it.
    would_be = "SendingPaused" if answer["would_be"] == "sent" else answer["would_be"]
    assert paused.to_json() | {"advice": 0} == answer | {"advice": 0, "paused": True, "would_be": would_be}
    code: str | None = None
    retry_after: int | None = None
    try:
        result = resend(fakes, *recipients, force=force, check_recipients=check_recipients)
    except ResendError as error:
        outcome, code, retry_after = type(error).__name__, error.code, error.retry_after
    else:
        outcome = result.outcome
        assert [answer[name] for name in ("recipients", "skipped")] == [
            result.to_json()[name] for name in ("recipients", "skipped")
        ]
        assert plan.blocked_until == (result.until if outcome == "duplicate" else None)
    # A repeat may send again exactly when the resend says so.
    assert outcome != "OutcomeUnknown" or retry_after == max(1, (plan.blocked_until or 0) - NOW)
    assert answer["would_be"] == outcome
    assert answer.get("code") == (code if "code" in answer else None)
    assert ("code" in answer) == (outcome in {"OrderNotEligible", "RecipientNotAllowed", "RecipientUnverified"})
    assert ("upstream_body" in answer) != ("code" in answer)
    assert fakes.certcentral.puts == ([answer["upstream_body"]] if outcome == "sent" else [])
    # Nobody else is reported as mailed.
    mailed = {address for name in plan.names if name.mailed != "default" for address in name.mailed}
    assert mailed <= set(plan.request.addresses)
    assert not mailed or "upstream_body" in answer
    # Nobody is mailed about a name that CertCentral does not list, unless the check is off.
    listed = {without_wildcard(name) for report in plan.names for name in (report.name, report.scope)}
    if check_recipients and outcome == "sent":
        assert {without_wildcard(recipient.domain) for recipient in plan.request.recipients} <= listed
    assert plan.unenforced_refusal is None or not check_recipients


# Property: what a dry run lists as accepted is accepted exactly so


LISTED_NAMES = st.sampled_from(
    [
        *("example.com", "www.example.com", "*.example.com", "a.b.c.example.co.uk", "*.a.example.co.uk", "b.test"),
        # Public suffixes and names below them, a name that no request can name, and one that is nearly too long.
        *("co.uk", "shop.github.io", "www.ck", "city.kawasaki.jp", "_dmarc.example.com", "xn--bcher-kva.example"),
        ".".join(["a" * 59, "b" * 59, "c" * 59, "d" * 52, "example", "com"]),
    ]
)
SCOPES = st.sampled_from(["", "example.com", "www.example.com", "co.uk", "example.co.uk"])
PUBLISHED = st.lists(
    st.sampled_from(
        [
            *("jane@mail.test", "admin@example.com", "admin@www.example.com", "webmaster@co.uk", "jane@example.com"),
            *("admin@b.test", "postmaster@example.co.uk", "hostmaster@mail.test"),
        ]
    ),
    max_size=4,
)
CONTACTS = st.builds(
    lambda txt, caa, failure: Contacts(tuple(txt), tuple(caa), failure),
    PUBLISHED,
    PUBLISHED,
    st.sampled_from([None, "x"]),
)


@settings(deadline=None, max_examples=200)
@given(
    domains=st.lists(
        st.builds(NameStatus, SCOPES, STATUSES, st.lists(LISTED_NAMES, max_size=3).map(tuple), st.booleans()),
        max_size=3,
    ),
    names=st.just(()) | st.lists(LISTED_NAMES, max_size=3).map(tuple),
    contacts=st.dictionaries(LISTED_NAMES.map(without_wildcard), CONTACTS),
)
def test_every_address_that_a_dry_run_lists_is_accepted_as_listed(
    domains: list[NameStatus], names: tuple[str, ...], contacts: dict[str, Contacts]
) -> None:
    fakes = Fakes()
    fakes.certcentral.order, fakes.certcentral.domains = order_of(names=names), tuple(domains)
    fakes.contacts.published = contacts
    answer: Any = dry_run(fakes).to_json()

    listed = [
        {"domain": name["name"], **address}
        for name in answer["names"]
        for address in [*({"email": email} for email in name["accepted"]), *name["accepted_at_parents"]]
    ]
    for recipient in listed:
        request = ResendRequest.from_input({"order_id": 7, "domain_approval_emails": [recipient], "force": True})
        # The address is as the resend itself writes it, so that a client may compare the two.
        assert request.upstream_body == {"domain_approval_emails": [recipient]}
        fakes.records.records.clear()
        planned = fakes.resender(NOW).dry_run(request, fakes.invocation(NOW))
        result = fakes.resender(NOW).resend(request, fakes.invocation(NOW))
        assert (planned.would_be, result.outcome) == ("sent", "sent")
