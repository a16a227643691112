"""The SQS door: one order's trouble does not hold up the next, the account's stops the line and loses nothing."""

import json
from datetime import date

import pytest
from conftest import SERVICE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dv_resend import observability
from dv_resend.core.requests import Reminder, ResendRequest
from dv_resend.core.resend import ReminderResult
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    InvalidRequest,
    OrderNotEligible,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RecipientNotAllowed,
    ResendError,
    ResendInProgress,
)
from dv_resend.handlers.sqs import handle_batch

OUTCOMES = ["sent", "duplicate", "already_reminded", "not_due", "stuck"]


def error_of(kind, **known):
    if kind is RecipientNotAllowed:
        return kind([("field", "x")])
    return kind("field", "x") if kind in (InvalidRequest, OrderNotEligible) else kind("x", **known)


STOPPING = [kind for kind in ResendError.__subclasses__() if kind.scope == "account" or kind is ResendInProgress]
PASSING = [kind for kind in ResendError.__subclasses__() if kind not in STOPPING]


class Queue:
    """Stands in for the queue: notes what is held, and for how long."""

    def __init__(self):
        self.held = []

    def hold(self, receipt_handles, seconds):
        self.held.append((list(receipt_handles), seconds))


class Remind:
    """Stands in for the use case: notes the reminders, and answers or raises what it is told to, by order id."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.seen = []

    def __call__(self, reminder, audit):
        self.seen.append(reminder.order_id)
        audit.before_send(ResendRequest(reminder.order_id))
        answer = self.answers.get(reminder.order_id, "sent")
        if isinstance(answer, BaseException):
            raise answer
        return ReminderResult(reminder.order_id, answer)


def message(number, *, body=None, receives=1):
    return {
        "messageId": f"message-{number}",
        "receiptHandle": f"handle-{number}",
        "body": json.dumps({"order_id": number, "anchor": "2026-11-20", "day": 3}) if body is None else body,
        "attributes": {"ApproximateReceiveCount": str(receives), "MessageGroupId": "certcentral"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }


def worked(remind, *messages, queue=None):
    """Work through a batch; give the numbers of the messages that are to come again."""
    answer = handle_batch({"Records": list(messages)}, remind, queue or Queue())
    assert answer.keys() == {"batchItemFailures"}
    assert json.loads(json.dumps(answer)) == answer
    return [int(failure["itemIdentifier"].removeprefix("message-")) for failure in answer["batchItemFailures"]]


def batch(count=3, **options):
    return [message(number, **options) for number in range(1, count + 1)]


@pytest.fixture(autouse=True)
def _clean():
    yield
    observability.metrics.clear_metrics()
    observability.logger.remove_keys(["upstream_status"])


def audits(output):
    return [line for line in output().lines if line.get("message") == "audit"]


# What is acknowledged


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_whatever_became_of_a_reminder_it_is_acknowledged(outcome):
    remind, queue = Remind({1: outcome, 2: outcome}), Queue()

    assert worked(remind, *batch(2), queue=queue) == []
    assert (remind.seen, queue.held) == ([1, 2], [])


def test_the_reminder_is_the_messages():
    seen = []

    handle_batch(
        {"Records": [message(1), message(2, body='{"order_id": "8"}')]},
        lambda reminder, _audit: seen.append(reminder) or ReminderResult(reminder.order_id, "sent"),
        Queue(),
    )

    assert seen == [Reminder(1, date(2026, 11, 20), 3), Reminder(8)]


@pytest.mark.parametrize("kind", PASSING)
def test_an_orders_own_trouble_is_acknowledged_and_the_next_has_its_turn(kind):
    remind, queue = Remind({2: error_of(kind)}), Queue()

    assert worked(remind, *batch(), queue=queue) == []
    assert (remind.seen, queue.held) == ([1, 2, 3], [])


@pytest.mark.parametrize(
    "body",
    [
        *("", " ", "x", "null", "[]", "7", '"7"', "{", "[" * 100_000, '{"order_id": ' * 10_000, "1" * 5000),
        *("{}", '{"order_id": 0}', '{"order_id": "x"}', '{"order_id": 1, "force": true}', '{"order_id": 1, "day": 3}'),
        '{"order_id": 1, "anchor": "soon", "day": 3}',
        '{"Type": "Notification", "Message": "hello", "to": "jane.doe@example.com"}',
        '{"jane.doe@example.com": 1}',
        "Dear jane.doe@example.com",
    ],
    ids=lambda body: ascii(body)[:40],
)
def test_a_message_that_is_none_of_ours_is_acknowledged_and_logged(output, body):
    remind, queue = Remind(), Queue()

    assert worked(remind, message(1, body=body), message(2), queue=queue) == []

    foreign, ours = audits(output)
    assert (foreign["outcome"], foreign["door"], ours["outcome"]) == ("InvalidRequest", "sqs", "sent")
    assert foreign["code"].startswith("invalid_request|")
    assert "jane.doe" not in str(foreign)
    assert (remind.seen, queue.held) == ([2], [])


def test_a_message_with_an_endless_day_is_none_of_ours():
    body = '{"order_id": 1, "anchor": "2026-11-20", "day": Infinity}'

    assert worked(Remind(), message(1, body=body), message(2)) == []


def test_an_order_that_is_validated_already_is_acknowledged_and_the_next_has_its_turn(output):
    remind, queue = Remind({1: OrderNotEligible("already_validated", "x")}), Queue()

    assert worked(remind, *batch(2), queue=queue) == []

    refused, sent = audits(output)
    assert (refused["outcome"], refused["code"]) == ("OrderNotEligible", "order_not_eligible|already_validated")
    assert sent["outcome"] == "sent"
    assert (remind.seen, queue.held) == ([1, 2], [])


# What stops the line


@pytest.mark.parametrize("kind", STOPPING)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_the_accounts_trouble_stops_the_line_there_and_returns_the_rest_in_order(kind, at):
    remind, queue = Remind({at: error_of(kind)}), Queue()

    assert worked(remind, *batch(), queue=queue) == list(range(at, 4))

    assert remind.seen == list(range(1, at + 1))
    ((held, _),) = queue.held
    assert held == [f"handle-{number}" for number in range(at, 4)]


def test_a_batch_that_fails_as_a_whole_is_no_error_of_the_function():
    assert worked(Remind({1: RateLimited("x")}), *batch(10)) == list(range(1, 11))


def test_the_line_is_stopped_for_every_group():
    other = message(2)
    other["attributes"]["MessageGroupId"] = "another key"

    assert worked(Remind({1: RateLimited("x")}), message(1), other, message(3)) == [1, 2, 3]


def test_what_failed_before_the_line_was_stopped_stays_acknowledged():
    remind = Remind({1: OutcomeUnknown("x"), 2: error_of(OrderNotEligible), 3: RateLimited("x")})

    assert worked(remind, *batch(5)) == [3, 4, 5]


@pytest.mark.parametrize("receives", [1, 2])
@pytest.mark.parametrize("bug", [ValueError("x"), KeyError("x"), RecursionError("x"), MemoryError()], ids=ascii)
def test_a_bug_stops_the_line_at_first(output, bug, receives):
    remind, queue = Remind({2: bug}), Queue()

    assert worked(remind, *batch(receives=receives), queue=queue) == [2, 3]

    assert remind.seen == [1, 2]
    assert len(queue.held) == 1
    assert [line["outcome"] for line in audits(output)] == ["sent", "InternalError"]


@pytest.mark.parametrize("receives", [3, 4, 19])
def test_a_bug_that_comes_again_and_again_is_the_messages_own_and_acknowledged(output, receives):
    remind, queue = Remind({2: ValueError("x")}), Queue()

    assert worked(remind, message(1), message(2, receives=receives), message(3), queue=queue) == []

    assert (remind.seen, queue.held) == ([1, 2, 3], [])
    assert [line["outcome"] for line in audits(output)] == ["sent", "InternalError", "sent"]


@pytest.mark.parametrize("receives", [3, 19])
def test_the_accounts_trouble_is_never_taken_for_the_messages_own(receives):
    assert worked(Remind({1: RateLimited("x")}), *batch(receives=receives)) == [1, 2, 3]


# For how long


@pytest.mark.parametrize(
    ("receives", "seconds"),
    [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 900), (7, 900), (20, 900), (1000, 900)],
)
@pytest.mark.parametrize("kind", [kind for kind in STOPPING if kind is not ResendInProgress])
def test_the_line_is_held_longer_with_each_receive(kind, receives, seconds):
    queue = Queue()

    worked(Remind({1: error_of(kind)}), *batch(receives=receives), queue=queue)

    assert [held for _, held in queue.held] == [seconds]


def test_the_line_is_held_by_the_receives_of_the_message_that_stopped_it():
    queue = Queue()

    worked(
        Remind({2: RateLimited("x")}),
        message(1, receives=5),
        message(2, receives=2),
        message(3, receives=9),
        queue=queue,
    )

    assert queue.held == [(["handle-2", "handle-3"], 60)]


@pytest.mark.parametrize("retry_after", [1, 7, 3600, 86_400])
@pytest.mark.parametrize("receives", [1, 5, 9])
@pytest.mark.parametrize("kind", [kind for kind in STOPPING if kind is not ResendInProgress])
def test_the_line_is_held_for_as_long_as_the_error_asks(kind, receives, retry_after):
    queue = Queue()

    worked(Remind({1: error_of(kind, retry_after=retry_after)}), *batch(receives=receives), queue=queue)

    # Short waits, asked for again and again, would use up the receives in minutes.
    assert [held for _, held in queue.held] == [retry_after if receives <= 5 else max(retry_after, 900)]


@pytest.mark.parametrize("receives", [1, 9])
@pytest.mark.parametrize("retry_after", [None, 5, 600])
def test_a_resend_in_progress_is_waited_for_briefly(receives, retry_after):
    queue = Queue()

    worked(Remind({1: ResendInProgress("x", retry_after=retry_after)}), *batch(receives=receives), queue=queue)

    assert [held for _, held in queue.held] == [30]


def test_a_bug_is_held_like_any_other_trouble():
    queue = Queue()

    worked(Remind({1: ValueError("x")}), *batch(receives=2), queue=queue)

    assert [held for _, held in queue.held] == [60]


# What an operator sees


def test_each_message_has_its_own_line(output):
    remind = Remind({2: error_of(OrderNotEligible), 3: "not_due", 4: RateLimited("x")})

    worked(remind, *batch(5))

    assert [(line["order_id"], line["outcome"], line["door"], line["recipients"]) for line in audits(output)] == [
        (1, "sent", "sqs", "default"),
        (2, "OrderNotEligible", "sqs", "default"),
        (3, "not_due", "sqs", "default"),
        (4, "RateLimited", "sqs", "default"),
    ]


def test_the_line_of_a_refused_order_says_why_and_of_which_reminder(output):
    worked(Remind({1: OrderNotEligible("needs_approval", "x")}), message(1))

    (line,) = audits(output)
    assert (line["code"], line["reminder_day"]) == ("order_not_eligible|needs_approval", 3)


def test_what_is_about_to_be_sent_is_announced(output):
    worked(Remind(), message(1))

    assert [(line["message"], line["order_id"]) for line in output().lines] == [("sending", 1), ("audit", 1)]


def test_what_certcentral_answered_to_one_is_not_told_of_the_next(output):
    def remind(reminder, _audit):
        if reminder.order_id == 1:
            observability.observe_upstream(204, 0.1)
        return ReminderResult(reminder.order_id, "sent" if reminder.order_id == 1 else "already_reminded")

    worked(remind, *batch(2))

    assert [line.get("upstream_status") for line in audits(output)] == [204, None]


def test_each_message_is_counted(output):
    answers = {2: "duplicate", 3: error_of(OrderNotEligible), 4: "stuck", 5: "not_due"}
    validated = {6: OrderNotEligible("already_validated", "x"), 7: OrderNotEligible("already_validated", "x")}
    remind = Remind(answers | validated | {8: RateLimited("x")})

    worked(remind, *batch(9))
    observability.flush()

    counted = output().metrics
    assert {name: [emission["value"] for emission in found] for name, found in counted.items()} == {
        "ResendSent": [1],
        "ResendDuplicate": [1],
        "StuckOrders": [1],
        "AlreadyValidated": [[1, 1]],
        "RateLimited": [1],
        # By reason, then in all. An order that an email cannot help is no failure: nobody has asked for one.
        "ResendFailed": [1, 1],
    }
    assert [emission["dimensions"].get("reason") for emission in counted["ResendFailed"]] == ["RateLimited", None]
    assert {emission["dimensions"]["service"] for emission in counted["ResendFailed"]} == {SERVICE}


# One order that CertCentral cannot answer for


BROKEN = CertCentralUnavailable("x", upstream_status=500)


@pytest.mark.parametrize("error", [BROKEN, PermissionDenied("x", upstream_status=403)], ids=["500", "403"])
def test_an_order_that_fails_for_long_is_let_go_once_its_successor_gets_through(error):
    queue = Queue()

    returned = worked(Remind({1: error}), *batch(3, receives=6), queue=queue)

    assert (returned, queue.held) == ([], [])


@pytest.mark.parametrize(
    ("outcomes", "receives"),
    [
        ({1: BROKEN}, 5),  # not for long yet
        ({1: BROKEN, 2: BROKEN}, 6),  # its successor too: an outage
        ({1: BROKEN, 2: "already_reminded", 3: "already_reminded"}, 6),  # nobody asked CertCentral
        ({1: CertCentralUnavailable("x"), 2: "sent"}, 6),  # no answer at all
        ({1: RateLimited("x", upstream_status=429), 2: "sent"}, 6),
        ({1: ApiKeyRejected("x", upstream_status=403), 2: "sent"}, 6),
    ],
)
def test_in_an_outage_no_order_is_let_go(outcomes, receives):
    queue = Queue()

    returned = worked(Remind(outcomes), *batch(3, receives=receives), queue=queue)

    assert returned[0] == 1
    assert len(queue.held) == 1
    assert queue.held[0][0][0] == "handle-1"


# Property


ANSWERS = st.one_of(
    st.sampled_from(OUTCOMES),
    st.sampled_from([error_of(kind) for kind in ResendError.__subclasses__()]),
    st.just(ValueError("x")),
)


@settings(
    deadline=None, derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(ANSWERS, st.integers(1, 5)), min_size=1, max_size=10))
def test_of_any_batch_a_head_is_done_in_order_and_the_rest_comes_again_whole(output, deliveries):
    remind = Remind({number: answer for number, (answer, _) in enumerate(deliveries, 1)})
    queue = Queue()
    messages = [message(number, receives=receives) for number, (_, receives) in enumerate(deliveries, 1)]

    returned = worked(remind, *messages, queue=queue)

    stops = [
        number
        for number, (answer, receives) in enumerate(deliveries, 1)
        if type(answer) in STOPPING or (isinstance(answer, ValueError) and receives < 3)
    ]
    first = stops[0] if stops else len(deliveries) + 1
    assert returned == list(range(first, len(deliveries) + 1))
    assert remind.seen == list(range(1, min(first, len(deliveries)) + 1))
    assert len(queue.held) == bool(stops)
    assert len(audits(output)) == len(remind.seen)
    observability.metrics.clear_metrics()
