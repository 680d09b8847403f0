"""What went wrong in a plugin is on its page and in a word in the list, for its company alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, update

from desk import Desk
from envoi.accounts.permissions import Role
from envoi.db import Database, table
from envoi.errors import EnvoiError, NotIssuedError, PluginError
from envoi.feedback.cleaning import clean
from envoi.logs import hide
from envoi.operations.models import PluginFault
from envoi.operations.plugin_errors import (
    MOST_KEPT,
    add_fault,
    faults_of,
    forget_faults,
    lately,
    note_fault,
)
from envoi.tenants.service import create_tenant
from pages import SignIn

NAME = "channel-email"


def a_fault(
    words: str = "provider smtp did not answer in 7 s. Have it mended, then go on.",
) -> PluginError:
    return PluginError(NAME, words, place="provider smtp")


@pytest.fixture
def administrator(signed_in: SignIn) -> Desk:
    return Desk(signed_in(Role.ADMINISTRATOR))


def test_the_pages_say_what_went_wrong(
    administrator: Desk, database: Database, tenant_id: int
) -> None:
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id
    note_fault(database, other, a_fault("provider smtp failed: of the greengrocer"))
    page = administrator.get(f"/settings/plugins/{NAME}").words
    assert "What went wrong lately Of the last 30 days; the latest first. Nothing." in page
    assert "error in the last day" not in administrator.get("/settings/plugins/").words
    for _ in range(3):
        note_fault(database, tenant_id, a_fault())
    note_fault(database, tenant_id, a_fault("provider smtp failed: ValueError()"))
    page = administrator.get(f"/settings/plugins/{NAME}").words
    assert "Plugin channel-email: provider smtp did not answer in 7 s." in page
    assert "3 times: first" in page
    assert page.index("ValueError()") < page.index("did not answer"), "the latest first"
    assert "greengrocer" not in page
    assert "2 errors in the last day" in administrator.get("/settings/plugins/").words


def test_what_went_wrong_is_said_in_the_employees_language(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    note_fault(database, tenant_id, a_fault())
    russian = Desk(signed_in(Role.ADMINISTRATOR, language="ru"))
    page = russian.get(f"/settings/plugins/{NAME}").words
    said = "Плагин channel-email: provider smtp: нет ответа за 7 с. Дождитесь исправления плагина"
    assert said in page


def test_who_is_to_blame_stands_behind_what_was_being_done(
    database: Database, tenant_id: int
) -> None:
    hide("the-password-of-the-account")
    try:
        try:
            raise a_fault("failed: the-password-of-the-account for ann@shop.test")
        except PluginError as error:
            raise NotIssuedError("The macro gave nothing.") from error
    except EnvoiError as error:
        note_fault(database, tenant_id, error)
    note_fault(database, tenant_id, EnvoiError("Nobody is to blame."))
    note_fault(database, tenant_id, PluginError("gone", "no enabled plugin brings this channel."))
    with database.tenant_session(tenant_id) as session:
        (fault,) = faults_of(session, tenant_id, NAME)
        assert lately(session, tenant_id) == {NAME: 1}
    assert (fault.place, fault.count) == ("provider smtp", 1)
    assert "password" not in fault.sentence
    assert "ann@" not in fault.sentence


def test_old_faults_are_forgotten(database: Database, tenant_id: int) -> None:
    note_fault(database, tenant_id, a_fault())
    note_fault(database, tenant_id, a_fault("provider smtp failed: long ago"))
    c = table(PluginFault).c
    with database.tenant_session(tenant_id) as session:
        old = update(table(PluginFault)).where(
            c.tenant_id == tenant_id, c.sentence.contains("long ago")
        )
        session.execute(old.values(last_at=func.now() - timedelta(days=31)))
    clean(database, 30)
    with database.tenant_session(tenant_id) as session:
        (kept,) = faults_of(session, tenant_id, NAME)
    assert "did not answer" in kept.sentence


def test_a_plugin_that_says_something_else_each_time_keeps_to_its_room(
    database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        for number in range(MOST_KEPT + 5):
            add_fault(session, tenant_id, a_fault(f"provider smtp failed: {number}"))
        forget_faults(session, tenant_id)
        assert lately(session, tenant_id) == {NAME: MOST_KEPT}
