"""What the buttons of the content editor do that concerns more than one variant's content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import request
from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.content.kit import Kit
from envoi.db import table
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.library.files import Library
from envoi.library.models import Template
from envoi.library.templates import (
    StartingTemplate,
    get_template,
    keep_as_template,
    starting_template,
    use_template,
)
from envoi.mailings import service, variants
from envoi.mailings.cascade import channel_at
from envoi.mailings.models import Mailing
from envoi.receipts.models import Product
from envoi.webkit import current, require, toast
from envoi.webkit.formats import money
from envoi_web.mailings.cascade import (
    add_step,
    move_step,
    put_before,
    remove_step,
    show_step,
    shown_at,
)
from envoi_web.mailings.content_fields import picture_fields
from envoi_web.mailings.editor import Draft

Action = Callable[[Session, Mailing, Draft, str], Draft]


def _variant(session: Session, mailing: Mailing, draft: Draft, argument: str) -> Draft:
    """Show another variant, in the same step."""
    number = int(argument) if argument.isdecimal() and len(argument) < 4 else 1
    return shown_at(session, mailing, number, draft.step)


def _add_variant(session: Session, mailing: Mailing, draft: Draft, _argument: str) -> Draft:
    number = variants.add_variant(
        session, mailing.tenant_id, mailing.id, mailing.version, draft.number
    )
    return replace(draft, number=number)


def _delete_variant(session: Session, mailing: Mailing, draft: Draft, argument: str) -> Draft:
    number = int(argument) if argument.isdecimal() and len(argument) < 4 else draft.number
    variants.delete_variant(session, mailing.tenant_id, mailing.id, mailing.version, number)
    left = min(number, len(service.variants_of(session, mailing)))
    return shown_at(session, mailing, left, draft.step)


def _equal_shares(session: Session, mailing: Mailing, draft: Draft, _argument: str) -> Draft:
    shares = variants.equal_shares(len(service.variants_of(session, mailing)))
    variants.set_shares(session, mailing.tenant_id, mailing.id, mailing.version, shares)
    return draft


def _product(session: Session, mailing: Mailing, draft: Draft, external_id: str) -> Draft:
    """Copy a product's data into the open block."""
    c = table(Product).c
    query = select(Product).where(c.tenant_id == mailing.tenant_id, c.external_id == external_id)
    found = session.scalars(query).first()
    if found is None:
        raise NotFoundError("There is no such product. It may have been deleted.")
    values = {
        "external_id": found.external_id,
        "name": found.name,
        "price": money(found.price, current.company.currency) if found.price else "",
        "link": found.url,
        "image": found.image_url,
    }
    return _saved(
        session,
        mailing,
        replace(draft, content=variants.update_block(draft.content, draft.block_id, values)),
    )


def _picture_address(session: Session, mailing: Mailing, draft: Draft, argument: str) -> Draft:
    """Put the public address of a picture of the library into the message's field for one."""
    number = argument.partition(":")[0]
    schema = current.plugins.channels[channel_at(mailing, draft.step)].content_schema
    if not number.isdecimal() or len(number) > 18 or not picture_fields(schema):
        raise NotFoundError("There is no such picture. It may have been deleted.")
    library = Library(session, mailing.tenant_id, current.settings.links_url)
    address = {picture_fields(schema)[0]: library.picture_url(int(number))}
    return _saved(session, mailing, replace(draft, content=draft.content | address))


def _convert(session: Session, mailing: Mailing, draft: Draft, _argument: str) -> Draft:
    """Turn blocks into MJML for good."""
    written = {"body": _mjml(session, mailing, draft), "body_format": "mjml", "blocks": []}
    toast(_("The message is MJML now."))
    return _saved(session, mailing, replace(draft, content=draft.content | written, block_id=""))


def _generate_text(session: Session, mailing: Mailing, draft: Draft, _argument: str) -> Draft:
    """Write the plain-text part anew from the message; variables stay variables."""
    if draft.content.get("body_format") == "html":
        html = str(draft.content.get("body", ""))
    else:
        html = Kit().mjml(_mjml(session, mailing, draft))
    content = {**draft.content, "text": Kit().plain_text(html)}
    return _saved(session, mailing, replace(draft, content=content))


def _mjml(session: Session, mailing: Mailing, draft: Draft) -> str:
    """The message as MJML, with template syntax as it was written."""
    if draft.content.get("body"):
        return str(draft.content["body"])
    checked: Any = variants.validate_content(
        current.plugins, channel_at(mailing, draft.step), draft.content, draft=True
    )
    kit = Kit(Library(session, mailing.tenant_id, current.settings.links_url))
    return kit.blocks_mjml(checked.blocks, checked.style)


def _use_template(session: Session, mailing: Mailing, draft: Draft, argument: str) -> Draft:
    """Put a template's content in the place of what was there; a number, or a built-in code."""
    if argument.isdecimal() and len(argument) <= 18:
        source: Template | StartingTemplate = get_template(
            session, mailing.tenant_id, int(argument)
        )
    else:
        source = starting_template(argument, str(get_locale() or "en"))
    where = (session, mailing.tenant_id, mailing.id, mailing.version)
    use_template(*where, source, draft.number, draft.step)
    toast(_("The template is in the message."))
    return _variant(session, mailing, draft, str(draft.number))


def _save_template(session: Session, mailing: Mailing, draft: Draft, _argument: str) -> Draft:
    require("templates.edit")
    try:
        made = keep_as_template(
            session,
            mailing.tenant_id,
            mailing.id,
            draft.number,
            name=request.form.get("template.name", ""),
            folder=request.form.get("template.folder", ""),
            account_id=current.account_id,
            step=draft.step,
        )
    except ValidationFailedError as error:
        problems = [Problem(f"template.{p.field}", p.message) for p in error.problems]
        raise ValidationFailedError(problems) from None
    toast(_("Template saved: %(name)s", name=made.name))
    return draft


def _saved(session: Session, mailing: Mailing, draft: Draft) -> Draft:
    where = (session, mailing.tenant_id, mailing.id, mailing.version)
    variants.save_content(*where, draft.content, draft.number, step=draft.step)
    return draft


MAILING_ACTIONS: dict[str, Action] = {
    "variant": _variant,
    "add-variant": _add_variant,
    "delete-variant": _delete_variant,
    "equal-shares": _equal_shares,
    "product": _product,
    "picture-address": _picture_address,
    "convert": _convert,
    "generate-text": _generate_text,
    "template": _use_template,
    "save-template": _save_template,
    "step": show_step,
    "step-add": add_step,
    "step-before": put_before,
    "step-move": move_step,
    "step-remove": remove_step,
}
