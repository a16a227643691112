"""The supply chain: pins, licences, linters, workflows, and the changelog."""

import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.template import PARAMETERS
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
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == groups - {"lambda"}
    assert "--group pyproject.toml:lambda -o src/requirements.txt" in MAKEFILE
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
    for name in ("change-set", "deploy"):
        # The environment's protection rules ask for confirmation.
        assert jobs[name]["environment"] == "${{ inputs.environment }}"


def test_deployment_executes_the_change_set_that_was_shown() -> None:
    jobs = workflow("deploy.yml")["jobs"]
    (arn,) = [step for step in jobs["change-set"]["steps"] if step.get("id") == "arn"]
    (execute,) = [step for step in jobs["deploy"]["steps"] if "run" in step]

    assert arn["run"] == 'echo "arn=$(cat .aws-sam/change-set)" >> "$GITHUB_OUTPUT"'
    assert jobs["change-set"]["outputs"] == {"arn": "${{ steps.arn.outputs.arn }}"}
    assert execute["run"] == 'make execute ENV="$ENVIRONMENT" CHANGE_SET="$CHANGE_SET"'
    assert execute["env"]["CHANGE_SET"] == "${{ needs.change-set.outputs.arn }}"


def test_packages_are_installed_before_there_are_aws_credentials() -> None:
    """And what they bring is run before: nothing of a package registry's runs with the credentials but SAM itself."""
    for name, before, after in (("change-set", ["make build"], ["make change-set"]), ("deploy", [], ["make execute"])):
        steps = workflow("deploy.yml")["jobs"][name]["steps"]
        (credentials,) = [n for n, step in enumerate(steps) if "configure-aws-credentials" in step.get("uses", "")]

        def made(part: list[dict[str, Any]]) -> list[str]:
            return [" ".join(step["run"].split()[:2]) for step in part if step.get("run", "").startswith("make ")]

        assert (made(steps[:credentials]), made(steps[credentials:])) == (before, after)
    for target in ("change-set", "execute"):
        assert " pip " not in make("--dry-run", target, "ENV=prod", f"CHANGE_SET={CHANGE_SET}").stdout


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_calls_existing_make_targets(name: str) -> None:
    commands = [step["run"].split() for step in steps(name) if step.get("run", "").startswith("make ")]

    assert commands
    for _, target, *variables in commands:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
        for variable in variables:
            assert f"$({variable.partition('=')[0]})" in MAKEFILE


# ---------------------------------------------------------------- make deploy

CHANGE_SET = "arn:aws:cloudformation:eu-west-1:123456789012:changeSet/samcli-deploy1795446245/1234abcd"
# In place of the AWS CLI and of the SAM CLI: they note what they are asked for.
FAKE_AWS = """\
#!/bin/sh
echo "aws $*" >> "$CALLS"
case "$*" in *describe-stacks*) echo "$STATUS";; esac
"""
FAKE_SAM = """\
#!/bin/sh
echo "sam $*" >> "$CALLS"
cat .aws-sam/release.toml >> "$CALLS"
echo "Changeset created successfully. $CHANGE_SET"
exit "$SAM_RETURNS"
"""


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    variables = {"PATH": os.environ["PATH"]} | environment
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def deployment(tmp_path: Path) -> Callable[..., tuple[int, list[str]]]:
    """Run a target of a copy of the Makefile; return its status, and the calls of AWS and SAM."""
    for name, text in (("aws", FAKE_AWS), ("sam", FAKE_SAM)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(*arguments: str, status: str = "UPDATE_COMPLETE", sam_returns: int = 0) -> tuple[int, list[str]]:
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        command = ["make", "-f", str(ROOT / "Makefile"), "-C", str(tmp_path), f"SAM={tmp_path / 'sam'}", *arguments]
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "STATUS": status,
            "CHANGE_SET": CHANGE_SET,
            "SAM_RETURNS": str(sam_returns),
        }
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return ran.returncode, calls.read_text().splitlines() if calls.exists() else []

    return run


SET_POLICY = (
    "aws cloudformation set-stack-policy --stack-name dv-resend-prod --stack-policy-body file://stack-policy.json"
)


def test_change_set_is_shown_and_noted_with_a_new_release(
    deployment: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    status, (sam, release) = deployment("change-set", "ENV=prod")

    assert status == 0
    assert sam == "sam deploy --config-env prod --no-execute-changeset --no-confirm-changeset"
    name = tomllib.loads(release)["Release"]
    assert re.fullmatch(r"\d{8}T\d{6}Z-([0-9a-f]+(-dirty)?|no-commit)", name)
    assert re.fullmatch(PARAMETERS["Release"]["AllowedPattern"], name)
    assert (tmp_path / ".aws-sam/change-set").read_text() == f"{CHANGE_SET}\n"


def test_change_set_that_fails_is_not_noted(deployment: Callable[..., tuple[int, list[str]]], tmp_path: Path) -> None:
    status, _ = deployment("change-set", "ENV=prod", sam_returns=1)

    assert status != 0
    assert not (tmp_path / ".aws-sam/change-set").exists()


@pytest.mark.parametrize(
    ("status", "end"),
    [("REVIEW_IN_PROGRESS", "stack-create-complete"), ("UPDATE_ROLLBACK_COMPLETE", "stack-update-complete")],
)
def test_change_set_is_executed_and_awaited(
    deployment: Callable[..., tuple[int, list[str]]], status: str, end: str
) -> None:
    returned, calls = deployment("execute", "ENV=prod", f"CHANGE_SET={CHANGE_SET}", status=status)

    assert returned == 0
    assert calls[1:] == [
        f"aws cloudformation execute-change-set --stack-name dv-resend-prod --change-set-name {CHANGE_SET}",
        f"aws cloudformation wait {end} --stack-name dv-resend-prod",
        SET_POLICY,
    ]


@pytest.mark.parametrize(
    "arguments", [("change-set",), ("change-set", "ENV=test"), ("execute", "ENV=prod", "CHANGE_SET=show")], ids=" ".join
)
def test_deployment_needs_an_environment_and_a_change_set(
    deployment: Callable[..., tuple[int, list[str]]], arguments: tuple[str, ...]
) -> None:
    status, calls = deployment(*arguments)

    assert (status, calls) == (2, [])


def test_stack_policy_is_set_after_each_deployment() -> None:
    lines = make("--dry-run", "deploy", "ENV=prod").stdout.splitlines()

    assert lines[-2].endswith("/sam deploy --config-env prod")
    assert lines[-1] == SET_POLICY


# ---------------------------------------------------------------- changelog


def test_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## (\S+) - (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)

    assert released[0][0] == __version__
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert [date for _, date in released] == sorted((date for _, date in released), reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds
