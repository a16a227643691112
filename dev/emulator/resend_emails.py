"""`PUT order/certificate/{id}/resend-emails`: who is mailed, or why not. Pure.

Fields: "DV SSL: resend emails" page. What that page leaves open is a switch (switches.py).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from .orders import OPEN, Order, Switches, scope_of, without_wildcard
from .request_body import apply_policies, check_names, parse_body, undocumented

# Baseline Requirements 3.2.2.4.4
CONSTRUCTED = ("admin", "administrator", "webmaster", "hostmaster", "postmaster")

Mail = dict[str, str]
_Statuses = dict[str, set[str]]  # of the names of an order, by name or by scope
_ENTRY = ("domain", "email", "email_domain")  # the first two are required


def plan_mails(order: Order, body: bytes, switches: Switches) -> tuple[list[Mail], str | None]:
    """Return the mails ({to, domain, email_domain?}) that the call causes, and their locale. Raises Refused."""
    fields = parse_body(body, ("domain_approval_emails", "locale"), switches)
    _check_entries(fields.get("domain_approval_emails", []), switches)
    locale = fields.get("locale")
    policies = (
        ("not_pending", order.status not in OPEN, f"Order is {order.status}"),
        ("not_dv", not order.is_dv, "Order is not a DV order"),
        ("not_email_dcv", order.dcv_method != "email", f"DCV method is {order.dcv_method}"),
    )
    if not apply_policies(policies, switches):
        return [], locale
    wanted = fields.get("domain_approval_emails")
    if wanted == [] and switches["empty_list"] == "reject":
        raise undocumented("empty_list", "domain_approval_emails is empty")
    mails = []
    if wanted:
        names, scopes = _statuses(order, without_wildcard), _statuses(order, partial(scope_of, order.name_scope))
        mails = [mail for entry in wanted if (mail := _check(order, names, scopes, entry, switches))]
    # The domain-level page says that the defaults are mailed if no address is left; assumed for orders too.
    mails = mails or default_mails(order)
    if not mails and switches["nothing_outstanding"] == "reject":
        raise undocumented("nothing_outstanding", "All names are approved")
    return mails, locale


def default_mails(order: Order) -> list[Mail]:
    """Return the five constructed addresses at every name that is not approved yet."""
    names = dict.fromkeys(without_wildcard(name) for name, status in order.names if status != "approved")
    return [{"to": address, "domain": name} for name in names for address in constructed_addresses(name)]


def constructed_addresses(domain: str) -> list[str]:
    """Return the five addresses that every domain has."""
    return [f"{local}@{domain}" for local in CONSTRUCTED]


def _check_entries(entries: Any, switches: Switches) -> None:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise undocumented("invalid_field", "domain_approval_emails must be an array of objects")
    for entry in entries:
        check_names(entry, _ENTRY, switches)
        for name in _ENTRY if "email_domain" in entry else _ENTRY[:2]:
            if not isinstance(entry.get(name), str) or not entry[name]:
                raise undocumented("invalid_field", f"{name} must be a string")
        if entry["email"].count("@") != 1:
            raise undocumented("invalid_field", "email must be one address")


def _check(order: Order, names: _Statuses, scopes: _Statuses, entry: Mail, switches: Switches) -> Mail | None:
    """Return the mail of one entry, or None if it is to be ignored."""
    domain, email_domain = without_wildcard(entry["domain"]), entry.get("email_domain", entry["domain"])
    statuses = names.get(domain, scopes.get(domain))
    if entry["domain"].startswith("*.") and switches["wildcard_domain"] == "reject":
        raise undocumented("wildcard_domain", f"{entry['domain']} is not accepted")
    policies = (
        ("scope_as_domain", domain in scopes and domain not in names, f"{entry['domain']} is only a scope"),
        ("unknown_domain", statuses is None, f"{entry['domain']} is not on the order"),
        ("approved_name", statuses == {"approved"}, f"{entry['domain']} is approved already"),
        (
            "foreign_address",
            not _may_approve(order, domain, without_wildcard(email_domain), entry["email"]),
            "Address not allowed",
        ),
    )
    if not apply_policies(policies, switches):
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
