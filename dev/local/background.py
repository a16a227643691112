"""`make up` and `make down`: a stack that keeps running. `dv-resend` uses it, like any stack.

`.local/stack.json` has the addresses of its parts, for people and for tools.
"""

import json
import shlex
import shutil
import sys
from pathlib import Path

from dev.emulator.access import DEFAULT_KEYS
from dev.local.processes import Children, Process, StartError, exit_code, signals_deferred, signals_end_the_block
from dev.local.run import EXAMPLE_BODY, EXAMPLE_ORDER, parameters_of_environment
from dev.local.stack import COMMAND, FOLDER, RESEND_PATH, LocalStack, generate_key, start
from dev.local.steps import Steps

STACK_FILE = FOLDER / "stack.json"
_LOGS = FOLDER / "up"
_OTHER_ORDERS = """
The OV orders 100000025 and 100000026 wait for the same domain. After `dv-resend resend 100000025`,
`dv-resend resend 100000026` is a duplicate, and mails nobody."""


def up() -> int:
    """Start a stack unless one is running; return the exit code. `ORDER_TYPES` is the parameter `OrderTypes`."""
    parameters = parameters_of_environment()
    recorded = _recorded(STACK_FILE)
    if recorded and all(process.is_running for process in recorded):
        try:
            stack = LocalStack.from_json(STACK_FILE.read_text())
        except (KeyError, TypeError):
            raise StartError("The running stack has another version. Run `make down`, then `make up`.") from None
        asked = parameters.get("OrderTypes", stack.order_types)
        if asked != stack.order_types:
            # Without the setting, `make up` would start a stack with `dv`.
            again = f"Run `make down`, then `ORDER_TYPES={asked} make up`."
            raise StartError(f"The running stack has OrderTypes={stack.order_types}. {again}")
        describe(stack)
        return 0
    _stop(recorded)  # what a crash has left behind
    _LOGS.mkdir(parents=True)
    with signals_end_the_block():
        children = Children(_LOGS)
        try:
            stack = start(
                children,
                _LOGS,
                api_key=generate_key(),
                parameters=parameters,
                certcentral_url=None,
                on_step=Steps().step,
            )
            with signals_deferred():
                STACK_FILE.write_text(stack.to_json())
                children.started.clear()  # from now on `down` stops them
        finally:
            children.stop()
    describe(stack)
    return 0


def down() -> int:
    """Stop what `up` started, and nothing else; return the exit code."""
    recorded = _recorded(STACK_FILE)
    _stop(recorded)
    print("The stack is stopped." if recorded else "No stack is running.")
    return 0


def describe(stack: LocalStack) -> None:
    """Print how to use the stack."""
    settings = shlex.join(f"{name}={value}" for name, value in stack.command_environment().items())
    serves_all = stack.order_types == "all"
    print(f"""
The stack is running{f", with OrderTypes={stack.order_types}" if serves_all else ""}.

  API        {stack.api_url}
  Emulator   {stack.emulator_url}/  (orders, calls and emails, for a browser)
  Addresses  {STACK_FILE}

To use it with `dv-resend` (docs/command.md), run this in your shell. It puts the command on the PATH, too. It replaces
the AWS credentials of that shell: to undo it, open a new shell. Each `make up` has other ports, and so another line:

export PATH={shlex.quote(str(COMMAND.parent))}:"$PATH" {settings}

Send DigiCert's documented request:

curl -i -X PUT {stack.api_url}{RESEND_PATH.format(EXAMPLE_ORDER)} \\
  -H 'Content-Type: application/json' \\
  -d '{json.dumps(EXAMPLE_BODY)}'

`dv-resend pending` lists the orders, `dv-resend explain 100000001` shows why one is still waiting, `dv-resend sweep`
reminds the due ones, and `dv-resend chase 100000001 --waits 10s,20s,30s` follows one. `dv-resend set-key`
accepts {next(iter(DEFAULT_KEYS))}, which is a key of the emulator and no secret. `make down` stops the stack.""")
    if serves_all:
        print(_OTHER_ORDERS)


def _stop(processes: list[Process]) -> None:
    for process in reversed(processes):
        process.stop()
    STACK_FILE.unlink(missing_ok=True)
    shutil.rmtree(_LOGS, ignore_errors=True)


def _recorded(file: Path) -> list[Process]:
    """Return the processes of a stack file; none if there is no readable file."""
    try:
        return [Process(**entry) for entry in json.loads(file.read_text())["processes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


if __name__ == "__main__":
    sys.exit(exit_code({"up": up, "down": down}[sys.argv[1]]))
