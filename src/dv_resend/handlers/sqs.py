"""The reminder queue's batches: messages are handled in order, and the batch stops where going on would be wrong.

An error of *order* scope affects that order only: it is logged, counted and acknowledged, and the next message follows.
An error of *account* scope would affect every further order too: the message and those behind it go back to the queue
and are delayed there, so that nothing is lost and CertCentral is not flooded.
"""

import json
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from dv_resend.core.requests import Reminder
from dv_resend.errors import (
    CertCentralUnavailable,
    InvalidRequest,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    PermissionDenied,
    RequestRejected,
    ResendError,
    ResendInProgress,
)
from dv_resend.handlers.audit import Audit

if TYPE_CHECKING:
    from collections.abc import Callable

    from dv_resend.core.ports import ReminderQueue
    from dv_resend.core.resend import ReminderResult

    type Remind = Callable[[Reminder, Audit], ReminderResult]

FIRST_BACKOFF_SECONDS = 30
MAX_BACKOFF_SECONDS = 900
# A short wait that CertCentral asks for is honoured this often. After that, an outage would use up the queue's receives
# within minutes.
MAX_RECEIVES_OF_SHORT_WAITS = 5
# After so many receives, an error of account scope may be caused by one order that CertCentral cannot answer for.
POISON_AFTER_RECEIVES = 5
# A bug may be in the code or in this one message; after so many receives, the message is blamed.
MAX_RECEIVES_OF_A_BUG = 3


def handle_batch(event: dict[str, Any], remind: "Remind", queue: "ReminderQueue") -> dict[str, Any]:
    """Remind about each order of the batch; return the messages to be delivered again. Safe to repeat."""
    batch = _FifoBatch(remind)
    processor = SqsFifoPartialProcessor()
    # An outage is no error of this function.
    processor.raise_on_entire_batch_failure = False
    answer: dict[str, Any] = dict(process_partial_response(event, batch.handle, processor))
    returned = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    if batch.poison_candidate is not None:
        returned.add(batch.poison_candidate)
    if returned:
        records = [SQSRecord(record) for record in event["Records"] if record["messageId"] in returned]
        delay_seconds = _delay_seconds(batch.error, _receives(records[0]))
        queue.delay([record.receipt_handle for record in records], delay_seconds)
        answer["batchItemFailures"] = [{"itemIdentifier": record.message_id} for record in records]
    return answer


class _FifoBatch:
    """Handles one message after the other; an error that comes out of `handle` stops the batch.

    ``error`` is the last error that did so, or that made a message the ``poison_candidate`` (its id). That is a message
    that has failed for long although CertCentral answers. If its successor succeeds, the message itself is at fault,
    and it is dropped.
    """

    def __init__(self, remind: "Remind") -> None:
        self.error: Exception | None = None
        self.poison_candidate: str | None = None
        self._remind = remind

    def handle(self, record: SQSRecord) -> None:
        audit = Audit("queue")
        try:
            audit.request = reminder = _parse_reminder(record.body)
            result = self._remind(reminder, audit)
            audit.succeeded(result)
            if result.outcome != "already_reminded":
                self.poison_candidate = None
        except OutcomeUnknown:
            pass  # reported already, before it was recorded (`Invocation.on_unknown`)
        except ResendError as error:
            audit.failed(error)
            if _stops_others(error):
                self._stop_at(record, error)
            elif isinstance(error, OrderNotEligible | OrderNotFound | RequestRejected):
                self.poison_candidate = None
        except Exception as error:
            audit.failed(error)
            if _receives(record) < MAX_RECEIVES_OF_A_BUG:
                self._stop_at(record, error)

    def _stop_at(self, record: SQSRecord, error: Exception) -> None:
        self.error = error
        answered = isinstance(error, CertCentralUnavailable | PermissionDenied) and error.upstream_status is not None
        if answered and self.poison_candidate is None and _receives(record) > POISON_AFTER_RECEIVES:
            self.poison_candidate = record.message_id
            return
        raise error


def _stops_others(error: ResendError) -> bool:
    """Whether going on would be wrong.

    A key may be allowed to work with orders, and not with domains: then the reminders of DV orders go on. Those of
    other orders are acknowledged; the next sweep finds these orders again.
    """
    if isinstance(error, PermissionDenied) and error.about_domain:
        return False
    return error.scope == "account" or isinstance(error, ResendInProgress)


def _parse_reminder(body: str) -> Reminder:
    try:
        return Reminder.from_json(json.loads(body))
    except (ValueError, RecursionError):
        raise InvalidRequest("body", "must be JSON.") from None


def _delay_seconds(error: BaseException | None, receives: int) -> int:
    """Return how long to delay the messages: as long as CertCentral asks, or longer with each receive."""
    if isinstance(error, ResendInProgress):
        return FIRST_BACKOFF_SECONDS
    doublings = min(max(receives - 1, 0), 10)
    backoff = min(FIRST_BACKOFF_SECONDS << doublings, MAX_BACKOFF_SECONDS)
    asked = error.retry_after if isinstance(error, ResendError) else None
    if asked is None:
        return backoff
    return asked if receives <= MAX_RECEIVES_OF_SHORT_WAITS else max(asked, backoff)


def _receives(record: SQSRecord) -> int:
    receives: str = record["attributes"]["ApproximateReceiveCount"]
    return int(receives)
