"""Faults on demand: what a test may inject, and how each one looks on the wire.

slow         the normal response, after some seconds
hang         no response, while the connection stays open
reset        a TCP reset instead of a response
close        the connection closes without a response
close_after  the normal response with `Connection: close`
close_idle   the normal response; later the connection closes without notice
status       any status; without a body, the one that DigiCert is known to send with it
html         a firewall's web page
truncated    a body that is shorter than its Content-Length
bad_json     a body that ends in the middle
redirect     to any location
huge         a body of many bytes
gzip_bomb    a small body that decompresses to many bytes
drip         a body that comes byte by byte
extra        the normal response, with any bytes `before` and `after` it (Latin-1 text) in the same write; the
             connection stays open
raw          any bytes: `data` at once, then `slowly` byte by byte, both as Latin-1 text; then the connection
             closes, or stays open in silence if `closes` is false
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .orders import ControlError
from .responses import JSON, Response, rate_limited

if TYPE_CHECKING:
    from .http_server import Connection

HTML = "text/html; charset=utf-8"
_STATUS = (int, 500)
_REQUIRED = object()

# fault -> parameter -> type, default
FAULTS: dict[str, dict[str, tuple[Any, Any]]] = {
    "slow": {"seconds": (float, _REQUIRED)},
    "hang": {},
    "reset": {},
    "close": {},
    "close_after": {},
    "status": {"status": (int, _REQUIRED), "body": ((str, dict, list), None), "headers": (dict, None)},
    "html": {"status": (int, 403)},
    "truncated": {"status": (int, 200), "body": (str, '{"id": 100000001, "status": "pen')},
    "bad_json": {"status": _STATUS},
    "redirect": {"status": (int, 302), "location": (str, _REQUIRED)},
    "huge": {"status": _STATUS, "bytes": (int, 5_000_000)},
    "gzip_bomb": {"status": _STATUS, "bytes": (int, 100_000_000)},
    "drip": {"status": (int, 200), "seconds_per_byte": (float, _REQUIRED), "body": (str, '{"errors": []}')},
    "close_idle": {"seconds": (float, _REQUIRED)},
    "extra": {"before": (str, ""), "after": (str, "")},
    "raw": {"data": (str, ""), "slowly": (str, ""), "seconds_per_byte": (float, 0.05), "closes": (bool, True)},
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
    """One injected fault.

    `times` counts down; None means for ever. With `mails` the request takes effect before the fault strikes.
    """

    name: str
    method: str | None
    path: str | None
    times: int | None
    mails: bool
    params: dict[str, Any]

    def matches(self, method: str, path: str) -> bool:
        """Return whether it strikes this request; `path` is a regular expression to search for."""
        return self.method in (None, method) and (self.path is None or re.search(self.path, path) is not None)


def parse_fault(fields: dict[str, Any]) -> Fault:
    """Read a fault of the control API. Raises ControlError, which names the field."""
    name = fields.get("fault")
    if name not in FAULTS:
        raise ControlError(f"field 'fault' must be one of {', '.join(FAULTS)}")
    known = _MATCHING | FAULTS[name]
    for field in fields:
        if field != "fault" and field not in known:
            raise ControlError(f"field '{field}' is unknown for fault {name}; allowed fields are {', '.join(known)}")
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


def strike(connection: "Connection", fault: Fault, take_effect: Callable[[], Response]) -> None:  # noqa: C901
    """Respond as the fault says; `take_effect` makes the request take effect and returns the normal response."""
    params = fault.params
    status: int = params.get("status", 0)
    match fault.name:
        case "slow":
            if not connection.pause(params["seconds"]):
                connection.send(take_effect())
        case "close_idle":
            connection.send(take_effect())
            connection.close_after_idle(params["seconds"])
        case "hang":
            connection.wait_until_left()
        case "reset":
            connection.reset()
        case "close":
            connection.close_connection = True
        case "close_after":
            connection.close_connection = True
            connection.send(take_effect())
        case "extra":
            connection.send(take_effect(), params["before"].encode("latin-1"), params["after"].encode("latin-1"))
        case "raw":
            _send_raw(connection, **params)
        case "status":
            connection.send(_any_response(status, params["body"], params["headers"] or {}))
        case "html":
            connection.send(Response(status, FIREWALL_PAGE, {"Content-Type": HTML}))
        case "bad_json":
            connection.send(Response(status, b'{"errors": [{"code": "not_fou', {"Content-Type": JSON}))
        case "redirect":
            connection.send(Response(status, b"", {"Location": params["location"]}))
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


def _any_response(status: int, body: Any, headers: dict[str, str]) -> Response:
    """Respond with the given body, or with the one that DigiCert is known to send with this status."""
    if body is None and status == 429:
        response = rate_limited()
    elif body is None and status == 503:  # change log: the text during maintenance
        response = Response(503, b"Service is unavailable", {"Content-Type": "text/plain"})
    elif isinstance(body, dict | list):
        response = Response(status, json.dumps(body).encode(), {"Content-Type": JSON})
    else:
        response = Response(status, (body or "").encode(), {"Content-Type": JSON} if body else {})
    return response._replace(headers=response.headers | headers)


def _send_raw(connection: "Connection", data: str, slowly: str, seconds_per_byte: float, closes: bool) -> None:
    connection.close_connection = True
    connection.wfile.write(data.encode("latin-1"))
    for byte in slowly:
        if connection.pause(seconds_per_byte):
            return
        connection.wfile.write(byte.encode("latin-1"))
    if not closes:
        connection.wait_until_left()


def _blanks(count: int) -> Iterator[bytes]:
    """Yield that many bytes of an HTML page, in pieces."""
    head = b"<html><body>"[:count]
    yield head
    left = count - len(head)
    while left > 0:
        yield b" " * min(left, 65_536)
        left -= 65_536


def _gzip(count: int) -> bytes:
    """Compress that many bytes, about a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([packer.compress(piece) for piece in _blanks(count)]) + packer.flush()
