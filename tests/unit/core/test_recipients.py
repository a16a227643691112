"""Who may be mailed about a name: the rule, on real input, against real DNS on loopback."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dev.emulator.nameserver import NameServer, Zone
from dv_resend.adapters.dns_contacts import DnsContacts
from dv_resend.core.addresses import authorization_domains, constructed_addresses, is_public_suffix
from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts, Verdict, check_recipients, domains_to_look_up, judge
from dv_resend.core.requests import Recipient, ResendRequest
from dv_resend.errors import InvalidRequest, RecipientNotAllowed, RecipientUnverified

CONTACT_LABEL = "_validation-contactemail"
FIVE = ["admin", "administrator", "hostmaster", "postmaster", "webmaster"]
ALLOWED = {"constructed", "txt_contact", "caa_contact"}
# Only these reasons are found by a look-up.
ASKED = {"txt_contact", "caa_contact", "not_published", "unverified"}
PURE = settings(deadline=None, max_examples=100)


def order(*domains: NameStatus) -> OrderStatus:
    return OrderStatus(7, "pending", "email", domains)


def by_fqdn(*names: str) -> OrderStatus:
    """An order whose names are validated one by one (order_name_scope: fqdn)."""
    return order(*(NameStatus(name.removeprefix("*."), "pending", (name,)) for name in names))


def by_base_domain(scope: str, *names: str) -> OrderStatus:
    """An order whose names are validated together, at their base domain (order_name_scope: base_domain)."""
    return order(NameStatus(scope, "pending", names))


def named(*entries: tuple[str, ...]) -> tuple[Recipient, ...]:
    """Read ``(domain, email)`` and ``(domain, email, email_domain)`` as they arrive from a caller."""
    items = [dict(zip(("domain", "email", "email_domain"), entry, strict=False)) for entry in entries]
    return ResendRequest.from_input({"order_id": 7, "domain_approval_emails": items}).recipients


@dataclass(frozen=True)
class Published:
    """Look-ups that are told what to say, and that note what they were asked."""

    contacts: Mapping[str, Contacts] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    def __call__(self, places: Any) -> dict[str, Contacts]:
        wanted = list(places)
        self.asked.append(wanted)
        return {place: self.contacts.get(place, Contacts()) for place in wanted}


def judged_by(recipient: Recipient, of: OrderStatus, look_up: Callable[..., Mapping[str, Contacts]]) -> Verdict:
    """Look up what must be, and judge."""
    places = domains_to_look_up([recipient], of)
    return judge(recipient, of, look_up(places) if places else {})


# The table


@dataclass(frozen=True)
class Case:
    """One address about one name. By default the order has that very name, in a scope of its own, and DNS is empty.

    ``expected`` is the verdict's reason, or the field of the `InvalidRequest` with which the input is refused.
    ``txt`` and ``caa`` are contacts by the name that publishes them; ``records`` are any other CAA; ``down`` are
    questions that DNS does not answer.
    """

    id: str
    domain: Any
    email: Any
    expected: str
    email_domain: Any = None
    names: Sequence[str] = ()
    scope: str | None = None
    txt: Mapping[str, str] = field(default_factory=dict)
    caa: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)
    down: Sequence[tuple[str, str]] = ()
    order: OrderStatus | None = None
    # The look-up goes before the order's names are all known.
    costs_a_look_up: bool = False

    @property
    def order_status(self) -> OrderStatus:
        if self.order is not None:
            return self.order
        names = self.names or (self.domain,)
        return by_base_domain(self.scope, *names) if self.scope else by_fqdn(*names)

    @property
    def fields(self) -> dict[str, Any]:
        entry = {"domain": self.domain, "email": self.email}
        if self.email_domain is not None:
            entry["email_domain"] = self.email_domain
        return {"order_id": 7, "domain_approval_emails": [entry]}


CASES = [
    # The five addresses at the name itself
    *(Case(f"{local}_at_the_name", "example.com", f"{local}@example.com", "constructed") for local in FIVE),
    Case("at_a_www_name", "www.example.com", "admin@www.example.com", "constructed"),
    Case("at_a_deep_name", "a.b.c.example.com", "admin@a.b.c.example.com", "constructed"),
    Case("email_domain_repeats_the_name", "example.com", "admin@example.com", "constructed", "example.com"),
    Case("at_a_name_in_base_scope", "www.example.com", "admin@www.example.com", "constructed", scope="example.com"),
    Case(
        "asked_about_the_scope_itself",
        "example.com",
        "admin@example.com",
        "constructed",
        names=["www.example.com"],
        scope="example.com",
    ),
    # Near misses of the five
    *(
        Case(f"near_miss_{local}", "example.com", f"{local}@example.com", "not_published")
        for local in ("admins", "root", "info", "hostmaster1", "web-master", "post.master", "security", "adm1n", "ssl")
    ),
    Case("a_plus_address", "example.com", "admin+ssl@example.com", "not_published"),
    Case("a_percent_hack", "example.com", "admin%evil.test@example.com", "not_published"),
    # Parents
    Case("at_the_parent_unsaid", "www.example.com", "admin@example.com", "needs_email_domain"),
    Case("at_the_parent", "www.example.com", "admin@example.com", "constructed", "example.com"),
    Case(
        "at_the_parent_in_base_scope",
        "www.example.com",
        "admin@example.com",
        "constructed",
        "example.com",
        scope="example.com",
    ),
    Case(
        "at_the_parent_unsaid_in_base_scope",
        "www.example.com",
        "admin@example.com",
        "needs_email_domain",
        scope="example.com",
    ),
    Case("at_the_grandparent_unsaid", "a.b.example.com", "admin@example.com", "needs_email_domain"),
    Case("at_the_grandparent", "a.b.example.com", "admin@example.com", "constructed", "example.com"),
    Case("in_the_middle", "a.b.example.com", "admin@b.example.com", "constructed", "b.example.com"),
    Case("in_the_middle_unsaid", "a.b.example.com", "admin@b.example.com", "needs_email_domain"),
    Case("above_its_email_domain", "a.b.example.com", "admin@example.com", "needs_email_domain", "b.example.com"),
    Case("below_its_email_domain", "a.b.example.com", "admin@b.example.com", "needs_email_domain", "example.com"),
    Case(
        "at_the_name_with_the_parent_named",
        "www.example.com",
        "admin@www.example.com",
        "needs_email_domain",
        "example.com",
    ),
    Case(
        "at_the_parent_unsaid_although_published",
        "www.example.com",
        "admin@example.com",
        "needs_email_domain",
        txt={"www.example.com": "admin@example.com"},
    ),
    Case("wrong_local_part_at_the_parent", "www.example.com", "info@example.com", "not_published", "example.com"),
    Case("at_a_parent_under_co_uk", "www.example.co.uk", "admin@example.co.uk", "constructed", "example.co.uk"),
    # Wildcards
    Case("wildcard", "*.example.com", "admin@example.com", "constructed"),
    Case("wildcard_with_email_domain", "*.example.com", "admin@example.com", "constructed", "example.com"),
    Case("wildcard_below", "*.shop.example.com", "admin@shop.example.com", "constructed"),
    Case("wildcard_at_its_parent_unsaid", "*.shop.example.com", "admin@example.com", "needs_email_domain"),
    Case("wildcard_at_its_parent", "*.shop.example.com", "admin@example.com", "constructed", "example.com"),
    Case("bare_name_of_a_wildcard", "example.com", "admin@example.com", "constructed", names=["*.example.com"]),
    Case("wildcard_of_a_bare_name", "*.example.com", "admin@example.com", "constructed", names=["example.com"]),
    Case(
        "wildcard_covers_no_name_below", "w.example.com", "admin@example.com", "not_on_order", names=["*.example.com"]
    ),
    Case("wildcard_in_base_scope", "*.example.com", "admin@example.com", "constructed", scope="example.com"),
    Case(
        "wildcard_with_a_txt_contact",
        "*.example.com",
        "pki@mail.test",
        "txt_contact",
        txt={"example.com": "pki@mail.test"},
    ),
    Case("wildcard_as_email_domain", "*.example.com", "admin@example.com", "email_domain", "*.example.com"),
    Case("wildcard_as_host", "*.example.com", "admin@*.example.com", "email"),
    # Public suffixes
    Case("tld_as_email_domain", "example.com", "admin@example.com", "email_domain", "com"),
    Case("tld_as_host", "example.com", "admin@com", "email"),
    Case("co_uk", "example.co.uk", "admin@co.uk", "public_suffix", "co.uk"),
    Case("co_uk_unsaid", "example.co.uk", "admin@co.uk", "public_suffix"),
    Case("co_uk_from_below", "www.example.co.uk", "admin@co.uk", "public_suffix", "co.uk"),
    Case("co_uk_with_the_right_address", "example.co.uk", "admin@example.co.uk", "public_suffix", "co.uk"),
    Case(
        "co_uk_with_a_contact",
        "example.co.uk",
        "pki@mail.test",
        "public_suffix",
        "co.uk",
        txt={"co.uk": "pki@mail.test", "example.co.uk": "pki@mail.test"},
    ),
    Case("github_io", "team.github.io", "admin@github.io", "public_suffix", "github.io"),
    Case("name_below_github_io", "team.github.io", "admin@team.github.io", "constructed"),
    Case("github_io_itself_ordered", "github.io", "admin@github.io", "constructed"),
    Case("github_io_is_the_scope", "team.github.io", "admin@github.io", "constructed", "github.io", scope="github.io"),
    Case("kobe_jp", "shop.foo.kobe.jp", "admin@foo.kobe.jp", "public_suffix", "foo.kobe.jp"),
    Case("kobe_jp_parent", "a.shop.foo.kobe.jp", "admin@shop.foo.kobe.jp", "constructed", "shop.foo.kobe.jp"),
    Case("city_kobe_jp_is_an_exception", "www.city.kobe.jp", "admin@city.kobe.jp", "constructed", "city.kobe.jp"),
    Case("above_city_kobe_jp", "www.city.kobe.jp", "admin@kobe.jp", "public_suffix", "kobe.jp"),
    Case("ck", "shop.foo.ck", "admin@foo.ck", "public_suffix", "foo.ck"),
    Case("www_ck_is_an_exception", "shop.www.ck", "admin@www.ck", "constructed", "www.ck"),
    Case(
        "idn_suffix",
        "www.食狮.公司.cn",
        "admin@公司.cn",
        "public_suffix",
        "公司.cn",
        names=["www.xn--85x722f.xn--55qx5d.cn"],
    ),
    Case(
        "parent_under_an_idn_suffix",
        "www.食狮.公司.cn",
        "admin@食狮.公司.cn",
        "constructed",
        "食狮.公司.cn",
        names=["www.xn--85x722f.xn--55qx5d.cn"],
    ),
    Case(
        "contact_at_a_public_suffix_is_not_looked_for",
        "example.co.uk",
        "pki@mail.test",
        "not_published",
        txt={"co.uk": "pki@mail.test"},
        caa={"uk": "pki@mail.test"},
    ),
    # Look-alikes and relatives
    Case("look_alike_shorter", "example.com", "admin@ample.com", "not_published"),
    Case("look_alike_longer", "example.com", "admin@notexample.com", "not_published"),
    Case("look_alike_in_front", "example.com", "admin@example.com.evil.test", "not_published"),
    Case("look_alike_cut_short", "example.com", "admin@example.co", "not_published"),
    Case("look_alike_tld", "example.com", "admin@example.org", "not_published"),
    Case("look_alike_cyrillic", "example.com", "admin@ex\u0430mple.com", "not_published"),
    Case("look_alike_as_email_domain", "example.com", "admin@ample.com", "email_domain", "ample.com"),
    Case("sibling", "www.example.com", "admin@mail.example.com", "not_published"),
    Case("sibling_as_email_domain", "www.example.com", "admin@mail.example.com", "email_domain", "mail.example.com"),
    Case("child", "example.com", "admin@www.example.com", "not_published"),
    Case("child_as_email_domain", "example.com", "admin@www.example.com", "email_domain", "www.example.com"),
    # International names
    Case("u_label", "b\u00fccher.example", "admin@b\u00fccher.example", "constructed", names=["xn--bcher-kva.example"]),
    Case(
        "u_label_name",
        "B\u00dcCHER.example",
        "admin@xn--bcher-kva.example",
        "constructed",
        names=["xn--bcher-kva.example"],
    ),
    Case("u_label_address", "xn--bcher-kva.example", "admin@b\u00fccher.example", "constructed"),
    Case("decomposed_u_label", "xn--bcher-kva.example", "admin@bu\u0308cher.example", "constructed"),
    Case("ideographic_dot", "example\u3002com", "admin@example.com", "constructed", names=["example.com"]),
    Case(
        "u_label_email_domain",
        "www.b\u00fccher.example",
        "admin@xn--bcher-kva.example",
        "constructed",
        "b\u00fccher.example",
        names=["www.xn--bcher-kva.example"],
    ),
    Case(
        "sharp_s_is_not_ss",
        "stra\u00dfe.example",
        "admin@strasse.example",
        "not_published",
        names=["xn--strae-oqa.example"],
    ),
    Case(
        "u_label_contact",
        "example.com",
        "pki@xn--bcher-kva.example",
        "txt_contact",
        txt={"example.com": "pki@b\u00fccher.example"},
    ),
    Case(
        "u_label_address_of_a_contact",
        "example.com",
        "pki@b\u00fccher.example",
        "caa_contact",
        caa={"example.com": "pki@XN--BCHER-KVA.example"},
    ),
    # Upper case
    Case("upper_case_local_part", "example.com", "ADMIN@example.com", "constructed"),
    Case(
        "upper_case_everywhere", "EXAMPLE.com", "Admin@Example.COM", "constructed", "eXample.com", names=["example.com"]
    ),
    Case("upper_case_order", "example.com", "admin@example.com", "constructed", names=["EXAMPLE.Com"]),
    Case("upper_case_contact", "example.com", "pki@mail.test", "txt_contact", txt={"example.com": "PKI@MAIL.Test"}),
    Case("upper_case_caa_contact", "example.com", "pki@mail.test", "caa_contact", caa={"example.com": "PKI@MAIL.Test"}),
    Case(
        "upper_case_address_of_a_contact",
        "example.com",
        "PkI@mail.test",
        "caa_contact",
        caa={"example.com": "pki@mail.test"},
    ),
    # Contacts in DNS
    Case("txt_contact", "example.com", "pki@mail.test", "txt_contact", txt={"example.com": "pki@mail.test"}),
    Case(
        "txt_contact_at_the_parent",
        "www.example.com",
        "pki@mail.test",
        "txt_contact",
        txt={"example.com": "pki@mail.test"},
    ),
    Case(
        "txt_contact_at_the_grandparent",
        "a.b.example.com",
        "pki@mail.test",
        "txt_contact",
        txt={"example.com": "pki@mail.test"},
    ),
    Case(
        "txt_contacts_at_the_name_and_above_all_count",
        "www.example.com",
        "pki@mail.test",
        "txt_contact",
        txt={"www.example.com": "other@mail.test", "example.com": "pki@mail.test"},
    ),
    Case(
        "txt_contact_of_the_email_domain",
        "www.example.com",
        "pki@mail.test",
        "txt_contact",
        "example.com",
        txt={"example.com": "pki@mail.test"},
    ),
    Case(
        "txt_contact_below_the_email_domain",
        "www.example.com",
        "pki@mail.test",
        "not_published",
        "example.com",
        txt={"www.example.com": "pki@mail.test"},
    ),
    Case(
        "txt_contact_of_a_child",
        "example.com",
        "pki@mail.test",
        "not_published",
        txt={"www.example.com": "pki@mail.test"},
    ),
    Case(
        "txt_contact_of_a_sibling",
        "www.example.com",
        "pki@mail.test",
        "not_published",
        txt={"a.example.com": "pki@mail.test"},
    ),
    Case(
        "txt_contact_of_the_address_host_only",
        "example.com",
        "pki@mail.test",
        "not_published",
        txt={"mail.test": "pki@mail.test"},
    ),
    Case(
        "txt_contact_of_another_name_of_the_order",
        "example.com",
        "pki@mail.test",
        "not_published",
        names=["example.com", "example.org"],
        txt={"example.org": "pki@mail.test"},
    ),
    Case(
        "txt_contact_of_another_host",
        "example.com",
        "pki@mail.test",
        "not_published",
        txt={"example.com": "pki@test.test"},
    ),
    Case("caa_contact", "example.com", "pki@mail.test", "caa_contact", caa={"example.com": "pki@mail.test"}),
    Case(
        "caa_contact_at_the_parent",
        "www.example.com",
        "pki@mail.test",
        "caa_contact",
        caa={"example.com": "pki@mail.test"},
    ),
    Case(
        "caa_contact_hidden_by_a_set_at_the_name",
        "www.example.com",
        "pki@mail.test",
        "not_published",
        caa={"example.com": "pki@mail.test"},
        records={"www.example.com": '0 issue "digicert.com"'},
    ),
    Case(
        "caa_contact_of_a_sibling",
        "www.example.com",
        "pki@mail.test",
        "not_published",
        caa={"a.example.com": "pki@mail.test"},
    ),
    Case(
        "txt_and_caa_contact",
        "example.com",
        "pki@mail.test",
        "txt_contact",
        txt={"example.com": "pki@mail.test"},
        caa={"example.com": "pki@mail.test"},
    ),
    Case(
        "plus_address_as_a_contact", "example.com", "a+b@mail.test", "txt_contact", txt={"example.com": "a+b@mail.test"}
    ),
    Case(
        "plus_address_is_not_its_base",
        "example.com",
        "a+b@mail.test",
        "not_published",
        txt={"example.com": "a@mail.test"},
    ),
    Case(
        "role_address_elsewhere_as_a_contact",
        "example.com",
        "admin@mail.test",
        "txt_contact",
        txt={"example.com": "admin@mail.test"},
    ),
    Case(
        "role_address_at_a_child_as_a_contact",
        "example.com",
        "admin@w.example.com",
        "caa_contact",
        caa={"example.com": "admin@w.example.com"},
    ),
    Case(
        "look_alike_as_a_contact",
        "example.com",
        "admin@ample.com",
        "txt_contact",
        txt={"example.com": "admin@ample.com"},
    ),
    Case(
        "ordered_public_suffix_with_a_contact",
        "github.io",
        "pki@mail.test",
        "txt_contact",
        txt={"github.io": "pki@mail.test"},
    ),
    # DNS that does not answer
    Case(
        "unanswered_txt", "example.com", "pki@mail.test", "unverified", down=[(f"{CONTACT_LABEL}.example.com", "TXT")]
    ),
    Case("unanswered_caa", "example.com", "pki@mail.test", "unverified", down=[("example.com", "CAA")]),
    Case(
        "unanswered_txt_at_the_parent",
        "www.example.com",
        "pki@mail.test",
        "unverified",
        down=[(f"{CONTACT_LABEL}.example.com", "TXT")],
    ),
    Case(
        "unanswered_caa_at_the_parent", "www.example.com", "pki@mail.test", "unverified", down=[("example.com", "CAA")]
    ),
    Case(
        "found_although_another_question_is_unanswered",
        "example.com",
        "pki@mail.test",
        "txt_contact",
        txt={"example.com": "pki@mail.test"},
        down=[("example.com", "CAA")],
    ),
    Case(
        "found_above_although_the_name_is_unanswered",
        "www.example.com",
        "pki@mail.test",
        "txt_contact",
        txt={"example.com": "pki@mail.test"},
        down=[(f"{CONTACT_LABEL}.www.example.com", "TXT")],
    ),
    Case(
        "caa_found_although_txt_is_unanswered",
        "example.com",
        "pki@mail.test",
        "caa_contact",
        caa={"example.com": "pki@mail.test"},
        down=[(f"{CONTACT_LABEL}.example.com", "TXT")],
    ),
    Case(
        "constructed_while_dns_is_away",
        "example.com",
        "admin@example.com",
        "constructed",
        down=[(f"{CONTACT_LABEL}.example.com", "TXT"), ("example.com", "CAA")],
    ),
    # The order
    Case("not_on_the_order", "example.net", "admin@example.net", "not_on_order", names=["example.com"]),
    Case("parent_of_the_ordered_name", "example.com", "admin@example.com", "not_on_order", names=["www.example.com"]),
    Case(
        "child_of_the_ordered_name",
        "www.example.com",
        "admin@example.com",
        "not_on_order",
        "example.com",
        names=["example.com"],
    ),
    Case(
        "other_name_in_the_same_scope",
        "shop.example.com",
        "admin@example.com",
        "not_on_order",
        "example.com",
        names=["www.example.com"],
        scope="example.com",
    ),
    Case("look_alike_of_the_ordered_name", "ample.com", "admin@ample.com", "not_on_order", names=["example.com"]),
    Case(
        "not_on_the_order_although_published",
        "example.net",
        "pki@mail.test",
        "not_on_order",
        names=["example.com"],
        txt={"example.net": "pki@mail.test"},
        costs_a_look_up=True,
    ),
    Case(
        "not_on_the_order_goes_before_public_suffix",
        "example.co.uk",
        "admin@co.uk",
        "not_on_order",
        "co.uk",
        names=["example.com"],
    ),
    Case(
        "address_of_another_ordered_name",
        "example.com",
        "admin@example.org",
        "not_published",
        names=["example.com", "example.org"],
    ),
    Case(
        "second_of_the_ordered_names",
        "example.org",
        "admin@example.org",
        "constructed",
        names=["example.com", "example.org"],
    ),
    Case(
        "name_that_only_the_order_tells",
        "www.example.com",
        "admin@example.com",
        "constructed",
        "example.com",
        order=order(NameStatus("example.org", "pending"), NameStatus("", "unknown", ("www.example.com",))),
    ),
    Case(
        "scope_without_names",
        "example.com",
        "admin@example.com",
        "constructed",
        order=order(NameStatus("example.com", "pending")),
    ),
    # What is no address, or no name
    Case("quoted_local_part", "example.com", '"admin"@example.com', "email"),
    Case("quoted_at_sign", "example.com", '"a@b"@example.com', "email"),
    Case("display_name", "example.com", "Admin <admin@example.com>", "email"),
    Case("two_addresses", "example.com", "admin@example.com,pki@mail.test", "email"),
    Case("two_at_signs", "example.com", "admin@evil.test@example.com", "email"),
    Case("line_break", "example.com", "admin@example.com\n", "email"),
    Case("leading_space", "example.com", " admin@example.com", "email"),
    Case("nul", "example.com", "admin\x00@example.com", "email"),
    Case("local_part_with_a_last_dot", "example.com", "admin.@example.com", "email"),
    Case("local_part_beyond_ascii", "example.com", "\u00e4dmin@example.com", "email"),
    Case("full_width_local_part", "example.com", "\uff41dmin@example.com", "email"),
    Case("no_local_part", "example.com", "@example.com", "email"),
    Case("no_host", "example.com", "admin", "email"),
    Case("ip_literal", "example.com", "admin@[192.0.2.1]", "email"),
    Case("ip_host", "example.com", "admin@192.0.2.1", "email"),
    Case("trailing_dot_of_the_host", "example.com", "admin@example.com.", "email"),
    Case("trailing_dot_of_the_domain", "example.com.", "admin@example.com", "domain"),
    Case("trailing_dot_of_the_email_domain", "www.example.com", "admin@example.com", "email_domain", "example.com."),
    Case("leading_dot_of_the_email_domain", "www.example.com", "admin@example.com", "email_domain", ".example.com"),
    Case("empty_email_domain", "www.example.com", "admin@example.com", "email_domain", ""),
    Case("ip_address_as_domain", "192.0.2.1", "admin@example.com", "domain"),
    Case("single_label_domain", "localhost", "admin@localhost", "domain"),
    Case("underscore_in_the_domain", "_dmarc.example.com", "admin@example.com", "domain"),
    Case("wildcard_in_the_middle", "www.*.example.com", "admin@example.com", "domain"),
    Case("two_stars", "*.*.example.com", "admin@example.com", "domain"),
    Case("no_text", 7, "admin@example.com", "domain"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with NameServer(Zone()) as running:
        yield running


@pytest.fixture
def publish(server: NameServer) -> Callable[[Case], DnsContacts]:
    """Publish what a case says, and give the look-ups of one request."""

    def prepare(case: Case) -> DnsContacts:
        zone = server.zone
        zone.clear()
        server.clear_queries()
        for name, contact in case.txt.items():
            zone.set(f"{CONTACT_LABEL}.{name}", "TXT", [_quoted(contact)])
        for name, contact in case.caa.items():
            zone.set(name, "CAA", [f"0 contactemail {_quoted(contact)}"])
        for name, record in case.records.items():
            zone.set(name, "CAA", [record])
        for name, kind in case.down:
            zone.fault(name, "servfail", kind)
        host, _, port = server.address.rpartition(":")
        return DnsContacts(((host, int(port)),))

    return prepare


def _quoted(text: str) -> str:
    """UTF-8 in presentation format."""
    return '"' + "".join(chr(byte) if 32 < byte < 127 else f"\\{byte:03}" for byte in text.encode()) + '"'


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_address_gets_the_documented_verdict(
    case: Case, publish: Callable[[Case], DnsContacts], server: NameServer
) -> None:
    lookup = publish(case)
    try:
        recipients = ResendRequest.from_input(case.fields).recipients
    except InvalidRequest as refused:
        got, is_allowed = refused.field.removeprefix("domain_approval_emails[0]."), False
    else:
        verdict = judged_by(recipients[0], case.order_status, lookup.contacts)
        got, is_allowed = verdict.reason, verdict.is_allowed

    assert got == case.expected
    assert is_allowed == (case.expected in ALLOWED)
    assert bool(server.queries) == (case.expected in ASKED or case.costs_a_look_up)


def test_the_table_is_as_long_as_promised_and_knows_every_reason() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 75
    reasons = set(Verdict.__annotations__["reason"].__args__)
    assert reasons <= {case.expected for case in CASES} <= reasons | {"domain", "email", "email_domain"}


# Registrable domains


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com", ["example.com"]),
        ("www.example.com", ["www.example.com", "example.com"]),
        ("a.b.example.com", ["a.b.example.com", "b.example.com", "example.com"]),
        ("*.a.example.com", ["a.example.com", "example.com"]),
        ("WWW.Example.COM", ["www.example.com", "example.com"]),
        ("www.example.co.uk", ["www.example.co.uk", "example.co.uk"]),
        ("team.github.io", ["team.github.io"]),
        ("a.team.github.io", ["a.team.github.io", "team.github.io"]),
        ("a.b.foo.kobe.jp", ["a.b.foo.kobe.jp", "b.foo.kobe.jp"]),
        ("www.city.kobe.jp", ["www.city.kobe.jp", "city.kobe.jp"]),
        ("a.www.ck", ["a.www.ck", "www.ck"]),
        ("a.b.foo.ck", ["a.b.foo.ck", "b.foo.ck"]),
        ("www.xn--85x722f.xn--55qx5d.cn", ["www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"]),
        ("www.example.not-a-tld", ["www.example.not-a-tld", "example.not-a-tld"]),
        # Public suffixes, ordered by their owner
        ("co.uk", ["co.uk"]),
        ("github.io", ["github.io"]),
        ("*.github.io", ["github.io"]),
        ("foo.kobe.jp", ["foo.kobe.jp"]),
        ("unknown", ["unknown"]),
    ],
)
def test_authorization_names_end_at_the_registrable_domain(name: str, expected: list[str]) -> None:
    assert authorization_domains(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("com", "co.uk", "github.io", "kobe.jp", "foo.kobe.jp", "foo.ck", "xn--55qx5d.cn")),
        *((name, False) for name in ("example.com", "example.co.uk", "a.github.io", "city.kobe.jp", "www.ck")),
    ],
)
def test_public_suffixes_are_known_with_their_wildcards_and_exceptions(name: str, expected: bool) -> None:
    assert is_public_suffix(name) is expected


def test_a_ca_constructs_five_addresses() -> None:
    assert constructed_addresses("example.com") == [f"{local}@example.com" for local in FIVE]


# check_recipients: what callers are told


def checked(
    recipients: Sequence[Recipient], of: OrderStatus, look_up: Callable[..., Mapping[str, Contacts]] = Published()
) -> None:
    """Look up what must be, and check_recipients."""
    places = domains_to_look_up(recipients, of)
    check_recipients(recipients, of, look_up(places) if places else {})


def refused(
    recipients: Sequence[Recipient], of: OrderStatus, look_up: Callable[..., Mapping[str, Contacts]] = Published()
) -> RecipientNotAllowed:
    with pytest.raises(RecipientNotAllowed) as caught:
        checked(recipients, of, look_up)
    return caught.value


def unverified(
    recipients: Sequence[Recipient], of: OrderStatus, look_up: Callable[..., Mapping[str, Contacts]]
) -> RecipientUnverified:
    with pytest.raises(RecipientUnverified) as caught:
        checked(recipients, of, look_up)
    return caught.value


def test_nobody_named_is_nothing_to_check() -> None:
    assert domains_to_look_up((), by_fqdn("example.com")) == []
    for of in (by_fqdn("example.com"), order(), order(NameStatus("", "pending"))):
        check_recipients((), of, {})


def test_constructed_addresses_are_never_looked_up() -> None:
    recipients = named(
        ("example.com", "admin@example.com"), ("www.example.com", "webmaster@example.com", "example.com")
    )

    ordered = by_fqdn("example.com", "www.example.com")

    assert domains_to_look_up(recipients, ordered) == []
    check_recipients(recipients, ordered, {})


def test_all_others_are_looked_up_together_each_place_once() -> None:
    look_up = Published({"example.com": Contacts(txt=("pki@mail.test",)), "b.test": Contacts(caa=("it@mail.test",))})
    recipients = named(
        ("www.example.com", "pki@mail.test", "example.com"),
        ("b.test", "it@mail.test"),
        ("*.b.test", "it@mail.test"),
        ("example.com", "pki@mail.test"),
        ("example.com", "admin@example.com"),
        ("c.test", "admin@c.test"),
    )

    checked(recipients, by_fqdn("example.com", "www.example.com", "b.test", "*.b.test", "c.test"), look_up)

    assert look_up.asked == [["example.com", "b.test"]]


def test_a_refusal_that_needs_no_dns_asks_for_the_others_only() -> None:
    look_up = Published()
    recipients = named(("www.example.com", "admin@example.com"), ("b.test", "it@mail.test"))

    refused(recipients, by_fqdn("www.example.com", "b.test"), look_up)

    assert look_up.asked == [["b.test"]]


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
def test_the_field_that_is_wrong_is_named(entry: tuple[str, ...], path: str) -> None:
    error = refused(named(entry), by_fqdn("www.example.com", "example.co.uk"))

    assert error.code == f"recipient_not_allowed|domain_approval_emails[0].{path}"
    assert [code for code, _ in error.entries] == [error.code]
    assert error.message.startswith(f"domain_approval_emails[0].{path}: ")
    assert (error.http_status, error.retryable, error.scope) == (422, False, "order")


def test_positions_are_those_of_the_callers_list_after_duplicates_were_removed() -> None:
    recipients = named(
        ("example.com", "admin@example.com"),
        ("example.com", "ADMIN@example.com"),
        ("example.com", "admin@EXAMPLE.com", "example.com"),
        ("example.com", "jane@mail.test"),
        ("Example.com", "Jane@mail.test"),
        ("www.example.com", "admin@example.com"),
    )
    assert len(recipients) == 3

    error = refused(recipients, by_fqdn("example.com", "www.example.com"))

    assert [code for code, _ in error.entries] == [
        "recipient_not_allowed|domain_approval_emails[3].email",
        "recipient_not_allowed|domain_approval_emails[5].email_domain",
    ]


def test_a_parent_unsaid_is_answered_with_the_exact_email_domain_to_add() -> None:
    ((_, why),) = refused(named(("a.b.example.com", "admin@b.example.com")), by_fqdn("a.b.example.com")).entries

    assert "admin@b.example.com" in why
    assert re.findall(r'"email_domain": "([^"]+)"', why) == ["b.example.com"]


def test_what_is_added_as_told_is_then_allowed() -> None:
    entry = ("a.b.example.com", "admin@example.com")
    ((_, why),) = refused(named(entry), by_fqdn("a.b.example.com")).entries
    told = re.search(r'"email_domain": "(.+)"', why)
    assert told is not None

    check_recipients(named((*entry, told[1])), by_fqdn("a.b.example.com"), {})


def test_an_email_domain_too_much_is_told_to_be_left_out() -> None:
    ((_, why),) = refused(
        named(("www.example.com", "admin@www.example.com", "example.com")), by_fqdn("www.example.com")
    ).entries

    assert "admin@www.example.com" in why
    assert why.endswith("leave email_domain out.")


def test_an_unpublished_address_is_masked_and_answered_with_all_accepted_ones() -> None:
    look_up = Published({"a.b.example.com": Contacts(txt=("pki@mail.test",), caa=("it@mail.test", "pki@mail.test"))})

    error = refused(named(("a.b.example.com", "jane.doe@mail.test")), by_fqdn("a.b.example.com"), look_up)

    assert error.message.startswith(
        "domain_approval_emails[0].email: j***@mail.test is neither constructed_addresses nor"
    )
    assert "TXT at _validation-contactemail.a.b.example.com, or CAA contactemail" in error.message
    assert "jane" not in str(error.entries) + str(error)
    listed = error.message.partition("Accepted: ")[2]
    assert re.findall(r"\S+@[a-z.]*[a-z]", listed) == [
        *constructed_addresses("a.b.example.com"),
        "pki@mail.test",
        "it@mail.test",
    ]
    assert "at b.example.com or example.com, with that as email_domain" in listed


def test_a_role_address_that_is_refused_is_shown_as_it_is() -> None:
    error = refused(named(("example.com", "admin@ample.com")), by_fqdn("example.com"))

    assert "admin@ample.com is neither constructed_addresses nor published" in error.message


@pytest.mark.parametrize("entry", [("example.co.uk", "j.doe@mail.test", "co.uk"), ("example.co.uk", "admin@co.uk")])
def test_a_public_suffix_is_named_with_what_would_be_accepted_at_the_name(entry: tuple[str, ...]) -> None:
    ((_, why),) = refused(named(entry), by_fqdn("example.co.uk")).entries

    assert why.startswith("co.uk is a public suffix")
    assert why.endswith(f"Accepted: {', '.join(constructed_addresses('example.co.uk'))}.")


def test_a_name_that_is_not_ordered_is_answered_with_those_that_are() -> None:
    ordered = order(
        NameStatus("example.com", "pending", ("www.example.com", "*.example.com")),
        NameStatus("example.org", "approved"),
    )

    ((_, why),) = refused(named(("*.other.test", "admin@other.test")), ordered).entries

    assert why == "*.other.test is no name of this order. Its names are: www.example.com, *.example.com, example.org."


def test_many_ordered_names_are_cut_short() -> None:
    ((_, why),) = refused(
        named(("other.test", "admin@other.test")), by_fqdn(*(f"n{number:02}.test" for number in range(11)))
    ).entries

    assert "n09.test …." in why
    assert "n10.test" not in why


def test_many_contacts_are_cut_short() -> None:
    look_up = Published({"example.com": Contacts(txt=tuple(f"c{number:02}@mail.test" for number in range(50)))})

    error = refused(named(("example.com", "jane@mail.test")), by_fqdn("example.com"), look_up)

    assert re.findall(r"c\d\d@mail\.test", error.message) == [f"c{number:02}@mail.test" for number in range(10)]


def test_every_refused_address_is_listed_but_the_text_stays_short() -> None:
    names = [f"n{number:03}.test" for number in range(250)]

    error = refused(named(*((name, f"jane@{name}") for name in names)), by_fqdn(*names))

    assert [code for code, _ in error.entries] == [
        f"recipient_not_allowed|domain_approval_emails[{number}].email" for number in range(250)
    ]
    assert re.search(r" And 2[0-9]+ more\.$", error.message)
    assert len(error.message) < 16_000


def test_a_refusal_fits_into_a_workflows_history_whatever_dns_says() -> None:
    names = [f"n{number:03}.test" for number in range(20)]
    long = tuple(f"{number}{'x' * 60}@{'.'.join(['y' * 60] * 3)}.test" for number in range(10))

    error = refused(
        named(*((name, f"jane@{name}") for name in names)),
        by_fqdn(*names),
        Published(dict.fromkeys(names, Contacts(txt=long))),
    )

    assert len(str(error)) < 32 * 1024


FAILED = Contacts(failure="DNS did not answer for TXT of _validation-contactemail.example.com (LifetimeTimeout)")


def test_an_address_that_dns_says_nothing_about_is_unverified() -> None:
    error = unverified(
        named(("example.com", "jane.doe@mail.test")), by_fqdn("example.com"), Published({"example.com": FAILED})
    )

    assert "j***@mail.test is a published contact of example.com" in error.message
    assert str(FAILED.failure) in error.message
    assert "Nothing was sent" in error.message
    assert "jane" not in str(error)
    assert (error.code, error.http_status, error.retryable, error.scope) == ("recipient_unverified", 503, True, "order")


@pytest.mark.parametrize("reverse", [False, True])
def test_a_refusal_goes_before_an_address_that_is_unverified(reverse: bool) -> None:
    entries = [("example.com", "jane@mail.test"), ("www.example.com", "admin@example.com")]
    entries = entries[::-1] if reverse else entries

    error = refused(named(*entries), by_fqdn("example.com", "www.example.com"), Published({"example.com": FAILED}))

    ((code, _),) = error.entries
    assert code.endswith("[0].email_domain" if reverse else "[1].email_domain")


def test_a_contact_that_was_found_is_allowed_although_another_question_was_not_answered() -> None:
    found = Contacts(caa=("jane@mail.test",), failure="no answer")

    check_recipients(named(("example.com", "jane@mail.test")), by_fqdn("example.com"), {"example.com": found})


def test_contacts_are_counted_once() -> None:
    assert Contacts(("a@x.test", "b@x.test"), ("b@x.test", "c@x.test")).addresses == [
        "a@x.test",
        "b@x.test",
        "c@x.test",
    ]


@pytest.mark.parametrize("reason", sorted(ASKED - ALLOWED | {"not_on_order"}))
def test_only_a_verdict_without_a_why_is_allowed(reason: Any) -> None:
    assert Verdict("constructed").is_allowed
    assert not Verdict(reason, "because").is_allowed


def test_an_address_at_the_scope_unsaid_is_answered_with_the_email_domain_that_would_be_accepted() -> None:
    ordered = by_base_domain("github.io", "team.github.io")
    check_recipients(named(("team.github.io", "admin@github.io", "github.io")), ordered, {})

    ((_, why),) = refused(named(("team.github.io", "admin@github.io")), ordered).entries

    assert '"email_domain": "github.io"' in why


UNREADABLE = NameStatus("", "pending")


@pytest.mark.parametrize(
    "ordered", [order(), order(UNREADABLE), order(NameStatus("example.com", "pending"), UNREADABLE)], ids=ascii
)
@pytest.mark.parametrize(
    "entry",
    [
        ("example.com", "admin@example.com"),
        # A typo, with which CertCentral might mail everybody.
        ("exmaple.com", "admin@exmaple.com"),
        ("example.com", "jane.doe@mail.test"),
        ("example.co.uk", "admin@co.uk", "co.uk"),
    ],
)
@pytest.mark.parametrize("names", [(), ("example.com",)], ids=["order tells none", "order tells"])
def test_while_no_answer_tells_the_names_of_the_order_nobody_who_is_named_is_mailed(
    ordered: OrderStatus, entry: tuple[str, ...], names: tuple[str, ...]
) -> None:
    ordered = ordered.with_names_of(Order(7, "pending", "dv_ssl_certificate", "email", names=names))
    look_up = Published({"example.com": Contacts(txt=("jane.doe@mail.test",))})
    if names and entry[0] == "example.com":
        checked(named(entry), ordered, look_up)
        return
    if names:
        assert refused(named(entry), ordered, look_up).entries[0][0].endswith("[0].domain")
        return

    error = unverified(named(entry), ordered, look_up)

    assert error.message.startswith("CertCentral does not say which names order 7 has")
    assert "Nothing was sent" in error.message
    assert (error.http_status, error.retryable, error.scope) == (503, True, "order")
    assert "jane" not in str(error)


def test_a_name_that_the_validation_leaves_out_is_known_from_the_order() -> None:
    partly = by_fqdn("a.test")
    recipients = named(("b.test", "admin@b.test"), ("b.test", "pki@mail.test"))
    look_up = Published({"b.test": Contacts(txt=("pki@mail.test",))})
    assert [code for code, _ in refused(recipients, partly, look_up).entries] == [
        "recipient_not_allowed|domain_approval_emails[0].domain",
        "recipient_not_allowed|domain_approval_emails[1].domain",
    ]

    checked(recipients, partly.with_names_of(Order(7, None, None, None, names=("b.test", "a.test"))), look_up)


@pytest.mark.parametrize("names", [("a.test",), ("*.a.test", "b.test"), ("a.test", "c.test")], ids=ascii)
def test_what_is_looked_up_before_the_orders_names_are_known_is_enough_for_the_verdict(names: tuple[str, ...]) -> None:
    """In a resend, DNS is asked before the order; a missing place would be an error there."""
    recipients = named(
        *((name, f"jane@{host}") for name in ("a.test", "*.b.test", "x.c.test") for host in ("b.test", "mail.test")),
        ("x.c.test", "it@mail.test", "c.test"),
    )
    for early in (order(), order(UNREADABLE), by_fqdn("b.test", "x.c.test"), by_base_domain("c.test", "x.c.test")):
        contacts = Published()(domains_to_look_up(recipients, early))
        late = early.with_names_of(Order(7, None, None, None, names=names))

        for recipient in recipients:
            assert judge(recipient, late, contacts).reason in {"not_on_order", "not_published"}


def test_a_wildcard_and_its_bare_name_as_email_domain_ask_for_the_same_email() -> None:
    plain = ResendRequest(7, named(("*.example.com", "admin@example.com")))
    told = ResendRequest(7, named(("*.example.com", "admin@example.com", "example.com")))

    assert plain.claim_key == told.claim_key


# Whatever the input


# A suffix, and whether everything right under it is registrable.
SUFFIXES = ["com", "co.uk", "github.io", "foo.kobe.jp", "foo.ck", "test", "xn--55qx5d.cn"]
LABELS = st.sampled_from(["www", "a", "example", "shop", "com", "co", "xn--bcher-kva"])


@dataclass(frozen=True)
class Name:
    """A name whose suffix is known, so that no list is needed to say what is registrable."""

    labels: tuple[str, ...]
    suffix: str

    @property
    def text(self) -> str:
        return ".".join((*self.labels, self.suffix))

    @property
    def parents(self) -> list[str]:
        """All names above it, the suffix too."""
        return [".".join((*self.labels[start:], self.suffix)) for start in range(1, len(self.labels) + 1)]


NAMES = st.builds(Name, st.lists(LABELS, min_size=1, max_size=3).map(tuple), st.sampled_from(SUFFIXES))
PRIVATE = ["admins", "info", "jane", "a+b", "root"]


@st.composite
def asked(
    draw: st.DrawFn, *, is_ordered: bool = True, local_parts: Sequence[str] = (*FIVE, "Admin", *PRIVATE)
) -> tuple[Name, dict[str, str], OrderStatus, Published]:
    """A name, what a caller says about it, an order with other names too, and what DNS says."""
    name = draw(NAMES)
    others = draw(st.lists(NAMES.filter(lambda other: other != name), min_size=not is_ordered, max_size=2))
    places = [place for place in (name.text, *name.parents) if "." in place]
    hosts = st.sampled_from([*places, *places, *(other.text for other in others), f"x{name.text}", f"www.{name.text}"])
    email = f"{draw(st.sampled_from(local_parts))}@{draw(hosts)}"
    email_domain = draw(st.sampled_from([None, *places]))
    entry = {"domain": name.text, "email": email} | ({"email_domain": email_domain} if email_domain else {})
    ordered = [name, *others] if is_ordered else others
    scopes = [draw(st.sampled_from([other.text, *other.parents])) for other in ordered]
    domains = [
        NameStatus(scope, "pending", (other.text,))
        for scope, other in zip(scopes, ordered, strict=True)
        if is_ordered or scope != name.text
    ]
    assume(domains)
    addresses = st.sampled_from([email, email.upper(), "pki@mail.test", f"it@{name.text}"])
    contacts = st.lists(addresses, max_size=2).map(tuple)
    said = st.builds(Contacts, contacts, contacts, st.sampled_from([None, None, "no answer"]))
    return name, entry, order(*domains), Published({place: draw(said) for place in places})


def judged(entry: dict[str, str], of: OrderStatus, look_up: Published) -> Verdict:
    recipients = ResendRequest.from_input({"order_id": 7, "domain_approval_emails": [entry]}).recipients
    return judged_by(recipients[0], of, look_up)


@PURE
@given(asked())
def test_a_constructed_address_is_one_of_five_at_the_name_or_at_a_parent_that_is_registrable(case: Any) -> None:
    name, entry, ordered, look_up = case

    verdict = judged(entry, ordered, look_up)

    assume(verdict.reason == "constructed")
    local_part, _, host = entry["email"].rpartition("@")
    scopes = [domain.scope for domain in ordered.domains]
    assert local_part.casefold() in FIVE
    assert host == entry.get("email_domain", name.text)
    # Without the suffix: nothing above the registrable domain, unless CertCentral itself validates there.
    assert host in [name.text, *name.parents[:-1]] or (host == name.suffix and host in scopes)
    assert look_up.asked == []


@PURE
@given(asked())
def test_a_contact_is_published_at_the_place_where_it_is_looked_for(case: Any) -> None:
    name, entry, ordered, look_up = case

    verdict = judged(entry, ordered, look_up)

    assume(verdict.reason in {"txt_contact", "caa_contact"})
    place = entry.get("email_domain", name.text)
    published = look_up.contacts[place]
    kind = published.txt if verdict.reason == "txt_contact" else published.caa
    assert entry["email"].lower() in [contact.lower() for contact in kind]
    assert look_up.asked == [[place]]


@PURE
@given(asked())
def test_a_public_suffix_is_no_email_domain_unless_certcentral_validates_there(case: Any) -> None:
    name, entry, ordered, look_up = case
    assume("." in name.suffix and name.suffix not in [domain.scope for domain in ordered.domains])

    verdict = judged({**entry, "email_domain": name.suffix}, ordered, look_up)

    assert not verdict.is_allowed
    assert verdict.reason == "public_suffix"


@PURE
@given(asked(is_ordered=False))
def test_a_name_that_is_not_on_the_order_is_never_allowed(case: Any) -> None:
    _, entry, ordered, look_up = case

    assert judged(entry, ordered, look_up).reason == "not_on_order"


@PURE
@given(asked())
def test_the_verdict_on_a_wildcard_is_that_on_its_bare_name(case: Any) -> None:
    _, entry, ordered, look_up = case

    starred = judged({**entry, "domain": f"*.{entry['domain']}"}, ordered, look_up)

    bare_one = judged(entry, ordered, look_up)
    assert (starred.reason, starred.is_allowed) == (bare_one.reason, bare_one.is_allowed)


@PURE
@given(asked(), st.randoms(use_true_random=False))
def test_the_case_of_the_request_never_changes_the_verdict(case: Any, random: Any) -> None:
    _, entry, ordered, look_up = case

    shouted = judged({key: _any_case(value, random) for key, value in entry.items()}, ordered, look_up)

    assert shouted.reason == judged(entry, ordered, look_up).reason


def _any_case(text: str, random: Any) -> str:
    return "".join(random.choice((letter.lower(), letter.upper())) for letter in text)


@PURE
@given(asked(), st.randoms(use_true_random=False))
def test_the_case_of_the_orders_names_never_changes_the_verdict(case: Any, random: Any) -> None:
    _, entry, ordered, look_up = case

    shouted = order(
        *(
            NameStatus(
                _any_case(domain.scope, random), "pending", tuple(_any_case(name, random) for name in domain.names)
            )
            for domain in ordered.domains
        )
    )

    assert judged(entry, shouted, look_up).reason == judged(entry, ordered, look_up).reason


@PURE
@given(asked(local_parts=PRIVATE), st.sampled_from([None, "no answer"]))
def test_every_refusal_says_why_and_shows_no_private_address(case: Any, failure: str | None) -> None:
    name, entry, ordered, _ = case
    place = entry.get("email_domain", name.text)
    look_up = Published({place: Contacts(("pki@mail.test",), failure=failure)})

    verdict = judged(entry, ordered, look_up)

    assert verdict.reason in {"public_suffix", "unverified" if failure else "not_published"}
    assert verdict.why.endswith(".")
    assert verdict.why.isprintable()
    # Not even as the end of another address.
    assert entry["email"] not in verdict.why


@pytest.mark.parametrize(
    ("local_part", "place"), list(product(FIVE, ["example.com", "b.example.com", "a.b.example.com"]))
)
def test_what_a_refusal_says_is_accepted_is_accepted(local_part: str, place: str) -> None:
    ordered = by_fqdn("a.b.example.com")
    recipients = named(("a.b.example.com", f"{local_part}@{place}", place))

    assert domains_to_look_up(recipients, ordered) == []
    assert judge(recipients[0], ordered, {}) == Verdict("constructed")
