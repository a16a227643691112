"""The audit line: one for each decision. It answers later who was mailed, when, and by whom."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dv_resend.core.addresses import mask_address
from dv_resend.core.orders import OrderStatus
from dv_resend.core.pending import PendingList
from dv_resend.core.requests import Reminder, ResendRequest
from dv_resend.core.resend import ResendResult
from dv_resend.core.results import MAX_DOMAINS
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
        self._domains: list[str] = []
        self._more_domains = 0

    def before_send(self, request: ResendRequest) -> None:
        """Write a line before the emails are sent. It is all that is left if the function is killed while sending."""
        if isinstance(self.request, ResendRequest) and request.domain is None:
            self.request = request  # without those who are skipped
        self._write("sending", _facts_of_part(request), message="sending")

    def domain_done(self, part: ResendRequest, outcome: str | ResendError) -> None:
        """Write what became of one domain of an order that is not DV, and count it unless it failed.

        A failure is counted with the line of the call, which follows later.
        """
        facts = _facts_of_part(part)
        if isinstance(outcome, ResendError):
            facts |= _facts_of_error(outcome)
            outcome = type(outcome).__name__
        if (metric := _OF_OUTCOME.get(outcome)) is not None:
            count(metric)
        self._write(outcome, facts)
        # It was of this domain.
        logger.remove_keys(["upstream_status"])
        if len(self._domains) == MAX_DOMAINS:
            self._more_domains += 1
        elif part.domain is not None:
            self._domains.append(f"{part.domain.scope}: {outcome}")

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
                # Each domain was counted for itself.
                if (metric := _OF_OUTCOME.get(result.outcome)) is not None and not self._domains:
                    count(metric)
                self._write(result.outcome, self._facts_of_domains())

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
            offset = error.offset if isinstance(error, CertCentralUnavailable) else None
            self._write(reason, _facts_of_error(error) | {"offset": offset} | self._facts_of_domains())
        else:
            reason = "InternalError"
            logger.exception("internal error")
            self._write(reason, {"code": "internal_error"} | self._facts_of_domains())
        count_failure(reason)

    def not_routed(self, code: str) -> None:
        """Write the line of an HTTP request to another path or with another method. It asks for nothing of ours."""
        self._write("not_routed", {"code": code})

    def _facts_of_domains(self) -> dict[str, object]:
        """Return what the line says of the domains, each of which has a line of its own: CloudWatch cuts long ones."""
        return {"domains": self._domains or None, "more_domains": self._more_domains or None}

    def _write(self, outcome: str, facts: Mapping[str, object] | None = None, message: str = "audit") -> None:
        line: dict[str, object] = {
            "outcome": outcome,
            "event_source": self.event_source,
            "order_id": getattr(self.request, "order_id", None),
            "caller": self.caller,
            "duration_ms": round((time.monotonic() - self._started) * 1000),
        }
        if isinstance(self.request, ResendRequest):
            line["recipients"] = _masked(self.request)
            line |= {"force": self.request.force or None, "dry_run": self.request.dry_run or None}
            line["requested_by"] = self.request.requested_by
            line["skipped"] = _skipped(self.request)
        if isinstance(self.request, Reminder):
            line |= {"recipients": "default", "reminder_day": self.request.day}
        line |= facts or {}
        logger.info(message, extra={name: value for name, value in line.items() if value is not None})


def _facts_of_error(error: ResendError) -> dict[str, object]:
    codes = [entry.code or entry.message for entry in error.upstream_errors]
    return {"code": error.code, "upstream_codes": codes or None}


def _facts_of_part(part: ResendRequest) -> dict[str, object]:
    """Return what a line says about the domain that a part of a request is about; nothing if it is about the order."""
    if part.domain is None:
        return {}
    return {
        "domain": part.domain.scope,
        "domain_id": part.domain.domain_id,
        "recipients": _masked(part),
        "skipped": _skipped(part),
    }


def _masked(request: ResendRequest) -> str | list[str]:
    addresses = request.addresses
    return addresses if isinstance(addresses, str) else [mask_address(address) for address in addresses]


def _skipped(request: ResendRequest) -> list[str] | None:
    return [f"{mask_address(each.recipient.email)}: {each.reason}" for each in request.skipped] or None


def _measure_sweep(summary: SweepSummary) -> None:
    """Emit the figures of a sweep, but not those of a dry run."""
    if summary.plan is None:
        count(MetricName.PENDING_ORDERS, summary.pending_dv + (summary.pending_other or 0))
        count(MetricName.REMINDERS_ENQUEUED, summary.enqueued)
        count(MetricName.STUCK_ORDERS, summary.stuck)
        count(MetricName.OLDEST_PENDING_DAYS, summary.oldest_days)
