"""Who counts as a machine, and who does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from envoi.tracking.classify import TOO_QUICK, Mark, Signals, rule_of

ACCEPTED = datetime(2026, 11, 24, 10, tzinfo=UTC)
LATER = ACCEPTED + timedelta(hours=1)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize(
    "agent",
    [
        FIREFOX,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        "Mozilla/5.0 (Linux; Android 12; CUBOT NOTE 20) Chrome/120.0 Mobile Safari/537.36",
    ],
)
def test_people_and_the_proxies_that_fetch_for_them_are_people(agent: str) -> None:
    assert rule_of(Signals(LATER, agent, Mark.NONE, ACCEPTED)) is None


@pytest.mark.parametrize(
    "agent",
    [
        "",
        "Mozilla/5.0",
        "Mozilla/5.0 (compatible; Googlebot/2.1)",
        "Slackbot-LinkExpanding 1.0",
        "Microsoft Office Existence Discovery",
        "Mozilla/5.0 BingPreview/1.0b",
        "python-requests/2.32",
        "Go-http-client/1.1",
        "WhatsApp/2.23",
        "Mozilla/5.0 (X11) HeadlessChrome/120.0",
        "Barracuda Sentinel (EE)",
    ],
)
def test_those_who_say_that_they_are_machines_are(agent: str) -> None:
    assert rule_of(Signals(LATER, agent, Mark.NONE, ACCEPTED))


@pytest.mark.parametrize("mark", [Mark.HEAD, Mark.PREFETCH, Mark.HEAD | Mark.PREFETCH])
def test_requests_that_people_never_make(mark: Mark) -> None:
    assert rule_of(Signals(LATER, FIREFOX, mark, ACCEPTED))


@pytest.mark.parametrize(
    ("after", "machine"),
    [(timedelta(seconds=-1), True), (timedelta(), True), (TOO_QUICK, False)],
)
def test_nobody_reads_at_once(after: timedelta, machine: bool) -> None:
    assert (rule_of(Signals(ACCEPTED + after, FIREFOX, Mark.NONE, ACCEPTED)) is not None) is machine


def test_before_the_acceptance_is_recorded_the_state_decides() -> None:
    assert rule_of(Signals(LATER, FIREFOX, Mark.NONE, None, on_the_wire=True))
    assert rule_of(Signals(LATER, FIREFOX, Mark.NONE, None)) is None
