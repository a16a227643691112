"""Stand-ins for CertCentral and for DNS in tests of the use cases; what is asked of them stands in one journal."""

from dv_resend.core.orders import NameStatus, Order, OrderStatus
from dv_resend.core.recipients import Contacts

# The two looks at an order that go before every sending, as `CertCentral.calls` has them.
VALIDATION, ORDER, PUT = "GET validation", "GET order", "PUT"
LOOKS = [VALIDATION, ORDER]


class CertCentral:
    """Stands in for the client: answers for one order, and raises what it is told to.

    The order is eligible, and its names wait for validation, unless a test says otherwise.
    """

    def __init__(self, journal=None, anchor=None):
        self.journal = [] if journal is None else journal
        self.order = Order(7, "pending", "dv_ssl_certificate", "email", anchor)
        self.domains = (NameStatus("example.com", "pending", ("example.com", "www.example.com")),)
        self.on_validation = None
        self.on_order = None
        self.on_put = None

    def get_order_status(self, order_id, deadline):
        self.journal.append((VALIDATION, order_id, deadline))
        if self.on_validation is not None:
            raise self.on_validation
        return OrderStatus(order_id, self.order.status or "unknown", self.order.dcv_method, self.domains)

    def get_order(self, order_id, deadline):
        self.journal.append((ORDER, order_id, deadline))
        if self.on_order is not None:
            raise self.on_order
        return self.order

    def resend_emails(self, order_id, body, deadline):
        self.journal.append((PUT, order_id, body, deadline))
        if self.on_put is not None:
            raise self.on_put

    def approve(self, *names):
        """Have these names validated, each by itself, and no others."""
        listed = {name for domain in self.domains for name in domain.names} | set(names)
        self.domains = tuple(
            NameStatus(name, "approved" if name in names else "pending", (name,)) for name in sorted(listed)
        )

    @property
    def calls(self):
        return [entry[0] for entry in self.journal if entry[0] in (VALIDATION, ORDER, PUT)]

    @property
    def puts(self):
        return [entry for entry in self.journal if entry[0] == PUT]


class Dns:
    """Stands in for DNS, and is its own factory: it publishes the contacts that it is given, by name."""

    def __init__(self, journal=None, published=()):
        self.journal = [] if journal is None else journal
        self.published = dict(published)
        self.opened = 0

    def __call__(self):
        self.opened += 1
        return self

    def contacts(self, names):
        asked = list(names)
        self.journal.append(("DNS", asked))
        return {name: self.published.get(name, Contacts()) for name in asked}


def no_dns():
    """Stand in for the factory of a lookup where none is needed."""
    raise AssertionError("DNS was asked")
