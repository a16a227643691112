"""`sweep`: the summary, what becomes of the reminders, and how to go on after an error."""

import json
from typing import Any, get_args, get_type_hints

import pytest
from botocore import exceptions

from cli.conftest import CALLER, OUTPUTS, STARTED_AT, Clock, FakeAws, Run, refused
from dev.pages import rows_of
from dv_resend.core.resend import ReminderResult
from dv_resend_cli import sweep

SUMMARY: dict[str, Any] = {
    "listed": 24,
    "pending_dv": 12,
    "due": 2,
    "enqueued": 2,
    "stuck": 0,
    "oldest_days": 45,
    "by_status": {"pending": 22, "reissue_pending": 2},
    "stuck_orders": [],
}
HEAD = [
    "24 orders listed: 22 pending, 2 reissue_pending",
    "12 pending DV orders, the oldest 45 d",
    "2 reminders due, 2 queued",
]


class Worker:
    """The worker of the reminders, as its queue and its log show it. `log` has its lines, by the second they appear."""

    def __init__(self, aws: FakeAws, clock: Clock) -> None:
        self.log: list[tuple[float, dict[str, Any]]] = []
        self.empty_at = 0.0
        self._clock = clock
        aws.function_returns(SUMMARY)
        aws.answer("sqs", "get_queue_attributes", self._attributes)
        aws.answer("logs", "filter_log_events", self._events)
        aws.answer("lambda", "get_event_source_mapping", {"State": "Enabled"})

    def does(self, second: float, order_id: int, outcome: str, *, late: float = 0, **fields: Any) -> None:
        """Write a line, which appears in the log so many seconds `late`."""
        line = {"message": "audit", "event_source": "queue", "order_id": order_id, "outcome": outcome}
        line["at"] = STARTED_AT + second
        self.log.append((second + late, line | {"reminder_day": 3} | fields))
        self.empty_at = max(self.empty_at, second)

    def _attributes(self, **_: Any) -> dict[str, Any]:
        waiting = "1" if self._clock.now < self.empty_at else "0"
        return {"Attributes": {"ApproximateNumberOfMessages": waiting}}

    def _events(self, **call: Any) -> dict[str, Any]:
        """Answer one line a page."""
        shown = [line for second, line in self.log if second <= self._clock.now]
        lines = [line for line in shown if line["at"] * 1000 >= call["startTime"]]
        number = int(call.get("nextToken", 0))
        page: dict[str, Any] = {
            "events": [{"timestamp": line["at"] * 1000, "message": json.dumps(line)} for line in lines[number:][:1]]
        }
        return page | ({"nextToken": str(number + 1)} if number + 1 < len(lines) else {})


@pytest.fixture
def worker(aws: FakeAws, clock: Clock) -> Worker:
    clock.runs(sweep)
    return Worker(aws, clock)


@pytest.mark.usefixtures("worker")
def test_dry_run_shows_the_plan_and_watches_nothing(aws: FakeAws, run: Run) -> None:
    plan = [
        {"order_id": 7, "name": "a.test", "waiting_since": "2026-11-20", "day": 3},
        {"order_id": 8, "name": "b.test"},
    ]
    aws.function_returns(SUMMARY | {"due": 3, "enqueued": 0, "plan": plan})

    result = run("sweep", "--dry-run", "--offset", 2000)

    assert aws.events == [{"action": "sweep", "dry_run": True, "offset": 2000, "requested_by": CALLER}]
    assert result.stdout.splitlines() == [
        "ORDER  NAME    REMINDER",
        "7      a.test  day 3",
        "8      b.test  reissue",
        "and 1 more",
        "",
        *HEAD[:2],
        "3 reminders due, a dry run queues none",
    ]
    assert result.exit_code == 0


def test_reminders_are_shown_until_the_queue_is_empty(aws: FakeAws, run: Run, worker: Worker, clock: Clock) -> None:
    worker.does(2, 7, "RateLimited", code="request_limit_exceeded")
    worker.does(302, 7, "sent")
    worker.does(303, 8, "OrderNotEligible", code="order_not_eligible|not_email_dcv")

    result = run("sweep")

    assert result.stdout.splitlines() == [
        *HEAD,
        "7  day 3    not sent yet: RateLimited, it is tried again",
        "7  day 3    sent",
        "8  day 3    not sent: it is not validated by email",
        "The queue is empty: 1 sent, 1 not sent",
    ]
    assert (result.stderr, result.exit_code, clock.now) == ("", 0, 303)
    (invoked,) = [arguments["FunctionName"] for _, name, arguments in aws.calls if name == "invoke"]
    assert invoked == OUTPUTS["SweepFunctionAliasArn"]


def test_stuck_orders_are_shown_with_what_to_do(aws: FakeAws, run: Run) -> None:
    aws.function_returns(SUMMARY | {"stuck": 3, "stuck_orders": [7, 8]})

    lines = run("sweep", "--no-watch").stdout.splitlines()

    assert lines[3] == "3 stuck orders: 7, 8 and 1 more"
    assert "`dv-resend explain ORDER_ID` says what may help." in lines


def test_repeat_shows_what_the_earlier_sweep_did(run: Run, worker: Worker, clock: Clock) -> None:
    worker.does(1, 5, "sent")
    worker.does(2, 7, "sent")
    worker.does(3, 8, "already_mailed")
    clock.now = 60

    result = run("sweep")

    assert result.stdout.splitlines()[3:] == [
        "An earlier sweep has queued these in the last five minutes, and SQS drops a repeat:",
        "7  day 3    sent",
        "8  day 3    not sent: somebody was mailed so recently that it would help nobody",
        "The queue is empty: nobody was mailed",
    ]
    assert result.exit_code == 0


def test_outcome_that_the_log_shows_late_is_shown(run: Run, worker: Worker) -> None:
    worker.does(30, 7, "sent")
    worker.does(20, 8, "sent", late=40)

    assert run("sweep").stdout.splitlines()[-1] == "The queue is empty: 2 sent"


def test_reminders_of_another_sweep_do_not_end_the_watch(run: Run, worker: Worker, clock: Clock) -> None:
    worker.does(1, 5, "sent")
    worker.does(1, 6, "sent")
    clock.now = 60
    # The queue seems to be empty all the time: SQS counts with a delay.
    worker.does(60, 7, "sent", late=3)
    worker.does(60, 8, "sent", late=4)

    assert run("sweep").stdout.splitlines()[-1] == "The queue is empty: 2 sent"


def test_reminder_without_an_outcome_is_counted(run: Run, worker: Worker) -> None:
    worker.does(1, 7, "sent")

    result = run("sweep")

    assert "The log does not say what became of 1 reminder." in result.stdout


@pytest.mark.parametrize(
    ("outcome", "end", "code"),
    [
        ("OutcomeUnknown", "1 unknown", 5),
        ("RequestRejected", "1 not sent", 3),
        ("RateLimited", "1 not sent yet", 4),
        ("InternalError", "1 not sent yet", 1),
    ],
)
def test_exit_code_is_the_highest_of_the_reminders(run: Run, worker: Worker, outcome: str, end: str, code: int) -> None:
    worker.does(1, 7, outcome)
    worker.does(1, 8, "sent")

    result = run("sweep")

    assert result.stdout.splitlines()[-1] == f"The queue is empty: 1 sent, {end}"
    assert result.exit_code == code


def test_json_has_summary_and_reminders(run: Run, worker: Worker, clock: Clock) -> None:
    worker.does(1, 7, "sent")
    clock.now = 60
    worker.does(61, 8, "missed", duration_ms=5)

    answer = json.loads(run("sweep", "--json").stdout)

    assert answer == SUMMARY | {
        "reminders": [{"order_id": 8, "reminder_day": 3, "outcome": "missed"}],
        "queued_earlier": [{"order_id": 7, "reminder_day": 3, "outcome": "sent"}],
        "waiting": 0,
    }


def test_nothing_due_ends_at_once(aws: FakeAws, run: Run, worker: Worker) -> None:
    worker.empty_at = 1000
    aws.function_returns(SUMMARY | {"due": 0, "enqueued": 0})

    assert run("sweep").stdout.splitlines()[-1] == "0 reminders due, 0 queued"


@pytest.mark.parametrize(
    ("mapping", "name"), [({"State": "Disabled"}, "SendingStopped"), (refused("AccessDeniedException", 403), None)]
)
def test_stopped_worker_ends_the_watch(aws: FakeAws, run: Run, worker: Worker, mapping: Any, name: str | None) -> None:
    worker.does(5, 7, "sent")
    worker.does(5, 8, "sent")
    aws.answer("lambda", "get_event_source_mapping", mapping)

    result = run("sweep")

    assert result.exit_code == (4 if name else 0)
    assert result.stderr.startswith(f"{name}: All sending is stopped: the reminders wait, 1 in all" if name else "")


# ---------------------------------------------------------------- errors

OUT_OF_TIME = (
    'The sweep ran out of time after 9 orders (5 reminders queued). Resume it with {"action": "sweep", "offset"'
)


@pytest.mark.parametrize(
    ("options", "error", "message", "advice", "exit_code"),
    [
        ([], "CertCentralUnavailable", f"{OUT_OF_TIME}: 9}}.", "`dv-resend sweep --offset 9`", 4),
        (["--dry-run"], "CertCentralUnavailable", f"{OUT_OF_TIME}: 9}}.", "`dv-resend sweep --dry-run --offset 9`", 4),
        ([], "RateLimited", "Too many.", "What was queued before stays queued.", 4),
        ([], "SendingPaused", "Sending is switched off.", "SENDING=off", 4),
        ([], "ApiKeyRejected", "No.", "runs `dv-resend set-key`", 6),
        ([], "Sandbox.Timedout", "Task timed out after 300.00 seconds", "may go on for up to five minutes", 4),
    ],
)
@pytest.mark.usefixtures("worker")
def test_failed_sweep_says_how_to_go_on(
    aws: FakeAws, run: Run, options: list[str], error: str, message: str, advice: str, exit_code: int
) -> None:
    aws.function_fails(error, message)

    result = run("sweep", *options)

    assert message in result.stderr
    assert advice in result.stderr.splitlines()[1]
    assert (result.stdout, result.exit_code) == ("", exit_code)


@pytest.mark.usefixtures("worker")
def test_interrupted_call_says_that_the_sweep_may_go_on(aws: FakeAws, run: Run) -> None:
    aws.answer("lambda", "invoke", KeyboardInterrupt())

    result = run("sweep")

    assert result.stderr.startswith("Interrupted: stopped by Ctrl-C, but the sweep may go on")
    assert result.exit_code == 130


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_interrupt_stops_watching_only(run: Run, worker: Worker, clock: Clock, options: list[str]) -> None:
    worker.does(1, 7, "sent")
    worker.does(9, 8, "sent")
    clock.interrupt_at = 5

    result = run("sweep", *options)

    assert result.stderr.startswith("Stopped watching. The sweep goes on")
    assert result.exit_code == 130
    if options:
        answer = json.loads(result.stdout)
        assert ([line["order_id"] for line in answer["reminders"]], answer["waiting"]) == ([7], 1)
    else:
        assert result.stdout.splitlines() == [*HEAD, "7  day 3    sent"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_lost_network_while_watching_says_that_the_sweep_is_done(
    aws: FakeAws, run: Run, worker: Worker, clock: Clock, options: list[str]
) -> None:
    worker.does(1, 8, "sent")
    worker.does(9, 7, "sent")
    clock.at(5, lambda: aws.answer("sqs", "get_queue_attributes", exceptions.EndpointConnectionError(endpoint_url="x")))

    result = run("sweep", *options)

    if options:
        answer = json.loads(result.stdout)
        error = answer["error"]
        assert (answer["enqueued"], [line["order_id"] for line in answer["reminders"]]) == (2, [8])
    else:
        name, advice = result.stderr.splitlines()
        error = {"name": name.partition(":")[0], "advice": advice}
    assert error["name"] == "NetworkUnavailable"
    assert "The sweep itself is done" in error["advice"]
    assert result.exit_code == 4


def test_missing_permission_to_watch_is_found_before_the_sweep(aws: FakeAws, run: Run) -> None:
    aws.answer("logs", "filter_log_events", refused("AccessDeniedException", 403))

    assert run("sweep").exit_code == 6
    assert aws.events == []


# ---------------------------------------------------------------- the functions' words


def test_every_outcome_of_a_reminder_has_words() -> None:
    outcomes = get_args(get_type_hints(ReminderResult)["outcome"])

    assert sweep.OUTCOMES.keys() == {*outcomes, "OutcomeUnknown"}


def test_every_reason_of_an_order_that_is_not_eligible_has_words() -> None:
    reasons = {row[0].strip("`") for row in rows_of("docs/reference.md", "Reasons of OrderNotEligible")}

    assert sweep.NOT_ELIGIBLE.keys() == reasons


# ---------------------------------------------------------------- orders that are not DV


def test_line_about_a_domain_is_no_reminder(run: Run, worker: Worker) -> None:
    """What became of one domain is no end of the reminder, which may have others."""
    worker.does(2, 7, "sent", domain="a.test", domain_id=1)
    worker.does(2, 8, "sent")
    worker.does(40, 7, "RateLimited", domain="b.test", domain_id=2)
    worker.does(40, 7, "RateLimited", domains=["a.test: sent", "b.test: RateLimited"])
    worker.does(90, 7, "sent", domains=["a.test: duplicate", "b.test: sent"])

    result = run("sweep")

    assert result.stdout.splitlines()[len(HEAD) :] == [
        "8  day 3    sent",
        "7  day 3    not sent yet: RateLimited, it is tried again (a.test: sent, b.test: RateLimited)",
        "7  day 3    sent (a.test: duplicate, b.test: sent)",
        "The queue is empty: 2 sent",
    ]


@pytest.mark.usefixtures("worker")
def test_summary_counts_orders_of_other_types(aws: FakeAws, run: Run) -> None:
    plan = [{"order_id": 7, "name": "a.test", "waiting_since": "2026-11-20", "day": 3, "by_domain": True}]
    aws.function_returns(SUMMARY | {"due": 1, "enqueued": 0, "plan": plan, "pending_other": 5})

    lines = run("sweep", "--dry-run").stdout.splitlines()

    assert lines[1] == "7      a.test  day 3"
    assert lines[4] == "12 pending DV orders and 5 of other types, the oldest 45 d"


def test_repeat_says_that_this_sweep_mailed_nobody(run: Run, worker: Worker, clock: Clock) -> None:
    worker.does(2, 7, "sent", domains=["a.test: sent"])
    worker.does(3, 8, "OutcomeUnknown", domains=["b.test: OutcomeUnknown"])
    clock.now = 60

    assert run("sweep").stdout.splitlines()[-3:] == [
        "7  day 3    sent (a.test: sent)",
        "8  day 3    unknown: the email may or may not have been sent (b.test: OutcomeUnknown)",
        "The queue is empty: this sweep mailed nobody",
    ]
