"""Bounces of a mailing in words: whose fault, and why."""

from __future__ import annotations

from dataclasses import dataclass

from envoi.feedback.queries import bounces_of_run
from envoi.feedback.rules import Why
from envoi.mailings.report import MailingReport
from envoi.webkit import allowed, current
from envoi_web.customers.bounce_words import FAULTS, REASONS


@dataclass(frozen=True, kw_only=True)
class ShownBounces:
    """Bounces with one fault and reason."""

    fault: str
    reason: str
    status: str
    answer: str
    count: int


def bounce_lines(report: MailingReport) -> list[ShownBounces]:
    """Every fault and reason, with a server's answer as a sample for who may see addresses."""
    with current.session() as session:
        found = bounces_of_run(session, current.tenant_id, report.run_id)
    return [
        ShownBounces(
            fault=str(FAULTS[line.fault]),
            reason=str(REASONS[Why(line.reason)]),
            status=line.status,
            answer=line.answer if allowed("customers.contacts") else "",
            count=line.count,
        )
        for line in found
    ]
