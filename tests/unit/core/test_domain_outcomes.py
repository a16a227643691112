"""What several domain-level sends come to: which error counts, and what its message says of each domain."""

from dataclasses import replace

import pytest

from dv_resend.core.domain_outcomes import DomainOutcome, DomainRun
from dv_resend.core.orders import Domain
from dv_resend.core.requests import ResendRequest
from dv_resend.core.results import ResendResult
from dv_resend.errors import (
    CertCentralUnavailable,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    ResendError,
    ResendInProgress,
    SendRecordUnavailable,
)
from unit.samples import error_of

NOW = 1_795_446_245
ACCOUNT = [kind for kind in ResendError.__subclasses__() if kind.scope == "account"]


def part(scope: str, domain_id: int = 1) -> ResendRequest:
    return replace(ResendRequest(7), domain=Domain(domain_id, scope))


def became(scope: str, what: str | ResendError) -> DomainOutcome:
    """Return what became of one domain: ``sent``, ``duplicate`` or an error."""
    if isinstance(what, ResendError):
        return DomainOutcome(part(scope), error=what)
    outcome = "sent" if what == "sent" else "duplicate"
    return DomainOutcome(part(scope), result=ResendResult(part(scope), outcome, NOW, NOW + 3720))  # type: ignore[arg-type]


def run_of(*outcomes: str | ResendError, stopped: ResendError | None = None, left: int = 0) -> DomainRun:
    """Return a run over a.example, b.example, …; if it ``stopped``, as many domains are ``left``."""
    scopes = [f"{letter}.example" for letter in "abcdefghijklmnop"]
    done = tuple(became(scope, what) for scope, what in zip(scopes, outcomes, strict=False))
    return DomainRun(done, stopped, tuple(map(part, scopes[len(outcomes) :][:left])))


UNKNOWN, REJECTED, BUSY = OutcomeUnknown("Perhaps."), RequestRejected("Refused."), ResendInProgress("Busy.")
LIMITED = RateLimited("Too many.")


# Which error counts


@pytest.mark.parametrize("outcomes", [(), ("sent",), ("duplicate",), ("sent", "duplicate", "sent")], ids=str)
def test_run_without_errors_has_none(outcomes: tuple[str, ...]) -> None:
    run = run_of(*outcomes)

    assert (run.error, run.unknown, run.to_repeat) == (None, None, None)


@pytest.mark.parametrize(
    ("run", "error"),
    [
        (run_of("sent", REJECTED), REJECTED),
        (run_of(REJECTED, RequestRejected("Another.")), REJECTED),
        (run_of(REJECTED, BUSY), BUSY),
        (run_of(BUSY, REJECTED), BUSY),
        (run_of(REJECTED, BUSY, UNKNOWN), UNKNOWN),
        (run_of(UNKNOWN, OutcomeUnknown("Another."), REJECTED), UNKNOWN),
        (run_of("sent", stopped=LIMITED, left=2), LIMITED),
        (run_of(REJECTED, stopped=LIMITED, left=1), LIMITED),
        (run_of(BUSY, stopped=LIMITED, left=1), LIMITED),
        (run_of(UNKNOWN, stopped=LIMITED, left=1), UNKNOWN),
    ],
    ids=[
        *("refused", "first refused", "in progress last", "in progress first", "unknown last", "first unknown"),
        *("stopped", "stopped after refused", "stopped after in progress", "stopped after unknown"),
    ],
)
def test_most_important_error_counts(run: DomainRun, error: ResendError) -> None:
    assert run.error is error


@pytest.mark.parametrize(
    ("run", "to_repeat"),
    [
        (run_of(REJECTED, UNKNOWN), None),
        (run_of(UNKNOWN, BUSY), BUSY),
        (run_of(UNKNOWN, BUSY, stopped=LIMITED, left=1), LIMITED),
    ],
    ids=["done", "in progress", "stopped"],
)
def test_run_is_to_be_repeated_if_a_rest_is_left(run: DomainRun, to_repeat: ResendError | None) -> None:
    assert run.to_repeat is to_repeat


@pytest.mark.parametrize(
    ("outcomes", "has_mailed"),
    [
        *((("sent",), True), (("duplicate",), True), ((UNKNOWN,), True), ((REJECTED, "sent"), True)),
        *(((REJECTED,), False), ((BUSY,), False), ((REJECTED, BUSY), False), ((), False)),
    ],
    ids=ascii,
)
def test_run_has_mailed_if_anybody_may_have_been(outcomes: tuple[str | ResendError, ...], has_mailed: bool) -> None:
    assert run_of(*outcomes).has_mailed is has_mailed


@pytest.mark.parametrize("kind", ACCOUNT)
def test_error_that_stops_a_run_mailed_nobody(kind: type[ResendError]) -> None:
    assert not run_of(REJECTED, stopped=error_of(kind), left=2).has_mailed


@pytest.mark.parametrize("what", ["sent", "duplicate", RequestRejected("x"), ResendInProgress("x")], ids=ascii)
def test_outcome_is_named_by_its_result_or_error(what: str | ResendError) -> None:
    assert became("a.example", what).name == (what if isinstance(what, str) else type(what).__name__)


# What its message says


def message(run: DomainRun) -> str:
    error = run.explained().error
    assert error is not None
    return error.message


def test_message_names_the_domain_and_the_others() -> None:
    run = run_of("sent", RequestRejected("Refused."), "duplicate", ResendInProgress("x"), "sent")

    assert message(replace(run, outcomes=run.outcomes[:3])) == (
        "b.example: Refused. Sent: a.example. Already mailed: c.example."
    )


def test_message_tells_each_other_error() -> None:
    run = run_of(ResendInProgress("Busy."), "sent", RequestRejected("x"), RequestRejected("x"))

    assert message(run) == "a.example: Busy. Sent: b.example. RequestRejected: c.example, d.example."


def test_message_names_every_domain_with_the_same_error() -> None:
    run = run_of(RequestRejected("Refused."), "sent", RequestRejected("x"))

    assert message(run) == "a.example, c.example: Refused. Sent: b.example."


def test_message_of_a_single_domain_adds_its_name_only() -> None:
    assert message(run_of(OutcomeUnknown("Perhaps."))) == "a.example: Perhaps."


@pytest.mark.parametrize(
    "others", [("sent",), ("duplicate", RequestRejected("x")), ("sent", OutcomeUnknown("x"))], ids=ascii
)
def test_unknown_domain_is_to_be_forced_alone(others: tuple[str | ResendError, ...]) -> None:
    said = message(run_of(OutcomeUnknown("Perhaps."), *others))

    concerned = "a.example, c.example" if len(others) == 2 and isinstance(others[1], OutcomeUnknown) else "a.example"
    assert said.startswith(f"{concerned}: Perhaps. ")
    assert said.endswith(
        f" A forced call mails about every domain again: to force {concerned} only, name recipients there."
    )


def test_only_unknown_domains_need_no_advice() -> None:
    assert "forced call" not in message(run_of(OutcomeUnknown("x"), OutcomeUnknown("x")))
    assert "forced call" not in message(run_of(RequestRejected("x"), "sent"))


@pytest.mark.parametrize("kind", [RateLimited, CertCentralUnavailable, SendRecordUnavailable])
def test_message_of_a_stopped_run_says_what_is_left(kind: type[ResendError]) -> None:
    run = run_of("sent", "duplicate", stopped=kind("Stopped."), left=3)

    assert message(run) == (
        "c.example: Stopped. Sent: a.example. Already mailed: b.example. Left: 3 of 5 domains (c.example, d.example, "
        "e.example); a repeat sends these only."
    )


def test_both_errors_of_an_unknown_and_stopped_run_explain() -> None:
    limited = RateLimited("Too many.")

    said = message(run_of(OutcomeUnknown("Perhaps."), "sent", stopped=limited, left=1))

    left = "Left: 1 of 3 domains (c.example); a repeat sends these only."
    assert said.startswith(f"a.example: Perhaps. Sent: b.example. {left} A forced call")
    assert "to force a.example only" in said
    assert limited.message == f"c.example: Too many. OutcomeUnknown: a.example. Sent: b.example. {left}"


def test_unknown_domain_of_a_stopped_run_is_to_be_forced_alone() -> None:
    assert "to force a.example only" in message(run_of(OutcomeUnknown("x"), stopped=RateLimited("x"), left=1))


def test_long_lists_of_domains_are_shortened() -> None:
    run = run_of(RequestRejected("x"), *["sent"] * 11)

    assert message(run).endswith("i.example, j.example, k.example ….")


def test_message_of_a_run_without_errors_does_not_exist() -> None:
    assert run_of("sent").explained().error is None
