"""The use case: in which order things happen, and what each outcome leaves behind."""

import contextlib
from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import TABLE, create_claims_table
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from dv_resend.adapters.claims_table import ClaimsTable
from dv_resend.core.claims import HeldClaim
from dv_resend.core.eligibility import without_validated
from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import Invocation, ResendRequest
from dv_resend.core.resend import Resender, ResendResult
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
from unit.fakes import LOOKS, ORDER, PUT, VALIDATION, CertCentral, Dns

NOW = 1_795_446_245
COOL_DOWN = 3600
# Only DNS can tell that this address may be mailed.
REQUEST = ResendRequest.from_input(
    {"order_id": 7, "domain_approval_emails": [{"domain": "example.com", "email": "jane@example.com"}], "locale": "en"}
)
FORCED = ResendRequest.from_input({"order_id": 7, **REQUEST.upstream_body, "force": True})
ISSUED = Order(7, "issued", "dv_ssl_certificate", "email")

SURELY_NOT_SENT = [
    OrderNotFound("x"),
    RequestRejected("x"),
    ApiKeyRejected("x"),
    PermissionDenied("x"),
    RateLimited("x", retry_after=7),
    CertCentralUnavailable("x"),
    SecretUnavailable("x"),
    ConfigurationError("x"),
]


class Journaled:
    """The claims table's client, whose calls stand in the same journal; ``down`` names methods that fail."""

    def __init__(self, client, journal):
        self._client = client
        self._journal = journal
        self.exceptions = client.exceptions
        self.down = set()

    def __getattr__(self, name):
        def call(**arguments):
            self._journal.append((name,))
            if name in self.down:
                raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "x"}}, name)
            return getattr(self._client, name)(**arguments)

        return call


@pytest.fixture(scope="module")
def dynamodb():
    """One table for the whole file: a new one per test would take most of the time."""
    with mock_aws():
        client = boto3.client("dynamodb")
        create_claims_table(client)
        yield client


@pytest.fixture
def items(dynamodb):
    def scan():
        return dynamodb.scan(TableName=TABLE)["Items"]

    for stored in scan():
        dynamodb.delete_item(TableName=TABLE, Key={"id": stored["id"]})
    return scan


@pytest.fixture
def journal(items):  # noqa: ARG001
    return []


@pytest.fixture
def certcentral(journal):
    return CertCentral(journal)


@pytest.fixture
def dns(journal):
    return Dns(journal, {"example.com": Contacts(txt=("jane@example.com",))})


@pytest.fixture
def table(dynamodb, journal):
    return Journaled(dynamodb, journal)


@pytest.fixture
def run(certcentral, dns, table, journal):
    """Run the use case at ``NOW + at``, in an invocation that has 29 s; an announcement stands in the journal."""
    claims = ClaimsTable(TABLE, COOL_DOWN, table)

    def call(request=REQUEST, *, at=0, delivery_id="call-1", sending=True, check_recipients=True, seconds=29):
        return Resender(
            request,
            Invocation(NOW + at + seconds, delivery_id, lambda announced: journal.append(("before_send", announced))),
            certcentral=certcentral,
            claims=claims,
            dns=dns,
            check_recipients=check_recipients,
            sending=sending,
            clock=lambda: NOW + at,
        )

    return call


def failed(run, kind, *arguments, **options):
    with pytest.raises(kind) as caught:
        run(*arguments, **options)
    return caught.value


def steps(journal):
    return [entry[0] for entry in journal]


def asking(*recipients, **more):
    """Build a request to named recipients, each a domain and an address, and perhaps an email_domain."""
    names = ("domain", "email", "email_domain")
    emails = [dict(zip(names, recipient, strict=False)) for recipient in recipients]
    return ResendRequest.from_input({"order_id": 7, "domain_approval_emails": emails, **more})


# The order of things


def test_recipients_and_order_are_checked_then_it_is_claimed_announced_sent_and_recorded(run, journal):
    run()

    deadline = NOW + 29
    assert journal == [
        (VALIDATION, 7, deadline),
        ("DNS", ["example.com"]),
        (ORDER, 7, deadline),
        ("put_item",),
        ("before_send", REQUEST),
        (PUT, 7, REQUEST.upstream_body, deadline),
        ("update_item",),
    ]


def test_default_recipients_need_no_dns(run, journal, dns):
    run(ResendRequest(7))

    assert steps(journal) == [*LOOKS, "put_item", "before_send", PUT, "update_item"]
    assert dns.opened == 0


def test_a_sent_resend_says_when_and_how_long_the_cool_down_lasts(run):
    assert run() == ResendResult(REQUEST, "sent", NOW, COOL_DOWN)


def test_default_recipients_are_sent_as_an_empty_object(run, certcentral):
    run(ResendRequest(7))

    assert certcentral.puts[0][2] == {}


NOT_LOOKED_AT = [OrderNotFound("x"), RateLimited("x"), CertCentralUnavailable("x"), ValueError("x")]


@pytest.mark.parametrize("error", NOT_LOOKED_AT, ids=ascii)
def test_when_the_validation_cannot_be_looked_at_nothing_else_is_done(run, certcentral, journal, error):
    certcentral.on_validation = error

    assert failed(run, type(error)) is error
    assert steps(journal) == [VALIDATION]


@pytest.mark.parametrize("error", NOT_LOOKED_AT, ids=ascii)
def test_when_the_order_cannot_be_checked_nothing_is_claimed_or_sent(run, certcentral, journal, error):
    certcentral.on_order = error

    assert failed(run, type(error)) is error
    assert steps(journal) == [VALIDATION, "DNS", ORDER]


def test_an_order_that_is_not_eligible_is_neither_claimed_nor_sent(run, certcentral, journal):
    certcentral.order = ISSUED

    failed(run, OrderNotEligible)

    assert steps(journal) == [VALIDATION, "DNS", ORDER]


def test_without_claims_nothing_is_sent(run, certcentral, table):
    table.down = {"put_item"}

    failed(run, ClaimsUnavailable)

    assert certcentral.puts == []


# Recipients who are skipped


ADMIN, WWW = ("example.com", "admin@example.com"), ("www.example.com", "hostmaster@www.example.com")
BOTH = asking(ADMIN, WWW)
ALREADY = "order_not_eligible|already_validated"


def test_a_named_recipient_whose_name_is_validated_is_skipped(run, certcentral):
    certcentral.approve("example.com")

    result = run(BOTH)

    assert [entry[2] for entry in certcentral.puts] == [asking(WWW).upstream_body]
    assert (result.outcome, result.to_json()["recipients"]) == ("sent", [WWW[1]])
    assert [recipient.email for recipient in result.request.skipped] == [ADMIN[1]]


def test_who_is_skipped_is_announced_before_the_sending(run, certcentral, journal):
    certcentral.approve("example.com")

    run(BOTH)

    (announced,) = [entry[1] for entry in journal if entry[0] == "before_send"]
    assert (announced.addresses, [recipient.email for recipient in announced.skipped]) == ([WWW[1]], [ADMIN[1]])


def test_the_same_request_is_a_repeat_also_when_more_names_are_validated_by_then(run, certcentral, items):
    run(BOTH)
    certcentral.approve("example.com")

    repeat = run(BOTH, at=600)

    assert (repeat.outcome, repeat.sent_at, repeat.request.addresses) == ("duplicate", NOW, [WWW[1]])
    assert [item["id"]["S"] for item in items()] == [BOTH.claim_key]
    assert len(certcentral.puts) == 1


def test_a_name_of_which_no_entry_is_approved_is_not_skipped(run, certcentral):
    certcentral.domains = (
        NameStatus("example.com", "approved", ("example.com",)),
        NameStatus("example.com", "pending", ("www.example.com",)),
    )

    assert run(asking(WWW)).request.addresses == [WWW[1]]


def test_default_recipients_are_left_to_digicert_while_a_name_is_not_validated(run, certcentral):
    certcentral.approve("example.com")

    result = run(ResendRequest(7))

    assert (result.request.addresses, certcentral.puts[0][2]) == ("default", {})


@pytest.mark.parametrize("request_", [ResendRequest(7), BOTH, asking(ADMIN), FORCED], ids=ascii)
@pytest.mark.parametrize("check_recipients", [True, False])
def test_an_order_whose_names_are_all_validated_is_refused(run, certcentral, journal, request_, check_recipients):
    certcentral.approve("example.com", "www.example.com")

    error = failed(run, OrderNotEligible, request_, check_recipients=check_recipients)

    assert error.code == ALREADY
    assert "All names of order 7" in error.message
    assert steps(journal) == LOOKS


@pytest.mark.parametrize("request_", [asking(ADMIN), REQUEST, FORCED], ids=ascii)
@pytest.mark.parametrize("check_recipients", [True, False])
def test_when_all_who_are_named_would_be_skipped_nobody_else_is_mailed_instead(
    run, certcentral, journal, request_, check_recipients
):
    certcentral.approve("example.com")

    error = failed(run, OrderNotEligible, request_, check_recipients=check_recipients)

    assert error.code == ALREADY
    assert "Order 7 still waits for www.example.com:" in error.message
    assert steps(journal) == LOOKS


UNREADABLE = NameStatus("", "approved")
NOT_TOLD = pytest.mark.parametrize(
    "domains", [(), (UNREADABLE,), (UNREADABLE, NameStatus("example.com", "approved"))], ids=ascii
)


@NOT_TOLD
@pytest.mark.parametrize("check_recipients", [True, False])
def test_an_order_of_which_not_every_name_is_told_is_not_taken_for_validated(
    run, certcentral, domains, check_recipients
):
    certcentral.domains = domains

    assert run(ResendRequest(7), check_recipients=check_recipients).request == ResendRequest(7)
    assert len(certcentral.puts) == 1


@NOT_TOLD
@pytest.mark.parametrize(
    "request_", [asking(WWW), asking(("exmaple.com", "admin@exmaple.com")), asking(("www.example.com", "j@mail.test"))]
)
def test_while_no_answer_tells_the_names_of_the_order_nobody_who_is_named_is_mailed(
    run, certcentral, items, domains, request_
):
    """Should a domain not be on the order, CertCentral might mail everybody."""
    certcentral.domains = domains

    error = failed(run, RecipientUnverified, request_)

    assert "does not say which names order 7 has" in error.message
    assert certcentral.calls == LOOKS
    assert items() == []


@NOT_TOLD
def test_the_names_that_the_order_itself_tells_will_do(run, certcentral, domains):
    certcentral.domains = domains
    certcentral.order = replace(certcentral.order, names=("www.example.com",))

    failed(run, RecipientNotAllowed, asking(WWW, ("exmaple.com", "admin@exmaple.com")))
    assert run(asking(WWW)).request.addresses == [WWW[1]]
    assert len(certcentral.puts) == 1


def test_a_name_that_only_the_order_tells_waits_and_may_be_mailed_about(run, certcentral, dns):
    certcentral.approve("example.com", "www.example.com")
    certcentral.order = replace(certcentral.order, names=("example.com", "www.example.com", "new.example.com"))
    dns.published["new.example.com"] = Contacts(txt=("jane@mail.test",))

    assert run(ResendRequest(7)).outcome == "sent"
    result = run(asking(ADMIN, ("new.example.com", "jane@mail.test")))

    assert result.request.addresses == ["jane@mail.test"]


def test_names_in_one_scope_that_have_come_differently_far_are_told_apart(run, certcentral):
    certcentral.domains = (
        NameStatus("example.com", "approved", ("example.com",)),
        NameStatus("example.com", "pending", ("www.example.com",)),
    )

    assert run(BOTH).request.addresses == [WWW[1]]
    assert failed(run, OrderNotEligible, asking(ADMIN)).code == ALREADY


def test_an_approval_that_is_over_skips_nobody(run, certcentral):
    certcentral.domains = (
        NameStatus("example.com", "approved", ("example.com",), expired=True),
        NameStatus("www.example.com", "approved", ("www.example.com",)),
    )

    assert run(BOTH).request.addresses == [ADMIN[1]]
    assert run(ResendRequest(7)).outcome == "sent"


def test_a_name_and_its_wildcard_are_mailed_about_once_inside_the_cool_down(run, certcentral):
    assert run(asking(ADMIN)).outcome == "sent"

    assert run(asking(("*.example.com", ADMIN[1])), at=60).outcome == "duplicate"
    assert run(asking(("*.example.com", ADMIN[1]), ADMIN), at=60).outcome == "duplicate"
    assert len(certcentral.puts) == 1


# Recipients who are refused


FOREIGN = ("www.example.com", "admin@example.net")


def test_recipients_that_may_not_be_mailed_are_all_told_and_nothing_is_claimed_or_sent(run, journal):
    request = asking(ADMIN, FOREIGN, WWW, ("other.example", "admin@other.example"), ("www.example.com", ADMIN[1]))

    error = failed(run, RecipientNotAllowed, request)

    assert [code for code, _ in error.entries] == [
        "recipient_not_allowed|domain_approval_emails[1].email",
        "recipient_not_allowed|domain_approval_emails[3].domain",
        "recipient_not_allowed|domain_approval_emails[4].email_domain",
    ]
    assert steps(journal) == [VALIDATION, "DNS", ORDER]


def test_a_field_is_named_as_the_caller_counts_whoever_is_skipped_before(run, certcentral):
    certcentral.approve("example.com")

    error = failed(run, RecipientNotAllowed, asking(ADMIN, FOREIGN))

    assert error.code == "recipient_not_allowed|domain_approval_emails[1].email"


def test_who_is_skipped_need_not_be_allowed(run, certcentral, dns):
    certcentral.approve("example.com")

    result = run(asking(("example.com", "stranger@example.net"), WWW))

    assert (result.request.addresses, dns.opened) == ([WWW[1]], 0)


def test_without_an_answer_from_dns_nothing_is_claimed_or_sent(run, dns, journal):
    dns.published["example.com"] = Contacts(failure="DNS did not answer for TXT of x (LifetimeTimeout)")

    error = failed(run, RecipientUnverified)

    assert "LifetimeTimeout" in error.message
    assert steps(journal) == [VALIDATION, "DNS", ORDER]


def test_dns_is_asked_once_and_only_about_those_whom_it_alone_can_tell(run, dns, journal):
    dns.published["www.example.com"] = Contacts(caa=("jane@example.com",))

    run(asking(ADMIN, WWW, ("www.example.com", "jane@example.com"), ("example.com", "jane@example.com")))

    assert [entry for entry in journal if entry[0] == "DNS"] == [("DNS", ["www.example.com", "example.com"])]
    assert dns.opened == 1


def test_dns_is_not_asked_about_those_who_are_skipped(run, certcentral, dns, journal):
    certcentral.approve("www.example.com")

    run(asking(("www.example.com", "it@mail.test"), ("example.com", "jane@example.com")))

    assert [entry for entry in journal if entry[0] == "DNS"] == [("DNS", ["example.com"])]
    assert dns.opened == 1


@pytest.mark.parametrize(
    "recipient",
    [
        ADMIN,
        WWW,
        ("*.example.com", "Postmaster@Example.com"),
        # The validation has this scope, so that not even the list of public suffixes is needed.
        ("www.example.com", "webmaster@example.com", "example.com"),
    ],
)
def test_constructed_addresses_have_nothing_to_do_with_dns(run, certcentral, dns, recipient):
    assert run(asking(recipient)).outcome == "sent"

    assert dns.opened == 0
    assert len(certcentral.puts) == 1


def test_with_the_check_switched_off_whoever_is_named_is_mailed_unless_validated(run, certcentral, dns):
    certcentral.approve("example.com")
    request = asking(ADMIN, FOREIGN, ("other.example", "jane@other.example"))

    result = run(request, check_recipients=False)

    assert result.request.addresses == ["admin@example.net", "jane@other.example"]
    assert certcentral.puts[0][2] == {
        "domain_approval_emails": [
            {"domain": "www.example.com", "email": "admin@example.net"},
            {"domain": "other.example", "email": "jane@other.example"},
        ]
    }
    assert dns.opened == 0


INELIGIBLE = {
    "not_dv": Order(7, "pending", "ssl_certificate", "email"),
    "needs_approval": Order(7, "needs_approval", "dv_ssl_certificate", "email"),
    "not_pending": ISSUED,
    "not_email_dcv": Order(7, "pending", "dv_ssl_certificate", "dns-txt-token"),
}


@pytest.mark.parametrize("reason", INELIGIBLE)
@pytest.mark.parametrize("wrong", ["foreign", "unverified", "all validated", "named ones validated"])
def test_why_the_order_is_not_eligible_goes_before_what_is_wrong_with_the_recipients(
    run, certcentral, dns, reason, wrong
):
    certcentral.order = INELIGIBLE[reason]
    request = REQUEST
    match wrong:
        case "foreign":
            request = asking(FOREIGN)
        case "unverified":
            dns.published["example.com"] = Contacts(failure="x")
        case "all validated":
            certcentral.approve("example.com", "www.example.com")
        case "named ones validated":
            certcentral.approve("example.com")

    assert failed(run, OrderNotEligible, request).reason == reason
    assert certcentral.puts == []


# Properties of skipping and refusing


class HeldClaims:
    """Stands in for claims: every one is free."""

    def acquire(self, key, *, now, deadline, **_more):
        return HeldClaim(key, "sending", "owner", int(deadline), int(now) + COOL_DOWN)

    def record_sent(self, *_arguments):
        pass


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
    | st.just(NameStatus("", "approved")),
    max_size=6,
).map(tuple)
NAMED = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["admin", "jane", "Hostmaster"]),
        st.sampled_from(["example.com", "www.example.com", "shop.test", "example.net"]),
    ).map(lambda parts: (parts[0], f"{parts[1]}@{parts[2]}")),
    min_size=1,
    max_size=6,
)


def without_wildcard(name):
    return name.lower().removeprefix("*.")


def is_validated(name, domains, names=()):
    listed = [domain for domain in domains if without_wildcard(name) in map(without_wildcard, domain.names)]
    if not listed and without_wildcard(name) in map(without_wildcard, names):
        domains = [domain for domain in domains if not domain.names]  # only such a scope stands for the name itself
    found = listed or [domain for domain in domains if without_wildcard(name) == without_wildcard(domain.scope)]
    return {(domain.status.lower(), domain.expired) for domain in found} == {("approved", False)}


@PURE
@given(
    DOMAINS,
    st.lists(st.sampled_from(NAMES), unique=True, max_size=4),
    NAMED,
    st.sampled_from([None, "en"]),
    st.booleans(),
)
def test_a_resend_to_named_recipients_never_mails_anybody_else(domains, names, named, locale, check_recipients):
    """An empty object upstream would mail everybody, and so might a name that is not on the order."""
    certcentral = CertCentral()
    certcentral.domains = domains
    certcentral.order = replace(certcentral.order, names=tuple(names))
    request = asking(*named, **({"locale": locale} if locale else {}))
    dns = Dns(published={"example.com": Contacts(txt=("jane@example.com",)), "shop.test": Contacts(failure="x")})
    result = refusal = None
    try:
        result = Resender(
            request,
            Invocation(NOW + 29, "call"),
            certcentral=certcentral,
            claims=HeldClaims(),
            dns=dns,
            check_recipients=check_recipients,
            sending=True,
            clock=lambda: NOW,
        )
    except ResendError as error:
        refusal = error

    if refusal is not None:
        assert type(refusal) in (OrderNotEligible, RecipientNotAllowed, RecipientUnverified)
        assert certcentral.puts == []
        return
    (body,) = [put[2] for put in certcentral.puts]
    mailed = [(entry["domain"], entry["email"]) for entry in body["domain_approval_emails"]]
    wanted = [(recipient.domain, recipient.email) for recipient in request.recipients]
    assert mailed == [entry for entry in wanted if not is_validated(entry[0], domains, names)]
    assert mailed
    if check_recipients:
        known = {without_wildcard(name) for domain in domains for name in (domain.scope, *domain.names)} | set(
            map(without_wildcard, names)
        )
        assert {without_wildcard(domain) for domain, _ in mailed} <= known
        assert names or all(domain.scope or domain.names for domain in domains)
    assert result.request.addresses == [email for _, email in mailed]
    assert result.request.claim_key == request.claim_key
    assert body.get("locale") == locale


@PURE
@given(DOMAINS, NAMED)
def test_skipping_keeps_the_claim_and_loses_nobody(domains, named):
    request = asking(*named)
    validation = OrderStatus(7, "pending", "email", domains)
    refusal = left = None
    try:
        left = without_validated(request, validation)
    except OrderNotEligible as error:
        refusal = error

    validated = [is_validated(recipient.domain, domains) for recipient in request.recipients]
    everything = bool(domains) and all(
        domain.status.lower() == "approved" and not domain.expired and domain.scope for domain in domains
    )
    assert (refusal is not None) == (everything or all(validated))
    if left is not None:
        assert left.recipients
        assert set(left.recipients) | set(left.skipped) == set(request.recipients)
        assert len(left.recipients) + len(left.skipped) == len(request.recipients)
        assert left.claim_key == request.claim_key


# The stop switch


@pytest.mark.parametrize("request_", [REQUEST, FORCED], ids=["plain", "forced"])
def test_while_sending_is_off_nothing_is_called_at_all(run, journal, request_):
    failed(run, SendingPaused, request_, sending=False)

    assert journal == []


# Repeats


def leave(run, certcentral, table, state):
    """Make a call whose claim is left ``sent``, ``unknown`` or, by a kill, sending."""
    if state == "unknown":
        certcentral.on_put = OutcomeUnknown("x")
    if state == "killed":
        certcentral.on_put = KeyboardInterrupt()
        table.down = {"update_item"}
    with contextlib.suppress(OutcomeUnknown, KeyboardInterrupt):
        run()
    certcentral.on_put = None
    table.down = set()


def test_a_repeat_is_a_duplicate_with_the_first_time(run, certcentral):
    run()

    repeat = run(at=600)

    assert repeat == ResendResult(REQUEST, "duplicate", NOW, COOL_DOWN - 600)
    assert len(certcentral.puts) == 1


def test_after_the_cool_down_it_is_sent_again(run, certcentral):
    run()

    assert run(at=COOL_DOWN).outcome == "sent"
    assert len(certcentral.puts) == 2


def test_a_repeat_of_one_in_progress_says_when_to_come_back(run, certcentral, table):
    leave(run, certcentral, table, "killed")

    error = failed(run, ResendInProgress, at=9)

    assert error.retry_after == 20
    assert len(certcentral.puts) == 1


@pytest.mark.parametrize(("left", "at"), [("unknown", 600), ("killed", 600), ("killed", 29)])
def test_a_repeat_of_an_unknown_outcome_says_so_again(run, certcentral, table, left, at):
    leave(run, certcentral, table, left)

    error = failed(run, OutcomeUnknown, at=at)

    assert error.retry_after == COOL_DOWN - at
    assert len(certcentral.puts) == 1


def test_a_repeat_announces_nothing(run, journal):
    run()
    del journal[:]

    run(at=600)

    assert steps(journal) == [VALIDATION, "DNS", ORDER, "put_item"]


@pytest.mark.parametrize("outcome", ["sent", "unknown"])
def test_a_forced_call_that_met_one_in_progress_is_a_repeat_of_it_when_it_is_redelivered(run, certcentral, outcome):
    def force_meanwhile(*_arguments):
        failed(run, ResendInProgress, FORCED, at=1, delivery_id="call-2")
        if outcome == "unknown":
            raise OutcomeUnknown("x")

    certcentral.resend_emails, put = force_meanwhile, certcentral.resend_emails
    with contextlib.suppress(OutcomeUnknown):
        run()
    certcentral.resend_emails = put

    if outcome == "sent":
        assert run(FORCED, at=60, delivery_id="call-2").outcome == "duplicate"
    else:
        failed(run, OutcomeUnknown, FORCED, at=60, delivery_id="call-2")
    assert certcentral.puts == []
    assert run(FORCED, at=90, delivery_id="call-3").outcome == "sent"


def test_a_forced_call_that_met_one_that_surely_was_not_sent_sends_when_it_is_redelivered(run, certcentral):
    def force_meanwhile(*_arguments):
        failed(run, ResendInProgress, FORCED, at=1, delivery_id="call-2")
        raise RateLimited("x")

    certcentral.resend_emails, put = force_meanwhile, certcentral.resend_emails
    failed(run, RateLimited)
    certcentral.resend_emails = put

    assert run(FORCED, at=60, delivery_id="call-2").outcome == "sent"


@pytest.mark.parametrize("left", ["sent", "unknown"])
def test_a_forced_call_sends_again_and_its_redelivery_does_not(run, certcentral, table, left):
    leave(run, certcentral, table, left)

    assert run(FORCED, at=60, delivery_id="call-2").outcome == "sent"
    assert run(FORCED, at=90, delivery_id="call-2").outcome == "duplicate"
    assert len(certcentral.puts) == 2


def test_an_unforced_call_leaves_no_id_so_that_its_own_retry_is_a_repeat_and_a_force_is_not(run, certcentral):
    run(delivery_id="call-1")

    assert run(at=1, delivery_id="call-1").outcome == "duplicate"
    assert run(FORCED, at=2, delivery_id="call-1").outcome == "sent"
    assert len(certcentral.puts) == 2


# Outcomes of the PUT


@pytest.mark.parametrize("error", SURELY_NOT_SENT, ids=lambda error: type(error).__name__)
def test_what_surely_was_not_sent_gives_the_claim_back(run, certcentral, items, error):
    certcentral.on_put = error

    assert failed(run, type(error)) is error
    assert items() == []

    certcentral.on_put = None
    assert run(at=1).outcome == "sent"


def test_a_forced_call_that_surely_was_not_sent_leaves_the_earlier_claim(run, certcentral):
    run()
    certcentral.on_put = RateLimited("x")

    failed(run, RateLimited, FORCED, at=60, delivery_id="call-2")

    assert run(at=90) == ResendResult(REQUEST, "duplicate", NOW, COOL_DOWN - 90)


def test_a_failed_release_does_not_hide_why_nothing_was_sent(run, certcentral, table):
    certcentral.on_put = RateLimited("x", retry_after=7)
    table.down = {"delete_item"}

    assert failed(run, RateLimited).retry_after == 7


def test_an_unknown_outcome_is_recorded_and_says_how_long_it_holds(run, certcentral, items):
    certcentral.on_put = OutcomeUnknown("x", upstream_status=500)

    error = failed(run, OutcomeUnknown)

    assert error is certcentral.on_put
    assert (error.retry_after, error.upstream_status) == (COOL_DOWN, 500)
    assert [item["status"]["S"] for item in items()] == ["unknown"]


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), KeyboardInterrupt(), SystemExit(1)], ids=ascii)
def test_a_bug_or_an_interruption_during_the_put_is_an_unknown_outcome_to_every_repeat(run, certcentral, items, error):
    certcentral.on_put = error

    assert failed(run, type(error)) is error
    assert [item["status"]["S"] for item in items()] == ["unknown"]

    certcentral.on_put = None
    failed(run, OutcomeUnknown, at=1)
    assert len(certcentral.puts) == 1


def test_a_sending_that_cannot_be_recorded_is_answered_as_sent_and_never_repeated(run, certcentral, table, items):
    table.down = {"update_item"}

    assert run() == ResendResult(REQUEST, "sent", NOW, COOL_DOWN)
    assert [item["status"]["S"] for item in items()] == ["sending"]

    failed(run, ResendInProgress, at=1)
    failed(run, OutcomeUnknown, at=29)
    assert len(certcentral.puts) == 1


def test_no_address_reaches_the_claims_table(run, items):
    run()

    assert "example.com" not in str(items())
    assert "jane" not in str(items())
