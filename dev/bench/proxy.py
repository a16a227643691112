"""A TCP proxy that adds round-trip time, counts connections, and measures how long their client waited."""

import asyncio
import threading
from collections.abc import Callable
from typing import Self


class Proxy:
    """A running proxy on 127.0.0.1:`port`, in a thread of its own.

    Each direction takes half of `round_trip` seconds. Opening a connection takes one round trip more, as it does in
    TCP; it is added to the client's first bytes, since the system itself accepts at once.
    """

    def __init__(self, to_port: int, round_trip: float = 0) -> None:
        self._to_port = to_port
        self._round_trip = round_trip
        self._waits: list[_Wait] = []
        # The event loop refers to tasks weakly: one that waits for a closed connection would be collected, noisily.
        self._serving: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        return len(self._waits)

    @property
    def waited(self) -> float:
        """The seconds between what clients sent and the end of what they received for it, all added up."""
        return sum(wait.seconds for wait in self._waits)

    def close(self) -> None:
        """Stop, and end all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        # A connection that is being accepted starts another task while the others end.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wait = _Wait()
        self._waits.append(wait)
        self._serving.add(task := asyncio.current_task())
        try:
            await self._connect(reader, writer, wait)
        finally:
            self._serving.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: "_Wait") -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, to_writer, self._round_trip, on_read=wait.sent))
                both.create_task(self._carry(to_reader, writer, 0, on_written=wait.got))
        except* OSError:
            pass  # one side was killed
        finally:
            writer.close()
            to_writer.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_open: float,
        *,
        on_read: Callable[[float, bytes], None] = lambda *_: None,
        on_written: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Carry one direction until it ends; `to_open` seconds more for its first bytes."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            due, delay = 0.0, to_open + self._round_trip / 2
            data = b"-"
            while data:
                data = await reader.read(65536)
                now = self._loop.time()
                on_read(now, data)
                due, delay = max(due, now + delay), self._round_trip / 2
                pieces.put_nowait((due, data))

        reading = self._loop.create_task(read())
        try:
            while True:
                due, data = await pieces.get()
                if self._round_trip:
                    await asyncio.sleep(due - self._loop.time())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                on_written(self._loop.time())
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class _Wait:
    """How long the client of one connection has waited: from each thing it sent to the last it received after that."""

    def __init__(self) -> None:
        self._ended = 0.0
        self._since = self._until = 0.0
        self._is_open = True

    @property
    def seconds(self) -> float:
        return self._ended + self._until - self._since

    def sent(self, now: float, data: bytes) -> None:
        self._is_open = bool(data)
        self._ended = self.seconds
        self._since = self._until = now

    def got(self, now: float) -> None:
        # Once the client has closed the connection, nobody waits.
        if self._is_open:
            self._until = now
