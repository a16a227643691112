"""The report of a sweep: what it says of each stuck order, in which order, and how long it gets."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dv_resend.core.pending import PendingOrder
from dv_resend.core.report import MAX_ORDERS, Reporter, StuckOrders
from unit.core.test_sweep import PURE
from unit.fakes import FakeReportTopic

DEADLINE = 1300.0
FAILURE = 'The sweep ran out of time. Resume it with {"action": "sweep", "offset": 3000}.'


def order(order_id: int = 7, age_days: int = 45, *, new: bool = False, name: str = "example.com") -> PendingOrder:
    return PendingOrder(order_id, name, "pending", age_days, "stuck", new)


def reports(*orders: PendingOrder, failure: str | None = None, stack: str = "dv-resend-prod") -> list[tuple[str, str]]:
    """Return subject and text of what is published about these stuck orders."""
    stuck, topic = StuckOrders(), FakeReportTopic()
    for each in orders:
        stuck.add(each)
    Reporter(topic, stack, "eu-west-1").report(stuck, "listed 24", DEADLINE, failure)
    assert set(topic.deadlines) <= {DEADLINE}
    return topic.reports


def ids_in(text: str) -> list[int]:
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith("- ")]


def test_nothing_is_published_if_nothing_is_stuck() -> None:
    assert reports() == []


@pytest.mark.parametrize(
    ("orders", "failure", "subject"),
    [
        ([order()], None, "1 order is stuck (dv-resend-prod)"),
        ([order(), order()], None, "2 orders are stuck (dv-resend-prod)"),
        ([], FAILURE, "The sweep ran out of time (dv-resend-prod)"),
        ([order()], FAILURE, "The sweep ran out of time (dv-resend-prod)"),
    ],
    ids=str,
)
def test_subject_says_what_happened_where(orders: list[PendingOrder], failure: str | None, subject: str) -> None:
    ((found, text),) = reports(*orders, failure=failure)

    assert found == subject
    assert text.startswith("DV Resend, stack dv-resend-prod, region eu-west-1\n")
    assert text.endswith("Summary: listed 24\n")
    assert (FAILURE in text) == (failure is not None)
    assert len(ids_in(text)) == len(orders)


@pytest.mark.parametrize(
    ("age_days", "line"),
    [
        (23, "pending for 23 days. Its links may expire in 7 days. Name another recipient,"),
        (29, "pending for 29 days. Its links may expire in 1 day. Name another recipient,"),
        *((age, f"pending for {age} days. Its links may have expired. Change the validation") for age in (30, 400)),
    ],
)
def test_line_of_an_order_says_what_to_do(age_days: int, line: str) -> None:
    ((_, text),) = reports(order(age_days=age_days))

    assert f"- 7 example.com: {line}" in text


def test_newly_stuck_orders_come_first() -> None:
    ((_, text),) = reports(order(1), order(2), order(3, 24, new=True), order(4, 23, new=True))

    assert ids_in(text) == [3, 4, 1, 2]
    assert text.index("Newly stuck") < text.index("- 3") < text.index("Stuck for longer") < text.index("- 1")


@pytest.mark.parametrize(
    ("newly", "shown"),
    [
        (0, range(1, 201)),
        (50, [*range(9_951, 10_001), *range(1, 151)]),
        (300, range(9_701, 9_901)),
    ],
)
def test_two_hundred_orders_are_shown_and_the_rest_counted(newly: int, shown: list[int]) -> None:
    ((subject, text),) = reports(*(order(number, new=number > 10_000 - newly) for number in range(1, 10_001)))

    assert (MAX_ORDERS, ids_in(text)) == (200, list(shown))
    assert subject.startswith("10000 orders")
    assert "And 9800 more." in text
    assert ("Stuck for longer" in text) == (newly < MAX_ORDERS)


def test_stuck_orders_are_kept_up_to_a_limit() -> None:
    stuck = StuckOrders()
    for number in range(10_000):
        stuck.add(order(new=number % 2 == 0))

    assert (stuck.found, len(stuck.newly), len(stuck.longer)) == (10_000, MAX_ORDERS, MAX_ORDERS)


@PURE
@given(st.text("aZ0-", min_size=1, max_size=128), st.booleans(), st.integers(1, 10**9))
@example("x" * 128, True, 1)
def test_report_stays_within_the_limits_of_sns(stack: str, fails: bool, found: int) -> None:
    """Publish: fewer than 100 characters in the subject, 256 KB in all. Whatever the names are, these are longest."""
    stuck = StuckOrders(found, newly=[order(10**15 - 1, 36500, name="\U0001f600" * 255)] * MAX_ORDERS)
    topic = FakeReportTopic()

    Reporter(topic, stack, "ap-southeast-1").report(stuck, "x" * 5000, DEADLINE, FAILURE if fails else None)

    ((subject, text),) = topic.reports
    assert 0 < len(subject) < 100
    assert subject.isascii()
    assert subject.isprintable()
    assert len(subject) + len(text.encode()) < 256 * 1024
