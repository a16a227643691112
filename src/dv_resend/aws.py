"""What the errors of the AWS SDK say."""

from botocore.exceptions import BotoCoreError, ClientError

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


def error_code(error: BaseException | None) -> str:
    """Return the code of an error that a service answered with, or the class name of any other."""
    # A connection error has the attribute too, but with nothing in it.
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", type(error).__name__))
