"""The fault matrix: what each fault of CertCentral does to a send, by where it strikes, through each door.

Each cell is two calls: one that meets the fault, and the same once more when it is gone. What they answer, how many
PUTs CertCentral received, and how often it mailed, is held to the table below. What was seen goes into the test's
report, and the run prints it (`faults.report`).
"""

import gc
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import groupby, repeat
from typing import Any

import pytest
from conftest import CANARY, Output

from dv_resend import app, observability
from dv_resend.adapters import certcentral_http
from dv_resend.errors import ResendError
from faults.conftest import Certificates, direct, event, http, queue, store_key
from faults.report import PROPERTY
from faults.upstream import EARLIER, Names, Place, Raw, Step, Upstream, deaf, refusing, resetting

type Answer = dict[str, Any] | ResendError
type Port = Callable[[], AbstractContextManager[int]]

DOORS: dict[str, Callable[[int], dict[str, Any]]] = {"http": http, "direct": direct, "event": event, "queue": queue}

# What each outcome is to a caller by HTTP, whether the queue's message is done with or comes again, and what the same
# call comes to when the fault is gone.
ANSWERS: dict[str, tuple[int, str | None, str, str]] = {
    "sent": (204, None, "done", "duplicate"),
    "duplicate": (409, "cool_down", "done", ""),
    "OrderNotFound": (404, "not_found|order", "done", "sent"),
    "RequestRejected": (422, "request_rejected", "done", "sent"),
    "OutcomeUnknown": (504, "outcome_unknown", "done", "OutcomeUnknown"),
    "ApiKeyRejected": (502, "api_key_rejected", "again", "sent"),
    "PermissionDenied": (502, "permission_denied", "again", "sent"),
    "RateLimited": (429, "request_limit_exceeded", "again", "sent"),
    "CertCentralUnavailable": (503, "certcentral_unavailable", "again", "sent"),
    "ConfigurationError": (500, "configuration_error", "again", "sent"),
}
# The worker's own word for a repeat.
OF_THE_QUEUE = {"duplicate": "already_reminded"}
RETRY_AFTER_OF_A_CLAIM = "the cool-down"

# Without TLS the kernel connects, however busy this machine is.
SECONDS_TO_CONNECT = {False: 0.05, True: 3.0}
# Before each step there must be time for it: to connect, 1 s to read, and 3 s to record the outcome.
SECONDS_OF_SLOW_CALLS = (5.5, 10.0, 20.0)


@dataclass
class World:
    """What a fault may break, and where it is to strike: at a `step` of the send of an order."""

    upstream: Upstream
    names: Names
    certificates: Certificates
    ports: dict[Port, int]
    step: Step
    order_id: int
    takes_effect: bool

    @property
    def place(self) -> Place:
        return self.step, self.order_id

    def before(self, strike: Callable[[], None]) -> None:
        """Have the step need a new connection, which finds the fault; what comes before it finds none."""
        if self.step not in EARLIER:
            strike()
            return
        earlier = EARLIER[self.step], self.order_id
        self.upstream.ends_after.add(earlier)
        self.upstream.hooks[earlier] = strike


type Strike = Callable[[World], None]


@dataclass(frozen=True)
class Fault:
    """One fault: how it strikes, and what a call comes to when it strikes a GET, and when it strikes the PUT.

    `puts` is how many PUTs CertCentral receives while the PUT is struck, `effects` whether such a PUT mails. A `slow`
    one takes what is left of the time; all events meet it at once. `unclosed`: urllib3 leaves the socket to the garbage
    collector.
    """

    name: str
    strike: Strike
    get: str = "CertCentralUnavailable"
    put: str = "OutcomeUnknown"
    puts: int = 1
    effects: tuple[bool, ...] = (False, True)
    tls: bool = False
    slow: bool = False
    unclosed: bool = False
    retry_after: str | None = None


def to(port: Port) -> Strike:
    """Connections lead to a port like this."""
    return lambda world: world.before(lambda: world.names.go(world.ports[port]))


def nowhere(world: World) -> None:
    world.before(lambda: world.names.go(None))


def certificate(name: str | None) -> Strike:
    """New connections find this certificate, or no TLS."""
    return lambda world: world.before(
        lambda: world.upstream.meet_with(world.certificates.contexts[name] if name else None)
    )


def emulated(**fault: Any) -> Strike:
    """A fault of the emulator's own."""
    ends = {"validation": "/validation$", "order": "$", "put": "/resend-emails$"}
    return lambda world: world.upstream.inject(
        fault | {"path": f"/{world.order_id}{ends[world.step]}", "mails": world.takes_effect}
    )


def refused(status: int, code: str) -> Strike:
    return emulated(fault="status", status=status, body={"errors": [{"code": code, "message": "No."}]})


def raw(at_once: bytes, **pace: Any) -> Strike:
    def strike(world: World) -> None:
        world.upstream.answers[world.place] = Raw(at_once, **pace)
        if world.takes_effect:
            world.upstream.takes_effect.add(world.place)

    return strike


def ok(*lines: str, body: bytes = b"") -> bytes:
    head = "\r\n".join(("HTTP/1.1 200 OK", "Content-Type: application/json", *lines))
    return head.encode() + b"\r\n\r\n" + body


def whole(body: bytes, *lines: str) -> bytes:
    """A complete answer."""
    return ok(f"Content-Length: {len(body)}", *lines, body=body)


def rotated(world: World) -> None:
    """The key is rotated just before the step: the one that the function has is revoked, the secret has the new one."""
    old, new = world.upstream.key, f"{CANARY}-{world.order_id}"

    def rotate() -> None:
        world.upstream.key = new
        world.upstream.set_key(new, "valid")
        store_key(new)
        world.upstream.set_key(old, "revoked")
        del world.upstream.hooks[world.place]

    world.upstream.hooks[world.place] = rotate


NOT_REACHED: dict[str, Any] = {"put": "CertCentralUnavailable", "puts": 0, "effects": (False,)}
REFUSED: dict[str, Any] = {"effects": (False,)}
# Any 2xx is a success; nothing is read from it.
ACCEPTED: dict[str, Any] = {"put": "sent", "effects": (True,)}
UNHEARD: dict[str, Any] = {"put": "OutcomeUnknown", "puts": 0, "effects": (False,)}

FAULTS = [
    # No connection
    Fault("connection refused", to(refusing), **NOT_REACHED),
    Fault("no answer to the connection", to(deaf), **NOT_REACHED),
    Fault("name not resolved", nowhere, **NOT_REACHED),
    Fault("reset at the first byte", to(resetting), **UNHEARD),
    # No trust
    Fault("certificate expired", certificate("expired"), **NOT_REACHED, tls=True),
    Fault("certificate self-signed", certificate("self-signed"), **NOT_REACHED, tls=True),
    Fault("certificate of another host", certificate("other host's"), **NOT_REACHED, tls=True),
    Fault("certificate of unknown authority", certificate("unknown authority's"), **NOT_REACHED, tls=True),
    Fault("no TLS", certificate(None), **UNHEARD, tls=True),
    Fault("reset in the TLS handshake", to(resetting), **UNHEARD, tls=True),
    # No answer
    Fault("reset after the request", emulated(fault="reset")),
    Fault("closed after the request", emulated(fault="close")),
    Fault("silence", emulated(fault="hang"), slow=True),
    Fault("headers that drip", raw(b"HTTP/1.1 200 OK\r\n", slowly=b"X-Drip: 1\r\n" * 22, ends=False), slow=True),
    Fault("100 Continue without end", raw(b"", slowly=b"HTTP/1.1 100 Continue\r\n\r\n" * 10), slow=True),
    Fault("body that drips", raw(ok("Content-Length: 99999"), slowly=b" " * 250), slow=True),
    Fault("cut off after the status", raw(b"HTTP/1.1 200 OK\r\n")),
    Fault("cut off in a header", raw(b"HTTP/1.1 200 OK\r\nContent-Le")),
    # An answer that makes no sense
    Fault("garbage", raw(bytes(range(256)) * 9 + b"\r\n\r\n")),
    Fault("status 99", raw(b"HTTP/1.1 99 Odd\r\n\r\n")),
    Fault("header of a megabyte", raw(ok(f"X-Long: {'x' * 1_000_000}"))),
    Fault("thousand headers", raw(ok(*(f"X-{n}: 1" for n in range(1000))))),
    Fault("headers without names", raw(whole(b"<p>", f"=?{CANARY}", " : :", ""))),
    Fault("two lengths", raw(ok("Content-Length: 2, 3", body=b"{}")), unclosed=True),
    Fault("length of another unit", raw(ok("Content-Length: two", body=b"<p>"))),
    Fault("chunks that are none", raw(ok("Transfer-Encoding: chunked", body=b"5\r\n{}\r\nzz\r\n"))),
    Fault("chunk of 16 exabytes", raw(ok("Transfer-Encoding: chunked", body=b"ffffffffffffffff\r\n{}"))),
    Fault("cut off in the body", emulated(fault="truncated", status=200)),
    Fault("gzip bomb", emulated(fault="gzip_bomb", status=200, bytes=3_000_000)),
    Fault("5 MB", emulated(fault="huge", status=200)),
    Fault("gzip that is none", raw(whole(b'{"id": 1}', "Content-Encoding: gzip"))),
    Fault("gzip cut off", raw(whole(zlib.compress(b"{}" * 999, wbits=31)[:-9], "Content-Encoding: gzip"))),
    Fault("encoding that was not asked for", raw(whole(b"{}", "Content-Encoding: br"))),
    Fault("web page with 200", emulated(fault="html", status=200)),
    Fault("redirect", emulated(fault="redirect", status=302, location="http://127.0.0.1:9/")),
    Fault("not modified", emulated(fault="status", status=304, body=None)),
    Fault("bad JSON with 200", emulated(fault="bad_json", status=200), **ACCEPTED),
    Fault("deep JSON with 200", raw(whole(b"[" * 400_000)), **ACCEPTED),
    Fault("a number of 9999 digits", raw(whole(b'{"id": %s}' % (b"9" * 9999))), **ACCEPTED),
    Fault("204 with a body", raw(b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}"), **ACCEPTED),
    Fault("204 in chunks", raw(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), **ACCEPTED),
    # A refusal
    Fault("500", emulated(fault="status", status=500)),
    Fault("500 with bad JSON", emulated(fault="bad_json", status=500)),
    Fault("503, maintenance", emulated(fault="status", status=503)),
    Fault("429", emulated(fault="status", status=429), "RateLimited", "RateLimited", **REFUSED, retry_after="30"),
    Fault(
        "429 with Retry-After",
        emulated(fault="status", status=429, headers={"Retry-After": "7"}),
        *("RateLimited", "RateLimited"),
        **REFUSED,
        retry_after="7",
    ),
    Fault(
        "403, invalid key",
        refused(403, "access_denied|access_denied_invalid_key"),
        *("ApiKeyRejected", "ApiKeyRejected"),
        **REFUSED,
    ),
    Fault("401", refused(401, "unauthorized"), "ApiKeyRejected", "ApiKeyRejected", **REFUSED),
    Fault("403, key rotated", rotated, "sent", "sent", puts=2, effects=(True,)),
    Fault(
        "403, missing permission",
        refused(403, "access_denied|missing_permission"),
        *("PermissionDenied", "PermissionDenied"),
        **REFUSED,
    ),
    Fault("403, web page", emulated(fault="html", status=403), "PermissionDenied", "PermissionDenied", **REFUSED),
    Fault("404, order", refused(404, "not_found|order"), "OrderNotFound", "OrderNotFound", **REFUSED),
    Fault("404, route", refused(404, "not_found|route"), "ConfigurationError", "ConfigurationError", **REFUSED),
    Fault("404, web page", emulated(fault="html", status=404), put="RequestRejected", **REFUSED),
    Fault("400", refused(400, "invalid_request"), "RequestRejected", "RequestRejected", **REFUSED),
    Fault("409", refused(409, "conflict"), "RequestRejected", "RequestRejected", **REFUSED),
]


@dataclass(frozen=True)
class Result:
    """What one call came to: what its caller was told, the PUTs that CertCentral has received by then, and mailings."""

    told: tuple[Any, ...]
    puts: int
    mailed: int


@dataclass(frozen=True)
class Cell:
    """Where one fault strikes, and through which door the call comes."""

    fault: Fault
    step: Step
    takes_effect: bool
    door: str

    @property
    def strikes(self) -> str:
        if self.step != "put":
            return f"GET {self.step}"
        return "PUT, mailed" if self.takes_effect else "PUT, not mailed"

    @property
    def expected(self) -> tuple[Result, Result]:
        """What the table says of the two calls."""
        outcome = self.fault.put if self.step == "put" else self.fault.get
        puts, mailed = int(outcome == "sent"), int(outcome == "sent")
        if self.step == "put":
            puts, mailed = self.fault.puts, int(self.takes_effect)
        again = ANSWERS[outcome][3]
        more = int(again == "sent")
        return (
            Result(self._told(outcome, self.fault.retry_after), puts, mailed),
            Result(self._told(again, None), puts + more, mailed + more),
        )

    def _told(self, outcome: str, retry_after: str | None) -> tuple[Any, ...]:
        status, code, becomes, _ = ANSWERS[outcome]
        match self.door:
            case "http":
                of_claim = outcome in ("OutcomeUnknown", "duplicate")
                return status, code, RETRY_AFTER_OF_A_CLAIM if of_claim else retry_after
            case "queue":
                return OF_THE_QUEUE.get(outcome, outcome), becomes
            case _:
                return (outcome,)

    def told(self, answer: Answer, logged: str) -> tuple[Any, ...]:
        """What a caller through this door can tell from an answer; of the queue, only the log says why."""
        if isinstance(answer, ResendError):
            return (type(answer).__name__,)
        match self.door:
            case "http":
                code = json.loads(answer["body"])["errors"][0]["code"] if answer["body"] else None
                left = answer["headers"].get("Retry-After")
                in_cool_down = left is not None and 3500 < int(left) <= 3601
                return answer["statusCode"], code, RETRY_AFTER_OF_A_CLAIM if in_cool_down else left
            case "queue":
                return logged, "again" if answer["batchItemFailures"] else "done"
            case _:
                return (answer["outcome"],)


def cells(fault: Fault) -> list[Cell]:
    places: list[tuple[Step, bool]] = [("validation", False), ("order", False)]
    places += [("put", takes_effect) for takes_effect in fault.effects]
    return [Cell(fault, step, takes_effect, door) for step, takes_effect in places for door in DOORS]


@pytest.fixture
def ports() -> Iterator[dict[Port, int]]:
    with ExitStack() as stack:
        yield {port: stack.enter_context(port()) for port in (refusing, deaf, resetting)}


@dataclass
class Calls:
    """Makes the calls of a fault's cells, each about an order of its own."""

    fault: Fault
    upstream: Upstream
    names: Names
    certificates: Certificates
    ports: dict[Port, int]
    invoke: Callable[..., Any]
    output: Callable[[], Output]

    def struck(self, cell: Cell, order_id: int, seconds: float) -> Answer:
        """Make the call that meets the fault."""
        world = World(self.upstream, self.names, self.certificates, self.ports, cell.step, order_id, cell.takes_effect)
        self.fault.strike(world)
        if self.fault.slow:
            return self.call(cell, order_id, seconds)
        # A connection that is there already would not meet the faults of new ones.
        app._parts().certcentral._session.close()
        answer = self.call(cell, order_id, seconds)
        self.names.mended()
        self.upstream.meet_with(self.certificates.contexts["good"] if self.fault.tls else None)
        return answer

    def call(self, cell: Cell, order_id: int, seconds: float = 29) -> Answer:
        deadline = time.monotonic() + seconds
        try:
            return self.invoke(DOORS[cell.door](order_id), seconds=seconds)
        except ResendError as error:
            return error
        finally:
            assert time.monotonic() < deadline, "the function would have been killed"

    def results(self, orders: dict[Cell, int], answers: Iterable[Answer]) -> dict[Cell, Result]:
        """Say what the calls came to, each with its answer."""
        found = list(answers)
        logged = {line["order_id"]: line["outcome"] for line in self.output().lines if line.get("message") == "audit"}
        return {
            cell: Result(
                cell.told(answer, logged[order_id]), self.upstream.puts(order_id), self.upstream.mailings(order_id)
            )
            for (cell, order_id), answer in zip(orders.items(), found, strict=True)
        }

    def all_first(self, seconds: float) -> tuple[dict[Cell, int], dict[Cell, Result]]:
        """Make the first calls, all at once if they are slow; give the orders too."""
        orders = {cell: self.upstream.add_order(kind="dv", age_days=3.2)["id"] for cell in cells(self.fault)}
        with ThreadPoolExecutor(len(orders) if self.fault.slow else 1) as pool:
            results = self.results(orders, pool.map(self.struck, orders, orders.values(), repeat(seconds)))
        self.upstream.stop_striking()
        return orders, results

    def has_struck(self, orders: dict[Cell, int]) -> bool:
        """Whether a slow fault has struck: while this machine is busy, the time may be too short to get that far."""
        return all((cell.step, order_id) in self.upstream.came for cell, order_id in orders.items())


@pytest.mark.usefixtures("_no_jitter")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(
    fault: Fault,
    request: pytest.FixtureRequest,
    invoke: Callable[..., Any],
    names: Names,
    certificates: Certificates,
    ports: dict[Port, int],
    output: Callable[[], Output],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    upstream: Upstream = request.getfixturevalue("tls_upstream" if fault.tls else "upstream")
    monkeypatch.setattr(certcentral_http, "CONNECT_TIMEOUT_SECONDS", SECONDS_TO_CONNECT[fault.tls])
    if fault.slow:
        # Lambda never runs two calls in one process, and the metrics of a process are not made for it.
        monkeypatch.setattr(observability.metrics, "add_metric", lambda **_: None)
    calls = Calls(fault, upstream, names, certificates, ports, invoke, output)

    for seconds in SECONDS_OF_SLOW_CALLS if fault.slow else (29,):
        orders, first = calls.all_first(seconds)
        if not fault.slow or calls.has_struck(orders):
            break
    again = calls.results(orders, map(calls.call, orders, orders.values()))

    if fault.unclosed:
        gc.collect()
    seen = {cell: (first[cell], again[cell]) for cell in orders}
    for row in rows(seen):
        record_property(PROPERTY, {"position": FAULTS.index(fault), "fault": fault.name, **row})
    assert {f"{cell.strikes}, {cell.door}": both for cell, both in seen.items()} == {
        f"{cell.strikes}, {cell.door}": cell.expected for cell in seen
    }


def rows(seen: dict[Cell, tuple[Result, Result]]) -> Iterator[dict[str, str]]:
    """Give the printed row of each place where the fault struck."""
    for strikes, struck in groupby(seen, key=lambda cell: cell.strikes):
        at = {cell.door: seen[cell] for cell in struck}
        told = {door: [" ".join(map(str, result.told[:2])) for result in both] for door, both in at.items()}
        told["http"] = [str(result.told[0]) for result in at["http"]]
        counts = {
            name: {f"{getattr(a, name)} -> {getattr(b, name)}" for a, b in at.values()} for name in ("puts", "mailed")
        }
        raised = dict.fromkeys(" -> ".join(told[door]) for door in ("direct", "event"))
        yield {
            "strikes": strikes,
            "http": " -> ".join(told["http"]),
            "raised": " / ".join(raised),
            "queue": " -> ".join(told["queue"]),
            **{name: " / ".join(sorted(values)) for name, values in counts.items()},
        }
