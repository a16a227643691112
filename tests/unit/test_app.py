"""The handler: every error of the design through every door, against the emulator and an AWS in this process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from conftest import CANARY, SECRET_ID, SERVICE, TABLE, Output, create_claims_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from responses import RequestsMock

from dev.emulator import CertCentralEmulator
from dev.emulator.orders import SEED_IDS
from dv_resend import app, errors
from dv_resend.adapters import certcentral_http
from dv_resend.core.requests import ResendRequest
from dv_resend.handlers import events

ORDER = 100000001
PATH = "/services/v2/order/certificate/{}/resend-emails"
DOCUMENTED_BODY = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
    ],
    "locale": "en",
}


def http_v2(order_id: Any, body: Any = None, query: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": PATH.format(order_id),
        "headers": {"x-dc-devkey": CANARY},
        "queryStringParameters": query,
        "requestContext": {"http": {"method": "PUT"}, "stage": "$default"},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def http_v1(order_id: Any, body: Any = None, query: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "httpMethod": "PUT",
        "path": PATH.format(order_id),
        "headers": {"X-DC-DEVKEY": CANARY},
        "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()} or None,
        "queryStringParameters": query,
        "requestContext": {"identity": {"userArn": "arn:aws:iam::123456789012:user/jane"}, "stage": "prod"},
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def direct(order_id: Any, body: Any = None, query: dict[str, str] | None = None) -> dict[str, Any]:
    flags = {name: value == "true" for name, value in (query or {}).items()}
    return {"order_id": order_id, **(body or {}), **flags}


def event(order_id: Any, body: Any = None, query: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": "Resend DV Emails",
        "source": "pki.portal",
        "detail": direct(order_id, body, query),
    }


HTTP_DOORS = {"http-2.0": http_v2, "http-1.0": http_v1}
RAISING_DOORS = {"direct": direct, "event": event}
DOORS: dict[str, Callable[..., dict[str, Any]]] = HTTP_DOORS | RAISING_DOORS
each_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


@pytest.fixture(scope="module")
def _one_aws() -> Iterator[None]:
    """One AWS for the whole file: a new one per test would take most of the time."""
    with mock_aws():
        create_claims_table(boto3.client("dynamodb"))
        boto3.client("secretsmanager").create_secret(Name=SECRET_ID, SecretString=CANARY)
        yield


@pytest.fixture
def aws(_one_aws: None, settings: Callable[..., None]) -> Iterator[None]:  # noqa: ARG001
    """Stand in for AWS as the suite's own fixture does, with an empty table and the canary key in the secret."""
    table = boto3.client("dynamodb")
    for item in table.scan(TableName=TABLE)["Items"]:
        table.delete_item(TableName=TABLE, Key={"id": item["id"]})
    store_key(CANARY)
    yield
    assert CANARY not in str(table.scan(TableName=TABLE))


@pytest.fixture(scope="module")
def _one_emulator() -> Iterator[CertCentralEmulator]:
    with CertCentralEmulator(valid_key=CANARY) as emulator:
        yield emulator


@pytest.fixture
def emulator(
    aws: None,  # noqa: ARG001
    settings: Callable[..., None],
    _one_emulator: CertCentralEmulator,
) -> Iterator[CertCentralEmulator]:
    _one_emulator.reset()
    settings(
        CERTCENTRAL_BASE_URL=_one_emulator.base_url,
        CERTCENTRAL_TIMEOUT_SECONDS="1",
        DNS_SERVERS=_one_emulator.dns_server,
    )
    yield _one_emulator
    app._parts.cache_clear()


def store_key(key: str) -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=SECRET_ID, SecretString=key)


def puts(emulator: CertCentralEmulator) -> list[dict[str, Any]]:
    return [call for call in emulator.calls if call["method"] == "PUT"]


def named(*recipients: tuple[str, ...]) -> dict[str, Any]:
    """The body that names recipients, each a domain and an address, and perhaps an email_domain."""
    names = ("domain", "email", "email_domain")
    return {"domain_approval_emails": [dict(zip(names, recipient, strict=False)) for recipient in recipients]}


def claimed() -> list[str]:
    """The keys of all claims, and the ids of all records of reminders."""
    return [item["id"]["S"] for item in boto3.client("dynamodb").scan(TableName=TABLE)["Items"]]


def fail_aws(monkeypatch: pytest.MonkeyPatch, operation: str, error: Exception) -> None:
    """Make one AWS operation fail; all others go on."""
    original = botocore.client.BaseClient._make_api_call

    def call(self: Any, name: str, parameters: Any) -> Any:
        if name == operation:
            raise error
        return original(self, name, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)


def refusal(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"{code} for {CANARY}"}}, operation)


def away(operation: str) -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url=f"https://{operation.lower()}.test/")


# One request, many events


@each_door
def test_documented_request_goes_out_the_same_through_each_door(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(door(123456789, DOCUMENTED_BODY))

    (call,) = puts(emulator)
    assert call["body"] == json.dumps(DOCUMENTED_BODY, separators=(",", ":"))
    assert call["role"] == "valid"
    assert [mail["to"] for mail in emulator.outbox] == ["someone@example.com", "someone@example2.com"]


@each_door
def test_default_recipients_go_out_the_same_through_each_door(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(door(ORDER))

    assert [call["body"] for call in puts(emulator)] == ["{}"]


@each_door
def test_validation_and_order_are_looked_at_before_the_put_and_nothing_else(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(door(123456789, DOCUMENTED_BODY))

    assert [(call["method"], call["path"].partition("/certificate/")[2]) for call in emulator.calls] == [
        ("GET", "123456789/validation"),
        ("GET", "123456789"),
        ("PUT", "123456789/resend-emails"),
    ]


def test_http_answers_204_without_a_body(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    for door in HTTP_DOORS.values():
        answer = invoke(door(emulator.add_order()["id"]))

        assert answer == {"statusCode": 204, "headers": {"Resend-Outcome": "sent"}, "body": ""}


def test_raising_doors_answer_with_the_result(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    for door in RAISING_DOORS.values():
        order_id = emulator.add_order(names=["example.com"])["id"]
        recipients = [{"domain": "example.com", "email": "admin@example.com"}]

        answer = invoke(door(order_id, {"domain_approval_emails": recipients}))

        assert answer.pop("sent_at").endswith("Z")
        assert answer == {"order_id": order_id, "outcome": "sent", "recipients": ["admin@example.com"]}


@each_door
def test_repeat_is_a_duplicate(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    door: Callable[..., dict[str, Any]],
) -> None:
    first = invoke(direct(ORDER))
    output()

    repeat = invoke(door(ORDER))

    if door in RAISING_DOORS.values():
        assert repeat == first | {"outcome": "duplicate"}
    else:
        (error,) = json.loads(repeat["body"])["errors"]
        assert (repeat["statusCode"], error["code"]) == (409, "cool_down")
        assert first["sent_at"] in error["message"]
        assert 3500 < int(repeat["headers"]["Retry-After"]) <= 3601
    assert output().audit["outcome"] == "duplicate"
    assert len(puts(emulator)) == 1


@each_door
def test_dry_run_plans_and_sends_nothing(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    answer = invoke(door(123456789, DOCUMENTED_BODY, {"dry_run": "true"}))

    plan = json.loads(answer["body"]) if "statusCode" in answer else answer
    known = {
        "order_id": 123456789,
        "outcome": "planned",
        "recipients": ["someone@example.com", "someone@example2.com"],
        "upstream_body": DOCUMENTED_BODY,
        "would_be": "sent",
    }
    assert known == {name: plan[name] for name in known}
    assert plan.keys() == known.keys() | {"advice", "order", "names", "email_validation_ends"}
    assert {name["name"]: name["mailed"] for name in plan["names"]} == {
        "example.com": ["someone@example.com"],
        "sub.example2.com": ["someone@example2.com"],
    }
    assert (emulator.outbox, puts(emulator), claimed()) == ([], [], [])


@each_door
def test_dry_run_answers_why_it_would_be_refused_and_does_not_raise_it(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    door: Callable[..., dict[str, Any]],
) -> None:
    order_id = emulator.add_order(status="issued")["id"]

    answer = invoke(door(order_id, query={"dry_run": "true"}))

    plan = json.loads(answer["body"]) if "statusCode" in answer else answer
    assert answer.get("statusCode", 200) == 200
    assert (plan["outcome"], plan["would_be"], plan["code"]) == (
        "planned",
        "OrderNotEligible",
        "order_not_eligible|not_pending",
    )
    assert "upstream_body" not in plan
    printed = output()
    assert printed.audit["outcome"] == "planned"
    assert printed.metrics.keys() == {"UpstreamLatency"}


@each_door
def test_force_sends_again(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(direct(ORDER))

    invoke(door(ORDER, query={"force": "true"}))

    assert len(puts(emulator)) == 2


@each_door
def test_redelivery_of_a_forced_call_sends_nothing(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    invoke(direct(ORDER), request_id="first")
    for _ in range(3):
        invoke(door(ORDER, query={"force": "true"}), request_id="forced")

    assert len(puts(emulator)) == 2


def test_redelivered_event_is_known_by_its_own_id(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    for request_id in ("one", "two", "three"):
        invoke(event(ORDER, query={"force": "true"}), request_id=request_id)

    assert len(puts(emulator)) == 1


@each_door
def test_dry_run_while_sending_is_off_says_so(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    settings: Callable[..., None],
    door: Callable[..., dict[str, Any]],
) -> None:
    settings(SENDING="off")

    answer = invoke(door(ORDER, query={"dry_run": "true"}))

    plan = json.loads(answer["body"]) if "statusCode" in answer else answer
    assert (plan["outcome"], plan["would_be"], plan["paused"]) == ("planned", "SendingPaused", True)
    assert plan["upstream_body"] == {}
    assert puts(emulator) == []


@pytest.mark.parametrize("stray", [{"httpMethod": "PUT"}, {"requestContext": {"http": {}}}], ids=ascii)
def test_direct_call_with_a_stray_field_is_refused_and_never_a_silent_404(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], stray: dict[str, Any]
) -> None:
    with pytest.raises(errors.InvalidRequest):
        invoke(direct(ORDER) | stray)

    assert emulator.calls == []


def test_status_action(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    assert invoke({"action": "status", "order_id": ORDER}) == {
        "order_id": ORDER,
        "status": "pending",
        "dcv_method": "email",
        "domains": [{"name": "example.com", "status": "pending"}],
    }
    assert len(emulator.calls) == 1


# Who is not mailed


# Of the order `multi_san`, the first name is validated.
DONE, MAIL = ("shop.example", "admin@shop.example"), ("mail.example", "admin@mail.example")
SOME_DONE = named(DONE, MAIL)


@each_door
def test_who_is_named_for_a_validated_name_is_skipped(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    door: Callable[..., dict[str, Any]],
) -> None:
    order_id = SEED_IDS["multi_san"]

    answer = invoke(door(order_id, SOME_DONE))

    assert [json.loads(call["body"]) for call in puts(emulator)] == [named(MAIL)]
    assert [mail["to"] for mail in emulator.outbox] == [MAIL[1]]
    if door in RAISING_DOORS.values():
        assert (answer["outcome"], answer["recipients"]) == ("sent", [MAIL[1]])
    else:
        assert answer["statusCode"] == 204
    printed = output()
    announced, audited = (line for line in printed.lines if "message" in line)
    for line in (announced, audited):
        assert (line["recipients"], line["skipped"]) == ([MAIL[1]], [DONE[1]])
    claim = ResendRequest.from_input(direct(order_id, SOME_DONE)).claim_key
    assert (announced["message"], announced["claim"], audited["outcome"]) == ("sending", claim, "sent")
    assert claimed() == [claim]


@pytest.mark.parametrize("approved_meanwhile", [False, True])
def test_repeat_of_a_request_of_which_somebody_was_skipped_is_a_duplicate(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], approved_meanwhile: bool
) -> None:
    names = {"a.test": "approved", "b.test": "pending", "c.test": "pending"}
    order_id = emulator.add_order(names=names)["id"]
    request = direct(order_id, named(*((name, f"admin@{name}") for name in names)))
    first = invoke(request)
    if approved_meanwhile:
        emulator.update_order(order_id, names=names | {"b.test": "approved"})

    repeat = invoke(request)

    assert first["recipients"] == ["admin@b.test", "admin@c.test"]
    assert (repeat["outcome"], repeat["sent_at"]) == ("duplicate", first["sent_at"])
    assert repeat["recipients"] == (["admin@c.test"] if approved_meanwhile else first["recipients"])
    assert len(puts(emulator)) == 1


@pytest.mark.usefixtures("emulator")
def test_audit_line_of_a_duplicate_tells_who_is_skipped_too(
    invoke: Callable[..., Any], output: Callable[[], Output]
) -> None:
    for outcome in ("sent", "duplicate"):
        invoke(direct(SEED_IDS["multi_san"], SOME_DONE))

        line = output().audit
        assert (line["outcome"], line["recipients"], line.get("skipped")) == (outcome, [MAIL[1]], [DONE[1]])


def test_address_of_a_person_who_is_skipped_is_masked(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], output: Callable[[], Output]
) -> None:
    invoke(direct(SEED_IDS["multi_san"], named(("shop.example", "jane.doe@shop.example"), MAIL)))

    assert output().audit["skipped"] == ["j***@shop.example"]
    assert emulator.name_server.queries == []


def test_each_recipient_that_may_not_be_mailed_has_its_entry_over_http(
    emulator: CertCentralEmulator, invoke: Callable[..., Any]
) -> None:
    wrong = named(
        MAIL,
        ("mail.example", "jane.doe@example.net"),
        ("other.example", "admin@other.example"),
        ("api.shop.test", "admin@shop.test"),
    )

    for door in HTTP_DOORS.values():
        answer = invoke(door(SEED_IDS["multi_san"], wrong))

        assert (answer["statusCode"], answer["headers"]) == (422, {"Content-Type": "application/json"})
        entries = json.loads(answer["body"])["errors"]
        assert [entry["code"] for entry in entries] == [
            "recipient_not_allowed|domain_approval_emails[1].email",
            "recipient_not_allowed|domain_approval_emails[2].domain",
            "recipient_not_allowed|domain_approval_emails[3].email_domain",
        ]
        foreign, unknown, at_parent = (entry["message"] for entry in entries)
        assert "j***@example.net" in foreign
        assert "jane" not in answer["body"]
        assert "mail.example" in unknown
        assert '"email_domain": "shop.test"' in at_parent
    assert (puts(emulator), emulator.outbox, claimed()) == ([], [], [])


@pytest.mark.parametrize("door", RAISING_DOORS.values(), ids=RAISING_DOORS)
def test_recipients_that_may_not_be_mailed_are_raised_together(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    recipients = [("mail.example", f"jane.doe.{number}@example.net") for number in range(50)]

    with pytest.raises(errors.RecipientNotAllowed) as caught:
        invoke(door(SEED_IDS["multi_san"], named(MAIL, *recipients)))

    assert len(caught.value.entries) == 50
    text = str(caught.value)
    assert text.startswith("domain_approval_emails[1].email: j***@example.net ")
    assert re.search(r" And [0-9]+ more\.$", text)
    assert "jane" not in text
    assert len(text) < 32 * 1024
    assert (puts(emulator), claimed()) == ([], [])


@each_door
def test_without_an_answer_from_dns_nothing_is_sent_and_with_one_it_is(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    emulator.dns.fault("_validation-contactemail.example.com", "servfail")

    if door in RAISING_DOORS.values():
        with pytest.raises(errors.RecipientUnverified) as caught:
            invoke(door(123456789, DOCUMENTED_BODY))
        said = str(caught.value)
    else:
        answer = invoke(door(123456789, DOCUMENTED_BODY))
        assert answer["statusCode"] == 503
        (entry,) = json.loads(answer["body"])["errors"]
        assert entry["code"] == "recipient_unverified"
        said = entry["message"]
    assert "_validation-contactemail.example.com" in said
    assert (puts(emulator), claimed()) == ([], [])

    emulator.dns.clear_faults()
    invoke(door(123456789, DOCUMENTED_BODY))
    assert [mail["to"] for mail in emulator.outbox] == ["someone@example.com", "someone@example2.com"]


@pytest.mark.parametrize(
    ("owner", "kind", "value"),
    [
        ("_validation-contactemail.www.lookup.example", "TXT", '"pki@contact.test"'),
        ("_validation-contactemail.lookup.example", "TXT", '"PKI@contact.test"'),
        ("www.lookup.example", "CAA", '0 contactemail "pki@contact.test"'),
        ("lookup.example", "CAA", '0 contactemail "pki@Contact.test"'),
    ],
)
def test_contact_that_dns_publishes_is_mailed_and_one_that_it_does_not_is_refused(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], owner: str, kind: str, value: str
) -> None:
    emulator.set_switches(foreign_address="accept")
    order_id = emulator.add_order(names=["www.lookup.example"])["id"]
    request = direct(order_id, named(("www.lookup.example", "pki@contact.test")))
    with pytest.raises(errors.RecipientNotAllowed):
        invoke(request)

    emulator.dns.set(owner, kind, [value])

    assert invoke(request)["outcome"] == "sent"
    assert [mail["to"] for mail in emulator.outbox] == ["pki@contact.test"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        named(("example.com", "admin@example.com")),
        named(("example.com", "Postmaster@example.com", "example.com")),
    ],
    ids=["default", "constructed", "with email_domain"],
)
def test_constructed_and_default_recipients_are_mailed_while_dns_is_away(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], body: dict[str, Any]
) -> None:
    emulator.dns.fault("example.com", "silent")
    emulator.dns.fault("_validation-contactemail.example.com", "silent")

    assert invoke(direct(ORDER, body))["outcome"] == "sent"
    assert emulator.name_server.queries == []


def test_with_the_check_switched_off_anybody_is_mailed_and_validated_names_are_still_skipped(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], settings: Callable[..., None]
) -> None:
    settings(RECIPIENT_CHECK="off")
    emulator.set_switches(foreign_address="accept", unknown_domain="accept")
    foreign = [("mail.example", "jane@example.net"), ("elsewhere.example", "jane@example.net")]

    answer = invoke(direct(SEED_IDS["multi_san"], named(DONE, *foreign)))

    assert answer["recipients"] == ["jane@example.net"] * 2
    assert [json.loads(call["body"]) for call in puts(emulator)] == [named(*foreign)]
    assert emulator.name_server.queries == []
    with pytest.raises(errors.OrderNotEligible, match=r"\(order_not_eligible\|already_validated\)$"):
        invoke(direct(SEED_IDS["multi_san"], named(DONE)))


RIGHT, TYPO = ("b.test", "admin@b.test"), ("bb.test", "admin@bb.test")


# Of an order with a.test and b.test.
ROWS: dict[str, Any] = {
    "empty": [],
    "null": None,
    "an object": {"a.test": "pending"},
    "unreadable": [None, 7, {}, {"name_scope": None, "dns_names": [None]}, {"dns_names": "b.test"}],
    "unreadable and approved": [{"status": "approved"}, {"status": "approved", "dns_names": {}}],
    "partly": [{"name_scope": "a.test", "status": "approved", "dns_names": ["a.test"]}],
    "partly readable": [{"name_scope": "a.test", "status": "approved", "dns_names": ["a.test"]}, {}],
}


class Untold:
    """What CertCentral's validation may leave out, or may have had added, of an order with a.test and b.test."""

    def __init__(self, emulator: CertCentralEmulator) -> None:
        self._emulator = emulator
        self.order_id = emulator.add_order(names=["a.test", "b.test"])["id"]
        # What must not be sent: the emulator then mails everybody, as CertCentral may.
        emulator.set_switches(unknown_domain="ignore", foreign_address="ignore")

    def validation(self, rows: str) -> None:
        if rows in ("absent", "empty"):
            self._emulator.set_switches(validation_names=rows)
            return
        body = {"order_id": str(self.order_id), "order_status": "pending", "dns_name_validations": ROWS[rows]}
        self._emulator.inject(
            {"fault": "status", "status": 200, "body": body, "method": "GET", "path": "/validation$", "times": None}
        )

    def order_without_names(self) -> None:
        fields = {"status": "pending", "dcv_method": "email", "product": {"type": "dv_ssl_certificate"}}
        body = {"id": self.order_id, **fields, "certificate": {"common_name": "a.test"}}
        self._emulator.inject(
            {"fault": "status", "status": 200, "body": body, "method": "GET", "path": r"/\d+$", "times": None}
        )


@pytest.fixture
def untold(emulator: CertCentralEmulator) -> Untold:
    return Untold(emulator)


EVERY_GAP = pytest.mark.parametrize("rows", ["absent", *ROWS])


def test_a_domain_that_is_not_on_the_order_might_mail_everybody(
    untold: Untold, emulator: CertCentralEmulator, invoke: Callable[..., Any], settings: Callable[..., None]
) -> None:
    """What the tests below are about: so it is without the check."""
    settings(RECIPIENT_CHECK="off")

    invoke(direct(untold.order_id, named(TYPO)))

    assert len(emulator.outbox) > 1


@EVERY_GAP
@each_door
def test_a_typo_mails_nobody_whatever_the_validation_leaves_out(
    untold: Untold,
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    door: Callable[..., dict[str, Any]],
    rows: str,
) -> None:
    untold.validation(rows)
    request = door(untold.order_id, named(RIGHT, TYPO))

    if door in RAISING_DOORS.values():
        with pytest.raises(errors.RecipientNotAllowed) as caught:
            invoke(request)
        codes = [code for code, _ in caught.value.entries]
    else:
        answer = invoke(request)
        assert answer["statusCode"] == 422
        codes = [error["code"] for error in json.loads(answer["body"])["errors"]]
    assert codes == ["recipient_not_allowed|domain_approval_emails[1].domain"]
    assert (emulator.outbox, puts(emulator), claimed()) == ([], [], [])


@EVERY_GAP
def test_the_right_domain_is_mailed_about_whatever_the_validation_leaves_out(
    untold: Untold, emulator: CertCentralEmulator, invoke: Callable[..., Any], rows: str
) -> None:
    untold.validation(rows)

    assert invoke(direct(untold.order_id, named(RIGHT)))["outcome"] == "sent"
    assert [mail["to"] for mail in emulator.outbox] == [RIGHT[1]]


# If all rows are readable, they are taken for all.
@pytest.mark.parametrize("rows", sorted({"absent", *ROWS} - {"partly"}))
@each_door
def test_while_neither_answer_tells_all_names_nobody_who_is_named_is_mailed(
    untold: Untold,
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    door: Callable[..., dict[str, Any]],
    rows: str,
) -> None:
    untold.validation(rows)
    untold.order_without_names()

    for recipient in (TYPO, RIGHT):
        request = door(untold.order_id, named(recipient))
        if door in RAISING_DOORS.values():
            with pytest.raises(errors.RecipientUnverified, match="does not say which names order"):
                invoke(request)
        else:
            assert invoke(request)["statusCode"] == 503
    assert (emulator.outbox, puts(emulator), claimed()) == ([], [], [])
    planned = invoke(direct(untold.order_id, named(RIGHT), {"dry_run": "true"}))
    assert planned["would_be"] == "RecipientUnverified"
    # Who names nobody means everybody.
    assert invoke(direct(untold.order_id))["outcome"] == "sent"


def test_readable_rows_are_taken_for_all_if_the_order_tells_no_names(
    untold: Untold, emulator: CertCentralEmulator, invoke: Callable[..., Any]
) -> None:
    untold.validation("partly")
    untold.order_without_names()

    for body in ({}, named(("a.test", "admin@a.test"))):
        with pytest.raises(errors.OrderNotEligible):
            invoke(direct(untold.order_id, body))
    assert (emulator.outbox, puts(emulator), claimed()) == ([], [], [])


@EVERY_GAP
def test_what_the_validation_leaves_out_is_not_taken_for_validated(
    untold: Untold, emulator: CertCentralEmulator, invoke: Callable[..., Any], rows: str
) -> None:
    untold.validation(rows)

    assert invoke(direct(untold.order_id))["outcome"] == "sent"
    assert [call["body"] for call in puts(emulator)] == ["{}"]


def test_an_approval_that_is_over_is_mailed_about_again(
    emulator: CertCentralEmulator, invoke: Callable[..., Any]
) -> None:
    # The emulator's approvals last 199 days.
    for age, outcome in ((198, "OrderNotEligible"), (200, "sent")):
        order_id = emulator.add_order(names={"a.test": "approved"}, age_days=age)["id"]

        planned = invoke(direct(order_id, named(("a.test", "admin@a.test")), {"dry_run": "true"}))

        assert planned["would_be"] == outcome


@each_door
def test_names_in_one_scope_that_have_come_differently_far_are_told_apart(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]]
) -> None:
    order_id = emulator.add_order(names={"a.test": "approved", "www.a.test": "pending"}, name_scope="base_domain")["id"]

    invoke(door(order_id, named(("a.test", "admin@a.test"), ("www.a.test", "admin@www.a.test"))))

    assert [mail["to"] for mail in emulator.outbox] == ["admin@www.a.test"]


def test_a_name_and_its_wildcard_share_a_claim(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    order_id = emulator.add_order(names=["*.w.test"])["id"]
    outcomes = [invoke(direct(order_id, named((name, "admin@w.test"))))["outcome"] for name in ("*.w.test", "w.test")]

    assert outcomes == ["sent", "duplicate"]
    assert len(emulator.outbox) == 1


@each_door
@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_a_validation_of_another_order_is_not_believed(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]], dry_run: str
) -> None:
    body = {"order_id": str(ORDER + 1), "order_status": "pending", "dns_name_validations": []}
    emulator.inject({"fault": "status", "status": 200, "body": body, "method": "GET", "path": "/validation$"})
    request = door(ORDER, query={"dry_run": dry_run})

    if door in RAISING_DOORS.values():
        with pytest.raises(errors.OrderNotFound):
            invoke(request)
    else:
        assert invoke(request)["statusCode"] == 404
    assert (puts(emulator), claimed()) == ([], [])


def test_why_the_order_is_not_eligible_is_told_rather_than_what_is_wrong_with_recipients(
    emulator: CertCentralEmulator, invoke: Callable[..., Any]
) -> None:
    order_id = emulator.add_order(names={"a.test": "approved", "b.test": "pending"}, status="needs_approval")["id"]

    for recipient in (("b.test", "jane@example.net"), ("c.test", "admin@c.test"), ("a.test", "admin@a.test")):
        with pytest.raises(errors.OrderNotEligible) as caught:
            invoke(direct(order_id, named(recipient)))

        assert caught.value.reason == "needs_approval"


# Runs the handler on some events, in a process that has loaded nothing before.
COLD = """
import json, sys
import boto3
from conftest import CANARY, SECRET_ID, create_claims_table, lambda_context
from moto import mock_aws
from dv_resend.app import lambda_handler

with mock_aws():
    create_claims_table(boto3.client("dynamodb"))
    boto3.client("secretsmanager").create_secret(Name=SECRET_ID, SecretString=CANARY)
    outcomes = [lambda_handler(event, lambda_context())["outcome"] for event in json.loads(sys.argv[1])]
    print("ANSWER", json.dumps([outcomes, sorted({"dns", "publicsuffixlist"} & sys.modules.keys())]))
"""


@pytest.mark.parametrize(
    ("calls", "loaded"),
    [
        (
            [
                ("plain", {}),
                ("plain", named(("example.com", "admin@example.com"))),
                ("wildcard", named(("*.wild.example", "hostmaster@wild.example"))),
                # CertCentral validates this one at mail.example, and at shop.test: the scopes of the validation.
                ("multi_san", named(DONE, MAIL, ("api.shop.test", "admin@shop.test", "shop.test"))),
            ],
            [],
        ),
        ([("contact", named(("contact.example", "pki@mail.test")))], ["dns", "publicsuffixlist"]),
    ],
    ids=["constructed", "published"],
)
def test_only_an_address_that_is_not_constructed_pays_for_dns_and_the_list_of_public_suffixes(
    emulator: CertCentralEmulator, calls: list[tuple[str, dict[str, Any]]], loaded: list[str]
) -> None:
    events = [direct(SEED_IDS[name], body) for name, body in calls]
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{tests.parent / 'src'}:{tests}"}

    ran = subprocess.run(
        [sys.executable, "-c", COLD, json.dumps(events)], env=environment, capture_output=True, text=True, check=False
    )

    (answer,) = [line for line in ran.stdout.splitlines() if line.startswith("ANSWER ")] or [ran.stderr[-2000:]]
    assert json.loads(answer.removeprefix("ANSWER ")) == [["sent"] * len(calls), loaded]
    assert len(puts(emulator)) == len(calls)


# Every error through every door


@dataclass
class Stage:
    """What a case may change before the call: the emulator, AWS, the settings; and what it then asks for."""

    emulator: CertCentralEmulator
    monkeypatch: pytest.MonkeyPatch
    settings: Callable[..., None]
    order_id: int = ORDER
    body: dict[str, Any] = field(default_factory=dict)

    def order(self, **fields: Any) -> None:
        self.order_id = self.emulator.add_order(**fields)["id"]

    def answer(self, status: int, code: str, method: str | None = None) -> None:
        body = {"errors": [{"code": code, "message": "No."}]}
        self.emulator.inject({"fault": "status", "status": status, "body": body, "method": method})

    def aws_fails(self, operation: str, error: Exception) -> None:
        fail_aws(self.monkeypatch, operation, error)


STAGES: dict[str, Callable[[Stage], object]] = {
    "invalid": lambda stage: stage.body.update(domain_approval_emails=[]),
    "not_found": lambda stage: setattr(stage, "order_id", 999),
    "not_dv": lambda stage: stage.order(kind="ov"),
    "not_pending": lambda stage: stage.order(status="issued"),
    "needs_approval": lambda stage: stage.order(status="needs_approval"),
    "not_email": lambda stage: stage.order(dcv_method="dns-txt-token"),
    "validated": lambda stage: setattr(stage, "order_id", SEED_IDS["all_approved"]),
    "named_validated": lambda stage: (
        setattr(stage, "order_id", SEED_IDS["multi_san"]),
        stage.body.update(named(DONE)),
    ),
    "foreign": lambda stage: stage.body.update(named(("example.com", "jane.doe@example.net"))),
    "unverified": lambda stage: (
        stage.body.update(named(("example.com", "jane.doe@example.net"))),
        stage.emulator.dns.fault("_validation-contactemail.example.com", "refused"),
    ),
    "rejected": lambda stage: stage.answer(400, "invalid_email", "PUT"),
    "unknown": lambda stage: stage.emulator.inject({"fault": "reset", "method": "PUT", "mails": True}),
    "bad_key": lambda _stage: store_key("emulator-revoked-key"),
    "no_permission": lambda _stage: store_key("emulator-view-only-key"),
    "rate_limited": lambda stage: stage.answer(429, "request_limit_exceeded"),
    "upstream_away": lambda stage: stage.emulator.inject({"fault": "html", "status": 503}),
    "secret_away": lambda stage: stage.aws_fails("GetSecretValue", refusal("ThrottlingException", "GetSecretValue")),
    "claims_away": lambda stage: stage.aws_fails("PutItem", away("DynamoDB")),
    "paused": lambda stage: stage.settings(SENDING="off"),
    "no_secret": lambda stage: stage.settings(API_KEY_SECRET_ID="elsewhere"),
    "no_table": lambda stage: stage.settings(CLAIMS_TABLE="elsewhere"),
    "no_access": lambda stage: stage.aws_fails("PutItem", refusal("AccessDeniedException", "PutItem")),
    "bad_setting": lambda stage: stage.settings(COOL_DOWN_MINUTES="soon"),
    "wrong_base": lambda stage: stage.answer(404, "not_found|route"),
}
ERRORS = [
    ("invalid", errors.InvalidRequest, 400, "invalid_request|domain_approval_emails"),
    ("not_found", errors.OrderNotFound, 404, "not_found|order"),
    ("not_dv", errors.OrderNotEligible, 409, "order_not_eligible|not_dv"),
    ("not_pending", errors.OrderNotEligible, 409, "order_not_eligible|not_pending"),
    ("needs_approval", errors.OrderNotEligible, 409, "order_not_eligible|needs_approval"),
    ("not_email", errors.OrderNotEligible, 409, "order_not_eligible|not_email_dcv"),
    ("validated", errors.OrderNotEligible, 409, "order_not_eligible|already_validated"),
    ("named_validated", errors.OrderNotEligible, 409, "order_not_eligible|already_validated"),
    ("foreign", errors.RecipientNotAllowed, 422, "recipient_not_allowed|domain_approval_emails[0].email"),
    ("unverified", errors.RecipientUnverified, 503, "recipient_unverified"),
    ("rejected", errors.RequestRejected, 422, "request_rejected"),
    ("unknown", errors.OutcomeUnknown, 504, "outcome_unknown"),
    ("bad_key", errors.ApiKeyRejected, 502, "api_key_rejected"),
    ("no_permission", errors.PermissionDenied, 502, "permission_denied"),
    ("rate_limited", errors.RateLimited, 429, "request_limit_exceeded"),
    ("upstream_away", errors.CertCentralUnavailable, 503, "certcentral_unavailable"),
    ("secret_away", errors.SecretUnavailable, 503, "secret_unavailable"),
    ("claims_away", errors.ClaimsUnavailable, 503, "claims_unavailable"),
    ("paused", errors.SendingPaused, 503, "sending_paused"),
    ("no_secret", errors.ConfigurationError, 500, "configuration_error"),
    ("no_table", errors.ConfigurationError, 500, "configuration_error"),
    ("no_access", errors.ConfigurationError, 500, "configuration_error"),
    ("bad_setting", errors.ConfigurationError, 500, "configuration_error"),
    ("wrong_base", errors.ConfigurationError, 500, "configuration_error"),
]


@each_door
@pytest.mark.parametrize(("case", "error", "status", "code"), ERRORS, ids=[case for case, *_ in ERRORS])
def test_each_error_through_each_door(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., None],
    door: Callable[..., dict[str, Any]],
    case: str,
    error: type[errors.ResendError],
    status: int,
    code: str,
) -> None:
    stage = Stage(emulator, monkeypatch, settings)
    STAGES[case](stage)

    if door in RAISING_DOORS.values():
        with pytest.raises(error) as caught:
            invoke(door(stage.order_id, stage.body))
        assert (type(caught.value), caught.value.code) == (error, code)
    else:
        answer = invoke(door(stage.order_id, stage.body))
        said = json.loads(answer["body"])["errors"]
        assert (answer["statusCode"], said[0]["code"]) == (status, code)
        assert ("Retry-After" in answer["headers"]) == (case in ("unknown", "rate_limited"))
        assert [entry["code"] for entry in said[1:]] == {
            "rejected": ["invalid_email"],
            "bad_key": ["access_denied|access_denied_invalid_key"],
            "no_permission": ["access_denied|missing_permission"],
            "wrong_base": ["not_found|route"],
        }.get(case, [])

    assert len(emulator.outbox) == (5 if case == "unknown" else 0)
    assert len(puts(emulator)) == (1 if case in ("unknown", "rejected", "no_permission") else 0)
    printed = output()
    assert printed.audit["outcome"] == error.__name__
    assert printed.audit["code"] == code
    assert "jane.doe" not in str(printed.lines)
    by_service = {"service": SERVICE}
    assert [emission["dimensions"] for emission in printed.metrics["ResendFailed"]] == [
        by_service | {"reason": error.__name__},
        by_service,
    ]


@each_door
def test_pause_is_said_before_anything_is_asked(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    settings: Callable[..., None],
    door: Callable[..., dict[str, Any]],
) -> None:
    settings(SENDING="off")

    for query in ({}, {"force": "true"}):
        if door in RAISING_DOORS.values():
            with pytest.raises(errors.SendingPaused):
                invoke(door(ORDER, query=query))
        else:
            assert invoke(door(ORDER, query=query))["statusCode"] == 503

    assert emulator.calls == []


@pytest.mark.parametrize("fault", ["hang", "reset", "close"])
@each_door
def test_unknown_outcome_is_said_again(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], door: Callable[..., dict[str, Any]], fault: str
) -> None:
    emulator.inject({"fault": fault, "method": "PUT", "times": 1, "mails": True})

    for _ in range(3):
        if door in RAISING_DOORS.values():
            with pytest.raises(errors.OutcomeUnknown) as caught:
                invoke(door(ORDER))
            left = caught.value.retry_after
        else:
            answer = invoke(door(ORDER))
            assert answer["statusCode"] == 504
            left = int(answer["headers"]["Retry-After"])
        assert left is not None
        assert 3500 < left <= 3601

    assert len(puts(emulator)) == 1


def test_key_rotated_under_a_warm_function(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    emulator.set_key("the-old-key", "valid")
    store_key("the-old-key")
    invoke(direct(ORDER))
    emulator.set_key("the-old-key", "revoked")
    store_key(CANARY)

    invoke(direct(emulator.add_order()["id"]))

    assert [call["role"] for call in emulator.calls[3:]] == ["revoked", "valid", "valid", "valid"]


def test_bad_unchanged_key_costs_one_call(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    store_key("emulator-revoked-key")

    with pytest.raises(errors.ApiKeyRejected):
        invoke(direct(ORDER))

    assert len(emulator.calls) == 1


def test_refused_resend_can_be_tried_again(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    emulator.inject({"fault": "status", "status": 429, "method": "PUT", "times": 1})
    with pytest.raises(errors.RateLimited):
        invoke(direct(ORDER))

    assert invoke(direct(ORDER))["outcome"] == "sent"


def test_claims_failing_after_the_send_still_answers_sent(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_aws(monkeypatch, "UpdateItem", away("DynamoDB"))

    assert invoke(direct(ORDER))["outcome"] == "sent"
    assert len(emulator.outbox) == 5


def test_many_at_once_send_once(emulator: CertCentralEmulator, invoke: Callable[..., Any]) -> None:
    emulator.inject({"fault": "slow", "seconds": 0.3, "method": "PUT", "times": 1})
    invoke({"action": "status", "order_id": ORDER})

    def call(number: int) -> str:
        try:
            return str(invoke(direct(ORDER), request_id=str(number))["outcome"])
        except errors.ResendInProgress as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(call, range(8)))

    assert len(puts(emulator)) == 1
    assert outcomes.count("sent") == 1
    assert set(outcomes) <= {"sent", "duplicate", "ResendInProgress"}


# Bugs, and whatever may come


@pytest.mark.usefixtures("aws")
def test_bug_is_a_500_without_detail(
    invoke: Callable[..., Any], output: Callable[[], Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(app, "_run", fail)

    answer = invoke(http_v2(ORDER))

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"]) == {
        "errors": [{"code": "internal_error", "message": "An internal error occurred."}]
    }
    printed = output()
    assert printed.audit["outcome"] == "InternalError"
    with pytest.raises(ZeroDivisionError):
        invoke(direct(ORDER))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PUT", "/", 404, "not_found|route"),
        ("PUT", "/services/v2/order/certificate/1/check-dcv", 404, "not_found|route"),
        ("PUT", "/services/v2/order/certificate/1/../2/resend-emails", 404, "not_found|route"),
        ("PUT", "/services/v2/order/certificate//resend-emails", 404, "not_found|route"),
        ("GET", "/services/v2/order/certificate/1/resend-emails", 405, "method_not_allowed"),
        ("DELETE", "/services/v2/order/certificate/1/resend-emails", 405, "method_not_allowed"),
        ("PUT", "/services/v2/order/certificate/abc/resend-emails", 400, "invalid_request|order_id"),
        ("PUT", "/services/v2/order/certificate/%2e%2e/resend-emails", 400, "invalid_request|order_id"),
        ("PUT", "/services/v2/order/certificate/1;2/resend-emails", 400, "invalid_request|order_id"),
        ("PUT", "/services/v2/order/certificate/1%0d%0aX:1/resend-emails", 400, "invalid_request|order_id"),
    ],
)
def test_wrong_addresses_are_answered_in_digicerts_shape(
    invoke: Callable[..., Any], method: str, path: str, status: int, code: str
) -> None:
    request = http_v2(1)
    request["rawPath"], request["requestContext"]["http"]["method"] = path, method

    answer = invoke(request)

    assert (answer["statusCode"], json.loads(answer["body"])["errors"][0]["code"]) == (status, code)
    assert answer["headers"]["Content-Type"] == "application/json"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
field_names = st.sampled_from(
    [
        *("order_id", "action", "domain_approval_emails", "domain", "email", "email_domain", "locale"),
        *("dry_run", "force", "requested_by", "detail-type", "detail", "id", "Records", "requestContext", "http"),
        *("httpMethod", "path", "rawPath", "body", "isBase64Encoded"),
        *("queryStringParameters", "multiValueQueryStringParameters", "eventSource", "so_far", "offset", "link"),
    ]
)
marked_events = st.dictionaries(
    field_names,
    json_values
    | st.sampled_from([1, "1", "PUT", "status", "sweep", "Resend DV Emails", "Scheduled Event", PATH.format(1), "{}"])
    | st.just({"http": {"method": "PUT"}})
    | st.dictionaries(field_names, json_values)
    | st.lists(
        st.dictionaries(field_names, st.text() | st.sampled_from(["example.com", "admin@example.com", "aws:sqs"]))
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(anything=json_values | marked_events)
def test_whatever_comes_gets_a_valid_answer_or_one_of_our_errors(
    http: RequestsMock, invoke: Callable[..., Any], anything: Any
) -> None:
    http.assert_all_requests_are_fired = False
    try:
        answer = invoke(anything)
    except errors.ResendError as error:
        assert error.code  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017
        return
    if "statusCode" in answer:
        assert answer["statusCode"] in {204, 200, 400, 404, 405, 409, 422, 500, 503}
        assert all(isinstance(value, str) for value in answer["headers"].values())
        assert answer["body"] == "" or "errors" in json.loads(answer["body"])


# The audit line


def test_the_line_is_written_after_the_claim_and_before_the_put(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, seen = certcentral_http.CertCentral.resend_emails, []

    def look_first(*arguments: Any) -> None:
        (item,) = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
        seen.append((item["status"]["S"], item["id"]["S"], [line["message"] for line in output().lines]))
        assert puts(emulator) == []
        real(*arguments)

    monkeypatch.setattr(certcentral_http.CertCentral, "resend_emails", look_first)

    invoke(direct(ORDER))

    assert seen == [("sending", ResendRequest(ORDER).claim_key, ["sending"])]
    assert [line["message"] for line in output().lines if "message" in line] == ["audit"]
    assert len(puts(emulator)) == 1


@pytest.mark.usefixtures("emulator")
def test_a_function_killed_in_the_put_leaves_a_line_that_says_who_was_about_to_be_mailed(
    invoke: Callable[..., Any], output: Callable[[], Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(certcentral_http.CertCentral, "resend_emails", kill)

    with pytest.raises(KeyboardInterrupt):
        invoke(event(123456789, DOCUMENTED_BODY | {"requested_by": "the web team"}))

    (line,) = [line for line in output().lines if "message" in line]
    assert (line["message"], line["outcome"], line["order_id"]) == ("sending", "sending", 123456789)
    assert line["claim"] == ResendRequest.from_input(direct(123456789, DOCUMENTED_BODY)).claim_key
    assert line["recipients"] == ["s***@example.com", "s***@example2.com"]
    assert (line["caller"], line["requested_by"]) == ("7bf73129-1428-4cd3-a780-95db273d1602", "the web team")


@each_door
def test_nothing_is_announced_that_is_not_sent(
    emulator: CertCentralEmulator,
    invoke: Callable[..., Any],
    output: Callable[[], Output],
    door: Callable[..., dict[str, Any]],
) -> None:
    invoke(direct(ORDER))
    output()

    invoke(door(ORDER))
    invoke(door(ORDER, query={"dry_run": "true"}))

    assert [line["message"] for line in output().lines if "message" in line] == ["audit", "audit"]
    assert len(puts(emulator)) == 1


@pytest.mark.usefixtures("emulator")
def test_audit_line_says_who_was_mailed_and_by_whom(invoke: Callable[..., Any], output: Callable[[], Output]) -> None:
    invoke(direct(123456789, DOCUMENTED_BODY | {"requested_by": "arn:aws:states:eu-west-1:1:execution:chase:1"}))

    line = output().audit
    assert line["order_id"] == 123456789
    assert line["door"] == "direct"
    assert line["caller"] == line["requested_by"] == "arn:aws:states:eu-west-1:1:execution:chase:1"
    assert line["outcome"] == "sent"
    assert line["recipients"] == ["s***@example.com", "s***@example2.com"]
    assert line["upstream_status"] == 204
    assert isinstance(line["duration_ms"], int)


@pytest.mark.usefixtures("emulator")
def test_metrics_carry_the_single_dimension_service(invoke: Callable[..., Any], output: Callable[[], Output]) -> None:
    invoke(direct(ORDER))

    metrics = output().metrics
    expected = {"namespace": "DvResend", "dimensions": {"service": SERVICE}}
    assert metrics["ResendSent"] == [expected | {"value": 1.0}]
    assert [emission["dimensions"] for emission in metrics["UpstreamLatency"]] == [{"service": SERVICE}]


# The schedule and its queue

EVENTS = Path(__file__).parents[2] / "events"
SAMPLES = {path.name: json.loads(path.read_text("utf-8")) for path in sorted(EVENTS.glob("*.json"))}
SCHEDULES = [name for name in SAMPLES if events.source_of(SAMPLES[name]) == "schedule"]
SWEEP = {"action": "sweep"}
# Of the orders that the emulator starts with, those that the list shows as due: the first need an email.
DUE = {"plain", "wildcard", "multi_san", "reissue", "idn", "contact"}
NOT_BY_EMAIL = {"dns_txt", "dns_cname", "http_token"}
VALIDATED = {"all_approved"}
REFUSED = NOT_BY_EMAIL | VALIDATED


@dataclass
class Line:
    """The reminder queue and what Lambda does with it: batches to the handler, and deletes what is acknowledged."""

    invoke: Callable[..., Any]
    sqs: Any
    url: str = ""
    handles: list[str] = field(default_factory=list)

    def renew(self) -> None:
        """Start with a queue that remembers nothing: it would drop what it has seen in the last five minutes."""
        if self.url:
            self.sqs.delete_queue(QueueUrl=self.url)
        self.url = self.sqs.create_queue(QueueName="reminders.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]

    def sweep(self, **fields: Any) -> Any:
        return self.invoke(SWEEP | fields, seconds=900)

    def put(self, *order_ids: int) -> None:
        for order_id in order_ids:
            self.sqs.send_message(
                QueueUrl=self.url,
                MessageBody=json.dumps({"order_id": order_id}),
                MessageGroupId="certcentral",
                MessageDeduplicationId=str(order_id),
            )

    def receive(self) -> list[dict[str, Any]]:
        """Receive a batch in the shape of a Lambda event."""
        messages = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, AttributeNames=["All"])
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {},
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:ReminderQueue.fifo",
                "awsRegion": "eu-west-1",
            }
            for message in messages.get("Messages", [])
        ]

    def drain(self) -> list[int]:
        """Deliver batch after batch; give the orders that came back, at which it stops."""
        while records := self.receive():
            answer = self.invoke({"Records": records})
            returned = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
            for record in records:
                if record["messageId"] not in returned:
                    self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=record["receiptHandle"])
            if returned:
                waiting = [record for record in records if record["messageId"] in returned]
                self.handles = [record["receiptHandle"] for record in waiting]
                return [json.loads(record["body"])["order_id"] for record in waiting]
        return []

    def wait(self) -> None:
        """Let the time pass for which the returned messages are held."""
        for handle in self.handles:
            self.sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=handle, VisibilityTimeout=0)

    @property
    def length(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


@pytest.fixture
def line(
    emulator: CertCentralEmulator,  # noqa: ARG001
    invoke: Callable[..., Any],
    settings: Callable[..., None],
) -> Iterator[Line]:
    line = Line(invoke, boto3.client("sqs"))
    line.renew()
    # The fastest pace: a test that makes fewer than 50 calls never waits.
    settings(SWEEP_QUEUE_URL=line.url, SWEEP_REQUESTS_PER_SECOND="50")
    yield line
    line.sqs.delete_queue(QueueUrl=line.url)


def audits(output: Callable[[], Output]) -> dict[int, dict[str, Any]]:
    """Give the audit lines of the worker by order."""
    lines = [line for line in output().lines if line.get("message") == "audit" and line["door"] == "sqs"]
    found = {line["order_id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def seeds(*names: str) -> set[int]:
    return {SEED_IDS[name] for name in names}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_event_is_accepted(emulator: CertCentralEmulator, line: Line, name: str) -> None:
    answer = line.invoke(SAMPLES[name], seconds=900)

    match events.source_of(SAMPLES[name]):
        case "http":
            assert answer["statusCode"] == 204
        case "schedule":
            assert answer["listed"] > answer["enqueued"] == line.length > 0
        case "sqs":
            assert answer == {"batchItemFailures": []}
            assert {mail["order_id"] for mail in emulator.outbox} == seeds("reissue")
        case _:
            assert answer["order_id"] == 123456789


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_sweep_queues_what_is_or_may_be_due_and_says_what_it_found(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output], name: str
) -> None:
    answer = line.invoke(SAMPLES[name], seconds=900)

    there = [order for order in emulator.orders if order["status"] in ("pending", "reissue_pending")]
    assert answer == {
        "listed": len(there),
        "pending_dv": sum(order["product_type"] == "dv_ssl_certificate" for order in there),
        "due": len(DUE | REFUSED),
        "enqueued": len(DUE | REFUSED),
        "stuck": 1,
        "oldest_days": 45,
        "by_status": {"pending": len(there) - 1, "reissue_pending": 1},
        "stuck_orders": list(seeds("old")),
    }
    queued = [json.loads(record["body"])["order_id"] for record in line.receive()]
    assert set(queued) == seeds(*DUE, *REFUSED)
    assert puts(emulator) == []
    printed = output()
    assert (printed.audit["outcome"], printed.audit["door"]) == ("swept", "schedule")
    assert {name: printed.audit[name] for name in answer} == answer
    values = {name: [emission["value"] for emission in found] for name, found in printed.metrics.items()}
    del values["UpstreamLatency"]
    assert values == {
        "PendingOrders": [answer["pending_dv"]],
        "RemindersEnqueued": [answer["enqueued"]],
        "StuckOrders": [1],
        "OldestPendingDays": [45],
    }


def test_each_due_order_gets_exactly_one_email_and_a_second_sweep_sends_none(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output], settings: Callable[..., None]
) -> None:
    line.sweep()
    assert line.drain() == []

    mails = [(mail["order_id"], mail["to"]) for mail in emulator.outbox]
    assert len(mails) == len(set(mails)) > 0
    assert {order_id for order_id, _ in mails} == seeds(*DUE)
    assert [call["body"] for call in puts(emulator)] == ["{}"] * len(DUE)
    outcomes = {order_id: found["outcome"] for order_id, found in audits(output).items()}
    assert outcomes == dict.fromkeys(seeds(*DUE), "sent") | dict.fromkeys(seeds(*REFUSED), "OrderNotEligible")
    assert line.length == 0

    line.renew()
    settings(SWEEP_QUEUE_URL=line.url)
    emulator.clear_calls()
    assert line.sweep()["enqueued"] == len(DUE | REFUSED)
    assert line.drain() == []

    assert puts(emulator) == []
    outcomes = {order_id: found["outcome"] for order_id, found in audits(output).items()}
    assert outcomes == dict.fromkeys(seeds(*DUE), "already_reminded") | dict.fromkeys(
        seeds(*REFUSED), "OrderNotEligible"
    )
    # Of those that were dealt with, only the reissue has to be asked about to know it.
    asked = {int(call["path"].rpartition("/")[2]) for call in emulator.calls if call["path"][-1].isdigit()}
    assert asked == seeds("reissue", *REFUSED)


def test_an_order_whose_names_are_all_validated_is_acknowledged_counted_and_not_recorded(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output]
) -> None:
    line.put(SEED_IDS["all_approved"], SEED_IDS["plain"])

    assert line.drain() == []

    printed = output()
    refused, sent = (entry for entry in printed.lines if entry.get("message") == "audit")
    assert (refused["order_id"], refused["outcome"], refused["code"]) == (
        SEED_IDS["all_approved"],
        "OrderNotEligible",
        "order_not_eligible|already_validated",
    )
    assert (sent["order_id"], sent["outcome"]) == (SEED_IDS["plain"], "sent")
    assert [emission["value"] for emission in printed.metrics["AlreadyValidated"]] == [1]
    assert "ResendFailed" not in printed.metrics
    # The claim and the record of the other one alone.
    assert [str(SEED_IDS["all_approved"]) in key for key in claimed()] == [False, False]
    assert ResendRequest(SEED_IDS["all_approved"]).claim_key not in claimed()
    assert line.length == 0
    assert [call["path"].split("/")[5] for call in puts(emulator)] == [str(SEED_IDS["plain"])]


def test_only_a_function_that_sweeps_is_paced_and_its_pace_outlives_an_invocation(
    emulator: CertCentralEmulator, line: Line, settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    paces: list[float] = []
    waits: list[int] = []

    class TokenBucket:
        def __init__(self, per_second: float) -> None:
            paces.append(per_second)

        def wait(self) -> None:
            waits.append(len(emulator.calls))

    monkeypatch.setattr(app, "TokenBucket", TokenBucket)
    settings(SWEEP_REQUESTS_PER_SECOND="2.5")

    line.sweep()
    line.drain()

    assert paces == [2.5]
    assert waits == list(range(len(emulator.calls)))

    settings(SWEEP_QUEUE_URL="")
    line.invoke(direct(emulator.add_order()["id"]))
    assert len(waits) == len(emulator.calls) - 3


def test_two_sweeps_at_once_queue_each_reminder_once(emulator: CertCentralEmulator, line: Line) -> None:
    for _ in range(2):
        line.sweep()

    assert line.length == len(DUE | REFUSED)
    line.drain()
    assert len(puts(emulator)) == len(DUE)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ov", "order_not_eligible|not_dv"),
        ("ev", "order_not_eligible|not_dv"),
        ("needs_approval", "order_not_eligible|needs_approval"),
        ("issued", "order_not_eligible|not_pending"),
        ("unknown_status", "order_not_eligible|not_pending"),
        ("dns_txt", "order_not_eligible|not_email_dcv"),
        ("all_approved", "order_not_eligible|already_validated"),
        (None, "not_found|order"),
    ],
)
def test_an_order_that_no_email_helps_is_skipped_with_its_reason_and_does_not_hold_up_the_next(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output], name: str | None, code: str
) -> None:
    order_id = 999 if name is None else SEED_IDS[name]
    line.put(order_id, SEED_IDS["plain"])

    assert line.drain() == []

    found = audits(output)
    assert found[order_id]["code"] == code
    assert found[SEED_IDS["plain"]]["outcome"] == "sent"
    assert len(puts(emulator)) == 1
    assert line.length == 0


def test_a_permanently_failing_order_does_not_block_its_successors(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output]
) -> None:
    bad = SEED_IDS["plain"]
    refused = {"errors": [{"code": "invalid_dcv", "message": "No."}]}
    emulator.inject({"fault": "status", "status": 400, "body": refused, "method": "PUT", "path": f"/{bad}/"})
    line.put(bad, SEED_IDS["wildcard"], SEED_IDS["idn"])

    assert line.drain() == []

    assert [found["outcome"] for found in audits(output).values()] == ["RequestRejected", "sent", "sent"]


def test_a_manual_default_resend_before_the_worker_counts_as_the_reminder(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output]
) -> None:
    line.sweep()
    line.invoke(direct(SEED_IDS["plain"]))

    line.drain()

    assert audits(output)[SEED_IDS["plain"]]["outcome"] == "duplicate"
    assert len([call for call in puts(emulator) if str(SEED_IDS["plain"]) in call["path"]]) == 1

    line.put(SEED_IDS["plain"])
    line.drain()
    assert audits(output)[SEED_IDS["plain"]]["outcome"] == "already_reminded"


def test_a_manual_resend_to_named_recipients_does_not(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output]
) -> None:
    line.sweep()
    named = {"domain_approval_emails": [{"domain": "example.com", "email": "admin@example.com"}]}
    line.invoke(direct(SEED_IDS["plain"], named))

    line.drain()

    assert audits(output)[SEED_IDS["plain"]]["outcome"] == "sent"
    assert len([call for call in puts(emulator) if str(SEED_IDS["plain"]) in call["path"]]) == 2


def test_a_manual_default_resend_after_the_reminder_is_a_duplicate(line: Line) -> None:
    line.put(SEED_IDS["plain"])
    line.drain()

    assert line.invoke(direct(SEED_IDS["plain"]))["outcome"] == "duplicate"


def test_a_revoked_key_acknowledges_nothing_and_with_a_mended_one_every_reminder_goes_out(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output]
) -> None:
    line.sweep()
    store_key("emulator-revoked-key")
    # The key is cached; a rejected one is read anew.
    emulator.set_key(CANARY, "revoked")

    assert set(line.drain()) == seeds(*DUE, *REFUSED)
    assert line.receive() == []
    assert [found["outcome"] for found in audits(output).values()] == ["ApiKeyRejected"]
    assert emulator.outbox == []

    emulator.set_key(CANARY, "valid")
    store_key(CANARY)
    line.wait()
    assert line.drain() == []
    assert {found["order_id"] for found in audits(output).values() if found["outcome"] == "sent"} == seeds(*DUE)
    assert len(puts(emulator)) == len(DUE)


def test_an_outage_loses_nothing_and_when_it_is_over_the_line_goes_on_in_order(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output]
) -> None:
    first, second, third = SEED_IDS["plain"], SEED_IDS["wildcard"], SEED_IDS["idn"]
    line.put(first, second, third)
    emulator.inject({"fault": "status", "status": 503, "path": f"/{second}/validation", "times": 1})
    emulator.inject({"fault": "status", "status": 503, "path": f"/{second}$", "times": 1})
    emulator.inject({"fault": "status", "status": 429, "path": f"/{second}/resend", "times": 1})

    for outcomes in (["sent", "CertCentralUnavailable"], ["CertCentralUnavailable"], ["RateLimited"]):
        assert line.drain() == [second, third]
        assert line.receive() == []
        assert [found["outcome"] for found in audits(output).values()] == outcomes
        line.wait()

    assert line.drain() == []
    assert [(found["order_id"], found["outcome"]) for found in audits(output).values()] == [
        (second, "sent"),
        (third, "sent"),
    ]
    mailed = [order_id for order_id, _ in dict.fromkeys((m["order_id"], m["caused_by"]) for m in emulator.outbox)]
    assert mailed == [first, second, third]


def test_while_sending_is_off_nothing_is_swept_and_the_messages_stay(
    emulator: CertCentralEmulator, line: Line, settings: Callable[..., None], output: Callable[[], Output]
) -> None:
    line.sweep()
    waiting = line.length
    emulator.clear_calls()
    output()
    settings(SENDING="off")

    with pytest.raises(errors.SendingPaused):
        line.sweep()
    assert len(line.drain()) == waiting

    assert line.length == waiting
    assert emulator.calls == []
    assert [found["outcome"] for found in audits(output).values()] == ["SendingPaused"]


def test_a_dry_sweep_plans_and_queues_nothing(
    emulator: CertCentralEmulator, line: Line, output: Callable[[], Output], settings: Callable[..., None]
) -> None:
    settings(SENDING="off")

    answer = line.sweep(dry_run=True)

    assert {reminder["order_id"] for reminder in answer["plan"]} == seeds(*DUE, *REFUSED)
    assert (answer["due"], answer["enqueued"]) == (len(answer["plan"]), 0)
    assert (line.length, puts(emulator)) == (0, [])
    assert output().metrics.keys() == {"UpstreamLatency"}


def test_a_sweep_out_of_time_has_its_next_link_run_by_the_alias_and_only_the_last_is_measured(
    line: Line, output: Callable[[], Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, handed_over = botocore.client.BaseClient._make_api_call, []

    def call(self: Any, name: str, parameters: Any) -> Any:
        if name == "Invoke":
            handed_over.append(parameters)
            return {"StatusCode": 202}
        return original(self, name, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)

    unfinished = line.invoke(SWEEP, seconds=50)

    (parameters,) = handed_over
    assert (parameters["FunctionName"], parameters["InvocationType"]) == ("resend:live", "Event")
    assert unfinished["next_offset"] == unfinished["listed"] > 0
    printed = output()
    assert printed.audit["outcome"] == "sweeping"
    assert printed.metrics.keys() == {"UpstreamLatency"}

    whole = line.invoke(json.loads(parameters["Payload"]), seconds=900)

    assert whole == {name: value for name, value in unfinished.items() if name != "next_offset"}
    assert output().metrics["RemindersEnqueued"][0]["value"] == whole["enqueued"] == line.length


@pytest.mark.parametrize("event_", [SWEEP, SAMPLES["scheduled-event.json"], SAMPLES["sqs-reminders.json"]], ids=ascii)
def test_a_function_without_a_queue_does_not_sweep(
    emulator: CertCentralEmulator, invoke: Callable[..., Any], output: Callable[[], Output], event_: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigurationError, match="SWEEP_QUEUE_URL"):
        invoke(event_)

    assert emulator.calls == []
    assert output().audit["outcome"] == "ConfigurationError"


SWEEP_ERRORS: dict[str, tuple[Callable[[Stage], object], type[errors.ResendError]]] = {
    "bad_key": (STAGES["bad_key"], errors.ApiKeyRejected),
    "rate_limited": (STAGES["rate_limited"], errors.RateLimited),
    "upstream_away": (STAGES["upstream_away"], errors.CertCentralUnavailable),
    "secret_away": (STAGES["secret_away"], errors.SecretUnavailable),
    "paused": (STAGES["paused"], errors.SendingPaused),
    "queue_away": (
        lambda stage: stage.aws_fails("SendMessageBatch", away("SendMessageBatch")),
        errors.QueueUnavailable,
    ),
    "no_access": (
        lambda stage: stage.aws_fails("SendMessageBatch", refusal("AccessDenied", "SendMessageBatch")),
        errors.ConfigurationError,
    ),
}


@pytest.mark.parametrize(("stage", "error"), SWEEP_ERRORS.values(), ids=SWEEP_ERRORS)
def test_a_sweep_that_fails_raises_is_told_and_measures_nothing(
    emulator: CertCentralEmulator,
    line: Line,
    output: Callable[[], Output],
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., None],
    stage: Callable[[Stage], object],
    error: type[errors.ResendError],
) -> None:
    stage(Stage(emulator, monkeypatch, settings))

    with pytest.raises(error):
        line.sweep()

    printed = output()
    assert printed.audit["outcome"] == error.__name__
    assert printed.metrics.keys() & {"PendingOrders", "RemindersEnqueued", "StuckOrders", "OldestPendingDays"} == set()
