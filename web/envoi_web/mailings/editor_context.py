"""What the page of the content editor is given, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy.orm import Session

from envoi.audience.control import variant_sizes
from envoi.blocks import BLOCKS, Style
from envoi.content.kit import Kit
from envoi.content.utm import NAMES as UTM_NAMES
from envoi.errors import EnvoiError, Problem, TemplateError, ValidationFailedError
from envoi.library.files import Library
from envoi.library.queries import files_by_id
from envoi.mailings import service, variants
from envoi.mailings.cascade import channel_at, channels_of
from envoi.mailings.content import (
    content_warnings,
    rendered,
    sample_variables,
)
from envoi.mailings.models import Mailing
from envoi.tenants.models import TenantSettings
from envoi.tenants.service import tenant_settings
from envoi.types import ChannelSpec
from envoi.webkit import allowed, current
from envoi.webkit.formats import number, translated
from envoi_web.help.topics import topic_of_message
from envoi_web.mailings.block_fields import Field, block_fields, style_fields
from envoi_web.mailings.block_words import TYPES, summary_of, type_of
from envoi_web.mailings.cascade import cascade_form, chain_of
from envoi_web.mailings.content_fields import content_fields
from envoi_web.mailings.context import Step, channel_label
from envoi_web.mailings.editing import common
from envoi_web.mailings.editor import SIMPLE, Draft, position_of
from envoi_web.mailings.measuring import measured
from envoi_web.mailings.readers import preview_of

LETTERS = "ABCDE"
PLAIN_EDITOR = "mailings/editors/plain.html"
"""Serves every channel that brings no template of its own."""
_MODES = frozenset({"blocks", "mjml", "html"})
_WRITTEN = ("title", "text", "image")
"""Fields that hold the message itself, where it has no blocks."""


@dataclass(frozen=True)
class Row:
    """A block in the list."""

    id: str
    label: str
    icon: str
    summary: str
    faulty: bool

    @property
    def name(self) -> str:
        """The block for a screen reader: its type and what it is about."""
        return f"{self.label} {self.summary}".strip()


@dataclass(frozen=True)
class Fault:
    """A problem, and the button that leads to its block."""

    field: str
    message: str
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is wrong with a draft's content, and how large its message is."""

    faults: Sequence[Fault] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    faulty: frozenset[str] = frozenset()
    line: int | None = None
    size: float | None = None


def what_context(
    session: Session,
    mailing: Mailing,
    draft: Draft,
    *,
    version: int | None = None,
    customer: int | None = None,
    problems: Sequence[Problem] = (),
    conflict: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make everything that the second step is given."""
    settings = tenant_settings(session, mailing.tenant_id)
    spec = spec_of(mailing, draft)
    found = faults_of(session, mailing, draft)
    parts, total = shares(session, mailing)
    errors = {**found.errors, **{p.field: p.message for p in problems}}
    length = measured(session, mailing, draft)
    preview = preview_of(session, mailing, draft, length, customer)
    shared = common(session, mailing, "what")
    return shared | {
        "help_topic": topic_of_message(channels_of(mailing)),
        "steps": [_counting(step, len(parts)) for step in shared["steps"]],
        "content": draft.content,
        "editor": spec.editor_template or PLAIN_EDITOR,
        "fields": content_fields(spec.content_schema, draft.content, errors),
        "measured": length,
        "cascade": cascade_form(session, mailing, draft, errors),
        "edit": _edit(session, mailing, draft, settings, found, version or mailing.version),
        "reads": reads(session, mailing, draft, preview["customer"]),
        "parts": parts,
        "total": total,
        "problems": [*(Fault(p.field, p.message) for p in problems), *found.faults],
        "errors": errors,
        "conflict": conflict,
        "warnings": content_warnings(session, mailing),
        "preview": preview,
    }


def _counting(step: Step, count: int) -> Step:
    """Tell in the open step how many variants there are, where there are several."""
    if step.state != "current" or count == 1:
        return step
    return replace(step, hint=ngettext("%(num)s variant", "%(num)s variants", count))


def faults_of(session: Session, mailing: Mailing, draft: Draft) -> Found:
    """Check the content as a draft: what is not filled in yet is no fault."""
    written = _WRITTEN if mode_of(mailing, draft) == "plain" else ("body", "blocks")
    if not any(draft.content.get(name) for name in written):
        return Found()
    library = library_of(session)
    try:
        channel = spec_of(mailing, draft).name
        html = rendered(current.plugins, channel, draft.content, library, {})
    except ValidationFailedError as error:
        line = error.line if isinstance(error, TemplateError) else None
        return replace(_placed(draft, error.problems), line=line)
    except EnvoiError as error:
        return Found(faults=[Fault("", str(error))])
    if mode_of(mailing, draft) == "plain":
        return Found()
    return Found(size=round(len(html.encode()) / 1024, 1))


def library_of(session: Session) -> Library:
    """Return the company's pictures and attachments."""
    return Library(session, current.tenant_id, current.settings.links_url)


def _placed(draft: Draft, problems: Sequence[Problem]) -> Found:
    """Lead every problem to its field: of the open block, or to the block that has it."""
    errors: dict[str, str] = {}
    faults: list[Fault] = []
    faulty: set[str] = set()
    for problem in problems:
        block_id, name = block_of(draft.content, problem.field)
        faulty.add(block_id)
        place = f"block.{name}" if block_id else problem.field
        if not block_id or block_id == draft.block_id:
            errors[place] = problem.message
        elsewhere = block_id and block_id != draft.block_id
        faults.append(Fault(place, problem.message, f"open:{block_id}" if elsewhere else ""))
    return Found(faults=faults, errors=errors, faulty=frozenset(faulty))


def block_of(content: Mapping[str, Any], path: str) -> tuple[str, str]:
    """Return the block that a path such as `blocks.3.columns.0.1.alt` leads to, and the rest."""
    here: Any = content
    block_id, parts = "", path.split(".")
    rest = 0
    for place, part in enumerate(parts):
        try:
            here = here[int(part)] if isinstance(here, list) else here[part]
        except (KeyError, IndexError, ValueError, TypeError):
            break
        if isinstance(here, dict) and "id" in here and "type" in here:
            block_id, rest = here["id"], place + 1
    return block_id, ".".join(parts[rest:])


def shares(session: Session, mailing: Mailing) -> tuple[list[dict[str, Any]], int | None]:
    """Return the variants with share and recipients, and how many recipients there are."""
    found = service.variants_of(session, mailing)
    total = (mailing.volume or {}).get("recipients")
    given = [variant.share for variant in found]
    counts = variant_sizes(total, given) if total is not None and any(given) else None
    parts = [
        {
            "number": variant.number,
            "letter": LETTERS[variant.number - 1],
            "share": variant.share,
            "count": counts[place] if counts else None,
        }
        for place, variant in enumerate(found)
    ]
    return parts, total


def address_of(mailing: Mailing, draft: Draft) -> str:
    """Return the address that shows this variant and step with this block open."""
    step, block = draft.step if draft.step > 1 else None, draft.block_id or None
    return url_for(
        "mailings.what", mailing_id=mailing.id, variant=draft.number, step=step, block=block
    )


def spec_of(mailing: Mailing, draft: Draft) -> ChannelSpec:
    """Return the channel of the step that is edited."""
    return current.plugins.channels[channel_at(mailing, draft.step)]


def mode_of(mailing: Mailing, draft: Draft) -> str:
    """Say how the message is written; "plain" for channels without blocks."""
    content = draft.content
    if "blocks" not in spec_of(mailing, draft).content_schema.model_fields:
        return "plain"
    written = str(content.get("body_format") or ("mjml" if content.get("body") else "blocks"))
    return written if written in _MODES else "blocks"


def _edit(
    session: Session,
    mailing: Mailing,
    draft: Draft,
    settings: TenantSettings,
    found: Found,
    version: int,
) -> dict[str, Any]:
    style = {**Style().model_dump(mode="json"), **draft.content.get("style", {})}
    return {
        "number": draft.number,
        "letter": LETTERS[draft.number - 1],
        "version": version,
        "step": draft.step,
        "chain": chain_of(mailing),
        "mode": mode_of(mailing, draft),
        "channel_label": channel_label(channel_at(mailing, draft.step)),
        "schema": spec_of(mailing, draft).content_schema.model_fields,
        "most_variants": variants.MAX_VARIANTS,
        "control_share": mailing.control_share,
        "address": address_of(mailing, draft),
        "broken": bool(found.faults),
        "error_line": found.line,
        "size": found.size,
        "colours": colours_of(settings, style),
        "style_fields": style_fields(style, found.errors),
        "style_open": any(name.startswith("style.") for name in found.errors),
        "senders": senders_of(settings, draft.content),
        "utm": [(n, mailing.utm.get(n, ""), settings.utm.get(n, "")) for n in UTM_NAMES],
        "attachments": [
            {
                "id": file.id,
                "name": file.name,
                "size": _("%(size)s KB", size=number(file.size // 1024)),
            }
            for file in files_by_id(session, mailing.tenant_id, _numbers(draft.content))
        ],
        "undo": draft.undo,
        "focus": draft.focus,
        "kinds": _kinds(BLOCKS),
        "simple_kinds": _kinds(SIMPLE),
        **_open_block(draft, found),
    }


def _numbers(content: Mapping[str, Any]) -> list[int]:
    return [n for n in content.get("attachments", ()) if isinstance(n, int)]


def reads(session: Session, mailing: Mailing, draft: Draft, customer: int | None) -> dict[str, str]:
    """Say how subject and preheader read for a customer, and how long they are."""
    variables: Mapping[str, Any] = {}
    if customer is not None:
        variables = sample_variables(
            session, current.plugins, mailing, customer, contacts=allowed("customers.contacts")
        )
    return {
        name: _reading(str(draft.content.get(name, "")), variables)
        for name in ("subject", "preheader")
        if name in spec_of(mailing, draft).content_schema.model_fields
    }


def _reading(source: str, variables: Mapping[str, Any]) -> str:
    if "{" not in source:
        return _length(len(source))
    try:
        shown = Kit().template(source, html=False).render(variables).strip()
    except EnvoiError as error:
        return translated(str(error))
    return str(_("Reads: %(text)s (%(length)s)", text=shown, length=_length(len(shown))))


def _length(length: int) -> str:
    return str(
        ngettext("%(count)s character", "%(count)s characters", length, count=number(length))
    )


def _open_block(draft: Draft, found: Found) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "rows": [_row(block, found.faulty) for block in draft.content.get("blocks", ())],
        "block": None,
        "block_id": draft.block_id,
    }
    if not draft.block_id:
        return shown
    block = variants.find_block(draft.content, draft.block_id)
    fields: list[Field] = block_fields(block, found.errors)
    inside = position_of(draft.content, draft.block_id)[1]
    return shown | {
        "block": block,
        "block_label": type_of(block)[0],
        "fields": fields,
        "picture_url": _picture_url(block),
        "columns": [[_row(b, found.faulty) for b in column] for column in block.get("columns", ())],
        "parent_id": inside[0] if inside else "",
    }


def _picture_url(block: Mapping[str, Any]) -> str:
    """Where our own pages show the picture; those from elsewhere are seen in the preview only."""
    number = block.get("file_id")
    return url_for("mailings.picture", file_id=number) if isinstance(number, int) else ""


def _row(block: Mapping[str, Any], faulty: frozenset[str]) -> Row:
    label, icon = type_of(block)
    inner = {b["id"] for column in block.get("columns", ()) for b in column}
    return Row(block["id"], label, icon, summary_of(block), bool(faulty & {block["id"], *inner}))


def _kinds(names: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(name, str(TYPES[name][0]), TYPES[name][1]) for name in names]


def colours_of(settings: TenantSettings, style: Mapping[str, Any]) -> list[str]:
    """Return the colours that are offered: the company's, and those of this message."""
    brand = [str(value) for value in settings.design.values() if str(value).startswith("#")]
    own = [str(style[name]) for name in ("primary", "text", "background", "surface")]
    return list(dict.fromkeys([*own, *brand]))


def senders_of(settings: TenantSettings, content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the company's senders as options, the one in use first where it is none of them."""
    known = [{"name": settings.sender_name, "address": settings.sender_address}]
    known += [dict(sender) for sender in settings.senders]
    options = {
        f"{sender.get('name', '')}|{sender['address']}": sender.get("name") or sender["address"]
        for sender in known
        if sender.get("address")
    }
    used = {"name": content.get("sender_name", ""), "address": content.get("sender_address", "")}
    if used["address"] and options:
        label = used["name"] or used["address"]
        options = {f"{used['name']}|{used['address']}": label} | options
    return list(options.items())
