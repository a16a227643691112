"""The real template, deployed on this machine once for all end-to-end tests, with the emulator as CertCentral."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from conftest import CANARY

from dev.local.stack import COMMAND, LocalStack, local_stack
from dev.local.template import ROOT
from e2e.users import CALLERS_COMMANDS, Users, create_users

type Put = Callable[..., requests.Response]
type Command = Callable[..., subprocess.CompletedProcess[str]]
type Start = Callable[..., subprocess.Popen[str]]
type Invoke = Callable[..., Any]

PATH = "/services/v2/order/certificate/{}/resend-emails"


class Emulator:
    """The deployed stack's emulator, controlled over HTTP."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        return self._stack.ask_emulator(path, method, body)

    @property
    def outbox(self) -> list[dict[str, Any]]:
        return self("GET", "outbox")

    @property
    def calls(self) -> list[dict[str, Any]]:
        return self("GET", "calls")

    @property
    def puts(self) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["method"] == "PUT"]

    def add_order(self, **fields: Any) -> int:
        return self("POST", "orders", fields or {"kind": "dv"})["id"]

    def inject(self, fault: dict[str, Any]) -> None:
        self("POST", "faults", fault)


@contextmanager
def deployed(**parameters: str) -> Iterator[LocalStack]:
    """Deploy a stack for end-to-end tests, with these of the template's parameters.

    CertCentral's timeout is two seconds, which keeps tests of timeouts quick. One hour of waiting in a workflow lasts
    0.36 s, and 10 s before a retry last 1 ms.
    """
    parameters = {"CertCentralTimeoutSeconds": "2"} | parameters
    with local_stack(api_key=CANARY, parameters=parameters, wait_scale=0.0001) as stack:
        yield stack
        # Some tests log nothing here; this call leaves an audit line whichever tests ran.
        stack.client("lambda").invoke(FunctionName=stack.function_alias, Payload="{}")
        logs = stack.client("logs")
        log = str([logs.filter_log_events(logGroupName=log_group)["events"] for log_group in stack.log_groups])
        records = str(stack.client("dynamodb").scan(TableName=stack.send_records_table)["Items"])
        assert "audit" in log
        assert CANARY not in log
        assert CANARY not in records
        assert "@" not in records


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """The stack of all end-to-end tests that need no parameters of their own."""
    with deployed() as stack:
        yield stack


@pytest.fixture
def emulator(stack: LocalStack) -> Emulator:
    emulator = Emulator(stack)
    emulator("POST", "reset")
    return emulator


def cancel_first_orders(emulator: Emulator) -> None:
    """Leave no due order but the test's own."""
    for order in emulator("GET", "orders"):
        if order["status"] in ("pending", "reissue_pending"):
            emulator("PATCH", f"orders/{order['id']}", {"status": "canceled"})


def new_ids(count: int) -> list[int]:
    """Unused order IDs, because send records outlive the emulator's reset."""
    first = int(time.time() * 1000) % 10**12
    time.sleep(0.01 + count / 1000)
    return list(range(first, first + count))


@pytest.fixture
def order_id(emulator: Emulator) -> int:
    """A pending DV order with an unused ID, because send records outlive the emulator's reset."""
    return emulator.add_order(id=int(time.time() * 1000) % 10**12, kind="dv")


@pytest.fixture
def put(stack: LocalStack) -> Put:
    """Send DigiCert's request to the deployed API; check that the response does not hold the key."""

    def send(order_id: object, body: Any = None, query: str = "") -> requests.Response:
        response = requests.put(
            stack.api_url + PATH.format(order_id) + query,
            json=body,
            headers={"X-DC-DEVKEY": "a-callers-own-key"},
            timeout=40,
        )
        assert CANARY not in response.text + str(response.headers)
        return response

    return send


class OwnProcess:
    """Invokes the handler in a new process (`dev.faults.killable`). `audits` are the audit lines of all of these."""

    def __init__(self, stack: LocalStack) -> None:
        self.audits: list[dict[str, Any]] = []
        self._environment = stack.handler_environment() | {"CERTCENTRAL_TIMEOUT_SECONDS": "2"}

    def __call__(self, event: dict[str, Any], kill: str = "never", later: float = 0, request_id: str = "one") -> Any:
        """Return the answer; ``None`` if the process was killed."""
        ran = subprocess.run(
            [sys.executable, ROOT / "dev/faults/killable.py", kill, str(later), json.dumps(event), request_id],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert CANARY not in ran.stdout + ran.stderr
        lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
        self.audits += [line for line in lines if line.get("message") == "audit"]
        if kill != "never":
            assert ran.returncode == -signal.SIGKILL, ran.stderr
            return None
        (answer,) = [line for line in ran.stdout.splitlines() if line.startswith("ANSWER ")]
        return json.loads(answer.removeprefix("ANSWER "))


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Call a function eight times in parallel."""

    def run(call: Callable[[], Any]) -> list[Any]:
        with ThreadPoolExecutor(8) as pool:
            return [future.result() for future in [pool.submit(call) for _ in range(8)]]

    return run


@pytest.fixture
def own_process(stack: LocalStack) -> OwnProcess:
    return OwnProcess(stack)


@pytest.fixture
def reports(stack: LocalStack) -> Iterator[Callable[[], list[dict[str, str]]]]:
    """Give a function that takes the sweeps' reports from a queue, which is subscribed to their topic for this test."""
    sqs, sns = stack.client("sqs"), stack.client("sns")
    url = sqs.create_queue(QueueName="people")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    allow |= {"Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": stack.report_topic}}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=stack.report_topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    yield lambda: [json.loads(found["Body"]) for found in sqs.receive_message(QueueUrl=url).get("Messages", [])]
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture(scope="session")
def users(stack: LocalStack) -> Users:
    """The credentials of the users `caller` and `operator`, who may do what docs/operations.md says."""
    return create_users(stack)


@pytest.fixture
def start_dv_resend(stack: LocalStack, users: Users) -> Start:
    """Start the command `dv-resend` of this clone, pointed at the stack as `make up` says. `environment` is added.

    The user is the one of docs/operations.md who may do the least that the command needs.
    """

    def start(*arguments: object, user: str | None = None, **environment: str) -> subprocess.Popen[str]:
        user = user or ("caller" if CALLERS_COMMANDS & {*arguments} else "operator")
        base = {"PATH": os.environ["PATH"], "AWS_CONFIG_FILE": os.devnull}
        return subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            env=base | stack.command_environment() | users[user] | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def dv_resend(start_dv_resend: Start) -> Command:
    """Run the command `dv-resend` to its end."""

    def run(*arguments: object, stdin: str = "", **options: str) -> subprocess.CompletedProcess[str]:
        return ended(start_dv_resend(*arguments, **options), stdin)

    return run


def ended(process: subprocess.Popen[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Wait for the end of a command; what it has printed does not hold the key."""
    with process:
        out, errors = process.communicate(stdin, timeout=300)
    assert CANARY not in out + errors
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def mailed(emulator: Emulator) -> list[int]:
    """The orders whose resend CertCentral accepted, once for each resend."""
    return sorted(int(call["path"].split("/")[-2]) for call in emulator.puts if call["status"] == 204)


def audit_lines(stack: LocalStack, order_id: int) -> list[dict[str, Any]]:
    """Read the functions' log lines about an order: audit lines, and those from before sending."""
    logs = stack.client("logs")
    found = [
        json.loads(event["message"])
        for log_group in stack.log_groups
        for event in logs.filter_log_events(logGroupName=log_group)["events"]
        if f'"order_id":{order_id},' in event["message"]
    ]
    return sorted((line for line in found if line.get("order_id") == order_id), key=lambda line: line["timestamp"])


def eventually[T](look: Callable[[], T], seconds: float = 40) -> T:
    """Call ``look`` until its result is true, and return that result."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


def waiting(stack: LocalStack) -> int:
    """Count the reminders in the queue, also those that a worker has."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = stack.client("sqs").get_queue_attributes(QueueUrl=stack.queue_url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def drained(stack: LocalStack) -> None:
    eventually(lambda: waiting(stack) == 0, 90)
