"""The doors: each event shape becomes one `Command`; each result or error becomes that caller's answer.

==============  =================================================  ======================================
door            recognised by                                      answer
==============  =================================================  ======================================
``http``        ``requestContext.http`` or ``httpMethod``          an HTTP response, also for errors
``event``       ``detail-type`` = ``Resend DV Emails``             the result; errors are raised
``direct``      ``order_id`` or ``action``                         the result; errors are raised
``schedule``    ``action`` = ``sweep``, or a ``Scheduled Event``   the summary; errors are raised
``sqs``         ``Records`` of ``eventSource`` ``aws:sqs``         a partial batch response (`worker`)
==============  =================================================  ======================================

``http`` is API Gateway's HTTP API (payload 2.0), its REST API (1.0) and a Function URL (as 2.0).
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dv_resend.errors import InvalidRequest, RateLimited, ResendError
from dv_resend.models import (
    OrderStatus,
    ResendRequest,
    ResendResult,
    StatusRequest,
    SweepRequest,
    SweepSummary,
    parse_order_id,
    parse_requested_by,
    refuse_unknown,
    shown,
    utc,
)

if TYPE_CHECKING:
    from dv_resend.explain import ResendPlan

type Door = Literal["http", "event", "direct", "schedule", "sqs"]
type Result = "ResendResult | ResendPlan | OrderStatus | SweepSummary"
type HttpResponse = dict[str, Any]

EVENT_DETAIL_TYPE = "Resend DV Emails"
SCHEDULE_DETAIL_TYPE = "Scheduled Event"

# CertCentral sends no Retry-After that anybody has seen; its window is 3 minutes (rate limits page).
DEFAULT_RETRY_AFTER_SECONDS = 30

# DigiCert's own path; one segment may stand before it: a stage or the base path of a custom domain.
_PATH = re.compile(r"(?:/[^/]+)?/services/v2/order/certificate/([^/]+)/resend-emails")


@dataclass(frozen=True)
class Command:
    """What an event asks for.

    ``caller``, for the audit line, is who AWS says is calling, or else who the caller says asked. ``event_id`` is the
    id that redeliveries of the same event share.
    """

    ask: ResendRequest | StatusRequest | SweepRequest
    caller: str | None
    event_id: str | None = None


def recognise(event: object) -> Door:
    """Say which door an event came through; raise `InvalidRequest` if through none."""
    fields = _object(event)
    if fields.get("action") == "sweep":
        return "schedule"
    if "order_id" in fields or "action" in fields:
        return "direct"
    if "http" in _object(fields.get("requestContext")) or "httpMethod" in fields:
        return "http"
    if "detail-type" in fields:
        if fields["detail-type"] == EVENT_DETAIL_TYPE:
            return "event"
        if fields["detail-type"] == SCHEDULE_DETAIL_TYPE:
            return "schedule"
        raise InvalidRequest("detail-type", f"must be {EVENT_DETAIL_TYPE!r}.")
    if isinstance(records := fields.get("Records"), list) and records:
        if all(_is_message(_object(record)) for record in records):
            return "sqs"
        raise InvalidRequest("Records", "must be messages of SQS.")
    raise InvalidRequest("event", "must have order_id or action, or come from API Gateway or EventBridge.")


def parse(door: Door, event: Mapping[str, Any]) -> Command:
    """Turn the event of a ``door`` into a command; raise `InvalidRequest` that names the field."""
    match door:
        case "http":
            return _parse_http(event)
        case "event":
            detail = event.get("detail")
            if not isinstance(detail, dict):
                raise InvalidRequest("detail", "must be an object with order_id.")
            event_id = _identity(event.get("id"))
            return _parse_direct(detail, caller=event_id, event_id=event_id)
        case "direct":
            return _parse_direct(event, caller=None, event_id=None)
        case "schedule":
            if "action" in event:
                return Command(SweepRequest.from_input(event), caller=parse_requested_by(event))
            return Command(SweepRequest(), caller=_identity(event.get("id")))
        case "sqs":
            raise InvalidRequest("Records", "are handled message by message.")


def _parse_direct(fields: Mapping[str, Any], *, caller: str | None, event_id: str | None) -> Command:
    if "action" in fields:
        if fields["action"] != "status":
            raise InvalidRequest("action", "must be 'status' (or 'sweep', not in an event); none means a resend.")
        requested_by = parse_requested_by(fields)
        return Command(StatusRequest.from_input(fields), caller or requested_by)
    request = ResendRequest.from_input(fields)
    return Command(request, caller or request.requested_by, event_id)


def _parse_http(event: Mapping[str, Any]) -> Command:
    match = _PATH.fullmatch(_path(event))
    order_id = parse_order_id(match[1] if match else None)
    body = _body(event)
    refuse_unknown(body, frozenset({"domain_approval_emails", "locale"}))
    request = ResendRequest.from_input({**body, "order_id": order_id, **_flags(event)})
    return Command(request, _http_caller(event))


def _flags(event: Mapping[str, Any]) -> dict[str, bool]:
    """Read ``dry_run`` and ``force`` from the query, in which each may stand once."""
    query: dict[str, list[Any]] = {name: [value] for name, value in _object(event.get("queryStringParameters")).items()}
    # Payload 1.0 keeps only the last of several values in the plain map.
    several = _object(event.get("multiValueQueryStringParameters"))
    query |= {name: values for name, values in several.items() if isinstance(values, list)}
    refuse_unknown(query, frozenset({"dry_run", "force"}))
    flags = {}
    for name, values in query.items():
        if values not in (["true"], ["false"]):
            raise InvalidRequest(name, "must be true or false in the query, once.")
        flags[name] = values == ["true"]
    return flags


def _body(event: Mapping[str, Any]) -> dict[str, object]:
    text = event.get("body")
    error = InvalidRequest("body", "must be a JSON object in UTF-8, or empty.")
    if text is None or text == "":
        return {}
    try:
        if event.get("isBase64Encoded"):
            text = base64.b64decode(text, validate=True).decode()
        body = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, TypeError, RecursionError):
        raise error from None
    if not isinstance(body, dict):
        raise error
    return body


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a repeated name: one of the two values would be lost, and with it perhaps a restriction."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(shown(name), "stands more than once in the same object.")
        found[name] = value
    return found


def misrouted(event: Mapping[str, Any]) -> HttpResponse | None:
    """Answer an HTTP event for an unknown path (404) or method (405); ``None`` if it is ours."""
    if not _PATH.fullmatch(_path(event)):
        return _errors(404, [("not_found|route", "There is no such address here.")])
    if _method(event) != "PUT":
        return _errors(405, [("method_not_allowed", "Only PUT is allowed here.")], {"Allow": "PUT"})
    return None


def http_answer(result: Result) -> HttpResponse:
    """Turn a result into the HTTP response: 204 when sent, 409 for a duplicate, 200 with JSON for a dry run."""
    if isinstance(result, ResendResult) and result.outcome == "sent":
        return {"statusCode": 204, "headers": {"Resend-Outcome": "sent"}, "body": ""}
    if isinstance(result, ResendResult):
        message = f"These emails were sent at {utc(result.sent_at)}; wait for the cool-down, or add ?force=true."
        return _errors(409, [("cool_down", message)], {"Retry-After": str(result.cool_down_left)})
    return _json(200, result.to_json(), {"Resend-Outcome": "planned"})


def http_error(error: Exception) -> HttpResponse:
    """Turn an error into the HTTP response, in DigiCert's shape; a bug is a 500 without detail."""
    if not isinstance(error, ResendError):
        return _errors(500, [("internal_error", "An internal error occurred.")])
    retry_after = error.retry_after
    if retry_after is None and isinstance(error, RateLimited):
        retry_after = DEFAULT_RETRY_AFTER_SECONDS
    upstream = [(said.code, said.message) for said in error.upstream_errors if said.code != error.code]
    return _errors(
        error.http_status,
        [*error.entries, *upstream],
        {} if retry_after is None else {"Retry-After": str(retry_after)},
    )


def _errors(status: int, errors: Iterable[tuple[str, str]], headers: dict[str, str] | None = None) -> HttpResponse:
    entries = [{"code": code, "message": message} for code, message in errors]
    return _json(status, {"errors": entries}, headers or {})


def _json(status: int, body: dict[str, object], headers: dict[str, str]) -> HttpResponse:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **headers},
        "body": json.dumps(body),
    }


def _path(event: Mapping[str, Any]) -> str:
    path = event.get("rawPath", event.get("path"))
    return path if isinstance(path, str) else ""


def _method(event: Mapping[str, Any]) -> object:
    return event.get("httpMethod", _object(_object(event.get("requestContext")).get("http")).get("method"))


def _http_caller(event: Mapping[str, Any]) -> str | None:
    """Find who the gateway says is calling: the ARN of an IAM identity, or the subject of a token."""
    context = _object(event.get("requestContext"))
    authorizer = _object(context.get("authorizer"))
    claims = _object(_object(authorizer.get("jwt")).get("claims")) or _object(authorizer.get("claims"))
    for value in (
        _object(authorizer.get("iam")).get("userArn"),
        _object(context.get("identity")).get("userArn"),
        claims.get("sub"),
    ):
        if (caller := _identity(value)) is not None:
            return caller
    return None


def _is_message(record: Mapping[str, Any]) -> bool:
    parts = (record.get(name) for name in ("messageId", "receiptHandle", "body"))
    receives = _object(record.get("attributes")).get("ApproximateReceiveCount")
    return (
        record.get("eventSource") == "aws:sqs"
        and all(isinstance(part, str) for part in parts)
        and isinstance(receives, str)
        and receives.isdecimal()
    )


def _identity(value: object) -> str | None:
    """Return an id or ARN if it can stand in a log line and in a claim."""
    return value if isinstance(value, str) and 1 <= len(value) <= 256 and value.isprintable() else None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
