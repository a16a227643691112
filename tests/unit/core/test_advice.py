"""What a dry run advises: which sentences, and in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dv_resend.core.advice import SENDER, advise
from dv_resend.core.orders import Order
from dv_resend.core.plan import EMAIL_VALIDATION_ENDS, NameReport, ResendPlan
from dv_resend.core.reminders import LINK_LIFE
from dv_resend.core.requests import Recipient, ResendRequest
from dv_resend.errors import OrderNotEligible, RecipientNotAllowed, RecipientUnverified

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DEFAULT = ResendRequest(7)
NAMED = ResendRequest(7, (Recipient("example.com", "admin@example.com"),))
CHOOSES = "Nobody is named: DigiCert chooses"
DELIVERY = f"The emails come from {SENDER}"
SUNSET = "Email validation ends on 2028-03-15"
DNS_METHOD = "DCV method to dns-txt-token"
NEEDS_APPROVAL = OrderNotEligible("needs_approval", "Order 7 waits for an administrator's approval.")


def name_of(
    name: str = "example.com",
    mailed: Any = "default",
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


def plan_of(
    *names: NameReport,
    request: ResendRequest = DEFAULT,
    age: float | None = 0,
    at: datetime = NOW,
    would_be: str = "sent",
    **others: Any,
) -> ResendPlan:
    anchor = None if age is None else at - timedelta(age)
    return ResendPlan(
        request,
        Order(7, "pending", "dv_ssl_certificate", "email", anchor),
        names or (name_of(),),
        at.timestamp(),
        would_be,
        **others,
    )


def said(advice: Sequence[str], *beginnings: str) -> bool:
    """Whether the advice is exactly sentences that begin so, in this order."""
    return len(advice) == len(beginnings) and all(map(str.startswith, advice, beginnings))


# Nothing is wrong


def test_a_young_order_whose_hosts_take_mail_needs_patience_and_a_named_person() -> None:
    advice = advise(plan_of())

    assert said(advice, CHOOSES, DELIVERY, SUNSET), advice
    assert "spam" in advice[1]
    assert "an hour" in advice[1]


def test_who_has_named_people_is_not_told_to() -> None:
    advice = advise(plan_of(name_of(mailed=("admin@example.com",)), request=NAMED))

    assert said(advice, DELIVERY, SUNSET), advice


def test_names_that_are_validated_already_are_said_to_need_nobody() -> None:
    advice = advise(plan_of(name_of(), name_of("done.test", validated=True), name_of("also.test", validated=True)))

    assert said(advice, "Nobody need be mailed about also.test, done.test: validated", CHOOSES, DELIVERY, SUNSET), (
        advice
    )


def test_many_validated_names_are_cut_short() -> None:
    advice = advise(plan_of(name_of(), *(name_of(f"n{number:02}.test", validated=True) for number in range(11))))

    assert "n09.test …" in advice[0]
    assert "n10.test" not in advice[0]


# What keeps anything from being sent


@pytest.mark.parametrize("reason", ["not_dv", "not_pending", "needs_approval", "not_email_dcv", "already_validated"])
def test_an_order_that_an_email_cannot_help_is_answered_with_that_alone(reason: str) -> None:
    refusal = OrderNotEligible(reason, "What to do instead.")

    # Not even the age, nor hosts without mail.
    advice = advise(plan_of(name_of(mailed=(), has_mx={}), would_be="OrderNotEligible", refusal=refusal, age=34))

    assert advice == ["What to do instead."]


def test_each_refused_address_is_explained_first() -> None:
    refusal = RecipientNotAllowed(
        [("domain_approval_emails[0].email", "is wrong."), ("domain_approval_emails[4].domain", "is unknown.")]
    )

    advice = advise(plan_of(name_of(mailed=()), would_be="RecipientNotAllowed", refusal=refusal))

    assert said(
        advice, "domain_approval_emails[0].email: is wrong.", "domain_approval_emails[4].domain: is unknown.", SUNSET
    ), advice


def test_every_one_of_many_refused_addresses_is_explained() -> None:
    refusal = RecipientNotAllowed([(f"domain_approval_emails[{number}].email", "no.") for number in range(250)])

    advice = advise(plan_of(name_of(mailed=()), would_be="RecipientNotAllowed", refusal=refusal))

    assert [sentence for sentence in advice if sentence.startswith("domain_approval_emails")] == [
        f"domain_approval_emails[{number}].email: no." for number in range(250)
    ]


def test_an_address_that_could_not_be_verified_is_explained_first_and_then_what_dns_did_not_say() -> None:
    plan = plan_of(
        name_of(mailed=(), has_mx={"example.com": None}),
        would_be="RecipientUnverified",
        refusal=RecipientUnverified("DNS did not answer."),
    )

    assert said(advise(plan), "DNS did not answer.", "DNS did not tell all in time of example.com:", SUNSET)


def test_while_sending_is_off_that_is_said() -> None:
    advice = advise(plan_of(paused=True))

    assert said(advice, "Sending is switched off (SENDING=off)", CHOOSES, DELIVERY, SUNSET), advice


def test_a_refusal_goes_before_the_stop_switch() -> None:
    advice = advise(plan_of(would_be="OrderNotEligible", refusal=NEEDS_APPROVAL, paused=True))

    assert said(advice, "Order 7 waits for an administrator's approval.", "Sending is switched off"), advice


UNTIL = int(datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("would_be", "beginning", "essentials"),
    [
        ("duplicate", "The same emails were sent already", ["2026-11-24T12:34:56Z", "forced"]),
        (
            "OutcomeUnknown",
            "An earlier resend may or may not have been sent",
            ["2026-11-24T12:34:56Z", "forced", "Ask the recipients"],
        ),
        ("ResendInProgress", "The same emails are being sent right now", ["again"]),
    ],
)
def test_an_earlier_resend_is_told_before_all_that_concerns_the_email(
    would_be: str, beginning: str, essentials: list[str]
) -> None:
    advice = advise(plan_of(name_of(has_mx={"example.com": False}), would_be=would_be, until=UNTIL, age=34))

    assert said(
        advice,
        beginning,
        "There is no MX record at example.com",
        "This order has waited for 34 days",
        CHOOSES,
        DELIVERY,
        SUNSET,
    ), advice
    assert all(essential in advice[0] for essential in essentials)


def test_an_earlier_resend_is_told_after_the_stop_switch() -> None:
    advice = advise(plan_of(would_be="duplicate", until=UNTIL, paused=True))

    assert said(advice[:2], "Sending is switched off", "The same emails were sent already"), advice


# Mailboxes


def test_default_addresses_without_mail_are_answered_with_the_parent_that_takes_some() -> None:
    has_mx = {"a.b.example.com": False, "b.example.com": False, "example.com": True, "mail.test": True}

    advice = advise(plan_of(name_of("*.a.b.example.com", has_mx=has_mx)))

    assert said(advice, "There is no MX record at a.b.example.com", CHOOSES, DELIVERY, SUNSET), advice
    assert "example.com, mail.test" in advice[0]
    assert " b.example.com" not in advice[0]


def test_a_name_without_any_mail_is_answered_with_what_to_publish_or_another_method() -> None:
    names = [name_of(host, has_mx={host: False, "test": False}) for host in ("b.test", "a.test")]

    advice = advise(plan_of(*names))

    assert said(advice, "There is no MX record at a.test, b.test", CHOOSES, DELIVERY, SUNSET), advice
    assert "_validation-contactemail" in advice[0]
    assert DNS_METHOD in advice[0]


def test_a_name_whose_parent_alone_has_no_mail_needs_no_advice() -> None:
    advice = advise(plan_of(name_of("www.example.com", has_mx={"www.example.com": True, "example.com": False})))

    assert said(advice, CHOOSES, DELIVERY, SUNSET), advice


def test_a_named_address_whose_host_takes_no_mail_is_to_be_replaced() -> None:
    names = [
        name_of("a.test", ("admin@a.test", "pki@dead.test"), {"a.test": False, "dead.test": False, "ok.test": True}),
        name_of("b.test", ("admin@b.test",), {"b.test": True}),
        # Nobody is mailed there.
        name_of("c.test", (), {"c.test": False}),
    ]

    advice = advise(plan_of(*names, request=NAMED))

    assert said(
        advice,
        "There is no MX record at a.test, dead.test: an address there",
        "Nobody would be mailed about c.test,",
        DELIVERY,
        SUNSET,
    ), advice


def test_a_named_address_whose_host_is_unknown_is_not_to_be_replaced_yet() -> None:
    advice = advise(plan_of(name_of("a.test", ("admin@a.test",), {"a.test": None}), request=NAMED))

    assert said(advice, "DNS did not tell all in time of a.test:", DELIVERY, SUNSET), advice


def test_hosts_that_dns_said_nothing_about_are_told_once_after_those_without_mail() -> None:
    names = [
        name_of("a.test", has_mx={"a.test": None, "test": None}),
        name_of("b.test", has_mx={"b.test": False, "test": None}),
    ]

    advice = advise(plan_of(*names))

    assert said(
        advice,
        "There is no MX record at b.test",
        "DNS did not tell all in time of a.test, test:",
        CHOOSES,
        DELIVERY,
        SUNSET,
    ), advice
    assert "DNS_SERVERS" in advice[1]


def test_many_hosts_are_cut_short() -> None:
    hosts = [f"n{number:02}.test" for number in range(30)]
    nowhere = advise(plan_of(*(name_of(host, has_mx={host: False}) for host in hosts)))
    unknown = advise(plan_of(*(name_of(host, has_mx={host: None}) for host in hosts)))
    named = advise(plan_of(*(name_of(host, (f"a@{host}",), {host: False}) for host in hosts), request=NAMED))

    for advice in (nowhere, unknown, named):
        assert "n09.test …" in advice[0]
        assert "n10.test" not in advice[0]
        assert len(advice) <= 4


def test_many_names_with_mail_at_their_parent_only_are_one_piece_of_advice() -> None:
    hosts = [f"n{number:03}.example.com" for number in range(250)]

    advice = advise(plan_of(*(name_of(host, has_mx={host: False, "example.com": True}) for host in hosts)))

    assert len(advice) <= 10


def test_validated_names_and_their_hosts_are_no_matter() -> None:
    done = replace(name_of("done.test", validated=True), has_mx={})

    assert said(advise(plan_of(done, name_of())), "Nobody need be mailed", CHOOSES, DELIVERY, SUNSET)


@pytest.mark.parametrize("name", ["www.example.com", "*.www.example.com"])
@pytest.mark.parametrize(
    ("at_the_name", "at_the_scope", "is_told"),
    [(False, True, False), (True, False, False), (False, None, False), (None, False, False), (False, False, True)],
)
def test_only_a_name_without_mail_at_itself_and_where_it_is_validated_is_unreachable(
    name: str, at_the_name: bool | None, at_the_scope: bool | None, is_told: bool
) -> None:
    has_mx = {"www.example.com": at_the_name, "example.com": at_the_scope}

    advice = advise(plan_of(name_of(name, has_mx=has_mx, scope="example.com")))

    alarms = [sentence for sentence in advice if "no MX record" in sentence]
    assert bool(alarms) is is_told
    assert all(sentence.startswith("There is no MX record at www.example.com: the default") for sentence in alarms)


@pytest.mark.parametrize("scope", ["", "www.example.com", "*.www.example.com"])
def test_a_parent_that_is_not_where_the_name_is_validated_is_only_a_remedy(scope: str) -> None:
    has_mx = {"www.example.com": False, "example.com": True}

    advice = advise(plan_of(name_of("www.example.com", has_mx=has_mx, scope=scope)))

    assert "the default addresses there get no mail. Name an accepted address at example.com instead." in advice[0]


def test_contacts_that_dns_did_not_tell_are_told_with_the_hosts_it_did_not() -> None:
    names = [
        name_of("*.c.test", contacts_known=False),
        name_of("a.test", has_mx={"a.test": True, "test": None}),
        name_of("b.test"),
    ]

    advice = advise(plan_of(*names))

    assert said(advice, "DNS did not tell all in time of c.test, test: more may be accepted", CHOOSES, DELIVERY, SUNSET)


# Names that would be forgotten


def test_outstanding_names_about_which_nobody_would_be_mailed_are_told() -> None:
    names = [
        name_of(mailed=("admin@example.com",)),
        name_of("b.test", ()),
        name_of("*.a.test", ()),
        name_of("done.test", validated=True),
        # An entry that nobody could read is no name.
        replace(name_of("c.test", ()), name="unknown"),
    ]

    advice = advise(plan_of(*names, request=NAMED))

    assert said(
        advice,
        "Nobody need be mailed about done.test",
        "Nobody would be mailed about *.a.test, b.test,",
        DELIVERY,
        SUNSET,
    ), advice


def test_many_forgotten_names_are_cut_short() -> None:
    names = [name_of(f"n{number:02}.test", ()) for number in range(11)]

    advice = advise(plan_of(name_of(mailed=("admin@example.com",)), *names, request=NAMED))

    assert "n09.test …, which still wait" in advice[0]
    assert "n10.test" not in advice[0]


def test_nobody_is_forgotten_when_digicert_chooses_or_when_nothing_would_be_sent() -> None:
    refusal = RecipientNotAllowed([("x", "no.")])
    refused = plan_of(name_of(mailed=()), request=NAMED, would_be="RecipientNotAllowed", refusal=refusal)

    assert said(advise(plan_of(name_of(), name_of("b.test"))), CHOOSES, DELIVERY, SUNSET)
    assert said(advise(refused), "x: no.", SUNSET)


# The check is switched off


def test_what_the_check_would_say_were_it_on_is_told_of_each_recipient() -> None:
    doubt = RecipientNotAllowed([("domain_approval_emails[0].email", "is wrong."), ("x", "no.")])

    advice = advise(plan_of(name_of(mailed=("admin@example.com",)), request=NAMED, doubt=doubt, paused=True))

    off = "The check of recipients is switched off (RECIPIENT_CHECK=off); it would say: "
    assert said(
        advice, f"{off}domain_approval_emails[0].email: is wrong.", f"{off}x: no.", "Sending is", DELIVERY, SUNSET
    ), advice


def test_that_the_check_could_not_tell_is_told_too() -> None:
    advice = advise(plan_of(request=NAMED, doubt=RecipientUnverified("DNS did not answer.")))

    assert advice[0].endswith("(RECIPIENT_CHECK=off); it would say: DNS did not answer.")


# Age


@pytest.mark.parametrize("age", [0, 1, 24.9, 25, 25.9])
def test_a_young_order_has_links_that_live(age: float) -> None:
    assert said(advise(plan_of(age=age)), CHOOSES, DELIVERY, SUNSET)


@pytest.mark.parametrize(
    ("age", "days", "expire"), [(26, 26, "2026-11-28"), (30, 30, "2026-11-24"), (30.9, 30, "2026-11-23")]
)
def test_links_that_are_about_to_expire_are_told_with_the_day(age: float, days: int, expire: str) -> None:
    advice = advise(plan_of(age=age))

    assert said(
        advice,
        f"This order has waited for {days} days: its links may expire on {expire}",
        CHOOSES,
        DELIVERY,
        SUNSET,
    ), advice


@pytest.mark.parametrize(("age", "days"), [(31, 31), (34, 34), (34.9, 34), (400, 400)])
def test_links_that_may_have_expired_are_told_with_what_is_not_known_and_the_other_method(
    age: float, days: int
) -> None:
    advice = advise(plan_of(age=age))

    assert said(
        advice, f"This order has waited for {days} days: its links may have expired", CHOOSES, DELIVERY, SUNSET
    ), advice
    assert f"{LINK_LIFE} days" in advice[0]
    assert DNS_METHOD in advice[0]


def test_an_unknown_age_is_not_talked_about() -> None:
    assert said(advise(plan_of(age=None)), CHOOSES, DELIVERY, SUNSET)


def test_hosts_without_mail_go_before_the_age() -> None:
    advice = advise(plan_of(name_of(has_mx={"example.com": False}), age=34))

    assert said(advice, "There is no MX record", "This order has waited for 34 days", CHOOSES, DELIVERY, SUNSET), advice


def test_the_age_of_an_order_is_no_matter_while_its_recipients_are_refused() -> None:
    plan = plan_of(would_be="RecipientNotAllowed", refusal=RecipientNotAllowed([("x", "no.")]), age=34)

    assert said(advise(plan), "x: no.", SUNSET)


# The end of email validation


@pytest.mark.parametrize(
    ("at", "days"),
    [
        (NOW, 477),
        (datetime(2028, 3, 13, 23, 59, 59, tzinfo=UTC), 2),
        (datetime(2028, 3, 14, 23, 59, 59, tzinfo=UTC), 1),
    ],
)
def test_before_the_end_the_days_that_are_left_are_told_last(at: datetime, days: int) -> None:
    assert EMAIL_VALIDATION_ENDS.isoformat() == "2028-03-15"

    assert advise(plan_of(at=at))[-1] == (
        f"Email validation ends on 2028-03-15, in {days} days, for every CA: plan the move to DNS."
    )


@pytest.mark.parametrize("at", [datetime(2028, 3, 15, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)])
def test_from_the_end_on_only_the_other_method_helps_and_that_is_told_first(at: datetime) -> None:
    advice = advise(plan_of(name_of(has_mx={"example.com": False}), at=at, age=34))

    assert said(advice, "Email validation ended on 2028-03-15"), advice
    assert DNS_METHOD in advice[0]


def test_after_the_end_what_keeps_an_email_from_being_sent_is_still_told() -> None:
    plan = plan_of(
        at=datetime(2028, 6, 1, tzinfo=UTC),
        would_be="RecipientNotAllowed",
        refusal=RecipientNotAllowed([("x", "no.")]),
        paused=True,
    )

    assert said(advise(plan), "Email validation ended", "x: no.", "Sending is switched off")


@pytest.mark.parametrize("reason", ["not_dv", "not_pending", "needs_approval", "not_email_dcv", "already_validated"])
def test_after_the_end_an_order_that_an_email_cannot_help_is_answered_with_that_first(reason: str) -> None:
    plan = plan_of(
        at=datetime(2028, 6, 1, tzinfo=UTC),
        would_be="OrderNotEligible",
        refusal=OrderNotEligible(reason, "What to do instead."),
    )

    assert advise(plan)[0] == "What to do instead."


# Whatever the plan


DOUBTS = [
    RecipientUnverified("DNS did not answer."),
    RecipientNotAllowed([("domain_approval_emails[0].email", "is wrong."), ("domain_approval_emails[2].email", "no.")]),
]
REFUSALS = st.sampled_from([None, None, NEEDS_APPROVAL, *DOUBTS])
MX = st.sampled_from([True, False, None])
NAMES = st.lists(
    st.builds(
        lambda number, mailed, own, parent, scope, **known: name_of(
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


@settings(deadline=None)
@given(
    NAMES,
    REFUSALS,
    st.sampled_from([None, None, *DOUBTS]),
    st.sampled_from(["sent", "duplicate", "OutcomeUnknown", "ResendInProgress", "SendingPaused"]),
    st.booleans(),
    st.one_of(st.none(), st.floats(-2, 500)),
    st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_advice_is_plain_sentences_each_said_once_and_the_most_useful_first(
    names: list[NameReport],
    refusal: Any,
    doubt: Any,
    would_be: str,
    paused: bool,
    age: float | None,
    at: datetime,
) -> None:
    plan = plan_of(
        *names,
        age=age,
        at=at,
        would_be=would_be if refusal is None else type(refusal).__name__,
        until=None if would_be in ("sent", "SendingPaused") or refusal is not None else UNTIL,
        refusal=refusal,
        doubt=None if refusal is not None else doubt,
        paused=paused,
    )

    advice = advise(plan)

    assert len(set(advice)) == len(advice)
    assert all(sentence.endswith(".") and sentence.isprintable() and "None" not in sentence for sentence in advice)
    ranked = [_rank(sentence) for sentence in advice]
    assert all(before <= after for before, after in pairwise(ranked)), advice


# In the order in which they are useful.
_BEGINNINGS = [
    ("Email validation ended",),
    ("domain_approval_emails", "Order 7", "DNS did not answer"),
    ("The check of recipients is switched off",),
    ("Sending is switched off",),
    ("The same emails", "An earlier resend"),
    ("There is no MX",),
    ("DNS did not tell all",),
    ("This order has waited",),
    ("Nobody need be mailed",),
    ("Nobody would be mailed",),
    ("Nobody is named",),
    ("The emails come from",),
    ("Email validation ends",),
]


def _rank(sentence: str) -> int:
    (rank,) = [rank for rank, beginnings in enumerate(_BEGINNINGS) if sentence.startswith(beginnings)]
    return rank
