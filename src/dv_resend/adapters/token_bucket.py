"""A token bucket: it keeps the sweep within its share of CertCentral's request limit."""

import time
from collections.abc import Callable


class TokenBucket:
    """Allows ``per_second`` calls a second, with a burst of at most one second's worth.

    Keep one for as long as the process lives: the clock of a frozen function may stand still, and then no tokens
    accrue.

    Example:
        >>> TokenBucket(per_second=4).wait()
    """

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start with a full bucket."""
        self._per_second = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._sleep = sleep
        self._tokens = self._burst
        self._filled_at = clock()

    def wait(self) -> None:
        """Take a token, after waiting for one if there is none."""
        self._fill()
        if self._tokens < 1:
            self._sleep((1 - self._tokens) / self._per_second)
            self._fill()
        # A sleep may end a little early; the next call pays the debt.
        self._tokens -= 1

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled_at) * self._per_second)
        self._filled_at = now
