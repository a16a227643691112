"""The documents against the code: tables, links, limits, and every code block, which is run or listed."""

import ast
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from click.testing import CliRunner
from conftest import settings_read
from unit.fakes import FakeReportTopic

from contract.template import PARAMETERS, RESOURCES, TEMPLATE, of_type
from dev import pages
from dev.emulator import CertCentralEmulator
from dev.pages import NAMES, ROOT, Block, codes, rows_of, section
from dv_resend import errors
from dv_resend.core.orders import NameStatus, OrderStatus
from dv_resend.core.pending import PendingList, PendingOrder
from dv_resend.core.report import Reporter, StuckOrders
from dv_resend.core.requests import INPUT_FIELDS, ResendRequest
from dv_resend.core.resend import ResendResult
from dv_resend.core.sweep import SweepSummary
from dv_resend.handlers import events
from dv_resend.observability import MetricName
from dv_resend_cli.cli import cli

MAKEFILE = (ROOT / "Makefile").read_text()
OUTPUTS = set(TEMPLATE["Outputs"])
# The last part of an output, which policies need.
PARTS = {re.sub("(Arn|Url)$", "Name", name) for name in OUTPUTS if name.endswith(("StateMachineArn", "QueueUrl"))}
CLASSES = {cls.__name__: cls for cls in errors.ResendError.__subclasses__()}
CHASE: dict[str, Any] = json.loads((ROOT / "src/workflows/chase.asl.json").read_text())
BLOCKS = [block for name in NAMES for block in pages.blocks(name)]

# Commands that need an AWS account. Their options and their payloads are checked, they are not run.
NEEDS_AWS_ACCOUNT = {
    *("cloudformation describe-stacks", "events put-events", "lambda invoke", "scheduler create-schedule"),
    *("lambda get-function-configuration", "stepfunctions start-execution"),
}
# Run by contract/test_command as far as they can be without changing this machine.
INSTALL_COMMAND = [
    *(["uv", "tool", "install", "."], ["pipx", "install", "."], ["export", "DV_RESEND_STACK=dv-resend-prod"]),
]
# Programs that send DigiCert's request, by section. They are run here and in e2e/test_clients.
CLIENTS = {("README.md", "Call it")} | {("docs/calling.md", title) for title in ("curl", "Python", "Go", "Node.js")}
LOCAL_SETUP = ("docs/calling.md", "Client snippets")
EMULATOR = ("CONTRIBUTING.md", "Steer the emulator")  # tests/dev/test_control_api.py
# A sample report, which is compared with the code.
REPORT = ("docs/reminders.md", "The report")
# The users who run the command in the end-to-end tests have these.
POLICIES = ("docs/operations.md", "Who may use the command")
# Run in e2e/test_docs, against the deployed stack.
RUN_DEPLOYED = {("docs/dry-run.md", "Ask")}


# ---------------------------------------------------------------- form


def test_readme_is_short() -> None:
    readme = pages.read("README.md")

    assert len(readme.splitlines()) <= 200
    assert len(readme.encode()) <= 12 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_page_lines_are_short(name: str) -> None:
    lines = pages.read(name).splitlines()

    assert [number for number, line in enumerate(lines, 1) if len(line) > 160] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs/")])
def test_page_starts_with_its_contents(name: str) -> None:
    before = pages.prose(name).partition("\n## ")[0]
    contents = re.findall(r"^- \[(.*)\]\((#.*)\)$", before, re.MULTILINE)

    assert [title for title, _ in contents] == [title for level, title in pages.headings(name) if level == 2]
    assert pages.headings(name)[0][0] == 1


@pytest.mark.parametrize("name", NAMES)
def test_page_links_resolve(name: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", pages.prose(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        page = os.path.normpath(Path(name).parent / path) if path else name
        if not (ROOT / page).exists() or (anchor and anchor not in pages.anchors(page)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_page_names_files_that_exist(name: str) -> None:
    paths = [code for code in codes(pages.prose(name)) if re.fullmatch(r"(src|tests|dev|docs|events)/[\w./-]*", code)]

    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_page_names_make_targets_that_exist(name: str) -> None:
    named = [target for code in codes(pages.prose(name)) for target in re.findall(r"\bmake ([a-z-]+)", code)]

    assert [target for target in named if not is_target(target)] == []


@pytest.mark.parametrize("name", NAMES)
def test_page_names_outputs_and_parameters_that_exist(name: str) -> None:
    text = pages.read(name)
    named = [code for code in codes(pages.prose(name)) if re.fullmatch(r"[A-Z]\w+(Arn|Url|Name)", code)]
    set_to = re.findall(r"`([A-Z][a-z]\w+)=", text)

    assert {*re.findall(r"<([A-Z]\w+)>", text)} <= OUTPUTS | PARTS
    assert {*named} <= OUTPUTS | PARTS | PARAMETERS.keys()
    assert {*set_to} <= PARAMETERS.keys()


# ---------------------------------------------------------------- code blocks


def way_to_check(block: Block) -> str | None:
    """Name what checks a code block; None if nothing does."""
    place = (block.page, block.section)
    match block.language:
        case _ if block.is_written or place in RUN_DEPLOYED:
            return "e2e/test_docs"
        case "json" if place in EXAMPLES:
            return "compared with the code"
        case "text" if place == REPORT:
            return "compared with the code"
        case "json" if place == POLICIES:
            return "given to the users of the end-to-end tests"
        case "mermaid":
            return "compared with the template or the workflow"
        case _ if block in CLIENT_BLOCKS:
            return "run against a recorder"
        case "sh" if place == LOCAL_SETUP:
            return "run beside a stack file"
        case "sh" if place == EMULATOR:
            return "run against an emulator"
        case "sh" if all(map(is_checked, pages.commands(block))):
            return "compared with the Makefile, with AWS's API and with the command"
    return None


def is_checked(words: list[str]) -> bool:
    return is_make(words) or needs_aws(words) or is_dv_resend(words) or words in INSTALL_COMMAND


def is_dv_resend(words: list[str]) -> bool:
    return words[0] == "dv-resend"


def is_make(words: list[str]) -> bool:
    """Whether a command calls make, with or without variables before it."""
    return next(word for word in words if not re.match(r"[A-Z_]+=", word)) == "make"


def needs_aws(words: list[str]) -> bool:
    return words[0] == "aws" and " ".join(words[1:3]) in NEEDS_AWS_ACCOUNT


def is_target(name: str) -> bool:
    return re.search(rf"^{re.escape(name)}:", MAKEFILE, re.MULTILINE) is not None


def is_client(block: Block) -> bool:
    if (block.page, block.section) not in CLIENTS or block.is_written:
        return False
    return block.language != "sh" or pages.commands(block)[0][0] == "curl"


CLIENT_BLOCKS = [block for block in BLOCKS if is_client(block)]
COMMANDS = {shlex.join(words): words for block in BLOCKS if block.language == "sh" for words in pages.commands(block)}
DV_RESEND_COMMANDS = [text for text, words in COMMANDS.items() if is_dv_resend(words)]
MAKE_COMMANDS = [text for text, words in COMMANDS.items() if is_make(words)]
AWS_COMMANDS = {text: words for text, words in COMMANDS.items() if words[0] == "aws"}


def test_code_block_is_run_or_listed() -> None:
    assert [str(block) for block in BLOCKS if way_to_check(block) is None] == []


def test_listed_places_and_commands_are_documented() -> None:
    places = {(block.page, block.section) for block in BLOCKS}

    assert places >= {*CLIENTS, *EXAMPLES, *RUN_DEPLOYED, LOCAL_SETUP, POLICIES, REPORT}
    assert {" ".join(words[1:3]) for words in AWS_COMMANDS.values()} == NEEDS_AWS_ACCOUNT


@pytest.mark.parametrize("command", MAKE_COMMANDS)
def test_documented_make_command_is_understood(command: str) -> None:
    """With the flag `n`, make prints what it would run."""
    environment = {"PATH": os.environ["PATH"], "MAKEFLAGS": "n"}

    ran = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("command", DV_RESEND_COMMANDS)
def test_documented_dv_resend_command_is_understood(command: str) -> None:
    words = shlex.split(command.partition(" >")[0])

    assert CliRunner().invoke(cli, [*words[1:], "--help"]).exit_code == 0


@pytest.mark.parametrize("words", AWS_COMMANDS.values(), ids=AWS_COMMANDS)
def test_documented_aws_command_has_known_options(words: list[str]) -> None:
    service, operation = words[1:3]
    model = botocore.session.get_session().get_service_model({"deploy": "codedeploy"}.get(service, service))
    names = {botocore.xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(names[operation]).input_shape
    assert shape is not None
    members = {botocore.xform_name(name, "-"): member.type_name for name, member in shape.members.items()}
    known = members.keys() | {f"no-{name}" for name, kind in members.items() if kind == "boolean"}
    # Of the command itself, for every operation.
    known |= {"query", "output", "cli-binary-format", "cli-read-timeout"}

    assert {word.removeprefix("--") for word in words[3:] if word.startswith("--")} <= known


@pytest.mark.parametrize("words", AWS_COMMANDS.values(), ids=AWS_COMMANDS)
def test_documented_aws_payload_is_understood(words: list[str]) -> None:
    options = dict(pairwise(words))
    match " ".join(words[1:3]):
        case "lambda invoke" if not options["--payload"].startswith("file://"):
            parsed(json.loads(options["--payload"]))
        case "events put-events":
            (entry,) = json.loads(options["--entries"])
            assert entry.keys() == {"EventBusName", "Source", "DetailType", "Detail"}
            parsed({"id": "1", "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])})
        case "scheduler create-schedule":
            target = json.loads(options["--target"])
            assert target.keys() == {"Arn", "RoleArn", "Input"}
            parsed(json.loads(target["Input"]))
        case "stepfunctions start-execution":
            given = json.loads(options["--input"])
            waits = given.pop("waits_hours", [1])
            assert all(wait > 0 for wait in waits)
            parsed(given)


def parsed(event: dict[str, Any]) -> None:
    """Parse an event as the function does; it raises `InvalidRequest` for a wrong one."""
    source = events.source_of(event)
    assert source in ("event", "direct", "schedule")
    events.parse(source, event)


# ---------------------------------------------------------------- JSON examples


def is_result(example: dict[str, Any]) -> bool:
    request = ResendRequest(123456789)
    return ResendResult(request, "sent", 1795446245, 0).to_json() == example


def is_status(example: dict[str, Any]) -> bool:
    return OrderStatus(123456789, "pending", "email", (NameStatus("example.com", "pending"),)).to_json() == example


def is_summary(example: dict[str, Any]) -> bool:
    return SweepSummary(**example).to_json() == example and example.keys() == SweepSummary().to_json().keys()


def is_pending_list(example: dict[str, Any]) -> bool:
    order = PendingOrder(100000012, "old.example", "pending", 45, "stuck")
    return PendingList([order], other_products=12).to_json() == example


def is_chase_output(example: dict[str, Any]) -> bool:
    return set(example) == set(CHASE["States"]["Report"]["Output"])


def is_task(example: dict[str, Any]) -> bool:
    (rule,) = example["Retry"]
    retryable = {name for name, cls in CLASSES.items() if cls.retryable}
    # A few retries outlast neither a pause nor what only a sweep meets.
    return (
        set(rule["ErrorEquals"]) == retryable - {"SendingPaused", "QueueUnavailable"}
        and set(example["Arguments"]["Payload"]) <= INPUT_FIELDS
    )


EXAMPLES = {
    ("docs/calling.md", "Direct invoke"): is_result,
    ("docs/calling.md", "Status of an order"): is_status,
    ("docs/calling.md", "Step Functions"): is_task,
    ("docs/reminders.md", "The summary"): is_summary,
    ("docs/reminders.md", "Pending orders"): is_pending_list,
    ("docs/chase.md", "How it ends"): is_chase_output,
}


@pytest.mark.parametrize("place", EXAMPLES, ids=" ".join)
def test_json_example_is_what_the_code_writes(place: tuple[str, str]) -> None:
    found = [block for block in BLOCKS if (block.page, block.section) == place and block.language == "json"]

    assert len(found) == 1
    assert EXAMPLES[place](json.loads(found[0].text))


def test_report_example_is_what_the_code_writes() -> None:
    (block,) = [block for block in BLOCKS if (block.page, block.section) == REPORT]
    stuck, topic = StuckOrders(), FakeReportTopic()
    stuck.add(PendingOrder(100000012, "old.example", "pending", 45, "stuck"))
    stuck.add(PendingOrder(100000031, "www.example.com", "pending", 23, "stuck", is_newly_stuck=True))
    statuses = {"pending": 22, "reissue_pending": 2}
    summary = SweepSummary(24, 12, due=5, enqueued=5, stuck=2, oldest_days=45, by_status=statuses)

    Reporter(topic, "dv-resend-prod", "eu-west-1").report(stuck, summary.to_text(), deadline=0)

    assert [text for _, text in topic.reports] == [block.text]


def test_diagrams_show_what_exists() -> None:
    readme, chase = (block.text for block in BLOCKS if block.language == "mermaid")

    assert {*re.findall(r"\[(\w+Function)\]", readme)} == of_type("AWS::Serverless::Function").keys()
    states = {name for pair in re.findall(r"(\w+|\[\*\]) --> (\w+)", chase) for name in pair} - {"[*]"}
    assert {"Resend", "Issued"} < states <= CHASE["States"].keys()
    ends = {name for name, state in CHASE["States"].items() if state["Type"] == "Fail"}
    assert ends - {"InvalidRequest"} < states


# ---------------------------------------------------------------- client snippets

ANSWER = '{"errors": [{"code": "a_code", "message": "What a client prints."}]}'
TIMEOUTS = {
    "sh": "--max-time 35 ",
    "python": "timeout=35)",
    "go": "Timeout: 35 * time.Second",
    "js": "AbortSignal.timeout(35_000)",
}


@pytest.fixture
def api() -> Iterator[CertCentralEmulator]:
    """Answers every call in the same way, and keeps what came."""
    with CertCentralEmulator() as emulator:
        emulator.inject({"fault": "status", "status": 409, "body": ANSWER})
        yield emulator


def is_signed(block: Block) -> bool:
    return "sigv4" in block.text.lower()


def authorizations() -> Iterator[Any]:
    """Pair each snippet with how it authorizes itself, given a token or none."""
    for block in CLIENT_BLOCKS:
        if block.language in ("go", "js"):
            yield pytest.param(block, "a-token", "Bearer a-token", id=f"{block.section} with a token")
            yield pytest.param(block, "", None, id=f"{block.section} unsigned")
        else:
            kind = "signed" if is_signed(block) else "unsigned"
            expected = "AWS4-HMAC-SHA256 " if is_signed(block) else None
            yield pytest.param(block, "", expected, id=f"{block.page} {block.section} {kind}")


@pytest.mark.parametrize(("block", "token", "authorization"), [*authorizations()])
def test_snippet_sends_the_request_and_prints_the_answer(
    api: CertCentralEmulator, tmp_path: Path, block: Block, token: str, authorization: str | None
) -> None:
    variables = pages.environment(
        DV_RESEND_URL=api.url, DV_RESEND_TOKEN=token, AWS_REGION="eu-west-1", AWS_SESSION_TOKEN="a-session"
    )

    ran = subprocess.run(
        pages.program(block, tmp_path), env=variables, check=True, capture_output=True, text=True, timeout=120
    )

    (request,) = api.calls
    assert (request["method"], request["path"]) == ("PUT", "/services/v2/order/certificate/123456789/resend-emails")
    assert json.loads(request["body"]) == {
        "domain_approval_emails": [{"domain": "example.com", "email": "admin@example.com"}],
        "locale": "en",
    }
    assert request["headers"]["content-type"] == "application/json"
    sent = request["headers"].get("authorization")
    assert sent is None if authorization is None else sent.startswith(authorization)
    assert "409" in ran.stdout
    assert ANSWER in ran.stdout
    assert TIMEOUTS[block.language] in block.text


def test_every_language_has_an_unsigned_snippet() -> None:
    unsigned = {block.language for block in CLIENT_BLOCKS if not is_signed(block)}
    signed = {block.language for block in CLIENT_BLOCKS if is_signed(block)}

    assert unsigned == {"sh", "python", "go", "js"}
    assert signed == {"sh", "python"}


def test_local_address_is_read_from_the_stack_file(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if (block.page, block.section) == LOCAL_SETUP]
    make, export = block.text.splitlines()
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/stack.json").write_text(json.dumps({"api_url": "http://127.0.0.1:4711"}))

    ran = subprocess.run(
        ["sh", "-c", f"{export}\necho $DV_RESEND_URL"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert is_make(make.split())
    assert ran.stdout == "http://127.0.0.1:4711\n"


# ---------------------------------------------------------------- tables


def test_error_table_is_the_tree() -> None:
    documented = {
        name.strip("`"): (int(status), code.strip("`").partition("|<")[0], retryable == "yes")
        for name, _, status, code, retryable in rows_of("docs/reference.md", "Errors")
    }

    assert documented == {name: (cls.http_status, cls.base_code, cls.retryable) for name, cls in CLASSES.items()}


def test_every_error_says_what_its_caller_does() -> None:
    points = section("docs/calling.md", "Errors to handle").split("\n- ")[1:]
    named = [[code for code in codes(point) if code in CLASSES] for point in points]
    (retry,) = [names for point, names in zip(points, named, strict=True) if "try later" in point]

    assert set(retry) == {name for name, cls in CLASSES.items() if cls.retryable}
    # The first point is about repeats, the last one about errors that are not ours.
    assert sorted(name for names in named[1:-1] for name in names) == sorted(CLASSES)
    for point, names in zip(points[1:-1], named[1:-1], strict=True):
        statuses = {int(code) for code in codes(point) if re.fullmatch(r"\d{3}", code)}
        assert statuses == {CLASSES[name].http_status for name in names}


def test_reasons_are_those_of_the_code() -> None:
    documented = {row[0].strip("`") for row in rows_of("docs/reference.md", "Reasons of OrderNotEligible")}
    source = "".join(path.read_text() for path in (ROOT / "src/dv_resend").rglob("*.py"))

    assert documented == {*re.findall(r'OrderNotEligible\(\s*"(\w+)"', source)}


def test_settings_table_is_what_the_code_reads() -> None:
    rows = rows_of("docs/reference.md", "Settings")
    defaults = {
        parameter.strip("`"): default.strip("`")
        for _, parameter, _, default in rows
        if parameter and re.fullmatch(r"`?[a-z0-9,]+`?", default) and default != "own"
    }

    assert {row[0].strip("`") for row in rows} == settings_read() | {
        "RELEASE",
        "POWERTOOLS_SERVICE_NAME",
        "AWS_CA_BUNDLE",
    }
    assert {row[1].strip("`") for row in rows if row[1]} <= PARAMETERS.keys()
    assert len(defaults) == 8
    assert defaults == {name: str(PARAMETERS[name]["Default"]) for name in defaults}


def test_field_tables_are_those_of_the_code() -> None:
    def fields(page: str, title: str) -> set[str]:
        return {name for row in rows_of(page, title) for name in codes(row[0])}

    assert fields("docs/calling.md", "Request fields") == INPUT_FIELDS
    assert fields("docs/reminders.md", "The summary") == {*SweepSummary().to_json(), "plan"}
    listing, order = pages.tables(section("docs/reminders.md", "Pending orders"))
    assert {row[0].strip("`") for row in listing} == PendingList().to_json().keys()
    row = PendingOrder(1, "", "", None, "stuck").to_json()
    assert {name for cells in order for name in codes(cells[0])} == row.keys()
    result, status = pages.tables(section("docs/reference.md", "Results"))
    assert {row[0].strip("`") for row in result} == ResendResult(ResendRequest(1), "sent", 1, 0).to_json().keys()
    assert {name for row in status for name in codes(row[0])} == OrderStatus(1, "", "", ()).to_json().keys()
    answer = json.loads(pages.written("docs/dry-run.md", "The answer").text)
    assert fields("docs/dry-run.md", "The answer") >= answer.keys() - {"order_id", "outcome"}


def test_operations_has_every_metric() -> None:
    documented = [row[0].strip("`") for row in rows_of("docs/operations.md", "Watch it")]

    assert sorted(documented) == sorted(MetricName)


def test_operations_has_every_alarm() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    entries = [title for level, title in pages.headings("docs/operations.md") if level == 3]

    assert sorted(entries) == sorted(alarms)


def test_operations_has_every_saved_query() -> None:
    queries = {query["Name"]["Fn::Sub"].partition("/")[2] for query in of_type("AWS::Logs::QueryDefinition").values()}
    text = re.sub(r"`[^`\n]*`", "", pages.prose("docs/operations.md"))

    assert {row[0].strip("*") for row in rows_of("docs/operations.md", "Find out who was mailed")} == queries
    assert {*re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", text)} - {"service user"} <= queries


def test_operations_needs_nothing_but_the_outputs() -> None:
    """Nobody cuts names out of ARNs at three in the morning; policies are written once."""
    blocks = [block for block in BLOCKS if block.page == "docs/operations.md"]
    texts = dict.fromkeys((False, True), "")
    for block in blocks:
        texts[(block.page, block.section) == POLICIES] += block.text

    known = OUTPUTS | {"region", "account", "stack"}
    assert {*re.findall(r"<([^>\n]*)>", texts[False])} <= known
    assert {*re.findall(r"<([^>\n]*)>", texts[True])} <= known | PARTS | {"partition"}


def test_policies_name_what_they_are_about() -> None:
    blocks = [block for block in BLOCKS if (block.page, block.section) == POLICIES]
    statements = [statement for block in blocks for statement in json.loads(block.text)["Statement"]]

    assert len(blocks) == 2
    assert [statement["Action"] for statement in statements if statement["Resource"] == "*"] == [
        "codedeploy:StopDeployment"
    ]
    assert not [statement for statement in statements if "*" in str(statement["Action"])]


def test_permissions_to_deploy_cover_every_resource(expanded: dict[str, Any]) -> None:
    """Against the permissions that CloudFormation's handlers of the resource types need, as cfn-lint's copies say."""
    rows = rows_of("docs/operations.md", "Permissions to deploy")
    documented = {action for row in rows for action in codes(row[1])}
    needed = {
        permission
        for kind in {resource["Type"] for resource in expanded.values()}
        for name in ("create", "read", "update", "delete")
        for permission in schema(kind).get("handlers", {}).get(name, {}).get("permissions", [])
    }
    services = {permission.partition(":")[0] for permission in needed}
    # Of features that the template does not use.
    unused = {"ec2", "elasticfilesystem", "firehose", "kinesis", "kms", "s3", "s3files"}

    assert {service for service in services - unused if f"{service}:*" not in documented} == {"iam"}
    assert {"cloudformation:*", "s3:*"} <= documented
    ours = re.compile(r"iam:\w*(Role|Policy|PolicyVersion|Policies|PolicyVersions|EntitiesForPolicy)$")
    elsewhere = re.compile(r"Group|User|PermissionsBoundary|ServiceLinked")
    iam = {name for name in needed if ours.match(name) and not elsewhere.search(name)}
    assert iam <= documented


def schema(kind: str) -> dict[str, Any]:
    """The schema of a resource type in CloudFormation's registry."""
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    return found


def test_operations_has_every_dead_letter_queue() -> None:
    documented = {row[0].strip("`") for row in rows_of("docs/operations.md", "Redrive a queue")}
    queues = {name for name in RESOURCES if RESOURCES[name]["Type"] == "AWS::SQS::Queue"} - {"ReminderQueue"}

    assert documented == {f"{name}Url" for name in queues}


def test_chase_page_has_every_end() -> None:
    ends = {state["Error"] for state in CHASE["States"].values() if state["Type"] == "Fail"}
    named = {name for row in rows_of("docs/chase.md", "How it ends") for name in codes(row[0])}

    assert named == ends - {"InvalidRequest"}


# ---------------------------------------------------------------- the threat model


def test_threat_model_names_tests_that_exist() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", pages.read("SECURITY.md"))
    missing = [f"{file}::{name}" for file, name in named if name not in functions(ROOT / "tests" / file)]

    # Nothing else in it looks like a test.
    assert len(named) == pages.read("SECURITY.md").count("::")
    assert len(set(named)) > 50
    assert missing == []


@cache
def functions(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_threat_has_a_mitigation_and_a_test() -> None:
    model = pages.read("SECURITY.md").partition("## Threat model")[2].partition("\n## ")[0]
    attackers = model.split("\n### ")[1:]

    # Anybody, callers, producers, workflows, operators, upstream, DNS, network, readers of logs, third-party code.
    assert len(attackers) == 10
    for text in attackers:
        (rows,) = pages.tables(text)
        tests = dict(re.findall(r"^(\d+)\. ((?:`[^`]+`\s+)+)", text + "\n", re.MULTILINE))
        assert [number for number, *_ in rows] == [str(number) for number in range(1, len(rows) + 1)]
        assert all(threat and stop for _, threat, stop in rows)
        assert [*tests] == [number for number, *_ in rows]
        assert all("::test_" in named for named in tests.values())
