"""What the functions logged about one order: who was mailed, when, and by whom."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession

SENDING = "sending"
_FIELDS = (
    *("outcome", "recipients", "skipped", "event_source", "caller", "requested_by", "force", "dry_run"),
    *("reminder_day", "code", "upstream_status", "domain", "domain_id", "domains"),
)
# Both times of a line are rounded.
_ROUNDING = timedelta(milliseconds=5)


def read_lines(
    session: "AwsSession", log_groups: Iterable[str], order_id: int, since: datetime
) -> list[dict[str, Any]]:
    """Read the lines about an order: `audit`, one for each outcome, and `sending`, from before an email is sent."""
    from botocore.config import Config

    # AWS searches long logs in many short pages, and allows few calls a second.
    client = session.client("logs", config=Config(retries={"mode": "standard", "total_max_attempts": 10}))
    found = [
        line_of(event)
        for log_group in log_groups
        for event in log_events(client, log_group, f'"{order_id}"', int(since.timestamp() * 1000))
    ]
    # The number may also be that of another order, of a certificate, or in a name.
    return [line for line in found if line.get("order_id") == order_id and line.get("message") in ("audit", SENDING)]


def log_events(client: Any, log_group: str, pattern: str, since: int) -> Iterator[dict[str, Any]]:
    """Yield the events of a log since a time in milliseconds, as far as they match a filter pattern of AWS's."""
    search: dict[str, Any] = {"logGroupName": log_group, "filterPattern": pattern, "startTime": max(0, since)}
    while True:
        page = client.filter_log_events(**search)
        yield from page["events"]
        if not page.get("nextToken"):
            return
        search["nextToken"] = page["nextToken"]


def line_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line of a log event; an empty one if it is no JSON object."""
    try:
        line = json.loads(event["message"])
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def history(lines: Iterable[Mapping[str, Any]], since: datetime) -> list[dict[str, Any]]:
    """Return what happened since a time, oldest first; each outcome with the fields of its audit line that are there.

    A line `sending` that no outcome follows becomes an entry of its own, with the outcome `sending`: the call was
    killed while it was sending, or it still runs, so its email may have been sent.

    A call about an order that is not DV has an entry for each of its domains, and one with ``domains``, which sums
    them up. That of a domain whose outcome is unknown has ``nothing_sent`` if the call sent nothing about it, because
    an earlier call, perhaps about another order, may have.
    """
    lines = sorted(lines, key=_time)
    audits = [line for line in lines if line["message"] != SENDING]
    sendings = [line for line in lines if line["message"] == SENDING]

    def facts(line: Mapping[str, Any]) -> dict[str, Any]:
        is_in_doubt = "domain" in line and line.get("outcome") == "OutcomeUnknown"
        # The line `sending` of an older call is not among those that were read.
        if is_in_doubt and _began(line) >= since and not any(_ends(line, sending) for sending in sendings):
            return {"nothing_sent": True}
        return {}

    return [
        {"at": _utc(_time(line))} | {name: line[name] for name in _FIELDS if name in line} | facts(line)
        for line in lines
        if line["message"] != SENDING or not any(_ends(audit, line) for audit in audits)
    ]


def _ends(audit: Mapping[str, Any], sending: Mapping[str, Any]) -> bool:
    """Whether a call that was sending ended so. A redelivery has the same id, but it began later.

    What is sent about a domain ends with a line about the same domain. The call may have gone on, or may have met a
    bug, without it.
    """
    is_same = all(audit.get(name) == sending.get(name) for name in ("function_request_id", "domain", "domain_id"))
    return is_same and _began(audit) <= _time(sending) <= _time(audit)


def _began(audit: Mapping[str, Any]) -> datetime:
    return _time(audit) - timedelta(milliseconds=audit.get("duration_ms", 0)) - _ROUNDING


def _time(line: Mapping[str, Any]) -> datetime:
    return datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z").astimezone(UTC)


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
