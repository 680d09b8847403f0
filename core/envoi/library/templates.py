"""Templates: content of a channel to start a mailing from, a company's own and built-in ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.library.models import Template
from envoi.mailings.cascade import channel_at
from envoi.mailings.models import Mailing
from envoi.mailings.service import get_mailing
from envoi.mailings.variants import (
    content_at,
    get_variant,
    refuse_too_large,
    save_content,
    with_ids,
)
from envoi.tenants.service import tenant_settings
from envoi.twice import A_MOMENT, one_by_one

MAX_NAME = 200
MAX_FOLDER = 100
LANGUAGES = ("en", "ru")

_NOT_OF_TEMPLATES = frozenset({"sender_name", "sender_address", "reply_to", "attachments", "utm"})
"""What belongs to the mailing: a template brings words and looks, never a sender."""


@dataclass(frozen=True)
class StartingTemplate:
    """A template that comes with Envoi."""

    code: str
    name: str
    channel: str
    content: Mapping[str, Any]


@cache
def starting_templates(language: str = "en") -> tuple[StartingTemplate, ...]:
    """Return the built-in templates in a language, English where there is none."""
    code = language if language in LANGUAGES else LANGUAGES[0]
    text = files("envoi.library").joinpath("starting", f"{code}.json").read_text("utf-8")
    return tuple(StartingTemplate(**entry) for entry in json.loads(text))


def starting_template(code: str, language: str = "en") -> StartingTemplate:
    """Return a built-in template by its code, or raise `NotFoundError`."""
    found = next((t for t in starting_templates(language) if t.code == code), None)
    if found is None:
        raise NotFoundError("There is no such template. It may have been deleted.")
    return found


def list_templates(
    session: Session,
    tenant_id: int,
    *,
    folder: str | None = None,
    text: str = "",
    channel: str = "",
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Template], int]:
    """Return a company's templates by name, and how many there are; None is every folder."""
    c = table(Template).c
    conditions = [c.tenant_id == tenant_id]
    if folder is not None:
        conditions.append(c.folder == folder)
    if text:
        conditions.append(c.name.icontains(text, autoescape=True))
    if channel:
        conditions.append(c.channel == channel)
    total = session.scalar(select(func.count()).select_from(table(Template)).where(*conditions))
    query = select(Template).where(*conditions).order_by(func.lower(c.name), c.id)
    return list(session.scalars(query.limit(limit).offset(offset))), total or 0


def get_template(session: Session, tenant_id: int, template_id: int) -> Template:
    """Return a template, or raise `NotFoundError`."""
    found = session.get(Template, (tenant_id, template_id))
    if found is None:
        raise NotFoundError("There is no such template. It may have been deleted.")
    return found


def create_template(
    session: Session,
    tenant_id: int,
    *,
    channel: str,
    name: str,
    content: Mapping[str, Any],
    folder: str = "",
    account_id: int | None = None,
) -> Template:
    """Keep content as a template; what belongs to one mailing is left out.

    The same one made by the same person a moment ago is returned: a form was sent twice.
    """
    kept = {k: v for k, v in content.items() if k not in _NOT_OF_TEMPLATES}
    refuse_too_large(kept)
    made = Template(
        tenant_id=tenant_id,
        channel=channel,
        name=_name(name),
        folder=_folder(folder),
        content=kept,
        created_by=account_id,
    )
    if (again := _just_made(session, made)) is not None:
        return again
    session.add(made)
    session.flush()
    return made


def keep_as_template(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    number: int,
    *,
    name: str,
    folder: str = "",
    account_id: int | None = None,
    step: int = 1,
) -> Template:
    """Make a template of a mailing's variant, of what it says in a step."""
    mailing = get_mailing(session, tenant_id, mailing_id)
    return create_template(
        session,
        tenant_id,
        channel=channel_at(mailing, step),
        name=name,
        content=content_at(get_variant(session, mailing, number), step),
        folder=folder,
        account_id=account_id,
    )


def edit_template(
    session: Session, tenant_id: int, template_id: int, *, name: str, folder: str
) -> Template:
    """Rename a template or move it to another folder."""
    found = get_template(session, tenant_id, template_id)
    found.name, found.folder = _name(name), _folder(folder)
    found.updated_at = datetime.now(UTC)
    return found


def duplicate_template(
    session: Session, tenant_id: int, template_id: int, account_id: int | None = None
) -> Template:
    """Copy a template within its folder."""
    source = get_template(session, tenant_id, template_id)
    return create_template(
        session,
        tenant_id,
        channel=source.channel,
        name=f"{source.name} (copy)"[:MAX_NAME],
        content=source.content,
        folder=source.folder,
        account_id=account_id,
    )


def delete_template(session: Session, tenant_id: int, template_id: int) -> None:
    """Delete a template; mailings made from it keep their content."""
    session.delete(get_template(session, tenant_id, template_id))
    session.flush()


def use_template(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    version: int,
    template: Template | StartingTemplate,
    number: int = 1,
    step: int = 1,
) -> Mailing:
    """Put a template's content into a step of a variant; subject and preheader typed stay.

    Raises:
        ConflictError: The draft was changed since `version`, or is no draft any more.
        ValidationFailedError: The template is of another channel.
    """
    mailing = get_mailing(session, tenant_id, mailing_id)
    if channel_at(mailing, step) != template.channel:
        message = "The template is of another channel. Choose one of this mailing's."
        raise ValidationFailedError([Problem("template", message)])
    typed = content_at(get_variant(session, mailing, number), step)
    kept = {name for name in ("subject", "preheader") if typed.get(name)}
    content = {k: v for k, v in template.content.items() if k not in kept}
    address = tenant_settings(session, tenant_id).postal_address
    blocks = [_addressed(block, address) for block in with_ids(content.get("blocks", ()))]
    changed = content
    if "blocks" in content or "body" in content:
        # A text part of before would not fit the new body.
        changed = {"text": "", **content, "blocks": blocks}
    return save_content(session, tenant_id, mailing_id, version, changed, number, step=step)


def _just_made(session: Session, wanted: Template) -> Template | None:
    if wanted.created_by is None:
        return None
    one_by_one(session, "template", wanted.tenant_id, wanted.created_by)
    same = ("tenant_id", "created_by", "channel", "name", "folder", "content")
    c = table(Template).c
    alike = (c[column] == getattr(wanted, column) for column in same)
    recent = c.created_at > func.now() - A_MOMENT
    return session.scalar(select(Template).where(*alike, recent).limit(1))


def _addressed(block: dict[str, Any], address: str) -> dict[str, Any]:
    """Fill the company's address into a footer that has none."""
    if block.get("type") == "footer" and not block.get("address"):
        return {**block, "address": " ".join(address.split())[:500]}
    return block


def _name(name: str) -> str:
    given = " ".join(name.split())
    if not given:
        raise ValidationFailedError([Problem("name", "The template needs a name.")])
    if len(given) > MAX_NAME:
        raise ValidationFailedError([Problem("name", "The name is longer than 200 characters.")])
    return given


def _folder(folder: str) -> str:
    return " ".join(folder.split())[:MAX_FOLDER]
