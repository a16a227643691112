"""One HTTP response, and DigiCert's error shape."""

import json
from typing import Any, NamedTuple

JSON = "application/json"


class Response(NamedTuple):
    """Status, body and headers; Content-Length is added when it is sent."""

    status: int
    body: bytes
    headers: dict[str, str]


def json_response(status: int, value: Any) -> Response:
    """Build a response with a JSON body."""
    return Response(status, json.dumps(value, separators=(",", ":")).encode(), {"Content-Type": JSON})


def error(status: int, code: str, message: str) -> Response:
    """Build an error in the shape of the "Errors" page."""
    return json_response(status, {"errors": [{"code": code, "message": message}]})


def rate_limited() -> Response:
    """Build the 429 of the "Rate limits" page, whose text does say "Service unavailable"."""
    return error(429, "request_limit_exceeded", "Service unavailable, please limit request volume")
