"""The SMTP server's own record: what came, when, and how often."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from envoi.embedded.child import guarded

_SINK = Path(__file__).parents[1] / "tests" / "smtp_sink.py"


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that was taken: when, by the clock, and for whom."""

    at: float
    rcpt: str


class Witness:
    """Reads the record of a server while it grows."""

    def __init__(self, port: int, record: Path) -> None:
        self.port = port
        self._record = record
        self._place = 0
        self._seen: list[Seen] = []

    def look(self) -> Sequence[Seen]:
        """Everything that was taken so far, in order."""
        with self._record.open("rb") as file:
            file.seek(self._place)
            whole = file.read().rpartition(b"\n")[0]
        self._place += len(whole) + bool(whole)
        for line in whole.splitlines():
            taken = json.loads(line)
            self._seen.append(Seen(taken["at"], taken["rcpt"]))
        return self._seen

    def served(self) -> Counter[str]:
        """How often each address was served."""
        return Counter(one.rcpt for one in self.look())

    def first_after(self, moment: float) -> float | None:
        """When the first message after a moment came; None: none has."""
        return min((one.at for one in self.look() if one.at > moment), default=None)

    def longest_silence(self) -> float:
        """The longest time between two messages, in seconds."""
        times = sorted(one.at for one in self.look())
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    def by_second(self) -> list[int]:
        """How many messages were taken in each second by the clock, first to last."""
        found = Counter(int(one.at) for one in self.look())
        return [found[second] for second in range(min(found), max(found) + 1)] if found else []


@contextmanager
def a_server(delay_ms: str = "5-30", seed: int = 0) -> Iterator[Witness]:
    """Run an SMTP server that waits before each 250, in a process of its own."""
    with TemporaryDirectory(prefix="envoi-chaos-") as folder:
        record = Path(folder) / "record.jsonl"
        options = ["--record", str(record), f"--delay-ms={delay_ms}", f"--seed={seed}"]
        command = guarded([sys.executable, str(_SINK), *options])
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield Witness(int(process.stdout.readline()), record)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()
