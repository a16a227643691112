"""Compares what the functions logged, what CertCentral mailed and what callers were told. Pure.

An *attempt* is a line `sending` in the log and the next audit line of the same call, about the same domain if the line
names one: a PUT that was about to be made, and its outcome. Each mailing must belong to exactly one attempt, and each
attempt logged as sent to exactly one mailing. An attempt with an unknown outcome may or may not have mailed; its caller
must have been told `unknown`.

A soak is shorter than a cool-down. So each person, one mailbox of one order or domain, may meet one attempt at most
that was not forced and may have mailed, whatever words the callers used; and three more that were forced.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# An attempt with this outcome, or without one because the function was killed, may have mailed.
UNKNOWN = "OutcomeUnknown"
MAX_FORCED = 3

DEFAULT = "default"

type Emails = tuple[str, str]
"""The emails that a PUT asks for: the order or domain, and `default` or the addresses, sorted and joined."""


def emails(order_id: int, domain: str | None, recipients: str | Iterable[str]) -> Emails:
    """Write in one form what a PUT asks for, so that both sides can be compared."""
    about = f"order {order_id}" if domain is None else f"domain {domain}"
    return about, recipients if isinstance(recipients, str) else " ".join(sorted(recipients))


@dataclass(frozen=True)
class Attempt:
    """One PUT that a function was about to make. `outcome` is None if the call never ended."""

    emails: Emails
    is_forced: bool
    outcome: str | None

    @property
    def may_have_mailed(self) -> bool:
        """Whether it was not surely refused."""
        return self.outcome in ("sent", UNKNOWN, None)


@dataclass(frozen=True)
class Told:
    """What a caller was told; `outcome` is None if there was no answer.

    `caller` is what the log calls the caller, or None if the log only has the order.
    """

    event_source: str
    order_id: int
    outcome: str | None
    caller: str | None = None


@dataclass
class Reconciliation:
    """Both sides, and every difference between them."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """All calls in the log, by outcome."""
    event_sources: Counter[str] = field(default_factory=Counter)
    mailings: int = 0
    sent: int = 0
    """Attempts that were logged as sent."""
    unknown_mailed: int = 0
    unknown_not_mailed: int = 0
    unended: int = 0
    """Unknown attempts whose call never ended."""
    people: int = 0
    """Mailboxes, of one order or domain each, that were mailed."""
    people_again: int = 0
    """Those of them that were mailed more than once."""
    unknowns: list[str] = field(default_factory=list)
    """Each unknown outcome, and whether it mailed."""
    differences: list[str] = field(default_factory=list)


def reconcile(lines: Iterable[Mapping[str, Any]], mailings: Iterable[Emails], told: Iterable[Told]) -> Reconciliation:
    """Compare the log (its lines by time), what CertCentral mailed for each PUT, and the answers to callers."""
    lines = list(lines)
    result = Reconciliation()
    # The lines of a domain are not those of a call.
    audits = [line for line in lines if line["message"] == "audit" and "domain" not in line]
    result.outcomes.update(str(line["outcome"]) for line in audits)
    result.event_sources.update(str(line["event_source"]) for line in audits)
    tried, sent = attempts(lines), list(mailings)
    _compare_with_outbox(tried, sent, result)
    _check_people(tried, sent, result)
    _compare_with_answers(audits, list(told), result)
    return result


def attempts(lines: Iterable[Mapping[str, Any]]) -> list[Attempt]:
    """Pair each line `sending` with the audit line of the same call about the same order, and domain if it has one."""
    found: list[Attempt] = []
    running: dict[tuple[str, int, str | None], Mapping[str, Any]] = {}
    for line in lines:
        call = line["function_request_id"], line.get("order_id", 0), line.get("domain")
        if line["message"] == "sending":
            # A redelivered call keeps its id: its first delivery was killed.
            if call in running:
                found.append(_attempt(running[call], None))
            running[call] = line
        elif call in running:
            found.append(_attempt(running.pop(call), str(line["outcome"])))
    return found + [_attempt(line, None) for line in running.values()]


def _attempt(line: Mapping[str, Any], outcome: str | None) -> Attempt:
    asked_for = emails(line["order_id"], line.get("domain"), line["recipients"])
    return Attempt(asked_for, bool(line.get("force")), outcome)


def _compare_with_outbox(found: list[Attempt], mailings: list[Emails], result: Reconciliation) -> None:
    tried: dict[Emails, list[Attempt]] = defaultdict(list)
    for attempt in found:
        tried[attempt.emails].append(attempt)
    mailed = Counter(mailings)
    result.mailings = len(mailings)
    for key in tried.keys() | mailed.keys():
        _compare_with_mailings(key, tried[key], mailed[key], result)


def _compare_with_mailings(key: Emails, tried: list[Attempt], mailed: int, result: Reconciliation) -> None:
    outcomes = Counter(attempt.outcome for attempt in tried)
    sent, unended = outcomes["sent"], outcomes[None]
    unknown = outcomes[UNKNOWN] + unended
    of_unknown = min(max(mailed - sent, 0), unknown)
    result.sent += sent
    result.unended += unended
    result.unknown_mailed += of_unknown
    result.unknown_not_mailed += unknown - of_unknown
    about = ", ".join(key)
    result.unknowns += [f"{about}: was mailed"] * of_unknown + [f"{about}: was not mailed"] * (unknown - of_unknown)
    if mailed < sent:
        result.differences.append(f"{about}: logged as sent {sent} times, mailed {mailed} times")
    if mailed > sent + unknown:
        result.differences.append(
            f"{about}: mailed {mailed} times, logged {sent} times as sent and {unknown} times as unknown"
        )


def _check_people(found: list[Attempt], mailings: list[Emails], result: Reconciliation) -> None:
    """Find people who were mailed twice, or whom a second attempt might have mailed, without a force for each."""
    tried: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in found:
        if attempt.may_have_mailed:
            tried[attempt.emails[0]].append(attempt)
    sent: dict[str, list[str]] = defaultdict(list)
    for subject, people in mailings:
        sent[subject].append(people)
    for subject in sorted(tried.keys() | sent.keys()):
        asked_for = [*sent[subject], *(attempt.emails[1] for attempt in tried[subject])]
        for person in sorted({person for people in asked_for for person in people.split()}):
            reaching = [attempt for attempt in tried[subject] if _reach(attempt.emails[1], person)]
            forced = sum(attempt.is_forced for attempt in reaching)
            mails = sum(_reach(people, person) for people in sent[subject])
            result.people += mails > 0
            result.people_again += mails > 1
            about = f"{subject}, {person}"
            if len(reaching) - forced > 1:
                result.differences.append(f"{about}: {len(reaching) - forced} attempts in one cool-down without force")
            if mails > 1 + min(forced, MAX_FORCED):
                result.differences.append(f"{about}: mailed {mails} times in one cool-down, forced {forced} times")


def _reach(people: str, person: str) -> bool:
    """Whether emails to ``people`` reach ``person``: the default ones may reach anybody."""
    return DEFAULT in people.split() or person in people.split()


def _compare_with_answers(audits: list[Mapping[str, Any]], told: list[Told], result: Reconciliation) -> None:
    by_caller = Counter((line.get("caller"), str(line["outcome"])) for line in audits)
    calls_of = Counter(line.get("caller") for line in audits)
    by_order = Counter((line["event_source"], line.get("order_id"), str(line["outcome"])) for line in audits)
    for answer in told:
        about = f"{answer.event_source} call {answer.caller or ''} about order {answer.order_id}"
        if answer.caller is not None and not calls_of[answer.caller]:
            result.differences.append(f"{about}: lost, it is not in the log")
        elif answer.caller is not None and answer.outcome and not by_caller[answer.caller, answer.outcome]:
            result.differences.append(f"{about}: told {answer.outcome}, which is not in the log")
    anonymous = Counter(
        (t.event_source, t.order_id, t.outcome) for t in told if t.caller is None and t.outcome is not None
    )
    for (event_source, order_id, outcome), count in anonymous.items():
        if by_order[event_source, order_id, outcome] < count:
            result.differences.append(
                f"{event_source} calls about order {order_id}: {count} were told {outcome}, "
                f"the log has {by_order[event_source, order_id, outcome]}"
            )
