"""What really happened, and what must be true of it: the properties that are checked at every step."""

from typing import NamedTuple

from dev.model.invocations import COOL_DOWN, DUE_UNTIL, SECONDS, Answer, Invocation, Item
from dv_resend.core.claim_and_send import Sent
from dv_resend.core.send_record import (
    DEFAULT,
    Attempt,
    Duplicate,
    InProgress,
    Mailed,
    NoReminder,
    Send,
    decide,
)

# The promises, in numbers of their own: if a rule's number changes, a promise breaks.
MARGIN = 120
MAX_FORCED_SENDS = 3
# Any two clocks differ by at most so much.
SKEW = 90
QUIET_SECONDS = 20 * 3600
FORCE_IDS_KEPT_SECONDS = 2 * 24 * 3600


class Violation(Exception):
    """A property does not hold."""


class Email(NamedTuple):
    """A PUT that mailed these people, or may have. ``force_id`` and ``reminder`` are those of its invocation."""

    at: int
    people: tuple[str, ...]
    certain: bool
    invocation: str
    force_id: str | None
    reminder: str | None


class Facts(NamedTuple):
    """The history, as far as properties need it.

    ``doubts`` are people, force ids and reminders whose email nobody can know of: a response was lost, or an invocation
    ended without settling its claim. ``told`` are the reminders that were mailed, reported or not needed. ``claims``
    are the owners of all claims that were ever stored, with the last second at which each blocks others.
    ``last_deadline`` is the latest one of all invocations so far.
    """

    emails: tuple[Email, ...] = ()
    doubts: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    claims: frozenset[tuple[str, int]] = frozenset()
    last_deadline: int = 0


def require(condition: object, what: str) -> None:
    if not condition:
        raise Violation(what)


def concern(people: "tuple[str, ...] | frozenset[str]", others: "tuple[str, ...] | frozenset[str]") -> bool:
    """Whether anybody may be in both: the default recipients may be anybody."""
    return bool(people and others) and (DEFAULT in people or DEFAULT in others or not set(people).isdisjoint(others))


# ---------------------------------------------------------------- at each event


def with_email(
    facts: Facts, now: int, item: Item | None, by: Invocation, people: tuple[str, ...], certain: bool
) -> Facts:
    """Nobody gets two emails in a cool-down, and nothing follows an unknown outcome, without a new force."""
    claim = item.record.claim if item else None
    require(claim is not None and claim.owner.startswith(f"{by.name}."), "an email without a claim")
    recent = [email for email in facts.emails if now - email.at < COOL_DOWN]
    if any(concern(people, email.people) for email in recent):
        require(by.force_id, "two emails in a cool-down without force")
    for email in facts.emails:
        if by.force_id is not None and email.force_id == by.force_id:
            require(now - email.at > FORCE_IDS_KEPT_SECONDS, "a force id that mailed twice")
        require(by.reminder is None or email.reminder != by.reminder, "a reminder that was mailed twice")
    email = Email(now, people, certain, by.name, by.force_id, by.reminder)
    forced = [each for each in (*recent, email) if each.force_id and repeats(each, facts.emails)]
    require(len(forced) <= MAX_FORCED_SENDS, "too many forced sends in a cool-down")
    told = {by.reminder} if by.reminder and certain else set()
    return facts._replace(
        emails=(*facts.emails, email),
        doubts=facts.doubts if certain else facts.doubts | traces(by, people),
        told=facts.told | told,
    )


def repeats(email: Email, emails: tuple[Email, ...]) -> bool:
    return any(
        0 <= email.at - each.at < COOL_DOWN and each != email and concern(email.people, each.people) for each in emails
    )


def traces(by: Invocation, people: tuple[str, ...]) -> set[str]:
    """What an invocation that claims the order leaves in the record."""
    return {*people} | {trace for trace in (by.force_id, by.reminder) if trace}


def with_write(facts: Facts, now: int, item: Item) -> Facts:
    """Everything in a stored record is true, except what the holder of its claim has not settled yet."""
    record = item.record
    claim = record.claim
    own_deadline = None if claim is None else claim.deadline
    for person, mailed in record.mailed.items():
        if mailed.outcome == "sent":
            require(was_sent(facts, (person,), mailed), f"{person} was not mailed then")
        elif mailed.at != own_deadline:
            require(person in facts.doubts, f"{person} is not unknown")
    for force_id, deadline in record.forced_by.items():
        known = force_id in facts.doubts or any(email.force_id == force_id for email in facts.emails)
        require(known or deadline == own_deadline, "the force id of a call that surely mailed nobody")
    told = set()
    for reminder, mark in record.reminders.items():
        if mark == "done" and reminder not in facts.told:
            recent = [email for email in facts.emails if email.certain and now - email.at < QUIET_SECONDS + 300]
            require(recent, "a reminder that is done, and nobody was told")
            told.add(reminder)
        elif mark == "attempted" and claim is None:
            require(reminder in facts.doubts, "a reminder that is attempted, but surely was not sent")
    if claim is None and not told:
        return facts
    claims = facts.claims if claim is None else facts.claims | {(claim.owner, claim.live_until)}
    return facts._replace(told=facts.told | told, claims=claims)


def was_sent(facts: Facts, people: tuple[str, ...], mailed: Mailed) -> bool:
    return any(
        email.certain and concern(people, email.people) and -SKEW <= mailed.at - email.at <= SECONDS + SKEW
        for email in facts.emails
    )


def with_end(facts: Facts, items: list[Item], by: Invocation, settles: bool) -> Facts:
    """An invocation leaves a claim behind only if it was killed, or after two faults (``settles`` is false)."""
    left = [item.record for item in items if item.record.claim and item.record.claim.owner.startswith(f"{by.name}.")]
    if not left:
        return facts
    require(not settles, "a claim that nobody settles")
    doubts: set[str] = set()
    for record in left:
        assert record.claim is not None
        deadline = record.claim.deadline
        doubts |= traces(
            by, tuple(key for key, mailed in record.mailed.items() if mailed == Mailed(deadline, "unknown"))
        )
    return facts._replace(doubts=facts.doubts | doubts)


# ---------------------------------------------------------------- answers


def check_answer(facts: Facts, now: int, by: Invocation, answer: Answer) -> None:
    """What callers are told is true."""
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


def check_acknowledged(facts: Facts, now: int, by: Invocation, answer: Answer) -> None:
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


# ---------------------------------------------------------------- at the end


def check_end(item: Item | None, last_deadline: int) -> None:
    """Nothing blocks the order for longer than a claim and a cool-down, however it ended."""
    if item is None:
        return
    # By the clock that is most behind.
    dead = last_deadline + MARGIN + SKEW
    somebody = Attempt(("somebody else",), dead + SECONDS, "an owner")
    require(
        not isinstance(decide(item.record, somebody, dead, COOL_DOWN), InProgress), "a claim that blocks for too long"
    )
    free = last_deadline + COOL_DOWN + MARGIN + SKEW
    everybody = Attempt((DEFAULT,), free + SECONDS, "an owner")
    require(isinstance(decide(item.record, everybody, free, COOL_DOWN), Send), "people who are blocked for too long")
