"""The DCV email as its recipient reads it, and what following its link does. Pure.

Sender: "Use the Email DCV method" page. Subject: its older version. The text is not published, so it is the emulator's
own; what it holds (the domain, the order, a link to a page that confirms) is documented.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .orders import DAY, OPEN, Order, is_within, iso, parse_time, without_wildcard

SENDER = "no-reply@digitalcertvalidation.com"
LINK_PATH = "/validate/"
LINK_DAYS = 30  # Baseline Requirements 3.2.2.4.4: a random value is good for 30 days from its creation


@dataclass(frozen=True)
class Link:
    """An email's link, as of now: it validates `names` of `orders`. If there are none, `reason` says why."""

    mail: dict[str, Any]
    names: tuple[str, ...]
    status: int  # of the response that shows it
    reason: str = ""
    orders: tuple[Order, ...] = ()


def subject(domain: str, order_id: int | None) -> str:
    """Return the subject of an email; one about a domain of the account has no order."""
    return f"[Action Required] Approve Certificate Request for {domain}" + (
        f" {{Order #{order_id}}}" if order_id else ""
    )


def text_around_link(mail: dict[str, Any]) -> tuple[str, str]:
    """Return the text of an email, before and after its link."""
    domain = mail["domain"]
    order = f" (order {mail['order_id']})" if mail["order_id"] else ""
    last_day = iso(parse_time(mail["link_created_at"]) + LINK_DAYS * DAY)[:10]
    before = f"""\
Hello,

DigiCert received a request for a certificate that protects {domain}{order}.
Before the certificate can be issued, somebody who controls {domain} must approve the request.

To approve it, open this link and follow the instructions on the page:

"""
    after = f"""

The link is valid until {last_day}.
If you do not know this request, do nothing: without your approval, no certificate is issued.
"""
    return before, after


def examine_link(mail: dict[str, Any], orders: Iterable[Order], now: float) -> Link:
    """Find out what following the link of an email would do.

    `orders` are those that the email may be about: its order if that exists, or else all OV and EV orders.
    """
    of_order = f"order {mail['order_id']}" if mail["order_id"] else None
    orders = tuple(orders)
    covered = [order for order in orders if any(_covers(mail, name) for name, _ in order.names)]
    current = [order for order in covered if order.status in OPEN] or covered
    open_names = {order: [name for name in order.open_names(now) if _covers(mail, name)] for order in current}
    waiting = tuple(order for order in current if open_names[order])
    if of_order and not orders:
        return Link(mail, (), 404, f"{of_order.capitalize()} does not exist any more.")
    if not covered:
        return Link(mail, (), 404, f"{mail['domain']} is not on {of_order or 'any OV or EV order'} any more.")
    if not waiting:
        return Link(mail, (), 200, f"{mail['domain']} is already validated{f' for {of_order}' if of_order else ''}.")
    if waiting[0].status not in OPEN:
        whose = f"{of_order.capitalize()} is {waiting[0].status}" if of_order else "No order that has it is pending"
        return Link(mail, (), 409, f"{whose}, so nothing is left to validate.")
    if is_expired(mail, now):
        return Link(mail, (), 410, f"This link has expired: it was valid for {LINK_DAYS} days.")
    names = dict.fromkeys(name for order in waiting for name in open_names[order])
    return Link(mail, tuple(names), 200, orders=waiting)


def is_expired(mail: dict[str, Any], now: float) -> bool:
    """Return whether an email's link has expired."""
    return now - parse_time(mail["link_created_at"]) > LINK_DAYS * DAY


def approve(order: Order, names: Iterable[str], now: float) -> Order:
    """Return the order with these names validated. Its status stays: issuing is a step of its own."""
    validated = dict.fromkeys(names, int(now))
    return replace(
        order,
        names=tuple((name, "approved" if name in validated else was) for name, was in order.names),
        approved_at=tuple((dict(order.approved_at) | validated).items()),
    )


def _covers(mail: dict[str, Any], name: str) -> bool:
    """Return whether validating the email's domain validates the name: it is that domain, or below it.

    `approval_scope` is `subdomains` ("Order validation status" page); `email_domain` is a parent of `domain`, if given.
    """
    domain, parent = without_wildcard(mail["domain"]), without_wildcard(mail.get("email_domain", mail["domain"]))
    return is_within(name, domain) or (is_within(domain, parent) and is_within(name, parent))
