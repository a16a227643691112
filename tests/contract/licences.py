"""The licences of what ships: `make licences` writes LICENSES.md from the metadata of the installed packages."""

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "LICENSES.md"
REQUIREMENTS = ROOT / "src/requirements.txt"

# Each of these allows shipping a package beside code under any license, if the license text is included. MPL-2.0 also
# requires that its files' source is available: it is, at the address in the list. Apache-2.0 requires a note of the
# changes: botocore/data has one.
ALLOWED = {"Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "PSF-2.0"}

# What a package says in words of its own. python-dateutil's text: BSD for all of it, Apache for newer parts as well.
_IN_SPDX = {("python-dateutil", "Dual License"): "BSD-3-Clause", ("s3transfer", "Apache License 2.0"): "Apache-2.0"}

_HEAD = """\
# Licences

What ships inside the functions, as `src/requirements.txt` pins it. The text of each licence goes along, in the
package's `*.dist-info` folder. All ship as they are but botocore, whose data is cut down (`src/trim_sdk.py`). `make
licences` writes this file, and a test compares it with the pins.

| package | version | licence | source |
| --- | --- | --- | --- |
"""


def pins(requirements: Path) -> dict[str, str]:
    """Name and version of each package that a requirements file pins."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", requirements.read_text(), re.MULTILINE))


def licence(package: Distribution) -> str:
    """The SPDX expression of a package's license, from the new metadata field or the old one."""
    said = package.metadata.get("License-Expression") or package.metadata.get("License") or "unknown"
    return _IN_SPDX.get((package.name, said), said)


def source(package: Distribution) -> str:
    """The address of a package's source."""
    entries = [entry.partition(", ") for entry in package.metadata.get_all("Project-URL") or []]
    urls = {label.lower(): url for label, _, url in entries}
    for label in ("source", "repository", "code", "homepage"):
        if label in urls:
            return urls[label]
    return package.metadata.get("Home-page") or "unknown"


def document() -> str:
    """The text of LICENSES.md."""
    packages = [(name, distribution(name)) for name in sorted(pins(REQUIREMENTS))]
    rows = (f"| {name} | {package.version} | {licence(package)} | {source(package)} |\n" for name, package in packages)
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
