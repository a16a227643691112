"""Markup. Whatever is not `Html` is escaped when it is filled into a template, so no caller's text becomes markup."""

import time
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from ..orders import parse_time
from ..responses import Response

MAX_TEXT = 300
MAX_LINES = 500
_LINES = "\n\t"
_FOLDER = Path(__file__).parent
_DOCUMENT = (_FOLDER / "document.html").read_text(encoding="utf-8")
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def fill(template: str, /, **values: object) -> Html:
    """Fill values into a template, which must be a literal. Lists are joined, None is nothing."""
    return Html(Template(template).substitute({name: _markup(value) for name, value in values.items()}))


def text(value: object, limit: int = MAX_TEXT, keep: str = "") -> Html:
    """Return any text as markup: escaped, cut to a length, and with characters that do not show written as escapes."""
    whole = str(value)
    shown = "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in whole[:limit]
    )
    rest = f"… and {len(whole) - limit:,} more characters" if len(whole) > limit else ""
    return Html(escape(shown + rest, quote=True))


def block(value: object, limit: int = 20_000) -> Html:
    """Return a text of several lines."""
    return fill("<pre>$value</pre>", value=text(value, limit, keep=_LINES))


def table(kind: str, heads: tuple[str, ...], rows: Iterable[tuple[object, ...]], nothing: str) -> Html:
    """Return a table; on a narrow screen each cell is preceded by its column's head. The style has `kind`'s widths."""
    body = [fill("<tr>$cells</tr>\n", cells=[_cell(*pair) for pair in zip(heads, row, strict=True)]) for row in rows]
    if not body:
        return fill("<p>$nothing</p>", nothing=nothing)
    head = [fill("<th>$head</th>", head=head) for head in heads]
    template = '<table class="$kind"><thead><tr>$head</tr></thead><tbody>\n$body</tbody></table>'
    return fill(template, kind=kind, head=head, body=body)


def comma_separated(values: Iterable[object]) -> Html:
    """Return values in a line, without those that are None."""
    return Html(", ".join(_markup(value) for value in values if value is not None))


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Return names with their values, without empty ones."""
    rows = [fill("<dt>$name</dt><dd>$value</dd>", name=name, value=value) for name, value in pairs if value]
    return fill("<dl>$rows</dl>", rows=rows)


def items(values: Iterable[object], left: int = 0) -> Html:
    """Return a list, and how many more there are that it leaves out."""
    lines = [fill("<li>$value</li>", value=value) for value in values]
    more = fill("<li>and $left more</li>", left=f"{left:,}") if left > 0 else None
    return fill("<ul>$lines $more</ul>", lines=lines, more=more)


def chip(label: object, kind: str = "") -> Html:
    """Return a short label that stands out; its kind is good, open or bad."""
    return fill('<b class="chip $kind">$label</b>', kind=kind, label=label)


def at(iso_time: str, *, with_date: bool = False) -> Html:
    """Return a time in UTC."""
    shown = iso_time[:19].replace("T", " ") + " UTC" if with_date else iso_time[11:19]
    return fill('<time title="$whole">$shown</time>', whole=iso_time, shown=shown)


def ago(then: str | float) -> str:
    """Return how long ago a time was, in its largest unit."""
    seconds = max(0, int(time.time() - (parse_time(then) if isinstance(then, str) else then)))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def counted(count: int, thing: str) -> str:
    """Return a count with the name of what is counted."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def left_out(count: int, thing: str, hint: str = "") -> Html | None:
    """Return a sentence about what a bounded list leaves out; None if that is nothing."""
    return fill("<p>$count not shown. $hint</p>", count=counted(count, thing), hint=hint) if count > 0 else None


def render_document(status: int, title: str, body: Html, *, live: bool = False) -> Response:
    """Return a whole page."""
    refresh = Html('<meta http-equiv="refresh" content="2">') if live else None
    style = Html((_FOLDER / "style.css").read_text(encoding="utf-8"))
    document = fill(_DOCUMENT, title=title, style=style, refresh=refresh, body=body)
    return Response(status, document.encode(), _HEADERS)


def _cell(head: str, value: object) -> Html:
    return fill('<td data-head="$head">$value</td>', head=head, value=value)


def _markup(value: object) -> Html:
    if isinstance(value, Html):
        return value
    if isinstance(value, list):
        return Html("".join(map(_markup, value)))
    return Html("") if value is None else text(value)
