"""The files of a company as its messages use them: pictures by address, attachments by bytes."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import NotFoundError
from envoi.library.addresses import picture_path
from envoi.library.models import StoredFile
from envoi.types import Attachment


class Library:
    """What a content kit is lent for one company, within one transaction."""

    def __init__(self, session: Session, tenant_id: int, links_url: str) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._links_url = links_url
        self._known: dict[int, str] = {}

    def picture_url(self, file_id: int) -> str:
        """The public address of a picture; raise `NotFoundError` where it is gone."""
        if file_id not in self._known:
            c = table(StoredFile).c
            query = select(c.digest).where(c.tenant_id == self._tenant_id, c.id == file_id)
            digest = self._session.scalar(query.where(c.kind != "attachment"))
            if digest is None:
                raise NotFoundError(
                    f"The picture number {file_id} is not in the library any more. Choose another."
                )
            self._known[file_id] = self._links_url + picture_path(self._tenant_id, file_id, digest)
        return self._known[file_id]

    def attachment(self, file_id: int) -> Attachment:
        """An attachment with its bytes; raise `NotFoundError` where it is gone."""
        found = self._session.get(StoredFile, (self._tenant_id, file_id))
        if found is None:
            raise NotFoundError(
                f"The attachment number {file_id} is not in the library any more. Remove it."
            )
        return Attachment(name=found.name, media_type=found.media_type, data=found.data)
