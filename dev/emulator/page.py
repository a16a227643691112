"""The page at `/`: orders, outbox, faults and switches at a glance. Everything that came from outside is escaped."""

import json
import time
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from .answers import Answer
from .orders import OPEN, Order, parse_time
from .state import State
from .switches import SWITCHES

MAX_ROWS = 100
LINK_DAYS = 30  # Baseline Requirements: a random value is good for 30 days from its creation
_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "Cache-Control": "no-store",
}


def render_page(state: State) -> Answer:
    """The page, as of now."""
    now = time.time()
    orders, mails, calls = state.all_orders(), state.outbox, len(state.calls)
    changed = [(name, value) for name, value in state.switches.items() if value != SWITCHES[name][0]]
    body = _PAGE.substitute(
        counts=f"{len(orders)} orders &middot; {len(mails)} emails &middot; {calls} calls",
        mails=_rows([_mail_row(mail, now) for mail in reversed(mails[-MAX_ROWS:])], 7, "No email was sent yet."),
        orders=_rows([_order_row(order, now) for order in orders[:MAX_ROWS]], 6, "There are no orders."),
        more_mails=_more(len(mails), "newest"),
        more_orders=_more(len(orders), "first"),
        faults=_rows([_fault_row(fault) for fault in state.faults()], 3, "None: every call is answered normally."),
        switches=_rows([_switch_row(*pair) for pair in changed], 3, "All at their defaults."),
    )
    return Answer(200, body.encode(), _HEADERS)


def _order_row(order: Order, now: float) -> str:
    names = "".join(f'<li class="{_css(status)}">{_e(name)} <i>{_e(status)}</i></li>' for name, status in order.names)
    status = f'<b class="chip {"open" if order.status in OPEN else ""}">{_e(order.status)}</b>'
    method = f'<span class="{"" if order.dcv_method == "email" else "quiet"}">{_e(order.dcv_method)}</span>'
    age = _ago(order.created, now)
    if order.reissued:
        age += f"<small>reissued {_ago(order.reissued, now)}</small>"
    return _row(f"<code>{order.id}</code>", _e(order.kind), status, method, f"<ul>{names}</ul>", age)


def _mail_row(mail: dict[str, Any], now: float) -> str:
    created = parse_time(mail["link_created_at"])
    age = _ago(created, now)
    if now - created > LINK_DAYS * 86_400:
        age = f'<b class="chip bad" title="random values live {LINK_DAYS} days">{age}, over {LINK_DAYS}&nbsp;d</b>'
    domain = _e(mail["domain"]) + (f"<small>at {_e(mail['email_domain'])}</small>" if "email_domain" in mail else "")
    when = f'<time title="{_e(mail["sent_at"])}">{_e(mail["sent_at"][11:19])}</time>'
    order, to = f"<code>{mail['order_id']}</code>", f"<strong>{_e(mail['to'])}</strong>"
    return _row(when, order, to, domain, _e(mail["locale"] or "default"), age, f"#{mail['caused_by']}")


def _fault_row(fault: Any) -> str:
    times = "for ever" if fault.times is None else f"{fault.times} more"
    where = f"{fault.method or 'any method'} {fault.path or 'any path'}"
    params = json.dumps({name: value for name, value in fault.params.items() if value is not None})[:200]
    mails = "<small>the request takes effect first</small>" if fault.mails else ""
    return _row(
        f"<strong>{_e(fault.name)}</strong><small>{times}</small>", _e(where) + mails, f"<code>{_e(params)}</code>"
    )


def _switch_row(name: str, value: Any) -> str:
    return _row(f"<strong>{_e(name)}</strong>", f"<code>{_e(json.dumps(value))}</code>", _e(SWITCHES[name][2]))


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _rows(rows: list[str], columns: int, nothing: str) -> str:
    return "\n".join(rows) or f'<tr><td colspan="{columns}" class="nothing">{nothing}</td></tr>'


def _more(count: int, which: str) -> str:
    return f"the {which} {MAX_ROWS} of {count}" if count > MAX_ROWS else ""


def _ago(then: float, now: float) -> str:
    seconds = max(0, int(now - then))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size}&nbsp;{unit}"
    return f"{seconds}&nbsp;s"


def _css(status: str) -> str:
    return "done" if status == "approved" else "todo"


def _e(text: Any) -> str:
    return escape(str(text), quote=True)
