"""The SMTP dialogue on a plain socket: commands, replies, time-outs; nothing about messages."""

from __future__ import annotations

import contextlib
import hmac
import socket
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from time import monotonic

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.outgoing import connect, secured
from envoi_channel_email.settings import Security, SmtpSettings

_MAX_REPLY = 64 * 1024
_HIDDEN = "(hidden)"


class ConnectionLostError(Exception):
    """The server closed, timed out or talked nonsense; `raw` says which."""

    def __init__(self, raw: str) -> None:
        super().__init__(raw)
        self.raw = raw


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply: its code and its own words."""

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        """Whether the server agreed."""
        return 200 <= self.code < 400

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class Dialogue:
    """One open connection: greeted, protected, logged in, and ready for messages."""

    def __init__(self, settings: SmtpSettings) -> None:
        """Open the connection.

        Raises:
            TemporaryProviderError: The server cannot be reached or is not ready.
            PermanentProviderError: It refuses us, its certificate is not valid, or it is where
                companies may not go.
        """
        self._settings = settings
        self._buffer = bytearray()
        self.extensions: dict[str, str] = {}
        self.banner = self.greeting = ""
        self._socket = self._open()
        try:
            self._introduce()
        except BaseException:
            self.abort()
            raise

    def command(self, line: str) -> Reply:
        """Send one command and wait for its reply."""
        self.write(f"{line}\r\n".encode(), self._settings.reply_timeout)
        return self.read(self._settings.reply_timeout)

    def write(self, data: bytes, timeout: float) -> None:
        """Send bytes; raise `ConnectionLostError` unless all of them are on their way."""
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionLostError(_words(error)) from error

    def read(self, timeout: float) -> Reply:
        """Read one reply of any number of lines, however slowly they drip, within the time."""
        lines: list[str] = []
        until = monotonic() + timeout
        while True:
            line = self._line(until)
            if len(line) < 3 or not line[:3].isdigit() or line[3:4] not in (b"", b" ", b"-"):
                raise ConnectionLostError(f"not an SMTP reply: {line[:200]!r}")
            lines.append(line[4:].decode("utf-8", "replace"))
            if line[3:4] != b"-":
                return Reply(int(line[:3]), "\n".join(lines))
            if sum(map(len, lines)) > _MAX_REPLY:
                raise ConnectionLostError("a reply without end")

    def quit(self) -> None:
        """Say goodbye without waiting for an answer."""
        with contextlib.suppress(ConnectionLostError):
            self.write(b"QUIT\r\n", 1)
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _line(self, until: float) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _MAX_REPLY:
                raise ConnectionLostError("a reply without end")
            self._buffer += self._receive(until - monotonic())
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _receive(self, timeout: float) -> bytes:
        try:
            # A time of zero would mean not to wait at all, and less is refused.
            self._socket.settimeout(max(timeout, 0.001))
            data = self._socket.recv(8192)
        except OSError as error:
            raise ConnectionLostError(_words(error)) from error
        if not data:
            raise ConnectionLostError("the server closed the connection")
        return data

    def _open(self) -> socket.socket:
        settings = self._settings
        place = f"{settings.host}:{settings.port}"
        try:
            plain = connect(settings.host, settings.port, settings.connect_timeout)
        except (OSError, UnicodeError) as error:
            message = f"The SMTP server {place} cannot be reached. Check host, port and network."
            raise TemporaryProviderError(message, raw=str(error)) from error
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._protected(plain) if settings.security is Security.TLS else plain

    def _protected(self, plain: socket.socket) -> socket.socket:
        settings = self._settings
        try:
            plain.settimeout(settings.connect_timeout)
            return secured(plain, settings.host, verify=settings.verify_certificate)
        except OSError as error:
            message = f"No TLS with {settings.host}:{settings.port}. Check security and port."
            raise TemporaryProviderError(message, raw=_words(error)) from error

    def _introduce(self) -> None:
        settings = self._settings
        try:
            self.banner = str(self._expect(self.read(settings.reply_timeout)))
            self._ehlo()
            if settings.security is Security.STARTTLS:
                self._start_tls()
            if settings.username:
                self._log_in()
        except ConnectionLostError as error:
            message = f"The SMTP server {settings.host} broke off while greeting. Try again later."
            raise TemporaryProviderError(message, raw=error.raw) from error

    def _ehlo(self) -> None:
        reply = self.command(f"EHLO {self._settings.introduction}")
        self.extensions = {}
        if reply.code >= 500 and self._settings.security is not Security.STARTTLS:
            reply = self.command(f"HELO {self._settings.introduction}")
        self.greeting = str(self._expect(reply))
        for line in reply.text.split("\n")[1:]:
            keyword, _, parameters = line.partition(" ")
            self.extensions[keyword.upper()] = parameters

    def _start_tls(self) -> None:
        if "STARTTLS" not in self.extensions:
            message = f"{self._settings.host} offers no STARTTLS. Choose another kind of security."
            raise PermanentProviderError(message, raw=self.greeting)
        self._expect(self.command("STARTTLS"))
        if self._buffer:
            # Whoever spoke before TLS began is not the server.
            raise ConnectionLostError("the server spoke before TLS began")
        self._socket = self._protected(self._socket)
        self._ehlo()

    def _log_in(self) -> None:
        user, password = self._settings.username, self._settings.password.get_secret_value()
        offered = self.extensions.get("AUTH", "").upper().split()
        if "PLAIN" in offered:
            self._confide("AUTH PLAIN ", _base64(f"\0{user}\0{password}"))
        elif "LOGIN" in offered:
            self._expect(self.command("AUTH LOGIN"))
            self._expect(self.command(_base64(user)))
            self._confide("", _base64(password))
        elif "CRAM-MD5" in offered:
            challenge = self._expect(self.command("AUTH CRAM-MD5"))
            self._confide("", _answered(challenge.text, user, password))
        else:
            message = (
                f"{self._settings.host} offers no login by PLAIN, LOGIN or CRAM-MD5. Remove the"
                " user name."
            )
            raise PermanentProviderError(message, raw=self.greeting)

    def _confide(self, command: str, secret: str) -> None:
        """Say a secret; servers that quote what they refuse do not bring it onto a page."""
        reply = self.command(command + secret)
        quoted = reply.text.replace(secret, _HIDDEN) if secret else reply.text
        self._expect(replace(reply, text=quoted))

    def _expect(self, reply: Reply) -> Reply:
        if reply.is_positive:
            return reply
        host = self._settings.host
        if reply.code >= 500:
            message = f"The SMTP server {host} refuses us: {reply}. Check the gateway's settings."
            raise PermanentProviderError(message, raw=str(reply))
        message = f"The SMTP server {host} is not ready: {reply}. Try again later."
        raise TemporaryProviderError(message, raw=str(reply))


def _answered(challenge: str, user: str, password: str) -> str:
    try:
        asked = b64decode(challenge, validate=True)
    except ValueError:
        raise ConnectionLostError(f"not a challenge: {challenge[:200]!r}") from None
    # The mechanism demands MD5 (RFC 2195); the connection itself is protected by TLS.
    return _base64(f"{user} {hmac.new(password.encode(), asked, 'md5').hexdigest()}")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")


def _words(error: OSError) -> str:
    return "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
