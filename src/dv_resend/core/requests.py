"""What callers ask for: frozen, and valid once built. Untrusted input is validated here and nowhere else."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

from dv_resend.core.addresses import parse_domain, parse_email, without_wildcard
from dv_resend.core.fields import parse_boolean, parse_count, parse_locale, parse_order_id, parse_requested_by
from dv_resend.core.untrusted_json import reject_unknown_fields
from dv_resend.errors import InvalidRequest, OutcomeUnknown, ResendError

if TYPE_CHECKING:
    from dv_resend.core.orders import Domain

MAX_RECIPIENTS = 250
# Kept free at the end of an invocation, so that the outcome can be recorded and answered.
MARGIN_SECONDS = 3.0
_RECIPIENTS = "domain_approval_emails"
# The fields of the request that DigiCert documents (resend-emails page), and those of our own direct input.
DIGICERT_FIELDS = frozenset({_RECIPIENTS, "locale"})
INPUT_FIELDS = DIGICERT_FIELDS | {"order_id", "dry_run", "force", "requested_by"}


@dataclass(frozen=True)
class Recipient:
    """One address to mail about one name of the order.

    ``email_domain`` is the parent domain at which the address is found, if it is not the name itself.

    Example:
        >>> Recipient("sub.example.com", "admin@example.com", email_domain="example.com").authorization_domain
        'example.com'
    """

    domain: str
    email: str
    email_domain: str | None = None
    position: int = field(default=0, compare=False)
    """The index in the caller's list, for errors that name the field."""

    @property
    def path(self) -> str:
        """The path of the request's field, such as ``domain_approval_emails[0]``."""
        return f"{_RECIPIENTS}[{self.position}]"

    @property
    def authorization_domain(self) -> str:
        """The domain at which the address is found: ``email_domain``, or else the name without ``*.``."""
        return self.email_domain or without_wildcard(self.domain)

    def to_json(self) -> dict[str, str]:
        """Return the object that DigiCert documents (resend-emails page)."""
        item = {"domain": self.domain, "email": self.email}
        return item if self.email_domain is None else item | {"email_domain": self.email_domain}

    @property
    def identity(self) -> tuple[str, str, str]:
        """Equal for two recipients that ask for the same email: wildcard, case and a redundant parent do not count."""
        return without_wildcard(self.domain), self.email.casefold(), self.authorization_domain


@dataclass(frozen=True)
class Skipped:
    """A named recipient who is not mailed.

    ``validated``: the name needs no email. ``already_mailed`` and ``maybe_mailed``: inside the cool-down.

    Example:
        >>> Skipped(Recipient("example.com", "admin@example.com"), "validated").to_json()["reason"]
        'validated'
    """

    recipient: Recipient
    reason: Literal["validated", "already_mailed", "maybe_mailed"]

    def to_json(self) -> dict[str, str]:
        """Return the recipient as the caller named it, with the reason."""
        return self.recipient.to_json() | {"reason": self.reason}


@dataclass(frozen=True)
class ResendRequest:
    """One resend. Without ``recipients``, DigiCert mails its default recipients; only the caller can choose that.

    ``skipped`` are named recipients who are not mailed. With a ``domain``, it is the part of a request that is about
    this domain of an order that is not DV.

    Example:
        >>> ResendRequest.from_input({"order_id": "123456789"}).upstream_body
        {}
    """

    order_id: int
    recipients: tuple[Recipient, ...] = ()
    locale: str | None = None
    dry_run: bool = False
    force: bool = False
    requested_by: str | None = None
    skipped: tuple[Skipped, ...] = ()
    domain: "Domain | None" = None

    @classmethod
    def from_input(cls, fields: Mapping[str, object]) -> "ResendRequest":
        """Validate direct input: ``order_id`` and, optionally, the other fields.

        Domains become lower-case A-labels without a final dot, role addresses become lower-case, other local parts stay
        as given, and duplicates are removed. Raises `InvalidRequest` that names the field. Unknown fields and ``null``
        are errors too, so that a typo never widens the recipients.
        """
        reject_unknown_fields(fields, INPUT_FIELDS)
        request = cls._from_digicert_fields(fields.get("order_id"), fields)
        dry_run, force = parse_boolean(fields, "dry_run"), parse_boolean(fields, "force")
        return replace(request, dry_run=dry_run, force=force, requested_by=parse_requested_by(fields))

    @classmethod
    def from_digicert(
        cls, order_id: object, body: Mapping[str, object], *, dry_run: bool, force: bool
    ) -> "ResendRequest":
        """Validate DigiCert's own request: the order id of its path, the fields of its body. Raises as `from_input`."""
        reject_unknown_fields(body, DIGICERT_FIELDS)
        return replace(cls._from_digicert_fields(order_id, body), dry_run=dry_run, force=force)

    @classmethod
    def _from_digicert_fields(cls, order_id: object, fields: Mapping[str, object]) -> "ResendRequest":
        return cls(
            order_id=parse_order_id(order_id),
            recipients=_parse_recipients(fields[_RECIPIENTS]) if _RECIPIENTS in fields else (),
            locale=parse_locale(fields["locale"]) if "locale" in fields else None,
        )

    @property
    def record_id(self) -> str:
        """The id of the send record that knows of its emails."""
        return f"order#{self.order_id}" if self.domain is None else self.domain.record_id

    @property
    def upstream_body(self) -> dict[str, object]:
        """The JSON object of the PUT: only documented keys; none about recipients for the default ones."""
        body: dict[str, object] = {}
        if self.domain is not None:
            body["name_scope"] = self.domain.scope
            if self.recipients:
                body["email_array"] = [recipient.email for recipient in self.recipients]
        elif self.recipients:
            body[_RECIPIENTS] = [recipient.to_json() for recipient in self.recipients]
        if self.locale is not None:
            body["locale"] = self.locale
        return body

    def narrowed_to(self, recipients: Sequence[Recipient], skipped: Iterable[Skipped]) -> "ResendRequest":
        """Return the request for some of its recipients; the others are added to those who are skipped.

        Raises `ValueError` if nobody is left of named recipients: without any, DigiCert would mail everybody.
        """
        if self.recipients and not recipients:
            raise ValueError("no named recipient is left")
        return replace(self, recipients=tuple(recipients), skipped=(*self.skipped, *skipped))

    @property
    def addresses(self) -> Literal["default"] | list[str]:
        """Who is mailed, as results show it: the named addresses, or ``"default"``."""
        return [recipient.email for recipient in self.recipients] or "default"


@dataclass(frozen=True)
class StatusRequest:
    """The question how far the validation of an order has come.

    Example:
        >>> StatusRequest.from_input({"action": "status", "order_id": "123456789"})
        StatusRequest(order_id=123456789)
    """

    order_id: int

    @classmethod
    def from_input(cls, fields: Mapping[str, object]) -> "StatusRequest":
        """Validate direct input; raise `InvalidRequest` that names the field."""
        reject_unknown_fields(fields, frozenset({"action", "order_id", "requested_by"}))
        return cls(parse_order_id(fields.get("order_id")))


@dataclass(frozen=True)
class PendingRequest:
    """The question which DV orders are pending.

    Example:
        >>> PendingRequest.from_input({"action": "pending"})
        PendingRequest()
    """

    @classmethod
    def from_input(cls, fields: Mapping[str, object]) -> "PendingRequest":
        """Validate direct input; raise `InvalidRequest` that names the field."""
        reject_unknown_fields(fields, frozenset({"action", "requested_by"}))
        return cls()


@dataclass(frozen=True)
class SweepRequest:
    """One sweep over the pending orders, from ``offset`` in CertCentral's list on.

    Example:
        >>> SweepRequest.from_input({"action": "sweep", "offset": 2000})
        SweepRequest(dry_run=False, offset=2000)
    """

    dry_run: bool = False
    offset: int = 0

    @classmethod
    def from_input(cls, fields: Mapping[str, object]) -> "SweepRequest":
        """Validate direct input; raise `InvalidRequest` that names the field."""
        reject_unknown_fields(fields, frozenset({"action", "dry_run", "offset", "requested_by"}))
        return cls(dry_run=parse_boolean(fields, "dry_run"), offset=parse_count(fields, "offset", default=0))


@dataclass(frozen=True)
class Reminder:
    """One message of the reminder queue: remind about an order.

    ``waiting_since`` and ``day`` say which reminder is due. Both are ``None`` if only the order itself can tell.
    ``by_domain`` says that the order is not DV.

    Example:
        >>> Reminder(123456789, date(2026, 11, 20), day=3).mark
        '2026-11-20#3'
    """

    order_id: int
    waiting_since: date | None = None
    day: int | None = None
    by_domain: bool = False

    @property
    def mark(self) -> str | None:
        """The reminder's mark in the send record (`reminder_mark`), if it is known which reminder it is."""
        if self.waiting_since is None or self.day is None:
            return None
        return reminder_mark(self.waiting_since, self.day)

    def to_json(self) -> dict[str, object]:
        """Return the message's body."""
        body: dict[str, object] = {"order_id": self.order_id}
        if self.waiting_since is not None:
            body |= {"waiting_since": self.waiting_since.isoformat(), "day": self.day}
        return body | {"by_domain": True} if self.by_domain else body

    @classmethod
    def from_json(cls, fields: object) -> "Reminder":
        """Read a message's body; raise `InvalidRequest` if it is not one of ours."""
        if not isinstance(fields, dict):
            raise InvalidRequest("body", "must be an object with order_id.")
        reject_unknown_fields(fields, frozenset({"order_id", "waiting_since", "day", "by_domain"}))
        order_id, by_domain = parse_order_id(fields.get("order_id")), parse_boolean(fields, "by_domain")
        if fields.keys() <= {"order_id", "by_domain"}:
            return cls(order_id, by_domain=by_domain)
        day = parse_count(fields, "day", default=0)
        if not 1 <= day <= 365:
            raise InvalidRequest("day", "must be a reminder day from 1 to 365.")
        try:
            return cls(order_id, date.fromisoformat(fields["waiting_since"]), day, by_domain)
        except (KeyError, TypeError, ValueError):
            raise InvalidRequest("waiting_since", "must be a date such as 2026-11-23, together with a day.") from None


@dataclass(frozen=True)
class Invocation:
    """The Lambda invocation that a use case runs in.

    ``deadline`` is its end, in seconds since the epoch. ``delivery_id`` is the id that redeliveries of the same call
    share. ``before_send`` is called with what is about to be sent: if the function is killed while sending, what the
    hook wrote is the only trace. ``on_unknown`` is called with the unknown outcome of a reminder, before it is recorded
    as done: a report may come twice, but it is never missing. ``on_domain`` is called with each part of a request that
    is about one domain, and with its outcome: ``sent``, ``duplicate`` or an error.

    Example:
        ``Invocation(deadline=time.time() + 29, delivery_id=context.aws_request_id, before_send=audit.before_send)``
    """

    deadline: float
    delivery_id: str
    before_send: Callable[[ResendRequest], None] = lambda _request: None
    on_unknown: Callable[[OutcomeUnknown], None] = lambda _error: None
    on_domain: Callable[[ResendRequest, str | ResendError], None] = lambda _request, _outcome: None


def reminder_mark(waiting_since: date, day: int) -> str:
    """Return the name of a reminder in the send record: ``<waiting since>#<day>``."""
    return f"{waiting_since.isoformat()}#{day}"


# ---------------------------------------------------------------- fields


def _parse_recipients(value: object) -> tuple[Recipient, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_RECIPIENTS:
        raise InvalidRequest(
            _RECIPIENTS,
            f"must be a list of 1 to {MAX_RECIPIENTS} objects; leave it out to mail DigiCert's default recipients.",
        )
    seen: dict[tuple[str, str], Recipient] = {}
    for index, item in enumerate(value):
        recipient = replace(_parse_recipient(item, f"{_RECIPIENTS}[{index}]"), position=index)
        same = seen.setdefault((recipient.domain, recipient.email.casefold()), recipient)
        if same.identity != recipient.identity:
            raise InvalidRequest(
                f"{_RECIPIENTS}[{index}].email_domain",
                "differs from an earlier entry with the same domain and email; keep one of the two.",
            )
    return tuple(seen.values())


def _parse_recipient(item: object, path: str) -> Recipient:
    if not isinstance(item, dict):
        raise InvalidRequest(path, "must be an object with domain and email.")
    reject_unknown_fields(item, frozenset({"domain", "email", "email_domain"}), path)
    domain = parse_domain(item.get("domain"), f"{path}.domain", wildcard=True)
    email = parse_email(item.get("email"), f"{path}.email")
    if "email_domain" not in item:
        return Recipient(domain, email)
    email_domain = parse_domain(item["email_domain"], f"{path}.email_domain")
    if email_domain != domain and not domain.endswith(f".{email_domain}"):
        raise InvalidRequest(f"{path}.email_domain", "must be the entry's domain itself or a parent of it.")
    return Recipient(domain, email, email_domain)
