"""The CertCentral API key: read from Secrets Manager, cached, refreshed when CertCentral rejects it."""

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from dv_resend.adapters.aws import PERMANENT, SDK_ERRORS, error_code
from dv_resend.errors import ConfigurationError, SecretUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CACHE_SECONDS = 300

# What can stand in a header: anything else would make the HTTP library raise an error that quotes the key.
# Without quotes and backslashes: those are signs of a value that was stored with its wrapping.
_KEY = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{8,512}", re.ASCII)


class ApiKey:
    """Reads the API key from the secret ``secret_id``: a plain string, or JSON ``{"api_key": "…"}``.

    Both methods raise `SecretUnavailable` when Secrets Manager is throttled or away, and `ConfigurationError`
    when the secret is missing, empty, not readable for this function, or holds no key.
    """

    def __init__(
        self, secret_id: str, client: "SecretsManagerClient", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep what is needed for reading later; nothing is read yet."""
        self._secret_id = secret_id
        self._client = client
        self._clock = clock
        self._cached: tuple[str, float] | None = None

    def current(self) -> str:
        """Return the key, at most `CACHE_SECONDS` old."""
        if self._cached is not None and self._clock() - self._cached[1] < CACHE_SECONDS:
            return self._cached[0]
        return self.refresh()

    def refresh(self) -> str:
        """Return the key as Secrets Manager has it now."""
        # What cannot be read or makes no sense is not kept, so that it is read again after somebody has mended it.
        self._cached = None
        try:
            secret = self._client.get_secret_value(SecretId=self._secret_id)
        except SDK_ERRORS as error:
            raise _classified(error) from None
        key = _key_in(secret.get("SecretString", secret.get("SecretBinary")))
        if key is None:
            raise ConfigurationError(
                'The API key secret holds no usable key; store the key as plain text or as JSON {"api_key": "<key>"}.'
            )
        self._cached = key, self._clock()
        return key


def _key_in(secret: object) -> str | None:
    try:
        text = (secret.decode() if isinstance(secret, bytes) else str(secret)).strip()
        key = json.loads(text) if text.startswith(("{", "[", '"')) else text
    except (ValueError, RecursionError):
        return None
    if isinstance(key, dict):
        key = key.get("api_key")
    if not isinstance(key, str) or not _KEY.fullmatch(key.strip()) or key.strip().isdigit():
        return None
    return key.strip()


def _classified(error: BaseException) -> ConfigurationError | SecretUnavailable:
    code = error_code(error)
    if code == "ResourceNotFoundException":
        return ConfigurationError("The API key secret does not exist or has no value yet; store the key in it.")
    if code in PERMANENT:
        return ConfigurationError(
            f"The API key secret cannot be read ({code}); check the function's role and the secret."
        )
    return SecretUnavailable(f"Secrets Manager did not answer ({code}); nothing was sent. Try again later.")
