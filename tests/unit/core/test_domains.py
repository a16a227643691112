"""The domains of an order that is not DV: which are open, what covers a name, and how a request is split."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.addresses import without_wildcard
from dv_resend.core.domains import OrderDomains, check_listed, scope_of
from dv_resend.core.orders import Domain, DomainEmails, NameStatus, Order, OrderStatus
from dv_resend.core.requests import Recipient, ResendRequest, Skipped
from dv_resend.errors import OrderNotEligible, RecipientNotAllowed, RecipientUnverified
from unit.fakes import resend_request

ORDER = Order(7, "pending", "ssl_certificate", "email")
A, B = Domain(1, "a.example"), Domain(2, "b.example")


def entry(
    scope: str,
    domain_id: int | None = 1,
    *names: str,
    status: str = "pending",
    method: str | None = "email",
    expired: bool = False,
) -> NameStatus:
    return NameStatus(scope, status, names, expired, domain_id, method)


def domains_of(
    *entries: NameStatus,
    names: tuple[str, ...] = (),
    method: str | None = "email",
    organization: tuple[str, ...] = (),
) -> OrderDomains:
    order = replace(ORDER, names=names, dcv_method=method)
    return OrderDomains(order, OrderStatus(7, "pending", "email", entries, organization))


def refusal(domains: OrderDomains) -> OrderNotEligible:
    with pytest.raises(OrderNotEligible) as caught:
        domains.check_open()
    return caught.value


# Which domains are open


@pytest.mark.parametrize(
    ("found", "is_open"),
    [
        *((entry("a.example", status=status), True) for status in ("pending", "unknown", "a future status", "")),
        *((entry("a.example", status=status), False) for status in ("approved", "Approved", "APPROVED")),
        *((entry("a.example", status=status, expired=True), True) for status in ("approved", "pending")),
        *((entry("a.example", method=method), True) for method in ("Email", "EMAIL")),
        *((entry("a.example", method=method), False) for method in ("dns-txt-token", "http-token", "emails")),
        (entry("a.example", status="approved", method="dns-txt-token"), False),
    ],
    ids=ascii,
)
def test_entry_is_open_if_unvalidated_and_by_email(found: NameStatus, is_open: bool) -> None:
    assert domains_of(found).open == ((A,) if is_open else ())


@pytest.mark.parametrize(
    ("own", "of_order", "is_open"),
    [
        *((("email", of_order, True)) for of_order in ("email", "dns-txt-token", None)),
        *((("dns-txt-token", of_order, False)) for of_order in ("email", "dns-txt-token", None)),
        *((own, "email", True) for own in (None, "")),
        *((own, "Email", True) for own in (None, "")),
        *((own, of_order, False) for own in (None, "") for of_order in ("dns-txt-token", "", None)),
    ],
    ids=ascii,
)
def test_method_of_the_entry_comes_before_the_orders(own: str | None, of_order: str | None, is_open: bool) -> None:
    assert domains_of(entry("a.example", method=own), method=of_order).open == ((A,) if is_open else ())


def test_open_domains_keep_the_order_of_the_list() -> None:
    domains = domains_of(entry("b.example", 2), entry("done.example", 3, status="approved"), entry("a.example", 1))

    assert domains.open == (B, A)


# Entries of one domain


@pytest.mark.parametrize("scopes", [("a.example", "*.a.example"), ("*.a.example", "a.example"), ("a.example",) * 2])
def test_entries_of_one_domain_and_scope_are_one(scopes: tuple[str, ...]) -> None:
    domains = domains_of(entry(scopes[0], 1, "www.a.example"), entry(scopes[1], 1, "www.a.example", "b.a.example"))

    (status,) = domains.all
    assert (status.scope, status.names) == (scopes[0], ("www.a.example", "b.a.example"))


def test_entries_of_another_scope_are_two() -> None:
    domains = domains_of(entry("a.example", 1), entry("www.a.example", 1))

    assert domains.open == (Domain(1, "a.example"), Domain(1, "www.a.example"))


def test_entries_of_another_domain_are_two() -> None:
    domains = domains_of(entry("a.example", 1, status="approved"), entry("a.example", 2, status="approved"))

    assert [status.domain_id for status in domains.all] == [1, 2]


@pytest.mark.parametrize("scope", ["a.example", "*.a.example"])
def test_open_domains_with_the_same_name_are_unverified(scope: str) -> None:
    """Their default recipients are the same people."""
    with pytest.raises(RecipientUnverified, match=r"several open domains.*\(a\.example\)"):
        domains_of(entry("a.example", 1), entry(scope, 2), entry("b.example", 3))


@pytest.mark.parametrize(
    "other", [entry("a.example", 2, status="approved"), entry("a.example", 2, method="http-token")], ids=ascii
)
def test_only_open_domains_need_names_of_their_own(other: NameStatus) -> None:
    assert domains_of(entry("a.example", 1), other).open == (A,)


@pytest.mark.parametrize("scope", ["a_b.example", "a .example", "-a.example", "a..example"])
def test_open_scope_that_is_no_name_is_unverified(scope: str) -> None:
    """CertCentral's spelling is not known, and whom it mails about another name is not documented."""
    with pytest.raises(RecipientUnverified):
        domains_of(entry(scope, 1))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ((entry("a.example"), entry("a.example", status="approved")), "open"),
        ((entry("a.example"), entry("a.example", method="dns-txt-token")), "open"),
        ((entry("a.example", status="approved"), entry("a.example", method="dns-txt-token")), "not_email_dcv"),
        ((entry("a.example", status="approved"), entry("*.a.example", status="approved")), "validated"),
    ],
    ids=["pending", "email", "other method", "validated"],
)
def test_most_telling_entry_decides(entries: tuple[NameStatus, ...], state: str, backwards: bool) -> None:
    (status,) = domains_of(*(reversed(entries) if backwards else entries)).all

    assert status.state == state


def test_method_of_a_domain_is_that_of_the_telling_entry() -> None:
    done, waiting = entry("a.example", status="approved"), entry("a.example", method="dns-txt-token")

    (status,) = domains_of(done, waiting).all

    assert status.method == "dns-txt-token"


def test_record_of_a_wildcard_scope_is_that_of_its_domain() -> None:
    (domain,) = domains_of(entry("*.a.example")).open

    assert (domain.scope, domain.record_id) == ("*.a.example", "domain#1#a.example")


# What CertCentral does not tell


@pytest.mark.parametrize(
    "unclear",
    [
        entry("a.example", None),
        entry("", 1),
        entry("", None, "www.a.example"),
        NameStatus("", "unknown"),
        NameStatus("a.example", "pending", method="Email"),
    ],
    ids=ascii,
)
def test_open_entry_without_id_or_scope_is_unverified(unclear: NameStatus) -> None:
    with pytest.raises(RecipientUnverified, match="order 7") as caught:
        domains_of(entry("b.example", 2), unclear)

    assert "b.example" not in caught.value.message


@pytest.mark.parametrize(
    "harmless", [entry("a.example", None, status="approved"), entry("a.example", None, method="dns-txt-token")]
)
def test_entry_that_is_not_open_needs_no_id(harmless: NameStatus) -> None:
    assert domains_of(harmless, entry("b.example", 2)).open == (B,)


@pytest.mark.parametrize("entries", [(), (entry("b.example", 2),), (NameStatus("", "approved"),)], ids=ascii)
def test_name_of_the_order_without_a_domain_is_unverified(entries: tuple[NameStatus, ...]) -> None:
    with pytest.raises(RecipientUnverified, match=r"\(www\.a\.example\)"):
        domains_of(*entries, names=("www.a.example",))


def test_unverified_order_names_what_is_missing() -> None:
    unclear, nameless = entry("a.example", None, "www.a.example"), entry("", 3)

    with pytest.raises(RecipientUnverified, match=r"\(www\.a\.example, a\.example, c\.example\)"):
        domains_of(unclear, nameless, names=("c.example",))


def test_unverified_order_says_if_nothing_has_a_name() -> None:
    with pytest.raises(RecipientUnverified, match="some without a name"):
        domains_of(entry("", 3))


@pytest.mark.parametrize(
    "name",
    ["a.example", "*.a.example", "www.a.example", "*.www.a.example", "x.y.a.example", "listed.test", "A.EXAMPLE"],
)
def test_name_of_the_order_below_a_domain_is_known(name: str) -> None:
    assert domains_of(entry("a.example", 1, "*.listed.test"), names=(name,)).open == (A,)


def test_order_without_any_name_is_not_by_email() -> None:
    with pytest.raises(OrderNotEligible, match=r"type ssl_certificate.*lists no domains") as caught:
        domains_of()

    assert caught.value.reason == "not_email_dcv"


# The domain of a name


@pytest.mark.parametrize(
    ("name", "domain_id"),
    [
        *(("a.example", 1), ("*.a.example", 1), ("A.Example", 1), ("deep.x.a.example", 1)),
        *(("sub.a.example", 2), ("*.sub.a.example", 2), ("www.sub.a.example", 2)),
        *(("listed.test", 1), ("*.listed.test", 1), ("www.listed.test", 1), ("wild.test", 2), ("www.wild.test", 2)),
    ],
)
def test_domain_of_a_name_lists_it_or_is_the_nearest(name: str, domain_id: int) -> None:
    domains = domains_of(entry("a.example", 1, "listed.test"), entry("*.sub.a.example", 2, "*.wild.test"))

    found = domains.of_name(name)

    assert found is not None
    assert found.domain_id == domain_id


@pytest.mark.parametrize("name", ["example", "other.example", "xa.example", "", "test"])
def test_other_name_has_no_domain(name: str) -> None:
    assert domains_of(entry("a.example", 1, "listed.test")).of_name(name) is None


@pytest.mark.parametrize("name", ["a.example", "example"])
def test_scope_of_one_label_is_no_parent(name: str) -> None:
    assert domains_of(entry("example", 1, status="approved")).of_name(name) is None


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("other", "telling"),
    [
        (entry("a.example", 1, "www.a.example", status="approved"), entry("www.a.example", 2)),
        (entry("a.example", 1, "www.a.example", method="http-token"), entry("www.a.example", 2)),
        (entry("www.a.example", 1, status="approved"), entry("a.example", 2, "www.a.example", method="http-token")),
        # Of two that tell as much, the widest.
        (entry("www.a.example", 1), entry("a.example", 2, "www.a.example")),
    ],
    ids=["open", "open by email", "not validated", "widest"],
)
def test_name_of_two_domains_has_the_most_telling(other: NameStatus, telling: NameStatus, backwards: bool) -> None:
    found = domains_of(*((telling, other) if backwards else (other, telling))).of_name("www.a.example")

    assert found is not None
    assert found.domain_id == 2


# Nothing open


@pytest.mark.parametrize("organization", [(), ("approved",), ("Approved", "APPROVED")])
def test_validated_domains_need_no_email(organization: tuple[str, ...]) -> None:
    error = refusal(domains_of(entry("a.example", status="approved"), organization=organization))

    assert error.reason == "already_validated"
    assert "CertCentral issues the certificate next" in error.message
    assert "organization" not in error.message


def test_open_organization_is_what_validated_domains_wait_for() -> None:
    domains = domains_of(entry("a.example", status="approved"), organization=("pending", "approved", "pending", "new"))

    error = refusal(domains)

    assert error.reason == "already_validated"
    assert "(status: pending, new). DigiCert does that" in error.message
    assert "issues the certificate next" not in error.message


def test_open_organization_does_not_close_an_open_domain() -> None:
    domains = domains_of(entry("a.example"), organization=("pending",))

    domains.check_open()

    assert "organization is still to be validated" in domains.organization_advice


def test_domains_of_another_method_are_named_with_it() -> None:
    done = entry("done.example", 3, status="approved", method="email")
    waiting = [entry("a.example", 1, method="dns-txt-token"), entry("b.example", 2, method=None)]

    error = refusal(domains_of(*waiting, done, method=None))

    assert error.reason == "not_email_dcv"
    assert "but a.example by dns-txt-token, b.example by an unknown method." in error.message
    assert "done.example" not in error.message


# The parts of a request


DOMAINS = domains_of(
    entry("a.example", 1, "a.example", "www.a.example"),
    entry("b.example", 2, "b.example"),
    entry("dns.example", 3, method="dns-txt-token"),
    entry("done.example", 4, status="approved"),
)


def test_request_without_recipients_is_about_each_open_domain() -> None:
    request = resend_request(locale="de", force=True, requested_by="jane")

    assert DOMAINS.parts(request) == [replace(request, domain=A), replace(request, domain=B)]


def test_body_of_a_part_has_scope_locale_and_addresses() -> None:
    named = resend_request(("www.a.example", "admin@a.example"), ("a.example", "jane@x.test"), locale="de")

    (part,) = DOMAINS.parts(named)

    assert part.upstream_body == {
        "name_scope": "a.example",
        "email_array": ["admin@a.example", "jane@x.test"],
        "locale": "de",
    }
    assert DOMAINS.parts(ResendRequest(7))[1].upstream_body == {"name_scope": "b.example"}


def test_named_recipients_are_split_by_domain() -> None:
    request = resend_request(
        ("b.example", "admin@b.example"), ("www.a.example", "admin@a.example"), ("*.b.example", "jane@x.test")
    )

    parts = DOMAINS.parts(request)

    assert [(part.domain, part.addresses) for part in parts] == [
        (B, ["admin@b.example", "jane@x.test"]),
        (A, ["admin@a.example"]),
    ]


@pytest.mark.parametrize("recipients", [(), (("a.example", "admin@a.example"),)], ids=["default", "named"])
def test_part_does_not_list_who_was_skipped(recipients: tuple[tuple[str, str], ...]) -> None:
    validated = Skipped(Recipient("done.example", "admin@done.example"), "validated")

    parts = DOMAINS.parts(replace(resend_request(*recipients), skipped=(validated,)))

    assert {part.skipped for part in parts} == {()}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("www.dns.example", "www.dns.example is validated by dns-txt-token, so no email helps."),
        ("done.example", "done.example is already validated at done.example: leave it out."),
    ],
)
def test_recipient_at_a_domain_that_is_not_open_is_refused(name: str, why: str) -> None:
    request = resend_request(("a.example", "admin@a.example"), (name, "jane@x.test"))

    with pytest.raises(RecipientNotAllowed) as caught:
        DOMAINS.parts(request)

    ((path, said),) = caught.value.refused
    assert (path, said.startswith(why)) == ("domain_approval_emails[1].domain", True)


def test_every_refused_recipient_is_named() -> None:
    request = resend_request(("dns.example", "jane@x.test"), ("a.example", "a@x.test"), ("done.example", "b@x.test"))

    with pytest.raises(RecipientNotAllowed) as caught:
        DOMAINS.parts(request)

    assert [path for path, _ in caught.value.refused] == [
        "domain_approval_emails[0].domain",
        "domain_approval_emails[2].domain",
    ]


def test_recipient_of_an_unknown_domain_is_unverified() -> None:
    with pytest.raises(RecipientUnverified, match=r"domain of other\.example for order 7"):
        DOMAINS.parts(resend_request(("dns.example", "jane@x.test"), ("other.example", "jane@x.test")))


def test_request_about_no_domain_has_no_scope() -> None:
    with pytest.raises(ValueError, match="not about a domain"):
        scope_of(ResendRequest(7))


# The addresses that CertCentral lists


def part(*addresses: str, domain: Domain = A) -> ResendRequest:
    return replace(resend_request(*((domain.scope, each) for each in addresses)), domain=domain)


@pytest.mark.parametrize("scope", ["a.example", "A.example", "*.a.example", None])
def test_listed_address_is_accepted(scope: str | None) -> None:
    asked = part("admin@a.example")

    assert check_listed([(asked, DomainEmails(scope, ("admin@a.example",)))]) == [asked]


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("Admin@a.example", "admin@a.example"),
        ("admin@a.example", "Admin@A.EXAMPLE"),
        ("Jane.Doe@x.test", "jane.doe@X.test"),
        ("jane@xn--bcher-kva.example", "jane@b\u00fccher.example"),
        ("jane@b\u00fccher.example", "jane@XN--bcher-kva.example"),
    ],
)
def test_address_is_spelt_as_certcentral_lists_it(address: str, listed: str) -> None:
    (checked,) = check_listed([(part(address), DomainEmails("a.example", ("other@x.test", listed)))])

    assert checked.upstream_body["email_array"] == [listed]


def test_address_listed_twice_is_spelt_as_the_first() -> None:
    emails = DomainEmails("a.example", ("Jane@x.test", "jane@X.test"))

    (checked,) = check_listed([(part("jane@x.test"), emails)])

    assert checked.addresses == ["Jane@x.test"]


@pytest.mark.parametrize("scope", ["b.example", "example", "www.a.example", ""])
def test_list_of_another_scope_checks_nobody(scope: str) -> None:
    emails = DomainEmails(scope, ("admin@a.example",))

    with pytest.raises(RecipientUnverified, match=r"not those of a\.example"):
        check_listed([(part("admin@a.example"), emails)])


def test_unlisted_address_is_refused_with_the_accepted_ones() -> None:
    emails = DomainEmails("a.example", ("admin@a.example", "pki@mail.test"))

    with pytest.raises(RecipientNotAllowed) as caught:
        check_listed([(part("admin@a.example", "jane.doe@x.test"), emails)])

    ((path, why),) = caught.value.refused
    assert path == "domain_approval_emails[1].email"
    assert "j***@x.test is not among the addresses that CertCentral lists for a.example" in why
    assert why.endswith("Accepted: admin@a.example, pki@mail.test.")


def test_empty_list_refuses_everybody() -> None:
    with pytest.raises(RecipientNotAllowed, match="It lists none") as caught:
        check_listed([(part("admin@a.example", "jane@x.test"), DomainEmails(None, ()))])

    assert len(caught.value.refused) == 2


def test_unlisted_addresses_of_every_domain_are_refused() -> None:
    parts = [part("x@x.test"), part("y@x.test", domain=B)]

    with pytest.raises(RecipientNotAllowed) as caught:
        check_listed([(each, DomainEmails(scope_of(each), ("admin@a.example",))) for each in parts])

    assert ["a.example" in why for _, why in caught.value.refused] == [True, True]
    assert "lists for b.example" in caught.value.refused[1][1]


def test_listed_parts_keep_their_order() -> None:
    parts = [part("x@x.test", domain=B), part("y@x.test")]

    assert check_listed((each, DomainEmails(None, ("x@x.test", "y@x.test"))) for each in parts) == parts


# Names that no email validates


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_ip_address_without_entry_prevents_no_send(address: str) -> None:
    assert domains_of(entry("a.example", 1), names=("a.example", address)).open == (Domain(1, "a.example"),)


# Property: any validation


SCOPES = ["a.example", "*.a.example", "www.a.example", "b.example", ""]
NAMES = ["a.example", "www.a.example", "*.a.example", "x.b.example", "b.example", "listed.test"]
ENTRIES = st.lists(
    st.builds(
        NameStatus,
        st.sampled_from(SCOPES),
        st.sampled_from(["pending", "approved"]),
        st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
        st.sampled_from([False, False, True]),
        st.sampled_from([1, 2, 3, None]),
        st.sampled_from(["email", "EMAIL", "dns-txt-token", None]),
    ),
    max_size=6,
)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(ENTRIES, st.lists(st.sampled_from(NAMES), max_size=3).map(tuple), st.sampled_from(["email", "http-token", None]))
def test_open_domains_are_those_of_open_entries(
    entries: list[NameStatus], names: tuple[str, ...], method: str | None
) -> None:
    waiting = [each for each in entries if each.status != "approved" or each.expired]
    by_email = [each for each in waiting if (each.method or method or "").lower() == "email"]

    try:
        domains = domains_of(*entries, names=names, method=method)
    except RecipientUnverified:
        ids: dict[str, set[int | None]] = {}
        for each in by_email:
            ids.setdefault(without_wildcard(each.scope), set()).add(each.domain_id)
        several = any(len(found) > 1 for found in ids.values())
        assert names or several or any(each.domain_id is None or not each.scope for each in by_email)
        return
    except OrderNotEligible:
        assert (entries, names) == ([], ())
        return

    assert {domain.record_id for domain in domains.open} == {
        Domain(each.domain_id or 0, each.scope).record_id for each in by_email
    }
    assert len(set(domains.open)) == len(domains.open)
    assert [each.domain for each in domains.parts(ResendRequest(7))] == list(domains.open)
