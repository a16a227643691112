"""The Python runtime of a deployed function: AWS's own runtime client, started by `bootstrap` (`dev.local.localize`).

It runs in the environment of the local AWS, so it imports nothing else from this package.
"""

import sys
from typing import Any

import botocore
from awslambdaric.__main__ import main


def pretend_tls(**event: Any) -> None:
    """Mark a call to the local AWS as made over TLS, which the queues' policies require.

    A TLS-terminating proxy adds the same header.
    """
    event["params"]["headers"]["X-Forwarded-Proto"] = "https"


if __name__ == "__main__":
    botocore.register_initializer(lambda session: session.register("before-call", pretend_tls))
    main(sys.argv)
