"""The metrics that alarms name, and what other libraries may log."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SERVICE

from dv_resend import observability
from dv_resend.observability import MetricName, count, count_failure, flush, observe_upstream

SRC = Path(__file__).parents[2] / "src"
BY_SERVICE = {"namespace": "DvResend", "dimensions": {"service": SERVICE}}


# Metrics


def test_metric_has_one_dimension_and_adds_up(output):
    count(MetricName.RESEND_SENT)
    count(MetricName.RESEND_SENT, 2)
    flush()

    assert output().metrics == {"ResendSent": [BY_SERVICE | {"value": [1, 2]}]}


def test_failure_is_counted_in_all_and_by_reason(output):
    count_failure("RateLimited")
    flush()

    by_reason = {"namespace": "DvResend", "dimensions": {"service": SERVICE, "reason": "RateLimited"}}
    assert output().metrics == {"ResendFailed": [by_reason | {"value": 1}, BY_SERVICE | {"value": 1}]}


def test_upstream_latency_is_emitted_in_milliseconds(output):
    observe_upstream(200, 0.2504)
    observe_upstream(None, 10)
    flush()

    assert output().metrics == {"UpstreamLatency": [BY_SERVICE | {"value": [250.4, 10000]}]}


def test_upstream_status_of_the_last_call_is_logged(output):
    observe_upstream(200, 0.1)
    observe_upstream(503, 0.1)

    observability.logger.info("a line")

    (line,) = output().lines
    assert line["upstream_status"] == 503


def test_metrics_are_not_emitted_again(output):
    count(MetricName.RESEND_SENT)
    flush()
    output()

    flush()

    assert output().lines == []


@pytest.mark.filterwarnings("error")
def test_flush_without_metrics_writes_nothing(output):
    flush()

    assert output().lines == []


def test_metric_names_are_fixed():
    """Alarms refer to them."""
    assert {name.value for name in MetricName} == {
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
        "RemindersMissed",
        "StuckOrders",
        "OldestPendingDays",
    }


# Loggers of libraries


@pytest.mark.parametrize(
    ("name", "level"),
    [
        *((name, logging.INFO) for name in ("boto3", "botocore", "botocore.endpoint", "botocore.parsers")),
        *((name, logging.ERROR) for name in ("urllib3.connection", "urllib3.connectionpool")),
    ],
)
def test_library_log_levels_keep_the_key_out(monkeypatch, name, level):
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)

    assert logging.getLogger(name).getEffectiveLevel() == level


def test_library_log_levels_ignore_the_environment():
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG); import dv_resend.observability as observability\n"
        "for name in ('botocore', 'boto3', 'urllib3'): print(logging.getLogger(name).isEnabledFor(logging.DEBUG))\n"
        "print(observability.logger.level)"
    )
    environment = os.environ | {"PYTHONPATH": str(SRC), "POWERTOOLS_LOG_LEVEL": "DEBUG"}

    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert printed.stdout.split() == ["False", "False", "False", "10"]


def test_release_is_in_every_line():
    code = (
        "import dv_resend.observability as observability\n"
        "observability.logger.info('a line')\n"
        "observability.logger.clear_state()\n"
        "observability.logger.info('a line of the next invocation')"
    )
    environment = os.environ | {"PYTHONPATH": str(SRC), "RELEASE": "20261127T101500Z-fb86330"}

    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    releases = [json.loads(line)["release"] for line in printed.stdout.splitlines()]
    assert releases == ["20261127T101500Z-fb86330"] * 2
