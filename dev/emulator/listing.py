"""`GET order/certificate`: filters, sort and paging, as the "List orders" page and its clients use them. Pure."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from .orders import DAY, Order, Switches, order_row, parse_time

MAX_LIMIT = 1000
_FILTER = re.compile(r"filters\[(\w+)](?:\[\d*])?")
_SORTS: dict[str, Callable[[Order], Any]] = {
    "date_created": lambda order: order.created,
    "order_id": lambda order: order.id,
    "status": lambda order: order.status,
    "common_name": lambda order: order.names[0][0],
}
_Test = Callable[[Order], bool]


class BadQuery(ValueError):
    """A query the emulator does not know: it says so instead of ignoring it, so that no test passes by luck."""


@dataclass(frozen=True)
class Listing:
    """A parsed list query. `filters` and `sorts` are hashable: they are the key of the cached selection."""

    filters: tuple[tuple[str, str], ...]
    sorts: tuple[str, ...]
    offset: int
    limit: int | None


def parse_listing(query: str, switches: Switches) -> Listing:
    """The query of a list call. Raises BadQuery."""
    filters: list[tuple[str, str]] = []
    plain = {"sort": "", "offset": "0", "limit": ""}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if match := _FILTER.fullmatch(name):
            if match[1] not in _FILTERS:
                raise BadQuery(f"filters[{match[1]}] is not built into the emulator; add it to listing.py")
            filters.append((match[1], value))
        elif name in plain:
            plain[name] = value
        else:
            raise BadQuery(f"query parameter {name} is not built into the emulator")
    sorts = tuple(part.strip() for part in plain["sort"].split(",") if part.strip())
    for part in sorts:
        if part.removeprefix("-") not in _SORTS:
            raise BadQuery(f"sort by {part} is not built into the emulator")
    if not re.fullmatch(r"[0-9]+", plain["offset"]) or not re.fullmatch(r"[0-9]*", plain["limit"]):
        raise BadQuery("offset and limit must be whole numbers")
    limit = int(plain["limit"]) if plain["limit"] else None
    if limit is not None and limit > MAX_LIMIT:
        if switches["limit_over_1000"] == "reject":
            raise BadQuery(f"limit must be at most {MAX_LIMIT}")
        limit = MAX_LIMIT
    return Listing(tuple(filters), sorts, int(plain["offset"]), limit)


def select(orders: Iterable[Order], listing: Listing) -> list[Order]:
    """All orders that pass the filters, sorted: values of one filter widen, several filters narrow. Raises BadQuery."""
    values: dict[str, list[str]] = {}
    for name, value in listing.filters:
        values.setdefault(name, []).append(value)
    tests = [_FILTERS[name](wanted) for name, wanted in values.items()]
    chosen = [order for order in orders if all(test(order) for test in tests)]
    for part in reversed(listing.sorts):  # sorting is stable, so the first key goes last
        chosen.sort(key=_SORTS[part.removeprefix("-")], reverse=part.startswith("-"))
    return chosen


def render_page(chosen: list[Order], listing: Listing, switches: Switches) -> dict[str, Any]:
    """The body. `page.limit` is 0 when none was given ("List orders" page, its example)."""
    limit = MAX_LIMIT if not listing.limit else listing.limit
    rows = [order_row(order, switches) for order in chosen[listing.offset : listing.offset + limit]]
    page = {"total": len(chosen), "limit": listing.limit or 0, "offset": listing.offset}
    return {"orders": rows, "page": page}


def _by_status(wanted: list[str]) -> _Test:
    statuses = set(wanted)
    if "issued" in statuses:
        statuses.add("expired")  # "List orders" page: the filter "issued" includes expired orders
    return lambda order: order.status in statuses


def _by_date(wanted: list[str]) -> _Test:
    ranges = [_range(text) for text in wanted]
    return lambda order: any(start <= order.created < end for start, end in ranges)


def _range(text: str) -> tuple[float, float]:
    """`a...b` (both ends in), `>a`, `<b` or one day, as [start, end). A `+` that was not encoded came as a blank."""
    text = text.replace(" ", "+")

    def step(value: str) -> int:
        return DAY if len(value) == len("yyyy-mm-dd") else 1

    try:
        if text.startswith(">"):
            return parse_time(text[1:]) + (0 if step(text[1:]) == DAY else 1), float("inf")
        if text.startswith("<"):
            return 0, parse_time(text[1:])
        first, _, last = text.partition("...")
        last = last or first
        return parse_time(first), parse_time(last) + step(last)
    except ValueError:
        raise BadQuery("filters[date_created] must be a...b, >a, <b or a date") from None


_FILTERS: dict[str, Callable[[list[str]], _Test]] = {
    "status": _by_status,
    "date_created": _by_date,
    "product_name_id": lambda wanted: lambda order: order.product in wanted,
    "id": lambda wanted: lambda order: str(order.id) in wanted,
    "common_name": lambda wanted: lambda order: order.names[0][0] in wanted,
}
