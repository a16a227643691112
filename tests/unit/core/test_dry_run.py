"""The use case of a dry run: it tells what a Resender would do, and why an email may not help, and does nothing."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import TABLE, create_claims_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from dev.emulator.nameserver import NameServer, Zone
from dv_resend.adapters import dns_contacts
from dv_resend.adapters.claims_table import ClaimsTable
from dv_resend.adapters.dns_contacts import DnsContacts
from dv_resend.core.addresses import constructed_addresses, without_wildcard
from dv_resend.core.claims import HeldClaim
from dv_resend.core.dry_run import DryRun
from dv_resend.core.orders import NameStatus, Order
from dv_resend.core.plan import MAX_NAMES, ResendPlan
from dv_resend.core.requests import Invocation, ResendRequest
from dv_resend.core.resend import Resender, ResendResult
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ClaimsUnavailable,
    OrderNotFound,
    RateLimited,
    RecipientNotAllowed,
    ResendError,
    SendingPaused,
)
from unit.fakes import CertCentral

NOW = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp())
COOL_DOWN = 3600
DV = "dv_ssl_certificate"
CONTACT_LABEL = "_validation-contactemail"


def order(
    status: str | None = "pending",
    kind: str | None = DV,
    method: str | None = "email",
    age: Any = 1,
    names: Sequence[str] = (),
) -> Order:
    anchor = None if age is None else datetime.fromtimestamp(NOW, UTC) - timedelta(age)
    return Order(7, status, kind, method, anchor, tuple(names))


def pending(*names: str, status: str = "pending") -> tuple[NameStatus, ...]:
    """Names that are validated one by one."""
    return tuple(NameStatus(name.removeprefix("*."), status, (name,)) for name in names)


HALF_DONE = pending("example.com", status="approved") + pending("example.org")


class Table:
    """The claims table's client, whose calls stand in the same journal."""

    def __init__(self, client: Any, journal: list[Any]) -> None:
        self._client = client
        self._journal = journal
        self.exceptions = client.exceptions
        self.is_down = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self._journal.append((name,))
            if self.is_down:
                raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "x"}}, name)
            return getattr(self._client, name)(**arguments)

        return call


class Stage:
    """Everything that both use cases are handed, and both of them."""

    def __init__(self, client: Any, server: NameServer) -> None:
        self.journal: list[Any] = []
        self.certcentral = CertCentral(self.journal)
        self.certcentral.order = order()
        self.certcentral.domains = pending("example.com")
        self.table = Table(client, self.journal)
        self.claims: Any = ClaimsTable(TABLE, COOL_DOWN, self.table)
        self.zone = server.zone
        self.server = server
        self.zone.clear()
        self.server.clear_queries()
        for item in client.scan(TableName=TABLE)["Items"]:
            client.delete_item(TableName=TABLE, Key={"id": item["id"]})

    def dns(self) -> DnsContacts:
        self.journal.append(("dns",))
        host, _, port = self.server.address.rpartition(":")
        return DnsContacts(((host, int(port)),))

    def _run(self, use_case: Callable[..., Any], fields: Mapping[str, Any], **options: Any) -> Any:
        at = options.get("at", NOW)

        def before_send(_request: ResendRequest) -> None:
            self.journal.append(("before_send",))

        return use_case(
            ResendRequest.from_input({"order_id": 7, **fields}),
            Invocation(at + 29, options.get("delivery_id", "call-2"), before_send),
            certcentral=self.certcentral,
            claims=self.claims,
            dns=self.dns,
            check_recipients=options.get("check_recipients", True),
            sending=options.get("sending", True),
            clock=lambda: at,
        )

    def DryRun(self, *recipients: tuple[str, ...], fields: Any = None, **options: Any) -> ResendPlan:
        """Run a dry run, whose answer must be JSON."""
        plan: ResendPlan = self._run(DryRun, asking(recipients) | (fields or {}) | {"dry_run": True}, **options)
        json.dumps(plan.to_json())
        return plan

    def Resender(self, *recipients: tuple[str, ...], fields: Any = None, **options: Any) -> ResendResult:
        result: ResendResult = self._run(Resender, asking(recipients) | (fields or {}), **options)
        return result

    def leave(self, state: str | None, *recipients: tuple[str, ...], forced_by: str | None = None) -> None:
        """Leave the claim of an earlier call, made ten seconds ago, as it may stand in the table."""
        if state is None:
            return
        key = ResendRequest.from_input({"order_id": 7, **asking(recipients)}).claim_key
        ago = COOL_DOWN if state == "expired" else 10
        claim = self.claims.acquire(key, now=NOW - ago, deadline=NOW - ago + 29, force_id=forced_by)
        assert isinstance(claim, HeldClaim)
        if state in {"sent", "expired"}:
            self.claims.record_sent(claim, NOW - ago)
        if state == "unknown":
            self.claims.record_unknown(claim)

    @property
    def did(self) -> list[str]:
        return [entry[0] for entry in self.journal]

    @property
    def puts(self) -> list[Any]:
        return [entry[2] for entry in self.journal if entry[0] == "PUT"]


def asking(recipients: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    items = [dict(zip(("domain", "email", "email_domain"), recipient, strict=False)) for recipient in recipients]
    return {"domain_approval_emails": items} if items else {}


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb")
        create_claims_table(client)
        yield client


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with NameServer(Zone()) as running:
        yield running


@pytest.fixture
def stage(dynamodb: Any, server: NameServer) -> Stage:
    return Stage(dynamodb, server)


@pytest.fixture
def dns_is_away(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    """No question of DNS is answered: the server that is asked is somewhere where there is none."""
    monkeypatch.setattr(dns_contacts, "LOOKUP_SECONDS", 0.2)
    monkeypatch.setattr(stage, "dns", lambda: DnsContacts((("127.0.0.1", 1),)))


def report(plan: ResendPlan, name: str = "example.com") -> dict[str, Any]:
    """What the answer says of one name."""
    names: Any = plan.to_json()["names"]
    (found,) = [entry for entry in names if entry["name"] == name]
    return dict(found)


# What is done


def test_a_dry_run_reads_the_order_and_the_claim_and_does_nothing_else(stage: Stage) -> None:
    stage.explain()

    assert stage.did == ["GET validation", "GET order", "dns", "get_item"]
    assert stage.journal[:2] == [("GET validation", 7, NOW + 29), ("GET order", 7, NOW + 29)]


@pytest.mark.parametrize("left", [None, "sent", "unknown", "killed"])
@pytest.mark.parametrize("force", [False, True])
def test_a_dry_run_changes_nothing_and_sends_nothing(stage: Stage, left: str | None, force: bool) -> None:
    entry = ("example.com", "admin@example.com")
    stage.leave(left, entry)
    before = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
    stage.journal.clear()

    first = stage.explain(entry, fields={"force": force})
    again = stage.explain(entry, fields={"force": force})

    assert set(stage.did) == {"GET validation", "GET order", "dns", "get_item"}
    assert boto3.client("dynamodb").scan(TableName=TABLE)["Items"] == before
    assert first.to_json() == again.to_json()


@pytest.mark.parametrize(
    "error", [OrderNotFound("x"), RateLimited("x"), CertCentralUnavailable("x"), ApiKeyRejected("x")], ids=ascii
)
@pytest.mark.parametrize("call", ["on_order", "on_validation"])
def test_what_keeps_the_order_from_being_read_is_raised(stage: Stage, call: str, error: Exception) -> None:
    setattr(stage.certcentral, call, error)

    with pytest.raises(type(error)) as caught:
        stage.explain()

    assert caught.value is error
    assert "dns" not in stage.did


def test_what_keeps_the_claim_from_being_read_is_raised(stage: Stage) -> None:
    stage.table.is_down = True

    with pytest.raises(ClaimsUnavailable):
        stage.explain()


# Orders that an email cannot help


@pytest.mark.parametrize(
    ("kind", "status", "method", "reason", "essentials"),
    [
        ("ssl_certificate", "pending", "email", "not_dv", "PUT /services/v2/domain/{domain_id}/dcv/emails"),
        ("ev_ssl_certificate", "pending", "email", "not_dv", "ev_ssl_certificate"),
        ("ssl_certificate", "reissue_pending", "dns-txt-token", "not_dv", "one by one"),
        ("ev_ssl_certificate", "issued", "http-token", "not_dv", "one by one"),
        ("ssl_certificate", "needs_approval", "email", "not_dv", "one by one"),
        (None, "pending", "email", "not_dv", "unknown"),
        (DV, "needs_approval", "email", "needs_approval", "Approve it in CertCentral"),
        (DV, "needs_approval", "dns-txt-token", "needs_approval", "Approve it in CertCentral"),
        (DV, "issued", "email", "not_pending", "is issued"),
        (DV, "canceled", "email", "not_pending", "is canceled"),
        (DV, "rejected", "email", "not_pending", "is rejected"),
        (DV, "expired", "email", "not_pending", "is expired"),
        (DV, "revoked", "email", "not_pending", "is revoked"),
        (DV, "processing", "email", "not_pending", "is processing"),
        (DV, "waiting_pickup", "email", "not_pending", "is waiting_pickup"),
        (DV, "under_review", "email", "not_pending", "is under_review"),
        (DV, None, "email", "not_pending", "of unknown status"),
        (DV, "issued", "http-token", "not_pending", "is issued"),
        (DV, "pending", "dns-txt-token", "not_email_dcv", "by dns-txt-token"),
        (DV, "pending", "dns-cname-token", "not_email_dcv", "by dns-cname-token"),
        (DV, "pending", "http-token", "not_email_dcv", "by http-token"),
        (DV, "reissue_pending", "http-token", "not_email_dcv", "by http-token"),
        (DV, "pending", None, "not_email_dcv", "an unknown method"),
    ],
)
@pytest.mark.parametrize("recipients", [(), (("example.com", "jane@nowhere.test"),)], ids=["default", "named"])
def test_an_order_that_an_email_cannot_help_is_explained_and_nothing_more_is_asked(
    stage: Stage, kind: Any, status: Any, method: Any, reason: str, essentials: str, recipients: Any
) -> None:
    stage.certcentral.order = order(status, kind, method)

    plan = stage.explain(*recipients)
    answer = plan.to_json()

    assert (answer["would_be"], answer["code"]) == ("OrderNotEligible", f"order_not_eligible|{reason}")
    advice: Any = answer["advice"]
    assert len(advice) == 1
    assert advice[0].startswith("Order 7 ")
    assert essentials in advice[0]
    assert answer["order"] == {
        "status": status,
        "kind": kind,
        "dcv_method": method,
        "waiting_since": "2026-11-23T12:00:00Z",
        "age_days": 1,
        "links_expire": "2026-12-23",
    }
    assert answer["names"] == [
        {"name": "example.com", "status": "pending", "accepted": [], "mailed": [], "mx": {}},
    ]
    assert answer.keys().isdisjoint({"upstream_body", "until", "paused"})
    assert stage.did == ["GET validation", "GET order"]
    assert stage.server.queries == []


@pytest.mark.parametrize("status", ["pending", "reissue_pending"])
@pytest.mark.parametrize("kind", [DV, "DV_SSL_Certificate"])
def test_a_pending_dv_order_or_reissue_would_be_sent(stage: Stage, status: str, kind: str) -> None:
    stage.certcentral.order = order(status, kind)

    answer = stage.explain().to_json()

    assert answer["would_be"] == "sent"
    assert answer["upstream_body"] == {}
    assert answer["recipients"] == "default"
    assert "code" not in answer


# How far the names are


def test_when_all_names_are_validated_no_email_is_needed(stage: Stage) -> None:
    stage.certcentral.domains = pending("example.com", "example.org", status="approved")

    answer = stage.explain(("example.com", "jane@nowhere.test")).to_json()

    assert (answer["would_be"], answer["code"]) == ("OrderNotEligible", "order_not_eligible|already_validated")
    advice: Any = answer["advice"]
    assert len(advice) == 1
    assert advice[0].startswith("All names of order 7 are validated already")
    assert [name["status"] for name in answer["names"]] == ["approved", "approved"]
    assert "upstream_body" not in answer
    assert stage.server.queries == []


def test_when_the_named_names_are_validated_but_others_are_not_that_is_told(stage: Stage) -> None:
    stage.certcentral.domains = pending("example.com", status="Approved") + pending("example.org")

    answer = stage.explain(("example.com", "admin@example.com")).to_json()

    assert (answer["would_be"], answer["code"]) == ("OrderNotEligible", "order_not_eligible|already_validated")
    assert "still waits for example.org:" in answer["advice"][0]
    assert answer["recipients"] == ["admin@example.com"]


def test_a_named_name_that_is_validated_is_skipped(stage: Stage) -> None:
    stage.certcentral.domains = HALF_DONE
    stage.zone.set("example.org", "MX", ["10 mail.example.org."])

    plan = stage.explain(("example.com", "jane@nowhere.test"), ("example.org", "admin@example.org"))

    answer = plan.to_json()
    assert answer["would_be"] == "sent"
    assert answer["recipients"] == ["admin@example.org"]
    assert answer["upstream_body"] == asking([("example.org", "admin@example.org")])
    assert report(plan, "example.com") == {
        "name": "example.com",
        "status": "approved",
        "accepted": [],
        "mailed": [],
        "mx": {},
    }
    assert report(plan, "example.org")["mailed"] == ["admin@example.org"]
    assert "example.com: validated already" in answer["advice"][0]
    assert not [query for query in stage.server.queries if query.name.endswith("example.com")]


def test_a_recipient_that_is_refused_keeps_its_place_although_one_before_it_is_skipped(stage: Stage) -> None:
    stage.certcentral.domains = HALF_DONE

    plan = stage.explain(("example.com", "jane@nowhere.test"), ("example.org", "jane@nowhere.test"))

    assert plan.to_json()["code"] == "recipient_not_allowed|domain_approval_emails[1].email"


def test_a_default_dry_run_reports_only_on_names_that_are_left(stage: Stage) -> None:
    stage.certcentral.domains = (
        NameStatus("example.com", "approved", ("example.com", "www.example.com")),
        NameStatus("example.org", "pending", ("www.example.org",)),
    )

    plan = stage.explain()

    assert [(name.name, name.status, name.mailed) for name in plan.names] == [
        ("example.com", "approved", ()),
        ("www.example.com", "approved", ()),
        ("www.example.org", "pending", "default"),
    ]
    assert not [query for query in stage.server.queries if query.name.endswith("example.com")]


@pytest.mark.parametrize("status", ["pending", "processing", "unknown", "rejected"])
def test_any_status_but_approved_is_left_to_validate(stage: Stage, status: str) -> None:
    stage.certcentral.domains = pending("example.com", status=status)

    plan = stage.explain()

    assert plan.would_be == "sent"
    assert report(plan)["status"] == status
    assert report(plan)["mailed"] == "default"


def test_an_order_whose_names_are_not_told_is_still_explained_and_nobody_who_is_named_is_mailed(stage: Stage) -> None:
    stage.certcentral.domains = ()

    default = stage.explain().to_json()
    named = stage.explain(("example.com", "admin@example.com")).to_json()

    assert (default["would_be"], default["names"], default["upstream_body"]) == ("sent", [], {})
    assert (named["would_be"], named["names"], named["code"]) == ("RecipientUnverified", [], "recipient_unverified")
    assert named["advice"][0].startswith("CertCentral does not say which names order 7 has")
    assert "upstream_body" not in named


@pytest.mark.parametrize(
    "told",
    [(), (NameStatus("", "pending"),), pending("example.org", status="approved")],
    ids=["no rows", "unreadable", "partly"],
)
def test_a_name_that_only_the_order_tells_is_reported_as_waiting(stage: Stage, told: Any) -> None:
    stage.certcentral.domains = told
    names = [*(name for row in told for name in row.names), "*.example.com"]
    stage.certcentral.order = order(names=names)

    plan = stage.explain(("example.com", "admin@example.com"))
    refused = stage.explain(("exmaple.com", "admin@exmaple.com"))

    assert [name.name for name in plan.names] == names
    assert report(plan, "*.example.com") | {"mx": 0} == {
        "name": "*.example.com",
        "status": "unknown",
        "accepted": constructed_addresses("example.com"),
        "mailed": ["admin@example.com"],
        "mx": 0,
    }
    assert plan.would_be == "sent"
    assert refused.to_json()["code"] == "recipient_not_allowed|domain_approval_emails[0].domain"


def test_names_in_one_scope_that_have_come_differently_far_are_told_apart(stage: Stage) -> None:
    stage.certcentral.domains = (
        NameStatus("a.test", "approved", ("a.test",)),
        NameStatus("a.test", "pending", ("www.a.test",)),
    )

    plan = stage.explain(("a.test", "admin@a.test"), ("www.a.test", "admin@www.a.test"))

    assert [(name.name, name.validated, name.scope) for name in plan.names] == [
        ("a.test", True, "a.test"),
        ("www.a.test", False, "a.test"),
    ]
    assert plan.to_json()["recipients"] == ["admin@www.a.test"]
    assert report(plan, "www.a.test")["mailed"] == ["admin@www.a.test"]
    assert stage.explain(("a.test", "admin@a.test")).would_be == "OrderNotEligible"


def test_a_name_that_several_entries_list_waits_until_all_of_them_are_approved(stage: Stage) -> None:
    stage.certcentral.domains = (
        NameStatus("a.test", "approved", ("a.test",)),
        NameStatus("a.test", "pending", ("*.a.test",)),
    )

    plan = stage.explain()

    # Both are validated at the same place, by the same email.
    assert [(name.name, name.status, name.mailed) for name in plan.names] == [
        ("a.test", "approved", "default"),
        ("*.a.test", "pending", "default"),
    ]
    assert not [said for said in plan.to_json()["advice"] if said.startswith("Nobody need be mailed")]


def test_an_approval_that_is_over_is_left_to_validate(stage: Stage) -> None:
    stage.certcentral.domains = (NameStatus("example.com", "approved", ("example.com",), expired=True),)

    plan = stage.explain()

    assert plan.would_be == "sent"
    assert (report(plan)["status"], report(plan)["mailed"]) == ("approved", "default")
    assert stage.explain(("example.com", "admin@example.com")).to_json()["recipients"] == ["admin@example.com"]


def test_outstanding_names_that_are_not_named_are_told(stage: Stage) -> None:
    stage.certcentral.domains = pending("a.test", "*.b.test", "c.test") + pending("d.test", status="approved")

    plan = stage.explain(("a.test", "admin@a.test"))

    assert plan.would_be == "sent"
    (told,) = [said for said in plan.to_json()["advice"] if said.startswith("Nobody would be mailed about")]
    assert told.startswith("Nobody would be mailed about *.b.test, c.test, which still wait")
    for none in (stage.explain(), stage.explain(*((name, f"admin@{name}") for name in ("a.test", "b.test", "c.test")))):
        assert not [said for said in none.to_json()["advice"] if said.startswith("Nobody would be mailed")]


def test_a_name_that_nobody_can_read_is_reported_as_unknown(stage: Stage) -> None:
    stage.certcentral.domains = (NameStatus("", "pending"), *pending("example.com"))

    plan = stage.explain()

    assert plan.would_be == "sent"
    assert stage.explain(("example.com", "admin@example.com")).would_be == "RecipientUnverified"
    assert report(plan, "unknown") == {"name": "unknown", "status": "pending", "accepted": [], "mailed": [], "mx": {}}
    assert report(plan)["accepted"] == constructed_addresses("example.com")
    assert not [query for query in stage.server.queries if "unknown" in query.name]


def test_a_scope_without_names_is_reported_as_a_name(stage: Stage) -> None:
    stage.certcentral.domains = (NameStatus("example.com", "pending"),)

    assert report(stage.explain())["accepted"] == constructed_addresses("example.com")


# Who is accepted, and who mailed


def test_accepted_are_the_constructed_addresses_of_the_name_and_of_its_parents_and_the_contacts(stage: Stage) -> None:
    stage.certcentral.domains = pending("*.a.example.co.uk", "b.test")
    stage.zone.set(f"{CONTACT_LABEL}.a.example.co.uk", "TXT", ['"pki@mail.test"'])
    stage.zone.set("example.co.uk", "CAA", ['0 contactemail "it@mail.test"', '0 contactemail "pki@mail.test"'])

    plan = stage.explain()

    accepted = report(plan, "*.a.example.co.uk")["accepted"]
    assert accepted[:10] == [*constructed_addresses("a.example.co.uk"), *constructed_addresses("example.co.uk")]
    assert sorted(accepted[10:]) == ["it@mail.test", "pki@mail.test"]
    assert report(plan, "b.test")["accepted"] == constructed_addresses("b.test")


def test_mailed_are_the_named_addresses_by_name_with_or_without_a_star(stage: Stage) -> None:
    stage.certcentral.domains = pending("*.example.com", "example.com", "example.org", "example.net")

    plan = stage.explain(
        ("example.com", "admin@example.com"),
        ("*.example.com", "webmaster@example.com"),
        ("example.org", "Hostmaster@example.org"),
    )

    assert report(plan, "*.example.com")["mailed"] == ["admin@example.com", "webmaster@example.com"]
    assert report(plan, "example.com")["mailed"] == ["admin@example.com", "webmaster@example.com"]
    assert report(plan, "example.org")["mailed"] == ["Hostmaster@example.org"]
    assert report(plan, "example.net")["mailed"] == []


def test_a_wildcard_in_a_wider_scope_is_mailed_about_by_either_spelling(stage: Stage) -> None:
    stage.certcentral.domains = (NameStatus("example.com", "pending", ("*.shop.example.com",)),)

    plan = stage.explain(
        ("*.shop.example.com", "admin@shop.example.com"), ("shop.example.com", "webmaster@shop.example.com")
    )

    assert report(plan, "*.shop.example.com")["mailed"] == ["admin@shop.example.com", "webmaster@shop.example.com"]


def test_the_named_addresses_and_the_body_are_what_would_be_sent(stage: Stage) -> None:
    stage.certcentral.domains = pending("www.example.com")
    stage.zone.set(f"{CONTACT_LABEL}.www.example.com", "TXT", ['"jane@mail.test"'])
    entries = [("www.example.com", "admin@example.com", "example.com"), ("www.example.com", "jane@mail.test")]

    answer = stage.explain(*entries, fields={"locale": "de"}).to_json()
    stage.resend(*entries, fields={"locale": "de"})

    assert answer["upstream_body"] == asking(entries) | {"locale": "de"}
    assert stage.puts == [answer["upstream_body"]]
    assert answer["recipients"] == ["admin@example.com", "jane@mail.test"]


def test_an_address_that_was_named_for_the_scope_is_mailed_about_the_names_in_it(stage: Stage) -> None:
    stage.certcentral.domains = (NameStatus("example.com", "pending", ("www.example.com",)),)

    plan = stage.explain(("example.com", "admin@example.com"))

    assert plan.to_json()["upstream_body"] == asking([("example.com", "admin@example.com")])
    assert report(plan, "www.example.com")["mailed"] == ["admin@example.com"]


# Mail hosts


@pytest.mark.parametrize(
    ("records", "expected"), [(["10 mail.test."], True), (["0 ."], False), ([], False)], ids=["mx", "null_mx", "none"]
)
def test_each_mail_host_is_reported(stage: Stage, records: list[str], expected: bool) -> None:
    stage.zone.set("example.com", "MX", records)

    plan = stage.explain()

    assert report(plan)["mx"] == {"example.com": expected}
    first = plan.to_json()["advice"][0]
    assert ("no MX record at example.com" in first) != expected


def test_a_mail_host_that_dns_says_nothing_about_is_unknown(stage: Stage) -> None:
    # Or an earlier answer would say already that there is no such name.
    stage.zone.set("example.com", "A", ["192.0.2.1"])
    stage.zone.fault("example.com", "servfail", "MX")

    plan = stage.explain()

    assert plan.would_be == "sent"
    assert report(plan)["mx"] == {"example.com": None}
    assert plan.to_json()["advice"][0].startswith("DNS did not tell all in time of example.com:")


def test_contacts_that_dns_says_nothing_about_may_be_more(stage: Stage) -> None:
    stage.zone.set("example.com", "MX", ["10 mail.example.com."])
    stage.zone.fault("example.com", "servfail", "CAA")

    plan = stage.explain()

    assert (plan.would_be, plan.names[0].contacts_known) == ("sent", False)
    assert report(plan)["mx"] == {"example.com": True}
    assert plan.to_json()["advice"][0].startswith("DNS did not tell all in time of example.com: more may be accepted")


@pytest.mark.parametrize("scope", ["example.com", "www.example.com"])
def test_a_name_without_an_mx_is_no_matter_if_it_is_validated_where_there_is_one(stage: Stage, scope: str) -> None:
    stage.certcentral.domains = (NameStatus(scope, "pending", ("www.example.com",)),)
    stage.zone.set("example.com", "MX", ["10 mail.example.com."])

    plan = stage.explain()

    assert report(plan, "www.example.com")["mx"] == {"www.example.com": False, "example.com": True}
    told = [said for said in plan.to_json()["advice"] if "MX" in said]
    assert len(told) == (0 if scope == "example.com" else 1)
    assert all(said.endswith("Name an accepted address at example.com instead.") for said in told)


def test_a_parent_that_alone_takes_mail_is_what_is_advised(stage: Stage) -> None:
    stage.certcentral.domains = pending("www.example.com")
    stage.zone.set("example.com", "MX", ["10 mail.example.com."])

    plan = stage.explain()

    assert report(plan, "www.example.com")["mx"] == {"www.example.com": False, "example.com": True}
    advice = plan.to_json()["advice"][0]
    assert advice.startswith("There is no MX record at www.example.com")
    assert "Name an accepted address at example.com" in advice


def test_the_hosts_of_contacts_and_of_named_addresses_are_reported_too(stage: Stage) -> None:
    stage.certcentral.domains = pending("example.com")
    stage.zone.set(f"{CONTACT_LABEL}.example.com", "TXT", ['"pki@mail.test"'])
    stage.zone.set("mail.test", "MX", ["10 mx.mail.test."])
    stage.zone.set("example.com", "MX", ["0 ."])

    plan = stage.explain(("example.com", "pki@mail.test"))

    assert report(plan)["mx"] == {"example.com": False, "mail.test": True}
    assert not [said for said in plan.to_json()["advice"] if "MX" in said]


def test_a_named_address_whose_host_takes_no_mail_is_told(stage: Stage) -> None:
    stage.zone.set(f"{CONTACT_LABEL}.example.com", "TXT", ['"pki@dead.test"'])
    stage.zone.set("example.com", "MX", ["10 mx.example.com."])

    plan = stage.explain(("example.com", "pki@dead.test"))

    assert plan.would_be == "sent"
    assert plan.to_json()["advice"][0].startswith("There is no MX record at dead.test: an address there")


# Age


@pytest.mark.parametrize(
    ("age", "since", "expire", "beginning"),
    [
        (0, "2026-11-24T12:00:00Z", "2026-12-24", None),
        (25, "2026-10-30T12:00:00Z", "2026-11-29", None),
        (
            26,
            "2026-10-29T12:00:00Z",
            "2026-11-28",
            "This order has waited for 26 days: its links may expire on 2026-11-28",
        ),
        (
            30,
            "2026-10-25T12:00:00Z",
            "2026-11-24",
            "This order has waited for 30 days: its links may expire on 2026-11-24",
        ),
        (34, "2026-10-21T12:00:00Z", "2026-11-20", "This order has waited for 34 days: its links may have expired"),
    ],
)
def test_the_age_is_told_with_the_end_of_the_links(
    stage: Stage, age: int, since: str, expire: str, beginning: str | None
) -> None:
    stage.certcentral.order = order("reissue_pending", age=age)
    stage.zone.set("example.com", "MX", ["10 mail.example.com."])

    answer = stage.explain().to_json()

    told: Any = answer["order"]
    assert (told["waiting_since"], told["age_days"], told["links_expire"]) == (since, age, expire)
    first = answer["advice"][0]
    assert first.startswith(beginning or "Nobody is named")


def test_an_unknown_age_is_null(stage: Stage) -> None:
    stage.certcentral.order = order(age=None)

    answer = stage.explain().to_json()

    assert answer["order"] == {
        "status": "pending",
        "kind": DV,
        "dcv_method": "email",
        "waiting_since": None,
        "age_days": None,
        "links_expire": None,
    }
    assert not [said for said in answer["advice"] if "has waited" in said]


def test_days_are_those_of_utc_whatever_the_offset_is(stage: Stage) -> None:
    stage.certcentral.order = Order(7, "pending", DV, "email", datetime.fromisoformat("2026-11-24T01:00:00+14:00"))

    told: Any = stage.explain().to_json()["order"]

    assert (told["waiting_since"], told["age_days"], told["links_expire"]) == ("2026-11-23T11:00:00Z", 1, "2026-12-23")


@pytest.mark.parametrize(
    ("at", "place", "beginning"),
    [
        ("2028-03-14T23:59:59+00:00", -1, "Email validation ends on 2028-03-15, in 1 days"),
        ("2028-03-15T00:00:00+00:00", 0, "Email validation ended on 2028-03-15"),
    ],
)
def test_the_end_of_email_validation_is_told(stage: Stage, at: str, place: int, beginning: str) -> None:
    answer = stage.explain(at=datetime.fromisoformat(at).timestamp()).to_json()

    assert answer["email_validation_ends"] == "2028-03-15"
    assert answer["advice"][place].startswith(beginning)


# Recipients


def test_every_refused_recipient_is_explained_and_nobody_is_mailed(stage: Stage) -> None:
    stage.certcentral.domains = pending("www.example.com", "example.org")

    plan = stage.explain(
        ("www.example.com", "admin@example.com"),
        ("example.org", "admin@example.org"),
        ("example.net", "admin@example.net"),
        ("example.org", "jane@mail.test"),
    )

    answer = plan.to_json()
    assert (answer["would_be"], answer["code"]) == (
        "RecipientNotAllowed",
        "recipient_not_allowed|domain_approval_emails[0].email_domain",
    )
    advice: Any = answer["advice"]
    assert [said.partition(": ")[0] for said in advice[:3]] == [
        "domain_approval_emails[0].email_domain",
        "domain_approval_emails[2].domain",
        "domain_approval_emails[3].email",
    ]
    assert '"email_domain": "example.com"' in advice[0]
    assert "www.example.com, example.org" in advice[1]
    assert "j***@mail.test" in advice[2]
    assert not [said for said in advice if said.startswith("domain_approval_emails[1]")]
    assert [name.mailed for name in plan.names] == [(), ()]
    assert report(plan, "example.org")["accepted"] == constructed_addresses("example.org")
    assert answer.keys().isdisjoint({"upstream_body", "until"})


def test_a_recipient_that_dns_says_nothing_about_is_explained_and_nobody_is_mailed(stage: Stage) -> None:
    stage.zone.fault(f"{CONTACT_LABEL}.example.com", "servfail")

    plan = stage.explain(("example.com", "jane@mail.test"), ("example.com", "admin@example.com"))

    answer = plan.to_json()
    assert (answer["would_be"], answer["code"]) == ("RecipientUnverified", "recipient_unverified")
    assert "j***@mail.test" in answer["advice"][0]
    assert report(plan)["mailed"] == []
    assert "upstream_body" not in answer


def test_unchecked_recipients_are_taken_as_they_are(stage: Stage) -> None:
    stage.certcentral.domains = pending("example.com")
    entries = [("example.com", "jane@mail.test"), ("elsewhere.test", "it@mail.test")]

    plan = stage.explain(*entries, check_recipients=False)

    answer = plan.to_json()
    assert answer["would_be"] == "sent"
    assert answer["upstream_body"] == asking(entries)
    assert report(plan)["mailed"] == ["jane@mail.test"]
    assert report(plan)["accepted"] == constructed_addresses("example.com")
    assert report(plan)["mx"] == {"example.com": False, "mail.test": False}
    # It is told all the same what it would say.
    off = "The check of recipients is switched off (RECIPIENT_CHECK=off); it would say: domain_approval_emails"
    advice: Any = answer["advice"]
    assert [said.removeprefix(off)[:10] for said in advice[:2]] == ["[0].email:", "[1].domain"]
    assert not [said for said in advice[2:] if "RECIPIENT_CHECK" in said]
    assert "j***@mail.test" in advice[0]
    assert "code" not in answer


def test_that_unchecked_recipients_could_not_be_verified_is_told(stage: Stage) -> None:
    stage.zone.fault(f"{CONTACT_LABEL}.example.com", "servfail")

    plan = stage.explain(("example.com", "jane@mail.test"), check_recipients=False)

    assert (plan.would_be, plan.refusal) == ("sent", None)
    assert "(RECIPIENT_CHECK=off); it would say: Whether j***@mail.test" in plan.to_json()["advice"][0]


@pytest.mark.parametrize("check_recipients", [True, False])
def test_of_recipients_that_the_check_finds_right_nothing_is_said(stage: Stage, check_recipients: bool) -> None:
    plan = stage.explain(("example.com", "admin@example.com"), check_recipients=check_recipients)

    assert (plan.refusal, plan.doubt) == (None, None)
    assert "RECIPIENT_CHECK" not in json.dumps(plan.to_json())


@pytest.mark.usefixtures("dns_is_away")
def test_with_dns_away_a_default_dry_run_is_answered(stage: Stage) -> None:
    stage.certcentral.domains = pending("www.example.com")

    plan = stage.explain()

    assert plan.would_be == "sent"
    assert report(plan, "www.example.com") == {
        "name": "www.example.com",
        "status": "pending",
        "accepted": [*constructed_addresses("www.example.com"), *constructed_addresses("example.com")],
        "mailed": "default",
        "mx": {"www.example.com": None, "example.com": None},
    }


@pytest.mark.usefixtures("dns_is_away")
def test_with_dns_away_a_constructed_address_would_be_sent_and_any_other_would_not(stage: Stage) -> None:
    assert stage.explain(("example.com", "admin@example.com")).would_be == "sent"
    assert stage.explain(("example.com", "jane@example.com")).would_be == "RecipientUnverified"
    assert stage.explain(("example.com", "jane@example.com"), check_recipients=False).would_be == "sent"


def test_an_address_is_found_although_dns_is_away_for_the_orders_other_names(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_contacts, "LOOKUP_SECONDS", 1)
    names = [f"n{number:02}.test" for number in range(40)]
    for name in names:
        stage.zone.fault(f"{CONTACT_LABEL}.{name}", "silent")
    stage.certcentral.domains = pending(*names, "z.example.com")
    stage.zone.set(f"{CONTACT_LABEL}.z.example.com", "TXT", ['"jane@mail.test"'])

    plan = stage.explain(("z.example.com", "jane@mail.test"))

    assert stage.resend(("z.example.com", "jane@mail.test")).outcome == "sent"
    assert plan.would_be == "sent"


# Earlier resends


@pytest.mark.parametrize(
    ("left", "force", "would_be", "until"),
    [
        (None, False, "sent", None),
        ("expired", False, "sent", None),
        ("sent", False, "duplicate", "2026-11-24T12:59:50Z"),
        ("unknown", False, "OutcomeUnknown", "2026-11-24T12:59:50Z"),
        ("killed", False, "ResendInProgress", "2026-11-24T12:00:19Z"),
        ("sent", True, "sent", None),
        ("unknown", True, "sent", None),
        ("killed", True, "ResendInProgress", "2026-11-24T12:00:19Z"),
    ],
)
def test_an_earlier_resend_is_foretold(
    stage: Stage, left: str | None, force: bool, would_be: str, until: str | None
) -> None:
    stage.leave(left)

    answer = stage.explain(fields={"force": force}).to_json()

    assert (answer["would_be"], answer.get("until")) == (would_be, until)
    assert answer["upstream_body"] == {}
    assert "code" not in answer


@pytest.mark.parametrize(("left", "would_be"), [("sent", "duplicate"), ("unknown", "OutcomeUnknown")])
def test_a_forced_call_that_is_delivered_again_is_foretold_as_a_repeat(stage: Stage, left: str, would_be: str) -> None:
    stage.leave(left, forced_by="call-2")

    assert stage.explain(fields={"force": True}, delivery_id="call-2").would_be == would_be
    assert stage.explain(fields={"force": True}, delivery_id="call-3").would_be == "sent"


def test_a_killed_call_whose_time_is_over_is_an_unknown_outcome(stage: Stage) -> None:
    stage.leave("killed")

    assert stage.explain(at=NOW + 19).would_be == "OutcomeUnknown"


def test_an_earlier_resend_that_was_asked_for_before_a_name_was_validated_is_the_same(stage: Stage) -> None:
    entries = [("example.com", "admin@example.com"), ("example.org", "admin@example.org")]
    stage.leave("sent", *entries)
    stage.certcentral.domains = HALF_DONE

    assert stage.explain(*entries).would_be == "duplicate"


def test_a_refusal_goes_before_an_earlier_resend(stage: Stage) -> None:
    stage.leave("sent", ("example.com", "jane@mail.test"))

    plan = stage.explain(("example.com", "jane@mail.test"))

    assert (plan.would_be, plan.until) == ("RecipientNotAllowed", None)


# The stop switch


@pytest.mark.parametrize(
    ("status", "recipients", "would_be"),
    [
        ("pending", (), "SendingPaused"),
        ("pending", (("example.com", "admin@example.com"),), "SendingPaused"),
        ("issued", (), "OrderNotEligible"),
        ("pending", (("example.com", "jane@mail.test"),), "RecipientNotAllowed"),
    ],
)
def test_while_sending_is_off_everything_is_explained_and_that_too(
    stage: Stage, status: str, recipients: Any, would_be: str
) -> None:
    stage.certcentral.order = order(status)

    answer = stage.explain(*recipients, sending=False).to_json()

    assert (answer["would_be"], answer["paused"]) == (would_be, True)
    assert [said for said in answer["advice"] if "SENDING=off" in said]


@pytest.mark.parametrize(
    ("left", "would_be"),
    [
        ("expired", "SendingPaused"),
        ("sent", "duplicate"),
        ("unknown", "OutcomeUnknown"),
        ("killed", "ResendInProgress"),
    ],
)
def test_an_earlier_resend_is_foretold_while_sending_is_off_too(stage: Stage, left: str, would_be: str) -> None:
    stage.leave(left)

    plan = stage.explain(sending=False)

    assert (plan.would_be, plan.paused) == (would_be, True)
    assert plan.to_json()["upstream_body"] == {}
    assert "code" not in plan.to_json()


def test_while_sending_is_on_nothing_is_said_of_it(stage: Stage) -> None:
    answer = stage.explain().to_json()

    assert "paused" not in answer
    assert "SENDING" not in json.dumps(answer)


# Many names


def test_two_hundred_and_fifty_names_are_explained(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than in earnest, as this machine may be busy.
    monkeypatch.setattr(dns_contacts, "LOOKUP_SECONDS", 30)
    names = [f"n{number:03}.example.com" for number in range(250)]
    stage.certcentral.domains = pending(*names)
    for name in (*names, "example.com"):
        stage.zone.set(name, "MX", ["10 mail.example.com."])

    plan = stage.explain(*((name, "admin@example.com", "example.com") for name in names))

    answer = plan.to_json()
    assert answer["would_be"] == "sent"
    assert [name.name for name in plan.names] == names
    assert all(name.mailed == ("admin@example.com",) for name in plan.names)
    assert all(name.has_mx == {name.name: True, "example.com": True} for name in plan.names)
    assert len(answer["upstream_body"]["domain_approval_emails"]) == 250
    assert [name["name"] for name in answer["names"]] == names[:MAX_NAMES]
    assert answer["more_names"] == 250 - MAX_NAMES
    # Of the 256 KiB that a step of a workflow takes.
    assert len(json.dumps(answer)) < 128 * 1024


@pytest.mark.parametrize(("count", "more"), [(MAX_NAMES, None), (MAX_NAMES + 1, 1)])
def test_of_many_names_those_that_wait_are_shown_first(stage: Stage, count: int, more: int | None) -> None:
    done = [f"done{number:02}.test" for number in range(count - 2)]
    stage.certcentral.domains = pending(*done, status="approved") + pending("b.test", "a.test")

    answer = stage.explain().to_json()

    names: Any = answer["names"]
    assert [name["name"] for name in names] == ["b.test", "a.test", *done][:MAX_NAMES]
    assert answer.get("more_names") == more
    # Of those that are left out, too, it is told how far they have come.
    assert [said for said in answer["advice"] if said.startswith("Nobody need be mailed about done00.test")]


@pytest.mark.parametrize("local_part", ["admin", "jane"])
@pytest.mark.parametrize("check_recipients", [True, False])
def test_many_deep_names_that_are_not_on_the_order_stay_within_the_bound_of_dns(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, local_part: str, check_recipients: bool
) -> None:
    names = [".".join(["a"] * 120 + [f"{number}", "zz"]) for number in range(250)]
    # A clock that goes on by itself, so that there is time for a hundred questions.
    now = [0.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            now[0] += dns_contacts.LOOKUP_SECONDS / 100
            return now[0]

    monkeypatch.setattr(dns_contacts, "time", Clock)

    plan = stage.explain(*((name, f"{local_part}@{name}") for name in names), check_recipients=check_recipients)

    assert len(stage.server.queries) <= 100
    if local_part == "admin":
        # Nothing is asked about constructed_addresses addresses, so that all that matters is told.
        assert {query.name.removeprefix(f"{CONTACT_LABEL}.") for query in stage.server.queries} == {"example.com"}
        assert plan.names[0].contacts_known
    objection = plan.refusal if check_recipients else plan.doubt
    assert isinstance(objection, RecipientNotAllowed)
    assert {path.rpartition(".")[2] for path, _ in objection.refused} == {"domain"}
    assert len(objection.refused) == 250
    assert plan.would_be == ("RecipientNotAllowed" if check_recipients else "sent")


# Nothing else than what a Resender would do


NAMES = ["example.com", "www.example.com", "example.org"]
ENTRIES = [
    ("example.com", "admin@example.com"),
    ("*.example.com", "Postmaster@example.com"),
    ("www.example.com", "admin@example.com"),
    ("www.example.com", "admin@example.com", "example.com"),
    ("www.example.com", "jane@mail.test"),
    ("example.org", "jane@mail.test"),
    ("example.org", "admin@example.org"),
    ("elsewhere.test", "admin@elsewhere.test"),
]
# Those of one name and address go together only if they say the same.
RECIPIENTS = st.lists(st.sampled_from(ENTRIES), max_size=3, unique_by=lambda entry: (entry[0], entry[1]))
STATUSES = st.sampled_from(["pending", "pending", "approved", "unknown"])
CONTACTS = st.sampled_from([None, "jane@mail.test", "other@mail.test", "fault"])


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * (2 * len(others)) + list(others))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    recipients=RECIPIENTS,
    found=st.builds(
        order,
        mostly("pending", "reissue_pending", "issued", "needs_approval", None),
        mostly(DV, "ssl_certificate"),
        mostly("email", "http-token"),
    ),
    statuses=st.lists(STATUSES, min_size=3, max_size=3),
    scopes=st.sampled_from(["apart", "together", "split"]),
    expired=mostly(None, "example.com", "www.example.com"),
    untold=mostly(None, "row", "unreadable", "all"),
    does_order_tell=st.booleans(),
    contacts=st.lists(CONTACTS, min_size=3, max_size=3),
    left=st.sampled_from([None, None, "sent", "unknown", "killed", "expired"]),
    forced_by=st.sampled_from([None, "call-2"]),
    force=st.booleans(),
    check_recipients=mostly(True, False),
)
def test_a_resend_does_or_raises_what_the_dry_run_has_foretold(
    dynamodb: Any,
    server: NameServer,
    recipients: list[tuple[str, ...]],
    found: Order,
    statuses: list[str],
    scopes: str,
    expired: str | None,
    untold: str | None,
    does_order_tell: bool,
    contacts: list[str | None],
    left: str | None,
    forced_by: str | None,
    force: bool,
    check_recipients: bool,
) -> None:
    stage = Stage(dynamodb, server)
    stage.certcentral.order = replace(found, names=tuple(NAMES) if does_order_tell else ())
    by_name = dict(zip(NAMES, statuses, strict=True))
    if scopes == "together":
        rows = [
            NameStatus("example.com", by_name["example.com"], ("example.com", "www.example.com")),
            *pending("example.org", status=by_name["example.org"]),
        ]
    else:
        rows = [
            NameStatus(".".join(name.split(".")[-2:]) if scopes == "split" else name, status, (name,))
            for name, status in by_name.items()
        ]
    rows = [replace(row, expired=expired in row.names) for row in rows]
    if untold is not None:
        rows = {"row": rows[1:], "unreadable": [NameStatus("", "approved"), *rows[1:]], "all": []}[untold]
    stage.certcentral.domains = tuple(rows)
    for name, contact in zip(NAMES, contacts, strict=True):
        if contact == "fault":
            stage.zone.fault(f"{CONTACT_LABEL}.{name}", "servfail")
        elif contact:
            stage.zone.set(f"{CONTACT_LABEL}.{name}", "TXT", [f'"{contact}"'])
    stage.leave(left, *recipients, forced_by=forced_by)
    asked: dict[str, Any] = {"fields": {"force": force}, "check_recipients": check_recipients}
    stage.journal.clear()

    plan = stage.explain(*recipients, **asked)
    paused = stage.explain(*recipients, **asked, sending=False)
    with pytest.raises(SendingPaused) as off:
        stage.resend(*recipients, **asked, sending=False)
    assert set(stage.did) <= {"GET validation", "GET order", "dns", "get_item"}

    answer = plan.to_json()
    # Of what keeps it from being sent, the switch is told last: then alone it is what a Resender would raise.
    would_be = type(off.value).__name__ if answer["would_be"] == "sent" else answer["would_be"]
    assert paused.to_json() | {"advice": 0} == answer | {"advice": 0, "paused": True, "would_be": would_be}
    try:
        result = stage.resend(*recipients, **asked)
    except ResendError as error:
        outcome, code, retry_after = type(error).__name__, error.code, error.retry_after
    else:
        outcome, code, retry_after = result.outcome, None, result.cool_down_left
        assert answer["recipients"] == result.to_json()["recipients"]
    assert answer["would_be"] == outcome
    assert answer.get("code") == (code if "code" in answer else None)
    assert ("code" in answer) == (outcome in {"OrderNotEligible", "RecipientNotAllowed", "RecipientUnverified"})
    assert ("upstream_body" in answer) != ("code" in answer)
    assert stage.puts == ([answer["upstream_body"]] if outcome == "sent" else [])
    # When a repeat may send again is when the Resender says that it may.
    assert plan.until is None or plan.until - NOW == retry_after
    # Whom the plan says it mails is whom it would mail.
    mailed = {address for name in plan.names if name.mailed != "default" for address in name.mailed}
    assert mailed <= set(plan.request.addresses)
    assert not mailed or "upstream_body" in answer
    # Nobody is mailed about a name that no answer has told, unless that is not to be checked.
    told = {without_wildcard(name.name) for name in plan.names} | {without_wildcard(name.scope) for name in plan.names}
    if check_recipients and outcome == "sent":
        assert {without_wildcard(recipient.domain) for recipient in plan.request.recipients} <= told
    assert plan.doubt is None or not check_recipients
