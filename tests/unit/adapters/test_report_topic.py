"""The topic for reports, with SNS and a queue that subscribes in this process (moto): what is published, what fails."""

import json
from collections.abc import Callable, Iterator

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.parsers import ResponseParserError
from conftest import Output
from moto import mock_aws

from dv_resend.adapters import aws
from dv_resend.adapters.report_topic import NEEDED_SECONDS, SnsReportTopic
from unit.adapters.conftest import refusal

NOW = 1_000_000.0
DEADLINE = NOW + NEEDED_SECONDS
ELSEWHERE = "eu-central-1"

type Received = Callable[[], list[dict[str, str]]]
type ReadOutput = Callable[[], Output]


@pytest.fixture(autouse=True)
def _aws() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def arn() -> str:
    """A topic in another region than the function's."""
    arn: str = boto3.client("sns", ELSEWHERE).create_topic(Name="reports")["TopicArn"]
    return arn


@pytest.fixture
def received(arn: str) -> Received:
    """Give a function that takes what the topic delivered."""
    sqs = boto3.client("sqs", ELSEWHERE)
    url = sqs.create_queue(QueueName="people")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    boto3.client("sns", ELSEWHERE).subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)

    def receive() -> list[dict[str, str]]:
        return [json.loads(message["Body"]) for message in sqs.receive_message(QueueUrl=url).get("Messages", [])]

    return receive


def publish(arn: str, deadline: float = DEADLINE) -> None:
    SnsReportTopic(arn, clock=lambda: NOW).publish("1 order is stuck", "Tschüs\n", deadline)


def test_report_is_published_in_the_region_of_its_topic(arn: str, received: Received, output: ReadOutput) -> None:
    publish(arn)

    (message,) = received()
    assert (message["Subject"], message["Message"]) == ("1 order is stuck", "Tschüs\n")
    assert [line["message"] for line in output().lines] == ["report published"]


def test_report_is_not_published_if_time_is_short(arn: str, received: Received, output: ReadOutput) -> None:
    publish(arn, DEADLINE - 0.1)

    assert received() == []
    assert [(line["level"], line["message"]) for line in output().lines] == [("ERROR", "report not published")]


def test_time_for_a_report_suffices_for_two_attempts() -> None:
    config = aws.client("sns").meta.config
    attempts = config.retries["total_max_attempts"]

    # The standard retry mode waits for at most a second before the second attempt.
    assert attempts * (config.connect_timeout + config.read_timeout) + 1 < NEEDED_SECONDS


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (f"arn:aws:sns:{ELSEWHERE}:123456789012:gone", "NotFound"),
        ("arn:aws:sns:-:123456789012:reports", "InvalidRegionError"),
    ],
)
def test_topic_that_cannot_be_used_is_logged(output: ReadOutput, topic: str, code: str) -> None:
    publish(topic)

    assert [(line["level"], line["error"]) for line in output().lines] == [("ERROR", code)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal("AuthorizationError"), "AuthorizationError"),
        (refusal("KMSAccessDenied"), "KMSAccessDenied"),
        (ReadTimeoutError(endpoint_url="https://sns.test"), "ReadTimeoutError"),
        # The SDK cannot read a firewall's web page as an error of SNS.
        (ResponseParserError("invalid XML received"), "ResponseParserError"),
    ],
    ids=ascii,
)
def test_failure_to_publish_is_logged_and_not_raised(
    arn: str, output: ReadOutput, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    class Client:
        def publish(self, **_: str) -> None:
            raise error

    monkeypatch.setattr(aws, "client", lambda _service, _region: Client())

    publish(arn)

    (line,) = output().lines
    assert (line["level"], line["message"], line["error"]) == ("ERROR", "report not published", code)
