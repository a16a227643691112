"""No alarm, metric, permission or environment variable can go from the template, nor be called otherwise in it or in
the code, without a test that fails: each is taken away here, one after the other, and the checks of `promises` find it.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from conftest import settings_read

from contract.promises import (
    alarm_problems,
    dashboard_of,
    dashboard_problems,
    permission_problems,
    query_problems,
    setting_problems,
)
from contract.template import FUNCTIONS, TEMPLATE, of_type
from dv_resend import observability

# What the dashboard calls otherwise than the template does, for it may not be there.
NAMES = {"ChaseStateMachine": "Chase"}
METRICS = {metric.name: str(metric) for metric in observability.MetricName}
SETTINGS = settings_read()
type Path = tuple[str | int, ...]
type Check = Callable[[dict[str, Any]], list[str]]


def at(template: dict[str, Any], path: Path) -> Any:
    value: Any = template
    for step in path:
        value = value[step]
    return value


def without(path: Path) -> dict[str, Any]:
    """The template without what is at a path."""
    template = deepcopy(TEMPLATE)
    del at(template, path[:-1])[path[-1]]
    return template


def with_another(path: Path, value: Any) -> dict[str, Any]:
    """The template with another value at a path."""
    template = deepcopy(TEMPLATE)
    at(template, path[:-1])[path[-1]] = value
    return template


def unnoticed(mutants: Iterator[tuple[Path, dict[str, Any]]], check: Check, at_least: int) -> list[Path]:
    """The mutants in which a check finds nothing. There must be so many of them, or nothing is shown."""
    checked = [(path, check(mutant)) for path, mutant in mutants]
    assert len(checked) >= at_least
    return [path for path, problems in checked if not problems]


def renamed(names: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    for name in names:
        yield name, names | {name: names[name] + "Renamed"}


# ---------------------------------------------------------------- alarms and metrics


def check_alarms(template: dict[str, Any]) -> list[str]:
    return alarm_problems(template, METRICS)


def check_dashboard(template: dict[str, Any]) -> list[str]:
    return dashboard_problems(template, METRICS)


def test_no_alarm_can_go() -> None:
    paths = [("Resources", name) for name in of_type("AWS::CloudWatch::Alarm")]

    assert unnoticed(((path, without(path)) for path in paths), check_alarms, 19) == []


@pytest.mark.parametrize("what", ["Namespace", "MetricName", "Statistic"])
def test_no_alarm_can_watch_another_metric(what: str) -> None:
    paths = [("Resources", name, "Properties", what) for name in of_type("AWS::CloudWatch::Alarm")]

    assert unnoticed(((path, with_another(path, "Other")) for path in paths), check_alarms, 19) == []


def test_no_dimension_of_an_alarm_can_go_or_be_another() -> None:
    paths = [
        ("Resources", name, "Properties", "Dimensions", index)
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items()
        for index in range(len(alarm["Dimensions"]))
    ]

    assert unnoticed(((path, without(path)) for path in paths), check_alarms, 19) == []
    for field in ("Name", "Value"):
        others = (((*path, field), with_another((*path, field), "other")) for path in paths)
        assert unnoticed(others, check_alarms, 19) == []


def test_no_metric_can_go_from_the_dashboard() -> None:
    """Lines that differ in nothing but what they make of a metric go together."""
    (name,) = of_type("AWS::CloudWatch::Dashboard")
    path = ("Resources", name, "Properties", "DashboardBody", "Fn::Sub", 0)
    text: str = at(TEMPLATE, path)
    graphs = dashboard_of(TEMPLATE)["widgets"]
    metrics = {tuple(row[:4]) for graph in graphs for row in graph["properties"].get("metrics", []) if len(row) > 1}

    def mutants() -> Iterator[tuple[Path, dict[str, Any]]]:
        for namespace, metric, dimension, value in metrics:
            row = f'"{namespace}", "{metric}", "{dimension}", "${{{NAMES.get(value, value)}}}"'
            assert row in text
            yield (namespace, metric, value), with_another(path, text.replace(row, f'"{namespace}", "Other", "a", "b"'))
        for alarm in of_type("AWS::CloudWatch::Alarm"):
            if f'"${{{alarm}.Arn}}"' in text:
                yield (alarm,), with_another(path, text.replace(f"${{{alarm}.Arn}}", "none"))
        for made in ("NoSweepArn", "ChaseArns"):
            yield (made,), with_another((*path[:-1], 1, made, "Fn::If", 1), "")
        yield ("reasons",), with_another(path, text.replace("{DvResend,reason,", "{DvResend,cause,"))

    assert unnoticed(mutants(), check_dashboard, 45) == []


def test_no_metric_can_be_called_otherwise_in_the_code() -> None:
    checked = {
        name: alarm_problems(TEMPLATE, metrics) + dashboard_problems(TEMPLATE, metrics)
        for name, metrics in renamed(METRICS)
    }

    assert [name for name, problems in checked.items() if not problems] == []
    assert checked.keys() == METRICS.keys()


# ---------------------------------------------------------------- permissions


def policies() -> Iterator[Path]:
    """The paths of all statements that allow something."""
    for name, role in of_type("AWS::IAM::Role").items():
        for index in range(len(role["Policies"])):
            yield "Resources", name, "Properties", "Policies", index, "PolicyDocument", "Statement"
    for kind in ("AWS::IAM::Policy", "AWS::SQS::QueuePolicy"):
        for name in of_type(kind):
            yield "Resources", name, "Properties", "PolicyDocument", "Statement"


def statement_paths() -> Iterator[Path]:
    for path in policies():
        for index, statement in enumerate(at(TEMPLATE, path)):
            inner: Path = (*path, index, "Fn::If", 1) if "Fn::If" in statement else (*path, index)
            if at(TEMPLATE, inner)["Effect"] == "Allow":
                yield inner


def test_no_statement_of_a_policy_can_go() -> None:
    def mutants() -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in statement_paths():
            # What is behind a condition stands beside nothing.
            yield path, with_another(path, {"Ref": "AWS::NoValue"}) if "Fn::If" in path else without(path)

    assert unnoticed(mutants(), permission_problems, 20) == []


@pytest.mark.parametrize("what", ["Action", "Resource"])
def test_no_action_and_no_resource_of_a_statement_can_go_or_be_another(what: str) -> None:
    def mutants() -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in statement_paths():
            if what == "Resource" and TEMPLATE["Resources"][path[1]]["Type"] == "AWS::SQS::QueuePolicy":
                continue  # the queue that the policy is of
            value = at(TEMPLATE, (*path, what))
            if isinstance(value, list):
                for index in range(len(value)):
                    yield (*path, what, index), without((*path, what, index))
                    yield (*path, what, index), with_another((*path, what, index), "other")
            else:
                yield (*path, what), with_another((*path, what), "other")

    assert unnoticed(mutants(), permission_problems, 20) == []


def test_no_statement_can_deny_what_it_allowed() -> None:
    mutants = (((*path, "Effect"), with_another((*path, "Effect"), "Deny")) for path in statement_paths())

    assert unnoticed(mutants, permission_problems, 20) == []


def test_no_permission_of_a_function_can_go() -> None:
    paths = [("Resources", name) for name in of_type("AWS::Lambda::Permission")]

    assert unnoticed(((path, without(path)) for path in paths), permission_problems, 2) == []


# ---------------------------------------------------------------- environment variables


def check_settings(template: dict[str, Any]) -> list[str]:
    return setting_problems(template, SETTINGS)


def test_no_environment_variable_can_go_from_the_template() -> None:
    paths = [
        ("Resources", name, "Properties", "Environment", "Variables", variable)
        for name, function in FUNCTIONS.items()
        for variable in function["Environment"]["Variables"]
    ]

    assert unnoticed(((path, without(path)) for path in paths), check_settings, 15) == []


def test_no_environment_variable_can_be_called_otherwise_in_the_code() -> None:
    checked = {name: setting_problems(TEMPLATE, SETTINGS - {name} | {f"{name}_RENAMED"}) for name in sorted(SETTINGS)}

    assert [name for name, problems in checked.items() if not problems] == []
    assert len(checked) == len(SETTINGS) > 10


# ---------------------------------------------------------------- log lines


@pytest.mark.parametrize(
    "field",
    [
        *("message", "outcome", "code", "order_id", "recipients", "door", "caller", "requested_by", "force"),
        *("reminder_day", "upstream_status", "duration_ms", "function_request_id"),
    ],
)
def test_no_field_of_the_log_that_a_saved_query_needs_can_go(log_lines: list[dict[str, Any]], field: str) -> None:
    lines = [{name: value for name, value in line.items() if name != field} for line in log_lines]

    assert lines != log_lines
    assert query_problems(TEMPLATE, lines) != []


@pytest.mark.parametrize("outcome", ["sent", "OutcomeUnknown", "InternalError", "sending"])
def test_no_outcome_that_a_saved_query_looks_for_can_be_called_otherwise(
    log_lines: list[dict[str, Any]], outcome: str
) -> None:
    lines = [
        line | {name: "other" for name in ("outcome", "message") if line.get(name) == outcome} for line in log_lines
    ]

    assert lines != log_lines
    assert query_problems(TEMPLATE, lines) != []
