"""Every way in which a call to DV Resend can fail.

Class names are public API: a Lambda that raises reports the class name, and state machines match it.
The tree is flat on purpose; what callers need to decide is carried by attributes, not by ancestry::

    ResendError                    scope    retry   may the email have been sent?
     ├─ InvalidRequest             order    no      no
     ├─ OrderNotFound              order    no      no
     ├─ OrderNotEligible           order    no      no
     ├─ RecipientNotAllowed        order    no      no
     ├─ RecipientUnverified        order    yes     no
     ├─ RequestRejected            order    no      no
     ├─ ResendInProgress           order    yes     another invocation is sending it right now
     ├─ OutcomeUnknown             order    no      PERHAPS: repeating may mail twice
     ├─ ApiKeyRejected             account  no      no
     ├─ PermissionDenied           account  no      no
     ├─ RateLimited                account  yes     no
     ├─ CertCentralUnavailable     account  yes     no
     ├─ SecretUnavailable          account  yes     no
     ├─ SendRecordUnavailable      account  yes     no
     ├─ QueueUnavailable           account  yes     no
     ├─ SendingPaused              account  yes     no
     └─ ConfigurationError         account  no      no

Messages never hold the API key, a whole upstream body, or an email address that is not public (role addresses and
contacts in DNS are). They end up in logs and in the history of workflow executions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Scope = Literal["order", "account"]

# In characters. The tightest limit on an error's text is the cause in a workflow's history (32 KiB).
_MAX_MESSAGE = 8000


@dataclass(frozen=True)
class UpstreamError:
    """One entry of CertCentral's ``errors``: its code and its message, shortened and masked. One may be empty.

    Example:
        >>> UpstreamError("not_found|order", "No such order.").code
        'not_found|order'
    """

    code: str
    message: str


class ResendError(Exception):
    """Base of all errors of DV Resend.

    ``code`` is stable and machine-readable. ``retryable`` says whether the same call may succeed later. ``scope`` says
    whether only this order is affected, or every further order would fail too. ``retry_after`` is in seconds, ``None``
    if it is unknown. ``upstream_status`` and ``upstream_errors`` are CertCentral's response, if one arrived.

    Example:
        >>> RateLimited("CertCentral's request limit is reached.", retry_after=30).retryable
        True
    """

    http_status: ClassVar[int]
    base_code: ClassVar[str]
    retryable: ClassVar[bool]
    scope: ClassVar[Scope]

    def __init__(
        self,
        message: str,
        *,
        retry_after: int | None = None,
        upstream_status: int | None = None,
        upstream_errors: tuple[UpstreamError, ...] = (),
    ) -> None:
        """Keep the ``message`` (what is wrong and what to do) and what is known about the cause."""
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.upstream_status = upstream_status
        self.upstream_errors = upstream_errors

    @property
    def code(self) -> str:
        """The stable code of this error, as HTTP responses show it."""
        return self.base_code

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Code and message of each problem; most errors have one."""
        return [(self.code, self.message)]

    def __str__(self) -> str:
        """Return the message, followed by CertCentral's own, for callers who see only the exception's text."""
        if not self.upstream_errors:
            return self.message
        entries = "; ".join(": ".join(filter(None, (entry.code, entry.message))) for entry in self.upstream_errors)
        return f"{self.message} (CertCentral said: {entries})"


class InvalidRequest(ResendError):
    """The caller's input is wrong; ``field`` says where. Nothing was sent; repeating it unchanged is useless."""

    http_status, base_code, retryable, scope = 400, "invalid_request", False, "order"

    def __init__(self, field: str, message: str) -> None:
        """Name the ``field`` (a path such as ``domain_approval_emails[0].email``) and say what it must be."""
        super().__init__(f"{field}: {message}")
        self.field = field

    @property
    def code(self) -> str:
        """``invalid_request|<field path>``."""
        return f"{self.base_code}|{self.field}"


class OrderNotFound(ResendError):
    """CertCentral knows no such order under this key. Nothing was sent."""

    http_status, base_code, retryable, scope = 404, "not_found|order", False, "order"


class OrderNotEligible(ResendError):
    """A DCV email would not help this order; ``reason`` says why. Nothing was sent."""

    http_status, base_code, retryable, scope = 409, "order_not_eligible", False, "order"

    def __init__(self, reason: str, message: str) -> None:
        """Keep the ``reason`` (``not_dv``, ``not_pending``, …) and the message, which says what to do instead."""
        super().__init__(message)
        self.reason = reason

    @property
    def code(self) -> str:
        """``order_not_eligible|<reason>``."""
        return f"{self.base_code}|{self.reason}"

    def __str__(self) -> str:
        """Return the message with the code: state machines see nothing else, and the reason decides what they do."""
        return f"{self.message} ({self.code})"


class RecipientNotAllowed(ResendError):
    """Some named recipients may not be mailed about their name. Nothing was sent; repeating it unchanged is useless."""

    http_status, base_code, retryable, scope = 422, "recipient_not_allowed", False, "order"

    def __init__(self, refused: Sequence[tuple[str, str]]) -> None:
        """Keep the field path of each refused address and why it is refused; there must be at least one."""
        message, more = "", len(refused)
        for path, why in refused:
            if message and len(message) + len(why) > _MAX_MESSAGE:
                break
            message += f"{path}: {why} "
            more -= 1
        super().__init__(message.rstrip() + (f" And {more} more." if more else ""))
        self.refused = tuple(refused)

    @property
    def code(self) -> str:
        """``recipient_not_allowed|<field path>`` of the first."""
        return self.entries[0][0]

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Code and message of each refused address."""
        return [(f"{self.base_code}|{path}", why) for path, why in self.refused]


class RecipientUnverified(ResendError):
    """DNS did not say whether a named recipient is a published contact. Nothing was sent; repeating later is safe."""

    http_status, base_code, retryable, scope = 503, "recipient_unverified", True, "order"


class RequestRejected(ResendError):
    """CertCentral refused this request with a 4xx. Nothing was sent; repeating it unchanged is useless."""

    http_status, base_code, retryable, scope = 422, "request_rejected", False, "order"


class ResendInProgress(ResendError):
    """Another invocation is sending emails of this order. Repeating later is safe: it will find the outcome."""

    http_status, base_code, retryable, scope = 409, "resend_in_progress", True, "order"


class OutcomeUnknown(ResendError):
    """The email may or may not have been sent, now or by an earlier call. Repeating with ``force`` may mail twice.

    If it was an earlier call, ``retry_after`` is the rest of the cool-down, in seconds.
    """

    http_status, base_code, retryable, scope = 504, "outcome_unknown", False, "order"


class ApiKeyRejected(ResendError):
    """CertCentral rejects the API key, also after a fresh read of the secret. Nothing was sent."""

    http_status, base_code, retryable, scope = 502, "api_key_rejected", False, "account"


class PermissionDenied(ResendError):
    """The API key is valid but may not do this (its role, its user or an IP rule). Nothing was sent.

    ``about_domain`` says that it was a call about a domain: a key may be allowed to work with orders only.
    """

    http_status, base_code, retryable, scope = 502, "permission_denied", False, "account"
    about_domain = False


class RateLimited(ResendError):
    """CertCentral's request limit is reached; it refused the call. Nothing was sent; repeating later is safe."""

    http_status, base_code, retryable, scope = 429, "request_limit_exceeded", True, "account"


class CertCentralUnavailable(ResendError):
    """CertCentral is unreachable, returned an unusable response, or too little time is left. Nothing was sent.

    Repeating later is safe. ``offset`` is where to resume a sweep that ran out of time.
    """

    http_status, base_code, retryable, scope = 503, "certcentral_unavailable", True, "account"

    def __init__(
        self,
        message: str,
        *,
        retry_after: int | None = None,
        upstream_status: int | None = None,
        upstream_errors: tuple[UpstreamError, ...] = (),
        offset: int | None = None,
    ) -> None:
        """Keep the ``offset`` beside what every error keeps."""
        super().__init__(
            message, retry_after=retry_after, upstream_status=upstream_status, upstream_errors=upstream_errors
        )
        self.offset = offset


class SecretUnavailable(ResendError):
    """Secrets Manager is throttled or unavailable. Nothing was sent; repeating later is safe."""

    http_status, base_code, retryable, scope = 503, "secret_unavailable", True, "account"


class SendRecordUnavailable(ResendError):
    """DynamoDB is throttled or unavailable, so the order could not be claimed. Nothing was sent; repeating is safe."""

    http_status, base_code, retryable, scope = 503, "send_record_unavailable", True, "account"


class QueueUnavailable(ResendError):
    """SQS is throttled or unavailable, so a sweep could not queue all reminders. Repeating it is safe."""

    http_status, base_code, retryable, scope = 503, "queue_unavailable", True, "account"


class SendingPaused(ResendError):
    """An operator has set ``SENDING=off``. Nothing was sent; repeating later is safe."""

    http_status, base_code, retryable, scope = 503, "sending_paused", True, "account"


class ConfigurationError(ResendError):
    """A setting, the secret or a permission of this deployment is wrong; an operator must fix it. Nothing was sent."""

    http_status, base_code, retryable, scope = 500, "configuration_error", False, "account"
