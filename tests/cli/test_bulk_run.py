"""The rules of `bulk`: who is called when, who never again, and what ends a run. Results are in memory."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dv_resend_cli.bulk_file import BulkRequest
from dv_resend_cli.bulk_results import Result, Results, utc
from dv_resend_cli.bulk_run import BulkRun
from dv_resend_cli.errors import FUNCTION_ERRORS, ExitCode, Failure

NOW = 1_800_000_000.0
COOL_DOWN = 3600
MINUTE = 60
OTHERS = {
    "Throttled": ExitCode.RETRYABLE,
    "SendingStopped": ExitCode.RETRYABLE,
    "NetworkUnavailable": ExitCode.RETRYABLE,
    "AccessDenied": ExitCode.ACCOUNT,
    "ResponseLost": ExitCode.UNKNOWN,
    "FunctionKilled": ExitCode.UNKNOWN,
    "Bug": ExitCode.BUG,
    "Interrupted": ExitCode.INTERRUPTED,
}


def error(name: str) -> Failure:
    return Failure(name, "No.", OTHERS[name] if name in OTHERS else FUNCTION_ERRORS[name][0])


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self) -> float:
        return NOW + self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Bulk:
    """Runs with a scripted function: for each order the next outcomes, or error names; without any it sends.

    `called` has each order, with the time since the start.
    """

    def __init__(self) -> None:
        self.results = Results("test")
        self.clock = FakeTime()
        self.answers: dict[int, list[str]] = {}
        self.called: list[tuple[int, float]] = []
        self.before_call: Callable[[int], object] = lambda _order_id: None

    def known(self, order_id: int, outcome: str, *, minutes_ago: float | None = None) -> None:
        """Set the result of an earlier run, unresolved for some minutes."""
        since = "" if minutes_ago is None else utc(self.clock.time() - minutes_ago * MINUTE)
        self.results.write(Result(order_id, "default", "", outcome, 5, "2026-11-23T15:04:05Z", since))

    def run(self, *order_ids: int, rate: float = 1, **options: Any) -> Failure | None:
        run = BulkRun(
            self._call,
            self.results,
            cool_down_seconds=COOL_DOWN,
            orders_per_second=rate,
            clock=self.clock,
            **options,
        )
        try:
            run.run([BulkRequest(order_id) for order_id in order_ids])
        except Failure as failure:
            return failure
        return None

    def _call(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        order_id = request["order_id"]
        self.before_call(order_id)
        self.called.append((order_id, round(self.clock.seconds, 3)))
        left = self.answers.get(order_id)
        outcome = left.pop(0) if left else "sent"
        if outcome in FUNCTION_ERRORS or outcome in OTHERS:
            raise error(outcome)
        answer = {"outcome": outcome, "skipped": [], "sent_at": "2026-11-23T15:04:05Z"}
        return answer | ({"outcome": "planned", "would_be": outcome, "advice": []} if request.get("dry_run") else {})

    @property
    def orders_called(self) -> list[int]:
        return [order_id for order_id, _ in self.called]

    def result(self, order_id: int) -> Result:
        result = self.results.of((order_id, "default", ""))
        assert result is not None
        return result


@pytest.fixture
def bulk() -> Bulk:
    return Bulk()


def test_calls_start_at_the_rate(bulk: Bulk) -> None:
    bulk.before_call = lambda order_id: bulk.clock.sleep(3 if order_id == 2 else 0.1)

    bulk.run(1, 2, 3, 4, rate=2)

    assert bulk.called == [(1, 0.1), (2, 3.5), (3, 3.6), (4, 4.1)]


def test_order_is_started_before_its_call(bulk: Bulk) -> None:
    seen: list[Result] = []
    bulk.before_call = lambda order_id: seen.append(bulk.result(order_id))

    bulk.run(7)

    assert [(result.outcome, result.unresolved_since) for result in seen] == [("started", utc(NOW))]
    assert (bulk.result(7).outcome, bulk.result(7).unresolved_since) == ("sent", "")


@pytest.mark.parametrize("outcome", ["sent", "duplicate", "OutcomeUnknown"])
def test_settled_order_is_left_alone_without_a_pause(bulk: Bulk, outcome: str) -> None:
    for order_id in (1, 2, 3):
        bulk.known(order_id, outcome)

    bulk.run(1, 2, 3, 4)

    assert bulk.called == [(4, 0)]
    assert bulk.result(1).outcome == outcome


@pytest.mark.parametrize(
    ("minutes_ago", "outcome"),
    [(0, "duplicate"), (44, "duplicate"), (45, "OutcomeUnknown"), (10**5, "OutcomeUnknown"), (-20, "OutcomeUnknown")],
    ids=str,
)
def test_started_order_is_asked_about_inside_the_cool_down(bulk: Bulk, minutes_ago: float, outcome: str) -> None:
    bulk.known(7, "started", minutes_ago=minutes_ago)
    bulk.answers = {7: ["duplicate"]}

    bulk.run(7)

    assert bulk.result(7).outcome == outcome
    assert bulk.result(7).unresolved_since == ""
    assert bulk.orders_called == ([7] if outcome == "duplicate" else [])


def test_unresolved_orders_are_called_first(bulk: Bulk) -> None:
    bulk.known(2, "ResponseLost", minutes_ago=1)

    bulk.run(1, 2, 3)

    assert bulk.orders_called == [2, 1, 3]


@pytest.mark.parametrize("name", ["RateLimited", "OrderNotEligible", "ResendInProgress"])
def test_error_does_not_resolve_what_was_started(bulk: Bulk, name: str) -> None:
    bulk.known(7, "started", minutes_ago=30)
    since = bulk.result(7).unresolved_since
    bulk.answers = {7: [name] * 9}

    bulk.run(7)
    assert (bulk.result(7).outcome, bulk.result(7).unresolved_since) == (name, since)

    # The email of the first call is outside its cool-down now: another one would be a second one.
    bulk.clock.sleep(COOL_DOWN)
    called = len(bulk.called)
    bulk.run(7)
    assert (bulk.result(7).outcome, len(bulk.called)) == ("OutcomeUnknown", called)


@pytest.mark.parametrize("name", ["OrderNotEligible", "RecipientNotAllowed", "InvalidRequest", "OutcomeUnknown", "Bug"])
def test_error_of_an_order_does_not_stop_the_others(bulk: Bulk, name: str) -> None:
    bulk.answers = {1: [name]}

    assert bulk.run(1, 2) is None

    assert bulk.orders_called == [1, 2]
    assert (bulk.result(1).outcome, bulk.result(1).exit_code) == (name, error(name).exit_code)
    assert bool(bulk.result(1).unresolved_since) == (name == "Bug")


@pytest.mark.parametrize("name", ["RateLimited", "CertCentralUnavailable", "Throttled", "NetworkUnavailable"])
def test_passing_error_of_the_account_pauses_all(bulk: Bulk, name: str) -> None:
    notes: list[str] = []
    bulk.answers = {1: [name], 2: [name]}

    assert bulk.run(1, 2, 3, note=notes.append) is None

    # The orders that failed come again after a minute.
    assert bulk.orders_called == [1, 2, 3, 1, 2]
    second, third, fourth = [at for _, at in bulk.called][1:4]
    assert 2.5 <= second <= 5 <= third - second <= 10
    assert fourth == 60
    assert [note.partition(":")[0] for note in notes] == [name, name]
    assert {bulk.result(order_id).outcome for order_id in (1, 2, 3)} == {"sent"}


def test_pause_is_short_again_after_an_answer(bulk: Bulk) -> None:
    bulk.answers = {1: ["RateLimited"], 3: ["RateLimited"]}

    bulk.run(1, 2, 3, 4)

    third, fourth = [at for _, at in bulk.called][2:4]
    assert 2.5 <= fourth - third <= 5


@pytest.mark.parametrize("name", ["RecipientUnverified", "ResendInProgress", "ResponseLost", "FunctionKilled"])
def test_passing_error_of_an_order_pauses_it_alone(bulk: Bulk, name: str) -> None:
    bulk.answers = {1: [name, "duplicate"]}

    bulk.run(1, 2, 3)

    assert bulk.called == [(1, 0), (2, 1), (3, 2), (1, 60)]
    assert (bulk.result(1).outcome, bulk.result(1).unresolved_since) == ("duplicate", "")


def test_order_that_keeps_failing_is_left_for_the_next_run(bulk: Bulk) -> None:
    bulk.answers = {1: ["CertCentralUnavailable"] * 9}

    assert bulk.run(1, *range(2, 400)) is None

    assert bulk.orders_called.count(1) == 5
    assert (bulk.result(1).outcome, bulk.result(1).unresolved_since) == ("CertCentralUnavailable", "")
    assert bulk.result(399).outcome == "sent"


def test_run_gives_up_after_half_an_hour_without_an_answer(bulk: Bulk) -> None:
    bulk.answers = {order_id: ["CertCentralUnavailable"] * 9 for order_id in range(99)}

    failure = bulk.run(*range(1, 99))

    assert failure is not None
    assert failure.exit_code == ExitCode.RETRYABLE
    assert 30 * MINUTE < bulk.clock.seconds < 36 * MINUTE
    assert len(bulk.called) < 20


@pytest.mark.parametrize(
    "name", ["ApiKeyRejected", "ConfigurationError", "AccessDenied", "SendingPaused", "SendingStopped"]
)
def test_lasting_error_of_the_account_ends_the_run(bulk: Bulk, name: str) -> None:
    bulk.answers = {2: [name]}

    failure = bulk.run(1, 2, 3)

    assert failure is not None
    assert failure.name == name
    assert bulk.orders_called == [1, 2]
    bulk.run(1, 2, 3)
    assert bulk.orders_called == [1, 2, 2, 3]


def test_interrupted_order_stays_started(bulk: Bulk) -> None:
    bulk.answers = {1: ["Interrupted"]}

    failure = bulk.run(1, 2)

    assert failure is not None
    assert failure.exit_code == ExitCode.INTERRUPTED
    assert (bulk.result(1).outcome, bulk.orders_called) == ("started", [1])


def test_started_order_expires_while_others_are_called(bulk: Bulk) -> None:
    bulk.known(1, "started", minutes_ago=44)
    bulk.answers = {1: ["ResendInProgress", "sent"]}

    bulk.run(1)

    assert (bulk.result(1).outcome, bulk.orders_called) == ("OutcomeUnknown", [1])


def test_dry_run_plans_what_is_left(bulk: Bulk) -> None:
    bulk.known(1, "sent")
    bulk.answers = {2: ["OrderNotEligible"], 3: ["RateLimited", "duplicate"], 4: ["Bug"], 5: ["Interrupted"]}

    bulk.run(1, 2, 3, 4, dry_run=True)
    bulk.run(5, dry_run=True)

    results = list(bulk.results.by_key.values())
    assert [result.outcome for result in results] == ["left alone", "OrderNotEligible", "duplicate", "Bug"]
    assert not any(result.unresolved_since for result in results)


# ---------------------------------------------------------------- orders that are not DV

SENT_SOME = "b.test: No. Sent: a.test."
LEFT_SOME = "b.test: No. Sent: a.test. Left: 1 of 2 domains (b.test); a repeat sends these only."
IN_DOUBT = "a.test: Unclear. Left: 1 of 2 domains (b.test); a repeat sends these only."
DONE: dict[str, Any] = {
    "outcome": "sent",
    "skipped": [],
    "sent_at": "2026-11-23T15:04:05Z",
    "domains": [
        {"name": "a.test", "id": 1, "outcome": "duplicate"},
        {"name": "b.test", "id": 2, "outcome": "sent"},
    ],
}


class Domains:
    """A function whose next calls about order 7 end with these messages; later ones send."""

    def __init__(self, *ends: tuple[str, str]) -> None:
        self.ends = list(ends)
        self.calls = 0

    def __call__(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.calls += 1
        if not self.ends:
            return DONE
        name, message = self.ends.pop(0)
        raise Failure(name, message, FUNCTION_ERRORS[name][0])


def run_with(bulk: Bulk, function: Domains) -> Result:
    """Run with another function, and return what then is known about order 7."""
    run = BulkRun(function, bulk.results, cool_down_seconds=COOL_DOWN, orders_per_second=1, clock=bulk.clock)
    run.run([BulkRequest(7)])
    return bulk.result(7)


@pytest.mark.parametrize(
    ("name", "message"), [("RateLimited", LEFT_SOME), ("ResendInProgress", SENT_SOME), ("OutcomeUnknown", IN_DOUBT)]
)
def test_rest_of_the_domains_is_sent_by_another_call(bulk: Bulk, name: str, message: str) -> None:
    function = Domains((name, message))

    result = run_with(bulk, function)

    assert (function.calls, result.outcome, result.unresolved_since) == (2, "sent", "")
    assert result.message == "Mailed already, perhaps for another order: a.test."


@pytest.mark.parametrize(
    ("name", "message", "is_unresolved"),
    [
        ("RequestRejected", SENT_SOME, True),
        ("RequestRejected", "a.test: No.", False),
        ("OutcomeUnknown", "a.test: Unclear. Sent: b.test.", False),
    ],
    ids=str,
)
def test_message_and_state_of_a_partial_outcome_are_kept(
    bulk: Bulk, name: str, message: str, is_unresolved: bool
) -> None:
    result = run_with(bulk, Domains((name, message)))

    assert (result.outcome, result.message) == (name, message)
    assert result.unresolved_since == (utc(NOW) if is_unresolved else "")


@pytest.mark.parametrize(("name", "message"), [("RateLimited", LEFT_SOME), ("OutcomeUnknown", IN_DOUBT)])
def test_domains_are_not_mailed_again_after_the_cool_down(bulk: Bulk, name: str, message: str) -> None:
    since = utc(NOW - COOL_DOWN)
    bulk.results.write(Result(7, "default", "", name, 4, since, since, message=message))
    function = Domains()

    result = run_with(bulk, function)

    assert (function.calls, result.outcome, result.exit_code) == (0, "OutcomeUnknown", 5)
    assert result.message == f"It is too late to mail about the rest only. The last call ended with: {message}"
    assert not result.unresolved_since


def test_duplicate_names_the_domains_that_were_mailed(bulk: Bulk) -> None:
    duplicate = DONE | {"outcome": "duplicate", "domains": DONE["domains"][:1]}
    run = BulkRun(lambda _: duplicate, bulk.results, cool_down_seconds=COOL_DOWN, orders_per_second=1, clock=bulk.clock)

    run.run([BulkRequest(7)])

    told = "Emails about a.test were sent at 2026-11-23T15:04:05Z, perhaps for another order, or to others."
    assert bulk.result(7).message == told
