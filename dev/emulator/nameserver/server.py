"""The DNS server: UDP and TCP on one port of loopback, in a thread of its own."""

import asyncio
import ipaddress
import threading
from typing import NamedTuple, Self

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype

from .zone import Zone, text_of

_PORT_TRIES = 20


class Query(NamedTuple):
    """A query that came in: name in lower case without the last dot, type such as TXT, `udp` or `tcp`."""

    name: str
    type: str
    transport: str


class NameServer:
    """A running DNS server, which answers for the whole world from one zone. `address` is its `host:port`.

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
        self._tcp: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            bound = asyncio.run_coroutine_threadsafe(self._listen(host, port), self._loop).result()
        except OSError:
            self.close()
            raise
        self.address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, whatever is still waiting for an answer. Safe to repeat."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def queries(self) -> list[Query]:
        """The queries so far, oldest first."""
        with self._lock:
            return list(self._queries)

    def clear_queries(self) -> None:
        """Forget the queries."""
        with self._lock:
            self._queries.clear()

    async def _listen(self, host: str, port: int) -> int:
        # A port that is free for TCP may be taken for UDP; port 0 then tries another one.
        tries = 1 if port else _PORT_TRIES
        while True:
            tcp = await asyncio.start_server(self._serve_tcp, host, port, start_serving=False)
            bound: int = tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await self._loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(host, bound)
                )
            except OSError:
                tcp.close()
                tries -= 1
                if not tries:
                    raise
                continue
            await tcp.start_serving()
            self._tcp = tcp
            return bound

    async def _end(self) -> None:
        if self._tcp:
            self._tcp.close()
            self._udp.close()
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.sleep(0)  # the transports' own last callbacks

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                if (answer := await self._answer(wire, "tcp")) is None:
                    await reader.read()  # until the client leaves
                    return
                writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or this server ends
        finally:
            writer.close()

    async def serve_udp(self, wire: bytes, client: tuple[str, int]) -> None:
        """Answer one datagram."""
        if (answer := await self._answer(wire, "udp")) is not None:
            self._udp.sendto(answer, client)

    async def _answer(self, wire: bytes, transport: str) -> bytes | None:
        """The answer to one query; None if there is to be none."""
        try:
            query = dns.message.from_wire(wire)
            response = dns.message.make_response(query, recursion_available=True)
        except dns.exception.DNSException:
            return None
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response.set_rcode(dns.rcode.NOTIMP)
            return response.to_wire()
        question = query.question[0]
        asked = Query(text_of(question.name), dns.rdatatype.to_text(question.rdtype), transport)
        with self._lock:
            self._queries.append(asked)

        kind, seconds = self.zone.fault_of(asked.name, asked.type) or ("", 0)
        match kind:
            case "silent":
                return None
            case "garbage":
                return wire[:2] + b"\xff" * 30  # the query's id, so that nobody takes it for somebody else's answer
            case "servfail" | "refused":
                response.set_rcode(dns.rcode.from_text(kind))
                return response.to_wire()
            case "truncated" if transport == "udp":
                response.flags |= dns.flags.TC
                return response.to_wire()
        await asyncio.sleep(seconds)
        try:
            rcode, response.answer = self.zone.answer(question.name, asked.type)
        except dns.exception.DNSException:
            rcode = dns.rcode.SERVFAIL
        response.set_rcode(rcode)
        # Without EDNS there is no payload size, and an answer may have 512 bytes.
        most = max(512, query.payload) if transport == "udp" else 65_535
        return response.to_wire(max_size=most, prefer_truncation=True)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()  # or they could be collected while they run

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._server.serve_udp(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
