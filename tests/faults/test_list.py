"""Faults of the list of orders, over real sockets: a sweep makes no verdict of a response that is no list."""

from collections.abc import Callable
from typing import Any

import pytest

from dev.emulator import CertCentralEmulator
from dv_resend import errors
from faults.test_attacks import bounded

LIST = "/order/certificate$"
EMPTY_PAGE = 'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"orders": []}'


@pytest.fixture(params=["upstream", "tls_upstream"])
def either(request: pytest.FixtureRequest) -> CertCentralEmulator:
    """The CertCentral that the function is configured with, plain and over TLS."""
    either: CertCentralEmulator = request.getfixturevalue(request.param)
    return either


def status(status: int, body: Any) -> dict[str, Any]:
    return {"fault": "status", "status": status, "body": body}


def refused(code: str, number: int = 404) -> dict[str, Any]:
    return status(number, {"errors": [{"code": code, "message": "No."}]})


NO_LIST: dict[str, tuple[dict[str, Any], type[errors.ResendError]]] = {
    **{
        f"web page with {number}": ({"fault": "html", "status": number}, errors.CertCentralUnavailable)
        for number in (200, 403, 404, 429, 503)
    },
    "an empty object": (status(200, {}), errors.CertCentralUnavailable),
    "errors with 200": (refused("not_found|order", 200), errors.CertCentralUnavailable),
    "errors beside orders": (status(200, {"orders": [], "errors": ["Try later."]}), errors.CertCentralUnavailable),
    "an order": (status(200, {"id": 7, "status": "pending"}), errors.CertCentralUnavailable),
    "zeros": (status(200, {"orders": [0, 0, 0]}), errors.CertCentralUnavailable),
    "403 without a code": (status(403, {}), errors.CertCentralUnavailable),
    "403, missing permission": (refused("access_denied|missing_permission", 403), errors.PermissionDenied),
    "408": (refused("odd|status", 408), errors.CertCentralUnavailable),
    "404, no detail": (refused("not_found"), errors.ConfigurationError),
    "404, order": (refused("not_found|order"), errors.ConfigurationError),
    "404, route": (refused("not_found|route"), errors.ConfigurationError),
}


@pytest.mark.parametrize(("fault", "expected"), NO_LIST.values(), ids=NO_LIST)
def test_response_that_is_no_list_is_an_error_of_the_account(
    either: CertCentralEmulator,
    invoke: Callable[..., Any],
    fault: dict[str, Any],
    expected: type[errors.ResendError],
) -> None:
    either.inject(fault | {"path": LIST})

    with pytest.raises(errors.ResendError) as caught:
        invoke({"action": "sweep"}, seconds=900)

    assert type(caught.value) is expected
    assert caught.value.scope == "account"


def test_surplus_page_does_not_end_the_list(either: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    either.inject({"fault": "extra", "path": LIST, "after": EMPTY_PAGE})
    before = invoke({"action": "sweep", "dry_run": True}, seconds=900)["listed"]
    either.add_orders(1100, kind="dv")

    assert invoke({"action": "sweep", "dry_run": True}, seconds=900)["listed"] == before + 1100


def test_interim_responses_before_a_page_are_skipped(either: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    either.inject({"fault": "extra", "path": LIST, "before": "HTTP/1.1 103 \r\n\r\n" * 2})

    assert invoke({"action": "sweep", "dry_run": True}, seconds=900)["listed"] > 0


@pytest.mark.parametrize("value", ["0", "{}", '"x"', "[[]]"])
def test_page_of_eight_megabytes_of_anything_costs_little_memory(
    upstream: CertCentralEmulator, invoke: Callable[..., Any], value: str
) -> None:
    """As values, they took half a gigabyte; the response itself takes 16 MB, because it is read in pieces."""
    body = '{"orders": [' + ",".join([value] * (8_000_000 // (len(value) + 1))) + "]}"
    upstream.inject({"fault": "status", "status": 200, "path": LIST, "body": body})

    with bounded(megabytes=48), pytest.raises(errors.CertCentralUnavailable):
        invoke({"action": "sweep"}, seconds=900)
