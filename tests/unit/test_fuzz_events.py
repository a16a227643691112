"""Anything through any door: samples bent out of shape, and JSON at its worst.

Whatever comes, the handler answers or raises one of our errors, shows nobody's address, and sends nothing but what the
event asks for when it is read in the plainest way. (A coverage-guided fuzzer would add little: bytes are parsed by the
standard library alone, and what follows branches on names and types, which the samples hold.)
"""

import datetime as dt
import io
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import redirect_stdout
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import lambda_context
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend import app
from dv_resend.config import Config
from dv_resend.core.claims import HeldClaim
from dv_resend.core.orders import Order, OrderStatus
from dv_resend.core.recipients import Contacts
from dv_resend.errors import ResendError

LOCAL_PART = "jane.q.public"
PERSONAL = f"{LOCAL_PART}@example.com"
RECIPIENTS = "domain_approval_emails"


class Upstream:
    """A CertCentral of which every order may be resent; it remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, dict[str, Any]]] = []

    def get_order_status(self, order_id: int, _ends_at: float) -> OrderStatus:
        return OrderStatus(order_id, "pending", "email", ())

    def get_order(self, order_id: int, _ends_at: float) -> Order:
        anchor = dt.datetime.now(dt.UTC) - dt.timedelta(days=3.2)
        return Order(order_id, "pending", "dv_ssl_certificate", "email", anchor)

    def list_orders(self, *_: object) -> list[Any]:
        return []

    def resend_emails(self, order_id: int, body: dict[str, Any], _ends_at: float) -> None:
        self.sent.append((order_id, body))


class NoClaims:
    """A table in which nothing ever stands in the way."""

    def acquire(self, key: str, **_: object) -> HeldClaim:
        return HeldClaim(key, "sending", "owner", deadline=0, expiration=2**32)

    def read(self, _key: str) -> None:
        return None

    def reminded(self, _record: str) -> bool:
        return False

    def nothing(self, *_: object) -> bool:
        return True

    record_sent = record_unknown = release = record_reminder = forget_reminder = nothing


class NoDns:
    """A DNS that knows nothing."""

    def __init__(self, _servers: object) -> None: ...

    def contacts(self, names: Any) -> dict[str, Contacts]:
        return {name: Contacts() for name in names}

    def has_mx(self, hosts: Any) -> dict[str, None]:
        return dict.fromkeys(hosts)


class NoQueue:
    """A queue that holds nothing."""

    def hold(self, *_: object) -> None: ...


@pytest.fixture(scope="module", params=["enforce", "off"])
def upstream(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    environment = {"API_KEY_SECRET_ID": "a-secret", "CLAIMS_TABLE": "a-table", "RECIPIENT_CHECK": request.param}
    adapters = SimpleNamespace(
        config=Config.from_environment(environment), certcentral=Upstream(), claims=NoClaims(), queue=NoQueue()
    )
    # The suite gives every test a fresh function.
    make = lru_cache(lambda: adapters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_parts", make)
        patch.setattr(app, "DnsContacts", NoDns)
        yield adapters.certcentral


# What may come

EVENTS = Path(__file__).parents[2] / "events"
# With an address that must not show.
SAMPLES = {
    path.stem: json.loads(path.read_text("utf-8").replace("someone@example.com", PERSONAL))
    for path in sorted(EVENTS.glob("*.json"))
}
each_sample = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
texts = st.text(max_size=12) | st.sampled_from(
    [
        *("", "0", "1", "true", "null", "{}", "[]", '{"order_id": 7}', "9", "９", "2026-11-20", "en", "en_US"),
        *("PUT", "put", "status", "sweep", "Resend DV Emails", "Scheduled Event", "aws:sqs"),
        *("example.com", "*.example.com", "bücher.example", "admin@example.com"),
        *(PERSONAL, f"<{PERSONAL}>", f"x {PERSONAL}, y"),
        *("\ud800", "\x00", "\u202e", "\r\nX: 1", "%2e%2e"),
        *("/services/v2/order/certificate/7/resend-emails", "/prod/services/v2/order/certificate/7/resend-emails"),
    ]
)
names = texts | st.sampled_from(
    [
        *("order_id", RECIPIENTS, "domain", "email", "email_domain", "locale", "dry_run", "force", "requested_by"),
        *("action", "offset", "link", "so_far", "detail", "detail-type", "id", "anchor", "day"),
        *("Records", "body", "eventSource", "messageId", "receiptHandle", "attributes", "ApproximateReceiveCount"),
        *("requestContext", "http", "method", "httpMethod", "rawPath", "path", "isBase64Encoded"),
        *("queryStringParameters", "multiValueQueryStringParameters"),
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([7, -1, 10**14, 10**15, 10**400, 0.5, 1e308, float("nan"), float("inf")])
    | st.floats()
    | texts
)


def _deep(leaf: Any) -> Any:
    for _ in range(200):
        leaf = [leaf]
    return leaf


values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
) | scalars.map(_deep)


# What somebody may well add, in the right place or in a wrong one.
plausible = st.sampled_from(
    [
        *(("order_id", 8), ("order_id", "8"), ("force", True), ("dry_run", True), ("dry_run", "true")),
        *((RECIPIENTS, []), (RECIPIENTS, None), ("locale", "de"), ("locale", None), ("requested_by", "me")),
        *(("email", PERSONAL), ("cc", PERSONAL), ("httpMethod", "GET"), ("httpMethod", "put")),
        *(("queryStringParameters", {"dry_run": text}) for text in ("true", "True", "1", "", "false")),
        *(("queryStringParameters", {name: "true"}) for name in ("force", "dryrun", "DRY_RUN")),
        *(("multiValueQueryStringParameters", {"dry_run": given}) for given in (["true"], ["false", "true"], [])),
    ]
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys or positions."""
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _places(value[key])


def _bend(draw: Any, value: Any) -> None:
    """Change one thing somewhere inside a value."""
    places = list(_places(value))
    if not places:
        return
    holder, key = draw(st.sampled_from(places))
    old = holder[key]
    match draw(st.sampled_from(["replace", "remove", "add", "wrap", "text", "other"])):
        case "replace":
            holder[key] = draw(values)
        case "remove":
            del holder[key]
        case "add" if isinstance(holder, dict):
            name, new = draw(plausible | st.tuples(names, values))
            holder[name] = deepcopy(new)
        case "wrap":
            holder[key] = draw(st.sampled_from([[old], {"order_id": old}, json.dumps(old, default=str)]))
        case "text" if isinstance(old, str):
            at = draw(st.integers(0, len(old)))
            holder[key] = old[:at] + draw(texts) + old[at + draw(st.integers(0, 3)) :]
        case _:
            _, donor_key = holder, key
            donors = [
                donor[name] for sample in SAMPLES.values() for donor, name in _places(sample) if name == donor_key
            ]
            holder[key] = deepcopy(draw(st.sampled_from(donors))) if donors else draw(values)


@st.composite
def bent_samples(draw: Any) -> Any:
    """A sample event, with its body or bodies bent as JSON, and then the whole."""
    event = deepcopy(draw(st.sampled_from(list(SAMPLES.values()))))
    for holder, key in list(_places(event)):
        if key == "body" and isinstance(holder[key], str):
            holder[key] = draw(_bent_bodies(holder[key]))
            if "isBase64Encoded" in holder and draw(st.booleans()):
                holder["isBase64Encoded"] = True
                holder[key] = b64encode(holder[key].encode("utf-8", "surrogatepass")).decode()
    _add(draw, event)
    for _ in range(draw(st.integers(0, 3))):
        _bend(draw, event)
    return event


def _add(draw: Any, holder: dict[str, Any]) -> None:
    if draw(st.booleans()):
        name, new = draw(plausible)
        holder[name] = deepcopy(new)


@st.composite
def _bent_bodies(draw: Any, text: str) -> str:
    body = json.loads(text)
    _add(draw, body)
    for _ in range(draw(st.integers(0, 2))):
        _bend(draw, body)
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    match draw(st.sampled_from(["as it is", "as it is", "twice", "cut", "insert"])):
        case "twice" if text.startswith("{") and len(text) > 2:
            return text[:-1] + ", " + text[1:]
        case "cut":
            return text[: draw(st.integers(0, len(text)))]
        case "insert":
            at = draw(st.integers(0, len(text)))
            return (
                text[:at]
                + draw(texts | st.sampled_from(["NaN", "[" * 100_000, "9" * 5000, "\\ud800", "/**/"]))
                + text[at:]
            )
        case _:
            return text


# The plainest reading of an event


def _wishes(event: Any) -> list[dict[str, Any]]:
    """What an event may be read to ask for: fields of a send, each with ``order_id``; none if it is a dry run."""
    found = [event, _get(event, "detail")]
    # Nobody but the sweep writes into the queue; there, the last of two names counts.
    found += [_json(_get(record, "body"), once=False) for record in _records(event)]
    wishes = [wish for wish in found if isinstance(wish, dict) and "order_id" in wish and "action" not in wish]
    return [*(wish for wish in wishes if wish.get("dry_run", False) is False), *_wishes_by_http(event)]


def _wishes_by_http(event: Any) -> Iterator[dict[str, Any]]:
    flags = dict(_get(event, "queryStringParameters") if isinstance(_get(event, "queryStringParameters"), dict) else {})
    several = _get(event, "multiValueQueryStringParameters")
    for name, values_ in several.items() if isinstance(several, dict) else ():
        if isinstance(values_, list):
            flags[name] = values_[0] if len(values_) == 1 else values_
    if flags.keys() - {"dry_run", "force"} or any(flag not in ("true", "false") for flag in flags.values()):
        return
    method = _get(event, "httpMethod") or _get(_get(_get(event, "requestContext"), "http"), "method")
    if flags.get("dry_run") == "true" or method != "PUT":
        return
    body = _get(event, "body")
    for path in (_get(event, "rawPath"), _get(event, "path")):
        if not isinstance(path, str) or not path.endswith("/resend-emails") or "/certificate/" not in path:
            continue
        for text in (body, _unpacked(body)):
            fields = {} if text in (None, "") else _json(text)
            if isinstance(fields, dict) and fields.keys() <= {RECIPIENTS, "locale"}:
                yield fields | {"order_id": path.split("/")[-2]}


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _records(event: Any) -> list[Any]:
    records = _get(event, "Records")
    return records if isinstance(records, list) else []


def _json(text: Any, *, once: bool = True) -> Any:
    """Read JSON in which, for `once`, no name may stand twice in an object."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if once and len(dict(found)) < len(found):
            raise ValueError
        return dict(found)

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except (ValueError, TypeError, RecursionError):
        return None


def _unpacked(text: Any) -> Any:
    try:
        return b64decode(text).decode()
    except (ValueError, TypeError):
        return None


def _grants(wish: dict[str, Any], order_id: int, body: dict[str, Any]) -> bool:
    """Whether a wish asks for just this: the order, nobody but whom it names, and its locale."""
    extra = wish.keys() - {"order_id", RECIPIENTS, "locale", "dry_run", "force", "requested_by", "anchor", "day"}
    named = wish.get(RECIPIENTS, [])
    asked = {str(_get(one, "email")).casefold() for one in named} if isinstance(named, list) else set()
    mailed = {entry["email"].casefold() for entry in body.get(RECIPIENTS, [])}
    return (
        not extra
        and str(wish["order_id"]) == str(order_id)
        and (RECIPIENTS in wish) == (RECIPIENTS in body)
        and all(address in asked or not _plain(asked) for address in mailed)
        and len(mailed) <= len(asked)
        and wish.get("locale") == body.get("locale")
    )


def _plain(addresses: set[str]) -> bool:
    """Whether they go out as they came in: names in Unicode do not."""
    return all(address.isascii() for address in addresses)


# What must hold


def _check(upstream: Upstream, event: Any) -> None:
    upstream.sent.clear()
    wishes, printed, shown = _wishes(event), io.StringIO(), ""
    with redirect_stdout(printed):
        try:
            answer = app.lambda_handler(event, lambda_context())
        except ResendError as error:
            shown = f"{error} {error.code}"
        else:
            json.dumps(answer)
            if "statusCode" in answer:
                shown = _shown_by_http(answer)
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    # Who asked is written down as it was said.
    log = json.dumps([{**line, "caller": "", "requested_by": ""} for line in lines])
    assert LOCAL_PART not in (shown + log).casefold()
    assert "internal error" not in log
    assert shown.isprintable()
    for order_id, body in upstream.sent:
        assert body.keys() <= {RECIPIENTS, "locale"}
        assert RECIPIENTS not in body or 1 <= len(body[RECIPIENTS]) <= 250
        json.dumps(body).encode("ascii")
        assert any(_grants(wish, order_id, body) for wish in wishes)
    # A record of the queue is one email at most, everything else one in all.
    assert len(upstream.sent) <= max(1, len(_records(event)))


def _shown_by_http(answer: dict[str, Any]) -> str:
    """Check that the gateway can take the answer; return what it shows, but for a plan, which is its caller's own."""
    assert answer.keys() == {"statusCode", "headers", "body"}
    assert answer["statusCode"] in {200, 204, 400, 404, 405, 409, 422, 503}
    assert all(isinstance(text, str) and text.isprintable() for pair in answer["headers"].items() for text in pair)
    assert (answer["body"] == "") == (answer["statusCode"] == 204)
    if answer["statusCode"] == 200:
        assert "upstream_body" in (plan := json.loads(answer["body"])) or "code" in plan
    if answer["statusCode"] < 400:
        return ""
    said = json.loads(answer["body"])["errors"]
    assert all(entry.keys() == {"code", "message"} for entry in said)
    return " ".join(f"{entry['code']} {entry['message']}" for entry in said)


fuzzed = settings(deadline=None, derandomize=True, max_examples=600)


@each_sample
def test_the_checks_let_every_sample_pass_and_see_what_is_sent(upstream: Upstream, sample: dict[str, Any]) -> None:
    _check(upstream, sample)

    quiet = sample.get("action") or sample.get("detail-type") == "Scheduled Event"
    refused = upstream.sent == [] and app._parts().config.check_recipients
    assert quiet or upstream.sent or refused


@fuzzed
@given(event=bent_samples())
def test_a_sample_that_is_bent_out_of_shape(upstream: Upstream, event: Any) -> None:
    _check(upstream, event)


@fuzzed
@given(event=values | st.dictionaries(names, values, max_size=6))
def test_anything_at_all(upstream: Upstream, event: Any) -> None:
    _check(upstream, event)


BODIES = {
    "deep": "[" * 10**6,
    "deep objects": '{"locale":' * 10**5,
    "huge": '{"order_id": ' + "9" * 10**5 + "}",
    "no number": '{"order_id": NaN, "locale": -Infinity}',
    "surrogates": '{"locale": "\\ud800\udfff"}',
    "null": "null",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@each_sample
def test_a_body_that_is_no_request(upstream: Upstream, sample: dict[str, Any], body: str) -> None:
    event = deepcopy(sample)
    bodies = [(holder, key) for holder, key in _places(event) if key == "body"]
    for holder, key in bodies:
        holder[key] = body
    _check(upstream, event)

    assert bodies == [] or upstream.sent == []


EXTREMES = {"deep": _deep(_deep(_deep(_deep(7)))), "huge": 10**100_000, "surrogate": "\udfff", "long": "x" * 10**6}


@pytest.mark.parametrize("extreme", EXTREMES.values(), ids=EXTREMES)
@each_sample
def test_an_extreme_value_in_every_place_of_every_sample(
    upstream: Upstream, sample: dict[str, Any], extreme: Any
) -> None:
    for position in range(len(list(_places(sample)))):
        event = deepcopy(sample)
        holder, key = list(_places(event))[position]
        holder[key] = extreme
        _check(upstream, event)
