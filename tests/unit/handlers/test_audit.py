"""The audit line: one for each decision, with what it counts."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from conftest import SERVICE

from dv_resend import observability
from dv_resend.core.orders import Order, OrderStatus
from dv_resend.core.pending import PendingList, PendingOrder
from dv_resend.core.plan import ResendPlan
from dv_resend.core.requests import PendingRequest, Reminder, ResendRequest, Skipped, StatusRequest, SweepRequest
from dv_resend.core.resend import ReminderResult, ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    InvalidRequest,
    OrderNotEligible,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    ResendError,
    UpstreamError,
)
from dv_resend.handlers.audit import Audit
from unit.samples import error_of

CALLER = "arn:aws:iam::123456789012:user/jane"
REQUEST = ResendRequest.from_input(
    {
        "order_id": 7,
        "domain_approval_emails": [
            {"domain": "example.com", "email": "jane.doe@example.com"},
            {"domain": "example.com", "email": "Hostmaster@example.com"},
        ],
    }
)
# The same request as it is sent if the first recipient was mailed already.
REMAINING = replace(
    REQUEST, recipients=REQUEST.recipients[1:], skipped=(Skipped(REQUEST.recipients[0], "already_mailed"),)
)
SKIPPED = ["j***@example.com: already_mailed"]
SENT = ResendResult(REQUEST, "sent", 1795446245, 1795449965)
DUPLICATE = replace(SENT, outcome="duplicate")
STATUS = OrderStatus(7, "pending", "email", ())
ORDER = Order(7, "pending", "dv_ssl_certificate", "email")
PLANS = [
    ResendPlan(REQUEST, ORDER, (), 1795446245, "sent"),
    ResendPlan(REQUEST, ORDER, (), 1795446245, "OrderNotEligible", OrderNotEligible("already_validated", "x")),
]
REMINDER = Reminder(7, dt.date(2026, 11, 20), 3)
SUMMARY = SweepSummary(
    listed=9,
    pending_dv=6,
    due=4,
    enqueued=4,
    stuck=2,
    oldest_days=45,
    by_status={"pending": 8, "under_review": 1},
    stuck_orders=[11, 12],
)
# Powertools adds these fields to every log line.
LOGGER_FIELDS = {"level", "location", "message", "timestamp", "service"}


def audit(request: Any = REQUEST, event_source: Any = "http") -> Audit:
    line = Audit(event_source)
    line.caller, line.request = CALLER, request
    return line


def fields(output: Any) -> dict[str, Any]:
    """Return the fields of the audit line without those of the logger."""
    return {name: value for name, value in output().audit.items() if name not in LOGGER_FIELDS}


def emitted(output: Any) -> dict[str, list[dict[str, Any]]]:
    observability.flush()
    metrics: dict[str, list[dict[str, Any]]] = output().metrics
    return metrics


def one(value: int = 1, **dimensions: str) -> dict[str, Any]:
    return {"namespace": "DvResend", "dimensions": {"service": SERVICE, **dimensions}, "value": value}


# Results


def test_line_of_a_sent_resend_has_caller_and_recipients(output):
    audit().succeeded(SENT)

    line = fields(output)
    assert isinstance(line.pop("duration_ms"), int)
    assert line == {
        "outcome": "sent",
        "event_source": "http",
        "order_id": 7,
        "caller": CALLER,
        "recipients": ["j***@example.com", "hostmaster@example.com"],
    }


@pytest.mark.parametrize(
    ("result", "outcome", "counted"),
    [
        (SENT, "sent", {"ResendSent": [one()]}),
        (DUPLICATE, "duplicate", {"ResendDuplicate": [one()]}),
        *((plan, "planned", {}) for plan in PLANS),
        (STATUS, "status", {}),
        (PendingList(), "pending", {}),
        (ReminderResult(7, "sent"), "sent", {"ResendSent": [one()]}),
        (ReminderResult(7, "missed"), "missed", {"RemindersMissed": [one()]}),
        (ReminderResult(7, "stuck"), "stuck", {"StuckOrders": [one()]}),
        *((ReminderResult(7, outcome), outcome, {}) for outcome in ("already_reminded", "already_mailed", "not_due")),
        (
            SUMMARY,
            "swept",
            {
                "PendingOrders": [one(6)],
                "RemindersEnqueued": [one(4)],
                "StuckOrders": [one(2)],
                "OldestPendingDays": [one(45)],
            },
        ),
        (replace(SUMMARY, plan=[]), "swept", {}),
        (replace(SUMMARY, plan=[REMINDER.to_json()]), "swept", {}),
    ],
    ids=ascii,
)
def test_result_has_its_outcome_and_metrics(output, result, outcome, counted):
    audit().succeeded(result)

    observability.flush()
    printed = output()
    assert printed.audit["outcome"] == outcome
    assert printed.metrics == counted


def test_default_recipients_are_logged_as_default(output):
    request = ResendRequest(7)

    audit(request).succeeded(replace(SENT, request=request))

    assert output().audit["recipients"] == "default"


def test_flags_are_logged_if_set(output):
    request = ResendRequest(7, dry_run=True, force=True)

    audit(request).succeeded(replace(SENT, request=request))

    line = fields(output)
    assert (line["dry_run"], line["force"]) == (True, True)


def test_requested_by_does_not_replace_the_caller(output):
    request = ResendRequest(7, requested_by="the web team")

    audit(request).succeeded(replace(SENT, request=request))

    line = output().audit
    assert (line["caller"], line["requested_by"]) == (CALLER, "the web team")


@pytest.mark.parametrize(
    ("request_", "order_id"), [(StatusRequest(7), 7), (SweepRequest(), None), (REMINDER, 7), (None, None)], ids=ascii
)
def test_order_id_is_logged_if_there_is_one(output, request_, order_id):
    audit(request_).failed(RateLimited("x"))

    line = output().audit
    assert line.get("order_id") == order_id
    assert ("recipients" in line) == isinstance(request_, Reminder)


@pytest.mark.parametrize(("reminder", "day"), [(REMINDER, 3), (Reminder(7), None)], ids=ascii)
def test_line_of_a_reminder_has_its_day_and_default_recipients(output, reminder, day):
    audit(reminder).succeeded(ReminderResult(7, "sent"))

    line = output().audit
    assert (line["order_id"], line["recipients"], line.get("reminder_day")) == (7, "default", day)


@pytest.mark.parametrize("plan", [None, [REMINDER.to_json()]], ids=["sweep", "dry run"])
def test_line_of_a_sweep_is_its_summary_without_the_plan(output, plan):
    audit(SweepRequest()).succeeded(replace(SUMMARY, plan=plan))

    line = fields(output)
    assert isinstance(line.pop("duration_ms"), int)
    assert line == {"outcome": "swept", "event_source": "http", "caller": CALLER, **SUMMARY.to_json()}


def test_line_of_pending_orders_counts_them(output):
    orders = [PendingOrder(number, "example.com", "pending", 45, "stuck") for number in (1, 2)]

    audit(PendingRequest(), "direct").succeeded(PendingList(orders, more=3, other_products=4, complete=False))

    line = output().audit
    assert "example.com" not in str(line)
    assert [line[name] for name in ("orders", "more", "other_products", "complete")] == [2, 3, 4, False]


def test_unknown_fields_are_left_out(output):
    Audit().failed(InvalidRequest("event", "x"))

    assert set(fields(output)) == {"outcome", "code", "duration_ms"}


# The line before a send


def test_line_before_a_send_has_recipients_and_counts_nothing(output):
    audit().before_send(REQUEST)

    observability.flush()
    (line,) = output().lines
    assert (line["message"], line["outcome"]) == ("sending", "sending")
    assert line["recipients"] == ["j***@example.com", "hostmaster@example.com"]
    assert "skipped" not in line
    assert (line["order_id"], line["caller"]) == (7, CALLER)


def test_line_before_a_reminder_has_its_day(output):
    line = audit(REMINDER)

    line.before_send(ResendRequest(7))
    line.succeeded(ReminderResult(7, "sent"))

    logged = [(line["message"], line["recipients"], line["reminder_day"]) for line in output().lines]
    assert logged == [("sending", "default", 3), ("audit", "default", 3)]


@pytest.mark.parametrize("outcome", ["sent", "duplicate"])
def test_skipped_recipients_are_logged_with_the_result(output, outcome):
    audit().succeeded(replace(SENT, request=REMAINING, outcome=outcome))

    line = output().audit
    assert (line["recipients"], line["skipped"]) == (["hostmaster@example.com"], SKIPPED)


def test_skipped_recipients_are_logged_with_an_unknown_outcome(output):
    line = audit()

    line.before_send(REMAINING)
    line.failed(OutcomeUnknown("x"))

    logged = output().audit
    assert (logged["recipients"], logged["skipped"]) == (["hostmaster@example.com"], SKIPPED)


# Errors


@pytest.mark.parametrize("kind", ResendError.__subclasses__())
def test_error_has_its_class_as_outcome_and_its_code(output, kind):
    error = error_of(kind)

    audit().failed(error)

    line = fields(output)
    assert (line["outcome"], line["code"]) == (kind.__name__, error.code)


@pytest.mark.parametrize("kind", ResendError.__subclasses__())
def test_error_is_counted_in_all_and_by_reason(output, kind):
    special = {ApiKeyRejected: "ApiKeyRejected", OutcomeUnknown: "OutcomeUnknown", RateLimited: "RateLimited"}

    audit().failed(error_of(kind))

    counted = emitted(output)
    assert counted.pop("ResendFailed") == [one(reason=kind.__name__), one()]
    assert counted == ({special[kind]: [one()]} if kind in special else {})


def test_line_of_a_sweep_out_of_time_has_the_offset(output):
    audit(SweepRequest()).failed(CertCentralUnavailable("x", offset=3000))

    assert output().audit["offset"] == 3000


def test_upstream_status_and_codes_are_logged_without_messages(output):
    line = audit()
    entries = (UpstreamError("invalid_locale", "Bad locale of jane.doe@example.com."),)

    observability.observe_upstream(422, 0.5)
    line.failed(RequestRejected("Refused.", upstream_status=422, upstream_errors=entries))

    logged = output().audit
    assert (logged["upstream_status"], logged["upstream_codes"]) == (422, ["invalid_locale"])
    assert "jane" not in str(logged["recipients"])
    assert "Bad locale" not in str(logged)


def test_upstream_error_without_a_code_is_logged_by_its_message(output):
    entries = (UpstreamError("", "Bad locale."), UpstreamError("odd", "Odd."))

    audit().failed(RequestRejected("Refused.", upstream_errors=entries))

    assert output().audit["upstream_codes"] == ["Bad locale.", "odd"]


def test_upstream_status_is_not_logged_for_the_next_call(output):
    first = audit(REMINDER)
    observability.observe_upstream(204, 0.5)
    first.succeeded(ReminderResult(7, "sent"))

    audit(Reminder(8)).succeeded(ReminderResult(8, "already_reminded"))

    logged = {line["order_id"]: line.get("upstream_status") for line in output().lines}
    assert logged == {7: 204, 8: None}


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("already_validated", {"AlreadyValidated": [one()]}),
        *((reason, {}) for reason in ("not_dv", "not_pending", "x")),
    ],
)
def test_reminder_of_an_ineligible_order_is_no_failure(output, reason, counted):
    audit(REMINDER, "queue").failed(OrderNotEligible(reason, "x"))

    observability.flush()
    printed = output()
    assert (printed.audit["outcome"], printed.audit["code"]) == ("OrderNotEligible", f"order_not_eligible|{reason}")
    assert printed.metrics == counted


@pytest.mark.parametrize("code", ["not_found|route", "method_not_allowed"])
def test_request_to_another_route_has_a_line_and_counts_nothing(output, code):
    line = Audit("http")
    line.caller = CALLER

    line.not_routed(code)

    observability.flush()
    printed = output()
    logged = {name: value for name, value in printed.audit.items() if name not in LOGGER_FIELDS | {"duration_ms"}}
    assert logged == {"outcome": "not_routed", "event_source": "http", "caller": CALLER, "code": code}
    assert printed.metrics == {}


def test_bug_is_logged_with_its_stack_trace_and_counted(output):
    try:
        raise ValueError("a detail")
    except ValueError as error:
        audit().failed(error)

    observability.flush()
    printed = output()
    assert (printed.audit["outcome"], printed.audit["code"]) == ("InternalError", "internal_error")
    (line,) = [line for line in printed.lines if line.get("message") == "internal error"]
    assert (line["level"], line["exception_name"]) == ("ERROR", "ValueError")
    assert printed.metrics == {"ResendFailed": [one(reason="InternalError"), one()]}
