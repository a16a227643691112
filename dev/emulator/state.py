"""Everything the emulator remembers, under one lock, and the methods to look at it and to steer it."""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from .access import DEFAULT_KEYS, Access
from .dcv_email import LINK_PATH, Link, approve, examine_link
from .domain_list import DomainList
from .domains import Domain
from .faults import Fault, parse_fault
from .list_orders import Listing, select
from .nameserver import Records, Zone
from .order_dns import SEED_RECORDS, derived_records
from .orders import OPEN, SEED, ControlError, Order, build_order, change_order, iso, order_fields
from .outbox import Outbox
from .resend_emails import Mail, constructed_addresses, default_mails
from .switches import check_switches, default_switches

ADDED_FROM = 200_000_001
KEPT_CALLS = 20_000
KEPT_CHANGES = 20_000


class Change(NamedTuple):
    """Something that happened to an order other than by an API call."""

    at: str
    after_call: int
    order_id: int
    what: str


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _ignore(_call: dict[str, Any]) -> None:
    pass


class State:
    """Orders, their domains and DNS, keys, switches, limits, faults, and what happened: calls and outbox.

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
            self._access = Access(self._first_keys)
            self._domains = DomainList()
            self._faults: list[Fault] = []
            self.on_call: Callable[[dict[str, Any]], object] = _ignore
            self._orders_changed()
            self.dns.clear()
            for name, type_, values in SEED_RECORDS:
                self.dns.set(name, type_, values)
            self.switches = default_switches()
            self._calls: deque[dict[str, Any]] = deque(maxlen=KEPT_CALLS)
            self._outbox = Outbox()
            self._changes: deque[Change] = deque(maxlen=KEPT_CHANGES)
            self._call_count = 0

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
            self._outbox.forget_links(order_id, self.domain_ids(order).values())
            self._replace(order, ", ".join(f"{field} set to {_shown(value)}" for field, value in fields.items()))
            return order_fields(order)

    def issue_order(self, order_id: int) -> None:
        """Issue a pending order: its names are validated, too. An issued order stays as it is."""
        with self._lock:
            order = self._orders.get(order_id)
            if order is None:
                raise ControlError(f"field 'id': order {order_id} does not exist")
            if order.status in OPEN:
                now = time.time()
                self._replace(replace(approve(order, order.open_names(now), now), status="issued"), "issued")
            elif order.status != "issued":
                raise ControlError(f"order {order_id} is {order.status}: only a pending order can be issued")

    def link(self, value: str) -> Link | None:
        """Return the link that has this random value; None if no email in the outbox has it."""
        with self._lock:
            mail = self._outbox.by_link(LINK_PATH + value)
            if mail is None:
                return None
            about_domain = mail["order_id"] is None
            orders = [order for order in self._orders.values() if not order.is_dv] if about_domain else []
            order = self._orders.get(mail["order_id"])
            return examine_link(mail, [order] if order else orders, time.time())

    def follow_link(self, value: str) -> Link | None:
        """Validate the names of a link, and return it as it was before."""
        with self._lock:
            link = self.link(value)
            now = time.time()
            for order in link.orders if link else ():
                assert link
                names = [name for name in order.open_names(now) if name in link.names]
                what = f"{', '.join(names)} validated by the link to {link.mail['to']}"
                self._replace(approve(order, names, now), what)
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
        self._domains.orders_changed()

    # --- domains of the account's list ---

    def domain_ids(self, order: Order) -> dict[str, int]:
        """Return the ids of an order's domains by scope; a DV order has none."""
        with self._lock:
            return self._domains.ids_of(order, self._orders, self.switches)

    def domain(self, key: str) -> Domain | None:
        """Return the domain that has this id or name; those of DV orders are not in the account's list."""
        with self._lock:
            return self._domains.find(key, self._orders, self.switches)

    @property
    def domains(self) -> list[dict[str, Any]]:
        """The account's domain list, with the orders that have each domain."""
        with self._lock:
            domains = self._domains.all_domains(self._orders, self.switches)
        return [
            {"id": domain.id, "name": domain.name, "orders": [order.id for order in domain.orders]}
            for domain in domains
        ]

    # --- keys and limits ---

    def set_key(self, secret: str, role: str) -> None:
        """Add a key or change its role: valid, revoked, view_only, or unknown (forgotten)."""
        self._access.set_key(secret, role)

    def role(self, secret: str | None) -> str:
        """Return valid, revoked, view_only, unknown or missing."""
        return self._access.role(secret)

    def set_limits(self, limits: Any) -> None:
        """Set rolling windows [[requests, seconds], ...], null or [] for none, and start to count afresh."""
        self._access.set_limits(limits)

    def within_limits(self, secret: str) -> bool:
        """Count a request of this key, unless a window is full."""
        return self._access.within_limits(secret)

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
        """Put the mails of an order-level resend into the outbox."""
        first = {mail["to"]: order.link_since for mail in default_mails(order)}
        renew = self.switches["resend_renews_link"]
        with self._lock:
            self._outbox.add(mails, locale, call_number, order_id=order.id, first_links=first, renew_links=renew)

    def send_domain_mails(self, domain: Domain, mails: list[Mail], locale: str | None, call_number: int) -> None:
        """Put the mails of a domain-level resend into the outbox."""
        newest = max((order.link_since for order in domain.orders if order.status in OPEN), default=time.time())
        first = {address: newest for mail in mails for address in constructed_addresses(mail["domain"])}
        renew = self.switches["resend_renews_link"]
        with self._lock:
            self._outbox.add(mails, locale, call_number, domain_id=domain.id, first_links=first, renew_links=renew)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The last API calls, oldest first; never with the key."""
        with self._lock:
            return [dict(call) for call in self._calls]

    @property
    def outbox(self) -> list[dict[str, Any]]:
        """The mails sent so far, oldest first."""
        with self._lock:
            return self._outbox.entries()

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

    def domain_mailings(self, domain_id: int, scope: str | None = None) -> int:
        """Return how many calls sent emails about a domain, or about one scope of it."""
        about = [mail for mail in self.outbox if mail["domain_id"] == domain_id and scope in (None, mail["domain"])]
        return len({mail["caused_by"] for mail in about})

    def clear_calls(self) -> None:
        """Forget the calls; numbers go on."""
        with self._lock:
            self._calls.clear()

    def clear_outbox(self) -> None:
        """Empty the outbox; ids go on."""
        with self._lock:
            self._outbox.clear()
