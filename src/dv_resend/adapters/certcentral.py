"""CertCentral's Services API, as far as resends need it: six calls, and what their responses mean.

Where a page is named, the fact is from DigiCert's documentation (dev.digicert.com, Services API).
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from dv_resend.adapters.certcentral_http import Call
from dv_resend.core.addresses import MAX_EMAIL, to_a_label
from dv_resend.core.fields import parse_order_id
from dv_resend.core.orders import DomainEmails, ListedOrder, NameStatus, Order, OrderStatus
from dv_resend.core.timestamps import parse_timestamp
from dv_resend.core.untrusted_json import as_dict, printable_text
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ConfigurationError,
    InvalidRequest,
    OrderNotFound,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RequestRejected,
    ResendError,
)

if TYPE_CHECKING:
    from dv_resend.adapters.certcentral_http import CertCentralHttp
    from dv_resend.adapters.certcentral_response import Response

# A thousand orders, some of them with hundreds of names.
PAGE_LIMIT_BYTES = 8 * 1024 * 1024
PAGE_SIZE = 1000

# The longest domain name, and a wildcard's star (RFC 1035, 2.3.4).
MAX_NAME = 255

_ORDERS = "/order/certificate"
_DOMAINS = "/domain"
# What the addresses of a domain are listed under. Those of WHOIS are left out: no CA may use them (ballot SC-080).
_ADDRESS_LISTS = ("base_emails", "dns_txt_emails")
# 4xx that say that a server stopped waiting (408, 499) or wants the request again (425), not that nothing was done.
_GAVE_UP = frozenset({408, 425, 499})
_NOT_FOUND = frozenset({"not_found|order", "not_found"})


class CertCentralClient:
    """The client of one CertCentral account. It implements `core.ports.CertCentral`, which says what is raised.

    Each method takes the ``deadline`` of the invocation, in seconds since the epoch. A call whose time-outs could
    outlast it is not made: `CertCentralUnavailable`.

    Example:
        ``CertCentralClient(http).get_order(123456789, deadline).status``
    """

    def __init__(self, http: "CertCentralHttp", clock: Callable[[], float] = time.time) -> None:
        """Call through ``http``. ``clock`` gives seconds since the epoch."""
        self._http = http
        self._clock = clock

    def get_order(self, order_id: int, deadline: float) -> Order:
        """Return what decides whether a resend helps (order info page). Safe to repeat."""
        data, response = self._get_json(Call("GET", f"{_ORDERS}/{order_id}"), deadline)
        _require_same_order(data.get("id"), order_id, response)
        status = printable_text(data.get("status"))
        product_type = printable_text(as_dict(data.get("product")).get("type"))
        # Without these, it would be judged as an order that no email can help.
        if status is None or product_type is None:
            raise _not_the_thing_asked_for(response, "an order without status or product")
        return Order(
            order_id=order_id,
            status=status,
            product_type=product_type,
            dcv_method=printable_text(data.get("dcv_method")),
            waiting_since=_waiting_since(data),
            names=_names(as_dict(data.get("certificate")).get("dns_names")),
        )

    def list_orders(self, statuses: Iterable[str], offset: int, deadline: float) -> list[ListedOrder]:
        """Return one page of the orders in ``statuses``, oldest first; an empty page ends the list (list orders page).

        Safe to repeat.
        """
        query = {f"filters[status][{index}]": status for index, status in enumerate(statuses)}
        query |= {"sort": "date_created", "limit": str(PAGE_SIZE), "offset": str(offset)}
        call = Call("GET", f"{_ORDERS}?{urlencode(query)}", body_limit=PAGE_LIMIT_BYTES)
        data, response = self._get_json(call, deadline)
        rows = data.get("orders")
        page = [as_dict(row) for row in rows[:PAGE_SIZE]] if isinstance(rows, list) else []
        if not isinstance(rows, list) or (page and not any(page)):
            raise _not_the_thing_asked_for(response, "no list of orders")
        return [_listed_order(row) for row in page]

    def get_order_status(self, order_id: int, deadline: float) -> OrderStatus:
        """Return how far validation has come (validation status page). Safe to repeat."""
        data, response = self._get_json(Call("GET", f"{_ORDERS}/{order_id}/validation"), deadline)
        _require_same_order(data.get("order_id"), order_id, response)
        entries = data.get("dns_name_validations")
        now = self._clock()
        return OrderStatus(
            order_id=order_id,
            status=printable_text(data.get("order_status")),
            dcv_method=printable_text(data.get("order_dcv_method")),
            domains=tuple(
                _name_status(entry, now) for entry in map(as_dict, entries if isinstance(entries, list) else [])
            ),
            organization=_statuses(data.get("organization_validations")),
        )

    def get_domain_emails(self, domain_id: int, deadline: float) -> DomainEmails:
        """Return the addresses that a domain-level resend accepts (domain emails page). Safe to repeat."""
        data, response = self._get_json(Call("GET", f"{_DOMAINS}/{domain_id}/dcv/emails"), deadline)
        lists = [addresses for name in _ADDRESS_LISTS if isinstance(addresses := data.get(name), list)]
        if not lists:
            raise _not_the_thing_asked_for(response, "no list of addresses")
        scope = printable_text(data.get("name_scope"), MAX_NAME)
        return DomainEmails(
            scope=to_a_label(scope) if scope else None,
            addresses=tuple(address for addresses in lists for address in addresses if _is_address(address)),
        )

    def resend_emails(self, order_id: int, body: dict[str, object], deadline: float) -> None:
        """Have the DCV emails of an order sent again (resend-emails page; success is 204).

        Not safe to repeat: each success is an email to a person. Raises `OutcomeUnknown` if the email may or may not
        have been sent; every other error means that it was certainly not sent.
        """
        self._put(Call("PUT", f"{_ORDERS}/{order_id}/resend-emails", body), f"order {order_id}", deadline)

    def resend_domain_emails(self, domain_id: int, body: dict[str, object], deadline: float) -> None:
        """Have the DCV emails of a domain sent again (domain-level resend page; success is 204).

        As `resend_emails`, for orders that are not DV.
        """
        self._put(Call("PUT", f"{_DOMAINS}/{domain_id}/dcv/emails", body), f"domain {domain_id}", deadline)

    def _put(self, call: Call, subject: str, deadline: float) -> None:
        response = self._call(call, deadline)
        if not _says_sent(response):
            raise OutcomeUnknown(
                f"CertCentral answered the resend of {subject} with status {response.status} and "
                f"{response.description}. The email may or may not have been sent. Check whether it arrived before "
                "you force another one.",
                upstream_status=response.status,
                upstream_errors=response.errors,
            )

    def _get_json(self, call: Call, deadline: float) -> "tuple[dict[str, Any], Response]":
        """Return the object that a query is answered with, and the response that holds it."""
        response = self._call(call, deadline)
        if not 200 <= response.status < 300 or not isinstance(response.json, dict) or response.holds_errors:
            raise _not_the_thing_asked_for(response, response.description)
        return response.json, response

    def _call(self, call: Call, deadline: float) -> "Response":
        """Return the response; raise the error that it means if it is a refusal."""
        response = self._http.call(call, deadline)
        if 400 <= response.status < 500 and response.status not in _GAVE_UP:
            raise _refusal(call, response)
        return response


def _says_sent(response: "Response") -> bool:
    """Whether the response to a PUT says that it was done. A page, a text or an error with a 2xx says nothing."""
    if not 200 <= response.status < 300 or response.body is None:
        return False
    return not response.body or (response.is_json and not response.is_html and not response.holds_errors)


def _not_the_thing_asked_for(response: "Response", what: str) -> CertCentralUnavailable:
    """Return the error that says ``what`` arrived. Nothing follows from it for the order."""
    return CertCentralUnavailable(
        f"CertCentral did not answer with what was asked for, but with status {response.status} and {what}. Nothing "
        "was sent. Try again later.",
        retry_after=response.retry_after,
        upstream_status=response.status,
        upstream_errors=response.errors,
    )


def _refusal(call: Call, response: "Response") -> ResendError:
    """Return the error that a 4xx means (errors page, rate limits page). Nothing was sent."""
    status, codes = response.status, response.codes
    upstream: dict[str, Any] = {"upstream_status": status, "upstream_errors": response.errors}
    if response.rejects_key:
        return ApiKeyRejected("CertCentral rejects the API key. Store a valid key in the secret.", **upstream)
    # CertCentral's refusals have codes. Something else answered otherwise: a firewall, for example.
    if response.is_html or (not codes and (status in (401, 403) or (call.method == "GET" and status != 429))):
        return _not_the_thing_asked_for(response, response.description)
    if status == 403:
        # "Orders, Domains, Organizations" is a role of its own (glossary, API key roles).
        about_domain = not call.path.startswith(_ORDERS)
        role = "orders and domains" if about_domain else "orders"
        denied = PermissionDenied(
            f"The API key is not allowed to do this. Check its role ({role}), its user's access and the account's IP "
            "rules.",
            **upstream,
        )
        denied.about_domain = about_domain
        return denied
    if status == 429:
        return RateLimited(
            "CertCentral's request limit is reached. Nothing was sent.", retry_after=response.retry_after, **upstream
        )
    if status == 404 and ("not_found|route" in codes or (codes & _NOT_FOUND and call.path.startswith(f"{_ORDERS}?"))):
        return ConfigurationError("CertCentral does not know this path. Check CERTCENTRAL_BASE_URL.", **upstream)
    if status == 404 and codes & _NOT_FOUND and call.path.startswith(_ORDERS):
        return OrderNotFound(
            "CertCentral knows no such order under this key. Check the order id and the account.", **upstream
        )
    return RequestRejected("CertCentral refused the request.", **upstream)


def _waiting_since(order: dict[str, Any]) -> datetime | None:
    """Return when the request was made that waits for validation; ``None`` if nothing tells.

    A reissue is among the order's ``requests``. How its type is spelt is not documented, so the newest request counts
    if none is called a reissue. Without dated requests, it is the date of the certificate.
    """
    if str(order.get("status")).casefold() != "reissue_pending":
        return parse_timestamp(order.get("date_created"))
    requests = order.get("requests")
    dated = [
        (moment, "reissue" in str(request.get("type")).casefold())
        for request in map(as_dict, requests if isinstance(requests, list) else [])
        if (moment := parse_timestamp(request.get("date"))) is not None
    ]
    reissues = [moment for moment, is_reissue in dated if is_reissue] or [moment for moment, _ in dated]
    if not reissues:
        return parse_timestamp(as_dict(order.get("certificate")).get("date_created"))
    return max(reissues)


def _name_status(entry: dict[str, Any], now: float) -> NameStatus:
    expires = parse_timestamp(entry.get("approval_expiration_date"))
    return NameStatus(
        scope=to_a_label(printable_text(entry.get("name_scope"), MAX_NAME) or ""),
        status=printable_text(entry.get("status")) or "unknown",
        names=_names(entry.get("dns_names")),
        expired=expires is not None and expires.timestamp() <= now,
        domain_id=_id(entry.get("domain_id")),
        method=printable_text(entry.get("method")),
    )


def _is_address(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_EMAIL and value.isprintable() and "@" in value


def _statuses(value: object) -> tuple[str, ...]:
    texts = (printable_text(as_dict(entry).get("status")) for entry in (value if isinstance(value, list) else []))
    return tuple(text for text in texts if text is not None)


def _names(value: object) -> tuple[str, ...]:
    texts = [printable_text(name, MAX_NAME) for name in (value if isinstance(value, list) else [])]
    return tuple(to_a_label(text) for text in texts if text is not None)


def _require_same_order(answered: object, order_id: int, response: "Response") -> None:
    if _id(answered) is None:
        raise _not_the_thing_asked_for(response, "no order")
    # In place of an order id, CertCentral also accepts a certificate's serial number (order info page).
    if str(answered) != str(order_id):
        raise OrderNotFound(f"CertCentral answered with another order than {order_id}. Check the order id.")


def _id(value: object) -> int | None:
    try:
        return parse_order_id(value)  # a number or, in some answers, a string
    except InvalidRequest:
        return None


def _listed_name(certificate: dict[str, Any]) -> str | None:
    """Return the common name, or else the first other name, in ASCII: what lists many names is limited in bytes."""
    others = certificate.get("dns_names")
    names = _names([certificate.get("common_name"), *(others[:1] if isinstance(others, list) else [])])
    # What is not ASCII by now is no domain name.
    return names[0].encode("ascii", "replace").decode() if names else None


def _listed_order(row: dict[str, Any]) -> ListedOrder:
    return ListedOrder(
        order_id=_id(row.get("id")),
        status=printable_text(row.get("status")),
        product_type=printable_text(as_dict(row.get("product")).get("type")),
        created=parse_timestamp(row.get("date_created")),
        name=_listed_name(as_dict(row.get("certificate"))),
    )
