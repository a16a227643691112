"""Handles one event in this process, and prints which modules were loaded at init, which by the event, and the answer.

`python dev/loaded_modules.py EVENT KEY`, both as text, with the function's settings in the environment. The modules are
packages; of `dv_resend`, and of Powertools' utilities, modules.
"""

import json
import sys
from collections.abc import Callable
from typing import Any


def loaded() -> set[str]:
    """Name what is loaded, but for the standard library."""
    names = set()
    for name in list(sys.modules):
        package, _, rest = name.partition(".")
        if package == "dv_resend" and rest:
            names.add(name)
        elif name.startswith("aws_lambda_powertools.utilities."):
            names.add(".".join(name.split(".")[:3]))
        # multiprocessing's name for the main module
        elif package not in {*sys.stdlib_module_names, "dv_resend", "__mp_main__"}:
            names.add(package)
    return names


sys.modules["charset_normalizer"] = None  # type: ignore[assignment] # the build leaves it out
before = loaded()
from dv_resend import app
from dv_resend.adapters import aws

at_init = loaded() - before


class Client:
    """Stands in for AWS with a few canned responses, because moto would load everything."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return what answers a call of an operation."""
        answers = {"get_secret_value": {"SecretString": sys.argv[2]}, "send_message_batch": {"Successful": []}}
        return lambda **_: answers.get(operation, {})


class Context:
    """The context of one invocation."""

    function_name, function_version, memory_limit_in_mb, aws_request_id = "f", "1", 128, "one"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:f:live"
    tenant_id = None
    get_remaining_time_in_millis = staticmethod(lambda: 290_000)


setattr(aws, "client", lambda _service: Client())  # noqa: B010
context: Any = Context()
answer = app.lambda_handler(json.loads(sys.argv[1]), context)
print("ANSWER", json.dumps([sorted(at_init), sorted(loaded() - before - at_init), answer]))
