"""Orders that are not DV in the commands that show them: each domain with its outcome."""

from typing import Any

import pytest

from cli.conftest import OUTPUTS, FakeAws, Run
from dev import pages
from dv_resend.core.domain_outcomes import DomainOutcome, DomainRun
from dv_resend.core.domain_resend import _not_to_be_forced_again
from dv_resend.core.domains import OrderDomains
from dv_resend.core.orders import Domain, NameStatus, Order, OrderStatus
from dv_resend.core.requests import Recipient, ResendRequest
from dv_resend.core.results import ResendResult
from dv_resend.errors import (
    OutcomeUnknown,
    RateLimited,
    RecipientNotAllowed,
    RequestRejected,
    ResendError,
    ResendInProgress,
)
from dv_resend_cli.domains import PLANNED, has_mailed_some, leaves_some, says_what_helps

SENT: dict[str, Any] = {
    "order_id": 7,
    "outcome": "sent",
    "recipients": "default",
    "skipped": [],
    "sent_at": "2026-11-23T15:04:05Z",
    "domains": [
        {"name": "a.test", "id": 1, "outcome": "sent"},
        {"name": "b.test", "id": 2, "outcome": "duplicate"},
    ],
}
ORDER = {"status": "pending", "kind": "ssl_certificate", "dcv_method": "email", "waiting_since": None}


def name_of(name: str, mailed: Any, domain: str) -> dict[str, Any]:
    lists: dict[str, Any] = {"accepted": [], "accepted_at_parents": [], "mx": {}}
    return lists | {"name": name, "status": "pending", "mailed": mailed, "domain": domain}


def plan(would_be: str, domains: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    answer = SENT | {"outcome": "planned", "would_be": would_be, "order": ORDER, "names": [], "advice": []}
    return answer | {"domains": domains} | fields


# ---------------------------------------------------------------- resend


def test_resend_shows_each_domain_with_its_outcome(aws: FakeAws, run: Run) -> None:
    skipped = [{"domain": "www.b.test", "email": "admin@b.test", "reason": "already_mailed"}]
    aws.function_returns(SENT | {"recipients": ["admin@a.test"], "skipped": skipped, "more_domains": 2})

    result = run("resend", 7)

    assert result.stdout.splitlines() == [
        "Order 7: sent at 2026-11-23T15:04:05Z",
        "Mailed: admin@a.test",
        "  a.test: sent",
        "  b.test: duplicate: already mailed inside the cool-down, perhaps for another order",
        "  and 2 more domains",
        "Skipped: admin@b.test about www.b.test: already mailed inside the cool-down",
    ]
    assert result.exit_code == 0


def test_duplicate_shows_the_domains_that_other_orders_share(aws: FakeAws, run: Run) -> None:
    aws.function_returns(SENT | {"outcome": "duplicate", "domains": SENT["domains"][1:]})

    lines = run("resend", 7).stdout.splitlines()

    assert lines[0] == "Order 7: duplicate, nobody was mailed"
    assert lines[2] == "  b.test: duplicate: already mailed inside the cool-down, perhaps for another order"
    assert lines[3] == "To mail them again inside the cool-down, add --force."


LIMIT = "b.test: No. Nothing was sent there. Sent: a.test. Left: 1 of 2 domains (b.test); a repeat sends these only."


@pytest.mark.parametrize(
    ("error", "message", "advice"),
    [
        (
            "RateLimited",
            LIMIT,
            "Try again in three minutes.",
        ),
        ("RateLimited", "The limit is reached. Nothing was sent.", "Nothing was sent. Try again in three minutes."),
    ],
    ids=["by domain", "whole"],
)
def test_advice_after_some_domains_does_not_say_nothing_was_sent(
    aws: FakeAws, run: Run, error: str, message: str, advice: str
) -> None:
    aws.function_fails(error, message)

    assert run("resend", 7).stderr.splitlines() == [f"{error}: {message}", advice]


FORCED = _not_to_be_forced_again(RateLimited(LIMIT)).message
OF_METHOD = "ov-dns.example is validated by dns-txt-token, so no email helps. Complete that validation."
CORRECT = "Correct the request, or the order in CertCentral."
REPEAT = "The same command, without --force, then tries that domain again."
EXPLAIN = "`dv-resend explain` shows the order, its names and the accepted addresses."


@pytest.mark.parametrize(
    ("error", "message", "advice"),
    [
        ("RecipientNotAllowed", f"domain_approval_emails[0].domain: {OF_METHOD}", EXPLAIN),
        ("RecipientNotAllowed", "a.test is already validated at a.test: leave it out.", EXPLAIN),
        ("RecipientNotAllowed", "x***@a.test is not allowed.", f"Name an accepted address: {EXPLAIN}"),
        ("RequestRejected", "CertCentral refused the request.", CORRECT),
        ("RequestRejected", "Refused. (CertCentral said: no|way: No.)", f"CertCentral says why. {CORRECT}"),
        ("RequestRejected", "b.test: CertCentral refused the request. Sent: a.test.", f"{CORRECT} {REPEAT}"),
    ],
    ids=["other method", "validated", "address", "no reason", "reason", "by domain"],
)
def test_advice_after_a_refusal_fits_its_message(aws: FakeAws, run: Run, error: str, message: str, advice: str) -> None:
    aws.function_fails(error, message)

    assert run("resend", 7).stderr.splitlines() == [f"{error}: {message}", advice]


def test_forced_call_sent_in_part_gets_no_further_advice(aws: FakeAws, run: Run) -> None:
    """Its message says how to send the rest. No email is in doubt, so nobody has to be asked."""
    aws.function_fails("OutcomeUnknown", FORCED)

    assert run("resend", 7, "--force").stderr.splitlines() == [f"OutcomeUnknown: {FORCED}"]


# ---------------------------------------------------------------- explain


def test_plan_shows_each_domain_in_plain_words(aws: FakeAws, run: Run) -> None:
    until = "2026-11-24T13:55:55Z"
    domains: list[dict[str, Any]] = [
        {"name": "a.test", "id": 1, "outcome": "sent", "upstream_body": {"name_scope": "a.test"}},
        {"name": "b.test", "id": 2, "outcome": "duplicate", "until": until},
        {"name": "c.test", "id": 3, "outcome": "OutcomeUnknown", "until": until},
        {"name": "d.test", "id": 4, "outcome": "ResendInProgress", "until": until},
        {"name": "e.test", "id": 5, "outcome": "validated"},
        {"name": "f.test", "id": None, "outcome": "not_email_dcv"},
        {"name": "g.test", "id": 7, "outcome": "not_named"},
        {"name": "h.test", "id": 8, "outcome": "RecipientNotAllowed"},
    ]
    aws.function_returns(plan("OutcomeUnknown", domains, more_domains=1, until=until))

    assert run("explain", 7).stdout.splitlines() == [
        "Order 7: ssl_certificate, pending, validated by email",
        f"A resend now would be: OutcomeUnknown, until {until}",
        "  a.test: would be mailed",
        f"  b.test: already mailed inside the cool-down, perhaps for another order (until {until})",
        f"  c.test: may already have been mailed inside the cool-down: the outcome is unknown (until {until})",
        f"  d.test: not mailed: another call is sending its emails right now (until {until})",
        "  e.test: already validated",
        "  f.test: not mailed: it is validated by another method than email",
        "  g.test: not mailed: all named recipients are at other domains",
        "  h.test: not mailed: RecipientNotAllowed",
        "  and 1 more domain",
    ]


def test_every_documented_outcome_of_a_domain_has_words() -> None:
    _fields, outcomes = pages.tables(pages.section("docs/dry-run.md", "Domains"))

    assert {row[0].strip("`") for row in outcomes} - {"another error"} == PLANNED.keys()


NOW = "  would be mailed: DigiCert's default recipients"
LATER = "  would be mailed: nobody now, later DigiCert's default recipients"


@pytest.mark.parametrize(
    ("would_be", "outcome", "line"),
    [
        ("sent", "sent", NOW),
        # The call ends with the error, but mails about this domain.
        ("OutcomeUnknown", "sent", NOW),
        ("sent", "duplicate", LATER),
        ("SendingPaused", "sent", LATER),
        ("duplicate", "duplicate", LATER),
    ],
)
def test_name_says_when_its_domain_is_mailed(aws: FakeAws, run: Run, would_be: str, outcome: str, line: str) -> None:
    domains = [{"name": "a.test", "id": 1, "outcome": outcome}, {"name": "b.test", "id": 2, "outcome": "sent"}]
    aws.function_returns(plan(would_be, domains, names=[name_of("a.test", "default", "a.test")]))

    assert run("explain", 7).stdout.splitlines()[-2:] == ["a.test (pending)", line]


@pytest.mark.parametrize(("would_be", "line"), [("sent", NOW), ("duplicate", LATER)])
def test_name_of_a_domain_that_is_not_shown_follows_the_call(aws: FakeAws, run: Run, would_be: str, line: str) -> None:
    aws.function_returns(plan(would_be, [], names=[name_of("a.test", "default", "a.test")], more_domains=1))

    assert run("explain", 7).stdout.splitlines()[-1] == line


def test_name_is_shown_with_the_domain_that_validates_it(aws: FakeAws, run: Run) -> None:
    aws.function_returns(plan("sent", [], names=[name_of("www.a.test", "default", "a.test")]))

    assert "www.a.test (pending), validated at a.test" in run("explain", 7).stdout.splitlines()


# ---------------------------------------------------------------- pending, check


def test_pending_list_of_a_stack_that_serves_all_has_no_others(aws: FakeAws, run: Run) -> None:
    aws.has_stack(OUTPUTS, OrderTypes="all")
    order = {"order_id": 7, "name": "a.test", "status": "pending", "age_days": 4, "reminder": "day 3"}
    aws.function_returns({"orders": [order], "more": 0, "other_products": 0, "complete": True})

    assert run("pending").stdout.splitlines()[-1] == "1 order"


@pytest.mark.parametrize(("parameters", "is_shown"), [({"OrderTypes": "all"}, True), ({"OrderTypes": "dv"}, False)])
def test_check_shows_order_types_that_are_not_the_default(
    aws: FakeAws, run: Run, parameters: dict[str, str], is_shown: bool
) -> None:
    aws.has_stack(OUTPUTS, **parameters)
    aws.function_fails("OrderNotFound", "No such order.")

    assert ("order types: all" in run("check").stdout) == is_shown


# ---------------------------------------------------------------- messages of the functions


def part(name: str) -> ResendRequest:
    return ResendRequest(7, domain=Domain(1, name))


def outcome(name: str, done: str | ResendError) -> DomainOutcome:
    if isinstance(done, ResendError):
        return DomainOutcome(part(name), error=done)
    outcome: Any = done
    return DomainOutcome(part(name), result=ResendResult(part(name), outcome, sent_at=0, until=0))


@pytest.mark.parametrize(
    ("outcomes", "stopped", "mailed_some", "leaves_rest"),
    [
        ([outcome("a.test", "sent")], RateLimited("Too many."), True, True),
        ([outcome("a.test", "duplicate")], RateLimited("Too many."), True, True),
        ([outcome("a.test", OutcomeUnknown("Unclear."))], RateLimited("Too many."), False, True),
        ([], RateLimited("Too many."), False, True),
        ([outcome("a.test", "sent"), outcome("b.test", OutcomeUnknown("Unclear."))], None, True, False),
        ([outcome("a.test", "sent"), outcome("b.test", RequestRejected("No."))], None, True, False),
        ([outcome("a.test", OutcomeUnknown("?")), outcome("b.test", ResendInProgress("Wait."))], None, False, False),
        ([outcome("a.test", RequestRejected("No."))], None, False, False),
    ],
    ids=[
        *("sent and stopped", "duplicate and stopped", "unknown and stopped", "stopped at once"),
        *("sent and unknown", "sent and refused", "unknown and in progress", "refused"),
    ],
)
def test_messages_of_the_function_are_understood(
    outcomes: list[DomainOutcome], stopped: ResendError | None, mailed_some: bool, leaves_rest: bool
) -> None:
    run = DomainRun(tuple(outcomes), stopped, (part("y.test"), part("z.test")) if stopped else ()).explained()

    message = str(run.error)

    assert (has_mailed_some(message), leaves_some(message)) == (mailed_some, leaves_rest)


def test_message_says_nothing_was_sent_of_its_domain_only() -> None:
    stopped = RateLimited("No. Nothing was sent.")

    some = DomainRun((outcome("a.test", "sent"),), stopped, (part("b.test"),)).explained()

    assert some.error is stopped
    assert str(stopped) == LIMIT


@pytest.mark.parametrize("status", ["pending", "approved"])
def test_refusals_of_domains_without_email_are_understood(status: str) -> None:
    entry = NameStatus("a.test", status, (), domain_id=1, method="dns-txt-token")
    domains = OrderDomains(Order(7, "pending", "ssl_certificate", "email"), OrderStatus(7, "pending", None, (entry,)))

    with pytest.raises(RecipientNotAllowed) as refused:
        domains.parts(ResendRequest(7, (Recipient("www.a.test", "admin@a.test"),)))

    assert says_what_helps(str(refused.value))
