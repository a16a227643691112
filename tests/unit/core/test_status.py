"""The get_status of an order: asked once, passed on as it is."""

import pytest

from dv_resend.core.orders import NameStatus, OrderStatus
from dv_resend.core.status import get_status
from dv_resend.errors import CertCentralUnavailable, OrderNotFound


class CertCentral:
    """Stands in for the client: it can answer a get_status, and nothing else."""

    def __init__(self, answer):
        self.answer = answer
        self.calls = []

    def get_order_status(self, order_id, deadline):
        self.calls.append((order_id, deadline))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        OrderStatus(7, "pending", "email", (NameStatus("a.example", "pending"), NameStatus("b.example", "approved"))),
        OrderStatus(7, "issued", None, ()),
        OrderStatus(7, "a get_status of tomorrow", "a method of tomorrow", (NameStatus("unknown", "unknown"),)),
    ],
    ids=["usual", "without_wildcard", "new values"],
)
def test_what_certcentral_says_is_passed_on_after_one_call(answer):
    certcentral = CertCentral(answer)

    assert get_status(7, 1030.0, certcentral=certcentral) == answer
    assert certcentral.calls == [(7, 1030.0)]


def test_an_error_is_passed_on():
    certcentral = CertCentral(OrderNotFound("No such order."))

    with pytest.raises(OrderNotFound):
        get_status(7, 1030.0, certcentral=certcentral)


@pytest.mark.parametrize(
    "domains", [(), (NameStatus("a.example", "approved"),)], ids=["without_wildcard", "with names"]
)
def test_an_answer_without_a_status_is_none(domains):
    """The names alone would not tell whoever asks whether to wait."""
    certcentral = CertCentral(OrderStatus(7, None, "email", domains))

    with pytest.raises(CertCentralUnavailable, match="no order status") as caught:
        get_status(7, 1030.0, certcentral=certcentral)

    assert caught.value.retryable
    assert len(certcentral.calls) == 1
