"""Alarms, dashboard, saved queries, gradual deployments, and the resources that outlive an operator's mistake."""

import json
import re
import tomllib
from typing import Any

import pytest
import yaml

from contract.template import FUNCTIONS, PARAMETERS, RESOURCES, TEMPLATE, expression_of, metrics_of, name_of, of_type
from dev.local.template import ROOT
from dv_resend import observability
from dv_resend.core import reminders

ALARMS = of_type("AWS::CloudWatch::Alarm")
DAY = 24 * 3600
DEPLOY: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())

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
OF_AWS = {
    (alarm, metric)
    for alarm, properties in ALARMS.items()
    for metric in metrics_of(properties).values()
    if metric.namespace != observability.NAMESPACE
}


def test_alarms_watch_metrics_that_aws_documents() -> None:
    """test_metrics.py compares the others with what the code emits."""
    for alarm, metric in OF_AWS:
        assert metric.name in AWS_METRICS[metric.namespace, ",".join(name for name, _ in metric.dimensions)], alarm


def test_queue_function_and_workflow_each_have_alarms() -> None:
    watched = {(metric.name, metric.dimensions[0][1]) for _, metric in OF_AWS}
    queues = of_type("AWS::SQS::Queue").keys() - {"ReminderQueue"}

    assert watched == {
        *((metric, function) for metric in ("Errors", "Throttles") for function in FUNCTIONS),
        ("Duration", "ResendFunction"),
        *(("ApproximateNumberOfMessagesVisible", f"{queue}.QueueName") for queue in queues),
        ("ApproximateAgeOfOldestMessage", "ReminderQueue.QueueName"),
        *((metric, "ChaseStateMachine") for metric in ("ExecutionsFailed", "ExecutionsTimedOut")),
    }


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_is_one_sentence_and_says_when_it_clears(name: str) -> None:
    alarm = ALARMS[name]
    notify = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}

    assert re.fullmatch(rf"[^.]+\. Runbook: {name}\.", alarm["AlarmDescription"])
    assert alarm["TreatMissingData"] == ("breaching" if name == "NoSweepAlarm" else "notBreaching")
    assert (alarm["AlarmActions"], alarm["OKActions"]) == (notify, notify)


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_evaluation_period_is_within_cloudwatch_limits(name: str) -> None:
    """At most a day, or a week with periods of at least an hour (PutMetricAlarm)."""
    alarm = ALARMS[name]
    (period,) = {metric.period for metric in metrics_of(alarm).values()}

    assert period * alarm["EvaluationPeriods"] <= (7 * DAY if period >= 3600 else DAY)


def fires(name: str, **values: float) -> bool:
    """Whether an alarm with metric math fires on these values of its metrics; those that are not named have no data.

    The expressions happen to be valid Python, with CloudWatch's functions as names.
    """
    alarm = ALARMS[name]
    known: dict[str, Any] = {
        "IF": lambda condition, value, otherwise: value if condition else otherwise,
        "FILL": lambda value, default: default if value is None else value,
        "MAX": max,
        "SUM": sum,
        "__builtins__": {},
    }
    metrics = metrics_of(alarm)
    assert values.keys() <= metrics.keys()

    result = eval(expression_of(alarm), known | dict.fromkeys(metrics) | values)  # noqa: S307
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    return bool(result >= alarm["Threshold"])


@pytest.mark.parametrize("name", [name for name, alarm in ALARMS.items() if "Metrics" in alarm])
def test_metric_math_returns_one_series(name: str) -> None:
    (result,) = [one for one in ALARMS[name]["Metrics"] if one.get("ReturnData", True)]

    assert "Expression" in result
    assert not fires(name)
    # Each metric counts, even if the others have no data.
    for metric in metrics_of(ALARMS[name]):
        assert metric in expression_of(ALARMS[name])


@pytest.mark.parametrize(
    ("calls", "error_rate", "is_rolled_back"),
    [(1, 1.0, False), (4, 1.0, False), (5, 0.4, False), (5, 0.6, True), (100, 0.49, False), (100, 0.5, True)],
)
def test_canary_is_not_judged_by_a_single_call(calls: int, error_rate: float, is_rolled_back: bool) -> None:
    """A refusal that is raised to a direct caller is an error of the function, whatever its version."""
    assert fires("NewVersionErrorsAlarm", resend_calls=calls, resend_error_rate=error_rate) is is_rolled_back


@pytest.mark.parametrize(("calls", "error_rate", "is_rolled_back"), [(1, 1.0, False), (2, 0.5, True), (4, 0.25, False)])
def test_canary_of_the_sweep_needs_two_calls(calls: int, error_rate: float, is_rolled_back: bool) -> None:
    """It has few, and no refusal is an error."""
    assert fires("NewVersionErrorsAlarm", sweep_calls=calls, sweep_error_rate=error_rate) is is_rolled_back


def test_function_errors_alarm_tells_refusals_from_bugs() -> None:
    assert fires("FunctionErrorsAlarm", bugs=1)
    assert fires("FunctionErrorsAlarm", sweeps=1, resends=0)
    assert not fires("FunctionErrorsAlarm", resends=4)
    assert fires("FunctionErrorsAlarm", resends=5)


@pytest.mark.parametrize("queue", ["failed", "undelivered", "reminders"])
def test_dead_letters_alarm_fires_for_each_queue(queue: str) -> None:
    assert fires("DeadLettersAlarm", **{queue: 1})


@pytest.mark.parametrize("function", ["resends", "sweeps"])
def test_throttles_alarm_fires_for_each_function(function: str) -> None:
    assert fires("ThrottlesAlarm", **{function: 1})


def test_chase_alarm_ignores_one_failure_but_not_one_timeout() -> None:
    """Failures include ordinary outcomes, which CloudWatch cannot tell apart; a timeout never is one."""
    assert not fires("ChaseAlarm", failed=4)
    assert fires("ChaseAlarm", failed=5, timed_out=0)
    assert fires("ChaseAlarm", timed_out=1)


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

    assert without.keys() == {"NoSweepArn", "ChaseArn", "Chase"}
    (alarms,) = [widget["properties"]["alarms"] for widget in body["widgets"] if widget["type"] == "alarm"]
    conditional = {name for name in ALARMS if "Condition" in RESOURCES[name]}
    assert {alarm.strip("${}").partition(".")[0] for alarm in alarms} == ALARMS.keys() - conditional


# ---------------------------------------------------------------- deployments


@pytest.mark.parametrize("function", FUNCTIONS)
def test_deployment_is_rolled_back_by_new_version_errors_only(expanded: dict[str, Any], function: str) -> None:
    group = expanded[f"{function}DeploymentGroup"]["Properties"]
    alias = expanded[f"{function}Aliaslive"]

    # No other alarm: those of the key, the queues and stuck orders would block the deployment that fixes them.
    assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": {"Ref": "NewVersionErrorsAlarm"}}]}
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    assert {"DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_FAILURE"} <= set(group["AutoRollbackConfiguration"]["Events"])
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["DeploymentRole", "Arn"]}
    assert alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"] == {
        "Ref": f"{function}DeploymentGroup"
    }
    # It watches the alias's new version.
    version, attribute = alias["Properties"]["FunctionVersion"]["Fn::GetAtt"]
    metrics = metrics_of(expanded["NewVersionErrorsAlarm"]["Properties"]).values()
    assert [metric.dimensions for metric in metrics].count(
        (
            ("FunctionName", function),
            ("Resource", f"${{{function}}}:live"),
            ("ExecutedVersion", f"{version}.{attribute}"),
        )
    ) == 2
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


def minutes(preference: str) -> int:
    """How long a deployment preference shifts traffic."""
    if match := re.fullmatch(r"Canary10Percent(\d+)Minutes", preference):
        return int(match[1])
    if match := re.fullmatch(r"Linear10PercentEvery(\d+)Minutes?", preference):
        return 10 * int(match[1])
    assert preference == "AllAtOnce"
    return 0


PROFILES = {name: tomllib.loads((ROOT / "samconfig.toml").read_text())[name]["deploy"] for name in ("dev", "prod")}


def overrides(profile: str) -> dict[str, str]:
    """The parameters that a profile sets, but for the release, which it reads from a file."""
    file, *pairs = PROFILES[profile]["parameters"]["parameter_overrides"]
    assert file == "file://.aws-sam/release.toml"
    return dict(pair.split("=", 1) for pair in pairs)


@pytest.mark.parametrize("preference", PARAMETERS["DeploymentPreference"]["AllowedValues"])
def test_deployment_ends_before_anybody_stops_waiting(preference: str) -> None:
    """SAM waits before it sets the stack policy; the workflow's job and its credentials end after an hour."""
    rest_of_the_update = 20
    (job,) = [job for name, job in DEPLOY["jobs"].items() if name == "deploy"]
    waits = {profile["parameters"]["max_wait_duration"] for profile in PROFILES.values()} | {job["timeout-minutes"], 60}

    assert minutes(preference) + rest_of_the_update <= min(waits)


@pytest.mark.parametrize("profile", PROFILES)
def test_samconfig_names_every_switch(profile: str) -> None:
    """`sam deploy` sends the previous value of what is not named: a switch that is left out would stay as it was."""
    switches = {name for name, parameter in PARAMETERS.items() if "AllowedValues" in parameter}

    assert overrides(profile).keys() >= switches
    for name, value in overrides(profile).items():
        assert value in map(str, PARAMETERS[name].get("AllowedValues", [value]))
    assert overrides(profile)["Sending"] == "on"


def test_samconfig_profiles_match_their_names() -> None:
    dev, prod = (profile["parameters"] for profile in PROFILES.values())

    assert (dev["confirm_changeset"], prod["confirm_changeset"]) == (False, True)
    assert overrides("dev")["DeploymentPreference"] == "AllAtOnce"
    assert overrides("prod")["DeploymentPreference"].startswith("Canary")
    for name, profile in (("dev", dev), ("prod", prod)):
        assert profile["tags"] == f"application=dv-resend environment={name}"
        assert profile["stack_name"] == f"dv-resend-{name}"
        # No resource has a fixed name that could clash between two stacks of an account.
        assert profile["capabilities"] == "CAPABILITY_IAM"


def test_outputs_name_what_an_emergency_stop_needs(expanded: dict[str, Any]) -> None:
    outputs = {name: output["Value"] for name, output in TEMPLATE["Outputs"].items()}
    mapping, application = outputs["ReminderMappingId"]["Ref"], outputs["DeploymentApplicationName"]["Ref"]
    groups = {outputs["DeploymentGroupName"]["Ref"], outputs["SweepDeploymentGroupName"]["Ref"]}

    assert expanded[mapping]["Type"] == "AWS::Lambda::EventSourceMapping"
    assert expanded[mapping]["Properties"]["EventSourceArn"] == {"Fn::GetAtt": ["ReminderQueue", "Arn"]}
    assert expanded[application]["Type"] == "AWS::CodeDeploy::Application"
    assert groups == {name for name, r in expanded.items() if r["Type"] == "AWS::CodeDeploy::DeploymentGroup"}


# ---------------------------------------------------------------- what outlives a mistake


def test_irreplaceable_resources_outlive_the_stack() -> None:
    """Their names are generated by CloudFormation, so they never clash with those of a new stack."""
    kept = {name for name, r in RESOURCES.items() if r.get("DeletionPolicy") == "RetainExceptOnCreate"}

    assert kept == {
        "SendRecordsTable",  # losing it could cause duplicate emails
        "ApiKeySecret",
        "FailedEventsQueue",
        "UndeliveredEventsQueue",
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


def test_stack_policy_protects_send_records_and_queues() -> None:
    policy = json.loads((ROOT / "stack-policy.json").read_text())
    allow, deny = policy["Statement"]

    assert allow == {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}
    assert (deny["Effect"], deny["Principal"]) == ("Deny", "*")
    assert deny["Action"] == ["Update:Replace", "Update:Delete"]
    protected = of_type("AWS::DynamoDB::Table").keys() | of_type("AWS::SQS::Queue").keys()
    assert set(deny["Resource"]) == {f"LogicalResourceId/{name}" for name in protected}
