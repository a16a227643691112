"""Which orders an email can help, and which of their names still need one."""

import pytest

from dv_resend.core.eligibility import check_eligible, without_validated
from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.requests import ResendRequest
from dv_resend.errors import OrderNotEligible


@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
@pytest.mark.parametrize("product_type", ["dv_ssl_certificate", "DV_SSL_CERTIFICATE", "Dv_Ssl_Certificate"])
def test_pending_dv_order_with_email_dcv_is_eligible(status, product_type):
    check_eligible(Order(7, status, product_type, "email"))


@pytest.mark.parametrize(
    ("product_type", "status", "dcv_method", "reason"),
    [
        ("ssl_certificate", "pending", "email", "not_dv"),
        ("ev_ssl_certificate", "pending", "email", "not_dv"),
        ("code_signing_certificate", "pending", "email", "not_dv"),
        ("dv_ssl_certificate_x", "pending", "email", "not_dv"),
        ("", "pending", "email", "not_dv"),
        (None, "pending", "email", "not_dv"),
        ("dv_ssl_certificate", "needs_approval", "email", "needs_approval"),
        *(
            ("dv_ssl_certificate", status, "email", "not_pending")
            for status in ("issued", "rejected", "canceled", "expired", "revoked", "processing", "waiting_pickup")
        ),
        ("dv_ssl_certificate", "Pending order", "email", "not_pending"),
        ("dv_ssl_certificate", "", "email", "not_pending"),
        ("dv_ssl_certificate", None, "email", "not_pending"),
        *(
            ("dv_ssl_certificate", "pending", method, "not_email_dcv")
            for method in ("dns-txt-token", "dns-cname-token", "http-token", "", None)
        ),
        # The least changeable reason comes first: product, then status, then method.
        ("ssl_certificate", "needs_approval", "http-token", "not_dv"),
        ("ssl_certificate", "issued", "http-token", "not_dv"),
        ("dv_ssl_certificate", "needs_approval", "http-token", "needs_approval"),
        ("dv_ssl_certificate", "issued", "http-token", "not_pending"),
        (None, None, None, "not_dv"),
    ],
    ids=ascii,
)
def test_any_other_order_is_not_eligible_for_a_reason(product_type, status, dcv_method, reason):
    with pytest.raises(OrderNotEligible) as caught:
        check_eligible(Order(7, status, product_type, dcv_method))

    assert caught.value.code == f"order_not_eligible|{reason}"
    assert "order 7" in caught.value.message.lower()
    assert "None" not in caught.value.message


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (Order(7, "pending", "ssl_certificate", "email"), "of type ssl_certificate, not dv_ssl_certificate"),
        (Order(7, "pending", "ssl_certificate", "http-token"), "PUT /services/v2/domain/{domain_id}/dcv/emails"),
        (Order(7, "needs_approval", "dv_ssl_certificate", "email"), "Approve it in CertCentral"),
        (Order(7, "issued", "dv_ssl_certificate", "email"), "The status of order 7 is issued"),
        (Order(7, "pending", "dv_ssl_certificate", "http-token"), "validated by http-token, not by email"),
        (Order(7, "pending", None, "email"), "of type unknown"),
        (Order(7, None, "dv_ssl_certificate", "email"), "is unknown"),
        (Order(7, "pending", "dv_ssl_certificate", None), "validated by an unknown method"),
    ],
    ids=[
        "not_dv",
        "domain-level resend",
        "needs_approval",
        "not_pending",
        "not_email_dcv",
        "no type",
        "no status",
        "no method",
    ],
)
def test_refusal_says_what_is_wrong_with_the_order(order, message):
    with pytest.raises(OrderNotEligible) as caught:
        check_eligible(order)

    assert message in caught.value.message


# Names that are already validated


def validation(*entries: tuple) -> OrderStatus:
    return OrderStatus(7, "pending", "email", tuple(NameStatus(*entry) for entry in entries))


def request_about(*domains: str) -> ResendRequest:
    emails = [{"domain": domain, "email": f"admin@{domain}"} for domain in domains]
    return ResendRequest.from_input({"order_id": 7, "domain_approval_emails": emails})


# Two names in one scope, of which one is validated.
HALF_VALIDATED = validation(("a.test", "approved", ("a.test",)), ("a.test", "pending", ("www.a.test",)))


def test_recipient_whose_name_is_validated_is_skipped():
    remaining = without_validated(request_about("a.test", "www.a.test"), HALF_VALIDATED)

    assert [recipient.domain for recipient in remaining.recipients] == ["www.a.test"]
    assert [(each.recipient.domain, each.reason) for each in remaining.skipped] == [("a.test", "validated")]


@pytest.mark.parametrize("request_", [ResendRequest(7), request_about("www.a.test")], ids=["default", "named"])
@pytest.mark.parametrize("found", [HALF_VALIDATED, validation(), validation(("", "approved"))], ids=ascii)
def test_request_about_names_not_validated_stays_as_it_is(request_, found):
    assert without_validated(request_, found) == request_


@pytest.mark.parametrize("request_", [ResendRequest(7), request_about("a.test"), request_about("b.test")], ids=ascii)
def test_order_is_not_eligible_if_all_its_names_are_validated(request_):
    with pytest.raises(OrderNotEligible, match=r"^All names of order 7 are already validated") as caught:
        without_validated(request_, validation(("a.test", "approved"), ("www.a.test", "approved")))

    assert caught.value.code == "order_not_eligible|already_validated"


@pytest.mark.parametrize(
    ("outstanding", "named"),
    [
        ([("www.a.test", "pending")], "www.a.test"),
        ([("b.test", "pending"), ("c.test", "unknown")], "b.test, c.test"),
        ([("", "pending")], "other names"),
        (
            [(f"n{n}.test", "pending") for n in range(11)],
            "n0.test, n1.test, n2.test, n3.test, n4.test, n5.test, n6.test, n7.test, n8.test, n9.test …",
        ),
    ],
    ids=["one", "two", "unreadable", "many"],
)
def test_request_about_validated_names_only_names_the_others(outstanding, named):
    with pytest.raises(OrderNotEligible) as caught:
        without_validated(request_about("a.test"), validation(("a.test", "approved"), *outstanding))

    assert caught.value.code == "order_not_eligible|already_validated"
    assert f"Order 7 is still waiting for {named}: name recipients for those" in caught.value.message
