"""Step 2 of the editor: the message. One form; each of its buttons saves what was typed first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.accounts.models import Account
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.mailings import service, variants
from envoi.mailings.cascade import channel_at
from envoi.mailings.models import Mailing
from envoi.webkit import current, fragment, page, parts, permission, respond, see_other, toast
from envoi.webkit.htmx import is_fragment, target
from envoi_web.mailings import forms
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.cascade import chain_of, course_changes, save_course, shown_at
from envoi_web.mailings.editing import not_a_draft
from envoi_web.mailings.editor import Draft, changed, shares_of, typed, utm_of
from envoi_web.mailings.editor_actions import MAILING_ACTIONS
from envoi_web.mailings.editor_context import address_of, mode_of, what_context
from envoi_web.mailings.editor_words import differences

_PAGE = "mailings/what.html"


@mailings.get("/<int:mailing_id>/what")
@permission("mailings.content")
def what(mailing_id: int) -> Response:
    """Show the second step: the message, with the variant and block that the address names."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if (elsewhere := not_a_draft(session, mailing)) is not None:
            return elsewhere
        draft = _asked(session, mailing)
        customer = request.args.get("customer", None, type=int)
        return page(_PAGE, **what_context(session, mailing, draft, customer=customer))


@mailings.post("/<int:mailing_id>/what")
@permission("mailings.content")
def save_what(mailing_id: int) -> Response:
    """Save what was typed, then do what the button says."""
    with current.session() as session:
        mailing = service.editable_draft(session, current.tenant_id, mailing_id)
        draft = _typed(session, mailing)
        before = mailing.version
        try:
            draft, problems = _saved(session, mailing, draft)
        except service.ChangedMeanwhileError:
            return _conflict(session, mailing, draft)
        if mailing.version != before:
            mailing.updated_by = current.account_id
        if "next" in request.form and not problems:
            return see_other(url_for("mailings.when", mailing_id=mailing_id))
        return _answer(session, mailing, draft, problems)


def _asked(session: Session, mailing: Mailing) -> Draft:
    """Return the variant, step and block that the address names, or the first ones."""
    number, step = request.args.get("variant", 1, type=int), request.args.get("step", 1, type=int)
    block_id = request.args.get("block", "")
    try:
        draft = shown_at(session, mailing, number, step)
    except NotFoundError:
        return shown_at(session, mailing, 1, 1)
    try:
        variants.find_block(draft.content, block_id)
    except NotFoundError:
        return draft
    return replace(draft, block_id=block_id)


def _typed(session: Session, mailing: Mailing) -> Draft:
    form = request.form
    number, step = form.get("variant", 1, type=int), form.get("step", 1, type=int)
    stored = variants.get_variant(session, mailing, number)
    if form.get("chain", chain_of(mailing)) != chain_of(mailing):
        raise ConflictError(
            "The channels of the mailing were changed meanwhile. Load the page again to go on."
        )
    schema = current.plugins.channels[channel_at(mailing, step)].content_schema
    try:
        return typed(form, variants.content_at(stored, step), schema)
    except NotFoundError:
        raise ConflictError(
            "This block was deleted meanwhile. Load the page again to go on."
        ) from None


def _saved(session: Session, mailing: Mailing, draft: Draft) -> tuple[Draft, list[Problem]]:
    """Store what was typed and do what the button says, as one change.

    Raises:
        ChangedMeanwhileError: Somebody else saved since the page was shown; nothing was stored.
    """
    _refuse_stale(session, mailing, draft)
    problems = _settings_saved(session, mailing, draft)
    problems += save_course(session, mailing, draft)
    name, _, argument = request.form.get("do", "").partition(":")
    try:
        if act := MAILING_ACTIONS.get(name):
            _store(session, mailing, draft)
            return act(session, mailing, draft, argument), problems
        after = changed(draft, request.form.get("do", ""))
    except ValidationFailedError as error:
        _store(session, mailing, draft)
        return draft, [*problems, *error.problems]
    _store(session, mailing, after)
    if after.undo:
        toast(_deleted(), action=(_undo(), "#undo"))
    return after, problems


def _deleted() -> str:
    return str(_("Block deleted."))


def _undo() -> str:
    return str(_("Undo"))


def _refuse_stale(session: Session, mailing: Mailing, draft: Draft) -> None:
    """The same values again are no conflict, and "keep mine" names the version it replaces."""
    action, _, argument = request.form.get("do", "").partition(":")
    version = forms.version_of(request.form)
    if action == "keep" and argument.isdecimal() and len(argument) <= 9:
        version = int(argument)
    stored = shown_at(session, mailing, draft.number, draft.step)
    changes = draft.content != stored.content or action not in ("", "save", "keep", "open", "step")
    if changes or _settings(mailing, draft) or course_changes(mailing, draft):
        service.refuse_stale(mailing, version)


def _settings(mailing: Mailing, draft: Draft) -> dict[str, Any]:
    """What was typed of the mailing itself and differs from what is stored."""
    given: dict[str, Any] = {"utm": utm_of(request.form, mailing.utm)}
    if draft.name:
        given["name"] = draft.name
    return {name: value for name, value in given.items() if getattr(mailing, name) != value}


def _settings_saved(session: Session, mailing: Mailing, draft: Draft) -> list[Problem]:
    count = len(service.variants_of(session, mailing))
    try:
        _change(session, mailing, _settings(mailing, draft))
        if given := shares_of(request.form, count):
            variants.set_shares(session, mailing.tenant_id, mailing.id, mailing.version, given)
    except ValidationFailedError as error:
        return list(error.problems)
    return []


def _change(session: Session, mailing: Mailing, changes: Mapping[str, Any]) -> None:
    if changes:
        service.update_mailing(session, mailing.tenant_id, mailing.id, mailing.version, changes)


def _store(session: Session, mailing: Mailing, draft: Draft) -> None:
    where = (session, mailing.tenant_id, mailing.id, mailing.version)
    variants.save_content(*where, draft.content, draft.number, step=draft.step)


def _answer(session: Session, mailing: Mailing, draft: Draft, problems: list[Problem]) -> Response:
    """Give back the parts that changed; a whole page where no script asked."""
    if not is_fragment():
        if request.form.get("do") and not problems and not draft.undo:
            return see_other(address_of(mailing, draft))
        context = what_context(session, mailing, draft, problems=problems)
        return page(_PAGE, status=422 if problems else 200, **context)
    if _is_another_page(mailing, draft):
        return see_other(address_of(mailing, draft))
    context = what_context(session, mailing, draft, problems=problems)
    whole = target() == "what-editor"
    blocks = ["what_editor", "what_top", "what_state", "told"] if whole else ["what_state", "told"]
    return parts(_PAGE, blocks, status=422 if problems else 200, **context)


def _is_another_page(mailing: Mailing, draft: Draft) -> bool:
    """Whether another step is shown now, or the same one is written in another way."""
    form, chain = request.form, chain_of(mailing)
    shown = form.get("step", 1, type=int), form.get("chain", chain), form.get("mode")
    return shown != (draft.step, chain, mode_of(mailing, draft))


def _conflict(session: Session, mailing: Mailing, draft: Draft) -> Response:
    """Show both; what was typed stays in the fields, the version stays the one it was."""
    stored = shown_at(session, mailing, draft.number, draft.step)
    author = session.get(Account, mailing.updated_by) if mailing.updated_by else None
    context = what_context(
        session,
        mailing,
        draft,
        version=forms.version_of(request.form),
        conflict={
            "who": author.name if author else _("Somebody else"),
            "when": mailing.updated_at,
            "differences": differences(mailing, draft, stored.content),
        },
    )
    if not is_fragment():
        return page(_PAGE, status=409, **context)
    answer = fragment(_PAGE, "what_state", **context)
    return respond(
        answer.get_data(as_text=True), 409, retarget="#what-state", reswap="outerHTML show:top"
    )
