"""A dry run's answer, as a person reads it."""

from collections.abc import Mapping
from typing import Any

from dv_resend_cli.domains import lines, names, with_outcome
from dv_resend_cli.output import Output

_DEFAULT = "DigiCert's default recipients"
_WAITING = ("pending", "reissue_pending")
_LINK_DAYS = 30
_REASONS = {
    "validated": "the name is already validated",
    "already_mailed": "already mailed inside the cool-down",
    "maybe_mailed": "may already have been mailed inside the cool-down: the outcome is unknown",
}


def write_plan(plan: Mapping[str, Any], out: Output) -> None:
    """Write the order, its names with their accepted addresses, who would be mailed, and the advice."""
    order = plan["order"]
    facts = [order["kind"], order["status"], f"validated by {order['dcv_method']}" if order["dcv_method"] else None]
    out.line(f"Order {plan['order_id']}: {', '.join(fact for fact in facts if fact)}", style="bold")
    if order["waiting_since"] and order["status"] in _WAITING:
        since = f"Waiting since {order['waiting_since']} ({order['age_days']} d)"
        expire = "expire" if order["age_days"] < _LINK_DAYS else "expired"
        out.line(f"{since}; the links of its first emails {expire} on {order['links_expire']}")
    until = f", until {plan['until']}" if "until" in plan else ""
    paused = "; but sending is switched off" if plan.get("paused") else ""
    code = f" ({plan['code']})" if "code" in plan else ""
    out.line(f"A resend now would be: {plan['would_be']}{code}{until}{paused}", style="bold")
    if plan["would_be"] == "sent":
        out.line(f"Would be mailed: {mailed(plan['recipients'])}")
    write_domains(plan, out)
    write_skipped(plan["skipped"], out)
    for name in plan["names"]:
        _write_name(name, out, is_blocked=_is_blocked(plan, name))
    if more := plan.get("more_names"):
        out.line(f"and {more} more names")
    if plan["advice"]:
        out.line()
        out.line("Advice", style="bold")
    for sentence in plan["advice"]:
        out.line(sentence, indent=2)


def mailed(recipients: str | list[str]) -> str:
    """Say who is mailed."""
    return _DEFAULT if recipients == "default" else ", ".join(recipients) or "nobody"


def recipients_of(answer: Mapping[str, Any]) -> str:
    """Say to whom a result or plan sends, and about which domains if the order is not DV."""
    about = with_outcome(answer, "sent")
    return f"to {mailed(answer['recipients'])}" + (f", about {names(about)}" if about else "")


def write_domains(answer: Mapping[str, Any], out: Output) -> None:
    """Write what became of each domain, or would; nothing if the order is a DV order."""
    for line in lines(answer):
        out.line(line, indent=2)


def write_skipped(skipped: list[dict[str, str]], out: Output) -> None:
    """Write who was left out and why; nothing if nobody was."""
    for entry in skipped:
        out.line(skipped_text(entry), style="yellow")


def skipped_text(entry: Mapping[str, str]) -> str:
    """Say who was left out and why."""
    return f"Skipped: {entry['email']} about {entry['domain']}: {_REASONS.get(entry['reason'], entry['reason'])}"


def _is_blocked(plan: Mapping[str, Any], name: Mapping[str, Any]) -> bool:
    """Whether nobody is mailed about a name now. Of an order that is not DV, its domain decides."""
    if plan["would_be"] != "SendingPaused" and "domain" in name:
        of_domain = {each["outcome"] for each in plan.get("domains", []) if each["name"] == name["domain"]}
        if of_domain:  # a plan does not show all of very many domains
            return "sent" not in of_domain
    return bool(plan["would_be"] != "sent")


def _write_name(name: Mapping[str, Any], out: Output, *, is_blocked: bool) -> None:
    out.line()
    domain = name.get("domain", name["name"])
    validated_at = f", validated at {domain}" if domain != name["name"] else ""
    out.line(f"{name['name']} ({name['status'] or 'no status'}){validated_at}", style="bold")
    if name["accepted"]:
        out.line(f"accepted: {', '.join(name['accepted'])}", indent=2)
    parents: dict[str, list[str]] = {}
    for entry in name["accepted_at_parents"]:
        parents.setdefault(entry["email_domain"], []).append(entry["email"])
    for email_domain, addresses in parents.items():
        out.line(f"accepted with email domain {email_domain}: {', '.join(addresses)}", indent=2)
    for host, has_mx in name["mx"].items():
        if not has_mx:
            found = "has no MX record, so it receives no mail" if has_mx is False else "could not be looked up in DNS"
            out.line(f"{host} {found}", indent=2, style="yellow")
    now = "nobody now, later " if is_blocked and name["mailed"] else ""
    out.line(f"would be mailed: {now}{mailed(name['mailed'])}", indent=2)
