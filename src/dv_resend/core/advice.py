"""What a dry run advises: plain sentences, the most useful first. Pure."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dv_resend.core.addresses import without_wildcard
from dv_resend.core.plan import EMAIL_VALIDATION_ENDS
from dv_resend.core.recipients import shortened
from dv_resend.core.reminders import LINK_LIFE
from dv_resend.core.timestamps import utc
from dv_resend.errors import OrderNotEligible, RecipientNotAllowed

if TYPE_CHECKING:
    from dv_resend.core.plan import DomainReport, Refusal, ResendPlan

# An expiry is worth mentioning this many days ahead.
SOON_DAYS = 5
SENDER = "no-reply@digitalcertvalidation.com"

_DELIVERY = (
    f"The emails come from {SENDER} and may take up to an hour. Check the spam folder and the quarantine, and allow "
    "that sender."
)


def advise(plan: "ResendPlan") -> list[str]:
    """Return what to do, the most useful sentence first."""
    today = datetime.fromtimestamp(plan.at, UTC).date()
    if isinstance(plan.refusal, OrderNotEligible):
        return list(_obstacles(plan))
    if today >= EMAIL_VALIDATION_ENDS:
        ended = f"Email validation ended on {EMAIL_VALIDATION_ENDS}, for every CA: {_other_method(plan)}"
        return [ended, *_obstacles(plan)]
    advice = [*_obstacles(plan), *_mailboxes(plan), *_age(plan)]
    if plan.refusal is None:
        advice += [*_recipients(plan), _DELIVERY]
    days = (EMAIL_VALIDATION_ENDS - today).days
    ends = f"Email validation ends on {EMAIL_VALIDATION_ENDS}, in {days} day{'' if days == 1 else 's'}, for every CA."
    return [*advice, f"{ends} Plan the move to DNS validation."]


def _obstacles(plan: "ResendPlan") -> Iterator[str]:
    """Say what would prevent the send, or should."""
    yield from _reasons(plan.refusal)
    for reason in _reasons(plan.unenforced_refusal):
        yield f"The check of recipients is switched off (RECIPIENT_CHECK=off). It would say: {reason}"
    if plan.paused:
        yield "Sending is switched off (SENDING=off): nothing would be sent now."
    if plan.domains is not None:
        yield from _domains(plan, plan.domains)
        return
    until = utc(plan.blocked_until) if plan.blocked_until is not None else ""
    match plan.would_be:
        case "duplicate":
            yield _repeated(plan, until)
        case "OutcomeUnknown":
            yield (
                f"An earlier resend may or may not have been sent. Until {until}, it is not repeated unless it is "
                "forced. Ask the recipients first."
            )
        case "ResendInProgress":
            yield "Emails of this order are being sent right now. Check again shortly."
        case "InvalidRequest":
            yield "Too many people were mailed about this order within two days. Leave the recipients out."


def _domains(plan: "ResendPlan", domains: "Sequence[DomainReport]") -> Iterator[str]:
    """Say about which domains nobody would be mailed, and why."""
    # A refusal has said it already.
    is_refused = isinstance(plan.refusal, OrderNotEligible)
    found: dict[str, list[DomainReport]] = {}
    for domain in domains:
        found.setdefault(domain.outcome, []).append(domain)
    for outcome, concerned in found.items():
        scopes = shortened([domain.scope for domain in concerned])
        times = [domain.blocked_until for domain in concerned if domain.blocked_until is not None]
        until = f"Until {utc(min(times))}, " if times else ""
        match outcome:
            case "duplicate":
                yield (
                    f"{scopes}: already mailed, perhaps about another order with this domain. {until}a repeat sends "
                    "nothing there unless it is forced."
                )
            case "OutcomeUnknown":
                yield (
                    f"{scopes}: an earlier resend may or may not have been sent. {until}it is not repeated unless it "
                    "is forced. Ask the recipients first."
                )
            case "ResendInProgress":
                yield f"{scopes}: emails are being sent right now. Check again shortly."
            case "InvalidRequest":
                yield f"{scopes}: too many people were mailed within two days. Leave the recipients out."
            case "not_email_dcv" if not is_refused:
                yield (
                    f"{scopes}: validated by another method, so no email is sent. Complete that validation, or change "
                    "the DCV method of the domain to email in CertCentral."
                )
    if plan.refusal is None or plan.organization_advice not in plan.refusal.message:
        yield from filter(None, [plan.organization_advice])


def _repeated(plan: "ResendPlan", until: str) -> str:
    """Say who was mailed as far as anybody knows: who DigiCert's default recipients are is not known."""
    match bool(plan.request.recipients), plan.perhaps_mailed:
        case True, False:
            return f"All of them were already mailed. Until {until}, a repeat sends nothing unless it is forced."
        case True, True:
            return (
                "DigiCert's default recipients were already mailed about this order; they may include those who are "
                f"named. Until {until}, a resend to them sends nothing unless it is forced. Ask them first."
            )
        case False, True:
            return (
                f"Somebody was already mailed about this order, perhaps not everybody. Until {until}, a resend to "
                "the default recipients sends nothing unless it is forced. Name those who are missing."
            )
        case _:
            return (
                f"DigiCert's default recipients were already mailed about this order. Until {until}, a further resend "
                "sends nothing unless it is forced, not even to somebody who is named: that may be one of them."
            )


def _reasons(refusal: "Refusal | None") -> list[str]:
    match refusal:
        case RecipientNotAllowed(refused=refused):
            return [f"{path}: {why}" for path, why in refused]
        case None:
            return []
        case _:
            return [refusal.message]


def _mailboxes(plan: "ResendPlan") -> Iterator[str]:
    """Say which mailboxes cannot receive mail."""
    named = set()
    unreachable: dict[str, set[str]] = {}
    for name in plan.names:
        if name.mailed != "default":
            hosts = {address.rpartition("@")[2] for address in name.mailed}
            named |= {host for host in hosts if name.has_mx.get(host) is False}
        # By default, DigiCert mails the name or the scope of its validation; which one is not documented.
        elif all(
            name.has_mx.get(without_wildcard(domain), False) is False for domain in {name.name, name.scope or name.name}
        ):
            elsewhere = [host for host, has_mx in name.has_mx.items() if has_mx]
            unreachable.setdefault(_some(elsewhere), set()).add(without_wildcard(name.name))
    if named:
        yield f"There is no MX record at {_some(named)}, so addresses there receive no mail. Name another address."
    for reachable, hosts in unreachable.items():
        remedy = (
            f"Name an accepted address at {reachable} instead."
            if reachable
            else f"Publish one, or a contact (TXT at _validation-contactemail below the name), or {_other_method(plan)}"
        )
        yield f"There is no MX record at {_some(hosts)}, so the default addresses there receive no mail. {remedy}"
    unanswered = {host for name in plan.names for host, has_mx in name.has_mx.items() if has_mx is None}
    unanswered |= {without_wildcard(name.name) for name in plan.names if not name.contacts_known}
    if unanswered:
        yield (
            f"DNS did not answer in time for {_some(unanswered)}. More addresses may be accepted there, or an MX "
            "record may be missing. Check again; if it persists, check DNS_SERVERS."
        )


def _age(plan: "ResendPlan") -> Iterator[str]:
    """Say when links expire. The links of an order that is refused do not matter."""
    if plan.refusal is not None or plan.age_days is None:
        return
    if plan.age_days > LINK_LIFE.days:
        yield (
            f"This order has been waiting for {plan.age_days} days. Its links may have expired: they live "
            f"{LINK_LIFE.days} days, and DigiCert does not say whether a resend renews them. If the link of a fresh "
            f"email is refused, {_other_method(plan)}"
        )
    elif plan.age_days > LINK_LIFE.days - SOON_DAYS:
        yield (
            f"This order has been waiting for {plan.age_days} days. Its links may expire on {plan.links_expire}: have "
            "it approved before."
        )


def _recipients(plan: "ResendPlan") -> Iterator[str]:
    """Say who would be mailed, and who would not."""
    validated = {name.name for name in plan.names if name.validated}
    if validated:
        yield f"Already validated, no email needed: {_some(validated)}."
    forgotten = {name.name for name in plan.names if name.needs_email and not name.mailed}
    if plan.domains is not None:
        not_named = [domain.scope for domain in plan.domains if domain.outcome == "not_named"]
        if not_named:
            yield (
                f"Nobody is named at {shortened(not_named)}, so nobody would be mailed there. Without recipients, a "
                "resend mails about every open domain that was not mailed inside the cool-down."
            )
    elif forgotten:
        yield (
            f"Not validated yet, but nobody would be mailed: {_some(forgotten)}. Name recipients for these too, or "
            "leave the recipients out."
        )
    if not plan.request.recipients and plan.domains is not None:
        # Domain-level resend page.
        yield (
            "Without recipients, DigiCert mails all addresses that it lists for an open domain. To mail fewer, name "
            "the recipients."
        )
    elif not plan.request.recipients:
        yield (
            "No recipients given, so DigiCert picks from the accepted addresses for each name that is not validated "
            "yet. To be sure who is mailed, name the recipients."
        )


def _other_method(plan: "ResendPlan") -> str:
    """Say how to do without email: all names of a DV order are validated by the same method."""
    subject = "order" if plan.domains is None else "domain"
    return f"change the {subject}'s DCV method to dns-txt-token in CertCentral."


def _some(names: Collection[str]) -> str:
    return shortened(sorted(names))
