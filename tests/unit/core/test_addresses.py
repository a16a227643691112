"""Domain names and email addresses: which forms are valid, how they are masked, and what a CA may construct."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dv_resend.core.addresses import (
    ROLE_LOCAL_PARTS,
    authorization_domains,
    constructed_addresses,
    is_public_suffix,
    mask_address,
    mask_addresses,
    parse_domain,
    parse_email,
    to_a_label,
    without_wildcard,
)
from dv_resend.errors import InvalidRequest

PURE = settings(deadline=None, derandomize=True, max_examples=100)

LABEL_63 = "a" * 63
DOMAIN_253 = ".".join([LABEL_63, LABEL_63, LABEL_63, "b" * 57, "com"])
HOST_189 = ".".join([LABEL_63, LABEL_63, "b" * 57, "com"])


# Domain names


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("a.b.c.d.example.co.uk", "a.b.c.d.example.co.uk"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("XN--MNCHEN-3YA.example", "xn--mnchen-3ya.example"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.Example", "xn--mnchen-3ya.example"),
        ("mu\u0308nchen.example", "xn--mnchen-3ya.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("*.example.com", "*.example.com"),
        ("*.EXAMPLE.com", "*.example.com"),
        ("*.münchen.example", "*.xn--mnchen-3ya.example"),
        ("3com.com", "3com.com"),
        ("1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa"),
        (f"{LABEL_63}.com", f"{LABEL_63}.com"),
        (DOMAIN_253, DOMAIN_253),
        ("example.com.", "example.com"),
        ("*.example.com.", "*.example.com"),
        ("münchen.example.", "xn--mnchen-3ya.example"),
        (f"{DOMAIN_253}.", DOMAIN_253),
    ],
    ids=ascii,
)
def test_domain_becomes_lower_case_a_labels(value, domain):
    assert parse_domain(value, "domain", wildcard=True) == domain


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, True, ["example.com"], {}, "", " ", ".", "*", "*.", "example", "localhost", "*.com"),
        *(
            "example.com..",
            "com.",
            "..",
            ".example.com",
            "example..com",
            "münchen.example..",
            "例え.テスト。",
            "*..",
            "münchen..example",
            "。example.com",
        ),
        *("127.0.0.1", "10.1", "::1", "[::1]", "\uff11.\uff12.\uff13.\uff14", "example.123"),
        *("-a.example.com", "a-.example.com", "a_b.example.com", "_dmarc.example.com", "exa mple.com"),
        *("*.*.example.com", "a.*.example.com", "*a.example.com", "**.example.com", "*.*.münchen.example"),
        *("https://example.com", "example.com/", "example.com:443", "user@example.com", "example.com?x", "a,b.com"),
        *("\u2028.example.com", "\u00a0example.com", "\ud800.example.com", "ab\u0000.example.com"),
        *("\u200d.example.com", f"{LABEL_63}a.com", f"b{DOMAIN_253}", f"*.{DOMAIN_253}"),
        *(f"b{DOMAIN_253}.", "example.com .", "example.com.\n", "127.0.0.1."),
        *("ü" * 64 + ".example", "ü" * 300 + ".example"),
    ],
    ids=ascii,
)
def test_invalid_domain_is_rejected(value):
    with pytest.raises(InvalidRequest, match=r"^field: must be a domain name"):
        parse_domain(value, "field", wildcard=True)


def test_length_of_a_domain_is_that_of_its_a_labels():
    # A label of "ü" and n letters has n + 8 characters.
    too_long = "*." + ".".join(["ü" + "a" * 54] * 3 + ["ü" + "b" * 51]) + ".com"

    longest = parse_domain(too_long.replace("b", "", 1), "field", wildcard=True)

    assert len(longest) == 253
    with pytest.raises(InvalidRequest):
        parse_domain(too_long, "field", wildcard=True)


def test_wildcard_is_rejected_unless_allowed():
    with pytest.raises(InvalidRequest):
        parse_domain("*.example.com", "field")


NAMES = st.text(min_size=1, max_size=12).map("{}.example".format)


@PURE
@given(NAMES)
@example("*.münchen.example")
@example("exa\u00admple.example")
@example("\uff45\uff58\uff0eexample")
def test_accepted_domain_consists_of_a_labels(name):
    try:
        domain = parse_domain(name, "field", wildcard=True)
    except InvalidRequest:
        return

    assert re.fullmatch(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]*[a-z-][a-z0-9-]*", domain, re.ASCII)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Example.com", "example.com"),
        ("example.com.", "example.com"),
        ("*.MÜNCHEN.example.", "*.xn--mnchen-3ya.example"),
        # Not valid domain names: kept, so that they can still be compared.
        ("_DMARC.example.com", "_dmarc.example.com"),
        ("Localhost", "localhost"),
        ("A..test.", "a..test."),
        ("Example.com..", "example.com.."),
        ("", ""),
    ],
)
def test_certcentral_name_becomes_a_labels_or_lower_case(name, expected):
    assert to_a_label(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com", "example.com"),
        ("*.Example.com", "example.com"),
        ("*.*.example.com", "*.example.com"),
        ("www.example.com", "www.example.com"),
        ("*example.com", "*example.com"),
    ],
)
def test_name_without_wildcard_is_in_lower_case(name, expected):
    assert without_wildcard(name) == expected


# Email addresses


@pytest.mark.parametrize(
    ("value", "email"),
    [
        ("admin@example.com", "admin@example.com"),
        ("Jane.Doe@EXAMPLE.com", "Jane.Doe@example.com"),
        ("Administration@example.com", "Administration@example.com"),
        *((f"{role}@example.com", "webmaster@example.com") for role in ("webmaster", "WebMaster", "WEBMASTER")),
        ("jane@example.com.", "jane@example.com"),
        ("Admin@München.example.", "admin@xn--mnchen-3ya.example"),
        (f"{'a' * 64}@{HOST_189}.", f"{'a' * 64}@{HOST_189}"),
        ("first.last+dcv@mail.example.com", "first.last+dcv@mail.example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("!#$%&'*+/=?^_`{|}~-@example.com", "!#$%&'*+/=?^_`{|}~-@example.com"),
        ("admin@münchen.example", "admin@xn--mnchen-3ya.example"),
        (f"{'a' * 64}@{HOST_189}", f"{'a' * 64}@{HOST_189}"),
    ],
    ids=ascii,
)
def test_email_keeps_its_local_part_and_gets_an_a_label_host(value, email):
    assert parse_email(value, "email") == email


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, True, ["admin@example.com"], {"email": "admin@example.com"}),
        *("", "@", "admin", "admin@", "@example.com", "admin@example", "admin@localhost", "admin@127.0.0.1"),
        *(
            "admin@[127.0.0.1]",
            "admin@example.com..",
            "admin@com.",
            "admin@.",
            "admin@.example.com",
            "admin@*.example.com",
            "admin@exa_mple.com",
        ),
        *("a@b@example.com", "admin@example.com,root@example.com", "admin@example.com;root@example.com"),
        *("admin@example.com root@example.com", "admin@example.com, root@example.com", "a,b@example.com"),
        *('"admin"@example.com', '"a b"@example.com', '"a@b"@example.com', "Admin <admin@example.com>"),
        *("<admin@example.com>", "mailto:admin@example.com", "admin(x)@example.com", ".admin@example.com"),
        *("admin.@example.com", "ad..min@example.com", "ad min@example.com", "admin @example.com"),
        *("admin@ example.com", " admin@example.com", "admin@example.com ", "admin@example.com\n"),
        *("ädmin@example.com", "\uff41dmin@example.com", "admin@例え", "admin\u0000@example.com"),
        *("admin\\@example.com", f"{'a' * 65}@example.com", f"admin@{'b' * 64}.com", f"admin@{DOMAIN_253}"),
        *(f"{'a' * 64}@b{HOST_189}", f"{'a' * 64}@b{HOST_189}."),
    ],
    ids=ascii,
)
def test_anything_but_one_email_address_is_rejected(value):
    with pytest.raises(InvalidRequest, match=r"^field: must be one email address"):
        parse_email(value, "field")


def test_length_of_an_email_is_that_of_its_a_labels():
    too_long = f"{'a' * 64}@" + ".".join(["ü" + "a" * 55] * 2 + ["ü" + "b" * 50]) + ".com"

    longest = parse_email(too_long.replace("b", "", 1), "field")

    assert len(longest) == 254
    with pytest.raises(InvalidRequest):
        parse_email(too_long, "field")


@PURE
@given(st.text(max_size=20), NAMES)
def test_accepted_email_is_one_ascii_address(local_part, name):
    try:
        email = parse_email(f"{local_part}@{name}", "field")
    except InvalidRequest:
        return

    assert re.fullmatch(r"[!-~]+@[a-z0-9.-]+", email, re.ASCII)
    assert email.count("@") == 1
    assert not set(email) & set('",;:<>()[]\\ ')


# Masking


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("admin@example.com", "admin@example.com"),
        ("Administrator@example.com", "Administrator@example.com"),
        ("hostmaster@example.com", "hostmaster@example.com"),
        ("postmaster@example.com", "postmaster@example.com"),
        ("WEBMASTER@example.com", "WEBMASTER@example.com"),
        ("jane.doe@example.com", "j***@example.com"),
        ("admins@example.com", "a***@example.com"),
        ("j@example.com", "j***@example.com"),
        ("a@b@example.com", "a***@example.com"),
    ],
)
def test_address_is_masked_unless_it_is_a_role_address(address, masked):
    assert mask_address(address) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no address here", "no address here"),
        ("bad: jane@example.com, and admin@example.com.", "bad: j***@example.com, and admin@example.com."),
        ('{"email":"jane@example.com"}', '{"email":"j***@example.com"}'),
        ("<jane@example.com>", "<j***@example.com>"),
        ("(jane@example.com;joe@example.com)", "(j***@example.com;j***@example.com)"),
        # The at-sign, as upstream may write it.
        ("jane%40example.com", "j***%40example.com"),
        ("jane%2540example.com", "j***%2540example.com"),
        ("jane&#64;example.com &#x40; &commat;", "j***&#64;e*** &#x40; &commat;"),
        ("jane\uff20example.com", "j***\uff20example.com"),
        ("jane\ufe6bexample.com", "j***\ufe6bexample.com"),
        ("mail jane @ example.com", "mail j*** @ example.com"),
        ("admin%40example.com and admin @ example.com", "admin%40example.com and admin @ example.com"),
        # The local part, as RFC 5322 allows it.
        ('"jane doe"@example.com', "j***@example.com"),
        ('"jane \\"x\\" doe" @ example.com', "j*** @ example.com"),
        ('"jane" and "joe"@example.com', '"jane" and j***@example.com'),
        ("jane(home)@example.com", "j***(home)@example.com"),
        ("o'brien@example.com", "o***@example.com"),
        ("'jane@example.com' and 'admin@example.com'", "'j***@example.com' and 'admin@example.com'"),
        ('"admin"@example.com', '"admin"@example.com'),
        ("jane@joe@example.com", "j***@j***@example.com"),
        ("ja\u200bne\u200b@example.com", "j***@example.com"),
        ("jane \u200b@example.com", "j*** \u200b@example.com"),
        ("@", "@"),
    ],
    ids=ascii,
)
def test_addresses_in_a_text_are_masked(text, masked):
    assert mask_addresses(text) == masked


AT_SIGNS = st.sampled_from(
    ["@", "\uff20", "\ufe6b", "%40", "%2540", "%252540", "&#64;", "&#064;", "&#x40;", "&commat;"]
)
# What is invisible, but is no white space, may also be part of a word.
SPACES = st.text(" \t\n\u00a0", max_size=1).flatmap(
    lambda first: st.text(" \t\n\x00\u00a0\u200b\u202e", max_size=4).map(lambda more: first + more if first else "")
)
DOT_ATOMS = st.from_regex(r"[a-z0-9!#$*+/=?^_`{|}~-]{0,9}jane([.][a-z0-9]{1,20})?", fullmatch=True)
QUOTED = st.tuples(*[st.text("xyz .,:;<>()\u00e9", max_size=9)] * 2).map('"{0[0]}jane{0[1]}"'.format)


@PURE
@given(
    before=st.sampled_from(["", "to ", "to:", "<", "(", "'", '{"email": "', "x=1, "]),
    local_part=DOT_ATOMS | QUOTED,
    spaces=st.tuples(SPACES, SPACES),
    at_sign=AT_SIGNS,
    after=st.sampled_from(["", " is bad", ">", ")", "'", '"}']),
)
def test_local_part_is_masked_however_the_address_is_written(before, local_part, spaces, at_sign, after):
    address = f"{local_part}{spaces[0]}{at_sign}{spaces[1]}example.com"

    masked = mask_addresses(before + address + after)

    assert "ane" not in masked
    assert masked.startswith(before)
    assert masked.endswith(f"{spaces[0]}{at_sign}{spaces[1]}example.com{after}")


@PURE
@given(st.text(), st.sampled_from(sorted(ROLE_LOCAL_PARTS)), AT_SIGNS)
def test_masking_changes_nothing_but_local_parts(text, role, at_sign):
    """Role addresses are public. A second time changes nothing, because texts are masked wherever they are shown."""
    without = re.sub("[@\uff20\ufe6b%&]", "", text)
    once = mask_addresses(text + " jane" + at_sign + "example.com")

    assert mask_addresses(without) == without
    assert mask_addresses(f"{role}{at_sign}example.com") == f"{role}{at_sign}example.com"
    assert mask_addresses(once) == once


@pytest.mark.parametrize(
    "text", ["x", "@", '"', '\\"', "%", "%25", "&#0", "a ", "a(", "(", '"a" ', "a@", "'"], ids=lambda text: ascii(text)
)
def test_masking_takes_time_in_proportion_to_the_text(text):
    def seconds(count):
        started = time.process_time()
        mask_addresses(text * count)
        return time.process_time() - started

    # A text of twice the length took four times as long, when each start of an address was searched to the end.
    assert seconds(40_000) < 0.5 + 8 * seconds(10_000)


# What a CA may construct


def test_constructed_addresses_are_the_five_roles():
    assert constructed_addresses("example.com") == [
        "admin@example.com",
        "administrator@example.com",
        "hostmaster@example.com",
        "postmaster@example.com",
        "webmaster@example.com",
    ]


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
def test_authorization_domains_end_at_the_registrable_domain(name, expected):
    assert authorization_domains(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("com", "co.uk", "github.io", "kobe.jp", "foo.kobe.jp", "foo.ck", "xn--55qx5d.cn")),
        *((name, False) for name in ("example.com", "example.co.uk", "a.github.io", "city.kobe.jp", "www.ck")),
    ],
)
def test_public_suffix_list_has_wildcards_and_exceptions(name, expected):
    assert is_public_suffix(name) is expected
