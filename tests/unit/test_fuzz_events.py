"""Events of each source, changed at random: the handler sends only what an event asks for, and shows no address.

The samples are changed in a few places, because the code branches on names and types, and the samples hold these. A
coverage-guided fuzzer would add little: only the standard library parses bytes.
"""

import datetime as dt
import io
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
from conftest import lambda_context
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend import app
from dv_resend.core.orders import ListedOrder, NameStatus
from dv_resend.errors import InvalidRequest, ResendError
from dv_resend.handlers.events import source_of
from unit.fakes import FakeCertCentral, FakeContacts, FakeQueue, FakeSendRecords
from unit.samples import SAMPLES as ORIGINALS
from unit.samples import SOURCES

LOCAL_PART = "jane.q.public"
PERSONAL = f"{LOCAL_PART}@example.com"
RECIPIENTS = "domain_approval_emails"
# The samples, with an address that must not be shown.
SAMPLES = {
    name: json.loads(json.dumps(event).replace("someone@example.com", PERSONAL)) for name, event in ORIGINALS.items()
}


# The function under test


class Function:
    """The function with fakes of all ports, in which every order is waiting for its emails."""

    def __init__(self) -> None:
        waiting_since = dt.datetime.now(dt.UTC) - dt.timedelta(days=3.2)
        self.certcentral = FakeCertCentral(rows=[ListedOrder(7, "pending", "dv_ssl_certificate", waiting_since)])
        self.certcentral.order = replace(self.certcentral.order, waiting_since=waiting_since)
        self.certcentral.domains = (
            NameStatus("example.com", "pending", ("example.com",)),
            NameStatus("example2.com", "pending", ("sub.example2.com",)),
        )
        self.parts = app._Parts()
        self.records = FakeSendRecords()
        vars(self.parts).update(certcentral=self.certcentral, records=self.records, queue=FakeQueue())

    def start_anew(self) -> None:
        self.certcentral.journal.clear()
        self.records.records.clear()

    @property
    def sent(self) -> list[tuple[int, dict[str, Any]]]:
        return [(order_id, body) for order_id, body, _ in self.certcentral.journal.calls("resend_emails")]


@pytest.fixture(scope="module", params=["enforce", "off"])
def function(request: pytest.FixtureRequest) -> Iterator[Function]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_KEY_SECRET_ID", "a-secret")
        patch.setenv("SEND_RECORDS_TABLE", "a-table")
        patch.setenv("RECIPIENT_CHECK", request.param)
        patch.setenv("SWEEP_QUEUE_URL", "https://sqs.test/queue")
        function = Function()
        # Contacts in DNS are public: if the personal address were published, it might be shown.
        patch.setattr(app, "DnsContacts", lambda _servers: FakeContacts())
        # The suite clears this cache for every test.
        patch.setattr(app, "_parts", lru_cache(lambda: function.parts))
        yield function


# Changed events


def _nested(value: Any, depth: int = 200) -> Any:
    for _ in range(depth):
        value = [value]
    return value


texts = st.text(max_size=12) | st.sampled_from(
    [
        *("", "0", "1", "true", "null", "{}", "[]", '{"order_id": 7}', "9", "９", "2026-11-20", "en", "en_US"),
        *("PUT", "put", "status", "pending", "sweep", "Resend DV Emails", "Scheduled Event", "aws:sqs"),
        *("example.com", "*.example.com", "bücher.example", "admin@example.com"),
        *("example.com.", "EXAMPLE.com", "Admin@Example.com.", f"{PERSONAL}."),
        *(PERSONAL, f"<{PERSONAL}>", f"x {PERSONAL}, y"),
        *("\ud800", "\x00", "\u202e", "\r\nX: 1", "%2e%2e", "x" * 10**5),
        *("/services/v2/order/certificate/7/resend-emails", "/a/b/services/v2/order/certificate/7/resend-emails/"),
    ]
)
names = texts | st.sampled_from(
    [
        *("order_id", RECIPIENTS, "domain", "email", "email_domain", "locale", "dry_run", "force", "requested_by"),
        *("action", "offset", "detail", "detail-type", "id", "replay-name", "waiting_since", "day"),
        *("Records", "body", "eventSource", "messageId", "receiptHandle", "attributes", "ApproximateReceiveCount"),
        *("requestContext", "http", "method", "httpMethod", "rawPath", "path", "isBase64Encoded"),
        *("queryStringParameters", "multiValueQueryStringParameters"),
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([7, -1, 10**14, 10**15, 10**4000, 1e308])
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
) | scalars.map(_nested)
# Fields that a caller may well add, in the right object or in a wrong one.
plausible_fields = st.sampled_from(
    [
        *(("order_id", 8), ("order_id", "8"), ("force", True), ("dry_run", True), ("dry_run", "true")),
        *((RECIPIENTS, []), (RECIPIENTS, None), ("locale", "de"), ("locale", None), ("requested_by", "me")),
        *(("email", PERSONAL), ("cc", PERSONAL), ("httpMethod", "GET"), ("httpMethod", "put")),
        *(("replay-name", name) for name in ("replay-of-november", None)),
        *(("queryStringParameters", {"dry_run": text}) for text in ("true", "True", "1", "", "false")),
        *(("queryStringParameters", {name: "true"}) for name in ("force", "dryrun", "DRY_RUN")),
        *(("multiValueQueryStringParameters", {"dry_run": given}) for given in (["true"], ["false", "true"], [])),
    ]
)
odd_json = st.sampled_from(["NaN", "[" * 100_000, "9" * 5000, "\\ud800", "/**/"])


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container inside a value, with each of its keys or indexes."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _items(value[key])


def _change(draw: Any, value: Any) -> None:
    """Change one item somewhere inside a value."""
    items = list(_items(value))
    if not items:
        return
    container, key = draw(st.sampled_from(items))
    old = container[key]
    match draw(st.sampled_from(["replace", "remove", "add", "wrap", "edit", "swap"])):
        case "remove":
            del container[key]
        case "add" if isinstance(container, dict):
            name, new = draw(plausible_fields | st.tuples(names, values))
            container[name] = deepcopy(new)
        case "wrap":
            container[key] = draw(st.sampled_from([[old], {"order_id": old}, json.dumps(old, default=str)]))
        case "edit" if isinstance(old, str):
            at = draw(st.integers(0, len(old)))
            container[key] = old[:at] + draw(texts) + old[at + draw(st.integers(0, 3)) :]
        case "swap":
            same = [other[name] for sample in SAMPLES.values() for other, name in _items(sample) if name == key]
            container[key] = deepcopy(draw(st.sampled_from(same))) if same else draw(values)
        case _:
            container[key] = draw(values)


def _add(draw: Any, fields: dict[str, Any]) -> None:
    """Perhaps add a field, at the top."""
    if draw(st.booleans()):
        name, value = draw(plausible_fields)
        fields[name] = deepcopy(value)


def _changed_body(draw: Any, text: str) -> str:
    if draw(st.sampled_from([True, False, False])):
        return text
    body = json.loads(text)
    _add(draw, body)
    for _ in range(draw(st.integers(0, 2))):
        _change(draw, body)
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    match draw(st.sampled_from(["keep", "keep", "keep", "mark", "replace", "repeat fields", "cut", "insert"])):
        case "mark":
            return "\ufeff" + text
        case "replace":
            return draw(st.sampled_from(["null", "[]", "true", " "]) | texts)
        case "repeat fields" if text.startswith("{") and len(text) > 2:
            return text[:-1] + ", " + text[1:]
        case "cut":
            return text[: draw(st.integers(0, len(text)))]
        case "insert":
            at = draw(st.integers(0, len(text)))
            return text[:at] + draw(texts | odd_json) + text[at:]
        case _:
            return text


@st.composite
def changed_events(draw: Any, source: str) -> Any:
    """A sample event of a source: first its JSON bodies are changed, then the whole."""
    event = deepcopy(draw(st.sampled_from([SAMPLES[name] for name in SOURCES if SOURCES[name] == source])))
    for container, key in list(_items(event)):
        if key == "body" and isinstance(container[key], str):
            container[key] = _changed_body(draw, container[key])
            if "isBase64Encoded" in container and draw(st.booleans()):
                container["isBase64Encoded"] = True
                container[key] = b64encode(container[key].encode("utf-8", "surrogatepass")).decode()
    _add(draw, event)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        _change(draw, event)
    return event


# What an event asks for, read in the plainest way


def _asked_for(event: Any) -> list[dict[str, Any]]:
    """Return what may be sent because of an event, as direct input."""
    try:
        source = source_of(event)
    except InvalidRequest:
        return []
    match source:
        case "direct":
            requests = [event]
        case "event":
            requests = [] if "replay-name" in event else [event.get("detail")]
        case "http":
            requests = [_http_request(event)]
        case "queue":
            reminders = [_json(record["body"]) for record in event["Records"]]
            requests = [{"order_id": reminder.get("order_id")} for reminder in map(_dict, reminders)]
        case "schedule":
            requests = []
    return [
        request
        for request in map(_dict, requests)
        if "action" not in request and request.get("dry_run", False) is False
    ]


def _http_request(event: dict[str, Any]) -> dict[str, Any]:
    flags = dict(_dict(event.get("queryStringParameters")))
    for name, several in _dict(event.get("multiValueQueryStringParameters")).items():
        if isinstance(several, list):
            flags[name] = several[0] if len(several) == 1 else several
    method = event.get("httpMethod", _dict(_dict(event.get("requestContext")).get("http")).get("method"))
    path = event.get("rawPath", event.get("path"))
    body = _http_body(event)
    if method != "PUT" or not isinstance(path, str) or not path.removesuffix("/").endswith("/resend-emails"):
        return {}
    if flags.keys() - {"dry_run", "force"} or not all(flag in ("true", "false") for flag in flags.values()):
        return {}
    if not isinstance(body, dict) or body.keys() - {RECIPIENTS, "locale"}:
        return {}
    return {**body, "order_id": path.removesuffix("/").split("/")[-2], "dry_run": flags.get("dry_run") == "true"}


def _http_body(event: dict[str, Any]) -> Any:
    text: Any = event.get("body")
    if text is None:
        return {}
    try:
        text = (b64decode(text).decode() if event.get("isBase64Encoded") else str(text)).removeprefix("\ufeff")
    except (ValueError, TypeError):
        return None
    return {} if text == "" or text.strip() == "null" else _json(text, unique=True)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(text: Any, *, unique: bool = False) -> Any:
    """Read JSON; if ``unique``, no field of an object may be repeated. Return ``None`` if it cannot be read."""

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if unique and len(dict(pairs)) < len(pairs):
            raise ValueError
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=fields)
    except (ValueError, TypeError, RecursionError):
        return None


def _allows(request: dict[str, Any], order_id: int, body: dict[str, Any]) -> bool:
    """Whether a request asks for exactly this: the order, nobody but the recipients it names, and its locale."""
    named = request.get(RECIPIENTS, [])
    named = named if isinstance(named, list) else []
    asked = {str(_dict(recipient).get("email")).casefold().removesuffix(".") for recipient in named}
    mailed = {recipient["email"].casefold() for recipient in body.get(RECIPIENTS, [])}
    # Domains in Unicode are sent as A-labels.
    comparable = all(address.isascii() for address in asked)
    return (
        request.keys() <= {"order_id", RECIPIENTS, "locale", "dry_run", "force", "requested_by"}
        and str(request.get("order_id")).lstrip("0") == str(order_id)
        and (RECIPIENTS in request) == (RECIPIENTS in body)
        and (mailed <= asked or not comparable)
        and len(mailed) <= len(asked)
        and request.get("locale") == body.get("locale")
    )


# The property


def _shown(answer: dict[str, Any]) -> str:
    """Check that the source accepts the answer; return the texts of its errors."""
    json.dumps(answer)
    if "statusCode" not in answer:
        return ""
    assert answer.keys() == {"statusCode", "headers", "body"}
    assert answer["statusCode"] in {200, 204, 400, 404, 405, 409, 422, 503}
    assert all(isinstance(text, str) and text.isprintable() for pair in answer["headers"].items() for text in pair)
    assert (answer["body"] == "") == (answer["statusCode"] == 204)
    entries = json.loads(answer["body"])["errors"] if answer["statusCode"] >= 400 else []
    return " ".join(f"{entry['code']} {entry['message']}" for entry in entries)


@pytest.mark.parametrize("source", ["http", "direct", "event", "schedule", "queue"])
@settings(deadline=None, derandomize=True, max_examples=300)
@given(data=st.data())
def test_changed_event_sends_only_what_it_asks_for(function: Function, source: str, data: st.DataObject) -> None:
    event = data.draw(changed_events(source))
    asked_for, printed = _asked_for(event), io.StringIO()
    function.start_anew()

    with redirect_stdout(printed):
        try:
            shown = _shown(app.lambda_handler(event, lambda_context()))
        except ResendError as error:
            shown = f"{error} {error.code}"

    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    # The caller and requested_by are logged as they are given.
    log = json.dumps([{**line, "caller": "", "requested_by": ""} for line in lines])
    assert LOCAL_PART not in (shown + log).casefold()
    assert "internal error" not in log
    assert shown.isprintable()
    assert len(function.sent) <= len(asked_for)
    for order_id, body in function.sent:
        assert body.keys() <= {RECIPIENTS, "locale"}
        assert RECIPIENTS not in body or 1 <= len(body[RECIPIENTS]) <= 250
        json.dumps(body).encode("ascii")
        assert any(_allows(request, order_id, body) for request in asked_for)
