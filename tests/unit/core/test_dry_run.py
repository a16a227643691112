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
from dv_resend.core.plan import NameReport, ResendPlan
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import ResendRequest
from dv_resend.core.resend import ResendResult
from dv_resend.core.send_record import MAX_PEOPLE, Claim, Mailed, SendRecord
from dv_resend.errors import OrderNotFound, RecipientNotAllowed, ResendError, SendingPaused
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


@pytest.fixture
def fakes() -> Fakes:
    fakes = Fakes()
    fakes.certcentral.order = order_of()
    fakes.certcentral.domains = validation("example.com")
    return fakes


def dry_run(fakes: Fakes, *recipients: tuple[str, ...], force: bool = False, **config: bool) -> ResendPlan:
    """Plan the resend, and check that the answer can be JSON."""
    request = resend_request(*recipients, force=force, dry_run=True)
    plan = fakes.resender(NOW, **config).dry_run(request, fakes.invocation(NOW, "call-2"))
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


def test_dry_run_only_reads(fakes: Fakes) -> None:
    plan = dry_run(fakes)

    assert fakes.journal.methods == [*QUERIES, "contacts", "load", "has_mx"]
    assert fakes.journal[:2] == [("get_order_status", 7, NOW + 29), ("get_order", 7, NOW + 29)]
    # The lookups share one budget of time.
    assert fakes.contacts.lookups == 1
    assert plan.at == NOW


@pytest.mark.parametrize("query", QUERIES)
def test_query_error_is_raised(fakes: Fakes, query: str) -> None:
    fakes.certcentral.errors[query] = OrderNotFound("x")

    with pytest.raises(OrderNotFound):
        dry_run(fakes)

    assert fakes.contacts.lookups == 0


def test_ineligible_order_is_reported_without_lookups(fakes: Fakes) -> None:
    fakes.certcentral.order = order_of("issued")

    plan = dry_run(fakes, JANE)

    answer = plan.to_json()
    assert (answer["would_be"], answer["code"]) == ("OrderNotEligible", "order_not_eligible|not_pending")
    assert len(plan.advice) == 1
    assert (plan.order, answer["recipients"]) == (order_of("issued"), ["jane@mail.test"])
    assert answer["names"] == [
        {"name": "example.com", "status": "pending", "accepted": [], "accepted_at_parents": [], "mailed": [], "mx": {}}
    ]
    assert fakes.journal.methods == QUERIES


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


def test_name_listed_only_by_the_order_is_reported_as_unknown(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("example.org", status="approved")
    fakes.certcentral.order = order_of(names=["example.org", "*.example.com"])

    plan = dry_run(fakes, ADMIN)

    assert [name.name for name in plan.names] == ["example.org", "*.example.com"]
    assert report(plan, "*.example.com") == {
        "name": "*.example.com",
        "status": "unknown",
        "accepted": constructed_addresses("example.com"),
        "accepted_at_parents": [],
        "mailed": ["admin@example.com"],
        "mx": {"example.com": False},
    }


@pytest.mark.parametrize(("status", "validated"), [("pending", False), ("approved", True)])
def test_unreadable_name_is_reported_as_unknown(fakes: Fakes, status: str, validated: bool) -> None:
    fakes.certcentral.domains = (NameStatus("", status), *validation("example.com"))

    plan = dry_run(fakes)

    assert plan.names[0] == NameReport("unknown", status, validated)
    assert looked_up(fakes) == ["example.com"]


def test_scope_without_names_is_reported_as_a_name(fakes: Fakes) -> None:
    fakes.certcentral.domains = (NameStatus("example.com", "pending"),)

    assert report(dry_run(fakes))["accepted"] == constructed_addresses("example.com")


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


def at_parents(*domains: str) -> list[dict[str, str]]:
    """Return the entries of the constructed addresses at these domains."""
    return [{"email": email, "email_domain": domain} for domain in domains for email in constructed_addresses(domain)]


def test_address_at_a_parent_is_listed_with_its_email_domain(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("*.b.a.example.co.uk")

    found = report(dry_run(fakes), "*.b.a.example.co.uk")

    assert found["accepted"] == constructed_addresses("b.a.example.co.uk")
    assert found["accepted_at_parents"] == at_parents("a.example.co.uk", "example.co.uk")


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


def test_mailed_are_addresses_named_for_the_scope(fakes: Fakes) -> None:
    fakes.certcentral.domains = (NameStatus("example.com", "pending", ("www.example.com",)),)

    plan = dry_run(fakes, ADMIN)

    assert plan.to_json()["upstream_body"] == resend_request(ADMIN).upstream_body
    assert report(plan, "www.example.com")["mailed"] == ["admin@example.com"]


def test_mail_hosts_of_a_name_are_reported(fakes: Fakes) -> None:
    fakes.certcentral.domains = validation("www.example.com")
    fakes.contacts.mx = {"www.example.com": None, "example.com": True}

    assert report(dry_run(fakes), "www.example.com")["mx"] == {"www.example.com": None, "example.com": True}


def test_unanswered_contacts_are_not_known(fakes: Fakes) -> None:
    fakes.contacts.published["example.com"] = UNANSWERED

    plan = dry_run(fakes)

    assert (plan.would_be, [name.contacts_known for name in plan.names]) == ("sent", [False])


def test_refused_request_mails_nobody_but_shows_who_is_accepted(fakes: Fakes) -> None:
    plan = dry_run(fakes, ADMIN, JANE)

    assert plan.to_json()["code"] == "recipient_not_allowed|domain_approval_emails[1].email"
    assert plan.advice[0].startswith("domain_approval_emails[1].email: ")
    assert plan.names[0].mailed == ()
    assert report(plan)["accepted"] == constructed_addresses("example.com")


def test_unchecked_recipients_would_be_mailed_as_they_are(fakes: Fakes) -> None:
    recipients = [JANE, ("elsewhere.test", "it@mail.test")]

    plan = dry_run(fakes, *recipients, check_recipients=False)

    answer = plan.to_json()
    assert answer["upstream_body"] == resend_request(*recipients).upstream_body
    assert report(plan)["mailed"] == ["jane@mail.test"]
    # The advice says all the same what the check would say.
    assert isinstance(plan.unenforced_refusal, RecipientNotAllowed)
    assert [path for path, _ in plan.unenforced_refusal.refused] == [
        "domain_approval_emails[0].email",
        "domain_approval_emails[1].domain",
    ]
    assert "j***@mail.test" in plan.advice[0]


def test_domains_of_recipients_are_looked_up_first(fakes: Fakes) -> None:
    """There may be too many names to ask about all of them in time."""
    names = [f"n{number:02}.test" for number in range(40)]
    fakes.certcentral.domains = validation(*names, "z.example.com")

    dry_run(fakes, ("z.example.com", "jane@mail.test"))

    assert looked_up(fakes) == ["z.example.com", *names, "z.example.com"]


def test_names_that_are_not_on_the_order_are_not_looked_up(fakes: Fakes) -> None:
    dry_run(fakes, ("a.b.zz", "jane@a.b.zz"), check_recipients=False)

    assert looked_up(fakes) == ["example.com"]
    assert fakes.journal.calls("has_mx") == [(["example.com"],)]


@pytest.mark.parametrize(
    ("state", "force", "would_be", "until"),
    [
        (None, False, "sent", None),
        ("sent", False, "duplicate", "2026-11-24T13:01:50Z"),
        ("unknown", False, "OutcomeUnknown", "2026-11-24T13:02:19Z"),
        ("sending", False, "ResendInProgress", "2026-11-24T12:02:19Z"),
        ("sent", True, "sent", None),
    ],
)
def test_earlier_resend_is_considered(
    fakes: Fakes, state: State | None, force: bool, would_be: str, until: str | None
) -> None:
    leave(fakes, state)

    answer = dry_run(fakes, force=force).to_json()

    assert (answer["would_be"], answer.get("until"), answer["upstream_body"]) == (would_be, until, {})
    assert "code" not in answer


@pytest.mark.parametrize("first", [(), (ADMIN,)], ids=["default", "named"])
@pytest.mark.parametrize("second", [(), (ADMIN,)], ids=["default", "named"])
def test_default_recipients_and_named_ones_may_be_others(fakes: Fakes, first: Any, second: Any) -> None:
    resend(fakes, *first)

    plan = dry_run(fakes, *second)

    assert (plan.would_be, plan.perhaps_mailed) == ("duplicate", first != second)


def test_more_people_than_the_record_holds_are_refused(fakes: Fakes) -> None:
    people = {f"person {number}": Mailed(NOW, "sent") for number in range(MAX_PEOPLE)}
    fakes.records.records["order#7"] = SendRecord("order#7", "a revision", mailed=people)

    plan = dry_run(fakes, ADMIN)

    assert (plan.would_be, plan.blocked_until, plan.refusal) == ("InvalidRequest", None, None)


def test_refusal_comes_before_an_earlier_resend(fakes: Fakes) -> None:
    leave(fakes, "sent", JANE)

    plan = dry_run(fakes, JANE)

    assert (plan.would_be, plan.blocked_until) == ("RecipientNotAllowed", None)


def test_answer_about_250_names_fits_into_a_workflow_step(fakes: Fakes) -> None:
    names = [f"n{number:03}.example.com" for number in range(250)]
    fakes.certcentral.domains = validation(*names)
    fakes.contacts.mx = dict.fromkeys([*names, "example.com"], True)

    plan = dry_run(fakes, *((name, "admin@example.com", "example.com") for name in names))

    answer: Any = plan.to_json()
    assert len(answer["upstream_body"]["domain_approval_emails"]) == 250
    # A step accepts 256 KiB.
    assert len(json.dumps(answer)) < 128 * 1024


NAMES = ["example.com", "www.example.com", "example.org"]
RECIPIENTS = [
    *(ADMIN, ("*.example.com", "Postmaster@example.com"), ("www.example.com", "admin@example.com")),
    *(("www.example.com", "admin@example.com", "example.com"), ("www.example.com", "jane@mail.test")),
    *(("example.org", "jane@mail.test"), ("example.org", "admin@example.org")),
    ("elsewhere.test", "admin@elsewhere.test"),
    # A scope of the validation, with or without being a name of the order.
    *(("example.com", "jane@mail.test"), ("www.example.com", "jane@mail.test", "example.com")),
]
ANSWERS = [Contacts(), Contacts(txt=("jane@mail.test",)), Contacts(caa=("other@mail.test",)), UNANSWERED]


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
    contacts=st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from(ANSWERS))),
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
        sent = result.to_json()
        assert (answer["recipients"], answer["skipped"]) == (sent["recipients"], sent["skipped"])
        assert plan.blocked_until == (result.until if outcome == "duplicate" else None)
    # A repeat may send again exactly when the resend says so, if waiting helps at all.
    assert outcome != "OutcomeUnknown" or retry_after == ((plan.blocked_until or 0) - NOW or None)
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
