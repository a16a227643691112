"""`redrive`: what becomes of each event, and what stays in its queue."""

import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.conftest import CALLER, OUTPUTS, FakeAws, Run, refused
from dv_resend import errors as function_errors
from dv_resend_cli.redrive import LATER

PLACE = "stack test, eu-west-1, account 123456789012"
ID = "0f6a3a1e-9a55-4d3e-8f57-6c1d8f0e2b11"
DOWN = ("CertCentralUnavailable", "No answer.")
PLAN = {"outcome": "planned", "would_be": "sent", "recipients": "default", "order": {"status": "pending"}}
SENT = {"outcome": "sent", "recipients": ["admin@a.test"], "skipped": [], "sent_at": "2026-11-23T15:04:05Z"}
ISSUED = PLAN | {
    "would_be": "OrderNotEligible",
    "code": "order_not_eligible|not_pending",
    "order": {"status": "issued"},
}
UNKNOWN = PLAN | {"would_be": "OutcomeUnknown", "until": "2026-11-23T16:04:05Z"}
DUPLICATE = PLAN | {"would_be": "duplicate", "until": "2026-11-23T16:04:05Z"}


class World:
    """A stack with events in its queues, with functions that answer, and with an audit trail."""

    def __init__(self, aws: FakeAws) -> None:
        self.aws = aws
        self.plan: Any = PLAN
        self.sent: Any = SENT
        self.swept: Any = {"listed": 24, "enqueued": 5}
        self.audit: list[dict[str, Any]] = []
        self.failed_at = time.time()
        self.waiting: dict[str, dict[str, Any]] = {}
        self.hidden: set[str] = set()
        aws.answer("sqs", "receive_message", self._receive)
        aws.answer("sqs", "delete_message", lambda **of: self.waiting.pop(of["ReceiptHandle"]))
        aws.answer("sqs", "change_message_visibility", self._change_visibility)
        aws.answer("sqs", "get_queue_attributes", lambda **_: {"Attributes": self._counts()})
        aws.answer("logs", "filter_log_events", self._filter)
        aws.answer("lambda", "invoke", self._invoke)

    def fails(self, event: Any, error: tuple[str, str] = DOWN) -> None:
        """Put Lambda's record of a failed event into its queue."""
        response = {"errorType": error[0], "errorMessage": error[1]}
        context = {"requestId": ID, "condition": "RetriesExhausted"}
        self.put(json.dumps({"requestContext": context, "requestPayload": event, "responsePayload": response}))

    def put(self, body: str, **attributes: str) -> None:
        named = {name: {"StringValue": value, "DataType": "String"} for name, value in attributes.items()}
        message = {
            "Body": body,
            "Attributes": {"SentTimestamp": f"{int(self.failed_at * 1000)}"},
            "MessageAttributes": named,
        }
        number = f"m-{len(self.waiting)}"
        self.waiting[number] = message | {"MessageId": number, "ReceiptHandle": number}

    def logs(self, message: str, outcome: str, *, at: int = 0, **fields: Any) -> None:
        line = {"message": message, "outcome": outcome, "function_request_id": ID, "duration_ms": 100, **fields}
        self.audit.append({"timestamp": at, "message": json.dumps(line)})

    @property
    def sends(self) -> list[dict[str, Any]]:
        """The events that were sent to the functions, without dry runs."""
        return [event for event in self.aws.events if event.get("detail", event).get("dry_run") is not True]

    def _change_visibility(self, **of: Any) -> None:
        if not of["VisibilityTimeout"]:
            self.hidden.discard(of["ReceiptHandle"])

    def _counts(self) -> dict[str, str]:
        hidden = len(self.hidden & self.waiting.keys())
        return {
            "ApproximateNumberOfMessages": f"{len(self.waiting) - hidden}",
            "ApproximateNumberOfMessagesNotVisible": f"{hidden}",
        }

    def _receive(self, **_: Any) -> Any:
        visible = [message for number, message in self.waiting.items() if number not in self.hidden][:1]
        self.hidden |= {message["MessageId"] for message in visible}
        return {"Messages": visible} if visible else {}

    def _filter(self, **query: Any) -> Any:
        assert query["filterPattern"] in (f'"{ID}"', '"e-1"')
        # Two pages, as a long log has.
        if "nextToken" not in query:
            return {"events": [{"timestamp": 0, "message": "not JSON"}], "nextToken": "more"}
        return {"events": self.audit}

    def _invoke(self, **arguments: Any) -> Any:
        event = json.loads(arguments["Payload"])
        answer = (
            self.swept if "detail" not in event else self.plan if event["detail"].get("dry_run") is True else self.sent
        )
        answer = answer(event) if callable(answer) else answer
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, tuple):
            body = json.dumps({"errorType": answer[0], "errorMessage": answer[1]}).encode()
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(body)}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the command waited, without waiting."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


@pytest.fixture
def world(aws: FakeAws, waits: list[float]) -> World:  # noqa: ARG001
    return World(aws)


@pytest.fixture
def redrive(world: World, run: Run) -> Callable[..., tuple[list[str], int]]:
    """Redrive a queue; return the outcomes and the exit code. What stays is visible again."""

    def redrive(*options: str, queue: str = "failed-events") -> tuple[list[str], int]:
        chosen = ["--all"] if {"--force", "--drop"} & {*options} and not {"--order", "--event"} & {*options} else []
        result = run("redrive", queue, "--json", *options, *chosen)
        report = json.loads(result.stdout)
        assert not world.hidden & world.waiting.keys()
        return [event["outcome"] for event in report["events"]], result.exit_code

    return redrive


type Redrive = Callable[..., tuple[list[str], int]]


# ---------------------------------------------------------------- one event


@pytest.mark.parametrize(
    ("event", "event_id"),
    [
        ({"order_id": 7, "locale": "de"}, ID),
        ({"id": "e-1", "detail-type": "Resend DV Emails", "detail": {"order_id": 7, "locale": "de"}}, "e-1"),
    ],
    ids=["direct", "event"],
)
def test_wanted_event_is_sent_again_under_its_own_id(
    world: World, redrive: Redrive, event: dict[str, Any], event_id: str
) -> None:
    world.fails(event)

    assert redrive() == (["sent"], 0)
    assert world.waiting == {}
    (sent,) = world.sends
    assert (sent["id"], sent["detail-type"]) == (event_id, "Resend DV Emails")
    assert sent["detail"] == {"order_id": 7, "locale": "de", "requested_by": CALLER}


def test_undelivered_event_is_sent_and_shown_with_its_error(world: World, run: Run) -> None:
    entry = {"domain": "a.test", "email": "admin@a.test"}
    detail = {"order_id": 7, "domain_approval_emails": [entry]}
    event = {"id": ID, "detail-type": "Resend DV Emails", "detail": detail}
    world.put(json.dumps(event), ERROR_CODE="NO_PERMISSIONS", ERROR_MESSAGE="Not allowed.")

    result = run("redrive", "undelivered")

    assert result.stdout.splitlines() == [
        f"Order 7, event {ID}, to admin@a.test: failed with NO_PERMISSIONS: Not allowed.",
        "  sent (deleted): to admin@a.test",
        f"1 sent ({PLACE})",
    ]


@pytest.mark.parametrize(
    ("plan", "outcome", "exit_code"),
    [
        (ISSUED, "not wanted", 0),
        (ISSUED | {"code": "order_not_eligible|already_validated"}, "not wanted", 0),
        (DUPLICATE, "done", 0),
        (ISSUED | {"code": "order_not_eligible|needs_approval"}, "refused", 3),
        (("OrderNotFound", "No such order."), "refused", 3),
        (("InvalidRequest", "order_id: must be a number."), "refused", 3),
        (UNKNOWN, "unknown", 5),
        (PLAN | {"would_be": "ResendInProgress"}, "later", 4),
        (PLAN | {"would_be": "SendingPaused"}, "later", 4),
        (("ApiKeyRejected", "No."), "later", 6),
        (("KeyError", "'x'"), "later", 1),
        (refused("TooManyRequestsException", 429, Reason="Concurrent"), "later", 4),
    ],
    ids=repr,
)
def test_event_that_a_resend_would_not_send_is_not_sent(
    world: World, redrive: Redrive, plan: Any, outcome: str, exit_code: int
) -> None:
    world.fails({"order_id": 7})
    world.plan = plan

    assert redrive() == ([outcome], exit_code)
    assert world.sends == []
    assert (world.waiting == {}) == (exit_code == 0)


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ({"order_id": 7, "dry_run": True}, "not wanted"),
        ({"action": "status", "order_id": 7}, "not wanted"),
        ({"action": "sweep", "dry_run": True}, "not wanted"),
        # The function refuses it; without `dry_run`, it would send.
        ({"order_id": 7, "dry_run": "yes"}, "refused"),
        ({"action": "pending"}, "not wanted"),
    ],
)
def test_event_that_asks_for_no_email_sends_none(
    world: World, redrive: Redrive, event: dict[str, Any], outcome: str
) -> None:
    world.fails(event)
    world.sent = ("InvalidRequest", "dry_run: must be true or false.")

    assert redrive()[0] == [outcome]
    assert [event["detail"]["dry_run"] for event in world.aws.events] == ([True, "yes"] if outcome == "refused" else [])


@pytest.mark.parametrize("fields", [{"action": "resend"}, {"action": ["status"]}, {"force": 1}, {"force": False}])
def test_fields_of_a_request_reach_the_function(world: World, redrive: Redrive, fields: dict[str, Any]) -> None:
    """Whether they are wrong is the function's to say."""
    world.fails({"order_id": 7} | fields)
    world.plan = ("InvalidRequest", "Wrong.")

    assert redrive() == (["refused"], 3)
    assert len(world.waiting) == 1
    (event,) = world.aws.events
    assert repr(event["detail"] | fields) == repr(event["detail"])


@pytest.mark.parametrize(
    "body",
    [
        *("no JSON", "[]", "{}", '{"requestPayload": [1]}', '{"requestPayload": {"httpMethod": "PUT"}}', "[" * 20_000),
        '{"requestPayload": {"detail-type": "Resend DV Emails", "detail": null}}',
        '{"requestPayload": {"Records": [{"eventSource": "aws:sqs"}]}, "responsePayload": "x", "requestContext": 1}',
    ],
    ids=lambda body: body[:40],
)
def test_poisoned_message_is_shown_and_stays(world: World, redrive: Redrive, run: Run, body: str) -> None:
    world.put(body)
    world.fails({"order_id": 7})

    assert redrive() == (["refused", "sent"], 3)
    assert len(world.waiting) == 1
    report = json.loads(run("redrive", "failed-events", "--drop", "--all", "--json").stdout)
    # It is the last that anybody sees of it.
    assert [(event["outcome"], event["request"]) for event in report["events"]] == [("dropped", {"body": body})]
    assert world.waiting == {}


# ---------------------------------------------------------------- what may have been sent


@pytest.mark.parametrize(
    "error",
    [
        ("OutcomeUnknown", "No answer to the PUT."),
        ("Sandbox.Timedout", "Task timed out after 29.00 seconds"),
        ("", "2026-11-27T10:00:00Z 1234 Task timed out after 29.00 seconds"),
        ("Runtime.ExitError", "Runtime exited"),
    ],
)
def test_event_that_may_have_been_sent_needs_force(world: World, redrive: Redrive, error: tuple[str, str]) -> None:
    world.fails({"order_id": 7, "force": False}, error)

    assert redrive() == (["unknown"], 5)
    assert world.sends == []
    assert redrive("--force") == (["sent"], 0)
    (sent,) = world.sends
    # Another id than that of the attempt, whose id never mails again; but the same one for every redrive.
    assert (sent["id"], sent["detail"]["force"]) == (f"{ID} forced", True)


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ([("sending", "sending", 0), ("audit", "OutcomeUnknown", 9)], "unknown"),
        # The first attempt was killed, and the second one met the outage.
        ([("sending", "sending", 0), ("audit", "CertCentralUnavailable", 1000)], "unknown"),
        ([("sending", "sending", 0)], "unknown"),
        # A bug, perhaps after the response.
        ([("sending", "sending", 0), ("audit", "KeyError", 9)], "unknown"),
        ([("sending", "sending", 0), ("audit", "CertCentralUnavailable", 9)], "sent"),
        ([("audit", "CertCentralUnavailable", 0)], "sent"),
        ([("sending", "sending", 0), ("audit", "sent", 9)], "done"),
    ],
)
def test_audit_trail_tells_what_earlier_attempts_did(
    world: World, redrive: Redrive, lines: list[tuple[str, str, int]], outcome: str
) -> None:
    """The error that Lambda keeps is that of the last attempt."""
    world.fails({"order_id": 7})
    for message, what, at in lines:
        world.logs(message, what, at=at)

    assert redrive()[0] == [outcome]
    assert len(world.sends) == (outcome == "sent")


@pytest.mark.parametrize("caller", [ID, f"{ID} forced"])
def test_redrive_that_was_sent_before_only_deletes(world: World, redrive: Redrive, caller: str) -> None:
    world.fails({"order_id": 7}, ("OutcomeUnknown", "Unclear."))
    world.logs("audit", "sent", function_request_id="another", caller=caller)

    assert redrive("--force") == (["done"], 0)
    assert world.waiting == {}
    assert world.sends == []


def test_event_is_unknown_when_its_log_has_expired(world: World, redrive: Redrive) -> None:
    world.aws.has_stack(OUTPUTS, LogRetentionDays="3")
    world.failed_at -= 3 * 86400
    world.fails({"order_id": 7})

    assert redrive() == (["unknown"], 5)
    assert redrive("--force") == (["sent"], 0)


@pytest.mark.parametrize(
    ("written_at", "outcome"), [("days ago", "unknown"), ("0001-01-01T00:00:00Z", "unknown"), ("x", "sent")]
)
@pytest.mark.parametrize("queue", ["failed-events", "undelivered"])
def test_moved_message_is_as_old_as_its_event(
    world: World, redrive: Redrive, written_at: str, outcome: str, queue: str
) -> None:
    """To move a message from queue to queue sends it anew."""
    world.aws.has_stack(OUTPUTS, LogRetentionDays="3")
    if written_at == "days ago":
        written_at = datetime.fromtimestamp(time.time() - 3 * 86400, UTC).isoformat().replace("+00:00", "Z")
    event = {"id": ID, "detail-type": "Resend DV Emails", "detail": {"order_id": 7}, "time": written_at}
    record = {"timestamp": written_at, "requestPayload": event}
    world.put(json.dumps(event if queue == "undelivered" else record))

    assert redrive(queue=queue)[0] == [outcome]


def test_lines_of_other_events_and_dry_runs_do_not_count(world: World, redrive: Redrive) -> None:
    world.fails({"order_id": 7})
    world.logs("audit", "sent", function_request_id="another", requested_by=ID)
    world.logs("audit", "OutcomeUnknown", dry_run=True)

    assert redrive() == (["sent"], 0)


def test_person_who_may_have_been_mailed_by_another_call_needs_force(world: World, redrive: Redrive) -> None:
    world.fails({"order_id": 7})
    world.plan = lambda event: PLAN if event["detail"].get("force") else UNKNOWN

    assert redrive() == (["unknown"], 5)
    assert redrive("--force") == (["sent"], 0)
    assert world.sends[0]["detail"]["force"] is True


@pytest.mark.parametrize("is_planned", [True, False])
def test_event_stays_if_some_recipient_may_have_been_mailed(world: World, run: Run, is_planned: bool) -> None:
    world.fails({"order_id": 7})
    maybe = {"skipped": [{"domain": "b.test", "email": "admin@b.test", "reason": "maybe_mailed"}]}
    world.plan = lambda event: PLAN if event["detail"].get("force") or not is_planned else PLAN | maybe
    world.sent = lambda event: SENT if event["detail"].get("force") else SENT | maybe

    text = run("redrive", "failed-events")
    (row,) = json.loads(run("redrive", "failed-events", "--json").stdout)["events"]

    assert "  Skipped: admin@b.test about b.test: may already have been mailed" in text.stdout
    assert (row["outcome"], row["skipped"], text.exit_code) == ("unknown", maybe["skipped"], 5)
    assert len(world.waiting) == 1
    assert len(world.sends) == (0 if is_planned else 2)
    if is_planned:
        assert run("redrive", "failed-events", "--force", "--all").exit_code == 0
        assert world.sends[0]["id"] == f"{ID} forced"


@pytest.mark.parametrize(("options", "force"), [([], None), (["--force"], True)])
def test_force_of_the_event_counts_with_the_option_only(
    world: World, redrive: Redrive, options: list[str], force: bool | None
) -> None:
    world.fails({"order_id": 7, "force": True})

    redrive(*options)

    # The id of the attempt, so that the function does not mail if it already did.
    assert [(sent["id"], sent["detail"].get("force")) for sent in world.sends] == [(ID, force)]


@pytest.mark.parametrize(
    ("plan", "sent"),
    [
        (DUPLICATE, SENT),
        (PLAN | {"skipped": [{"domain": "a.test", "email": "admin@a.test", "reason": "already_mailed"}]}, SENT),
        (PLAN, SENT | {"outcome": "duplicate"}),
    ],
)
def test_forced_event_that_would_mail_again_waits_for_force(world: World, run: Run, plan: Any, sent: Any) -> None:
    world.fails({"order_id": 7, "force": True})
    world.plan, world.sent = plan, sent

    result = run("redrive", "failed-events")

    assert (result.exit_code, len(world.waiting)) == (3, 1)
    assert f"Order 7, event {ID}, forced: " in result.stdout
    assert "It asks for force" in result.stdout


# ---------------------------------------------------------------- orders that are not DV

SOON = datetime.fromtimestamp(time.time() + 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def by_domain(would_be: str = "sent", **outcomes: str) -> dict[str, Any]:
    """Build the plan of an order with these domains, such as ``a`` for ``a.test`` with the id 97."""
    until = {"until": "2199-01-01T00:00:00Z"}
    domains = [
        {"name": f"{name}.test", "id": ord(name), "outcome": outcome} | ({} if outcome == "sent" else until)
        for name, outcome in outcomes.items()
    ]
    return PLAN | {"would_be": would_be, "domains": domains}


type Attempt = Callable[..., None]


@pytest.fixture
def attempt(world: World) -> Attempt:
    """Let the audit trail have an attempt with these outcomes by domain; one was ``killed`` while it was sent."""

    def attempt(**outcomes: str) -> None:
        for at, (name, outcome) in enumerate(outcomes.items()):
            of = {"domain": f"{name}.test", "domain_id": ord(name)}
            if outcome != "duplicate":
                world.logs("sending", "sending", at=at, **of)
            if outcome != "killed":
                world.logs("audit", outcome, at=at, **of)

    return attempt


LIMIT = ("RateLimited", "Too many.")
DOUBT = ("OutcomeUnknown", "a.test: unclear.")
KILLED = ("Sandbox.Timedout", "Task timed out after 29.00 seconds")


@pytest.mark.parametrize(
    ("logged", "plan", "error", "outcome"),
    [
        # Inside the cool-down, the send records keep what was sent from a second email.
        ({"a": "sent", "b": "RateLimited"}, by_domain(a="duplicate", b="sent"), LIMIT, "sent"),
        ({"a": "sent", "b": "RateLimited"}, by_domain(a="sent", b="sent"), LIMIT, "partly sent"),
        ({"a": "duplicate", "b": "RateLimited"}, by_domain(a="sent", b="sent"), LIMIT, "partly sent"),
        ({"a": "sent", "b": "RequestRejected"}, by_domain(a="sent", b="sent"), LIMIT, "partly sent"),
        ({"a": "sent", "b": "sent"}, by_domain(a="sent", b="sent"), LIMIT, "done"),
        ({"a": "sent", "b": "RateLimited"}, by_domain(a="sent", b="validated"), LIMIT, "done"),
        ({"a": "RateLimited"}, by_domain(a="sent", b="sent"), LIMIT, "sent"),
        ({"a": "killed"}, by_domain(a="sent", b="sent"), LIMIT, "unknown"),
        # The call went on, or the next attempt did, without an end of the first domain.
        ({"a": "killed", "b": "sent"}, by_domain(a="sent", b="sent"), LIMIT, "unknown"),
        ({"a": "OutcomeUnknown", "b": "sent"}, by_domain(a="sent", b="sent"), DOUBT, "unknown"),
        ({"a": "OutcomeUnknown", "b": "sent"}, by_domain("OutcomeUnknown", a="OutcomeUnknown"), DOUBT, "unknown"),
        ({"a": "OutcomeUnknown", "b": "sent"}, by_domain(a="validated", b="sent"), DOUBT, "done"),
        # It is explained what is unknown, so that the rest was surely not sent.
        ({"a": "OutcomeUnknown", "b": "RateLimited"}, by_domain(a="validated", b="sent"), DOUBT, "sent"),
        ({"a": "killed"}, by_domain(a="validated", b="sent"), KILLED, "sent"),
        ({"a": "sent"}, by_domain(a="duplicate", b="sent"), KILLED, "unknown"),
        ({}, by_domain(a="sent"), KILLED, "unknown"),
    ],
    ids=str,
)
def test_partial_outcome_is_neither_lost_nor_mailed_twice(
    world: World,
    redrive: Redrive,
    attempt: Attempt,
    logged: dict[str, str],
    plan: Any,
    error: tuple[str, str],
    outcome: str,
) -> None:
    world.fails({"order_id": 7}, error)
    attempt(**logged)
    world.plan = plan

    assert redrive()[0] == [outcome]
    assert len(world.sends) == (outcome == "sent")
    assert (world.waiting == {}) == (outcome in ("sent", "done"))


def test_line_that_sums_up_its_domains_does_not_count(world: World, redrive: Redrive, attempt: Attempt) -> None:
    world.fails({"order_id": 7})
    attempt(a="sent", b="RateLimited")
    world.logs("audit", "sent", domains=["a.test: sent"])
    world.plan = by_domain(a="duplicate", b="sent")

    assert redrive() == (["sent"], 0)


def test_domain_whose_cool_down_ends_meanwhile_is_not_mailed(world: World, redrive: Redrive, attempt: Attempt) -> None:
    world.fails({"order_id": 7})
    attempt(a="sent")
    world.plan = by_domain(a="duplicate", b="sent")
    world.plan["domains"][0]["until"] = SOON

    assert redrive() == (["partly sent"], 3)
    assert world.sends == []


@pytest.mark.parametrize(("logged", "outcome"), [({"z": "sent"}, "partly sent"), ({}, "sent")], ids=str)
def test_domain_that_the_plan_does_not_show_counts(
    world: World, redrive: Redrive, attempt: Attempt, logged: dict[str, str], outcome: str
) -> None:
    world.fails({"order_id": 7})
    attempt(**logged)
    world.plan = by_domain(a="sent") | {"more_domains": 3}

    assert redrive()[0] == [outcome]


def test_rest_is_sent_while_one_domain_is_in_doubt(world: World, run: Run, attempt: Attempt) -> None:
    world.fails({"order_id": 7}, DOUBT)
    attempt(a="OutcomeUnknown", b="RateLimited")
    world.plan = by_domain("OutcomeUnknown", a="OutcomeUnknown", b="sent")
    world.sent = ("OutcomeUnknown", "a.test: unclear. Sent: b.test.")

    planned = run("redrive", "failed-events", "--dry-run")
    result = run("redrive", "failed-events")

    assert "a.test may have been sent. Others would be sent now: to DigiCert's default recipients, about b.test." in (
        planned.stdout
    )
    assert "unknown (left in the queue): OutcomeUnknown: a.test: unclear. Sent: b.test. Ask" in result.stdout
    assert (result.exit_code, len(world.sends), len(world.waiting)) == (5, 1, 1)


def test_partial_outcome_says_what_is_left_and_what_to_do(world: World, run: Run, attempt: Attempt) -> None:
    world.fails({"order_id": 7})
    attempt(a="sent", b="RateLimited")
    world.plan = by_domain(a="sent", b="sent", c="sent")

    result = run("redrive", "failed-events")

    assert result.stdout.splitlines()[1] == (
        "  partly sent (left in the queue): Earlier attempts of this event were sent about a.test. Not sent yet: "
        "b.test, c.test. A redrive would mail about all of them, and so does --force. To mail about the rest only, use "
        "`dv-resend resend` with --to, and then --drop here."
    )


@pytest.mark.parametrize(("option", "outcome", "sends"), [("--force", "sent", 1), ("--drop", "dropped", 0)])
def test_person_decides_about_a_partial_outcome(
    world: World, redrive: Redrive, attempt: Attempt, option: str, outcome: str, sends: int
) -> None:
    world.fails({"order_id": 7})
    attempt(a="sent")
    world.plan = by_domain(a="sent", b="sent")

    assert redrive(option) == ([outcome], 0)
    assert (len(world.sends), world.waiting) == (sends, {})


def test_forced_event_that_was_partly_sent_needs_force_again(world: World, redrive: Redrive, attempt: Attempt) -> None:
    """Its id never mails again about the same domain, whenever that was forced."""
    world.fails({"order_id": 7, "force": True})
    attempt(a="sent")
    world.plan = by_domain(a="duplicate", b="sent")
    world.plan["domains"][0]["until"] = SOON

    assert redrive() == (["refused"], 3)
    assert redrive("--force") == (["sent"], 0)
    assert [sent["id"] for sent in world.sends] == [ID]


# ---------------------------------------------------------------- sweeps


def test_one_sweep_does_the_work_of_all_that_failed(world: World, redrive: Redrive) -> None:
    world.fails({"action": "sweep"})
    world.fails({"detail-type": "Scheduled Event", "id": "e-1"})
    world.fails({"action": "sweep", "offset": 2000})

    assert redrive() == (["swept", "done", "swept"], 0)
    assert world.waiting == {}
    assert world.aws.events == [
        {"action": "sweep", "requested_by": CALLER},
        {"action": "sweep", "offset": 2000, "requested_by": CALLER},
    ]


def test_sweeps_that_fail_again_stay(world: World, redrive: Redrive) -> None:
    world.fails({"action": "sweep"})
    world.fails({"action": "sweep"})
    world.swept = DOWN

    assert redrive() == (["later", "later"], 4)
    assert len(world.waiting) == 2


# ---------------------------------------------------------------- the whole queue


@pytest.mark.usefixtures("world")
def test_empty_queue_says_so(run: Run) -> None:
    assert run("redrive", "failed-events").stdout == f"No event is waiting ({PLACE})\n"


def test_events_in_other_hands_are_told(world: World, run: Run) -> None:
    world.fails({"order_id": 7})
    world.hidden.add("m-0")

    alone = run("redrive", "failed-events")
    world.fails({"order_id": 8}, ("OutcomeUnknown", "Unclear."))
    report = run("redrive", "failed-events", "--json")

    assert "Another redrive has 1 event in hand." in alone.stderr
    assert (alone.exit_code, report.exit_code) == (4, 5)
    assert json.loads(report.stdout)["held_by_others"] == 1


def test_message_is_held_anew_before_each_slow_call(world: World, redrive: Redrive) -> None:
    world.fails({"action": "sweep"})
    swept = iter([("RateLimited", "Too many."), world.swept])
    world.swept = lambda _: next(swept)

    redrive()

    wanted = ("change_message_visibility", "invoke")
    assert [name for _, name, _ in world.aws.calls if name in wanted] == [*wanted, *wanted]
    (held, *_) = [arguments for _, name, arguments in world.aws.calls if name == "change_message_visibility"]
    assert held["VisibilityTimeout"] == 900


@pytest.mark.parametrize("option", ["--force", "--drop"])
def test_force_and_drop_need_a_choice_of_events(world: World, run: Run, option: str) -> None:
    world.fails({"order_id": 7}, ("OutcomeUnknown", "Unclear."))

    assert run("redrive", "failed-events", option).exit_code == 2
    assert run("redrive", "failed-events", option, "--all", "--order", "7").exit_code == 2
    assert (world.aws.events, len(world.waiting)) == ([], 1)


@pytest.mark.parametrize("choice", [["--order", "8"], ["--event", "e-1"], ["--order", "8", "--event", "e-1"]])
def test_chosen_event_alone_is_redriven(world: World, redrive: Redrive, choice: list[str]) -> None:
    unclear = ("OutcomeUnknown", "Unclear.")
    world.fails({"order_id": 7}, unclear)
    world.fails({"id": "e-1", "detail-type": "Resend DV Emails", "detail": {"order_id": 8}}, unclear)
    world.fails({"action": "sweep"})

    assert redrive("--force", *choice) == (["sent"], 0)
    assert world.waiting.keys() == {"m-0", "m-2"}


def test_choice_that_nothing_meets_says_so(world: World, run: Run) -> None:
    world.fails({"order_id": 7})

    assert run("redrive", "failed-events", "--order", "8").stdout == f"No such event is waiting ({PLACE})\n"


def test_dry_run_sends_and_deletes_nothing(world: World, redrive: Redrive) -> None:
    world.fails({"order_id": 7})
    world.fails({"action": "sweep"})
    world.put("no JSON")

    assert redrive("--dry-run", "--drop") == (["planned", "planned", "refused"], 3)
    assert world.sends == []
    assert len(world.waiting) == 3


def test_error_of_one_event_leaves_the_others_their_turn(world: World, redrive: Redrive) -> None:
    for order_id in range(3):
        world.fails({"order_id": order_id})
    world.plan = lambda event: DOWN if event["detail"]["order_id"] == 1 else PLAN

    assert redrive() == (["sent", "later", "sent"], 4)


@pytest.mark.parametrize(
    ("plan", "sent", "outcome", "exit_code"),
    [
        (DOWN, SENT, "later", 4),
        (PLAN | {"would_be": "SendingPaused"}, SENT, "later", 4),
        # Each further event would have no known outcome either.
        (PLAN, ("OutcomeUnknown", "No answer to the PUT."), "unknown", 5),
        (PLAN, refused("ServiceException", 500), "unknown", 5),
    ],
    ids=repr,
)
def test_error_of_two_events_ends_the_run(
    world: World, redrive: Redrive, plan: Any, sent: Any, outcome: str, exit_code: int
) -> None:
    for order_id in range(5):
        world.fails({"order_id": order_id})
    world.plan, world.sent = plan, sent

    assert redrive() == ([outcome, outcome], exit_code)
    assert len(world.waiting) == 5


def test_denied_look_at_the_audit_trail_ends_the_run(world: World, run: Run) -> None:
    world.fails({"order_id": 7})
    world.aws.answer("logs", "filter_log_events", refused("AccessDeniedException", 403))

    result = run("redrive", "failed-events")

    assert result.stderr.splitlines()[0].startswith("AccessDenied: ")
    assert (result.exit_code, world.sends, len(world.waiting)) == (6, [], 1)


@pytest.mark.parametrize("option", [[], ["--force"]])
def test_request_limit_is_waited_for(world: World, redrive: Redrive, waits: list[float], option: list[str]) -> None:
    world.fails({"order_id": 7, "force": True})
    world.sent = lambda _: SENT if 60 in waits else ("RateLimited", "Too many.")

    assert redrive(*option) == (["sent"], 0)
    assert len({event["id"] for event in world.sends}) == 1
    assert waits[1:] == [10, 60]


def test_events_are_a_second_apart(world: World, redrive: Redrive, waits: list[float]) -> None:
    for order_id in range(3):
        world.fails({"order_id": order_id})

    redrive()

    assert [0 < wait <= 1 for wait in waits] == [False, True, True]


@pytest.mark.parametrize("where", ["plan", "sent"])
def test_interrupt_leaves_the_rest_in_the_queue(world: World, run: Run, where: str) -> None:
    for order_id in range(3):
        world.fails({"order_id": order_id})
    usual = getattr(world, where)
    setattr(world, where, lambda event: KeyboardInterrupt() if event["detail"]["order_id"] == 1 else usual)

    result = run("redrive", "failed-events")

    assert result.exit_code == 130
    assert len(world.waiting) == 2
    assert not world.hidden & world.waiting.keys()
    assert ("may have been sent" in result.stdout + result.stderr) == (where == "sent")


def test_message_that_comes_back_is_not_redriven_twice(world: World, redrive: Redrive) -> None:
    """It does if the run takes longer than its visibility timeout."""
    world.fails({"order_id": 0}, ("OutcomeUnknown", "Unclear."))
    world.fails({"order_id": 1})

    def send(_: Any) -> Any:
        world.hidden.discard("m-0")
        return SENT

    world.sent = send

    assert redrive() == (["unknown", "sent"], 5)


def test_errors_about_one_order_that_pass_are_the_functions() -> None:
    classes = function_errors.ResendError.__subclasses__()

    assert LATER.keys() == {cls.__name__ for cls in classes if cls.retryable and cls.scope == "order"}


def test_failed_delete_ends_the_run_after_the_send(world: World, run: Run) -> None:
    world.fails({"order_id": 7})
    world.aws.answer("sqs", "delete_message", refused("AccessDenied", 403))

    result = run("redrive", "failed-events")

    assert result.exit_code == 6
    assert "sent" in result.stdout
