"""The Lambda function: recognise the event, run the use case, answer. The only file that knows Lambda."""

import os
import time
from functools import lru_cache
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config as ClientConfig

from dv_resend import doors, telemetry
from dv_resend.api_key import ApiKey
from dv_resend.certcentral import CertCentral
from dv_resend.claims import Claims
from dv_resend.config import Config
from dv_resend.resend import Invocation, resend
from dv_resend.status import status

# Bounds each call to AWS: at worst two attempts of 3 s.
_CLIENT_CONFIG = ClientConfig(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"})


@telemetry.logger.inject_lambda_context(log_event=False, clear_state=True)
def lambda_handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Answer one event of any door (see `doors`). HTTP callers get a response; all others a result, or a `ResendError`.

    Delivering the same event again is safe: it mails nobody twice inside the cool-down.
    """
    audit = telemetry.Audit()
    try:
        audit.door = door = doors.recognise(event)
        if door == "http" and (misrouted := doors.misrouted(event)) is not None:
            return misrouted
        command = doors.parse(door, event)
        audit.order_id, audit.caller, audit.request = command.order_id, command.caller, command.request
        result = _run(command, context)
        audit.succeeded(result)
        return doors.http_answer(result) if door == "http" else result.to_json()
    except Exception as error:
        audit.failed(error)
        if audit.door == "http":
            return doors.http_error(error)
        raise
    finally:
        telemetry.flush()


def _run(command: doors.Command, context: LambdaContext) -> doors.Result:
    ends_at = time.time() + context.get_remaining_time_in_millis() / 1000
    config, certcentral, claims = _adapters()
    if command.request is None:
        return status(command.order_id, ends_at, certcentral=certcentral)
    return resend(
        command.request,
        # Lambda's own retries of an asynchronous call keep the request id; a redelivered event keeps only its own.
        Invocation(ends_at, delivery_id=command.event_id or context.aws_request_id),
        certcentral=certcentral,
        claims=claims,
        sending=config.sending,
    )


@lru_cache(maxsize=1)
def _adapters() -> tuple[Config, CertCentral, Claims]:
    """Build, on first use and once, what keeps connections and caches between invocations."""
    config = Config.from_environment(os.environ)
    return (
        config,
        CertCentral(
            base_url=config.certcentral_base_url,
            timeout_seconds=config.certcentral_timeout_seconds,
            api_key=ApiKey(config.api_key_secret_id, boto3.client("secretsmanager", config=_CLIENT_CONFIG)),
            observe=telemetry.observe_upstream,
        ),
        Claims(config.claims_table, config.cool_down_seconds, boto3.client("dynamodb", config=_CLIENT_CONFIG)),
    )
