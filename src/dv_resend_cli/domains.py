"""The domains of an order that is not DV, each with a send of its own: what answers and messages say of them."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dv_resend_cli.output import counted

if TYPE_CHECKING:
    from dv_resend_cli.attempts import DomainKey, Known

_MAX_SHOWN = 10
# What is blocked for no longer than this may be mailed by a call that is made now, and that waits for a request limit.
_SOON_SECONDS = 300
# How the function's errors say what became of the other domains (docs/calling.md, "OV and EV orders").
_MAILED = re.compile(r" (?:Sent|Already mailed|OutcomeUnknown): [\w*-]+\.\w")
_LEFT = re.compile(r" Left: [0-9]+ of [0-9]+ domains \(")
_NO_FORCE = " Do not repeat the forced call: "
_NO_EMAIL = re.compile(r" is validated by \S.*, so no email helps\. | is already validated at \S+: leave it out\.")
PLANNED = {
    "sent": "would be mailed",
    "duplicate": "already mailed inside the cool-down, perhaps for another order",
    "OutcomeUnknown": "may already have been mailed inside the cool-down: the outcome is unknown",
    "ResendInProgress": "not mailed: another call is sending its emails right now",
    "validated": "already validated",
    "not_email_dcv": "not mailed: it is validated by another method than email",
    "not_named": "not mailed: all named recipients are at other domains",
}
"""What a resend would do about a domain, by its outcome in a plan; any other is the name of an error."""
_DONE = {
    "sent": "sent",
    "duplicate": f"duplicate: {PLANNED['duplicate']}",
}


@dataclass(frozen=True)
class Left:
    """The domains that a resend would mail now, by what the attempts of an event did: nothing of those in ``new``.

    ``blocked`` are those that a resend would not mail, because it is unknown whether the last email was sent.

    Example:
        >>> Left(sent=("a.test",), unknown=(), new=("b.test",), blocked=()).text
        'Earlier attempts of this event were sent about a.test. Not sent yet: b.test.'
    """

    sent: tuple[str, ...]
    unknown: tuple[str, ...]
    new: tuple[str, ...]
    blocked: tuple[str, ...]

    @property
    def text(self) -> str:
        """What is known about them."""
        maybe = dict.fromkeys((*self.unknown, *self.blocked))
        facts = [
            f"The emails about {names(maybe)} may have been sent." if maybe else "",
            f"Earlier attempts of this event were sent about {names(self.sent)}." if self.sent else "",
            f"Not sent yet: {names(self.new)}." if self.new else "",
        ]
        return " ".join(filter(None, facts))


def left_of(plan: Mapping[str, Any], known: "Mapping[DomainKey, Known]", *, is_forced: bool) -> Left:
    """Return the domains that a resend would mail, or that may be mailed by the time it is made.

    A plan does not show all of very many domains; those that were sent, or may have been, count nevertheless.
    """
    shown = {(domain["id"], domain["name"]): domain for domain in plan["domains"]}
    # What is forced is not blocked until a time, but because it was forced before.
    left = [
        key for key, domain in shown.items() if domain["outcome"] == "sent" or (not is_forced and _ends_soon(domain))
    ]
    more = plan.get("more_domains", 0)
    left += [key for key in known if more and key not in shown]
    blocked = tuple(with_outcome(plan, "OutcomeUnknown"))
    of = {state: tuple(str(key[1]) for key in left if known.get(key) == state) for state in ("sent", "unknown", None)}
    return Left(of["sent"], of["unknown"], (*of[None], f"{more} more") if more else of[None], blocked)


def names(domains: Iterable[str]) -> str:
    """Return the names of domains for a sentence, not too many of them."""
    found = list(domains)
    more = f" and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
    return ", ".join(found[:_MAX_SHOWN]) + more


def with_outcome(answer: Mapping[str, Any], outcome: str) -> list[str]:
    """Return the names of the domains with an outcome in a result or plan; none if the order is a DV order."""
    return [domain["name"] for domain in answer.get("domains", []) if domain["outcome"] == outcome]


def has_mailed_some(message: str) -> bool:
    """Whether an error's message says that other domains of the order were mailed, or may have been."""
    return _MAILED.search(message) is not None


def leaves_some(message: str) -> bool:
    """Whether an error's message says that a repeat sends the rest."""
    return _LEFT.search(message) is not None


def forbids_force(message: str) -> bool:
    """Whether an error's message says how to send the rest of a forced call; no email is in doubt then."""
    return _NO_FORCE in message


def says_what_helps(message: str) -> bool:
    """Whether a refusal of recipients says of a domain that no address there would be accepted."""
    return _NO_EMAIL.search(message) is not None


def lines(answer: Mapping[str, Any]) -> list[str]:
    """Return a line for each domain of a result or plan; none if the order is a DV order."""
    words = PLANNED if "would_be" in answer else _DONE
    shown = [_line(domain, words) for domain in answer.get("domains", [])]
    if more := answer.get("more_domains"):
        shown.append(f"and {counted(more, 'more domain')}")
    return shown


def _line(domain: Mapping[str, Any], words: Mapping[str, str]) -> str:
    until = f" (until {domain['until']})" if "until" in domain else ""
    return f"{domain['name']}: {words.get(domain['outcome'], f'not mailed: {domain["outcome"]}')}{until}"


def _ends_soon(domain: Mapping[str, Any]) -> bool:
    """Whether what blocks a domain may end before a call that is made now reaches it."""
    return "until" in domain and datetime.fromisoformat(domain["until"]).timestamp() < time.time() + _SOON_SECONDS
