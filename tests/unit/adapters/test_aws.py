"""The SDK: how its clients are made, and what its errors mean."""

from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from dv_resend.adapters import aws
from dv_resend.errors import ConfigurationError, QueueUnavailable, SendRecordUnavailable
from unit.adapters.conftest import refusal

MESSAGES = {"permanent": "Cannot be used ({code}).", "transient": "Did not answer ({code})."}


@pytest.mark.parametrize("service", ["dynamodb", "secretsmanager", "sns", "sqs"])
def test_client_gives_up_soon(service):
    config = aws.client(service).meta.config

    assert (config.connect_timeout, config.read_timeout) == (1, 2)
    assert config.retries == {"total_max_attempts": 2, "mode": "standard"}


def test_clients_share_one_session(monkeypatch):
    """Each session would read the SDK's data again."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    session = Mock()
    monkeypatch.setattr(boto3, "Session", session)

    aws.client("dynamodb")
    aws.client("sqs")

    assert session.call_count == 1
    assert [call.args for call in session().client.call_args_list] == [("dynamodb",), ("sqs",)]


@pytest.mark.parametrize(
    "code",
    [
        *("AWS.SimpleQueueService.NonExistentQueue", "AccessDenied", "AccessDeniedException", "DecryptionFailure"),
        *("InvalidAddress", "InvalidParameterException", "InvalidRequestException", "QueueDoesNotExist"),
        *("ResourceNotFoundException", "UnrecognizedClientException", "ValidationException"),
    ],
)
def test_permanent_code_is_a_configuration_error(code):
    error = aws.translate(refusal(code), SendRecordUnavailable, **MESSAGES)

    assert type(error) is ConfigurationError
    assert str(error) == f"Cannot be used ({code})."


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (refusal("ThrottlingException"), "ThrottlingException"),
        (refusal("{0.__class__}"), "{0.__class__}"),
        (ClientError({}, "PutItem"), "ClientError"),
        (ReadTimeoutError(endpoint_url="https://sqs.test"), "ReadTimeoutError"),
        (None, "NoneType"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("unavailable", [SendRecordUnavailable, QueueUnavailable])
def test_other_code_is_the_given_unavailable_error(cause, code, unavailable):
    error = aws.translate(cause, unavailable, **MESSAGES)

    assert type(error) is unavailable
    assert str(error) == f"Did not answer ({code})."
