"""`resend`, `explain`, `status` and `pending`."""

import json
from typing import Any

import pytest

from cli.conftest import CALLER, OUTPUTS, FakeAws, Run

SENT = {"order_id": 7, "outcome": "sent", "recipients": "default", "skipped": [], "sent_at": "2026-11-23T15:04:05Z"}
PENDING: dict[str, Any] = {
    "orders": [
        {"order_id": 7, "name": "old.test", "status": "pending", "age_days": 40, "reminder": "stuck"},
        {"order_id": 8, "name": "new.test", "status": "reissue_pending", "age_days": None, "reminder": "day 3"},
    ],
    "more": 0,
    "other_products": 12,
    "complete": True,
}
CSV = "order_id,name,status,age_days,reminder\n7,old.test,pending,40,stuck\n8,new.test,reissue_pending,,day 3\n"


def test_resend_sends_what_the_options_name(aws: FakeAws, run: Run) -> None:
    aws.function_returns(SENT)

    run("resend", 7, "--to", "a.test=admin@a.test", "--to", "b.a.test=x=y@a.test:a.test", "--locale", "de", "--force")

    assert aws.events == [
        {
            "order_id": 7,
            "dry_run": False,
            "force": True,
            "domain_approval_emails": [
                {"domain": "a.test", "email": "admin@a.test"},
                {"domain": "b.a.test", "email": "x=y@a.test", "email_domain": "a.test"},
            ],
            "locale": "de",
            "requested_by": CALLER,
        }
    ]
    (invoked,) = [arguments["FunctionName"] for _, name, arguments in aws.calls if name == "invoke"]
    assert invoked == OUTPUTS["FunctionAliasArn"]


def test_resend_says_who_was_mailed_and_who_was_skipped(aws: FakeAws, run: Run) -> None:
    skipped = [{"domain": "b.test", "email": "admin@b.test", "reason": "validated"}]
    aws.function_returns(SENT | {"recipients": ["admin@a.test"], "skipped": skipped})

    result = run("resend", 7)

    assert result.stdout.splitlines() == [
        "Order 7: sent at 2026-11-23T15:04:05Z",
        "Mailed: admin@a.test",
        "Skipped: admin@b.test about b.test: the name is already validated",
    ]


REFUSED = (
    'domain_approval_emails[1].email: admin@a.test is at a parent of b.a.test: add "email_domain": "a.test". '
    "domain_approval_emails[2].email_domain: admin@c.test is at c.test itself: leave email_domain out."
)


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=str)
def test_refusal_is_about_options(aws: FakeAws, run: Run, options: list[str]) -> None:
    aws.function_fails("RecipientNotAllowed", REFUSED)
    if options:
        order = {"kind": "", "status": "pending", "dcv_method": None, "waiting_since": None}
        aws.function_returns(SENT | {"would_be": "sent", "order": order, "names": [], "advice": [REFUSED]})

    named = ["x.test=a@x.test", "b.a.test=admin@a.test", "c.test=admin@c.test:test.c"]
    result = run("resend", 7, *options, *(part for option in named for part in ("--to", option)))

    assert (
        "--to b.a.test=admin@a.test: admin@a.test is at a parent of b.a.test: say --to b.a.test=admin@a.test:a.test. "
        "--to c.test=admin@c.test:test.c: admin@c.test is at c.test itself: say --to c.test=admin@c.test."
    ) in result.output


@pytest.mark.parametrize(
    ("options", "exit_code", "advice"),
    [([], 0, "add --force"), (["--force"], 3, "Three forced calls inside a cool-down are sent")],
)
def test_duplicate_in_spite_of_force_is_an_error(
    aws: FakeAws, run: Run, options: list[str], exit_code: int, advice: str
) -> None:
    aws.function_returns(SENT | {"outcome": "duplicate"})

    result = run("resend", 7, *options)

    assert "duplicate, nobody was mailed" in result.stdout
    assert advice in result.stdout.splitlines()[-1]
    assert result.exit_code == exit_code


@pytest.mark.parametrize(
    ("recipients", "line"),
    [
        (
            "default",
            "Mailed at 2026-11-23T15:04:05Z: DigiCert's default recipients, or somebody by name who may be one of",
        ),
        (
            ["a@b.test"],
            "Mailed at 2026-11-23T15:04:05Z or before: a@b.test, or DigiCert's default recipients, who",
        ),
    ],
)
def test_duplicate_claims_no_more_than_is_known(aws: FakeAws, run: Run, recipients: Any, line: str) -> None:
    aws.function_returns(SENT | {"outcome": "duplicate", "recipients": recipients})

    assert run("resend", 7).stdout.splitlines()[1].startswith(line)


@pytest.mark.parametrize("command", [["explain", 7], ["resend", 7, "--dry-run"]])
def test_dry_run_is_readable(aws: FakeAws, run: Run, command: list[object]) -> None:
    name = {
        "name": "b.a.test",
        "status": "pending",
        "accepted": ["admin@b.a.test"],
        "accepted_at_parents": [{"email": "admin@a.test", "email_domain": "a.test"}],
        "mailed": "default",
        "mx": {"b.a.test": False, "a.test": True},
    }
    order = {"status": "pending", "kind": "dv_ssl_certificate", "dcv_method": "email", "age_days": 2}
    order |= {"waiting_since": "2026-11-22T11:29:52Z", "links_expire": "2026-12-22"}
    aws.function_returns(
        SENT
        | {"outcome": "planned", "would_be": "duplicate", "until": "2026-11-24T13:55:55Z", "order": order}
        | {"names": [name], "more_names": 3, "advice": ["Check the spam folder."], "paused": True}
    )

    result = run(*command)

    assert aws.events[0]["dry_run"] is True
    assert result.stdout.splitlines() == [
        "Order 7: dv_ssl_certificate, pending, validated by email",
        "Waiting since 2026-11-22T11:29:52Z (2 d); the links of its first emails expire on 2026-12-22",
        "A resend now would be: duplicate, until 2026-11-24T13:55:55Z; but sending is switched off",
        "",
        "b.a.test (pending)",
        "  accepted: admin@b.a.test",
        "  accepted with email domain a.test: admin@a.test",
        "  b.a.test has no MX record, so it receives no mail",
        "  would be mailed: nobody now, later DigiCert's default recipients",
        "and 3 more names",
        "",
        "Advice",
        "  Check the spam folder.",
    ]


@pytest.mark.parametrize(
    ("order", "line"),
    [
        ({"age_days": 29}, "Waiting since then (29 d); the links of its first emails expire on a day"),
        ({"age_days": 30}, "Waiting since then (30 d); the links of its first emails expired on a day"),
        ({"age_days": 30, "status": "issued"}, "A resend now would be: sent"),
    ],
)
def test_dry_run_tells_the_age_of_an_order_that_waits(
    aws: FakeAws, run: Run, order: dict[str, object], line: str
) -> None:
    facts = {"status": "pending", "kind": None, "dcv_method": None, "waiting_since": "then", "links_expire": "a day"}
    aws.function_returns(SENT | {"would_be": "sent", "order": facts | order, "names": [], "advice": []})

    assert run("explain", 7).stdout.splitlines()[1] == line


def test_pending_orders_are_a_table(aws: FakeAws, run: Run) -> None:
    aws.function_returns(PENDING)

    result = run("pending")

    assert aws.events == [{"action": "pending"}]
    assert result.stdout.splitlines() == [
        "ORDER  NAME      STATUS           AGE   REMINDER",
        "7      old.test  pending          40 d  stuck",
        "8      new.test  reissue_pending  -     day 3",
        "2 orders; not listed: 12 of other products",
    ]
    assert result.stderr == ""


def test_pending_orders_are_csv_for_a_spreadsheet(aws: FakeAws, run: Run) -> None:
    aws.function_returns(PENDING)

    assert run("pending", "--csv").stdout == CSV


def test_names_in_csv_are_no_formulas(aws: FakeAws, run: Run) -> None:
    order = PENDING["orders"][0] | {"name": '=HYPERLINK("x")\x1b]0;x'}
    aws.function_returns(PENDING | {"orders": [order]})

    line = run("pending", "--csv").stdout.splitlines()[1]

    assert line == '7,"\'=HYPERLINK(""x"")?]0;x",pending,40,stuck'


def test_stuck_orders_alone_are_listed(aws: FakeAws, run: Run) -> None:
    aws.function_returns(PENDING)

    answer = json.loads(run("pending", "--stuck", "--json").stdout)

    assert answer == PENDING | {"orders": PENDING["orders"][:1]}


@pytest.mark.parametrize(
    ("cut", "note", "exit_code"),
    [({"complete": False}, "The list is incomplete", 4), ({"more": 3}, "3 more pending orders are not in it", 0)],
)
def test_list_that_is_not_whole_says_so(aws: FakeAws, run: Run, cut: dict[str, Any], note: str, exit_code: int) -> None:
    aws.function_returns(PENDING | cut)

    result = run("pending", "--csv")

    assert result.stdout == CSV
    assert note in result.stderr
    assert result.exit_code == exit_code
