"""The corrections of the local AWS replace what they mean to, and nothing else; the end-to-end tests run with them."""

import json
import re
import subprocess

from dev.local.template import ROOT

PROGRAM = """
import json, runpy, sys
from ministack.services import eventbridge, lambda_svc
modules = eventbridge, lambda_svc
before = {(module.__name__, name): value for module in modules for name, value in vars(module).items()}
launcher = runpy.run_path(sys.argv[1], run_name="launcher")
launcher["correct"]()
print(json.dumps([
    [module.__name__, name]
    for module in modules
    for name, value in vars(module).items()
    if before.get((module.__name__, name)) is not value
]))
"""


def test_launcher_replaces_exactly_three_functions() -> None:
    ran = subprocess.run(
        [ROOT / ".tools/local-aws/bin/python", "-c", PROGRAM, ROOT / "dev/local/local_aws.py"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert sorted(json.loads(ran.stdout.splitlines()[-1])) == [
        ["ministack.services.eventbridge", "_dispatch_to_lambda"],
        ["ministack.services.lambda_svc", "_reserved_concurrency"],
        ["ministack.services.lambda_svc", "invoke_async_with_retry"],
    ]


def test_launcher_is_made_for_the_pinned_version() -> None:
    """Another version may not need a correction any more, or need others."""
    (pinned,) = re.findall(r"^ministack==(\S+)", (ROOT / "requirements/local-aws.txt").read_text(), re.MULTILINE)

    assert f"(ministack {pinned})" in (ROOT / "dev/local/local_aws.py").read_text()
