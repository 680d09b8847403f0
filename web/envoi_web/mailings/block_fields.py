"""The form of a block, made from its model: one field of the page for each of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from werkzeug.datastructures import MultiDict

from envoi.blocks import BLOCKS, Network, Style
from envoi.content.rich_text import clean_rich_text
from envoi_web.mailings.block_words import CHOICES, hint_of, label_of

Form = MultiDict[str, str]

PREFIX = "block."
STYLE_PREFIX = "style."
_HIDDEN = frozenset({"id", "type", "columns", "file_id", "external_id"})
"""Fields that have no control of their own: the picture's carries `file_id` along."""
_KINDS = {
    "html": "rich",
    "mjml": "code",
    "link": "link",
    "links": "networks",
    "src": "picture",
    "image": "picture",
}
_ENDING = re.compile(r"[\s\u00a0]+")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of the form; `kind` says how it is shown (templates/mailings/what/fields.html).

    `name` is the form's name, which is also the id.
    """

    name: str
    kind: str
    label: str
    hint: str
    value: Any
    error: str = ""
    options: tuple[tuple[str, str], ...] = ()
    low: int | None = None
    high: int | None = None
    optional: bool = False


def block_fields(block: Mapping[str, Any], errors: Mapping[str, str]) -> list[Field]:
    """Describe the fields of a stored block; `errors` are by the form's names."""
    kind = str(block.get("type"))
    return _fields(BLOCKS[kind], kind, PREFIX, block, errors)


def style_fields(style: Mapping[str, Any], errors: Mapping[str, str]) -> list[Field]:
    """Describe the fields of what all blocks share."""
    return _fields(Style, "style", STYLE_PREFIX, style, errors)


def read_block(form: Form, block: Mapping[str, Any]) -> dict[str, Any]:
    """Take what was typed over into a block; what the form does not show stays."""
    return _read(BLOCKS[str(block["type"])], form, PREFIX, block)


def read_style(form: Form, style: Mapping[str, Any]) -> dict[str, Any]:
    """Take what was typed over into the style."""
    return _read(Style, form, STYLE_PREFIX, style)


def _fields(
    model: type[BaseModel],
    kind: str,
    prefix: str,
    values: Mapping[str, Any],
    errors: Mapping[str, str],
) -> list[Field]:
    return [
        _field(kind, prefix + name, name, info, values.get(name, info.default), errors)
        for name, info in model.model_fields.items()
        if name not in _HIDDEN
    ]


def _field(
    kind: str, path: str, name: str, info: FieldInfo, value: Any, errors: Mapping[str, str]
) -> Field:
    if name == "links":
        value = {entry["network"]: entry["link"] for entry in value or ()}
    if name == "text" and kind == "footer":
        sort = "rich"
    elif name in CHOICES:
        sort = "choice"
    else:
        sort = _KINDS.get(name) or _kind(info)
    return Field(
        name=path,
        kind=sort,
        label=label_of(kind, name),
        hint=hint_of(kind, name),
        value=value,
        error=errors.get(path, ""),
        options=_options(name),
        low=next((int(str(m.ge)) for m in info.metadata if isinstance(m, Ge)), None),
        high=next((int(str(m.le)) for m in info.metadata if isinstance(m, Le)), None),
        optional=NoneType in get_args(info.annotation),
    )


def _kind(info: FieldInfo) -> str:
    if info.annotation is bool:
        return "check"
    if _is_number(info):
        return "number"
    default = info.default
    is_colour = isinstance(default, str) and default.startswith("#")
    return "colour" if is_colour or _is_optional_text(info) else "line"


def _is_number(info: FieldInfo) -> bool:
    return int in (info.annotation, *get_args(info.annotation))


def _is_optional_text(info: FieldInfo) -> bool:
    """A text that may be none is a colour, none standing for the style's."""
    return NoneType in get_args(info.annotation) and not _is_number(info)


def _options(name: str) -> tuple[tuple[str, str], ...]:
    if name == "links":
        return tuple((network.value, network.label) for network in Network)
    return tuple((str(value), str(label)) for value, label in CHOICES.get(name, {}).items())


def _read(
    model: type[BaseModel], form: Form, prefix: str, stored: Mapping[str, Any]
) -> dict[str, Any]:
    found = dict(stored)
    if prefix + "shown" not in form:
        return found
    for name, info in model.model_fields.items():
        path = prefix + name
        if name == "links":
            found[name] = _networks(form, path)
        elif info.annotation is bool:
            found[name] = path in form
        elif path in form and name not in ("id", "type", "columns"):
            found[name] = _typed(info, name, form, path)
    return found


def _typed(info: FieldInfo, name: str, form: Form, path: str) -> Any:
    given = form[path].replace("\r\n", "\n")
    optional = NoneType in get_args(info.annotation)
    if optional and (not given.strip() or f"{path}.none" in form):
        return None
    if _is_number(info):
        digits = _ENDING.sub("", given)
        return int(digits) if digits.isdecimal() and len(digits) <= 18 else given
    return clean_rich_text(given) if name == "html" else given


def _networks(form: Form, path: str) -> list[dict[str, str]]:
    return [
        {"network": network.value, "link": link.strip()}
        for network in Network
        if (link := form.get(f"{path}.{network.value}", "")).strip()
    ]
