"""Workers and schedulers as processes, forked from one that has everything imported.

So a kill costs no second of starting. The tests start theirs here as well.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from envoi import failpoints
from envoi.embedded.guard import PR_SET_PDEATHSIG, libc_call
from envoi.installation import open_installation
from envoi.settings import Settings
from envoi_workers.main import run_worker
from envoi_workers.scheduler import Scheduler

SCHEDULER = "scheduler"
"""Stands in place of queues for a process that schedules."""

_FORKS = multiprocessing.get_context("forkserver")
# A process imports the program that has started it: for tests that is pytest.
_FORKS.set_forkserver_preload(
    [
        *("pytest", "chaos.processes", "envoi.mailings.launch", "envoi_web.plugin"),
        *("envoi_channel_email", "envoi_segment_builtin", "envoi_limit_warmup"),
        *("envoi_policy_frequency_cap", "envoi_policy_quiet_hours"),
    ]
)


def start(
    settings: Settings,
    queues: Sequence[str],
    threads: int = 1,
    *,
    place: failpoints.Place | None = None,
    log: Path | None = None,
    plugins: Path | None = None,
) -> BaseProcess:
    """Start a process that ends with this one.

    Args:
        settings: Where its servers and its data are.
        queues: What it works on, or the scheduler.
        threads: How much it does at a time.
        place: Where it dies.
        log: The file that its words go to.
        plugins: A folder with installed plugins, besides those of the environment.
    """
    arguments = (settings, queues, threads, place, log, plugins)
    process = _FORKS.Process(target=_work, args=arguments, daemon=True)
    process.start()
    return process


def _work(
    settings: Settings,
    queues: Sequence[str],
    threads: int,
    place: failpoints.Place | None,
    log: Path | None,
    plugins: Path | None,
) -> None:
    libc_call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if log:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    if plugins:
        sys.path.append(str(plugins))
    if place:
        failpoints.arm(place)
    if SCHEDULER in queues:
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        Scheduler(open_installation(settings)).run(stopping)
    else:
        sys.exit(run_worker(settings, queues, threads))
