"""What the template must contain: permissions, settings, alarms, the dashboard and the saved queries.

Each function compares the template with what the code uses, and returns the differences that it finds.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from contract.template import as_list, name_of, of_type, statements

# ---------------------------------------------------------------- permissions

_FUNCTIONS_OWN = {
    "SendRecordsTable.Arn": {"dynamodb:GetItem", "dynamodb:PutItem"},
    "ApiKeySecret.Id or ApiKeySecretArn": {"secretsmanager:GetSecretValue"},
    "ApiKeySecretKmsKeyArn": {"kms:Decrypt"},  # only when the secret has a customer key
    "*": {  # only in a VPC
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    },
    # Lambda uses the function's role to deliver failed events.
    "FailedEventsQueue.Arn": {"sqs:SendMessage"},
    "DeadLetterQueue.Arn": {"sqs:SendMessage"},
}
_WRITE_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
_SHIFT_CALLS = {"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"}

# The actions by role, then by resource.
_ROLES: dict[str, dict[str, set[str]]] = {
    "ResendFunctionRole": _FUNCTIONS_OWN | {"ResendLogGroup.Arn": _WRITE_LOG},
    "SweepFunctionRole": _FUNCTIONS_OWN
    | {
        "SweepLogGroup.Arn": _WRITE_LOG,
        # The sweep needs the first. Lambda uses the others, with the function's role, to feed the worker.
        "ReminderQueue.Arn": {
            "sqs:SendMessage",
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
        },
    },
    "SweepScheduleRole": {
        "SweepFunction.Alias": {"lambda:InvokeFunction"},
        "SweepScheduleDeadLetterQueue.Arn": {"sqs:SendMessage"},
    },
    "ChaseRole": {
        "ResendFunction.Alias": {"lambda:InvokeFunction"},
        # "Using CloudWatch Logs to log execution history", "Trace Step Functions request data in AWS X-Ray".
        "*": {
            *("logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery"),
            *("logs:DeleteLogDelivery", "logs:ListLogDeliveries"),
            *("logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups"),
            *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
            *("xray:GetSamplingRules", "xray:GetSamplingTargets"),
        },
    },
    # AWS's policy AWSCodeDeployRoleForLambdaLimited, without its permissions for hooks and for revisions in S3.
    "DeploymentRole": {
        "ResendFunction.Arn": _SHIFT_CALLS,
        "${ResendFunction.Arn}:live": _SHIFT_CALLS,
        "SweepFunction.Arn": _SHIFT_CALLS,
        "${SweepFunction.Arn}:live": _SHIFT_CALLS,
        "*": {"cloudwatch:DescribeAlarms"},
    },
}

_API = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"
# What the resource policies of functions and queues allow: resource, service, action and source.
_RESOURCE_POLICIES = {
    ("ResendFunction.Alias", "apigateway.amazonaws.com", "lambda:InvokeFunction", _API),
    ("ResendFunction.Alias", "events.amazonaws.com", "lambda:InvokeFunction", "EventRule.Arn"),
    ("DeadLetterQueue", "events.amazonaws.com", "sqs:SendMessage", "EventRule.Arn"),
}


def permission_problems() -> list[str]:
    """Permissions of roles, functions and queues that are missing or not needed."""
    return _differences("role", _ROLES, _roles()) + _differences(
        "resource policy", _RESOURCE_POLICIES, _resource_policies()
    )


def _roles() -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    documents = [
        (name, policy["PolicyDocument"])
        for name, role in of_type("AWS::IAM::Role").items()
        for policy in role["Policies"]
    ]
    for role, document in documents:
        for statement in statements(document):
            for resource in as_list(statement["Resource"]):
                actions = found.setdefault(role, {}).setdefault(name_of(resource), set())
                if statement["Effect"] == "Allow":
                    actions.update(as_list(statement["Action"]))
    return found


def _resource_policies() -> set[tuple[str, str, str, str]]:
    functions = {
        (name_of(p["FunctionName"]), p["Principal"], p["Action"], name_of(p["SourceArn"]))
        for p in of_type("AWS::Lambda::Permission").values()
    }
    queues = {
        (
            name_of(policy["Queues"][0]),
            statement["Principal"]["Service"],
            statement["Action"],
            name_of(statement["Condition"]["ArnEquals"]["aws:SourceArn"]),
        )
        for policy in of_type("AWS::SQS::QueuePolicy").values()
        for statement in statements(policy["PolicyDocument"])
        if statement["Effect"] == "Allow"
    }
    return functions | queues


# ---------------------------------------------------------------- settings

# Settings that only one function needs: sweeps need a queue, and only resends name recipients.
_SWEEP_SETTINGS = {"REMINDER_DAYS", "SWEEP_QUEUE_URL", "SWEEP_REQUESTS_PER_SECOND"}
_RESEND_SETTINGS = {"DNS_SERVERS", "RECIPIENT_CHECK"}
# Read by libraries: Powertools reads the service name, the AWS SDK the CA bundle.
_LIBRARIES_READ = {"POWERTOOLS_SERVICE_NAME", "AWS_CA_BUNDLE"}


def setting_problems(read: Collection[str]) -> list[str]:
    """Differences between the functions' environments and the environment variables that the code reads."""
    settings = {*read, *_LIBRARIES_READ}
    expected = {"ResendFunction": settings - _SWEEP_SETTINGS, "SweepFunction": settings - _RESEND_SETTINGS}
    functions = of_type("AWS::Serverless::Function")
    found = {name: set(function["Environment"]["Variables"]) for name, function in functions.items()}
    return _differences("environment of", expected, found)


# ---------------------------------------------------------------- alarms

_SERVICE = "service=AWS::StackName"
_VISIBLE = "ApproximateNumberOfMessagesVisible"
_DEAD_LETTERS = {
    "FailedEventsAlarm": "FailedEventsQueue",
    "DeadLettersAlarm": "DeadLetterQueue",
    "ReminderDeadLettersAlarm": "ReminderDeadLetterQueue",
    "SweepScheduleDeadLettersAlarm": "SweepScheduleDeadLetterQueue",
}


def alarm_problems(metric: Mapping[str, str]) -> list[str]:
    """Alarms that are missing or watch the wrong metric; ``metric`` maps the members of `MetricName` to names."""
    expected = {
        "ApiKeyRejectedAlarm": ("DvResend", metric["API_KEY_REJECTED"], "Sum", _SERVICE),
        "OutcomeUnknownAlarm": ("DvResend", metric["OUTCOME_UNKNOWN"], "Sum", _SERVICE),
        "ResendFailedAlarm": ("DvResend", metric["RESEND_FAILED"], "Sum", _SERVICE),
        "InternalErrorAlarm": ("DvResend", metric["RESEND_FAILED"], "Sum", _SERVICE, "reason=InternalError"),
        "StuckOrdersAlarm": ("DvResend", metric["STUCK_ORDERS"], "Maximum", _SERVICE),
        # Each completed sweep emits one sample.
        "NoSweepAlarm": ("DvResend", metric["PENDING_ORDERS"], "SampleCount", _SERVICE),
        "FunctionErrorsAlarm": ("AWS/Lambda", "Errors", "Sum", "FunctionName=ResendFunction"),
        "FunctionTimeoutsAlarm": ("AWS/Lambda", "Duration", "Maximum", "FunctionName=ResendFunction"),
        "FunctionThrottlesAlarm": ("AWS/Lambda", "Throttles", "Sum", "FunctionName=ResendFunction"),
        "SweepErrorsAlarm": ("AWS/Lambda", "Errors", "Sum", "FunctionName=SweepFunction"),
        "SweepThrottlesAlarm": ("AWS/Lambda", "Throttles", "Sum", "FunctionName=SweepFunction"),
        "NewVersionErrorsAlarm": ("AWS/Lambda", "Errors", "Average", *_new_version("ResendFunction")),
        "NewSweepVersionErrorsAlarm": ("AWS/Lambda", "Errors", "Average", *_new_version("SweepFunction")),
        "RemindersWaitAlarm": (
            *("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum"),
            "QueueName=ReminderQueue.QueueName",
        ),
        **{
            alarm: ("AWS/SQS", _VISIBLE, "Maximum", f"QueueName={queue}.QueueName")
            for alarm, queue in _DEAD_LETTERS.items()
        },
        "ChaseFailuresAlarm": ("AWS/States", "ExecutionsFailed", "Sum", "StateMachineArn=ChaseStateMachine"),
        "ChaseTimeoutsAlarm": ("AWS/States", "ExecutionsTimedOut", "Sum", "StateMachineArn=ChaseStateMachine"),
    }
    found = {
        name: (
            *(alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]),
            *(f"{dimension['Name']}={name_of(dimension['Value'])}" for dimension in alarm["Dimensions"]),
        )
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items()
    }
    return _differences("alarm", expected, found)


def _new_version(function: str) -> tuple[str, str, str]:
    """Dimensions under which Lambda counts one of the two versions that an alias has during a deployment."""
    return (
        f"FunctionName={function}",
        f"Resource=${{{function}}}:live",
        f"ExecutedVersion={function}.Version.Version",
    )


# ---------------------------------------------------------------- dashboard


def dashboard_problems(metric: Mapping[str, str]) -> list[str]:
    """Alarms and metrics that the dashboard lacks or should not show; ``metric`` as in `alarm_problems`."""
    body = dashboard()
    queues = ["ReminderQueue", *_DEAD_LETTERS.values()]
    expected = {
        *(("DvResend", name, _SERVICE) for name in metric.values()),
        ("DvResend", metric["RESEND_FAILED"], "each reason", _SERVICE),
        *(
            ("AWS/Lambda", name, f"FunctionName={function}")
            for name in ("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions")
            for function in ("ResendFunction", "SweepFunction")
        ),
        *(("AWS/SQS", _VISIBLE, f"QueueName={queue}.QueueName") for queue in queues),
        *(
            ("AWS/SQS", name, "QueueName=ReminderQueue.QueueName")
            for name in ("ApproximateNumberOfMessagesNotVisible", "ApproximateAgeOfOldestMessage")
        ),
        *(
            ("AWS/States", f"Executions{end}", "StateMachineArn=ChaseStateMachine")
            for end in ("Started", "Succeeded", "Failed", "TimedOut")
        ),
    }
    rows = [row for widget in body["widgets"] for row in widget["properties"].get("metrics", [])]
    alarms = [alarm for widget in body["widgets"] for alarm in widget["properties"].get("alarms", [])]
    return _differences("dashboard metrics", expected, {_metric_of(row) for row in rows}) + _differences(
        "dashboard alarms", {f"{name}.Arn" for name in of_type("AWS::CloudWatch::Alarm")}, set(alarms)
    )


def dashboard() -> dict[str, Any]:
    """The dashboard's body with all conditions true, and with logical IDs in place of physical ones."""
    (resource,) = of_type("AWS::CloudWatch::Dashboard").values()
    text, made = resource["DashboardBody"]["Fn::Sub"]
    for name, value in made.items():
        text = text.replace(f"${{{name}}}", name_of(value["Fn::If"][1] if "Fn::If" in value else value))
    body: dict[str, Any] = json.loads(re.sub(r"\$\{([^}]+)\}", r"\1", text))
    return body


def _metric_of(row: list[Any]) -> tuple[str, ...]:
    """Namespace, name and dimensions of the metric that a row of a widget shows."""
    if "expression" in row[0]:
        namespace, dimensions, name, service = re.fullmatch(
            r"""SEARCH\('\{(\w+),([\w,]+)\} MetricName="(\w+)" service="([^"]+)"', 'Sum', \d+\)""", row[0]["expression"]
        ).groups()  # type: ignore[union-attr]
        return namespace, name, "each " + dimensions.removesuffix(",service"), f"service={service}"
    namespace, name, *dimensions = row[:-1]
    return namespace, name, *map("=".join, zip(dimensions[::2], dimensions[1::2], strict=True))


# ---------------------------------------------------------------- saved queries

_COMMANDS = {"SOURCE", "fields", "filter", "limit", "parse", "sort", "stats"}
_OPERATORS = {"and", "as", "asc", "by", "desc", "in", "or"}
_CALLS = {"coalesce", "count", "ispresent", "latest", "max", "pct", "strcontains", "sum"}
# Logs Insights adds these fields to every line ("Supported logs and discovered fields").
_DISCOVERED = {"@log", "@message", "@timestamp"}
_LITERAL = r'"[^"]*"|\'[^\']*\''
_REGEX = r"/(?:\\.|[^/\\])*/"


def query_problems(lines: Collection[Mapping[str, Any]]) -> list[str]:
    """Fields and values in saved queries that no log line has; ``lines`` are those of the code and of Lambda."""
    queries = {name: query["QueryString"] for name, query in of_type("AWS::Logs::QueryDefinition").items()} | {
        "ColdStarts": next(iter(_log_widgets()))
    }
    known = _DISCOVERED.union(*map(_flat, lines))
    found = []
    for name, query in queries.items():
        text = re.sub(r"^\s*#.*$", "", query, flags=re.MULTILINE)
        found += [f"{name} has no command {stage}" for stage in _stages(text) if stage not in _COMMANDS]
        found += [f"{name} uses the unknown field {field}" for field in sorted(_fields(text) - known)]
        found += [
            f"{name} compares {field} with {value}, a value that it never has"
            for field, value in _values(text)
            if value not in [str(_flat(line).get(field)) for line in lines]
        ]
        found += [f"{name} parses no recipients" for regex in _parsed(text) if not _finds_recipients(regex, lines)]
    return found


def _log_widgets() -> list[str]:
    return [widget["properties"]["query"] for widget in dashboard()["widgets"] if widget["type"] == "log"]


def _flat(line: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The fields of a line, without lists, as Logs Insights names them: `record.metrics.durationMs`, for example."""
    found: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}{name}.")
        elif not isinstance(value, list):
            found[path + name] = value
    return found


def _stages(text: str) -> list[str]:
    """The command of each stage of a query."""
    return [stage.split()[0] for stage in re.sub(f"{_REGEX}|{_LITERAL}", "", text).split("|")]


def _fields(text: str) -> set[str]:
    """The fields of log lines that a query names, without those that it creates itself."""
    made = {*re.findall(r"\(\?<(\w+)>", text), *re.findall(r"\bas (\w+)", text)}
    words = set(re.findall(r"[@A-Za-z_][\w.]*", re.sub(f"{_REGEX}|{_LITERAL}", "", text)))
    return words - made - _COMMANDS - _OPERATORS - _CALLS


def _values(text: str) -> set[tuple[str, str]]:
    """Pairs of a field and a value that the query compares it with."""
    one = re.findall(rf"(\S+) = ({_LITERAL}|\d+)", text)
    many = re.findall(r"(\S+) in \[([^\]]*)\]", text)
    pairs = one + [(field, value) for field, values in many for value in values.split(", ")]
    return {(field.strip("("), value.strip("\"'")) for field, value in pairs} - {("order_id", "123456789")}


def _parsed(text: str) -> list[str]:
    """The regular expressions with which a query parses messages."""
    return re.findall(rf"parse @message ({_REGEX})", text)


def _finds_recipients(regex: str, lines: Collection[Mapping[str, Any]]) -> bool:
    """Whether a regular expression of a query finds lists of recipients, and the word for the default ones."""
    pattern = regex.strip("/").replace("(?<", "(?P<")
    texts = {compact(line["recipients"]): compact(line) for line in lines if "recipients" in line}
    found = [match["mailed"] for text in texts.values() if (match := re.search(pattern, text))]
    return found == [*texts] and '"default"' in found and any(text.startswith("[") for text in found)


def compact(value: Any) -> str:
    """JSON as the logger writes it."""
    return json.dumps(value, separators=(",", ":"))


# ---------------------------------------------------------------- comparing


def _differences(what: str, expected: Any, found: Any) -> list[str]:
    """Describe the differences between two collections of the same shape, level by level."""
    if isinstance(expected, Mapping):
        problems = [f"{what} {name} is missing" for name in sorted(expected.keys() - found.keys())]
        problems += [f"{what} {name} is not expected" for name in sorted(found.keys() - expected.keys())]
        for name in sorted(expected.keys() & found.keys()):
            problems += _differences(f"{what} {name}", expected[name], found[name])
        return problems
    if isinstance(expected, set):
        return [f"{what} lacks {item}" for item in sorted(expected - found)] + [
            f"{what} should not have {item}" for item in sorted(found - expected)
        ]
    return [] if expected == found else [f"{what} is {found}, not {expected}"]
