"""What every descriptor has, and what a channel sends to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_NAME = re.compile(r"^[a-z][a-z0-9_]{1,39}$")


class AddressKind(StrEnum):
    """What a channel sends to; decides which contact of a customer is used."""

    EMAIL = "email"
    PHONE = "phone"
    PUSH = "push"


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """Base of everything a plugin registers: a unique, normalised name and a label for people."""

    name: str
    label: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name.strip().lower())
        if not _NAME.match(self.name):
            raise ValueError(
                f"the name {self.name!r} must be 2 to 40 of a-z, 0-9 and _, beginning with a letter"
            )
