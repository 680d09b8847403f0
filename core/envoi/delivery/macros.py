"""Values of macros: issued for messages that are taken, recalled for their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from envoi.content.macros import VARIABLE, MacroCall, looked_up
from envoi.delivery.recipients import Person
from envoi.errors import EnvoiError, NotIssuedError
from envoi.plugins import Plugins, accuse, fence
from envoi.sending import MacroCheck, MacroRequest


def examples(plugins: Plugins) -> Mapping[str, Any]:
    """Return the variables in which every macro gives its stand-in."""

    def example(call: MacroCall) -> str:
        spec = plugins.macros[call.name]
        return str(fence(plugins, "macro", call.name, partial(spec.example, call.argument)))

    return looked_up(example)


def macro_problems(
    plugins: Plugins, connection: Connection, tenant_id: int, calls: Sequence[MacroCall]
) -> list[str]:
    """Say what keeps the macros of a message from being used."""
    found = []
    for call in sorted(calls):
        check = MacroCheck(connection=connection, tenant_id=tenant_id, argument=call.argument)
        asked = partial(plugins.macros[call.name].check, check)
        if problem := fence(plugins, "macro", call.name, asked):
            found.append(f"The macro {call} cannot be used: {problem}")
    return found


@dataclass(frozen=True)
class Macros:
    """The macros that the content of a run calls."""

    plugins: Plugins
    tenant_id: int
    run_id: int
    mailing_id: int | None
    calls: Sequence[MacroCall] = ()
    issues: bool = True
    """False for tests: their messages show the examples."""

    def fill(self, connection: Connection, people: dict[int, Person]) -> dict[int, Person]:
        """Issue for all of them at once; raise `NotIssuedError` where that cannot be done."""
        if not self.calls:
            return people
        if not self.issues:
            return {number: self.shown(person) for number, person in people.items()}
        given: dict[int, dict[str, dict[str, str]]] = {number: {} for number in people}
        for call in self.calls:
            for number, value in self._issued(connection, call, list(people)).items():
                given[number].setdefault(call.name, {})[call.argument] = value
        return {n: _with(person, {VARIABLE: given[n]}) for n, person in people.items()}

    def shown(self, person: Person) -> Person:
        """Give a person of a test or a copy the examples; nothing is issued."""
        return _with(person, examples(self.plugins))

    def recalled(self, connection: Connection, customer_id: int) -> Mapping[str, Any]:
        """Return the variables in which macros give what this customer was given."""

        def value(call: MacroCall) -> str:
            spec = self.plugins.macros[call.name]
            request = self._request(connection, call, [customer_id])
            found = fence(self.plugins, "macro", call.name, partial(spec.recall, request))
            return str(found.get(customer_id) or spec.example(call.argument))

        return looked_up(value)

    def _issued(
        self, connection: Connection, call: MacroCall, customer_ids: Sequence[int]
    ) -> dict[int, str]:
        spec = self.plugins.macros[call.name]
        request = self._request(connection, call, customer_ids)
        try:
            found = fence(self.plugins, "macro", call.name, partial(spec.issue, request))
            return self._checked(call, customer_ids, found)
        except EnvoiError as error:
            if isinstance(error.__cause__, OperationalError | InterfaceError):
                # The database is away, which is no fault of the plugin: it is tried again.
                raise error.__cause__ from None
            raise NotIssuedError(f"The macro {call} gave nothing: {error}") from error

    def _checked(self, call: MacroCall, customer_ids: Sequence[int], found: Any) -> dict[int, str]:
        """What a plugin answers is trusted no further than its shape."""
        accused = partial(accuse, self.plugins, "macro", call.name)
        if not isinstance(found, Mapping):
            raise accused(f"returned {type(found).__name__}")
        values = {number: found.get(number) for number in customer_ids}
        if all(isinstance(value, str) and value for value in values.values()):
            return values  # type: ignore[return-value] # checked in the line above
        raise accused("left somebody without a value")

    def _request(
        self, connection: Connection, call: MacroCall, customer_ids: Sequence[int]
    ) -> MacroRequest:
        return MacroRequest(
            connection=connection,
            tenant_id=self.tenant_id,
            run_id=self.run_id,
            mailing_id=self.mailing_id,
            argument=call.argument,
            customer_ids=customer_ids,
        )


def _with(person: Person, more: Mapping[str, Any]) -> Person:
    return replace(person, variables={**person.variables, **more})
