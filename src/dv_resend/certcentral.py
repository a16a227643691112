"""DigiCert CertCentral's Services API, as far as resends need it: four calls, and what their answers mean.

Facts are DigiCert's documentation where a page is named (dev.digicert.com, Services API); "recorded" means seen in
a real exchange. A resend is an email to a human, so the PUT is sent once: only when it surely did not
reach CertCentral is it tried again, and every doubt becomes `OutcomeUnknown`.
"""

import io
import json
import random
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from dv_resend import __version__
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ConfigurationError,
    InvalidRequest,
    OrderNotFound,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RequestRejected,
    UpstreamError,
)
from dv_resend.models import ListedOrder, NameStatus, Order, OrderStatus, a_label, mask_addresses, parse_order_id

if TYPE_CHECKING:
    from dv_resend.api_key import ApiKey

CONNECT_TIMEOUT_SECONDS = 3.0
# Kept free at the end of an invocation, so that the outcome can be recorded and answered.
MARGIN_SECONDS = 3.0
# A connection that idled longer may be dead without our having noticed: a frozen function reads no FIN, and
# a reset of a dead connection looks exactly like a reset after sending.
IDLE_LIMIT_SECONDS = 30.0
ATTEMPTS = 3
BODY_LIMIT_BYTES = 1024 * 1024
# A thousand orders, some with hundreds of names.
PAGE_LIMIT_BYTES = 8 * 1024 * 1024
PAGE_SIZE = 1000
MAX_RETRY_AFTER_SECONDS = 24 * 3600

# The longest domain name, and a wildcard's star (RFC 1035, 2.3.4).
MAX_NAME = 255

_MAX_UPSTREAM_ERRORS = 5


class CertCentral:
    """The client of one CertCentral account.

    Each method takes ``ends_at``, the end of the invocation in seconds since the epoch, and starts no call that could
    outlast it by its time-outs: it raises `CertCentralUnavailable` instead. Each also raises `ApiKeyRejected`,
    `PermissionDenied`, `RateLimited`, `OrderNotFound`, `RequestRejected` and `ConfigurationError`, and what `ApiKey`
    raises. None of these has sent anything.
    """

    def __init__(
        self,
        *,
        base_url: str,
        timeout_seconds: float,
        api_key: "ApiKey",
        observe: Callable[[int | None, float], None],
        pace: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep one session for all calls.

        ``observe`` is told the status (``None``: no answer) and the seconds of each; ``pace`` is called, and may wait,
        before each.
        """
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._api_key = api_key
        self._observe = observe
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._session = _new_session(self._patience)
        self._last_used = self._until = 0.0

    def get_order(self, order_id: int, ends_at: float) -> Order:
        """Return what decides whether a resend helps (order info page). Safe to repeat."""
        data = self._get(_Call("GET", f"/order/certificate/{order_id}"), ends_at)
        _require_same_order(data.get("id"), order_id)
        return Order(
            order_id=order_id,
            status=_word(data.get("status")),
            product_type=_word(_object(data.get("product")).get("type")),
            dcv_method=_word(data.get("dcv_method")),
            anchor=_anchor(data),
            names=_names(_object(data.get("certificate")).get("dns_names")),
        )

    def list_orders(self, statuses: Iterable[str], offset: int, ends_at: float) -> list[ListedOrder]:
        """Return one page of the orders in ``statuses``, oldest first; an empty one ends the list (list orders page).

        Safe to repeat.
        """
        query = {f"filters[status][{index}]": status for index, status in enumerate(statuses)}
        query |= {"sort": "date_created", "limit": str(PAGE_SIZE), "offset": str(offset)}
        call = _Call("GET", f"/order/certificate?{urlencode(query)}", body_limit=PAGE_LIMIT_BYTES)
        rows = self._get(call, ends_at).get("orders")
        if not isinstance(rows, list):
            raise CertCentralUnavailable("CertCentral's answer holds no list of orders; try again later.")
        return [_listed_order(row) for row in map(_object, rows)]

    def get_order_status(self, order_id: int, ends_at: float) -> OrderStatus:
        """Return how far validation has come (validation status page). Safe to repeat."""
        data = self._get(_Call("GET", f"/order/certificate/{order_id}/validation"), ends_at)
        _require_same_order(data.get("order_id"), order_id)
        names = data.get("dns_name_validations")
        return OrderStatus(
            order_id=order_id,
            status=_word(data.get("order_status")),
            dcv_method=_word(data.get("order_dcv_method")),
            domains=tuple(
                _name_status(entry, self._clock()) for entry in map(_object, names if isinstance(names, list) else [])
            ),
        )

    def resend_emails(self, order_id: int, body: dict[str, object], ends_at: float) -> None:
        """Have the DCV emails of an order sent again (resend-emails page; success is 204, any 2xx is accepted).

        Not safe to repeat: each success is an email to a human. Raises `OutcomeUnknown` when it may or may not
        have been sent; every other error means that it surely was not.
        """
        answer = self._make(_Call("PUT", f"/order/certificate/{order_id}/resend-emails", body), ends_at)
        if not 200 <= answer.status < 300:
            raise OutcomeUnknown(
                f"CertCentral answered the resend of order {order_id} with status {answer.status}; the email may have "
                "been sent. Look at the order before forcing another.",
                upstream_status=answer.status,
                upstream_errors=answer.errors,
            )
        if answer.body is None or answer.is_html:
            raise OutcomeUnknown(
                f"The answer to the resend of order {order_id} was cut off or is a web page, not CertCentral's; the "
                "email may not have been sent. Look at the order before forcing another.",
                upstream_status=answer.status,
            )

    def _get(self, call: "_Call", ends_at: float) -> dict[str, Any]:
        answer = self._make(call, ends_at)
        data = answer.json if 200 <= answer.status < 300 else None
        if not isinstance(data, dict):
            raise CertCentralUnavailable(
                f"CertCentral answered a query with status {answer.status} and no usable data; try again later.",
                retry_after=answer.retry_after,
                upstream_status=answer.status,
                upstream_errors=answer.errors,
            )
        return data

    def _make(self, call: "_Call", ends_at: float) -> "_Answer":
        """Make a call; make it once more with a fresh key if the one in use is rejected and was changed meanwhile."""
        key = self._api_key.current()
        answer = self._exchange(call, key, ends_at)
        if answer.rejects_key:
            fresh = self._api_key.refresh()
            if fresh != key:
                answer = self._exchange(call, fresh, ends_at)
        _raise_refusal(call.method, answer)
        return answer

    def _exchange(self, call: "_Call", key: str, ends_at: float) -> "_Answer":
        """Send a request until it is answered, with whatever status, or may not be tried again."""
        request = self._session.prepare_request(self._request(call, key))
        attempt = 0
        while True:
            attempt += 1
            self._pace()
            self._drop_idle_connection()
            self._require_time(ends_at)
            try:
                return self._send(request, key, ends_at, call.body_limit)
            except Exception as error:
                unsent = _surely_not_sent(error)
                if call.method == "PUT" and not unsent:
                    raise OutcomeUnknown(
                        f"The connection to CertCentral broke after the resend was sent ({_reason(error)}); the email "
                        "may have been sent. Look at the order before forcing another."
                    ) from None
                if not isinstance(error, requests.RequestException):
                    raise
                again = not _is_certificate_error(error) and (unsent or not isinstance(error, requests.Timeout))
                if not again or attempt == ATTEMPTS:
                    raise CertCentralUnavailable(
                        f"CertCentral could not be reached ({_reason(error)}); nothing was sent. Try again later."
                    ) from None
            self._sleep(random.uniform(0.1, 0.4) * attempt)  # noqa: S311 - jitter, not a secret

    def _request(self, call: "_Call", key: str) -> requests.Request:
        url = self._base_url + call.path
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"dv-resend/{__version__}",
            "X-DC-DEVKEY": key,
        }
        if call.body is None:
            return requests.Request(call.method, url, headers=headers)
        # Built here, not by requests, so that every door sends the same bytes.
        data = json.dumps(call.body, separators=(",", ":")).encode()
        return requests.Request(call.method, url, headers=headers | {"Content-Type": "application/json"}, data=data)

    def _send(self, request: requests.PreparedRequest, key: str, ends_at: float, body_limit: int) -> "_Answer":
        started, status = self._clock(), None
        self._until = ends_at - MARGIN_SECONDS
        try:
            response = self._session.send(
                request,
                timeout=(CONNECT_TIMEOUT_SECONDS, self._timeout_seconds),
                # Followed, a redirect would carry the key to another host.
                allow_redirects=False,
                stream=True,
            )
            status = response.status_code
            return _Answer(
                status=status,
                body=self._read(response, body_limit),
                key=key,
                content_type=response.headers.get("Content-Type", ""),
                retry_after=_retry_after(response.headers.get("Retry-After"), self._clock()),
            )
        finally:
            self._last_used = self._clock()
            self._observe(status, self._last_used - started)

    def _drop_idle_connection(self) -> None:
        idle = self._clock() - self._last_used
        # A clock set back is no proof of a fresh connection.
        if not 0 <= idle <= IDLE_LIMIT_SECONDS:
            self._session.close()

    def _require_time(self, ends_at: float) -> None:
        needed = CONNECT_TIMEOUT_SECONDS + self._timeout_seconds + MARGIN_SECONDS
        if ends_at - self._clock() < needed:
            raise CertCentralUnavailable(
                "Too little time was left for another call to CertCentral; nothing was sent. Try again later."
            )

    def _patience(self) -> float:
        """Say how many seconds the next piece of an answer may take: the time-out, or what is left of the time."""
        return min(self._timeout_seconds, self._until - self._clock())

    def _read(self, response: requests.Response, limit: int) -> bytes | None:
        """Return the body; ``None`` if cut off, too large, or too slow."""
        raw: urllib3.HTTPResponse = response.raw
        if response.status_code == requests.codes.no_content:
            # A 204 ends with its headers (RFC 9112, 6.3), whatever they say of a body; some edges do.
            if "Transfer-Encoding" in response.headers or "Content-Length" in response.headers:
                response.close()
            else:
                raw.release_conn()
            return b""
        body = b""
        try:
            while piece := raw.read1(65536, decode_content=False):
                body += piece
                if len(body) > limit:
                    response.close()
                    return None
        except (HTTPError, HTTPException, OSError, ValueError):
            response.close()
            return None
        raw.release_conn()
        return _unpack(body, response.headers.get("Content-Encoding", ""), limit)


@dataclass(frozen=True)
class _Call:
    """One call to make. Of its answer's body at most ``body_limit`` bytes are read."""

    method: Literal["GET", "PUT"]
    path: str
    body: dict[str, object] | None = None
    body_limit: int = BODY_LIMIT_BYTES


@dataclass(frozen=True)
class _Answer:
    """One answer of CertCentral, or of whatever answered in its place. ``body`` is ``None`` if it was not readable.

    ``key`` is what it was asked with: it is taken out of what is read, should it be echoed.
    """

    status: int
    body: bytes | None
    key: str = field(repr=False)
    content_type: str
    retry_after: int | None

    @property
    def is_html(self) -> bool:
        """Whether a web page came back: a firewall in front of CertCentral answers with one (recorded: Imperva)."""
        body = (self.body or b"").lstrip(b"\xef\xbb\xbf \t\r\n")
        return bool(body) and (body.startswith(b"<") or "html" in self.content_type.lower())

    @cached_property
    def errors(self) -> tuple[UpstreamError, ...]:
        """The entries of ``errors``: a list (errors page), a single object (old fixtures), or absent."""
        entries = _object(self.json).get("errors")
        found = []
        for entry in entries[:_MAX_UPSTREAM_ERRORS] if isinstance(entries, list) else [entries]:
            item = _object(entry)
            nested = item.get("errors")
            item = _object(nested[0]) if isinstance(nested, list) and nested else item
            if (code := _word(item.get("code"), 128)) is not None:
                found.append(UpstreamError(code, mask_addresses(_word(item.get("message"), 300) or "")))
        return tuple(found)

    @property
    def rejects_key(self) -> bool:
        """Whether the key itself is rejected: 403 with this code (recorded); older clients knew 401."""
        return self.status == 401 or (
            self.status == 403
            and any(
                error.code.rpartition("|")[2] in ("access_denied_invalid_key", "invalid_key") for error in self.errors
            )
        )

    @cached_property
    def json(self) -> object:
        """The parsed body, or ``None`` when it is no JSON."""
        try:
            data = json.loads(self.body or b"")
            # Looked for only now: in the body it may be escaped, or in another encoding.
            text = json.dumps(data, ensure_ascii=False)
            return json.loads(text.replace(self.key, "[key]")) if self.key in text else data
        except (ValueError, RecursionError):
            return None


def _new_session(patience: Callable[[], float]) -> requests.Session:
    session = _Session()
    # No proxy, netrc or CA bundle from the environment: the key goes to the configured host alone.
    session.trust_env = False
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # One connection, so that the PUT goes out on the connection that the GET has just proved alive; and no retries:
    # urllib3 would repeat a PUT. `read=False` keeps a read time-out apart from a connection that was never made.
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=urllib3.Retry(total=0, read=False))
    adapter.poolmanager.pool_classes_by_scheme = {
        "http": _timed(urllib3.HTTPConnectionPool, patience),
        "https": _timed(urllib3.HTTPSConnectionPool, patience),
    }
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _timed(pool: type[urllib3.HTTPConnectionPool], patience: Callable[[], float]) -> type[urllib3.HTTPConnectionPool]:
    """Return the pool with answers that are read within ``patience``, and have whole headers."""

    class Response(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self._reader = _TimedReader(self.fp.detach(), sock, patience)
            self.fp = io.BufferedReader(self._reader)

        def begin(self) -> None:
            super().begin()
            # http.client takes the end of a connection for the end of the headers: half a web page would be a success.
            if self._reader.is_at_end:
                raise RemoteDisconnected("the headers were cut off")

    connection = type("Connection", (pool.ConnectionCls,), {"response_class": Response})
    return type("Pool", (pool,), {"ConnectionCls": connection})


class _TimedReader(io.RawIOBase):
    """Reads from a socket, and asks before each piece how many seconds it may take.

    A time-out alone bounds no answer that drips, be it in the body or in the headers: it starts anew with each byte.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, patience: Callable[[], float]) -> None:
        self._raw, self._sock, self._patience = raw, sock, patience
        self.is_at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        seconds = self._patience()
        if seconds <= 0:
            raise TimeoutError
        self._sock.settimeout(seconds)
        count = self._raw.readinto(buffer)
        self.is_at_end = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        """See no redirect at all: requests reads a redirect's whole body even when told not to follow."""
        return


def _surely_not_sent(error: Exception) -> bool:
    """Whether the request cannot have reached CertCentral. A whitelist: every other failure may have come after it."""
    if isinstance(error, requests.ConnectTimeout) or _is_certificate_error(error):
        return True
    cause = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _is_certificate_error(error: Exception) -> bool:
    """Whether the TLS handshake ended because the server's certificate failed verification."""
    cause = error.args[0] if isinstance(error, requests.exceptions.SSLError) and error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    return any(isinstance(arg, ssl.SSLCertVerificationError) for arg in getattr(reason, "args", ()))


def _reason(error: Exception) -> str:
    if _is_certificate_error(error):
        return "its certificate failed verification"
    return type(error).__name__


def _raise_refusal(method: str, answer: _Answer) -> None:
    """Raise the error that a refusal (a 4xx) means; return for everything else (errors page, rate limits page)."""
    status, errors = answer.status, answer.errors
    if not 400 <= status < 500:
        return
    said: dict[str, Any] = {"upstream_status": status, "upstream_errors": errors}
    codes = {error.code for error in errors}
    if answer.rejects_key:
        raise ApiKeyRejected("CertCentral rejects the API key; store a valid key in the secret.", **said)
    if status == 403:
        raise PermissionDenied(
            "The API key may not do this; check its role (orders), its user's access and the account's IP rules.",
            **said,
        )
    if status == 429:
        raise RateLimited(
            "CertCentral's request limit is reached; nothing was sent.", retry_after=answer.retry_after, **said
        )
    if status == 404 and "not_found|route" in codes:
        raise ConfigurationError("CertCentral does not know this address; check CERTCENTRAL_BASE_URL.", **said)
    if status == 404 and codes & {"not_found|order", "not_found"}:
        raise OrderNotFound(
            "CertCentral knows no such order under this key; check the order id and the account.", **said
        )
    # A 4xx without CertCentral's codes to a query is something else's answer, a firewall's for example.
    if method == "PUT" or codes:
        raise RequestRejected("CertCentral refused the request; see its codes.", **said)


def _retry_after(text: str | None, now: float) -> int | None:
    """Return the seconds of a ``Retry-After`` (seconds or a date), ``None`` if absent or nonsense."""
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


def _unpack(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Undo gzip or deflate, up to the limit; ``None`` if it does not fit, is cut off, or is encoded otherwise."""
    if len(body) > limit:
        return None
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        unpacked = unpacker.decompress(body, limit)
    except zlib.error:
        return None
    return unpacked if unpacker.eof else None


def _anchor(order: dict[str, Any]) -> datetime | None:
    """Find when the request was made that waits for validation.

    A reissue is among the order's ``requests``; how its type is spelt is not documented, so the newest request counts
    if none is called a reissue.
    """
    created = _moment(order.get("date_created"))
    if order.get("status") != "reissue_pending":
        return created
    requests_ = order.get("requests")
    dated = [
        (moment, "reissue" in str(request.get("type")).casefold())
        for request in map(_object, requests_ if isinstance(requests_, list) else [])
        if (moment := _moment(request.get("date"))) is not None
    ]
    reissues = [moment for moment, is_reissue in dated if is_reissue] or [moment for moment, _ in dated]
    return max(reissues, default=None)


def _name_status(entry: dict[str, Any], now: float) -> NameStatus:
    expires = _moment(entry.get("approval_expiration_date"))
    return NameStatus(
        scope=a_label(_word(entry.get("name_scope"), MAX_NAME) or ""),
        status=_word(entry.get("status")) or "unknown",
        names=_names(entry.get("dns_names")),
        expired=expires is not None and expires.timestamp() <= now,
    )


def _names(value: object) -> tuple[str, ...]:
    words = [_word(name, MAX_NAME) for name in (value if isinstance(value, list) else [])]
    return tuple(a_label(name) for name in words if name is not None)


def _require_same_order(answered: object, order_id: int) -> None:
    # Where the order id stands, a certificate's serial number is accepted too (order info page).
    if answered is not None and str(answered) != str(order_id):
        raise OrderNotFound(f"CertCentral answered with another order than {order_id}; check the order id.")


def _listed_order(row: dict[str, Any]) -> ListedOrder:
    try:
        order_id = parse_order_id(row.get("id"))  # a number or, in some answers, a string
    except InvalidRequest:
        order_id = None
    return ListedOrder(
        order_id=order_id,
        status=_word(row.get("status")),
        product_type=_word(_object(row.get("product")).get("type")),
        created=_moment(row.get("date_created")),
    )


def _moment(value: object) -> datetime | None:
    """Read a time of CertCentral's (ISO 8601 with an offset; without one it is taken for UTC), if it is one of ours."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # Nobody can reckon with the ends of the calendar.
    if moment is None or not 2000 <= moment.year < 2200:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _word(value: object, limit: int = 64) -> str | None:
    """Return a text of CertCentral's that is safe to show: short, and printable."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(character if character.isprintable() else " " for character in value[:limit])
