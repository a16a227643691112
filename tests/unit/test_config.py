"""The settings: every bad value is refused by name, and no value is ever echoed."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.config import VARIABLES, Config
from dv_resend.errors import ConfigurationError

REQUIRED = {"API_KEY_SECRET_ID": "dv-resend/api-key", "CLAIMS_TABLE": "claims"}


class Recording(Mapping[str, str]):
    """An environment that notes which variables are looked up."""

    def __init__(self, values):
        self._values = values
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return self._values[name]

    def __iter__(self):
        raise AssertionError("the environment is read as a whole")

    __len__ = __iter__


def config(**values):
    return Config.from_environment(REQUIRED | values)


def test_only_the_secret_and_the_table_are_required_and_the_rest_has_safe_defaults():
    assert config() == Config(
        api_key_secret_id="dv-resend/api-key",
        claims_table="claims",
        certcentral_base_url="https://www.digicert.com/services/v2",
        certcentral_timeout_seconds=10.0,
        cool_down_seconds=3600,
        sending=True,
    )


def test_every_variable_is_honoured():
    found = config(
        API_KEY_SECRET_ID="arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf",
        CLAIMS_TABLE="other",
        CERTCENTRAL_BASE_URL="https://certcentral.digicert.eu/services/v2",
        CERTCENTRAL_TIMEOUT_SECONDS="2.5",
        COOL_DOWN_MINUTES="90",
        SENDING="off",
    )

    assert found == Config(
        api_key_secret_id="arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf",
        claims_table="other",
        certcentral_base_url="https://certcentral.digicert.eu/services/v2",
        certcentral_timeout_seconds=2.5,
        cool_down_seconds=5400,
        sending=False,
    )


def test_the_declared_variables_are_the_ones_that_are_read():
    environment = Recording(REQUIRED)

    Config.from_environment(environment)

    assert environment.read == VARIABLES


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_missing_required_variable_is_named(name, value):
    environment = {**REQUIRED, name: value}
    if value is None:
        del environment[name]

    with pytest.raises(ConfigurationError, match=f"{name} is missing"):
        Config.from_environment(environment)


@pytest.mark.parametrize("name", sorted(VARIABLES - set(REQUIRED)))
def test_an_empty_optional_variable_means_its_default(name):
    assert config(**{name: " "}) == config()


@pytest.mark.parametrize("name", sorted(VARIABLES - {"CERTCENTRAL_BASE_URL"}))
def test_blanks_around_a_value_do_not_count(name):
    value = {**REQUIRED, "SENDING": "off", "COOL_DOWN_MINUTES": "5", "CERTCENTRAL_TIMEOUT_SECONDS": "5"}[name]

    assert config(**{name: f" {value}\n"}) == config(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("SENDING", value) for value in ("ON", "Off", "true", "false", "0", "1", "yes", "paused")),
        *(("COOL_DOWN_MINUTES", value) for value in ("0", "-1", "1441", "1.5", "1e2", "60m", "nan", "inf", "sixty")),
        *(
            ("CERTCENTRAL_TIMEOUT_SECONDS", value)
            for value in ("0", "0.5", "60.1", "-5", "nan", "inf", "10s", "1,5", "ten")
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=f"^The environment variable {name} must be "):
        config(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("COOL_DOWN_MINUTES", "1", 60),
        ("COOL_DOWN_MINUTES", "1440", 86400),
        ("CERTCENTRAL_TIMEOUT_SECONDS", "1", 1.0),
        ("CERTCENTRAL_TIMEOUT_SECONDS", "60", 60.0),
    ],
)
def test_the_limits_themselves_are_allowed(name, value, parsed):
    found = config(**{name: value})

    assert parsed in (found.cool_down_seconds, found.certcentral_timeout_seconds)


@pytest.mark.parametrize(
    "address",
    [
        "https://certcentral.digicert.eu/services/v2",
        "https://proxy.example.com:8443/services/v2",
        "https://proxy.example.com",
        "http://127.0.0.1:8080/services/v2",
        "http://127.8.8.8/services/v2",
        "http://[::1]:8080/services/v2",
        "http://localhost:8080/services/v2",
    ],
)
def test_an_https_address_or_a_loopback_one_is_taken_as_it_is(address):
    assert config(CERTCENTRAL_BASE_URL=address).certcentral_base_url == address


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/services/v2",
        "http://www.digicert.com/services/v2",
        "http://127.0.0.1.example.com/services/v2",
        "http://localhost.example.com/services/v2",
        "http://0.0.0.0/services/v2",
        "http://10.0.0.1/services/v2",
        "http://169.254.169.254/services/v2",
        "ftp://example.com/services/v2",
        "file:///etc/passwd",
        "www.digicert.com/services/v2",
        "//www.digicert.com/services/v2",
        "https://",
        "https:///services/v2",
        "https://user@example.com/services/v2",
        "https://user:secret@example.com/services/v2",
        "https://:secret@example.com/services/v2",
        "https://www.digicert.com\\@example.com/services/v2",
        "https://example.com/services/v2?key=secret",
        "https://example.com/services/v2#part",
        "https://example.com:99999/services/v2",
        "https://example.com:port/services/v2",
        "https://[::1/services/v2",
        "https://exam\tple.com/services/v2",
        "https://example.com/services/v2?",
        "https://example.com/services/v2#",
        "https://exam ple.com/services/v2",
        "https://example.com/serv\nices/v2",
    ],
)
def test_an_address_that_could_lose_the_key_is_refused(address):
    with pytest.raises(ConfigurationError, match=r"^The environment variable CERTCENTRAL_BASE_URL must be "):
        config(CERTCENTRAL_BASE_URL=address)


def test_a_slash_at_the_end_of_the_address_is_dropped():
    address = "https://certcentral.digicert.eu/services/v2/"

    assert config(CERTCENTRAL_BASE_URL=address).certcentral_base_url == "https://certcentral.digicert.eu/services/v2"


@pytest.mark.parametrize(
    "name", ["SENDING", "COOL_DOWN_MINUTES", "CERTCENTRAL_TIMEOUT_SECONDS", "CERTCENTRAL_BASE_URL"]
)
def test_a_secret_pasted_into_the_wrong_variable_is_not_echoed(name):
    with pytest.raises(ConfigurationError) as caught:
        config(**{name: "pasted-5ecre7"})

    assert "5ecre7" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.text() | st.from_regex(r"https?://.*")))
def test_any_environment_gives_a_config_or_a_configuration_error_that_names_a_variable(values):
    try:
        found = Config.from_environment(REQUIRED | values)
    except ConfigurationError as error:
        message = error.message
    else:
        message = None
        assert found.certcentral_base_url.lower().startswith(("https://", "http://"))
        assert 60 <= found.cool_down_seconds <= 86400
        assert 1 <= found.certcentral_timeout_seconds <= 60

    assert message is None or any(name in message for name in VARIABLES)
