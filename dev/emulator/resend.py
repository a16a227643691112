"""`PUT order/certificate/{id}/resend-emails`: who is mailed, or why not. Pure.

Fields: "DV SSL: resend emails" page. Whatever that page leaves open is a switch (switches.py), and its refusals carry
the code `undocumented|...`, so that no client comes to rely on a code which DigiCert never published.
"""

import json
from typing import Any

from .orders import DV_TYPE, OPEN, Order, Switches, bare

# Baseline Requirements 3.2.2.4.4
CONSTRUCTED = ("admin", "administrator", "webmaster", "hostmaster", "postmaster")

Mail = dict[str, str]
_ENTRY = ("domain", "email", "email_domain")  # the first two are required


class Refused(Exception):
    """The call is answered with this status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def plan_mails(order: Order, body: bytes, switches: Switches) -> tuple[list[Mail], str | None]:
    """The mails ({to, domain, email_domain?}) that the call causes, and their locale. Raises Refused."""
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
    mails = [mail for entry in wanted or [] if (mail := _check(order, entry, switches))]
    # The domain-level page: "if none is left, all defaults are mailed"; taken over for orders.
    mails = mails or default_mails(order)
    if not mails and switches["nothing_outstanding"] == "reject":
        raise _undocumented("nothing_outstanding", "All names are approved")
    return mails, locale


def default_mails(order: Order) -> list[Mail]:
    """The five constructed addresses at every name that is still to be approved."""
    names = dict.fromkeys(bare(name) for name, status in order.names if status != "approved")
    return [{"to": f"{local}@{name}", "domain": name} for name in names for local in CONSTRUCTED]


def _parse_body(body: bytes, switches: Switches) -> dict[str, Any]:
    """The fields, checked for type only."""
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


def _check(order: Order, entry: Mail, switches: Switches) -> Mail | None:
    """One entry as a mail, or None if it is to be ignored."""
    domain, email_domain = bare(entry["domain"]), entry.get("email_domain", entry["domain"])
    names = {bare(name): status for name, status in order.names}
    if entry["domain"].startswith("*.") and switches["wildcard_domain"] == "reject":
        raise _undocumented("wildcard_domain", f"{entry['domain']} is not accepted")
    for switch, wrong, message in (
        ("unknown_domain", domain not in names, f"{entry['domain']} is not on the order"),
        ("approved_name", names.get(domain) == "approved", f"{entry['domain']} is approved already"),
        ("foreign_address", not _may_approve(order, domain, bare(email_domain), entry["email"]), "Address not allowed"),
    ):
        if wrong and switches[switch] == "reject":
            raise _undocumented(switch, message)
        if wrong and switches[switch] == "ignore":
            return None
    mail = {"to": entry["email"], "domain": entry["domain"]}
    return mail | ({"email_domain": entry["email_domain"]} if "email_domain" in entry else {})


def _may_approve(order: Order, domain: str, email_domain: str, email: str) -> bool:
    """Constructed at the domain, or at the parent named by `email_domain` (change log); or a DNS contact anywhere."""
    local, _, host = email.lower().rpartition("@")
    above = (domain == email_domain or domain.endswith("." + email_domain)) and "." in email_domain
    constructed = local in CONSTRUCTED and host == email_domain and above
    return constructed or email.lower() in (contact.lower() for contact in order.contacts)


def _undocumented(what: str, message: str) -> Refused:
    return Refused(400, f"undocumented|{what}", message)
