"""Gives up calls into plugins that last too long, and makes good what plugins ended a process in.

A thread cannot be ended. So its place goes to somebody else, its mailing pauses with the
plugin's name, and the process is replaced as soon as nobody else in it waits for long.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import func, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from envoi.calls import Call, Calls, last_calls
from envoi.db import table
from envoi.delivery.copies import give_up_copies
from envoi.delivery.runs import pause_run
from envoi.errors import ConflictError, NotFoundError
from envoi.installation import Installation
from envoi.jobs import Work
from envoi.operations.plugin_errors import note_fault
from envoi.plugins import accuse
from envoi.tenants.models import DueWork
from envoi_workers.workshop import HANGS_SECONDS, SPARE_SEATS, Workshop

log = structlog.get_logger()

LOOK_SECONDS = 0.5
LOCK_SECONDS = 2
"""A call that hangs may hold what its mailing needs to be paused; that is done after its end."""
REST = timedelta(hours=1)
"""How long work rests that is no mailing and ends in a plugin that hangs or ends its process."""

_RUNS = (Work.SEND, Work.COLLECT)


def calls_folder(data_dir: Path) -> Path:
    """Where processes of this machine note what they are doing inside plugins."""
    return data_dir / "calls"


def settle_last_calls(installation: Installation) -> None:
    """Hold to account what the processes of this machine ended in that are no more."""
    with last_calls(calls_folder(installation.settings.data_dir)) as found:
        for last in found:
            stop_work(installation, last.call, last.why)


def stop_work(installation: Installation, call: Call, why: str) -> None:
    """Pause the mailing, or let the work rest, whose call into a plugin went wrong.

    Raises:
        SQLAlchemyError: It could not be written down, for example because the call holds a lock.
    """
    did = f"{why}. Have it mended, then go on."
    error = accuse(installation.plugins, call.kind, call.name, did)
    log.error("plugin_stopped_work", tenant=call.tenant_id, ref=call.ref, error=str(error))
    with installation.database.tenant_session(call.tenant_id) as session:
        session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        # Somebody may have paused, cancelled or deleted it meanwhile.
        with suppress(ConflictError, NotFoundError):
            _stop(session, call, str(error))
    note_fault(installation.database, call.tenant_id, error)


class Watch:
    """Looks after the calls of a process until it stops; a thread of its own."""

    def __init__(self, workshop: Workshop, calls: Calls) -> None:
        self._workshop, self._calls = workshop, calls
        self._given_up: dict[int, Call] = {}
        """The calls that hang, by thread."""
        self._unsettled: dict[int, Call] = {}
        """Those of them whose work has not been stopped yet."""
        self._left = threading.Event()

    @property
    def hangs(self) -> bool:
        """Whether a call was given up that has not come back."""
        return bool(self._given_up)

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def leave(self) -> None:
        """Leave to others what could not be settled; the process ends now."""
        self._left.set()
        for call in list(self._unsettled.values()):
            self._calls.give_up(call, _why(call))

    def _run(self) -> None:
        # Also while the process drains: whoever hangs keeps it from ending.
        while not self._left.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Give up what lasts too long, and the process with it once that harms nobody."""
        standing = {call.thread: call for call in self._calls.standing()}
        self._given_up = {t: c for t, c in self._given_up.items() if standing.get(t) == c}
        for thread, call in standing.items():
            if thread not in self._given_up and call.seconds > self._patience(call):
                self._given_up[thread] = self._unsettled[thread] = call
                self._workshop.give_up(thread)
        for thread, call in list(self._unsettled.items()):
            with suppress(SQLAlchemyError):
                stop_work(self._workshop.installation, call, _why(call))
                del self._unsettled[thread]
        stopping = self._workshop.stopping
        if self._given_up and not stopping.is_set() and not self._would_harm(standing.values()):
            log.error("process_replaced", hanging=len(self._given_up))
            stopping.set()

    def _would_harm(self, standing: Iterable[Call]) -> bool:
        """Whether others wait for a slow server that may yet answer, and there is room for more."""
        slow = [c for c in standing if c.thread not in self._given_up and c.seconds > HANGS_SECONDS]
        return bool(slow) and len(self._given_up) < SPARE_SEATS

    def _patience(self, call: Call) -> float:
        installation = self._workshop.installation
        provider = installation.plugins.providers.get(call.name)
        if call.kind == "provider" and provider is not None:
            return provider.patience_seconds
        return installation.settings.plugin_seconds


def _why(call: Call) -> str:
    return f"did not answer in {call.seconds:.0f} s"


def _stop(session: Session, call: Call, reason: str) -> None:
    if call.work in _RUNS:
        pause_run(session, call.tenant_id, call.ref, reason)
    elif call.work == Work.COPIES:
        give_up_copies(session, call.tenant_id, call.ref, reason)
    else:
        work = table(DueWork)
        c = work.c
        mine = (c.tenant_id == call.tenant_id, c.kind == call.work, c.ref == call.ref)
        session.execute(work.update().where(*mine).values(due_at=func.now() + REST))
