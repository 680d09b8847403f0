"""The contract of channels."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from envoi.content.kit import Kit
from envoi.errors import ValidationFailedError
from envoi.testing.contract import Contract
from envoi.types import ChannelSpec, CompiledContent, Envelope, Outgoing, Recipient

HOSTILE = (
    *("\r\nBcc: evil@example.test", "\r\n\r\nbody", "\r\n.\r\nMAIL FROM:<x@y.test>", "\n.\n", "\0"),
    *(
        "\x85\u2028\u2029",
        "{{ 7 * 7 }}",
        "{% for x in y %}",
        "<script>alert(1)</script>",
        "🎁" * 400,
    ),
    *("x" * 3_000, '"quoted" <a@b.test>', "=?utf-8?b?SGk=?=", "\ud800", "--=_envoi_alternative--"),
)
"""Values that customers' data may hold; none may break a message or cross into another."""


class ChannelContract(Contract):
    """What the core relies on when it compiles, previews and sends a channel's content."""

    @pytest.fixture
    def spec(self) -> ChannelSpec:
        """The channel under test."""
        self.missing("spec")

    @pytest.fixture
    def content(self) -> dict[str, Any]:
        """Valid content that greets by `{{ client.properties.first_name }}`."""
        self.missing("content")

    @pytest.fixture
    def address(self) -> str:
        """An address that the channel can send to."""
        self.missing("address")

    def read(self, outgoing: Outgoing) -> str:
        """The words of a message as its reader sees them; override where payload is no text."""
        return outgoing.payload.decode()

    @pytest.fixture
    def parsed(self, spec: ChannelSpec, content: dict[str, Any]) -> BaseModel:
        return spec.content_schema.model_validate(content)

    @pytest.fixture
    def compiled(self, spec: ChannelSpec, parsed: BaseModel) -> CompiledContent:
        envelope = Envelope(
            message_domain="envoi.test",
            return_path_domain="bounce.envoi.test",
            base_url="https://envoi.test",
        )
        return spec.compile(parsed, envelope, Kit())

    def recipient(self, address: str, first_name: Any = "Anna", key: str = "k1") -> Recipient:
        """A recipient with tracked addresses that tell their link's number."""
        return Recipient(
            address=address,
            name=str(first_name),
            variables={"client": {"properties": {"first_name": first_name}}},
            message_key=key,
            unsubscribe_url="https://envoi.test/u/token",
            one_click_url="https://envoi.test/u/token",
            open_url="https://envoi.test/o/token",
            click=lambda number, _target: f"https://envoi.test/c/{number}",
        )

    def is_too_long(self, spec: ChannelSpec, parsed: BaseModel, recipient: Recipient) -> bool:
        """Whether a channel that counts parts counts too many."""
        if spec.length is None:
            return False
        counted = spec.length(parsed, Kit(), recipient.variables, recipient.click)
        return counted.parts > counted.most_parts

    def test_schema_refuses_what_it_does_not_know(
        self, spec: ChannelSpec, content: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError):
            spec.content_schema.model_validate({})
        with pytest.raises(ValidationError):
            spec.content_schema.model_validate({**content, "no_such_field": 1})

    def test_content_survives_storing(self, spec: ChannelSpec, parsed: BaseModel) -> None:
        stored = parsed.model_dump(mode="json")
        assert spec.content_schema.model_validate(stored) == parsed

    def test_message_carries_key_and_address(self, compiled: CompiledContent, address: str) -> None:
        made = compiled.render(self.recipient(address, key="k7"))
        assert (made.key, made.address) == ("k7", address)
        assert made.payload

    def test_message_is_personal(self, compiled: CompiledContent, address: str) -> None:
        anna = self.read(compiled.render(self.recipient(address, "Anna")))
        boris = self.read(compiled.render(self.recipient(address, "Boris")))
        assert "Anna" in anna
        assert "Boris" in boris
        assert "Anna" not in boris

    def test_unknown_variables_are_empty(self, compiled: CompiledContent, address: str) -> None:
        made = self.read(compiled.render(self.recipient(address, None)))
        assert "{{" not in made
        assert "None" not in made

    @pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
    def test_hostile_values_stay_values(
        self,
        spec: ChannelSpec,
        parsed: BaseModel,
        compiled: CompiledContent,
        address: str,
        value: str,
    ) -> None:
        recipient = self.recipient(address, value)
        if self.is_too_long(spec, parsed, recipient):
            # What is paid by its parts is better refused than sent in twenty.
            with pytest.raises(ValidationFailedError):
                compiled.render(recipient)
            return
        made = compiled.render(recipient)
        assert (made.key, made.address) == ("k1", address)

    def test_values_are_not_templates(self, compiled: CompiledContent, address: str) -> None:
        made = compiled.render(self.recipient(address, "{{ 31337 * 3 }}"))
        assert "94011" not in self.read(made)

    def test_preview_is_personal(self, spec: ChannelSpec, parsed: BaseModel, address: str) -> None:
        variables = self.recipient(address, "Fyodor").variables
        assert "Fyodor" in spec.preview(parsed, Kit(), variables)

    def test_bad_address_fails_this_message_only(
        self, compiled: CompiledContent, address: str
    ) -> None:
        with pytest.raises(ValidationFailedError):
            compiled.render(self.recipient("\r\nnobody"))
        assert compiled.render(self.recipient(address)).payload
