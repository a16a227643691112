"""What operators rely on: failed events are kept once, an emergency stop stops, and a deployment reaches the alias.

Some of these need what `dev.local.local_aws` corrects in the local AWS.
"""

import json
from typing import Any

import pytest

from dev.local.stack import LocalStack
from e2e.conftest import Emulator, audit_lines, eventually


@pytest.fixture
def refused(emulator: Emulator, order_id: int) -> dict[str, Any]:
    """A request that the function refuses at every attempt."""
    emulator("PATCH", f"orders/{order_id}", {"status": "canceled"})
    return {"order_id": order_id}


@pytest.fixture
def queues(stack: LocalStack) -> dict[str, str]:
    """The URLs of the two queues that keep events, both empty."""
    urls = {"failed": stack.failed_events_queue_url, "undelivered": stack.undelivered_events_queue_url}
    for url in urls.values():
        stack.client("sqs").purge_queue(QueueUrl=url)
    return urls


def message_bodies(stack: LocalStack, url: str) -> list[dict[str, Any]]:
    received = stack.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return [json.loads(message["Body"]) for message in received.get("Messages", [])]


def invoke_later(stack: LocalStack, function: str, event: dict[str, Any]) -> None:
    stack.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event))


def put_event(stack: LocalStack, detail: dict[str, Any]) -> None:
    entry = {"EventBusName": stack.event_bus, "Source": "pki.portal", "DetailType": "Resend DV Emails"}
    stack.client("events").put_events(Entries=[entry | {"Detail": json.dumps(detail)}])


@pytest.mark.parametrize("way", ["alias", "unqualified function", "event bus"])
def test_failed_event_lies_in_exactly_one_queue(
    stack: LocalStack, refused: dict[str, Any], queues: dict[str, str], way: str
) -> None:
    match way:
        case "alias":
            invoke_later(stack, stack.function_alias, refused)
        case "unqualified function":
            invoke_later(stack, stack.function, refused)
        case _:
            put_event(stack, refused)

    (failed,) = eventually(lambda: message_bodies(stack, queues["failed"]))
    payload = failed["requestPayload"]
    assert (payload["detail"] if way == "event bus" else payload) == refused
    assert failed["responsePayload"]["errorType"] == "OrderNotEligible"
    assert len(audit_lines(stack, refused["order_id"])) == 3
    assert message_bodies(stack, queues["undelivered"]) == []


def test_concurrency_of_zero_stops_every_caller(
    stack: LocalStack, emulator: Emulator, order_id: int, queues: dict[str, str]
) -> None:
    client = stack.client("lambda")
    client.put_function_concurrency(FunctionName=stack.function, ReservedConcurrentExecutions=0)
    try:
        with pytest.raises(client.exceptions.TooManyRequestsException):
            client.invoke(FunctionName=stack.function_alias, Payload=json.dumps({"order_id": order_id}))
        status, *_ = stack.put_resend(order_id, {})
        put_event(stack, {"order_id": order_id})

        (failed,) = eventually(lambda: message_bodies(stack, queues["failed"]))
    finally:
        client.delete_function_concurrency(FunctionName=stack.function)
    assert status >= 400
    # The event is kept with its payload, to be sent again.
    assert failed["requestPayload"]["detail"] == {"order_id": order_id}
    assert emulator.calls == []
    assert stack.put_resend(order_id, {})[0] == 204


def test_emergency_stop_outputs_name_the_mapping_of_the_worker(stack: LocalStack) -> None:
    client = stack.client("lambda")

    mapping = client.get_event_source_mapping(UUID=stack.reminder_mapping_id)
    assert mapping["FunctionArn"].endswith(stack.sweep_function_alias)


def deploy(stack: LocalStack, **parameters: str) -> None:
    """Deploy the stack's template again; parameters that are not named keep their values."""
    client = stack.client("cloudformation")
    (deployed,) = client.describe_stacks(StackName=stack.stack_name)["Stacks"]
    names = [parameter["ParameterKey"] for parameter in deployed["Parameters"]]
    change_set = {"StackName": stack.stack_name, "ChangeSetName": parameters["Release"]}
    client.create_change_set(
        **change_set,
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": parameters[name]}
            if name in parameters
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name in names
        ],
    )
    client.get_waiter("change_set_create_complete").wait(**change_set, WaiterConfig={"Delay": 1})
    client.execute_change_set(**change_set)
    client.get_waiter("stack_update_complete").wait(StackName=stack.stack_name, WaiterConfig={"Delay": 1})


def test_changed_setting_reaches_the_alias(stack: LocalStack, order_id: int) -> None:
    """Only the release and one setting change: no code, and nothing of the template."""
    deploy(stack, Release="sending-off", Sending="off")
    try:
        paused, _, text = stack.put_resend(order_id, {})
    finally:
        deploy(stack, Release="sending-on", Sending="on")
    sent, *_ = stack.put_resend(order_id, {})

    assert (paused, json.loads(text)["errors"][0]["code"]) == (503, "sending_paused")
    assert sent == 204
    # Each line says which release wrote it.
    assert [line["release"] for line in audit_lines(stack, order_id)] == ["sending-off", "sending-on", "sending-on"]
