"""Logs and metrics: the names of all metrics, and the audit line."""

import logging
import os
import time
from enum import StrEnum

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from dv_resend.errors import ApiKeyRejected, OutcomeUnknown, RateLimited, ResendError
from dv_resend.models import OrderStatus, ResendPlan, ResendRequest, ResendResult, mask_address

NAMESPACE = "DvResend"

# The one dimension of every metric. The template sets it to the stack's name, so that stacks in one account,
# and their alarms, do not mix.
SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "dv-resend")

# At DEBUG, botocore logs the secret's value, and urllib3 request lines.
for _name in ("boto3", "botocore", "urllib3"):
    logging.getLogger(_name).setLevel(logging.INFO)


class MetricName(StrEnum):
    """Every metric of the service. Alarms name these."""

    RESEND_SENT = "ResendSent"
    RESEND_DUPLICATE = "ResendDuplicate"
    RESEND_FAILED = "ResendFailed"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    API_KEY_REJECTED = "ApiKeyRejected"
    RATE_LIMITED = "RateLimited"
    UPSTREAM_LATENCY = "UpstreamLatency"


_OF_ERROR: dict[type[Exception], MetricName] = {
    ApiKeyRejected: MetricName.API_KEY_REJECTED,
    OutcomeUnknown: MetricName.OUTCOME_UNKNOWN,
    RateLimited: MetricName.RATE_LIMITED,
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

    def __init__(self) -> None:
        """Start the clock."""
        self.door: str | None = None
        self.order_id: int | None = None
        self.caller: str | None = None
        self.request: ResendRequest | None = None
        self._started = time.monotonic()

    def succeeded(self, result: ResendResult | ResendPlan | OrderStatus) -> None:
        """Count a result and write the line."""
        if isinstance(result, ResendResult):
            _count(MetricName.RESEND_SENT if result.outcome == "sent" else MetricName.RESEND_DUPLICATE)
        self._write("status" if isinstance(result, OrderStatus) else result.outcome)

    def failed(self, error: Exception) -> None:
        """Count a failure, in all and by reason, and write the line; for a bug also its stack trace."""
        _count(MetricName.RESEND_FAILED)
        if (specific := _OF_ERROR.get(type(error))) is not None:
            _count(specific)
        if isinstance(error, ResendError):
            reason = type(error).__name__
            codes = [said.code for said in error.upstream_errors]
            self._write(reason, code=error.code, upstream_codes=codes or None)
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

    def _write(self, outcome: str, **facts: object) -> None:
        line: dict[str, object] = {
            "outcome": outcome,
            "door": self.door,
            "order_id": self.order_id,
            "caller": self.caller,
            "duration_ms": round((time.monotonic() - self._started) * 1000),
            **facts,
        }
        if self.request is not None:
            addresses = self.request.addresses
            line["recipients"] = addresses if isinstance(addresses, str) else [mask_address(a) for a in addresses]
            line |= {"force": self.request.force or None, "dry_run": self.request.dry_run or None}
        logger.info("audit", extra={name: value for name, value in line.items() if value is not None})


def _count(name: MetricName) -> None:
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
