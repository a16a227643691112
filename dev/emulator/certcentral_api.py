"""The emulated CertCentral API: which keys may call, the routes, and their responses."""

import re
import time
from functools import partial
from urllib.parse import unquote

from .domains import domain_emails, plan_domain_mails
from .list_orders import BadQuery, parse_listing, render_page
from .order_dns import published_contacts
from .order_json import order_info, order_validation
from .request_body import Refused
from .resend_emails import plan_mails
from .responses import Response, error, json_response, rate_limited
from .state import State

BASE_PATH = "/services/v2"
_ORDER = re.compile(BASE_PATH + r"/order/certificate/([0-9]{1,18})(|/validation|/resend-emails)")
_DOMAIN = re.compile(BASE_PATH + r"/domain/([^/]{1,300})/dcv/emails")


def respond(
    state: State, secret: str | None, method: str, path: str, query: str, body: bytes, call_number: int
) -> Response:
    """Respond to one API call; a resend fills the outbox."""
    role = state.role(secret)
    if not secret or role not in ("valid", "view_only"):
        # A recorded exchange: 403 with this code and text for a wrong key. That a revoked one gets it too is inferred.
        message = "Access denied due to access_denied_invalid_key."
        return error(state.switches["bad_key_status"], "access_denied|access_denied_invalid_key", message)
    if not state.within_limits(secret):
        refusal, retry_after = rate_limited(), state.switches["retry_after"]
        return refusal._replace(headers=refusal.headers | ({"Retry-After": retry_after} if retry_after else {}))
    if role == "view_only" and method != "GET":  # "Errors" page; the glossary: a View Only key may GET
        return error(403, "access_denied|missing_permission", "You do not have permission to perform this action.")
    try:
        return _route(state, method, path, query, body, call_number)
    except Refused as refused:
        return error(refused.status, refused.code, refused.message)


def _route(state: State, method: str, path: str, query: str, body: bytes, call_number: int) -> Response:
    if method == "GET" and path == BASE_PATH + "/order/certificate":
        return _list(state, query)
    match = _DOMAIN.fullmatch(path)
    if match and method in ("GET", "PUT"):
        return _respond_about_domain(state, method, unquote(match[1]), body, call_number)
    match = _ORDER.fullmatch(path)
    if not match or method != ("PUT" if match[2] == "/resend-emails" else "GET"):
        return error(404, "not_found|route", "The specified route could not be found.")
    order = state.order(int(match[1]))
    if order is None:  # "Errors" page: a wrong id or another account's
        return error(404, "not_found|order", "The specified order could not be found.")
    if match[2] == "":
        return json_response(200, order_info(order, state.switches))
    if match[2] == "/validation":
        return json_response(200, order_validation(order, state.switches, state.domain_ids(order)))
    mails, locale = plan_mails(order, body, state.switches)
    state.send_mails(order, mails, locale, call_number)
    return _success(state)


def _respond_about_domain(state: State, method: str, key: str, body: bytes, call_number: int) -> Response:
    # "Domain emails" page: GET also takes the FQDN of a domain. "Resend DCV email" page: PUT takes an id.
    domain = state.domain(key) if method == "GET" or key.isdecimal() else None
    if domain is None:
        return error(404, "undocumented|domain_not_found", "The specified domain could not be found.")
    published = partial(published_contacts, state.dns)
    if method == "GET":
        return json_response(200, domain_emails(domain, published, state.switches))
    mails, locale = plan_domain_mails(domain, body, published, state.switches, time.time())
    state.send_domain_mails(domain, mails, locale, call_number)
    return _success(state)


def _success(state: State) -> Response:
    if state.switches["success_status"] == 204:
        return Response(204, b"", {})
    return json_response(200, {"status": "success"})


def _list(state: State, query: str) -> Response:
    try:
        listing = parse_listing(query, state.switches)
        return json_response(200, render_page(state.selection(listing), listing, state.switches))
    except BadQuery as refused:
        return error(400, "undocumented|query", str(refused))
