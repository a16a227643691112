"""The Lambda function: event source → request → use case → answer. It also builds everything from the settings."""

import os
import time
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from dv_resend import observability
from dv_resend.adapters import aws
from dv_resend.adapters.api_key import ApiKey
from dv_resend.adapters.certcentral import CertCentralClient
from dv_resend.adapters.certcentral_http import CertCentralHttp
from dv_resend.adapters.dns_contacts import DnsContacts
from dv_resend.adapters.reminder_queue import SqsReminderQueue
from dv_resend.adapters.report_topic import SnsReportTopic
from dv_resend.adapters.send_records import SendRecordsTable
from dv_resend.adapters.token_bucket import TokenBucket
from dv_resend.config import Config
from dv_resend.core.pending import list_pending
from dv_resend.core.report import Reporter
from dv_resend.core.requests import Invocation, PendingRequest, ResendRequest, StatusRequest, SweepRequest
from dv_resend.core.resend import Resender
from dv_resend.core.status import get_status
from dv_resend.core.sweep import Sweeper
from dv_resend.errors import ConfigurationError
from dv_resend.handlers import http
from dv_resend.handlers.audit import Audit
from dv_resend.handlers.events import ParsedEvent, parse, source_of

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dv_resend.core.requests import Reminder
    from dv_resend.core.resend import ReminderResult
    from dv_resend.handlers.events import Result


@observability.logger.inject_lambda_context(log_event=False, clear_state=True)
def lambda_handler(event: Any, context: "LambdaContext") -> dict[str, Any]:
    """Answer one event of any source (`handlers.events`): HTTP with a response, all others with a result or an error.

    Delivering the same event again is safe: it mails nobody twice inside the cool-down.
    """
    audit = Audit()
    try:
        audit.event_source = source = source_of(event)
        match source:
            case "queue":
                return _handle_batch(event, context)
            case "http":
                return _handle_http(event, context, audit)
            case _:
                return _run(parse(source, event), context, audit).to_json()
    except Exception as error:
        audit.failed(error)
        if audit.event_source == "http":
            return http.http_error(error)
        raise
    finally:
        observability.flush()


def _handle_http(event: dict[str, Any], context: "LambdaContext", audit: Audit) -> dict[str, Any]:
    audit.caller = http.caller_of(event)
    if (response := http.not_routed(event)) is not None:
        audit.not_routed(http.error_code(response))
        return response
    return http.http_answer(_run(http.parse_http(event), context, audit))


def _handle_batch(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    # Only the queue's worker pays for the import of Powertools' batch utility.
    from dv_resend.handlers.sqs import handle_batch

    parts = _parts()
    deadline = _deadline(context)

    def remind(reminder: "Reminder", audit: Audit) -> "ReminderResult":
        invocation = Invocation(deadline, context.aws_request_id, audit.before_send, audit.failed, audit.domain_done)
        return parts.resender.remind(reminder, invocation)

    return handle_batch(event, remind, parts.queue)


def _run(parsed: ParsedEvent, context: "LambdaContext", audit: Audit) -> "Result":
    audit.caller, audit.request = parsed.caller, parsed.request
    result = _use_case(parsed, context, audit)
    audit.succeeded(result)
    return result


def _use_case(parsed: ParsedEvent, context: "LambdaContext", audit: Audit) -> "Result":
    parts = _parts()
    deadline = _deadline(context)
    # Lambda's own retries of an asynchronous call keep the request id; a redelivered event keeps only its own id.
    delivery_id = parsed.event_id or context.aws_request_id
    invocation = Invocation(deadline, delivery_id, audit.before_send, on_domain=audit.domain_done)
    match parsed.request:
        case ResendRequest(dry_run=True) as request:
            return parts.resender.dry_run(request, invocation)
        case ResendRequest() as request:
            return parts.resender.resend(request, invocation)
        case StatusRequest(order_id):
            return get_status(order_id, deadline, parts.certcentral)
        case PendingRequest():
            parts.require_sweep_function()
            config = parts.config
            return list_pending(
                deadline, parts.certcentral, config.reminder_days, all_order_types=config.all_order_types
            )
        case SweepRequest() as request:
            return Sweeper(parts.certcentral, parts.queue, parts.config, parts.reporter).sweep(request, deadline)


def _deadline(context: "LambdaContext") -> float:
    return time.time() + context.get_remaining_time_in_millis() / 1000


class _Parts:
    """What keeps connections and caches between invocations. Each part is made when it is first needed."""

    def __init__(self) -> None:
        self.config = Config.from_environment(os.environ)

    @cached_property
    def resender(self) -> Resender:
        return Resender(
            self.certcentral, self.records, partial(DnsContacts, self.config.dns_servers), settings=self.config
        )

    @cached_property
    def certcentral(self) -> CertCentralClient:
        config = self.config
        # Only the sweep and its worker are slowed down; people who wait for an answer are not.
        bucket = TokenBucket(config.sweep_requests_per_second) if config.sweep_queue_url is not None else None
        http_client = CertCentralHttp(
            base_url=config.certcentral_base_url,
            timeout_seconds=config.certcentral_timeout_seconds,
            api_key=ApiKey(config.api_key_secret_id, aws.client("secretsmanager")),
            observe=observability.observe_upstream,
            wait_for_token=(lambda: None) if bucket is None else bucket.wait,
        )
        return CertCentralClient(http_client)

    @cached_property
    def records(self) -> SendRecordsTable:
        return SendRecordsTable(self.config.send_records_table, aws.client("dynamodb"))

    @cached_property
    def queue(self) -> SqsReminderQueue:
        return SqsReminderQueue(self.require_sweep_function(), aws.client("sqs"))

    @cached_property
    def reporter(self) -> Reporter | None:
        if self.config.report_topic_arn is None:
            return None
        topic = SnsReportTopic(self.config.report_topic_arn)
        # Lambda sets the region, the template the service: the stack's name.
        return Reporter(topic, stack=observability.SERVICE, region=os.environ.get("AWS_REGION", "unknown"))

    def require_sweep_function(self) -> str:
        """Return the URL of the reminder queue; raise `ConfigurationError` in `ResendFunction`, which has none."""
        if (url := self.config.sweep_queue_url) is None:
            raise ConfigurationError(
                "The environment variable SWEEP_QUEUE_URL is missing; "
                "only SweepFunction sweeps, or lists pending orders."
            )
        return url


@lru_cache(maxsize=1)
def _parts() -> _Parts:
    return _Parts()
