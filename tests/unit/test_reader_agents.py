"""Mail programs and devices, by agents as they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.tracking.agents import Device, reader_of

MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "program", "device"),
    [
        ("Mozilla/5.0 (via ggpht.com GoogleImageProxy)", "Gmail", Device.HIDDEN),
        ("YahooMailProxy; https://help.yahoo.com/", "Yahoo Mail", Device.HIDDEN),
        ("Mozilla/5.0 (compatible; YandexImageResizer/2.0)", "Yandex Mail", Device.HIDDEN),
        (MAC, "Apple Mail", Device.COMPUTER),
        (f"{MAC} Version/17.1 Safari/605.1.15", "Safari", Device.COMPUTER),
        (f"{WINDOWS} Chrome/120.0.0.0 Safari/537.36", "Chrome", Device.COMPUTER),
        (f"{WINDOWS} Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0", "Edge", Device.COMPUTER),
        (f"{WINDOWS} Chrome/120.0 YaBrowser/24.1 Safari/537.36", "Yandex Browser", Device.COMPUTER),
        (f"{ANDROID} Chrome/120.0.0.0 Mobile Safari/537.36", "Chrome", Device.PHONE),
        (f"{ANDROID} Chrome/120.0.0.0 Safari/537.36", "Chrome", Device.TABLET),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
            "Apple Mail",
            Device.TABLET,
        ),
        (
            "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Microsoft Outlook 16.0)",
            "Outlook",
            Device.COMPUTER,
        ),
        ("Outlook-iOS/709.2144270.prod.iphone (4.0)", "Outlook", Device.PHONE),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Thunderbird/115.6", "Thunderbird", "computer"),
        ("", "", Device.HIDDEN),
        ("a program nobody knows", "", Device.HIDDEN),
    ],
)
def test_readers_as_they_come(agent: str, program: str, device: Device) -> None:
    found = reader_of(agent)
    assert (found.program, found.device) == (program, device)


@given(st.text(max_size=2_000))
def test_any_agent_is_some_reader(agent: str) -> None:
    assert reader_of(agent).device in Device
