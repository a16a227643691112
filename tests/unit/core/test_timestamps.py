"""ISO 8601 timestamps: written in UTC, and read without trust."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dv_resend.core.timestamps import parse_timestamp, utc

MOMENT = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(("seconds", "text"), [(0, "1970-01-01T00:00:00Z"), (1795446245.9, "2026-11-23T15:04:05Z")])
def test_seconds_are_formatted_in_utc_to_the_second(seconds, text):
    assert utc(seconds) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        *(("2026-11-23T15:04:05Z", MOMENT), ("2026-11-23T08:04:05-07:00", MOMENT), ("2026-11-23T15:04:05", MOMENT)),
        *(("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)), ("2000-01-01", datetime(2000, 1, 1, tzinfo=UTC))),
        ("2199-12-31", datetime(2199, 12, 31, tzinfo=UTC)),
    ],
)
def test_timestamp_without_offset_is_in_utc(text, moment):
    assert parse_timestamp(text) == moment


def test_timestamp_keeps_its_offset():
    parsed = parse_timestamp("2026-11-23T08:04:05-07:00")

    assert parsed is not None
    assert parsed.tzinfo == timezone(timedelta(hours=-7))


@pytest.mark.parametrize(
    "value",
    [
        *(None, 0, 1795446245, True, [], {}, "", "soon", "2026-13-01", "2026-11-23 25:00", "23.11.2026"),
        # Date arithmetic would overflow.
        *("0001-01-01T00:00:00+14:00", "1999-12-31", "2200-01-01"),
    ],
    ids=ascii,
)
def test_anything_else_is_not_a_timestamp(value):
    assert parse_timestamp(value) is None
