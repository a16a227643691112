"""The SQS door: works through one batch of reminders, in order, and stops the line where going on would be wrong.

An error of *order* scope is that order's own trouble: it is logged, counted and acknowledged, and the next one has its
turn. An error of *account* scope would meet every next order too: the message and its successors go back to the queue
and are held there, so that nothing is lost and nothing is hammered.
"""

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from dv_resend.errors import (
    CertCentralUnavailable,
    InvalidRequest,
    OrderNotEligible,
    OrderNotFound,
    PermissionDenied,
    RequestRejected,
    ResendError,
    ResendInProgress,
)
from dv_resend.models import Reminder, ReminderResult
from dv_resend.reminder_queue import ReminderQueue
from dv_resend.telemetry import Audit

FIRST_HOLD_SECONDS = 30
MAX_HOLD_SECONDS = 900
# A short wait that was asked for is believed so often; then an outage would use up the queue's receives within minutes.
MAX_RECEIVES_OF_SHORT_WAITS = 5
# An account's trouble that has lasted so long may be one order's, which CertCentral cannot answer for.
MAX_RECEIVES_UNSUSPECTED = 5
# A bug may be in the code or in this one message: after so many receives it is taken for the message's own.
MAX_RECEIVES_OF_A_BUG = 3


def work(
    event: dict[str, Any], remind: Callable[[Reminder, Audit], ReminderResult], queue: ReminderQueue
) -> dict[str, Any]:
    """Remind about each order of the batch; return the messages that are to be delivered again.

    Safe to repeat: ``remind`` is.
    """
    line = _Line(remind)
    processor = SqsFifoPartialProcessor()
    # An outage is no error of this function.
    processor.raise_on_entire_batch_failure = False
    answer: dict[str, Any] = dict(process_partial_response(event, line.handle, processor))
    returned = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    if line.suspect is not None:
        returned.add(line.suspect)
    if returned:
        records = [SQSRecord(record) for record in event["Records"] if record["messageId"] in returned]
        queue.hold([record.receipt_handle for record in records], _hold_seconds(line.error, _receives(records[0])))
        answer["batchItemFailures"] = [{"itemIdentifier": record.message_id} for record in records]
    return answer


class _Line:
    """Handles one message after the other; an error that comes out of `handle` stops the line.

    ``error`` is the last one that did, or that made a message the ``suspect`` (its id): one that has failed for long
    although CertCentral answers. If CertCentral has no trouble with its successor, the trouble is the suspect's own,
    and it is let go.
    """

    def __init__(self, remind: Callable[[Reminder, Audit], ReminderResult]) -> None:
        self.error: Exception | None = None
        self.suspect: str | None = None
        self._remind = remind

    def handle(self, record: SQSRecord) -> None:
        audit = Audit("sqs")
        try:
            audit.ask = reminder = _reminder(record.body)
            result = self._remind(reminder, audit)
            audit.succeeded(result)
            if result.outcome != "already_reminded":
                self.suspect = None
        except ResendError as error:
            audit.failed(error)
            if error.scope == "account" or isinstance(error, ResendInProgress):
                self._stop_at(record, error)
            elif isinstance(error, OrderNotEligible | OrderNotFound | RequestRejected):
                self.suspect = None
        except Exception as error:
            audit.failed(error)
            if _receives(record) < MAX_RECEIVES_OF_A_BUG:
                self._stop_at(record, error)

    def _stop_at(self, record: SQSRecord, error: Exception) -> None:
        self.error = error
        answered = isinstance(error, CertCentralUnavailable | PermissionDenied) and error.upstream_status is not None
        if answered and self.suspect is None and _receives(record) > MAX_RECEIVES_UNSUSPECTED:
            self.suspect = record.message_id
            return
        raise error


def _reminder(body: str) -> Reminder:
    try:
        return Reminder.from_json(json.loads(body))
    except (ValueError, RecursionError):
        raise InvalidRequest("body", "must be JSON.") from None


def _hold_seconds(error: BaseException | None, receives: int) -> int:
    """Say how long to hold the line: as long as asked, or longer with each receive."""
    if isinstance(error, ResendInProgress):
        return FIRST_HOLD_SECONDS
    doublings = min(max(receives - 1, 0), 10)
    hold = min(FIRST_HOLD_SECONDS << doublings, MAX_HOLD_SECONDS)
    asked = error.retry_after if isinstance(error, ResendError) else None
    if asked is None:
        return hold
    return asked if receives <= MAX_RECEIVES_OF_SHORT_WAITS else max(asked, hold)


def _receives(record: SQSRecord) -> int:
    receives: str = record["attributes"]["ApproximateReceiveCount"]
    return int(receives)
