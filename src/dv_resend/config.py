"""The settings: environment variables, read once and validated into a frozen `Config`."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from dv_resend.errors import ConfigurationError

# DigiCert's US instance; the EU one is https://certcentral.digicert.eu/services/v2 (Services API, base URLs).
DEFAULT_BASE_URL = "https://www.digicert.com/services/v2"

# Neither user nor query nor fragment, not even an empty one: the order's path would land in it.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_BASE_URL = re.compile(
    rf"(https?)://({_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(:[0-9]{{1,5}})?(?:/[A-Za-z0-9._~-]+)*/?", re.ASCII
)
_SERVER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?", re.ASCII)
DNS_PORT = 53
# Of a standard topic: a FIFO topic (`.fifo`) cannot deliver to people ("Message delivery for FIFO topics", SNS guide).
_TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+", re.ASCII)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class Config:
    """The settings of one deployment. Build it with `from_environment`, which validates.

    Example:
        >>> Config.from_environment({"API_KEY_SECRET_ID": "dv-resend/api-key", "SEND_RECORDS_TABLE": "a-table"}).sending
        True
    """

    api_key_secret_id: str
    send_records_table: str
    certcentral_base_url: str
    certcentral_timeout_seconds: float
    cool_down_seconds: int
    sending: bool
    check_recipients: bool
    dns_servers: tuple[tuple[str, int], ...]
    """Address and port of each resolver to ask; none means the system's."""
    reminder_days: tuple[int, ...]
    sweep_queue_url: str | None
    sweep_requests_per_second: float
    report_topic_arn: str | None
    all_order_types: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Read and validate all settings.

        Raises `ConfigurationError` that names the variable if one is missing or invalid.
        """

        def read[T](name: str, parse: Callable[[str], T], expected: str, default: str | None = None) -> T:
            text = environment.get(name, "").strip() or default
            if text is None:
                raise ConfigurationError(f"The environment variable {name} is missing; it must be {expected}.")
            try:
                return parse(text)
            except ValueError:
                # The value itself is left out: it may be a secret pasted into the wrong variable.
                raise ConfigurationError(f"The environment variable {name} must be {expected}.") from None

        return cls(
            api_key_secret_id=read("API_KEY_SECRET_ID", str, "the name or ARN of the secret with the API key"),
            send_records_table=read("SEND_RECORDS_TABLE", str, "the name of the table of send records"),
            certcentral_base_url=read(
                "CERTCENTRAL_BASE_URL",
                _base_url,
                "an https address without user, query or fragment (http on loopback only)",
                DEFAULT_BASE_URL,
            ),
            # A call is only made if its time-outs fit into what is left of the 29 s of a function behind an API.
            certcentral_timeout_seconds=read(
                "CERTCENTRAL_TIMEOUT_SECONDS",
                _number_within(float, 1.0, 10.0),
                "a number of seconds from 1 to 10",
                "10",
            ),
            # An asynchronous event may be delivered again for up to an hour (template.yaml).
            cool_down_seconds=60
            * read("COOL_DOWN_MINUTES", _number_within(int, 60, 1440), "a whole number from 60 to 1440", "60"),
            sending=read("SENDING", _one_of("on", "off"), "`on` or `off`", "on"),
            check_recipients=read("RECIPIENT_CHECK", _one_of("enforce", "off"), "`enforce` or `off`", "enforce"),
            dns_servers=read(
                "DNS_SERVERS", _servers, "IP addresses with or without ports, such as 10.0.0.2:53, joined by commas", ""
            ),
            reminder_days=read(
                "REMINDER_DAYS", _days, "ascending whole days from 1 to 365, joined by commas", "1,3,7,14,21"
            ),
            sweep_queue_url=read("SWEEP_QUEUE_URL", str, "the URL of the reminder queue", "") or None,
            sweep_requests_per_second=read(
                "SWEEP_REQUESTS_PER_SECOND", _number_within(float, 0.1, 50.0), "a number from 0.1 to 50", "4"
            ),
            report_topic_arn=read("REPORT_TOPIC_ARN", _topic_arn, "the ARN of a standard SNS topic", "") or None,
            all_order_types=read("ORDER_TYPES", _one_of("all", "dv"), "`dv` or `all`", "dv"),
        )


def _base_url(text: str) -> str:
    match = _BASE_URL.fullmatch(text)
    if not match or urlsplit(text).port == 0:  # `port` raises ValueError above 65535
        raise ValueError
    if match[1] == "http" and not _is_loopback(match[2].strip("[]")):
        raise ValueError
    return text.removesuffix("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _number_within[N: (int, float)](kind: Callable[[str], N], low: N, high: N) -> Callable[[str], N]:
    def parse(text: str) -> N:
        if not _NUMBER.fullmatch(text) or not low <= kind(text) <= high:
            raise ValueError
        return kind(text)

    return parse


def _days(text: str) -> tuple[int, ...]:
    days = tuple(map(_number_within(int, 1, 365), text.replace(" ", "").split(",")))
    if list(days) != sorted(set(days)):
        raise ValueError
    return days


def _topic_arn(text: str) -> str:
    if text and not _TOPIC_ARN.fullmatch(text):
        raise ValueError
    return text


def _one_of(yes: str, no: str) -> Callable[[str], bool]:
    def parse(text: str) -> bool:
        if text not in (yes, no):
            raise ValueError
        return text == yes

    return parse


def _servers(text: str) -> tuple[tuple[str, int], ...]:
    return tuple(_server(part.strip()) for part in text.split(",")) if text else ()


def _server(text: str) -> tuple[str, int]:
    """Split ``10.0.0.2``, ``10.0.0.2:53``, ``fd00::2`` or ``[fd00::2]:53`` (RFC 3986, 3.2.2)."""
    if "%" in text:  # the zone of an address that only one link knows
        raise ValueError
    match = _SERVER.fullmatch(text)
    if not match:
        return str(ipaddress.IPv6Address(text)), DNS_PORT
    port = int(match[3] or DNS_PORT)
    if not 0 < port <= 65535:
        raise ValueError
    return str(ipaddress.IPv6Address(match[1]) if match[1] else ipaddress.IPv4Address(match[2])), port
