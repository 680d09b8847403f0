"""Blocks to MJML: one way, so that preview and message are made by the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from envoi.blocks import (
    Block,
    Button,
    Columns,
    Divider,
    Footer,
    Heading,
    Image,
    Product,
    RawMjml,
    Social,
    Spacer,
    Style,
    Text,
)
from envoi.content.code import escape_text
from envoi.content.mjml import check_mjml
from envoi.content.templates import parse
from envoi.errors import Problem, TemplateError, ValidationFailedError

PictureUrl = Callable[[int], str]
"""Tells the public address of a picture in the library."""

_SIZES = {1: 28, 2: 22, 3: 18}
_SECTION = ("<mj-section", "<mj-wrapper", "<mj-hero", "<mj-raw")
_MUTED = "#6b7280"
_PARAGRAPH = '<p style="margin:0 0 12px">'


def blocks_mjml(blocks: Sequence[Block], style: Style, picture_url: PictureUrl) -> str:
    """Put a message's MJML together.

    Raises:
        ValidationFailedError: A template or the MJML of a block cannot be used; every problem
            names its field, such as `blocks.3.label`.
    """
    problems = [p for n, block in enumerate(blocks) for p in _problems(block, f"blocks.{n}")]
    if problems:
        raise ValidationFailedError(problems)
    writer = _Writer(style, picture_url)
    groups = groupby(blocks, key=lambda block: None if _is_simple(block) else id(block))
    body = "\n".join(writer.section(list(group)) for _, group in groups)
    return (
        f"<mjml>\n{_head(style)}\n"
        f'<mj-body width="{style.width}px" background-color="{style.background}">\n'
        f"{body}\n</mj-body>\n</mjml>\n"
    )


def _head(style: Style) -> str:
    return (
        "<mj-head>\n<mj-attributes>\n"
        f'<mj-all font-family="{style.font.value}" />\n'
        f'<mj-text font-size="16px" line-height="1.5" color="{style.text}" />\n'
        f'<mj-section background-color="{style.surface}" padding="8px 0" />\n'
        f'<mj-button background-color="{style.primary}" color="{_ink(style.primary)}"'
        ' font-size="16px" border-radius="6px" />\n'
        "</mj-attributes>\n"
        "</mj-head>"
    )


def _ink(background: str) -> str:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = (int(background[i : i + 2], 16) / 255 for i in (1, 3, 5))
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    return "#ffffff" if luminance < 0.1791 else "#000000"


def _is_simple(block: Block) -> bool:
    """Whether a block may share a section with its neighbours."""
    return not isinstance(block, Columns | RawMjml) and not _is_aside(block)


def _is_aside(block: Block) -> bool:
    """Whether a product's picture stands beside its words: where there is a picture."""
    if not isinstance(block, Product) or block.layout != "side":
        return False
    return bool(block.file_id or block.image)


class _Writer:
    """Writes the blocks of one message."""

    def __init__(self, style: Style, picture_url: PictureUrl) -> None:
        self._style = style
        self._picture_url = picture_url

    def section(self, blocks: list[Block]) -> str:
        """One section for simple blocks that follow each other, or for one of the others."""
        first = blocks[0]
        if isinstance(first, RawMjml):
            return _raw(first.mjml)
        if isinstance(first, Columns):
            columns = ("".join(map(self.element, column)) for column in first.columns)
            inner = "\n".join(f"<mj-column>{column}</mj-column>" for column in columns)
        elif isinstance(first, Product) and _is_aside(first):
            inner = self._product_aside(first)
        else:
            inner = f"<mj-column>\n{''.join(map(self.element, blocks))}</mj-column>"
        return f"<mj-section>\n{inner}\n</mj-section>"

    def element(self, block: Block) -> str:
        """What a block is inside a column."""
        match block:
            case Heading():
                return _heading(block)
            case Text():
                html = block.html.replace("<p>", _PARAGRAPH)
                return _tag("mj-text", self._linked(html), align=block.align)
            case Image():
                source = self._source(block.file_id, block.src)
                return self._picture(source, block.alt, block.link, block.width, block.align)
            case Button():
                return self._button(block.label, block.link, block.colour, block.align)
            case Divider():
                return _tag("mj-divider", border_width="1px", border_color=block.colour)
            case Spacer():
                return _tag("mj-spacer", height=f"{block.height}px")
            case Product():
                return self._product_picture(block) + self._product_words(block, "center")
            case Social():
                return self._social(block)
            case Footer():
                return self._footer(block)
        return ""

    def _source(self, file_id: int | None, src: str) -> str:
        return self._picture_url(file_id) if file_id else src

    def _picture(self, src: str, alt: str, link: str, width: int | None, align: str) -> str:
        if not src:
            return ""
        return _tag(
            "mj-image",
            src=src,
            alt=alt,
            href=link or None,
            width=f"{width}px" if width else None,
            align=align,
        )

    def _button(self, label: str, link: str, colour: str | None, align: str) -> str:
        if not label:
            return ""
        return _tag(
            "mj-button",
            escape_text(label),
            href=link or None,
            align=align,
            background_color=colour,
            color=_ink(colour) if colour else None,
        )

    def _product_aside(self, block: Product) -> str:
        words = self._product_words(block, "left")
        return (
            f'<mj-column width="40%" vertical-align="middle">{self._product_picture(block)}'
            f'</mj-column>\n<mj-column width="60%" vertical-align="middle">{words}</mj-column>'
        )

    def _product_picture(self, block: Product) -> str:
        source = self._source(block.file_id, block.image)
        return self._picture(source, block.name, block.link, None, "center")

    def _product_words(self, block: Product, align: str) -> str:
        name = f"<b>{escape_text(block.name)}</b>" if block.name else ""
        if name and block.link:
            name = f'<a href="{escape_text(block.link)}">{name}</a>'
        price = f"<br />{escape_text(block.price)}" if block.price else ""
        words = _tag("mj-text", self._linked(name + price), align=align) if name or price else ""
        return words + self._button(block.label, block.link, None, align)

    def _linked(self, html: str) -> str:
        """Give links their colour where they stand: not every mail program reads style sheets."""
        return html.replace("<a href=", f'<a style="color:{self._style.primary}" href=')

    def _social(self, block: Social) -> str:
        entries = "".join(
            f'<a href="{escape_text(entry.link)}">{entry.network.label}</a> &nbsp; '
            for entry in block.links
            if entry.link
        )
        return _tag("mj-text", self._linked(entries), align=block.align) if entries else ""

    def _footer(self, block: Footer) -> str:
        ways = (
            ("unsubscribe_url", block.unsubscribe),
            ("preferences_url", block.preferences),
            ("view_url", block.view),
        )
        links = " &nbsp; ".join(
            f'<a href="{{{{ {name} }}}}">{escape_text(label)}</a>' for name, label in ways if label
        )
        parts = (block.text, escape_text(block.address), links)
        lines = "".join(f"<div>{part}</div>" for part in parts if part)
        return _tag(
            "mj-text", self._linked(lines), align=block.align, font_size="13px", color=_MUTED
        )


def _heading(block: Heading) -> str:
    tag = f"h{block.level}"
    looks = f"margin:0;font-size:{_SIZES[block.level]}px;line-height:1.25"
    inner = f'<{tag} style="{looks}">{escape_text(block.text)}</{tag}>'
    return _tag("mj-text", inner, align=block.align) if block.text else ""


def _raw(mjml: str) -> str:
    """Sections as they are; anything else gets a section and a column of its own.

    Nothing is put on a line before it, so that a problem's line is the person's.
    """
    if mjml.lstrip().startswith(_SECTION):
        return mjml
    return f"<mj-section><mj-column>{mjml}</mj-column></mj-section>"


def _tag(name: str, inner: str = "", **attributes: str | None) -> str:
    shown = "".join(
        f' {key.replace("_", "-")}="{escape_text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{shown}>{inner}</{name}>\n" if inner else f"<{name}{shown} />\n"


def _problems(block: BaseModel, path: str) -> Iterator[Problem]:
    for where, text in _texts(block, path):
        try:
            parse(text)
            if isinstance(block, RawMjml):
                check_mjml(f"<mjml><mj-body>{_raw(text)}</mj-body></mjml>")
        except TemplateError as error:
            yield Problem(where, error.problems[0].message)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a block with its path, where template syntax may stand."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _texts(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _texts(entry, f"{path}.{number}")
    elif isinstance(value, str) and ("{" in value or "<" in value):
        yield path, value
