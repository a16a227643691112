"""The sample events of `events/`, and the event source of each."""

import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parents[2] / "events"
SAMPLES: dict[str, Any] = {path.name: json.loads(path.read_text("utf-8")) for path in sorted(EVENTS.glob("*.json"))}

HTTP_SAMPLES = ("function-url.json", "http-api-v2-jwt.json", "http-api-v2.json", "rest-api-v1.json")
SOURCES = {
    **dict.fromkeys(HTTP_SAMPLES, "http"),
    **dict.fromkeys(("direct.json", "step-functions-task.json", "scheduler.json", "status.json"), "direct"),
    "eventbridge.json": "event",
    "scheduled-event.json": "schedule",
    "scheduler-sweep.json": "schedule",
    "sqs-reminders.json": "queue",
}
