"""Fixtures that several contract tests share."""

from typing import Any

import pytest

from contract.template import expand


@pytest.fixture(scope="session")
def expanded() -> dict[str, Any]:
    """The resources of the template as SAM's own library expands it."""
    resources: dict[str, Any] = expand("us-east-1")["Resources"]
    return resources
