"""The deployment package, as `sam build` makes it by the rules of src/Makefile."""

import base64
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from local.template import ROOT, load

from dv_resend import aws

FUNCTIONS = [
    name
    for name, resource in load(ROOT / "template.yaml")["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
]


# The modules that are imported on demand must be in the package, too, and the data of the public suffix list.
_START = """
import dv_resend.app, dv_resend.explain, dv_resend.worker, requests, dns.resolver, publicsuffixlist
print(requests.__file__, publicsuffixlist.PublicSuffixList().publicsuffix("www.example.co.uk"))
"""
# The files of the SDK's data that the clients read, and the operations that they have.
_CLIENTS = """
import json
from botocore.loaders import JSONFileLoader
read, load = [], JSONFileLoader.load_file
def noted(self, path):
    data = load(self, path)
    if data is not None:
        read.append(path)
    return data
JSONFileLoader.load_file = noted
from dv_resend import aws
session = aws.Session()
clients = {service: session.client(service) for service in aws.OPERATIONS}
operations = {service: sorted(client.meta.service_model.operation_names) for service, client in clients.items()}
print(json.dumps([read, operations, {service: client.meta.endpoint_url for service, client in clients.items()}]))
"""


@pytest.fixture(scope="module", params=FUNCTIONS)
def package(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A package as Lambda unpacks it: built from a copy of src/, zipped with SAM's fixed timestamp, unzipped."""
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


def test_package_sources_have_unchecked_bytecode(package: Path) -> None:
    """In the flags of a .pyc file, 1 means hash-based and unchecked."""
    sources = list(package.rglob("*.py"))

    assert sources
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert compiled.read_bytes()[4:8] == (1).to_bytes(4, "little"), source


def test_package_handler_starts_from_bytecode_alone(package: Path, tmp_path: Path) -> None:
    """The handler imports even if no source compiles, because Python reads the bytecode only.

    The test also shows that the arm64 package runs here: it has no compiled extensions.
    """
    task = tmp_path / "task"
    shutil.copytree(package, task)
    for source in task.rglob("*.py"):
        source.write_text("this is not Python")

    found = subprocess.run(
        # A warning at import would appear in the log of every cold start.
        [sys.executable, "-B", "-W", "error", "-c", _START],
        cwd=task,
        env=_without_charset_normalizer(task, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [str(task / "requests/__init__.py"), "co.uk"]


def _without_charset_normalizer(task: Path, tmp_path: Path) -> dict[str, str]:
    """An environment without the module that the build leaves out and the tests' own environment has."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['charset_normalizer'] = None\n")
    return {"PYTHONPATH": f"{tmp_path}:{task}", "AWS_DEFAULT_REGION": "eu-west-1"}


def test_package_clients_use_trimmed_sdk_data(package: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", _CLIENTS],
        env={"PYTHONPATH": str(package), "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    read, operations, endpoints = json.loads(found.stdout)

    assert read
    assert [path for path in read if not path.startswith(str(package / "dv_resend/sdk_data"))] == []
    assert operations == {service: sorted(names) for service, names in aws.OPERATIONS.items()}
    assert endpoints == {service: f"https://{service}.eu-west-1.amazonaws.com" for service in aws.OPERATIONS}


@pytest.mark.parametrize(
    ("region", "suffix"),
    [("us-gov-west-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn"), ("mars-north-1", "amazonaws.com")],
)
def test_package_sdk_data_serves_all_partitions_and_new_regions(package: Path, region: str, suffix: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", _CLIENTS],
        env={"PYTHONPATH": str(package), "AWS_DEFAULT_REGION": region},
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, endpoints = json.loads(found.stdout)

    assert endpoints["dynamodb"] == f"https://dynamodb.{region}.{suffix}"


def test_package_trusts_amazon_roots_only(package: Path) -> None:
    """The roots in Amazon Trust Services' repository, by their SHA-256 fingerprints."""
    pem = (package / "aws-roots.pem").read_text()
    roots = re.findall(r"-----BEGIN CERTIFICATE-----\n(.*?)-----END CERTIFICATE-----", pem, re.DOTALL)

    assert {hashlib.sha256(base64.b64decode(root)).hexdigest()[:16] for root in roots} == {
        "8ecde6884f3d87b1",  # Amazon Root CA 1
        "1ba5b2aa8c65401a",
        "18ce6cfe7bf14e60",
        "e35d28419ed02025",
        "568d6905a2c88708",  # Starfield Services Root Certificate Authority - G2
    }
    ssl.create_default_context(cadata=pem)


def test_package_has_no_compiled_extensions(package: Path) -> None:
    """The package is the same for every processor, so these tests cover the one on Lambda."""
    assert list(package.rglob("*.so")) == []


@pytest.mark.parametrize(
    "name",
    [
        *("boto3", "botocore", "pydantic", "pydantic_core", "aws_xray_sdk", "bin", "bootstrap", "charset_normalizer"),
        *("cold_start.py", "aws_lambda_powertools/event_handler", "aws_lambda_powertools/utilities/parser"),
    ],
)
def test_package_leaves_out_unneeded_modules(package: Path, name: str) -> None:
    assert not (package / name).exists()


def test_package_has_no_tests(package: Path) -> None:
    assert not [path for path in package.rglob("*") if re.fullmatch(r"tests?|tests?\.py|test_.*", path.name)]


def test_package_leaves_out_public_suffix_updater(package: Path) -> None:
    """The code never calls it, and it would access the network."""
    assert not (package / "publicsuffixlist/update.py").exists()


def test_package_has_no_workflows(package: Path) -> None:
    """CloudFormation reads it from its own file."""
    assert not [path for path in package.rglob("*") if path.name == "workflows" or path.name.endswith(".asl.json")]
