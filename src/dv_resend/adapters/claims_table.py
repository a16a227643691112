"""The store of claims and of reminder records: conditional writes to one DynamoDB table.

A claim's item has ``id`` (`ResendRequest.claim_key`), ``status`` (sending, sent, unknown), ``owner`` (one attempt of
one invocation), ``deadline`` (the end of that invocation), ``expiration`` (the end of the cool-down, and the table's
TTL), ``sent_at`` (all three in seconds since the epoch) and ``forced_by`` (the ids of the forced calls so far). It
holds no address. A reminder's item has ``id`` (`Reminder.record_id`) and ``expiration``.
"""

import math
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dv_resend.adapters.aws import SDK_ERRORS, error_code, translate
from dv_resend.core.claims import Claim, HeldClaim
from dv_resend.errors import ClaimsUnavailable, ConfigurationError
from dv_resend.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Longer than a reminder can be due, and than its message can wait.
REMINDER_RECORD_SECONDS = 10 * 24 * 3600

_NAMES = {"#id": "id", "#status": "status", "#owner": "owner", "#expiration": "expiration"}


class ClaimsTable:
    """The table of claims. It implements `core.ports.Claims`, which says what the methods mean and raise.

    `ClaimsUnavailable` is raised if DynamoDB is throttled or unavailable, `ConfigurationError` if the table is missing
    or not accessible.

    Example:
        ``ClaimsTable("claims", cool_down_seconds=3600, client=client).read(request.claim_key)``
    """

    def __init__(self, table: str, cool_down_seconds: int, client: "DynamoDBClient") -> None:
        """Use the ``table`` through ``client``, whose time-outs bound every method."""
        self._table = table
        self._cool_down_seconds = cool_down_seconds
        self._client = client

    def read(self, key: str) -> Claim | None:
        """Return the claim on ``key``, expired or not."""
        item = self._get(key)
        return None if item is None else _claim(item)

    def acquire(self, key: str, *, now: float, deadline: float, force_id: str | None) -> Claim:
        """Claim ``key`` until ``deadline``: return a `HeldClaim`, or else the claim that stands in the way."""
        wanted = HeldClaim(
            key=key,
            status="sending",
            owner=uuid.uuid4().hex,
            deadline=math.ceil(deadline),
            expiration=math.ceil(max(now + self._cool_down_seconds, deadline)),
            forced_by=frozenset() if force_id is None else frozenset({force_id}),
        )
        standing = self._put(wanted, "attribute_not_exists(#id) OR #expiration <= :now", {":now": _number(int(now))})
        if standing is None:
            return wanted
        if force_id is None or force_id in standing.forced_by:
            return standing
        if standing.state(now) == "sending":
            # The email that this call wants is being sent. Its redelivery is then a repeat, not another forced call.
            self._note_force(standing, force_id)
            return standing
        wanted = replace(wanted, forced_by=standing.forced_by | wanted.forced_by, replaced=standing)
        # Compare and swap: of two forced calls at the same time, the second finds the first one's claim.
        return self._put(wanted, "#owner = :owner AND #status = :status", _identity(standing)) or wanted

    def record_sent(self, claim: HeldClaim, sent_at: int) -> None:
        """Record that the email was sent: from now on, a repeat is a duplicate."""
        self._update(claim, "SET #status = :new, #sent_at = :sent_at", "sent", {":sent_at": _number(sent_at)})

    def record_unknown(self, claim: HeldClaim) -> None:
        """Record that the outcome is unknown: a repeat is answered so too."""
        self._update(claim, "SET #status = :new", "unknown", {})

    def release(self, claim: HeldClaim) -> None:
        """Release the claim, because the email was certainly not sent; a claim that it replaced is restored."""
        condition: dict[str, Any] = {
            "TableName": self._table,
            "ConditionExpression": "#owner = :owner",
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":owner": {"S": claim.owner}},
        }
        try:
            if claim.replaced is None:
                self._client.delete_item(Key={"id": {"S": claim.key}}, **condition)
            else:
                self._client.put_item(Item=_item(claim.replaced), **condition)
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # not ours (any more): there is nothing to release
        except SDK_ERRORS as error:
            logger.warning("claim not released", claim=claim.key, error=error_code(error))

    def reminded(self, record_id: str) -> bool:
        """Whether the reminder was recorded (`record_reminder`)."""
        return self._get(record_id) is not None

    def record_reminder(self, record_id: str, now: float) -> None:
        """Record, for ten days, that the reminder was dealt with. Safe to repeat."""
        expiration = _number(int(now) + REMINDER_RECORD_SECONDS)
        try:
            self._client.put_item(TableName=self._table, Item={"id": {"S": record_id}, "expiration": expiration})
        except SDK_ERRORS as error:
            raise _translated(error) from None

    def forget_reminder(self, record_id: str) -> bool:
        """Remove the record, because the email was certainly not sent; return whether it is gone."""
        try:
            self._client.delete_item(TableName=self._table, Key={"id": {"S": record_id}})
        except SDK_ERRORS as error:
            logger.warning("reminder record not removed", record=record_id, error=error_code(error))
            return False
        return True

    def _get(self, item_id: str) -> dict[str, Any] | None:
        try:
            answer = self._client.get_item(TableName=self._table, Key={"id": {"S": item_id}}, ConsistentRead=True)
        except SDK_ERRORS as error:
            raise _translated(error) from None
        return answer.get("Item")

    def _put(self, claim: HeldClaim, condition: str, values: dict[str, Any]) -> Claim | None:
        """Write ``claim`` if ``condition`` holds; return the claim in the way if not."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_item(claim),
                ConditionExpression=condition,
                ExpressionAttributeNames={name: of for name, of in _NAMES.items() if name in condition},
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            answer: dict[str, Any] = dict(error.response)
            if "Item" not in answer:
                raise ClaimsUnavailable("The claim changed while it was being made. Nothing was sent.") from None
            standing = _claim(answer["Item"])
            # The SDK repeats a write whose response got lost: the claim in the way is then our own.
            return None if standing.owner == claim.owner else standing
        except ClientError as error:
            raise _translated(error) from None
        except BotoCoreError as error:
            # The write may have been done although its response got lost, and nothing will be sent under it.
            self.release(claim)
            raise _translated(error) from None
        return None

    def _note_force(self, claim: Claim, force_id: str) -> None:
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": claim.key}},
                UpdateExpression="ADD #forced_by :force_id",
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner", "#forced_by": "forced_by"},
                ExpressionAttributeValues={":owner": {"S": claim.owner}, ":force_id": {"SS": [force_id]}},
            )
        except SDK_ERRORS as error:
            logger.warning("forced call not noted in the claim", claim=claim.key, error=error_code(error))

    def _update(self, claim: HeldClaim, expression: str, status: str, values: dict[str, Any]) -> None:
        names = {"#owner": "owner", "#status": "status"} | ({"#sent_at": "sent_at"} if values else {})
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": claim.key}},
                UpdateExpression=expression,
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={":owner": {"S": claim.owner}, ":new": {"S": status}, **values},
            )
        except SDK_ERRORS as error:
            logger.error("outcome not recorded in the claim", claim=claim.key, outcome=status, error=error_code(error))


def _identity(claim: Claim) -> dict[str, Any]:
    return {":owner": {"S": claim.owner}, ":status": {"S": claim.status}}


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _item(claim: Claim) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": {"S": claim.key},
        "status": {"S": claim.status},
        "owner": {"S": claim.owner},
        "deadline": _number(claim.deadline),
        "expiration": _number(claim.expiration),
    }
    if claim.sent_at is not None:
        item["sent_at"] = _number(claim.sent_at)
    if claim.forced_by:
        item["forced_by"] = {"SS": sorted(claim.forced_by)}
    return item


def _claim(item: dict[str, Any]) -> Claim:
    return Claim(
        key=item["id"]["S"],
        status=item["status"]["S"],
        owner=item["owner"]["S"],
        deadline=int(item["deadline"]["N"]),
        expiration=int(item["expiration"]["N"]),
        sent_at=int(item["sent_at"]["N"]) if "sent_at" in item else None,
        forced_by=frozenset(item["forced_by"]["SS"]) if "forced_by" in item else frozenset(),
    )


def _translated(error: Exception) -> ClaimsUnavailable | ConfigurationError:
    return translate(
        error,
        ClaimsUnavailable,
        permanent="The claims table cannot be used ({code}). Check CLAIMS_TABLE and the function's role.",
        transient="DynamoDB did not answer ({code}). Nothing was sent. Try again later.",
    )
