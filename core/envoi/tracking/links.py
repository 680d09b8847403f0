"""Where clicks lead: the frozen links of a run, kept in memory."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

from sqlalchemy import select
from werkzeug.urls import iri_to_uri

from envoi.db import Database, table
from envoi.delivery.models import Link
from envoi.tracking.answers import NOTHING_HERE, Answer, redirect
from envoi.tracking.tokens import MessageRef

_RUNS = 1_000
_WEB = re.compile(r"https?://[^\s\x00-\x1f\x7f]+\Z", re.IGNORECASE)
_Links = Mapping[tuple[int, int, int], Answer]


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
        kept = self._kept.get((message.tenant_id, message.run_id))
        links = self._load(message.tenant_id, message.run_id) if kept is None else kept
        first = links.get((1, message.variant, number), NOTHING_HERE)
        return links.get((message.step, message.variant, number), first)

    def _load(self, tenant_id: int, run_id: int) -> _Links:
        link = table(Link).c
        query = select(link.step, link.variant, link.number, link.target).where(
            link.tenant_id == tenant_id, link.run_id == run_id
        )
        with self._database.tenant_connection(tenant_id) as connection:
            rows = connection.execute(query).all()
        links = {(row.step, row.variant, row.number): lead_to(row.target) for row in rows}
        if links:
            with self._lock:
                self._kept[tenant_id, run_id] = links
                if len(self._kept) > self._limit:
                    self._kept.popitem(last=False)
        return links
