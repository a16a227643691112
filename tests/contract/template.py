"""The template as the contract tests read it, and helpers to look things up in it."""

from typing import Any

from dev.local.template import ROOT, load

TEMPLATE = load(ROOT / "template.yaml")
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
FUNCTIONS: dict[str, dict[str, Any]] = {
    name: RESOURCES[name]["Properties"] for name in ("ResendFunction", "SweepFunction")
}


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type, by logical ID."""
    found = {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}
    assert found, f"no {kind}"
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a policy, including conditional ones."""
    found = []
    for statement in policy["Statement"]:
        found += [s for s in statement["Fn::If"][1:] if "Effect" in s] if "Fn::If" in statement else [statement]
    return found


def name_of(value: Any) -> str:
    """A short name for a value of the template: `Queue.QueueName` for `!GetAtt Queue.QueueName`, a string unchanged."""
    if not isinstance(value, dict):
        return str(value)
    ((function, argument),) = value.items()
    match function:
        case "Ref" | "Condition":
            return str(argument)
        case "Fn::GetAtt":
            return ".".join(argument)
        case "Fn::If":
            return " or ".join(name_of(option) for option in argument[1:])
        case "Fn::Sub" if isinstance(argument, str):
            return argument
    raise ValueError(f"unknown intrinsic function: {value}")


def parameters_in(value: Any) -> set[str]:
    """The parameters that a part of the template refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("Ref"), str):
            return {value["Ref"]} & PARAMETERS.keys()
        value = list(value.values())
    return set().union(*map(parameters_in, value)) if isinstance(value, list) else set()
