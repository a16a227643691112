"""template.yaml against the code, its callers' needs and AWS's rules."""

import json
import re
from typing import Any

import pytest
from conftest import settings_read

from contract.template import FUNCTIONS, PARAMETERS, RESOURCES, TEMPLATE, expand, of_type, statements
from dev.local.template import ROOT
from dv_resend import app, config
from dv_resend.adapters import reminder_queue, token_bucket
from dv_resend.core import reminders
from dv_resend.core.send_record import CLOCK_MARGIN_SECONDS, EXPIRATION_SECONDS, KEPT_SECONDS
from dv_resend.errors import ConfigurationError
from dv_resend.handlers import events, sqs

FUNCTION, SWEEP = FUNCTIONS.values()
ALIAS = {"Ref": "ResendFunction.Alias"}
SWEEP_ALIAS = {"Ref": "SweepFunction.Alias"}
QUEUE: dict[str, Any] = RESOURCES["ReminderQueue"]["Properties"]
CHASE: dict[str, Any] = RESOURCES["ChaseStateMachine"]["Properties"]


# ---------------------------------------------------------------- who may call


def test_routes_require_iam_or_jwt_authorization() -> None:
    routes = of_type("AWS::ApiGatewayV2::Route")

    assert [r["RouteKey"] for r in routes.values()] == [
        "PUT /services/v2/order/certificate/{order_id}/resend-emails",
        {"Fn::If": ["UseCors", "PUT /{proxy+}", "$default"]},
    ]
    for route in routes.values():
        assert route["AuthorizationType"] == {"Fn::If": ["UseJwt", "JWT", "AWS_IAM"]}
        assert route["AuthorizerId"] == {"Fn::If": ["UseJwt", {"Ref": "JwtAuthorizer"}, {"Ref": "AWS::NoValue"}]}
    # Routes and authorizer share one condition, and a rule refuses half of the settings.
    assert RESOURCES["JwtAuthorizer"]["Condition"] == "UseJwt"
    assert TEMPLATE["Conditions"]["UseJwt"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "JwtIssuer"}, ""]}]}
    assert "JwtIssuerAndAudienceTogether" in TEMPLATE["Rules"]


def test_jwt_authorizer_checks_issuer_and_audience() -> None:
    assert RESOURCES["JwtAuthorizer"]["Properties"]["JwtConfiguration"] == {
        "Issuer": {"Ref": "JwtIssuer"},
        "Audience": [{"Ref": "JwtAudience"}],
    }


def test_cors_is_off_unless_origins_are_named() -> None:
    """No route matches a preflight request, which has no credentials, so API Gateway answers it itself."""
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    condition, cors, otherwise = api["CorsConfiguration"]["Fn::If"]

    assert PARAMETERS["CorsAllowOrigins"]["Default"] == ""
    assert TEMPLATE["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CorsAllowOrigins"}, ""]}]}
    assert otherwise == {"Ref": "AWS::NoValue"}
    assert cors["AllowOrigins"] == {"Fn::Split": [",", {"Ref": "CorsAllowOrigins"}]}
    assert (cors["AllowMethods"], cors["AllowHeaders"]) == (["PUT"], ["authorization", "content-type"])
    # What the page may read of a response, with the headers that `handlers.http` sets.
    assert set(cors["ExposeHeaders"]) == {"resend-outcome", "resend-skipped", "retry-after"}
    # A page has a bearer token, not the keys of an IAM user.
    assert "JwtIssuer" in json.dumps(TEMPLATE["Rules"]["CorsNeedsJwt"]["Assertions"])


def test_callers_reach_the_alias_only() -> None:
    (integration,) = of_type("AWS::ApiGatewayV2::Integration").values()
    (rule,) = of_type("AWS::Events::Rule").values()

    assert integration["IntegrationUri"] == ALIAS
    assert [target["Arn"] for target in rule["Targets"]] == [ALIAS]
    for permission in of_type("AWS::Lambda::Permission").values():
        assert permission["FunctionName"] == ALIAS
        assert "SourceArn" in permission
    # Only for an emergency stop, outputs name the functions without their alias.
    outputs = {name: output["Value"] for name, output in TEMPLATE["Outputs"].items()}
    bare = {name for name, value in outputs.items() if value in [{"Ref": function} for function in FUNCTIONS]}
    assert bare == {"FunctionName", "SweepFunctionName"}
    assert (outputs["FunctionAliasArn"], outputs["SweepFunctionAliasArn"]) == (ALIAS, SWEEP_ALIAS)


def test_event_rule_has_its_own_bus() -> None:
    (rule,) = of_type("AWS::Events::Rule").values()

    assert rule["EventBusName"] == {"Ref": "EventBus"}
    # The rule matches every event: the function refuses unknown ones, and the refusal is kept.
    assert rule["EventPattern"] == {"source": [{"prefix": ""}]}


def test_sweep_function_is_invoked_by_schedule_and_queue_only() -> None:
    """No route, rule or permission names it."""
    assert {name: event["Type"] for name, event in SWEEP["Events"].items()} == {
        "Schedule": "ScheduleV2",
        "Reminders": "SQS",
    }
    elsewhere = {
        name: resource for name, resource in RESOURCES.items() if json.dumps(SWEEP_ALIAS) in json.dumps(resource)
    }
    # Only the schedule's role may invoke it.
    assert elsewhere.keys() == {"SweepScheduleRole"}


def test_chase_definition_gets_the_alias_only() -> None:
    definition = (ROOT / CHASE["DefinitionUri"]).read_text()

    assert CHASE["Type"] == "STANDARD"
    assert CHASE["DefinitionSubstitutions"] == {"Partition": {"Ref": "AWS::Partition"}, "ResendFunctionAlias": ALIAS}
    # The definition has no other substitutions.
    assert set(re.findall(r"\$\{(\w+)\}", definition)) == CHASE["DefinitionSubstitutions"].keys()


def test_access_log_has_no_queries_headers_or_bodies() -> None:
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    # This variable brings its own quotes; every other one needs them.
    text = stage["AccessLogSettings"]["Format"].replace(":$context.error.messageString", ':"$context.error"')
    line = json.loads(text)

    assert {"requestId", "ip", "caller", "route", "status", "integrationError", "error"} <= line.keys()
    assert text != stage["AccessLogSettings"]["Format"]
    assert not re.search(r"path|query|header|body", " ".join(line.values()), re.IGNORECASE)


# ---------------------------------------------------------------- settings reach the callers


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_changed_setting_publishes_a_new_version(function: dict[str, Any]) -> None:
    """Otherwise SENDING=off would change only the unqualified function, and the alias would go on sending.

    SAM publishes a version when code changes, but not when a parameter's value does. A version's description cannot be
    updated, so CloudFormation publishes a new one when it changes, as it does with each release. Lambda publishes no
    version that equals the previous one in all but its description, so the release is a variable, too.
    """
    release = {"Ref": "Release"}

    assert function["AutoPublishAlias"] == "live"
    assert function["VersionDescription"] == release
    assert function["Environment"]["Variables"]["RELEASE"] == release
    # With it, SAM would publish a version for a change of the template that changes nothing of the function.
    assert "AutoPublishAliasAllProperties" not in function


# ---------------------------------------------------------------- nothing is lost, nothing is sent twice


def test_timeouts_fit_into_each_other() -> None:
    """The function fits into the integration, and the integration into the API.

    The PUT still fits into the function after one call that took the longest possible time. A call that might not fit
    is not started.
    """
    (integration,) = of_type("AWS::ApiGatewayV2::Integration").values()
    connect, margin = 3, 3

    longest_work = 2 * (connect + PARAMETERS["CertCentralTimeoutSeconds"]["MaxValue"]) + margin
    assert longest_work <= FUNCTION["Timeout"]
    assert FUNCTION["Timeout"] * 1000 < integration["TimeoutInMillis"] <= 30_000


def test_reminder_batch_fits_into_timeout_at_the_lowest_rate() -> None:
    calls_of_a_reminder = 3
    slowest = PARAMETERS["SweepRequestsPerSecond"]["MinValue"]

    assert SWEEP["Timeout"] <= 900
    assert SWEEP["Events"]["Reminders"]["Properties"]["BatchSize"] * calls_of_a_reminder / slowest < SWEEP["Timeout"]
    # AWS refuses an event source mapping whose visibility timeout is shorter than the function's timeout.
    assert SWEEP["Timeout"] <= QUEUE["VisibilityTimeout"]


def test_reminder_never_outlives_its_mark_in_the_send_record() -> None:
    """A message may come back after days in the dead-letter queue, and its mark then says what became of it."""
    dead_letters = RESOURCES["ReminderDeadLetterQueue"]["Properties"]

    lifetime = QUEUE["MessageRetentionPeriod"] + dead_letters["MessageRetentionPeriod"]

    assert lifetime < EXPIRATION_SECONDS


def test_reminder_queue_is_fifo_with_partial_batch_responses() -> None:
    """A message group of a FIFO queue has one worker at a time, and one worker keeps to the rate limit."""
    mapping = SWEEP["Events"]["Reminders"]["Properties"]

    assert mapping == {
        "Queue": {"Fn::GetAtt": ["ReminderQueue", "Arn"]},
        "BatchSize": reminder_queue.BATCH_SIZE,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    assert QUEUE["FifoQueue"] is True
    # The code sets every deduplication ID. A content-based ID would change with the body.
    assert "ContentBasedDeduplication" not in QUEUE


def test_reminders_outlast_maintenance_before_dead_lettering() -> None:
    redrive = QUEUE["RedrivePolicy"]
    holds = [
        min(sqs.FIRST_BACKOFF_SECONDS * 2**receive, sqs.MAX_BACKOFF_SECONDS)
        for receive in range(redrive["maxReceiveCount"])
    ]

    assert sum(holds) >= 2 * 3600
    # The queue keeps a message for as long as its reminder stays due.
    assert sum(holds) < reminders.CATCH_UP.total_seconds() <= QUEUE["MessageRetentionPeriod"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["ReminderDeadLetterQueue", "Arn"]}
    assert RESOURCES["ReminderDeadLetterQueue"]["Properties"]["FifoQueue"] is True


def test_sweep_is_off_by_default() -> None:
    schedule = SWEEP["Events"]["Schedule"]["Properties"]

    assert schedule["State"] == {"Fn::If": ["SweepIsOn", "ENABLED", "DISABLED"]}
    assert PARAMETERS["SweepEnabled"]["Default"] == "off"
    assert events.source_of(json.loads(schedule["Input"])) == "schedule"


def test_default_sweep_schedule_avoids_digicert_maintenance() -> None:
    """Saturdays from 22:00 to 24:00 Mountain Time: Sundays from 04:00 UTC in summer, to 07:00 UTC in winter."""
    match = re.fullmatch(r"cron\((\d+) (\d+) \* \* \? \*\)", PARAMETERS["SweepSchedule"]["Default"])
    assert match

    assert not 3 <= int(match[2]) <= 7


def test_send_record_remembers_people_for_any_cool_down() -> None:
    longest = PARAMETERS["CoolDownMinutes"]["MaxValue"] * 60

    assert longest + CLOCK_MARGIN_SECONDS < KEPT_SECONDS


def test_event_redelivery_ends_within_the_default_cool_down() -> None:
    """EventBridge may hold an event before Lambda's own queue does, so the ages add up."""
    (rule,) = of_type("AWS::Events::Rule").values()
    asynchronous = FUNCTION["EventInvokeConfig"]
    delivery = rule["Targets"][0]["RetryPolicy"]

    assert asynchronous["MaximumRetryAttempts"] == 2
    assert (
        asynchronous["MaximumEventAgeInSeconds"] + delivery["MaximumEventAgeInSeconds"]
        <= PARAMETERS["CoolDownMinutes"]["MinValue"] * 60
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_failed_event_is_kept_in_one_queue(expanded: dict[str, Any], function: str) -> None:
    """By alias or not. With a dead-letter queue beside the destination, Lambda would send it to both."""
    found = [
        resource["Properties"]
        for resource in expanded.values()
        if resource["Type"] == "AWS::Lambda::EventInvokeConfig"
        and resource["Properties"]["FunctionName"] == {"Ref": function}
    ]

    assert "DeadLetterConfig" not in expanded[function]["Properties"]
    assert sorted(each["Qualifier"] for each in found) == ["$LATEST", "live"]
    for each in found:
        assert each["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": ["FailedEventsQueue", "Arn"]}}}
    # Both are treated alike.
    alias, latest = ({name: value for name, value in each.items() if name != "Qualifier"} for each in found)
    assert alias == latest


def test_undelivered_events_and_sweeps_are_kept() -> None:
    (rule,) = of_type("AWS::Events::Rule").values()
    schedule = SWEEP["Events"]["Schedule"]["Properties"]

    kept = {"Arn": {"Fn::GetAtt": ["UndeliveredEventsQueue", "Arn"]}}
    assert schedule["DeadLetterConfig"] == rule["Targets"][0]["DeadLetterConfig"] == kept
    assert schedule["RetryPolicy"].keys() == {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"}


def test_queues_are_encrypted_retained_and_require_tls() -> None:
    queues = of_type("AWS::SQS::Queue")
    policies = of_type("AWS::SQS::QueuePolicy").values()

    for name, queue in queues.items():
        assert queue["SqsManagedSseEnabled"] is True
        # Two weeks for an operator to look. The worker reads the reminder queue all the time.
        assert queue["MessageRetentionPeriod"] == (4 if name == "ReminderQueue" else 14) * 24 * 3600
        # A second policy of a queue would replace the first.
        (policy,) = [p["PolicyDocument"] for p in policies if {"Ref": name} in p["Queues"]]
        (deny,) = [s for s in statements(policy) if s["Effect"] == "Deny"]
        assert (deny["Principal"], deny["Action"], deny["Resource"]) == ("*", "sqs:*", "*")
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_send_records_table_matches_the_code() -> None:
    (table,) = of_type("AWS::DynamoDB::Table").values()

    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    # It holds hashes only: the key that AWS owns costs nothing and cannot be lost.
    assert "SSESpecification" not in table


def test_log_groups_have_a_retention() -> None:
    for group in of_type("AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_chase_log_has_no_recipients() -> None:
    assert CHASE["Logging"]["IncludeExecutionData"] is False
    # Only to a group with such a name does Step Functions deliver without a resource policy of limited size.
    assert RESOURCES["ChaseLogGroup"]["Properties"]["LogGroupName"]["Fn::Sub"].startswith("/aws/vendedlogs/states/")


def test_log_level_keeps_audit_lines() -> None:
    """They are written at INFO."""
    assert set(PARAMETERS["LogLevel"]["AllowedValues"]) == {"INFO", "DEBUG"}


# ---------------------------------------------------------------- template and code


def test_functions_share_their_code_and_runtime() -> None:
    """Same code, started in the same way. They differ in permissions, timeout and settings."""
    their_own = {
        *("Description", "Environment", "EventInvokeConfig", "Events", "LoggingConfig", "Role", "Timeout"),
        "VersionDescription",  # SAM does not accept it in Globals
    }

    functions = of_type("AWS::Serverless::Function")
    assert functions.keys() == FUNCTIONS.keys()
    for own in functions.values():
        assert own.keys() <= their_own
        assert own["LoggingConfig"].keys() == {"LogGroup"}
    assert [RESOURCES[name]["Metadata"] for name in FUNCTIONS] == [{"BuildMethod": "makefile"}] * 2


def test_handler_matches_the_code() -> None:
    assert FUNCTION["Handler"] == f"{app.__name__}.{app.lambda_handler.__name__}"


def test_environment_matches_the_settings_that_code_reads() -> None:
    # The logger reads the release, Powertools the service name, the AWS SDK the CA bundle.
    settings = settings_read() | {"RELEASE", "POWERTOOLS_SERVICE_NAME", "AWS_CA_BUNDLE"}
    resend, sweep = FUNCTION["Environment"]["Variables"], SWEEP["Environment"]["Variables"]
    # Sweeps need a queue and report to a topic, and only resends name recipients.
    of_sweeps = {"REMINDER_DAYS", "SWEEP_QUEUE_URL", "SWEEP_REQUESTS_PER_SECOND", "REPORT_TOPIC_ARN"}
    assert resend.keys() == settings - of_sweeps
    assert sweep.keys() == settings - {"DNS_SERVERS", "RECIPIENT_CHECK"}
    common = resend.keys() & sweep.keys()
    assert {name: resend[name] for name in common} == {name: sweep[name] for name in common}
    assert sweep["SWEEP_QUEUE_URL"] == {"Ref": "ReminderQueue"}
    # The only dimension of all metrics, and so of the alarms.
    assert resend["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


def configured(**variables: str) -> config.Config:
    required = {"API_KEY_SECRET_ID": "a-secret", "SEND_RECORDS_TABLE": "a-table"}
    return config.Config.from_environment(required | variables)


@pytest.mark.parametrize(
    ("parameter", "variable"),
    [
        ("CertCentralTimeoutSeconds", "CERTCENTRAL_TIMEOUT_SECONDS"),
        ("CoolDownMinutes", "COOL_DOWN_MINUTES"),
        ("SweepRequestsPerSecond", "SWEEP_REQUESTS_PER_SECOND"),
    ],
)
def test_parameter_bounds_are_accepted_by_the_code(parameter: str, variable: str) -> None:
    for bound in ("MinValue", "MaxValue", "Default"):
        configured(**{variable: str(PARAMETERS[parameter][bound])})


@pytest.mark.parametrize(
    "days", ["1,3,7,14,21", "1", "365", "30,60,90,120,150,180,210,240,365", "", "0", "1,,3", "366"]
)
def test_reminder_days_pattern_matches_the_code(days: str) -> None:
    """Except for the ascending order, which a pattern cannot express."""
    parameter = PARAMETERS["ReminderDays"]

    if re.fullmatch(parameter["AllowedPattern"], days):
        assert ",".join(map(str, configured(REMINDER_DAYS=days).reminder_days)) == days
    elif days:
        with pytest.raises(ConfigurationError):
            configured(REMINDER_DAYS=days)


def allows_servers(servers: str) -> bool:
    return bool(re.fullmatch(PARAMETERS["DnsServers"]["AllowedPattern"], servers))


@pytest.mark.parametrize(
    "servers",
    [*("", "10.0.0.2", "127.0.0.1:5353", "[::1]:53", "[fd00:EC2::253]"), "10.0.0.2,10.0.0.3:5353,[::1]:53,8.8.8.8"],
)
def test_dns_servers_that_pattern_allows_are_read_by_the_code(servers: str) -> None:
    assert allows_servers(servers)
    assert len(configured(DNS_SERVERS=servers).dns_servers) == len(list(filter(None, servers.split(","))))


@pytest.mark.parametrize(
    "servers",
    [
        *("10.0.0.256", "10.0.0", "10.0.0.02", "10.0.0.2:", "10.0.0.2:0", "10.0.0.2:123456", "10.0.0.2,", ",10.0.0.2"),
        *("10.0.0.2;10.0.0.3", "::1:53x", "[]:53", "resolver.example.com"),
        # The code accepts these too; the parameter has one spelling only.
        *("10.0.0.2, 10.0.0.3", "::1"),
    ],
)
def test_dns_servers_pattern_refuses_other_spellings(servers: str) -> None:
    assert not allows_servers(servers)


def test_recipient_check_is_on_by_default() -> None:
    parameter = PARAMETERS["RecipientCheck"]
    checks = {value: configured(RECIPIENT_CHECK=value).check_recipients for value in parameter["AllowedValues"]}

    assert checks == {"enforce": True, "off": False}
    assert parameter["Default"] == "enforce"


def test_sweep_rate_stays_below_digicert_limits() -> None:
    """1000 requests in three minutes and 100 in five seconds ("Rate limits" page). A bucket holds a second's worth."""
    fastest = PARAMETERS["SweepRequestsPerSecond"]["MaxValue"]
    burst = token_bucket.TokenBucket(fastest)._burst

    assert fastest * 180 + burst < 1000
    assert fastest * 5 + burst < 100


def test_default_base_url_matches_the_code() -> None:
    assert PARAMETERS["CertCentralBaseUrl"]["Default"] == config.DEFAULT_BASE_URL


ACCOUNT = "123456789012"
SECRET = "arn:{}:secretsmanager:{}:123456789012:secret:{}"
KEY = "arn:{}:kms:{}:123456789012:key/{}"
UUID = "1234abcd-12ab-34cd-56ef-1234567890ab"

# Values in the form that AWS documents ("Secrets Manager: CreateSecret", "KMS: key ARN", "SNS: CreateTopic", "Lambda:
# VpcConfig", "Scheduler: schedule types"), and values that it refuses or that cannot serve here.
VALID = {
    "ApiKeySecretArn": [
        "",
        SECRET.format("aws", "eu-west-1", "pki/certcentral-AbCdEf"),
        SECRET.format("aws-us-gov", "us-gov-west-1", "a_b+c=d.e@f-1aZ2bY"),
        SECRET.format("aws-cn", "cn-north-1", "x" * 512 + "-AbCdEf"),
    ],
    "ApiKeySecretKmsKeyArn": [
        "",
        KEY.format("aws", "eu-west-1", UUID),
        KEY.format("aws-us-gov", "us-gov-west-1", UUID),
        KEY.format("aws", "eu-west-1", "mrk-1234abcd12ab34cd56ef1234567890ab"),
    ],
    "AlarmTopicArn": [
        "",
        f"arn:aws:sns:eu-west-1:{ACCOUNT}:Alarms_of-PKI",
        f"arn:aws-us-gov:sns:us-gov-west-1:{ACCOUNT}:alarms",
        f"arn:aws-cn:sns:cn-northwest-1:{ACCOUNT}:{'x' * 256}",
    ],
    "VpcSubnetIds": ["", "subnet-1a2b3c4d", ",".join(["subnet-0123456789abcdef0"] * 16)],
    "VpcSecurityGroupIds": ["", "sg-1a2b3c4d", ",".join(["sg-0123456789abcdef0"] * 5)],
    "SweepSchedule": [
        *("rate(1 day)", "rate(24 hours)", "rate(1 hour)", "rate(2 hours)", "rate(1 minute)", "rate(90 minutes)"),
        *("rate(1440 minutes)", "cron(17 9 * * ? *)", "cron(0 6,18 ? * * *)", "cron(0 */4 * * ? *)"),
    ],
    "JwtIssuer": [
        "",
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123",
        "https://login.example.com:8443/realms/pki/",
    ],
    "JwtAudience": ["", "api://dv-resend", "3f2a9c"],
    "CorsAllowOrigins": [
        "",
        "https://portal.example.com",
        "https://portal.example.com,https://portal.example.com:8443,http://localhost:3000",
    ],
    "CertCentralBaseUrl": [
        *("https://www.digicert.com/services/v2", "https://certcentral.digicert.eu/services/v2"),
        *("http://127.0.0.1:8080/services/v2", "http://localhost/services/v2"),
        f"https://{'proxy.' * 20}example.com/services/v2",
    ],
    "Release": ["unnamed", "20261127T101500Z-fb86330", "20261127T101500Z-fb86330-dirty", "v1.2.3+build:4_5"],
}
INVALID = {
    "ApiKeySecretArn": [
        "pki/certcentral",
        SECRET.format("aws", "eu-west-1", "pki/certcentral"),  # IAM would not find it without its suffix
        KEY.format("aws", "eu-west-1", UUID),
    ],
    "ApiKeySecretKmsKeyArn": [UUID, f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/pki", "alias/pki"],
    "AlarmTopicArn": [
        f"arn:aws:sns:eu-west-1:{ACCOUNT}:alarms.fifo",  # CloudWatch does not notify it, and it cannot send email
        f"arn:aws:sqs:eu-west-1:{ACCOUNT}:alarms",
        "alarms",
    ],
    "VpcSubnetIds": ["subnet-xyz", "subnet-1a2b3c4d, subnet-1a2b3c4d", ",".join(["subnet-1a2b3c4d"] * 17)],
    "VpcSecurityGroupIds": ["sg-", "subnet-1a2b3c4d", ",".join(["sg-1a2b3c4d"] * 6)],
    # AWS wants the singular with 1, the plural with more. A missed reminder is caught up for two days only, and an
    # alarm expects a sweep every 26 hours, so no day may be left out.
    "SweepSchedule": [
        *("rate(1 hours)", "rate(1 days)", "rate(1 minutes)", "rate(5 hour)", "rate(90 minute)"),
        *("rate(2 days)", "rate(25 hours)", "rate(1441 minutes)", "rate(0 hours)", "at(2026-12-01T09:00:00)", ""),
        *("cron(0 9 ? * MON-FRI *)", "cron(0 9 1 * ? *)", "cron(0 9 * 1 ? *)"),
    ],
    "JwtIssuer": ["http://login.example.com", "login.example.com", "https://login.example.com?a=b"],
    "JwtAudience": ["one,two", "one two"],
    "CorsAllowOrigins": ["*", "portal.example.com", "https://portal.example.com/", "https://a.test, https://b.test"],
    "CertCentralBaseUrl": [
        *("", "http://www.digicert.com/services/v2", "http://127.0.0.1.example.com/services/v2"),
        *("https://user@www.digicert.com/services/v2", "https://www.digicert.com/services/v2?a=b"),
        "ftp://www.digicert.com/services/v2",
    ],
    "Release": ["", "a release", "x" * 101],
}
for _values in (VALID, INVALID):
    _values["ReportTopicArn"] = _values["AlarmTopicArn"]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALID.items() for value in values])
def test_pattern_accepts_what_aws_accepts(name: str, value: str) -> None:
    assert re.fullmatch(PARAMETERS[name]["AllowedPattern"], value)
    # Nothing else limits it: the longest value that AWS accepts fits.
    assert not PARAMETERS[name].keys() & {"MaxLength", "MinLength"}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_pattern_refuses_what_cannot_work(name: str, value: str) -> None:
    assert not re.fullmatch(PARAMETERS[name]["AllowedPattern"], value)


@pytest.mark.parametrize("arn", [*VALID["ReportTopicArn"], *INVALID["ReportTopicArn"]])
def test_report_topic_pattern_matches_the_code(arn: str) -> None:
    if re.fullmatch(PARAMETERS["ReportTopicArn"]["AllowedPattern"], arn):
        assert configured(REPORT_TOPIC_ARN=arn).report_topic_arn == (arn or None)
    else:
        with pytest.raises(ConfigurationError):
            configured(REPORT_TOPIC_ARN=arn)


def test_patterns_are_all_tried() -> None:
    patterns = {name for name, parameter in PARAMETERS.items() if "AllowedPattern" in parameter}

    # With the code, above.
    assert VALID.keys() == INVALID.keys() == patterns - {"DnsServers", "ReminderDays"}


# ---------------------------------------------------------------- partitions


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1"])
def test_template_and_workflow_name_no_partition(region: str) -> None:
    """An ARN of another partition would roll the stack back."""
    definition = (ROOT / CHASE["DefinitionUri"]).read_text()

    assert "arn:aws:" not in json.dumps(expand(region)) + definition


# ---------------------------------------------------------------- for the reader


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_is_described_and_bounded(name: str) -> None:
    parameter = PARAMETERS[name]

    assert {"Type", "Description", "Default", "ConstraintDescription"} <= parameter.keys()
    assert parameter.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [name for group in groups for listed in group["Parameters"] if listed == name] == [name]


def test_outputs_are_described() -> None:
    assert all(output["Description"] for output in TEMPLATE["Outputs"].values())
