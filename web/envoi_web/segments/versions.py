"""The versions of a segment, where it is used, and restoring one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.jobs import Work, hint
from envoi.segments.catalogue import load_catalogue
from envoi.segments.queries import users_of
from envoi.segments.service import get_segment, restore_version
from envoi.segments.versions import ListedVersion, VersionChange, list_versions
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.conditions import Say, sayer
from envoi_web.segments.blueprint import segments


@dataclass(frozen=True, kw_only=True)
class ShownVersion:
    """A version in words."""

    version: int
    name: str
    saved_by: str
    saved_at: datetime
    sentence: str
    changes: tuple[str, ...]


@segments.get("/<int:segment_id>/versions")
@permission("segments.view")
def versions(segment_id: int) -> Response:
    """Show every version with what it changed, and where the segment is used."""
    tenant_id = current.tenant_id
    with current.session() as session:
        segment = get_segment(session, tenant_id, segment_id)
        catalogue = load_catalogue(session, tenant_id, current.plugins)
        say = sayer(session, catalogue, current.plugins)
        listed = [_shown(v, say) for v in list_versions(session, tenant_id, segment_id)]
        users = users_of(session, tenant_id, segment_id)
    return page(
        "segments/versions.html",
        segment=segment,
        versions=listed,
        users=users,
        crumbs=[
            (_("User segments"), url_for("segments.index")),
            (segment.name, url_for("segments.edit", segment_id=segment_id)),
            (_("Versions"), ""),
        ],
    )


@segments.post("/<int:segment_id>/versions")
@permission("segments.edit")
def restore(segment_id: int) -> Response:
    """Save an older version again, as the newest."""
    form = request.form
    with current.session() as session:
        made = restore_version(
            session,
            current.tenant_id,
            segment_id,
            form.get("number", 0, type=int),
            version=form.get("version", 0, type=int),
            plugins=current.plugins,
            saved_by=current.account_id,
        )
    hint(current.installation.broker, Work.FIGURES, current.tenant_id, segment_id)
    toast(_("It is version %(number)s now.", number=made.version))
    return see_other(url_for("segments.edit", segment_id=segment_id))


def _shown(version: ListedVersion, say: Say) -> ShownVersion:
    changes = _changes(version.change, say) if version.change else ()
    return ShownVersion(
        version=version.version,
        name=version.name,
        saved_by=version.saved_by,
        saved_at=version.saved_at,
        sentence=say(version.tree),
        changes=tuple(changes),
    )


def _changes(change: VersionChange, say: Say) -> list[str]:
    found = []
    if change.renamed_from:
        found.append(_("Renamed; before: %(name)s", name=change.renamed_from))
    found += [_("Added: %(words)s", words=say(c)) for c in change.added]
    found += [_("Removed: %(words)s", words=say(c)) for c in change.removed]
    if change.joined:
        found.append(_("The same conditions, joined in another way"))
    return found or [_("Nothing changed")]
