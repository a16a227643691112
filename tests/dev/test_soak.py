"""The soak's comparison notices what it is there for."""

from typing import Any

import pytest

from dev.soak.reconcile import Reconciliation, reconcile

ADMIN, WEBMASTER = "admin@example.com", "webmaster@example.com"


def send(recipients: str | list[str], outcome: str = "sent", **fields: Any) -> list[dict[str, Any]]:
    """The two log lines of one attempt about order 7, each by a call of its own."""
    call = {"order_id": 7, "function_request_id": object(), "recipients": recipients, "event_source": "direct"}
    return [call | fields | {"message": "sending"}, call | fields | {"message": "audit", "outcome": outcome}]


def compared(*attempts: list[dict[str, Any]], outbox: list[str]) -> Reconciliation:
    return reconcile([line for attempt in attempts for line in attempt], [(7, people) for people in outbox], [])


def test_log_and_outbox_that_agree_have_no_differences() -> None:
    forced = [send([ADMIN, WEBMASTER], force=True) for _ in range(3)]
    refused = send("default", "RateLimited")

    result = compared(
        refused, send([ADMIN]), send([WEBMASTER]), *forced, outbox=[ADMIN, WEBMASTER] + [f"{ADMIN} {WEBMASTER}"] * 3
    )

    assert result.differences == []
    assert (result.sent, result.people, result.people_again) == (5, 2, 2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("default", "default"),
        ("default", [ADMIN]),
        ([ADMIN], "default"),
        ([ADMIN], [ADMIN, WEBMASTER]),
    ],
)
@pytest.mark.parametrize("outcome", ["sent", "OutcomeUnknown"])
def test_second_attempt_without_force_is_a_difference(first: Any, second: Any, outcome: str) -> None:
    outbox = [" ".join(people) if isinstance(people, list) else people for people in (first, second)]

    result = compared(send(first, outcome), send(second), outbox=outbox)

    assert any("without force" in difference for difference in result.differences)


def test_fourth_forced_email_is_a_difference() -> None:
    result = compared(send([ADMIN]), *(send([ADMIN], force=True) for _ in range(4)), outbox=[ADMIN] * 5)

    assert result.differences == [f"order 7, {ADMIN}: mailed 5 times in one cool-down, forced 4 times"]


@pytest.mark.parametrize(("logged", "outbox"), [("sent", []), ("RateLimited", [ADMIN])])
def test_outbox_that_is_not_the_log_is_a_difference(logged: str, outbox: list[str]) -> None:
    assert len(compared(send([ADMIN], logged), outbox=outbox).differences) == 1
