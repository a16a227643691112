"""The CertCentral API key: read from Secrets Manager, cached, refreshed when CertCentral rejects it."""

import json
import re
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from dv_resend.adapters.aws import error_code, translate
from dv_resend.errors import ConfigurationError, SecretUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CACHE_SECONDS = 300

# What a header can hold: anything else would make the HTTP library raise an error that quotes the key. Quotes and
# backslashes are excluded too: they show that the value was stored together with its JSON wrapping.
_KEY = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{8,512}", re.ASCII)


class ApiKey:
    """Reads the API key from the secret ``secret_id``: a plain string, or JSON ``{"api_key": "…"}``.

    Both methods raise `SecretUnavailable` if Secrets Manager is throttled or unavailable, and `ConfigurationError`
    if the secret is missing, empty, not readable for this function, or holds no key.

    Example:
        ``ApiKey("dv-resend/api-key", client).current()``
    """

    def __init__(self, secret_id: str, client: "SecretsManagerClient") -> None:
        """Keep what is needed for reading later; nothing is read yet."""
        self._secret_id = secret_id
        self._secrets = SecretsProvider(boto3_client=client)

    def current(self) -> str:
        """Return the key, at most `CACHE_SECONDS` old."""
        try:
            key = _key_in(self._secrets.get(self._secret_id, max_age=CACHE_SECONDS))
        except GetParameterError as error:
            raise _translated(error.__context__) from None
        if key is None:
            # So that the secret is read again after somebody has fixed it.
            self._secrets.clear_cache()  # type: ignore[no-untyped-call]
            raise _no_key()
        return key

    def refresh(self) -> str:
        """Return the key as Secrets Manager has it now."""
        # A forced fetch would leave the old key in the cache if it failed.
        self._secrets.clear_cache()  # type: ignore[no-untyped-call]
        return self.current()


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


def _translated(error: BaseException | None) -> ConfigurationError | SecretUnavailable:
    if isinstance(error, KeyError):  # the response has no value
        return _no_key()
    if error_code(error) == "ResourceNotFoundException":
        return ConfigurationError("The API key secret does not exist or has no value yet. Store the key in it.")
    return translate(
        error,
        SecretUnavailable,
        permanent="The API key secret cannot be read ({code}). Check the function's role and the secret.",
        transient="Secrets Manager did not answer ({code}). Nothing was sent. Try again later.",
    )


def _no_key() -> ConfigurationError:
    return ConfigurationError(
        'The API key secret holds no usable key. Store the key as plain text or as JSON {"api_key": "<key>"}.'
    )
