"""`python -m dev.bench.upstream FOLDER KEY ORDERS`: the CertCentral emulator over TLS, without limits, until SIGTERM.

A process of its own, so that it does not share an interpreter with what measures. The certificate is in `FOLDER`;
`FOLDER/upstream.json` tells the address and the ids of the orders.
"""

import json
import signal
import ssl
import sys
import threading
from pathlib import Path

from dev.emulator.emulator import CertCentralEmulator


def main() -> None:
    """Start, announce, wait for the signal."""
    folder, key, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with CertCentralEmulator(valid_key=key, ssl_context=tls) as emulator:
        emulator.set_limits(None)
        orders = emulator.add_orders(count, kind="dv", names=["order-{id}.example"])
        draft = folder / "upstream.json.new"
        draft.write_text(json.dumps({"url": emulator.url, "orders": orders}))
        draft.replace(folder / "upstream.json")
        stop.wait()


if __name__ == "__main__":
    main()
