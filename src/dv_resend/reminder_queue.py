"""The reminder queue: one SQS FIFO queue between the sweep and its worker."""

import json
from collections.abc import Sequence
from datetime import date
from itertools import batched
from typing import TYPE_CHECKING

from dv_resend.aws import SDK_ERRORS, error_code, translate
from dv_resend.errors import ConfigurationError, QueueUnavailable
from dv_resend.models import Reminder
from dv_resend.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

# One group is one CertCentral key, the scope of DigiCert's request limit: FIFO then gives one worker at a time.
MESSAGE_GROUP = "certcentral"
# SQS takes ten messages in a call, and holds a message back for 12 hours after its receipt at most (SQS quotas).
BATCH_SIZE = 10
MAX_HOLD_SECONDS = 11 * 3600


class ReminderQueue:
    """Sends reminders to the queue at ``url``, and holds messages back when the line must stop."""

    def __init__(self, url: str, client: "SQSClient") -> None:
        """Use the queue through ``client``, whose time-outs bound every method."""
        self._url = url
        self._client = client

    def send(self, reminders: Sequence[Reminder], swept_on: date) -> int:
        """Queue the reminders of one page; return how many.

        Repeating it is safe: SQS drops a repeat within five minutes, and the worker keeps records. Raises
        `QueueUnavailable` when SQS is throttled or away (some may then be queued), `ConfigurationError` when the queue
        is missing or not accessible.
        """
        for batch in batched(reminders, BATCH_SIZE, strict=False):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {
                    "Id": str(index),
                    "MessageBody": json.dumps(reminder.to_json()),
                    "MessageGroupId": MESSAGE_GROUP,
                    "MessageDeduplicationId": f"{reminder.order_id}#{reminder.day or 'reissue'}#{swept_on}",
                }
                for index, reminder in enumerate(batch)
            ]
            try:
                failed = self._client.send_message_batch(QueueUrl=self._url, Entries=entries).get("Failed", [])
            except SDK_ERRORS as error:
                raise _translated(error) from None
            if failed:
                raise QueueUnavailable(f"SQS did not take {len(failed)} reminders ({failed[0]['Code']}). Sweep again.")
        return len(reminders)

    def hold(self, receipt_handles: Sequence[str], seconds: int) -> None:
        """Keep received messages, at most ten, out of sight for so long. Never raises: the queue's own wait is next."""
        entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": min(seconds, MAX_HOLD_SECONDS)}
            for index, handle in enumerate(receipt_handles)
        ]
        try:
            answer = self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        except SDK_ERRORS as error:
            logger.warning("messages not held back", error=error_code(error))
        else:
            for failed in answer.get("Failed", []):
                logger.warning("message not held back", error=failed["Code"])


def _translated(error: Exception) -> QueueUnavailable | ConfigurationError:
    return translate(
        error,
        QueueUnavailable,
        permanent="The reminder queue cannot be used ({code}); check SWEEP_QUEUE_URL and the function's role.",
        transient="SQS did not answer ({code}); some reminders may not be queued. Sweep again.",
    )
