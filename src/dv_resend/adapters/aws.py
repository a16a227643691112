"""The AWS SDK: how its clients are made, and what its errors mean."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from dv_resend.errors import ConfigurationError, ResendError

# Bounds each call to AWS: at worst two attempts of 3 s.
_CLIENT_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"})

# A response that is an error, everything that kept a response from coming, and a response that is not AWS's. Services
# that answer in XML, such as SNS, raise the last; it is no `BotoCoreError`.
SDK_ERRORS = (ClientError, BotoCoreError, ResponseParserError)

# Codes that time does not heal, of any of the services used here (their API references, "Common errors").
PERMANENT = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "AccessDenied",
        "AccessDeniedException",
        "DecryptionFailure",
        "InvalidAddress",
        "InvalidParameterException",
        "InvalidRequestException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
        "ValidationException",
    }
)


def client(service: str, region: str | None = None) -> Any:
    """Make a client of ``service`` in a ``region``, or else in the function's, with our time-outs.

    The build keeps the SDK's data only for the services and operations that src/trim_sdk.py names.
    """
    return boto3.client(service, region_name=region, config=_CLIENT_CONFIG)  # type: ignore[call-overload]


def error_code(error: BaseException | None) -> str:
    """Return the code of an error that a service answered with, or the class name of any other."""
    # A connection error has the attribute too, but with nothing in it.
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", type(error).__name__))


def translate[Unavailable: ResendError](
    error: BaseException | None, unavailable: type[Unavailable], *, permanent: str, transient: str
) -> ConfigurationError | Unavailable:
    """Return the error to raise in place of one of `SDK_ERRORS`: what only an operator can fix, or what time heals.

    ``permanent`` is the message of a `ConfigurationError`, ``transient`` that of ``unavailable``; ``{code}`` in either
    becomes the SDK's code.
    """
    code = error_code(error)
    if code in PERMANENT:
        return ConfigurationError(permanent.format(code=code))
    return unavailable(transient.format(code=code))
