"""The settings: an invalid value is rejected by the name of its variable, and never echoed."""

import ipaddress

import pytest
from conftest import settings_read
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.config import Config
from dv_resend.errors import ConfigurationError

REQUIRED = {"API_KEY_SECRET_ID": "dv-resend/api-key", "SEND_RECORDS_TABLE": "a-table"}
TOPIC = "arn:aws-us-gov:sns:us-gov-west-1:123456789012:Reports_of-PKI"
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/reminders.fifo"
# A valid value, other than the default, of every variable.
VALID = REQUIRED | {
    "CERTCENTRAL_BASE_URL": "https://certcentral.digicert.eu/services/v2",
    "CERTCENTRAL_TIMEOUT_SECONDS": "2.5",
    "COOL_DOWN_MINUTES": "90",
    "SENDING": "off",
    "RECIPIENT_CHECK": "off",
    "DNS_SERVERS": "10.0.0.2,10.0.0.3:5353, fd00::2",
    "REMINDER_DAYS": "2, 5,30",
    "SWEEP_QUEUE_URL": QUEUE,
    "SWEEP_REQUESTS_PER_SECOND": "0.5",
    "REPORT_TOPIC_ARN": TOPIC,
    "ORDER_TYPES": "all",
}
VARIABLES = settings_read()


def config(**values: str) -> Config:
    return Config.from_environment(REQUIRED | values)


def test_config_has_safe_defaults_but_for_secret_and_table():
    assert config() == Config(
        api_key_secret_id="dv-resend/api-key",
        send_records_table="a-table",
        certcentral_base_url="https://www.digicert.com/services/v2",
        certcentral_timeout_seconds=10.0,
        cool_down_seconds=3600,
        sending=True,
        check_recipients=True,
        dns_servers=(),
        reminder_days=(1, 3, 7, 14, 21),
        sweep_queue_url=None,
        sweep_requests_per_second=4.0,
        report_topic_arn=None,
    )


def test_config_reads_every_variable():
    assert config(**VALID) == Config(
        api_key_secret_id="dv-resend/api-key",
        send_records_table="a-table",
        certcentral_base_url="https://certcentral.digicert.eu/services/v2",
        certcentral_timeout_seconds=2.5,
        cool_down_seconds=5400,
        sending=False,
        check_recipients=False,
        dns_servers=(("10.0.0.2", 53), ("10.0.0.3", 5353), ("fd00::2", 53)),
        reminder_days=(2, 5, 30),
        sweep_queue_url=QUEUE,
        sweep_requests_per_second=0.5,
        report_topic_arn=TOPIC,
        all_order_types=True,
    )


def test_config_reads_no_other_variables():
    assert set(VALID) == VARIABLES


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_missing_required_variable_is_named(name, value):
    environment = {**REQUIRED, name: value}
    if value is None:
        del environment[name]

    with pytest.raises(ConfigurationError, match=f"{name} is missing"):
        Config.from_environment(environment)


@pytest.mark.parametrize("name", sorted(VARIABLES - set(REQUIRED)))
def test_empty_optional_variable_means_its_default(name):
    assert config(**{name: " "}) == config()


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_whitespace_around_a_value_is_ignored(name):
    assert config(**{name: f" {VALID[name]}\n"}) == config(**{name: VALID[name]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("SENDING", value) for value in ("ON", "Off", "true", "false", "0", "1", "yes", "paused")),
        *(("ORDER_TYPES", value) for value in ("ALL", "Dv", "ov", "dv,ov", "true", "*")),
        *(("RECIPIENT_CHECK", value) for value in ("on", "OFF", "Enforce", "true", "false", "0", "warn", "enforced")),
        *(
            ("DNS_SERVERS", value)
            for value in (
                *(",", "10.0.0.2,", ",10.0.0.2", "10.0.0.2,,10.0.0.3", "10.0.0.2;10.0.0.3", "10.0.0.2/32"),
                *("10.0.0", "10.0.0.2.3", "10.0.0.256", "10.0.0.02", "1", "...", "0x0a000002", "\u0661\u0660.0.0.2"),
                *("10.0.0.2:", "10.0.0.2:0", "10.0.0.2:65536", "10.0.0.2:99999", "10.0.0.2:100000", "10.0.0.2:dns"),
                *("10.0.0.2:-53", "10.0.0.2:53:53", "10.0.0.2:\u0665\u0663", ":53", "[]", "[]:53", "[10.0.0.2]:53"),
                *("[fd00::2", "fd00::2]", "[fd00::2]53", "[fd00::2]:", "[fd00::2]:0", "[fd00::2]:65536", "fd00:::2"),
                *("fd00::2::3", "fd00::g", "[fd00::g]:53", "[[fd00::2]]:53", "[fd00::2]:53/tcp"),
                *("fe80::2%eth0", "[fe80::2%1]:53", "10.0.0.1 5", "10.0.0.2:5 3", "10.0. 0.2", "fd00::2 0"),
                *("dns.example.com", "dns.example.com:53", "localhost", "system", "https://10.0.0.2/dns-query"),
            )
        ),
        *(("COOL_DOWN_MINUTES", value) for value in ("0", "59", "-60", "1441", "60.5", "1e2", "60m", "nan", "sixty")),
        *(
            ("CERTCENTRAL_TIMEOUT_SECONDS", value)
            for value in ("0", "0.5", "10.1", "-5", "nan", "inf", "10s", "1,5", "ten")
        ),
        *(
            ("REMINDER_DAYS", value)
            for value in (",", "0", "0,1", "366", "-1", "3,1", "1,1", "1,,3", "1,3,", "1.5", "1;3", "one", "\u0663")
        ),
        *(
            ("SWEEP_REQUESTS_PER_SECOND", value)
            for value in ("0", "0.09", "50.1", "-1", "nan", "inf", "4/s", "1,5", "four", "1e1")
        ),
        *(
            ("REPORT_TOPIC_ARN", value)
            for value in (f"{TOPIC}.fifo", TOPIC.replace("sns", "sqs"), f"{TOPIC}:a-subscription", "reports")
        ),
    ],
)
def test_invalid_value_is_rejected_by_variable_name(name, value):
    with pytest.raises(ConfigurationError, match=f"^The environment variable {name} must be "):
        config(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        *(("COOL_DOWN_MINUTES", "60", 3600), ("COOL_DOWN_MINUTES", "1440", 86400)),
        *(("CERTCENTRAL_TIMEOUT_SECONDS", "1", 1.0), ("CERTCENTRAL_TIMEOUT_SECONDS", "10", 10.0)),
        *(("REMINDER_DAYS", "1", (1,)), ("REMINDER_DAYS", "1,365", (1, 365))),
        *(("SWEEP_REQUESTS_PER_SECOND", "0.1", 0.1), ("SWEEP_REQUESTS_PER_SECOND", "50", 50.0)),
    ],
)
def test_values_at_the_limits_are_accepted(name, value, parsed):
    field = "cool_down_seconds" if name == "COOL_DOWN_MINUTES" else name.lower()

    assert getattr(config(**{name: value}), field) == parsed


@pytest.mark.parametrize(
    ("value", "servers"),
    [
        *(("10.0.0.2", [("10.0.0.2", 53)]), ("10.0.0.2:53", [("10.0.0.2", 53)]), ("127.0.0.1:1", [("127.0.0.1", 1)])),
        *(("127.0.0.1:65535", [("127.0.0.1", 65535)]), ("fd00::2", [("fd00::2", 53)])),
        *(("[fd00::2]", [("fd00::2", 53)]), ("[fd00::2]:5353", [("fd00::2", 5353)]), ("::1", [("::1", 53)])),
        ("[::1]:5353", [("::1", 5353)]),
        # Without brackets, there is no port (RFC 3986, 3.2.2).
        *(("fd00::2:53", [("fd00::2:53", 53)]), ("[::ffff:10.0.0.2]:53", [("::ffff:10.0.0.2", 53)])),
        *(("FD00:0:0:0:0:0:0:2", [("fd00::2", 53)]), ("10.0.0.2,10.0.0.3", [("10.0.0.2", 53), ("10.0.0.3", 53)])),
        (" 10.0.0.3:5353 ,  [fd00::2]:54,fd00::3 ", [("10.0.0.3", 5353), ("fd00::2", 54), ("fd00::3", 53)]),
        # The order stays: the first server is asked first.
        ("10.0.0.9,10.0.0.1", [("10.0.0.9", 53), ("10.0.0.1", 53)]),
    ],
)
def test_dns_servers_are_addresses_with_or_without_ports(value, servers):
    assert config(DNS_SERVERS=value).dns_servers == tuple(servers)


@pytest.mark.parametrize(("value", "checks"), [("enforce", True), ("off", False), ("", True)])
def test_recipient_check_is_on_unless_switched_off(value, checks):
    assert config(RECIPIENT_CHECK=value).check_recipients is checks


@pytest.mark.parametrize(
    "url",
    [
        *("https://certcentral.digicert.eu/services/v2", "https://proxy.example.com:8443/services/v2"),
        *("https://proxy.example.com", f"https://{'a' * 63}.example.com/services/v2"),
        *("https://a-b.xn--mnchen-3ya.example/services/v2", "http://127.0.0.1:8080/services/v2"),
        *("http://127.8.8.8/services/v2", "http://[::1]:8080/services/v2", "http://localhost:8080/services/v2"),
    ],
)
def test_https_or_loopback_base_url_is_accepted_unchanged(url):
    assert config(CERTCENTRAL_BASE_URL=url).certcentral_base_url == url


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/services/v2", "http://www.digicert.com/services/v2"),
        *("http://127.0.0.1.example.com/services/v2", "http://localhost.example.com/services/v2"),
        *("http://0.0.0.0/services/v2", "http://10.0.0.1/services/v2", "http://169.254.169.254/services/v2"),
        *("ftp://example.com/services/v2", "file:///etc/passwd", "www.digicert.com/services/v2"),
        *("//www.digicert.com/services/v2", "https://", "https:///services/v2"),
        *("https://user@example.com/services/v2", "https://user:secret@example.com/services/v2"),
        *("https://:secret@example.com/services/v2", "https://www.digicert.com\\@example.com/services/v2"),
        *("https://example.com/services/v2?key=secret", "https://example.com/services/v2#part"),
        *("https://example.com:99999/services/v2", "https://example.com:port/services/v2", "https://[::1/services/v2"),
        *("https://exam\tple.com/services/v2", "https://example.com/services/v2?", "https://example.com/services/v2#"),
        *("https://exam ple.com/services/v2", "https://example.com/serv\nices/v2"),
        *("https://www..digicert.com/services/v2", "https://.digicert.com/services/v2"),
        *("https://www.digicert.com./services/v2", "https://-www.digicert.com/services/v2"),
        *("https://www-.digicert.com/services/v2", "https://www_x.digicert.com/services/v2"),
        *(f"https://{'a' * 64}.digicert.com/services/v2", "https://münchen.example/services/v2"),
    ],
)
def test_base_url_that_could_leak_the_key_is_rejected(url):
    with pytest.raises(ConfigurationError, match=r"^The environment variable CERTCENTRAL_BASE_URL must be "):
        config(CERTCENTRAL_BASE_URL=url)


def test_base_url_loses_its_final_slash():
    url = "https://certcentral.digicert.eu/services/v2/"

    assert config(CERTCENTRAL_BASE_URL=url).certcentral_base_url == "https://certcentral.digicert.eu/services/v2"


@pytest.mark.parametrize("name", sorted(VARIABLES - {"API_KEY_SECRET_ID", "SEND_RECORDS_TABLE", "SWEEP_QUEUE_URL"}))
def test_secret_in_the_wrong_variable_is_not_echoed(name):
    with pytest.raises(ConfigurationError) as caught:
        config(**{name: "pasted-5ecre7"})

    assert "5ecre7" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.text() | st.from_regex(r"https?://.*|[0-9a-f.:\[\], ]*")))
def test_any_environment_is_valid_or_rejected_by_name(values):
    message: str | None = None
    try:
        found = Config.from_environment(REQUIRED | values)
    except ConfigurationError as error:
        message = error.message
    else:
        assert found.certcentral_base_url.lower().startswith(("https://", "http://"))
        assert 3600 <= found.cool_down_seconds <= 86400
        assert 1 <= found.certcentral_timeout_seconds <= 10
        assert found.reminder_days == tuple(sorted(set(found.reminder_days)))
        assert found.reminder_days
        assert 0.1 <= found.sweep_requests_per_second <= 50
        assert all(ipaddress.ip_address(host) and 0 < port < 65536 for host, port in found.dns_servers)
        assert found.sweep_queue_url is None or found.sweep_queue_url

    assert message is None or any(name in message for name in VARIABLES)
