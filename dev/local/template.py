"""Reads CloudFormation templates, and expands the SAM parts of them.

`python -m dev.local.template template.yaml` prints the expanded template as JSON. Linters see more in it than in the SAM
form: they do not check, for example, runtimes and timeouts of `AWS::Serverless::Function`.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which are read as their long ones."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def load(path: Path) -> dict[str, Any]:
    """The template at `path`, with every function in its long form."""
    template: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 (a SafeLoader)
    return template


def expand(path: Path) -> dict[str, Any]:
    """What CloudFormation makes of the template at `path`: SAM's transform, run here with its own library."""
    from samtranslator.translator.transform import transform

    class NoManagedPolicies:
        def load(self) -> dict[str, str]:
            return {}

    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    template = load(path)
    # The transform wants an address where `sam package` would put one.
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://bucket/key"
    expanded: dict[str, Any] = transform(template, {}, NoManagedPolicies())
    return expanded


if __name__ == "__main__":
    print(json.dumps(expand(Path(sys.argv[1])), indent=2))
