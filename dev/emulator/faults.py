"""Faults on demand: what a test may inject, and how each one looks on the wire."""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answers import JSON, Answer, rate_limited
from .orders import ControlError

if TYPE_CHECKING:
    from .server import Connection

HTML = "text/html; charset=utf-8"
_STATUS = (int, 500)
_REQUIRED = object()

# fault -> parameter -> type, default
FAULTS: dict[str, dict[str, tuple[Any, Any]]] = {
    "slow": {"seconds": (float, _REQUIRED)},
    "hang": {},
    "reset": {},
    "close": {},
    "status": {"status": (int, _REQUIRED), "body": ((str, dict, list), None), "headers": (dict, None)},
    "html": {"status": (int, 403)},
    "truncated": {"status": (int, 200), "body": (str, '{"id": 100000001, "status": "pen')},
    "bad_json": {"status": _STATUS},
    "redirect": {"status": (int, 302), "location": (str, _REQUIRED)},
    "huge": {"status": _STATUS, "bytes": (int, 5_000_000)},
    "gzip_bomb": {"status": _STATUS, "bytes": (int, 100_000_000)},
    "drip": {"status": (int, 200), "seconds_per_byte": (float, _REQUIRED), "body": (str, '{"errors": []}')},
    "close_idle": {"seconds": (float, _REQUIRED)},
}
_MATCHING: dict[str, tuple[Any, Any]] = {
    "method": (str, None),
    "path": (str, None),
    "times": (int, None),
    "mails": (bool, False),
}
FIREWALL_PAGE = b"<html><head><title>Request unsuccessful</title></head><body>Incapsula incident ID: 0-0</body></html>"


@dataclass
class Fault:
    """One injected fault. `times` counts down; None: for ever. `mails`: the request takes effect before it strikes."""

    name: str
    method: str | None
    path: str | None
    times: int | None
    mails: bool
    params: dict[str, Any]

    def matches(self, method: str, path: str) -> bool:
        """Whether it strikes this request; `path` is searched as a regular expression."""
        return self.method in (None, method) and (self.path is None or re.search(self.path, path) is not None)


def parse_fault(fields: dict[str, Any]) -> Fault:
    """A fault from the control API. Raises ControlError, naming the field."""
    name = fields.get("fault")
    if name not in FAULTS:
        raise ControlError(f"field 'fault' must be one of {', '.join(FAULTS)}")
    known = _MATCHING | FAULTS[name]
    for field in fields:
        if field != "fault" and field not in known:
            raise ControlError(f"field '{field}' is unknown for fault {name}; known are {', '.join(known)}")
    values: dict[str, Any] = {}
    for field, (kind, default) in known.items():
        value = fields.get(field, default)
        if value is _REQUIRED:
            raise ControlError(f"field '{field}' is required for fault {name}")
        kinds = (int, float) if kind is float else kind
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool)):
            raise ControlError(f"field '{field}' has the wrong type")
        if isinstance(value, int | float) and value < (1 if field == "times" else 0):
            raise ControlError(f"field '{field}' is too small")
        values[field] = value
    if not 200 <= (values.get("status") or 200) <= 599:
        raise ControlError("field 'status' must be from 200 to 599")
    try:
        re.compile(values["path"] or "")
    except re.error:
        raise ControlError("field 'path' must be a regular expression") from None
    matching = {field: values.pop(field) for field in _MATCHING}
    return Fault(name=name, params=values, **matching)


def strike(connection: "Connection", fault: Fault, answer: Callable[[], Answer]) -> None:  # noqa: C901
    """Answers (or does not) as the fault says. `answer` is the normal one and makes the request take effect."""
    params = fault.params
    status: int = params.get("status", 0)
    match fault.name:
        case "slow":
            if not connection.pause(params["seconds"]):
                connection.send(answer())
        case "close_idle":
            connection.send(answer())
            connection.close_after_idle(params["seconds"])
        case "hang":
            connection.wait_until_left()
        case "reset":
            connection.reset()
        case "close":
            connection.close_connection = True
        case "status":
            connection.send(_any_answer(status, params["body"], params["headers"] or {}))
        case "html":
            connection.send(Answer(status, FIREWALL_PAGE, {"Content-Type": HTML}))
        case "bad_json":
            connection.send(Answer(status, b'{"errors": [{"code": "not_fou', {"Content-Type": JSON}))
        case "redirect":
            connection.send(Answer(status, b"", {"Location": params["location"]}))
        case "truncated":
            body = params["body"].encode()
            connection.stream(status, {"Content-Type": JSON}, len(body) + 100, [body])
        case "huge":
            connection.stream(status, {"Content-Type": HTML}, params["bytes"], _blanks(params["bytes"]))
        case "gzip_bomb":
            body = _gzip(params["bytes"])
            connection.stream(status, {"Content-Type": JSON, "Content-Encoding": "gzip"}, len(body), [body])
        case "drip":
            body = params["body"].encode()
            pieces = (bytes([byte]) for byte in body if not connection.pause(params["seconds_per_byte"]))
            connection.stream(status, {"Content-Type": JSON}, len(body), pieces)


def _any_answer(status: int, body: Any, headers: dict[str, str]) -> Answer:
    """The given body, or the one that DigiCert is known to send with this status."""
    if body is None and status == 429:
        answer = rate_limited()
    elif body is None and status == 503:  # change log: the text during maintenance
        answer = Answer(503, b"Service is unavailable", {"Content-Type": "text/plain"})
    elif isinstance(body, dict | list):
        answer = Answer(status, json.dumps(body).encode(), {"Content-Type": JSON})
    else:
        answer = Answer(status, (body or "").encode(), {"Content-Type": JSON} if body else {})
    return answer._replace(headers=answer.headers | headers)


def _blanks(count: int) -> Iterator[bytes]:
    """That many bytes of an HTML page, in pieces."""
    head = b"<html><body>"[:count]
    yield head
    left = count - len(head)
    while left > 0:
        yield b" " * min(left, 65_536)
        left -= 65_536


def _gzip(count: int) -> bytes:
    """That many bytes, compressed about a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([packer.compress(piece) for piece in _blanks(count)]) + packer.flush()
