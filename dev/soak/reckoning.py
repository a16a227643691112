"""Holds what the functions logged against what CertCentral mailed and what callers were told. Pure.

An *attempt* is a line `sending` in the log and the audit line of the same call after it: a PUT that was about to be
made, and what became of it. Each mailing must be explained by exactly one attempt, and each attempt that was logged as
sent by exactly one mailing. One of unknown outcome may have mailed or not; nobody was told otherwise.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# An attempt with this outcome, or with none because the function was killed, may have mailed.
UNKNOWN = "OutcomeUnknown"


type Emails = tuple[int, str]
"""What a resend asks for: the order, and `default` or the addresses, sorted and joined."""


def emails(order_id: int, recipients: str | Iterable[str]) -> Emails:
    """Name what a resend asks for in the same way on both sides."""
    return order_id, recipients if isinstance(recipients, str) else " ".join(sorted(recipients))


@dataclass(frozen=True)
class Attempt:
    """One PUT that a function was about to make. `outcome` is None if its call never ended."""

    emails: Emails
    is_forced: bool
    outcome: str | None


@dataclass(frozen=True)
class Told:
    """What a caller was told through a door; `outcome` is None if there was no answer.

    `caller` is how the log names the call, None where the log can only name the order.
    """

    door: str
    order_id: int
    outcome: str | None
    caller: str | None = None


@dataclass
class Reckoning:
    """Both sides, and everything in which they differ."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Of all calls in the log, by what they came to."""
    doors: Counter[str] = field(default_factory=Counter)
    mailings: int = 0
    sent: int = 0
    """Attempts that were logged as sent, each with its mailing."""
    unknown_mailed: int = 0
    unknown_not_mailed: int = 0
    unended: int = 0
    """Of the unknown ones, those whose call never ended."""
    doubts: list[str] = field(default_factory=list)
    """Each unknown outcome, and what became of it."""
    differences: list[str] = field(default_factory=list)


def reckon(lines: Iterable[Mapping[str, Any]], mailings: Iterable[Emails], told: Iterable[Told]) -> Reckoning:
    """Compare the log (its lines in the order of time), what CertCentral mailed for each PUT, and the answers."""
    lines = list(lines)
    result = Reckoning()
    audits = [line for line in lines if line["message"] == "audit"]
    result.outcomes.update(str(line["outcome"]) for line in audits)
    result.doors.update(str(line["door"]) for line in audits)
    _hold_against_outbox(attempts(lines), list(mailings), result)
    _hold_against_answers(audits, list(told), result)
    return result


def attempts(lines: Iterable[Mapping[str, Any]]) -> list[Attempt]:
    """Pair each line `sending` with the audit line of the same call about the same order."""
    found: list[Attempt] = []
    under_way: dict[tuple[str, int], Mapping[str, Any]] = {}
    for line in lines:
        call = line["function_request_id"], line.get("order_id", 0)
        if line["message"] == "sending":
            # A call that is delivered again keeps its id: the earlier delivery was killed.
            if call in under_way:
                found.append(_attempt(under_way[call], None))
            under_way[call] = line
        elif call in under_way:
            found.append(_attempt(under_way.pop(call), str(line["outcome"])))
    return found + [_attempt(line, None) for line in under_way.values()]


def _attempt(line: Mapping[str, Any], outcome: str | None) -> Attempt:
    return Attempt(emails(line["order_id"], line["recipients"]), bool(line.get("force")), outcome)


def _hold_against_outbox(found: list[Attempt], mailings: list[Emails], result: Reckoning) -> None:
    tried: dict[Emails, list[Attempt]] = defaultdict(list)
    for attempt in found:
        tried[attempt.emails].append(attempt)
    mailed = Counter(mailings)
    result.mailings = len(mailings)
    for key in tried.keys() | mailed.keys():
        _hold_against_mailings(key, tried[key], mailed[key], result)


def _hold_against_mailings(key: Emails, tried: list[Attempt], mailed: int, result: Reckoning) -> None:
    outcomes = Counter(attempt.outcome for attempt in tried)
    sent, unended = outcomes["sent"], outcomes[None]
    unknown = outcomes[UNKNOWN] + unended
    forced = sum(attempt.is_forced for attempt in tried)
    of_unknown = min(max(mailed - sent, 0), unknown)
    result.sent += sent
    result.unended += unended
    result.unknown_mailed += of_unknown
    result.unknown_not_mailed += unknown - of_unknown
    about = f"order {key[0]}, {key[1]}"
    result.doubts += [f"{about}: was mailed"] * of_unknown + [f"{about}: was not mailed"] * (unknown - of_unknown)
    if mailed < sent:
        result.differences.append(f"{about}: logged as sent {sent} times, mailed {mailed} times")
    if mailed > sent + unknown:
        result.differences.append(
            f"{about}: mailed {mailed} times; the log explains {sent} as sent and {unknown} as unknown"
        )
    if mailed > 1 + forced:
        result.differences.append(f"{about}: mailed {mailed} times in one cool-down, forced {forced} times")


def _hold_against_answers(audits: list[Mapping[str, Any]], told: list[Told], result: Reckoning) -> None:
    by_caller = Counter((line.get("caller"), str(line["outcome"])) for line in audits)
    calls_of = Counter(line.get("caller") for line in audits)
    by_order = Counter((line["door"], line.get("order_id"), str(line["outcome"])) for line in audits)
    for answer in told:
        about = f"{answer.door} call {answer.caller or ''} about order {answer.order_id}"
        if answer.caller is not None and not calls_of[answer.caller]:
            result.differences.append(f"{about}: lost, the log knows nothing of it")
        elif answer.caller is not None and answer.outcome and not by_caller[answer.caller, answer.outcome]:
            result.differences.append(f"{about}: told {answer.outcome}, which is not in the log")
    anonymous = Counter((t.door, t.order_id, t.outcome) for t in told if t.caller is None and t.outcome is not None)
    for (door, order_id, outcome), count in anonymous.items():
        if by_order[door, order_id, outcome] < count:
            result.differences.append(
                f"{door} calls about order {order_id}: {count} were told {outcome}, "
                f"the log has {by_order[door, order_id, outcome]}"
            )
