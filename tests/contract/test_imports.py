"""Which modules may import which: the two rules of the layers, and no circle."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
FORBIDDEN = {
    "core": ("dv_resend.handlers", "dv_resend.adapters", "boto3", "botocore", "requests", "urllib3", "dns"),
    "adapters": ("dv_resend.handlers",),
}


def modules() -> dict[str, Path]:
    return {
        str(path.relative_to(SOURCE).with_suffix("")).replace("/", "."): path
        for path in SOURCE.glob("dv_resend/**/*.py")
        if path.name != "__init__.py"
    }


def imported(path: Path) -> set[str]:
    """The names that a module imports anywhere, for types only too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_layers_import_nothing_above_them() -> None:
    broken = {
        (module, name)
        for module, path in modules().items()
        for name in imported(path)
        for forbidden in FORBIDDEN.get(module.split(".")[1], ())
        if name == forbidden or name.startswith(f"{forbidden}.")
    }

    assert broken == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    depends = {module: imported(path) & modules().keys() for module, path in modules().items()}

    while free := {module for module, needs in depends.items() if not needs & depends.keys()}:
        depends = {module: needs for module, needs in depends.items() if module not in free}

    assert depends == {}


def test_modules_are_short_enough_to_read() -> None:
    lengths = {module: len(path.read_text().splitlines()) for module, path in modules().items()}

    assert {module: length for module, length in lengths.items() if length > 350} == {}
