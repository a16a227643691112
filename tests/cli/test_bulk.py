"""The command `bulk`, and its file of results: what a kill, a full disk or another run leaves behind."""

import csv
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import CALLER, STACK, FakeAws, Run
from dv_resend_cli.bulk_results import HEADER, open_results

SENT_AT = "2026-11-23T15:04:05Z"
HEAD = ",".join(HEADER) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "orders.csv"
    file.write_text("order_id\n1\n2\n3\n")
    return file


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "orders.results.csv"


@pytest.fixture
def bulk(aws: FakeAws, run: Run, file: Path) -> Callable[..., Any]:
    """Run the command quickly; each order is sent, unless the function was told otherwise."""
    sends(aws)
    return lambda *options, **more: run("bulk", file, "--orders-per-second", 100, *options, **more)


def sends(aws: FakeAws, on_call: Callable[[dict[str, Any]], object] = lambda _event: None) -> None:
    """Let the function send, after `on_call`, whose result takes the place of the answer if there is one."""

    def invoke(**arguments: Any) -> Any:
        event = json.loads(arguments["Payload"])
        named = [recipient["email"] for recipient in event.get("domain_approval_emails", [])]
        answer = on_call(event) or {
            "order_id": event["order_id"],
            "outcome": "planned" if event.get("dry_run") else "sent",
            "recipients": named or "default",
            "skipped": [],
            "sent_at": SENT_AT,
            "would_be": "sent",
            "advice": [],
        }
        body = {"Payload": io.BytesIO(json.dumps(answer).encode())}
        return body | ({"FunctionError": "Unhandled"} if isinstance(answer, dict) and "errorType" in answer else {})

    aws.answer("lambda", "invoke", invoke)


def rows(results: Path) -> list[dict[str, str]]:
    with results.open(newline="") as file:
        return list(csv.DictReader(file))


def outcomes(results: Path) -> list[tuple[str, str]]:
    return [(row["order_id"], row["outcome"]) for row in rows(results)]


def ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------- a run and its summary


def test_each_order_has_one_result_and_one_call(aws: FakeAws, bulk: Any, file: Path, results: Path) -> None:
    file.write_text("order_id,domain,email,locale\n7,a.test,Admin@a.test,de\n8,,,\n7,b.test,admin@b.test,de\n")

    result = bulk()

    assert aws.events == [
        {
            "order_id": 7,
            "domain_approval_emails": [
                {"domain": "a.test", "email": "Admin@a.test"},
                {"domain": "b.test", "email": "admin@b.test"},
            ],
            "locale": "de",
            "requested_by": CALLER,
        },
        {"order_id": 8, "requested_by": CALLER},
    ]
    assert [list(row.values())[:5] for row in rows(results)] == [
        ["7", "a.test=admin@a.test b.test=admin@b.test", "de", "sent", "0"],
        ["8", "default", "", "sent", "0"],
    ]
    assert result.stdout.splitlines() == ["2 orders: 2 sent", f"Results: {results}"]
    assert (result.stderr, result.exit_code) == ("", 0)


def test_second_run_calls_nobody(aws: FakeAws, bulk: Any, results: Path) -> None:
    bulk()
    before = results.read_bytes(), results.stat().st_mtime_ns

    again = bulk()

    assert again.stdout.splitlines()[0] == "3 orders: left alone: 3 sent earlier"
    assert (again.exit_code, len(aws.events)) == (0, 3)
    assert (results.read_bytes(), results.stat().st_mtime_ns) == before


def test_rows_are_matched_by_content(aws: FakeAws, bulk: Any, file: Path, results: Path) -> None:
    bulk()
    file.write_text("locale,order_id,domain,email\n,3,,\n,0002,,\nde,1,,\n,9,a.test,admin@a.test\n")

    bulk()

    assert [event["order_id"] for event in aws.events[3:]] == [1, 9]
    # Those of the file come first, in its order; what else was sent is not forgotten.
    assert [row["order_id"] + row["locale"] for row in rows(results)] == ["3", "2", "1de", "9", "1"]


def test_exit_code_is_the_highest_of_the_orders(aws: FakeAws, bulk: Any, results: Path) -> None:
    errors = {2: "OutcomeUnknown", 3: "OrderNotEligible"}

    def fail(event: dict[str, Any]) -> Any:
        name = errors.get(event["order_id"])
        return name and {"errorType": name, "errorMessage": "=No\x1b[31m.\nNo."}

    sends(aws, fail)

    result = bulk()

    assert result.exit_code == 5
    assert result.stdout.splitlines()[:3] == [
        "Order 2: OutcomeUnknown: =No?[31m. No.",
        "Order 3: OrderNotEligible: =No?[31m. No.",
        "3 orders: 1 sent, 1 OutcomeUnknown, 1 OrderNotEligible",
    ]
    # No spreadsheet takes it for a formula.
    assert [row["message"] for row in rows(results)] == ["", "'=No?[31m. No.", "'=No?[31m. No."]
    errors.clear()
    again = bulk()
    assert again.exit_code == 5
    assert "3 orders: 1 sent; left alone: 1 sent earlier, 1 OutcomeUnknown earlier" in again.stdout
    assert [event["order_id"] for event in aws.events] == [1, 2, 3, 3]


def test_error_of_the_account_stops_and_is_the_last_line(aws: FakeAws, bulk: Any) -> None:
    sends(aws, lambda event: {"errorType": "ApiKeyRejected", "errorMessage": "No."} if event["order_id"] == 2 else None)

    result = bulk()

    assert result.exit_code == 6
    assert "2 orders left. Run the same command again" in result.stdout
    assert "3 orders: 1 sent, 1 ApiKeyRejected, 1 not called" in result.stdout
    assert result.stderr.startswith("ApiKeyRejected: No.\n")
    assert len(aws.events) == 2


def test_json_is_one_document_with_the_error(aws: FakeAws, bulk: Any, file: Path, results: Path) -> None:
    bulk()
    file.write_text("order_id\n0002\n4\n5\n6\n")
    sends(aws, lambda event: {"errorType": "ApiKeyRejected", "errorMessage": "No."} if event["order_id"] == 5 else None)

    result = bulk("--json")

    report = json.loads(result.stdout)
    facts = ("order_id", "outcome", "exit_code", "left_alone")
    assert [tuple(order[fact] for fact in facts) for order in report.pop("orders")] == [
        (2, "sent", 0, True),
        (4, "sent", 0, False),
        (5, "ApiKeyRejected", 6, False),
    ]
    assert report.pop("error")["name"] == "ApiKeyRejected"
    counted = {"sent": 1, "ApiKeyRejected": 1, "not called": 1}
    rest = {"left": 2, "dry_run": False, "results": str(results)}
    assert report == {"outcomes": counted, "left_alone": {"sent": 1}} | rest
    assert result.stderr == ""


def test_dry_run_is_a_table_and_leaves_no_results(aws: FakeAws, bulk: Any, results: Path) -> None:
    plan = {"outcome": "planned", "would_be": "OrderNotEligible", "advice": ["It is issued."], "skipped": []}
    sends(aws, lambda event: plan if event["order_id"] == 2 else None)

    result = bulk("--dry-run")

    assert result.stdout.splitlines() == [
        "ORDER  RECIPIENTS  WOULD BE          WHY",
        "1      default     sent              -",
        "2      default     OrderNotEligible  It is issued.",
        "3      default     sent              -",
        "3 orders would be: 2 sent, 1 OrderNotEligible",
        "This was a dry run: nobody was mailed.",
    ]
    assert all(event["dry_run"] for event in aws.events)
    assert (result.exit_code, results.exists()) == (3, False)


def test_dry_run_in_json_says_what_would_be(bulk: Any) -> None:
    report = json.loads(bulk("--dry-run", "--json").stdout)

    assert report["would_be"] == {"sent": 3}
    assert [(order["would_be"], order["exit_code"]) for order in report["orders"]] == [("sent", 0)] * 3
    assert not {"outcome", "outcomes"} & {*report, *report["orders"][0]}


@pytest.mark.parametrize(("options", "outcome"), [([], "sent"), (["--dry-run"], "duplicate")])
def test_maybe_mailed_recipient_is_listed_and_unknown(
    aws: FakeAws, bulk: Any, options: list[str], outcome: str
) -> None:
    skipped = [{"domain": "a.test", "email": "admin@a.test", "reason": "maybe_mailed"}]
    answer = {"outcome": outcome, "would_be": outcome, "sent_at": SENT_AT, "skipped": skipped, "advice": []}
    sends(aws, lambda event: answer if event["order_id"] == 2 else None)

    result = bulk(*options)

    assert "Skipped: admin@a.test about a.test: may already have been mailed" in result.stdout
    assert result.exit_code == 5


def test_wrong_file_calls_nothing(aws: FakeAws, bulk: Any, file: Path, results: Path) -> None:
    file.write_text("order_id\n1\nx\n")

    result = bulk()

    assert result.stderr.startswith("UsageError: orders.csv: row 3, column order_id")
    assert (result.exit_code, aws.calls, results.exists()) == (2, [], False)


def test_cool_down_is_that_of_the_stack(aws: FakeAws, bulk: Any, results: Path) -> None:
    aws.answers["cloudformation", "describe_stacks"]["Stacks"][0]["Parameters"] = [
        {"ParameterKey": "CoolDownMinutes", "ParameterValue": "240"}
    ]
    results.write_text(
        HEAD + f"1,default,,started,5,{ago(200)},{ago(200)},{STACK},\n2,default,,started,5,,{ago(230)},{STACK},\n"
    )

    result = bulk()

    assert outcomes(results) == [("1", "sent"), ("2", "OutcomeUnknown"), ("3", "sent")]
    assert result.exit_code == 5


# ---------------------------------------------------------------- interruptions


class Killed(BaseException):
    """Ends the program without any of its handlers, as far as a test in the same process can."""


def test_order_is_on_disk_as_started_before_its_call(aws: FakeAws, bulk: Any, results: Path) -> None:
    synced: list[int] = []
    seen: list[tuple[str, str]] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(results.stat().st_size)

    def look(_event: Any) -> None:
        assert synced[-1] == results.stat().st_size
        seen.append(outcomes(results)[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", spy)
        sends(aws, look)
        bulk()

    assert seen == [("1", "started"), ("2", "started"), ("3", "started")]


def test_killed_run_goes_on_with_the_order_it_was_at(aws: FakeAws, bulk: Any, results: Path) -> None:
    def kill(event: dict[str, Any]) -> None:
        if event["order_id"] == 2:
            raise Killed

    sends(aws, kill)
    with pytest.raises(Killed):
        bulk(catch_exceptions=False)
    assert outcomes(results) == [("1", "started"), ("1", "sent"), ("2", "started")]
    duplicate = {"outcome": "duplicate", "skipped": [], "sent_at": SENT_AT}
    sends(aws, lambda event: duplicate if event["order_id"] == 2 else None)

    bulk()

    assert [event["order_id"] for event in aws.events] == [1, 2, 2, 3]
    assert outcomes(results) == [("1", "sent"), ("2", "duplicate"), ("3", "sent")]


@pytest.mark.parametrize("while_sending", [True, False])
def test_interrupt_says_what_is_left(
    aws: FakeAws, bulk: Any, results: Path, monkeypatch: pytest.MonkeyPatch, while_sending: bool
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    if while_sending:
        sends(aws, interrupt)
    else:
        monkeypatch.setattr("time.sleep", interrupt)

    result = bulk("--orders-per-second", 0.01)

    left = 3 if while_sending else 2
    assert result.exit_code == 130
    assert f"{left} orders left. Run the same command again" in result.stdout
    assert result.stderr.startswith("Interrupted: Interrupted")
    assert outcomes(results) == [("1", "started" if while_sending else "sent")]


# ---------------------------------------------------------------- the file of results


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_line_that_was_cut_off_does_not_count(aws: FakeAws, bulk: Any, results: Path, cut: int) -> None:
    started = f"1,default,,started,5,{ago(1)},{ago(1)},{STACK},\n"
    sent = f'1,default,,sent,0,{ago(1)},,{STACK},"a, b"\n'
    results.write_text(HEAD + started + sent[:-cut])

    bulk()

    assert [event["order_id"] for event in aws.events] == [1, 2, 3]
    assert outcomes(results) == [("1", "sent"), ("2", "sent"), ("3", "sent")]


@pytest.mark.parametrize("content", ["", HEAD[:20], HEAD, HEAD[:-1]])
def test_header_that_was_cut_off_is_written_again(bulk: Any, results: Path, content: str) -> None:
    results.write_text(content)

    assert bulk().exit_code == 0
    assert results.read_text().startswith(HEAD)
    assert len(rows(results)) == 3


def test_last_line_without_a_line_break_counts(aws: FakeAws, bulk: Any, results: Path) -> None:
    results.write_text(HEAD + f"1,default,,sent,0,{SENT_AT},,{STACK},")

    bulk()

    assert [event["order_id"] for event in aws.events] == [2, 3]
    assert len(rows(results)) == 3


def test_order_may_have_long_recipients(bulk: Any, results: Path) -> None:
    results.write_text(HEAD + f"9,{'x' * 200_000},,sent,0,{SENT_AT},,{STACK},\n")

    assert bulk().exit_code == 0


@pytest.mark.parametrize(
    "content",
    [
        "order_id,outcome\n1,sent\n",
        HEAD.replace(",", ";") + "1;default\n",
        HEAD + f"1,default,,sent\n2,default,,sent,0,{SENT_AT},,{STACK},\n",
        HEAD + f"1,default,,sent,0,yesterday,,{STACK},\n2,default,,sent,0,{SENT_AT},,{STACK},\n",
        HEAD + "1,default,,sent,0\n",
        HEAD + "\xff\n",
        HEAD + f"1,default,,sent,0,{SENT_AT},,{STACK.replace('123456789012', '999999999999')},\n",
    ],
)
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_results_that_cannot_be_read_are_not_ignored(
    aws: FakeAws, bulk: Any, results: Path, content: str, options: list[str]
) -> None:
    results.write_text(content, encoding="latin-1")

    result = bulk(*options)

    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (6, "", 2)
    assert result.stderr.startswith("ResultsUnusable: ")
    assert results.read_text(encoding="latin-1") == content
    assert aws.events == []


def test_second_bulk_of_a_file_is_refused(aws: FakeAws, bulk: Any, results: Path) -> None:
    with open_results(results, STACK):
        result = bulk()

    assert (result.exit_code, result.stderr.partition(":")[0]) == (4, "ResultsInUse")
    assert aws.events == []
    assert bulk().exit_code == 0


def test_lock_is_of_the_file_that_has_the_name(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def replaced_meanwhile(path: Any, *arguments: Any) -> int:
        monkeypatch.undo()
        descriptor = opened(path, *arguments)
        results.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", replaced_meanwhile)

    with open_results(results, STACK) as opened_results:
        assert os.path.samestat(os.fstat(opened_results._descriptor), results.stat())


@pytest.mark.parametrize("written", [0, 10])
def test_full_disk_prevents_the_call(aws: FakeAws, bulk: Any, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if b"2,default" not in data:
            return write(descriptor, data)
        if not written:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:written])

    monkeypatch.setattr(os, "write", full)

    result = bulk()
    monkeypatch.undo()

    assert result.exit_code == 6
    assert result.stderr.startswith("ResultsUnusable: The results cannot be kept in ")
    assert [event["order_id"] for event in aws.events] == [1]
    assert bulk().exit_code == 0
    assert [event["order_id"] for event in aws.events] == [1, 2, 3]


def test_result_that_cannot_be_written_leaves_the_order_started(
    aws: FakeAws, bulk: Any, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    sends(aws, lambda _event: monkeypatch.setattr(os, "write", full))

    result = bulk()

    assert (result.exit_code, outcomes(results)) == (6, [("1", "started")])


def test_results_in_a_missing_folder_prevent_all_calls(aws: FakeAws, bulk: Any, results: Path) -> None:
    results.mkdir()

    result = bulk()

    assert (result.exit_code, len(result.stderr.splitlines())) == (6, 2)
    assert aws.events == []


def test_journal_stays_if_it_cannot_be_replaced(bulk: Any, results: Path) -> None:
    results.with_name("orders.results.csv.tmp").mkdir()

    assert bulk().exit_code == 0
    assert len(rows(results)) == 6
