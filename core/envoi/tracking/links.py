"""Where clicks lead: the frozen links of a run, kept in memory."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from threading import Lock

from sqlalchemy import and_, select
from werkzeug.urls import iri_to_uri

from envoi.db import Database, table
from envoi.delivery.models import Link, Run
from envoi.tracking.answers import NOTHING_HERE, Answer, redirect
from envoi.tracking.codes import ShortClick
from envoi.tracking.tokens import InvalidTokenError, MessageRef

_RUNS = 1_000
_WEB = re.compile(r"https?://[^\s\x00-\x1f\x7f]+\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Links:
    """The links of a run by step, variant and number."""

    launched_on: date
    answers: Mapping[tuple[int, int, int], Answer]


def lead_to(target: str) -> Answer:
    """The redirect to a web address; the one 404 for anything else, such as `javascript:`."""
    if not _WEB.match(target):
        return NOTHING_HERE
    try:
        return redirect(iri_to_uri(target))
    except ValueError:
        # A template made an address that is none, such as http://[name.
        return NOTHING_HERE


class FrozenLinks:
    """Finds where a link leads by its message and number; a run's links never change."""

    def __init__(self, database: Database, *, runs: int = _RUNS) -> None:
        self._database = database
        self._limit = runs
        self._kept: OrderedDict[tuple[int, int], _Links] = OrderedDict()
        self._lock = Lock()

    def answer(self, message: MessageRef, number: int) -> Answer:
        """The redirect to a link's address, or the one 404 where the run has no such link."""
        links = self._of(message.tenant_id, message.run_id)
        if links is None:
            return NOTHING_HERE
        first = links.answers.get((1, message.variant, number), NOTHING_HERE)
        return links.answers.get((message.step, message.variant, number), first)

    def message(self, click: ShortClick) -> MessageRef:
        """The message of a short code, which does not say the day; raise `InvalidTokenError`."""
        links = self._of(click.tenant_id, click.run_id)
        if links is None:
            raise InvalidTokenError
        who = (click.tenant_id, click.run_id, click.customer_id)
        return MessageRef(*who, links.launched_on, click.step, click.variant)

    def _of(self, tenant_id: int, run_id: int) -> _Links | None:
        return self._kept.get((tenant_id, run_id)) or self._load(tenant_id, run_id)

    def _load(self, tenant_id: int, run_id: int) -> _Links | None:
        link, run = table(Link).c, table(Run).c
        query = (
            select(link.step, link.variant, link.number, link.target, run.launched_on)
            .join_from(
                table(Link), table(Run), and_(run.tenant_id == tenant_id, run.id == link.run_id)
            )
            .where(link.tenant_id == tenant_id, link.run_id == run_id)
        )
        with self._database.tenant_connection(tenant_id) as connection:
            rows = connection.execute(query).all()
        if not rows:
            return None
        answers = {(row.step, row.variant, row.number): lead_to(row.target) for row in rows}
        links = _Links(rows[0].launched_on, answers)
        with self._lock:
            self._kept[tenant_id, run_id] = links
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return links
