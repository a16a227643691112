"""Event sources: each event is recognised by its shape, and becomes the same request whatever its source."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.requests import PendingRequest, ResendRequest, StatusRequest, SweepRequest
from dv_resend.errors import InvalidRequest
from dv_resend.handlers import events, http
from dv_resend.handlers.events import ParsedEvent, source_of
from unit.samples import HTTP_SAMPLES, SAMPLES, SOURCES

EVENT = SAMPLES["eventbridge.json"]
RESENDS = sorted(name for name, source in SOURCES.items() if source in ("http", "direct", "event"))
RESENDS = [name for name in RESENDS if name not in ("status.json", "pending.json")]
SCHEDULES = sorted(name for name, source in SOURCES.items() if source == "schedule")
EXAMPLE = ResendRequest.from_input(SAMPLES["direct.json"])
PATH = "/services/v2/order/certificate/123456789/resend-emails"

USER_ARN = "arn:aws:sts::123456789012:assumed-role/web-team/deploy"
EXECUTION_ARN = "arn:aws:states:eu-west-1:123456789012:execution:issue-certificate:6f1c2b0e-3d4a-4b5c-8d6e-7f8091a2b3c4"
SCHEDULE_ARN = "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/remind-order-123456789"
EVENT_ID = "0c4f6a0e-7b1d-4c3e-9f2a-5d6b7c8e9f01"
RULE_EVENT_ID = "89d1a02d-5ec7-412e-82f5-13505f849b41"
CALLERS = {
    **dict.fromkeys(("http-api-v2.json", "function-url.json", "rest-api-v1.json"), USER_ARN),
    **dict.fromkeys(("step-functions-task.json", "status.json"), EXECUTION_ARN),
    **dict.fromkeys(("direct.json", "scheduler-sweep.json", "pending.json")),
    "http-api-v2-jwt.json": "web-team@clients",
    "scheduler.json": SCHEDULE_ARN,
    "eventbridge.json": EVENT_ID,
    "scheduled-event.json": RULE_EVENT_ID,
}


def parse(event: Any) -> ParsedEvent:
    """Parse an event of any source but the queue."""
    source = source_of(event)
    assert source != "queue"
    return http.parse_http(event) if source == "http" else events.parse(source, event)


def rejected_field(event: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse(event)
    return caught.value.field


def test_samples_cover_every_event_source():
    assert set(SAMPLES) == set(SOURCES)
    assert set(SOURCES.values()) == {"http", "event", "direct", "schedule", "queue"}


@pytest.mark.parametrize("name", SOURCES)
def test_sample_has_its_event_source(name):
    assert source_of(SAMPLES[name]) == SOURCES[name]


@pytest.mark.parametrize("name", RESENDS)
def test_sample_asks_for_the_same_emails_from_every_source(name):
    request = parse(SAMPLES[name]).request

    assert isinstance(request, ResendRequest)
    assert replace(request, requested_by=None) == EXAMPLE
    assert json.dumps(request.upstream_body) == json.dumps(EXAMPLE.upstream_body)


@pytest.mark.parametrize("name", SCHEDULES)
def test_sample_of_a_schedule_asks_for_a_whole_sweep(name):
    assert parse(SAMPLES[name]).request == SweepRequest()


@pytest.mark.parametrize("name", CALLERS)
def test_sample_has_its_caller(name):
    assert parse(SAMPLES[name]).caller == CALLERS[name]


@pytest.mark.parametrize("name", CALLERS)
def test_event_id_is_known_for_events_only(name):
    assert parse(SAMPLES[name]).event_id == (EVENT_ID if name == "eventbridge.json" else None)


@pytest.mark.parametrize("name", HTTP_SAMPLES)
def test_key_of_a_caller_is_ignored(name):
    assert "a-callers-own-key" in str(SAMPLES[name])

    assert "a-callers-own-key" not in str(parse(SAMPLES[name]))


@pytest.mark.parametrize(
    "event",
    [
        *(None, True, 1, "PUT", [], [{"order_id": 1}], {}, {"detail": {"order_id": 1}}, {"requestContext": {}}),
        *({"Records": []}, {"Records": None}, {"Records": {"eventSource": "aws:sqs"}}),
    ],
    ids=ascii,
)
def test_event_without_a_source_is_rejected(event):
    assert rejected_field(event) == "event"


@pytest.mark.parametrize(
    "detail_type", ["scheduled event", "resend dv emails", "", None, 1, ["Resend DV Emails"]], ids=ascii
)
def test_event_with_another_detail_type_is_rejected(detail_type):
    assert rejected_field(EVENT | {"detail-type": detail_type}) == "detail-type"


RECORD = SAMPLES["sqs-reminders.json"]["Records"][0]


@pytest.mark.parametrize(
    "record",
    [
        *({}, None, "x"),
        *(RECORD | {"eventSource": source} for source in ("aws:s3", ["aws:sqs"], None)),
        *(RECORD | {name: None} for name in ("messageId", "receiptHandle", "body", "attributes")),
        *(RECORD | {"attributes": {"ApproximateReceiveCount": count}} for count in (1, "", "-1", "x", None)),
    ],
    ids=ascii,
)
def test_record_that_is_no_sqs_message_is_rejected(record):
    assert source_of({"Records": [RECORD, RECORD]}) == "queue"

    assert rejected_field({"Records": [RECORD, record]}) == "Records"


CALLS = pytest.mark.parametrize(
    "call",
    [{"order_id": 1}, {"action": "status", "order_id": 1}, {"action": "pending"}, {"action": "sweep"}],
    ids=ascii,
)


@CALLS
@pytest.mark.parametrize(
    "stray",
    [{"httpMethod": "PUT"}, {"requestContext": {"http": {"method": "PUT"}}}, {"path": PATH}, {"Records": []}],
    ids=ascii,
)
def test_direct_call_with_a_field_of_another_source_is_rejected(call, stray):
    assert source_of(call | stray) in ("direct", "schedule")
    assert rejected_field(call | stray) == next(iter(stray))


@pytest.mark.parametrize("detail_type", ["Scheduled Event", "x"])
def test_dry_sweep_with_a_detail_type_never_becomes_a_sweep(detail_type):
    assert rejected_field({"action": "sweep", "dry_run": True, "detail-type": detail_type}) == "detail-type"


@CALLS
def test_direct_call_names_its_caller_by_requested_by(call):
    assert parse(call | {"requested_by": "somebody"}).caller == "somebody"
    assert parse(call).caller is None


@CALLS
def test_direct_call_with_a_bad_requested_by_is_rejected(call):
    assert rejected_field(call | {"requested_by": "a\nb"}) == "requested_by"


def test_status_is_asked_for_by_its_action():
    assert parse({"action": "status", "order_id": "12"}) == ParsedEvent(StatusRequest(12), caller=None)


def test_pending_orders_are_asked_for_by_their_action():
    assert parse({"action": "pending"}) == ParsedEvent(PendingRequest(), caller=None)


@pytest.mark.parametrize("field", ["order_id", "offset", "dry_run", "limit"])
def test_pending_orders_are_asked_for_without_another_field(field):
    assert rejected_field({"action": "pending", field: 1}) == field


def test_sweep_is_asked_for_by_its_action():
    assert parse({"action": "sweep", "dry_run": True, "offset": 9}).request == SweepRequest(dry_run=True, offset=9)


@pytest.mark.parametrize("action", ["resend", "Status", "Pending", "", None, 1, ["status"], {}], ids=ascii)
def test_unknown_action_is_rejected(action):
    assert rejected_field({"action": action, "order_id": 1}) == "action"


@pytest.mark.parametrize("detail", [None, [], "order_id", 1, [{"order_id": 1}]], ids=ascii)
def test_event_whose_detail_is_no_object_is_rejected(detail):
    assert rejected_field(EVENT | {"detail": detail}) == "detail"


def test_event_has_its_id_as_caller_whoever_requested_it():
    parsed = parse(EVENT | {"detail": {"order_id": 1, "requested_by": "somebody"}})

    assert isinstance(parsed.request, ResendRequest)
    assert (parsed.caller, parsed.request.requested_by, parsed.event_id) == (EVENT_ID, "somebody", EVENT_ID)


@pytest.mark.parametrize("event_id", [None, "", 1, ["x"], "x" * 257, "a\nb"], ids=ascii)
def test_event_id_that_does_not_fit_into_a_line_is_left_out(event_id):
    parsed = parse(EVENT | {"id": event_id})

    assert (parsed.event_id, parsed.caller) == (None, None)


def test_event_may_ask_for_a_status():
    parsed = parse(EVENT | {"detail": {"action": "status", "order_id": 7}})

    assert (parsed.request, parsed.caller) == (StatusRequest(7), EVENT_ID)


@pytest.mark.parametrize("action", ["sweep", "pending"])
def test_event_cannot_ask_for_a_sweep(action):
    assert rejected_field(EVENT | {"detail": {"action": action}}) == "action"


@pytest.mark.parametrize("more", [{"detail": {"order_id": 1}}, {"detail": None}, {"id": None}], ids=ascii)
def test_scheduled_event_asks_for_a_sweep_whatever_it_holds(more):
    parsed = parse(SAMPLES["scheduled-event.json"] | more)

    assert (parsed.request, parsed.event_id) == (SweepRequest(), None)


@pytest.mark.parametrize("name", ["eventbridge.json", "scheduled-event.json"])
@pytest.mark.parametrize("replay_name", ["replay-of-november", "", None], ids=ascii)
def test_event_replayed_from_an_archive_is_rejected(name, replay_name):
    with pytest.raises(InvalidRequest) as caught:
        parse(SAMPLES[name] | {"replay-name": replay_name})

    assert caught.value.code == "invalid_request|replay-name"
    assert "replayed from an archive" in caught.value.message
    assert "due then, not now" in caught.value.message


def test_detail_of_an_event_cannot_be_mistaken_for_a_replay():
    assert rejected_field(EVENT | {"detail": {"order_id": 1, "replay-name": "x"}}) == "replay-name"
    assert rejected_field({"order_id": 1, "replay-name": "x"}) == "replay-name"


@pytest.mark.parametrize(
    ("event", "caller"),
    [
        ({"order_id": 1, "requested_by": "arn:aws:iam::123456789012:root"}, "arn:aws:iam::123456789012:root"),
        (EVENT | {"id": "the-board"}, "the-board"),
    ],
    ids=["direct", "event"],
)
def test_caller_of_a_direct_call_or_an_event_is_what_it_claims(event, caller):
    """Whoever may invoke the function can claim to be anybody: SECURITY.md says so."""
    assert parse(event).caller == caller


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "http": JSON | st.fixed_dictionaries({"method": st.just("PUT") | JSON}),
        "authorizer": JSON | st.dictionaries(st.sampled_from(["iam", "jwt", "claims"]), JSON),
        "identity": JSON | st.fixed_dictionaries({"userArn": JSON}),
    },
)
QUERIES = st.dictionaries(
    st.sampled_from(["dry_run", "force", "x"]), st.just("true") | st.just(["true"]) | JSON, max_size=2
)
BASE64 = st.text().map(lambda text: base64.b64encode(text.encode(errors="replace")).decode())
# A right, a nearly right or any value under every name that is looked at.
ANY_EVENT = JSON | st.fixed_dictionaries(
    {},
    optional={
        "requestContext": CONTEXTS | JSON,
        "httpMethod": st.just("PUT") | JSON,
        "rawPath": st.just(PATH) | JSON,
        "path": st.just(PATH) | JSON,
        "queryStringParameters": QUERIES | JSON,
        "multiValueQueryStringParameters": QUERIES | JSON,
        "body": JSON | JSON.map(json.dumps) | BASE64,
        "isBase64Encoded": st.booleans() | JSON,
        "detail-type": st.sampled_from(["Resend DV Emails", "Scheduled Event"]) | JSON,
        "detail": st.fixed_dictionaries({"order_id": st.integers(1, 9)}) | JSON,
        "id": JSON,
        "replay-name": JSON,
        "order_id": st.integers(1, 9) | JSON,
        "action": st.sampled_from(["status", "pending", "sweep"]) | JSON,
        "dry_run": JSON,
        "offset": JSON,
        "Records": JSON | st.lists(st.just(RECORD) | st.just(RECORD | {"body": None}), max_size=2),
    },
)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(ANY_EVENT)
def test_any_event_is_parsed_or_rejected_by_field(event):
    error = None
    try:
        if source_of(event) != "queue":
            parsed = parse(event)
            assert isinstance(parsed.request, ResendRequest | StatusRequest | PendingRequest | SweepRequest)
            assert parsed.caller is None or parsed.caller.isprintable()
    except InvalidRequest as caught:
        error = caught

    assert error is None or (error.field and str(error).isprintable())
