"""`make up`, `make explain`, `make sweep`, `make chase` and `make down`: a stack that keeps running, and its use.

`.local/stack.json` has the addresses of its parts, for people and for tools.
"""

import json
import os
import shlex
import shutil
import sys
from contextlib import closing
from pathlib import Path

from dev.local.chase import chase
from dev.local.explain import explain
from dev.local.processes import Children, Process, StartError, exit_code, signals_deferred, signals_end_the_block
from dev.local.run import EXAMPLE_BODY, EXAMPLE_ORDER
from dev.local.stack import FOLDER, RESEND_PATH, LocalStack, generate_key, start
from dev.local.steps import Steps
from dev.local.sweep import sweep

STACK_FILE = FOLDER / "stack.json"
_LOGS = FOLDER / "up"
# Seconds. Together they leave enough time to set the order to issued by hand.
_CHASE_WAITS = "10,20,30"


def up() -> int:
    """Start a stack unless one is running; return the exit code."""
    recorded = _recorded(STACK_FILE)
    if recorded and all(process.is_running for process in recorded):
        print(f"The stack is already running. Its addresses are in {STACK_FILE}. `make down` stops it.")
        return 0
    down()  # stops what a crash has left behind
    _LOGS.mkdir(parents=True)
    with signals_end_the_block():
        children = Children(_LOGS)
        try:
            stack = start(
                children, _LOGS, api_key=generate_key(), parameters={}, certcentral_url=None, on_step=Steps().step
            )
            with signals_deferred():
                STACK_FILE.write_text(stack.to_json())
                children.started.clear()  # from now on `down` stops them
        finally:
            children.stop()
    print(f"""
The stack is running.

  API        {stack.api_url}
  Emulator   {stack.emulator_url}/  (orders and emails, for a browser)
  Addresses  {STACK_FILE}

This line points `dv-resend` (docs/command.md) at it:

export {shlex.join(f"{name}={value}" for name, value in stack.command_environment().items())}

Send DigiCert's documented request:

curl -i -X PUT {stack.api_url}{RESEND_PATH.format(EXAMPLE_ORDER)} \\
  -H 'Content-Type: application/json' \\
  -d '{json.dumps(EXAMPLE_BODY)}'

`make explain` shows why each order is still waiting, `make sweep` reminds the due orders, `make chase` follows one.
`make down` stops the stack.""")
    return 0


def explain_orders() -> int:
    """Show what a resend of each order in the running stack, or of one, would do; return the exit code."""
    order_id = _order_id()
    with closing(_running("`make explain` then shows why its orders are still waiting.")) as stack:
        return 0 if explain(stack, order_id) else 1


def sweep_orders() -> int:
    """Sweep the orders in the running stack; return the exit code."""
    with closing(_running("(`make run` includes a sweep.)")) as stack:
        return 0 if sweep(stack, Steps(), dry_run=os.environ.get("DRY_RUN") == "1") else 1


def chase_one() -> int:
    """Chase one order in the running stack; return the exit code."""
    order_id = _order_id() or int(EXAMPLE_ORDER)
    waits = _seconds(os.environ.get("WAITS", "").strip() or _CHASE_WAITS)
    with closing(_running("`make chase` then follows one of its orders.")) as stack:
        return 0 if chase(stack, Steps(), order_id, waits) else 1


def down() -> int:
    """Stop what `up` started, and nothing else; return the exit code."""
    for process in reversed(_recorded(STACK_FILE)):
        process.stop()
    STACK_FILE.unlink(missing_ok=True)
    shutil.rmtree(_LOGS, ignore_errors=True)
    return 0


def _running(hint: str) -> LocalStack:
    if not any(process.is_running for process in _recorded(STACK_FILE)):
        raise StartError(f"No stack is running. Start one with `make up`. {hint}")
    try:
        return LocalStack.from_json(STACK_FILE.read_text())
    except (KeyError, TypeError):
        raise StartError("The running stack has another version. Restart it: `make down`, then `make up`.") from None


def _order_id() -> int | None:
    text = os.environ.get("ORDER_ID", "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise StartError("ORDER_ID must be a number.")
    return int(text)


def _seconds(text: str) -> list[float]:
    try:
        waits = [float(part) for part in text.split(",")]
    except ValueError:
        waits = []
    if not waits or not all(0 < wait <= 3600 for wait in waits):
        raise StartError(f"WAITS must be numbers of seconds up to 3600, separated by commas, such as {_CHASE_WAITS}.")
    return waits


def _recorded(file: Path) -> list[Process]:
    """Return the processes of a stack file; none if there is no readable file."""
    try:
        return [Process(**entry) for entry in json.loads(file.read_text())["processes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _main() -> int:
    programs = {"up": up, "explain": explain_orders, "sweep": sweep_orders, "chase": chase_one, "down": down}
    if sys.argv[1] in ("up", "down"):
        return exit_code(programs[sys.argv[1]])
    # Interrupting the output does not interrupt a sweep or a chase, which the running stack executes.
    return exit_code(programs[sys.argv[1]], "The stack keeps working in the background.")


if __name__ == "__main__":
    sys.exit(_main())
