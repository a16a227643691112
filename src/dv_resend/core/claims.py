"""Who may send which email now: the rules of claims. `adapters.claims_table` stores them.

A claim's life::

    acquire            PUT                    recorded                     expiration
    |-- sending -------|----------------------|-- sent or unknown ---------|   (free again)
                       deadline passed without a record: unknown

Only the invocation that holds the claim may send. A claim that nobody settled before its deadline has an unknown
outcome.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Claim:
    """One claim as it is stored. Times are seconds since the epoch.

    Example:
        >>> Claim("a key", "sending", "an owner", deadline=29, expiration=3600).state(now=30)
        'unknown'
    """

    key: str
    status: Literal["sending", "sent", "unknown"]
    owner: str
    deadline: int
    expiration: int
    sent_at: int | None = None
    forced_by: frozenset[str] = frozenset()

    def state(self, now: float) -> Literal["expired", "sending", "sent", "unknown"]:
        """Return what the claim means at ``now``: a send that was not settled by its deadline is unknown."""
        if self.expiration <= now:
            return "expired"
        if self.status == "sending" and self.deadline <= now:
            return "unknown"
        return self.status


@dataclass(frozen=True)
class HeldClaim(Claim):
    """A claim that this invocation holds: it alone may send, and must record the outcome or release the claim.

    ``replaced`` is the claim that a forced call replaced; releasing restores it.

    Example:
        >>> HeldClaim("a key", "sending", "an owner", deadline=29, expiration=3600).replaced is None
        True
    """

    replaced: Claim | None = field(default=None, kw_only=True)
