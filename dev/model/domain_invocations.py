"""Invocations for orders that are not DV: the real use cases, which send about one domain after the other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

from dev.model.facts import QUIET_SECONDS, RERUN_QUIET_SECONDS, SKEW
from dev.model.invocations import COOL_DOWN, DUE_UNTIL, REMINDERS, SECONDS, Answer, Invocation, Surroundings
from dv_resend.adapters.send_records import SendRecordsTable
from dv_resend.config import Config
from dv_resend.core import requests, resend
from dv_resend.core.claim_and_send import SendGuard
from dv_resend.core.orders import Domain, DomainEmails, NameStatus, Order, OrderStatus
from dv_resend.core.people import people_of
from dv_resend.core.requests import Reminder, ResendRequest
from dv_resend.core.results import ReminderResult, ResendResult
from dv_resend.core.send_record import DEFAULT
from dv_resend.errors import OutcomeUnknown, ResendError, ResendInProgress

X, Y = Domain(1, "x.example"), Domain(2, "y.example")
DOMAINS_OF_ORDERS = {7: (X, Y), 8: (Y, X), 9: (Y,)}
_DOMAINS = {domain.scope: domain for domain in (X, Y)}

_SETTINGS = Config.from_environment(
    {
        "API_KEY_SECRET_ID": "a secret",
        "SEND_RECORDS_TABLE": "a table",
        "COOL_DOWN_MINUTES": str(COOL_DOWN // 60),
        "RECIPIENT_CHECK": "off",
        "ORDER_TYPES": "all",
    }
)


_ORDERS = {order_id: Order(order_id, "pending", "ssl_certificate", "email") for order_id in DOMAINS_OF_ORDERS}
_VALIDATIONS = {
    order_id: OrderStatus(
        order_id,
        "pending",
        "email",
        tuple(NameStatus(each.scope, "pending", (each.scope,), domain_id=each.domain_id) for each in domains),
    )
    for order_id, domains in DOMAINS_OF_ORDERS.items()
}


def request_of(order_id: int, named: tuple[str, ...] = (), *, force: bool = False) -> ResendRequest:
    """Return a request about all domains of an order, or to one person at each of the ``named`` scopes."""
    fields: dict[str, object] = {"order_id": order_id, "force": force}
    if named:
        fields["domain_approval_emails"] = [{"domain": scope, "email": f"admin@{scope}"} for scope in named]
    return ResendRequest.from_input(fields)


def _people(part: ResendRequest) -> tuple[str, ...]:
    return tuple(people_of(part.recipients, _VALIDATIONS[part.order_id], part.domain))


# The keys by which records know the persons.
PEOPLE = {f"admin@{scope}": _people(request_of(7, (scope,)))[0] for scope in _DOMAINS}


class Part(NamedTuple):
    """What is said of one domain: ``people`` were mailed, or would have been; the others are ``skipped`` (and why)."""

    record_id: str
    name: str
    people: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def is_of_account(self) -> bool:
        """Whether it is an error that stops everything."""
        return self.name in _ACCOUNT_ERRORS


_ACCOUNT_ERRORS = ("RateLimited", "SendRecordUnavailable", "CertCentralUnavailable")


@dataclass(frozen=True)
class DomainAnswer(Answer):
    """How an invocation ended: ``name`` is an outcome or an error's class. ``message`` is the error's.

    ``domains`` and ``sent_at`` are those of the result of a request.
    """

    parts: tuple[Part, ...] = ()
    message: str | None = None
    domains: tuple[tuple[str, str], ...] | None = None
    sent_at: int = 0


@dataclass(frozen=True)
class DomainInvocation(Invocation):
    """One delivery of a request about an order, or at the ``named`` scopes of its domains; or of a reminder."""

    order_id: int = 7
    named: tuple[str, ...] = ()

    @property
    def order(self) -> str:
        """The record of the order, which only reminders write."""
        return f"order#{self.order_id}"

    @property
    def record_ids(self) -> tuple[str, ...]:
        return (self.order, *self.domain_ids) if self.reminder else self.domain_ids

    @property
    def domain_ids(self) -> tuple[str, ...]:
        domains = [_DOMAINS[scope] for scope in self.named] or DOMAINS_OF_ORDERS[self.order_id]
        return tuple(domain.record_id for domain in domains)

    @property
    def told_as(self) -> str | None:
        return self.reminder and f"{self.order} {self.reminder}"

    def repeats(self, told_as: str | None, seconds: int) -> bool:
        # An email of anybody counts, and one of its own for longer.
        return seconds < (RERUN_QUIET_SECONDS - SKEW if told_as == self.told_as else QUIET_SECONDS)

    @staticmethod
    def scope_of(record_id: str) -> str:
        """Return the scope of a domain's record."""
        return record_id.rpartition("#")[2]

    def run(self, world: Surroundings) -> Answer:
        parts: list[Part] = []

        def on_domain(part: ResendRequest, outcome: str | ResendError) -> None:
            name = outcome if isinstance(outcome, str) else type(outcome).__name__
            skipped = tuple((PEOPLE[each.recipient.email], each.reason) for each in part.skipped)
            parts.append(Part(part.record_id, name, _people(part), skipped))

        def report(error: OutcomeUnknown) -> None:
            reminders = tuple(reminder for reminder in REMINDERS if reminder in error.message)
            scopes = () if reminders else error.message.partition(": ")[0].split(", ")
            domains = tuple(_DOMAINS[scope].record_id for scope in scopes if scope in _DOMAINS)
            world.report(self.order, reminders, domains)

        deadline = world.clock() + SECONDS
        invocation = requests.Invocation(deadline, self.force_id or self.name, on_unknown=report, on_domain=on_domain)
        answer = self._answer(lambda: self._call(_Resender(world), invocation), parts)
        if self.reminder is None or answer.name in (*_ACCOUNT_ERRORS, ResendInProgress.__name__):
            return answer  # a message goes back to the queue
        world.acknowledge(answer)
        return replace(answer, delivered_again=False)

    def _call(self, resender: "_Resender", invocation: requests.Invocation) -> ResendResult | ReminderResult:
        if self.reminder is None:
            return resender.resend(request_of(self.order_id, self.named, force=self.force_id is not None), invocation)
        since, _, day = self.reminder.partition("#")
        message = Reminder(self.order_id, date.fromisoformat(since), int(day), by_domain=True)
        return resender.remind(message, invocation)

    @staticmethod
    def _answer(call: Callable[[], ResendResult | ReminderResult], parts: list[Part]) -> DomainAnswer:
        try:
            result = call()
        except ResendError as error:
            return DomainAnswer(type(error).__name__, delivered_again=True, parts=tuple(parts), message=error.message)
        answer = DomainAnswer(result.outcome, parts=tuple(parts))
        if isinstance(result, ReminderResult):
            return answer
        domains = tuple((domain.record_id, outcome) for domain, outcome in result.domains)
        return replace(answer, domains=domains, sent_at=result.sent_at)


class _CertCentral:
    """Answers every query at once. What becomes of a PUT is for the world to choose."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world

    def get_order(self, order_id: int, _deadline: float) -> Order:
        return _ORDERS[order_id]

    def get_order_status(self, order_id: int, _deadline: float) -> OrderStatus:
        return _VALIDATIONS[order_id]

    def get_domain_emails(self, _domain_id: int, _deadline: float) -> DomainEmails:
        return DomainEmails(None, tuple(PEOPLE))

    def resend_domain_emails(self, domain_id: int, body: dict[str, Any], _deadline: float) -> None:
        people = tuple(PEOPLE[email] for email in body.get("email_array", ())) or (DEFAULT,)
        self._world.put(Domain(domain_id, body["name_scope"]).record_id, people)


class _Resender(resend.Resender):
    """The real one, with a guard that draws what the world knows."""

    def __init__(self, world: Surroundings) -> None:
        records = SendRecordsTable("a table", world)  # type: ignore[arg-type]
        super().__init__(_CertCentral(world), records, _no_lookup, _SETTINGS, world.clock)  # type: ignore[arg-type]
        self._guard = SendGuard(records, COOL_DOWN, world.clock, world.draw)

    def _due(self, reminder: Reminder, _invocation: requests.Invocation) -> "ReminderResult | resend._Due":
        """Return the reminder of the message while it is due: which one that is, is not the question here."""
        if self._clock() >= DUE_UNTIL:
            return ReminderResult(reminder.order_id, "missed")
        order, validation = _ORDERS[reminder.order_id], _VALIDATIONS[reminder.order_id]
        assert reminder.mark is not None
        request = ResendRequest(reminder.order_id)
        return resend._Due(reminder.mark, request, validation, self._domains().open_of(order, validation))


def _no_lookup() -> Any:
    raise AssertionError("recipients are not checked here")
