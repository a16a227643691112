"""`Resender.dry_run` of an order that is not DV: it predicts what a resend would do about each domain."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.domain_dry_run import MAX_LISTS
from dv_resend.core.orders import DomainEmails, NameStatus, Order
from dv_resend.core.plan import ResendPlan
from dv_resend.core.recipients import Contacts
from dv_resend.core.resend import ResendResult
from dv_resend.core.send_record import DEFAULT, Claim, Mailed, SendRecord
from dv_resend.errors import (
    CertCentralUnavailable,
    OrderNotEligible,
    OutcomeUnknown,
    RateLimited,
    RecipientNotAllowed,
    RecipientUnverified,
    RequestRejected,
    ResendError,
)
from unit.fakes import Fakes, resend_request

NOW = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp())
# A cool-down, with the two minutes for the clocks.
AGAIN = 3600 + 120
OV = "ssl_certificate"
LOCAL_PARTS = ("admin", "administrator", "hostmaster", "postmaster", "webmaster")
ADMIN_A, JANE_B = ("a.test", "admin@a.test"), ("b.test", "jane@mail.test")


def entry(number: int, scope: str, status: str = "pending", method: str = "email", *names: str) -> NameStatus:
    return NameStatus(scope, status, names or (scope,), domain_id=number, method=method)


def listed(scope: str, *more: str) -> DomainEmails:
    return DomainEmails(scope, (*(f"{local_part}@{scope}" for local_part in LOCAL_PARTS), *more))


@pytest.fixture
def fakes() -> Fakes:
    """An OV order that waits for emails about a.test and b.test."""
    fakes = Fakes()
    fakes.certcentral.order = Order(7, "pending", OV, "email", datetime(2026, 11, 23, tzinfo=UTC))
    fakes.certcentral.domains = (entry(1, "a.test"), entry(2, "b.test"))
    fakes.certcentral.domain_emails = {1: listed("a.test"), 2: listed("b.test", "jane@mail.test")}
    fakes.contacts.published = {"b.test": Contacts(txt=("jane@mail.test", "joe@mail.test"))}
    return fakes


def dry_run(fakes: Fakes, *recipients: tuple[str, ...], force: bool = False, **config: Any) -> ResendPlan:
    """Plan the resend, and check that nothing was sent or stored, and that the answer can be JSON."""
    request = resend_request(*recipients, force=force, dry_run=True)
    plan = fakes.resender(NOW, all_order_types=True, **config).dry_run(request, fakes.invocation(NOW))
    json.dumps(plan.to_json())
    assert {"store", "settle", "resend_emails", "resend_domain_emails"}.isdisjoint(fakes.journal.methods)
    return plan


def outcomes(plan: ResendPlan) -> dict[str, str]:
    return {domain.scope: domain.outcome for domain in plan.domains or ()}


def remember(fakes: Fakes, record_id: str, mailed: Mailed | None = None, claim: Claim | None = None) -> None:
    record = SendRecord(record_id, "revision", claim, {DEFAULT: mailed} if mailed else {})
    fakes.records.records[record_id] = record


def advice(plan: ResendPlan) -> str:
    return "\n".join(plan.advice)


# ---------------------------------------------------------------- each domain


def test_each_domain_has_the_body_of_its_put(fakes: Fakes) -> None:
    answer = dry_run(fakes).to_json()

    assert answer["would_be"] == "sent"
    assert "upstream_body" not in answer
    assert answer["domains"] == [
        {"name": "a.test", "id": 1, "outcome": "sent", "upstream_body": {"name_scope": "a.test"}},
        {"name": "b.test", "id": 2, "outcome": "sent", "upstream_body": {"name_scope": "b.test"}},
    ]


def test_named_recipients_go_to_their_domain_only(fakes: Fakes) -> None:
    plan = dry_run(fakes, JANE_B)

    assert outcomes(plan) == {"a.test": "not_named", "b.test": "sent"}
    assert (plan.domains or ())[1].upstream_body == {"name_scope": "b.test", "email_array": ["jane@mail.test"]}
    assert "Nobody is named at a.test, so nobody would be mailed there." in advice(plan)


def test_default_recipients_are_all_that_are_listed(fakes: Fakes) -> None:
    plan = dry_run(fakes)

    assert "Without recipients, DigiCert mails all addresses that it lists for an open domain." in advice(plan)
    assert "DigiCert picks" not in advice(plan)


def test_name_tells_the_domain_that_validates_it(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(1, "a.test", "pending", "email", "www.a.test"), entry(2, "b.test", "approved"))

    names = dry_run(fakes).to_json()["names"]

    assert isinstance(names, list)
    assert [(name["name"], name["domain"]) for name in names] == [("www.a.test", "a.test"), ("b.test", "b.test")]


def test_blocked_domain_shows_whom_it_mails_later(fakes: Fakes) -> None:
    remember(fakes, "domain#2#b.test", Mailed(NOW - 60, "sent"))

    plan = dry_run(fakes, ADMIN_A, JANE_B)

    assert {name.name: name.mailed for name in plan.names} == {
        "a.test": ("admin@a.test",),
        "b.test": ("jane@mail.test",),
    }
    assert plan.request.addresses == ["admin@a.test"]


def test_recipient_of_validated_domain_hears_of_open_ones(fakes: Fakes) -> None:
    fakes.certcentral.domains += (entry(3, "dns.test", method="dns-txt-token"), entry(4, "done.test", "approved"))

    plan = dry_run(fakes, ("done.test", "admin@done.test"))

    assert "still waiting for a.test, b.test: name recipients" in advice(plan)


def test_domains_that_wait_for_no_email_are_last(fakes: Fakes) -> None:
    fakes.certcentral.domains = (
        entry(3, "dns.test", method="dns-txt-token"),
        entry(4, "done.test", "approved"),
        *fakes.certcentral.domains,
    )

    plan = dry_run(fakes)

    assert list(outcomes(plan).items()) == [
        ("a.test", "sent"),
        ("b.test", "sent"),
        ("dns.test", "not_email_dcv"),
        ("done.test", "validated"),
    ]
    assert "dns.test: validated by another method" in advice(plan)


@pytest.mark.parametrize(
    ("mailed", "claim", "outcome", "until", "would_be"),
    [
        (Mailed(NOW - 60, "sent"), None, "duplicate", NOW - 60 + AGAIN, "sent"),
        (Mailed(NOW - 60, "unknown"), None, "OutcomeUnknown", NOW - 60 + AGAIN, "OutcomeUnknown"),
        (None, Claim("other", NOW + 9), "ResendInProgress", NOW + 129, "ResendInProgress"),
        (Mailed(NOW - AGAIN, "sent"), None, "sent", None, "sent"),
    ],
    ids=["sent", "unknown", "in progress", "long ago"],
)
def test_domain_mailed_before_says_until_when(
    fakes: Fakes, mailed: Mailed | None, claim: Claim | None, outcome: str, until: int | None, would_be: str
) -> None:
    remember(fakes, "domain#1#a.test", mailed, claim)

    plan = dry_run(fakes)

    assert [(each.outcome, each.blocked_until) for each in plan.domains or ()] == [(outcome, until), ("sent", None)]
    assert plan.would_be == would_be
    assert ("a.test: " in advice(plan)) == (outcome != "sent")


def test_all_domains_mailed_before_is_a_duplicate(fakes: Fakes) -> None:
    remember(fakes, "domain#1#a.test", Mailed(NOW - 60, "sent"))
    remember(fakes, "domain#2#b.test", Mailed(NOW - 90, "sent"))

    plan = dry_run(fakes)

    assert (plan.would_be, plan.blocked_until) == ("duplicate", NOW - 90 + AGAIN)
    # Once nothing blocks it.
    assert all(name.mailed == "default" for name in plan.names)


def test_force_plans_every_domain(fakes: Fakes) -> None:
    remember(fakes, "domain#1#a.test", Mailed(NOW - 60, "sent"))

    assert outcomes(dry_run(fakes, force=True)) == {"a.test": "sent", "b.test": "sent"}


def test_paused_plan_says_so(fakes: Fakes) -> None:
    plan = dry_run(fakes, sending=False)

    assert (plan.would_be, plan.paused) == ("SendingPaused", True)


# ---------------------------------------------------------------- whom CertCentral accepts


def test_accepted_addresses_are_those_on_both_lists(fakes: Fakes) -> None:
    fakes.certcentral.domain_emails[1] = DomainEmails("a.test", ("admin@a.test", "whoever@a.test"))

    accepted = {name.name: name.accepted for name in dry_run(fakes).names}

    # DNS publishes joe@mail.test too, but CertCentral does not list it.
    assert accepted == {
        "a.test": ("admin@a.test",),
        "b.test": (*(f"{local_part}@b.test" for local_part in LOCAL_PARTS), "jane@mail.test"),
    }


@pytest.mark.parametrize(
    ("emails", "error"),
    [
        (listed("test"), None),
        (listed("a.test"), RequestRejected("CertCentral refused the request.")),
        (listed("a.test"), RecipientUnverified("No.")),
    ],
    ids=["of another scope", "refused", "unclear"],
)
def test_nobody_is_accepted_without_a_list(fakes: Fakes, emails: DomainEmails, error: ResendError | None) -> None:
    fakes.certcentral.domains = (entry(1, "a.test"),)
    fakes.certcentral.domain_emails[1] = emails
    if error is not None:
        fakes.certcentral.errors["get_domain_emails"] = error

    plan = dry_run(fakes)

    assert plan.would_be == "sent"
    assert [name.accepted for name in plan.names] == [()]


def test_account_wide_error_of_a_list_is_raised(fakes: Fakes) -> None:
    fakes.certcentral.errors["get_domain_emails"] = RateLimited("Too many requests.")

    with pytest.raises(RateLimited):
        dry_run(fakes)


def test_lists_of_many_domains_are_not_all_asked_for(fakes: Fakes) -> None:
    fakes.certcentral.domains = tuple(entry(number, f"n{number}.test") for number in range(1, MAX_LISTS + 5))

    dry_run(fakes)

    assert len(fakes.journal.calls("get_domain_emails")) == MAX_LISTS


def test_list_of_a_domain_is_asked_for_once(fakes: Fakes) -> None:
    dry_run(fakes, ADMIN_A)

    assert [domain_id for domain_id, _ in fakes.journal.calls("get_domain_emails")] == [1, 2]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("domains", "organization", "code", "said"),
    [
        ((entry(1, "a.test", "approved"),), (), "already_validated", "CertCentral issues the certificate next"),
        ((entry(1, "a.test", "approved"),), ("pending",), "already_validated", "organization is still to be validated"),
        ((entry(1, "a.test", method="dns-txt-token"),), ("pending",), "not_email_dcv", "by dns-txt-token"),
        ((), (), "not_email_dcv", "no domains"),
    ],
    ids=["validated", "validated, organization open", "other method", "no domains"],
)
def test_order_without_open_domains_is_refused(
    fakes: Fakes, domains: tuple[NameStatus, ...], organization: tuple[str, ...], code: str, said: str
) -> None:
    fakes.certcentral.domains, fakes.certcentral.organization = domains, organization

    plan = dry_run(fakes)

    assert isinstance(plan.refusal, OrderNotEligible)
    assert (plan.would_be, plan.refusal.reason) == ("OrderNotEligible", code)
    assert said in advice(plan)
    assert advice(plan).count("The organization") == len(organization)


def test_open_organization_is_advice_and_no_refusal(fakes: Fakes) -> None:
    fakes.certcentral.organization = ("approved", "pending")

    plan = dry_run(fakes)

    assert plan.would_be == "sent"
    assert "The organization is still to be validated, too (status: pending)" in advice(plan)


@pytest.mark.parametrize(
    ("recipient", "would_be"),
    [
        (("b.test", "joe@mail.test"), "RecipientNotAllowed"),
        (("b.test", "stranger@mail.test"), "RecipientNotAllowed"),
        (("dns.test", "admin@dns.test"), "RecipientNotAllowed"),
        (("c.test", "admin@c.test"), "RecipientUnverified"),
    ],
    ids=["not listed", "not published", "other method", "list of another scope"],
)
def test_recipient_that_a_resend_refuses_is_refused(fakes: Fakes, recipient: tuple[str, str], would_be: str) -> None:
    fakes.certcentral.domains += (entry(3, "c.test"), entry(4, "dns.test", method="dns-txt-token"))
    fakes.certcentral.domain_emails[3] = listed("test")

    plan = dry_run(fakes, ADMIN_A, recipient)

    assert plan.would_be == would_be
    assert isinstance(plan.refusal, RecipientNotAllowed | RecipientUnverified)
    assert {outcome for scope, outcome in outcomes(plan).items() if scope != "dns.test"} == {would_be}
    assert all(domain.upstream_body is None for domain in plan.domains or ())


def test_dv_order_is_planned_as_before(fakes: Fakes) -> None:
    fakes.certcentral.order = Order(7, "pending", "dv_ssl_certificate", "email")

    plan = dry_run(fakes)

    assert (plan.would_be, plan.domains) == ("sent", None)
    assert fakes.journal.calls("get_domain_emails") == []


# ---------------------------------------------------------------- the promise

SCOPES = ("a.test", "b.test", "c.test")
RECORDS = {
    "none": None,
    "sent": SendRecord("", "revision", mailed={DEFAULT: Mailed(NOW - 60, "sent")}),
    "unknown": SendRecord("", "revision", mailed={DEFAULT: Mailed(NOW - 60, "unknown")}),
    "sending": SendRecord("", "revision", claim=Claim("other", NOW + 9)),
}


@st.composite
def worlds(draw: st.DrawFn) -> Fakes:
    """An OV order with any validation, lists and records."""
    fakes = Fakes()
    fakes.certcentral.order = Order(7, "pending", OV, "email", datetime(2026, 11, 23, tzinfo=UTC))
    fakes.contacts.published = {scope: Contacts(txt=("jane@mail.test",)) for scope in SCOPES}
    entries = []
    for number, scope in enumerate(SCOPES, 1):
        status, method = draw(st.sampled_from(["pending", "approved"])), draw(st.sampled_from(["email", "http-token"]))
        entries.append(entry(number, scope, status, method, *draw(st.sampled_from([(), (f"www.{scope}", scope)]))))
        lists = [
            listed(scope),
            listed(scope, "jane@mail.test"),
            listed("test"),
            DomainEmails(None, (f"admin@{scope}",)),
        ]
        fakes.certcentral.domain_emails[number] = draw(st.sampled_from(lists))
        record_id = f"domain#{number}#{scope}"
        if (record := RECORDS[draw(st.sampled_from(sorted(RECORDS)))]) is not None:
            fakes.records.records[record_id] = SendRecord(record_id, record.revision, record.claim, record.mailed)
    fakes.certcentral.domains = tuple(entries)
    return fakes


def resend(fakes: Fakes, *recipients: tuple[str, ...], force: bool = False) -> tuple[str, ResendResult | None]:
    request = resend_request(*recipients, force=force)
    try:
        result = fakes.resender(NOW, all_order_types=True).resend(request, fakes.invocation(NOW))
    except ResendError as error:
        return type(error).__name__, None
    return result.outcome, result


@settings(max_examples=150, deadline=None)
@given(
    worlds(),
    st.lists(
        st.sampled_from(
            [*((scope, f"admin@{scope}") for scope in SCOPES), JANE_B, ("www.a.test", "admin@a.test", "a.test")]
        ),
        max_size=3,
    ),
    st.booleans(),
)
def test_plan_says_what_a_resend_does(fakes: Fakes, recipients: list[tuple[str, ...]], force: bool) -> None:
    plan = dry_run(fakes, *recipients, force=force)

    outcome, result = resend(fakes, *recipients, force=force)

    assert outcome == plan.would_be
    planned = [(each.domain_id, each.upstream_body) for each in plan.domains or () if each.outcome == "sent"]
    assert sorted(fakes.certcentral.domain_puts) == sorted(planned)
    if result is not None:
        assert result.request == plan.request.__class__(**vars(plan.request) | {"dry_run": False})


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_every_accepted_address_is_accepted_as_listed(fakes: Fakes) -> None:
    plan = dry_run(fakes)
    named: list[tuple[str, ...]] = [(name.name, address) for name in plan.names for address in name.accepted]
    named += [(name.name, *parent) for name in plan.names for parent in name.accepted_at_parents]

    for recipient in named:
        fakes.records.records.clear()
        assert resend(fakes, recipient)[0] == "sent", recipient


def test_time_that_ends_before_the_lists_is_an_error(fakes: Fakes) -> None:
    fakes.certcentral.errors["get_domain_emails"] = CertCentralUnavailable("Too little time was left.")

    with pytest.raises(CertCentralUnavailable):
        dry_run(fakes, ADMIN_A)


def test_unknown_outcome_names_its_domain(fakes: Fakes) -> None:
    remember(fakes, "domain#2#b.test", Mailed(NOW - 60, "unknown"))

    plan = dry_run(fakes)

    assert plan.would_be == OutcomeUnknown.__name__
    assert "b.test: an earlier resend may or may not have been sent." in advice(plan)
