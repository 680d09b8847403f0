"""Opens and clicks through the tracking application, and what they leave in the database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from http.client import HTTPConnection
from time import monotonic, sleep

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from envoi.db import Database, connect
from envoi.delivery.models import MessageState
from envoi.plugins import Plugins
from envoi.tracking import counters
from envoi.tracking.app import TrackingApp
from envoi.tracking.judging import reclassify
from envoi.tracking.tokens import TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker
from ledger_rows import NOW, LedgerRun, add_customers, add_messages, add_run, facts, scalar

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SECRET = "a secret of the tests, 32 letters"
TARGET = "https://shop.test/coffee?a=1&b=ü"
PERSON = {"User-Agent": BROWSER}


@pytest.fixture
def signer() -> TokenSigner:
    return TokenSigner([SECRET])


@pytest.fixture
def app(database: Database, signer: TokenSigner, plugins: Plugins) -> Iterator[TrackingApp]:
    app = TrackingApp(database, signer, plugins)
    yield app
    app.close()
    assert app.hits.lost == 0


@pytest.fixture
def customers(database: Database, tenant_id: int) -> list[int]:
    return add_customers(database, tenant_id, 5)


@pytest.fixture
def run(database: Database, tenant_id: int, customers: list[int]) -> LedgerRun:
    run = add_run(database, tenant_id, links={0: TARGET, 1: "javascript:alert(1)"})
    add_messages(database, run, customers)
    return run


def path_of(signer: TokenSigner, run: LedgerRun, customer: int, kind: TokenKind) -> str:
    return UrlMaker("", signer).message(run.ref(customer)).of(kind)


def click_of(signer: TokenSigner, run: LedgerRun, customer: int, link: int, to: str = "") -> str:
    return UrlMaker("", signer).message(run.ref(customer)).click(link, to)


def get(app: TrackingApp, path: str, method: str = "GET", **headers: str) -> TestResponse:
    return Client(app).open(path, method=method, headers=PERSON | headers)


def test_an_open_fills_the_facts_once(
    app: TrackingApp, signer: TokenSigner, database: Database, run: LedgerRun, customers: list[int]
) -> None:
    path = path_of(signer, run, customers[0], TokenKind.OPEN)
    answer = get(app, path + ".gif")
    assert (answer.status_code, answer.mimetype) == (200, "image/gif")
    assert answer.data.startswith(b"GIF89a")
    assert "Set-Cookie" not in answer.headers
    get(app, path)
    app.close()
    row = facts(database, run, customers[0])
    assert row.opened_at == row.delivered_at
    assert row.clicked_at is None
    assert facts(database, run, customers[1]).opened_at is None
    with database.tenant_connection(run.tenant_id) as connection:
        assert scalar(connection, "SELECT sum(hits) FROM event_counter") == 2


def test_a_click_implies_an_open_and_leads_to_the_frozen_link(
    app: TrackingApp, signer: TokenSigner, database: Database, run: LedgerRun, customers: list[int]
) -> None:
    answer = get(app, click_of(signer, run, customers[0], 0))
    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://shop.test/coffee?a=1&b=%C3%BC"
    app.close()
    row = facts(database, run, customers[0])
    assert row.clicked_at == row.opened_at == row.delivered_at is not None


def test_a_short_link_is_the_same_click(
    app: TrackingApp, signer: TokenSigner, database: Database, run: LedgerRun, customers: list[int]
) -> None:
    path = UrlMaker("", signer, short=True).message(run.ref(customers[0])).click(0, "")
    assert len(path) == len("/s/") + 20
    answer = get(app, path)
    assert answer.headers["Location"] == "https://shop.test/coffee?a=1&b=%C3%BC"
    assert get(app, path[:-1] + ("0" if path[-1] != "0" else "1")).status_code == 404
    unknown = run.ref(customers[0])._replace(run_id=run.run_id + 1_000)
    nowhere = UrlMaker("", signer, short=True).message(unknown).click(0, "")
    assert get(app, nowhere).status_code == 404
    app.close()
    row = facts(database, run, customers[0])
    assert row.clicked_at == row.opened_at == row.delivered_at is not None


def test_a_personal_target_travels_under_the_signature(
    app: TrackingApp, signer: TokenSigner, run: LedgerRun, customers: list[int]
) -> None:
    path = click_of(signer, run, customers[0], 2, "https://shop.test/of/ann")
    assert get(app, path).headers["Location"] == "https://shop.test/of/ann"
    assert get(app, path.replace("ann", "eve")).status_code == 404
    assert get(app, path.partition("?")[0]).status_code == 404
    evil = click_of(signer, run, customers[0], 2, "javascript:alert(1)")
    assert get(app, evil).status_code == 404
    broken = click_of(signer, run, customers[0], 2, "https://shop.test/\r\nSet-Cookie: a=b")
    assert get(app, broken).status_code == 404
    no_host = click_of(signer, run, customers[0], 2, "http://[bad")
    assert get(app, no_host).status_code == 404


def test_only_web_addresses_of_the_run_are_led_to(
    app: TrackingApp, signer: TokenSigner, run: LedgerRun, customers: list[int]
) -> None:
    assert get(app, click_of(signer, run, customers[0], 1)).status_code == 404
    assert get(app, click_of(signer, run, customers[0], 7)).status_code == 404


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"User-Agent": "Mozilla/5.0"}),
    ],
)
def test_machines_are_kept_and_open_nothing(
    app: TrackingApp,
    signer: TokenSigner,
    database: Database,
    run: LedgerRun,
    customers: list[int],
    method: str,
    headers: dict[str, str],
) -> None:
    answer = get(app, click_of(signer, run, customers[0], 0), method, **headers)
    assert answer.status_code == 302
    app.close()
    row = facts(database, run, customers[0])
    assert (row.opened_at, row.clicked_at, row.delivered_at) == (None, None, None)
    with database.tenant_connection(run.tenant_id) as connection:
        assert scalar(connection, "SELECT hits FROM event_counter WHERE machine AND kind = 2") == 1
        assert scalar(connection, "SELECT bool_and(machine) FROM message_event")


def test_too_quick_and_gone_messages(
    app: TrackingApp, signer: TokenSigner, database: Database, run: LedgerRun, tenant_id: int
) -> None:
    on_the_wire, stranger = add_customers(database, tenant_id, 2)
    add_messages(database, run, [on_the_wire], state=MessageState.CLAIMED, accepted_at=None)
    for customer in (on_the_wire, stranger):
        get(app, path_of(signer, run, customer, TokenKind.OPEN))
    app.close()
    assert facts(database, run, on_the_wire).opened_at is None
    with database.tenant_connection(tenant_id) as connection:
        assert scalar(connection, "SELECT count(*) FROM message_event") == 1


KINDS = {"o": TokenKind.OPEN, "c": TokenKind.CLICK, "u": TokenKind.UNSUBSCRIBE}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_altered_tokens_all_get_the_same_404(
    app: TrackingApp, signer: TokenSigner, run: LedgerRun, customers: list[int], data: st.DataObject
) -> None:
    first = data.draw(st.sampled_from(sorted(KINDS)))
    token = signer.sign(run.ref(customers[0]), KINDS[first])
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    change = data.draw(st.sampled_from(["letter", "cut", "longer", "kind", "foreign", "junk"]))
    if change == "letter":
        place = data.draw(st.integers(0, len(token) - 1))
        letter = data.draw(st.sampled_from([x for x in letters if x != token[place]]))
        token = token[:place] + letter + token[place + 1 :]
    elif change == "cut":
        token = token[: data.draw(st.integers(0, len(token) - 1))]
    elif change == "longer":
        token += data.draw(st.text(letters, min_size=1, max_size=8))
    elif change == "kind":
        other = data.draw(st.sampled_from([k for k in TokenKind if k != KINDS[first]]))
        token = signer.sign(run.ref(customers[0]), other)
    elif change == "foreign":
        token = TokenSigner(["another installation"]).sign(run.ref(customers[0]), KINDS[first])
    else:
        token = data.draw(st.text(letters + "/.%", max_size=80))
    method = data.draw(st.sampled_from(["GET", "POST"]))
    answer = get(app, f"/{first}/{token}", method)
    nowhere = get(app, "/nothing")
    assert answer.status_code == 404
    assert (answer.data, list(answer.headers)) == (nowhere.data, list(nowhere.headers))


def test_counters_equal_rows_after_concurrent_hits(
    app: TrackingApp, signer: TokenSigner, database: Database, run: LedgerRun, customers: list[int]
) -> None:
    opens = [path_of(signer, run, customer, TokenKind.OPEN) for customer in customers]
    clicks = [click_of(signer, run, customer, 0) for customer in customers]
    paths = [*opens, *clicks] * 400
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: get(app, path).status_code, paths))
    app.close()
    assert len(answers) == 4_000
    assert set(answers) == {200, 302}
    with database.tenant_connection(run.tenant_id) as connection:
        assert scalar(connection, "SELECT count(*) FROM message_event") == 4_000
    assert counters.compare(database, run.tenant_id, run.run_id) == []


def test_counters_are_made_again_from_rows(
    app: TrackingApp, signer: TokenSigner, database: Database, run: LedgerRun, customers: list[int]
) -> None:
    for customer in customers:
        get(app, click_of(signer, run, customer, 0))
    app.close()
    with database.tenant_connection(run.tenant_id) as connection:
        scalar(connection, "UPDATE event_counter SET hits = hits + 3 RETURNING hits")
    (found,) = counters.compare(database, run.tenant_id, run.run_id)
    assert (found.counted, found.rows) == (8, 5)
    counters.rebuild(database, run.tenant_id, run.run_id)
    assert counters.compare(database, run.tenant_id, run.run_id) == []


def test_old_hits_are_judged_again(
    app: TrackingApp, signer: TokenSigner, database: Database, run: LedgerRun, customers: list[int]
) -> None:
    get(app, click_of(signer, run, customers[0], 0))
    get(app, path_of(signer, run, customers[1], TokenKind.OPEN))
    app.close()
    with database.tenant_connection(run.tenant_id) as connection:
        sql = "UPDATE message_event SET agent = 'Barracuda', classifier = 0 WHERE customer_id = :c"
        scalar(connection, sql + " RETURNING 1", c=customers[0])
    assert reclassify(database, run.tenant_id, run.run_id) == 1
    assert reclassify(database, run.tenant_id, run.run_id) == 0
    assert facts(database, run, customers[0]).opened_at is None
    assert facts(database, run, customers[0]).clicked_at is None
    assert facts(database, run, customers[1]).opened_at is not None
    assert counters.compare(database, run.tenant_id, run.run_id) == []


def test_hits_wait_while_the_database_is_away(
    database: Database, postgres_url: str, signer: TokenSigner, plugins: Plugins, run: LedgerRun,
    customers: list[int],
) -> None:  # fmt: skip
    reachable = connect(postgres_url)
    app = TrackingApp(reachable, signer, plugins)
    creator = reachable.engine.pool._creator

    def refused(*_args: object) -> None:
        raise psycopg.OperationalError("the database is away")

    reachable.engine.pool._creator = refused  # type: ignore[assignment]
    answers = [
        get(app, path_of(signer, run, customer, TokenKind.OPEN)).status_code
        for customer in customers
    ]
    assert answers == [200] * 5
    assert get(app, click_of(signer, run, customers[0], 0)).status_code == 503
    sleep(0.5)
    reachable.engine.pool._creator = creator
    app.close()
    reachable.engine.dispose()
    assert all(facts(database, run, customer).opened_at for customer in customers)


def test_a_full_buffer_refuses_the_newest(
    database: Database, signer: TokenSigner, run: LedgerRun
) -> None:
    from envoi.tracking.hits import HitWriter
    from envoi.tracking.ledger import Hit
    from envoi.tracking.models import EventKind

    writer = HitWriter(database, capacity=10, interval=30, size=1_000)
    for _ in range(12):
        writer.add(Hit(message=run.ref(1), kind=EventKind.OPEN, at=NOW))
    assert writer.lost == 2
    writer.close()


def test_tenants_do_not_mix(
    app: TrackingApp, signer: TokenSigner, database: Database, run: LedgerRun, customers: list[int]
) -> None:
    from uuid import uuid4

    from envoi.tenants.service import create_tenant

    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Other").id
    theirs = add_customers(database, other, 1)
    other_run = add_run(database, other, links={0: "https://other.test/"})
    add_messages(database, other_run, theirs)
    # A genuine token of one tenant that names the other's message finds nothing there.
    mixed = LedgerRun(other, 0, run.run_id, run.launched_on)
    get(app, path_of(signer, mixed, customers[0], TokenKind.OPEN))
    assert get(app, click_of(signer, mixed, customers[0], 0)).status_code == 404
    get(app, click_of(signer, other_run, theirs[0], 0))
    get(app, path_of(signer, run, customers[1], TokenKind.OPEN))
    app.close()
    assert facts(database, run, customers[0]).opened_at is None
    assert facts(database, other_run, theirs[0]).clicked_at is not None
    for tenant, hits in ((other, 1), (run.tenant_id, 1)):
        with database.tenant_connection(tenant) as connection:
            assert scalar(connection, "SELECT sum(hits) FROM event_counter") == hits


def test_a_server_that_is_asked_to_end_writes_everything(
    database: Database, postgres_url: str, signer: TokenSigner, run: LedgerRun,
    customers: list[int], free_port: int,
) -> None:  # fmt: skip
    environment = os.environ | {
        "ENVOI_DATABASE_URL": postgres_url,
        "ENVOI_SECRET_KEY": SECRET,
        "ENVOI_REDIS_URL": "",
    }
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--factory"]
    options = ["--port", str(free_port), "--blocking-threads", "4", "--no-ws"]
    server = subprocess.Popen(
        [*command, *options, "envoi.tracking.app:application"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        connection = _connected(free_port)
        for path in [path_of(signer, run, customer, TokenKind.OPEN) for customer in customers]:
            connection.request("GET", path, headers=PERSON)
            assert connection.getresponse().read().startswith(b"GIF89a")
        connection.close()
    finally:
        server.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(60)
        server.kill()
    assert all(facts(database, run, customer).opened_at for customer in customers)


def _connected(port: int) -> HTTPConnection:
    deadline = monotonic() + 90
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("HEAD", "/page.css")
            connection.getresponse().read()
        except OSError:
            if monotonic() > deadline:
                raise
            sleep(0.1)
        else:
            return connection


def test_ten_minutes_of_delay_do_not_matter(
    app: TrackingApp, signer: TokenSigner, database: Database, tenant_id: int, customers: list[int]
) -> None:
    late = add_run(database, tenant_id, launched_at=NOW - timedelta(days=200))
    add_messages(database, late, customers, accepted_at=NOW - timedelta(days=200))
    get(app, path_of(signer, late, customers[0], TokenKind.OPEN))
    app.close()
    assert facts(database, late, customers[0]).opened_at > NOW - timedelta(minutes=1)
