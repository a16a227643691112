"""The report of a sweep: what somebody must act on, in plain text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dv_resend.core.reminders import CATCH_UP, LINK_LIFE

if TYPE_CHECKING:
    from dv_resend.core.pending import PendingOrder
    from dv_resend.core.ports import ReportTopic

# So many of the longest lines stay below SNS's limit of 256 KB (Publish, "Message").
MAX_ORDERS = 200
# SNS accepts fewer than 100 characters (Publish, "Subject").
MAX_SUBJECT = 99


@dataclass
class StuckOrders:
    """The stuck orders that a sweep found, as far as a report shows them: memory does not grow with their number.

    Example:
        >>> StuckOrders().shown
        []
    """

    found: int = 0
    newly: "list[PendingOrder]" = field(default_factory=list)
    longer: "list[PendingOrder]" = field(default_factory=list)

    def add(self, order: "PendingOrder") -> None:
        """Count an order, and keep it unless there are enough of its kind."""
        self.found += 1
        kind = self.newly if order.is_newly_stuck else self.longer
        if len(kind) < MAX_ORDERS:
            kind.append(order)

    @property
    def shown(self) -> "list[PendingOrder]":
        """The orders that a report shows, the newly stuck first."""
        return [*self.newly, *self.longer][:MAX_ORDERS]


class Reporter:
    """Reports to a topic what a sweep of one deployment found: the ``stack`` in its ``region``.

    Example:
        ``Reporter(topic, "dv-resend-prod", "eu-west-1").report(stuck, "listed 24, …", deadline)``
    """

    def __init__(self, topic: "ReportTopic", stack: str, region: str) -> None:
        """Keep what is needed; nothing is published yet."""
        self._topic = topic
        self._stack = stack
        self._region = region

    def report(self, stuck: StuckOrders, summary: str, deadline: float, failure: str | None = None) -> None:
        """Publish a report if orders are stuck, or if the sweep ran out of time (``failure`` says how to resume it).

        Never raises: a report that cannot be published before the ``deadline`` is logged.
        """
        if stuck.found or failure:
            headline = "The sweep ran out of time" if failure else _are_stuck(stuck.found)
            paragraphs = [f"DV Resend, stack {self._stack}, region {self._region}"]
            paragraphs += [*_paragraphs(stuck, failure), f"Summary: {summary}"]
            self._topic.publish(f"{headline} ({self._stack})"[:MAX_SUBJECT], "\n\n".join(paragraphs) + "\n", deadline)


def _paragraphs(stuck: StuckOrders, failure: str | None) -> Iterator[str]:
    if failure:
        yield (
            f'{failure}\nOrders after that were not looked at. See "If a sweep runs out of time" in docs/reminders.md.'
        )
    if stuck.found:
        yield (
            f"{_are_stuck(stuck.found)}: reminders have stopped helping, so somebody has to act.\n"
            'A dry run of each order says what may help. See "StuckOrdersAlarm" in docs/operations.md.'
        )
    newly = [order for order in stuck.shown if order.is_newly_stuck]
    longer = [order for order in stuck.shown if not order.is_newly_stuck]
    if newly:
        yield "\n".join([f"Newly stuck, in the last {CATCH_UP.days} days:", *map(_line, newly)])
    if longer:
        yield "\n".join(["Stuck for longer:", *map(_line, longer)])
    if more := stuck.found - len(stuck.shown):
        yield f"And {more} more."


def _line(order: "PendingOrder") -> str:
    age = order.age_days or 0
    if age < LINK_LIFE.days:
        left = _counted(LINK_LIFE.days - age, "day")
        advice = f"Its links may expire in {left}. Name another recipient, or change the validation method."
    else:
        advice = "Its links may have expired. Change the validation method, or cancel the order."
    return f"- {order.order_id} {order.name}: pending for {_counted(age, 'day')}. {advice}"


def _are_stuck(count: int) -> str:
    return f"{_counted(count, 'order')} {'is' if count == 1 else 'are'} stuck"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
