"""The control API of the emulator: the list of its paths, and the examples of CONTRIBUTING.md."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dev import pages
from dev.emulator import CertCentralEmulator
from dev.emulator.orders import SEED_IDS


@pytest.fixture
def emulator() -> Iterator[CertCentralEmulator]:
    with CertCentralEmulator() as running:
        yield running


def test_every_listed_path_is_there(emulator: CertCentralEmulator) -> None:
    paths = requests.get(f"{emulator.url}/_emulator/", timeout=30).json()

    assert "PATCH /_emulator/orders/{id}" in paths
    for method, path in (each.split() for each in paths):
        url = emulator.url + path.format(id=SEED_IDS["ov"])
        assert requests.request(method, url, data="{}", timeout=30).status_code in (200, 400)


def test_examples_steer_the_emulator(emulator: CertCentralEmulator, tmp_path: Path) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/stack.json").write_text(json.dumps({"emulator_url": emulator.url}))
    examples = [block.text for block in pages.blocks("CONTRIBUTING.md") if block.section == "Steer the emulator"]

    subprocess.run(["sh", "-euc", "\n".join(examples)], cwd=tmp_path, check=True, capture_output=True)

    orders = {order["id"]: order for order in emulator.orders}
    added = orders[max(orders)]
    assert (added["kind"], added["organization"]) == ("ov", "pending")
    assert orders[SEED_IDS["ov_multi"]]["status"] == "issued"
    assert orders[SEED_IDS["ov_shared"]]["names"] == {"www.ov-shared.example": "approved"}
    (fault,) = emulator.faults()
    (ov_shared,) = [domain["id"] for domain in emulator.domains if domain["name"] == "ov-shared.example"]
    assert f"/domain/{ov_shared}/" in str(fault.path)
