"""What an operator sees: one audit line per decision, and the metrics that alarms name."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SERVICE

from dv_resend import telemetry
from dv_resend.errors import (
    ApiKeyRejected,
    InvalidRequest,
    OrderNotEligible,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    ResendError,
    UpstreamError,
)
from dv_resend.models import OrderStatus, ResendPlan, ResendRequest, ResendResult
from dv_resend.telemetry import Audit

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
# Fields of every log line, by Powertools.
USUAL = {"level", "location", "message", "timestamp", "service"}


@pytest.fixture(autouse=True)
def _clean():
    yield
    telemetry.metrics.clear_metrics()
    telemetry.logger.remove_keys(["upstream_status"])


def audit(request=REQUEST, **known):
    line = Audit()
    line.door, line.order_id, line.caller, line.request = "http", 7, "arn:aws:iam::123456789012:user/jane", request
    for name, value in known.items():
        setattr(line, name, value)
    return line


def facts(output):
    return {name: value for name, value in output().audit.items() if name not in USUAL}


def error_of(kind):
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
        (ResendPlan(REQUEST, "sent"), "planned"),
        (OrderStatus(7, "pending", "email", ()), "status"),
    ],
    ids=["sent", "duplicate", "planned", "status"],
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
    audit(request=ResendRequest(7)).succeeded(SENT)

    assert output().audit["recipients"] == "default"


def test_flags_are_noted_when_set(output):
    audit(request=ResendRequest(7, dry_run=True, force=True)).succeeded(SENT)

    line = facts(output)
    assert (line["dry_run"], line["force"]) == (True, True)


def test_what_is_not_known_is_left_out(output):
    Audit().failed(InvalidRequest("event", "x"))

    line = facts(output)
    assert set(line) == {"outcome", "code", "duration_ms"}


def test_what_certcentral_answered_is_noted(output):
    telemetry.observe_upstream(422, 0.5)
    said = (UpstreamError("invalid_locale", "Bad locale of jane.doe@example.com."),)

    audit().failed(RequestRejected("Refused.", upstream_status=422, upstream_errors=said))

    line = output().audit
    assert (line["upstream_status"], line["upstream_codes"]) == (422, ["invalid_locale"])
    assert "jane" not in str(line["recipients"])
    assert "Bad locale" not in str(line)


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
    telemetry.flush()
    return output().metrics


def one(value=1, **dimensions):
    return {"namespace": "DvResend", "dimensions": {"service": SERVICE, **dimensions}, "value": value}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (SENT, {"ResendSent": [one()]}),
        (ResendResult(REQUEST, "duplicate", 1795446245, 60), {"ResendDuplicate": [one()]}),
        (ResendPlan(REQUEST, "sent"), {}),
        (OrderStatus(7, "pending", "email", ()), {}),
    ],
    ids=["sent", "duplicate", "planned", "status"],
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


def test_a_bug_is_counted_as_a_failure(output):
    audit().failed(ValueError("x"))

    failures = emitted(output)["ResendFailed"]
    assert len(failures) == 2
    assert one() in failures
    assert one(reason="InternalError") in failures


def test_the_latency_of_each_upstream_call_is_emitted_in_milliseconds(output):
    telemetry.observe_upstream(200, 0.2504)
    telemetry.observe_upstream(None, 10)

    assert emitted(output) == {"UpstreamLatency": [one([250.4, 10000])]}


def test_the_metrics_of_one_invocation_do_not_come_again_in_the_next(output):
    audit().succeeded(SENT)
    emitted(output)

    assert emitted(output) == {}


@pytest.mark.filterwarnings("error")
def test_without_metrics_nothing_is_written(output):
    telemetry.flush()

    assert output().lines == []


def test_metric_names_are_fixed_because_alarms_name_them():
    assert {name.value for name in telemetry.MetricName} == {
        "ResendSent",
        "ResendDuplicate",
        "ResendFailed",
        "OutcomeUnknown",
        "ApiKeyRejected",
        "RateLimited",
        "UpstreamLatency",
    }


# Other people's loggers


@pytest.mark.parametrize(
    "name", ["boto3", "botocore", "botocore.endpoint", "botocore.parsers", "urllib3.connectionpool"]
)
def test_libraries_that_would_log_the_key_at_debug_stay_at_info(monkeypatch, name):
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)

    assert logging.getLogger(name).getEffectiveLevel() == logging.INFO


def test_the_log_level_of_the_environment_does_not_reach_them():
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG); import dv_resend.telemetry as t\n"
        "for name in ('botocore', 'boto3', 'urllib3'): print(logging.getLogger(name).isEnabledFor(logging.DEBUG))\n"
        "print(t.logger.level)"
    )
    environment = os.environ | {"PYTHONPATH": str(SRC), "POWERTOOLS_LOG_LEVEL": "DEBUG"}

    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert printed.stdout.split() == ["False", "False", "False", "10"]
