"""`check`: what is ok, what needs attention, and what failed."""

import json
from typing import Any

import pytest

from cli.conftest import OUTPUTS, FakeAws, Run, refused

SETTINGS = {"Sending": "on", "SweepEnabled": "on", "AlarmTopicArn": "arn:alarms", "ReportTopicArn": "arn:reports"}
UNKNOWN_ORDER = ("OrderNotFound", "No such order.")


@pytest.fixture
def aws() -> FakeAws:
    """A stack with which all is well."""
    aws = FakeAws()
    aws.has_stack(OUTPUTS, **SETTINGS)
    aws.function_fails(*UNKNOWN_ORDER)
    aws.answer("lambda", "get_function_concurrency", {})
    aws.answer("lambda", "get_event_source_mapping", {"State": "Enabled", "LastProcessingResult": "OK"})
    return aws


def results(run: Run) -> tuple[dict[str, str], int]:
    """By check: its result, unless it is ok; and the exit code."""
    ran = run("check", "--json")
    report = json.loads(ran.stdout)
    steps = report["steps"]
    assert report["ok"] == (ran.exit_code == 0)
    assert [step["about"] for step in steps] == [
        *("API key", "dry run", "sending", "sweep", "alarm topic", "report topic"),
    ]
    return {step["about"]: step["result"] for step in steps if step["result"] != "ok"}, ran.exit_code


def test_stack_with_which_all_is_well_passes(aws: FakeAws, run: Run) -> None:
    assert results(run) == ({}, 0)
    invoked = [arguments["FunctionName"] for _, name, arguments in aws.calls if name == "invoke"]
    assert invoked == [OUTPUTS["SweepFunctionAliasArn"], OUTPUTS["FunctionAliasArn"]]
    # Nothing that takes longer in a large account.
    assert [(event.get("action"), event.get("dry_run")) for event in aws.events] == [("status", None), (None, True)]


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("Sending", "off", "sending"),
        ("SweepEnabled", "off", "sweep"),
        ("AlarmTopicArn", "", "alarm topic"),
        ("ReportTopicArn", None, "report topic"),
    ],
)
def test_setting_that_may_be_meant_so_needs_attention(
    aws: FakeAws, run: Run, setting: str, value: str | None, check: str
) -> None:
    changed = SETTINGS | {setting: value}
    aws.has_stack(OUTPUTS, **{name: text for name, text in changed.items() if text is not None})

    assert results(run) == ({check: "attention"}, 0)


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("get_function_concurrency", {"ReservedConcurrentExecutions": 0}),
        ("get_event_source_mapping", {"State": "Disabled"}),
        ("get_event_source_mapping", {"State": "Enabled", "LastProcessingResult": "PROBLEM: Function call failed"}),
    ],
)
def test_stopped_sending_needs_attention(aws: FakeAws, run: Run, operation: str, answer: Any) -> None:
    aws.answer("lambda", operation, answer)

    assert results(run) == ({"sending": "attention"}, 0)


@pytest.mark.parametrize(("reserved", "sending"), [({"ReservedConcurrentExecutions": 0}, "attention"), ({}, "ok")])
def test_what_cannot_be_asked_is_a_failure(aws: FakeAws, run: Run, reserved: Any, sending: str) -> None:
    aws.answer("lambda", "invoke", refused("TooManyRequestsException", 429, Reason="ReservedFunction"))
    aws.answer("lambda", "get_function_concurrency", reserved)

    found, exit_code = results(run)

    assert (found.pop("sending", "ok"), exit_code) == (sending, 4)
    assert found == {"API key": "failed", "dry run": "failed"}


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (("ApiKeyRejected", "CertCentral rejects the API key."), 6),
        # An empty secret, or one whose KMS key is denied.
        (("ConfigurationError", "The API key secret cannot be read (AccessDeniedException)."), 6),
        (("CertCentralUnavailable", "No answer."), 4),
    ],
)
def test_error_of_the_functions_fails_and_is_named(
    aws: FakeAws, run: Run, error: tuple[str, str], exit_code: int
) -> None:
    aws.function_fails(*error)

    assert results(run) == ({"API key": "failed", "dry run": "failed"}, exit_code)
    assert f"FAILED     API key: {error[0]}: {error[1]} " in run("check").stdout


def test_missing_permission_fails_one_check(aws: FakeAws, run: Run) -> None:
    aws.answer("lambda", "get_function_concurrency", refused("AccessDeniedException", 403))

    assert results(run) == ({"sending": "failed"}, 6)
