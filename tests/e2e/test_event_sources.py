"""One real call through each event source of the deployed stack that test_chase and test_sweep do not use."""

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


def test_order_that_is_not_dv_is_refused_by_default(put: Put, emulator: Emulator) -> None:
    response = put(emulator.add_order(kind="ov", names=["ov.example"]))

    assert response.status_code == 409
    assert response.json()["errors"][0]["code"] == "order_not_eligible|not_dv"
    assert [call["path"] for call in emulator.calls if call["method"] != "GET" or "/domain/" in call["path"]] == []
    assert emulator.outbox == []
