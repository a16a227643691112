"""Moments in the form in which they are exchanged: ISO 8601."""

from datetime import UTC, datetime


def utc(seconds: float) -> str:
    """Format seconds since the epoch as ``2026-11-23T15:04:05Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(value: object) -> datetime | None:
    """Read an ISO 8601 time, as UTC if it has no offset; ``None`` if it is anything else or outside 2000 to 2199."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # Years outside 2000 to 2199 would overflow date arithmetic.
    if moment is None or not 2000 <= moment.year < 2200:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
