"""Reading JSON that somebody else wrote: callers, AWS events, CertCentral."""

from collections.abc import Mapping
from typing import Any

from dv_resend.core.addresses import mask_addresses
from dv_resend.errors import InvalidRequest

_MASKED_LENGTH = 4096
# 64 characters (RFC 5321, 4.5.3.1.1), each of which may be escaped.
_LONGEST_LOCAL_PART = 6 * 64 + 16


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


def printable_field_name(name: str) -> str:
    """Return a field's name that is safe to show: short, printable ASCII, with masked addresses, never empty."""
    return ascii(_mask_start(name))[1:-1][:64] or "''"


def _mask_start(text: str) -> str:
    """Mask the addresses in the start of a text, which is longer than anything that is shown."""
    masked = mask_addresses(text[:_MASKED_LENGTH])
    # The end may be half an address.
    return masked if len(text) <= _MASKED_LENGTH else masked[:-_LONGEST_LOCAL_PART]


def reject_unknown_fields(fields: Mapping[str, object], allowed: frozenset[str], prefix: str = "") -> None:
    """Raise `InvalidRequest` that names the first field that is not ``allowed``."""
    for name in fields:
        if name not in allowed:
            raise InvalidRequest(
                prefix + printable_field_name(name),
                f"is an unknown field; allowed fields are {', '.join(sorted(allowed))}.",
            )
