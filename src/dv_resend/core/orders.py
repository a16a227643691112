"""What CertCentral knows about orders, as far as a resend depends on it. Absent values are ``None``."""

from dataclasses import dataclass, replace
from datetime import datetime

from dv_resend.core.addresses import without_wildcard


@dataclass(frozen=True)
class Order:
    """One order (order info page).

    ``waiting_since`` is when the request was made that waits for validation: the order itself, or its newest reissue.
    ``names`` are A-labels.

    Example:
        >>> Order(123456789, "pending", "dv_ssl_certificate", "email").names
        ()
    """

    order_id: int
    status: str | None
    product_type: str | None
    dcv_method: str | None
    waiting_since: datetime | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedOrder:
    """One row of the list of orders (list orders page).

    Example:
        >>> ListedOrder(123456789, "pending", "dv_ssl_certificate", None).status
        'pending'
    """

    order_id: int | None
    status: str | None
    product_type: str | None
    created: datetime | None


@dataclass(frozen=True)
class NameStatus:
    """How far validation has come at one ``scope`` (validation status page).

    ``names`` are the names of the order that the scope covers. All are A-labels; both are empty if CertCentral's entry
    was unreadable. ``expired`` says that an earlier approval is over.

    Example:
        >>> NameStatus("example.com", "approved", ("www.example.com",)).covers("*.example.com")
        True
    """

    scope: str
    status: str
    names: tuple[str, ...] = ()
    expired: bool = False

    @property
    def validated(self) -> bool:
        """Whether nothing is left to do. ``approved`` is the only status that is known to mean this."""
        return self.status.casefold() == "approved" and not self.expired

    @property
    def known_names(self) -> tuple[str, ...]:
        """The names of the order, or else the scope; empty if neither is known."""
        return self.names or ((self.scope,) if self.scope else ())

    def lists(self, name: str) -> bool:
        """Whether ``name``, with or without ``*.``, is among the names."""
        return without_wildcard(name) in map(without_wildcard, self.names)

    def covers(self, name: str) -> bool:
        """Whether ``name`` is among the names, or is the scope itself."""
        return self.lists(name) or without_wildcard(name) == without_wildcard(self.scope)


@dataclass(frozen=True)
class OrderStatus:
    """How far the validation of an order has come, as a whole and for each name.

    Example:
        >>> OrderStatus(7, "pending", "email", (NameStatus("example.com", "pending"),)).all_validated
        False
    """

    order_id: int
    status: str | None
    dcv_method: str | None
    domains: tuple[NameStatus, ...]

    def with_names_of(self, order: Order) -> "OrderStatus":
        """Add the names that only the order itself lists; their status is ``unknown``."""
        if not order.names:
            return self
        readable = tuple(domain for domain in self.domains if domain.known_names)
        known = {without_wildcard(name) for domain in readable for name in domain.known_names}
        missing = tuple(name for name in order.names if without_wildcard(name) not in known)
        return replace(self, domains=(*readable, *(NameStatus("", "unknown", (name,)) for name in missing)))

    @property
    def names(self) -> list[str] | None:
        """The names of the order, or ``None`` unless all of them are known."""
        if not self.domains or not all(domain.known_names for domain in self.domains):
            return None
        return list(dict.fromkeys(name for domain in self.domains for name in domain.known_names))

    def has(self, name: str) -> bool:
        """Whether ``name`` is one of the order's, or a scope at which it is validated."""
        return any(domain.covers(name) for domain in self.domains)

    @property
    def all_validated(self) -> bool:
        """Whether no name is left to validate; false if the names are not known."""
        return self.names is not None and all(domain.validated for domain in self.domains)

    def validated(self, name: str) -> bool:
        """Whether ``name`` is validated wherever the order lists it, or else at the scope of that name."""
        if self._listing(name):
            return self.listed_and_validated(name)
        return _all_validated([domain for domain in self.domains if domain.covers(name)])

    def listed_and_validated(self, name: str) -> bool:
        """Whether the order lists ``name`` and it is validated; further names of the order cannot change that."""
        return _all_validated(self._listing(name))

    def _listing(self, name: str) -> list[NameStatus]:
        return [domain for domain in self.domains if domain.lists(name)]

    def to_json(self) -> dict[str, object]:
        """Return the answer of the ``status`` action."""
        return {
            "order_id": self.order_id,
            "status": self.status,
            "dcv_method": self.dcv_method,
            "domains": [{"name": domain.scope or "unknown", "status": domain.status} for domain in self.domains],
        }


def _all_validated(domains: list[NameStatus]) -> bool:
    return bool(domains) and all(domain.validated for domain in domains)
