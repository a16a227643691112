"""Batches of the reminder queue: an order's own error delays no other order, an account-wide one loses no reminder."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dv_resend import observability
from dv_resend.core.requests import Reminder, ResendRequest
from dv_resend.core.resend import ReminderResult
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    OrderNotEligible,
    OrderNotFound,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RequestRejected,
    ResendError,
    ResendInProgress,
)
from dv_resend.handlers.audit import Audit
from dv_resend.handlers.sqs import handle_batch
from unit import samples
from unit.fakes import FakeQueue
from unit.samples import error_of

OUTCOMES = ["sent", "already_reminded", "already_mailed", "not_due", "missed", "stuck"]


STOPPING = [kind for kind in ResendError.__subclasses__() if kind.scope == "account" or kind is ResendInProgress]
WITH_BACKOFF = [kind for kind in STOPPING if kind is not ResendInProgress]


class FakeRemind:
    """Stands in for the use case: records the order ids, and returns or raises what is set for an order id."""

    def __init__(self, outcomes: dict[int, Any] | None = None) -> None:
        self.outcomes = outcomes or {}
        self.order_ids: list[int] = []

    def __call__(self, reminder: Reminder, audit: Audit) -> ReminderResult:
        self.order_ids.append(reminder.order_id)
        audit.before_send(ResendRequest(reminder.order_id))
        outcome = self.outcomes.get(reminder.order_id, "sent")
        if isinstance(outcome, OutcomeUnknown):
            audit.failed(outcome)  # as `Invocation.on_unknown`
        if isinstance(outcome, BaseException):
            raise outcome
        return ReminderResult(reminder.order_id, outcome)


def message(number: int, *, body: str | None = None, receives: int = 1) -> dict[str, Any]:
    record = samples.message(number, receives, waiting_since="2026-11-20", day=3)
    return record if body is None else record | {"body": body}


def messages(count: int = 3, *, receives: int = 1) -> list[dict[str, Any]]:
    return [message(number, receives=receives) for number in range(1, count + 1)]


def handle(remind: Any, *records: dict[str, Any], queue: FakeQueue | None = None) -> list[int]:
    """Handle a batch; return the numbers of the messages to be delivered again."""
    answer = handle_batch({"Records": list(records)}, remind, queue or FakeQueue())
    assert answer.keys() == {"batchItemFailures"}
    assert json.loads(json.dumps(answer)) == answer
    return [int(failure["itemIdentifier"].removeprefix("message-")) for failure in answer["batchItemFailures"]]


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


def audits(output: Any) -> list[dict[str, Any]]:
    return [line for line in output().lines if line.get("message") == "audit"]


# Acknowledged messages


def test_reminder_is_read_from_the_message(queue):
    reminders = []

    def remind(reminder: Reminder, _audit: Audit) -> ReminderResult:
        reminders.append(reminder)
        return ReminderResult(reminder.order_id, "sent")

    handle(remind, message(1), message(2, body='{"order_id": "8"}'), queue=queue)

    assert reminders == [Reminder(1, date(2026, 11, 20), 3), Reminder(8)]


@pytest.mark.parametrize(
    "body",
    [
        *("", " ", "x", "null", "[]", "7", '"7"', "{", "[" * 100_000, '{"order_id": ' * 10_000, "1" * 5000),
        *("{}", '{"order_id": 0}', '{"order_id": "x"}', '{"order_id": 1, "force": true}', '{"order_id": 1, "day": 3}'),
        '{"Type": "Notification", "Message": "hello", "to": "jane.doe@example.com"}',
        '{"jane.doe@example.com": 1}',
        "Dear jane.doe@example.com",
    ],
    ids=lambda body: ascii(body)[:40],
)
def test_foreign_message_is_acknowledged_and_audited(output, queue, body):
    remind = FakeRemind()

    returned = handle(remind, message(1, body=body), message(2), queue=queue)

    foreign, ours = audits(output)
    assert (foreign["outcome"], foreign["event_source"], ours["outcome"]) == ("InvalidRequest", "queue", "sent")
    assert foreign["code"].startswith("invalid_request|")
    assert "jane.doe" not in str(foreign)
    assert (returned, remind.order_ids, queue.delayed) == ([], [2], [])


# Errors that stop the batch


@pytest.mark.parametrize("kind", STOPPING)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_error_of_account_scope_returns_the_rest_in_order(queue, kind, at):
    remind = FakeRemind({at: error_of(kind)})

    returned = handle(remind, *messages(), queue=queue)

    assert returned == list(range(at, 4))
    assert remind.order_ids == list(range(1, at + 1))
    ((delayed, _),) = queue.delayed
    assert delayed == [f"handle-{number}" for number in range(at, 4)]


def test_batch_stops_for_every_message_group():
    other_group = message(2)
    other_group["attributes"]["MessageGroupId"] = "another key"

    returned = handle(FakeRemind({1: RateLimited("x")}), message(1), other_group, message(3))

    assert returned == [1, 2, 3]


@pytest.mark.parametrize("receives", [1, 2])
@pytest.mark.parametrize("bug", [ValueError("x"), KeyError("x"), RecursionError("x"), MemoryError()], ids=ascii)
def test_bug_stops_the_batch_at_first(output, queue, bug, receives):
    remind = FakeRemind({2: bug})

    returned = handle(remind, *messages(receives=receives), queue=queue)

    assert (returned, remind.order_ids, len(queue.delayed)) == ([2, 3], [1, 2], 1)
    assert [line["outcome"] for line in audits(output)] == ["sent", "InternalError"]


@pytest.mark.parametrize("receives", [3, 4, 19])
def test_bug_after_three_receives_is_acknowledged(output, queue, receives):
    remind = FakeRemind({2: ValueError("x")})

    returned = handle(remind, message(1), message(2, receives=receives), message(3), queue=queue)

    assert (returned, remind.order_ids, queue.delayed) == ([], [1, 2, 3], [])
    assert [line["outcome"] for line in audits(output)] == ["sent", "InternalError", "sent"]


# Delays


@pytest.mark.parametrize(
    ("receives", "seconds"),
    [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 900), (7, 900), (20, 900), (1000, 900)],
)
@pytest.mark.parametrize("kind", WITH_BACKOFF)
def test_delay_doubles_with_each_receive(queue, kind, receives, seconds):
    handle(FakeRemind({1: error_of(kind)}), *messages(receives=receives), queue=queue)

    assert [seconds for _, seconds in queue.delayed] == [seconds]


def test_delay_counts_the_receives_of_the_failed_message(queue):
    records = [message(1, receives=5), message(2, receives=2), message(3, receives=9)]

    handle(FakeRemind({2: RateLimited("x")}), *records, queue=queue)

    assert queue.delayed == [(["handle-2", "handle-3"], 60)]


@pytest.mark.parametrize("retry_after", [1, 7, 3600, 86_400])
@pytest.mark.parametrize("receives", [1, 5, 9])
@pytest.mark.parametrize("kind", WITH_BACKOFF)
def test_delay_is_what_the_error_asks_for(queue, kind, receives, retry_after):
    handle(FakeRemind({1: error_of(kind, retry_after=retry_after)}), *messages(receives=receives), queue=queue)

    # Repeated short waits would use up the queue's receives within minutes.
    assert [seconds for _, seconds in queue.delayed] == [retry_after if receives <= 5 else max(retry_after, 900)]


@pytest.mark.parametrize("receives", [1, 9])
@pytest.mark.parametrize("retry_after", [None, 5, 600])
def test_delay_of_a_resend_in_progress_is_30_seconds(queue, receives, retry_after):
    error = ResendInProgress("x", retry_after=retry_after)

    handle(FakeRemind({1: error}), *messages(receives=receives), queue=queue)

    assert [seconds for _, seconds in queue.delayed] == [30]


def test_delay_of_a_bug_doubles_too(queue):
    handle(FakeRemind({1: ValueError("x")}), *messages(receives=2), queue=queue)

    assert [seconds for _, seconds in queue.delayed] == [60]


# Audit lines and metrics


def test_each_message_has_an_audit_line(output):
    remind = FakeRemind({2: error_of(OrderNotEligible), 3: "not_due", 4: RateLimited("x")})

    handle(remind, *messages(5))

    fields = ("order_id", "outcome", "event_source", "recipients", "reminder_day")
    assert [tuple(line[name] for name in fields) for line in audits(output)] == [
        (1, "sent", "queue", "default", 3),
        (2, "OrderNotEligible", "queue", "default", 3),
        (3, "not_due", "queue", "default", 3),
        (4, "RateLimited", "queue", "default", 3),
    ]


def test_unknown_outcome_that_was_reported_is_not_audited_again(output):
    remind = FakeRemind({1: OutcomeUnknown("x")})

    assert handle(remind, *messages(2)) == []

    assert [line["outcome"] for line in audits(output)] == ["OutcomeUnknown", "sent"]


# An order that keeps failing


BROKEN = CertCentralUnavailable("x", upstream_status=500)


@pytest.mark.parametrize("error", [BROKEN, PermissionDenied("x", upstream_status=403)], ids=["500", "403"])
def test_failing_order_is_dropped_if_the_next_succeeds(queue, error):
    returned = handle(FakeRemind({1: error}), *messages(3, receives=6), queue=queue)

    assert (returned, queue.delayed) == ([], [])


@pytest.mark.parametrize("error", [error_of(OrderNotEligible), OrderNotFound("x"), RequestRejected("x")], ids=ascii)
def test_failing_order_is_dropped_if_the_next_is_refused(queue, error):
    """A refusal shows too that CertCentral answers for other orders."""
    returned = handle(FakeRemind({1: BROKEN, 2: error}), *messages(2, receives=6), queue=queue)

    assert (returned, queue.delayed) == ([], [])


@pytest.mark.parametrize(
    ("outcomes", "receives"),
    [
        ({1: BROKEN}, 5),  # not for long yet
        ({1: BROKEN, 2: BROKEN}, 6),  # the next one fails too: an outage
        ({1: BROKEN, 2: "already_reminded", 3: "already_reminded"}, 6),  # CertCentral was not called
        ({1: BROKEN, 2: OutcomeUnknown("x"), 3: BROKEN}, 6),  # CertCentral may not have answered
        ({1: CertCentralUnavailable("x"), 2: "sent"}, 6),  # no response at all
        ({1: RateLimited("x", upstream_status=429), 2: "sent"}, 6),
        ({1: ApiKeyRejected("x", upstream_status=403), 2: "sent"}, 6),
    ],
)
def test_failing_order_is_kept_in_an_outage(queue, outcomes, receives):
    returned = handle(FakeRemind(outcomes), *messages(3, receives=receives), queue=queue)

    assert returned[0] == 1
    ((delayed, _),) = queue.delayed
    assert delayed[0] == "handle-1"


# Property


RESULTS = st.one_of(
    st.sampled_from(OUTCOMES),
    st.sampled_from([error_of(kind) for kind in ResendError.__subclasses__()]),
    st.just(ValueError("x")),
)


@settings(
    deadline=None, derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(RESULTS, st.integers(1, 5)), min_size=1, max_size=10))
def test_any_batch_is_handled_in_order_up_to_one_message(output, deliveries):
    numbered = list(enumerate(deliveries, 1))
    remind, queue = FakeRemind({number: result for number, (result, _) in numbered}), FakeQueue()

    returned = handle(remind, *(message(number, receives=receives) for number, (_, receives) in numbered), queue=queue)

    stops = [
        number
        for number, (result, receives) in numbered
        if type(result) in STOPPING or (isinstance(result, ValueError) and receives < 3)
    ]
    first = stops[0] if stops else len(deliveries) + 1
    assert returned == list(range(first, len(deliveries) + 1))
    assert remind.order_ids == list(range(1, min(first, len(deliveries)) + 1))
    assert len(queue.delayed) == bool(stops)
    assert len(audits(output)) == len(remind.order_ids)
    observability.metrics.clear_metrics()
