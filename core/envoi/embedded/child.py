"""Command lines of processes that die with this one."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
SAME_USER = "same"


def guarded(
    command: Sequence[str],
    *,
    at_parents_death: signal.Signals = signal.SIGTERM,
    identity: str = SAME_USER,
) -> list[str]:
    """Wrap a command so that it gets a signal when this process ends, however it ends.

    Linux ties this to the starting *thread*: start guarded commands in the main thread, or in
    one that lives as long as they should. Elsewhere only an orderly end stops them.

    Args:
        command: The program's full path and its arguments.
        at_parents_death: The signal it gets.
        identity: Who it runs as, see `guard.py`.
    """
    # Isolated and without site-packages Python is up in a few milliseconds.
    python = [sys.executable, "-I", "-S", str(GUARD)]
    return [*python, str(int(at_parents_death)), str(os.getpid()), identity, *command]
