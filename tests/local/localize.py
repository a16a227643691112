"""Makes a build runnable by the local AWS, which has no python3.13 runtime but serves the real Lambda Runtime API.

The one difference to the real template: the function's runtime is a custom one, whose `bootstrap` starts AWS's own
Python runtime client on the very same code.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from local.template import load

# The client finds its interpreter, and the boto3 that Lambda brings, in the environment of the local AWS. `-B` because
# Lambda's code folder is read-only. The variables that configure the local AWS itself are none of the function's.
_BOOTSTRAP = """\
#!/bin/sh
unset AUTH BIND_HOST GATEWAY_PORT MINISTACK_ACCOUNT_ID MINISTACK_REGION TMPDIR HOME OLDPWD
export PATH=/usr/local/bin:/usr/bin:/bin TZ=:UTC
export AWS_EXECUTION_ENV=AWS_Lambda_python3.13 AWS_LAMBDA_LOG_FORMAT=JSON AWS_LAMBDA_LOG_LEVEL=INFO
exec '{python}' -B -m awslambdaric "$_HANDLER"
"""


def localize(template: dict[str, Any]) -> dict[str, Any]:
    """The template for the local AWS: the runtimes swapped, and nothing else changed."""
    local = deepcopy(template)
    for function in _functions(local):
        function["Runtime"] = "provided.al2023"
    return local


def localize_build(folder: Path, python: Path) -> None:
    """Turn the `sam build` result in `folder` into its local form; `python` has the runtime client."""
    path = folder / "template.yaml"
    local = localize(load(path))
    for function in _functions(local):
        bootstrap = folder / function["CodeUri"] / "bootstrap"
        bootstrap.write_text(_BOOTSTRAP.format(python=python))
        bootstrap.chmod(0o755)
    path.write_text(json.dumps(local, indent=2))


def _functions(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
    ]
