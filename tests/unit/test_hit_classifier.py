"""Who counts as a machine, and who does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.tracking.classify import (
    BURST_SPAN,
    TOO_QUICK,
    VERSION,
    Mark,
    Rule,
    Signals,
    in_bursts,
    is_scanner,
    rule_of,
)

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


CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/140.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    "agent",
    [
        CHROME,
        f"{CHROME} Edg/140.0.0.0",
        f"{CHROME} Avast/139.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Mobile/15E148 Safari",
        "Mozilla/5.0 (Linux; Android 15; SM-S931B) Version/4.0 Chrome/140.0 Mobile Safari/537.36",
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Microsoft Outlook 16.0; MSOffice 16)",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.11.0",
        "Mozilla/5.0 (compatible; YandexImageResizer/2.0; +http://yandex.com/bots)",
        "Mozilla/5.0 (compatible; Mail.RuImageProxy/1.0)",
        "Outlook-iOS/2.0",
        "Dalvik/2.1.0 (Linux; U; Android 14; CUBOT KINGKONG POWER Build/UP1A.231005.007)",
    ],
)
def test_browsers_and_mail_programs_are_people(agent: str) -> None:
    assert rule_of(Signals(LATER, agent, Mark.NONE, ACCEPTED)) is None
    assert not is_scanner(agent)


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (compatible; Barracuda Sentinel/1.0)",
        "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
        "Mimecast-URL-Protect/1.0",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        f"{CHROME} BingPreview/1.0b",
        "Mozilla/5.0 (compatible; Google-Safety; +http://www.google.com/bot.html)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "TelegramBot (like TwitterBot)",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
        "Slack-ImgProxy (+https://api.slack.com/robots)",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0.0.0 Safari/537.36",
        "Symantec MessageLabs",
        "Mozilla/5.0 (compatible; Sophos Email)",
        "FortiSandbox/4.4",
        "Trend Micro WTP/1.0 TrendMicro",
        "Apache-HttpClient/4.5.14 (Java/17.0.9)",
        "curl/8.14.1",
        "axios/1.7.9",
        "okhttp/4.12.0",
        "node-fetch/1.0",
        "GuzzleHttp/7",
        "Ruby",
    ],
)
def test_scanners_previews_and_libraries_are_named(agent: str) -> None:
    assert rule_of(Signals(LATER, agent, Mark.NONE, ACCEPTED)) is Rule.SCANNER
    assert is_scanner(agent)


@pytest.mark.parametrize(
    ("signals", "rule"),
    [
        (Signals(LATER, CHROME, Mark.HEAD | Mark.PREFETCH, ACCEPTED), Rule.HEAD),
        (Signals(LATER, CHROME, Mark.PREFETCH, ACCEPTED), Rule.PREFETCH),
        (Signals(LATER, " ", Mark.NONE, ACCEPTED), Rule.NAMELESS),
        (Signals(LATER, "Mozilla/5.0", Mark.NONE, ACCEPTED), Rule.PRIVACY_PROXY),
        (Signals(ACCEPTED, CHROME, Mark.NONE, ACCEPTED), Rule.QUICK),
    ],
)
def test_each_rule_has_its_name(signals: Signals, rule: Rule) -> None:
    assert rule_of(signals) is rule


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 4)), max_size=30))
def test_a_burst_is_three_links_within_three_seconds(drawn: list[tuple[int, int]]) -> None:
    clicks = [(ACCEPTED + timedelta(seconds=at / 10), link) for at, link in sorted(drawn)]
    naive = {
        place
        for place, (at, _) in enumerate(clicks)
        for began, _ in clicks
        if began <= at <= began + BURST_SPAN
        and len({link for then, link in clicks if began <= then <= began + BURST_SPAN}) >= 3
    }
    assert in_bursts(clicks) == naive


def test_every_rule_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operators" / "tracking.md").read_text()
    assert all(f"`{rule}`" in page for rule in Rule)
    assert f"version {VERSION}" in page
