"""DNS records of the orders' domains, and how the control API changes them."""

from collections.abc import Iterable
from typing import Any

from dns.exception import DNSException

from .nameserver import Records, Zone
from .orders import ControlError, Order, base_domain, without_wildcard

# Baseline Requirements 3.2.2.4.14
CONTACT_LABEL = "_validation-contactemail"

# Served after a start or a reset, whatever the orders are: (name, type, values). Without values: no such record.
SEED_RECORDS: list[tuple[str, str, list[str]]] = [
    # DigiCert's documented example names these two, each at the domain where it is found.
    (f"{CONTACT_LABEL}.example.com", "TXT", ['"someone@example.com"']),
    (f"{CONTACT_LABEL}.example2.com", "TXT", ['"someone@example2.com"']),
    ("no-mail.example", "MX", []),
]


def derived_records(orders: Iterable[Order]) -> Records:
    """Return what the owners of the orders' domains would publish.

    MX records for each name, for its registrable domain and for the hosts of contacts; and the contacts of each name.
    """
    records: dict[tuple[str, str], list[str]] = {}
    for order in orders:
        names = [without_wildcard(name) for name, _ in order.names]
        hosts = [*names, *map(base_domain, names), *(contact.rpartition("@")[2].lower() for contact in order.contacts)]
        records |= {(host, "MX"): [f"10 mail.{host}."] for host in hosts}
        for name in names if order.contacts else ():
            published = records.setdefault((f"{CONTACT_LABEL}.{name}", "TXT"), [])
            published += [text for contact in order.contacts if (text := _quoted(contact)) not in published]
    return records


def published_contacts(zone: Zone, scope: str) -> list[str]:
    """Return the contact addresses that the zone publishes for a scope."""
    try:
        records = zone.answer(f"{CONTACT_LABEL}.{scope}", "TXT")[1]
    except DNSException:
        return []
    return [b"".join(record.strings).decode("utf-8", "replace") for _, type_, record in records if type_ == "TXT"]  # type: ignore[attr-defined] # dnspython makes its classes at run time


def set_records(zone: Zone, fields: dict[str, Any]) -> None:
    """Set `{"name", "type", "values"}`; without values there is no such record, not even a derived one.

    Raises ControlError.
    """
    _check(fields, {"name": str, "type": str, "values": list | None}, {"name", "type", "values"})
    values = fields["values"] or []
    if not all(isinstance(value, str) for value in values):
        raise ControlError("field 'values' must be a list of texts, or null")
    try:
        zone.set(fields["name"], fields["type"], values)
    except ValueError as error:
        raise ControlError(str(error)) from None


def add_fault(zone: Zone, fields: dict[str, Any]) -> None:
    """Add `{"name", "fault", "type"?, "seconds"?}`, a fault of `nameserver`. Raises ControlError."""
    known = {"name": str, "fault": str, "type": str | None, "seconds": int | float}
    _check(fields, known, {"name", "fault"})
    try:
        zone.fault(fields["name"], fields["fault"], fields.get("type"), fields.get("seconds", 0))
    except ValueError as error:
        raise ControlError(str(error)) from None


def _check(fields: dict[str, Any], known: dict[str, Any], required: set[str]) -> None:
    if unknown := sorted(fields.keys() - known.keys()):
        raise ControlError(f"field '{unknown[0]}' is unknown; allowed fields are {', '.join(known)}")
    if missing := sorted(required - fields.keys()):
        raise ControlError(f"field '{missing[0]}' is required")
    for field, value in fields.items():
        if not isinstance(value, known[field]) or isinstance(value, bool):
            raise ControlError(f"field '{field}' has the wrong type")


def _quoted(text: str) -> str:
    """Return a text as one string of a TXT record, in presentation format."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
