"""The error tree: what callers, state machines and alarms rely on, as one literal table."""

import pytest

from dv_resend import errors
from dv_resend.errors import (
    CertCentralUnavailable,
    InvalidRequest,
    OrderNotEligible,
    RateLimited,
    RecipientNotAllowed,
    RequestRejected,
    ResendError,
    UpstreamError,
)

# HTTP status, code, retryable and scope of each class: public API, so they are repeated here.
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
    "SendRecordUnavailable": (503, "send_record_unavailable", True, "account"),
    "QueueUnavailable": (503, "queue_unavailable", True, "account"),
    "SendingPaused": (503, "sending_paused", True, "account"),
    "ConfigurationError": (500, "configuration_error", False, "account"),
}


def test_error_tree_is_flat_and_complete():
    assert {kind.__name__ for kind in ResendError.__subclasses__()} == set(CONTRACT)
    assert not [kind for child in ResendError.__subclasses__() for kind in child.__subclasses__()]


@pytest.mark.parametrize(("name", "contract"), CONTRACT.items())
def test_error_class_has_its_documented_attributes(name, contract):
    kind = getattr(errors, name)

    assert (kind.http_status, kind.base_code, kind.retryable, kind.scope) == contract


@pytest.mark.parametrize("name", sorted(set(CONTRACT) - {"InvalidRequest", "OrderNotEligible", "RecipientNotAllowed"}))
def test_error_without_details_has_its_base_code(name):
    error = getattr(errors, name)("Something is wrong.")

    assert error.code == CONTRACT[name][1]
    assert error.entries == [(error.code, "Something is wrong.")]
    assert str(error) == error.message == "Something is wrong."


@pytest.mark.parametrize("name", CONTRACT)
def test_error_class_is_drawn_in_the_module_docstring(name):
    assert f"─ {name} " in errors.__doc__


def test_invalid_request_names_its_field_in_code_and_text():
    error = InvalidRequest("domain_approval_emails[0].email", "must be one email address.")

    assert error.field == "domain_approval_emails[0].email"
    assert error.code == "invalid_request|domain_approval_emails[0].email"
    assert str(error) == "domain_approval_emails[0].email: must be one email address."


def test_ineligible_order_has_its_reason_in_code_and_text():
    error = OrderNotEligible("not_dv", "Order 1 is an OV order.")

    assert (error.reason, error.code) == ("not_dv", "order_not_eligible|not_dv")
    assert error.entries == [("order_not_eligible|not_dv", "Order 1 is an OV order.")]
    assert error.message == "Order 1 is an OV order."
    assert str(error) == "Order 1 is an OV order. (order_not_eligible|not_dv)"


def refused(count: int) -> list[tuple[str, str]]:
    return [(f"domain_approval_emails[{number}].email", f"reason {number}.") for number in range(count)]


def test_refused_recipients_are_listed_with_their_reasons():
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
def test_text_about_many_refused_recipients_is_bounded(count, length):
    error = RecipientNotAllowed([(f"domain_approval_emails[{n}].email", f"{'w' * length}.") for n in range(count)])

    shown = str(error).count("domain_approval_emails[")
    assert shown >= 1
    assert len(str(error)) < 20_000
    assert str(error).endswith(f" And {count - shown} more." if shown < count else "w.")
    # Only the text is shortened: HTTP responses list every entry.
    assert len(error.entries) == count


def test_error_text_includes_certcentrals_own_messages():
    upstream_errors = (UpstreamError("invalid_locale", "Bad locale."), UpstreamError("invalid_order_status", ""))

    error = RequestRejected("CertCentral refused the request.", upstream_status=400, upstream_errors=upstream_errors)

    assert (
        str(error)
        == "CertCentral refused the request. (CertCentral said: invalid_locale: Bad locale.; invalid_order_status)"
    )
    assert error.message == "CertCentral refused the request."


def test_entry_without_a_code_is_shown_by_its_message():
    error = RequestRejected("Refused.", upstream_errors=(UpstreamError("", "Bad locale."), UpstreamError("a", "")))

    assert str(error) == "Refused. (CertCentral said: Bad locale.; a)"


def test_unknown_details_are_none():
    error = RateLimited("Too many requests.")

    assert (error.retry_after, error.upstream_status, error.upstream_errors) == (None, None, ())
    assert CertCentralUnavailable("Out of time.").offset is None


def test_known_details_are_kept():
    upstream_errors = (UpstreamError("maintenance", "Back soon."),)

    error = CertCentralUnavailable(
        "Out of time.", retry_after=5, upstream_status=503, upstream_errors=upstream_errors, offset=2000
    )

    assert (error.retry_after, error.upstream_status, error.upstream_errors) == (5, 503, upstream_errors)
    assert error.offset == 2000
