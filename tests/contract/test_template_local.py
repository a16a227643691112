"""The local AWS runs the real template, with a few differences that are all listed here."""

import json
import re
from pathlib import Path

import pytest

from contract.template import RESOURCES, TEMPLATE, as_list, metrics_of, of_type
from dev.local.localize import BATCHES, localize
from dev.local.template import ROOT


def test_local_template_differs_only_where_local_aws_must() -> None:
    local = localize(TEMPLATE)

    # The runtime, and CodeDeploy.
    shared = TEMPLATE["Globals"]["Function"]
    assert local["Globals"]["Function"] == {
        **{name: value for name, value in shared.items() if name != "DeploymentPreference"},
        "Runtime": "provided.al2023",
    }
    local["Globals"]["Function"] = shared
    left_out = {name: value for name, value in TEMPLATE["Outputs"].items() if name not in local["Outputs"]}
    assert left_out.keys() == {"DeploymentApplicationName", "DeploymentGroupName", "SweepDeploymentGroupName"}
    local["Outputs"] |= left_out
    # Metric math: the first metric takes its place, with the same threshold.
    for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
        if "Metrics" in alarm:
            copy = local["Resources"][name]["Properties"]
            (watched,), (first, *_) = metrics_of(copy).values(), metrics_of(alarm).values()
            assert watched == first
            local["Resources"][name]["Properties"] = {
                **{key: value for key, value in copy.items() if key not in ("Namespace", "MetricName", "Dimensions")},
                "Metrics": alarm["Metrics"],
            }
            for key in ("Statistic", "Period"):
                del local["Resources"][name]["Properties"][key]
    # The actions for batches, which do not exist on AWS.
    named = [
        action
        for policy in local["Resources"]["SweepFunctionRole"]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement.get("Action", []))
        if action in BATCHES.values()
    ]
    assert sorted(named) == ["sqs:ChangeMessageVisibilityBatch", "sqs:SendMessageBatch"]
    batches = "|".join(re.escape(json.dumps(action)) for action in BATCHES.values())
    local = json.loads(re.sub(f", (?:{batches})", "", json.dumps(local)))
    # The saved queries.
    queries = of_type("AWS::Logs::QueryDefinition")
    assert not queries.keys() & local["Resources"].keys()
    local["Resources"] |= {name: RESOURCES[name] for name in queries}
    # Nothing else.
    assert local == TEMPLATE


@pytest.mark.parametrize("path", sorted((ROOT / "dev/local").glob("*.py")), ids=lambda path: path.name)
def test_local_run_uses_loopback_only(path: Path) -> None:
    text = path.read_text()

    hosts = set(re.findall(r"https?://([^\s/:'\"{}]+)", text))
    # With ORDER_ID, the user chooses the real CertCentral.
    assert hosts <= {"127.0.0.1", "localhost", *(["www.digicert.com"] if path.name == "run.py" else [])}
    assert not re.search(r"\b0\.0\.0\.0\b|\[::\]", text)
