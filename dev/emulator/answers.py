"""One HTTP answer, and DigiCert's error shape."""

import json
from typing import Any, NamedTuple

JSON = "application/json"


class Answer(NamedTuple):
    """Status, body and headers; Content-Length is added when it is sent."""

    status: int
    body: bytes
    headers: dict[str, str]


def json_answer(status: int, value: Any) -> Answer:
    """A JSON body."""
    return Answer(status, json.dumps(value, separators=(",", ":")).encode(), {"Content-Type": JSON})


def error(status: int, code: str, message: str) -> Answer:
    """An error in the shape of the "Errors" page."""
    return json_answer(status, {"errors": [{"code": code, "message": message}]})


def rate_limited() -> Answer:
    """429 as on the "Rate limits" page; its text does say "Service unavailable"."""
    return error(429, "request_limit_exceeded", "Service unavailable, please limit request volume")
