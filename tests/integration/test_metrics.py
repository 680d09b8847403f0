"""What Prometheus gets: counts of all processes together, and the state of the installation."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from envoi.db import Database
from envoi.errors import ConfigurationError
from envoi.installation import Installation
from envoi.jobs import Work, announce, connect_broker
from envoi.operations import metrics
from envoi.operations.chores import note_chore
from envoi.operations.endpoint import serving_metrics
from envoi.operations.exposition import METRICS, expose, samples
from envoi.operations.reporter import Reporter
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.valkey import connect_valkey

PAGE = Path(__file__).parents[2] / "docs" / "operators" / "monitoring.md"
LINE = re.compile(
    r"^[a-z_]+(?:\{[a-z]+=\"(?:[^\"\\]|\\.)*\"(?:,[a-z]+=\"(?:[^\"\\]|\\.)*\")*\})? [0-9.e+-]+$"
)


@pytest.fixture
def installation(
    database: Database, plugins: Plugins, redis_url: str, free_port: int
) -> Installation:
    """An installation with a queue of its own, whose earlier counts are forgotten."""
    connect_valkey(redis_url).flushall()
    metrics.drain()
    settings = Settings(redis_url=SecretStr(redis_url), metrics_port=free_port)
    return Installation(settings, database, plugins, connect_broker(redis_url))


def test_what_processes_count_is_added_up(installation: Installation) -> None:
    for process in ("web", "send"):
        metrics.MESSAGES.add(3, 7, "email", "accepted")
        metrics.SEND_SECONDS.observe(0.004, "email")
        Reporter(installation, process).report()
    found = samples(installation)
    assert found['envoi_messages_total{tenant="7",channel="email",state="accepted"}'] == 6
    assert found['envoi_send_seconds_bucket{channel="email",le="0.0025"}'] == 0
    assert found['envoi_send_seconds_bucket{channel="email",le="0.005"}'] == 2
    assert found['envoi_send_seconds_count{channel="email"}'] == 2
    assert found['envoi_database_connections{process="send",state="in_use"}'] >= 0


def test_what_cannot_be_reported_is_kept(installation: Installation, free_port: int) -> None:
    away = installation.settings.model_copy(
        update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port}/0")}
    )
    reporter = Reporter(Installation(away, installation.database, installation.plugins), "web")
    metrics.HINTS_LOST.add(1)
    for _ in range(2):
        with pytest.raises(Exception, match=r"[Rr]efused"):
            reporter.report()
    metrics.HINTS_LOST.add(1)
    reporter._client = connect_valkey(installation.settings.redis_url.get_secret_value())
    reporter.report()
    assert samples(installation)["envoi_hints_lost_total"] == 2


def test_the_state_of_the_installation(installation: Installation, tenant_id: int) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        announce(session, tenant_id, Work.SEND, 1)
    note_chore(installation.database, "give_hints", 0.01)
    found = samples(installation)
    assert found['envoi_due_work{kind="send"}'] >= 1
    assert 0 <= found['envoi_chore_age_seconds{chore="give_hints"}'] < 60
    assert found['envoi_hints_waiting{queue="send"}'] == 0
    assert found["envoi_queue_up"] == 1


def test_the_format(installation: Installation) -> None:
    metrics.REQUESTS.add(1, 'odd"\\\n', 200)
    metrics.REQUEST_SECONDS.observe(0.3, "mailings.index")
    Reporter(installation, "web").report()
    text = expose(samples(installation))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not LINE.match(line)] == []
    bounds = re.findall(r'envoi_http_request_seconds_bucket\{.*le="(.*)"\}', text)
    assert list(map(float, bounds)) == sorted(map(float, bounds))
    assert bounds[-1] == "+Inf"


def test_every_metric_is_documented_as_it_is(installation: Installation) -> None:
    exposed = re.findall(r"^# TYPE (\w+) (\w+)$", expose({}), re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert [(name, kind) for name, kind, _, _ in rows] == exposed
    for metric, (_, _, labels, meaning) in zip(METRICS, rows, strict=True):
        assert re.findall(r"`(\w+)`", labels) == list(metric.labels)
        assert meaning == metric.meaning


def test_a_scrape(installation: Installation) -> None:
    with serving_metrics(installation) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert answer.status_code == 200
        assert "# TYPE envoi_messages_total counter" in answer.text
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
        with serving_metrics(installation) as second:
            assert second == 0


def test_a_token_is_asked_for(installation: Installation) -> None:
    settings = installation.settings.model_copy(update={"metrics_token": SecretStr("a token")})
    closed = Installation(settings, installation.database, installation.plugins)
    with serving_metrics(closed) as port:
        address = f"http://127.0.0.1:{port}/metrics"
        assert httpx.get(address).status_code == 401
        assert httpx.get(address, headers={"Authorization": "Bearer b"}).status_code == 401
        answer = httpx.get(address, headers={"Authorization": "Bearer a token"})
        assert answer.status_code == 200


def test_a_network_sees_nothing_without_a_token(installation: Installation) -> None:
    settings = installation.settings.model_copy(update={"metrics_host": "0.0.0.0"})
    with (
        pytest.raises(ConfigurationError, match="ENVOI_METRICS_TOKEN"),
        serving_metrics(Installation(settings, installation.database, installation.plugins)),
    ):
        pass
