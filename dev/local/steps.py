"""The output of a run."""

import json
import time
from collections.abc import Mapping
from typing import Any


class Steps:
    """Prints what has happened, each step with the seconds since the start."""

    def __init__(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """Print a finished step."""
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", flush=True)

    def detail(self, text: str) -> None:
        """Print more about the step above."""
        print(f"          {text}", flush=True)


def in_line(facts: Mapping[str, Any]) -> str:
    """Join the facts that are not None in one line."""
    return "  ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in facts.items()
        if value is not None
    )


def counted(count: int, noun: str) -> str:
    """Return the count with the noun, in singular or plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
