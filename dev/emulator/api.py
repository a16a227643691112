"""The emulated API: who may call, which call it is, and its answer."""

import re

from .answers import Answer, error, json_answer, rate_limited
from .listing import BadQuery, parse_listing, render_page
from .orders import order_info, order_validation
from .resend import Refused, plan_mails
from .state import State

BASE_PATH = "/services/v2"
_ORDER = re.compile(BASE_PATH + r"/order/certificate/([0-9]{1,18})(|/validation|/resend-emails)")


def answer_call(state: State, secret: str | None, method: str, path: str, query: str, body: bytes, call: int) -> Answer:
    """Answers one API call; a resend fills the outbox, caused by call number `call`."""
    role = state.role(secret)
    if not secret or role not in ("valid", "view_only"):
        # A recorded exchange: 403 with this code and text for a wrong key. That a revoked one gets it too is inferred.
        message = "Access denied due to access_denied_invalid_key."
        return error(state.switches["bad_key_status"], "access_denied|access_denied_invalid_key", message)
    if not state.within_limits(secret):
        answer, retry_after = rate_limited(), state.switches["retry_after"]
        return answer._replace(headers=answer.headers | ({"Retry-After": retry_after} if retry_after else {}))
    if role == "view_only" and method != "GET":  # "Errors" page; the glossary: a View Only key may GET
        return error(403, "access_denied|missing_permission", "You do not have permission to perform this action.")
    if method == "GET" and path == BASE_PATH + "/order/certificate":
        return _list(state, query)
    match = _ORDER.fullmatch(path)
    if not match or method != ("PUT" if match[2] == "/resend-emails" else "GET"):
        return error(404, "not_found|route", "The specified route could not be found.")
    order = state.order(int(match[1]))
    if order is None:  # "Errors" page: a wrong id or another account's
        return error(404, "not_found|order", "The specified order could not be found.")
    if match[2] == "":
        return json_answer(200, order_info(order, state.switches))
    if match[2] == "/validation":
        return json_answer(200, order_validation(order, state.switches))
    try:
        mails, locale = plan_mails(order, body, state.switches)
    except Refused as refusal:
        return error(refusal.status, refusal.code, refusal.message)
    state.send_mails(order, mails, locale, call)
    return Answer(204, b"", {}) if state.switches["success_status"] == 204 else json_answer(200, {"status": "success"})


def _list(state: State, query: str) -> Answer:
    try:
        listing = parse_listing(query, state.switches)
        return json_answer(200, render_page(state.selection(listing), listing, state.switches))
    except BadQuery as bad:
        return error(400, "undocumented|query", str(bad))
