"""Starts child processes in process groups of their own, and stops exactly those."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_GRACE_SECONDS = 3.0
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartError(Exception):
    """Something did not start or did not work. The message is written for people, and names the log to read."""


def exit_code(program: Callable[[], int], interrupted: str = "Everything has been stopped.") -> int:
    """Run a program and return its exit code: 1 after a `StartError`, 130 after Ctrl-C, each with a line on stderr."""
    try:
        return program()
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted. {interrupted}", file=sys.stderr)
        return 130


@dataclass(frozen=True)
class Process:
    """A process that leads its own group: enough to stop it later, even from another program."""

    name: str
    pid: int
    started: str  # start time as the system reports it, because process ids are reused

    @property
    def is_running(self) -> bool:
        """Whether this process is still running."""
        return _start_time(self.pid) == self.started

    def stop(self) -> None:
        """Stop the process and its whole group, unless it has ended already."""
        if self.is_running:
            _stop_group(self.pid)


class Children:
    """The children of one run. Signals are deferred while a child starts, so that none is left behind."""

    def __init__(self, logs: Path) -> None:
        """Write one `<name>.log` for each child into the folder `logs`."""
        self._logs = logs
        self.started: list[Process] = []

    def start(self, name: str, command: list[str | Path], *, env: dict[str, str], cwd: Path) -> Process:
        """Start `command` without a terminal; its output goes to the log."""
        with (
            signals_deferred(),
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
                raise StartError(f"{name} could not start: {error}. `make tools` installs what is missing.") from error
            # `wait` or `Process.stop` reaps it by pid; without this, Popen would warn.
            child.returncode = 0
            process = Process(name, child.pid, _start_time(child.pid) or "")
            self.started.append(process)
        return process

    def wait(self, process: Process, seconds: float) -> None:
        """Wait for a command to end. Raises `StartError` unless it succeeds in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                self.started.remove(process)
                if os.waitstatus_to_exitcode(status) != 0:
                    raise self.failure(process, "failed")
                return
            time.sleep(0.02)
        raise self.failure(process, f"did not finish within {seconds:.0f} s")

    def failure(self, process: Process, what: str) -> StartError:
        """Return the error to raise if `process` has failed; it includes the end of the log."""
        log = self.log(process.name)
        tail = "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-15:])
        return StartError(f"{process.name} {what}. Last lines of {log}:\n{tail}")

    def stop(self) -> None:
        """Stop all children, the youngest first; signals are deferred meanwhile."""
        with signals_deferred():
            while self.started:
                # Even a crashed one: its own children may be alive, and until it is reaped its pid is not reused.
                _stop_group(self.started.pop().pid)

    def log(self, name: str) -> Path:
        """Return the log file of the child `name`."""
        return self._logs / f"{name.replace(' ', '-')}.log"


_waiting = 0
_arrived: int | None = None


@contextmanager
def signals_end_the_block() -> Iterator[None]:
    """Make SIGINT, SIGTERM and SIGHUP raise an exception in the block, so that every `finally` runs.

    Without effect outside the main thread, where Python cannot handle signals.
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
def signals_deferred() -> Iterator[None]:
    """Defer signals until the end of the block."""
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


def _stop_group(group: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(group, number)
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            with suppress(ChildProcessError):
                os.waitpid(group, os.WNOHANG)  # only a parent can reap it, and must
            if not _group_exists(group):
                return
            time.sleep(0.02)


def _start_time(pid: int) -> str | None:
    """Return when the process started; None if it does not exist or has ended."""
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
    except PermissionError:  # macOS, for a group of zombies only
        return False
    return True
