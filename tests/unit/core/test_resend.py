"""`Resender.resend`: in which order things happen, and what each outcome leaves behind."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.addresses import without_wildcard
from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import ResendRequest
from dv_resend.core.resend import ResendResult
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ClaimsUnavailable,
    ConfigurationError,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RecipientNotAllowed,
    RecipientUnverified,
    RequestRejected,
    ResendError,
    ResendInProgress,
    SecretUnavailable,
    SendingPaused,
)
from unit.fakes import QUERIES, Fakes, resend_request

NOW = 1_795_446_245
COOL_DOWN = 3600
# Only DNS can tell that this address may be mailed.
REQUEST = resend_request(("example.com", "jane@example.com"), locale="en")
FORCED = replace(REQUEST, force=True)
DEFAULT = ResendRequest(7)
ADMIN, WWW = ("example.com", "admin@example.com"), ("www.example.com", "hostmaster@www.example.com")
BOTH = resend_request(ADMIN, WWW)
FOREIGN = ("www.example.com", "admin@example.net")
ISSUED = Order(7, "issued", "dv_ssl_certificate", "email")
NAMES_OF_ONE_SCOPE = (
    NameStatus("example.com", "approved", ("example.com",)),
    NameStatus("example.com", "pending", ("www.example.com",)),
)


@pytest.fixture
def fakes() -> Fakes:
    fakes = Fakes()
    fakes.contacts.published["example.com"] = Contacts(txt=("jane@example.com",))
    return fakes


def resend(
    fakes: Fakes, request: ResendRequest = REQUEST, *, at: int = 0, delivery_id: str = "call-1", **config: bool
) -> ResendResult:
    """Resend at ``NOW + at``, in an invocation of 29 seconds."""
    return fakes.resender(NOW + at, **config).resend(request, fakes.invocation(NOW + at, delivery_id))


def failure[E: BaseException](
    kind: type[E],
    fakes: Fakes,
    request: ResendRequest = REQUEST,
    *,
    at: int = 0,
    delivery_id: str = "call-1",
    **config: bool,
) -> E:
    with pytest.raises(kind) as caught:
        resend(fakes, request, at=at, delivery_id=delivery_id, **config)
    return caught.value


def statuses(fakes: Fakes) -> list[str]:
    return [claim.status for claim in fakes.claims.claims.values()]


# The order of things


def test_resend_checks_before_it_claims_and_sends(fakes: Fakes) -> None:
    resend(fakes)

    deadline = NOW + 29
    assert fakes.journal == [
        ("get_order_status", 7, deadline),
        ("contacts", ["example.com"]),
        ("get_order", 7, deadline),
        ("acquire", REQUEST.claim_key),
        ("before_send", REQUEST),
        ("resend_emails", 7, REQUEST.upstream_body, deadline),
        ("record_sent", REQUEST.claim_key, NOW),
    ]


def test_default_recipients_need_no_dns(fakes: Fakes) -> None:
    resend(fakes, DEFAULT)

    assert fakes.journal.methods == [*QUERIES, "acquire", "before_send", "resend_emails", "record_sent"]
    assert fakes.contacts.lookups == 0


def test_default_recipients_are_sent_as_an_empty_object(fakes: Fakes) -> None:
    resend(fakes, DEFAULT)

    assert fakes.certcentral.puts == [{}]


def test_result_says_when_it_was_sent_and_the_cool_down(fakes: Fakes) -> None:
    assert resend(fakes) == ResendResult(REQUEST, "sent", NOW, COOL_DOWN)


@pytest.mark.parametrize(
    ("query", "methods"),
    [("get_order_status", ["get_order_status"]), ("get_order", ["get_order_status", "contacts", "get_order"])],
)
@pytest.mark.parametrize(
    "error", [OrderNotFound("x"), RateLimited("x"), CertCentralUnavailable("x"), ValueError("x")], ids=ascii
)
def test_failed_query_ends_the_resend(fakes: Fakes, query: str, methods: list[str], error: Exception) -> None:
    fakes.certcentral.errors[query] = error

    assert failure(type(error), fakes) is error
    assert fakes.journal.methods == methods


def test_ineligible_order_is_neither_claimed_nor_sent(fakes: Fakes) -> None:
    fakes.certcentral.order = ISSUED

    failure(OrderNotEligible, fakes)

    assert fakes.journal.methods == ["get_order_status", "contacts", "get_order"]


def test_unavailable_claims_prevent_the_send(fakes: Fakes) -> None:
    fakes.claims.down = {"acquire"}

    failure(ClaimsUnavailable, fakes)

    assert fakes.certcentral.puts == []


# Skipped recipients


def test_validated_recipient_is_skipped(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com")

    result = resend(fakes, BOTH)

    assert fakes.certcentral.puts == [resend_request(WWW).upstream_body]
    assert (result.outcome, result.to_json()["recipients"]) == ("sent", [WWW[1]])
    assert [recipient.email for recipient in result.request.skipped] == [ADMIN[1]]


def test_before_send_receives_the_skipped_recipients(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com")

    resend(fakes, BOTH)

    ((request,),) = fakes.journal.calls("before_send")
    assert (request.addresses, [recipient.email for recipient in request.skipped]) == ([WWW[1]], [ADMIN[1]])


def test_repeat_after_a_further_validation_is_a_duplicate(fakes: Fakes) -> None:
    resend(fakes, BOTH)
    fakes.certcentral.approve("example.com")

    repeat = resend(fakes, BOTH, at=600)

    assert (repeat.outcome, repeat.sent_at, repeat.request.addresses) == ("duplicate", NOW, [WWW[1]])
    assert list(fakes.claims.claims) == [BOTH.claim_key]
    assert len(fakes.certcentral.puts) == 1


def test_default_recipients_stay_so_while_a_name_is_pending(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com")

    result = resend(fakes, DEFAULT)

    assert (result.request.addresses, fakes.certcentral.puts) == ("default", [{}])


@pytest.mark.parametrize("request_", [DEFAULT, BOTH, resend_request(ADMIN), resend_request(FOREIGN), FORCED], ids=ascii)
@pytest.mark.parametrize("check_recipients", [True, False])
def test_fully_validated_order_is_refused(fakes: Fakes, request_: ResendRequest, check_recipients: bool) -> None:
    fakes.certcentral.approve("example.com", "www.example.com")

    error = failure(OrderNotEligible, fakes, request_, check_recipients=check_recipients)

    assert error.code == "order_not_eligible|already_validated"
    assert "All names of order 7" in error.message
    assert fakes.journal.methods == QUERIES


@pytest.mark.parametrize("request_", [resend_request(ADMIN), REQUEST, FORCED], ids=ascii)
@pytest.mark.parametrize("check_recipients", [True, False])
def test_request_for_validated_names_only_mails_nobody_else(
    fakes: Fakes, request_: ResendRequest, check_recipients: bool
) -> None:
    fakes.certcentral.approve("example.com")

    error = failure(OrderNotEligible, fakes, request_, check_recipients=check_recipients)

    assert error.code == "order_not_eligible|already_validated"
    assert "Order 7 is still waiting for www.example.com:" in error.message
    assert fakes.journal.methods == QUERIES


UNREADABLE = NameStatus("", "approved")
incomplete_validations = pytest.mark.parametrize(
    "domains", [(), (UNREADABLE,), (UNREADABLE, NameStatus("example.com", "approved"))], ids=ascii
)


@incomplete_validations
@pytest.mark.parametrize("check_recipients", [True, False])
def test_incomplete_validation_never_counts_as_validated(
    fakes: Fakes, domains: tuple[NameStatus, ...], check_recipients: bool
) -> None:
    fakes.certcentral.domains = domains

    assert resend(fakes, DEFAULT, check_recipients=check_recipients).request == DEFAULT
    assert fakes.certcentral.puts == [{}]


@incomplete_validations
@pytest.mark.parametrize(
    "recipient", [WWW, ("exmaple.com", "admin@exmaple.com"), ("www.example.com", "j@mail.test")], ids=ascii
)
def test_named_recipient_of_an_incomplete_validation_is_unverified(
    fakes: Fakes, domains: tuple[NameStatus, ...], recipient: tuple[str, str]
) -> None:
    """If the domain is not on the order, CertCentral might mail everybody."""
    fakes.certcentral.domains = domains

    error = failure(RecipientUnverified, fakes, resend_request(recipient))

    assert "does not list the names of order 7" in error.message
    assert "acquire" not in fakes.journal.methods


@incomplete_validations
def test_names_listed_by_the_order_suffice(fakes: Fakes, domains: tuple[NameStatus, ...]) -> None:
    fakes.certcentral.domains = domains
    fakes.certcentral.order = replace(fakes.certcentral.order, names=("www.example.com",))

    failure(RecipientNotAllowed, fakes, resend_request(WWW, ("exmaple.com", "admin@exmaple.com")))
    assert resend(fakes, resend_request(WWW)).request.addresses == [WWW[1]]
    assert len(fakes.certcentral.puts) == 1


def test_name_listed_only_by_the_order_is_pending(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com", "www.example.com")
    fakes.certcentral.order = replace(
        fakes.certcentral.order, names=("example.com", "www.example.com", "new.example.com")
    )
    fakes.contacts.published["new.example.com"] = Contacts(txt=("jane@mail.test",))

    assert resend(fakes, DEFAULT).outcome == "sent"
    result = resend(fakes, resend_request(ADMIN, ("new.example.com", "jane@mail.test")))

    assert result.request.addresses == ["jane@mail.test"]


def test_names_of_one_scope_are_skipped_one_by_one(fakes: Fakes) -> None:
    fakes.certcentral.domains = NAMES_OF_ONE_SCOPE

    assert resend(fakes, BOTH).request.addresses == [WWW[1]]
    assert failure(OrderNotEligible, fakes, resend_request(ADMIN)).code == "order_not_eligible|already_validated"


def test_expired_approval_skips_nobody(fakes: Fakes) -> None:
    fakes.certcentral.domains = (
        NameStatus("example.com", "approved", ("example.com",), expired=True),
        NameStatus("www.example.com", "approved", ("www.example.com",)),
    )

    assert resend(fakes, BOTH).request.addresses == [ADMIN[1]]
    assert resend(fakes, DEFAULT).outcome == "sent"


def test_name_and_its_wildcard_share_a_cool_down(fakes: Fakes) -> None:
    wildcard = ("*.example.com", ADMIN[1])

    assert resend(fakes, resend_request(ADMIN)).outcome == "sent"

    assert resend(fakes, resend_request(wildcard), at=60).outcome == "duplicate"
    assert resend(fakes, resend_request(wildcard, ADMIN), at=60).outcome == "duplicate"
    assert len(fakes.certcentral.puts) == 1


# Refused recipients


def test_every_refused_recipient_is_reported(fakes: Fakes) -> None:
    unknown, parent = ("other.example", "admin@other.example"), ("www.example.com", ADMIN[1])

    error = failure(RecipientNotAllowed, fakes, resend_request(ADMIN, FOREIGN, WWW, unknown, parent))

    assert [code for code, _ in error.entries] == [
        "recipient_not_allowed|domain_approval_emails[1].email",
        "recipient_not_allowed|domain_approval_emails[3].domain",
        "recipient_not_allowed|domain_approval_emails[4].email_domain",
    ]
    assert fakes.journal.methods == ["get_order_status", "get_order", "contacts", "get_order"]


def test_dns_is_asked_about_names_of_the_order_only(fakes: Fakes) -> None:
    foreign = ("other.example", "jane@other.example")

    error = failure(RecipientNotAllowed, fakes, resend_request(FOREIGN, foreign))

    assert error.entries[1][0] == "recipient_not_allowed|domain_approval_emails[1].domain"
    assert fakes.journal.calls("contacts") == [([FOREIGN[0]],)]


@pytest.mark.parametrize("entries", [(), (NameStatus("", "unknown"),), (NameStatus("b.example", "pending"),)], ids=str)
def test_dns_is_asked_about_names_that_only_the_order_lists(fakes: Fakes, entries: tuple[NameStatus, ...]) -> None:
    fakes.certcentral.domains = entries
    fakes.certcentral.order = replace(fakes.certcentral.order, names=("example.com",))
    fakes.contacts.published = {"example.com": Contacts(txt=("jane@example.com",))}

    result = resend(fakes, resend_request(("example.com", "jane@example.com")))

    assert result.outcome == "sent"
    # The order is asked for last, as always: its names were needed before.
    assert fakes.journal.methods[:4] == ["get_order_status", "get_order", "contacts", "get_order"]
    assert fakes.journal.calls("contacts") == [(["example.com"],)]


def test_name_that_is_added_to_the_order_meanwhile_is_unverified(fakes: Fakes) -> None:
    fakes.certcentral.domains = ()
    before = replace(fakes.certcentral.order, names=("b.example",))
    orders = iter([before, replace(before, names=("b.example", "example.com"))])
    fakes.certcentral.get_order = lambda *_: next(orders)  # type: ignore[method-assign]

    error = failure(RecipientUnverified, fakes, resend_request(("example.com", "jane@example.com")))

    assert "not yet on the order" in error.message
    assert fakes.certcentral.puts == []


def test_method_of_the_validation_decides_if_the_order_has_none(fakes: Fakes) -> None:
    order = fakes.certcentral.order
    fakes.certcentral.order = replace(order, dcv_method=None)
    failure(OrderNotEligible, fakes)
    fakes.certcentral.get_order_status = lambda *_: OrderStatus(  # type: ignore[method-assign]
        7, "pending", "email", fakes.certcentral.domains
    )

    assert resend(fakes).outcome == "sent"


def test_refused_recipient_keeps_its_index_after_a_skipped_one(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com")

    error = failure(RecipientNotAllowed, fakes, resend_request(ADMIN, FOREIGN))

    assert error.code == "recipient_not_allowed|domain_approval_emails[1].email"


def test_skipped_recipient_is_not_checked(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com")

    result = resend(fakes, resend_request(("example.com", "stranger@example.net"), WWW))

    assert (result.request.addresses, fakes.contacts.lookups) == ([WWW[1]], 0)


def test_unanswered_dns_prevents_the_send(fakes: Fakes) -> None:
    fakes.contacts.is_down = True

    error = failure(RecipientUnverified, fakes)

    assert "LifetimeTimeout" in error.message
    assert fakes.journal.methods == ["get_order_status", "contacts", "get_order"]


def test_dns_is_asked_once_and_only_about_undecided_domains(fakes: Fakes) -> None:
    fakes.contacts.published["www.example.com"] = Contacts(caa=("jane@example.com",))
    undecided = ("www.example.com", "jane@example.com"), ("example.com", "jane@example.com")

    resend(fakes, resend_request(ADMIN, WWW, *undecided))

    assert fakes.journal.calls("contacts") == [(["www.example.com", "example.com"],)]
    assert fakes.contacts.lookups == 1


def test_dns_is_not_asked_about_skipped_recipients(fakes: Fakes) -> None:
    fakes.certcentral.approve("www.example.com")

    resend(fakes, resend_request(("www.example.com", "it@mail.test"), ("example.com", "jane@example.com")))

    assert fakes.journal.calls("contacts") == [(["example.com"],)]


@pytest.mark.parametrize(
    "recipient",
    [
        ADMIN,
        WWW,
        ("*.example.com", "Postmaster@Example.com"),
        # This is a scope of the validation, so that not even the list of public suffixes is needed.
        ("www.example.com", "webmaster@example.com", "example.com"),
    ],
    ids=ascii,
)
def test_constructed_address_needs_no_dns(fakes: Fakes, recipient: tuple[str, ...]) -> None:
    assert resend(fakes, resend_request(recipient)).outcome == "sent"

    assert fakes.contacts.lookups == 0
    assert len(fakes.certcentral.puts) == 1


def test_unchecked_recipients_are_mailed_unless_validated(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com")
    unchecked = [FOREIGN, ("other.example", "jane@other.example")]

    result = resend(fakes, resend_request(ADMIN, *unchecked), check_recipients=False)

    assert result.request.addresses == ["admin@example.net", "jane@other.example"]
    assert fakes.certcentral.puts == [resend_request(*unchecked).upstream_body]
    assert fakes.contacts.lookups == 0


@pytest.mark.parametrize(
    ("reason", "order"),
    [
        ("not_dv", Order(7, "pending", "ssl_certificate", "email")),
        ("needs_approval", Order(7, "needs_approval", "dv_ssl_certificate", "email")),
        ("not_pending", ISSUED),
        ("not_email_dcv", Order(7, "pending", "dv_ssl_certificate", "dns-txt-token")),
    ],
)
@pytest.mark.parametrize("wrong", ["foreign", "unverified", "all validated", "requested ones validated"])
def test_ineligible_order_is_reported_before_its_recipients(
    fakes: Fakes, reason: str, order: Order, wrong: str
) -> None:
    fakes.certcentral.order = order
    fakes.contacts.is_down = wrong == "unverified"
    if wrong == "all validated":
        fakes.certcentral.approve("example.com", "www.example.com")
    if wrong == "requested ones validated":
        fakes.certcentral.approve("example.com")
    request = resend_request(FOREIGN) if wrong == "foreign" else REQUEST

    assert failure(OrderNotEligible, fakes, request).reason == reason
    assert fakes.certcentral.puts == []


# Properties of skipping and refusing


PURE = settings(deadline=None, derandomize=True, max_examples=300)
NAMES = ["example.com", "www.example.com", "*.example.com", "shop.test", "a.shop.test", "xn--mnchen-3ya.example"]
DOMAINS = st.lists(
    st.builds(
        NameStatus,
        st.sampled_from([*NAMES, "WWW.example.com", "unknown"]),
        st.sampled_from(["approved", "Approved", "pending", "expired", "unknown"]),
        st.lists(st.sampled_from([*NAMES, "SHOP.test", "unknown"]), max_size=3).map(tuple),
        st.sampled_from([False, False, False, True]),
    )
    | st.just(UNREADABLE),
    max_size=6,
).map(tuple)
RECIPIENTS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.builds(
            "{}@{}".format,
            st.sampled_from(["admin", "jane", "Hostmaster"]),
            st.sampled_from(["example.com", "www.example.com", "shop.test", "example.net"]),
        ),
    ),
    min_size=1,
    max_size=6,
)


def is_validated(name: str, domains: tuple[NameStatus, ...], order_names: tuple[str, ...] = ()) -> bool:
    """Decide independently of the code under test."""
    listed = [domain for domain in domains if without_wildcard(name) in map(without_wildcard, domain.names)]
    if not listed and without_wildcard(name) in map(without_wildcard, order_names):
        domains = tuple(domain for domain in domains if not domain.names)  # only such a scope stands for a name
    found = listed or [domain for domain in domains if without_wildcard(name) == without_wildcard(domain.scope)]
    return {(domain.status.lower(), domain.expired) for domain in found} == {("approved", False)}


@PURE
@given(
    domains=DOMAINS,
    names=st.lists(st.sampled_from(NAMES), unique=True, max_size=4).map(tuple),
    recipients=RECIPIENTS,
    locale=st.sampled_from([None, "en"]),
    check_recipients=st.booleans(),
)
def test_resend_to_named_recipients_mails_nobody_else(
    domains: tuple[NameStatus, ...],
    names: tuple[str, ...],
    recipients: list[tuple[str, str]],
    locale: str | None,
    check_recipients: bool,
) -> None:
    """An empty object would mail everybody, and so might a name that is not on the order."""
    fakes = Fakes()
    fakes.certcentral.domains = domains
    fakes.certcentral.order = replace(fakes.certcentral.order, names=names)
    fakes.contacts.published = {
        "example.com": Contacts(txt=("jane@example.com",)),
        "shop.test": Contacts(failure="x"),
    }
    request = replace(resend_request(*recipients), locale=locale)

    try:
        result = resend(fakes, request, check_recipients=check_recipients)
    except (OrderNotEligible, RecipientNotAllowed, RecipientUnverified):
        assert fakes.certcentral.puts == []
        return

    remaining = [each for each in request.recipients if not is_validated(each.domain, domains, names)]
    assert remaining
    assert fakes.certcentral.puts == [replace(request, recipients=tuple(remaining)).upstream_body]
    assert result.request.addresses == [recipient.email for recipient in remaining]
    assert result.request.claim_key == request.claim_key
    if check_recipients:
        known = {*names, *(name for domain in domains for name in (domain.scope, *domain.names))}
        assert {without_wildcard(each.domain) for each in remaining} <= set(map(without_wildcard, known))
        assert names or all(domain.known_names for domain in domains)


@PURE
@given(DOMAINS, RECIPIENTS)
def test_skipping_keeps_the_claim_and_forgets_nobody(
    domains: tuple[NameStatus, ...], recipients: list[tuple[str, str]]
) -> None:
    fakes = Fakes()
    fakes.certcentral.domains = domains
    request = resend_request(*recipients)
    validated = [is_validated(recipient.domain, domains) for recipient in request.recipients]
    everything = bool(domains) and all(
        domain.status.lower() == "approved" and not domain.expired and domain.scope for domain in domains
    )

    if everything or all(validated):
        failure(OrderNotEligible, fakes, request, check_recipients=False)
    else:
        remaining = resend(fakes, request, check_recipients=False).request

        assert remaining.recipients
        assert sorted(remaining.recipients + remaining.skipped, key=str) == sorted(request.recipients, key=str)
        assert remaining.claim_key == request.claim_key


# The stop switch


@pytest.mark.parametrize("request_", [REQUEST, FORCED], ids=["plain", "forced"])
def test_paused_sending_calls_nothing_at_all(fakes: Fakes, request_: ResendRequest) -> None:
    failure(SendingPaused, fakes, request_, sending=False)

    assert fakes.journal == []


# Repeats


def leave(fakes: Fakes, state: str) -> None:
    """Make a call that leaves its claim ``sent``, ``unknown`` or, because it is killed, ``sending``."""
    if state == "unknown":
        fakes.certcentral.errors["resend_emails"] = OutcomeUnknown("x")
    if state == "sending":
        fakes.certcentral.errors["resend_emails"] = KeyboardInterrupt()
        fakes.claims.down = {"record_unknown"}
    with contextlib.suppress(OutcomeUnknown, KeyboardInterrupt):
        resend(fakes)
    fakes.certcentral.errors.clear()
    fakes.claims.down.clear()
    assert statuses(fakes) == [state]


def test_repeat_is_a_duplicate_of_the_first_call(fakes: Fakes) -> None:
    resend(fakes)

    assert resend(fakes, at=600) == ResendResult(REQUEST, "duplicate", NOW, COOL_DOWN - 600)
    assert len(fakes.certcentral.puts) == 1


def test_repeat_after_the_cool_down_is_sent(fakes: Fakes) -> None:
    resend(fakes)

    assert resend(fakes, at=COOL_DOWN).outcome == "sent"
    assert len(fakes.certcentral.puts) == 2


def test_repeat_of_a_call_in_progress_says_when_to_come_back(fakes: Fakes) -> None:
    leave(fakes, "sending")

    assert failure(ResendInProgress, fakes, at=9).retry_after == 20
    assert len(fakes.certcentral.puts) == 1


@pytest.mark.parametrize(("state", "at"), [("unknown", 600), ("sending", 600), ("sending", 29)])
def test_repeat_of_an_unknown_outcome_is_unknown(fakes: Fakes, state: str, at: int) -> None:
    leave(fakes, state)

    assert failure(OutcomeUnknown, fakes, at=at).retry_after == COOL_DOWN - at
    assert len(fakes.certcentral.puts) == 1


def test_repeat_does_not_call_before_send(fakes: Fakes) -> None:
    resend(fakes)
    fakes.journal.clear()

    resend(fakes, at=600)

    assert fakes.journal.methods == ["get_order_status", "contacts", "get_order", "acquire"]


# Forced calls


def force_while_sending(fakes: Fakes) -> None:
    """Have a forced call come in while the next one is sending."""

    def force() -> None:
        fakes.certcentral.while_sending = lambda: None
        failure(ResendInProgress, fakes, FORCED, at=1, delivery_id="call-2")

    fakes.certcentral.while_sending = force


def test_forced_call_during_a_sent_one_is_a_duplicate_later(fakes: Fakes) -> None:
    force_while_sending(fakes)
    resend(fakes)

    assert resend(fakes, FORCED, at=60, delivery_id="call-2").outcome == "duplicate"
    assert len(fakes.certcentral.puts) == 1
    assert resend(fakes, FORCED, at=90, delivery_id="call-3").outcome == "sent"


def test_forced_call_during_an_unknown_one_is_unknown_later(fakes: Fakes) -> None:
    force_while_sending(fakes)
    fakes.certcentral.errors["resend_emails"] = OutcomeUnknown("x")
    failure(OutcomeUnknown, fakes)
    fakes.certcentral.errors.clear()

    failure(OutcomeUnknown, fakes, FORCED, at=60, delivery_id="call-2")
    assert len(fakes.certcentral.puts) == 1
    assert resend(fakes, FORCED, at=90, delivery_id="call-3").outcome == "sent"


def test_forced_call_during_an_unsent_one_is_sent_later(fakes: Fakes) -> None:
    force_while_sending(fakes)
    fakes.certcentral.errors["resend_emails"] = RateLimited("x")
    failure(RateLimited, fakes)
    fakes.certcentral.errors.clear()

    assert resend(fakes, FORCED, at=60, delivery_id="call-2").outcome == "sent"


@pytest.mark.parametrize("state", ["sent", "unknown"])
def test_forced_call_sends_again_but_its_redelivery_does_not(fakes: Fakes, state: str) -> None:
    leave(fakes, state)

    assert resend(fakes, FORCED, at=60, delivery_id="call-2").outcome == "sent"
    assert resend(fakes, FORCED, at=90, delivery_id="call-2").outcome == "duplicate"
    assert len(fakes.certcentral.puts) == 2


def test_unforced_call_does_not_use_up_its_delivery_id(fakes: Fakes) -> None:
    resend(fakes, delivery_id="call-1")

    assert resend(fakes, at=1, delivery_id="call-1").outcome == "duplicate"
    assert resend(fakes, FORCED, at=2, delivery_id="call-1").outcome == "sent"
    assert len(fakes.certcentral.puts) == 2


def test_forced_call_that_was_not_sent_restores_the_claim(fakes: Fakes) -> None:
    resend(fakes)
    fakes.certcentral.errors["resend_emails"] = RateLimited("x")

    failure(RateLimited, fakes, FORCED, at=60, delivery_id="call-2")

    assert resend(fakes, at=90) == ResendResult(REQUEST, "duplicate", NOW, COOL_DOWN - 90)


# Outcomes of the PUT


@pytest.mark.parametrize(
    "error",
    [
        OrderNotFound("x"),
        RequestRejected("x"),
        ApiKeyRejected("x"),
        PermissionDenied("x"),
        RateLimited("x", retry_after=7),
        CertCentralUnavailable("x"),
        SecretUnavailable("x"),
        ConfigurationError("x"),
    ],
    ids=ascii,
)
def test_surely_unsent_email_releases_the_claim(fakes: Fakes, error: ResendError) -> None:
    fakes.certcentral.errors["resend_emails"] = error

    assert failure(type(error), fakes) is error
    assert fakes.claims.claims == {}

    fakes.certcentral.errors.clear()
    assert resend(fakes, at=1).outcome == "sent"


def test_failed_release_does_not_hide_the_error(fakes: Fakes) -> None:
    fakes.certcentral.errors["resend_emails"] = RateLimited("x", retry_after=7)
    fakes.claims.down = {"release"}

    assert failure(RateLimited, fakes).retry_after == 7


def test_unknown_outcome_is_recorded_with_the_rest_of_the_cool_down(fakes: Fakes) -> None:
    unknown = OutcomeUnknown("x", upstream_status=500)
    fakes.certcentral.errors["resend_emails"] = unknown

    assert failure(OutcomeUnknown, fakes) is unknown
    assert (unknown.retry_after, unknown.upstream_status) == (COOL_DOWN, 500)
    assert statuses(fakes) == ["unknown"]


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), KeyboardInterrupt(), SystemExit(1)], ids=ascii)
def test_bug_or_interruption_while_sending_is_an_unknown_outcome(fakes: Fakes, error: BaseException) -> None:
    fakes.certcentral.errors["resend_emails"] = error

    assert failure(type(error), fakes) is error
    assert statuses(fakes) == ["unknown"]

    fakes.certcentral.errors.clear()
    failure(OutcomeUnknown, fakes, at=1)
    assert len(fakes.certcentral.puts) == 1


def test_unrecorded_send_is_answered_as_sent_and_not_repeated(fakes: Fakes) -> None:
    fakes.claims.down = {"record_sent"}

    assert resend(fakes) == ResendResult(REQUEST, "sent", NOW, COOL_DOWN)
    assert statuses(fakes) == ["sending"]

    failure(ResendInProgress, fakes, at=1)
    failure(OutcomeUnknown, fakes, at=29)
    assert len(fakes.certcentral.puts) == 1


def test_claims_receive_no_address(fakes: Fakes) -> None:
    resend(fakes)

    received = [entry for entry in fakes.journal if entry[0] in ("acquire", "record_sent")]
    for address_part in ("example.com", "jane"):
        assert address_part not in str(received)
        assert address_part not in str(fakes.claims.claims)
