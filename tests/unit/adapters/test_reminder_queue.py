"""The reminder queue, with a FIFO queue in this process (moto): what is sent, and how messages are delayed."""

import json
from datetime import date

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from dv_resend.adapters.reminder_queue import MAX_VISIBILITY_SECONDS, SqsReminderQueue
from dv_resend.core.requests import Reminder
from dv_resend.errors import ConfigurationError, QueueUnavailable
from unit.adapters.conftest import refusal

TODAY = date(2026, 11, 23)
ENDPOINT = "https://sqs.eu-west-1.amazonaws.com/"
FIFO = {"FifoQueue": "true", "VisibilityTimeout": "60"}


class Client:
    """The SQS client with faults: a call fails, or its response says that messages failed. It keeps its calls."""

    def __init__(self, client):
        self._client = client
        self.fail = []
        self.failed = []
        self.calls = []

    def __getattr__(self, name):
        def call(**arguments):
            self.calls.append((name, arguments))
            if self.fail and (error := self.fail.pop(0)) is not None:
                raise error
            answer = getattr(self._client, name)(**arguments)
            return answer | {"Failed": self.failed} if self.failed else answer

        return call


@pytest.fixture(scope="module")
def sqs():
    """One SQS for the whole file: a new one for each test would take most of the time."""
    with mock_aws():
        yield boto3.client("sqs")


@pytest.fixture
def url(sqs):
    url = sqs.create_queue(QueueName="reminders.fifo", Attributes=FIFO)["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def client(sqs):
    return Client(sqs)


@pytest.fixture
def queue(client, url):
    return SqsReminderQueue(url, client)


@pytest.fixture
def received(sqs, url):
    """Give a function that takes all visible messages, in order."""

    def receive():
        found = []
        while messages := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], VisibilityTimeout=60
        ).get("Messages", []):
            found += messages
            # Until a message is deleted, SQS returns no later message of its group.
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    return receive


def many(count, day=3):
    return [Reminder(number, date(2026, 11, 20), day) for number in range(1, count + 1)]


# Sending


def test_message_is_the_reminder_in_the_one_message_group(queue, received):
    reminders = [Reminder(7, date(2026, 11, 20), 3), Reminder(8)]

    assert queue.send(reminders, TODAY) == 2

    messages = received()
    assert [json.loads(message["Body"]) for message in messages] == [
        {"order_id": 7, "waiting_since": "2026-11-20", "day": 3},
        {"order_id": 8},
    ]
    assert [Reminder.from_json(json.loads(message["Body"])) for message in messages] == reminders
    attributes = [message["Attributes"] for message in messages]
    assert {found["MessageGroupId"] for found in attributes} == {"certcentral"}
    assert [found["MessageDeduplicationId"] for found in attributes] == ["7#3#2026-11-23", "8#reissue#2026-11-23"]


def test_empty_page_makes_no_call(queue, client):
    assert queue.send([], TODAY) == 0
    assert client.calls == []


@pytest.mark.parametrize(("count", "batches"), [(1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_ten_messages_are_sent_per_call_in_order(queue, client, received, count, batches):
    assert queue.send(many(count), TODAY) == count

    assert [len(arguments["Entries"]) for _, arguments in client.calls] == batches
    assert [json.loads(message["Body"])["order_id"] for message in received()] == list(range(1, count + 1))


@pytest.mark.parametrize(
    "error", [refusal("RequestThrottled"), EndpointConnectionError(endpoint_url=ENDPOINT)], ids=ascii
)
def test_temporary_error_is_queue_unavailable(queue, client, error):
    client.fail = [error]

    with pytest.raises(QueueUnavailable) as caught:
        queue.send(many(3), TODAY)

    assert "Secret words" not in str(caught.value)


@pytest.mark.parametrize("code", ["AccessDenied", "AWS.SimpleQueueService.NonExistentQueue"])
def test_permanent_error_is_a_configuration_error(queue, client, code):
    client.fail = [refusal(code)]

    with pytest.raises(ConfigurationError, match="SWEEP_QUEUE_URL"):
        queue.send(many(3), TODAY)


def test_missing_queue_is_a_configuration_error(client, url):
    with pytest.raises(ConfigurationError, match="SWEEP_QUEUE_URL"):
        SqsReminderQueue(url.replace("reminders", "missing"), client).send(many(1), TODAY)


def test_messages_that_sqs_rejects_are_an_error(queue, client):
    client.failed = [{"Id": "1", "Code": "InternalError", "SenderFault": False}]

    with pytest.raises(QueueUnavailable, match=r"1 of 3 reminders \(InternalError\)"):
        queue.send(many(3), TODAY)

    assert len(client.calls) == 1


@settings(deadline=None, derandomize=True, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 10**15 - 1), max_size=35, unique=True), st.none() | st.integers(1, 365))
def test_any_page_is_sent_whole_within_the_limits_of_sqs(client, url, order_ids, day):
    client.calls.clear()
    reminders = [Reminder(number, None if day is None else TODAY, day) for number in order_ids]

    assert SqsReminderQueue(url, client).send(reminders, TODAY) == len(order_ids)

    entries = [entry for _, arguments in client.calls for entry in arguments["Entries"]]
    assert [Reminder.from_json(json.loads(entry["MessageBody"])) for entry in entries] == reminders
    assert len({entry["MessageDeduplicationId"] for entry in entries}) == len(entries)
    assert all(len(entry["MessageDeduplicationId"]) <= 128 for entry in entries)
    for _, arguments in client.calls:
        assert len(arguments["Entries"]) <= 10
        assert len({entry["Id"] for entry in arguments["Entries"]}) == len(arguments["Entries"])


# Delaying


def handles(sqs, url, count):
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60)["Messages"]
    assert len(messages) == count
    return [message["ReceiptHandle"] for message in messages]


@pytest.mark.parametrize("seconds", [1, 30, 900, 3600])
def test_delay_of_a_batch_is_one_call(queue, client, sqs, url, seconds):
    queue.send(many(10), TODAY)
    received_handles = handles(sqs, url, 10)
    client.calls.clear()

    queue.delay(received_handles, seconds)

    ((method, arguments),) = client.calls
    assert method == "change_message_visibility_batch"
    assert [(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in arguments["Entries"]] == [
        (handle, seconds) for handle in received_handles
    ]
    assert len({entry["Id"] for entry in arguments["Entries"]}) == 10


@pytest.mark.parametrize("seconds", [12 * 3600 + 1, 24 * 3600])
def test_delay_is_at_most_what_sqs_allows(queue, client, seconds):
    client.fail = [refusal("x")]

    queue.delay(["handle"], seconds)

    ((_, arguments),) = client.calls
    assert arguments["Entries"][0]["VisibilityTimeout"] == MAX_VISIBILITY_SECONDS <= 12 * 3600


def test_longest_delay_is_accepted_by_sqs(queue, sqs, url, received, output):
    queue.send(many(2), TODAY)

    queue.delay(handles(sqs, url, 2), 24 * 3600)

    assert received() == []
    assert output().lines == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *((refusal("RequestThrottled"), "RequestThrottled"), (refusal("AccessDenied"), "AccessDenied")),
        (EndpointConnectionError(endpoint_url=ENDPOINT), "EndpointConnectionError"),
        (ReadTimeoutError(endpoint_url=ENDPOINT), "ReadTimeoutError"),
    ],
    ids=ascii,
)
def test_failed_delay_is_logged_and_not_raised(queue, client, output, error, code):
    client.fail = [error]

    queue.delay(["handle"], 30)

    (line,) = output().lines
    assert (line["level"], line["error"]) == ("WARNING", code)


def test_each_message_that_sqs_does_not_delay_is_logged(queue, sqs, url, client, output):
    queue.send(many(2), TODAY)
    received_handles = handles(sqs, url, 2)
    client.failed = [{"Id": str(number), "Code": "ReceiptHandleIsInvalid", "SenderFault": True} for number in range(2)]

    queue.delay(received_handles, 30)

    assert [(line["level"], line["error"]) for line in output().lines] == [("WARNING", "ReceiptHandleIsInvalid")] * 2
