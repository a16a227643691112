"""Orders: the model, one builder for every kind, the seed, and DigiCert's three JSON views of an order. Pure.

Field shapes follow DigiCert's "Order info", "Order validation status" and "List orders" pages.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

Switches = dict[str, Any]
DAY = 86_400
DV_TYPE = "dv_ssl_certificate"  # "Product info" page: the discriminator of DV orders
OPEN = ("pending", "reissue_pending")  # the statuses in which domain control is still to be shown
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

# The orders after a start or a reset: (name, kind, other fields). Ids count up from FIRST_ID in this order.
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
    # Its domain has no MX record (domains.py), so that nobody can be mailed there.
    ("no_mail", "dv", {"names": ["no-mail.example"], "age_days": 6}),
    # "DV SSL: resend emails" page, the request example; its free addresses stand for DNS TXT contacts.
    (
        "documented_example",
        "dv",
        {
            "id": DOCUMENTED_EXAMPLE,
            "names": ["example.com", "sub.example2.com"],
            "contacts": ["someone@example.com", "someone@example2.com"],
        },
    ),
]
SEED: dict[str, dict[str, Any]] = {
    name: {"id": FIRST_ID + place, "kind": kind, **fields} for place, (name, kind, fields) in enumerate(_SEED)
}
SEED_IDS: dict[str, int] = {name: fields["id"] for name, fields in SEED.items()}


class ControlError(ValueError):
    """The test (not the client under test) asked the emulator for something impossible; names the field."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order. Frozen, so that a reader needs no lock: a change puts a new object in its place. Times: epoch s."""

    id: int
    kind: str
    status: str
    dcv_method: str
    product: str
    product_type: str
    names: tuple[tuple[str, str], ...]  # (name on the order, its status; "approved" is the only one that is done)
    created: int
    reissued: int | None
    contacts: tuple[str, ...]  # DNS TXT / CAA contact addresses
    name_scope: str
    certificate: bool  # False: list rows lack the `certificate` object (seen by clients in the field)
    link_created: int | None  # creation of the current random value; None: with the order or its reissue

    @property
    def link_since(self) -> int:
        """When the random value in the approval link was made."""
        return self.link_created or self.reissued or self.created


def iso(seconds: float) -> str:
    """DigiCert's timestamp form: 2024-08-19T18:16:07+00:00."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def parse_time(text: str) -> int:
    """ISO date or timestamp to epoch seconds; without offset it is UTC. Raises ValueError."""
    when = datetime.fromisoformat(text)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


# --- Building ---------------------------------------------------------------------------------------------------------


def build_order(order_id: int, now: float, fields: dict[str, Any]) -> Order:
    """A new order: what its `kind` says, then `fields` over it. `{id}` in a name becomes the order's id."""
    kind = fields.get("kind", "dv")
    if kind not in KINDS:
        raise ControlError(f"field 'kind' must be one of {', '.join(KINDS)}")
    defaults = {"status": "pending", "dcv_method": "email", "product": "ssl_dv_geotrust_flex", "age_days": 0}
    defaults |= {"names": ["order-{id}.example"], "contacts": [], "name_scope": "base_domain", "certificate": True}
    merged = defaults | KINDS[kind] | {name: value for name, value in fields.items() if name not in ("kind", "id")}
    if "date_created" in fields:
        del merged["age_days"]
    values = {"reissued": None, "link_created": None} | _parse_fields(merged, now)
    values.setdefault("product_type", PRODUCTS.get(values["product"], ("", DV_TYPE, ""))[1])
    values["names"] = tuple((name.replace("{id}", str(order_id)), status) for name, status in values["names"])
    return Order(id=order_id, kind=kind, **values)


def change_order(order: Order, now: float, fields: dict[str, Any]) -> Order:
    """The order with `fields` changed; id and kind stay."""
    return replace(order, **_parse_fields(fields, now))


def order_fields(order: Order) -> dict[str, Any]:
    """The order as the control API shows it; accepts the same names when it is added or changed."""
    return {
        "id": order.id,
        "kind": order.kind,
        "status": order.status,
        "dcv_method": order.dcv_method,
        "product": order.product,
        "product_type": order.product_type,
        "names": dict(order.names),
        "date_created": iso(order.created),
        "reissued_at": iso(order.reissued) if order.reissued else None,
        "contacts": list(order.contacts),
        "name_scope": order.name_scope,
        "certificate": order.certificate,
        "link_created_at": iso(order.link_since),
    }


def _parse_fields(fields: dict[str, Any], now: float) -> dict[str, Any]:
    """Control fields to attributes of Order."""
    values: dict[str, Any] = {}
    for field, value in fields.items():
        if field not in _FIELDS:
            raise ControlError(f"field '{field}' is unknown; known are {', '.join(_FIELDS)}")
        attribute, must, parse = _FIELDS[field]
        try:
            values[attribute] = parse(value, now)
        except (TypeError, ValueError, AttributeError, OverflowError):
            raise ControlError(f"field '{field}' must be {must}") from None
    return values


def _text(value: Any, _now: float) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _names(value: Any, _now: float) -> tuple[tuple[str, str], ...]:
    if isinstance(value, list | tuple):
        value = dict.fromkeys(value, "pending")
    if not value or not all(isinstance(part, str) and part for pair in value.items() for part in pair):
        raise TypeError
    return tuple(value.items())


def _addresses(value: Any, _now: float) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(address, str) for address in value):
        raise TypeError
    return tuple(value)


def _scope(value: Any, _now: float) -> str:
    if value not in ("base_domain", "fqdn"):
        raise ValueError
    return str(value)


def _boolean(value: Any, _now: float) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _days_ago(value: Any, now: float) -> int:
    return int(now - value * DAY)


def _time(value: Any, _now: float) -> int:
    return parse_time(value)


def _time_or_none(value: Any, _now: float) -> int | None:
    return None if value is None else parse_time(value)


_Parser = Callable[[Any, float], Any]
_FIELDS: dict[str, tuple[str, str, _Parser]] = {
    "status": ("status", "a text", _text),
    "dcv_method": ("dcv_method", "a text", _text),
    "product": ("product", "a product's name_id", _text),
    "product_type": ("product_type", "a text", _text),
    "names": ("names", "a list of names, or an object name: status, such as 'pending' or 'approved'", _names),
    "age_days": ("created", "a number of days", _days_ago),
    "date_created": ("created", "an ISO timestamp", _time),
    "reissued_days_ago": ("reissued", "a number of days", _days_ago),
    "reissued_at": ("reissued", "an ISO timestamp or null", _time_or_none),
    "contacts": ("contacts", "a list of addresses", _addresses),
    "name_scope": ("name_scope", "base_domain or fqdn", _scope),
    "certificate": ("certificate", "true or false", _boolean),
    "link_created_at": ("link_created", "an ISO timestamp or null", _time_or_none),
}


# --- DigiCert's views of an order -------------------------------------------------------------------------------------


def order_info(order: Order, switches: Switches) -> dict[str, Any]:
    """`GET order/certificate/{id}`: ids are integers; what exists only after issuing is absent before it."""
    name, _, validation = PRODUCTS.get(order.product, (order.product, "", "dv"))
    request = {"type": "new_request", "status": "approved", "comments": ""}
    requests = [{"id": order.id * 10 + 1, "date": iso(order.created), **request}]
    if order.reissued:
        requests.append({"id": order.id * 10 + 2, "date": iso(order.reissued), **request, "type": "reissue"})
    info = {
        "id": order.id,
        "status": order.status,
        "date_created": iso(order.created),
        "order_valid_till": iso(order.created + 365 * DAY)[:10],
        "dcv_method": order.dcv_method,
        "is_renewal": False,
        "is_renewed": False,
        "payment_method": "balance",
        "certificate": {
            **_certificate(order),
            "date_created": iso(order.created),
            "csr": "-----BEGIN CERTIFICATE REQUEST-----\nemulated\n-----END CERTIFICATE REQUEST-----",
            "key_size": 2048,
        },
        "product": {
            "name_id": order.product,
            "name": name,
            "type": order.product_type,
            "validation_type": validation,
            "validation_name": validation.upper(),
            "validation_description": f"{validation.upper()} validation",
        },
        "container": {"id": 5, "name": "Emulator Inc."},
        "user": {"id": 1, "first_name": "Petra", "last_name": "Keyes", "email": "petra.keyes@emulator.example"},
        "organization_contact": {},
        "technical_contact": {},
        "requests": requests,
        "notes": [],
    }
    return info | _organization(order, switches)


def order_validation(order: Order, switches: Switches) -> dict[str, Any]:
    """`GET order/certificate/{id}/validation`: here the ids are strings ("Order validation status" page)."""
    scopes: dict[tuple[str, str], list[str]] = {}
    for name, status in order.names:
        scope = bare(name) if order.name_scope == "fqdn" else base_domain(name)
        scopes.setdefault((scope, status), []).append(name)
    rows = []
    for place, ((scope, status), names) in enumerate(scopes.items(), start=1):
        row: dict[str, Any] = {
            "domain_id": str(order.id * 10 + place),
            "name_scope": scope,
            "approval_scope": "subdomains",
        }
        row |= {"status": status, "method": order.dcv_method, "dns_names": names}
        if status == "approved":
            row["approval_expiration_date"] = iso(order.created + 199 * DAY)
        rows.append(row)
    view: dict[str, Any] = {
        "order_id": str(order.id),
        "order_status": order.status,
        "order_name_scope": order.name_scope,
    }
    view["order_dcv_method"] = order.dcv_method
    if switches["validation_names"] != "absent":
        view["dns_name_validations"] = rows if switches["validation_names"] == "full" else []
    if order.product_type.lower() != DV_TYPE:  # not returned for DV (same page)
        view |= {"organization_id": "77", "organization_name": "Emulator Inc.", "organization_validations": []}
    return view


def order_row(order: Order, switches: Switches) -> dict[str, Any]:
    """One row of `GET order/certificate`, with the hazards of real rows (see the list switches)."""
    every_bare, every_unknown = switches["rows_without_certificate"], switches["rows_of_unknown_status"]
    row = {
        "id": str(order.id) if switches["list_ids"] == "string" else order.id,
        "status": "under_review" if every_unknown and order.id % every_unknown == 0 else order.status,
        "date_created": iso(order.created),
        "is_renewed": False,
        "is_multi_year_plan": "1",  # a string in real answers
        "validity_years": 1,
        "has_duplicates": False,
        "certificate": _certificate(order),
        "container": {"id": 5, "name": "Emulator Inc."},
        "product": {
            "name_id": order.product,
            "name": PRODUCTS.get(order.product, (order.product,))[0],
            "type": order.product_type,
        },
        "product_name_id": order.product,
    }
    if not order.certificate or (every_bare and order.id % every_bare == 0):
        del row["certificate"]
    return row | _organization(order, switches)


def bare(name: str) -> str:
    """A name in lower case without `*.`: what mail and validation are about (Baseline Requirements 3.2.2.4)."""
    return name.lower().removeprefix("*.")


def base_domain(name: str) -> str:
    """The registrable domain, near enough for tests: the last two labels, three under `co.uk` and its like."""
    labels = bare(name).split(".")
    return ".".join(labels[-3:] if re.search(r"\.(co|com|org|ac|gov)\.[a-z]{2}$", name) else labels[-2:])


def _certificate(order: Order) -> dict[str, Any]:
    names = [name for name, _ in order.names]
    part: dict[str, Any] = {"common_name": names[0], "dns_names": names, "signature_hash": "sha256"}
    if order.status in WITH_CERTIFICATE:
        till = order.created + 199 * DAY
        part |= {"id": order.id + 1_000_000_000, "valid_from": iso(order.created)[:10], "valid_till": iso(till)[:10]}
        part |= {"days_remaining": 0 if order.status == "expired" else 100}
    return part


def _organization(order: Order, switches: Switches) -> dict[str, Any]:
    organization = {"id": 77, "name": "Emulator Inc.", "display_name": "Emulator Inc.", "is_active": True}
    organization |= {"city": "Lehi", "state": "Utah", "country": "us"}
    if order.product_type.lower() != DV_TYPE or switches["dv_organization"] == "object":
        return {"organization": organization}
    # "List orders" page: an empty array, not an object, on DV orders.
    return {"organization": []} if switches["dv_organization"] == "empty_list" else {}
