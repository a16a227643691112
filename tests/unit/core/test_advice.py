"""What a dry run advises: which sentences, and in which order."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.advice import SENDER, advise
from dv_resend.core.orders import Order
from dv_resend.core.plan import EMAIL_VALIDATION_ENDS, NameReport, ResendPlan
from dv_resend.core.reminders import LINK_LIFE
from dv_resend.core.requests import ResendRequest
from dv_resend.errors import OrderNotEligible, RecipientNotAllowed, RecipientUnverified
from unit.fakes import resend_request

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
UNTIL = int(datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC).timestamp())
NAMED = resend_request(("example.com", "admin@example.com"))
# How the sentences begin.
VALIDATED = "Already validated, no email needed:"
FORGOTTEN = "Not validated yet, but nobody would be mailed:"
CHOOSES = "No recipients given, so DigiCert picks"
DELIVERY = f"The emails come from {SENDER}"
ENDS = "Email validation ends on 2028-03-15"
NO_MX = "There is no MX record at"
NO_ANSWER = "DNS did not answer in time for"
WAITING = "This order has been waiting for"
CHECK_IS_OFF = "The check of recipients is switched off (RECIPIENT_CHECK=off). It would say:"
DEFAULT_MAILED = "DigiCert's default recipients were already mailed about this order"
PAUSED = "Sending is switched off (SENDING=off)"

NEEDS_APPROVAL = OrderNotEligible("needs_approval", "Order 7 is waiting for an administrator's approval.")
REFUSED = RecipientNotAllowed([("x", "no.")])

type Mailed = Literal["default"] | tuple[str, ...]


def report(
    name: str = "example.com",
    mailed: Mailed = "default",
    has_mx: Mapping[str, bool | None] | None = None,
    *,
    validated: bool = False,
    scope: str = "",
    contacts_known: bool = True,
) -> NameReport:
    if validated:
        return NameReport(name, "approved", validated=True, scope=scope)
    host = name.removeprefix("*.")
    return NameReport(
        name,
        "pending",
        scope=scope,
        accepted=(f"admin@{host}",),
        mailed=mailed,
        has_mx={host: True} if has_mx is None else has_mx,
        contacts_known=contacts_known,
    )


def advice_on(
    *names: NameReport,
    request: ResendRequest | None = None,
    age: float | None = 0,
    at: datetime = NOW,
    would_be: str = "sent",
    **plan: Any,
) -> list[str]:
    """Advise on a plan, by default for an order of today, whose host has an MX record and that would be sent."""
    order = Order(7, "pending", "dv_ssl_certificate", "email", None if age is None else at - timedelta(age))
    request = request or ResendRequest(7)
    return advise(ResendPlan(request, order, names or (report(),), at.timestamp(), would_be, **plan))


def assert_sentences(advice: Sequence[str], *beginnings: str) -> None:
    """Check that the advice is exactly these sentences, of which only the beginnings are given."""
    assert [sentence[: len(start)] for sentence, start in zip(advice, beginnings, strict=False)] == [*beginnings]
    assert len(advice) == len(beginnings)


# Nothing is wrong


def test_healthy_order_needs_patience_and_named_recipients() -> None:
    advice = advice_on()

    assert_sentences(advice, CHOOSES, DELIVERY, ENDS)
    assert "spam" in advice[1]
    assert "an hour" in advice[1]


def test_named_recipients_need_not_be_named_again() -> None:
    assert_sentences(advice_on(report(mailed=("admin@example.com",)), request=NAMED), DELIVERY, ENDS)


def test_validated_names_are_listed_first() -> None:
    advice = advice_on(report(), report("done.test", validated=True), report("also.test", validated=True))

    assert_sentences(advice, f"{VALIDATED} also.test, done.test.", CHOOSES, DELIVERY, ENDS)


# What prevents a send


@pytest.mark.parametrize("reason", ["not_dv", "not_pending", "needs_approval", "not_email_dcv", "already_validated"])
@pytest.mark.parametrize("at", [NOW, datetime(2028, 6, 1, tzinfo=UTC)], ids=["before", "after the end"])
def test_ineligible_order_gets_its_reason_and_nothing_else(reason: str, at: datetime) -> None:
    refusal = OrderNotEligible(reason, "What to do instead.")

    # Not even about its age, or about hosts without an MX record.
    names = report(mailed=(), has_mx={"example.com": False})
    advice = advice_on(names, would_be="OrderNotEligible", refusal=refusal, age=34, at=at)

    assert advice == ["What to do instead."]


def test_every_refused_recipient_is_explained_first() -> None:
    refused = [(f"domain_approval_emails[{number}].email", "is wrong.") for number in range(250)]

    advice = advice_on(report(mailed=()), would_be="RecipientNotAllowed", refusal=RecipientNotAllowed(refused))

    assert_sentences(advice, *(f"{path}: is wrong." for path, _ in refused), ENDS)


def test_paused_sending_is_mentioned() -> None:
    assert_sentences(advice_on(paused=True), PAUSED, CHOOSES, DELIVERY, ENDS)


@pytest.mark.parametrize(
    ("would_be", "beginning", "essentials"),
    [
        ("duplicate", DEFAULT_MAILED, ["2026-11-24T12:34:56Z", "forced", "not even to somebody who is named"]),
        (
            "OutcomeUnknown",
            "An earlier resend may or may not have been sent",
            ["2026-11-24T12:34:56Z", "forced", "Ask the recipients"],
        ),
        ("ResendInProgress", "Emails of this order are being sent right now", ["again"]),
        ("InvalidRequest", "Too many people were mailed", ["two days", "Leave the recipients out"]),
    ],
)
def test_earlier_resend_comes_before_all_about_the_email(would_be: str, beginning: str, essentials: list[str]) -> None:
    advice = advice_on(report(has_mx={"example.com": False}), would_be=would_be, blocked_until=UNTIL, age=34)

    assert_sentences(advice, beginning, NO_MX, WAITING, CHOOSES, DELIVERY, ENDS)
    assert all(essential in advice[0] for essential in essentials)


def test_default_resend_after_a_named_one_is_to_name_the_others() -> None:
    advice = advice_on(would_be="duplicate", blocked_until=UNTIL, perhaps_mailed=True)

    assert advice[0].startswith("Somebody was already mailed about this order, perhaps not everybody. Until 2026")
    assert advice[0].endswith("Name those who are missing.")


@pytest.mark.parametrize(
    ("perhaps", "beginning"),
    [(False, "All of them were already mailed."), (True, f"{DEFAULT_MAILED}; they may include")],
)
def test_named_repeat_tells_who_was_mailed_for_sure(perhaps: bool, beginning: str) -> None:
    advice = advice_on(request=NAMED, would_be="duplicate", blocked_until=UNTIL, perhaps_mailed=perhaps)

    assert advice[0].startswith(beginning)


def test_unenforced_refusal_is_explained_for_each_recipient() -> None:
    refusal = RecipientNotAllowed([("domain_approval_emails[0].email", "is wrong."), ("x", "no.")])

    advice = advice_on(report(mailed=("admin@example.com",)), request=NAMED, unenforced_refusal=refusal, paused=True)

    assert_sentences(
        advice,
        f"{CHECK_IS_OFF} domain_approval_emails[0].email: is wrong.",
        f"{CHECK_IS_OFF} x: no.",
        PAUSED,
        DELIVERY,
        ENDS,
    )


def test_unenforced_unverified_recipient_is_explained() -> None:
    advice = advice_on(request=NAMED, unenforced_refusal=RecipientUnverified("Unknown."))

    assert advice[0] == f"{CHECK_IS_OFF} Unknown."


# Mailboxes


def test_default_addresses_without_mx_get_an_alternative() -> None:
    has_mx = {"a.b.example.com": False, "b.example.com": False, "example.com": True, "mail.test": True}

    advice = advice_on(report("*.a.b.example.com", has_mx=has_mx))

    assert_sentences(advice, f"{NO_MX} a.b.example.com, so the default addresses", CHOOSES, DELIVERY, ENDS)
    assert advice[0].endswith("Name an accepted address at example.com, mail.test instead.")


def test_name_without_any_mx_needs_a_record_or_another_method() -> None:
    names = [report(host, has_mx={host: False, "test": False}) for host in ("b.test", "a.test")]

    advice = advice_on(*names)

    assert_sentences(advice, f"{NO_MX} a.test, b.test", CHOOSES, DELIVERY, ENDS)
    assert "_validation-contactemail" in advice[0]
    assert "DCV method to dns-txt-token" in advice[0]


def test_named_addresses_without_mx_are_to_be_replaced() -> None:
    names = [
        report("a.test", ("admin@a.test", "pki@dead.test"), {"a.test": False, "dead.test": False, "ok.test": True}),
        report("b.test", ("admin@b.test",), {"b.test": True}),
        # Nobody is mailed there.
        report("c.test", (), {"c.test": False}),
    ]

    advice = advice_on(*names, request=NAMED)

    assert_sentences(advice, f"{NO_MX} a.test, dead.test, so addresses there", f"{FORGOTTEN} c.test.", DELIVERY, ENDS)


def test_named_address_with_unknown_mx_is_not_to_be_replaced() -> None:
    advice = advice_on(report("a.test", ("admin@a.test",), {"a.test": None}), request=NAMED)

    assert_sentences(advice, f"{NO_ANSWER} a.test.", DELIVERY, ENDS)


def test_unanswered_hosts_are_listed_once_after_those_without_mx() -> None:
    names = [
        report("a.test", has_mx={"a.test": None, "test": None}),
        report("b.test", has_mx={"b.test": False, "test": None}),
    ]

    advice = advice_on(*names)

    assert_sentences(advice, f"{NO_MX} b.test", f"{NO_ANSWER} a.test, test.", CHOOSES, DELIVERY, ENDS)
    assert "DNS_SERVERS" in advice[1]


def test_unanswered_contacts_are_listed_with_unanswered_hosts() -> None:
    names = [
        report("*.c.test", contacts_known=False),
        report("a.test", has_mx={"a.test": True, "test": None}),
        report("b.test"),
    ]

    advice = advice_on(*names)

    assert_sentences(advice, f"{NO_ANSWER} c.test, test. More addresses", CHOOSES, DELIVERY, ENDS)


@pytest.mark.parametrize(
    ("mailed", "has_mx"), [("default", False), ("default", None), ("named", False)], ids=["no MX", "unknown", "named"]
)
def test_hosts_are_cut_short_if_many(mailed: str, has_mx: bool | None) -> None:
    hosts = [f"n{number:02}.test" for number in range(30)]

    advice = advice_on(
        *(report(host, "default" if mailed == "default" else (f"a@{host}",), {host: has_mx}) for host in hosts),
        request=None if mailed == "default" else NAMED,
    )

    assert "n09.test …" in advice[0]
    assert "n10.test" not in advice[0]
    assert len(advice) <= 4


@pytest.mark.parametrize("name", ["www.example.com", "*.www.example.com"])
@pytest.mark.parametrize(
    ("name_has_mx", "scope_has_mx", "is_unreachable"),
    [(False, True, False), (True, False, False), (False, None, False), (None, False, False), (False, False, True)],
)
def test_name_is_unreachable_if_neither_it_nor_its_scope_has_mx(
    name: str, name_has_mx: bool | None, scope_has_mx: bool | None, is_unreachable: bool
) -> None:
    has_mx = {"www.example.com": name_has_mx, "example.com": scope_has_mx}

    advice = advice_on(report(name, has_mx=has_mx, scope="example.com"))

    warnings = [sentence for sentence in advice if sentence.startswith(NO_MX)]
    assert bool(warnings) is is_unreachable
    assert all(warning.startswith(f"{NO_MX} www.example.com, so the default") for warning in warnings)


def test_scope_that_is_no_mail_host_does_not_reach_a_name() -> None:
    advice = advice_on(report("www.example.com", has_mx={"www.example.com": False}, scope="com"))

    assert_sentences(advice, f"{NO_MX} www.example.com", CHOOSES, DELIVERY, ENDS)


@pytest.mark.parametrize("scope", ["", "www.example.com", "*.www.example.com"])
def test_parent_that_is_not_the_scope_is_only_a_remedy(scope: str) -> None:
    has_mx = {"www.example.com": False, "example.com": True}

    advice = advice_on(report("www.example.com", has_mx=has_mx, scope=scope))

    assert "the default addresses there receive no mail. Name an accepted address at example.com instead." in advice[0]


# Names about which nobody would be mailed


def test_forgotten_names_are_listed() -> None:
    names = [
        report(mailed=("admin@example.com",)),
        report("b.test", ()),
        report("*.a.test", ()),
        report("done.test", validated=True),
        # An unreadable entry is no name.
        report("unknown", ()),
    ]

    advice = advice_on(*names, request=NAMED)

    assert_sentences(advice, f"{VALIDATED} done.test.", f"{FORGOTTEN} *.a.test, b.test.", DELIVERY, ENDS)


# Age


@pytest.mark.parametrize("age", [0, 1, 24.9, 25, 25.9, None])
def test_age_of_a_young_or_undated_order_is_not_mentioned(age: float | None) -> None:
    assert_sentences(advice_on(age=age), CHOOSES, DELIVERY, ENDS)


@pytest.mark.parametrize(
    ("age", "days", "expire"), [(26, 26, "2026-11-28"), (30, 30, "2026-11-24"), (30.9, 30, "2026-11-23")]
)
def test_links_that_expire_soon_are_mentioned_with_the_day(age: float, days: int, expire: str) -> None:
    soon = f"{WAITING} {days} days. Its links may expire on {expire}:"

    assert_sentences(advice_on(age=age), soon, CHOOSES, DELIVERY, ENDS)


@pytest.mark.parametrize(("age", "days"), [(31, 31), (34, 34), (34.9, 34), (400, 400)])
def test_links_that_may_have_expired_come_with_the_other_method(age: float, days: int) -> None:
    advice = advice_on(age=age)

    assert_sentences(advice, f"{WAITING} {days} days. Its links may have expired", CHOOSES, DELIVERY, ENDS)
    assert f"they live {LINK_LIFE.days} days" in advice[0]
    assert "DCV method to dns-txt-token" in advice[0]


def test_age_does_not_matter_while_recipients_are_refused() -> None:
    assert_sentences(advice_on(would_be="RecipientNotAllowed", refusal=REFUSED, age=34), "x: no.", ENDS)


# The end of email validation


@pytest.mark.parametrize(
    ("at", "left"),
    [
        (NOW, "477 days"),
        (datetime(2028, 3, 13, 23, 59, 59, tzinfo=UTC), "2 days"),
        (datetime(2028, 3, 14, 23, 59, 59, tzinfo=UTC), "1 day"),
    ],
)
def test_days_until_the_end_of_email_validation_come_last(at: datetime, left: str) -> None:
    assert EMAIL_VALIDATION_ENDS.isoformat() == "2028-03-15"

    assert advice_on(at=at)[-1] == (
        f"Email validation ends on 2028-03-15, in {left}, for every CA. Plan the move to DNS validation."
    )


@pytest.mark.parametrize("at", [datetime(2028, 3, 15, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)])
def test_only_another_method_helps_after_the_end(at: datetime) -> None:
    advice = advice_on(report(has_mx={"example.com": False}), at=at, age=34)

    assert_sentences(advice, "Email validation ended on 2028-03-15")
    assert "DCV method to dns-txt-token" in advice[0]


def test_obstacles_are_still_mentioned_after_the_end() -> None:
    at = datetime(2028, 6, 1, tzinfo=UTC)

    advice = advice_on(at=at, would_be="RecipientNotAllowed", refusal=REFUSED, paused=True)

    assert_sentences(advice, "Email validation ended", "x: no.", PAUSED)


# Property


RECIPIENT_REFUSALS = [
    RecipientUnverified("Unknown."),
    RecipientNotAllowed([("domain_approval_emails[0].email", "is wrong."), ("domain_approval_emails[2].email", "no.")]),
]
MX = st.sampled_from([True, False, None])
NAMES = st.lists(
    st.builds(
        lambda number, mailed, own, parent, scope, **known: report(
            f"n{number}.example.com",
            mailed,
            {f"n{number}.example.com": own, "example.com": parent},
            scope=scope,
            **known,
        ),
        st.integers(0, 3),
        st.sampled_from(["default", (), ("admin@example.com",)]),
        MX,
        MX,
        st.sampled_from(["", "example.com", "com"]),
        validated=st.booleans(),
        contacts_known=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda name: name.name,
)
# In the order in which they are useful.
BEGINNINGS = [
    ("Email validation ended",),
    ("domain_approval_emails", "Order 7", "Unknown."),
    (CHECK_IS_OFF,),
    (PAUSED,),
    (
        "All of them were already",
        DEFAULT_MAILED,
        "Somebody was already",
        "An earlier resend",
        "Emails of this order",
        "Too many people",
    ),
    (NO_MX,),
    (NO_ANSWER,),
    (WAITING,),
    (VALIDATED,),
    (FORGOTTEN,),
    (CHOOSES,),
    (DELIVERY,),
    (ENDS,),
]


def rank(sentence: str) -> int:
    (found,) = [index for index, beginnings in enumerate(BEGINNINGS) if sentence.startswith(beginnings)]
    return found


@settings(deadline=None)
@given(
    names=NAMES,
    refusal=st.sampled_from([None, None, NEEDS_APPROVAL, *RECIPIENT_REFUSALS]),
    unenforced_refusal=st.sampled_from([None, None, *RECIPIENT_REFUSALS]),
    would_be=st.sampled_from(
        ["sent", "duplicate", "OutcomeUnknown", "ResendInProgress", "InvalidRequest", "SendingPaused"]
    ),
    paused=st.booleans(),
    age=st.one_of(st.none(), st.floats(-2, 500)),
    at=st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_advice_is_distinct_sentences_the_most_useful_first(
    names: list[NameReport],
    refusal: Any,
    unenforced_refusal: Any,
    would_be: str,
    paused: bool,
    age: float | None,
    at: datetime,
) -> None:
    advice = advice_on(
        *names,
        age=age,
        at=at,
        would_be=would_be if refusal is None else type(refusal).__name__,
        blocked_until=None if would_be in ("sent", "SendingPaused") or refusal is not None else UNTIL,
        refusal=refusal,
        unenforced_refusal=None if refusal is not None else unenforced_refusal,
        paused=paused,
    )

    assert len(set(advice)) == len(advice)
    assert all(sentence.endswith(".") and sentence.isprintable() and "None" not in sentence for sentence in advice)
    assert all(before <= after for before, after in pairwise(map(rank, advice))), advice
