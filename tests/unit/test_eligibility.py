import pytest

from dv_resend.eligibility import check_eligible
from dv_resend.errors import OrderNotEligible
from dv_resend.models import Order


@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
@pytest.mark.parametrize("product_type", ["dv_ssl_certificate", "DV_SSL_CERTIFICATE", "Dv_Ssl_Certificate"])
def test_a_pending_dv_order_with_email_dcv_is_eligible(status, product_type):
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
        # What would not change first: the kind of order, then its status, then the method.
        ("ssl_certificate", "needs_approval", "http-token", "not_dv"),
        ("ssl_certificate", "issued", "http-token", "not_dv"),
        ("dv_ssl_certificate", "needs_approval", "http-token", "needs_approval"),
        ("dv_ssl_certificate", "issued", "http-token", "not_pending"),
        (None, None, None, "not_dv"),
    ],
    ids=ascii,
)
def test_any_other_order_is_not_and_the_reason_is_named(product_type, status, dcv_method, reason):
    with pytest.raises(OrderNotEligible) as caught:
        check_eligible(Order(7, status, product_type, dcv_method))

    assert caught.value.code == f"order_not_eligible|{reason}"
    assert "Order 7" in caught.value.message
    assert "None" not in caught.value.message


def test_an_order_of_another_type_is_pointed_to_the_domain_level_resend():
    with pytest.raises(OrderNotEligible, match=r"/services/v2/domain/\{domain_id\}/dcv/emails"):
        check_eligible(Order(7, "pending", "ssl_certificate", "email"))
