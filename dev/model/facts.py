"""What really happened, and what must be true of it: the properties that are checked at every step."""

from collections.abc import Sequence
from typing import NamedTuple

from dev.model.invocations import COOL_DOWN, SECONDS, Invocation, Item
from dv_resend.core.send_record import (
    DEFAULT,
    Attempt,
    InProgress,
    Mailed,
    Send,
    decide,
)

# The promises, in numbers of their own: if a rule's number changes, a promise breaks.
MARGIN = 120
MAX_FORCED_SENDS = 3
# Any two clocks differ by at most so much.
SKEW = 90
QUIET_SECONDS = 20 * 3600
# The same for a reminder by domain that runs again.
RERUN_QUIET_SECONDS = 2 * 24 * 3600
FORCE_IDS_KEPT_SECONDS = 2 * 24 * 3600


class Violation(Exception):
    """A property does not hold."""


class Email(NamedTuple):
    """A PUT that mailed these people, or may have. ``force_id`` and ``reminder`` are those of its invocation.

    ``reminder`` is named as by `Invocation.told_as`.
    """

    at: int
    people: tuple[str, ...]
    certain: bool
    invocation: str
    force_id: str | None
    reminder: str | None


class Facts(NamedTuple):
    """The history of one record, as far as properties need it.

    ``doubts`` are people, force ids and reminders whose email nobody can know of: a response was lost, or an invocation
    ended without settling its claim. ``told`` are the reminders that were mailed, reported or not needed. ``claims``
    are the owners of all claims that were ever stored, with the last second at which each blocks others.
    """

    emails: tuple[Email, ...] = ()
    doubts: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    claims: frozenset[tuple[str, int]] = frozenset()


def require(condition: object, what: str) -> None:
    if not condition:
        raise Violation(what)


def concern(people: "tuple[str, ...] | frozenset[str]", others: "tuple[str, ...] | frozenset[str]") -> bool:
    """Whether anybody may be in both: the default recipients may be anybody."""
    return bool(people and others) and (DEFAULT in people or DEFAULT in others or not set(people).isdisjoint(others))


class Row(NamedTuple):
    """A record: the item that is stored, if any, and what is true of it."""

    record_id: str
    item: Item | None
    facts: Facts

    @property
    def revision(self) -> str | None:
        return None if self.item is None else self.item.record.revision


# ---------------------------------------------------------------- at each event


def check_claimed(item: Item | None, by: Invocation) -> None:
    """Nothing is sent without a claim; a reminder claims its order, too."""
    claim = item.record.claim if item else None
    require(claim is not None and claim.owner.startswith(f"{by.name}."), "an email without a claim")


def with_email(
    facts: Facts, now: int, item: Item | None, by: Invocation, people: tuple[str, ...], certain: bool
) -> Facts:
    """Nobody gets two emails in a cool-down, and nothing follows an unknown outcome, without a new force."""
    check_claimed(item, by)
    recent = [email for email in facts.emails if now - email.at < COOL_DOWN]
    if any(concern(people, email.people) for email in recent):
        require(by.force_id, "two emails in a cool-down without force")
    for email in facts.emails:
        if by.force_id is not None and email.force_id == by.force_id:
            require(now - email.at > FORCE_IDS_KEPT_SECONDS, "a force id that mailed twice")
        require(not by.told_as or not by.repeats(email.reminder, now - email.at), "a reminder that repeats an email")
    email = Email(now, people, certain, by.name, by.force_id, by.told_as)
    forced = [each for each in (*recent, email) if each.force_id and repeats(each, facts.emails)]
    require(len(forced) <= MAX_FORCED_SENDS, "too many forced sends in a cool-down")
    told = {by.told_as} if by.told_as and certain else set()
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


def with_write(facts: Facts, now: int, item: Item, domains: Sequence[Facts] = ()) -> Facts:
    """Everything in a stored record is true, except what the holder of its claim has not settled yet.

    ``domains`` are the facts of the domains of an order that is reminded by domain.
    """
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
        told_as = f"{record.id} {reminder}"
        if mark == "done" and reminder not in facts.told:
            for domain in domains or (facts,):
                quiet = RERUN_QUIET_SECONDS if domains else QUIET_SECONDS
                require(is_told(domain, now, told_as, quiet), "a reminder that is done, and nobody was told")
            told.add(reminder)
        elif mark == "attempted" and claim is None:
            in_doubt = reminder in facts.doubts or any(may_be_told(domain, now, told_as) for domain in domains)
            require(in_doubt, "a reminder that is attempted, but surely was not sent")
    if claim is None and not told:
        return facts
    claims = facts.claims if claim is None else facts.claims | {(claim.owner, claim.live_until)}
    return facts._replace(told=facts.told | told, claims=claims)


def is_told(facts: Facts, now: int, told_as: str, quiet: int = RERUN_QUIET_SECONDS) -> bool:
    """Whether nobody needs this reminder about what the facts are of: somebody was mailed or told, or is refused."""
    return told_as in facts.told or any(is_recent(email, now, quiet) for email in facts.emails if email.certain)


def may_be_told(facts: Facts, now: int, told_as: str) -> bool:
    """Whether an email may have been sent that makes this reminder needless."""
    return bool(facts.doubts) or any(
        is_recent(email, now, RERUN_QUIET_SECONDS) or email.reminder == told_as for email in facts.emails
    )


def is_recent(email: Email, now: int, quiet: int) -> bool:
    """Whether a reminder need not follow an email yet, by any clock."""
    return now - email.at < quiet + 300


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
