"""`check`: what is ok, what needs attention, and what failed."""

import io
import json
from typing import Any

import pytest

from cli.conftest import OUTPUTS, FakeAws, Run, refused

SETTINGS = {"Sending": "on", "SweepEnabled": "on", "AlarmTopicArn": "arn:alarms", "ReportTopicArn": "arn:reports"}
SWEPT = {"pending_dv": 2, "plan": [{"order_id": 7}, {"order_id": 8}]}


@pytest.fixture
def aws() -> FakeAws:
    """A stack with which all is well."""
    aws = FakeAws()
    aws.has_stack(OUTPUTS, **SETTINGS)
    functions_answer(aws)
    aws.answer("lambda", "get_function_concurrency", {})
    aws.answer("lambda", "get_event_source_mapping", {"State": "Enabled", "LastProcessingResult": "OK"})
    return aws


def functions_answer(aws: FakeAws, swept: Any = None, plan: Any = None) -> None:
    """Set what the functions answer; an error is a pair of name and message."""
    answers = {"sweep": swept or SWEPT, "resend": plan or {"would_be": "sent"}}

    def invoke(**arguments: Any) -> Any:
        answer = answers[arguments["FunctionName"].split(":")[6]]
        if isinstance(answer, tuple):
            body = {"errorType": answer[0], "errorMessage": answer[1]}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(body).encode())}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    aws.answer("lambda", "invoke", invoke)


def results(run: Run) -> tuple[dict[str, str], int]:
    """By check: its result, unless it is ok; and the exit code."""
    ran = run("check", "--json")
    steps = json.loads(ran.stdout)["steps"]
    assert [step["about"] for step in steps] == [
        *("API key", "dry run", "sending", "sweep", "alarm topic", "report topic"),
    ]
    return {step["about"]: step["result"] for step in steps if step["result"] != "ok"}, ran.exit_code


def test_stack_with_which_all_is_well_passes(aws: FakeAws, run: Run) -> None:
    assert results(run) == ({}, 0)
    assert [(event.get("action"), event.get("order_id"), event["dry_run"]) for event in aws.events] == [
        ("sweep", None, True),
        (None, 8, True),
    ]


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


def test_stopped_functions_leave_the_key_unchecked(aws: FakeAws, run: Run) -> None:
    aws.answer("lambda", "invoke", refused("TooManyRequestsException", 429, Reason="ReservedFunction"))
    aws.answer("lambda", "get_function_concurrency", {"ReservedConcurrentExecutions": 0})

    assert results(run) == (dict.fromkeys(["API key", "dry run", "sending"], "attention"), 0)


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
    functions_answer(aws, swept=error, plan=error)

    assert results(run) == ({"API key": "failed", "dry run": "failed"}, exit_code)
    assert f"FAILED     API key: {error[0]}: {error[1]} " in run("check").stdout


@pytest.mark.parametrize(("due", "found"), [([], {}), ([{"order_id": 7}], {"dry run": "failed"})])
def test_without_due_orders_an_unknown_one_is_asked_for(aws: FakeAws, run: Run, due: Any, found: Any) -> None:
    functions_answer(aws, swept=SWEPT | {"plan": due}, plan=("OrderNotFound", "No such order."))

    assert results(run)[0] == found


def test_missing_permission_fails_one_check(aws: FakeAws, run: Run) -> None:
    aws.answer("lambda", "get_function_concurrency", refused("AccessDeniedException", 403))

    assert results(run) == ({"sending": "failed"}, 6)
