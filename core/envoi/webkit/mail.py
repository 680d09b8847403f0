"""Mails of the installation itself (password resets), apart from any mailing."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from flask import Flask
from flask_security import MailUtil

log = structlog.get_logger(__name__)

_TIMEOUT = 10


class SystemMail(MailUtil):
    """Sends through the installation's SMTP server, or writes to the log where there is none."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self.url = urlsplit(app.config["ENVOI_MAIL_URL"])
        self.sender = app.config["MAIL_DEFAULT_SENDER"]

    def normalize(self, email: str) -> str:
        """Leave an address as it is: whether it has an account decides, not how it is written."""
        return email.strip()

    def validate(self, email: str) -> str:
        """Ask no name server: an installation may have none, and `.test` is no real domain."""
        return self.normalize(email)

    def send_mail(
        self,
        template: str,
        subject: str,
        recipient: str | tuple[str, str],
        sender: Any,  # noqa: ARG002 (ours is the installation's)
        body: str | None,
        html: str | None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Send one mail; a failure is logged, as the form must not tell who has an account."""
        if not self.url.hostname:
            log.warning(
                "no mail server is set (ENVOI_MAIL_URL), so this mail stays here", body=body
            )
            return
        message = EmailMessage()
        message["Subject"] = str(subject)
        message["From"] = self.sender
        message["To"] = str(recipient)
        message.set_content(body or "")
        try:
            self._deliver(message)
        except (OSError, smtplib.SMTPException):
            log.exception("a mail could not be sent", template=template)

    def _deliver(self, message: EmailMessage) -> None:
        port = self.url.port or 25
        with smtplib.SMTP(self.url.hostname or "", port, timeout=_TIMEOUT) as smtp:
            if self.url.scheme == "smtp+starttls":
                smtp.starttls()
            if self.url.username:
                smtp.login(unquote(self.url.username), unquote(self.url.password or ""))
            smtp.send_message(message)
