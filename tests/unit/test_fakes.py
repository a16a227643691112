"""The fake claims obey the rules of the table that they stand for; mypy compares the signatures of all fakes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from conftest import TABLE, create_send_records_table
from dv_resend.adapters.send_records_table import SendRecordsTable
from dv_resend.core.claims import Claim, HeldClaim
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from dv_resend.core.ports import Claims
from unit.fakes import FakeClaims

# What is done, with which force id, and how many seconds before the next step.
type Step = tuple[str, str | None, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acquire"] * 5 + ["record_sent", "record_unknown", "release", "remind", "forget"]),
        st.sampled_from([None, "call-1", "call-2"]),
        st.sampled_from([0, 10, 10, 30, 3600]),
    ),
    min_size=8,
    max_size=16,
)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb")
        create_send_records_table(client)
        yield client


def without_owner(claim: Claim | None) -> Claim | None:
    """Leave out what is random."""
    if isinstance(claim, HeldClaim):
        return replace(claim, owner="", replaced=without_owner(claim.replaced))
    return claim and replace(claim, owner="")


def run(claims: Claims, steps: list[Step]) -> list[tuple[Claim | None, Claim | None, bool]]:
    """Take the steps; return each one's result, and the claim and the record that are stored then."""
    held: list[HeldClaim] = []
    now, results = 1_795_446_245, []
    for method, force_id, seconds in steps:
        result = None
        if method == "acquire":
            result = claims.acquire("a", now=now, deadline=now + 29.5, force_id=force_id)
            if isinstance(result, HeldClaim):
                held.append(result)
        elif method == "remind":
            claims.record_reminder("7#a", now)
        elif method == "forget":
            assert claims.forget_reminder("7#a")
        elif method == "record_sent" and held:
            claims.record_sent(held.pop(), now)
        elif held:
            getattr(claims, method)(held.pop())
        results.append((without_owner(result), without_owner(claims.read("a")), claims.reminded("7#a")))
        now += seconds
    return results


@settings(deadline=None, derandomize=True, max_examples=40, phases=[Phase.generate])
@given(steps=STEPS)
def test_fake_claims_behave_as_the_table(dynamodb: Any, steps: list[Step]) -> None:
    for item in dynamodb.scan(TableName=TABLE)["Items"]:
        dynamodb.delete_item(TableName=TABLE, Key={"id": item["id"]})

    assert run(FakeClaims(), steps) == run(SendRecordsTable(TABLE, 3600, dynamodb), steps)
