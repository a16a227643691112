"""The use case: one resend, from a valid request to a recorded outcome."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dv_resend.errors import OrderNotEligible, OutcomeUnknown, ResendError, ResendInProgress, SendingPaused
from dv_resend.models import Claim, HeldClaim, Order, ResendPlan, ResendRequest, ResendResult, utc

if TYPE_CHECKING:
    from dv_resend.certcentral import CertCentral
    from dv_resend.claims import Claims

# Compared without case. Never a list of product ids: products come and go, the type stays
# (CertCentral's product and order pages).
DV_PRODUCT_TYPE = "dv_ssl_certificate"
PENDING_STATUSES = frozenset({"pending", "reissue_pending"})


@dataclass(frozen=True)
class Invocation:
    """The call that this runs in: its end, in seconds since the epoch, and the id that its redeliveries share.

    ``announce`` is called with the claim's key just before the emails are sent: should the function be killed then,
    what it wrote is the only trace. If it raises a `ResendError`, nothing is sent.
    """

    ends_at: float
    delivery_id: str
    announce: Callable[[str], None] = lambda _claim_key: None


def resend(
    request: ResendRequest,
    invocation: Invocation,
    *,
    certcentral: "CertCentral",
    claims: "Claims",
    sending: bool,
    clock: Callable[[], float] = time.time,
) -> ResendResult | ResendPlan:
    """Have the emails of ``request`` sent again, unless that happened inside the cool-down.

    Repeating it is safe: a repeat is answered as a duplicate, or with the same doubt. Raises any `ResendError`;
    `OutcomeUnknown` alone means that the email may have been sent.
    """
    if not sending and not request.dry_run:
        raise SendingPaused("Sending is switched off (SENDING=off); nothing was sent. Try again when it is on.")
    check_eligible(certcentral.get_order(request.order_id, invocation.ends_at))
    if request.dry_run:
        plan = _plan(request, claims.read(request.claim_key), invocation, clock())
        return plan if sending else replace(plan, paused=True)
    return send(request, invocation, certcentral=certcentral, claims=claims, clock=clock)


def send(
    request: ResendRequest,
    invocation: Invocation,
    *,
    certcentral: "CertCentral",
    claims: "Claims",
    clock: Callable[[], float] = time.time,
) -> ResendResult:
    """Claim the emails of ``request``, send them and record the outcome, or answer a repeat.

    The order must have been found eligible just before. Safe to repeat, and raises, as `resend`.
    """
    now = clock()
    claim = claims.acquire(
        request.claim_key,
        now=now,
        deadline=invocation.ends_at,
        force_id=invocation.delivery_id if request.force else None,
    )
    if not isinstance(claim, HeldClaim):
        return repeat_of(request, claim, now)
    try:
        invocation.announce(claim.key)
        certcentral.resend_emails(request.order_id, request.upstream_body, invocation.ends_at)
    except OutcomeUnknown as error:
        claims.record_unknown(claim)
        error.retry_after = _seconds_until(claim.expiration, clock())
        raise
    except ResendError:
        claims.release(claim)
        raise
    # Whatever else it was, it may have come after the sending.
    except BaseException:
        claims.record_unknown(claim)
        raise
    sent_at = int(clock())
    claims.record_sent(claim, sent_at)
    return ResendResult(request, "sent", sent_at, _seconds_until(claim.expiration, sent_at))


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


def _plan(request: ResendRequest, claim: Claim | None, invocation: Invocation, now: float) -> ResendPlan:
    state = "expired" if claim is None else claim.state(now)
    if claim is None or state == "expired":
        return ResendPlan(request, "sent")
    if state == "sending":
        return ResendPlan(request, "ResendInProgress", claim.deadline)
    if request.force and invocation.delivery_id not in claim.forced_by:
        return ResendPlan(request, "sent")
    return ResendPlan(request, "duplicate" if state == "sent" else "OutcomeUnknown", claim.expiration)


def repeat_of(request: ResendRequest, claim: Claim, now: float) -> ResendResult:
    """Answer a call that found ``claim`` in its way: a duplicate, or `ResendInProgress`, or `OutcomeUnknown`."""
    match claim.state(now):
        case "sent" if claim.sent_at is not None:
            return ResendResult(request, "duplicate", claim.sent_at, _seconds_until(claim.expiration, now))
        case "sending":
            raise ResendInProgress(
                f"The same emails of order {request.order_id} are being sent right now. Try again shortly.",
                retry_after=_seconds_until(claim.deadline, now),
            )
        case _:
            raise OutcomeUnknown(
                f"An earlier resend of order {request.order_id} may or may not have been sent; it is not repeated "
                f"before {utc(claim.expiration)}. Look at the order, or force another.",
                retry_after=_seconds_until(claim.expiration, now),
            )


def _seconds_until(moment: int, now: float) -> int:
    return max(1, round(moment - now))
