"""What may import what: it keeps the layers apart, and the cold start short."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "dv_resend"
# May be imported by the package: what the requirements and the Lambda runtime bring. Not boto3: its import takes long.
ALLOWED = {
    *("aws_lambda_powertools", "botocore", "dns", "idna", "publicsuffixlist", "requests", "urllib3"),
    # Brought by the runtime alone.
    "snapshot_restore_py",
    *sys.stdlib_module_names,
}
# Which module may know which others of the package, but for types. `app` puts all of them together.
MAY_KNOW: dict[str, set[str]] = {
    "errors": set(),
    "config": {"errors"},
    "models": {"errors"},
    "recipients": {"errors", "models"},
    "eligibility": {"errors", "models", "recipients"},
    "resend": {"eligibility", "errors", "explain", "models", "recipients"},
    "advice": {"errors", "models", "recipients"},
    "explain": {"advice", "eligibility", "errors", "models", "recipients"},
    "status": {"errors", "models"},
    "reminders": set(),
    "pace": set(),
    "sweep": {"eligibility", "errors", "models", "reminders", "resend"},
    "events": {"errors", "models"},
    "observability": {"errors", "models"},
    "aws": set(),
    "api_key": {"aws", "errors"},
    "claims": {"aws", "errors", "models", "observability"},
    "certcentral": {"errors", "models"},
    "dns_lookup": {"errors", "models", "recipients"},
    "reminder_queue": {"aws", "errors", "models", "observability"},
    "worker": {"errors", "models", "reminder_queue", "observability"},
}


def imported_by(name: str) -> set[str]:
    """List the modules loaded by a fresh import of one, and the packages that they are in."""
    program = f"import sys, {name}; print(*sys.modules, *{{module.partition('.')[0] for module in sys.modules}})"
    environment = {"PYTHONPATH": str(PACKAGE.parent), "AWS_DEFAULT_REGION": "eu-west-1"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    return set(ran.stdout.split())


def test_the_handler_loads_nothing_heavy() -> None:
    assert (
        imported_by("dv_resend.app") & {"pydantic", "aws_xray_sdk", "jsonschema", "jsonpath_ng", "fastjsonschema"}
        == set()
    )


def test_the_handler_loads_no_more_than_most_requests_need() -> None:
    """Only an address that is not constructed needs DNS, only the worker batches, only a dry run explains."""
    needed_by_some = {
        *("dns", "publicsuffixlist", "aws_lambda_powertools.utilities.batch", "boto3"),
    }

    assert imported_by("dv_resend.app") & needed_by_some == set()


@pytest.mark.parametrize(
    "use_case",
    [
        *("resend", "sweep", "status", "reminders", "pace", "models", "errors", "config", "events"),
        *("eligibility", "recipients", "explain", "advice"),
    ],
)
def test_rules_know_neither_aws_nor_http_nor_dns(use_case: str) -> None:
    assert imported_by(f"dv_resend.{use_case}") & {"boto3", "botocore", "requests", "urllib3", "dns"} == set()


def test_what_each_module_may_know_is_said_of_all() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == MAY_KNOW.keys() | {"__init__", "app"}


@pytest.mark.parametrize(("module", "may_know"), MAY_KNOW.items())
def test_dependencies_point_one_way(module: str, may_know: set[str]) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for_types_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    known = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types_only:
            if node.module == "dv_resend":
                known |= {alias.name for alias in node.names} - {"__version__"}
            elif (node.module or "").startswith("dv_resend."):
                known.add((node.module or "").removeprefix("dv_resend."))
    assert known <= may_know


def test_only_declared_packages_are_imported() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top in ALLOWED or top == "dv_resend" or top.startswith("mypy_boto3"), f"{path.name}: {name}"

    knows = [path.stem for path in PACKAGE.glob("*.py") if "snapshot_restore_py" in path.read_text()]
