"""Starts the local AWS (ministack 1.5.33), corrected where a fault of the template could hide behind it.

It runs in the environment of the local AWS, so it imports nothing else from this package. What it replaces:

- asynchronous invocations: the configuration of the alias counts, not that of the unqualified function; and a failed
  event goes to the destination *and* the dead-letter queue if there are both;
- targets of EventBridge rules and schedules: Lambda is invoked asynchronously, with its retries and its destination,
  not once;
- reserved concurrency: it also limits invocations of an alias, so 0 stops them;
- transport: the queues' policies require TLS, and every request counts as such, so that any AWS tool can call it here;
- IAM: a call about concurrency or an event source mapping needs the permission of its own name, and a call about a log
  group needs it on the ARN that ends in `:*`.

Alarms with metric math, which the local AWS does not know, are left to `dev.local.localize`.
"""

import contextvars
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.services import eventbridge, lambda_svc

type Record = dict[str, Any]
"""A function's or a version's record in the local AWS; `config` has the ARN by which it was invoked."""

# AWS waits a minute before the first retry, and twice as long before the second.
_FIRST_DELAY_SECONDS = 1.0

_pin_request_origin: Callable[[str, bool], None] = app.pin_request_origin
_limit_of_record: Callable[[Record, Record], int | None] = lambda_svc._reserved_concurrency
_lambda_action: Callable[[str, str], str | None] = iam_actions._lambda_action
_resource_arn: Callable[..., str] = iam_actions.extract_resource_arn

_VERBS = {"GET": "Get", "PUT": "Put", "DELETE": "Delete"}
# Their ARN has no `:*` (CloudWatch Logs, "Overview of managing access").
_ABOUT_TAGS = {"TagResource", "UntagResource", "ListTagsForResource"}


def invoke_asynchronously(record: Record, event: Any) -> None:
    """Start an asynchronous invocation."""
    context = contextvars.copy_context()
    in_scope = (lambda_svc._run_with_function_config_scope, record, _attempt, record, event)
    threading.Thread(target=context.run, args=in_scope, daemon=True).start()


def _attempt(record: Record, event: Any) -> None:
    """Invoke up to three times, as configured, and hand over what fails every time."""
    config = record["config"]
    settings = _settings(config["FunctionName"], config["FunctionArn"])
    give_up = time.time() + settings.get("MaximumEventAgeInSeconds", 21600)
    delay = _FIRST_DELAY_SECONDS
    for retries_left in reversed(range(settings.get("MaximumRetryAttempts", 2) + 1)):
        result = lambda_svc._execute_function(record, event)
        if not result.get("error"):
            return
        if not retries_left or time.time() + delay > give_up:
            break
        time.sleep(delay)
        delay *= 2
    destination = settings.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    dead_letters = (config.get("DeadLetterConfig") or {}).get("TargetArn")
    for target in filter(None, (destination, dead_letters)):
        lambda_svc._route_async_failure(target, config["FunctionName"], event, result)


def _settings(name: str, arn: str) -> dict[str, Any]:
    """Return the configuration for asynchronous invocations by `arn`, which may have a qualifier."""
    configs = lambda_svc._functions[name].get("event_invoke_configs") or {}
    qualifier = arn.partition(f":function:{name}")[2].removeprefix(":") or "$LATEST"
    found: dict[str, Any] = configs.get(qualifier) or (configs.get("") if qualifier == "$LATEST" else None) or {}
    return found


def dispatch_to_lambda(arn: str, payload: str) -> None:
    """Invoke the target of a rule or a schedule, asynchronously."""
    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    if function and config:
        record = lambda_svc._execution_record_for_config(function, config | {"FunctionArn": arn})
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))


def reserved_concurrency(record: Record, config: Record) -> int | None:
    """Return the limit of the function, also for one of its versions."""
    return _limit_of_record(lambda_svc._functions.get(config.get("FunctionName"), record), config)


def pin_request_origin(source_ip: str, secure_transport: bool) -> None:  # noqa: ARG001 - as the original
    """Keep for IAM's conditions from where a request came, and that it came over TLS."""
    _pin_request_origin(source_ip, True)


def lambda_action(method: str, path: str) -> str | None:
    """Return the name of the permission that a call of Lambda's API needs."""
    match [part for part in path.split("/") if part][1:]:
        case ["functions", _, "concurrency"]:
            return f"{_VERBS[method]}FunctionConcurrency"
        case ["event-source-mappings", _]:
            return f"{_VERBS[method]}EventSourceMapping".replace("Put", "Update")
    return _lambda_action(method, path)


def resource_arn(service: str, method: str, path: str, headers: dict[str, str], *request: Any) -> str:
    """Return the ARN on which a call needs its permission."""
    arn = _resource_arn(service, method, path, headers, *request)
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    return f"{arn}:*" if service == "logs" and ":log-group:" in arn and operation not in _ABOUT_TAGS else arn


REPLACED: list[tuple[Any, str, Callable[..., Any]]] = [
    (app, "pin_request_origin", pin_request_origin),
    (iam_actions, "_lambda_action", lambda_action),
    (iam_actions, "extract_resource_arn", resource_arn),
    (lambda_svc, "invoke_async_with_retry", invoke_asynchronously),
    (lambda_svc, "_reserved_concurrency", reserved_concurrency),
    (eventbridge, "_dispatch_to_lambda", dispatch_to_lambda),
]


def correct() -> None:
    """Replace the functions. Raises `AttributeError` if another version of the local AWS does not have one."""
    for module, name, replacement in REPLACED:
        getattr(module, name)
        setattr(module, name, replacement)


if __name__ == "__main__":
    correct()
    app.main()
