"""Arguments and options of several commands, checked before anything is called."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import click

_DOMAIN = re.compile(r"[^\s@:=.]+(\.[^\s@:=.]+)+\.?")
_LOCAL_PART = re.compile(r"[^\s@]+")
_LOCALE = re.compile(r"[A-Za-z]{2}([_-][A-Za-z]{2})?")
# How the functions name the fields of a recipient.
_FIELDS = re.compile(
    r"domain_approval_emails\[(?P<index>[0-9]+)\](?:\.[a-z_]+)?"
    r'|add "email_domain": "(?P<parent>[^"]+)"|leave email_domain out'
)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Recipient(NamedTuple):
    """One address to mail about one name.

    Example:
        >>> RECIPIENT.convert("sub.example.com=admin@example.com:example.com", None, None).to_json()["email_domain"]
        'example.com'
    """

    domain: str
    email: str
    email_domain: str | None = None

    @property
    def option(self) -> str:
        """The value of ``--to``."""
        return f"{self.domain}={self.email}" + (f":{self.email_domain}" if self.email_domain else "")

    def to_json(self) -> dict[str, str]:
        """Return an entry of ``domain_approval_emails``."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def is_domain(text: str) -> bool:
    """Whether a text looks like a domain name."""
    return text.isprintable() and _DOMAIN.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether a text looks like an email address."""
    local, _, host = text.rpartition("@")
    return local.isprintable() and _LOCAL_PART.fullmatch(local) is not None and is_domain(host)


class _OrderId(click.ParamType[int]):
    name = "order_id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        if not re.fullmatch(r"[0-9]{1,15}", text) or not int(text):
            self.fail(f"{text!r} is not a CertCentral order id, which has 1 to 15 digits.", param, ctx)
        return int(text)


class _Recipient(click.ParamType[Recipient]):
    name = "DOMAIN=ADDRESS[:EMAIL_DOMAIN]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Recipient:
        if isinstance(value, Recipient):
            return value
        domain, _, rest = str(value).partition("=")
        email, colon, email_domain = rest.partition(":")
        if not is_address(email) or not all(map(is_domain, [domain, *([email_domain] if colon else [])])):
            message = f"{value!r} must be DOMAIN=ADDRESS, such as example.com=admin@example.com, or"
            self.fail(f"{message} DOMAIN=ADDRESS:EMAIL_DOMAIN if the address is at a parent of the domain.", param, ctx)
        return Recipient(domain, email, email_domain or None)


class _Period(click.ParamType[timedelta]):
    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,3})([mhd])", str(value))
        if not found:
            self.fail(f"{value!r} is not a number of minutes, hours or days such as 90m, 12h or 30d.", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


class _Locale(click.ParamType[str]):
    name = "locale"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _LOCALE.fullmatch(str(value)):
            self.fail(f"{value!r} is not a locale code such as en, pt_BR or zh-cn.", param, ctx)
        return str(value)


ORDER_ID = _OrderId()
RECIPIENT = _Recipient()
LOCALE = _Locale()
PERIOD = _Period()
order_id_argument = click.argument("order_id", type=ORDER_ID, metavar="ORDER_ID")
recipients_option = click.option(
    "--to", "recipients", type=RECIPIENT, multiple=True, help="Mail this address about this name."
)
locale_option = click.option("--locale", type=LOCALE, help="Language of the emails, such as en.")


def request_fields(order_id: int, recipients: Sequence[Recipient], locale: str | None) -> dict[str, Any]:
    """Return the fields of a request (docs/calling.md) for these options; those that were not given are left out."""
    fields: dict[str, Any] = {"order_id": order_id}
    if recipients:
        fields["domain_approval_emails"] = [recipient.to_json() for recipient in recipients]
    if locale:
        fields["locale"] = locale
    return fields


def in_options(message: str, recipients: Sequence[Recipient]) -> str:
    """Return what a function says about the fields of a request as it is said about the options of the command.

    Example:
        >>> in_options("domain_approval_emails[0].email: No.", [Recipient("a.test", "me@a.test")])
        '--to a.test=me@a.test: No.'
    """
    about: Recipient | None = None

    def reworded(found: re.Match[str]) -> str:
        nonlocal about
        if found["index"]:
            about = recipients[int(found["index"])] if int(found["index"]) < len(recipients) else None
            return found[0] if about is None else f"--to {about.option}"
        if about is None:
            return found[0]
        return f"say --to {about._replace(email_domain=found['parent']).option}"

    return _FIELDS.sub(reworded, message)
