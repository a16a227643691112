"""The session, over real loopback sockets: what it sends, and when it stops reading."""

from collections.abc import Callable, Iterator

import pytest
import requests

from dev.emulator import CertCentralEmulator
from dev.faults.network import refusing
from dev.faults.servers import raw_server, scripted_server
from dv_resend.adapters.certcentral_session import new_session
from unit.adapters.conftest import TIMEOUT_SECONDS, Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with new_session(lambda: TIMEOUT_SECONDS) as session:
        yield session


def seconds_left_for(chunks: int) -> Callable[[], float]:
    """Give time for so many chunks, and then none."""
    left = iter([TIMEOUT_SECONDS] * chunks)
    return lambda: next(left, 0.0)


def send(session: requests.Session, url: str, method: str = "GET") -> requests.Response:
    """Send a request as `CertCentralHttp` does."""
    request = session.prepare_request(requests.Request(method, url))
    return session.send(request, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True)


# The request


def test_session_adds_no_headers_of_requests(session: requests.Session) -> None:
    with raw_server(OK) as server:
        send(session, server.address)

    assert b"requests" not in server.requests[0]


def test_session_keeps_no_cookies(session: requests.Session, emulator: CertCentralEmulator) -> None:
    emulator.inject({"fault": "status", "status": 204, "times": 1, "headers": {"Set-Cookie": "visid_incap=1; Path=/"}})

    for _ in range(2):
        _ = send(session, emulator.base_url).content

    assert "cookie" not in emulator.calls[1]["headers"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_session_uses_no_proxy_from_the_environment(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with refusing() as port, raw_server(OK) as server:
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")

        assert send(session, server.address).content == b"ok"


def test_response_over_tls_is_read_until_no_time_is_left(tls: Transport) -> None:
    with scripted_server(OK, context=tls.context) as server, new_session(seconds_left_for(0)) as session:
        session.verify = str(tls.bundle)

        with pytest.raises(requests.ReadTimeout):
            send(session, server.address)


# The response


def test_redirect_is_returned_without_reading_its_body() -> None:
    """There is no time for its body: reading it would be an error."""
    head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 100000\r\n\r\n"
    with new_session(seconds_left_for(1)) as session, raw_server(head) as server:
        assert send(session, server.address).status_code == 302

        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 204 \r\n"],
)
def test_headers_that_are_cut_off_are_an_error(session: requests.Session, head: bytes) -> None:
    with raw_server(head, closes=True) as server, pytest.raises(requests.ConnectionError, match="headers were cut off"):
        send(session, server.address, "PUT")


# The time


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nX-Drip: "], ids=["nothing", "half a header"])
def test_headers_are_read_until_no_time_is_left(sent: bytes) -> None:
    session = new_session(seconds_left_for(1 if sent else 0))
    with session, raw_server(sent) as server, pytest.raises(requests.ReadTimeout):
        send(session, server.address)


def test_body_is_read_until_no_time_is_left() -> None:
    sent = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"
    session = new_session(seconds_left_for(1))
    with session, raw_server(sent) as server, pytest.raises(requests.ConnectionError, match="timed out"):
        _ = send(session, server.address).content


def test_silence_ends_after_the_seconds_left() -> None:
    """Without the bound, it would last for the read timeout of the request, which is far longer."""
    with raw_server(b"") as server, new_session(lambda: 0.05) as session, pytest.raises(requests.ReadTimeout):
        session.get(server.address, timeout=3600)
