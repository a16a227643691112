"""`dv-resend bulk` as a process against the deployed stack: killed, interrupted, and run again."""

import csv
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from e2e.conftest import Command, Emulator, Start, eventually

ORDERS = 500
KILLED_AFTER = 200


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "orders.results.csv"


def new_orders(emulator: Emulator, count: int, tmp_path: Path) -> tuple[Path, list[int]]:
    """Add orders with unused ids, and write them to a file."""
    first = emulator.add_order(id=int(time.time() * 1000) % 10**12)
    added = emulator("POST", "orders", {"count": count, "kind": "dv", "names": ["bulk-{id}.example"]})
    assert added["first_id"] == first + 1
    ids = [*range(added["first_id"], added["last_id"] + 1)]
    file = tmp_path / "orders.csv"
    file.write_text("order_id\n" + "".join(f"{order_id}\n" for order_id in ids))
    return file, ids


def test_bulk_that_is_killed_mails_each_person_once(
    dv_resend: Command, start_dv_resend: Start, emulator: Emulator, tmp_path: Path, results: Path
) -> None:
    # DigiCert's counts, in windows that are ten times shorter. Each order takes three requests.
    emulator("PUT", "limits", [[1000, 18], [100, 0.5]])
    file, ids = new_orders(emulator, ORDERS, tmp_path)
    command = ["bulk", file, "--orders-per-second", 15]

    with start_dv_resend(*command) as killed:
        eventually(lambda: results.exists() and results.read_text().count(",sent,") >= KILLED_AFTER, 120)
        killed.kill()
    ran = dv_resend(*command)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"\n{ORDERS} orders: " in "\n" + ran.stdout
    with results.open(newline="") as lines:
        outcomes = {int(row["order_id"]): row["outcome"] for row in csv.DictReader(lines)}
    assert [*outcomes] == ids
    # The order that was being called may have been sent already.
    assert Counter(outcomes.values())["sent"] >= ORDERS - 1
    assert set(outcomes.values()) <= {"sent", "duplicate"}
    assert 429 not in {call["status"] for call in emulator.calls}
    mailed = Counter((email["order_id"], email["to"]) for email in emulator.outbox)
    assert {order_id for order_id, _ in mailed} == set(ids)
    assert set(mailed.values()) == {1}


def test_bulk_that_is_interrupted_goes_on(
    dv_resend: Command, start_dv_resend: Start, emulator: Emulator, tmp_path: Path, results: Path
) -> None:
    file, ids = new_orders(emulator, 3, tmp_path)

    with start_dv_resend("bulk", file, "--orders-per-second", 0.01) as interrupted:
        eventually(lambda: results.exists() and ",sent," in results.read_text())
        interrupted.send_signal(signal.SIGINT)
        stdout, stderr = interrupted.communicate(timeout=60)
    ran = dv_resend("bulk", file, "--orders-per-second", 10)

    assert (interrupted.returncode, ran.returncode) == (130, 0)
    assert "3 orders: 2 not called, 1 sent" in stdout
    assert "2 orders left. Run the same command again" in stdout
    assert "Interrupted: Interrupted." in stderr
    assert "3 orders: 2 sent; left alone: 1 sent earlier" in ran.stdout
    assert [call["path"].split("/")[-2] for call in emulator.puts] == [str(order_id) for order_id in ids]
