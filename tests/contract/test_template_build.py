"""The deployment package, as `sam build` makes it by the rules of src/Makefile."""

import ast
import base64
import csv
import hashlib
import inspect
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import botocore
import certifi
import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore import xform_name

import trim_sdk
from contract.template import FUNCTIONS, TEMPLATE
from dev.local.template import ROOT

# The modules that are imported on demand must be in the package, too, and the data of the public suffix list.
_START = """
import dv_resend.app, dv_resend.core.dry_run, dv_resend.handlers.sqs, requests, dns.resolver, publicsuffixlist
print(requests.__file__, publicsuffixlist.PublicSuffixList().publicsuffix("www.example.co.uk"))
"""
# The files of the SDK's data that the clients read, and the operations that they have.
_CLIENTS = """
import json, sys
from botocore.loaders import JSONFileLoader
read, load = [], JSONFileLoader.load_file
def noted(self, path):
    data = load(self, path)
    if data is not None:
        read.append(path)
    return data
JSONFileLoader.load_file = noted
from dv_resend.adapters import aws
clients = {service: aws.client(service) for service in sys.argv[1:]}
operations = {service: sorted(client.meta.service_model.operation_names) for service, client in clients.items()}
print(json.dumps([read, operations, {service: client.meta.endpoint_url for service, client in clients.items()}]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build makes of a copy of src/, by the one rule that both functions have."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT / "src", folder / "src")
    built = folder / "built"
    built.mkdir()
    subprocess.run(
        ["make", "-s", "-C", folder / "src", "build-ResendFunction", f"ARTIFACTS_DIR={built}"],
        check=True,
        env=os.environ | {"UV": str(ROOT / ".tools/uv/bin/uv"), "PYTHON": sys.executable},
    )
    return built


@pytest.fixture(scope="module")
def package(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as Lambda unpacks it: zipped with SAM's one timestamp, unzipped."""
    folder = tmp_path_factory.mktemp("package")
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
        # A warning at import would stand in the log of every cold start.
        # -S: no other package is in reach.
        [sys.executable, "-B", "-S", "-W", "error", "-c", _START],
        cwd=task,
        env={"PYTHONPATH": str(task), "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [str(task / "requests/__init__.py"), "co.uk"]


def clients(package: Path, region: str) -> Any:
    """What the package's clients read, can do, and call, without any other package in reach."""
    found = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", _CLIENTS, *trim_sdk.OPERATIONS],
        env={"PYTHONPATH": str(package), "AWS_DEFAULT_REGION": region},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(found.stdout)


def test_clients_are_made_of_the_data_left_by_the_build(package: Path) -> None:
    read, operations, endpoints = clients(package, "eu-west-1")

    # All that is left is read: nothing is packed for nobody.
    assert {f"{path}.json" for path in read} == {str(path) for path in (package / "botocore/data").rglob("*.json*")}
    assert operations == {service: sorted(names) for service, names in trim_sdk.OPERATIONS.items()}
    assert endpoints == {service: f"https://{service}.eu-west-1.amazonaws.com" for service in trim_sdk.OPERATIONS}


def test_operations_left_by_the_build_are_those_called() -> None:
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "src/dv_resend").rglob("*.py"))]
    # Our code has it read the secret.
    trees.append(ast.parse(textwrap.dedent(inspect.getsource(SecretsProvider._get))))
    services, called = set(), set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if ast.unparse(node.func) == "aws.client":
                services.add(ast.literal_eval(node.args[0]))
            elif owner.endswith(("self._client", "self.client")) or owner.startswith("aws.client("):
                called.add(node.func.attr)

    assert services == trim_sdk.OPERATIONS.keys()
    assert called == {xform_name(name) for names in trim_sdk.OPERATIONS.values() for name in names}


@pytest.mark.parametrize(
    ("region", "suffix"),
    [("us-gov-west-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn"), ("mars-north-1", "amazonaws.com")],
)
def test_trimmed_data_serves_every_partition_and_future_region(package: Path, region: str, suffix: str) -> None:
    _, _, endpoints = clients(package, region)

    assert endpoints["dynamodb"] == f"https://dynamodb.{region}.{suffix}"


def test_aws_itself_is_trusted_by_amazon_roots_alone(package: Path) -> None:
    """Those that Amazon Trust Services lists in its repository, by their fingerprints there (SHA-256)."""
    pem = (package / "aws-roots.pem").read_text()
    roots = re.findall(r"-----BEGIN CERTIFICATE-----\n(.*?)-----END CERTIFICATE-----", pem, re.DOTALL)

    found = {hashlib.sha256(base64.b64decode(root)).hexdigest()[:16] for root in roots}
    # Amazon Root CA 1 to 4, and Starfield Services Root Certificate Authority - G2 as long as certifi has it.
    assert found - {"568d6905a2c88708"} == {
        "8ecde6884f3d87b1",
        "1ba5b2aa8c65401a",
        "18ce6cfe7bf14e60",
        "e35d28419ed02025",
    }
    ssl.create_default_context(cadata=pem)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_amazon_roots_are_set_only_in_partitions_that_use_them(name: str) -> None:
    """In any other, present or future, the SDK trusts what certifi trusts."""
    bundle = FUNCTIONS[name]["Environment"]["Variables"]["AWS_CA_BUNDLE"]

    condition, roots, otherwise = bundle["Fn::If"]
    assert (roots, otherwise) == ("/var/task/aws-roots.pem", {"Ref": "AWS::NoValue"})
    assert TEMPLATE["Conditions"][condition] == {
        "Fn::Or": [{"Fn::Equals": [{"Ref": "AWS::Partition"}, partition]} for partition in ("aws", "aws-us-gov")]
    }


def _bundle(folder: Path, *labels: str) -> Path:
    """A list of authorities in certifi's form, with the name of each in place of its certificate."""
    entry = '# Label: "{}"\n# Serial: 1\n-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n\n'
    bundle = folder / "cacert.pem"
    bundle.write_text("".join(entry.format(label, label.encode().hex()) for label in labels))
    return bundle


@pytest.mark.parametrize("legacy", [(), (trim_sdk.LEGACY_AWS_ROOT,)], ids=["without Starfield", "with Starfield"])
def test_legacy_root_is_taken_only_if_certifi_has_it(tmp_path: Path, legacy: tuple[str, ...]) -> None:
    roots = tmp_path / "roots.pem"

    trim_sdk.write_roots(_bundle(tmp_path, "Some other", *trim_sdk.AWS_ROOTS, *legacy), roots)

    taken = [bytes.fromhex(root).decode() for root in re.findall(r"-\n(\w+)\n-", roots.read_text())]
    assert taken == [*trim_sdk.AWS_ROOTS, *legacy]


def test_missing_amazon_root_fails_the_build(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, *trim_sdk.AWS_ROOTS[:-1], trim_sdk.LEGACY_AWS_ROOT)

    with pytest.raises(ValueError, match="does not have Amazon Root CA 4"):
        trim_sdk.write_roots(bundle, tmp_path / "roots.pem")


def test_installed_files_are_as_their_packages_have_them(package: Path) -> None:
    """The build deletes some and replaces the SDK's data; no other change is meant, least of all to who is trusted."""
    changed: list[str] = []
    kept: list[str] = []
    for record in package.glob("*.dist-info/RECORD"):
        for name, value, _ in csv.reader(record.read_text().splitlines()):
            file = package / name
            if not value or not file.exists() or name.startswith("botocore/data/"):
                continue
            method, _, digest = value.partition("=")
            found = base64.urlsafe_b64encode(hashlib.new(method, file.read_bytes()).digest()).rstrip(b"=").decode()
            (kept if found == digest else changed).append(name)

    assert changed == []
    assert "certifi/cacert.pem" in kept
    # Each source, but for our own.
    sources = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    assert {name for name in sources - set(kept) if not name.startswith("dv_resend/")} == set()


def test_trimming_leaves_linked_files_as_they_are(tmp_path: Path) -> None:
    """An installer may have linked them to its cache."""
    cache, function = tmp_path / "cache", tmp_path / "function"
    data = Path(botocore.__file__).with_name("data")
    for name in [*(path.name for path in data.glob("*.json")), *trim_sdk.OPERATIONS, "sts"]:
        copy = shutil.copytree if (data / name).is_dir() else shutil.copy
        (cache / "botocore/data").mkdir(parents=True, exist_ok=True)
        copy(data / name, cache / "botocore/data" / name)
    (cache / "certifi").mkdir()
    shutil.copy(certifi.where(), cache / "certifi/cacert.pem")
    shutil.copytree(cache, function, copy_function=os.link)
    before = {path: path.read_bytes() for path in cache.rglob("*.*") if path.is_file()}

    subprocess.run([sys.executable, ROOT / "src/trim_sdk.py", function], check=True)

    assert {path: path.read_bytes() for path in before} == before
    left = [path for path in function.rglob("*") if path.is_file() and path.name != "cacert.pem"]
    assert {path.stat().st_nlink for path in left} == {1}
    assert not (function / "botocore/data/sts").exists()


def test_service_that_the_sdk_lacks_fails_the_build(tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(Path(botocore.__file__).with_name("data") / "sts", data / "sts")
    for name in ("endpoints", "partitions", "sdk-default-configuration"):
        (data / f"{name}.json").write_text('{"partitions": []}')

    with pytest.raises(FileNotFoundError, match="dynamodb"):
        trim_sdk.trim_data(data)


def test_build_shares_no_file_with_an_installer_cache(built: Path) -> None:
    assert [path for path in built.rglob("*") if path.is_file() and path.stat().st_nlink > 1] == []


@pytest.mark.parametrize(
    "pattern",
    [
        *("pydantic*", "aws_xray_sdk", "bin", "bootstrap", "charset_normalizer", "boto3/data", "botocore/cacert.pem"),
        *("botocore/data/s3", "trim_sdk.py", "aws_lambda_powertools/event_handler"),
        "aws_lambda_powertools/utilities/parser",
        "publicsuffixlist/update.py",  # the code never calls it, and it would access the network
        *("**/tests", "**/test", "**/test.py", "**/test_*"),
        *("**/workflows", "**/*.asl.json"),  # CloudFormation reads the chase from its own file
        "**/*.so",  # the package is the same for every processor: what is tested here is what runs there
    ],
)
def test_package_leaves_out_what_never_runs(package: Path, pattern: str) -> None:
    assert list(package.glob(pattern)) == []
