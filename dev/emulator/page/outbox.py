"""Emails, grouped by the call that sent them, each as its recipient reads it."""

import time
from typing import Any

from ..dcv_email import is_expired, text_around_link
from .history import History, subject_of
from .markup import Html, ago, at, chip, counted, facts, fill, left_out, text

MAX_GROUPS = 20
_MAILS_IN_GROUP = 10

type Mails = list[dict[str, Any]]


def render_outbox(history: History, groups: list[Mails], url: str) -> Html:
    """Return the emails of the newest calls; each of `groups` has those of one call, oldest first."""
    shown = [_group(history, mails, url) for mails in groups[: -MAX_GROUPS - 1 : -1]]
    more = left_out(len(groups) - len(shown), "earlier call", "/_emulator/outbox has all emails.")
    return fill("$groups $more", groups=shown or "No email has been sent.", more=more)


def render_mails(mails: Mails, url: str, limit: int, hint: str) -> Html:
    """Return emails that open at a click; `hint` says where those beyond the limit are."""
    shown = [_mail(mail, url) for mail in mails[:limit]]
    return fill("$mails $more", mails=shown, more=left_out(len(mails) - limit, "more email", hint))


def _group(history: History, mails: Mails, url: str) -> Html:
    number = mails[0]["caused_by"]
    call = fill(
        '<a href="/calls/$number">call $number</a>' if number in history.calls else "call $number", number=number
    )
    return fill(
        "<h3>$at $call, $about: $count</h3> $mails",
        at=at(mails[0]["sent_at"]),
        call=call,
        about=subject_of(mails[0]),
        count=counted(len(mails), "email"),
        mails=render_mails(mails, url, _MAILS_IN_GROUP, f"See call {number}."),
    )


def _mail(mail: dict[str, Any], url: str) -> Html:
    before, after = text_around_link(mail)
    head = [
        ("From", mail["from"]),
        ("To", mail["to"]),
        ("Subject", mail["subject"]),
        ("Sent", at(mail["sent_at"], with_date=True)),
        ("Language", mail["locale"] or "default"),
    ]
    age = f"link {ago(mail['link_created_at'])} old"
    return fill(
        "<details><summary><b>$to</b> for $domain $at $age</summary> $head <pre>$before$link$after</pre></details>\n",
        to=mail["to"],
        domain=mail["domain"],
        at=f"at {mail['email_domain']}" if "email_domain" in mail else None,
        age=chip(f"{age}, expired", "bad") if is_expired(mail, time.time()) else fill("<small>$age</small>", age=age),
        head=facts(head),
        before=text(before, limit=2000, keep="\n"),
        link=fill('<a href="$path">$url$path</a>', url=url, path=mail["link"]),
        after=text(after, keep="\n"),
    )
