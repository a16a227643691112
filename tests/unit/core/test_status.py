"""`get_status`: CertCentral is asked once, and its answer is passed on."""

from dataclasses import replace

import pytest

from dv_resend.core.orders import NameStatus, OrderStatus
from dv_resend.core.status import get_status
from dv_resend.errors import CertCentralUnavailable
from unit.fakes import FakeCertCentral

DEADLINE = 1030.0


@pytest.fixture
def certcentral() -> FakeCertCentral:
    return FakeCertCentral()


def test_status_is_passed_on_after_one_call(certcentral: FakeCertCentral) -> None:
    certcentral.order = replace(certcentral.order, status="a status of tomorrow", dcv_method=None)
    certcentral.domains = (NameStatus("a.example", "pending"), NameStatus("", "unknown"))

    assert get_status(7, DEADLINE, certcentral) == OrderStatus(7, "a status of tomorrow", None, certcentral.domains)
    assert certcentral.journal == [("get_order_status", 7, DEADLINE)]


def test_status_missing_from_the_answer_is_an_error(certcentral: FakeCertCentral) -> None:
    """The names alone do not say whether to keep waiting."""
    certcentral.order = replace(certcentral.order, status=None)

    with pytest.raises(CertCentralUnavailable, match="no order status") as caught:
        get_status(7, DEADLINE, certcentral)

    assert caught.value.retryable
