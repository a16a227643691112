"""The values that doors, use cases and adapters exchange: frozen, and valid once built."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from dv_resend.errors import InvalidRequest

MAX_RECIPIENTS = 250
MAX_REQUESTED_BY = 256
INPUT_FIELDS = frozenset({"order_id", "domain_approval_emails", "locale", "dry_run", "force", "requested_by"})

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

    def to_json(self) -> dict[str, str]:
        """Give the object that DigiCert documents (resend-emails page)."""
        item = {"domain": self.domain, "email": self.email}
        return item if self.email_domain is None else item | {"email_domain": self.email_domain}

    @property
    def _identity(self) -> tuple[str, str, str]:
        return self.domain, self.email.casefold(), self.email_domain or ""


@dataclass(frozen=True)
class ResendRequest:
    """One resend. No ``recipients`` means DigiCert's default ones; that is only ever the caller's own choice."""

    order_id: int
    recipients: tuple[Recipient, ...] = ()
    locale: str | None = None
    dry_run: bool = False
    force: bool = False
    requested_by: str | None = None

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
            recipients=_recipients(fields["domain_approval_emails"]) if "domain_approval_emails" in fields else (),
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
            body["domain_approval_emails"] = [recipient.to_json() for recipient in self.recipients]
        if self.locale is not None:
            body["locale"] = self.locale
        return body

    @property
    def claim_key(self) -> str:
        """SHA-256 over order, recipients (in any order, any case) and locale: equal for equal emails, and anonymous."""
        recipients = sorted(recipient._identity for recipient in self.recipients)
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
class ResendPlan:
    """What a dry run found: the call that would be made, or what would keep it from being made, and until when."""

    request: ResendRequest
    would_be: Literal["sent", "duplicate", "ResendInProgress", "OutcomeUnknown", "SendingPaused"]
    until: int | None = None
    outcome: Literal["planned"] = "planned"

    def to_json(self) -> dict[str, object]:
        """Give the plan as direct callers and HTTP dry runs get it."""
        plan: dict[str, object] = {
            "order_id": self.request.order_id,
            "outcome": self.outcome,
            "recipients": self.request.addresses,
            "upstream_body": self.request.upstream_body,
            "would_be": self.would_be,
        }
        return plan if self.until is None else plan | {"until": utc(self.until)}


@dataclass(frozen=True)
class Order:
    """What CertCentral says of an order, as far as a resend depends on it. Absent values are ``None``."""

    order_id: int
    status: str | None
    product_type: str | None
    dcv_method: str | None


@dataclass(frozen=True)
class OrderStatus:
    """How far the validation of an order has come: of the whole, and of each ``(name, status)``."""

    order_id: int
    status: str
    dcv_method: str | None
    domains: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, object]:
        """Give the answer of the ``status`` action."""
        return {
            "order_id": self.order_id,
            "status": self.status,
            "dcv_method": self.dcv_method,
            "domains": [{"name": name, "status": status} for name, status in self.domains],
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
    return mask_addresses(ascii(name[:64])[1:-1]) or "''"


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
    field = "domain_approval_emails"
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_RECIPIENTS:
        raise InvalidRequest(
            field,
            f"must be a list of 1 to {MAX_RECIPIENTS} objects; leave it out to mail DigiCert's default recipients.",
        )
    seen: dict[tuple[str, str], Recipient] = {}
    for index, item in enumerate(value):
        recipient = _recipient(item, f"{field}[{index}]")
        same = seen.setdefault((recipient.domain, recipient.email.casefold()), recipient)
        if same.email_domain != recipient.email_domain:
            raise InvalidRequest(
                f"{field}[{index}].email_domain",
                "differs from an earlier entry's with the same domain and email; keep one of the two.",
            )
    return tuple(seen.values())


def _recipient(item: object, path: str) -> Recipient:
    if not isinstance(item, dict):
        raise InvalidRequest(path, "must be an object with domain and email.")
    refuse_unknown(item, frozenset({"domain", "email", "email_domain"}), f"{path}.")
    domain = _domain(item.get("domain"), f"{path}.domain", wildcard=True)
    email = _email(item.get("email"), f"{path}.email")
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


def _email(value: object, field: str) -> str:
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


def _boolean(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(name, "must be true or false.")
    return value
