"""The fault matrix: the effect of each CertCentral fault on a resend, by step and event source.

Each cell has two calls: one that meets the fault, and the same call again without the fault. Their results, the number
of PUTs that CertCentral received, and the number of mailings must be those in the tables below.
"""

import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import pytest
from conftest import CANARY, store_key
from unit.samples import direct, event, http, queue

from dev.emulator import CertCentralEmulator
from dev.faults.network import Names, deaf, refusing, resetting
from dv_resend import observability
from dv_resend.adapters import certcentral_http
from dv_resend.errors import ResendError
from faults.conftest import EARLIER, Invoke, ReadOutput, Step, once_at, path_of, puts, session, stored_key

type Answer = dict[str, Any] | ResendError
type Port = Callable[[], AbstractContextManager[int]]

EVENT_SOURCES: dict[str, Callable[[int], dict[str, Any]]] = {
    "http": http,
    "direct": direct,
    "event": event,
    "queue": queue,
}
NAME = "example.com"
ADMIN = {"domain_approval_emails": [{"domain": NAME, "email": f"admin@{NAME}"}]}
# Callers rarely repeat a request word for word: another language, or one of the default recipients by name.
REPEATS = EVENT_SOURCES | {
    "http": lambda order_id: http(order_id, {"locale": "en"}),
    "direct": lambda order_id: direct(order_id, **ADMIN),
}

# For each outcome: HTTP status and code, whether the queue's message is acknowledged ("done") or redelivered ("again"),
# and the outcome of a repeat without the fault.
ANSWERS: dict[str, tuple[int, str | None, str, str]] = {
    "sent": (204, None, "done", "duplicate"),
    "duplicate": (409, "cool_down", "done", ""),
    "already_reminded": (0, None, "done", ""),
    "OrderNotFound": (404, "not_found|order", "done", "sent"),
    "RequestRejected": (422, "request_rejected", "done", "sent"),
    "OutcomeUnknown": (504, "outcome_unknown", "done", "OutcomeUnknown"),
    "ApiKeyRejected": (502, "api_key_rejected", "again", "sent"),
    "PermissionDenied": (502, "permission_denied", "again", "sent"),
    "RateLimited": (429, "request_limit_exceeded", "again", "sent"),
    "CertCentralUnavailable": (503, "certcentral_unavailable", "again", "sent"),
    "ConfigurationError": (500, "configuration_error", "again", "sent"),
}
# The worker's own outcome for a repeat: what became of the reminder has been reported.
REPEATED_REMINDERS = dict.fromkeys(("duplicate", "OutcomeUnknown"), "already_reminded")

# Each step starts only if there is time for it: to connect, 1 s to read, and 3 s to record the outcome.
SECONDS_OF_SLOW_CALLS = (5.5, 10.0, 20.0)


@dataclass
class World:
    """What a fault can change, and where it strikes: at a `step` of an order's resend."""

    upstream: CertCentralEmulator
    names: Names
    ports: dict[Port, int]
    step: Step
    order_id: int
    takes_effect: bool

    def before(self, strike: Callable[[], None]) -> None:
        """Make the step need a new connection, and let the fault strike that one only."""
        if self.step not in EARLIER:
            strike()
            return
        earlier = EARLIER[self.step]
        self.upstream.inject({"fault": "close_after", "path": path_of(earlier, self.order_id)})
        self.upstream.on_call = once_at(earlier, self.order_id, strike)


type Strike = Callable[[World], None]


@dataclass(frozen=True)
class Fault:
    """One fault: how it strikes, and the outcome if it strikes a GET or the PUT.

    `puts` is the number of PUTs that CertCentral receives if the fault strikes the PUT, and `effects` says whether such
    a PUT sends emails. A `slow` fault uses up the remaining time, so all its calls run in parallel. With `names`, the
    responses about the order are long.
    """

    name: str
    strike: Strike
    get: str = "CertCentralUnavailable"
    put: str = "OutcomeUnknown"
    puts: int = 1
    effects: tuple[bool, ...] = (False, True)
    tls: bool = False
    slow: bool = False
    names: int = 1
    retry_after: str | None = None


def to(port: Port) -> Strike:
    """New connections go to a port like this."""
    return lambda world: world.before(lambda: world.names.go(world.ports[port]))


def nowhere(world: World) -> None:
    world.before(lambda: world.names.go(None))


def emulated(**fault: Any) -> Strike:
    """One of the emulator's own faults."""
    return lambda world: world.upstream.inject(
        fault | {"path": path_of(world.step, world.order_id), "mails": world.takes_effect}
    )


def status(status: int, **more: Any) -> Strike:
    return emulated(fault="status", status=status, **more)


def refused(code: int, error: str) -> Strike:
    return status(code, body={"errors": [{"code": error, "message": "No."}]})


def raw(data: bytes, slowly: bytes = b"", closes: bool = True) -> Strike:
    return emulated(fault="raw", data=data.decode("latin-1"), slowly=slowly.decode("latin-1"), closes=closes)


def ok(*lines: str, body: bytes = b"") -> bytes:
    head = "\r\n".join(("HTTP/1.1 200 OK", "Content-Type: application/json", *lines))
    return head.encode() + b"\r\n\r\n" + body


def whole(body: bytes, *lines: str) -> bytes:
    """A complete response."""
    return ok(f"Content-Length: {len(body)}", *lines, body=body)


def rotated(world: World) -> None:
    """The key is rotated just before the step: the function's key is revoked, and the secret holds the new one."""
    old, new = stored_key(), f"{CANARY}-{world.order_id}"

    def rotate() -> None:
        world.upstream.set_key(new, "valid")
        store_key(new)
        world.upstream.set_key(old, "revoked")

    world.upstream.on_call = once_at(world.step, world.order_id, rotate)


NOT_REACHED: dict[str, Any] = {"put": "CertCentralUnavailable", "puts": 0, "effects": (False,)}
REFUSED: dict[str, Any] = {"effects": (False,)}
ACCEPTED: dict[str, Any] = {"put": "sent", "effects": (True,)}
HARMLESS: dict[str, Any] = {"get": "sent", **ACCEPTED}
NOT_CERTCENTRAL: dict[str, Any] = {"put": "CertCentralUnavailable", **REFUSED}
UNKNOWN: dict[str, Any] = {"put": "OutcomeUnknown", "puts": 0, "effects": (False,)}


def refusal(error: str) -> dict[str, Any]:
    """The outcome of a GET and of the PUT, which has no effect."""
    return {"get": error, "put": error, "effects": (False,)}


def stale(status: int, body: bytes = b'{"errors": [{"code": "stale|reply", "message": "Not yours."}]}') -> bytes:
    """A whole response to some other request."""
    if status == 204:
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    return b"HTTP/1.1 %d Stale\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def extra(before: bytes = b"", after: bytes = b"") -> Strike:
    """The right response, and more bytes on the same connection, which stays open."""
    return emulated(fault="extra", before=before.decode("latin-1"), after=after.decode("latin-1"))


def answered(status: int, body: Any) -> Strike:
    return emulated(fault="status", status=status, body=body)


def plain_and_tls(name: str, strike: Strike, **expected: Any) -> list[Fault]:
    return [Fault(name, strike, **expected), Fault(f"{name}, TLS", strike, **expected, tls=True)]


EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"

REPLIES = [
    # Replies that nobody asked for. What is read with 250 names is more than a buffer, and less than a TLS record.
    *(
        fault
        for status in (204, 400, 429, 500)
        for names in (1, 250)
        for fault in plain_and_tls(
            f"surplus {status} after {'a long' if names > 1 else 'the'} response",
            extra(after=stale(status)),
            **HARMLESS,
            names=names,
        )
    ),
    *plain_and_tls("one byte too much", extra(after=b"\n"), **HARMLESS),
    # Replies before the reply
    *plain_and_tls("100 before the response", extra(b"HTTP/1.1 100 Continue\r\n\r\n"), **HARMLESS),
    *plain_and_tls("102 before the response", extra(b"HTTP/1.1 102 Processing\r\n\r\n"), **HARMLESS),
    *plain_and_tls("103 before the response", extra(EARLY_HINTS), **HARMLESS),
    *plain_and_tls("ten 103 before the response", extra(EARLY_HINTS * 10), **HARMLESS),
    *plain_and_tls("thirty 103 before the response", extra(EARLY_HINTS * 30), effects=(True,)),
    *plain_and_tls("103 and no response", raw(EARLY_HINTS)),
    # Statuses that do not say what was done
    *(fault for status in (408, 425, 499) for fault in plain_and_tls(f"{status}", refused(status, "odd|status"))),
    *plain_and_tls("304 with a body", raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n{}")),
    # Not what was asked for
    *plain_and_tls("200 with errors", answered(200, {"errors": [{"code": "odd|thing", "message": "No."}]})),
    *plain_and_tls("200 with an empty list of errors", answered(200, {"errors": []})),
    *plain_and_tls("200 with text", raw(whole(b"Service is available"))),
    *plain_and_tls("200 without a length or a body", raw(ok())),
    *plain_and_tls("200 with an empty object", answered(200, {}), **ACCEPTED),
    *plain_and_tls("200 with an empty body", raw(ok("Content-Length: 0")), **ACCEPTED),
    *plain_and_tls("200 with null", raw(whole(b"null")), **ACCEPTED),
    *plain_and_tls("200 with another object", answered(200, {"token": "x", "id": "x"}), **ACCEPTED),
    *(
        fault
        for status in (400, 401, 403, 404, 429)
        for fault in plain_and_tls(
            f"{status} with a web page", emulated(fault="html", status=status), **NOT_CERTCENTRAL
        )
    ),
    *plain_and_tls("403 without a code", answered(403, {"errors": [{"message": "Blocked."}]}), **NOT_CERTCENTRAL),
    *plain_and_tls("403 with an empty body", raw(stale(403, b"")), **NOT_CERTCENTRAL),
    *plain_and_tls(
        "404 without a detail", refused(404, "not_found"), get="OrderNotFound", put="OrderNotFound", **REFUSED
    ),
]

FAULTS = [
    # No connection
    Fault("connection refused", to(refusing), **NOT_REACHED),
    Fault("no response to the connection", to(deaf), **NOT_REACHED),
    Fault("name not resolved", nowhere, **NOT_REACHED),
    Fault("reset at the first byte", to(resetting), **UNKNOWN),
    # No response
    Fault("reset after the request", emulated(fault="reset")),
    Fault("closed after the request", emulated(fault="close")),
    Fault("silence", emulated(fault="hang"), slow=True),
    Fault("dripping headers", raw(b"HTTP/1.1 200 OK\r\n", slowly=b"X-Drip: 1\r\n" * 22, closes=False), slow=True),
    Fault("endless 100 Continue", raw(b"", slowly=b"HTTP/1.1 100 Continue\r\n\r\n" * 10), slow=True),
    Fault("dripping body", raw(ok("Content-Length: 99999"), slowly=b" " * 250), slow=True),
    Fault("cut off after the status", raw(b"HTTP/1.1 200 OK\r\n")),
    Fault("cut off in a header", raw(b"HTTP/1.1 200 OK\r\nContent-Le")),
    # An unusable response
    Fault("garbage", raw(bytes(range(256)) * 9 + b"\r\n\r\n")),
    Fault("status 99", raw(b"HTTP/1.1 99 Odd\r\n\r\n")),
    Fault("header of a megabyte", raw(ok(f"X-Long: {'x' * 1_000_000}"))),
    Fault("thousand headers", raw(ok(*(f"X-{n}: 1" for n in range(1000))))),
    Fault("headers without names", raw(whole(b"<p>", f"=?{CANARY}", " : :", ""))),
    Fault("two lengths", raw(ok("Content-Length: 2, 3", body=b"{}"))),
    Fault("non-numeric length", raw(ok("Content-Length: two", body=b"<p>"))),
    Fault("invalid chunks", raw(ok("Transfer-Encoding: chunked", body=b"5\r\n{}\r\nzz\r\n"))),
    Fault("chunk of 16 exabytes", raw(ok("Transfer-Encoding: chunked", body=b"ffffffffffffffff\r\n{}"))),
    Fault("cut off in the body", emulated(fault="truncated", status=200)),
    Fault("gzip bomb", emulated(fault="gzip_bomb", status=200, bytes=3_000_000)),
    Fault("5 MB", emulated(fault="huge", status=200)),
    Fault("invalid gzip", raw(whole(b'{"id": 1}', "Content-Encoding: gzip"))),
    Fault("gzip cut off", raw(whole(zlib.compress(b"{}" * 999, wbits=31)[:-9], "Content-Encoding: gzip"))),
    Fault("unrequested encoding", raw(whole(b"{}", "Content-Encoding: br"))),
    Fault("web page with 200", emulated(fault="html", status=200)),
    Fault("redirect", emulated(fault="redirect", status=302, location="http://127.0.0.1:9/")),
    Fault("not modified", status(304)),
    Fault("bad JSON with 200", emulated(fault="bad_json", status=200)),
    Fault("deep JSON with 200", raw(whole(b"[" * 400_000))),
    Fault("a number of 9999 digits", raw(whole(b'{"id": %s}' % (b"9" * 9999)))),
    Fault("204 with a body", raw(b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}"), **ACCEPTED),
    Fault("204 in chunks", raw(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), **ACCEPTED),
    # A refusal
    Fault("500", status(500)),
    Fault("500 with bad JSON", emulated(fault="bad_json", status=500)),
    Fault("503, maintenance", status(503)),
    Fault("429", status(429), **refusal("RateLimited"), retry_after="30"),
    Fault("429 with Retry-After", status(429, headers={"Retry-After": "7"}), **refusal("RateLimited"), retry_after="7"),
    Fault("403, invalid key", refused(403, "access_denied|access_denied_invalid_key"), **refusal("ApiKeyRejected")),
    Fault("401", refused(401, "unauthorized"), **refusal("ApiKeyRejected")),
    Fault("403, key rotated", rotated, "sent", "sent", puts=2, effects=(True,)),
    Fault("403, missing permission", refused(403, "access_denied|missing_permission"), **refusal("PermissionDenied")),
    Fault("404, order", refused(404, "not_found|order"), **refusal("OrderNotFound")),
    Fault("404, route", refused(404, "not_found|route"), **refusal("ConfigurationError")),
    Fault("400", refused(400, "invalid_request"), **refusal("RequestRejected")),
    Fault("409", refused(409, "conflict"), **refusal("RequestRejected")),
    *REPLIES,
]


@dataclass(frozen=True)
class Result:
    """One call's response to its caller, the PUTs that CertCentral has received so far, and the mailings so far."""

    response: tuple[Any, ...]
    puts: int
    mailed: int


@dataclass(frozen=True)
class Cell:
    """One fault at one step, and the event source of the call."""

    fault: Fault
    step: Step
    takes_effect: bool
    event_source: str

    @property
    def strikes(self) -> str:
        if self.step != "put":
            return f"GET {self.step}"
        return "PUT, mailed" if self.takes_effect else "PUT, not mailed"

    @property
    def expected(self) -> tuple[Result, Result]:
        """The results of the two calls according to the tables."""
        outcome = self.fault.put if self.step == "put" else self.fault.get
        puts, mailed = int(outcome == "sent"), int(outcome == "sent")
        if self.step == "put":
            puts, mailed = self.fault.puts, int(self.takes_effect)
        again = ANSWERS[outcome][3]
        more = int(again == "sent")
        if self.event_source == "queue":
            again = REPEATED_REMINDERS.get(again, again)
        return (
            Result(self._response(outcome, self.fault.retry_after), puts, mailed),
            Result(self._response(again, None), puts + more, mailed + more),
        )

    def _response(self, outcome: str, retry_after: str | None) -> tuple[Any, ...]:
        status, code, becomes, _ = ANSWERS[outcome]
        match self.event_source:
            case "http":
                return status, code, retry_after
            case "queue":
                return outcome, becomes
            case _:
                return (outcome,)

    def seen_by_caller(self, answer: Answer, logged: str) -> tuple[Any, ...]:
        """The part of a response that its caller sees. For the queue, only the log has the outcome."""
        if isinstance(answer, ResendError):
            return (type(answer).__name__,)
        match self.event_source:
            case "http":
                code = json.loads(answer["body"])["errors"][0]["code"] if answer["body"] else None
                return answer["statusCode"], code, answer["headers"].get("Retry-After")
            case "queue":
                return logged, "again" if answer["batchItemFailures"] else "done"
            case _:
                return (answer["outcome"],)


def cells(fault: Fault) -> list[Cell]:
    places: list[tuple[Step, bool]] = [("validation", False), ("order", False)]
    places += [("put", takes_effect) for takes_effect in fault.effects]
    return [Cell(fault, step, takes_effect, source) for step, takes_effect in places for source in EVENT_SOURCES]


@pytest.fixture
def ports() -> Iterator[dict[Port, int]]:
    with ExitStack() as stack:
        yield {port: stack.enter_context(port()) for port in (refusing, deaf, resetting)}


@dataclass
class Calls:
    """Makes the calls of a fault's cells, each about a new order."""

    fault: Fault
    upstream: CertCentralEmulator
    names: Names
    ports: dict[Port, int]
    invoke: Invoke
    output: ReadOutput

    def struck(self, cell: Cell, order_id: int, seconds: float) -> Answer:
        """Make the call that meets the fault."""
        world = World(self.upstream, self.names, self.ports, cell.step, order_id, cell.takes_effect)
        self.fault.strike(world)
        if self.fault.slow:
            return self.call(EVENT_SOURCES[cell.event_source](order_id), seconds)
        # An open connection would not meet the faults of new connections.
        session().close()
        answer = self.call(EVENT_SOURCES[cell.event_source](order_id), seconds)
        self.names.restore()
        return answer

    def repeated(self, cell: Cell, order_id: int) -> Answer:
        return self.call(REPEATS[cell.event_source](order_id), 29)

    def call(self, ask: dict[str, Any], seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        try:
            return self.invoke(ask, seconds=seconds)
        except ResendError as error:
            return error
        finally:
            assert time.monotonic() < deadline, "the function would have been killed"

    def results(self, orders: dict[Cell, int], answers: Iterable[Answer]) -> dict[Cell, Result]:
        """The results of the calls, given their responses."""
        found = list(answers)
        logged = {line["order_id"]: line["outcome"] for line in self.output().lines if line.get("message") == "audit"}
        return {
            cell: Result(
                cell.seen_by_caller(answer, logged[order_id]),
                puts(self.upstream, order_id),
                self.upstream.mailings(order_id),
            )
            for (cell, order_id), answer in zip(orders.items(), found, strict=True)
        }

    def all_first(self, seconds: float) -> tuple[dict[Cell, int], dict[Cell, Result]]:
        """Make the first calls, in parallel if they are slow; return the orders, too."""
        # All but one approved: an email for each of the names would take the emulator long.
        names = {f"n{number}.a-name-that-is-long.example.com": "approved" for number in range(1, self.fault.names)}
        orders = {
            cell: self.upstream.add_order(kind="dv", age_days=3.2, names={NAME: "pending"} | names)["id"]
            for cell in cells(self.fault)
        }
        with ThreadPoolExecutor(len(orders) if self.fault.slow else 1) as pool:
            results = self.results(orders, pool.map(self.struck, orders, orders.values(), repeat(seconds)))
        self.upstream.clear_faults()
        return orders, results

    def has_struck(self, orders: dict[Cell, int]) -> bool:
        """Whether a slow fault has struck: on a busy machine, the time may be too short to reach its step."""
        return all(
            self.upstream.count_calls("PUT" if cell.step == "put" else "GET", path_of(cell.step, order_id))
            for cell, order_id in orders.items()
        )


@pytest.mark.usefixtures("_no_jitter")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_has_the_tabulated_effect(
    fault: Fault,
    request: pytest.FixtureRequest,
    invoke: Invoke,
    names: Names,
    ports: dict[Port, int],
    output: ReadOutput,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream: CertCentralEmulator = request.getfixturevalue("tls_upstream" if fault.tls else "upstream")
    # Without TLS, the kernel connects at once, however busy the machine is.
    monkeypatch.setattr(certcentral_http, "CONNECT_TIMEOUT_SECONDS", 3.0 if fault.tls else 0.05)
    if fault.slow:
        # Lambda never runs two calls in one process, and the metrics do not support it.
        monkeypatch.setattr(observability.metrics, "add_metric", lambda **_: None)
    calls = Calls(fault, upstream, names, ports, invoke, output)

    for seconds in SECONDS_OF_SLOW_CALLS if fault.slow else (29,):
        orders, first = calls.all_first(seconds)
        if not fault.slow or calls.has_struck(orders):
            break
    again = calls.results(orders, map(calls.repeated, orders, orders.values()))

    seen = {cell: (first[cell], again[cell]) for cell in orders}
    assert {f"{cell.strikes}, {cell.event_source}": both for cell, both in seen.items()} == {
        f"{cell.strikes}, {cell.event_source}": cell.expected for cell in seen
    }
