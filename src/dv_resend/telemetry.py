"""Logs and metrics: the names of all metrics, and the audit line."""

import logging
import os
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from dv_resend.errors import ApiKeyRejected, OrderNotEligible, OutcomeUnknown, RateLimited, ResendError
from dv_resend.models import (
    OrderStatus,
    Reminder,
    ReminderResult,
    ResendRequest,
    ResendResult,
    StatusRequest,
    SweepRequest,
    SweepSummary,
    mask_address,
)

if TYPE_CHECKING:
    from dv_resend.explain import ResendPlan

NAMESPACE = "DvResend"

# The one dimension of every metric. The template sets it to the stack's name, so that stacks in one account,
# and their alarms, do not mix.
SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "dv-resend")

# At DEBUG, botocore logs the secret's value.
for _name in ("boto3", "botocore"):
    logging.getLogger(_name).setLevel(logging.INFO)
# Its warnings quote headers that it cannot parse: the key would show if CertCentral, or a firewall, sent it back there.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class MetricName(StrEnum):
    """Every metric of the service. Alarms name these."""

    RESEND_SENT = "ResendSent"
    RESEND_DUPLICATE = "ResendDuplicate"
    RESEND_FAILED = "ResendFailed"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    API_KEY_REJECTED = "ApiKeyRejected"
    RATE_LIMITED = "RateLimited"
    ALREADY_VALIDATED = "AlreadyValidated"
    UPSTREAM_LATENCY = "UpstreamLatency"
    PENDING_ORDERS = "PendingOrders"
    REMINDERS_ENQUEUED = "RemindersEnqueued"
    STUCK_ORDERS = "StuckOrders"
    OLDEST_PENDING_DAYS = "OldestPendingDays"


_OF_ERROR: dict[type[Exception], MetricName] = {
    ApiKeyRejected: MetricName.API_KEY_REJECTED,
    OutcomeUnknown: MetricName.OUTCOME_UNKNOWN,
    RateLimited: MetricName.RATE_LIMITED,
}

_OF_OUTCOME = {
    "sent": MetricName.RESEND_SENT,
    "duplicate": MetricName.RESEND_DUPLICATE,
    "stuck": MetricName.STUCK_ORDERS,
}

logger = Logger(service=SERVICE)
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)


def observe_upstream(status: int | None, seconds: float) -> None:
    """Note one call to CertCentral: its latency as a metric, its status (``None``: no answer) for the audit line."""
    metrics.add_metric(name=MetricName.UPSTREAM_LATENCY, unit=MetricUnit.Milliseconds, value=round(seconds * 1000, 1))
    logger.append_keys(upstream_status=status)


def flush() -> None:
    """Write the metrics of this invocation; nothing is written when there are none."""
    if metrics.metric_set:
        metrics.flush_metrics()


class Audit:
    """The one line about one call: what was decided, for whom and by whom. Who was mailed must be answerable later.

    Fill in what becomes known, then call `succeeded` or `failed`, which also count the metrics. Addresses are masked
    unless they are role addresses; what is not known is left out.
    """

    def __init__(self, door: str | None = None) -> None:
        """Start the clock."""
        logger.remove_keys(["upstream_status"])
        self.door = door
        self.caller: str | None = None
        self.ask: ResendRequest | StatusRequest | SweepRequest | Reminder | None = None
        self._started = time.monotonic()

    def announce(self, request: ResendRequest) -> None:
        """Write a line before the emails are sent: all that is left if the function is killed while sending."""
        if isinstance(self.ask, ResendRequest):
            self.ask = request  # less those whom it skips
        self._write("sending", {"claim": request.claim_key}, "sending")

    def succeeded(self, result: "ResendResult | ResendPlan | OrderStatus | ReminderResult | SweepSummary") -> None:
        """Count a result and write the line."""
        match result:
            case OrderStatus():
                self._write("status")
            case SweepSummary():
                _measure_sweep(result)
                figures = {name: value for name, value in result.to_json().items() if name != "plan"}
                self._write("swept" if result.next_offset is None else "sweeping", figures)
            case _:
                if isinstance(result, ResendResult):
                    self.ask = result.request  # less those whom it skips
                if (metric := _OF_OUTCOME.get(result.outcome)) is not None:
                    _count(metric)
                self._write(result.outcome)

    def failed(self, error: Exception) -> None:
        """Count a failure, in all and by reason, and write the line; for a bug also its stack trace.

        An order that a sweep cannot help is no failure: it is found by looking, and nobody asked. Those that need no
        help any more are counted.
        """
        if self.door == "sqs" and isinstance(error, OrderNotEligible):
            if error.reason == "already_validated":
                _count(MetricName.ALREADY_VALIDATED)
            self._write(type(error).__name__, {"code": error.code})
            return
        _count(MetricName.RESEND_FAILED)
        if (specific := _OF_ERROR.get(type(error))) is not None:
            _count(specific)
        if isinstance(error, ResendError):
            reason = type(error).__name__
            codes = [said.code for said in error.upstream_errors]
            self._write(reason, {"code": error.code, "upstream_codes": codes or None})
        else:
            reason = "InternalError"
            logger.exception("internal error")
            self._write(reason)
        with single_metric(
            name=MetricName.RESEND_FAILED,
            unit=MetricUnit.Count,
            value=1,
            namespace=NAMESPACE,
            default_dimensions={"service": SERVICE},
        ) as metric:
            metric.add_dimension("reason", reason)

    def _write(self, outcome: str, facts: Mapping[str, object] | None = None, message: str = "audit") -> None:
        line: dict[str, object] = {
            "outcome": outcome,
            "door": self.door,
            "order_id": getattr(self.ask, "order_id", None),
            "caller": self.caller,
            "duration_ms": round((time.monotonic() - self._started) * 1000),
            **(facts or {}),
        }
        if isinstance(self.ask, ResendRequest):
            addresses = self.ask.addresses
            line["recipients"] = addresses if isinstance(addresses, str) else [mask_address(a) for a in addresses]
            line |= {"force": self.ask.force or None, "dry_run": self.ask.dry_run or None}
            line["requested_by"] = self.ask.requested_by
            line["skipped"] = [mask_address(recipient.email) for recipient in self.ask.skipped] or None
        if isinstance(self.ask, Reminder):
            line |= {"recipients": "default", "reminder_day": self.ask.day}
        logger.info(message, extra={name: value for name, value in line.items() if value is not None})


def _count(name: MetricName, value: int = 1) -> None:
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def _measure_sweep(summary: SweepSummary) -> None:
    """Emit the figures of a whole sweep: neither those of a dry run nor those of a link that is not the last."""
    if summary.plan is None and summary.next_offset is None:
        _count(MetricName.PENDING_ORDERS, summary.pending_dv)
        _count(MetricName.REMINDERS_ENQUEUED, summary.enqueued)
        _count(MetricName.STUCK_ORDERS, summary.stuck)
        _count(MetricName.OLDEST_PENDING_DAYS, summary.oldest_days)
