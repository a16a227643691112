"""What people and scripts see: colours on a terminal, plain text in a pipe, one JSON document with `--json`."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dv_resend_cli.errors import Failure


class Output:
    """Writes results to stdout, and what only people need (errors, progress, notes) to stderr.

    In a pipe a line is never wrapped, cut or coloured. Control characters in the texts of others are replaced.

    Example:
        ``Output().table(["ORDER", "NAME"], [["123456789", "example.com"]])``
    """

    def __init__(self, *, as_json: bool = False) -> None:
        """Write to the present stdout and stderr."""
        self.as_json = as_json
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
        sys.stdout.write(json.dumps(value, indent=2) + "\n")

    def line(self, text: str = "", *, indent: int = 0, style: str = "") -> None:
        """Write a line at once. On a terminal, a long one continues below its indentation."""
        if self._console.is_terminal:
            # Padding leaves an empty text out.
            self._console.print(Padding(Text(printable(text) or " ", style), (0, 0, 0, indent), expand=False))
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
            self._console.print(table)
            return
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
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


def _console(file: Any) -> Console:
    return Console(file=file, markup=False, highlight=False, emoji=False)


def _write(console: Console, text: str, style: str = "") -> None:
    """Write a line for people, unwrapped in a pipe or a log."""
    console.print(Text(text, style), soft_wrap=not console.is_terminal)
