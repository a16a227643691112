"""What CertCentral knows about orders: which names an order has, and which of them are validated."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.orders import NameStatus, Order, OrderStatus

PURE = settings(deadline=None, derandomize=True, max_examples=100)


def order_of(*names: str) -> Order:
    return Order(1, "pending", "dv_ssl_certificate", "email", names=names)


def order_status(*entries: tuple) -> OrderStatus:
    return OrderStatus(1, "pending", "email", tuple(NameStatus(*entry) for entry in entries))


# One entry


@pytest.mark.parametrize("status", ["approved", "APPROVED", "Approved"])
def test_approved_name_is_validated_in_any_case(status):
    assert NameStatus("example.com", status).validated


@pytest.mark.parametrize(
    "status",
    ["pending", "unknown", "", "valid", "validated", "not_approved", "approved ", "expired", "submitted", "ok"],
)
def test_name_of_any_other_status_is_not_validated(status):
    """Not all of them are documented. A wrong guess would keep an email from somebody who is waiting for it."""
    assert not NameStatus("example.com", status).validated


@pytest.mark.parametrize("status", ["approved", "APPROVED", "pending"])
def test_name_with_expired_approval_is_not_validated(status):
    assert not NameStatus("example.com", status, expired=True).validated


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
def test_order_has_scopes_and_names_with_or_without_wildcard(name, is_covered):
    entry = ("example.com", "pending", ("www.Example.com", "*.a.example.com", "Shop.test"))

    assert NameStatus(*entry).covers(name) is is_covered
    assert order_status(entry).has(name) is is_covered


# All entries of an order


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
        # A name in several entries is validated once all of them are.
        ([("example.com", "approved"), ("example.com", "pending")], "example.com", False),
        ([("example.com", "pending", ("a.test",)), ("b.test", "approved", ("a.test",))], "a.test", False),
        ([("example.com", "approved"), ("example.com", "Approved")], "example.com", True),
        ([("other.example", "pending"), ("example.com", "approved")], "example.com", True),
        # Entries that list the name take precedence over those of its scope, which may have one entry per status.
        ([("a.test", "approved", ("a.test",)), ("a.test", "pending", ("www.a.test",))], "a.test", True),
        ([("a.test", "approved", ("a.test",)), ("a.test", "pending", ("www.a.test",))], "www.a.test", False),
        ([("a.test", "pending", ("a.test",)), ("a.test", "approved", ("www.a.test",))], "a.test", False),
        ([("a.test", "pending", ("a.test",)), ("a.test", "approved", ("www.a.test",))], "www.a.test", True),
        ([("a.test", "approved", ("*.a.test",)), ("a.test", "pending", ("www.a.test",))], "a.test", True),
        ([("a.test", "approved", ("a.test",)), ("a.test", "pending", ("*.a.test",))], "a.test", False),
        ([("a.test", "approved", ("x.a.test",)), ("a.test", "pending", ("www.a.test",))], "a.test", False),
        # An expired approval does not count.
        ([("a.test", "approved", ("a.test",), True)], "a.test", False),
        ([("a.test", "approved", ("a.test",), True), ("a.test", "approved", ("www.a.test",))], "www.a.test", True),
        ([("a.test", "approved", (), True)], "a.test", False),
    ],
)
def test_name_is_validated_if_all_entries_that_decide_are(entries, name, is_validated):
    assert order_status(*entries).validated(name) is is_validated


@pytest.mark.parametrize(
    ("entries", "is_validated"),
    [
        ([("a.test", "approved")], True),
        ([("a.test", "approved"), ("b.test", "APPROVED")], True),
        ([("a.test", "approved"), ("b.test", "pending")], False),
        ([("a.test", "approved"), ("unknown", "unknown")], False),
        ([("a.test", "a new status")], False),
        ([], False),  # the names are not known
        ([("a.test", "approved"), ("", "approved")], False),
        ([("a.test", "approved", ("a.test",)), ("a.test", "pending", ("www.a.test",))], False),
        ([("a.test", "approved", (), True)], False),
        ([("a.test", "approved"), ("b.test", "approved", ("b.test",), True)], False),
    ],
)
def test_order_is_validated_if_all_its_names_are_known_and_are(entries, is_validated):
    assert order_status(*entries).all_validated is is_validated


@pytest.mark.parametrize(
    ("entries", "names", "expected"),
    [
        # Nothing to add
        ([("a.test", "pending")], ["a.test"], [("a.test", "pending")]),
        ([("a.test", "pending", ("*.a.test",))], ["a.test", "*.a.test"], [("a.test", "pending", ("*.a.test",))]),
        ([("a.test", "approved", ("www.a.test",))], ["www.a.test"], [("a.test", "approved", ("www.a.test",))]),
        # More names than the order lists: they stay
        ([("a.test", "pending"), ("b.test", "pending")], ["a.test"], [("a.test", "pending"), ("b.test", "pending")]),
        # Some names, or all, are missing
        ([("a.test", "approved")], ["a.test", "b.test"], [("a.test", "approved"), ("", "unknown", ("b.test",))]),
        ([], ["a.test", "*.b.test"], [("", "unknown", ("a.test",)), ("", "unknown", ("*.b.test",))]),
        (
            [("a.test", "approved", ("a.test",))],
            ["a.test", "www.a.test"],
            [("a.test", "approved", ("a.test",)), ("", "unknown", ("www.a.test",))],
        ),
        # Unreadable entries are dropped
        ([("", "approved")], ["a.test"], [("", "unknown", ("a.test",))]),
        ([("", "pending"), ("a.test", "approved")], ["a.test"], [("a.test", "approved")]),
        # The order lists no names either
        ([("a.test", "approved")], [], [("a.test", "approved")]),
        ([("", "pending"), ("a.test", "approved")], [], [("", "pending"), ("a.test", "approved")]),
        ([], [], []),
    ],
)
def test_names_that_only_the_order_lists_are_added_as_unknown(entries, names, expected):
    assert order_status(*entries).with_names_of(order_of(*names)) == order_status(*expected)


@pytest.mark.parametrize(
    ("entries", "names", "known"),
    [
        ([], [], None),
        ([("", "approved")], [], None),
        ([("a.test", "approved"), ("", "approved")], [], None),
        ([], ["b.test", "a.test"], ["b.test", "a.test"]),
        ([("", "approved")], ["a.test"], ["a.test"]),
        ([("a.test", "approved"), ("", "approved")], ["b.test", "a.test"], ["a.test", "b.test"]),
        ([("a.test", "approved", ("a.test", "b.test")), ("b.test", "pending")], [], ["a.test", "b.test"]),
    ],
)
def test_names_are_known_if_status_or_order_lists_them_all(entries, names, known):
    assert order_status(*entries).with_names_of(order_of(*names)).names == known


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
def test_names_of_the_order_are_all_added_and_validate_nothing(entries, names):
    before = OrderStatus(1, "pending", "email", entries)

    after = before.with_names_of(order_of(*names))

    assert after.with_names_of(order_of(*names)) == after
    for name in ("a.test", "*.a.test", "www.a.test", "b.test", "*.b.test", "c.test"):
        # The order's names can only take a validation away, and not that of a name that was listed.
        assert before.validated(name) or not after.validated(name)
        assert after.validated(name) or not before.listed_and_validated(name)
    if names:
        assert after.names is not None
        assert all(after.has(name) for name in names)
    if after.all_validated:
        assert all(after.validated(name) for name in names)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.test", True), ("*.b.test", True), ("c.test", True), ("d.test", False)]
)
def test_order_has_its_names_and_the_scopes_of_their_validation(name, expected):
    assert order_status(("a.test", "pending"), ("c.test", "pending", ("b.test",))).has(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("c.test", True), ("*.c.test", True), ("C.test", True), ("w.test", True), ("b.test", False), ("", False)],
)
def test_scope_of_the_validation_is_known(name, expected):
    status = order_status(("C.test", "pending", ("b.test",)), ("*.w.test", "pending"), ("", "pending", ("d.test",)))

    assert status.has_scope(name) is expected


@PURE
@given(ENTRIES, st.sampled_from(["a.test", "*.a.test", "www.a.test", "b.test", "*.b.test", "c.test", ""]))
def test_name_is_judged_by_the_entries_that_list_it_or_else_by_its_scope(entries, name):
    status = OrderStatus(1, "pending", "email", entries)
    bare = name.removeprefix("*.")
    listing = [entry for entry in entries if bare in [each.removeprefix("*.") for each in entry.names]]
    at_scope = [entry for entry in entries if entry.scope and entry.scope == bare]
    deciding = listing or at_scope

    assert status.validated(name) is (bool(deciding) and all(entry.validated for entry in deciding))
    assert status.listed_and_validated(name) is (bool(listing) and all(entry.validated for entry in listing))
    assert status.has(name) is bool(listing + at_scope)
    scopes = [entry.scope for entry in entries if entry.scope and entry.covers(name)]
    assert status.widest_scope(name) == min(scopes, key=lambda scope: (scope.count("."), scope), default=None)


@pytest.mark.parametrize(
    "entries",
    [
        [NameStatus(f"n{number}.test", "pending", (f"n{number}.test",)) for number in range(20_000)],
        [NameStatus("a.test", "pending", ("a.test",))] * 20_000,
        [NameStatus("a.test", "pending", tuple(f"n{number}.test" for number in range(20_000)))],
    ],
    ids=["an entry each", "the same name", "one entry"],
)
def test_every_name_of_a_large_order_is_judged_in_one_pass(entries):
    """With a pass for each name, it took minutes."""
    status = OrderStatus(1, "pending", "email", tuple(entries))
    started = time.process_time()

    for name in [name for entry in entries for name in entry.names]:
        assert status.has(name)
        assert not status.validated(name)

    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("own", "validations", "method"),
    [
        ("email", "http-token", "email"),
        ("http-token", "email", "http-token"),
        (None, "email", "email"),
        ("", "email", "email"),
        (None, None, None),
    ],
)
def test_method_of_the_validation_counts_if_the_order_has_none(own, validations, method):
    order = Order(1, "pending", "dv_ssl_certificate", own, names=("a.test",))

    assert order.with_method_of(OrderStatus(1, "issued", validations, ())) == replace(order, dcv_method=method)


def test_order_status_as_json_lists_every_scope():
    status = order_status(
        ("example.com", "pending", ("a.example.com",)), ("www.example.com", "approved"), ("", "pending")
    )

    assert status.to_json() == {
        "order_id": 1,
        "status": "pending",
        "dcv_method": "email",
        "domains": [
            {"name": "example.com", "status": "pending"},
            {"name": "www.example.com", "status": "approved"},
            {"name": "unknown", "status": "pending"},
        ],
    }
