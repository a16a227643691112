"""`chase`: one execution of an order at a time, what happens in it, and how it ends."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore import exceptions

from cli.conftest import OUTPUTS, Clock, FakeAws, Run, refused
from dev.local.template import ROOT
from dv_resend_cli import chase

ARN = "arn:aws:states:eu-west-1:123456789012:execution:chase:"
WORKFLOW: dict[str, Any] = json.loads((ROOT / "src/workflows/chase.asl.json").read_text())
START = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)
ISSUED = {"order_id": 7, "result": "issued", "sends": [{"outcome": "sent"}, {"outcome": "duplicate"}], "checks": 2}


class StepFunctions:
    """The executions of the state machine, by name. One that runs ends as `end` says, when its events are over."""

    def __init__(self, aws: FakeAws, clock: Clock) -> None:
        self.executions: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.end: dict[str, Any] = {"status": "SUCCEEDED", "output": json.dumps(ISSUED)}
        self._clock = clock
        for operation in ("start_execution", "describe_execution", "stop_execution", "get_execution_history"):
            aws.answer("stepfunctions", operation, getattr(self, operation))

    def happens(self, second: float, **details: Any) -> None:
        moment = START + timedelta(seconds=second)
        self.events.append((second, {"id": len(self.events) + 1, "timestamp": moment, **details}))

    def enters(self, second: float, *states: str) -> None:
        for state in states:
            self.happens(second, stateEnteredEventDetails={"name": state})

    def answers(self, second: float, **result: Any) -> None:
        self.happens(second, taskSucceededEventDetails={"output": json.dumps({"Payload": result})})

    def fails(self, second: float, error: str, cause: str) -> None:
        self.happens(second, taskFailedEventDetails={"error": error, "cause": cause})

    def has(self, name: str, status: str, chased: str = '{"order_id": 7}') -> None:
        self.executions[name] = {"executionArn": ARN + name, "status": status, "input": chased}

    def start_execution(self, **call: Any) -> dict[str, Any]:
        assert call["stateMachineArn"] == OUTPUTS["ChaseStateMachineArn"]
        if call["name"] in self.executions:
            raise refused("ExecutionAlreadyExists")
        self.has(call["name"], "RUNNING", call["input"])
        return {}

    def describe_execution(self, **call: Any) -> dict[str, Any]:
        found = self.executions.get(call["executionArn"].removeprefix(ARN))
        if found is None:
            raise refused("ExecutionDoesNotExist")
        is_over = self.events and self._clock.now >= self.events[-1][0]
        return found | (self.end if is_over and found["status"] == "RUNNING" else {})

    def stop_execution(self, **call: Any) -> dict[str, Any]:
        self.executions[call["executionArn"].removeprefix(ARN)]["status"] = "ABORTED"
        return {}

    def get_execution_history(self, **call: Any) -> dict[str, Any]:
        """Answer two events a page, the newest first."""
        assert call["reverseOrder"]
        events = [event for second, event in self.events if second <= self._clock.now][::-1]
        first = int(call.get("nextToken", 0))
        page: dict[str, Any] = {"events": events[first : first + 2]}
        return page | ({"nextToken": str(first + 2)} if first + 2 < len(events) else {})


@pytest.fixture
def states(aws: FakeAws, clock: Clock) -> StepFunctions:
    clock.runs(chase)
    return StepFunctions(aws, clock)


def test_chase_is_shown_until_the_certificate_is_issued(run: Run, states: StepFunctions) -> None:
    states.enters(0, "Prepare", "CheckInput", "Resend")
    states.fails(1, "RateLimited", '{"errorMessage": "Too many."}')
    states.answers(2, outcome="sent", sent_at="2026-11-23T15:04:07Z")
    states.enters(2, "WaitForValidation")
    states.enters(12, "CheckStatus")
    states.fails(12, "Lambda.TooManyRequestsException", "Rate exceeded")
    states.answers(12, status="pending")
    states.enters(12, "Decide", "NextReminder", "Resend")
    states.answers(12, outcome="duplicate", sent_at="2026-11-23T15:04:07Z")
    states.enters(12, "WaitForValidation")
    states.enters(5412, "CheckStatus")
    states.answers(5412, status="issued")

    result = run("chase", 7, "--waits", "10s,1.5")

    assert result.stdout.splitlines() == [
        "The chase of order 7 has started",
        f"{ARN}order-7",
        "2026-11-23T15:04:06Z  Resend: RateLimited: Too many. It is tried again.",
        "2026-11-23T15:04:07Z  Resend: sent",
        "2026-11-23T15:04:07Z  Waiting 10 s, until 2026-11-23T15:04:17Z",
        "2026-11-23T15:04:17Z  Status: Lambda.TooManyRequestsException: Rate exceeded. It is tried again.",
        "2026-11-23T15:04:17Z  Status: pending",
        "2026-11-23T15:04:17Z  Resend: duplicate, nobody was mailed; the last email was sent at 2026-11-23T15:04:07Z",
        "2026-11-23T15:04:17Z  Waiting 90 min, until 2026-11-23T16:34:17Z",
        "2026-11-23T16:34:17Z  Status: issued",
        "Order 7: issued",
        "Resends: 1 sent, 1 duplicate",
    ]
    assert (result.stderr, result.exit_code) == ("", 0)


def test_chase_has_the_input_of_its_options(run: Run, states: StepFunctions) -> None:
    run("chase", 7, "--waits", "24,3d,30m", "--to", "a.test=admin@a.test", "--locale", "de", "--no-watch")

    recipients = [{"domain": "a.test", "email": "admin@a.test"}]
    expected = {"order_id": 7, "waits_hours": [24, 72, 0.5], "domain_approval_emails": recipients, "locale": "de"}
    assert json.loads(states.executions["order-7"]["input"]) == expected


def test_chase_without_options_leaves_the_waits_to_the_workflow(run: Run, states: StepFunctions) -> None:
    states.enters(0, "WaitForValidation")

    result = run("chase", 7)

    assert states.executions["order-7"]["input"] == '{"order_id": 7}'
    assert "Waiting 1 d, until" in result.stdout


THROTTLED = '{"__type": "TooManyRequestsException", "message": "Rate Exceeded"}'


def test_chase_while_sending_is_stopped_is_readable(aws: FakeAws, run: Run, states: StepFunctions) -> None:
    aws.answer("lambda", "get_function_concurrency", {"ReservedConcurrentExecutions": 0})
    states.enters(0, "Resend")
    states.fails(1, "Lambda.Unknown", THROTTLED)
    states.fails(2, "Lambda.Unknown", "Killed.")

    result = run("chase", 7)

    assert result.stderr.startswith("All sending is stopped: resend has a concurrency of 0. Nothing is sent while")
    assert [line.partition("  ")[2] for line in result.stdout.splitlines()[2:4]] == [
        "Resend: Lambda.Unknown: Rate Exceeded. Nothing is sent while that is so; the chase goes on all the same.",
        "Resend: Lambda.Unknown: Killed. The email may have been sent, so the chase waits as after an email.",
    ]


OTHERS = "It was started with other options, which stay as they are.\n"


@pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE"])
@pytest.mark.parametrize(("options", "note"), [([], ""), (["--waits", "1"], ""), (["--waits", "2"], OTHERS)])
def test_running_chase_is_watched_and_not_doubled(
    run: Run, states: StepFunctions, status: str, options: list[str], note: str
) -> None:
    states.has("order-7", status, '{"order_id": 7, "waits_hours": [1]}')

    result = run("chase", 7, "--no-watch", *options)

    assert list(states.executions) == ["order-7"]
    assert result.stdout.startswith("The chase of order 7 is already running\n")
    assert (result.stderr, result.exit_code) == (note, 0)


@pytest.mark.parametrize(
    ("end", "output", "exit_code"),
    [
        ({"status": "SUCCEEDED", "output": json.dumps(ISSUED)}, "Order 7: issued\nResends: 1 sent, 1 duplicate\n", 0),
        ({"status": "FAILED", "error": "NotApproved", "cause": "{}"}, "", 3),
        ({"status": "ABORTED"}, "", 4),
    ],
    ids=str,
)
def test_ended_chase_says_how_and_starts_none(
    run: Run, states: StepFunctions, end: dict[str, str], output: str, exit_code: int
) -> None:
    states.has("order-7", "FAILED")
    states.has("order-7-2", "RUNNING")
    states.executions["order-7-2"] |= end

    result = run("chase", 7, "--waits", "10s")

    assert list(states.executions) == ["order-7", "order-7-2"]
    assert result.stderr.startswith(f"This chase has ended: {ARN}order-7-2. `dv-resend chase 7 --again` starts another")
    assert (result.stdout, result.exit_code) == (output, exit_code)


def test_ended_chase_is_followed_by_another_if_asked(run: Run, states: StepFunctions) -> None:
    states.has("order-7", "FAILED")
    states.has("order-7-2", "ABORTED")

    for _ in range(2):
        run("chase", 7, "--no-watch", "--again")

    assert list(states.executions) == ["order-7", "order-7-2", "order-7-3"]


def test_chase_that_somebody_starts_first_is_watched(aws: FakeAws, run: Run, states: StepFunctions) -> None:
    def start(**call: Any) -> dict[str, Any]:
        states.has("order-7", "RUNNING")
        return states.start_execution(**call)

    aws.answer("stepfunctions", "start_execution", start)

    answer = json.loads(run("chase", 7, "--no-watch", "--json").stdout)

    assert answer == {"order_id": 7, "execution": f"{ARN}order-7", "started": False, "status": "running"}


def test_json_has_the_output_of_the_chase(run: Run, states: StepFunctions) -> None:
    states.enters(1, "Resend")

    answer = json.loads(run("chase", 7, "--json").stdout)

    assert (answer["status"], answer["output"]) == ("succeeded", ISSUED)


FUNCTION_ERROR = json.dumps({"errorType": "…", "errorMessage": "The function's words.", "stackTrace": []})
SENT = {"sends": [{"outcome": "sent"}]}


@pytest.mark.parametrize(
    ("end", "name", "message", "exit_code"),
    [
        ({"error": "NotApproved", "cause": json.dumps(SENT)}, "NotApproved", "Resends: 1 sent.", 3),
        ({"error": "OrderNotEligible", "cause": '{"reason": "No."}'}, "OrderNotEligible", "by an email: No. Res", 3),
        ({"error": "OrderNotFound", "cause": FUNCTION_ERROR}, "OrderNotFound", "The function's words.", 3),
        ({"error": "ApiKeyRejected", "cause": FUNCTION_ERROR}, "ApiKeyRejected", "The function's words.", 6),
        ({"error": "InvalidRequest", "cause": '{"reason": "waits_hours."}'}, "InvalidRequest", "waits_hours.", 2),
        ({"error": "Lambda.Unknown", "cause": "Killed."}, "Lambda.Unknown", "Killed.", 4),
        ({"error": "KeyError", "cause": FUNCTION_ERROR}, "Bug", "KeyError: The function's words.", 1),
        ({"status": "TIMED_OUT"}, "States.Timeout", "no reason is given", 4),
        ({"status": "ABORTED"}, "ChaseStopped", "The chase of order 7 was stopped.", 4),
    ],
    ids=str,
)
def test_chase_that_fails_has_a_name_and_an_exit_code(
    run: Run, states: StepFunctions, end: dict[str, str], name: str, message: str, exit_code: int
) -> None:
    states.enters(1, "Resend")
    states.end = {"status": "FAILED"} | end

    result = run("chase", 7)

    assert result.stderr.startswith(f"{name}: ")
    assert message in result.stderr
    assert result.exit_code == exit_code


def test_json_of_a_chase_that_fails_has_execution_and_error(run: Run, states: StepFunctions) -> None:
    states.enters(1, "Resend")
    states.end = {"status": "FAILED", "error": "NotApproved", "cause": json.dumps(SENT)}

    result = run("chase", 7, "--json")

    answer = json.loads(result.stdout)
    assert (answer["execution"], answer["status"]) == (f"{ARN}order-7", "failed")
    assert (answer["error"]["name"], result.exit_code) == ("NotApproved", 3)


@pytest.mark.parametrize("waits", ["", "x", "24,", "0", "0.4s", "-1", "1401", "70d", ",".join("1" * 51)])
def test_wrong_waits_are_a_usage_error(aws: FakeAws, run: Run, waits: str) -> None:
    result = run("chase", 7, "--waits", waits)

    assert result.stderr.startswith("UsageError: Invalid value for '--waits'")
    assert (result.exit_code, aws.calls) == (2, [])


def test_stack_without_the_workflow_is_one_line(aws: FakeAws, run: Run) -> None:
    aws.has_stack({name: value for name, value in OUTPUTS.items() if name != "ChaseStateMachineArn"})

    result = run("chase", 7)

    assert result.stderr == "NoChaseWorkflow: The stack test has no chase workflow: it has ChaseWorkflow=off.\n"
    assert result.exit_code == 6


def test_stop_stops_the_running_chase(run: Run, states: StepFunctions) -> None:
    states.has("order-7", "FAILED")
    states.has("order-7-2", "RUNNING")

    results = [run("chase", 7, "--stop") for _ in range(2)]

    assert states.executions["order-7-2"]["status"] == "ABORTED"
    assert [result.exit_code for result in results] == [0, 3]
    assert results[1].stderr == "NoChase: No chase of order 7 is running.\n"


def test_stop_excludes_other_options(aws: FakeAws, run: Run) -> None:
    assert run("chase", 7, "--stop", "--waits", "24").exit_code == 2
    assert aws.calls == []


def test_interrupt_stops_watching_only(run: Run, states: StepFunctions, clock: Clock) -> None:
    states.enters(60, "Resend")
    clock.interrupt_at = 5

    result = run("chase", 7)

    assert states.executions["order-7"]["status"] == "RUNNING"
    assert result.stderr.startswith("Stopped watching. The chase goes on: `dv-resend chase 7` watches it,")
    assert result.exit_code == 130


def test_interrupted_start_says_that_the_chase_may_run(aws: FakeAws, run: Run, states: StepFunctions) -> None:  # noqa: ARG001
    aws.answer("stepfunctions", "start_execution", KeyboardInterrupt())

    result = run("chase", 7)

    assert "the chase may have started" in result.stderr
    assert result.exit_code == 130


def test_lost_network_while_watching_says_that_the_chase_goes_on(
    aws: FakeAws, run: Run, states: StepFunctions, clock: Clock
) -> None:
    states.enters(60, "Resend")
    lost = exceptions.EndpointConnectionError(endpoint_url="x")
    clock.at(5, lambda: aws.answer("stepfunctions", "get_execution_history", lost))

    result = run("chase", 7)

    assert result.stderr.splitlines()[1].startswith("The chase itself goes on")
    assert result.exit_code == 4

    answer = json.loads(run("chase", 7, "--json").stdout)
    assert (answer["execution"], answer["status"]) == (f"{ARN}order-7", "running")
    assert answer["error"]["name"] == "NetworkUnavailable"


# ---------------------------------------------------------------- the workflow's words


def test_every_end_of_the_workflow_has_words() -> None:
    ends = {state["Error"] for state in WORKFLOW["States"].values() if state["Type"] == "Fail"}

    assert chase.ENDS.keys() == ends - {"InvalidRequest"}


def test_unknown_sends_are_those_of_the_workflow() -> None:
    assert set(WORKFLOW["States"]["Resend"]["Catch"][0]["ErrorEquals"]) == chase.UNKNOWN_SENDS


def test_waits_are_those_of_the_workflow() -> None:
    text = json.dumps(WORKFLOW)

    assert f": {list(chase.DEFAULT_WAITS_HOURS)} %}}" in text
    assert f"$sum($waits) > {chase.MAX_HOURS} or $count($waits) > {chase.MAX_WAITS} %}}" in text


def test_chase_shows_what_became_of_each_domain(run: Run, states: StepFunctions) -> None:
    domains = [{"name": "a.test", "id": 1, "outcome": "sent"}, {"name": "b.test", "id": 2, "outcome": "duplicate"}]
    states.enters(0, "Resend")
    states.answers(1, outcome="sent", sent_at="2026-11-23T15:04:07Z", domains=domains)

    result = run("chase", 7)

    assert "Resend: sent (a.test: sent, b.test: duplicate)" in result.stdout
