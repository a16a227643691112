"""What a person sees of a run."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any


class Steps:
    """Prints what happens, each step with the seconds since the start."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """One finished step."""
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", flush=True)

    def detail(self, text: str) -> None:
        """More about the step above."""
        print(f"          {text}", flush=True)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """A table, the first row its head, as details."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.detail("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def in_line(facts: Mapping[str, Any]) -> str:
    """The facts that there are, in one line."""
    return "  ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in facts.items()
        if value is not None
    )
