"""The audit lines of a call by domain: one for each domain, then that of the call; each email is counted once."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from conftest import SERVICE

from dv_resend import observability
from dv_resend.core.orders import Domain
from dv_resend.core.requests import Recipient, Reminder, ResendRequest, Skipped, SweepRequest
from dv_resend.core.results import ReminderResult, ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.errors import OutcomeUnknown, RateLimited, RequestRejected, ResendInProgress, UpstreamError
from dv_resend.handlers.audit import Audit

JANE, ADMIN = Recipient("a.example", "jane.doe@a.example"), Recipient("b.example", "admin@b.example")
REQUEST = ResendRequest(7, (JANE, ADMIN), locale="de", requested_by="the web team")
A, B = Domain(1, "a.example"), Domain(2, "b.example")
PART_A = replace(REQUEST, recipients=(JANE,), domain=A)
PART_B = replace(REQUEST, recipients=(ADMIN,), domain=B)
REMINDER = Reminder(7, date(2026, 11, 20), 3, by_domain=True)
SENT = ResendResult(REQUEST, "sent", 1795446245, 1795449965, domains=((A, "sent"), (B, "duplicate")))


def audit(request: Any = REQUEST, event_source: Any = "http") -> Audit:
    line = Audit(event_source)
    line.caller, line.request = "jane", request
    return line


def logged(output: Any, *names: str) -> list[dict[str, Any]]:
    """Return these fields of each line, as far as it has them."""
    lines = [line for line in output().lines if "message" in line]
    return [{name: line[name] for name in names if name in line} for line in lines]


def counted(output: Any) -> dict[str, list[tuple[Any, Any]]]:
    observability.flush()
    metrics = output().metrics
    return {
        name: [(emission["dimensions"].get("reason"), emission["value"]) for emission in emissions]
        for name, emissions in metrics.items()
    }


def test_line_before_a_domain_is_mailed_names_it(output):
    audit().before_send(PART_A)

    assert logged(output, "message", "outcome", "order_id", "domain", "domain_id", "recipients", "caller") == [
        {
            "message": "sending",
            "outcome": "sending",
            "order_id": 7,
            "domain": "a.example",
            "domain_id": 1,
            "recipients": ["j***@a.example"],
            "caller": "jane",
        }
    ]


@pytest.mark.parametrize("outcome", ["sent", "duplicate", "OutcomeUnknown", "RequestRejected", "ResendInProgress"])
def test_line_of_a_domain_has_its_outcome(output, outcome):
    audit().domain_done(PART_A, outcome)

    assert logged(output, "message", "outcome", "domain", "domain_id", "recipients", "domains") == [
        {
            "message": "audit",
            "outcome": outcome,
            "domain": "a.example",
            "domain_id": 1,
            "recipients": ["j***@a.example"],
        }
    ]


def test_line_of_a_failed_domain_has_certcentrals_codes(output):
    refusal = RequestRejected("No.", upstream_status=400, upstream_errors=(UpstreamError("odd|thing", "Why."),))

    audit().domain_done(PART_A, refusal)

    assert logged(output, "outcome", "domain", "code", "upstream_codes") == [
        {
            "outcome": "RequestRejected",
            "domain": "a.example",
            "code": "request_rejected",
            "upstream_codes": ["odd|thing"],
        }
    ]
    assert counted(output) == {}


def test_line_of_a_domain_has_no_status_of_another(output):
    line = audit()
    observability.observe_upstream(204, 0.1)
    line.domain_done(PART_A, "sent")
    line.domain_done(PART_B, "duplicate")

    assert logged(output, "domain", "upstream_status") == [
        {"domain": "a.example", "upstream_status": 204},
        {"domain": "b.example"},
    ]


def test_line_of_a_domain_lists_who_was_skipped_there(output):
    skipped = (Skipped(JANE, "already_mailed"),)
    line = audit(replace(REQUEST, skipped=(Skipped(ADMIN, "validated"),)))

    line.domain_done(replace(PART_A, recipients=(ADMIN,), skipped=skipped), "sent")
    line.domain_done(PART_B, "sent")

    first, second = logged(output, "skipped", "recipients")
    assert first == {"skipped": ["j***@a.example: already_mailed"], "recipients": ["admin@b.example"]}
    assert second == {"recipients": ["admin@b.example"]}


def test_default_recipients_of_a_domain_are_logged_as_default(output):
    audit(ResendRequest(7)).domain_done(ResendRequest(7, domain=A), "sent")

    assert logged(output, "recipients", "domain") == [{"recipients": "default", "domain": "a.example"}]


def test_lines_of_a_forced_call_say_so(output):
    forced = replace(REQUEST, force=True)
    line = audit(forced)

    line.before_send(replace(PART_A, force=True))
    line.domain_done(replace(PART_A, force=True), "sent")

    assert logged(output, "force", "requested_by") == [{"force": True, "requested_by": "the web team"}] * 2


def test_last_line_is_that_of_the_call(output):
    line = audit()

    line.before_send(PART_A)
    line.domain_done(PART_A, "sent")
    line.domain_done(PART_B, "duplicate")
    line.succeeded(SENT)

    last = logged(output, "message", "outcome", "domain", "domain_id", "domains", "recipients", "order_id")[-1]
    assert last == {
        "message": "audit",
        "outcome": "sent",
        "order_id": 7,
        "recipients": ["j***@a.example", "admin@b.example"],
        "domains": ["a.example: sent", "b.example: duplicate"],
    }


def test_last_line_of_an_error_has_the_domains(output):
    line = audit()

    line.before_send(PART_A)
    line.domain_done(PART_A, "sent")
    line.before_send(PART_B)
    line.domain_done(PART_B, "RequestRejected")
    line.failed(RequestRejected("x"))

    last = logged(output, "outcome", "code", "domains", "recipients", "domain")[-1]
    assert last == {
        "outcome": "RequestRejected",
        "code": "request_rejected",
        "recipients": ["j***@a.example", "admin@b.example"],
        "domains": ["a.example: sent", "b.example: RequestRejected"],
    }


def test_line_of_an_order_by_itself_has_no_domains(output):
    line = audit(ResendRequest(7))

    line.before_send(ResendRequest(7))
    line.succeeded(replace(SENT, request=ResendRequest(7), domains=()))

    assert logged(output, "domain", "domain_id", "domains") == [{}, {}]


def test_lines_of_a_reminder_have_its_day_and_domain(output):
    line = audit(REMINDER, "queue")
    part = ResendRequest(7, domain=A)

    line.before_send(part)
    line.domain_done(part, "sent")
    line.succeeded(ReminderResult(7, "sent"))

    day = {"order_id": 7, "reminder_day": 3, "recipients": "default"}
    assert logged(output, *day, "domain", "domains") == [
        *[{**day, "domain": "a.example"}] * 2,
        {**day, "domains": ["a.example: sent"]},
    ]


# What is counted


@pytest.mark.parametrize(
    ("outcomes", "count"),
    [
        (["sent", "sent"], {"ResendSent": [(None, [1, 1])]}),
        (["sent", "duplicate"], {"ResendSent": [(None, 1)], "ResendDuplicate": [(None, 1)]}),
        (["OutcomeUnknown", "RequestRejected"], {}),
    ],
    ids=str,
)
def test_each_domain_is_counted(output, outcomes, count):
    line = audit()

    for outcome in outcomes:
        line.domain_done(PART_A, outcome)

    assert counted(output) == count


@pytest.mark.parametrize("result", [SENT, replace(SENT, outcome="duplicate"), ReminderResult(7, "sent")], ids=ascii)
def test_call_by_domain_is_not_counted_again(output, result):
    line = audit()

    line.domain_done(PART_A, "sent")
    line.succeeded(result)

    assert counted(output) == {"ResendSent": [(None, 1)]}


@pytest.mark.parametrize(
    ("error", "specific"),
    [(OutcomeUnknown("x"), "OutcomeUnknown"), (RateLimited("x"), "RateLimited"), (ResendInProgress("x"), None)],
    ids=["unknown", "limited", "in progress"],
)
def test_error_of_a_domain_is_counted_once(output, error, specific):
    line, reason = audit(), type(error).__name__

    line.domain_done(PART_A, "sent")
    line.domain_done(PART_B, reason)
    line.failed(error)

    expected = {"ResendSent": [(None, 1)], "ResendFailed": [(reason, 1), (None, 1)]}
    assert counted(output) == expected | ({specific: [(None, 1)]} if specific else {})


@pytest.mark.parametrize(("other", "count"), [(None, 6), (0, 6), (4, 10)])
def test_pending_orders_of_all_types_are_counted(output, other, count):
    summary = SweepSummary(pending_dv=6, pending_other=other)

    audit(SweepRequest()).succeeded(summary)

    assert counted(output)["PendingOrders"] == [(None, count)]


@pytest.mark.parametrize("other", [None, 0, 4])
def test_line_of_a_sweep_counts_others_if_served(output, other):
    audit(SweepRequest()).succeeded(SweepSummary(pending_dv=6, pending_other=other))

    (line,) = logged(output, "pending_dv", "pending_other")
    assert line == {"pending_dv": 6} | ({} if other is None else {"pending_other": other})


def test_service_is_the_dimension_of_a_domains_metric(output):
    audit().domain_done(PART_A, "sent")

    observability.flush()
    assert [each["dimensions"] for each in output().metrics["ResendSent"]] == [{"service": SERVICE}]
