"""The house: folders, entry points and contracts tell the same story."""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from pathlib import Path

import pytest
from dramatiq.brokers.stub import StubBroker

from envoi.jobs import QUEUES, Work
from envoi.plugins import Plugins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINTER = PROJECT["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in LINTER["contracts"]}

LONGEST_MODULE = 500
LONGEST_PROVIDER = 250
PROVIDERS = ROOT / "plugins" / "providers"
NO_VENDORS = {"envoi_provider_smpp", "envoi_provider_http"}
"""A protocol of its own, and a form that describes any interface."""
VENDORS = sorted({path.name for path in PROVIDERS.glob("envoi_*")} - NO_VENDORS)
TOP_FOLDERS = ("core", "plugins", "simulators", "web", "workers", "tests", "bench", "tools")
GENERIC_ROOTS = {"core", "plugins", "simulators", "web", "workers"}
SIMULATORS = "envoi_simulators"
PARTNERS = {
    "access",
    "blocks",
    "data",
    "errors",
    "gsm",
    "hookspecs",
    "http1",
    "http2",
    "outgoing",
    "sending",
    "sql",
    "testing",
    "types",
    "webkit",
}
"""The modules of `envoi` that plugins may import, besides `envoi` itself."""

PLUGINS = sorted(f.name for f in ROOT.glob("plugins/*/envoi_*") if f.is_dir())
PACKAGES = ["envoi", SIMULATORS, "envoi_web", "envoi_workers", *PLUGINS]
MODULES = sorted(p for top in TOP_FOLDERS for p in (ROOT / top).rglob("*.py"))
PARTNER_PLUGIN = ROOT / "tests" / "fixtures" / "partner_plugin" / "envoi_fieldpost"


def test_every_plugin_folder_is_an_entry_point() -> None:
    entries = PROJECT["project"]["entry-points"]["envoi"]
    own_parts = {"web": "envoi_web.plugin", "workers": "envoi_workers.plugin"}
    assert entries == own_parts | {
        name.removeprefix("envoi_").replace("_", "-"): name for name in PLUGINS
    }


def test_the_installed_entry_points_are_those_of_the_project(plugins: Plugins) -> None:
    installed = {n for n, info in plugins.infos.items() if info.distribution == "envoi"}
    assert installed == PROJECT["project"]["entry-points"]["envoi"].keys(), "install again"


def test_the_contracts_know_every_package() -> None:
    layers = CONTRACTS["web and workers on top, plugins beside, core below"]["layers"]
    top, simulators, beside, below = layers
    assert sorted(LINTER["root_packages"]) == sorted(PACKAGES)
    assert (top, simulators, below) == ("envoi_web | envoi_workers", SIMULATORS, "envoi")
    assert sorted(beside.split(" | ")) == PLUGINS
    unnamed = sorted(CONTRACTS["nothing names a plugin"]["forbidden_modules"])
    assert unnamed == sorted([SIMULATORS, *PLUGINS])
    assert sorted(CONTRACTS["plugins use only the partners' modules"]["source_modules"]) == PLUGINS


def test_plugins_are_forbidden_everything_that_is_not_promised() -> None:
    found = {p.stem for p in (ROOT / "core" / "envoi").iterdir() if p.suffix in ("", ".py")}
    private = {f"envoi.{n}" for n in found - PARTNERS if not n.startswith("__")}
    forbidden = set(CONTRACTS["plugins use only the partners' modules"]["forbidden_modules"])
    assert {name for name in forbidden if name.startswith("envoi.")} == private


def test_every_import_root_is_packaged_and_checked() -> None:
    kinds = sorted(f"plugins/{p.name}" for p in (ROOT / "plugins").iterdir() if p.is_dir())
    roots = ["core", *kinds, "simulators", "web", "workers"]
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"] == wheel["dev-mode-dirs"] == roots
    assert PROJECT["tool"]["mypy"]["mypy_path"].split(":") == [*roots, "tests"]
    assert PROJECT["tool"]["ruff"]["src"] == [*roots, "tests"]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_says_that_it_is_typed(name: str) -> None:
    roots = (ROOT / top for top in GENERIC_ROOTS)
    [folder] = [f for root in roots for f in root.rglob(name) if (f / "__init__.py").is_file()]
    assert (folder / "py.typed").is_file()


def test_no_module_is_long() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in MODULES}
    assert {n: lines for n, lines in lengths.items() if lines > LONGEST_MODULE} == {}


@pytest.mark.parametrize("name", VENDORS)
def test_a_provider_is_a_table_of_its_vendors_facts(name: str) -> None:
    lines = sum(len(p.read_text().splitlines()) for p in (PROVIDERS / name).rglob("*.py"))
    providers = importlib.import_module(name).register_providers()
    assert lines < LONGEST_PROVIDER * len(list(providers))


def test_no_module_is_a_drawer() -> None:
    assert [p for p in MODULES if p.stem in ("utils", "helpers", "misc", "common")] == []


def test_files_of_tests_have_names_of_their_own() -> None:
    names = [p.name for p in MODULES if p.name.startswith("test_") and "fixtures" not in p.parts]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_imports_a_folder(path: Path) -> None:
    assert {name.partition(".")[0] for name in _imports(path)} & GENERIC_ROOTS == set()


def test_the_partner_uses_only_what_is_promised() -> None:
    allowed = {"envoi", "pydantic", "envoi_fieldpost", *(f"envoi.{name}" for name in PARTNERS)}
    found = {name for path in PARTNER_PLUGIN.glob("*.py") for name in _imports(path)}
    ours = {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {n for n in ours if n not in allowed and not n.startswith("envoi_fieldpost.")} == set()


def test_hooks_are_called_by_the_kernel_alone() -> None:
    kernel = ROOT / "core" / "envoi" / "plugins.py"
    product = [p for p in MODULES if p.relative_to(ROOT).parts[0] in ("core", "web", "workers")]
    assert [p for p in product if "manager.hook" in p.read_text() and p != kernel] == []


def test_every_kind_of_work_has_a_queue_and_an_actor_in_it(plugins: Plugins) -> None:
    broker = StubBroker(middleware=[])
    plugins.register_actors(broker)
    assert QUEUES.keys() == set(Work)
    found = {name: broker.get_actor(name).queue_name for name in broker.get_declared_actors()}
    assert found == {work.value: QUEUES[work] for work in Work}


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found
