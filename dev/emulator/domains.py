"""`domain/{id}/dcv/emails`: who can approve a domain of the account, and whom a resend for it mails. Pure.

Fields: "Domain emails" and "Resend DCV email" pages. What they leave open is a switch (switches.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .orders import OPEN, Order, Switches, base_domain, is_within, scope_of
from .request_body import apply_policies, parse_body, undocumented
from .resend_emails import Mail, constructed_addresses

Published = Callable[[str], Iterable[str]]  # scope -> the contact addresses that its DNS publishes


@dataclass(frozen=True)
class Domain:
    """One domain of the account's list, with the OV and EV orders that have a name in it, whatever their status."""

    id: int
    name: str
    orders: tuple[Order, ...]

    @property
    def scopes(self) -> set[str]:
        """What `name_scope` may be: the domain itself, or the scope of a name in it."""
        scopes = (scope for order in self.orders for scope in scopes_of(order))
        return {self.name, *(scope for scope in scopes if is_within(scope, self.name))}


def scopes_of(order: Order) -> list[str]:
    """Return the scopes at which the order's names are validated."""
    return list(dict.fromkeys(scope_of(order.name_scope, name) for name, _ in order.names))


def domain_of(scope: str, switches: Switches) -> str:
    """Return the domain of the account's list that a scope belongs to."""
    return scope if switches["domain_ids"] == "per_scope" else base_domain(scope)


def domain_emails(domain: Domain, published: Published, switches: Switches) -> dict[str, Any]:
    """`GET domain/{id}/dcv/emails`."""
    view = {
        "name_scope": domain.name,
        "base_emails": constructed_addresses(domain.name),
        "whois_emails": [],
        "dns_txt_emails": _dns_contacts(domain, domain.name, published),
        "email_array": [],
    }
    hidden = {"name_scope": "emails_name_scope", "whois_emails": "emails_whois"}
    return {field: value for field, value in view.items() if switches.get(hidden.get(field, "")) != "absent"}


def plan_domain_mails(
    domain: Domain, body: bytes, published: Published, switches: Switches, now: float
) -> tuple[list[Mail], str | None]:
    """Return the mails ({to, domain}) that `PUT domain/{id}/dcv/emails` causes, and their locale. Raises Refused."""
    fields = parse_body(body, ("name_scope", "locale", "email_array"), switches)
    wanted, scope = fields.get("email_array", []), fields.get("name_scope", domain.name)
    if not isinstance(wanted, list) or not all(isinstance(address, str) for address in wanted):
        raise undocumented("invalid_field", "email_array must be an array of strings")
    if not isinstance(scope, str) or not scope:
        raise undocumented("invalid_field", "name_scope must be a string")
    scope = scope.lower()
    if not apply_policies(_policies(domain, scope, now), switches):
        return [], fields.get("locale")
    defaults = _addresses(domain, scope, published)
    # An address that GET lists for the domain is good for each scope in it: a parent's approval covers what is below.
    known = {address.lower() for address in (*defaults, *_addresses(domain, domain.name, published))}
    accepted = {address.lower(): address for address in wanted if address.lower() in known}
    if switches["unlisted_address"] == "reject" and len(accepted) < len({address.lower() for address in wanted}):
        raise undocumented("unlisted_address", "Address not allowed")
    # Same page: other addresses are ignored, and if none is left, all are mailed.
    return [{"to": address, "domain": scope} for address in accepted.values() or defaults], fields.get("locale")


def _policies(domain: Domain, scope: str, now: float) -> list[tuple[str, bool, str]]:
    if scope not in domain.scopes:
        return [("foreign_name_scope", True, f"{scope} does not belong to domain {domain.id}")]
    methods = _open_methods(domain, scope, now)
    return [
        ("domain_not_open", not methods, f"{scope} is approved already, or no pending order has it"),
        ("domain_not_email_dcv", bool(methods) and "email" not in methods, f"DCV method is {', '.join(methods)}"),
    ]


def _open_methods(domain: Domain, scope: str, now: float) -> list[str]:
    """Return the DCV methods of the names that wait for the scope's validation."""
    is_own = any(scope in scopes_of(order) for order in domain.orders)  # no: one id for a base domain
    waiting = (
        (order, name)
        for order in domain.orders
        if order.status in OPEN
        for name in order.open_names(now)
        if (scope_of(order.name_scope, name) == scope if is_own else is_within(name, scope))
    )
    return list(dict.fromkeys(order.method_of(name) for order, name in waiting))


def _addresses(domain: Domain, scope: str, published: Published) -> list[str]:
    return list(dict.fromkeys([*constructed_addresses(scope), *_dns_contacts(domain, scope, published)]))


def _dns_contacts(domain: Domain, scope: str, published: Published) -> list[str]:
    contacts = (contact for order in domain.orders for contact in order.contacts)
    return list(dict.fromkeys([*contacts, *published(scope)]))
