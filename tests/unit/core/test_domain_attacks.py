"""Sends by domain under attack: what once mailed somebody twice, said what was not true, or had no bound."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dv_resend.core.orders import Domain, DomainEmails, NameStatus, Order
from dv_resend.core.requests import Recipient, Reminder, Skipped
from dv_resend.core.resend import ReminderResult, Resender, ResendResult
from dv_resend.core.send_record import Claim, SendRecord
from dv_resend.errors import (
    CertCentralUnavailable,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RecipientUnverified,
    ResendError,
)
from dv_resend.handlers.audit import Audit
from dv_resend.handlers.sqs import handle_batch
from unit.fakes import FakeQueue, Fakes, config, resend_request
from unit.samples import message

NOW = 1_795_446_245
DAY = 24 * 3600
A, B, C = "a.example", "b.example", "c.example"
OV = Order(7, "pending", "ssl_certificate", "email", datetime(2026, 11, 22, tzinfo=UTC))
LIMITED = "CertCentral's request limit is reached. Nothing was sent."


def ov_order(*domains: NameStatus) -> Fakes:
    fakes = Fakes()
    fakes.certcentral.order = OV
    fakes.certcentral.domains = domains or tuple(entry(scope, number) for number, scope in enumerate((A, B, C), 1))
    return fakes


def entry(scope: str, domain_id: int, status: str = "pending", method: str | None = None) -> NameStatus:
    return NameStatus(scope, status, (scope,), domain_id=domain_id, method=method)


def failure(fakes: Fakes, *recipients: tuple[str, ...], force: bool = False) -> ResendError:
    with pytest.raises(ResendError) as caught:
        resend(fakes, *recipients, force=force)
    return caught.value


def resend(fakes: Fakes, *recipients: tuple[str, ...], force: bool = False, at: int = NOW) -> str:
    request = resend_request(*recipients, force=force)
    return fakes.resender(at, all_order_types=True).resend(request, fakes.invocation(at)).outcome


# Forced calls


def test_forced_call_sent_in_part_invites_no_repeat() -> None:
    """A client that repeats it has another id: everybody who was mailed would be mailed again."""
    fakes = ov_order()
    fakes.certcentral.errors["resend_domain_emails 3"] = RateLimited(LIMITED, retry_after=5, upstream_status=429)

    error = failure(fakes, force=True)

    assert (type(error), error.retryable, error.retry_after, error.upstream_status) == (
        OutcomeUnknown,
        False,
        None,
        429,
    )
    assert error.message.startswith(f"{C}: {LIMITED[:-1]} there. Sent: {A}, {B}. Left: 1 of 3 domains ({C}). Do not")


def test_forced_call_sent_to_nobody_is_to_be_repeated() -> None:
    fakes = ov_order()
    fakes.certcentral.errors["resend_domain_emails 1"] = RateLimited(LIMITED, retry_after=5)

    error = failure(fakes, force=True)

    assert (type(error), error.retry_after) == (RateLimited, 5)


def test_plan_of_a_forced_call_says_that_it_ends_unknown() -> None:
    fakes = ov_order()
    record = SendRecord(f"domain#2#{B}", "a revision", claim=Claim("another", NOW + 29))
    fakes.records.records[record.id] = record

    plan = fakes.resender(NOW, all_order_types=True).dry_run(resend_request(force=True), fakes.invocation(NOW))

    assert plan.would_be == type(failure(fakes, force=True)).__name__ == "OutcomeUnknown"


def test_plan_skips_who_is_mailed_at_another_domain_already() -> None:
    fakes, admins = ov_order(), [(A, f"admin@{A}"), (B, f"admin@{B}")]
    fakes.certcentral.domain_emails = {1: DomainEmails(A, (f"admin@{A}",)), 2: DomainEmails(B, (f"admin@{B}",))}
    resend(fakes, admins[1])

    plan = fakes.resender(NOW + 60, all_order_types=True).dry_run(resend_request(*admins), fakes.invocation(NOW + 60))

    assert [skipped.recipient.email for skipped in plan.request.skipped] == [f"admin@{B}"]


# What is true of one domain, and not of the call


@pytest.mark.parametrize(("failing", "says_nothing"), [(1, True), (2, False)])
def test_nothing_was_sent_is_said_only_if_it_is_true(failing: int, says_nothing: bool) -> None:
    fakes = ov_order()
    fakes.certcentral.errors[f"resend_domain_emails {failing}"] = RateLimited(LIMITED)

    assert ("Nothing was sent." in failure(fakes).message) is says_nothing


# The same mailbox


def test_two_open_domains_with_the_same_name_mail_nobody() -> None:
    """The default recipients of both are the same people."""
    fakes = ov_order(entry(A, 1), entry(f"*.{A}", 2))

    assert (type(failure(fakes)), fakes.certcentral.domain_puts) == (RecipientUnverified, [])


def test_validated_domain_with_the_same_name_is_harmless() -> None:
    fakes = ov_order(entry(A, 1), entry(A, 2, "approved"))

    assert resend(fakes) == "sent"


@pytest.mark.parametrize("spellings", [("admin@b\u00fccher.example", "admin@{0}"), ("admin@{0}.", "ADMIN@{0}")])
def test_address_that_is_spelt_anew_is_mailed_once(spellings: tuple[str, str]) -> None:
    host = "xn--bcher-kva.example"
    fakes = ov_order(entry(host, 1))

    outcomes = []
    for at, spelling in enumerate(spellings):
        fakes.certcentral.domain_emails[1] = DomainEmails(host, (spelling.format(host),))
        outcomes.append(resend(fakes, (host, f"admin@{host}"), at=NOW + at))

    assert outcomes == ["sent", "duplicate"]


@pytest.mark.parametrize("scope", ["j***@a.example", "[key].example", "a b.example", f"{'x' * 255}"])
def test_scope_that_is_no_domain_name_mails_nobody(scope: str) -> None:
    """It was masked or cut, and what CertCentral does about a scope that it does not know is not documented."""
    fakes = ov_order(entry(scope, 1), entry(B, 2))

    assert (type(failure(fakes)), fakes.certcentral.domain_puts) == (RecipientUnverified, [])


# Bounds


def test_message_about_many_methods_is_bounded() -> None:
    fakes = ov_order(*(entry(f"a{number}.example", number, method=f"{number:064}") for number in range(1, 1000)))

    assert len(failure(fakes).message) < 2000


def test_message_about_many_organizations_is_bounded() -> None:
    fakes = ov_order(entry(A, 1, "approved"))
    fakes.certcentral.organization = tuple(f"{number:064}" for number in range(1000))

    assert len(failure(fakes).message) < 2000


def with_slow_records(fakes: Fakes) -> Resender:
    """Return a resender whose every look at a record takes five seconds."""
    now, load = [NOW], fakes.records.load

    def slowly(record_id: str) -> SendRecord:
        now[0] += 5
        return load(record_id)

    fakes.records.load = slowly  # type: ignore[method-assign]
    settings = config(all_order_types=True)
    return Resender(fakes.certcentral, fakes.records, fakes.contacts, settings, clock=lambda: now[0])


def test_call_ends_in_time_even_if_nobody_is_mailed() -> None:
    """A function that is killed answers nothing, and its audit line is missing."""
    scopes = [f"a{number}.example" for number in range(1, 9)]
    fakes = ov_order(*(entry(scope, number) for number, scope in enumerate(scopes, 1)))
    resend(fakes)
    resender = with_slow_records(fakes)

    with pytest.raises(CertCentralUnavailable, match=r"^a7.example: Too little time .* Left: 2 of 8 domains"):
        resender.resend(resend_request(), fakes.invocation(NOW))


def test_plan_ends_in_time() -> None:
    fakes = ov_order(*(entry(f"a{number}.example", number) for number in range(1, 9)))

    with pytest.raises(CertCentralUnavailable):
        with_slow_records(fakes).dry_run(resend_request(), fakes.invocation(NOW))


def test_result_fits_into_a_workflow_whatever_the_names() -> None:
    """250 skipped recipients and 250 domains with the longest names."""
    parent = ".".join(["x" * 61] * 4)[:240]
    named = [Recipient(f"{n:03}.{parent}", f"pki@{n:03}.{parent}", parent) for n in range(250)]
    skipped = tuple(Skipped(each, "already_mailed") for each in named[1:])
    request = replace(resend_request(), recipients=tuple(named[:1]), skipped=skipped)
    domains = tuple((Domain(10**14 + n, each.domain), "duplicate") for n, each in enumerate(named))

    result = ResendResult(request, "sent", NOW, NOW, domains=domains).to_json()

    assert len(json.dumps(result)) < 256 * 1024
    assert len(result["domains"]) + result["more_domains"] == 250  # type: ignore[arg-type, operator]


def test_audit_line_fits_into_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    audit = Audit("direct")
    audit.request = request = resend_request()
    for number in range(1, 5001):
        audit.domain_done(replace(request, domain=Domain(number, f"{number}.{'x' * 60}.example")), "sent")

    audit.succeeded(ResendResult(request, "sent", NOW, NOW))

    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (len(line["domains"]), line["more_domains"]) == (250, 4750)


# Reminders that run again


def remind(fakes: Fakes, hours: float) -> str:
    """Remind of day 1, some hours after it is due."""
    fakes.certcentral.order = replace(OV, waiting_since=datetime.fromtimestamp(NOW - DAY, UTC))
    reminder = Reminder(7, datetime.fromtimestamp(NOW - DAY, UTC).date(), 1, by_domain=True)
    at = NOW + int(hours * 3600)
    try:
        return fakes.resender(at, all_order_types=True).remind(reminder, fakes.invocation(at)).outcome
    except (ResendError, KeyboardInterrupt) as error:
        return type(error).__name__


def test_reminder_that_runs_again_the_next_day_mails_nobody_twice() -> None:
    """The sweep of the next day finds the order again, since the reminder is not done."""
    fakes = ov_order()
    fakes.certcentral.errors["resend_domain_emails 3"] = CertCentralUnavailable("A web page.", upstream_status=403)

    assert [remind(fakes, hours) for hours in (0, 24, 47)] == ["CertCentralUnavailable"] * 3

    assert [domain_id for domain_id, _ in fakes.certcentral.domain_puts] == [1, 2, 3, 3, 3]


def test_reminder_killed_while_sending_is_reported_the_next_day() -> None:
    fakes = ov_order()
    fakes.certcentral.errors["resend_domain_emails 2"] = KeyboardInterrupt()
    remind(fakes, 0)
    fakes.certcentral.errors.clear()

    assert remind(fakes, 24) == "OutcomeUnknown"
    assert [domain_id for domain_id, _ in fakes.certcentral.domain_puts] == [1, 2, 3]
    assert len(fakes.journal.calls("on_unknown")) == 1


# The queue


@pytest.mark.parametrize(
    ("about_domain", "expected", "returned"),
    [(True, [1, 2, 3], 0), (False, [1], 3)],
    ids=["a domain", "an order"],
)
def test_denied_call_stops_others_unless_about_a_domain(about_domain: bool, expected: list[int], returned: int) -> None:
    records = [message(1, by_domain=True), message(2, by_domain=True), message(3)]
    reminded: list[int] = []

    def remind(reminder: Reminder, _audit: Audit) -> ReminderResult:
        reminded.append(reminder.order_id)
        if reminder.by_domain:
            denied = PermissionDenied("x", upstream_status=403)
            denied.about_domain = about_domain
            raise denied
        return ReminderResult(reminder.order_id, "sent")

    answer = handle_batch({"Records": records}, remind, FakeQueue())

    assert reminded == expected
    assert len(answer["batchItemFailures"]) == returned
