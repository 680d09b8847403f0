"""Telling plugins what became of messages, where it can neither stop nor slow sending.

What was recorded goes into a queue for each plugin, which a thread empties. A batch that finds the
queue full, or that is still in it when the process ends, is not told: observers keep figures,
never promises.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from queue import Full, Queue
from time import monotonic

import structlog

from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.delivery.outcomes import Outcome
from envoi.delivery.plan import Plan
from envoi.errors import PluginError
from envoi.operations.plugin_errors import note_fault
from envoi.plugins import Observer
from envoi.sending import Delivered, DeliveryBatch, DeliveryOutcome

log = structlog.get_logger()

MOST_WAITING = 1_000

_OUTCOMES = {
    MessageState.ACCEPTED: DeliveryOutcome.ACCEPTED,
    MessageState.FAILED: DeliveryOutcome.FAILED,
    MessageState.UNCONFIRMED: DeliveryOutcome.UNCONFIRMED,
}


class Observers:
    """The queues to the plugins that observe; a thread begins with the first batch of each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._told: dict[str, _Told] = {}

    def tell(self, plan: Plan, outcomes: Sequence[Outcome]) -> None:
        """Tell a run's observers of a block; returns at once."""
        messages = [
            Delivered(customer_id=o.customer_id, step=o.step, outcome=_OUTCOMES[o.state])
            for o in outcomes
            if o.state in _OUTCOMES
        ]
        if not plan.observers or not messages:
            return
        batch = DeliveryBatch(
            tenant_id=plan.tenant_id,
            run_id=plan.run_id,
            mailing_id=plan.mailing_id,
            channel=plan.channel,
            messages=messages,
            session=partial(self._database.tenant_session, plan.tenant_id),
        )
        for plugin, observer in plan.observers:
            self._of(plugin).tell(observer, batch)

    def settle(self, seconds: float) -> bool:
        """Wait so long at most until everything was told, and say whether it was."""
        until = monotonic() + seconds
        with self._lock:
            everybody = list(self._told.values())
        return all(told.settle(max(0.0, until - monotonic())) for told in everybody)

    def _of(self, plugin: str) -> _Told:
        with self._lock:
            if plugin not in self._told:
                self._told[plugin] = _Told(self._database, plugin)
            return self._told[plugin]


class _Told:
    """A plugin that observes, and what it has not been told yet."""

    def __init__(self, database: Database, plugin: str) -> None:
        self._database, self._plugin = database, plugin
        self._waiting: Queue[tuple[Observer, DeliveryBatch]] = Queue(MOST_WAITING)
        self._is_late = False
        threading.Thread(target=self._work, name=f"telling {plugin}", daemon=True).start()

    def tell(self, observer: Observer, batch: DeliveryBatch) -> None:
        """Let it be told of a batch, unless too many wait already."""
        try:
            self._waiting.put_nowait((observer, batch))
        except Full:
            log.warning("observer_missed", plugin=self._plugin, run=batch.run_id)
            if not self._is_late:
                self._is_late = True
                self._blame(batch, f"it does not keep up: {MOST_WAITING} batches wait for it.")

    def settle(self, seconds: float) -> bool:
        """Wait so long at most until it was told everything, and say whether it was."""
        told = self._waiting.all_tasks_done
        with told:
            return told.wait_for(lambda: not self._waiting.unfinished_tasks, seconds)

    def _work(self) -> None:
        while True:
            observer, batch = self._waiting.get()
            try:
                observer(batch=batch)
            except BaseException as error:  # noqa: BLE001 (whatever a plugin does is its own trouble)
                log.error(
                    "observer_failed", plugin=self._plugin, run=batch.run_id, error=repr(error)
                )
                self._blame(batch, f"observing failed: {error!r}")
            finally:
                self._waiting.task_done()
                self._is_late = self._is_late and not self._waiting.empty()

    def _blame(self, batch: DeliveryBatch, why: str) -> None:
        error = PluginError(self._plugin, why, place="delivery_recorded")
        note_fault(self._database, batch.tenant_id, error)
