"""The built functions: ours, and the plain script without and with bytecode; and their sizes."""

import compileall
import io
import os
import platform
import py_compile
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.local.processes import StartError
from dev.local.template import ROOT, load

_TOOLS = ROOT / ".tools"
_UV = _TOOLS / "uv/bin/uv"
_RUNTIME = _TOOLS / "local-aws"
# Where Lambda unpacks a function.
_TASK = "/var/task/"
# Files are changed below. Without this, uv may link them to its cache, from which later builds ship.
_COPY = {"UV_LINK_MODE": "copy"}
_PLAIN = Path(__file__).with_name("plain")

OURS, BARE, COMPILED = "ours", "plain", "plain+pyc"


@dataclass(frozen=True)
class Build:
    """One function as Lambda would unpack it, the environment that its template sets, and its sizes."""

    name: str
    folder: Path
    handler: str
    settings: dict[str, str]
    sizes: dict[str, Any]


def build_all(source: Path, folder: Path, ca: bytes) -> list[Build]:
    """Build the functions into `folder`; they also trust `ca`. `source` is a folder with our template.yaml."""
    _compile_runtime()
    builds = [
        _build_ours(source, folder / OURS, ca),
        *(_build_plain(source, folder, name) for name in (BARE, COMPILED)),
    ]
    for build in builds:
        # What requests trusts and, without AWS_CA_BUNDLE, the SDK too.
        _trust(build.folder / "certifi/cacert.pem", ca, build.folder / "certifi/cacert.pem")
    return builds


def _trust(bundle: Path, ca: bytes, result: Path) -> None:
    """Replace `result` with a new file that has the authorities of `bundle` and `ca`."""
    draft = result.with_name(f"{result.name}.new")
    draft.write_bytes(bundle.read_bytes() + b"\n" + ca)
    draft.replace(result)


def _compile_runtime() -> None:
    """Compile the runtime's own packages, as on Lambda; the plain script uses its boto3."""
    (packages,) = _RUNTIME.glob("lib/python*/site-packages")
    _run(_RUNTIME / "bin/python", "-m", "compileall", "-q", packages, cwd=_RUNTIME)


def _build_ours(source: Path, folder: Path, ca: bytes) -> Build:
    # Without AWS and Python settings. The rest may name a package registry.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    environment |= _COPY | {"SAM_CLI_TELEMETRY": "0", "UV": str(_UV), "PYTHON": sys.executable}
    _run(
        _TOOLS / "sam/bin/sam",
        *("build", "ResendFunction", "--template", source / "template.yaml", "--build-dir", folder),
        cwd=source,
        env=environment,
    )
    function = folder / "ResendFunction"
    weight = _sizes(function)
    template = load(source / "template.yaml")
    shared = template["Globals"]["Function"]
    own = template["Resources"]["ResendFunction"]["Properties"]
    variables = shared["Environment"]["Variables"] | own["Environment"]["Variables"]
    values = {name: _value(value, template["Parameters"]) for name, value in variables.items()}
    settings = {name: value for name, value in values.items() if value is not None}
    # The roots that ship, and this run's. Next to the package, which stays as it was built.
    (roots,) = [option for option in variables["AWS_CA_BUNDLE"]["Fn::If"] if str(option).startswith(_TASK)]
    settings["AWS_CA_BUNDLE"] = str(folder / "aws-roots.pem")
    _trust(function / roots.removeprefix(_TASK), ca, folder / "aws-roots.pem")
    return Build(OURS, function, shared["Handler"], settings, weight)


def _value(value: Any, parameters: dict[str, Any]) -> str | None:
    """Return a variable's default, if it is a plain value or a parameter."""
    if isinstance(value, dict):
        value = parameters.get(str(value.get("Ref")), {}).get("Default")
    return None if value is None else str(value)


def _build_plain(source: Path, folder: Path, name: str) -> Build:
    """Build what `sam build` makes of a folder with a requirements.txt. It writes no bytecode."""
    # The same versions as ours, and only what its own requirements need.
    ours = (source / "src/requirements.txt").read_text().splitlines()
    constraints = folder / f"{name}.constraints.txt"
    constraints.write_text("".join(line.removesuffix("\\") + "\n" for line in ours if "==" in line))
    function = folder / name
    _install(function, "-r", _PLAIN / "requirements.txt", "-c", constraints)
    shutil.rmtree(function / "bin", ignore_errors=True)
    (function / ".lock").unlink(missing_ok=True)
    shutil.copy(_PLAIN / "app.py", function)
    if name == COMPILED:
        # Unchecked like ours, for the same reason: SAM's zip keeps no times.
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(function, quiet=1, invalidation_mode=unchecked)
    return Build(name, function, "app.lambda_handler", {}, _sizes(function))


def _install(folder: Path, *what: str | Path) -> None:
    target = f"{platform.machine()}-manylinux2014"
    options = ("--python-platform", target, "--python-version", "3.13", "--only-binary", ":all:")
    command = (_UV, "pip", "install", "--quiet", "--target", folder, *options, *what)
    _run(*command, cwd=folder.parent, env=os.environ | _COPY)


def _run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    cwd.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise StartError(f"{Path(command[0]).name} failed:\n{ran.stdout[-1500:]}{ran.stderr[-1500:]}")


def _sizes(function: Path) -> dict[str, Any]:
    """Return the bytes of the function and of its parts, unpacked and zipped, the largest first."""
    parts: dict[str, dict[str, int]] = {}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in function.rglob("*") if path.is_file()):
            relative = path.relative_to(function)
            packed.write(path, relative)
            part = parts.setdefault(relative.parts[0], {"unzipped": 0, "bytecode": 0, "zipped": 0})
            part["unzipped"] += path.stat().st_size
            part["bytecode"] += path.stat().st_size if path.suffix == ".pyc" else 0
            part["zipped"] += packed.getinfo(str(relative)).compress_size
    return {
        "unzipped": sum(part["unzipped"] for part in parts.values()),
        "zipped": archive.tell(),
        "parts": dict(sorted(parts.items(), key=lambda item: -item[1]["unzipped"])),
    }
