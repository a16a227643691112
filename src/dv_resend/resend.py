"""The use case: one resend, from a valid request to a recorded outcome."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dv_resend import recipients
from dv_resend.eligibility import decide
from dv_resend.errors import OutcomeUnknown, ResendError, ResendInProgress, SendingPaused
from dv_resend.models import Claim, HeldClaim, ResendRequest, ResendResult, utc

if TYPE_CHECKING:
    from dv_resend.certcentral import CertCentral
    from dv_resend.claims import Claims
    from dv_resend.dns_lookup import DnsLookup
    from dv_resend.explain import ResendPlan


@dataclass(frozen=True)
class Invocation:
    """The call that this runs in: its end, in seconds since the epoch, and the id that its redeliveries share.

    ``announce`` is called with what is about to be sent, just before: should the function be killed then, what it wrote
    is the only trace. If it raises a `ResendError`, nothing is sent. ``take_back`` is called once it is sure that
    nothing was sent, before the claim is given back; if it says no, the claim stays.
    """

    ends_at: float
    delivery_id: str
    announce: Callable[[ResendRequest], None] = lambda _request: None
    take_back: Callable[[], bool] = lambda: True


def resend(
    request: ResendRequest,
    invocation: Invocation,
    *,
    certcentral: "CertCentral",
    claims: "Claims",
    dns: Callable[[], "DnsLookup"],
    check_recipients: bool,
    sending: bool,
    clock: Callable[[], float] = time.time,
) -> "ResendResult | ResendPlan":
    """Have the emails of ``request`` sent again, unless that happened inside the cool-down. A dry run only explains.

    Named recipients whose name is validated already are skipped. Repeating it is safe: a repeat is answered as a
    duplicate, or with the same doubt. Raises any `ResendError`; `OutcomeUnknown` alone means that the email may have
    been sent.
    """
    if request.dry_run:
        # Only a dry run pays for the import.
        from dv_resend.explain import explain

        return explain(
            request,
            invocation,
            certcentral=certcentral,
            claims=claims,
            dns=dns,
            check_recipients=check_recipients,
            sending=sending,
            clock=clock,
        )
    if not sending:
        raise SendingPaused("Sending is switched off (SENDING=off); nothing was sent. Try again when it is on.")
    validation = certcentral.get_order_status(request.order_id, invocation.ends_at)
    outstanding = [each for each in request.recipients if not validation.listed_validated(each.domain)]
    places = recipients.places_to_look_up(outstanding, validation) if check_recipients else []
    contacts = dns().contacts(places) if places else {}
    # The last call before the sending.
    order = certcentral.get_order(request.order_id, invocation.ends_at)
    request = decide(request, order, validation.completed(order), contacts, check_recipients=check_recipients)
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

    The order must have been found eligible just before, with names left to validate. Safe to repeat, and raises, as
    `resend`.
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
        invocation.announce(request)
        certcentral.resend_emails(request.order_id, request.upstream_body, invocation.ends_at)
    except OutcomeUnknown as error:
        claims.record_unknown(claim)
        error.retry_after = _seconds_until(claim.expiration, clock())
        raise
    except ResendError:
        if invocation.take_back():
            claims.release(claim)
        raise
    # Whatever else it was, it may have come after the sending.
    except BaseException:
        claims.record_unknown(claim)
        raise
    sent_at = int(clock())
    claims.record_sent(claim, sent_at)
    return ResendResult(request, "sent", sent_at, _seconds_until(claim.expiration, sent_at))


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
