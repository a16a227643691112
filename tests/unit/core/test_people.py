"""Who is the same person, however the recipient was written."""

import pytest

from dv_resend.core.orders import NameStatus, OrderStatus
from dv_resend.core.people import DEFAULT, people_of
from dv_resend.core.requests import Recipient

ADMIN = Recipient("example.com", "admin@example.com")


def validation(*entries):
    return OrderStatus(7, "pending", "email", entries)


EXAMPLE = validation(
    NameStatus("example.com", "pending", ("example.com", "www.example.com", "*.shop.example.com")),
    NameStatus("example2.com", "pending", ("example2.com",)),
)


def keys(*recipients, status=EXAMPLE):
    return list(people_of(recipients, status))


def test_no_recipients_are_the_default_ones():
    assert people_of((), EXAMPLE) == {DEFAULT: ()}


@pytest.mark.parametrize(
    "same",
    [
        Recipient("www.example.com", "admin@example.com"),
        Recipient("shop.example.com", "admin@example.com"),
        Recipient("*.example.com", "admin@example.com"),
        Recipient("example.com", "Admin@example.com"),
        Recipient("example.com", "admin@example.com", email_domain="example.com"),
    ],
    ids=str,
)
def test_same_address_in_the_same_scope_is_the_same_person(same):
    assert people_of((ADMIN, same), EXAMPLE) == {keys(ADMIN)[0]: (ADMIN, same)}


@pytest.mark.parametrize(
    "other",
    [
        Recipient("example.com", "webmaster@example.com"),
        Recipient("example2.com", "admin@example.com"),
        Recipient("elsewhere.example.com", "admin@example.com"),
    ],
    ids=str,
)
def test_other_address_or_scope_is_another_person(other):
    assert len(keys(ADMIN, other)) == 2


def test_name_that_no_entry_covers_stands_for_itself():
    nothing = validation()
    unreadable = validation(NameStatus("", "unknown", ("example.com",)))

    assert keys(ADMIN, status=nothing) == keys(ADMIN, status=unreadable) == keys(ADMIN)
    assert keys(Recipient("*.example.com", ADMIN.email), status=nothing) == keys(ADMIN)


def test_scope_is_compared_without_case_and_wildcard():
    assert keys(ADMIN, status=validation(NameStatus("*.Example.com", "pending", ("example.com",)))) == keys(ADMIN)


def test_widest_scope_counts_in_any_order():
    narrow, wide = NameStatus("www.example.com", "pending"), NameStatus("example.com", "pending", ("www.example.com",))
    www = Recipient("www.example.com", "admin@example.com")

    assert keys(www, status=validation(narrow, wide)) == keys(www, status=validation(wide, narrow)) == keys(ADMIN)


def test_keys_show_no_address():
    (key,) = keys(ADMIN)

    assert len(key) == 32
    assert int(key, 16)
