"""DigiCert's JSON views of an order: order info, validation status, and a row of a list. Pure.

Field shapes follow DigiCert's "Order info", "Order validation status" and "List orders" pages.
"""

from collections.abc import Mapping
from typing import Any

from .orders import APPROVAL_DAYS, DAY, PRODUCTS, WITH_CERTIFICATE, Order, Switches, iso, scope_of


def order_info(order: Order, switches: Switches) -> dict[str, Any]:
    """`GET order/certificate/{id}`: ids are integers; what only an issued certificate has is absent before."""
    name, _, validation = PRODUCTS.get(order.product, (order.product, "", "dv"))
    request = {"type": "new_request", "status": "approved", "comments": ""}
    requests = [{"id": order.id * 10 + 1, "date": iso(order.created), **request}]
    if order.reissued:
        requests.append({"id": order.id * 10 + 2, "date": iso(order.reissued), **request, "type": "reissue"})
    info = {
        "id": order.id,
        "status": order.status,
        "date_created": iso(order.created),
        "order_valid_till": iso(order.created + 365 * DAY)[:10],
        "dcv_method": order.dcv_method,
        "is_renewal": False,
        "is_renewed": False,
        "payment_method": "balance",
        "certificate": {
            **_certificate(order),
            "date_created": iso(order.created),
            "csr": "-----BEGIN CERTIFICATE REQUEST-----\nemulated\n-----END CERTIFICATE REQUEST-----",
            "key_size": 2048,
        },
        "product": {
            "name_id": order.product,
            "name": name,
            "type": order.product_type,
            "validation_type": validation,
            "validation_name": validation.upper(),
            "validation_description": f"{validation.upper()} validation",
        },
        "container": {"id": 5, "name": "Emulator Inc."},
        "user": {"id": 1, "first_name": "Petra", "last_name": "Keyes", "email": "petra.keyes@emulator.example"},
        "organization_contact": {},
        "technical_contact": {},
        "requests": requests,
        "notes": [],
    }
    return info | _organization(order, switches)


def order_validation(order: Order, switches: Switches, domain_ids: Mapping[str, int]) -> dict[str, Any]:
    """`GET order/certificate/{id}/validation`: here the ids are strings ("Order validation status" page).

    `domain_ids` has those of the scopes that are in the account's domain list; it is empty for a DV order.
    """
    scopes: dict[tuple[str, str, str], list[str]] = {}
    for name, status in order.names:
        key = scope_of(order.name_scope, name), status, order.method_of(name)
        scopes.setdefault(key, []).append(name)
    rows = []
    for number, ((scope, status, method), names) in enumerate(scopes.items(), start=1):
        row: dict[str, Any] = {
            "domain_id": str(domain_ids.get(scope, order.id * 10 + number)),
            "name_scope": scope,
            "approval_scope": "subdomains",
        }
        row |= {"status": status, "method": method, "dns_names": names}
        if status == "approved":
            row["approval_expiration_date"] = iso(min(map(order.approval_ends, names)))
        rows.append(row)
    view: dict[str, Any] = {
        "order_id": str(order.id),
        "order_status": order.status,
        "order_name_scope": order.name_scope,
    }
    view["order_dcv_method"] = order.dcv_method
    if switches["validation_names"] != "absent":
        view["dns_name_validations"] = rows if switches["validation_names"] == "full" else []
    if not order.is_dv:  # not returned for DV (same page)
        view |= {"organization_id": "77", "organization_name": "Emulator Inc."}
        view["organization_validations"] = _organization_validations(order, switches)
    return view


def order_row(order: Order, switches: Switches) -> dict[str, Any]:
    """One row of `GET order/certificate`; the list switches add the oddities of real rows."""
    every_incomplete, every_unknown = switches["rows_without_certificate"], switches["rows_of_unknown_status"]
    row = {
        "id": str(order.id) if switches["list_ids"] == "string" else order.id,
        "status": "under_review" if every_unknown and order.id % every_unknown == 0 else order.status,
        "date_created": iso(order.created),
        "is_renewed": False,
        "is_multi_year_plan": "1",  # a string in real responses
        "validity_years": 1,
        "has_duplicates": False,
        "certificate": _certificate(order),
        "container": {"id": 5, "name": "Emulator Inc."},
        "product": {
            "name_id": order.product,
            "name": PRODUCTS.get(order.product, (order.product,))[0],
            "type": order.product_type,
        },
        "product_name_id": order.product,
    }
    if not order.certificate or (every_incomplete and order.id % every_incomplete == 0):
        del row["certificate"]
    return row | _organization(order, switches)


def _organization_validations(order: Order, switches: Switches) -> list[dict[str, str]]:
    status = "approved" if order.organization == "validated" else "pending"
    shown = {"listed": ("pending",), "empty": (), "with_approved": ("pending", "approved")}
    if status not in shown[switches["organization_validations"]]:
        return []
    return [{"type": PRODUCTS.get(order.product, ("", "", "ov"))[2], "status": status}]


def _certificate(order: Order) -> dict[str, Any]:
    names = [name for name, _ in order.names]
    part: dict[str, Any] = {"common_name": names[0], "dns_names": names, "signature_hash": "sha256"}
    if order.status in WITH_CERTIFICATE:
        till = order.created + APPROVAL_DAYS * DAY
        part |= {"id": order.id + 1_000_000_000, "valid_from": iso(order.created)[:10], "valid_till": iso(till)[:10]}
        part |= {"days_remaining": 0 if order.status == "expired" else 100}
    return part


def _organization(order: Order, switches: Switches) -> dict[str, Any]:
    organization = {"id": 77, "name": "Emulator Inc.", "display_name": "Emulator Inc.", "is_active": True}
    organization |= {"city": "Lehi", "state": "Utah", "country": "us"}
    if not order.is_dv or switches["dv_organization"] == "object":
        return {"organization": organization}
    # "List orders" page: an empty array, not an object, on DV orders.
    return {"organization": []} if switches["dv_organization"] == "empty_list" else {}
