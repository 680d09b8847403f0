"""Import of target audiences: one list for one audience, or the audience in each row."""

from __future__ import annotations

from pathlib import Path

from flask import Response, request, stream_with_context, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from envoi.customers.import_kinds import ImportKind
from envoi.customers.imports import (
    ENDED,
    ImportStatus,
    create_import,
    error_file_path,
    import_status,
)
from envoi.customers.intake import store_upload
from envoi.customers.mapping import Mapping
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.jobs import Work, hint
from envoi.target_audiences.importing import AUDIENCE, with_heading
from envoi.target_audiences.queries import list_audiences
from envoi.target_audiences.service import LONGEST_NAME
from envoi.webkit import current, page, permission, see_other
from envoi.webkit.formats import translated
from envoi.webkit.htmx import is_fragment
from envoi_web.audiences.blueprint import audiences
from envoi_web.customers.import_errors import said_lines

STOP_POLLING = 286
"""htmx stops asking again when it gets this status."""

ONE, EACH = "one", "each"


@audiences.get("/import")
@permission("audiences.edit")
def upload_form() -> Response:
    """Ask for a file and how it names the audience."""
    return _form([])


@audiences.post("/import")
@permission("audiences.edit")
def upload() -> Response:
    """Take a file in and announce its import."""
    file = request.files.get("file")
    problems = _problems(file)
    if problems or file is None:
        return _form(problems)
    try:
        import_id = _take_in(file)
    except ValidationFailedError as error:
        return _form([Problem("file", translated(problem.message)) for problem in error.problems])
    hint(current.installation.broker, Work.IMPORT, current.tenant_id, import_id)
    return see_other(url_for("audiences.imported", import_id=import_id))


@audiences.get("/import/<int:import_id>")
@permission("audiences.edit")
def imported(import_id: int) -> Response:
    """Show how far an import is, and line by line what became of the file."""
    job = _job(import_id)
    answer = page(
        "audiences/imported.html",
        fragments=("import_course",),
        job=job,
        ended=job.state in ENDED,
        has_errors=bool(job.counts and (job.counts.refused or job.counts.warnings)),
        crumbs=[
            (_("Target audiences"), url_for("audiences.index")),
            (_("Import"), url_for("audiences.upload_form")),
            (job.file_name, ""),
        ],
    )
    if job.state in ENDED and is_fragment():
        answer.status_code = STOP_POLLING
    return answer


@audiences.get("/import/<int:import_id>/result.csv")
@permission("audiences.edit")
def result(import_id: int) -> Response:
    """Hand out the lines that were refused or doubtful, with their reasons."""
    job = _job(import_id)
    path = error_file_path(current.settings.data_dir, current.tenant_id, job.id)
    if not path.is_file():
        raise NotFoundError(_("The error file is no longer here. Import the file again."))
    name = {"Content-Disposition": f"attachment; filename=audience-{job.id}.csv"}
    lines = stream_with_context(said_lines(path, {}))
    return Response(lines, mimetype="text/csv", headers=name)


def _job(import_id: int) -> ImportStatus:
    with current.session() as session:
        job = import_status(session, current.tenant_id, import_id)
    if job.kind != ImportKind.AUDIENCE:
        raise NotFoundError("There is no such import.")
    return job


def _problems(file: FileStorage | None) -> list[Problem]:
    problems = []
    name = request.form.get("name", "").strip()
    if request.form.get("mode", ONE) == ONE and not 0 < len(name) <= LONGEST_NAME:
        problems.append(Problem("name", _("Choose or enter the target audience of the file.")))
    if file is None or not file.filename:
        problems.append(Problem("file", _("Choose a file.")))
    return problems


def _take_in(file: FileStorage) -> int:
    each = request.form.get("mode", ONE) == EACH
    path = store_upload(current.settings.data_dir, file.stream)
    if path.suffix != ".xlsx":
        _made_readable(path, each)
    options = {"account": str(current.account_id or 0)}
    if not each:
        options[AUDIENCE] = request.form["name"].strip()
    columns = ("customer_id", "audience") if each else ("customer_id",)
    with current.session() as session:
        return create_import(
            session,
            current.tenant_id,
            ImportKind.AUDIENCE,
            file.filename or "",
            path,
            current.account_id,
            Mapping(columns=columns, options=options),
        )


def _made_readable(path: Path, each: bool) -> None:
    try:
        with_heading(path, named=each)
    except UnicodeDecodeError:
        path.unlink(missing_ok=True)
        raise ValidationFailedError(
            [Problem("file", "The file is not UTF-8. Save it as CSV UTF-8 and try again.")]
        ) from None


def _form(problems: list[Problem]) -> Response:
    with current.session() as session:
        listed = list_audiences(session, current.tenant_id)
    chosen = request.args.get("audience", type=int)
    return page(
        "audiences/import.html",
        status=422 if problems else 200,
        audiences=listed,
        name=request.form.get("name") or next((a.name for a in listed if a.id == chosen), ""),
        mode=request.form.get("mode", ONE),
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=[(_("Target audiences"), url_for("audiences.index")), (_("Import"), "")],
    )
