"""DNS: the contacts that a domain publishes for its validation, and whether a host accepts mail.

The resolver is imported only when it is needed: most requests need none.
"""

import time
from collections.abc import Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from dv_resend.core.addresses import authorization_domains, parse_email
from dv_resend.core.recipients import Contacts
from dv_resend.errors import InvalidRequest

if TYPE_CHECKING:
    from dns.rdatatype import RdataType
    from dns.resolver import Resolver

type Question = "tuple[str, RdataType]"

# For all queries of a request together.
LOOKUP_SECONDS = 2.0
# For one try: after a lost packet, there is time for another try with the next server.
_TRY_SECONDS = 0.7
_MAX_THREADS = 16


class DnsContacts:
    """The lookups of one request, at ``servers`` (address and port) or else the system's; within `LOOKUP_SECONDS`.

    It implements `core.ports.ContactLookup`.

    Example:
        ``DnsContacts((("10.0.0.2", 53),)).contacts(["example.com"])["example.com"].addresses``
    """

    def __init__(self, servers: tuple[tuple[str, int], ...]) -> None:
        """Ask nothing yet. The time starts with the first query, after the imports."""
        self._servers = servers
        self._deadline: float | None = None

    def contacts(self, domains: Iterable[str]) -> dict[str, Contacts]:
        """Return the contacts that each of the ``domains`` publishes; the first domains are asked first."""
        import dns.rdatatype

        climbed = {domain: authorization_domains(domain) for domain in domains}
        answers = self._answers(
            question
            for names in climbed.values()
            for name in names
            for question in ((_contact_label(name), dns.rdatatype.TXT), (name, dns.rdatatype.CAA))
        )

        def contacts_of(names: list[str]) -> Contacts:
            failures = []
            txt: list[str] = []
            for name in names:
                records = answers[_contact_label(name), dns.rdatatype.TXT]
                if isinstance(records, str):
                    failures.append(records)
                else:
                    # The whole record must be one address (BR A.2.1); its strings are parts of it.
                    txt += [_text(b"".join(record.strings)) for record in records]
            caa: list[str] = []
            # The first name that has any CAA record decides, whatever it says (RFC 8659, 3). The registry's own names
            # are left out: the registry is not the applicant.
            for name in names:
                records = answers[name, dns.rdatatype.CAA]
                if isinstance(records, str):
                    failures.append(records)
                    break
                if records:
                    caa = [_text(record.value) for record in records if record.tag.lower() == b"contactemail"]
                    break
            return Contacts(_addresses(txt), _addresses(caa), failures[0] if failures else None)

        return {domain: contacts_of(names) for domain, names in climbed.items()}

    def has_mx(self, hosts: Iterable[str]) -> dict[str, bool | None]:
        """Return for each host whether it has an MX record that accepts mail; ``None`` if DNS did not answer.

        CertCentral requires one ("domain approval methods" page). A null MX (RFC 7505) accepts no mail.
        """
        import dns.name
        import dns.rdatatype

        answers = self._answers((host, dns.rdatatype.MX) for host in hosts)
        return {
            host: None if isinstance(records, str) else any(record.exchange != dns.name.root for record in records)
            for (host, _), records in answers.items()
        }

    def _answers(self, questions: Iterable[Question]) -> dict[Question, list[Any] | str]:
        """Ask all questions at once, each once; a text says why there is no answer."""
        from concurrent.futures import ThreadPoolExecutor

        wanted = list(dict.fromkeys(questions))
        if not wanted:
            return {}
        resolver = self._resolver
        if self._deadline is None:
            self._deadline = time.monotonic() + LOOKUP_SECONDS
        with ThreadPoolExecutor(min(len(wanted), _MAX_THREADS)) as pool:
            return dict(zip(wanted, pool.map(partial(self._answer, resolver, self._deadline), wanted), strict=True))

    def _answer(self, resolver: "Resolver | None", deadline: float, question: Question) -> list[Any] | str:
        """Return the records; an empty list if there are none, or no such name."""
        import dns.exception
        import dns.name
        import dns.resolver

        name, kind = question
        seconds_left = deadline - time.monotonic()
        if resolver is None or seconds_left <= 0:
            return f"{kind.name} of {name} was not asked " + ("in time" if resolver else "(no resolver is configured)")
        try:
            asked = dns.name.from_text(f"{name}.")
        except dns.exception.DNSException:
            return []  # too long with the prefix: nobody can have published it
        try:
            return list(resolver.resolve(asked, kind, raise_on_no_answer=False, search=False, lifetime=seconds_left))
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


def _contact_label(domain: str) -> str:
    """Return the name at which a domain publishes a TXT contact (BR A.2.1)."""
    return f"_validation-contactemail.{domain}"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _addresses(texts: Iterable[str]) -> tuple[str, ...]:
    """Keep the valid addresses, in a comparable form and sorted."""
    found = set()
    for text in texts:
        if text.endswith("."):
            continue  # `parse_email` forgives callers a final dot, but no CA takes such a record for an address
        try:
            found.add(parse_email(text, "contact"))
        except InvalidRequest:
            continue
    return tuple(sorted(found))
