"""A token bucket: it holds the sweep to its share of CertCentral's request limit."""

import time
from collections.abc import Callable


class Pace:
    """Lets ``per_second`` calls pass a second, with a burst of at most one second's worth.

    Keep one for as long as the process lives: a frozen function's clock may stand still, and then nothing has accrued.
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
        """Take a token, waiting for it if there is none."""
        self._fill()
        if self._tokens < 1:
            self._sleep((1 - self._tokens) / self._per_second)
            self._fill()
        # A sleep may end a little early; the debt is paid by the next call.
        self._tokens -= 1

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled_at) * self._per_second)
        self._filled_at = now
