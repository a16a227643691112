"""The CertCentral API key: read from Secrets Manager, cached, refreshed when CertCentral rejects it."""

import json
import re
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from dv_resend.aws import PERMANENT, error_code
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

    def __init__(self, secret_id: str, client: "SecretsManagerClient") -> None:
        """Keep what is needed for reading later; nothing is read yet."""
        self._secret_id = secret_id
        self._provider = SecretsProvider(boto3_client=client)

    def current(self) -> str:
        """Return the key, at most `CACHE_SECONDS` old."""
        return self._read(force_fetch=False)

    def refresh(self) -> str:
        """Return the key as Secrets Manager has it now."""
        return self._read(force_fetch=True)

    def _read(self, *, force_fetch: bool) -> str:
        try:
            secret = self._provider.get(self._secret_id, max_age=CACHE_SECONDS, force_fetch=force_fetch)
        except GetParameterError as error:
            # Powertools keeps the SDK's own error as the context alone (seen in 3.37).
            raise _classified(error.__context__) from None
        key = _key_in(secret)
        if key is None:
            # A value without a key must not be served from the cache after somebody has mended it.
            self._provider.clear_cache()  # type: ignore[no-untyped-call]
            raise ConfigurationError(
                'The API key secret holds no usable key; store the key as plain text or as JSON {"api_key": "<key>"}.'
            )
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


def _classified(error: BaseException | None) -> ConfigurationError | SecretUnavailable:
    code = error_code(error)
    if code == "ResourceNotFoundException":
        return ConfigurationError("The API key secret does not exist or has no value yet; store the key in it.")
    if code in PERMANENT:
        return ConfigurationError(
            f"The API key secret cannot be read ({code}); check the function's role and the secret."
        )
    return SecretUnavailable(f"Secrets Manager did not answer ({code}); nothing was sent. Try again later.")
