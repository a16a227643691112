"""The account's domain list: the domains of OV and EV orders, and the id of each."""

from collections.abc import Mapping

from .domains import Domain, domain_of, scopes_of
from .orders import Order, Switches, without_wildcard

FIRST_DOMAIN_ID = 7001


class DomainList:
    """Names with ids, which count up as domains are first seen and stay until a reset. State's lock guards it."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._indexed: tuple[object, dict[str, list[int]]] | None = None

    def orders_changed(self) -> None:
        """Look at the orders anew at the next question."""
        self._indexed = None

    def ids_of(self, order: Order, orders: Mapping[int, Order], switches: Switches) -> dict[str, int]:
        """Return the ids of an order's domains by scope; none for a DV order, whose domains are not in the list."""
        if order.is_dv:
            return {}
        self._index(orders, switches)
        return {scope: self._id(domain_of(scope, switches)) for scope in scopes_of(order)}

    def find(self, key: str, orders: Mapping[int, Order], switches: Switches) -> Domain | None:
        """Return the domain with an id or a name."""
        index = self._index(orders, switches)
        name = self._names.get(key, without_wildcard(key))
        if name not in self._ids:
            return None
        return Domain(self._ids[name], name, tuple(orders[order_id] for order_id in index.get(name, [])))

    def all_domains(self, orders: Mapping[int, Order], switches: Switches) -> list[Domain]:
        """Return all domains, in the sequence of their ids."""
        self._index(orders, switches)
        return [domain for name in self._ids if (domain := self.find(name, orders, switches))]

    def _index(self, orders: Mapping[int, Order], switches: Switches) -> dict[str, list[int]]:
        """Return the ids of the orders of each domain; kept, or each call would look at 100,000 orders."""
        if self._indexed is None or self._indexed[0] != switches["domain_ids"]:
            index: dict[str, list[int]] = {}
            for order in orders.values():
                for name in (
                    dict.fromkeys(domain_of(scope, switches) for scope in scopes_of(order)) if not order.is_dv else ()
                ):
                    index.setdefault(name, []).append(order.id)
            self._indexed = switches["domain_ids"], index
            for name in index:
                self._id(name)
        return self._indexed[1]

    def _id(self, name: str) -> int:
        number = self._ids.setdefault(name, FIRST_DOMAIN_ID + len(self._ids))
        self._names[str(number)] = name
        return number
