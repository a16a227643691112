"""The supply chain: pins, licences, linters, workflows, and the changelog."""

import os
import re
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import licences
from dv_resend import __version__

ROOT = Path(__file__).parents[2]
REQUIREMENTS = [ROOT / "src/requirements.txt", *sorted((ROOT / "requirements").glob("*.txt"))]
SHIPPED = licences.pins(ROOT / "src/requirements.txt")
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOWS = {path.name: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}


# ---------------------------------------------------------------- packages


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda path: path.stem)
def test_requirements_are_pinned_and_hashed(file: Path) -> None:
    text = re.sub(r"\\\n", "", file.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]

    assert lines
    pinned = r"[a-z0-9-]+==[^\s;]+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+"
    assert [line[:60] for line in lines if not re.fullmatch(pinned, line)] == []


def test_requirement_files_match_groups_and_install_by_hash() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"].keys()

    assert set(re.findall(r"--group pyproject\.toml:([\w-]+)", MAKEFILE)) == groups
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == groups
    tools = [line for line in MAKEFILE.splitlines() if " pip sync " in line]
    build = [line for line in (ROOT / "src/Makefile").read_text().splitlines() if " pip install " in line]
    assert (len(tools), len(build)) == (1, 1)
    assert all("--require-hashes" in line for line in tools + build)


def test_tested_packages_are_the_shipped_versions() -> None:
    assert SHIPPED
    assert {name: distribution(name).version for name in SHIPPED} == SHIPPED


def test_license_list_is_up_to_date() -> None:
    assert licences.DOCUMENT.read_text() == licences.document(), "`make licences` writes it again"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_package_has_an_allowed_license(name: str) -> None:
    package = distribution(name)

    assert licences.licence(package) in licences.ALLOWED
    assert licences.source(package).startswith("https://")
    # The license text ships, too.
    texts = [file for file in package.files or [] if file.parts[0].endswith(".dist-info") and "LICENSE" in file.name]
    assert texts
    assert all(text.read_text().strip() for text in texts)


# ---------------------------------------------------------------- workflows


def workflow(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(WORKFLOWS[name].read_text())
    return found


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job.get("steps", [])]


def test_actions_are_pinned_by_commit() -> None:
    uses = [line.strip() for path in WORKFLOWS.values() for line in path.read_text().splitlines() if "uses:" in line]
    others = [line for line in uses if line != "uses: $/.github/workflows/test.yml"]  # this repository, this commit

    assert len(others) > len(WORKFLOWS)
    pinned = r"- uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
    assert [line for line in others if not re.fullmatch(pinned, line)] == []
    # Each action has the same commit everywhere.
    assert len({line.partition("@")[0] for line in others}) == len(set(others))


def test_workflows_have_minimal_permissions() -> None:
    """zizmor finds what else a workflow may do: injection, stored credentials, dangerous triggers."""
    read, deploy = {"contents": "read"}, {"contents": "read", "id-token": "write"}

    assert WORKFLOWS.keys() == {"deploy.yml", "test.yml"}
    assert workflow("test.yml")["permissions"] == read
    assert workflow("deploy.yml")["permissions"] == {}
    assert {name: job.get("permissions") for name, job in workflow("test.yml")["jobs"].items()} == {"test": None}
    assert {name: job["permissions"] for name, job in workflow("deploy.yml")["jobs"].items()} == {
        "test": read,
        "change-set": deploy,
        "deploy": deploy,
    }
    assert not [name for name, path in WORKFLOWS.items() if "secrets" in path.read_text()]


def test_deployment_is_tested_shown_and_approved_first() -> None:
    jobs = workflow("deploy.yml")["jobs"]

    assert jobs["test"]["uses"] == "$/.github/workflows/test.yml"
    assert (jobs["change-set"]["needs"], jobs["deploy"]["needs"]) == ("test", "change-set")
    for name, change_set in (("change-set", "show"), ("deploy", "execute")):
        # The environment's protection rules ask for confirmation.
        assert jobs[name]["environment"] == "${{ inputs.environment }}"
        (run,) = [step["run"] for step in jobs[name]["steps"] if "run" in step]
        assert run == f'make deploy ENV="$ENVIRONMENT" CHANGE_SET={change_set}'


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_calls_existing_make_targets(name: str) -> None:
    commands = [step["run"].split() for step in steps(name) if "run" in step]

    assert commands
    for make, target, *variables in commands:
        assert make == "make"
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
        for variable in variables:
            assert f"$({variable.partition('=')[0]})" in MAKEFILE


@pytest.mark.parametrize(
    ("change_set", "flag"), [("show", "--no-execute-changeset"), ("execute", "--no-confirm-changeset")]
)
def test_make_deploy_change_set_option_asks_no_question(change_set: str, flag: str) -> None:
    """A dry run of `make` prints the command."""
    command = ["make", "--dry-run", "deploy", "ENV=prod", f"CHANGE_SET={change_set}"]

    ran = subprocess.run(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
    )

    (deploy,) = [line.split() for line in ran.stdout.splitlines() if " deploy --config-env prod" in line]
    assert flag in deploy


# ---------------------------------------------------------------- changelog


def test_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## (\S+) - (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)

    assert released[0][0] == __version__
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert [date for _, date in released] == sorted((date for _, date in released), reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds
