"""Everything the emulator remembers, under one lock, and the methods to look at it and to steer it."""

import hashlib
import json
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from .dcv_email import LINK_PATH, SENDER, Link, approve, examine_link, subject
from .faults import Fault, parse_fault
from .list_orders import Listing, select
from .nameserver import Records, Zone
from .order_dns import SEED_RECORDS, derived_records
from .orders import OPEN, SEED, ControlError, Order, build_order, change_order, iso, order_fields
from .resend_emails import Mail, default_mails
from .switches import check_switches, default_switches

ROLES = ("valid", "revoked", "view_only")
DEFAULT_KEYS = {
    "emulator-valid-key": "valid",
    "emulator-revoked-key": "revoked",
    "emulator-view-only-key": "view_only",
}
DEFAULT_LIMITS: list[tuple[int, float]] = [(1000, 180), (100, 5)]  # "Rate limits" page: rolling, per user of the key
ADDED_FROM = 200_000_001
KEPT_CALLS = 20_000
KEPT_MAILS = 100_000
KEPT_CHANGES = 20_000


class Change(NamedTuple):
    """Something that happened to an order other than by an API call."""

    at: str
    after_call: int
    order_id: int
    what: str


def key_digest(secret: str) -> str:
    """Return what is stored in place of a key: the emulator never keeps or shows a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _ignore(_call: dict[str, Any]) -> None:
    pass


class State:
    """Orders, their domains' DNS, keys, switches, limits, faults, and what happened: calls and outbox.

    `dns` is the zone: `dns.set`, `dns.remove` and `dns.fault` override what the orders' domains publish by themselves.
    `on_call` is called with each API call as it comes in, before the emulator responds; a test may set it.
    """

    def __init__(self, valid_key: str | None = None) -> None:
        self._lock = threading.RLock()
        self.resets = 0
        self._selection: tuple[object, list[Order]] | None = None
        self._derived: Records | None = None
        self.dns = Zone(self._derived_records)
        self._first_keys = DEFAULT_KEYS | ({valid_key: "valid"} if valid_key else {})
        self.reset()

    def reset(self) -> None:
        """Restore the first orders, records, keys, switches and limits; forget faults, calls, mails and `on_call`."""
        with self._lock:
            self.resets += 1
            now = time.time()
            self._orders = {order["id"]: build_order(order["id"], now, order) for order in SEED.values()}
            self._next_id = ADDED_FROM
            self._keys = {key_digest(secret): role for secret, role in self._first_keys.items()}
            self._hits: dict[str, deque[float]] = {}
            self._links: dict[tuple[int, str, str, str | None], tuple[float, str]] = {}
            self._faults: list[Fault] = []
            self.on_call: Callable[[dict[str, Any]], object] = _ignore
            self._orders_changed()
            self.dns.clear()
            for name, type_, values in SEED_RECORDS:
                self.dns.set(name, type_, values)
            self.switches = default_switches()
            self.limits = list(DEFAULT_LIMITS)
            self._calls: deque[dict[str, Any]] = deque(maxlen=KEPT_CALLS)
            self._outbox: deque[dict[str, Any]] = deque(maxlen=KEPT_MAILS)
            self._changes: deque[Change] = deque(maxlen=KEPT_CHANGES)
            self._call_count = self._mail_count = 0

    # --- orders ---

    def order(self, order_id: int) -> Order | None:
        """Return one order."""
        return self._orders.get(order_id)

    def all_orders(self) -> list[Order]:
        """Return all orders, oldest addition first."""
        with self._lock:
            return list(self._orders.values())

    @property
    def orders(self) -> list[dict[str, Any]]:
        """All orders, as fields that add_order accepts."""
        return [order_fields(order) for order in self.all_orders()]

    def add_order(self, /, **fields: Any) -> dict[str, Any]:
        """Add one order (`kind` and the other fields: orders.py); return it whole, with its `id`."""
        with self._lock:
            return order_fields(self._orders[self.add_orders(1, **fields)[0]])

    def add_orders(self, count: int, /, **fields: Any) -> list[int]:
        """Add orders that differ only in id, `{id}` in names and age (by `apart_seconds` each); return their ids."""
        apart, wanted = fields.pop("apart_seconds", 0), fields.pop("id", None)
        if type(count) is not int or not 1 <= count <= 1_000_000:
            raise ControlError("field 'count' must be a number from 1 to 1000000")
        if not isinstance(apart, int | float):
            raise ControlError("field 'apart_seconds' must be a number")
        if wanted is not None and (type(wanted) is not int or wanted < 1 or count != 1):
            raise ControlError("field 'id' must be a positive number, for a single order")
        with self._lock:
            if wanted in self._orders:
                raise ControlError(f"field 'id': order {wanted} exists")
            first = wanted or self._next_id
            now = time.time()
            built = {first + place: build_order(first + place, now - place * apart, fields) for place in range(count)}
            self._orders |= built
            self._next_id = max(self._next_id, first + count)
            self._orders_changed()
            return list(built)

    def update_order(self, order_id: int, /, **fields: Any) -> dict[str, Any]:
        """Change an order; return it whole."""
        with self._lock:
            if order_id not in self._orders:
                raise ControlError(f"field 'id': order {order_id} does not exist")
            order = change_order(self._orders[order_id], time.time(), fields)
            self._links = {key: link for key, link in self._links.items() if key[0] != order_id}
            self._replace(order, ", ".join(f"{field} set to {_shown(value)}" for field, value in fields.items()))
            return order_fields(order)

    def issue_order(self, order_id: int) -> None:
        """Issue a pending order: its names are validated, too. An issued order stays as it is."""
        with self._lock:
            order = self._orders.get(order_id)
            if order is None:
                raise ControlError(f"field 'id': order {order_id} does not exist")
            if order.status in OPEN:
                self._replace(replace(approve(order, dict(order.names)), status="issued"), "issued")
            elif order.status != "issued":
                raise ControlError(f"order {order_id} is {order.status}: only a pending order can be issued")

    def link(self, value: str) -> Link | None:
        """Return the link that has this random value; None if no email in the outbox has it."""
        with self._lock:
            mail = next((mail for mail in reversed(self._outbox) if mail["link"] == LINK_PATH + value), None)
            return mail and examine_link(mail, self._orders.get(mail["order_id"]), time.time())

    def follow_link(self, value: str) -> Link | None:
        """Validate the names of a link, and return it as it was before."""
        with self._lock:
            link = self.link(value)
            if link and link.names:
                what = f"{', '.join(link.names)} validated by the link to {link.mail['to']}"
                self._replace(approve(self._orders[link.mail["order_id"]], link.names), what)
            return link

    def clear_orders(self) -> None:
        """Remove all orders."""
        with self._lock:
            self._orders.clear()
            self._orders_changed()

    def selection(self, listing: Listing) -> list[Order]:
        """Return the orders of a list call; kept, or 100,000 orders would be sorted for each of its pages."""
        key = (listing.filters, listing.sorts)
        with self._lock:
            if self._selection is None or self._selection[0] != key:
                self._selection = (key, select(self._orders.values(), listing))
            return self._selection[1]

    def _derived_records(self) -> Records:
        with self._lock:
            if self._derived is None:
                self._derived = derived_records(self._orders.values())
            return self._derived

    def _replace(self, order: Order, what: str) -> None:
        self._orders[order.id] = order
        self._changes.append(Change(iso(time.time()), self._call_count, order.id, what))
        self._orders_changed()

    def _orders_changed(self) -> None:
        self._selection = self._derived = None

    # --- keys and limits ---

    def set_key(self, secret: str, role: str) -> None:
        """Add a key or change its role: valid, revoked, view_only, or unknown (forgotten)."""
        if not isinstance(secret, str) or not secret:
            raise ControlError("field 'secret' must be a text")
        if role not in (*ROLES, "unknown"):
            raise ControlError(f"field 'role' must be one of {', '.join(ROLES)}, unknown")
        with self._lock:
            self._keys.pop(key_digest(secret), None)
            if role != "unknown":
                self._keys[key_digest(secret)] = role

    def role(self, secret: str | None) -> str:
        """Return valid, revoked, view_only, unknown or missing."""
        return self._keys.get(key_digest(secret), "unknown") if secret else "missing"

    def set_limits(self, limits: Any) -> None:
        """Set rolling windows [[requests, seconds], ...], null or [] for none, and start to count afresh."""
        try:
            parsed = [(int(count), float(seconds)) for count, seconds in limits or []]
        except (TypeError, ValueError):
            parsed = [(0, 0)]
        if any(count < 1 or seconds <= 0 for count, seconds in parsed):
            raise ControlError("field 'limits' must be a list of [requests, seconds], both above 0, or null")
        with self._lock:
            self.limits = parsed
            self._hits.clear()

    def within_limits(self, secret: str) -> bool:
        """Count a request of this key, unless a window is full: refused requests do not count, so windows drain."""
        with self._lock:
            now, longest = time.monotonic(), max((count for count, _ in self.limits), default=1)
            hits = self._hits.setdefault(key_digest(secret), deque(maxlen=longest))
            if any(len(hits) >= count and hits[-count] > now - seconds for count, seconds in self.limits):
                return False
            hits.append(now)
            return True

    # --- switches and faults ---

    def set_switches(self, /, **changes: Any) -> None:
        """Change some switches, all or none; switches.py says what they mean."""
        with self._lock:
            self.switches = self.switches | check_switches(changes)

    def inject(self, fault: dict[str, Any]) -> None:
        """Add a fault: {"fault": NAME, "method", "path", "times", "mails", and its parameters (faults.py)}."""
        with self._lock:
            self._faults.append(parse_fault(fault))

    def clear_faults(self) -> None:
        """Remove all faults, and `on_call`; a fault that is striking goes on."""
        with self._lock:
            self._faults.clear()
            self.on_call = _ignore

    def take_fault(self, method: str, path: str) -> Fault | None:
        """Return the first fault that matches, and count down its `times`."""
        with self._lock:
            fault = next((fault for fault in self._faults if fault.matches(method, path)), None)
            if fault and fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
            return fault

    def faults(self) -> list[Fault]:
        """Return the faults still to strike."""
        with self._lock:
            return list(self._faults)

    # --- what happened ---

    def begin_call(self, **fields: Any) -> dict[str, Any]:
        """Record a call as it comes in; `status`, `fault` and `error`, a refusal's text, are filled in later."""
        with self._lock:
            self._call_count += 1
            call = {"number": self._call_count, "at": iso(time.time()), **fields}
            call |= {"status": None, "fault": None, "error": None}
            self._calls.append(call)
            return call

    def send_mails(self, order: Order, mails: list[Mail], locale: str | None, call_number: int) -> None:
        """Put the mails into the outbox."""
        now = time.time()
        defaults = {mail["to"] for mail in default_mails(order)}
        with self._lock:
            for mail in mails:
                # Only an unchanged email to the same recipient may have its random value again (Baseline
                # Requirements); the defaults had theirs with the order. Whether DigiCert renews it on a resend is not
                # documented.
                key = (order.id, mail["domain"], mail["to"].lower(), locale)
                first = order.link_since if mail["to"].lower() in defaults else now
                if key not in self._links or self.switches["resend_renews_link"]:
                    since = now if self.switches["resend_renews_link"] else first
                    self._links[key] = (since, LINK_PATH + secrets.token_urlsafe(16))
                created, link = self._links[key]
                self._mail_count += 1
                entry = {"id": self._mail_count, "order_id": order.id, "from": SENDER, **mail, "locale": locale}
                entry |= {"subject": subject(mail["domain"], order.id), "link": link, "link_created_at": iso(created)}
                entry |= {"sent_at": iso(now), "caused_by": call_number}
                self._outbox.append(entry)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The last API calls, oldest first; never with the key."""
        with self._lock:
            return [dict(call) for call in self._calls]

    @property
    def outbox(self) -> list[dict[str, Any]]:
        """The mails sent so far, oldest first."""
        with self._lock:
            return [dict(mail) for mail in self._outbox]

    @property
    def changes(self) -> list[Change]:
        """What else happened to orders, oldest first: names validated, orders issued or changed by the control API."""
        with self._lock:
            return list(self._changes)

    def count_calls(self, method: str, path: str) -> int:
        """Return how many calls there were; `path` is a regular expression to search for."""
        return sum(call["method"] == method and re.search(path, call["path"]) is not None for call in self.calls)

    def mailings(self, order_id: int) -> int:
        """Return how many calls sent emails about an order."""
        return len({mail["caused_by"] for mail in self.outbox if mail["order_id"] == order_id})

    def clear_calls(self) -> None:
        """Forget the calls; numbers go on."""
        with self._lock:
            self._calls.clear()

    def clear_outbox(self) -> None:
        """Empty the outbox; ids go on."""
        with self._lock:
            self._outbox.clear()
