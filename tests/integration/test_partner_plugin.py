"""A partner's plugin, built and installed for real beside Envoi, from a distribution of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import select, text

from envoi.accounts.permissions import Role
from envoi.app import create_app
from envoi.db import Database, table
from envoi.installation import Installation
from envoi.plugin_tables import migrate_plugins
from envoi.plugins import Plugins, load_plugins
from envoi.tenants.models import PluginMigration
from envoi.tenants.plugins import switch_plugin
from pages import TEST_SETTINGS, SignIn, app, client, employee, sign_in, signed_in

__all__ = ["SignIn", "app", "client", "employee", "signed_in"]

SOURCE = Path(__file__).parent.parent / "fixtures" / "partner_plugin"
OFFLINE = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
LIST = """
import json
from envoi.plugins import load_plugins

plugins = load_plugins()
info = plugins.infos["fieldpost"]
print(json.dumps([info.distribution, info.version, info.provides, len(plugins.left_out)]))
"""


@dataclass(frozen=True)
class Partner:
    """The partner's working copy, and the folder its wheel is installed in."""

    copy: Path
    site: Path

    def run(self, *arguments: str) -> str:
        """Run Python where Envoi and the plugin are installed; return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.copy,
            env={**os.environ, "PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def partner(tmp_path_factory: pytest.TempPathFactory) -> Partner:
    """The plugin as its author has it, and installed from the wheel."""
    folder = tmp_path_factory.mktemp("partner")
    made = Partner(folder / "copy", folder / "site")
    shutil.copytree(SOURCE, made.copy)
    wheels = folder / "wheels"
    made.run("-m", "pip", "wheel", *OFFLINE, "--no-build-isolation", "-w", str(wheels), ".")
    [wheel] = wheels.glob("*.whl")
    made.run("-m", "pip", "install", *OFFLINE, "--target", str(made.site), str(wheel))
    shutil.rmtree(made.copy / "envoi_fieldpost")
    return made


@pytest.fixture
def with_partner(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    """Our plugins and the installed one."""
    monkeypatch.syspath_prepend(partner.site)
    yield load_plugins()
    for name in [n for n in sys.modules if n.partition(".")[0] == "envoi_fieldpost"]:
        del sys.modules[name]


def test_it_is_found_with_everything_it_brings(partner: Partner) -> None:
    distribution, version, provides, left_out = json.loads(partner.run("-c", LIST))
    assert (distribution, version, left_out) == ("envoi-fieldpost", "1.2.0", 0)
    assert provides == [
        "channel fieldpost_notice",
        "provider fieldpost_rehearsal",
        "rule kind fieldpost_birthday",
        "segment source fieldpost_list",
        "segment source fieldpost_sample",
        "limit fieldpost_sundays",
        "macro fieldpost_receipt",
        "menu item fieldpost",
        "settings fieldpost",
        "customer panel fieldpost",
        "API method fieldpost_left",
    ]


@pytest.mark.slow
def test_its_own_tests_pass(partner: Partner) -> None:
    output = partner.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert " passed" in output
    assert "skipped" not in output


@pytest.mark.slow
def test_its_types_are_strict(partner: Partner, pytestconfig: pytest.Config) -> None:
    cache = pytestconfig.rootpath / ".mypy_cache" / "partner"
    package = str(partner.site / "envoi_fieldpost")
    output = partner.run("-m", "mypy", "--cache-dir", str(cache), package, "tests")
    assert output.startswith("Success")


def test_its_page_is_there_for_who_may_see_it(
    database: Database, tenant_id: int, with_partner: Plugins, employee: Callable[..., str]
) -> None:
    app = create_app(Installation(TEST_SETTINGS, database, with_partner))
    browser = app.test_client()
    assert sign_in(browser, employee(Role.ADMINISTRATOR)) == 302
    assert browser.get("/fieldpost/").status_code == 404
    assert 'href="/fieldpost/"' not in browser.get("/mailings/").get_data(as_text=True)
    with database.tenant_session(tenant_id) as session:
        switch_plugin(session, with_partner, tenant_id, "fieldpost", on=True)
    page = browser.get("/fieldpost/").get_data(as_text=True)
    assert "Notices of Fieldmarket are rehearsed" in page
    assert 'href="/fieldpost/"' in page
    analyst = app.test_client()
    assert sign_in(analyst, employee(Role.ANALYST)) == 302
    assert analyst.get("/fieldpost/").status_code == 403
    assert 'href="/fieldpost/"' not in analyst.get("/mailings/").get_data(as_text=True)


def test_what_it_brings_exists_only_where_it_is_on(
    database: Database, tenant_id: int, with_partner: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session:
        before = with_partner.for_tenant(session, tenant_id)
        switch_plugin(session, with_partner, tenant_id, "fieldpost", on=True)
        after = with_partner.for_tenant(session, tenant_id)
    assert after.channels.keys() - before.channels.keys() == {"fieldpost_notice"}
    assert after.providers.keys() - before.providers.keys() == {"fieldpost_rehearsal"}
    assert after.rule_kinds.keys() - before.rule_kinds.keys() == {"fieldpost_birthday"}
    brought = {"fieldpost_list", "fieldpost_sample"}
    assert after.segment_sources.keys() - before.segment_sources.keys() == brought


def test_its_tables_are_made_protected_and_kept(database: Database, with_partner: Plugins) -> None:
    for _ in range(2):
        migrate_plugins(database.engine, with_partner, database.app_role)
    protected = text(
        "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class"
        " WHERE oid = to_regclass('fieldpost_receipt')"
    )
    with database.system_session() as session:
        assert session.scalar(protected) is True
        done = select(table(PluginMigration).c.tables)
        assert session.scalars(
            done.where(table(PluginMigration).c.plugin == "fieldpost")
        ).all() == [["fieldpost_receipt"]]
        session.execute(text("DROP TABLE fieldpost_receipt"))
        session.execute(text("DELETE FROM plugin_migration WHERE plugin = 'fieldpost'"))


def test_its_settings_are_checked_by_its_own_models(with_partner: Plugins) -> None:
    with pytest.raises(ValidationError):
        with_partner.providers["fieldpost_rehearsal"].settings.model_validate({"answer": "accept"})
