"""Pages of gateways: set up, tried, ordered, switched, deleted; secrets never come back."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask.testing import FlaskClient
from sqlalchemy import select

from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.delivery.circuit import failed
from envoi.delivery.gateway_list import list_gateways
from envoi.delivery.models import Circuit, Gateway
from envoi.delivery.prices import prices_of
from envoi.delivery.traffic import note_traffic
from envoi.errors import PermanentProviderError
from factories.delivery import a_run
from pages import SignIn, token
from smtp_sink import SmtpSink

LIST = "/settings/gateways"
NEW = "/settings/gateways/new"
PASSWORD = "s3cret-of-the-gateway"


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    """An administrator's browser."""
    return signed_in()


def typed(**changes: str) -> dict[str, str]:
    """The form of a gateway as a browser sends it."""
    form = {
        "provider": "smtp",
        "version": "0",
        "name": "Main",
        "is_on": "1",
        "may_stand_in": "1",
        "settings.host": "mail.fieldmarket.test",
        "settings.port": "587",
        "settings.security": "starttls",
        "settings.verify_certificate": "1",
        "settings.username": "mailer",
        "settings.password": PASSWORD,
        "settings.helo_name": "",
        "settings.messages_per_connection": "1000",
        "settings.connect_timeout": "30",
        "settings.reply_timeout": "300",
        "settings.data_timeout": "120",
        "settings.final_timeout": "600",
    }
    return form | changes


def post(browser: FlaskClient, address: str, form: dict[str, str] | None = None) -> tuple[int, str]:
    answer = browser.post(address, data={"csrf_token": token(browser, LIST), **(form or {})})
    return answer.status_code, unescape(answer.get_data(as_text=True))


def shown(browser: FlaskClient, address: str = LIST) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return unescape(answer.get_data(as_text=True))


def gateways(database: Database, tenant_id: int) -> list[Gateway]:
    with database.tenant_session(tenant_id) as session:
        return [listed.gateway for listed in list_gateways(session, tenant_id)]


@pytest.fixture
def two(database: Database, tenant_id: int, browser: FlaskClient) -> list[Gateway]:
    """A default gateway and one that stands in."""
    assert post(browser, NEW, typed())[0] == 303
    assert post(browser, NEW, typed(name="Backup"))[0] == 303
    return gateways(database, tenant_id)


def test_a_new_form_holds_the_providers_defaults_and_leaves_the_rest_empty(
    browser: FlaskClient,
) -> None:
    source = browser.get(NEW).text
    given = dict(re.findall(r'name="([\w.]+)" value="([^"]*)"', source))
    assert (given["settings.host"], given["settings.port"]) == ("", "587")
    assert (given["plugins.warmup.start"], given["plugins.warmup.days"]) == ("", "21")
    assert "Undefined" not in source


def test_a_gateway_is_set_up_and_changed(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    assert "No gateway for this channel" in shown(browser)
    assert "Server" in shown(browser, NEW)
    form = typed(per_second="50", domains="gmail.com 20\nyahoo.com 5")
    form["most_connections"] = "4"
    assert post(browser, NEW, form)[0] == 303
    [made] = gateways(database, tenant_id)
    assert (made.name, made.is_default, made.most_connections) == ("Main", True, 4)
    assert made.settings["host"] == "mail.fieldmarket.test"
    assert made.limits == {"per_second": 50.0, "domains": {"gmail.com": 20.0, "yahoo.com": 5.0}}
    address = f"{LIST}/{made.id}"
    page = shown(browser, address)
    assert 'name="per_second" value="50"' in page
    assert "gmail.com 20\nyahoo.com 5<" in page
    form = typed(name="Renamed", version=str(made.version))
    form["settings.password"] = ""
    assert post(browser, address, form)[0] == 303
    [changed] = gateways(database, tenant_id)
    assert (changed.name, changed.limits) == ("Renamed", {})
    assert changed.version > made.version


def test_prices_are_kept_the_longest_beginning_first(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    form = typed(prices="* 0.05\n+49 0,075\n+4915 0.0712")
    assert post(browser, NEW, form)[0] == 303
    [made] = gateways(database, tenant_id)
    assert [each.prefix for each in prices_of(made).prices] == ["+4915", "+49", ""]
    assert "+4915 0.0712\n+49 0.075\n* 0.05<" in shown(browser, f"{LIST}/{made.id}")


def test_a_price_that_is_none_is_named_by_its_place_and_told_once(browser: FlaskClient) -> None:
    _status, refused = post(browser, NEW, typed(prices="+49 0.075\nabc"))
    # Above the form, and at the field.
    assert refused.count("Price 2 is not written as it should be.") == 2
    assert "Price 1 is not" not in refused


@pytest.mark.parametrize("prices", ["+49", "Germany 0.07", "+49 -1", "+49 0.07\n+49 0.08"])
def test_prices_that_are_none_are_refused_and_stay_typed(
    browser: FlaskClient, database: Database, tenant_id: int, prices: str
) -> None:
    status, refused = post(browser, NEW, typed(prices=prices))
    assert status == 422
    assert 'id="prices-error"' in refused
    assert f"{prices}<" in refused
    assert not gateways(database, tenant_id)


def test_secrets_are_written_and_never_shown(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    post(browser, NEW, typed())
    [made] = gateways(database, tenant_id)
    assert PASSWORD.encode() not in made.secrets
    assert PASSWORD not in str(made.settings)
    page = shown(browser, f"{LIST}/{made.id}")
    assert PASSWORD not in page
    assert "Set, and not shown. Empty keeps it." in page
    status, refused = post(browser, NEW, typed(**{"settings.port": "x", "name": "Other"}))
    assert status == 422
    assert PASSWORD not in refused


def test_a_stored_password_is_never_sent_to_another_server(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    """Whoever may not read it could have it sent to a server of their own."""
    post(browser, NEW, typed())
    [made] = gateways(database, tenant_id)
    address = f"{LIST}/{made.id}"
    moved = {"settings.host": "mail.evil.test", "settings.password": ""}
    moved["version"] = str(made.version)
    status, page = post(browser, address, typed(**moved))
    assert status == 422
    assert "It would be sent elsewhere than before. Enter it again." in page
    [kept] = gateways(database, tenant_id)
    assert kept.settings["host"] == "mail.fieldmarket.test"
    assert post(browser, address, typed(**moved | {"settings.password": "another"}))[0] == 303
    [changed] = gateways(database, tenant_id)
    assert changed.settings["host"] == "mail.evil.test"
    assert changed.secrets != made.secrets
    nothing = {"settings.username": "", "version": str(changed.version), "settings.password": ""}
    assert post(browser, address, typed(**nothing))[0] == 422


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "has a name of 1 to 100"),
        ({"settings.host": ""}, "settings.host"),
        ({"settings.host": "a b"}, "settings.host"),
        ({"settings.port": "70000"}, "settings.port"),
        ({"settings.security": "none"}, "over TLS only"),
        ({"settings.security": "???"}, "settings.security"),
        ({"most_connections": "0"}, "from 1 to 1,000"),
        ({"most_connections": "many"}, "from 1 to 1,000"),
        ({"per_second": "-1"}, "per_second"),
        ({"domains": "gmail.com"}, "domains"),
        ({"settings.dkim_domain": "a.test"}, "Fill in all"),
        ({"limit.warmup": "1", "plugins.warmup.start": "soon"}, "plugins.warmup.start"),
    ],
)
def test_what_does_not_suit_is_told_and_kept(
    browser: FlaskClient, database: Database, tenant_id: int, changes: dict[str, str], words: str
) -> None:
    status, page = post(browser, NEW, typed(**changes))
    assert status == 422
    assert words in page
    assert "mailer" in page, "what was typed is still there"
    assert gateways(database, tenant_id) == []


def test_names_are_their_own_and_editors_do_not_overwrite_each_other(
    browser: FlaskClient, two: list[Gateway], database: Database, tenant_id: int
) -> None:
    address = f"{LIST}/{two[1].id}"
    status, page = post(browser, address, typed(version=str(two[1].version)))
    assert status == 422
    assert "There is a gateway of this name already" in page
    status, page = post(browser, address, typed(name="Late", version="0"))
    assert status == 422
    assert "Somebody else saved this gateway" in page
    assert [g.name for g in gateways(database, tenant_id)] == ["Main", "Backup"]


def test_order_default_and_switch(
    browser: FlaskClient, two: list[Gateway], database: Database, tenant_id: int
) -> None:
    post(browser, NEW, typed(name="Third"))
    third = gateways(database, tenant_id)[-1]
    assert third.name == "Third"
    assert post(browser, f"{LIST}/{third.id}/earlier")[0] == 303
    assert [g.name for g in gateways(database, tenant_id)] == ["Main", "Third", "Backup"]
    assert post(browser, f"{LIST}/{two[1].id}/default")[0] == 303
    assert gateways(database, tenant_id)[0].name == "Backup"
    assert [g.is_default for g in gateways(database, tenant_id)] == [True, False, False]
    assert post(browser, f"{LIST}/{two[1].id}/switch", {"on": "0"})[0] == 303
    page = shown(browser)
    assert "Switch on" in page
    assert "Off" in page
    post(browser, f"{LIST}/{two[1].id}/switch", {"on": "1"})
    assert all(g.is_on for g in gateways(database, tenant_id))


def test_the_list_tells_how_a_gateway_is(
    browser: FlaskClient, two: list[Gateway], database: Database, tenant_id: int
) -> None:
    assert "Not tested" in shown(browser)
    error = PermanentProviderError("The SMTP server mail.test refuses us.", raw="535 5.7.8 no")
    with database.tenant_session(tenant_id) as session:
        failed(session, (tenant_id, two[0].id), error)
        note_traffic(session, (tenant_id, two[1].id), 1234, 5)
    page = shown(browser)
    assert "Not answering" in page
    assert "The SMTP server mail.test refuses us." in page
    assert "535 5.7.8 no" in page
    assert "It is tried again by itself" in page
    assert "Working" in page
    assert re.search(r"1.234", page)
    assert PASSWORD not in page


def test_creating_a_mailing_tells_how_the_gateway_is(
    browser: FlaskClient, two: list[Gateway], database: Database, tenant_id: int
) -> None:
    create = "/mailings/new"
    assert "through Main. It was not tested or used yet." in shown(browser, create)
    error = PermanentProviderError("The SMTP server mail.test refuses us.", raw="535 5.7.8 no")
    with database.tenant_session(tenant_id) as session:
        note_traffic(session, (tenant_id, two[1].id), 1234, 5)
        failed(session, (tenant_id, two[0].id), error)
    assert "through Main. It does not answer" in shown(browser, create)
    post(browser, f"{LIST}/{two[1].id}/default")
    assert "through Backup. It works." in shown(browser, create)


def test_gateways_of_a_plugin_that_is_off_say_so(browser: FlaskClient, two: list[Gateway]) -> None:
    assert post(browser, "/settings/plugins/channel-email/disable")[0] == 303
    assert "Its plugin is off or gone" in shown(browser)
    assert "through Main" not in shown(browser, "/mailings/new")
    assert 'value="email"' not in shown(browser, "/mailings/new")
    assert browser.get(f"{LIST}/{two[0].id}").status_code == 200


def test_testing_shows_the_providers_own_words(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    plain = {"settings.security": "none", "settings.username": "", "settings.password": ""}
    with SmtpSink() as sink:
        server = {"settings.host": "127.0.0.1", "settings.port": str(sink.port)}
        post(browser, NEW, typed(**plain, **server))
        [made] = gateways(database, tenant_id)
        error = PermanentProviderError("down", raw="down")
        with database.tenant_session(tenant_id) as session:
            failed(session, (tenant_id, made.id), error)
        status, page = post(browser, f"{LIST}/{made.id}/test")
        assert status == 200
        assert "The gateway answers" in page
        assert "220 sink ESMTP" in page
        assert sink.recipients == []
        assert "Not tested" not in shown(browser)
    with database.tenant_session(tenant_id) as session:
        [circuit] = session.scalars(select(Circuit).where(Circuit.tenant_id == tenant_id))  # type: ignore[arg-type]
        assert circuit.opened_at is None, "it is used again at once"
    status, page = post(browser, f"{LIST}/{made.id}/test")
    assert status == 200
    assert "The test failed" in page
    assert "cannot be reached" in page


def test_one_that_is_used_is_not_deleted(
    browser: FlaskClient, two: list[Gateway], database: Database, tenant_id: int
) -> None:
    used = two[0].id
    with database.tenant_session(tenant_id) as session:
        a_run(session, tenant_id, used, 1)
    assert "1 mailing that has not ended uses it" in shown(browser, f"{LIST}/{used}")
    assert post(browser, f"{LIST}/{used}/delete")[0] == 409
    assert len(gateways(database, tenant_id)) == 2


def test_deleting_the_default_makes_the_next_one_default(
    browser: FlaskClient, two: list[Gateway], database: Database, tenant_id: int
) -> None:
    assert post(browser, f"{LIST}/{two[0].id}/delete")[0] == 303
    [left] = gateways(database, tenant_id)
    assert (left.name, left.is_default) == ("Backup", True)


def test_what_is_to_be_published_is_shown(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signing: dict[str, Any] = {
        "settings.dkim_domain": "fieldmarket.test",
        "settings.dkim_selector": "envoi1",
        "settings.dkim_key": pem,
    }
    assert post(browser, NEW, typed(**signing))[0] == 303
    [made] = gateways(database, tenant_id)
    page = shown(browser, f"{LIST}/{made.id}")
    assert "envoi1._domainkey.fieldmarket.test" in page
    assert "v=DKIM1; k=ed25519; p=" in page
    assert "PRIVATE KEY" not in page.replace("BEGIN PRIVATE KEY-----.", "")


def test_others_see_the_health_and_nothing_else(
    browser: FlaskClient, two: list[Gateway], signed_in: SignIn
) -> None:
    marketer = signed_in(Role.MARKETER)
    page = shown(marketer)
    assert "Main" in page
    assert "Test connection" not in page
    assert marketer.get(f"{LIST}/{two[0].id}").status_code == 403
    assert marketer.get(NEW).status_code == 403
    answer = marketer.post(
        f"{LIST}/{two[0].id}/delete", data={"csrf_token": token(marketer, "/own/")}
    )
    assert answer.status_code == 403


def test_pages_speak_russian(two: list[Gateway], signed_in: SignIn) -> None:
    russian = signed_in(Role.ADMINISTRATOR, "ru")
    assert "Шлюзы" in shown(russian)
    page = shown(russian, f"{LIST}/{two[0].id}")
    assert "Пароль" in page
    assert "Закрытый ключ DKIM" in page
