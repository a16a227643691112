"""The licences of what ships: `make licences` writes THIRD-PARTY-LICENSES.md from installed packages' metadata."""

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "THIRD-PARTY-LICENSES.md"
REQUIREMENTS = ROOT / "src/requirements.txt"

# Each lets a package be shipped beside code of any licence, if its text goes along. MPL-2.0 also wants its own files'
# source to be had: it is, at the address in the list. Apache-2.0 wants changes to be noted: botocore/data has a note.
ALLOWED = {"Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "PSF-2.0"}

# What a package says in words of its own. python-dateutil's text: BSD for all of it, Apache for newer parts as well.
_IN_SPDX = {("python-dateutil", "Dual License"): "BSD-3-Clause", ("s3transfer", "Apache License 2.0"): "Apache-2.0"}

_HEAD = """\
# Third-party licences

The packages inside the deployed functions, as `src/requirements.txt` pins them. Each package's licence text ships with
it, in its `*.dist-info` folder. All are unchanged but botocore, whose data is cut down (`src/trim_sdk.py`). `make
licences` writes this file; a test compares it with the pins. DV Resend itself is under the
[Apache License 2.0](LICENSE).

| package | version | licence | source |
| --- | --- | --- | --- |
"""


def pins(requirements: Path) -> dict[str, str]:
    """Name and version of each package that a requirements file pins."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", requirements.read_text(), re.MULTILINE))


def licence(package: Distribution) -> str:
    """The SPDX expression of a package's licence, in the new field of its metadata or in the old one."""
    said = str(package.metadata.get("License-Expression") or package.metadata.get("License") or "unknown")
    return _IN_SPDX.get((package.name, said), said)


def source(package: Distribution) -> str:
    """The address of a package's source."""
    entries = [entry.partition(", ") for entry in package.metadata.get_all("Project-URL") or []]
    urls: dict[str, str] = {label.lower(): url for label, _, url in entries}
    for label in ("source", "repository", "code", "homepage"):
        if label in urls:
            return urls[label]
    return str(package.metadata.get("Home-page") or "unknown")


def document() -> str:
    """The text of THIRD-PARTY-LICENSES.md."""
    packages = [(name, distribution(name)) for name in sorted(pins(REQUIREMENTS))]
    rows = (f"| {name} | {package.version} | {licence(package)} | {source(package)} |\n" for name, package in packages)
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
