"""The whole stack on this machine: a local AWS with the real template deployed, and a CertCentral.

`local_stack` starts a private stack and always cleans up. Everything listens on 127.0.0.1 only. None of the user's AWS
settings are read, so it cannot reach a real account.
"""

import http.client
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from dev.local.localize import localize_build
from dev.local.processes import Children, Process, StartError, signals_deferred, signals_end_the_block
from dev.local.template import ROOT

FOLDER = ROOT / ".local"
STACK_NAME = "dv-resend-local"
# The command `dv-resend` of this clone.
COMMAND = ROOT / "dev/local/bin/dv-resend"
RESEND_PATH = "/services/v2/order/certificate/{}/resend-emails"

_REGION = "eu-west-1"
_ACCOUNT = "123456789012"
_TOOLS = ROOT / ".tools"
_SAM = _TOOLS / "sam/bin/sam"
# Has the local AWS and AWS's Lambda runtime client.
_RUNTIME_PYTHON = _TOOLS / "local-aws/bin/python"
_PYTHON = [sys.executable, "-m"]
_AWS_SETTINGS = {
    "AWS_ACCESS_KEY_ID": _ACCOUNT,  # the local AWS takes a twelve-digit key as the account number
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": _REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@dataclass(frozen=True)
class LocalStack:
    """The addresses and names of a running stack's parts."""

    api_url: str
    """The address of the proxy in front of the API. It adds `Authorization` of a local IAM caller if it is missing."""
    api_host: str
    """The Host header with which `aws_endpoint` serves the API itself, which refuses unsigned requests."""
    aws_endpoint: str
    emulator_url: str | None
    """None if the stack calls another CertCentral."""
    dns_server: str | None
    """`host:port` of the emulator's DNS server; None if the functions use the system's."""
    region: str
    stack_name: str
    function: str
    function_alias: str
    """`<function>:live`, which callers invoke."""
    sweep_function: str
    sweep_function_alias: str
    event_bus: str
    send_records_table: str
    secret: str
    failed_events_queue_url: str
    undelivered_events_queue_url: str
    queue_url: str
    """The reminder queue of the sweep."""
    reminder_dead_letter_queue_url: str
    reminder_mapping_id: str
    """The event source mapping from the reminder queue to the worker."""
    state_machine: str | None
    """The ARN of the chase; None if the template's parameters leave it out."""
    log_group: str
    sweep_log_group: str
    report_topic: str
    """The ARN of the SNS topic for the sweep's reports. Nobody subscribes to it at first."""
    order_types: str
    """The template's parameter `OrderTypes`: `dv` or `all`."""
    processes: list[Process]
    _clients: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def client(self, service: str) -> Any:
        """Return a boto3 client for the local AWS, which ignores the user's AWS settings. `close` closes it."""
        client = _client(self.aws_endpoint, service)
        self._clients.append(client)
        return client

    def handler_environment(self) -> dict[str, str]:
        """Return the environment variables with which a process of its own runs the handler against this stack."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "AWS_ENDPOINT_URL": self.aws_endpoint,
            "AWS_ACCESS_KEY_ID": "123456789012",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": self.region,
            "API_KEY_SECRET_ID": self.secret,
            "SEND_RECORDS_TABLE": self.send_records_table,
            "CERTCENTRAL_BASE_URL": f"{self.emulator_url}/services/v2",
            "SWEEP_QUEUE_URL": self.queue_url,
            "ORDER_TYPES": self.order_types,
        }

    def command_environment(self) -> dict[str, str]:
        """Return the environment variables that point `dv-resend`, and any AWS tool, at this stack."""
        return {
            "AWS_ENDPOINT_URL": self.aws_endpoint,
            "AWS_ACCESS_KEY_ID": _ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "local",
            # boto3 and version 1 of the AWS CLI read only the second.
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "DV_RESEND_STACK": self.stack_name,
        }

    def ask_emulator(self, what: str, method: str = "GET", body: object = None) -> Any:
        """Call the emulator's control API (`dev.emulator.control_api`), for example `orders`, `outbox` or `calls`."""
        assert self.emulator_url is not None, "this stack has no emulator"
        connection = http.client.HTTPConnection(self.emulator_url.removeprefix("http://"), timeout=60)
        with closing(connection):
            connection.request(method, f"/_emulator/{what}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer = json.load(response)
            assert response.status == 200, answer
            return answer

    def put_resend(self, order_id: object, body: object, query: str = "") -> tuple[int, http.client.HTTPMessage, str]:
        """Send DigiCert's request to the deployed API; return status, headers and body of the response."""
        connection = http.client.HTTPConnection(self.api_url.removeprefix("http://"), timeout=40)
        with closing(connection):
            path = RESEND_PATH.format(order_id) + query
            connection.request("PUT", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()

    @property
    def log_groups(self) -> tuple[str, str]:
        """The log groups of both functions."""
        return self.log_group, self.sweep_log_group

    def audit_lines(self, since: float = 0) -> list[dict[str, Any]]:
        """Return the audit lines in CloudWatch Logs since then (epoch seconds), oldest first."""
        pages = self.client("logs").get_paginator("filter_log_events")
        lines = [
            event["message"]
            for log_group in self.log_groups
            for page in pages.paginate(logGroupName=log_group, startTime=int(since * 1000))
            for event in page["events"]
        ]
        found = [json.loads(line) for line in lines if '"message":"audit"' in line]
        return sorted(found, key=lambda line: line["timestamp"])

    def close(self) -> None:
        """Close the clients."""
        while self._clients:
            self._clients.pop().close()

    def to_json(self) -> str:
        """Return the content of stack.json."""
        facts = {known.name: getattr(self, known.name) for known in fields(self) if known.init}
        return json.dumps(facts | {"processes": [asdict(process) for process in self.processes]}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "LocalStack":
        """Read stack.json. Raises `TypeError` or `KeyError` if another version wrote it."""
        facts = json.loads(text)
        return cls(**facts | {"processes": [Process(**entry) for entry in facts["processes"]]})


@contextmanager
def local_stack(
    *,
    api_key: str | None = None,
    parameters: Mapping[str, str] | None = None,
    certcentral_url: str | None = None,
    wait_scale: float | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[LocalStack]:
    """Start a private stack, with `api_key` or a generated key, which its emulator accepts, in its secret.

    Args:
        api_key: The CertCentral API key to store.
        parameters: The template's parameters.
        certcentral_url: The CertCentral to call; no emulator is started then.
        wait_scale: Shortens the waits and retry intervals of state machines (0.001 makes an hour 3.6 s, 0 skips them).
            Other times, such as the cool-down, stay as they are.
        on_step: Called with a text after each step.

    Raises:
        StartError: Something did not start.
    """
    FOLDER.mkdir(exist_ok=True)
    with signals_end_the_block():
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=FOLDER))
        children = Children(folder)
        try:
            stack = start(
                children,
                folder,
                api_key=api_key or generate_key(),
                parameters=parameters or {},
                certcentral_url=certcentral_url,
                wait_scale=wait_scale,
                on_step=on_step,
            )
            with closing(stack):
                yield stack
        finally:
            with signals_deferred():
                children.stop()
                # After an error the logs are kept, because the message names them.
                if not isinstance(sys.exception(), StartError):
                    shutil.rmtree(folder, ignore_errors=True)


def generate_key() -> str:
    """Generate a key for the emulator."""
    return f"local-{secrets.token_hex(16)}"


def start(
    children: Children,
    folder: Path,
    *,
    api_key: str,
    parameters: Mapping[str, str],
    certcentral_url: str | None,
    wait_scale: float | None = None,
    on_step: Callable[[str], None],
) -> LocalStack:
    """Start everything as `children`, with files in `folder`. The caller stops the children, also after an error."""
    for tool in (_SAM, _RUNTIME_PYTHON):
        if not tool.exists():
            raise StartError(f"{tool} is missing. `make tools` installs it.")
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"

    # These three do not depend on each other.
    build = children.start(
        "sam build",
        [_SAM, "build", "--template", ROOT / "template.yaml", "--build-dir", folder / "build"],
        env=_build_environment(),
        cwd=ROOT,
    )
    aws = _start_aws(children, folder, port, endpoint, wait_scale)
    emulator = None if certcentral_url else _start_emulator(children, folder, api_key)

    _wait(children, aws, lambda: _answers(port, "/_ministack/health"))
    announced = _announced(children, emulator, folder / "emulator.json") if emulator else {}
    emulator_url, dns_server = announced.get("url"), announced.get("dns")
    on_step("started a local AWS" + (" and the CertCentral emulator" if emulator else ""))
    children.wait(build, 120)
    localize_build(folder / "build", _RUNTIME_PYTHON)
    on_step("built src/ with sam build")

    with closing(_client(endpoint, "sns")) as sns:
        report_topic = sns.create_topic(Name=f"{STACK_NAME}-reports")["TopicArn"]
    outputs = _deploy(
        children,
        folder,
        endpoint,
        {
            "ReportTopicArn": report_topic,
            "CertCentralBaseUrl": certcentral_url or f"{emulator_url}/services/v2",
            "Release": f"local-{folder.name}",
            **({"DnsServers": dns_server} if dns_server else {}),
            **parameters,
        },
    )
    on_step(f"deployed template.yaml with sam deploy, as stack {STACK_NAME}")

    with closing(_client(endpoint, "secretsmanager")) as secrets_manager:
        secrets_manager.put_secret_value(SecretId=outputs["ApiKeySecretArn"], SecretString=api_key)
    on_step("stored the CertCentral API key in Secrets Manager")

    api_id = outputs["ApiUrl"].removeprefix("https://").partition(".")[0]
    api_host = f"{api_id}.execute-api.localhost:{port}"
    proxy = children.start(
        "proxy",
        [*_PYTHON, "dev.local.proxy", "--to", str(port), "--host", api_host, "--announce", folder / "proxy.json"],
        env=_clean_environment(folder) | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
    )
    alias, sweep_alias = (
        outputs[name].partition(":function:")[2] for name in ("FunctionAliasArn", "SweepFunctionAliasArn")
    )
    return LocalStack(
        api_url=_announced(children, proxy, folder / "proxy.json")["url"],
        api_host=api_host,
        aws_endpoint=endpoint,
        emulator_url=emulator_url,
        dns_server=dns_server,
        region=_REGION,
        stack_name=STACK_NAME,
        function=alias.partition(":")[0],
        function_alias=alias,
        sweep_function=sweep_alias.partition(":")[0],
        sweep_function_alias=sweep_alias,
        event_bus=outputs["EventBusName"],
        send_records_table=outputs["SendRecordsTableName"],
        secret=outputs["ApiKeySecretArn"],
        failed_events_queue_url=outputs["FailedEventsQueueUrl"],
        undelivered_events_queue_url=outputs["UndeliveredEventsQueueUrl"],
        queue_url=outputs["ReminderQueueUrl"],
        reminder_dead_letter_queue_url=outputs["ReminderDeadLetterQueueUrl"],
        reminder_mapping_id=outputs["ReminderMappingId"],
        state_machine=outputs.get("ChaseStateMachineArn"),
        log_group=outputs["LogGroupName"],
        sweep_log_group=outputs["SweepLogGroupName"],
        report_topic=report_topic,
        order_types=parameters.get("OrderTypes", "dv"),
        processes=list(children.started),
    )


def _start_aws(children: Children, folder: Path, port: int, endpoint: str, wait_scale: float | None) -> Process:
    # Functions inherit this environment, less what their bootstrap unsets, so it has only what they may see.
    # The local AWS keeps everything in memory except the unpacked code, which goes to TMPDIR.
    return children.start(
        "local AWS",
        [_RUNTIME_PYTHON, "-P", Path(__file__).with_name("local_aws.py")],
        env=_clean_environment(folder)
        | {
            "AUTH": "true",  # enforces the functions' IAM roles
            # Each concurrent call is a process here. AWS has such a limit too (1000 per account), with the same error.
            "LAMBDA_ACCOUNT_CONCURRENCY": "16",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": _REGION,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_ACCOUNT_ID": _ACCOUNT,
            "MINISTACK_REGION": _REGION,
        }
        | ({} if wait_scale is None else {"SFN_WAIT_SCALE": str(wait_scale)}),
        cwd=folder,
    )


def _start_emulator(children: Children, folder: Path, api_key: str) -> Process:
    return children.start(
        "emulator",
        [*_PYTHON, "dev.emulator", "--valid-key", api_key, "--announce", folder / "emulator.json"],
        env=_clean_environment(folder) | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
    )


def _deploy(children: Children, folder: Path, endpoint: str, parameters: Mapping[str, str]) -> dict[str, str]:
    deploy = children.start(
        "sam deploy",
        [
            *(_SAM, "deploy", "--template-file", folder / "build/template.yaml", "--stack-name", STACK_NAME),
            *("--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"),
            *("--region", _REGION, "--parameter-overrides"),
            *(f"{name}={value}" for name, value in parameters.items()),
        ],
        env=_clean_environment(folder)
        | _AWS_SETTINGS
        | {"AWS_ENDPOINT_URL": endpoint, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.2"},
        cwd=folder,
    )
    children.wait(deploy, 120)
    with closing(_client(endpoint, "cloudformation")) as cloudformation:
        (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _build_environment() -> dict[str, str]:
    """Return the user's environment, which may name a package registry, without AWS and Python settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))} | {
        "SAM_CLI_TELEMETRY": "0",
        "UV": str(_TOOLS / "uv/bin/uv"),
        "PYTHON": sys.executable,
    }


def _clean_environment(folder: Path) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(temporary)}


def _client(endpoint: str, service: str) -> Any:
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    make: Any = boto3.Session(_ACCOUNT, "local", region_name=_REGION, botocore_session=session).client
    return make(service, endpoint_url=endpoint, config=Config(proxies={}))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _announced(children: Children, process: Process, file: Path) -> dict[str, str]:
    """Wait for the addresses that `process` writes to `file` as soon as it listens."""
    _wait(children, process, file.exists)
    addresses: dict[str, str] = json.loads(file.read_text())
    return addresses


def _wait(children: Children, process: Process, is_ready: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_ready():
        if not process.is_running:
            raise children.failure(process, "has stopped")
        if time.monotonic() > deadline:
            raise children.failure(process, f"was not ready within {seconds:.0f} s")
        time.sleep(0.02)
