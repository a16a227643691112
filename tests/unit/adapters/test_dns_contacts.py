"""The DNS lookups of a request, with a name server on loopback: contacts, MX records, and wrong answers."""

import io
import socketserver
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import dns.message
import dns.resolver
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dev.emulator.nameserver import NameServer, Zone
from dev.faults.network import has_ipv6
from dev.faults.servers import running
from dv_resend.adapters import dns_contacts
from dv_resend.adapters.dns_contacts import DnsContacts
from dv_resend.core.addresses import parse_email
from dv_resend.core.recipients import Contacts

NAME = "example.com"
WWW = "www.example.com"
PKI = "pki@mail.test"
NOTHING = Contacts()
CONTACT = f'0 contactemail "{PKI}"'
LOOKUP_SECONDS, TRY_SECONDS = dns_contacts.LOOKUP_SECONDS, dns_contacts._TRY_SECONDS


type Lookup = Callable[[], DnsContacts]
type FindContacts = Callable[[str], Contacts]
type Answer = Callable[[bytes], bytes]
"""Makes the answer to a query, both in wire format."""


def label(name: str) -> str:
    return f"_validation-contactemail.{name}"


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with NameServer(Zone()) as started:
        yield started


@pytest.fixture
def zone(server: NameServer) -> Zone:
    """Start with no records, no faults and no queries."""
    server.zone.clear()
    server.clear_queries()
    return server.zone


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait longer than in production, because this machine may be busy."""
    monkeypatch.setattr(dns_contacts, "LOOKUP_SECONDS", 30)


@pytest.fixture
def _hurried(_patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for silent servers less long than in production."""
    monkeypatch.setattr(dns_contacts, "LOOKUP_SECONDS", 0.3)
    monkeypatch.setattr(dns_contacts, "_TRY_SECONDS", 0.1)


def address_of(server: NameServer) -> tuple[str, int]:
    host, _, port = server.address.rpartition(":")
    return host.strip("[]"), int(port)


@pytest.fixture
def lookup(server: NameServer, zone: Zone) -> Lookup:  # noqa: ARG001
    return lambda: DnsContacts((address_of(server),))


@pytest.fixture
def contacts(lookup: Lookup) -> FindContacts:
    return lambda name: lookup().contacts([name])[name]


def queries(server: NameServer) -> list[tuple[str, str]]:
    return [(query.name, query.type) for query in server.queries]


def unanswered(found: Contacts, kind: str, name: str) -> bool:
    return (found.failure or "").startswith(f"DNS did not answer for {kind} of {name} (")


def unasked(found: Contacts, name: str) -> bool:
    return found.failure == f"TXT of {label(name)} was not asked in time"


def make_silent(zone: Zone, name: str) -> None:
    zone.fault(label(name), "silent")
    zone.fault(name, "silent")


# TXT


def test_txt_contacts_of_all_parent_domains_count(zone: Zone, contacts: FindContacts) -> None:
    zone.set(label(NAME), "TXT", ['"top@mail.test"'])
    zone.set(label(f"b.{NAME}"), "TXT", ['"middle@mail.test"'])
    zone.set(label(f"a.b.{NAME}"), "TXT", ['"low@mail.test"'])

    assert contacts(f"a.b.{NAME}").txt == ("low@mail.test", "middle@mail.test", "top@mail.test")
    assert contacts(f"b.{NAME}").txt == ("middle@mail.test", "top@mail.test")
    assert contacts(NAME).txt == ("top@mail.test",)


def test_txt_contacts_are_sorted(zone: Zone, contacts: FindContacts) -> None:
    zone.set(label(NAME), "TXT", ['"c@mail.test"', '"a@mail.test"', '"b@mail.test"'])

    assert contacts(NAME).txt == ("a@mail.test", "b@mail.test", "c@mail.test")


def test_txt_record_of_several_strings_is_one_contact(zone: Zone, contacts: FindContacts) -> None:
    zone.set(label(NAME), "TXT", ['"pki@" "mail" ".test"'])

    assert contacts(NAME).txt == (PKI,)


def test_txt_contact_published_twice_is_one_contact(zone: Zone, contacts: FindContacts) -> None:
    zone.set(label(WWW), "TXT", [f'"{PKI}"', '"pki@MAIL.test"'])
    zone.set(label(NAME), "TXT", [f'"{PKI}"'])

    assert contacts(WWW).txt == (PKI,)


@pytest.mark.parametrize(
    "text",
    [
        '" pki@mail.test"',
        '"pki@mail.test\\010"',
        '"\\000pki@mail.test"',
        '"pki@mail.test" " other@mail.test"',
        '"mailto:pki@mail.test"',
        '"pki@mail.test."',
        '""',
        '"pki\\255@mail.test"',
        '"pki@mail\\255.test"',
        '"p\\195\\164ki@mail.test"',
    ],
)
def test_txt_record_that_is_not_one_address_is_no_contact(zone: Zone, contacts: FindContacts, text: str) -> None:
    zone.set(label(NAME), "TXT", [text, '"good@mail.test"'])

    assert contacts(NAME) == Contacts(txt=("good@mail.test",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [('"pki@b\\195\\188cher.example"', "pki@xn--bcher-kva.example"), ('"Pki@MAIL.test"', "Pki@mail.test")],
)
def test_contact_host_is_normalised(zone: Zone, contacts: FindContacts, text: str, expected: str) -> None:
    zone.set(label(NAME), "TXT", [text])
    zone.set(NAME, "CAA", [f"0 contactemail {text}"])

    assert contacts(NAME) == Contacts(txt=(expected,), caa=(expected,))


# CAA


def test_caa_record_set_may_have_several_contacts(zone: Zone, contacts: FindContacts) -> None:
    zone.set(NAME, "CAA", [CONTACT, '128 contactemail "other@mail.test"', '0 contactphone "+1 555"'])

    assert contacts(NAME).caa == ("other@mail.test", PKI)


def test_caa_tag_is_case_insensitive(zone: Zone, contacts: FindContacts) -> None:
    zone.set(NAME, "CAA", [f'0 ContactEmail "{PKI}"'])

    assert contacts(NAME).caa == (PKI,)


@pytest.mark.parametrize("record", [f'0 issue "{PKI}"', f'0 contactemails "{PKI}"', f'0 contactemail " {PKI}"'])
def test_caa_record_without_an_address_is_no_contact(zone: Zone, contacts: FindContacts, record: str) -> None:
    zone.set(NAME, "CAA", [record])

    assert contacts(NAME) == NOTHING


def test_caa_of_the_first_domain_that_has_any_decides(zone: Zone, contacts: FindContacts) -> None:
    zone.set(f"b.{NAME}", "CAA", [CONTACT])
    zone.set(NAME, "CAA", ['0 contactemail "top@mail.test"'])

    assert contacts(f"a.b.{NAME}").caa == (PKI,)
    assert contacts(NAME).caa == ("top@mail.test",)


@pytest.mark.parametrize("record", ['0 contactemail "no address"', '0 issue ";"'])
def test_caa_without_a_contact_ends_the_search(zone: Zone, contacts: FindContacts, record: str) -> None:
    zone.set(WWW, "CAA", [record])
    zone.set(NAME, "CAA", [CONTACT])

    assert contacts(WWW) == NOTHING


def test_caa_behind_a_cname_ends_the_search(zone: Zone, contacts: FindContacts) -> None:
    zone.set(WWW, "CNAME", ["host.provider.test"])
    zone.set("host.provider.test", "CAA", [CONTACT])
    zone.set(NAME, "CAA", ['0 contactemail "top@mail.test"'])

    assert contacts(WWW).caa == (PKI,)


# The queries


@pytest.mark.parametrize(
    ("name", "domains"),
    [
        ("www.example.co.uk", ["www.example.co.uk", "example.co.uk"]),
        ("team.github.io", ["team.github.io"]),
        ("a.b.example.com", ["a.b.example.com", "b.example.com", "example.com"]),
    ],
)
def test_public_suffix_is_never_queried(
    zone: Zone, contacts: FindContacts, server: NameServer, name: str, domains: list[str]
) -> None:
    for suffix in ("uk", "co.uk", "com"):
        zone.set(label(suffix), "TXT", ['"registry@mail.test"'])
        zone.set(suffix, "CAA", ['0 contactemail "registry@mail.test"'])

    assert contacts(name) == NOTHING
    questions = [question for domain in domains for question in ((label(domain), "TXT"), (domain, "CAA"))]
    assert Counter(queries(server)) == Counter(questions)


def test_no_domains_make_no_queries(lookup: Lookup, server: NameServer) -> None:
    assert lookup().contacts([]) == {}
    assert lookup().has_mx(iter(())) == {}
    assert server.queries == []


def test_hundred_names_share_the_queries_about_their_parent(zone: Zone, lookup: Lookup, server: NameServer) -> None:
    zone.set(label(NAME), "TXT", [f'"{PKI}"'])
    names = [f"n{number}.{NAME}" for number in range(100)]

    found = lookup().contacts(names)

    assert found == dict.fromkeys(names, Contacts(txt=(PKI,)))
    questions = [question for name in [NAME, *names] for question in ((label(name), "TXT"), (name, "CAA"))]
    assert Counter(queries(server)) == Counter(questions)


def test_name_too_long_for_the_prefix_may_have_a_caa_contact(
    zone: Zone, contacts: FindContacts, server: NameServer
) -> None:
    name = ".".join(["x" * 60] * 4) + ".test"
    assert len(label(name)) > 253 >= len(name)
    zone.set(name, "CAA", [CONTACT])

    assert contacts(name) == Contacts(caa=(PKI,))
    assert (label(name), "TXT") not in queries(server)
    assert (label(name.partition(".")[2]), "TXT") in queries(server)


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "unknown", "a b.example", "b\u00fccher.example", "x" * 64 + ".test", "\\300.test", "\x00.test"],
)
def test_invalid_name_has_no_contacts_and_no_mx(lookup: Lookup, name: str) -> None:
    assert lookup().contacts([name]) == {name: NOTHING}
    assert lookup().has_mx([name]) == {name: False}


# Failures


@pytest.mark.parametrize(("at", "kind"), [(label(NAME), "TXT"), (NAME, "CAA")])
def test_failing_server_is_a_failure(zone: Zone, contacts: FindContacts, at: str, kind: str) -> None:
    zone.fault(at, "servfail", kind)

    found = contacts(NAME)

    assert found.addresses == []
    assert found.failure == f"DNS did not answer for {kind} of {at} (NoNameservers)"


def test_contacts_are_found_though_one_query_fails(zone: Zone, contacts: FindContacts) -> None:
    zone.fault(label(WWW), "servfail")
    zone.set(label(NAME), "TXT", ['"txt@mail.test"'])
    zone.set(NAME, "CAA", ['0 contactemail "caa@mail.test"'])

    found = contacts(WWW)

    assert (found.txt, found.caa) == (("txt@mail.test",), ("caa@mail.test",))
    assert unanswered(found, "TXT", label(WWW))


def test_unanswered_caa_query_ends_the_search(zone: Zone, contacts: FindContacts) -> None:
    zone.fault(WWW, "servfail", "CAA")
    zone.set(NAME, "CAA", [CONTACT])

    found = contacts(WWW)

    assert found.caa == ()
    assert unanswered(found, "CAA", WWW)


def test_first_of_several_failures_is_reported(zone: Zone, contacts: FindContacts) -> None:
    zone.fault(label(NAME), "refused")
    zone.fault(NAME, "servfail", "CAA")

    assert unanswered(contacts(NAME), "TXT", label(NAME))


@pytest.mark.usefixtures("_hurried")
def test_silent_server_uses_up_the_time_for_all_queries(zone: Zone, lookup: Lookup) -> None:
    names = [f"n{number}.test" for number in range(100)]
    for name in names:
        make_silent(zone, name)
    one = lookup()

    found = one.contacts(names)

    failed = {name for name in names if unanswered(found[name], "TXT", label(name))}
    assert names[0] in failed
    # Far fewer than a hundred fit in.
    assert names[-1] not in failed
    assert all(unasked(found[name], name) for name in set(names) - failed)
    assert one.has_mx(names) == dict.fromkeys(names)


def test_silent_first_server_is_replaced_by_the_second(
    zone: Zone, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_contacts, "_TRY_SECONDS", 0.1)
    make_silent(zone, NAME)
    with NameServer(Zone()) as other:
        other.zone.set(label(NAME), "TXT", [f'"{PKI}"'])

        assert DnsContacts((address_of(server), address_of(other))).contacts([NAME])[NAME] == Contacts(txt=(PKI,))

    assert (label(NAME), "TXT") in queries(server)


def test_two_tries_fit_into_the_time() -> None:
    assert 2 * TRY_SECONDS < LOOKUP_SECONDS


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_time_starts_with_the_first_query_and_bounds_all(
    monkeypatch: pytest.MonkeyPatch, zone: Zone, lookup: Lookup, server: NameServer
) -> None:
    zone.set(label(NAME), "TXT", [f'"{PKI}"'])
    zone.set(NAME, "MX", ["10 mail.test."])
    clock = Clock()
    monkeypatch.setattr(dns_contacts, "time", clock)
    one = lookup()
    clock.now += 3600

    assert one.contacts([]) == {}
    clock.now += 3600
    assert one.contacts([NAME])[NAME].txt == (PKI,)
    clock.now += dns_contacts.LOOKUP_SECONDS - 0.5
    assert one.has_mx([NAME]) == {NAME: True}
    server.clear_queries()
    clock.now += 0.5
    assert one.has_mx([NAME, WWW]) == {NAME: None, WWW: None}
    assert unasked(one.contacts([NAME])[NAME], NAME)
    assert server.queries == []


# The transport


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_server_may_have_an_ipv6_address() -> None:
    with NameServer(Zone(), host="::1") as server:
        server.zone.set(label(NAME), "TXT", [f'"{PKI}"'])

        assert address_of(server)[0] == "::1"
        assert DnsContacts((address_of(server),)).contacts([NAME])[NAME] == Contacts(txt=(PKI,))


@pytest.fixture
def resolv_conf(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Give a function that sets what the resolver reads as /etc/resolv.conf, and the port that it uses."""
    read = dns.resolver.Resolver.read_resolv_conf

    def put(text: str, port: int = 53) -> None:
        def instead(resolver: dns.resolver.Resolver, _path: object) -> None:
            read(resolver, io.StringIO(text))
            resolver.port = port

        monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", instead)

    return put


def test_system_resolver_is_used_if_none_is_configured(
    zone: Zone, server: NameServer, resolv_conf: Callable[..., None]
) -> None:
    zone.set(label(NAME), "TXT", [f'"{PKI}"'])
    host, port = address_of(server)
    resolv_conf(f"search elsewhere.test\nnameserver {host}\n", port)

    assert DnsContacts(()).contacts([NAME])[NAME] == Contacts(txt=(PKI,))
    assert not [query for query in server.queries if "elsewhere" in query.name]


def test_system_without_a_resolver_is_a_failure(resolv_conf: Callable[..., None]) -> None:
    resolv_conf("# nothing here\n")

    one = DnsContacts(())

    assert one.contacts([WWW])[WWW].failure == f"TXT of {label(WWW)} was not asked (no resolver is configured)"
    assert one.has_mx([NAME]) == {NAME: None}


def test_configured_servers_replace_the_system_resolver(
    zone: Zone, lookup: Lookup, resolv_conf: Callable[..., None]
) -> None:
    resolv_conf("# nothing here\n")
    zone.set(label(NAME), "TXT", [f'"{PKI}"'])

    assert lookup().contacts([NAME])[NAME] == Contacts(txt=(PKI,))


# MX


@pytest.mark.parametrize(
    ("records", "expected"),
    [(["10 mail.example.com."], True), (["0 ."], False), (["0 .", "10 mail.example.com."], True), ([], False)],
)
def test_host_has_mx_unless_it_is_the_null_mx(
    zone: Zone, lookup: Lookup, records: Sequence[str], expected: bool
) -> None:
    zone.set(NAME, "A", ["192.0.2.1"])
    zone.set(NAME, "MX", records)

    assert lookup().has_mx([NAME]) == {NAME: expected}


def test_mx_is_unknown_without_an_answer(zone: Zone, lookup: Lookup) -> None:
    zone.set(NAME, "MX", ["10 mail.example.com."])
    zone.fault(NAME, "servfail")

    assert lookup().has_mx([NAME]) == {NAME: None}


# Hostile answers


@contextmanager
def answering(answer: Answer) -> Iterator[DnsContacts]:
    """Run a server whose answers are made by a function; give a lookup at it."""

    class Handler(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            self.wfile.write(answer(self.rfile.read()))

    with running(socketserver.UDPServer(("127.0.0.1", 0), Handler)) as listening:
        yield DnsContacts((("127.0.0.1", listening.server_address[1]),))


def _record(question: bytes, data: bytes, kind: int | None = None) -> bytes:
    """Make an answer of one record, by default of the type in the question, with any data."""
    (queried,) = dns.message.from_wire(question).question
    name = queried.name.to_wire()
    assert name is not None
    body = name + struct.pack("!HH", queried.rdtype, 1)
    asked_for = queried.rdtype if kind is None else kind
    answer = b"\xc0\x0c" + struct.pack("!HHIH", asked_for, 1, 60, len(data)) + data
    return question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + body + answer


@pytest.mark.usefixtures("_hurried")
@pytest.mark.parametrize(
    "answer",
    [
        lambda question: _record(question, b"\x00\x05con-1pki@mail.test"),  # an invalid CAA tag
        lambda question: _record(question, b"\x30pki@mail.test"),  # a string longer than the record
        lambda question: _record(question, b"\xc0\x0c", kind=5),  # a name that is its own alias
        lambda question: question,  # the question itself
        lambda _: b"\xff" * 600,
    ],
    ids=["no_tag", "string_too_long", "own_alias", "echo", "noise"],
)
def test_malformed_answer_is_a_failure(answer: Answer) -> None:
    with answering(answer) as one:
        found = one.contacts([NAME])[NAME]

        assert found.addresses == []
        assert (found.failure or "").startswith("DNS did not answer for ")
        assert one.has_mx([NAME]) == {NAME: None}


MX_RECORD = b"\x00\x0a\x04mail\x04test\x00"


def test_handmade_answer_to_the_query_is_accepted() -> None:
    with answering(lambda question: _record(question, MX_RECORD)) as one:
        assert one.has_mx([NAME]) == {NAME: True}


@pytest.mark.usefixtures("_hurried")
def test_answer_to_another_query_is_ignored() -> None:
    def to_another(question: bytes) -> bytes:
        other = dns.message.make_query("other.test", "MX", id=int.from_bytes(question[:2]))
        return _record(other.to_wire(), MX_RECORD)

    with answering(to_another) as one:
        assert one.has_mx([NAME]) == {NAME: None}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.binary(min_size=0, max_size=255), min_size=1, max_size=3), st.booleans())
def test_published_bytes_yield_only_valid_addresses(
    zone: Zone, lookup: Lookup, strings: list[bytes], as_address: bool
) -> None:
    if as_address:
        strings = [*strings, b"@mail.test"]
    text = [f'"{"".join(f"\\{byte:03}" for byte in string)}"' for string in strings]
    zone.set(label(NAME), "TXT", [" ".join(text)])
    zone.set(NAME, "CAA", [f"0 contactemail {text[0]}"])

    found = lookup().contacts([NAME])[NAME]

    assert found.failure is None
    for address in found.addresses:
        assert parse_email(address, "contact") == address
        assert address.isascii()
        assert address.isprintable()
