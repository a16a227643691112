"""`make run`: resends through the whole stack, a repeat that mails nobody, and one sweep, step by step.

By default it calls the emulator. With `ORDER_ID` in the environment it calls the real CertCentral, after a dry run and
a question. The key comes from `DIGICERT_API_KEY` or a hidden prompt, and is only kept in memory. `ORDER_TYPES` is the
template's parameter `OrderTypes`.
"""

import getpass
import http.client
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dev.local.processes import StartError, exit_code
from dev.local.stack import COMMAND, RESEND_PATH, LocalStack, local_stack
from dev.local.steps import Steps, counted, in_line

# DigiCert's documented example, and the emulator's order for it.
EXAMPLE_ORDER = "123456789"
EXAMPLE_BODY: dict[str, Any] = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
    ],
    "locale": "en",
}
# The same of an older version of DigiCert's page, and an order for it: without subdomain and `email_domain`.
OLD_EXAMPLE_ORDER = "123456790"
OLD_EXAMPLE_BODY: dict[str, Any] = {
    "domain_approval_emails": [
        {"domain": "example.com", "email": "someone@example.com"},
        {"domain": "example2.com", "email": "someone@example2.com"},
    ],
    "locale": "en",
}
_DEFAULT_CERTCENTRAL = "https://www.digicert.com/services/v2"
# Powertools adds these to every line.
_NOT_AUDIT = {"level", "location", "message", "timestamp", "service", "release", "xray_trace_id", "cold_start"}


class Run(Steps):
    """A run against the emulator or against the real CertCentral."""

    def against_emulator(self) -> bool:
        """Send DigiCert's examples, repeat one in another language, then sweep; return whether everything worked."""
        with local_stack(parameters=parameters_of_environment(), on_step=self.step) as stack:
            sent = self._send(stack, EXAMPLE_ORDER, EXAMPLE_BODY)
            self._show_audit(stack, calls=1)
            self._add_old_example(stack)
            sent &= self._send(stack, OLD_EXAMPLE_ORDER, OLD_EXAMPLE_BODY)
            emails = stack.ask_emulator("outbox")
            self.step(f"outbox: CertCentral sent {counted(len(emails), 'email')}")
            for email in emails:
                self.detail(in_line({name: email[name] for name in ("to", "subject", "sent_at")}))
            repeated = self._send(stack, EXAMPLE_ORDER, EXAMPLE_BODY | {"locale": "de"}, expected=409)
            again = len(stack.ask_emulator("outbox")) - len(emails)
            self.step(f"outbox: CertCentral sent {counted(again, 'more email')}")
            swept = self._command(stack, "sweep")
        return sent and len(emails) == 4 and repeated and again == 0 and swept

    def against_certcentral(self, order_id: str, url: str, api_key: str) -> bool:
        """Make a dry run, ask, then resend to the default recipients of a real order; return whether it worked.

        If the dry run finds that nothing would be sent, its advice is the result.
        """
        parameters = parameters_of_environment()
        with local_stack(api_key=api_key, parameters=parameters, certcentral_url=url, on_step=self.step) as stack:
            if not self._would_be_sent(stack, order_id):
                return False
            if not _confirmed(order_id, url):
                self.step("nothing was sent")
                return sys.stdin.isatty()  # "no" is a success, a script without YES=1 is not
            sent = self._send(stack, order_id, {})
            self._show_audit(stack, calls=1)
        return sent

    def _add_old_example(self, stack: LocalStack) -> None:
        named = OLD_EXAMPLE_BODY["domain_approval_emails"]
        names, contacts = ([recipient[field] for recipient in named] for field in ("domain", "email"))
        stack.ask_emulator("orders", "POST", {"id": int(OLD_EXAMPLE_ORDER), "names": names, "contacts": contacts})

    def _send(self, stack: LocalStack, order_id: str, body: Mapping[str, Any], expected: int = 204) -> bool:
        status, answer = self._put(stack, order_id, body)
        if answer:
            self.detail(answer)
        return status == expected

    def _would_be_sent(self, stack: LocalStack, order_id: str) -> bool:
        """Show what a dry run finds; return whether the emails would be sent."""
        if not self._command(stack, "explain", order_id):
            return False
        _, _, answer = stack.put_resend(order_id, {}, "?dry_run=true")
        would_be_sent: bool = json.loads(answer).get("would_be") == "sent"
        if not would_be_sent:
            self.step("nothing was sent")
        return would_be_sent

    def _command(self, stack: LocalStack, *arguments: str) -> bool:
        """Run `dv-resend` as a person does, and show what it prints; return whether it succeeded."""
        self.step(f"$ {shlex.join(['dv-resend', *arguments])}")
        environment = {"PATH": os.environ["PATH"], "AWS_CONFIG_FILE": os.devnull} | stack.command_environment()
        with subprocess.Popen(
            [COMMAND, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    self.detail(line.rstrip())
            except BaseException:
                process.terminate()
                raise
        return process.returncode == 0

    def _put(self, stack: LocalStack, order_id: str, body: Mapping[str, Any], query: str = "") -> tuple[int, str]:
        self.step(f"request: PUT {stack.api_url}{RESEND_PATH.format(order_id)}{query}")
        self.detail(json.dumps(body))
        status, headers, answer = stack.put_resend(order_id, body, query)
        outcome = f", Resend-Outcome: {headers['Resend-Outcome']}" if "Resend-Outcome" in headers else ""
        self.step(f"response: {status} {http.client.responses.get(status, '')}{outcome}")
        return status, answer

    def _show_audit(self, stack: LocalStack, *, calls: int) -> None:
        """Show the audit lines of the last calls, which arrive a little later than the responses."""
        deadline = time.monotonic() + 10
        while len(lines := stack.audit_lines()[-calls:]) < calls and time.monotonic() < deadline:
            time.sleep(0.1)
        self.step(f"{counted(len(lines), 'audit line')} in CloudWatch Logs:")
        for line in lines:
            self.detail(
                in_line({k: v for k, v in line.items() if k not in _NOT_AUDIT and not k.startswith("function_")})
            )


def parameters_of_environment() -> dict[str, str]:
    """Return the template's parameters that the environment sets: `OrderTypes` by `ORDER_TYPES`.

    Raises:
        StartError: The value is wrong.
    """
    order_types = os.environ.get("ORDER_TYPES", "").strip()
    if order_types not in ("", "dv", "all"):
        raise StartError("ORDER_TYPES must be dv or all.")
    return {"OrderTypes": order_types} if order_types else {}


def main() -> int:
    """Run; return exit code 0 if the emails were sent, or if the user said no."""
    api_key = os.environ.pop("DIGICERT_API_KEY", "").strip()  # so that no child process inherits it
    order_id = os.environ.get("ORDER_ID", "").strip()
    url = os.environ.get("CERTCENTRAL_BASE_URL", "").strip()
    run = Run()
    if not order_id:
        if api_key or url:
            print("DIGICERT_API_KEY and CERTCENTRAL_BASE_URL only work together with ORDER_ID.", file=sys.stderr)
            return 2
        return 0 if run.against_emulator() else 1
    if not order_id.isascii() or not order_id.isdigit():
        print("ORDER_ID must be a number.", file=sys.stderr)
        return 2
    if not api_key:
        if not sys.stdin.isatty():
            print("Set the environment variable DIGICERT_API_KEY to the CertCentral API key.", file=sys.stderr)
            return 2
        api_key = getpass.getpass("CertCentral API key (not shown): ").strip()
    return 0 if run.against_certcentral(order_id, url or _DEFAULT_CERTCENTRAL, api_key) else 1


def _confirmed(order_id: str, url: str) -> bool:
    if os.environ.get("YES") == "1":
        return True
    if not sys.stdin.isatty():
        print("Nothing was sent: without a terminal to ask, YES=1 must confirm it.", file=sys.stderr)
        return False
    print(f"This sends emails to the recipients of order {order_id} at {urlsplit(url).hostname}.")
    try:
        answer = input("Send it? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


if __name__ == "__main__":
    sys.exit(exit_code(main))
