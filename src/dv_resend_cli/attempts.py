"""What became of the attempts of one event, according to the audit trail.

The error that Lambda keeps of a failed event is that of its last attempt. An earlier one may have mailed.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from dv_resend_cli.audit_log import line_of, log_events
from dv_resend_cli.errors import FUNCTION_ERRORS
from dv_resend_cli.failed_events import forced_id

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession

# Times and durations are rounded.
_ROUNDING_MS = 10
# An event fails at the latest an hour after it was sent: 30 minutes at EventBridge, 30 at Lambda.
BEFORE_FAILURE_SECONDS = 90 * 60
# Errors after which an email may have been sent are not among them: `OutcomeUnknown`, and any bug.
_NOT_SENT = FUNCTION_ERRORS.keys() - {"OutcomeUnknown"}


def outcome_of_attempts(
    session: "AwsSession", log_group: str, event_id: str, failed_at: float
) -> Literal["sent", "unknown"] | None:
    """Return whether any attempt of an event sent its emails, or may have; ``None`` if surely none did.

    An attempt is known by Lambda's request id, which retries share, or by the event's id, which is its ``caller``.
    """
    attempts: dict[object, list[dict[str, Any]]] = {}
    for line in _lines(session, log_group, event_id, failed_at):
        request_id = line.get("function_request_id")
        if event_id == request_id or line.get("caller") in (event_id, forced_id(event_id)):
            attempts.setdefault(request_id, []).append(line)
    outcomes = {line.get("outcome") for lines in attempts.values() for line in lines if not line.get("dry_run")}
    if "sent" in outcomes:
        return "sent"
    return "unknown" if "OutcomeUnknown" in outcomes or any(map(_may_have_sent, attempts.values())) else None


def _may_have_sent(lines: list[dict[str, Any]]) -> bool:
    """Whether a line `sending` has no audit line that says that nothing was sent.

    That of a retry has the same id, but the retry began later.
    """
    not_sent = [
        (line["at"] - line.get("duration_ms", 0) - _ROUNDING_MS, line["at"])
        for line in lines
        if line["message"] == "audit" and line.get("outcome") in _NOT_SENT
    ]
    sending = [line["at"] for line in lines if line["message"] == "sending"]
    return any(not any(began <= at <= end for began, end in not_sent) for at in sending)


def _lines(session: "AwsSession", log_group: str, event_id: str, failed_at: float) -> Iterator[dict[str, Any]]:
    """Yield the lines `sending` and `audit` that may be of the event, each with its time (``at``, in milliseconds)."""
    # What would have to be escaped is found without a filter.
    pattern = f'"{event_id}"' if re.fullmatch(r"[\w.:/-]+", event_id, re.ASCII) else ""
    since = int((failed_at - BEFORE_FAILURE_SECONDS) * 1000)
    for event in log_events(session.client("logs"), log_group, pattern, since):
        line = line_of(event)
        if line.get("message") in ("sending", "audit"):
            yield line | {"at": event["timestamp"]}
