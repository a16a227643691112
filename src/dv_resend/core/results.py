"""What a resend, or a reminder, came to."""

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from dv_resend.core.timestamps import utc

if TYPE_CHECKING:
    from dv_resend.core.orders import Domain
    from dv_resend.core.requests import ResendRequest

# A step of a workflow accepts 256 KiB.
MAX_DOMAINS = 250
# Beside as many of the longest recipients.
MAX_DOMAIN_CHARACTERS = 20_000


@dataclass(frozen=True)
class ResendResult:
    """A resend that was sent now, or that mailed nobody because everybody was mailed inside the cool-down.

    ``sent_at`` is when the last of them was mailed, and before ``until`` a repeat sends nothing; both are in seconds
    since the epoch. ``earlier`` says of a duplicate when each recipient was mailed; ``perhaps`` says it of those who
    may have been among DigiCert's default recipients. ``domains`` holds the outcome of each domain, if the order is not
    DV.

    Example:
        >>> from dv_resend.core.requests import ResendRequest
        >>> ResendResult(ResendRequest(7), "sent", sent_at=0, until=3720).to_json()["sent_at"]
        '1970-01-01T00:00:00Z'
    """

    request: "ResendRequest"
    outcome: Literal["sent", "duplicate"]
    sent_at: int
    until: int
    earlier: "tuple[tuple[str, int], ...]" = ()
    perhaps: "tuple[tuple[str, int], ...]" = ()
    domains: "tuple[tuple[Domain, str], ...]" = ()

    def to_json(self) -> dict[str, object]:
        """Return the result as direct callers get it."""
        result: dict[str, object] = {
            "order_id": self.request.order_id,
            "outcome": self.outcome,
            "recipients": self.request.addresses,
            "skipped": [skipped.to_json() for skipped in self.request.skipped],
            "sent_at": utc(self.sent_at),
        }
        if self.domains:
            lengths = accumulate(len(each.scope) for each, _ in self.domains[:MAX_DOMAINS])
            shown = self.domains[: sum(length <= MAX_DOMAIN_CHARACTERS for length in lengths)]
            result["domains"] = [{"name": each.scope, "id": each.domain_id, "outcome": name} for each, name in shown]
            if len(self.domains) > len(shown):
                result["more_domains"] = len(self.domains) - len(shown)
        return result


@dataclass(frozen=True)
class ReminderResult:
    """What became of a reminder: a resend, or the reason why none was needed.

    Example:
        >>> ReminderResult(7, "not_due").outcome
        'not_due'
    """

    order_id: int
    outcome: Literal["sent", "already_reminded", "already_mailed", "not_due", "missed", "stuck"]
