"""The file of `dv-resend bulk`: its rows become one request for each order. Every row is checked before any call."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click

from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.parameters import LOCALE, ORDER_ID, Recipient, is_address, is_domain

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("order_id", "domain", "email", "email_domain", "locale")
# Those that `dv-resend pending --csv` also writes.
_IGNORED = ("name", "status", "age_days", "reminder")
_MAX_RECIPIENTS = 250
_MAX_PROBLEM = 300


@dataclass(frozen=True)
class BulkRequest:
    """One resend. Without ``recipients``, DigiCert mails its default recipients.

    Example:
        >>> BulkRequest(7, (Recipient("a.test", "Admin@a.test"),), "pt-BR").key
        (7, 'a.test=admin@a.test', 'pt_br')
    """

    order_id: int
    recipients: tuple[Recipient, ...] = ()
    locale: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the input of the function."""
        request: dict[str, object] = {"order_id": self.order_id}
        if self.recipients:
            request["domain_approval_emails"] = [recipient.to_json() for recipient in self.recipients]
        return request | ({"locale": self.locale} if self.locale else {})

    @property
    def key(self) -> tuple[int, str, str]:
        """What is asked for, in one form: order, recipients as `--to` takes them, locale."""
        recipients = " ".join(sorted({_text(recipient) for recipient in self.recipients})) or "default"
        return self.order_id, recipients, (self.locale or "").lower().replace("-", "_")


@dataclass(frozen=True)
class _Row:
    number: int
    order_id: int
    recipient: Recipient | None
    locale: str | None


def read_requests(path: "Path") -> list[BulkRequest]:
    """Read a file; raise `Failure` that names the first wrong row and its column. Rows are counted as lines."""
    if path.exists() and not _is_regular(path):
        _refuse(path, "is not a regular file. Save the orders in a file: the results are kept beside it.")
    try:
        content = path.read_bytes()
    except OSError as error:
        _refuse(path, f"cannot be read: {error.strerror}.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _refuse(path, f"row {line} is not UTF-8. Save the file as CSV in UTF-8.")
    reader = csv.reader(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n")), strict=True)
    try:
        rows = list(_rows(path, reader))
    except csv.Error as error:
        _refuse(path, f"row {reader.line_num} is not valid CSV: {error}.")
    if not rows:
        _refuse(path, "has no orders below its header.")
    by_order: dict[int, list[_Row]] = {}
    for row in rows:
        by_order.setdefault(row.order_id, []).append(row)
    return [_request(path, rows_of_order) for rows_of_order in by_order.values()]


def _is_regular(path: "Path") -> bool:
    """Whether results can be kept beside a file, so that a repeat of the command finds both."""
    folder = str(path.parent.resolve())
    # A redirected /dev/stdin is a regular file by its type.
    return path.is_file() and folder != "/dev" and not folder.startswith("/proc/")


def _rows(path: "Path", reader: Iterator[list[str]]) -> Iterator[_Row]:
    header: list[str] | None = None
    for number, cells in _numbered(reader):
        if not any(cells):
            continue
        if header is None:
            header = _header(path, number, cells)
            continue
        # Programs pad their rows. A short one may have been cut off, and would mail the default recipients.
        if len(cells) < len(header) or any(cells[len(header) :]):
            _refuse(path, f"row {number} has {len(cells)} cells, but the header has {len(header)}.")
        yield _row(path, number, dict(zip(header, cells, strict=False)))
    if header is None:
        _refuse(path, "is empty. Its first row must name the columns.")


def _numbered(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    for cells in reader:
        number: int = reader.line_num  # type: ignore[attr-defined]
        yield number, [cell.strip() for cell in cells]


def _header(path: "Path", number: int, cells: Sequence[str]) -> list[str]:
    header = [cell.lower() for cell in cells]
    allowed = f"The columns are {', '.join(COLUMNS)}, separated by commas."
    for position, name in enumerate(header):
        if name not in COLUMNS + _IGNORED:
            _refuse(path, f"row {number} has an unknown column {cells[position]!r}. {allowed}")
        if name in header[:position]:
            _refuse(path, f"row {number} has the column {name} twice.")
    if "order_id" not in header:
        _refuse(path, f"row {number} lacks the column order_id. {allowed}")
    return header


def _row(path: "Path", number: int, cells: dict[str, str]) -> _Row:
    domain, email, email_domain = (cells.get(name, "") for name in ("domain", "email", "email_domain"))

    def check(column: str, value: str, is_right: bool, what: str) -> None:
        if not is_right:
            _refuse(path, f"row {number}, column {column}: {repr(value) if value else 'the empty cell'} is not {what}.")

    if domain or email or email_domain:
        check("domain", domain, is_domain(domain), "a domain name such as example.com")
        check("email", email, is_address(email), "an email address such as admin@example.com")
        check("email_domain", email_domain, not email_domain or is_domain(email_domain), "a domain name")
    order_id = _converted(path, number, "order_id", ORDER_ID, cells.get("order_id", ""))
    locale = _converted(path, number, "locale", LOCALE, cells["locale"]) if cells.get("locale") else None
    recipient = Recipient(domain, email, email_domain or None) if domain else None
    return _Row(number, order_id, recipient, locale)


def _converted[T](path: "Path", number: int, column: str, kind: click.ParamType[T], value: str) -> T:
    try:
        return kind.convert(value, None, None)
    except click.BadParameter as error:
        _refuse(path, f"row {number}, column {column}: {error.message}")


def _request(path: "Path", rows: Sequence[_Row]) -> BulkRequest:
    """Join the rows of one order."""
    first = rows[0]
    for row in rows:
        both = f"rows {first.number} and {row.number} are of order {first.order_id}"
        if (row.recipient is None) != (first.recipient is None):
            _refuse(path, f"{both}, but only one of them names a recipient. Name one in each row, or in none.")
        if row.locale != first.locale:
            locales = f"{first.locale or 'none'} and {row.locale or 'none'}"
            _refuse(path, f"{both}, but their locales differ: {locales}. An order's emails have one language.")
    recipients = {_text(row.recipient): row.recipient for row in rows if row.recipient}
    if len(recipients) > _MAX_RECIPIENTS:
        _refuse(path, f"row {rows[-1].number}: order {first.order_id} has more than {_MAX_RECIPIENTS} recipients.")
    return BulkRequest(first.order_id, tuple(recipients.values()), first.locale)


def _text(recipient: Recipient) -> str:
    """Return a recipient as `--to` takes it; equal for two that ask for the same email."""
    domain, email, email_domain = ((part or "").lower().rstrip(".") for part in recipient)
    return f"{domain}={email}" + (f":{email_domain}" if email_domain else "")


def _refuse(path: "Path", problem: str) -> NoReturn:
    shown = problem if len(problem) <= _MAX_PROBLEM else f"{problem[:_MAX_PROBLEM]}…"  # it may quote a cell
    raise Failure("UsageError", f"{path.name}: {shown}", ExitCode.USAGE) from None
