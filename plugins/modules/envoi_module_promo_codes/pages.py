"""Pages of promo codes: the groups, and one group with everything that is done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from envoi.data import Session, plugin_settings
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.webkit import (
    Blueprint,
    Response,
    current,
    ngettext,
    page,
    permission,
    request,
    see_other,
    toast,
    url_for,
)
from envoi.webkit import gettext as _
from envoi_module_promo_codes import groups
from envoi_module_promo_codes.settings import SETTINGS

promo_codes = Blueprint(
    "promo_codes", __name__, template_folder="templates", url_prefix="/promo-codes"
)


@promo_codes.get("/")
@permission("promo.view")
def index() -> Response:
    """List the groups."""
    return _list([])


@promo_codes.post("/")
@permission("promo.edit")
def create() -> Response:
    """Make an empty group."""
    try:
        with current.session() as session:
            made = groups.create_group(session, current.tenant_id, request.form.get("name", ""))
    except (ValidationFailedError, ConflictError) as error:
        return _list(_problems(error))
    toast(_("The group is there. Add codes to it."))
    return see_other(url_for("promo_codes.show", promo_group_id=made))


@promo_codes.get("/<int:promo_group_id>")
@permission("promo.view")
def show(promo_group_id: int) -> Response:
    """Show a group with its counts."""
    return _group(promo_group_id, [])


@promo_codes.post("/<int:promo_group_id>")
@permission("promo.edit")
def change(promo_group_id: int) -> Response:
    """Rename a group, or change when it expires."""

    def do(session: Session) -> str:
        name, day = request.form.get("name", ""), _day(request.form.get("expires_on", ""))
        groups.change_group(session, current.tenant_id, promo_group_id, name, day)
        return str(_("Group saved."))

    return _done(promo_group_id, do)


@promo_codes.post("/<int:promo_group_id>/codes")
@permission("promo.upload")
def add(promo_group_id: int) -> Response:
    """Add codes from the form or a file, one a line."""

    def do(session: Session) -> str:
        added = groups.add_codes(session, current.tenant_id, promo_group_id, _lines())
        said = ngettext("%(num)s code was added.", "%(num)s codes were added.", added.added)
        if added.known:
            known = _("%(count)s were there already.", count=added.known)
            said = f"{said} {known}"
        return str(said)

    return _done(promo_group_id, do)


@promo_codes.post("/<int:promo_group_id>/generate")
@permission("promo.upload")
def generate(promo_group_id: int) -> Response:
    """Make codes of a format."""

    def do(session: Session) -> str:
        quantity = request.form.get("quantity", 0, type=int)
        written = request.form.get("format", "").strip()
        groups.generate_codes(session, current.tenant_id, promo_group_id, written, quantity)
        return str(ngettext("%(num)s code was added.", "%(num)s codes were added.", quantity))

    return _done(promo_group_id, do)


@promo_codes.post("/<int:promo_group_id>/block")
@permission("promo.edit")
def block(promo_group_id: int) -> Response:
    """Keep codes from being issued: those that were named, or all that are free."""

    def do(session: Session) -> str:
        lines = request.form.get("blocked", "").splitlines()
        count = groups.block_codes(session, current.tenant_id, promo_group_id, lines)
        return str(ngettext("%(num)s code is blocked.", "%(num)s codes are blocked.", count))

    return _done(promo_group_id, do)


@promo_codes.post("/<int:promo_group_id>/unblock")
@permission("promo.edit")
def unblock(promo_group_id: int) -> Response:
    """Let all blocked codes be issued again."""

    def do(session: Session) -> str:
        count = groups.unblock_codes(session, current.tenant_id, promo_group_id)
        return str(ngettext("%(num)s code is free again.", "%(num)s codes are free again.", count))

    return _done(promo_group_id, do)


@promo_codes.post("/<int:promo_group_id>/delete")
@permission("promo.edit")
def delete(promo_group_id: int) -> Response:
    """Delete a group with its free codes."""
    with current.session() as session:
        groups.delete_group(session, current.tenant_id, promo_group_id)
    toast(_("Group deleted. Codes that were issued stay with their customers."))
    return see_other(url_for("promo_codes.index"))


def _done(group_id: int, do: Callable[[Session], str]) -> Response:
    try:
        with current.session() as session:
            said = do(session)
    except (ValidationFailedError, ConflictError) as error:
        return _group(group_id, _problems(error))
    toast(said)
    return see_other(url_for("promo_codes.show", promo_group_id=group_id))


def _problems(error: ValidationFailedError | ConflictError) -> Sequence[Problem]:
    if isinstance(error, ValidationFailedError):
        return error.problems
    return [Problem("name", str(error))]


def _lines() -> list[str]:
    """What was pasted, and what stands in the file."""
    file = request.files.get("file")
    uploaded = file.read().decode("utf-8-sig", "replace") if file else ""
    return [*request.form.get("codes", "").splitlines(), *uploaded.splitlines()]


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written) if written else None
    except ValueError:
        message = "Enter a date, such as 2026-11-24."
        raise ValidationFailedError([Problem("expires_on", message)]) from None


def _list(problems: Sequence[Problem]) -> Response:
    with current.session() as session:
        found = groups.list_groups(session, current.tenant_id)
        few = plugin_settings(session, current.tenant_id, SETTINGS).few
    return page(
        "promo_codes/list.html",
        status=422 if problems else 200,
        groups=found,
        few=few,
        problems=problems,
        name=request.form.get("name", ""),
    )


def _group(group_id: int, problems: Sequence[Problem]) -> Response:
    with current.session() as session:
        group = groups.get_group(session, current.tenant_id, group_id)
    typed: dict[str, Any] = {"name": group.name, "expires_on": group.expires_on or ""}
    if problems:
        typed |= request.form.to_dict()
    return page(
        "promo_codes/group.html",
        status=422 if problems else 200,
        group=group,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        typed=typed,
        most=groups.MOST_AT_ONCE,
        crumbs=[(_("Promo codes"), url_for("promo_codes.index")), (group.name, "")],
    )
