"""Two hundred callers at once, in several words: no call is lost, and nobody is mailed twice. Real processes."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from dev.local.stack import LocalStack
from dv_resend import errors
from e2e.conftest import Emulator, Put, eventually

CALLERS = 200
CALLERS_OF_AN_ORDER = 4
ORDERS = CALLERS // CALLERS_OF_AN_ORDER
# For so many orders, CertCentral resets the connection after it has sent the emails.
LOST_RESPONSES = 5


NAMED = [{"domain": "example.com", "email": "admin@example.com"}]
# Each caller of an order words the request differently. Whichever comes first, each of the others is a repeat.
SPELLINGS: list[dict[str, Any]] = [
    {},
    {"locale": "en"},
    {"domain_approval_emails": NAMED},
    {"domain_approval_emails": NAMED, "locale": "EN_us"},
]
type Call = Callable[[int, dict[str, Any]], str]

# Callers retry what docs/calling.md tells them to retry. `ResendInProgress` is left out: here it is an answer to count.
RETRYABLE = {cls for cls in errors.ResendError.__subclasses__() if cls.retryable} - {errors.ResendInProgress}
RETRY_SECONDS = 0.1


def unknown(message: str) -> str:
    """Tell whether CertCentral did not answer the PUT in time, as may happen on a busy machine."""
    return "timed out" if "ReadTimeout" in message else "OutcomeUnknown"


@pytest.fixture
def by_http(put: Put) -> Call:
    def call(order_id: int, body: dict[str, Any]) -> str:
        # AWS limits the concurrency too, and throttles the rest with 429.
        while (response := put(order_id, body)).status_code in {429, *(cls.http_status for cls in RETRYABLE)}:
            time.sleep(RETRY_SECONDS)
        if response.status_code == 204:
            return "sent"
        (error,) = response.json()["errors"]
        if error["code"] == "outcome_unknown":
            return unknown(error["message"])
        return {"cool_down": "duplicate", "resend_in_progress": "ResendInProgress"}[error["code"]]

    return call


@pytest.fixture
def by_invoke(stack: LocalStack) -> Call:
    client = stack.client("lambda")

    def invoke(fields: dict[str, Any]) -> str:
        try:
            answer = client.invoke(FunctionName=stack.function_alias, Payload=json.dumps(fields))
        except client.exceptions.TooManyRequestsException:
            return errors.RateLimited.__name__
        payload: dict[str, Any] = json.load(answer["Payload"])
        if payload.get("errorType") == "OutcomeUnknown":
            return unknown(payload["errorMessage"])
        return str(payload.get("outcome") or payload["errorType"])

    def call(order_id: int, body: dict[str, Any]) -> str:
        while (outcome := invoke({"order_id": order_id, **body})) in {cls.__name__ for cls in RETRYABLE}:
            time.sleep(RETRY_SECONDS)
        return outcome

    return call


def test_parallel_calls_mail_each_order_once(
    stack: LocalStack, emulator: Emulator, by_http: Call, by_invoke: Call
) -> None:
    since = time.time()
    emulator("PUT", "limits", [])
    first = int(time.time() * 1000) % 10**12
    orders = [emulator.add_order(id=first + n, names=["example.com"]) for n in range(ORDERS)]
    without_response = orders[:LOST_RESPONSES]
    for order_id in without_response:
        emulator.inject({"fault": "reset", "path": f"/{order_id}/resend-emails", "times": 1, "mails": True})
    all_there = Barrier(CALLERS)

    def call(place: int) -> tuple[int, str]:
        order_id = orders[place % ORDERS]
        all_there.wait()
        number = place // ORDERS
        return order_id, (by_http, by_invoke)[number % 2](order_id, SPELLINGS[number])

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(call, range(CALLERS)))

    outcomes: dict[int, Counter[str]] = defaultdict(Counter)
    for order_id, outcome in answers:
        outcomes[order_id][outcome] += 1
    for order_id in orders:
        found = outcomes[order_id]
        assert found.total() == CALLERS_OF_AN_ORDER
        if timeouts := found.pop("timed out", 0):
            found["OutcomeUnknown"] += timeouts
        if order_id in without_response or timeouts:
            assert found["OutcomeUnknown"] >= 1
            assert found.keys() <= {"OutcomeUnknown", "ResendInProgress"}
        else:
            assert found["sent"] == 1, found
            assert found.keys() <= {"sent", "duplicate", "ResendInProgress"}
    assert Counter(int(put["path"].split("/")[-2]) for put in emulator.puts) == dict.fromkeys(orders, 1)
    answered = {(order_id, outcome): count for order_id in orders for outcome, count in outcomes[order_id].items()}

    def logged() -> dict[tuple[int, str], int]:
        lines = stack.audit_lines(since)
        return Counter((line["order_id"], line["outcome"]) for line in lines if line.get("order_id") in outcomes)

    # The last lines may be there a moment after the answers.
    eventually(lambda: all(logged()[key] >= count for key, count in answered.items()))
    assert {key: logged()[key] for key in answered} == answered
