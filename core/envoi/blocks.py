"""The typed blocks that a message is put together from, and the style they share.

They are data: `ContentKit.blocks_mjml` makes MJML of them. With the validation context
`{"draft": True}` a block may still lack what a person has not filled in yet; what is wrong or
dangerous is refused in drafts as well.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from envoi.content.rich_text import clean_rich_text

MAX_BLOCKS = 200
MAX_IN_COLUMN = 20
DRAFT = {"draft": True}
"""The validation context of content that is still being written."""

_LINK = re.compile(r"(https?://|mailto:|tel:|\{\{\s*)\S", re.IGNORECASE)
_WEB = re.compile(r"https?://\S", re.IGNORECASE)
_CODE = re.compile(r"\s*\{[{%]")
_COLOUR = r"^#[0-9a-fA-F]{6}$"


class Align(StrEnum):
    """Where a block stands."""

    LEFT = "left"
    CENTER = "center"
    RIGHT = "right"


class Font(StrEnum):
    """The fonts that every mail program has."""

    ARIAL = "Arial, Helvetica, sans-serif"
    VERDANA = "Verdana, Geneva, sans-serif"
    TAHOMA = "Tahoma, Geneva, sans-serif"
    TREBUCHET = "Trebuchet MS, Helvetica, sans-serif"
    GEORGIA = "Georgia, Times New Roman, serif"
    TIMES = "Times New Roman, Times, serif"
    COURIER = "Courier New, Courier, monospace"


class Network(StrEnum):
    """Social networks, shown by their names: pictures of others are not ours to send."""

    FACEBOOK = "facebook"
    INSTAGRAM = "instagram"
    LINKEDIN = "linkedin"
    PINTEREST = "pinterest"
    X = "x"
    YOUTUBE = "youtube"
    VIMEO = "vimeo"
    TELEGRAM = "telegram"
    VK = "vk"
    WEB = "web"

    @property
    def label(self) -> str:
        """The network's name as it writes itself."""
        own = {"linkedin": "LinkedIn", "youtube": "YouTube", "vk": "VK", "web": "Web"}
        return own.get(self.value, self.value.capitalize())


def is_draft(info: ValidationInfo) -> bool:
    """Whether what is not filled in yet is to be let through."""
    return bool((info.context or {}).get("draft"))


def _filled(value: str, info: ValidationInfo) -> str:
    if not value.strip() and not is_draft(info):
        raise ValueError("This is empty. Fill it in, or delete the block.")
    return value


def _one_line(value: str) -> str:
    return " ".join(value.split())


def _link(value: str) -> str:
    value = value.strip()
    if value and not _LINK.match(value):
        raise ValueError("A link begins with https://, mailto: or tel:, or is a variable.")
    return value


def _picture(value: str) -> str:
    value = value.strip()
    if value and not (_WEB.match(value) or value.startswith("{{")):
        raise ValueError("The address of a picture begins with https://.")
    return value


def _field(value: str) -> str:
    if any(not character.isprintable() for character in value):
        raise ValueError("Line breaks and control characters cannot be used here.")
    return value.strip()


def https_only(sentence: str) -> AfterValidator:
    """Make a check of a field that holds an https address, code, or nothing; else it is refused."""

    def check(value: str) -> str:
        if value and not (_CODE.match(value) or value.lower().startswith("https://")):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


OneLine = Annotated[str, AfterValidator(_field)]
Line = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
Filled = AfterValidator(_filled)
Link = Annotated[str, Field(max_length=2000), AfterValidator(_link)]
Picture = Annotated[str, Field(max_length=2000), AfterValidator(_picture)]
RichText = Annotated[str, Field(max_length=50_000), AfterValidator(clean_rich_text)]
Colour = Annotated[str, Field(pattern=_COLOUR)]


class _Base(BaseModel):
    # Defaults are checked too: an empty block is not complete.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Style(_Base):
    """What all blocks of a message share."""

    primary: Colour = "#206bc4"
    """Of buttons and links."""
    text: Colour = "#1f2937"
    background: Colour = "#f2f4f7"
    surface: Colour = "#ffffff"
    width: int = Field(600, ge=320, le=800)
    font: Font = Font.ARIAL


class _Block(_Base):
    id: str = Field("", pattern="^[a-z0-9]{0,16}$")
    """Stable while the block is moved and changed; unique in a message."""


class Heading(_Block):
    """A title of one of three sizes."""

    type: Literal["heading"] = "heading"
    text: Annotated[Line, Filled] = ""
    level: int = Field(1, ge=1, le=3)
    align: Align = Align.LEFT


class Text(_Block):
    """Paragraphs, lists and links: HTML of which `clean_rich_text` leaves the harmless part."""

    type: Literal["text"] = "text"
    html: Annotated[RichText, Filled] = ""
    align: Align = Align.LEFT


class Image(_Block):
    """A picture of the library (`file_id`) or from elsewhere (`src`)."""

    type: Literal["image"] = "image"
    file_id: int | None = Field(None, ge=1)
    src: Picture = ""
    decorative: bool = False
    alt: Line = ""
    link: Link = ""
    width: int | None = Field(None, ge=8, le=800)
    """In pixels; None fills the width."""
    align: Align = Align.CENTER

    @field_validator("src")
    @classmethod
    def _has_picture(cls, src: str, info: ValidationInfo) -> str:
        if not src and not info.data.get("file_id") and not is_draft(info):
            raise ValueError("There is no picture. Choose one from the library.")
        return src

    @field_validator("alt")
    @classmethod
    def _has_alternative(cls, alt: str, info: ValidationInfo) -> str:
        if not alt and not info.data.get("decorative") and not is_draft(info):
            raise ValueError("Say in words what the picture shows, or mark it as decorative.")
        return alt


class Button(_Block):
    """A link that looks like a button."""

    type: Literal["button"] = "button"
    label: Annotated[Line, Filled] = ""
    link: Annotated[Link, Filled] = ""
    colour: Colour | None = None
    """None is the style's."""
    align: Align = Align.CENTER


class Divider(_Block):
    """A thin line."""

    type: Literal["divider"] = "divider"
    colour: Colour = "#d5dae1"


class Spacer(_Block):
    """Empty height in pixels."""

    type: Literal["spacer"] = "spacer"
    height: int = Field(24, ge=4, le=200)


class Product(_Block):
    """A product; its data is copied in when it is chosen, and can be changed then."""

    type: Literal["product"] = "product"
    external_id: Line = ""
    """Where the data came from; only for filling it in again."""
    name: Annotated[Line, Filled] = ""
    price: Line = ""
    file_id: int | None = Field(None, ge=1)
    image: Picture = ""
    link: Link = ""
    label: Line = ""
    """Of its button; without it there is none."""
    layout: Literal["stacked", "side"] = "stacked"


class SocialLink(_Base):
    """One network of a social block."""

    network: Network
    link: Annotated[Link, Filled] = ""


class Social(_Block):
    """Links to social networks."""

    type: Literal["social"] = "social"
    links: list[SocialLink] = Field(default_factory=list, max_length=12)
    align: Align = Align.CENTER


class Footer(_Block):
    """Who sends this, and the way out; a link without its words is left out."""

    type: Literal["footer"] = "footer"
    text: RichText = ""
    address: Line = ""
    unsubscribe: Line = "Unsubscribe"
    preferences: Line = ""
    view: Line = ""
    align: Align = Align.CENTER


class RawMjml(_Block):
    """MJML of one's own: sections, or what stands in a column."""

    type: Literal["raw"] = "raw"
    mjml: Annotated[str, Field(max_length=100_000), Filled] = ""


SimpleBlock = Annotated[
    Heading | Text | Image | Button | Divider | Spacer | Product, Field(discriminator="type")
]
"""What may stand in a column."""


Column = Annotated[list[SimpleBlock], Field(max_length=MAX_IN_COLUMN)]


def _two_columns() -> list[Column]:
    return [[], []]


class Columns(_Block):
    """Two or three columns of simple blocks, below one another on a phone."""

    type: Literal["columns"] = "columns"
    columns: list[Column] = Field(default_factory=_two_columns, min_length=2, max_length=3)


Block = Annotated[
    Heading
    | Text
    | Image
    | Button
    | Columns
    | Divider
    | Spacer
    | Product
    | Social
    | Footer
    | RawMjml,
    Field(discriminator="type"),
]

BLOCKS: dict[str, type[_Block]] = {
    "heading": Heading,
    "text": Text,
    "image": Image,
    "button": Button,
    "columns": Columns,
    "divider": Divider,
    "product": Product,
    "social": Social,
    "footer": Footer,
    "spacer": Spacer,
    "raw": RawMjml,
}
"""Every type of block, in the order in which they are offered."""


def new_block(kind: str, number: str, **values: Any) -> dict[str, Any]:
    """Make a block of a type with its defaults, as it is stored in a draft."""
    made = BLOCKS[kind].model_validate({"id": number, **values}, context=DRAFT)
    return made.model_dump(mode="json")
