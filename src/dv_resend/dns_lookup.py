"""DNS: the contacts that a name publishes for its validation, and whether a host takes mail.

The resolver is imported only when it is asked: most requests need none.
"""

import time
from collections.abc import Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from dv_resend.errors import InvalidRequest
from dv_resend.models import parse_email
from dv_resend.recipients import Contacts, authorization_names

if TYPE_CHECKING:
    from dns.rdatatype import RdataType
    from dns.resolver import Resolver

type Question = "tuple[str, RdataType]"

# For all questions of a request together.
LOOKUP_SECONDS = 2.0
# For one try; a lost packet leaves time for another, with the next server.
_TRY_SECONDS = 0.7
_MAX_THREADS = 16


class DnsLookup:
    """The lookups of one request, at ``servers`` (address and port) or else the system's; within `LOOKUP_SECONDS`.

    Nothing is raised when DNS does not answer: the answers say so. Safe to repeat.
    """

    def __init__(self, servers: tuple[tuple[str, int], ...]) -> None:
        """Ask nothing yet: the clock starts with the first question, when all that takes its time is imported."""
        self._servers = servers
        self._ends_at: float | None = None

    def contacts(self, names: Iterable[str]) -> dict[str, Contacts]:
        """Find the published contacts of each of the ``names``, the first ones first."""
        import dns.rdatatype

        places = {name: authorization_names(name) for name in names}
        answers = self._answers(
            question
            for name in places
            for place in places[name]
            for question in ((_contact_label(place), dns.rdatatype.TXT), (place, dns.rdatatype.CAA))
        )

        def found(name: str) -> Contacts:
            failures = []
            txt: list[str] = []
            for place in places[name]:
                records = answers[_contact_label(place), dns.rdatatype.TXT]
                if isinstance(records, str):
                    failures.append(records)
                else:
                    # The whole record must be one address (BR A.2.1); its strings are pieces of it.
                    txt += [_text(b"".join(record.strings)) for record in records]
            caa: list[str] = []
            # The first name that has any CAA record decides, whatever they say (RFC 8659, 3). The registry's own names
            # were left out: it is not the applicant.
            for place in places[name]:
                records = answers[place, dns.rdatatype.CAA]
                if isinstance(records, str):
                    failures.append(records)
                    break
                if records:
                    caa = [_text(record.value) for record in records if record.tag.lower() == b"contactemail"]
                    break
            return Contacts(_addresses(txt), _addresses(caa), failures[0] if failures else None)

        return {name: found(name) for name in places}

    def take_mail(self, hosts: Iterable[str]) -> dict[str, bool | None]:
        """Say of each of the ``hosts`` whether it has an MX record that takes mail; ``None`` if DNS did not tell.

        CertCentral wants one ("domain approval methods" page). A null MX (RFC 7505) takes none.
        """
        import dns.name
        import dns.rdatatype

        answers = self._answers((host, dns.rdatatype.MX) for host in hosts)
        return {
            host: None if isinstance(records, str) else any(record.exchange != dns.name.root for record in records)
            for (host, _), records in answers.items()
        }

    def _answers(self, questions: Iterable[Question]) -> dict[Question, list[Any] | str]:
        """Ask all at once, each once; a text is the reason why there is no answer."""
        from concurrent.futures import ThreadPoolExecutor

        wanted = list(dict.fromkeys(questions))
        if not wanted:
            return {}
        resolver = self._resolver
        if self._ends_at is None:
            self._ends_at = time.monotonic() + LOOKUP_SECONDS
        with ThreadPoolExecutor(min(len(wanted), _MAX_THREADS)) as pool:
            return dict(zip(wanted, pool.map(partial(self._answer, resolver, self._ends_at), wanted), strict=True))

    def _answer(self, resolver: "Resolver | None", ends_at: float, question: Question) -> list[Any] | str:
        """Return the records; none if there are none, or no such name."""
        import dns.exception
        import dns.name
        import dns.resolver

        name, kind = question
        left = ends_at - time.monotonic()
        if resolver is None or left <= 0:
            return f"{kind.name} of {name} was not asked " + ("in time" if resolver else "(no resolver is configured)")
        try:
            asked = dns.name.from_text(f"{name}.")
        except dns.exception.DNSException:
            return []  # with the prefix too long for a name: nobody can have published it
        try:
            return list(resolver.resolve(asked, kind, raise_on_no_answer=False, search=False, lifetime=left))
        except dns.resolver.NXDOMAIN:
            return []
        except (dns.exception.DNSException, OSError) as error:
            return f"DNS did not answer for {kind.name} of {name} ({type(error).__name__})"

    @cached_property
    def _resolver(self) -> "Resolver | None":
        import dns.nameserver
        import dns.resolver

        try:
            resolver = dns.resolver.Resolver(configure=not self._servers)
        except dns.resolver.NoResolverConfiguration:
            return None
        if self._servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._servers]
        resolver.timeout = _TRY_SECONDS
        return resolver


def _contact_label(place: str) -> str:
    """Name the place of a TXT contact (BR A.2.1)."""
    return f"_validation-contactemail.{place}"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _addresses(texts: Iterable[str]) -> tuple[str, ...]:
    """Keep what is an address, and nothing else; in a form that can be compared and shown, and in one order."""
    found = set()
    for text in texts:
        try:
            found.add(parse_email(text, "contact"))
        except InvalidRequest:
            continue
    return tuple(sorted(found))
