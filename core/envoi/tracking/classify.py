"""Tells machines from people by what a hit shows; versioned, so old hits can be judged again.

A mistake here is one of two: a scanner counted as a reader, or a reader taken for a scanner.
The rules are few and each one can be said in a sentence:

1. people's mail programs ask with GET, not HEAD;
2. a request that says it is a prefetch is one;
3. scanners, link previews and programming libraries give their name, or none at all; the bare
   `Mozilla/5.0` is Apple's privacy proxy, which loads every image at delivery;
4. nobody reads a message within two seconds of its acceptance, or before it.

The image proxies of Gmail and Yahoo are let through: they fetch when a person opens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntFlag

VERSION = 1
"""Stored with every hit; raise it with every change of the rules."""

TOO_QUICK = timedelta(seconds=2)

# CUBOT makes telephones.
_MACHINES = re.compile(
    r"(?<!cu)bot\b|crawl|spider|scan|preview|existence discovery|headless|externalhit|whatsapp"
    r"|curl/|wget|python-|httpx|aiohttp|go-http-client|java/|apache-httpclient|okhttp|libwww|node-fetch"
    r"|barracuda|mimecast|proofpoint|zscaler|forcepoint|symantec|fireeye|trendmicro|sophos|ironport",
    re.IGNORECASE,
)
_NO_NAME = ("", "mozilla/5.0")


class Mark(IntFlag):
    """What a request told besides its agent."""

    NONE = 0
    HEAD = 1
    PREFETCH = 2


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of a hit when it is judged."""

    at: datetime
    agent: str
    marks: Mark
    accepted_at: datetime | None
    on_the_wire: bool = False


def is_machine(hit: Signals) -> bool:
    """Judge one hit by the rules of this version."""
    return bool(hit.marks) or _by_name(hit.agent) or _too_quick(hit)


def _by_name(agent: str) -> bool:
    return agent.strip().lower() in _NO_NAME or _MACHINES.search(agent) is not None


def _too_quick(hit: Signals) -> bool:
    if hit.accepted_at is None:
        return hit.on_the_wire
    return hit.at < hit.accepted_at + TOO_QUICK
