"""The plugin kernel: what loads, what is left out, and who is named for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from dramatiq import Broker
from dramatiq.brokers.stub import StubBroker
from pydantic import BaseModel
from structlog.testing import capture_logs

from distributions import lay_out
from envoi import hookimpl
from envoi.errors import NotFoundError, PluginError
from envoi.jobs import Work
from envoi.plugins import KINDS, LeftOut, Plugins, fence, load_plugins
from envoi.types import (
    ChannelSpec,
    LimitSpec,
    MacroSpec,
    ProviderSpec,
    RuleKindSpec,
    SegmentSourceSpec,
    SettingsSpec,
)

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution of one module, see `lay_out`."""
    monkeypatch.syspath_prepend(tmp_path)
    return partial(lay_out, tmp_path)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What is logged, so that tests stay quiet."""
    with capture_logs() as lines:
        yield lines
    structlog.reset_defaults()


def left_out(plugins: Plugins, name: str = "acme", distribution: str = "envoi-acme") -> str:
    """The reason of the only plugin that was left out, which must be the one meant."""
    [found] = plugins.left_out
    assert found == LeftOut(name, distribution, found.reason)
    assert name not in {i.name for i in plugins.infos.values() if i.distribution == distribution}
    assert name not in plugins.owners.values() or name in plugins.infos
    return found.reason


def test_ours_load_and_bring_something() -> None:
    plugins = load_plugins()
    assert plugins.left_out == ()
    assert {info.distribution for info in plugins.infos.values()} == {"envoi"}
    assert "channel email" in plugins.infos["channel-email"].provides
    assert plugins.owner("provider", "smtp") == "channel-email"


def test_a_partner_is_known_by_its_distribution(install: Install) -> None:
    install(
        """
        @hookimpl
        def register_providers():
            yield provider(" Acme ")
        """
    )
    plugins = load_plugins()
    info = plugins.infos["acme"]
    assert (info.distribution, info.version, info.always_on) == ("envoi-acme", "2.1", False)
    assert info.provides == ("provider acme",)
    assert plugins.owner("provider", "acme") == "acme"


def test_the_log_names_what_is_left_out(install: Install, logs: list[Any]) -> None:
    install("raise RuntimeError('no licence')")
    load_plugins()
    [line] = logs
    assert (line["event"], line["log_level"]) == ("plugin_left_out", "error")
    assert (line["plugin"], line["distribution"]) == ("acme", "envoi-acme")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("@hookimpl\ndef register_chanels():\n    return []", "unknown hook 'register_chanels'"),
        ("@hookimpl\ndef register_channels(app):\n    return []", "{'app'}"),
        ("import no_such_library", "cannot be imported: ModuleNotFoundError"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        (
            "@hookimpl\ndef register_providers():\n    raise RuntimeError('no licence')",
            "register_providers failed: RuntimeError('no licence')",
        ),
        (
            "@hookimpl\ndef register_providers():\n    return None",
            "'NoneType' object is not iterable",
        ),
        (
            "@hookimpl\ndef register_channels():\n    yield provider('acme')",
            "which is no ChannelSpec",
        ),
        (
            "@hookimpl\ndef register_providers():\n    return [provider('a1'), provider('A1 ')]",
            "brings the provider 'a1' twice",
        ),
        (
            "@hookimpl\ndef register_providers():\n    yield provider('a b')",
            "the name 'a b' must be",
        ),
        (
            "@hookimpl\ndef register_providers():\n    yield provider(7)",
            "register_providers failed",
        ),
        (
            """
            @hookimpl
            def register_segment_sources():
                yield SegmentSourceSpec(name="acme", label="Acme", settings=BaseModel)
            """,
            "either select or iter_external_ids",
        ),
    ],
    ids=lambda value: None if "\n" in value or len(value) > 40 else value,
)
def test_a_broken_plugin_is_left_out_with_its_reason(
    install: Install, source: str, reason: str
) -> None:
    install(source)
    plugins = load_plugins()
    assert reason in left_out(plugins)
    assert set(plugins.infos) == set(load_plugins().infos)
    assert "email" in plugins.channels


def test_a_plugin_comes_whole_or_not_at_all(install: Install) -> None:
    install(
        """
        @hookimpl
        def register_providers():
            yield provider("acme")

        @hookimpl
        def register_segment_sources():
            raise KeyError("acme")
        """
    )
    plugins = load_plugins()
    assert "register_segment_sources failed: KeyError('acme')" in left_out(plugins)
    assert "acme" not in plugins.providers


def test_ours_win_and_the_partner_is_named(install: Install) -> None:
    install(
        """
        @hookimpl
        def register_providers():
            yield provider("acme")
            yield provider("smtp", "A better SMTP")
        """,
        entry="a-comes-first-by-name",
    )
    plugins = load_plugins()
    reason = left_out(plugins, "a-comes-first-by-name")
    assert reason == "plugin channel-email has already brought the provider 'smtp'"
    assert plugins.owner("provider", "smtp") == "channel-email"
    assert "acme" not in plugins.providers


def test_a_withdrawn_name_is_free_for_the_next(install: Install) -> None:
    bad = """
        @hookimpl
        def register_providers():
            yield provider("acme")
            raise RuntimeError("half way")
        """
    good = """
        @hookimpl
        def register_providers():
            yield provider("acme")
        """
    install(bad, entry="a", distribution="envoi-a")
    install(good, entry="b", distribution="envoi-b")
    plugins = load_plugins()
    left_out(plugins, "a", "envoi-a")
    assert plugins.owner("provider", "acme") == "b"


def test_of_two_partners_the_second_by_name_is_at_fault(install: Install) -> None:
    source = """
        @hookimpl
        def register_providers():
            yield provider("acme")
        """
    install(source, entry="b", distribution="envoi-b")
    install(source, entry="a", distribution="envoi-a")
    plugins = load_plugins()
    reason = left_out(plugins, "b", "envoi-b")
    assert reason == "plugin a has already brought the provider 'acme'"


def test_an_entry_point_cannot_take_our_name(install: Install) -> None:
    install("", entry="channel-email")
    plugins = load_plugins()
    reason = left_out(plugins, "channel-email")
    assert reason == "envoi has already brought a plugin of this name"
    assert plugins.infos["channel-email"].distribution == "envoi"
    assert plugins.owner("channel", "email") == "channel-email"


def test_the_same_name_may_serve_two_kinds(install: Install) -> None:
    install(
        """
        @hookimpl
        def register_providers():
            yield provider("email")
        """
    )
    assert load_plugins().owner("provider", "email") == "acme"


def test_descriptors_come_in_their_order() -> None:
    def source(name: str, order: int) -> SegmentSourceSpec:
        return SegmentSourceSpec(
            name=name,
            label=name,
            settings=BaseModel,
            iter_external_ids=lambda settings: iter(()),
            order=order,
        )

    class Three:
        @hookimpl
        def register_segment_sources(self) -> list[SegmentSourceSpec]:
            return [source("last", 999), source("zebra", 0), source("aardvark", 0)]

    names = list(load_plugins([("three", Three())]).segment_sources)
    assert names[:2] == ["aardvark", "zebra"]
    assert names[-1] == "last"


def test_what_was_found_cannot_be_changed() -> None:
    plugins = load_plugins()
    with pytest.raises(TypeError):
        plugins.channels["email"] = plugins.channels["email"]  # type: ignore[index]
    with pytest.raises(TypeError):
        del plugins.owners["channel", "email"]  # type: ignore[attr-defined]


class TestHooks:
    """Each hook, called as a plugin's author may write it."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_kinds_name_hooks_that_exist(self, kind: str) -> None:
        field, _ = KINDS[kind]
        plugins = load_plugins()
        assert hasattr(plugins.manager.hook, f"register_{field}")
        assert isinstance(getattr(plugins, field), Mapping)

    def test_hook_register_channels(self) -> None:
        assert isinstance(load_plugins().channels["email"], ChannelSpec)

    def test_hook_register_providers(self) -> None:
        assert isinstance(load_plugins().providers["smtp"], ProviderSpec)

    def test_hook_register_rule_kinds(self) -> None:
        assert isinstance(load_plugins().rule_kinds["frequency_cap"], RuleKindSpec)

    def test_hook_register_segment_sources(self) -> None:
        sources = load_plugins().segment_sources
        assert sources
        assert all(isinstance(found, SegmentSourceSpec) for found in sources.values())

    def test_hook_register_limits(self) -> None:
        assert isinstance(load_plugins().limits["warmup"], LimitSpec)

    def test_hook_register_macros(self) -> None:
        assert isinstance(load_plugins().macros["promo_code"], MacroSpec)

    def test_hook_register_migrations(self) -> None:
        found = {info.name: files for info, files in load_plugins().migrations()}
        assert [file.name for file in found["module-promo-codes"]] == ["0001_codes.sql"]

    def test_hook_register_settings(self) -> None:
        assert isinstance(load_plugins().settings["promo_codes"], SettingsSpec)

    def test_hook_register_customer_panels(self) -> None:
        panel = load_plugins().customer_panels["promo_codes"]
        assert (panel.template, panel.permission) == ("promo_codes/customer.html", "promo.view")

    def test_hook_register_api_methods(self) -> None:
        found = load_plugins().api_methods.values()
        assert {(method.verb, method.path) for method in found} >= {
            ("GET", "promo-codes/{group}"),
            ("PUT", "promo-codes/{group}"),
            ("POST", "promo-codes/{group}/codes"),
        }

    def test_hook_register_menu_items(self) -> None:
        item = load_plugins().menu_items["promo_codes"]
        assert (item.section, item.endpoint) == ("promo_codes", "promo_codes.index")

    def test_hook_delivery_recorded(self) -> None:
        calls = []

        @hookimpl
        def delivery_recorded(batch: object) -> None:
            calls.append(batch)

        plugins = load_plugins([("figures", SimpleNamespace(delivery_recorded=delivery_recorded))])
        assert plugins.observers({"web"}) == []
        [(name, observer)] = plugins.observers({"figures"})
        observer(batch="a batch")
        assert (name, calls) == ("figures", ["a batch"])

    def test_hook_register_blueprints(self) -> None:
        plugins = load_plugins([("pages", _pages("acme"))])
        names = {blueprint.name: info.name for info, blueprint in plugins.blueprints()}
        assert names["acme"] == "pages"
        assert names["shell"] == "web"

    def test_hook_register_actors(self) -> None:
        @hookimpl
        def register_actors(broker: Broker) -> None:
            broker.declare_queue("acme")

        broker = StubBroker(middleware=[])
        load_plugins([("jobs", SimpleNamespace(register_actors=register_actors))]).register_actors(
            broker
        )
        assert "acme" in broker.get_declared_queues()
        assert {work.value for work in Work} <= broker.get_declared_actors()

    def test_a_hook_may_take_fewer_arguments(self) -> None:
        calls = []

        @hookimpl
        def register_actors() -> None:
            calls.append("without a broker")

        jobs = SimpleNamespace(register_actors=register_actors)
        load_plugins([("jobs", jobs)]).register_actors(StubBroker(middleware=[]))
        assert calls == ["without a broker"]


def _pages(name: str) -> object:
    from flask import Blueprint

    class Pages:
        @hookimpl
        def register_blueprints(self) -> list[Blueprint]:
            return [Blueprint(name, __name__)]

    return Pages()


def test_pages_that_clash_are_left_out(logs: list[Any]) -> None:
    plugins = load_plugins([("pages", _pages("shell"))])
    owners = {blueprint.name: info.name for info, blueprint in plugins.blueprints()}
    assert owners["shell"] == "web"
    assert "plugin web has already brought the pages 'shell'" in logs[-1]["reason"]


def test_pages_that_cannot_be_made_do_not_stop_the_others(logs: list[Any]) -> None:
    class Broken:
        @hookimpl
        def register_blueprints(self) -> None:
            raise OSError("templates are missing")

    plugins = load_plugins([("broken", Broken())])
    assert "shell" in {blueprint.name for _, blueprint in plugins.blueprints()}
    assert (logs[-1]["plugin"], logs[-1]["reason"]) == (
        "broken",
        "OSError('templates are missing')",
    )


def test_the_fence_names_the_plugin() -> None:
    plugins = load_plugins()

    def fails() -> None:
        raise ZeroDivisionError("by design")

    with pytest.raises(PluginError, match="Plugin channel-email: provider smtp failed: ZeroDiv"):
        fence(plugins, "provider", "smtp", fails)


def test_the_fence_lets_our_own_errors_through() -> None:
    def fails() -> None:
        raise NotFoundError("gone")

    with pytest.raises(NotFoundError):
        fence(load_plugins(), "provider", "smtp", fails)
    assert fence(load_plugins(), "provider", "smtp", lambda: 7) == 7
