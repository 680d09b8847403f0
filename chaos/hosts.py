"""Hosts: groups of worker processes with a data folder of their own, killed and started anew."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from sqlalchemy import select

from bench.stage import Stage
from chaos.processes import SCHEDULER, start
from envoi.db import table
from envoi.delivery.models import Sender
from envoi.delivery.recorder import RecorderUnreadableError, dead_recorder
from envoi.delivery.sender import recorder_folder

_LOOK_SECONDS = 0.1
_STOP_SECONDS = 30.0
_REST_SECONDS = 1.0
"""What ends sooner than that has a fault of its own, and is not started again at once."""


@dataclass
class Host:
    """Processes of one machine; whatever ends is started again, as by a supervisor.

    Args:
        stage: The servers they use.
        folder: Their data folder.
        queues: What each process works on, one entry a process.
        threads: How much each does at a time.
    """

    stage: Stage
    folder: Path
    queues: Sequence[tuple[str, ...]]
    threads: int
    _processes: list[BaseProcess | None] = field(default_factory=list)
    _rests_until: list[float] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Host:
        self._processes = [None] * len(self.queues)
        self._rests_until = [0.0] * len(self.queues)
        self._start_missing()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._supervisor.join()
        running = [process for process in self._processes if process]
        for process in running:
            process.terminate()
        for process in running:
            process.join(_STOP_SECONDS)
            if process.is_alive():
                process.kill()

    def senders(self) -> list[BaseProcess]:
        """The processes that send."""
        return self._of("send")

    def schedulers(self) -> list[BaseProcess]:
        """The processes that schedule; one of them works, the others wait for it to end."""
        return self._of(SCHEDULER)

    def kill(self, victim: BaseProcess) -> int:
        """End a process as the kernel does, and return how many messages it had on the wire."""
        with self._open_recorder(victim) as recorder:
            victim.kill()
            victim.join()
            return _on_wire(recorder) if recorder else 0

    def burn_down(self, folder: Path) -> Sequence[int]:
        """Kill all processes at once, delete their recorders, and go on on a new machine.

        Returns:
            The senders that are lost.
        """
        with self._lock:
            running = [process for process in self._processes if process]
            lost = _senders(self.stage, [process.pid for process in running])
            for process in running:
                process.kill()
            for process in running:
                process.join()
            for recorder in recorder_folder(self.folder).glob("*.rec"):
                recorder.unlink()
            self.folder = folder
        return [sender.id for sender in lost]

    def restart(self, process: BaseProcess) -> float:
        """Ask a process to end and return how long it took, in seconds."""
        began = time.monotonic()
        process.terminate()
        process.join(_STOP_SECONDS)
        return time.monotonic() - began

    def _of(self, queue: str) -> list[BaseProcess]:
        pairs = zip(self._processes, self.queues, strict=True)
        return [process for process, queues in pairs if process and queue in queues]

    @contextmanager
    def _open_recorder(self, process: BaseProcess) -> Iterator[Path | None]:
        """Hold a process's recorder open, so that a reconciler cannot take it away unread."""
        with ExitStack() as stack:
            found = None
            for sender in _senders(self.stage, [process.pid]):
                with suppress(FileNotFoundError):
                    file = os.open(recorder_folder(self.folder) / sender.recorder, os.O_RDONLY)
                    stack.callback(os.close, file)
                    found = Path(f"/proc/self/fd/{file}")
            yield found

    def _supervise(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._start_missing()

    def _start_missing(self) -> None:
        with self._lock:
            settings = self.stage.installation.settings.model_copy(update={"data_dir": self.folder})
            log = self.stage.installation.settings.data_dir / "processes.log"
            for place, process in enumerate(self._processes):
                if process and process.is_alive():
                    continue
                if time.monotonic() >= self._rests_until[place]:
                    fresh = start(settings, self.queues[place], self.threads, log=log)
                    self._processes[place] = fresh
                    self._rests_until[place] = time.monotonic() + _REST_SECONDS


def a_host(
    stage: Stage, processes: int, threads: int, *, name: str = "host", others: bool = False
) -> Host:
    """A machine with so many senders; the first one has what else an installation needs.

    Args:
        others: Whether it has a scheduler and workers for the other queues as well.
    """
    more: list[tuple[str, ...]] = [(SCHEDULER,), ("quick", "bulk")] if others else []
    return host_of(stage, [*([("send",)] * processes), *more], threads, name)


def host_of(
    stage: Stage, queues: Sequence[tuple[str, ...]], threads: int, name: str = "host"
) -> Host:
    """A machine with a process for each of these."""
    return Host(stage, stage.installation.settings.data_dir / name, queues, threads)


def _senders(stage: Stage, pids: Sequence[int | None]) -> Sequence[Sender]:
    """The open sessions of processes."""
    c = table(Sender).c
    with stage.database.system_session() as session:
        return session.scalars(select(Sender).where(c.pid.in_(pids), c.ended_at.is_(None))).all()


def _on_wire(recorder: Path) -> int:
    while True:
        try:
            with dead_recorder(recorder) as traces:
                if traces is not None:
                    return sum(trace.on_wire is not None for trace in traces)
        except RecorderUnreadableError:
            return 0
        # A reconciler holds its lock.
        time.sleep(_LOOK_SECONDS)
