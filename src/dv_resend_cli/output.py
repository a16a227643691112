"""What people and scripts see: colours on a terminal, plain text in a pipe, one JSON document with `--json`."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dv_resend_cli.errors import ExitCode, Failure


class Output:
    """Writes results to stdout, and what only people need (errors, progress, notes) to stderr.

    In a pipe a line is never wrapped, cut or coloured. Control characters in the texts of others are replaced, and what
    a terminal cannot show is escaped. If stdout cannot be written, the command goes on.

    Example:
        ``Output().table(["ORDER", "NAME"], [["123456789", "example.com"]])``
    """

    def __init__(self, *, as_json: bool = False) -> None:
        """Write to the present stdout and stderr."""
        self.as_json = as_json
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed by the shell
                setattr(sys, name, io.StringIO())
            if hasattr(stream := getattr(sys, name), "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        self._unwritable = ""
        self._console = _console(sys.stdout)
        self.errors = _console(sys.stderr)
        """The console for people, such as for a progress bar."""

    def show(self, answer: Any, write: Callable[[Any, "Output"], None]) -> None:
        """Show a result: as it is with `--json`, else as `write` writes it."""
        if self.as_json:
            self.document(answer)
        else:
            write(answer, self)

    def document(self, value: object) -> None:
        """Write the one JSON document of `--json`."""
        with self._stdout():
            sys.stdout.write(json.dumps(value, indent=2) + "\n")

    def csv(self, rows: Iterable[Iterable[object]]) -> None:
        """Write comma-separated values for a spreadsheet. ``None`` is an empty cell."""
        with self._stdout():
            lines = csv.writer(sys.stdout, lineterminator="\n")
            lines.writerows(["" if cell is None else spreadsheet_cell(cell) for cell in row] for row in rows)

    def line(self, text: str = "", *, indent: int = 0, style: str = "") -> None:
        """Write a line at once. On a terminal, a long one continues below its indentation."""
        with self._stdout():
            if self._console.is_terminal:
                # Padding leaves an empty text out.
                padded = Padding(Text(printable(text) or " ", style), (0, 0, 0, indent), expand=False)
                self._console.print(padded)
            else:
                sys.stdout.write(" " * indent + printable(text) + "\n")
                sys.stdout.flush()

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write a table, left-aligned. ``None`` is shown as a dash."""
        cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
        if self._console.is_terminal:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for title in head:
                table.add_column(title, overflow="fold")
            for row in cells:
                table.add_row(*map(Text, row))
            with self._stdout():
                self._console.print(table)
            return
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        with self._stdout():
            for row in [list(head), *cells]:
                padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                sys.stdout.write("  ".join(padded).rstrip() + "\n")

    def note(self, text: str) -> None:
        """Tell a person something that is not part of the result, also with `--json`."""
        _write(self.errors, printable(text), "yellow")

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show, on a terminal, that a call is under way until the block ends."""
        return self.errors.status(text) if self.errors.is_terminal else nullcontext()

    def failure(self, failure: "Failure") -> None:
        """Tell what went wrong and what to do."""
        if self.as_json:
            self.document({"error": failure.to_json()})
            return
        _write(self.errors, printable(str(failure)), "red")
        if failure.advice:
            _write(self.errors, printable(failure.advice))

    def end(self, exit_code: int) -> int:
        """Write what is left, and return the exit code: that of what was done, or of an error if nobody can see it."""
        with self._stdout():
            sys.stdout.flush()
        if self._unwritable:
            done = f"The exit code of what was done is {int(exit_code)}."
            message = f"The output cannot be written: {self._unwritable}. {done}"
            failure = Failure("OutputUnusable", message, ExitCode.ACCOUNT)
            _write(self.errors, str(failure), "red")
            return exit_code or failure.exit_code
        return exit_code

    @contextmanager
    def _stdout(self) -> Iterator[None]:
        """Go on without stdout if it cannot be written. That a reader such as `head` wants no more is no error."""
        try:
            yield
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self._unwritable = error.strerror or str(error)
            with suppress(OSError, ValueError):
                # What is in the buffer goes there, too, when the program ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """Replace control characters, which could change what a terminal shows; a line break becomes a space."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " if character.isspace() else "?" for character in text)


def spreadsheet_cell(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula, in one line."""
    text = printable(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def counted(count: int, noun: str) -> str:
    """Return the count with the noun, in singular or plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class _Console(Console):
    """A console that leaves it to `Output` what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        """Go on in silence."""
        self.quiet = True


def _console(file: Any) -> Console:
    return _Console(file=file, markup=False, highlight=False, emoji=False)


def _write(console: Console, text: str, style: str = "") -> None:
    """Write a line for people, unwrapped in a pipe or a log. If that fails, the command goes on."""
    with suppress(OSError):
        console.print(Text(text, style), soft_wrap=not console.is_terminal)
