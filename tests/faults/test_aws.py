"""AWS throttled, failing, silent or away at each call that the function makes: nothing lost, nobody mailed twice."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from conftest import Output

from dv_resend.errors import QueueUnavailable, ResendError
from faults.aws import HOWS, How, broken_aws
from faults.conftest import Clock, direct, message
from faults.upstream import Upstream

AGE_DAYS = 3.2
ANCHOR = (dt.datetime.now(dt.UTC) - dt.timedelta(days=AGE_DAYS)).date().isoformat()


def plain(_upstream: Upstream, order_id: int) -> dict[str, Any]:
    return direct(order_id)


def plan(_upstream: Upstream, order_id: int) -> dict[str, Any]:
    return direct(order_id, dry_run=True)


def unheard(upstream: Upstream, order_id: int) -> dict[str, Any]:
    upstream.inject({"fault": "reset", "path": f"/{order_id}/resend", "times": 1, "mails": True})
    return direct(order_id)


def limited(upstream: Upstream, order_id: int) -> dict[str, Any]:
    upstream.inject({"fault": "status", "status": 429, "path": f"/{order_id}/resend", "times": 1})
    return direct(order_id)


def rotated(upstream: Upstream, order_id: int) -> dict[str, Any]:
    """The key was rotated in CertCentral; the function has the old one."""
    body = {"errors": [{"code": "access_denied|access_denied_invalid_key", "message": "No."}]}
    upstream.inject({"fault": "status", "status": 403, "body": body, "path": f"/{order_id}/resend", "times": 1})
    return direct(order_id)


def reminder(_upstream: Upstream, order_id: int) -> dict[str, Any]:
    return {"Records": [message(order_id, anchor=ANCHOR, day=3)]}


def unheard_reminder(upstream: Upstream, order_id: int) -> dict[str, Any]:
    unheard(upstream, order_id)
    return reminder(upstream, order_id)


def limited_reminder(upstream: Upstream, order_id: int) -> dict[str, Any]:
    limited(upstream, order_id)
    return reminder(upstream, order_id)


@dataclass(frozen=True)
class Case:
    """The call that breaks, in which kind of request; and what comes of it at first, at once again, and much later.

    `mailed` is how often somebody was mailed after each of the three. Of the calls of the operation break those from
    the `nth` on; `about` leaves out others: `{}` in it is the order.
    """

    name: str
    operation: str
    ask: Callable[[Upstream, int], dict[str, Any]]
    comes_to: tuple[str, str, str]
    mailed: tuple[int, int, int]
    nth: int = 1
    about: str = ""


# A claim that could be neither recorded nor given back stands as it was: in progress, then unknown.
STANDS = ("ResendInProgress", "OutcomeUnknown")
DOUBT = ("ClaimsUnavailable", "OutcomeUnknown", "OutcomeUnknown")
REMINDED = ("sent", "already_reminded")
# What ends a message of the queue.
DONE = ("sent", "already_reminded", "OutcomeUnknown")
CLAIM, RECORD = "owner", '"{}#'
CASES = [
    Case("read the key", "GetSecretValue", plain, ("SecretUnavailable", "sent", "duplicate"), (0, 1, 1)),
    Case("read the key anew", "GetSecretValue", rotated, ("SecretUnavailable", "sent", "duplicate"), (0, 1, 1), nth=2),
    Case("claim", "PutItem", plain, ("ClaimsUnavailable", "sent", "duplicate"), (0, 1, 1)),
    Case("record what was sent", "UpdateItem", plain, ("sent", *STANDS), (1, 1, 1)),
    Case("record what is unknown", "UpdateItem", unheard, ("OutcomeUnknown", *STANDS), (1, 1, 1)),
    Case("give the claim back", "DeleteItem", limited, ("RateLimited", *STANDS), (0, 0, 0)),
    Case("look at the claim", "GetItem", plan, ("ClaimsUnavailable", "planned", "planned"), (0, 0, 0)),
    Case("look for the record", "GetItem", reminder, ("ClaimsUnavailable", *REMINDED), (0, 1, 1)),
    Case("claim a reminder", "PutItem", reminder, ("ClaimsUnavailable", *REMINDED), (0, 1, 1), about=CLAIM),
    Case("record a reminder", "PutItem", reminder, ("ClaimsUnavailable", *REMINDED), (0, 1, 1), about=RECORD),
    Case("record a doubt", "PutItem", unheard_reminder, DOUBT, (1, 1, 1), about=RECORD, nth=2),
    Case("record a sent reminder", "UpdateItem", reminder, ("sent", *STANDS), (1, 1, 1)),
    Case(
        "give a reminder's claim back", "DeleteItem", limited_reminder, ("RateLimited", *STANDS), (0, 0, 0), about=CLAIM
    ),
    Case("take a record back", "DeleteItem", limited_reminder, ("RateLimited", *STANDS), (0, 0, 0), about=RECORD),
    Case("give both back", "DeleteItem", limited_reminder, ("RateLimited", *STANDS), (0, 0, 0)),
    Case("hold the line", "ChangeMessageVisibilityBatch", limited_reminder, ("RateLimited", *REMINDED), (0, 1, 1)),
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_failing_aws_call_has_the_tabulated_effect(
    upstream: Upstream,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    clock: Clock,
    case: Case,
    how: How,
) -> None:
    order_id = upstream.add_order(kind="dv", age_days=AGE_DAYS)["id"]
    ask, outcomes, mailed, acknowledged = case.ask(upstream, order_id), [], [], []

    with broken_aws(how, case.operation, case.nth, case.about.format(order_id)) as broken:
        for after in (lambda: broken.mended(), lambda: clock.jump(120), lambda: None):
            try:
                answer = invoke(ask)
                acknowledged.append(not answer.get("batchItemFailures"))
            except ResendError:
                acknowledged.append(False)
            outcomes.append(output().audit["outcome"])
            mailed.append(upstream.mailings(order_id))
            after()

    assert (tuple(outcomes), tuple(mailed)) == (case.comes_to, case.mailed)
    if "Records" in ask:
        assert acknowledged == [outcome in DONE for outcome in outcomes]


def waiting(url: str) -> int:
    name = "ApproximateNumberOfMessages"
    found = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(found["Attributes"][name])


@pytest.mark.parametrize("how", HOWS)
def test_queue_failing_during_sweep_gets_each_reminder_once(
    upstream: Upstream,
    settings: Callable[..., None],
    invoke: Callable[..., Any],
    how: How,
) -> None:
    # A new one: a queue remembers what it was sent.
    url = boto3.client("sqs").create_queue(QueueName=f"{how}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    settings(SWEEP_QUEUE_URL=url)
    # Ten fit into one call.
    upstream.add_orders(25, kind="dv", age_days=AGE_DAYS)

    with broken_aws(how, "SendMessageBatch", nth=2) as broken:
        with pytest.raises(QueueUnavailable):
            invoke({"action": "sweep"}, seconds=900)
        assert waiting(url) == 10
        broken.mended()
        due = invoke({"action": "sweep"}, seconds=900)["due"]

    assert due >= 25
    assert waiting(url) == due


@pytest.mark.parametrize("how", HOWS)
def test_a_sweep_that_cannot_go_on_by_itself_says_so(
    upstream: Upstream,  # noqa: ARG001
    invoke: Callable[..., Any],
    how: How,
) -> None:
    with broken_aws(how, "Invoke") as broken:
        # After the first page it has less time left than it wants for another.
        with pytest.raises(QueueUnavailable, match="by itself"):
            invoke({"action": "sweep"}, seconds=50)
        broken.mended()
