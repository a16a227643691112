"""One exchange with the emulator, over real sockets: a mock shows neither a reset nor a time-out."""

import datetime as dt
import gzip
import json
import random
import select
import socket
import ssl
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
import trustme
from conftest import CANARY
from hypothesis import given
from hypothesis import strategies as st

from dev.emulator import CertCentralEmulator
from dev.faults.network import refusing
from dev.faults.servers import raw_server, scripted_server
from dv_resend import __version__
from dv_resend.adapters import certcentral_http, certcentral_response, certcentral_session
from dv_resend.adapters.certcentral_http import ATTEMPTS, Call, CertCentralHttp
from dv_resend.adapters.certcentral_response import Response
from dv_resend.core.requests import MARGIN_SECONDS
from dv_resend.errors import CertCentralUnavailable, OutcomeUnknown, UpstreamError
from unit.adapters.conftest import (
    GET,
    PUT,
    TIMEOUT_SECONDS,
    KeyStub,
    MakeHttp,
    Transport,
    later,
    methods,
)

REDIRECTS = (301, 302, 303, 307, 308)
TIME_NEEDED = certcentral_http.CONNECT_TIMEOUT_SECONDS + TIMEOUT_SECONDS + MARGIN_SECONDS

both_methods = pytest.mark.parametrize("call", [GET, PUT], ids=lambda call: call.method)


def response(body: bytes | None, *, status: int = 400, key: str = CANARY, content_type: str = "") -> Response:
    return Response(status=status, body=body, key=key, content_type=content_type, retry_after=None)


# The request


def test_put_is_the_documented_request(http: CertCentralHttp, emulator: CertCentralEmulator) -> None:
    body: dict[str, object] = {"domain_approval_emails": [{"domain": "a.test", "email": "b@a.test"}], "locale": "en"}

    http.call(Call("PUT", PUT.path, body), later())

    (call,) = emulator.calls
    assert (call["method"], call["path"]) == ("PUT", f"/services/v2{PUT.path}")
    assert call["body"] == json.dumps(body, separators=(",", ":"))
    assert call["role"] == "valid"
    names = ("accept", "accept-encoding", "content-type", "user-agent")
    assert {name: call["headers"][name] for name in names} == {
        "accept": "application/json",
        "accept-encoding": "gzip",
        "content-type": "application/json",
        "user-agent": f"dv-resend/{__version__}",
    }


# The response


def test_response_is_returned_with_any_status(http: CertCentralHttp, emulator: CertCentralEmulator) -> None:
    headers = {"Retry-After": "7"}
    emulator.inject({"fault": "status", "status": 503, "body": {"errors": [{"code": "x|y"}]}, "headers": headers})

    answer = http.call(PUT, later())

    assert (answer.status, answer.retry_after, answer.content_type) == (503, 7, "application/json")
    assert answer.json == {"errors": [{"code": "x|y"}]}


def test_body_that_is_cut_off_is_none(http: CertCentralHttp, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "truncated", "status": 503, "times": 1})

    answer = http.call(PUT, later())

    assert (answer.status, answer.body) == (503, None)
    assert http.call(GET, later()).status == 200


@pytest.mark.parametrize("fault", ["huge", "gzip_bomb"])
def test_large_body_costs_little_memory(http: CertCentralHttp, emulator: CertCentralEmulator, fault: str) -> None:
    emulator.inject({"fault": fault, "status": 503, "bytes": 50_000_000})
    tracemalloc.start()
    try:
        http.call(PUT, later())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8_000_000


@pytest.mark.parametrize(("size", "fits"), [(200_000, True), (200_001, False)])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_body_may_be_as_large_as_the_calls_limit(make_http: MakeHttp, size: int, fits: bool, packed: bool) -> None:
    body = b"x" * size
    sent = gzip.compress(body) if packed else body
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(sent)}\r\n" + "Content-Encoding: gzip\r\n" * packed
    with raw_server(f"{head}\r\n".encode() + sent) as server:
        answer = make_http(base_url=server.address).call(Call("GET", "/", body_limit=200_000), later())

    assert answer.body == (body if fits else None)


@pytest.mark.parametrize("header", ["Transfer-Encoding: chunked", "Content-Length: 5"])
def test_204_that_announces_a_body_ends_its_connection(make_http: MakeHttp, header: str) -> None:
    with raw_server(f"HTTP/1.1 204 No Content\r\n{header}\r\n\r\n".encode()) as server:
        http = make_http(base_url=server.address)

        for _ in range(2):
            http.call(PUT, later())

        # The server answers each connection once.
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", REDIRECTS)
@both_methods
def test_redirect_is_returned_and_not_followed(
    http: CertCentralHttp, emulator: CertCentralEmulator, call: Call, status: int
) -> None:
    with CertCentralEmulator() as elsewhere:
        emulator.inject({"fault": "redirect", "status": status, "location": f"{elsewhere.base_url}{GET.path}"})

        assert http.call(call, later()).status == status

        assert elsewhere.calls == []
    assert methods(emulator) == [call.method]


def test_exchange_is_observed_with_status_and_seconds(make_http: MakeHttp, emulator: CertCentralEmulator) -> None:
    seen: list[tuple[int | None, float]] = []
    ticks = iter(range(1000, 2000))
    http = make_http(observe=lambda *observed: seen.append(observed), clock=lambda: float(next(ticks)))
    http.call(GET, 1900)
    emulator.inject({"fault": "reset", "method": "PUT"})
    with pytest.raises(OutcomeUnknown):
        http.call(PUT, 1900)

    assert [status for status, _ in seen] == [200, None]
    assert all(0 < seconds < 20 for _, seconds in seen)


# A PUT that may have been sent


@pytest.mark.parametrize("fault", ["hang", "reset", "close"])
@pytest.mark.parametrize("mails", [True, False], ids=["mailed", "not mailed"])
def test_put_on_a_broken_connection_is_unknown_and_not_repeated(
    make_http: MakeHttp, emulator: CertCentralEmulator, fault: str, mails: bool
) -> None:
    emulator.inject({"fault": fault, "method": "PUT", "mails": mails})

    with pytest.raises(OutcomeUnknown, match="broke after the resend was sent"):
        make_http(timeout_seconds=0.2).call(PUT, later())

    assert methods(emulator) == ["PUT"]


def test_bug_during_a_put_is_an_unknown_outcome(http: CertCentralHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http._session, "send", _fail)

    with pytest.raises(OutcomeUnknown, match="ZeroDivisionError"):
        http.call(PUT, later())


def test_bug_during_a_get_is_raised_at_once(make_http: MakeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    http = make_http(sleep=slept.append)
    monkeypatch.setattr(http._session, "send", _fail)

    with pytest.raises(ZeroDivisionError):
        http.call(GET, later())

    assert slept == []


def _fail(*_args: object, **_options: object) -> None:
    raise ZeroDivisionError


def test_dripping_body_ends_with_the_time(
    make_http: MakeHttp, emulator: CertCentralEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certcentral_http, "CONNECT_TIMEOUT_SECONDS", 0.2)
    emulator.inject({"fault": "drip", "status": 200, "seconds_per_byte": 0.05, "body": "x" * 2000})

    deadline = later(MARGIN_SECONDS + 0.2 + 0.5 + 0.3)

    answer = make_http(timeout_seconds=0.5).call(PUT, deadline)

    assert answer.body is None
    assert time.time() < deadline


# A request that was surely not sent


def test_repeats_wait_a_little_longer_each_time(make_http: MakeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    with refusing() as port, pytest.raises(CertCentralUnavailable):
        make_http(base_url=f"http://127.0.0.1:{port}", sleep=slept.append).call(PUT, later())

    assert slept == pytest.approx([0.25, 0.5])


@pytest.mark.parametrize("host", ["127.0.0.1", "other.example"], ids=["unknown authority", "other host"])
def test_bad_certificate_is_unavailable_and_not_retried(make_http: MakeHttp, host: str) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    attempts: list[int | None] = []
    with (
        CertCentralEmulator(valid_key=CANARY, ssl_context=context) as emulator,
        authority.cert_pem.tempfile() as bundle,
    ):
        http = make_http(base_url=emulator.base_url, observe=lambda status, _seconds: attempts.append(status))
        if host == "other.example":
            http._session.verify = bundle

        with pytest.raises(CertCentralUnavailable, match="its certificate failed verification"):
            http.call(PUT, later())

        assert (attempts, emulator.calls) == ([None], [])


def test_failed_tls_handshake_of_a_put_is_an_unknown_outcome(
    make_http: MakeHttp, emulator: CertCentralEmulator
) -> None:
    """Only a certificate that fails verification proves that nothing was sent."""
    with pytest.raises(OutcomeUnknown, match="SSLError"):
        make_http(base_url=emulator.base_url.replace("http:", "https:")).call(PUT, later())


def test_just_enough_time_sends(make_http: MakeHttp) -> None:
    now = 1_795_446_245.0

    assert make_http(clock=lambda: now).call(PUT, now + TIME_NEEDED).status == 204


def test_too_little_time_sends_nothing(make_http: MakeHttp, emulator: CertCentralEmulator) -> None:
    now = 1_795_446_245.0

    with pytest.raises(CertCentralUnavailable, match="Too little time"):
        make_http(clock=lambda: now).call(PUT, now + TIME_NEEDED - 0.01)

    assert emulator.calls == []


# A GET that fails


def test_get_on_a_broken_connection_is_repeated(http: CertCentralHttp, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "reset", "method": "GET", "times": 2})

    assert http.call(GET, later()).status == 200
    assert methods(emulator) == ["GET", "GET", "GET"]


def test_get_that_breaks_three_times_is_unavailable(http: CertCentralHttp, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "reset", "method": "GET"})

    with pytest.raises(CertCentralUnavailable, match="could not be reached"):
        http.call(GET, later())

    assert methods(emulator) == ["GET", "GET", "GET"]


def test_get_that_times_out_is_unavailable_and_not_repeated(make_http: MakeHttp, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "hang", "method": "GET"})

    with pytest.raises(CertCentralUnavailable, match="Timeout"):
        make_http(timeout_seconds=0.2).call(GET, later())

    assert methods(emulator) == ["GET"]


# The key


@both_methods
def test_rotated_key_is_fetched_and_used(make_http: MakeHttp, emulator: CertCentralEmulator, call: Call) -> None:
    key = KeyStub(cached="emulator-revoked-key", stored=CANARY)

    answer = make_http(api_key=key).call(call, later())

    assert 200 <= answer.status < 300
    assert [call["role"] for call in emulator.calls] == ["revoked", "valid"]
    assert key.refreshed == 1


def test_unchanged_bad_key_costs_one_call(make_http: MakeHttp, emulator: CertCentralEmulator) -> None:
    answer = make_http(api_key=KeyStub("emulator-revoked-key")).call(PUT, later())

    assert answer.rejects_key
    assert methods(emulator) == ["PUT"]


def test_changed_but_bad_key_costs_two_calls(make_http: MakeHttp, emulator: CertCentralEmulator) -> None:
    answer = make_http(api_key=KeyStub("emulator-revoked-key", "another-wrong-key")).call(PUT, later())

    assert answer.rejects_key
    assert methods(emulator) == ["PUT", "PUT"]


# The rate limit


@both_methods
def test_each_attempt_takes_a_token(make_http: MakeHttp, call: Call) -> None:
    seen: list[str] = []
    with refusing() as port:
        http = make_http(
            base_url=f"http://127.0.0.1:{port}/services/v2",
            wait_for_token=lambda: seen.append("token"),
            observe=lambda _status, _seconds: seen.append("call"),
        )

        with pytest.raises(CertCentralUnavailable):
            http.call(call, later())

    assert seen == ["token", "call"] * ATTEMPTS


def test_time_spent_waiting_for_a_token_counts(make_http: MakeHttp, emulator: CertCentralEmulator) -> None:
    now = time.time()

    def wait() -> None:
        nonlocal now
        now += 60

    with pytest.raises(CertCentralUnavailable, match="time"):
        make_http(wait_for_token=wait, clock=lambda: now).call(PUT, now + 60)

    assert emulator.calls == []


# Responses that nobody asked for

NOT_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d Odd\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


SURPLUS = {"204": NOT_CONTENT, **{str(status): answer(status) for status in (400, 429, 500)}, "one byte": b"\n"}
# What the buffer of a response holds, and what is left in the TLS layer behind it (250 names take nine kilobytes).
FIRST = {"short": answer(200), "long": answer(200, b" " * 9000), "chunked": b"", "empty": answer(200, b""), "204": b""}
FIRST["chunked"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
FIRST["204"] = NOT_CONTENT


def trusting(http: CertCentralHttp, transport: Transport) -> CertCentralHttp:
    if transport.bundle is not None:
        http._session.verify = transport.bundle
    return http


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_surplus_is_not_the_response_to_the_next_request(
    make_http: MakeHttp, transport: Transport, first: bytes, surplus: bytes
) -> None:
    with scripted_server(first + surplus, answer(503), context=transport.context) as server:
        http = trusting(make_http(base_url=server.address), transport)
        http.call(GET, later())

        assert http.call(PUT, later()).status == 503
        assert len(set(server.ports)) == 2


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
def test_surplus_that_comes_later_is_not_the_next_response(
    make_http: MakeHttp, transport: Transport, surplus: bytes
) -> None:
    with scripted_server(answer(200), answer(503), context=transport.context) as server:
        http = trusting(make_http(base_url=server.address), transport)
        http.call(GET, later())
        server.push(surplus)
        select.select([open_socket(http, server.address)], [], [])

        assert http.call(PUT, later()).status == 503
        assert len(set(server.ports)) == 2


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_connection_without_a_surplus_is_kept(make_http: MakeHttp, transport: Transport, first: bytes) -> None:
    with scripted_server(first, first, answer(503), context=transport.context) as server:
        http = trusting(make_http(base_url=server.address), transport)

        assert [http.call(call, later()).status for call in (GET, PUT, PUT)][2] == 503
        assert len(set(server.ports)) == 1


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ],
    ids=ascii,
)
def test_connection_is_closed_unless_the_end_of_the_response_is_certain(make_http: MakeHttp, first: bytes) -> None:
    with scripted_server(first, answer(503)) as server:
        http = make_http(base_url=server.address)
        http.call(GET, later())

        assert http.call(PUT, later()).status == 503
        assert len(set(server.ports)) == 2


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        # Nobody knows whether there was to be a body.
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
    ],
    ids=ascii,
)
def test_body_whose_end_is_uncertain_is_unreadable(make_http: MakeHttp, head: bytes) -> None:
    with raw_server(head, closes=True) as server:
        answered = make_http(base_url=server.address).call(PUT, later())

    assert (answered.status, answered.body) == (200, None)


def test_body_that_ends_with_the_connection_is_read(make_http: MakeHttp) -> None:
    with raw_server(b'HTTP/1.1 200 OK\r\n\r\n{"id": 7}', closes=True) as server:
        assert make_http(base_url=server.address).call(GET, later()).json == {"id": 7}


@both_methods
def test_two_lengths_are_no_response(make_http: MakeHttp, call: Call) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    with raw_server(head) as server, pytest.raises((OutcomeUnknown, CertCentralUnavailable)) as caught:
        make_http(base_url=server.address).call(call, later())

    assert isinstance(caught.value, OutcomeUnknown if call.method == "PUT" else CertCentralUnavailable)


EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nContent-Length: 5\r\n\r\n"
INTERIM = {
    "100 and 199": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 \r\n\r\n",
    "as many as possible": EARLY_HINTS * certcentral_session.MAX_INTERIM_RESPONSES,
}


@pytest.mark.parametrize("interim", INTERIM.values(), ids=INTERIM)
@both_methods
def test_interim_responses_are_skipped(make_http: MakeHttp, transport: Transport, call: Call, interim: bytes) -> None:
    with scripted_server(interim + NOT_CONTENT, interim + answer(503), context=transport.context) as server:
        http = trusting(make_http(base_url=server.address), transport)

        assert [http.call(call, later()).status for _ in range(2)] == [204, 503]
        assert len(set(server.ports)) == 1


def test_endless_interim_responses_of_a_put_are_an_unknown_outcome(make_http: MakeHttp) -> None:
    endless = EARLY_HINTS * (certcentral_session.MAX_INTERIM_RESPONSES + 1)
    with raw_server(endless + NOT_CONTENT) as server, pytest.raises(OutcomeUnknown):
        make_http(base_url=server.address).call(PUT, later())


# Connections


def open_socket(http: CertCentralHttp, address: str) -> socket.socket:
    """Return the socket of the connection that is kept."""
    (connection,) = (
        kept
        for pool in http._session.get_adapter(address).poolmanager.pools._container.values()  # type: ignore[attr-defined]
        for kept in pool.pool.queue
        if kept is not None
    )
    return connection.sock


def test_tls_is_never_renegotiated(make_http: MakeHttp, tls: Transport) -> None:
    with scripted_server(answer(200), context=tls.context) as server:
        http = trusting(make_http(base_url=server.address), tls)
        http.call(GET, later())

        sock = open_socket(http, server.address)
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.context.options & ssl.OP_NO_RENEGOTIATION
        assert sock.context.verify_mode == ssl.CERT_REQUIRED
        assert sock.context.check_hostname


@pytest.mark.parametrize("failing", ["recv_into", "sendall"])
def test_certificate_error_after_the_handshake_is_an_unknown_outcome(
    make_http: MakeHttp, tls: Transport, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A server that asks for another handshake, or an alert: the request may have been read before."""

    def fail(*_args: object) -> None:
        raise ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")

    with scripted_server(NOT_CONTENT, NOT_CONTENT, context=tls.context) as server:
        http = trusting(make_http(base_url=server.address), tls)
        http.call(PUT, later())
        monkeypatch.setattr(ssl.SSLSocket, failing, fail)

        with pytest.raises(OutcomeUnknown, match="SSLError"):
            http.call(PUT, later())


def test_connection_idle_for_long_is_dropped(make_http: MakeHttp, emulator: CertCentralEmulator) -> None:
    now = time.time()
    http = make_http(clock=lambda: now)
    limit = certcentral_http.IDLE_LIMIT_SECONDS
    for wait in (0, limit - 1, limit, -1):
        now += wait
        http.call(GET, now + 60)

    first, kept, dropped, clock_set_back = (call["client_port"] for call in emulator.calls)
    assert first == kept
    assert len({kept, dropped, clock_set_back}) == 3


# The parts of a response


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (None, []),
        (b'{"errors": null}', []),
        (b'{"errors": {"code": "a|b", "message": "c"}}', ["a|b"]),
        (b'{"errors": [{"code": "a|b"}, {"code": 5}, {"code": "c"}]}', ["a|b", "5", "c"]),
        (b'{"errors": [{"code": 0}, {"code": 4.5}, {"code": true}, {"code": null}, {"code": ""}]}', ["0", "4.5"]),
        (b'{"errors": [{"errors": [{"code": "nested"}]}]}', ["nested"]),
        (
            b'{"errors": [{"code": "a", "errors": [{"code": "b"}, {"errors": {"code": "c"}}]}, {"code": "d"}]}',
            ["a", "b", "c", "d"],
        ),
        (b'{"errors": [' + b'{"code": "e"},' * 99 + b'{"code": "e"}]}', ["e"] * 10),
        (b'{"errors": [' + b"{}," * 50_000 + b'{"code": "late"}]}', []),
        (b"[" * 100_000, []),
        (b"\xff\xfe\x00", []),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_errors_of_any_shape_are_read(body: bytes | None, codes: list[str]) -> None:
    assert [error.code for error in response(body).errors] == codes


@pytest.mark.parametrize(
    ("errors", "messages"),
    [
        ("Bad name.", ["Bad name."]),
        (["Bad name.", "Bad locale."], ["Bad name.", "Bad locale."]),
        ([{"message": "Bad name."}, {"code": None, "message": 7}], ["Bad name.", "7"]),
        ({"locale": ["Unknown.", "Too long."], "domain": "Bad."}, ["Unknown.", "Too long.", "Bad."]),
        ([{"errors": ["Bad name.", {"errors": [{"message": "Bad locale."}]}]}], ["Bad name.", "Bad locale."]),
        ([None, True, [], {}, ""], []),
    ],
    ids=ascii,
)
def test_error_without_a_code_is_kept_with_its_message(errors: object, messages: list[str]) -> None:
    body = json.dumps({"errors": errors}).encode()

    assert response(body).errors == tuple(UpstreamError("", message) for message in messages)


@pytest.mark.parametrize(
    ("message", "shown"),
    [("Not jane.doe@example.com\r\nX", "Not j***@example.com  X"), (None, ""), ("x" * 301, "x" * 300)],
    ids=["address", "none", "long"],
)
def test_error_message_is_printable_short_and_without_addresses(message: object, shown: str) -> None:
    body = json.dumps({"errors": [{"code": "a|b", "message": message}]}).encode()

    assert response(body).errors == (UpstreamError("a|b", shown),)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (None, "text/html", False),
        (b" \r\n\t", "text/html", False),
        (b"Blocked", "text/plain", False),
        (b"Blocked", "Text/HTML; charset=utf-8", True),
        (b"<html>", "application/json", True),
        (b"\xef\xbb\xbf \r\n<!doctype html>", "", True),
    ],
    ids=ascii,
)
def test_web_page_is_recognised(body: bytes | None, content_type: str, expected: bool) -> None:
    assert response(body, content_type=content_type).is_html is expected


@pytest.mark.parametrize(
    ("status", "codes", "expected"),
    [
        (401, [], True),
        (403, ["access_denied|access_denied_invalid_key"], True),
        (403, ["invalid_key"], True),
        (403, ["something", "access_denied|invalid_key"], True),
        (403, ["access_denied|missing_permission"], False),
        (400, ["access_denied|invalid_key"], False),
    ],
    ids=str,
)
def test_rejected_key_is_recognised(status: int, codes: list[str], expected: bool) -> None:
    body = json.dumps({"errors": [{"code": code} for code in codes]}).encode()

    assert response(body, status=status).rejects_key is expected


SLASHED = "canary/" + CANARY[7:]
ESCAPED = "".join(f"\\u{ord(character):04x}" for character in CANARY)
ECHOES: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "plain": (CANARY, lambda text: text.encode()),
    "utf-16": (CANARY, lambda text: text.encode("utf-16")),
    "escaped": (CANARY, lambda text: text.replace(CANARY, ESCAPED).encode()),
    "escaped slash": (SLASHED, lambda text: text.replace("/", "\\/").encode()),
}


@pytest.mark.parametrize(("key", "encode"), ECHOES.values(), ids=ECHOES)
def test_echoed_key_is_removed_in_every_encoding(key: str, encode: Callable[[str], bytes]) -> None:
    echo = {
        "errors": [{"code": f"bad|{key}", "message": f"The key {key} is bad."}],
        "status": f"x {key}",
        "orders": [{"id": 7, "product": {"type": key}}],
        key: f"{key}{key}",
    }

    answer = response(encode(json.dumps(echo)), key=key)

    assert answer.errors == (UpstreamError("bad|[key]", "The key [key] is bad."),)
    assert answer.json == json.loads(json.dumps(echo).replace(key, "[key]"))


def test_echoed_key_is_removed_in_another_case() -> None:
    body = json.dumps({"errors": [{"code": "bad|AbCd-1234-EfGh", "message": "AbCd-1234-EfGh"}]}).encode()

    assert response(body, key="aBcD-1234-eFgH").errors == (UpstreamError("bad|[key]", "[key]"),)


def test_key_is_not_in_the_repr_of_a_response() -> None:
    assert CANARY not in repr(response(b""))


# Retry-After

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        (" 7 ", 7),
        ("9" * 400, 86400),
        ("0", 1),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        ("Mon, 23 Nov 2026 14:01:30 +0200", 90),
    ],
    ids=lambda value: str(value)[:40],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, expected: int | None) -> None:
    assert certcentral_response.parse_retry_after(header, NOW.timestamp()) == expected


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as moved:
        moved.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
def test_retry_after_without_a_zone_is_in_utc() -> None:
    assert certcentral_response.parse_retry_after("Mon, 23 Nov 2026 12:01:30 -0000", NOW.timestamp()) == 90


@given(st.text() | st.from_regex(r"[0-9]+"))
def test_any_retry_after_is_seconds_or_none(text: str) -> None:
    seconds = certcentral_response.parse_retry_after(text, time.time())

    assert seconds is None or 1 <= seconds <= certcentral_response.MAX_RETRY_AFTER_SECONDS


# Compression

TEXT = b'{"id": 1, "status": "issued"}'
GZIP = gzip.compress(TEXT, mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (TEXT, "", TEXT),
        (TEXT, "identity", TEXT),
        (b"", "gzip", b""),
        (GZIP, " GZip ", TEXT),
        (GZIP, "x-gzip", TEXT),
        (zlib.compress(TEXT), "deflate", TEXT),
        (GZIP[:-1], "gzip", None),
        (GZIP + gzip.compress(b'{"errors": []}', mtime=0), "gzip", None),
        (GZIP, "br", None),
        (b"plain", "gzip", None),
    ],
)
def test_compressed_body_is_unpacked_or_none(body: bytes, encoding: str, expected: bytes | None) -> None:
    assert certcentral_response.decompress(body, encoding, 1000) == expected


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_body_above_the_limit_is_none(encoding: str) -> None:
    body = gzip.compress(b"x" * 1001) if encoding else b"x" * 1001

    assert certcentral_response.decompress(body, encoding, 1000) is None
