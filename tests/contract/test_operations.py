"""Alarms, dashboard, saved queries, gradual deployments, and the resources that outlive an operator's mistake."""

import json
import re
import subprocess
import tomllib
from typing import Any

import pytest

from contract.template import FUNCTIONS, PARAMETERS, RESOURCES, TEMPLATE, name_of, of_type
from dev.local.template import ROOT
from dv_resend import observability
from dv_resend.core import reminders

ALARMS = of_type("AWS::CloudWatch::Alarm")
DAY = 24 * 3600

# ---------------------------------------------------------------- alarms


# "Types of metrics for Lambda functions", "Available CloudWatch metrics for Amazon SQS", "Step Functions metrics".
AWS_METRICS = {
    ("AWS/Lambda", "FunctionName"): {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"},
    ("AWS/Lambda", "FunctionName,Resource,ExecutedVersion"): {"Errors"},
    ("AWS/SQS", "QueueName"): {
        *("ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"),
        "ApproximateAgeOfOldestMessage",
    },
    ("AWS/States", "StateMachineArn"): {
        *("ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut"),
    },
}
OF_AWS = {name: alarm for name, alarm in ALARMS.items() if alarm["Namespace"] != observability.NAMESPACE}


@pytest.mark.parametrize("name", OF_AWS)
def test_alarm_watches_a_metric_that_aws_documents(name: str) -> None:
    """test_metrics.py compares the others with what the code emits."""
    alarm = OF_AWS[name]
    dimensions = ",".join(dimension["Name"] for dimension in alarm["Dimensions"])

    assert alarm["MetricName"] in AWS_METRICS[alarm["Namespace"], dimensions]


def test_queue_function_and_workflow_each_have_alarms() -> None:
    watched = {(alarm["MetricName"], name_of(alarm["Dimensions"][0]["Value"])) for alarm in OF_AWS.values()}
    queues = of_type("AWS::SQS::Queue").keys() - {"ReminderQueue"}

    assert watched == {
        *((metric, function) for metric in ("Errors", "Throttles") for function in FUNCTIONS),
        ("Duration", "ResendFunction"),
        *(("ApproximateNumberOfMessagesVisible", f"{queue}.QueueName") for queue in queues),
        ("ApproximateAgeOfOldestMessage", "ReminderQueue.QueueName"),
        *((metric, "ChaseStateMachine") for metric in ("ExecutionsFailed", "ExecutionsTimedOut")),
    }


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_description_says_what_to_do_first(name: str) -> None:
    alarm = ALARMS[name]

    assert " First: " in alarm["AlarmDescription"]
    assert alarm["AlarmDescription"].endswith(f" Runbook: {name}.")
    assert len(alarm["AlarmDescription"]) <= 1024
    assert alarm["TreatMissingData"] == ("breaching" if name == "NoSweepAlarm" else "notBreaching")
    # The outputs and the queries that it names exist.
    outputs = re.findall(r"stack outputs? ((?:\w+(?:, )?)+)\)", alarm["AlarmDescription"])
    assert {name for listed in outputs for name in listed.split(", ")} <= TEMPLATE["Outputs"].keys()
    queries = {query["Name"]["Fn::Sub"].partition("/")[2] for query in of_type("AWS::Logs::QueryDefinition").values()}
    assert set(re.findall(r'"([a-z ,]+ [a-z ,]+)"', alarm["AlarmDescription"])) <= queries | {"internal error"}
    assert alarm["AlarmActions"] == {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_evaluation_period_is_within_cloudwatch_limits(name: str) -> None:
    """At most a day, or a week with periods of at least an hour (PutMetricAlarm)."""
    alarm = ALARMS[name]

    assert alarm["Period"] * alarm["EvaluationPeriods"] <= (7 * DAY if alarm["Period"] >= 3600 else DAY)


def test_no_sweep_alarm_fires_after_26_hours_while_enabled() -> None:
    """A missing sweep is missing data. 26 hours cover a day, the flexible window and the sweep itself."""
    alarm = ALARMS["NoSweepAlarm"]

    assert RESOURCES["NoSweepAlarm"]["Condition"] == "SweepIsOn"
    # Each completed sweep emits one sample of this metric.
    assert (alarm["MetricName"], alarm["Statistic"]) == (observability.MetricName.PENDING_ORDERS, "SampleCount")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "LessThanThreshold")
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 26 * 3600


def test_reminders_wait_alarm_fires_while_reminder_is_still_due() -> None:
    assert ALARMS["RemindersWaitAlarm"]["Threshold"] * 2 <= reminders.CATCH_UP.total_seconds()


def test_function_timeouts_alarm_threshold_matches_the_timeout() -> None:
    assert FUNCTIONS["ResendFunction"]["Timeout"] * 1000 - 100 == ALARMS["FunctionTimeoutsAlarm"]["Threshold"]


# ---------------------------------------------------------------- dashboard


def dashboard() -> dict[str, Any]:
    """The dashboard's body with all conditions true, and with logical IDs in place of physical ones."""
    (resource,) = of_type("AWS::CloudWatch::Dashboard").values()
    text, made = resource["DashboardBody"]["Fn::Sub"]
    for name, value in made.items():
        text = text.replace(f"${{{name}}}", name_of(value["Fn::If"][1] if "Fn::If" in value else value))
    body: dict[str, Any] = json.loads(re.sub(r"\$\{([^}]+)\}", r"\1", text))
    return body


def metric_of(row: list[Any]) -> tuple[str, ...]:
    """Namespace, name and dimensions of the metric that a row of a widget shows."""
    if "expression" in row[0]:
        namespace, dimensions, name, service = re.fullmatch(
            r"""SEARCH\('\{(\w+),([\w,]+)\} MetricName="(\w+)" service="([^"]+)"', 'Sum', \d+\)""", row[0]["expression"]
        ).groups()  # type: ignore[union-attr]
        return namespace, name, "each " + dimensions.removesuffix(",service"), f"service={service}"
    namespace, name, *dimensions = row[:-1]
    return namespace, name, *map("=".join, zip(dimensions[::2], dimensions[1::2], strict=True))


def test_dashboard_shows_every_metric_and_alarm() -> None:
    widgets = dashboard()["widgets"]
    shown = {metric_of(row) for widget in widgets for row in widget["properties"].get("metrics", [])}
    service = "service=AWS::StackName"
    own = {metric for metric in shown if metric[0] == observability.NAMESPACE}

    assert own == {(observability.NAMESPACE, str(name), service) for name in observability.MetricName} | {
        (observability.NAMESPACE, observability.MetricName.RESEND_FAILED, "each reason", service)
    }
    for namespace, name, dimension in shown - own:
        assert name in AWS_METRICS[namespace, dimension.partition("=")[0]]
    for queue in of_type("AWS::SQS::Queue"):
        assert ("AWS/SQS", "ApproximateNumberOfMessagesVisible", f"QueueName={queue}.QueueName") in shown
    alarms = [alarm for widget in widgets for alarm in widget["properties"].get("alarms", [])]
    assert sorted(alarms) == sorted(f"{name}.Arn" for name in ALARMS)


def test_dashboard_without_conditional_parts_is_valid() -> None:
    """Conditional alarms come last in the list and bring their own comma."""
    ((text, made),) = [
        resource["DashboardBody"]["Fn::Sub"] for resource in of_type("AWS::CloudWatch::Dashboard").values()
    ]
    without = {name: value["Fn::If"][2] for name, value in made.items() if "Fn::If" in value}

    for name, value in without.items():
        text = text.replace(f"${{{name}}}", value)
    body = json.loads(text)

    assert without.keys() == {"NoSweepArn", "ChaseArns", "Chase"}
    (alarms,) = [widget["properties"]["alarms"] for widget in body["widgets"] if widget["type"] == "alarm"]
    conditional = {name for name in ALARMS if "Condition" in RESOURCES[name]}
    assert {alarm.strip("${}").partition(".")[0] for alarm in alarms} == ALARMS.keys() - conditional


# ---------------------------------------------------------------- deployments


@pytest.fixture(scope="module")
def expanded() -> dict[str, Any]:
    """The template as SAM's own library expands it."""
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
def test_deployment_is_rolled_back_by_new_version_errors_only(
    expanded: dict[str, Any], function: str, alarm: str
) -> None:
    group = expanded[f"{function}DeploymentGroup"]["Properties"]
    alias = expanded[f"{function}Aliaslive"]

    # No other alarm: those of the key, the queues and stuck orders would block the deployment that fixes them.
    assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": {"Ref": alarm}}]}
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    assert {"DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_FAILURE"} <= set(group["AutoRollbackConfiguration"]["Events"])
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["DeploymentRole", "Arn"]}
    assert alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"] == {
        "Ref": f"{function}DeploymentGroup"
    }
    # It watches the alias's new version.
    assert expanded[alarm]["Properties"]["Dimensions"] == [
        {"Name": "FunctionName", "Value": {"Ref": function}},
        {"Name": "Resource", "Value": {"Fn::Sub": f"${{{function}}}:live"}},
        {"Name": "ExecutedVersion", "Value": alias["Properties"]["FunctionVersion"]},
    ]
    version = alias["Properties"]["FunctionVersion"]["Fn::GetAtt"][0]
    assert (expanded[version]["Type"], expanded[version]["DeletionPolicy"]) == ("AWS::Lambda::Version", "Retain")


def test_deployment_preference_applies_unless_sending_is_off(
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
    """Resolve the name in SAM's `Fn::Sub`."""
    text, made = value["Fn::Sub"]
    return re.sub(r"\$\{(\w+)\}", lambda match: made[match[1]], text)


def test_expanded_template_adds_no_roles(expanded: dict[str, Any]) -> None:
    made = {name for name, resource in expanded.items() if resource["Type"] == "AWS::IAM::Role"}

    assert made == of_type("AWS::IAM::Role").keys()


def test_samconfig_profiles_match_their_names() -> None:
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
        # No resource has a fixed name that could clash between two stacks of an account.
        assert profile["capabilities"] == "CAPABILITY_IAM"


# ---------------------------------------------------------------- what outlives a mistake


def test_irreplaceable_resources_outlive_the_stack() -> None:
    """Their names are generated by CloudFormation, so they never clash with those of a new stack."""
    kept = {name for name, r in RESOURCES.items() if r.get("DeletionPolicy") == "RetainExceptOnCreate"}

    assert kept == {
        "SendRecordsTable",  # losing it could cause duplicate emails
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


def test_stack_policy_protects_claims_and_queues() -> None:
    policy = json.loads((ROOT / "stack-policy.json").read_text())
    allow, deny = policy["Statement"]

    assert allow == {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}
    assert (deny["Effect"], deny["Principal"]) == ("Deny", "*")
    assert deny["Action"] == ["Update:Replace", "Update:Delete"]
    protected = of_type("AWS::DynamoDB::Table").keys() | of_type("AWS::SQS::Queue").keys()
    assert set(deny["Resource"]) == {f"LogicalResourceId/{name}" for name in protected}
