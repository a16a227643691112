"""Lambda's runtime: AWS's own runtime client in a process of its own, and the Runtime API that it talks to.

The API is the one of Lambda (Lambda developer guide, "Using the Lambda runtime API"). From its requests one sees what
Lambda bills: *init* is the time from the start of the process to the first request for an invocation, and an
*invocation* the time from the answer to that request to the function's own answer.
"""

import json
import queue
import subprocess
import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from dev.bench.builds import Build
from dev.bench.cpu import Throttle, cpu_seconds
from dev.local.processes import StartError
from dev.local.template import ROOT

# Has the runtime client and, as on Lambda, a boto3 with its bytecode.
_PYTHON = ROOT / ".tools/local-aws/bin/python"
_SECONDS = 29
_PATIENCE = 60


@dataclass(frozen=True)
class Invocation:
    """One answered event, and what it took."""

    answer: Any
    seconds: float
    cpu_seconds: float


class Function:
    """A running function. `init_seconds` and `init_cpu_seconds` are what its start took."""

    def __init__(
        self, build: Build, environment: dict[str, str], log: Path, *options: str, megabytes: int | None = None
    ) -> None:
        """Start it, with `options` for the interpreter, and wait until it asks for its first event.

        With `megabytes` it gets no more of a processor than a function of that memory size.
        """
        self._log = log
        self._open = ExitStack()
        self._api = self._open.enter_context(_RuntimeApi())
        command: list[str | Path] = [
            *(_PYTHON, "-B", "-P"),  # Lambda's code folder is read-only
            *options,
            *("-m", "awslambdaric", build.handler),
        ]
        settings = environment | _lambda_settings(build, self._api.server_port)
        with log.open("wb") as output:
            started = time.perf_counter()
            self._process = subprocess.Popen(
                command,
                cwd=build.folder,
                env=build.settings | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._pid = self._process.pid
        self._open.callback(self._end)
        try:
            if megabytes is not None:
                self._open.enter_context(Throttle(self._pid, megabytes))
            self.init_seconds = self._wait(self._api.asked) - started
            self.init_cpu_seconds = cpu_seconds(self._pid)
        except BaseException:
            self.close()
            raise

    def invoke(self, event: Any) -> Invocation:
        """Have an event answered. Returns when the function is ready for the next one."""
        cpu_before = cpu_seconds(self._pid)
        self._api.events.put(json.dumps(event).encode())
        sent = self._wait(self._api.sent)
        answered, is_error, answer = self._wait(self._api.answers)
        self._wait(self._api.asked)
        if is_error:
            raise StartError(f"The function failed: {json.dumps(answer)[:2000]}\n{self.output()[-2000:]}")
        return Invocation(answer, answered - sent, cpu_seconds(self._pid) - cpu_before)

    def peak_bytes(self) -> int:
        """The most memory that the process ever held."""
        # Not getrusage: its maximum is inherited from the process that started this one.
        status = Path(f"/proc/{self._pid}/status").read_text()
        (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(peak) * 1024

    def output(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """End it."""
        self._open.close()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, things: "queue.Queue[Any]") -> Any:
        deadline = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                return things.get(timeout=1)
            except queue.Empty:
                continue
        raise StartError(f"The function ended or hung:\n{self.output()[-3000:]}")


def _lambda_settings(build: Build, port: int) -> dict[str, str]:
    """What Lambda sets for every function (Lambda developer guide, "Defined runtime environment variables")."""
    return {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": build.name.replace("+", "-"),
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "LAMBDA_TASK_ROOT": str(build.folder),
        "PYTHONPATH": str(build.folder),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }


class _RuntimeApi(ThreadingHTTPServer):
    """The Runtime API of one function. What happens goes, with its time, into queues."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.events: queue.Queue[bytes | None] = queue.Queue()
        self.asked: queue.Queue[float] = queue.Queue()
        self.sent: queue.Queue[float] = queue.Queue()
        self.answers: queue.Queue[tuple[float, bool, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a function that is ended leaves its connection broken."""

    def __exit__(self, *_: object) -> None:
        # Lets go of a connection that waits for an event.
        self.events.put(None)
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one write
    server: _RuntimeApi

    def do_GET(self) -> None:
        """`/2018-06-01/runtime/invocation/next`: waits for an event."""
        self.server.asked.put(time.perf_counter())
        event = self.server.events.get()
        if event is None:
            self.close_connection = True
            return
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + _SECONDS) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:bench:live",
        }
        self.server.sent.put(time.perf_counter())
        self._answer(200, event, headers)

    def do_POST(self) -> None:
        """`…/invocation/{id}/response`, `…/invocation/{id}/error` and `…/init/error`: takes the outcome."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        now = time.perf_counter()
        self.server.answers.put((now, self.path.endswith("/error"), json.loads(body or b"null")))
        self._answer(202, b'{"status": "OK"}', {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""
