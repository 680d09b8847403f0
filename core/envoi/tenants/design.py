"""The look of a company's public pages: its colour, its logo, its words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from sqlalchemy.orm import Session

from envoi.errors import Problem, ValidationFailedError, problems_of
from envoi.library.models import StoredFile
from envoi.tenants.service import tenant_settings

ACCENT = "#0a5fbf"
"""The colour of buttons until a company chooses its own."""

READABLE = 4.5
"""The least contrast of text against its ground (WCAG 2.2, 1.4.3)."""

_WHITE, _DARK_CARD = "#ffffff", "#182433"
_COLOUR = re.compile(r"#[0-9a-f]{6}")

Words = Annotated[str, StringConstraints(max_length=1000)]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def on_dark(colour: str) -> str:
    """Return the colour, lightened until it can be read on the dark card."""
    for share in range(0, 101, 5):
        mixed = _mixed(colour, _WHITE, share / 100)
        if contrast(mixed, _DARK_CARD) >= READABLE:
            return mixed
    return _WHITE


def _accent(value: str) -> str:
    colour = value.lower()
    if not _COLOUR.fullmatch(colour):
        raise ValueError("Enter a colour as # and six digits, for example #0a5fbf.")
    if contrast(colour, _WHITE) < READABLE:
        raise ValueError("White text on this colour cannot be read well. Choose a darker one.")
    return colour


class PageWords(BaseModel):
    """What a company says on its public pages in one language, besides our words."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    intro: Words = ""
    farewell: Words = ""
    footer: Words = ""


class Design(BaseModel):
    """The look of the public pages; stored as `tenant_settings.design`."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    accent: Annotated[str, AfterValidator(_accent)] = ACCENT
    logo_id: int | None = None
    words: dict[str, PageWords] = Field(default_factory=dict)

    def words_in(self, language: str) -> PageWords:
        """The company's words in a language; empty ones where it gave none."""
        return self.words.get(language, PageWords())


def design_of(session: Session, tenant_id: int) -> Design:
    """Return a company's design, ours until it published one."""
    return Design.model_validate(tenant_settings(session, tenant_id).design)


def check_design(given: Mapping[str, Any]) -> Design:
    """Read a design; raise `ValidationFailedError` with a problem for every field."""
    try:
        return Design.model_validate(dict(given))
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error)) from None


def publish_design(session: Session, tenant_id: int, design: Design) -> None:
    """Show a design on the public pages from now on."""
    if design.logo_id is not None and session.get(StoredFile, (tenant_id, design.logo_id)) is None:
        raise ValidationFailedError(
            [Problem("logo", "The logo is not in the library any more. Upload it again.")]
        )
    tenant_settings(session, tenant_id).design = design.model_dump(mode="json")


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _mixed(colour: str, other: str, share: float) -> str:
    pairs = zip(_parts(colour), _parts(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
