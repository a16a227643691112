"""Who is the same person, however the recipient was written."""

from dataclasses import replace

import pytest

from dv_resend.core.orders import NameStatus, OrderStatus
from dv_resend.core.people import attempt_of, narrowed, people_of
from dv_resend.core.requests import Invocation, Recipient, ResendRequest, Skipped
from dv_resend.core.send_record import DEFAULT, Attempt, Mailed

ADMIN = Recipient("example.com", "admin@example.com")
WWW = replace(ADMIN, domain="www.example.com", email_domain="example.com")
WEBMASTER = Recipient("example.com", "webmaster@example.com")


def validation(*entries: NameStatus) -> OrderStatus:
    return OrderStatus(7, "pending", "email", entries)


EXAMPLE = validation(
    NameStatus("example.com", "pending", ("example.com", "www.example.com", "*.shop.example.com")),
    NameStatus("example2.com", "pending", ("example2.com",)),
)


def keys(*recipients: Recipient, status: OrderStatus = EXAMPLE) -> list[str]:
    return list(people_of(recipients, status))


def test_no_recipients_are_the_default_ones() -> None:
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
def test_same_address_in_the_same_scope_is_the_same_person(same: Recipient) -> None:
    assert people_of((ADMIN, same), EXAMPLE) == {keys(ADMIN)[0]: (ADMIN, same)}


@pytest.mark.parametrize(
    "other",
    [
        WEBMASTER,
        Recipient("example2.com", "admin@example.com"),
        Recipient("elsewhere.example.com", "admin@example.com"),
    ],
    ids=str,
)
def test_other_address_or_scope_is_another_person(other: Recipient) -> None:
    assert len(keys(ADMIN, other)) == 2


def test_name_that_no_entry_covers_stands_for_itself() -> None:
    nothing = validation()
    unreadable = validation(NameStatus("", "unknown", ("example.com",)))

    assert keys(ADMIN, status=nothing) == keys(ADMIN, status=unreadable) == keys(ADMIN)
    assert keys(Recipient("*.example.com", ADMIN.email), status=nothing) == keys(ADMIN)


def test_scope_is_compared_without_case_and_wildcard() -> None:
    assert keys(ADMIN, status=validation(NameStatus("*.Example.com", "pending", ("example.com",)))) == keys(ADMIN)


def test_widest_scope_counts_in_any_order() -> None:
    narrow, wide = NameStatus("www.example.com", "pending"), NameStatus("example.com", "pending", ("www.example.com",))
    www = Recipient("www.example.com", "admin@example.com")

    assert keys(www, status=validation(narrow, wide)) == keys(www, status=validation(wide, narrow)) == keys(ADMIN)


def test_keys_show_no_address() -> None:
    (key,) = keys(ADMIN)

    assert len(key) == 32
    assert int(key, 16)


# Attempts and what is left of a request


@pytest.mark.parametrize(("force", "force_id"), [(False, None), (True, "call-1")])
def test_attempt_ends_with_the_invocation_and_has_its_force_id(force: bool, force_id: str | None) -> None:
    people = people_of((ADMIN, WEBMASTER), EXAMPLE)

    attempt = attempt_of(ResendRequest(7, force=force), people, Invocation(1000.2, "call-1"), owner="an owner")

    assert attempt == Attempt(tuple(keys(ADMIN, WEBMASTER)), deadline=1001, owner="an owner", force_id=force_id)


def test_narrowed_request_has_an_entry_for_each_person() -> None:
    request = ResendRequest(7, (ADMIN, WWW, WEBMASTER))
    people = people_of(request.recipients, EXAMPLE)
    admin, webmaster = people

    assert narrowed(request, people, [admin, webmaster], {}).recipients == (ADMIN, WEBMASTER)


def test_narrowed_request_skips_all_entries_of_a_person() -> None:
    request = ResendRequest(7, (ADMIN, WWW, WEBMASTER))
    people = people_of(request.recipients, EXAMPLE)
    admin, webmaster = people

    left = narrowed(request, people, [webmaster], {admin: Mailed(0, "unknown")})

    assert left.recipients == (WEBMASTER,)
    assert left.skipped == (Skipped(ADMIN, "maybe_mailed"), Skipped(WWW, "maybe_mailed"))


def test_narrowed_default_request_stays_so() -> None:
    assert narrowed(ResendRequest(7), people_of((), EXAMPLE), [DEFAULT], {}) == ResendRequest(7)
