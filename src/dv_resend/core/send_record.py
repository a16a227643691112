"""Who was mailed about an order, and who may send now: the rules of the send record.

Each order has one record. An invocation loads it, decides (`decide`) and claims the order (`claim`): it stores the next
record if nobody else has stored one meanwhile. Then it sends, and settles: it stores one of `HeldClaim`'s records::

    claim stored       PUT        settled                                      settled + cool-down + 2 min
    |== claim is live ============|                                            |
    |-- people: unknown ----------|-- people: sent, dated with the response ---|-- may be mailed again

    claim stored       PUT  (killed)      deadline        + 2 min              deadline + cool-down + 2 min
    |== claim is live ====================================|                    |
    |-- people: unknown, dated with the deadline ------------------------------|-- may be mailed again

While a claim is live, its owner alone sends and writes. A crash at any point leaves a true record, because people are
`unknown` before the email leaves. The two minutes allow for clocks: any two of them differ by at most 90 seconds.

Everything here is pure: times (whole seconds since the epoch) and random values (revisions, owners) are arguments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

# The key of DigiCert's default recipients, who may be anybody.
DEFAULT = "default"
CLOCK_MARGIN_SECONDS = 120
MAX_FORCED_SENDS = 3
MAX_PEOPLE = 2000
# After any other email, a reminder helps nobody for so long.
REMINDER_QUIET_SECONDS = 20 * 3600
# Longer than an event can be redelivered, and than the longest cool-down.
KEPT_SECONDS = 2 * 24 * 3600
# Longer than a reminder can wait: 4 days in the queue, then 14 in the dead-letter queue.
EXPIRATION_SECONDS = 30 * 24 * 3600

type Mark = Literal["attempted", "done"]


@dataclass(frozen=True)
class Mailed:
    """An email to a person: when it was sent. If the outcome is unknown, when it may have been sent at the latest.

    Example:
        >>> Mailed(at=100, outcome="unknown").reason
        'maybe_mailed'
    """

    at: int
    outcome: Literal["sent", "unknown"]

    def again_at(self, cool_down: int) -> int:
        """Return when the cool-down is over, by every clock."""
        return self.at + cool_down + CLOCK_MARGIN_SECONDS

    @property
    def reason(self) -> Literal["already_mailed", "maybe_mailed"]:
        """Why the person is skipped, in the words of results."""
        return "already_mailed" if self.outcome == "sent" else "maybe_mailed"


@dataclass(frozen=True)
class Claim:
    """The right to send and to write. It belongs to one invocation, which ends at ``deadline``.

    Example:
        >>> Claim("an owner", deadline=29).live_until
        149
    """

    owner: str
    deadline: int

    @property
    def live_until(self) -> int:
        """When the owner has ended, by every clock."""
        return self.deadline + CLOCK_MARGIN_SECONDS

    def is_live(self, now: int) -> bool:
        """Whether the owner may still send and write."""
        return now < self.live_until


@dataclass(frozen=True)
class SendRecord:
    """What is known about the recent emails of one order.

    ``mailed`` is by person (`people.people_of`), ``reminders`` by ``<waiting since>#<day>``. ``forced_by`` holds the
    ids of forced calls and their deadlines. ``revision`` is ``None`` if nothing is stored.

    Example:
        >>> SendRecord("order#7").revision is None
        True
    """

    id: str
    revision: str | None = None
    claim: Claim | None = None
    mailed: Mapping[str, Mailed] = field(default_factory=dict)
    reminders: Mapping[str, Mark] = field(default_factory=dict)
    forced_by: Mapping[str, int] = field(default_factory=dict)
    expiration: int = 0

    def attempted_reminders(self) -> list[str]:
        """Return the reminders whose outcome nobody has reported yet; unknown, unless a claim is live."""
        return [reminder for reminder, mark in self.reminders.items() if mark == "attempted"]

    def with_done(self, reminders: Iterable[str], revision: str, now: int) -> "SendRecord":
        """Return the next record, in which these reminders are done. Never store it while a claim is live."""
        return _next(self, revision, now, reminders={**self.reminders, **dict.fromkeys(reminders, "done")})


@dataclass(frozen=True)
class Attempt:
    """Whom an invocation wants to mail, as keys of `people.people_of`, and when it ends.

    ``owner`` is random: not even two deliveries of one event share it. ``force_id`` makes the call a forced one; its
    redeliveries share the id. ``reminder`` says which reminder it is, as ``<waiting since>#<day>``. ``also`` holds
    further keys of people: whoever is known by any of them was mailed.

    Example:
        >>> Attempt((DEFAULT,), deadline=29, owner="an owner").force_id is None
        True
    """

    people: tuple[str, ...]
    deadline: int
    owner: str
    force_id: str | None = None
    reminder: str | None = None
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def keys_of(self, *people: str) -> tuple[str, ...]:
        """Return all keys of these people."""
        return tuple(key for person in people for key in (person, *self.also.get(person, ())))


@dataclass(frozen=True)
class Send:
    """Claim the order and mail these people; leave out those who were mailed before.

    Example:
        >>> decide(SendRecord("order#7"), Attempt((DEFAULT,), deadline=29, owner="an owner"), now=0, cool_down=3600)
        Send(people=('default',), skipped={})
    """

    people: tuple[str, ...]
    skipped: Mapping[str, Mailed]


@dataclass(frozen=True)
class Duplicate:
    """Mail nobody: everybody was mailed before. Before ``until``, a repeat mails nobody either.

    Example:
        >>> Duplicate({DEFAULT: Mailed(at=100, outcome="sent")}, until=3820).sent_at
        100
    """

    earlier: Mapping[str, Mailed]
    until: int
    # Nobody knows whether these were among those mailed: either they or the others are DigiCert's default recipients.
    perhaps: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def sent_at(self) -> int:
        """When the last of them was mailed."""
        return max(mailed.at for mailed in self.earlier.values())


@dataclass(frozen=True)
class Unknown:
    """Mail nobody: somebody may have been mailed before. Before ``until``, a repeat mails nobody either.

    Example:
        >>> Unknown({DEFAULT: Mailed(at=100, outcome="unknown")}, until=3820).until
        3820
    """

    earlier: Mapping[str, Mailed]
    until: int


@dataclass(frozen=True)
class InProgress:
    """Mail nobody: another invocation is sending. Its claim ends when it is settled, or else at ``until``.

    Example:
        >>> InProgress(until=149).until
        149
    """

    until: int


@dataclass(frozen=True)
class TooManyPeople:
    """Mail nobody: the record would hold more than `MAX_PEOPLE`.

    Example:
        >>> TooManyPeople()
        TooManyPeople()
    """


@dataclass(frozen=True)
class NoReminder:
    """Mail nobody: the reminder is done, or somebody was mailed so recently that it is not needed.

    Example:
        >>> NoReminder("already_mailed").outcome
        'already_mailed'
    """

    outcome: Literal["already_reminded", "already_mailed"]


type Decision = Send | Duplicate | Unknown | InProgress | TooManyPeople | NoReminder


def decide(record: SendRecord, attempt: Attempt, now: int, cool_down: int) -> Decision:
    """Decide whom ``attempt`` mails at ``now``. This is all that a dry run needs; before sending, `claim` the order."""
    if record.claim is not None and record.claim.is_live(now):
        return InProgress(record.claim.live_until)
    if attempt.reminder is not None and (answer := _answer_reminder(record, attempt.reminder, now, cool_down)):
        return answer
    if attempt.force_id in record.forced_by:
        return _answer_repeat(record.mailed, attempt, now, cool_down)
    recent = {} if _is_forced(record, attempt, now, cool_down) else _recent(record, now, cool_down)
    skipped = _earlier(recent, attempt)
    people = tuple(person for person in attempt.people if person not in skipped)
    if not people:
        return _answer_repeat(recent, attempt, now, cool_down)
    if len((_kept(record, now).keys() | attempt.keys_of(*people)) - {DEFAULT}) > MAX_PEOPLE:
        return TooManyPeople()
    return Send(people, skipped)


def _answer_reminder(record: SendRecord, reminder: str, now: int, cool_down: int) -> NoReminder | Unknown | None:
    """Return the answer to a reminder that must not be sent, or ``None``."""
    match record.reminders.get(reminder):
        case "done":
            return NoReminder("already_reminded")
        case "attempted":
            return Unknown(record.mailed, until=now)
    quiet = _recent(record, now, max(cool_down, REMINDER_QUIET_SECONDS)).values()
    return NoReminder("already_mailed") if any(mailed.outcome == "sent" for mailed in quiet) else None


def _answer_repeat(mailed: Mapping[str, Mailed], attempt: Attempt, now: int, cool_down: int) -> Duplicate | Unknown:
    """Return the answer to an attempt that must mail nobody, as far as ``mailed`` tells what became of its emails."""
    earlier = _earlier(mailed, attempt)
    again_at = [max(each.again_at(cool_down) for each in _emails_to(person, attempt, mailed)) for person in earlier]
    until = min(again_at, default=now)
    if len(earlier) == len(attempt.people) and all(each.outcome == "sent" for each in earlier.values()):
        perhaps = frozenset(each for each in earlier if mailed.keys().isdisjoint(attempt.keys_of(each)))
        return Duplicate(earlier, until, perhaps)
    return Unknown(earlier, until)


def _is_forced(record: SendRecord, attempt: Attempt, now: int, cool_down: int) -> bool:
    """Whether ``attempt`` mails people again. After too many forced sends, a further one is an ordinary send."""
    recent = [at for at in record.forced_by.values() if now < at + cool_down + CLOCK_MARGIN_SECONDS]
    return attempt.force_id is not None and len(recent) < MAX_FORCED_SENDS


def _recent(record: SendRecord, now: int, cool_down: int) -> dict[str, Mailed]:
    """Return the people whose cool-down is not over."""
    return {person: mailed for person, mailed in record.mailed.items() if now < mailed.again_at(cool_down)}


def _earlier(mailed: Mapping[str, Mailed], attempt: Attempt) -> dict[str, Mailed]:
    """Return the people of ``attempt`` who are among ``mailed``, each with the email that tells most."""
    return {person: emails[0] for person in attempt.people if (emails := _emails_to(person, attempt, mailed))}


def _emails_to(person: str, attempt: Attempt, mailed: Mapping[str, Mailed]) -> list[Mailed]:
    """Return the emails that ``person`` got, the most telling first: `DEFAULT` is everybody, and everybody is in it."""
    if person == DEFAULT:
        return sorted(mailed.values(), key=lambda each: (each.outcome == "sent", -each.at))
    return [mailed[key] for key in (*attempt.keys_of(person), DEFAULT) if key in mailed]


@dataclass(frozen=True)
class HeldClaim:
    """A claim, as it is stored in ``record``. Its owner may mail the people of ``keys``, and then stores a next record.

    ``before`` is the record that it followed.

    Example:
        >>> attempt = Attempt((DEFAULT,), deadline=29, owner="an owner")
        >>> held = claim(SendRecord("order#7"), attempt, (DEFAULT,), "a revision", now=0)
        >>> held.sent("another revision", now=2).mailed
        {'default': Mailed(at=2, outcome='sent')}
    """

    before: SendRecord
    record: SendRecord
    keys: tuple[str, ...]
    reminder: str | None

    def sent(self, revision: str, now: int) -> SendRecord:
        """Return the next record if the emails were sent. ``now`` is a time after the response."""
        mailed = {**self.record.mailed, **dict.fromkeys(self.keys, Mailed(now, "sent"))}
        return _next(
            self.record, revision, now, mailed=mailed, reminders=_with(self.record.reminders, self.reminder, "done")
        )

    def not_sent(self, revision: str, now: int) -> SendRecord:
        """Return the next record if the emails were surely not sent: nothing is left of the claim."""
        return _next(self.before, revision, now)

    def unknown(self, revision: str, now: int, *, reported: bool) -> SendRecord:
        """Return the next record if the emails may have been sent. A reminder is done only after that was reported."""
        mark: Mark = "done" if reported else "attempted"
        return _next(self.record, revision, now, reminders=_with(self.record.reminders, self.reminder, mark))


def claim(record: SendRecord, attempt: Attempt, people: tuple[str, ...], revision: str, now: int) -> HeldClaim:
    """Return the claim to store before mailing ``people``, who are the decision's. Nothing may be sent until it is."""
    keys = attempt.keys_of(*people)
    claimed = _next(
        record,
        revision,
        now,
        claim=Claim(attempt.owner, attempt.deadline),
        mailed={**record.mailed, **dict.fromkeys(keys, Mailed(attempt.deadline, "unknown"))},
        forced_by=_with(record.forced_by, attempt.force_id, attempt.deadline),
        reminders=_with(record.reminders, attempt.reminder, "attempted"),
    )
    return HeldClaim(record, claimed, keys, attempt.reminder)


def _with[V](known: Mapping[str, V], key: str | None, value: V) -> Mapping[str, V]:
    return known if key is None else {**known, key: value}


def _next(record: SendRecord, revision: str, now: int, **changes: Any) -> SendRecord:
    """Return the record that follows: with another revision, and without a claim and what is too old to matter."""
    changed = replace(record, **{"claim": None, **changes})
    return replace(
        changed,
        revision=revision,
        mailed=_kept(changed, now),
        forced_by={force_id: at for force_id, at in changed.forced_by.items() if now <= at + KEPT_SECONDS},
        expiration=now + EXPIRATION_SECONDS,
    )


def _kept(record: SendRecord, now: int) -> dict[str, Mailed]:
    return {person: mailed for person, mailed in record.mailed.items() if now <= mailed.at + KEPT_SECONDS}
