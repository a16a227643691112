"""What the two resend calls have in common: their bodies, and how they refuse. Pure.

Refusals that DigiCert does not document have the code `undocumented|...`, so that no client relies on a code that
DigiCert never published.
"""

import json
from collections.abc import Iterable
from typing import Any

from .orders import Switches


class Refused(Exception):
    """The call is refused with this status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def undocumented(what: str, message: str) -> Refused:
    """Return a refusal whose code DigiCert does not document."""
    return Refused(400, f"undocumented|{what}", message)


def parse_body(body: bytes, known: tuple[str, ...], switches: Switches) -> dict[str, Any]:
    """Parse a body that may have the fields `known`, and check its `locale`. Raises Refused."""
    try:
        fields = json.loads(body) if body.strip() else None
    except (ValueError, RecursionError):  # errors page: bad_request_format
        raise Refused(400, "bad_request_format", "Bad request format") from None
    if fields is None and switches["no_body"] == "accept":
        fields = {}  # a client of 2018 sends `null` here
    if not isinstance(fields, dict):
        raise Refused(400, "bad_request_format", "Bad request format")
    check_names(fields, known, switches)
    if "locale" in fields:
        accepted = switches["locales"]
        if not isinstance(fields["locale"], str) or (accepted is not None and fields["locale"] not in accepted):
            raise undocumented("invalid_field", "locale is not accepted")
    return fields


def check_names(fields: dict[str, Any], known: tuple[str, ...], switches: Switches) -> None:
    """Refuse unknown fields, if the switch says so."""
    unknown = sorted(set(fields) - set(known))
    if unknown and switches["unknown_fields"] == "reject":
        raise undocumented("unknown_field", f"{unknown[0]} is unknown")


def apply_policies(policies: Iterable[tuple[str, bool, str]], switches: Switches) -> bool:
    """Return whether to send, given (switch, whether its condition holds, message). Raises Refused."""
    for switch, holds, message in policies:
        if holds and switches[switch] == "reject":
            raise undocumented(switch, message)
        if holds and switches[switch] == "ignore":
            return False
    return True
