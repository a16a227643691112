"""HTTP responses to requests for orders that are not DV."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dv_resend.core.orders import Domain
from dv_resend.core.requests import ResendRequest, Skipped
from dv_resend.core.results import ResendResult
from dv_resend.errors import OutcomeUnknown, RateLimited, ResendInProgress
from dv_resend.handlers.http import http_answer, http_error
from unit.fakes import resend_request

DOMAINS = ((Domain(1, "a.example"), "sent"), (Domain(2, "b.example"), "duplicate"))
SENT = ResendResult(ResendRequest(7), "sent", 1795446245, 1795449965, domains=DOMAINS)
DUPLICATE = replace(SENT, outcome="duplicate")
NAMED = resend_request(("a.example", "jane@a.example"), ("b.example", "admin@b.example"))


def message(response: dict[str, Any]) -> str:
    (entry,) = json.loads(response["body"])["errors"]
    return str(entry["message"])


def test_sent_by_domain_is_a_204_without_a_body() -> None:
    assert http_answer(SENT) == {"statusCode": 204, "headers": {"Resend-Outcome": "sent"}, "body": ""}


def test_recipients_left_out_at_any_domain_are_counted() -> None:
    skipped = tuple(Skipped(each, "already_mailed") for each in NAMED.recipients)

    response = http_answer(replace(SENT, request=replace(NAMED, skipped=skipped)))

    assert response["headers"] == {"Resend-Outcome": "sent", "Resend-Skipped": "2"}


@pytest.mark.parametrize(
    ("domains", "said"),
    [
        (DOMAINS, "Emails about a.example, b.example were sent at 2026-11-23T15:04:05Z, perhaps for another order"),
        ((), "Emails of this order were sent at 2026-11-23T15:04:05Z"),
    ],
    ids=["domains", "order"],
)
def test_duplicate_says_what_was_sent_before(domains: Any, said: str) -> None:
    response = http_answer(replace(DUPLICATE, domains=domains))

    assert (response["statusCode"], "Retry-After" in response["headers"]) == (409, False)
    assert message(response).startswith(said)


def test_duplicate_names_who_was_mailed_masked() -> None:
    earlier = tuple((each.email, 1795446245) for each in NAMED.recipients)

    said = message(http_answer(replace(DUPLICATE, request=NAMED, earlier=earlier)))

    assert "j***@a.example at 2026-11-23T15:04:05Z, admin@b.example at" in said
    assert "Emails about" not in said


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (OutcomeUnknown("a.example: Perhaps. Sent: b.example.", retry_after=60), 504, None),
        (RateLimited("b.example: Too many. Sent: a.example. Left: 1 of 2 domains (b.example)."), 429, "30"),
        (ResendInProgress("a.example: Busy. Sent: b.example.", retry_after=29), 409, "29"),
    ],
    ids=["unknown", "limited", "in progress"],
)
def test_error_says_what_became_of_each_domain(error: Any, status: int, retry_after: str | None) -> None:
    response = http_error(error)

    assert (response["statusCode"], message(response)) == (status, error.message)
    assert response["headers"].get("Retry-After") == retry_after
