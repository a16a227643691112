"""Orders with very many names: time and memory grow with their number, and no faster.

The largest validation answer that is read has a megabyte. That is room for 14,000 names.
"""

import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace

import pytest

from dv_resend.core.orders import NameStatus, OrderStatus
from dv_resend.core.recipients import Contacts
from unit.fakes import FakeCertCentral, FakeContacts, Fakes, resend_request

NOW = 1_795_446_245.0
COUNT = 14_000
NAMES = tuple(f"n{number}.example.com" for number in range(COUNT))
OWN = tuple(f"n{number}.test" for number in range(COUNT))
# A hundred labels, as many names as fit.
DEEP = tuple(f"n{number}." + "a." * 100 + "example.com" for number in range(COUNT // 3))


def an_entry_each(names: Iterable[str], status: str = "pending") -> tuple[NameStatus, ...]:
    return tuple(NameStatus(name, status, (name,)) for name in names)


SHAPES: dict[str, tuple[NameStatus, ...]] = {
    "an entry each": an_entry_each(NAMES),
    "domains of their own": an_entry_each(OWN),
    "one entry": (NameStatus("example.com", "pending", NAMES),),
    "the same name": (NameStatus("example.com", "pending", (NAMES[0],)),) * COUNT,
    "all but one approved": an_entry_each(NAMES[:1]) + an_entry_each(NAMES[1:], "approved"),
    "a hundred labels": an_entry_each(DEEP),
    "listed by the order alone": (),
}


class Silent(FakeContacts):
    """A DNS that knows nothing, without the journal of what it was asked."""

    def contacts(self, domains: Iterable[str]) -> dict[str, Contacts]:
        return {domain: Contacts() for domain in domains}

    def has_mx(self, hosts: Iterable[str]) -> dict[str, bool | None]:
        return dict.fromkeys(hosts, False)


def fakes_of(domains: tuple[NameStatus, ...]) -> Fakes:
    fakes = Fakes()
    fakes.contacts = Silent()
    fakes.certcentral.domains = domains
    if not domains:
        fakes.certcentral.order = replace(fakes.certcentral.order, names=NAMES)
    return fakes


def named(domains: tuple[NameStatus, ...]) -> list[tuple[str, str]]:
    """The most recipients that a request may have, each for a name of the order."""
    names = [name for domain in domains for name in domain.names] or list(NAMES)
    return list(dict.fromkeys((name, f"admin@{name}") for name in names[:250]))


@pytest.mark.parametrize("domains", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("has_recipients", [False, True], ids=["default", "named"])
@pytest.mark.parametrize("dry_run", [False, True], ids=["resend", "dry run"])
def test_time_is_bounded(domains: tuple[NameStatus, ...], has_recipients: bool, dry_run: bool) -> None:
    """With a pass over all names for each of them, it took minutes."""
    fakes = fakes_of(domains)
    fields = {"dry_run": True} if dry_run else {}
    request = resend_request(*(named(domains) if has_recipients else ()), **fields)
    resender, invocation = fakes.resender(NOW), fakes.invocation(NOW)
    started = time.process_time()

    answer = (resender.dry_run if dry_run else resender.resend)(request, invocation)
    answer.to_json()

    assert time.process_time() - started < 20


def test_memory_for_the_parents_of_a_name_is_bounded() -> None:
    """Five addresses at each of a hundred parents took 80 kilobytes for each name."""
    fakes = fakes_of(an_entry_each(DEEP[:500]))
    tracemalloc.start()
    try:
        fakes.resender(NOW).dry_run(resend_request(dry_run=True), fakes.invocation(NOW))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 16 * 1024 * 1024


def test_dry_run_takes_the_method_of_the_validation_if_the_order_has_none() -> None:
    class Split(FakeCertCentral):
        def get_order_status(self, order_id: int, deadline: float) -> OrderStatus:
            return replace(super().get_order_status(order_id, deadline), dcv_method="Email")

    fakes = Fakes()
    fakes.certcentral = Split(fakes.journal)
    fakes.certcentral.order = replace(fakes.certcentral.order, dcv_method=None)

    plan = fakes.resender(NOW).dry_run(resend_request(dry_run=True), fakes.invocation(NOW))

    assert (plan.would_be, plan.order.dcv_method) == ("sent", "Email")
