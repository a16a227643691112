"""What a queue of failed events holds: what each event asked for, why it failed, and how to send it again.

===========================  =====================================================  ==================================
queue                        body of a message                                      error
===========================  =====================================================  ==================================
``failed-events``            Lambda's record of a failed asynchronous invocation:   ``responsePayload``, if the
                             the event is its ``requestPayload``                    function was started
``undelivered``              the event, as EventBridge or Scheduler could not       the attributes ``ERROR_CODE`` and
                             deliver it                                             ``ERROR_MESSAGE``
===========================  =====================================================  ==================================
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from dv_resend_cli.functions import was_killed
from dv_resend_cli.queue import Message

type Kind = Literal["resend", "sweep", "question", "unreadable"]

_DETAIL_TYPE = "Resend DV Emails"
_SWEEP_DETAIL_TYPE = "Scheduled Event"
_QUESTIONS = ("status", "pending")
# Room for the mark of a forced redrive in the 256 characters of the function's event id.
_MAX_ID = 200


@dataclass(frozen=True)
class FailedEvent:
    """One event: what it asks for, and why it failed.

    ``kind`` is ``question`` for what sends nothing, a dry run or a status, and ``unreadable`` for what is none of ours;
    ``error_message`` then says why. ``id`` is shared by all attempts: Lambda's request id, or EventBridge's event id.
    ``fields`` are those of the direct input (docs/calling.md), or the ``body`` of what is unreadable.

    Example:
        >>> from dv_resend_cli.queue import Message
        >>> read_undelivered(Message("m", '{"action": "sweep"}', {"ERROR_CODE": "TIMEOUT"}, sent_at=0)).kind
        'sweep'
    """

    kind: Kind
    id: str
    fields: Mapping[str, Any]
    error: str
    error_message: str
    failed_at: float
    event: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def asks_for_force(self) -> bool:
        """Whether the event itself is a forced one."""
        return self.fields.get("force") is True

    @property
    def may_have_mailed(self) -> bool:
        """Whether its error leaves open if the email was sent."""
        return self.error == "OutcomeUnknown" or was_killed(self.error, self.error_message)

    def invocation(self, *, requested_by: str, dry_run: bool = False, force_id: str | None = None) -> dict[str, Any]:
        """Return the event with which to invoke the function again: an EventBridge event with the original id.

        The function records the id of a forced event, so that it never mails again for the same one. Without a
        ``force_id``, the event is not forced.
        """
        changed = dict(self.fields) | {"requested_by": requested_by}
        if self.asks_for_force:
            del changed["force"]
        if dry_run:
            changed["dry_run"] = True
        # A wrong value stays, so that the function refuses it.
        if force_id and isinstance(changed.get("force", False), bool):
            changed["force"] = True
        return {**self.event, "detail-type": _DETAIL_TYPE, "id": force_id or self.id, "detail": changed}

    def sweep(self, requested_by: str) -> dict[str, Any]:
        """Return the sweep to start in its place."""
        return {**self.fields, "action": "sweep", "requested_by": requested_by}


def forced_id(event_id: str) -> str:
    """Return the id of the forced redrive of an event whose outcome is unknown; the original id never mails again."""
    return f"{event_id} forced"


def read_failed(message: Message) -> FailedEvent:
    """Read a message of the queue of failed events."""
    record = _parsed(message.body)
    if not isinstance(record, dict) or "requestPayload" not in record:
        # Lambda leaves the payload out if it does not fit into a message.
        return _unreadable(
            message, "The message holds no event: it is no record of Lambda, or the event was too large."
        )
    response, context = _object(record.get("responsePayload")), _object(record.get("requestContext"))
    error = str(response.get("errorType") or context.get("condition") or "")
    text = str(response.get("errorMessage") or response.get("message") or "")
    message = _dated(message, record.get("timestamp"))
    return _read(message, record["requestPayload"], context.get("requestId"), error, text)


def read_undelivered(message: Message) -> FailedEvent:
    """Read a message of the queue of undelivered events."""
    error, text = (message.attributes.get(name, "") for name in ("ERROR_CODE", "ERROR_MESSAGE"))
    event = _parsed(message.body)
    return _read(_dated(message, _object(event).get("time")), event, None, error, text)


def _dated(message: Message, written_at: object) -> Message:
    """Return the message with the time in its body, if that is earlier: to move a message sends it anew."""
    try:
        at = datetime.fromisoformat(str(written_at)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return message
    return message._replace(sent_at=min(message.sent_at, max(at, 0)))


def _read(message: Message, event: Any, request_id: object, error: str, text: str) -> FailedEvent:
    if not isinstance(event, dict):
        return _unreadable(message, "The event is not a JSON object.")
    kind: Kind
    if event.get("action") == "sweep":
        fields, kind = event, "sweep"
    elif "order_id" in event or "action" in event:
        fields, kind, event = event, "resend", {}
    elif event.get("detail-type") == _SWEEP_DETAIL_TYPE:
        fields, kind = {}, "sweep"
    elif event.get("detail-type") == _DETAIL_TYPE and isinstance(event.get("detail"), dict):
        fields, kind = event["detail"], "resend"
        request_id = event.get("id")
    else:
        return _unreadable(message, "The event asks for neither a resend nor a sweep.")
    if fields.get("dry_run") is True or fields.get("action") in _QUESTIONS:
        kind = "question"
    event_id = request_id if _is_id(request_id) else message.id
    return FailedEvent(kind, str(event_id), fields, error, text, message.sent_at, event)


def _unreadable(message: Message, why: str) -> FailedEvent:
    return FailedEvent("unreadable", message.id, {"body": message.body}, "Unreadable", why, message.sent_at)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= _MAX_ID and value.isprintable()


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
