"""Invented people for the demo's households, from a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

NAMES = Path(__file__).with_name("data") / "names.txt"
"""First names of women, first names of men, last names: a line each."""
FEMALE, MALE, LAST = (tuple(line.split()) for line in NAMES.read_text().splitlines())
CITIES = ("Berlin", "Hamburg", "Leipzig", "Munich", "Cologne", "Bremen", "Dresden")
AREAS = (
    *(201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219),
    *(224, 225, 228, 229, 231, 234, 239, 240, 248),
)
"""Area codes of which 555-0100 to 555-0199 are kept free for fiction; no country has so many
mobile numbers of the kind."""
BANDS = {
    "19-24": (19, 24),
    "25-34": (25, 34),
    "35-44": (35, 44),
    "45-54": (45, 54),
    "55-64": (55, 64),
    "65+": (65, 84),
}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One invented customer, in the words of an import's columns."""

    external_id: str
    first_name: str
    last_name: str
    gender: str
    birth_date: str
    registered_on: str
    city: str
    time_zone: str
    email: str
    phone: str
    subscribed_email: str


def identities(households: list[dict[str, str]], today: date) -> Iterator[Identity]:
    """Invent an identity for each household; the same households give the same people."""
    chance = random.Random(20_261_122)  # noqa: S311 (names of a demo, nothing to guard)
    for household in households:
        yield _identity(household, today, chance)


def _identity(household: dict[str, str], today: date, chance: random.Random) -> Identity:
    number = int(household["household"])
    gender = chance.choices(("female", "male", ""), (54, 40, 6))[0]
    first = chance.choice(FEMALE if gender != "male" else MALE)
    last = chance.choice(LAST)
    youngest, oldest = BANDS.get(household["age"], (19, 78))
    born = today - timedelta(days=int(365.25 * chance.uniform(youngest, oldest)))
    has_email = chance.random() < 0.97
    return Identity(
        external_id=f"C-{number:06d}",
        first_name=first,
        last_name=last,
        gender=gender,
        birth_date=born.isoformat() if household["age"] or chance.random() < 0.6 else "",
        registered_on=(today - timedelta(days=chance.randint(130, 2000))).isoformat(),
        city=chance.choice(CITIES),
        time_zone="Europe/Berlin",
        email=f"{first}.{last}.{number}@fieldmarket.test".lower() if has_email else "",
        phone=_phone(number),
        subscribed_email="N" if chance.random() < 0.03 else "",
    )


def _phone(number: int) -> str:
    """Most have a mobile phone of their own, some a landline, a few none."""
    if number % 25 == 0:
        return ""
    if number % 12 == 5:
        # 030 23125 000 to 999 is one of the German ranges kept free for fiction.
        return f"+493023125{number % 1000:03d}"
    return f"+1{AREAS[number // 100]}55501{number % 100:02d}"
