"""Adapts a build to the local AWS, which has no python3.13 runtime but serves the real Lambda Runtime API.

The differences from the real template:

- the functions have a custom runtime, whose `bootstrap` starts AWS's own Python runtime client (`dev.local.runtime`)
  with the same code;
- a permission to send messages to a queue, or to change their visibility, explicitly includes batches. AWS has no
  separate permission for batches, but the local AWS requires one;
- an alarm with metric math, which the local AWS rolls the stack back for, watches the first of its metrics;
- what the local AWS does not support is left out: saved queries, and CodeDeploy (a new version takes over at once).

What it does otherwise than AWS, `dev.local.local_aws` corrects.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from dev.local.template import load

# `-B` because Lambda's code folder is read-only, `-P` because the function must not see the folder of
# `dev.local.runtime`. Nor must it see the variables that configure the local AWS.
_BOOTSTRAP = """\
#!/bin/sh
unset AUTH BIND_HOST GATEWAY_PORT MINISTACK_ACCOUNT_ID MINISTACK_REGION SFN_WAIT_SCALE TMPDIR HOME OLDPWD
export PATH=/usr/local/bin:/usr/bin:/bin TZ=:UTC
export AWS_EXECUTION_ENV=AWS_Lambda_python3.13 AWS_LAMBDA_LOG_FORMAT=JSON AWS_LAMBDA_LOG_LEVEL=INFO
export PYTHONPATH="$LAMBDA_TASK_ROOT"
exec '{python}' -B -P '{runtime}' "$_HANDLER"
"""
BATCHES = {
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}
LEFT_OUT_TYPE = "AWS::Logs::QueryDefinition"
LEFT_OUT_OF_FUNCTIONS = "DeploymentPreference"
LEFT_OUT_OUTPUTS = {"DeploymentApplicationName", "DeploymentGroupName", "SweepDeploymentGroupName"}
_RUNTIME = Path(__file__).with_name("runtime.py")


def localize(template: dict[str, Any]) -> dict[str, Any]:
    """Return the template for the local AWS."""
    local = deepcopy(template)
    local["Resources"] = {name: r for name, r in local["Resources"].items() if r["Type"] != LEFT_OUT_TYPE}
    local["Globals"]["Function"]["Runtime"] = "provided.al2023"
    del local["Globals"]["Function"][LEFT_OUT_OF_FUNCTIONS]
    local["Outputs"] = {name: o for name, o in local["Outputs"].items() if name not in LEFT_OUT_OUTPUTS}
    for resource in local["Resources"].values():
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"]["Policies"]:
                for statement in policy["PolicyDocument"]["Statement"]:
                    if isinstance(statement.get("Action"), list):
                        statement["Action"] += [BATCHES[name] for name in statement["Action"] if name in BATCHES]
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            metrics = resource["Properties"].pop("Metrics")
            first = next(metric["MetricStat"] for metric in metrics if "MetricStat" in metric)
            resource["Properties"] |= first["Metric"] | {"Statistic": first["Stat"], "Period": first["Period"]}
    return local


def localize_build(folder: Path, python: Path) -> None:
    """Adapt the `sam build` result in `folder`; `python` is an interpreter that has the runtime client."""
    path = folder / "template.yaml"
    local = localize(load(path))
    for resource in local["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            bootstrap = folder / resource["Properties"]["CodeUri"] / "bootstrap"
            bootstrap.write_text(_BOOTSTRAP.format(python=python, runtime=_RUNTIME))
            bootstrap.chmod(0o755)
    path.write_text(json.dumps(local, indent=2))
