"""Tells from a request's agent which mail program a person read with, and on what.

Programs do not say who they are in a mail's own way: most show themselves as the browser that
they are made of. What cannot be told is said to be so instead of being guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Device(StrEnum):
    """What a message was read on."""

    PHONE = "phone"
    TABLET = "tablet"
    COMPUTER = "computer"
    HIDDEN = "hidden"
    """Behind a provider's image proxy, or an agent that tells nothing."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A mail program or browser, "" for one that is not known, and the device."""

    program: str
    device: Device


_HIDING = (
    ("Gmail", re.compile(r"GoogleImageProxy")),
    ("Yahoo Mail", re.compile(r"Yahoo(MailProxy|CacheSystem)", re.IGNORECASE)),
    ("Mail.ru", re.compile(r"mail\.ru|Mail\.RuImageProxy", re.IGNORECASE)),
    ("Yandex Mail", re.compile(r"Yandex.*(Image|Mail)", re.IGNORECASE)),
)
# The first that fits: programs name those that they resemble, never the other way round.
_PROGRAMS = (
    ("Outlook", re.compile(r"Outlook|MSOffice|Microsoft Office")),
    ("Thunderbird", re.compile(r"Thunderbird|Betterbird")),
    ("Samsung Email", re.compile(r"SamsungEmail|Samsung Email")),
    ("Edge", re.compile(r"Edg(e|A|iOS)?/")),
    ("Opera", re.compile(r"OPR/|Opera")),
    ("Yandex Browser", re.compile(r"YaBrowser")),
    ("Samsung Internet", re.compile(r"SamsungBrowser")),
    ("Firefox", re.compile(r"Firefox/|FxiOS")),
    ("Chrome", re.compile(r"Chrome/|CriOS")),
    ("Safari", re.compile(r"Version/[\d.]+.*Safari/")),
    ("Apple Mail", re.compile(r"(iPhone|iPad|Macintosh).*AppleWebKit")),
)
_DEVICES = (
    (Device.TABLET, re.compile(r"iPad|Tablet|Android(?!.*Mobile)")),
    (Device.PHONE, re.compile(r"iPhone|Mobile|Android|Outlook-iOS")),
    (Device.COMPUTER, re.compile(r"Windows|Macintosh|X11|Linux|CrOS|MSOffice|Microsoft O")),
)


def reader_of(agent: str) -> Reader:
    """Read an agent as far as it tells anything."""
    for program, pattern in _HIDING:
        if pattern.search(agent):
            return Reader(program, Device.HIDDEN)
    program = next((name for name, pattern in _PROGRAMS if pattern.search(agent)), "")
    device = next((name for name, pattern in _DEVICES if pattern.search(agent)), Device.HIDDEN)
    return Reader(program, device)
