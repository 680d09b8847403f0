"""SMTP sinks in processes of their own, whose record is the witness of what was sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SINK = Path(__file__).with_name("smtp_sink.py")


@contextmanager
def a_sink(record: Path, delay: str) -> Iterator[int]:
    """An SMTP server in a process of its own, which keeps a record."""
    command = [sys.executable, str(SINK), "--record", str(record), f"--delay-ms={delay}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
