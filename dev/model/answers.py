"""The properties of answers: what callers are told is true, for each domain too, and no message is lost."""

import re
from collections.abc import Collection, Sequence

from dev.model.domain_invocations import DomainAnswer, DomainInvocation, Part
from dev.model.facts import (
    MAX_FORCED_SENDS,
    RERUN_QUIET_SECONDS,
    SKEW,
    Facts,
    Row,
    Violation,
    concern,
    is_told,
    require,
    was_sent,
)
from dev.model.invocations import COOL_DOWN, DUE_UNTIL, SECONDS, Answer, Ask, Invocation
from dv_resend.core.claim_and_send import Sent
from dv_resend.core.send_record import Duplicate, Mailed, NoReminder


def check_answer(rows: Sequence[Row], now: int, by: Invocation, answer: Answer) -> None:
    """What callers are told is true."""
    if isinstance(by, DomainInvocation) and isinstance(answer, DomainAnswer):
        _check_domains({row.record_id: row.facts for row in rows}, now, by, answer)
    else:
        check_one(rows[0].facts, now, by, answer)


def check_acknowledged(
    rows: Sequence[Row],
    now: int,
    by: Invocation,
    answer: Answer,
    queued: Collection[tuple[str, str]],
    *,
    settles: bool,
) -> None:
    """A reminder leaves the queue only if it was mailed, reported, not needed or missed.

    ``queued`` are the records and names of all reminders that are, or were, in the queue. ``settles`` is false after
    two faults.
    """
    if isinstance(by, DomainInvocation) and isinstance(answer, DomainAnswer):
        _check_domains_acknowledged(rows, now, by, answer)
        if answer.name != "already_reminded":
            _check_no_other_left(rows, by, queued)
        if settles and answer.name in ("sent", "already_mailed", "OutcomeUnknown"):
            items = [row.item for row in rows if row.record_id == by.order and row.item is not None]
            done = any(item.record.reminders.get(by.reminder or "") == "done" for item in items)
            require(done, "a reminder that was acknowledged, but is not recorded as done")
    else:
        _check_one_acknowledged(rows[0].facts, now, by, answer)


def check_reported(rows: Sequence[Row], now: int, by: Invocation, ask: Ask) -> None:
    """Only what nobody knows of is reported as unknown, and no reminder by domain that can run again instead."""
    for row in rows:
        known = row.record_id in ask.domains and not concern(by.people, row.facts.doubts)
        require(not known, "reported as unknown, but everything is known")
    if isinstance(by, DomainInvocation) and by.reminder in ask.reminders:
        require(now + by.ahead >= DUE_UNTIL, "reported as unknown, but it would run again")


# ---------------------------------------------------------------- one record


def check_one(facts: Facts, now: int, by: Invocation, answer: Answer) -> None:
    """What a caller is told about one record is true."""
    mailed = [email for email in facts.emails if email.invocation == by.name]
    match answer.name, answer.result:
        case "Sent", Sent() as sent:
            require(len(mailed) == 1 and mailed[0].certain and mailed[0].people == sent.people, "sent, but it was not")
            require(not sent.skipped or not must_force(facts, by), "a forced call that skipped somebody")
            check_earlier(facts, sent.skipped)
        case "Duplicate", Duplicate() as duplicate:
            require(not mailed, "a duplicate that was sent")
            require(not must_force(facts, by), "a forced call that mailed nobody")
            require(not any(each.outcome == "unknown" for each in duplicate.earlier.values()), "an uncertain duplicate")
            check_earlier(facts, duplicate.earlier)
        case "OutcomeUnknown", _:
            require(concern(by.people, facts.doubts) or by.force_id in facts.doubts, "unknown, but everything is known")
            require(mailed or not must_force(facts, by), "a forced call that mailed nobody")
        case "ResendInProgress", _:
            require(not mailed, "in progress, but it was sent")
            others = [until for owner, until in facts.claims if not owner.startswith(f"{by.name}.")]
            require(any(now - SKEW - SECONDS < until for until in others), "in progress, but nobody else is sending")
        case _:
            require(not mailed, f"{answer.name}, but it was sent")


def must_force(facts: Facts, by: Invocation) -> bool:
    """Whether this is a forced call with an id of its own, and not too many went before it."""
    sent = {email.force_id for email in facts.emails if email.force_id and email.invocation != by.name}
    spent = sent | {doubt for doubt in facts.doubts if "force" in doubt}
    return by.force_id is not None and by.force_id not in spent and len(spent) < MAX_FORCED_SENDS


def check_earlier(facts: Facts, earlier: "dict[str, Mailed] | object") -> None:
    assert isinstance(earlier, dict)
    for person, mailed in earlier.items():
        if mailed.outcome == "sent":
            require(was_sent(facts, (person,), mailed), f"{person} was not mailed then")
        else:
            require(concern((person,), facts.doubts), f"{person} is not unknown")


def _check_one_acknowledged(facts: Facts, now: int, by: Invocation, answer: Answer) -> None:
    """A reminder leaves the queue only if it was mailed, reported, not needed or missed."""
    match answer.name, answer.result:
        case "Sent", _:
            pass  # `check_answer`
        case "NoReminder", NoReminder():
            require(by.reminder in facts.told, "a reminder that was acknowledged, and nobody was told")
        case "OutcomeUnknown", _:
            require(by.reminder in facts.told, "a reminder whose unknown outcome was not reported")
        case "missed", _:
            require(now + by.ahead >= DUE_UNTIL, "missed, but it is due")
        case _:
            raise Violation(f"a reminder was acknowledged with {answer.name}")


# ---------------------------------------------------------------- several domains

# Which error a call with several domains ends with: the first of these that any of them met. A message has to come back
# before anything else counts.
_ACCOUNT = "an error of the account"
_PRIORITY = ("OutcomeUnknown", _ACCOUNT, "ResendInProgress", "RequestRejected")
_PRIORITY_OF_REMINDERS = (_ACCOUNT, "ResendInProgress", "OutcomeUnknown", "RequestRejected")
_RETRYABLE = ("ResendInProgress", "RateLimited", "SendRecordUnavailable", "CertCentralUnavailable")
_LABELS = {"sent": "Sent", "duplicate": "Already mailed"}


def _check_domains(facts: dict[str, Facts], now: int, by: DomainInvocation, answer: DomainAnswer) -> None:
    """The answer, and what it says of each domain, is true; and what it says nothing of was not sent."""
    for part in answer.parts:
        _check_part(facts[part.record_id], now, by, part)
    parts = {part.record_id: part for part in answer.parts}
    for record_id in by.domain_ids:
        mailed = any(email.invocation == by.name for email in facts[record_id].emails)
        require(record_id in parts or not mailed, "nothing is said of a domain, but it was sent")
    if not parts:
        require(by.reminder, "a request that says nothing of any domain")
        require(answer.name != "OutcomeUnknown", "unknown, and nobody knows of which domain")
        if answer.name == "ResendInProgress":
            check_one(facts[by.order], now, by, answer)
        return
    cause = _cause(by, answer.parts)
    # A forced call that was sent in part must not invite anybody to repeat it: that would mail again.
    sent_by_force = by.force_id is not None and any(part.name == "sent" for part in answer.parts)
    expected = "OutcomeUnknown" if sent_by_force and cause in _RETRYABLE else cause
    require(answer.name == expected, f"{answer.name}, but another answer comes first")
    stopped = any(part.is_of_account for part in answer.parts)
    require(stopped or parts.keys() == set(by.domain_ids), "nothing stopped the call, and a domain is left")
    if answer.message is not None:
        _check_message(by, answer.parts, cause, answer.message)
    if answer.domains is not None:
        said = tuple((part.record_id, part.name) for part in answer.parts)
        require(answer.domains == said, "the result says something else of a domain")
        require(
            any(was_sent(each, by.people, Mailed(answer.sent_at, "sent")) for each in facts.values()),
            "nobody was mailed then",
        )


def _check_part(facts: Facts, now: int, by: DomainInvocation, part: Part) -> None:
    match part.name:
        case "sent":
            check_one(facts, now, by, Answer("Sent", Sent(part.people, {}, 0, 0)))
            require(not part.skipped or not must_force(facts, by), "a forced call that skipped somebody")
        case "duplicate":
            check_one(facts, now, by, Answer("Duplicate", Duplicate({}, 0)))
            seconds = RERUN_QUIET_SECONDS if by.reminder else COOL_DOWN
            for person in part.people:
                emails = [email for email in facts.emails if email.certain and concern((person,), email.people)]
                recent = any(by.force_id or now - email.at < seconds + 300 for email in emails)
                require(recent, "a duplicate, but nobody was mailed")
        case name:
            check_one(facts, now, by, Answer(name))
    for person, reason in part.skipped:
        if reason == "maybe_mailed":
            require(concern((person,), facts.doubts), f"{person} is not unknown")
        else:
            mailed = any(email.certain and concern((person,), email.people) for email in facts.emails)
            require(mailed, f"{person} was not mailed")


def _cause(by: DomainInvocation, parts: Sequence[Part]) -> str:
    names = {_ACCOUNT if part.is_of_account else part.name: part.name for part in parts}
    for name in _PRIORITY_OF_REMINDERS if by.reminder else _PRIORITY:
        if name in names:
            return names[name]
    if "sent" in names:
        return "sent"
    return "already_mailed" if by.reminder else "duplicate"


def _check_message(by: DomainInvocation, parts: Sequence[Part], cause: str, message: str) -> None:
    """An error's message says which domains met it, and what became of each other one."""
    scopes = [by.scope_of(record_id) for record_id in by.domain_ids]
    concerned = message.partition(": ")[0].split(", ")
    met = [part for part in parts if part.name == cause]
    require(concerned == [by.scope_of(part.record_id) for part in met], "an error that names other domains")
    stopped = [by.scope_of(part.record_id) for part in parts if part.is_of_account]
    done = [by.scope_of(part.record_id) for part in parts if not part.is_of_account]
    left = [scope for scope in scopes if scope not in done] if stopped else []
    said = re.search(r"Left: (\d+) of (\d+) domains \((.*?)\)", message)
    expected = (str(len(left)), str(len(scopes)), ", ".join(left)) if left else None
    require((said.groups() if said else None) == expected, "an error that says something else of what is left")
    for part in parts:
        scope = by.scope_of(part.record_id)
        label = _LABELS.get(part.name, part.name)
        said = re.search(rf"{label}: ((?:\w+\.example(?:, )?)+)\.", message)
        told = said is not None and scope in said[1].split(", ")
        require(
            told == (scope not in concerned and not part.is_of_account), f"{scope}: {part.name}, but the error says"
        )


def _check_no_other_left(rows: Sequence[Row], by: DomainInvocation, queued: Collection[tuple[str, str]]) -> None:
    """A worker reports the reminders that were attempted and never come back."""
    for row in rows:
        if row.record_id == by.order and row.item is not None:
            for reminder in row.item.record.attempted_reminders():
                require((by.order, reminder) in queued, "another reminder was attempted, and nobody was told")


def _check_domains_acknowledged(rows: Sequence[Row], now: int, by: DomainInvocation, answer: DomainAnswer) -> None:
    facts = {row.record_id: row.facts for row in rows}
    order = next(row for row in rows if row.record_id == by.order)
    if answer.name == "missed":
        require(now + by.ahead >= DUE_UNTIL, "missed, but it is due")
        attempted = order.item is not None and order.item.record.reminders.get(by.reminder or "") == "attempted"
        require(not attempted, "missed, and nobody was told that it was attempted")
    elif answer.name == "already_reminded":
        require(by.reminder in order.facts.told, "a reminder that was acknowledged, and nobody was told")
    else:
        require(
            answer.name in ("sent", "already_mailed", "OutcomeUnknown", "RequestRejected"), "acknowledged, but left"
        )
        told = by.told_as and all(is_told(facts[record_id], now, by.told_as) for record_id in by.domain_ids)
        require(told, "a reminder that was acknowledged, and a domain is left")
