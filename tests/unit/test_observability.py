"""What an operator sees: one audit line per decision, and the metrics that alarms name."""

import dataclasses
import datetime as dt
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SERVICE

from dv_resend import observability
from dv_resend.core.orders import Order, OrderStatus
from dv_resend.core.plan import ResendPlan
from dv_resend.core.requests import Reminder, ResendRequest, StatusRequest, SweepRequest
from dv_resend.core.resend import ReminderResult, ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.errors import (
    ApiKeyRejected,
    InvalidRequest,
    OrderNotEligible,
    OutcomeUnknown,
    RateLimited,
    RecipientNotAllowed,
    RequestRejected,
    ResendError,
    UpstreamError,
)
from dv_resend.handlers.audit import Audit

SRC = Path(__file__).parents[2] / "src"
REQUEST = ResendRequest.from_input(
    {
        "order_id": 7,
        "domain_approval_emails": [
            {"domain": "example.com", "email": "jane.doe@example.com"},
            {"domain": "example.com", "email": "Hostmaster@example.com"},
        ],
    }
)
SENT = ResendResult(REQUEST, "sent", 1795446245, 3600)
ORDER = Order(7, "pending", "dv_ssl_certificate", "email")
REFUSAL = OrderNotEligible("already_validated", "x")
PLANS = [
    ResendPlan(REQUEST, ORDER, (), 1795446245, "sent"),
    ResendPlan(REQUEST, ORDER, (), 1795446245, "OrderNotEligible", REFUSAL),
]
REMINDER = Reminder(7, dt.date(2026, 11, 20), 3)
COUNTS = {"listed": 9, "pending_dv": 6, "due": 4, "enqueued": 4, "stuck": 2, "oldest_days": 45}
SUMMARY = SweepSummary(**COUNTS, by_status={"pending": 8, "under_review": 1}, stuck_orders=[11, 12])
# Fields of every log line, by Powertools.
USUAL = {"level", "location", "message", "timestamp", "service"}


@pytest.fixture(autouse=True)
def _clean():
    yield
    observability.metrics.clear_metrics()
    observability.logger.remove_keys(["upstream_status"])


def audit(ask=REQUEST):
    line = Audit("http")
    line.caller, line.ask = "arn:aws:iam::123456789012:user/jane", ask
    return line


def facts(output):
    return {name: value for name, value in output().audit.items() if name not in USUAL}


def error_of(kind):
    if kind is RecipientNotAllowed:
        return kind([("field", "x"), ("another", "y")])
    return kind("field", "x") if kind in (InvalidRequest, OrderNotEligible) else kind("x")


# The audit line


def test_the_line_of_a_sent_resend_says_who_mailed_whom(output):
    audit().succeeded(SENT)

    line = facts(output)
    assert isinstance(line.pop("duration_ms"), int)
    assert line == {
        "outcome": "sent",
        "door": "http",
        "order_id": 7,
        "caller": "arn:aws:iam::123456789012:user/jane",
        "recipients": ["j***@example.com", "Hostmaster@example.com"],
    }


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (SENT, "sent"),
        (ResendResult(REQUEST, "duplicate", 1795446245, 60), "duplicate"),
        *((plan, "planned") for plan in PLANS),
        (OrderStatus(7, "pending", "email", ()), "status"),
        *(
            (ReminderResult(7, outcome), outcome)
            for outcome in ("sent", "duplicate", "already_reminded", "not_due", "stuck")
        ),
        (SUMMARY, "swept"),
        (SweepSummary(plan=[]), "swept"),
        (SweepSummary(next_offset=1000), "sweeping"),
    ],
    ids=ascii,
)
def test_each_result_has_its_outcome(output, result, outcome):
    audit().succeeded(result)

    assert output().audit["outcome"] == outcome


@pytest.mark.parametrize("kind", ResendError.__subclasses__())
def test_the_outcome_of_a_failure_is_its_class_and_its_code_stands_beside(output, kind):
    error = error_of(kind)

    audit().failed(error)

    line = facts(output)
    assert (line["outcome"], line["code"]) == (kind.__name__, error.code)


def test_default_recipients_are_called_default(output):
    audit(request := ResendRequest(7)).succeeded(dataclasses.replace(SENT, request=request))

    assert output().audit["recipients"] == "default"


def test_flags_are_noted_when_set(output):
    audit(request := ResendRequest(7, dry_run=True, force=True)).succeeded(dataclasses.replace(SENT, request=request))

    line = facts(output)
    assert (line["dry_run"], line["force"]) == (True, True)


def test_who_asked_stands_beside_who_called(output):
    audit(request := ResendRequest(7, requested_by="the web team")).succeeded(
        dataclasses.replace(SENT, request=request)
    )

    line = output().audit
    assert (line["caller"], line["requested_by"]) == ("arn:aws:iam::123456789012:user/jane", "the web team")


@pytest.mark.parametrize(
    ("ask", "order_id"), [(StatusRequest(7), 7), (SweepRequest(), None), (REMINDER, 7), (None, None)], ids=ascii
)
def test_the_order_is_named_where_one_was_asked_about(output, ask, order_id):
    audit(ask).failed(RateLimited("x"))

    line = output().audit
    assert line.get("order_id") == order_id
    assert ("recipients" in line) == isinstance(ask, Reminder)


@pytest.mark.parametrize(("reminder", "day"), [(REMINDER, 3), (Reminder(7), None)], ids=ascii)
def test_the_line_of_a_reminder_says_which_one_and_that_it_mails_the_default_recipients(output, reminder, day):
    audit(reminder).succeeded(ReminderResult(7, "sent"))

    line = output().audit
    assert (line["order_id"], line["recipients"], line.get("reminder_day")) == (7, "default", day)


def test_the_line_of_a_sweep_is_its_summary(output):
    audit(SweepRequest()).succeeded(SUMMARY)

    line = facts(output)
    assert isinstance(line.pop("duration_ms"), int)
    assert line == {
        "outcome": "swept",
        "door": "http",
        "caller": "arn:aws:iam::123456789012:user/jane",
        **COUNTS,
        "by_status": {"pending": 8, "under_review": 1},
        "stuck_orders": [11, 12],
    }


def skipping(request):
    """Give the same request, as it is sent when the first recipient's name is validated already."""
    return dataclasses.replace(request, recipients=request.recipients[1:], skipped=request.recipients[:1])


def test_what_is_about_to_be_sent_is_announced_with_its_claim(output):
    audit().before_send(REQUEST)

    (line,) = output().lines
    assert (line["message"], line["outcome"], line["claim"]) == ("sending", "sending", REQUEST.claim_key)
    assert line["recipients"] == ["j***@example.com", "Hostmaster@example.com"]
    assert "skipped" not in line
    assert (line["order_id"], line["caller"]) == (7, "arn:aws:iam::123456789012:user/jane")
    assert emitted(output) == {}


def test_who_is_skipped_is_told_beside_those_who_are_mailed_before_and_after_the_sending(output):
    line = audit()
    line.before_send(skipping(REQUEST))
    line.succeeded(ResendResult(skipping(REQUEST), "sent", 1795446245, 3600))

    told = [(line["message"], line["recipients"], line["skipped"]) for line in output().lines]
    assert told == [
        ("sending", ["Hostmaster@example.com"], ["j***@example.com"]),
        ("audit", ["Hostmaster@example.com"], ["j***@example.com"]),
    ]


def test_who_is_skipped_is_also_told_when_the_outcome_is_not_known(output):
    line = audit()
    line.before_send(skipping(REQUEST))
    line.failed(OutcomeUnknown("x"))

    found = output().audit
    assert (found["recipients"], found["skipped"]) == (["Hostmaster@example.com"], ["j***@example.com"])


def test_a_reminder_is_announced_as_the_reminder_that_it_is(output):
    line = audit(REMINDER)
    line.before_send(ResendRequest(7))
    line.succeeded(ReminderResult(7, "sent"))

    told = [(line["message"], line["recipients"], line["reminder_day"]) for line in output().lines]
    assert told == [("sending", "default", 3), ("audit", "default", 3)]


def test_the_line_of_refused_recipients_names_the_first_field_and_no_address(output):
    audit().failed(RecipientNotAllowed([("domain_approval_emails[0].email", "not jane.doe@example.com.")]))

    line = output().audit
    assert line["code"] == "recipient_not_allowed|domain_approval_emails[0].email"
    assert "jane.doe" not in str(line)


def test_what_is_not_known_is_left_out(output):
    Audit().failed(InvalidRequest("event", "x"))

    line = facts(output)
    assert set(line) == {"outcome", "code", "duration_ms"}


def test_what_certcentral_answered_is_noted(output):
    line = audit()
    observability.observe_upstream(422, 0.5)
    said = (UpstreamError("invalid_locale", "Bad locale of jane.doe@example.com."),)

    line.failed(RequestRejected("Refused.", upstream_status=422, upstream_errors=said))

    line = output().audit
    assert (line["upstream_status"], line["upstream_codes"]) == (422, ["invalid_locale"])
    assert "jane" not in str(line["recipients"])
    assert "Bad locale" not in str(line)


def test_what_certcentral_answered_before_is_not_told_of_the_next_call(output):
    first = audit(REMINDER)
    observability.observe_upstream(204, 0.5)
    first.succeeded(ReminderResult(7, "sent"))
    audit(Reminder(8)).succeeded(ReminderResult(8, "already_reminded"))

    told = {line["order_id"]: line.get("upstream_status") for line in output().lines}
    assert told == {7: 204, 8: None}


def test_a_bug_is_told_with_its_stack_beside_the_audit_line(output):
    try:
        raise ValueError("a detail")
    except ValueError as error:
        audit().failed(error)

    printed = output()
    assert printed.audit["outcome"] == "InternalError"
    (line,) = [line for line in printed.lines if line.get("message") == "internal error"]
    assert (line["level"], line["exception_name"]) == ("ERROR", "ValueError")


# Metrics


def emitted(output):
    observability.flush()
    return output().metrics


def one(value=1, **dimensions):
    return {"namespace": "DvResend", "dimensions": {"service": SERVICE, **dimensions}, "value": value}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (SENT, {"ResendSent": [one()]}),
        (ResendResult(REQUEST, "duplicate", 1795446245, 60), {"ResendDuplicate": [one()]}),
        *((plan, {}) for plan in PLANS),
        (OrderStatus(7, "pending", "email", ()), {}),
        (ReminderResult(7, "sent"), {"ResendSent": [one()]}),
        (ReminderResult(7, "duplicate"), {"ResendDuplicate": [one()]}),
        (ReminderResult(7, "stuck"), {"StuckOrders": [one()]}),
        (ReminderResult(7, "already_reminded"), {}),
        (ReminderResult(7, "not_due"), {}),
        (
            SUMMARY,
            {
                "PendingOrders": [one(6)],
                "RemindersEnqueued": [one(4)],
                "StuckOrders": [one(2)],
                "OldestPendingDays": [one(45)],
            },
        ),
        (SweepSummary(**COUNTS, plan=[]), {}),
        (SweepSummary(**COUNTS, plan=[REMINDER.to_json()]), {}),
        (SweepSummary(**COUNTS, next_offset=1000), {}),
    ],
    ids=ascii,
)
def test_results_are_counted(output, result, expected):
    audit().succeeded(result)

    assert emitted(output) == expected


@pytest.mark.parametrize("kind", ResendError.__subclasses__())
def test_a_failure_is_counted_in_all_and_by_reason(output, kind):
    special = {ApiKeyRejected: "ApiKeyRejected", OutcomeUnknown: "OutcomeUnknown", RateLimited: "RateLimited"}

    audit().failed(error_of(kind))

    counted = emitted(output)
    failures = counted.pop("ResendFailed")
    assert len(failures) == 2
    assert one() in failures
    assert one(reason=kind.__name__) in failures
    assert counted == ({special[kind]: [one()]} if kind in special else {})


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("already_validated", {"AlreadyValidated": [one()]}),
        *((reason, {}) for reason in ("not_dv", "not_pending", "x")),
    ],
)
def test_an_order_that_a_sweep_cannot_help_is_no_failure_and_one_that_needs_no_help_is_counted(output, reason, counted):
    line = audit(REMINDER)
    line.door = "sqs"

    line.failed(OrderNotEligible(reason, "x"))

    assert emitted(output) == counted


@pytest.mark.parametrize("door", ["http", "direct", "event"])
def test_somebody_who_asks_for_a_validated_order_is_refused_like_any_other(output, door):
    line = audit()
    line.door = door

    line.failed(REFUSAL)

    assert emitted(output) == {"ResendFailed": [one(reason="OrderNotEligible"), one()]}


def test_a_bug_is_counted_as_a_failure(output):
    audit().failed(ValueError("x"))

    failures = emitted(output)["ResendFailed"]
    assert len(failures) == 2
    assert one() in failures
    assert one(reason="InternalError") in failures


def test_the_latency_of_each_upstream_call_is_emitted_in_milliseconds(output):
    observability.observe_upstream(200, 0.2504)
    observability.observe_upstream(None, 10)

    assert emitted(output) == {"UpstreamLatency": [one([250.4, 10000])]}


def test_the_metrics_of_one_invocation_do_not_come_again_in_the_next(output):
    audit().succeeded(SENT)
    emitted(output)

    assert emitted(output) == {}


@pytest.mark.filterwarnings("error")
def test_without_metrics_nothing_is_written(output):
    observability.flush()

    assert output().lines == []


def test_metric_names_are_fixed_because_alarms_name_them():
    assert {name.value for name in observability.MetricName} == {
        "ResendSent",
        "ResendDuplicate",
        "ResendFailed",
        "OutcomeUnknown",
        "ApiKeyRejected",
        "RateLimited",
        "AlreadyValidated",
        "UpstreamLatency",
        "PendingOrders",
        "RemindersEnqueued",
        "StuckOrders",
        "OldestPendingDays",
    }


# Other people's loggers


@pytest.mark.parametrize(
    ("name", "level"),
    [
        *((name, logging.INFO) for name in ("boto3", "botocore", "botocore.endpoint", "botocore.parsers")),
        *((name, logging.ERROR) for name in ("urllib3.connection", "urllib3.connectionpool")),
    ],
)
def test_libraries_that_would_log_the_key_stay_above_that(monkeypatch, name, level):
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)

    assert logging.getLogger(name).getEffectiveLevel() == level


def test_the_log_level_of_the_environment_does_not_reach_them():
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG); import dv_resend.observability as t\n"
        "for name in ('botocore', 'boto3', 'urllib3'): print(logging.getLogger(name).isEnabledFor(logging.DEBUG))\n"
        "print(t.logger.level)"
    )
    environment = os.environ | {"PYTHONPATH": str(SRC), "POWERTOOLS_LOG_LEVEL": "DEBUG"}

    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert printed.stdout.split() == ["False", "False", "False", "10"]
