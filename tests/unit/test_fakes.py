"""The fake send records obey the rules of the table that they stand for; mypy compares the signatures of all fakes."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from conftest import TABLE, create_send_records_table
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from dv_resend.adapters.send_records import SendRecordsTable
from dv_resend.core.ports import SendRecords
from dv_resend.core.send_record import SendRecord
from unit.fakes import FakeSendRecords

# Which of two invocations does what about which order.
type Step = tuple[int, str, str]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["load", "store", "store", "settle"]),
        st.sampled_from(["order#7", "order#8"]),
    ),
    min_size=6,
    max_size=12,
)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb")
        create_send_records_table(client)
        yield client


def run(records: SendRecords, steps: list[Step]) -> list[SendRecord]:
    """Take the steps; return what each one tells, and what is stored then.

    An invocation writes instead of what it has loaded or stored last, which may not be the latest.
    """
    known: dict[tuple[int, str], SendRecord] = {}
    told: list[SendRecord] = []
    for number, (who, method, record_id) in enumerate(steps):
        before = known.get((who, record_id), SendRecord(record_id))
        after = SendRecord(record_id, f"revision {number}", expiration=number)
        match method:
            case "load":
                known[who, record_id] = records.load(record_id)
                told.append(known[who, record_id])
            case "store":
                told.append(records.store(after, before))
                known[who, record_id] = after
            case "settle":
                records.settle(after, before)
        told.append(records.load(record_id))
    return told


@settings(deadline=None, derandomize=True, max_examples=40, phases=[Phase.generate])
@given(steps=STEPS)
def test_fake_send_records_behave_as_the_table(dynamodb: Any, steps: list[Step]) -> None:
    for item in dynamodb.scan(TableName=TABLE)["Items"]:
        dynamodb.delete_item(TableName=TABLE, Key={"id": item["id"]})

    assert run(FakeSendRecords(), steps) == run(SendRecordsTable(TABLE, dynamodb), steps)
