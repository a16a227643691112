"""API calls: the table of the overview, and the page of one."""

from itertools import islice
from typing import Any

from ..state import State
from .history import History, call_link, order_link
from .markup import Html, at, block, comma_separated, counted, facts, fill, left_out, table, text
from .outbox import render_mails

MAX_CALLS = 100
MAX_MAILS = 300


def render_calls(history: History) -> Html:
    """Return the table of the newest calls."""
    calls = islice(reversed(history.calls.values()), MAX_CALLS)
    rows = [
        (call["number"], at(call["at"]), call_link(call), history.outcome(call), _about(history, call))
        for call in calls
    ]
    more = left_out(len(history.calls) - MAX_CALLS, "earlier call", "/_emulator/calls has them.")
    heads = ("Call", "Time (UTC)", "Request", "Outcome", "Order")
    return fill("$table $more", table=table("calls", heads, rows, "Nobody has called yet."), more=more)


def render_call(state: State, url: str, number: int) -> Html | None:
    """Return the page of one call."""
    history = History(state)
    call = history.calls.get(number)
    if call is None:
        return None
    mails = history.mails.get(number, [])
    about = [
        ("Time", at(call["at"], with_date=True)),
        ("Request", fill("<code>$what</code>", what=text(f"{call['method']} {call['path']}", 2000))),
        ("Query", call["query"] and fill("<code>$query</code>", query=text(call["query"], 2000))),
        ("Key", call["role"]),
        ("Outcome", history.outcome(call)),
        ("Order", _about(history, call)),
    ]
    headers = [(name, fill("<code>$value</code>", value=value)) for name, value in call["headers"].items()]
    return fill(
        "<h2>Call $number</h2> $facts <h2>Body</h2> $body <h2>Headers</h2> $headers <h2>$count</h2> $mails",
        number=number,
        facts=facts(about),
        body=block(call["body"]) if call["body"] else "None.",
        headers=facts(headers),
        count=counted(len(mails), "email").capitalize(),
        mails=render_mails(mails, url, MAX_MAILS, "/_emulator/outbox has all."),
    )


def _about(history: History, call: dict[str, Any]) -> Html | None:
    order_ids, domain = history.orders_of(call), history.domain_of(call)
    orders = comma_separated([order_link(order_id) for order_id in order_ids])
    return fill("$domain: $orders", domain=domain.name, orders=orders or "no orders") if domain else orders or None
