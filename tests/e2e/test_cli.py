"""The command `dv-resend` as a process against the deployed stack: what it prints, its exit code, and who is mailed."""

import json
from typing import Any

import pytest

from dev.local.stack import LocalStack
from e2e.conftest import Command, Emulator, audit_lines

# The local AWS takes the account's number for the key of its root user.
ADMINISTRATOR = {"AWS_ACCESS_KEY_ID": "123456789012", "AWS_SECRET_ACCESS_KEY": "local"}


@pytest.fixture
def sole_name(emulator: Emulator, order_id: int) -> str:
    """The one name of the order."""
    (order,) = [order for order in emulator("GET", "orders") if order["id"] == order_id]
    (name,) = order["names"]
    return name


def test_resend_mails_whom_it_says(
    dv_resend: Command, stack: LocalStack, emulator: Emulator, order_id: int, sole_name: str
) -> None:
    ran = dv_resend("resend", order_id, "--to", f"{sole_name}=admin@{sole_name}")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[1:] == [f"Mailed: admin@{sole_name}"]
    assert [(email["order_id"], email["to"]) for email in emulator.outbox] == [(order_id, f"admin@{sole_name}")]
    (audit,) = [line for line in audit_lines(stack, order_id) if line["message"] == "audit"]
    assert audit["caller"] == "arn:aws:iam::123456789012:user/caller"


def test_repeated_resend_is_a_duplicate(dv_resend: Command, emulator: Emulator, order_id: int) -> None:
    codes = [dv_resend("resend", order_id).returncode for _ in range(2)]
    mails = len(emulator.outbox)

    again = dv_resend("resend", order_id, "--json")

    assert (codes, again.returncode) == ([0, 0], 0)
    assert json.loads(again.stdout)["outcome"] == "duplicate"
    assert len(emulator.outbox) == mails > 0


def test_refused_order_says_what_to_do(dv_resend: Command, emulator: Emulator) -> None:
    issued = emulator.add_order(kind="dv", status="issued")

    ran = dv_resend("resend", issued)

    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith(f"OrderNotEligible: The status of order {issued} is issued")
    assert len(ran.stderr.splitlines()) == 2
    assert emulator.puts == []


def test_unknown_outcome_has_an_exit_code_of_its_own(dv_resend: Command, emulator: Emulator, order_id: int) -> None:
    emulator.inject({"fault": "status", "status": 500, "method": "PUT"})

    ran = dv_resend("resend", order_id, "--json")

    assert ran.returncode == 5
    assert json.loads(ran.stdout)["error"]["name"] == "OutcomeUnknown"


def test_explain_mails_nobody(dv_resend: Command, emulator: Emulator, order_id: int, sole_name: str) -> None:
    ran = dv_resend("explain", order_id)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"\n  accepted: admin@{sole_name}, " in ran.stdout
    assert "\nA resend now would be: sent\n" in ran.stdout
    assert emulator.puts == []


def test_status_is_that_of_the_order(dv_resend: Command, order_id: int, sole_name: str) -> None:
    ran = dv_resend("status", order_id)

    assert (ran.returncode, ran.stderr) == (0, "")
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert lines[0] == ["Order", f"{order_id}:", "pending,", "validated", "by", "email"]
    assert lines[-1] == [sole_name, "pending"]


def test_history_tells_who_was_mailed_by_whom(dv_resend: Command, order_id: int, sole_name: str) -> None:
    recipient = f"{sole_name}=admin@{sole_name}"
    for _ in range(2):
        dv_resend("resend", order_id, "--to", recipient)

    ran, text = dv_resend("history", order_id, "--since", "1h", "--json"), dv_resend("history", order_id).stdout

    first, second = json.loads(ran.stdout)["entries"]
    assert (first["outcome"], first["recipients"], first["event_source"]) == ("sent", [f"admin@{sole_name}"], "direct")
    assert first["caller"] == "arn:aws:iam::123456789012:user/caller"
    assert second["outcome"] == "duplicate"
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [line.split()[1] for line in text.splitlines()] == ["OUTCOME", "sent", "duplicate"]


def test_pending_lists_the_order(dv_resend: Command, order_id: int, sole_name: str) -> None:
    ran = dv_resend("pending")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert [str(order_id), sole_name, "pending"] in [line.split()[:3] for line in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    ("environment", "name", "code"),
    [
        ({"DV_RESEND_STACK": "dv-resend-typo"}, "AccessDenied", 6),
        ({"DV_RESEND_STACK": "dv-resend-typo"} | ADMINISTRATOR, "StackNotFound", 6),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "NetworkUnavailable", 4),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"},
            "NoCredentials",
            6,
        ),
        ({"AWS_PROFILE": "no-such-profile"}, "NoCredentials", 6),
    ],
)
def test_wrong_environment_is_one_line(dv_resend: Command, environment: Any, name: str, code: int) -> None:
    ran = dv_resend("status", 1, **environment)

    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (code, "", 1)
    assert ran.stderr.startswith(f"{name}: ")
