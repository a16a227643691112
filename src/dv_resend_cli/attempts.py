"""What became of the attempts of one event, according to the audit trail.

The error that Lambda keeps of a failed event is that of its last attempt. An earlier one may have mailed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dv_resend_cli.audit_log import line_of, log_events
from dv_resend_cli.errors import FUNCTION_ERRORS
from dv_resend_cli.failed_events import forced_id

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession

# Times and durations are rounded.
_ROUNDING_MS = 10
# An event fails at the latest an hour after it was sent: 30 minutes at EventBridge, 30 at Lambda.
BEFORE_FAILURE_SECONDS = 90 * 60
# Errors after which an email may have been sent are not among them: `OutcomeUnknown`, and any bug.
_NOT_SENT = FUNCTION_ERRORS.keys() - {"OutcomeUnknown"}


type Known = Literal["sent", "unknown"]
type DomainKey = tuple[object, object]
"""A domain of an order that is not DV, by its id and its scope, as answers and audit lines name it."""


@dataclass(frozen=True)
class Attempts:
    """What all attempts of an event did: ``sent`` its emails, or may have sent them (``unknown``).

    ``of_order`` is about a resend of the whole order; ``None`` means that surely no attempt sent it. An order that is
    not DV is sent domain by domain, and ``of_domains`` has those that were, or may have been. A domain that an attempt
    found to be mailed already counts as ``sent``: what the event asked for was done.

    Example:
        >>> Attempts(None, {(1234, "example.com"): "sent"}).is_explained
        False
    """

    of_order: Known | None
    of_domains: Mapping[DomainKey, Known]

    @property
    def outcome(self) -> Known | None:
        """What is known, whatever it is about."""
        known = {self.of_order, *self.of_domains.values()}
        return "sent" if "sent" in known else "unknown" if "unknown" in known else None

    @property
    def is_explained(self) -> bool:
        """Whether it is known about which domains the outcome is unknown, so that the others were surely not sent."""
        return "unknown" in self.of_domains.values()


def attempts_of(session: "AwsSession", log_group: str, event_id: str, failed_at: float) -> Attempts:
    """Return whether any attempt of an event sent its emails, or may have.

    An attempt is known by Lambda's request id, which retries share, or by the event's id, which is its ``caller``.
    """
    attempts: dict[tuple[object, DomainKey | None], list[dict[str, Any]]] = {}
    for line in _lines(session, log_group, event_id, failed_at):
        request_id = line.get("function_request_id")
        is_of_event = event_id == request_id or line.get("caller") in (event_id, forced_id(event_id))
        # A line with `domains` only sums up the lines of its domains.
        if is_of_event and "domains" not in line:
            attempts.setdefault((request_id, _domain_of(line)), []).append(line)
    known: dict[DomainKey | None, list[Known | None]] = {}
    for (_, domain), lines in attempts.items():
        known.setdefault(domain, []).append(_outcome(lines, is_done=("sent", "duplicate") if domain else ("sent",)))
    outcomes = {domain: _surest(found) for domain, found in known.items()}
    of_domains = {domain: found for domain, found in outcomes.items() if domain and found}
    return Attempts(outcomes.get(None), of_domains)


def _domain_of(line: Mapping[str, Any]) -> DomainKey | None:
    return (line.get("domain_id"), line["domain"]) if "domain" in line else None


def _outcome(lines: list[dict[str, Any]], is_done: tuple[str, ...]) -> Known | None:
    """Return what the lines of one attempt, about the same domain or about the order, say."""
    outcomes = {line.get("outcome") for line in lines if not line.get("dry_run")}
    if not outcomes.isdisjoint(is_done):
        return "sent"
    return "unknown" if "OutcomeUnknown" in outcomes or _may_have_sent(lines) else None


def _surest(outcomes: Iterable[Known | None]) -> Known | None:
    return min(outcomes, key=("sent", "unknown", None).index)


def _may_have_sent(lines: list[dict[str, Any]]) -> bool:
    """Whether a line `sending` has no audit line that says that nothing was sent.

    That of a retry has the same id, but the retry began later.
    """
    not_sent = [
        (line["at"] - line.get("duration_ms", 0) - _ROUNDING_MS, line["at"])
        for line in lines
        if line["message"] == "audit" and line.get("outcome") in _NOT_SENT
    ]
    sending = [line["at"] for line in lines if line["message"] == "sending"]
    return any(not any(began <= at <= end for began, end in not_sent) for at in sending)


def _lines(session: "AwsSession", log_group: str, event_id: str, failed_at: float) -> Iterator[dict[str, Any]]:
    """Yield the lines `sending` and `audit` that may be of the event, each with its time (``at``, in milliseconds)."""
    # What would have to be escaped is found without a filter.
    pattern = f'"{event_id}"' if re.fullmatch(r"[\w.:/-]+", event_id, re.ASCII) else ""
    since = int((failed_at - BEFORE_FAILURE_SECONDS) * 1000)
    for event in log_events(session.client("logs"), log_group, pattern, since):
        line = line_of(event)
        if line.get("message") in ("sending", "audit"):
            yield line | {"at": event["timestamp"]}
