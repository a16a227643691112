"""The use case behind ``{"action": "status"}``: how far the validation of an order has come."""

from typing import TYPE_CHECKING

from dv_resend.errors import CertCentralUnavailable
from dv_resend.models import OrderStatus

if TYPE_CHECKING:
    from dv_resend.certcentral import CertCentral


def status(order_id: int, ends_at: float, *, certcentral: "CertCentral") -> OrderStatus:
    """Ask CertCentral (one call) for the status of an order and of each of its names. Sends nothing; safe to repeat.

    Raises the errors of `CertCentral`.
    """
    found = certcentral.get_order_status(order_id, ends_at)
    if found.status is None:
        raise CertCentralUnavailable("CertCentral's answer holds no order status; try again later.")
    return found
