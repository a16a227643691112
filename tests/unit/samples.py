"""The sample events of `events/`, with the event source of each, and a sample of each error."""

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


def error_of(kind: type[Any], **known: Any) -> ResendError:
    """Build an error of a class; ``known`` are facts such as ``retry_after``, which most classes keep."""
    if kind is RecipientNotAllowed:
        return RecipientNotAllowed([("field", "x")])
    error: ResendError = kind("field", "x") if kind in (InvalidRequest, OrderNotEligible) else kind("x", **known)
    return error
