"""Reading JSON that somebody else wrote: callers, AWS events, CertCentral."""

from collections.abc import Mapping
from typing import Any

from dv_resend.core.addresses import mask_addresses
from dv_resend.errors import InvalidRequest

_MASKED_LENGTH = 4096
# 64 characters (RFC 5321, 4.5.3.1.1), each of which may be escaped.
_LONGEST_LOCAL_PART = 6 * 64 + 16
# In characters. Our longest field has 22.
MAX_FIELD_NAME = 40
NAME_NOT_SHOWN = "its name is too long or not printable, so it is not shown"


def as_dict(value: object) -> dict[str, Any]:
    """Return ``value`` if it is an object, or else an empty one: parts may be missing or of another type."""
    return value if isinstance(value, dict) else {}


def printable_text(value: object, limit: int = 64) -> str | None:
    """Return a text that is safe to show: short, printable, with masked addresses.

    ``None`` if it is empty or not a text.
    """
    if not isinstance(value, str) or not value:
        return None
    # Masked before it is cut: half an address is not recognised.
    shown = _mask_start(value)[:limit]
    return "".join(character if character.isprintable() else " " for character in shown)


def _mask_start(text: str) -> str:
    """Mask the addresses in the start of a text, which is longer than anything that is shown."""
    masked = mask_addresses(text[:_MASKED_LENGTH])
    # The end may be half an address.
    return masked if len(text) <= _MASKED_LENGTH else masked[:-_LONGEST_LOCAL_PART]


def printable_field_name(name: str) -> str | None:
    """Return a field's name with masked addresses, or ``None`` if it is too long to show or not printable ASCII."""
    if not 1 <= len(name) <= MAX_FIELD_NAME or not name.isascii() or not name.isprintable():
        return None
    return mask_addresses(name)


def reject_unknown_fields(fields: Mapping[str, object], allowed: frozenset[str], parent: str = "") -> None:
    """Raise `InvalidRequest` for the first field that is not ``allowed``; ``parent`` is the path of the object.

    The error names the field, or else the object that it is in.
    """
    for name in fields:
        if name in allowed:
            continue
        listed = ", ".join(sorted(allowed))
        if (shown := printable_field_name(name)) is None:
            raise InvalidRequest(
                parent or "request", f"has an unknown field ({NAME_NOT_SHOWN}); allowed fields are {listed}."
            )
        path = f"{parent}.{shown}" if parent else shown
        raise InvalidRequest(path, f"is an unknown field; allowed fields are {listed}.")
