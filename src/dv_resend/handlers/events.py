"""Event sources: each event becomes one `ParsedEvent`, which holds the request.

==============  =================================================  ==================================================
event source    recognised by                                      answer
==============  =================================================  ==================================================
``http``        ``requestContext.http`` or ``httpMethod``          an HTTP response, also for errors (`handlers.http`)
``event``       ``detail-type`` = ``Resend DV Emails``             the result; errors are raised
``direct``      ``order_id`` or ``action``                         the result; errors are raised
``schedule``    ``action`` = ``sweep``, or a ``Scheduled Event``   the summary; errors are raised
``queue``       ``Records`` of ``eventSource`` ``aws:sqs``         a partial batch response (`handlers.sqs`)
==============  =================================================  ==================================================

``http`` is API Gateway's HTTP API (payload 2.0), its REST API (payload 1.0) or a Function URL (payload 2.0).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dv_resend.core.fields import parse_requested_by
from dv_resend.core.requests import PendingRequest, ResendRequest, StatusRequest, SweepRequest
from dv_resend.core.untrusted_json import as_dict
from dv_resend.errors import InvalidRequest

if TYPE_CHECKING:
    from dv_resend.core.orders import OrderStatus
    from dv_resend.core.pending import PendingList
    from dv_resend.core.plan import ResendPlan
    from dv_resend.core.resend import ResendResult
    from dv_resend.core.sweep import SweepSummary

type EventSource = Literal["http", "event", "direct", "schedule", "queue"]
# What the use cases are asked and answer; a reminder's result goes to the audit line only.
type Request = ResendRequest | StatusRequest | PendingRequest | SweepRequest
type Result = ResendResult | ResendPlan | OrderStatus | PendingList | SweepSummary

EVENT_DETAIL_TYPE = "Resend DV Emails"
SCHEDULE_DETAIL_TYPE = "Scheduled Event"


@dataclass(frozen=True)
class ParsedEvent:
    """What an event asks for.

    ``caller``, for the audit line, is the caller's identity according to AWS, or else whom the caller names.
    ``event_id`` is the id that redeliveries of the same event share.

    Example:
        >>> parse("direct", {"action": "status", "order_id": 7}).request
        StatusRequest(order_id=7)
    """

    request: Request
    caller: str | None
    event_id: str | None = None


def source_of(event: object) -> EventSource:
    """Return the source of an event; raise `InvalidRequest` if it is none of ours."""
    fields = as_dict(event)
    if fields.get("action") == "sweep":
        return "schedule"
    if "order_id" in fields or "action" in fields:
        return "direct"
    if "http" in as_dict(fields.get("requestContext")) or "httpMethod" in fields:
        return "http"
    if "detail-type" in fields:
        if fields["detail-type"] == EVENT_DETAIL_TYPE:
            return "event"
        if fields["detail-type"] == SCHEDULE_DETAIL_TYPE:
            return "schedule"
        raise InvalidRequest("detail-type", f"must be {EVENT_DETAIL_TYPE!r}.")
    if isinstance(records := fields.get("Records"), list) and records:
        if all(_is_sqs_message(as_dict(record)) for record in records):
            return "queue"
        raise InvalidRequest("Records", "must be SQS messages.")
    raise InvalidRequest("event", "must have order_id or action, or come from API Gateway or EventBridge.")


def parse(source: Literal["event", "direct", "schedule"], event: Mapping[str, Any]) -> ParsedEvent:
    """Validate an event that is neither HTTP nor a batch of messages; raise `InvalidRequest` that names the field.

    An event that was replayed from an archive is rejected: a replay sends the emails of a whole period at once.
    """
    # EventBridge adds this field to replayed events only (its guide, "replaying archived events").
    if source != "direct" and "replay-name" in event:
        raise InvalidRequest(
            "replay-name",
            "this event was replayed from an archive. Its emails were due then, not now: nothing was sent.",
        )
    match source:
        case "event":
            detail = event.get("detail")
            if not isinstance(detail, dict):
                raise InvalidRequest("detail", "must be an object with order_id.")
            event_id = printable_identity(event.get("id"))
            return _parse_input(detail, caller=event_id, event_id=event_id)
        case "direct" if event.get("action") == "pending":
            return ParsedEvent(PendingRequest.from_input(event), caller=parse_requested_by(event))
        case "direct":
            return _parse_input(event, caller=None, event_id=None)
        case "schedule":
            if "action" in event:
                return ParsedEvent(SweepRequest.from_input(event), caller=parse_requested_by(event))
            return ParsedEvent(SweepRequest(), caller=printable_identity(event.get("id")))


def _parse_input(fields: Mapping[str, Any], *, caller: str | None, event_id: str | None) -> ParsedEvent:
    if "action" in fields:
        if fields["action"] != "status":
            raise InvalidRequest(
                "action", "must be 'status' (or 'pending' or 'sweep', but not in an event); leave it out to resend."
            )
        requested_by = parse_requested_by(fields)
        return ParsedEvent(StatusRequest.from_input(fields), caller or requested_by)
    request = ResendRequest.from_input(fields)
    return ParsedEvent(request, caller or request.requested_by, event_id)


def _is_sqs_message(record: Mapping[str, Any]) -> bool:
    parts = (record.get(name) for name in ("messageId", "receiptHandle", "body"))
    receives = as_dict(record.get("attributes")).get("ApproximateReceiveCount")
    return (
        record.get("eventSource") == "aws:sqs"
        and all(isinstance(part, str) for part in parts)
        and isinstance(receives, str)
        and receives.isdecimal()
    )


def printable_identity(value: object) -> str | None:
    """Return an id or ARN if it fits into a log line and into a send record, or else ``None``."""
    return value if isinstance(value, str) and 1 <= len(value) <= 256 and value.isprintable() else None
