"""Cold starts stay short if few modules are loaded: those at init, and those that each event source adds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CANARY
from unit.samples import event, http, queue

from dev.emulator import CertCentralEmulator
from dev.emulator.orders import SEED_IDS
from dv_resend.adapters import aws

ROOT = Path(__file__).parents[2]

DRY_RUN = {"dv_resend.core.dry_run", "dv_resend.core.plan", "dv_resend.core.advice"}
BATCH = {"dv_resend.handlers.sqs"}
BY_DOMAIN = {"dv_resend.core.domains", "dv_resend.core.domain_outcomes", "dv_resend.core.domain_resend"}
BY_DOMAIN |= {"dv_resend.core.domain_dry_run"}
OWN = {
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "src/dv_resend").rglob("*.py")
} - {"dv_resend", "dv_resend.core.ports"}  # ports are there for type checkers only
# Packages; of Powertools' utilities, modules.
INIT = (OWN - DRY_RUN - BATCH - BY_DOMAIN) | {
    *("aws_lambda_powertools", "aws_lambda_powertools.utilities.jmespath_utils"),
    *("aws_lambda_powertools.utilities.parameters", "boto3", "botocore", "certifi", "dateutil", "idna", "jmespath"),
    *("requests", "s3transfer", "six", "typing_extensions", "urllib3"),
}
DNS = {"dns", "publicsuffixlist"}
BATCH |= {"aws_lambda_powertools.utilities.batch", "aws_lambda_powertools.utilities.data_classes"}

PARENT = {
    "domain_approval_emails": [{"domain": "api.shop.test", "email": "admin@shop.test", "email_domain": "shop.test"}]
}
ADMIN = {"domain_approval_emails": [{"domain": "example.com", "email": "admin@example.com"}]}
PERSON = {"domain_approval_emails": [{"domain": "contact.example", "email": "pki@mail.test"}]}
ORDER, CONTACT = SEED_IDS["plain"], SEED_IDS["contact"]


EVENTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "http": (http(ORDER, ADMIN), set()),
    "direct": ({"order_id": ORDER, **ADMIN}, set()),
    "direct, default recipients": ({"order_id": ORDER}, set()),
    "event": (event(ORDER, **ADMIN), set()),
    "status": ({"action": "status", "order_id": ORDER}, set()),
    "schedule": ({"action": "sweep"}, set()),
    "queue": (queue(ORDER), BATCH),
    "published contact": ({"order_id": CONTACT, **PERSON}, DNS),
    "parent that CertCentral validates": ({"order_id": SEED_IDS["multi_san"], **PARENT}, set()),
    "http, dry run": (http(ORDER, ADMIN, dry_run="true"), DRY_RUN | DNS),
}


def run(asked: dict[str, Any]) -> tuple[set[str], set[str], Any]:
    """Handle one event in a new process; return the modules loaded at init and by the event, and the result."""
    with CertCentralEmulator(valid_key=CANARY) as emulator:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "API_KEY_SECRET_ID": "secret",
            "SEND_RECORDS_TABLE": "send-records",
            "SWEEP_QUEUE_URL": "https://sqs.test/queue",
            "CERTCENTRAL_BASE_URL": emulator.base_url,
            "DNS_SERVERS": emulator.dns_server,
        }
        ran = subprocess.run(
            [sys.executable, ROOT / "dev/loaded_modules.py", json.dumps(asked), CANARY],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("ANSWER ")] or [ran.stderr]
    at_init, by_event, answer = json.loads(line.removeprefix("ANSWER "))
    return set(at_init), set(by_event), answer


@pytest.mark.parametrize("name", list(EVENTS))
def test_event_source_loads_only_the_modules_it_needs(name: str) -> None:
    asked, expected = EVENTS[name]

    at_init, by_event, answer = run(asked)

    assert answer is not None
    assert at_init == INIT
    # A part of a package that is loaded already.
    assert by_event - {"aws_lambda_powertools.utilities.typing"} == expected


def test_aws_clients_are_created_on_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from dv_resend import app

    made: list[str] = []
    monkeypatch.setattr(aws, "client", lambda service: made.append(service))
    monkeypatch.setenv("API_KEY_SECRET_ID", "secret")
    monkeypatch.setenv("SEND_RECORDS_TABLE", "send-records")

    parts = app._parts()
    assert made == []
    assert parts.certcentral is parts.certcentral
    assert made == ["secretsmanager"]
    assert parts.records is parts.records
    assert made == ["secretsmanager", "dynamodb"]
