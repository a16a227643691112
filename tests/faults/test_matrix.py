"""The fault matrix: the effect of each CertCentral fault on a resend, by step and event source.

Each cell has two calls: one that meets the fault, and the same call again without the fault. Their results, the number
of PUTs that CertCentral received, and the number of mailings must be those in the tables below.

An order that is not DV has two domains here. The fault strikes the second, and the first is always mailed once.
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
from unit.samples import direct, event, http, message, queue

from dev.emulator import CertCentralEmulator
from dev.faults.network import Names, deaf, refusing, resetting
from dv_resend import observability
from dv_resend.adapters import certcentral_http
from dv_resend.errors import CertCentralUnavailable, ResendError
from faults.conftest import EARLIER, STEPS, Invoke, ReadOutput, Settings, Step, once_at, path_of, session, stored_key

FAILURES = "batchItemFailures"

type Answer = dict[str, Any] | ResendError
type Port = Callable[[], AbstractContextManager[int]]
type Events = dict[str, Callable[[int], dict[str, Any]]]

EVENT_SOURCES: Events = {
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

# The same of an order that is not DV. Its reminders name nobody.
DOMAINS = ("first-{id}.example", "second-{id}.example")


def second_named(order_id: int) -> dict[str, Any]:
    name = DOMAINS[1].format(id=order_id)
    return {"domain_approval_emails": [{"domain": name, "email": f"admin@{name}"}]}


# What differs by event source is in the cells of DV orders. Here, a request and a reminder are enough.
NAMED: Events = {"direct": lambda order_id: direct(order_id, **second_named(order_id))}
BY_DOMAIN: Events = {
    "http": http,
    "queue": lambda order_id: {"Records": [message(order_id, by_domain=True)]},
}
BY_DOMAIN_REPEATS = BY_DOMAIN | {"http": REPEATS["http"]}

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


@dataclass(frozen=True)
class Target:
    """What the calls of a cell are about: an order, and the ids of its two domains if it is not DV."""

    order_id: int
    first: int = 0
    second: int = 0

    def path(self, step: Step) -> str:
        return path_of(step, self.number(step))

    def number(self, step: Step) -> int:
        return {"first put": self.first, "second emails": self.second, "second put": self.second}.get(
            step, self.order_id
        )


@dataclass
class World:
    """What a fault can change, and where it strikes: at a `step` of an order's resend."""

    upstream: CertCentralEmulator
    names: Names
    ports: dict[Port, int]
    step: Step
    target: Target
    takes_effect: bool

    def before(self, strike: Callable[[], None]) -> None:
        """Make the step need a new connection, and let the fault strike that one only."""
        if self.step not in EARLIER:
            strike()
            return
        earlier = EARLIER[self.step]
        self.upstream.inject({"fault": "close_after", "path": self.target.path(earlier)})
        self.upstream.on_call = once_at(earlier, self.target.number(earlier), strike)


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
        fault | {"path": world.target.path(world.step), "mails": world.takes_effect}
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
    old, new = stored_key(), f"{CANARY}-{world.target.order_id}"

    def rotate() -> None:
        world.upstream.set_key(new, "valid")
        store_key(new)
        world.upstream.set_key(old, "revoked")

    world.upstream.on_call = once_at(world.step, world.target.number(world.step), rotate)


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
    """One call's response to its caller, the PUTs that CertCentral has received so far, and the mailings so far.

    Of an order that is not DV, they are about its second domain; `first` has both numbers of the first domain.
    """

    response: tuple[Any, ...]
    puts: int
    mailed: int
    first: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Cell:
    """One fault at one step, and the event source of the call."""

    fault: Fault
    step: Step
    takes_effect: bool
    event_source: str

    @property
    def is_dv(self) -> bool:
        return self.step in STEPS

    @property
    def strikes_put(self) -> bool:
        return self.step in ("put", "second put")

    @property
    def strikes(self) -> str:
        if not self.strikes_put:
            return f"GET {self.step}"
        return f"{self.step.replace('put', 'PUT')}, {'mailed' if self.takes_effect else 'not mailed'}"

    def call(self, order_id: int, *, repeated: bool = False) -> dict[str, Any]:
        """Return the event of the call, or of the call that repeats it."""
        if self.step == "second emails":
            events = NAMED
        elif self.is_dv:
            events = REPEATS if repeated else EVENT_SOURCES
        else:
            events = BY_DOMAIN_REPEATS if repeated else BY_DOMAIN
        return events[self.event_source](order_id)

    @property
    def expected(self) -> tuple[Result, Result]:
        """The results of the two calls according to the tables."""
        outcome = self.fault.put if self.strikes_put else self.fault.get
        if not self.is_dv and outcome == "OrderNotFound":
            outcome = "RequestRejected"  # what is not found is the domain
        puts, mailed = int(outcome == "sent"), int(outcome == "sent")
        if self.strikes_put:
            puts, mailed = self.fault.puts, int(self.takes_effect)
        again = ANSWERS[outcome][3]
        if self.event_source == "queue":
            again = REPEATED_REMINDERS.get(again, again)
            if (self.step, outcome) == ("second put", "RequestRejected"):
                again = "already_reminded"  # by the email about the first domain
        more = int(again == "sent")
        first = (1, 1) if self.step == "second put" else (0, 0)
        return (
            Result(self._response(outcome, self.fault.retry_after), puts, mailed, first),
            Result(self._response(again, None), puts + more, mailed + more, first),
        )

    def _response(self, outcome: str, retry_after: str | None) -> tuple[Any, ...]:
        status, code, becomes, _ = ANSWERS[outcome]
        match self.event_source:
            case "http":
                return status, code, retry_after
            case "queue" if not self.is_dv and outcome == "PermissionDenied":
                return outcome, "done"  # the key may still work with orders
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
                return logged, "again" if answer[FAILURES] else "done"
            case _:
                return (answer["outcome"],)


def cells(fault: Fault) -> list[Cell]:
    places: list[tuple[Step, bool]] = [("validation", False), ("order", False)]
    places += [("put", takes_effect) for takes_effect in fault.effects]
    return [Cell(fault, step, takes_effect, source) for step, takes_effect in places for source in EVENT_SOURCES]


def cells_of_second_domain(fault: Fault) -> list[Cell]:
    return [Cell(fault, "second emails", False, source) for source in NAMED] + [
        Cell(fault, "second put", takes_effect, source) for takes_effect in fault.effects for source in BY_DOMAIN
    ]


@pytest.fixture
def ports() -> Iterator[dict[Port, int]]:
    with ExitStack() as stack:
        yield {port: stack.enter_context(port()) for port in (refusing, deaf, resetting)}


def is_unavailable(answer: Answer) -> bool:
    if isinstance(answer, CertCentralUnavailable):
        return True
    return not isinstance(answer, ResendError) and (answer.get("statusCode") == 503 or bool(answer.get(FAILURES)))


@dataclass
class Calls:
    """Makes the calls of cells of one fault, each about a new order."""

    fault: Fault
    cells: list[Cell]
    upstream: CertCentralEmulator
    names: Names
    ports: dict[Port, int]
    invoke: Invoke
    output: ReadOutput

    def have_the_tabulated_results(self) -> None:
        for seconds in SECONDS_OF_SLOW_CALLS if self.fault.slow else (29,):
            targets, first = self.all_first(seconds)
            if not self.fault.slow or self.has_struck(targets):
                break
        again = self.results(targets, map(self.repeated, targets, targets.values()))

        seen = {cell: (first[cell], again[cell]) for cell in targets}
        assert {f"{cell.strikes}, {cell.event_source}": both for cell, both in seen.items()} == {
            f"{cell.strikes}, {cell.event_source}": cell.expected for cell in seen
        }

    def struck(self, cell: Cell, target: Target, seconds: float) -> Answer:
        """Make the call that meets the fault."""
        world = World(self.upstream, self.names, self.ports, cell.step, target, cell.takes_effect)
        self.fault.strike(world)
        if self.fault.slow:
            return self.call(cell.call(target.order_id), seconds)
        # An open connection would not meet the faults of new connections.
        session().close()
        answer = self.call(cell.call(target.order_id), seconds)
        self.names.restore()
        return answer

    def repeated(self, cell: Cell, target: Target) -> Answer:
        """Make the call again, without the fault; once more if CertCentral's answer was late: the machine is busy."""
        answer = self.repeated_once(cell, target)
        return self.repeated_once(cell, target) if is_unavailable(answer) else answer

    def repeated_once(self, cell: Cell, target: Target) -> Answer:
        return self.call(cell.call(target.order_id, repeated=True), 29)

    def call(self, ask: dict[str, Any], seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        try:
            return self.invoke(ask, seconds=seconds)
        except ResendError as error:
            return error
        finally:
            assert time.monotonic() < deadline, "the function would have been killed"

    def results(self, targets: dict[Cell, Target], answers: Iterable[Answer]) -> dict[Cell, Result]:
        """The results of the calls, given their responses."""
        found = list(answers)
        # The line of a call follows those of its domains.
        logged = {line["order_id"]: line["outcome"] for line in self.output().lines if line.get("message") == "audit"}
        return {
            cell: Result(cell.seen_by_caller(answer, logged[target.order_id]), *self.puts_and_mailings(cell, target))
            for (cell, target), answer in zip(targets.items(), found, strict=True)
        }

    def puts_and_mailings(self, cell: Cell, target: Target) -> tuple[int, int, tuple[int, int]]:
        def puts(step: Step) -> int:
            return self.upstream.count_calls("PUT", target.path(step))

        if cell.is_dv:
            return puts("put"), self.upstream.mailings(target.order_id), (0, 0)
        first, second = (self.upstream.domain_mailings(domain_id) for domain_id in (target.first, target.second))
        return puts("second put"), second, (puts("first put"), first)

    def all_first(self, seconds: float) -> tuple[dict[Cell, Target], dict[Cell, Result]]:
        """Make the first calls, in parallel if they are slow; return what they are about, too."""
        targets = {cell: self.target(cell) for cell in self.cells}
        with ThreadPoolExecutor(len(targets) if self.fault.slow else 1) as pool:
            results = self.results(targets, pool.map(self.struck, targets, targets.values(), repeat(seconds)))
        self.upstream.clear_faults()
        return targets, results

    def target(self, cell: Cell) -> Target:
        """Add an order for a cell."""
        if cell.is_dv:
            # All but one approved: an email for each of the names would take the emulator long.
            names = {f"n{number}.a-name-that-is-long.example.com": "approved" for number in range(1, self.fault.names)}
            return Target(self.upstream.add_order(kind="dv", age_days=3.2, names={NAME: "pending"} | names)["id"])
        order = self.upstream.add_order(kind="ov", age_days=3.2, names=DOMAINS)
        ids = {domain["name"]: domain["id"] for domain in self.upstream.domains}
        return Target(order["id"], *(ids[name] for name in order["names"]))

    def has_struck(self, targets: dict[Cell, Target]) -> bool:
        """Whether a slow fault has struck: on a busy machine, the time may be too short to reach its step."""
        return all(
            self.upstream.count_calls("PUT" if cell.strikes_put else "GET", target.path(cell.step))
            for cell, target in targets.items()
        )


type StartCalls = Callable[[Fault, list[Cell]], Calls]


@pytest.fixture
def calls_of(
    request: pytest.FixtureRequest,
    invoke: Invoke,
    names: Names,
    ports: dict[Port, int],
    output: ReadOutput,
    monkeypatch: pytest.MonkeyPatch,
) -> StartCalls:
    def start(fault: Fault, cells: list[Cell]) -> Calls:
        upstream: CertCentralEmulator = request.getfixturevalue("tls_upstream" if fault.tls else "upstream")
        # Without TLS, the kernel connects at once, however busy the machine is.
        monkeypatch.setattr(certcentral_http, "CONNECT_TIMEOUT_SECONDS", 3.0 if fault.tls else 0.05)
        if fault.slow:
            # Lambda never runs two calls in one process, and the metrics do not support it.
            monkeypatch.setattr(observability.metrics, "add_metric", lambda **_: None)
        return Calls(fault, cells, upstream, names, ports, invoke, output)

    return start


@pytest.mark.usefixtures("_no_jitter")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_has_the_tabulated_effect(fault: Fault, calls_of: StartCalls) -> None:
    calls_of(fault, cells(fault)).have_the_tabulated_results()


# What TLS and long responses change is below the calls: the same for each of them.
@pytest.mark.usefixtures("_no_jitter")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if not fault.tls and fault.names == 1], ids=lambda fault: fault.name
)
def test_fault_at_second_domain_has_the_tabulated_effect(
    fault: Fault, calls_of: StartCalls, settings: Settings
) -> None:
    settings(ORDER_TYPES="all")

    calls_of(fault, cells_of_second_domain(fault)).have_the_tabulated_results()
