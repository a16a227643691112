"""The CertCentral of a soak: the emulator without orders and rate limit, and the faults that strike it by seed."""

import random
from collections import defaultdict
from typing import Any

from dev.emulator import CertCentralEmulator
from dev.emulator.outbox import KEPT_MAILS
from dev.emulator.resend_emails import CONSTRUCTED
from dev.soak.reconcile import Emails, emails

SECONDS_AWAY = 1.5


def start(key: str) -> CertCentralEmulator:
    """Start an emulator that has no orders but those of the soak."""
    emulator = CertCentralEmulator(valid_key=key)
    emulator.set_limits(None)
    emulator.clear_orders()
    return emulator


def mailings(emulator: CertCentralEmulator) -> list[Emails]:
    """Return what each PUT that mailed asked for, oldest first."""
    outbox = emulator.outbox
    assert len(outbox) < KEPT_MAILS, "the emulator has forgotten emails: soak for a shorter time"
    recipients: dict[tuple[int, int, str | None], list[str]] = defaultdict(list)
    for mail in outbox:
        domain = None if mail["domain_id"] is None else mail["domain"]
        recipients[mail["caused_by"], mail["order_id"], domain].append(mail["to"])
    # Callers never name all constructed addresses, so these are the default recipients.
    return [
        emails(order_id, domain, "default" if len(mailed) == len(CONSTRUCTED) else mailed)
        for (_, order_id, domain), mailed in recipients.items()
    ]


def random_fault(random: random.Random) -> dict[str, Any]:
    """Choose a fault for the next few calls. No fault mails and then claims a refusal, or the other way round."""
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
