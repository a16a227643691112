"""The deployed stack: its functions, queues and other parts, from CloudFormation's outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from dv_resend_cli.aws import error_code
from dv_resend_cli.errors import ExitCode, Failure

if TYPE_CHECKING:
    from dv_resend_cli.aws import AwsSession


@dataclass(frozen=True)
class Stack:
    """The outputs of a stack under their names in the template, in lower case: ``LogGroupName`` is ``log_group_name``.

    Parts that a stack may lack are ``None``. ``parameters`` are the template's, by name; AWS hides none of ours.

    Example:
        ``find_stack(session, "dv-resend-prod").function_alias_arn``
    """

    name: str
    arn: str
    parameters: Mapping[str, str]
    api_url: str
    function_alias_arn: str
    sweep_function_alias_arn: str
    function_name: str
    sweep_function_name: str
    send_records_table_name: str
    api_key_secret_arn: str
    failed_events_queue_url: str
    undelivered_events_queue_url: str
    reminder_queue_url: str
    reminder_dead_letter_queue_url: str
    reminder_mapping_id: str
    log_group_name: str
    sweep_log_group_name: str
    chase_state_machine_arn: str | None = None
    deployment_application_name: str | None = None
    deployment_group_name: str | None = None
    sweep_deployment_group_name: str | None = None

    @property
    def identity(self) -> dict[str, str]:
        """Which stack it is, as `--json` shows it."""
        region, account = self.function_alias_arn.split(":")[3:5]
        return {"stack": self.name, "region": region, "account": account}

    def __str__(self) -> str:
        """Name the stack, its region and its account."""
        return "stack {stack}, {region}, account {account}".format(**self.identity)


def find_stack(session: "AwsSession", name: str) -> Stack:
    """Look a stack up; raise `Failure` if there is none of this name, or if it is not of DV Resend."""
    client = session.client("cloudformation")
    try:
        (found,) = client.describe_stacks(StackName=name)["Stacks"]
    except Exception as error:
        check = "Check --stack, --region and --profile."
        if error_code(error).startswith("AccessDenied"):
            # With a permission for one stack, this is also the answer to a mistyped name.
            message = f"You may not look at a stack {name} in {session.region_name}. {check}"
            raise Failure("AccessDenied", message, ExitCode.ACCOUNT) from None
        if error_code(error) != "ValidationError":
            raise
        message = f"There is no stack {name} in {session.region_name}. {check}"
        raise Failure("StackNotFound", message, ExitCode.ACCOUNT) from None
    outputs = {_field(output["OutputKey"]): output["OutputValue"] for output in found.get("Outputs", [])}
    known: dict[str, Any] = {field.name: outputs[field.name] for field in fields(Stack) if field.name in outputs}
    parameters = {
        parameter["ParameterKey"]: parameter.get("ParameterValue", "") for parameter in found.get("Parameters", [])
    }
    try:
        return Stack(**known | {"name": name, "arn": found["StackId"], "parameters": parameters})
    except TypeError:
        message = f"The stack {name} is not of DV Resend, its deployment has failed, or it has another version."
        raise Failure("NotDvResend", message, ExitCode.ACCOUNT) from None


def _field(output: str) -> str:
    """Return an output's name as a field's: ``ApiUrl`` becomes ``api_url``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in output).removeprefix("_")
