"""Gives the pictures of messages, at addresses whose content never changes."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from sqlalchemy import select

from envoi.db import Database, table
from envoi.library.addresses import PictureToken
from envoi.library.models import StoredFile
from envoi.tracking.answers import NOTHING_HERE, Answer, picture

MAX_KEPT = 64 * 1024 * 1024
"""Bytes of pictures that a process keeps; a mailing's readers all ask for the same few."""


class Pictures:
    """Finds pictures by their tokens; the newest asked for are kept in memory."""

    def __init__(self, database: Database, *, max_kept: int = MAX_KEPT) -> None:
        self._database = database
        self._room = max_kept
        self._kept: OrderedDict[str, Answer] = OrderedDict()
        self._lock = Lock()

    def __call__(self, text: str) -> Answer:
        """The picture, or the one 404."""
        with self._lock:
            if text in self._kept:
                self._kept.move_to_end(text)
                return self._kept[text]
        token = PictureToken.read(text)
        found = self._load(token) if token else None
        if found is None:
            return NOTHING_HERE
        self._keep(text, found)
        return found

    def _load(self, token: PictureToken) -> Answer | None:
        c = table(StoredFile).c
        query = select(c.media_type, c.digest, c.data).where(
            c.tenant_id == token.tenant_id, c.id == token.file_id, c.kind != "attachment"
        )
        with self._database.tenant_connection(token.tenant_id) as connection:
            row = connection.execute(query).first()
        if row is None or not row.digest.startswith(token.digest):
            return None
        return picture(row.media_type, bytes(row.data))

    def _keep(self, text: str, found: Answer) -> None:
        with self._lock:
            if text not in self._kept:
                self._kept[text] = found
                self._room -= len(found.body)
            while self._room < 0:
                _, oldest = self._kept.popitem(last=False)
                self._room += len(oldest.body)
