"""The claims table: only one call holds a claim, whatever fails meanwhile. DynamoDB runs in this process (moto)."""

import itertools
import re

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from conftest import TABLE, create_claims_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from dv_resend.adapters.claims_table import ClaimsTable
from dv_resend.core.claims import HeldClaim
from dv_resend.errors import ClaimsUnavailable, ConfigurationError
from unit.adapters.conftest import refusal

KEY = "0" * 64
NOW = 1_795_446_245
COOL_DOWN = 3600
ENDPOINT = "https://dynamodb.eu-west-1.amazonaws.com/"


class Client:
    """The DynamoDB client with faults: a method is replaced, or fails before or after its effect."""

    def __init__(self, client):
        self._client = client
        self.instead = {}
        self.before = {}
        self.after = {}
        self.calls = []

    def __getattr__(self, name):
        method = self.instead.get(name) or getattr(self._client, name)
        if name == "exceptions":
            return method

        def call(**arguments):
            self.calls.append((name, arguments))
            self._raise_next(self.before, name)
            answer = method(**arguments)
            self._raise_next(self.after, name)
            return answer

        return call

    @staticmethod
    def _raise_next(faults, name):
        if faults.get(name):
            raise faults[name].pop(0)


@pytest.fixture(scope="module")
def dynamodb():
    """One table for the whole file: a new one for each test would take most of the time."""
    with mock_aws():
        client = boto3.client("dynamodb")
        create_claims_table(client)
        yield client


@pytest.fixture
def client(dynamodb):
    for stored in dynamodb.scan(TableName=TABLE)["Items"]:
        dynamodb.delete_item(TableName=TABLE, Key={"id": stored["id"]})
    return Client(dynamodb)


@pytest.fixture
def claims(client):
    return ClaimsTable(TABLE, COOL_DOWN, client)


@pytest.fixture
def item(client):
    """Give a function that reads an item as it is stored."""

    def read(key=KEY):
        return client._client.get_item(TableName=TABLE, Key={"id": {"S": key}}).get("Item")

    return read


def acquire(claims, *, now=NOW, seconds=29, force_id=None, key=KEY):
    return claims.acquire(key, now=now, deadline=now + seconds, force_id=force_id)


def held(claims, **arguments):
    claim = acquire(claims, **arguments)
    assert isinstance(claim, HeldClaim)
    return claim


def stopped(claims, **arguments):
    """Try to acquire; return the state of the claim that stands in the way."""
    claim = acquire(claims, **arguments)
    assert not isinstance(claim, HeldClaim)
    return claim.state(arguments.get("now", NOW))


def settle(claims, claim, state, sent_at):
    """Record the outcome of a call, unless it was killed and left its claim as `sending`."""
    if state == "sent":
        claims.record_sent(claim, sent_at)
    if state == "unknown":
        claims.record_unknown(claim)


def left_behind(claims, state, force_id=None):
    """Return the claim of an earlier call, in a state."""
    claim = held(claims, force_id=force_id)
    settle(claims, claim, state, NOW + 1)
    return claim


# Acquiring and reading


def test_free_claim_is_acquired_until_the_cool_down_ends(claims):
    claim = held(claims)

    assert (claim.key, claim.status, claim.deadline, claim.expiration) == (KEY, "sending", NOW + 29, NOW + COOL_DOWN)
    assert (claim.sent_at, claim.forced_by, claim.replaced) == (None, frozenset(), None)


def test_each_acquisition_has_its_own_owner(claims):
    assert held(claims).owner != held(claims, key="1" * 64).owner


def test_claim_never_expires_before_its_deadline(client):
    claim = held(ClaimsTable(TABLE, 60, client), seconds=300)

    assert claim.expiration == NOW + 300


def test_claim_times_are_rounded_up(claims):
    claim = claims.acquire(KEY, now=NOW + 0.2, deadline=NOW + 29.2, force_id=None)

    assert (claim.deadline, claim.expiration) == (NOW + 30, NOW + COOL_DOWN + 1)


@pytest.mark.parametrize("state", ["sending", "sent", "unknown"])
@pytest.mark.parametrize("later", [COOL_DOWN, COOL_DOWN + 0.5, 10 * COOL_DOWN])
def test_expired_claim_is_free_though_still_stored(claims, state, later):
    first = left_behind(claims, state)

    second = held(claims, now=NOW + later)

    assert second.owner != first.owner
    assert second.replaced is None


@pytest.mark.parametrize("state", ["sending", "sent", "unknown"])
@pytest.mark.parametrize("later", [0, COOL_DOWN - 0.1])
def test_repeat_inside_the_cool_down_finds_the_stored_claim(claims, state, later):
    first = left_behind(claims, state)

    found = acquire(claims, now=NOW + later)

    assert not isinstance(found, HeldClaim)
    assert (found.owner, found.status) == (first.owner, state)


def test_repeat_finds_when_the_email_was_sent(claims):
    left_behind(claims, "sent")

    assert acquire(claims, now=NOW + 5).sent_at == NOW + 1


@pytest.mark.parametrize(("state", "later"), [("sending", 5), ("sent", 60)])
def test_repeat_leaves_the_claim_unchanged(claims, item, state, later):
    left_behind(claims, state)
    before = item()

    acquire(claims, now=NOW + later)

    assert item() == before


def test_claim_on_another_key_is_free(claims):
    left_behind(claims, "sent")

    assert held(claims, key="1" * 64)


@pytest.mark.parametrize("state", ["sending", "sent", "unknown"])
def test_read_returns_the_claim_and_writes_nothing(claims, client, state):
    owner = left_behind(claims, state).owner
    client.calls.clear()

    claim = claims.read(KEY)

    assert (claim.owner, claim.status) == (owner, state)
    ((method, arguments),) = client.calls
    assert (method, arguments["ConsistentRead"]) == ("get_item", True)


def test_read_of_a_free_key_returns_none(claims):
    assert claims.read(KEY) is None


# Force


@pytest.mark.parametrize(
    ("left", "later"), [("sent", 1), ("unknown", 1), ("sending", 29), ("sent", COOL_DOWN - 1), ("sending", 3000)]
)
def test_forced_call_replaces_a_claim_that_is_not_in_progress(claims, left, later):
    first = left_behind(claims, left)

    second = held(claims, now=NOW + later, force_id="force-1")

    assert second.replaced.owner == first.owner
    assert second.forced_by == {"force-1"}
    assert second.expiration == NOW + later + COOL_DOWN


@pytest.mark.parametrize("later", [0, 28.9])
def test_forced_call_never_replaces_a_claim_in_progress(claims, later):
    left_behind(claims, "sending")

    assert stopped(claims, now=NOW + later, force_id="force-1") == "sending"


@pytest.mark.parametrize(("end", "state"), [("sent", "sent"), ("unknown", "unknown"), ("killed", "unknown")])
@pytest.mark.parametrize("first", [None, "force-0"])
def test_redelivered_forced_call_that_had_to_wait_is_a_repeat(claims, end, state, first):
    claim = left_behind(claims, "sending", force_id=first)
    for _ in range(2):
        assert stopped(claims, now=NOW + 5, force_id="force-1") == "sending"
    settle(claims, claim, end, NOW + 6)

    assert stopped(claims, now=NOW + 60, force_id="force-1") == state
    assert held(claims, now=NOW + 60, force_id="force-2").forced_by == {"force-1", "force-2"} | ({first} - {None})


@pytest.mark.parametrize("first", [None, "force-0"])
def test_redelivered_forced_call_sends_if_the_claim_was_released(claims, first):
    if first is not None:
        left_behind(claims, "sent")
    claim = held(claims, now=NOW + 5, force_id=first)
    stopped(claims, now=NOW + 6, force_id="force-1")
    claims.release(claim)

    assert held(claims, now=NOW + 60, force_id="force-1")


def test_forced_call_noted_in_a_claim_changes_nothing_else(claims, item):
    left_behind(claims, "sending")
    before = item()

    stopped(claims, now=NOW + 5, force_id="force-1")

    assert item() == before | {"forced_by": {"SS": ["force-1"]}}


def test_forced_call_is_not_noted_in_a_replaced_claim(client, claims, item):
    first = left_behind(claims, "sending")
    rival = ClaimsTable(TABLE, COOL_DOWN, client._client)
    real = client._client.update_item

    def update_after_a_rival(**arguments):
        rival.release(first)
        held(rival, now=NOW + 5)
        return real(**arguments)

    client.instead["update_item"] = update_after_a_rival

    assert stopped(claims, now=NOW + 5, force_id="force-1") == "sending"
    assert "forced_by" not in item()


@pytest.mark.parametrize("fault", [refusal("ThrottlingException"), ReadTimeoutError(endpoint_url=ENDPOINT)], ids=ascii)
def test_forced_call_that_cannot_be_noted_is_logged(claims, client, output, fault):
    left_behind(claims, "sending")
    client.before["update_item"] = [fault]

    assert stopped(claims, now=NOW + 5, force_id="force-1") == "sending"

    (line,) = output().lines
    assert (line["level"], line["claim"]) == ("WARNING", KEY)
    assert line["error"] in ("ThrottlingException", "ReadTimeoutError")


def test_forced_call_on_a_free_key_stores_its_id(claims):
    assert held(claims, force_id="force-1").forced_by == {"force-1"}


@pytest.mark.parametrize("state", ["sent", "unknown"])
@pytest.mark.parametrize("first", [None, "an earlier call"])
def test_redelivered_forced_call_is_a_repeat(claims, state, first):
    if first is not None:
        left_behind(claims, "sent")
    claim = held(claims, now=NOW + 5, force_id="force-1")
    settle(claims, claim, state, NOW + 5)

    assert stopped(claims, now=NOW + 100, force_id="force-1") == state


def test_redelivered_forced_call_that_was_killed_is_a_repeat(claims):
    left_behind(claims, "sending", force_id="force-1")

    assert stopped(claims, now=NOW + 29, force_id="force-1") == "unknown"


def test_forced_call_stays_a_repeat_after_a_later_one(claims):
    left_behind(claims, "sent", force_id="force-1")
    claims.record_sent(held(claims, now=NOW + 60, force_id="force-2"), NOW + 60)

    assert stopped(claims, now=NOW + 120, force_id="force-1") == "sent"
    assert stopped(claims, now=NOW + 120, force_id="force-2") == "sent"
    assert held(claims, now=NOW + 120, force_id="force-3").forced_by == {"force-1", "force-2", "force-3"}


@pytest.mark.parametrize("outcome", ["sent", "unknown", "sending"])
def test_one_of_two_simultaneous_forced_calls_sends(client, claims, outcome):
    left_behind(claims, "sent")
    swap = client._client.put_item
    rival = ClaimsTable(TABLE, COOL_DOWN, client._client)

    def put_after_a_rival(**arguments):
        # After our first attempt found the claim, and before our swap.
        if "#status" in arguments["ConditionExpression"]:
            client.instead.clear()
            claim = held(rival, now=NOW + 5, force_id="rival")
            settle(rival, claim, outcome, NOW + 5)
        return swap(**arguments)

    client.instead["put_item"] = put_after_a_rival

    assert stopped(claims, now=NOW + 5, force_id="force-1") == outcome


def test_claim_deleted_during_a_swap_is_not_acquired(client, claims, item):
    left_behind(claims, "sent")
    real = client._client.put_item

    def put_after_a_deletion(**arguments):
        if "#status" in arguments["ConditionExpression"]:
            client._client.delete_item(TableName=TABLE, Key={"id": {"S": KEY}})
        return real(**arguments)

    client.instead["put_item"] = put_after_a_deletion

    with pytest.raises(ClaimsUnavailable):
        acquire(claims, now=NOW + 5, force_id="force-1")
    assert item() is None


def test_replaced_call_can_no_longer_record(claims, item):
    first = left_behind(claims, "sending")
    held(claims, now=NOW + 29, force_id="force-1")
    before = item()

    claims.record_sent(first, NOW + 30)
    claims.record_unknown(first)
    claims.release(first)

    assert item() == before


# Release


def test_released_claim_is_free_at_once(claims, item):
    claims.release(held(claims))

    assert item() is None
    assert held(claims, now=NOW + 1)


@pytest.mark.parametrize("state", ["sent", "unknown", "sending"])
def test_release_of_a_forced_claim_restores_the_replaced_one(claims, item, state):
    left_behind(claims, state)
    before = item()

    claims.release(held(claims, now=NOW + 60, force_id="force-1"))

    assert item() == before


def test_released_forced_call_sends_when_redelivered(claims):
    left_behind(claims, "sent")
    claims.release(held(claims, now=NOW + 60, force_id="force-1"))

    assert held(claims, now=NOW + 61, force_id="force-1")


# Recording


def test_sent_email_is_recorded_with_its_time(claims, item):
    claim = held(claims, force_id="force-1")
    before = item()

    claims.record_sent(claim, NOW + 3)

    assert item() == before | {"status": {"S": "sent"}, "sent_at": {"N": str(NOW + 3)}}


def test_unknown_outcome_is_recorded_without_a_time(claims, item):
    claim = held(claims)
    before = item()

    claims.record_unknown(claim)

    assert item() == before | {"status": {"S": "unknown"}}


def test_item_has_the_documented_attributes_only(claims, item):
    left_behind(claims, "sent", force_id="force-1")

    stored = item()

    assert {name: next(iter(value)) for name, value in stored.items()} == {
        "id": "S",
        "status": "S",
        "owner": "S",
        "deadline": "N",
        "expiration": "N",
        "sent_at": "N",
        "forced_by": "SS",
    }
    assert re.fullmatch(r"[0-9a-f]{32}", stored["owner"]["S"])


@pytest.mark.parametrize("record", [lambda claims, claim: claims.record_sent(claim, NOW), ClaimsTable.record_unknown])
@pytest.mark.parametrize("fault", [refusal("ThrottlingException"), ReadTimeoutError(endpoint_url=ENDPOINT)], ids=ascii)
def test_failed_record_is_logged_and_leaves_the_claim(claims, client, item, output, record, fault):
    claim = held(claims)
    before = item()
    client.before["update_item"] = [fault]

    record(claims, claim)

    (line,) = output().lines
    assert (line["level"], line["claim"]) == ("ERROR", KEY)
    assert line["error"] in ("ThrottlingException", "ReadTimeoutError")
    assert item() == before


@pytest.mark.parametrize("force_id", [None, "force-1"])
def test_failed_release_is_logged_and_leaves_the_claim(claims, client, output, force_id):
    if force_id is not None:
        left_behind(claims, "sent")
    claim = held(claims, now=NOW + 5, force_id=force_id)
    client.before["delete_item" if force_id is None else "put_item"] = [refusal("InternalServerError")]

    claims.release(claim)

    (line,) = output().lines
    assert (line["level"], line["claim"], line["error"]) == ("WARNING", KEY, "InternalServerError")
    assert stopped(claims, now=NOW + 34) == "unknown"


# Writes whose response is lost


@pytest.mark.parametrize("force_id", [None, "force-1"])
def test_write_with_a_lost_response_is_undone(claims, client, item, force_id):
    if force_id is not None:
        left_behind(claims, "sent")
    before = item()
    client.after["put_item"] = [ReadTimeoutError(endpoint_url=ENDPOINT)]

    with pytest.raises(ClaimsUnavailable, match="ReadTimeoutError"):
        acquire(claims, now=NOW + 5, force_id=force_id)

    assert item() == before


@pytest.mark.parametrize("force_id", [None, "force-1"])
def test_write_repeated_by_the_sdk_holds_its_own_claim(claims, client, item, force_id):
    if force_id is not None:
        left_behind(claims, "sent")
    real = client._client.put_item

    def put_twice(**arguments):
        real(**arguments)
        return real(**arguments)

    client.instead["put_item"] = put_twice

    claim = held(claims, now=NOW + 5, force_id=force_id)

    assert item()["owner"]["S"] == claim.owner


def methods(client):
    return [method for method, _ in client.calls]


@pytest.mark.parametrize("force_id", [None, "force-1"])
def test_refused_write_is_not_undone(claims, client, force_id):
    if force_id is not None:
        left_behind(claims, "sent")
    client.calls.clear()
    client.before["put_item"] = [refusal("ThrottlingException")]

    with pytest.raises(ClaimsUnavailable):
        acquire(claims, now=NOW + 5, force_id=force_id)

    assert methods(client) == ["put_item"]


# Reminders


RECORD = "7#2026-11-20#3"


def test_reminder_record_is_kept_for_ten_days(claims, item):
    assert not claims.reminded(RECORD)

    claims.record_reminder(RECORD, NOW + 0.7)

    assert claims.reminded(RECORD)
    assert item(RECORD) == {"id": {"S": RECORD}, "expiration": {"N": str(NOW + 10 * 86_400)}}


def test_reminder_may_be_recorded_again(claims):
    for later in (0, 5):
        claims.record_reminder(RECORD, NOW + later)

    assert claims.reminded(RECORD)


@pytest.mark.parametrize("other", ["8#2026-11-20#3", "7#2026-11-21#3", "7#2026-11-20#7", KEY])
def test_record_of_another_reminder_does_not_count(claims, other):
    claims.record_reminder(RECORD, NOW)

    assert not claims.reminded(other)


def test_reminder_is_read_consistently(claims, client):
    claims.reminded(RECORD)

    ((method, arguments),) = client.calls
    assert (method, arguments["ConsistentRead"]) == ("get_item", True)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusal("ThrottlingException"), ClaimsUnavailable),
        (ReadTimeoutError(endpoint_url=ENDPOINT), ClaimsUnavailable),
        (refusal("AccessDeniedException"), ConfigurationError),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("method", ["get_item", "put_item"])
def test_reminder_that_cannot_be_read_or_recorded_is_an_error(claims, client, method, fault, kind):
    client.before[method] = [fault]

    with pytest.raises(kind):
        claims.reminded(RECORD) if method == "get_item" else claims.record_reminder(RECORD, NOW)


def test_forgotten_reminder_is_not_recorded_any_more(claims, item):
    claims.record_reminder(RECORD, NOW)

    assert claims.forget_reminder(RECORD)
    assert not claims.reminded(RECORD)
    assert item(RECORD) is None


def test_reminder_never_recorded_may_be_forgotten(claims):
    assert claims.forget_reminder(RECORD)


@pytest.mark.parametrize("fault", [refusal("ThrottlingException"), ReadTimeoutError(endpoint_url=ENDPOINT)], ids=ascii)
def test_reminder_that_cannot_be_forgotten_is_logged(claims, client, output, fault):
    claims.record_reminder(RECORD, NOW)
    client.before["delete_item"] = [fault]

    assert not claims.forget_reminder(RECORD)

    (line,) = output().lines
    assert (line["level"], line["record"]) == ("WARNING", RECORD)
    assert line["error"] in ("ThrottlingException", "ReadTimeoutError")
    assert claims.reminded(RECORD)


# DynamoDB unavailable, throttled or forbidden


FAULTS = [
    *(
        refusal(code)
        for code in ("ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError")
    ),
    EndpointConnectionError(endpoint_url=ENDPOINT),
    ReadTimeoutError(endpoint_url=ENDPOINT),
]


@pytest.mark.parametrize("fault", FAULTS, ids=ascii)
def test_claim_without_dynamodb_leaves_nothing_behind(claims, client, item, fault):
    client.before["put_item"] = [fault]

    with pytest.raises(ClaimsUnavailable):
        acquire(claims)

    assert item() is None
    assert held(claims, now=NOW + 1)


@pytest.mark.parametrize("fault", FAULTS, ids=ascii)
def test_read_without_dynamodb_is_unavailable(claims, client, fault):
    client.before["get_item"] = [fault]

    with pytest.raises(ClaimsUnavailable):
        claims.read(KEY)


@pytest.mark.parametrize("method", ["put_item", "get_item"])
def test_permanent_error_is_a_configuration_error(claims, client, method):
    client.before[method] = [refusal("AccessDeniedException")]

    with pytest.raises(ConfigurationError, match="AccessDeniedException"):
        acquire(claims) if method == "put_item" else claims.read(KEY)


def test_missing_table_is_a_configuration_error(client):
    with pytest.raises(ConfigurationError, match="CLAIMS_TABLE"):
        acquire(ClaimsTable("missing", COOL_DOWN, client))


# All interleavings


KEYS = (f"{number:064x}" for number in itertools.count(1))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from([None, None, "a", "b", "c"])),
        st.tuples(st.just("end"), st.sampled_from(["sent", "unknown", "release", "kill"])),
        st.tuples(st.just("wait"), st.sampled_from([1, 10, 29, 30, 60, 71])),
    ),
    min_size=2,
    max_size=14,
)


@settings(deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_no_interleaving_sends_twice_inside_a_cool_down(client, steps):
    """Each holder may have sent, unless it released the claim. A new force id may send again. Cool-down: 100 s."""
    claims, key, now = ClaimsTable(TABLE, 100, client), next(KEYS), NOW
    sends: list[tuple[float, str | None]] = []  # time and force id of each email that may have been sent
    running: list[tuple[HeldClaim, tuple[float, str | None]]] = []  # claims in progress, each with its send

    for step, choice in steps:
        running = [(claim, sent) for claim, sent in running if now < claim.deadline]
        if step == "wait":
            now += choice
        elif step == "call":
            claim = acquire(claims, now=now, force_id=choice, key=key)
            if not isinstance(claim, HeldClaim):
                continue
            assert not running, "two calls hold the claim at the same time"
            recent = [force_id for moment, force_id in sends if now < moment + 100]
            assert not recent or (choice is not None and choice not in recent)
            sends.append((now, choice))
            running = [(claim, sends[-1])]
        elif running:
            claim, sent = running.pop()
            if choice == "sent":
                claims.record_sent(claim, now)
            elif choice == "unknown":
                claims.record_unknown(claim)
            elif choice == "release":
                claims.release(claim)
                sends.remove(sent)
