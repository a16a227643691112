"""One link of a sweep, by the real handler, in a process of its own whose memory is measured.

`python one_sweep.py EVENT SECONDS` prints the summary, the next link if there is one, the time and the peak memory.
"""

import json
import sys
import time
import types
from pathlib import Path
from typing import Any

from dv_resend import app

event, seconds = json.loads(sys.argv[1]), float(sys.argv[2])
links: list[Any] = []
# In place of the self-invocation, so that the next link has a process of its own here too.
app._go_on = lambda link, *_: links.append(link.to_json())

deadline = time.monotonic() + seconds
context = types.SimpleNamespace(
    function_name="sweep",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:sweep:live",
    aws_request_id="11111111-2222-4333-8444-555555555555",
    tenant_id=None,
    get_remaining_time_in_millis=lambda: int((deadline - time.monotonic()) * 1000),
)
started = time.monotonic()
summary = app.lambda_handler(event, context)
taken = time.monotonic() - started
# Not getrusage: its maximum is inherited from the process that started this one.
(peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
print("MEASURED", json.dumps({"summary": summary, "links": links, "seconds": taken, "peak_mb": int(peak) / 1024}))
