"""What arrived in an HTTP exchange: CertCentral's response, or that of a firewall or proxy in its place.

"Recorded" means seen in a real exchange.
"""

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from itertools import islice

from dv_resend.core.untrusted_json import as_dict, printable_text
from dv_resend.errors import UpstreamError

MAX_RETRY_AFTER_SECONDS = 24 * 3600
# A page of a thousand orders with 250 names each has 350,000. Eight megabytes of JSON may have eight million, and the
# values that they separate take up to 200 bytes each.
MAX_JSON_MARKS = 500_000
_JSON_MARKS = (b",", b":", b"[", b"{")

_MAX_UPSTREAM_ERRORS = 10
# Parts of `errors` that are looked at, so that entries that say nothing are no work either.
_MAX_PARTS = 1000
_BAD_KEY_CODES = frozenset({"access_denied_invalid_key", "invalid_key"})


@dataclass(frozen=True)
class Response:
    """One response of CertCentral, or of whatever answered in its place. ``body`` is ``None`` if it was unreadable.

    ``key`` is the key of the request: if the response echoes it, it is removed from what is read.

    Example:
        >>> body = b'{"errors": [{"code": "not_found|order"}]}'
        >>> Response(404, body, key="-", content_type="", retry_after=None).errors[0].code
        'not_found|order'
    """

    status: int
    body: bytes | None
    key: str = field(repr=False)
    content_type: str
    retry_after: int | None

    @property
    def description(self) -> str:
        """What arrived, in words that fit into a sentence."""
        if self.body is None:
            return "a response that was cut off, or is too large or unreadable"
        if self.is_html:
            return "a web page, perhaps from a firewall"
        if not self.body:
            return "an empty response"
        if not self.is_json:
            return "a text that is not JSON"
        return "an error" if self.holds_errors else "JSON of another kind"

    @property
    def is_html(self) -> bool:
        """Whether this is a web page, as a firewall in front of CertCentral sends it (recorded: Imperva)."""
        body = (self.body or b"").lstrip(b"\xef\xbb\xbf \t\r\n")
        return bool(body) and (body.startswith(b"<") or "html" in self.content_type.lower())

    @cached_property
    def errors(self) -> tuple[UpstreamError, ...]:
        """The entries of ``errors``: a list (errors page), a single object (old fixtures), or absent."""
        return tuple(islice(_entries(as_dict(self.json).get("errors")), _MAX_UPSTREAM_ERRORS))

    @property
    def holds_errors(self) -> bool:
        """Whether there is an ``errors``, even if it says nothing."""
        parts = self.json if isinstance(self.json, list) else [self.json]
        return any("errors" in as_dict(part) for part in parts)

    @property
    def codes(self) -> frozenset[str]:
        """The codes of `errors`, in lower case. If a refusal has none, it did not come from CertCentral."""
        return frozenset(error.code.casefold() for error in self.errors if error.code)

    @property
    def rejects_key(self) -> bool:
        """Whether the key itself is rejected: 403 with this code (recorded); older clients knew 401.

        A page or a text with 401 is somebody else's.
        """
        if self.status == 401:
            return not self.body or (self.is_json and not self.is_html)
        return self.status == 403 and any(code.rpartition("|")[2] in _BAD_KEY_CODES for code in self.codes)

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON, of any kind."""
        return self._parsed is not None

    @property
    def json(self) -> object:
        """The parsed body, or ``None`` if it is not JSON."""
        return self._parsed[0] if self._parsed is not None else None

    @cached_property
    def _parsed(self) -> tuple[object] | None:
        body = self.body or b""
        # Before anything is parsed: it is the parsed values that take the memory.
        if sum(map(body.count, _JSON_MARKS)) > MAX_JSON_MARKS:
            return None
        try:
            data = json.loads(body)
            # The key is searched after parsing: in the body it may be escaped, or in another encoding. Upstream may
            # also have changed its case.
            text = json.dumps(data)
            if self.key.lower() in text.lower():
                data = json.loads(re.sub(re.escape(self.key), "[key]", text, flags=re.IGNORECASE))
        except (ValueError, RecursionError):
            return None
        return (data,)


def _entries(errors: object) -> Iterator[UpstreamError]:
    """Yield what CertCentral said: each entry with its code or message, followed by those that are nested in it."""
    parts = [errors]
    for _ in range(_MAX_PARTS):
        if not parts:
            return
        match parts.pop():
            case list() as entries:
                parts += reversed(entries[:_MAX_PARTS])
            case dict() as entry:
                code, message = _text(entry.get("code"), 128), _text(entry.get("message"), 300)
                if code or message:
                    yield UpstreamError(code, message)
                    parts.append(entry.get("errors"))
                else:
                    # Only nested ones, or texts by field.
                    parts += reversed(list(entry.values())[:_MAX_PARTS])
            case text if message := _text(text, 300):
                yield UpstreamError("", message)


def _text(value: object, limit: int) -> str:
    """Return a text, or a number as text, that is safe to show; empty if it is anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return printable_text(value, limit) or ""


def parse_retry_after(text: str | None, now: float) -> int | None:
    """Return the seconds of a ``Retry-After`` (seconds or a date), ``None`` if it is absent or unusable."""
    if text is None:
        return None
    try:
        if text.strip().isdecimal():
            seconds = float(text)
        else:
            moment = parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return round(min(max(seconds, 1), MAX_RETRY_AFTER_SECONDS))


def decompress(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Undo gzip or deflate; ``None`` if the result exceeds the limit, is cut off, or has another encoding."""
    if len(body) > limit:
        return None
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        decompressed = decompressor.decompress(body, limit)
    except zlib.error:
        return None
    # A further gzip member would be read by others, so what comes after the first one is not ignored.
    return decompressed if decompressor.eof and not decompressor.unused_data else None
