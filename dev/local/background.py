"""`make up`, `make explain`, `make sweep`, `make chase` and `make down`: a stack that stays, what it does with its
orders, and its end.

`.local/stack.json` says where its parts are, for people and for tools.
"""

import json
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

from dev.local.chase import chase
from dev.local.explain import explain
from dev.local.processes import Children, Process, StartError, signals_end_the_block, signals_wait
from dev.local.run import EXAMPLE_BODY, EXAMPLE_ORDER
from dev.local.stack import FOLDER, RESEND_PATH, LocalStack, generate_key, start
from dev.local.steps import Steps
from dev.local.sweep import sweep

STACK_FILE = FOLDER / "stack.json"
_LOGS = FOLDER / "up"
# Seconds; together long enough to have the order validated by hand.
_CHASE_WAITS = "10,20,30"


def up() -> int:
    """Start a stack unless one runs; the exit code."""
    recorded = _recorded(STACK_FILE)
    if recorded and all(process.is_running for process in recorded):
        print(f"It is up already; {STACK_FILE} says where. `make down` stops it.")
        return 0
    down()  # what a crash has left
    _LOGS.mkdir(parents=True)
    with signals_end_the_block():
        children = Children(_LOGS)
        try:
            stack = start(
                children, _LOGS, api_key=generate_key(), parameters={}, certcentral_url=None, on_step=Steps().step
            )
            with signals_wait():
                STACK_FILE.write_text(stack.to_json())
                children.started.clear()  # from here on they belong to `down`
        finally:
            children.stop()
    print(f"""
The API       {stack.api_url}
Emulator      {stack.emulator_url}  (orders and outbox: open it in a browser)
Where is what {STACK_FILE}

curl -i -X PUT {stack.api_url}{RESEND_PATH.format(EXAMPLE_ORDER)} \\
  -H 'Content-Type: application/json' \\
  -d '{json.dumps(EXAMPLE_BODY)}'

`make explain` says of each order why it waits, `make sweep` reminds those that are due, `make chase` follows one.
`make down` stops it.""")
    return 0


def explain_it() -> int:
    """Say of each order of the running stack, or of one, what a resend would do; the exit code."""
    order_id = _order_id()
    with closing(_running("Then `make explain` says what its orders wait for.")) as stack:
        return 0 if explain(stack, order_id) else 1


def sweep_it() -> int:
    """Sweep over the orders of the running stack; the exit code."""
    with closing(_running("`make run` shows a sweep of its own.")) as stack:
        return 0 if sweep(stack, Steps(), dry_run=os.environ.get("DRY_RUN") == "1") else 1


def chase_one() -> int:
    """Chase an order of the running stack; the exit code."""
    order_id = _order_id() or int(EXAMPLE_ORDER)
    waits = _seconds(os.environ.get("WAITS", "").strip() or _CHASE_WAITS)
    with closing(_running("Then `make chase` follows an order of its emulator.")) as stack:
        return 0 if chase(stack, Steps(), order_id, waits) else 1


def down() -> int:
    """Stop what `up` started, and nothing else; the exit code."""
    for process in reversed(_recorded(STACK_FILE)):
        process.stop()
    STACK_FILE.unlink(missing_ok=True)
    shutil.rmtree(_LOGS, ignore_errors=True)
    return 0


def _running(hint: str) -> LocalStack:
    if not any(process.is_running for process in _recorded(STACK_FILE)):
        raise StartError(f"Nothing is up. `make up` starts a stack that stays. {hint}")
    try:
        return LocalStack.from_json(STACK_FILE.read_text())
    except (KeyError, TypeError):
        raise StartError("What is up is of another version. `make down` and `make up` start it afresh.") from None


def _order_id() -> int | None:
    text = os.environ.get("ORDER_ID", "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise StartError("ORDER_ID must be digits.")
    return int(text)


def _seconds(text: str) -> list[float]:
    try:
        waits = [float(part) for part in text.split(",")]
    except ValueError:
        waits = []
    if not waits or not all(0 < wait <= 3600 for wait in waits):
        raise StartError(f"WAITS must be seconds up to 3600, joined by commas, such as {_CHASE_WAITS}.")
    return waits


def _recorded(file: Path) -> list[Process]:
    """The processes of a stack file; none if there is no file, or no sense in it."""
    try:
        return [Process(**entry) for entry in json.loads(file.read_text())["processes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _main() -> int:
    try:
        return {"up": up, "explain": explain_it, "sweep": sweep_it, "chase": chase_one, "down": down}[sys.argv[1]]()
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # A sweep or a chase is the running stack's own work; only the look at it ends.
        what = "everything is stopped" if sys.argv[1] in ("up", "down") else "the stack goes on with what it was doing"
        print(f"\ninterrupted; {what}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(_main())
