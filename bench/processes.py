"""Processes that a benchmark starts and watches: their CPU time and memory, from `/proc`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, select

from bench.stage import Stage
from envoi.db import table
from envoi.delivery.models import Sender
from envoi.secrets import environment_of

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PARENT, _TIMES = 1, slice(11, 15)
"""Fields after the name: the parent; the times of a process and of the children it has reaped."""


def cpu_seconds(root: int) -> float:
    """Return the CPU time of a process and its descendants, those that have ended included."""
    stats = {pid: fields for pid in _pids() if (fields := _stat(pid))}
    total, tree = 0, [root]
    while tree:
        pid = tree.pop()
        total += sum(int(ticks) for ticks in stats[pid][_TIMES])
        tree += [child for child, fields in stats.items() if int(fields[_PARENT]) == pid]
    return total * _TICK


def postmaster(stage: Stage) -> int:
    """Return the process that every PostgreSQL process of a stage descends from."""
    return int((stage.postgres.home / "data" / "postmaster.pid").read_text().split()[0])


def peak_megabytes(pid: int) -> float:
    """Return the most memory that a process has ever held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


@contextmanager
def smtp_sink() -> Iterator[tuple[int, int]]:
    """Run Postfix's `smtp-sink` on a free port; yields the port and the process."""
    program = shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise SystemExit("There is no smtp-sink. Install Postfix (Debian: apt install postfix).")
    port = free_port()
    identity = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, *identity, f"127.0.0.1:{port}", "1000"])
    try:
        wait_for(lambda: listens(port), "smtp-sink")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def workers(stage: Stage, processes: int, threads: int) -> Iterator[list[int]]:
    """Run sending processes as `envoi worker` starts them; yields their numbers."""
    command = [sys.executable, "-m", "envoi_workers", "send", str(threads)]
    environment = {**os.environ, **variables(stage)}
    with (stage.installation.settings.data_dir / "workers.log").open("ab") as log:
        started = [
            subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            for _ in range(processes)
        ]
    try:
        wait_for(lambda: _senders(stage) == processes, "the workers")
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def wait_for(is_so: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until something is so; raise `TimeoutError` that names it when it takes too long."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not after {seconds:.0f} s")
        time.sleep(0.1)


def variables(stage: Stage) -> dict[str, str]:
    """Return the environment of processes that belong to a stage."""
    settings = stage.installation.settings
    return {"ENVOI_DATA_DIR": str(settings.data_dir), **environment_of(settings)}


def _senders(stage: Stage) -> int:
    query = select(func.count()).where(table(Sender).c.ended_at.is_(None))
    with stage.database.system_session() as session:
        return session.scalar(query) or 0


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Return whether anybody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _pids() -> list[int]:
    return [int(found.name) for found in Path("/proc").iterdir() if found.name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in brackets and may hold anything.
    return text.rpartition(") ")[2].split()
