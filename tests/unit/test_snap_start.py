"""SnapStart's hooks, in a process that starts as Lambda starts one for a snapshot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).parents[2] / "src")

# The runtime's own package is nowhere else: this stands in for it, and then plays Lambda.
PROGRAM = """
import json, random, sys, types

hooks = types.ModuleType("snapshot_restore_py")
before, after = [], []
hooks.register_before_snapshot, hooks.register_after_restore = before.append, after.append
sys.modules["snapshot_restore_py"] = hooks

from dv_resend import app

for hook in reversed(before):
    hook()
lazy = ["dns.resolver", "publicsuffixlist", "dv_resend.explain", "dv_resend.worker"]
loaded = [name for name in lazy if name in sys.modules]
warm, state = app._adapters(), random.getstate()
for hook in after:
    hook()
print(json.dumps({
    "hooks": [len(before), len(after)],
    "loaded": loaded == lazy,
    "fresh": app._adapters() is not warm,
    "reseeded": random.getstate() != state,
}))
"""


def run(initialization: str) -> dict[str, object]:
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "PYTHONPATH": SOURCE,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization,
        "API_KEY_SECRET_ID": "a-secret",
        "CLAIMS_TABLE": "a-table",
    }
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)


def test_the_snapshot_has_every_module_and_its_copies_share_nothing() -> None:
    assert run("snap-start") == {"hooks": [1, 1], "loaded": True, "fresh": True, "reseeded": True}


@pytest.mark.parametrize("initialization", ["on-demand", "provisioned-concurrency", ""])
def test_without_snap_start_there_are_no_hooks(initialization: str) -> None:
    assert run(initialization)["hooks"] == [0, 0]
