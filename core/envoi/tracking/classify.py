"""Tells machines from people by what a hit shows; versioned, so old hits can be judged again.

A mistake here is one of two: a scanner counted as a reader, or a reader taken for a scanner.
The rules are few, and each one can be said in a sentence (`Rule`).

The image proxies of Gmail, Yahoo, Yandex and Mail.ru are let through: they fetch when a person
opens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import IntFlag, StrEnum
from functools import lru_cache
from typing import NamedTuple

VERSION = 2
"""Stored with every hit; raise it with every change of the rules."""

TOO_QUICK = timedelta(seconds=2)
BURST_SPAN, BURST_LINKS = timedelta(seconds=3), 3

_MACHINES = re.compile(
    # CUBOT makes telephones.
    r"(?<!cu)bot\b|crawl|spider|scan|preview|existence discovery|headless|externalhit|whatsapp"
    r"|phantomjs|puppeteer|playwright|google-safety|bing-?preview|embedly|iframely|slack-imgproxy"
    # Programming libraries.
    r"|curl/|wget|python-|httpx|aiohttp|go-http-client|java/|apache-httpclient|okhttp|libwww|node-fetch"
    r"|axios/|guzzlehttp|undici|faraday|ruby\b|perl\b|winhttp|postmanruntime"
    # Mail gateways and filters.
    r"|barracuda|mimecast|proofpoint|urldefense|zscaler|forcepoint|symantec|messagelabs|fireeye"
    r"|trellix|trendmicro|sophos|ironport|fortimail|fortisandbox|checkpoint|avanan|cyren|cloudmark"
    r"|vadesecure|bitdefender|kaspersky|drweb|urlscan|virustotal|phishtank",
    re.IGNORECASE,
)
_PROXY_OF_APPLE = "mozilla/5.0"


class Rule(StrEnum):
    """Why a hit is a machine's."""

    HEAD = "head"
    """People's mail programs ask with GET, not HEAD."""
    PREFETCH = "prefetch"
    """A request that says it is a prefetch or a preview is one."""
    NAMELESS = "nameless"
    """Every mail program and browser gives a name."""
    PRIVACY_PROXY = "privacy-proxy"
    """Apple's proxy, bare `Mozilla/5.0`, loads every image at delivery, whoever reads or not."""
    SCANNER = "scanner"
    """Scanners, link previews and programming libraries say who they are."""
    QUICK = "quick"
    """Nobody reads within two seconds of the acceptance, or before it."""
    BURST = "burst"
    """Nobody follows three different links of a message within three seconds."""


class Mark(IntFlag):
    """What a request told besides its agent."""

    NONE = 0
    HEAD = 1
    PREFETCH = 2
    REPORTED = 4
    """No request at all: a provider tells that a person did it."""


# Every hit makes one; a named tuple takes a third of a frozen data class.
class Signals(NamedTuple):
    """What is known of a hit when it is judged."""

    at: datetime
    agent: str
    marks: Mark
    accepted_at: datetime | None
    on_the_wire: bool = False


def rule_of(hit: Signals) -> Rule | None:
    """The first rule by which one hit, looked at alone, is a machine's; None for a person's."""
    if hit.marks & Mark.REPORTED:
        return None
    return rule_shown(hit.agent, hit.marks) or (Rule.QUICK if _too_quick(hit) else None)


def rule_shown(agent: str, marks: Mark) -> Rule | None:
    """The first rule by which a request alone is a machine's, whatever message it is about."""
    if int(marks):
        return Rule.HEAD if marks & Mark.HEAD else Rule.PREFETCH
    return _rule_by_name(agent)


def is_scanner(agent: str) -> bool:
    """Whether an agent says of itself that it is a scanner, a preview or a library."""
    return _rule_by_name(agent[:300]) is Rule.SCANNER


def in_bursts(clicks: Sequence[tuple[datetime, int | None]]) -> set[int]:
    """Places of the clicks of one message, given in order of time, that belong to a burst."""
    found: set[int] = set()
    last = 0
    for first, (began, _) in enumerate(clicks):
        while last < len(clicks) and clicks[last][0] - began <= BURST_SPAN:
            last += 1
        if len({link for _, link in clicks[first:last]}) >= BURST_LINKS:
            found.update(range(first, last))
    return found


@lru_cache(4_096)
def _rule_by_name(agent: str) -> Rule | None:
    name = agent.strip().lower()
    if not name:
        return Rule.NAMELESS
    if name == _PROXY_OF_APPLE:
        return Rule.PRIVACY_PROXY
    return Rule.SCANNER if _MACHINES.search(name) else None


def _too_quick(hit: Signals) -> bool:
    """The writer of hits asks the same in SQL (`envoi.tracking.ledger`)."""
    if hit.accepted_at is None:
        return hit.on_the_wire
    return hit.at < hit.accepted_at + TOO_QUICK
