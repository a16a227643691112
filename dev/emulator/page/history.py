"""What happened so far, by order and by call."""

import json
import re
from dataclasses import dataclass
from heapq import merge
from typing import Any

from ..certcentral_api import BASE_PATH
from ..state import Change, State
from .markup import Html, at, chip, comma_separated, counted, fill, text

_ORDER = re.compile(r"/order/certificate/([0-9]{1,18})(?:/|$)")


@dataclass(frozen=True)
class Event:
    """One thing that happened to an order: a call, or else a change."""

    call: dict[str, Any] | None
    change: Change | None

    @property
    def is_lookup(self) -> bool:
        """Whether it changed nothing."""
        return self.call is not None and self.call["method"] == "GET"


class History:
    """Calls, emails by call, and events by order; all oldest first."""

    def __init__(self, state: State) -> None:
        self.calls = {call["number"]: call for call in state.calls}
        self.mails: dict[int, list[dict[str, Any]]] = {}
        for mail in state.outbox:
            self.mails.setdefault(mail["caused_by"], []).append(mail)
        self.events: dict[int, list[Event]] = {}
        calls = ((number, 0, order_of(call), Event(call, None)) for number, call in self.calls.items())
        changes = ((change.after_call, 1, change.order_id, Event(None, change)) for change in state.changes)
        for _, _, order_id, event in merge(calls, changes, key=lambda entry: entry[:2]):
            if order_id is not None:
                events = self.events.pop(order_id, [])  # put back last: the orders are in the order of their last event
                events.append(event)
                self.events[order_id] = events

    def describe(self, event: Event) -> Html:
        """Return what happened, in a few words."""
        if event.change:
            return fill("$at $what", at=at(event.change.at), what=event.change.what)
        assert event.call
        what = fill(
            '$at <a href="/calls/$number">$what</a> ',
            at=at(event.call["at"]),
            number=event.call["number"],
            what="lookup" if event.is_lookup else "resend" if event.call["path"].endswith("/resend-emails") else "call",
        )
        return Html(what + self.outcome(event.call))

    def outcome(self, call: dict[str, Any]) -> Html:
        """Return how a call ended."""
        status, fault, error = call["status"], call["fault"], call["error"]
        mails = self.mails.get(call["number"])
        kind = "" if status is None else "good" if status < 300 else "bad"
        words = comma_separated(
            [
                fault and f"fault “{fault}”",
                error and "{code}: {message}".format(**json.loads(error)["errors"][0]),
                counted(len(mails), "email") if mails else None,
            ]
        )
        waiting = "no response" if fault else "in progress"
        return fill("$status $words", status=chip(waiting if status is None else status, kind), words=words)


def order_of(call: dict[str, Any]) -> int | None:
    """Return the id of the order that a call is about."""
    match = _ORDER.search(call["path"])
    return int(match[1]) if match else None


def order_link(order_id: int) -> Html:
    """Return an order's id, linked."""
    return fill('<a href="/orders/$id"><code>$id</code></a>', id=order_id)


def subject_of(mail: dict[str, Any]) -> Html:
    """Return what an email is about: an order, or a domain of the account."""
    if mail["order_id"]:
        return fill("order $order", order=order_link(mail["order_id"]))
    return fill("domain $domain <small>$id</small>", domain=mail["domain"], id=mail["domain_id"])


def call_link(call: dict[str, Any]) -> Html:
    """Return a call's method, path and query, linked."""
    path = call["path"].removeprefix(BASE_PATH + "/") + (f"?{call['query']}" if call["query"] else "")
    what = text(f"{call['method']} {path}", 200)
    return fill('<a href="/calls/$number"><code>$what</code></a>', number=call["number"], what=what)
