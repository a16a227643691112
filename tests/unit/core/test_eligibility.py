import pytest

from dv_resend.core.eligibility import check_eligible, decide, without_validated
from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts
from dv_resend.core.requests import ResendRequest
from dv_resend.errors import OrderNotEligible, RecipientNotAllowed, RecipientUnverified


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


# What is left to be sent


PENDING = Order(7, "pending", "dv_ssl_certificate", "email")
ISSUED = Order(7, "issued", "dv_ssl_certificate", "email")


def validation(*entries):
    return OrderStatus(7, "pending", "email", tuple(NameStatus(*entry) for entry in entries))


def asking(*recipients):
    emails = [{"domain": domain, "email": email} for domain, email in recipients]
    return ResendRequest.from_input({"order_id": 7, "domain_approval_emails": emails})


SPLIT = validation(("a.test", "approved", ("a.test",)), ("a.test", "pending", ("www.a.test",)))


def test_of_names_in_one_scope_only_those_that_are_validated_are_skipped():
    left = without_validated(asking(("a.test", "admin@a.test"), ("www.a.test", "admin@www.a.test")), SPLIT)

    assert [recipient.domain for recipient in left.recipients] == ["www.a.test"]
    assert [recipient.domain for recipient in left.skipped] == ["a.test"]


def test_the_names_that_the_order_still_waits_for_are_told():
    with pytest.raises(OrderNotEligible) as caught:
        without_validated(asking(("a.test", "admin@a.test")), SPLIT)

    assert caught.value.code == "order_not_eligible|already_validated"
    assert "Order 7 still waits for www.a.test: name somebody" in caught.value.message


def test_many_names_that_the_order_still_waits_for_are_cut_short():
    waiting = [(f"n{number:02}.test", "pending") for number in range(11)]

    with pytest.raises(OrderNotEligible, match=r"n09\.test …: name") as caught:
        without_validated(asking(("a.test", "admin@a.test")), validation(("a.test", "approved"), *waiting))

    assert "n10.test" not in caught.value.message


def test_names_that_nobody_tells_are_others():
    with pytest.raises(OrderNotEligible, match="still waits for others:"):
        without_validated(asking(("a.test", "admin@a.test")), validation(("a.test", "approved"), ("", "pending")))


FOREIGN = asking(("b.test", "jane@mail.test"))
HALF_DONE = validation(("a.test", "approved"), ("b.test", "pending"))


@pytest.mark.parametrize(
    ("request_", "order", "found", "contacts", "error"),
    [
        (FOREIGN, ISSUED, HALF_DONE, Contacts(), OrderNotEligible),
        (FOREIGN, PENDING, validation(("b.test", "approved")), Contacts(), OrderNotEligible),
        (FOREIGN, PENDING, HALF_DONE, Contacts(), RecipientNotAllowed),
        (FOREIGN, PENDING, HALF_DONE, Contacts(failure="x"), RecipientUnverified),
        (FOREIGN, PENDING, validation(), Contacts(txt=("jane@mail.test",)), RecipientUnverified),
        (FOREIGN, PENDING, HALF_DONE, Contacts(txt=("jane@mail.test",)), None),
        (ResendRequest(7), PENDING, validation(), Contacts(), None),
        (ResendRequest(7), ISSUED, validation(), Contacts(), OrderNotEligible),
    ],
    ids=ascii,
)
def test_a_resend_is_decided_on_the_order_before_its_names_and_on_those_before_the_recipients(
    request_, order, found, contacts, error
):
    def decided(*, check_recipients):
        return decide(request_, order, found, {"b.test": contacts}, check_recipients=check_recipients)

    if error is not None:
        with pytest.raises(error):
            decided(check_recipients=True)
    else:
        assert decided(check_recipients=True) == request_
    if error is OrderNotEligible:
        with pytest.raises(OrderNotEligible):
            decided(check_recipients=False)
    else:
        assert decided(check_recipients=False) == request_


def test_who_is_skipped_is_not_checked_and_needs_no_contacts():
    left = decide(
        asking(("a.test", "jane@mail.test"), ("b.test", "admin@b.test")), PENDING, HALF_DONE, {}, check_recipients=True
    )

    assert [recipient.email for recipient in left.recipients] == ["admin@b.test"]
    assert [recipient.email for recipient in left.skipped] == ["jane@mail.test"]
