"""The store of send records: DynamoDB in this process, and faults before, after and instead of its responses."""

from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from conftest import TABLE, create_send_records_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from dv_resend.adapters.send_records import SendRecordsTable
from dv_resend.core.send_record import Claim, Mailed, SendRecord
from dv_resend.errors import ConfigurationError, SendRecordUnavailable
from unit.adapters.conftest import refusal

NOW = 1_795_446_245
ENDPOINT = "https://dynamodb.eu-west-1.amazonaws.com/"
NOTHING = SendRecord("order#7")
FULL = SendRecord(
    "order#7",
    revision="revision 1",
    claim=Claim("an owner", NOW + 29),
    mailed={"hash of a": Mailed(NOW - 5, "sent"), "default": Mailed(NOW + 29, "unknown")},
    reminders={"2026-11-20#1": "done", "2026-11-20#3": "attempted"},
    forced_by={"event 1": NOW + 29},
    expiration=NOW + 30 * 86400,
)
NEXT = SendRecord("order#7", revision="revision 2", expiration=NOW + 30 * 86400)
RIVAL = SendRecord("order#7", revision="rival", expiration=NOW + 30 * 86400)


LOST = ReadTimeoutError(endpoint_url=ENDPOINT)
THROTTLED = refusal("ProvisionedThroughputExceededException")
UNCLEAR = [LOST, THROTTLED, refusal("InternalServerError"), EndpointConnectionError(endpoint_url=ENDPOINT)]


class Client:
    """The DynamoDB client. Each call of a method takes its next fault: (before it is done, after it is done)."""

    def __init__(self, client):
        self.client = client
        self.calls = []
        self.faults = {"get_item": [], "put_item": []}

    def __getattr__(self, name):
        def call(**arguments):
            self.calls.append(name)
            before, after = self.faults[name].pop(0) if self.faults[name] else (None, None)
            self.happen(before)
            answer = getattr(self.client, name)(**arguments)
            self.happen(after)
            return answer

        return call

    @staticmethod
    def happen(fault):
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            fault()


@pytest.fixture(scope="module")
def dynamodb():
    """One table for the whole file: a new one per test would take most of the time."""
    with mock_aws():
        client = boto3.client("dynamodb")
        create_send_records_table(client)
        yield client


@pytest.fixture
def client(dynamodb):
    delete(dynamodb)
    return Client(dynamodb)


@pytest.fixture
def records(client):
    return SendRecordsTable(TABLE, client)


@pytest.fixture
def latest(dynamodb):
    """Give the latest record, read around all faults."""
    return lambda: SendRecordsTable(TABLE, dynamodb).load("order#7")


@pytest.fixture
def rival(dynamodb):
    """Give a function by which another invocation stores a record."""

    def store(record=RIVAL):
        others = SendRecordsTable(TABLE, dynamodb)
        assert others.store(record, others.load("order#7")) == record

    return store


def delete(dynamodb):
    dynamodb.delete_item(TableName=TABLE, Key={"id": {"S": "order#7"}})


# What is stored


def test_item_is_readable_and_shows_no_address(records, dynamodb):
    records.store(FULL, NOTHING)

    assert dynamodb.get_item(TableName=TABLE, Key={"id": {"S": "order#7"}})["Item"] == {
        "id": {"S": "order#7"},
        "revision": {"S": "revision 1"},
        "claim": {"M": {"owner": {"S": "an owner"}, "deadline": {"N": str(NOW + 29)}}},
        "mailed": {
            "M": {
                "hash of a": {"M": {"sent": {"N": str(NOW - 5)}}},
                "default": {"M": {"unknown": {"N": str(NOW + 29)}}},
            }
        },
        "reminders": {"M": {"2026-11-20#1": {"S": "done"}, "2026-11-20#3": {"S": "attempted"}}},
        "forced_by": {"M": {"event 1": {"N": str(NOW + 29)}}},
        "expiration": {"N": str(NOW + 30 * 86400)},
    }


def test_what_is_empty_is_left_out_of_the_item(records, dynamodb):
    records.store(NEXT, NOTHING)

    item = dynamodb.get_item(TableName=TABLE, Key={"id": {"S": "order#7"}})["Item"]
    assert item.keys() == {"id", "revision", "expiration"}


NAMES, SECONDS = st.text(min_size=1), st.integers(0, 2**33)


@given(
    mailed=st.dictionaries(NAMES, st.builds(Mailed, SECONDS, st.sampled_from(["sent", "unknown"]))),
    reminders=st.dictionaries(NAMES, st.sampled_from(["attempted", "done"])),
    forced_by=st.dictionaries(NAMES, SECONDS),
    claim=st.none() | st.builds(Claim, NAMES, SECONDS),
)
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_record_is_loaded_as_it_was_stored(client, records, **fields):
    delete(client.client)
    record = SendRecord("order#7", "a revision", **fields)
    records.store(record, NOTHING)

    assert records.load("order#7") == record


def test_reading_is_consistent():
    client = Mock(get_item=Mock(return_value={}))

    assert SendRecordsTable("a-table", client).load("order#7") == NOTHING
    client.get_item.assert_called_once_with(TableName="a-table", Key={"id": {"S": "order#7"}}, ConsistentRead=True)


# Conditional writes


@pytest.mark.parametrize("instead_of", [NOTHING, FULL], ids=["nothing", "another"])
def test_write_over_a_changed_record_is_rejected(records, client, rival, latest, instead_of):
    rival()

    assert records.store(NEXT, instead_of) == RIVAL
    assert latest() == RIVAL
    assert client.calls == ["put_item"]


def test_write_over_a_deleted_record_is_rejected(records, latest):
    """Trace 1: A loads revision 1, and TTL deletes the item; A's write must fail, also if B has stored another."""
    assert records.store(NEXT, FULL) == NOTHING
    assert latest() == NOTHING


def test_write_over_a_deleted_and_restored_item_is_rejected(records, dynamodb, rival):
    """Trace 1, with B: its item has another revision than the one that A loaded, so A does not send."""
    records.store(FULL, NOTHING)
    delete(dynamodb)
    rival()

    assert records.store(NEXT, FULL) == RIVAL


def test_rejection_without_the_item_is_looked_up(records, client, rival):
    rival()
    client.faults["put_item"] = [(refusal("ConditionalCheckFailedException"), None)]

    assert records.store(NEXT, NOTHING) == RIVAL
    assert client.calls == ["put_item", "get_item"]


# Unclear responses


@pytest.mark.parametrize("fault", UNCLEAR, ids=ascii)
def test_write_whose_response_is_lost_has_won_if_it_is_there(records, client, latest, fault):
    client.faults["put_item"] = [(None, fault)]

    assert records.store(FULL, NOTHING) == FULL
    assert latest() == FULL
    assert client.calls == ["put_item", "get_item"]


def test_write_that_the_sdk_repeated_has_won(records, client, latest):
    """Trace 16: the SDK repeats a write that was done, and is told that the condition fails. The item is ours."""
    item = SendRecordsTable(TABLE, client.client)
    client.faults["put_item"] = [(lambda: item.store(FULL, NOTHING), None)]

    assert records.store(FULL, NOTHING) == FULL
    assert latest() == FULL
    assert client.calls == ["put_item"]


@pytest.mark.parametrize("fault", UNCLEAR, ids=ascii)
def test_write_that_was_not_done_is_repeated_once(records, client, latest, fault):
    client.faults["put_item"] = [(fault, None)]

    assert records.store(FULL, NOTHING) == FULL
    assert latest() == FULL
    assert client.calls == ["put_item", "get_item", "put_item"]


def test_delayed_write_is_repeated_and_lands_in_vain(records, client, latest):
    """Trace 15: a write is delayed, and the item unchanged. The repetition decides; the late one changes nothing."""
    client.faults["put_item"] = [(LOST, None)]
    assert records.store(FULL, NOTHING) == FULL
    records.store(NEXT, FULL)

    assert records.store(FULL, NOTHING) == NEXT
    assert latest() == NEXT


@pytest.mark.parametrize("second", UNCLEAR, ids=ascii)
def test_write_that_fails_twice_is_unavailable(records, client, latest, second):
    client.faults["put_item"] = [(LOST, None), (second, None)]

    with pytest.raises(SendRecordUnavailable, match="Nothing was sent"):
        records.store(FULL, NOTHING)
    assert latest() == NOTHING
    assert client.calls == ["put_item", "get_item"] * 2


def test_rival_that_wins_while_the_response_is_unclear_is_returned(records, client, rival):
    client.faults["put_item"] = [(LOST, None)]
    client.faults["get_item"] = [(rival, None)]

    assert records.store(FULL, NOTHING) == RIVAL
    assert client.calls == ["put_item", "get_item"]


def test_unclear_write_that_cannot_be_looked_up_is_unavailable(records, client):
    client.faults["put_item"] = [(None, LOST)]
    client.faults["get_item"] = [(THROTTLED, None)]

    with pytest.raises(SendRecordUnavailable):
        records.store(FULL, NOTHING)


def test_unclear_write_is_logged_without_its_content(records, client, output):
    client.faults["put_item"] = [(None, LOST)]

    records.store(FULL, NOTHING)

    (line,) = output().lines
    assert (line["level"], line["record"], line["error"]) == ("WARNING", "order#7", "ReadTimeoutError")


# Errors


@pytest.mark.parametrize("fault", UNCLEAR, ids=ascii)
def test_loading_fails_if_dynamodb_does_not_answer(records, client, fault):
    client.faults["get_item"] = [(fault, None)]

    with pytest.raises(SendRecordUnavailable) as raised:
        records.load("order#7")
    assert raised.value.code == "send_record_unavailable"


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_what_only_an_operator_can_fix_is_a_configuration_error(records, client, code):
    client.faults["get_item"] = [(refusal(code), None)]
    with pytest.raises(ConfigurationError, match="SEND_RECORDS_TABLE"):
        records.load("order#7")

    client.calls.clear()
    client.faults["put_item"] = [(refusal(code), None)]
    with pytest.raises(ConfigurationError, match=code):
        records.store(FULL, NOTHING)
    assert client.calls == ["put_item"]


# Settling


def test_settling_stores_the_record(records, latest, output):
    records.store(FULL, NOTHING)

    records.settle(NEXT, FULL)

    assert latest() == NEXT
    assert output().lines == []


def test_settling_a_claim_that_was_replaced_is_dropped_and_logged(records, rival, latest, output):
    records.store(FULL, NOTHING)
    rival()

    records.settle(NEXT, FULL)

    assert latest() == RIVAL
    (line,) = output().lines
    assert (line["level"], line["record"]) == ("ERROR", "order#7")
    assert "replaced" in line["message"]


@pytest.mark.parametrize("fault", [*UNCLEAR, refusal("AccessDeniedException"), RuntimeError("a bug")], ids=ascii)
def test_settling_never_raises(records, client, latest, output, fault):
    records.store(FULL, NOTHING)
    client.faults["put_item"] = [(fault, None), (fault, None)]

    records.settle(NEXT, FULL)

    assert latest() == FULL
    line = output().lines[-1]
    assert (line["level"], line["message"], line["record"]) == ("ERROR", "outcome not recorded", "order#7")


# Whatever goes wrong

faults = st.sampled_from([(None, None), (LOST, None), (None, LOST), (THROTTLED, None)])


@given(puts=st.lists(faults, max_size=2), gets=st.lists(faults, max_size=2))
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_store_answers_is_true(client, records, latest, puts, gets):
    """It answers "stored" only if that is so; after "unavailable", the record may be there or not."""
    delete(client.client)
    client.faults = {"put_item": list(puts), "get_item": list(gets)}

    try:
        assert records.store(FULL, NOTHING) == FULL
    except SendRecordUnavailable:
        assert latest() in (NOTHING, FULL)
    else:
        assert latest() == FULL
