"""The saved queries of CloudWatch Logs Insights, against the log lines of the code and of Lambda."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from conftest import Output

from contract.template import of_type
from dv_resend import errors, observability
from dv_resend.core.requests import Recipient, Reminder, ResendRequest
from dv_resend.core.resend import ReminderResult, ResendResult
from dv_resend.handlers.audit import Audit

SAVED = of_type("AWS::Logs::QueryDefinition")
QUERIES = {name: query["QueryString"] for name, query in SAVED.items()}

COMMANDS = {"fields", "filter", "limit", "parse", "sort", "stats"}
OPERATORS = {"and", "as", "asc", "by", "desc", "in", "like", "not", "or"}
CALLS = {"count", "ispresent", "latest", "max", "strcontains", "sum"}
# Logs Insights adds these fields to every line ("Supported logs and discovered fields").
DISCOVERED = {"@message", "@timestamp"}
LITERAL = r'"[^"]*"|\'[^\']*\''
REGEX = r"/(?:\\.|[^/\\])*/"

# The lines of a call about an order that is not DV: two of each domain, and then its own.
CALL_BY_DOMAIN: list[dict[str, Any]] = [
    *(
        {"message": message, "order_id": 3, "domain": domain, "domain_id": number, "recipients": "default"} | outcome
        for number, domain in enumerate(("example.com", "example.net"), 1)
        for message, outcome in (("sending", {}), ("audit", {"outcome": "sent"}))
    ),
    {
        "message": "audit",
        "order_id": 3,
        "outcome": "sent",
        "recipients": "default",
        "domains": ["example.com: sent", "example.net: sent"],
    },
]


@pytest.fixture
def log_lines(output: Callable[[], Output], invoke: Callable[..., Any]) -> list[dict[str, Any]]:
    """The lines of a log: a resend, a reminder, failures and a resend by domain."""
    recipient = Recipient("example.com", "admin@example.com")
    request = ResendRequest(order_id=1, recipients=(recipient,), force=True, requested_by="jane")
    resend, reminder = Audit("http"), Audit("queue")
    resend.request, resend.caller = request, "arn:aws:iam::123456789012:user/jane"
    reminder.request = Reminder(2, None, 3)
    observability.observe_upstream(204, 0.1)
    resend.before_send(request)
    resend.succeeded(ResendResult(request, "sent", 0, 0))
    reminder.succeeded(ReminderResult(2, "sent"))
    for error in (errors.OutcomeUnknown("."), ValueError()):
        Audit("http").failed(error)
    with pytest.raises(errors.InvalidRequest):
        invoke({"order_id": "none"})
    return output().lines + CALL_BY_DOMAIN


def flat(line: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The fields of a line, without lists, as Logs Insights names them: `record.metrics.durationMs`, for example."""
    found: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{path}{name}.")
        elif not isinstance(value, list):
            found[path + name] = value
    return found


def stages(text: str) -> set[str]:
    """The command of each stage of a query."""
    return {stage.split()[0] for stage in re.sub(f"{REGEX}|{LITERAL}", "", text).split("|")}


def fields(text: str) -> set[str]:
    """The fields of log lines that a query names, without those that it creates itself."""
    made = {*re.findall(r"\(\?<(\w+)>", text), *re.findall(r"\bas (\w+)", text)}
    words = set(re.findall(r"[@A-Za-z_][\w.]*", re.sub(f"{REGEX}|{LITERAL}", "", text)))
    return words - made - COMMANDS - OPERATORS - CALLS


def values(text: str) -> set[tuple[str, str]]:
    """Pairs of a field and a value that the query compares it with."""
    one = re.findall(rf"(\S+) = ({LITERAL}|\d+)", text)
    many = re.findall(r"(\S+) in \[([^\]]*)\]", text)
    pairs = one + [(field, value) for field, values in many for value in values.split(", ")]
    return {(field.strip("("), value.strip("\"'")) for field, value in pairs} - {("order_id", "123456789")}


@pytest.mark.parametrize("name", QUERIES)
def test_query_uses_fields_and_values_that_lines_have(log_lines: list[dict[str, Any]], name: str) -> None:
    text = re.sub(r"^\s*#.*$", "", QUERIES[name], flags=re.MULTILINE)
    lines = [flat(line) for line in log_lines]

    assert stages(text) <= COMMANDS
    assert fields(text) <= DISCOVERED.union(*lines)
    for field, value in values(text):
        assert value in [str(line.get(field)) for line in lines], field


def test_query_finds_recipients_as_the_logger_writes_them(log_lines: list[dict[str, Any]]) -> None:
    (regex,) = {regex for query in QUERIES.values() for regex in re.findall(rf"parse @message ({REGEX})", query)}
    lines = [line for line in log_lines if "recipients" in line]

    for line in lines:
        match = re.search(regex.strip("/").replace("(?<", "(?P<"), json.dumps(line, separators=(",", ":")))
        assert match
        assert json.loads(match["mailed"]) == line["recipients"]
    # The default ones are a word, the others a list.
    assert {type(line["recipients"]) for line in lines} == {str, list}


def test_who_was_mailed_query_counts_each_domain_once() -> None:
    (regex,) = re.findall(rf"filter ispresent\(domain\) or @message not like ({REGEX})", QUERIES["WhoWasMailedQuery"])

    found = [
        line
        for line in CALL_BY_DOMAIN
        if line["message"] == "audit" and ("domain" in line or not re.search(regex.strip("/"), json.dumps(line)))
    ]

    assert [line["domain"] for line in found] == ["example.com", "example.net"]


def test_saved_queries_search_logs_of_both_functions() -> None:
    for query in SAVED.values():
        assert query["LogGroupNames"] == [{"Ref": "ResendLogGroup"}, {"Ref": "SweepLogGroup"}]
        # Each stack has its own folder of queries.
        assert query["Name"]["Fn::Sub"].startswith("${AWS::StackName}/")
