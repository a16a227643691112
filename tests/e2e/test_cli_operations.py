"""The commands for operators, as processes of users with the runbook's policies: stop, resume, redrive, set-key, check.

A user who lacks a permission of the command fails here: IAM is enforced.
"""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import CANARY

from dev.local.stack import LocalStack
from e2e.conftest import Command, Emulator, audit_lines, drained, eventually


class Queues:
    """The queues of failed and undelivered events."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._sqs = stack.client("sqs")
        for url in (stack.failed_events_queue_url, stack.undelivered_events_queue_url):
            self._sqs.purge_queue(QueueUrl=url)

    def put_undelivered(self, body: object) -> None:
        attributes = {"ERROR_CODE": {"DataType": "String", "StringValue": "NO_PERMISSIONS"}}
        text = body if isinstance(body, str) else json.dumps(body)
        url = self._stack.undelivered_events_queue_url
        self._sqs.send_message(QueueUrl=url, MessageBody=text, MessageAttributes=attributes)

    def put_event(self, detail: dict[str, Any]) -> None:
        """Put an event on the bus, and wait until it has failed."""
        entry = {"EventBusName": self._stack.event_bus, "Source": "pki.portal", "DetailType": "Resend DV Emails"}
        self._stack.client("events").put_events(Entries=[entry | {"Detail": json.dumps(detail)}])
        eventually(lambda: self.failed)

    @property
    def failed(self) -> int:
        return self._count(self._stack.failed_events_queue_url)

    @property
    def undelivered(self) -> int:
        return self._count(self._stack.undelivered_events_queue_url)

    def _count(self, url: str) -> int:
        name = "ApproximateNumberOfMessages"
        return int(self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


@pytest.fixture
def queues(stack: LocalStack) -> Queues:
    return Queues(stack)


def event(order_id: int, **fields: Any) -> dict[str, Any]:
    """An event as EventBridge would deliver it."""
    return {"id": str(uuid.uuid4()), "detail-type": "Resend DV Emails", "detail": {"order_id": order_id, **fields}}


def outcomes(ran: Any) -> list[str]:
    return sorted(event["outcome"] for event in json.loads(ran.stdout)["events"])


def resent(emulator: Emulator) -> list[int]:
    """The orders of CertCentral's resends, one entry for each."""
    return [int(call["path"].split("/")[-2]) for call in emulator.puts]


def test_event_of_a_stop_is_sent_once_after_it(
    dv_resend: Command, emulator: Emulator, order_id: int, queues: Queues
) -> None:
    try:
        stops = [dv_resend("stop").returncode for _ in range(2)]
        refused = dv_resend("resend", order_id)
        queues.put_event({"order_id": order_id})
        checked = dv_resend("check")
        kept = dv_resend("redrive", "failed-events")
    finally:
        resumed = dv_resend("resume")
    sent = dv_resend("redrive", "failed-events", "--json")
    again = dv_resend("redrive", "failed-events")

    assert (stops, refused.returncode, checked.returncode, kept.returncode) == ([0, 0], 4, 4, 4)
    assert "attention  sending: stopped" in checked.stdout
    assert "SendingStopped" in kept.stdout
    assert "1 event to redrive: `dv-resend redrive failed-events`" in resumed.stdout
    assert (outcomes(sent), sent.returncode) == (["sent"], 0)
    assert again.stdout.startswith("No event is waiting")
    assert resent(emulator) == [order_id]


def test_undelivered_events_are_sent_if_they_are_wanted(
    dv_resend: Command, stack: LocalStack, emulator: Emulator, order_id: int, queues: Queues
) -> None:
    issued, mailed = emulator.add_order(kind="dv", status="issued"), emulator.add_order()
    dv_resend("resend", mailed)
    for wanted in (order_id, issued, mailed):
        queues.put_undelivered(event(wanted))
    queues.put_undelivered("no JSON")
    queues.put_undelivered({"httpMethod": "PUT", "path": "/services/v2/order/certificate/1/resend-emails"})
    queues.put_undelivered({"action": "sweep"})

    ran = dv_resend("redrive", "undelivered", "--json")

    assert outcomes(ran) == ["done", "not wanted", "refused", "refused", "sent", "swept"]
    assert (ran.returncode, queues.undelivered) == (3, 2)
    assert resent(emulator)[:2] == [mailed, order_id]
    (audit,) = [line for line in audit_lines(stack, order_id) if line["outcome"] == "sent"]
    assert audit["requested_by"] == "arn:aws:iam::123456789012:user/operator"
    drained(stack)


def test_two_operators_at_once_send_each_event_once(
    dv_resend: Command, emulator: Emulator, order_id: int, queues: Queues
) -> None:
    orders = [order_id, *(emulator.add_order() for _ in range(5))]
    for order in orders:
        queues.put_undelivered(event(order, force=True))

    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: dv_resend("redrive", "undelivered", "--force", "--all", "--json"), range(2)))

    assert [outcome for ran in runs for outcome in outcomes(ran)] == ["sent"] * 6
    assert sorted(resent(emulator)) == orders


def test_event_of_unknown_outcome_is_sent_again_by_force_once(
    dv_resend: Command, emulator: Emulator, order_id: int, queues: Queues
) -> None:
    emulator.inject({"fault": "status", "status": 500, "method": "PUT"})
    queues.put_event({"order_id": order_id})
    emulator("DELETE", "faults")

    kept = dv_resend("redrive", "failed-events", "--json")
    forced = dv_resend("redrive", "failed-events", "--json", "--force", "--order", order_id)

    assert (outcomes(kept), kept.returncode) == (["unknown"], 5)
    assert (outcomes(forced), forced.returncode, queues.failed) == (["sent"], 0, 0)
    assert resent(emulator) == [order_id, order_id]


def test_key_is_stored_only_if_certcentral_accepts_it(dv_resend: Command, stack: LocalStack) -> None:
    client = stack.client("secretsmanager")
    before = client.get_secret_value(SecretId=stack.secret)["VersionId"]

    rejected = dv_resend("set-key", stdin="another-key-0123456789")
    kept = client.get_secret_value(SecretId=stack.secret)["VersionId"]
    accepted = dv_resend("set-key", stdin=f"{CANARY}\n")

    assert (rejected.returncode, rejected.stderr.partition(":")[0], kept) == (6, "ApiKeyRejected", before)
    assert (accepted.returncode, accepted.stderr) == (0, "")
    stored = client.get_secret_value(SecretId=stack.secret)
    assert stored["VersionId"] != before
    assert stored["SecretString"] == CANARY


def test_check_of_a_new_stack_names_what_is_off(dv_resend: Command, emulator: Emulator) -> None:
    ran = dv_resend("check")

    lines = {line[11:].partition(":")[0]: line.split()[0] for line in ran.stdout.splitlines()}
    on = dict.fromkeys(["API key", "dry run", "sending", "report topic"], "ok")
    assert lines == on | dict.fromkeys(["sweep", "alarm topic"], "attention")
    assert (ran.returncode, emulator.puts) == (0, [])


# ---------------------------------------------------------------- least privilege


@pytest.mark.parametrize("arguments", [["stop"], ["resume"], ["redrive", "failed-events"], ["set-key", "--no-check"]])
def test_callers_may_not_operate(dv_resend: Command, arguments: list[str]) -> None:
    ran = dv_resend(*arguments, user="caller", stdin="another-key-0123456789")

    assert ran.returncode == 6
    assert "AccessDenied" in ran.stdout + ran.stderr


def test_operators_may_not_read_the_key(stack: LocalStack, users: dict[str, dict[str, str]]) -> None:
    import boto3

    keys = users["operator"]
    client = boto3.client(
        "secretsmanager",
        endpoint_url=stack.aws_endpoint,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )

    with pytest.raises(ClientError, match="AccessDenied"):
        client.get_secret_value(SecretId=stack.secret)
