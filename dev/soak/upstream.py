"""The CertCentral of a soak: it can be restarted, forgets nothing of what it mailed, and breaks at random by seed."""

import json
import random
import threading
import time
from typing import Any

from dev.emulator import CertCentralEmulator
from dev.emulator.orders import Order
from dev.emulator.resend import Mail
from dev.soak.reckoning import Emails, emails

SECONDS_AWAY = 1.5


class _Recorded(CertCentralEmulator):
    """An emulator that tells of each PUT that mailed, however much has happened since."""

    def __init__(self, mailings: list[Emails], **options: Any) -> None:
        self._asked: dict[int, str | list[str]] = {}
        self._mailings = mailings
        super().__init__(**options)

    def begin_call(self, **fields: Any) -> dict[str, Any]:
        call = super().begin_call(**fields)
        if call["method"] == "PUT":
            named = json.loads(fields["body"]).get("domain_approval_emails")
            self._asked[call["number"]] = [entry["email"] for entry in named] if named else "default"
        return call

    def send_mails(self, order: Order, mails: list[Mail], locale: str | None, call_number: int) -> None:
        super().send_mails(order, mails, locale, call_number)
        if mails:
            self._mailings.append(emails(order.id, self._asked.pop(call_number)))


class Upstream:
    """The emulator at one address, through a restart and the change of its key."""

    def __init__(self, key: str) -> None:
        self.mailings: list[Emails] = []
        """What each PUT that mailed asked for, in the order of time."""
        self._keys = {key: "valid"}
        self._lock = threading.Lock()
        self._emulator = self._start(0)
        self.base_url = self._emulator.base_url
        self._port = int(self._emulator.url.rpartition(":")[2])

    def _start(self, port: int) -> _Recorded:
        emulator = _Recorded(self.mailings, port=port)
        emulator.set_limits([])
        for key, role in self._keys.items():
            emulator.set_key(key, role)
        for order in emulator.orders:
            # Only the soak's own orders are of interest to a sweep.
            emulator.update_order(order["id"], status="canceled")
        return emulator

    def add_order(self, order_id: int, **fields: Any) -> None:
        with self._lock:
            self._emulator.add_order(id=order_id, **fields)

    def set_key(self, key: str, role: str) -> None:
        with self._lock:
            self._keys[key] = role
            self._emulator.set_key(key, role)

    def break_by(self, fault: dict[str, Any]) -> None:
        with self._lock:
            self._emulator.inject(fault)

    def mend(self) -> None:
        with self._lock:
            self._emulator.clear_faults()

    def restart(self) -> None:
        """End it, calls under way included, and start it again, with the orders and keys that it had."""
        with self._lock:
            orders = self._emulator.orders
            self._emulator.close()
            time.sleep(SECONDS_AWAY)
            self._emulator = self._start(self._port)
            there = {order["id"] for order in self._emulator.orders}
            for order in orders:
                if order["id"] not in there:
                    self._emulator.add_order(**order)

    def close(self) -> None:
        self._emulator.close()


def random_fault(random: random.Random) -> dict[str, Any]:
    """Choose a fault for the next few calls. None of them mails and says that it refuses, or the other way round."""
    mails = random.choice([True, False])
    put = {"method": "PUT", "mails": mails}
    some: dict[str, Any] = random.choice([{}, {"method": "GET"}, put, put])
    fault = random.choice(
        [
            *({"fault": name, **some} for name in ("reset", "close", "hang")),
            *({"fault": "status", "status": status, **some} for status in (500, 502, 503)),
            {"fault": "status", "status": 429, "headers": random.choice([{}, {"Retry-After": "1"}])},
            {"fault": "html", "status": random.choice([200, 503]), **some},
            {"fault": "html", "status": 403},
            {"fault": "truncated", "status": random.choice([200, 500]), **some},
            {"fault": "bad_json", "status": 500, **some},
            {"fault": "redirect", "status": 302, "location": "http://127.0.0.1:9/", **some},
            {"fault": "huge", "status": 503, "bytes": 2_000_000, **some},
            {"fault": "gzip_bomb", "status": 503, "bytes": 2_000_000, **some},
            {"fault": "drip", "seconds_per_byte": 0.3, "body": " " * 99, **some},
            {"fault": "slow", "seconds": random.uniform(0.1, 0.9)},
            {"fault": "slow", "seconds": random.uniform(1.1, 2.0), "method": "PUT"},
            {"fault": "close_idle", "seconds": 0.05},
        ]
    )
    return fault | {"times": random.randint(1, 4)}
