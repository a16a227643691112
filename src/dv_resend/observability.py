"""The logger, and the names of all metrics. Everybody may import it, so it imports nothing of ours."""

import logging
import os
from enum import StrEnum

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

NAMESPACE = "DvResend"

# The one dimension of every metric. The template sets it to the stack's name, so that the stacks of one account, and
# their alarms, do not mix.
SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "dv-resend")

# Names the deployment. During a gradual one, it tells the lines of the new version from those of the old.
RELEASE = os.environ.get("RELEASE")

# At DEBUG, botocore logs the secret's value.
for _name in ("boto3", "botocore"):
    logging.getLogger(_name).setLevel(logging.INFO)
# Its warnings quote headers that it cannot parse: the key would show if CertCentral, or a firewall, echoed it there.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class MetricName(StrEnum):
    """Every metric of the service. Alarms refer to these names.

    Example:
        >>> str(MetricName.RESEND_SENT)
        'ResendSent'
    """

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
    REMINDERS_MISSED = "RemindersMissed"
    STUCK_ORDERS = "StuckOrders"
    OLDEST_PENDING_DAYS = "OldestPendingDays"


logger = Logger(service=SERVICE, release=RELEASE)
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)


def count(name: MetricName, value: int = 1) -> None:
    """Add to a metric of this invocation."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def count_failure(reason: str) -> None:
    """Count a failure twice: in all, and by its ``reason`` (an error's class name)."""
    count(MetricName.RESEND_FAILED)
    with single_metric(
        name=MetricName.RESEND_FAILED,
        unit=MetricUnit.Count,
        value=1,
        namespace=NAMESPACE,
        default_dimensions={"service": SERVICE},
    ) as metric:
        metric.add_dimension("reason", reason)


def observe_upstream(status: int | None, seconds: float) -> None:
    """Note one call to CertCentral: its latency as a metric, its status (``None``: no response) for the audit line."""
    metrics.add_metric(name=MetricName.UPSTREAM_LATENCY, unit=MetricUnit.Milliseconds, value=round(seconds * 1000, 1))
    logger.append_keys(upstream_status=status)


def flush() -> None:
    """Write the metrics of this invocation; write nothing if there are none."""
    if metrics.metric_set:
        metrics.flush_metrics()
