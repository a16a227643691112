"""The Python runtime of a deployed function: AWS's own runtime client. `dev.local.localize` writes its `bootstrap`.

It runs in the environment of the local AWS, so it imports nothing else of this package.
"""

import sys
from typing import Any

import botocore
from awslambdaric.__main__ import main


def over_tls(params: dict[str, Any], **_: Any) -> None:
    """Have a call to the local AWS count as one over TLS, which loopback has not, and which queues' policies want.

    This is how AWS would see a connection that a proxy has decrypted.
    """
    params["headers"]["X-Forwarded-Proto"] = "https"


if __name__ == "__main__":
    botocore.register_initializer(lambda session: session.register("before-call", over_tls))
    main(sys.argv)
