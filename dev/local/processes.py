"""Starts child processes in groups of their own, and ends exactly those."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_GRACE_SECONDS = 3.0
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartError(Exception):
    """Something did not start or did not work. The message is for a person, and names the log to read."""


@dataclass(frozen=True)
class Process:
    """A process that leads its own group: enough to end it later, even from another program."""

    name: str
    pid: int
    started: str  # when, in the system's own words: a process number can be given to somebody else

    @property
    def is_running(self) -> bool:
        """Whether this very process still runs."""
        return _start_time(self.pid) == self.started

    def stop(self) -> None:
        """End the process and its whole group; quiet if it is gone already."""
        if self.is_running:
            _end_group(self.pid)


class Children:
    """The children of one run. Signals wait while one is being started, so that none is forgotten."""

    def __init__(self, logs: Path) -> None:
        """`logs` is the folder that gets one `<name>.log` for each child."""
        self._logs = logs
        self.started: list[Process] = []

    def start(self, name: str, command: list[str | Path], *, env: dict[str, str], cwd: Path) -> Process:
        """Start `command` without a terminal; its output goes to its log."""
        with (
            signals_wait(),
            self.log(name).open("ab") as log,
        ):
            try:
                child = subprocess.Popen(
                    command,
                    env=env,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartError(f"Could not start {name}: {error}. `make tools` brings what is missing.") from error
            # Collected by pid, here or by `Process.stop`; Popen would warn that nobody does.
            child.returncode = 0
            process = Process(name, child.pid, _start_time(child.pid) or "")
            self.started.append(process)
        return process

    def wait(self, process: Process, seconds: float) -> None:
        """Wait for a command that ends by itself. Raises `StartError` unless it succeeds in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                self.started.remove(process)
                if os.waitstatus_to_exitcode(status) != 0:
                    raise self.failure(process, "failed")
                return
            time.sleep(0.02)
        raise self.failure(process, f"did not end within {seconds:.0f} s")

    def failure(self, process: Process, what: str) -> StartError:
        """The error to raise when `process` did not do its work: with the end of its log."""
        log = self.log(process.name)
        tail = "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-15:])
        return StartError(f"{process.name} {what}. The end of {log}:\n{tail}")

    def stop(self) -> None:
        """End all of them, the youngest first, whatever signals come meanwhile."""
        with signals_wait():
            while self.started:
                # Even one that crashed is stopped: it is not collected yet, so its number is still its own, and what it
                # started may live on.
                _end_group(self.started.pop().pid)

    def log(self, name: str) -> Path:
        """Where the output of the child `name` goes."""
        return self._logs / f"{name.replace(' ', '-')}.log"


_waiting = 0
_arrived: int | None = None


@contextmanager
def signals_end_the_block() -> Iterator[None]:
    """Within it SIGINT, SIGTERM and SIGHUP unwind the stack, so that every `finally` runs.

    Does nothing outside the main thread, where Python cannot handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Within it a signal is noted, and takes effect at the end."""
    global _waiting, _arrived
    _waiting += 1
    try:
        yield
    finally:
        _waiting -= 1
        if not _waiting and _arrived is not None:
            number, _arrived = _arrived, None
            _on_signal(number, None)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    global _arrived
    if _waiting:
        _arrived = number
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)


def _end_group(group: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(group, number)
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            with suppress(ChildProcessError):
                os.waitpid(group, os.WNOHANG)  # only a parent can collect it, and must
            if not _group_exists(group):
                return
            time.sleep(0.02)


def _start_time(pid: int) -> str | None:
    """When the process started; None if there is no such process, or it has ended and is not collected yet."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The command's name, in parentheses, may hold anything; the state follows it.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group that holds only uncollected processes
        return False
    return True
