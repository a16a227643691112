"""Each of the function's calls to AWS is throttled, fails or hangs: no reminder is lost, no email is sent twice."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import boto3
import pytest
from unit.samples import direct, message

from dev.emulator import CertCentralEmulator
from dev.faults.aws import ATTEMPTS, FAILURES, Failure, broken_aws, lost_responses
from dv_resend.errors import QueueUnavailable, ResendError
from faults.conftest import Clock, Invoke, ReadOutput, Settings

AGE_DAYS = 3.2
# A call's 29 seconds, and two minutes for the clocks.
SECONDS_UNTIL_A_CLAIM_IS_DEAD = 150
WAITING_SINCE = (dt.datetime.now(dt.UTC) - dt.timedelta(days=AGE_DAYS)).date().isoformat()

type Event = Callable[[CertCentralEmulator, int], dict[str, Any]]


def plain(_upstream: CertCentralEmulator, order_id: int) -> dict[str, Any]:
    return direct(order_id)


def plan(_upstream: CertCentralEmulator, order_id: int) -> dict[str, Any]:
    return direct(order_id, dry_run=True)


def with_lost_response(upstream: CertCentralEmulator, order_id: int) -> dict[str, Any]:
    upstream.inject({"fault": "reset", "path": f"/{order_id}/resend", "times": 1, "mails": True})
    return direct(order_id)


def limited(upstream: CertCentralEmulator, order_id: int) -> dict[str, Any]:
    upstream.inject({"fault": "status", "status": 429, "path": f"/{order_id}/resend", "times": 1})
    return direct(order_id)


def rotated(upstream: CertCentralEmulator, order_id: int) -> dict[str, Any]:
    """The key was rotated in CertCentral, and the function still has the old one."""
    body = {"errors": [{"code": "access_denied|access_denied_invalid_key", "message": "No."}]}
    upstream.inject({"fault": "status", "status": 403, "body": body, "path": f"/{order_id}/resend", "times": 1})
    return direct(order_id)


def reminder(_upstream: CertCentralEmulator, order_id: int) -> dict[str, Any]:
    return {"Records": [message(order_id, waiting_since=WAITING_SINCE, day=3)]}


def reminder_with_lost_response(upstream: CertCentralEmulator, order_id: int) -> dict[str, Any]:
    with_lost_response(upstream, order_id)
    return reminder(upstream, order_id)


def limited_reminder(upstream: CertCentralEmulator, order_id: int) -> dict[str, Any]:
    limited(upstream, order_id)
    return reminder(upstream, order_id)


@dataclass(frozen=True)
class Case:
    """A failing call in one kind of request, with the outcomes of the request, an immediate repeat and a late repeat.

    `mailed` is the number of emails after each of the three. Calls of the operation fail from the `nth` on.
    """

    name: str
    operation: str
    event_of: Event
    outcomes: tuple[str, str, str]
    mailed: tuple[int, int, int]
    nth: int = 1


# A claim that cannot be settled stands until its call has surely ended, and then nobody knows what became of it.
CLAIM_STAYS = ("ResendInProgress", "OutcomeUnknown")
# The next worker reports that, and then finds that the reminder was dealt with.
ATTEMPT_STAYS = ("ResendInProgress", "OutcomeUnknown, already_reminded")
REMINDED = ("sent", "already_reminded")
# Outcomes that acknowledge a message.
DONE = ("sent", "already_reminded", "OutcomeUnknown", ATTEMPT_STAYS[1])
SETTLE = 2
CASES = [
    Case("read the key", "GetSecretValue", plain, ("SecretUnavailable", "sent", "duplicate"), (0, 1, 1)),
    Case("read the key again", "GetSecretValue", rotated, ("SecretUnavailable", "sent", "duplicate"), (0, 1, 1), nth=2),
    Case("load the record", "GetItem", plain, ("SendRecordUnavailable", "sent", "duplicate"), (0, 1, 1)),
    Case("claim", "PutItem", plain, ("SendRecordUnavailable", "sent", "duplicate"), (0, 1, 1)),
    Case("settle as sent", "PutItem", plain, ("sent", *CLAIM_STAYS), (1, 1, 1), SETTLE),
    Case("settle as unknown", "PutItem", with_lost_response, ("OutcomeUnknown", *CLAIM_STAYS), (1, 1, 1), SETTLE),
    Case("settle as not sent", "PutItem", limited, ("RateLimited", *CLAIM_STAYS), (0, 0, 0), SETTLE),
    Case("load for a dry run", "GetItem", plan, ("SendRecordUnavailable", "planned", "planned"), (0, 0, 0)),
    Case("load for a reminder", "GetItem", reminder, ("SendRecordUnavailable", *REMINDED), (0, 1, 1)),
    Case("claim a reminder", "PutItem", reminder, ("SendRecordUnavailable", *REMINDED), (0, 1, 1)),
    Case("settle a reminder as sent", "PutItem", reminder, ("sent", *ATTEMPT_STAYS), (1, 1, 1), SETTLE),
    Case(
        "settle a reminder as unknown",
        *("PutItem", reminder_with_lost_response, ("OutcomeUnknown", *ATTEMPT_STAYS), (1, 1, 1), SETTLE),
    ),
    Case(
        "settle a reminder as not sent",
        *("PutItem", limited_reminder, ("RateLimited", *ATTEMPT_STAYS), (0, 0, 0), SETTLE),
    ),
    Case("delay the queue", "ChangeMessageVisibilityBatch", limited_reminder, ("RateLimited", *REMINDED), (0, 1, 1)),
]


@dataclass
class Deliveries:
    """One request that is delivered again: the outcome of each delivery, and the number of emails after it."""

    upstream: CertCentralEmulator
    order_id: int
    ask: dict[str, Any]
    invoke: Callable[..., Any]
    output: Callable[[], Any]
    outcomes: list[str] = field(default_factory=list)
    mailed: list[int] = field(default_factory=list)
    acknowledged: list[bool] = field(default_factory=list)

    def deliver(self) -> None:
        try:
            answer = self.invoke(self.ask)
            self.acknowledged.append(not answer.get("batchItemFailures"))
        except ResendError:
            self.acknowledged.append(False)
        lines = self.output().lines
        self.outcomes.append(", ".join(line["outcome"] for line in lines if line.get("message") == "audit"))
        self.mailed.append(self.upstream.mailings(self.order_id))


@pytest.fixture
def deliveries(
    upstream: CertCentralEmulator, invoke: Callable[..., Any], output: Callable[[], Any]
) -> Callable[[Event], Deliveries]:
    def about_a_new_order(event_of: Event) -> Deliveries:
        order_id = upstream.add_order(kind="dv", age_days=AGE_DAYS)["id"]
        return Deliveries(upstream, order_id, event_of(upstream, order_id), invoke, output)

    return about_a_new_order


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_failing_aws_call_has_the_tabulated_effect(
    deliveries: Callable[[Event], Deliveries], clock: Clock, case: Case, failure: Failure
) -> None:
    request = deliveries(case.event_of)

    with broken_aws(failure, case.operation, case.nth) as broken:
        request.deliver()
        broken.restore()
        request.deliver()
        clock.jump(SECONDS_UNTIL_A_CLAIM_IS_DEAD)
        request.deliver()

    assert (tuple(request.outcomes), tuple(request.mailed)) == (case.outcomes, case.mailed)
    if "Records" in request.ask:
        assert request.acknowledged == [outcome in DONE for outcome in request.outcomes]


@pytest.mark.parametrize("nth", [1, SETTLE], ids=["claim", "settle"])
@pytest.mark.parametrize("times", [1, ATTEMPTS], ids=["of the first attempt", "of both attempts"])
@pytest.mark.parametrize(
    ("event_of", "outcomes", "mailed"),
    [
        (plain, ["sent", "duplicate"], 1),
        (with_lost_response, ["OutcomeUnknown", "OutcomeUnknown"], 1),
        (limited, ["RateLimited", "sent"], 1),
        (reminder, ["sent", "already_reminded"], 1),
        (reminder_with_lost_response, ["OutcomeUnknown", "already_reminded"], 1),
        (limited_reminder, ["RateLimited", "sent"], 1),
    ],
)
def test_write_counts_although_its_response_is_lost(
    deliveries: Callable[[Event], Deliveries], event_of: Event, outcomes: list[str], mailed: int, times: int, nth: int
) -> None:
    """The SDK repeats the write, and DynamoDB rejects the repetition: the record is no longer what it replaces."""
    request = deliveries(event_of)

    with lost_responses("PutItem", nth, times):
        request.deliver()
    request.deliver()

    assert (request.outcomes, request.mailed[-1]) == (outcomes, mailed)


def waiting(url: str) -> int:
    name: Literal["ApproximateNumberOfMessages"] = "ApproximateNumberOfMessages"
    found = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(found["Attributes"][name])


@pytest.mark.parametrize("failure", ["failing", "silent", "unreachable"])
def test_report_that_cannot_be_published_fails_no_sweep(
    upstream: CertCentralEmulator, settings: Settings, invoke: Invoke, output: ReadOutput, failure: Failure
) -> None:
    settings(REPORT_TOPIC_ARN="arn:aws:sns:eu-west-1:123456789012:reports")
    upstream.add_orders(1, kind="dv", age_days=45)

    with broken_aws(failure, "Publish") as broken:
        summary = invoke({"action": "sweep"}, seconds=900)
        broken.restore()

    assert summary["stuck"] >= 1
    lines = [line for line in output().lines if str(line.get("message")).startswith("report")]
    assert [(line["level"], line["message"]) for line in lines] == [("ERROR", "report not published")]


@pytest.mark.parametrize("failure", FAILURES)
def test_queue_failing_during_sweep_gets_each_reminder_once(
    upstream: CertCentralEmulator, settings: Settings, invoke: Invoke, failure: Failure
) -> None:
    # A new queue, because a queue remembers deduplication IDs.
    url = boto3.client("sqs").create_queue(QueueName=f"{failure}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    settings(SWEEP_QUEUE_URL=url)
    # Ten fit into one call.
    upstream.add_orders(25, kind="dv", age_days=AGE_DAYS)

    with broken_aws(failure, "SendMessageBatch", nth=2) as broken:
        with pytest.raises(QueueUnavailable):
            invoke({"action": "sweep"}, seconds=900)
        assert waiting(url) == 10
        broken.restore()
        due = invoke({"action": "sweep"}, seconds=900)["due"]

    assert due >= 25
    assert waiting(url) == due
