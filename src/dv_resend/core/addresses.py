"""Domain names and email addresses: their valid forms, how they are masked, and which ones a CA may construct.

The rules are those of the CA/B Forum Baseline Requirements (BR 2.2.6). Everything is pure, except that the list of
public suffixes is loaded from its package when it is first needed.
"""

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from dv_resend.errors import InvalidRequest

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

# The local parts at which a CA may construct a DCV address (BR 3.2.2.4.4).
ROLE_LOCAL_PARTS = frozenset({"admin", "administrator", "hostmaster", "postmaster", "webmaster"})

MAX_EMAIL = 254

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
# A dot-atom (RFC 5322). Quoted local parts are rejected: no CA constructs them and nobody publishes them.
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)

# An at-sign as upstream may write it: full-width, percent-encoded (also twice), or as a character reference of HTML.
# Before it may be what shows as a space, or not at all.
_SPACE = r"[\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]{0,5}"
_AT = r"(?:[@\uff20\ufe6b]|%(?:25)*40|&[#]0*64;|&[#]x0*40;|&commat;)"
# A text between separators, or a quoted local part; and the at-sign after it, if there is one. Each character is read a
# bounded number of times: a text without at-signs must not be slow.
_BEFORE_AT = re.compile(
    rf"""(?P<local>"(?:[^"\\]|\\.){{0,256}}+"(?={_SPACE}{_AT}) | (?:(?!{_AT})[^\s<>"(),:;@\uff20\ufe6b])++)
    (?P<at>["']?(?:\([^()]{{0,100}}\))?{_SPACE}{_AT})?""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)

# ---------------------------------------------------------------- valid forms


def parse_domain(value: object, field: str, *, wildcard: bool = False) -> str:
    """Return a domain name lower-cased, as A-labels, without the dot that may end it.

    ``*.`` in front is kept if ``wildcard`` allows it. Raises `InvalidRequest` that names the ``field``, also for a
    single label and for an IP address.
    """
    error = InvalidRequest(field, "must be a domain name such as www.example.com.")
    if not isinstance(value, str) or len(value.removesuffix(".")) > 253:
        raise error
    star = "*." if wildcard and value.startswith("*.") else ""
    name = value.removeprefix(star).removesuffix(".")
    if not name.isascii():
        # Imported only here: few names need it, and its tables are large.
        import idna

        try:
            name = idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
        except (UnicodeError, IndexError):  # IDNAError is a UnicodeError
            raise error from None
    name = name.lower()
    labels = name.split(".")
    if len(star + name) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise error
    return star + name


def parse_email(value: object, field: str) -> str:
    """Return an address with its host as `parse_domain` returns it; a role address is lower-cased as a whole.

    Raises `InvalidRequest` that names the ``field``.
    """
    error = InvalidRequest(field, "must be one email address such as admin@example.com.")
    if not isinstance(value, str) or len(value.removesuffix(".")) > MAX_EMAIL:
        raise error
    local_part, at, host = value.rpartition("@")
    if not at or len(local_part) > 64 or not _LOCAL_PART.fullmatch(local_part):
        raise error
    if local_part.lower() in ROLE_LOCAL_PARTS:
        local_part = local_part.lower()
    try:
        address = f"{local_part}@{parse_domain(host, field)}"
    except InvalidRequest:
        raise error from None
    if len(address) > MAX_EMAIL:
        raise error
    return address


def comparable_email(address: str) -> str:
    """Return the same text for all spellings of an address; it may be none that `parse_email` accepts."""
    try:
        return parse_email(address, "email").casefold()
    except InvalidRequest:
        return address.casefold()


def is_domain_name(name: str) -> bool:
    """Whether a name consists of A-labels, apart from ``*.`` in front; one label is enough."""
    labels = without_wildcard(name).split(".")
    return len(name) <= 253 and all(map(_LABEL.fullmatch, labels))


def is_ip_address(name: str) -> bool:
    """Whether a name of an order is an IP address, which no email can validate."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def to_a_label(name: str) -> str:
    """Return a CertCentral name as A-labels, or lower-cased if it is not a valid domain name."""
    try:
        return parse_domain(name, "name", wildcard=True)
    except InvalidRequest:
        return name.lower()


def without_wildcard(name: str) -> str:
    """Return a name in lower case and without ``*.``: validation and its emails concern the rest (BR 3.2.2.4)."""
    return name.lower().removeprefix("*.")


# ---------------------------------------------------------------- masking


def is_role_address(address: str) -> bool:
    """Whether the local part is one of the five role names: such an address is no personal data."""
    return address.rpartition("@")[0].casefold() in ROLE_LOCAL_PARTS


def mask_address(address: str) -> str:
    """Hide the local part of an address, unless it is a role address."""
    local_part, at, host = address.rpartition("@")
    return address if is_role_address(address) else f"{local_part[:1]}***{at}{host}"


def mask_addresses(text: str) -> str:
    """Mask every address in a text, however its at-sign is written: whatever stands before one is hidden."""
    return _BEFORE_AT.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    # Quotes around a whole address belong to the text.
    local_part = match["local"].strip("\"'")
    if match["at"] is None or local_part.casefold() in ROLE_LOCAL_PARTS:
        return match[0]
    mark = match["local"][: len(match["local"]) - len(match["local"].lstrip("'"))]
    return f"{mark}{local_part[:1]}***{match['at']}"


# ---------------------------------------------------------------- what a CA may construct


def constructed_addresses(domain: str) -> list[str]:
    """Return the five addresses that a CA may construct at a domain (BR 3.2.2.4.4)."""
    return [f"{local_part}@{domain}" for local_part in sorted(ROLE_LOCAL_PARTS)]


def authorization_domains(name: str) -> list[str]:
    """Return the name, without ``*.``, and its parents; the registrable domain is the last (BR 1.6.1).

    If the name is itself a public suffix, it has no parents here.
    """
    labels = without_wildcard(name).split(".")
    # The package has no type hints.
    registrable: str | None = _public_suffixes().privatesuffix(without_wildcard(name))
    last = len(labels) - len(registrable.split(".")) if registrable else 0
    return [".".join(labels[start:]) for start in range(last + 1)]


def is_public_suffix(name: str) -> bool:
    """Whether anybody may register names below ``name`` (publicsuffix.org, its private section included)."""
    return _public_suffixes().privatesuffix(name) is None


@lru_cache(maxsize=1)
def _public_suffixes() -> "PublicSuffixList":
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
