"""`Resender.resend` for an order that is not DV: one send per domain, and what each outcome leaves behind."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.domains import scope_of
from dv_resend.core.orders import Domain, DomainEmails, NameStatus, Order
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import ResendRequest
from dv_resend.core.results import MAX_DOMAINS, ResendResult
from dv_resend.core.send_record import Claim, Mailed, SendRecord
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ConfigurationError,
    InvalidRequest,
    OrderNotEligible,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RecipientNotAllowed,
    RecipientUnverified,
    RequestRejected,
    ResendError,
    ResendInProgress,
    SendingPaused,
    SendRecordUnavailable,
)
from unit.fakes import QUERIES, Fakes, outcome_name, resend_request
from unit.samples import error_of

NOW = 1_795_446_245
COOL_DOWN = 3600
AGAIN = COOL_DOWN + 120
DEFAULT = ResendRequest(7)
FORCED = ResendRequest(7, force=True)
SCOPES = {1: "a.example", 2: "b.example", 3: "c.example"}
A, B, C = (Domain(number, scope) for number, scope in SCOPES.items())
ADMIN_A, ADMIN_B, ADMIN_C = ((scope, f"admin@{scope}") for scope in SCOPES.values())
BODIES = [(number, {"name_scope": scope}) for number, scope in SCOPES.items()]
KILLED = KeyboardInterrupt()


def entry(domain_id: int, *names: str, status: str = "pending", method: str = "email") -> NameStatus:
    scope = SCOPES[domain_id]
    return NameStatus(scope, status, names or (scope,), domain_id=domain_id, method=method)


@pytest.fixture
def fakes() -> Fakes:
    """An OV order with three domains, of each of which CertCentral lists admin@ and jane@."""
    return ov_order()


def ov_order() -> Fakes:
    fakes = Fakes()
    fakes.certcentral.order = Order(7, "pending", "ssl_certificate", "email", names=tuple(SCOPES.values()))
    fakes.certcentral.domains = tuple(map(entry, SCOPES))
    fakes.certcentral.domain_emails = {
        number: DomainEmails(scope, (f"admin@{scope}", f"jane@{scope}")) for number, scope in SCOPES.items()
    }
    fakes.contacts.published = {scope: Contacts(txt=(f"jane@{scope}",)) for scope in SCOPES.values()}
    return fakes


def resend(
    fakes: Fakes, request: ResendRequest = DEFAULT, *, at: int = 0, delivery_id: str = "call-1", **config: Any
) -> ResendResult:
    """Resend at ``NOW + at``; what became of each domain is in the journal, too."""

    def on_domain(part: ResendRequest, outcome: str | ResendError) -> None:
        fakes.journal.append(("on_domain", part, outcome_name(outcome)))

    invocation = replace(fakes.invocation(NOW + at, delivery_id), on_domain=on_domain)
    return fakes.resender(NOW + at, **{"all_order_types": True, **config}).resend(request, invocation)


def failure[E: BaseException](kind: type[E], fakes: Fakes, request: ResendRequest = DEFAULT, **options: Any) -> E:
    with pytest.raises(kind) as caught:
        resend(fakes, request, **options)
    assert type(caught.value) is kind
    return caught.value


def fail(fakes: Fakes, **errors: BaseException) -> None:
    """Have the PUTs about these domains fail (``b=…``), and no others."""
    fakes.certcentral.errors = {
        f"resend_domain_emails {'abc'.index(name) + 1}": error for name, error in errors.items()
    }


def mailed(fakes: Fakes) -> list[int]:
    """Return the domains of all PUTs, also of those that failed."""
    return [domain_id for domain_id, _ in fakes.certcentral.domain_puts]


def outcomes(fakes: Fakes) -> list[str]:
    return [f"{scope_of(part)[0]} {outcome}" for part, outcome in fakes.journal.calls("on_domain")]


def record_of(fakes: Fakes, domain: Domain) -> SendRecord:
    return fakes.records.of(domain.record_id)


# The order of things


def test_each_domain_is_claimed_sent_and_settled_by_itself(fakes: Fakes) -> None:
    resend(fakes)

    deadline = NOW + 29
    expected: list[tuple[Any, ...]] = [("get_order_status", 7, deadline), ("get_order", 7, deadline)]
    for domain in (A, B, C):
        part = replace(DEFAULT, domain=domain)
        expected += [
            ("load", domain.record_id),
            ("store", ANY),
            ("before_send", part),
            ("resend_domain_emails", domain.domain_id, {"name_scope": domain.scope}, deadline),
            ("settle", ANY),
            ("on_domain", part, "sent"),
        ]
    assert fakes.journal == expected


def test_named_recipients_are_checked_at_all_domains_first(fakes: Fakes) -> None:
    resend(fakes, resend_request(ADMIN_B, ("a.example", "jane@a.example")))

    methods = ["get_order_status", "contacts", "get_order", "get_domain_emails", "get_domain_emails", "load"]
    assert fakes.journal.methods[:6] == methods
    assert fakes.journal.calls("get_domain_emails") == [(2, NOW + 29), (1, NOW + 29)]
    assert fakes.journal.calls("contacts") == [(["a.example"],)]


def test_default_recipients_need_no_list(fakes: Fakes) -> None:
    resend(fakes)

    assert "get_domain_emails" not in fakes.journal.methods


def test_result_has_the_outcome_of_each_domain(fakes: Fakes) -> None:
    result = resend(fakes)

    assert (result.sent_at, result.until) == (NOW, NOW + AGAIN)
    assert result.to_json() == {
        "order_id": 7,
        "outcome": "sent",
        "recipients": "default",
        "skipped": [],
        "sent_at": "2026-11-23T15:04:05Z",
        "domains": [{"name": scope, "id": number, "outcome": "sent"} for number, scope in SCOPES.items()],
    }


@pytest.mark.parametrize(("count", "more"), [(MAX_DOMAINS, None), (MAX_DOMAINS + 1, 1), (MAX_DOMAINS + 50, 50)])
def test_result_lists_at_most_250_domains(count: int, more: int | None) -> None:
    result = ResendResult(DEFAULT, "sent", NOW, NOW + AGAIN, domains=((A, "sent"),) * count).to_json()

    assert (len(result["domains"]), result.get("more_domains")) == (250, more)  # type: ignore[arg-type]


def test_result_without_domains_lists_none() -> None:
    assert "domains" not in ResendResult(DEFAULT, "sent", NOW, NOW + AGAIN).to_json()


def test_locale_is_that_of_every_domain(fakes: Fakes) -> None:
    resend(fakes, resend_request(locale="de"))

    assert fakes.certcentral.domain_puts == [(number, {**body, "locale": "de"}) for number, body in BODIES]


def test_only_domains_that_are_open_by_email_are_mailed(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(1, status="approved"), entry(2, method="dns-txt-token"), entry(3))

    result = resend(fakes)

    assert fakes.certcentral.domain_puts == BODIES[2:]
    assert result.domains == ((C, "sent"),)


# The order


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (Order(7, "issued", "ssl_certificate", "email"), "not_pending"),
        (Order(7, "needs_approval", "ssl_certificate", "email"), "needs_approval"),
    ],
    ids=["issued", "needs approval"],
)
@pytest.mark.parametrize("request_", [DEFAULT, resend_request(("a.example", "admin@x.test"))], ids=["all", "named"])
def test_order_that_waits_for_nobody_is_refused_first(
    fakes: Fakes, order: Order, reason: str, request_: ResendRequest
) -> None:
    fakes.certcentral.order = order
    fakes.certcentral.domains = ()

    assert failure(OrderNotEligible, fakes, request_).reason == reason
    assert mailed(fakes) == []


@pytest.mark.parametrize("status", ["pending", "reissue_pending", "Pending"])
def test_pending_order_of_another_method_has_open_domains(fakes: Fakes, status: str) -> None:
    fakes.certcentral.order = Order(7, status, "ssl_certificate", "dns-txt-token")

    assert resend(fakes).outcome == "sent"


def test_method_of_the_validation_counts_if_there_is_no_other(fakes: Fakes) -> None:
    fakes.certcentral.domains = (NameStatus("a.example", "pending", domain_id=1),)
    fakes.certcentral.order = Order(7, "pending", "ssl_certificate", None)
    failure(OrderNotEligible, fakes)
    status = fakes.certcentral.get_order_status
    fakes.certcentral.get_order_status = (  # type: ignore[method-assign]
        lambda *asked: replace(status(*asked), dcv_method="email")
    )

    assert resend(fakes).outcome == "sent"


@pytest.mark.parametrize("organization", [(), ("pending",)])
@pytest.mark.parametrize("request_", [DEFAULT, resend_request(ADMIN_A), FORCED], ids=["all", "named", "forced"])
def test_order_with_validated_domains_is_refused(
    fakes: Fakes, request_: ResendRequest, organization: tuple[str, ...]
) -> None:
    fakes.certcentral.domains = tuple(entry(number, status="approved") for number in SCOPES)
    fakes.certcentral.organization = organization

    error = failure(OrderNotEligible, fakes, request_)

    assert error.reason == "already_validated"
    assert ("organization" in error.message) == bool(organization)
    assert fakes.journal.methods == QUERIES


def test_open_organization_does_not_prevent_a_send(fakes: Fakes) -> None:
    fakes.certcentral.organization = ("pending",)

    assert resend(fakes).outcome == "sent"


def test_order_without_open_email_domain_is_refused(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(1, status="approved"), entry(2, "b.example", "c.example", method="http-token"))

    assert failure(OrderNotEligible, fakes).reason == "not_email_dcv"
    assert fakes.journal.methods == QUERIES


def test_order_without_names_is_refused(fakes: Fakes) -> None:
    fakes.certcentral.domains = ()
    fakes.certcentral.order = replace(fakes.certcentral.order, names=())

    assert failure(OrderNotEligible, fakes).reason == "not_email_dcv"


@pytest.mark.parametrize(
    "unclear",
    [
        NameStatus("c.example", "pending", method="email"),
        NameStatus("", "pending", ("c.example",), domain_id=3),
        NameStatus("", "unknown"),
        entry(2),
    ],
    ids=["no id", "no scope", "unreadable", "name not listed"],
)
@pytest.mark.parametrize("request_", [DEFAULT, resend_request(ADMIN_A)], ids=["all", "named"])
def test_domain_that_is_not_clear_prevents_every_send(
    fakes: Fakes, unclear: NameStatus, request_: ResendRequest
) -> None:
    fakes.certcentral.domains = (entry(1), entry(2), unclear)

    failure(RecipientUnverified, fakes, request_)

    assert fakes.journal.methods == QUERIES


@pytest.mark.parametrize("request_", [DEFAULT, FORCED], ids=["plain", "forced"])
def test_paused_sending_calls_nothing_at_all(fakes: Fakes, request_: ResendRequest) -> None:
    failure(SendingPaused, fakes, request_, sending=False)

    assert fakes.journal == []


# Named recipients


def test_only_domains_of_named_recipients_are_mailed(fakes: Fakes) -> None:
    result = resend(fakes, resend_request(ADMIN_C, ADMIN_A, ("c.example", "jane@c.example")))

    assert fakes.certcentral.domain_puts == [
        (3, {"name_scope": "c.example", "email_array": ["admin@c.example", "jane@c.example"]}),
        (1, {"name_scope": "a.example", "email_array": ["admin@a.example"]}),
    ]
    assert result.domains == ((C, "sent"), (A, "sent"))
    assert result.to_json()["recipients"] == ["admin@c.example", "jane@c.example", "admin@a.example"]


@pytest.mark.parametrize("name", ["www.a.example", "*.a.example", "*.www.a.example"])
def test_recipient_is_matched_by_name_or_scope(fakes: Fakes, name: str) -> None:
    fakes.certcentral.domains = (entry(1, "www.a.example"), entry(2), entry(3))
    recipient = {"domain": name, "email": "admin@a.example", "email_domain": "a.example"}

    resend(fakes, ResendRequest.from_input({"order_id": 7, "domain_approval_emails": [recipient]}))

    assert fakes.certcentral.domain_puts == [(1, {"name_scope": "a.example", "email_array": ["admin@a.example"]})]


def test_name_that_only_the_order_lists_may_be_named(fakes: Fakes) -> None:
    fakes.certcentral.order = replace(fakes.certcentral.order, names=("a.example", "www.a.example"))

    result = resend(fakes, resend_request(("www.a.example", "admin@a.example", "a.example")))

    assert (result.request.addresses, mailed(fakes)) == (["admin@a.example"], [1])


def test_address_is_sent_as_certcentral_spells_it(fakes: Fakes) -> None:
    fakes.certcentral.domain_emails[1] = DomainEmails("a.example", ("Admin@A.example",))

    result = resend(fakes, resend_request(ADMIN_A))

    assert fakes.certcentral.domain_puts[0][1]["email_array"] == ["Admin@A.example"]
    assert result.request.addresses == ["Admin@A.example"]


@pytest.mark.parametrize(
    ("emails", "error"),
    [
        (DomainEmails("b.example", ("jane@b.example",)), RecipientNotAllowed),
        (DomainEmails("b.example", ()), RecipientNotAllowed),
        (DomainEmails("a.example", ("admin@b.example",)), RecipientUnverified),
        *((DomainEmails(scope, ("admin@b.example",)), None) for scope in ("b.example", "*.B.example", None)),
    ],
    ids=["not listed", "empty list", "other scope", "same scope", "spelt otherwise", "no scope"],
)
@pytest.mark.parametrize("check_recipients", [True, False], ids=["checked", "unchecked"])
def test_list_of_one_domain_decides_about_all(
    fakes: Fakes, emails: DomainEmails, error: type[ResendError] | None, check_recipients: bool
) -> None:
    fakes.certcentral.domain_emails[2] = emails
    request = resend_request(ADMIN_A, ADMIN_B)

    if error is None:
        assert resend(fakes, request, check_recipients=check_recipients).outcome == "sent"
    else:
        failure(error, fakes, request, check_recipients=check_recipients)
        assert "load" not in fakes.journal.methods


@pytest.mark.parametrize("kind", [RateLimited, CertCentralUnavailable, PermissionDenied, RequestRejected])
def test_failed_list_prevents_every_send(fakes: Fakes, kind: type[ResendError]) -> None:
    fakes.certcentral.errors["get_domain_emails"] = kind("x")

    error = failure(kind, fakes, resend_request(ADMIN_A, ADMIN_B))

    assert error.message == "The addresses of a.example could not be listed, so nothing was sent: x"
    assert "load" not in fakes.journal.methods


@pytest.mark.parametrize(
    ("recipient", "error", "reason"),
    [
        (("b.example", "admin@elsewhere.test"), RecipientNotAllowed, "[1].email"),
        (("elsewhere.test", "admin@elsewhere.test"), RecipientNotAllowed, "[1].domain"),
        (("b.example", "joe@b.example"), RecipientNotAllowed, "[1].email"),
        (("c.example", "admin@c.example"), RecipientNotAllowed, "[1].domain"),
    ],
    ids=["foreign", "not on the order", "not published", "other method"],
)
def test_refused_recipient_prevents_every_send(
    fakes: Fakes, recipient: tuple[str, str], error: type[ResendError], reason: str
) -> None:
    fakes.certcentral.domains = (entry(1), entry(2), entry(3, method="dns-txt-token"))

    assert failure(error, fakes, resend_request(ADMIN_A, recipient)).code.endswith(reason)
    assert {"load", "get_domain_emails"}.isdisjoint(fakes.journal.methods)


def test_unanswered_dns_prevents_every_send(fakes: Fakes) -> None:
    fakes.contacts.is_down = True

    failure(RecipientUnverified, fakes, resend_request(ADMIN_A, ("b.example", "jane@b.example")))

    assert "load" not in fakes.journal.methods


def test_unchecked_recipient_of_no_domain_is_unverified(fakes: Fakes) -> None:
    request = resend_request(ADMIN_A, ("elsewhere.test", "admin@elsewhere.test"))

    failure(RecipientUnverified, fakes, request, check_recipients=False)

    assert "load" not in fakes.journal.methods


def test_validated_recipient_is_skipped(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(1, status="approved"), entry(2), entry(3))

    answer = resend(fakes, resend_request(ADMIN_A, ADMIN_B)).to_json()

    assert mailed(fakes) == [2]
    assert answer["recipients"] == ["admin@b.example"]
    assert answer["skipped"] == [{"domain": "a.example", "email": "admin@a.example", "reason": "validated"}]
    assert answer["domains"] == [{"name": "b.example", "id": 2, "outcome": "sent"}]


def test_only_validated_recipients_are_refused(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(1, status="approved"), entry(2), entry(3))

    error = failure(OrderNotEligible, fakes, resend_request(ADMIN_A))

    assert error.reason == "already_validated"
    assert "still waiting for b.example, c.example" in error.message
    assert mailed(fakes) == []


def test_refused_recipient_keeps_its_index_after_a_skipped_one(fakes: Fakes) -> None:
    fakes.certcentral.domains = (entry(1, status="approved"), entry(2), entry(3))
    fakes.certcentral.domain_emails[2] = DomainEmails(None, ())

    error = failure(RecipientNotAllowed, fakes, resend_request(ADMIN_A, ADMIN_B))

    assert error.code == "recipient_not_allowed|domain_approval_emails[1].email"


# Repeats


def test_repeat_is_a_duplicate_at_every_domain(fakes: Fakes) -> None:
    resend(fakes)

    repeat = resend(fakes, at=600)

    assert (repeat.outcome, repeat.sent_at, repeat.until) == ("duplicate", NOW, NOW + AGAIN)
    assert repeat.domains == ((A, "duplicate"), (B, "duplicate"), (C, "duplicate"))
    assert outcomes(fakes)[3:] == ["a duplicate", "b duplicate", "c duplicate"]
    assert mailed(fakes) == [1, 2, 3]


def test_cool_down_ends_for_each_domain_by_itself(fakes: Fakes) -> None:
    resend(fakes, resend_request(ADMIN_A))
    resend(fakes, resend_request(ADMIN_B), at=60)

    result = resend(fakes, at=AGAIN)

    assert result.domains == ((A, "sent"), (B, "duplicate"), (C, "sent"))
    assert (result.outcome, result.sent_at) == ("sent", NOW + AGAIN)
    # The first domain that may be mailed again.
    assert result.until == NOW + 60 + AGAIN


def test_time_of_a_send_is_not_that_of_a_duplicate(fakes: Fakes) -> None:
    """Another invocation, whose clock is ahead, may have mailed about a domain a moment ago."""
    resend(fakes, resend_request(ADMIN_A), at=60)

    assert resend(fakes).sent_at == NOW


def test_last_email_is_that_of_a_duplicate(fakes: Fakes) -> None:
    resend(fakes, resend_request(ADMIN_A))
    resend(fakes, resend_request(ADMIN_B), at=60)

    repeat = resend(fakes, resend_request(ADMIN_A, ADMIN_B), at=90)

    assert (repeat.sent_at, repeat.until) == (NOW + 60, NOW + AGAIN)
    assert repeat.earlier == (("admin@a.example", NOW), ("admin@b.example", NOW + 60))


def test_named_repeat_of_a_default_send_is_only_perhaps_mailed(fakes: Fakes) -> None:
    resend(fakes)

    repeat = resend(fakes, resend_request(ADMIN_A, ADMIN_B), at=60)

    assert repeat.outcome == "duplicate"
    assert (repeat.earlier, repeat.perhaps) == ((), (("admin@a.example", NOW), ("admin@b.example", NOW)))


def test_cool_down_is_that_of_the_settings(fakes: Fakes) -> None:
    resend(fakes, cool_down_seconds=7200)

    assert resend(fakes, at=7200, cool_down_seconds=7200).outcome == "duplicate"
    assert resend(fakes, at=7320, cool_down_seconds=7200).outcome == "sent"


def test_recipients_of_a_duplicate_domain_are_skipped(fakes: Fakes) -> None:
    resend(fakes, resend_request(ADMIN_A))

    answer = resend(fakes, resend_request(ADMIN_A, ADMIN_B), at=60).to_json()

    assert (answer["outcome"], answer["recipients"]) == ("sent", ["admin@b.example"])
    assert answer["skipped"] == [{"domain": "a.example", "email": "admin@a.example", "reason": "already_mailed"}]
    assert answer["domains"] == [
        {"name": "a.example", "id": 1, "outcome": "duplicate"},
        {"name": "b.example", "id": 2, "outcome": "sent"},
    ]


@pytest.mark.parametrize(
    ("error", "reason"), [(None, "already_mailed"), (OutcomeUnknown("x"), "maybe_mailed")], ids=["sent", "unknown"]
)
def test_recipient_mailed_before_is_skipped_at_its_domain(
    fakes: Fakes, error: OutcomeUnknown | None, reason: str
) -> None:
    if error is None:
        resend(fakes, resend_request(ADMIN_A))
    else:
        fail(fakes, a=error)
        failure(OutcomeUnknown, fakes, resend_request(ADMIN_A))
    fail(fakes)

    result = resend(fakes, resend_request(ADMIN_A, ("a.example", "jane@a.example")), at=60)

    assert fakes.certcentral.domain_puts[1][1]["email_array"] == ["jane@a.example"]
    assert result.to_json()["skipped"] == [{"domain": "a.example", "email": "admin@a.example", "reason": reason}]
    # The audit line has the part as it was sent.
    ((_, first), (part, outcome)) = fakes.journal.calls("on_domain")
    assert (first, outcome) == ("sent" if error is None else "OutcomeUnknown", "sent")
    assert (part.addresses, [each.reason for each in part.skipped]) == (["jane@a.example"], [reason])


def test_duplicate_of_all_keeps_its_recipients(fakes: Fakes) -> None:
    resend(fakes, resend_request(ADMIN_A, ADMIN_B))

    answer = resend(fakes, resend_request(ADMIN_A, ADMIN_B), at=60).to_json()

    assert answer["recipients"] == ["admin@a.example", "admin@b.example"]
    assert answer["skipped"] == []


def test_domain_shared_by_two_orders_is_mailed_once(fakes: Fakes) -> None:
    resend(fakes)
    fakes.certcentral.domains = (entry(3, "www.c.example"), replace(entry(1), scope="d.example", domain_id=4))
    fakes.certcentral.order = replace(fakes.certcentral.order, names=("www.c.example",))

    result = resend(fakes, ResendRequest(8), at=60)

    assert result.domains == ((C, "duplicate"), (Domain(4, "d.example"), "sent"))
    assert mailed(fakes) == [1, 2, 3, 4]


def test_person_of_a_shared_domain_is_mailed_once(fakes: Fakes) -> None:
    named = resend_request(("www.c.example", "admin@c.example", "c.example"), order_id=8)
    resend(fakes, resend_request(ADMIN_C))
    fakes.certcentral.domains = (entry(3, "www.c.example"),)
    fakes.certcentral.order = replace(fakes.certcentral.order, names=("www.c.example",))

    assert resend(fakes, named, at=60).outcome == "duplicate"
    assert mailed(fakes) == [3]


def test_person_of_a_domain_is_known_by_any_name_of_it(fakes: Fakes) -> None:
    """Another order may show the name at a wider scope, too, and may not have the name of the first at all."""
    wider = NameStatus("example", "approved", ("x.c.example",), domain_id=9)
    fakes.certcentral.domains = (wider, entry(3, "x.c.example"))
    fakes.certcentral.order = replace(fakes.certcentral.order, names=())
    resend(fakes, resend_request(("x.c.example", "admin@c.example", "c.example")), check_recipients=False)
    fakes.certcentral.domains = (entry(3, "y.c.example"),)

    named = resend_request(("y.c.example", "admin@c.example", "c.example"), order_id=8)

    assert resend(fakes, named, at=60).outcome == "duplicate"
    assert mailed(fakes) == [3]


def test_same_scope_of_another_domain_has_its_own_record(fakes: Fakes) -> None:
    resend(fakes, resend_request(ADMIN_A))
    fakes.certcentral.domains = (replace(entry(1), domain_id=9), entry(2), entry(3))

    assert resend(fakes, at=60).domains[0] == (Domain(9, "a.example"), "sent")


def test_calls_at_once_mail_about_each_domain_once(fakes: Fakes) -> None:
    """Whoever finds a domain in progress goes on to the next, so that several calls may share the work."""
    calls = 6
    # All have read the record of the first domain before one claims it.
    first = Barrier(calls, timeout=60)
    waited = threading.local()

    def before_store() -> None:
        if not getattr(waited, "once", False):
            waited.once = True
            first.wait()

    fakes.records.before_store = before_store

    def call(_number: int) -> str:
        try:
            return resend(fakes).outcome
        except ResendInProgress:
            return "in progress"

    with ThreadPoolExecutor(calls) as pool:
        answers = list(pool.map(call, range(calls)))

    assert sorted(mailed(fakes)) == [1, 2, 3]
    assert set(answers) <= {"sent", "duplicate", "in progress"}


def test_record_of_the_order_is_not_touched(fakes: Fakes) -> None:
    resend(fakes, FORCED)

    assert fakes.records.records.keys() == {"domain#1#a.example", "domain#2#b.example", "domain#3#c.example"}


# Forced calls


def test_forced_call_mails_about_every_domain_again(fakes: Fakes) -> None:
    resend(fakes)

    assert resend(fakes, FORCED, at=60, delivery_id="call-2").outcome == "sent"
    assert mailed(fakes) == [1, 2, 3] * 2


def test_redelivered_forced_call_mails_nobody(fakes: Fakes) -> None:
    resend(fakes, FORCED, delivery_id="event")

    repeat = resend(fakes, FORCED, at=AGAIN + 60, delivery_id="event")

    assert (repeat.outcome, len(mailed(fakes))) == ("duplicate", 3)


def test_redelivered_forced_call_sends_the_rest(fakes: Fakes) -> None:
    resend(fakes)
    fail(fakes, b=RateLimited("x"))
    failure(OutcomeUnknown, fakes, FORCED, at=60, delivery_id="event")
    fail(fakes)

    result = resend(fakes, FORCED, at=120, delivery_id="event")

    assert result.domains == ((A, "duplicate"), (B, "sent"), (C, "sent"))
    assert mailed(fakes) == [1, 2, 3, 1, 2, 2, 3]


@pytest.mark.parametrize("kind", [RateLimited, CertCentralUnavailable, SendRecordUnavailable])
def test_forced_call_sent_in_part_invites_no_repeat(fakes: Fakes, kind: type[ResendError]) -> None:
    """A repeat would have an id of its own, and mail about the first domain again."""
    fail(fakes, b=kind("Stopped.", retry_after=7, upstream_status=429))

    error = failure(OutcomeUnknown, fakes, FORCED)

    assert error.message.startswith("b.example: Stopped. Sent: a.example. Left: 2 of 3 domains (b.example, c.example).")
    assert "a repeat sends these only" not in error.message
    assert "Do not repeat the forced call" in error.message
    assert (error.retry_after, error.upstream_status) == (None, 429)


@pytest.mark.parametrize("kind", [RateLimited, CertCentralUnavailable])
def test_forced_call_that_sent_nothing_may_be_repeated(fakes: Fakes, kind: type[ResendError]) -> None:
    fail(fakes, a=kind("Stopped."))

    assert "Left: 3 of 3" in failure(kind, fakes, FORCED).message


@pytest.mark.parametrize("kind", [ApiKeyRejected, RequestRejected])
def test_final_error_of_a_forced_call_stays_itself(fakes: Fakes, kind: type[ResendError]) -> None:
    fail(fakes, b=kind("x"))

    failure(kind, fakes, FORCED)


# Errors of one domain


def busy(fakes: Fakes) -> None:
    """Have another invocation send about the second domain."""
    claimed = SendRecord(B.record_id, "a revision", claim=Claim("another", NOW + 29))
    fakes.records.records[B.record_id] = claimed


@pytest.mark.parametrize(
    ("arrange", "kind", "message", "tried"),
    [
        (lambda fakes: fail(fakes, b=RequestRejected("Refused.")), RequestRejected, "Refused.", [1, 2, 3]),
        (lambda fakes: fail(fakes, b=OutcomeUnknown("Perhaps.")), OutcomeUnknown, "Perhaps.", [1, 2, 3]),
        (lambda fakes: fail(fakes, b=ValueError("A bug.")), OutcomeUnknown, "DV Resend failed (ValueError)", [1, 2, 3]),
        (busy, ResendInProgress, "Emails of domain b.example are being sent right now.", [1, 3]),
    ],
    ids=["refused", "unknown", "bug", "in progress"],
)
def test_error_of_one_domain_does_not_stop_the_others(
    fakes: Fakes, arrange: Callable[[Fakes], None], kind: type[ResendError], message: str, tried: list[int]
) -> None:
    arrange(fakes)

    error = failure(kind, fakes)

    assert mailed(fakes) == tried
    assert error.message.startswith(f"b.example: {message}")
    assert " Sent: a.example, c.example." in error.message
    assert outcomes(fakes) == ["a sent", f"b {kind.__name__}", "c sent"]


@pytest.mark.parametrize(
    ("kind", "repeated", "tried"),
    [(RequestRejected, "sent", [2]), (OutcomeUnknown, "OutcomeUnknown", [])],
)
def test_repeat_after_an_error_of_one_domain_sends_the_rest(
    fakes: Fakes, kind: type[ResendError], repeated: str, tried: list[int]
) -> None:
    fail(fakes, b=kind("x"))
    failure(kind, fakes)
    fail(fakes)
    fakes.journal.clear()

    if kind is RequestRejected:
        assert resend(fakes, at=60).outcome == "sent"
    else:
        said = failure(OutcomeUnknown, fakes, at=60).message
        assert said.startswith("b.example: An earlier resend of domain b.example may or may not have been sent.")
        assert "Already mailed: a.example, c.example." in said

    assert mailed(fakes) == tried
    assert outcomes(fakes) == ["a duplicate", f"b {repeated}", "c duplicate"]


@pytest.mark.parametrize("kind", [kind for kind in ResendError.__subclasses__() if kind.scope == "order"])
def test_every_order_error_lets_the_other_domains_be_sent(fakes: Fakes, kind: type[ResendError]) -> None:
    fail(fakes, a=error_of(kind))

    error = failure(kind, fakes)

    assert mailed(fakes) == [1, 2, 3]
    assert error.message.startswith("a.example: ")


def test_refused_domain_leaves_no_trace(fakes: Fakes) -> None:
    fail(fakes, b=RequestRejected("x"))

    failure(RequestRejected, fakes)

    assert (record_of(fakes, B).mailed, record_of(fakes, B).claim) == ({}, None)
    assert record_of(fakes, C).mailed == {"default": Mailed(NOW, "sent")}


def test_unknown_outcome_comes_before_other_errors(fakes: Fakes) -> None:
    fail(fakes, a=RequestRejected("x"), c=OutcomeUnknown("Perhaps."))
    busy(fakes)

    error = failure(OutcomeUnknown, fakes)

    assert error.message.startswith("c.example: Perhaps.")
    assert "RequestRejected: a.example." in error.message
    assert "ResendInProgress: b.example." in error.message


def test_domain_with_too_many_people_does_not_stop_the_others(fakes: Fakes) -> None:
    people = {str(number): Mailed(NOW, "sent") for number in range(2000)}
    fakes.records.records[A.record_id] = SendRecord(A.record_id, "a revision", mailed=people)

    error = failure(InvalidRequest, fakes, resend_request(ADMIN_A, ADMIN_B))

    assert "Sent: b.example." in error.message
    assert mailed(fakes) == [2]


def test_error_shows_no_address_in_clear(fakes: Fakes) -> None:
    fail(fakes, a=OutcomeUnknown("Perhaps."), b=RequestRejected("Refused."))
    request = resend_request(("a.example", "jane@a.example"), ("b.example", "jane@b.example"))

    assert "jane" not in str(failure(OutcomeUnknown, fakes, request))


# Errors of the account


ACCOUNT_ERRORS = [ApiKeyRejected, PermissionDenied, RateLimited, CertCentralUnavailable, ConfigurationError]


@pytest.mark.parametrize("kind", ACCOUNT_ERRORS)
def test_error_of_the_account_stops_at_once(fakes: Fakes, kind: type[ResendError]) -> None:
    fail(fakes, b=kind("Stopped."))

    error = failure(kind, fakes)

    assert mailed(fakes) == [1, 2]
    assert error.message == (
        "b.example: Stopped. Sent: a.example. Left: 2 of 3 domains (b.example, c.example); a repeat sends these only."
    )
    assert outcomes(fakes) == ["a sent", f"b {kind.__name__}"]


@pytest.mark.parametrize("kind", ACCOUNT_ERRORS)
def test_repeat_after_an_error_of_the_account_sends_the_rest(fakes: Fakes, kind: type[ResendError]) -> None:
    fail(fakes, b=kind("x"))
    failure(kind, fakes)
    fail(fakes)

    result = resend(fakes, at=60)

    assert result.domains == ((A, "duplicate"), (B, "sent"), (C, "sent"))
    assert mailed(fakes) == [1, 2, 2, 3]


@pytest.mark.parametrize("step", ["load", "store"])
def test_record_that_is_unavailable_stops_at_once(fakes: Fakes, step: str) -> None:
    fakes.records.errors[step] = SendRecordUnavailable("x")

    assert "Left: 3 of 3 domains" in failure(SendRecordUnavailable, fakes).message
    assert mailed(fakes) == []


def test_unknown_outcome_comes_before_the_error_that_stops(fakes: Fakes) -> None:
    fail(fakes, a=OutcomeUnknown("Perhaps."), b=RateLimited("x"))

    error = failure(OutcomeUnknown, fakes)

    assert error.message.startswith("a.example: Perhaps. Left: 2 of 3 domains (b.example, c.example)")
    assert mailed(fakes) == [1, 2]


@pytest.mark.parametrize(("seconds", "tried"), [(3.1, [1, 2, 3]), (2.9, [])])
def test_too_little_time_leaves_the_domains_alone(fakes: Fakes, seconds: float, tried: list[int]) -> None:
    invocation = replace(fakes.invocation(NOW), deadline=NOW + seconds)
    resender = fakes.resender(NOW, all_order_types=True)

    if tried:
        resender.resend(DEFAULT, invocation)
    else:
        with pytest.raises(CertCentralUnavailable, match="Left: 3 of 3 domains"):
            resender.resend(DEFAULT, invocation)

    assert mailed(fakes) == tried


def test_error_says_of_its_own_domain_only_that_it_was_unsent(fakes: Fakes) -> None:
    fail(fakes, b=RateLimited("Too many. Nothing was sent."))

    assert failure(RateLimited, fakes).message.startswith(
        "b.example: Too many. Nothing was sent there. Sent: a.example."
    )


def test_killed_function_leaves_the_rest_to_a_repeat(fakes: Fakes) -> None:
    fakes.certcentral.while_sending = lambda: fakes.records.errors.update(
        {"settle": KILLED} if mailed(fakes) == [1, 2] else {}
    )
    failure(KeyboardInterrupt, fakes)
    fakes.records.errors.clear()

    # The claim of the killed one is dead by then.
    error = failure(OutcomeUnknown, fakes, at=180)

    assert error.message.startswith("b.example: An earlier resend")
    assert "Sent: c.example. " in error.message
    assert mailed(fakes) == [1, 2, 3]


# Property: errors in any order, then repeats without


FAULTS: dict[str, Callable[[], BaseException]] = {
    "unsent": lambda: RateLimited("x"),
    "refused": lambda: RequestRejected("x"),
    "unknown": lambda: OutcomeUnknown("x"),
    "bug": lambda: ValueError("x"),
    "killed": KeyboardInterrupt,
}
PERHAPS = (None, "unknown", "bug", "killed")
STEPS = st.lists(
    st.tuples(st.lists(st.sampled_from([None, None, *FAULTS]), min_size=3, max_size=3), st.booleans()), max_size=6
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(STEPS, st.sampled_from([(), (ADMIN_C, ADMIN_A, ADMIN_B)]))
def test_repeats_end_with_one_email_per_domain(
    steps: list[tuple[Sequence[str | None], bool]], recipients: tuple[tuple[str, str], ...]
) -> None:
    fakes, request = ov_order(), resend_request(*recipients)
    # The domains about which somebody may have been mailed, and those whose refused send nobody recorded as such.
    perhaps: list[int] = []
    unsettled: set[int] = set()
    doubtful = False

    for number, (faults, is_killed_in_settle) in enumerate([*steps, ([None] * 3, False), ([None] * 3, False)]):
        fakes.certcentral.errors = {
            f"resend_domain_emails {domain_id}": FAULTS[fault]()
            for domain_id, fault in enumerate(faults, 1)
            if fault is not None
        }
        fakes.records.errors = {"settle": KeyboardInterrupt()} if is_killed_in_settle else {}
        before = len(mailed(fakes))
        try:
            # Each time, a claim that nobody settled is dead, and all are within the cool-down.
            answer: str = resend(fakes, request, at=number * 200).outcome
        except (ResendError, KeyboardInterrupt) as error:
            answer = type(error).__name__
        tried = mailed(fakes)[before:]
        perhaps += [domain_id for domain_id in tried if faults[domain_id - 1] in PERHAPS]
        unsettled |= {domain_id for domain_id in tried if faults[domain_id - 1] not in PERHAPS and is_killed_in_settle}
        doubtful |= any(faults[domain_id - 1] in PERHAPS[1:] or is_killed_in_settle for domain_id in tried)

    assert sorted([*perhaps, *unsettled]) == [1, 2, 3]
    assert answer == ("OutcomeUnknown" if doubtful else "duplicate")
    assert fakes.certcentral.puts == []
