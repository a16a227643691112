"""Responses beside the one that a sweep asked for, over real sockets: it reads the right page of the list."""

from collections.abc import Callable
from typing import Any

import pytest

from dev.emulator import CertCentralEmulator

LIST = "/order/certificate$"
EMPTY_PAGE = 'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"orders": []}'


@pytest.fixture(params=["upstream", "tls_upstream"])
def either(request: pytest.FixtureRequest) -> CertCentralEmulator:
    """The CertCentral that the function is configured with, plain and over TLS."""
    either: CertCentralEmulator = request.getfixturevalue(request.param)
    return either


def test_surplus_page_does_not_end_the_list(either: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    either.inject({"fault": "extra", "path": LIST, "after": EMPTY_PAGE})
    before = invoke({"action": "sweep", "dry_run": True}, seconds=900)["listed"]
    either.add_orders(1100, kind="dv")

    assert invoke({"action": "sweep", "dry_run": True}, seconds=900)["listed"] == before + 1100


def test_interim_responses_before_a_page_are_skipped(either: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    either.inject({"fault": "extra", "path": LIST, "before": "HTTP/1.1 103 \r\n\r\n" * 2})

    assert invoke({"action": "sweep", "dry_run": True}, seconds=900)["listed"] > 0
