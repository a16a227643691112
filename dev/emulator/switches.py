"""What DigiCert does not document (or what was not found) is a switch here, never a guess in the code.

Each default is either the reading nearest to a documented sibling, or the one in which a mistake of the client shows.
"""

from collections.abc import Callable
from typing import Any

from .orders import ControlError, Switches

_POLICY = ("reject", "ignore", "accept")  # 400 | success without (this) mail | mail all the same


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _texts_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(text, str) for text in value))


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


_Allowed = tuple[Any, ...] | Callable[[Any], bool]

# name -> default, allowed values, meaning
SWITCHES: dict[str, tuple[Any, _Allowed, str]] = {
    "bad_key_status": (
        403,
        (403, 401),
        "answer to an unknown, missing or revoked key (403 recorded, 401 in old notes)",
    ),
    "success_status": (204, (204, 200), "answer to a resend (204 by a client and sibling calls); 200 has a JSON body"),
    "not_pending": ("reject", _POLICY, "resend for an order that is not pending"),
    "not_dv": ("reject", _POLICY, "resend for an OV or EV order"),
    "not_email_dcv": ("reject", _POLICY, "resend for an order with a token method"),
    "foreign_address": ("reject", _POLICY, "address neither constructed nor a DNS contact; none left: all defaults"),
    "unknown_domain": ("reject", _POLICY, "domain that is not on the order"),
    "approved_name": ("accept", _POLICY, "domain that is approved already"),
    "nothing_outstanding": ("accept", ("accept", "reject"), "default resend when all names are approved (no mail)"),
    "empty_list": ("mail_everybody", ("mail_everybody", "reject"), "explicit empty domain_approval_emails"),
    "no_body": ("accept", ("accept", "reject"), "empty body or JSON null instead of an object"),
    "unknown_fields": ("ignore", ("ignore", "reject"), "fields that the page does not name"),
    "wildcard_domain": ("accept", ("accept", "reject"), "`*.` in domain"),
    "locales": (None, _texts_or_none, "accepted spellings; null: every text"),
    "retry_after": (None, _text_or_none, "text of Retry-After on the rate limit's 429; null: no header"),
    "resend_renews_link": (False, (False, True), "a resend makes a new random value"),
    "validation_names": (
        "full",
        ("full", "empty", "absent"),
        "dns_name_validations (the end of the page was not readable)",
    ),
    "dv_organization": ("empty_list", ("empty_list", "object", "absent"), "organization of DV orders"),
    "limit_over_1000": ("clamp", ("clamp", "reject"), "list calls with a larger limit"),
    "list_ids": ("integer", ("integer", "string"), "type of id in list rows"),
    "rows_without_certificate": (0, _count, "every n-th list row (by id) lacks certificate; 0: none"),
    "rows_of_unknown_status": (0, _count, "every n-th list row (by id) has a status nobody knows; 0: none"),
}


def default_switches() -> Switches:
    """All switches as after a reset."""
    return {name: default for name, (default, _, _) in SWITCHES.items()}


def check_switches(changes: Switches) -> Switches:
    """The changes, if every name and value is known. Raises ControlError."""
    for name, value in changes.items():
        if name not in SWITCHES:
            raise ControlError(f"switch '{name}' is unknown; known are {', '.join(SWITCHES)}")
        allowed = SWITCHES[name][1]
        if isinstance(allowed, tuple):
            if not any(type(value) is type(choice) and value == choice for choice in allowed):
                raise ControlError(f"switch '{name}' must be one of {', '.join(map(repr, allowed))}")
        elif not allowed(value):
            raise ControlError(f"switch '{name}' has a value of the wrong type; it is: {SWITCHES[name][2]}")
    return changes
