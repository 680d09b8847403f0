"""The steps of a cascade in the report, as plain data."""

from __future__ import annotations

from typing import Any

from envoi.mailings.report import MailingReport
from envoi_web.mailings.context import channel_label
from envoi_web.mailings.costing import cost_money


def steps(report: MailingReport) -> list[dict[str, Any]]:
    """Describe what each step came to; nothing for a mailing of one channel."""
    return [
        {
            "number": step.step,
            "label": channel_label(step.channel),
            "sent": step.sent,
            "delivered": step.delivered,
            "read": step.read,
            "failed": step.failed,
            "followed": step.followed,
            "amount": cost_money(step.amount) if step.amount else "",
        }
        for step in report.steps
    ]
