"""`envoi worker` and `envoi scheduler`."""

from __future__ import annotations

import signal
import sys
import threading

import click

from envoi.installation import open_installation
from envoi.operations.endpoint import serving_metrics
from envoi.operations.reporter import Reporter
from envoi.secrets import environment_of, with_secret_key
from envoi.settings import Settings, load_settings
from envoi.supervisor import ChildSpec, Supervisor

QUEUE_THREADS = {"bulk": 2, "quick": 2}


def worker_children(settings: Settings) -> list[ChildSpec]:
    """List the worker processes: several that send, one for each other queue."""
    environment = environment_of(settings)

    def child(name: str, queue: str, threads: int) -> ChildSpec:
        command = [sys.executable, "-m", "envoi_workers", queue, str(threads)]
        return ChildSpec(name=name, command=command, environment=environment)

    return [
        *(
            child(f"send-{number}", "send", settings.worker_threads)
            for number in range(1, settings.worker_processes + 1)
        ),
        *(child(queue, queue, threads) for queue, threads in QUEUE_THREADS.items()),
    ]


@click.command()
def worker() -> None:
    """Send messages and do background work, in several processes, until Ctrl-C or SIGTERM."""
    settings = with_secret_key(load_settings())
    Supervisor(worker_children(settings)).run()


@click.command()
def scheduler() -> None:
    """Wake workers when work falls due, and serve metrics; of several schedulers one works."""
    from envoi_workers.scheduler import Scheduler

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    installation = open_installation(load_settings())
    reporter = Reporter(installation, "scheduler")
    with serving_metrics(installation):
        reporter.start()
        Scheduler(installation).run(stopping)
        reporter.close()
    installation.database.engine.dispose()
