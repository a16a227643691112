"""The domain-level calls: what their responses mean, by a stub of HTTP and by the emulator."""

from typing import Any

import pytest
from hypothesis import given

from dev.emulator import CertCentralEmulator
from dv_resend.adapters.certcentral import CertCentralClient
from dv_resend.adapters.certcentral_http import Call
from dv_resend.adapters.certcentral_response import Response
from dv_resend.core.orders import Domain, DomainEmails, NameStatus
from dv_resend.errors import (
    ApiKeyRejected,
    CertCentralUnavailable,
    ConfigurationError,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    RequestRejected,
    ResendError,
    UpstreamError,
)
from unit.adapters.conftest import ORDER, KeyStub, MakeHttp, later, methods
from unit.adapters.test_certcentral import (
    DEADLINE,
    DOUBTFUL,
    RESPONSES,
    Ask,
    HttpStub,
    a_validation,
    client_of,
    each,
    given_bytes,
    given_json,
    mixed,
    response,
)

DOMAIN = 1234
CALLS: dict[str, Ask] = {
    "emails": lambda client: client.get_domain_emails(DOMAIN, DEADLINE),
    "resend": lambda client: client.resend_domain_emails(DOMAIN, {}, DEADLINE),
}


def emails(**fields: object) -> DomainEmails:
    return given_json(fields).get_domain_emails(DOMAIN, DEADLINE)


@pytest.fixture
def client(make_http: MakeHttp) -> CertCentralClient:
    """A client of the emulator."""
    return CertCentralClient(make_http())


# The calls


@pytest.mark.parametrize(
    ("ask", "call"),
    [
        ("emails", Call("GET", "/domain/1234/dcv/emails")),
        ("resend", Call("PUT", "/domain/1234/dcv/emails", {})),
    ],
)
def test_domain_call_is_the_documented_one(ask: str, call: Call) -> None:
    http = HttpStub(response(200, b'{"base_emails": []}'))

    CALLS[ask](client_of(http))

    assert http.calls == [(call, DEADLINE)]


def test_domain_resend_passes_the_body_on_unchanged() -> None:
    http = HttpStub(response(204, b""))
    body: dict[str, object] = {"name_scope": "a.test", "email_array": ["admin@a.test"], "locale": "de"}

    client_of(http).resend_domain_emails(DOMAIN, body, DEADLINE)

    ((call, _),) = http.calls
    assert call.body == body


# The addresses of a domain


def test_addresses_are_constructed_ones_then_contacts() -> None:
    found = emails(
        name_scope="a.test",
        base_emails=["admin@a.test", "Webmaster@a.test"],
        dns_txt_emails=["pki@mail.test"],
        email_array=["other@a.test"],
    )

    assert found == DomainEmails("a.test", ("admin@a.test", "Webmaster@a.test", "pki@mail.test"))


def test_addresses_of_whois_are_left_out() -> None:
    assert emails(base_emails=["admin@a.test"], whois_emails=["jane@a.test"]).addresses == ("admin@a.test",)


@pytest.mark.parametrize("name", ["base_emails", "dns_txt_emails"])
@pytest.mark.parametrize("other", mixed(None, {}, "jane@a.test", 7), ids=ascii)
def test_one_list_of_addresses_is_enough(name: str, other: object) -> None:
    lists: dict[str, object] = {"base_emails": other, "dns_txt_emails": other, name: ["admin@a.test"]}

    assert emails(**lists).addresses == ("admin@a.test",)


def test_lists_may_be_empty() -> None:
    assert emails(base_emails=[], dns_txt_emails=[]) == DomainEmails(None, ())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"base_emails": None},
        {"base_emails": "admin@a.test"},
        {"whois_emails": ["a@a.test"]},
        {"name_scope": "a.test"},
    ],
    ids=ascii,
)
def test_response_without_lists_is_unavailable(fields: dict[str, object]) -> None:
    with pytest.raises(CertCentralUnavailable, match="no list of addresses"):
        emails(**fields)


@pytest.mark.parametrize(
    "odd",
    mixed(None, 7, [], {}, "", "no address", "a@b.test\n", "a\x00@b.test", "x" * 250 + "@b.test"),
    ids=lambda odd: ascii(odd)[:20],
)
def test_what_is_no_address_is_left_out(odd: object) -> None:
    assert emails(base_emails=[odd, "admin@a.test"]).addresses == ("admin@a.test",)


def test_address_of_maximum_length_is_listed() -> None:
    longest = "x" * 247 + "@b.test"

    assert (len(longest), emails(base_emails=[longest]).addresses) == (254, (longest,))


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        *(("A.Test", "a.test"), ("*.a.test", "*.a.test"), ("b\u00fccher.example", "xn--bcher-kva.example")),
        *((odd, None) for odd in mixed(None, "", 7, [], {})),
    ],
    ids=ascii,
)
def test_scope_of_the_list_is_an_a_label_if_there_is_one(scope: object, found: str | None) -> None:
    assert emails(name_scope=scope, base_emails=[]).scope == found


def test_scope_of_maximum_length_is_not_cut_off() -> None:
    scope = "*." + ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])

    assert emails(name_scope=scope, base_emails=[]).scope == scope


# Success, doubt and refusal


@pytest.mark.parametrize("status", [200, 202, 204])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"ok": true}'])
def test_2xx_of_a_domain_resend_is_a_success(status: int, body: bytes) -> None:
    given_bytes(body, status).resend_domain_emails(DOMAIN, {}, DEADLINE)


@pytest.mark.parametrize("status", DOUBTFUL)
@pytest.mark.parametrize("body", [b"", b"{}", None], ids=ascii)
def test_other_status_of_a_domain_resend_is_unknown(status: int, body: bytes | None) -> None:
    with pytest.raises(OutcomeUnknown, match=f"resend of domain {DOMAIN} with status {status}") as caught:
        given_bytes(body, status).resend_domain_emails(DOMAIN, {}, DEADLINE)

    assert caught.value.upstream_status == status


@pytest.mark.parametrize("body", [None, b"<html>", b" ", b'{"errors": [{"code": "odd"}]}'], ids=ascii)
def test_2xx_of_a_domain_resend_that_says_more_is_unknown(body: bytes | None) -> None:
    with pytest.raises(OutcomeUnknown):
        given_bytes(body, 204).resend_domain_emails(DOMAIN, {}, DEADLINE)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "unauthorized", ApiKeyRejected),
        (403, "access_denied|access_denied_invalid_key", ApiKeyRejected),
        (403, "access_denied|missing_permission", PermissionDenied),
        (404, "not_found|route", ConfigurationError),
        # No verdict about the order, which nobody asked for.
        *((404, code, RequestRejected) for code in ("not_found|domain", "not_found", "not_found|order")),
        (400, "invalid_locale", RequestRejected),
        (429, "request_limit_exceeded", RateLimited),
    ],
)
@each(CALLS)
def test_refusal_of_a_domain_call_keeps_the_code(ask: Ask, status: int, code: str, expected: type[ResendError]) -> None:
    with pytest.raises(ResendError) as caught:
        ask(given_json({"errors": [{"code": code, "message": "Because."}]}, status))

    assert type(caught.value) is expected
    assert caught.value.upstream_errors == (UpstreamError(code, "Because."),)


@pytest.mark.parametrize(
    ("ask", "role"),
    [
        *((ask, "(orders and domains)") for ask in CALLS.values()),
        (lambda client: client.get_order(ORDER, DEADLINE), "(orders)"),
    ],
    ids=[*CALLS, "order"],
)
def test_denied_permission_names_the_role_of_the_key(ask: Ask, role: str) -> None:
    with pytest.raises(PermissionDenied) as caught:
        ask(given_json({"errors": [{"code": "access_denied|missing_permission"}]}, 403))

    assert role in caught.value.message


@pytest.mark.parametrize(
    ("status", "put", "query"),
    [
        (400, RequestRejected, CertCentralUnavailable),
        (403, CertCentralUnavailable, CertCentralUnavailable),
        (404, RequestRejected, CertCentralUnavailable),
        (429, RateLimited, RateLimited),
    ],
)
def test_domain_refusal_without_codes_is_judged_by_status(
    status: int, put: type[ResendError], query: type[ResendError]
) -> None:
    for name, ask in CALLS.items():
        with pytest.raises(put if name == "resend" else query):
            ask(given_bytes(b"{}", status))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": []}', None], ids=ascii)
@pytest.mark.parametrize("status", [200, 204, 302, 500, 503])
def test_list_that_is_none_is_unavailable(status: int, body: bytes | None) -> None:
    with pytest.raises(CertCentralUnavailable):
        given_bytes(body, status).get_domain_emails(DOMAIN, DEADLINE)


@given(RESPONSES)
def test_any_response_to_a_list_raises_only_our_errors(answer: Response) -> None:
    try:
        CALLS["emails"](client_of(HttpStub(answer)))
    except ResendError as error:
        assert not isinstance(error, OutcomeUnknown)  # noqa: PT017


@given(RESPONSES)
def test_any_response_to_a_domain_resend_is_one_of_three(answer: Response) -> None:
    try:
        CALLS["resend"](client_of(HttpStub(answer)))
    except OutcomeUnknown:
        assert not 400 <= answer.status < 500 or answer.status in (408, 425, 499)
    except ResendError:
        assert 400 <= answer.status < 500
        assert answer.status not in (408, 425, 499)
    else:
        assert 200 <= answer.status < 300
        assert not answer.holds_errors


# What the validation says of domains


def found(**entry: object) -> NameStatus:
    body = a_validation(dns_name_validations=[{"name_scope": "a.test", **entry}])
    (domain,) = given_json(body).get_order_status(ORDER, DEADLINE).domains
    return domain


@pytest.mark.parametrize(
    ("value", "domain_id"),
    [
        *(("1234", 1234), (1234, 1234)),
        *((odd, None) for odd in mixed(None, "", "x", 0, "0", -1, 1.5, True, [], {}, "12a", "\u0661")),
    ],
    ids=ascii,
)
def test_domain_id_is_a_number_or_a_text(value: object, domain_id: int | None) -> None:
    assert found(domain_id=value).domain_id == domain_id


@pytest.mark.parametrize(
    ("value", "method"),
    [("email", "email"), ("DNS-TXT-Token", "DNS-TXT-Token"), *((odd, None) for odd in mixed(None, "", 7, [], {}))],
    ids=ascii,
)
def test_method_of_an_entry_is_passed_on(value: object, method: str | None) -> None:
    assert found(method=value).method == method


@pytest.mark.parametrize(
    ("value", "organization"),
    [
        ([{"type": "ov", "status": "pending"}, {"status": "Approved"}], ("pending", "Approved")),
        ([None, 7, {}, {"status": None}, {"status": ""}, {"status": 7}, {"status": "new"}], ("new",)),
        *((odd, ()) for odd in mixed(None, {}, "pending", [], {"status": "pending"})),
    ],
    ids=ascii,
)
def test_organization_has_the_readable_statuses(value: object, organization: tuple[str, ...]) -> None:
    body = a_validation(organization_validations=value)

    assert given_json(body).get_order_status(ORDER, DEADLINE).organization == organization


def test_validation_without_an_organization_has_no_statuses() -> None:
    assert given_json(a_validation()).get_order_status(ORDER, DEADLINE).organization == ()


# The emulator


def ov_order(emulator: CertCentralEmulator, **fields: Any) -> int:
    order_id: int = emulator.add_order(kind="ov", **fields)["id"]
    return order_id


def domain_of(client: CertCentralClient, order_id: int) -> Domain:
    entry = client.get_order_status(order_id, later()).domains[0]
    assert entry.domain_id is not None
    return Domain(entry.domain_id, entry.scope)


def test_emulated_order_has_domains_with_method(emulator: CertCentralEmulator, client: CertCentralClient) -> None:
    methods_ = {"b.example": "dns-txt-token"}
    order_id = ov_order(emulator, names=["www.a.example", "b.example"], methods=methods_)

    entries = client.get_order_status(order_id, later()).domains

    assert [(entry.scope, entry.method) for entry in entries] == [
        ("a.example", "email"),
        ("b.example", "dns-txt-token"),
    ]
    assert [entry.domain_id for entry in entries] == [domain["id"] for domain in emulator.domains[-2:]]


@pytest.mark.parametrize(("state", "statuses"), [("pending", ("pending",)), ("validated", ("approved",))])
def test_emulated_organization_has_its_status(
    emulator: CertCentralEmulator, client: CertCentralClient, state: str, statuses: tuple[str, ...]
) -> None:
    emulator.set_switches(organization_validations="with_approved")

    assert client.get_order_status(ov_order(emulator, organization=state), later()).organization == statuses


@pytest.mark.parametrize(("shown", "scope"), [("present", "a.example"), ("absent", None)])
def test_emulated_domain_lists_its_addresses(
    emulator: CertCentralEmulator, client: CertCentralClient, shown: str, scope: str | None
) -> None:
    emulator.set_switches(emails_name_scope=shown)
    domain = domain_of(client, ov_order(emulator, names=["a.example"], contacts=["pki@mail.test"]))

    listed = client.get_domain_emails(domain.domain_id, later())

    assert listed.scope == scope
    assert {"admin@a.example", "postmaster@a.example", "pki@mail.test"} <= set(listed.addresses)


@pytest.mark.parametrize("success", [204, 200])
def test_emulated_domain_is_mailed(emulator: CertCentralEmulator, client: CertCentralClient, success: int) -> None:
    emulator.set_switches(success_status=success)
    domain = domain_of(client, ov_order(emulator, names=["a.example"]))
    body: dict[str, object] = {"name_scope": domain.scope, "email_array": ["admin@a.example"]}

    client.resend_domain_emails(domain.domain_id, body, later())

    assert [(mail["to"], mail["order_id"]) for mail in emulator.outbox] == [("admin@a.example", None)]


def test_unknown_domain_of_the_emulator_is_refused(client: CertCentralClient) -> None:
    for ask in (
        lambda: client.get_domain_emails(99, later()),
        lambda: client.resend_domain_emails(99, {}, later()),
    ):
        with pytest.raises(RequestRejected):
            ask()


def test_view_only_key_may_list_but_not_send(
    emulator: CertCentralEmulator, client: CertCentralClient, make_http: MakeHttp
) -> None:
    domain = domain_of(client, ov_order(emulator, names=["a.example"]))
    emulator.set_key("view-only", "view_only")
    viewer = CertCentralClient(make_http(api_key=KeyStub("view-only")))

    assert viewer.get_domain_emails(domain.domain_id, later()).addresses
    with pytest.raises(PermissionDenied, match="orders and domains"):
        viewer.resend_domain_emails(domain.domain_id, {}, later())


FAULTS: list[tuple[dict[str, Any], type[ResendError]]] = [
    ({"fault": "reset"}, OutcomeUnknown),
    ({"fault": "close"}, OutcomeUnknown),
    ({"fault": "status", "status": 500}, OutcomeUnknown),
    ({"fault": "status", "status": 503}, OutcomeUnknown),
    ({"fault": "html", "status": 200}, OutcomeUnknown),
    ({"fault": "redirect", "location": "https://elsewhere.test/"}, OutcomeUnknown),
    ({"fault": "html"}, CertCentralUnavailable),
    ({"fault": "status", "status": 429}, RateLimited),
]


@pytest.mark.parametrize(("fault", "expected"), FAULTS, ids=ascii)
def test_domain_resend_is_never_repeated(
    emulator: CertCentralEmulator, client: CertCentralClient, fault: dict[str, Any], expected: type[ResendError]
) -> None:
    domain = domain_of(client, ov_order(emulator, names=["a.example"]))
    emulator.inject({**fault, "method": "PUT"})

    with pytest.raises(expected):
        client.resend_domain_emails(domain.domain_id, {"name_scope": domain.scope}, later())

    assert methods(emulator).count("PUT") == 1
    assert emulator.outbox == []


@pytest.mark.parametrize("fault", [{"fault": "reset"}, {"fault": "close"}], ids=ascii)
def test_list_of_addresses_is_asked_for_again(
    emulator: CertCentralEmulator, client: CertCentralClient, fault: dict[str, Any]
) -> None:
    domain = domain_of(client, ov_order(emulator, names=["a.example"]))
    emulator.inject({**fault, "path": "/dcv/emails", "times": 1})

    assert client.get_domain_emails(domain.domain_id, later()).scope == "a.example"


def test_domain_call_is_not_made_without_time(emulator: CertCentralEmulator, client: CertCentralClient) -> None:
    for ask in (
        lambda: client.get_domain_emails(DOMAIN, later(0.5)),
        lambda: client.resend_domain_emails(DOMAIN, {}, later(0.5)),
    ):
        with pytest.raises(CertCentralUnavailable):
            ask()
    assert emulator.calls == []


def test_unlisted_address_is_why_the_list_is_asked(emulator: CertCentralEmulator, client: CertCentralClient) -> None:
    """CertCentral ignores it, and mails everybody if none is left (domain-level resend page)."""
    domain = domain_of(client, ov_order(emulator, names=["a.example"]))
    body: dict[str, object] = {"name_scope": "a.example", "email_array": ["stranger@elsewhere.test"]}

    client.resend_domain_emails(domain.domain_id, body, later())

    assert len(emulator.outbox) == len(client.get_domain_emails(domain.domain_id, later()).addresses)
