"""Switches for what DigiCert does not document, so that the code makes no guesses.

Each default is what a similar documented call does, or else what makes a client's mistake visible.
"""

from collections.abc import Callable
from typing import Any

from .orders import ControlError, Switches

_POLICY = ("reject", "ignore", "accept")  # 400 | success without this mail | mail anyway


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
        "status for an unknown, missing or revoked key (403 was recorded, 401 is in old notes)",
    ),
    "success_status": (
        204,
        (204, 200),
        "status of a successful resend (204 in a client and in similar calls); 200 has a JSON body",
    ),
    "not_pending": ("reject", _POLICY, "resend for an order that is not pending"),
    "not_dv": ("reject", _POLICY, "resend for an OV or EV order"),
    "not_email_dcv": ("reject", _POLICY, "resend for an order whose DCV method is not email"),
    "foreign_address": (
        "reject",
        _POLICY,
        "address that is neither constructed nor a DNS contact; if none is left, the defaults are mailed",
    ),
    "scope_as_domain": (
        "accept",
        _POLICY,
        'domain that is only the scope of a name\'s validation (the page calls the field "domain scope of the emails")',
    ),
    "unknown_domain": ("reject", _POLICY, "domain that is neither on the order nor such a scope"),
    "approved_name": ("accept", _POLICY, "domain that is approved already"),
    "nothing_outstanding": ("accept", ("accept", "reject"), "default resend although all names are approved (no mail)"),
    "empty_list": ("mail_everybody", ("mail_everybody", "reject"), "explicit empty domain_approval_emails"),
    "no_body": ("accept", ("accept", "reject"), "empty body or JSON null instead of an object"),
    "unknown_fields": ("ignore", ("ignore", "reject"), "fields that the documentation does not name"),
    "wildcard_domain": ("accept", ("accept", "reject"), "`*.` in domain"),
    "locales": (None, _texts_or_none, "accepted spellings; null: every text"),
    "retry_after": (None, _text_or_none, "text of Retry-After on the rate limit's 429; null: no header"),
    "resend_renews_link": (False, (False, True), "a resend makes a new random value"),
    "validation_names": (
        "full",
        ("full", "empty", "absent"),
        "dns_name_validations (the end of the documentation page was not readable)",
    ),
    "organization_validations": (
        "listed",
        ("listed", "empty", "with_approved"),
        "organization_validations of OV and EV orders: listed while pending, never, or always (entries undocumented)",
    ),
    "domain_ids": (
        "per_scope",
        ("per_scope", "per_base_domain"),
        "domain_id in validations of OV and EV orders: one for each scope, or one for all below a registrable domain",
    ),
    "emails_name_scope": ("present", ("present", "absent"), "name_scope in the emails of a domain"),
    "emails_whois": (
        "present",
        ("present", "absent"),
        "whois_emails in the emails of a domain (the newest documentation example does not show it)",
    ),
    "unlisted_address": (
        "ignore",
        ("ignore", "reject"),
        "address in email_array that is not among the emails of the domain (documented: ignored)",
    ),
    "foreign_name_scope": ("reject", ("reject", "accept"), "name_scope that does not belong to the domain id"),
    "domain_not_open": (
        "reject",
        _POLICY,
        "resend for a domain that no pending order waits for: it is approved already",
    ),
    "domain_not_email_dcv": ("reject", _POLICY, "resend for a domain whose DCV method is not email"),
    "dv_organization": ("empty_list", ("empty_list", "object", "absent"), "organization of DV orders"),
    "limit_over_1000": ("clamp", ("clamp", "reject"), "list calls with a larger limit"),
    "list_ids": ("integer", ("integer", "string"), "type of id in list rows"),
    "rows_without_certificate": (0, _count, "every n-th list row (by id) lacks certificate; 0: none"),
    "rows_of_unknown_status": (0, _count, "every n-th list row (by id) has an undocumented status; 0: none"),
}


def default_switches() -> Switches:
    """Return all switches with their defaults."""
    return {name: default for name, (default, _, _) in SWITCHES.items()}


def check_switches(changes: Switches) -> Switches:
    """Return the changes if every name and value is allowed. Raises ControlError."""
    for name, value in changes.items():
        if name not in SWITCHES:
            raise ControlError(f"switch '{name}' is unknown; allowed are {', '.join(SWITCHES)}")
        allowed = SWITCHES[name][1]
        if isinstance(allowed, tuple):
            if not any(type(value) is type(choice) and value == choice for choice in allowed):
                raise ControlError(f"switch '{name}' must be one of {', '.join(map(repr, allowed))}")
        elif not allowed(value):
            raise ControlError(f"switch '{name}' has a value of the wrong type; it means: {SWITCHES[name][2]}")
    return changes
