"""Prints the fault matrix at the end of a test run, also when other processes ran the tests.

Each cell is a property of a test's report, which pytest-xdist passes on to the process that prints.
"""

from itertools import groupby
from typing import Any

import pytest

PROPERTY = "fault matrix"
HEADINGS = ("FAULT", "STRIKES", "HTTP", "DIRECT, EVENT", "QUEUE", "PUTS", "MAILED", "")
ROW = ("fault", "strikes", "http", "raised", "queue", "puts", "mailed")
EITHER_GET = ("GET validation", "GET order")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print every tested cell: how each event source responded to the first call, and to the same call again."""
    rows = [
        {**value, "failed": report.outcome != "passed"}
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", [])
        if name == PROPERTY
    ]
    if not rows:
        return
    terminalreporter.section("fault matrix: first call -> the same call again, with the fault gone")
    for line in table(rows):
        terminalreporter.write_line(line)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Format the rows as text; the two GETs share a row if they do not differ."""
    ordered = sorted(rows, key=lambda row: row["position"])
    lines: list[tuple[str, ...]] = [HEADINGS]
    for fault, group in groupby(ordered, key=lambda row: str(row["fault"])):
        shown = [[str(row[name]) for name in ROW] + ["FAILED" if row["failed"] else ""] for row in group]
        if len(shown) > 1 and shown[0][2:] == shown[1][2:] and (shown[0][1], shown[1][1]) == EITHER_GET:
            shown[:2] = [[fault, "either GET", *shown[0][2:]]]
        for place, row in enumerate(shown):
            lines.append((fault if place == 0 else "", *row[1:]))
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]
