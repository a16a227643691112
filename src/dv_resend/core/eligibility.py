"""Which orders an email can help, and which of their names still need one. Pure."""

from dataclasses import replace
from typing import TYPE_CHECKING

from dv_resend.core.recipients import shortened
from dv_resend.core.requests import Skipped
from dv_resend.errors import OrderNotEligible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dv_resend.core.orders import Order, OrderStatus
    from dv_resend.core.requests import ResendRequest

# Compared without case. Not a list of product ids: products come and go, the type stays (product and order pages).
DV_PRODUCT_TYPE = "dv_ssl_certificate"
PENDING_STATUSES = frozenset({"pending", "reissue_pending"})


def is_dv(product_type: str | None) -> bool:
    """Whether a product is validated by domain only, so that the order-level resend serves it."""
    return (product_type or "").casefold() == DV_PRODUCT_TYPE


def is_reissue(status: str | None) -> bool:
    """Whether the order has a certificate already, and a new one is waiting for validation."""
    return (status or "").casefold() == "reissue_pending"


def check_eligible(order: "Order") -> None:
    """Raise `OrderNotEligible`, which says what to do instead, unless a DCV email can help this order."""
    name = f"Order {order.order_id}"
    if not is_dv(order.product_type):
        raise OrderNotEligible(
            "not_dv",
            f"{name} is of type {order.product_type or 'unknown'}, not {DV_PRODUCT_TYPE}. Its domains are validated "
            "one by one: use DigiCert's domain-level resend (PUT /services/v2/domain/{domain_id}/dcv/emails).",
        )
    check_waiting(order)
    if (order.dcv_method or "").casefold() != "email":
        raise OrderNotEligible(
            "not_email_dcv",
            f"{name} is validated by {order.dcv_method or 'an unknown method'}, not by email. Complete that "
            "validation, or change the order's DCV method to email in CertCentral.",
        )


def check_waiting(order: "Order") -> None:
    """Raise `OrderNotEligible`, which says what to do instead, unless the order is waiting for validation."""
    name = f"Order {order.order_id}"
    status = (order.status or "").casefold()
    if status == "needs_approval":
        raise OrderNotEligible(
            "needs_approval",
            f"{name} is waiting for an administrator's approval, which no email can give. Approve it in CertCentral "
            "first.",
        )
    if status not in PENDING_STATUSES:
        raise OrderNotEligible(
            "not_pending",
            f"The status of {name.lower()} is {order.status or 'unknown'}; only a pending order or reissue is waiting "
            "for an email. There is nothing to resend.",
        )


def without_validated(
    request: "ResendRequest", validation: "OrderStatus", waiting: "Sequence[str] | None" = None
) -> "ResendRequest":
    """Skip the named recipients whose name is validated; raise `OrderNotEligible` if nothing is left to validate.

    ``waiting`` are the names that wait for an email, if not all that are not validated do.
    """
    validated = [recipient for recipient in request.recipients if validation.validated(recipient.domain)]
    if validation.all_validated:
        raise OrderNotEligible(
            "already_validated",
            f"All names of order {request.order_id} are already validated: no email is needed. CertCentral issues the "
            "certificate next; if it does not, look at the order there.",
        )
    if validated and len(validated) == len(request.recipients):
        raise OrderNotEligible(
            "already_validated",
            f"The requested names are already validated. Order {request.order_id} is still waiting for "
            f"{shortened(_unvalidated(validation) if waiting is None else waiting) or 'other names'}: name recipients "
            "for those, or leave the recipients out.",
        )
    # Whether CertCentral takes another spelling of a name is not documented. It might mail everybody instead.
    remaining = [
        replace(recipient, domain=validation.spelling_of(recipient.domain))
        for recipient in request.recipients
        if recipient not in validated
    ]
    return request.narrowed_to(remaining, [Skipped(recipient, "validated") for recipient in validated])


def _unvalidated(validation: "OrderStatus") -> list[str]:
    return [name for name in validation.names or [] if not validation.validated(name)]
