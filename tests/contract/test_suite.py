"""The suite's own guarantee: no API key in a test's output."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CANARY

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("leak", ["print(CANARY)", "import logging; logging.warning(CANARY)", "assert CANARY == ''"])
def test_api_key_in_test_output_fails_the_test_and_is_hidden(tmp_path: Path, leak: str) -> None:
    (tmp_path / "test_leak.py").write_text(f"from conftest import CANARY\n\ndef test_leak():\n    {leak}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "--rootdir", str(tmp_path), str(tmp_path)]

    ran = subprocess.run(
        command,
        env={"PYTHONPATH": f"{TESTS}:{TESTS.parent / 'src'}:{TESTS.parent}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    assert "the API key leaked into the output of" in ran.stdout
    assert CANARY not in ran.stdout + ran.stderr
