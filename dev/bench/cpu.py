"""How much processor time a process has used, and may use."""

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Self

# Lambda developer guide, "Configure Lambda function memory": at 1,769 MB a function has one processor, and less in
# proportion.
MB_OF_ONE_CPU = 1769
# The period in which Linux hands out such a share on Lambda; not documented, but seen by many who measured it.
_PERIOD_SECONDS = 0.02
_STEP_SECONDS = 0.0005


def cpu_seconds(pid: int) -> float:
    """What a running process has used so far."""
    # Its CPU clock, to the nanosecond; glibc's clock_getcpuclockid() makes the number the same way.
    return time.clock_gettime((~pid << 3) | 2)


class Throttle:
    """Gives process `pid` the share of a processor that Lambda gives a function of so many `megabytes`.

    In each period the process is stopped once it has used up its share. While it waits it uses nothing up.
    """

    def __init__(self, pid: int, megabytes: int) -> None:
        self._pid = pid
        self._share = megabytes / MB_OF_ONE_CPU
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        allowed = self._share * _PERIOD_SECONDS
        period_ends = time.perf_counter() + _PERIOD_SECONDS
        used, left, is_stopped = cpu_seconds(self._pid), allowed, False
        with suppress(OSError):  # it may have ended
            while not self._ending.is_set():
                time.sleep(_STEP_SECONDS)
                now = cpu_seconds(self._pid)
                left, used = left - (now - used), now
                if time.perf_counter() >= period_ends:
                    period_ends += _PERIOD_SECONDS
                    # What was not used is lost; what was used too much, between two looks, is owed.
                    left = min(left + allowed, allowed)
                if is_stopped != (left <= 0):
                    is_stopped = not is_stopped
                    os.kill(self._pid, signal.SIGSTOP if is_stopped else signal.SIGCONT)
            os.kill(self._pid, signal.SIGCONT)
