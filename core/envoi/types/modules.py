"""What modules add to messages and to the menu."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from envoi.types.base import Descriptor

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from envoi.sending import MacroCheck, MacroRequest


@dataclass(frozen=True, kw_only=True)
class MacroSpec(Descriptor):
    """A macro of templates, written `{{ name("argument") }}`.

    `issue` gives the value of every customer of a request and may write: it is called once for
    all messages that a sender has taken, inside the transaction that takes them. A message that
    is tried again asks again and must get what it got before; so does every other step of the
    same run. Raise `NotIssuedError` where there is nothing to give: nothing is taken then, and
    the mailing pauses with that reason.

    Previews, tests and copies never issue: they show `example`. A message's own page shows what
    `recall` finds, which only reads and leaves out those who were given nothing.
    """

    issue: Callable[[MacroRequest], Mapping[int, str]]
    recall: Callable[[MacroRequest], Mapping[int, str]]
    example: Callable[[str], str]
    """The stand-in for an argument."""
    check: Callable[[MacroCheck], str] = field(default=lambda check: "")  # noqa: ARG005
    """Says what keeps an argument from being used, before a mailing starts; "" if nothing does."""
    warn: Callable[[MacroCheck], str] = field(default=lambda check: "")  # noqa: ARG005
    """Says what is worth a look before the start, such as a stock that runs out; "" if nothing."""
    arguments: Callable[[MacroCheck], Sequence[str]] = field(default=lambda check: ("",))  # noqa: ARG005
    """The arguments that the editor offers, such as the groups of codes; its check has none."""
    hint: str = ""
    """A sentence for marketers: what it gives, and what the argument is."""


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class SettingsSpec(Descriptor, Generic[M]):
    """What a company can set of a plugin: `settings` makes the form on the plugin's page.

    Titles and descriptions of its fields are labels and hints; `SecretStr` fields are encrypted
    before they are stored and never shown again. Fields without a default have to be entered
    before `envoi.data.plugin_settings` can be read.
    """

    settings: type[M]


@dataclass(frozen=True, kw_only=True)
class ApiRequest:
    """What a method of the API is asked: by a system of this company, over its session.

    `parts` are the named parts of the address, `body` the filled model.
    """

    session: Session
    tenant_id: int
    parts: Mapping[str, str]
    body: Any = None


@dataclass(frozen=True, kw_only=True)
class ApiMethod(Descriptor):
    """A method of the API below `/api/v1/`, for systems that have a key of the company.

    `path` may name parts of the address, as in `promo-codes/{group}/codes`. `body` checks what is
    sent. What `act` returns is the answer's JSON; errors of `envoi.errors` become answers as well.
    """

    path: str
    act: Callable[[ApiRequest], Any]
    verb: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    body: type[BaseModel] | None = None


@dataclass(frozen=True, kw_only=True)
class CustomerPanel(Descriptor):
    """A part of a customer's page: `template` shows what `load` has found as `found`.

    The template is in the folder of a blueprint of yours and needs no `extends`. Whoever may see
    the customer and has `permission` sees it; where `load` returns nothing the panel is left out.
    """

    template: str
    load: Callable[[Session, int, int], Any]
    """Called with the session, the company and the customer."""
    permission: str


@dataclass(frozen=True, kw_only=True)
class MenuItem(Descriptor):
    """A link in the left menu; shown to whoever may see the view behind `endpoint`.

    `section` is the section's name: summary, customers, campaigns, mailings, polls, promo_codes,
    control or settings. Items of plugins stand below those of Envoi, by label.
    """

    section: str
    endpoint: str
