"""The examples in docstrings: they run, and every public class has one."""

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import dv_resend
import dv_resend_cli
from dv_resend.errors import ResendError

MODULES = [
    importlib.import_module(module.name)
    for package in (dv_resend, dv_resend_cli)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


def has_examples(module: ModuleType) -> bool:
    return any(docstring.examples for docstring in doctest.DocTestFinder().find(module))


def public_classes() -> list[type]:
    """All public classes but the errors: those are alike, and `ResendError` has the example."""
    return [
        member
        for module in MODULES
        for name, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and not name.startswith("_")
        if member is ResendError or not issubclass(member, ResendError)
    ]


@pytest.mark.parametrize(
    "module", [module for module in MODULES if has_examples(module)], ids=lambda module: module.__name__
)
def test_docstring_examples_hold(module):
    results = doctest.testmod(module)

    assert results.failed == 0


@pytest.mark.parametrize("public_class", public_classes(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_public_class_has_an_example(public_class):
    docstring = inspect.cleandoc(public_class.__doc__ or "")

    assert "\nExample:\n    " in docstring
