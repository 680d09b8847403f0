"""The part of the API that plugins bring: found by its address, for companies that have it on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial

from sqlalchemy.exc import InterfaceError, OperationalError

from envoi.api.requests import read
from envoi.db import Database
from envoi.errors import PluginError
from envoi.plugins import Plugins, fence
from envoi.tracking.answers import Answer, answer
from envoi.types import ApiMethod, ApiRequest

KIND = "API method"
_PART = re.compile(r"\\{(\w+)\\}")


class PluginMethods:
    """What working plugins bring, by address; of several that fit, the longest address answers."""

    def __init__(self, database: Database, plugins: Plugins) -> None:
        self._database = database
        self._plugins = plugins
        self._addresses: dict[re.Pattern[str], list[ApiMethod]] = {}
        for method in sorted(plugins.api_methods.values(), key=lambda m: -len(m.path)):
            address = re.compile(_PART.sub(r"(?P<\1>.+)", re.escape(f"v1/{method.path}")))
            self._addresses.setdefault(address, []).append(method)

    def at(self, path: str, tenant_id: int) -> dict[str, Callable[[bytes], Answer]]:
        """Return what can be done at an address, by the HTTP method, for bodies."""
        for address, methods in self._addresses.items():
            if found := address.fullmatch(path):
                with self._database.tenant_session(tenant_id) as session:
                    on = self._plugins.enabled(session, tenant_id)
                return {
                    method.verb: partial(self._act, method, tenant_id, found.groupdict())
                    for method in methods
                    if self._plugins.owner(KIND, method.name) in on
                }
        return {}

    def _act(self, method: ApiMethod, tenant_id: int, parts: dict[str, str], body: bytes) -> Answer:
        filled = read(method.body, body) if method.body else None
        with self._database.tenant_session(tenant_id) as session:
            asked = ApiRequest(session=session, tenant_id=tenant_id, parts=parts, body=filled)
            try:
                said = fence(
                    self._plugins, KIND, method.name, lambda: json.dumps(method.act(asked))
                )
            except PluginError as error:
                if isinstance(error.__cause__, OperationalError | InterfaceError):
                    # The database is away, which is no fault of the plugin.
                    raise error.__cause__ from None
                raise
        return answer("200 OK", "application/json", said.encode())
