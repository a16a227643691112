"""Single fields of untrusted input: each is returned in its valid form, or raises `InvalidRequest` that names it."""

import re
from collections.abc import Mapping

from dv_resend.errors import InvalidRequest

MAX_REQUESTED_BY = 256

# At most 15 digits: in place of an order id, CertCentral also accepts a certificate's serial number (order info page),
# and those are longer.
_ORDER_ID = re.compile(r"[0-9]{1,15}", re.ASCII)
# "xx", "xx_YY" or "xx-yy". DigiCert's list of locale codes could not be read; "en" is the only one in its examples.
_LOCALE = re.compile(r"[A-Za-z]{2}([_-][A-Za-z]{2})?", re.ASCII)


def parse_order_id(value: object) -> int:
    """Return the order id of an integer or a string of digits; raise `InvalidRequest` for anything else."""
    number = int(value) if isinstance(value, str) and _ORDER_ID.fullmatch(value) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**15:
        raise InvalidRequest("order_id", "must be a CertCentral order id: 1 to 15 digits.")
    return number


def parse_requested_by(fields: Mapping[str, object]) -> str | None:
    """Return ``requested_by`` if it is given; raise `InvalidRequest` if it does not fit into a log line."""
    if "requested_by" not in fields:
        return None
    value = fields["requested_by"]
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_REQUESTED_BY or not value.isprintable():
        raise InvalidRequest("requested_by", f"must be a string of 1 to {MAX_REQUESTED_BY} printable characters.")
    return value


def parse_locale(value: object) -> str:
    """Return a locale code; which ones CertCentral knows is not documented."""
    if not isinstance(value, str) or not _LOCALE.fullmatch(value):
        raise InvalidRequest("locale", "must be a locale code such as en, pt_BR or zh-cn.")
    return value


def parse_count(fields: Mapping[str, object], name: str, *, default: int) -> int:
    """Return a whole number, the ``default`` if the field is missing."""
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10**7:
        raise InvalidRequest(name, "must be a whole number from 0 to 10000000.")
    return value


def parse_boolean(fields: Mapping[str, object], name: str) -> bool:
    """Return true or false, false if the field is missing."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(name, "must be true or false.")
    return value
