"""The page's addresses, and the two things that can be done there."""

import re

from ..dcv_email import LINK_PATH
from ..orders import ControlError
from ..responses import Response
from ..state import State
from .approval import render_link
from .call import render_call
from .markup import Html, fill, render_document
from .order import render_order
from .overview import render_overview

_PAGE = re.compile(r"/(?:(?:orders|calls|validate)(?:/.*)?)?", re.DOTALL)
_ORDER = re.compile(r"/orders/([0-9]{1,18})(/issue)?")
_CALL = re.compile(r"/calls/([0-9]{1,18})")
_LINK = re.compile(re.escape(LINK_PATH) + r"([\w-]{1,64})", re.ASCII)


def is_page_path(path: str) -> bool:
    """Return whether a path belongs to the page, also if there is nothing at it."""
    return _PAGE.fullmatch(path) is not None


def respond_to_page(state: State, url: str, method: str, path: str, query: str) -> Response:
    """Respond to a request for the page; `url` is the root of the emulator, for the links in emails."""
    order, link = _ORDER.fullmatch(path), _LINK.fullmatch(path)
    allowed = ("POST",) if order and order[2] else ("GET", "HEAD", "POST") if link else ("GET", "HEAD")
    if method not in allowed:
        refused = _problem(405, "This address does not have that method.")
        return refused._replace(headers=refused.headers | {"Allow": ", ".join(allowed)})
    if order and order[2]:
        return _issue(
            state, int(order[1]), f"/#order-{order[1]}" if query == "back=overview" else f"/orders/{order[1]}"
        )
    if link:
        return _follow(state, link[1]) if method == "POST" else _show_link(state, link[1])
    live = path == "/" and query == "live"
    body = render_overview(state, url, live=live) if path == "/" else _details(state, url, path)
    if body is None:
        return _problem(404, "There is nothing at this address. The emulator may have forgotten it, or was reset.")
    title = "CertCentral emulator" if path == "/" else f"{path[1:].replace('s/', ' ')} - CertCentral emulator"
    return render_document(200, title, body, live=live)


def _details(state: State, url: str, path: str) -> Html | None:
    if match := _ORDER.fullmatch(path):
        return render_order(state, url, int(match[1]))
    if match := _CALL.fullmatch(path):
        return render_call(state, url, int(match[1]))
    return None


def _issue(state: State, order_id: int, back: str) -> Response:
    try:
        state.issue_order(order_id)
    except ControlError as error:
        return _problem(409 if state.order(order_id) else 404, str(error))
    return Response(303, b"", {"Location": back})


def _show_link(state: State, value: str) -> Response:
    link = state.link(value)
    if link is None:
        return _problem(404, "This link is unknown. The emulator may have forgotten its email, or was reset.")
    return render_document(link.status, "Approve a certificate request", render_link(link))


def _follow(state: State, value: str) -> Response:
    link = state.follow_link(value)
    if link is None or not link.names:
        return _show_link(state, value)
    return Response(303, b"", {"Location": LINK_PATH + value})


def _problem(status: int, sentence: str) -> Response:
    return render_document(status, "CertCentral emulator", fill("<h2>$sentence</h2>", sentence=sentence))
