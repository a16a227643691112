"""Each of the function's calls to AWS is throttled, fails or hangs: no reminder is lost, no email is sent twice."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import boto3
import pytest

from dev.emulator import CertCentralEmulator
from dv_resend.errors import QueueUnavailable, ResendError
from faults.aws import FAILURES, Failure, broken_aws
from faults.conftest import Clock, Invoke, ReadOutput, Settings, direct, message

AGE_DAYS = 3.2
WAITING_SINCE = (dt.datetime.now(dt.UTC) - dt.timedelta(days=AGE_DAYS)).date().isoformat()


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

    `mailed` is the number of emails after each of the three. Calls of the operation fail from the `nth` on. If `about`
    is set, only calls that contain it count; `{}` in it stands for the order.
    """

    name: str
    operation: str
    event_of: Callable[[CertCentralEmulator, int], dict[str, Any]]
    outcomes: tuple[str, str, str]
    mailed: tuple[int, int, int]
    nth: int = 1
    about: str = ""


# A claim that can be neither settled nor released stays as it is: in progress, then unknown.
CLAIM_STAYS = ("ResendInProgress", "OutcomeUnknown")
UNKNOWN_REMINDER = ("SendRecordUnavailable", "OutcomeUnknown", "OutcomeUnknown")
REMINDED = ("sent", "already_reminded")
# Outcomes that acknowledge a message.
DONE = ("sent", "already_reminded", "OutcomeUnknown")
CLAIM, RECORD = "owner", '"{}#'
CASES = [
    Case("read the key", "GetSecretValue", plain, ("SecretUnavailable", "sent", "duplicate"), (0, 1, 1)),
    Case("read the key again", "GetSecretValue", rotated, ("SecretUnavailable", "sent", "duplicate"), (0, 1, 1), nth=2),
    Case("claim", "PutItem", plain, ("SendRecordUnavailable", "sent", "duplicate"), (0, 1, 1)),
    Case("record what was sent", "UpdateItem", plain, ("sent", *CLAIM_STAYS), (1, 1, 1)),
    Case("record what is unknown", "UpdateItem", with_lost_response, ("OutcomeUnknown", *CLAIM_STAYS), (1, 1, 1)),
    Case("release the claim", "DeleteItem", limited, ("RateLimited", *CLAIM_STAYS), (0, 0, 0)),
    Case("read the claim", "GetItem", plan, ("SendRecordUnavailable", "planned", "planned"), (0, 0, 0)),
    Case("read the reminder record", "GetItem", reminder, ("SendRecordUnavailable", *REMINDED), (0, 1, 1)),
    Case("claim a reminder", "PutItem", reminder, ("SendRecordUnavailable", *REMINDED), (0, 1, 1), about=CLAIM),
    Case("record a reminder", "PutItem", reminder, ("SendRecordUnavailable", *REMINDED), (0, 1, 1), about=RECORD),
    Case(
        "record an unknown reminder",
        "PutItem",
        reminder_with_lost_response,
        UNKNOWN_REMINDER,
        (1, 1, 1),
        about=RECORD,
        nth=2,
    ),
    Case("record a sent reminder", "UpdateItem", reminder, ("sent", *CLAIM_STAYS), (1, 1, 1)),
    Case(
        "release a reminder's claim",
        "DeleteItem",
        limited_reminder,
        ("RateLimited", *CLAIM_STAYS),
        (0, 0, 0),
        about=CLAIM,
    ),
    Case(
        "remove a reminder record",
        "DeleteItem",
        limited_reminder,
        ("RateLimited", *CLAIM_STAYS),
        (0, 0, 0),
        about=RECORD,
    ),
    Case("release claim and record", "DeleteItem", limited_reminder, ("RateLimited", *CLAIM_STAYS), (0, 0, 0)),
    Case("delay the queue", "ChangeMessageVisibilityBatch", limited_reminder, ("RateLimited", *REMINDED), (0, 1, 1)),
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_failing_aws_call_has_the_tabulated_effect(
    upstream: CertCentralEmulator, invoke: Invoke, output: ReadOutput, clock: Clock, case: Case, failure: Failure
) -> None:
    order_id = upstream.add_order(kind="dv", age_days=AGE_DAYS)["id"]
    ask, outcomes, mailed, acknowledged = case.event_of(upstream, order_id), [], [], []

    with broken_aws(failure, case.operation, case.nth, case.about.format(order_id)) as broken:
        for after in (lambda: broken.restore(), lambda: clock.jump(120), lambda: None):
            try:
                answer = invoke(ask)
                acknowledged.append(not answer.get("batchItemFailures"))
            except ResendError:
                acknowledged.append(False)
            outcomes.append(output().audit["outcome"])
            mailed.append(upstream.mailings(order_id))
            after()

    assert (tuple(outcomes), tuple(mailed)) == (case.outcomes, case.mailed)
    if "Records" in ask:
        assert acknowledged == [outcome in DONE for outcome in outcomes]


def waiting(url: str) -> int:
    name: Literal["ApproximateNumberOfMessages"] = "ApproximateNumberOfMessages"
    found = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(found["Attributes"][name])


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
