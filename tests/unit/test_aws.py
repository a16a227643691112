"""The SDK: how its clients are made, and what its errors mean."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from dv_resend import aws
from dv_resend.errors import ClaimsUnavailable, ConfigurationError, QueueUnavailable

MESSAGES = {"permanent": "Cannot be used ({code}).", "transient": "Did not answer ({code})."}


def refusal(code):
    return ClientError({"Error": {"Code": code, "Message": "secret words"}}, "PutItem")


@pytest.mark.parametrize("service", ["dynamodb", "secretsmanager", "sqs"])
def test_client_gives_up_soon(service):
    config = aws.client(service).meta.config

    assert (config.connect_timeout, config.read_timeout) == (1, 2)
    assert config.retries == {"total_max_attempts": 2, "mode": "standard"}


def test_clients_share_one_session(monkeypatch):
    """Each session would read the SDK's data again."""
    monkeypatch.setattr(aws.boto3, "DEFAULT_SESSION", None)
    sessions = []
    monkeypatch.setattr(aws.boto3, "Session", lambda: sessions.append(Session()) or sessions[-1])

    assert aws.client("dynamodb") != aws.client("sqs")
    assert len(sessions) == 1


class Session:
    def client(self, service, config):
        assert config.read_timeout == 2
        return service


@pytest.mark.parametrize("code", sorted(aws.PERMANENT))
def test_permanent_code_is_a_configuration_error(code):
    error = aws.translate(refusal(code), ClaimsUnavailable, **MESSAGES)

    assert type(error) is ConfigurationError
    assert str(error) == f"Cannot be used ({code})."


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (refusal("ThrottlingException"), "ThrottlingException"),
        (refusal("{0.__class__}"), "{0.__class__}"),
        (ClientError({}, "PutItem"), "ClientError"),
        (EndpointConnectionError(endpoint_url="https://sqs.test"), "EndpointConnectionError"),
        (None, "NoneType"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("unavailable", [ClaimsUnavailable, QueueUnavailable])
def test_any_other_code_is_the_given_unavailable_error(cause, code, unavailable):
    error = aws.translate(cause, unavailable, **MESSAGES)

    assert type(error) is unavailable
    assert str(error) == f"Did not answer ({code})."
