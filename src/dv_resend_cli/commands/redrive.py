"""`dv-resend redrive`."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import click

from dv_resend_cli.app import App
from dv_resend_cli.aws import as_failure
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.failed_events import FailedEvent, read_failed, read_undelivered
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import counted
from dv_resend_cli.plan import skipped_text
from dv_resend_cli.queue import Queue
from dv_resend_cli.redrive import Redriven, Redriver

# One event may fail for a reason of its own. The next one tells.
_TROUBLES_TO_STOP = 2
_MAX_SHOWN = 3


@subcommand
@click.argument("queue", type=click.Choice(["failed-events", "undelivered"]))
@click.option("--dry-run", is_flag=True, help="Only show what would happen.")
@click.option(
    "--force",
    is_flag=True,
    help="Also send what may have been sent before, in part or in all, and mail again where an event asks for it.",
)
@click.option(
    "--drop",
    is_flag=True,
    help="Delete what is refused or unreadable, or may have been sent before, in part or in all.",
)
@click.option("--order", "orders", metavar="ORDER_ID", multiple=True, help="Only events of this order; repeatable.")
@click.option("--event", "ids", metavar="ID", multiple=True, help="Only the event with this id; repeatable.")
@click.option("--all", "is_all", is_flag=True, help="Let --force and --drop concern the whole queue.")
def command(
    app: App,
    queue: str,
    *,
    dry_run: bool,
    force: bool,
    drop: bool,
    orders: tuple[str, ...],
    ids: tuple[str, ...],
    is_all: bool,
) -> ExitCode:
    """Send failed or undelivered events again, and delete them from their queue.

    Each event is shown with its error, and sent again if a dry run says that its emails are still wanted. It then
    leaves the queue, and so does an event whose emails are not wanted any more. All others stay: what may succeed
    later, what is refused, and what may have been sent before, or was sent about some domains of its order only. Nobody
    is mailed twice for one event. --force and --drop need --order or --event, or --all.

    \b
    Examples:
      dv-resend redrive failed-events --dry-run
      dv-resend redrive undelivered
      dv-resend redrive failed-events --order 123456789 --force
    """
    choice = _Choice(frozenset(orders), frozenset(ids))
    _require_choice(choice, is_all=is_all, is_needed=force or drop)
    redriver = Redriver(
        app.session, app.stack, app.functions, dry_run=dry_run, force=force, drop=drop, note=app.output.note
    )
    run = _Run(app, redriver, dry_run=dry_run)
    stack = app.stack
    if queue == "failed-events":
        url, read = stack.failed_events_queue_url, read_failed
    else:
        url, read = stack.undelivered_events_queue_url, read_undelivered
    stopped: Failure | None = None
    with Queue(app.session, url) as waiting:
        try:
            for message in waiting.messages():
                event = read(message)
                if (
                    choice.takes(event)
                    and run.redrive(event, partial(waiting.extend_visibility, message))
                    and not dry_run
                ):
                    waiting.delete(message)
                if stopped := run.reason_to_stop:
                    break
            else:
                run.held_by_others = waiting.held_by_others()
        except KeyboardInterrupt:
            stopped = Failure("Interrupted", "Interrupted.", ExitCode.INTERRUPTED)
        except Exception as error:
            stopped = error if isinstance(error, Failure) else as_failure(error)
            if stopped is None:
                raise
    return run.finish(queue, stopped, is_chosen=bool(choice))


class _Choice(NamedTuple):
    """The events that the command line names by order or by id; all if it names none."""

    orders: frozenset[str]
    ids: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.orders or self.ids)

    def takes(self, event: FailedEvent) -> bool:
        return not self or event.id in self.ids or str(event.fields.get("order_id")) in self.orders


def _require_choice(choice: _Choice, *, is_all: bool, is_needed: bool) -> None:
    if choice and is_all:
        raise click.UsageError("--all excludes --order and --event.")
    if is_needed and not (choice or is_all):
        raise click.UsageError("--force and --drop need --order or --event, or --all for the whole queue.")


class _Run:
    """Shows event by event what becomes of it."""

    def __init__(self, app: App, redriver: Redriver, *, dry_run: bool) -> None:
        self._out = app.output
        self._stack = app.stack
        self._redriver = redriver
        self._dry_run = dry_run
        self._rows: list[dict[str, Any]] = []
        self._exit_code = ExitCode.OK
        self._troubles: list[Failure] = []
        self.held_by_others = 0
        """Messages that are in another redrive's hands, or that a killed one had."""

    @property
    def reason_to_stop(self) -> Failure | None:
        """The error that the last events met, and that the next ones would meet, too."""
        last = self._troubles[-1] if self._troubles else None
        is_last = len(self._troubles) >= _TROUBLES_TO_STOP or (last and last.exit_code == ExitCode.INTERRUPTED)
        return last if is_last else None

    def redrive(self, event: FailedEvent, extend_visibility: Callable[[], None]) -> bool:
        """Redrive an event, and return whether it may be deleted."""
        if not self._out.as_json:
            self._out.line(_title(event), style="bold")
        with self._out.waiting("Redriving"):
            redriven = self._redriver.redrive(event, extend_visibility)
        self._show(event, redriven)
        self._exit_code = max(self._exit_code, redriven.exit_code)
        self._troubles = [*self._troubles, redriven.trouble] if redriven.trouble else []
        return redriven.is_done

    def finish(self, queue: str, stopped: Failure | None, *, is_chosen: bool) -> ExitCode:
        """Show the summary, and why the run stopped early."""
        if self.held_by_others and not self._rows:
            self._exit_code = ExitCode.RETRYABLE
        if self._out.as_json:
            error = {"error": stopped.to_json()} if stopped else {}
            about = {"queue": queue, **self._stack.identity, "dry_run": self._dry_run}
            self._out.document({**about, "events": self._rows, "held_by_others": self.held_by_others, **error})
        else:
            counts = Counter(row["outcome"] for row in self._rows)
            summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
            nothing = "No such event is waiting" if is_chosen else "No event is waiting"
            self._out.line(f"{summary or nothing} ({self._stack})")
            if self.held_by_others:
                others = f"Another redrive has {counted(self.held_by_others, 'event')} in hand."
                self._out.note(f"{others} What a killed one had comes back within 15 minutes.")
            if self._dry_run and self._rows:
                self._out.note("This was a dry run: nothing was sent or deleted.")
            if stopped:
                self._out.failure(stopped)
                self._out.note("The other events are left in the queue.")
        return max(self._exit_code, stopped.exit_code) if stopped else self._exit_code

    def _show(self, event: FailedEvent, redriven: Redriven) -> None:
        is_deleted = redriven.is_done and not self._dry_run
        self._rows.append(
            {
                "id": event.id,
                "order_id": event.fields.get("order_id"),
                "error": event.error,
                "error_message": event.error_message,
                "request": dict(event.fields),
                "outcome": redriven.outcome,
                "message": redriven.text,
                "skipped": list(redriven.skipped),
                "deleted": is_deleted,
            }
        )
        if not self._out.as_json:
            where = "deleted" if is_deleted else "left in the queue"
            style = "green" if redriven.is_done else "yellow"
            self._out.line(f"{redriven.outcome} ({where}): {redriven.text}", indent=2, style=style)
            for entry in redriven.skipped:
                self._out.line(skipped_text(entry), indent=2, style="yellow")


def _title(event: FailedEvent) -> str:
    if event.kind == "unreadable":
        return f"Message, event {event.id}"
    subject = "Sweep" if event.kind == "sweep" else f"Order {event.fields.get('order_id')}"
    subject += f", event {event.id}{', forced' if event.asks_for_force else ''}"
    addresses = [entry.get("email") for entry in _entries(event) if isinstance(entry, dict)]
    more = f" and {len(addresses) - _MAX_SHOWN} more" if len(addresses) > _MAX_SHOWN else ""
    to = f", to {', '.join(map(str, addresses[:_MAX_SHOWN]))}{more}" if addresses else ""
    error = ": ".join(filter(None, [event.error, event.error_message]))
    return f"{subject}{to}: {f'failed with {error}' if error else 'no error is recorded'}"


def _entries(event: FailedEvent) -> list[Any]:
    named = event.fields.get("domain_approval_emails")
    return named if isinstance(named, list) else []
