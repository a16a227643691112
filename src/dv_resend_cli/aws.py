"""The caller's AWS: clients, and what the SDK's errors mean for a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from dv_resend_cli.errors import ExitCode, Failure

if TYPE_CHECKING:
    from botocore.config import Config

# The codes that AWS services give to expired, unknown or wrongly signed credentials.
_REJECTED = {
    *(
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
    ),
    *("MissingAuthenticationToken", "RequestExpired", "SignatureDoesNotMatch", "UnrecognizedClientException"),
}
_THROTTLED = {"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded"}
_THROTTLED |= {"TooManyRequestsException", "RequestThrottled"}
# Lambda is still carrying out an earlier change.
_BUSY = {"ResourceConflictException", "ResourceInUseException"}
_LOG_IN = "Log in again, or name another profile with --profile."


class AwsSession(Protocol):
    """What commands need of `boto3.Session`; tests have a stand-in.

    Example:
        ``session.client("sqs").delete_message(…)``
    """

    @property
    def region_name(self) -> str | None:
        """The region of the clients."""

    def client(self, service_name: str, *, config: "Config | None" = None) -> Any:
        """Make a client."""


class Boto3Session:
    """The user's own AWS settings, as every AWS tool reads them. Clients give up after a few seconds without network.

    Example:
        ``Boto3Session(profile="prod", region="eu-west-1").client("lambda")``
    """

    def __init__(self, profile: str | None, region: str | None) -> None:
        """Take the profile and the region, or those of the environment."""
        import boto3  # it takes half a second, which `--help` does not need

        self._session = boto3.Session(profile_name=profile, region_name=region)

    @property
    def region_name(self) -> str | None:
        """The region of the clients."""
        return self._session.region_name

    def client(self, service_name: str, *, config: "Config | None" = None) -> Any:
        """Make a client; `config` overrides the time-outs and retries."""
        from botocore.config import Config

        ours = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
        make: Any = self._session.client
        return make(service_name, config=ours.merge(config) if config else ours)


def error_code(error: BaseException) -> str:
    """Return the code of an AWS service's error; empty if it is another error."""
    response = getattr(error, "response", None) or {}  # errors of the connection have one, too: None
    return str(response.get("Error", {}).get("Code", ""))


def as_failure(error: Exception) -> Failure | None:
    """Return what an error of the SDK or of an AWS service means; ``None`` if it is neither."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return _refused(error)
    if isinstance(error, exceptions.NoRegionError):
        return Failure("NoRegion", "No AWS region is set. Name one with --region or AWS_REGION.", ExitCode.ACCOUNT)
    if isinstance(error, exceptions.NoCredentialsError):
        message = "There are no AWS credentials. Log in, or name a profile with --profile."
        return Failure("NoCredentials", message, ExitCode.ACCOUNT)
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError):
        message = f"AWS cannot be reached: {one_line(error)} Check the network, the proxy and the region."
        return Failure("NetworkUnavailable", message, ExitCode.RETRYABLE)
    if isinstance(error, exceptions.BotoCoreError):
        # An unknown profile, a login that has expired, an incomplete configuration.
        return Failure("NoCredentials", f"{one_line(error)} {_LOG_IN}", ExitCode.ACCOUNT)
    return None


@contextmanager
def goes_on_after_errors(what: str) -> Iterator[None]:
    """Let an error of AWS in the block, which only watches something, say that this goes on."""
    try:
        yield
    except Exception as error:
        failure = error if isinstance(error, Failure) else as_failure(error)
        if failure is None:
            raise
        advice = f"{failure.advice} {what}".strip()
        raise Failure(failure.name, failure.message, failure.exit_code, advice) from error


def one_line(error: object) -> str:
    """Return an error's text in one line, as a sentence."""
    text = " ".join(str(error).split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _refused(error: Any) -> Failure:
    code, message = error_code(error), one_line(error.response.get("Error", {}).get("Message", "") or error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _REJECTED:
        return Failure("CredentialsRejected", f"AWS rejects the credentials: {message} {_LOG_IN}", ExitCode.ACCOUNT)
    if code in _THROTTLED:
        return Failure("Throttled", f"AWS throttles the call: {message} Try again in a minute.", ExitCode.RETRYABLE)
    if code.startswith(("AccessDenied", "UnauthorizedOperation")):
        return Failure("AccessDenied", f"A permission is missing: {message}", ExitCode.ACCOUNT)
    if status >= 500 or code in _BUSY:
        message = f"AWS answers with {code}: {message} Try again in a minute."
        return Failure("AwsUnavailable", message, ExitCode.RETRYABLE)
    return Failure("AwsError", f"AWS answers with {code}: {message}", ExitCode.ACCOUNT)
