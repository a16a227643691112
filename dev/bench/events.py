"""The events of a resend, by event source."""

import json
from typing import Any

from dev.local.template import ROOT

EVENT_SOURCES = ("direct", "http", "event")
RECIPIENTS = ("default", "constructed")


def event(source: str, recipients: str, order_id: int) -> dict[str, Any]:
    """Build a resend to DigiCert's default recipients, or to one constructed address at the order's name."""
    name = f"order-{order_id}.example"
    body = {} if recipients == "default" else {"domain_approval_emails": [{"domain": name, "email": f"admin@{name}"}]}
    match source:
        case "direct":
            return {"order_id": order_id, **body}
        case "event":
            return _sample("eventbridge.json") | {"detail": {"order_id": order_id, **body}}
        case _:
            sample = _sample("http-api-v2.json")
            path = f"/services/v2/order/certificate/{order_id}/resend-emails"
            sample["requestContext"]["http"]["path"] = path
            return sample | {
                "rawPath": path,
                "pathParameters": {"order_id": str(order_id)},
                "body": json.dumps(body),
            }


def is_sent(answer: Any) -> bool:
    """Return whether the answer, of either function, says that the emails were sent."""
    return 204 in (answer.get("statusCode"), answer.get("status")) or answer.get("outcome") == "sent"


def _sample(name: str) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads((ROOT / "events" / name).read_text())
    return sample
