"""CertCentral's Services API, as far as resends need it: four calls, and what their responses mean.

Where a page is named, the fact is from DigiCert's documentation (dev.digicert.com, Services API).
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from dv_resend.adapters.certcentral_http import Call
from dv_resend.core.addresses import to_a_label
from dv_resend.core.orders import ListedOrder, NameStatus, Order, OrderStatus
from dv_resend.core.requests import parse_order_id
from dv_resend.core.timestamps import parse_timestamp
from dv_resend.core.untrusted import as_dict, printable_text
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
)

if TYPE_CHECKING:
    from dv_resend.adapters.certcentral_http import CertCentralHttp, Response

# A thousand orders, some of them with hundreds of names.
PAGE_LIMIT_BYTES = 8 * 1024 * 1024
PAGE_SIZE = 1000

# The longest domain name, and a wildcard's star (RFC 1035, 2.3.4).
MAX_NAME = 255


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
        data = self._get_json(Call("GET", f"/order/certificate/{order_id}"), deadline)
        _require_same_order(data.get("id"), order_id)
        return Order(
            order_id=order_id,
            status=printable_text(data.get("status")),
            product_type=printable_text(as_dict(data.get("product")).get("type")),
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
        call = Call("GET", f"/order/certificate?{urlencode(query)}", body_limit=PAGE_LIMIT_BYTES)
        rows = self._get_json(call, deadline).get("orders")
        if not isinstance(rows, list):
            raise CertCentralUnavailable("CertCentral's response holds no list of orders. Try again later.")
        return [_listed_order(row) for row in map(as_dict, rows)]

    def get_order_status(self, order_id: int, deadline: float) -> OrderStatus:
        """Return how far validation has come (validation status page). Safe to repeat."""
        data = self._get_json(Call("GET", f"/order/certificate/{order_id}/validation"), deadline)
        _require_same_order(data.get("order_id"), order_id)
        entries = data.get("dns_name_validations")
        now = self._clock()
        return OrderStatus(
            order_id=order_id,
            status=printable_text(data.get("order_status")),
            dcv_method=printable_text(data.get("order_dcv_method")),
            domains=tuple(
                _name_status(entry, now) for entry in map(as_dict, entries if isinstance(entries, list) else [])
            ),
        )

    def resend_emails(self, order_id: int, body: dict[str, object], deadline: float) -> None:
        """Have the DCV emails of an order sent again (resend-emails page; success is 204, any 2xx is accepted).

        Not safe to repeat: each success is an email to a person. Raises `OutcomeUnknown` if the email may or may not
        have been sent; every other error means that it was certainly not sent.
        """
        response = self._call(Call("PUT", f"/order/certificate/{order_id}/resend-emails", body), deadline)
        if not 200 <= response.status < 300:
            raise OutcomeUnknown(
                f"CertCentral answered the resend of order {order_id} with status {response.status}. The email may "
                "have been sent. Check whether it arrived before you force another one.",
                upstream_status=response.status,
                upstream_errors=response.errors,
            )
        if response.body is None or response.is_html:
            raise OutcomeUnknown(
                f"The response to the resend of order {order_id} was cut off, or is a web page and not CertCentral's. "
                "The email may not have been sent. Check whether it arrived before you force another one.",
                upstream_status=response.status,
            )

    def _get_json(self, call: Call, deadline: float) -> dict[str, Any]:
        response = self._call(call, deadline)
        data = response.json if 200 <= response.status < 300 else None
        if not isinstance(data, dict):
            raise CertCentralUnavailable(
                f"CertCentral answered a query with status {response.status} and no usable data. Try again later.",
                retry_after=response.retry_after,
                upstream_status=response.status,
                upstream_errors=response.errors,
            )
        return data

    def _call(self, call: Call, deadline: float) -> "Response":
        response = self._http.call(call, deadline)
        _raise_for_status(call, response)
        return response


def _raise_for_status(call: Call, response: "Response") -> None:
    """Raise the error that a 4xx means; return for everything else (errors page, rate limits page)."""
    status, errors = response.status, response.errors
    if not 400 <= status < 500:
        return
    upstream: dict[str, Any] = {"upstream_status": status, "upstream_errors": errors}
    codes = {error.code for error in errors}
    if response.rejects_key:
        raise ApiKeyRejected("CertCentral rejects the API key. Store a valid key in the secret.", **upstream)
    if status == 403:
        raise PermissionDenied(
            "The API key is not allowed to do this. Check its role (orders), its user's access and the account's IP "
            "rules.",
            **upstream,
        )
    if status == 429:
        raise RateLimited(
            "CertCentral's request limit is reached. Nothing was sent.", retry_after=response.retry_after, **upstream
        )
    if status == 404 and "not_found|route" in codes:
        raise ConfigurationError("CertCentral does not know this path. Check CERTCENTRAL_BASE_URL.", **upstream)
    if status == 404 and codes & {"not_found|order", "not_found"}:
        raise OrderNotFound(
            "CertCentral knows no such order under this key. Check the order id and the account.", **upstream
        )
    # If a 4xx to a query has no codes of CertCentral's, something else answered: a firewall, for example.
    if call.method == "PUT" or codes:
        raise RequestRejected("CertCentral refused the request.", **upstream)


def _waiting_since(order: dict[str, Any]) -> datetime | None:
    """Return when the request was made that waits for validation.

    A reissue is among the order's ``requests``. How its type is spelt is not documented, so the newest request counts
    if none is called a reissue.
    """
    created = parse_timestamp(order.get("date_created"))
    if order.get("status") != "reissue_pending":
        return created
    requests = order.get("requests")
    dated = [
        (moment, "reissue" in str(request.get("type")).casefold())
        for request in map(as_dict, requests if isinstance(requests, list) else [])
        if (moment := parse_timestamp(request.get("date"))) is not None
    ]
    reissues = [moment for moment, is_reissue in dated if is_reissue] or [moment for moment, _ in dated]
    return max(reissues, default=None)


def _name_status(entry: dict[str, Any], now: float) -> NameStatus:
    expires = parse_timestamp(entry.get("approval_expiration_date"))
    return NameStatus(
        scope=to_a_label(printable_text(entry.get("name_scope"), MAX_NAME) or ""),
        status=printable_text(entry.get("status")) or "unknown",
        names=_names(entry.get("dns_names")),
        expired=expires is not None and expires.timestamp() <= now,
    )


def _names(value: object) -> tuple[str, ...]:
    texts = [printable_text(name, MAX_NAME) for name in (value if isinstance(value, list) else [])]
    return tuple(to_a_label(text) for text in texts if text is not None)


def _require_same_order(answered: object, order_id: int) -> None:
    # In place of an order id, CertCentral also accepts a certificate's serial number (order info page).
    if answered is not None and str(answered) != str(order_id):
        raise OrderNotFound(f"CertCentral answered with another order than {order_id}. Check the order id.")


def _listed_order(row: dict[str, Any]) -> ListedOrder:
    try:
        order_id = parse_order_id(row.get("id"))  # a number or, in some answers, a string
    except InvalidRequest:
        order_id = None
    return ListedOrder(
        order_id=order_id,
        status=printable_text(row.get("status")),
        product_type=printable_text(as_dict(row.get("product")).get("type")),
        created=parse_timestamp(row.get("date_created")),
    )
