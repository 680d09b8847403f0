"""Confirming, launching and steering mailings: each once, and never by accident."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.audience.collection import collect
from envoi.audience.estimate import customers_behind
from envoi.db import Database, table
from envoi.delivery.gateways import default_gateway, set_gateway
from envoi.delivery.limits import set_limits
from envoi.delivery.models import Message, MessageState, Run
from envoi.errors import ConflictError, NotFoundError, ValidationFailedError
from envoi.installation import Installation
from envoi.jobs import Work
from envoi.mailings import launch, service, variants
from envoi.mailings.audience import audience_request, estimate_mailing
from envoi.mailings.status import Status
from envoi.plugins import Plugins
from envoi.segments.service import create_segment
from envoi.settings import Settings
from envoi.subscriptions.models import MailingCategory
from envoi.tenants.models import DueWork
from factories.customers import make_customers

CUSTOMERS = 40
CONTENT = {
    "subject": "Coffee",
    "body_format": "html",
    "body": "<p>Hello {{ client.properties.first_name }}</p>",
    "sender_address": "club@fieldmarket.test",
}


@pytest.fixture
def installation(database: Database, plugins: Plugins) -> Installation:
    """An installation without a queue, whose start cannot be undone for long."""
    settings = Settings(
        secret_key=SecretStr("a key of tests, thirty-two bytes long"), undo_seconds=0
    )
    return Installation(settings, database, plugins)


@pytest.fixture
def mailing(installation: Installation, tenant_id: int) -> int:
    """A complete draft to forty customers."""
    with installation.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, CUSTOMERS)
        segment = create_segment(
            session,
            tenant_id,
            name="Everybody",
            tree={"all": [{"source": "all_customers", "settings": {}}]},
            plugins=installation.plugins,
        )
        made = service.create_draft(
            session, tenant_id, channel="email", name="Coffee", segment_id=segment.id
        )
        variants.save_content(session, tenant_id, made.id, made.version, CONTENT)
        set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="email",
            provider="smtp",
            name="relay",
            values={"host": "127.0.0.1", "port": 2525, "security": "none"},
        )
        return made.id


@pytest.fixture
def confirm(installation: Installation, tenant_id: int, mailing: int) -> Callable[..., datetime]:
    """Confirm the draft with as many recipients as it has, or with another number."""

    def do(recipients: int | None = None, version: int | None = None) -> datetime:
        with installation.database.tenant_session(tenant_id) as session:
            counted = estimate_mailing(session, installation.plugins, tenant_id, mailing)
            confirmed = launch.confirm(
                session,
                installation.plugins,
                installation.settings,
                tenant_id,
                mailing,
                recipients=counted.recipients if recipients is None else recipients,
                version=version,
            )
            assert confirmed.confirmed_at is not None
            return confirmed.confirmed_at

    return do


def status(installation: Installation, tenant_id: int, mailing: int) -> Status:
    with installation.database.tenant_session(tenant_id) as session:
        return service.current_status(session, service.get_mailing(session, tenant_id, mailing))


def due(installation: Installation, tenant_id: int) -> set[str]:
    c = table(DueWork).c
    with installation.database.system_session() as session:
        kinds = session.scalars(select(c.kind).where(c.tenant_id == tenant_id))
        return set(kinds) - {Work.FIGURES}


def test_another_number_than_the_screen_showed_starts_nothing(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    with pytest.raises(ConflictError, match="has changed from 7"):
        confirm(7)
    assert status(installation, tenant_id, mailing) is Status.DRAFT
    assert due(installation, tenant_id) == set()


def test_what_a_run_takes_from_category_and_gateway(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    """A category of service messages makes it go first, a slow gateway makes its blocks small."""
    with installation.database.tenant_session(tenant_id) as session:
        category = MailingCategory(
            tenant_id=tenant_id, code="receipt", name="Receipts", exempt=True
        )
        session.add(category)
        session.flush()
        found = service.get_mailing(session, tenant_id, mailing)
        found.category_id = category.id
        gateway = default_gateway(session, tenant_id, "email")
        assert gateway is not None
        set_limits(session, installation.plugins, tenant_id, gateway.id, {"per_second": 40})
    confirm()
    assert launch.launch_due(installation, tenant_id, mailing)
    with installation.database.tenant_session(tenant_id) as session:
        run = service.get_run(session, service.get_mailing(session, tenant_id, mailing))
    assert run is not None
    assert run.settings["is_service"] is True
    assert run.settings["block_size"] == 2 * 40 / 8


def test_pressed_fifty_times_it_starts_once(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        seen = service.get_mailing(session, tenant_id, mailing).version

    def press(_: int) -> datetime:
        return confirm(version=seen)

    with ThreadPoolExecutor(8) as hands:
        answers = set(hands.map(press, range(50)))
    assert len(answers) == 1, "all fifty are told of the same start"
    with pytest.raises(ConflictError, match="already been confirmed"):
        confirm(recipients=CUSTOMERS - 1)
    with pytest.raises(ConflictError, match="already been confirmed"):
        confirm(version=seen + 1)

    def start(_: int) -> int | None:
        return launch.launch_due(installation, tenant_id, mailing)

    with ThreadPoolExecutor(8) as workers:
        started = [run for run in workers.map(start, range(50)) if run is not None]
    assert len(started) == 1
    assert {confirm(version=seen)} == answers, "also once it has been launched"
    run = table(Run).c
    with installation.database.tenant_session(tenant_id) as session:
        assert session.scalar(select(func.count()).where(run.tenant_id == tenant_id)) == 1


def test_the_control_group_is_the_one_that_was_shown(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    database, plugins = installation.database, installation.plugins
    with database.tenant_session(tenant_id) as session:
        draft = service.get_mailing(session, tenant_id, mailing)
        draft.control_share = 25
        request = audience_request(session, plugins, tenant_id, draft, datetime.now(UTC))
        shown = customers_behind(session.connection(), plugins, request, "control")
    confirm()
    run_id = launch.launch_due(installation, tenant_id, mailing)
    assert run_id is not None
    collect(database, plugins, tenant_id, run_id)
    c = table(Message).c
    with database.tenant_session(tenant_id) as session:
        run = table(Run).c
        mine = (run.tenant_id == tenant_id, run.id == run_id)
        launched_on = session.scalar(select(run.launched_on).where(*mine))
        query = select(c.customer_id).where(
            c.tenant_id == tenant_id,
            c.run_id == run_id,
            c.launched_on == launched_on,
            c.state == MessageState.CONTROL,
        )
        assert sorted(session.scalars(query)) == [answer.customer_id for answer in shown]


def test_an_undone_start_is_a_draft_again(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    confirm()
    assert due(installation, tenant_id) == {"launch"}
    with installation.database.tenant_session(tenant_id) as session:
        launch.undo(session, installation.settings, tenant_id, mailing)
    assert status(installation, tenant_id, mailing) is Status.DRAFT
    assert due(installation, tenant_id) == set()
    assert launch.launch_due(installation, tenant_id, mailing) is None


def test_what_was_changed_since_it_was_seen_is_not_started(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    """Nor does a press that was long on its way start again what was undone meanwhile."""
    with installation.database.tenant_session(tenant_id) as session:
        seen = service.get_mailing(session, tenant_id, mailing).version
    confirm(version=seen)
    with installation.database.tenant_session(tenant_id) as session:
        launch.undo(session, installation.settings, tenant_id, mailing)
    with pytest.raises(ConflictError, match="was changed after this page was shown"):
        confirm(version=seen)
    assert status(installation, tenant_id, mailing) is Status.DRAFT


def test_a_postponed_mailing_waits_for_its_time(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with installation.database.tenant_session(tenant_id) as session:
        version = service.get_mailing(session, tenant_id, mailing).version
        service.update_mailing(session, tenant_id, mailing, version, {"starts_at": tomorrow})
    confirm()
    assert launch.launch_due(installation, tenant_id, mailing) is None
    assert status(installation, tenant_id, mailing) is Status.CREATED
    with installation.database.tenant_session(tenant_id) as session:
        undone = launch.undo(session, installation.settings, tenant_id, mailing)
        assert undone.starts_at == tomorrow


def test_paused_resumed_cancelled(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    database = installation.database
    confirm()
    run_id = launch.launch_due(installation, tenant_id, mailing)
    assert run_id is not None
    collect(database, installation.plugins, tenant_id, run_id)
    steps: list[tuple[Callable[[Session], None], Status]] = [
        (lambda s: launch.pause(s, tenant_id, mailing, "by hand"), Status.PAUSED),
        (lambda s: launch.resume(s, tenant_id, mailing), Status.SENDING),
        (lambda s: launch.cancel(s, tenant_id, mailing), Status.CANCELLED),
    ]
    for act, expected in steps:
        with database.tenant_session(tenant_id) as session:
            act(session)
        assert status(installation, tenant_id, mailing) is expected
    message = table(Message).c
    with database.tenant_session(tenant_id) as session:
        launched_on = session.scalar(
            select(table(Run).c.launched_on).where(table(Run).c.id == run_id)
        )
        query = select(message.state, func.count()).where(
            message.tenant_id == tenant_id, message.launched_on == launched_on
        )
        states = {MessageState(s): n for s, n in session.execute(query.group_by(message.state))}
    assert MessageState.READY not in states
    assert states[MessageState.CANCELLED] > 0
    with pytest.raises(ConflictError), database.tenant_session(tenant_id) as session:
        launch.resume(session, tenant_id, mailing)


def test_a_draft_that_is_not_complete_is_refused_with_every_reason(
    installation: Installation, tenant_id: int
) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        empty = service.create_draft(session, tenant_id, channel="email", name="Empty").id

    def start() -> None:
        with installation.database.tenant_session(tenant_id) as session:
            launch.confirm(
                session,
                installation.plugins,
                installation.settings,
                tenant_id,
                empty,
                recipients=0,
            )

    with pytest.raises(ValidationFailedError) as refused:
        start()
    assert {p.field for p in refused.value.problems} == {"who", "what", "when"}


def test_two_editors_see_a_conflict_and_nothing_is_overwritten(
    installation: Installation, tenant_id: int, mailing: int
) -> None:
    def save(version: int, share: float) -> int:
        with installation.database.tenant_session(tenant_id) as session:
            changes = {"control_share": share}
            return service.update_mailing(session, tenant_id, mailing, version, changes).version

    with installation.database.tenant_session(tenant_id) as session:
        seen = service.get_mailing(session, tenant_id, mailing).version
    save(seen, 10)
    with pytest.raises(ConflictError, match="Somebody else"):
        save(seen, 20)
    assert save(seen, 10) == seen + 1


def test_a_copy_is_a_draft_with_the_same_audience_and_content(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    confirm()
    with installation.database.tenant_session(tenant_id) as session:
        copy = service.copy_mailing(session, tenant_id, mailing)
        source = service.get_mailing(session, tenant_id, mailing)
        assert service.current_status(session, copy) is Status.DRAFT
        assert (copy.segment_id, copy.starts_at) == (source.segment_id, None)
        contents = [service.variants_of(session, m)[0].content for m in (copy, source)]
        assert contents[0] == contents[1]


def test_deleting_before_the_start_delivers_nothing(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    confirm()
    with installation.database.tenant_session(tenant_id) as session:
        service.delete_mailing(session, tenant_id, mailing)
    assert launch.launch_due(installation, tenant_id, mailing) is None
    with pytest.raises(NotFoundError), installation.database.tenant_session(tenant_id) as session:
        service.get_mailing(session, tenant_id, mailing)


def test_deleting_a_running_one_cancels_what_waits_and_keeps_its_messages(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    confirm()
    run_id = launch.launch_due(installation, tenant_id, mailing)
    assert run_id is not None
    collect(installation.database, installation.plugins, tenant_id, run_id)
    with installation.database.tenant_session(tenant_id) as session:
        service.delete_mailing(session, tenant_id, mailing)
    message, run = table(Message).c, table(Run).c
    with installation.database.tenant_session(tenant_id) as session:
        launched_on = session.scalar(select(run.launched_on).where(run.id == run_id))
        mine = (message.tenant_id == tenant_id, message.launched_on == launched_on)
        assert session.scalar(select(func.count()).where(*mine)) == CUSTOMERS
        waiting = message.state == int(MessageState.READY)
        assert session.scalar(select(func.count()).where(*mine, waiting)) == 0


def test_a_segment_that_is_gone_cannot_be_chosen(
    installation: Installation, tenant_id: int, mailing: int
) -> None:
    def choose(segment_id: int) -> None:
        with installation.database.tenant_session(tenant_id) as session:
            version = service.get_mailing(session, tenant_id, mailing).version
            changes = {"segment_id": segment_id}
            service.update_mailing(session, tenant_id, mailing, version, changes)

    with pytest.raises(ValidationFailedError, match="no such segment"):
        choose(999_999)


def be_late(installation: Installation, tenant_id: int, mailing: int, minutes: int) -> None:
    """Let a confirmed mailing be due so long ago, as after a weekend without power."""
    with installation.database.tenant_session(tenant_id) as session:
        found = service.get_mailing(session, tenant_id, mailing)
        found.lifetime_minutes = 60
        found.starts_at = datetime.now(UTC) - timedelta(minutes=minutes)


def test_later_than_its_lifetime_it_starts_only_when_a_person_says_so(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    confirm()
    be_late(installation, tenant_id, mailing, 60)
    assert launch.launch_due(installation, tenant_id, mailing) is None
    assert status(installation, tenant_id, mailing) is Status.CREATED
    assert due(installation, tenant_id) == set()
    with installation.database.tenant_session(tenant_id) as session:
        launch.start_now(session, tenant_id, mailing)
    assert due(installation, tenant_id) == {Work.LAUNCH}
    assert launch.launch_due(installation, tenant_id, mailing) is not None
    with (
        installation.database.tenant_session(tenant_id) as session,
        pytest.raises(ConflictError, match="has not missed"),
    ):
        launch.start_now(session, tenant_id, mailing)


def test_late_within_its_lifetime_it_starts_by_itself(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    confirm()
    be_late(installation, tenant_id, mailing, 59)
    assert launch.launch_due(installation, tenant_id, mailing) is not None


def test_one_that_was_missed_can_become_a_draft_again(
    installation: Installation, tenant_id: int, mailing: int, confirm: Callable[..., datetime]
) -> None:
    confirm()
    be_late(installation, tenant_id, mailing, 600)
    launch.launch_due(installation, tenant_id, mailing)
    with installation.database.tenant_session(tenant_id) as session:
        launch.undo(session, installation.settings, tenant_id, mailing)
    assert status(installation, tenant_id, mailing) is Status.DRAFT
