"""What a stored claim means at a given time."""

import pytest

from dv_resend.core.claims import Claim


@pytest.mark.parametrize(
    ("status", "now", "state"),
    [
        ("sending", 1000, "sending"),
        ("sending", 1029.9, "sending"),
        ("sending", 1030, "unknown"),
        ("sending", 4599.9, "unknown"),
        ("sending", 4600, "expired"),
        ("sent", 1000, "sent"),
        ("sent", 4599.9, "sent"),
        ("sent", 4600, "expired"),
        ("unknown", 1000, "unknown"),
        ("unknown", 4599.9, "unknown"),
        ("unknown", 4600, "expired"),
    ],
)
def test_claim_state_depends_on_deadline_and_expiration(status, now, state):
    claim = Claim("a key", status, "an owner", deadline=1030, expiration=4600)

    assert claim.state(now) == state
