"""Where clicks lead: the frozen links of a run, kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

from sqlalchemy import select

from envoi.db import Database, table
from envoi.delivery.models import Link

_RUNS = 1_000
_Links = Mapping[tuple[int, int], str]


class FrozenLinks:
    """Finds a link's target by run, variant and number; a run's links never change."""

    def __init__(self, database: Database, *, runs: int = _RUNS) -> None:
        self._database = database
        self._limit = runs
        self._kept: OrderedDict[tuple[int, int], _Links] = OrderedDict()
        self._lock = Lock()

    def target(self, tenant_id: int, run_id: int, variant: int, number: int) -> str | None:
        """The address a link leads to, or None where the run has no such link."""
        kept = self._kept.get((tenant_id, run_id))
        links = self._load(tenant_id, run_id) if kept is None else kept
        return links.get((variant, number))

    def _load(self, tenant_id: int, run_id: int) -> _Links:
        link = table(Link).c
        query = select(link.variant, link.number, link.target).where(
            link.tenant_id == tenant_id, link.run_id == run_id
        )
        with self._database.tenant_connection(tenant_id) as connection:
            links = {(row.variant, row.number): row.target for row in connection.execute(query)}
        if links:
            with self._lock:
                self._kept[tenant_id, run_id] = links
                if len(self._kept) > self._limit:
                    self._kept.popitem(last=False)
        return links
