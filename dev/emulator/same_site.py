"""Which requests other sites' web pages sent through somebody's browser. None of them may steer the emulator."""

import ipaddress
from email.message import Message
from urllib.parse import urlsplit


def is_from_another_site(headers: Message) -> bool:
    """Return whether a web page of another site may have sent a request that changes something.

    Browsers add its `Origin` to each such request; other clients send none. The host must be this machine's, because
    the owner of any other name can let it resolve to this machine (DNS rebinding), and is then its own origin.
    """
    host, origin = headers.get("Host", ""), headers.get("Origin")
    return not _is_loopback(host) or (origin is not None and origin.partition("://")[2].lower() != host.lower())


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
