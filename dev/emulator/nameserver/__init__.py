"""A small DNS server on loopback, for tests and for the local run: it knows what it was told, and fails on demand."""

from .server import NameServer, Query
from .zone import FAULTS, Records, Zone

__all__ = ["FAULTS", "NameServer", "Query", "Records", "Zone"]
