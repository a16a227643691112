"""`history`: the audit lines of an order, and calls that were killed while they were sending."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.conftest import FakeAws, Run, refused


def line(second: int, outcome: str | None, *, call: str = "call-1", took: float = 1, **fields: Any) -> dict[str, Any]:
    """Build a line of a function's log, at a second of 10:00; without an outcome, of the moment before sending."""
    return {
        "level": "INFO",
        "message": "audit" if outcome else "sending",
        "timestamp": f"2026-11-23 10:00:{second:02},500+0000",
        "outcome": outcome or "sending",
        "event_source": "direct",
        "order_id": 7,
        "duration_ms": round(took * 1000),
        "function_request_id": call,
        **fields,
    }


def logs(aws: FakeAws, *lines: Any, sweep: tuple[Any, ...] = ()) -> None:
    """Let the logs hold these lines, each on a page of its own."""
    groups = {"/resend": list(lines), "/sweep": list(sweep)}

    def search(**arguments: Any) -> Any:
        found, page = groups[arguments["logGroupName"]], int(arguments.get("nextToken", 0))
        texts = [each if isinstance(each, str) else json.dumps(each) for each in found[page : page + 1]]
        more = {"nextToken": str(page + 1)} if page + 1 < len(found) else {}
        return {"events": [{"message": text} for text in texts]} | more

    aws.answer("logs", "filter_log_events", search)


def entries(run: Run, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("history", 7, "--json", *options).stdout)["entries"]
    return found


def test_history_is_a_table_of_both_logs_by_time(aws: FakeAws, run: Run) -> None:
    sent = line(3, "sent", recipients=["s***@a.test"], caller="arn:user", requested_by="arn:user", force=True)
    sent |= {"skipped": ["w***@a.test: validated"]}
    refused = line(9, "OrderNotEligible", code="order_not_eligible|not_pending", recipients="default", caller="event-1")
    reminder = line(5, "sent", event_source="queue", recipients="default", reminder_day=3)
    logs(aws, refused | {"requested_by": "portal", "dry_run": True}, sent, sweep=(reminder,))

    rows = [re.split(" {2,}", row) for row in run("history", 7).stdout.splitlines()]

    default = "DigiCert's default recipients"
    assert rows == [
        ["TIME", "OUTCOME", "RECIPIENTS", "SOURCE", "CALLER"],
        ["2026-11-23T10:00:03Z", "sent (forced)", "s***@a.test; skipped: w***@a.test: validated", "direct", "arn:user"],
        ["2026-11-23T10:00:05Z", "sent (reminder of day 3)", default, "queue", "-"],
        [
            *("2026-11-23T10:00:09Z", "OrderNotEligible (dry run, order_not_eligible|not_pending)", default),
            "direct",
            "event-1, for portal",
        ],
    ]


def test_lines_about_other_things_are_left_out(aws: FakeAws, run: Run) -> None:
    swept = line(1, "swept", stuck_orders=[7]) | {"order_id": None}
    bug = line(2, None) | {"message": "internal error"}
    logs(aws, swept, bug, line(3, "sent", order_id=77), "START RequestId: 7", "[7]", line(4, "status"))

    assert [entry["outcome"] for entry in entries(run)] == ["status"]


def test_search_names_the_order_and_the_period(aws: FakeAws, run: Run) -> None:
    logs(aws)
    before = datetime.now(UTC) - timedelta(hours=12)

    result = run("history", 7, "--since", "12h")

    (first, second) = [arguments for service, _, arguments in aws.calls if service == "logs"]
    assert (first["filterPattern"], first["logGroupName"], second["logGroupName"]) == ('"7"', "/resend", "/sweep")
    assert 0 <= first["startTime"] - int(before.timestamp() * 1000) < 60_000
    assert result.stdout.startswith("The logs have nothing about order 7 since 20")
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("lines", "outcomes"),
    [
        ([line(2, None), line(3, "sent")], ["sent"]),
        ([line(2, None), line(3, "RateLimited")], ["RateLimited"]),
        ([line(2, None)], ["sending"]),
        ([line(2, None), line(3, "sent", call="call-2")], ["sending", "sent"]),
        # Lambda delivers an event again with the same id.
        ([line(2, None), line(32, "ResendInProgress")], ["sending", "ResendInProgress"]),
        ([line(2, None), line(31, None), line(32, "sent", took=2)], ["sending", "sent"]),
        ([line(2, "RateLimited"), line(31, None), line(32, "sent", took=2)], ["RateLimited", "sent"]),
        # A reminder's unknown outcome is reported, and then fails.
        ([line(2, None), line(3, "OutcomeUnknown", took=2), line(3, "OutcomeUnknown", took=2)], ["OutcomeUnknown"] * 2),
        # Both times are rounded.
        ([line(2, None), line(3, "sent", took=0.996)], ["sent"]),
    ],
    ids=[
        *("sent", "refused", "killed", "another call", "killed and in progress", "killed and sent"),
        *("repeated", "reported", "rounded"),
    ],
)
def test_call_killed_while_sending_is_told(
    aws: FakeAws, run: Run, lines: list[dict[str, Any]], outcomes: list[str]
) -> None:
    logs(aws, *lines[::-1])

    assert [entry["outcome"] for entry in entries(run)] == outcomes
    assert ("may have been sent" in run("history", 7).stdout) == ("sending" in outcomes)


@pytest.mark.parametrize(
    ("refusal", "name"),
    [(refused("AccessDeniedException"), "AccessDenied"), (refused("ResourceNotFoundException"), "AwsError")],
)
def test_log_that_cannot_be_read_is_one_line(aws: FakeAws, run: Run, refusal: Exception, name: str) -> None:
    aws.answer("logs", "filter_log_events", refusal)

    result = run("history", 7)

    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (6, "", 1)
    assert result.stderr.startswith(f"{name}: ")


@pytest.mark.parametrize("since", ["30", "0d", "-1d", "1w", "12345h", "1.5h"])
def test_wrong_period_is_a_usage_error(aws: FakeAws, run: Run, since: str) -> None:
    result = run("history", 7, "--since", since)

    assert (result.exit_code, aws.calls) == (2, [])
    assert "--since" in result.stderr


# ---------------------------------------------------------------- orders that are not DV


def of_domain(second: int, outcome: str | None, name: str, **fields: Any) -> dict[str, Any]:
    """Build a line about one domain, whose id is the length of its name."""
    return line(second, outcome, recipients="default", domain=name, domain_id=len(name), **fields)


def test_each_email_about_a_domain_is_shown_once(aws: FakeAws, run: Run) -> None:
    whole = line(4, "sent", took=3, recipients="default", domains=["a.test: sent", "bb.test: duplicate"])
    logs(aws, of_domain(2, None, "a.test"), of_domain(3, "sent", "a.test"), of_domain(3, "duplicate", "bb.test"), whole)

    rows = [re.split(" {2,}", row)[:4] for row in run("history", 7).stdout.splitlines()]

    default = "DigiCert's default recipients"
    assert rows == [
        ["TIME", "OUTCOME", "DOMAIN", "RECIPIENTS"],
        ["2026-11-23T10:00:03Z", "sent", "a.test", default],
        ["2026-11-23T10:00:03Z", "duplicate", "bb.test", default],
    ]
    found = entries(run)
    assert [(entry.get("domain"), entry.get("domain_id")) for entry in found] == [
        *(("a.test", 6), ("bb.test", 7), (None, None)),
    ]
    assert found[2]["domains"] == ["a.test: sent", "bb.test: duplicate"]


def test_line_of_a_call_stays_if_its_domains_are_too_old(aws: FakeAws, run: Run) -> None:
    logs(aws, line(4, "sent", domains=["a.test: sent"]))

    assert "sent" in run("history", 7).stdout.splitlines()[1]


BUG = line(9, "InternalError", took=8)


@pytest.mark.parametrize(
    ("lines", "outcomes"),
    [
        ([of_domain(2, None, "a.test"), of_domain(3, "sent", "a.test", took=2)], ["sent"]),
        ([of_domain(2, None, "a.test"), of_domain(3, "sent", "bb.test", took=2)], ["sending", "sent"]),
        (
            [of_domain(2, None, "a.test"), of_domain(3, "sent", "a.test", took=2) | {"domain_id": 1}],
            ["sending", "sent"],
        ),
        ([of_domain(2, None, "a.test"), BUG], ["sending", "InternalError"]),
        (
            [of_domain(2, "sent", "a.test"), of_domain(3, None, "bb.test"), of_domain(31, "duplicate", "a.test")],
            ["sent", "sending", "duplicate"],
        ),
        # The retry has the same id.
        (
            [of_domain(2, None, "a.test"), of_domain(31, None, "a.test"), of_domain(32, "sent", "a.test", took=2)],
            ["sending", "sent"],
        ),
    ],
    ids=["done", "another domain", "another id", "bug", "killed between", "retried"],
)
def test_domain_that_was_left_while_sending_is_told(
    aws: FakeAws, run: Run, lines: list[dict[str, Any]], outcomes: list[str]
) -> None:
    logs(aws, *lines[::-1])

    assert [entry["outcome"] for entry in entries(run)] == outcomes
    assert ("may have been sent" in run("history", 7).stdout) == ("sending" in outcomes)


# ---------------------------------------------------------------- a domain in doubt

DOUBT = "OutcomeUnknown"


@pytest.mark.parametrize(
    ("lines", "nothing_sent"),
    [
        ([of_domain(2, None, "a.test"), of_domain(3, DOUBT, "a.test", took=2)], [False]),
        ([of_domain(3, DOUBT, "a.test", took=2)], [True]),
        ([of_domain(2, None, "bb.test"), of_domain(3, DOUBT, "a.test", took=2)], [False, True]),
        ([of_domain(2, None, "a.test", call="call-2"), of_domain(3, DOUBT, "a.test", took=2)], [False, True]),
        # The first attempt was killed, and its retry sends nothing.
        ([of_domain(2, None, "a.test"), of_domain(32, DOUBT, "a.test", took=2)], [False, True]),
        ([of_domain(3, "duplicate", "a.test"), line(4, DOUBT)], [False, False]),
    ],
    ids=["attempt", "refused", "another domain", "another call", "retry", "other lines"],
)
def test_repeat_refused_because_of_a_doubt_is_no_attempt(
    aws: FakeAws, run: Run, lines: list[dict[str, Any]], nothing_sent: list[bool]
) -> None:
    logs(aws, *lines)

    assert [entry.get("nothing_sent", False) for entry in entries(run, "--since", "9999d")] == nothing_sent


def test_repeat_refused_because_of_a_doubt_is_told(aws: FakeAws, run: Run) -> None:
    logs(aws, of_domain(3, DOUBT, "a.test", code="outcome_unknown"))

    output = run("history", 7, "--since", "9999d").stdout

    assert "  OutcomeUnknown (nothing sent now)  a.test  " in output
    assert output.splitlines()[-1].startswith("nothing sent now: an earlier email about the domain")


def test_call_from_before_the_period_is_left_as_it_is(aws: FakeAws, run: Run) -> None:
    logs(aws, of_domain(3, DOUBT, "a.test", code="outcome_unknown"))

    assert "OutcomeUnknown (outcome_unknown)" in run("history", 7, "--since", "1m").stdout
