"""Every alarm on one of our metrics, against the emitted EMF lines: namespace, name and exact dimensions."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import SERVICE, Output

from contract.template import FUNCTIONS, metrics_of, name_of, of_type
from dv_resend import errors, observability
from dv_resend.core.requests import ResendRequest
from dv_resend.core.resend import ReminderResult, ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.handlers.audit import Audit

ALARMS = {
    f"{name} {metric.name}": metric
    for name, alarm in of_type("AWS::CloudWatch::Alarm").items()
    for metric in metrics_of(alarm).values()
    if not metric.namespace.startswith("AWS/")
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


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_watches_an_emitted_metric(emitted: list[Any], name: str) -> None:
    # The template uses the stack's name on both sides; here a fixed service name takes its place.
    service = name_of(FUNCTIONS["ResendFunction"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"])
    metric = ALARMS[name]
    dimensions = [(name, SERVICE if value == service else value) for name, value in metric.dimensions]

    assert (metric.namespace, metric.name, tuple(sorted(dimensions))) in emitted


def test_metric_names_are_all_emitted(emitted: list[Any]) -> None:
    assert {name for _, name, _ in emitted} == {str(name) for name in observability.MetricName}
