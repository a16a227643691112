"""What callers may ask for: everything else is rejected with the name of the field."""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dv_resend.core.requests import (
    Recipient,
    Reminder,
    ResendRequest,
    Skipped,
    StatusRequest,
    SweepRequest,
    reminder_mark,
)
from dv_resend.errors import InvalidRequest

PURE = settings(deadline=None, derandomize=True, max_examples=100)

# DigiCert's own example of the call (resend-emails page).
DOCUMENTED: dict[str, Any] = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
    ],
    "locale": "en",
}
EXAMPLE_COM = {"domain": "example.com", "email": "admin@example.com"}
WWW = {"domain": "www.example.com", "email": "hostmaster@example.com"}


def parse(**fields: Any) -> ResendRequest:
    return ResendRequest.from_input({"order_id": 123456789, **fields})


def parse_recipient(**fields: Any) -> Recipient:
    (recipient,) = parse(domain_approval_emails=[EXAMPLE_COM | fields]).recipients
    return recipient


def rejected_field(call: Callable[..., object], *args: Any, **fields: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        call(*args, **fields)
    return caught.value.field


# Whole requests


def test_documented_example_is_sent_upstream_unchanged():
    assert parse(**DOCUMENTED).upstream_body == DOCUMENTED


def test_order_id_alone_means_the_default_recipients():
    request = parse()

    assert request == ResendRequest(order_id=123456789)
    assert request.upstream_body == {}
    assert request.addresses == "default"


def test_flags_and_requester_are_not_sent_upstream():
    request = parse(dry_run=True, force=True, requested_by="me", locale="en")

    assert (request.dry_run, request.force, request.requested_by) == (True, True, "me")
    assert request.upstream_body == {"locale": "en"}


@pytest.mark.parametrize("name", ["orderId", "email", "emails", "domain_approval_email", "Locale", "dryrun", "action"])
def test_unknown_field_is_rejected(name):
    assert rejected_field(parse, **{name: True}) == name


@pytest.mark.parametrize("name", ["mail", "emails", "domain_name", "Email", "emaildomain", "locale"])
def test_unknown_field_of_a_recipient_is_rejected(name):
    assert rejected_field(parse_recipient, **{name: "x"}) == f"domain_approval_emails[0].{name}"


@pytest.mark.parametrize("name", ["order_id", "domain_approval_emails", "locale", "dry_run", "force", "requested_by"])
def test_null_is_rejected(name):
    assert rejected_field(parse, **{name: None}) == name


@pytest.mark.parametrize("name", ["domain", "email", "email_domain"])
def test_null_in_a_recipient_is_rejected(name):
    assert rejected_field(parse_recipient, **{name: None}) == f"domain_approval_emails[0].{name}"


@pytest.mark.parametrize("name", ["dry_run", "force"])
@pytest.mark.parametrize("value", ["true", 1, 0, "", [], {}], ids=ascii)
def test_flag_that_is_not_a_boolean_is_rejected(name, value):
    assert rejected_field(parse, **{name: value}) == name


# DigiCert's own request


def test_digicert_request_equals_the_same_direct_input():
    request = ResendRequest.from_digicert("123456789", DOCUMENTED, dry_run=True, force=True)

    assert request == parse(**DOCUMENTED, dry_run=True, force=True)


@pytest.mark.parametrize("name", ["order_id", "dry_run", "force", "requested_by", "action"])
def test_digicert_request_has_no_fields_of_direct_input(name):
    body = {name: 1}

    assert rejected_field(ResendRequest.from_digicert, 1, body, dry_run=False, force=False) == name


def test_digicert_request_with_an_invalid_order_id_is_rejected():
    assert rejected_field(ResendRequest.from_digicert, "12/3", {}, dry_run=False, force=False) == "order_id"


# Order ids


@pytest.mark.parametrize(
    ("value", "order_id"),
    [(1, 1), (123456789, 123456789), ("123456789", 123456789), ("1", 1), (10**15 - 1, 999999999999999), ("007", 7)],
    ids=ascii,
)
def test_order_id_is_an_integer_or_a_string_of_digits(value, order_id):
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
def test_anything_else_as_order_id_is_rejected(value):
    assert rejected_field(parse, order_id=value) == "order_id"


@pytest.mark.parametrize(
    "parse_fields",
    [ResendRequest.from_input, StatusRequest.from_input, Reminder.from_json],
    ids=["resend", "status", "reminder"],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_order_id_too_large_to_print_is_rejected(parse_fields, sign):
    assert rejected_field(parse_fields, {"order_id": sign * 10**5000}) == "order_id"


def test_missing_order_id_is_rejected():
    assert rejected_field(ResendRequest.from_input, {"locale": "en"}) == "order_id"


# Recipients. Which domains and addresses are valid is tested with core/addresses.py.


@pytest.mark.parametrize("value", [[], {}, "admin@example.com", 1, True, {"domain": "example.com"}], ids=ascii)
def test_recipients_that_are_not_a_filled_list_are_rejected(value):
    assert rejected_field(parse, domain_approval_emails=value) == "domain_approval_emails"


@pytest.mark.parametrize("item", [None, "admin@example.com", 1, [], ["example.com", "admin@example.com"]], ids=ascii)
def test_recipient_that_is_not_an_object_is_rejected(item):
    assert rejected_field(parse, domain_approval_emails=[EXAMPLE_COM, item]) == "domain_approval_emails[1]"


@pytest.mark.parametrize("name", ["domain", "email"])
def test_recipient_without_domain_or_email_is_rejected(name):
    item = {key: value for key, value in EXAMPLE_COM.items() if key != name}

    assert rejected_field(parse, domain_approval_emails=[item]) == f"domain_approval_emails[0].{name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("domain", "localhost"),
        ("domain", "*.*.example.com"),
        ("email", "admin"),
        ("email", "admin@*.example.com"),
        ("email_domain", "*.example.com"),
        ("email_domain", "com"),
    ],
)
def test_invalid_name_or_address_is_rejected_with_its_path(name, value):
    assert rejected_field(parse_recipient, **{name: value}) == f"domain_approval_emails[0].{name}"


def test_recipient_is_normalised():
    recipient = parse_recipient(domain="*.WWW.münchen.example", email="Jane@MAIL.test", email_domain="münchen.Example")

    assert recipient == Recipient("*.www.xn--mnchen-3ya.example", "Jane@mail.test", "xn--mnchen-3ya.example")


def test_250_recipients_are_accepted_and_251_are_not():
    items = [{"domain": f"host{n}.example.com", "email": "admin@example.com"} for n in range(251)]

    assert len(parse(domain_approval_emails=items[:250]).recipients) == 250
    assert rejected_field(parse, domain_approval_emails=items) == "domain_approval_emails"


def test_duplicate_recipients_are_removed_and_the_first_is_kept():
    items = [
        {"domain": "example.com", "email": "Jane@example.com"},
        {"domain": "EXAMPLE.com", "email": "jane@EXAMPLE.COM"},
        {"domain": "example.com.", "email": "jane@example.com."},
        {"domain": "www.example.com", "email": "jane@example.com"},
    ]

    assert parse(domain_approval_emails=items).recipients == (
        Recipient("example.com", "Jane@example.com"),
        Recipient("www.example.com", "jane@example.com"),
    )


def test_recipient_is_normalized_in_every_field():
    item = {"domain": "*.Sub.Example2.com.", "email": "Admin@EXAMPLE2.com.", "email_domain": "Example2.COM."}

    request = parse(domain_approval_emails=[item])

    assert request.upstream_body == {
        "domain_approval_emails": [
            {"domain": "*.sub.example2.com", "email": "admin@example2.com", "email_domain": "example2.com"}
        ]
    }


@pytest.mark.parametrize("field", ["domain", "email", "email_domain"])
def test_second_final_dot_is_rejected_by_field(field):
    item = {"domain": "example.com", "email": "admin@example.com", "email_domain": "example.com"}

    with pytest.raises(InvalidRequest) as caught:
        parse(domain_approval_emails=[item | {field: item[field] + ".."}])

    assert caught.value.field == f"domain_approval_emails[0].{field}"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"email_domain": "example.com"}, {}),
        ({}, {"email_domain": "example.com"}),
        ({"email_domain": "a.example.com"}, {"email_domain": "example.com"}),
        ({"email_domain": "www.a.example.com"}, {"email_domain": "example.com"}),
    ],
    ids=ascii,
)
def test_same_recipient_with_two_email_domains_is_rejected(first, second):
    item = {"domain": "www.a.example.com", "email": "admin@example.com"}

    field = rejected_field(parse, domain_approval_emails=[item | first, item | second])

    assert field == "domain_approval_emails[1].email_domain"


@pytest.mark.parametrize("repeats", [(True, False), (False, True), (True, True)], ids=ascii)
def test_email_domain_that_repeats_the_domain_is_a_duplicate(repeats):
    items = [EXAMPLE_COM | ({"email_domain": "example.com"} if each else {}) for each in repeats]

    (recipient,) = parse(domain_approval_emails=items).recipients

    assert recipient.to_json() == items[0]


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
def test_email_domain_is_the_domain_itself_or_a_parent(domain, value, email_domain):
    assert parse_recipient(domain=domain, email_domain=value).email_domain == email_domain


@pytest.mark.parametrize(
    ("domain", "email_domain"),
    [
        ("example.com", "ample.com"),
        ("example.com", "sub.example.com"),
        ("sub.example.com", "sub.example.org"),
        ("sub.example.com", "other.example.com"),
        ("evil-example.com", "example.com"),
        ("example.com.evil.com", "example.com"),
        ("example.com", ""),
        ("example.com", 1),
        ("example.com", ["example.com"]),
        ("example.com", "example.com.."),
        ("example.com", ".example.com"),
    ],
    ids=ascii,
)
def test_any_other_email_domain_is_rejected(domain, email_domain):
    field = rejected_field(parse_recipient, domain=domain, email_domain=email_domain)

    assert field == "domain_approval_emails[0].email_domain"


@pytest.mark.parametrize(
    ("recipient", "authorization_domain"),
    [
        (Recipient("www.example.com", "admin@www.example.com"), "www.example.com"),
        (Recipient("*.example.com", "admin@example.com"), "example.com"),
        (Recipient("www.example.com", "admin@example.com", "example.com"), "example.com"),
        (Recipient("*.www.example.com", "admin@example.com", "example.com"), "example.com"),
    ],
)
def test_authorization_domain_is_the_email_domain_or_the_domain(recipient, authorization_domain):
    assert recipient.authorization_domain == authorization_domain


def test_recipient_path_is_that_of_the_callers_list():
    request = parse(domain_approval_emails=[EXAMPLE_COM, EXAMPLE_COM, WWW])

    assert [recipient.path for recipient in request.recipients] == [
        "domain_approval_emails[0]",
        "domain_approval_emails[2]",
    ]


def test_recipients_are_equal_whatever_their_position():
    (one,) = parse(domain_approval_emails=[EXAMPLE_COM]).recipients
    (other, same) = parse(domain_approval_emails=[WWW, EXAMPLE_COM]).recipients

    assert (one, hash(one)) == (same, hash(same))
    assert one.position != same.position
    assert one != other


# The other strings


@pytest.mark.parametrize("locale", ["en", "de", "EN", "pt_BR", "zh-cn", "zh_CN", "en-US"], ids=ascii)
def test_locale_is_passed_through(locale):
    assert parse(locale=locale).upstream_body == {"locale": locale}


@pytest.mark.parametrize(
    "locale",
    ["", "e", "eng", "en_", "en_USA", "en US", "en-US-x", "e1", "éé", "en\n", "*", "\uff45\uff4e", 1, True, [], {}],
    ids=ascii,
)
def test_anything_else_as_locale_is_rejected(locale):
    assert rejected_field(parse, locale=locale) == "locale"


@pytest.mark.parametrize(
    "value", ["a", "x" * 256, "arn:aws:states:eu-west-1:123456789012:execution:chase:1", "é 例"], ids=ascii
)
def test_requester_is_any_short_printable_text(value):
    assert parse(requested_by=value).requested_by == value


@pytest.mark.parametrize(
    "value", ["", "x" * 257, "a\nb", "a\tb", "\x1b[31m", "a\u2028b", "\u202e", "\ud800", 1, True, []], ids=ascii
)
def test_anything_else_as_requester_is_rejected(value):
    assert rejected_field(parse, requested_by=value) == "requested_by"


@pytest.mark.parametrize(
    "injection", ["\r\n", "\n", "\r", "\r\nBcc: victim@example.com", "\n\n", "\x85", "\u2028"], ids=ascii
)
@pytest.mark.parametrize(
    "fields",
    [
        lambda text: {"order_id": f"12{text}"},
        lambda text: {"locale": f"en{text}"},
        lambda text: {"requested_by": f"me{text}"},
        lambda text: {"domain_approval_emails": [EXAMPLE_COM | {"domain": f"example.com{text}"}]},
        lambda text: {"domain_approval_emails": [EXAMPLE_COM | {"email": f"admin@example.com{text}"}]},
        lambda text: {"domain_approval_emails": [EXAMPLE_COM | {"email": f"admin{text}@example.com"}]},
        lambda text: {"domain_approval_emails": [EXAMPLE_COM | {"email_domain": f"example.com{text}"}]},
    ],
    ids=["order_id", "locale", "requested_by", "domain", "email", "local part", "email_domain"],
)
def test_line_break_in_any_string_is_rejected(fields, injection):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields(injection))

    assert str(caught.value).isprintable()
    assert "victim" not in str(caught.value)


# Narrowed requests


SKIPPED = Skipped(Recipient("example.com", "admin@example.com"), "validated")


def test_name_and_its_wildcard_are_both_sent_upstream():
    recipients = [EXAMPLE_COM, EXAMPLE_COM | {"domain": "*.example.com"}]

    assert parse(domain_approval_emails=recipients).upstream_body == {"domain_approval_emails": recipients}


def test_narrowed_request_mails_those_left_and_keeps_the_rest():
    request = parse(**DOCUMENTED, force=True)
    first, second = request.recipients
    skipped = Skipped(second, "already_mailed")

    narrowed = dataclasses.replace(request, skipped=(SKIPPED,)).narrowed_to([first], [skipped])

    assert narrowed == dataclasses.replace(request, recipients=(first,), skipped=(SKIPPED, skipped))
    assert narrowed.addresses == ["someone@example.com"]
    assert narrowed.upstream_body["domain_approval_emails"] == DOCUMENTED["domain_approval_emails"][:1]


def test_named_request_is_never_narrowed_to_the_default():
    with pytest.raises(ValueError, match="no named recipient is left"):
        parse(**DOCUMENTED).narrowed_to([], [SKIPPED])


def test_default_request_stays_so():
    assert parse().narrowed_to([], []) == parse()


@pytest.mark.parametrize("reason", ["validated", "already_mailed", "maybe_mailed"])
def test_skipped_recipient_as_json_has_the_reason(reason):
    item = DOCUMENTED["domain_approval_emails"][1]

    assert Skipped(Recipient(**item), reason).to_json() == item | {"reason": reason}


# Status requests and sweeps


@pytest.mark.parametrize("value", ["7", 7], ids=ascii)
def test_status_request_has_an_order_id(value):
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
def test_any_other_status_request_is_rejected(fields, field):
    assert rejected_field(StatusRequest.from_input, {"action": "status", **fields}) == field


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({}, SweepRequest(dry_run=False, offset=0)),
        ({"dry_run": True, "requested_by": "me"}, SweepRequest(dry_run=True)),
        ({"offset": 2000}, SweepRequest(offset=2000)),
        ({"offset": 10**7}, SweepRequest(offset=10**7)),
    ],
    ids=ascii,
)
def test_sweep_request_may_have_an_offset_or_be_a_dry_run(fields, request_):
    assert SweepRequest.from_input({"action": "sweep", **fields}) == request_


NOT_COUNTS: list[Any] = [None, -1, True, 1.0, "1", [], {}, 10**7 + 1]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"order_id": 1}, "order_id"),
        ({"force": True}, "force"),
        ({"days": [1]}, "days"),
        *(({"dry_run": value}, "dry_run") for value in (None, "true", 1)),
        *(({"offset": value}, "offset") for value in NOT_COUNTS),
    ],
    ids=ascii,
)
def test_any_other_sweep_request_is_rejected(fields, field):
    assert rejected_field(SweepRequest.from_input, {"action": "sweep", **fields}) == field


# Reminders


DAY = dt.date(2026, 11, 20)
NOT_DATES: list[Any] = [None, 1, "", "soon", "2026-13-01", "2026-11-20T00:00:00+00:00", []]
NOT_DAYS: list[Any] = [None, "x", [], "1.5", True, 1.9, 0, -5, 366]


@pytest.mark.parametrize(
    ("reminder", "body", "mark"),
    [
        (Reminder(7), {"order_id": 7}, None),
        (Reminder(7, DAY, 3), {"order_id": 7, "waiting_since": "2026-11-20", "day": 3}, "2026-11-20#3"),
    ],
    ids=ascii,
)
def test_reminder_has_a_message_body_and_a_mark(reminder, body, mark):
    assert reminder.to_json() == body
    assert Reminder.from_json(body) == reminder
    assert reminder.mark == mark


@pytest.mark.parametrize("reminder", [Reminder(7, DAY), Reminder(7, day=3)], ids=ascii)
def test_reminder_without_date_or_day_has_no_mark(reminder):
    assert reminder.mark is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        *((body, "body") for body in (None, [], "7", 7, [{"order_id": 7}])),
        *(({"order_id": value}, "order_id") for value in (None, 0, "x", True, 1.0, 10**15)),
        ({}, "order_id"),
        ({"waiting_since": "2026-11-20", "day": 3}, "order_id"),
        ({"order_id": 7, "force": True}, "force"),
        ({"order_id": 7, "jane.doe@example.com": 1}, "j***@example.com"),
        ({"order_id": 7, "day": 3}, "waiting_since"),
        ({"order_id": 7, "waiting_since": "2026-11-20"}, "day"),
        *(({"order_id": 7, "waiting_since": value, "day": 3}, "waiting_since") for value in NOT_DATES),
        *(({"order_id": 7, "waiting_since": "2026-11-20", "day": value}, "day") for value in NOT_DAYS),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_any_other_message_body_is_rejected(body, field):
    assert rejected_field(Reminder.from_json, body) == field


@pytest.mark.parametrize("day", ["Infinity", "-Infinity", "1e999"])
def test_reminder_on_an_infinite_day_is_rejected(day):
    body = json.loads(f'{{"order_id": 7, "waiting_since": "2026-11-20", "day": {day}}}')

    assert rejected_field(Reminder.from_json, body) == "day"


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


@PURE
@given(NEARLY)
def test_any_object_is_a_request_or_rejected_with_a_field(fields):
    error = None
    try:
        assert isinstance(ResendRequest.from_input(fields), ResendRequest)
    except InvalidRequest as raised:
        error = raised

    assert error is None or (error.field and str(error).isprintable())


@PURE
@given(REQUESTS)
@example({"order_id": 123456789, **DOCUMENTED})
def test_upstream_body_parses_to_the_same_request(fields):
    request = ResendRequest.from_input(fields)

    again = ResendRequest.from_input({**fields, **request.upstream_body, "order_id": request.order_id})

    assert again == request


@PURE
@given(REQUESTS)
def test_recipients_are_never_widened(fields):
    body: dict[str, Any] = ResendRequest.from_input(fields).upstream_body

    named = {(r["domain"].lower(), r["email"].lower()) for r in fields.get("domain_approval_emails", [])}
    mailed = [(r["domain"], r["email"].lower()) for r in body.get("domain_approval_emails", [])]
    assert set(mailed) == named
    assert len(mailed) == len(named)
    assert ("domain_approval_emails" in body) == ("domain_approval_emails" in fields)


ORDER_IDS = st.integers(1, 10**15 - 1)
DATED_REMINDERS = st.builds(Reminder, ORDER_IDS, st.dates(), st.integers(1, 365))


@PURE
@given(st.builds(Reminder, ORDER_IDS) | DATED_REMINDERS)
def test_reminder_survives_its_message(reminder):
    assert Reminder.from_json(json.loads(json.dumps(reminder.to_json()))) == reminder


@PURE
@given(DATED_REMINDERS, DATED_REMINDERS)
def test_marks_are_equal_iff_reminders_of_an_order_are(one, other):
    assert (one.mark == other.mark) == (dataclasses.replace(one, order_id=other.order_id) == other)
    assert one.mark == reminder_mark(one.waiting_since, one.day)


@PURE
@given(
    st.dictionaries(
        st.sampled_from(["order_id", "waiting_since", "day"]) | st.text(max_size=5),
        JSON | st.sampled_from([7, "7", "2026-11-20", 3]),
    )
    | JSON
)
def test_any_body_is_a_reminder_or_rejected_with_a_field(body):
    error = None
    try:
        assert isinstance(Reminder.from_json(body), Reminder)
    except InvalidRequest as raised:
        error = raised

    assert error is None or (error.field and str(error).isprintable())
