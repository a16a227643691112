"""What the template promises piece by piece: permissions, settings, alarms, the dashboard and the saved queries.

Each function compares a template with what the code uses, and gives the problems that it finds. That no piece can go,
and no name change on one side, without a problem is proved by `test_template_mutations`.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from contract.template import as_list, name_of, of_type, statements

# ---------------------------------------------------------------- permissions

_FUNCTIONS_OWN = {
    "ClaimsTable.Arn": {"dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
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
    # Lambda hands over failed events with the function's role.
    "FailedEventsQueue.Arn": {"sqs:SendMessage"},
    "DeadLetterQueue.Arn": {"sqs:SendMessage"},
}
_WRITE_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
_SHIFT_CALLS = {"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"}

# By role, then by what the permission is about, the actions.
_ROLES: dict[str, dict[str, set[str]]] = {
    "ResendFunctionRole": _FUNCTIONS_OWN | {"ResendLogGroup.Arn": _WRITE_LOG},
    "SweepFunctionRole": _FUNCTIONS_OWN
    | {
        "SweepLogGroup.Arn": _WRITE_LOG,
        "SweepFunction.Alias": {"lambda:InvokeFunction"},
        # The first for the sweep; Lambda itself, for the worker, needs the others with the function's role.
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
    # AWS's policy AWSCodeDeployRoleForLambdaLimited, less what is for hooks and for revisions in S3.
    "DeploymentRole": {
        "ResendFunction.Arn": _SHIFT_CALLS,
        "${ResendFunction.Arn}:live": _SHIFT_CALLS,
        "SweepFunction.Arn": _SHIFT_CALLS,
        "${SweepFunction.Arn}:live": _SHIFT_CALLS,
        "*": {"cloudwatch:DescribeAlarms"},
    },
}

_API = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"
# Whom a function or a queue lets in by itself: the service, the action, and on behalf of what.
_LETS_IN = {
    ("ResendFunction.Alias", "apigateway.amazonaws.com", "lambda:InvokeFunction", _API),
    ("ResendFunction.Alias", "events.amazonaws.com", "lambda:InvokeFunction", "EventRule.Arn"),
    ("DeadLetterQueue", "events.amazonaws.com", "sqs:SendMessage", "EventRule.Arn"),
}


def permission_problems(template: dict[str, Any]) -> list[str]:
    """Where a role may do more or less than it must, or a function or a queue lets in others than it must."""
    return _differences("role", _ROLES, _roles(template)) + _differences("lets in", _LETS_IN, _lets_in(template))


def _roles(template: dict[str, Any]) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    documents = [
        (name, policy["PolicyDocument"])
        for name, role in of_type("AWS::IAM::Role", template).items()
        for policy in role["Policies"]
    ] + [
        (name_of(role), policy["PolicyDocument"])
        for policy in of_type("AWS::IAM::Policy", template).values()
        for role in policy["Roles"]
    ]
    for role, document in documents:
        for statement in statements(document):
            for resource in as_list(statement["Resource"]):
                actions = found.setdefault(role, {}).setdefault(name_of(resource), set())
                if statement["Effect"] == "Allow":
                    actions.update(as_list(statement["Action"]))
    return found


def _lets_in(template: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    functions = {
        (name_of(p["FunctionName"]), p["Principal"], p["Action"], name_of(p["SourceArn"]))
        for p in of_type("AWS::Lambda::Permission", template).values()
    }
    queues = {
        (
            name_of(policy["Queues"][0]),
            statement["Principal"]["Service"],
            statement["Action"],
            name_of(statement["Condition"]["ArnEquals"]["aws:SourceArn"]),
        )
        for policy in of_type("AWS::SQS::QueuePolicy", template).values()
        for statement in statements(policy["PolicyDocument"])
        if statement["Effect"] == "Allow"
    }
    return functions | queues


# ---------------------------------------------------------------- settings

# Settings of one function, which the other has no use for: a queue's URL is what makes a function sweep, and a sweep
# names no recipients.
_SWEEP_SETTINGS = {"REMINDER_DAYS", "SWEEP_QUEUE_URL", "SWEEP_REQUESTS_PER_SECOND"}
_RESEND_SETTINGS = {"DNS_SERVERS", "RECIPIENT_CHECK"}
# What libraries read: Powertools the name of the service, the AWS SDK the file of authorities.
_LIBRARIES_READ = {"POWERTOOLS_SERVICE_NAME", "AWS_CA_BUNDLE"}


def setting_problems(template: dict[str, Any], read: Collection[str]) -> list[str]:
    """Where the functions' environments are not what the code reads; ``read`` names its environment variables."""
    settings = {*read, *_LIBRARIES_READ}
    expected = {"ResendFunction": settings - _SWEEP_SETTINGS, "SweepFunction": settings - _RESEND_SETTINGS}
    functions = of_type("AWS::Serverless::Function", template)
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


def alarm_problems(template: dict[str, Any], metric: Mapping[str, str]) -> list[str]:
    """Where an alarm is missing, or watches something else than it must; ``metric`` names the code's, by member."""
    expected = {
        "ApiKeyRejectedAlarm": ("DvResend", metric["API_KEY_REJECTED"], "Sum", _SERVICE),
        "OutcomeUnknownAlarm": ("DvResend", metric["OUTCOME_UNKNOWN"], "Sum", _SERVICE),
        "ResendFailedAlarm": ("DvResend", metric["RESEND_FAILED"], "Sum", _SERVICE),
        "InternalErrorAlarm": ("DvResend", metric["RESEND_FAILED"], "Sum", _SERVICE, "reason=InternalError"),
        "StuckOrdersAlarm": ("DvResend", metric["STUCK_ORDERS"], "Maximum", _SERVICE),
        # Each sweep emits one sample.
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
        for name, alarm in of_type("AWS::CloudWatch::Alarm", template).items()
    }
    return _differences("alarm", expected, found)


def _new_version(function: str) -> tuple[str, str, str]:
    """The dimensions under which Lambda counts one of the two versions that an alias has during a deployment."""
    return (
        f"FunctionName={function}",
        f"Resource=${{{function}}}:live",
        f"ExecutedVersion={function}.Version.Version",
    )


# ---------------------------------------------------------------- dashboard


def dashboard_problems(template: dict[str, Any], metric: Mapping[str, str]) -> list[str]:
    """Where the dashboard lacks an alarm, or shows other metrics than it must; ``metric`` as for the alarms."""
    body = dashboard_of(template)
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
    return _differences("dashboard shows", expected, {_shown(row) for row in rows}) + _differences(
        "dashboard has alarm", {f"{name}.Arn" for name in of_type("AWS::CloudWatch::Alarm", template)}, set(alarms)
    )


def dashboard_of(template: dict[str, Any]) -> dict[str, Any]:
    """The dashboard, with everything that a condition lets in, and each value under its name in the template."""
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard", template).values()
    text, made = dashboard["DashboardBody"]["Fn::Sub"]
    for name, value in made.items():
        text = text.replace(f"${{{name}}}", name_of(value["Fn::If"][1] if "Fn::If" in value else value))
    body: dict[str, Any] = json.loads(re.sub(r"\$\{([^}]+)\}", r"\1", text))
    return body


def _shown(row: list[Any]) -> tuple[str, ...]:
    """Namespace, name and dimensions of what a line of a graph shows."""
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
# Logs Insights makes these of every line ("Supported logs and discovered fields").
_DISCOVERED = {"@log", "@message", "@timestamp"}
_LITERAL = r'"[^"]*"|\'[^\']*\''
_REGEX = r"/(?:\\.|[^/\\])*/"


def query_problems(template: dict[str, Any], lines: Collection[Mapping[str, Any]]) -> list[str]:
    """Where a saved query asks for what no log line has; ``lines`` are lines as the code and Lambda write them."""
    queries = {
        name: query["QueryString"] for name, query in of_type("AWS::Logs::QueryDefinition", template).items()
    } | {"ColdStarts": next(iter(_log_widgets(template)))}
    known = _DISCOVERED.union(*map(_flat, lines))
    found = []
    for name, query in queries.items():
        text = re.sub(r"^\s*#.*$", "", query, flags=re.MULTILINE)
        found += [f"{name} has no command {stage}" for stage in _stages(text) if stage not in _COMMANDS]
        found += [f"{name} asks for the unknown field {field}" for field in sorted(_fields(text) - known)]
        found += [
            f"{name} looks for a {field} that is never {value}"
            for field, value in _values(text)
            if value not in [str(_flat(line).get(field)) for line in lines]
        ]
        found += [f"{name} cuts nothing out" for regex in _cuts(text) if not _cuts_out(regex, lines)]
    return found


def _log_widgets(template: dict[str, Any]) -> list[str]:
    return [widget["properties"]["query"] for widget in dashboard_of(template)["widgets"] if widget["type"] == "log"]


def _flat(line: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The fields of a line as Logs Insights names them, `record.metrics.durationMs` for example; no lists."""
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
    """The fields of log lines that a query names, less those that it makes itself."""
    made = {*re.findall(r"\(\?<(\w+)>", text), *re.findall(r"\bas (\w+)", text)}
    words = set(re.findall(r"[@A-Za-z_][\w.]*", re.sub(f"{_REGEX}|{_LITERAL}", "", text)))
    return words - made - _COMMANDS - _OPERATORS - _CALLS


def _values(text: str) -> set[tuple[str, str]]:
    """Pairs of a field and a value that it is compared with."""
    one = re.findall(rf"(\S+) = ({_LITERAL}|\d+)", text)
    many = re.findall(r"(\S+) in \[([^\]]*)\]", text)
    pairs = one + [(field, value) for field, values in many for value in values.split(", ")]
    return {(field.strip("("), value.strip("\"'")) for field, value in pairs} - {("order_id", "123456789")}


def _cuts(text: str) -> list[str]:
    return re.findall(rf"parse @message ({_REGEX})", text)


def _cuts_out(regex: str, lines: Collection[Mapping[str, Any]]) -> bool:
    """Whether the regular expression of a query finds the list of recipients, and the one word for all."""
    pattern = regex.strip("/").replace("(?<", "(?P<")
    texts = {compact(line["recipients"]): compact(line) for line in lines if "recipients" in line}
    found = [match["mailed"] for text in texts.values() if (match := re.search(pattern, text))]
    return found == [*texts] and '"default"' in found and any(text.startswith("[") for text in found)


def compact(value: Any) -> str:
    """JSON as it stands in the log."""
    return json.dumps(value, separators=(",", ":"))


# ---------------------------------------------------------------- comparing


def _differences(what: str, expected: Any, found: Any) -> list[str]:
    """What of two collections of the same kind is in one alone, by name down to the last set."""
    if isinstance(expected, Mapping):
        problems = [f"{what} {name} is missing" for name in sorted(expected.keys() - found.keys())]
        problems += [f"{what} {name} is not expected" for name in sorted(found.keys() - expected.keys())]
        for name in sorted(expected.keys() & found.keys()):
            problems += _differences(f"{what} {name}", expected[name], found[name])
        return problems
    if isinstance(expected, set):
        return [f"{what} lacks {item}" for item in sorted(expected - found)] + [
            f"{what} has {item} too" for item in sorted(found - expected)
        ]
    return [] if expected == found else [f"{what} is {found}, not {expected}"]
