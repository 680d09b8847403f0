"""Sending processes for tests, started in no time and killed at will."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from pydantic import SecretStr

from envoi import failpoints
from envoi.installation import open_installation
from envoi.settings import Settings, load_settings
from envoi_workers.main import run_worker
from envoi_workers.scheduler import Scheduler

# Forked from a process that has everything imported, so that a kill costs no second of starting.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("pytest", "envoi_workers.main", "envoi.mailings.launch", "envoi_web.plugin"),
        *("envoi_channel_email", "envoi_policy_frequency_cap", "envoi_segment_builtin"),
    ]
)


@dataclass
class Workers:
    """Sending processes, started again after each kill as a supervisor would."""

    settings: Settings
    count: int
    threads: int
    queues: Sequence[str] = ("send",)
    processes: list[BaseProcess] = field(default_factory=list)

    def start(self) -> None:
        """Start what is missing."""
        self.processes = [p for p in self.processes if p.is_alive()]
        while len(self.processes) < self.count:
            arguments = (self.settings, self.queues, self.threads)
            process = FORKS.Process(target=run_worker, args=arguments)
            process.start()
            self.processes.append(process)

    def kill(self, process: BaseProcess) -> None:
        """End a process as the kernel does when memory is short."""
        process.kill()
        process.join()

    def end(self) -> None:
        """Ask all to end, and see that they do."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(15)
        assert not any(process.is_alive() for process in self.processes)


def worker_settings(postgres_url: str, redis_url: str, data_dir: Path) -> Settings:
    """The settings of a worker over a test's servers; the key is that of `an_installation`."""
    return load_settings(
        database_url=SecretStr(postgres_url),
        redis_url=SecretStr(redis_url),
        data_dir=data_dir,
        secret_key=SecretStr("a key only for tests, long enough"),
    )


def die_at(
    place: failpoints.Place | None, settings: Settings, queues: Sequence[str] = ("send",)
) -> BaseProcess:
    """Start a worker with one thread that is killed when it comes by a fail-point."""
    process = FORKS.Process(target=_dying, args=(place, settings, queues))
    process.start()
    return process


def scheduler_dies_at(place: failpoints.Place, settings: Settings) -> BaseProcess:
    """Start a scheduler that is killed when it comes by a fail-point."""
    process = FORKS.Process(target=_dying_scheduler, args=(place, settings))
    process.start()
    return process


def _dying(place: failpoints.Place | None, settings: Settings, queues: Sequence[str]) -> None:
    if place:
        failpoints.arm(place)
    run_worker(settings, queues, 1)


def _dying_scheduler(place: failpoints.Place, settings: Settings) -> None:
    failpoints.arm(place)
    Scheduler(open_installation(settings)).run(threading.Event())


@contextmanager
def workers(
    postgres_url: str,
    redis_url: str,
    data_dir: Path,
    count: int,
    threads: int,
    queues: Sequence[str] = ("send",),
) -> Iterator[Workers]:
    """So many sending processes, until the end of the block."""
    settings = worker_settings(postgres_url, redis_url, data_dir)
    found = Workers(settings, count, threads, queues)
    try:
        found.start()
        yield found
    finally:
        found.end()
