"""The input of `bulk`: what a file may look like, and how an error is told."""

import codecs
import os
from pathlib import Path

import pytest

from dv_resend_cli.bulk_file import BulkRequest, read_requests
from dv_resend_cli.errors import ExitCode, Failure
from dv_resend_cli.parameters import Recipient

ADMIN, WEBMASTER = Recipient("a.test", "admin@a.test"), Recipient("b.a.test", "webmaster@a.test", "a.test")


@pytest.fixture
def read(tmp_path: Path):
    def read(content: str | bytes) -> list[BulkRequest]:
        file = tmp_path / "orders.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_requests(file)

    return read


NAMED = "order_id,domain,email,email_domain,locale\n"
PLAIN = f"{NAMED}7,a.test,admin@a.test,,de\n7,b.a.test,webmaster@a.test,a.test,de\n"


def test_columns_of_pending_orders_are_ignored(read) -> None:
    (request,) = read("order_id,name,status,age_days,reminder\n7,old.test,pending,40,stuck\n")

    assert request.to_json() == {"order_id": 7}


# Another order of columns, a blank line, a zero, spaces.
OTHER_ORDER = """email, Domain,locale,email_domain,order_id

admin@a.test,a.test,de,,007
webmaster@a.test,b.a.test,de,a.test," 7 "
"""
REPEATED = f"{PLAIN}7,A.test.,Admin@A.test,,de\n,,,\n"


@pytest.mark.parametrize(
    "content",
    [PLAIN, OTHER_ORDER.replace("\n", "\r\n"), codecs.BOM_UTF8 + REPEATED.replace("\n", "\r").encode()],
    ids=["plain", "CRLF", "BOM and CR"],
)
def test_rows_of_one_order_are_one_request(read, content: str | bytes) -> None:
    (request,) = read(content)

    assert request.key == BulkRequest(7, (ADMIN, WEBMASTER), "de").key
    assert request.to_json()["domain_approval_emails"][1] == WEBMASTER.to_json()
    assert len(request.recipients) == 2


def test_orders_without_recipients_have_none(read) -> None:
    assert read("order_id\n8\n7\n8\n") == [BulkRequest(8), BulkRequest(7)]
    assert BulkRequest(7).to_json() == {"order_id": 7}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("order_id\n", "has no orders"),
        ("domain,email\na.test,admin@a.test\n", "row 1 lacks the column order_id"),
        ("order_id;domain;email\n7;a.test;admin@a.test\n", "row 1 has an unknown column 'order_id;domain;email'"),
        ("order_id,mail\n7,admin@a.test\n", "row 1 has an unknown column 'mail'"),
        ("order_id,order_id\n7,7\n", "row 1 has the column order_id twice"),
        ("order_id\n7\n7,x\n", "row 3 has 2 cells, but the header has 1"),
        (f"{PLAIN}8", "row 4 has 1 cells, but the header has 5"),
        ("order_id\n7\n\n1.2E+08\n", "row 4, column order_id: '1.2E+08' is not"),
        ("order_id\n0\n", "row 2, column order_id: '0' is not"),
        (NAMED + ",a.test,admin@a.test,,\n", "row 2, column order_id: '' is not"),
        (NAMED + "7,a.test,,,\n", "row 2, column email: the empty cell is not"),
        (NAMED + "7,,admin@a.test,,\n", "row 2, column domain: the empty cell is not"),
        (NAMED + "7,a.test,admin,,\n", "row 2, column email: 'admin' is not"),
        (NAMED + "7,a.test,a\x1b[31m@a.test,,\n", r"row 2, column email: 'a\x1b[31m@a.test' is not"),
        (NAMED + "7,a.test,admin@a.test,test,\n", "row 2, column email_domain: 'test' is not"),
        (NAMED + "7,,,a.test,\n", "row 2, column domain: the empty cell is not"),
        (NAMED + "7,,,,german\n", "row 2, column locale: 'german' is not"),
        (NAMED + "7,,,,\n8,,,,\n7,a.test,admin@a.test,,\n", "rows 2 and 4 are of order 7, but only one of them names"),
        (NAMED + "7,,,,de\n7,,,,en\n", "rows 2 and 3 are of order 7, but their locales differ: de and en"),
        (NAMED + "7,,,,de\n7,,,,\n", "rows 2 and 3 are of order 7, but their locales differ: de and none"),
        (NAMED + "".join(f"7,a.test,u{n}@a.test,,\n" for n in range(251)), "row 252: order 7 has more than 250"),
        ('order_id\n"7\n8\n', "row 3 is not valid CSV"),
        (b"order_id\n7\n\xff\n", "row 3 is not UTF-8"),
        ("order_id\n7\n".encode("utf-16"), "row 1 is not UTF-8"),
    ],
)
def test_wrong_file_names_row_and_column_in_one_line(read, content: str | bytes, problem: str) -> None:
    with pytest.raises(Failure) as failure:
        read(content)

    assert failure.value.message.startswith(f"orders.csv: {problem}")
    assert failure.value.message.isprintable()
    assert (failure.value.name, failure.value.exit_code) == ("UsageError", ExitCode.USAGE)


@pytest.mark.parametrize("name", ["stdin", "fd/0"])
def test_input_of_the_shell_is_no_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _path: True)
    monkeypatch.setattr(Path, "is_file", lambda _path: True)  # redirected

    with pytest.raises(Failure, match=r"is not a regular file") as refused:
        read_requests(Path("/dev", name))

    assert refused.value.exit_code is ExitCode.USAGE


def test_pipe_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "orders.csv"
    os.mkfifo(pipe)

    with pytest.raises(Failure, match=r"orders\.csv: is not a regular file"):
        read_requests(pipe)
