"""The DNS server that other tests lean on, asked by dnspython's own resolver over loopback."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.resolver
import pytest

from dev.emulator.nameserver import FAULTS, NameServer, Query, Zone
from unit.loopback import has_ipv6

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
    deadline = time.monotonic() + 5
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


def test_records_are_served_as_they_were_set(server: NameServer, zone: Zone) -> None:
    zone.set(NAME, "CAA", ['0 contactemail "pki@example.com"', '0 issue "digicert.com"'])

    assert resolve(server) == MX
    assert [value.lower() for value in resolve(server, "EXAMPLE.com.")] == MX
    assert resolve(server, type_="CAA") == ['0 contactemail "pki@example.com"', '0 issue "digicert.com"']
    assert [(query.name, query.type) for query in server.queries] == [(NAME, "MX"), (NAME, "MX"), (NAME, "CAA")]

    zone.set(NAME, "MX", ["20 other.example.com"])
    assert resolve(server) == ["20 other.example.com."]


def test_a_text_of_several_strings_stays_several_strings(server: NameServer, zone: Zone) -> None:
    zone.set(NAME, "TXT", ['"pki@" "example.com"', r'"a \"quoted\" one"'])

    records = {record.strings for record in resolver_of(server).resolve(NAME, "TXT")}

    assert records == {(b"pki@", b"example.com"), (b'a "quoted" one',)}


def test_a_cname_is_followed_to_the_records_of_its_target(server: NameServer, zone: Zone) -> None:
    zone.set("www.example.com", "CNAME", ["alias.example.com."])
    zone.set("alias.example.com", "CNAME", ["example.com."])

    answer = resolver_of(server).resolve("www.example.com", "MX")

    assert [record.to_text() for record in answer] == MX
    assert answer.canonical_name.to_text() == "example.com."
    assert len(server.queries) == 1


@pytest.mark.parametrize(
    ("target", "raised"),
    [
        ("nowhere.test.", dns.resolver.NXDOMAIN),
        ("below.example.com.", dns.resolver.NoAnswer),
        ("loop.example.com.", dns.resolver.NoNameservers),
    ],
)
def test_a_cname_that_leads_nowhere(server: NameServer, zone: Zone, target: str, raised: type[Exception]) -> None:
    zone.set("loop.example.com", "CNAME", [target])
    zone.set("a.below.example.com", "TXT", ['"x"'])

    with pytest.raises(raised):
        resolve(server, "loop.example.com")


@pytest.mark.parametrize("name", ["nowhere.test", "sub.example.com", "notexample.com", "ple.com"])
def test_an_unknown_name_does_not_exist(server: NameServer, zone: Zone, name: str) -> None:  # noqa: ARG001
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolve(server, name)


def test_a_name_exists_with_other_types_or_with_a_name_below_it(server: NameServer, zone: Zone) -> None:
    zone.set("_validation-contactemail.sub.example.com", "TXT", ['"x"'])

    for name, type_ in [(NAME, "TXT"), ("sub.example.com", "MX"), ("com", "MX")]:
        with pytest.raises(dns.resolver.NoAnswer):
            resolve(server, name, type_)


def test_what_is_taken_away_is_gone(server: NameServer, zone: Zone) -> None:
    zone.set("a.test", "MX", MX)
    zone.remove("A.test", "mx")
    zone.set(NAME, "TXT", ['"x"'])
    zone.set(NAME, "TXT", [])

    with pytest.raises(dns.resolver.NXDOMAIN):
        resolve(server, "a.test")
    with pytest.raises(dns.resolver.NoAnswer):
        resolve(server, NAME, "TXT")


def test_derived_records_are_served_unless_others_were_set_or_they_were_taken_away() -> None:
    derived = {("a.test", "MX"): ["1 derived."], ("b.test", "MX"): ["1 derived."], ("c.test", "MX"): ["1 derived."]}
    zone = Zone(lambda: derived)
    zone.set("b.test", "MX", ["2 set."])
    zone.remove("c.test", "MX")

    with NameServer(zone) as server:
        assert (resolve(server, "a.test"), resolve(server, "b.test")) == (["1 derived."], ["2 set."])
        with pytest.raises(dns.resolver.NXDOMAIN):
            resolve(server, "c.test")
        del derived["a.test", "MX"]
        with pytest.raises(dns.resolver.NXDOMAIN):
            resolve(server, "a.test")
        zone.clear()
        assert resolve(server, "c.test") == ["1 derived."]


def test_a_derived_record_that_is_none_is_the_servers_failure() -> None:
    zone = Zone(lambda: {(NAME, "MX"): ["no preference"]})
    with NameServer(zone) as server, pytest.raises(dns.resolver.NoNameservers, match="SERVFAIL"):
        resolve(server)


@pytest.mark.parametrize(
    ("name", "type_", "values", "said"),
    [
        ("a..b", "MX", MX, "name"),
        ("x" * 64 + ".test", "MX", [], "name"),
        ("a.test", "NONSENSE", MX, "type"),
        ("a.test", "MX", ["mail.example.com."], "values"),
        ("a.test", "CAA", ["0 contactemail"], "values"),
    ],
)
def test_what_is_no_record_is_refused_and_changes_nothing(name: str, type_: str, values: list[str], said: str) -> None:
    zone = Zone()
    with pytest.raises(ValueError, match=f"^{said} must be"):
        zone.set(name, type_, values)
    assert zone.records() == {}


# ---------------------------------------------------------------- size


def test_a_large_answer_is_truncated_over_udp_and_whole_over_tcp(server: NameServer, zone: Zone) -> None:
    zone.set(NAME, "TXT", MANY)

    assert len(resolve(server, NAME, "TXT")) == len(MANY)

    assert server.queries == [Query(NAME, "TXT", "udp"), Query(NAME, "TXT", "tcp")]


def test_edns_makes_room_over_udp(server: NameServer, zone: Zone) -> None:
    zone.set(NAME, "TXT", MANY)

    for payload, transports in [(4096, ["udp"]), (600, ["udp", "tcp"])]:
        server.clear_queries()
        resolver = resolver_of(server)
        resolver.use_edns(0, payload=payload)
        assert len(resolver.resolve(NAME, "TXT")) == len(MANY)
        assert [query.transport for query in server.queries] == transports


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("kind", "raised", "said"),
    [
        ("servfail", dns.resolver.NoNameservers, "SERVFAIL"),
        ("refused", dns.resolver.NoNameservers, "REFUSED"),
        ("silent", dns.resolver.LifetimeTimeout, "timed out"),
        ("garbage", dns.resolver.LifetimeTimeout, "timed out"),
    ],
)
def test_a_fault_of_a_name_strikes_until_it_is_cleared(
    server: NameServer, zone: Zone, kind: str, raised: type[Exception], said: str
) -> None:
    zone.fault(NAME, kind)

    with pytest.raises(raised, match=said):
        resolve(server, seconds=0.3)
    assert server.queries[0] == Query(NAME, "MX", "udp")

    zone.clear_faults()
    assert resolve(server) == MX


@pytest.mark.parametrize("kind", ["silent", "garbage"])
def test_faults_strike_over_tcp_too(server: NameServer, zone: Zone, kind: str) -> None:
    zone.fault(NAME, kind)
    query = dns.message.make_query(NAME, "MX")

    with pytest.raises(dns.exception.Timeout if kind == "silent" else dns.exception.FormError):
        dns.query.tcp(query, "127.0.0.1", timeout=0.2, port=port_of(server))


def test_truncated_says_nothing_over_udp_and_everything_over_tcp(server: NameServer, zone: Zone) -> None:
    zone.fault(NAME, "truncated")
    query = dns.message.make_query(NAME, "MX")

    answer = dns.query.udp(query, "127.0.0.1", timeout=5, port=port_of(server))
    assert answer.flags & dns.flags.TC
    assert answer.answer == []

    assert resolve(server) == MX
    assert [query.transport for query in server.queries] == ["udp", "udp", "tcp"]


def test_slow_answers_in_the_end(server: NameServer, zone: Zone) -> None:
    zone.fault(NAME, "slow", seconds=0.2)

    start = time.monotonic()
    assert resolve(server) == MX
    assert time.monotonic() - start >= 0.2


def test_slow_keeps_nobody_else_waiting(server: NameServer, zone: Zone) -> None:
    zone.fault("slow.test", "slow", seconds=60)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(dns.message.make_query("slow.test", "MX").to_wire(), ("127.0.0.1", port_of(server)))
        eventually(lambda: server.queries)

        assert resolve(server) == MX


def test_a_fault_may_be_for_one_type_alone(server: NameServer, zone: Zone) -> None:
    zone.set(NAME, "TXT", ['"x"'])
    zone.fault(NAME, "silent")
    zone.fault("EXAMPLE.com.", "refused", "txt")
    zone.fault("b.test", "servfail", "MX")

    with pytest.raises(dns.resolver.NoNameservers, match="REFUSED"):
        resolve(server, NAME, "TXT")
    with pytest.raises(dns.resolver.LifetimeTimeout):
        resolve(server, NAME, "MX", 0.2)
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolve(server, "b.test", "TXT")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"name": NAME, "kind": "nonsense"}, "fault"),
        ({"name": "a..b", "kind": "silent"}, "name"),
        ({"name": NAME, "kind": "silent", "type_": "NONSENSE"}, "type"),
        ({"name": NAME, "kind": "slow"}, "seconds"),
        ({"name": NAME, "kind": "slow", "seconds": -1}, "seconds"),
        ({"name": NAME, "kind": "silent", "seconds": 1}, "seconds"),
    ],
)
def test_what_is_no_fault_is_refused(fault: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said} "):
        Zone().fault(**fault)


# ---------------------------------------------------------------- the wire


def test_several_queries_on_one_tcp_connection(server: NameServer, zone: Zone) -> None:  # noqa: ARG001
    with socket.create_connection(("127.0.0.1", port_of(server))) as connection:
        for name, rcode in [(NAME, dns.rcode.NOERROR), ("nowhere.test", dns.rcode.NXDOMAIN)]:
            dns.query.send_tcp(connection, dns.message.make_query(name, "MX"))
            answer, _ = dns.query.receive_tcp(connection)
            assert (answer.rcode(), len(answer.question)) == (rcode, 1)


def test_what_is_no_query_gets_no_answer_and_does_no_harm(server: NameServer, zone: Zone) -> None:  # noqa: ARG001
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port_of(server)))
        client.send(b"")
        client.send(b"\x00" * 5)
        client.send(dns.message.make_response(dns.message.make_query(NAME, "MX")).to_wire())
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(512)

    notify = dns.message.make_query(NAME, "MX")
    notify.set_opcode(dns.opcode.NOTIFY)
    assert dns.query.udp(notify, "127.0.0.1", 5, port_of(server)).rcode() == dns.rcode.NOTIMP
    assert resolve(server) == MX


def test_closing_is_quick_and_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    server = NameServer(Zone())
    port = port_of(server)
    for kind in FAULTS:
        server.zone.fault(f"{kind}.test", kind, seconds=60 if kind == "slow" else 0)
    with socket.create_connection(("127.0.0.1", port)) as idle, socket.create_connection(("127.0.0.1", port)) as silent:
        dns.query.send_tcp(silent, dns.message.make_query("silent.test", "MX"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as slow:
            slow.connect(("127.0.0.1", port))
            slow.send(dns.message.make_query("slow.test", "MX").to_wire())
            eventually(lambda: len(server.queries) == 2)

        start = time.monotonic()
        server.close()
        server.close()

        assert time.monotonic() - start < 1
        assert set(threading.enumerate()) <= before
        assert (idle.recv(1), silent.recv(1)) == (b"", b"")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
    NameServer(Zone(), port=port).close()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_it_listens_on_ipv6_too() -> None:
    with NameServer(Zone(), host="::1") as server:
        server.zone.set(NAME, "MX", MX)
        assert server.address == f"[::1]:{port_of(server)}"
        assert resolve(server) == MX


def test_a_port_that_is_taken_is_an_error(server: NameServer) -> None:
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="in use"):
        NameServer(Zone(), port=port_of(server))
    assert set(threading.enumerate()) <= before


def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        NameServer(Zone(), host="0.0.0.0")  # noqa: S104
