"""Cold starts stay short if few modules are loaded: those at init, and those that each event source adds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CANARY

from dev.emulator import CertCentralEmulator
from dev.emulator.orders import SEED_IDS
from dv_resend.adapters import aws

ROOT = Path(__file__).parents[2]

DRY_RUN = {"dv_resend.core.dry_run", "dv_resend.core.plan", "dv_resend.core.advice"}
BATCH = {"dv_resend.handlers.sqs"}
OWN = {
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "src/dv_resend").rglob("*.py")
} - {"dv_resend", "dv_resend.core.ports"}  # ports are there for type checkers only
# Packages; of Powertools' utilities, modules.
INIT = (OWN - DRY_RUN - BATCH) | {
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


def http(query: dict[str, str] | None = None) -> dict[str, Any]:
    event = json.loads((ROOT / "events/http-api-v2.json").read_text())
    path = f"/services/v2/order/certificate/{ORDER}/resend-emails"
    return event | {"rawPath": path, "body": json.dumps(ADMIN), "queryStringParameters": query}


def sqs() -> dict[str, Any]:
    event = json.loads((ROOT / "events/sqs-reminders.json").read_text())
    (record, *_) = event["Records"]
    return {"Records": [record | {"body": json.dumps({"order_id": ORDER})}]}


EVENTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "http": (http(), set()),
    "direct": ({"order_id": ORDER, **ADMIN}, set()),
    "direct, default recipients": ({"order_id": ORDER}, set()),
    "event": ({"detail-type": "Resend DV Emails", "id": "one", "detail": {"order_id": ORDER, **ADMIN}}, set()),
    "status": ({"action": "status", "order_id": ORDER}, set()),
    "schedule": ({"action": "sweep"}, set()),
    "queue": (sqs(), BATCH),
    "published contact": ({"order_id": CONTACT, **PERSON}, DNS),
    "parent that CertCentral validates": ({"order_id": SEED_IDS["multi_san"], **PARENT}, set()),
    "http, dry run": (http({"dry_run": "true"}), DRY_RUN | DNS),
}

# Stands in for AWS with a few canned responses, because moto would load everything.
PROGRAM = """
import json, sys

def loaded():
    names = set()
    for name in sys.modules:
        package, _, rest = name.partition(".")
        if package == "dv_resend" and rest:
            names.add(name)
        elif name.startswith("aws_lambda_powertools.utilities."):
            names.add(".".join(name.split(".")[:3]))
        # multiprocessing's name for the main module
        elif package not in {*sys.stdlib_module_names, "dv_resend", "__mp_main__"}:
            names.add(package)
    return names

sys.modules["charset_normalizer"] = None  # the build leaves it out
before = loaded()
from dv_resend import app
from dv_resend.adapters import aws
at_init = loaded() - before

class Client:
    def __getattr__(self, operation):
        answers = {"get_secret_value": {"SecretString": sys.argv[2]}, "send_message_batch": {"Successful": []}}
        return lambda **_: answers.get(operation, {})

class Context:
    function_name, function_version, memory_limit_in_mb, aws_request_id = "f", "1", 128, "one"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:f:live"
    tenant_id = None
    get_remaining_time_in_millis = staticmethod(lambda: 290_000)

aws.client = lambda service: Client()
answer = app.lambda_handler(json.loads(sys.argv[1]), Context())
print("ANSWER", json.dumps([sorted(at_init), sorted(loaded() - before - at_init), answer]))
"""


def run(event: dict[str, Any]) -> tuple[set[str], set[str], Any]:
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
            [sys.executable, "-c", PROGRAM, json.dumps(event), CANARY],
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
    event, expected = EVENTS[name]

    at_init, by_event, answer = run(event)

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
