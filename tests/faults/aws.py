"""An AWS whose calls of one operation fail: they go to a loopback port that throttles, fails or never responds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from botocore.config import Config
from botocore.session import Session

from dev.emulator import CertCentralEmulator
from dv_resend import app
from faults.network import refusing

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
    "failing": {"fault": "status", "status": 500, "body": {}},
    "silent": {"fault": "hang"},
}


class BrokenAws:
    """Redirects calls of one operation to another ``url``, until `restore` is called.

    Only calls whose body contains ``about`` count, and only from the ``nth`` on.
    """

    def __init__(self, operation: str, nth: int, about: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._nth, self._about, self._url, self._calls, self._broken = nth, about.encode(), url, 0, True
        create: Callable[..., Any] = Session.create_client

        def create_client(session: Session, *args: Any, config: Config | None = None, **options: Any) -> Any:
            # The function's own timeout is 2 s; a shorter one keeps the tests quick.
            config = (config or Config()).merge(Config(read_timeout=0.2))
            client = create(session, *args, config=config, **options)
            client.meta.events.register(f"before-call.*.{operation}", self._lead)
            return client

        monkeypatch.setattr(Session, "create_client", create_client)
        monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
        app._parts.cache_clear()

    def restore(self) -> None:
        assert self._calls >= self._nth, "the call that was to break was not made"
        self._broken = False

    def _lead(self, params: dict[str, Any], **_: Any) -> None:
        if self._about not in params["body"]:
            return
        self._calls += 1
        if self._broken and self._calls >= self._nth:
            params["url"] = self._url


@contextmanager
def broken_aws(failure: Failure, operation: str, nth: int = 1, about: str = "") -> Iterator[BrokenAws]:
    """Make the function's calls of an operation fail like this; `BrokenAws` says which of them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if failure == "unreachable":
            with refusing() as port:
                yield BrokenAws(operation, nth, about, f"http://127.0.0.1:{port}/", monkeypatch)
            return
        with CertCentralEmulator() as endpoint:
            endpoint.inject(_FAULTS[failure])
            yield BrokenAws(operation, nth, about, f"{endpoint.url}/", monkeypatch)
            assert len(endpoint.calls) % ATTEMPTS == 0, "a call was not tried twice"
