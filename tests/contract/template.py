"""The template as the contract tests read it, and helpers to look things up in it."""

import json
import subprocess
from typing import Any, NamedTuple

from dev.local.template import ROOT, load

TEMPLATE = load(ROOT / "template.yaml")
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


def with_globals(own: Any, shared: Any) -> Any:
    """The properties of a function, together with those in Globals: SAM merges maps, and the function's values win."""
    if isinstance(own, dict) and isinstance(shared, dict):
        return shared | {name: with_globals(value, shared.get(name)) for name, value in own.items()}
    return own


FUNCTIONS: dict[str, dict[str, Any]] = {
    name: with_globals(RESOURCES[name]["Properties"], TEMPLATE["Globals"]["Function"])
    for name in ("ResendFunction", "SweepFunction")
}


def expand(region: str) -> dict[str, Any]:
    """The template as SAM's own library expands it in a region."""
    ran = subprocess.run(
        [ROOT / ".tools/sam/bin/python", "-m", "dev.local.template", ROOT / "template.yaml"],
        env={"PYTHONPATH": str(ROOT), "AWS_DEFAULT_REGION": region},
        capture_output=True,
        text=True,
        check=True,
    )
    expanded: dict[str, Any] = json.loads(ran.stdout)
    return expanded


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type, by logical ID."""
    found = {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}
    assert found, f"no {kind}"
    return found


class AlarmMetric(NamedTuple):
    """A metric that an alarm watches."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period: int


def metrics_of(alarm: dict[str, Any]) -> dict[str, AlarmMetric]:
    """The metrics of an alarm, by their IDs in its metric math; the one of a simple alarm has the ID `m`."""
    simple = {"Id": "m", "MetricStat": {"Metric": alarm, "Stat": alarm.get("Statistic"), "Period": alarm.get("Period")}}
    stats = {one["Id"]: one["MetricStat"] for one in alarm.get("Metrics", [simple]) if "MetricStat" in one}
    return {
        name: AlarmMetric(
            stat["Metric"]["Namespace"],
            stat["Metric"]["MetricName"],
            tuple((dimension["Name"], name_of(dimension["Value"])) for dimension in stat["Metric"]["Dimensions"]),
            stat["Stat"],
            stat["Period"],
        )
        for name, stat in stats.items()
    }


def expression_of(alarm: dict[str, Any]) -> str:
    """The metric math of an alarm."""
    (expression,) = [one["Expression"] for one in alarm["Metrics"] if "Expression" in one]
    return str(expression)


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
