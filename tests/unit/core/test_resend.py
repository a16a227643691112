"""`Resender.resend`: in which order things happen, and what each outcome leaves behind."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import Queue
from threading import Barrier
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.addresses import without_wildcard
from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import ResendRequest
from dv_resend.core.resend import ResendResult
from dv_resend.errors import (
    CertCentralUnavailable,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    RateLimited,
    RecipientNotAllowed,
    RecipientUnverified,
    ResendError,
    SendingPaused,
    SendRecordUnavailable,
)
from unit.fakes import QUERIES, Fakes, resend_request

NOW = 1_795_446_245
COOL_DOWN = 3600
# A cool-down is always two minutes longer, for the clocks.
AGAIN = COOL_DOWN + 120
# Only DNS can tell that this address may be mailed.
REQUEST = resend_request(("example.com", "jane@example.com"), locale="en")
FORCED = replace(REQUEST, force=True)
DEFAULT = ResendRequest(7)
ADMIN, WWW = ("example.com", "admin@example.com"), ("www.example.com", "hostmaster@www.example.com")
BOTH = resend_request(ADMIN, WWW)
FOREIGN = ("www.example.com", "admin@example.net")
ISSUED = Order(7, "issued", "dv_ssl_certificate", "email")


@pytest.fixture
def fakes() -> Fakes:
    fakes = Fakes()
    fakes.contacts.published["example.com"] = Contacts(txt=("jane@example.com",))
    return fakes


def resend(
    fakes: Fakes, request: ResendRequest = REQUEST, *, at: int = 0, delivery_id: str = "call-1", **config: Any
) -> ResendResult:
    """Resend at ``NOW + at``, in an invocation of 29 seconds."""
    return fakes.resender(NOW + at, **config).resend(request, fakes.invocation(NOW + at, delivery_id))


def failure[E: BaseException](kind: type[E], fakes: Fakes, request: ResendRequest = REQUEST, **config: Any) -> E:
    with pytest.raises(kind) as caught:
        resend(fakes, request, **config)
    return caught.value


def mailed(bodies: list[dict[str, Any]]) -> list[str]:
    """Return the addresses to which these PUTs have emails sent; without recipients, ``default``."""
    default = [{"email": "default"}]
    return [recipient["email"] for body in bodies for recipient in body.get("domain_approval_emails", default)]


# The order of things


def test_resend_checks_before_it_claims_and_sends(fakes: Fakes) -> None:
    resend(fakes)

    deadline = NOW + 29
    assert fakes.journal == [
        ("get_order_status", 7, deadline),
        ("contacts", ["example.com"]),
        ("get_order", 7, deadline),
        ("load", "order#7"),
        ("store", ANY),
        ("before_send", REQUEST),
        ("resend_emails", 7, REQUEST.upstream_body, deadline),
        ("settle", ANY),
    ]


def test_default_recipients_need_no_dns(fakes: Fakes) -> None:
    resend(fakes, DEFAULT)

    assert fakes.journal.methods == [*QUERIES, "load", "store", "before_send", "resend_emails", "settle"]
    assert fakes.contacts.lookups == 0


def test_result_says_when_it_was_sent_and_the_cool_down(fakes: Fakes) -> None:
    assert resend(fakes) == ResendResult(REQUEST, "sent", NOW, NOW + AGAIN)


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


# Skipped recipients


def test_validated_recipient_is_skipped(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com")

    result = resend(fakes, BOTH)

    assert fakes.certcentral.puts == [resend_request(WWW).upstream_body]
    answer = result.to_json()
    assert (answer["outcome"], answer["recipients"]) == ("sent", [WWW[1]])
    assert answer["skipped"] == [{"domain": ADMIN[0], "email": ADMIN[1], "reason": "validated"}]


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


UNREADABLE = NameStatus("", "approved")


def test_name_listed_only_by_the_order_is_pending(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com", "www.example.com")
    fakes.certcentral.order = replace(
        fakes.certcentral.order, names=("example.com", "www.example.com", "new.example.com")
    )
    fakes.contacts.published["new.example.com"] = Contacts(txt=("jane@mail.test",))

    result = resend(fakes, resend_request(ADMIN, ("new.example.com", "jane@mail.test")))

    assert result.request.addresses == ["jane@mail.test"]
    assert resend(fakes, DEFAULT, at=AGAIN).outcome == "sent"


# Refused recipients


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


def test_unchecked_recipients_are_mailed_unless_validated(fakes: Fakes) -> None:
    fakes.certcentral.approve("example.com")
    unchecked = [FOREIGN, ("other.example", "jane@other.example")]

    result = resend(fakes, resend_request(ADMIN, *unchecked), check_recipients=False)

    assert result.request.addresses == ["admin@example.net", "jane@other.example"]
    assert fakes.certcentral.puts == [resend_request(*unchecked).upstream_body]
    assert fakes.contacts.lookups == 0


@pytest.mark.parametrize("wrong", ["foreign", "unverified", "all validated", "requested ones validated"])
def test_ineligible_order_is_reported_before_its_recipients(fakes: Fakes, wrong: str) -> None:
    fakes.certcentral.order = ISSUED
    fakes.contacts.is_down = wrong == "unverified"
    if wrong == "all validated":
        fakes.certcentral.approve("example.com", "www.example.com")
    if wrong == "requested ones validated":
        fakes.certcentral.approve("example.com")
    request = resend_request(FOREIGN) if wrong == "foreign" else REQUEST

    assert failure(OrderNotEligible, fakes, request).reason == "not_pending"
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
    earlier=st.none() | RECIPIENTS,
    recipients=RECIPIENTS,
    locale=st.sampled_from([None, "en"]),
    check_recipients=st.booleans(),
)
def test_resend_to_named_recipients_mails_nobody_else(
    domains: tuple[NameStatus, ...],
    names: tuple[str, ...],
    earlier: list[tuple[str, str]] | None,
    recipients: list[tuple[str, str]],
    locale: str | None,
    check_recipients: bool,
) -> None:
    """An empty object would mail everybody, and so might a name that is not on the order."""
    fakes = Fakes()
    fakes.certcentral.domains = domains
    fakes.certcentral.order = replace(fakes.certcentral.order, names=names)
    fakes.contacts.published = {"example.com": Contacts(txt=("jane@example.com",)), "shop.test": Contacts(failure="x")}
    if earlier is not None:
        with contextlib.suppress(OrderNotEligible):
            resend(fakes, resend_request(*earlier), check_recipients=False)
    before = mailed(fakes.certcentral.puts)
    request = replace(resend_request(*recipients), locale=locale)

    try:
        result = resend(fakes, request, at=1, check_recipients=check_recipients)
    except (OrderNotEligible, RecipientNotAllowed, RecipientUnverified):
        assert mailed(fakes.certcentral.puts) == before
        return

    now = mailed(fakes.certcentral.puts)[len(before) :]
    validated = [each for each in request.recipients if is_validated(each.domain, domains, names)]
    remaining = [each for each in request.recipients if each not in validated]
    assert [each.recipient for each in result.request.skipped if each.reason == "validated"] == validated
    assert (now == []) == (result.outcome == "duplicate")
    assert now == [] or now == result.request.addresses
    assert set(now) <= {each.email for each in remaining}
    # Whoever is left out was mailed before, or under another of the names.
    assert {each.email.lower() for each in remaining} <= {email.lower() for email in before + now}
    if check_recipients:
        known = {*names, *(name for domain in domains for name in (domain.scope, *domain.names))}
        assert {without_wildcard(each.domain) for each in remaining} <= set(map(without_wildcard, known))


# The stop switch


@pytest.mark.parametrize("request_", [REQUEST, FORCED], ids=["plain", "forced"])
def test_paused_sending_calls_nothing_at_all(fakes: Fakes, request_: ResendRequest) -> None:
    failure(SendingPaused, fakes, request_, sending=False)

    assert fakes.journal == []


# Repeats


def fail(fakes: Fakes, error: BaseException) -> None:
    """Make a call whose PUT fails."""
    fakes.certcentral.errors["resend_emails"] = error
    failure(type(error), fakes)
    fakes.certcentral.errors.clear()


@pytest.mark.parametrize("scope", ["", "www.example.com", "elsewhere.example"])
@pytest.mark.parametrize("error", [None, OutcomeUnknown("Perhaps.")], ids=ascii)
def test_person_is_known_although_the_scope_changed(fakes: Fakes, scope: str, error: OutcomeUnknown | None) -> None:
    """CertCentral may show another scope for the same name at any time, or none."""
    request = resend_request(WWW)
    with contextlib.suppress(OutcomeUnknown):
        fakes.certcentral.errors = {} if error is None else {"resend_emails": error}
        resend(fakes, request)
    fakes.certcentral.errors = {}
    fakes.certcentral.domains = (NameStatus(scope, "pending", ("www.example.com",)),)

    with contextlib.suppress(OutcomeUnknown):
        resend(fakes, request, at=60, check_recipients=False)

    assert len(fakes.certcentral.puts) == 1


def test_name_is_sent_as_certcentral_spells_it(fakes: Fakes) -> None:
    """A name that CertCentral does not know might make it mail everybody."""
    fakes.certcentral.domains = (NameStatus("", "pending", ("www.example.com", "*.shop.example.com")),)

    resend(fakes, resend_request(("*.www.example.com", WWW[1]), ("shop.example.com", "admin@shop.example.com")))

    (put,) = fakes.certcentral.puts
    named: Any = put["domain_approval_emails"]
    assert [entry["domain"] for entry in named] == ["www.example.com", "*.shop.example.com"]


def test_repeat_is_a_duplicate_that_says_who_was_mailed_when(fakes: Fakes) -> None:
    resend(fakes)

    repeat = resend(fakes, at=600)

    assert repeat == ResendResult(REQUEST, "duplicate", NOW, NOW + AGAIN, (("jane@example.com", NOW),))
    assert len(fakes.certcentral.puts) == 1


def test_repeat_of_a_default_send_names_nobody(fakes: Fakes) -> None:
    resend(fakes, DEFAULT)

    assert resend(fakes, DEFAULT, at=600) == ResendResult(DEFAULT, "duplicate", NOW, NOW + AGAIN)


def test_named_repeat_of_a_default_send_is_only_perhaps_mailed(fakes: Fakes) -> None:
    """Only DigiCert knows whether jane is one of its default recipients."""
    resend(fakes, resend_request(ADMIN))
    resend(fakes, replace(DEFAULT, force=True), at=60)

    repeat = resend(fakes, resend_request(ADMIN, ("example.com", "jane@example.com")), at=600)

    assert (repeat.earlier, repeat.perhaps) == (((ADMIN[1], NOW),), (("jane@example.com", NOW + 60),))


def test_cool_down_is_that_of_the_settings(fakes: Fakes) -> None:
    resend(fakes, cool_down_seconds=7200)

    assert resend(fakes, at=7200, cool_down_seconds=7200).outcome == "duplicate"
    assert resend(fakes, at=7200 + 120, cool_down_seconds=7200).outcome == "sent"


@pytest.mark.parametrize(
    ("error", "reason"),
    [(None, "already_mailed"), (OutcomeUnknown("x"), "maybe_mailed"), (KeyboardInterrupt(), "maybe_mailed")],
    ids=ascii,
)
def test_recipient_of_an_earlier_send_is_skipped(fakes: Fakes, error: BaseException | None, reason: str) -> None:
    if error is None:
        resend(fakes)
    else:
        fail(fakes, error)
    fakes.journal.clear()

    result = resend(fakes, resend_request(ADMIN, ("example.com", "jane@example.com")), at=60)

    assert fakes.certcentral.puts == [resend_request(ADMIN).upstream_body]
    assert fakes.journal.calls("before_send") == [(result.request,)]
    answer = result.to_json()
    assert (answer["outcome"], answer["recipients"]) == ("sent", [ADMIN[1]])
    assert answer["skipped"] == [{"domain": "example.com", "email": "jane@example.com", "reason": reason}]


def test_person_named_for_two_names_of_a_scope_is_mailed_once(fakes: Fakes) -> None:
    twice = resend_request(ADMIN, ("*.example.com", "ADMIN@example.com"), ("www.example.com", *ADMIN[::-1]))

    result = resend(fakes, twice)

    assert fakes.certcentral.puts == [resend_request(ADMIN).upstream_body]
    assert result.to_json()["recipients"] == [ADMIN[1]]
    more = replace(twice, recipients=(*twice.recipients, *resend_request(WWW).recipients))
    skipped = [each.recipient.domain for each in resend(fakes, more, at=60).request.skipped]
    assert skipped == ["example.com", "example.com", "www.example.com"]


def test_duplicate_says_once_when_an_address_was_mailed(fakes: Fakes) -> None:
    twice = resend_request(ADMIN, ("*.example.com", ADMIN[1]))
    resend(fakes, twice)

    assert resend(fakes, twice, at=60).earlier == ((ADMIN[1], NOW),)


def test_named_request_with_nobody_left_mails_nobody(fakes: Fakes) -> None:
    """One of them is validated and the other was mailed; an empty object would mail everybody."""
    resend(fakes, resend_request(WWW))
    fakes.certcentral.approve("example.com")

    result = resend(fakes, BOTH, at=60)

    assert result.earlier == ((WWW[1], NOW),)
    answer = result.to_json()
    assert (answer["outcome"], answer["recipients"]) == ("duplicate", [WWW[1]])
    assert answer["skipped"] == [{"domain": ADMIN[0], "email": ADMIN[1], "reason": "validated"}]
    assert mailed(fakes.certcentral.puts) == [WWW[1]]


def test_eight_spellings_at_once_make_one_put(fakes: Fakes) -> None:
    hostmaster, webmaster = ("example.com", "hostmaster@example.com"), ("example.com", "webmaster@example.com")
    spellings = [
        *(DEFAULT, replace(DEFAULT, locale="en"), replace(DEFAULT, locale="EN_us"), replace(DEFAULT, locale="de")),
        *(resend_request(ADMIN), resend_request(ADMIN, webmaster), resend_request(ADMIN, hostmaster)),
        resend_request(ADMIN, locale="en"),
    ]
    answers: Queue[str] = Queue()
    # All have read the record before one claims the order, and the PUT ends when the seven others are answered.
    fakes.records.before_store = Barrier(len(spellings), timeout=60).wait
    fakes.certcentral.while_sending = lambda: [answers.get(timeout=60) for _ in spellings[1:]]

    def call(request: ResendRequest) -> str:
        try:
            return resend(fakes, request).outcome
        except ResendError as error:
            answers.put(type(error).__name__)
            return type(error).__name__

    with ThreadPoolExecutor(len(spellings)) as pool:
        outcomes = list(pool.map(call, spellings))

    assert sorted(outcomes) == ["ResendInProgress"] * 7 + ["sent"]
    assert len(fakes.certcentral.puts) == 1


# Forced calls


def test_forced_call_sends_again_but_its_redelivery_does_not(fakes: Fakes) -> None:
    resend(fakes)

    assert resend(fakes, FORCED, at=60, delivery_id="call-2").outcome == "sent"
    assert resend(fakes, FORCED, at=90, delivery_id="call-2").outcome == "duplicate"
    assert len(fakes.certcentral.puts) == 2


# Faults at each step


UNAVAILABLE = SendRecordUnavailable("x")
KILLED = KeyboardInterrupt()
type Errors = dict[str, BaseException]


@pytest.mark.parametrize(
    ("before", "late", "answer", "puts", "repeat"),
    [
        ({"load": UNAVAILABLE}, {}, "SendRecordUnavailable", 0, "sent"),
        ({"store": UNAVAILABLE}, {}, "SendRecordUnavailable", 0, "sent"),
        ({}, {"store": UNAVAILABLE}, "SendRecordUnavailable", 0, "OutcomeUnknown"),
        ({}, {"store": KILLED}, "KeyboardInterrupt", 0, "OutcomeUnknown"),
        ({"resend_emails": RateLimited("x")}, {}, "RateLimited", 1, "sent"),
        ({"resend_emails": OutcomeUnknown("x")}, {}, "OutcomeUnknown", 1, "OutcomeUnknown"),
        ({"resend_emails": ValueError("a bug")}, {}, "OutcomeUnknown", 1, "OutcomeUnknown"),
        ({"resend_emails": KILLED, "settle": KILLED}, {}, "KeyboardInterrupt", 1, "OutcomeUnknown"),
        ({"settle": UNAVAILABLE}, {}, "sent", 1, "OutcomeUnknown"),
        ({"settle": KILLED}, {}, "KeyboardInterrupt", 1, "OutcomeUnknown"),
        ({"resend_emails": RateLimited("x"), "settle": UNAVAILABLE}, {}, "RateLimited", 1, "OutcomeUnknown"),
        ({"resend_emails": OutcomeUnknown("x"), "settle": UNAVAILABLE}, {}, "OutcomeUnknown", 1, "OutcomeUnknown"),
    ],
    ids=str,
)
def test_fault_is_answered_and_repeat_sends_if_surely_unsent(
    fakes: Fakes, before: Errors, late: Errors, answer: str, puts: int, repeat: str
) -> None:
    def outcome(at: int) -> str:
        try:
            return resend(fakes, at=at).outcome
        except (Exception, KeyboardInterrupt) as error:
            return type(error).__name__

    fakes.records.errors = fakes.certcentral.errors = before
    fakes.records.late_errors = late

    assert (outcome(0), len(fakes.certcentral.puts)) == (answer, puts)

    fakes.records.errors = fakes.certcentral.errors = fakes.records.late_errors = {}
    # A claim that nobody settled is dead by then.
    assert (outcome(180), len(fakes.certcentral.puts)) == (repeat, puts + (repeat == "sent"))
