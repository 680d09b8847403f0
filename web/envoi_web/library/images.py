"""Pages of the images: a shelf with folders, upload, and one image with its uses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.datastructures import FileStorage

from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.library import service
from envoi.library.addresses import picture_path
from envoi.library.models import StoredFile
from envoi.library.pictures import MAX_BYTES
from envoi.library.queries import find_files, folders, uses_of
from envoi.webkit import Blueprint, current, page, paging_of, permission, see_other, toast
from envoi.webkit.formats import translated

images = Blueprint("images", __name__, url_prefix="/images")

MAX_FILES = 20
_LONGEST_SEARCH = 100


@images.get("/")
@permission("templates.view")
def index() -> Response:
    """Show the images, newest first."""
    return _shelf([])


@images.post("/")
@permission("templates.edit")
def upload() -> Response:
    """Take images in; those that cannot be taken are named, the others are kept."""
    request.max_content_length = MAX_FILES * MAX_BYTES
    files = [file for file in request.files.getlist("files") if file.filename]
    if not files:
        return _shelf([Problem("files", _("Choose images to upload."))])
    if len(files) > MAX_FILES:
        most = _("At most %(count)s images at a time.", count=MAX_FILES)
        return _shelf([Problem("files", most)])
    problems = [problem for file in files if (problem := _take_in(file)) is not None]
    if taken := len(files) - len(problems):
        toast(ngettext("%(num)s image uploaded.", "%(num)s images uploaded.", taken))
    if problems:
        return _shelf(problems)
    return see_other(url_for("images.index", folder=request.form.get("folder") or None))


@images.get("/<int:file_id>")
@permission("templates.view")
def show(file_id: int) -> Response:
    """Show one image: words, folder, address, and what uses it."""
    return _one(file_id, [])


@images.post("/<int:file_id>")
@permission("templates.edit")
def save(file_id: int) -> Response:
    """Change name, alternative text and folder."""
    with current.session() as session:
        _image(service.get_file(session, current.tenant_id, file_id))
        values = {name: request.form.get(name, "") for name in ("name", "alt", "folder")}
        service.edit_file(session, current.tenant_id, file_id, **values)
    toast(_("Image saved."))
    return see_other(url_for("images.show", file_id=file_id))


@images.post("/<int:file_id>/delete")
@permission("templates.edit")
def delete(file_id: int) -> Response:
    """Delete an image that nothing uses."""
    with current.session() as session:
        _image(service.get_file(session, current.tenant_id, file_id))
        service.delete_file(session, current.tenant_id, file_id)
    toast(_("Image deleted."))
    return see_other(url_for("images.index"))


@images.get("/<int:file_id>/file")
@permission("templates.view")
def file(file_id: int) -> Response:
    """Give the image itself; what is in it never changes."""
    with current.session() as session:
        found = _image(service.get_file(session, current.tenant_id, file_id))
    response = Response(found.data, mimetype=found.media_type)
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _take_in(upload: FileStorage) -> Problem | None:
    try:
        with current.session() as session:
            service.store_picture(
                session,
                current.tenant_id,
                name=upload.filename or "",
                data=upload.stream.read(MAX_BYTES + 1),
                folder=request.form.get("folder", ""),
                account_id=current.account_id,
            )
    except ValidationFailedError as error:
        reason = translated(error.problems[0].message)
        return Problem("files", f"{upload.filename}: {reason}")
    return None


def _image(found: StoredFile) -> StoredFile:
    if found.kind == service.ATTACHMENT:
        raise NotFoundError("There is no such file. It may have been deleted.")
    return found


def _shelf(problems: Sequence[Problem]) -> Response:
    folder = request.args.get("folder")
    text = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    tenant_id = current.tenant_id
    with current.session() as session:
        search = partial(find_files, session, tenant_id, service.IMAGE, folder=folder, text=text)
        paging = paging_of(search(limit=0)[1], size=25)
        found, _total = search(limit=paging.size, offset=paging.offset)
        uses = uses_of(session, tenant_id, [image.id for image in found])
        names = folders(session, tenant_id, StoredFile)
    return page(
        "library/images.html",
        status=422 if problems else 200,
        images=found,
        uses=uses,
        folders=names,
        folder=folder,
        text=text,
        paging=paging,
        problems=problems,
        crumbs=crumbs(_("Images")),
    )


def _one(file_id: int, problems: Sequence[Problem]) -> Response:
    tenant_id = current.tenant_id
    with current.session() as session:
        found = _image(service.get_file(session, tenant_id, file_id))
        uses = uses_of(session, tenant_id, [file_id])[file_id]
        names = folders(session, tenant_id, StoredFile)
    path = picture_path(tenant_id, file_id, found.digest)
    return page(
        "library/image.html",
        status=422 if problems else 200,
        image=found,
        uses=uses,
        folders=names,
        address=f"{current.settings.links_url}{path}",
        crumbs=crumbs(_("Images"), "images.index", found.name),
    )


def crumbs(section: str, endpoint: str = "", last: str = "") -> list[tuple[str, str]]:
    """The way to a page of the library."""
    above = [(_("Mass messaging"), url_for("mailings.index"))]
    here = [(section, url_for(endpoint) if endpoint else "")]
    return [*above, *here, *([(last[:60], "")] if last else [])]
