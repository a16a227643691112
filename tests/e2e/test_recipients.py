"""The check of recipients, and dry runs, on the deployed stack and its DNS server."""

import json
import time

import pytest

from dev.local.stack import LocalStack
from e2e.conftest import Emulator, Put, eventually

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


def test_contact_without_dns_record_is_refused_with_reason(put: Put, emulator: Emulator, example: int) -> None:
    publish(emulator, CONTACT, "TXT", None)

    answer = put(example, BODY)

    (error,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert error["code"] == "recipient_not_allowed|domain_approval_emails[0].email"
    assert f"TXT at {CONTACT}" in error["message"]
    assert "Accepted: admin@example.com, administrator@example.com" in error["message"]
    assert (emulator.puts, emulator.outbox) == ([], [])


def test_dns_outage_leaves_only_constructed_addresses(put: Put, emulator: Emulator, example: int) -> None:
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


def test_dry_run_gives_the_same_plan_from_every_source(
    stack: LocalStack, put: Put, emulator: Emulator, example: int
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
