"""What callers ask for: frozen, and valid once built. Untrusted input is validated here and nowhere else."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

from dv_resend.core.addresses import parse_domain, parse_email, without_wildcard
from dv_resend.core.untrusted_json import reject_unknown_fields
from dv_resend.errors import InvalidRequest, OutcomeUnknown

MAX_RECIPIENTS = 250
MAX_REQUESTED_BY = 256
_RECIPIENTS = "domain_approval_emails"
# The fields of the request that DigiCert documents (resend-emails page), and those of our own direct input.
DIGICERT_FIELDS = frozenset({_RECIPIENTS, "locale"})
INPUT_FIELDS = DIGICERT_FIELDS | {"order_id", "dry_run", "force", "requested_by"}

# At most 15 digits: in place of an order id, CertCentral also accepts a certificate's serial number (order info page),
# and those are longer.
_ORDER_ID = re.compile(r"[0-9]{1,15}", re.ASCII)
# "xx", "xx_YY" or "xx-yy". DigiCert's list of locale codes could not be read; "en" is the only one in its examples.
_LOCALE = re.compile(r"[A-Za-z]{2}([_-][A-Za-z]{2})?", re.ASCII)


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

    ``skipped`` are named recipients who are not mailed.

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

    @classmethod
    def from_input(cls, fields: Mapping[str, object]) -> "ResendRequest":
        """Validate direct input: ``order_id`` and, optionally, the other fields.

        Domains become lower-case A-labels without a final dot, role addresses become lower-case, other local parts stay
        as given, and duplicates are removed. Raises `InvalidRequest` that names the field. Unknown fields and ``null``
        are errors too, so that a typo never widens the recipients.
        """
        reject_unknown_fields(fields, INPUT_FIELDS)
        request = cls._from_digicert_fields(fields.get("order_id"), fields)
        dry_run, force = _parse_boolean(fields, "dry_run"), _parse_boolean(fields, "force")
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
            locale=_parse_locale(fields["locale"]) if "locale" in fields else None,
        )

    @property
    def upstream_body(self) -> dict[str, object]:
        """The JSON object of the PUT: only documented keys, ``{}`` for the default recipients."""
        body: dict[str, object] = {}
        if self.recipients:
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
        return cls(dry_run=_parse_boolean(fields, "dry_run"), offset=_parse_count(fields, "offset", default=0))


@dataclass(frozen=True)
class Reminder:
    """One message of the reminder queue: remind about an order.

    ``waiting_since`` and ``day`` say which reminder is due. Both are ``None`` if only the order itself can tell.

    Example:
        >>> Reminder(123456789, date(2026, 11, 20), day=3).mark
        '2026-11-20#3'
    """

    order_id: int
    waiting_since: date | None = None
    day: int | None = None

    @property
    def mark(self) -> str | None:
        """The reminder's mark in the send record (`reminder_mark`), if it is known which reminder it is."""
        if self.waiting_since is None or self.day is None:
            return None
        return reminder_mark(self.waiting_since, self.day)

    def to_json(self) -> dict[str, object]:
        """Return the message's body."""
        if self.waiting_since is None:
            return {"order_id": self.order_id}
        return {"order_id": self.order_id, "waiting_since": self.waiting_since.isoformat(), "day": self.day}

    @classmethod
    def from_json(cls, fields: object) -> "Reminder":
        """Read a message's body; raise `InvalidRequest` if it is not one of ours."""
        if not isinstance(fields, dict):
            raise InvalidRequest("body", "must be an object with order_id.")
        reject_unknown_fields(fields, frozenset({"order_id", "waiting_since", "day"}))
        order_id = parse_order_id(fields.get("order_id"))
        if fields.keys() == {"order_id"}:
            return cls(order_id)
        day = _parse_count(fields, "day", default=0)
        if not 1 <= day <= 365:
            raise InvalidRequest("day", "must be a reminder day from 1 to 365.")
        try:
            return cls(order_id, date.fromisoformat(fields["waiting_since"]), day)
        except (KeyError, TypeError, ValueError):
            raise InvalidRequest("waiting_since", "must be a date such as 2026-11-23, together with a day.") from None


@dataclass(frozen=True)
class Invocation:
    """The Lambda invocation that a use case runs in.

    ``deadline`` is its end, in seconds since the epoch. ``delivery_id`` is the id that redeliveries of the same call
    share. ``before_send`` is called with what is about to be sent: if the function is killed while sending, what the
    hook wrote is the only trace. ``on_unknown`` is called with the unknown outcome of a reminder, before it is recorded
    as done: a report may come twice, but it is never missing.

    Example:
        ``Invocation(deadline=time.time() + 29, delivery_id=context.aws_request_id, before_send=audit.before_send)``
    """

    deadline: float
    delivery_id: str
    before_send: Callable[[ResendRequest], None] = lambda _request: None
    on_unknown: Callable[[OutcomeUnknown], None] = lambda _error: None


def reminder_mark(waiting_since: date, day: int) -> str:
    """Return the name of a reminder in the send record: ``<waiting since>#<day>``."""
    return f"{waiting_since.isoformat()}#{day}"


# ---------------------------------------------------------------- fields


def parse_order_id(value: object) -> int:
    """Return the order id of an integer or a string of digits; raise `InvalidRequest` for anything else."""
    number = int(value) if isinstance(value, str) and _ORDER_ID.fullmatch(value) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**15:
        raise InvalidRequest("order_id", "must be a CertCentral order id: 1 to 15 digits.")
    return number


def parse_requested_by(fields: Mapping[str, object]) -> str | None:
    """Return ``requested_by`` if it is given; raise `InvalidRequest` if it does not fit into a log line."""
    if "requested_by" not in fields:
        return None
    value = fields["requested_by"]
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_REQUESTED_BY or not value.isprintable():
        raise InvalidRequest("requested_by", f"must be a string of 1 to {MAX_REQUESTED_BY} printable characters.")
    return value


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


def _parse_locale(value: object) -> str:
    if not isinstance(value, str) or not _LOCALE.fullmatch(value):
        raise InvalidRequest("locale", "must be a locale code such as en, pt_BR or zh-cn.")
    return value


def _parse_count(fields: Mapping[str, object], name: str, *, default: int) -> int:
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10**7:
        raise InvalidRequest(name, "must be a whole number from 0 to 10000000.")
    return value


def _parse_boolean(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(name, "must be true or false.")
    return value
