"""`dv-resend chase`."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from dv_resend_cli.app import App
from dv_resend_cli.aws import goes_on_after_errors, one_line
from dv_resend_cli.chase import (
    DEFAULT_WAITS_HOURS,
    UNKNOWN_SENDS,
    WAITS,
    Chases,
    Execution,
    as_object,
    is_running,
    resends,
    result_of,
    starts_another,
)
from dv_resend_cli.domains import names
from dv_resend_cli.errors import FUNCTION_ERRORS, ExitCode, Failure
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output
from dv_resend_cli.parameters import (
    Recipient,
    locale_option,
    order_id_argument,
    recipients_option,
    request_fields,
)
from dv_resend_cli.sending import Sending

_NOT_RUN = "Nothing is sent while that is so; the chase goes on all the same."
_THROTTLED = "Lambda.TooManyRequestsException"
_UNITS = {"d": 86400, "h": 3600, "min": 60, "s": 1}


@subcommand
@order_id_argument
@click.option("--waits", type=WAITS, help="How long to wait after each email, such as 24,72 (hours) or 3d,12h,30m,10s.")
@recipients_option
@locale_option
@click.option("--no-watch", is_flag=True, help="End when the chase has started.")
@click.option("--again", is_flag=True, help="Start another chase if the last one of this order has ended.")
@click.option("--stop", is_flag=True, help="Stop the chase of this order.")
def command(
    app: App,
    order_id: int,
    waits: tuple[float, ...] | None,
    recipients: tuple[Recipient, ...],
    locale: str | None,
    *,
    no_watch: bool,
    again: bool,
    stop: bool,
) -> ExitCode:
    """Chase ORDER_ID: resend, wait, look whether the certificate is issued, and so on, until it is.

    This starts an execution of the stack's workflow, and watches it. Ctrl-C stops watching only; the same command
    watches again. If the chase has ended, it says how, and starts none without --again. Without --waits, they are 1,
    2, 4 and 7 days.

    \b
    Examples:
      dv-resend chase 123456789
      dv-resend chase 123456789 --waits 24,72 --to example.com=admin@example.com
      dv-resend chase 123456789 --again
      dv-resend chase 123456789 --stop
    """
    if stop and (waits or recipients or locale or no_watch or again):
        raise click.UsageError("--stop excludes the other options.")
    chases = Chases(app.session, app.stack)
    if stop:
        stopped = {"order_id": order_id, "execution": chases.stop(order_id)["executionArn"], "status": "stopped"}
        app.output.show(stopped, lambda _, out: out.line(f"The chase of order {order_id} is stopped."))
        return ExitCode.OK
    request = request_fields(order_id, recipients, locale) | ({"waits_hours": waits} if waits else {})
    how = f"`dv-resend chase {order_id}` watches it, `dv-resend chase {order_id} --stop` stops it."
    try:
        execution, is_new = chases.start(request, again=again)
    except KeyboardInterrupt:
        message = f"stopped by Ctrl-C, but the chase may have started: {how}"
        raise Failure("Interrupted", message, ExitCode.INTERRUPTED) from None
    chase = {"order_id": order_id, "execution": execution["executionArn"], "started": is_new, "status": "running"}
    if not is_new and not is_running(execution):
        app.output.note(f"This chase has ended: {execution['executionArn']}. {starts_another(order_id)}")
        app.output.show(chase | {"status": "succeeded", "output": result_of(execution, order_id)}, _write_result)
        return ExitCode.OK
    try:
        _introduce(
            app, chase, is_other=len(request) > 1 and as_object(execution["input"]) != as_object(json.dumps(request))
        )
        if not no_watch:
            with goes_on_after_errors(f"The chase itself goes on: {how}"):
                _watch(chases, execution, app.output)
                ended = chases.describe(execution)
            chase["status"] = ended["status"].lower()
            chase["output"] = result_of(ended, order_id)
    except KeyboardInterrupt:
        app.output.show(chase, _write_nothing)
        app.output.note(f"Stopped watching. The chase goes on: {how}")
        return ExitCode.INTERRUPTED
    except Failure as failure:
        if not app.as_json:
            raise
        app.output.document(chase | {"error": failure.to_json()})
        return failure.exit_code
    app.output.show(chase, _write_nothing if no_watch else _write_result)
    return ExitCode.OK


def _introduce(app: App, chase: Mapping[str, Any], *, is_other: bool) -> None:
    """Say which chase this is; `is_other` if it was asked for with other options than it was started with."""
    if chase["started"]:
        _warn_if_stopped(app)
    if not app.as_json:
        _write_start(chase, app.output)
    if is_other and not chase["started"]:
        app.output.note("It was started with other options, which stay as they are.")


def _warn_if_stopped(app: App) -> None:
    """Say so if all sending is stopped. Without the permission to see that, the events of the chase show it."""
    with suppress(Exception):
        if Sending(app.session, app.stack).is_stopped(app.stack.function_name):
            app.output.note(f"All sending is stopped: {app.stack.function_name} has a concurrency of 0. {_NOT_RUN}")


def _watch(chases: Chases, execution: Execution, out: Output) -> None:
    """Show what happens until the chase ends."""
    texts, seen = _EventTexts(execution), 0
    while True:
        with out.waiting("Watching the chase; Ctrl-C stops watching only"):
            events = chases.next_events(execution, seen)
        if not events:
            return
        seen = events[-1]["id"]
        for text in filter(None, map(texts.text_of, events)):
            if not out.as_json:
                out.line(text)


class _EventTexts:
    """Says in a line what an event of an execution means."""

    def __init__(self, execution: Execution) -> None:
        waits = as_object(execution["input"]).get("waits_hours", DEFAULT_WAITS_HOURS)
        self._waits = list(waits) if isinstance(waits, list | tuple) else [waits]
        self._state = ""

    def text_of(self, event: Mapping[str, Any]) -> str | None:
        """Return the line of an event; ``None`` if a person need not know of it."""
        text = None
        if entered := event.get("stateEnteredEventDetails"):
            self._state = entered["name"]
            text = self._entered(event["timestamp"])
        elif succeeded := event.get("taskSucceededEventDetails"):
            text = _answered(as_object(succeeded["output"]).get("Payload", {}))
        elif failed := event.get("taskFailedEventDetails") or event.get("taskTimedOutEventDetails"):
            text = f"{'Status' if self._state == 'CheckStatus' else self._state}: {_error(failed, self._state)}"
        return text and f"{_utc(event['timestamp'])}  {text}"

    def _entered(self, moment: datetime) -> str | None:
        if self._state in ("NextReminder", "NextWait"):
            del self._waits[0]
        if self._state != "WaitForValidation":
            return None
        hours = self._waits[0]
        return f"Waiting {_duration(hours)}, until {_utc(moment + timedelta(hours=hours))}"


def _answered(result: Mapping[str, Any]) -> str | None:
    if "outcome" not in result:
        return f"Status: {result.get('status')}"
    if result["outcome"] == "duplicate":
        return f"Resend: duplicate, nobody was mailed; the last email was sent at {result.get('sent_at')}"
    domains = names(f"{domain['name']}: {domain['outcome']}" for domain in result.get("domains", []))
    return f"Resend: {result['outcome']}" + (f" ({domains})" if domains else "")


def _error(failed: Mapping[str, Any], state: str) -> str:
    name, cause = failed.get("error", ""), as_object(failed.get("cause"))
    message = cause.get("errorMessage") or cause.get("message") or failed.get("cause") or "no reason is given"
    if FUNCTION_ERRORS.get(name, ("",))[0] == ExitCode.RETRYABLE or name == _THROTTLED:
        return f"{name}: {one_line(message)} It is tried again."
    if state != "Resend" or name not in UNKNOWN_SENDS:
        return f"{name}: {message}"
    if cause.get("__type") == _THROTTLED.removeprefix("Lambda."):
        return f"{name}: {one_line(message)} {_NOT_RUN}"
    return f"{name}: {one_line(message)} The email may have been sent, so the chase waits as after an email."


def _duration(hours: float) -> str:
    seconds = round(hours * 3600)
    unit, size = next((unit, size) for unit, size in _UNITS.items() if seconds % size == 0)
    return f"{seconds // size} {unit}"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _write_start(chase: Mapping[str, Any], out: Output) -> None:
    state = "has started" if chase["started"] else "is already running"
    out.line(f"The chase of order {chase['order_id']} {state}", style="bold")
    out.line(chase["execution"])


def _write_nothing(_chase: Mapping[str, Any], _out: Output) -> None:
    """Leave it at what was written before."""


def _write_result(chase: Mapping[str, Any], out: Output) -> None:
    out.line(f"Order {chase['order_id']}: {chase['output'].get('result')}", style="bold green")
    out.line(resends(chase["output"].get("sends")))
