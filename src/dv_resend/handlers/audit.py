"""The audit line: one for each decision. It answers later who was mailed, when, and by whom."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dv_resend.core.addresses import mask_address
from dv_resend.core.orders import OrderStatus
from dv_resend.core.pending import PendingList
from dv_resend.core.requests import Reminder, ResendRequest
from dv_resend.core.resend import ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    OrderNotEligible,
    OutcomeUnknown,
    RateLimited,
    ResendError,
)
from dv_resend.observability import MetricName, count, count_failure, logger

if TYPE_CHECKING:
    from dv_resend.core.resend import ReminderResult
    from dv_resend.handlers.events import EventSource, Request, Result

_OF_ERROR: dict[type[Exception], MetricName] = {
    ApiKeyRejected: MetricName.API_KEY_REJECTED,
    OutcomeUnknown: MetricName.OUTCOME_UNKNOWN,
    RateLimited: MetricName.RATE_LIMITED,
}

_OF_OUTCOME = {
    "sent": MetricName.RESEND_SENT,
    "duplicate": MetricName.RESEND_DUPLICATE,
    "missed": MetricName.REMINDERS_MISSED,
    "stuck": MetricName.STUCK_ORDERS,
}


class Audit:
    """The audit line of one call. Fill in what becomes known, then call `succeeded`, `failed` or `not_routed` once.

    The first two also count the metrics. Addresses are masked unless they are role addresses. What is unknown is left
    out.

    Example:
        ``audit = Audit("direct"); audit.request = request; audit.succeeded(result)``
    """

    def __init__(self, event_source: "EventSource | None" = None) -> None:
        """Start the clock."""
        logger.remove_keys(["upstream_status"])
        self.event_source = event_source
        self.caller: str | None = None
        self.request: Request | Reminder | None = None
        self._started = time.monotonic()

    def before_send(self, request: ResendRequest) -> None:
        """Write a line before the emails are sent. It is all that is left if the function is killed while sending."""
        if isinstance(self.request, ResendRequest):
            self.request = request  # without those who are skipped
        self._write("sending", message="sending")

    def succeeded(self, result: "Result | ReminderResult") -> None:
        """Count a result and write the line."""
        match result:
            case OrderStatus():
                self._write("status")
            case PendingList():
                self._write("pending", vars(result) | {"orders": len(result.orders)})
            case SweepSummary():
                _measure_sweep(result)
                self._write("swept", {name: value for name, value in result.to_json().items() if name != "plan"})
            case _:
                if isinstance(result, ResendResult):
                    self.request = result.request  # without those who are skipped
                if (metric := _OF_OUTCOME.get(result.outcome)) is not None:
                    count(metric)
                self._write(result.outcome)

    def failed(self, error: Exception) -> None:
        """Count a failure, in all and by reason, and write the line; for a bug also its stack trace.

        A reminder for an order that needs no email is no failure: nobody asked for it. Orders that are already
        validated are counted.
        """
        if self.event_source == "queue" and isinstance(error, OrderNotEligible):
            if error.reason == "already_validated":
                count(MetricName.ALREADY_VALIDATED)
            self._write(type(error).__name__, {"code": error.code})
            return
        if (specific := _OF_ERROR.get(type(error))) is not None:
            count(specific)
        if error.__cause__ is not None:
            logger.exception("internal error", exc_info=error.__cause__)
        if isinstance(error, ResendError):
            reason = type(error).__name__
            codes = [entry.code or entry.message for entry in error.upstream_errors]
            offset = error.offset if isinstance(error, CertCentralUnavailable) else None
            self._write(reason, {"code": error.code, "upstream_codes": codes or None, "offset": offset})
        else:
            reason = "InternalError"
            logger.exception("internal error")
            self._write(reason, {"code": "internal_error"})
        count_failure(reason)

    def not_routed(self, code: str) -> None:
        """Write the line of an HTTP request to another path or with another method. It asks for nothing of ours."""
        self._write("not_routed", {"code": code})

    def _write(self, outcome: str, facts: Mapping[str, object] | None = None, message: str = "audit") -> None:
        line: dict[str, object] = {
            "outcome": outcome,
            "event_source": self.event_source,
            "order_id": getattr(self.request, "order_id", None),
            "caller": self.caller,
            "duration_ms": round((time.monotonic() - self._started) * 1000),
            **(facts or {}),
        }
        if isinstance(self.request, ResendRequest):
            addresses = self.request.addresses
            line["recipients"] = addresses if isinstance(addresses, str) else [mask_address(a) for a in addresses]
            line |= {"force": self.request.force or None, "dry_run": self.request.dry_run or None}
            line["requested_by"] = self.request.requested_by
            skipped = [f"{mask_address(each.recipient.email)}: {each.reason}" for each in self.request.skipped]
            line["skipped"] = skipped or None
        if isinstance(self.request, Reminder):
            line |= {"recipients": "default", "reminder_day": self.request.day}
        logger.info(message, extra={name: value for name, value in line.items() if value is not None})


def _measure_sweep(summary: SweepSummary) -> None:
    """Emit the figures of a sweep, but not those of a dry run."""
    if summary.plan is None:
        count(MetricName.PENDING_ORDERS, summary.pending_dv)
        count(MetricName.REMINDERS_ENQUEUED, summary.enqueued)
        count(MetricName.STUCK_ORDERS, summary.stuck)
        count(MetricName.OLDEST_PENDING_DAYS, summary.oldest_days)
