"""Telling plugins what became of messages, where it can neither stop nor slow sending.

What was recorded goes into a queue that one thread empties. A batch that finds the queue full, or
that is still in it when the process ends, is not told: observers keep figures, never promises.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from queue import Full, Queue

import structlog

from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.delivery.outcomes import Outcome
from envoi.delivery.plan import Plan
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
    """The queue to the plugins that observe; its thread begins with the first batch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: Queue[tuple[str, Observer, DeliveryBatch]] = Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

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
        self._begin()
        for plugin, observer in plan.observers:
            try:
                self._waiting.put_nowait((plugin, observer, batch))
            except Full:
                log.warning("observer_missed", plugin=plugin, run=plan.run_id)

    def settle(self, seconds: float) -> bool:
        """Wait so long at most until everything was told, and say whether it was."""
        told = self._waiting.all_tasks_done
        with told:
            return told.wait_for(lambda: not self._waiting.unfinished_tasks, seconds)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="observers", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            plugin, observer, batch = self._waiting.get()
            try:
                observer(batch=batch)
            except Exception as error:  # noqa: BLE001 (whatever a plugin does is its own trouble)
                log.error("observer_failed", plugin=plugin, run=batch.run_id, error=repr(error))
            finally:
                self._waiting.task_done()
