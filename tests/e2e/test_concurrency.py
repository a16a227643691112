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
RETRYABLE = {cls.__name__ for cls in errors.ResendError.__subclasses__() if cls.retryable} - {"ResendInProgress"}
RETRY_SECONDS = 0.1
NAMES = {cls.base_code: cls.__name__ for cls in errors.ResendError.__subclasses__()}


# On a busy machine, CertCentral may answer too late, and a function may be killed. Both are right; neither is `sent`.
TOO_SLOW = "too slow"


def outcome_of(error_name: str, message: str) -> str:
    without_answer = error_name == errors.OutcomeUnknown.__name__ and "ReadTimeout" in message
    return TOO_SLOW if without_answer or "Task timed out" in message else error_name


@pytest.fixture
def by_http(put: Put) -> Call:
    def resend(order_id: int, body: dict[str, Any]) -> str:
        response = put(order_id, body)
        if response.status_code == 204:
            return "sent"
        # AWS limits the concurrency too, and throttles the rest with 429.
        if response.status_code == 429:
            return errors.RateLimited.__name__
        if "errors" not in response.json():  # API Gateway's own answer: the function was killed
            return TOO_SLOW
        (error,) = response.json()["errors"]
        return "duplicate" if error["code"] == "cool_down" else outcome_of(NAMES[error["code"]], error["message"])

    return retrying(resend)


@pytest.fixture
def by_invoke(stack: LocalStack) -> Call:
    client = stack.client("lambda")

    def resend(order_id: int, body: dict[str, Any]) -> str:
        try:
            answer = client.invoke(
                FunctionName=stack.function_alias, Payload=json.dumps({"order_id": order_id, **body})
            )
        except client.exceptions.TooManyRequestsException:
            return errors.RateLimited.__name__
        payload: dict[str, Any] = json.load(answer["Payload"])
        return payload.get("outcome") or outcome_of(payload["errorType"], payload["errorMessage"])

    return retrying(resend)


def retrying(resend: Call) -> Call:
    def call(order_id: int, body: dict[str, Any]) -> str:
        while (outcome := resend(order_id, body)) in RETRYABLE:
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
        if found[TOO_SLOW]:
            assert found["sent"] <= 1
        elif order_id in without_response:
            assert found["OutcomeUnknown"] >= 1, found
            assert found.keys() <= {"OutcomeUnknown", "ResendInProgress"}
        else:
            assert found["sent"] == 1, found
            assert found.keys() <= {"sent", "duplicate", "ResendInProgress"}
    in_time = [order_id for order_id in orders if not outcomes[order_id][TOO_SLOW]]
    puts = Counter(int(put["path"].split("/")[-2]) for put in emulator.puts)
    assert max(puts.values()) == 1
    assert puts.keys() >= {*in_time}
    answered = {
        (order_id, outcome): count for order_id in in_time for outcome, count in outcomes[order_id].items() if count
    }

    def logged() -> dict[tuple[int, str], int]:
        lines = stack.audit_lines(since)
        return Counter((line["order_id"], line["outcome"]) for line in lines if line.get("order_id") in outcomes)

    # The last lines may be there a moment after the answers.
    eventually(lambda: all(logged()[key] >= count for key, count in answered.items()))
    assert {key: logged()[key] for key in answered} == answered
