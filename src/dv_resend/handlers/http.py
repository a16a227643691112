"""HTTP: DigiCert's own request in, and the response in DigiCert's shape out."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dv_resend.core.addresses import mask_address
from dv_resend.core.recipients import shortened
from dv_resend.core.requests import ResendRequest
from dv_resend.core.resend import ResendResult
from dv_resend.core.timestamps import utc
from dv_resend.core.untrusted_json import NAME_NOT_SHOWN, as_dict, printable_field_name, reject_unknown_fields
from dv_resend.errors import InvalidRequest, RateLimited, ResendError
from dv_resend.handlers.events import ParsedEvent, printable_identity

if TYPE_CHECKING:
    from dv_resend.handlers.events import Result

type HttpResponse = dict[str, Any]

# CertCentral is not known to send Retry-After; its window is 3 minutes (rate limits page).
DEFAULT_RETRY_AFTER_SECONDS = 30

# Some clients put one in front of UTF-8, where it has no meaning.
_BYTE_ORDER_MARK = "\ufeff"

# DigiCert's own path. Any prefix may precede it: a stage, or the mapping of a custom domain, which may have several
# levels. API Gateway has already routed the request.
_PATH = re.compile(r"(?:/[^/]+)*/services/v2/order/certificate/([^/]+)/resend-emails/?")


def not_routed(event: Mapping[str, Any]) -> HttpResponse | None:
    """Answer a request to an unknown path (404) or with another method (405); return ``None`` if it is ours."""
    if _order_id(event) is None:
        return _errors(404, [("not_found|route", "There is no such path.")])
    if _method(event) != "PUT":
        return _errors(405, [("method_not_allowed", "Only PUT is allowed here.")], {"Allow": "PUT"})
    return None


def parse_http(event: Mapping[str, Any]) -> ParsedEvent:
    """Validate a request; raise `InvalidRequest` that names the field."""
    flags = _parse_query(event)
    request = ResendRequest.from_digicert(
        _order_id(event),
        _parse_body(event),
        dry_run=flags.get("dry_run", False),
        force=flags.get("force", False),
    )
    return ParsedEvent(request, caller_of(event))


def http_answer(result: "Result") -> HttpResponse:
    """Return the response to a result: 204 if sent, 409 for a duplicate, 200 with JSON for a dry run.

    A duplicate has no ``Retry-After``: a client that obeyed it would mail again.
    """
    if not isinstance(result, ResendResult):
        return _json(200, result.to_json(), {"Resend-Outcome": "planned"})
    if result.outcome == "sent":
        skipped = result.request.skipped
        headers = {"Resend-Outcome": "sent"} | ({"Resend-Skipped": str(len(skipped))} if skipped else {})
        return {"statusCode": 204, "headers": headers, "body": ""}
    # Without Retry-After: a client that repeats the request then would mail again.
    return _errors(409, [("cool_down", _duplicate_message(result))])


def _duplicate_message(result: ResendResult) -> str:
    mailed = [f"{mask_address(email)} at {utc(sent_at)}" for email, sent_at in result.earlier]
    who = [f"Already mailed: {shortened(mailed)}."] if mailed else []
    if result.perhaps:
        at = utc(max(sent_at for _email, sent_at in result.perhaps))
        others = shortened([mask_address(email) for email, _sent_at in result.perhaps])
        who.append(f"DigiCert's default recipients were mailed at {at}; they may include {others}.")
    if not who:
        # The caller named nobody, and an earlier send to anybody is enough to make a default send a duplicate.
        at = utc(result.sent_at)
        sent = f"Emails of this order were sent at {at}"
        if result.domains:
            scopes = shortened([domain.scope for domain, _outcome in result.domains])
            sent = f"Emails about {scopes} were sent at {at}, perhaps for another order"
        who.append(f"{sent}; the default recipients may be the same people.")
    return f"{' '.join(who)} Until {utc(result.until)}, a repeat sends nothing; ?force=true sends again."


def http_error(error: Exception) -> HttpResponse:
    """Return the response to an error; a bug is a 500 without detail.

    ``Retry-After`` is sent only with errors that are retryable. After an unknown outcome, a client that obeyed it might
    mail a second time.
    """
    if not isinstance(error, ResendError):
        return _errors(500, [("internal_error", "An internal error occurred.")])
    # An entry without a code of its own explains ours.
    upstream = [
        (entry.code or error.code, entry.message) for entry in error.upstream_errors if entry.code != error.code
    ]
    return _errors(error.http_status, [*error.entries, *upstream], _retry_after(error))


def error_code(response: HttpResponse) -> str:
    """Return the first code of an error response."""
    code: str = json.loads(response["body"])["errors"][0]["code"]
    return code


def caller_of(event: Mapping[str, Any]) -> str | None:
    """Return the caller's identity according to the gateway: the ARN of an IAM identity, or the subject of a token."""
    context = as_dict(event.get("requestContext"))
    authorizer = as_dict(context.get("authorizer"))
    claims = as_dict(as_dict(authorizer.get("jwt")).get("claims")) or as_dict(authorizer.get("claims"))
    for value in (
        as_dict(authorizer.get("iam")).get("userArn"),
        as_dict(context.get("identity")).get("userArn"),
        claims.get("sub"),
    ):
        if (caller := printable_identity(value)) is not None:
            return caller
    return None


def _retry_after(error: ResendError) -> dict[str, str]:
    if not error.retryable:
        return {}
    seconds = error.retry_after
    if seconds is None and isinstance(error, RateLimited):
        seconds = DEFAULT_RETRY_AFTER_SECONDS
    return {} if seconds is None else {"Retry-After": str(seconds)}


def _parse_query(event: Mapping[str, Any]) -> dict[str, bool]:
    """Read ``dry_run`` and ``force``, each of which may appear once."""
    query: dict[str, list[Any]] = {name: [value] for name, value in as_dict(event.get("queryStringParameters")).items()}
    # Of several values, payload 1.0 keeps only the last in the plain map.
    several = as_dict(event.get("multiValueQueryStringParameters"))
    query |= {name: values for name, values in several.items() if isinstance(values, list)}
    reject_unknown_fields(query, frozenset({"dry_run", "force"}))
    for name, values in query.items():
        if values not in (["true"], ["false"]):
            raise InvalidRequest(name, "must appear once in the query, as true or false.")
    return {name: values == ["true"] for name, values in query.items()}


def _parse_body(event: Mapping[str, Any]) -> dict[str, object]:
    """Read the body's object; an empty body and ``null``, which a client of DigiCert's API sends, are an empty one."""
    text = event.get("body")
    error = InvalidRequest("body", "must be a JSON object in UTF-8, or empty.")
    try:
        if isinstance(text, str):
            if event.get("isBase64Encoded"):
                text = base64.b64decode(text, validate=True).decode()
            text = text.removeprefix(_BYTE_ORDER_MARK)
        body = None if text is None or text == "" else json.loads(text, object_pairs_hook=_unique_fields)
    except (ValueError, TypeError, RecursionError):
        raise error from None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise error
    return body


def _unique_fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Reject a repeated field: one of its values, and perhaps a restriction with it, would be lost."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            if (shown := printable_field_name(name)) is None:
                raise InvalidRequest("body", f"has a field more than once in the same object ({NAME_NOT_SHOWN}).")
            raise InvalidRequest(shown, "appears more than once in the same object.")
        found[name] = value
    return found


def _errors(status: int, errors: Iterable[tuple[str, str]], headers: dict[str, str] | None = None) -> HttpResponse:
    entries = [{"code": code, "message": message} for code, message in errors]
    return _json(status, {"errors": entries}, headers or {})


def _json(status: int, body: dict[str, object], headers: dict[str, str]) -> HttpResponse:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **headers},
        "body": json.dumps(body),
    }


def _order_id(event: Mapping[str, Any]) -> str | None:
    """Return the order id as the path has it, or ``None`` if the path is not DigiCert's."""
    path = event.get("rawPath", event.get("path"))
    match = _PATH.fullmatch(path) if isinstance(path, str) else None
    return match[1] if match else None


def _method(event: Mapping[str, Any]) -> object:
    return event.get("httpMethod", as_dict(as_dict(event.get("requestContext")).get("http")).get("method"))
