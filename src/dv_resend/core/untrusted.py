"""Reading JSON that somebody else wrote: callers, AWS events, CertCentral."""

from collections.abc import Mapping
from typing import Any

from dv_resend.core.addresses import mask_addresses
from dv_resend.errors import InvalidRequest


def as_dict(value: object) -> dict[str, Any]:
    """Return ``value`` if it is an object, or else an empty one: parts may be missing or of another type."""
    return value if isinstance(value, dict) else {}


def printable_text(value: object, limit: int = 64) -> str | None:
    """Return a text that is safe to show: short and printable. ``None`` if it is empty or not a text."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(character if character.isprintable() else " " for character in value[:limit])


def printable_field_name(name: str) -> str:
    """Return a field's name that is safe to show: short, printable ASCII, with masked addresses, never empty."""
    return mask_addresses(ascii(name[:320])[1:-1])[:64] or "''"


def reject_unknown_fields(fields: Mapping[str, object], allowed: frozenset[str], prefix: str = "") -> None:
    """Raise `InvalidRequest` that names the first field that is not ``allowed``."""
    for name in fields:
        if name not in allowed:
            raise InvalidRequest(
                prefix + printable_field_name(name),
                f"is an unknown field; allowed fields are {', '.join(sorted(allowed))}.",
            )
