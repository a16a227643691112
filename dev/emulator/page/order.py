"""Orders: the table of the overview, and the page of one."""

from itertools import chain, islice

from ..orders import OPEN, Order, iso
from ..state import State
from .history import History, order_link
from .markup import MAX_LINES, Html, ago, at, chip, comma_separated, counted, facts, fill, items, left_out, table
from .outbox import render_outbox

MAX_ORDERS = 100
MAX_EVENTS = 200
_EVENTS_IN_ROW = 3
_NAMES_IN_ROW = 5


def render_orders(state: State, history: History) -> Html:
    """Return the table of orders: first those to which something happened, last event first, then the newest."""
    orders = state.all_orders()
    busy = (order for order_id in reversed(history.events) if (order := state.order(order_id)))
    others = (order for order in reversed(orders) if order.id not in history.events)
    rows = [_row(order, history) for order in islice(chain(busy, others), MAX_ORDERS)]
    heads = ("Order", "Status", "Names", "What happened", "Age")
    return fill(
        "$table $more",
        table=table("orders", heads, rows, "There are no orders."),
        more=left_out(len(orders) - len(rows), "order", "Any order is at /orders/ID."),
    )


def render_order(state: State, url: str, order_id: int) -> Html | None:
    """Return the page of one order."""
    order = state.order(order_id)
    if order is None:
        return None
    history = History(state)
    events = history.events.get(order_id, [])
    domain_ids = state.domain_ids(order)
    mails = [
        mails
        for mails in history.mails.values()
        if mails[0]["order_id"] == order_id or mails[0]["domain_id"] in domain_ids.values()
    ]
    about = [
        ("Status", fill("$status $button", status=_status(order), button=_button(order, ""))),
        ("Kind", f"{order.kind}, {order.product} ({order.product_type})"),
        ("DCV method", order.dcv_method),
        ("Ordered", _when(order.created)),
        ("Reissued", _when(order.reissued) if order.reissued else None),
        (
            "Contacts in DNS",
            items(order.contacts[:MAX_LINES], len(order.contacts) - MAX_LINES) if order.contacts else None,
        ),
        ("Names", _names(order, MAX_LINES)),
        ("Organization", None if order.is_dv else order.organization),
        ("Domains", _domains(domain_ids) if domain_ids else None),
    ]
    return fill(
        "<h2>Order $id</h2> $facts <h2>What happened</h2> $events $more <h2>Emails</h2> $mails",
        id=order_id,
        facts=facts(about),
        events=_events(history, order_id, MAX_EVENTS, lookups=True) or "Nothing yet.",
        more=left_out(len(events) - MAX_EVENTS, "earlier event"),
        mails=render_outbox(history, mails, url),
    )


def _when(then: int) -> Html:
    return fill("$at, $ago ago", at=at(iso(then), with_date=True), ago=ago(then))


def _row(order: Order, history: History) -> tuple[object, ...]:
    age = [
        ago(order.created),
        fill(" <small>reissued $ago</small>", ago=ago(order.reissued)) if order.reissued else None,
    ]
    return (
        fill(
            '<span id="order-$id">$link</span> <small>$kind</small>',
            id=order.id,
            link=order_link(order.id),
            kind=order.kind,
        ),
        fill(
            "$status $button <small>$method</small>",
            status=_status(order),
            button=_button(order, "?back=overview"),
            method=order.dcv_method,
        ),
        _names(order, _NAMES_IN_ROW),
        _events_in_row(order, history),
        age,
    )


def _events_in_row(order: Order, history: History) -> Html | None:
    events = history.events.get(order.id)
    if not events:
        return None
    lookups = sum(event.is_lookup for event in events)
    earlier = len(events) - lookups - _EVENTS_IN_ROW
    rest = [counted(earlier, "earlier event") if earlier > 0 else None, counted(lookups, "lookup") if lookups else None]
    return fill(
        '$events<small><a href="/orders/$id">$rest</a></small>',
        events=_events(history, order.id, _EVENTS_IN_ROW, lookups=False),
        id=order.id,
        rest=comma_separated(rest),
    )


def _events(history: History, order_id: int, limit: int, *, lookups: bool) -> Html | None:
    newest_first = reversed(history.events.get(order_id, []))
    shown = islice((event for event in newest_first if lookups or not event.is_lookup), limit)
    lines = [history.describe(event) for event in shown]
    return items(lines) if lines else None


def _names(order: Order, limit: int) -> Html:
    lines = [_name(order, *pair) for pair in order.names[:limit]]
    return items(lines, len(order.names) - limit)


def _name(order: Order, name: str, status: str) -> Html:
    kind, method = "done" if status == "approved" else "todo", order.method_of(name)
    other_method = fill(" <small>$method</small>", method=method) if method != order.dcv_method else None
    template = '$name <i class="$kind">$status</i>$method'
    return fill(template, name=name, kind=kind, status=status, method=other_method)


def _domains(ids: dict[str, int]) -> Html:
    lines = [fill("$scope <small>$id</small>", scope=scope, id=number) for scope, number in ids.items()]
    return items(lines[:MAX_LINES], len(lines) - MAX_LINES)


def _status(order: Order) -> Html:
    return chip(order.status, "open" if order.status in OPEN else "good" if order.status == "issued" else "")


def _button(order: Order, query: str) -> Html | None:
    if order.status not in OPEN:
        return None
    template = (
        '<form method="post" action="/orders/$id/issue$query"><button title="Issue order $id">Issue</button></form>'
    )
    return fill(template, id=order.id, query=query)
