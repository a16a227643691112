"""The check of recipients, and dry runs, on the deployed stack and its DNS server."""

import json
import time
from collections.abc import Callable

import pytest
import requests

from dev.local.stack import LocalStack
from e2e.conftest import Emulator, eventually

BODY = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
    ],
    "locale": "en",
}
CONTACTS = ["someone@example.com", "someone@example2.com"]
CONTACT = "_validation-contactemail.example.com"


@pytest.fixture
def example(emulator: Emulator) -> int:
    """An order like that of DigiCert's documented example, with an unused ID."""
    return emulator.add_order(
        id=int(time.time() * 1000) % 10**12, names=["example.com", "sub.example2.com"], contacts=CONTACTS
    )


def publish(emulator: Emulator, name: str, type_: str, values: list[str] | None) -> None:
    emulator("PUT", "dns", {"name": name, "type": type_, "values": values})


def test_documented_request_with_published_contacts_is_sent(
    put: Callable[..., requests.Response], emulator: Emulator, example: int
) -> None:
    answer = put(example, BODY)

    assert (answer.status_code, answer.text) == (204, "")
    assert json.loads(emulator.puts[0]["body"]) == BODY
    assert [mail["to"] for mail in emulator.outbox] == ["someone@example.com", "someone@example2.com"]


def test_contact_without_dns_record_is_refused_with_reason(
    put: Callable[..., requests.Response], emulator: Emulator, example: int
) -> None:
    publish(emulator, CONTACT, "TXT", None)

    answer = put(example, BODY)

    (error,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert error["code"] == "recipient_not_allowed|domain_approval_emails[0].email"
    assert f"TXT at {CONTACT}" in error["message"]
    assert "Accepted: admin@example.com, administrator@example.com" in error["message"]
    assert (emulator.puts, emulator.outbox) == ([], [])


def test_contact_published_by_caa_is_accepted(
    put: Callable[..., requests.Response], emulator: Emulator, example: int
) -> None:
    publish(emulator, CONTACT, "TXT", None)
    publish(emulator, "example.com", "CAA", ['0 issue "digicert.com"', '0 contactemail "someone@example.com"'])

    assert put(example, BODY).status_code == 204


def test_dns_outage_leaves_only_constructed_addresses(
    put: Callable[..., requests.Response], emulator: Emulator, example: int
) -> None:
    for name in (CONTACT, "example.com"):
        emulator("POST", "dns/faults", {"name": name, "fault": "silent"})

    answer = put(example, BODY)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "recipient_unverified")
    assert emulator.puts == []

    constructed = [
        {"domain": "example.com", "email": "admin@example.com"},
        {"domain": "sub.example2.com", "email": "webmaster@example2.com", "email_domain": "example2.com"},
    ]
    assert put(example, {"domain_approval_emails": constructed}).status_code == 204
    assert [mail["to"] for mail in emulator.outbox] == ["admin@example.com", "webmaster@example2.com"]


def test_constructed_address_at_parent_needs_email_domain(
    put: Callable[..., requests.Response], emulator: Emulator, example: int
) -> None:
    recipient = {"domain": "sub.example2.com", "email": "admin@example2.com"}

    (error,) = put(example, {"domain_approval_emails": [recipient]}).json()["errors"]

    assert error["code"] == "recipient_not_allowed|domain_approval_emails[0].email_domain"
    assert '"email_domain": "example2.com"' in error["message"]
    assert put(example, {"domain_approval_emails": [recipient | {"email_domain": "example2.com"}]}).status_code == 204
    assert len(emulator.outbox) == 1


@pytest.mark.parametrize("validation_names", ["full", "empty", "absent"])
def test_mistyped_domain_mails_nobody(
    put: Callable[..., requests.Response], emulator: Emulator, example: int, validation_names: str
) -> None:
    # CertCentral may ignore the unknown domain, and then email everybody.
    emulator("PUT", "switches", {"validation_names": validation_names, "unknown_domain": "ignore"})
    right, typo = ({"domain": name, "email": f"admin@{name}"} for name in ("example.com", "exmaple.com"))

    refused = put(example, {"domain_approval_emails": [right, typo]})

    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["code"] == "recipient_not_allowed|domain_approval_emails[1].domain"
    assert "example.com, sub.example2.com" in error["message"]
    assert (emulator.puts, emulator.outbox) == ([], [])
    assert put(example, {"domain_approval_emails": [right]}).status_code == 204
    assert [mail["to"] for mail in emulator.outbox] == ["admin@example.com"]


def test_validated_names_are_skipped_until_none_is_left(
    put: Callable[..., requests.Response], emulator: Emulator, example: int
) -> None:
    emulator("PATCH", f"orders/{example}", {"names": {"example.com": "approved", "sub.example2.com": "pending"}})

    answer = put(example, BODY)
    assert (answer.status_code, answer.headers["Resend-Skipped"]) == (204, "1")
    assert [mail["to"] for mail in emulator.outbox] == ["someone@example2.com"]

    emulator("PATCH", f"orders/{example}", {"names": {"example.com": "approved", "sub.example2.com": "approved"}})
    for body in (BODY, {}):
        refused = put(example, body)
        assert refused.status_code == 409
        assert refused.json()["errors"][0]["code"] == "order_not_eligible|already_validated"
    assert len(emulator.puts) == 1


def test_dry_run_gives_the_same_plan_from_every_source(
    stack: LocalStack, put: Callable[..., requests.Response], emulator: Emulator, example: int
) -> None:
    wanted = {"order_id": example, "dry_run": True, **BODY}

    over_http = put(example, BODY, "?dry_run=true").json()
    direct = stack.client("lambda").invoke(FunctionName=stack.function_alias, Payload=json.dumps(wanted))
    states = stack.client("stepfunctions")
    chase = states.start_execution(stateMachineArn=stack.state_machine, input=json.dumps(wanted))["executionArn"]
    ended = eventually(
        lambda: (found := states.describe_execution(executionArn=chase))["status"] != "RUNNING" and found, 60
    )

    assert over_http["would_be"] == "sent"
    assert over_http["upstream_body"] == BODY
    assert [name["mailed"] for name in over_http["names"]] == [["someone@example.com"], ["someone@example2.com"]]
    assert over_http["names"][0]["mx"] == {"example.com": True}
    assert json.load(direct["Payload"]) == over_http
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", over_http)
    assert emulator.puts == []


def test_dry_run_of_each_emulator_order_has_advice(put: Callable[..., requests.Response], emulator: Emulator) -> None:
    found = {}
    for order in emulator("GET", "orders"):
        plan = put(order["id"], {}, "?dry_run=true").json()
        found[order["kind"], order["status"]] = plan.get("code", plan["would_be"])
        assert plan["advice"], order

    assert emulator.puts == []
    assert found["dv", "needs_approval"] == "order_not_eligible|needs_approval"
    assert found["dv_dns_txt", "pending"] == "order_not_eligible|not_email_dcv"
    assert found["ov", "pending"] == "order_not_eligible|not_dv"
    assert found["dv_all_approved", "pending"] == "order_not_eligible|already_validated"
    assert found["dv", "issued"] == "order_not_eligible|not_pending"
    assert found["dv_reissue", "reissue_pending"] in ("sent", "duplicate")
