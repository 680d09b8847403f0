"""What `envoi plugin check` looks at: what can be seen of a plugin without running its tests."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo

from envoi.cli.findings import Finding
from envoi.errors import EnvoiError
from envoi.plugins import GROUP, Plugins, load_plugins
from envoi.types import CAPABILITIES, ChannelSpec, MacroSpec, ProviderSpec

_SECRET_WORDS = ("password", "secret", "token", "api_key", "private_key")


def plugin_of(where: str) -> tuple[Plugins, str]:
    """Load the plugin of a name, or of a project's folder, and return what it is called.

    Raises:
        EnvoiError: There is no such plugin, or the folder holds none.
    """
    folder, installed = Path(where), load_plugins()
    is_known = where in installed.infos or where in {left.name for left in installed.left_out}
    if is_known or not folder.is_dir():
        return installed, where
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        [(name, module)] = project["project"]["entry-points"][GROUP].items()
    except (OSError, ValueError, LookupError) as error:
        raise EnvoiError(
            f"{folder} holds no project with one entry point in the group {GROUP!r}: {error!r}."
            " Name the folder of its pyproject.toml."
        ) from error
    for root in (folder, folder / "src"):
        sys.path.insert(0, str(root.resolve()))
    try:
        return load_plugins([(name, import_module(module))]), name
    except Exception as error:
        raise EnvoiError(f"The plugin {name} cannot be imported: {error!r}") from error


def check_plugin(plugins: Plugins, name: str) -> Iterator[Finding]:
    """Return what was looked at, the things that are wrong with what to do about them."""
    broken = [left for left in plugins.left_out if left.name == name]
    info = plugins.infos.get(name)
    for left in broken:
        yield Finding("loads", False, left.reason, "Correct it: nothing of the plugin is used.")
    if info is None:
        if not broken:
            yield Finding("loads", False, f"There is no plugin {name}.", "Install it first.")
        return
    yield Finding("loads", True, f"{info.distribution} {info.version}")
    yield Finding("brings", True, ", ".join(info.provides) or "pages or background work")
    for key, owner in plugins.owners.items():
        if owner == name:
            yield from _checked(plugins, *key)
    yield from _files(plugins, name)


def _checked(plugins: Plugins, kind: str, name: str) -> Iterator[Finding]:
    spec = _spec(plugins, kind, name)
    what = f"{kind} {name}"
    for model in _models(spec):
        yield _form(what, model, asked=isinstance(spec, ProviderSpec))
    if isinstance(spec, ProviderSpec):
        # That an account goes through cascades is told by `takes_over` alone.
        may_say = CAPABILITIES.keys() - {"cascade"}
        unknown = sorted(spec.capabilities - may_say)
        known = ", ".join(sorted(may_say))
        yield _found(what, "capabilities", unknown, f"There are: {known}.")
        channel = [] if spec.channel in plugins.channels else [spec.channel]
        yield _found(what, "channel", channel, "Bring the channel, or name one that there is.")
    if isinstance(spec, MacroSpec):
        yield _example(what, spec)


def _spec(plugins: Plugins, kind: str, name: str) -> Any:
    found: Mapping[str, Mapping[str, Any]] = {
        "channel": plugins.channels,
        "provider": plugins.providers,
        "rule kind": plugins.rule_kinds,
        "segment source": plugins.segment_sources,
        "limit": plugins.limits,
        "macro": plugins.macros,
        "menu item": plugins.menu_items,
    }
    return found[kind][name]


def _models(spec: Any) -> Iterator[type[BaseModel]]:
    model = (
        spec.content_schema if isinstance(spec, ChannelSpec) else getattr(spec, "settings", None)
    )
    if model is not None:
        yield model


def _form(what: str, model: type[BaseModel], *, asked: bool) -> Finding:
    """Whether a form can be made of a model, and whether it would show a secret."""
    try:
        model.model_json_schema()
    except PydanticInvalidForJsonSchema as error:
        return Finding(f"{what}: form", False, str(error), "Use plain types in the model.")
    problems = []
    if model.model_config.get("extra") != "forbid":
        problems.append('the model takes fields that it does not know; say extra="forbid"')
    for name, field in model.model_fields.items():
        if any(word in name for word in _SECRET_WORDS) and not _is_secret(field):
            problems.append(f"{name} looks like a secret; make it a SecretStr")
        if asked and not field.title:
            problems.append(f"{name} has no title, which is its label")
    remedy = "Correct the model: administrators see a form made of it."
    return Finding(f"{what}: form", not problems, "; ".join(problems) or "complete", remedy)


def _is_secret(field: FieldInfo) -> bool:
    return "Secret" in str(field.annotation) or field.annotation is SecretStr


def _example(what: str, spec: MacroSpec) -> Finding:
    problem = _failure(lambda: spec.example("Spring"))
    return Finding(f"{what}: example", not problem, problem or "shown", "Return a text.")


def _failure(call: Callable[[], Any]) -> str:
    try:
        answer = call()
    except Exception as error:  # noqa: BLE001 (whatever it raises is what is to be told)
        return repr(error)
    return "" if isinstance(answer, str) and answer else f"it returned {answer!r}"


def _files(plugins: Plugins, name: str) -> Iterator[Finding]:
    for info, files in plugins.migrations():
        if info.name == name:
            missing = [str(file) for file in files if not file.is_file()]
            yield _found("tables", "files", missing, "Put the files into the distribution.")


def _found(what: str, name: str, wrong: list[str], remedy: str) -> Finding:
    said = f"unknown or missing: {', '.join(wrong)}" if wrong else "known"
    return Finding(f"{what}: {name}", not wrong, said, remedy)
