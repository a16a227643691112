"""What a name server answers: records and faults, which may change while it serves them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import dns.exception
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

# (name in lower case without the last dot, type) -> values in presentation format
Records = Mapping[tuple[str, str], Sequence[str]]
FAULTS = {
    "servfail": "SERVFAIL",
    "refused": "REFUSED",
    "silent": "never an answer",
    "truncated": "over UDP the TC bit without answers, over TCP the whole answer",
    "slow": "the answer, after some seconds",
    "garbage": "bytes that are no DNS message",
}
TTL_SECONDS = 60


class Fault(NamedTuple):
    """One of `FAULTS`; `seconds` are those of `slow`."""

    kind: str
    seconds: float


class Zone:
    """Records that were set, over those that `derived` gives; and faults by name. Safe to use from any thread.

    >>> zone = Zone()
    >>> zone.set("example.com", "MX", ["10 mail.example.com."])
    >>> zone.set("_validation-contactemail.example.com", "TXT", ['"pki@" "example.com"'])
    """

    def __init__(self, derived: Callable[[], Records] = dict) -> None:
        """`derived` is asked for each query, and may be any function that gives records."""
        self._derived = derived
        self._lock = threading.Lock()
        self._set: dict[tuple[str, str], tuple[str, ...]] = {}
        self._faults: dict[tuple[str, str | None], Fault] = {}

    def set(self, name: str, type_: str, values: Sequence[str]) -> None:
        """Serve exactly these records; none of them: `remove`. Raises `ValueError`, and then nothing has changed."""
        key = _key(name, type_)
        if values:
            try:
                _rrset(dns.name.root, key[1], values)
            except dns.exception.DNSException as wrong:
                raise ValueError(f"values must be {key[1]} records in presentation format: {wrong}") from None
        with self._lock:
            self._set[key] = tuple(values)

    def remove(self, name: str, type_: str) -> None:
        """Serve no such record, not even a derived one."""
        self.set(name, type_, [])

    def fault(self, name: str, kind: str, type_: str | None = None, seconds: float = 0) -> None:
        """Have every query for the name (and type) fail in one of the ways of `FAULTS`. Raises `ValueError`."""
        if kind not in FAULTS:
            raise ValueError(f"fault must be one of {', '.join(FAULTS)}")
        if seconds < 0 or (kind == "slow") != (seconds > 0):
            raise ValueError("seconds are for the fault slow, which needs more than 0")
        key = _key(name, type_ or "ANY")
        with self._lock:
            self._faults[key[0], key[1] if type_ else None] = Fault(kind, seconds)

    def clear_faults(self) -> None:
        """No more faults."""
        with self._lock:
            self._faults.clear()

    def clear(self) -> None:
        """Forget what was set and removed, and all faults: only derived records are left."""
        with self._lock:
            self._set.clear()
            self._faults.clear()

    def records(self) -> Records:
        """All records served now."""
        derived = self._derived()  # outside the lock: it may take others
        with self._lock:
            return {key: values for key, values in {**derived, **self._set}.items() if values}

    def fault_of(self, name: str, type_: str) -> Fault | None:
        """The fault of a query; one for its type goes before one for the whole name."""
        with self._lock:
            return self._faults.get((name, type_)) or self._faults.get((name, None))

    def answer(self, name: dns.name.Name, type_: str) -> tuple[dns.rcode.Rcode, list[dns.rrset.RRset]]:
        """What a resolver says: CNAMEs are followed. Raises a `DNSException` if a derived record is none."""
        records = self.records()
        found: list[dns.rrset.RRset] = []
        seen: set[dns.name.Name] = set()
        while name not in seen:
            seen.add(name)
            text = text_of(name)
            if values := records.get((text, type_)):
                return dns.rcode.NOERROR, [*found, _rrset(name, type_, values)]
            if not (alias := records.get((text, "CNAME"))):
                # A name exists, though without records of its own, if there is one below it.
                exists = any(f".{owner}".endswith(f".{text}") for owner, _ in records)
                return dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN, found
            found.append(_rrset(name, "CNAME", alias))
            name = found[-1][0].target
        return dns.rcode.SERVFAIL, []


def text_of(name: dns.name.Name) -> str:
    """A name as `Records` have it."""
    return name.to_text(omit_final_dot=True).lower()


def _key(name: str, type_: str) -> tuple[str, str]:
    try:
        key = text_of(dns.name.from_text(name))
    except dns.exception.DNSException:
        raise ValueError(f"name must be a domain name, not {name!r}") from None
    try:
        return key, dns.rdatatype.to_text(dns.rdatatype.from_text(type_))
    except dns.exception.DNSException:
        raise ValueError(f"type must be a record type such as TXT, not {type_!r}") from None


def _rrset(name: dns.name.Name, type_: str, values: Sequence[str]) -> dns.rrset.RRset:
    # The root as origin, so that a name in a value may lack its last dot.
    return dns.rrset.from_text_list(name, TTL_SECONDS, "IN", type_, values, origin=dns.name.root, relativize=False)
