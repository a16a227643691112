"""What other tests rely on in the emulator's DNS server, queried by dnspython over loopback."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import dns.exception
import dns.flags
import dns.message
import dns.query
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


def port_of(server: NameServer) -> int:
    return int(server.address.rpartition(":")[2])


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def resolver_of(server: NameServer, seconds: float = 5) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server.address.rpartition(":")[0].strip("[]")]
    resolver.port = port_of(server)
    resolver.lifetime = seconds
    return resolver


def resolve(server: NameServer, name: str = NAME, type_: str = "MX", seconds: float = 5) -> list[str]:
    answer = resolver_of(server, seconds).resolve(name, type_, search=False)
    return sorted(record.to_text() for record in answer)


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


def test_names_are_compared_without_case(server: NameServer, zone: Zone) -> None:  # noqa: ARG001
    assert [value.lower() for value in resolve(server, "EXAMPLE.com.")] == MX
    assert server.queries == [Query(NAME, "MX", "udp")]


def test_cname_is_followed_in_one_answer(server: NameServer, zone: Zone) -> None:
    zone.set("www.example.com", "CNAME", ["alias.example.com."])
    zone.set("alias.example.com", "CNAME", ["example.com."])

    assert resolve(server, "www.example.com") == MX
    assert len(server.queries) == 1


@pytest.mark.parametrize(("name", "type_"), [(NAME, "TXT"), ("sub.example.com", "MX"), ("com", "MX")])
def test_name_with_other_records_or_names_below_exists(server: NameServer, zone: Zone, name: str, type_: str) -> None:
    zone.set("_validation-contactemail.sub.example.com", "TXT", ['"x"'])

    with pytest.raises(dns.resolver.NoAnswer):
        resolve(server, name, type_)


def test_set_and_removed_records_override_derived_ones() -> None:
    derived = {(name, "MX"): ["1 derived."] for name in ("a.test", "b.test", "c.test")}
    zone = Zone(lambda: derived)
    zone.set("b.test", "MX", ["2 set."])
    zone.remove("c.test", "MX")
    with NameServer(zone) as server:
        assert (resolve(server, "a.test"), resolve(server, "b.test")) == (["1 derived."], ["2 set."])
        with pytest.raises(dns.resolver.NXDOMAIN):
            resolve(server, "c.test")

        zone.clear()

        assert resolve(server, "c.test") == ["1 derived."]


def test_unreadable_derived_record_is_servfail() -> None:
    zone = Zone(lambda: {(NAME, "MX"): ["no preference"]})
    with NameServer(zone) as server, pytest.raises(dns.resolver.NoNameservers, match="SERVFAIL"):
        resolve(server)


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


def test_fault_may_strike_one_type_only(server: NameServer, zone: Zone) -> None:
    zone.fault("EXAMPLE.com.", "refused", "txt")

    with pytest.raises(dns.resolver.NoNameservers, match="REFUSED"):
        resolve(server, NAME, "TXT")
    assert resolve(server) == MX


# ---------------------------------------------------------------- the server


def test_close_ends_waiting_queries_and_threads() -> None:
    before = set(threading.enumerate())
    server = NameServer(Zone())
    server.zone.fault("silent.test", "silent")
    server.zone.fault("slow.test", "slow", seconds=600)
    with (
        socket.create_connection(("127.0.0.1", port_of(server))) as silent,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as slow,
    ):
        dns.query.send_tcp(silent, dns.message.make_query("silent.test", "MX"))
        slow.sendto(dns.message.make_query("slow.test", "MX").to_wire(), ("127.0.0.1", port_of(server)))
        eventually(lambda: len(server.queries) == 2)

        server.close()
        server.close()

        assert silent.recv(1) == b""
        eventually(lambda: set(threading.enumerate()) <= before)
    NameServer(Zone(), port=port_of(server)).close()


def test_server_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        NameServer(Zone(), host="0.0.0.0")  # noqa: S104
