"""What `sam build` puts into the deployment package, by the very rules of src/Makefile."""

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

from dev.local.template import ROOT, load
from dv_resend.adapters import aws

FUNCTIONS = [
    name
    for name, resource in load(ROOT / "template.yaml")["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
]


# What is imported only when it is needed must be there too, the list of public suffixes with its data.
_START = """
import dv_resend.app, dv_resend.explain, dv_resend.worker, requests, dns.resolver, publicsuffixlist
print(requests.__file__, publicsuffixlist.PublicSuffixList().publicsuffix("www.example.co.uk"))
"""
# Which files of the SDK's data the clients are made of, and what they can then do.
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
        # A warning at import would stand in the log of every cold start.
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
    """An environment that lacks what the build leaves out, although the tests' own has it."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['charset_normalizer'] = None\n")
    return {"PYTHONPATH": f"{tmp_path}:{task}", "AWS_DEFAULT_REGION": "eu-west-1"}


def test_the_clients_are_made_of_the_data_that_was_cut_down(package: Path) -> None:
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
def test_the_data_that_was_cut_down_serves_every_partition_and_regions_of_tomorrow(
    package: Path, region: str, suffix: str
) -> None:
    found = subprocess.run(
        [sys.executable, "-c", _CLIENTS],
        env={"PYTHONPATH": str(package), "AWS_DEFAULT_REGION": region},
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, endpoints = json.loads(found.stdout)

    assert endpoints["dynamodb"] == f"https://dynamodb.{region}.{suffix}"


def test_aws_itself_is_trusted_by_five_roots_alone(package: Path) -> None:
    """Those that Amazon Trust Services lists in its repository, by their fingerprints there (SHA-256)."""
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


def test_nothing_compiled_is_packed(package: Path) -> None:
    """So that the package is the same for every processor, and what is tested here is what runs there."""
    assert list(package.rglob("*.so")) == []


@pytest.mark.parametrize(
    "name",
    [
        *("boto3", "botocore", "pydantic", "pydantic_core", "aws_xray_sdk", "bin", "bootstrap", "charset_normalizer"),
        *("cold_start.py", "aws_lambda_powertools/event_handler", "aws_lambda_powertools/utilities/parser"),
    ],
)
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
