"""Who may call, and how often: API keys with their roles, and the rate limit of each."""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from .orders import ControlError

ROLES = ("valid", "revoked", "view_only")
DEFAULT_KEYS = {
    "emulator-valid-key": "valid",
    "emulator-revoked-key": "revoked",
    "emulator-view-only-key": "view_only",
}
DEFAULT_LIMITS: list[tuple[int, float]] = [(1000, 180), (100, 5)]  # "Rate limits" page: rolling, per user of the key


def key_digest(secret: str) -> str:
    """Return what is stored in place of a key: the emulator never keeps or shows a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class Access:
    """Keys and limits. Safe to use from any thread."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._keys = {key_digest(secret): role for secret, role in keys.items()}
        self._hits: dict[str, deque[float]] = {}
        self._limits = list(DEFAULT_LIMITS)

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
            self._limits = parsed
            self._hits.clear()

    def within_limits(self, secret: str) -> bool:
        """Count a request of this key, unless a window is full: refused requests do not count, so windows drain."""
        with self._lock:
            now, longest = time.monotonic(), max((count for count, _ in self._limits), default=1)
            hits = self._hits.setdefault(key_digest(secret), deque(maxlen=longest))
            if any(len(hits) >= count and hits[-count] > now - seconds for count, seconds in self._limits):
                return False
            hits.append(now)
            return True
