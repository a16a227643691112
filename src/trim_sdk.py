"""Cut a built function down to what its cold start needs: `python trim_sdk.py FOLDER`. The build runs it.

Without it a third of a cold start would be reading: the AWS SDK's data, and a hundred and more authorities for each
client. Files are replaced, never written into: an installer may have linked them to its cache.
"""

import gzip
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

# Everything that src/dv_resend calls; a test compares the two.
OPERATIONS = {
    "dynamodb": {"GetItem", "PutItem"},
    "secretsmanager": {"GetSecretValue"},
    "sns": {"Publish"},
    "sqs": {"ChangeMessageVisibilityBatch", "SendMessageBatch"},
}
# What the SDK reads for a client like ours, once and for each service. Not: examples, paginators, waiters, and the
# rules of its old retry mode.
_COMMON = ("endpoints", "partitions", "sdk-default-configuration")
_MODEL = "service-2"
_OF_A_SERVICE = (_MODEL, "service-2.sdk-extras", "endpoint-rule-set-1")

# Amazon Trust Services names these for relying parties with a trust store of their own (its repository page).
AWS_ROOTS = tuple(f"Amazon Root CA {number}" for number in range(1, 5))
# Named there too, but older than the others, and left out of some trust stores by now.
LEGACY_AWS_ROOT = "Starfield Services Root Certificate Authority - G2"


def trim_data(data: Path) -> None:
    """Leave of botocore's ``data`` folder what `OPERATIONS` need, as plain JSON, which loads faster than gzip.

    Raises `FileNotFoundError` or `KeyError` if a service or an operation is not there.
    """
    kept = {name: _read(data / name) for name in _COMMON}
    kept["endpoints"] = _endpoints(kept["endpoints"])
    for service, operations in OPERATIONS.items():
        version = _latest_version(data / service)
        for kind in _OF_A_SERVICE:
            try:
                content = _read(data / service / version / kind)
            except FileNotFoundError:
                if kind.endswith("extras"):
                    continue
                raise
            kept[f"{service}/{version}/{kind}"] = _model(content, operations) if kind == _MODEL else content
    draft = data.with_name("data.new")
    for name, content in kept.items():
        file = draft / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(_without_documentation(content), separators=(",", ":")))
    # The licence (Apache-2.0, 4b) wants changed files to say so, and JSON has no comments.
    (draft / "CHANGED.txt").write_text("DV Resend's build (src/trim_sdk.py) has cut the files in this folder down.\n")
    shutil.rmtree(data)
    draft.rename(data)


def _read(file: Path) -> Any:
    """Read a file of data, which is named without its suffix, as the SDK's loader does."""
    plain, packed = (file.with_name(file.name + suffix) for suffix in (".json", ".json.gz"))
    return json.loads(plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes()))


def _latest_version(service: Path) -> str:
    versions = [file.parent.name for file in service.glob(f"*/{_MODEL}.json*")]
    if not versions:
        raise FileNotFoundError(f"{service} has no {_MODEL}")
    return max(versions)


def _endpoints(data: dict[str, Any]) -> dict[str, Any]:
    """Keep every partition, for the function may be in any, but only our services."""
    for partition in data["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in OPERATIONS if name in services}
    return data


def _model(model: dict[str, Any], operations: set[str]) -> dict[str, Any]:
    """Keep these operations, and the shapes that they reach."""
    kept = {name: model["operations"][name] for name in sorted(operations)}
    shapes: dict[str, Any] = {}
    waiting: list[Any] = [kept]
    while waiting:
        for name in _shapes_in(waiting.pop()):
            if name not in shapes:
                shapes[name] = model["shapes"][name]
                waiting.append(shapes[name])
    return model | {"operations": kept, "shapes": dict(sorted(shapes.items()))}


def _shapes_in(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["shape"]] if isinstance(value.get("shape"), str) else []
        return own + [name for part in value.values() for name in _shapes_in(part)]
    if isinstance(value, list):
        return [name for part in value for name in _shapes_in(part)]
    return []


def _without_documentation(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_documentation(part)
            for name, part in value.items()
            if not (name == "documentation" and isinstance(part, str))
        }
    return [_without_documentation(part) for part in value] if isinstance(value, list) else value


def write_roots(bundle: Path, file: Path) -> None:
    """Write the roots of AWS's own endpoints, out of the authorities in ``bundle``, to a new ``file``.

    Raises `ValueError` if one of `AWS_ROOTS` is missing.
    """
    labelled = r'# Label: "([^"]+)"\n(?:#.*\n)*(-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n)'
    found = dict(re.findall(labelled, bundle.read_text()))
    if missing := [root for root in AWS_ROOTS if root not in found]:
        raise ValueError(f"{bundle} does not have {', '.join(missing)}")
    draft = file.with_name(f"{file.name}.new")
    draft.write_text("".join(found[root] for root in (*AWS_ROOTS, LEGACY_AWS_ROOT) if root in found))
    draft.replace(file)


if __name__ == "__main__":
    function = Path(sys.argv[1])
    trim_data(function / "botocore/data")
    write_roots(function / "certifi/cacert.pem", function / "aws-roots.pem")
