"""A queue of failed events, read message by message."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession

# Longer than any one call about a message takes; `extend_visibility` starts it anew.
VISIBILITY_SECONDS = 900
# Any waiting makes SQS ask all of its servers, so that no answer is empty by mistake.
_WAIT_SECONDS = 1


class Message(NamedTuple):
    """One message. ``attributes`` are those of its sender; ``sent_at`` is in seconds since the epoch.

    Example:
        >>> Message("an id", '{"order_id": 7}', {}, sent_at=0).body
        '{"order_id": 7}'
    """

    id: str
    body: str
    attributes: Mapping[str, str]
    sent_at: float


class Counts(NamedTuple):
    """About how many messages a queue has: those that wait, and those that somebody has received.

    Example:
        ``counts(sqs, url).waiting``
    """

    waiting: int
    invisible: int


def counts(sqs: Any, url: str) -> Counts:
    """Count a queue's messages."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return Counts(*(int(found[name]) for name in names))


class Queue:
    """A standard SQS queue, as one run sees it. Use it in a `with` block: its end makes visible what was not deleted.

    Example:
        ``with Queue(session, stack.failed_events_queue_url) as queue: first = next(queue.messages())``
    """

    def __init__(self, session: "AwsSession", url: str) -> None:
        """Keep what is needed; nothing is read yet."""
        self._sqs = session.client("sqs")
        self._url = url
        self._receipts: dict[str, str] = {}
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        """Start a run."""
        return self

    def __exit__(self, *_: object) -> None:
        """Make what was not deleted visible again. If this process is killed, it takes `VISIBILITY_SECONDS`."""
        for receipt in self._receipts.values():
            with suppress(Exception):
                self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=0)

    def messages(self) -> Iterator[Message]:
        """Yield each message once, until the queue is empty. Nobody else gets them meanwhile."""
        while received := self._receive():
            (found,) = received
            # The new receipt counts, also if the message has come back because this run takes so long.
            self._receipts[found["MessageId"]] = found["ReceiptHandle"]
            if found["MessageId"] in self._seen:
                continue
            self._seen.add(found["MessageId"])
            attributes = {
                name: str(attribute.get("StringValue", ""))
                for name, attribute in found.get("MessageAttributes", {}).items()
            }
            sent_at = int(found["Attributes"]["SentTimestamp"]) / 1000
            yield Message(found["MessageId"], found["Body"], attributes, sent_at)

    def extend_visibility(self, message: Message) -> None:
        """Keep a message from everybody else for another `VISIBILITY_SECONDS`."""
        self._sqs.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=self._receipts[message.id], VisibilityTimeout=VISIBILITY_SECONDS
        )

    def held_by_others(self) -> int:
        """Return about how many messages are invisible, apart from those of this run."""
        return max(0, counts(self._sqs, self._url).invisible - len(self._receipts))

    def delete(self, message: Message) -> None:
        """Delete a message."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=self._receipts[message.id])
        del self._receipts[message.id]

    def _receive(self) -> list[dict[str, Any]]:
        # One at a time, because the visibility timeout is that of one message.
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=1,
            VisibilityTimeout=VISIBILITY_SECONDS,
            WaitTimeSeconds=_WAIT_SECONDS,
            MessageSystemAttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found
