"""Validation: what may be asked of CertCentral, and what becomes of it. Pure, so most of it is tables."""

import dataclasses
import datetime as dt
import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dv_resend.core.addresses import mask_address, mask_addresses, without_wildcard
from dv_resend.core.claims import Claim
from dv_resend.core.orders import ListedOrder, NameStatus, Order, OrderStatus
from dv_resend.core.requests import Recipient, Reminder, ResendRequest, StatusRequest, SweepRequest, reminder_record_id
from dv_resend.core.resend import ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.core.timestamps import utc
from dv_resend.core.untrusted import printable_field_name
from dv_resend.errors import InvalidRequest

PURE = settings(deadline=None, derandomize=True, max_examples=100)

# DigiCert's own example of the call (resend-emails page).
DOCUMENTED = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
    ],
    "locale": "en",
}
LABEL_63 = "a" * 63
DOMAIN_253 = ".".join([LABEL_63, LABEL_63, LABEL_63, "b" * 57, "com"])


def parse(**fields):
    return ResendRequest.from_input({"order_id": 123456789, **fields})


def parse_one(domain="example.com", email="admin@example.com", **more):
    request = parse(domain_approval_emails=[{"domain": domain, "email": email, **more}])
    (recipient,) = request.recipients
    return recipient


def refused_field(call, *args, **fields):
    with pytest.raises(InvalidRequest) as caught:
        call(*args, **fields)
    return caught.value.field


# Whole requests


def test_the_documented_example_goes_upstream_unchanged():
    assert parse(**DOCUMENTED).upstream_body == DOCUMENTED


def test_an_order_id_alone_means_the_default_recipients():
    request = parse()

    assert request == ResendRequest(order_id=123456789)
    assert request.upstream_body == {}
    assert request.addresses == "default"


def test_flags_and_requester_do_not_go_upstream():
    request = parse(dry_run=True, force=True, requested_by="me", locale="en")

    assert (request.dry_run, request.force, request.requested_by) == (True, True, "me")
    assert request.upstream_body == {"locale": "en"}


def test_the_addresses_are_those_that_were_named():
    assert parse(**DOCUMENTED).addresses == ["someone@example.com", "someone@example2.com"]


@pytest.mark.parametrize("name", ["orderId", "email", "emails", "domain_approval_email", "Locale", "dryrun", "action"])
def test_an_unknown_field_is_named(name):
    assert refused_field(parse, **{name: True}) == name


@pytest.mark.parametrize("name", ["mail", "emails", "domain_name", "Email", "emaildomain", "locale"])
def test_an_unknown_field_of_a_recipient_is_named_with_its_path(name):
    assert refused_field(parse_one, **{name: "x"}) == f"domain_approval_emails[0].{name}"


def test_a_nameless_field_is_still_named_somehow():
    assert refused_field(parse, **{"": 1}) == "''"


def test_an_address_in_the_place_of_a_field_name_is_masked():
    assert refused_field(parse, **{"jane.doe@example.com": 1}) == "j***@example.com"
    assert refused_field(parse_one, **{"jane@example.com": 1}) == "domain_approval_emails[0].j***@example.com"


def test_an_unknown_field_is_shown_short_and_in_printable_ascii():
    field = refused_field(parse, **{"é\r\nSet-Cookie: a=b" + "x" * 100: 1})

    assert field.startswith("\\xe9\\r\\nSet-Cookie: a=b")
    assert len(field) < 100


@pytest.mark.parametrize("name", ["order_id", "domain_approval_emails", "locale", "dry_run", "force", "requested_by"])
def test_null_is_refused_and_never_read_as_absent(name):
    assert refused_field(parse, **{name: None}) == name


@pytest.mark.parametrize("name", ["domain", "email", "email_domain"])
def test_null_in_a_recipient_is_refused(name):
    assert refused_field(parse_one, **{name: None}) == f"domain_approval_emails[0].{name}"


@pytest.mark.parametrize("name", ["dry_run", "force"])
@pytest.mark.parametrize("value", ["true", 1, 0, "", [], {}], ids=ascii)
def test_flags_are_booleans_and_nothing_like_them(name, value):
    assert refused_field(parse, **{name: value}) == name


# Order ids


@pytest.mark.parametrize(
    ("value", "order_id"),
    [(1, 1), (123456789, 123456789), ("123456789", 123456789), ("1", 1), (10**15 - 1, 999999999999999), ("007", 7)],
    ids=ascii,
)
def test_an_order_id_is_an_integer_or_a_string_of_digits(value, order_id):
    assert parse(order_id=value).order_id == order_id


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 10**15, -(10**15), 1.0, 123456789.0, float("nan"), True, False, None, [], [1], {}, {"id": 1}),
        *("", "0", "000", "-1", "+1", " 12", "12 ", "12\n", "1.0", "1e3", "0x10", "1_000", "9" * 16, "12a"),
        *("12/../3", "12%2f3", "12?force=true", "12#", "../12", "\u0661\u0662", "\uff11\uff12", "1\u00b2", "null"),
        "0123456789ABCDEF0123456789ABCDEF",
    ],
    ids=ascii,
)
def test_anything_else_is_no_order_id(value):
    assert refused_field(parse, order_id=value) == "order_id"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_too_big_to_print_is_no_order_id(sign):
    assert refused_field(parse, order_id=sign * 10**5000) == "order_id"
    assert refused_field(StatusRequest.from_input, {"order_id": sign * 10**5000}) == "order_id"
    assert refused_field(Reminder.from_json, {"order_id": sign * 10**5000}) == "order_id"


def test_an_order_id_is_required():
    with pytest.raises(InvalidRequest) as caught:
        ResendRequest.from_input({"locale": "en"})

    assert caught.value.field == "order_id"


# Recipients


@pytest.mark.parametrize("value", [[], {}, "admin@example.com", 1, True, {"domain": "example.com"}], ids=ascii)
def test_recipients_are_a_list_that_is_not_empty(value):
    assert refused_field(parse, domain_approval_emails=value) == "domain_approval_emails"


@pytest.mark.parametrize("item", [None, "admin@example.com", 1, [], ["example.com", "admin@example.com"]], ids=ascii)
def test_a_recipient_is_an_object(item):
    named = {"domain": "example.com", "email": "admin@example.com"}

    assert refused_field(parse, domain_approval_emails=[named, item]) == "domain_approval_emails[1]"


@pytest.mark.parametrize("name", ["domain", "email"])
def test_a_recipient_needs_both_domain_and_email(name):
    item = {"domain": "example.com", "email": "admin@example.com"}
    del item[name]

    assert refused_field(parse, domain_approval_emails=[item]) == f"domain_approval_emails[0].{name}"


def test_250_recipients_are_allowed_and_251_are_not():
    items = [{"domain": f"host{n}.example.com", "email": "admin@example.com"} for n in range(251)]

    assert len(parse(domain_approval_emails=items[:250]).recipients) == 250
    assert refused_field(parse, domain_approval_emails=items) == "domain_approval_emails"


def test_duplicates_are_removed_and_the_first_spelling_stays():
    items = [
        {"domain": "example.com", "email": "Admin@example.com"},
        {"domain": "EXAMPLE.com", "email": "admin@EXAMPLE.COM"},
        {"domain": "www.example.com", "email": "admin@example.com"},
    ]

    assert parse(domain_approval_emails=items).recipients == (
        Recipient("example.com", "Admin@example.com"),
        Recipient("www.example.com", "admin@example.com"),
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("example.com", None),
        (None, "example.com"),
        ("a.example.com", "example.com"),
        ("www.a.example.com", "example.com"),
    ],
    ids=ascii,
)
def test_the_same_recipient_with_two_email_domains_is_a_contradiction(first, second):
    def item(email_domain):
        fields = {"domain": "www.a.example.com", "email": "admin@example.com"}
        return fields if email_domain is None else fields | {"email_domain": email_domain}

    field = refused_field(parse, domain_approval_emails=[item(first), item(second)])

    assert field == "domain_approval_emails[1].email_domain"


@pytest.mark.parametrize("named", [(True, False), (False, True), (True, True)], ids=ascii)
def test_naming_the_domain_itself_as_the_place_of_the_address_contradicts_nothing(named):
    plain = {"domain": "example.com", "email": "admin@example.com"}
    items = [plain | ({"email_domain": "example.com"} if name else {}) for name in named]

    (recipient,) = parse(domain_approval_emails=items).recipients

    # The first spelling stays.
    assert recipient.to_json() == items[0]


# Domains


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
    ],
    ids=ascii,
)
def test_a_domain_comes_out_in_lower_case_and_as_a_labels(value, domain):
    assert parse_one(domain=value).domain == domain


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, True, ["example.com"], {}, "", " ", ".", "*", "*.", "example", "localhost", "*.com"),
        *("example.com.", ".example.com", "example..com", "münchen.example.", "münchen..example", "。example.com"),
        *("127.0.0.1", "10.1", "::1", "[::1]", "\uff11.\uff12.\uff13.\uff14", "example.123"),
        *("-a.example.com", "a-.example.com", "a_b.example.com", "_dmarc.example.com", "exa mple.com"),
        *("*.*.example.com", "a.*.example.com", "*a.example.com", "**.example.com", "*.*.münchen.example"),
        *("https://example.com", "example.com/", "example.com:443", "user@example.com", "example.com?x", "a,b.com"),
        *(
            "\u2028.example.com",
            "\u00a0example.com",
            "\ud800.example.com",
            "ab\u0000.example.com",
            "\u200d.example.com",
        ),
        *(f"{LABEL_63}a.com", f"b{DOMAIN_253}", f"*.{DOMAIN_253}", "ü" * 64 + ".example", "ü" * 300 + ".example"),
    ],
    ids=ascii,
)
def test_anything_else_is_no_domain(value):
    assert refused_field(parse_one, domain=value) == "domain_approval_emails[0].domain"


def test_a_wildcard_is_not_too_long_after_its_conversion_either():
    name = "*." + ".".join(["ü" + "a" * 54] * 3 + ["ü" + "b" * 52]) + ".com"

    assert refused_field(parse_one, domain=name) == "domain_approval_emails[0].domain"


# Email addresses


@pytest.mark.parametrize(
    ("value", "email"),
    [
        ("admin@example.com", "admin@example.com"),
        ("Admin@EXAMPLE.com", "Admin@example.com"),
        ("first.last+dcv@mail.example.com", "first.last+dcv@mail.example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("!#$%&'*+/=?^_`{|}~-@example.com", "!#$%&'*+/=?^_`{|}~-@example.com"),
        ("admin@münchen.example", "admin@xn--mnchen-3ya.example"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),
    ],
    ids=ascii,
)
def test_an_email_keeps_its_local_part_and_gets_an_a_label_domain(value, email):
    assert parse_one(email=value).email == email


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, True, ["admin@example.com"], {"email": "admin@example.com"}),
        *("", "@", "admin", "admin@", "@example.com", "admin@example", "admin@localhost", "admin@127.0.0.1"),
        *("admin@[127.0.0.1]", "admin@example.com.", "admin@.example.com", "admin@*.example.com", "admin@exa_mple.com"),
        *("a@b@example.com", "admin@example.com,root@example.com", "admin@example.com;root@example.com"),
        *("admin@example.com root@example.com", "admin@example.com, root@example.com", "a,b@example.com"),
        *('"admin"@example.com', '"a b"@example.com', "Admin <admin@example.com>", "<admin@example.com>"),
        *("mailto:admin@example.com", "admin(x)@example.com", ".admin@example.com", "admin.@example.com"),
        *(
            "ad..min@example.com",
            "ad min@example.com",
            "admin @example.com",
            "admin@ example.com",
            " admin@example.com",
        ),
        *("admin@example.com ", "ädmin@example.com", "admin@例え", "admin\u0000@example.com", "admin\\@example.com"),
        *(f"{'a' * 65}@example.com", f"admin@{'b' * 64}.com", f"admin@{DOMAIN_253}"),
    ],
    ids=ascii,
)
def test_anything_else_is_no_single_email_address(value):
    assert refused_field(parse_one, email=value) == "domain_approval_emails[0].email"


# Parent domains


@pytest.mark.parametrize(
    ("domain", "value", "email_domain"),
    [
        ("example.com", "example.com", "example.com"),
        ("sub.example.com", "example.com", "example.com"),
        ("a.b.example.com", "b.example.com", "b.example.com"),
        ("sub.example.com", "EXAMPLE.com", "example.com"),
        ("*.example.com", "example.com", "example.com"),
        ("*.sub.example.com", "example.com", "example.com"),
        ("sub.münchen.example", "münchen.example", "xn--mnchen-3ya.example"),
        ("sub.xn--mnchen-3ya.example", "münchen.example", "xn--mnchen-3ya.example"),
    ],
    ids=ascii,
)
def test_an_email_domain_is_the_domain_itself_or_a_parent(domain, value, email_domain):
    assert parse_one(domain=domain, email_domain=value).email_domain == email_domain


@pytest.mark.parametrize(
    ("domain", "email_domain"),
    [
        ("example.com", "ample.com"),
        ("example.com", "sub.example.com"),
        ("example.com", "com"),
        ("sub.example.com", "sub.example.org"),
        ("sub.example.com", "other.example.com"),
        ("evil-example.com", "example.com"),
        ("example.com.evil.com", "example.com"),
        ("*.example.com", "*.example.com"),
        ("example.com", ""),
        ("example.com", 1),
        ("example.com", ["example.com"]),
        ("example.com", "example.com."),
    ],
    ids=ascii,
)
def test_any_other_email_domain_is_refused(domain, email_domain):
    field = refused_field(parse_one, domain=domain, email_domain=email_domain)

    assert field == "domain_approval_emails[0].email_domain"


# The other strings


@pytest.mark.parametrize("locale", ["en", "de", "EN", "pt_BR", "zh-cn", "zh_CN", "en-US"], ids=ascii)
def test_a_locale_is_passed_through(locale):
    assert parse(locale=locale).upstream_body == {"locale": locale}


@pytest.mark.parametrize(
    "locale",
    ["", "e", "eng", "en_", "en_USA", "en US", "en-US-x", "e1", "éé", "en\n", "*", "\uff45\uff4e", 1, True, [], {}],
    ids=ascii,
)
def test_anything_else_is_no_locale(locale):
    assert refused_field(parse, locale=locale) == "locale"


@pytest.mark.parametrize(
    "value", ["a", "x" * 256, "arn:aws:states:eu-west-1:123456789012:execution:chase:1", "é 例"], ids=ascii
)
def test_a_requester_is_any_printable_text_that_is_not_too_long(value):
    assert parse(requested_by=value).requested_by == value


@pytest.mark.parametrize(
    "value", ["", "x" * 257, "a\nb", "a\tb", "\x1b[31m", "a\u2028b", "\u202e", "\ud800", 1, True, []], ids=ascii
)
def test_anything_else_is_no_requester(value):
    assert refused_field(parse, requested_by=value) == "requested_by"


@pytest.mark.parametrize(
    "injection", ["\r\n", "\n", "\r", "\r\nBcc: victim@example.com", "\n\n", "\x85", "\u2028"], ids=ascii
)
@pytest.mark.parametrize(
    "fields",
    [
        lambda text: {"order_id": f"12{text}"},
        lambda text: {"locale": f"en{text}"},
        lambda text: {"requested_by": f"me{text}"},
        lambda text: {"domain_approval_emails": [{"domain": f"example.com{text}", "email": "admin@example.com"}]},
        lambda text: {"domain_approval_emails": [{"domain": "example.com", "email": f"admin@example.com{text}"}]},
        lambda text: {"domain_approval_emails": [{"domain": "example.com", "email": f"admin{text}@example.com"}]},
        lambda text: {
            "domain_approval_emails": [
                {"domain": "example.com", "email": "admin@example.com", "email_domain": f"example.com{text}"}
            ]
        },
    ],
    ids=["order_id", "locale", "requested_by", "domain", "email", "local part", "email_domain"],
)
def test_no_string_can_start_another_header_or_line(fields, injection):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields(injection))

    assert str(caught.value).isprintable()
    assert "victim" not in str(caught.value)


# What an entry knows of itself


ONE = {"domain": "example.com", "email": "admin@example.com"}
TWO = {"domain": "www.example.com", "email": "hostmaster@example.com"}


def test_an_entry_knows_where_it_stands_in_the_callers_list_also_after_a_duplicate():
    request = parse(domain_approval_emails=[ONE, ONE, TWO])

    assert [recipient.path for recipient in request.recipients] == [
        "domain_approval_emails[0]",
        "domain_approval_emails[2]",
    ]


def test_where_an_entry_stands_makes_it_no_other_one():
    (one,), (two, same) = (parse(domain_approval_emails=e).recipients for e in ([ONE], [TWO, ONE]))

    assert (one, hash(one)) == (same, hash(same))
    assert one.position != same.position
    assert one != two


@pytest.mark.parametrize(
    ("recipient", "place"),
    [
        (Recipient("www.example.com", "admin@www.example.com"), "www.example.com"),
        (Recipient("*.example.com", "admin@example.com"), "example.com"),
        (Recipient("www.example.com", "admin@example.com", "example.com"), "example.com"),
        (Recipient("*.www.example.com", "admin@example.com", "example.com"), "example.com"),
    ],
)
def test_an_address_is_looked_for_at_its_email_domain_or_else_at_its_domain(recipient, place):
    assert recipient.place == place


# The key of the claim


@pytest.mark.parametrize(
    "same",
    [
        {"domain_approval_emails": [TWO, ONE]},
        {"domain_approval_emails": [ONE, TWO, ONE]},
        {"domain_approval_emails": [ONE | {"email": "ADMIN@Example.com"}, TWO | {"domain": "WWW.example.com"}]},
        {"domain_approval_emails": [ONE, TWO], "locale": "EN"},
        {"domain_approval_emails": [ONE | {"email_domain": "example.com"}, TWO]},
        {"domain_approval_emails": [ONE, TWO | {"email_domain": "WWW.example.com"}]},
        {"domain_approval_emails": [ONE, TWO], "dry_run": True},
        {"domain_approval_emails": [ONE, TWO], "force": True},
        {"domain_approval_emails": [ONE, TWO], "requested_by": "somebody"},
        {"domain_approval_emails": [ONE, TWO], "order_id": "123456789"},
    ],
)
def test_equal_emails_have_equal_claims(same):
    original = parse(domain_approval_emails=[ONE, TWO], locale="en")

    assert parse(**{"locale": "en", **same}).claim_key == original.claim_key


@pytest.mark.parametrize("locale", ["pt_BR", "pt-BR", "pt_br", "PT-br"])
def test_a_locale_has_one_claim_however_it_is_spelt(locale):
    assert parse(locale=locale).claim_key == parse(locale="pt-br").claim_key
    assert parse(locale=locale).upstream_body == {"locale": locale}


@pytest.mark.parametrize(
    "other",
    [
        {"order_id": 12345678},
        {"locale": "de"},
        {"locale": "en_US"},
        {"domain_approval_emails": [ONE]},
        {"domain_approval_emails": [ONE, TWO | {"email": "admin@example.com"}]},
        {"domain_approval_emails": [ONE, TWO | {"domain": "ftp.example.com"}]},
        {"domain_approval_emails": [ONE, TWO | {"email_domain": "example.com"}]},
    ],
)
def test_other_emails_have_other_claims(other):
    original = {"domain_approval_emails": [ONE, TWO], "locale": "en"}

    assert parse(**original | other).claim_key != parse(**original).claim_key


def test_without_recipients_or_locale_the_claim_is_another_one():
    keys = {
        parse().claim_key,
        parse(locale="en").claim_key,
        parse(domain_approval_emails=[ONE]).claim_key,
        parse(domain_approval_emails=[ONE], locale="en").claim_key,
    }

    assert len(keys) == 4


W_TEST = {"email": "admin@w.test"}


@pytest.mark.parametrize(
    "recipients",
    [
        [W_TEST | {"domain": "w.test"}],
        [W_TEST | {"domain": "*.w.test"}],
        [W_TEST | {"domain": "*.W.test"}, W_TEST | {"domain": "w.test"}],
        [W_TEST | {"domain": "w.test", "email_domain": "w.test"}, W_TEST | {"domain": "*.w.test"}],
    ],
    ids=["without_wildcard", "wildcard", "both", "both, with the place"],
)
def test_a_name_and_its_wildcard_share_a_claim_as_the_email_is_the_same(recipients):
    request = parse(domain_approval_emails=recipients)

    assert request.claim_key == parse(domain_approval_emails=[W_TEST | {"domain": "w.test"}]).claim_key
    # What was asked for is what is sent.
    assert len(request.upstream_body["domain_approval_emails"]) == len(recipients)
    assert request.claim_key != parse(domain_approval_emails=[W_TEST | {"domain": "x.w.test"}]).claim_key


@pytest.mark.parametrize("skipped", [0, 1])
def test_a_name_and_its_wildcard_share_a_claim_also_when_one_is_skipped(skipped):
    both = parse(domain_approval_emails=[W_TEST | {"domain": "w.test"}, W_TEST | {"domain": "*.w.test"}])
    left = dataclasses.replace(both, recipients=(both.recipients[1 - skipped],), skipped=(both.recipients[skipped],))

    assert left.claim_key == both.claim_key


@pytest.mark.parametrize("skipped", [(0,), (1,), (0, 1)])
def test_those_who_are_skipped_count_in_the_claim(skipped):
    """A repeat, after one more name was validated, is still a repeat."""
    request = parse(domain_approval_emails=[ONE, TWO])
    kept = tuple(recipient for index, recipient in enumerate(request.recipients) if index not in skipped)
    left = tuple(recipient for index, recipient in enumerate(request.recipients) if index in skipped)

    assert dataclasses.replace(request, recipients=kept, skipped=left).claim_key == request.claim_key
    assert dataclasses.replace(request, recipients=kept).claim_key != request.claim_key


def test_a_claim_does_not_show_the_address():
    assert re.fullmatch(r"[0-9a-f]{64}", parse(domain_approval_emails=[ONE]).claim_key)


# Claims by the clock


def claim(**fields):
    return Claim(**{"key": "k", "status": "sending", "owner": "o", "deadline": 1030, "expiration": 4600} | fields)


@pytest.mark.parametrize(
    ("status", "now", "state"),
    [
        ("sending", 1000, "sending"),
        ("sending", 1029.9, "sending"),
        ("sending", 1030, "unknown"),
        ("sending", 4599.9, "unknown"),
        ("sending", 4600, "expired"),
        ("sent", 1000, "sent"),
        ("sent", 4599.9, "sent"),
        ("sent", 4600, "expired"),
        ("unknown", 1000, "unknown"),
        ("unknown", 4599.9, "unknown"),
        ("unknown", 4600, "expired"),
    ],
)
def test_a_claim_is_judged_by_the_clock(status, now, state):
    assert claim(status=status).state(now) == state


# Results


@pytest.mark.parametrize("outcome", ["sent", "duplicate"])
def test_a_result_says_who_was_mailed_and_when(outcome):
    result = ResendResult(parse(**DOCUMENTED), outcome, sent_at=1795446245, cool_down_left=3600)

    assert result.to_json() == {
        "order_id": 123456789,
        "outcome": outcome,
        "recipients": ["someone@example.com", "someone@example2.com"],
        "sent_at": "2026-11-23T15:04:05Z",
    }


def test_a_result_names_those_who_were_mailed_and_not_those_who_were_skipped():
    request = parse(**DOCUMENTED)
    request = dataclasses.replace(request, recipients=request.recipients[:1], skipped=request.recipients[1:])

    assert ResendResult(request, "sent", 0, 1).to_json()["recipients"] == ["someone@example.com"]
    assert request.upstream_body == {
        "domain_approval_emails": [{"domain": "example.com", "email": "someone@example.com"}],
        "locale": "en",
    }


# How far an order has come


def test_a_status_lists_each_name():
    names = NameStatus("example.com", "pending", ("a.example.com",)), NameStatus("www.example.com", "approved")
    status = OrderStatus(1, "pending", "email", names)

    assert status.to_json() == {
        "order_id": 1,
        "status": "pending",
        "dcv_method": "email",
        "domains": [
            {"name": "example.com", "status": "pending"},
            {"name": "www.example.com", "status": "approved"},
        ],
    }


@pytest.mark.parametrize("status", ["approved", "APPROVED", "Approved"])
def test_an_approved_name_is_validated_however_it_is_spelt(status):
    assert NameStatus("example.com", status).validated


@pytest.mark.parametrize(
    "status",
    ["pending", "unknown", "", "valid", "validated", "not_approved", "approved ", "expired", "submitted", "ok"],
)
def test_any_other_status_means_that_something_is_left_to_do(status):
    """Not all of them are documented. To take one for validated would keep an email from somebody who waits for it."""
    assert not NameStatus("example.com", status).validated


@pytest.mark.parametrize(
    ("name", "is_covered"),
    [
        *((name, True) for name in ("example.com", "EXAMPLE.com", "*.example.com", "www.example.com", "a.example.com")),
        *((name, True) for name in ("*.a.example.com", "shop.test", "*.shop.test")),
        *(
            (name, False)
            for name in ("b.example.com", "com", "xexample.com", "example.com.evil.test", "", "*.", "test")
        ),
    ],
)
def test_an_entry_covers_its_scope_and_the_names_that_it_lists_with_or_without_a_star(name, is_covered):
    entry = NameStatus("example.com", "pending", ("www.Example.com", "*.a.example.com", "Shop.test"))

    assert entry.covers(name) is is_covered


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("example.com", "example.com"),
        ("*.Example.com", "example.com"),
        ("*.*.example.com", "*.example.com"),
        ("www.example.com", "www.example.com"),
        ("*example.com", "*example.com"),
    ],
)
def test_a_name_is_compared_in_lower_case_and_without_its_star(name, without):
    assert without_wildcard(name) == without


def order_status(*entries):
    return OrderStatus(1, "pending", "email", tuple(NameStatus(*entry) for entry in entries))


@pytest.mark.parametrize(
    ("entries", "name", "is_validated"),
    [
        ([("example.com", "approved")], "example.com", True),
        ([("example.com", "approved", ("www.example.com",))], "www.example.com", True),
        ([("example.com", "approved", ("*.example.com",))], "example.com", True),
        ([("example.com", "pending")], "example.com", False),
        ([("example.com", "approved")], "www.example.com", False),  # the entry does not list it
        ([("example.com", "approved")], "other.example", False),
        ([], "example.com", False),
        # A name that stands in several entries is done when all of them are.
        ([("example.com", "approved"), ("example.com", "pending")], "example.com", False),
        ([("example.com", "pending", ("a.test",)), ("b.test", "approved", ("a.test",))], "a.test", False),
        ([("example.com", "approved"), ("example.com", "Approved")], "example.com", True),
        ([("other.example", "pending"), ("example.com", "approved")], "example.com", True),
        # The entries that list it decide over those of its scope: one scope may stand there once for each status.
        ([("a.test", "approved", ("a.test",)), ("a.test", "pending", ("www.a.test",))], "a.test", True),
        ([("a.test", "approved", ("a.test",)), ("a.test", "pending", ("www.a.test",))], "www.a.test", False),
        ([("a.test", "pending", ("a.test",)), ("a.test", "approved", ("www.a.test",))], "a.test", False),
        ([("a.test", "pending", ("a.test",)), ("a.test", "approved", ("www.a.test",))], "www.a.test", True),
        ([("a.test", "approved", ("*.a.test",)), ("a.test", "pending", ("www.a.test",))], "a.test", True),
        ([("a.test", "approved", ("a.test",)), ("a.test", "pending", ("*.a.test",))], "a.test", False),
        ([("a.test", "approved", ("x.a.test",)), ("a.test", "pending", ("www.a.test",))], "a.test", False),
        # An approval that is over is none.
        ([("a.test", "approved", ("a.test",), True)], "a.test", False),
        ([("a.test", "approved", ("a.test",), True), ("a.test", "approved", ("www.a.test",))], "www.a.test", True),
        ([("a.test", "approved", (), True)], "a.test", False),
    ],
)
def test_a_name_is_validated_if_every_entry_that_lists_it_is_or_else_every_one_of_its_scope(
    entries, name, is_validated
):
    assert order_status(*entries).validated(name) is is_validated


@pytest.mark.parametrize(
    ("entries", "is_validated"),
    [
        ([("a.test", "approved")], True),
        ([("a.test", "approved"), ("b.test", "APPROVED")], True),
        ([("a.test", "approved"), ("b.test", "pending")], False),
        ([("a.test", "approved"), ("unknown", "unknown")], False),
        ([("a.test", "a status of tomorrow")], False),
        ([], False),  # nobody knows
        ([("a.test", "approved"), ("", "approved")], False),
        ([("a.test", "approved", ("a.test",)), ("a.test", "pending", ("www.a.test",))], False),
        ([("a.test", "approved", (), True)], False),
        ([("a.test", "approved"), ("b.test", "approved", ("b.test",), True)], False),
    ],
)
def test_an_order_is_validated_if_all_of_the_names_that_are_told_are(entries, is_validated):
    assert order_status(*entries).all_validated is is_validated


def order_of(*names):
    return Order(1, "pending", "dv_ssl_certificate", "email", names=names)


@pytest.mark.parametrize(
    ("entries", "names", "with_names_of"),
    [
        # Nothing to add
        ([("a.test", "pending")], ["a.test"], [("a.test", "pending")]),
        ([("a.test", "pending", ("*.a.test",))], ["a.test", "*.a.test"], [("a.test", "pending", ("*.a.test",))]),
        ([("a.test", "approved", ("www.a.test",))], ["www.a.test"], [("a.test", "approved", ("www.a.test",))]),
        # More than the order has: they stay
        ([("a.test", "pending"), ("b.test", "pending")], ["a.test"], [("a.test", "pending"), ("b.test", "pending")]),
        # Partly, or not at all
        ([("a.test", "approved")], ["a.test", "b.test"], [("a.test", "approved"), ("", "unknown", ("b.test",))]),
        ([], ["a.test", "*.b.test"], [("", "unknown", ("a.test",)), ("", "unknown", ("*.b.test",))]),
        (
            [("a.test", "approved", ("a.test",))],
            ["a.test", "www.a.test"],
            [("a.test", "approved", ("a.test",)), ("", "unknown", ("www.a.test",))],
        ),
        # Not readable
        ([("", "approved")], ["a.test"], [("", "unknown", ("a.test",))]),
        ([("", "pending"), ("a.test", "approved")], ["a.test"], [("a.test", "approved")]),
        # The order does not tell either
        ([("a.test", "approved")], [], [("a.test", "approved")]),
        ([("", "pending"), ("a.test", "approved")], [], [("", "pending"), ("a.test", "approved")]),
        ([], [], []),
    ],
)
def test_what_only_the_order_tells_is_added_and_what_nobody_could_read_left_out(entries, names, with_names_of):
    assert order_status(*entries).with_names_of(order_of(*names)) == order_status(*with_names_of)


@pytest.mark.parametrize(
    ("entries", "names", "known"),
    [
        ([], [], None),
        ([("", "approved")], [], None),
        ([("a.test", "approved"), ("", "approved")], [], None),
        ([], ["b.test", "a.test"], ["b.test", "a.test"]),
        ([("", "approved")], ["a.test"], ["a.test"]),
        ([("a.test", "approved"), ("", "approved")], ["b.test", "a.test"], ["a.test", "b.test"]),
    ],
)
def test_the_names_are_known_once_one_of_both_answers_tells_them(entries, names, known):
    assert order_status(*entries).with_names_of(order_of(*names)).names == known


def test_an_order_is_not_validated_while_one_of_its_own_names_is_not_told_of():
    partly = order_status(("a.test", "approved"))

    assert partly.with_names_of(order_of("a.test")).all_validated
    assert not partly.with_names_of(order_of("a.test", "b.test")).all_validated
    assert not partly.with_names_of(order_of("a.test", "b.test")).validated("b.test")
    assert partly.with_names_of(order_of("a.test", "b.test")).validated("a.test")
    assert not order_status(("", "approved")).with_names_of(order_of("a.test")).all_validated


ORDER_NAMES = st.sampled_from(["a.test", "*.a.test", "www.a.test", "b.test", "*.b.test"])
ENTRIES = st.lists(
    st.builds(
        NameStatus,
        st.sampled_from(["", "a.test", "b.test"]),
        st.sampled_from(["approved", "pending"]),
        st.lists(ORDER_NAMES, max_size=2).map(tuple),
        st.booleans(),
    ),
    max_size=4,
).map(tuple)


@PURE
@given(ENTRIES, st.lists(ORDER_NAMES, unique=True, max_size=4))
def test_completing_tells_of_all_names_validates_none_and_is_done_once(entries, names):
    before = OrderStatus(1, "pending", "email", entries)

    after = before.with_names_of(order_of(*names))

    assert after.with_names_of(order_of(*names)) == after
    for name in ("a.test", "*.a.test", "www.a.test", "b.test", "*.b.test", "c.test"):
        # What is told of the order can only take a validation away, and not that of a name that was listed.
        assert before.validated(name) or not after.validated(name)
        assert after.validated(name) or not before.listed_and_validated(name)
    if names:
        assert after.names is not None
        assert all(any(entry.covers(name) for entry in after.domains) for name in names)
    if after.all_validated:
        assert all(after.validated(name) for name in names)


@pytest.mark.parametrize(("status", "expired"), [("approved", True), ("APPROVED", True), ("pending", True)])
def test_an_approval_that_is_over_is_none(status, expired):
    assert not NameStatus("example.com", status, expired=expired).validated


@pytest.mark.parametrize("value", ["7", 7], ids=ascii)
def test_a_status_request_is_an_order_id(value):
    assert StatusRequest.from_input({"action": "status", "order_id": value, "requested_by": "me"}) == StatusRequest(7)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "order_id"),
        ({"order_id": 0}, "order_id"),
        ({"order_id": None}, "order_id"),
        ({"order_id": 1, "force": True}, "force"),
        ({"order_id": 1, "offset": 0}, "offset"),
    ],
    ids=ascii,
)
def test_anything_else_is_no_status_request(fields, field):
    assert refused_field(StatusRequest.from_input, {"action": "status", **fields}) == field


# Sweeps


COUNTS = {"listed": 9, "pending_dv": 6, "due": 4, "enqueued": 4, "stuck": 2, "oldest_days": 45}
NO_COUNTS = dict.fromkeys(COUNTS, 0)


def test_a_sweep_request_is_nothing_but_its_action():
    assert SweepRequest.from_input({"action": "sweep"}) == SweepRequest(False, 0, 1, SweepSummary())


def test_a_sweep_request_may_be_a_dry_run():
    assert SweepRequest.from_input({"action": "sweep", "dry_run": True, "requested_by": "me"}).dry_run is True


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"order_id": 1}, "order_id"),
        ({"force": True}, "force"),
        ({"days": [1]}, "days"),
        *(({"dry_run": value}, "dry_run") for value in (None, "true", 1)),
        *(({name: value}, name) for name in ("offset", "link") for value in (None, -1, True, 1.0, "1", 10**7 + 1)),
        *(({"so_far": value}, "so_far") for value in (None, [], 1, {"x": 1}, {"plan": []}, {"next_offset": 1})),
        *(({"so_far": {name: value}}, f"so_far.{name}") for name in COUNTS for value in (None, True, 1.0, "1", [])),
        *(({"so_far": {"by_status": value}}, "so_far.by_status") for value in (None, [], 1)),
        *(({"so_far": {"stuck_orders": value}}, "so_far.stuck_orders") for value in (None, {}, 1)),
    ],
    ids=ascii,
)
def test_anything_else_is_no_sweep_request(fields, field):
    assert refused_field(SweepRequest.from_input, {"action": "sweep", **fields}) == field


@pytest.mark.parametrize(
    "so_far", [{"by_status": {"pending": "x"}}, {"by_status": {"pending": None}}, {"stuck_orders": ["x"]}, {"due": -1}]
)
def test_the_figures_of_an_earlier_link_are_counts(so_far):
    assert refused_field(SweepRequest.from_input, {"action": "sweep", "so_far": so_far}).startswith("so_far")


def test_two_sweeps_do_not_count_into_the_same_summary():
    first = SweepRequest.from_input({"action": "sweep"})
    first.so_far.by_status["pending"] = 1
    first.so_far.stuck_orders.append(1)

    assert SweepRequest.from_input({"action": "sweep"}).so_far == SweepSummary()


def test_a_summary_shows_a_plan_and_an_offset_only_where_there_is_one():
    without_wildcard = {**NO_COUNTS, "by_status": {}, "stuck_orders": []}

    assert SweepSummary().to_json() == without_wildcard
    assert SweepSummary(plan=[]).to_json() == without_wildcard | {"plan": []}
    assert SweepSummary(next_offset=1000).to_json() == without_wildcard | {"next_offset": 1000}


# Reminders


DAY = dt.date(2026, 11, 20)


@pytest.mark.parametrize(
    ("reminder", "body", "record"),
    [
        (Reminder(7), {"order_id": 7}, None),
        (Reminder(7, DAY, 3), {"order_id": 7, "anchor": "2026-11-20", "day": 3}, "7#2026-11-20#3"),
    ],
    ids=ascii,
)
def test_a_reminder_has_a_body_and_where_it_is_known_which_one_it_is_a_record(reminder, body, record):
    assert reminder.to_json() == body
    assert Reminder.from_json(body) == reminder
    assert reminder.record_id == record


@pytest.mark.parametrize(
    ("body", "field"),
    [
        *((body, "body") for body in (None, [], "7", 7, [{"order_id": 7}])),
        *(({"order_id": value}, "order_id") for value in (None, 0, "x", True, 1.0, 10**15)),
        ({}, "order_id"),
        ({"anchor": "2026-11-20", "day": 3}, "order_id"),
        ({"order_id": 7, "force": True}, "force"),
        ({"order_id": 7, "jane.doe@example.com": 1}, "j***@example.com"),
        ({"order_id": 7, "day": 3}, "anchor"),
        ({"order_id": 7, "anchor": "2026-11-20"}, "day"),
        *(
            ({"order_id": 7, "anchor": value, "day": 3}, "anchor")
            for value in (None, 1, "", "soon", "2026-13-01", "2026-11-20T00:00:00+00:00", [])
        ),
        *(({"order_id": 7, "anchor": "2026-11-20", "day": value}, "day") for value in (None, "x", [], "1.5")),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_anything_else_is_no_reminder(body, field):
    assert refused_field(Reminder.from_json, body) == field


@pytest.mark.parametrize("day", ["Infinity", "-Infinity", "1e999"])
def test_an_endless_day_is_no_reminder(day):
    body = json.loads(f'{{"order_id": 7, "anchor": "2026-11-20", "day": {day}}}')

    assert refused_field(Reminder.from_json, body) == "day"


@pytest.mark.parametrize("day", [True, 1.9, 0, -5], ids=ascii)
def test_a_day_is_a_positive_integer_and_nothing_like_it(day):
    assert refused_field(Reminder.from_json, {"order_id": 7, "anchor": "2026-11-20", "day": day})


# Orders


def test_an_order_may_be_known_without_an_anchor():
    assert Order(7, "pending", "dv_ssl_certificate", "email").anchor is None


def test_a_row_of_the_list_may_know_nothing():
    assert ListedOrder(None, None, None, None) == ListedOrder(
        order_id=None, status=None, product_type=None, created=None
    )


def test_times_are_utc_to_the_second():
    assert utc(0) == "1970-01-01T00:00:00Z"
    assert utc(1795446245.9) == "2026-11-23T15:04:05Z"


# Masks


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
def test_an_address_is_masked_unless_it_is_a_role_address(address, masked):
    assert mask_address(address) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no address here", "no address here"),
        ("bad: jane@example.com, and admin@example.com.", "bad: j***@example.com, and admin@example.com."),
        ('{"email":"jane@example.com"}', '{"email":"j***@example.com"}'),
        ("<jane@example.com>", "<j***@example.com>"),
        ("(jane@example.com;joe@example.com)", "(j***@example.com;j***@example.com)"),
    ],
)
def test_every_address_in_a_text_is_masked(text, masked):
    assert mask_addresses(text) == masked


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("", "''"),
        ("locale", "locale"),
        ("jane.doe@example.com", "j***@example.com"),
        ("admin@example.com", "admin@example.com"),
        ("é\n\u202e", "\\xe9\\n\\u202e"),
        ("x" * 65, "x" * 64),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_a_field_name_is_shown_safely(name, safe):
    assert printable_field_name(name) == safe


def test_an_address_that_is_cut_off_is_masked_all_the_same():
    assert "jane.doe" not in printable_field_name("y" * 49 + " jane.doe.mayr@example.com")


# Properties


# Few enough values for two requests to meet often.
DOMAINS = st.sampled_from(
    ["example.com", "EXAMPLE.com", "www.example.com", "a.b.Example.com", "xn--mnchen-3ya.example"]
)
LOCAL_PARTS = st.sampled_from(["admin", "Admin", "jane.doe", "o'neil+dcv"])
RECIPIENTS = st.builds(
    lambda domain, star, local_part, host, own: {
        "domain": f"*.{domain}" if star else domain,
        "email": f"{local_part}@{host}",
        **({"email_domain": domain} if own else {}),
    },
    DOMAINS,
    st.booleans(),
    LOCAL_PARTS,
    DOMAINS,
    st.booleans(),
)
REQUESTS = st.fixed_dictionaries(
    {"order_id": st.sampled_from([1, 123456789, "123456789", 10**15 - 1])},
    optional={
        "domain_approval_emails": st.lists(
            RECIPIENTS, min_size=1, max_size=4, unique_by=lambda r: (r["domain"].lower(), r["email"].lower())
        ),
        "locale": st.sampled_from(["en", "pt_BR", "pt-br", "zh-cn"]),
        "dry_run": st.booleans(),
        "force": st.booleans(),
        "requested_by": st.just("somebody"),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=10,
)
# Near misses: the known names, with values that are right, nearly right, or anything.
NEARLY = st.dictionaries(
    st.sampled_from(["order_id", "domain_approval_emails", "locale", "dry_run", "force", "requested_by"])
    | st.text(min_size=1, max_size=5),
    JSON
    | st.sampled_from([1, "12", "en", True])
    | st.lists(
        st.dictionaries(
            st.sampled_from(["domain", "email", "email_domain"]),
            JSON | DOMAINS | st.text().map("a@{}".format) | st.text().map("{}.example".format),
        ),
        max_size=3,
    ),
)
NAMES = st.text(min_size=1, max_size=12).map("{}.example".format)


@PURE
@given(NEARLY)
def test_any_object_gives_a_request_or_an_error_that_names_a_field(fields):
    refusal = None
    try:
        assert isinstance(ResendRequest.from_input(fields), ResendRequest)
    except InvalidRequest as error:
        refusal = error

    assert refusal is None or (refusal.field and str(refusal).isprintable())


@PURE
@given(REQUESTS)
@example({"order_id": 123456789, **DOCUMENTED})
def test_parsing_what_goes_upstream_gives_the_same_again(fields):
    request = ResendRequest.from_input(fields)

    again = ResendRequest.from_input({**fields, **request.upstream_body, "order_id": request.order_id})

    assert again == request


@PURE
@given(REQUESTS)
def test_the_recipients_are_never_widened(fields):
    body = ResendRequest.from_input(fields).upstream_body

    named = {(r["domain"].lower(), r["email"].lower()) for r in fields.get("domain_approval_emails", [])}
    mailed = [(r["domain"], r["email"].lower()) for r in body.get("domain_approval_emails", [])]
    assert set(mailed) == named
    assert len(mailed) == len(named)
    assert ("domain_approval_emails" in body) == ("domain_approval_emails" in fields)


@PURE
@given(NAMES)
@example("*.münchen.example")
@example("exa\u00admple.example")
@example("\uff45\uff58\uff0eexample")
def test_every_accepted_domain_is_made_of_a_labels(name):
    try:
        domain = parse_one(domain=name).domain
    except InvalidRequest:
        return

    assert re.fullmatch(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]*[a-z-][a-z0-9-]*", domain, re.ASCII)


@PURE
@given(st.text(max_size=20), NAMES)
def test_every_accepted_email_is_one_ascii_address_at_an_a_label_domain(local_part, name):
    try:
        email = parse_one(email=f"{local_part}@{name}").email
    except InvalidRequest:
        return

    assert re.fullmatch(r"[!-~]+@[a-z0-9.-]+", email, re.ASCII)
    assert email.count("@") == 1
    assert not set(email) & set('",;:<>()[]\\ ')


@PURE
@given(REQUESTS, st.randoms(use_true_random=False))
def test_the_claim_ignores_the_order_and_the_case_of_recipients(fields, random):
    recipients = list(fields.get("domain_approval_emails", []))
    shuffled = [{name: value.swapcase() for name, value in recipient.items()} for recipient in recipients]
    random.shuffle(shuffled)
    same = fields | ({"domain_approval_emails": shuffled} if shuffled else {})

    key = ResendRequest.from_input(fields).claim_key

    assert ResendRequest.from_input(same).claim_key == key
    assert re.fullmatch(r"[0-9a-f]{64}", key)


@PURE
@given(REQUESTS, REQUESTS, st.sets(st.sampled_from(["order_id", "domain_approval_emails", "locale"])))
def test_two_requests_share_a_claim_exactly_if_they_send_the_same(fields, others, borrowed):
    def sends(request):
        recipients = {
            (without_wildcard(r.domain), r.email.lower(), r.email_domain or without_wildcard(r.domain))
            for r in request.recipients
        }
        return request.order_id, recipients, (request.locale or "").lower().replace("-", "_")

    request = ResendRequest.from_input(fields)
    other = ResendRequest.from_input(others | {name: fields[name] for name in borrowed & fields.keys()})

    assert (request.claim_key == other.claim_key) == (sends(request) == sends(other))


@PURE
@given(st.text() | st.from_regex(r"[a-z.]{1,70}@[a-z]{1,20}\\.com", fullmatch=True))
def test_any_field_name_is_shown_short_printable_and_not_empty(name):
    safe = printable_field_name(name)

    assert safe
    assert safe.isascii()
    assert safe.isprintable()
    assert len(safe) <= 64 * len("\\U0001f600") + len("***")


REMINDERS = st.builds(Reminder, st.integers(1, 10**15 - 1)) | st.builds(
    Reminder, st.integers(1, 10**15 - 1), st.dates(), st.integers(1, 365)
)


@PURE
@given(REMINDERS)
def test_a_reminder_survives_its_message(reminder):
    assert Reminder.from_json(json.loads(json.dumps(reminder.to_json()))) == reminder


@PURE
@given(REMINDERS, REMINDERS)
def test_two_reminders_share_a_record_exactly_if_they_are_the_same(one, other):
    if one.anchor is not None and other.anchor is not None:
        assert (one.record_id == other.record_id) == (one == other)
        assert one.record_id == reminder_record_id(one.order_id, one.anchor, one.day)


@PURE
@given(
    st.dictionaries(
        st.sampled_from(["order_id", "anchor", "day"]) | st.text(max_size=5),
        JSON | st.sampled_from([7, "7", "2026-11-20", 3]),
    )
    | JSON
)
def test_any_body_is_a_reminder_or_an_error_that_names_a_field(body):
    refusal = None
    try:
        assert isinstance(Reminder.from_json(body), Reminder)
    except InvalidRequest as error:
        refusal = error

    assert refusal is None or (refusal.field and str(refusal).isprintable())


COUNT = st.integers(0, 10**6)
SUMMARIES = st.builds(
    SweepSummary,
    **dict.fromkeys(COUNTS, COUNT),
    by_status=st.dictionaries(st.sampled_from(["pending", "issued", "under_review"]), COUNT),
    stuck_orders=st.lists(st.integers(1, 10**15 - 1), max_size=5),
)


@PURE
@given(st.integers(0, 10**7), st.integers(1, 10), SUMMARIES)
def test_the_next_link_of_a_sweep_survives_its_event(offset, link, so_far):
    request = SweepRequest(offset=offset, link=link, so_far=so_far)

    assert SweepRequest.from_input(json.loads(json.dumps(request.to_json()))) == request
