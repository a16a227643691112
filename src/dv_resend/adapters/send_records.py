"""The store of send records: one DynamoDB table, written only if an item's revision is unchanged.

An item of the record ``order#7``; what is empty is left out::

    id          order#7                                                  the hash key
    revision    random, another at every write
    claim       {owner: random, deadline: seconds}                       while an invocation is sending
    mailed      {hash of scope and address, or "default": {"sent" or "unknown": seconds}}
    reminders   {"2026-11-20#1": "attempted" or "done"}
    forced_by   {id of a forced call: its deadline in seconds}
    expiration  seconds                                                  the TTL, which alone deletes items

All seconds are since the epoch. The response to a write does not tell whether it was done: it gets lost, and the SDK
repeats the write and reports that the repetition was rejected. The revision in the item tells.
"""

from typing import TYPE_CHECKING, Any, Literal, cast

from botocore.exceptions import ClientError

from dv_resend.adapters.aws import PERMANENT, SDK_ERRORS, error_code, translate
from dv_resend.core.send_record import Claim, Mailed, SendRecord
from dv_resend.errors import ConfigurationError, SendRecordUnavailable
from dv_resend.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from dv_resend.core.send_record import Mark


class SendRecordsTable:
    """The table of send records. It implements `core.ports.SendRecords`, which says what the methods mean and raise.

    Example:
        ``SendRecordsTable("send-records", client).load("order#7").mailed``
    """

    def __init__(self, table: str, client: "DynamoDBClient") -> None:
        """Use the ``table`` through ``client``, whose time-outs bound every call."""
        self._table = table
        self._client = client

    def load(self, record_id: str) -> SendRecord:
        """Return the record as it is now: an older one would only make the next write fail."""
        try:
            answer = self._client.get_item(TableName=self._table, Key={"id": {"S": record_id}}, ConsistentRead=True)
        except SDK_ERRORS as error:
            raise _translated(error) from None
        return _record(answer["Item"]) if "Item" in answer else SendRecord(record_id)

    def store(self, record: SendRecord, instead_of: SendRecord) -> SendRecord:
        """Store ``record`` if ``instead_of`` is the latest. A write that left no trace is repeated once."""
        for _attempt in range(2):
            latest = self._put(record, instead_of)
            if latest.revision != instead_of.revision:
                return latest
        raise SendRecordUnavailable("DynamoDB did not store the claim. Nothing was sent. Try again later.")

    def settle(self, record: SendRecord, instead_of: SendRecord) -> None:
        """Store ``record``, or log why that failed: the claim then stands, and errs on the side of not mailing."""
        try:
            if self.store(record, instead_of).revision != record.revision:
                logger.error("outcome not recorded: the claim was replaced", record=record.id)
        # The emails are out. Not even a bug may hide what CertCentral answered.
        except Exception as error:
            logger.error("outcome not recorded", record=record.id, error=f"{type(error).__name__}: {error}")

    def _put(self, record: SendRecord, instead_of: SendRecord) -> SendRecord:
        """Write, and return the latest record, whatever became of the write."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_item(record),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_unchanged(instead_of),
            )
        except SDK_ERRORS as error:
            code = error_code(error)
            if code in PERMANENT:
                raise _translated(error) from None
            if code == "ConditionalCheckFailedException" and (item := _item_of(error)) is not None:
                return _record(item)
            logger.warning("write of a send record unclear", record=record.id, error=code)
            return self.load(record.id)
        return record


def _unchanged(record: SendRecord) -> dict[str, Any]:
    """Return the condition that ``record`` is still the latest; no item is a revision, too."""
    if record.revision is None:
        return {"ConditionExpression": "attribute_not_exists(id)"}
    return {
        "ConditionExpression": "revision = :revision",
        "ExpressionAttributeValues": {":revision": {"S": record.revision}},
    }


def _item_of(error: Exception) -> dict[str, Any] | None:
    """Return the item that made a condition fail; ``None`` if there is none, or DynamoDB did not tell."""
    response = cast("dict[str, Any]", error.response) if isinstance(error, ClientError) else {}
    return response.get("Item") or None


def _item(record: SendRecord) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": {"S": record.id},
        "revision": {"S": record.revision},
        "expiration": _number(record.expiration),
    }
    if record.claim is not None:
        item["claim"] = {"M": {"owner": {"S": record.claim.owner}, "deadline": _number(record.claim.deadline)}}
    maps: dict[str, dict[str, Any]] = {
        "mailed": {person: {"M": {mailed.outcome: _number(mailed.at)}} for person, mailed in record.mailed.items()},
        "reminders": {reminder: {"S": mark} for reminder, mark in record.reminders.items()},
        "forced_by": {force_id: _number(deadline) for force_id, deadline in record.forced_by.items()},
    }
    return item | {name: {"M": entries} for name, entries in maps.items() if entries}


def _record(item: dict[str, Any]) -> SendRecord:
    def entries(name: str) -> dict[str, Any]:
        return item[name]["M"] if name in item else {}

    claim = entries("claim")
    return SendRecord(
        id=item["id"]["S"],
        revision=item["revision"]["S"],
        claim=Claim(claim["owner"]["S"], int(claim["deadline"]["N"])) if claim else None,
        mailed={person: _mailed(entry["M"]) for person, entry in entries("mailed").items()},
        reminders={reminder: cast("Mark", mark["S"]) for reminder, mark in entries("reminders").items()},
        forced_by={force_id: int(deadline["N"]) for force_id, deadline in entries("forced_by").items()},
        expiration=int(item["expiration"]["N"]),
    )


def _mailed(entry: dict[str, Any]) -> Mailed:
    ((outcome, at),) = entry.items()
    return Mailed(int(at["N"]), cast("Literal['sent', 'unknown']", outcome))


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _translated(error: Exception) -> SendRecordUnavailable | ConfigurationError:
    return translate(
        error,
        SendRecordUnavailable,
        permanent="The send records cannot be used ({code}). Check SEND_RECORDS_TABLE and the function's role.",
        transient="DynamoDB did not answer ({code}). Nothing was sent. Try again later.",
    )
