"""What template.yaml promises to the code, to its callers and to AWS."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from local.localize import localize
from local.template import ROOT, load

from dv_resend import app, config, telemetry

TEMPLATE = load(ROOT / "template.yaml")
PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
FUNCTION: dict[str, Any] = RESOURCES["ResendFunction"]["Properties"]
ALIAS = {"Ref": "ResendFunction.Alias"}


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    found = {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}
    assert found, f"no {kind}"
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a policy, those behind a condition too."""
    found = []
    for statement in policy["Statement"]:
        found += [s for s in statement["Fn::If"][1:] if "Effect" in s] if "Fn::If" in statement else [statement]
    return found


# ---------------------------------------------------------------- who may call


def test_every_route_is_authorized_by_iam_or_by_jwt_and_never_open() -> None:
    routes = of_type("AWS::ApiGatewayV2::Route")

    assert {r["RouteKey"] for r in routes.values()} == {
        "PUT /services/v2/order/certificate/{order_id}/resend-emails",
        "$default",
    }
    for route in routes.values():
        assert route["AuthorizationType"] == {"Fn::If": ["UseJwt", "JWT", "AWS_IAM"]}
        assert route["AuthorizerId"] == {"Fn::If": ["UseJwt", {"Ref": "JwtAuthorizer"}, {"Ref": "AWS::NoValue"}]}
    # One condition for the routes and the authorizer, and a rule that lets nobody set half of it.
    assert RESOURCES["JwtAuthorizer"]["Condition"] == "UseJwt"
    assert TEMPLATE["Conditions"]["UseJwt"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "JwtIssuer"}, ""]}]}
    assert "JwtIssuerAndAudienceTogether" in TEMPLATE["Rules"]


def test_the_authorizer_checks_issuer_and_audience_of_the_bearer_token() -> None:
    assert RESOURCES["JwtAuthorizer"]["Properties"]["JwtConfiguration"] == {
        "Issuer": {"Ref": "JwtIssuer"},
        "Audience": [{"Ref": "JwtAudience"}],
    }


def test_callers_reach_the_alias_alone() -> None:
    (integration,) = of_type("AWS::ApiGatewayV2::Integration").values()
    (rule,) = of_type("AWS::Events::Rule").values()

    assert FUNCTION["AutoPublishAlias"] == "live"
    assert integration["IntegrationUri"] == ALIAS
    assert [target["Arn"] for target in rule["Targets"]] == [ALIAS]
    for permission in of_type("AWS::Lambda::Permission").values():
        assert permission["FunctionName"] == ALIAS
        assert "SourceArn" in permission
    # No output names the function without its alias.
    assert {"Ref": "ResendFunction"} not in [o["Value"] for o in TEMPLATE["Outputs"].values()]
    assert TEMPLATE["Outputs"]["FunctionAliasArn"]["Value"] == ALIAS


def test_the_rule_listens_on_a_bus_of_its_own() -> None:
    (rule,) = of_type("AWS::Events::Rule").values()

    assert rule["EventBusName"] == {"Ref": "EventBus"}
    assert rule["EventPattern"] == {"detail-type": ["Resend DV Emails"]}


def test_the_access_log_keeps_queries_headers_and_bodies_out() -> None:
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    line = json.loads(stage["AccessLogSettings"]["Format"])

    assert {"requestId", "ip", "caller", "route", "status", "integrationError"} <= line.keys()
    assert not re.search(r"path|query|header|body", " ".join(line.values()), re.IGNORECASE)


# ---------------------------------------------------------------- least privilege


def test_no_policy_has_a_wildcard() -> None:
    """Exceptions: a Deny may be as wide as it likes; in a VPC AWS's own policy is attached, since AWS offers no way to
    narrow down the permission to make network interfaces; and the API's permission names all routes of this API, both
    of which lead to the function."""
    policies = [
        policy["PolicyDocument"] for role in of_type("AWS::IAM::Role").values() for policy in role["Policies"]
    ] + [policy["PolicyDocument"] for policy in of_type("AWS::SQS::QueuePolicy").values()]

    for statement in [s for policy in policies for s in statements(policy) if s["Effect"] == "Allow"]:
        for value in as_list(statement["Action"]) + as_list(statement["Resource"]):
            assert "*" not in json.dumps(value), statement
        assert statement.get("Principal") != "*", statement


def test_the_role_may_do_exactly_what_the_code_does() -> None:
    (role,) = of_type("AWS::IAM::Role").values()
    (document,) = [policy["PolicyDocument"] for policy in role["Policies"]]

    assert {action for s in statements(document) for action in as_list(s["Action"])} == {
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "kms:Decrypt",  # only when the secret has a customer key
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:GetSecretValue",
        "sqs:SendMessage",  # Lambda hands over failed events with the function's role
    }
    assert FUNCTION["Role"] == {"Fn::GetAtt": ["ResendFunctionRole", "Arn"]}
    assert "Policies" not in FUNCTION
    assert role["ManagedPolicyArns"]["Fn::If"][0] == "UseVpc"


# ---------------------------------------------------------------- settings reach the callers


def test_a_changed_setting_publishes_a_new_version_for_the_alias() -> None:
    """Or SENDING=off would change the bare function alone, and every door would go on sending through the alias.

    SAM publishes a version when the template changes, not when a parameter's value does. A version's description cannot
    be updated, so that a new value in it makes CloudFormation publish one.
    """
    text, _ = FUNCTION["VersionDescription"]["Fn::Sub"]
    in_description = set(re.findall(r"\$\{(\w+)\}", text))

    assert FUNCTION["AutoPublishAliasAllProperties"] is True
    # The long lists of a VPC do not fit; that there is one is said (Network).
    assert parameters_in(FUNCTION) - {"VpcSubnetIds", "VpcSecurityGroupIds"} <= in_description


def test_the_longest_settings_fit_into_the_description_of_a_version() -> None:
    text, _ = FUNCTION["VersionDescription"]["Fn::Sub"]
    longest = {"Network": len("public")} | {name: longest_value(PARAMETERS[name]) for name in PARAMETERS}

    filled = re.sub(r"\$\{(\w+)\}", lambda match: "x" * longest[match[1]], text)
    assert len(filled) <= 256


def parameters_in(value: Any) -> set[str]:
    """The parameters that a piece of the template refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("Ref"), str):
            return {value["Ref"]} & PARAMETERS.keys()
        value = list(value.values())
    return set().union(*map(parameters_in, value)) if isinstance(value, list) else set()


def longest_value(parameter: dict[str, Any]) -> int:
    values = parameter.get("AllowedValues") or [parameter[k] for k in ("MinValue", "MaxValue") if k in parameter]
    return max((len(str(value)) for value in values), default=parameter.get("MaxLength", 0))


# ---------------------------------------------------------------- nothing is lost, nothing is sent twice


def test_timeouts_are_in_order() -> None:
    """Two calls to CertCentral fit into the function, the function into the integration, and that into the API."""
    (integration,) = of_type("AWS::ApiGatewayV2::Integration").values()
    connect, margin = 3, 3

    longest_work = 2 * (connect + PARAMETERS["CertCentralTimeoutSeconds"]["MaxValue"]) + margin
    assert longest_work <= FUNCTION["Timeout"]
    assert FUNCTION["Timeout"] * 1000 < integration["TimeoutInMillis"] <= 30_000


def test_an_event_is_not_redelivered_after_the_default_cool_down() -> None:
    """EventBridge may hold an event before Lambda's own queue does: the ages add up."""
    (rule,) = of_type("AWS::Events::Rule").values()
    asynchronous = FUNCTION["EventInvokeConfig"]
    delivery = rule["Targets"][0]["RetryPolicy"]

    assert asynchronous["MaximumRetryAttempts"] == 2
    assert (
        asynchronous["MaximumEventAgeInSeconds"] + delivery["MaximumEventAgeInSeconds"]
        <= PARAMETERS["CoolDownMinutes"]["Default"] * 60
    )


def test_failed_events_are_kept_wherever_they_fail() -> None:
    (rule,) = of_type("AWS::Events::Rule").values()

    assert FUNCTION["EventInvokeConfig"]["DestinationConfig"]["OnFailure"] == {
        "Type": "SQS",
        "Destination": {"Fn::GetAtt": ["FailedEventsQueue", "Arn"]},
    }
    dead_letters = {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert FUNCTION["DeadLetterQueue"] == {"Type": "SQS", "TargetArn": dead_letters}
    assert rule["Targets"][0]["DeadLetterConfig"] == {"Arn": dead_letters}
    allowed = [
        s
        for s in statements(RESOURCES["DeadLetterQueuePolicy"]["Properties"]["PolicyDocument"])
        if s["Effect"] == "Allow"
    ]
    assert [s["Principal"] for s in allowed] == [{"Service": "events.amazonaws.com"}]


def test_queues_are_encrypted_keep_two_weeks_and_want_tls() -> None:
    queues = of_type("AWS::SQS::Queue")
    policies = of_type("AWS::SQS::QueuePolicy").values()

    for name, queue in queues.items():
        assert queue["SqsManagedSseEnabled"] is True
        assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
        (policy,) = [p["PolicyDocument"] for p in policies if p["Queues"] == [{"Ref": name}]]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [
            s["Condition"] for s in statements(policy) if s["Effect"] == "Deny"
        ]


def test_the_claims_table_is_what_the_code_expects() -> None:
    (table,) = of_type("AWS::DynamoDB::Table").values()

    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}


def test_logs_have_a_retention_and_the_function_its_own_group() -> None:
    for group in of_type("AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert FUNCTION["LoggingConfig"]["LogGroup"] == {"Ref": "ResendLogGroup"}
    # The audit lines are written at INFO: a higher level would lose them.
    assert set(PARAMETERS["LogLevel"]["AllowedValues"]) == {"INFO", "DEBUG"}


# ---------------------------------------------------------------- template and code


def test_the_handler_is_the_one_in_the_code() -> None:
    assert FUNCTION["Handler"] == f"{app.__name__}.{app.lambda_handler.__name__}"


def test_the_function_gets_exactly_the_settings_that_the_code_reads() -> None:
    assert FUNCTION["Environment"]["Variables"].keys() == config.VARIABLES | {"POWERTOOLS_SERVICE_NAME"}


def test_the_default_base_url_is_the_codes() -> None:
    assert PARAMETERS["CertCentralBaseUrl"]["Default"] == config.DEFAULT_BASE_URL


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://www.digicert.com/services/v2", True),
        ("https://certcentral.digicert.eu/services/v2", True),
        ("http://127.0.0.1:8080/services/v2", True),
        ("http://localhost/services/v2", True),
        ("http://www.digicert.com/services/v2", False),
        ("http://127.0.0.1.example.com/services/v2", False),
        ("https://user@www.digicert.com/services/v2", False),
        ("https://www.digicert.com/services/v2?a=b", False),
        ("ftp://www.digicert.com/services/v2", False),
        ("", False),
    ],
)
def test_the_api_key_travels_over_tls_or_not_at_all(url: str, is_allowed: bool) -> None:
    assert bool(re.fullmatch(PARAMETERS["CertCentralBaseUrl"]["AllowedPattern"], url)) is is_allowed


def test_alarms_name_metrics_that_the_code_emits() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm").values()
    own = [alarm for alarm in alarms if alarm["Namespace"] == telemetry.NAMESPACE]

    assert {alarm["MetricName"] for alarm in own} == {"ApiKeyRejected", "OutcomeUnknown", "ResendFailed"}
    assert {alarm["MetricName"] for alarm in own} <= set(telemetry.MetricName)
    for alarm in own:
        assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]
        assert alarm["Statistic"] == "Sum"
    assert FUNCTION["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


def test_alarms_cover_the_function_and_both_queues() -> None:
    watched = {
        (alarm["Namespace"], alarm["MetricName"], json.dumps(alarm["Dimensions"][0]["Value"]))
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] != telemetry.NAMESPACE
    }

    function = json.dumps({"Ref": "ResendFunction"})
    assert watched == {
        ("AWS/Lambda", "Errors", function),
        ("AWS/Lambda", "Throttles", function),
        *(
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible", json.dumps({"Fn::GetAtt": [queue, "QueueName"]}))
            for queue in of_type("AWS::SQS::Queue")
        ),
    }


@pytest.mark.parametrize("name", of_type("AWS::CloudWatch::Alarm"))
def test_an_alarm_says_what_to_do_first(name: str) -> None:
    alarm = RESOURCES[name]["Properties"]

    assert " First: " in alarm["AlarmDescription"]
    assert len(alarm["AlarmDescription"]) <= 1024
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmActions"] == {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}


# ---------------------------------------------------------------- for the reader


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_explains_itself_and_is_bounded(name: str) -> None:
    parameter = PARAMETERS[name]

    assert {"Type", "Description", "Default", "ConstraintDescription"} <= parameter.keys()
    assert parameter.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [name for group in groups for listed in group["Parameters"] if listed == name] == [name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameters_default_keeps_its_own_rules(name: str) -> None:
    parameter = PARAMETERS[name]
    default = parameter["Default"]

    assert re.fullmatch(parameter.get("AllowedPattern", ".*"), str(default))
    assert default in parameter.get("AllowedValues", [default])
    assert parameter.get("MinValue", default) <= default <= parameter.get("MaxValue", default)


def test_outputs_explain_themselves() -> None:
    assert all(output["Description"] for output in TEMPLATE["Outputs"].values())


def test_samconfig_names_parameters_that_exist() -> None:
    overrides = re.findall(r'parameter_overrides = "(.*)"', (ROOT / "samconfig.toml").read_text())

    assert {pair.partition("=")[0] for line in overrides for pair in line.split()} <= PARAMETERS.keys()


# ---------------------------------------------------------------- the local run


def test_the_local_copy_differs_in_the_runtime_alone() -> None:
    local = localize(TEMPLATE)

    for name, resource in local["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            assert resource["Properties"]["Runtime"] == "provided.al2023"
            resource["Properties"]["Runtime"] = RESOURCES[name]["Properties"]["Runtime"]
    assert local == TEMPLATE


@pytest.mark.parametrize("path", sorted((ROOT / "tests/local").glob("*.py")), ids=lambda path: path.name)
def test_the_local_run_listens_on_and_calls_loopback_alone(path: Path) -> None:
    text = path.read_text()

    hosts = set(re.findall(r"https?://([^\s/:'\"{}]+)", text))
    # CertCentral's own address is the one that the user asks for with ORDER_ID.
    assert hosts <= {"127.0.0.1", "localhost", *(["www.digicert.com"] if path.name == "run.py" else [])}
    assert not re.search(r"\b0\.0\.0\.0\b|\[::\]", text)
