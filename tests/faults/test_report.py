"""The fault matrix reaches the output of the whole run, from whichever process tested it."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

TESTS = Path(__file__).parents[1]
CELLS = """
    import pytest

    ROW = {"fault": "reset", "position": 0, "http": "504 -> 504", "raised": "x", "queue": "y"}
    ROW |= {"puts": "1", "mailed": "0"}

    @pytest.mark.parametrize("is_right", [True, False])
    def test_cells(record_property, is_right):
        for strikes in ("GET validation", "GET order", "PUT") if is_right else ("PUT later",):
            record_property("fault matrix", ROW | {"strikes": strikes})
        assert is_right
"""


@pytest.mark.parametrize("processes", ["0", "1"], ids=["in one process", "in another process"])
def test_every_row_is_printed(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_cells.py").write_text(dedent(CELLS))
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-n", processes, "--rootdir", tmp_path, tmp_path]

    ran = subprocess.run(
        command,
        env={"PYTHONPATH": f"{TESTS}:{TESTS.parent / 'src'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    lines = ran.stdout.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("FAULT"))
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        ["reset", "either", "GET", "504", "->", "504", "x", "y", "1", "0"],
        ["PUT", "504", "->", "504", "x", "y", "1", "0"],
        ["PUT", "later", "504", "->", "504", "x", "y", "1", "0", "FAILED"],
    ]
