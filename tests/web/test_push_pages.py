"""Writing a push message in the browser: its fields, data for the app, a picture of the library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

from envoi.db import Database
from envoi.library.addresses import picture_path
from envoi.library.service import store_picture
from envoi.mailings import service, variants
from factories.companies import a_picture
from factories.customers import make_customers
from pages import SignIn, token


@pytest.fixture
def draft(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2)
        return service.create_draft(session, tenant_id, channel="push", name="Coffee week").id


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    return signed_in()


def content(database: Database, tenant_id: int, draft: int) -> tuple[int, Mapping[str, Any]]:
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, draft)
        return mailing.version, dict(variants.get_variant(session, mailing, 1).content)


def write(browser: FlaskClient, draft: int, version: int = 1, **fields: Any) -> Any:
    form = {"csrf_token": token(browser, "/own/"), "version": version, "variant": 1}
    form |= {"mode": "plain", "shown": "data"}
    return browser.post(f"/mailings/{draft}/what", data=form | fields)


def test_every_field_of_the_channel_is_offered(browser: FlaskClient, draft: int) -> None:
    shown = browser.get(f"/mailings/{draft}/what").text
    for name in ("title", "text", "image", "link", "data"):
        assert f'id="{name}"' in shown
    for name in ("title", "text", "link"):
        assert f'data-ev-variables="{name}"' in shown
    assert 'href="#image" data-ev-dialog="pictures"' in shown


def test_data_for_the_app_is_written_in_lines(
    browser: FlaskClient, database: Database, tenant_id: int, draft: int
) -> None:
    typed = "offer: 7\r\n\r\nplace: shop://a b:c"
    write(browser, draft, title="Coffee", text="Cheaper", data=typed)
    _version, kept = content(database, tenant_id, draft)
    assert kept["data"] == {"offer": "7", "place": "shop://a b:c"}
    shown = browser.get(f"/mailings/{draft}/what").text
    assert ">offer: 7\nplace: shop://a b:c</textarea>" in shown


def test_a_name_that_services_use_is_refused_at_its_field(browser: FlaskClient, draft: int) -> None:
    write(browser, draft, text="Cheaper", data="aps: 1")
    shown = browser.get(f"/mailings/{draft}/what").text
    assert "A name of the data is used by push services, such as aps or from." in shown


def test_the_phone_shows_title_picture_and_text(browser: FlaskClient, draft: int) -> None:
    write(browser, draft, title="<Coffee>", text="Cheaper", image="https://shop.test/a.png")
    shown = browser.get(f"/mailings/{draft}/preview?variant=1")
    assert '<b style="display:block">&lt;Coffee&gt;</b>Cheaper' in shown.text
    assert '<img src="https://shop.test/a.png"' in shown.text
    assert "script" not in shown.headers["Content-Security-Policy"]


def test_a_picture_of_the_library_is_put_in_by_its_address(
    browser: FlaskClient, database: Database, tenant_id: int, draft: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        stored = store_picture(session, tenant_id, name="coffee.png", data=a_picture())
        picture, path = stored.id, picture_path(tenant_id, stored.id, stored.digest)
    offered = browser.get(f"/mailings/{draft}/pictures").text
    assert f'value="picture-address:{picture}:' in offered
    answer = write(browser, draft, text="Cheaper", do=f"picture-address:{picture}:")
    assert answer.status_code == 303
    _version, kept = content(database, tenant_id, draft)
    assert kept["image"].startswith("http")
    assert kept["image"].endswith(path)


def test_a_picture_that_is_none_is_not_found(browser: FlaskClient, draft: int) -> None:
    for number in ("0", "x", "9" * 30):
        answer = write(browser, draft, text="Cheaper", do=f"picture-address:{number}:")
        assert answer.status_code == 404
