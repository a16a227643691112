"""What a name server answers: records and faults, which may change while it serves them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype

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


class Fault(NamedTuple):
    """One of `FAULTS`; `seconds` are those of `slow`."""

    kind: str
    seconds: float


class Zone:
    """Records that were set, over those that `derived` gives; and faults by name. Safe to use from any thread.

    Example:
        >>> zone = Zone()
        >>> zone.set("example.com", "MX", ["10 mail.example.com."])
        >>> zone.set("_validation-contactemail.example.com", "TXT", ['"pki@" "example.com"'])
    """

    def __init__(self, derived: Callable[[], Records] = dict) -> None:
        """`derived` is called for each query, and may be any function that returns records."""
        self._derived = derived
        self._lock = threading.Lock()
        self._set: dict[tuple[str, str], tuple[str, ...]] = {}
        self._faults: dict[tuple[str, str | None], Fault] = {}

    def set(self, name: str, type_: str, values: Sequence[str]) -> None:
        """Serve exactly these records; without values the same as `remove`.

        Raises:
            ValueError: One of them is wrong. Nothing has changed.
        """
        key = _key(name, type_)
        try:
            for value in values:
                _rdata(key[1], value)
        except dns.exception.DNSException as error:
            raise ValueError(f"values must be {key[1]} records in presentation format: {error}") from None
        with self._lock:
            self._set[key] = tuple(values)

    def remove(self, name: str, type_: str) -> None:
        """Serve no such record, not even a derived one."""
        self.set(name, type_, [])

    def fault(self, name: str, kind: str, type_: str | None = None, seconds: float = 0) -> None:
        """Make every query for the name (and type) fail in one of the ways of `FAULTS`. Raises `ValueError`."""
        if kind not in FAULTS:
            raise ValueError(f"fault must be one of {', '.join(FAULTS)}")
        if seconds < 0 or (kind == "slow") != (seconds > 0):
            raise ValueError("seconds are for the fault slow, which needs more than 0")
        key = _key(name, type_ or "ANY")
        with self._lock:
            self._faults[key[0], key[1] if type_ else None] = Fault(kind, seconds)

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def clear(self) -> None:
        """Forget what was set and removed, and all faults: only derived records are left."""
        with self._lock:
            self._set.clear()
            self._faults.clear()

    def records(self) -> Records:
        """Return all records that are served now."""
        derived = self._derived()  # outside the lock: it may take others
        with self._lock:
            return {key: values for key, values in {**derived, **self._set}.items() if values}

    def fault_of(self, name: str, type_: str) -> Fault | None:
        """Return the fault of a query; one for its type has priority over one for the whole name."""
        with self._lock:
            return self._faults.get((name, type_)) or self._faults.get((name, None))

    def answer(self, name: str, type_: str) -> tuple[str, list[tuple[str, str, dns.rdata.Rdata]]]:
        """Answer as a resolver does, which follows CNAMEs: the response code, and (name, type, value) of each record.

        Raises:
            DNSException: A derived record is not in presentation format.
        """
        records = self.records()
        found: list[tuple[str, str, dns.rdata.Rdata]] = []
        seen: set[str] = set()
        while name not in seen:
            seen.add(name)
            if values := records.get((name, type_)):
                return "NOERROR", [*found, *((name, type_, _rdata(type_, value)) for value in values)]
            if not (alias := records.get((name, "CNAME"))):
                # A name exists, even without records of its own, if there is a name below it.
                exists = any(f".{owner}".endswith(f".{name}") for owner, _ in records)
                return "NOERROR" if exists else "NXDOMAIN", found
            found.append((name, "CNAME", _rdata("CNAME", alias[0])))
            name = text_of(found[-1][2].target)  # type: ignore[attr-defined] # dnspython makes its classes at run time
        return "SERVFAIL", []


def _key(name: str, type_: str) -> tuple[str, str]:
    try:
        key = text_of(dns.name.from_text(name))
    except dns.exception.DNSException:
        raise ValueError(f"name must be a domain name, not {name!r}") from None
    try:
        return key, dns.rdatatype.to_text(dns.rdatatype.from_text(type_))
    except dns.exception.DNSException:
        raise ValueError(f"type must be a record type such as TXT, not {type_!r}") from None


def text_of(name: dns.name.Name) -> str:
    """Return a name as `Records` have it."""
    return name.to_text(omit_final_dot=True).lower()


def _rdata(type_: str, value: str) -> dns.rdata.Rdata:
    # The root as origin, so that a name in a value may lack its last dot.
    return dns.rdata.from_text("IN", type_, value, origin=dns.name.root, relativize=False)
