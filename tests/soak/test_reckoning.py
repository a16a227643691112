"""The soak's own judgement: it must see whatever is wrong."""

from typing import Any

import pytest

from soak.reckoning import Told, attempts, emails, reckon

MAILING = emails(7, ["webmaster@example.com", "admin@example.com"])
OTHERS = emails(7, ["webmaster@example.com"])


def sending(request_id: str = "one", **fields: Any) -> dict[str, Any]:
    known = {"message": "sending", "function_request_id": request_id, "order_id": 7, "door": "http"}
    return known | {"recipients": ["admin@example.com", "webmaster@example.com"], "outcome": "sending"} | fields


def audit(outcome: str, request_id: str = "one", **fields: Any) -> dict[str, Any]:
    known = {"message": "audit", "function_request_id": request_id, "order_id": 7, "door": "http", "outcome": outcome}
    return known | fields


def test_one_send_explains_one_mailing():
    result = reckon([sending(), audit("sent")], [MAILING], [Told("http", 7, "sent")])

    assert (result.sent, result.mailings, result.differences) == (1, 1, [])


@pytest.mark.parametrize("mailings", [[], [MAILING]], ids=["not mailed", "mailed"])
@pytest.mark.parametrize("end", [[audit("OutcomeUnknown")], []], ids=["unknown", "killed"])
def test_an_unknown_outcome_may_have_mailed_or_not(end, mailings):
    result = reckon([sending(), *end], mailings, [])

    assert (result.sent, result.unknown_mailed, result.unknown_not_mailed) == (0, len(mailings), 1 - len(mailings))
    assert result.unended == (not end)
    assert [doubt.rpartition(": ")[2] for doubt in result.doubts] == ["was mailed" if mailings else "was not mailed"]
    assert result.differences == []


def test_a_duplicate_and_a_repeated_doubt_are_no_attempts():
    lines = [sending(), audit("OutcomeUnknown"), audit("OutcomeUnknown", "two"), audit("duplicate", "three")]

    assert len(attempts(lines)) == 1
    assert reckon(lines, [MAILING], []).outcomes == {"OutcomeUnknown": 2, "duplicate": 1}


def test_a_call_that_is_delivered_again_after_a_kill_is_two_attempts():
    assert [attempt.outcome for attempt in attempts([sending(), sending(), audit("sent")])] == [None, "sent"]


def test_a_forced_send_may_mail_again():
    lines = [sending(), audit("sent"), sending("two", force=True), audit("sent", "two")]

    assert reckon(lines, [MAILING] * 2, []).differences == []


@pytest.mark.parametrize(
    ("lines", "mailings", "told", "difference"),
    [
        ([sending(), audit("sent")], [], [], "logged as sent 1 times, mailed 0 times"),
        ([], [MAILING], [], "the log explains 0 as sent and 0 as unknown"),
        ([sending(), audit("RateLimited")], [MAILING], [], "the log explains 0 as sent and 0 as unknown"),
        ([audit("OutcomeUnknown")], [MAILING], [], "the log explains 0 as sent and 0 as unknown"),
        ([sending(), audit("sent")], [MAILING] * 2, [], "the log explains 1 as sent and 0 as unknown"),
        ([sending(), audit("sent"), sending("two"), audit("sent", "two")], [MAILING] * 2, [], "forced 0 times"),
        (
            [sending(), audit("sent"), sending("two"), audit("OutcomeUnknown", "two")],
            [MAILING] * 2,
            [],
            "in one cool-down",
        ),
        ([sending(), audit("sent")], [OTHERS], [], "the log explains 0 as sent and 0 as unknown"),
        ([sending(), audit("sent")], [emails(7, "default")], [], "mailed 0 times"),
        ([], [], [Told("direct", 7, "sent", "call-1")], "lost"),
        ([], [], [Told("event", 7, None, "event-1")], "lost"),
        ([audit("duplicate", caller="call-1")], [], [Told("direct", 7, "sent", "call-1")], "told sent"),
        ([audit("duplicate")], [], [Told("http", 7, "duplicate")] * 2, "2 were told duplicate, the log has 1"),
    ],
)
def test_whatever_differs_is_seen(lines, mailings, told, difference):
    found = reckon(lines, mailings, told).differences

    assert any(difference in text for text in found), found
