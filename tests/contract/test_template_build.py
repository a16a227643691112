"""What `sam build` puts into the deployment package, by the very rules of src/Makefile."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from local.template import ROOT, load

FUNCTIONS = [
    name
    for name, resource in load(ROOT / "template.yaml")["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
]


# What is imported only when it is needed must be there too, the list of public suffixes with its data.
_START = """
import dv_resend.app, charset_normalizer, dns.resolver, publicsuffixlist
print(charset_normalizer.__file__, publicsuffixlist.PublicSuffixList().publicsuffix("www.example.co.uk"))
"""


@pytest.fixture(scope="module", params=FUNCTIONS)
def package(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A package as Lambda unpacks it: built from a copy of src/, zipped with SAM's one timestamp, unzipped."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT / "src", folder / "src")
    built = folder / "built"
    built.mkdir()
    subprocess.run(
        ["make", "-s", "-C", folder / "src", f"build-{request.param}", f"ARTIFACTS_DIR={built}"],
        check=True,
        env=os.environ | {"UV": str(ROOT / ".tools/uv/bin/uv"), "PYTHON": sys.executable},
    )
    archive = folder / "package.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for path in sorted(built.rglob("*")):
            if path.is_file():
                made.writestr(zipfile.ZipInfo(str(path.relative_to(built)), (1980, 1, 1, 0, 0, 0)), path.read_bytes())
    unpacked = folder / "task"
    with zipfile.ZipFile(archive) as made:
        made.extractall(unpacked)
    return unpacked


def test_every_source_has_bytecode_that_is_never_checked(package: Path) -> None:
    """The flags word of a .pyc: 1 is hash-based and unchecked."""
    sources = list(package.rglob("*.py"))

    assert sources
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert compiled.read_bytes()[4:8] == (1).to_bytes(4, "little"), source


def test_the_handler_starts_from_bytecode_alone(package: Path, tmp_path: Path) -> None:
    """Given sources that fail when they are compiled, the handler still imports: Python did not look at them. It also
    shows that what was built for arm64 runs here, where compiled extensions are passed over for plain Python."""
    task = tmp_path / "task"
    shutil.copytree(package, task)
    for source in task.rglob("*.py"):
        source.write_text("this is not Python")

    found = subprocess.run(
        [sys.executable, "-B", "-c", _START],
        cwd=task,
        env={"PYTHONPATH": str(task), "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [str(task / "charset_normalizer/__init__.py"), "co.uk"]


def test_compiled_extensions_are_for_arm64(package: Path) -> None:
    assert {path.name.rpartition(".cpython-313-")[2] for path in package.rglob("*.so")} <= {"aarch64-linux-gnu.so"}


@pytest.mark.parametrize("name", ["boto3", "botocore", "pydantic", "pydantic_core", "aws_xray_sdk", "bin", "bootstrap"])
def test_what_has_no_business_on_lambda_is_not_packed(package: Path, name: str) -> None:
    assert not (package / name).exists()


def test_no_tests_are_packed(package: Path) -> None:
    assert not [path for path in package.rglob("*") if re.fullmatch(r"tests?|tests?\.py|test_.*", path.name)]


def test_the_list_of_public_suffixes_cannot_update_itself(package: Path) -> None:
    """Nothing would call it, and it would ask the network."""
    assert not (package / "publicsuffixlist/update.py").exists()


def test_no_workflow_is_packed(package: Path) -> None:
    """CloudFormation takes it from its own file."""
    assert not [path for path in package.rglob("*") if path.name == "workflows" or path.name.endswith(".asl.json")]
