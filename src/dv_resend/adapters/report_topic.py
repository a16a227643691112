"""The topic for reports: one SNS topic to which people subscribe."""

import time
from collections.abc import Callable

from dv_resend.adapters import aws
from dv_resend.observability import logger

# With less time left, nothing is published. The time-outs of `aws.client` allow 7 s, but do not bound name resolution.
NEEDED_SECONDS = 30.0


class SnsReportTopic:
    """The topic ``arn``, in its own region. It implements `core.ports.ReportTopic`.

    Example:
        ``SnsReportTopic(arn).publish("1 order is stuck", "…", deadline)``
    """

    def __init__(self, arn: str, clock: Callable[[], float] = time.time) -> None:
        """Keep what is needed; no client is made yet, because most sweeps publish nothing."""
        self._arn = arn
        self._clock = clock

    def publish(self, subject: str, text: str, deadline: float) -> None:
        """Publish a report, unless too little time is left before the ``deadline``.

        Never raises: what fails is logged. A lost response may have it published twice.
        """
        if deadline - self._clock() < NEEDED_SECONDS:
            logger.error("report not published", error="too little time was left")
            return
        try:
            region = self._arn.split(":")[3]
            aws.client("sns", region).publish(TopicArn=self._arn, Subject=subject, Message=text)
        except aws.SDK_ERRORS as error:
            logger.error("report not published", error=aws.error_code(error))
        else:
            logger.info("report published")
