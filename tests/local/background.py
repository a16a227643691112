"""`make up`, `make sweep` and `make down`: a stack that stays, a sweep of its orders, and its end.

`.local/stack.json` says where its parts are, for people and for tools.
"""

import json
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

from local.processes import Children, Process, StartError, signals_end_the_block, signals_wait
from local.run import EXAMPLE_BODY, EXAMPLE_ORDER
from local.stack import FOLDER, LocalStack, generate_key, start
from local.steps import Steps
from local.sweep import sweep

STACK_FILE = FOLDER / "stack.json"
_LOGS = FOLDER / "up"


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

curl -i -X PUT {stack.api_url}/services/v2/order/certificate/{EXAMPLE_ORDER}/resend-emails \\
  -H 'Content-Type: application/json' \\
  -d '{json.dumps(EXAMPLE_BODY)}'

`make sweep` reminds the orders that are due. `make down` stops it.""")
    return 0


def sweep_it() -> int:
    """Sweep over the orders of the running stack; the exit code."""
    if not any(process.is_running for process in _recorded(STACK_FILE)):
        raise StartError("Nothing is up. `make up` starts a stack that stays; `make run` shows a sweep of its own.")
    try:
        stack = LocalStack.from_json(STACK_FILE.read_text())
    except (KeyError, TypeError):
        raise StartError("What is up is of another version. `make down` and `make up` start it afresh.") from None
    with closing(stack):
        return 0 if sweep(stack, Steps(), dry_run=os.environ.get("DRY_RUN") == "1") else 1


def down() -> int:
    """Stop what `up` started, and nothing else; the exit code."""
    for process in reversed(_recorded(STACK_FILE)):
        process.stop()
    STACK_FILE.unlink(missing_ok=True)
    shutil.rmtree(_LOGS, ignore_errors=True)
    return 0


def _recorded(file: Path) -> list[Process]:
    """The processes of a stack file; none if there is no file, or no sense in it."""
    try:
        return [Process(**entry) for entry in json.loads(file.read_text())["processes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _main() -> int:
    try:
        return {"up": up, "sweep": sweep_it, "down": down}[sys.argv[1]]()
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(_main())
