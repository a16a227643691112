"""Reading JSON that somebody else wrote: unknown fields are named, and what is shown is short, printable and masked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.untrusted_json import as_dict, printable_field_name, printable_text, reject_unknown_fields
from dv_resend.errors import InvalidRequest

PURE = settings(deadline=None, derandomize=True, max_examples=100)


@pytest.mark.parametrize("value", [None, 1, "text", ["a"], True, {}], ids=ascii)
def test_anything_but_an_object_is_read_as_an_empty_one(value):
    assert as_dict(value) == {}


def test_object_is_returned_as_it_is():
    value = {"a": 1}

    assert as_dict(value) is value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(("a\r\nb\x1b[31m\u202ec", "a  b [31m c"), ("x" * 65, "x" * 64)),
        *((value, None) for value in ("", None, 1, True, ["a"], {"a": 1})),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_text_is_short_and_printable_or_none(value, text):
    assert printable_text(value) == text


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        ("jane.doe@example.com", 9, "j***@exam"),
        ("jane.doe \u200b@example.com", 64, "j***  @example.com"),
        ("x" * 5000 + "@example.com", 64, "x" * 64),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_text_is_masked_before_it_is_cut(value, limit, text):
    assert printable_text(value, limit) == text


@PURE
@given(st.integers(0, 9000), st.sampled_from(["@", "%40", "\uff20", " @ "]), st.sampled_from([1, 64, 300, 9000]))
def test_address_is_masked_wherever_it_is_cut(length, at_sign, limit):
    text = printable_text(f"{'x. ' * (length // 3)}jane.doe{at_sign}example.com {'y ' * 3000}", limit)

    assert text is not None
    assert "jane" not in text
    assert "doe" not in text
    assert len(text) <= limit


@pytest.mark.parametrize(
    ("name", "shown"),
    [("dry run", "dry run"), ("jane.doe@example.com", "j***@example.com"), ("x" * 40, "x" * 40)],
    ids=lambda text: ascii(text)[:30],
)
def test_short_printable_field_name_is_shown_with_masked_addresses(name, shown):
    assert printable_field_name(name) == shown


@pytest.mark.parametrize("name", ["", "é", "a\n", "\ud800", "x" * 41], ids=lambda name: ascii(name)[:30])
def test_long_or_unprintable_field_name_is_not_shown(name):
    assert printable_field_name(name) is None


@PURE
@given(st.text() | st.from_regex(r"[a-z.]{1,40}@[a-z]{1,20}\.com", fullmatch=True))
def test_any_field_name_is_shown_short_and_printable_or_not_at_all(name):
    shown = printable_field_name(name)

    assert shown is None or (shown.isascii() and shown.isprintable() and 1 <= len(shown) <= 64)


def test_first_unknown_field_is_rejected_with_the_allowed_ones():
    with pytest.raises(InvalidRequest) as caught:
        reject_unknown_fields({"email": 1, "emial": 2, "domian": 3}, frozenset({"email", "domain"}), "item")

    assert caught.value.field == "item.emial"
    assert str(caught.value) == "item.emial: is an unknown field; allowed fields are domain, email."


@pytest.mark.parametrize(("parent", "field"), [("", "request"), ("item", "item")])
def test_unknown_field_that_is_not_shown_is_rejected_at_its_object(parent, field):
    with pytest.raises(InvalidRequest) as caught:
        reject_unknown_fields({"email": 1, "x" * 41: 2}, frozenset({"email"}), parent)

    assert caught.value.field == field
    assert str(caught.value) == (
        f"{field}: has an unknown field (its name is too long or not printable, so it is not shown); "
        "allowed fields are email."
    )


@pytest.mark.parametrize("fields", [{}, {"domain": None}, {"email": 1, "domain": 2}], ids=ascii)
def test_known_fields_are_accepted(fields):
    reject_unknown_fields(fields, frozenset({"email", "domain"}))
