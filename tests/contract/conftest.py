"""Fixtures that several contract tests share."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Output

from dv_resend import errors, observability
from dv_resend.core.requests import Recipient, Reminder, ResendRequest
from dv_resend.core.resend import ReminderResult, ResendResult

# What Lambda logs after each invocation (Telemetry API, "platform.report"): here after a cold start, and after a start
# from a snapshot.
_REPORTS: list[dict[str, Any]] = [
    {
        "time": "2026-11-24T09:17:00.000Z",
        "type": "platform.report",
        "record": {
            "requestId": "11111111-2222-4333-8444-555555555555",
            "metrics": {
                "durationMs": 139.1,
                "billedDurationMs": 140,
                "memorySizeMB": 512,
                "maxMemoryUsedMB": 112,
                start: 412.7,
            },
            "status": "success",
        },
    }
    for start in ("initDurationMs", "restoreDurationMs")
]


@pytest.fixture
def log_lines(output: Callable[[], Output], invoke: Callable[..., Any]) -> list[dict[str, Any]]:
    """The lines of a log: a resend, a reminder, failures, and Lambda's own lines."""
    recipient = Recipient("example.com", "admin@example.com")
    request = ResendRequest(order_id=1, recipients=(recipient,), force=True, requested_by="jane")
    resend, reminder = observability.Audit("http"), observability.Audit("sqs")
    resend.ask, resend.caller, reminder.ask = request, "arn:aws:iam::123456789012:user/jane", Reminder(2, None, 3)
    observability.observe_upstream(204, 0.1)
    resend.before_send(request)
    resend.succeeded(ResendResult(request, "sent", 0, 0))
    reminder.succeeded(ReminderResult(2, "sent"))
    for error in (errors.OutcomeUnknown("."), ValueError()):
        observability.Audit("http").failed(error)
    with pytest.raises(errors.InvalidRequest):
        invoke({"order_id": "none"})
    return [*output().lines, *_REPORTS]
