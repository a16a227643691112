"""Invocations as machines: the real guard and the real store, paused wherever they ask the world something.

The code is deterministic apart from what it is told, so its state is the list of responses so far. To take one more
step, it is run again from the start with one more response. What it asks next is kept in a tree, so each list of
responses runs only once.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from dv_resend.adapters.send_records import SendRecordsTable
from dv_resend.core.claim_and_send import SendGuard, Sent
from dv_resend.core.send_record import DEFAULT, Attempt, Duplicate, NoReminder, SendRecord
from dv_resend.errors import OutcomeUnknown, RateLimited, RequestRejected, ResendError

COOL_DOWN = 3600
SECONDS = 29
"""How long an invocation may run."""
REMINDERS = DAY_1, DAY_3 = "2026-11-20#1", "2026-11-20#3"
ORDER = "order#7"
"""The record of the order."""
START = 10**6
"""When the world starts."""
DUE_UNTIL = START + 48 * 3600
"""Until when reminders are due."""


# ---------------------------------------------------------------- items


class Item:
    """One version of the item. Equal ones are the same object, see `item_of`."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        table = SendRecordsTable("a table", _Returning({"Item": fields}))  # type: ignore[arg-type]
        self.record = table.load(fields["id"]["S"])

    def __repr__(self) -> str:
        return f"<{self.record.revision}>"


@dataclass
class _Returning:
    """A client whose every read returns this."""

    answer: dict[str, Any]

    def get_item(self, **_arguments: object) -> dict[str, Any]:
        return self.answer


_items: dict[str, Item] = {}


def stored(record: SendRecord) -> Item:
    """The item that the real store makes of a record."""
    client = _Recording()
    SendRecordsTable("a table", client).store(record, SendRecord(record.id))  # type: ignore[arg-type]
    return item_of(client.fields)


class _Recording:
    def put_item(self, **arguments: Any) -> None:
        self.fields = arguments["Item"]


def item_of(fields: dict[str, Any]) -> Item:
    key = json.dumps(fields, sort_keys=True)
    if key not in _items:
        _items[key] = Item(fields)
    return _items[key]


# ---------------------------------------------------------------- what an invocation asks, and is told


@dataclass(frozen=True)
class Write:
    """A conditional write: ``item``, if the stored revision is ``expected`` (``None``: if no item is stored)."""

    item: Item
    expected: str | None

    @property
    def record_id(self) -> str:
        return self.item.record.id


@dataclass(frozen=True)
class Ask:
    """What an invocation waits for: the time, a read, a write, the PUT, a report, or that a message is acknowledged.

    ``record_id`` is the record that is read, or written, or that knows of the PUT.
    """

    what: str
    record_id: str = ""
    write: Write | None = None
    people: tuple[str, ...] = ()
    reminders: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    answer: "Answer | None" = None


@dataclass(frozen=True)
class Answer:
    """How an invocation ended: with a result or an error, by class name."""

    name: str
    result: Sent | Duplicate | NoReminder | None = None
    delivered_again: bool = False


CLOCK, NOTHING = Ask("clock"), Ask("nothing")


class _Paused(BaseException):
    """There is no response yet."""


class Surroundings:
    """What the code under test sees: a clock, a client of DynamoDB, CertCentral, an audit log and a queue."""

    def __init__(self, name: str, responses: tuple[Any, ...]) -> None:
        self.ask: Ask | None = None
        self._name = name
        self._responses = iter(responses)
        self._draws = 0

    def _wait(self, ask: Ask) -> Any:
        if self.ask is None:
            for response in self._responses:
                return response
            self.ask = ask
        raise _Paused

    def clock(self) -> float:
        seconds: float = self._wait(CLOCK)
        return seconds

    def draw(self) -> str:
        self._draws += 1
        return f"{self._name}.{self._draws}"

    def get_item(self, **arguments: Any) -> dict[str, Any]:
        match self._wait(Ask("read", arguments["Key"]["id"]["S"])):
            case "fails":
                raise _refusal("ThrottlingException")
            case item:
                return {} if item is None else {"Item": item.fields}

    def put_item(self, **arguments: Any) -> dict[str, Any]:
        match self._wait(Ask("write", arguments["Item"]["id"]["S"], write=_write(arguments))):
            case "stored":
                return {}
            case "fails":
                raise _refusal("ThrottlingException")
            case "lost":
                raise ReadTimeoutError(endpoint_url="https://dynamodb.eu-west-1.amazonaws.com/")
            case ("rejected", item):
                raise _refusal("ConditionalCheckFailedException", **({} if item is None else {"Item": item.fields}))
            case other:
                raise AssertionError(other)

    def put(self, record_id: str, people: tuple[str, ...]) -> None:
        match self._wait(Ask("PUT", record_id, people=people)):
            case "unknown":
                raise OutcomeUnknown("The response was lost.")
            case "refused":
                raise RateLimited("Too many requests.")
            case "refused alone":
                raise RequestRejected("Not this domain.")

    def report(self, record_id: str, reminders: tuple[str, ...] = (), domains: tuple[str, ...] = ()) -> None:
        self._wait(Ask("report", record_id, reminders=reminders, domains=domains))

    def acknowledge(self, answer: Answer) -> None:
        self._wait(Ask("acknowledge", answer=answer))


def _write(arguments: dict[str, Any]) -> Write:
    item = item_of(arguments["Item"])
    match arguments["ConditionExpression"]:
        case "attribute_not_exists(id)":
            return Write(item, None)
        case "revision = :revision":
            return Write(item, arguments["ExpressionAttributeValues"][":revision"]["S"])
        case other:
            raise AssertionError(other)


def _refusal(code: str, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, **more}
    return ClientError(response, "PutItem")


# ---------------------------------------------------------------- the invocations


@dataclass(frozen=True)
class Invocation:
    """One delivery of a request, an event or a message. Its clock is ``ahead`` by some seconds."""

    name: str
    people: tuple[str, ...] = (DEFAULT,)
    force_id: str | None = None
    reminder: str | None = None
    ahead: int = 0

    @property
    def record_ids(self) -> tuple[str, ...]:
        """The records that it may write."""
        return (ORDER,)

    @property
    def domain_ids(self) -> tuple[str, ...]:
        """Those among them that are of domains."""
        return ()

    @property
    def told_as(self) -> str | None:
        """The name of its reminder, as facts know it."""
        return self.reminder

    def repeats(self, told_as: str | None, seconds: int) -> bool:  # noqa: ARG002 - others look at the time
        """Whether its reminder must not follow an email of the reminder ``told_as`` after so many ``seconds``."""
        return told_as == self.told_as

    def run(self, world: Surroundings) -> Answer:
        guard = SendGuard(SendRecordsTable("a table", world), COOL_DOWN, world.clock, world.draw)  # type: ignore[arg-type]
        attempt = Attempt(self.people, int(world.clock()) + SECONDS, world.draw(), self.force_id, self.reminder)
        if self.reminder is None:
            return _answered(lambda: guard.send(guard.load(7), attempt, lambda send: world.put(ORDER, send.people)))
        answer = _answered(lambda: self._remind(guard, attempt, world))
        if answer.name in ("RateLimited", "SendRecordUnavailable", "ResendInProgress"):
            return answer  # the message goes back to the queue
        world.acknowledge(answer)
        return replace(answer, delivered_again=False)

    def _remind(self, guard: SendGuard, attempt: Attempt, world: Surroundings) -> NoReminder | Sent | Duplicate | None:
        """Remind as a worker does: leftovers first, then whether it is due, then the send."""

        def report(error: OutcomeUnknown) -> None:
            named = tuple(reminder for reminder in REMINDERS if reminder in str(error))
            world.report(ORDER, named or (self.reminder or "",))

        record = guard.report_attempted(guard.load(7), report)
        if world.clock() >= DUE_UNTIL and self.reminder not in record.reminders:
            return None
        return guard.send(record, attempt, lambda send: world.put(ORDER, send.people), report)


def _answered(call: Callable[[], Sent | Duplicate | NoReminder | None]) -> Answer:
    try:
        result = call()
    except ResendError as error:
        return Answer(type(error).__name__, delivered_again=True)
    return Answer("missed" if result is None else type(result).__name__, result)


_machines: dict[Invocation, "Machine"] = {}


def machine_of(invocation: Invocation) -> "Machine":
    if invocation not in _machines:
        _machines[invocation] = Machine(invocation)
    return _machines[invocation]


def forget() -> None:
    """Free the memory of all machines and items; states that hold some must not be used any more."""
    _machines.clear()
    _items.clear()


class Machine:
    """An invocation after some responses: what it asks next, or its answer. Equal ones are the same object."""

    def __init__(self, invocation: Invocation, responses: tuple[Any, ...] = ()) -> None:
        world = Surroundings(invocation.name, responses)
        self.invocation = invocation
        self.responses = responses
        self.answer: Answer | None = None
        with suppress(_Paused):
            self.answer = invocation.run(world)
        self.ask = world.ask or NOTHING
        self._after: dict[Any, Machine] = {}

    @property
    def started(self) -> bool:
        return bool(self.responses)

    @property
    def deadline(self) -> int:
        """When it is killed, by the clock of the world."""
        started: int = self.responses[0]
        return started - self.invocation.ahead + SECONDS

    def told(self, response: Any) -> "Machine":
        if response not in self._after:
            self._after[response] = Machine(self.invocation, (*self.responses, response))
        return self._after[response]
