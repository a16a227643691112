"""Every alarm on one of our metrics, against the emitted EMF lines: namespace, name and exact dimensions."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import SERVICE, Output

from dev.local.template import ROOT, load
from dv_resend import errors, observability
from dv_resend.core.requests import ResendRequest
from dv_resend.core.resend import ReminderResult, ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.handlers.audit import Audit

RESOURCES = load(ROOT / "template.yaml")["Resources"]
ALARMS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::CloudWatch::Alarm" and not resource["Properties"]["Namespace"].startswith("AWS/")
}


@pytest.fixture
def emitted(output: Callable[[], Output]) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Every metric, emitted once, as (namespace, name, dimensions)."""
    request = ResendRequest(order_id=1)
    observability.observe_upstream(204, 0.1)
    for outcome in ("sent", "duplicate"):
        Audit().succeeded(ResendResult(request, outcome, 0, 0))
    Audit("queue").succeeded(ReminderResult(1, "missed"))
    Audit().succeeded(SweepSummary())
    for error in (errors.ApiKeyRejected("."), errors.OutcomeUnknown("."), errors.RateLimited("."), ValueError()):
        Audit().failed(error)
    Audit("queue").failed(errors.OrderNotEligible("already_validated", "."))
    observability.flush()
    return [
        (emission["namespace"], name, tuple(sorted(emission["dimensions"].items())))
        for name, emissions in output().metrics.items()
        for emission in emissions
    ]


def test_alarms_on_own_metrics_exist() -> None:
    assert {alarm["MetricName"] for alarm in ALARMS.values()} == {
        *("ApiKeyRejected", "OutcomeUnknown", "ResendFailed", "PendingOrders", "StuckOrders"),
    }


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_watches_an_emitted_metric(emitted: list[Any], name: str) -> None:
    # The template uses the stack's name on both sides; here a fixed service name takes its place.
    service = RESOURCES["ResendFunction"]["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    alarm = ALARMS[name]
    dimensions = {
        dimension["Name"]: SERVICE if dimension["Value"] == service else dimension["Value"]
        for dimension in alarm["Dimensions"]
    }

    assert (alarm["Namespace"], alarm["MetricName"], tuple(sorted(dimensions.items()))) in emitted


def test_metric_names_are_all_emitted(emitted: list[Any]) -> None:
    assert {name for _, name, _ in emitted} == {str(name) for name in observability.MetricName}
