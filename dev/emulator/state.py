"""Everything the emulator remembers, under one lock, and how tests look at it and steer it."""

import hashlib
import threading
import time
from collections import deque
from typing import Any

from dev.emulator.nameserver import Records, Zone

from .domains import SEED_RECORDS, derived_records
from .faults import Fault, parse_fault
from .listing import Listing, select
from .orders import SEED, ControlError, Order, build_order, change_order, iso, order_fields
from .resend import Mail, default_mails
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


def key_digest(secret: str) -> str:
    """What is stored in place of a key: the emulator never keeps or shows a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class State:
    """Orders, their domains' DNS, keys, switches, limits, faults, and what happened: calls and outbox.

    `dns` is the zone: `dns.set`, `dns.remove` and `dns.fault` go over what the orders' domains publish by themselves.
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
        """Back to the seed orders and records, default keys, switches and limits; no faults, no calls, no mails."""
        with self._lock:
            self.resets += 1
            now = time.time()
            self._orders = {order["id"]: build_order(order["id"], now, order) for order in SEED.values()}
            self._next_id = ADDED_FROM
            self._keys = {key_digest(secret): role for secret, role in self._first_keys.items()}
            self._hits: dict[str, deque[float]] = {}
            self._links: dict[tuple[int, str, str], float] = {}
            self._faults: list[Fault] = []
            self._orders_changed()
            self.dns.clear()
            for name, type_, values in SEED_RECORDS:
                self.dns.set(name, type_, values)
            self.switches = default_switches()
            self.limits = list(DEFAULT_LIMITS)
            self._calls: deque[dict[str, Any]] = deque(maxlen=KEPT_CALLS)
            self._outbox: deque[dict[str, Any]] = deque(maxlen=KEPT_MAILS)
            self._call_count = self._mail_count = 0

    # --- orders ---

    def order(self, order_id: int) -> Order | None:
        """One order."""
        return self._orders.get(order_id)

    def all_orders(self) -> list[Order]:
        """All orders, in the order they were added."""
        with self._lock:
            return list(self._orders.values())

    @property
    def orders(self) -> list[dict[str, Any]]:
        """All orders, as fields that add_order accepts."""
        return [order_fields(order) for order in self.all_orders()]

    def add_order(self, /, **fields: Any) -> dict[str, Any]:
        """Adds one order (`kind` and the other fields: orders.py); the whole order, with its `id`."""
        with self._lock:
            return order_fields(self._orders[self.add_orders(1, **fields)[0]])

    def add_orders(self, count: int, /, **fields: Any) -> list[int]:
        """Adds orders alike but for id, `{id}` in names, and `apart_seconds` (each that much older); their ids."""
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
        """Changes an order; the whole order."""
        with self._lock:
            if order_id not in self._orders:
                raise ControlError(f"field 'id': order {order_id} does not exist")
            order = self._orders[order_id] = change_order(self._orders[order_id], time.time(), fields)
            self._links = {key: link for key, link in self._links.items() if key[0] != order_id}
            self._orders_changed()
            return order_fields(order)

    def selection(self, listing: Listing) -> list[Order]:
        """The orders of a list call; kept for its next page, or 100,000 orders would be sorted for every page."""
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

    def _orders_changed(self) -> None:
        self._selection = self._derived = None

    # --- keys and limits ---

    def set_key(self, secret: str, role: str) -> None:
        """Adds a key or changes its role: valid, revoked, view_only, or unknown (forgotten)."""
        if not isinstance(secret, str) or not secret:
            raise ControlError("field 'secret' must be a text")
        if role not in (*ROLES, "unknown"):
            raise ControlError(f"field 'role' must be one of {', '.join(ROLES)}, unknown")
        with self._lock:
            self._keys.pop(key_digest(secret), None)
            if role != "unknown":
                self._keys[key_digest(secret)] = role

    def role(self, secret: str | None) -> str:
        """valid, revoked, view_only, unknown or missing."""
        return self._keys.get(key_digest(secret), "unknown") if secret else "missing"

    def set_limits(self, limits: Any) -> None:
        """Rolling windows [[requests, seconds], ...]; null or [] for none. Starts counting afresh."""
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
        """Counts a request of this key, unless a window is full: refused requests do not count, so windows drain."""
        with self._lock:
            now, longest = time.monotonic(), max((count for count, _ in self.limits), default=1)
            hits = self._hits.setdefault(key_digest(secret), deque(maxlen=longest))
            if any(len(hits) >= count and hits[-count] > now - seconds for count, seconds in self.limits):
                return False
            hits.append(now)
            return True

    # --- switches and faults ---

    def set_switches(self, /, **changes: Any) -> None:
        """Changes some switches, all or none; what they mean is in switches.py."""
        with self._lock:
            self.switches = self.switches | check_switches(changes)

    def inject(self, fault: dict[str, Any]) -> None:
        """Adds a fault: {"fault": NAME, "method", "path", "times", "mails", and its parameters (faults.py)}."""
        with self._lock:
            self._faults.append(parse_fault(fault))

    def clear_faults(self) -> None:
        """No more faults (one that is striking goes on)."""
        with self._lock:
            self._faults.clear()

    def take_fault(self, method: str, path: str) -> Fault | None:
        """The first fault that matches; one with `times` is used up."""
        with self._lock:
            fault = next((fault for fault in self._faults if fault.matches(method, path)), None)
            if fault and fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
            return fault

    def faults(self) -> list[Fault]:
        """The faults still to strike."""
        with self._lock:
            return list(self._faults)

    # --- what happened ---

    def begin_call(self, **fields: Any) -> dict[str, Any]:
        """Records a call as it comes in; `status` or `fault` are filled in as it is answered."""
        with self._lock:
            self._call_count += 1
            call = {"number": self._call_count, "at": iso(time.time()), **fields, "status": None, "fault": None}
            self._calls.append(call)
            return call

    def send_mails(self, order: Order, mails: list[Mail], locale: str | None, call_number: int) -> None:
        """Puts the mails into the outbox."""
        now = time.time()
        defaults = {mail["to"] for mail in default_mails(order)}
        with self._lock:
            for mail in mails:
                # A random value may be sent again to the same recipient only (Baseline Requirements); the defaults
                # had theirs with the order. Whether DigiCert renews it on a resend is not documented.
                link = (order.id, mail["domain"], mail["to"].lower())
                first = order.link_since if mail["to"].lower() in defaults else now
                created = now if self.switches["resend_renews_link"] else self._links.get(link, first)
                self._links[link] = created
                self._mail_count += 1
                subject = f"[Action Required] Approve Certificate Request for {mail['domain']} {{Order #{order.id}}}"
                entry = {"id": self._mail_count, "order_id": order.id, **mail, "locale": locale, "subject": subject}
                entry |= {"link_created_at": iso(created), "sent_at": iso(now), "caused_by": call_number}
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

    def clear_calls(self) -> None:
        """Forgets the calls; numbers go on."""
        with self._lock:
            self._calls.clear()

    def clear_outbox(self) -> None:
        """Empties the outbox; ids go on."""
        with self._lock:
            self._outbox.clear()
