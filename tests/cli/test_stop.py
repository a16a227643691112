"""`stop` and `resume`."""

import json
from typing import Any

import pytest

from cli.conftest import OUTPUTS, FakeAws, Run, refused

GROUPS = {"DeploymentApplicationName": "app", "DeploymentGroupName": "one", "SweepDeploymentGroupName": "two"}
ZERO = {"ReservedConcurrentExecutions": 0}


@pytest.fixture
def aws() -> FakeAws:
    """A stack with CodeDeploy, which runs, has no reserved concurrency and no failed events."""
    aws = FakeAws()
    aws.has_stack(OUTPUTS | GROUPS)
    for operation in ("get_function_concurrency", "put_function_concurrency", "delete_function_concurrency"):
        aws.answer("lambda", operation, {})
    aws.answer("lambda", "update_event_source_mapping", {})
    aws.answer("lambda", "get_event_source_mapping", {"State": "Enabled"})
    aws.answer("codedeploy", "list_deployments", {"deployments": []})
    aws.answer("codedeploy", "stop_deployment", {})
    queues_hold(aws, 0, 0)
    return aws


def queues_hold(aws: FakeAws, waiting: int, invisible: int) -> None:
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    aws.answer("sqs", "get_queue_attributes", {"Attributes": {names[0]: f"{waiting}", names[1]: f"{invisible}"}})


def changes(aws: FakeAws) -> list[tuple[str, Any]]:
    """The calls that change something, each with its most telling argument."""
    return [
        (name, arguments.get("FunctionName") or arguments.get("deploymentId") or arguments["Enabled"])
        for _, name, arguments in aws.calls
        if name.startswith(("put_", "delete_", "update_", "stop_"))
    ]


def test_stop_stops_invocations_reminders_and_deployments(aws: FakeAws, run: Run) -> None:
    pages = {
        ("one", None): {"deployments": ["d-1"], "nextToken": "more"},
        ("one", "more"): {"deployments": ["d-2"]},
        ("two", None): {"deployments": ["d-3"]},
    }
    aws.answer(
        "codedeploy",
        "list_deployments",
        lambda **query: pages[query["deploymentGroupName"], query.get("nextToken")],
    )

    result = run("stop")

    assert changes(aws) == [
        ("put_function_concurrency", "resend"),
        ("put_function_concurrency", "sweep"),
        ("update_event_source_mapping", False),
        *(("stop_deployment", deployment) for deployment in ("d-1", "d-2", "d-3")),
    ]
    assert {tuple(arguments.items()) for _, name, arguments in aws.calls if name == "stop_deployment"} == {
        (("deploymentId", deployment), ("autoRollbackEnabled", True)) for deployment in ("d-1", "d-2", "d-3")
    }
    assert "may still send, for up to 5 minutes" in result.stdout
    assert result.exit_code == 0


@pytest.mark.parametrize(("command", "text"), [("stop", "All sending is stopped"), ("resume", "Sending goes on")])
def test_conclusion_names_the_stack(run: Run, command: str, text: str) -> None:
    wanted = f"{text}: stack test, eu-west-1, account 123456789012."

    assert wanted in run(command).stdout.splitlines()
    assert wanted in json.loads(run(command, "--json").stdout)["conclusion"]


def test_interrupted_stop_shows_its_steps_and_what_is_missing(aws: FakeAws, run: Run) -> None:
    aws.answer("lambda", "update_event_source_mapping", KeyboardInterrupt())

    text = run("stop")
    result = run("stop", "--json")

    report = json.loads(result.stdout)
    assert (text.exit_code, result.exit_code, report["ok"], report["error"]["name"]) == (130, 130, False, "Interrupted")
    assert [step["about"] for step in report["steps"]] == ["resend", "sweep"]
    for output in (text.stdout, *report["conclusion"]):
        assert "NOT all sending is stopped: stack test" in output
    assert text.stdout.startswith("ok         resend: ")


def test_stop_without_codedeploy_calls_none(aws: FakeAws, run: Run) -> None:
    aws.has_stack(OUTPUTS)

    assert run("stop").exit_code == 0
    assert not [service for service, *_ in aws.calls if service == "codedeploy"]


@pytest.mark.parametrize(
    ("service", "failing"),
    [
        ("lambda", "put_function_concurrency"),
        ("lambda", "update_event_source_mapping"),
        ("codedeploy", "stop_deployment"),
    ],
)
@pytest.mark.parametrize(
    ("error", "exit_code"), [(refused("AccessDenied", 403), 6), (refused("Throttling"), 4), (KeyError("x"), 1)]
)
def test_stop_tries_every_step_though_one_fails(
    aws: FakeAws, run: Run, service: str, failing: str, error: Exception, exit_code: int
) -> None:
    aws.answer("codedeploy", "list_deployments", lambda **query: {"deployments": [query["deploymentGroupName"]]})
    aws.answer(service, failing, error)

    result = run("stop")

    tried = {name for name, _ in changes(aws)}
    assert tried == {"put_function_concurrency", "update_event_source_mapping", "stop_deployment"}
    assert "FAILED" in result.stdout
    assert "NOT all sending is stopped" in result.stdout
    assert result.exit_code == exit_code


@pytest.mark.parametrize(("state", "exit_code"), [("Disabling", 0), ("Enabling", 4)])
def test_mapping_that_is_being_changed_is_looked_at(aws: FakeAws, run: Run, state: str, exit_code: int) -> None:
    aws.answer("lambda", "update_event_source_mapping", refused("ResourceInUseException"))
    aws.answer("lambda", "get_event_source_mapping", {"State": state})

    assert run("stop").exit_code == exit_code


def test_deployment_that_has_just_ended_is_no_failure(aws: FakeAws, run: Run) -> None:
    aws.answer("codedeploy", "list_deployments", {"deployments": ["d-1"]})
    aws.answer("codedeploy", "stop_deployment", refused("DeploymentAlreadyCompletedException"))

    assert run("stop").exit_code == 0


@pytest.mark.parametrize(("before", "is_told"), [({"ReservedConcurrentExecutions": 5}, True), (KeyError("x"), False)])
def test_stop_says_which_concurrency_it_replaces(aws: FakeAws, run: Run, before: Any, is_told: bool) -> None:
    aws.answer("lambda", "get_function_concurrency", before)

    result = run("stop")

    assert ("its reserved concurrency was 5" in result.stdout) == is_told
    assert result.exit_code == 0


def test_resume_undoes_the_stop(aws: FakeAws, run: Run) -> None:
    aws.answer("lambda", "get_function_concurrency", ZERO)

    assert run("resume").exit_code == 0
    assert changes(aws) == [
        ("delete_function_concurrency", "resend"),
        ("delete_function_concurrency", "sweep"),
        ("update_event_source_mapping", True),
    ]


@pytest.mark.parametrize("reserved", [{}, {"ReservedConcurrentExecutions": 5}])
def test_resume_keeps_a_concurrency_that_stops_nothing(aws: FakeAws, run: Run, reserved: Any) -> None:
    aws.answer("lambda", "get_function_concurrency", reserved)

    run("resume")

    assert changes(aws) == [("update_event_source_mapping", True)]


def test_resume_names_what_to_redrive_and_what_still_stops(aws: FakeAws, run: Run) -> None:
    aws.has_stack(OUTPUTS, Sending="off")
    queues_hold(aws, 3, 0)

    steps = json.loads(run("resume", "--json").stdout)["steps"]

    attention = {step["about"]: step["message"] for step in steps if step["result"] == "attention"}
    assert attention.keys() == {"Sending", "failed-events", "undelivered"}
    assert attention["undelivered"] == "3 events to redrive: `dv-resend redrive undelivered`"


@pytest.mark.parametrize(
    ("waiting", "text"),
    [
        (0, "2 events in the hands of a redrive; what a killed one had comes back within 15 minutes"),
        (1, "1 event to redrive: `dv-resend redrive undelivered`; 2 events in the hands of a redrive"),
    ],
)
def test_resume_counts_what_a_redrive_has_in_hand(aws: FakeAws, run: Run, waiting: int, text: str) -> None:
    queues_hold(aws, waiting, 2)

    assert f"attention  undelivered: {text}\n" in run("resume").stdout


def test_queue_that_cannot_be_counted_is_no_failure(aws: FakeAws, run: Run) -> None:
    aws.answer("sqs", "get_queue_attributes", refused("AccessDenied", 403))

    result = run("resume")

    assert result.exit_code == 0
    assert "attention  failed-events" in result.stdout
