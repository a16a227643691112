"""An AWS whose calls of one operation fail: they go to a loopback port that throttles, fails or never responds.

Or the call is made, and its response is lost.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Literal
from unittest.mock import patch

from botocore.config import Config
from botocore.exceptions import ConnectionClosedError
from botocore.session import Session

from dev.emulator import CertCentralEmulator
from dev.faults.network import refusing
from dv_resend import app

type Failure = Literal["throttled", "failing", "silent", "unreachable"]
FAILURES: tuple[Failure, ...] = ("throttled", "failing", "silent", "unreachable")
ATTEMPTS = 2


# Faults of the emulator, which stands in for AWS here.
_FAULTS: dict[Failure, dict[str, Any]] = {
    "throttled": {
        "fault": "status",
        "status": 400,
        "body": {"__type": "ThrottlingException", "message": "Rate exceeded"},
    },
    "failing": {"fault": "status", "status": 500, "body": ""},
    "silent": {"fault": "hang"},
}


class BrokenAws:
    """Redirects calls of one operation to another ``url``, from the ``nth`` on, until `restore` is called."""

    def __init__(self, operation: str, nth: int, url: str) -> None:
        self._operation, self._nth, self._url, self._calls, self._broken = operation, nth, url, 0, True

    def prepare(self, client: Any) -> None:
        client.meta.events.register(f"before-call.*.{self._operation}", self._lead)

    def restore(self) -> None:
        assert self._calls >= self._nth, "the call that was to break was not made"
        self._broken = False

    def _lead(self, params: dict[str, Any], **_: Any) -> None:
        self._calls += 1
        if self._broken and self._calls >= self._nth:
            params["url"] = self._url


@contextmanager
def _prepared_clients(prepare: Callable[[Any], None]) -> Iterator[None]:
    """Prepare each AWS client that the function creates from now on; it gives up soon, and repeats at once."""
    create: Callable[..., Any] = Session.create_client

    def create_client(session: Session, *args: Any, config: Config | None = None, **options: Any) -> Any:
        # The function's own timeout is 2 s; a shorter one keeps the tests quick.
        client = create(session, *args, config=(config or Config()).merge(Config(read_timeout=0.2)), **options)
        prepare(client)
        return client

    with (
        patch.object(Session, "create_client", create_client),
        patch("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0),
    ):
        app._parts.cache_clear()
        yield


@contextmanager
def lost_responses(operation: str, nth: int, times: int) -> Iterator[None]:
    """Lose the responses to the first ``times`` attempts of the ``nth`` call. Each attempt takes effect."""
    calls, lost = count(1), count(1)
    strikes = False

    def note_call(**_: Any) -> None:
        nonlocal strikes
        strikes = next(calls) == nth

    def lose(request: Any, **_: Any) -> None:
        if strikes and next(lost) <= times:
            raise ConnectionClosedError(endpoint_url=request.url)

    def prepare(client: Any) -> None:
        client.meta.events.register(f"before-call.*.{operation}", note_call)
        # moto has made the call by then.
        client.meta.events.register_last(f"before-send.*.{operation}", lose)

    with _prepared_clients(prepare):
        yield
    assert next(lost) > times, "no response was lost"


@contextmanager
def broken_aws(failure: Failure, operation: str, nth: int = 1) -> Iterator[BrokenAws]:
    """Make the function's calls of an operation fail like this; `BrokenAws` says which of them."""
    if failure == "unreachable":
        with refusing() as port, _broken(BrokenAws(operation, nth, f"http://127.0.0.1:{port}/")) as broken:
            yield broken
        return
    with CertCentralEmulator() as endpoint:
        endpoint.inject(_FAULTS[failure])
        with _broken(BrokenAws(operation, nth, f"{endpoint.url}/")) as broken:
            yield broken
        assert len(endpoint.calls) % ATTEMPTS == 0, "a call was not tried twice"


@contextmanager
def _broken(broken: BrokenAws) -> Iterator[BrokenAws]:
    with _prepared_clients(broken.prepare):
        yield broken
