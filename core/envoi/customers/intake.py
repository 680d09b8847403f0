"""Taking files in: unpacked, in UTF-8, under names nobody can guess; and letting them go again."""

from __future__ import annotations

import codecs
import gzip
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.orm import Session

from envoi.customers.csv_reader import CsvFile, TableFile, refused
from envoi.customers.imports import error_file_path
from envoi.customers.models import Import, ImportState
from envoi.customers.workbook import WorkbookFile, is_workbook
from envoi.db import table
from envoi.settings import Settings

LARGEST_UNPACKED = 1 << 30
MOST_RATIO = 200
"""How many times larger than its archive a file may be, once it is large at all."""

_LARGE = 16 << 20
_CHUNK = 1 << 20
_GZIP, _ZIP, _OLD_EXCEL = b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CYRILLIC_RUN = re.compile(rb"[\xc0-\xff\xa8\xb8]{2,}")
_HIGH = re.compile(rb"[\x80-\xff]")


def store_upload(data_dir: Path, stream: IO[bytes], largest: int = LARGEST_UNPACKED) -> Path:
    """Keep an uploaded file as CSV in UTF-8 or as a workbook, readable by us alone.

    Archives are unpacked. Raises `ValidationFailedError` where that cannot or must not be.
    """
    folder = data_dir / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(16)}.csv"
    try:
        _write(path, _chunks(stream))
        _unpack(path, largest)
        if is_workbook(path):
            return path.rename(path.with_suffix(".xlsx"))
        _make_utf8(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def open_table(path: Path) -> TableFile:
    """Open a stored file; raise `ValidationFailedError` where it holds no table."""
    return WorkbookFile(path) if path.suffix == ".xlsx" else CsvFile(path)


def forget_uploads(session: Session, tenant_id: int, settings: Settings) -> None:
    """Delete the files of imports that were cancelled, or that ended or were left days ago."""
    c = table(Import).c
    before = func.now() - func.make_interval(0, 0, 0, settings.upload_days)
    left = c.state.in_([int(ImportState.MAPPING), int(ImportState.CHECKED)])
    over = or_(
        c.state == int(ImportState.CANCELLED),
        c.finished_at < before,
        and_(left, c.created_at < before),
    )
    mine = and_(c.tenant_id == tenant_id, c.path != "", over)
    for number, path in session.execute(select(c.id, c.path).where(mine).with_for_update()).all():
        Path(path).unlink(missing_ok=True)
        error_file_path(settings.data_dir, tenant_id, number).unlink(missing_ok=True)
    closed = case((left, int(ImportState.CANCELLED)), else_=c.state)
    session.execute(update(table(Import)).where(mine).values(path="", state=closed))


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("xb") as target:
        path.chmod(0o600)
        for chunk in chunks:
            target.write(chunk)


def _replace(path: Path, chunks: Iterator[bytes]) -> None:
    """Write a file anew from what is read of itself."""
    new = path.with_suffix(".new")
    try:
        _write(new, chunks)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _unpack(path: Path, largest: int) -> None:
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic == _OLD_EXCEL:
        raise refused("This is an Excel file of before 2007. Save it as XLSX or as CSV.")
    if not magic.startswith(_GZIP) and (magic != _ZIP or is_workbook(path)):
        return
    try:
        with _opened_archive(path, gz=magic.startswith(_GZIP)) as unpacked:
            _replace(path, _bounded(unpacked, path.stat().st_size, largest))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        raise refused("The archive is damaged or locked by a password. Pack it again.") from None
    with path.open("rb") as stream:
        inner = stream.read(4)
    if inner.startswith(_GZIP) or (inner == _ZIP and not is_workbook(path)):
        raise refused("The archive holds another archive. Pack the file once.")


@contextmanager
def _opened_archive(path: Path, *, gz: bool) -> Iterator[IO[bytes]]:
    if gz:
        with gzip.open(path) as stream:
            yield stream  # type: ignore[misc]  # a GzipFile reads like any binary stream
        return
    with zipfile.ZipFile(path) as archive:
        files = [info for info in archive.infolist() if not _is_clutter(info)]
        if len(files) != 1:
            raise refused(f"The archive holds {len(files)} files. Pack exactly one.")
        with archive.open(files[0]) as stream:
            yield stream


def _is_clutter(info: zipfile.ZipInfo) -> bool:
    """Folders, and what a Mac puts into archives besides the file."""
    return info.is_dir() or info.filename.startswith("__MACOSX/")


def _bounded(stream: IO[bytes], packed: int, largest: int) -> Iterator[bytes]:
    size = 0
    for chunk in _chunks(stream):
        size += len(chunk)
        if size > largest or size > max(_LARGE, packed * MOST_RATIO):
            raise refused(
                "The archive unpacks to far more than a list of this kind takes."
                " Upload the file itself, in parts where it is large."
            )
        yield chunk


def _make_utf8(path: Path) -> None:
    encoding = _encoding(path)
    if encoding:
        with path.open(encoding=encoding, newline="", errors="replace") as text:
            pieces = iter(lambda: text.read(_CHUNK), "")
            _replace(path, (piece.encode("utf-8", "replace") for piece in pieces))


def _encoding(path: Path) -> str:
    """Guess in what a file is written; empty where it is UTF-8 or nothing that can be told."""
    with path.open("rb") as stream:
        bom = stream.read(2)
        if bom in _UTF16:
            return _UTF16[bom]
        stream.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        for chunk in _chunks(stream):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return "cp1251" if _is_cyrillic(chunk) else ""
    return ""


def _is_cyrillic(chunk: bytes) -> bool:
    """Whether most bytes above 127 stand in words of their own, as in Windows-1251.

    In UTF-8 every second one is below 0xC0, in Western encodings they stand alone.
    """
    inside = sum(len(run) for run in _CYRILLIC_RUN.findall(chunk))
    return 2 * inside > len(_HIGH.findall(chunk))
