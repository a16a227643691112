"""The control API under /_emulator: how tests and people look at the emulator and steer it, by HTTP.

`PATHS` says what there is, and `GET /_emulator/` answers with it.
"""

import json
from typing import Any

from .order_dns import add_fault, set_records
from .orders import ControlError
from .responses import Response, json_response
from .state import State

PREFIX = "/_emulator/"
PATHS = {
    "GET /_emulator/": "these paths",
    "GET /_emulator/health": "whether it runs",
    "POST /_emulator/reset": "back to the orders, keys, switches and limits of the start",
    "GET /_emulator/orders": "all orders",
    "POST /_emulator/orders": "add one (orders.py), or many alike with `count`",
    "DELETE /_emulator/orders": "remove all",
    "PATCH /_emulator/orders/{id}": "change one, with the fields of a new one",
    "POST /_emulator/orders/{id}/issue": "validate its names, and issue it",
    "GET /_emulator/domains": "the account's domain list: domains of OV and EV orders, with their ids (domain_list.py)",
    "GET /_emulator/outbox": "the emails that were sent",
    "DELETE /_emulator/outbox": "forget them",
    "GET /_emulator/calls": "the calls that were made",
    "DELETE /_emulator/calls": "forget them",
    "POST /_emulator/faults": "inject one (faults.py)",
    "DELETE /_emulator/faults": "remove all",
    "GET /_emulator/switches": "what DigiCert does not document (switches.py)",
    "PUT /_emulator/switches": "change some",
    "PUT /_emulator/limits": "set the request limits",
    "PUT /_emulator/keys": "add or change an API key: `secret` and `role`",
    "GET /_emulator/dns": "the records that the emulator's DNS server has",
    "PUT /_emulator/dns": "set those of one name and type",
    "POST /_emulator/dns/faults": "inject a fault of DNS",
    "DELETE /_emulator/dns/faults": "remove all",
}


def respond_to_control(state: State, method: str, path: str, body: bytes) -> Response:
    """Respond to a control request; to a wrong one with 400 and a sentence that names the field."""
    try:
        return json_response(200, _run(state, method, path.removeprefix(PREFIX), body))
    except ControlError as error:
        return json_response(400, {"error": str(error)})
    except LookupError as missing:
        return json_response(404, {"error": str(missing.args[0])})


def _run(state: State, method: str, name: str, body: bytes) -> Any:  # noqa: C901
    match method, name.split("/"):
        case "GET", [""]:
            return PATHS
        case "GET", ["health"]:
            return {"status": "ok", "orders": len(state.all_orders())}
        case "POST", ["reset"]:
            state.reset()
        case "GET", ["orders"]:
            return state.orders
        case "POST", ["orders"]:
            fields = _object(body)
            if "count" in fields:
                ids = state.add_orders(fields.pop("count"), **fields)
                return {"first_id": ids[0], "last_id": ids[-1], "count": len(ids)}
            return state.add_order(**fields)
        case "DELETE", ["orders"]:
            state.clear_orders()
        case "PATCH", ["orders", order_id] if order_id.isdecimal():
            return state.update_order(int(order_id), **_object(body))
        case "POST", ["orders", order_id, "issue"] if order_id.isdecimal():
            state.issue_order(int(order_id))
        case "GET", ["domains"]:
            return state.domains
        case "GET", ["outbox"]:
            return state.outbox
        case "DELETE", ["outbox"]:
            state.clear_outbox()
        case "GET", ["calls"]:
            return state.calls
        case "DELETE", ["calls"]:
            state.clear_calls()
        case "POST", ["faults"]:
            state.inject(_object(body))
        case "DELETE", ["faults"]:
            state.clear_faults()
        case "GET", ["dns"]:
            served = sorted(state.dns.records().items())
            return [{"name": name, "type": type_, "values": values} for (name, type_), values in served]
        case "PUT", ["dns"]:
            set_records(state.dns, _object(body))
        case "POST", ["dns", "faults"]:
            add_fault(state.dns, _object(body))
        case "DELETE", ["dns", "faults"]:
            state.dns.clear_faults()
        case "GET", ["switches"]:
            return state.switches
        case "PUT", ["switches"]:
            state.set_switches(**_object(body))
            return state.switches
        case "PUT", ["limits"]:
            state.set_limits(_json(body))
        case "PUT", ["keys"]:
            fields = _object(body)
            if unknown := sorted(set(fields) - {"secret", "role"}):
                raise ControlError(f"field '{unknown[0]}' is unknown; allowed fields are secret, role")
            state.set_key(fields.get("secret", ""), fields.get("role", ""))
        case _:
            raise LookupError(f"there is no {method} {PREFIX}{name}")
    return {"status": "ok"}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ControlError("the body must be JSON") from None


def _object(body: bytes) -> dict[str, Any]:
    fields = _json(body)
    if not isinstance(fields, dict):
        raise ControlError("the body must be a JSON object")
    return fields
