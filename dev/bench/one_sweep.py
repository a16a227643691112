"""One sweep or listing by the real handler, in a process of its own, whose memory is measured.

`python one_sweep.py SECONDS ACTION` prints the answer, the time and the peak memory; SECONDS is the function's timeout,
ACTION is `sweep` or `pending`.
"""

import json
import sys
import time
import types
from pathlib import Path
from typing import Any

from dv_resend import app

deadline = time.monotonic() + float(sys.argv[1])
context: Any = types.SimpleNamespace(
    function_name="sweep",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:sweep:live",
    aws_request_id="11111111-2222-4333-8444-555555555555",
    tenant_id=None,
    get_remaining_time_in_millis=lambda: int((deadline - time.monotonic()) * 1000),
)
started = time.monotonic()
answer = app.lambda_handler({"action": sys.argv[2]}, context)
# Lambda's runtime makes JSON of the answer, in the same process.
size = len(json.dumps(answer))
taken = time.monotonic() - started
# Not getrusage: its maximum is inherited from the parent process.
(peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
print("MEASURED", json.dumps({"answer": answer, "bytes": size, "seconds": taken, "peak_mb": int(peak) / 1024}))
