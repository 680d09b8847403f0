"""Pages of communication policies; rules are added and removed on the server, without a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from envoi.errors import ConflictError, PluginError, Problem, ValidationFailedError
from envoi.plugins import Plugins
from envoi.policies.dry_run import DryRun, dry_run
from envoi.policies.models import Policy
from envoi.policies.rules import check_rules, describe_rules, reason_words
from envoi.policies.service import (
    create_policy,
    delete_policy,
    get_policy,
    list_policies,
    mailings_using,
    update_policy,
)
from envoi.subscriptions.queries import list_categories
from envoi.webkit import Blueprint, current, page, permission, see_other, toast
from envoi.webkit.formats import translated
from envoi_web.model_forms import Choices, fields_of, read_settings

policies = Blueprint("policies", __name__, url_prefix="/settings/policies")

Rules = Sequence[Mapping[str, Any]]


@policies.get("/")
@permission("policies.view")
def index() -> Response:
    """List the policies with their rules in words and where they are used."""
    with current.session() as session:
        found = list_policies(session, current.tenant_id)
    rules = {use.policy.id: describe_rules(current.plugins, use.policy.rules) for use in found}
    channels = _channels(current.plugins)
    return page("policies/list.html", uses=found, rules=rules, labels=channels, crumbs=_crumbs())


@policies.get("/new")
@permission("policies.edit")
def new() -> Response:
    """Show an empty form with one rule."""
    with current.session() as session:
        plugins = current.plugins.for_tenant(session, current.tenant_id)
        rules = [{"kind": name, "settings": {}} for name in list(plugins.rule_kinds)[:1]]
        return _form(session, plugins, None, "", rules)


@policies.post("/new")
@permission("policies.edit")
def create() -> Response:
    """Make a policy, or show the form with a rule more or less."""
    return _save(None)


@policies.get("/<int:policy_id>")
@permission("policies.view")
def edit(policy_id: int) -> Response:
    """Show a policy's rules."""
    with current.session() as session:
        policy = get_policy(session, current.tenant_id, policy_id)
        plugins = current.plugins.for_tenant(session, current.tenant_id)
        return _form(session, plugins, policy, policy.name, policy.rules)


@policies.post("/<int:policy_id>")
@permission("policies.edit")
def save(policy_id: int) -> Response:
    """Change a policy, or show the form with a rule more or less."""
    return _save(policy_id)


@policies.post("/dry-run")
@permission("policies.view")
def dry_run_new() -> Response:
    """Say what rules that are not saved yet would have done to last month's mailings."""
    return _dry_run(None)


@policies.post("/<int:policy_id>/dry-run")
@permission("policies.view")
def dry_run_of(policy_id: int) -> Response:
    """Say what a policy, as typed or as stored, would have done to last month's mailings."""
    return _dry_run(policy_id)


@policies.post("/<int:policy_id>/delete")
@permission("policies.edit")
def delete(policy_id: int) -> Response:
    """Delete a policy that nothing uses."""
    with current.session() as session:
        delete_policy(session, current.tenant_id, policy_id)
    toast(_("Policy deleted."))
    return see_other(url_for("policies.index"))


def _save(policy_id: int | None) -> Response:
    with current.session() as session:
        plugins = current.plugins.for_tenant(session, current.tenant_id)
        policy = None if policy_id is None else get_policy(session, current.tenant_id, policy_id)
        name, rules = request.form.get("name", ""), _typed_rules(plugins, request.form)
        changed = _added_or_removed(plugins, request.form, rules)
        if changed is not None:
            return _form(session, plugins, policy, name, changed)
        try:
            _store(session, policy_id, name, rules)
        except (ValidationFailedError, ConflictError) as error:
            problems = getattr(error, "problems", (Problem("", str(error)),))
            return _form(session, plugins, policy, name, rules, problems)
    toast(_("Policy saved."))
    return see_other(url_for("policies.index"))


def _dry_run(policy_id: int | None) -> Response:
    with current.session() as session:
        plugins = current.plugins.for_tenant(session, current.tenant_id)
        policy = None if policy_id is None else get_policy(session, current.tenant_id, policy_id)
        # Who may only look has no fields to send, and asks about the policy as it is.
        stored = list(policy.rules) if policy and "kind" not in request.form else None
        rules = _typed_rules(plugins, request.form) if stored is None else stored
        name = request.form.get("name", policy.name if policy else "")
        try:
            checked = check_rules(plugins, rules)
            found = dry_run(session, plugins, current.tenant_id, checked, datetime.now(UTC))
        except ValidationFailedError as error:
            return _form(session, plugins, policy, name, rules, error.problems)
        except PluginError as error:
            return _form(session, plugins, policy, name, rules, [Problem("", str(error))])
        return _form(session, plugins, policy, name, rules, past=found)


def _store(session: Session, policy_id: int | None, name: str, rules: Rules) -> None:
    tenant_id, plugins = current.tenant_id, current.plugins
    if policy_id is None:
        create_policy(session, plugins, tenant_id, name=name, rules=rules)
        return
    version = request.form.get("version", 0, type=int)
    update_policy(session, plugins, tenant_id, policy_id, version, name=name, rules=rules)


def _typed_rules(plugins: Plugins, form: MultiDict[str, str]) -> list[dict[str, Any]]:
    rules = []
    for number, name in enumerate(form.getlist("kind")):
        kind = plugins.rule_kinds.get(name)
        settings = read_settings(kind.settings, form, f"rules.{number}") if kind else {}
        rules.append({"kind": name, "settings": settings})
    return rules


def _added_or_removed(
    plugins: Plugins, form: MultiDict[str, str], rules: list[dict[str, Any]]
) -> list[dict[str, Any]] | None:
    """Return the rules with one more or less when that was asked, else None."""
    removed = form.get("remove", type=int)
    if removed is not None:
        return [rule for number, rule in enumerate(rules) if number != removed]
    if "add" in form and form.get("add_kind") in plugins.rule_kinds:
        return [*rules, {"kind": form["add_kind"], "settings": {}}]
    return None


def _form(
    session: Session,
    plugins: Plugins,
    policy: Policy | None,
    name: str,
    rules: Rules,
    problems: Sequence[Problem] = (),
    past: DryRun | None = None,
) -> Response:
    choices = _choices(session, plugins)
    cards = []
    for number, rule in enumerate(rules):
        kind = plugins.rule_kinds.get(str(rule["kind"]))
        fields = (
            fields_of(kind.settings, rule["settings"], f"rules.{number}", choices) if kind else []
        )
        cards.append({"kind": kind, "name": rule["kind"], "fields": fields})
    return page(
        "policies/edit.html",
        status=422 if problems else 200,
        policy=policy,
        name=name,
        version=request.form.get("version", policy.version if policy else 0),
        rules=cards,
        kinds=[(kind.name, translated(kind.label)) for kind in plugins.rule_kinds.values()],
        past=past,
        reason_words=lambda code: translated(reason_words(plugins, code)),
        mailings=mailings_using(session, current.tenant_id, policy.id) if policy else (),
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=_crumbs(policy.name if policy else _("New policy")),
    )


def _choices(session: Session, plugins: Plugins) -> Choices:
    categories = list_categories(session, current.tenant_id)
    return {
        "channels": list(_channels(plugins).items()),
        "categories": [(str(category.id), category.name) for category in categories],
    }


def _channels(plugins: Plugins) -> dict[str, str]:
    return {spec.name: translated(spec.label) for spec in plugins.channels.values()}


def _crumbs(last: str = "") -> list[tuple[str, str]]:
    here = url_for("policies.index") if last else ""
    crumbs = [(_("Settings"), ""), (_("Communication policies"), here)]
    return [*crumbs, (last, "")] if last else crumbs
