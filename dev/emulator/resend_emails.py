"""`PUT order/certificate/{id}/resend-emails`: who is mailed, or why not. Pure.

Fields: "DV SSL: resend emails" page. What that page leaves open is a switch (switches.py). Refusals that it does not
document have the code `undocumented|...`, so that no client relies on a code that DigiCert never published.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from .orders import DV_TYPE, OPEN, Order, Switches, scope_of, without_wildcard

# Baseline Requirements 3.2.2.4.4
CONSTRUCTED = ("admin", "administrator", "webmaster", "hostmaster", "postmaster")

Mail = dict[str, str]
_Statuses = dict[str, set[str]]  # of the names of an order, by name or by scope
_ENTRY = ("domain", "email", "email_domain")  # the first two are required


class Refused(Exception):
    """The call is refused with this status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def plan_mails(order: Order, body: bytes, switches: Switches) -> tuple[list[Mail], str | None]:
    """Return the mails ({to, domain, email_domain?}) that the call causes, and their locale. Raises Refused."""
    fields = _parse_body(body, switches)
    locale = fields.get("locale")
    for switch, wrong, message in (
        ("not_pending", order.status not in OPEN, f"Order is {order.status}"),
        ("not_dv", order.product_type.lower() != DV_TYPE, "Order is not a DV order"),
        ("not_email_dcv", order.dcv_method != "email", f"DCV method is {order.dcv_method}"),
    ):
        if wrong and switches[switch] == "reject":
            raise _undocumented(switch, message)
        if wrong and switches[switch] == "ignore":
            return [], locale
    wanted = fields.get("domain_approval_emails")
    if wanted == [] and switches["empty_list"] == "reject":
        raise _undocumented("empty_list", "domain_approval_emails is empty")
    mails = []
    if wanted:
        names, scopes = _statuses(order, without_wildcard), _statuses(order, partial(scope_of, order.name_scope))
        mails = [mail for entry in wanted if (mail := _check(order, names, scopes, entry, switches))]
    # The domain-level page says that the defaults are mailed if no address is left; assumed for orders too.
    mails = mails or default_mails(order)
    if not mails and switches["nothing_outstanding"] == "reject":
        raise _undocumented("nothing_outstanding", "All names are approved")
    return mails, locale


def default_mails(order: Order) -> list[Mail]:
    """Return the five constructed addresses at every name that is not approved yet."""
    names = dict.fromkeys(without_wildcard(name) for name, status in order.names if status != "approved")
    return [{"to": f"{local}@{name}", "domain": name} for name in names for local in CONSTRUCTED]


def _parse_body(body: bytes, switches: Switches) -> dict[str, Any]:
    """Parse the body, and check the types of its fields."""
    try:
        fields = json.loads(body) if body.strip() else None
    except (ValueError, RecursionError):  # errors page: bad_request_format
        raise Refused(400, "bad_request_format", "Bad request format") from None
    if fields is None and switches["no_body"] == "accept":
        fields = {}  # a client of 2018 sends `null` here
    if not isinstance(fields, dict):
        raise Refused(400, "bad_request_format", "Bad request format")
    _check_names(fields, ("domain_approval_emails", "locale"), switches)
    _check_entries(fields.get("domain_approval_emails", []), switches)
    if "locale" in fields:
        accepted = switches["locales"]
        if not isinstance(fields["locale"], str) or (accepted is not None and fields["locale"] not in accepted):
            raise _undocumented("invalid_field", "locale is not accepted")
    return fields


def _check_entries(entries: Any, switches: Switches) -> None:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _undocumented("invalid_field", "domain_approval_emails must be an array of objects")
    for entry in entries:
        _check_names(entry, _ENTRY, switches)
        for name in _ENTRY if "email_domain" in entry else _ENTRY[:2]:
            if not isinstance(entry.get(name), str) or not entry[name]:
                raise _undocumented("invalid_field", f"{name} must be a string")
        if entry["email"].count("@") != 1:
            raise _undocumented("invalid_field", "email must be one address")


def _check_names(fields: dict[str, Any], known: tuple[str, ...], switches: Switches) -> None:
    unknown = sorted(set(fields) - set(known))
    if unknown and switches["unknown_fields"] == "reject":
        raise _undocumented("unknown_field", f"{unknown[0]} is unknown")


def _check(order: Order, names: _Statuses, scopes: _Statuses, entry: Mail, switches: Switches) -> Mail | None:
    """Return the mail of one entry, or None if it is to be ignored."""
    domain, email_domain = without_wildcard(entry["domain"]), entry.get("email_domain", entry["domain"])
    statuses = names.get(domain, scopes.get(domain))
    if entry["domain"].startswith("*.") and switches["wildcard_domain"] == "reject":
        raise _undocumented("wildcard_domain", f"{entry['domain']} is not accepted")
    for switch, wrong, message in (
        ("scope_as_domain", domain in scopes and domain not in names, f"{entry['domain']} is only a scope"),
        ("unknown_domain", statuses is None, f"{entry['domain']} is not on the order"),
        ("approved_name", statuses == {"approved"}, f"{entry['domain']} is approved already"),
        (
            "foreign_address",
            not _may_approve(order, domain, without_wildcard(email_domain), entry["email"]),
            "Address not allowed",
        ),
    ):
        if wrong and switches[switch] == "reject":
            raise _undocumented(switch, message)
        if wrong and switches[switch] == "ignore":
            return None
    mail = {"to": entry["email"], "domain": entry["domain"]}
    return mail | ({"email_domain": entry["email_domain"]} if "email_domain" in entry else {})


def _statuses(order: Order, key: Callable[[str], str]) -> _Statuses:
    """Return the statuses of the order's names, grouped by a key of the name."""
    statuses: _Statuses = {}
    for name, status in order.names:
        statuses.setdefault(key(name), set()).add(status)
    return statuses


def _may_approve(order: Order, domain: str, email_domain: str, email: str) -> bool:
    """Allow addresses constructed at the domain or at its parent `email_domain` (change log), and any DNS contact."""
    local, _, host = email.lower().rpartition("@")
    above = (domain == email_domain or domain.endswith("." + email_domain)) and "." in email_domain
    constructed = local in CONSTRUCTED and host == email_domain and above
    return constructed or email.lower() in (contact.lower() for contact in order.contacts)


def _undocumented(what: str, message: str) -> Refused:
    return Refused(400, f"undocumented|{what}", message)
