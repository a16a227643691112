"""The chase and the example workflows, against the code that they call and an offline validator."""

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from dev.jsonata import NODE, TOOLS, evaluate, evaluate_all
from dev.local.template import ROOT, load
from dv_resend import errors
from dv_resend.core.requests import ResendRequest, StatusRequest
from dv_resend.errors import InvalidRequest, OrderNotEligible
from dv_resend.handlers import events

type State = dict[str, Any]

WORKFLOW = ROOT / "src/workflows/chase.asl.json"
EXAMPLES = ROOT / "events/workflows"
WORKFLOWS = [WORKFLOW, *sorted(EXAMPLES.glob("*.asl.json"))]

TEXT = WORKFLOW.read_text("utf-8")
CHASE: dict[str, Any] = json.loads(TEXT)
STATES: dict[str, State] = CHASE["States"]
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
CLASSES = {cls.__name__: cls for cls in errors.ResendError.__subclasses__()}
RETRYABLE = {name for name, cls in CLASSES.items() if cls.retryable}

# "Handling errors in Step Functions workflows" and "Handle transient Lambda service exceptions" (developer guide).
SERVICE_ERRORS = {
    *("Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException"),
    "Lambda.TooManyRequestsException",
}
# Errors of Lambda's API (Invoke) that mean "not invoked, try again". Step Functions prefixes the names of an SDK; that
# of Java spells some of them differently.
NOT_INVOKED = {
    *("Lambda.ResourceNotReadyException", "Lambda.ResourceConflictException", "Lambda.SnapStartNotReadyException"),
    *("Lambda.EC2ThrottledException", "Lambda.ENILimitReachedException", "Lambda.ENINotReadyException"),
    *("Lambda.Ec2ThrottledException", "Lambda.EniLimitReachedException", "Lambda.EniNotReadyException"),
}
# Errors of a killed function, which may have sent the email. The names of timeouts and crashes have changed over time.
KILLED = {
    *("Lambda.Unknown", "Lambda.ClientExecutionTimeoutException", "Sandbox.Timedout", "Runtime.ExitError"),
    "States.Timeout",
}
ORDINARY_OUTCOMES = {"OrderRejected", "OrderCanceled", "OrderEnded", "OrderNotEligible", "NeedsApproval", "NotApproved"}

EXECUTION = f"arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:{'m' * 80}:{'e' * 80}"


def states_of(path: Path) -> dict[str, State]:
    states: dict[str, State] = json.loads(path.read_text("utf-8"))["States"]
    return states


def rules(kind: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Retry or Catch rule of a workflow, with the name of its state."""
    for name, state in states_of(path).items():
        for rule in state.get(kind, []):
            yield name, rule


def successors(state: State) -> set[str]:
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    caught = [catch["Next"] for catch in state.get("Catch", [])]
    return {*choices, *caught} | {state[name] for name in ("Next", "Default") if name in state}


def prepared(chased: dict[str, Any]) -> dict[str, Any]:
    """The variables of an execution that is started with ``chased``."""
    states = {"input": chased, "context": {"Execution": {"Id": EXECUTION}}}
    assigned: dict[str, Any] = STATES[CHASE["StartAt"]]["Assign"]
    expressions = {name: value for name, value in assigned.items() if isinstance(value, str)}
    values = evaluate_all(list(expressions.values()), {"states": states})
    return assigned | dict(zip(expressions, values, strict=True))


def chosen(state: str, variables: dict[str, Any]) -> str:
    """The next state of a Choice: that of the first true condition, as in Step Functions."""
    choices = STATES[state]["Choices"]
    values = evaluate_all([choice["Condition"] for choice in choices], variables, until_true=True)
    assert all(isinstance(value, bool) for value in values)  # anything else would fail the execution
    return str(choices[len(values) - 1]["Next"] if values[-1] else STATES[state]["Default"])


def first_step(chased: dict[str, Any]) -> str:
    """The state that follows the check of an execution's input."""
    (check,) = successors(STATES[CHASE["StartAt"]])
    return chosen(check, prepared(chased))


def is_refused(chased: dict[str, Any]) -> bool:
    """Whether the execution fails with InvalidRequest before anything is sent."""
    return STATES[first_step(chased)].get("Error") == "InvalidRequest"


def refusal_of(reason: str) -> str:
    """The variable ``refusal`` of an execution whose resend was refused: Lambda reports the error's text."""
    (catch,) = [rule for _, rule in rules("Catch", WORKFLOW) if rule["ErrorEquals"] == ["OrderNotEligible"]]
    error = OrderNotEligible(reason, "Order 1 is issued.")
    cause = json.dumps({"errorMessage": str(error), "errorType": "OrderNotEligible", "stackTrace": ["x"]})
    return str(evaluate(catch["Assign"]["refusal"], states={"errorOutput": {"Error": "x", "Cause": cause}}))


def decided(*, refusal: str = "", status: str = "pending", turn: int = 0) -> str:
    """The next state of a chase with two waits after it has checked the order's status."""
    return chosen("Decide", {"refusal": refusal, "status": status, "turn": turn, "waits": [1, 2]})


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_retry_names_retryable_errors_only(path: Path) -> None:
    for name, rule in rules("Retry", path):
        names = set(rule["ErrorEquals"])

        assert names <= RETRYABLE | SERVICE_ERRORS | NOT_INVOKED | KILLED, name
        # Errors of the function have their own rule: nothing was sent, so retries may go on for much longer.
        assert not names & RETRYABLE or names <= RETRYABLE, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_catch_names_existing_errors_only(path: Path) -> None:
    # States.TaskFailed is the only name that a waiting state machine sees of another's failed execution.
    known = set(CLASSES) | SERVICE_ERRORS | KILLED | {"States.TaskFailed"}

    for name, rule in rules("Catch", path):
        assert set(rule["ErrorEquals"]) <= known, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_retry_is_bounded(path: Path) -> None:
    for name, rule in rules("Retry", path):
        assert rule["MaxAttempts"] <= 120, name
        assert rule["MaxDelaySeconds"] <= 180, name  # the window of DigiCert's request limit
        assert rule["JitterStrategy"] == "FULL", name


@pytest.mark.parametrize("task", TASKS)
def test_chase_tasks_retry_every_temporary_error(task: str) -> None:
    """Only sweeps raise QueueUnavailable."""
    retried = {name for rule in TASKS[task]["Retry"] for name in rule["ErrorEquals"]}

    passing = RETRYABLE - {"QueueUnavailable"}
    if task == "Explain":
        passing -= {"SendingPaused", "ResendInProgress", "RecipientUnverified"}  # a dry run reports them in its result
    # A killed query can be repeated; a killed resend may have sent the email.
    assert retried == passing | SERVICE_ERRORS | NOT_INVOKED | (set() if task == "Resend" else KILLED)


def test_errors_of_lambda_are_those_of_its_api() -> None:
    model = botocore.session.get_session().get_service_model("lambda")
    documented = {shape.name.lower() for shape in model.operation_model("Invoke").error_shapes}

    assert {name.removeprefix("Lambda.").lower() for name in NOT_INVOKED} <= documented


@pytest.mark.parametrize("task", TASKS)
def test_chase_retries_outlast_digicert_maintenance(task: str) -> None:
    """Maintenance takes two hours ("DigiCert maintenance schedule").

    Full jitter spreads each delay evenly between 0 and its maximum, so the sum of delays is close to a normal
    distribution. All but one chase in a thousand wait longer than two hours.
    """
    rule = TASKS[task]["Retry"][0]
    growing = (rule["IntervalSeconds"] * rule["BackoffRate"] ** attempt for attempt in range(rule["MaxAttempts"]))
    delays = [min(delay, rule["MaxDelaySeconds"]) for delay in growing]

    mean, deviation = sum(delays) / 2, math.sqrt(sum(delay**2 for delay in delays) / 12)
    assert mean - 3 * deviation > 2 * 3600


@pytest.mark.parametrize("name", ["task-jsonata.asl.json", "task-jsonpath.asl.json"])
def test_example_tasks_retry_short_temporary_errors(name: str) -> None:
    """A paused service does not resume within a few retries, so SendingPaused is left out.

    The retries end long before the cool-down does, so a killed function can be called again: it finds its claim.
    """
    retried = {error for _, rule in rules("Retry", EXAMPLES / name) for error in rule["ErrorEquals"]}
    killed = {"Lambda.Unknown", "Lambda.ClientExecutionTimeoutException"}

    assert retried == (RETRYABLE - {"QueueUnavailable", "SendingPaused"}) | SERVICE_ERRORS | killed


def test_chase_after_unknown_outcome_waits_before_next_email() -> None:
    """The next state is a wait, and then a check of the order's status."""
    caught = {error: rule["Next"] for name, rule in rules("Catch", WORKFLOW) for error in rule["ErrorEquals"]}

    assert {STATES[caught[error]]["Type"] for error in {"OutcomeUnknown"} | KILLED} == {"Wait"}


def test_chase_failures_have_documented_names() -> None:
    failures = {state["Error"] for state in STATES.values() if state["Type"] == "Fail"}

    assert failures == ORDINARY_OUTCOMES | {"InvalidRequest"}
    # These two have the same names as errors of the function.
    assert failures & CLASSES.keys() == {"OrderNotEligible", "InvalidRequest"}


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_states_are_reachable_and_paths_end(path: Path) -> None:
    workflow = json.loads(path.read_text("utf-8"))
    states: dict[str, State] = workflow["States"]
    reached: set[str] = set()
    ahead = {workflow["StartAt"]}
    while ahead:
        reached |= ahead
        ahead = set().union(*(successors(states[name]) for name in ahead)) - reached
    ending = {name for name, state in states.items() if state["Type"] in ("Succeed", "Fail") or state.get("End")}
    while more := {name for name, state in states.items() if successors(state) & ending} - ending:
        ending |= more

    assert reached == states.keys()
    assert ending == states.keys()
    for name, state in states.items():
        assert successors(state) or name in ending, name
        assert state["Type"] != "Choice" or "Default" in state, name


def test_chase_rounds_are_limited_by_its_waits() -> None:
    """Every cycle of states passes one that counts a wait, so there are no more rounds than waits.

    The exception is the cycle through WaitAfterRefusal. It clears the refusal, and only a resend can set it again.
    """
    counting = {name for name, state in STATES.items() if state.get("Assign", {}).get("turn") == "{% $turn + 1 %}"}
    bounded = counting | {"WaitAfterRefusal"}
    assert STATES["WaitAfterRefusal"]["Assign"] == {"refusal": "{% '' %}", "reason": "{% $refusal %}"}
    left = {name: successors(state) - bounded for name, state in STATES.items() if name not in bounded}
    while leaves := [name for name, then in left.items() if not then & left.keys()]:
        for name in leaves:
            del left[name]

    assert len(counting) == 2
    assert left == {}
    decisions = STATES["Decide"]["Choices"]
    enough = next(place for place, choice in enumerate(decisions) if "$count($waits)" in choice["Condition"])
    assert [choice["Next"] for choice in decisions if choice["Next"] in counting] == [decisions[-1]["Next"]]
    assert enough < len(decisions) - 1
    assert evaluate(decisions[enough]["Condition"], turn=3, waits=[1, 2, 3, 4]) is True
    assert evaluate(decisions[enough]["Condition"], turn=2, waits=[1, 2, 3, 4]) is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_and_its_tasks_have_timeouts(path: Path) -> None:
    workflow = json.loads(path.read_text("utf-8"))
    tasks = [state for state in workflow["States"].values() if state["Type"] == "Task"]

    assert tasks
    for task in tasks:
        assert task["TimeoutSeconds"] < workflow["TimeoutSeconds"] <= 366 * 24 * 3600
        if "lambda:invoke" in task["Resource"]:
            function = load(ROOT / "template.yaml")["Resources"]["ResendFunction"]["Properties"]
            assert task["TimeoutSeconds"] > function["Timeout"]


def test_chase_timeout_exceeds_default_waits_with_all_retries() -> None:
    waits = prepared({"order_id": 1})["waits"]
    of_a_round = sum(
        task["TimeoutSeconds"]
        + sum(rule["MaxAttempts"] * (rule["MaxDelaySeconds"] + task["TimeoutSeconds"]) for rule in task["Retry"])
        for task in TASKS.values()
    )

    assert waits == [24, 48, 96, 168]
    assert len(waits) * of_a_round + 3600 * sum(waits) < CHASE["TimeoutSeconds"]


def test_sync_example_timeout_exceeds_chase_timeout() -> None:
    assert states_of(EXAMPLES / "start-chase-sync.asl.json")["ChaseOrder"]["TimeoutSeconds"] > CHASE["TimeoutSeconds"]


# ---------------------------------------------------------------- calls of the function


def test_chase_invokes_the_alias_only() -> None:
    assert {task["Arguments"]["FunctionName"] for task in TASKS.values()} == {"${ResendFunctionAlias}"}
    # The partition is that of the stack.
    assert {task["Resource"] for task in TASKS.values()} == {"arn:${Partition}:states:::lambda:invoke"}


def test_chase_resend_names_its_execution_as_requester() -> None:
    sample = json.loads((EXAMPLES / "start-chase.json").read_text("utf-8"))
    variables = prepared(sample | {"requested_by": "somebody else"})

    assert TASKS["Resend"]["Arguments"]["Payload"] == "{% $request %}"
    request = events.parse("direct", variables["request"]).request
    assert isinstance(request, ResendRequest)
    assert request.requested_by == EXECUTION
    assert request.order_id == sample["order_id"]
    assert [recipient.email for recipient in request.recipients] == ["someone@example.com", "someone@example2.com"]
    assert request.locale == "en"
    assert variables["waits"] == sample["waits_hours"]
    assert first_step(sample) == "Resend"


def test_chase_status_check_is_about_the_same_order() -> None:
    payload = TASKS["CheckStatus"]["Arguments"]["Payload"]
    filled = payload | {"order_id": evaluate(payload["order_id"], order_id=5)}

    assert events.parse("direct", filled).request == StatusRequest(5)


@pytest.mark.parametrize(
    "field", [{"force": True}, {"force": False}, {"force": True, "dry_run": True}, {"action": "status"}], ids=ascii
)
def test_chase_input_with_force_or_action_is_refused(field: dict[str, Any]) -> None:
    """With force, a retry, a redrive or a second execution would send again."""
    assert is_refused({"order_id": 1} | field)
    assert "'force'" not in TEXT
    assert '"force"' not in TEXT


BAD_WAITS: list[Any] = [[], ["24"], [0], [24, -1], [[]], {}, "24", None, [24, None], True]
BAD_DRY_RUNS: list[Any] = ["true", "false", "", 1, 0, None, [], [True], {}, {"a": True}]


@pytest.mark.parametrize(
    "chased",
    [
        *({"order_id": 1, "waits_hours": waits} for waits in BAD_WAITS),
        *({"order_id": 1, "dry_run": value} for value in BAD_DRY_RUNS),
        *({"dry_run": True}, {"order_id": 1, "dry_run": True, "waits_hours": [0]}),
    ],
    ids=ascii,
)
def test_chase_bad_input_is_refused(chased: dict[str, Any]) -> None:
    assert is_refused(chased)


@pytest.mark.parametrize(("waits", "seconds"), [([24, 48], 86400), (1.5, 5400), ([0.001], 4)])
def test_chase_waits_are_rounded_to_seconds(waits: Any, seconds: int) -> None:
    chased = {"order_id": 1, "waits_hours": waits}

    assert first_step(chased) == "Resend"
    assert evaluate(STATES["WaitForValidation"]["Seconds"], **prepared(chased)) == seconds


def test_chase_input_with_unknown_field_is_refused_by_function() -> None:
    """If it were dropped, the emails would go to more people than the caller named."""
    variables = prepared({"order_id": 1, "domain_approval_email": []})

    with pytest.raises(InvalidRequest, match="domain_approval_email"):
        events.parse("direct", variables["request"])


def test_chase_input_with_started_by_field_is_accepted() -> None:
    """The field that links an execution to the one that started it ("Start a new workflow", developer guide)."""
    variables = prepared({"order_id": 1, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": EXECUTION})

    assert events.parse("direct", variables["request"]).request == ResendRequest(1, requested_by=EXECUTION)


# ---------------------------------------------------------------- a dry run


def test_chase_dry_run_returns_the_plan_and_sends_nothing() -> None:
    sample = json.loads((EXAMPLES / "start-chase.json").read_text("utf-8")) | {"dry_run": True}
    answer = {"order_id": 1, "outcome": "planned", "would_be": "OrderNotEligible"}

    assert first_step(sample) == "Explain"
    explain = STATES["Explain"]
    assert evaluate(explain["Arguments"]["Payload"], **prepared(sample)) == prepared(sample)["request"]
    request = events.parse("direct", prepared(sample)["request"]).request
    assert isinstance(request, ResendRequest)
    assert (request.dry_run, request.requested_by, len(request.recipients)) == (True, EXECUTION, 2)
    assert evaluate(explain["Output"], states={"result": {"Payload": answer, "StatusCode": 200}}) == answer
    # From here, no path leads to an email.
    assert successors(explain) == {"Explained"}
    assert STATES["Explained"] == {"Type": "Succeed"}


@pytest.mark.parametrize("field", [{"dry_run": False}, {}], ids=ascii)
def test_chase_without_dry_run_starts_with_resend(field: dict[str, Any]) -> None:
    chased = {"order_id": 1} | field

    assert first_step(chased) == "Resend"
    request = events.parse("direct", prepared(chased)["request"]).request
    assert isinstance(request, ResendRequest)
    assert not request.dry_run


# ---------------------------------------------------------------- a refused resend


def test_chase_refusal_has_no_stack_trace() -> None:
    assert refusal_of("not_pending") == "Order 1 is issued. (order_not_eligible|not_pending)"


@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
def test_chase_of_validated_order_waits_until_issued(status: str) -> None:
    refusal = refusal_of("already_validated")

    assert decided(refusal=refusal, status=status) == "WaitAfterRefusal"
    assert successors(STATES["WaitAfterRefusal"]) == {"WaitForValidation"}
    # The next round begins after that wait; after the last wait, the chase ends.
    assert decided(status=status) == "NextReminder"
    assert decided(status=status, turn=1) == "NotApproved"
    assert decided(status="issued") == "Report"


def ended_unapproved(variables: dict[str, Any]) -> dict[str, Any]:
    """The cause of a chase that ends as NotApproved."""
    said: dict[str, Any] = json.loads(evaluate(STATES["NotApproved"]["Cause"], **variables))
    return said


def test_chase_not_approved_after_refusal_gives_the_reason() -> None:
    variables = prepared({"order_id": 5}) | {"refusal": refusal_of("already_validated"), "checks": 3}
    assigned = STATES["WaitAfterRefusal"]["Assign"]
    # Step Functions evaluates all expressions before it assigns any variable.
    values = evaluate_all(list(assigned.values()), variables)
    variables |= dict(zip(assigned, values, strict=True))

    assert variables["refusal"] == ""
    assert ended_unapproved(variables) == {
        "order_id": 5,
        "result": "not_approved",
        "reason": refusal_of("already_validated"),
        "sends": [],
        "checks": 3,
    }


def test_chase_not_approved_without_refusal_gives_no_reason() -> None:
    sends = [{"outcome": "sent", "sent_at": "2026-11-24T12:00:00Z"}]

    assert ended_unapproved(prepared({"order_id": 5}) | {"sends": sends, "checks": 1}) == {
        "order_id": 5,
        "result": "not_approved",
        "sends": sends,
        "checks": 1,
    }


@pytest.mark.parametrize("reason", ["not_dv", "needs_approval", "not_pending", "not_email_dcv"])
@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
def test_chase_of_ineligible_order_fails(reason: str, status: str) -> None:
    assert decided(refusal=refusal_of(reason), status=status) == "OrderNotEligible"


@pytest.mark.parametrize("reason", ["not_pending", "already_validated"])
@pytest.mark.parametrize(
    ("status", "state"),
    [
        *(("issued", "Report"), ("rejected", "OrderRejected"), ("canceled", "OrderCanceled")),
        *(("needs_approval", "NeedsApproval"), ("revoked", "OrderEnded"), ("processing", "WaitAfterRefusal")),
    ],
)
def test_chase_order_status_takes_precedence_over_refusal(reason: str, status: str, state: str) -> None:
    assert decided(refusal=refusal_of(reason), status=status) == state


def test_chase_after_refusal_continues_only_on_exact_code() -> None:
    for text in ("Order 1 is already_validated.", "x (order_not_eligible|not_dv)", "order_not_eligible"):
        assert decided(refusal=text) == "OrderNotEligible"


def test_chase_recipient_refusal_is_not_retried_or_caught() -> None:
    """Retrying would not help: only the caller can name other recipients."""
    handled = {
        error for kind in ("Retry", "Catch") for _, rule in rules(kind, WORKFLOW) for error in rule["ErrorEquals"]
    }

    assert handled & {"RecipientNotAllowed", "States.ALL", "States.TaskFailed"} == set()


@pytest.mark.parametrize(
    ("name", "arguments"), [("task-jsonata.asl.json", "Arguments"), ("task-jsonpath.asl.json", "Parameters")]
)
def test_example_tasks_send_fields_of_the_sample_event(name: str, arguments: str) -> None:
    payload = states_of(EXAMPLES / name)["ResendEmails"][arguments]["Payload"]
    sample = json.loads((ROOT / "events/step-functions-task.json").read_text("utf-8"))

    asked = {field.removesuffix(".$") for field in payload}
    assert asked == {"order_id", "requested_by"}
    assert asked <= sample.keys()


# ---------------------------------------------------------------- validator


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_passes_the_validator(tmp_path: Path, path: Path) -> None:
    program = TOOLS / "asl-validator/dist/bin/asl-validator.js"
    filled = tmp_path / path.name
    filled.write_text(path.read_text("utf-8").replace("${Partition}", "aws"), "utf-8")

    validated = subprocess.run([NODE, program, "--json-path", filled], check=False, capture_output=True, text=True)

    assert validated.returncode == 0, validated.stdout + validated.stderr
