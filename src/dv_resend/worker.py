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

from dv_resend.errors import InvalidRequest, ResendError, ResendInProgress
from dv_resend.models import Reminder, ReminderResult
from dv_resend.reminder_queue import ReminderQueue
from dv_resend.telemetry import Audit

FIRST_HOLD_SECONDS = 30
MAX_HOLD_SECONDS = 900
# A short wait that was asked for is believed so often; then an outage would use up the queue's receives within minutes.
MAX_RECEIVES_OF_SHORT_WAITS = 5
# A bug may be in the code or in this one message: after so many receives it is taken for the message's own.
MAX_RECEIVES_OF_A_BUG = 3


def work(
    event: dict[str, Any], remind: Callable[[Reminder, Audit], ReminderResult], queue: ReminderQueue
) -> dict[str, Any]:
    """Remind about each order of the batch; return the messages that are to be delivered again.

    Safe to repeat: ``remind`` is.
    """
    processor = SqsFifoPartialProcessor()
    # An outage is no error of this function.
    processor.raise_on_entire_batch_failure = False
    answer: dict[str, Any] = dict(process_partial_response(event, lambda record: _remind(record, remind), processor))
    returned = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    if returned:
        records = [SQSRecord(record) for record in event["Records"] if record["messageId"] in returned]
        error = processor.exceptions[0][1]
        queue.hold([record.receipt_handle for record in records], _hold_seconds(error, _receives(records[0])))
    return answer


def _remind(record: SQSRecord, remind: Callable[[Reminder, Audit], ReminderResult]) -> None:
    """Handle one message; an error that comes out stops the line."""
    audit = Audit("sqs")
    try:
        audit.ask = reminder = _reminder(record.body)
        audit.succeeded(remind(reminder, audit))
    except ResendError as error:
        audit.failed(error)
        if error.scope == "account" or isinstance(error, ResendInProgress):
            raise
    except Exception as error:
        audit.failed(error)
        if _receives(record) < MAX_RECEIVES_OF_A_BUG:
            raise


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
