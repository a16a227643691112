"""One real call through each event source of the deployed stack. The unit tests cover all its responses."""

import datetime as dt
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dev.local.stack import LocalStack
from e2e.conftest import PATH, Emulator, Put, audit_lines, eventually

RECIPIENTS = [{"domain": "example.com", "email": "admin@example.com"}]
UPSTREAM_BODY = '{"domain_approval_emails":[{"domain":"example.com","email":"admin@example.com"}],"locale":"en"}'


@pytest.fixture
def wanted(emulator: Emulator) -> dict[str, Any]:
    order_id = emulator.add_order(id=int(dt.datetime.now(dt.UTC).timestamp() * 1000) % 10**12, names=["example.com"])
    return {"order_id": order_id, "domain_approval_emails": RECIPIENTS, "locale": "en"}


@pytest.fixture
def body(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if name != "order_id"}


def assert_mailed(emulator: Emulator, order_id: int) -> None:
    eventually(lambda: emulator.outbox)
    assert [(mail["order_id"], mail["to"]) for mail in emulator.outbox] == [(order_id, "admin@example.com")]
    (put,) = emulator.puts
    assert (put["body"], put["role"], put["path"]) == (UPSTREAM_BODY, "valid", PATH.format(order_id))


def logged(stack: LocalStack, order_id: int, count: int) -> list[dict[str, Any]]:
    """Wait for so many log lines: they may be there a moment after the answer."""
    return eventually(lambda: found if len(found := audit_lines(stack, order_id)) == count else [])


def invoke(stack: LocalStack, event: dict[str, Any]) -> dict[str, Any]:
    answer = stack.client("lambda").invoke(FunctionName=stack.function_alias, Payload=json.dumps(event))
    return {"error": answer.get("FunctionError"), "payload": json.load(answer["Payload"])}


def test_http_api_sends_the_documented_request(
    put: Put, emulator: Emulator, wanted: dict[str, Any], body: dict[str, Any]
) -> None:
    response = put(wanted["order_id"], body)

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Resend-Outcome"] == "sent"
    assert_mailed(emulator, wanted["order_id"])


def put_signed(stack: LocalStack, url: str, host: str, service: str, body: dict[str, Any]) -> requests.Response:
    """Send the PUT with a SigV4 signature, as callers of an API with IAM authorization do."""
    request = AWSRequest("PUT", url, data=json.dumps(body), headers={"Host": host, "Content-Type": "application/json"})
    SigV4Auth(Credentials("123456789012", "local"), service, stack.region).add_auth(request)
    return requests.put(url, data=request.data, headers=dict(request.headers), timeout=40)


def test_http_api_accepts_a_signed_call(
    stack: LocalStack, emulator: Emulator, wanted: dict[str, Any], body: dict[str, Any]
) -> None:
    url = stack.aws_endpoint + PATH.format(wanted["order_id"])

    response = put_signed(stack, url, stack.api_host, "execute-api", body)

    assert (response.status_code, response.content) == (204, b"")
    assert_mailed(emulator, wanted["order_id"])


def test_http_api_refuses_a_call_without_credentials(
    stack: LocalStack, emulator: Emulator, wanted: dict[str, Any], body: dict[str, Any]
) -> None:
    response = requests.put(
        stack.aws_endpoint + PATH.format(wanted["order_id"]), json=body, headers={"Host": stack.api_host}, timeout=40
    )

    assert response.status_code == 403
    assert emulator.calls == []


def test_rest_api_call_is_sent(
    stack: LocalStack, emulator: Emulator, wanted: dict[str, Any], body: dict[str, Any]
) -> None:
    api = stack.client("apigateway")
    rest = api.create_rest_api(name="rest")["id"]
    resource = api.get_resources(restApiId=rest)["items"][0]["id"]
    for part in PATH.format("{order_id}").strip("/").split("/"):
        resource = api.create_resource(restApiId=rest, parentId=resource, pathPart=part)["id"]
    api.put_method(restApiId=rest, resourceId=resource, httpMethod="PUT", authorizationType="AWS_IAM")
    function = stack.client("lambda").get_function(FunctionName=stack.function)["Configuration"]["FunctionArn"]
    api.put_integration(
        restApiId=rest,
        resourceId=resource,
        httpMethod="PUT",
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=f"arn:aws:apigateway:{stack.region}:lambda:path/2015-03-31/functions/{function}:live/invocations",
    )
    api.create_deployment(restApiId=rest, stageName="prod")

    host = f"{rest}.execute-api.{stack.api_host.partition('.execute-api.')[2]}"
    url = f"{stack.aws_endpoint}/prod{PATH.format(wanted['order_id'])}"
    response = put_signed(stack, url, host, "execute-api", body)

    assert (response.status_code, response.content) == (204, b"")
    assert_mailed(emulator, wanted["order_id"])


def test_function_url_call_is_sent(
    stack: LocalStack, emulator: Emulator, wanted: dict[str, Any], body: dict[str, Any]
) -> None:
    url = stack.client("lambda").create_function_url_config(
        FunctionName=stack.function, Qualifier="live", AuthType="AWS_IAM"
    )["FunctionUrl"]
    host = f"{urlsplit(url).netloc.partition('.')[0]}.lambda-url.{stack.region}.localhost"

    response = put_signed(stack, stack.aws_endpoint + PATH.format(wanted["order_id"]), host, "lambda", body)

    assert (response.status_code, response.content) == (204, b"")
    assert_mailed(emulator, wanted["order_id"])


def test_direct_invoke_is_sent(stack: LocalStack, emulator: Emulator, wanted: dict[str, Any]) -> None:
    answer = invoke(stack, wanted)

    assert answer["error"] is None
    assert answer["payload"].pop("sent_at").endswith("Z")
    assert answer["payload"] == {
        "order_id": wanted["order_id"],
        "outcome": "sent",
        "recipients": ["admin@example.com"],
        "skipped": [],
    }
    assert_mailed(emulator, wanted["order_id"])


def test_direct_invoke_lists_who_is_skipped(stack: LocalStack, wanted: dict[str, Any]) -> None:
    invoke(stack, wanted)
    more = {"domain": "example.com", "email": "webmaster@example.com"}

    answer = invoke(stack, wanted | {"domain_approval_emails": [*RECIPIENTS, more]})["payload"]

    assert (answer["outcome"], answer["recipients"]) == ("sent", ["webmaster@example.com"])
    assert answer["skipped"] == [RECIPIENTS[0] | {"reason": "already_mailed"}]
    (line,) = [
        line for line in audit_lines(stack, wanted["order_id"]) if "skipped" in line and line["message"] == "audit"
    ]
    assert line["skipped"] == ["admin@example.com: already_mailed"]


def test_direct_invoke_failure_has_the_class_name(stack: LocalStack, emulator: Emulator) -> None:
    answer = invoke(stack, {"order_id": emulator.add_order(kind="ov")})

    assert answer["error"] == "Unhandled"
    assert answer["payload"]["errorType"] == "OrderNotEligible"
    assert "domain-level resend" in answer["payload"]["errorMessage"]


def test_status_action_returns_the_order_status(stack: LocalStack, wanted: dict[str, Any]) -> None:
    answer = invoke(stack, {"action": "status", "order_id": wanted["order_id"]})

    assert answer["payload"] == {
        "order_id": wanted["order_id"],
        "status": "pending",
        "dcv_method": "email",
        "domains": [{"name": "example.com", "status": "pending"}],
    }


def test_event_is_sent(stack: LocalStack, emulator: Emulator, wanted: dict[str, Any]) -> None:
    stack.client("events").put_events(
        Entries=[
            {
                "EventBusName": stack.event_bus,
                "Source": "pki.portal",
                "DetailType": "Resend DV Emails",
                "Detail": json.dumps(wanted),
            }
        ]
    )

    assert_mailed(emulator, wanted["order_id"])


def test_retried_event_mails_once(stack: LocalStack, emulator: Emulator, wanted: dict[str, Any]) -> None:
    emulator.inject({"fault": "reset", "method": "PUT", "mails": True, "times": 1})

    stack.client("lambda").invoke(FunctionName=stack.function_alias, InvocationType="Event", Payload=json.dumps(wanted))

    # Lambda makes three attempts; the local AWS makes them within seconds.
    lines = logged(stack, wanted["order_id"], 4)
    assert [line["outcome"] for line in lines] == ["sending"] + ["OutcomeUnknown"] * 3
    assert_mailed(emulator, wanted["order_id"])


def test_step_functions_task_is_sent(stack: LocalStack, emulator: Emulator, wanted: dict[str, Any]) -> None:
    states = stack.client("stepfunctions")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {
            "FunctionName": stack.function_alias,
            "Payload": {
                "order_id": "{% $states.input.order_id %}",
                "domain_approval_emails": "{% $states.input.domain_approval_emails %}",
                "locale": "en",
                "requested_by": "{% $states.context.Execution.Id %}",
            },
        },
        "Output": "{% $states.result.Payload %}",
        "End": True,
    }
    iam = stack.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}
    role = iam.create_role(RoleName="states", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]
    iam.put_role_policy(RoleName="states", PolicyName="resend", PolicyDocument=json.dumps({"Statement": [may]}))
    machine = states.create_state_machine(
        name="resend",
        roleArn=role["Arn"],
        definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": "Resend", "States": {"Resend": task}}),
    )["stateMachineArn"]

    execution = states.start_execution(stateMachineArn=machine, input=json.dumps(wanted))["executionArn"]

    ended = eventually(
        lambda: (found := states.describe_execution(executionArn=execution))["status"] != "RUNNING" and found
    )
    assert json.loads(ended["output"])["outcome"] == "sent"
    assert_mailed(emulator, wanted["order_id"])
    assert [line["caller"] for line in logged(stack, wanted["order_id"], 2)] == [execution] * 2


def test_scheduler_input_is_sent(stack: LocalStack, emulator: Emulator, wanted: dict[str, Any]) -> None:
    function = stack.client("lambda").get_function(FunctionName=stack.function)["Configuration"]["FunctionArn"]
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)

    stack.client("scheduler").create_schedule(
        Name=f"resend-{wanted['order_id']}",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": f"{function}:live",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
            "Input": json.dumps(wanted),
        },
    )

    assert_mailed(emulator, wanted["order_id"])
