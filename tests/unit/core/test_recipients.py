"""Who may be mailed about a name: the rule as a table, the texts of refusals, and properties for any input."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dv_resend.core.addresses import constructed_addresses
from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts, Verdict, check_recipients, domains_to_look_up, judge
from dv_resend.core.requests import Recipient
from dv_resend.errors import RecipientNotAllowed, RecipientUnverified
from unit.fakes import FakeContacts, resend_request

FIVE = ["admin", "administrator", "hostmaster", "postmaster", "webmaster"]
ALLOWED = {"constructed", "txt_contact", "caa_contact"}
# These verdicts need DNS.
LOOKED_UP = {"txt_contact", "caa_contact", "not_published", "unverified"}
PURE = settings(deadline=None, derandomize=True, max_examples=100)


def order(*domains: NameStatus) -> OrderStatus:
    return OrderStatus(7, "pending", "email", domains)


def order_by_fqdn(*names: str) -> OrderStatus:
    """An order whose names are validated one by one (order_name_scope: fqdn)."""
    return order(*(NameStatus(name.removeprefix("*."), "pending", (name,)) for name in names))


def order_by_base_domain(scope: str, *names: str) -> OrderStatus:
    """An order whose names are validated together, at their base domain (order_name_scope: base_domain)."""
    return order(NameStatus(scope, "pending", names))


def parse_recipients(*entries: tuple[str, ...]) -> tuple[Recipient, ...]:
    """Parse ``(domain, email)`` and ``(domain, email, email_domain)``, as a caller sends them."""
    return resend_request(*entries).recipients


def look_up(recipients: Sequence[Recipient], order: OrderStatus, dns: FakeContacts) -> dict[str, Contacts]:
    domains = domains_to_look_up(recipients, order)
    return dns.contacts(domains) if domains else {}


def check(recipients: Sequence[Recipient], order: OrderStatus, contacts: Mapping[str, Contacts] | None = None) -> None:
    check_recipients(recipients, order, look_up(recipients, order, FakeContacts(published=contacts)))


# The rule


@dataclass(frozen=True)
class Case:
    """One address for one name. By default, the order has this name alone, in its own scope, and DNS is empty.

    ``contacts`` are what DNS publishes, by domain.
    """

    id: str
    domain: str
    email: str
    reason: str
    email_domain: str | None = None
    names: Sequence[str] = ()
    scope: str | None = None
    contacts: Mapping[str, Contacts] = field(default_factory=dict)
    order: OrderStatus | None = None
    # DNS is asked before the order, when it may not be known yet whether the name is on it.
    is_looked_up_early: bool = False

    @property
    def order_status(self) -> OrderStatus:
        if self.order is not None:
            return self.order
        names = self.names or (self.domain,)
        return order_by_base_domain(self.scope, *names) if self.scope else order_by_fqdn(*names)

    @property
    def recipient(self) -> Recipient:
        entry = (self.domain, self.email) if self.email_domain is None else (self.domain, self.email, self.email_domain)
        return parse_recipients(entry)[0]


def txt(*addresses: str) -> Contacts:
    return Contacts(txt=addresses)


def caa(*addresses: str) -> Contacts:
    return Contacts(caa=addresses)


PKI = "pki@mail.test"
NO_ANSWER = "DNS did not answer for TXT of _validation-contactemail.example.com (LifetimeTimeout)"
CN = "www.xn--85x722f.xn--55qx5d.cn"

CASES = [
    # The five addresses at the name itself
    *(Case(f"{local}_at_the_name", "example.com", f"{local}@example.com", "constructed") for local in FIVE),
    Case("email_domain_repeats_the_name", "example.com", "admin@example.com", "constructed", "example.com"),
    Case("at_the_scope_itself", "a.test", "admin@a.test", "constructed", names=["www.a.test"], scope="a.test"),
    # Near misses of the five
    *(
        Case(f"near_miss_{local}", "example.com", f"{local}@example.com", "not_published")
        for local in ("admins", "root", "info", "hostmaster1", "web-master", "post.master", "security", "adm1n", "ssl")
    ),
    # Parents
    Case("parent", "www.example.com", "admin@example.com", "constructed", "example.com"),
    Case("parent_only_implied", "www.example.com", "admin@example.com", "needs_email_domain"),
    Case("scope", "www.example.com", "admin@example.com", "constructed", "example.com", scope="example.com"),
    Case("scope_only_implied", "www.example.com", "admin@example.com", "needs_email_domain", scope="example.com"),
    Case("grandparent", "a.b.example.com", "admin@example.com", "constructed", "example.com"),
    Case("grandparent_only_implied", "a.b.example.com", "admin@example.com", "needs_email_domain"),
    Case("above_its_email_domain", "a.b.example.com", "admin@example.com", "needs_email_domain", "b.example.com"),
    Case("below_its_email_domain", "a.b.example.com", "admin@b.example.com", "needs_email_domain", "example.com"),
    Case("name_with_email_domain", "www.a.test", "admin@www.a.test", "needs_email_domain", "a.test"),
    Case("wrong_local_part_at_the_parent", "www.example.com", "info@example.com", "not_published", "example.com"),
    # Wildcards
    Case("wildcard", "*.example.com", "admin@example.com", "constructed"),
    Case("name_of_an_ordered_wildcard", "a.test", "admin@a.test", "constructed", names=["*.a.test"]),
    Case("wildcard_of_an_ordered_name", "*.a.test", "admin@a.test", "constructed", names=["a.test"]),
    Case("name_below_an_ordered_wildcard", "w.a.test", "admin@w.a.test", "not_on_order", names=["*.a.test"]),
    # Public suffixes
    Case("co_uk", "example.co.uk", "admin@co.uk", "public_suffix", "co.uk"),
    Case("co_uk_only_implied", "example.co.uk", "admin@co.uk", "public_suffix"),
    Case("co_uk_with_a_contact", "a.co.uk", PKI, "public_suffix", "co.uk", contacts={"co.uk": txt(PKI)}),
    Case("github_io", "team.github.io", "admin@github.io", "public_suffix", "github.io"),
    Case("github_io_is_the_scope", "team.github.io", "admin@github.io", "constructed", "github.io", scope="github.io"),
    Case("ordered_public_suffix_with_a_contact", "a.ck", PKI, "txt_contact", contacts={"a.ck": txt(PKI)}),
    Case("city_kobe_jp_is_an_exception", "www.city.kobe.jp", "admin@city.kobe.jp", "constructed", "city.kobe.jp"),
    # Look-alikes and relatives
    Case("look_alike_shorter", "example.com", "admin@ample.com", "not_published"),
    Case("look_alike_longer", "example.com", "admin@notexample.com", "not_published"),
    Case("look_alike_in_front", "example.com", "admin@example.com.evil.test", "not_published"),
    Case("sibling", "www.example.com", "admin@mail.example.com", "not_published"),
    Case("child", "example.com", "admin@www.example.com", "not_published"),
    # International names, upper case
    Case("u_label_address", "xn--bcher-kva.example", "admin@bücher.example", "constructed"),
    Case("upper_case_txt_contact", "a.test", PKI, "txt_contact", contacts={"a.test": txt("PKI@MAIL.Test")}),
    Case("upper_case_caa_contact", "a.test", PKI, "caa_contact", contacts={"a.test": caa("PKI@MAIL.Test")}),
    Case("upper_case_address", "a.test", "PkI@mail.test", "caa_contact", contacts={"a.test": caa(PKI)}),
    # Contacts in DNS
    Case("txt_contact", "a.test", PKI, "txt_contact", contacts={"a.test": txt("other@mail.test", PKI)}),
    Case("caa_contact", "a.test", PKI, "caa_contact", contacts={"a.test": caa("other@mail.test", PKI)}),
    Case("txt_and_caa_contact", "a.test", PKI, "txt_contact", contacts={"a.test": Contacts((PKI,), (PKI,))}),
    Case("contact_of_the_email_domain", "www.a.test", PKI, "txt_contact", "a.test", contacts={"a.test": txt(PKI)}),
    Case("contact_below_the_email_domain", "w.a.test", PKI, "not_published", "a.test", contacts={"w.a.test": txt(PKI)}),
    Case("contact_of_the_address_host_only", "a.test", PKI, "not_published", contacts={"mail.test": txt(PKI)}),
    Case("contact_at_another_host", "a.test", PKI, "not_published", contacts={"a.test": txt("pki@test.test")}),
    Case("plus_address_is_not_its_base", "a.test", "a+b@m.test", "not_published", contacts={"a.test": txt("a@m.test")}),
    # DNS that does not answer
    Case("unanswered", "a.test", PKI, "unverified", contacts={"a.test": Contacts(failure=NO_ANSWER)}),
    Case("txt_despite_failure", "a.test", PKI, "txt_contact", contacts={"a.test": Contacts((PKI,), failure=NO_ANSWER)}),
    Case("caa_despite_failure", "a.test", PKI, "caa_contact", contacts={"a.test": Contacts((), (PKI,), NO_ANSWER)}),
    # The order
    Case("not_on_the_order", "example.net", "admin@example.net", "not_on_order", names=["example.com"]),
    Case("parent_of_the_ordered_name", "example.com", "admin@example.com", "not_on_order", names=["www.example.com"]),
    Case("other_name_in_the_same_scope", "b.a.test", "admin@a.test", "not_on_order", "a.test", ["w.a.test"], "a.test"),
    Case("look_alike_of_the_ordered_name", "ample.com", "admin@ample.com", "not_on_order", names=["example.com"]),
    Case(
        "not_on_the_order_but_published",
        "b.test",
        PKI,
        "not_on_order",
        names=["a.test"],
        contacts={"b.test": txt(PKI)},
        is_looked_up_early=True,
    ),
    Case("address_of_another_ordered_name", "a.test", "admin@b.test", "not_published", names=["a.test", "b.test"]),
    Case("second_of_the_ordered_names", "b.test", "admin@b.test", "constructed", names=["a.test", "b.test"]),
    Case("scope_without_names", "a.test", "admin@a.test", "constructed", order=order(NameStatus("a.test", "pending"))),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recipient_gets_the_documented_verdict(case: Case) -> None:
    contacts = look_up([case.recipient], case.order_status, FakeContacts(published=case.contacts))

    verdict = judge(case.recipient, case.order_status, contacts)

    assert verdict.reason == case.reason
    assert verdict.is_allowed == (case.reason in ALLOWED)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_only_addresses_that_dns_decides_about_are_looked_up(case: Case) -> None:
    domains = domains_to_look_up([case.recipient], case.order_status)

    assert bool(domains) == (case.reason in LOOKED_UP or case.is_looked_up_early)


def test_cases_cover_every_reason() -> None:
    assert {case.reason for case in CASES} == set(get_args(Verdict.__annotations__["reason"]))


# Lookups


@pytest.mark.parametrize("status", [order_by_fqdn("example.com"), order(), order(NameStatus("", "pending"))], ids=ascii)
def test_default_recipients_need_no_check(status: OrderStatus) -> None:
    assert domains_to_look_up((), status) == []
    check_recipients((), status, {})


def test_other_addresses_are_looked_up_once_per_domain() -> None:
    recipients = parse_recipients(
        ("www.example.com", PKI, "example.com"),
        ("b.test", "it@mail.test"),
        ("*.b.test", "it@mail.test"),
        ("example.com", PKI),
        ("example.com", "admin@example.com"),
        ("c.test", "admin@c.test"),
    )
    status = order_by_fqdn("example.com", "www.example.com", "b.test", "*.b.test", "c.test")

    assert domains_to_look_up(recipients, status) == ["example.com", "b.test"]


@pytest.mark.parametrize("names", [("a.test",), ("*.a.test", "b.test"), ("a.test", "c.test")], ids=ascii)
def test_lookup_before_names_are_known_is_sufficient(names: tuple[str, ...]) -> None:
    """In a resend, DNS is asked before the order. A domain without an answer would be an error there."""
    recipients = parse_recipients(
        *((name, f"jane@{host}") for name in ("a.test", "*.b.test", "x.c.test") for host in ("b.test", "mail.test")),
        ("x.c.test", "it@mail.test", "c.test"),
    )
    for early in (
        order(),
        order(UNREADABLE),
        order_by_fqdn("b.test", "x.c.test"),
        order_by_base_domain("c.test", "x.c.test"),
    ):
        contacts = look_up(recipients, early, FakeContacts())
        late = early.with_names_of(Order(7, None, None, None, names=names))

        for recipient in recipients:
            assert judge(recipient, late, contacts).reason in {"not_on_order", "not_published"}


# Refusals


def refusal_of(
    recipients: Sequence[Recipient], order: OrderStatus, contacts: Mapping[str, Contacts] | None = None
) -> RecipientNotAllowed:
    with pytest.raises(RecipientNotAllowed) as caught:
        check(recipients, order, contacts)
    return caught.value


def why_refused(entry: tuple[str, ...], order: OrderStatus, contacts: Mapping[str, Contacts] | None = None) -> str:
    ((_, why),) = refusal_of(parse_recipients(entry), order, contacts).entries
    return why


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        (("other.test", "admin@other.test"), "domain"),
        (("www.example.com", "admin@example.com"), "email_domain"),
        (("www.example.com", "admin@www.example.com", "example.com"), "email_domain"),
        (("example.co.uk", "admin@co.uk", "co.uk"), "email_domain"),
        (("example.co.uk", "admin@co.uk"), "email"),
        (("www.example.com", "jane@www.example.com"), "email"),
    ],
)
def test_refusal_names_the_wrong_field(entry: tuple[str, ...], path: str) -> None:
    error = refusal_of(parse_recipients(entry), order_by_fqdn("www.example.com", "example.co.uk"))

    assert error.code == f"recipient_not_allowed|domain_approval_emails[0].{path}"
    assert [code for code, _ in error.entries] == [error.code]
    assert error.message.startswith(f"domain_approval_emails[0].{path}: ")


def test_refusal_uses_the_positions_of_the_callers_list() -> None:
    recipients = parse_recipients(
        ("example.com", "admin@example.com"),
        ("example.com", "ADMIN@example.com"),
        ("example.com", "admin@EXAMPLE.com", "example.com"),
        ("example.com", "jane@mail.test"),
        ("Example.com", "Jane@mail.test"),
        ("www.example.com", "admin@example.com"),
    )

    error = refusal_of(recipients, order_by_fqdn("example.com", "www.example.com"))

    assert [code for code, _ in error.entries] == [
        "recipient_not_allowed|domain_approval_emails[3].email",
        "recipient_not_allowed|domain_approval_emails[5].email_domain",
    ]


@pytest.mark.parametrize(
    ("entry", "status", "suggested"),
    [
        (("a.b.example.com", "admin@b.example.com"), order_by_fqdn("a.b.example.com"), "b.example.com"),
        (("a.b.example.com", "admin@example.com"), order_by_fqdn("a.b.example.com"), "example.com"),
        # A public suffix, but CertCentral validates there.
        (("team.github.io", "admin@github.io"), order_by_base_domain("github.io", "team.github.io"), "github.io"),
    ],
    ids=["parent", "grandparent", "scope"],
)
def test_suggested_email_domain_is_accepted(entry: tuple[str, ...], status: OrderStatus, suggested: str) -> None:
    why = why_refused(entry, status)

    assert entry[1] in why
    assert re.findall(r'"email_domain": "([^"]+)"', why) == [suggested]
    check(parse_recipients((*entry, suggested)), status)


def test_superfluous_email_domain_is_to_be_left_out() -> None:
    entry = ("www.example.com", "admin@www.example.com", "example.com")

    why = why_refused(entry, order_by_fqdn("www.example.com"))

    assert why == "admin@www.example.com is an address at www.example.com itself: leave email_domain out."


def test_unpublished_address_is_masked_and_alternatives_listed() -> None:
    contacts = {"a.b.example.com": Contacts(txt=(PKI,), caa=("it@mail.test", PKI))}

    why = why_refused(("a.b.example.com", "jane.doe@mail.test"), order_by_fqdn("a.b.example.com"), contacts)

    accepted = [*constructed_addresses("a.b.example.com"), PKI, "it@mail.test"]
    assert why == (
        "j***@mail.test is neither a constructed address nor published in DNS (TXT at "
        "_validation-contactemail.a.b.example.com, or CAA contactemail). Accepted: "
        f"{', '.join(accepted)}; or the same at b.example.com or example.com, with that domain as email_domain."
    )


@pytest.mark.parametrize("entry", [("example.co.uk", "j.doe@mail.test", "co.uk"), ("example.co.uk", "admin@co.uk")])
def test_public_suffix_is_refused_with_alternatives(entry: tuple[str, ...]) -> None:
    why = why_refused(entry, order_by_fqdn("example.co.uk"))

    assert why.startswith("co.uk is a public suffix")
    assert why.endswith(f"Accepted: {', '.join(constructed_addresses('example.co.uk'))}.")


def test_unknown_name_is_refused_with_the_names_of_the_order() -> None:
    status = order(
        NameStatus("example.com", "pending", ("www.example.com", "*.example.com")),
        NameStatus("example.org", "approved"),
    )

    why = why_refused(("*.other.test", "admin@other.test"), status)

    assert (
        why == "*.other.test is not a name of this order. Its names are: www.example.com, *.example.com, example.org."
    )


def test_long_list_of_names_is_shortened() -> None:
    status = order_by_fqdn(*(f"n{number:02}.test" for number in range(11)))

    why = why_refused(("other.test", "admin@other.test"), status)

    assert "n09.test …." in why
    assert "n10.test" not in why


def test_long_list_of_contacts_is_shortened() -> None:
    contacts = {"example.com": txt(*(f"c{number:02}@mail.test" for number in range(50)))}

    why = why_refused(("example.com", "jane@mail.test"), order_by_fqdn("example.com"), contacts)

    assert re.findall(r"c\d\d@mail\.test", why) == [f"c{number:02}@mail.test" for number in range(10)]


# Recipients who cannot be verified


def error_about_unverified(
    recipients: Sequence[Recipient], order: OrderStatus, contacts: Mapping[str, Contacts]
) -> RecipientUnverified:
    with pytest.raises(RecipientUnverified) as caught:
        check(recipients, order, contacts)
    return caught.value


def test_address_without_an_answer_from_dns_is_unverified() -> None:
    recipients = parse_recipients(("example.com", "jane.doe@mail.test"))

    error = error_about_unverified(
        recipients, order_by_fqdn("example.com"), {"example.com": Contacts(failure=NO_ANSWER)}
    )

    assert error.message == (
        f"Whether j***@mail.test is a published contact of example.com is unknown: {NO_ANSWER}. Nothing was sent. Try "
        "again later, or name a constructed address such as admin@."
    )


@pytest.mark.parametrize("position", [0, 1])
def test_refusal_takes_precedence_over_an_unverified_address(position: int) -> None:
    entries = [("example.com", "jane@mail.test")]
    entries.insert(position, ("www.example.com", "admin@example.com"))
    contacts = {"example.com": Contacts(failure=NO_ANSWER)}

    error = refusal_of(parse_recipients(*entries), order_by_fqdn("example.com", "www.example.com"), contacts)

    assert [code for code, _ in error.entries] == [
        f"recipient_not_allowed|domain_approval_emails[{position}].email_domain"
    ]


UNREADABLE = NameStatus("", "pending")


PARTLY_READABLE = order(NameStatus("example.com", "pending"), UNREADABLE)


@pytest.mark.parametrize("status", [order(), order(UNREADABLE), PARTLY_READABLE], ids=ascii)
@pytest.mark.parametrize(
    "entry",
    [
        ("example.org", "admin@example.org"),
        # A typo, with which CertCentral might mail everybody.
        ("exmaple.com", "admin@exmaple.com"),
        ("example.org", "jane.doe@mail.test"),
        ("example.co.uk", "admin@co.uk", "co.uk"),
    ],
)
def test_recipients_are_unverified_while_names_are_unknown(status: OrderStatus, entry: tuple[str, ...]) -> None:
    recipients = parse_recipients(("example.com", "admin@example.com"), entry)

    error = error_about_unverified(recipients, status, {"example.org": txt("jane.doe@mail.test")})

    assert error.message.startswith("CertCentral does not list all names of order 7")
    assert "Nothing was sent" in error.message
    assert "jane" not in str(error)


def test_recipient_of_a_known_name_is_checked_although_others_are_unknown() -> None:
    check(parse_recipients(("example.com", "admin@example.com")), PARTLY_READABLE, FakeDns({}))

    error = refusal_of(
        parse_recipients(("example.com", "jane@mail.test")), PARTLY_READABLE, {"example.com": Contacts()}
    )
    assert error.code == "recipient_not_allowed|domain_approval_emails[0].email"


# Properties


SUFFIXES = ["com", "co.uk", "github.io", "foo.kobe.jp", "foo.ck", "test", "xn--55qx5d.cn"]
LABELS = st.sampled_from(["www", "a", "example", "shop", "com", "co", "xn--bcher-kva"])


@dataclass(frozen=True)
class Name:
    """A name below a known suffix, so that the tests need no list to say what is registrable."""

    labels: tuple[str, ...]
    suffix: str

    @property
    def text(self) -> str:
        return ".".join((*self.labels, self.suffix))

    @property
    def parents(self) -> list[str]:
        """All names above it, including the suffix."""
        return [".".join((*self.labels[start:], self.suffix)) for start in range(1, len(self.labels) + 1)]


NAMES = st.builds(Name, st.lists(LABELS, min_size=1, max_size=3).map(tuple), st.sampled_from(SUFFIXES))
NO_ROLE = ["admins", "info", "jane", "a+b", "root"]


@dataclass(frozen=True)
class Situation:
    """What a caller says about a name, an order with this and other names, and what DNS publishes."""

    name: Name
    entry: dict[str, str]
    order: OrderStatus
    dns: FakeContacts

    @property
    def authorization_domain(self) -> str:
        return self.entry.get("email_domain", self.name.text)

    @property
    def scopes(self) -> list[str]:
        return [domain.scope for domain in self.order.domains]

    def verdict(self, **changed: str) -> Verdict:
        (recipient,) = resend_request(domain_approval_emails=[self.entry | changed]).recipients
        return judge(recipient, self.order, look_up([recipient], self.order, self.dns))


@st.composite
def situations(
    draw: st.DrawFn, *, is_ordered: bool = True, local_parts: Sequence[str] = (*FIVE, "Admin", *NO_ROLE)
) -> Situation:
    name = draw(NAMES)
    others = draw(st.lists(NAMES.filter(lambda other: other != name), min_size=not is_ordered, max_size=2))
    domains = [domain for domain in (name.text, *name.parents) if "." in domain]
    hosts = st.sampled_from([*domains, *domains, *(other.text for other in others), f"x{name.text}", f"w.{name.text}"])
    email = f"{draw(st.sampled_from(local_parts))}@{draw(hosts)}"
    email_domain = draw(st.sampled_from([None, *domains]))
    entry = {"domain": name.text, "email": email} | ({"email_domain": email_domain} if email_domain else {})
    ordered = [name, *others] if is_ordered else others
    scopes = [draw(st.sampled_from([other.text, *other.parents])) for other in ordered]
    statuses = [
        NameStatus(scope, "pending", (other.text,))
        for scope, other in zip(scopes, ordered, strict=True)
        if is_ordered or scope != name.text
    ]
    assume(statuses)
    addresses = st.sampled_from([email, email.upper(), PKI, f"it@{name.text}"])
    contacts = st.lists(addresses, max_size=2).map(tuple)
    published = st.builds(Contacts, contacts, contacts, st.sampled_from([None, None, "no answer"]))
    return Situation(name, entry, order(*statuses), FakeContacts(published={d: draw(published) for d in domains}))


@PURE
@given(situations())
def test_constructed_address_is_at_the_name_or_a_parent(situation: Situation) -> None:
    verdict = situation.verdict()

    assume(verdict.reason == "constructed")
    name = situation.name
    local_part, _, host = situation.entry["email"].rpartition("@")
    assert local_part.casefold() in FIVE
    assert host == situation.authorization_domain
    # Not at the suffix: nothing above the registrable domain, unless CertCentral itself validates there.
    assert host in [name.text, *name.parents[:-1]] or (host == name.suffix and host in situation.scopes)
    assert situation.dns.journal == []


@PURE
@given(situations())
def test_contact_is_published_at_the_authorization_domain(situation: Situation) -> None:
    verdict = situation.verdict()

    assume(verdict.reason in {"txt_contact", "caa_contact"})
    domain = situation.authorization_domain
    published = situation.dns.published[domain]
    addresses = published.txt if verdict.reason == "txt_contact" else published.caa
    assert situation.entry["email"].lower() in [address.lower() for address in addresses]
    assert situation.dns.journal == [("contacts", [domain])]


@PURE
@given(situations())
def test_public_suffix_is_no_email_domain_unless_it_is_a_scope(situation: Situation) -> None:
    suffix = situation.name.suffix
    assume("." in suffix and suffix not in situation.scopes)

    verdict = situation.verdict(email_domain=suffix)

    assert not verdict.is_allowed
    assert verdict.reason == "public_suffix"


@PURE
@given(situations(is_ordered=False))
def test_name_not_on_the_order_is_never_allowed(situation: Situation) -> None:
    assert situation.verdict().reason == "not_on_order"


@PURE
@given(situations())
def test_verdict_on_a_wildcard_equals_that_on_its_name(situation: Situation) -> None:
    wildcard, name = situation.verdict(domain=f"*.{situation.name.text}"), situation.verdict()

    assert (wildcard.reason, wildcard.is_allowed) == (name.reason, name.is_allowed)


def in_random_case(text: str, rng: random.Random) -> str:
    return "".join(rng.choice((letter.lower(), letter.upper())) for letter in text)


@PURE
@given(situations(), st.randoms(use_true_random=False))
def test_verdict_ignores_the_case_of_the_request(situation: Situation, rng: random.Random) -> None:
    entry = {key: in_random_case(value, rng) for key, value in situation.entry.items()}

    assert replace(situation, entry=entry).verdict().reason == situation.verdict().reason


@PURE
@given(situations(), st.randoms(use_true_random=False))
def test_verdict_ignores_the_case_of_the_orders_names(situation: Situation, rng: random.Random) -> None:
    statuses = [
        NameStatus(in_random_case(domain.scope, rng), "pending", tuple(in_random_case(n, rng) for n in domain.names))
        for domain in situation.order.domains
    ]

    assert replace(situation, order=order(*statuses)).verdict().reason == situation.verdict().reason


@PURE
@given(situations(local_parts=NO_ROLE), st.sampled_from([None, "no answer"]))
def test_refusal_says_why_and_shows_no_private_address(situation: Situation, failure: str | None) -> None:
    dns = FakeContacts(published={situation.authorization_domain: Contacts((PKI,), failure=failure)})

    verdict = replace(situation, dns=dns).verdict()

    assert verdict.reason in {"public_suffix", "unverified" if failure else "not_published"}
    assert verdict.why.endswith(".")
    assert verdict.why.isprintable()
    # Not even as the end of another address.
    assert situation.entry["email"] not in verdict.why
