"""`python -m dev.emulator` (`make emulator`): the emulator as a process of its own, until Ctrl-C or SIGTERM."""

import argparse
import errno
import json
import re
import signal
import ssl
import threading
from pathlib import Path

from .access import DEFAULT_KEYS
from .control_api import PREFIX
from .emulator import CertCentralEmulator
from .orders import DOCUMENTED_EXAMPLE

MAX_PORT = 65535


def main() -> None:
    """Start, print the addresses, wait for a signal, close."""
    parser = argparse.ArgumentParser(prog="emulator", description="A CertCentral emulator on loopback.")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", default="0", help="0 takes a free port (default)")
    parser.add_argument("--valid-key", metavar="KEY", help="an API key to accept, in addition to the default keys")
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="serve HTTPS: private key and chain (PEM)")
    parser.add_argument("--announce", type=Path, metavar="FILE", help="write the addresses to this file, as JSON")
    options = parser.parse_args()
    if not re.fullmatch("[0-9]{1,5}", options.port) or int(options.port) > MAX_PORT:
        parser.exit(2, f"The port must be a number from 0 to {MAX_PORT}, not {options.port!r}.\n")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        context = _tls(options.tls_certificate)
        emulator = CertCentralEmulator(
            host=options.host, port=int(options.port), valid_key=options.valid_key, ssl_context=context
        )
    except (OSError, ValueError) as error:
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        parser.exit(2, f"Port {options.port} is in use: choose another one.\n" if is_taken else f"{error}\n")
    with emulator:
        addresses = json.dumps({"url": emulator.url, "dns": emulator.dns_server})
        if options.announce:
            draft = options.announce.with_name(options.announce.name + ".new")
            draft.write_text(addresses + "\n", encoding="utf-8")
            draft.replace(options.announce)  # a reader never sees half of it
        print(_welcome(emulator, options.valid_key or next(iter(DEFAULT_KEYS))), flush=True)
        stop.wait()
    print("\nThe emulator has stopped.", flush=True)


def _tls(certificate: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def _welcome(emulator: CertCentralEmulator, key: str) -> str:
    return f"""\
CertCentral emulator. Not DigiCert: it sends no email, and only this machine can reach it.

  API          {emulator.base_url}
  API key      {key}  (header X-DC-DEVKEY)
  Web page     {emulator.url}/  (orders, calls, emails; validate a name, issue an order)
  Control API  {emulator.url}{PREFIX}  (orders, outbox, calls, faults, switches: dev/emulator/control_api.py)
  DNS server   {emulator.dns_server}  (records of the orders' domains)

Resend the DCV emails of DigiCert's documented example order:

curl -i -X PUT {emulator.base_url}/order/certificate/{DOCUMENTED_EXAMPLE}/resend-emails \\
  -H 'X-DC-DEVKEY: {key}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"locale": "en"}}'

See the emails that this would send:

curl {emulator.url}{PREFIX}outbox

Ctrl-C stops it."""


if __name__ == "__main__":
    main()
