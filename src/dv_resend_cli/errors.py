"""What can go wrong, as people and scripts see it: a name, a message, what to do about it, and an exit code.

`FUNCTION_ERRORS` knows the errors that the functions raise. All other names are of this command::

    Failure                   exit
     ├─ UsageError            2     the command line is wrong
     ├─ StackNotFound, NotDvResend, NoRegion, NoCredentials, CredentialsRejected, AccessDenied, AwsError
     │                        6     the account, the configuration or the caller
     ├─ NetworkUnavailable, Throttled, AwsUnavailable, SendingStopped
     │                        4     the same command may succeed later
     ├─ ResponseLost, FunctionKilled
     │                        5     the email may have been sent; 4 if the call sends none
     ├─ Interrupted           130   Ctrl-C
     └─ Bug                   1
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class ExitCode(IntEnum):
    """What the command tells scripts.

    Example:
        >>> max(ExitCode.OK, ExitCode.RETRYABLE) == 4
        True
    """

    OK = 0
    BUG = 1
    USAGE = 2
    ORDER = 3
    """The order's own error. Other orders may succeed."""
    RETRYABLE = 4
    UNKNOWN = 5
    """The email may or may not have been sent."""
    ACCOUNT = 6
    """The account, the configuration or the caller's permissions: every other order would fail, too."""
    INTERRUPTED = 130


class Failure(Exception):
    """An expected error, which ends the command with one or two lines and no stack trace.

    Example:
        >>> str(Failure("StackNotFound", "There is no stack x.", ExitCode.ACCOUNT))
        'StackNotFound: There is no stack x.'
    """

    def __init__(self, name: str, message: str, exit_code: ExitCode, advice: str = "") -> None:
        """Keep the ``name`` that scripts match, the ``message``, and the ``advice`` unless the message says it all."""
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.exit_code = exit_code
        self.advice = advice

    def to_json(self) -> dict[str, str]:
        """Return the error as `--json` shows it."""
        return {"name": self.name, "message": self.message, "advice": self.advice}


_EXPLAIN = "`dv-resend explain` shows the order, its names and the accepted addresses."
_AWS_IS_BUSY = "An AWS service is throttled or unavailable. Try again in a minute."

# By class name of the function's error: the exit code, and what to do.
FUNCTION_ERRORS: Mapping[str, tuple[ExitCode, str]] = MappingProxyType(
    {
        "InvalidRequest": (ExitCode.USAGE, "Correct the field that the message names."),
        "OrderNotFound": (
            ExitCode.ORDER,
            "`dv-resend pending` lists the pending orders of the stack's CertCentral account.",
        ),
        "OrderNotEligible": (ExitCode.ORDER, _EXPLAIN),
        "RecipientNotAllowed": (ExitCode.ORDER, f"Name an accepted address: {_EXPLAIN}"),
        "RequestRejected": (ExitCode.ORDER, "CertCentral says why. Correct the request, or the order in CertCentral."),
        "RecipientUnverified": (ExitCode.RETRYABLE, "Try again in a few minutes, or name a constructed address."),
        "ResendInProgress": (ExitCode.RETRYABLE, "Run the same command again in half a minute to see the outcome."),
        "OutcomeUnknown": (
            ExitCode.UNKNOWN,
            "Ask the recipients whether the email arrived. Only then use --force, which may mail them twice.",
        ),
        "ApiKeyRejected": (ExitCode.ACCOUNT, "An operator runs `dv-resend set-key`, which checks the key first."),
        "PermissionDenied": (
            ExitCode.ACCOUNT,
            "An administrator of the CertCentral account changes that, or an operator stores another key.",
        ),
        "ConfigurationError": (ExitCode.ACCOUNT, "An operator must correct the deployment: see docs/operations.md."),
        "RateLimited": (ExitCode.RETRYABLE, "Nothing was sent. Try again in three minutes."),
        "CertCentralUnavailable": (ExitCode.RETRYABLE, "Nothing was sent. Try again in a few minutes."),
        "SecretUnavailable": (ExitCode.RETRYABLE, _AWS_IS_BUSY),
        "SendRecordUnavailable": (ExitCode.RETRYABLE, _AWS_IS_BUSY),
        "QueueUnavailable": (ExitCode.RETRYABLE, _AWS_IS_BUSY),
        "SendingPaused": (ExitCode.RETRYABLE, "An operator has set SENDING=off. Ask them, or try again later."),
    }
)
