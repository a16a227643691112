"""The smoke test after a deployment: what `dv-resend check` looks at. Nobody is mailed."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from dv_resend_cli.errors import Failure
from dv_resend_cli.sending import Sending
from dv_resend_cli.steps import Attention, Step, take

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession
    from dv_resend_cli.functions import Functions
    from dv_resend_cli.stack import Stack

# With the most digits that an order ID may have. DigiCert's have nine.
_NO_ORDER = 999_999_999_999_999


class Checks:
    """Checks one stack.

    Example:
        ``for step in Checks(session, stack, functions).run(): print(step)``
    """

    def __init__(self, session: "AwsSession", stack: "Stack", functions: "Functions") -> None:
        """Keep what is needed; nothing is called yet."""
        self._stack = stack
        self._functions = functions
        self._sending = Sending(session, stack)

    def run(self) -> Iterator[Step]:
        """Check everything, one after the other."""
        parameters = self._stack.parameters
        yield take("API key", self._key)
        yield take("dry run", self._dry_run)
        yield take("sending", self._is_sending)
        yield take("sweep", partial(_sweep, parameters.get("SweepEnabled")))
        if parameters.get("OrderTypes") == "all":
            yield take("order types", lambda: "all: DV orders as a whole, all others domain by domain (OrderTypes)")
        yield take("alarm topic", partial(_topic, parameters.get("AlarmTopicArn"), "alarms are only in CloudWatch"))
        yield take("report topic", partial(_topic, parameters.get("ReportTopicArn"), "nobody is told of stuck orders"))

    def _key(self) -> str:
        """Ask for the status of an order that does not exist: only the functions may read the key."""
        request = {"action": "status", "order_id": _NO_ORDER}
        return f"accepted by CertCentral: {self._ask(self._stack.sweep_function_alias_arn, request)}"

    def _dry_run(self) -> str:
        request = {"order_id": _NO_ORDER, "dry_run": True}
        return f"answered: {self._ask(self._stack.function_alias_arn, request)}"

    def _ask(self, alias_arn: str, request: dict[str, Any]) -> str:
        """Return what a function says about an order that does not exist; raise any other error."""
        request |= {"requested_by": self._functions.caller}
        try:
            self._functions.invoke(alias_arn, request, sends=False)
        except Failure as failure:
            if failure.name != "OrderNotFound":
                raise
            return f"{failure.name}, about an order ID that does not exist"
        return f"there is an order {_NO_ORDER}"

    def _is_sending(self) -> str:
        stopped = [
            name
            for name in (self._stack.function_name, self._stack.sweep_function_name)
            if self._sending.is_stopped(name)
        ]
        if stopped:
            raise Attention(f"stopped: no invocation of {' and '.join(stopped)} starts; `dv-resend resume` ends that")
        if self._stack.parameters.get("Sending") == "off":
            raise Attention("switched off by the setting Sending=off")
        if (state := self._sending.queue_state()) != "Enabled":
            raise Attention(f"reminders wait: their event source mapping is {state}; `dv-resend resume` enables it")
        if (last := self._sending.last_batch()).startswith("PROBLEM"):
            raise Attention(f"the worker of reminders fails: {last}")
        return "on"


def _sweep(switch: str | None) -> str:
    if switch != "on":
        raise Attention("off: no reminders are sent on schedule (SweepEnabled)")
    return "on"


def _topic(arn: str | None, otherwise: str) -> str:
    if not arn:
        raise Attention(f"not set: {otherwise}")
    return arn
