"""`python -m dev.emulator`: the emulator as a process of its own, until SIGTERM or SIGINT."""

import argparse
import json
import signal
import threading
from pathlib import Path

from .emulator import CertCentralEmulator


def main() -> None:
    """Starts, announces the addresses, waits for a signal, closes."""
    parser = argparse.ArgumentParser(prog="certcentral", description="A CertCentral emulator on loopback.")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port (default)")
    parser.add_argument("--valid-key", metavar="KEY", help="one more key with role `valid`")
    parser.add_argument("--announce", type=Path, metavar="FILE", help="write the addresses to this file too")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        emulator = CertCentralEmulator(host=options.host, port=options.port, valid_key=options.valid_key)
    except (OSError, ValueError) as wrong:
        parser.error(str(wrong))
    with emulator:
        line = json.dumps({"url": emulator.url, "dns": emulator.dns_server})
        if options.announce:
            draft = options.announce.with_name(options.announce.name + ".new")
            draft.write_text(line + "\n", encoding="utf-8")
            draft.replace(options.announce)  # a reader never sees half of it
        print(line, flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
