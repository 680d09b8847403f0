"""The words and icons of blocks: types, fields, and what a block is about in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.blocks import Align, Font
from envoi_web.mailings.context import template_parts

TYPES = {
    "heading": (lazy_gettext("Heading"), "heading"),
    "text": (lazy_gettext("Text"), "file-text"),
    "image": (lazy_gettext("Image"), "photo"),
    "button": (lazy_gettext("Button"), "click"),
    "columns": (lazy_gettext("Columns"), "columns-2"),
    "divider": (lazy_gettext("Divider"), "separator-horizontal"),
    "product": (lazy_gettext("Product"), "shopping-bag"),
    "social": (lazy_gettext("Social networks"), "social"),
    "footer": (lazy_gettext("Footer"), "layout-bottombar"),
    "spacer": (lazy_gettext("Space"), "layout-navbar"),
    "raw": (lazy_gettext("MJML"), "code"),
}
"""The label and the icon of each type of block."""

LABELS = {
    "text": lazy_gettext("Text"),
    "html": lazy_gettext("Text"),
    "level": lazy_gettext("Size"),
    "align": lazy_gettext("Alignment"),
    "src": lazy_gettext("Picture"),
    "image": lazy_gettext("Picture"),
    "alt": lazy_gettext("Alternative text"),
    "decorative": lazy_gettext("Only decoration"),
    "link": lazy_gettext("Link"),
    "width": lazy_gettext("Width"),
    "label": lazy_gettext("Label"),
    "colour": lazy_gettext("Colour"),
    "height": lazy_gettext("Height"),
    "name": lazy_gettext("Name"),
    "price": lazy_gettext("Price"),
    "layout": lazy_gettext("Layout"),
    "links": lazy_gettext("Addresses of your pages"),
    "address": lazy_gettext("Postal address"),
    "unsubscribe": lazy_gettext("Words of the unsubscribe link"),
    "preferences": lazy_gettext("Words of the link to the preferences"),
    "view": lazy_gettext("Words of the link to the view in a browser"),
    "mjml": lazy_gettext("MJML"),
    "primary": lazy_gettext("Buttons and links"),
    "background": lazy_gettext("Ground"),
    "surface": lazy_gettext("Sheet"),
    "font": lazy_gettext("Font"),
}
OWN_LABELS = {
    ("product", "label"): lazy_gettext("Words of the button"),
    ("style", "text"): lazy_gettext("Text"),
}
HINTS = {
    "alt": lazy_gettext("What the picture shows, for those who do not see it."),
    "decorative": lazy_gettext("It says nothing by itself, so nothing is read out."),
    "link": lazy_gettext("https://, mailto:, tel: or a variable."),
    "links": lazy_gettext("A network without an address is not shown."),
    "mjml": lazy_gettext("Sections, or what stands in a column."),
}
OWN_HINTS = {
    ("image", "width"): lazy_gettext("In pixels. Empty: as wide as the sheet."),
    ("style", "width"): lazy_gettext("In pixels, usually 600."),
    ("spacer", "height"): lazy_gettext("In pixels."),
    ("product", "label"): lazy_gettext("Empty: there is no button."),
    ("footer", "preferences"): lazy_gettext("Empty: the link is left out."),
    ("footer", "view"): lazy_gettext("Empty: the link is left out."),
}
CHOICES: dict[str, dict[Any, Any]] = {
    "align": {
        Align.LEFT.value: lazy_gettext("Left"),
        Align.CENTER.value: lazy_gettext("Centre"),
        Align.RIGHT.value: lazy_gettext("Right"),
    },
    "level": {1: lazy_gettext("Large"), 2: lazy_gettext("Medium"), 3: lazy_gettext("Small")},
    "layout": {"stacked": lazy_gettext("Below the picture"), "side": lazy_gettext("Beside it")},
    "font": {font.value: font.value.split(",")[0] for font in Font},
}
"""The words for the values of fields that offer a few."""

_TAG = re.compile(r"<[^>]*>")


def label_of(kind: str, name: str) -> str:
    """Return the label of a field of a type of block."""
    found = OWN_LABELS.get((kind, name)) or LABELS.get(name)
    return str(found or name.replace("_", " ").capitalize())


def hint_of(kind: str, name: str) -> str:
    """Return the hint of a field, often empty."""
    return str(OWN_HINTS.get((kind, name)) or HINTS.get(name, ""))


def type_of(block: Mapping[str, Any]) -> tuple[str, str]:
    """Return label and icon of a block's type."""
    label, icon = TYPES.get(str(block.get("type")), (_("Block"), "dots"))
    return str(label), icon


def summary_of(block: Mapping[str, Any]) -> str:
    """Say in a few words which block this is."""
    if block.get("type") == "columns":
        return str(_("%(number)s beside one another", number=len(block.get("columns", ()))))
    if block.get("type") == "spacer":
        return f"{block.get('height')} px"
    if block.get("type") == "social":
        return ", ".join(str(entry.get("network", "")) for entry in block.get("links", ()))
    names = ("text", "html", "alt", "label", "name", "mjml", "unsubscribe")
    found = next((str(block[name]) for name in names if block.get(name)), "")
    words = "".join(text + name for text, name in template_parts(_TAG.sub(" ", found)))
    return " ".join(unescape(words).split())[:60]
