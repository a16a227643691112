"""One invocation of the handler in its own process, which can be killed at a chosen moment.

`python dev/faults/killable.py MOMENT SECONDS_LATER EVENT REQUEST_ID` prints the result, or the error's name, as JSON.
MOMENT is before-store, after-store, after-put, after-settle or never; the first thing that a call stores is its claim,
or a reminder that it has just reported; the next is the outcome. `after-put:2` is the second time of such a moment: an
order that is not DV has one for each domain. SECONDS_LATER sets the process's clock ahead.
"""

import json
import os
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any

moment, _, times = sys.argv[1].partition(":")
later, event, request_id = float(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
times_left = int(times or "1")

_time = time.time
time.time = lambda: _time() + later

from dv_resend.adapters.certcentral import CertCentralClient
from dv_resend.adapters.send_records import SendRecordsTable
from dv_resend.app import lambda_handler
from dv_resend.errors import ResendError

# The least that the function needs for sending, so that the claim of a killed call ends soon.
SECONDS_LEFT = 11.0


def reach(reached: str | None) -> None:
    """Kill this process if that is the chosen moment, and its time has come."""
    global times_left
    if moment == reached:
        times_left -= 1
        if times_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_around(owner: type, method: str, before: str | None, after: str | None) -> None:
    """Kill this process before or after a method if that is the chosen moment."""
    original: Callable[..., Any] = getattr(owner, method)

    def call(*args: Any, **options: Any) -> Any:
        reach(before)
        result = original(*args, **options)
        reach(after)
        return result

    setattr(owner, method, call)


kill_around(SendRecordsTable, "store", "before-store", "after-store")
kill_around(CertCentralClient, "resend_emails", None, "after-put")
kill_around(CertCentralClient, "resend_domain_emails", None, "after-put")
kill_around(SendRecordsTable, "settle", None, "after-settle")

context: Any = types.SimpleNamespace(
    function_name="resend",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:resend:live",
    aws_request_id=request_id,
    tenant_id=None,
    get_remaining_time_in_millis=lambda: int(SECONDS_LEFT * 1000),
)
try:
    print("ANSWER", json.dumps(lambda_handler(event, context)))
except ResendError as error:
    print("ANSWER", json.dumps({"error": type(error).__name__, "message": str(error)}))
