"""The page that an email's link opens: it asks before it validates, as DigiCert's does."""

from ..dcv_email import Link
from .history import subject_of
from .markup import MAX_LINES, Html, fill, items


def render_link(link: Link) -> Html:
    """Return what following the link would validate, with a button, or why there is nothing to do."""
    order = fill("<p>For $about</p>", about=subject_of(link.mail))
    if not link.names:
        return fill("<h2>$reason</h2> $order", reason=link.reason, order=order)
    return fill(
        "<h2>Approve the certificate request for $domain?</h2> $order <p>This validates:</p> $names"
        '<form method="post"><button class="big">Approve</button></form>',
        domain=link.mail["domain"],
        order=order,
        names=items(link.names[:MAX_LINES], len(link.names) - MAX_LINES),
    )
