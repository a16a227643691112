"""What commands for operators consist of: steps, each of which is taken, whatever became of the others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dv_resend_cli.aws import as_failure
from dv_resend_cli.errors import ExitCode, Failure

if TYPE_CHECKING:
    from dv_resend_cli.output import Output

_STYLES = {"ok": "", "attention": "yellow", "failed": "bold red"}


@dataclass(frozen=True)
class Step:
    """One step: what it is about, what was done or found, and if it failed, why.

    Example:
        >>> Step("sweep", "runs on schedule").result
        'ok'
    """

    about: str
    text: str
    needs_attention: bool = False
    failure: Failure | None = None

    @property
    def result(self) -> Literal["ok", "attention", "failed"]:
        """How it went, in a word."""
        if self.failure:
            return "failed"
        return "attention" if self.needs_attention else "ok"

    def to_json(self) -> dict[str, object]:
        """Return the step as `--json` shows it."""
        error = {"error": self.failure.to_json()} if self.failure else {}
        return {"about": self.about, "result": self.result, "message": self.text, **error}


class Attention(Exception):
    """Something that is no failure, but that a person should know.

    Example:
        ``raise Attention("no topic is set")``
    """


def take(about: str, act: Callable[[], str]) -> Step:
    """Take a step: ``act`` returns what was done, or raises `Attention` or any other error."""
    try:
        return Step(about, act())
    except Attention as attention:
        return Step(about, str(attention), needs_attention=True)
    except Exception as error:
        failure = error if isinstance(error, Failure) else as_failure(error)
        if failure is None:
            failure = Failure("Bug", f"{type(error).__name__}: {error}", ExitCode.BUG, "This is a bug of dv-resend.")
        return Step(about, f"{failure} {failure.advice}".rstrip(), failure=failure)


def show_steps(out: "Output", steps: Iterator[Step], conclusion: Callable[[bool], Sequence[str]]) -> ExitCode:
    """Take the steps and show each as soon as it is done; then the ``conclusion``, given whether all succeeded."""
    taken: list[Step] = []
    interrupted: Failure | None = None
    try:
        while step := _next(out, steps):
            taken.append(step)
            if not out.as_json:
                word = step.result.upper() if step.failure else step.result
                out.line(f"{word:<9}  {step.about}: {step.text}", style=_STYLES[step.result])
    except KeyboardInterrupt:
        interrupted = Failure("Interrupted", "stopped by Ctrl-C.", ExitCode.INTERRUPTED)
    failures = [failure for failure in (*(step.failure for step in taken), interrupted) if failure]
    sentences = list(conclusion(not failures))
    if out.as_json:
        error = {"error": interrupted.to_json()} if interrupted else {}
        shown = [step.to_json() for step in taken]
        out.document({"ok": not failures, "steps": shown, "conclusion": sentences, **error})
        return max((failure.exit_code for failure in failures), default=ExitCode.OK)
    if interrupted:
        out.failure(interrupted)
    if sentences:
        out.line()
    for sentence in sentences:
        out.line(sentence)
    return max((failure.exit_code for failure in failures), default=ExitCode.OK)


def _next(out: "Output", steps: Iterator[Step]) -> Step | None:
    with out.waiting("Working"):
        return next(steps, None)
