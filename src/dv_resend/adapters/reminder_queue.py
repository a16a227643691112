"""The reminder queue: one SQS FIFO queue between the sweep and its worker."""

import json
from collections.abc import Sequence
from datetime import date
from itertools import batched
from typing import TYPE_CHECKING

from dv_resend.adapters.aws import SDK_ERRORS, error_code, translate
from dv_resend.errors import ConfigurationError, QueueUnavailable
from dv_resend.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

    from dv_resend.core.requests import Reminder

# One group is one CertCentral key, the scope of DigiCert's request limit: FIFO then gives one worker at a time.
MESSAGE_GROUP = "certcentral"
# SQS accepts ten messages in a call. A message stays invisible for at most 12 hours after its receipt (SQS quotas).
BATCH_SIZE = 10
MAX_VISIBILITY_SECONDS = 11 * 3600


class SqsReminderQueue:
    """The queue at ``url``. It implements `core.ports.ReminderQueue`.

    Example:
        ``SqsReminderQueue(url, client).send([Reminder(123456789)], date.today())``
    """

    def __init__(self, url: str, client: "SQSClient") -> None:
        """Use the queue through ``client``, whose time-outs bound every method."""
        self._url = url
        self._client = client

    def send(self, reminders: "Sequence[Reminder]", swept_on: date) -> int:
        """Queue the reminders of one page; return how many.

        Safe to repeat: SQS drops a repeat within five minutes, and the worker records each reminder. Raises
        `QueueUnavailable` if SQS is throttled or unavailable (some reminders may be queued then), `ConfigurationError`
        if the queue is missing or not accessible.
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
                raise QueueUnavailable(
                    f"SQS rejected {len(failed)} of {len(batch)} reminders ({failed[0]['Code']}). Sweep again."
                )
        return len(reminders)

    def delay(self, receipt_handles: Sequence[str], seconds: int) -> None:
        """Keep received messages, at most ten, invisible for so long.

        Never raises: if it fails, the queue's own visibility timeout applies.
        """
        entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": min(seconds, MAX_VISIBILITY_SECONDS)}
            for index, handle in enumerate(receipt_handles)
        ]
        try:
            answer = self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        except SDK_ERRORS as error:
            logger.warning("messages not delayed", error=error_code(error))
        else:
            for failed in answer.get("Failed", []):
                logger.warning("message not delayed", error=failed["Code"])


def _translated(error: Exception) -> QueueUnavailable | ConfigurationError:
    return translate(
        error,
        QueueUnavailable,
        permanent="The reminder queue cannot be used ({code}). Check SWEEP_QUEUE_URL and the function's role.",
        transient="SQS did not answer ({code}). Some reminders may not be queued. Sweep again.",
    )
