"""A fake of Secrets Manager and DynamoDB, as far as one resend calls them: fixed responses, at once, over TLS.

The local AWS responds within several milliseconds, which vary, and would hide the differences that are measured here.
"""

import json
import ssl
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class FakeAws(ThreadingHTTPServer):
    """A running fake at `url`. `calls` counts the calls by operation."""

    daemon_threads = True

    def __init__(self, api_key: str, tls: ssl.SSLContext) -> None:
        """Start; every secret holds `api_key`."""
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"https://127.0.0.1:{self.server_port}"
        self.calls: Counter[str] = Counter()
        self.responses: dict[str, dict[str, Any]] = {
            "GetSecretValue": {"ARN": "arn", "Name": "key", "VersionId": "1", "SecretString": api_key},
            # No record yet; each write succeeds.
            "GetItem": {},
            "PutItem": {},
        }
        self._tls = tls
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Make the TLS handshake in the connection's own thread."""
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a killed function leaves broken connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: FakeAws

    def do_POST(self) -> None:
        """Respond to one call of the JSON protocol, whose operation is in `X-Amz-Target`."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target, _, call = self.headers["X-Amz-Target"].rpartition(".")
        self.server.calls[call] += 1
        body = json.dumps(self.server.responses[call]).encode()
        self.send_response(200)
        self.send_header("Content-Type", f"application/x-amz-json-1.{0 if 'Dynamo' in target else 1}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing."""
