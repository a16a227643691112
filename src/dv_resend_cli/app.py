"""What every command gets: the options that all commands share, and what is made of them when it is needed."""

from functools import cached_property

from dv_resend_cli.aws import AwsSession, Boto3Session
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.functions import Functions
from dv_resend_cli.output import Output
from dv_resend_cli.stack import Stack, find_stack


class App:
    """One run of the command. Nothing is asked of AWS before a command needs it.

    Example:
        ``App().functions.status(123456789)``
    """

    def __init__(self, session: AwsSession | None = None) -> None:
        """Use the user's own AWS settings unless there is a `session`."""
        self.stack_name: str | None = None
        self.region: str | None = None
        self.profile: str | None = None
        self.as_json = False
        self._session = session

    @cached_property
    def output(self) -> Output:
        """Where results and errors go."""
        return Output(as_json=self.as_json)

    @cached_property
    def session(self) -> AwsSession:
        """The caller's AWS."""
        return self._session or Boto3Session(self.profile, self.region)

    @cached_property
    def stack(self) -> Stack:
        """The deployed stack."""
        if not self.stack_name:
            raise Failure("UsageError", "Name the stack with --stack or DV_RESEND_STACK.", ExitCode.USAGE)
        return find_stack(self.session, self.stack_name)

    @cached_property
    def functions(self) -> Functions:
        """The functions of the stack."""
        return Functions(self.session, self.stack)
