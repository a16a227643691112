"""`dv-resend bulk`."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import click

from dv_resend_cli.app import App
from dv_resend_cli.bulk_file import BulkRequest, read_requests
from dv_resend_cli.bulk_results import Result, Results, ResultsFile, open_results, read_results, results_path
from dv_resend_cli.bulk_run import BulkRun
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.options import subcommand
from dv_resend_cli.output import Output, counted

if TYPE_CHECKING:
    from rich.progress import TaskID

_MAX_SHOWN = 20
_PLANNED = {"outcome": "would_be", "outcomes": "would_be"}
_AGAIN = "Run the same command again: it goes on with what is left, and mails nobody twice."


@subcommand
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.csv")
@click.option("--dry-run", is_flag=True, help="Only show what would happen. Writes no results.")
@click.option(
    "--orders-per-second",
    type=click.FloatRange(0.01, 100),
    default=1,
    show_default=True,
    metavar="NUMBER",
    help="Start at most so many. An order takes three requests; DigiCert allows 5.5 a second.",
)
def command(app: App, file: Path, *, dry_run: bool, orders_per_second: float) -> int:
    """Resend the validation emails of all orders in FILE.csv, one after the other.

    The first row of the file names its columns: order_id and, optionally, domain, email, email_domain and locale. Rows
    of one order are one request. An order without recipients is mailed to DigiCert's default recipients.

    What became of each order is in a file beside it: orders.csv has orders.results.csv. After an interruption of any
    kind, run the same command again. Orders that were sent are left alone.

    \b
    Examples:
      dv-resend bulk orders.csv --dry-run
      dv-resend bulk orders.csv
    """
    requests = read_requests(file)
    path = results_path(file)
    stack = app.stack.arn
    _ = app.functions.caller  # what is wrong with the credentials shows before the first order
    if dry_run:
        return _run(app, requests, Results(stack, read_results(path, stack)), None, orders_per_second)
    with open_results(path, stack) as results:
        return _run(app, requests, results, path, orders_per_second)


def _run(
    app: App, requests: Sequence[BulkRequest], results: Results, path: Path | None, orders_per_second: float
) -> int:
    """Run, and show what became of each request; return the exit code. Without a `path`, it is a dry run."""
    keys = [request.key for request in requests]
    before = [results.of(key) for key in keys]
    failure = None
    with _progress(app.output, len(requests)) as advanced:
        run = BulkRun(
            app.functions.resend,
            results,
            cool_down_seconds=int(app.stack.parameters.get("CoolDownMinutes") or 60) * 60,
            orders_per_second=orders_per_second,
            dry_run=path is None,
            note=app.output.note,
            advanced=advanced,
        )
        try:
            run.run(requests)
        except KeyboardInterrupt:
            failure = Failure("Interrupted", "Interrupted.", ExitCode.INTERRUPTED, _AGAIN)
        except Failure as error:
            failure = error
            if error.exit_code is ExitCode.INTERRUPTED:
                failure = Failure("Interrupted", "Interrupted while an order was sent.", error.exit_code, _AGAIN)
    if isinstance(results, ResultsFile):
        results.compact(keys)
    left_alone = [then for then in before if _is_settled(then)]
    known = [results.of(key) for key in keys]
    # An order that this run has not reached may have the result of an earlier one.
    called = [None if now is then else now for now, then in zip(known, before, strict=True) if not _is_settled(then)]
    report = {
        "orders": [
            asdict(now) | {"left_alone": _is_settled(then)} for now, then in zip(known, before, strict=True) if now
        ],
        "outcomes": _counts(result.outcome if result else "not called" for result in called),
        "left_alone": _counts(result.outcome for result in left_alone),
        "left": sum(result is None or result.is_left for result in called),
        "dry_run": path is None,
        "results": None if path is None else str(path),
    }
    if path is None:
        report = _as_plan(report)
    app.output.show(report | ({"error": failure.to_json()} if failure else {}), _write)
    if failure and not app.as_json:
        app.output.failure(failure)
    codes = [result.exit_code for result in known if result]
    return max([*codes, failure.exit_code if failure else ExitCode.OK])


def _is_settled(result: Result | None) -> TypeGuard[Result]:
    return result is not None and result.is_settled


def _counts(outcomes: Iterable[str]) -> dict[str, int]:
    """Count outcomes, the most frequent first."""
    return dict(Counter(outcomes).most_common())


def _as_plan(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of a dry run: as in a plan, what nobody did is in ``would_be``."""
    orders = [{_PLANNED.get(name, name): value for name, value in order.items()} for order in report["orders"]]
    return {_PLANNED.get(name, name): value for name, value in report.items()} | {"orders": orders}


def _write(report: Mapping[str, Any], out: Output) -> None:
    orders = report["orders"]
    if report["dry_run"]:
        rows = [
            [order["order_id"], order["recipients"], order["would_be"], order["message"] or None] for order in orders
        ]
        out.table(["ORDER", "RECIPIENTS", "WOULD BE", "WHY"], rows)
    else:
        wrong = [order for order in orders if order["exit_code"]]
        for order in wrong[:_MAX_SHOWN]:
            why = order["message"] or "nobody knows yet how its call ended"
            out.line(f"Order {order['order_id']}: {order['outcome']}: {why}", style="yellow")
        if len(wrong) > _MAX_SHOWN:
            out.line(f"and {len(wrong) - _MAX_SHOWN} more")
    outcomes = report["would_be" if report["dry_run"] else "outcomes"]
    now = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    earlier = ", ".join(f"{count} {outcome} earlier" for outcome, count in report["left_alone"].items())
    total = sum(outcomes.values()) + sum(report["left_alone"].values())
    facts = filter(None, [now, earlier and f"left alone: {earlier}"])
    orders_would_be = counted(total, "order") + (" would be" if report["dry_run"] else "")
    out.line(f"{orders_would_be}: {'; '.join(facts)}", style="bold")
    if report["dry_run"]:
        out.line("This was a dry run: nobody was mailed.")
        return
    out.line(f"Results: {report['results']}")
    if report["left"]:
        out.line(f"{counted(report['left'], 'order')} left. {_AGAIN}")


@contextmanager
def _progress(out: Output, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal."""
    if not out.errors.is_terminal:
        yield lambda _left: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=out.errors, transient=True) as progress:
        task: TaskID = progress.add_task("Orders", total=total)
        yield lambda left: progress.update(task, completed=total - left)
