"""One chase of an order in the emulator, printed state by state.

Its waits are shortened to seconds. The cool-down still lasts an hour, so every resend after the first is a duplicate
and sends nothing.
"""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from dev.local.processes import StartError
from dev.local.stack import LocalStack
from dev.local.steps import Steps, counted, in_line

_BY_EMAIL = {"dv", "dv_idn", "dv_multi_san", "dv_reissue", "dv_wildcard"}
_OPEN = ("pending", "reissue_pending")
_POLL_SECONDS = 0.2


def chase(stack: LocalStack, steps: Steps, order_id: int, waits: Sequence[float]) -> bool:
    """Start an execution and print its states; return whether it ended in a way that the workflow defines.

    An interrupt stops the output, not the execution.

    Raises:
        StartError: There is no workflow, or no such order.
    """
    if stack.state_machine is None:
        raise StartError("The running stack has no chase workflow. Restart it: `make down`, then `make up`.")
    _find_order(stack, order_id)
    states = stack.client("stepfunctions")
    chased = {"order_id": order_id, "waits_hours": [seconds / 3600 for seconds in waits]}
    started = states.start_execution(stateMachineArn=stack.state_machine, input=json.dumps(chased))
    execution = started["executionArn"]
    steps.step(f"chase of order {order_id} started, with waits of {', '.join(f'{wait:g}' for wait in waits)} s")
    steps.detail(execution)
    steps.detail("To let CertCentral issue the certificate, run this in another terminal:")
    steps.detail(f"""curl -X PATCH {stack.emulator_url}/_emulator/orders/{order_id} -d '{{"status":"issued"}}'""")

    for event in _events(states, execution):
        _show(steps, event)
    ended = states.describe_execution(executionArn=execution)
    if ended["status"] == "SUCCEEDED":
        steps.step(f"succeeded: {ended['output']}")
    else:
        steps.step(f"{ended['status'].lower()}: {ended.get('error')}")
        steps.detail(ended.get("cause") or "no cause given")
    emails = [email for email in stack.ask_emulator("outbox") if email["order_id"] == order_id]
    steps.step(f"outbox: {counted(len(emails), 'email')} about order {order_id}")
    for email in emails:
        steps.detail(in_line({name: email[name] for name in ("to", "subject", "sent_at")}))
    return ended["status"] == "SUCCEEDED" or ended.get("error") in _defined_errors(states, stack.state_machine)


def _find_order(stack: LocalStack, order_id: int) -> None:
    orders = {order["id"]: order for order in stack.ask_emulator("orders")}
    if order_id not in orders:
        pending = [str(id_) for id_, order in orders.items() if order["kind"] in _BY_EMAIL and order["status"] in _OPEN]
        known = f"Its pending DV orders: {', '.join(pending[:10])}." if pending else "It has no pending DV orders."
        raise StartError(f"The emulator has no order {order_id}. {known}")


def _events(states: Any, execution: str) -> Iterator[dict[str, Any]]:
    """Yield the events of the execution's history as they happen."""
    seen = 0
    while True:
        # Checked before the history is read, so that the last events are not missed.
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
    """Return the message of a function's error, without its stack trace."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause


def _defined_errors(states: Any, state_machine: str) -> set[str]:
    """Return the errors with which the workflow itself ends an execution."""
    definition = json.loads(states.describe_state_machine(stateMachineArn=state_machine)["definition"])
    return {state["Error"] for state in definition["States"].values() if state["Type"] == "Fail"}
