"""What the operator has: alarms, the dashboard, saved queries, gradual deployments, and what outlives a mistake."""

import json
import re
import subprocess
import tomllib
from typing import Any

import pytest

from contract.promises import alarm_problems, dashboard_of, dashboard_problems, query_problems
from contract.template import FUNCTIONS, PARAMETERS, RESOURCES, TEMPLATE, of_type
from dev.local.template import ROOT
from dv_resend import app, observability
from dv_resend.core import reminders

ALARMS = of_type("AWS::CloudWatch::Alarm")
METRICS = {metric.name: str(metric) for metric in observability.MetricName}
DAY = 24 * 3600

# ---------------------------------------------------------------- alarms


def test_alarms_watch_what_they_must() -> None:
    assert alarm_problems(TEMPLATE, METRICS) == []
    assert {alarm["Namespace"] for alarm in ALARMS.values()} == {
        observability.NAMESPACE,
        *("AWS/Lambda", "AWS/SQS", "AWS/States"),
    }


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_to_do_first(name: str) -> None:
    alarm = ALARMS[name]

    assert " First: " in alarm["AlarmDescription"]
    assert alarm["AlarmDescription"].endswith(f" Runbook: {name}.")
    assert len(alarm["AlarmDescription"]) <= 1024
    assert alarm["TreatMissingData"] == ("breaching" if name == "NoSweepAlarm" else "notBreaching")
    # What it tells the reader to look at exists.
    outputs = re.findall(r"stack outputs? ((?:\w+(?:, )?)+)\)", alarm["AlarmDescription"])
    assert {name for listed in outputs for name in listed.split(", ")} <= TEMPLATE["Outputs"].keys()
    queries = {query["Name"]["Fn::Sub"].partition("/")[2] for query in of_type("AWS::Logs::QueryDefinition").values()}
    assert set(re.findall(r'"([a-z ,]+ [a-z ,]+)"', alarm["AlarmDescription"])) <= queries | {"internal error"}
    assert alarm["AlarmActions"] == {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_looks_back_no_further_than_cloudwatch_can(name: str) -> None:
    """A day, or a week with periods of an hour or more (PutMetricAlarm)."""
    alarm = ALARMS[name]

    assert alarm["Period"] * alarm["EvaluationPeriods"] <= (7 * DAY if alarm["Period"] >= 3600 else DAY)


def test_a_missing_sweep_alarms_while_sweeps_are_wanted() -> None:
    """None is no data. A day, the flexible window and the sweep itself fit in."""
    alarm = ALARMS["NoSweepAlarm"]

    assert RESOURCES["NoSweepAlarm"]["Condition"] == "SweepIsOn"
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "LessThanThreshold")
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 26 * 3600


def test_a_reminder_that_waits_alarms_before_it_is_not_due_any_more() -> None:
    assert ALARMS["RemindersWaitAlarm"]["Threshold"] * 2 <= reminders.CATCH_UP.total_seconds()


def test_a_single_chase_that_fails_raises_no_alarm_but_one_that_times_out_does() -> None:
    """Its failures include ordinary outcomes, and CloudWatch does not tell them apart; its limit is none."""
    assert ALARMS["ChaseFailuresAlarm"]["Threshold"] > 1
    assert ALARMS["ChaseTimeoutsAlarm"]["Threshold"] == 1


def test_a_timed_out_call_alarms() -> None:
    assert FUNCTIONS["ResendFunction"]["Timeout"] * 1000 - 100 == ALARMS["FunctionTimeoutsAlarm"]["Threshold"]


# ---------------------------------------------------------------- dashboard and queries


def test_the_dashboard_shows_every_metric_and_every_alarm() -> None:
    assert dashboard_problems(TEMPLATE, METRICS) == []


def test_the_widgets_of_the_dashboard_have_a_place_each() -> None:
    widgets = dashboard_of(TEMPLATE)["widgets"]
    taken = [
        (widget["x"] + column, widget["y"] + row)
        for widget in widgets
        for column in range(widget["width"])
        for row in range(widget["height"])
    ]

    assert len(taken) == len(set(taken))
    assert max(column for column, _ in taken) < 24
    assert all(widget["properties"].get("region", "AWS::Region") == "AWS::Region" for widget in widgets)


def test_what_a_condition_leaves_out_leaves_the_dashboard_whole() -> None:
    """Its alarms are the last of their list, with the comma before them."""
    ((text, made),) = [
        dashboard["DashboardBody"]["Fn::Sub"] for dashboard in of_type("AWS::CloudWatch::Dashboard").values()
    ]
    without = {name: value["Fn::If"][2] for name, value in made.items() if "Fn::If" in value}

    for name, value in without.items():
        text = text.replace(f"${{{name}}}", value)
    body = json.loads(text)

    assert without.keys() == {"NoSweepArn", "ChaseArns", "Chase"}
    (alarms,) = [widget["properties"]["alarms"] for widget in body["widgets"] if widget["type"] == "alarm"]
    conditional = {name for name in ALARMS if "Condition" in RESOURCES[name]}
    assert {alarm.strip("${}").partition(".")[0] for alarm in alarms} == ALARMS.keys() - conditional


def test_saved_queries_ask_for_what_the_log_has(log_lines: list[dict[str, Any]]) -> None:
    assert query_problems(TEMPLATE, log_lines) == []


def test_saved_queries_search_the_logs_of_both_functions() -> None:
    queries = of_type("AWS::Logs::QueryDefinition")

    assert queries.keys() == {"WhoWasMailedQuery", "FailuresQuery", "OrderQuery", "KilledQuery"}
    for query in queries.values():
        assert query["LogGroupNames"] == [{"Ref": "ResendLogGroup"}, {"Ref": "SweepLogGroup"}]
        # A folder of its own for each stack.
        assert query["Name"]["Fn::Sub"].startswith("${AWS::StackName}/")


# ---------------------------------------------------------------- deployments


@pytest.fixture(scope="module")
def expanded() -> dict[str, Any]:
    """What SAM makes of the template, by its own library."""
    ran = subprocess.run(
        [ROOT / ".tools/sam/bin/python", "-m", "dev.local.template", ROOT / "template.yaml"],
        env={"PYTHONPATH": str(ROOT), "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    resources: dict[str, Any] = json.loads(ran.stdout)["Resources"]
    return resources


@pytest.mark.parametrize(
    ("function", "alarm"),
    [("ResendFunction", "NewVersionErrorsAlarm"), ("SweepFunction", "NewSweepVersionErrorsAlarm")],
)
def test_a_new_version_that_fails_is_taken_back_and_nothing_else_stops_it(
    expanded: dict[str, Any], function: str, alarm: str
) -> None:
    group = expanded[f"{function}DeploymentGroup"]["Properties"]
    alias = expanded[f"{function}Alias{app.ALIAS}"]

    # Of all alarms this one alone: those of the key, the queues and stuck orders would block what mends them.
    assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": {"Ref": alarm}}]}
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    assert {"DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_FAILURE"} <= set(group["AutoRollbackConfiguration"]["Events"])
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["DeploymentRole", "Arn"]}
    assert alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"] == {
        "Ref": f"{function}DeploymentGroup"
    }
    # It watches the version that the alias is about to have, under the alias.
    assert expanded[alarm]["Properties"]["Dimensions"] == [
        {"Name": "FunctionName", "Value": {"Ref": function}},
        {"Name": "Resource", "Value": {"Fn::Sub": f"${{{function}}}:{app.ALIAS}"}},
        {"Name": "ExecutedVersion", "Value": alias["Properties"]["FunctionVersion"]},
    ]
    version = alias["Properties"]["FunctionVersion"]["Fn::GetAtt"][0]
    assert (expanded[version]["Type"], expanded[version]["DeletionPolicy"]) == ("AWS::Lambda::Version", "Retain")


def test_half_of_the_calls_of_a_minute_decide() -> None:
    for name in ("NewVersionErrorsAlarm", "NewSweepVersionErrorsAlarm"):
        alarm = ALARMS[name]
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Average", 0.5)
        assert (alarm["Period"], alarm["EvaluationPeriods"]) == (60, 1)


def test_how_versions_take_turns_is_the_operators_choice_but_the_stop_switch_does_not_wait(
    expanded: dict[str, Any],
) -> None:
    parameter = PARAMETERS["DeploymentPreference"]

    for function in FUNCTIONS:
        at_once, gradual = expanded[f"{function}DeploymentGroup"]["Properties"]["DeploymentConfigName"]["Fn::If"][1:]
        assert configuration(at_once) == "CodeDeployDefault.LambdaAllAtOnce"
        assert configuration(gradual) == f"CodeDeployDefault.Lambda{parameter['Default']}"
    assert TEMPLATE["Conditions"]["DeploysAtOnce"] == {
        "Fn::Or": [
            {"Fn::Equals": [{"Ref": "Sending"}, "off"]},
            {"Fn::Equals": [{"Ref": "DeploymentPreference"}, "AllAtOnce"]},
        ]
    }


def configuration(value: dict[str, Any]) -> str:
    """The name that SAM's `Fn::Sub` stands for."""
    text, made = value["Fn::Sub"]
    return re.sub(r"\$\{(\w+)\}", lambda match: made[match[1]], text)


def test_snapshots_are_made_when_they_are_wanted() -> None:
    for function in FUNCTIONS.values():
        assert function["SnapStart"] == {"ApplyOn": {"Fn::If": ["UseSnapStart", "PublishedVersions", "None"]}}
    assert TEMPLATE["Conditions"]["UseSnapStart"] == {"Fn::Equals": [{"Ref": "SnapStart"}, "on"]}
    assert PARAMETERS["SnapStart"]["Default"] == "off"


def test_no_role_but_the_templates_own_is_made(expanded: dict[str, Any]) -> None:
    made = {name for name, resource in expanded.items() if resource["Type"] == "AWS::IAM::Role"}

    assert made == of_type("AWS::IAM::Role").keys()


def test_the_profiles_deploy_as_they_say() -> None:
    profiles = tomllib.loads((ROOT / "samconfig.toml").read_text())
    dev, prod = (profiles[name]["deploy"]["parameters"] for name in ("dev", "prod"))

    def overrides(profile: dict[str, Any]) -> dict[str, str]:
        return dict(pair.split("=") for pair in profile["parameter_overrides"].split())

    assert overrides(dev).keys() | overrides(prod).keys() <= PARAMETERS.keys()
    assert (dev["confirm_changeset"], prod["confirm_changeset"]) == (False, True)
    assert overrides(dev)["DeploymentPreference"] == "AllAtOnce"
    assert overrides(prod)["DeploymentPreference"].startswith("Canary")
    for name, profile in (("dev", dev), ("prod", prod)):
        assert profile["tags"] == f"application=dv-resend environment={name}"
        assert profile["stack_name"] == f"dv-resend-{name}"
        # No resource has a name that two stacks of an account could want.
        assert profile["capabilities"] == "CAPABILITY_IAM"


# ---------------------------------------------------------------- what outlives a mistake


def test_what_nobody_could_bring_back_outlives_the_stack() -> None:
    """All of these have names that CloudFormation makes up, so that they stand in no new stack's way."""
    kept = {name for name, r in RESOURCES.items() if r.get("DeletionPolicy") == "RetainExceptOnCreate"}

    assert kept == {
        "ClaimsTable",  # or somebody may be mailed twice
        "ApiKeySecret",
        "FailedEventsQueue",
        "DeadLetterQueue",
        "ResendLogGroup",
        "SweepLogGroup",
    }
    for name in kept:
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
        assert not {"TableName", "Name", "QueueName", "LogGroupName"} & RESOURCES[name]["Properties"].keys()
    others = {
        name
        for kind in ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup", "AWS::SecretsManager::Secret")
        for name in of_type(kind)
    } - kept
    assert {(RESOURCES[name]["DeletionPolicy"], RESOURCES[name]["UpdateReplacePolicy"]) for name in others} == {
        ("Delete", "Delete")
    }


def test_the_stack_policy_lets_no_update_replace_or_delete_claims_and_queues() -> None:
    policy = json.loads((ROOT / "stack-policy.json").read_text())
    allow, deny = policy["Statement"]

    assert allow == {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}
    assert (deny["Effect"], deny["Principal"]) == ("Deny", "*")
    assert deny["Action"] == ["Update:Replace", "Update:Delete"]
    protected = of_type("AWS::DynamoDB::Table").keys() | of_type("AWS::SQS::Queue").keys()
    assert set(deny["Resource"]) == {f"LogicalResourceId/{name}" for name in protected}
