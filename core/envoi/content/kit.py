"""What the core lends channels for compiling content."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from envoi.blocks import Block, Style
from envoi.content.block_mjml import blocks_mjml
from envoi.content.links import SERVICE_VARIABLES, SlottedHtml, number_links
from envoi.content.macros import MacroCall
from envoi.content.mjml import compile_mjml
from envoi.content.templates import JinjaTemplate
from envoi.content.text import plain_text
from envoi.content.utm import text_links_with_utm, with_utm
from envoi.errors import NotFoundError
from envoi.types import Attachment


class Files(Protocol):
    """Where pictures and attachments come from: a company's library."""

    def picture_url(self, file_id: int) -> str:
        """The public address of a picture."""

    def attachment(self, file_id: int) -> Attachment:
        """A file with its bytes; raise `NotFoundError`."""


class NoFiles:
    """A library without files, for content that stands alone."""

    def picture_url(self, file_id: int) -> str:
        """Raise `NotFoundError`."""
        raise NotFoundError(f"There is no picture number {file_id}. Choose another one.")

    def attachment(self, file_id: int) -> Attachment:
        """Raise `NotFoundError`."""
        raise NotFoundError(f"There is no attachment number {file_id}. Remove it.")


class Kit:
    """The content kit handed to a channel's `compile` and `preview`."""

    def __init__(self, files: Files | None = None, macros: Collection[str] = ()) -> None:
        self._files = files or NoFiles()
        self._macros = macros
        self.calls: set[MacroCall] = set()
        """The macros that the templates made so far call."""
        self.named: set[str] = set()
        """The addresses of Envoi itself that the templates made so far speak of."""

    def template(self, source: str, *, html: bool) -> JinjaTemplate:
        """Parse and check a template; raise `TemplateError` with the line."""
        self.named.update(name for name in SERVICE_VARIABLES if name in source)
        made = JinjaTemplate(source, html=html, macros=self._macros)
        self.calls |= made.calls
        return made

    def mjml(self, source: str) -> str:
        """Turn MJML into HTML, bounded in depth, size and time; raise `TemplateError`."""
        return compile_mjml(source)

    def blocks_mjml(self, blocks: Sequence[Block], style: Style) -> str:
        """Put blocks together as MJML; raise `ValidationFailedError` naming block and field."""
        return blocks_mjml(blocks, style, self._files.picture_url)

    def plain_text(self, html: str) -> str:
        """Make a readable text part from HTML that may still hold template syntax."""
        return plain_text(html)

    def attachment(self, file_id: int) -> Attachment:
        """Fetch a file of the company's library; raise `NotFoundError`."""
        return self._files.attachment(file_id)

    def with_utm(self, html: str, utm: Mapping[str, str]) -> str:
        """Add query parameters to every web link that does not have them already."""
        return with_utm(html, utm)

    def number_links(self, html: str) -> SlottedHtml:
        """Cut a slot for every trackable link; raise `TemplateError` for active content."""
        return number_links(html)

    def number_text_links(self, text: str, utm: Mapping[str, str]) -> SlottedHtml:
        """Cut a slot for every web address of a plain text, with query parameters added."""
        return text_links_with_utm(text, utm)
