"""Requests are counted and named, and what they lead to is logged under their name."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from envoi.app import create_app
from envoi.db import Database
from envoi.installation import Installation
from envoi.jobs import Work, connect_broker, hint
from envoi.logs import configure_logs
from envoi.operations import metrics
from envoi.plugins import Plugins
from envoi.webkit import permission
from envoi_workers.actors import perform
from envoi_workers.workshop import Workshop
from pages import TEST_SETTINGS, sign_in

PASSWORD = "the password of a gateway"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    clear_contextvars()
    logging.root.handlers[:], logging.root.level = handlers, level


def test_a_failing_page_is_logged_with_what_it_is_about(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    employee: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = create_app(Installation(TEST_SETTINGS, database, plugins))

    @permission("summary.view")
    def fail(mailing_id: int) -> str:
        raise RuntimeError(f"no {mailing_id} for {email} with {TEST_SETTINGS.secrets()[0]!r}")

    app.add_url_rule("/fails/<int:mailing_id>", "fails", fail)
    browser, email = app.test_client(), employee()
    assert sign_in(browser, email) == 302
    configure_logs("json")
    metrics.drain()
    assert browser.get("/fails/41").status_code == 500
    [line] = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert (line["tenant"], line["mailing"], line["level"]) == (tenant_id, 41, "error")
    assert len(line["request"]) == 16
    assert line["account"]
    assert email not in str(line)
    assert get_contextvars() == {}
    counted = metrics.drain()
    assert counted['envoi_http_requests_total{endpoint="fails",status="500"}'] == 1
    assert counted['envoi_http_request_seconds_count{endpoint="fails"}'] == 1


def test_work_is_logged_under_the_request_that_gave_it(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = connect_broker(redis_url)
    assert broker is not None
    broker.flush("bulk")  # Other tests give hints that nobody takes.
    workshop = Workshop(Installation(TEST_SETTINGS, database, plugins, broker), 1)
    bind_contextvars(request="0123456789abcdef")
    assert hint(broker, Work.AUDIENCE, tenant_id, 2**40)
    clear_contextvars()
    message = next(broker.consume("bulk", timeout=1000))
    assert message is not None
    workshop.before_process_message(broker, message)
    configure_logs("json")
    # There is no such import, so this work fails.
    assert perform(workshop, Work.IMPORT, *message.args)
    lines = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert lines
    assert [line for line in lines if line["request"] != "0123456789abcdef"] == []
    for line in lines:
        assert (line["tenant"], line["ref"], line["work"]) == (tenant_id, 2**40, "import_file")
