"""What happened so far, by order and by call."""

import json
import re
from dataclasses import dataclass
from heapq import merge
from typing import Any
from urllib.parse import unquote

from ..certcentral_api import BASE_PATH
from ..domains import Domain
from ..state import Change, State
from .markup import Html, at, chip, comma_separated, counted, fill, text

_ORDER = re.compile(r"/order/certificate/([0-9]{1,18})(?:/|$)")
_DOMAIN = re.compile(r"/domain/([^/]{1,300})/dcv/emails$")
_ORDERS_OF_DOMAIN = 20  # with which a call about a domain is shown


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
    """Calls, emails by call, and events by order; all oldest first. A domain's calls are events of its orders."""

    def __init__(self, state: State) -> None:
        self.calls = {call["number"]: call for call in state.calls}
        self.mails: dict[int, list[dict[str, Any]]] = {}
        for mail in state.outbox:
            self.mails.setdefault(mail["caused_by"], []).append(mail)
        self._state = state
        self._domains: dict[str, Domain | None] = {}
        self.events: dict[int, list[Event]] = {}
        calls = ((number, 0, self.orders_of(call), Event(call, None)) for number, call in self.calls.items())
        changes = ((change.after_call, 1, [change.order_id], Event(None, change)) for change in state.changes)
        for _, _, order_ids, event in merge(calls, changes, key=lambda entry: entry[:2]):
            for order_id in order_ids:
                events = self.events.pop(order_id, [])  # put back last: the orders are in the order of their last event
                events.append(event)
                self.events[order_id] = events

    def domain_of(self, call: dict[str, Any]) -> Domain | None:
        """Return the domain of the account's list that a call is about."""
        match = _DOMAIN.search(call["path"])
        if match and match[1] not in self._domains:
            self._domains[match[1]] = self._state.domain(unquote(match[1]))
        return self._domains[match[1]] if match else None

    def orders_of(self, call: dict[str, Any]) -> list[int]:
        """Return the ids of the orders that a call is about."""
        if match := _ORDER.search(call["path"]):
            return [int(match[1])]
        domain = self.domain_of(call)
        return [order.id for order in domain.orders[:_ORDERS_OF_DOMAIN]] if domain else []

    def describe(self, event: Event) -> Html:
        """Return what happened, in a few words."""
        if event.change:
            return fill("$at $what", at=at(event.change.at), what=event.change.what)
        assert event.call
        kind = "lookup" if event.is_lookup else "resend" if event.call["path"].endswith("emails") else "call"
        domain = self.domain_of(event.call)
        what = fill(
            '$at <a href="/calls/$number">$what</a> $domain ',
            at=at(event.call["at"]),
            number=event.call["number"],
            what=f"domain {kind}" if _DOMAIN.search(event.call["path"]) else kind,
            domain=domain.name if domain else None,
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
