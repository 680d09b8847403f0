"""Worker processes for tests, started in no time and killed at will."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from pydantic import SecretStr

from chaos.processes import start
from envoi.settings import Settings, load_settings


@dataclass
class Workers:
    """Sending processes, started again after each kill as a supervisor would."""

    settings: Settings
    count: int
    threads: int
    queues: Sequence[str] = ("send",)
    log: Path | None = None
    plugins: Path | None = None
    processes: list[BaseProcess] = field(default_factory=list)

    def start(self) -> None:
        """Start what is missing."""
        self.processes = [p for p in self.processes if p.is_alive()]
        while len(self.processes) < self.count:
            started = start(
                self.settings, self.queues, self.threads, log=self.log, plugins=self.plugins
            )
            self.processes.append(started)

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


@contextmanager
def workers(
    settings: Settings, count: int, threads: int, queues: Sequence[str] = ("send",)
) -> Iterator[Workers]:
    """So many sending processes, until the end of the block."""
    found = Workers(settings, count, threads, queues)
    try:
        found.start()
        yield found
    finally:
        found.end()
