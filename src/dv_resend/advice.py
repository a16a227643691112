"""What a dry run advises: plain sentences, the most useful first. Pure."""

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from dv_resend.errors import OrderNotEligible, RecipientNotAllowed
from dv_resend.models import bare, utc
from dv_resend.recipients import shortened

if TYPE_CHECKING:
    from dv_resend.explain import Refusal, ResendPlan

# How long a link may be used (BR 3.2.2.4.4, .13 and .14: the random value, from its creation).
LINK_DAYS = 30
# From this day a CA must not rely on validation by email (ballot SC-090; BR 3.2.2.4.4, .13 and .14).
EMAIL_VALIDATION_ENDS = date(2028, 3, 15)
# When it is worth saying that a link is about to expire.
SOON_DAYS = 5
SENDER = "no-reply@digitalcertvalidation.com"

_OTHER_METHOD = "change the order's DCV method to dns-txt-token in CertCentral."
_DELIVERY = (
    f"The emails come from {SENDER} and may take an hour: look into the spam folder and the quarantine, and allow that "
    "sender."
)


def advise(plan: "ResendPlan") -> list[str]:
    """Say what to do, in plain sentences, the most useful first."""
    today = datetime.fromtimestamp(plan.at, UTC).date()
    if isinstance(plan.refusal, OrderNotEligible):
        return list(_hindrances(plan))
    if today >= EMAIL_VALIDATION_ENDS:
        ended = f"Email validation ended on {EMAIL_VALIDATION_ENDS}, for every CA: {_OTHER_METHOD}"
        return [ended, *_hindrances(plan)]
    advice = [*_hindrances(plan), *_mailboxes(plan), *_age(plan)]
    if plan.refusal is None:
        advice += [*_recipients(plan), _DELIVERY]
    days = (EMAIL_VALIDATION_ENDS - today).days
    return [
        *advice,
        f"Email validation ends on {EMAIL_VALIDATION_ENDS}, in {days} days, for every CA: plan the move to DNS.",
    ]


def _hindrances(plan: "ResendPlan") -> Iterator[str]:
    """Say what would keep anything from being sent, or should."""
    yield from _said(plan.refusal)
    if plan.doubt is not None:
        for said in _said(plan.doubt):
            yield f"The check of recipients is switched off (RECIPIENT_CHECK=off); it would say: {said}"
    if plan.paused:
        yield "Sending is switched off (SENDING=off): nothing would be sent now."
    until = utc(plan.until) if plan.until is not None else ""
    match plan.would_be:
        case "duplicate":
            yield f"The same emails were sent already: before {until} a repeat sends nothing, unless it is forced."
        case "OutcomeUnknown":
            yield (
                f"An earlier resend may or may not have been sent: it is not repeated before {until}, unless it is "
                "forced. Ask the recipients first."
            )
        case "ResendInProgress":
            yield "The same emails are being sent right now. Look again shortly."


def _said(refusal: "Refusal | None") -> list[str]:
    match refusal:
        case RecipientNotAllowed(refused=refused):
            return [f"{path}: {why}" for path, why in refused]
        case None:
            return []
        case _:
            return [refusal.message]


def _mailboxes(plan: "ResendPlan") -> Iterator[str]:
    """Say which mailboxes cannot be reached."""
    named = set()
    unreachable: dict[str, set[str]] = {}
    for name in plan.names:
        if name.mailed != "default":
            hosts = {address.rpartition("@")[2] for address in name.mailed}
            named |= {host for host in hosts if name.takes_mail.get(host) is False}
        # By default, mail goes to the name or to where it is validated: which, is not documented.
        elif all(name.takes_mail.get(bare(place), False) is False for place in {name.name, name.scope or name.name}):
            elsewhere = [other for other, takes_mail in name.takes_mail.items() if takes_mail]
            unreachable.setdefault(_some(elsewhere), set()).add(bare(name.name))
    if named:
        yield f"There is no MX record at {_some(named)}: an address there gets no mail. Name another one."
    for reachable, hosts in unreachable.items():
        remedy = (
            f"Name an accepted address at {reachable} instead."
            if reachable
            else "Publish one, or a contact (TXT at _validation-contactemail under the name), or " + _OTHER_METHOD
        )
        yield f"There is no MX record at {_some(hosts)}: the default addresses there get no mail. {remedy}"
    untold = {host for name in plan.names for host, takes_mail in name.takes_mail.items() if takes_mail is None}
    untold |= {bare(name.name) for name in plan.names if not name.contacts_known}
    if untold:
        yield (
            f"DNS did not tell all in time of {_some(untold)}: more may be accepted, or not take mail. Look again; if "
            "it stays so, check DNS_SERVERS."
        )


def _age(plan: "ResendPlan") -> Iterator[str]:
    """Say when links expire. An order that is refused has none that matter."""
    if plan.refusal is not None or plan.age_days is None:
        return
    if plan.age_days > LINK_DAYS:
        yield (
            f"This order has waited for {plan.age_days} days: its links may have expired, as they live {LINK_DAYS} "
            "days, and DigiCert does not say whether a resend renews them. If a fresh email's link is refused, "
            + _OTHER_METHOD
        )
    elif plan.age_days > LINK_DAYS - SOON_DAYS:
        yield (
            f"This order has waited for {plan.age_days} days: its links may expire on {plan.links_expire}. "
            "Have it approved before."
        )


def _recipients(plan: "ResendPlan") -> Iterator[str]:
    """Say who would be mailed, and who would not."""
    validated = {name.name for name in plan.names if name.validated}
    if validated:
        yield f"Nobody need be mailed about {_some(validated)}: validated already."
    forgotten = {name.name for name in plan.names if name.waits and not name.mailed}
    if forgotten:
        yield (
            f"Nobody would be mailed about {_some(forgotten)}, which still wait: name somebody for them too, or leave "
            "the recipients out."
        )
    if not plan.request.recipients:
        yield (
            "Nobody is named: DigiCert chooses, among the accepted addresses, whom it mails about each name that is "
            "not validated yet. Name the right person to be sure."
        )


def _some(names: Collection[str]) -> str:
    return shortened(sorted(names))
