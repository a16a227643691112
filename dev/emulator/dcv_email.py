"""The DCV email as its recipient reads it, and what following its link does. Pure.

Sender: "Use the Email DCV method" page. Subject: its older version. The text is not published, so it is the emulator's
own; what it holds (the domain, the order, a link to a page that confirms) is documented.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .orders import DAY, OPEN, Order, iso, parse_time, without_wildcard

SENDER = "no-reply@digitalcertvalidation.com"
LINK_PATH = "/validate/"
LINK_DAYS = 30  # Baseline Requirements 3.2.2.4.4: a random value is good for 30 days from its creation


@dataclass(frozen=True)
class Link:
    """An email's link, as of now: it validates `names`. If there are none, `reason` says why."""

    mail: dict[str, Any]
    names: tuple[str, ...]
    status: int  # of the response that shows it
    reason: str = ""


def subject(domain: str, order_id: int) -> str:
    """Return the subject of an email."""
    return f"[Action Required] Approve Certificate Request for {domain} {{Order #{order_id}}}"


def text_around_link(mail: dict[str, Any]) -> tuple[str, str]:
    """Return the text of an email, before and after its link."""
    domain = mail["domain"]
    last_day = iso(parse_time(mail["link_created_at"]) + LINK_DAYS * DAY)[:10]
    before = f"""\
Hello,

DigiCert received a request for a certificate that protects {domain} (order {mail["order_id"]}).
Before the certificate can be issued, somebody who controls {domain} must approve the request.

To approve it, open this link and follow the instructions on the page:

"""
    after = f"""

The link is valid until {last_day}.
If you do not know this request, do nothing: without your approval, no certificate is issued.
"""
    return before, after


def examine_link(mail: dict[str, Any], order: Order | None, now: float) -> Link:
    """Find out what following the link of an email would do."""
    if order is None:
        return Link(mail, (), 404, f"Order {mail['order_id']} does not exist any more.")
    covered = [(name, status) for name, status in order.names if _covers(mail, name)]
    names = tuple(name for name, status in covered if status != "approved")
    if not covered:
        return Link(mail, (), 404, f"{mail['domain']} is not on order {order.id} any more.")
    if not names:
        return Link(mail, (), 200, f"{mail['domain']} is already validated for order {order.id}.")
    if order.status not in OPEN:
        return Link(mail, (), 409, f"Order {order.id} is {order.status}, so nothing is left to validate.")
    if is_expired(mail, now):
        return Link(mail, (), 410, f"This link has expired: it was valid for {LINK_DAYS} days.")
    return Link(mail, names, 200)


def is_expired(mail: dict[str, Any], now: float) -> bool:
    """Return whether an email's link has expired."""
    return now - parse_time(mail["link_created_at"]) > LINK_DAYS * DAY


def approve(order: Order, names: Iterable[str]) -> Order:
    """Return the order with these names validated. Its status stays: issuing is a step of its own."""
    validated = frozenset(names)
    return replace(order, names=tuple((name, "approved" if name in validated else was) for name, was in order.names))


def _covers(mail: dict[str, Any], name: str) -> bool:
    """Return whether validating the email's domain validates the name: it is that domain, or below it.

    `approval_scope` is `subdomains` ("Order validation status" page); `email_domain` is a parent of `domain`, if given.
    """
    domain, parent = without_wildcard(mail["domain"]), without_wildcard(mail.get("email_domain", mail["domain"]))
    return _is_within(name, domain) or (_is_within(domain, parent) and _is_within(name, parent))


def _is_within(name: str, domain: str) -> bool:
    return f".{without_wildcard(name)}".endswith(f".{domain}")
