"""The DNS server: UDP and TCP on one port of loopback.

dnslib speaks the protocol. dnspython reads the records, because it is exact about their presentation format.
"""

import ipaddress
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
from dnslib import QTYPE, RCODE, RD, RR, DNSError, DNSLabel
from dnslib.server import DNSHandler, TCPServer, UDPServer

from .zone import Zone, text_of

TTL_SECONDS = 60
MIN_PAYLOAD = 512  # of an answer over UDP, if the query does not name another size (EDNS)
_PORT_TRIES = 20
_POLL_SECONDS = 0.02


class Query(NamedTuple):
    """A query that came in: name in lower case without the last dot, type such as TXT, `udp` or `tcp`."""

    name: str
    type: str
    transport: str


class NameServer:
    """A running DNS server, which answers for every name from one zone. `address` is its `host:port`.

    Example:
        >>> with NameServer(Zone()) as server:
        ...     server.zone.set("example.com", "MX", ["10 mail.example.com."])
        ...     print(server.address)
    """

    def __init__(self, zone: Zone, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Start; port 0 takes a free one. Raises `OSError` if the port is taken."""
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the name server listens on loopback only")
        self.zone = zone
        self._queries: list[Query] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._servers = _bind(host, port)
        self._threads = []
        for server in self._servers:
            server.resolver, server.logger = self, _Silent()
            self._threads.append(threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True))
            self._threads[-1].start()
        bound = self._servers[0].server_address[1]
        self.address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, whatever is still waiting for an answer. Safe to repeat."""
        if self._closing.is_set():
            return
        self._closing.set()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()

    @property
    def queries(self) -> list[Query]:
        """The queries so far, oldest first."""
        with self._lock:
            return list(self._queries)

    def clear_queries(self) -> None:
        """Forget the queries."""
        with self._lock:
            self._queries.clear()

    def resolve(self, request: Any, handler: Any) -> Any:
        """Answer one query; dnslib calls this. Raises `DNSError` if there is to be no answer."""
        reply = request.reply(aa=0)
        if request.header.qr or len(request.questions) != 1:
            raise DNSError("not a query")
        name, type_ = text_of(dns.name.Name([*request.q.qname.label, b""])), dns.rdatatype.to_text(request.q.qtype)
        with self._lock:
            self._queries.append(Query(name, type_, handler.protocol))

        fault, seconds = self.zone.fault_of(name, type_) or ("", 0)
        match fault:
            case "silent":
                if handler.protocol == "tcp":
                    self._closing.wait()
                raise DNSError(fault)
            case "garbage":
                return _Garbage(request)
            case "servfail" | "refused":
                reply.header.rcode = getattr(RCODE, fault.upper())
                return reply
            case "slow":
                self._closing.wait(seconds)
        try:
            code, records = self.zone.answer(name, type_)
        except dns.exception.DNSException:
            code, records = "SERVFAIL", []
        reply.header.rcode = getattr(RCODE, code)
        reply.add_answer(*(_rr(*record) for record in records))
        payloads = [record.edns_len for record in request.ar if record.rtype == QTYPE.OPT]
        if handler.protocol == "udp" and (fault == "truncated" or len(reply.pack()) > max([MIN_PAYLOAD, *payloads])):
            reply.rr, reply.header.tc = [], 1
        return reply


class _Garbage:
    """Takes the place of a reply that dnslib is about to send."""

    def __init__(self, request: Any) -> None:
        self._id: int = request.header.id

    def pack(self) -> bytes:
        # With the query's id, so that a client does not ignore it as the answer to another query.
        return self._id.to_bytes(2) + b"\xff" * 30


class _Silent:
    """A logger of dnslib that logs nothing."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None


def _bind(host: str, port: int) -> list[Any]:
    """Bind TCP and UDP to the same port."""
    tries = 1 if port else _PORT_TRIES
    while True:
        tcp = TCPServer((host, port), DNSHandler)
        try:
            return [tcp, UDPServer((host, tcp.server_address[1]), DNSHandler)]
        except OSError:  # a port that is free for TCP may be taken for UDP
            tcp.server_close()
            tries -= 1
            if not tries:
                raise


def _rr(owner: str, type_: str, value: dns.rdata.Rdata) -> Any:
    label = DNSLabel(dns.name.from_text(owner).labels[:-1])
    return RR(label, dns.rdatatype.from_text(type_), rdata=RD(value.to_wire()), ttl=TTL_SECONDS)
