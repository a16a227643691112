"""A CertCentral API key: what one looks like, and whether CertCentral accepts it."""

import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from dv_resend_cli import __version__
from dv_resend_cli.aws import one_line
from dv_resend_cli.errors import ExitCode, Failure

# As the function reads it (dv_resend.adapters.api_key). It takes a text that starts with a bracket for JSON.
_KEY = re.compile(r"(?![{\[])[\x21\x23-\x5b\x5d-\x7e]{8,512}", re.ASCII)
_BAD_KEY_CODES = {"access_denied_invalid_key", "invalid_key"}
_TIMEOUT_SECONDS = 15
_MAX_BYTES = 1_000_000
_NOT_STORED = "The key was not stored."
_FROM_HERE = (
    "If CertCentral must not be called from this machine, because of the IP rules of the account for example, "
    "use --no-check."
)


def require_key(text: str) -> str:
    """Return the key in what somebody typed or piped; raise `Failure` if it is none. The text is in no message."""
    key = text.strip()
    if not _KEY.fullmatch(key) or key.isdigit():
        message = "This is no API key. A key is one line of 8 to 512 ASCII characters, without blanks and quotes."
        raise Failure("UsageError", f"{message} {_NOT_STORED}", ExitCode.USAGE)
    return key


def check_key(base_url: str, key: str) -> None:
    """List one order at CertCentral with the key; raise `Failure` unless it is accepted."""
    status, text = _get(base_url, "/order/certificate?limit=1", key)
    body = _parsed(text)
    codes = {str(entry.get("code", "")).casefold() for entry in _entries(body)}
    if status == 200 and isinstance(body, dict) and isinstance(body.get("orders"), list):
        return
    is_refusal = body is not None or not text
    if (status == 401 and is_refusal) or any(code.rpartition("|")[2] in _BAD_KEY_CODES for code in codes):
        raise Failure("ApiKeyRejected", f"CertCentral rejects the key. {_NOT_STORED}", ExitCode.ACCOUNT)
    if status == 403 and any(codes):
        message = f"CertCentral knows the key, but does not let it list orders from here. {_NOT_STORED}"
        raise Failure("PermissionDenied", message, ExitCode.ACCOUNT, f"Check the role of the key's user. {_FROM_HERE}")
    if status == 429:
        message = f"CertCentral's request limit is reached. {_NOT_STORED}"
        raise Failure("RateLimited", message, ExitCode.RETRYABLE, "Try again in three minutes.")
    what = "no list of orders" if is_refusal else "a page that is not CertCentral's, perhaps a firewall's"
    raise _unavailable(f"The answer is status {status} and {what}.")


def _get(base_url: str, path: str, key: str) -> tuple[int, bytes]:
    """Return status and body."""
    url = base_url.rstrip("/") + path
    address = urlsplit(url)
    is_loopback = address.hostname in ("127.0.0.1", "localhost")
    if address.scheme != "https" and not (address.scheme == "http" and is_loopback):
        message = f"The stack's CertCentralBaseUrl is not an https URL. {_NOT_STORED}"
        raise Failure("ConfigurationError", message, ExitCode.ACCOUNT)
    headers = {"X-DC-DEVKEY": key, "Accept": "application/json", "User-Agent": f"dv-resend/{__version__}"}
    # Through a proxy, plain HTTP would show it the key.
    proxies = [urllib.request.ProxyHandler({})] if is_loopback else []
    opener = urllib.request.build_opener(
        *proxies, _NoRedirects(), urllib.request.HTTPSHandler(context=ssl.create_default_context())
    )
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            return response.status, response.read(_MAX_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:
        # What a server wrote may hold the key.
        raise _unavailable(re.sub(re.escape(key), "[key]", one_line(error), flags=re.IGNORECASE)) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an error, so that the key goes nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _unavailable(why: str) -> Failure:
    message = f"CertCentral cannot be asked about the key: {why} {_NOT_STORED}"
    return Failure("CertCentralUnavailable", message, ExitCode.RETRYABLE, _FROM_HERE)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _entries(body: Any) -> list[dict[str, Any]]:
    errors = body.get("errors") if isinstance(body, dict) else None
    return [entry for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
