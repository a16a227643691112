"""Adds what makes a cold start short to a built function: `python cold_start.py FOLDER`. The build runs it.

A third of a cold start would be reading: the AWS SDK's data, and a hundred and more authorities for each client.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader

from dv_resend.aws import OPERATIONS, SDK_DATA

AWS_ROOTS = (
    *(f"Amazon Root CA {number}" for number in range(1, 5)),
    "Starfield Services Root Certificate Authority - G2",
)
_ALL = ("_retry", "sdk-default-configuration", "partitions")


def write_sdk_data(folder: Path) -> None:
    """Write the part of the SDK's data that `OPERATIONS` need. What is not here, the SDK finds in its own."""
    loader = Loader()
    for name in _ALL:
        _write(folder / f"{name}.json", loader.load_data(name))
    _write(folder / "endpoints.json", _endpoints(loader.load_data("endpoints")))
    for service, operations in OPERATIONS.items():
        version = loader.determine_latest_version(service, "service-2")
        model = loader.load_data(f"{service}/{version}/service-2")
        _write(folder / service / version / "service-2.json", _model(model, operations))
        try:
            extras = loader.load_data(f"{service}/{version}/service-2.sdk-extras")
        except DataNotFoundError:
            pass
        else:
            _write(folder / service / version / "service-2.sdk-extras.json", extras)
        rules = loader.load_data(f"{service}/{version}/endpoint-rule-set-1")
        _write(folder / service / version / "endpoint-rule-set-1.json", rules)


def _endpoints(data: dict[str, Any]) -> dict[str, Any]:
    """Keep every partition, for the function may be in any; of their services ours."""
    for partition in data["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in OPERATIONS if name in services}
    return data


def _model(model: dict[str, Any], operations: set[str]) -> dict[str, Any]:
    """Keep some operations, and the shapes that they reach."""
    kept = {name: model["operations"][name] for name in sorted(operations)}
    shapes: dict[str, Any] = {}
    waiting = [kept]
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


def _write(file: Path, data: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_without_documentation(data), separators=(",", ":")))


def _without_documentation(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_documentation(part)
            for name, part in value.items()
            if not (name == "documentation" and isinstance(part, str))
        }
    return [_without_documentation(part) for part in value] if isinstance(value, list) else value


def write_roots(bundle: Path, file: Path) -> None:
    """Write the roots of AWS's own endpoints, out of the authorities in ``bundle``.

    Amazon Trust Services names these five for relying parties with a trust store of their own (its repository page).
    Raises `ValueError` if one is missing.
    """
    labelled = r'# Label: "([^"]+)"\n(?:#.*\n)*(-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n)'
    found = dict(re.findall(labelled, bundle.read_text()))
    if missing := [root for root in AWS_ROOTS if root not in found]:
        raise ValueError(f"{bundle} does not have {', '.join(missing)}")
    file.write_text("".join(found[root] for root in AWS_ROOTS))


if __name__ == "__main__":
    function = Path(sys.argv[1])
    write_sdk_data(function / "dv_resend" / SDK_DATA.name)
    write_roots(function / "certifi/cacert.pem", function / "aws-roots.pem")
