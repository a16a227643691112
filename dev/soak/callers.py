"""Callers through all event sources. They choose by seed what they ask for, and record what they are told."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from dev.emulator import CertCentralEmulator
from dev.local.stack import LocalStack
from dev.soak.reconcile import Told

RECENT = 30
SECONDS_BETWEEN_SWEEPS = 15
# The same people in other words, and other people. Nobody names all five: that would look like the default recipients.
NAMED = ((), (), ("admin",), ("admin",), ("hostmaster",), ("webmaster", "admin"), ("hostmaster", "admin"))
LOCALES = (None, None, "en", "EN_us", "pt_BR")
SHARE_OF_FORCED_CALLS = 0.05
ORDERS_OF_A_SHARED_DOMAIN = 20
# HTTP error codes -> the outcomes that all other event sources name
OUTCOMES = {
    "cool_down": "duplicate",
    "resend_in_progress": "ResendInProgress",
    "outcome_unknown": "OutcomeUnknown",
    "not_found": "OrderNotFound",
    "order_not_eligible": "OrderNotEligible",
    "request_rejected": "RequestRejected",
    "api_key_rejected": "ApiKeyRejected",
    "permission_denied": "PermissionDenied",
    "request_limit_exceeded": "RateLimited",
    "certcentral_unavailable": "CertCentralUnavailable",
    "secret_unavailable": "SecretUnavailable",
    "send_record_unavailable": "SendRecordUnavailable",
    "configuration_error": "ConfigurationError",
    "internal_error": "InternalError",
}


class Orders:
    """The orders of a soak. Some are used repeatedly, some are due for a reminder, and some cannot be resent."""

    def __init__(self, emulator: CertCentralEmulator, random: random.Random) -> None:
        self._emulator, self._random = emulator, random
        # New in each soak, in case send records of an earlier one still exist.
        self._ids = count(int(time.time() * 1000) % 10**12)
        self._recent: list[int] = []
        self._lock = threading.Lock()

    def any(self) -> int:
        """Return an order that was used before, or a new one."""
        with self._lock:
            if self._recent and self._random.random() < 0.5:
                return self._random.choice(self._recent)
        return self.new()

    def new(self) -> int:
        with self._lock:
            order_id = next(self._ids)
            kind = self._random.choices(["dv", "ov", "dv_dns_txt"], [78, 20, 2])[0]
            due = self._random.random() < 0.04
            self._recent = [*self._recent[1 - RECENT :], order_id]
        names = [name_of(order_id)]
        if kind == "ov":
            # OV orders that were made one after the other share a domain.
            names.append(f"shared-{order_id // ORDERS_OF_A_SHARED_DOMAIN}.example")
        self._emulator.add_order(id=order_id, kind=kind, names=names, age_days=3.2 if due else 0)
        return order_id


def name_of(order_id: int) -> str:
    return f"order-{order_id}.example"


class Callers:
    """Calls through all event sources. `told` has the answers; `failures` counts calls without an answer of ours."""

    def __init__(self, stack: LocalStack, orders: Orders, random: random.Random) -> None:
        self._stack, self._orders, self._random = stack, orders, random
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._swept_at = 0.0
        self.told: list[Told] = []
        self.asked: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.executions: list[str] = []
        self.is_crowded = False
        """Whether Lambda may throttle callers. No events or executions start then: the local AWS would drop calls."""
        self._lambda, self._events = stack.client("lambda"), stack.client("events")
        self._states = stack.client("stepfunctions")

    def call(self) -> None:
        """Make one call, through a random event source."""
        calls: list[tuple[Callable[[int], object], int]] = [
            *((self.http, 45), (self.direct, 33), (self.event, 14), (self.dry_run, 4), (self.chase, 2), (self.sweep, 2))
        ]
        with self._lock:
            call = self._random.choices([call for call, _ in calls], [weight for _, weight in calls])[0]
        call(self._orders.any())

    def http(self, order_id: int) -> bool:
        """Call the HTTP API; return whether there was an answer."""
        fields, force = self._choice(order_id)
        try:
            status, headers, text = self._stack.put_resend(order_id, fields, "?force=true" if force else "")
        except OSError as error:
            return self._answered("http", order_id, None, type(error).__name__)
        if status == 204:
            return self._answered("http", order_id, headers["Resend-Outcome"])
        errors = json.loads(text).get("errors")
        # Without our error shape it is the answer of the gateway, which is overloaded.
        outcome = OUTCOMES[errors[0]["code"].partition("|")[0]] if errors else None
        return self._answered("http", order_id, outcome, f"status {status} from the gateway")

    def direct(self, order_id: int) -> bool:
        """Invoke the function; return whether there was an answer."""
        fields, force = self._choice(order_id)
        return self._invoke(order_id, fields | ({"force": True} if force else {}))

    def dry_run(self, order_id: int) -> None:
        self._invoke(order_id, {"dry_run": True})

    def _invoke(self, order_id: int, fields: dict[str, Any]) -> bool:
        caller = f"soak {next(self._numbers)}"
        payload = json.dumps({"order_id": order_id, "requested_by": caller, **fields})
        try:
            answer = self._lambda.invoke(FunctionName=self._stack.function_alias, Payload=payload)
            result = json.load(answer["Payload"])
        except self._lambda.exceptions.TooManyRequestsException:
            return self._answered("direct", order_id, None, "throttled by Lambda")
        except Exception as error:
            return self._answered("direct", order_id, None, type(error).__name__)
        error_type = result.get("errorType")
        if error_type is not None and error_type not in OUTCOMES.values():
            return self._answered("direct", order_id, None, error_type)
        return self._answered("direct", order_id, error_type or result["outcome"], caller=caller)

    def event(self, order_id: int) -> None:
        """Put an event on the bus."""
        if self.is_crowded:
            self.direct(order_id)
            return
        fields, force = self._choice(order_id)
        detail = {"order_id": order_id, **fields, **({"force": True} if force else {})}
        entry = {"EventBusName": self._stack.event_bus, "Source": "soak", "DetailType": "Resend DV Emails"}
        (put,) = self._events.put_events(Entries=[{**entry, "Detail": json.dumps(detail)}])["Entries"]
        self._answered("event", order_id, None, caller=put["EventId"])

    def chase(self, order_id: int) -> None:
        """Start an execution of the chase."""
        if self.is_crowded:
            self.direct(order_id)
            return
        started = self._states.start_execution(
            stateMachineArn=self._stack.state_machine, input=json.dumps({"order_id": order_id, "waits_hours": [1, 1]})
        )
        with self._lock:
            self.executions.append(started["executionArn"])
        self._answered("workflow", order_id, None, caller=started["executionArn"])

    def sweep(self, order_id: int) -> None:
        """Sweep, or resend directly if the last sweep is too recent."""
        with self._lock:
            is_due = time.monotonic() - self._swept_at > SECONDS_BETWEEN_SWEEPS
            self._swept_at = time.monotonic() if is_due else self._swept_at
        if not is_due:
            self.direct(order_id)
            return
        self.asked["sweep"] += 1
        # Asynchronously, as the schedule does.
        self._lambda.invoke(
            FunctionName=self._stack.sweep_function_alias, InvocationType="Event", Payload='{"action": "sweep"}'
        )

    def _choice(self, order_id: int) -> tuple[dict[str, Any], bool]:
        """Choose the recipients, the words for them, and whether to force."""
        with self._lock:
            local_parts = self._random.choice(NAMED)
            locale = self._random.choice(LOCALES)
            domain = self._random.choice([str.lower, str.upper])(name_of(order_id))
            force = self._random.random() < SHARE_OF_FORCED_CALLS
        named = [{"domain": domain, "email": f"{local_part}@{domain}"} for local_part in local_parts]
        fields: dict[str, Any] = {"domain_approval_emails": named} if named else {}
        return fields | ({} if locale is None else {"locale": locale}), force

    def _answered(
        self,
        event_source: str,
        order_id: int,
        outcome: str | None,
        failure: str | None = None,
        *,
        caller: str | None = None,
    ) -> bool:
        has_failed = outcome is None and failure is not None
        with self._lock:
            self.asked[event_source] += 1
            if has_failed:
                self.failures[f"{event_source}: {failure}"] += 1
            else:
                self.told.append(Told(event_source, order_id, outcome, caller))
        return not has_failed
