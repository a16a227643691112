"""The first page: orders, calls, emails, and what was changed about the emulator."""

import json
from typing import Any

from ..faults import Fault
from ..state import State
from ..switches import SWITCHES
from .call import render_calls
from .history import History
from .markup import Html, counted, fill, left_out, table, text
from .order import render_orders
from .outbox import render_outbox

MAX_FAULTS = 100


def render_overview(state: State, url: str, *, live: bool) -> Html:
    """Return the page, as of now."""
    history, faults = History(state), state.faults()
    changed = [(name, value) for name, value in state.switches.items() if value != SWITCHES[name][0]]
    return fill(
        """\
<nav><a href="#orders">$order_count</a> <a href="#calls">$call_count</a> <a href="#outbox">$mail_count</a>
$reload</nav>
<h2 id="orders">Orders</h2> $orders
<h2 id="calls">Calls</h2> $calls
<h2 id="outbox">Outbox</h2> $outbox
<h2>Active faults</h2> $faults $more_faults
<h2>Changed switches</h2> $switches""",
        reload=fill('<a href="/">Stop reloading</a>' if live else '<a href="/?live">Reload every 2 s</a>'),
        order_count=counted(len(state.all_orders()), "order"),
        call_count=counted(len(history.calls), "call"),
        mail_count=counted(sum(map(len, history.mails.values())), "email"),
        orders=render_orders(state, history),
        calls=render_calls(history),
        outbox=render_outbox(history, list(history.mails.values()), url),
        faults=table(
            "faults",
            ("Fault", "Strikes", "Parameters"),
            [_fault_row(fault) for fault in faults[:MAX_FAULTS]],
            "None: every call gets the normal response.",
        ),
        more_faults=left_out(len(faults) - MAX_FAULTS, "fault"),
        switches=table(
            "switches",
            ("Switch", "Value", "Meaning"),
            [(name, _json(value), SWITCHES[name][2]) for name, value in changed],
            "All have their defaults.",
        ),
    )


def _fault_row(fault: Fault) -> tuple[object, ...]:
    times = "for ever" if fault.times is None else f"{fault.times} more"
    where = f"{fault.method or 'any method'} {fault.path or 'any path'}"
    params = {name: value for name, value in fault.params.items() if value is not None}
    mails = fill("<small>the request takes effect first</small>") if fault.mails else None
    return fill("<b>$name</b> <small>$times</small>", name=fault.name, times=times), [where, mails], _json(params)


def _json(value: Any) -> Html:
    return fill("<code>$value</code>", value=text(json.dumps(value)))
