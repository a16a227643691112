"""A plain address for the deployed API: a relay that any HTTP client can call without a special Host header.

It changes three lines of a request's head, and not a byte of anything else:

- `Host` becomes the name under which the local AWS routes to the API;
- `Authorization` is added where the caller sent none, as a signing proxy in front of AWS would do. The local AWS reads
  the access key of an IAM signature but verifies no signature, so this one is made up;
- `Connection` becomes `close`, so that one connection carries one request.

`python -m dev.local.proxy --to PORT --host NAME --announce FILE` serves until it is ended.
"""

import argparse
import asyncio
import json
from pathlib import Path

_UNCHECKED_SIGNATURE = (
    b"Authorization: AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/execute-api/aws4_request, "
    b"SignedHeaders=host, Signature=unchecked\r\n"
)


def rewrite(head: bytes, host: str) -> bytes:
    """The head of a request as the local AWS wants it. `Connection: close` keeps it to one request a connection."""
    request_line, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    names = [line.partition(b":")[0].strip().lower() for line in headers]
    kept = [line for line, name in zip(headers, names, strict=True) if name not in (b"host", b"connection")]
    signature = b"" if b"authorization" in names else _UNCHECKED_SIGNATURE
    return b"".join(
        [request_line, b"\r\nHost: ", host.encode(), b"\r\n", signature]
        + [line + b"\r\n" for line in kept]
        + [b"Connection: close\r\n\r\n"]
    )


async def serve(to_port: int, host: str, announce: Path) -> None:
    """Relay from a free port of 127.0.0.1, which is written to `announce`, to `to_port`."""

    async def relay(client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        sending = None
        try:
            head = await client_in.readuntil(b"\r\n\r\n")
            api_in, api_out = await asyncio.open_connection("127.0.0.1", to_port)
            api_out.write(rewrite(head, host))
            sending = asyncio.create_task(_pump(client_in, api_out))
            await _pump(api_in, client_out)
            api_out.close()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # either side went away, or this is not HTTP: there is nobody to tell
        finally:
            if sending:
                sending.cancel()
            client_out.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    draft = announce.with_suffix(".new")
    draft.write_text(json.dumps({"url": f"http://127.0.0.1:{port}"}))
    draft.replace(announce)  # a reader never sees half of it
    await server.serve_forever()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--announce", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.to, options.host, options.announce))


if __name__ == "__main__":
    _main()
