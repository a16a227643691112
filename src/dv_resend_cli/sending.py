"""Stopping all sending, and letting it go on: what `dv-resend stop` and `dv-resend resume` do, step by step."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from dv_resend_cli.aws import error_code, one_line
from dv_resend_cli.output import counted
from dv_resend_cli.queue import counts
from dv_resend_cli.steps import Attention, Step, take

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession
    from dv_resend_cli.stack import Stack

_RUNNING = ["Created", "Queued", "InProgress", "Ready"]


class Sending:
    """Stops and resumes a stack's sending. Each step is tried, whatever became of the others; all are safe to repeat.

    Example:
        ``for step in Sending(session, stack).stop(): print(step)``
    """

    def __init__(self, session: "AwsSession", stack: "Stack") -> None:
        """Keep what is needed; nothing is called yet."""
        self._session = session
        self._stack = stack
        self._functions = (stack.function_name, stack.sweep_function_name)

    def stop(self) -> Iterator[Step]:
        """Stop everything: first new invocations, then the worker of reminders, then deployments."""
        for name in self._functions:
            yield take(name, partial(self._stop_function, name))
        yield take("reminder queue", self._disconnect_queue)
        for group in filter(None, (self._stack.deployment_group_name, self._stack.sweep_deployment_group_name)):
            yield take(f"deployment group {group}", partial(self._stop_deployments, group))

    def resume(self) -> Iterator[Step]:
        """Undo `stop`, and say what waits. Deployments are not started again."""
        for name in self._functions:
            yield take(name, partial(self._resume_function, name))
        yield take("reminder queue", self._connect_queue)
        if self._stack.parameters.get("Sending") == "off":
            yield take("Sending", _switched_off)
        yield take("failed-events", partial(self._count, "failed-events", self._stack.failed_events_queue_url))
        yield take("undelivered", partial(self._count, "undelivered", self._stack.undelivered_events_queue_url))

    def is_stopped(self, function: str) -> bool:
        """Whether no invocation of a function starts."""
        return self._reserved(function) == 0

    def queue_state(self) -> str:
        """Return the state of the event source mapping: ``Enabled``, or why the worker gets no reminders."""
        return str(self._mapping["State"])

    def last_batch(self) -> str:
        """Return what became of the last batch of reminders, in Lambda's words."""
        return str(self._mapping.get("LastProcessingResult", ""))

    @property
    def _mapping(self) -> dict[str, Any]:
        found: dict[str, Any] = self._lambda.get_event_source_mapping(UUID=self._stack.reminder_mapping_id)
        return found

    @cached_property
    def _lambda(self) -> Any:
        return self._session.client("lambda")

    def _reserved(self, function: str) -> int | None:
        found: int | None = self._lambda.get_function_concurrency(FunctionName=function).get(
            "ReservedConcurrentExecutions"
        )
        return found

    def _stop_function(self, name: str) -> str:
        before = None
        with suppress(Exception):  # what it was is not worth a failure to stop
            before = self._reserved(name)
        self._lambda.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        kept = f"; its reserved concurrency was {before}, which `resume` does not restore" if before else ""
        return f"no invocation starts any more{kept}"

    def _resume_function(self, name: str) -> str:
        reserved = self._reserved(name)
        if reserved is None:
            return "was not stopped"
        if reserved > 0:
            return f"was not stopped, and keeps its reserved concurrency of {reserved}"
        self._lambda.delete_function_concurrency(FunctionName=name)
        return "invocations start again"

    def _disconnect_queue(self) -> str:
        self._switch_queue(is_on=False)
        return "reminders wait"

    def _connect_queue(self) -> str:
        self._switch_queue(is_on=True)
        return "reminders are worked on"

    def _switch_queue(self, *, is_on: bool) -> None:
        try:
            self._lambda.update_event_source_mapping(UUID=self._stack.reminder_mapping_id, Enabled=is_on)
        except Exception as error:
            # It is being changed. That is no error if it is changed to what is wanted here.
            if error_code(error) != "ResourceInUseException" or self.queue_state() != (
                "Enabling" if is_on else "Disabling"
            ):
                raise

    def _count(self, queue: str, url: str) -> str:
        try:
            waiting, invisible = counts(self._session.client("sqs"), url)
        except Exception as error:
            raise Attention(f"`dv-resend redrive {queue}` shows what is waiting ({one_line(error)})") from error
        held = f"{counted(invisible, 'event')} in the hands of a redrive" if invisible else ""
        if waiting:
            to_redrive = f"{counted(waiting, 'event')} to redrive: `dv-resend redrive {queue}`"
            raise Attention("; ".join(filter(None, [to_redrive, held])))
        if held:
            raise Attention(f"{held}; what a killed one had comes back within 15 minutes")
        return "no event is waiting"

    def _stop_deployments(self, group: str) -> str:
        client = self._session.client("codedeploy")
        query = {
            "applicationName": self._stack.deployment_application_name,
            "deploymentGroupName": group,
            "includeOnlyStatuses": _RUNNING,
        }
        running: list[str] = []
        while True:
            page = client.list_deployments(**query)
            running += page["deployments"]
            if not page.get("nextToken"):
                break
            query["nextToken"] = page["nextToken"]
        for deployment in running:
            try:
                client.stop_deployment(deploymentId=deployment, autoRollbackEnabled=True)
            except Exception as error:
                if error_code(error) != "DeploymentAlreadyCompletedException":
                    raise
        return f"stopped and rolled back: {', '.join(running)}" if running else "no deployment is running"


def _switched_off() -> str:
    raise Attention("the setting is off, so that every call still fails with SendingPaused; deploy with Sending=on")
