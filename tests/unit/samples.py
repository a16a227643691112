"""The sample events of `events/`, with the event source of each; small events to order; and a sample of each error."""

import json
from pathlib import Path
from typing import Any

from dv_resend.errors import InvalidRequest, OrderNotEligible, RecipientNotAllowed, ResendError

EVENTS = Path(__file__).parents[2] / "events"
SAMPLES: dict[str, Any] = {path.name: json.loads(path.read_text("utf-8")) for path in sorted(EVENTS.glob("*.json"))}

HTTP_SAMPLES = ("function-url.json", "http-api-v2-jwt.json", "http-api-v2.json", "rest-api-v1.json")
SOURCES = {
    **dict.fromkeys(HTTP_SAMPLES, "http"),
    **dict.fromkeys(("direct.json", "step-functions-task.json", "scheduler.json"), "direct"),
    **dict.fromkeys(("status.json", "pending.json"), "direct"),
    "eventbridge.json": "event",
    "scheduled-event.json": "schedule",
    "scheduler-sweep.json": "schedule",
    "sqs-reminders.json": "queue",
}


PATH = "/services/v2/order/certificate/{}/resend-emails"


def http(order_id: object, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": PATH.format(order_id),
        "headers": {},
        "queryStringParameters": query or None,
        "requestContext": {"http": {"method": "PUT"}, "stage": "$default"},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def direct(order_id: object, **fields: Any) -> dict[str, Any]:
    return {"order_id": order_id, **fields}


def event(order_id: object, **fields: Any) -> dict[str, Any]:
    return {"id": f"event-{order_id}", "detail-type": "Resend DV Emails", "detail": direct(order_id, **fields)}


def message(order_id: object, receives: int = 1, **fields: Any) -> dict[str, Any]:
    """Build one record of the reminder queue."""
    return {
        "messageId": f"message-{order_id}",
        "receiptHandle": f"handle-{order_id}",
        "body": json.dumps({"order_id": order_id, **fields}),
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "eventSource": "aws:sqs",
    }


def queue(*order_ids: object) -> dict[str, Any]:
    return {"Records": [message(order_id) for order_id in order_ids]}


def error_of(kind: type[Any], **known: Any) -> ResendError:
    """Build an error of a class; ``known`` are facts such as ``retry_after``, which most classes keep."""
    if kind is RecipientNotAllowed:
        return RecipientNotAllowed([("field", "x")])
    error: ResendError = kind("field", "x") if kind in (InvalidRequest, OrderNotEligible) else kind("x", **known)
    return error
