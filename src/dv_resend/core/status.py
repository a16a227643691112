"""The use case behind ``{"action": "status"}``: how far the validation of an order has come."""

from typing import TYPE_CHECKING

from dv_resend.errors import CertCentralUnavailable

if TYPE_CHECKING:
    from dv_resend.core.orders import OrderStatus
    from dv_resend.core.ports import CertCentral


def get_status(order_id: int, deadline: float, certcentral: "CertCentral") -> "OrderStatus":
    """Ask CertCentral, in one call, for the status of an order and of each of its names. Sends nothing; safe to repeat.

    Raises the errors of `CertCentral`.
    """
    status = certcentral.get_order_status(order_id, deadline)
    if status.status is None:
        raise CertCentralUnavailable("CertCentral's response holds no order status. Try again later.")
    return status
