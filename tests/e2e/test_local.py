"""What a newcomer gets from `make up` and `make down`."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dev.local import background
from dev.local.processes import StartError
from dev.local.stack import LocalStack


def test_line_of_make_up_points_the_command_at_the_stack(
    stack: LocalStack, order_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    background.describe(stack)
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("export ")]
    assert f" AWS_DEFAULT_REGION={stack.region} " in line
    assert "\naccepts emulator-valid-key," in printed

    ran = subprocess.run(
        ["sh", "-c", f"{line}\ndv-resend status {order_id}"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"Order {order_id}: pending")


def test_make_down_without_a_stack_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(background, "STACK_FILE", tmp_path / "stack.json")
    monkeypatch.setattr(background, "_LOGS", tmp_path / "up")

    assert background.down() == 0
    assert capsys.readouterr().out == "No stack is running.\n"


@pytest.mark.parametrize(
    ("order_types", "said"),
    [("all", r"OrderTypes=dv\. Run `make down`, then `ORDER_TYPES=all make up`\."), ("ov", "must be dv or all")],
)
def test_make_up_with_other_order_types_fails(
    stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order_types: str, said: str
) -> None:
    (tmp_path / "stack.json").write_text(stack.to_json())
    monkeypatch.setattr(background, "STACK_FILE", tmp_path / "stack.json")
    monkeypatch.setenv("ORDER_TYPES", order_types)

    with pytest.raises(StartError, match=said):
        background.up()


@pytest.mark.parametrize(("order_types", "told"), [("all", True), ("dv", False)])
def test_make_up_names_order_types_that_are_not_the_default(
    stack: LocalStack, capsys: pytest.CaptureFixture[str], order_types: str, told: bool
) -> None:
    background.describe(replace(stack, order_types=order_types))

    printed = capsys.readouterr().out
    assert ("The stack is running, with OrderTypes=all." in printed) == told
    assert ("`dv-resend resend 100000026` is a duplicate" in printed) == told
