"""The Lambda function: recognise the event, run the use case, answer. The only file that knows Lambda."""

import json
import os
import random
import time
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from dv_resend import aws, doors, telemetry
from dv_resend.api_key import ApiKey
from dv_resend.aws import SDK_ERRORS, error_code
from dv_resend.certcentral import CertCentral
from dv_resend.claims import Claims
from dv_resend.config import Config
from dv_resend.dns_lookup import DnsLookup
from dv_resend.errors import ConfigurationError, QueueUnavailable
from dv_resend.models import ResendRequest, StatusRequest, SweepRequest
from dv_resend.pace import Pace
from dv_resend.reminder_queue import ReminderQueue
from dv_resend.resend import Invocation, resend
from dv_resend.status import status
from dv_resend.sweep import remind, sweep

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# The alias that callers use, and a sweep that calls itself (template.yaml, AutoPublishAlias).
ALIAS = "live"


@telemetry.logger.inject_lambda_context(log_event=False, clear_state=True)
def lambda_handler(event: Any, context: "LambdaContext") -> dict[str, Any]:
    """Answer one event of any door (see `doors`). HTTP callers get a response; all others a result, or a `ResendError`.

    Delivering the same event again is safe: it mails nobody twice inside the cool-down.
    """
    audit = telemetry.Audit()
    try:
        audit.door = door = doors.recognise(event)
        if door == "sqs":
            return _work(event, context)
        if door == "http" and (misrouted := doors.misrouted(event)) is not None:
            return misrouted
        command = doors.parse(door, event)
        audit.caller, audit.ask = command.caller, command.ask
        result = _run(command, context, audit)
        audit.succeeded(result)
        return doors.http_answer(result) if door == "http" else result.to_json()
    except Exception as error:
        audit.failed(error)
        if audit.door == "http":
            return doors.http_error(error)
        raise
    finally:
        telemetry.flush()


def _run(command: doors.Command, context: "LambdaContext", audit: telemetry.Audit) -> doors.Result:
    ends_at = _ends_at(context)
    adapters = _adapters()
    match command.ask:
        case StatusRequest(order_id):
            return status(order_id, ends_at, certcentral=adapters.certcentral)
        case SweepRequest() as request:
            return sweep(
                request,
                ends_at,
                certcentral=adapters.certcentral,
                queue=adapters.queue,
                days=adapters.config.reminder_days,
                sending=adapters.config.sending,
                go_on=lambda link: _go_on(link, f"{context.function_name}:{ALIAS}"),
            )
        case ResendRequest() as request:
            return resend(
                request,
                # Lambda's own retries of an asynchronous call keep the request id; a redelivered event only its own.
                Invocation(ends_at, command.event_id or context.aws_request_id, audit.announce),
                certcentral=adapters.certcentral,
                claims=adapters.claims,
                dns=lambda: DnsLookup(adapters.config.dns_servers),
                check_recipients=adapters.config.check_recipients,
                sending=adapters.config.sending,
            )


def _work(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    # Only the worker pays for the import of Powertools' batch utility.
    from dv_resend.worker import work

    adapters = _adapters()
    ends_at = _ends_at(context)
    return work(
        event,
        lambda reminder, audit: remind(
            reminder,
            Invocation(ends_at, context.aws_request_id, audit.announce),
            certcentral=adapters.certcentral,
            claims=adapters.claims,
            days=adapters.config.reminder_days,
            sending=adapters.config.sending,
        ),
        adapters.queue,
    )


def _go_on(link: SweepRequest, function: str) -> None:
    """Have the next link of a sweep run in an invocation of its own."""
    try:
        aws.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(link.to_json()))
    except SDK_ERRORS as error:
        raise QueueUnavailable(f"The sweep could not go on by itself ({error_code(error)}). Sweep again.") from None


def _ends_at(context: "LambdaContext") -> float:
    return time.time() + context.get_remaining_time_in_millis() / 1000


class _Adapters:
    """What keeps connections and caches between invocations. Each is made when it is first needed."""

    def __init__(self) -> None:
        self.config = Config.from_environment(os.environ)

    @cached_property
    def certcentral(self) -> CertCentral:
        config = self.config
        sweeps = config.sweep_queue_url is not None
        return CertCentral(
            base_url=config.certcentral_base_url,
            timeout_seconds=config.certcentral_timeout_seconds,
            api_key=ApiKey(config.api_key_secret_id, aws.client("secretsmanager")),
            observe=telemetry.observe_upstream,
            # People who wait for an answer are not held to the sweep's share.
            pace=Pace(config.sweep_requests_per_second).wait if sweeps else lambda: None,
        )

    @cached_property
    def claims(self) -> Claims:
        return Claims(self.config.claims_table, self.config.cool_down_seconds, aws.client("dynamodb"))

    @cached_property
    def queue(self) -> ReminderQueue:
        if self.config.sweep_queue_url is None:
            raise ConfigurationError("The environment variable SWEEP_QUEUE_URL is missing; only SweepFunction sweeps.")
        return ReminderQueue(self.config.sweep_queue_url, aws.client("sqs"))


@lru_cache(maxsize=1)
def _adapters() -> _Adapters:
    return _Adapters()


def _forget() -> None:
    """Forget what the copies of one snapshot may not share: connections, the key, and the next random numbers."""
    _adapters.cache_clear()
    random.seed()


if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
    from dv_resend import snap_start

    snap_start.register(_forget)
