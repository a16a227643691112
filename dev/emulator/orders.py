"""Orders: their fields, how they are built and changed, and those that the emulator starts with. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

Switches = dict[str, Any]
DAY = 86_400
APPROVAL_DAYS = 199  # since 2026-02-24, DigiCert reuses a validation for that long
DV_TYPE = "dv_ssl_certificate"  # "Product info" page: the discriminator of DV orders
OPEN = ("pending", "reissue_pending")  # statuses in which domain control must still be proven
# Those of DigiCert's "Certificate orders and requests" page; `under_review` is in no page: clients may meet new ones.
STATUSES = (
    *("pending", "reissue_pending", "waiting_pickup", "needs_approval", "needs_csr", "processing", "issued"),
    *("rejected", "revoked", "canceled", "expired", "under_review"),
)
WITH_CERTIFICATE = ("issued", "revoked", "expired", "reissue_pending")

# name_id -> display name, type, validation type ("Product info" page)
PRODUCTS = {
    "ssl_dv_geotrust_flex": ("GeoTrust DV SSL", DV_TYPE, "dv"),
    "ssl_dv_rapidssl": ("RapidSSL Standard DV", DV_TYPE, "dv"),
    "wildcard_dv_geotrust": ("GeoTrust Wildcard DV", DV_TYPE, "dv"),
    "ssl_basic": ("Basic OV", "ssl_certificate", "ov"),
    "ssl_ev_basic": ("Basic EV", "ssl_certificate", "ev"),
}

# What `kind` fills in; every field can be overridden when an order is added.
KINDS: dict[str, dict[str, Any]] = {
    "dv": {},
    "dv_dns_txt": {"dcv_method": "dns-txt-token"},
    "dv_dns_cname": {"dcv_method": "dns-cname-token"},
    "dv_http": {"dcv_method": "http-token"},
    "dv_wildcard": {"product": "wildcard_dv_geotrust", "names": ["*.wild-{id}.example"]},
    "dv_multi_san": {
        "names": {"shop-{id}.example": "approved", "mail-{id}.example": "pending", "api.shop-{id}.test": "pending"}
    },
    "dv_reissue": {"status": "reissue_pending", "age_days": 120, "reissued_days_ago": 2},
    "dv_all_approved": {"names": {"ready-{id}.example": "approved"}},
    "dv_idn": {"names": ["xn--bcher-kva.example"]},
    "ov": {"product": "ssl_basic"},
    "ev": {"product": "ssl_ev_basic"},
}

FIRST_ID = 100_000_001
DOCUMENTED_EXAMPLE = 123_456_789

# The orders after a start or a reset: (name, kind, other fields). Ids count up from FIRST_ID in this sequence.
_SEED: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", "dv", {"names": ["example.com"], "age_days": 4}),
    ("dns_txt", "dv_dns_txt", {"names": ["dns-txt.example"], "age_days": 1}),
    ("dns_cname", "dv_dns_cname", {"names": ["dns-cname.example"], "age_days": 1}),
    ("http_token", "dv_http", {"names": ["http.example"], "age_days": 1}),
    ("ov", "ov", {"names": ["ov.example"], "age_days": 2}),
    ("ev", "ev", {"names": ["ev.example"], "age_days": 2}),
    ("wildcard", "dv_wildcard", {"names": ["*.wild.example"], "age_days": 3}),
    (
        "multi_san",
        "dv_multi_san",
        {"names": {"shop.example": "approved", "mail.example": "pending", "api.shop.test": "pending"}, "age_days": 7},
    ),
    ("reissue", "dv_reissue", {"names": ["reissue.example"]}),
    ("all_approved", "dv_all_approved", {"names": {"ready.example": "approved"}, "age_days": 1}),
    ("idn", "dv_idn", {"age_days": 3}),
    ("old", "dv", {"names": ["forgotten.example"], "age_days": 45}),
    ("contact", "dv", {"names": ["contact.example"], "contacts": ["pki@mail.test"], "age_days": 2}),
    ("needs_approval", "dv", {"status": "needs_approval", "names": ["needs-approval.example"]}),
    ("waiting_pickup", "dv", {"status": "waiting_pickup", "names": {"pickup.example": "approved"}}),
    ("needs_csr", "dv", {"status": "needs_csr", "names": ["needs-csr.example"]}),
    ("processing", "dv", {"status": "processing", "names": {"processing.example": "approved"}}),
    ("issued", "dv", {"status": "issued", "names": {"issued.example": "approved"}, "age_days": 20}),
    ("rejected", "dv", {"status": "rejected", "names": ["rejected.example"], "age_days": 20}),
    ("revoked", "dv", {"status": "revoked", "names": {"revoked.example": "approved"}, "age_days": 90}),
    ("canceled", "dv", {"status": "canceled", "names": ["canceled.example"], "age_days": 20}),
    ("expired", "dv", {"status": "expired", "names": {"expired.example": "approved"}, "age_days": 400}),
    ("unknown_status", "dv", {"status": "under_review", "names": ["under-review.example"]}),
    # Its domain has no MX record (order_dns.py), so it can receive no email.
    ("no_mail", "dv", {"names": ["no-mail.example"], "age_days": 6}),
    # Two OV orders that wait for the same domain. The first has one that is validated and one that uses DNS, too.
    (
        "ov_multi",
        "ov",
        {
            "names": {"ov-validated.example": "approved", "ov-dns.example": "pending", "ov-shared.example": "pending"},
            "methods": {"ov-dns.example": "dns-txt-token"},
            "age_days": 3,
        },
    ),
    ("ov_shared", "ov", {"names": ["www.ov-shared.example"], "age_days": 1}),
    # "DV SSL: resend emails" page: the names of its first request example, without email_domain, and of its present
    # one. Their free addresses stand for DNS TXT contacts.
    (
        "documented_example",
        "dv",
        {
            "id": DOCUMENTED_EXAMPLE,
            "names": ["example.com", "example2.com", "sub.example2.com"],
            "contacts": ["someone@example.com", "someone@example2.com"],
        },
    ),
]
SEED: dict[str, dict[str, Any]] = {
    name: {"id": FIRST_ID + place, "kind": kind, **fields} for place, (name, kind, fields) in enumerate(_SEED)
}
SEED_IDS: dict[str, int] = {name: fields["id"] for name, fields in SEED.items()}


class ControlError(ValueError):
    """A test, not the client under test, asked the emulator for something impossible. The message names the field."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order. Times are epoch seconds.

    Frozen, so that a reader needs no lock: a change replaces the object.
    """

    id: int
    kind: str
    status: str
    dcv_method: str
    methods: tuple[tuple[str, str], ...]  # (name or scope, its DCV method), where it is not `dcv_method`
    product: str
    product_type: str
    names: tuple[tuple[str, str], ...]  # (name on the order, its status); only "approved" needs no more validation
    approved_at: tuple[tuple[str, int], ...]  # (name, when it was approved), where that was not with the order
    created: int
    reissued: int | None
    contacts: tuple[str, ...]  # DNS TXT / CAA contact addresses
    organization: str  # "validated" or "pending"; DV orders have none
    name_scope: str
    certificate: bool  # False: list rows lack the `certificate` object, as some real ones do
    link_created: int | None  # when the current random value was made; None: with the order or its reissue

    @property
    def link_since(self) -> int:
        """The time when the random value in the approval link was made."""
        return self.link_created or self.reissued or self.created

    def approval_ends(self, name: str) -> int:
        """Return when the approval of one of its names expires."""
        return dict(self.approved_at).get(name, self.created) + APPROVAL_DAYS * DAY

    def open_names(self, now: float) -> list[str]:
        """Return those of its names that are still to be validated, or again."""
        return [name for name, status in self.names if status != "approved" or self.approval_ends(name) < now]

    @property
    def is_dv(self) -> bool:
        """Whether it is a DV order, whose domains are not in the account's domain list."""
        return self.product_type.lower() == DV_TYPE

    def method_of(self, name: str) -> str:
        """Return the DCV method of one of its names."""
        methods = dict(self.methods)
        return methods.get(name) or methods.get(scope_of(self.name_scope, name)) or self.dcv_method


def iso(seconds: float) -> str:
    """Format a time as DigiCert does: 2024-08-19T18:16:07+00:00."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def parse_time(text: str) -> int:
    """Convert an ISO date or timestamp, in UTC unless it has an offset, to epoch seconds. Raises ValueError."""
    when = datetime.fromisoformat(text)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


# --- Building ---


def build_order(order_id: int, now: float, fields: dict[str, Any]) -> Order:
    """Build an order from the defaults of its `kind` and from `fields`. `{id}` in a name becomes the order's id."""
    kind = fields.get("kind", "dv")
    if kind not in KINDS:
        raise ControlError(f"field 'kind' must be one of {', '.join(KINDS)}")
    defaults = {"status": "pending", "dcv_method": "email", "product": "ssl_dv_geotrust_flex", "age_days": 0}
    defaults |= {"names": ["order-{id}.example"], "contacts": [], "name_scope": "base_domain", "certificate": True}
    defaults |= {"methods": {}, "approved_at": {}, "organization": "validated"}
    merged = defaults | KINDS[kind] | {name: value for name, value in fields.items() if name not in ("kind", "id")}
    if "date_created" in fields:
        del merged["age_days"]
    values = {"reissued": None, "link_created": None} | _parse_fields(merged, now)
    values.setdefault("product_type", PRODUCTS.get(values["product"], ("", DV_TYPE, ""))[1])
    for field in ("names", "methods", "approved_at"):
        values[field] = tuple((name.replace("{id}", str(order_id)), value) for name, value in values[field])
    return Order(id=order_id, kind=kind, **values)


def change_order(order: Order, now: float, fields: dict[str, Any]) -> Order:
    """Return the order with `fields` changed; id and kind stay."""
    return replace(order, **_parse_fields(fields, now))


def order_fields(order: Order) -> dict[str, Any]:
    """Return the order as the control API shows it, in the fields that it accepts."""
    return {
        "id": order.id,
        "kind": order.kind,
        "status": order.status,
        "dcv_method": order.dcv_method,
        "product": order.product,
        "product_type": order.product_type,
        "names": dict(order.names),
        "approved_at": {name: iso(then) for name, then in order.approved_at},
        "date_created": iso(order.created),
        "reissued_at": iso(order.reissued) if order.reissued else None,
        "methods": dict(order.methods),
        "contacts": list(order.contacts),
        "organization": order.organization,
        "name_scope": order.name_scope,
        "certificate": order.certificate,
        "link_created_at": iso(order.link_since),
    }


def _parse_fields(fields: dict[str, Any], now: float) -> dict[str, Any]:
    """Convert fields of the control API to attributes of Order."""
    values: dict[str, Any] = {}
    for field, value in fields.items():
        if field not in _FIELDS:
            raise ControlError(f"field '{field}' is unknown; allowed fields are {', '.join(_FIELDS)}")
        attribute, must, parse = _FIELDS[field]
        try:
            values[attribute] = parse(value, now)
        except (TypeError, ValueError, AttributeError, OverflowError, OSError):
            raise ControlError(f"field '{field}' must be {must}") from None
    return values


def _text(value: Any, _now: float) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _one_of(*allowed: str) -> "_Parser":
    def parse(value: Any, _now: float) -> str:
        if value not in allowed:
            raise ValueError
        return str(value)

    return parse


def _names(value: Any, _now: float) -> tuple[tuple[str, str], ...]:
    if isinstance(value, list | tuple):
        value = dict.fromkeys(value, "pending")
    if not value:
        raise TypeError
    return _texts_by_name(value, _now)


def _texts_by_name(value: Any, _now: float) -> tuple[tuple[str, str], ...]:
    if not all(isinstance(part, str) and part for pair in value.items() for part in pair):
        raise TypeError
    return tuple(value.items())


def _addresses(value: Any, _now: float) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(address, str) for address in value):
        raise TypeError
    return tuple(value)


def _boolean(value: Any, _now: float) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _days_ago(value: Any, now: float) -> int:
    return _with_dates(int(now - value * DAY))


def _time(value: Any, _now: float) -> int:
    return _with_dates(parse_time(value))


def _times_by_name(value: Any, now: float) -> tuple[tuple[str, int], ...]:
    return tuple((_text(name, now), _time(then, now)) for name, then in value.items())


def _time_or_none(value: Any, now: float) -> int | None:
    return None if value is None else _time(value, now)


def _with_dates(then: int) -> int:
    """Return a time if it can be written as a date, and what follows from it within a year, too."""
    iso(then)
    iso(then + 366 * DAY)
    return then


_Parser = Callable[[Any, float], Any]
_FIELDS: dict[str, tuple[str, str, _Parser]] = {
    "status": ("status", f"one of {', '.join(STATUSES)}", _one_of(*STATUSES)),
    "dcv_method": ("dcv_method", "a text", _text),
    "methods": ("methods", "an object name or scope: DCV method, such as 'dns-txt-token'", _texts_by_name),
    "product": ("product", "a product's name_id", _text),
    "product_type": ("product_type", "a text", _text),
    "names": ("names", "a list of names, or an object name: status, such as 'pending' or 'approved'", _names),
    "approved_at": ("approved_at", "an object name: ISO timestamp", _times_by_name),
    "age_days": ("created", "a number of days", _days_ago),
    "date_created": ("created", "an ISO timestamp", _time),
    "reissued_days_ago": ("reissued", "a number of days", _days_ago),
    "reissued_at": ("reissued", "an ISO timestamp or null", _time_or_none),
    "contacts": ("contacts", "a list of addresses", _addresses),
    "organization": ("organization", "validated or pending", _one_of("validated", "pending")),
    "name_scope": ("name_scope", "base_domain or fqdn", _one_of("base_domain", "fqdn")),
    "certificate": ("certificate", "true or false", _boolean),
    "link_created_at": ("link_created", "an ISO timestamp or null", _time_or_none),
}


# --- Names ---


def without_wildcard(name: str) -> str:
    """Return a name in lower case without `*.`, which is what is validated (Baseline Requirements 3.2.2.4)."""
    return name.lower().removeprefix("*.")


def scope_of(name_scope: str, name: str) -> str:
    """Return the scope at which a name of an order with this `name_scope`, "fqdn" or "base_domain", is validated."""
    return without_wildcard(name) if name_scope == "fqdn" else base_domain(name)


def base_domain(name: str) -> str:
    """Return the registrable domain, near enough for tests: the last two labels, three under `co.uk` and similar."""
    labels = without_wildcard(name).split(".")
    return ".".join(labels[-3:] if re.search(r"\.(co|com|org|ac|gov)\.[a-z]{2}$", name) else labels[-2:])


def is_within(name: str, domain: str) -> bool:
    """Return whether a name is the domain, or below it."""
    return f".{without_wildcard(name)}".endswith(f".{domain}")
