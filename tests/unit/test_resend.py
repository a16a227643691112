"""The use case: in which order things happen, and what each outcome leaves behind."""

import contextlib

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import TABLE, create_claims_table
from moto import mock_aws

from dv_resend.claims import Claims
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
    RequestRejected,
    ResendInProgress,
    SecretUnavailable,
    SendingPaused,
)
from dv_resend.models import Order, ResendPlan, ResendRequest, ResendResult
from dv_resend.resend import Invocation, check_eligible, resend

NOW = 1_795_446_245
COOL_DOWN = 3600
REQUEST = ResendRequest.from_input(
    {"order_id": 7, "domain_approval_emails": [{"domain": "example.com", "email": "jane@example.com"}], "locale": "en"}
)
DRY_RUN = ResendRequest.from_input({"order_id": 7, **REQUEST.upstream_body, "dry_run": True})
FORCED = ResendRequest.from_input({"order_id": 7, **REQUEST.upstream_body, "force": True})
ELIGIBLE = Order(order_id=7, status="pending", product_type="dv_ssl_certificate", dcv_method="email")

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


class CertCentral:
    """Stands in for the client: notes its calls in the journal, and raises what it is told to."""

    def __init__(self, journal):
        self.journal = journal
        self.order = ELIGIBLE
        self.on_get = None
        self.on_put = None

    def get_order(self, order_id, ends_at):
        self.journal.append(("GET", order_id, ends_at))
        if self.on_get is not None:
            raise self.on_get
        return self.order

    def resend_emails(self, order_id, body, ends_at):
        self.journal.append(("PUT", order_id, body, ends_at))
        if self.on_put is not None:
            raise self.on_put

    @property
    def puts(self):
        return [entry for entry in self.journal if entry[0] == "PUT"]


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
def table(dynamodb, journal):
    return Journaled(dynamodb, journal)


@pytest.fixture
def run(certcentral, table, journal):
    """Run the use case at ``NOW + at``, in an invocation that has 29 s; an announcement stands in the journal."""
    claims = Claims(TABLE, COOL_DOWN, table)

    def announce(claim_key):
        journal.append(("announce", claim_key))

    def call(request=REQUEST, *, at=0, delivery_id="call-1", sending=True, seconds=29):
        return resend(
            request,
            Invocation(NOW + at + seconds, delivery_id, announce),
            certcentral=certcentral,
            claims=claims,
            sending=sending,
            clock=lambda: NOW + at,
        )

    return call


def failed(run, kind, *arguments, **options):
    with pytest.raises(kind) as caught:
        run(*arguments, **options)
    return caught.value


# The order of things


def test_the_order_is_checked_then_claimed_then_announced_then_sent_then_recorded(run, journal):
    run()

    ends_at = NOW + 29
    assert journal == [
        ("GET", 7, ends_at),
        ("put_item",),
        ("announce", REQUEST.claim_key),
        ("PUT", 7, REQUEST.upstream_body, ends_at),
        ("update_item",),
    ]


def test_a_sent_resend_says_when_and_how_long_the_cool_down_lasts(run):
    assert run() == ResendResult(REQUEST, "sent", NOW, COOL_DOWN)


def test_default_recipients_are_sent_as_an_empty_object(run, certcentral):
    run(ResendRequest(7))

    assert certcentral.puts[0][2] == {}


@pytest.mark.parametrize(
    "error", [OrderNotFound("x"), RateLimited("x"), CertCentralUnavailable("x"), ValueError("x")], ids=ascii
)
def test_when_the_order_cannot_be_checked_nothing_is_claimed_or_sent(run, certcentral, journal, error):
    certcentral.on_get = error

    assert failed(run, type(error)) is error
    assert [entry[0] for entry in journal] == ["GET"]


def test_an_order_that_is_not_eligible_is_neither_claimed_nor_sent(run, certcentral, journal):
    certcentral.order = Order(7, "issued", "dv_ssl_certificate", "email")

    failed(run, OrderNotEligible)

    assert [entry[0] for entry in journal] == ["GET"]


def test_without_claims_nothing_is_sent(run, certcentral, table):
    table.down = {"put_item"}

    failed(run, ClaimsUnavailable)

    assert certcentral.puts == []


# Eligibility


@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
@pytest.mark.parametrize("product_type", ["dv_ssl_certificate", "DV_SSL_CERTIFICATE", "Dv_Ssl_Certificate"])
def test_a_pending_dv_order_with_email_dcv_is_eligible(status, product_type):
    check_eligible(Order(7, status, product_type, "email"))


@pytest.mark.parametrize(
    ("product_type", "status", "dcv_method", "reason"),
    [
        ("ssl_certificate", "pending", "email", "not_dv"),
        ("ev_ssl_certificate", "pending", "email", "not_dv"),
        ("code_signing_certificate", "pending", "email", "not_dv"),
        ("dv_ssl_certificate_x", "pending", "email", "not_dv"),
        ("", "pending", "email", "not_dv"),
        (None, "pending", "email", "not_dv"),
        ("dv_ssl_certificate", "needs_approval", "email", "needs_approval"),
        *(
            ("dv_ssl_certificate", status, "email", "not_pending")
            for status in ("issued", "rejected", "canceled", "expired", "revoked", "processing", "waiting_pickup")
        ),
        ("dv_ssl_certificate", "Pending order", "email", "not_pending"),
        ("dv_ssl_certificate", "", "email", "not_pending"),
        ("dv_ssl_certificate", None, "email", "not_pending"),
        *(
            ("dv_ssl_certificate", "pending", method, "not_email_dcv")
            for method in ("dns-txt-token", "dns-cname-token", "http-token", "", None)
        ),
        # What would not change first: the kind of order, then its status, then the method.
        ("ssl_certificate", "needs_approval", "http-token", "not_dv"),
        ("ssl_certificate", "issued", "http-token", "not_dv"),
        ("dv_ssl_certificate", "needs_approval", "http-token", "needs_approval"),
        ("dv_ssl_certificate", "issued", "http-token", "not_pending"),
        (None, None, None, "not_dv"),
    ],
    ids=ascii,
)
def test_any_other_order_is_not_and_the_reason_is_named(product_type, status, dcv_method, reason):
    with pytest.raises(OrderNotEligible) as caught:
        check_eligible(Order(7, status, product_type, dcv_method))

    assert caught.value.code == f"order_not_eligible|{reason}"
    assert "Order 7" in caught.value.message
    assert "None" not in caught.value.message


def test_an_order_of_another_type_is_pointed_to_the_domain_level_resend():
    with pytest.raises(OrderNotEligible, match=r"/services/v2/domain/\{domain_id\}/dcv/emails"):
        check_eligible(Order(7, "pending", "ssl_certificate", "email"))


# Dry runs


def test_a_dry_run_checks_and_reads_but_neither_writes_nor_sends(run, journal, items):
    plan = run(DRY_RUN)

    assert plan == ResendPlan(DRY_RUN, "sent")
    assert [entry[0] for entry in journal] == ["GET", "get_item"]
    assert items() == []


def test_a_dry_run_of_an_order_that_is_not_eligible_says_so(run, certcentral):
    certcentral.order = Order(7, "issued", "dv_ssl_certificate", "email")

    failed(run, OrderNotEligible, DRY_RUN)


@pytest.mark.parametrize(
    ("left", "at", "would_be", "until"),
    [
        ("sent", 10, "duplicate", NOW + COOL_DOWN),
        ("sent", COOL_DOWN, "sent", None),
        ("unknown", 10, "OutcomeUnknown", NOW + COOL_DOWN),
        ("killed", 10, "ResendInProgress", NOW + 29),
        ("killed", 29, "OutcomeUnknown", NOW + COOL_DOWN),
        ("killed", COOL_DOWN, "sent", None),
    ],
)
def test_a_dry_run_foretells_what_a_call_would_find(run, certcentral, table, left, at, would_be, until):
    leave(run, certcentral, table, left)

    assert run(DRY_RUN, at=at) == ResendPlan(DRY_RUN, would_be, until)


@pytest.mark.parametrize(
    ("left", "at", "would_be"),
    [("sent", 10, "sent"), ("unknown", 10, "sent"), ("killed", 10, "ResendInProgress"), ("killed", 29, "sent")],
)
def test_a_forced_dry_run_foretells_what_a_forced_call_would_find(run, certcentral, table, left, at, would_be):
    forced = ResendRequest.from_input({"order_id": 7, **REQUEST.upstream_body, "force": True, "dry_run": True})
    leave(run, certcentral, table, left)

    assert run(forced, at=at, delivery_id="call-2").would_be == would_be


def test_a_redelivered_forced_dry_run_foretells_a_duplicate(run):
    forced = ResendRequest.from_input({"order_id": 7, **REQUEST.upstream_body, "force": True, "dry_run": True})
    run(FORCED, delivery_id="call-2")

    assert run(forced, at=10, delivery_id="call-2").would_be == "duplicate"


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


# The stop switch


@pytest.mark.parametrize("request_", [REQUEST, FORCED], ids=["plain", "forced"])
def test_while_sending_is_off_nothing_is_called_at_all(run, journal, request_):
    failed(run, SendingPaused, request_, sending=False)

    assert journal == []


@pytest.mark.parametrize(
    ("left", "would_be", "until"),
    [(None, "sent", None), ("sent", "duplicate", NOW + COOL_DOWN), ("killed", "ResendInProgress", NOW + 29)],
)
def test_a_dry_run_while_sending_is_off_still_foretells_and_says_so(run, certcentral, table, left, would_be, until):
    if left is not None:
        leave(run, certcentral, table, left)

    assert run(DRY_RUN, at=10, sending=False) == ResendPlan(DRY_RUN, would_be, until, paused=True)


def test_a_dry_run_while_sending_is_off_still_checks_the_order(run, certcentral):
    certcentral.order = Order(7, "issued", "dv_ssl_certificate", "email")

    failed(run, OrderNotEligible, DRY_RUN, sending=False)


# Repeats


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

    assert [entry[0] for entry in journal] == ["GET", "put_item"]


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
