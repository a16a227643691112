"""The results of `dv-resend bulk`, in a file beside the input: what is known about each order, whatever is killed when.

The file is a journal. A line is appended, and is on the disk, before anything relies on it; the last line of a request
counts. So an order is `started` in the file before its call is made, and a kill at any moment leaves a file that says
so. At the end of a run the journal is replaced by one line for each order.
"""

import csv
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.output import spreadsheet_cell

STARTED = "started"
SETTLED = ("sent", "duplicate", "OutcomeUnknown")
"""Outcomes after which an order is never called again, unless domains of it are left."""

type Key = tuple[int, str, str]


@dataclass(frozen=True)
class Result:
    """What became of a request: a line of the file. Times are in UTC.

    ``unresolved_since`` is when the first call began that may have mailed without anybody knowing, or that mailed about
    some domains of the order only; empty if there is none. ``stack`` is the stack's ARN: a trial in another account or
    region may have a stack of the same name.

    Example:
        >>> Result(7, "default", "", "sent", 0, "2026-11-23T15:04:05Z").key
        (7, 'default', '')
    """

    order_id: int
    recipients: str
    locale: str
    outcome: str
    exit_code: int
    at: str
    unresolved_since: str = ""
    stack: str = ""
    message: str = ""

    @property
    def key(self) -> Key:
        """Which request it is about (`BulkRequest.key`)."""
        return self.order_id, self.recipients, self.locale

    @property
    def is_settled(self) -> bool:
        """Whether the order is never called again."""
        return self.outcome in SETTLED and not self.unresolved_since

    @property
    def is_left(self) -> bool:
        """Whether the same command is worth running again for it."""
        return bool(self.unresolved_since) or self.exit_code in (ExitCode.RETRYABLE, ExitCode.ACCOUNT)


HEADER = tuple(field.name for field in fields(Result))


class Results:
    """The last result of each request, by `BulkRequest.key`; in memory only, as a dry run needs it.

    Example:
        ``Results(stack.arn, read_results(path, stack.arn)).write(result)``
    """

    def __init__(self, stack: str, known: Iterable[Result] = ()) -> None:
        """Start with what is known about requests to a stack, which is named by its ARN."""
        self._stack = stack
        self.by_key = {result.key: result for result in known}

    def of(self, key: Key) -> Result | None:
        """Return what is known about a request."""
        return self.by_key.get(_cells(key))

    def write(self, result: Result) -> None:
        """Keep a result."""
        self.by_key[_cells(result.key)] = replace(result, stack=self._stack)


class ResultsFile(Results):
    """The results in a file that is open and locked (`open_results`).

    Example:
        ``with open_results(path, stack.arn) as results: results.write(result)``
    """

    def __init__(self, path: Path, descriptor: int, stack: str, known: Iterable[Result]) -> None:
        """Keep an open file, at whose end lines are appended."""
        super().__init__(stack, known)
        self._path = path
        self._descriptor = descriptor
        self._has_grown = False

    def write(self, result: Result) -> None:
        """Append a line; raise `Failure` unless it is on the disk."""
        self._has_grown = True
        with _usable(self._path):
            _append(self._descriptor, _line(astuple(replace(result, stack=self._stack))))
        super().write(result)

    def compact(self, keys: Iterable[Key]) -> None:
        """Replace the journal by one line for each request, those of `keys` first. If that fails, the journal stays."""
        if not self._has_grown:
            return
        draft = self._path.with_name(self._path.name + ".tmp")
        with suppress(OSError):
            # What is on the disk counts, in case an error or Ctrl-C came while a line was written.
            written = {result.key: result for result in _parse(self._path, self._path.read_bytes())[0]}
            order = dict.fromkeys([*map(_cells, keys), *written])
            lines = [HEADER, *(astuple(written[key]) for key in order if key in written)]
            try:
                with draft.open("wb") as file:
                    file.write(b"".join(map(_line, lines)))
                    file.flush()
                    os.fsync(file.fileno())
                shutil.copymode(self._path, draft)
                draft.replace(self._path)
                _sync_folder(self._path)
            finally:
                draft.unlink(missing_ok=True)


def results_path(file: Path) -> Path:
    """Return where the results of a file are: ``orders.csv`` has ``orders.results.csv``."""
    return file.with_name(f"{file.stem}.results.csv")


@contextmanager
def open_results(path: Path, stack: str) -> Iterator[ResultsFile]:
    """Open the results, or begin them; nobody else can until the block ends. Raise `Failure` if they are unusable."""
    with _usable(path):
        descriptor = _open_locked(path)
    try:
        with _usable(path):
            content = path.read_bytes()
            known, good = _parse(path, content)
            _check_stack(path, known, stack)
            if good < len(content):
                os.ftruncate(descriptor, good)
            if not good:
                _append(descriptor, _line(HEADER))
                _sync_folder(path)
            elif content[good - 1 : good] != b"\n":
                _append(descriptor, b"\n")
        yield ResultsFile(path, descriptor, stack, known)
    finally:
        os.close(descriptor)


def read_results(path: Path, stack: str) -> list[Result]:
    """Read the results, if there are any, without locking or changing them."""
    with _usable(path):
        known, _ = _parse(path, path.read_bytes() if path.exists() else b"")
    _check_stack(path, known, stack)
    return known


def utc(seconds: float) -> str:
    """Return a time since the epoch as results show it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(moment: str) -> float:
    """Return a time of a result in seconds since the epoch."""
    return datetime.fromisoformat(moment).timestamp()


# ---------------------------------------------------------------- the file


def _open_locked(path: Path) -> int:
    """Open a file that nobody else has locked. The lock ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError:
        raise Failure("ResultsUnusable", "Run bulk on Linux, macOS or WSL.", ExitCode.ACCOUNT) from None
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another run may have replaced the file between these two lines.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            message = f"Another bulk is writing {path.name}. Nothing was sent by this one."
            raise Failure("ResultsInUse", message, ExitCode.RETRYABLE, "Wait until it has ended.") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _append(descriptor: int, line: bytes) -> None:
    if os.write(descriptor, line) != len(line):
        raise OSError("the disk is full")
    os.fsync(descriptor)


def _sync_folder(path: Path) -> None:
    """Let the file's name survive a power cut, too, where the file system can do that."""
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"The results cannot be kept in {path}: {error.strerror or error}."
        raise Failure("ResultsUnusable", message, ExitCode.ACCOUNT, "Without them, no call is made.") from error


def _parse(path: Path, content: bytes) -> tuple[list[Result], int]:
    """Return the results, and the length of what is whole: a kill or a power cut may have cut off the last line."""
    lines = content.splitlines(keepends=True)
    header = _line(HEADER)
    if len(lines) <= 1 and header.startswith(content):
        return [], 0 if content != header else len(header)
    if lines[0].rstrip() != header.rstrip():
        message = f"{path.name} was not written by this command, or another program has saved it in another form."
        raise Failure("ResultsUnusable", message, ExitCode.ACCOUNT, "Move it away, if nothing of it matters.")
    results, good = [], len(lines[0])
    for number, line in enumerate(lines[1:], 2):
        try:
            results.append(_result(line))
        except (ValueError, csv.Error):
            if number == len(lines) and (not line.endswith(b"\n") or b"\0" in line):
                break
            message = f"Line {number} of {path.name} cannot be read, so nobody knows which emails were sent."
            raise Failure("ResultsUnusable", message, ExitCode.ACCOUNT, "Correct the line.") from None
        good += len(line)
    return results, good


def _check_stack(path: Path, known: Iterable[Result], stack: str) -> None:
    """Refuse results of another stack: what a trial has sent would count as sent."""
    if others := {result.stack for result in known} - {stack}:
        message = f"{path.name} has results of the stack {min(others)}, not of {stack}."
        raise Failure("ResultsUnusable", message, ExitCode.ACCOUNT, "Move it away to begin anew, or name its stack.")


def _result(line: bytes) -> Result:
    csv.field_size_limit(2**30)  # an order may have 250 recipients
    (cells,) = csv.reader([line.decode().rstrip("\r\n")], strict=True)
    order_id, recipients, locale, outcome, exit_code, at, unresolved_since, stack, message = cells
    for moment in (at, unresolved_since):
        if moment:
            seconds_of(moment)
    return Result(int(order_id), recipients, locale, outcome, int(exit_code), at, unresolved_since, stack, message)


def _line(cells: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(map(spreadsheet_cell, cells))
    return text.getvalue().encode()


def _cells(key: Key) -> Key:
    """Return a key as it is in the file."""
    return key[0], spreadsheet_cell(key[1]), spreadsheet_cell(key[2])
