"""The SMTP provider: messages over kept connections, and what each reply means."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

from envoi.errors import PermanentProviderError, ProviderError, TemporaryProviderError
from envoi.types import Outgoing, SendResult, SendStatus
from envoi_channel_email.dialogue import ConnectionLostError, Dialogue, Reply
from envoi_channel_email.dkim import DkimSigner
from envoi_channel_email.settings import SmtpSettings

# A local part and a domain without anything that could end the command or the path.
_PATH = re.compile(
    r"[^\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff<>,;\"()\\@]{1,64}@[A-Za-z0-9.\[\]:_-]{1,255}"
)
_ACCOUNT_CODES = (530, 535, 538)
"""Replies that concern our login, whatever message they were given for."""

_CLOSING = 421
_TAKEN, _REFUSED = 2, 400

TEST_SECONDS = 10.0
"""How long a test waits for each answer at most."""


class SmtpProvider:
    """A configured SMTP gateway."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._signer = settings.signer

    def connect(self) -> SmtpConnection:
        """Open a connection; raise `ProviderError` when that fails."""
        return SmtpConnection(self._settings, self._signer)

    def test(self) -> str:
        """Greet the server, log in, and return its own words; somebody waits for them."""
        patience = {
            name: min(getattr(self._settings, name), TEST_SECONDS)
            for name in ("connect_timeout", "reply_timeout")
        }
        dialogue = Dialogue(self._settings.model_copy(update=patience))
        dialogue.quit()
        return f"{dialogue.banner}\n{dialogue.greeting}"


class SmtpConnection:
    """A kept connection; opens a new one by itself when the server has closed a used one."""

    def __init__(self, settings: SmtpSettings, signer: DkimSigner | None) -> None:
        self._settings = settings
        self._signer = signer
        self._dialogue: Dialogue | None = Dialogue(settings)
        self._is_used = False
        self._carried = 0

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over; see `envoi.types.Connection`.

        Servers close connections that have served long enough. Nothing has left then, so
        the message is tried once more on a fresh connection.
        """
        if reason := self._unsendable(message):
            return SendResult(status=SendStatus.REFUSED, code=501, raw=reason)
        if self._signer is not None:
            message = replace(message, payload=self._signer.sign(message.payload))
        if self._carried >= self._settings.messages_per_connection:
            self.close()
        if self._is_used:
            try:
                return self._attempt(message)
            except TemporaryProviderError:
                self._is_used = False
        return self._attempt(message)

    def close(self) -> None:
        """Say goodbye."""
        if self._dialogue:
            self._dialogue.quit()
            self._dialogue = None
        self._is_used, self._carried = False, 0

    def _attempt(self, message: Outgoing) -> SendResult:
        dialogue = self._dialogue = self._dialogue or Dialogue(self._settings)
        try:
            result = _Transaction(dialogue, self._settings, message).run()
        except ConnectionLostError as error:
            self._abort()
            text = "The SMTP server broke off before it took the message. Try again later."
            raise TemporaryProviderError(text, raw=error.raw) from error
        except ProviderError:
            self._abort()
            raise
        if result.status is SendStatus.UNKNOWN:
            self._abort()
        self._is_used = True
        self._carried += 1
        return result

    def _abort(self) -> None:
        if self._dialogue:
            self._dialogue.abort()
            self._dialogue = None
        self._carried = 0

    @staticmethod
    def _unsendable(message: Outgoing) -> str:
        for path in (message.sender, message.address):
            if not _PATH.fullmatch(path) or (path is message.sender and not path.isascii()):
                return f"501 5.1.3 {path[:100]!r} is not an address"
        payload = message.payload
        if not payload.count(b"\r\n") == payload.count(b"\n") == payload.count(b"\r"):
            return "501 5.6.0 the message holds a line end that is not CRLF"
        return ""


class _Transaction:
    """One message from MAIL to the reply after the final dot."""

    def __init__(self, dialogue: Dialogue, settings: SmtpSettings, message: Outgoing) -> None:
        self._dialogue = dialogue
        self._settings = settings
        self._message = message

    def run(self) -> SendResult:
        needs_utf8 = not self._message.address.isascii()
        if needs_utf8 and "SMTPUTF8" not in self._dialogue.extensions:
            raw = "550 5.6.7 the server takes no addresses with other than ASCII letters (SMTPUTF8)"
            return SendResult(status=SendStatus.REFUSED, code=550, raw=raw)
        mail, rcpt, data = self._envelope(self._commands(needs_utf8))
        refusal = next((r for r in (mail, rcpt, data) if r and not r.is_positive), None)
        if refusal is None:
            return self._body()
        # The refusal stands, also when the server hangs up on us after it.
        with suppress(ConnectionLostError):
            if data and data.is_positive:
                # Pipelined DATA was agreed to although nobody is to receive it: end it empty.
                self._dialogue.write(b".\r\n", self._settings.data_timeout)
                self._dialogue.read(self._settings.final_timeout)
            self._dialogue.command("RSET")
        return _refused(refusal)

    def _commands(self, needs_utf8: bool) -> list[bytes]:
        extensions = self._dialogue.extensions
        options = f" SIZE={len(self._message.payload)}" if "SIZE" in extensions else ""
        if "8BITMIME" in extensions and not self._message.payload.isascii():
            options += " BODY=8BITMIME"
        if needs_utf8:
            options += " SMTPUTF8"
        mail = f"MAIL FROM:<{self._message.sender}>{options}\r\n"
        return [mail.encode(), f"RCPT TO:<{self._message.address}>\r\n".encode(), b"DATA\r\n"]

    def _envelope(self, commands: list[bytes]) -> list[Reply | None]:
        """The replies to MAIL, RCPT and DATA; none to what was not said after a refusal."""
        is_pipelined = "PIPELINING" in self._dialogue.extensions
        replies: list[Reply | None] = [None, None, None]
        if is_pipelined:
            self._dialogue.write(b"".join(commands), self._settings.reply_timeout)
        is_refused = False
        for index, command in enumerate(commands):
            if not is_pipelined:
                self._dialogue.write(command, self._settings.reply_timeout)
            try:
                reply = replies[index] = self._reply(command)
            except ConnectionLostError:
                if is_refused:
                    break
                raise
            is_refused |= not reply.is_positive
            if is_refused and not is_pipelined:
                break
        return replies

    def _reply(self, command: bytes) -> Reply:
        is_data = command.startswith(b"DATA")
        timeout = self._settings.data_timeout if is_data else self._settings.reply_timeout
        return _checked(self._dialogue.read(timeout))

    def _body(self) -> SendResult:
        """Send the message; once the dot is written, silence means that we do not know."""
        payload = self._message.payload
        if b"\n." in payload or payload.startswith(b"."):
            payload = (b"\n" + payload).replace(b"\n.", b"\n..")[1:]
        end = b".\r\n" if payload.endswith(b"\r\n") else b"\r\n.\r\n"
        self._dialogue.write(payload + end, self._settings.data_timeout)
        try:
            reply = self._dialogue.read(self._settings.final_timeout)
        except ConnectionLostError as error:
            return SendResult(status=SendStatus.UNKNOWN, raw=error.raw)
        if _checked(reply).code >= _REFUSED:
            return _refused(reply)
        # Anything but a 2xx is no answer to a message, such as a reply that came too late.
        status = SendStatus.ACCEPTED if reply.code // 100 == _TAKEN else SendStatus.UNKNOWN
        return SendResult(status=status, code=reply.code, provider_id=reply.text, raw=str(reply))


def _checked(reply: Reply) -> Reply:
    """Let through what concerns this message; raise for what concerns the server or account."""
    if reply.code == _CLOSING:
        message = f"The SMTP server takes no more messages now: {reply}. Try again later."
        raise TemporaryProviderError(message, raw=str(reply))
    if reply.code in _ACCOUNT_CODES:
        message = f"The SMTP server refuses our account: {reply}. Check the gateway's login."
        raise PermanentProviderError(message, raw=str(reply))
    return reply


def _refused(reply: Reply) -> SendResult:
    status = SendStatus.REFUSED if reply.code >= 500 else SendStatus.REFUSED_NOW
    return SendResult(status=status, code=reply.code, raw=str(reply))
