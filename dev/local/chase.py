"""One chase of an order at the emulator, printed state by state.

Its waits are seconds, but nothing else is faster than on AWS: the cool-down still lasts an hour, so that every resend
after the first is a duplicate and mails nobody.
"""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from dev.local.processes import StartError
from dev.local.stack import LocalStack
from dev.local.steps import Steps, in_line

_OPEN = ("pending", "reissue_pending")
_POLL_SECONDS = 0.2


def chase(stack: LocalStack, steps: Steps, order_id: int, waits: Sequence[float]) -> bool:
    """Start an execution, print each state as it is entered, and its end; whether it ended as the workflow foresees.

    Raises `StartError` if there is nothing to chase. Interrupted, it stops printing; the execution goes on.
    """
    if stack.state_machine is None:
        raise StartError("What is up has no chase workflow. `make down` and `make up` start it afresh.")
    _find_order(stack, order_id)
    states = stack.client("stepfunctions")
    chased = {"order_id": order_id, "waits_hours": [seconds / 3600 for seconds in waits]}
    started = states.start_execution(stateMachineArn=stack.state_machine, input=json.dumps(chased))
    execution = started["executionArn"]
    steps.step(f"started: a chase of order {order_id}, with waits of {', '.join(f'{wait:g}' for wait in waits)} s")
    steps.detail(execution)
    steps.detail("To have it validated meanwhile, in another terminal:")
    steps.detail(f"""curl -X PATCH {stack.emulator_url}/_emulator/orders/{order_id} -d '{{"status":"issued"}}'""")

    for event in _events(states, execution):
        _show(steps, event)
    ended = states.describe_execution(executionArn=execution)
    if ended["status"] == "SUCCEEDED":
        steps.step(f"succeeded: {ended['output']}")
    else:
        steps.step(f"{ended['status'].lower()}: {ended.get('error')}")
        steps.detail(ended.get("cause") or "without a cause")
    emails = [email for email in stack.ask_emulator("outbox") if email["order_id"] == order_id]
    steps.step(f"outbox: {len(emails)} email(s) about order {order_id}")
    for email in emails:
        steps.detail(in_line({name: email[name] for name in ("to", "subject", "sent_at")}))
    return ended["status"] == "SUCCEEDED" or ended.get("error") in _foreseen(states, stack.state_machine)


def _find_order(stack: LocalStack, order_id: int) -> None:
    orders = {order["id"]: order for order in stack.ask_emulator("orders")}
    if order_id not in orders:
        pending = [str(id_) for id_, order in orders.items() if order["kind"] == "dv" and order["status"] in _OPEN]
        known = f"Pending DV orders are: {', '.join(pending[:10])}." if pending else "It has no pending DV order."
        raise StartError(f"The emulator has no order {order_id}. {known}")


def _events(states: Any, execution: str) -> Iterator[dict[str, Any]]:
    """The events of the execution's history, each as soon as it is there, until the last one."""
    seen = 0
    while True:
        # Asked before the history is read, so that no event of an ended execution is missed.
        running = states.describe_execution(executionArn=execution)["status"] == "RUNNING"
        for page in states.get_paginator("get_execution_history").paginate(executionArn=execution):
            for event in page["events"]:
                if event["id"] > seen:
                    seen = event["id"]
                    yield event
        if not running:
            return
        time.sleep(_POLL_SECONDS)


def _show(steps: Steps, event: dict[str, Any]) -> None:
    if entered := event.get("stateEnteredEventDetails"):
        steps.step(entered["name"])
    elif succeeded := event.get("taskSucceededEventDetails"):
        answer = json.loads(succeeded["output"]).get("Payload", {})
        steps.detail(in_line({name: answer.get(name) for name in ("outcome", "sent_at", "status")}))
    elif failed := event.get("taskFailedEventDetails"):
        steps.detail(f"{failed['error']}: {_message(failed.get('cause', ''))}")


def _message(cause: str) -> str:
    """What a function's error says, without its stack."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause


def _foreseen(states: Any, state_machine: str) -> set[str]:
    """The errors with which the workflow itself ends an execution."""
    definition = json.loads(states.describe_state_machine(stateMachineArn=state_machine)["definition"])
    return {state["Error"] for state in definition["States"].values() if state["Type"] == "Fail"}
