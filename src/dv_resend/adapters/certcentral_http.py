"""One HTTP exchange with CertCentral: connections, time-outs, retries, the key, and where a response ends.

A resend is an email to a person. So the PUT is sent once: it is tried again only if it provably never reached
CertCentral, and every doubt becomes `OutcomeUnknown`.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Literal

import requests
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from dv_resend import __version__
from dv_resend.adapters.certcentral_response import Response, decompress, parse_retry_after
from dv_resend.adapters.certcentral_session import UntrustedCertificate, new_session
from dv_resend.core.requests import MARGIN_SECONDS
from dv_resend.errors import CertCentralUnavailable, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import urllib3

    from dv_resend.adapters.api_key import ApiKey

CONNECT_TIMEOUT_SECONDS = 3.0
# A connection that idled longer may be dead without notice: a frozen function reads no FIN, and the reset of a dead
# connection looks exactly like a reset after sending.
IDLE_LIMIT_SECONDS = 30.0
ATTEMPTS = 3
BODY_LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Call:
    """One call to make. At most ``body_limit`` bytes of the response's body are read.

    Example:
        >>> Call("GET", "/order/certificate/123456789").body is None
        True
    """

    method: Literal["GET", "PUT"]
    path: str
    body: dict[str, object] | None = None
    body_limit: int = BODY_LIMIT_BYTES


class CertCentralHttp:
    """Makes calls with the account's key, over one connection that is kept.

    Example:
        ``http = CertCentralHttp(base_url=…, timeout_seconds=10, api_key=api_key, observe=observe)``
    """

    def __init__(
        self,
        *,
        base_url: str,
        timeout_seconds: float,
        api_key: "ApiKey",
        observe: Callable[[int | None, float], None],
        wait_for_token: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep one session for all calls.

        ``observe`` receives the status (``None``: no response) and the seconds of each call. ``wait_for_token`` is
        called before each call, and may wait (the rate limit).
        """
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._api_key = api_key
        self._observe = observe
        self._wait_for_token = wait_for_token
        self._clock = clock
        self._sleep = sleep
        self._session = new_session(self._seconds_left)
        self._last_used = self._read_until = 0.0

    def call(self, call: Call, deadline: float) -> Response:
        """Make a call, and once more with a fresh key if the key is rejected and was changed meanwhile.

        Returns the response with any status. Raises `OutcomeUnknown` if a PUT may have been sent without a response,
        `CertCentralUnavailable` if nothing was sent, and what `ApiKey` raises.
        """
        key = self._api_key.current()
        response = self._call_with_retries(call, key, deadline)
        if response.rejects_key:
            fresh = self._api_key.refresh()
            if fresh != key:
                response = self._call_with_retries(call, fresh, deadline)
        return response

    def _call_with_retries(self, call: Call, key: str, deadline: float) -> Response:
        """Send a request until a response arrives, or until it may not be tried again."""
        request = self._session.prepare_request(self._request(call, key))
        attempt = 0
        while True:
            attempt += 1
            self._wait_for_token()
            self._drop_idle_connection()
            self._require_time(deadline)
            try:
                return self._send_once(request, key, deadline, call.body_limit)
            except Exception as error:
                unsent = _surely_not_sent(error)
                if call.method == "PUT" and not unsent:
                    raise OutcomeUnknown(
                        f"The connection to CertCentral broke after the resend was sent ({_reason(error)}). The email "
                        "may have been sent. Check whether it arrived before you force another one."
                    ) from None
                if not isinstance(error, requests.RequestException):
                    raise
                may_repeat = not _is_certificate_error(error) and (unsent or not isinstance(error, requests.Timeout))
                if not may_repeat or attempt == ATTEMPTS:
                    raise CertCentralUnavailable(
                        f"CertCentral could not be reached ({_reason(error)}). Nothing was sent. Try again later."
                    ) from None
            self._sleep(random.uniform(0.1, 0.4) * attempt)  # noqa: S311 - jitter, not a secret

    def _request(self, call: Call, key: str) -> requests.Request:
        url = self._base_url + call.path
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"dv-resend/{__version__}",
            "X-DC-DEVKEY": key,
        }
        if call.body is None:
            return requests.Request(call.method, url, headers=headers)
        # Serialised here and not by requests, so that every event source sends the same bytes.
        data = json.dumps(call.body, separators=(",", ":")).encode()
        return requests.Request(call.method, url, headers=headers | {"Content-Type": "application/json"}, data=data)

    def _send_once(self, request: requests.PreparedRequest, key: str, deadline: float, body_limit: int) -> Response:
        started, status = self._clock(), None
        self._read_until = deadline - MARGIN_SECONDS
        try:
            response = self._session.send(
                request,
                timeout=(CONNECT_TIMEOUT_SECONDS, self._timeout_seconds),
                # A redirect that is followed would carry the key to another host.
                allow_redirects=False,
                stream=True,
            )
            status = response.status_code
            return Response(
                status=status,
                body=self._read(response, body_limit),
                key=key,
                content_type=response.headers.get("Content-Type", ""),
                retry_after=parse_retry_after(response.headers.get("Retry-After"), self._clock()),
            )
        finally:
            self._last_used = self._clock()
            self._observe(status, self._last_used - started)

    def _drop_idle_connection(self) -> None:
        idle = self._clock() - self._last_used
        # A clock that was set back is no proof of a fresh connection.
        if not 0 <= idle < IDLE_LIMIT_SECONDS:
            self._session.close()

    def _require_time(self, deadline: float) -> None:
        needed = CONNECT_TIMEOUT_SECONDS + self._timeout_seconds + MARGIN_SECONDS
        if deadline - self._clock() < needed:
            raise CertCentralUnavailable(
                "Too little time was left for another call to CertCentral. Nothing was sent. Try again later."
            )

    def _seconds_left(self) -> float:
        """Seconds to wait for the next chunk: the read timeout, capped by the time left."""
        return min(self._timeout_seconds, self._read_until - self._clock())

    def _read(self, response: requests.Response, limit: int) -> bytes | None:
        """Return the body, or ``None`` if it is cut off, too large, or too slow.

        The connection is kept only if it is certain where the response ended; then `certcentral_session` decides.
        """
        raw: urllib3.HTTPResponse = response.raw
        announced = "Transfer-Encoding" in response.headers or "Content-Length" in response.headers
        if response.status_code == requests.codes.not_modified or (
            response.status_code == requests.codes.no_content and announced
        ):
            # Both end with their headers (RFC 9112, 6.3). Some edges announce a body, or send one, all the same.
            response.close()
            return b""
        body = bytearray()
        try:
            if not _is_framed(response.headers):
                raise ValueError
            while chunk := raw.read1(65536, decode_content=False):
                body += chunk
                if len(body) > limit:
                    raise ValueError
            if response.status_code != requests.codes.no_content and not (announced or body):
                # The connection ended without a body, so nobody knows whether there was to be one.
                raise ValueError
        except (HTTPError, HTTPException, OSError, ValueError):
            response.close()
            return None
        raw.release_conn()
        return decompress(bytes(body), response.headers.get("Content-Encoding", ""), limit)


# ---------------------------------------------------------------- failures


def _surely_not_sent(error: Exception) -> bool:
    """Whether the request provably never reached CertCentral. A whitelist: any other failure may have come after it."""
    if isinstance(error, requests.ConnectTimeout) or _is_certificate_error(error):
        return True
    cause = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _is_certificate_error(error: Exception) -> bool:
    """Whether the handshake of a new connection ended because the server's certificate failed verification."""
    cause = error.args[0] if isinstance(error, requests.exceptions.SSLError) and error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    return any(isinstance(arg, UntrustedCertificate) for arg in getattr(reason, "args", ()))


def _reason(error: Exception) -> str:
    if _is_certificate_error(error):
        return "its certificate failed verification"
    return type(error).__name__


# ---------------------------------------------------------------- where a response ends


def _is_framed(headers: "Mapping[str, str]") -> bool:
    """Whether the headers say in one known way where the body ends, or do not say it at all (RFC 9112, 6).

    Any other way may be understood differently by whatever is between us and CertCentral.
    """
    encoding, length = headers.get("Transfer-Encoding"), headers.get("Content-Length")
    if encoding is not None:
        return encoding.strip().lower() == "chunked" and length is None
    return length is None or (length.isascii() and length.isdecimal())
