"""The values that doors, use cases and adapters exchange: frozen, and valid once built."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Literal

from dv_resend.errors import InvalidRequest

MAX_RECIPIENTS = 250
MAX_REQUESTED_BY = 256
_RECIPIENTS = "domain_approval_emails"
INPUT_FIELDS = frozenset({"order_id", _RECIPIENTS, "locale", "dry_run", "force", "requested_by"})

# The local parts at which a CA may construct a DCV address (CA/B Forum Baseline Requirements 3.2.2.4.4).
ROLE_LOCAL_PARTS = frozenset({"admin", "administrator", "hostmaster", "postmaster", "webmaster"})

# At most 15 digits: CertCentral also accepts a certificate's serial number where the order id stands
# (order info page), and those are longer.
_ORDER_ID = re.compile(r"[0-9]{1,15}", re.ASCII)
# "xx", "xx_YY" or "xx-yy". DigiCert's list of locale codes could not be read; "en" is the only one in its examples.
_LOCALE = re.compile(r"[A-Za-z]{2}([_-][A-Za-z]{2})?", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
# RFC 5322 dot-atom; quoted local parts are refused, no CA constructs or publishes them.
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_ADDRESS = re.compile(r"[^\s@<>\"'(),:;]+@[^\s@<>\"'(),:;]+")


@dataclass(frozen=True)
class Recipient:
    """One address to mail about one name of the order; ``email_domain`` is the parent name it is found at."""

    domain: str
    email: str
    email_domain: str | None = None
    position: int = field(default=0, compare=False)
    """Where it stands in the caller's list, for errors that name it."""

    @property
    def path(self) -> str:
        """The field of the request that it came from."""
        return f"{_RECIPIENTS}[{self.position}]"

    @property
    def place(self) -> str:
        """The name at which the address is looked for: the one it names, or its domain (a wildcard without ``*.``)."""
        return self.email_domain or bare(self.domain)

    def to_json(self) -> dict[str, str]:
        """Give the object that DigiCert documents (resend-emails page)."""
        item = {"domain": self.domain, "email": self.email}
        return item if self.email_domain is None else item | {"email_domain": self.email_domain}

    @property
    def _identity(self) -> tuple[str, str, str]:
        # A name with and without its wildcard, and with and without itself as the place, asks for the same email.
        return bare(self.domain), self.email.casefold(), self.place


@dataclass(frozen=True)
class ResendRequest:
    """One resend. No ``recipients`` means DigiCert's default ones; that is only ever the caller's own choice.

    ``skipped`` are the named recipients that are not mailed, because their name is validated already.
    """

    order_id: int
    recipients: tuple[Recipient, ...] = ()
    locale: str | None = None
    dry_run: bool = False
    force: bool = False
    requested_by: str | None = None
    skipped: tuple[Recipient, ...] = ()

    @classmethod
    def from_input(cls, fields: Mapping[str, object]) -> "ResendRequest":
        """Validate untrusted input: ``order_id`` and, optionally, the other fields.

        Domains come out lower-cased and as A-labels, local parts as given, duplicates removed.
        Raises `InvalidRequest` that names the field: also for an unknown one and for ``null``, so that a typo
        never widens the recipients.
        """
        refuse_unknown(fields, INPUT_FIELDS)
        return cls(
            order_id=parse_order_id(fields.get("order_id")),
            recipients=_recipients(fields[_RECIPIENTS]) if _RECIPIENTS in fields else (),
            locale=_locale(fields["locale"]) if "locale" in fields else None,
            dry_run=_boolean(fields, "dry_run"),
            force=_boolean(fields, "force"),
            requested_by=parse_requested_by(fields),
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

    @property
    def claim_key(self) -> str:
        """SHA-256 over order, recipients (in any order, any case) and locale: equal for equal requests, and anonymous.

        Skipped recipients count: the same request, repeated after one more name was validated, is still a repeat.
        """
        recipients = sorted({recipient._identity for recipient in self.recipients + self.skipped})
        locale = (self.locale or "").casefold().replace("-", "_")
        identity = json.dumps([self.order_id, recipients, locale])
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def addresses(self) -> Literal["default"] | list[str]:
        """Who is mailed, as results show it: the named addresses, or ``"default"``."""
        return [recipient.email for recipient in self.recipients] or "default"


@dataclass(frozen=True)
class ResendResult:
    """A resend that was sent now, or earlier inside the cool-down.

    ``sent_at`` is in seconds since the epoch, ``cool_down_left`` in seconds.
    """

    request: ResendRequest
    outcome: Literal["sent", "duplicate"]
    sent_at: int
    cool_down_left: int

    def to_json(self) -> dict[str, object]:
        """Give the result as direct callers get it."""
        return {
            "order_id": self.request.order_id,
            "outcome": self.outcome,
            "recipients": self.request.addresses,
            "sent_at": utc(self.sent_at),
        }


@dataclass(frozen=True)
class Order:
    """What CertCentral says of an order, as far as a resend depends on it. Absent values are ``None``."""

    order_id: int
    status: str | None
    product_type: str | None
    dcv_method: str | None
    anchor: datetime | None = None
    """When the request was made that waits for validation: the order itself, or its newest reissue."""
    names: tuple[str, ...] = ()
    """In A-label form."""


@dataclass(frozen=True)
class ListedOrder:
    """One row of CertCentral's list of orders. Absent values are ``None``."""

    order_id: int | None
    status: str | None
    product_type: str | None
    created: datetime | None


@dataclass(frozen=True)
class Reminder:
    """One message of the reminder queue. Without ``anchor`` and ``day``, only a look at the order can tell them."""

    order_id: int
    anchor: date | None = None
    day: int | None = None

    @property
    def record_id(self) -> str | None:
        """Name the record that says that this reminder was dealt with, if it is known which one it is."""
        return None if self.anchor is None or self.day is None else record_id(self.order_id, self.anchor, self.day)

    def to_json(self) -> dict[str, object]:
        """Give the message's body."""
        if self.anchor is None:
            return {"order_id": self.order_id}
        return {"order_id": self.order_id, "anchor": self.anchor.isoformat(), "day": self.day}

    @classmethod
    def from_json(cls, fields: object) -> "Reminder":
        """Read a message's body; raise `InvalidRequest` when it is none of ours."""
        if not isinstance(fields, dict):
            raise InvalidRequest("body", "must be an object with order_id.")
        refuse_unknown(fields, frozenset({"order_id", "anchor", "day"}))
        order_id = parse_order_id(fields.get("order_id"))
        if fields.keys() == {"order_id"}:
            return cls(order_id)
        day = _count(fields, "day", 0)
        if not 1 <= day <= 365:
            raise InvalidRequest("day", "must be a reminder day from 1 to 365.")
        try:
            return cls(order_id, date.fromisoformat(fields["anchor"]), day)
        except (KeyError, TypeError, ValueError):
            raise InvalidRequest("anchor", "must be a date, together with a day.") from None


@dataclass(frozen=True)
class ReminderResult:
    """What became of a reminder: a resend, or the reason why none was needed."""

    order_id: int
    outcome: Literal["sent", "duplicate", "already_reminded", "not_due", "stuck"]


@dataclass
class SweepSummary:
    """What a sweep found and did, counted up page by page."""

    listed: int = 0
    pending_dv: int = 0
    due: int = 0
    enqueued: int = 0
    stuck: int = 0
    oldest_days: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    stuck_orders: list[int] = field(default_factory=list)
    plan: list[dict[str, object]] | None = None
    next_offset: int | None = None

    def to_json(self) -> dict[str, object]:
        """Give the summary; the plan of a dry run and the offset of an unfinished sweep only where there is one."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_json(cls, fields: object) -> "SweepSummary":
        """Read what an earlier link of the same sweep has counted; raise `InvalidRequest` when that is none."""
        empty = cls()
        if not isinstance(fields, dict) or not fields.keys() <= vars(empty).keys() - {"plan", "next_offset"}:
            raise InvalidRequest("so_far", "must be the summary of an earlier link of the same sweep.")
        for name, value in fields.items():
            is_like = type(value) is type(getattr(empty, name))
            numbers = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
            if not is_like or not all(type(number) is int and number >= 0 for number in numbers):
                raise InvalidRequest(f"so_far.{name}", "must be as an earlier link of the same sweep counted it.")
        return cls(**fields)


@dataclass(frozen=True)
class SweepRequest:
    """One sweep, or one further ``link`` of it that goes on at ``offset``."""

    dry_run: bool = False
    offset: int = 0
    link: int = 1
    so_far: SweepSummary = field(default_factory=SweepSummary)

    def to_json(self) -> dict[str, object]:
        """Give the event of this link."""
        return {"action": "sweep", "offset": self.offset, "link": self.link, "so_far": self.so_far.to_json()}

    @classmethod
    def from_input(cls, fields: Mapping[str, object]) -> "SweepRequest":
        """Validate untrusted input. Raises `InvalidRequest` that names the field."""
        refuse_unknown(fields, frozenset({"action", "dry_run", "offset", "link", "so_far", "requested_by"}))
        return cls(
            dry_run=_boolean(fields, "dry_run"),
            offset=_count(fields, "offset", 0),
            link=_count(fields, "link", 1),
            so_far=SweepSummary.from_json(fields.get("so_far", {})),
        )


@dataclass(frozen=True)
class StatusRequest:
    """The question how far the validation of an order has come."""

    order_id: int

    @classmethod
    def from_input(cls, fields: Mapping[str, object]) -> "StatusRequest":
        """Validate untrusted input. Raises `InvalidRequest` that names the field."""
        refuse_unknown(fields, frozenset({"action", "order_id", "requested_by"}))
        return cls(parse_order_id(fields.get("order_id")))


@dataclass(frozen=True)
class NameStatus:
    """How far the validation at one ``scope`` has come; ``names`` are those of the order that it covers.

    All in A-label form. Both are empty if CertCentral's answer was not readable there. ``expired`` says that its
    approval is over.
    """

    scope: str
    status: str
    names: tuple[str, ...] = ()
    expired: bool = False

    @property
    def validated(self) -> bool:
        """Whether nothing is left to do. Only this status is known for sure (validation status page)."""
        return self.status.casefold() == "approved" and not self.expired

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names of the order, or else the scope; none if nobody knows."""
        return self.names or ((self.scope,) if self.scope else ())

    def lists(self, name: str) -> bool:
        """Whether ``name``, with or without ``*.``, is among the names."""
        return bare(name) in map(bare, self.names)

    def covers(self, name: str) -> bool:
        """Whether ``name`` is among the names, or the scope itself."""
        return self.lists(name) or bare(name) == bare(self.scope)


@dataclass(frozen=True)
class OrderStatus:
    """How far the validation of an order has come: of the whole, and of each name. An absent value is ``None``."""

    order_id: int
    status: str | None
    dcv_method: str | None
    domains: tuple[NameStatus, ...]

    def completed(self, order: "Order") -> "OrderStatus":
        """Add the names that only the order itself tells: nobody knows how far they have come."""
        if not order.names:
            return self
        readable = tuple(domain for domain in self.domains if domain.all_names)
        told = {bare(name) for domain in readable for name in domain.all_names}
        missing = tuple(name for name in order.names if bare(name) not in told)
        return replace(self, domains=(*readable, *(NameStatus("", "unknown", (name,)) for name in missing)))

    @property
    def names(self) -> list[str] | None:
        """The names of the order, or ``None`` if they are not known, or not all."""
        if not self.domains or not all(domain.all_names for domain in self.domains):
            return None
        return list(dict.fromkeys(name for domain in self.domains for name in domain.all_names))

    def has(self, name: str) -> bool:
        """Whether ``name`` is one of the order's, or a scope at which it is validated."""
        return any(domain.covers(name) for domain in self.domains)

    @property
    def all_validated(self) -> bool:
        """Whether no name is left to validate. Without names, nobody knows."""
        return self.names is not None and all(domain.validated for domain in self.domains)

    def validated(self, name: str) -> bool:
        """Whether ``name`` is validated wherever the order lists it, or else at the scope of that name."""
        covering = [domain for domain in self.domains if domain.covers(name)]
        return self.listed_validated(name) if self._listing(name) else _all_validated(covering)

    def listed_validated(self, name: str) -> bool:
        """Whether the order lists ``name`` and it is validated: more names of the order will not change that."""
        return _all_validated(self._listing(name))

    def _listing(self, name: str) -> list[NameStatus]:
        return [domain for domain in self.domains if domain.lists(name)]

    def to_json(self) -> dict[str, object]:
        """Give the answer of the ``status`` action."""
        return {
            "order_id": self.order_id,
            "status": self.status,
            "dcv_method": self.dcv_method,
            "domains": [{"name": domain.scope or "unknown", "status": domain.status} for domain in self.domains],
        }


@dataclass(frozen=True)
class Claim:
    """One claim as it stands in the table. Times are seconds since the epoch."""

    key: str
    status: Literal["sending", "sent", "unknown"]
    owner: str
    deadline: int
    expiration: int
    sent_at: int | None = None
    forced_by: frozenset[str] = frozenset()

    def state(self, now: float) -> Literal["expired", "sending", "sent", "unknown"]:
        """Judge the claim at ``now``: one whose invocation is over without a record has an unknown outcome."""
        if self.expiration <= now:
            return "expired"
        if self.status == "sending" and self.deadline <= now:
            return "unknown"
        return self.status


@dataclass(frozen=True)
class HeldClaim(Claim):
    """A claim that this invocation holds: it alone may send, and must record the outcome or release it."""

    replaced: Claim | None = field(default=None, kw_only=True)


def _all_validated(domains: list[NameStatus]) -> bool:
    return bool(domains) and all(domain.validated for domain in domains)


def bare(name: str) -> str:
    """Lower-case a name and take ``*.`` away: validation and its emails are about the rest (BR 3.2.2.4)."""
    return name.lower().removeprefix("*.")


def a_label(name: str) -> str:
    """Put a name of CertCentral's into the form in which names are compared, as far as it is one."""
    try:
        return _domain(name.removesuffix("."), "name", wildcard=True)
    except InvalidRequest:
        return name.lower()


def record_id(order_id: int, anchor: date, day: int) -> str:
    """Name the record that says that a reminder was dealt with: ``order#anchor date#day``."""
    return f"{order_id}#{anchor.isoformat()}#{day}"


def parse_order_id(value: object) -> int:
    """Return the order id of an integer or a string of digits; raise `InvalidRequest` for anything else."""
    number = int(value) if isinstance(value, str) and _ORDER_ID.fullmatch(value) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**15:
        raise InvalidRequest("order_id", "must be a CertCentral order id: 1 to 15 digits.")
    return number


def parse_requested_by(fields: Mapping[str, object]) -> str | None:
    """Return ``requested_by``, if given; raise `InvalidRequest` when it cannot stand in a log line."""
    if "requested_by" not in fields:
        return None
    value = fields["requested_by"]
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_REQUESTED_BY or not value.isprintable():
        raise InvalidRequest("requested_by", f"must be a string of 1 to {MAX_REQUESTED_BY} printable characters.")
    return value


def refuse_unknown(fields: Mapping[str, object], known: frozenset[str], prefix: str = "") -> None:
    """Raise `InvalidRequest` that names the first field that is not ``known``."""
    for name in fields:
        if name not in known:
            raise InvalidRequest(prefix + shown(name), f"is not known here; known are {', '.join(sorted(known))}.")


def shown(name: str) -> str:
    """Make a caller's own field name safe to show: short, printable ASCII, without an address, and never empty."""
    return mask_addresses(ascii(name[:320])[1:-1])[:64] or "''"


def mask_address(address: str) -> str:
    """Hide the local part of an address, unless it is a role address: those are no personal data."""
    local_part, at, domain = address.rpartition("@")
    return address if local_part.casefold() in ROLE_LOCAL_PARTS else f"{local_part[:1]}***{at}{domain}"


def mask_addresses(text: str) -> str:
    """Mask every address in a text."""
    return _ADDRESS.sub(lambda match: mask_address(match[0]), text)


def utc(seconds: float) -> str:
    """Format seconds since the epoch as ``2026-11-23T15:04:05Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _recipients(value: object) -> tuple[Recipient, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_RECIPIENTS:
        raise InvalidRequest(
            _RECIPIENTS,
            f"must be a list of 1 to {MAX_RECIPIENTS} objects; leave it out to mail DigiCert's default recipients.",
        )
    seen: dict[tuple[str, str], Recipient] = {}
    for index, item in enumerate(value):
        recipient = replace(_recipient(item, f"{_RECIPIENTS}[{index}]"), position=index)
        same = seen.setdefault((recipient.domain, recipient.email.casefold()), recipient)
        if same._identity != recipient._identity:
            raise InvalidRequest(
                f"{_RECIPIENTS}[{index}].email_domain",
                "differs from an earlier entry's with the same domain and email; keep one of the two.",
            )
    return tuple(seen.values())


def _recipient(item: object, path: str) -> Recipient:
    if not isinstance(item, dict):
        raise InvalidRequest(path, "must be an object with domain and email.")
    refuse_unknown(item, frozenset({"domain", "email", "email_domain"}), f"{path}.")
    domain = _domain(item.get("domain"), f"{path}.domain", wildcard=True)
    email = parse_email(item.get("email"), f"{path}.email")
    if "email_domain" not in item:
        return Recipient(domain, email)
    email_domain = _domain(item["email_domain"], f"{path}.email_domain")
    if email_domain != domain and not domain.endswith(f".{email_domain}"):
        raise InvalidRequest(f"{path}.email_domain", "must be the entry's domain itself or a parent of it.")
    return Recipient(domain, email, email_domain)


def _domain(value: object, field: str, *, wildcard: bool = False) -> str:
    """Lower-case, to A-labels. The name must have two labels or more and cannot be an IP address."""
    error = InvalidRequest(field, "must be a domain name such as www.example.com.")
    if not isinstance(value, str) or len(value) > 253:
        raise error
    star = "*." if wildcard and value.startswith("*.") else ""
    name = value.removeprefix(star)
    if not name.isascii():
        # Imported only here: few names need it, and its tables are large.
        import idna

        try:
            name = idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
        except (UnicodeError, IndexError):  # IDNAError is a UnicodeError
            raise error from None
    name = name.lower()
    labels = name.split(".")
    if len(star + name) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise error
    return star + name


def parse_email(value: object, field: str) -> str:
    """Return an address with its host lower-cased and as A-labels; raise `InvalidRequest` for anything else."""
    error = InvalidRequest(field, "must be one email address such as admin@example.com.")
    if not isinstance(value, str) or len(value) > 254:
        raise error
    local_part, at, domain = value.rpartition("@")
    if not at or len(local_part) > 64 or not _LOCAL_PART.fullmatch(local_part):
        raise error
    try:
        address = f"{local_part}@{_domain(domain, field)}"
    except InvalidRequest:
        raise error from None
    if len(address) > 254:
        raise error
    return address


def _locale(value: object) -> str:
    if not isinstance(value, str) or not _LOCALE.fullmatch(value):
        raise InvalidRequest("locale", "must be a locale code such as en, pt_BR or zh-cn.")
    return value


def _count(fields: Mapping[str, object], name: str, default: int) -> int:
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10**7:
        raise InvalidRequest(name, "must be a whole number from 0 to 10000000.")
    return value


def _boolean(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(name, "must be true or false.")
    return value
