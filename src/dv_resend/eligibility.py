"""Which orders an email can help, and which of their names still need one. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from dv_resend import recipients
from dv_resend.errors import OrderNotEligible
from dv_resend.models import Order, OrderStatus, ResendRequest
from dv_resend.recipients import Contacts

# Compared without case. Never a list of product ids: products come and go, the type stays
# (CertCentral's product and order pages).
DV_PRODUCT_TYPE = "dv_ssl_certificate"
PENDING_STATUSES = frozenset({"pending", "reissue_pending"})


def is_dv(product_type: str | None) -> bool:
    """Whether a product is validated by domain only, so that the order-level resend serves it."""
    return (product_type or "").casefold() == DV_PRODUCT_TYPE


def check_eligible(order: Order) -> None:
    """Raise `OrderNotEligible`, with what to do instead, unless a DCV email can help this order."""
    name = f"Order {order.order_id}"
    if not is_dv(order.product_type):
        raise OrderNotEligible(
            "not_dv",
            f"{name} is of type {order.product_type or 'unknown'}, not {DV_PRODUCT_TYPE}. Its domains are validated "
            "one by one: use DigiCert's domain-level resend (PUT /services/v2/domain/{domain_id}/dcv/emails).",
        )
    if order.status == "needs_approval":
        raise OrderNotEligible(
            "needs_approval",
            f"{name} waits for an administrator's approval, which no email can give. Approve it in CertCentral first.",
        )
    if order.status not in PENDING_STATUSES:
        raise OrderNotEligible(
            "not_pending",
            f"{name} is {order.status or 'of unknown status'}; only a pending order or reissue waits for an email. "
            "There is nothing to resend.",
        )
    if order.dcv_method != "email":
        raise OrderNotEligible(
            "not_email_dcv",
            f"{name} is validated by {order.dcv_method or 'an unknown method'}, not by email. Finish that validation, "
            "or change the order's DCV method to email in CertCentral.",
        )


def decide(
    request: ResendRequest,
    order: Order,
    validation: OrderStatus,
    contacts: Mapping[str, Contacts],
    *,
    check_recipients: bool,
) -> ResendRequest:
    """Return what is left of ``request`` to be sent, or raise why it may not be.

    ``validation`` is completed with the order's own names. Raises `OrderNotEligible`, `RecipientNotAllowed`,
    `RecipientUnverified`. What is wrong with the order as a whole goes before what is wrong with a recipient.
    """
    check_eligible(order)
    left = without_validated(request, validation)
    if check_recipients:
        recipients.check(left.recipients, validation, contacts)
    return left


def without_validated(request: ResendRequest, validation: OrderStatus) -> ResendRequest:
    """Skip the named recipients whose name is validated; raise `OrderNotEligible` if nothing is left to validate."""
    skipped = tuple(recipient for recipient in request.recipients if validation.validated(recipient.domain))
    if validation.all_validated:
        raise OrderNotEligible(
            "already_validated",
            f"All names of order {request.order_id} are validated already: no email is needed. The certificate follows "
            "by itself; if it does not, look at the order in CertCentral.",
        )
    if skipped and len(skipped) == len(request.recipients):
        raise OrderNotEligible(
            "already_validated",
            f"The names that were asked for are validated already. Order {request.order_id} still waits for "
            f"{_waiting(validation)}: name somebody for those, or leave the recipients out.",
        )
    left = tuple(recipient for recipient in request.recipients if recipient not in skipped)
    return replace(request, recipients=left, skipped=skipped)


def _waiting(validation: OrderStatus) -> str:
    names = [name for name in validation.names or [] if not validation.validated(name)]
    return recipients.shortened(names) or "others"
