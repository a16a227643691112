"""openapi.yaml against the code: route, fields, limits and every response. `make lint` validates the document."""

import ast
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from dev.local.template import load
from dv_resend import __version__, errors
from dv_resend.core.orders import Order
from dv_resend.core.plan import MAX_NAMES, DomainReport, NameReport, ResendPlan
from dv_resend.core.requests import MAX_RECIPIENTS, Recipient, ResendRequest, Skipped
from dv_resend.core.resend import ResendResult
from dv_resend.errors import InvalidRequest, OrderNotEligible, QueueUnavailable, RecipientNotAllowed, UpstreamError
from dv_resend.handlers import http
from dv_resend.handlers.events import source_of

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text())
((PATH, METHODS),) = DOCUMENT["paths"].items()
OPERATION: dict[str, Any] = METHODS["put"]
PARAMETERS: dict[str, dict[str, Any]] = {parameter["name"]: parameter for parameter in OPERATION["parameters"]}
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
RESPONSES: dict[int, dict[str, Any]] = {int(status): response for status, response in OPERATION["responses"].items()}
BODY_SCHEMA = OPERATION["requestBody"]["content"]["application/json"]["schema"]
ERRORS = [cls for cls in errors.ResendError.__subclasses__() if cls is not QueueUnavailable]  # only sweeps raise it


def closed(schema: Any) -> Any:
    """The schema with unknown fields forbidden. (Clients should allow them, because new fields may be added.)"""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    extra = {"additionalProperties": False} if schema.get("type") == "object" and "properties" in schema else {}
    return extra | {name: closed(value) for name, value in schema.items()}


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    components = {"schemas": closed(SCHEMAS)}
    return Draft202012Validator({**deepcopy(schema), "components": components}, validate_formats=True)


def content(status: int) -> dict[str, Any] | None:
    """The schema of a response's body; None if it has no body."""
    media_types = RESPONSES[status].get("content")
    if media_types is None:
        return None
    assert list(media_types) == ["application/json"]
    schema: dict[str, Any] = media_types["application/json"]["schema"]
    return schema


ORDER_ID = validator(PARAMETERS["order_id"]["schema"])
REQUEST_BODY = validator(BODY_SCHEMA)
BODIES = {status: validator(schema) for status in RESPONSES if (schema := content(status)) is not None}


def event(body: str | None = None, *, order_id: str = "123456789", **query: str) -> dict[str, Any]:
    return {
        "rawPath": PATH.format(order_id=order_id),
        "requestContext": {"http": {"method": "PUT"}},
        "queryStringParameters": query or None,
        "body": body,
    }


def refusal(event: dict[str, Any]) -> str | None:
    """The message with which the code refuses a request; None if it accepts it."""
    try:
        http.parse_http(event)
    except InvalidRequest as error:
        return error.message
    return None


# ---------------------------------------------------------------- the document


def test_openapi_version_matches_the_package() -> None:
    assert DOCUMENT["info"]["version"] == __version__


def test_openapi_examples_are_valid() -> None:
    examples = OPERATION["requestBody"]["content"]["application/json"]["examples"]
    requests = [example["value"] for example in examples.values()]
    answers = {
        status: response["content"]["application/json"]["example"]
        for status, response in RESPONSES.items()
        if "example" in response.get("content", {}).get("application/json", {})
    }

    assert {} in requests
    for example in requests:
        REQUEST_BODY.validate(example)
        assert refusal(event(json.dumps(example), order_id=PARAMETERS["order_id"]["example"])) is None
    assert answers.keys() == {400, 401, 403, 409}
    for status, example in answers.items():
        BODIES[status].validate(example)


# ---------------------------------------------------------------- requests


def test_openapi_route_matches_code_and_template() -> None:
    route = load(ROOT / "template.yaml")["Resources"]["ResendRoute"]["Properties"]["RouteKey"]
    request = event()

    assert route == f"PUT {PATH}"
    assert list(METHODS) == ["put"]
    assert source_of(request) == "http"
    assert http.not_routed(request) is None


def test_openapi_parameters_and_fields_match_the_code() -> None:
    """The error about an unknown field lists the allowed ones."""

    def allowed(event: dict[str, Any]) -> set[str]:
        match = re.search(r"allowed fields are (.*)\.$", refusal(event) or "")
        assert match
        return set(match[1].split(", "))

    assert {name for name, parameter in PARAMETERS.items() if parameter["in"] == "query"} == allowed(event(typo="1"))
    assert SCHEMAS["ResendRequest"]["properties"].keys() == allowed(event('{"typo": 1}'))
    recipients = '{"domain_approval_emails": [{"domain": "example.com", "email": "admin@example.com", "typo": 1}]}'
    assert SCHEMAS["Recipient"]["properties"].keys() == allowed(event(recipients))


@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_openapi_flags_match_the_code(name: str) -> None:
    assert PARAMETERS[name]["schema"] == {"type": "boolean", "default": False}
    assert "required" not in PARAMETERS[name]
    assert not getattr(http.parse_http(event()).request, name)
    for value in (True, False):
        assert getattr(http.parse_http(event(**{name: str(value).lower()})).request, name) is value
    for text in ("", "1", "True", "yes", "null"):
        assert refusal(event(**{name: text})) is not None


@given(
    st.one_of(
        st.from_regex(r"[0-9]{0,17}", fullmatch=True), st.text(st.characters(codec="utf-8", exclude_characters="/"))
    )
)
@settings(max_examples=300, deadline=None)
def test_openapi_order_id_schema_matches_the_code(order_id: str) -> None:
    assume(order_id)  # an empty one makes another path

    assert ORDER_ID.is_valid(order_id) == (refusal(event(order_id=order_id)) is None)


@pytest.mark.parametrize(
    ("body", "is_valid"),
    [
        ({"domain_approval_emails": []}, False),
        ({"domain_approval_emails": [{"domain": "example.com", "email": "admin@example.com"}] * MAX_RECIPIENTS}, True),
        (
            {"domain_approval_emails": [{"domain": "example.com", "email": "a@example.com"}] * (MAX_RECIPIENTS + 1)},
            False,
        ),
        *(({"locale": "pt_BR"}, True), ({"locale": "zh-cn"}, True), ({"locale": "eng"}, False)),
        *(({"locale": "pt_BRA"}, False), ({"locale": "pt_BR\n"}, False), ({"locale": None}, False), ([], False)),
        *((None, True), ("null", False)),
    ],
)
def test_openapi_body_limits_match_the_code(body: Any, is_valid: bool) -> None:
    assert REQUEST_BODY.is_valid(body) is is_valid
    assert (refusal(event(json.dumps(body))) is None) is is_valid


def name(length: int) -> str:
    text = (("a" * 62 + ".") * 5)[-(length - 3) :] + "com"
    return "a" + text[1:] if text.startswith(".") else text


ALLOWED = [
    *(("domain", text) for text in (name(253), name(253) + ".", "*." + name(251) + ".", "a" * 63 + ".com")),
    *(("email", text) for text in ("a" * 64 + "@example.com", "a" * 64 + "@" + name(189), "admin@example.com.")),
]
REFUSED = [
    *(("domain", text) for text in (name(254), "*." + name(252), "a" * 64 + ".com", "example.com..", "192.0.2.1.")),
    *(("domain", text) for text in ("*.com", "*.*.example.com", "192.0.2.1")),
    *(("email", text) for text in ("a" * 65 + "@example.com", "a" * 64 + "@" + name(190))),
    *(("email", text) for text in ("a@*.example.com", "a..b@example.com", "a@b@example.com")),
    ("email_domain", "*.example.com"),
]


@pytest.mark.parametrize(
    ("field", "value", "is_valid"), [*((*pair, True) for pair in ALLOWED), *((*pair, False) for pair in REFUSED)]
)
def test_openapi_recipient_limits_match_the_code(field: str, value: str, is_valid: bool) -> None:
    recipient = {"domain": "example.com", "email": "admin@example.com"} | {field: value}
    body = {"domain_approval_emails": [recipient]}

    assert REQUEST_BODY.is_valid(body) is is_valid
    assert (refusal(event(json.dumps(body))) is None) is is_valid


TEXTS = st.text(st.sampled_from("ab0-_.@*\n :ü例。") | st.characters(codec="utf-8"), max_size=70)
LABELS = st.text("ab1-", min_size=1, max_size=3) | st.sampled_from(["example", "com", "bücher", "xn--bcher-kva", "1"])
NAMES = st.builds(
    str.__add__, st.lists(LABELS, min_size=1, max_size=4).map(".".join), st.sampled_from(["", "", ".", ".."])
)
DOMAINS = NAMES | NAMES.map("*.{}".format) | TEXTS
LOCALS = st.text("aB.+'!", min_size=1, max_size=4) | st.sampled_from(["admin", "a" * 64, "a" * 65])
EMAILS = st.builds("{}@{}".format, LOCALS, NAMES) | TEXTS
ANYTHING: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | TEXTS | st.just([]) | st.just({})
RECIPIENTS = st.fixed_dictionaries(
    {}, optional={"domain": DOMAINS, "email": EMAILS, "email_domain": NAMES | ANYTHING, "typo": ANYTHING}
)
LIKELY_RECIPIENTS = st.fixed_dictionaries({"domain": NAMES, "email": st.builds("{}@{}".format, LOCALS, NAMES)})
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "domain_approval_emails": st.lists(LIKELY_RECIPIENTS | RECIPIENTS | ANYTHING, max_size=3) | ANYTHING,
        "locale": st.from_regex(r"[a-z]{1,3}([_-][A-Z]{1,3})?\n?", fullmatch=True) | ANYTHING,
    },
)


def is_beyond_the_schema(body: dict[str, Any]) -> bool:
    """Whether the code applies a rule that a schema cannot express: about two fields, or about Unicode."""
    recipients = body.get("domain_approval_emails", [])
    return any(
        "email_domain" in recipient or not (recipient["domain"] + recipient["email"]).isascii()
        for recipient in recipients
    )


@given(REQUESTS)
@settings(max_examples=500, deadline=None)
def test_openapi_request_schema_matches_the_code(body: dict[str, Any]) -> None:
    is_valid = REQUEST_BODY.is_valid(body)

    is_accepted = refusal(event(json.dumps(body))) is None

    assert is_accepted <= is_valid
    if is_valid and not is_beyond_the_schema(body):
        assert is_accepted


# ---------------------------------------------------------------- responses


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a source file, with the name of the called function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


CALLS = [call for file in (ROOT / "src/dv_resend").rglob("*.py") for call in calls(file)]
# Every reason why an order is not eligible, and every error that may have a Retry-After.
REASONS = sorted({ast.literal_eval(call.args[0]) for name, call in CALLS if name == "OrderNotEligible"})
WAITING = {name for name, call in CALLS if "retry_after" in [keyword.arg for keyword in call.keywords]}


def errors_without_a_class() -> set[tuple[int, str]]:
    """Status and code of every HTTP error that has no class in `errors`."""
    found = set()
    for name, call in calls(ROOT / "src/dv_resend/handlers/http.py"):
        if name == "_errors" and isinstance(call.args[0], ast.Constant):
            status, entries, *_ = call.args
            assert isinstance(entries, ast.List)
            (entry,) = entries.elts
            assert isinstance(entry, ast.Tuple)
            found.add((ast.literal_eval(status), ast.literal_eval(entry.elts[0])))
    return found


def instances(cls: type[errors.ResendError]) -> list[errors.ResendError]:
    """Errors of a class: with each of its codes, with and without CertCentral's errors."""
    if cls is InvalidRequest:
        fields = ["locale", "domain_approval_emails[249].email", "request", "a b"]
        return [InvalidRequest(field, "must be something else.") for field in fields]
    if cls is OrderNotEligible:
        return [OrderNotEligible(reason, "It would not help.") for reason in REASONS]
    if cls is RecipientNotAllowed:
        paths = [f"domain_approval_emails[17].{field}" for field in ("domain", "email", "email_domain")]
        return [RecipientNotAllowed([(path, "No."), (paths[0], "No.")]) for path in paths]
    said = (UpstreamError("invalid_thing", ""), UpstreamError("not_found|order", "No such order."))
    wait = 60 if cls.__name__ in WAITING else None
    # This one always has a Retry-After.
    always = wait if cls is errors.ResendInProgress else None
    return [cls("It failed.", retry_after=always), cls("It failed.", retry_after=wait, upstream_errors=said)]


RESEND = ResendRequest(123456789)
SKIPPED = Skipped(Recipient("example.com", "admin@example.com"), "already_mailed")


def produced() -> list[http.HttpResponse]:
    """Every kind of HTTP response except for dry runs, which are tested below."""
    not_routed = [
        http.not_routed(event() | {"rawPath": "/elsewhere"}),
        http.not_routed(event() | {"requestContext": {"http": {"method": "GET"}}}),
    ]
    return [
        http.http_answer(ResendResult(RESEND, "sent", 0, 3600)),
        http.http_answer(ResendResult(replace(RESEND, skipped=(SKIPPED,)), "sent", 0, 3600)),
        *(http.http_answer(ResendResult(RESEND, "duplicate", 0, 1)), http.http_error(ZeroDivisionError())),
        *(answer for answer in not_routed if answer is not None),
        *(http.http_error(error) for cls in ERRORS for error in instances(cls)),
    ]


PRODUCED = produced()


def differences(answer: http.HttpResponse) -> list[str]:
    """Differences between a response and openapi.yaml."""
    documented = RESPONSES[answer["statusCode"]]
    headers = dict(answer["headers"])
    found = []
    for name, header in documented.get("headers", {}).items():
        if name not in headers:
            found += [f"{name} is missing"] if header.get("required") else []
            continue
        value = headers.pop(name)
        schema = header["schema"]
        typed = int(value) if "$ref" in schema else value
        found += [error.message for error in validator(schema).iter_errors(typed)]
    if content(answer["statusCode"]) is None:
        return found + [f"{name} is not documented" for name in headers] + ["a body"] * bool(answer["body"])
    found += [] if headers.pop("Content-Type", None) == "application/json" else ["not JSON"]
    found += [f"{name} is not documented" for name in headers]
    return found + [error.message for error in BODIES[answer["statusCode"]].iter_errors(json.loads(answer["body"]))]


def test_http_responses_match_openapi() -> None:
    assert [(answer, said) for answer in PRODUCED if (said := differences(answer))] == []


def codes(schema: Any) -> set[str]:
    """The codes that a schema allows: literals unchanged, patterns with a leading slash."""
    if isinstance(schema, list):
        return set().union(*map(codes, schema))
    if not isinstance(schema, dict):
        return set()
    code = schema.get("properties", {}).get("code")
    if code is None:
        return set().union(*map(codes, schema.values()))
    options = code.get("anyOf", [code])
    literals = {literal for option in options for literal in option.get("enum", [option.get("const")]) if literal}
    return literals | {f"/{option['pattern']}" for option in options if "pattern" in option}


def test_openapi_error_codes_match_the_code() -> None:
    expected: dict[int, set[str]] = {}
    for status, code in errors_without_a_class():
        expected.setdefault(status, set()).add(code)
    for cls in ERRORS:
        names_a_field = cls in (InvalidRequest, RecipientNotAllowed)
        found = {f"{cls.base_code}|*"} if names_a_field else {error.code for error in instances(cls)}
        expected.setdefault(cls.http_status, set()).update(found)
    documented = {status: codes(content(status)) for status in RESPONSES if status >= 400}

    # Patterns are compared by their fixed part, before the field.
    fixed = {
        status: {re.sub(r"^/\^(\w+)\\\|.*", r"\1|*", code) for code in found}
        for status, found in documented.items()
        if status not in GATEWAY_ONLY
    }

    assert fixed == expected
    assert {code for status in GATEWAY_ONLY for code in documented[status]} == set()


def test_http_error_matches_the_schema_of_its_status_only() -> None:
    for answer in PRODUCED:
        if answer["statusCode"] >= 400:
            body = json.loads(answer["body"])
            first = {"errors": body["errors"][:1]}
            assert [status for status, schema in BODIES.items() if schema.is_valid(first)] == [answer["statusCode"]]


# Statuses of requests that API Gateway refuses before they reach the function.
GATEWAY_ONLY = {401, 403, 413}


def test_openapi_gateway_errors_are_documented_where_possible() -> None:
    own = {status for status, schema in BODIES.items() if schema.is_valid({"message": "Service Unavailable"})}

    assert own == GATEWAY_ONLY | {429, 500, 503}
    assert not GATEWAY_ONLY & {answer["statusCode"] for answer in PRODUCED}
    assert RESPONSES.keys() == GATEWAY_ONLY | {200} | {answer["statusCode"] for answer in PRODUCED}


# ---------------------------------------------------------------- dry runs


def plan(*names: NameReport, request: ResendRequest = RESEND, would_be: str = "sent", **fields: Any) -> ResendPlan:
    order = Order(123456789, "pending", "dv_ssl_certificate", "email", datetime(2026, 11, 20, tzinfo=UTC))
    return ResendPlan(request, order, names, 1795446245, would_be, **fields)


PLANS = [
    plan(NameReport("example.com", "pending", accepted=("a@example.com",), mailed="default", has_mx={"a.test": None})),
    plan(NameReport("example.com", "approved", validated=True), request=replace(RESEND, skipped=(SKIPPED,))),
    plan(*[NameReport("a.test", "pending")] * (MAX_NAMES + 1), would_be="duplicate", blocked_until=0, paused=True),
    plan(would_be="OrderNotEligible", refusal=OrderNotEligible("not_dv", "No."), advice=("No.",)),
    plan(would_be="RecipientNotAllowed", refusal=RecipientNotAllowed([("domain_approval_emails[0].email", "No.")])),
    plan(would_be="RecipientUnverified", refusal=errors.RecipientUnverified("No.")),
    plan(domains=(DomainReport(1234, "example.com", "sent", None, {"name_scope": "example.com", "locale": "en"}),)),
    plan(domains=(DomainReport(None, "example.com", "validated"), DomainReport(1, "a.test", "duplicate", 0))),
    plan(NameReport("www.a.test", "pending", domain="a.test"), domains=(DomainReport(1, "a.test", "sent"),)),
    plan(domains=(DomainReport(1, "a.test", "not_named"),) * (MAX_NAMES + 1)),
]


def test_dry_run_responses_match_openapi() -> None:
    assert [(plan, said) for plan in PLANS if (said := differences(http.http_answer(plan)))] == []


def test_openapi_plan_has_no_fields_but_those_of_the_code() -> None:
    plans: list[dict[str, Any]] = [json.loads(http.http_answer(plan)["body"]) for plan in PLANS]
    documented = SCHEMAS["Plan"]["properties"]

    assert set().union(*plans) == documented.keys()
    assert set().union(*(plan["order"] for plan in plans)) == documented["order"]["properties"].keys()
    names = [name for plan in plans for name in plan["names"]]
    assert set().union(*names) == SCHEMAS["NameReport"]["properties"].keys()
    domains = [domain for plan in plans for domain in plan.get("domains", [])]
    assert set().union(*domains) == SCHEMAS["DomainReport"]["properties"].keys()


def test_dry_run_outcomes_match_openapi() -> None:
    """The outcomes of a resend, and the classes of the errors that a dry run predicts."""
    source = (ROOT / "src/dv_resend/core/dry_run.py").read_text()
    strings = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    # The code names these by their classes.
    refusals = {"InvalidRequest", "OrderNotEligible", "RecipientNotAllowed", "RecipientUnverified", "SendingPaused"}
    outcomes = {"sent", "duplicate"} | {cls.__name__ for cls in ERRORS}

    assert set(SCHEMAS["Plan"]["properties"]["would_be"]["enum"]) == (outcomes & strings) | refusals
