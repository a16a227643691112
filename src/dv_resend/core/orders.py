"""What CertCentral knows about orders, as far as a resend depends on it. Absent values are ``None``."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from dv_resend.core.addresses import comparable_email, without_wildcard


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

    def with_method_of(self, status: "OrderStatus") -> "Order":
        """Add the DCV method that the validation names, if the order itself names none."""
        return self if self.dcv_method else replace(self, dcv_method=status.dcv_method)


@dataclass(frozen=True)
class ListedOrder:
    """One row of the list of orders (list orders page). ``name`` is the common name, or else the first other name.

    Example:
        >>> ListedOrder(123456789, "pending", "dv_ssl_certificate", None).status
        'pending'
    """

    order_id: int | None
    status: str | None
    product_type: str | None
    created: datetime | None
    name: str | None = None


@dataclass(frozen=True)
class NameStatus:
    """How far validation has come at one ``scope`` (validation status page).

    ``names`` are the names of the order that the scope covers. All are A-labels; both are empty if CertCentral's entry
    was unreadable. ``expired`` says that an earlier approval is over. ``domain_id`` is the domain's in the account,
    which DV orders do not need; ``method`` is how this scope is validated, if the entry says so.

    Example:
        >>> NameStatus("example.com", "approved", ("www.example.com",)).covers("*.example.com")
        True
    """

    scope: str
    status: str
    names: tuple[str, ...] = ()
    expired: bool = False
    domain_id: int | None = field(default=None, compare=False)
    method: str | None = field(default=None, compare=False)

    @property
    def validated(self) -> bool:
        """Whether nothing is left to do. ``approved`` is the only status that is known to mean this."""
        return self.status.casefold() == "approved" and not self.expired

    @property
    def known_names(self) -> tuple[str, ...]:
        """The names of the order, or else the scope; empty if neither is known."""
        return self.names or ((self.scope,) if self.scope else ())

    def covers(self, name: str) -> bool:
        """Whether ``name``, with or without ``*.``, is among the names, or is the scope itself.

        Looks at all names. To ask about many, use `OrderStatus`.
        """
        return without_wildcard(name) in map(without_wildcard, (self.scope, *self.names))


@dataclass(frozen=True)
class OrderStatus:
    """How far the validation of an order has come, as a whole and for each name.

    ``organization`` holds the statuses of the organization's own validations, which DV orders do not have.

    Example:
        >>> OrderStatus(7, "pending", "email", (NameStatus("example.com", "pending"),)).all_validated
        False
    """

    order_id: int
    status: str | None
    dcv_method: str | None
    domains: tuple[NameStatus, ...]
    organization: tuple[str, ...] = ()

    def with_names_of(self, order: Order) -> "OrderStatus":
        """Add the names that only the order itself lists; their status is ``unknown``."""
        if not order.names:
            return self
        readable = tuple(domain for domain in self.domains if domain.known_names)
        known = {without_wildcard(name) for domain in readable for name in domain.known_names}
        missing = tuple(name for name in order.names if without_wildcard(name) not in known)
        return replace(self, domains=(*readable, *(NameStatus("", "unknown", (name,)) for name in missing)))

    @cached_property
    def names(self) -> list[str] | None:
        """The names of the order, or ``None`` unless all of them are known."""
        if not self.domains or not all(domain.known_names for domain in self.domains):
            return None
        return list(dict.fromkeys(name for domain in self.domains for name in domain.known_names))

    def has(self, name: str) -> bool:
        """Whether ``name`` is one of the order's, or a scope at which it is validated."""
        return without_wildcard(name) in self._listed or self.has_scope(name)

    def has_scope(self, name: str) -> bool:
        """Whether ``name`` is a scope at which CertCentral validates."""
        return without_wildcard(name) in self._scopes

    @cached_property
    def all_validated(self) -> bool:
        """Whether no name is left to validate; false if the names are not known."""
        return self.names is not None and all(domain.validated for domain in self.domains)

    def validated(self, name: str) -> bool:
        """Whether ``name`` is validated wherever the order lists it, or else at the scope of that name."""
        stripped = without_wildcard(name)
        return self._listed.get(stripped, self._scopes.get(stripped, False))

    def listed_and_validated(self, name: str) -> bool:
        """Whether the order lists ``name`` and it is validated; further names of the order cannot change that."""
        return self._listed.get(without_wildcard(name), False)

    def spelling_of(self, name: str) -> str:
        """Return ``name`` as CertCentral spells it, with or without ``*.``; unchanged if the order does not have it."""
        return self._spellings.get(name) or self._spellings.get(without_wildcard(name), name)

    def widest_scope(self, name: str) -> str | None:
        """Return the scope that covers ``name``, the widest if there are several; ``None`` if there is none."""
        return self._widest_scopes.get(without_wildcard(name))

    # Indexed once: an order may have thousands of names, and each is asked about.

    @cached_property
    def _listed(self) -> dict[str, bool]:
        """The names that are listed, without ``*.``, and whether each is validated wherever it is."""
        return _all_validated((name, domain) for domain in self.domains for name in domain.names)

    @cached_property
    def _scopes(self) -> dict[str, bool]:
        """The scopes, without ``*.``, and whether all of a scope's entries are validated."""
        return _all_validated((domain.scope, domain) for domain in self.domains if domain.scope)

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """Names and scopes as they are listed, by themselves and without ``*.``; names come before scopes."""
        listed = [name for domain in self.domains for name in domain.names]
        listed += [domain.scope for domain in self.domains if domain.scope]
        stripped = {without_wildcard(name): name for name in reversed(listed)}
        return stripped | {name: name for name in listed}

    @cached_property
    def _widest_scopes(self) -> dict[str, str]:
        widest: dict[str, str] = {}
        for domain in self.domains:
            scope = without_wildcard(domain.scope)
            for stripped in map(without_wildcard, (scope, *domain.names)) if scope else ():
                widest[stripped] = min(scope, widest.get(stripped, scope), key=lambda scope: (scope.count("."), scope))
        return widest

    def to_json(self) -> dict[str, object]:
        """Return the answer of the ``status`` action."""
        return {
            "order_id": self.order_id,
            "status": self.status,
            "dcv_method": self.dcv_method,
            "domains": [{"name": domain.scope or "unknown", "status": domain.status} for domain in self.domains],
        }


@dataclass(frozen=True)
class Domain:
    """What one domain-level resend is about: a name ``scope`` of a domain of the account.

    Example:
        >>> Domain(1234, "example.com").record_id
        'domain#1234#example.com'
    """

    domain_id: int
    scope: str

    @property
    def record_id(self) -> str:
        """The id of its send record."""
        return f"domain#{self.domain_id}#{without_wildcard(self.scope)}"


@dataclass(frozen=True)
class DomainEmails:
    """The ``addresses`` that CertCentral accepts about a ``scope`` (domain emails page); ``None`` if it names no scope.

    Example:
        >>> DomainEmails("example.com", ("Admin@example.com",)).spelling_of("admin@example.com")
        'Admin@example.com'
    """

    scope: str | None
    addresses: tuple[str, ...]

    def is_about(self, scope: str) -> bool:
        """Whether it is the list of this scope, as far as it says."""
        return self.scope is None or without_wildcard(self.scope) == without_wildcard(scope)

    def spelling_of(self, email: str) -> str | None:
        """Return an address as CertCentral spells it, or ``None`` if it does not list it."""
        return self._spellings.get(comparable_email(email))

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return {comparable_email(address): address for address in reversed(self.addresses)}


def _all_validated(entries: Iterable[tuple[str, NameStatus]]) -> dict[str, bool]:
    validated: dict[str, bool] = {}
    for name, domain in entries:
        stripped = without_wildcard(name)
        validated[stripped] = domain.validated and validated.get(stripped, True)
    return validated
