"""The variants of a draft: their contents, their shares, and the blocks they are made of."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from envoi.blocks import BLOCKS, DRAFT, MAX_BLOCKS, new_block
from envoi.errors import NotFoundError, Problem, ValidationFailedError, problems_of
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.service import editable_draft, refuse_stale, touch, variants_of
from envoi.plugins import Plugins

MAX_VARIANTS = 5
MAX_STORED = 2 * 1024 * 1024
"""Characters of a variant's content; what is larger is no message."""

Content = dict[str, Any]
BlockList = list[dict[str, Any]]


def get_variant(session: Session, mailing: Mailing, number: int) -> Variant:
    """Return a variant, or raise `NotFoundError`."""
    found = session.get(Variant, (mailing.tenant_id, mailing.id, number))
    if found is None:
        raise NotFoundError("There is no such variant. It may have been deleted.")
    return found


def content_at(variant: Variant, step: int) -> Content:
    """Return the content of a variant for a step, or raise `NotFoundError`."""
    contents = [variant.content, *variant.steps]
    if not 1 <= step <= len(contents):
        raise NotFoundError("The cascade has no such step. It may have been removed.")
    return contents[step - 1]


def save_content(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    version: int,
    content: Mapping[str, Any],
    number: int = 1,
    account_id: int | None = None,
    *,
    step: int = 1,
) -> Mailing:
    """Store fields of a variant's content for a step as they stand; a draft may be incomplete.

    Raises:
        ConflictError: The draft was changed since `version`, or is no draft any more.
        ValidationFailedError: The content is too large to keep.
    """
    mailing = editable_draft(session, tenant_id, mailing_id)
    variant = get_variant(session, mailing, number)
    stored = content_at(variant, step)
    changed = {**stored, **content}
    if changed == stored:
        return mailing
    refuse_stale(mailing, version)
    refuse_too_large(changed)
    if step == 1:
        variant.content = changed
    else:
        variant.steps = [*variant.steps[: step - 2], changed, *variant.steps[step - 1 :]]
    touch(mailing, account_id)
    return mailing


def refuse_too_large(content: Mapping[str, Any]) -> None:
    """Raise `ValidationFailedError` for content that is larger than any message."""
    if len(json.dumps(content)) > MAX_STORED:
        raise ValidationFailedError(
            [
                Problem(
                    "body",
                    "The message is larger than 2 MB, too large to be kept: mail programs cut"
                    " messages above 0.1 MB. Upload pictures to the library instead of pasting"
                    " them.",
                )
            ]
        )


def validate_content(
    plugins: Plugins, channel: str, content: Mapping[str, Any], *, draft: bool = False
) -> BaseModel:
    """Check content by its channel's schema; raise `ValidationFailedError` with all problems.

    With `draft` what a person has not filled in yet may be empty.
    """
    spec = plugins.channels.get(channel)
    if spec is None:
        raise NotFoundError(f"The channel {channel!r} is not enabled for this company.")
    try:
        return spec.content_schema.model_validate(dict(content), context=DRAFT if draft else None)
    except ValidationError as error:
        problems = [Problem(_path(p.field), p.message) for p in problems_of(error)]
        raise ValidationFailedError(problems) from None


def add_variant(
    session: Session, tenant_id: int, mailing_id: int, version: int, copy_of: int = 1
) -> int:
    """Add a copy of a variant and return its number; all get equal shares."""
    mailing = editable_draft(session, tenant_id, mailing_id)
    refuse_stale(mailing, version)
    source = get_variant(session, mailing, copy_of)
    number = len(variants_of(session, mailing)) + 1
    if number > MAX_VARIANTS:
        message = f"A mailing has at most {MAX_VARIANTS} variants. Delete one first."
        raise ValidationFailedError([Problem("variants", message)])
    session.add(
        Variant(
            tenant_id=tenant_id,
            mailing_id=mailing_id,
            number=number,
            content=deepcopy(source.content),
            steps=deepcopy(source.steps),
        )
    )
    session.flush()
    _share_equally(session, mailing)
    return number


def delete_variant(
    session: Session, tenant_id: int, mailing_id: int, version: int, number: int
) -> Mailing:
    """Delete a variant; those behind it move up, and all get equal shares."""
    mailing = editable_draft(session, tenant_id, mailing_id)
    refuse_stale(mailing, version)
    get_variant(session, mailing, number)
    found = variants_of(session, mailing)
    if len(found) == 1:
        raise ValidationFailedError([Problem("variants", "The last variant cannot be deleted.")])
    for variant, behind in zip(found[number - 1 :], found[number:], strict=False):
        variant.content, variant.steps = behind.content, behind.steps
    session.delete(found[-1])
    session.flush()
    _share_equally(session, mailing)
    return mailing


def set_shares(
    session: Session, tenant_id: int, mailing_id: int, version: int, shares: Sequence[float]
) -> Mailing:
    """Share the recipients out between the variants, in per cent with one decimal.

    Raises:
        ValidationFailedError: They do not add up to 100, or one gets nothing.
    """
    mailing = editable_draft(session, tenant_id, mailing_id)
    found = variants_of(session, mailing)
    rounded = [round(share, 1) for share in shares]
    if len(rounded) != len(found):
        raise ValidationFailedError([Problem("shares", "Every variant needs a share.")])
    if not all(share >= 0.1 for share in rounded):
        raise ValidationFailedError([Problem("shares", "Every variant gets at least 0.1 %.")])
    if round(sum(rounded), 1) != 100:
        message = f"The shares add up to {sum(rounded):.1f} %. Make them 100 % together."
        raise ValidationFailedError([Problem("shares", message)])
    if [variant.share for variant in found] == rounded:
        return mailing
    refuse_stale(mailing, version)
    for variant, share in zip(found, rounded, strict=True):
        variant.share = share
    touch(mailing)
    return mailing


def equal_shares(count: int) -> list[float]:
    """Share 100 % out with one decimal; what is left over goes to the first."""
    each, left = divmod(1000, count)
    return [(each + (place < left)) / 10 for place in range(count)]


def add_block(
    content: Mapping[str, Any],
    kind: str,
    position: int | None = None,
    *,
    inside: tuple[str, int] | None = None,
    **values: Any,
) -> Content:
    """Add a block with its defaults and `values`; without a position at the end.

    Args:
        content: The variant's content, which is not changed.
        kind: The type of the block.
        position: Its place in the list, from 0.
        inside: A columns block by its id, and the column, from 0; None is the message itself.
        **values: Fields that differ from the defaults, such as the address in a footer.
    """
    if kind not in BLOCKS:
        raise NotFoundError(f"There is no block of the type {kind}.")
    changed, blocks = _copied(content)
    if _count(blocks) >= MAX_BLOCKS:
        message = f"A message holds at most {MAX_BLOCKS} blocks. Delete some first."
        raise ValidationFailedError([Problem("blocks", message)])
    target = _list_of(blocks, inside)
    place = len(target) if position is None else min(max(position, 0), len(target))
    target.insert(place, new_block(kind, new_id(), **values))
    return changed


def move_block(
    content: Mapping[str, Any],
    block_id: str,
    position: int,
    *,
    inside: tuple[str, int] | None = None,
) -> Content:
    """Move a block to a place in the list it belongs to, or in the one of `inside`."""
    changed, blocks = _copied(content)
    home, place = _found(blocks, block_id)
    block = home.pop(place)
    target = home if inside is None else _list_of(blocks, inside)
    target.insert(min(max(position, 0), len(target)), block)
    return changed


def duplicate_block(content: Mapping[str, Any], block_id: str) -> Content:
    """Put a copy behind a block; everything in it gets ids of its own."""
    changed, blocks = _copied(content)
    if _count(blocks) >= MAX_BLOCKS:
        message = f"A message holds at most {MAX_BLOCKS} blocks. Delete some first."
        raise ValidationFailedError([Problem("blocks", message)])
    home, place = _found(blocks, block_id)
    home.insert(place + 1, _renumbered(deepcopy(home[place])))
    return changed


def delete_block(content: Mapping[str, Any], block_id: str) -> Content:
    """Take a block out, with what it holds."""
    changed, blocks = _copied(content)
    home, place = _found(blocks, block_id)
    del home[place]
    return changed


def update_block(content: Mapping[str, Any], block_id: str, values: Mapping[str, Any]) -> Content:
    """Change fields of a block as they stand; its id and type stay."""
    changed, blocks = _copied(content)
    home, place = _found(blocks, block_id)
    kept = {name: home[place][name] for name in ("id", "type")}
    home[place] = {**home[place], **values, **kept}
    return changed


def find_block(content: Mapping[str, Any], block_id: str) -> dict[str, Any]:
    """Return a block by its id, also one in a column; raise `NotFoundError`."""
    home, place = _found(content.get("blocks", []), block_id)
    return home[place]


def new_id() -> str:
    """Make an id for a block."""
    return secrets.token_hex(4)


def with_ids(blocks: Sequence[Mapping[str, Any]]) -> BlockList:
    """Copy blocks with ids of their own, as when a template is used."""
    return [_renumbered(deepcopy(dict(block))) for block in blocks]


def _path(field: str) -> str:
    """Name a field by where it stands: `blocks.3.image.alt` is `blocks.3.alt` for people."""
    parts = field.split(".")
    pairs = zip(["", *parts], parts, strict=False)
    return ".".join(part for before, part in pairs if not (before.isdecimal() and part in BLOCKS))


def _share_equally(session: Session, mailing: Mailing) -> None:
    found = variants_of(session, mailing)
    for variant, share in zip(found, equal_shares(len(found)), strict=True):
        variant.share = share
    touch(mailing)


def _copied(content: Mapping[str, Any]) -> tuple[Content, BlockList]:
    blocks: BlockList = deepcopy(content.get("blocks", []))
    return {**content, "blocks": blocks}, blocks


def _found(blocks: BlockList, block_id: str) -> tuple[BlockList, int]:
    """The list that a block stands in, and its place there."""
    for place, block in enumerate(blocks):
        if block.get("id") == block_id:
            return blocks, place
        for column in block.get("columns", ()):
            inner = next((n for n, b in enumerate(column) if b.get("id") == block_id), None)
            if inner is not None:
                return column, inner
    raise NotFoundError("There is no such block. It may have been deleted.")


def _list_of(blocks: BlockList, inside: tuple[str, int] | None) -> BlockList:
    if inside is None:
        return blocks
    home, place = _found(blocks, inside[0])
    columns: list[BlockList] = home[place].get("columns", [])
    if not 0 <= inside[1] < len(columns):
        raise NotFoundError("There is no such column. It may have been deleted.")
    return columns[inside[1]]


def _count(blocks: BlockList) -> int:
    return sum(1 + sum(map(len, block.get("columns", ()))) for block in blocks)


def _renumbered(block: dict[str, Any]) -> dict[str, Any]:
    columns = [[_renumbered(inner) for inner in column] for column in block.get("columns", ())]
    return {**block, "id": new_id(), **({"columns": columns} if columns else {})}
