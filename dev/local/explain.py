"""What a resend would do now, and why an email may not help: dry runs, which mail nobody, in words."""

import json
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dev.local.stack import LocalStack

WIDTH = 120
_HEAD = ("ORDER", "NAME", "KIND", "STATUS", "AGE", "WOULD BE")
_INDENT = "    "
# CertCentral's limit, which the emulator keeps: a few waits outlast it.
_TRIES = 5


def explain(stack: LocalStack, order_id: int | None = None) -> bool:
    """Print what a dry run says of one order, with the whole answer, or of all of the emulator's orders.

    Whether all of them could be answered.
    """
    known = {order["id"]: order for order in stack.ask_emulator("orders")}
    asked = list(known) if order_id is None else [order_id]
    rows = {id_: _known_row(known[id_]) for id_ in asked if id_ in known}
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows.values(), strict=True)]
    if rows:
        print(_line(_HEAD, widths))
    complete = True
    for id_ in asked:
        status, answer = _dry_run(stack, id_)
        if status != 200:
            complete = False
            print(f"{id_}  {status}: {messages(answer)}")
            continue
        row = [*rows[id_][:3], *_found(answer)] if id_ in rows else _row(answer)
        print("\n".join([_line(row, widths), *advice(answer)]), flush=True)
        if order_id is not None:
            print("\n" + pretty(answer))
    return complete


def summary(answer: Mapping[str, Any]) -> str:
    """The one line about an order: what it is, and what a resend would be."""
    return "  ".join(_row(answer))


def advice(answer: Mapping[str, Any], width: int = WIDTH) -> list[str]:
    """The lines of the advice, each sentence on lines of its own."""
    return [
        line
        for sentence in answer["advice"]
        for line in textwrap.wrap(
            sentence,
            width,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT + "  ",
            break_long_words=False,  # an address or a name can be copied whole
            break_on_hyphens=False,
        )
    ]


def pretty(answer: Mapping[str, Any]) -> str:
    """The whole answer."""
    return json.dumps(answer, indent=2)


def messages(answer: Mapping[str, Any]) -> str:
    """What an error says; of an answer that is not the function's, all of it."""
    return " ".join(error["message"] for error in answer["errors"]) if "errors" in answer else json.dumps(answer)


def _dry_run(stack: LocalStack, order_id: int) -> tuple[int, dict[str, Any]]:
    for _ in range(_TRIES):
        status, headers, body = stack.put_resend(order_id, {}, "?dry_run=true")
        if status != 429:
            break
        time.sleep(float(headers.get("Retry-After", 5)))
    try:
        answer: dict[str, Any] = json.loads(body)
    except ValueError:
        answer = {"errors": [{"message": body}]}
    return status, answer


def _known_row(order: Mapping[str, Any]) -> list[str]:
    """What the emulator says of its order; the rest of the row is for the dry run."""
    return [str(order["id"]), next(iter(order["names"])), order["kind"], order["status"], "", ""]


def _row(answer: Mapping[str, Any]) -> list[str]:
    name = answer["names"][0]["name"] if answer["names"] else "-"
    return [str(answer["order_id"]), name, answer["order"]["kind"] or "-", *_found(answer)]


def _found(answer: Mapping[str, Any]) -> list[str]:
    age = answer["order"]["age_days"]
    return [answer["order"]["status"] or "-", "-" if age is None else f"{age} d", answer["would_be"]]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
