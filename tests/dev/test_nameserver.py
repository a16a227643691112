"""What other tests rely on in the emulator's DNS server, queried by dnspython over loopback."""

from collections.abc import Iterator

import dns.resolver
import pytest

from dev.emulator.nameserver import NameServer, Query, Zone

NAME = "example.com"
MX = ["10 mail.example.com."]
# More than fits into 512 bytes.
MANY = [f'"contact-{number:03}@{NAME} {"x" * 60}"' for number in range(20)]


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(Zone()) as running:
        yield running


@pytest.fixture
def zone(server: NameServer) -> Zone:
    server.zone.set(NAME, "MX", MX)
    return server.zone


def resolve(server: NameServer, name: str = NAME, type_: str = "MX", seconds: float = 5) -> list[str]:
    resolver = dns.resolver.Resolver(configure=False)
    host, _, port = server.address.rpartition(":")
    resolver.nameservers, resolver.port, resolver.lifetime = [host], int(port), seconds
    return sorted(record.to_text() for record in resolver.resolve(name, type_, search=False))


# ---------------------------------------------------------------- records


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("MX", ["0 ."]),
        ("CAA", ['0 contactemail "pki@example.com"', '0 issue "digicert.com"']),
        ("TXT", ['"pki@" "example.com"']),
        ("TXT", [r'"a \"quoted\" \\ one"']),
        ("TXT", [r'"\000\127\200"']),
    ],
)
def test_records_are_served_as_set(server: NameServer, type_: str, values: list[str]) -> None:
    server.zone.set(NAME, type_, values)

    assert resolve(server, type_=type_) == values


@pytest.mark.parametrize(("name", "type_"), [(NAME, "TXT"), ("sub.example.com", "MX"), ("com", "MX")])
def test_name_with_other_records_or_names_below_exists(server: NameServer, zone: Zone, name: str, type_: str) -> None:
    zone.set("_validation-contactemail.sub.example.com", "TXT", ['"x"'])

    with pytest.raises(dns.resolver.NoAnswer):
        resolve(server, name, type_)


# ---------------------------------------------------------------- size


def test_large_answer_needs_tcp(server: NameServer, zone: Zone) -> None:
    zone.set(NAME, "TXT", MANY)

    assert len(resolve(server, NAME, "TXT")) == len(MANY)

    assert server.queries == [Query(NAME, "TXT", "udp"), Query(NAME, "TXT", "tcp")]


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("fault", "raised", "said"),
    [
        ("servfail", dns.resolver.NoNameservers, "SERVFAIL"),
        ("refused", dns.resolver.NoNameservers, "REFUSED"),
        ("silent", dns.resolver.LifetimeTimeout, "timed out"),
        ("garbage", dns.resolver.LifetimeTimeout, "timed out"),
    ],
)
def test_fault_strikes_until_cleared(
    server: NameServer, zone: Zone, fault: str, raised: type[Exception], said: str
) -> None:
    zone.fault(NAME, fault)
    with pytest.raises(raised, match=said):
        resolve(server, seconds=0.3 if raised is dns.resolver.LifetimeTimeout else 30)

    zone.clear_faults()

    assert resolve(server) == MX


# ---------------------------------------------------------------- the server


def test_server_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        NameServer(Zone(), host="0.0.0.0")  # noqa: S104
