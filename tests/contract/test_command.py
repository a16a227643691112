"""The command `dv-resend` as a package: what its wheel holds, and what it imports."""

import ast
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path
from typing import get_args

import click
import pytest

from dev import pages
from dev.local.template import ROOT
from dv_resend_cli import __version__, redrive
from dv_resend_cli.cli import cli
from dv_resend_cli.errors import FUNCTION_ERRORS, ExitCode

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def imported_packages(package: str) -> set[str]:
    """Name the packages that the modules of a package import anywhere."""
    names: set[str] = set()
    for path in (ROOT / "src" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(("package", "other"), [("dv_resend", "dv_resend_cli"), ("dv_resend_cli", "dv_resend")])
def test_command_and_functions_do_not_import_each_other(package: str, other: str) -> None:
    assert package in imported_packages(package)
    assert other not in imported_packages(package)


def test_command_modules_are_short_enough_to_read() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "src/dv_resend_cli").rglob("*.py")}

    assert {name: length for name, length in lengths.items() if length > 350} == {}


def test_wheel_holds_the_command_alone(tmp_path: Path) -> None:
    subprocess.run([ROOT / ".tools/uv/bin/uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT], check=True)

    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src/dv_resend_cli").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name and not name.endswith("/")} == modules
    assert wheel.name == f"dv_resend-{__version__}-py3-none-any.whl"


def test_page_has_every_command_and_exit_code() -> None:
    rows = [row for table in pages.tables(pages.prose("docs/command.md")) for row in table]

    listed = {match[1] for row in rows if (match := re.match(r"`dv-resend ([\w-]+)", row[0]))}
    assert listed == set(cli.list_commands(click.Context(cli)))
    assert [row[0] for row in pages.rows_of("docs/command.md", "Exit codes")] == [str(int(code)) for code in ExitCode]


def test_page_has_every_name_of_an_error() -> None:
    listed = {name for row in pages.rows_of("docs/command.md", "Output") for name in pages.codes(row[0])}
    source = "".join(path.read_text() for path in (ROOT / "src/dv_resend_cli").rglob("*.py"))

    assert listed == {*re.findall(r'(?:Failure|_unknown)\(\s*"(\w+)"', source)} - FUNCTION_ERRORS.keys()


def test_page_has_every_outcome_of_a_redrive() -> None:
    outcomes, options = pages.tables(pages.section("docs/command.md", "Failed events"))[1:]

    assert {row[0].strip("`") for row in outcomes} == {*get_args(redrive.Outcome.__value__)}
    deleted = {row[0].strip("`") for row in outcomes if row[1] == "is deleted"}
    assert deleted == {name for name in get_args(redrive.Outcome.__value__) if redrive.Redriven(name, "").is_done}
    assert {row[0].strip("`").split()[0] for row in options} == {
        *("--dry-run", "--force", "--drop", "--order", "--event", "--all"),
    }


def test_command_has_the_version_of_the_project() -> None:
    assert __version__ == PROJECT["version"]
