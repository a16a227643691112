"""The tree of errors: what callers, state machines and alarms rely on, as one literal table."""

import pytest

from dv_resend import errors
from dv_resend.errors import (
    InvalidRequest,
    OrderNotEligible,
    RateLimited,
    RecipientNotAllowed,
    RequestRejected,
    ResendError,
    UpstreamError,
)

# class, HTTP status, code, retryable, scope: the contract of the design, class by class.
CONTRACT = {
    "InvalidRequest": (400, "invalid_request", False, "order"),
    "OrderNotFound": (404, "not_found|order", False, "order"),
    "OrderNotEligible": (409, "order_not_eligible", False, "order"),
    "RecipientNotAllowed": (422, "recipient_not_allowed", False, "order"),
    "RecipientUnverified": (503, "recipient_unverified", True, "order"),
    "RequestRejected": (422, "request_rejected", False, "order"),
    "ResendInProgress": (409, "resend_in_progress", True, "order"),
    "OutcomeUnknown": (504, "outcome_unknown", False, "order"),
    "ApiKeyRejected": (502, "api_key_rejected", False, "account"),
    "PermissionDenied": (502, "permission_denied", False, "account"),
    "RateLimited": (429, "request_limit_exceeded", True, "account"),
    "CertCentralUnavailable": (503, "certcentral_unavailable", True, "account"),
    "SecretUnavailable": (503, "secret_unavailable", True, "account"),
    "ClaimsUnavailable": (503, "claims_unavailable", True, "account"),
    "SendRecordUnavailable": (503, "send_record_unavailable", True, "account"),
    "QueueUnavailable": (503, "queue_unavailable", True, "account"),
    "SendingPaused": (503, "sending_paused", True, "account"),
    "ConfigurationError": (500, "configuration_error", False, "account"),
}


def test_the_tree_is_flat_and_holds_exactly_the_contract():
    assert {kind.__name__ for kind in ResendError.__subclasses__()} == set(CONTRACT)
    assert not [kind for child in ResendError.__subclasses__() for kind in child.__subclasses__()]


@pytest.mark.parametrize(("name", "contract"), CONTRACT.items())
def test_each_class_carries_its_contract(name, contract):
    kind = getattr(errors, name)

    assert (kind.http_status, kind.base_code, kind.retryable, kind.scope) == contract


@pytest.mark.parametrize("name", sorted(set(CONTRACT) - {"InvalidRequest", "OrderNotEligible", "RecipientNotAllowed"}))
def test_the_code_of_a_class_without_detail_is_its_base_code(name):
    error = getattr(errors, name)("Something is wrong.")

    assert error.code == CONTRACT[name][1]
    assert error.entries == [(error.code, "Something is wrong.")]
    assert str(error) == error.message == "Something is wrong."


@pytest.mark.parametrize("name", CONTRACT)
def test_the_docstring_draws_every_class_of_the_tree(name):
    assert f"─ {name} " in errors.__doc__


def test_an_invalid_request_names_its_field_in_code_and_text():
    error = InvalidRequest("domain_approval_emails[0].email", "must be one email address.")

    assert error.field == "domain_approval_emails[0].email"
    assert error.code == "invalid_request|domain_approval_emails[0].email"
    assert str(error) == "domain_approval_emails[0].email: must be one email address."


def test_an_ineligible_order_carries_the_reason_in_its_code_and_in_its_text_which_state_machines_read():
    error = OrderNotEligible("not_dv", "Order 1 is an OV order.")

    assert (error.reason, error.code) == ("not_dv", "order_not_eligible|not_dv")
    assert error.entries == [("order_not_eligible|not_dv", "Order 1 is an OV order.")]
    assert error.message == "Order 1 is an OV order."
    assert str(error) == "Order 1 is an OV order. (order_not_eligible|not_dv)"


def refused(count):
    return [(f"domain_approval_emails[{number}].email", f"reason {number}.") for number in range(count)]


def test_a_refusal_of_recipients_names_each_with_its_reason():
    error = RecipientNotAllowed(refused(2))

    assert error.entries == [
        ("recipient_not_allowed|domain_approval_emails[0].email", "reason 0."),
        ("recipient_not_allowed|domain_approval_emails[1].email", "reason 1."),
    ]
    assert error.code == "recipient_not_allowed|domain_approval_emails[0].email"
    assert (
        str(error)
        == error.message
        == "domain_approval_emails[0].email: reason 0. domain_approval_emails[1].email: reason 1."
    )
    assert error.refused == tuple(refused(2))


@pytest.mark.parametrize("count", [1, 2, 20, 250])
@pytest.mark.parametrize("length", [10, 1000, 9000])
def test_the_text_of_a_refusal_of_many_is_bounded_and_says_how_many_more_there_are(count, length):
    error = RecipientNotAllowed([(f"domain_approval_emails[{n}].email", f"{'w' * length}.") for n in range(count)])

    shown = str(error).count("domain_approval_emails[")
    assert shown >= 1
    assert len(str(error)) < 20_000
    assert str(error).endswith(f" And {count - shown} more." if shown < count else "w.")
    # Only the text: over HTTP each is told.
    assert len(error.entries) == count


def test_the_text_of_an_error_carries_what_certcentral_said():
    said = (UpstreamError("invalid_locale", "Bad locale."), UpstreamError("invalid_order_status", ""))

    error = RequestRejected("CertCentral refused the request.", upstream_status=400, upstream_errors=said)

    assert (
        str(error)
        == "CertCentral refused the request. (CertCentral said: invalid_locale: Bad locale.; invalid_order_status)"
    )
    assert error.message == "CertCentral refused the request."


def test_what_is_not_known_is_none_and_not_invented():
    error = RateLimited("Too many requests.")

    assert (error.retry_after, error.upstream_status, error.upstream_errors) == (None, None, ())
