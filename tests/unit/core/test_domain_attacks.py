"""Sends by domain under attack: what once mailed somebody twice, said what was not true, or had no bound."""

from datetime import UTC, datetime

import pytest

from dv_resend.core.orders import NameStatus, Order
from dv_resend.errors import RateLimited, ResendError
from unit.fakes import Fakes, resend_request

NOW = 1_795_446_245
A, B, C = "a.example", "b.example", "c.example"
OV = Order(7, "pending", "ssl_certificate", "email", datetime(2026, 11, 22, tzinfo=UTC))
LIMITED = "CertCentral's request limit is reached. Nothing was sent."


def ov_order(*domains: NameStatus) -> Fakes:
    fakes = Fakes()
    fakes.certcentral.order = OV
    fakes.certcentral.domains = domains or tuple(entry(scope, number) for number, scope in enumerate((A, B, C), 1))
    return fakes


def entry(scope: str, domain_id: int, status: str = "pending", method: str | None = None) -> NameStatus:
    return NameStatus(scope, status, (scope,), domain_id=domain_id, method=method)


def failure(fakes: Fakes, *recipients: tuple[str, ...], force: bool = False) -> ResendError:
    with pytest.raises(ResendError) as caught:
        resend(fakes, *recipients, force=force)
    return caught.value


def resend(fakes: Fakes, *recipients: tuple[str, ...], force: bool = False, at: int = NOW) -> str:
    request = resend_request(*recipients, force=force)
    return fakes.resender(at, all_order_types=True).resend(request, fakes.invocation(at)).outcome


# What is true of one domain, and not of the call


@pytest.mark.parametrize(("failing", "says_nothing"), [(1, True), (2, False)])
def test_nothing_was_sent_is_said_only_if_it_is_true(failing: int, says_nothing: bool) -> None:
    fakes = ov_order()
    fakes.certcentral.errors[f"resend_domain_emails {failing}"] = RateLimited(LIMITED)

    assert ("Nothing was sent." in failure(fakes).message) is says_nothing
