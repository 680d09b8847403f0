"""Senders whose disk is full: nobody is sent to unrecorded, and it goes on by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chaos.processes import start
from envoi.db import Database
from envoi.delivery.models import MessageState, Run
from envoi.failpoints import Place
from envoi.installation import Installation
from envoi.secrets import environment_of
from envoi.settings import Settings
from factories.delivery import a_run_through, is_sent, states
from factories.workers import worker_settings
from processes import wait_until
from smtp_sink import SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")

PEOPLE = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for little."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("There is no `mount` here.")
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("No file system can be mounted here.")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def settings(postgres_url: str, redis_url: str, disk: Path) -> Settings:
    return worker_settings(postgres_url, redis_url, disk)


@pytest.fixture
def run(installation: Installation, tenant_id: int, sink: SmtpSink) -> Run:
    return a_run_through(installation, tenant_id, sink.port, PEOPLE, block_size=20)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; return the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65536))
    with pytest.raises(OSError, match="No space left"):
        (disk / "one more").write_bytes(b"x")
    (disk / "one more").unlink()
    return filler


def wait_for_the_end(database: Database, run: Run) -> None:
    wait_until(lambda: is_sent(database, run), seconds=60, what="the end of the run")


def test_on_a_full_disk_no_sender_starts_until_there_is_room(
    database: Database, run: Run, sink: SmtpSink, disk: Path, settings: Settings, tmp_path: Path
) -> None:
    filler, words = fill(disk), tmp_path / "words.log"
    refused = start(settings, ("send",), log=words)
    refused.join(60)
    assert refused.exitcode == 1
    assert "cannot be written: No space left on device. Without it nothing is" in words.read_text()
    assert (sink.connections, sink.recipients) == (0, [])
    assert set(states(database, run.tenant_id, run).values()) == {MessageState.READY}
    filler.unlink()
    assert not list(disk.rglob("*.rec")), "what could not be written whole is not left there"
    sender = start(settings, ("send",))
    wait_for_the_end(database, run)
    sender.terminate()
    sender.join(30)
    assert sorted(Counter(sink.recipients).values()) == [1] * PEOPLE


def test_who_sends_already_needs_no_more_room(
    database: Database, run: Run, sink: SmtpSink, disk: Path, settings: Settings
) -> None:
    """Nor does whoever puts right what a dead one left."""
    victim = start(settings, ("send",), place=Place.AFTER_RECORD_COMMIT)
    wait_until(lambda: bool(sink.recipients), seconds=60, what="sending")
    fill(disk)
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    recorded = Counter(states(database, run.tenant_id, run).values())[MessageState.ACCEPTED]
    assert recorded == len(sink.recipients) > 0
    sender = start(settings, ("send",))
    wait_for_the_end(database, run)
    sender.terminate()
    sender.join(30)
    assert sorted(Counter(sink.recipients).values()) == [1] * PEOPLE


def test_a_full_log_stops_nothing(
    database: Database, run: Run, sink: SmtpSink, settings: Settings, tmp_path: Path
) -> None:
    """A sender has died, so there is something to say at once."""
    victim = start(settings, ("send",), place=Place.AFTER_250)
    victim.join(60)
    data = {"ENVOI_DATA_DIR": str(settings.data_dir), "ENVOI_LOG_FORMAT": "json"}
    environment = {**os.environ, **environment_of(settings), **data}
    command = [sys.executable, "-m", "envoi_workers", "send", "1"]
    with Path("/dev/full").open("w") as full:
        sender = subprocess.Popen(command, env=environment, stdout=full, stderr=full)
        try:
            wait_for_the_end(database, run)
        finally:
            sender.terminate()
            sender.wait(30)
    assert Counter(Counter(sink.recipients).values()) == {1: PEOPLE - 1, 2: 1}
    assert set(states(database, run.tenant_id, run).values()) == {MessageState.ACCEPTED}
