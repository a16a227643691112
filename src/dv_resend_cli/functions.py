"""The two functions of the stack, called once each: what their responses and errors mean, and what a lost one means."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dv_resend_cli.aws import as_failure, error_code, one_line
from dv_resend_cli.domains import forbids_force, has_mailed_some, leaves_some, says_what_helps
from dv_resend_cli.errors import FUNCTION_ERRORS, ExitCode, Failure

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession
    from dv_resend_cli.stack import Stack

# The longest invocation, a sweep, takes five minutes.
_READ_TIMEOUT_SECONDS = 310
_MAX_REQUESTED_BY = 256
# Errors of Lambda itself, with a 5xx, that mean that the function was not started (API reference of Invoke).
_NOT_STARTED = {
    *("EC2AccessDeniedException", "EC2ThrottledException", "EC2UnexpectedException", "ENILimitReachedException"),
    *(
        "InvalidRuntimeException",
        "InvalidSecurityGroupIDException",
        "InvalidSubnetIDException",
        "InvalidZipFileException",
    ),
    *("KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException"),
    *("ResourceNotReadyException", "SubnetIPAddressLimitReachedException"),
}
# Errors of Lambda's runtime client before it calls the function: a broken deployment.
_NEVER_CALLED = {
    *("Runtime.HandlerNotFound", "Runtime.ImportModuleError", "Runtime.MalformedHandlerName"),
    "Runtime.UserCodeSyntaxError",
}
_MAYBE_SENT = (
    "The email may have been sent. Run `dv-resend explain` in five minutes: if it says OutcomeUnknown, ask the "
    "recipients before you use --force."
)
_NOTHING_SENT = "This call sends nothing. Try again in a minute."


class Functions:
    """Calls the functions of a stack, each call at most once: a second attempt could mail twice.

    Example:
        ``Functions(session, stack).resend({"order_id": 123456789})``
    """

    def __init__(self, session: "AwsSession", stack: "Stack") -> None:
        """Take the caller's AWS and the stack that `find_stack` found."""
        self._session = session
        self._stack = stack

    def resend(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Send, or plan, one resend; `request` is the direct input of docs/calling.md, without ``requested_by``."""
        event = {**request, "requested_by": self.caller}
        return self.invoke(self._stack.function_alias_arn, event, sends=not request.get("dry_run"))

    def status(self, order_id: int) -> dict[str, Any]:
        """Ask how far the validation of an order is."""
        return self.invoke(self._stack.function_alias_arn, {"action": "status", "order_id": order_id}, sends=False)

    def pending(self) -> dict[str, Any]:
        """List the pending orders that the stack serves, oldest first."""
        return self.invoke(self._stack.sweep_function_alias_arn, {"action": "pending"}, sends=False)

    def invoke(self, alias_arn: str, event: Mapping[str, object], *, sends: bool) -> dict[str, Any]:
        """Invoke a function once and return its result.

        Raises `Failure`: the function's own error under its name, or what happened to the call. If `sends`, a call
        whose outcome is not known ends with `ExitCode.UNKNOWN`.
        """
        client, answer = self._client, None
        try:
            answer = client.invoke(FunctionName=alias_arn, Payload=json.dumps(event).encode())
            body: bytes = answer["Payload"].read()
        except KeyboardInterrupt:
            if not sends:
                raise
            raise Failure("Interrupted", f"stopped by Ctrl-C. {_MAYBE_SENT}", ExitCode.INTERRUPTED) from None
        except Exception as error:
            if answer is None and error_code(error) == "TooManyRequestsException":
                raise self._throttled(error, alias_arn) from error
            failure = as_failure(error)
            if answer is None and failure is not None and _surely_not_started(error):
                raise failure from error
            message = f"The function's response was lost: {one_line(error)}"
            raise _unknown("ResponseLost", message, sends=sends) from error
        try:
            result = json.loads(body)
        except ValueError:
            result = None
        if "FunctionError" in answer:
            raise self._error(result if isinstance(result, dict) else {}, alias_arn, sends=sends)
        if not isinstance(result, dict):
            raise _unknown("ResponseLost", "The function's response is not a JSON object.", sends=sends)
        return result

    @cached_property
    def caller(self) -> str:
        """The ARN of the caller, as ``requested_by`` takes it: the audit line shows it."""
        return str(self._session.client("sts").get_caller_identity()["Arn"])[:_MAX_REQUESTED_BY]

    @cached_property
    def _client(self) -> Any:
        from botocore.config import Config

        # Without keep-alive, a network drops a connection that is silent while a sweep runs.
        once = Config(read_timeout=_READ_TIMEOUT_SECONDS, retries={"total_max_attempts": 1}, tcp_keepalive=True)
        return self._session.client("lambda", config=once)

    def _throttled(self, error: Any, alias_arn: str) -> Failure:
        function = alias_arn.partition(":function:")[2].partition(":")[0]
        if str(error.response.get("Reason", "")).startswith("Reserved"):
            try:
                reserved = self._session.client("lambda").get_function_concurrency(FunctionName=function)
            except Exception:  # the permission may be missing; the answer only refines the message
                reserved = {}
            if reserved.get("ReservedConcurrentExecutions") == 0:
                message = f"All sending is stopped: {function} has a reserved concurrency of 0. Nothing was sent."
                return Failure("SendingStopped", message, ExitCode.RETRYABLE, "An operator runs `dv-resend resume`.")
        message = f"{function} has no concurrency left. Nothing was sent."
        advice = "Try again in a minute. If it persists, ask an operator whether all sending is stopped."
        return Failure("Throttled", message, ExitCode.RETRYABLE, advice)

    def _error(self, error: Mapping[str, object], alias_arn: str, *, sends: bool) -> Failure:
        name, message = str(error.get("errorType") or ""), str(error.get("errorMessage") or "")
        if name in FUNCTION_ERRORS:
            return Failure(name, message, FUNCTION_ERRORS[name][0], advice_after(name, message))
        if not name or was_killed(name, message):
            reason = one_line(message or name or "no reason is given")
            return _unknown("FunctionKilled", f"The function was killed: {reason}", sends=sends)
        stack = self._stack
        log = stack.log_group_name if alias_arn == stack.function_alias_arn else stack.sweep_log_group_name
        text = f"The function failed with {name}: {message}"
        advice = f"This is a bug of DV Resend. Its log group {log} has the details."
        if sends and name not in _NEVER_CALLED:
            advice = f"{advice} {_MAYBE_SENT}"
        return Failure("Bug", text, ExitCode.BUG, advice)


def advice_after(name: str, message: str) -> str:
    """Return what to do after an error of the function, as far as its message leaves that open."""
    advice = FUNCTION_ERRORS[name][1]
    if forbids_force(message):
        return ""
    # The message says what was sent before, of an order that is not DV.
    if leaves_some(message):
        return advice.removeprefix("Nothing was sent. ")
    if name == "RecipientNotAllowed" and says_what_helps(message):
        return advice.removeprefix("Name an accepted address: ")
    if name == "RequestRejected":
        advice = advice if "(CertCentral said: " in message else advice.removeprefix("CertCentral says why. ")
        if has_mailed_some(message):
            advice += " The same command, without --force, then tries that domain again."
    return advice


def was_killed(name: str, message: str) -> bool:
    """Whether an error is in Lambda's own words, for a function that did not end by itself."""
    is_lambdas = name.startswith(("Runtime.", "Sandbox.", "Extension.")) and name not in _NEVER_CALLED
    return is_lambdas or "Task timed out" in message


def _unknown(name: str, message: str, *, sends: bool) -> Failure:
    if sends:
        return Failure(name, message, ExitCode.UNKNOWN, _MAYBE_SENT)
    return Failure(name, message, ExitCode.RETRYABLE, _NOTHING_SENT)


def _surely_not_started(error: Exception) -> bool:
    """Whether the function provably did not run: AWS refused the call, or it never left this machine."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (400 <= status < 500 and status not in (408, 425, 499)) or error_code(error) in _NOT_STARTED
    if isinstance(error, exceptions.SSLError):
        return "CERTIFICATE_VERIFY_FAILED" in str(error)
    if isinstance(error, exceptions.ProxyConnectionError):
        return _was_never_tunnelled(error)
    if isinstance(error, exceptions.ConnectionError):
        return True  # no connection was made
    return isinstance(error, exceptions.BotoCoreError) and not isinstance(error, exceptions.HTTPClientError)


def _was_never_tunnelled(error: Any) -> bool:
    """Whether a proxy let nothing through. urllib3 has the same error for a tunnel that broke after the request."""
    from urllib3 import exceptions

    cause = getattr(error.kwargs.get("error"), "original_error", None)
    if isinstance(cause, exceptions.NewConnectionError | exceptions.ConnectTimeoutError):
        return True
    return str(cause).startswith("Tunnel connection failed") or "CERTIFICATE_VERIFY_FAILED" in str(cause)
