"""`get_status`: CertCentral is asked once, and its answer is passed on."""

from dataclasses import replace

import pytest

from dv_resend.core.orders import NameStatus, OrderStatus
from dv_resend.core.status import get_status
from dv_resend.errors import CertCentralUnavailable, OrderNotFound
from unit.fakes import FakeCertCentral

DEADLINE = 1030.0


@pytest.fixture
def certcentral() -> FakeCertCentral:
    return FakeCertCentral()


@pytest.mark.parametrize(
    ("status", "dcv_method", "domains"),
    [
        ("pending", "email", (NameStatus("a.example", "pending"), NameStatus("b.example", "approved"))),
        ("issued", None, ()),
        ("a status of tomorrow", "a method of tomorrow", (NameStatus("", "unknown"),)),
    ],
    ids=["usual", "without names", "unknown values"],
)
def test_status_is_passed_on_after_one_call(
    certcentral: FakeCertCentral, status: str, dcv_method: str | None, domains: tuple[NameStatus, ...]
) -> None:
    certcentral.order = replace(certcentral.order, status=status, dcv_method=dcv_method)
    certcentral.domains = domains

    assert get_status(7, DEADLINE, certcentral) == OrderStatus(7, status, dcv_method, domains)
    assert certcentral.journal == [("get_order_status", 7, DEADLINE)]


def test_status_error_is_passed_on(certcentral: FakeCertCentral) -> None:
    certcentral.errors["get_order_status"] = OrderNotFound("No such order.")

    with pytest.raises(OrderNotFound):
        get_status(7, DEADLINE, certcentral)


@pytest.mark.parametrize("domains", [(), (NameStatus("a.example", "approved"),)], ids=["without names", "with names"])
def test_status_missing_from_the_answer_is_an_error(
    certcentral: FakeCertCentral, domains: tuple[NameStatus, ...]
) -> None:
    """The names alone do not say whether to keep waiting."""
    certcentral.order = replace(certcentral.order, status=None)
    certcentral.domains = domains

    with pytest.raises(CertCentralUnavailable, match="no order status") as caught:
        get_status(7, DEADLINE, certcentral)

    assert caught.value.retryable
    assert certcentral.journal.methods == ["get_order_status"]
