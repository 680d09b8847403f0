"""Import of customers and receipts: upload, progress, result and error file."""

from __future__ import annotations

import csv
import io
from typing import Any

from flask import Response, request, send_file, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from envoi.customers import imports as service
from envoi.customers.import_kinds import FORMS, ImportKind
from envoi.customers.imports import ImportStatus
from envoi.customers.intake import store_upload
from envoi.customers.models import ImportState
from envoi.errors import NotFoundError, Problem
from envoi.jobs import Work, hint
from envoi.webkit import Blueprint, current, page, permission, see_other
from envoi.webkit.htmx import is_fragment

imports = Blueprint("imports", __name__, url_prefix="/customers/import")

STOP_POLLING = 286
"""htmx stops asking again when it gets this status."""

_SAMPLES = {
    ImportKind.CUSTOMERS: (
        {
            "external_id": "C-204118",
            "first_name": "Anna",
            "last_name": "Keller",
            "gender": "F",
            "birth_date": "1990-12-31",
            "registered_on": "2024-03-01",
            "city": "Berlin",
            "time_zone": "Europe/Berlin",
            "email": "anna.keller@example.com",
            "phone": "0151 12345678",
            "subscribed_email": "Y",
            "subscribed_sms": "N",
        },
    ),
    ImportKind.RECEIPTS: (
        {
            "receipt_id": "R-1",
            "customer_id": "C-204118",
            "at": "2026-11-24T10:00:00",
            "amount": "4.10",
            "product_id": "P-1",
            "product_name": "Rye bread",
            "category": "Bread",
            "quantity": "2",
            "cancelled": "N",
        },
    ),
}


@imports.get("/")
@permission("customers.import")
def index() -> Response:
    """Show the form, what a file must look like, and the latest imports."""
    return _form(ImportKind.CUSTOMERS, [])


@imports.post("/")
@permission("customers.import")
def upload() -> Response:
    """Take a file in and announce its import."""
    kind, file = request.form.get("kind", ""), request.files.get("file")
    if kind not in set(ImportKind):
        return _form(ImportKind.CUSTOMERS, [Problem("kind", _("Choose what the file holds."))])
    if file is None or not file.filename:
        return _form(ImportKind(kind), [Problem("file", _("Choose a CSV file."))])
    import_id = _announce(ImportKind(kind), file)
    return see_other(url_for("imports.show", import_id=import_id))


@imports.get("/<int:import_id>")
@permission("customers.import")
def show(import_id: int) -> Response:
    """Show how far an import is; asked again every two seconds until it has ended."""
    with current.session() as session:
        job = service.import_status(session, current.tenant_id, import_id)
    ended = job.state in (ImportState.DONE, ImportState.FAILED)
    answer = page(
        "customers/import.html",
        fragments=("import_course",),
        job=job,
        ended=ended,
        kinds=_kinds(),
        has_errors=bool(job.counts and (job.counts.refused or job.counts.warnings)),
        crumbs=[*_crumbs(url_for("imports.index")), (job.file_name, "")],
    )
    if ended and is_fragment():
        answer.status_code = STOP_POLLING
    return answer


@imports.get("/<int:import_id>/errors.csv")
@permission("customers.import")
def errors(import_id: int) -> Response:
    """Hand out the refused and doubtful lines with their reasons."""
    with current.session() as session:
        status = service.import_status(session, current.tenant_id, import_id)
    data_dir = current.settings.data_dir
    path = service.error_file_path(data_dir, current.tenant_id, status.id)
    if not path.is_file():
        raise NotFoundError(_("The error file is no longer here. Import the file again."))
    return send_file(path, "text/csv", as_attachment=True, download_name=f"errors-{status.id}.csv")


@imports.get("/sample/<any(customers, receipts):kind>.csv")
@permission("customers.import")
def sample(kind: str) -> Response:
    """Hand out a file with every column and one row."""
    columns = FORMS[ImportKind(kind)].columns
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns.required, *columns.optional], restval="")
    writer.writeheader()
    writer.writerows(_SAMPLES[ImportKind(kind)])
    name = {"Content-Disposition": f"attachment; filename={kind}.csv"}
    return Response("\ufeff" + text.getvalue(), mimetype="text/csv", headers=name)


def _announce(kind: ImportKind, file: FileStorage) -> int:
    path = store_upload(current.settings.data_dir, file.stream)
    account_id = current.account_id
    with current.session() as session:
        import_id = service.create_import(
            session, current.tenant_id, kind, file.filename or "", path, account_id
        )
    hint(current.installation.broker, Work.IMPORT, current.tenant_id, import_id)
    return import_id


def _form(kind: ImportKind, problems: list[Problem]) -> Response:
    with current.session() as session:
        recent: list[ImportStatus] = service.recent_imports(session, current.tenant_id)
    return page(
        "customers/imports.html",
        status=422 if problems else 200,
        kind=kind,
        kinds=_kinds(),
        formats=[_format(each) for each in _SAMPLES],
        problems=problems,
        recent=recent,
        crumbs=_crumbs(""),
    )


def _kinds() -> dict[ImportKind, str]:
    return {ImportKind.CUSTOMERS: _("Customers"), ImportKind.RECEIPTS: _("Receipts")}


def _crumbs(url: str) -> list[tuple[str, str]]:
    return [(_("Customers"), url_for("customers.index")), (_("Import"), url)]


def _format(kind: ImportKind) -> dict[str, Any]:
    """The columns of a kind of file, as they are documented beside the form."""
    notes = {
        "gender": _("F or M"),
        "birth_date": _("like 1990-12-31"),
        "registered_on": _("like 2024-03-01"),
        "time_zone": _("like Europe/Berlin"),
        "phone": _("any form; without a country code it is the company's country"),
        "subscribed_email": _("N opts out; Y never overrides an earlier opt-out"),
        "subscribed_sms": _("the same"),
        "subscribed_push": _("the same"),
        "customer_id": _("external id of the customer"),
        "at": _("like 2026-11-24T10:00:00, in the company's time zone"),
        "amount": _("of the row, like 1234.50"),
        "product_id": _("one row for each product of a receipt, or none"),
        "cancelled": _("Y or N"),
    }
    columns = FORMS[kind].columns
    names = [*columns.required, *columns.optional]
    rows = [(name, name in columns.required, notes.get(name, "")) for name in names]
    if columns.free_prefix:
        rows.append((f"{columns.free_prefix}<code>", False, _("a field of your own")))
    return {"kind": kind, "label": _kinds()[kind], "columns": rows}
