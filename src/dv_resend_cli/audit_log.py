"""What the functions logged about one order: who was mailed, when, and by whom."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession

SENDING = "sending"
_FIELDS = (
    *("outcome", "recipients", "skipped", "event_source", "caller", "requested_by", "force", "dry_run"),
    *("reminder_day", "code", "upstream_status"),
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
    found = []
    for log_group in log_groups:
        search = {"logGroupName": log_group, "filterPattern": f'"{order_id}"', "startTime": _milliseconds(since)}
        while True:
            page = client.filter_log_events(**search)
            found += [_line(event["message"]) for event in page["events"]]
            if not page.get("nextToken"):
                break
            search["nextToken"] = page["nextToken"]
    # The number may also be that of another order, of a certificate, or in a name.
    return [line for line in found if line.get("order_id") == order_id and line.get("message") in ("audit", SENDING)]


def history(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what happened, oldest first; each outcome with the fields of its audit line that are there.

    A line `sending` that no outcome follows becomes an entry of its own, with the outcome `sending`: the call was
    killed while it was sending, or it still runs, so its email may have been sent.
    """
    lines = sorted(lines, key=_time)
    audits = [line for line in lines if line["message"] != SENDING]
    return [
        {"at": _utc(_time(line))} | {name: line[name] for name in _FIELDS if name in line}
        for line in lines
        if line["message"] != SENDING or not any(_ends(audit, line) for audit in audits)
    ]


def _ends(audit: Mapping[str, Any], sending: Mapping[str, Any]) -> bool:
    """Whether a call that was sending ended so. A redelivery has the same id, but it began later."""
    began = _time(audit) - timedelta(milliseconds=audit.get("duration_ms", 0)) - _ROUNDING
    is_same = audit.get("function_request_id") == sending.get("function_request_id")
    return is_same and began <= _time(sending) <= _time(audit)


def _line(message: str) -> dict[str, Any]:
    try:
        line = json.loads(message)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def _time(line: Mapping[str, Any]) -> datetime:
    return datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z").astimezone(UTC)


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(moment: datetime) -> int:
    return max(0, int(moment.timestamp() * 1000))
