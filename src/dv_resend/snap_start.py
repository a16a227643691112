"""Lambda SnapStart: what goes into the snapshot of the started function, and what must not be in its copies."""

from collections.abc import Callable
from importlib import import_module

# In Lambda's runtime, for this only (Lambda Developer Guide, "SnapStart runtime hooks for Python").
from snapshot_restore_py import register_after_restore, register_before_snapshot

# Imported where they are needed, not with the handler.
LAZY_MODULES = ("dv_resend.explain", "dv_resend.worker", "concurrent.futures", "dns.resolver", "publicsuffixlist")


def register(forget: Callable[[], None]) -> None:
    """Have everything imported before the snapshot, and ``forget`` called in each copy, before its first event."""
    register_before_snapshot(_import_all)
    register_after_restore(forget)


def _import_all() -> None:
    """Import what the doors import when they first need it: in a snapshot it costs nothing."""
    for module in LAZY_MODULES:
        import_module(module)
