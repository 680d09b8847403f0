"""What a button of the content editor does to the content of a variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask import current_app, request
from itsdangerous import BadSignature, URLSafeSerializer
from pydantic import BaseModel

from envoi.content.utm import NAMES as UTM_NAMES
from envoi.errors import NotFoundError
from envoi.mailings import variants
from envoi_web.mailings.block_fields import Form, read_block, read_style
from envoi_web.mailings.content_fields import typed_content

SIMPLE = ("heading", "text", "image", "button", "divider", "spacer", "product")
"""Types of blocks that may stand in a column."""


@dataclass(frozen=True)
class Draft:
    """A variant's content as it is being edited, and the block whose form is shown.

    `step` is the one of the mailing whose content it is. `undo` gives the block deleted last,
    where it stood, as a signed text; `focus` says that the form of another block was opened.
    """

    content: dict[str, Any]
    number: int = 1
    block_id: str = ""
    undo: str = ""
    focus: bool = False
    name: str = ""
    step: int = 1


def typed(form: Form, stored: Mapping[str, Any], schema: type[BaseModel]) -> Draft:
    """Take over what the form gives: plain fields, the open block, the style."""
    content = typed_content(schema, form, stored)
    name, bar, address = form.get("sender", "").rpartition("|")
    if bar:
        chosen = {"sender_name": name, "sender_address": address}
        content |= {n: value for n, value in chosen.items() if value != stored.get(n, "")}
    if "style.shown" in form:
        content["style"] = read_style(form, content.get("style", {}))
    block_id = form.get("block", "")
    if "block.shown" in form and block_id:
        block = variants.find_block(content, block_id)
        content = variants.update_block(content, block_id, read_block(form, block))
    number, step = form.get("variant", 1, type=int), form.get("step", 1, type=int)
    return Draft(content, number, block_id, name=form.get("name", "").strip()[:200], step=step)


def utm_of(form: Form, stored: Mapping[str, str]) -> dict[str, str]:
    """Read the mailing's own UTM tags; those left empty follow the company's."""
    if "utm.shown" not in form:
        return dict(stored)
    given = {name: form.get(f"utm.{name}", "").strip()[:200] for name in UTM_NAMES}
    return {name: value for name, value in given.items() if value}


def shares_of(form: Form, count: int) -> list[float]:
    """Read the shares of the variants, empty where none were asked for; no number is 0."""
    if count < 2 or "share.1" not in form:
        return []
    given = [_share(form.get(f"share.{number}", "0")) for number in range(1, count + 1)]
    return given if count > 2 else [given[0], round(100 - given[0], 1)]


def changed(draft: Draft, action: str) -> Draft:
    """Apply a button; one that concerns no block leaves the content as it is."""
    name, _, argument = action.partition(":")
    change = _ACTIONS.get(name)
    return change(draft, argument) if change else draft


def position_of(content: Mapping[str, Any], block_id: str) -> tuple[int, tuple[str, int] | None]:
    """Return a block's place, and the columns block and column it stands in, if any."""
    for place, block in enumerate(content.get("blocks", ())):
        if block["id"] == block_id:
            return place, None
        for number, column in enumerate(block.get("columns", ())):
            inner = next((n for n, b in enumerate(column) if b["id"] == block_id), None)
            if inner is not None:
                return inner, (block["id"], number)
    raise NotFoundError("There is no such block. It may have been deleted.")


def _open(draft: Draft, block_id: str) -> Draft:
    if block_id:
        variants.find_block(draft.content, block_id)
    return replace(draft, block_id=block_id)


def _add(draft: Draft, argument: str) -> Draft:
    """Put a block behind the open one, before a footer, or into a column."""
    kind, _, where = argument.partition(":")
    parent, _, column = where.partition(":")
    inside = (parent, int(column)) if parent and column.isdecimal() and len(column) < 4 else None
    before = _ids(draft.content)
    place = None if inside else _behind(draft)
    content = variants.add_block(draft.content, kind, place, inside=inside)
    [made] = _ids(content) - before
    return replace(draft, content=content, block_id=made, focus=True)


def _behind(draft: Draft) -> int | None:
    blocks = draft.content.get("blocks", [])
    if draft.block_id:
        place, inside = position_of(draft.content, draft.block_id)
        return 1 + (position_of(draft.content, inside[0])[0] if inside else place)
    return len(blocks) - 1 if blocks and blocks[-1]["type"] == "footer" else None


def _moved(step: int) -> Callable[[Draft, str], Draft]:
    def move(draft: Draft, block_id: str) -> Draft:
        place, _ = position_of(draft.content, block_id)
        content = variants.move_block(draft.content, block_id, max(0, place + step))
        return replace(draft, content=content)

    return move


def _move(draft: Draft, argument: str) -> Draft:
    block_id, _, place = argument.partition(":")
    position = int(place) if place.isdecimal() and len(place) < 6 else 0
    return replace(draft, content=variants.move_block(draft.content, block_id, position))


def _duplicate(draft: Draft, block_id: str) -> Draft:
    before = _ids(draft.content)
    content = variants.duplicate_block(draft.content, block_id)
    place, inside = position_of(draft.content, block_id)
    home = _home(content, inside)
    assert home[place + 1]["id"] not in before
    return replace(draft, content=content, block_id=home[place + 1]["id"])


def _delete(draft: Draft, block_id: str) -> Draft:
    block = variants.find_block(draft.content, block_id)
    place, inside = position_of(draft.content, block_id)
    content = variants.delete_block(draft.content, block_id)
    home = _home(content, inside)
    near = home[min(place, len(home) - 1)]["id"] if home else (inside or ("",))[0]
    undo = _signer().dumps([block, place, inside])
    return replace(draft, content=content, block_id=near, undo=str(undo), focus=True)


def _undo(draft: Draft, _: str) -> Draft:
    """Put the deleted block back as it was; once is enough however often it is asked."""
    try:
        block, place, inside = _signer().loads(request.form.get("undo", ""))
    except BadSignature:
        return draft
    if block["id"] in _ids(draft.content):
        return replace(draft, block_id=block["id"])
    before = _ids(draft.content)
    within = tuple(inside) if inside else None
    content = variants.add_block(draft.content, block["type"], place, inside=within)
    [made] = _ids(content) - before
    home = _home(content, within)
    at = next(n for n, each in enumerate(home) if each["id"] == made)
    home[at] = block
    return replace(draft, content=content, block_id=block["id"], focus=True)


def _picture(draft: Draft, argument: str) -> Draft:
    """Choose a picture of the library for the open block, with its words."""
    number, _, alt = argument.partition(":")
    block = variants.find_block(draft.content, draft.block_id)
    is_known = number.isdecimal() and len(number) < 19
    values: dict[str, Any] = {"file_id": int(number) if is_known else None}
    address = "image" if block["type"] == "product" else "src"
    values[address] = ""
    if block["type"] == "image" and alt and not block.get("alt"):
        values["alt"] = alt
    return replace(draft, content=variants.update_block(draft.content, draft.block_id, values))


def _third_column(draft: Draft, _: str) -> Draft:
    """Add a third column, or take it away; what stands in it goes to the second."""
    block = variants.find_block(draft.content, draft.block_id)
    columns = [list(column) for column in block["columns"]]
    columns = [*columns, []] if len(columns) == 2 else [columns[0], columns[1] + columns[2]]
    content = variants.update_block(draft.content, draft.block_id, {"columns": columns})
    return replace(draft, content=content)


def _detach(draft: Draft, number: str) -> Draft:
    kept = [file for file in draft.content.get("attachments", []) if str(file) != number]
    return replace(draft, content={**draft.content, "attachments": kept})


def _share(text: str) -> float:
    try:
        share = float(text.replace(",", ".").replace("%", "").strip() or 0)
    except ValueError:
        return 0
    return round(share, 1) if 0 <= share <= 100 else 0


def _home(content: Mapping[str, Any], inside: tuple[str, int] | None) -> list[dict[str, Any]]:
    if inside is None:
        found: list[dict[str, Any]] = content["blocks"]
        return found
    columns: list[list[dict[str, Any]]] = variants.find_block(content, inside[0])["columns"]
    return columns[inside[1]]


def _ids(content: Mapping[str, Any]) -> set[str]:
    blocks = content.get("blocks", ())
    inner = (b for block in blocks for column in block.get("columns", ()) for b in column)
    return {block["id"] for block in (*blocks, *inner)}


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt="deleted-block")


_ACTIONS: dict[str, Callable[[Draft, str], Draft]] = {
    "open": _open,
    "add": _add,
    "up": _moved(-1),
    "down": _moved(1),
    "move": _move,
    "duplicate": _duplicate,
    "delete": _delete,
    "undo": _undo,
    "picture": _picture,
    "no-picture": _picture,
    "third-column": _third_column,
    "detach": _detach,
}
