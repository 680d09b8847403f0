"""Import of customers, products and receipts: a file, its columns, a check, the import."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from flask import Response, request, stream_with_context, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from envoi.customers import imports as service
from envoi.customers.error_file import MOST_LINES
from envoi.customers.fields import fields_of
from envoi.customers.import_kinds import FORMS, ImportKind
from envoi.customers.imports import ENDED, ImportStatus
from envoi.customers.intake import forget_uploads, open_table, store_upload
from envoi.customers.models import ImportState
from envoi.customers.preview import preview_of
from envoi.customers.saved_mappings import delete_mapping, save_mapping
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.jobs import Work, hint
from envoi.webkit import Blueprint, current, page, permission, see_other, toast
from envoi.webkit.htmx import is_fragment
from envoi_web.customers.import_errors import first_refused, said_lines
from envoi_web.customers.import_words import KINDS, SAMPLES, kind_label, targets_of
from envoi_web.customers.mapping_form import MappingForm, asked_mapping, form_of, shown_problems

imports = Blueprint("imports", __name__, url_prefix="/customers/import")

STOP_POLLING = 286
"""htmx stops asking again when it gets this status."""


@imports.get("/")
@permission("customers.import")
def index() -> Response:
    """Show the form, the samples and the latest imports."""
    return _upload_form(ImportKind.CUSTOMERS, [])


@imports.post("/")
@permission("customers.import")
def upload() -> Response:
    """Take a file in, to be mapped."""
    kind, file = request.form.get("kind", ""), request.files.get("file")
    if kind not in KINDS:
        return _upload_form(
            ImportKind.CUSTOMERS, [Problem("kind", _("Choose what the file holds."))]
        )
    if file is None or not file.filename:
        return _upload_form(ImportKind(kind), [Problem("file", _("Choose a file."))])
    try:
        import_id = _take_in(ImportKind(kind), file)
    except ValidationFailedError as error:
        return _upload_form(ImportKind(kind), [Problem("file", str(error))])
    return see_other(url_for("imports.show", import_id=import_id))


@imports.get("/<int:import_id>")
@permission("customers.import")
def show(import_id: int) -> Response:
    """Show an import where it stands; asked again every two seconds while a worker has it."""
    job = _status(import_id)
    if job.state == ImportState.MAPPING:
        return _mapping_page(form_of(job, _saved_id()), [])
    answer = page(
        "customers/import.html",
        fragments=("import_course",),
        job=job,
        ended=job.state in ENDED,
        label=kind_label(job.kind),
        labels=_labels(job.kind),
        refused=first_refused(_error_file(job)) if job.reasons and not job.under_way else [],
        most_written=MOST_LINES,
        crumbs=_crumbs(job.file_name),
    )
    if is_fragment() and not job.under_way:
        answer.status_code = STOP_POLLING
    return answer


@imports.get("/<int:import_id>/columns")
@permission("customers.import")
def columns(import_id: int) -> Response:
    """Show once more which column is what, as long as nothing is imported."""
    job = _status(import_id)
    if job.preview is None or job.state not in (ImportState.MAPPING, ImportState.CHECKED):
        return see_other(url_for("imports.show", import_id=import_id))
    return _mapping_page(form_of(job, _saved_id()), [])


@imports.post("/<int:import_id>/columns")
@permission("customers.import")
def check(import_id: int) -> Response:
    """Take the mapping and let a worker make a dry run of it."""
    job = _status(import_id)
    if job.preview is None:
        raise NotFoundError(_("The columns of this import were given with its file."))
    form = form_of(job, None).filled(request.form)
    name = request.form.get("save_as", "").strip()
    try:
        mapping = asked_mapping(form)
        with current.session() as session:
            service.start_check(session, current.tenant_id, import_id, mapping)
            if name:
                header, account_id = job.preview.header, current.account_id
                save_mapping(
                    session, current.tenant_id, job.kind, name, header, mapping, account_id
                )
    except ValidationFailedError as error:
        return _mapping_page(form, shown_problems(form, error.problems), save_as=name)
    return _announced(import_id)


@imports.post("/<int:import_id>/start")
@permission("customers.import")
def start(import_id: int) -> Response:
    """Import a file that was checked."""
    with current.session() as session:
        service.start_import(session, current.tenant_id, import_id)
    return _announced(import_id)


@imports.post("/<int:import_id>/cancel")
@permission("customers.import")
def cancel(import_id: int) -> Response:
    """Cancel an import that has not ended, and delete its file."""
    with current.session() as session:
        service.cancel_import(session, current.tenant_id, import_id)
        forget_uploads(session, current.tenant_id, current.settings)
    toast(_("Import cancelled"))
    return see_other(url_for("imports.show", import_id=import_id))


@imports.post("/mappings/<int:mapping_id>/delete")
@permission("customers.import")
def forget_mapping(mapping_id: int) -> Response:
    """Delete a saved mapping."""
    with current.session() as session:
        delete_mapping(session, current.tenant_id, mapping_id)
    toast(_("Mapping deleted"))
    import_id = request.form.get("import_id", "")
    if import_id.isdecimal() and len(import_id) < 16:
        return see_other(url_for("imports.columns", import_id=int(import_id)))
    return see_other(url_for("imports.index"))


@imports.get("/<int:import_id>/errors.csv")
@permission("customers.import")
def errors(import_id: int) -> Response:
    """Hand out the refused and doubtful lines with their reasons."""
    status = _status(import_id)
    path = _error_file(status)
    if not path.is_file():
        raise NotFoundError(_("The error file is no longer here. Import the file again."))
    lines = stream_with_context(said_lines(path, _labels(status.kind)))
    name = {"Content-Disposition": f"attachment; filename=errors-{status.id}.csv"}
    return Response(lines, mimetype="text/csv", headers=name)


@imports.get("/sample/<any(customers, products, receipts, receipt_lines):kind>.csv")
@permission("customers.import")
def sample(kind: str) -> Response:
    """Hand out a file with every column and one row."""
    form = FORMS[ImportKind(kind)].columns
    text = io.StringIO()
    writer = csv.DictWriter(text, [*form.required, *form.optional], restval="")
    writer.writeheader()
    writer.writerow(SAMPLES[ImportKind(kind)])
    name = {"Content-Disposition": f"attachment; filename={kind}.csv"}
    return Response("\ufeff" + text.getvalue(), mimetype="text/csv", headers=name)


def _take_in(kind: ImportKind, file: FileStorage) -> int:
    path = store_upload(current.settings.data_dir, file.stream)
    try:
        preview = preview_of(open_table(path))
    except ValidationFailedError:
        path.unlink()
        raise
    name, account_id = file.filename or "", current.account_id
    with current.session() as session:
        forget_uploads(session, current.tenant_id, current.settings)
        return service.create_mapping(
            session, current.tenant_id, kind, name, path, preview, account_id
        )


def _status(import_id: int) -> ImportStatus:
    with current.session() as session:
        return service.import_status(session, current.tenant_id, import_id)


def _error_file(job: ImportStatus) -> Path:
    return service.error_file_path(current.settings.data_dir, current.tenant_id, job.id)


def _labels(kind: ImportKind) -> dict[str, str]:
    """What people call the columns of a kind of file."""
    with current.session() as session:
        return dict(targets_of(kind, fields_of(session, current.tenant_id)))


def _announced(import_id: int) -> Response:
    hint(current.installation.broker, Work.IMPORT, current.tenant_id, import_id)
    return see_other(url_for("imports.show", import_id=import_id))


def _saved_id() -> int | None:
    asked = request.args.get("saved", "")
    return int(asked) if asked.isdecimal() and len(asked) < 16 else None


def _mapping_page(form: MappingForm, problems: list[Problem], save_as: str = "") -> Response:
    return page(
        "customers/import_columns.html",
        status=422 if problems else 200,
        form=form,
        job=form.job,
        label=kind_label(form.job.kind),
        problems=problems,
        wrong={problem.field: problem.message for problem in problems},
        save_as=save_as,
        crumbs=_crumbs(form.job.file_name),
    )


def _upload_form(kind: ImportKind, problems: list[Problem]) -> Response:
    with current.session() as session:
        recent = service.recent_imports(session, current.tenant_id)
    return page(
        "customers/imports.html",
        status=422 if problems else 200,
        kind=kind,
        kinds=KINDS,
        kind_label=kind_label,
        problems=problems,
        recent=recent,
        crumbs=_crumbs(),
    )


def _crumbs(file_name: str = "") -> list[tuple[str, str]]:
    here = url_for("imports.index") if file_name else ""
    crumbs = [(_("Customers"), url_for("customers.index")), (_("Import"), here)]
    return [*crumbs, (file_name, "")] if file_name else crumbs
