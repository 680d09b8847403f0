"""What a marketer fills in for a Viber message."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from envoi.blocks import OneLine, https_only, is_draft

MOST_CHARACTERS = 1_000
"""What fits into one Viber message; providers cut longer ones into several."""
MOST_OF_BUTTON = 30

_CODE = re.compile(r"\{[{%]")


class Category(StrEnum):
    """What kind of traffic it is: providers ask another price, and approve templates of one."""

    PROMOTIONAL = "promotional"
    TRANSACTIONAL = "transactional"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return {
            Category.PROMOTIONAL: "Promotional",
            Category.TRANSACTIONAL: "Transactional, from an approved template",
        }[self]


def _button(value: str) -> str:
    if len(value) > MOST_OF_BUTTON and not _CODE.search(value):
        raise ValueError(f"A button shows at most {MOST_OF_BUTTON} characters. Shorten it.")
    return value


WebAddress = Annotated[
    OneLine,
    https_only("Viber opens addresses over https:// only. Enter such an address."),
    Field(max_length=1_000),
]


class ViberContent(BaseModel):
    """The content of one variant; text, picture, link and button are templates.

    It is a text, a picture, a text with a button, or all three: at most one link, which the
    button opens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    sender_name: Annotated[OneLine, Field(max_length=28)] = Field(
        "",
        title="Sender name",
        description="As it is registered with the provider. Empty: the gateway's own.",
    )
    text: str = Field(
        "",
        max_length=5_000,
        title="Text",
        description="At most 1,000 characters.",
        json_schema_extra={"template": True, "lines": 6},
    )
    image: WebAddress = Field(
        "",
        title="Picture",
        description="The https address of a JPG or PNG, best 2:1, 800 pixels wide and below"
        " 300 KB. Empty: none.",
        json_schema_extra={"picture": True},
    )
    button: Annotated[OneLine, AfterValidator(_button)] = Field(
        "",
        max_length=200,
        title="Button text",
        description="At most 30 characters. Empty: no button.",
        json_schema_extra={"template": True},
    )
    link: WebAddress = Field(
        "",
        title="Link address",
        description="What the button opens; clicks are counted.",
        json_schema_extra={"template": True},
    )
    category: Category = Field(Category.PROMOTIONAL, title="Category")

    @field_validator("text")
    @classmethod
    def _one_message(cls, value: str) -> str:
        if len(value) > MOST_CHARACTERS and not _CODE.search(value):
            raise ValueError(
                f"The text has {len(value):,} characters, and a Viber message at most"
                f" {MOST_CHARACTERS:,}. Shorten it."
            )
        return value

    @field_validator("link")
    @classmethod
    def _goes_with_a_button(cls, value: str, info: ValidationInfo) -> str:
        if is_draft(info) or not {"text", "image", "button"} <= info.data.keys():
            return value
        text, button = info.data["text"].strip(), info.data["button"]
        if bool(value) != bool(button):
            raise ValueError("A button and its link go together. Fill in both, or neither.")
        if button and not text:
            raise ValueError("A button stands below a text. Write one, or take the button out.")
        return value

    @model_validator(mode="after")
    def _says_something(self, info: ValidationInfo) -> ViberContent:
        if not self.text.strip() and not self.image and not is_draft(info):
            raise ValueError("The message is empty. Write a text, or choose a picture.")
        if self.text.strip() and self.image and not self.button and not is_draft(info):
            raise ValueError(
                "A text with a picture needs a button in Viber. Add one, or leave one of the two"
                " out."
            )
        return self
