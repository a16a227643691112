"""What became of a request that is sent as several domain-level sends."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dv_resend.core.domains import scope_of
from dv_resend.core.recipients import shortened
from dv_resend.core.requests import MARGIN_SECONDS
from dv_resend.errors import CertCentralUnavailable, OutcomeUnknown, ResendError, ResendInProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dv_resend.core.requests import ResendRequest
    from dv_resend.core.results import ResendResult


@dataclass(frozen=True)
class DomainOutcome:
    """What became of the part of a request that is about one domain: a ``result``, or an ``error``.

    Example:
        >>> from dv_resend.core.requests import ResendRequest
        >>> DomainOutcome(ResendRequest(7), error=ResendInProgress("Try again shortly.")).name
        'ResendInProgress'
    """

    part: "ResendRequest"
    result: "ResendResult | None" = None
    error: ResendError | None = None

    @property
    def name(self) -> str:
        """``sent``, ``duplicate``, or the error's class name."""
        return self.result.outcome if self.result is not None else type(self.error).__name__


@dataclass(frozen=True)
class DomainRun:
    """What became of all parts of a request.

    ``stopped`` is an error that concerns every further domain, too; the parts in ``left`` were then not sent. The first
    of them met the error.

    Example:
        >>> DomainRun(()).error is None
        True
    """

    outcomes: tuple[DomainOutcome, ...]
    stopped: ResendError | None = None
    left: "tuple[ResendRequest, ...]" = ()

    @property
    def has_mailed(self) -> bool:
        """Whether anybody was mailed about a domain now or shortly before, or may have been."""
        return any(each.name in ("sent", "duplicate", OutcomeUnknown.__name__) for each in self.outcomes)

    @property
    def has_sent(self) -> bool:
        """Whether anybody was mailed about a domain now."""
        return any(each.name == "sent" for each in self.outcomes)

    @property
    def to_repeat(self) -> ResendError | None:
        """The error after which the same call sends the rest, if there is a rest."""
        return self.stopped or self._error_of(ResendInProgress)

    @property
    def unknown(self) -> OutcomeUnknown | None:
        """The error that says about which domains the outcome is unknown."""
        return self._error_of(OutcomeUnknown)

    @property
    def error(self) -> ResendError | None:
        """The error that the call ends with; ``None`` if every domain is mailed."""
        refused = (each.error for each in self.outcomes if each.error is not None)
        return self.unknown or self.to_repeat or next(refused, None)

    def explained(self) -> "DomainRun":
        """Let the messages of its errors say which domain met them, and what became of the others. Call it once."""
        for error in dict.fromkeys((self.error, self.to_repeat)):
            if error is not None:
                self._explain(error)
        return self

    def _explain(self, error: ResendError) -> None:
        alike = [scope_of(each.part) for each in self.outcomes if each.error and type(each.error) is type(error)]
        concerned = [scope_of(self.left[0])] if error is self.stopped else alike
        # Other domains may have been sent.
        said = error.message.replace("Nothing was sent.", "Nothing was sent there.") if self.outcomes else error.message
        error.message = f"{shortened(concerned)}: {said}"
        for sentence in self._others(concerned):
            error.message += f" {sentence}"
        if isinstance(error, OutcomeUnknown) and len(self.outcomes) + len(self.left) > len(concerned):
            error.message += (
                f" A forced call mails about every domain again: to force {shortened(concerned)} only, name recipients "
                "there."
            )

    def _others(self, concerned: "Sequence[str]") -> "list[str]":
        """Say what became of the domains other than those that the error is about."""
        words = {"sent": "Sent: {}.", "duplicate": "Already mailed: {}."}
        others: dict[str, list[str]] = {}
        explained = frozenset(concerned)
        for each in self.outcomes:
            if (scope := scope_of(each.part)) not in explained:
                others.setdefault(words.get(each.name, f"{each.name}: {{}}."), []).append(scope)
        sentences = [text.format(shortened(scopes)) for text, scopes in others.items()]
        if self.left:
            scopes = shortened([scope_of(part) for part in self.left])
            total = len(self.outcomes) + len(self.left)
            # A forced call that is repeated mails about all of them again.
            repeat = "" if self.left[0].force else "; a repeat sends these only"
            sentences.append(f"Left: {len(self.left)} of {total} domains ({scopes}){repeat}.")
        return sentences

    def _error_of[E: ResendError](self, kind: type[E]) -> E | None:
        return next((each.error for each in self.outcomes if isinstance(each.error, kind)), None)


def require_time(deadline: float, now: float) -> None:
    """Raise `CertCentralUnavailable` if too little time is left for another domain, even if nobody is mailed there."""
    if deadline - now < MARGIN_SECONDS:
        raise CertCentralUnavailable("Too little time was left for another domain. Nothing was sent. Try again later.")
