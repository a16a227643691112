"""The API key: what a secret may look like, how long the key is cached, and which errors are raised."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import base
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from conftest import CANARY, SECRET_ID

from dv_resend.adapters.api_key import CACHE_SECONDS, ApiKey
from dv_resend.errors import ConfigurationError, SecretUnavailable
from unit.adapters.conftest import refusal

ENDPOINT = "https://secretsmanager.eu-west-1.amazonaws.com/"
OTHER = "another-valid-key-0123"


class SecretsManager:
    """A Secrets Manager client that returns ``secret``, or raises it, and counts the calls."""

    def __init__(self, secret):
        self.secret = secret
        self.calls = 0

    def get_secret_value(self, **arguments):
        self.calls += 1
        assert arguments == {"SecretId": SECRET_ID}
        if isinstance(self.secret, Exception):
            raise self.secret
        return {"Name": SECRET_ID, **self.secret}


def text(value):
    return {"SecretString": value}


@pytest.fixture
def manager():
    return SecretsManager(text(CANARY))


@pytest.fixture
def api_key(manager):
    return ApiKey(SECRET_ID, manager)


# What a secret may look like


@pytest.mark.parametrize(
    "secret",
    [
        *(text(CANARY), text(f"{CANARY}\n"), text(f"  {CANARY}\r\n"), text(json.dumps({"api_key": CANARY}))),
        text(json.dumps({"api_key": f" {CANARY}\n", "owner": "pki"}, indent=2) + "\n"),
        *({"SecretBinary": CANARY.encode()}, {"SecretBinary": json.dumps({"api_key": CANARY}).encode()}),
    ],
    ids=["plain", "newline", "blanks", "json", "pretty json", "binary", "binary json"],
)
def test_key_is_found_in_plain_text_and_in_json(manager, api_key, secret):
    manager.secret = secret

    assert api_key.current() == CANARY


@pytest.mark.parametrize(
    "secret",
    [
        *(text(" \n"), text("short"), text("x" * 513), text("{}"), text(json.dumps({"apiKey": CANARY}))),
        *(text('{"api_key": null}'), text(json.dumps({"api_key": [CANARY]})), text('{"api_key": 1234567890123}')),
        *(text('{"api_key": ""}'), text(json.dumps({"api_key": CANARY})[:-1]), text('{"api_key": ' * 20_000)),
        *(text(f"{CANARY}\r\nX-Other: header"), text(f"{CANARY} {CANARY}"), text(f"{CANARY}\u00e9")),
        *(text(f"\ufeff{CANARY}"), text(json.dumps({"api_key": f"{CANARY}\nX-Other: header"}))),
        *({"SecretBinary": CANARY.encode() + b"\xff"}, {"SecretBinary": b"\x00" * 20}, {}),
    ],
    ids=lambda secret: ascii(secret).replace(CANARY, "KEY")[:50],
)
def test_secret_without_a_usable_key_is_a_configuration_error(manager, api_key, secret):
    manager.secret = secret

    with pytest.raises(ConfigurationError) as caught:
        api_key.current()

    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None


# The cache


def test_key_is_read_once_and_cached(manager, api_key):
    keys = {api_key.current() for _ in range(5)}

    assert (keys, manager.calls) == ({CANARY}, 1)


@pytest.mark.parametrize("max_age", [None, "0", "86400"], ids=lambda value: f"POWERTOOLS_PARAMETERS_MAX_AGE={value}")
def test_key_is_cached_for_five_minutes(manager, api_key, monkeypatch, max_age):
    """Whatever Powertools' own setting says."""
    if max_age is not None:
        monkeypatch.setenv("POWERTOOLS_PARAMETERS_MAX_AGE", max_age)
    now = datetime(2026, 11, 24, tzinfo=UTC)
    monkeypatch.setattr(base, "datetime", SimpleNamespace(now=lambda: now))
    api_key.current()
    manager.secret = text(OTHER)

    now += timedelta(seconds=300)
    assert (api_key.current(), manager.calls) == (CANARY, 1)
    now += timedelta(microseconds=1)
    assert (api_key.current(), manager.calls) == (OTHER, 2)
    assert CACHE_SECONDS == 300


def test_refreshed_key_is_read_again_and_cached(manager, api_key):
    api_key.current()
    manager.secret = text(OTHER)

    assert api_key.current() == CANARY
    assert api_key.refresh() == OTHER
    assert api_key.current() == OTHER
    assert manager.calls == 2


@pytest.mark.parametrize("read", ["current", "refresh"])
@pytest.mark.parametrize(
    "broken", [text("{}"), refusal("ResourceNotFoundException"), refusal("ThrottlingException")], ids=ascii
)
def test_fixed_secret_is_read_at_once(manager, api_key, read, broken):
    manager.secret = broken
    with pytest.raises((ConfigurationError, SecretUnavailable)):
        getattr(api_key, read)()
    manager.secret = text(OTHER)

    assert api_key.current() == OTHER


@pytest.mark.parametrize("broken", [text("{}"), {}, refusal("AccessDeniedException")], ids=ascii)
def test_failed_refresh_does_not_leave_the_old_key(manager, api_key, broken):
    api_key.current()
    manager.secret = broken

    for read in (api_key.refresh, api_key.current):
        with pytest.raises(ConfigurationError):
            read()


# Errors


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
@pytest.mark.parametrize("read", ["current", "refresh"])
def test_permanent_error_is_a_configuration_error(manager, api_key, read, code):
    manager.secret = refusal(code)

    with pytest.raises(ConfigurationError) as caught:
        getattr(api_key, read)()

    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (refusal("ThrottlingException"), "ThrottlingException"),
        (EndpointConnectionError(endpoint_url=ENDPOINT), "EndpointConnectionError"),
        pytest.param(ReadTimeoutError(endpoint_url=ENDPOINT), "ReadTimeoutError", id="ReadTimeoutError"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("read", ["current", "refresh"])
def test_temporary_error_is_secret_unavailable(manager, api_key, read, failure, shown):
    manager.secret = failure

    with pytest.raises(SecretUnavailable, match=shown) as caught:
        getattr(api_key, read)()

    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None


# Against the service


@pytest.mark.usefixtures("aws")
def test_stored_key_is_read_by_name_or_arn():
    client = boto3.client("secretsmanager")
    arn = client.describe_secret(SecretId=SECRET_ID)["ARN"]

    for secret_id in (SECRET_ID, arn):
        assert ApiKey(secret_id, client).current() == CANARY


@pytest.mark.usefixtures("aws")
def test_empty_secret_is_a_configuration_error():
    client = boto3.client("secretsmanager")
    client.create_secret(Name="empty")

    with pytest.raises(ConfigurationError, match=r"has no value yet\. Store the key"):
        ApiKey("empty", client).current()


@pytest.mark.usefixtures("aws")
def test_missing_secret_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="does not exist"):
        ApiKey("missing", boto3.client("secretsmanager")).current()
