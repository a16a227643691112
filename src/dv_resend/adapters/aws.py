"""The AWS SDK: the session of all clients, and what its errors say.

Without boto3, whose import is a tenth of a cold start: its clients are botocore's.
"""

from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader

# All that is called. The build cuts the SDK's data down to it (src/sdk_data.py).
OPERATIONS = {
    "dynamodb": {"DeleteItem", "GetItem", "PutItem", "UpdateItem"},
    "lambda": {"Invoke"},
    "secretsmanager": {"GetSecretValue"},
    "sqs": {"ChangeMessageVisibilityBatch", "SendMessageBatch"},
}
SDK_DATA = Path(__file__).with_name("sdk_data")

# Bounds each call to AWS: at worst two attempts of 3 s.
_CLIENT_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"})

# An answer that is an error, and everything that kept an answer from coming.
SDK_ERRORS = (ClientError, BotoCoreError)

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


class Session:
    """Makes the clients of AWS services. They share what a session costs: configuration, credentials, SDK data."""

    def __init__(self) -> None:
        """Connect to nothing yet."""
        self._session = botocore.session.get_session()
        self._session.register_component("data_loader", _LOADER)

    def client(self, service: str) -> Any:
        """Make a client of one of the services of `OPERATIONS`, in the function's region."""
        return self._session.create_client(service, config=_CLIENT_CONFIG)


class _Loader(Loader):
    """Finds the data that the build has cut down before the SDK's own, which is there for everything else."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        """List ours, instead of looking through some four hundred folders for them."""
        return sorted(OPERATIONS)


# One for all sessions, because it keeps what it has read.
_LOADER = _Loader(extra_search_paths=[str(SDK_DATA)])


def error_code(error: BaseException | None) -> str:
    """Return the code of an error that a service answered with, or the class name of any other."""
    # A connection error has the attribute too, but with nothing in it.
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", type(error).__name__))
