"""What `envoi doctor` finds: a line that is right, or wrong and says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from envoi.installation import Installation


@dataclass(frozen=True)
class Finding:
    """What a check found; `remedy` says what to do when it is not ok."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


Checking = Callable[[Installation], Iterator[Finding]]
