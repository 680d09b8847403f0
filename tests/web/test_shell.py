"""The shell: pages and fragments, closed by default, headers, errors, languages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from pluggy import HookimplMarker

from envoi.accounts.permissions import PERMISSIONS, Role
from envoi.app import create_app
from envoi.db import Database
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.installation import Installation
from envoi.plugins import load_plugins
from envoi.webkit import Blueprint, page, page_url, paging_of, permission, toast
from envoi.webkit.access import PUBLIC, access_of
from envoi.webkit.htmx import respond
from pages import TEST_SETTINGS, SignIn, sign_in, token

hookimpl = HookimplMarker("envoi")


def test_every_view_declares_a_permission_that_exists(app: Flask) -> None:
    declared = {endpoint: access_of(app, endpoint) for endpoint in app.view_functions}
    assert {e: p for e, p in declared.items() if p not in PERMISSIONS | {PUBLIC}} == {}


def test_only_signing_in_is_public(app: Flask) -> None:
    opened = {e for e in app.view_functions if access_of(app, e) == PUBLIC}
    assert {e for e in opened if not e.endswith("static")} == {
        "security.login",
        "security.logout",
        "security.forgot_password",
        "security.reset_password",
    }


def test_state_changes_only_by_post(app: Flask) -> None:
    methods = {m for rule in app.url_map.iter_rules() for m in rule.methods or ()}
    assert methods <= {"GET", "HEAD", "OPTIONS", "POST"}


def test_the_pattern_page_shows_every_component(signed_in: SignIn) -> None:
    body = signed_in(Role.ANALYST).get("/components").get_data(as_text=True)
    assert "71 + 404 + 998 + 13,257 = 14,730: every customer is counted once" in body
    assert 'aria-valuetext="8,444 of 13,257 finished"' in body
    assert 'aria-sort="descending"' in body


@pytest.mark.parametrize("address", ["/components", "/own/", "/change"])
def test_nothing_inline(signed_in: SignIn, address: str) -> None:
    body = signed_in().get(address).get_data(as_text=True)
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]*src=)|hx-on", body)


def test_every_page_carries_the_policy(client: FlaskClient) -> None:
    headers = client.get("/login").headers
    assert (
        "default-src 'none'; script-src 'self'; style-src 'self'"
        in headers["Content-Security-Policy"]
    )
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in headers["Cache-Control"]


def test_russian_pages(signed_in: SignIn) -> None:
    body = signed_in(language="ru").get("/components").get_data(as_text=True)
    assert '<html lang="ru"' in body
    assert "каждый клиент посчитан один раз" in body
    assert "14\u202f730" in body
    assert "Ещё 5 проверок никого не исключают" in body


def test_a_visitor_is_led_to_the_language_of_the_browser(client: FlaskClient) -> None:
    answer = client.get("/login", headers={"Accept-Language": "ru-RU,ru;q=0.9"})
    assert "Забыли пароль?" in answer.get_data(as_text=True)


def test_own_settings_are_kept(signed_in: SignIn) -> None:
    browser = signed_in()
    form = {"csrf_token": token(browser, "/own/"), "language": "ru", "theme": "dark"}
    assert browser.post("/own/", data=form).status_code == 303
    body = browser.get("/own/").get_data(as_text=True)
    assert 'data-bs-theme="dark"' in body
    assert "Настройки сохранены." in body


def test_a_post_without_a_token_is_refused(signed_in: SignIn) -> None:
    assert signed_in().post("/own/", data={"language": "ru", "theme": "dark"}).status_code == 400


class TrialPlugin:
    """A plugin whose pages show what the web kit does."""

    @hookimpl
    def register_blueprints(self) -> list[Blueprint]:
        return [trial_pages()]


def trial_pages() -> Blueprint:
    trial = Blueprint("trial", __name__, url_prefix="/trial")
    failures = {
        "gone": NotFoundError("The mailing is gone."),
        "busy": ConflictError("Jonas saved it at 16:08."),
        "wrong": ValidationFailedError([Problem("name", "Enter a name.")]),
    }

    @trial.get("/undeclared")
    def undeclared() -> str:
        return "nobody may see this"

    @trial.get("/marketers")
    @permission("mailings.edit")
    def marketers() -> str:
        return "marketers"

    @trial.get("/page")
    @permission("own.settings")
    def whole_or_part() -> Response:
        return page("own/settings.html", fragments=("content",))

    @trial.get("/<kind>/error")
    @permission("own.settings")
    def error(kind: str) -> str:
        raise failures.get(kind, RuntimeError("a secret of the program"))

    @trial.get("/toast")
    @permission("own.settings")
    def with_toast() -> Response:
        toast("Mailing copied.", action=("Open the copy", "/trial/page"))
        return respond("done")

    return trial


Trial = Callable[[Role], FlaskClient]


@pytest.fixture(scope="module")
def trial_app(database: Database) -> Flask:
    """The application with a plugin whose pages show what the web kit does."""
    plugins = load_plugins(extra=[("trial", TrialPlugin())])
    return create_app(Installation(TEST_SETTINGS, database, plugins))


@pytest.fixture
def trial(trial_app: Flask, employee: Callable[..., str]) -> Callable[[Role], FlaskClient]:
    """Give a browser signed in to that application."""

    def make(role: Role = Role.ADMINISTRATOR) -> FlaskClient:
        browser = trial_app.test_client()
        assert sign_in(browser, employee(role)) == 302
        return browser

    return make


HTMX = {"HX-Request": "true", "HX-Target": "content"}


def test_a_view_without_a_permission_is_closed_to_everybody(trial: Trial) -> None:
    assert trial(Role.ADMINISTRATOR).get("/trial/undeclared").status_code == 403


def test_hidden_and_refused_alike(trial: Trial) -> None:
    assert trial(Role.MARKETER).get("/trial/marketers").status_code == 200
    refused = trial(Role.ANALYST).get("/trial/marketers")
    assert refused.status_code == 403
    assert "An administrator can change your role." in refused.get_data(as_text=True)


def test_a_visitor_is_sent_to_sign_in_and_back(trial_app: Flask) -> None:
    answer = trial_app.test_client().get("/trial/marketers?page=2")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/login?next=%2Ftrial%2Fmarketers%3Fpage%3D2"


def test_a_script_of_a_visitor_is_told_instead(trial_app: Flask) -> None:
    answer = trial_app.test_client().get("/trial/marketers", headers=HTMX)
    assert (answer.status_code, answer.headers["HX-Trigger"]) == (401, "envoi:signed-out")


@pytest.mark.parametrize(
    ("headers", "whole"),
    [
        ({}, True),
        (HTMX, False),
        ({**HTMX, "HX-Boosted": "true"}, True),
        ({**HTMX, "HX-History-Restore-Request": "true"}, True),
        ({**HTMX, "HX-Target": "frame"}, True),
    ],
)
def test_a_fragment_only_where_the_view_offers_it(
    trial: Trial, headers: dict[str, str], whole: bool
) -> None:
    answer = trial(Role.ANALYST).get("/trial/page", headers=headers)
    assert answer.status_code == 200
    assert ("<html" in answer.get_data(as_text=True)) is whole
    assert {"HX-Request", "HX-Target"} <= set(answer.vary)


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("gone", 404, "The mailing is gone."),
        ("busy", 409, "Jonas saved it at 16:08."),
        ("wrong", 422, "Enter a name."),
        ("bug", 500, "Error id"),
    ],
)
def test_errors_as_page_and_as_fragment(trial: Trial, kind: str, status: int, words: str) -> None:
    browser = trial(Role.ANALYST)
    whole = browser.get(f"/trial/{kind}/error")
    part = browser.get(f"/trial/{kind}/error", headers=HTMX)
    assert whole.status_code == part.status_code == status
    assert words in whole.get_data(as_text=True)
    assert words in part.get_data(as_text=True)
    assert "a secret of the program" not in whole.get_data(as_text=True)
    assert "<html" not in part.get_data(as_text=True)
    assert part.headers["HX-Retarget"] == "#page-error"


def test_an_employee_who_is_lost_keeps_the_menu(signed_in: SignIn) -> None:
    answer = signed_in(Role.ANALYST).get("/nowhere")
    assert answer.status_code == 404
    assert 'aria-label="Main menu"' in answer.get_data(as_text=True)


def test_a_toast_travels_with_the_fragment_or_waits_for_the_page(trial: Trial) -> None:
    browser = trial(Role.ANALYST)
    now = browser.get("/trial/toast", headers=HTMX)
    (told,) = json.loads(now.headers["HX-Trigger"])["envoi:toast"]["toasts"]
    assert told["message"] == "Mailing copied."
    browser.get("/trial/toast")
    assert "Mailing copied." in browser.get("/own/").get_data(as_text=True)
    body = browser.get("/own/").get_data(as_text=True)
    assert "Mailing copied." not in body


@pytest.mark.parametrize("style", ["beforebegin", "afterbegin", "innerHTML show:top"])
def test_every_swap_style_is_possible(trial_app: Flask, style: str) -> None:
    with trial_app.test_request_context("/"):
        assert respond("", reswap=style).headers["HX-Reswap"] == style


def test_a_list_keeps_its_filters_when_it_is_paged(trial_app: Flask) -> None:
    with trial_app.test_request_context("/trial/page?q=coffee&page=3&size=25"):
        paging = paging_of(60)
        assert (paging.page, paging.first, paging.last, paging.pages) == (3, 51, 60, 3)
        assert page_url(page=2) == "/trial/page?q=coffee&page=2&size=25"
        assert page_url(sort="-name") == "/trial/page?q=coffee&size=25&sort=-name"
        assert page_url(q=None) == "/trial/page?size=25"


@pytest.mark.parametrize("address", ["/trial/page?size=7&page=-1", "/trial/page?size=x&page=99"])
def test_paging_stays_within_what_exists(trial_app: Flask, address: str) -> None:
    with trial_app.test_request_context(address):
        paging = paging_of(12)
        assert (paging.size, 1 <= paging.page <= 2) == (10, True)
